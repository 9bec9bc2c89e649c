/* pump_held.c: the frame that waits behind its connection's barrier: put aside for Python with all that came with it,
 * and served again when Python has made its handle. What Python does with it meanwhile is pump_control.c.
 *
 * Invariants: a connection holds one such frame at most (kc_held); what Python may have to read is short
 * (KC_CONTROL_*); whatever was taken over here is given back here or there, once.
 */
#include "ipc/kc_pump_parts.h"

#include <string.h>

static bool kc_held_payload(kc_memory *memory, kc_held *held, kc_inbound *frame)
{
    held->length = frame->request.length;
    if (frame->flat != NULL) {
        held->payload = frame->flat->bytes;
        held->payload_bytes = frame->flat->capacity;
        *frame->flat = (kc_buffer){0};
        return true;
    }
    if (held->length == 0) {
        return true;
    }
    held->payload = kc_memory_take(memory, held->length);
    if (held->payload == NULL) {
        return false;
    }
    held->payload_bytes = held->length;
    memcpy(held->payload, frame->request.payload, held->length);
    return true;
}

void kc_pump_held_free(kc_pump *pump, const kc_connection *conn, kc_held *held)
{
    kc_files_drop(&pump->conns, conn, &held->files);
    kc_bodies_drop(pump->conns.engine, &pump->conns.memory, &held->bodies);
    kc_memory_give(&pump->conns.memory, held->payload, held->payload_bytes);
    *held = (kc_held){0};
}

static bool kc_held_has_few_attrs(const kc_request *request)
{
    const uint8_t *at = request->payload;
    uint32_t left = request->length;
    kc_attr attr;
    for (uint32_t n = 0; n < KC_CONTROL_ATTRS && left != 0; n++) {
        (void)kc_attr_head(at, left, request->minor, &attr); /* the payload was judged: heads and values are whole */
        at += attr.head_bytes + attr.length;
        left -= attr.head_bytes + attr.length;
    }
    return left == 0;
}

/* Whether Python may have to read it: one long frame would stop everybody. A SEND that waits for its handle may be
 * long, because of its element; when that lies in blocks, Python reads nothing. */
static bool kc_held_is_modest(const kc_request *request, bool ungranted)
{
    bool send = ungranted && (request->cmd == KC_CMD_CHAN_SEND || request->cmd == KC_CMD_CHAN_TRY_SEND);
    bool detached = send && request->detach_bytes != 0;
    return detached || ((send || request->length <= KC_CONTROL_BYTES) && kc_held_has_few_attrs(request));
}

void kc_pump_hold(kc_pump *pump, kc_connection *conn, kc_inbound *frame, bool ungranted)
{
    const kc_request *request = &frame->request;
    if (!kc_held_is_modest(request, ungranted)) {
        if (conn->greeted) {
            kc_reply_plain(pump, conn, kc_answer_to(request->cmd, request->req_id), KC_EMSGSIZE);
        } else {
            kc_pump_fatal(pump, conn, request->cmd, KC_EMSGSIZE);
        }
        return;
    }
    bool named = conn->minor != 0 && conn->greeted && request->req_id != 0;
    kc_held held = {.cmd = request->cmd, .req_id = request->req_id, .chan_id = request->chan_id,
                    .detach_bytes = request->detach_bytes, .ungranted = ungranted};
    if (named && !kc_pump_reserve(pump, conn, request, &held.slot)) {
        return;
    }
    if (!kc_held_payload(&pump->conns.memory, &held, frame)) {
        kc_connection_break(&pump->conns, conn, KC_ENOMEM);
        return;
    }
    if (frame->bodies != NULL) {
        held.bodies = *frame->bodies;
        *frame->bodies = (kc_bodies){0};
    }
    held.files = frame->files;
    frame->files = (kc_files){0};
    held.slot += 1;
    if (named) {
        (void)kc_pendings_take(&conn->pendings, request->req_id, KC_PENDING_CONTROL);
    } else {
        held.slot = 0;
    }
    conn->held = held;
    conn->barrier = KC_BARRIER_CONTROL;
    kc_list_add(&pump->conns, KC_LIST_CONTROL, conn);
}

static int kc_held_again(kc_pump *pump, kc_connection *conn, kc_held *held)
{
    kc_buffer flat = {.bytes = held->payload, .capacity = held->payload_bytes, .tail = held->length};
    kc_refusal none = {0};
    kc_inbound frame = {.bodies = &held->bodies, .flat = &flat, .refusal = &none, .files = held->files};
    int code = kc_request_parse_detached(held->payload, held->length, conn->minor, held->cmd, held->detach_bytes,
                                         &frame.request);
    if (code == KC_OK) {
        held->files = (kc_files){0};
        kc_pump_frame(pump, conn, &frame);
        (void)kc_pump_results(pump);
    }
    held->payload = flat.bytes;
    held->payload_bytes = flat.capacity;
    return code;
}

int kc_pump_resubmit(kc_pump *pump, kc_conn ticket)
{
    kc_connection *conn = kc_conns_find(&pump->conns, ticket);
    if (conn == NULL) {
        return KC_ENOENT;
    }
    if (conn->barrier != KC_BARRIER_CONTROL || !conn->held.given) {
        return KC_EINVAL;
    }
    kc_held held = conn->held;
    conn->held = (kc_held){0};
    if (held.slot != 0) {
        kc_pendings_remove(&conn->pendings, held.slot - 1);
    }
    kc_pump_lift(pump, conn);
    int code = conn->state < KC_CONN_CLOSING ? kc_held_again(pump, conn, &held) : KC_OK;
    kc_pump_held_free(pump, conn, &held);
    return code;
}
