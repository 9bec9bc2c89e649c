/* kc_client_op.h: operations, and the handles on channels that they are on: made, begun, waited for, told. What may end
 * a call from outside stands in kc_client_unless.h.
 *
 * Invariants: an operation ends once; from its begin until it is freed it keeps its handle and its connection.
 */
#ifndef KC_CLIENT_OP_H
#define KC_CLIENT_OP_H

#include <stdbool.h>

#include "client/kc_client_frame.h"
#include "client/kc_client_unless.h"
#include "client/kc_client_wait.h"

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
    /* Until it began to leave: to do so; then with the grace. It never moves again but to come nearer. */
    int64_t deadline_ns;
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

/* chan.c */
enum { KC_CHAN_BYTES = 20 * 12 + 2 * (KC_ATTR_HEAD_BYTES + KC_MAX_TEXT_BYTES) };
int kc_chan_text(kc_writer *writer, uint16_t type, const char *text); /* NULL: none. Or why it cannot be sent */
bool kc_chan_hold(kc_ipc_chan *chan); /* it outlives kc_ipc_chan_free. false: in a child of fork */
bool kc_chan_let(kc_ipc_chan *chan);  /* false: in a child of fork, where nothing is done */
/* A user fewer: the last one gives it back. With the lock, and another reference to the connection. */
void kc_chan_left(kc_ipc_chan *chan);

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

#endif
