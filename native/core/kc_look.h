/* kc_look.h: the way of an offer: may it stand at its channel, can it proceed now, and if so, it runs.
 *
 * Inline, and the direction beside the offer, because every operation comes this way and where the direction is a
 * constant the other half falls away.
 */
#ifndef KC_LOOK_H
#define KC_LOOK_H

#include "kc_offer.h"

enum kc_verdict { KC_CAN_WAIT = 0, KC_CAN_RUN = 1, KC_CAN_NEVER = 2 };

/* KC_OK, or why this clause can never stand here: KC_EINVAL, KC_EMSGSIZE; KC_ENOTSUP: the channel is apart
 * (kc_cell.h). */
static inline int kc_offer_check(const kc_engine *e, const kc_offer *o, uint32_t dir) {
    const kc_chan_config *c = &o->chan->config;
    bool send = dir == KC_CLAUSE_SEND;
    uint64_t bytes = o->len_bytes;
    int rc = KC_OK;

    if (send && o->body != NULL && o->body->extra != 0)
        bytes += kc_offer_extra_bytes(e, o);
    if (o->chan->apart)
        rc = KC_ENOTSUP;
    else if (c->kind == KC_KIND_CONFLATED && (o->flags & (send ? KC_OP_CONFIRM : KC_OP_ACK)) != 0)
        rc = KC_EINVAL;
    else if (!send && (c->flags & KC_CHAN_ACK_REQUIRED) != 0 && (o->flags & KC_OP_ACK) == 0)
        rc = KC_EINVAL;
    else if (send && (c->flags & KC_CHAN_FIXED_SIZE) != 0 && bytes != c->elem_size)
        rc = KC_EINVAL;
    else if (send && bytes > c->elem_size)
        rc = KC_EMSGSIZE;
    return rc;
}

/* KC_EDQUOT for a receive that would hold one message too many: refused before it waits, not when its message comes. */
static inline int kc_offer_may_hold(const kc_engine *e, const kc_offer *o, uint32_t dir, kc_refusal *refusal) {
    bool holds = dir == KC_CLAUSE_RECV && (o->flags & KC_OP_HOLD) != 0;
    const kc_scope_rec *s = holds ? o->scope : NULL;
    int rc = KC_OK;

    if (s != NULL && s->held.count >= s->held_limit)
        rc = kc_refuse(refusal, KC_EDQUOT, KC_QUOTA_SCOPE_HELD, s->held_limit, s->held.count);
    else if (s != NULL)
        rc = kc_account_may_hold(e, s->account, refusal);
    return rc;
}

static inline bool kc_send_can_run(const kc_chan_rec *c, uint32_t len_bytes) {
    bool partner = kc_chan_is(c, KC_KIND_RENDEZVOUS) && c->waiters[KC_CLAUSE_RECV].count != 0;
    bool lossy = c->config.overflow != KC_OVERFLOW_SUSPEND;

    /* No barging: whoever is parked stands in front, whatever the length of this message. */
    return partner || lossy || (c->waiters[KC_CLAUSE_SEND].count == 0 && kc_chan_has_room(c, len_bytes));
}

static inline bool kc_recv_can_run(const kc_chan_rec *c) {
    bool partner = kc_chan_is(c, KC_KIND_RENDEZVOUS) && c->waiters[KC_CLAUSE_SEND].count != 0;

    return c->ready.count != 0 || partner;
}

/* Can it proceed now; KC_CAN_NEVER: the channel is closed (KC_EPIPE) or destroyed (KC_ECANCELED), code in result. */
static inline enum kc_verdict kc_offer_look(kc_engine *e, const kc_offer *o, uint32_t dir, kc_result *result) {
    kc_chan_rec *c = o->chan;
    uint32_t state = kc_chan_state_of(c);
    bool send = dir == KC_CLAUSE_SEND;
    bool can_run = send ? kc_send_can_run(c, o->len_bytes) : kc_recv_can_run(c);
    enum kc_verdict verdict = can_run ? KC_CAN_RUN : KC_CAN_WAIT;

    if (state == KC_CHAN_DESTROYED) {
        result->code = KC_ECANCELED;
        result->reason = kc_word_reason(kc_word_load(&c->w));
        verdict = KC_CAN_NEVER;
    } else if (send ? state != KC_CHAN_OPEN : !can_run && kc_offer_drained(e, c, o->scope)) {
        result->code = KC_EPIPE;
        verdict = KC_CAN_NEVER;
    }
    return verdict;
}

/* Runs the offer, once it is known that it can. */
static inline int kc_offer_run(kc_engine *e, const kc_offer *o, uint32_t dir, const kc_op *op, kc_result *result) {
    bool send = dir == KC_CLAUSE_SEND;
    int rc = send ? kc_offer_send(e, o, op, result) : kc_offer_recv(e, o, op, result);

    if (e->breach != 0 && rc == KC_OK)
        rc = kc_offer_spoiled(e, result);
    if (rc >= 0) {
        result->clause = o->index;
        result->flags |= send ? KC_RESULT_SEND : 0U;
    }
    return rc;
}

/* An operation that cannot proceed and may not wait: KC_EAGAIN, KC_ETIME, or KC_OK when it may. */
static inline int kc_offer_patience(const kc_engine *e, const kc_op *op) {
    int rc = KC_OK;

    if ((op->flags & KC_OP_TRY) != 0)
        rc = KC_EAGAIN;
    else if (op->deadline_ns <= e->now_ns)
        rc = KC_ETIME;
    return rc;
}

/* Counts EAGAIN, ETIME and EPIPE where they were met. */
static inline void kc_offer_count(const kc_offer *o, int code) {
    if (code < 0)
        kc_offer_count_refusal(o, code);
}

#endif
