/* kc_ipc_words.h: frames in words: what a script says as bytes, and what bytes say as a script. Of the rig that speaks
 * (kc_ipc_fixture.h) it knows what words name by number (deliveries, leases, regions), and where frame and text stand.
 *
 * A frame is a command and words: rN REQ_ID, cN CHAN_ID, tN TIMEOUT_MS, fN FLAGS, nN MAX_ITEMS, bN MAX_BYTES, #N
 * DELIVERY_ID (the N-th that was heard, from 0), LN LEASE_ID (likewise), DN+offset:length DESC of the N-th region of
 * rig_region, gN FILES, lN TTL_MS, e:text ELEMENT, E:n ELEMENT of n bytes, ( ... ) CLAUSE, vN ABI_MINOR.
 * Replies read the same, with uN SENDER_UID, pN SENDER_PID, =N RESULT, iN INDEX, kN COUNT, dN DROPPED, xN REDELIVERED,
 * ( ... ) ITEM, q:, s: and w: for QUOTA_NAME, QUOTA_SETTING and REASON, DN+offset:length/word DESC (the word is the
 * number of the lease, or the flags of a notice), RN REGION_ID, zN SIZE, and &N after the command for N files in the
 * header.
 */
#ifndef KC_IPC_WORDS_H
#define KC_IPC_WORDS_H

#include "ipc/kc_bytes.h"
#include "ipc/kc_frame.h"
#include "kcoro/kc_pump.h"

#include "kc_test.h"

enum { RIG_CONNS = 8, RIG_CHANS = 8, RIG_FRAME_BYTES = 20 << 20, RIG_TEXT_BYTES = 1 << 20, RIG_FIRST_CHAN = 1001 };

typedef struct rig {
    kc_engine *engine;
    kc_pump *pump;
    kc_conn conns[RIG_CONNS];
    int conn_count;
    kc_chan chans[RIG_CHANS];
    int chan_count;
    unsigned minors[RIG_CONNS];
    uint32_t account;
    uint64_t deliveries[256];
    int delivery_count;
    uint64_t leases[64];
    int lease_count;
    kc_ticket regions[8];
    int region_count;
    bool bytewise;         /* feed one byte at a time */
    bool broken_allocs;    /* allocations are made to fail: refusals are expected */
    uint8_t *frame, *out;
    size_t frame_bytes;
    char *text;
} rig;

/* ---- words to frames ---- */

typedef struct rig_name {
    const char *name;
    uint16_t number;
} rig_name;

static const rig_name rig_commands[] = {
    {"HELLO", KC_CMD_HELLO},       {"INFO", KC_CMD_GET_INFO},          {"LIST", KC_CMD_LIST},
    {"MAKE", KC_CMD_CHAN_MAKE},    {"SEND", KC_CMD_CHAN_SEND},         {"TRY_SEND", KC_CMD_CHAN_TRY_SEND},
    {"RECV", KC_CMD_CHAN_RECV},    {"TRY_RECV", KC_CMD_CHAN_TRY_RECV}, {"CLOSE", KC_CMD_CHAN_CLOSE},
    {"OPEN", KC_CMD_CHAN_OPEN},    {"SELECT", KC_CMD_SELECT},          {"CANCEL", KC_CMD_CANCEL},
    {"ACK", KC_CMD_ACK},           {"NACK", KC_CMD_NACK},              {"PING", KC_CMD_PING},
    {"DESTROY", KC_CMD_CHAN_DESTROY}, {"RELEASE", KC_CMD_RELEASE},     {"MAP", KC_CMD_REGION_MAP},
    {"FREED", KC_CMD_REGION_FREED}, {"GONE", KC_CMD_REGION_GONE},      {"ADD", KC_CMD_REGION_ADD},
    {"CMD99", 99}};

static inline uint16_t rig_command(const char *name, size_t n)
{
    for (size_t i = 0; i < sizeof rig_commands / sizeof *rig_commands; i++) {
        if (strlen(rig_commands[i].name) == n && memcmp(rig_commands[i].name, name, n) == 0) {
            return rig_commands[i].number;
        }
    }
    fprintf(stderr, "no command %.*s\n", (int)n, name);
    exit(1);
}

static inline void rig_element(rig *r, kc_writer *w, const char *word, size_t n)
{
    if (word[0] == 'e') {
        kc_put_bytes(w, KC_ATTR_ELEMENT, word + 2, (uint32_t)(n - 2));
        return;
    }
    uint32_t length = (uint32_t)strtoul(word + 2, NULL, 10);
    uint8_t *bytes = malloc(length + 1);
    KC_REQUIRE(bytes != NULL);
    for (uint32_t i = 0; i < length; i++) {
        bytes[i] = (uint8_t)(i * 31 + (i >> 8) + length);
    }
    kc_put_bytes(w, KC_ATTR_ELEMENT, bytes, length);
    free(bytes);
    (void)r;
}

/* D0+16:64 */
static inline void rig_range(rig *r, kc_writer *w, const char *word)
{
    char *at;
    unsigned long region = strtoul(word + 1, &at, 10);
    uint64_t offset = strtoull(at + 1, &at, 10);
    uint8_t value[24];
    kc_store_u64(value, region < (unsigned long)r->region_count ? r->regions[region] : region);
    kc_store_u64(value + 8, offset);
    kc_store_u64(value + 16, strtoull(at + 1, NULL, 10));
    kc_put_bytes(w, KC_ATTR_DESC, value, sizeof value);
}

static inline int rig_region_number(const rig *r, kc_ticket region)
{
    int i = 0;
    while (i < r->region_count && r->regions[i] != region) {
        i++;
    }
    return i;
}

static inline void rig_word(rig *r, kc_writer *w, const char *word, size_t n)
{
    long long value = n > 1 ? strtoll(word + 1, NULL, 10) : 0;
    switch (word[0]) {
    case 'r': kc_put_u32(w, KC_ATTR_REQ_ID, (uint32_t)value); break;
    case 'c': kc_put_u32(w, KC_ATTR_CHAN_ID, (uint32_t)value); break;
    case 't': kc_put_i32(w, KC_ATTR_TIMEOUT_MS, (int32_t)value); break;
    case 'f': kc_put_u32(w, KC_ATTR_FLAGS, (uint32_t)value); break;
    case 'n': kc_put_u32(w, KC_ATTR_MAX_ITEMS, (uint32_t)value); break;
    case 'b': kc_put_u64(w, KC_ATTR_MAX_BYTES, (uint64_t)value); break;
    case 'v':
        kc_put_u32(w, KC_ATTR_ABI_MAJOR, 1);
        kc_put_u32(w, KC_ATTR_ABI_MINOR, (uint32_t)value);
        break;
    case '#':
        kc_put_u64(w, KC_ATTR_DELIVERY_ID, value < r->delivery_count ? r->deliveries[value] : (uint64_t)value);
        break;
    case 'L':
        kc_put_u64(w, KC_ATTR_LEASE_ID, value < r->lease_count ? r->leases[value] : (uint64_t)value);
        break;
    case 'D': rig_range(r, w, word); break;
    case 'g': kc_put_u32(w, KC_ATTR_FILES, (uint32_t)value); break;
    case 'l': kc_put_u32(w, KC_ATTR_TTL_MS, (uint32_t)value); break;
    case 'e':
    case 'E': rig_element(r, w, word, n); break;
    case '(': kc_nested_begin(w, KC_ATTR_CLAUSE, strstr(word, "E:") != NULL && strstr(word, "E:") < strchr(word, ')') &&
                              strtoul(strstr(word, "E:") + 2, NULL, 10) > 60000 ? 70000 : 0); break;
    case ')': kc_nested_end(w); break;
    default: fprintf(stderr, "no word %.*s\n", (int)n, word); exit(1);
    }
}

/* The frames of a script, in r->frame. */
static inline void rig_build(rig *r, unsigned minor, const char *script)
{
    kc_writer w;
    kc_writer_init(&w, r->frame, RIG_FRAME_BYTES, minor, UINT32_MAX);
    while (*script != 0) {
        size_t n = strcspn(script, " ;");
        kc_frame_begin(&w, rig_command(script, n), 0);
        script += n;
        while (*script != 0 && *script != ';') {
            n = *script == ' ' ? 0 : *script == '(' || *script == ')' ? 1 : strcspn(script, " ;)");
            if (n != 0) {
                rig_word(r, &w, script, n);
            }
            script += n != 0 ? n : 1;
        }
        KC_REQUIRE(kc_frame_finish(&w) == KC_OK);
        script += strspn(script, "; ");
    }
    r->frame_bytes = w.length;
}

/* ---- replies to words ---- */

static inline size_t rig_print(char *at, size_t room, const char *format, const void *text, int n, long long value)
{
    int wrote = text != NULL ? snprintf(at, room, format, n, (const char *)text) : snprintf(at, room, format, value);
    KC_REQUIRE(wrote >= 0 && (size_t)wrote < room);
    return (size_t)wrote;
}

static inline size_t rig_render_element(char *at, size_t room, const kc_attr *attr)
{
    if (attr->length <= 64) {
        return rig_print(at, room, " e:%.*s", attr->value, (int)attr->length, 0);
    }
    for (uint32_t i = 0; i < attr->length; i++) {
        if (attr->value[i] != (uint8_t)(i * 31 + (i >> 8) + attr->length)) {
            return rig_print(at, room, " E!%lld", NULL, 0, (long long)i);
        }
    }
    return rig_print(at, room, " E:%lld", NULL, 0, attr->length);
}

/* The fourth word is a lease where a message was received; a notice has flags there. */
static inline size_t rig_render_range(rig *r, char *at, size_t room, const kc_attr *attr, bool leased)
{
    kc_desc_value range;
    KC_REQUIRE(kc_desc_read(attr, &range));
    unsigned long long word = range.fourth;
    if (leased) {
        KC_REQUIRE(r->lease_count < 64);
        word = (unsigned long long)r->lease_count;
        r->leases[r->lease_count++] = range.fourth;
    }
    int wrote = snprintf(at, room, " D%d+%llu:%llu/%llu", rig_region_number(r, range.region),
                         (unsigned long long)range.offset, (unsigned long long)range.length, word);
    KC_REQUIRE(wrote >= 0 && (size_t)wrote < room);
    return (size_t)wrote;
}

static inline size_t rig_render_attrs(rig *r, char *at, size_t room, kc_attr_cursor *cursor, unsigned minor,
                                      uint16_t cmd)
{
    kc_attr attr;
    kc_attr_cursor inner;
    size_t n = 0;
    while (kc_attr_next(cursor, &attr) == KC_OK) {
        char *to = at + n;
        size_t left = room - n;
        switch (attr.type) {
        case KC_ATTR_REQ_ID: n += rig_print(to, left, " r%lld", NULL, 0, kc_attr_u32(&attr)); break;
        case KC_ATTR_RESULT: n += rig_print(to, left, " =%lld", NULL, 0, kc_attr_i32(&attr)); break;
        case KC_ATTR_INDEX: n += rig_print(to, left, " i%lld", NULL, 0, kc_attr_u32(&attr)); break;
        case KC_ATTR_FLAGS: n += rig_print(to, left, " f%lld", NULL, 0, kc_attr_u32(&attr)); break;
        case KC_ATTR_COUNT: n += rig_print(to, left, " k%lld", NULL, 0, kc_attr_u32(&attr)); break;
        case KC_ATTR_DROPPED: n += rig_print(to, left, " d%lld", NULL, 0, kc_attr_u32(&attr)); break;
        case KC_ATTR_REDELIVERED: n += rig_print(to, left, " x%lld", NULL, 0, kc_attr_u32(&attr)); break;
        case KC_ATTR_SENDER_UID: n += rig_print(to, left, " u%lld", NULL, 0, kc_attr_u32(&attr)); break;
        case KC_ATTR_SENDER_PID: n += rig_print(to, left, " p%lld", NULL, 0, kc_attr_u32(&attr)); break;
        case KC_ATTR_ABI_MINOR: n += rig_print(to, left, " v%lld", NULL, 0, kc_attr_u32(&attr)); break;
        case KC_ATTR_ELEMENT: n += rig_render_element(to, left, &attr); break;
        case KC_ATTR_QUOTA_NAME: n += rig_print(to, left, " q:%.*s", attr.value, (int)attr.length, 0); break;
        case KC_ATTR_QUOTA_SETTING: n += rig_print(to, left, " s:%.*s", attr.value, (int)attr.length, 0); break;
        case KC_ATTR_REASON: n += rig_print(to, left, " w:%.*s", attr.value, (int)attr.length, 0); break;
        case KC_ATTR_DESC: n += rig_render_range(r, to, left, &attr, cmd != KC_CMD_REGION_FREED); break;
        case KC_ATTR_REGION_ID:
            n += rig_print(to, left, " R%lld", NULL, 0, rig_region_number(r, kc_attr_u64(&attr)));
            break;
        case KC_ATTR_SIZE: n += rig_print(to, left, " z%lld", NULL, 0, (long long)kc_attr_u64(&attr)); break;
        case KC_ATTR_DELIVERY_ID:
            KC_REQUIRE(r->delivery_count < 256);
            n += rig_print(to, left, " #%lld", NULL, 0, r->delivery_count);
            r->deliveries[r->delivery_count++] = kc_attr_u64(&attr);
            break;
        case KC_ATTR_ITEM:
            n += rig_print(to, left, " (%.*s", "", 0, 0);
            kc_attr_cursor_nested(&inner, &attr, minor);
            n += rig_render_attrs(r, at + n, room - n, &inner, minor, cmd);
            n += rig_print(at + n, room - n, " )%.*s", "", 0, 0);
            break;
        default: break;
        }
    }
    return n;
}

static inline const char *rig_render(rig *r, unsigned minor, const uint8_t *bytes, size_t n)
{
    size_t used = 0;
    r->text[0] = 0;
    while (n != 0) {
        kc_frame_header header;
        kc_attr_cursor cursor;
        size_t i = 0;
        KC_REQUIRE(kc_frame_head(bytes, n, minor, UINT32_MAX, &header) == KC_OK && n - 8 >= header.length);
        while (i + 1 < sizeof rig_commands / sizeof *rig_commands && rig_commands[i].number != header.cmd) {
            i++;
        }
        used += rig_print(r->text + used, RIG_TEXT_BYTES - used, used == 0 ? "%.*s" : "; %.*s",
                          rig_commands[i].name, 40, 0);
        if (header.files != 0) {
            used += rig_print(r->text + used, RIG_TEXT_BYTES - used, " &%lld", NULL, 0, header.files);
        }
        kc_attr_cursor_init(&cursor, bytes + 8, header.length, minor, 0);
        used += rig_render_attrs(r, r->text + used, RIG_TEXT_BYTES - used, &cursor, minor, header.cmd);
        bytes += 8 + header.length;
        n -= 8 + header.length;
    }
    return r->text;
}

#endif
