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

bool kc_pump_results(kc_pump *pump)
{
    bool some = false;
    uint32_t n;
    while ((n = kc_port_take(pump->conns.engine, pump->port, pump->results, KC_PUMP_RESULTS)) != 0) {
        for (uint32_t i = 0; i < n; i++) {
            kc_result_take(pump, &pump->results[i]);
        }
        some = true;
    }
    return some;
}
