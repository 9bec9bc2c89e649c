/* request.c: a whole payload gathered into one flat struct (kc_frame.h, requests).
 *
 * The usual frame (REQ_ID, CHAN_ID, TIMEOUT_MS, then nothing or one ELEMENT to the end) is recognised by three
 * comparisons of 32 bits and never enters the loop. The loop starts where the recognised part ends, so both ways give
 * the same struct; a test compares them.
 */
#include "ipc/kc_bytes.h"
#include "ipc/kc_frame.h"

#define KC_SCALAR_HEAD(type) (((uint32_t)(type) << 16) | 4u)

enum { KC_SCALAR_BYTES = 8, KC_PREFIX_BYTES = 3 * KC_SCALAR_BYTES };

static bool kc_prefix_matches(const uint8_t *payload, uint32_t length)
{
    return length >= KC_PREFIX_BYTES && kc_load_u32(payload) == KC_SCALAR_HEAD(KC_ATTR_REQ_ID) &&
           kc_load_u32(payload + 8) == KC_SCALAR_HEAD(KC_ATTR_CHAN_ID) &&
           kc_load_u32(payload + 16) == KC_SCALAR_HEAD(KC_ATTR_TIMEOUT_MS);
}

static void kc_prefix_take(kc_request *request)
{
    request->req_id = kc_load_u32(request->payload + 4);
    request->chan_id = kc_load_u32(request->payload + 12);
    request->timeout_ms = (int32_t)kc_load_u32(request->payload + 20);
    request->present = KC_HAS_REQ_ID | KC_HAS_CHAN_ID | KC_HAS_TIMEOUT_MS;
}

static void kc_prefix_pass(kc_attr_cursor *cursor)
{
    cursor->seen[0] =
        UINT64_C(1) << KC_ATTR_REQ_ID | UINT64_C(1) << KC_ATTR_CHAN_ID | UINT64_C(1) << KC_ATTR_TIMEOUT_MS;
    cursor->at += KC_PREFIX_BYTES;
}

/* Nothing after the prefix, or one ELEMENT in short form that fills the rest exactly. */
static bool kc_rest_take(kc_request *request)
{
    const uint8_t *at = request->payload + KC_PREFIX_BYTES;
    uint32_t left = request->length - KC_PREFIX_BYTES;
    if (left < KC_ATTR_HEAD_BYTES || kc_load_u16(at) != KC_ATTR_ELEMENT) {
        return left == 0;
    }
    uint32_t length = kc_load_u16(at + 2);
    bool extended = request->minor != 0 && length == KC_FRAME_EXTENDED_LENGTH;
    bool detached = request->detach_bytes != 0 && length >= request->detach_bytes;
    if (extended || detached || length != left - KC_ATTR_HEAD_BYTES) {
        return false;
    }
    request->element = at + KC_ATTR_HEAD_BYTES;
    request->element_bytes = length;
    request->elements = (kc_repeat){1, KC_PREFIX_BYTES};
    return true;
}

static void kc_repeat_add(kc_request *request, kc_repeat *repeat, const kc_attr *attr, const uint8_t *end)
{
    uint32_t value_bytes = attr->value == NULL ? 0 : attr->length;
    if (repeat->count++ == 0) {
        repeat->offset = (uint32_t)(end - request->payload) - value_bytes - attr->head_bytes;
    }
}

static int kc_nested_check(const kc_attr *nested, unsigned minor)
{
    kc_attr_cursor cursor;
    kc_attr attr;
    int verdict;
    kc_attr_cursor_nested(&cursor, nested, minor);
    do {
        verdict = kc_attr_next(&cursor, &attr);
    } while (verdict == KC_OK);
    return verdict == KC_FRAME_DONE ? KC_OK : verdict;
}

static void kc_element_add(kc_request *request, const kc_attr *attr, const uint8_t *end)
{
    if (request->elements.count == 0) {
        request->element = attr->value;
        request->element_bytes = attr->length;
    }
    kc_repeat_add(request, &request->elements, attr, end);
}

static int kc_request_add(kc_request *request, const kc_attr *attr, const uint8_t *end)
{
    switch (attr->type) {
    case KC_ATTR_REQ_ID:
        request->req_id = kc_attr_u32(attr);
        request->present |= KC_HAS_REQ_ID;
        return KC_OK;
    case KC_ATTR_CHAN_ID:
        request->chan_id = kc_attr_u32(attr);
        request->present |= KC_HAS_CHAN_ID;
        return KC_OK;
    case KC_ATTR_TIMEOUT_MS:
        request->timeout_ms = kc_attr_i32(attr);
        request->present |= KC_HAS_TIMEOUT_MS;
        return KC_OK;
    case KC_ATTR_FLAGS:
        request->flags = kc_attr_u32(attr);
        request->present |= KC_HAS_FLAGS;
        return KC_OK;
    case KC_ATTR_MAX_ITEMS:
        request->max_items = kc_attr_u32(attr);
        request->present |= KC_HAS_MAX_ITEMS;
        return KC_OK;
    case KC_ATTR_TTL_MS:
        request->ttl_ms = kc_attr_u32(attr);
        request->present |= KC_HAS_TTL_MS;
        return KC_OK;
    case KC_ATTR_MAX_BYTES:
        request->max_bytes = kc_attr_u64(attr);
        request->present |= KC_HAS_MAX_BYTES;
        return KC_OK;
    case KC_ATTR_ELEMENT:
        kc_element_add(request, attr, end);
        return KC_OK;
    case KC_ATTR_DELIVERY_ID:
        kc_repeat_add(request, &request->deliveries, attr, end);
        return KC_OK;
    case KC_ATTR_DESC:
        kc_repeat_add(request, &request->descs, attr, end);
        return KC_OK;
    case KC_ATTR_LEASE_ID:
        kc_repeat_add(request, &request->leases, attr, end);
        return KC_OK;
    case KC_ATTR_CLAUSE:
        kc_repeat_add(request, &request->clauses, attr, end);
        return kc_nested_check(attr, request->minor);
    case KC_ATTR_ITEM:
    case KC_ATTR_STAT:
        return kc_nested_check(attr, request->minor);
    default:
        return KC_OK;
    }
}

int kc_request_parse_detached(const uint8_t *payload, uint32_t length, unsigned minor, uint16_t cmd,
                              uint32_t detach_bytes, kc_request *request_out)
{
    kc_attr_cursor cursor;
    kc_attr attr;
    int verdict;
    *request_out = (kc_request){.payload = payload, .length = length, .detach_bytes = detach_bytes, .cmd = cmd,
                                .minor = minor != 0};
    bool usual = kc_prefix_matches(payload, length);
    if (usual) {
        kc_prefix_take(request_out);
        if (kc_rest_take(request_out)) {
            return KC_OK;
        }
    }
    kc_attr_cursor_init(&cursor, payload, length, minor, detach_bytes);
    if (usual) {
        kc_prefix_pass(&cursor);
    }
    while ((verdict = kc_attr_next(&cursor, &attr)) == KC_OK) {
        verdict = kc_request_add(request_out, &attr, cursor.at);
        if (verdict != KC_OK) {
            return verdict;
        }
    }
    return verdict == KC_FRAME_DONE ? KC_OK : verdict;
}

int kc_request_parse(const uint8_t *payload, uint32_t length, unsigned minor, uint16_t cmd, kc_request *request_out)
{
    return kc_request_parse_detached(payload, length, minor, cmd, 0, request_out);
}

static kc_repeat kc_request_repeat(const kc_request *request, uint16_t type)
{
    switch (type) {
    case KC_ATTR_ELEMENT:
        return request->elements;
    case KC_ATTR_CLAUSE:
        return request->clauses;
    case KC_ATTR_DELIVERY_ID:
        return request->deliveries;
    case KC_ATTR_DESC:
        return request->descs;
    case KC_ATTR_LEASE_ID:
        return request->leases;
    default:
        return (kc_repeat){0, 0};
    }
}

kc_attr_walk kc_request_walk(const kc_request *request, uint16_t type)
{
    kc_repeat repeat = kc_request_repeat(request, type);
    kc_attr_walk walk = {.left = repeat.count, .type = type};
    if (repeat.count != 0) {
        kc_attr_cursor_init(&walk.cursor, request->payload + repeat.offset, request->length - repeat.offset,
                            request->minor, request->detach_bytes);
    }
    return walk;
}

bool kc_attr_walk_next(kc_attr_walk *walk, kc_attr *attr_out)
{
    if (walk->left == 0) {
        return false;
    }
    while (kc_attr_next(&walk->cursor, attr_out) == KC_OK) {
        if (attr_out->type == walk->type) {
            walk->left--;
            return true;
        }
    }
    return false;
}

int kc_clause_parse(const kc_attr *attr, unsigned minor, kc_request_clause *clause_out)
{
    kc_attr_cursor cursor;
    kc_attr inner;
    int verdict;
    *clause_out = (kc_request_clause){0};
    kc_attr_cursor_nested(&cursor, attr, minor);
    while ((verdict = kc_attr_next(&cursor, &inner)) == KC_OK) {
        switch (inner.type) {
        case KC_ATTR_CHAN_ID:
            clause_out->chan_id = kc_attr_u32(&inner);
            clause_out->present |= KC_HAS_CHAN_ID;
            break;
        case KC_ATTR_FLAGS:
            clause_out->flags = kc_attr_u32(&inner);
            clause_out->present |= KC_HAS_FLAGS;
            break;
        case KC_ATTR_ELEMENT:
            clause_out->element = inner.value;
            clause_out->element_bytes = inner.length;
            clause_out->present |= KC_HAS_ELEMENT;
            break;
        case KC_ATTR_DESC:
            clause_out->desc = inner;
            clause_out->present |= KC_HAS_DESC;
            break;
        case KC_ATTR_FILES:
            clause_out->files = kc_attr_u32(&inner);
            clause_out->present |= KC_HAS_FILES;
            break;
        default:
            break;
        }
    }
    return verdict == KC_FRAME_DONE ? KC_OK : verdict;
}
