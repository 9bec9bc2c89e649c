/* kc_turn_set.h: the epoll set of a pump and everything that makes socket calls, as the turn's own files see it.
 *
 * Invariants: a connection's descriptor is in the set from kc_conn_add until it is closed, and closed by turn_close.c
 * only. What the set watches follows the connection's state when it is attended, or, to save a call, when the set
 * reports something that nobody wants now; so a level-triggered event never comes twice without effect.
 */
#ifndef KC_TURN_SET_H
#define KC_TURN_SET_H

#include <sys/epoll.h>
#include <sys/socket.h>

#include "ipc/kc_pump_parts.h"
#include "kcoro/kc_turn.h"

enum {
    KC_TURN_EVENTS = 256,
    KC_TURN_SCRATCH_BYTES = 262144, /* at least one packet of SEQPACKET */
    KC_TURN_PACKETS = 64,
    KC_TURN_SPARE_FDS = 256 + 64 /* files of one read, and what the process may open without the pump's seeing it */
};

/* data.u64 of what is no connection: the low half is 0. */
enum kc_turn_mark { KC_MARK_TIMER = 1, KC_MARK_BELL = 2, KC_MARK_PORT = 3, KC_MARK_LISTENER = 16 /* + its place */ };

typedef struct kc_listener {
    int fd; /* -1: a free place */
    bool ready, watched;
} kc_listener;

typedef struct kc_turn_set {
    int epoll_fd, timer_fd, port_fd;
    int64_t armed_ns;
    int64_t retry_ns; /* when starved connections are written again; KC_NEVER: none is */
    kc_listener *listeners;
    uint32_t listener_count, listeners_ready;
    int highest_fd; /* of those that came, ever */
    uint64_t most_fds; /* RLIMIT_NOFILE, when the last connection or file came */
    uint32_t look; /* counts the looks at the set; each may take more polls than one */
    bool accept_paused, woken, cut;
    struct epoll_event events[KC_TURN_EVENTS];
    uint8_t scratch[KC_TURN_SCRATCH_BYTES];
} kc_turn_set;

/* CLOCK_MONOTONIC. */
int64_t kc_turn_clock(void);

/* ---- turn_round.c ---- */
/* One look at the set, and a bounded part of what is to be done. Negative: the set failed; else whether there was
 * work. */
int kc_round(kc_pump *pump, int timeout_ms);
/* Work is left for another round at once. */
bool kc_round_has_more(const kc_pump *pump);

/* ---- turn_set.c ---- */
int kc_set_open(kc_pump *pump);
void kc_set_close(kc_pump *pump);
/* Watches what the connection's state asks for. */
void kc_set_follow(kc_pump *pump, kc_connection *conn);
/* Stops watching for input that nobody wants now, or for room while what is to be written waits for its turn: both
 * until the connection is attended. */
void kc_set_deafen(kc_pump *pump, kc_connection *conn);
void kc_set_forget_room(kc_pump *pump, kc_connection *conn);
bool kc_set_hears(const kc_connection *conn);
/* Closes its socket, then ends it. */
void kc_set_end(kc_pump *pump, kc_connection *conn);
/* The kernel has no memory for its output, which is nobody's fault: it is written again a little later. */
void kc_set_starve(kc_pump *pump, kc_connection *conn);
/* That time has come for some, or not. */
void kc_set_retry(kc_pump *pump);
/* The timer rings at the engine's next deadline; never before it. */
void kc_set_arm_timer(kc_pump *pump);
void kc_set_timer_rang(kc_turn_set *set);
void kc_set_port_rang(kc_turn_set *set);

/* Descriptors have come; remembers the highest number, and asks for the limit. */
void kc_set_saw(kc_turn_set *set, const int *fds, uint32_t count);
/* One read could bring more files than there are numbers for. The kernel closes what it finds no number for, in the
 * thread that reads. Numbers are given lowest first, so while none that came is near the limit there is room for
 * them. */
bool kc_set_is_short(const kc_turn_set *set);

/* ---- turn_listen.c ---- */
void kc_listener_rang(kc_pump *pump, uint32_t place);

/* ---- turn_close.c ---- */
/* A socket that is to be closed, and whose account pays for what it holds (0: nobody's). */
typedef struct kc_ending {
    int fd;
    uint32_t transport, account;
} kc_ending;
/* Says no more, hears no more, drops what the peer said unheard, and closes it: unread input would make the peer's next
 * read fail, and on SEQPACKET that hides our last words. Files that were in it are discarded; with more of it, or files
 * of an account that has too many or is nobody's, the socket itself is, as one file. */
void kc_turn_close(kc_pump *pump, kc_ending ending);

/* ---- turn_read.c, turn_write.c ---- */
/* Room for as many files as the kernel passes at once, and how many it could hold. */
typedef union kc_turn_room {
    struct cmsghdr head;
    uint8_t bytes[CMSG_SPACE(KC_MAX_FILES * sizeof(int))];
} kc_turn_room;
enum { KC_TURN_ROOM_FILES = sizeof(kc_turn_room) / sizeof(int) };
typedef struct kc_heard {
    ssize_t got; /* as of recvmsg(2) */
    int flags; /* MSG_CTRUNC: not all files came; then, if descriptors were known to be short, nothing was taken out */
    uint32_t count;
    int files[KC_TURN_ROOM_FILES];
} kc_heard;
/* Reads once: bytes into iov (whose lengths may change), and files. */
void kc_turn_hear(kc_turn_set *set, int fd, struct iovec *iov, int rooms, kc_heard *heard);
/* Reads once (SEQPACKET: some packets, within a turn's budget) and serves what came. */
void kc_turn_read(kc_pump *pump, kc_connection *conn, uint32_t events);
/* One write of what the connection has to say. True when the kernel took something. */
bool kc_turn_write(kc_pump *pump, kc_connection *conn);

#endif
