/* ask.c: requests as frames (kc_client.h). Nothing here talks to anybody.
 *
 * REQ_ID stands first in each frame and is written when the operation begins.
 */
#include <string.h>

#include "client/kc_client.h"
#include "ipc/kc_bytes.h"

kc_ipc_wish kc_ask_wish(const kc_ipc_wish *wish)
{
    return wish != NULL ? *wish : (kc_ipc_wish){.timeout_ms = -1};
}

int kc_ask_check_wish(const kc_ipc_wish *wish, uint32_t flags_known, bool may_expire)
{
    bool known = (wish->flags & ~flags_known) == 0 && (may_expire || wish->ttl_ms == 0) && wish->spare == 0;
    return known ? KC_OK : KC_EINVAL;
}

void kc_ask_writer(kc_writer *writer, kc_ipc_op *op, size_t room)
{
    kc_writer_init(writer, op->out, room, 1, op->ipc->max_frame_bytes);
    kc_frame_begin(writer, op->cmd, (uint8_t)op->file_count);
    kc_put_u32(writer, KC_ATTR_REQ_ID, 0);
}

void kc_ask_timeout(kc_writer *writer, kc_ipc_op *op)
{
    op->timeout_at = (uint32_t)writer->length + KC_ATTR_HEAD_BYTES;
    kc_put_i32(writer, KC_ATTR_TIMEOUT_MS, op->timeout_ms);
}

int kc_ask_finish(kc_writer *writer, kc_ipc_op *op)
{
    int code = kc_frame_finish(writer);
    op->bytes = writer->length;
    return code == KC_ENOSPC ? KC_EMSGSIZE : code;
}

/* --- payloads ----------------------------------------------------------------------------------------------------- */

static bool kc_payload_is_good(const kc_ipc *ipc, const kc_ipc_payload *payload)
{
    if (payload->spare != 0) {
        return false;
    }
    if (payload->loan != NULL) {
        return kc_loan_ipc(payload->loan) == ipc && payload->bytes == NULL && payload->file_count == 0;
    }
    return (payload->bytes != NULL || payload->length == 0) && (payload->files != NULL || payload->file_count == 0) &&
           payload->file_count <= KC_MAX_MESSAGE_FILES;
}

uint64_t kc_ask_payload_bytes(const kc_ipc_payload *payload)
{
    return KC_ATTR_HEAD_BYTES_MAX + (payload->loan != NULL ? KC_MAX_DESC_BYTES : (uint64_t)payload->length);
}

int kc_ask_put_payload(kc_writer *writer, kc_ipc_op *op, const kc_ipc_payload *payload, uint32_t at)
{
    kc_desc_value range;
    if (payload->loan == NULL) {
        kc_put_bytes(writer, KC_ATTR_ELEMENT, payload->bytes, (uint32_t)payload->length);
        return KC_OK;
    }
    if (!kc_client_enter(op->ipc)) {
        return KC_EBADF;
    }
    int code = kc_loan_begin(payload->loan, payload->length, &range);
    kc_client_leave(op->ipc);
    if (code == KC_OK) {
        op->loans[at] = payload->loan;
        uint8_t value[24]; /* a request has no fourth word */
        kc_store_u64(value, range.region);
        kc_store_u64(value + 8, range.offset);
        kc_store_u64(value + 16, range.length);
        kc_put_bytes(writer, KC_ATTR_DESC, value, sizeof value);
    }
    return code;
}

int kc_ask_sum(const kc_ipc *ipc, const kc_ipc_payload *payload, uint64_t *bytes)
{
    if (!kc_payload_is_good(ipc, payload)) {
        return KC_EINVAL;
    }
    if (payload->loan == NULL && payload->length > KC_MAX_ELEMENT_BYTES) {
        return KC_EMSGSIZE;
    }
    *bytes += kc_ask_payload_bytes(payload);
    return *bytes > ipc->max_frame_bytes ? KC_EMSGSIZE : KC_OK;
}

int kc_ask_loans(kc_ipc_op *op, uint32_t count)
{
    op->sent_items = count;
    op->loans = kc_client_take(op->ipc, count * sizeof *op->loans);
    return op->loans != NULL ? KC_OK : KC_ENOMEM;
}

int kc_ask_messages(kc_ipc_op *op, uint32_t max_items)
{
    op->max_items = max_items;
    op->messages = kc_client_take(op->ipc, max_items * sizeof *op->messages);
    return op->messages != NULL ? KC_OK : KC_ENOMEM;
}

/* What was prepared and is not asked: loans are the caller's as before. */
int kc_ask_done(kc_ipc_op *op, int code, kc_ipc_op **op_out)
{
    if (code == KC_OK) {
        *op_out = op;
        return KC_OK;
    }
    if (op->loans != NULL && kc_client_enter(op->ipc)) {
        for (uint32_t i = 0; i < op->sent_items; i++) {
            if (op->loans[i] != NULL) {
                kc_loan_settle(op->loans[i], false, false);
            }
        }
        kc_client_leave(op->ipc);
    }
    kc_op_unmake(op);
    return code;
}

/* --- send --------------------------------------------------------------------------------------------------------- */

static int kc_ask_check_sends(const kc_ipc *ipc, const kc_ipc_payload *payloads, uint32_t count, uint64_t *bytes)
{
    int code = count == 0 || count > KC_MAX_ITEMS ? KC_EINVAL : KC_OK;
    for (uint32_t i = 0; code == KC_OK && i < count; i++) {
        code = kc_ask_sum(ipc, &payloads[i], bytes);
        if (code == KC_OK && count > 1 &&
            (payloads[i].file_count != 0 || (payloads[i].loan == NULL) != (payloads[0].loan == NULL))) {
            code = KC_EINVAL; /* one frame holds bytes or ranges, and files go with one message alone */
        }
    }
    return code;
}

static int kc_ask_put_sends(kc_ipc_op *op, const kc_ipc_payload *payloads, uint32_t count, kc_ipc_wish wish,
                            size_t room)
{
    kc_writer writer;
    int code = kc_op_files(op, payloads[0].files, payloads[0].file_count);
    if (code == KC_OK && payloads[0].loan != NULL) {
        code = kc_ask_loans(op, count);
    }
    kc_ask_writer(&writer, op, room);
    kc_put_u32(&writer, KC_ATTR_CHAN_ID, op->chan->info.chan_id);
    kc_ask_timeout(&writer, op);
    if (op->confirm) {
        kc_put_u32(&writer, KC_ATTR_FLAGS, KC_FLAG_SEND_COMPLETE_ACK);
    }
    if (wish.ttl_ms != 0) {
        kc_put_u32(&writer, KC_ATTR_TTL_MS, wish.ttl_ms);
    }
    for (uint32_t i = 0; code == KC_OK && i < count; i++) {
        code = kc_ask_put_payload(&writer, op, &payloads[i], i);
    }
    int finished = kc_ask_finish(&writer, op);
    return code != KC_OK ? code : finished;
}

int kc_ask_send(kc_ipc_chan *chan, const kc_ipc_payload *payloads, uint32_t count, const kc_ipc_wish *wish,
                kc_ipc_op **op_out)
{
    kc_ipc *ipc = chan->ipc;
    kc_ipc_wish how = kc_ask_wish(wish);
    uint64_t bytes = KC_ASK_HEAD_BYTES;
    int code = kc_ask_check_wish(&how, KC_IPC_CONFIRM, true);
    if (code == KC_OK) {
        code = kc_ask_check_sends(ipc, payloads, count, &bytes);
    }
    if (code != KC_OK) {
        return code;
    }
    kc_ipc_op *op = kc_op_make(ipc, chan, KC_CMD_CHAN_SEND, (size_t)bytes);
    if (op == NULL) {
        return KC_ENOMEM;
    }
    op->timeout_ms = how.timeout_ms;
    op->confirm = (how.flags & KC_IPC_CONFIRM) != 0;
    op->sent_items = count;
    return kc_ask_done(op, kc_ask_put_sends(op, payloads, count, how, (size_t)bytes), op_out);
}

/* --- receive ------------------------------------------------------------------------------------------------------ */

uint32_t kc_ask_recv_flags(uint32_t wished)
{
    return ((wished & KC_IPC_ACK) != 0 ? KC_FLAG_RECV_ACK : 0U) |
           ((wished & KC_IPC_SENDER) != 0 ? KC_FLAG_RECV_SENDER : 0U);
}

static int kc_ask_put_recv(kc_ipc_op *op, uint32_t max_items, bool batch, kc_ipc_wish wish)
{
    kc_writer writer;
    uint32_t flags = kc_ask_recv_flags(wish.flags);
    int code = kc_ask_messages(op, max_items);
    kc_ask_writer(&writer, op, KC_ASK_HEAD_BYTES);
    kc_put_u32(&writer, KC_ATTR_CHAN_ID, op->chan->info.chan_id);
    kc_ask_timeout(&writer, op);
    if (flags != 0) {
        kc_put_u32(&writer, KC_ATTR_FLAGS, flags);
    }
    if (batch) {
        kc_put_u32(&writer, KC_ATTR_MAX_ITEMS, max_items);
    }
    int finished = kc_ask_finish(&writer, op);
    return code != KC_OK ? code : finished;
}

int kc_ask_recv(kc_ipc_chan *chan, uint32_t max_items, bool batch, const kc_ipc_wish *wish, kc_ipc_op **op_out)
{
    kc_ipc_wish how = kc_ask_wish(wish);
    int code = kc_ask_check_wish(&how, KC_IPC_ACK | KC_IPC_SENDER, false);
    if (code != KC_OK || max_items == 0 || max_items > KC_MAX_ITEMS) {
        return KC_EINVAL;
    }
    kc_ipc_op *op = kc_op_make(chan->ipc, chan, KC_CMD_CHAN_RECV, KC_ASK_HEAD_BYTES);
    if (op == NULL) {
        return KC_ENOMEM;
    }
    op->timeout_ms = how.timeout_ms;
    op->acking = (how.flags & KC_IPC_ACK) != 0;
    op->signing = (how.flags & KC_IPC_SENDER) != 0;
    return kc_ask_done(op, kc_ask_put_recv(op, max_items, batch, how), op_out);
}
