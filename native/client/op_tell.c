/* op_tell.c: an operation as its caller sees it: waited for, told, cancelled, freed (kcoro/kc_ipc.h). */
#include <string.h>

#include "client/kc_client.h"

/* Its answer is the caller's from now on. */
static void kc_op_taken(kc_ipc_op *op)
{
    op->ipc->answer_bytes -= op->answer_bytes;
    op->answer_bytes = 0;
}

static void kc_op_tell(kc_ipc_op *op, kc_ipc_result *result)
{
    const kc_reply *reply = &op->reply;
    *result = (kc_ipc_result){.code = op->code, .flags = op->flags, .index = UINT32_MAX};
    kc_op_taken(op);
    if (op->reply_frame == NULL) {
        memcpy(result->reason, op->ipc->why, op->code == op->ipc->ended ? sizeof op->ipc->why : 0);
        return;
    }
    result->index = reply->index;
    result->count = (reply->seen & KC_REPLY_COUNT) != 0 ? reply->count
                    : op->code == KC_OK && op->cmd == KC_CMD_CHAN_SEND ? op->sent_items : 0;
    result->dropped = reply->dropped;
    result->flags |= reply->dropped != 0 ? KC_IPC_DROPPED : 0;
    result->quota_limit = reply->quota_limit;
    result->quota_usage = reply->quota_usage;
    kc_reply_text(result->reason, &reply->reason);
    kc_reply_text(result->quota_name, &reply->quota_name);
    kc_reply_text(result->quota_setting, &reply->quota_setting);
    if (op->message_count != 0) {
        result->messages = op->messages;
        result->message_count = op->message_count;
        result->owner = op->ipc;
        op->messages = NULL;
        op->message_count = 0;
        kc_client_keep(op->ipc);
    }
}

static int kc_op_await(kc_ipc_op *op)
{
    kc_ipc *ipc = op->ipc;
    if (op->stage != KC_OP_ENDED) {
        if (op->waiter != NULL) {
            return KC_EBUSY;
        }
        kc_waiter waiter = {.ready = false};
        op->waiter = &waiter;
        kc_client_wait(ipc, &waiter);
        op->waiter = NULL;
    }
    return op->code;
}

KC_API int kc_ipc_op_wait(kc_ipc_op *op, kc_ipc_result *result_out)
{
    if (result_out != NULL) {
        *result_out = (kc_ipc_result){.code = KC_EBADF, .index = UINT32_MAX};
    }
    if (!kc_client_enter(op->ipc)) {
        return KC_EBADF;
    }
    int code = kc_op_await(op);
    if (op->stage == KC_OP_ENDED && result_out != NULL) {
        kc_op_tell(op, result_out);
    } else if (result_out != NULL) {
        result_out->code = code;
    }
    kc_client_leave(op->ipc);
    return code;
}

KC_API int kc_ipc_op_ended(kc_ipc_op *op)
{
    bool ended = true;
    if (kc_client_enter(op->ipc)) {
        kc_client_step(op->ipc);
        ended = op->stage == KC_OP_ENDED;
        kc_client_leave(op->ipc);
    }
    return ended;
}

static void kc_op_ask_cancel(kc_ipc *ipc, kc_ipc_op *op)
{
    if (op->req_id == 0) { /* kc_op_begin has not come so far */
        op->cancelled = true;
        kc_credit_cancel(ipc, op);
        if (op->cmd == KC_CMD_HELLO) {
            kc_connect_give_up(ipc);
        }
        return;
    }
    if (op->stage == KC_OP_ENDED || op->cancel_owed) {
        return;
    }
    if (kc_output_forget(ipc, op)) {
        kc_op_end(op, KC_ECANCELED);
        return;
    }
    op->cancel_owed = true;
    kc_link_append(&ipc->cancels, &op->link);
    int64_t deadline_ns = kc_op_deadline(0, ipc->grace_ns);
    op->deadline_ns = deadline_ns < op->deadline_ns ? deadline_ns : op->deadline_ns;
    kc_due_set(ipc, &op->due, op->deadline_ns);
    kc_output_move(ipc);
}

KC_API int kc_ipc_op_cancel(kc_ipc_op *op)
{
    if (!kc_client_enter(op->ipc)) {
        return KC_EBADF;
    }
    kc_op_ask_cancel(op->ipc, op);
    kc_client_leave(op->ipc);
    return KC_OK;
}

/* Frees what has ended, or in a child of fork; the parts of channel and connection with the lock. */
static void kc_op_release(kc_ipc_op *op)
{
    if (kc_client_enter(op->ipc)) {
        kc_op_taken(op);
        if (op->chan != NULL) {
            kc_chan_left(op->chan);
        }
        kc_client_leave(op->ipc);
    }
    kc_op_unmake(op);
}

int kc_op_run(kc_ipc_op *op, bool counted, kc_stop *stop, kc_ipc_result *result_out)
{
    if (stop != NULL) {
        stop->watch(stop, op); /* before it begins: that may wait too, for a bound */
    }
#if KC_MUTANT == 77 /* an answer that is read before its call waits is one that nobody waits for */
    int code = kc_op_begin(op, counted, counted);
#else
    int code = kc_op_begin(op, counted, true);
#endif
    if (code == KC_OK) {
        code = kc_ipc_op_wait(op, result_out);
    } else if (result_out != NULL) {
        result_out->code = code;
    }
    if (stop != NULL) {
        stop->leave(stop);
        stop->in_doubt = (op->flags & KC_IPC_IN_DOUBT) != 0;
    }
    return code;
}

void kc_op_done(kc_ipc_op *op)
{
    if (op->req_id != 0) {
        kc_op_release(op);
    } else {
        kc_op_unmake(op);
    }
}

KC_API void kc_ipc_op_free(kc_ipc_op *op)
{
    uint64_t deliveries[KC_MAX_ITEMS];
    uint32_t count = 0;
    if (op == NULL) {
        return;
    }
    if (kc_ipc_op_cancel(op) == KC_OK) {
        kc_ipc_op_wait(op, NULL);
        for (uint32_t i = 0; i < op->message_count && i < KC_MAX_ITEMS; i++) {
            if (op->messages[i].delivery != 0) {
                deliveries[count++] = op->messages[i].delivery;
            }
        }
    }
    if (count != 0) {
        kc_ipc_nack(op->ipc, deliveries, count);
    }
    kc_op_release(op);
}
