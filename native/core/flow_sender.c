/* flow_sender.c: what a send learns of its message, when it waited for a taker or waits for the acknowledgement. The
 * message itself moves in flow.c.
 *
 * Invariant: a send without confirm is answered once its message is accepted; one with it is TAKEN from then on, its
 * message names it as sender, and it is answered when that message has come to its end.
 */
#include "kc_flow.h"

KC_APART KC_WHOLE uint32_t kc_flow_claim_sender(kc_engine *e, kc_chan_rec *c, uint32_t clause) {
    kc_clause_rec *q = kc_clause_at(e, clause);
    uint32_t tok = q->tok;
    uint32_t msg = q->msg;
    kc_tok *t = kc_tok_at(e, tok);
    bool confirm = (t->flags & KC_OP_CONFIRM) != 0;

#if KC_MUTANT == 3 /* a send that asked for the ack is answered when it is accepted */
    confirm = false;
#endif
    (void)kc_tok_step(e, t, confirm ? KC_TOK_TAKEN : KC_TOK_CLAIMED, KC_RES_OK, q->index, msg);
    kc_tok_name_chan(e, t, q->chan);
    t->dir = KC_CLAUSE_SEND;
#if KC_MUTANT != 22 /* a send that fell back and waited is not counted when it is accepted */
    kc_flow_note_fallback(c, q->flags);
#endif
    kc_waiter_unlink(e, tok, clause);
    kc_stat_add(c, KC_STAT_MATCHED_WAITERS, 1);
    c->last_cancelled = 0;
    if (confirm) {
        kc_msg_at(e, msg)->sender = tok;
        if (kc_msg_at(e, msg)->expires_ns != 0) { /* which no longer ends the wait: the ack may be on its way */
            kc_deadline_remove(e, tok);
            kc_deadline_add(e, tok, t->deadline_ns);
        }
    } else {
        kc_chan_waiter_scope_settle(e, tok);
        kc_port_push(e, tok);
    }
    return msg;
}

KC_APART void kc_flow_confirm(kc_engine *e, uint32_t tok, uint32_t msg) {
    kc_tok *t = kc_tok_at(e, tok);

    kc_tok_name_chan(e, t, kc_msg_at(e, msg)->chan);
    t->dir = KC_CLAUSE_SEND;
    if (kc_tok_step(e, t, KC_TOK_TAKEN, KC_RES_OK, 0, msg)) {
        kc_msg_at(e, msg)->sender = tok;
        kc_deadline_add(e, tok, t->deadline_ns);
    }
}

KC_APART void kc_flow_tell_sender(kc_engine *e, uint32_t tok, uint32_t res, uint32_t reason) {
    kc_tok *t = kc_tok_at(e, tok);

    if (kc_state_of(&t->w) == KC_TOK_TAKEN) {
        t->reason = (uint16_t)reason;
        (void)kc_tok_step(e, t, KC_TOK_CLAIMED, res, 0, 0);
        kc_chan_waiter_scope_settle(e, tok);
        kc_port_push(e, tok);
    }
}
