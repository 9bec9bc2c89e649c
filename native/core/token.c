/* token.c: records of operations that wait, hold or confirm. */
#include "kc_token.h"

#include "kc_account.h"
#include "kc_pool.h"

bool kc_tok_step(kc_engine *e, kc_tok *t, uint32_t to, uint32_t res, uint32_t clause, uint32_t msg) {
    bool allowed = kc_word_step(&t->w, kc_tok_steps, to, res, clause, msg);

    if (!allowed)
        e->breach = t->chan;
    return allowed;
}

static bool port_known(const kc_engine *e, uint32_t port) {
    return port != 0 && port <= e->port_capacity && e->ports[port].used != 0;
}

int kc_tok_make(kc_engine *e, const kc_op *op, uint32_t scope, uint32_t *tok_out, kc_refusal *refusal) {
    uint32_t tok = 0;
    int rc = port_known(e, op->port) ? KC_OK : KC_EINVAL;

    if (rc == KC_OK && (tok = kc_pool_take(e, &e->toks)) == 0)
        rc = kc_refuse(refusal, KC_ENOMEM, KC_QUOTA_ENGINE_TOKENS, e->toks.capacity, e->toks.live);
    if (rc == KC_OK) {
        kc_tok *t = kc_tok_at(e, tok);
        t->next = t->prev = 0;
        t->user = op->user;
        t->deadline_ns = op->deadline_ns;
        t->parked_ns = e->now_ns;
        t->scope = scope;
        t->scope_next = t->scope_prev = 0;
        t->port = op->port;
        t->heap_at = 0;
        t->flags = op->flags;
        t->chan = t->chan_gen = t->first = 0;
        t->reason = 0;
        t->clauses = t->list = t->at_port = t->dir = t->dropped = 0;
        e->ports[op->port].users++;
        (void)kc_tok_step(e, t, KC_TOK_INIT, 0, 0, 0);
        *tok_out = tok;
    }
    return rc;
}

void kc_tok_free(kc_engine *e, uint32_t tok) {
    kc_tok *t = kc_tok_at(e, tok);

    if (!kc_tok_step(e, t, KC_TOK_FREE, 0, 0, 0))
        return;
    kc_deadline_remove(e, tok);
    kc_port_unlink(e, tok);
    e->ports[t->port].users--;
    kc_pool_give(&e->toks, tok);
}
