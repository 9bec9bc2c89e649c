/* op.c: send and receive, the two plain operations: check, look, run, patience, park; in this order, as Go does. */
#include "kc_look.h"

/* Once for each direction. */
KC_PART int attempt(kc_engine *e, const kc_offer *o, uint32_t dir, const kc_op *op, kc_result *result) {
    enum kc_verdict verdict = KC_CAN_WAIT;
    int rc = kc_offer_check(e, o, dir);

    if (rc == KC_OK)
        rc = kc_offer_may_hold(e, o, dir, &result->refusal);
    if (rc != KC_OK)
        return rc;
    verdict = kc_offer_look(e, o, dir, result);
    if (verdict == KC_CAN_NEVER)
        rc = result->code;
    else if (verdict == KC_CAN_RUN)
        rc = kc_offer_run(e, o, dir, op, result);
    else if ((rc = kc_offer_patience(e, op)) == KC_OK)
        rc = kc_offer_park(e, o, 1, 0, op, result);
    kc_offer_count(o, rc);
    return rc;
}

KC_PART int operate(kc_engine *e, kc_chan chan, kc_offer *o, uint32_t dir, const kc_op *op,
                    kc_result *result) {
    int rc = KC_ENOENT;

    kc_result_begin(result, op->user, chan);
    o->dir = dir;
    kc_enter(e);
    o->chan = kc_chan_find(e, chan);
    o->scope = kc_scope_find(e, op->scope);
    if (kc_seat_is_stopped(e, op))
        rc = KC_ECANCELED;
    else if (o->chan != NULL && (op->scope == 0 || o->scope != NULL))
        rc = attempt(e, o, dir, op, result);
    kc_leave(e);
    result->code = rc;
    return rc;
}

static uint32_t recv_flags(uint32_t flags) {
    flags &= KC_OP_HOLD | KC_OP_ACK | KC_OP_SENDER;
    return (flags & KC_OP_ACK) != 0 ? flags | KC_OP_HOLD : flags;
}

uint32_t kc_account_of_scope(kc_engine *e, kc_scope scope) {
    const kc_scope_rec *s = NULL;
    uint32_t account = 0;

    kc_enter(e);
    s = kc_scope_find(e, scope);
    account = s != NULL ? s->account : 0;
    kc_leave(e);
    return account;
}

/* Long payloads are copied before the lock is taken for the operation: nobody waits for somebody else's memcpy. */
static KC_APART int send_long(kc_engine *e, kc_chan chan, const kc_op *op, const void *data, uint32_t len_bytes,
                     kc_result *result) {
    kc_body body = {0};
    int rc = KC_OK;

    kc_result_begin(result, op->user, chan);
    rc = kc_body_make(e, kc_account_of_scope(e, op->scope), data, len_bytes, &body, &result->refusal);
    if (rc == KC_OK) {
        rc = kc_chan_send_body(e, chan, op, &body, result);
        kc_body_drop(e, &body);
    }
    result->code = rc;
    return rc;
}

KC_WHOLE int kc_chan_send(kc_engine *e, kc_chan chan, const kc_op *op, const void *data, uint32_t len_bytes,
                 kc_result *result) {
    kc_offer offer = {
        .flags = op->flags & KC_SEND_FLAGS, .len_bytes = len_bytes, .data = data, .expires_ns = op->expires_ns};

    if (len_bytes > KC_BLOCK_MAX_BYTES)
        return send_long(e, chan, op, data, len_bytes, result);
    return operate(e, chan, &offer, KC_CLAUSE_SEND, op, result);
}

int kc_chan_send_body(kc_engine *e, kc_chan chan, const kc_op *op, kc_body *body, kc_result *result) {
    kc_offer offer = {
        .flags = op->flags & KC_SEND_FLAGS, .len_bytes = body->len_bytes, .body = body, .expires_ns = op->expires_ns};

    return operate(e, chan, &offer, KC_CLAUSE_SEND, op, result);
}

KC_WHOLE int kc_chan_recv(kc_engine *e, kc_chan chan, const kc_op *op, void *buffer, uint32_t buffer_bytes,
                 kc_result *result) {
    kc_offer offer = {.flags = recv_flags(op->flags),
                      .buffer = buffer,
                      .buffer_bytes = buffer_bytes < KC_BLOCK_MAX_BYTES ? buffer_bytes : KC_BLOCK_MAX_BYTES};

    return operate(e, chan, &offer, KC_CLAUSE_RECV, op, result);
}
