/* pump_lane.c: the usual frames: ABI 1.1, SEND of one short element or RECV of one message, attributes in the order in
 * which every client of ours writes them, on a handle that allows it.
 *
 * A frame is recognised by comparing words, before anything is changed; whatever differs (another order, a flag, a
 * file, a batch, a wrong REQ_ID, no handle, no memory) is left to the general way, which also has all the refusals.
 * What the lane does itself it does with the same parts as that way, so both answer alike;
 * tests/native/test_pump_lane.c says the same requests in two orders and compares.
 */
#include "ipc/kc_bytes.h"
#include "ipc/kc_pump_parts.h"

enum {
    KC_LANE_HEAD_BYTES = KC_FRAME_HEADER_BYTES + 24, /* with REQ_ID, CHAN_ID and TIMEOUT_MS: all of a RECV */
    KC_LANE_SEND_BYTES = KC_LANE_HEAD_BYTES + KC_ATTR_HEAD_BYTES
};

#define KC_LANE_SCALAR(type) (((uint32_t)(type) << 16) | 4U)

static bool kc_lane_scalars(const uint8_t *bytes)
{
    return kc_load_u32(bytes + 8) == KC_LANE_SCALAR(KC_ATTR_REQ_ID) &&
           kc_load_u32(bytes + 16) == KC_LANE_SCALAR(KC_ATTR_CHAN_ID) &&
           kc_load_u32(bytes + 24) == KC_LANE_SCALAR(KC_ATTR_TIMEOUT_MS);
}

/* Whether the frame's one element fills it to the end. */
static bool kc_lane_element(const uint8_t *bytes, size_t n, uint32_t whole, kc_usual *usual)
{
    usual->element = bytes + KC_LANE_SEND_BYTES;
    usual->element_bytes = whole - KC_LANE_SEND_BYTES;
    return whole >= KC_LANE_SEND_BYTES && whole <= n && usual->element_bytes < KC_FRAME_EXTENDED_LENGTH &&
           kc_load_u32(bytes + KC_LANE_HEAD_BYTES) == ((uint32_t)KC_ATTR_ELEMENT << 16 | usual->element_bytes);
}

/* Bytes of the usual frame that begins here; 0: it is another, or not whole. */
static uint32_t kc_lane_read(const uint8_t *bytes, size_t n, kc_usual *usual)
{
    if (n < KC_LANE_HEAD_BYTES || !kc_lane_scalars(bytes)) {
        return 0;
    }
    uint32_t cmd = kc_load_u32(bytes); /* flags are its lower half: no files */
    uint32_t length = kc_load_u32(bytes + 4);
    uint32_t whole = KC_FRAME_HEADER_BYTES + length;
    usual->req_id = kc_load_u32(bytes + 12);
    usual->chan_id = kc_load_u32(bytes + 20);
    usual->timeout_ms = (int32_t)kc_load_u32(bytes + 28);
    usual->sends = cmd == (uint32_t)KC_CMD_CHAN_SEND << 16;
    bool right = length <= KC_LARGE_BYTES &&
                 (usual->sends ? kc_lane_element(bytes, n, whole, usual)
                               : cmd == (uint32_t)KC_CMD_CHAN_RECV << 16 && whole == KC_LANE_HEAD_BYTES);
    return right ? whole : 0;
}

/* Whether the general way would run it too. */
static bool kc_lane_may_run(kc_pump *pump, kc_connection *conn, kc_usual *usual)
{
    const kc_handle *handle;
    uint32_t right = usual->sends ? KC_RIGHT_WRITE : KC_RIGHT_READ;
    uint32_t other;
    if (usual->req_id == 0 || kc_pendings_find(&conn->pendings, usual->req_id, &other) == KC_OK ||
        kc_pump_handle(conn, usual->chan_id, right, &handle) != KC_OK) {
        return false;
    }
    usual->chan = handle->chan;
    return kc_pendings_reserve(&pump->conns.memory, &conn->pendings, pump->config.requests_per_conn,
                               &usual->slot) == KC_OK;
}

uint32_t kc_lane_serve(kc_pump *pump, kc_connection *conn, const uint8_t *bytes, size_t n)
{
    kc_usual usual;
    if (conn->minor == 0 || !conn->greeted || pump->draining) {
        return 0;
    }
    uint32_t whole = kc_lane_read(bytes, n, &usual);
    if (whole == 0 || whole - KC_FRAME_HEADER_BYTES > conn->max_in || !kc_lane_may_run(pump, conn, &usual)) {
        return 0;
    }
    conn->turn_bytes += whole;
    pump->frames++;
    if (usual.sends) {
        kc_pump_send_usual(pump, conn, &usual);
    } else {
        kc_pump_recv_usual(pump, conn, &usual);
    }
    return whole;
}
