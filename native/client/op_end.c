/* op_end.c: how an operation ends, and all of them with their connection (kc_client_op.h).
 *
 * Invariants: an operation ends once; what it sends of ours (loans) is settled in that step, and its part of the bounds
 * given back; from then on only whoever waits for it or frees it uses it.
 */
#include <string.h>

#include "client/kc_client.h"

/* How many of its messages are settled, from the front. */
static uint32_t kc_op_settled(const kc_ipc_op *op, int code)
{
    uint32_t count = (op->reply.seen & KC_REPLY_COUNT) != 0 ? op->reply.count : op->sent_items;
    return code == KC_OK ? count : 0;
}

/* Whether the daemon says what became of the first message that is not settled. One that does not has no such FLAGS. */
static bool kc_op_is_told(const kc_ipc_op *op)
{
    return op->confirm && (op->reply.seen & KC_REPLY_FLAGS) != 0;
}

/* Whether the first message that is not settled was or may have been taken. They are sent one after the other, so none
 * behind it was. A confirmed one that was cancelled was never accepted, or accepted and then lost. */
static bool kc_op_is_unconfirmed(const kc_ipc_op *op, int code)
{
    if (op->cmd != KC_CMD_CHAN_SEND || op->stage < KC_OP_LEAVING || (op->flags & KC_IPC_IN_DOUBT) != 0) {
        return false;
    }
    bool stopped = code == KC_ECANCELED || (code == KC_OK && kc_op_settled(op, code) < op->sent_items);
    if (kc_op_is_told(op) && code != KC_EINPROGRESS) {
        return (stopped || code != KC_OK) && (op->reply.flags & KC_FLAG_SENT_TAKEN) != 0;
    }
    return code == KC_EINPROGRESS || (op->confirm && stopped);
}

static bool kc_op_loan_is_gone(const kc_ipc_op *op, int code, uint32_t at)
{
    if ((op->flags & KC_IPC_IN_DOUBT) != 0) {
        return true;
    }
    if (op->cmd == KC_CMD_SELECT) {
        return code == KC_OK && at == op->reply.index;
    }
    uint32_t settled = kc_op_settled(op, code);
#if KC_MUTANT == 65 /* a confirmed loan that was cancelled goes back to its sender, though the daemon frees it */
    return at < settled;
#else
    return at < settled || (at == settled && (op->flags & KC_IPC_UNCONFIRMED) != 0);
#endif
}

void kc_op_settle(kc_ipc_op *op, int code)
{
    op->flags |= kc_op_is_unconfirmed(op, code) ? (uint32_t)KC_IPC_UNCONFIRMED : 0;
    bool taken = (op->flags & KC_IPC_UNCONFIRMED) == 0 || code == KC_EINPROGRESS || kc_op_is_told(op);
    for (uint32_t i = 0; op->loans != NULL && i < op->sent_items; i++) {
        if (op->loans[i] != NULL) {
            bool gone = kc_op_loan_is_gone(op, code, i);
            kc_loan_settle(op->loans[i], gone, gone && !taken && i >= kc_op_settled(op, code));
            op->loans[i] = NULL;
        }
    }
}

void kc_op_end(kc_ipc_op *op, int code)
{
    kc_ipc *ipc = op->ipc;
    if (op == ipc->greeting) {
        ipc->greeting = NULL;
    } else {
        ipc->table[op->req_id & ipc->table_mask] = NULL;
        ipc->under_way--;
    }
    if (ipc->current == op) {
        ipc->current = NULL; /* what is left of its frame still goes out */
    }
    kc_op_settle(op, code);
    op->stage = KC_OP_ENDED;
    op->code = code;
    kc_due_clear(ipc, &op->due);
    if (op->cancel_owed) {
        op->cancel_owed = false;
        kc_link_remove(&op->link);
    }
    if (op->counted) {
        op->counted = false;
        kc_credit_give(ipc, op->chan, op->bytes);
    }
    if (op->waiter != NULL) {
        kc_client_ready(ipc, op->waiter);
    }
    if (op->region != NULL) {
        kc_ipc_region *region = op->region;
        ipc->answer_bytes -= op->answer_bytes;
        kc_op_unmake(op);
        kc_region_dropped(region, code);
    }
}

static void kc_op_lose(kc_ipc *ipc, kc_ipc_op *op)
{
    if (op->stage == KC_OP_QUEUED) {
        kc_output_forget(ipc, op);
    } else {
        op->flags |= KC_IPC_IN_DOUBT;
    }
    kc_op_end(op, ipc->ended);
}

void kc_client_end(kc_ipc *ipc, int code)
{
    if (ipc->ended != KC_OK) {
        return;
    }
    static const char no_memory[] = "this program has no memory for what the connection needs";
    ipc->ended = code;
    if (code == KC_ENOMEM && ipc->why[0] == '\0') {
        memcpy(ipc->why, no_memory, sizeof no_memory);
    }
    ipc->deaf = true;
    if (ipc->greeting != NULL) {
        kc_op_lose(ipc, ipc->greeting);
    }
    for (uint32_t i = 0; i <= ipc->table_mask; i++) {
        if (ipc->table[i] != NULL) {
            kc_op_lose(ipc, ipc->table[i]);
        }
    }
    kc_credit_end(ipc);
    kc_regions_end(ipc);
    kc_mappings_forget(ipc); /* those in which messages lie stay */
    kc_client_arm(ipc, 1); /* the pilot sleeps on the descriptor */
}
