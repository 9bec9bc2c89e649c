/* writer.c: the writer of frames (kc_frame.h, writing).
 *
 * Invariants: length <= capacity; no byte is written beyond capacity; after kc_frame_finish either the whole frame
 * stands or none of it. A first failure stays in writer->result until the frame is finished.
 */
#include "ipc/kc_bytes.h"
#include "ipc/kc_frame.h"

void kc_writer_init(kc_writer *writer, uint8_t *bytes, size_t capacity, unsigned minor, uint32_t max_bytes)
{
    *writer = (kc_writer){.bytes = bytes, .capacity = capacity, .minor = minor != 0, .max_bytes = max_bytes};
}

static void kc_writer_fail(kc_writer *writer, int code)
{
    if (writer->result == KC_OK) {
        writer->result = code;
    }
}

/* Room for n bytes at the end, taken; NULL when the frame has failed. */
static uint8_t *kc_writer_take(kc_writer *writer, size_t n)
{
    if (writer->result != KC_OK) {
        return NULL;
    }
    if (n > writer->capacity - writer->length) {
        kc_writer_fail(writer, KC_ENOSPC);
        return NULL;
    }
    uint8_t *at = writer->bytes + writer->length;
    writer->length += n;
    return at;
}

void kc_frame_begin(kc_writer *writer, uint16_t cmd, uint8_t files)
{
    writer->frame_at = writer->length;
    writer->nested_at = 0;
    writer->detached = 0;
    writer->result = KC_OK;
    uint8_t *at = kc_writer_take(writer, KC_FRAME_HEADER_BYTES);
    if (at != NULL) {
        kc_store_u16(at, cmd);
        kc_store_u16(at + 2, writer->minor != 0 ? files : 0);
        kc_store_u32(at + 4, 0);
    }
}

static uint8_t *kc_scalar_take(kc_writer *writer, uint16_t type, uint16_t length)
{
    uint8_t *at = kc_writer_take(writer, (size_t)KC_ATTR_HEAD_BYTES + length);
    if (at == NULL) {
        return NULL;
    }
    kc_store_u16(at, type);
    kc_store_u16(at + 2, length);
    return at + KC_ATTR_HEAD_BYTES;
}

void kc_put_u32(kc_writer *writer, uint16_t type, uint32_t value)
{
    uint8_t *at = kc_scalar_take(writer, type, sizeof value);
    if (at != NULL) {
        kc_store_u32(at, value);
    }
}

void kc_put_i32(kc_writer *writer, uint16_t type, int32_t value)
{
    kc_put_u32(writer, type, (uint32_t)value);
}

void kc_put_u64(kc_writer *writer, uint16_t type, uint64_t value)
{
    uint8_t *at = kc_scalar_take(writer, type, sizeof value);
    if (at != NULL) {
        kc_store_u64(at, value);
    }
}

void kc_put_desc(kc_writer *writer, uint64_t region, uint64_t offset, uint64_t length, uint64_t fourth)
{
    uint8_t *at = kc_scalar_take(writer, KC_ATTR_DESC, KC_MAX_DESC_BYTES);
    if (at != NULL) {
        kc_store_u64(at, region);
        kc_store_u64(at + 8, offset);
        kc_store_u64(at + 16, length);
        kc_store_u64(at + 24, fourth);
    }
}

static void kc_extended_head(kc_writer *writer, uint16_t type, uint32_t length)
{
    uint8_t *at = kc_writer_take(writer, KC_ATTR_HEAD_BYTES_MAX);
    if (at != NULL) {
        kc_store_u16(at, type);
        kc_store_u16(at + 2, KC_FRAME_EXTENDED_LENGTH);
        kc_store_u32(at + 4, length);
    }
}

static void kc_short_head(kc_writer *writer, uint16_t type, uint32_t length)
{
    uint8_t *at = length > UINT16_MAX ? NULL : kc_writer_take(writer, KC_ATTR_HEAD_BYTES);
    if (length > UINT16_MAX) {
        kc_writer_fail(writer, KC_EMSGSIZE);
    } else if (at != NULL) {
        kc_store_u16(at, type);
        kc_store_u16(at + 2, (uint16_t)length);
    }
}

static void kc_head(kc_writer *writer, uint16_t type, uint32_t length)
{
    if (writer->minor != 0 && length >= KC_FRAME_EXTENDED_LENGTH) {
        kc_extended_head(writer, type, length);
    } else {
        kc_short_head(writer, type, length);
    }
}

void kc_put_bytes(kc_writer *writer, uint16_t type, const void *value, uint32_t length)
{
    kc_head(writer, type, length);
    uint8_t *at = kc_writer_take(writer, length);
    if (at != NULL && length != 0) {
        memcpy(at, value, length);
    }
}

void kc_put_head(kc_writer *writer, uint16_t type, uint32_t length)
{
    kc_head(writer, type, length);
    writer->detached += length;
}

void kc_nested_begin(kc_writer *writer, uint16_t type, uint32_t expected_bytes)
{
    if (writer->nested_at != 0) {
        kc_writer_fail(writer, KC_EINVAL);
    }
    writer->nested_extended = writer->minor != 0 && expected_bytes >= KC_FRAME_EXTENDED_LENGTH;
    kc_head(writer, type, expected_bytes);
    writer->nested_at = writer->length;
    writer->nested_detached = writer->detached;
}

void kc_nested_end(kc_writer *writer)
{
    if (writer->nested_at == 0) {
        kc_writer_fail(writer, KC_EINVAL);
    }
    if (writer->result != KC_OK) {
        return;
    }
    uint8_t *value = writer->bytes + writer->nested_at;
    uint64_t length = writer->length - writer->nested_at + (writer->detached - writer->nested_detached);
    uint64_t longest = writer->nested_extended ? UINT32_MAX
                       : writer->minor != 0    ? KC_FRAME_EXTENDED_LENGTH - 1
                                               : UINT16_MAX;
    writer->nested_at = 0;
    if (length > longest) {
        kc_writer_fail(writer, KC_EMSGSIZE);
    } else if (writer->nested_extended) {
        kc_store_u32(value - 4, (uint32_t)length);
    } else {
        kc_store_u16(value - 2, (uint16_t)length);
    }
}

static int kc_frame_close(kc_writer *writer)
{
    if (writer->result != KC_OK) {
        return writer->result;
    }
    if (writer->nested_at != 0) {
        return KC_EINVAL;
    }
    uint64_t length = writer->length - writer->frame_at - KC_FRAME_HEADER_BYTES + writer->detached;
    if (length > writer->max_bytes) {
        return KC_EMSGSIZE;
    }
    kc_store_u32(writer->bytes + writer->frame_at + 4, (uint32_t)length);
    return KC_OK;
}

int kc_frame_finish(kc_writer *writer)
{
    int result = kc_frame_close(writer);
    if (result != KC_OK) {
        writer->length = writer->frame_at;
    }
    writer->result = KC_OK;
    writer->nested_at = 0;
    writer->detached = 0;
    return result;
}
