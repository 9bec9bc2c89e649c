/* codec.c: the reader and the writer of frames behind plain functions (kcoro/kc_codec.h), for tests and tools.
 *
 * Check takes the road of the pump (kc_request_parse), normalize that of the attribute walk: comparing each with the
 * definition compares both.
 */
#include "kcoro/kc_codec.h"

#include "ipc/kc_frame.h"

/* The one frame that bytes[0..n) must be. */
static int kc_codec_head(const uint8_t *bytes, size_t n, unsigned minor, kc_frame_header *header_out)
{
    int verdict = kc_frame_head(bytes, n, minor, KC_MAX_FRAME_BYTES, header_out);
    if (verdict > 0) {
        return KC_EPROTO;
    }
    if (verdict == KC_OK && n - KC_FRAME_HEADER_BYTES != header_out->length) {
        return KC_EPROTO;
    }
    return verdict;
}

int kc_codec_check(const uint8_t *bytes, size_t n, uint32_t minor)
{
    kc_frame_header header;
    kc_request request;
    int verdict = kc_codec_head(bytes, n, minor, &header);
    if (verdict != KC_OK) {
        return verdict;
    }
    return kc_request_parse(bytes + KC_FRAME_HEADER_BYTES, header.length, minor, header.cmd, &request);
}

/* Measured before it is written: what was skipped inside may make the head shorter as well. */
static int kc_codec_nested_bytes(const kc_attr *nested, unsigned minor, uint32_t *bytes_out)
{
    kc_attr_cursor cursor;
    kc_attr attr;
    int verdict;
    uint64_t sum = 0;
    kc_attr_cursor_nested(&cursor, nested, minor);
    while ((verdict = kc_attr_next(&cursor, &attr)) == KC_OK) {
        sum += kc_attr_bytes(minor, attr.length);
    }
    *bytes_out = (uint32_t)sum;
    return verdict == KC_FRAME_DONE ? KC_OK : verdict;
}

static int kc_codec_copy_nested(kc_writer *writer, const kc_attr *nested, unsigned minor)
{
    kc_attr_cursor cursor;
    kc_attr attr;
    uint32_t content_bytes;
    int verdict = kc_codec_nested_bytes(nested, minor, &content_bytes);
    if (verdict != KC_OK) {
        return verdict;
    }
    kc_nested_begin(writer, nested->type, content_bytes);
    kc_attr_cursor_nested(&cursor, nested, minor);
    while (kc_attr_next(&cursor, &attr) == KC_OK) {
        kc_put_bytes(writer, attr.type, attr.value, attr.length);
    }
    kc_nested_end(writer);
    return KC_OK;
}

static bool kc_codec_is_nested(uint16_t type)
{
    return type == KC_ATTR_ITEM || type == KC_ATTR_CLAUSE || type == KC_ATTR_STAT;
}

static int kc_codec_copy(kc_writer *writer, const uint8_t *payload, uint32_t length, unsigned minor)
{
    kc_attr_cursor cursor;
    kc_attr attr;
    int verdict;
    kc_attr_cursor_init(&cursor, payload, length, minor, 0);
    while ((verdict = kc_attr_next(&cursor, &attr)) == KC_OK) {
        if (kc_codec_is_nested(attr.type)) {
            verdict = kc_codec_copy_nested(writer, &attr, minor);
        } else {
            kc_put_bytes(writer, attr.type, attr.value, attr.length);
        }
        if (verdict != KC_OK) {
            return verdict;
        }
    }
    return verdict == KC_FRAME_DONE ? KC_OK : verdict;
}

int kc_codec_normalize(const uint8_t *bytes, size_t n, uint32_t minor, uint8_t *out, size_t out_bytes,
                       size_t *length_out)
{
    kc_frame_header header;
    kc_writer writer;
    *length_out = 0;
    int verdict = kc_codec_head(bytes, n, minor, &header);
    if (verdict != KC_OK) {
        return verdict;
    }
    kc_writer_init(&writer, out, out_bytes, minor, KC_MAX_FRAME_BYTES);
    kc_frame_begin(&writer, header.cmd, header.files);
    verdict = kc_codec_copy(&writer, bytes + KC_FRAME_HEADER_BYTES, header.length, minor);
    int finished = kc_frame_finish(&writer);
    if (verdict != KC_OK || finished != KC_OK) {
        return verdict != KC_OK ? verdict : finished;
    }
    *length_out = writer.length;
    return KC_OK;
}

int kc_codec_desc(const uint8_t *value, uint32_t n, uint64_t words_out[4])
{
    kc_attr attr = {.value = value, .length = n, .type = KC_ATTR_DESC};
    kc_desc_value range;
    if (!kc_desc_read(&attr, &range)) {
        return KC_EINVAL;
    }
    words_out[0] = range.region;
    words_out[1] = range.offset;
    words_out[2] = range.length;
    words_out[3] = range.fourth;
    return KC_OK;
}
