/* flow_back.c: messages that come back from who held them (kc_flow_give_back, kc_flow_untake): to their old place, or
 * to the policy for what was not delivered. How a message gets to a holder, and how it is lost, is flow.c.
 *
 * Invariants: the messages that came back are the front of their channel's queue, by qseq; one that was destroyed,
 * revoked, has expired or was overtaken by a newer value does not come back.
 */
#include "kc_flow.h"
#include "kc_pool.h"

/* HELD -> READY at its old place: among the REQUEUED at the front, by qseq. Givers-back usually come in order, oldest
 * or newest first, so the search runs from the nearer end; its length is bounded by what an account may hold. */
static uint32_t place_of(kc_engine *e, const kc_chan_rec *c, uint64_t qseq) {
    uint32_t after = c->requeue_tail;
    uint32_t next = c->ready.head;

    if (after == 0 || kc_msg_at(e, next)->qseq > qseq)
        return 0;
    if (kc_msg_at(e, after)->qseq < qseq)
        return after;
    if (qseq - kc_msg_at(e, next)->qseq < kc_msg_at(e, after)->qseq - qseq) { /* nearer to the front */
        while (next != 0 && kc_msg_at(e, next)->qseq < qseq) {
            after = next;
            next = kc_msg_at(e, next)->next;
        }
    } else {
        while (kc_msg_at(e, after)->qseq > qseq)
            after = kc_msg_at(e, after)->prev;
    }
    return after;
}

static void requeue(kc_engine *e, kc_chan_rec *c, uint32_t msg, uint32_t attempts) {
    kc_msg *m = kc_msg_at(e, msg);
    uint32_t after = place_of(e, c, m->qseq);

#if KC_MUTANT == 5 /* a message that comes back stands behind all others */
    after = c->ready.tail;
#endif
    (void)kc_msg_step(e, m, KC_MSG_READY, attempts, KC_MSG_REQUEUED, 0);
    kc_list_insert_after(&e->msgs, &c->ready, after, msg);
    if (m->expires_ns != 0)
        kc_deadline_add_message(e, msg);
    if (after == c->requeue_tail)
        c->requeue_tail = msg;
    c->requeued++;
    c->held--;
    kc_chan_touch(e, c);
}

static bool is_revoked(const kc_engine *e, uint32_t extra) {
    const kc_desc_extra *x = kc_extra_desc(e, extra);
    const kc_region_rec *regions = (const kc_region_rec *)(const void *)e->regions.base;

    return x != NULL && x->region != 0 && regions[x->region].revoked != 0;
}

/* What the policy makes of a message that could not be delivered: true = it is requeued. */
static bool comes_back(const kc_engine *e, const kc_chan_rec *c, const kc_msg *m, bool acked, uint32_t *reason) {
    uint32_t policy = acked ? KC_UNDELIVERED_REQUEUE : c->config.undelivered;
    bool stale = kc_chan_is(c, KC_KIND_CONFLATED) && c->seq != m->qseq;
    bool back = false;

    *reason = KC_REASON_UNDELIVERED;
    if (kc_chan_state_of(c) == KC_CHAN_DESTROYED)
        *reason = kc_word_reason(kc_word_load(&c->w));
    else if (m->extra != 0 && is_revoked(e, m->extra))
        *reason = KC_REASON_REVOKED;
#if KC_MUTANT != 21 /* a message that is given back after its time is delivered again */
    else if (m->expires_ns != 0 && m->expires_ns <= e->now_ns)
        *reason = KC_REASON_EXPIRED; /* it was not ended while it was held, and goes to nobody else */
#endif
    else
        back = (policy == KC_UNDELIVERED_REQUEUE || policy == KC_UNDELIVERED_BY_KIND) && !stale;
    return back;
}

void kc_flow_give_back(kc_engine *e, uint32_t tok) {
    kc_tok *t = kc_tok_at(e, tok);
    uint32_t msg = kc_word_peer(kc_word_load(&t->w));
    kc_msg *m = kc_msg_at(e, msg);
    kc_chan_rec *c = kc_chan_at(e, m->chan);
    uint32_t attempts = kc_word_attempts(kc_word_load(&m->w)) + 1;
    uint32_t reason = 0;
    bool back = comes_back(e, c, m, (t->flags & KC_OP_ACK) != 0, &reason);

    kc_chan_waiter_scope_release(e, tok);
#if KC_MUTANT == 6 /* attempts are not counted */
    attempts--;
#endif
    attempts = attempts > KC_MAX_ATTEMPTS ? KC_MAX_ATTEMPTS : attempts;
    if (back && c->config.max_attempts != 0 && attempts >= c->config.max_attempts) {
        kc_flow_lose(e, msg, KC_STAT_UNDELIVERED, KC_REASON_ATTEMPTS);
    } else if (back) {
        kc_stat_add(c, KC_STAT_UNDELIVERED_REQUEUED, 1);
        requeue(e, c, msg, attempts);
    } else {
        kc_flow_lose(e, msg, KC_STAT_UNDELIVERED, reason);
    }
}

void kc_flow_untake(kc_engine *e, uint32_t tok) {
    uint32_t msg = kc_word_peer(kc_word_load(&kc_tok_at(e, tok)->w));
    kc_msg *m = kc_msg_at(e, msg);
    kc_chan_rec *c = kc_chan_at(e, m->chan);
    uint32_t reason = 0;

    if (comes_back(e, c, m, true, &reason)) {
        kc_chan_waiter_scope_release(e, tok);
        requeue(e, c, msg, kc_word_attempts(kc_word_load(&m->w)));
    } else {
        kc_flow_give_back(e, tok); /* destroyed, expired, or overtaken by a newer value, since it was taken */
    }
}
