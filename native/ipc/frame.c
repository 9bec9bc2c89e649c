/* frame.c: the reader of frames (kc_frame.h): headers and attributes.
 *
 * Invariants: cursor->at <= cursor->end; a byte is read only after its presence was checked; every verdict is the one
 * of kcoro_ipc/tlv.py. Attribute numbers come from the generated list, so an attribute added there is understood here.
 */
#include "ipc/kc_frame.h"

#include "ipc/kc_bytes.h"

enum { KC_SCALAR_U32 = 4, KC_SCALAR_I32 = 4, KC_SCALAR_U64 = 8, KC_SCALAR_TEXT = 0, KC_SCALAR_BYTES = 0,
       KC_SCALAR_NESTED = 0 };
enum { KC_IS_NESTED_U32 = 0, KC_IS_NESTED_I32 = 0, KC_IS_NESTED_U64 = 0, KC_IS_NESTED_TEXT = 0,
       KC_IS_NESTED_BYTES = 0, KC_IS_NESTED_NESTED = 1 };
enum { KC_ATTR_SKIPPED = 2 };
enum { KC_SHORT_DESC_BYTES = 24 }; /* without the fourth word */

typedef struct kc_attr_rule {
    bool known;
    bool repeats;
    bool nested;
    uint8_t scalar_bytes; /* the only length the value may have; 0: any */
} kc_attr_rule;

static const kc_attr_rule kc_attr_rules[KC_ATTR_END] = {
#define KC_RULE(name, type, repeats) [KC_ATTR_##name] = {true, repeats, KC_IS_NESTED_##type, KC_SCALAR_##type},
    KC_WIRE_ATTRIBUTES(KC_RULE)
#undef KC_RULE
};

_Static_assert(KC_ATTR_END <= 128, "kc_attr_cursor.seen has a bit for each attribute");

int kc_frame_head(const uint8_t *bytes, size_t n, unsigned minor, uint32_t max_bytes, kc_frame_header *header_out)
{
    if (n < KC_FRAME_HEADER_BYTES) {
        return KC_FRAME_HEADER_BYTES - (int)n;
    }
    uint16_t flags = kc_load_u16(bytes + 2);
    header_out->cmd = kc_load_u16(bytes);
    header_out->files = minor != 0 ? (uint8_t)(flags & KC_FRAME_FILES_MASK) : 0;
    header_out->length = kc_load_u32(bytes + 4);
    if (minor != 0 && (flags & ~KC_FRAME_FILES_MASK) != 0) {
        return KC_EPROTO;
    }
    return header_out->length > max_bytes ? KC_EMSGSIZE : KC_OK;
}

static inline int kc_attr_head_read(const uint8_t *bytes, size_t n, unsigned minor, kc_attr *attr_out)
{
    if (n < KC_ATTR_HEAD_BYTES) {
        return KC_ATTR_HEAD_BYTES - (int)n;
    }
    attr_out->type = kc_load_u16(bytes);
    attr_out->length = kc_load_u16(bytes + 2);
    attr_out->head_bytes = KC_ATTR_HEAD_BYTES;
    if (minor != 0 && attr_out->length == KC_FRAME_EXTENDED_LENGTH) {
        if (n < KC_ATTR_HEAD_BYTES_MAX) {
            return KC_ATTR_HEAD_BYTES_MAX - (int)n;
        }
        attr_out->length = kc_load_u32(bytes + KC_ATTR_HEAD_BYTES);
        attr_out->head_bytes = KC_ATTR_HEAD_BYTES_MAX;
    }
    attr_out->value = bytes + attr_out->head_bytes;
    return KC_OK;
}

int kc_attr_head(const uint8_t *bytes, size_t n, unsigned minor, kc_attr *attr_out)
{
    return kc_attr_head_read(bytes, n, minor, attr_out);
}

void kc_attr_cursor_init(kc_attr_cursor *cursor, const uint8_t *payload, size_t n, unsigned minor,
                         uint32_t detach_bytes)
{
    *cursor = (kc_attr_cursor){.at = payload, .end = n == 0 ? payload : payload + n, .detach_bytes = detach_bytes,
                               .minor = minor != 0};
}

void kc_attr_cursor_nested(kc_attr_cursor *cursor, const kc_attr *attr, unsigned minor)
{
    kc_attr_cursor_init(cursor, attr->value, attr->length, minor, 0);
    cursor->nested = true;
}

static bool kc_attr_is_detached(const kc_attr_cursor *cursor, const kc_attr *attr)
{
    return cursor->detach_bytes != 0 && !cursor->nested && attr->length >= cursor->detach_bytes &&
           (attr->type & ~KC_FRAME_CRITICAL) == KC_ATTR_ELEMENT;
}

/* Steps over one attribute of any type. */
static inline int kc_attr_step(kc_attr_cursor *cursor, kc_attr *attr_out)
{
    size_t left = (size_t)(cursor->end - cursor->at);
    if (kc_attr_head_read(cursor->at, left, cursor->minor, attr_out) != KC_OK) {
        return KC_EPROTO;
    }
    cursor->at += attr_out->head_bytes;
    left -= attr_out->head_bytes;
    if (kc_attr_is_detached(cursor, attr_out)) {
        attr_out->value = NULL;
        return KC_OK;
    }
    if (attr_out->length > left) {
        return KC_EPROTO;
    }
    cursor->at += attr_out->length;
    return KC_OK;
}

/* A repetition of something that does not repeat, inside nested attributes of anything. */
static inline int kc_attr_mark(kc_attr_cursor *cursor, uint16_t number, bool repeats)
{
    uint64_t bit = UINT64_C(1) << (number % 64);
    uint64_t *seen = &cursor->seen[number / 64];
    if ((*seen & bit) != 0 && (cursor->nested || !repeats)) {
        return cursor->minor != 0 ? KC_EPROTO : KC_ATTR_SKIPPED;
    }
    *seen |= bit;
    return KC_OK;
}

/* Whether the attribute counts: KC_OK, KC_ATTR_SKIPPED or KC_EPROTO. Leaves the plain number in type. */
static inline int kc_attr_judge(kc_attr_cursor *cursor, kc_attr *attr)
{
    uint16_t number = (uint16_t)(attr->type & ~KC_FRAME_CRITICAL);
    if (number >= KC_ATTR_END || !kc_attr_rules[number].known) {
        return (attr->type & KC_FRAME_CRITICAL) != 0 ? KC_EPROTO : KC_ATTR_SKIPPED;
    }
    const kc_attr_rule *rule = &kc_attr_rules[number];
    if (rule->scalar_bytes != 0 && attr->length != rule->scalar_bytes) {
        return cursor->minor != 0 ? KC_EPROTO : KC_ATTR_SKIPPED;
    }
    attr->type = number;
    int verdict = kc_attr_mark(cursor, number, rule->repeats);
    if (verdict == KC_OK && rule->nested && cursor->nested) {
        return KC_EPROTO;
    }
    return verdict;
}

int kc_attr_next(kc_attr_cursor *cursor, kc_attr *attr_out)
{
    while (cursor->at != cursor->end) {
        int verdict = kc_attr_step(cursor, attr_out);
        if (verdict == KC_OK) {
            verdict = kc_attr_judge(cursor, attr_out);
        }
        if (verdict != KC_ATTR_SKIPPED) {
            return verdict;
        }
    }
    return KC_FRAME_DONE;
}

uint32_t kc_attr_u32(const kc_attr *attr)
{
    return kc_load_u32(attr->value);
}

int32_t kc_attr_i32(const kc_attr *attr)
{
    return (int32_t)kc_load_u32(attr->value);
}

uint64_t kc_attr_u64(const kc_attr *attr)
{
    return kc_load_u64(attr->value);
}

bool kc_desc_read(const kc_attr *attr, kc_desc_value *value_out)
{
    bool full = attr->length == KC_MAX_DESC_BYTES;
    if (!full && attr->length != KC_SHORT_DESC_BYTES) {
        return false;
    }
    *value_out = (kc_desc_value){.region = kc_load_u64(attr->value), .offset = kc_load_u64(attr->value + 8),
                                 .length = kc_load_u64(attr->value + 16),
                                 .fourth = full ? kc_load_u64(attr->value + KC_SHORT_DESC_BYTES) : 0};
    return true;
}
