/* waiter_held.c: messages that are held, from their holder's side: looked at, acknowledged, refused, given back. What
 * becomes of the message is flow.c and flow_back.c.
 *
 * Invariant: to decide about a message its token must hold it, belong to the scope that asks, and have been collected.
 */
#include "kc_flow.h"

/* The token, if it holds a message for this scope; the lock is held. */
static kc_tok *holder(kc_engine *e, const kc_scope_rec *s, kc_token token) {
    kc_tok *t = kc_tok_find(e, token);
    bool mine = t != NULL && s != NULL && t->scope == kc_scope_index(e, s) && kc_tok_holds(t) && !t->at_port;

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
    if (t != NULL && kc_tok_holds(t)) {
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
    if (t != NULL && kc_tok_holds(t)) {
        const kc_msg *m = kc_msg_at(e, kc_word_peer(kc_word_load(&t->w)));
        *sender_out = (kc_sender){.uid = m->account != 0 ? e->accounts[m->account].owner : KC_NOBODY, .pid = m->pid};
        rc = KC_OK;
    }
    kc_leave(e);
    return rc;
}
