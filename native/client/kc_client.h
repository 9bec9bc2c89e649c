/* kc_client.h: one connection as the client's files see it. What they do together stands in kcoro/kc_ipc.h. It is
 * longer than its neighbours because a connection is one state, seen by all of them.
 *
 * One lock guards all of a connection; whoever takes it holds a reference. It is held over calls of the transport, which
 * return at once, and never while anybody waits. Whoever does not find it free stands at the gate, one at a time; the pilot
 * that reads on goes through it too, behind them, so input without end keeps nobody out. Of the callers that wait one is the pilot: it alone reads, writes and sleeps
 * on the descriptor, and wakes those whose operation has ended. When it leaves, the next one takes over: a thread if one
 * waits, for a coroutine may be woken and not run.
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

#include "ipc/kc_frame.h"
#include "kcoro/kc_ipc.h"

enum {
    KC_CLIENT_READS = 16, /* in a row, before others get the lock */
    KC_CLIENT_INPUT_BYTES = 160 << 10, /* more than the longest packet */
    KC_CLIENT_MAPPINGS = 4096, /* of vm.max_map_count, 65,530, which all of the program shares */
    KC_CLIENT_NOTE_BYTES = 4096,
    KC_CLIENT_HELLO_BYTES = 320,
    KC_CLIENT_PLACES_MAX = 1 << 20, /* requests under way: far beyond what a daemon takes */
    KC_CLIENT_FILES = KC_MAX_FILES, /* that may wait for the frame that names them */
    KC_CLIENT_CONTROL_MS = 30000,   /* the daemon answers control frames at once; after so long it is stuck */
    KC_CLIENT_REQ_ID_AT = KC_FRAME_HEADER_BYTES + KC_ATTR_HEAD_BYTES
};

/* --- lists -------------------------------------------------------------------------------------------------------- */

typedef struct kc_link {
    struct kc_link *next;
    struct kc_link *before;
} kc_link;

void kc_link_init(kc_link *head);
bool kc_link_empty(const kc_link *head);
void kc_link_append(kc_link *head, kc_link *link);
void kc_link_remove(kc_link *link); /* it is then a list of its own: removing twice does nothing */

#define KC_LINK_OWNER(pointer, type, member) ((type *)(void *)((char *)(pointer) - offsetof(type, member)))

/* --- who waits ---------------------------------------------------------------------------------------------------- */

typedef struct kc_waiter {
    kc_link link; /* in kc_ipc.waiters, or .threads */
    const kc_ipc_waiting *waiting;
    void *who;
    bool ready;
} kc_waiter;

/* A deadline, in what has it. */
typedef struct kc_due {
    struct kc_due *child;
    struct kc_due *next;
    struct kc_due *before;
    int64_t at_ns;
    bool set;
    bool caller; /* of a kc_caller, else of a kc_ipc_op */
} kc_due;

/* A caller for whom the bounds leave no room. */
typedef struct kc_caller {
    kc_link link;  /* in its queue */
    kc_link among; /* in kc_ipc.callers */
    kc_due due;
    kc_waiter waiter;
    kc_ipc_op *op;     /* whose `caller` this is */
    kc_ipc_chan *chan; /* NULL: only the connection's bound counts */
    uint64_t bytes;
    int code; /* KC_OK: granted */
} kc_caller;

/* Those of one channel, or of none. */
typedef struct kc_queue {
    kc_link link; /* in kc_ipc.queues while the connection's bound alone keeps the first one back */
    kc_link callers;
} kc_queue;

/* --- what goes out and comes in ----------------------------------------------------------------------------------- */

typedef struct kc_lane {
    kc_link link; /* in kc_ipc.lanes while ops wait in it */
    kc_link ops;
} kc_lane;

/* One frame of the daemon's, kept while messages lie in it. */
typedef struct kc_client_frame {
    atomic_uint refs;
    kc_ipc *ipc;
    kc_frame_header header;
    uint32_t file_count;
    int files[KC_MAX_MESSAGE_FILES];
    uint8_t payload[];
} kc_client_frame;

/* A reply, flat. Texts and values point into its frame. */
typedef struct kc_reply {
    uint64_t seen;  /* a bit for each field below */
    uint32_t req_id;
    int32_t result;
    uint32_t index, count, dropped, chan_id, capacity, elem_size, overflow, flags, caps, max_frame, major, minor;
    int32_t kind;
    uint64_t region, size, quota_limit, quota_usage;
    kc_attr reason, quota_name, quota_setting, numbers;
    uint32_t elements, items, descs, stats;
} kc_reply;

enum kc_reply_field {
    KC_REPLY_REQ_ID = 1, KC_REPLY_RESULT = 2, KC_REPLY_INDEX = 4, KC_REPLY_COUNT = 8, KC_REPLY_CHAN_ID = 16,
    KC_REPLY_REGION = 32, KC_REPLY_SIZE = 64, KC_REPLY_MAX_FRAME = 128, KC_REPLY_FLAGS = 256
};

int kc_reply_read(const kc_client_frame *frame, kc_reply *reply_out);
enum { KC_TEXT_ROOM = KC_MAX_TEXT_BYTES + 1 };
void kc_reply_text(char out[KC_TEXT_ROOM], const kc_attr *attr); /* what is longer is cut */

/* A region of somebody else, mapped once. Alive while the daemon names it or a message lies in it. */
typedef struct kc_mapping {
    struct kc_mapping *next; /* in its chain of kc_ipc.mappings until REGION_GONE */
    uint64_t region;
    void *memory;
    size_t bytes;
    atomic_uint refs;
} kc_mapping;

/* --- operations --------------------------------------------------------------------------------------------------- */

/* What may end a call from outside: a cancel, of which this folder knows nothing. NULL: nothing may. */
typedef struct kc_stop {
    void (*watch)(struct kc_stop *stop, kc_ipc_op *op); /* from now on it may cancel the operation, and perhaps has */
    void (*leave)(struct kc_stop *stop);                /* it will not any more */
    bool in_doubt; /* out: the connection ended after what the call asks had begun to leave */
} kc_stop;

enum kc_op_stage { KC_OP_QUEUED, KC_OP_LEAVING, KC_OP_SENT, KC_OP_ENDED };

struct kc_ipc_op {
    kc_link link; /* in its lane while QUEUED; in kc_ipc.cancels while CANCEL is still to be said */
    kc_due due;
    kc_ipc *ipc;
    kc_ipc_chan *chan; /* NULL: of the connection */
    kc_waiter *waiter;
    bool awaited; /* somebody waits for it, or is about to */
    kc_caller *caller; /* while it waits for room */
    kc_ipc_region *region; /* that it drops while nobody waits for it: it is freed with its end */
    kc_client_frame *reply_frame;
    kc_ipc_message *messages; /* room for max_items */
    kc_ipc_loan **loans; /* that are sent; by clause in a select */
    uint8_t *out;
    uint64_t bytes;      /* of the frame; counted in the bounds if `counted` */
    uint64_t answer_bytes; /* counted in those of the connection until it is told or freed */
    uint64_t receiving;  /* select: a bit for each clause that receives */
    uint64_t acking;     /* the same of those that acknowledge, and of SENDER below; receive: bit 0 */
    uint64_t signing;
    int64_t deadline_ns; /* until it began to leave: to do so; then with the grace. It never moves again but to come nearer */
    kc_reply reply;
    int32_t timeout_ms;  /* as the frame says */
    int32_t code;
    uint32_t flags;      /* enum kc_ipc_result_flag */
    uint32_t timeout_at; /* where TIMEOUT_MS stands in `out` */
    uint32_t max_items;  /* messages that may come; 0: none */
    uint32_t sent_items; /* messages or clauses that go out */
    uint32_t message_count;
    uint32_t req_id;
    uint32_t file_count;
    int files[KC_MAX_FILES];
    uint16_t cmd;
    uint8_t stage; /* enum kc_op_stage */
    bool counted;
    bool confirm;
    bool cancel_owed; /* it stands in kc_ipc.cancels */
    bool cancelled;   /* before it began: it will not */
};

struct kc_ipc_chan {
    kc_ipc *ipc;
    kc_lane lane;
    kc_queue queue;
    kc_ipc_chan_info info;
    uint32_t requests;
    uint64_t bytes;
    unsigned refs; /* the handle, and operations on it */
};

/* --- the connection ----------------------------------------------------------------------------------------------- */

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
void kc_client_drop(kc_ipc *ipc);      /* not with the lock held */
bool kc_client_enter(kc_ipc *ipc);     /* takes the lock; false in a child of fork */
void kc_client_leave(kc_ipc *ipc);
void kc_client_lock(kc_ipc *ipc);      /* for who knows that this is no child of fork */
void kc_client_let(kc_ipc *ipc);       /* with the lock: whoever wants it has it in between */
/* KC_EPROTO, in words: so many bytes are more than this bound of the configuration. */
int kc_client_excess(kc_ipc *ipc, const char *what, uint64_t bytes, const char *bound, uint64_t max_bytes);
int64_t kc_client_now_ns(void);
void kc_client_close_files(int *files, uint32_t count);

/* connect_hello.c */
int kc_connect_greet(kc_ipc *ipc, kc_ipc_op *hello, const char *name, int64_t deadline_ns);
void kc_connect_give_up(kc_ipc *ipc); /* its greeting was cancelled; with the lock */

/* wait.c */
extern const kc_ipc_waiting kc_thread_waiting;
void kc_client_wait(kc_ipc *ipc, kc_waiter *waiter); /* until it is ready; with the lock */
void kc_client_ready(kc_ipc *ipc, kc_waiter *waiter);
void kc_client_quit(kc_ipc *ipc);    /* shuts what was disconnected when nobody sleeps on it */
bool kc_client_tower(kc_ipc *ipc);   /* makes what coroutines sleep on */
void kc_client_pause(kc_ipc *ipc, int64_t until_ns); /* while nobody else uses the connection */
void kc_client_move(kc_ipc *ipc); /* sends what can be sent now, and looks at the clock; with the lock */
void kc_client_step(kc_ipc *ipc); /* and reads so many times, unless somebody else does */

/* timer.c */
void kc_client_ring_at(kc_ipc *ipc, int64_t at_ns); /* INT64_MAX: not */
void kc_client_arm(kc_ipc *ipc, int64_t deadline_ns); /* then or earlier */
void kc_client_call(kc_ipc *ipc); /* the pilot, if it sleeps */
void kc_client_ring(kc_ipc *ipc); /* ends what is due, if it is time to look */

/* due.c */
void kc_due_set(kc_ipc *ipc, kc_due *due, int64_t at_ns); /* INT64_MAX: never. It was set before or not. */
void kc_due_clear(kc_ipc *ipc, kc_due *due);

/* credit.c */
bool kc_credit_try(kc_ipc *ipc, kc_ipc_chan *chan, uint64_t bytes);
int kc_credit_wait(kc_ipc *ipc, kc_ipc_op *op, int64_t deadline_ns);
void kc_credit_cancel(kc_ipc *ipc, kc_ipc_op *op); /* if it waits: KC_ECANCELED */
void kc_credit_give(kc_ipc *ipc, kc_ipc_chan *chan, uint64_t bytes);
void kc_credit_expire(kc_ipc *ipc, kc_caller *caller);
void kc_credit_end(kc_ipc *ipc);

/* output.c, input.c */
void kc_output_queue(kc_ipc *ipc, kc_ipc_op *op);
void kc_output_move(kc_ipc *ipc);
bool kc_output_forget(kc_ipc *ipc, kc_ipc_op *op); /* true if nothing of it had left */
bool kc_input_move(kc_ipc *ipc);                    /* whether something came */
void kc_client_frame_drop(kc_client_frame *frame);

/* judge.c: one whole frame. KC_OK or why the connection ends. */
int kc_judge(kc_ipc *ipc, kc_client_frame *frame);

/* op.c */
kc_ipc_op *kc_op_make(kc_ipc *ipc, kc_ipc_chan *chan, uint16_t cmd, size_t out_bytes);
void kc_op_unmake(kc_ipc_op *op);                 /* one that never began */
int kc_op_files(kc_ipc_op *op, const int *files, uint32_t count);
int kc_op_begin(kc_ipc_op *op, bool counted, bool may_wait); /* takes it over only with KC_OK */
int kc_op_launch(kc_ipc_op *op); /* one that nobody waits for; with the lock. It leaves with the next move. */
void kc_op_end(kc_ipc_op *op, int code);           /* with the lock */
void kc_op_settle(kc_ipc_op *op, int code);        /* its loans, and its flags */
int kc_op_run(kc_ipc_op *op, bool counted, kc_stop *stop, kc_ipc_result *result_out); /* begins, waits, tells */
void kc_op_done(kc_ipc_op *op); /* frees what was run, whether it began or not */
void kc_client_end(kc_ipc *ipc, int code);         /* with the lock */
void kc_client_shut(kc_ipc *ipc);                  /* closes what the connection has open, once */
int64_t kc_op_deadline(int32_t timeout_ms, int64_t extra_ns);
int32_t kc_op_left_ms(int64_t deadline_ns, int32_t timeout_ms); /* what is left of it, as the protocol has it */

/* ask.c: frames */
void kc_ask_writer(kc_writer *writer, kc_ipc_op *op, size_t room);
void kc_ask_timeout(kc_writer *writer, kc_ipc_op *op);
int kc_ask_finish(kc_writer *writer, kc_ipc_op *op);
int kc_ask_send(kc_ipc_chan *chan, const kc_ipc_payload *payloads, uint32_t count, const kc_ipc_wish *wish,
                kc_ipc_op **op_out);
int kc_ask_recv(kc_ipc_chan *chan, uint32_t max_items, bool batch, const kc_ipc_wish *wish, kc_ipc_op **op_out);
int kc_ask_select(kc_ipc *ipc, const kc_ipc_clause *clauses, uint32_t count, const kc_ipc_wish *wish,
                  kc_ipc_op **op_out);
uint64_t kc_ask_payload_bytes(const kc_ipc_payload *payload);
enum { KC_ASK_HEAD_BYTES = 128 }; /* header and scalars of any request */
int kc_ask_sum(const kc_ipc *ipc, const kc_ipc_payload *payload, uint64_t *bytes); /* or why it cannot be sent */
int kc_ask_put_payload(kc_writer *writer, kc_ipc_op *op, const kc_ipc_payload *payload, uint32_t at);
int kc_ask_loans(kc_ipc_op *op, uint32_t count);
int kc_ask_messages(kc_ipc_op *op, uint32_t max_items);
uint32_t kc_ask_recv_flags(uint32_t wished);
int kc_ask_done(kc_ipc_op *op, int code, kc_ipc_op **op_out); /* what is not asked leaves loans as they were */
kc_ipc_wish kc_ask_wish(const kc_ipc_wish *wish);
/* KC_EINVAL: it has what this operation does not know. */
int kc_ask_check_wish(const kc_ipc_wish *wish, uint32_t flags_known, bool may_expire);

/* control.c: requests that are answered at once */
kc_ipc_op *kc_control_make(kc_ipc *ipc, kc_ipc_chan *chan, uint16_t cmd, size_t more_bytes, kc_writer *writer_out);
/* Asks and waits; kc_op_done is due. */
int kc_control_run(kc_ipc_op *op, kc_writer *writer, bool counted, kc_stop *stop);
int kc_control_done(kc_ipc_op *op, kc_writer *writer, kc_stop *stop); /* and frees */

/* The calls of kc_ipc.h of these names, unless they are stopped: each beside its namesake. */
int kc_unless_connect(const kc_ipc_config *config, kc_stop *stop, kc_ipc **ipc_out);
int kc_unless_ping(kc_ipc *ipc, kc_stop *stop);
int kc_unless_make(kc_ipc *ipc, const char *name, const kc_ipc_chan_config *config, kc_stop *stop,
                   kc_ipc_chan **chan_out);
int kc_unless_open(kc_ipc *ipc, const char *name, uint32_t rights, int32_t timeout_ms, kc_stop *stop,
                   kc_ipc_chan **chan_out);
int kc_unless_open_id(kc_ipc *ipc, uint32_t chan_id, uint32_t rights, kc_stop *stop, kc_ipc_chan **chan_out);
int kc_unless_close(kc_ipc_chan *chan, kc_stop *stop);
bool kc_chan_hold(kc_ipc_chan *chan); /* it outlives kc_ipc_chan_free. false: in a child of fork */
bool kc_chan_let(kc_ipc_chan *chan);  /* false: in a child of fork, where nothing is done */
void kc_chan_left(kc_ipc_chan *chan); /* a user fewer, the last one gives it back; with the lock and another reference */
int kc_unless_destroy(kc_ipc_chan *chan, const char *reason, kc_stop *stop);
int kc_unless_purge(kc_ipc_chan *chan, kc_stop *stop, uint32_t *count_out);
int kc_unless_statistics(kc_ipc_chan *chan, kc_stop *stop, uint64_t stats_out[KC_STAT_END]);
int kc_unless_send_many(kc_ipc_chan *chan, const kc_ipc_payload *payloads, uint32_t count, const kc_ipc_wish *wish,
                        kc_stop *stop, kc_ipc_result *result_out);
int kc_unless_settle(kc_ipc *ipc, uint16_t cmd, const uint64_t *deliveries, uint32_t count, kc_stop *stop);
int kc_unless_region_make(kc_ipc *ipc, size_t bytes, kc_stop *stop, kc_ipc_region **region_out);
int kc_unless_region_free(kc_ipc_region *region, kc_stop *stop);

/* region.c, mapping.c */
enum kc_loan_state { KC_LOAN_WRITING, KC_LOAN_SENDING, KC_LOAN_SENT };

struct kc_ipc_loan {
    kc_ipc_region *region;
    kc_ipc_loan *next;
    uint64_t offset;
    uint64_t length; /* as it was asked for */
    uint64_t room;   /* what it takes */
    enum kc_loan_state state;
    bool freed; /* while SENDING: the daemon's word came before the answer to the send */
    bool unsure; /* while SENT: if it was never accepted, no word comes */
};

/* Its loans stand in the order of their offsets and do not overlap. */
struct kc_ipc_region {
    kc_ipc *ipc;
    kc_ipc_region *next; /* in kc_ipc.regions */
    uint64_t id;
    uint8_t *memory;
    size_t bytes;
    kc_ipc_loan *loans;
    bool dropping;
    bool abandoned; /* nobody will free it: it goes with the last that uses it */
    bool again;     /* a loan of it went while it was asked whether it may go */
};

int kc_loan_begin(kc_ipc_loan *loan, size_t length, kc_desc_value *range_out); /* with the lock */
/* Whether it is gone, else it is the caller's as before; and whether that is unsure. */
void kc_loan_settle(kc_ipc_loan *loan, bool gone, bool unsure);
kc_ipc *kc_loan_ipc(const kc_ipc_loan *loan);
void kc_region_freed(kc_ipc *ipc, const kc_desc_value *range);
void kc_region_left(kc_ipc_region *region); /* a loan fewer that is used: frees what is abandoned and not used; with the lock */
void kc_region_dropped(kc_ipc_region *region, int code); /* the answer to the REGION_DROP of what is abandoned */
void kc_regions_end(kc_ipc *ipc); /* the connection has ended */
bool kc_mappings_make(kc_ipc *ipc); /* the table; kc_client_drop frees it */
int kc_mapping_add(kc_ipc *ipc, kc_client_frame *frame, const kc_reply *reply);
void kc_mapping_gone(kc_ipc *ipc, uint64_t region);
int kc_mapping_lend(kc_ipc *ipc, const kc_desc_value *range, kc_ipc_message *message_out);
void kc_mapping_drop(kc_ipc *ipc, kc_mapping *mapping);
void kc_mappings_forget(kc_ipc *ipc); /* with the connection */

/* address.c, unix.c */
int kc_unix_connect(const char *path, bool seqpacket, void **link_out); /* KC_EAGAIN: the backlog is full */
const kc_ipc_transport *kc_unix_transport(bool seqpacket);

#endif
