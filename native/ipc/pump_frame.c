/* pump_frame.c: the rules that every request obeys, which way it goes, and what the hot ones share. What waits for
 * Python goes to pump_held.c.
 *
 * Invariants: in 1.1 no two live requests of a connection have one REQ_ID; a frame whose form breaks these rules ends
 * its connection, one that is refused costs itself alone; files that nobody took over are discarded.
 */
#include "ipc/kc_pump_parts.h"

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
            kc_pump_hold(pump, conn, frame, false);
        }
    } else if (request->cmd == KC_CMD_HELLO || !kc_frame_req_id_is_right(conn, request)) {
        kc_pump_fatal(pump, conn, request->cmd, KC_EPROTO);
    } else if (!kc_frame_turned_away(pump, conn, frame)) {
        if (!kc_pump_is_hot(request->cmd, conn->minor)) {
            kc_pump_hold(pump, conn, frame, false);
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
        kc_pump_hold(pump, conn, frame, true);
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
