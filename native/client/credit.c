/* credit.c: how much may be in flight, of a connection and of each of its channels (kc_client.h).
 *
 * Callers of one channel, or of none, stand in one queue and are granted in their order. A queue stands in `queues`
 * while only the connection's bound keeps its first caller back; such queues take turns, each giving one caller, so
 * that nobody of another channel waits for a channel whose own bound is tight, nor is one looked at in vain.
 *
 * Invariants: who is granted room has it counted in the same step; one step of giving, granting or leaving looks at one
 * caller, however many wait.
 */
#include "client/kc_client.h"

/* One alone may be longer than the bound: it would wait for ever. */
static bool kc_credit_fits(uint32_t requests, uint64_t bytes, uint32_t max_requests, uint64_t max_bytes, uint64_t more)
{
    return requests < max_requests && (requests == 0 || (more <= max_bytes && bytes <= max_bytes - more));
}

static bool kc_credit_chan_fits(const kc_ipc *ipc, const kc_ipc_chan *chan, uint64_t bytes)
{
    return chan == NULL ||
           kc_credit_fits(chan->requests, chan->bytes, ipc->max_chan_requests, ipc->max_chan_bytes, bytes);
}

static bool kc_credit_all_fits(kc_ipc *ipc, uint64_t bytes)
{
    ipc->steps++;
    return kc_credit_fits(ipc->requests, ipc->bytes, ipc->max_requests, ipc->max_bytes, bytes);
}

static void kc_credit_take(kc_ipc *ipc, kc_ipc_chan *chan, uint64_t bytes)
{
    ipc->requests++;
    ipc->bytes += bytes;
    if (chan != NULL) {
        chan->requests++;
        chan->bytes += bytes;
    }
}

/* --- queues ------------------------------------------------------------------------------------------------------- */

static kc_queue *kc_credit_queue(kc_ipc *ipc, kc_ipc_chan *chan)
{
    return chan != NULL ? &chan->queue : &ipc->queue;
}

static kc_caller *kc_credit_first(const kc_queue *queue)
{
    return KC_LINK_OWNER(queue->callers.next, kc_caller, link);
}

/* After its first caller or its channel's room has changed. */
static void kc_credit_place(kc_ipc *ipc, kc_queue *queue)
{
    ipc->steps++;
    bool ready = !kc_link_empty(&queue->callers);
    if (ready) {
        const kc_caller *caller = kc_credit_first(queue);
        ready = kc_credit_chan_fits(ipc, caller->chan, caller->bytes);
    }
    if (!ready) {
        kc_link_remove(&queue->link);
    } else if (kc_link_empty(&queue->link)) {
        kc_link_append(&ipc->queues, &queue->link);
    }
}

static void kc_credit_answer(kc_ipc *ipc, kc_caller *caller, int code)
{
    kc_due_clear(ipc, &caller->due);
    kc_link_remove(&caller->link);
    kc_link_remove(&caller->among);
    ipc->caller_count--;
    caller->code = code;
    caller->op->caller = NULL;
    kc_client_ready(ipc, &caller->waiter);
    kc_credit_place(ipc, kc_credit_queue(ipc, caller->chan));
}

static void kc_credit_grant(kc_ipc *ipc)
{
    while (!kc_link_empty(&ipc->queues)) {
        kc_queue *queue = KC_LINK_OWNER(ipc->queues.next, kc_queue, link);
        kc_caller *caller = kc_credit_first(queue);
        if (!kc_credit_all_fits(ipc, caller->bytes)) {
            break;
        }
        kc_credit_take(ipc, caller->chan, caller->bytes);
        kc_link_remove(&queue->link); /* its next turn comes after the others' */
        kc_credit_answer(ipc, caller, KC_OK);
    }
}

/* --- asking and giving -------------------------------------------------------------------------------------------- */

/* Nobody passes one who stands before: for its channel, or for the connection. */
bool kc_credit_try(kc_ipc *ipc, kc_ipc_chan *chan, uint64_t bytes)
{
    bool late = !kc_link_empty(&kc_credit_queue(ipc, chan)->callers) || !kc_link_empty(&ipc->queues);
    if (late || !kc_credit_chan_fits(ipc, chan, bytes) || !kc_credit_all_fits(ipc, bytes)) {
        return false;
    }
    kc_credit_take(ipc, chan, bytes);
    return true;
}

int kc_credit_wait(kc_ipc *ipc, kc_ipc_op *op, int64_t deadline_ns)
{
    kc_caller caller = {.due = {.caller = true}, .op = op, .chan = op->chan, .bytes = op->bytes, .code = KC_OK};
    kc_queue *queue = kc_credit_queue(ipc, op->chan);
    op->caller = &caller;
    kc_link_append(&queue->callers, &caller.link);
    kc_link_append(&ipc->callers, &caller.among);
    ipc->caller_count++;
    kc_credit_place(ipc, queue);
    kc_due_set(ipc, &caller.due, deadline_ns);
    kc_client_wait(ipc, &caller.waiter);
    return caller.code;
}

void kc_credit_give(kc_ipc *ipc, kc_ipc_chan *chan, uint64_t bytes)
{
    ipc->requests--;
    ipc->bytes -= bytes;
    if (chan != NULL) {
        chan->requests--;
        chan->bytes -= bytes;
    }
    kc_credit_place(ipc, kc_credit_queue(ipc, chan));
    kc_credit_grant(ipc);
}

/* --- leaving without ---------------------------------------------------------------------------------------------- */

static void kc_credit_leave(kc_ipc *ipc, kc_caller *caller, int code)
{
    kc_credit_answer(ipc, caller, code);
#if KC_MUTANT != 67 /* who stood behind a caller that leaves waits for the next answer */
    kc_credit_grant(ipc);
#endif
}

void kc_credit_expire(kc_ipc *ipc, kc_caller *caller)
{
    kc_credit_leave(ipc, caller, KC_ETIME);
}

void kc_credit_cancel(kc_ipc *ipc, kc_ipc_op *op)
{
    if (op->caller != NULL) {
        kc_credit_leave(ipc, op->caller, KC_ECANCELED);
    }
}

void kc_credit_end(kc_ipc *ipc)
{
    while (!kc_link_empty(&ipc->callers)) {
        kc_credit_answer(ipc, KC_LINK_OWNER(ipc->callers.next, kc_caller, among), ipc->ended);
    }
}
