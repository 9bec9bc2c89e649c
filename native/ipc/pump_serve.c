/* pump_serve.c: from bytes to frames, within budgets.
 *
 * A connection's new bytes are served where they lie; only what cannot be served yet is copied, into conn->input. So
 * input holds whole frames that had to wait, then the beginning of one, and never a frame over 64 KiB (conn->large).
 * Invariant: frames are served in order, and what one caused is said before the next one starts, so that output does
 * not depend on how the bytes were cut.
 */
#include "ipc/kc_pump_parts.h"

enum { KC_INPUT_KEEP_BYTES = 4096, KC_INPUT_FIT_BYTES = 131072 /* has half a frame, with room to be finished */ };

static bool kc_serve_has_room(const kc_pump *pump, const kc_connection *conn)
{
    return kc_output_queued(conn) <= pump->config.output_high_bytes;
}

/* Whether the next frame may start, budgets aside. */
static bool kc_serve_is_open(const kc_pump *pump, const kc_connection *conn)
{
    return conn->state < KC_CONN_CLOSING && conn->barrier == KC_BARRIER_NONE && kc_serve_has_room(pump, conn);
}

static bool kc_serve_in_budget(const kc_pump *pump, const kc_connection *conn)
{
    return conn->turn_frames < conn->turn_most && conn->turn_bytes < pump->config.bytes_per_turn;
}

static void kc_serve_done(kc_pump *pump, kc_connection *conn)
{
    conn->frames_in++;
    conn->turn_frames++;
    conn->half_since_ns = 0;
    (void)kc_pump_results(pump);
}

static void kc_serve_frame(kc_pump *pump, kc_connection *conn, kc_inbound *frame)
{
    kc_pump_frame(pump, conn, frame);
    kc_serve_done(pump, conn);
}

static void kc_serve_small(kc_pump *pump, kc_connection *conn, const kc_frame_header *header, const uint8_t *payload)
{
    kc_inbound frame = {.file_count = header->files};
    int code = kc_request_parse(payload, header->length, conn->minor, header->cmd, &frame.request);
    conn->turn_bytes += KC_FRAME_HEADER_BYTES + header->length;
    if (code != KC_OK) {
        kc_pump_fatal(pump, conn, header->cmd, code);
    } else {
        kc_serve_frame(pump, conn, &frame);
    }
}

/* The large frame is whole. */
static void kc_serve_large(kc_pump *pump, kc_connection *conn)
{
    kc_large *large = conn->large;
    kc_inbound frame = {.bodies = &large->bodies, .flat = &large->flat, .file_count = large->files,
                        .refused = large->refused, .refusal = &large->refusal};
    int code = kc_request_parse_detached(large->flat.bytes, large->flat.tail, conn->minor, large->cmd,
                                         large->detaches ? KC_DETACH_BYTES : 0, &frame.request);
    if (code != KC_OK) {
        kc_pump_fatal(pump, conn, large->cmd, code);
    } else {
        kc_serve_frame(pump, conn, &frame);
    }
    kc_large_end(&pump->conns, conn);
}

static size_t kc_serve_large_bytes(kc_pump *pump, kc_connection *conn, const uint8_t *bytes, size_t n)
{
    uint16_t cmd = conn->large->cmd;
    size_t used;
    uint32_t budget = pump->config.bytes_per_turn - conn->turn_bytes;
    int code = kc_large_take(&pump->conns, conn, bytes, n < budget ? n : budget, &used);
    conn->turn_bytes += (uint32_t)used;
    if (code == KC_LARGE_WHOLE) {
        kc_serve_large(pump, conn);
    } else if (code == KC_ENOMEM) {
        kc_connection_break(&pump->conns, conn, code);
    } else if (code != KC_OK) {
        kc_pump_fatal(pump, conn, cmd, code);
    }
    return used;
}

static bool kc_serve_detaches(const kc_connection *conn, uint16_t cmd)
{
    return conn->greeted && (cmd == KC_CMD_CHAN_SEND || cmd == KC_CMD_CHAN_TRY_SEND);
}

/* One frame, or the beginning of a large one, from bytes[0..n). Returns the bytes used; 0: more are needed. */
static size_t kc_serve_one(kc_pump *pump, kc_connection *conn, const uint8_t *bytes, size_t n)
{
    kc_frame_header header;
    uint32_t usual = kc_lane_serve(pump, conn, bytes, n);
    if (usual != 0) {
        kc_serve_done(pump, conn);
        return usual;
    }
    int code = kc_frame_head(bytes, n, conn->minor, conn->max_in, &header);
    if (code > 0) {
        return 0;
    }
    if (code != KC_OK) {
        kc_pump_fatal(pump, conn, header.cmd, code);
        return 0;
    }
    if (header.length > KC_LARGE_BYTES) {
        int32_t refused = kc_pump_is_hot(header.cmd, conn->minor) ? KC_OK : KC_EMSGSIZE;
        if (!kc_large_begin(&pump->conns, conn, &header, kc_serve_detaches(conn, header.cmd), refused)) {
            kc_connection_break(&pump->conns, conn, KC_ENOMEM);
        }
        return KC_FRAME_HEADER_BYTES;
    }
    if (n - KC_FRAME_HEADER_BYTES < header.length) {
        return 0;
    }
    kc_serve_small(pump, conn, &header, bytes + KC_FRAME_HEADER_BYTES);
    return KC_FRAME_HEADER_BYTES + (size_t)header.length;
}

static size_t kc_serve_bytes(kc_pump *pump, kc_connection *conn, const uint8_t *bytes, size_t n)
{
    size_t used = 0;
    while (used < n && kc_serve_is_open(pump, conn) && kc_serve_in_budget(pump, conn)) {
        size_t step = conn->large != NULL ? kc_serve_large_bytes(pump, conn, bytes + used, n - used)
                                          : kc_serve_one(pump, conn, bytes + used, n - used);
        used += step;
        if (step == 0) {
            break;
        }
    }
    return used;
}

static void kc_serve_input(kc_pump *pump, kc_connection *conn)
{
    uint32_t n = kc_buffer_length(&conn->input);
    if (n != 0) {
        kc_buffer_skip(&conn->input, (uint32_t)kc_serve_bytes(pump, conn, kc_buffer_front(&conn->input), n));
    }
}

/* Bytes that the frame begun in input still needs; 0 when it is whole or may not be served now. */
static uint32_t kc_serve_missing(const kc_pump *pump, const kc_connection *conn)
{
    kc_frame_header header;
    uint32_t n = kc_buffer_length(&conn->input);
    if (n == 0 || conn->large != NULL || !kc_serve_is_open(pump, conn)) {
        return 0;
    }
    int code = kc_frame_head(kc_buffer_front(&conn->input), n, conn->minor, conn->max_in, &header);
    if (code != KC_OK) {
        return code > 0 ? (uint32_t)code : 0;
    }
    uint32_t whole = KC_FRAME_HEADER_BYTES + header.length;
    return header.length <= KC_LARGE_BYTES && whole > n ? whole - n : 0;
}

/* Files that no frame has named: those of a frame whose header is still coming may be. */
static bool kc_serve_has_surplus_files(const kc_pump *pump, const kc_connection *conn)
{
    kc_frame_header header = {0};
    uint32_t unclaimed = conn->files.count;
    uint32_t n = kc_buffer_length(&conn->input);
    if (unclaimed == 0 || !kc_serve_is_open(pump, conn) || !kc_serve_in_budget(pump, conn)) {
        return false;
    }
    if (conn->large != NULL) {
        return unclaimed > conn->large->files;
    }
    if (n != 0 && kc_frame_head(kc_buffer_front(&conn->input), n, conn->minor, conn->max_in, &header) > 0) {
        return false;
    }
    return unclaimed > header.files;
}

/* Everything a peer said before it fell silent was served: what still waits for others is cancelled. */
static void kc_serve_last(kc_pump *pump, kc_connection *conn)
{
    if (conn->barrier != KC_BARRIER_CONTROL && kc_serve_has_room(pump, conn)) {
        kc_pump_cancel_parked(pump, conn, KC_REASON_DEAD);
        (void)kc_pump_results(pump);
    }
}

/* The beginning of a frame that only its sender can finish. */
static void kc_serve_mark_half(const kc_pump *pump, kc_connection *conn)
{
    bool begun = kc_buffer_length(&conn->input) != 0 || conn->large != NULL;
    if (!begun || !kc_serve_is_open(pump, conn)) {
        conn->half_since_ns = 0;
    } else if (conn->half_since_ns == 0) {
        conn->half_since_ns = pump->now_ns == 0 ? 1 : pump->now_ns;
    }
}

/* After serving: what waits is put where it will be seen again. */
static void kc_serve_after(kc_pump *pump, kc_connection *conn)
{
    bool waits = kc_buffer_length(&conn->input) != 0;
    if (pump->paced) {
        kc_pace_spend(pump, conn);
    }
    if (conn->state >= KC_CONN_CLOSING) {
        return;
    }
    if (kc_serve_has_surplus_files(pump, conn)) {
        kc_pump_fatal(pump, conn, 0, KC_EPROTO);
        return;
    }
    if (waits && pump->paced && kc_pace_allows(pump, conn) == 0) {
        kc_pace_slow(pump, conn);
    } else if (waits && kc_serve_is_open(pump, conn) && !kc_serve_in_budget(pump, conn)) {
        kc_conn_resumes(&pump->conns, conn);
    } else if (conn->state == KC_CONN_EOF) {
        kc_serve_last(pump, conn);
    }
    kc_serve_mark_half(pump, conn);
    kc_buffer_rest(&pump->conns.memory, &conn->input, KC_INPUT_KEEP_BYTES);
    kc_buffer_fit(&pump->conns.memory, &conn->input, KC_INPUT_FIT_BYTES);
    kc_conn_charge_input(&pump->conns, conn);
    kc_list_add(&pump->conns, KC_LIST_ATTENTION, conn);
}

static void kc_serve_begin(const kc_pump *pump, kc_connection *conn)
{
    conn->turn_frames = conn->turn_bytes = 0;
    conn->turn_most = pump->config.frames_per_turn;
    if (pump->paced) {
        uint32_t paid = kc_pace_allows(pump, conn);
        conn->turn_most = paid < conn->turn_most ? paid : conn->turn_most;
    }
}

static bool kc_serve_keep(kc_pump *pump, kc_connection *conn, const uint8_t *bytes, size_t n)
{
    if (conn->state >= KC_CONN_CLOSING || kc_buffer_append(&pump->conns.memory, &conn->input, bytes, (uint32_t)n)) {
        return true;
    }
    kc_connection_break(&pump->conns, conn, KC_ENOMEM);
    return false;
}

void kc_pump_take(kc_pump *pump, kc_connection *conn, const uint8_t *bytes, size_t n)
{
    uint32_t missing;
    kc_serve_begin(pump, conn);
    conn->bytes_in += n;
    while ((missing = kc_serve_missing(pump, conn)) != 0 && missing <= n) {
        if (!kc_serve_keep(pump, conn, bytes, missing)) {
            return;
        }
        bytes += missing;
        n -= missing;
        kc_serve_input(pump, conn);
    }
    if (kc_buffer_length(&conn->input) == 0) {
        size_t used = kc_serve_bytes(pump, conn, bytes, n);
        bytes += used;
        n -= used;
    }
    if (kc_serve_keep(pump, conn, bytes, n)) {
        kc_serve_after(pump, conn);
    }
}

void kc_pump_filled(kc_pump *pump, kc_connection *conn, uint32_t n)
{
    conn->bytes_in += n;
    kc_large_filled(&pump->conns, conn, n);
    kc_serve_begin(pump, conn);
    (void)kc_serve_large_bytes(pump, conn, NULL, 0);
    kc_serve_after(pump, conn);
}

void kc_pump_eof(kc_pump *pump, kc_connection *conn)
{
    if (conn->state == KC_CONN_OPEN) {
        conn->state = KC_CONN_EOF;
        kc_pump_serve_waiting(pump, conn);
    }
}

void kc_pump_serve_waiting(kc_pump *pump, kc_connection *conn)
{
    conn->resumes = false;
    kc_serve_begin(pump, conn);
    kc_serve_input(pump, conn);
    kc_serve_after(pump, conn);
}

bool kc_pump_round(kc_pump *pump)
{
    kc_conn_list_head *runnable = &pump->conns.lists[KC_LIST_RUNNABLE];
    kc_pace_release(pump);
    for (uint32_t left = runnable->count; left != 0 && runnable->count != 0; left--) {
        kc_pump_serve_waiting(pump, kc_list_take(&pump->conns, KC_LIST_RUNNABLE));
    }
    return runnable->count != 0;
}

void kc_pump_lift(kc_pump *pump, kc_connection *conn)
{
    conn->barrier = KC_BARRIER_NONE;
    if (conn->state < KC_CONN_CLOSING) {
        kc_conn_resumes(&pump->conns, conn);
    }
}
