/* kc_ipc.h: the daemon's channels for C programs: connect, make or open, send, receive, select, acknowledge.
 *
 * Results are KC_OK or a negative KC_E* of kc_wire.h (kc_ipc_advice says it in words). An operation that failed did
 * nothing, but where the flags of its result say more: KC_IPC_UNCONFIRMED (a send with KC_IPC_CONFIRM: the message was
 * taken and is not acknowledged; if the daemon does not say: or may have been), KC_IPC_IN_DOUBT (the connection ended
 * after the request had begun to leave: it happened or not).
 *
 * Threads: any number may share one connection and its channels. The library owns no thread: of those that wait one
 * reads for all. An object may be freed when no other thread uses it any more.
 * fork: a child gets KC_EBADF from every call; closing and freeing there is quiet and says nothing to the daemon.
 * Signals: no call is cut short by one, none raises SIGPIPE, none may be made from a handler.
 *
 * Timeouts are milliseconds as in the protocol: 0 tries (KC_EAGAIN also if the socket is full and nothing of the
 * request can leave at once), a negative one waits for ever; the daemon keeps them. They count from the call, and
 * nothing makes them longer: what has not begun to leave by then will not, what has is due with the grace.
 */
#ifndef KC_IPC_H
#define KC_IPC_H

#include "kcoro/kc_types.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kc_ipc kc_ipc;               /* one connection */
typedef struct kc_ipc_chan kc_ipc_chan;     /* a handle on one channel through one connection */
typedef struct kc_ipc_op kc_ipc_op;         /* one operation under way */
typedef struct kc_ipc_region kc_ipc_region; /* shared memory that messages are sent from */
typedef struct kc_ipc_loan kc_ipc_loan;     /* a range of it while it is ours to write */

/* --- how bytes move, and how one waits ---------------------------------------------------------------------------- */

/* A transport: all calls return at once, and none is made by two threads at a time. Codes are KC_E*. */
typedef struct kc_ipc_transport {
    /* How many bytes were taken, more than 0. Files go with the first byte. KC_EAGAIN: nothing now; `watch` tells when.
     * KC_ENOMEM: nothing now, for want of memory; it is called again after 10 ms. KC_EINVAL: these files cannot be
     * passed, and nothing was taken. Any other: no more can be sent; the connection ends when what came has been
     * received. */
    int64_t (*send)(void *link, const void *bytes, size_t length, const int *files, uint32_t file_count);
    /* How many bytes came; 0: the peer has ended. *file_count is the room in files_out, then how many came. KC_EAGAIN:
     * nothing now. KC_EPROTO: files were lost. */
    int64_t (*receive)(void *link, void *bytes, size_t room, int *files_out, uint32_t *file_count);
    /* Adds to this epoll set what becomes ready when receive is worth a call, and with `output` when send is. */
    int (*watch)(void *link, int epoll, int output);
    void (*close)(void *link);
    uint32_t max_frame_bytes; /* longest payload of a frame */
} kc_ipc_transport;

/* How a caller waits. NULL in the configuration: as a thread does. For coroutines of kc_sched.h: kc_remote_waiting
 * (kc_remote.h). For others: park and wake at something that nobody else parks at, not at kc_co_park or its like, which
 * is the user's: a wake may come that no park needs. Where self returns NULL the caller waits as a thread. */
typedef struct kc_ipc_waiting {
    void *(*self)(void);
    void (*park)(void *who); /* until woken; a wake that came before counts. May return early. */
    void (*wake)(void *who); /* from any thread, with a lock held: it must not call back */
    void (*wait)(int fd);    /* until the descriptor is readable. May return early. */
} kc_ipc_waiting;

/* Where memory comes from. NULL in the configuration: malloc and free. take may return NULL. */
typedef struct kc_ipc_memory {
    void *(*take)(void *self, size_t bytes);
    void (*give)(void *self, void *memory);
    void *self;
} kc_ipc_memory;

/* Two ends in the memory of this process, each for one user: for tests and for a peer that is a library. */
KC_API int kc_ipc_pair_make(void *links_out[2], size_t room_bytes);
KC_API const kc_ipc_transport *kc_ipc_pair_transport(void);

/* --- connections -------------------------------------------------------------------------------------------------- */

/* All 0 is: the usual daemon, usual bounds. Callers wait for room in the first four bounds. The other three are of what
 * the daemon sends: what goes beyond them ends the connection with KC_EPROTO, and kc_ipc_why names the bound. */
typedef struct kc_ipc_config {
    const char *address;     /* PATH, stream:PATH or seqpacket:PATH; NULL: $KCORO_SOCKET. Where that is not set, or
                                either is empty: the first that exists of the user's and the system's path */
    const char *client_name; /* what the daemon's log calls us; NULL: nothing */
    int32_t connect_timeout_ms; /* 0: 10,000 */
    int32_t grace_ms;           /* 0: 5,000. A reply that is overdue by so much means that the connection is broken,
                                   also when it is overdue because its request left so slowly */
    uint32_t max_requests;      /* 0: 1,024. Requests in flight; whoever comes then waits, or gets KC_EAGAIN */
    uint32_t max_chan_requests; /* 0: the same. Of them of one channel */
    uint64_t max_bytes;         /* 0: 64 MiB. Bytes of requests in flight; one that is alone may be longer */
    uint64_t max_chan_bytes;    /* 0: the same. Of them of one channel */
    uint64_t max_answer_bytes;  /* 0: 256 MiB. Of answers that came while nobody waited for them, until each is told or
                                   its operation freed; one alone may be longer */
    uint64_t max_mapped_bytes;  /* 0: 8 GiB. Of regions of others, in whole pages, while they are there or read */
    const kc_ipc_transport *transport; /* NULL: a Unix socket. Else `link` is used, and closed in every case */
    void *link;
    const kc_ipc_waiting *waiting;
    const kc_ipc_memory *memory;
    uint64_t max_mappings; /* 0: 4,096. Regions of others that are there or read: the kernel bounds those of a program
                              (vm.max_map_count, 65,530), coroutines' stacks among them */
    uint64_t spare[3];     /* 0 */
} kc_ipc_config;

/* Connects and greets. config may be NULL. KC_ECONNRESET: no daemon there. KC_EACCES, KC_EDQUOT, KC_EPROTONOSUPPORT:
 * refused. KC_EINVAL, KC_ENAMETOOLONG: the address. Who calls it waits as `waiting` says for the answer, and for room
 * where the daemon has not accepted those before: that is looked for after 1 ms, then less often, at last every
 * 32 ms. */
KC_API int kc_ipc_connect(const kc_ipc_config *config, kc_ipc **ipc_out);

/* Ends the connection: what is under way ends with KC_EBADF, in doubt if it had begun to leave. Channels, messages and
 * regions may be freed later. NULL does nothing. Once for each connection. */
KC_API void kc_ipc_disconnect(kc_ipc *ipc);

/* Where the daemon is looked for: writes up to 128 bytes, a NUL included. */
KC_API int kc_ipc_address(const char *address, char *path_out, int *seqpacket_out);

KC_API int kc_ipc_ping(kc_ipc *ipc);

/* For programs with a loop of their own: readable when kc_ipc_step has something to do. Step never waits; it moves what
 * can be moved, at most a few reads: the descriptor is readable still if more has come, so watch its level, not its
 * edge. KC_OK, or why the connection has ended. */
KC_API int kc_ipc_handle(const kc_ipc *ipc);
KC_API int kc_ipc_step(kc_ipc *ipc);

typedef struct kc_ipc_usage {
    uint32_t requests;   /* in flight and counted by the bounds */
    uint32_t callers;    /* that wait for a bound */
    uint64_t bytes;
    uint32_t leases;     /* messages in shared memory that were not freed */
    uint32_t mappings;   /* regions of others that are mapped */
    uint64_t frames_out;
    uint64_t frames_in;
    uint32_t max_frame_bytes; /* longest payload that the daemon takes */
    uint32_t caps;            /* enum kc_wire_cap of the daemon */
    int32_t ended;            /* KC_OK, or why the connection has ended */
    uint32_t spare;
    uint64_t answer_bytes;    /* counted in max_answer_bytes, max_mapped_bytes */
    uint64_t mapped_bytes;
    uint64_t spares[4];
} kc_ipc_usage;

KC_API void kc_ipc_measure(kc_ipc *ipc, kc_ipc_usage *usage_out);

/* Why the connection has ended: its code, KC_OK if it has not. The text says more where more is known (the bound that
 * was passed, an answer that is overdue, the daemon's last words), and is else empty. */
KC_API int kc_ipc_why(kc_ipc *ipc, char text_out[256]);

/* One sentence for a code: what happened and what to do. That of KC_EINPROGRESS is true of kc_remote.h's too, where it
 * means that the call may have happened. */
KC_API const char *kc_ipc_advice(int code);

/* --- channels ----------------------------------------------------------------------------------------------------- */

/* Fields of a kc_ipc_chan_config whose 0 means something are asked for only with their bit here. */
enum kc_ipc_given {
    KC_IPC_GIVEN_KIND = 1,
    KC_IPC_GIVEN_OVERFLOW = 2,
    KC_IPC_GIVEN_UNDELIVERED = 4,
    KC_IPC_GIVEN_MODE = 8,
    KC_IPC_GIVEN_OWNER = 16,
    KC_IPC_GIVEN_GROUP = 32
};

/* What a channel is to be. All 0: whatever is there, else a rendezvous; both rights. */
typedef struct kc_ipc_chan_config {
    uint32_t given;       /* enum kc_ipc_given */
    int32_t kind;         /* enum kc_wire_kind; not given and with capacity: buffered */
    uint32_t capacity;
    uint32_t elem_size;
    uint32_t overflow;    /* enum kc_wire_overflow */
    uint32_t undelivered; /* enum kc_wire_undelivered */
    uint32_t max_attempts;
    uint32_t ttl_ms;
    uint32_t file_ttl_ms;
    uint32_t mode;
    uint32_t owner_uid;
    uint32_t owner_gid;
    uint32_t flags;       /* KC_FLAG_CHAN_*; neither READ nor WRITE: both */
    uint32_t spare;       /* 0 */
    uint64_t max_bytes;
    const char *dead_letter;
    uint64_t spares[2];   /* 0 */
} kc_ipc_chan_config;

/* What the daemon said that it is. */
typedef struct kc_ipc_chan_info {
    uint32_t chan_id;
    int32_t kind;
    uint32_t capacity;
    uint32_t elem_size;
    uint32_t overflow;
    uint32_t flags; /* KC_FLAG_CHAN_* */
    uint32_t spare[2];
} kc_ipc_chan_info;

/* Makes it, or opens the one of that name if all that is asked for agrees. name NULL: anonymous. config may be NULL. */
KC_API int kc_ipc_make(kc_ipc *ipc, const char *name, const kc_ipc_chan_config *config, kc_ipc_chan **chan_out);

/* Opens one that is there, or waits so long until somebody has made it. rights: KC_FLAG_CHAN_READ, _WRITE; 0: both; any
 * other bit: KC_EINVAL. Of several handles on one channel through one connection each may do what any of them may.
 * KC_ENOENT: a try, and there is none; KC_ETIME: nobody has made it by then. */
KC_API int kc_ipc_open(kc_ipc *ipc, const char *name, uint32_t rights, int32_t timeout_ms, kc_ipc_chan **chan_out);
KC_API int kc_ipc_open_id(kc_ipc *ipc, uint32_t chan_id, uint32_t rights, kc_ipc_chan **chan_out);

KC_API void kc_ipc_chan_look(const kc_ipc_chan *chan, kc_ipc_chan_info *info_out);

/* Gives the rights back and frees the handle. Operations that are under way go on (a batch of several frames may stop
 * between two). NULL does nothing. */
KC_API void kc_ipc_chan_free(kc_ipc_chan *chan);

KC_API int kc_ipc_close(kc_ipc_chan *chan);                      /* for all: no more sends, what is there drains */
KC_API int kc_ipc_destroy(kc_ipc_chan *chan, const char *reason); /* for all, now; reason may be NULL */
KC_API int kc_ipc_purge(kc_ipc_chan *chan, uint32_t *count_out);
KC_API int kc_ipc_statistics(kc_ipc_chan *chan, uint64_t stats_out[KC_STAT_END]); /* by enum kc_wire_stat */

/* --- operations --------------------------------------------------------------------------------------------------- */

enum kc_ipc_wish_flag {
    KC_IPC_ACK = 1,     /* receive: the message stays in its channel until kc_ipc_ack or kc_ipc_nack */
    KC_IPC_SENDER = 2,  /* receive: who sent it */
    KC_IPC_CONFIRM = 4, /* send: until a receiver has acknowledged it */
    KC_IPC_BIASED = 8   /* select: the first clause that is ready */
};

/* How an operation is to be done. NULL where one is taken: plainly, for ever. KC_EINVAL: it has what this operation
 * does not know; a select takes KC_IPC_BIASED alone, its clauses say how they receive,
 * and none can be confirmed or expire. */
typedef struct kc_ipc_wish {
    int32_t timeout_ms;
    uint32_t flags;  /* enum kc_ipc_wish_flag */
    uint32_t ttl_ms; /* send: how long the message may wait to be received; 0: as the channel says */
    uint32_t spare;  /* 0 */
} kc_ipc_wish;

/* What is sent: bytes, perhaps with up to 16 open files, which stay the caller's; or a loan, with length of its first
 * bytes (0: all) and neither. */
typedef struct kc_ipc_payload {
    const void *bytes;
    size_t length;
    const int *files;
    uint32_t file_count;
    uint32_t spare; /* 0 */
    kc_ipc_loan *loan;
} kc_ipc_payload;

/* A message that came. Its memory and files are the receiver's until kc_ipc_message_free; bytes that lie in shared
 * memory are read only. Take a file by setting its place in `files` to -1. */
typedef struct kc_ipc_message {
    const void *bytes;
    size_t length;
    uint64_t delivery;   /* for ack and nack; 0 if that was not asked */
    uint32_t attempts;   /* earlier deliveries of it */
    uint32_t sender_uid; /* KC_NOBODY if not known or not asked */
    uint32_t sender_pid;
    uint32_t file_count;
    int *files;
    void *frame; /* the rest is the library's */
    void *mapping;
    uint64_t lease;
    uint64_t spare;
} kc_ipc_message;

/* Closes files, ends the lease, frees the memory. A message that is all 0 is none: freeing twice is freeing once. */
KC_API void kc_ipc_message_free(kc_ipc_message *message);

enum kc_ipc_result_flag {
    KC_IPC_IN_DOUBT = 1, /* the connection ended under it: it happened or not */
    KC_IPC_DROPPED = 2,  /* send: the channel's policy dropped the message */
    /* Send with KC_IPC_CONFIRM: of its messages the one numbered `count`, the first that is not settled, was taken and
     * is not acknowledged: it is on its way (KC_EINPROGRESS), or it was lost (KC_ECANCELED: the channel destroyed,
     * purged, ...), or one of the two (KC_OK: a batch that stopped short; KC_ENOMEM, KC_EDQUOT: one for whose rest
     * there was no memory). Where a daemon does not say: or it may have been. None behind it was sent. */
    KC_IPC_UNCONFIRMED = 4
};

/* What became of an operation. Texts are empty where the daemon said none; of one that ended with its connection
 * `reason` is that of kc_ipc_why. */
typedef struct kc_ipc_result {
    int32_t code;
    uint32_t flags;   /* enum kc_ipc_result_flag */
    uint32_t index;   /* select: the clause that took effect or failed; UINT32_MAX: none */
    uint32_t count;   /* send: messages that are settled, from the front */
    uint32_t dropped; /* of these dropped by policy */
    uint32_t message_count;
    kc_ipc_message *messages; /* receive */
    uint64_t quota_limit;
    uint64_t quota_usage;
    char reason[256];
    char quota_name[256];
    char quota_setting[256];
    void *owner; /* the library's */
    uint64_t spare[4];
} kc_ipc_result;

/* Frees all messages in it. All 0 is none. */
KC_API void kc_ipc_result_free(kc_ipc_result *result);

/* The usual calls. */
KC_API int kc_ipc_send(kc_ipc_chan *chan, const void *bytes, size_t length, const kc_ipc_wish *wish);
KC_API int kc_ipc_recv(kc_ipc_chan *chan, kc_ipc_message *message_out, const kc_ipc_wish *wish);
KC_API int kc_ipc_try_send(kc_ipc_chan *chan, const void *bytes, size_t length);
KC_API int kc_ipc_try_recv(kc_ipc_chan *chan, kc_ipc_message *message_out);

/* The same with all that can be said. result_out may be NULL for a send. Free a result whatever its code. */
KC_API int kc_ipc_send_payload(kc_ipc_chan *chan, const kc_ipc_payload *payload, const kc_ipc_wish *wish,
                               kc_ipc_result *result_out);
/* In order, with one deadline; KC_OK if the first was settled, and count says how many. Not with files. */
KC_API int kc_ipc_send_many(kc_ipc_chan *chan, const kc_ipc_payload *payloads, uint32_t count,
                            const kc_ipc_wish *wish, kc_ipc_result *result_out);
/* Waits for one message and brings what else is there, up to max_items (1 to 1,024). */
KC_API int kc_ipc_recv_many(kc_ipc_chan *chan, uint32_t max_items, const kc_ipc_wish *wish,
                            kc_ipc_result *result_out);

/* One arm of a select: with `payload` a send, else a receive. */
typedef struct kc_ipc_clause {
    kc_ipc_chan *chan;
    const kc_ipc_payload *payload;
    uint32_t flags; /* receive: KC_IPC_ACK, KC_IPC_SENDER */
    uint32_t spare; /* 0 */
} kc_ipc_clause;

/* Exactly one of 1 to 64 clauses takes effect. A closed channel is ready too: its error carries the index. */
KC_API int kc_ipc_select(kc_ipc *ipc, const kc_ipc_clause *clauses, uint32_t count, const kc_ipc_wish *wish,
                         kc_ipc_result *result_out);

/* Deliveries are done, or given back to their place. KC_ENOENT if none of them is ours (any more). */
KC_API int kc_ipc_ack(kc_ipc *ipc, const uint64_t *deliveries, uint32_t count);
KC_API int kc_ipc_nack(kc_ipc *ipc, const uint64_t *deliveries, uint32_t count);

/* --- many in flight ----------------------------------------------------------------------------------------------- */

/* These never wait: KC_EAGAIN when the bounds of the configuration leave no room. What is given is copied. The
 * operation goes on while anybody is inside a call of this connection. */
KC_API int kc_ipc_send_begin(kc_ipc_chan *chan, const kc_ipc_payload *payloads, uint32_t count,
                             const kc_ipc_wish *wish, kc_ipc_op **op_out);
KC_API int kc_ipc_recv_begin(kc_ipc_chan *chan, uint32_t max_items, const kc_ipc_wish *wish, kc_ipc_op **op_out);
KC_API int kc_ipc_select_begin(kc_ipc *ipc, const kc_ipc_clause *clauses, uint32_t count, const kc_ipc_wish *wish,
                               kc_ipc_op **op_out);

/* Whether it has ended, as far as this program has heard: 1 or 0. Waits for nothing. */
KC_API int kc_ipc_op_ended(kc_ipc_op *op);

/* Asks for it, from any thread; how the operation ends says whether that came in time.
 * KC_OK, also when it has ended. */
KC_API int kc_ipc_op_cancel(kc_ipc_op *op);

/* Waits for its end and tells it, once; its code is returned. KC_EBUSY: another thread waits for it. */
KC_API int kc_ipc_op_wait(kc_ipc_op *op, kc_ipc_result *result_out);

/* One that has not ended is cancelled first and waited for; a delivery that came all the same is given back, a message
 * that was asked for plainly is lost. NULL does nothing. */
KC_API void kc_ipc_op_free(kc_ipc_op *op);

/* --- shared memory ------------------------------------------------------------------------------------------------ */

/* Shared memory of so many bytes, rounded up to pages, all of it there at once, sealed and made known to the daemon.
 * KC_ENOMEM: the machine has not so much. KC_EDQUOT: the daemon lets one user share less. KC_EINVAL: of 0 bytes, or no
 * length of memory. KC_ENOTSUP: this daemon, or this kernel, has no shared memory. */
KC_API int kc_ipc_region_make(kc_ipc *ipc, size_t bytes, kc_ipc_region **region_out);

/* Frees it. KC_EBUSY, and it is still there: loans of it are out, or messages in it wait or are read. Of a connection
 * that has ended it is freed as soon as no loan is out. NULL does nothing. */
KC_API int kc_ipc_region_free(kc_ipc_region *region);

/* Gives it up, in use or not, and never waits: it is freed when its last loan is given back and what was sent from it
 * is free again, or the connection has ended. Loans that are out stay good until they are given back or sent.
 * NULL does nothing. */
KC_API void kc_ipc_region_abandon(kc_ipc_region *region);

/* A range to write in. KC_ENOSPC: no such room now; receivers give it back when they free what they got. */
KC_API int kc_ipc_loan_take(kc_ipc_region *region, size_t length, kc_ipc_loan **loan_out);
KC_API void *kc_ipc_loan_bytes(kc_ipc_loan *loan);

/* Gives one back that was not sent. A loan that is gone is not to be touched again: that of each message that is
 * settled (`count` of the result, of a select the clause that took effect), of the next one if the flags have
 * KC_IPC_UNCONFIRMED, and of all that the call was given if they have KC_IPC_IN_DOUBT. Every other one is still the
 * caller's. So a send of one with KC_IPC_CONFIRM needs its result. It stands in one clause of a select only.
 * NULL does nothing.
 *
 * The range of one that is gone comes back when the daemon calls it free. A daemon that does not say whether a
 * confirmed message that was cancelled had been taken leaves it so until its region goes. */
KC_API void kc_ipc_loan_give(kc_ipc_loan *loan);

#ifdef __cplusplus
}
#endif
#endif
