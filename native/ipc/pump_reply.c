/* pump_reply.c: every reply that C says, attribute by attribute. REQ_ID, RESULT, then what the command adds; in 1.0
 * nothing that its client does not know. A reply that cannot be written breaks its connection, never another. */
#include "ipc/kc_bytes.h"
#include "ipc/kc_pump_parts.h"

#include <string.h>

enum {
    KC_REPLY_SCALAR_BYTES = 8,
    KC_REPLY_WIDE_BYTES = 12,
    KC_REPLY_HEAD_BYTES = KC_FRAME_HEADER_BYTES + 3 * KC_REPLY_SCALAR_BYTES, /* REQ_ID, RESULT, INDEX */
    KC_REPLY_SHORT_BYTES = KC_FRAME_HEADER_BYTES + 2 * KC_REPLY_SCALAR_BYTES, /* REQ_ID, RESULT */
    KC_REPLY_TEXT_BYTES = KC_ATTR_HEAD_BYTES + KC_MAX_TEXT_BYTES,
    KC_REPLY_ERROR_BYTES = KC_REPLY_HEAD_BYTES + 3 * KC_REPLY_SCALAR_BYTES + 3 * KC_REPLY_TEXT_BYTES +
                           2 * KC_REPLY_WIDE_BYTES
};

kc_answer kc_answer_to(uint16_t cmd, uint32_t req_id)
{
    if (cmd == KC_CMD_CHAN_TRY_SEND) {
        cmd = KC_CMD_CHAN_SEND;
    } else if (cmd == KC_CMD_CHAN_TRY_RECV) {
        cmd = KC_CMD_CHAN_RECV;
    }
    return (kc_answer){.cmd = cmd, .req_id = req_id, .index = -1};
}

static bool kc_reply_begin(kc_pump *pump, kc_connection *conn, kc_answer answer, int32_t code, uint32_t n,
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

static void kc_reply_end(kc_pump *pump, kc_connection *conn, kc_writer *writer)
{
    (void)kc_output_commit(&pump->conns, conn, writer, conn->minor == 0);
}

static uint32_t kc_store_scalar(uint8_t *at, uint16_t type, uint32_t value)
{
    kc_store_u16(at, type);
    kc_store_u16(at + 2, sizeof value);
    kc_store_u32(at + KC_ATTR_HEAD_BYTES, value);
    return KC_REPLY_SCALAR_BYTES;
}

/* Header, REQ_ID and RESULT of a frame of `whole` bytes in 1.1. */
static void kc_store_head(uint8_t *at, uint16_t cmd, uint32_t whole, uint32_t req_id, int32_t code)
{
    kc_store_u32(at, (uint32_t)cmd << 16);
    kc_store_u32(at + 4, whole - KC_FRAME_HEADER_BYTES);
    (void)kc_store_scalar(at + 8, KC_ATTR_REQ_ID, req_id);
    (void)kc_store_scalar(at + 16, KC_ATTR_RESULT, (uint32_t)code);
}

/* The most frequent reply by far, written where it will stand. */
void kc_reply_short(kc_pump *pump, kc_connection *conn, uint16_t cmd, uint32_t req_id, int32_t code)
{
    uint8_t *at = kc_output_room(&pump->conns, conn, KC_REPLY_SHORT_BYTES);
    if (at != NULL) {
        kc_store_head(at, cmd, KC_REPLY_SHORT_BYTES, req_id, code);
        (void)kc_output_add(&pump->conns, conn, KC_REPLY_SHORT_BYTES, false);
    }
}

/* Of three numbers at most, it needs no writer. */
void kc_reply_plain(kc_pump *pump, kc_connection *conn, kc_answer answer, int32_t code)
{
    uint8_t frame[KC_REPLY_HEAD_BYTES];
    uint32_t n = KC_FRAME_HEADER_BYTES;
    if (answer.req_id != 0) {
        n += kc_store_scalar(frame + n, KC_ATTR_REQ_ID, answer.req_id);
    }
    n += kc_store_scalar(frame + n, KC_ATTR_RESULT, (uint32_t)code);
    if (answer.index >= 0) {
        n += kc_store_scalar(frame + n, KC_ATTR_INDEX, (uint32_t)answer.index);
    }
    kc_store_u16(frame, answer.cmd);
    kc_store_u16(frame + 2, 0);
    kc_store_u32(frame + 4, n - KC_FRAME_HEADER_BYTES);
    (void)kc_output_append(&pump->conns, conn, frame, n, conn->minor == 0);
}

static void kc_put_text(kc_writer *writer, uint16_t type, const char *text)
{
    if (text != NULL) {
        kc_put_bytes(writer, type, text, (uint32_t)strlen(text));
    }
}

/* The destroyer's own words, else the standard ones. */
static void kc_put_reason(const kc_pump *pump, kc_writer *writer, const kc_result *result)
{
    char text[KC_MAX_TEXT_BYTES];
    bool destroyed = result->reason == KC_REASON_DESTROYED || result->reason == KC_REASON_SHUTDOWN;
    int n = destroyed && result->chan != 0 ? kc_chan_reason(pump->conns.engine, result->chan, text, sizeof text) : 0;
    if (n > 0) {
        kc_put_bytes(writer, KC_ATTR_REASON, text, (uint32_t)n);
    } else {
        kc_put_text(writer, KC_ATTR_REASON, kc_reason_words(result->reason));
    }
}

static void kc_put_refusal(kc_writer *writer, const kc_refusal *refusal)
{
    kc_quota_words words = kc_quota_words_of(refusal->quota);
    if (words.name != NULL) {
        kc_put_text(writer, KC_ATTR_QUOTA_NAME, words.name);
        kc_put_u64(writer, KC_ATTR_QUOTA_LIMIT, refusal->limit);
        kc_put_u64(writer, KC_ATTR_QUOTA_USAGE, refusal->usage);
        kc_put_text(writer, KC_ATTR_QUOTA_SETTING, words.setting);
    }
}

/* Older clients skip it; who does not find it knows as much as before there was any. */
static void kc_put_fate(kc_writer *writer, kc_answer answer)
{
    if (answer.fate != KC_FATE_UNSAID && writer->minor != 0) {
        kc_put_u32(writer, KC_ATTR_FLAGS, answer.fate == KC_FATE_TAKEN ? KC_FLAG_SENT_TAKEN : 0);
    }
}

static void kc_put_explanation(const kc_pump *pump, kc_writer *writer, int32_t code, const kc_result *result)
{
    if (result == NULL || writer->minor == 0) {
        return;
    }
    if (code == KC_ECANCELED) {
        kc_put_reason(pump, writer, result);
    } else if (code == KC_EDQUOT || code == KC_ENOMEM) {
        kc_put_refusal(writer, &result->refusal);
    }
}

static void kc_reply_note(kc_pump *pump, const kc_connection *conn, int32_t code, const kc_result *result)
{
    if (result != NULL && (code == KC_EDQUOT || code == KC_ENOMEM)) {
        kc_pump_note(pump, conn, code, &result->refusal);
    }
}

void kc_reply_error(kc_pump *pump, kc_connection *conn, kc_answer answer, int32_t code, const kc_result *result)
{
    kc_writer writer;
    kc_reply_note(pump, conn, code, result);
    if (kc_reply_begin(pump, conn, answer, code, KC_REPLY_ERROR_BYTES, &writer)) {
        kc_put_fate(&writer, answer);
        kc_put_explanation(pump, &writer, code, result);
        kc_reply_end(pump, conn, &writer);
    }
}

void kc_reply_because(kc_pump *pump, kc_connection *conn, kc_answer answer, int32_t code, const char *reason)
{
    kc_writer writer;
    if (conn->minor == 0) {
        kc_reply_plain(pump, conn, answer, code);
    } else if (kc_reply_begin(pump, conn, answer, code, KC_REPLY_HEAD_BYTES + KC_REPLY_TEXT_BYTES, &writer)) {
        kc_put_text(&writer, KC_ATTR_REASON, reason);
        kc_reply_end(pump, conn, &writer);
    }
}

void kc_reply_refusal(kc_pump *pump, kc_connection *conn, kc_answer answer, int32_t code, const kc_refusal *refusal)
{
    kc_result result = {.code = code, .refusal = *refusal};
    kc_reply_error(pump, conn, answer, code, &result);
}

void kc_reply_sent(kc_pump *pump, kc_connection *conn, kc_answer answer, bool dropped)
{
    kc_writer writer;
    uint32_t n = KC_REPLY_HEAD_BYTES + KC_REPLY_SCALAR_BYTES;
    if (!dropped || conn->minor == 0) {
        kc_reply_plain(pump, conn, answer, KC_OK);
    } else if (kc_reply_begin(pump, conn, answer, KC_OK, n, &writer)) {
        kc_put_u32(&writer, KC_ATTR_DROPPED, 1);
        kc_reply_end(pump, conn, &writer);
    }
}

void kc_reply_batch(kc_pump *pump, kc_connection *conn, kc_answer answer, const kc_batch_sum *sum)
{
    kc_writer writer;
    int32_t code = sum->count > 0 ? KC_OK : sum->code;
    kc_reply_note(pump, conn, code, sum->result);
    if (kc_reply_begin(pump, conn, answer, code, KC_REPLY_ERROR_BYTES, &writer)) {
        kc_put_u32(&writer, KC_ATTR_COUNT, sum->count);
        kc_put_u32(&writer, KC_ATTR_DROPPED, sum->dropped);
        kc_put_fate(&writer, answer);
        kc_put_explanation(pump, &writer, code, sum->result);
        kc_reply_end(pump, conn, &writer);
    }
}

void kc_reply_count(kc_pump *pump, kc_connection *conn, kc_answer answer, int32_t code, uint32_t count)
{
    kc_writer writer;
    uint32_t n = KC_REPLY_HEAD_BYTES + KC_REPLY_SCALAR_BYTES;
    if (kc_reply_begin(pump, conn, answer, code, n, &writer)) {
        kc_put_u32(&writer, KC_ATTR_COUNT, count);
        kc_reply_end(pump, conn, &writer);
    }
}

static uint32_t kc_item_content_bytes(const kc_connection *conn, uint32_t len_bytes, uint32_t form)
{
    uint32_t ticket = (form & KC_ITEM_ACK) != 0 ? KC_REPLY_WIDE_BYTES : 0;
    uint32_t sender = (form & KC_ITEM_SENDER) != 0 ? 2 * KC_REPLY_SCALAR_BYTES : 0;
    return (uint32_t)kc_attr_bytes(conn->minor, len_bytes) + ticket + KC_REPLY_SCALAR_BYTES + sender;
}

/* Bytes of the attribute's value that stands for the message. */
static uint32_t kc_item_value_bytes(const kc_body *body)
{
    return body->extra != 0 && body->len_bytes < KC_MAX_DESC_BYTES ? (uint32_t)KC_MAX_DESC_BYTES : body->len_bytes;
}

uint64_t kc_reply_item_bytes(const kc_connection *conn, const kc_body *body, uint32_t form)
{
    uint32_t value = kc_item_value_bytes(body);
    if (conn->minor == 0 && value > UINT16_MAX) {
        return UINT64_MAX; /* no length of ABI 1.0 can say it */
    }
    return kc_attr_bytes(conn->minor, form != KC_ITEM_PLAIN ? kc_item_content_bytes(conn, value, form) : value);
}

int kc_reply_can_carry(kc_pump *pump, kc_connection *conn, const kc_body *body, uint32_t form, kc_refusal *refusal)
{
    kc_desc desc;
    int code = kc_reply_item_bytes(conn, body, form) > kc_reply_item_room(conn) ? KC_EMSGSIZE : KC_OK;
    if (body->extra == 0 || code != KC_OK) {
        return code;
    }
    bool range = kc_body_desc(pump->conns.engine, body, &desc) == KC_OK;
    if ((conn->caps & (range ? KC_CAP_DESCRIPTORS : KC_CAP_FILES)) == 0) {
        code = KC_ENOTSUP;
    } else if (range && !kc_leases_have_room(&pump->conns.memory, &conn->leases, 1)) {
        *refusal = (kc_refusal){.quota = KC_QUOTA_CONN_LEASES, .limit = KC_CONN_LEASES, .usage = conn->leases.count};
        code = KC_EDQUOT;
    }
    return code;
}

uint64_t kc_reply_item_room(const kc_connection *conn)
{
    uint32_t head = KC_REPLY_HEAD_BYTES - KC_FRAME_HEADER_BYTES;
    return conn->max_out > head ? conn->max_out - head : 0;
}

/* Elements from here on are lent to the reply by their block. When nobody pays for copies, nearly all are. */
static uint32_t kc_reply_lends(const kc_connection *conn)
{
    return conn->unpaid ? KC_UNPAID_DETACH_BYTES : KC_DETACH_BYTES;
}

/* The peer gets a lease: one reference to the range, until RELEASE. */
static void kc_put_range(kc_pump *pump, kc_connection *conn, kc_writer *writer, const kc_desc *desc, const kc_body *body)
{
    kc_body lent = {.account = body->account, .extra = body->extra};
    uint64_t lease = kc_leases_add(pump->conns.engine, &conn->leases, &lent);
    pump->conns.accounts[conn->account].share.leases++;
    kc_put_desc(writer, desc->region, desc->offset, desc->len_bytes, lease);
}

static void kc_put_element(kc_pump *pump, kc_connection *conn, kc_writer *writer, const kc_body *body)
{
    const void *memory = NULL;
    kc_desc desc;
    uint32_t n = 0;
    if (body->extra != 0 && kc_body_desc(pump->conns.engine, body, &desc) == KC_OK) {
        kc_put_range(pump, conn, writer, &desc, body);
        return;
    }
    if (body->len_bytes >= kc_reply_lends(conn)) {
        kc_put_head(writer, KC_ATTR_ELEMENT, body->len_bytes);
        (void)kc_output_insert(&pump->conns, conn, writer, body);
        return;
    }
    (void)kc_body_span(pump->conns.engine, body, 0, &memory, &n);
    kc_put_bytes(writer, KC_ATTR_ELEMENT, memory, n);
}

static void kc_put_sender(const kc_pump *pump, kc_writer *writer, kc_token token)
{
    kc_sender sender = {.uid = KC_NOBODY};
    (void)kc_waiter_token_sender(pump->conns.engine, token, &sender); /* it holds its message until this reply is said */
    kc_put_u32(writer, KC_ATTR_SENDER_UID, sender.uid);
    kc_put_u32(writer, KC_ATTR_SENDER_PID, sender.pid);
}

static void kc_put_item(kc_pump *pump, kc_connection *conn, kc_writer *writer, const kc_item *item, uint32_t form)
{
    if (form == KC_ITEM_PLAIN) {
        kc_put_element(pump, conn, writer, &item->body);
        return;
    }
    kc_desc desc;
    bool range = item->body.extra != 0 && kc_body_desc(pump->conns.engine, &item->body, &desc) == KC_OK;
    uint32_t value = range ? (uint32_t)KC_MAX_DESC_BYTES : item->body.len_bytes;
    kc_nested_begin(writer, KC_ATTR_ITEM, kc_item_content_bytes(conn, value, form));
    kc_put_element(pump, conn, writer, &item->body);
    if ((form & KC_ITEM_ACK) != 0) {
        kc_put_u64(writer, KC_ATTR_DELIVERY_ID, item->token);
    }
    kc_put_u32(writer, KC_ATTR_REDELIVERED, item->attempts);
    if ((form & KC_ITEM_SENDER) != 0) {
        kc_put_sender(pump, writer, item->token);
    }
    kc_nested_end(writer);
}

static uint32_t kc_items_flat_bytes(const kc_connection *conn, const kc_item *items, uint32_t n, uint32_t form)
{
    uint64_t sum = KC_REPLY_HEAD_BYTES;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t length = items[i].body.len_bytes;
        sum += kc_reply_item_bytes(conn, &items[i].body, form) - (length >= kc_reply_lends(conn) ? length : 0);
    }
    return (uint32_t)sum; /* bounded by max_out, which kc_reply_item_room keeps to */
}

/* A message with files comes alone, and its reply's header says how many there are. */
static bool kc_reply_attach(kc_pump *pump, kc_connection *conn, const kc_body *body, const kc_writer *writer)
{
    int32_t files[KC_MAX_MESSAGE_FILES];
    kc_desc desc;
    if (body->extra == 0 || kc_body_desc(pump->conns.engine, body, &desc) == KC_OK) {
        return true;
    }
    uint32_t n = kc_body_files(pump->conns.engine, body, files);
    kc_store_u16(writer->bytes + writer->frame_at + 2, (uint16_t)n);
    return kc_output_attach(&pump->conns, conn, body);
}

void kc_reply_items(kc_pump *pump, kc_connection *conn, kc_answer answer, const kc_item *items, uint32_t n,
                    uint32_t form)
{
    kc_writer writer;
    for (uint32_t i = 0; i < n && items[i].body.extra != 0; i++) {
        kc_pump_introduce(pump, conn, &items[i].body);
    }
    (void)kc_conn_pay(&pump->conns, conn, kc_items_flat_bytes(conn, items, n, form));
    if (!kc_reply_begin(pump, conn, answer, KC_OK, kc_items_flat_bytes(conn, items, n, form), &writer)) {
        return;
    }
    if (!kc_reply_attach(pump, conn, &items[0].body, &writer)) {
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        kc_put_item(pump, conn, &writer, &items[i], form);
    }
    kc_reply_end(pump, conn, &writer);
    for (uint32_t i = 0; (form & KC_ITEM_ACK) == 0 && i < n; i++) {
        if (!kc_output_settle(&pump->conns, conn, items[i].token)) {
            return;
        }
    }
}

bool kc_reply_usual(kc_pump *pump, kc_connection *conn, uint32_t req_id, const kc_result *message)
{
    const uint32_t head = KC_REPLY_SHORT_BYTES + KC_ATTR_HEAD_BYTES;
    uint32_t n = message->body.len_bytes;
    const void *memory = NULL;
    uint32_t span = 0;
    if (conn->minor == 0 || message->body.extra != 0 || n >= kc_reply_lends(conn) || head + n > conn->max_out) {
        return false;
    }
    uint8_t *at = kc_output_room(&pump->conns, conn, head + n);
    if (at == NULL) {
        return true; /* the connection is broken */
    }
    kc_store_head(at, KC_CMD_CHAN_RECV, head + n, req_id, KC_OK);
    kc_store_u32(at + KC_REPLY_SHORT_BYTES, (uint32_t)KC_ATTR_ELEMENT << 16 | n);
    if (n != 0) {
        (void)kc_body_span(pump->conns.engine, &message->body, 0, &memory, &span);
        memcpy(at + head, memory, n);
    }
    (void)(kc_output_add(&pump->conns, conn, head + n, false) &&
           kc_output_settle(&pump->conns, conn, message->token));
    return true;
}
