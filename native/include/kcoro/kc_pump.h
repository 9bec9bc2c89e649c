/* kc_pump.h: the daemon's connections, seen by whoever turns them.
 *
 * The pump owns connections and one epoll set. kc_turn (kc_turn.h) is the only function that makes socket calls. Hot
 * frames (SEND, TRY_SEND, RECV, TRY_RECV, SELECT, CANCEL, ACK, NACK, PING) are served in C where the connection holds
 * the handle; every other frame waits in the control queue and is a barrier for its connection until it is answered
 * with kc_pump_reply or let go with kc_pump_resume. Nothing here calls anything above; what happened is fetched.
 *
 * Invariants: pump and connections belong to one thread at a time (the one that turns, or, between two turns, the one
 * that got its report); only kc_pump_wake may be called from any thread. A connection is named by a ticket; a stale one
 * is KC_ENOENT, so a reply that comes too late for its connection is lost with it and harms nobody.
 */
#ifndef KC_PUMP_H
#define KC_PUMP_H

#ifndef KC_CDEF
#include "kcoro/kc_desc.h"
#include "kcoro/kc_file.h"
#ifdef __cplusplus
extern "C" {
#endif
#endif

typedef struct kc_pump kc_pump;
typedef kc_ticket kc_conn;

enum { KC_TRANSPORT_STREAM = 0, KC_TRANSPORT_SEQPACKET = 1 };
enum { KC_RIGHT_READ = 1, KC_RIGHT_WRITE = 2 };

/* 0 takes the default. */
typedef struct kc_pump_config {
    uint32_t connections;          /* table size: 131,072 */
    uint32_t frames_per_turn;      /* of a connection, then it is another one's turn: 64 */
    uint32_t bytes_per_turn;       /* likewise: 262,144 */
    uint32_t control_per_turn;     /* control frames one report may offer: 64 */
    uint64_t input_budget_bytes;   /* frames over 64 KiB in assembly, all connections: 256 MiB */
    uint32_t output_high_bytes;    /* a connection above it is not read from: 1 MiB */
    uint32_t stale_half_frame_ms;  /* under pressure: 30,000 */
    uint32_t requests_per_conn;    /* parked and control requests in flight: 2,048 */
    uint32_t parked_per_conn;      /* kc_scope_limits of a connection: 1,024 */
    uint32_t held_per_conn;        /* and 4,096 */
    uint32_t spare;
} kc_pump_config;

/* The engine outlives the pump. The pump makes a root scope, a port and an eventfd of its own. */
KC_API int kc_pump_make(kc_engine *engine, const kc_pump_config *config, kc_pump **pump_out);
/* requests_per_conn, parked_per_conn and held_per_conn from now on, also of the connections that are there. */
KC_API void kc_pump_limit(kc_pump *pump, const kc_pump_config *config);
/* Ends every connection (reason KC_REASON_SHUTDOWN), closes their sockets. NULL is allowed. */
KC_API void kc_pump_free(kc_pump *pump);
/* The epoll descriptor: readable when a turn has something to do (deadlines included: the timerfd is in the set). */
KC_API int kc_pump_fd(kc_pump *pump);
/* From any thread: makes a blocking turn return soon, and the epoll descriptor readable. */
KC_API void kc_pump_wake(kc_pump *pump);

/* A listening socket joins the set; report.accept tells that some listener is readable, kc_pump_accept_ready which.
 * The fd stays the caller's; kc_pump_unlisten before closing it. */
KC_API int kc_pump_listen(kc_pump *pump, int fd);
KC_API int kc_pump_unlisten(kc_pump *pump, int fd);
/* The next readable listener's fd, or KC_EAGAIN. */
KC_API int kc_pump_accept_ready(kc_pump *pump);
/* Pauses (on = 1) or resumes accepting, as when descriptors ran out: a readable listener must not spin the loop. */
KC_API int kc_pump_accept_pause(kc_pump *pump, int on);

/* Takes the connected, non-blocking socket over (closed by the pump, also when this call fails). */
KC_API int kc_conn_add(kc_pump *pump, int fd, uint32_t transport, uint32_t account, kc_conn *conn_out);
/* Closes one that gets no connection. Files that are in it go to kc_pump_take_files, charged to the account; when those
 * are too many, or nobody's (account 0), the socket itself does, with all of them in it. */
KC_API void kc_pump_close_socket(kc_pump *pump, int fd, uint32_t transport, uint32_t account);
/* After HELLO: the minor spoken (0 or 1) and the largest frame this peer takes. Before it every frame is control. */
KC_API int kc_conn_speak(kc_pump *pump, kc_conn conn, uint32_t minor, uint32_t max_frame);
/* Which process the kernel says is at the other end: told to receivers who ask (kc_chan_waiter_scope_name); its uid is
 * the account's name. */
KC_API int kc_conn_name(kc_pump *pump, kc_conn conn, uint32_t pid);
/* What this peer can take: KC_CAP_DESCRIPTORS, KC_CAP_FILES. Nothing of it before this call, which follows
 * kc_conn_speak: KC_EINVAL for a peer of 1.0. */
KC_API int kc_conn_able(kc_pump *pump, kc_conn conn, uint32_t caps);
/* The handle chan_id -> channel with rights (KC_RIGHT_*); replaces an older one. The pump keeps one reference on the
 * channel per handle. rights 0 removes it (KC_ENOENT if absent). */
KC_API int kc_conn_grant(kc_pump *pump, kc_conn conn, uint32_t chan_id, kc_chan chan, uint32_t rights);
/* Flushes what the kernel takes, then ends the connection; code is told in kc_closed. */
KC_API int kc_conn_close(kc_pump *pump, kc_conn conn, int32_t code);

typedef struct kc_conn_info {
    uint64_t frames_in, frames_out, bytes_in, bytes_out;
    uint64_t files_in;
    uint64_t queued_bytes;
    uint32_t requests, handles, transport, minor;
    uint32_t leases, files; /* descriptors lent to it; files that came ahead of their frame */
    uint32_t account;
    int32_t fd; /* for looking only */
    kc_scope scope; /* of its waiters and what it holds; for looking only */
    uint64_t slowed; /* how often it was faster than its pace */
} kc_conn_info;
KC_API int kc_conn_measure(kc_pump *pump, kc_conn conn, kc_conn_info *info_out);
/* The connection a waiter (kc_waiter_info.user) belongs to; 0 when it is none of this pump's. */
KC_API kc_conn kc_conn_of_waiter(kc_pump *pump, uint64_t user);

/* ---- the pump without sockets: for tests, fuzzing, and whoever moves the bytes in another way ---- */
/* kc_conn_add with fd -1 makes a connection that lives by these three. Feeds n bytes (eof: they are the last) and
 * serves what they ask, as far as output has room and no control frame waits. KC_EINVAL after the end of input. */
KC_API int kc_conn_feed(kc_pump *pump, kc_conn conn, const void *bytes, size_t n, int eof);
/* One file that came with the first byte of the next kc_conn_feed; the pump's from now on (KC_OK). */
KC_API int kc_conn_feed_file(kc_pump *pump, kc_conn conn, int32_t file);
/* Takes up to n bytes of output, as a socket gives them: it ends before a frame with files, unless that is the first.
 * What is taken counts as taken by the peer. Returns how many, or KC_ENOENT. */
KC_API int kc_conn_fetch(kc_pump *pump, kc_conn conn, void *buffer, uint32_t n);
/* The files that came with the bytes fetched last, up to 16; lent until the next fetch, or until the connection ended,
 * which it may with its last byte. */
KC_API uint32_t kc_conn_fetched_files(kc_pump *pump, kc_conn conn, int32_t *files);
/* The peer is gone as if it had been killed: what it did not fetch is undelivered, and the connection ends. */
KC_API int kc_conn_vanish(kc_pump *pump, kc_conn conn);
enum { KC_PUMP_MORE = 1 };
/* One round without system calls, at the engine's time: results, waiting input, ends. KC_PUMP_MORE when input is left
 * that may be served. To be called after control frames were answered and after kc_engine_tick. */
KC_API int kc_pump_run(kc_pump *pump);

typedef struct kc_pump_usage {
    uint64_t connections;  /* those whose end was not yet fetched included */
    uint64_t memory_bytes; /* of the pump's own */
    uint64_t input_bytes;  /* under the input budget */
    uint64_t slowed;       /* how often a connection was faster than its pace */
    uint64_t queued_bytes; /* output of all connections that their peers have not taken */
} kc_pump_usage;
KC_API void kc_pump_measure(kc_pump *pump, kc_pump_usage *usage_out);
typedef struct kc_pump_account { /* the connections of one account together; nothing of one without */
    uint64_t slowed; /* how often one was faster than its pace, since the first of them came */
    uint32_t connections, leases;
} kc_pump_account;
KC_API void kc_pump_measure_account(kc_pump *pump, uint32_t account, kc_pump_account *share_out);
/* Test hook, as kc_engine_fail_alloc: the n-th allocation of the pump from now fails. */
KC_API uint64_t kc_pump_fail_alloc(kc_pump *pump, uint64_t n);

/* ---- control frames ---- */
typedef struct kc_control {
    kc_conn conn;
    uint32_t cmd;
    uint32_t minor;       /* 0 or 1; 0 before HELLO */
    uint32_t req_id;      /* 0 = none */
    uint32_t greeted;     /* 1 after kc_conn_speak */
    const uint8_t *payload; /* valid until the control frame is answered or let go; whole and well-formed. NULL when
                             * ungranted and over 64 KiB: its element lies in blocks already */
    uint32_t length;
    uint32_t ungranted;   /* 1: a hot frame of a 1.0 connection without a handle: grant and kc_pump_resubmit, or
                           * reply */
    uint32_t chan_id;     /* the frame's CHAN_ID, 0 = none */
    uint32_t files;       /* that came with it; see kc_pump_control_file */
} kc_control;
/* The next control frame, or KC_EAGAIN. Each is given once; its connection is behind the barrier until one of: */
KC_API int kc_pump_control(kc_pump *pump, kc_control *control_out);
/* The next file of the control frame in the caller's hands, now the caller's; KC_EAGAIN when there is none. What is
 * left is discarded with the answer. */
KC_API int kc_pump_control_file(kc_pump *pump, kc_conn conn, int32_t *file_out);
/* A file that came so and is not wanted after all: it goes to kc_pump_take_files with the others,
 * charged to the account. */
KC_API void kc_pump_discard_file(kc_pump *pump, uint32_t account, int32_t file);
/* ... answered: appends one whole frame (header included) and lifts the barrier; the request id is free again. */
KC_API int kc_pump_reply(kc_pump *pump, kc_conn conn, const void *frame, uint32_t frame_bytes);
/* ... let go: the request lives on in the caller's hands (an OPEN that waits for its name, a SUBSCRIBE): its id stays
 * taken until kc_pump_finish; the barrier is lifted. Without a req_id nothing stays (a frame that has no reply). */
KC_API int kc_pump_resume(kc_pump *pump, kc_conn conn);
/* ... tried again in C, after a grant. */
KC_API int kc_pump_resubmit(kc_pump *pump, kc_conn conn);
/* Answers a request that was let go: appends the frame, frees req_id. */
KC_API int kc_pump_finish(kc_pump *pump, kc_conn conn, uint32_t req_id, const void *frame, uint32_t frame_bytes);
/* An event of a request that was let go: appends the frame, req_id stays. KC_EAGAIN and nothing appended when the
 * connection is above its high-water mark: events never pile up. */
KC_API int kc_pump_event(kc_pump *pump, kc_conn conn, const void *frame, uint32_t frame_bytes);
/* A CANCEL whose target is a request that was let go: {conn, req_id}, or KC_EAGAIN. */
KC_API int kc_pump_cancelled(kc_pump *pump, kc_conn *conn_out, uint32_t *req_id_out);

/* Connections that ended since the last call; their handles, requests and scope are gone already. Or KC_EAGAIN. */
typedef struct kc_closed {
    kc_conn conn;
    int32_t code; /* 0: the peer closed; KC_EPROTO, KC_EMSGSIZE, KC_ECONNRESET, ... */
    uint32_t account;
    kc_conn_info info;
} kc_closed;
KC_API int kc_pump_closed(kc_pump *pump, kc_closed *closed_out);

/* Whether the file may be a region of so many bytes: KC_OK, or KC_EINVAL and what is wrong with it. */
KC_API int kc_region_judge(int32_t file, uint64_t size_bytes, const char **why_out);
/* A region that ended since the last call, and the connection that had registered it. Whoever knew it was told. Or
 * KC_EAGAIN. */
KC_API int kc_pump_region_ended(kc_pump *pump, kc_conn *owner_out, kc_ticket *region_out);
/* Files that nobody wants any more, of one account: the caller's to close, where it may block, and to be told by
 * kc_pump_files_closed, all at once. max is 16 or more. Returns how many; 0 also when takers have all they may. */
KC_API uint32_t kc_pump_take_files(kc_pump *pump, int32_t *files, uint32_t max, uint32_t *account_out);
KC_API void kc_pump_files_closed(kc_pump *pump, uint32_t account, uint32_t count);
KC_API uint32_t kc_pump_files_left(kc_pump *pump);

/* Frames per second of one connection, and of all of one account; 0 = as many as come. Whoever is faster is not read
 * until its time has come. May be called again. */
KC_API int kc_pump_pace(kc_pump *pump, uint32_t per_connection, uint32_t per_account);
/* Something for the log: a hot request was refused by a quota, or its connection was slowed (code KC_OK). */
typedef struct kc_note {
    kc_conn conn;
    int32_t code;
    uint32_t quota;
    uint64_t limit, usage;
    const char *name, *setting; /* setting may be NULL: a fixed limit */
    uint64_t lost; /* notes that found no room since the last one */
} kc_note;
/* The next note, or KC_EAGAIN. The same word about the same connection stands once until it was fetched. */
KC_API int kc_pump_next_note(kc_pump *pump, kc_note *note_out);

/* Draining: new SEND (and SELECT with a send) get KC_ECANCELED, REASON "shutting down"; receives and acks go on. */
KC_API int kc_pump_drain(kc_pump *pump);
/* Ends all that is parked in the same words; then a few more turns flush the answers. */
KC_API int kc_pump_cancel_all(kc_pump *pump);

#ifndef KC_CDEF
#ifdef __cplusplus
}
#endif
#endif
#endif
