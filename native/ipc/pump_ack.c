/* pump_ack.c: ACK and NACK, and what ends a request before its time: CANCEL, the end of input, the end of the
 * daemon. */
#include "ipc/kc_pump_parts.h"

uint32_t kc_pump_settle_deliveries(kc_pump *pump, kc_connection *conn, const kc_request *request, bool nack)
{
    kc_attr_walk walk = kc_request_walk(request, KC_ATTR_DELIVERY_ID);
    kc_attr attr;
    uint32_t count = 0;
    while (kc_attr_walk_next(&walk, &attr)) {
        kc_token token = kc_attr_u64(&attr);
        if (!kc_waiter_token_awaits_ack(pump->conns.engine, conn->scope, token)) {
            continue; /* also a guessed number of a plain receive: the kernel settles that, not the peer */
        }
        int code = nack ? kc_waiter_token_nack(pump->conns.engine, conn->scope, token)
                        : kc_waiter_token_ack(pump->conns.engine, conn->scope, token);
        count += code == KC_OK;
    }
    return count;
}

void kc_pump_ack(kc_pump *pump, kc_connection *conn, kc_inbound *frame)
{
    const kc_request *request = &frame->request;
    uint32_t count = kc_pump_settle_deliveries(pump, conn, request, request->cmd == KC_CMD_NACK);
    if (request->req_id != 0) {
        kc_reply_count(pump, conn, kc_answer_to(request->cmd, request->req_id), count == 0 ? KC_ENOENT : KC_OK, count);
    }
}

/* A kept request's cancellation waits for kc_pump_cancelled; `token` chains those that do, oldest first. */
static void kc_cancel_kept(kc_pump *pump, kc_connection *conn, uint32_t slot)
{
    kc_pending *slots = conn->pendings.slots;
    uint32_t last = conn->cancelled;
    if ((slots[slot].flags & KC_PENDING_CANCELLED) != 0) {
        return;
    }
    slots[slot].flags |= KC_PENDING_CANCELLED | KC_PENDING_LISTED;
    slots[slot].token = 0;
    while (last != 0 && slots[last - 1].token != 0) {
        last = (uint32_t)slots[last - 1].token;
    }
    if (last == 0) {
        conn->cancelled = slot + 1;
    } else {
        slots[last - 1].token = slot + 1;
    }
    kc_list_add(&pump->conns, KC_LIST_CANCELLED, conn);
}

void kc_pump_cancel_pending(kc_pump *pump, kc_connection *conn, uint32_t slot, uint32_t reason)
{
    kc_pending *pending = &conn->pendings.slots[slot];
    if (pending->kind == KC_PENDING_CONTROL || pending->kind == KC_PENDING_NONE) {
        return;
    }
    if (pending->kind == KC_PENDING_KEPT) {
        kc_cancel_kept(pump, conn, slot);
        return;
    }
    kc_result result = {0};
    int claim = kc_waiter_token_cancel(pump->conns.engine, pending->token, reason, &result);
    pending->flags |= KC_PENDING_CANCELLED;
    if (claim != KC_OK && claim != KC_EINPROGRESS) {
        return; /* decided before: its result is at the port */
    }
    result.code = claim == KC_OK ? KC_ECANCELED : KC_EINPROGRESS;
    result.reason = reason;
    kc_pump_result(pump, conn, slot, &result);
}

void kc_pump_cancel(kc_pump *pump, kc_connection *conn, const kc_request *request)
{
    uint32_t slot;
    if (kc_pendings_find(&conn->pendings, request->req_id, &slot) == KC_OK) {
        kc_pump_cancel_pending(pump, conn, slot, KC_REASON_CANCEL);
    }
}

void kc_pump_cancel_parked(kc_pump *pump, kc_connection *conn, uint32_t reason)
{
    for (uint32_t slot = 0; slot < conn->pendings.capacity; slot++) {
        kc_pump_cancel_pending(pump, conn, slot, reason);
    }
}

void kc_pump_silence(kc_pump *pump, kc_connection *conn)
{
    for (uint32_t slot = 0; slot < conn->pendings.capacity; slot++) {
        kc_pending *pending = &conn->pendings.slots[slot];
        bool parked = pending->kind >= KC_PENDING_SEND && pending->kind <= KC_PENDING_SELECT;
        if (parked && pending->token != 0) {
            (void)kc_waiter_token_cancel(pump->conns.engine, pending->token, KC_REASON_DEAD, NULL);
            pending->token = 0;
        }
    }
}

int kc_pump_cancelled(kc_pump *pump, kc_conn *conn_out, uint32_t *req_id_out)
{
    kc_connection *conn = pump->conns.lists[KC_LIST_CANCELLED].first;
    if (conn == NULL) {
        return KC_EAGAIN;
    }
    kc_pending *pending = &conn->pendings.slots[conn->cancelled - 1];
    *conn_out = kc_conn_ticket(conn);
    *req_id_out = pending->req_id;
    conn->cancelled = (uint32_t)pending->token;
    pending->flags &= (uint8_t)~KC_PENDING_LISTED;
    pending->token = 0;
    if (conn->cancelled == 0) {
        kc_list_drop(&pump->conns, KC_LIST_CANCELLED, conn);
    }
    return KC_OK;
}

int kc_pump_drain(kc_pump *pump)
{
    pump->draining = true;
    return KC_OK;
}

int kc_pump_cancel_all(kc_pump *pump)
{
    for (uint32_t i = 1; i <= pump->conns.high; i++) {
        kc_connection *conn = kc_conns_at(&pump->conns, i);
        if (conn != NULL && conn->state < KC_CONN_CLOSING) {
            kc_pump_cancel_parked(pump, conn, KC_REASON_SHUTDOWN);
        }
    }
    (void)kc_pump_results(pump);
    return KC_OK;
}
