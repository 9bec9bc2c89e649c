/* conn_large.c: a frame over 64 KiB, as its bytes arrive.
 *
 * Elements of 16 KiB and more of a SEND go straight into bodies; everything else is gathered in `flat`, which then
 * reads as the payload without those bytes (kc_request_parse_detached). Memory grows with what came, never with what
 * was announced, and is charged to the peer's account. When the account or the memory refuses, or the frame has more
 * attributes than any request needs, it is read to its end all the same, of what is still to come only the REQ_ID is
 * kept, and the request is answered with the refusal.
 */
#include "ipc/kc_conn.h"

#include <string.h>
#include <sys/uio.h>

enum { KC_PHASE_HEAD = 0, KC_PHASE_FLAT, KC_PHASE_BODY, KC_PHASE_SKIP };
enum { KC_TOLL_STEP_BYTES = 65536, KC_KEPT_VALUE_BYTES = 16 };
enum { KC_LARGE_ATTRS = 65536 + 512 /* as many elements as a SEND may have, and more than goes with them */ };

void kc_large_end(kc_conns *conns, kc_connection *conn)
{
    kc_large *large = conn->large;
    if (large != NULL) {
        kc_bodies_drop(conns->engine, &conns->memory, &large->bodies);
        kc_body_drop(conns->engine, &large->toll);
        kc_memory_give(&conns->memory, large->flat.bytes, large->flat.capacity);
        kc_memory_give(&conns->memory, large, sizeof *large);
        conn->large = NULL;
    }
    if (conns->progressing == conn) {
        conns->progressing = NULL;
    }
    kc_conn_charge_input(conns, conn);
}

bool kc_large_begin(kc_conns *conns, kc_connection *conn, const kc_frame_header *header, bool detaches,
                    int32_t refused)
{
    kc_large *large = kc_memory_take(&conns->memory, sizeof *large);
    if (large == NULL) {
        return false;
    }
    *large = (kc_large){.cmd = header->cmd, .files = header->files, .left = header->length, .detaches = detaches,
                        .refused = refused};
    conn->large = large;
    if (kc_buffer_room(&conns->memory, &large->flat, KC_ATTR_HEAD_BYTES_MAX) == NULL) {
        kc_large_end(conns, conn);
    }
    return conn->large != NULL;
}

/* The frame will be answered with code; what it held is given back. A short value at hand is tried once more. */
static void kc_large_refuse(kc_conns *conns, kc_large *large, int code)
{
    bool again = large->refused == KC_OK && large->phase == KC_PHASE_FLAT && large->value_left <= KC_KEPT_VALUE_BYTES;
    large->refused = code;
    kc_bodies_drop(conns->engine, &conns->memory, &large->bodies);
    large->body_bytes = 0;
    if (!again && (large->phase == KC_PHASE_FLAT || large->phase == KC_PHASE_BODY)) {
        large->flat.tail = large->head_at;
        large->phase = KC_PHASE_SKIP;
    }
}

/* Charges the account for flat memory up to `bytes`, a block at a time; the first one is free, as in any small
 * frame. */
static int kc_large_toll(kc_conns *conns, const kc_connection *conn, uint32_t bytes)
{
    kc_large *large = conn->large;
    int code = KC_OK;
    if (large->refused != KC_OK || bytes <= KC_TOLL_STEP_BYTES) {
        return KC_OK;
    }
    if (large->tolled_bytes == 0) {
        large->tolled_bytes = KC_TOLL_STEP_BYTES;
        code = kc_body_open(conns->engine, conn->account, KC_MAX_ELEMENT_BYTES, &large->toll, &large->refusal);
    }
    while (code == KC_OK && large->tolled_bytes < bytes && large->tolled_bytes < KC_MAX_ELEMENT_BYTES) {
        void *memory;
        uint32_t room;
        code = kc_body_room(conns->engine, &large->toll, large->tolled_bytes, &memory, &room, &large->refusal);
        large->tolled_bytes += KC_TOLL_STEP_BYTES;
    }
    return code;
}

static int kc_large_append(kc_conns *conns, const kc_connection *conn, const uint8_t *bytes, uint32_t n)
{
    kc_large *large = conn->large;
    int code = kc_large_toll(conns, conn, large->flat.tail + n);
    if (code == KC_OK && !kc_buffer_append(&conns->memory, &large->flat, bytes, n)) {
        code = KC_ENOMEM;
    }
    return code;
}

/* Of a refused frame: one REQ_ID, for the answer, and a second one, for the reader to find. */
static bool kc_large_keeps(kc_large *large, const kc_attr *attr)
{
    bool name = (attr->type & ~KC_FRAME_CRITICAL) == KC_ATTR_REQ_ID && attr->length <= KC_KEPT_VALUE_BYTES;
    return name && large->names++ < 2;
}

/* The head at head_at is whole: where its value goes. */
static int kc_large_head_done(kc_conns *conns, const kc_connection *conn, const kc_attr *attr)
{
    kc_large *large = conn->large;
    bool element = (attr->type & ~KC_FRAME_CRITICAL) == KC_ATTR_ELEMENT;
    large->value_left = attr->length;
    if (attr->length > large->left) {
        return KC_EPROTO;
    }
    if (++large->attrs > KC_LARGE_ATTRS && large->refused == KC_OK) {
        kc_large_refuse(conns, large, KC_EINVAL);
    }
    if (large->refused != KC_OK && !kc_large_keeps(large, attr)) {
        large->flat.tail = large->head_at;
        large->phase = attr->length == 0 ? KC_PHASE_HEAD : KC_PHASE_SKIP;
        return KC_OK;
    }
    large->phase = attr->length == 0 ? KC_PHASE_HEAD : KC_PHASE_FLAT;
    if (!large->detaches || !element || attr->length < KC_DETACH_BYTES) {
        return KC_OK;
    }
    kc_body *body = kc_bodies_add(&conns->memory, &large->bodies);
    large->phase = KC_PHASE_BODY;
    large->body_at = 0;
    int code = body == NULL ? KC_ENOMEM
                            : kc_body_open(conns->engine, conn->account, attr->length, body, &large->refusal);
    if (code != KC_OK) {
        kc_large_refuse(conns, large, code);
    }
    return KC_OK;
}

static int kc_large_head(kc_conns *conns, const kc_connection *conn, const uint8_t *bytes, uint32_t n, uint32_t *step)
{
    kc_large *large = conn->large;
    kc_attr attr;
    if (large->value_left == 0) {
        large->head_at = large->flat.tail;
        large->value_left = 1; /* a head is begun */
    }
    int need = kc_attr_head(large->flat.bytes + large->head_at, large->flat.tail - large->head_at, conn->minor, &attr);
    *step = (uint32_t)need < n ? (uint32_t)need : n;
    if (!kc_buffer_append(&conns->memory, &large->flat, bytes, *step)) {
        return KC_ENOMEM;
    }
    large->left -= *step;
    need = kc_attr_head(large->flat.bytes + large->head_at, large->flat.tail - large->head_at, conn->minor, &attr);
    return need > 0 ? KC_OK : kc_large_head_done(conns, conn, &attr);
}

static uint32_t kc_large_body(kc_conns *conns, const kc_connection *conn, const uint8_t *bytes, uint32_t n)
{
    kc_large *large = conn->large;
    kc_body *body = &large->bodies.items[large->bodies.count - 1];
    void *memory;
    uint32_t room;
    int code = kc_body_room(conns->engine, body, large->body_at, &memory, &room, &large->refusal);
    if (code != KC_OK) {
        kc_large_refuse(conns, large, code);
        return 0;
    }
    uint32_t step = n < room ? n : room;
    memcpy(memory, bytes, step);
    large->body_at += step;
    large->body_bytes += step;
    return step;
}

/* Up to n bytes of the value at hand. */
static uint32_t kc_large_value(kc_conns *conns, const kc_connection *conn, const uint8_t *bytes, uint32_t n)
{
    kc_large *large = conn->large;
    uint32_t step = n < large->value_left ? n : large->value_left;
    if (large->phase == KC_PHASE_BODY) {
        step = kc_large_body(conns, conn, bytes, step);
    } else if (large->phase == KC_PHASE_FLAT) {
        int code = kc_large_append(conns, conn, bytes, step);
        if (code != KC_OK) {
            kc_large_refuse(conns, large, code);
            step = 0;
        }
    }
    return step;
}

static void kc_large_value_took(kc_large *large, uint32_t step)
{
    large->value_left -= step;
    large->left -= step;
    if (large->value_left == 0) {
        large->phase = KC_PHASE_HEAD;
    }
}

int kc_large_take(kc_conns *conns, kc_connection *conn, const uint8_t *bytes, size_t n, size_t *used_out)
{
    kc_large *large = conn->large;
    int code = KC_OK;
    *used_out = 0;
    while (code == KC_OK && large->left != 0 && *used_out < n) {
        uint64_t have = n - *used_out;
        uint32_t most = have < large->left ? (uint32_t)have : large->left;
        uint32_t step;
        if (large->phase == KC_PHASE_HEAD) {
            code = kc_large_head(conns, conn, bytes + *used_out, most, &step);
        } else {
            step = kc_large_value(conns, conn, bytes + *used_out, most);
            kc_large_value_took(large, step);
        }
        *used_out += step;
    }
    kc_conn_charge_input(conns, conn);
    if (code == KC_OK && large->left == 0) {
        code = large->value_left == 0 ? KC_LARGE_WHOLE : KC_EPROTO;
    }
    return code;
}

int kc_large_room(kc_conns *conns, kc_connection *conn, struct iovec *iov, int max, uint32_t max_bytes)
{
    kc_large *large = conn->large;
    int used = 0;
    if (large == NULL || large->phase != KC_PHASE_BODY) {
        return 0;
    }
    kc_body *body = &large->bodies.items[large->bodies.count - 1];
    uint32_t left = large->value_left < max_bytes ? large->value_left : max_bytes;
    for (uint32_t at = large->body_at; left != 0 && used < max; used++) {
        void *memory;
        uint32_t room;
        int code = kc_body_room(conns->engine, body, at, &memory, &room, &large->refusal);
        if (code != KC_OK) {
            kc_large_refuse(conns, large, code);
            return 0;
        }
        room = room < left ? room : left;
        iov[used] = (struct iovec){memory, room};
        at += room;
        left -= room;
    }
    return used;
}

void kc_large_filled(kc_conns *conns, kc_connection *conn, uint32_t n)
{
    conn->large->body_at += n;
    conn->large->body_bytes += n;
    kc_large_value_took(conn->large, n);
    kc_conn_charge_input(conns, conn);
}
