/* pump_reply_items.c: the replies that carry messages: as elements, in blocks without a copy, as ranges that the peer
 * is lent, with files. Which of them a peer can be given is judged here, too.
 *
 * Invariants: the room for a reply is known before it is begun, from what kc_reply_item_bytes says of each message; a
 * plain message is settled when its reply is taken, one that is to be acknowledged by its ACK alone.
 */
#include "ipc/kc_pump_reply.h"

#include <string.h>

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
static void kc_put_range(kc_pump *pump, kc_connection *conn, kc_writer *writer, const kc_desc *desc,
                         const kc_body *body)
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
    /* It holds its message until this reply is said. */
    (void)kc_waiter_token_sender(pump->conns.engine, token, &sender);
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
