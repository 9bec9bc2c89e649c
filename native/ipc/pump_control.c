/* pump_control.c: Python's side of the pump (kc_pump.h): control frames out, their answers in, handles, ends. */
#include "ipc/kc_bytes.h"
#include "ipc/kc_pump_parts.h"

/* ---- control frames ---- */

int kc_pump_control(kc_pump *pump, kc_control *control_out)
{
    if (pump->control_offered >= pump->config.control_per_turn) {
        return KC_EAGAIN;
    }
    kc_connection *conn = kc_list_take(&pump->conns, KC_LIST_CONTROL);
    if (conn == NULL) {
        return KC_EAGAIN;
    }
    kc_held *held = &conn->held;
    pump->control_offered++;
    held->given = true;
    *control_out = (kc_control){.conn = kc_conn_ticket(conn), .cmd = held->cmd, .minor = conn->minor,
                                .req_id = held->req_id, .greeted = conn->greeted, .payload = held->payload,
                                .length = held->length, .ungranted = held->ungranted, .chan_id = held->chan_id,
                                .files = held->files.count};
    if (held->detach_bytes != 0) {
        control_out->payload = NULL; /* without its elements it reads as no frame at all */
        control_out->length = 0;
    }
    return KC_OK;
}

/* The connection whose control frame is in the caller's hands. */
static int kc_control_given(kc_pump *pump, kc_conn ticket, kc_connection **conn_out)
{
    *conn_out = kc_conns_find(&pump->conns, ticket);
    if (*conn_out == NULL) {
        return KC_ENOENT;
    }
    bool given = (*conn_out)->barrier == KC_BARRIER_CONTROL && (*conn_out)->held.given;
    return given ? KC_OK : KC_EINVAL;
}

int kc_pump_control_file(kc_pump *pump, kc_conn ticket, int32_t *file_out)
{
    kc_connection *conn;
    int code = kc_control_given(pump, ticket, &conn);
    if (code == KC_OK && conn->held.files.count == 0) {
        code = KC_EAGAIN;
    }
    if (code == KC_OK) {
        *file_out = conn->held.files.items[--conn->held.files.count];
        kc_conns_files_refund(&pump->conns, conn->account, 1);
    }
    return code;
}

/* The frame behind the barrier is dealt with; later ones may run. */
static void kc_control_over(kc_pump *pump, kc_connection *conn)
{
    kc_pump_held_free(pump, conn, &conn->held);
    kc_pump_lift(pump, conn);
}

static bool kc_control_is_frame(const void *frame, uint32_t frame_bytes)
{
    const uint8_t *bytes = frame;
    return frame_bytes >= KC_FRAME_HEADER_BYTES && kc_load_u32(bytes + 4) == frame_bytes - KC_FRAME_HEADER_BYTES;
}

/* HELLO is answered in the form of 1.0, whatever is spoken after it. */
static int kc_control_say(kc_pump *pump, kc_connection *conn, const void *frame, uint32_t frame_bytes)
{
    bool split = conn->minor == 0 || kc_load_u16(frame) == KC_CMD_HELLO;
    if (conn->state >= KC_CONN_CLOSING) {
        return KC_OK;
    }
    return kc_output_append(&pump->conns, conn, frame, frame_bytes, split) ? KC_OK : KC_ENOMEM;
}

int kc_pump_reply(kc_pump *pump, kc_conn ticket, const void *frame, uint32_t frame_bytes)
{
    kc_connection *conn;
    int code = kc_control_given(pump, ticket, &conn);
    if (code == KC_OK && !kc_control_is_frame(frame, frame_bytes)) {
        code = KC_EINVAL;
    }
    if (code == KC_OK) {
        if (conn->held.slot != 0) {
            kc_pendings_remove(&conn->pendings, conn->held.slot - 1);
        }
        code = kc_control_say(pump, conn, frame, frame_bytes);
        kc_control_over(pump, conn);
        kc_pump_ring(pump);
    }
    return code;
}

int kc_pump_resume(kc_pump *pump, kc_conn ticket)
{
    kc_connection *conn;
    int code = kc_control_given(pump, ticket, &conn);
    if (code == KC_OK) {
        if (conn->held.slot != 0) {
            conn->pendings.slots[conn->held.slot - 1].kind = KC_PENDING_KEPT;
        }
        kc_control_over(pump, conn);
        kc_pump_ring(pump);
    }
    return code;
}

/* ---- requests that were let go ---- */

static int kc_kept_find(kc_pump *pump, kc_conn ticket, uint32_t req_id, kc_connection **conn_out, uint32_t *slot_out)
{
    kc_connection *conn = *conn_out = kc_conns_find(&pump->conns, ticket);
    if (conn == NULL || kc_pendings_find(&conn->pendings, req_id, slot_out) != KC_OK) {
        return KC_ENOENT;
    }
    return conn->pendings.slots[*slot_out].kind == KC_PENDING_KEPT ? KC_OK : KC_ENOENT;
}

/* Out of the chain of those whose cancellation nobody has fetched. */
static void kc_kept_unlist(kc_pump *pump, kc_connection *conn, uint32_t slot)
{
    kc_pending *slots = conn->pendings.slots;
    uint32_t after = (uint32_t)slots[slot].token;
    uint32_t before = 0;
    for (uint32_t at = conn->cancelled; at != slot + 1; at = (uint32_t)slots[at - 1].token) {
        before = at;
    }
    if (before == 0) {
        conn->cancelled = after;
    } else {
        slots[before - 1].token = after;
    }
    if (conn->cancelled == 0) {
        kc_list_drop(&pump->conns, KC_LIST_CANCELLED, conn);
    }
}

int kc_pump_finish(kc_pump *pump, kc_conn ticket, uint32_t req_id, const void *frame, uint32_t frame_bytes)
{
    kc_connection *conn;
    uint32_t slot;
    int code = kc_kept_find(pump, ticket, req_id, &conn, &slot);
    if (code == KC_OK && !kc_control_is_frame(frame, frame_bytes)) {
        code = KC_EINVAL;
    }
    if (code == KC_OK) {
        if ((conn->pendings.slots[slot].flags & KC_PENDING_LISTED) != 0) {
            kc_kept_unlist(pump, conn, slot);
        }
        kc_pump_done(pump, conn, slot);
        code = kc_control_say(pump, conn, frame, frame_bytes);
        kc_list_add(&pump->conns, KC_LIST_ATTENTION, conn);
        kc_pump_ring(pump);
    }
    return code;
}

int kc_pump_event(kc_pump *pump, kc_conn ticket, const void *frame, uint32_t frame_bytes)
{
    kc_connection *conn = kc_conns_find(&pump->conns, ticket);
    if (conn == NULL) {
        return KC_ENOENT;
    }
    if (!kc_control_is_frame(frame, frame_bytes)) {
        return KC_EINVAL;
    }
    if (kc_output_queued(conn) > pump->config.output_high_bytes) {
        return KC_EAGAIN;
    }
    kc_pump_ring(pump);
    return kc_control_say(pump, conn, frame, frame_bytes);
}

/* ---- connections ---- */

int kc_conn_speak(kc_pump *pump, kc_conn ticket, uint32_t minor, uint32_t max_frame)
{
    kc_connection *conn = kc_conns_find(&pump->conns, ticket);
    if (conn == NULL) {
        return KC_ENOENT;
    }
    if (minor > KC_ABI_MINOR) {
        return KC_EINVAL;
    }
    conn->minor = (uint8_t)minor;
    conn->greeted = 1;
    conn->max_in = kc_pump_max_frame(conn->transport);
    if (max_frame != 0 && max_frame < conn->max_out) {
        conn->max_out = max_frame;
    }
    return KC_OK;
}

int kc_conn_name(kc_pump *pump, kc_conn ticket, uint32_t pid)
{
    const kc_connection *conn = kc_conns_find(&pump->conns, ticket);
    return conn == NULL ? KC_ENOENT : kc_chan_waiter_scope_name(pump->conns.engine, conn->scope, pid);
}

int kc_conn_able(kc_pump *pump, kc_conn ticket, uint32_t caps)
{
    kc_connection *conn = kc_conns_find(&pump->conns, ticket);
    if (conn == NULL) {
        return KC_ENOENT;
    }
    if (caps != 0 && conn->minor == 0) {
        return KC_EINVAL; /* a reader of 1.0 looks at no flags: it would lose the files and what follows */
    }
    conn->caps = caps;
    return KC_OK;
}

static int kc_conn_ungrant(kc_pump *pump, kc_connection *conn, const kc_handle *handle)
{
    if (handle == NULL) {
        return KC_ENOENT;
    }
    kc_chan chan = handle->chan;
    kc_handles_remove(&conn->handles, handle);
    (void)kc_chan_drop(pump->conns.engine, chan);
    return KC_OK;
}

int kc_conn_grant(kc_pump *pump, kc_conn ticket, uint32_t chan_id, kc_chan chan, uint32_t rights)
{
    kc_connection *conn = kc_conns_find(&pump->conns, ticket);
    kc_chan_config config;
    if (conn == NULL) {
        return KC_ENOENT;
    }
    if (chan_id == 0 || (rights & ~(uint32_t)(KC_RIGHT_READ | KC_RIGHT_WRITE)) != 0) {
        return KC_EINVAL;
    }
    const kc_handle *old = kc_handles_find(&conn->handles, chan_id);
    if (rights == 0) {
        return kc_conn_ungrant(pump, conn, old);
    }
    int code = kc_chan_config_of(pump->conns.engine, chan, &config);
    if (code == KC_OK) {
        code = kc_chan_keep(pump->conns.engine, chan);
    }
    if (code != KC_OK) {
        return code;
    }
    kc_chan replaced = old == NULL ? 0 : old->chan;
    kc_handle *handle = kc_handles_put(&pump->conns.memory, &conn->handles, chan_id);
    if (handle == NULL) {
        (void)kc_chan_drop(pump->conns.engine, chan);
        return KC_ENOMEM;
    }
    handle->chan = chan;
    handle->rights = rights | ((config.flags & KC_CHAN_FIXED_SIZE) != 0 ? (uint32_t)KC_HANDLE_FIXED : 0);
    if (replaced != 0) {
        (void)kc_chan_drop(pump->conns.engine, replaced);
    }
    return KC_OK;
}

int kc_conn_close(kc_pump *pump, kc_conn ticket, int32_t code)
{
    kc_connection *conn = kc_conns_find(&pump->conns, ticket);
    if (conn == NULL) {
        return KC_ENOENT;
    }
    kc_connection_close(&pump->conns, conn, code);
    kc_pump_ring(pump);
    return KC_OK;
}

static void kc_conn_look(const kc_connection *conn, kc_conn_info *info)
{
    *info = (kc_conn_info){.frames_in = conn->frames_in, .frames_out = conn->frames_out, .bytes_in = conn->bytes_in,
                           .bytes_out = conn->bytes_out, .files_in = conn->files_in,
                           .queued_bytes = kc_output_queued(conn), .requests = conn->pendings.count,
                           .handles = conn->handles.count, .transport = conn->transport, .minor = conn->minor,
                           .leases = conn->leases.count, .files = conn->files.count, .account = conn->account,
                           .fd = conn->fd, .scope = conn->scope, .slowed = conn->slowed};
}

int kc_conn_measure(kc_pump *pump, kc_conn ticket, kc_conn_info *info_out)
{
    const kc_connection *conn = kc_conns_find(&pump->conns, ticket);
    if (conn == NULL) {
        return KC_ENOENT;
    }
    kc_conn_look(conn, info_out);
    return KC_OK;
}

kc_conn kc_conn_of_waiter(kc_pump *pump, uint64_t user)
{
    const kc_connection *conn = kc_conns_at(&pump->conns, (uint32_t)(user >> 32));
    return conn != NULL && conn->state != KC_CONN_ENDED ? kc_conn_ticket(conn) : 0;
}

int kc_pump_closed(kc_pump *pump, kc_closed *closed_out)
{
    kc_connection *conn = pump->conns.lists[KC_LIST_ENDED].first;
    if (conn == NULL) {
        return KC_EAGAIN;
    }
    *closed_out = (kc_closed){.conn = kc_conn_ticket(conn), .code = conn->code, .account = conn->account};
    kc_conn_look(conn, &closed_out->info);
    kc_connection_forget(&pump->conns, conn);
    return KC_OK;
}
