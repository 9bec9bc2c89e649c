/* pump_recv.c: RECV and TRY_RECV, one message or a batch, plain or acknowledged.
 *
 * Every message is held by a token: a plain one until the kernel took its reply, an acknowledged one until ACK. A batch
 * waits for its first message only and then takes what is there, so it never parks in the middle. What is there
 * includes the rest of a batch of sends whose element was just taken: its next element parks at once, or a rendezvous
 * would pass one message a round trip.
 */
#include "ipc/kc_pump_parts.h"

_Static_assert((int)KC_ITEM_ACK == (int)KC_FLAG_RECV_ACK && (int)KC_ITEM_SENDER == (int)KC_FLAG_RECV_SENDER,
               "a receive asks for its form by flags");

typedef struct kc_take { /* what one receive may gather */
    kc_chan chan;
    uint32_t items;
    uint64_t limit_bytes; /* of elements: MAX_BYTES, but never less than one message */
    uint32_t form; /* enum kc_item_form */
} kc_take;

static kc_item kc_item_of(const kc_result *result)
{
    return (kc_item){result->token, result->body, result->attempts};
}

static uint32_t kc_recv_flags(uint32_t form)
{
    return KC_OP_HOLD | ((form & KC_ITEM_ACK) != 0 ? (uint32_t)KC_OP_ACK : 0U) |
           ((form & KC_ITEM_SENDER) != 0 ? (uint32_t)KC_OP_SENDER : 0U);
}

/* The message goes back where it was. */
static void kc_recv_return(kc_pump *pump, const kc_connection *conn, kc_token token)
{
    (void)kc_waiter_token_return(pump->conns.engine, conn->scope, token);
}

static bool kc_take_one(kc_pump *pump, const kc_take *take, const kc_op *op, kc_result *result)
{
    int code;
    do {
        code = kc_chan_recv(pump->conns.engine, take->chan, op, NULL, 0, result);
    } while (code == KC_EAGAIN && kc_pump_batches_go_on(pump));
    return code == KC_OK;
}

/* Whether the two may stand in one reply: bytes with bytes, descriptors with descriptors, files alone. */
static bool kc_take_goes_with(kc_pump *pump, const kc_body *first, const kc_body *next)
{
    kc_desc desc;
    bool plain = (first->extra | next->extra) == 0;
    return plain || (kc_body_desc(pump->conns.engine, first, &desc) == KC_OK &&
                     kc_body_desc(pump->conns.engine, next, &desc) == KC_OK);
}

/* Takes more messages behind items[0], until one is not there or does not fit. Returns how many there are. */
static uint32_t kc_take_more(kc_pump *pump, kc_connection *conn, const kc_take *take, uint64_t room)
{
    kc_op op = kc_pump_op(pump, conn, 0, 0, kc_recv_flags(take->form));
    uint64_t bytes = pump->items[0].body.len_bytes;
    uint32_t n = 1;
    kc_result result;
    room -= kc_reply_item_bytes(conn, &pump->items[0].body, take->form);
    while (n < take->items && kc_take_one(pump, take, &op, &result)) {
        uint64_t cost = kc_reply_item_bytes(conn, &result.body, take->form);
        bool fits = cost <= room && bytes + result.body.len_bytes <= take->limit_bytes &&
                    kc_take_goes_with(pump, &pump->items[0].body, &result.body) &&
                    (result.body.extra == 0 || kc_leases_have_room(&pump->conns.memory, &conn->leases, n + 1));
        if (!fits) {
            kc_recv_return(pump, conn, result.token);
            break;
        }
        room -= cost;
        bytes += result.body.len_bytes;
        pump->items[n++] = kc_item_of(&result);
    }
    return n;
}

/* The first message is there. */
static void kc_recv_reply(kc_pump *pump, kc_connection *conn, kc_answer answer, const kc_take *take,
                          const kc_result *first)
{
    if (take->items == 1 && take->form == KC_ITEM_PLAIN && kc_reply_usual(pump, conn, answer.req_id, first)) {
        return;
    }
    kc_refusal refusal = {0};
    int code = kc_reply_can_carry(pump, conn, &first->body, take->form, &refusal);
    if (code != KC_OK) {
        kc_recv_return(pump, conn, first->token);
        kc_reply_refusal(pump, conn, answer, code, &refusal);
        return;
    }
    pump->items[0] = kc_item_of(first);
    uint32_t n = kc_take_more(pump, conn, take, kc_reply_item_room(conn));
    kc_reply_items(pump, conn, answer, pump->items, n, take->form);
}

static int kc_recv_judge(const kc_connection *conn, const kc_request *request)
{
    if (conn->minor == 0) {
        return KC_OK;
    }
    bool batch = (request->present & KC_HAS_MAX_ITEMS) != 0;
    bool known = (request->flags & ~(uint32_t)KC_FLAG_RECV_ALL) == 0;
    bool counted = !batch || (request->max_items != 0 && request->max_items <= KC_MAX_ITEMS);
    return known && counted ? KC_OK : KC_EINVAL;
}

static kc_take kc_recv_wish(const kc_connection *conn, const kc_request *request, kc_chan chan)
{
    kc_take take = {.chan = chan, .items = 1, .limit_bytes = UINT32_MAX};
    if (conn->minor == 0) {
        return take;
    }
    take.form = request->flags; /* judged: the same bits */
    if ((request->present & KC_HAS_MAX_ITEMS) != 0) {
        take.items = request->max_items;
    }
    if ((request->present & KC_HAS_MAX_BYTES) != 0 && request->max_bytes < UINT32_MAX) {
        take.limit_bytes = request->max_bytes;
    }
    return take;
}

static void kc_recv_park(kc_connection *conn, uint32_t req_id, const kc_take *take, kc_token token)
{
    kc_pending *pending = kc_pump_park(conn, req_id, KC_PENDING_RECV, token);
    pending->more.take.items = take->items;
    pending->more.take.limit_bytes = (uint32_t)take->limit_bytes;
}

void kc_pump_recv(kc_pump *pump, kc_connection *conn, kc_inbound *frame)
{
    const kc_request *request = &frame->request;
    kc_answer answer = kc_answer_to(request->cmd, request->req_id);
    const kc_handle *handle;
    kc_result result;
    uint32_t slot;
    if (request->deliveries.count != 0 && conn->minor != 0) {
        (void)kc_pump_settle_deliveries(pump, conn, request, false); /* done before it starts, whatever becomes of it */
    }
    if (!kc_pump_granted(pump, conn, frame, KC_RIGHT_READ, &handle)) {
        return;
    }
    if (kc_recv_judge(conn, request) != KC_OK) {
        kc_reply_plain(pump, conn, answer, KC_EINVAL);
        return;
    }
    if (!kc_pump_reserve(pump, conn, request, &slot)) {
        return;
    }
    kc_take take = kc_recv_wish(conn, request, handle->chan);
    int32_t timeout_ms = request->cmd == KC_CMD_CHAN_TRY_RECV ? 0 : request->timeout_ms;
    kc_op op = kc_pump_op(pump, conn, slot, timeout_ms, kc_recv_flags(take.form));
    int code = kc_chan_recv(pump->conns.engine, take.chan, &op, NULL, 0, &result);
    if (code == KC_OK) {
        kc_recv_reply(pump, conn, answer, &take, &result);
    } else if (code == KC_PARKED) {
        kc_recv_park(conn, request->req_id, &take, result.token);
    } else {
        kc_reply_error(pump, conn, answer, code, &result);
    }
}

void kc_pump_recv_usual(kc_pump *pump, kc_connection *conn, const kc_usual *usual)
{
    kc_op op = kc_pump_op(pump, conn, usual->slot, usual->timeout_ms, KC_OP_HOLD);
    kc_result result;
    int code = kc_chan_recv(pump->conns.engine, usual->chan, &op, NULL, 0, &result);
    if (code == KC_OK && kc_reply_usual(pump, conn, usual->req_id, &result)) {
        return;
    }
    const kc_take take = {.chan = usual->chan, .items = 1, .limit_bytes = UINT32_MAX};
    kc_answer answer = {.cmd = KC_CMD_CHAN_RECV, .req_id = usual->req_id, .index = -1};
    if (code == KC_OK) {
        kc_recv_reply(pump, conn, answer, &take, &result);
    } else if (code == KC_PARKED) {
        kc_recv_park(conn, usual->req_id, &take, result.token);
    } else {
        kc_reply_error(pump, conn, answer, code, &result);
    }
}

void kc_pump_recv_result(kc_pump *pump, kc_connection *conn, uint32_t slot, kc_result *result)
{
    const kc_pending *pending = &conn->pendings.slots[slot];
    kc_answer answer = kc_answer_to(KC_CMD_CHAN_RECV, pending->req_id);
    kc_take take = {.chan = result->chan, .items = pending->more.take.items,
                    .limit_bytes = pending->more.take.limit_bytes, .form = kc_item_form_of(result)};
    if (result->code == KC_OK) {
        kc_recv_reply(pump, conn, answer, &take, result);
    } else {
        kc_reply_error(pump, conn, answer, result->code, result);
    }
    kc_pump_done(pump, conn, slot);
}
