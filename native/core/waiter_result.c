/* waiter_result.c: what the owner of a decided operation learns: its result, with the message that it received, and how
 * results are taken from their port. How an operation is decided is waiter.c, and where results wait, port.c.
 *
 * Invariant: a token is collected once; it is freed then, unless it holds its message for its owner (KC_RESULT_HELD).
 */
#include "kc_flow.h"

static int32_t code_of(uint32_t res) {
    static const int32_t codes[] = {[KC_RES_OK] = KC_OK,
                                    [KC_RES_CLOSED] = KC_EPIPE,
                                    [KC_RES_DESTROYED] = KC_ECANCELED,
                                    [KC_RES_TIMEOUT] = KC_ETIME,
                                    [KC_RES_CANCEL] = KC_ECANCELED,
                                    [KC_RES_DEAD] = KC_ECANCELED,
                                    [KC_RES_UNCONFIRMED] = KC_EINPROGRESS,
                                    [KC_RES_LOST] = KC_ECANCELED,
                                    [KC_RES_MEMORY] = KC_ENOMEM};
    return codes[res];
}

static void describe_message(kc_engine *e, const kc_tok *t, uint32_t msg, kc_result *result) {
    const kc_msg *m = kc_msg_at(e, msg);
    uint32_t attempts = kc_word_attempts(kc_word_load(&m->w));

    result->flags |= KC_RESULT_MESSAGE;
    result->flags |= attempts != 0 ? KC_RESULT_REDELIVERED : 0U;
    result->flags |= (t->flags & KC_OP_ACK) != 0 ? KC_RESULT_ACK : 0U;
    result->flags |= (t->flags & KC_OP_SENDER) != 0 ? KC_RESULT_SENDER : 0U;
    result->attempts = attempts;
    result->body = kc_msg_body(m);
}

/* A confirmed send whose message was accepted, and whose end is not the acknowledgement. */
static bool was_taken(uint32_t res) { return res == KC_RES_UNCONFIRMED || res == KC_RES_LOST; }

void kc_result_hold(kc_engine *e, uint32_t tok, kc_result *result) {
    const kc_tok *t = kc_tok_at(e, tok);
    uint64_t w = kc_word_load(&t->w);

    if (kc_tok_holds(t)) {
        describe_message(e, t, kc_word_peer(w), result);
        if ((t->flags & KC_OP_HOLD) != 0) {
            result->token = kc_ticket_of(tok, w);
            result->flags |= KC_RESULT_HELD;
        }
    }
}

void kc_result_of(kc_engine *e, uint32_t tok, kc_result *result) {
    const kc_tok *t = kc_tok_at(e, tok);
    uint64_t w = kc_word_load(&t->w);

    kc_result_begin(result, t->user, 0);
    result->code = code_of(kc_word_res(w));
    result->clause = kc_word_clause(w);
    result->reason = t->reason;
    result->flags = t->dir == KC_CLAUSE_SEND ? KC_RESULT_SEND : 0U;
    result->flags |= was_taken(kc_word_res(w)) ? KC_RESULT_TAKEN : 0U;
    if (t->chan != 0)
        result->chan = (uint64_t)t->chan_gen << 32 | t->chan;
    kc_result_hold(e, tok, result);
}

void kc_result_collect(kc_engine *e, uint32_t tok, kc_result *result) {
    kc_tok *t = kc_tok_at(e, tok);

    kc_port_unlink(e, tok);
    kc_result_of(e, tok, result);
    if ((result->flags & KC_RESULT_HELD) != 0)
        return;
    if (kc_tok_holds(t)) {
        uint32_t msg = kc_word_peer(kc_word_load(&t->w));
        kc_chan_waiter_scope_release(e, tok);
        kc_flow_done(e, msg, &result->body);
    } else {
        kc_chan_waiter_scope_release(e, tok);
    }
}

/* A glance without the lock: a result that is just being pushed is seen next time, and arming looks again under it. */
static bool port_is_quiet(const kc_engine *e, uint32_t port) {
    const kc_port_rec *p = &e->ports[port];

    return (atomic_load_explicit(&p->waiting, memory_order_relaxed) |
            atomic_load_explicit(&p->armed, memory_order_relaxed)) == 0;
}

uint32_t kc_port_take(kc_engine *e, uint32_t port, kc_result *results, uint32_t max) {
    uint32_t taken = 0;

    if (port == 0 || port > e->port_capacity || port_is_quiet(e, port))
        return 0;
    kc_enter(e);
    if (e->ports[port].used) {
        kc_list *done = &e->ports[port].done;
        atomic_store_explicit(&e->ports[port].armed, 0, memory_order_relaxed); /* whoever takes is awake */
        while (taken < max && done->count != 0) {
            kc_result_collect(e, done->head, &results[taken++]);
            if (done->count == 0)
                kc_settle(e);
        }
    }
    kc_leave(e);
    return taken;
}
