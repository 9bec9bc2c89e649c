/* waiter.c: how a waiting operation ends, and what its owner learns. */
#include "kc_cell.h"
#include "kc_flow.h"
#include "kc_pool.h"

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

static bool holds(const kc_tok *t) {
    uint64_t w = kc_word_load(&t->w);

    return t->list == KC_LIST_HELD && kc_word_state(w) == KC_TOK_CLAIMED;
}

void kc_result_hold(kc_engine *e, uint32_t tok, kc_result *result) {
    const kc_tok *t = kc_tok_at(e, tok);
    uint64_t w = kc_word_load(&t->w);

    if (holds(t)) {
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
    if (holds(t)) {
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

/* The token, if it holds a message for this scope; the lock is held. */
static kc_tok *holder(kc_engine *e, const kc_scope_rec *s, kc_token token) {
    kc_tok *t = kc_tok_find(e, token);
    bool mine = t != NULL && s != NULL && t->scope == kc_scope_index(e, s) && holds(t) && !t->at_port;

    return mine ? t : NULL;
}

int kc_waiter_token_awaits_ack(kc_engine *e, kc_scope scope, kc_token token) {
    kc_tok *t = NULL;
    int awaits = 0;

    kc_enter(e);
    t = holder(e, kc_scope_find(e, scope), token);
    awaits = t != NULL && (t->flags & KC_OP_ACK) != 0;
    kc_leave(e);
    return awaits;
}

static bool acknowledge(kc_engine *e, const kc_scope_rec *scope, kc_token token) {
    kc_tok *t = holder(e, scope, token);

    if (t != NULL) {
        uint32_t msg = kc_word_peer(kc_word_load(&t->w));
        kc_stat_add(kc_chan_at(e, t->chan), KC_STAT_ACKS, (t->flags & KC_OP_ACK) != 0);
        kc_chan_waiter_scope_release(e, kc_tok_index(e, t));
        kc_flow_done(e, msg, NULL);
    }
    return t != NULL;
}

KC_WHOLE uint32_t kc_waiter_tokens_ack(kc_engine *e, kc_scope scope, const kc_token *tokens, uint32_t count) {
    const kc_scope_rec *s = NULL;
    uint32_t done = 0;

    kc_enter(e);
    s = kc_scope_find(e, scope);
    for (uint32_t i = 0; i < count; i++)
        done += acknowledge(e, s, tokens[i]);
    kc_leave(e);
    return done;
}

int kc_waiter_token_ack(kc_engine *e, kc_scope scope, kc_token token) {
    return kc_waiter_tokens_ack(e, scope, &token, 1) == 1 ? KC_OK : KC_ENOENT;
}

int kc_waiter_token_nack(kc_engine *e, kc_scope scope, kc_token token) {
    kc_tok *t = NULL;
    int rc = KC_ENOENT;

    kc_enter(e);
    t = holder(e, kc_scope_find(e, scope), token);
    if (t != NULL) {
        kc_stat_add(kc_chan_at(e, t->chan), KC_STAT_NACKS, (t->flags & KC_OP_ACK) != 0);
        kc_flow_give_back(e, kc_tok_index(e, t));
        rc = KC_OK;
    }
    kc_leave(e);
    return rc;
}

int kc_waiter_token_return(kc_engine *e, kc_scope scope, kc_token token) {
    kc_tok *t = NULL;
    int rc = KC_ENOENT;

    kc_enter(e);
    t = holder(e, kc_scope_find(e, scope), token);
    if (t != NULL) {
        kc_flow_untake(e, kc_tok_index(e, t));
        rc = KC_OK;
    }
    kc_leave(e);
    return rc;
}

int kc_waiter_token_body(kc_engine *e, kc_token token, kc_body *body_out) {
    kc_tok *t = NULL;
    int rc = KC_ENOENT;

    kc_enter(e);
    t = kc_tok_find(e, token);
    if (t != NULL && holds(t)) {
        *body_out = kc_msg_body(kc_msg_at(e, kc_word_peer(kc_word_load(&t->w))));
        rc = KC_OK;
    }
    kc_leave(e);
    return rc;
}

int kc_waiter_token_sender(kc_engine *e, kc_token token, kc_sender *sender_out) {
    kc_tok *t = NULL;
    int rc = KC_ENOENT;

    kc_enter(e);
    t = kc_tok_find(e, token);
    if (t != NULL && holds(t)) {
        const kc_msg *m = kc_msg_at(e, kc_word_peer(kc_word_load(&t->w)));
        *sender_out = (kc_sender){.uid = m->account != 0 ? e->accounts[m->account].owner : KC_NOBODY, .pid = m->pid};
        rc = KC_OK;
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
