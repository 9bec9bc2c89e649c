/* waiter.c: how a waiting operation ends that nobody matched: by its channel, by a cancel, by time. What its owner
 * learns is waiter_result.c; what it may do with a message that it holds, waiter_held.c.
 *
 * Invariant: whoever ends a waiter leaves it decided, out of every queue, and its charge given back.
 */
#include "kc_cell.h"
#include "kc_flow.h"

static uint32_t cancel_stat(uint32_t res) {
    uint32_t stat = KC_STAT_CANCELLED_CANCEL;

    if (res == KC_RES_TIMEOUT)
        stat = KC_STAT_CANCELLED_TIMEOUT;
    else if (res == KC_RES_DEAD)
        stat = KC_STAT_CANCELLED_DEAD;
    else if (res == KC_RES_DESTROYED)
        stat = KC_STAT_CANCELLED_DESTROYED;
    return stat;
}

static void count_end(kc_chan_rec *c, uint32_t dir, uint32_t res) {
    if (res == KC_RES_CLOSED) {
        kc_stat_add(c, KC_STAT_CLOSED_WAITERS, 1);
        kc_stat_add(c, dir == KC_CLAUSE_SEND ? KC_STAT_SEND_EPIPE : KC_STAT_RECV_EPIPE, 1);
    } else {
        kc_stat_add(c, KC_STAT_CANCELLED_WAITERS, 1);
        kc_stat_add(c, cancel_stat(res), 1);
        kc_stat_add(c, KC_STAT_RV_CANCELS, kc_chan_is(c, KC_KIND_RENDEZVOUS));
        if (res == KC_RES_TIMEOUT)
            kc_stat_add(c, dir == KC_CLAUSE_SEND ? KC_STAT_SEND_ETIME : KC_STAT_RECV_ETIME, 1);
        c->last_cancelled = 1;
    }
}

/* The clause by which a token stands at a channel; its first one when chan is 0. */
static kc_clause_rec *clause_at(kc_engine *e, const kc_tok *t, uint32_t chan) {
    uint32_t clause = t->first;

    while (chan != 0 && kc_clause_at(e, clause)->chan != chan && kc_clause_at(e, clause)->more != 0)
        clause = kc_clause_at(e, clause)->more;
    return kc_clause_at(e, clause);
}

static void end_taken(kc_engine *e, kc_tok *t, uint32_t reason) {
    uint32_t msg = kc_word_peer(kc_word_load(&t->w));

    kc_msg_at(e, msg)->sender = 0;
    kc_stat_add(kc_chan_at(e, t->chan), KC_STAT_UNCONFIRMED, 1);
    t->reason = (uint16_t)reason;
    (void)kc_tok_step(e, t, KC_TOK_CLAIMED, KC_RES_UNCONFIRMED, 0, 0);
}

/* Descriptors that were offered and are now their owner's again. */
static void count_offers_back(kc_engine *e, const kc_tok *t, uint32_t res) {
    uint32_t stat = res == KC_RES_CLOSED || res == KC_RES_DESTROYED ? KC_STAT_ZREF_ABORTED_CLOSE
                                                                    : KC_STAT_ZREF_CANCELED;

    for (uint32_t q = t->first; q != 0; q = kc_clause_at(e, q)->more) {
        const kc_clause_rec *r = kc_clause_at(e, q);
        if (r->msg != 0 && kc_extra_desc(e, kc_msg_at(e, r->msg)->extra) != NULL)
            kc_stat_add(kc_chan_at(e, r->chan), stat, 1);
    }
}

static void end_enqueued(kc_engine *e, kc_tok *t, uint32_t chan, uint32_t res, uint32_t reason) {
    kc_clause_rec *q = clause_at(e, t, chan);
    bool decided_by_channel = res == KC_RES_CLOSED || res == KC_RES_DESTROYED;

    (void)kc_tok_step(e, t, decided_by_channel ? KC_TOK_CLAIMED : KC_TOK_CANCELLED, res, q->index, 0);
    kc_tok_name_chan(e, t, q->chan);
    t->dir = q->dir;
    t->reason = (uint16_t)reason;
    count_end(kc_chan_at(e, q->chan), q->dir, res);
    count_offers_back(e, t, res);
    kc_waiter_unlink(e, kc_tok_index(e, t), 0);
}

void kc_flow_end_waiter(kc_engine *e, uint32_t tok, uint32_t chan, uint32_t res, uint32_t reason) {
    kc_tok *t = kc_tok_at(e, tok);

    if (kc_state_of(&t->w) == KC_TOK_TAKEN)
        end_taken(e, t, reason);
    else
        end_enqueued(e, t, chan, res, reason);
    kc_chan_waiter_scope_settle(e, tok);
}

int kc_waiter_token_status(kc_engine *e, kc_token token) {
    kc_tok *t = NULL;
    int status = KC_ENOENT;

    kc_enter(e);
    t = kc_tok_find(e, token);
    status = t != NULL ? (int)kc_state_of(&t->w) : kc_cells_status(e, token);
    kc_leave(e);
    return status;
}

static uint32_t res_for(uint32_t reason) {
    uint32_t res = KC_RES_CANCEL;

    if (reason == KC_REASON_DEAD)
        res = KC_RES_DEAD;
    else if (reason == KC_REASON_TIMEOUT)
        res = KC_RES_TIMEOUT;
    return res;
}

int kc_waiter_token_cancel(kc_engine *e, kc_token token, uint32_t reason, kc_result *result) {
    kc_result unseen;
    kc_tok *t = NULL;
    int rc = KC_ENOENT;

    kc_enter(e);
    t = kc_tok_find(e, token);
    if (t == NULL && kc_cells_status(e, token) > 0) {
        rc = KC_ENOTSUP;
    } else if (t != NULL) {
        uint32_t state = kc_state_of(&t->w);
        rc = KC_EBUSY;
        if (state == KC_TOK_ENQUEUED || state == KC_TOK_TAKEN) {
            uint32_t tok = kc_tok_index(e, t);
            rc = state == KC_TOK_TAKEN ? KC_EINPROGRESS : KC_OK;
            kc_flow_end_waiter(e, tok, 0, res_for(reason), reason);
            kc_result_collect(e, tok, result != NULL ? result : &unseen);
        }
    }
    kc_leave(e);
    return rc;
}

/* Whoever stands first in the heap: a waiter, or a message that expires. */
static void end_first(kc_engine *e, kc_deadline first) {
    if (first.tok != 0) {
        kc_flow_end_waiter(e, first.tok, 0, KC_RES_TIMEOUT, KC_REASON_TIMEOUT);
        kc_port_push(e, first.tok);
    } else {
        kc_flow_lose(e, first.msg, KC_STAT_UNDELIVERED, KC_REASON_EXPIRED);
    }
}

uint32_t kc_engine_tick(kc_engine *e, int64_t now_ns) {
    uint32_t ended = 0;

    kc_enter(e);
    if (now_ns > e->now_ns)
        e->now_ns = now_ns;
#if KC_MUTANT == 9 /* a deadline that is not yet due ends its waiter */
    e->now_ns += 1000000;
#endif
    for (; kc_deadline_next_ns(e) <= e->now_ns; ended++)
        end_first(e, kc_deadline_first(e));
    kc_leave(e);
    return ended;
}

int64_t kc_engine_now(kc_engine *e) {
    int64_t now_ns = 0;

    kc_enter(e);
    now_ns = e->now_ns;
    kc_leave(e);
    return now_ns;
}

int64_t kc_engine_next_deadline(kc_engine *e) {
    int64_t next_ns = KC_NEVER;

    kc_enter(e);
    next_ns = kc_deadline_next_ns(e);
    kc_leave(e);
    return next_ns;
}
