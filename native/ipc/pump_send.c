/* pump_send.c: SEND and TRY_SEND, one element or a batch.
 *
 * A batch is a pipeline of single sends with one deadline: the next starts when the one before is settled, with a token
 * of its own. It lives on the stack while nothing parks and becomes a kc_batch when something does.
 */
#include "ipc/kc_pump_parts.h"

/* Sends one range of the connection's own memory. */
static int kc_send_range(kc_pump *pump, const kc_connection *conn, kc_chan chan, const kc_op *op, const kc_attr *attr,
                         kc_result *result)
{
    kc_body body;
    *result = (kc_result){.user = op->user, .chan = chan};
    int code = kc_pump_range_body(pump, conn, attr, &body, &result->refusal);
    if (code == KC_OK) {
        code = kc_chan_send_body(pump->conns.engine, chan, op, &body, result);
        kc_body_forget(pump->conns.engine, &body); /* empty when it was taken over */
    }
    return code;
}

/* Sends one element or range; a detached one is taken over when that succeeds. */
static int kc_send_element(kc_pump *pump, const kc_connection *conn, kc_chan chan, const kc_op *op,
                           const kc_attr *attr, kc_bodies *bodies, kc_result *result)
{
    if (attr->type == KC_ATTR_DESC) {
        return kc_send_range(pump, conn, chan, op, attr, result);
    }
    if (attr->value != NULL) {
        return kc_chan_send(pump->conns.engine, chan, op, attr->value, attr->length, result);
    }
    int code = kc_chan_send_body(pump->conns.engine, chan, op, &bodies->items[bodies->next], result);
    if (code >= 0) {
        bodies->next++;
    }
    return code;
}

/* One element with files: the body takes both over. */
static int kc_send_with_files(kc_pump *pump, const kc_connection *conn, kc_inbound *frame, kc_chan chan,
                              const kc_op *op, kc_result *result)
{
    const kc_request *request = &frame->request;
    kc_engine *engine = pump->conns.engine;
    kc_body body = {0};
    int code = KC_OK;
    *result = (kc_result){.user = op->user, .chan = chan};
    if (request->element != NULL || request->element_bytes == 0) {
        code = kc_body_make(engine, conn->account, request->element, request->element_bytes, &body, &result->refusal);
    } else {
        body = frame->bodies->items[frame->bodies->next++];
    }
    if (code == KC_OK) {
        code = kc_file_attach(engine, &body, kc_conn_ticket(conn), frame->files.items, frame->files.count,
                              &result->refusal);
    }
    if (code == KC_OK) {
#if KC_MUTANT != 14 /* files of a message that was sent are closed twice */
        frame->files.count = 0;
#endif
        code = kc_chan_send_body(engine, chan, op, &body, result);
    }
    kc_body_drop(engine, &body);
    return code;
}

static kc_attr kc_send_first(const kc_request *request)
{
    kc_attr attr = {.value = request->element, .length = request->element_bytes, .type = KC_ATTR_ELEMENT};
    if (request->descs.count != 0) {
        kc_attr_walk walk = kc_request_walk(request, KC_ATTR_DESC);
        (void)kc_attr_walk_next(&walk, &attr);
    }
    return attr;
}

/* Until when its messages are wanted: the time begins when the frame arrives. 0: for as long as the channel says. */
static int64_t kc_send_expiry(const kc_pump *pump, const kc_connection *conn, const kc_request *request)
{
    return conn->minor != 0 && request->ttl_ms != 0 ? pump->now_ns + request->ttl_ms * INT64_C(1000000) : 0;
}

/* Where a send ends without the acknowledgement it asked for: whether its message is the channel's all the same. Of a
 * channel that was poisoned nothing is claimed. */
static uint16_t kc_send_fate(uint32_t op_flags, const kc_result *result)
{
    uint16_t fate = KC_FATE_UNSAID;
    if ((op_flags & KC_OP_CONFIRM) != 0 && result->reason != KC_REASON_POISONED) {
#if KC_MUTANT == 74 /* what was taken and then lost is told as never taken */
        fate = KC_FATE_UNTAKEN;
#elif KC_MUTANT == 75 /* what was never taken is told as taken */
        fate = KC_FATE_TAKEN;
#else
        fate = (result->flags & KC_RESULT_TAKEN) != 0 ? KC_FATE_TAKEN : KC_FATE_UNTAKEN;
#endif
    }
    return fate;
}

static void kc_send_refuse(kc_pump *pump, kc_connection *conn, kc_answer answer, uint32_t op_flags,
                           const kc_result *result, int32_t code)
{
    answer.fate = kc_send_fate(op_flags, result);
    kc_reply_error(pump, conn, answer, code, result);
}

static void kc_send_single(kc_pump *pump, kc_connection *conn, kc_inbound *frame, kc_chan chan, uint32_t op_flags,
                           int32_t timeout_ms)
{
    const kc_request *request = &frame->request;
    kc_attr attr = kc_send_first(request);
    kc_answer answer = kc_answer_to(request->cmd, request->req_id);
    kc_result result;
    uint32_t slot;
    if (!kc_pump_reserve(pump, conn, request, &slot)) {
        return;
    }
    kc_op op = kc_pump_op(pump, conn, slot, timeout_ms, op_flags);
    op.expires_ns = kc_send_expiry(pump, conn, request);
    int code = frame->files.count != 0 ? kc_send_with_files(pump, conn, frame, chan, &op, &result)
                                       : kc_send_element(pump, conn, chan, &op, &attr, frame->bodies, &result);
    if (code == KC_OK) {
        kc_reply_sent(pump, conn, answer, (result.flags & KC_RESULT_DROPPED) != 0);
    } else if (code == KC_PARKED) {
        kc_pending *pending = kc_pump_park(conn, request->req_id, KC_PENDING_SEND, result.token);
        pending->flags |= (op_flags & KC_OP_CONFIRM) != 0 ? KC_PENDING_CONFIRM : 0;
    } else {
        kc_send_refuse(pump, conn, answer, op_flags, &result, code);
    }
}

void kc_pump_send_usual(kc_pump *pump, kc_connection *conn, const kc_usual *usual)
{
    kc_answer answer = {.cmd = KC_CMD_CHAN_SEND, .req_id = usual->req_id, .index = -1};
    kc_op op = kc_pump_op(pump, conn, usual->slot, usual->timeout_ms, 0);
    kc_result result;
    int code = kc_chan_send(pump->conns.engine, usual->chan, &op, usual->element, usual->element_bytes, &result);
    if (code == KC_OK && (result.flags & KC_RESULT_DROPPED) == 0) {
        kc_reply_short(pump, conn, KC_CMD_CHAN_SEND, usual->req_id, KC_OK);
    } else if (code == KC_OK) {
        kc_reply_sent(pump, conn, answer, true);
    } else if (code == KC_PARKED) {
        (void)kc_pump_park(conn, usual->req_id, KC_PENDING_SEND, result.token);
    } else {
        kc_reply_error(pump, conn, answer, code, &result);
    }
}

/* Sends elements until one parks (KC_PARKED), one fails (its code), or none is left (KC_OK). */
static int kc_batch_advance(kc_pump *pump, const kc_connection *conn, uint32_t slot, kc_batch *batch,
                            kc_result *result)
{
    kc_op op = {.scope = conn->scope, .user = ((uint64_t)conn->index << 32) | slot, .deadline_ns = batch->deadline_ns,
                .port = pump->port, .flags = batch->op_flags, .expires_ns = batch->expires_ns};
    kc_attr attr;
    int code = KC_OK;
    while (code == KC_OK && kc_attr_walk_next(&batch->elements.walk, &attr)) {
        code = kc_send_element(pump, conn, batch->chan, &op, &attr, &batch->elements.bodies, result);
        if (code == KC_OK) {
            batch->count++;
            batch->dropped += (result->flags & KC_RESULT_DROPPED) != 0;
        }
    }
    return code;
}

static void kc_batch_say(kc_pump *pump, kc_connection *conn, uint32_t req_id, const kc_batch *batch, int32_t code,
                         const kc_result *result)
{
    kc_batch_sum sum = {batch->count, batch->dropped, code, result};
    kc_answer answer = kc_answer_to(KC_CMD_CHAN_SEND, req_id);
    answer.fate = code == KC_OK ? KC_FATE_UNSAID : kc_send_fate(batch->op_flags, result);
    kc_reply_batch(pump, conn, answer, &sum);
}

/* There is no memory to remember the rest: the element in flight is called back, and the batch ends before it. */
static void kc_batch_give_up(kc_pump *pump, kc_connection *conn, uint32_t req_id, const kc_batch *batch, int32_t code,
                             kc_result *result)
{
    int claim = kc_waiter_token_cancel(pump->conns.engine, result->token, KC_REASON_CANCEL, NULL);
    if (claim == KC_EBUSY) {
        kc_connection_break(&pump->conns, conn, code);
        return;
    }
    result->code = code;
    result->flags |= claim == KC_EINPROGRESS ? (uint32_t)KC_RESULT_TAKEN : 0;
    kc_batch_say(pump, conn, req_id, batch, code, result);
}

static void kc_batch_park(kc_pump *pump, kc_connection *conn, const kc_request *request, kc_batch *batch,
                          kc_result *result)
{
    kc_batch *kept;
    int code = kc_batch_make(pump->conns.engine, &pump->conns.memory, conn->account, &batch->elements, &kept,
                             &result->refusal);
    if (code != KC_OK) {
        kc_batch_give_up(pump, conn, request->req_id, batch, code, result);
        return;
    }
    kept->chan = batch->chan;
    kept->deadline_ns = batch->deadline_ns;
    kept->expires_ns = batch->expires_ns;
    kept->op_flags = batch->op_flags;
    kept->count = batch->count;
    kept->dropped = batch->dropped;
    kc_pending *pending = kc_pump_park(conn, request->req_id, KC_PENDING_SEND, result->token);
    pending->flags = KC_PENDING_BATCH;
    pending->more.batch = kept;
}

static void kc_send_batch(kc_pump *pump, kc_connection *conn, kc_inbound *frame, kc_chan chan, uint32_t op_flags,
                          int32_t timeout_ms)
{
    const kc_request *request = &frame->request;
    kc_result result = {0};
    uint32_t slot;
    if (!kc_pump_reserve(pump, conn, request, &slot)) {
        return;
    }
    kc_op op = kc_pump_op(pump, conn, slot, timeout_ms, op_flags);
    kc_batch batch = {.chan = chan, .deadline_ns = op.deadline_ns, .expires_ns = kc_send_expiry(pump, conn, request),
                      .op_flags = op.flags};
    batch.elements.walk = kc_request_walk(request, request->descs.count != 0 ? KC_ATTR_DESC : KC_ATTR_ELEMENT);
    if (frame->bodies != NULL) {
        batch.elements.bodies = *frame->bodies;
        *frame->bodies = (kc_bodies){0};
    }
    int code = kc_batch_advance(pump, conn, slot, &batch, &result);
    if (code == KC_PARKED) {
        kc_batch_park(pump, conn, request, &batch, &result);
    } else {
        kc_batch_say(pump, conn, request->req_id, &batch, code, &result);
    }
    kc_bodies_drop(pump->conns.engine, &pump->conns.memory, &batch.elements.bodies);
}

/* What can be said about the frame before its channel is looked at. */
static int kc_send_judge(const kc_pump *pump, const kc_connection *conn, const kc_inbound *frame)
{
    const kc_request *request = &frame->request;
    uint32_t descs = conn->minor != 0 ? request->descs.count : 0;
    uint32_t count = request->elements.count + descs;
    if (count == 0 || count > KC_BATCH_ELEMENTS || (descs != 0 && request->elements.count != 0)) {
        return KC_EINVAL;
    }
    if (frame->files.count != 0 && (descs != 0 || count != 1)) {
        return KC_EINVAL;
    }
    if (conn->minor != 0 && (request->flags & ~(uint32_t)KC_FLAG_SEND_ALL) != 0) {
        return KC_EINVAL;
    }
    return pump->draining ? KC_ECANCELED : KC_OK;
}

static uint32_t kc_send_flags(const kc_connection *conn, const kc_request *request)
{
    uint32_t flags = conn->minor != 0 ? request->flags : 0;
    return ((flags & KC_FLAG_SEND_COMPLETE_ACK) != 0 ? (uint32_t)KC_OP_CONFIRM : 0U) |
           ((flags & KC_FLAG_SEND_FALLBACK_SMALL) != 0 ? (uint32_t)KC_OP_SMALL : 0U) |
           ((flags & KC_FLAG_SEND_FALLBACK_CAPACITY) != 0 ? (uint32_t)KC_OP_CROWDED : 0U);
}

void kc_pump_send(kc_pump *pump, kc_connection *conn, kc_inbound *frame)
{
    const kc_request *request = &frame->request;
    const kc_handle *handle;
    if (!kc_pump_granted(pump, conn, frame, KC_RIGHT_WRITE, &handle)) {
        return;
    }
    int code = kc_send_judge(pump, conn, frame);
    if (code != KC_OK) {
        kc_result result = {.code = code, .reason = KC_REASON_SHUTDOWN};
        kc_answer answer = kc_answer_to(request->cmd, request->req_id);
        kc_send_refuse(pump, conn, answer, kc_send_flags(conn, request), &result, code);
        return;
    }
    int32_t timeout_ms = request->cmd == KC_CMD_CHAN_TRY_SEND ? 0 : request->timeout_ms;
    bool single = conn->minor == 0 || request->elements.count + request->descs.count == 1;
    (single ? kc_send_single : kc_send_batch)(pump, conn, frame, handle->chan, kc_send_flags(conn, request),
                                              timeout_ms);
}

static void kc_batch_result(kc_pump *pump, kc_connection *conn, uint32_t slot, kc_result *result)
{
    kc_pending *pending = &conn->pendings.slots[slot];
    kc_batch *batch = pending->more.batch;
    uint32_t req_id = pending->req_id;
    int32_t code = result->code;
    if (code == KC_OK) {
        batch->count++;
        batch->dropped += (result->flags & KC_RESULT_DROPPED) != 0;
        bool cancelled = (pending->flags & KC_PENDING_CANCELLED) != 0;
        code = cancelled ? KC_ECANCELED : kc_batch_advance(pump, conn, slot, batch, result);
    }
    if (code == KC_PARKED) {
        pending->token = result->token;
        return;
    }
    kc_batch_say(pump, conn, req_id, batch, code, result);
    kc_batch_free(pump->conns.engine, &pump->conns.memory, batch);
    kc_pump_done(pump, conn, slot);
}

void kc_pump_send_result(kc_pump *pump, kc_connection *conn, uint32_t slot, kc_result *result)
{
    const kc_pending *pending = &conn->pendings.slots[slot];
    kc_answer answer = kc_answer_to(KC_CMD_CHAN_SEND, pending->req_id);
    if ((pending->flags & KC_PENDING_BATCH) != 0) {
        kc_batch_result(pump, conn, slot, result);
        return;
    }
    if (result->code == KC_OK) {
        kc_reply_sent(pump, conn, answer, (result->flags & KC_RESULT_DROPPED) != 0);
    } else {
        uint32_t op_flags = (pending->flags & KC_PENDING_CONFIRM) != 0 ? (uint32_t)KC_OP_CONFIRM : 0;
        kc_send_refuse(pump, conn, answer, op_flags, result, result->code);
    }
    kc_pump_done(pump, conn, slot);
}
