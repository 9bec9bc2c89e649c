/* kc_client.h: one connection as the client's files see it. It brings their other headers along, and they include it
 * alone. What they do together stands in kcoro/kc_ipc.h.
 *
 * One lock guards all of a connection; whoever takes it holds a reference. It is held over calls of the transport,
 * which return at once, and never while anybody waits. Whoever does not find it free stands at the gate, one at a time;
 * the pilot that reads on goes through it too, behind them, so input without end keeps nobody out. Of the callers that
 * wait one is the pilot: it alone reads, writes and sleeps on the descriptor, and wakes those whose operation has
 * ended. When it leaves, the next one takes over: a thread if one waits, for a coroutine may be woken and not run.
 *
 * Invariants:
 * - An operation stands in `table` from its begin until it has ended, under a REQ_ID that no other one there has.
 * - Output is one frame at a time: `current`. A frame that has begun is finished before another one begins.
 * - Who waits is in `waiters` from before the lock is given up until after it was taken again, so whoever wakes it with
 *   the lock held wakes somebody who is there.
 * - kc_ipc.refs counts connection, channels, operations, frames, regions; the last one frees the memory.
 */
#ifndef KC_CLIENT_H
#define KC_CLIENT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "client/kc_client_frame.h"
#include "client/kc_client_link.h"
#include "client/kc_client_op.h"
#include "client/kc_client_region.h"
#include "client/kc_client_unless.h"
#include "client/kc_client_wait.h"
#include "ipc/kc_frame.h"
#include "kcoro/kc_ipc.h"

enum {
    KC_CLIENT_READS = 16, /* in a row, before others get the lock */
    KC_CLIENT_INPUT_BYTES = 160 << 10, /* more than the longest packet */
    KC_CLIENT_MAPPINGS = 4096, /* of vm.max_map_count, 65,530, which all of the program shares */
    KC_CLIENT_NOTE_BYTES = 4096,
    KC_CLIENT_HELLO_BYTES = 320,
    KC_CLIENT_PLACES_MAX = 1 << 20, /* of requests under way, far beyond what a daemon takes; of mappings */
    KC_CLIENT_FILES = KC_MAX_FILES, /* that may wait for the frame that names them */
    KC_CLIENT_CONTROL_MS = 30000,   /* the daemon answers control frames at once; after so long it is stuck */
    KC_CLIENT_REQ_ID_AT = KC_FRAME_HEADER_BYTES + KC_ATTR_HEAD_BYTES
};

struct kc_ipc {
    pthread_mutex_t lock;
    pthread_mutex_t gate; /* taken before the lock by who wants it, and given up with it in hand */
    atomic_uint refs;
    pid_t pid;
    kc_ipc_transport transport;
    void *link;
    kc_ipc_waiting waiting;
    kc_ipc_memory memory;
    int epoll;
    int timer;
    int tower;        /* coroutines sleep on it: epoll and recall; -1: none waits otherwise than as a thread */
    int recall;       /* an eventfd: how many have been recalled and have not heard it */
    int64_t armed_ns; /* when the timer rings; INT64_MAX: not */
    int64_t retry_ns; /* when sending is tried again that found no memory; INT64_MAX: not */
    int64_t grace_ns;
    kc_due *dues;
    uint64_t steps;   /* callers and deadlines that were looked at: for tests */

    kc_waiter *pilot;
    bool asleep;     /* the pilot; others may have the lock */
    bool called;     /* and is to look at itself */
    unsigned sleepers; /* on the descriptors: the pilot, and those that have not heard yet that they were recalled */
    kc_link waiters; /* coroutines */
    kc_link threads;
    kc_link callers;
    kc_link queues;
    kc_queue queue;      /* of callers of no channel */
    uint32_t max_requests, max_chan_requests, requests, caller_count;
    uint64_t max_bytes, max_chan_bytes, bytes;

    kc_ipc_op **table;
    uint32_t table_mask;
    uint32_t under_way;
    uint32_t last_id;
    kc_ipc_op *greeting; /* HELLO has no REQ_ID */
    kc_link cancels; /* operations that have left and whose CANCEL is still to be said */

    kc_lane own; /* requests of no channel */
    kc_link lanes;
    kc_ipc_op *current;  /* whose frame it is; NULL: a note, or of one that has ended */
    uint8_t *out_memory; /* to be freed when the frame has left */
    const uint8_t *out;
    size_t out_at, out_length;
    bool deaf;           /* no more can be sent; it ends when what came was read */
    bool watching_output;
    bool disconnected;
    uint8_t note[KC_CLIENT_NOTE_BYTES];

    uint64_t *owed; /* leases to be released: room for all that are open */
    uint32_t owed_count, owed_room, leases;
    kc_mapping **mappings; /* a chain in each place, by the region */
    uint32_t mapping_places;
    uint32_t mapping_count; /* that are named */
    uint32_t mapped_count;  /* that live: of those that are gone too while a message lies there */
    uint64_t max_mappings;
    uint64_t mapped_bytes, max_mapped_bytes; /* of all that live; in whole pages */
    uint64_t answer_bytes, max_answer_bytes;
    kc_ipc_region *regions;

    uint8_t *in;
    size_t in_length;
    kc_client_frame *growing; /* a frame that is longer than `in` */
    size_t growing_length;
    int files[KC_CLIENT_FILES];
    uint32_t file_count;

    uint32_t max_frame_bytes, caps;
    uint64_t frames_out, frames_in;
    int ended; /* KC_OK or why */
    char why[KC_TEXT_ROOM]; /* empty, or in words */
};

/* base.c: what every file needs */
void *kc_client_take(kc_ipc *ipc, size_t bytes); /* zeroed; NULL */
void kc_client_give(kc_ipc *ipc, void *memory);
void kc_client_keep(kc_ipc *ipc);
void kc_client_drop(kc_ipc *ipc);      /* the last reference not with the lock held */
bool kc_client_enter(kc_ipc *ipc);     /* takes the lock; false in a child of fork */
void kc_client_leave(kc_ipc *ipc);
void kc_client_lock(kc_ipc *ipc);      /* for who knows that this is no child of fork */
void kc_client_let(kc_ipc *ipc);       /* with the lock: whoever wants it has it in between */
/* KC_EPROTO, in words: so many bytes are more than this bound of the configuration. */
int kc_client_excess(kc_ipc *ipc, const char *what, uint64_t bytes, const char *bound, uint64_t max_bytes);
int64_t kc_client_now_ns(void);
void kc_client_close_files(int *files, uint32_t count);
void kc_client_end(kc_ipc *ipc, int code);         /* with the lock */
void kc_client_shut(kc_ipc *ipc);                  /* closes what the connection has open, once */

/* connect_hello.c */
int kc_connect_greet(kc_ipc *ipc, kc_ipc_op *hello, const char *name, int64_t deadline_ns);
void kc_connect_give_up(kc_ipc *ipc); /* its greeting was cancelled; with the lock */

/* address.c, unix.c */
int kc_unix_connect(const char *path, bool seqpacket, void **link_out); /* KC_EAGAIN: the backlog is full */
const kc_ipc_transport *kc_unix_transport(bool seqpacket);

#endif
