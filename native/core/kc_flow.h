/* kc_flow.h: the moves of messages and waiters. Each is one commit on one truth word, then what follows from it.
 *
 * Callers hold the lock and leave it with kc_leave, which brings every touched channel back to rest: no message READY
 * beside a parked receive, no sender parked beside room, no receiver parked at the end of a closed channel.
 */
#ifndef KC_FLOW_H
#define KC_FLOW_H

#include "kc_msg.h"
#include "kc_scope.h"

/* Whose account a scope's operations are charged to; 0 for none. Takes the lock. */
uint32_t kc_account_of_scope(kc_engine *engine, kc_scope scope);

static inline void kc_enter(kc_engine *e) { kc_lock_take(&e->lock); }
void kc_leave_slowly(kc_engine *engine);
/* Settles, moves dead letters, fills seats, gives the lock back, rings and wakes. */
static inline void kc_leave(kc_engine *e) {
    if ((e->dirty_head | e->dead_letters.count | e->breach | e->ring_count | e->seats.due) != 0)
        kc_leave_slowly(e);
    else
        kc_lock_give(&e->lock);
}
/* The settling alone, for callers that want to see its results before they leave. */
void kc_settle(kc_engine *engine);

/* A result of nothing yet. Field by field: the compiler clears a record of this size at once in a loop, these in
 * pairs. */
static inline void kc_result_begin(kc_result *r, uint64_t user, kc_chan chan) {
    r->code = 0;
    r->flags = r->clause = r->attempts = r->reason = r->spare = 0;
    r->token = 0;
    r->user = user;
    r->chan = chan;
    r->body = (kc_body){0};
    r->refusal = (kc_refusal){0};
}

static inline kc_chan_rec *kc_chan_find(kc_engine *e, kc_chan chan) {
    return kc_ticket_find(&e->chans, sizeof(kc_chan_rec), chan);
}
static inline kc_scope_rec *kc_scope_find(kc_engine *e, kc_scope scope) {
    return kc_ticket_find(&e->scopes, sizeof(kc_scope_rec), scope);
}
static inline kc_tok *kc_tok_find(kc_engine *e, kc_token token) {
    return kc_ticket_find(&e->toks, sizeof(kc_tok), token);
}
/* A message was given to it, and it is not done with it. */
static inline bool kc_tok_holds(const kc_tok *t) {
    uint64_t w = kc_word_load(&t->w);

    return t->list == KC_LIST_HELD && kc_word_state(w) == KC_TOK_CLAIMED;
}
static inline uint32_t kc_chan_state_of(const kc_chan_rec *c) { return kc_state_of(&c->w); }
static inline bool kc_chan_is(const kc_chan_rec *c, int32_t kind) { return c->config.kind == kind; }

/* Room for one more message of this length that nobody takes at once. */
static inline bool kc_chan_has_room(const kc_chan_rec *c, uint32_t len_bytes) {
    uint64_t depth = (uint64_t)c->ready.count - c->requeued;
    uint64_t capacity = c->config.capacity;
    bool bytes_fit = c->bytes + len_bytes <= c->config.max_bytes || c->ready.count + c->held == 0;

#if KC_MUTANT == 2 /* a buffered channel takes one message too many */
    capacity += kc_chan_is(c, KC_KIND_BUFFERED);
#endif
    if (kc_chan_is(c, KC_KIND_RENDEZVOUS))
        return false;
    return kc_chan_is(c, KC_KIND_CONFLATED) || (depth < capacity && bytes_fit);
}

/* The times of the first and the last operation. */
static inline void kc_flow_stamp(const kc_engine *e, kc_chan_rec *c) {
    if (c->stat[KC_STAT_FIRST_OP_TIME_NS] == 0)
        c->stat[KC_STAT_FIRST_OP_TIME_NS] = (uint64_t)e->now_ns;
    c->stat[KC_STAT_LAST_OP_TIME_NS] = (uint64_t)e->now_ns;
}
/* total_sends and what belongs to it, of a message with these bytes and this extra. */
void kc_flow_count_sent(kc_engine *engine, kc_chan_rec *chan, uint32_t len_bytes, uint32_t extra);
/* With it, for a send that says so: its sender shares memory, but had to copy these bytes. */
enum { KC_FALLBACK_FLAGS = KC_OP_SMALL | KC_OP_CROWDED };
void kc_flow_count_fallback(kc_chan_rec *chan, uint32_t flags);
static inline void kc_flow_note_fallback(kc_chan_rec *c, uint32_t flags) {
    if ((flags & KC_FALLBACK_FLAGS) != 0)
        kc_flow_count_fallback(c, flags);
}
/* STAGED -> READY at the end of the queue, evicting what the overflow policy says. */
void kc_flow_put(kc_engine *engine, kc_chan_rec *chan, uint32_t msg);
/* Gives the message (STAGED or READY) to the parked receive that owns the clause; false and nothing moved when that
 * waiter's word forbids it (a breach). */
bool kc_flow_deliver(kc_engine *engine, kc_chan_rec *chan, uint32_t clause, uint32_t msg);
/* The parked send that owns the clause has been accepted: claims or TAKES its token; returns its message, STAGED. */
uint32_t kc_flow_claim_sender(kc_engine *engine, kc_chan_rec *chan, uint32_t clause);
/* A send that completes at once and waits for its ack: INIT -> TAKEN. */
void kc_flow_confirm(kc_engine *engine, uint32_t tok, uint32_t msg);
/* STAGED or READY -> HELD by the token, which is INIT and becomes CLAIMED. */
void kc_flow_hold(kc_engine *engine, kc_chan_rec *chan, uint32_t tok, uint32_t msg);
/* STAGED, READY or HELD -> DONE -> FREE; the payload goes to body_out or is given back. */
void kc_flow_done(kc_engine *engine, uint32_t msg, kc_body *body_out);
/* READY or HELD -> DROPPED: to the dead-letter channel if the policy (or the attempts) say so, else counted and freed.
 * stat: KC_STAT_DROPS_OLDEST of an eviction, KC_STAT_UNDELIVERED otherwise. */
void kc_flow_lose(kc_engine *engine, uint32_t msg, uint32_t stat, uint32_t reason);
/* The holder gives its message up: acked ones go back, plain ones meet the undelivered policy. The token is freed. */
void kc_flow_give_back(kc_engine *engine, uint32_t tok);
/* The holder never looked at it: back to its place as if it had not been taken. The token is freed. */
void kc_flow_untake(kc_engine *engine, uint32_t tok);
/* A message has come to its end: the sender that waits for it (a TAKEN token, or 0 for none) learns how. */
void kc_flow_tell_sender(kc_engine *engine, uint32_t sender, uint32_t res, uint32_t reason);
static inline void kc_flow_tell(kc_engine *e, uint32_t sender, uint32_t res, uint32_t reason) {
    if (sender != 0)
        kc_flow_tell_sender(e, sender, res, reason);
}
/* Ends a waiting token (ENQUEUED, TAKEN) with KC_RES_*; its result is not yet pushed anywhere. */
void kc_flow_end_waiter(kc_engine *engine, uint32_t tok, uint32_t chan, uint32_t res, uint32_t reason);

/* The message was accepted or matched: a copy for each tap of its channel (flow_tap.c). */
void kc_flow_tap(kc_engine *engine, const kc_chan_rec *chan, const kc_msg *msg);
/* Nothing passes any more: its taps close, and it is no tap itself. */
void kc_flow_end_taps(kc_engine *engine, kc_chan_rec *chan);

/* Frees the record of a destroyed channel when nothing names it any more. */
void kc_chan_reap(kc_engine *engine, uint32_t chan);
void kc_chan_end(kc_engine *engine, kc_chan_rec *chan, uint32_t reason); /* destroy, without a text */
void kc_event_push(kc_engine *engine, uint32_t kind, uint32_t reason, uint64_t chan_user);

/* Adds the message that the token holds, if it does; the rest of the result is as it was. */
void kc_result_hold(kc_engine *engine, uint32_t tok, kc_result *result);
void kc_result_of(kc_engine *engine, uint32_t tok, kc_result *result);
/* Collects a decided token: its result, the message's body unless it is held; frees the token unless it holds. */
void kc_result_collect(kc_engine *engine, uint32_t tok, kc_result *result);

static inline void kc_stat_add(kc_chan_rec *c, uint32_t stat, uint64_t n) { c->stat[stat] += n; }

#endif
