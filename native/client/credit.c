/* credit.c: how much may be in flight, of a connection and of each of its channels (kc_client.h).
 *
 * Invariants: who is granted room has it counted in the same step; callers are granted in their order, and one that only
 * its channel's bound keeps back keeps back nobody of another channel.
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

static void kc_credit_take(kc_ipc *ipc, kc_ipc_chan *chan, uint64_t bytes)
{
    ipc->requests++;
    ipc->bytes += bytes;
    if (chan != NULL) {
        chan->requests++;
        chan->bytes += bytes;
    }
}

static void kc_credit_answer(kc_ipc *ipc, kc_caller *caller, int code)
{
    kc_link_remove(&caller->link);
    ipc->caller_count--;
    caller->code = code;
    caller->op->caller = NULL;
    kc_client_ready(ipc, &caller->waiter);
}

static void kc_credit_grant(kc_ipc *ipc)
{
    kc_link *next;
    for (kc_link *at = ipc->callers.next; at != &ipc->callers; at = next) {
        kc_caller *caller = KC_LINK_OWNER(at, kc_caller, link);
        next = at->next;
        if (!kc_credit_chan_fits(ipc, caller->chan, caller->bytes)) {
            continue;
        }
        if (!kc_credit_fits(ipc->requests, ipc->bytes, ipc->max_requests, ipc->max_bytes, caller->bytes)) {
            break;
        }
        kc_credit_take(ipc, caller->chan, caller->bytes);
        kc_credit_answer(ipc, caller, KC_OK);
    }
}

/* Whether a caller stands before this one: for its channel, or for the connection. */
static bool kc_credit_is_late(const kc_ipc *ipc, const kc_ipc_chan *chan)
{
    for (kc_link *at = ipc->callers.next; at != &ipc->callers; at = at->next) {
        const kc_caller *caller = KC_LINK_OWNER(at, kc_caller, link);
        if (caller->chan == chan || kc_credit_chan_fits(ipc, caller->chan, caller->bytes)) {
            return true;
        }
    }
    return false;
}

bool kc_credit_try(kc_ipc *ipc, kc_ipc_chan *chan, uint64_t bytes)
{
    if (kc_credit_is_late(ipc, chan) || !kc_credit_chan_fits(ipc, chan, bytes) ||
        !kc_credit_fits(ipc->requests, ipc->bytes, ipc->max_requests, ipc->max_bytes, bytes)) {
        return false;
    }
    kc_credit_take(ipc, chan, bytes);
    return true;
}

int kc_credit_wait(kc_ipc *ipc, kc_ipc_op *op, int64_t deadline_ns)
{
    kc_caller caller = {.op = op, .chan = op->chan, .bytes = op->bytes, .deadline_ns = deadline_ns, .code = KC_OK};
    if (kc_credit_try(ipc, op->chan, op->bytes)) {
        return KC_OK;
    }
    op->caller = &caller;
    kc_link_append(&ipc->callers, &caller.link);
    ipc->caller_count++;
    kc_client_arm(ipc, deadline_ns);
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
    kc_credit_grant(ipc);
}

void kc_credit_expire(kc_ipc *ipc, int64_t now_ns, int64_t *next_ns)
{
    kc_link *next;
    for (kc_link *at = ipc->callers.next; at != &ipc->callers; at = next) {
        kc_caller *caller = KC_LINK_OWNER(at, kc_caller, link);
        next = at->next;
        if (caller->deadline_ns <= now_ns) {
            kc_credit_answer(ipc, caller, KC_ETIME);
        } else if (caller->deadline_ns < *next_ns) {
            *next_ns = caller->deadline_ns;
        }
    }
    kc_credit_grant(ipc); /* who stood behind one that left may fit */
}

void kc_credit_cancel(kc_ipc *ipc, kc_ipc_op *op)
{
    if (op->caller != NULL) {
        kc_credit_answer(ipc, op->caller, KC_ECANCELED);
        kc_credit_grant(ipc); /* who stood behind it may fit */
    }
}

void kc_credit_end(kc_ipc *ipc)
{
    while (!kc_link_empty(&ipc->callers)) {
        kc_credit_answer(ipc, KC_LINK_OWNER(ipc->callers.next, kc_caller, link), ipc->ended);
    }
}
