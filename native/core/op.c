/* op.c: send and receive, the two plain operations: check, look, run, patience, park; in this order, as Go does. */
#include "kc_offer.h"

void kc_offer_count(const kc_offer *o, int code) {
    kc_chan_rec *c = o->chan;
    bool send = o->dir == KC_CLAUSE_SEND;

    if (code == KC_EAGAIN)
        kc_stat_add(c, send ? KC_STAT_SEND_EAGAIN : KC_STAT_RECV_EAGAIN, 1);
    else if (code == KC_ETIME)
        kc_stat_add(c, send ? KC_STAT_SEND_ETIME : KC_STAT_RECV_ETIME, 1);
    else if (code == KC_EPIPE)
        kc_stat_add(c, send ? KC_STAT_SEND_EPIPE : KC_STAT_RECV_EPIPE, 1);
}

/* A sender that shares memory had to copy this time, and says why. */
static void count_fallback(kc_chan_rec *c, uint32_t flags) {
    kc_stat_add(c, KC_STAT_ZREF_FALLBACK_SMALL, (flags & KC_OP_SMALL) != 0);
    kc_stat_add(c, KC_STAT_ZREF_FALLBACK_CAPACITY, (flags & KC_OP_CROWDED) != 0);
}

static int attempt(kc_engine *e, const kc_offer *o, const kc_op *op, kc_result *result) {
    enum kc_verdict verdict = KC_CAN_WAIT;
    int rc = kc_offer_check(e, o);

    if (rc == KC_OK)
        rc = kc_offer_may_hold(e, o, &result->refusal);
    if (rc != KC_OK)
        return rc;
    verdict = kc_offer_look(e, o, result);
    if (verdict == KC_CAN_NEVER)
        rc = result->code;
    else if (verdict == KC_CAN_RUN)
        rc = kc_offer_run(e, o, op, result);
    else if ((rc = kc_offer_patience(e, op)) == KC_OK)
        rc = kc_offer_park(e, o, 1, op, result);
    kc_offer_count(o, rc);
    if (rc >= 0 && (op->flags & (KC_OP_SMALL | KC_OP_CROWDED)) != 0)
        count_fallback(o->chan, op->flags);
    return rc;
}

static int operate(kc_engine *e, kc_chan chan, kc_offer *o, const kc_op *op, kc_result *result) {
    int rc = KC_ENOENT;

    *result = (kc_result){.user = op->user, .chan = chan};
    kc_enter(e);
    o->chan = kc_chan_find(e, chan);
    o->scope = kc_scope_find(e, op->scope);
    if (o->chan != NULL && (op->scope == 0 || o->scope != NULL))
        rc = attempt(e, o, op, result);
    kc_leave(e);
    result->code = rc;
    return rc;
}

static uint32_t recv_flags(uint32_t flags) {
    flags &= KC_OP_HOLD | KC_OP_ACK;
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
static int send_long(kc_engine *e, kc_chan chan, const kc_op *op, const void *data, uint32_t len_bytes,
                     kc_result *result) {
    kc_body body = {0};
    int rc = KC_OK;

    *result = (kc_result){.user = op->user, .chan = chan};
    rc = kc_body_make(e, kc_account_of_scope(e, op->scope), data, len_bytes, &body, &result->refusal);
    if (rc == KC_OK) {
        rc = kc_chan_send_body(e, chan, op, &body, result);
        kc_body_drop(e, &body);
    }
    result->code = rc;
    return rc;
}

int kc_chan_send(kc_engine *e, kc_chan chan, const kc_op *op, const void *data, uint32_t len_bytes,
                 kc_result *result) {
    kc_offer offer = {
        .dir = KC_CLAUSE_SEND, .flags = op->flags & KC_OP_CONFIRM, .len_bytes = len_bytes, .data = data};

    if (len_bytes > KC_BLOCK_MAX_BYTES)
        return send_long(e, chan, op, data, len_bytes, result);
    return operate(e, chan, &offer, op, result);
}

int kc_chan_send_body(kc_engine *e, kc_chan chan, const kc_op *op, kc_body *body, kc_result *result) {
    kc_offer offer = {
        .dir = KC_CLAUSE_SEND, .flags = op->flags & KC_OP_CONFIRM, .len_bytes = body->len_bytes, .body = body};

    return operate(e, chan, &offer, op, result);
}

int kc_chan_recv(kc_engine *e, kc_chan chan, const kc_op *op, void *buffer, uint32_t buffer_bytes,
                 kc_result *result) {
    kc_offer offer = {.dir = KC_CLAUSE_RECV,
                      .flags = recv_flags(op->flags),
                      .buffer = buffer,
                      .buffer_bytes = buffer_bytes < KC_BLOCK_MAX_BYTES ? buffer_bytes : KC_BLOCK_MAX_BYTES};

    return operate(e, chan, &offer, op, result);
}
