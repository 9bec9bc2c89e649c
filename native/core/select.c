/* select.c: exactly one of up to 64 clauses takes effect. Three passes under one lock: look and run, closed ones, park.
 *
 * While the lock is held the own token is not published, so a select can never meet itself, and one claim by the peer
 * decides it later (Go's selectgo has the same shape; its locks in address order are lock 0 here).
 */
#include "kc_look.h"
#include "kc_order.h"

static uint32_t clause_flags(const kc_clause *clause) {
    uint32_t hold = (clause->flags & KC_OP_ACK) != 0 ? KC_OP_HOLD : 0;

    return clause->dir == KC_CLAUSE_SEND ? clause->flags & KC_FALLBACK_FLAGS
                                         : (clause->flags & (KC_OP_HOLD | KC_OP_ACK | KC_OP_SENDER)) | hold;
}

static int find_channels(kc_engine *e, kc_clause *clauses, uint32_t count, kc_offer *offers, kc_scope scope,
                         kc_result *result) {
    kc_scope_rec *owner = kc_scope_find(e, scope);
    int rc = KC_OK;

    for (uint32_t i = 0; i < count && rc == KC_OK; i++) {
        bool send = clauses[i].dir == KC_CLAUSE_SEND;
        offers[i] = (kc_offer){.chan = kc_chan_find(e, clauses[i].chan),
                               .scope = owner,
                               .dir = clauses[i].dir,
                               .flags = clause_flags(&clauses[i]),
                               .index = i,
                               .len_bytes = send ? clauses[i].body.len_bytes : 0,
                               .body = send ? &clauses[i].body : NULL};
        if (clauses[i].dir > KC_CLAUSE_SEND)
            rc = KC_EINVAL;
        else
            rc = offers[i].chan != NULL ? kc_offer_check(e, &offers[i], offers[i].dir) : KC_ENOENT;
        if (rc == KC_OK)
            rc = kc_offer_may_hold(e, &offers[i], offers[i].dir, &result->refusal);
        result->clause = i;
    }
    return rc;
}

/* KC_CAN_RUN and the first clause that can, else KC_CAN_NEVER and the first that never will, else KC_CAN_WAIT. */
static enum kc_verdict look(kc_engine *e, const kc_offer *offers, uint32_t count, const kc_order *order,
                            uint32_t *winner, kc_result *result) {
    enum kc_verdict best = KC_CAN_WAIT;

    for (uint32_t k = 0; k < count && best != KC_CAN_RUN; k++) {
        uint32_t i = order->at[k];
        kc_result one = {0};
        enum kc_verdict verdict = kc_offer_look(e, &offers[i], offers[i].dir, &one);
        if (verdict == KC_CAN_RUN || (verdict == KC_CAN_NEVER && best == KC_CAN_WAIT)) {
            best = verdict;
            *winner = i;
            result->code = one.code;
            result->reason = one.reason;
        }
    }
    return best;
}

static int decide(kc_engine *e, const kc_offer *offers, uint32_t count, const kc_op *op, kc_result *result) {
    enum kc_verdict verdict = KC_CAN_WAIT;
    uint32_t winner = 0;
    kc_order order;
    int rc = KC_OK;

    kc_order_draw(&order, count, (op->flags & KC_OP_BIASED) != 0, &e->dice);
    verdict = look(e, offers, count, &order, &winner, result);
    result->clause = verdict == KC_CAN_WAIT ? 0 : winner;
    if (verdict == KC_CAN_RUN) {
        result->reason = 0;
        rc = kc_offer_run(e, &offers[winner], offers[winner].dir, op, result);
        if (rc >= 0)
            result->chan = kc_ticket_of(kc_chan_index(e, offers[winner].chan), kc_word_load(&offers[winner].chan->w));
        result->clause = winner;
    } else if (verdict == KC_CAN_NEVER) {
        rc = result->code;
    } else if ((rc = kc_offer_patience(e, op)) == KC_OK) {
        rc = kc_offer_park(e, offers, count, order.at[0], op, result);
    }
    kc_offer_count(&offers[result->clause], rc);
    return rc;
}

int kc_select(kc_engine *e, kc_clause *clauses, uint32_t count, const kc_op *op, kc_result *result) {
    kc_offer offers[KC_MAX_CLAUSES];
    kc_op plain = *op; /* what a receive holds, its clause says */
    int rc = count >= 1 && count <= KC_MAX_CLAUSES && (op->flags & KC_OP_CONFIRM) == 0 ? KC_OK : KC_EINVAL;

    plain.flags &= ~(uint32_t)(KC_OP_HOLD | KC_OP_ACK | KC_OP_SENDER);
    kc_result_begin(result, op->user, 0);
    if (rc == KC_OK) {
        kc_enter(e);
        rc = kc_seat_is_stopped(e, op) ? KC_ECANCELED : find_channels(e, clauses, count, offers, op->scope, result);
        if (rc == KC_OK)
            rc = decide(e, offers, count, &plain, result);
        /* Losers' bodies go with the operation, whether it ran or parked (parked ones are in their messages). */
        for (uint32_t i = 0; i < count && rc >= 0; i++)
            kc_body_retract(e, &clauses[i].body);
        kc_leave(e);
    }
    result->code = rc;
    if (rc < 0 && result->chan == 0 && count >= 1 && result->clause < count)
        result->chan = clauses[result->clause].chan;
    return rc;
}
