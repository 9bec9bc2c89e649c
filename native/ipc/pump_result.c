/* pump_result.c: what became of operations that had parked, from the engine's port to the replies.
 *
 * A result whose connection is over finds no ear: a body in it is dropped, and a message that a token holds stays held
 * until the connection's scope ends, which is where undelivered messages are dealt with.
 */
#include "ipc/kc_pump_parts.h"

void kc_pump_result(kc_pump *pump, kc_connection *conn, uint32_t slot, kc_result *result)
{
    switch (conn->pendings.slots[slot].kind) {
    case KC_PENDING_SEND:
        kc_pump_send_result(pump, conn, slot, result);
        break;
    case KC_PENDING_RECV:
        kc_pump_recv_result(pump, conn, slot, result);
        break;
    case KC_PENDING_SELECT:
        kc_pump_select_result(pump, conn, slot, result);
        break;
    default:
        break;
    }
}

static void kc_result_take(kc_pump *pump, kc_result *result)
{
    kc_connection *conn = kc_conns_at(&pump->conns, (uint32_t)(result->user >> 32));
    uint32_t slot = (uint32_t)result->user;
    if (conn != NULL && conn->state < KC_CONN_CLOSING && slot < conn->pendings.capacity) {
        kc_pump_result(pump, conn, slot, result);
    } else if ((result->flags & KC_RESULT_HELD) == 0) {
        kc_body_drop(pump->conns.engine, &result->body);
    }
}

static bool kc_result_is_of_a_batch(const kc_pump *pump, const kc_result *result)
{
    const kc_connection *conn = kc_conns_at(&pump->conns, (uint32_t)(result->user >> 32));
    uint32_t slot = (uint32_t)result->user;
    if (conn == NULL || conn->state >= KC_CONN_CLOSING || slot >= conn->pendings.capacity) {
        return false;
    }
    const kc_pending *pending = &conn->pendings.slots[slot];
    return pending->kind == KC_PENDING_SEND && (pending->flags & KC_PENDING_BATCH) != 0;
}

bool kc_pump_batches_go_on(kc_pump *pump)
{
    kc_result result;
    bool some = false;
    while (pump->aside_end < KC_PUMP_RESULTS && kc_port_take(pump->conns.engine, pump->port, &result, 1) != 0) {
        if (kc_result_is_of_a_batch(pump, &result)) {
            kc_result_take(pump, &result);
            some = true;
        } else {
            pump->aside[pump->aside_end++] = result;
        }
    }
    return some;
}

/* What was put aside is older than what is at the port. Serving it may put more aside, behind it. */
static bool kc_results_aside(kc_pump *pump)
{
    bool some = pump->aside_end != 0;
    while (pump->aside_first < pump->aside_end) {
        kc_result_take(pump, &pump->aside[pump->aside_first++]);
    }
    pump->aside_first = pump->aside_end = 0;
    return some;
}

bool kc_pump_results(kc_pump *pump)
{
    bool some = kc_results_aside(pump);
    uint32_t n;
    while ((n = kc_port_take(pump->conns.engine, pump->port, pump->results, KC_PUMP_RESULTS)) != 0) {
        for (uint32_t i = 0; i < n; i++) {
            kc_result_take(pump, &pump->results[i]);
        }
        (void)kc_results_aside(pump);
        some = true;
    }
    return kc_pump_told(pump) || some;
}
