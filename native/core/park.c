/* park.c: an operation that must wait: its token, its clauses, its STAGED messages, published in one step.
 *
 * Everything that can fail is done before kc_chan_waiter_scope_park; a refusal undoes it all, and bodies that were
 * given go back to their owner.
 */
#include "kc_account.h"
#include "kc_offer.h"
#include "kc_pool.h"

static uint32_t parked_at(const kc_chan_rec *c) {
    return c->waiters[KC_CLAUSE_RECV].count + c->waiters[KC_CLAUSE_SEND].count;
}

/* The first clause is the token's own record; further ones come from the pool. */
static uint32_t clause_record(kc_engine *e, uint32_t tok, bool first) {
    return first ? tok : kc_pool_take(e, &e->clauses);
}

static int add_clause(kc_engine *e, uint32_t tok, const kc_offer *o, kc_result *result) {
    kc_refusal *refusal = &result->refusal;
    kc_tok *t = kc_tok_at(e, tok);
    uint32_t clause = 0;
    int rc = KC_OK;

    result->clause = o->index; /* the one to blame, if this fails */
    if (parked_at(o->chan) >= e->parked_per_channel)
        rc = kc_refuse(refusal, KC_EDQUOT, KC_QUOTA_CHANNEL_PARKED, e->parked_per_channel, parked_at(o->chan));
    else if ((clause = clause_record(e, tok, t->first == 0)) == 0)
        rc = kc_refuse(refusal, KC_ENOMEM, KC_QUOTA_ENGINE_CLAUSES, e->clauses.capacity - e->tok_capacity,
                       e->clauses.live);
    if (rc == KC_OK) {
        *kc_clause_at(e, clause) = (kc_clause_rec){.tok = tok,
                                                   .chan = kc_chan_index(e, o->chan),
                                                   .more = t->first,
                                                   .dir = (uint8_t)o->dir,
                                                   .index = (uint8_t)o->index,
                                                   .flags = (uint8_t)o->flags};
        t->first = clause;
        t->clauses++;
    }
    return rc;
}

/* Clauses are added in front, so walking them from last to first keeps the order of the select. */
static int add_clauses(kc_engine *e, uint32_t tok, const kc_offer *offers, uint32_t count, kc_result *result) {
    int rc = KC_OK;

    for (uint32_t i = count; i > 0 && rc == KC_OK; i--)
        rc = add_clause(e, tok, &offers[i - 1], result);
    return rc;
}

static const kc_offer *offer_of(const kc_offer *offers, uint32_t count, uint32_t index) {
    uint32_t i = 0;

    while (i < count - 1 && offers[i].index != index)
        i++;
    return &offers[i];
}

static int stage_sends(kc_engine *e, uint32_t tok, const kc_offer *offers, uint32_t count, kc_result *result) {
    int rc = KC_OK;

    for (uint32_t clause = kc_tok_at(e, tok)->first; clause != 0 && rc == KC_OK;
         clause = kc_clause_at(e, clause)->more) {
        kc_clause_rec *q = kc_clause_at(e, clause);
        result->clause = q->index;
        if (q->dir == KC_CLAUSE_SEND)
            rc = kc_offer_stage(e, offer_of(offers, count, q->index), &q->msg, &result->refusal);
    }
    return rc;
}

/* Gives bodies that were already staged back to whoever offered them, and frees the token. */
static void undo(kc_engine *e, uint32_t tok, const kc_offer *offers, uint32_t count) {
    for (uint32_t clause = kc_tok_at(e, tok)->first; clause != 0; clause = kc_clause_at(e, clause)->more) {
        kc_clause_rec *q = kc_clause_at(e, clause);
        if (q->msg != 0)
            kc_msg_free(e, q->msg, offer_of(offers, count, q->index)->body);
        q->msg = 0;
    }
    kc_chan_waiter_scope_release(e, tok);
}

KC_APART KC_WHOLE int kc_offer_park(kc_engine *e, const kc_offer *offers, uint32_t count, uint32_t start,
                                    const kc_op *op, kc_result *result) {
    const kc_scope_rec *s = offers[0].scope;
    kc_seat *seat = kc_seat_of(e, op);
    uint32_t tok = 0;
    int rc = s != NULL ? kc_tok_make(e, op, kc_scope_index(e, s), &tok, &result->refusal) : KC_ENOENT;

    if (rc != KC_OK)
        return rc;
    rc = add_clauses(e, tok, offers, count, result);
    if (rc == KC_OK)
        rc = stage_sends(e, tok, offers, count, result);
    if (rc == KC_OK) {
        result->clause = offers[0].index;
        rc = kc_chan_waiter_scope_admit(e, tok, &result->refusal);
    }
    if (rc == KC_OK) {
        kc_chan_waiter_scope_park(e, tok, start);
        result->token = kc_ticket_of(tok, kc_word_load(&kc_tok_at(e, tok)->w));
        if (seat != NULL)
            seat->token = result->token;
        rc = KC_PARKED;
    } else {
        undo(e, tok, offers, count);
    }
    return rc;
}
