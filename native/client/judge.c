/* judge.c: what a frame of the daemon's means, and whether it may (kc_client.h).
 *
 * Nothing of it is trusted: what answers no request, answers it with what was not asked, or names memory and files that
 * are not there is KC_EPROTO, the end of this connection and of nothing else.
 */
#include "client/kc_client.h"

static bool kc_judge_bit(uint64_t bits, uint32_t at)
{
    return at < 64 && (bits >> at & 1) != 0;
}

/* --- messages ----------------------------------------------------------------------------------------------------- */

typedef struct kc_wanted { /* of the receive that is answered */
    bool ack;
    bool sender;
} kc_wanted;

static int kc_judge_body(kc_ipc *ipc, const kc_attr *attr, kc_ipc_message *message)
{
    kc_desc_value range;
    if (attr->type == KC_ATTR_ELEMENT) {
        message->bytes = attr->value;
        message->length = attr->length;
        return KC_OK;
    }
    return kc_desc_read(attr, &range) ? kc_mapping_lend(ipc, &range, message) : KC_EPROTO;
}

static int kc_judge_item_attr(kc_ipc *ipc, const kc_attr *attr, kc_ipc_message *message, uint32_t *bodies)
{
    switch (attr->type) {
    case KC_ATTR_ELEMENT:
    case KC_ATTR_DESC:
        ++*bodies;
        return *bodies == 1 ? kc_judge_body(ipc, attr, message) : KC_EPROTO;
    case KC_ATTR_DELIVERY_ID: message->delivery = kc_attr_u64(attr); break;
    case KC_ATTR_REDELIVERED: message->attempts = kc_attr_u32(attr); break;
    case KC_ATTR_SENDER_UID: message->sender_uid = kc_attr_u32(attr); break;
    case KC_ATTR_SENDER_PID: message->sender_pid = kc_attr_u32(attr); break;
    default: break;
    }
    return KC_OK;
}

static int kc_judge_item(kc_ipc *ipc, const kc_attr *item, kc_wanted wanted, kc_ipc_message *message)
{
    kc_attr_cursor cursor;
    kc_attr attr;
    uint32_t bodies = 0;
    int code;
    kc_attr_cursor_nested(&cursor, item, 1);
    while ((code = kc_attr_next(&cursor, &attr)) == KC_OK) {
        code = kc_judge_item_attr(ipc, &attr, message, &bodies);
        if (code != KC_OK) {
            return code;
        }
    }
    if (code == KC_FRAME_DONE) {
        code = bodies == 1 && wanted.ack == (message->delivery != 0) ? KC_OK : KC_EPROTO;
    }
    return code;
}

static int kc_judge_message(kc_ipc *ipc, kc_ipc_op *op, const kc_attr *attr, kc_wanted wanted)
{
    if (attr->type != KC_ATTR_ELEMENT && attr->type != KC_ATTR_DESC && attr->type != KC_ATTR_ITEM) {
        return KC_OK;
    }
    bool as_item = wanted.ack || wanted.sender;
    if (op->message_count == op->max_items || as_item != (attr->type == KC_ATTR_ITEM)) {
        return KC_EPROTO;
    }
    kc_ipc_message *message = &op->messages[op->message_count++];
    message->sender_uid = KC_NOBODY;
    return as_item ? kc_judge_item(ipc, attr, wanted, message) : kc_judge_body(ipc, attr, message);
}

/* Each message that is told keeps the frame; of one that is not, nothing is left. */
static void kc_judge_unlend(kc_ipc *ipc, kc_ipc_op *op)
{
    for (uint32_t i = 0; i < op->message_count; i++) {
        if (op->messages[i].mapping != NULL) {
            kc_mapping_drop(ipc, op->messages[i].mapping);
            ipc->leases--;
        }
        op->messages[i] = (kc_ipc_message){0};
    }
    op->message_count = 0;
}

static int kc_judge_messages(kc_ipc *ipc, kc_ipc_op *op, kc_client_frame *frame, kc_wanted wanted)
{
    kc_attr_cursor cursor;
    kc_attr attr;
    int code = KC_OK;
    kc_attr_cursor_init(&cursor, frame->payload, frame->header.length, 1, 0);
    while (code == KC_OK && kc_attr_next(&cursor, &attr) == KC_OK) {
        code = kc_judge_message(ipc, op, &attr, wanted);
    }
    if (code == KC_OK && (op->message_count == 0 || (frame->file_count != 0 && op->message_count != 1))) {
        code = KC_EPROTO;
    }
    if (code != KC_OK) {
        kc_judge_unlend(ipc, op);
        return code;
    }
    for (uint32_t i = 0; i < op->message_count; i++) {
        op->messages[i].frame = frame;
        op->messages[i].files = frame->files;
        op->messages[i].file_count = frame->file_count;
    }
    atomic_fetch_add_explicit(&frame->refs, op->message_count, memory_order_relaxed);
    return KC_OK;
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

static bool kc_judge_has_message(const kc_client_frame *frame, const kc_reply *reply)
{
    return reply->elements + reply->items + reply->descs + frame->file_count != 0;
}

static int kc_judge_send(const kc_ipc_op *op, const kc_reply *reply)
{
    uint32_t count = (reply->seen & KC_REPLY_COUNT) != 0 ? reply->count : op->sent_items == 1 ? 1 : 0;
    return count >= 1 && count <= op->sent_items && reply->dropped <= count ? KC_OK : KC_EPROTO;
}

static int kc_judge_select(kc_ipc *ipc, kc_ipc_op *op, kc_client_frame *frame, const kc_reply *reply)
{
    if (reply->index >= op->sent_items) {
        return KC_EPROTO;
    }
    if (!kc_judge_bit(op->receiving, reply->index)) {
        return kc_judge_has_message(frame, reply) ? KC_EPROTO : KC_OK;
    }
    kc_wanted wanted = {kc_judge_bit(op->acking, reply->index), kc_judge_bit(op->signing, reply->index)};
    return kc_judge_messages(ipc, op, frame, wanted);
}

static int kc_judge_success(kc_ipc *ipc, kc_ipc_op *op, kc_client_frame *frame, const kc_reply *reply)
{
    if (op->cmd == KC_CMD_CHAN_RECV) {
        return kc_judge_messages(ipc, op, frame, (kc_wanted){op->acking != 0, op->signing != 0});
    }
    if (op->cmd == KC_CMD_SELECT) {
        return kc_judge_select(ipc, op, frame, reply);
    }
    if (kc_judge_has_message(frame, reply)) {
        return KC_EPROTO;
    }
    switch (op->cmd) {
    case KC_CMD_CHAN_SEND: return kc_judge_send(op, reply);
    case KC_CMD_CHAN_MAKE:
    case KC_CMD_CHAN_OPEN: return reply->chan_id != 0 ? KC_OK : KC_EPROTO;
    case KC_CMD_CHAN_PURGE: return (reply->seen & KC_REPLY_COUNT) != 0 ? KC_OK : KC_EPROTO;
    case KC_CMD_GET_STATS: return reply->numbers.length % 8 == 0 && reply->numbers.length != 0 ? KC_OK : KC_EPROTO;
    case KC_CMD_REGION_ADD: return reply->region != 0 ? KC_OK : KC_EPROTO;
    default: return KC_OK;
    }
}

/* Also by a call that has not come to its wait yet: another thread may read the answer first. */
static bool kc_judge_is_awaited(const kc_ipc_op *op)
{
    return op->awaited || op->waiter != NULL;
}

/* Whether there is room for what nobody takes yet; one answer alone may be longer than the bound, as a request may.
 * Whoever waits takes it at once: however fast they come, an honest daemon's answers are not too many. */
static int kc_judge_room(kc_ipc *ipc, const kc_ipc_op *op, const kc_client_frame *frame)
{
    uint64_t bytes = ipc->answer_bytes + frame->header.length;
    bool fits = kc_judge_is_awaited(op) || ipc->answer_bytes == 0 || bytes <= ipc->max_answer_bytes;
    return fits ? KC_OK
                : kc_client_excess(ipc, "answers nobody waits for", bytes, "max_answer_bytes", ipc->max_answer_bytes);
}

static void kc_judge_keep(kc_ipc *ipc, kc_ipc_op *op, kc_client_frame *frame, const kc_reply *reply)
{
    op->reply = *reply;
    op->reply_frame = frame;
    op->answer_bytes = kc_judge_is_awaited(op) ? 0 : frame->header.length;
    ipc->answer_bytes += op->answer_bytes;
    atomic_fetch_add_explicit(&frame->refs, 1, memory_order_relaxed);
    kc_op_end(op, reply->result);
}

/* A refusal brings no message, settles nothing, and blames a clause that was asked for. */
static bool kc_judge_refuses(const kc_ipc_op *op, const kc_client_frame *frame, const kc_reply *reply)
{
    bool clause = (reply->seen & KC_REPLY_INDEX) == 0 || reply->index < op->sent_items;
    bool settles = (reply->seen & KC_REPLY_COUNT) != 0 && reply->count != 0;
    return !kc_judge_has_message(frame, reply) && (op->cmd != KC_CMD_SELECT || clause) &&
           (op->cmd != KC_CMD_CHAN_SEND || !(settles || reply->dropped != 0));
}

static int kc_judge_answer(kc_ipc *ipc, kc_client_frame *frame, const kc_reply *reply)
{
    kc_ipc_op *op = ipc->table[reply->req_id & ipc->table_mask];
    if (op == NULL || op->req_id != reply->req_id || op->cmd != frame->header.cmd || op->stage == KC_OP_QUEUED ||
        (reply->seen & KC_REPLY_RESULT) == 0 || reply->result > 0) {
        return KC_EPROTO;
    }
#if KC_MUTANT == 52 /* a daemon may answer what nobody waits for without end */
    int code = KC_OK;
#else
    int code = kc_judge_room(ipc, op, frame);
#endif
    if (code == KC_OK && reply->result == KC_OK) {
        code = kc_judge_success(ipc, op, frame, reply);
    } else if (code == KC_OK && !kc_judge_refuses(op, frame, reply)) {
        code = KC_EPROTO;
    }
    if (code == KC_OK) {
        kc_judge_keep(ipc, op, frame, reply);
    }
    return code;
}

/* --- notices, greetings, last words ------------------------------------------------------------------------------- */

static int kc_judge_freed(kc_ipc *ipc, const kc_client_frame *frame)
{
    kc_attr_cursor cursor;
    kc_attr attr;
    kc_desc_value range;
    kc_attr_cursor_init(&cursor, frame->payload, frame->header.length, 1, 0);
    while (kc_attr_next(&cursor, &attr) == KC_OK) {
        if (attr.type != KC_ATTR_DESC) {
            continue;
        }
        if (!kc_desc_read(&attr, &range)) {
            return KC_EPROTO;
        }
        kc_region_freed(ipc, &range);
    }
    return KC_OK;
}

static int kc_judge_notice(kc_ipc *ipc, kc_client_frame *frame, const kc_reply *reply)
{
    switch (frame->header.cmd) {
    case KC_CMD_REGION_MAP: return kc_mapping_add(ipc, frame, reply);
    case KC_CMD_REGION_FREED: return frame->file_count == 0 ? kc_judge_freed(ipc, frame) : KC_EPROTO;
    case KC_CMD_REGION_GONE:
        if (frame->file_count != 0 || reply->region == 0) {
            return KC_EPROTO;
        }
        kc_mapping_gone(ipc, reply->region);
        return KC_OK;
    default: return KC_EPROTO;
    }
}

static int kc_judge_greeting(kc_ipc *ipc, const kc_client_frame *frame, const kc_reply *reply)
{
    if (frame->header.cmd != KC_CMD_HELLO || frame->file_count != 0 || reply->req_id != 0) {
        return KC_EPROTO;
    }
    if (reply->major != KC_ABI_MAJOR || reply->minor != KC_ABI_MINOR) {
        return KC_EPROTONOSUPPORT;
    }
    if ((reply->seen & KC_REPLY_MAX_FRAME) != 0 && reply->max_frame < ipc->max_frame_bytes) {
        ipc->max_frame_bytes = reply->max_frame;
    }
    ipc->caps = reply->caps;
    kc_op_end(ipc->greeting, KC_OK);
    return KC_OK;
}

int kc_judge(kc_ipc *ipc, kc_client_frame *frame)
{
    kc_reply reply;
    int code = kc_reply_read(frame, &reply);
    if (code != KC_OK) {
        return code;
    }
    if ((reply.seen & KC_REPLY_REQ_ID) != 0 && reply.req_id != 0) {
        return ipc->greeting != NULL ? KC_EPROTO : kc_judge_answer(ipc, frame, &reply);
    }
    if ((reply.seen & KC_REPLY_RESULT) != 0) {
        if (reply.result >= 0) {
            return KC_EPROTO;
        }
        kc_reply_text(ipc->why, &reply.reason);
        return reply.result;
    }
    return ipc->greeting != NULL ? kc_judge_greeting(ipc, frame, &reply) : kc_judge_notice(ipc, frame, &reply);
}
