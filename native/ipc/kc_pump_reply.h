/* kc_pump_reply.h: how every reply begins and ends, for the files that write them (pump_reply.c, pump_reply_items.c).
 * REQ_ID, RESULT, INDEX if there is one, then what the command adds. Inline: every message comes this way.
 *
 * Invariant: a reply that cannot be written breaks its connection, never another.
 */
#ifndef KC_PUMP_REPLY_H
#define KC_PUMP_REPLY_H

#include "ipc/kc_bytes.h"
#include "ipc/kc_pump_parts.h"

enum {
    KC_REPLY_SCALAR_BYTES = 8,
    KC_REPLY_WIDE_BYTES = 12,
    KC_REPLY_HEAD_BYTES = KC_FRAME_HEADER_BYTES + 3 * KC_REPLY_SCALAR_BYTES, /* REQ_ID, RESULT, INDEX */
    KC_REPLY_SHORT_BYTES = KC_FRAME_HEADER_BYTES + 2 * KC_REPLY_SCALAR_BYTES, /* REQ_ID, RESULT */
    KC_REPLY_TEXT_BYTES = KC_ATTR_HEAD_BYTES + KC_MAX_TEXT_BYTES,
    KC_REPLY_ERROR_BYTES = KC_REPLY_HEAD_BYTES + 3 * KC_REPLY_SCALAR_BYTES + 3 * KC_REPLY_TEXT_BYTES +
                           2 * KC_REPLY_WIDE_BYTES
};

/* A writer behind these, in a frame of n bytes at most. False: no memory, and the connection is broken. */
static inline bool kc_reply_begin(kc_pump *pump, kc_connection *conn, kc_answer answer, int32_t code, uint32_t n,
                                  kc_writer *writer)
{
    if (!kc_output_begin(&pump->conns, conn, n, writer)) {
        return false;
    }
    kc_frame_begin(writer, answer.cmd, 0);
    if (answer.req_id != 0) {
        kc_put_u32(writer, KC_ATTR_REQ_ID, answer.req_id);
    }
    kc_put_i32(writer, KC_ATTR_RESULT, code);
    if (answer.index >= 0) {
        kc_put_u32(writer, KC_ATTR_INDEX, (uint32_t)answer.index);
    }
    return true;
}

static inline void kc_reply_end(kc_pump *pump, kc_connection *conn, kc_writer *writer)
{
    (void)kc_output_commit(&pump->conns, conn, writer, conn->minor == 0);
}

static inline uint32_t kc_store_scalar(uint8_t *at, uint16_t type, uint32_t value)
{
    kc_store_u16(at, type);
    kc_store_u16(at + 2, sizeof value);
    kc_store_u32(at + KC_ATTR_HEAD_BYTES, value);
    return KC_REPLY_SCALAR_BYTES;
}

/* Header, REQ_ID and RESULT of a frame of `whole` bytes in 1.1. */
static inline void kc_store_head(uint8_t *at, uint16_t cmd, uint32_t whole, uint32_t req_id, int32_t code)
{
    kc_store_u32(at, (uint32_t)cmd << 16);
    kc_store_u32(at + 4, whole - KC_FRAME_HEADER_BYTES);
    (void)kc_store_scalar(at + 8, KC_ATTR_REQ_ID, req_id);
    (void)kc_store_scalar(at + 16, KC_ATTR_RESULT, (uint32_t)code);
}

#endif
