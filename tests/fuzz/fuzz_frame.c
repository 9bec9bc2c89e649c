/* Any bytes are a frame or are refused, and every way of reading them agrees.
 *
 * Input: one byte that chooses the minor version, then the bytes of what claims to be one frame. Checked:
 *   - the flat request, the attribute walk and the canonical copy give one verdict; the copy is its own copy;
 *   - heads found while the frame arrives byte by byte are those found in the whole, and "k more bytes" is never 0,
 *     never wrong by being too many, and reads nothing beyond the prefix (each prefix lies in memory of its size);
 *   - the request holds what the walk sees, and its repeated attributes are found again;
 *   - with the large elements taken out the request is the same.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/kc_bytes.h"
#include "ipc/kc_frame.h"
#include "kcoro/kc_codec.h"

enum { BYTEWISE_UP_TO = 300, DETACH_BYTES = 8 };

#define MUST(condition) ((condition) ? (void)0 : fail(#condition, __LINE__))

static void fail(const char *what, int line)
{
    fprintf(stderr, "fuzz_frame.c:%d: %s\n", line, what);
    abort();
}

static void *room(size_t n)
{
    void *bytes = malloc(n == 0 ? 1 : n);
    MUST(bytes != NULL);
    return bytes;
}

static void check_canonical(const uint8_t *frame, size_t n, unsigned minor, int verdict)
{
    size_t length, again_length;
    uint8_t *once = room(n);
    uint8_t *again = room(n);
    MUST(kc_codec_normalize(frame, n, minor, once, n, &length) == verdict);
    if (verdict == KC_OK) {
        MUST(length <= n);
        MUST(kc_codec_check(once, length, minor) == KC_OK);
        MUST(kc_codec_normalize(once, length, minor, again, n, &again_length) == KC_OK);
        MUST(again_length == length && memcmp(once, again, length) == 0);
    }
    free(again);
    free(once);
}

/* How many attribute heads begin within the first n bytes; at_out: where the next one would begin. */
static size_t count_heads(const uint8_t *payload, size_t n, unsigned minor, uint64_t *at_out, uint64_t *sum_out)
{
    kc_attr attr;
    size_t heads = 0;
    uint64_t at = 0;
    *sum_out = 0;
    while (at < n && kc_attr_head(payload + at, n - (size_t)at, minor, &attr) == KC_OK) {
        MUST(attr.value == payload + at + attr.head_bytes);
        at += (uint64_t)attr.head_bytes + attr.length;
        *sum_out = *sum_out * 31 + attr.type * UINT64_C(65537) + attr.length;
        heads++;
    }
    *at_out = at;
    return heads;
}

static void check_arrival(const uint8_t *payload, size_t n, unsigned minor)
{
    kc_attr attr;
    uint64_t at = 0, sum = 0, whole_at, whole_sum;
    size_t heads = 0;
    for (size_t have = 0; have <= n; have++) {
        uint8_t *prefix = room(have);
        memcpy(prefix, payload, have);
        while (at <= have) {
            int need = kc_attr_head(prefix + at, have - (size_t)at, minor, &attr);
            MUST(need >= 0 && need <= KC_ATTR_HEAD_BYTES);
            if (need != KC_OK) {
                MUST((uint64_t)have - at + (uint64_t)need <= KC_ATTR_HEAD_BYTES_MAX);
                break;
            }
            at += (uint64_t)attr.head_bytes + attr.length;
            sum = sum * 31 + attr.type * UINT64_C(65537) + attr.length;
            heads++;
        }
        free(prefix);
    }
    MUST(count_heads(payload, n, minor, &whole_at, &whole_sum) == heads);
    MUST(whole_at == at && whole_sum == sum);
}

static void check_header_arrival(const uint8_t *frame, size_t n, unsigned minor)
{
    kc_frame_header header;
    for (size_t have = 0; have < KC_FRAME_HEADER_BYTES && have <= n; have++) {
        uint8_t *prefix = room(have);
        memcpy(prefix, frame, have);
        MUST(kc_frame_head(prefix, have, minor, KC_MAX_FRAME_BYTES, &header) == KC_FRAME_HEADER_BYTES - (int)have);
        free(prefix);
    }
}

static uint32_t count_type(const kc_request *request, uint16_t type)
{
    kc_attr_cursor cursor;
    kc_attr attr;
    uint32_t found = 0;
    kc_attr_cursor_init(&cursor, request->payload, request->length, request->minor, request->detach_bytes);
    while (kc_attr_next(&cursor, &attr) == KC_OK) {
        found += attr.type == type;
        MUST(attr.type != KC_ATTR_REQ_ID || request->req_id == kc_attr_u32(&attr));
        MUST(attr.type != KC_ATTR_CHAN_ID || request->chan_id == kc_attr_u32(&attr));
        MUST(attr.type != KC_ATTR_TIMEOUT_MS || request->timeout_ms == kc_attr_i32(&attr));
        MUST(attr.type != KC_ATTR_FLAGS || request->flags == kc_attr_u32(&attr));
        MUST(attr.type != KC_ATTR_MAX_ITEMS || request->max_items == kc_attr_u32(&attr));
        MUST(attr.type != KC_ATTR_MAX_BYTES || request->max_bytes == kc_attr_u64(&attr));
    }
    return found;
}

/* A value that reads as a range is written again as the same range, with a fourth word. */
static void check_desc(const kc_attr *attr)
{
    enum { HEADS = KC_FRAME_HEADER_BYTES + KC_ATTR_HEAD_BYTES };
    static const uint8_t none[KC_MAX_DESC_BYTES];
    uint8_t out[HEADS + KC_MAX_DESC_BYTES];
    kc_desc_value range;
    kc_writer writer;
    bool good = kc_desc_read(attr, &range);
    MUST(good == (attr->length == 24 || attr->length == 32));
    if (good) {
        kc_writer_init(&writer, out, sizeof out, 1, KC_MAX_FRAME_BYTES);
        kc_frame_begin(&writer, KC_CMD_REGION_FREED, 0);
        kc_put_desc(&writer, range.region, range.offset, range.length, range.fourth);
        MUST(kc_frame_finish(&writer) == KC_OK && writer.length == sizeof out);
        MUST(memcmp(out + HEADS, attr->value, attr->length) == 0);
        MUST(memcmp(out + HEADS + attr->length, none, KC_MAX_DESC_BYTES - attr->length) == 0);
    }
}

/* What a clause holds is what a walk over it sees. */
static void check_clause(const kc_attr *nested, unsigned minor)
{
    kc_request_clause clause;
    kc_attr_cursor cursor;
    kc_attr attr;
    uint32_t present = 0;
    MUST(kc_clause_parse(nested, minor, &clause) == KC_OK);
    kc_attr_cursor_nested(&cursor, nested, minor);
    while (kc_attr_next(&cursor, &attr) == KC_OK) {
        present |= attr.type == KC_ATTR_CHAN_ID ? KC_HAS_CHAN_ID : 0;
        present |= attr.type == KC_ATTR_FLAGS ? KC_HAS_FLAGS : 0;
        present |= attr.type == KC_ATTR_ELEMENT ? KC_HAS_ELEMENT : 0;
        present |= attr.type == KC_ATTR_DESC ? KC_HAS_DESC : 0;
        present |= attr.type == KC_ATTR_FILES ? KC_HAS_FILES : 0;
        MUST(attr.type != KC_ATTR_DESC || (clause.desc.value == attr.value && clause.desc.length == attr.length));
        MUST(attr.type != KC_ATTR_FILES || clause.files == kc_attr_u32(&attr));
        if (attr.type == KC_ATTR_DESC) {
            check_desc(&attr);
        }
    }
    MUST(clause.present == present);
}

static void check_request(const kc_request *request)
{
    static const uint16_t types[] = {KC_ATTR_ELEMENT, KC_ATTR_CLAUSE, KC_ATTR_DELIVERY_ID, KC_ATTR_DESC,
                                     KC_ATTR_LEASE_ID};
    kc_attr attr;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        uint32_t walked = 0;
        kc_attr_walk walk = kc_request_walk(request, types[i]);
        while (kc_attr_walk_next(&walk, &attr)) {
            MUST(attr.type == types[i]);
            MUST(types[i] != KC_ATTR_ELEMENT || walked != 0 || attr.length == request->element_bytes);
            if (types[i] == KC_ATTR_CLAUSE) {
                check_clause(&attr, request->minor);
            } else if (types[i] == KC_ATTR_DESC) {
                check_desc(&attr);
            }
            walked++;
        }
        MUST(walk.left == 0 && walked == count_type(request, types[i]));
    }
}

/* What is left of a good payload when the bytes of its large elements were received elsewhere. */
static size_t take_out_elements(const uint8_t *payload, size_t n, unsigned minor, uint8_t *out)
{
    kc_attr attr;
    size_t length = 0;
    for (size_t at = 0; at < n; at += attr.head_bytes + (size_t)attr.length) {
        MUST(kc_attr_head(payload + at, n - at, minor, &attr) == KC_OK);
        bool large = (attr.type & ~KC_FRAME_CRITICAL) == KC_ATTR_ELEMENT && attr.length >= DETACH_BYTES;
        size_t kept = attr.head_bytes + (large ? 0 : (size_t)attr.length);
        memcpy(out + length, payload + at, kept);
        length += kept;
    }
    return length;
}

static void check_detached(const kc_request *whole)
{
    kc_request rest;
    uint8_t *out = room(whole->length);
    size_t length = take_out_elements(whole->payload, whole->length, whole->minor, out);
    MUST(kc_request_parse_detached(out, (uint32_t)length, whole->minor, whole->cmd, DETACH_BYTES, &rest) == KC_OK);
    MUST(rest.present == whole->present && rest.elements.count == whole->elements.count);
    MUST(rest.element_bytes == whole->element_bytes && rest.clauses.count == whole->clauses.count);
    MUST(rest.descs.count == whole->descs.count && rest.leases.count == whole->leases.count);
    check_request(&rest);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    unsigned minor = data[0] & 1;
    size_t n = size - 1;
    uint8_t *frame = room(n);
    memcpy(frame, data + 1, n);
    int verdict = kc_codec_check(frame, n, minor);
    MUST(verdict == KC_OK || verdict == KC_EPROTO || verdict == KC_EMSGSIZE);
    check_canonical(frame, n, minor, verdict);
    check_header_arrival(frame, n, minor);
    if (n >= KC_FRAME_HEADER_BYTES && n <= BYTEWISE_UP_TO) {
        check_arrival(frame + KC_FRAME_HEADER_BYTES, n - KC_FRAME_HEADER_BYTES, minor);
    }
    if (verdict == KC_OK) {
        kc_request request;
        uint32_t length = (uint32_t)(n - KC_FRAME_HEADER_BYTES);
        MUST(kc_request_parse(frame + KC_FRAME_HEADER_BYTES, length, minor, kc_load_u16(frame), &request) == KC_OK);
        check_request(&request);
        check_detached(&request);
    }
    free(frame);
    return 0;
}
