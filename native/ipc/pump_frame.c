/* pump_frame.c: the rules that every request obeys, and the barrier behind which control frames wait for Python. */
#include "ipc/kc_pump_parts.h"

#include <string.h>

static const int64_t KC_MS_NS = 1000000;

bool kc_pump_is_hot(uint16_t cmd, unsigned minor)
{
    bool old = cmd >= KC_CMD_CHAN_SEND && cmd <= KC_CMD_CHAN_TRY_RECV;
    return old || (minor != 0 && ((cmd >= KC_CMD_SELECT && cmd <= KC_CMD_PING) || cmd == KC_CMD_RELEASE));
}

_Static_assert(KC_CMD_CHAN_TRY_RECV - KC_CMD_CHAN_SEND == 3 && KC_CMD_PING - KC_CMD_SELECT == 4,
               "hot commands are two runs of numbers");

/* 1.1: every request has a REQ_ID that no live request has; CANCEL names another's; ACK and NACK may have none. */
static bool kc_frame_req_id_is_right(const kc_connection *conn, const kc_request *request)
{
    uint32_t slot;
    bool optional = request->cmd == KC_CMD_ACK || request->cmd == KC_CMD_NACK || request->cmd == KC_CMD_RELEASE;
    if (conn->minor == 0) {
        return true;
    }
    if ((request->present & KC_HAS_REQ_ID) == 0) {
        return optional;
    }
    bool fresh = request->cmd == KC_CMD_CANCEL ||
                 kc_pendings_find(&conn->pendings, request->req_id, &slot) == KC_ENOENT;
    return request->req_id != 0 && fresh;
}

void kc_pump_fatal(kc_pump *pump, kc_connection *conn, uint16_t cmd, int32_t code)
{
    kc_answer answer = {.cmd = cmd, .index = -1};
    kc_reply_plain(pump, conn, answer, code);
    kc_connection_close(&pump->conns, conn, code);
}

/* ---- control ---- */

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

static void kc_held_free(kc_pump *pump, const kc_connection *conn, kc_held *held)
{
    kc_files_drop(&pump->conns, conn, &held->files);
    kc_bodies_drop(pump->conns.engine, &pump->conns.memory, &held->bodies);
    kc_memory_give(&pump->conns.memory, held->payload, held->payload_bytes);
    *held = (kc_held){0};
}

static bool kc_frame_has_few_attrs(const kc_request *request)
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

/* Whether Python may have to read it: one long frame would stop everybody. A SEND that waits for its handle may be long,
 * because of its element; when that lies in blocks, Python reads nothing. */
static bool kc_frame_is_modest(const kc_request *request, bool ungranted)
{
    bool send = ungranted && (request->cmd == KC_CMD_CHAN_SEND || request->cmd == KC_CMD_CHAN_TRY_SEND);
    bool detached = send && request->detach_bytes != 0;
    return detached || ((send || request->length <= KC_CONTROL_BYTES) && kc_frame_has_few_attrs(request));
}

/* Puts the frame into the control queue. */
static void kc_frame_hold(kc_pump *pump, kc_connection *conn, kc_inbound *frame, bool ungranted)
{
    const kc_request *request = &frame->request;
    if (!kc_frame_is_modest(request, ungranted)) {
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

/* ---- the way of every frame ---- */

static void kc_frame_hot(kc_pump *pump, kc_connection *conn, kc_inbound *frame)
{
    pump->frames++;
    switch (frame->request.cmd) {
    case KC_CMD_CHAN_SEND:
    case KC_CMD_CHAN_TRY_SEND:
        kc_pump_send(pump, conn, frame);
        break;
    case KC_CMD_CHAN_RECV:
    case KC_CMD_CHAN_TRY_RECV:
        kc_pump_recv(pump, conn, frame);
        break;
    case KC_CMD_SELECT:
        kc_pump_select(pump, conn, frame);
        break;
    case KC_CMD_CANCEL:
        kc_pump_cancel(pump, conn, &frame->request);
        break;
    case KC_CMD_RELEASE:
        kc_pump_release(pump, conn, &frame->request);
        break;
    case KC_CMD_PING:
        kc_reply_plain(pump, conn, kc_answer_to(KC_CMD_PING, frame->request.req_id), KC_OK);
        break;
    default:
        kc_pump_ack(pump, conn, frame);
        break;
    }
}

static bool kc_frame_takes_files(uint16_t cmd)
{
    return cmd == KC_CMD_CHAN_SEND || cmd == KC_CMD_CHAN_TRY_SEND || cmd == KC_CMD_SELECT || cmd == KC_CMD_REGION_ADD;
}

/* KC_OK, or why a frame with these files is not served. */
static int kc_frame_judge_files(const kc_connection *conn, kc_inbound *frame)
{
    int code = KC_OK;
    if (!kc_frame_takes_files(frame->request.cmd) || frame->file_count > KC_MAX_MESSAGE_FILES) {
        code = KC_EINVAL;
    } else if (frame->files.refused != KC_OK) {
        code = frame->files.refused;
        frame->reason = code == KC_EINVAL ? "a connection to this daemon cannot be passed" : NULL;
        frame->refusal = code == KC_EDQUOT ? &conn->files_refusal : frame->refusal;
    }
    return code;
}

/* Frames that are answered without a look at what they ask. True: that was done. */
static bool kc_frame_turned_away(kc_pump *pump, kc_connection *conn, kc_inbound *frame)
{
    const kc_request *request = &frame->request;
    bool silent = request->req_id == 0 || request->cmd == KC_CMD_CANCEL;
    if (frame->file_count != 0 && !kc_conn_files_claim(&pump->conns, conn, frame->file_count, &frame->files)) {
        kc_pump_fatal(pump, conn, request->cmd, KC_EPROTO);
        return true;
    }
    int32_t code = frame->refused;
    if (code == KC_OK && frame->file_count != 0) {
        code = kc_frame_judge_files(conn, frame);
    }
    if (code == KC_OK) {
        return false;
    }
    kc_refusal none = {0};
    if (silent && conn->minor != 0) {
        return true;
    }
    if (frame->reason != NULL) {
        kc_reply_because(pump, conn, kc_answer_to(request->cmd, request->req_id), code, frame->reason);
    } else {
        kc_reply_refusal(pump, conn, kc_answer_to(request->cmd, request->req_id), code,
                         frame->refusal != NULL ? frame->refusal : &none);
    }
    return true;
}

void kc_pump_frame(kc_pump *pump, kc_connection *conn, kc_inbound *frame)
{
    const kc_request *request = &frame->request;
    if (!conn->greeted) {
        if (frame->refused != KC_OK) {
            kc_pump_fatal(pump, conn, request->cmd, frame->refused);
        } else {
            kc_frame_hold(pump, conn, frame, false);
        }
    } else if (request->cmd == KC_CMD_HELLO || !kc_frame_req_id_is_right(conn, request)) {
        kc_pump_fatal(pump, conn, request->cmd, KC_EPROTO);
    } else if (!kc_frame_turned_away(pump, conn, frame)) {
        if (!kc_pump_is_hot(request->cmd, conn->minor)) {
            kc_frame_hold(pump, conn, frame, false);
        } else {
            kc_frame_hot(pump, conn, frame);
        }
    }
    if (frame->files.count != 0) { /* nobody took them over */
        kc_files_drop(&pump->conns, conn, &frame->files);
    }
}

/* ---- what the hot requests share ---- */

int kc_pump_handle(const kc_connection *conn, uint32_t chan_id, uint32_t right, const kc_handle **handle_out)
{
    const kc_handle *handle = kc_handles_find(&conn->handles, chan_id);
    *handle_out = handle;
    if (handle == NULL) {
        return conn->minor != 0 ? KC_EBADF : KC_ENOENT;
    }
    if ((handle->rights & right) == 0) {
        return KC_EACCES;
    }
    return conn->minor == 0 && (handle->rights & KC_HANDLE_FIXED) == 0 ? KC_EINVAL : KC_OK;
}

bool kc_pump_granted(kc_pump *pump, kc_connection *conn, kc_inbound *frame, uint32_t right,
                     const kc_handle **handle_out)
{
    const kc_request *request = &frame->request;
    int code = KC_EINVAL;
    if ((request->present & KC_HAS_CHAN_ID) != 0) {
        code = kc_pump_handle(conn, request->chan_id, right, handle_out);
    }
    if (code == KC_ENOENT) {
        kc_frame_hold(pump, conn, frame, true);
    } else if (code != KC_OK) {
        kc_reply_plain(pump, conn, kc_answer_to(request->cmd, request->req_id), code);
    }
    return code == KC_OK;
}

kc_op kc_pump_op(const kc_pump *pump, const kc_connection *conn, uint32_t slot, int32_t timeout_ms, uint32_t flags)
{
    kc_op op = {.scope = conn->scope, .user = ((uint64_t)conn->index << 32) | slot, .deadline_ns = KC_NEVER,
                .port = pump->port, .flags = flags};
    if (timeout_ms == 0) {
        op.flags |= KC_OP_TRY;
    } else if (timeout_ms > 0) {
        op.deadline_ns = pump->now_ns + timeout_ms * KC_MS_NS;
    }
    return op;
}

bool kc_pump_reserve(kc_pump *pump, kc_connection *conn, const kc_request *request, uint32_t *slot_out)
{
    uint32_t limit = pump->config.requests_per_conn;
    int code = kc_pendings_reserve(&pump->conns.memory, &conn->pendings, limit, slot_out);
    if (code != KC_OK) {
        kc_refusal refusal = {.quota = code == KC_EDQUOT ? KC_QUOTA_CONN_REQUESTS : KC_QUOTA_NONE, .limit = limit,
                              .usage = conn->pendings.count};
        kc_reply_refusal(pump, conn, kc_answer_to(request->cmd, request->req_id), code, &refusal);
    }
    return code == KC_OK;
}

kc_pending *kc_pump_park(kc_connection *conn, uint32_t req_id, uint8_t kind, kc_token token)
{
    kc_pending *pending = kc_pendings_take(&conn->pendings, req_id, kind);
    pending->token = token;
    if (conn->minor == 0) {
        conn->barrier = KC_BARRIER_OPERATION;
    }
    return pending;
}

void kc_pump_done(kc_pump *pump, kc_connection *conn, uint32_t slot)
{
    kc_pendings_remove(&conn->pendings, slot);
    kc_pendings_rest(&pump->conns.memory, &conn->pendings);
    if (conn->barrier == KC_BARRIER_OPERATION) {
        kc_pump_lift(pump, conn);
    }
}

/* ---- Python's side of the barrier (kc_pump.h) ---- */

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
    kc_held_free(pump, conn, &held);
    return code;
}
