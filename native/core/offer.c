/* offer.c: running (kc_offer.h), and what only some operations need. Looking is kc_look.h, parking park.c. */
#include "kc_offer.h"

#include "kc_account.h"
#include "kc_pool.h"

uint64_t kc_offer_extra_bytes(const kc_engine *e, const kc_offer *o) {
    const kc_chan_config *c = &o->chan->config;
    bool bounded = c->elem_size < KC_MAX_ELEMENT_BYTES || (c->flags & KC_CHAN_FIXED_SIZE) != 0;

    return bounded ? kc_extra_bytes(e, o->body->extra) : 0;
}

/* What the asking scope itself holds by plain receives does not keep a closing channel open for it: those bytes are on
 * their way to it, and it reads them before this answer (contract 4.5). */
static bool all_held_by(kc_engine *e, const kc_chan_rec *c, const kc_scope_rec *s) {
    uint32_t chan = kc_chan_index(e, c);
    uint32_t own = 0;

    if (s == NULL || s->held.count < c->held)
        return c->held == 0;
    for (uint32_t tok = s->held.tail; tok != 0 && own < c->held; tok = kc_tok_at(e, tok)->scope_prev)
        own += kc_tok_at(e, tok)->chan == chan && (kc_tok_at(e, tok)->flags & KC_OP_ACK) == 0;
    return own == c->held;
}

KC_APART bool kc_offer_drained(kc_engine *e, const kc_chan_rec *c, const kc_scope_rec *scope) {
    uint32_t state = kc_chan_state_of(c);
    bool empty = c->ready.count == 0 && c->waiters[KC_CLAUSE_SEND].count == 0;

    return state == KC_CHAN_CLOSED || (state == KC_CHAN_CLOSING && empty && all_held_by(e, c, scope));
}

int kc_offer_stage(kc_engine *e, const kc_offer *o, uint32_t *msg_out, kc_refusal *refusal) {
    kc_origin from = {.account = o->scope != NULL ? o->scope->account : 0,
                      .pid = o->scope != NULL ? o->scope->pid : 0,
                      .expires_ns = o->expires_ns};
    uint32_t chan = kc_chan_index(e, o->chan);
    kc_body copy = {0};
    int rc = KC_OK;

    if (o->body != NULL)
        return kc_msg_stage(e, from, chan, o->body, msg_out, refusal);
    rc = kc_body_fill(e, from.account, o->data, o->len_bytes, &copy, refusal);
    if (rc == KC_OK && (rc = kc_msg_stage(e, from, chan, &copy, msg_out, refusal)) != KC_OK)
        kc_body_release(e, &copy);
    return rc;
}

/* A message that drop_newest drops was accepted and lost in one step: it needs no record. */
static bool drops_this(const kc_chan_rec *c, uint32_t len_bytes) {
    return c->config.overflow == KC_OVERFLOW_DROP_NEWEST && !kc_chan_has_room(c, len_bytes);
}

static KC_RARE int drop_newest(kc_engine *e, const kc_offer *o, kc_result *result) {
    kc_flow_count_sent(e, o->chan, o->len_bytes, o->body != NULL ? o->body->extra : 0);
    kc_flow_note_fallback(o->chan, o->flags);
    kc_stat_add(o->chan, KC_STAT_DROPS_NEWEST, 1);
    if (o->body != NULL)
        kc_body_release(e, o->body);
    result->flags |= KC_RESULT_DROPPED;
    return KC_OK;
}

/* The token of a send that waits for its ack, made before anything moves. */
static KC_APART int confirm_token(kc_engine *e, const kc_offer *o, const kc_op *op, uint32_t *tok_out,
                                  kc_refusal *refusal) {
    const kc_scope_rec *s = o->scope;
    int rc = KC_OK;

    rc = s != NULL ? kc_tok_make(e, op, kc_scope_index(e, s), tok_out, refusal) : KC_ENOENT;
    if (rc == KC_OK && (rc = kc_chan_waiter_scope_admit(e, *tok_out, refusal)) != KC_OK) {
        kc_chan_waiter_scope_release(e, *tok_out);
        *tok_out = 0;
    }
    return rc;
}

/* false: the receiver's word forbade it (a breach); the message is STAGED as before. */
static bool send_away(kc_engine *e, const kc_offer *o, uint32_t msg) {
    kc_chan_rec *c = o->chan;
    bool gone = true;

    if (kc_chan_is(c, KC_KIND_RENDEZVOUS))
        gone = kc_flow_deliver(e, c, c->waiters[KC_CLAUSE_RECV].head, msg);
    else
        kc_flow_put(e, c, msg);
    if (gone)
        kc_flow_note_fallback(c, o->flags);
    return gone;
}

static KC_RARE void take_back(kc_engine *e, const kc_offer *o, uint32_t tok, uint32_t msg) {
    if (tok != 0) {
        kc_flow_end_waiter(e, tok, 0, KC_RES_UNCONFIRMED, KC_REASON_POISONED);
        kc_chan_waiter_scope_release(e, tok);
    }
    kc_msg_free(e, msg, o->body);
}

/* A try that was accepted does not wait for the ack either: the message is on its way, unconfirmed. */
static KC_RARE int confirmed_later(kc_engine *e, const kc_op *op, uint32_t tok, kc_result *result) {
    int rc = KC_PARKED;

    result->token = kc_ticket_of(tok, kc_word_load(&kc_tok_at(e, tok)->w));
    if ((op->flags & KC_OP_TRY) != 0) {
        kc_flow_end_waiter(e, tok, 0, KC_RES_UNCONFIRMED, KC_REASON_TIMEOUT);
        kc_result_collect(e, tok, result);
        rc = KC_EINPROGRESS;
    }
    return rc;
}

int kc_offer_send(kc_engine *e, const kc_offer *o, const kc_op *op, kc_result *result) {
    uint32_t msg = 0;
    uint32_t tok = 0;
    int rc = KC_OK;

    if (drops_this(o->chan, o->len_bytes))
        return drop_newest(e, o, result);
    if ((op->flags & KC_OP_CONFIRM) != 0)
        rc = confirm_token(e, o, op, &tok, &result->refusal);
    if (rc == KC_OK && (rc = kc_offer_stage(e, o, &msg, &result->refusal)) != KC_OK && tok != 0) {
        kc_chan_waiter_scope_settle(e, tok);
        kc_chan_waiter_scope_release(e, tok);
    }
    if (rc == KC_OK && tok != 0)
        kc_flow_confirm(e, tok, msg);
    if (rc == KC_OK && !send_away(e, o, msg))
        take_back(e, o, tok, msg);
    else if (rc == KC_OK && tok != 0)
        rc = confirmed_later(e, op, tok, result);
    return rc;
}

static int hold_token(kc_engine *e, const kc_offer *o, const kc_op *op, uint32_t *tok_out, kc_refusal *refusal) {
    const kc_scope_rec *s = o->scope;
    int rc = s != NULL ? kc_tok_make(e, op, kc_scope_index(e, s), tok_out, refusal) : KC_ENOENT;

    if (rc == KC_OK)
        kc_tok_at(e, *tok_out)->flags |= o->flags;
    return rc;
}

/* The next message: the oldest READY, else a parked rendezvous sender's, whose token is claimed by this. */
static uint32_t next_message(kc_engine *e, kc_chan_rec *c) {
    return c->ready.count != 0 ? c->ready.head : kc_flow_claim_sender(e, c, c->waiters[KC_CLAUSE_SEND].head);
}

static void hand_out(kc_engine *e, const kc_offer *o, uint32_t msg, kc_result *result) {
    const kc_msg *m = kc_msg_at(e, msg);
    uint32_t attempts = kc_word_attempts(kc_word_load(&m->w));
    bool copied = o->buffer != NULL && m->extra == 0 && m->len_bytes <= o->buffer_bytes;

    result->flags |= KC_RESULT_MESSAGE;
    result->flags |= attempts != 0 ? KC_RESULT_REDELIVERED : 0U;
    result->flags |= copied ? KC_RESULT_COPIED : 0U;
    result->attempts = attempts;
    if (copied) {
        kc_body body = kc_msg_body(m);
        kc_body_read(e, &body, 0, o->buffer, body.len_bytes);
        result->body.len_bytes = body.len_bytes;
    }
    kc_flow_done(e, msg, copied ? NULL : &result->body);
}

int kc_offer_recv(kc_engine *e, const kc_offer *o, const kc_op *op, kc_result *result) {
    uint32_t tok = 0;
    int rc = KC_OK;

    if ((o->flags & KC_OP_HOLD) == 0) {
        hand_out(e, o, next_message(e, o->chan), result);
    } else {
        rc = hold_token(e, o, op, &tok, &result->refusal);
        if (rc == KC_OK) {
            kc_flow_hold(e, o->chan, tok, next_message(e, o->chan));
            kc_result_hold(e, tok, result);
        }
    }
    return rc;
}

/* A word forbade a step of this very operation: its channel is about to be destroyed, and it did not happen. */
KC_RARE int kc_offer_spoiled(kc_engine *e, kc_result *result) {
    if ((result->flags & KC_RESULT_HELD) == 0)
        kc_body_release(e, &result->body);
    *result = (kc_result){.user = result->user, .chan = result->chan, .reason = KC_REASON_POISONED};
    return KC_ECANCELED;
}

KC_APART void kc_offer_count_refusal(const kc_offer *o, int code) {
    kc_chan_rec *c = o->chan;
    bool send = o->dir == KC_CLAUSE_SEND;

    if (code == KC_EAGAIN)
        kc_stat_add(c, send ? KC_STAT_SEND_EAGAIN : KC_STAT_RECV_EAGAIN, 1);
    else if (code == KC_ETIME)
        kc_stat_add(c, send ? KC_STAT_SEND_ETIME : KC_STAT_RECV_ETIME, 1);
    else if (code == KC_EPIPE)
        kc_stat_add(c, send ? KC_STAT_SEND_EPIPE : KC_STAT_RECV_EPIPE, 1);
}
