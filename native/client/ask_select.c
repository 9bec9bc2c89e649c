/* ask_select.c: a select as a frame (kc_client.h). */
#include "client/kc_client.h"

static bool kc_clause_is_good(const kc_ipc *ipc, const kc_ipc_clause *clause)
{
    uint32_t known = clause->payload == NULL ? (uint32_t)(KC_IPC_ACK | KC_IPC_SENDER) : 0;
    return clause->chan != NULL && clause->chan->ipc == ipc && (clause->flags & ~known) == 0 && clause->spare == 0;
}

static int kc_ask_check_clauses(const kc_ipc *ipc, const kc_ipc_clause *clauses, uint32_t count, uint64_t *bytes)
{
    int code = count == 0 || count > KC_MAX_CLAUSES ? KC_EINVAL : KC_OK;
    for (uint32_t i = 0; code == KC_OK && i < count; i++) {
        if (!kc_clause_is_good(ipc, &clauses[i])) {
            code = KC_EINVAL;
        } else if (clauses[i].payload != NULL) {
            code = kc_ask_sum(ipc, clauses[i].payload, bytes);
        }
        *bytes += KC_ATTR_HEAD_BYTES_MAX + 4 * 8;
    }
    return code;
}

static void kc_ask_note_clause(kc_ipc_op *op, const kc_ipc_clause *clause, uint32_t at)
{
    uint64_t bit = UINT64_C(1) << at;
    if (clause->payload == NULL) {
        op->receiving |= bit;
        op->acking |= (clause->flags & KC_IPC_ACK) != 0 ? bit : 0;
        op->signing |= (clause->flags & KC_IPC_SENDER) != 0 ? bit : 0;
    }
}

static int kc_ask_put_clause(kc_writer *writer, kc_ipc_op *op, const kc_ipc_clause *clause, uint32_t at)
{
    int code = KC_OK;
    uint32_t flags = clause->payload == NULL ? kc_ask_recv_flags(clause->flags) : 0;
    uint64_t expected = 3 * 8 + (clause->payload != NULL ? kc_ask_payload_bytes(clause->payload) : 0);
    kc_nested_begin(writer, KC_ATTR_CLAUSE, (uint32_t)expected);
    kc_put_u32(writer, KC_ATTR_CHAN_ID, clause->chan->info.chan_id);
    if (flags != 0) {
        kc_put_u32(writer, KC_ATTR_FLAGS, flags);
    }
    if (clause->payload != NULL) {
        code = kc_ask_put_payload(writer, op, clause->payload, at);
        if (clause->payload->file_count != 0) {
            kc_put_u32(writer, KC_ATTR_FILES, clause->payload->file_count);
        }
    }
    kc_nested_end(writer);
    kc_ask_note_clause(op, clause, at);
    return code;
}

static int kc_ask_put_select(kc_ipc_op *op, const kc_ipc_clause *clauses, uint32_t count, kc_ipc_wish wish,
                             size_t room)
{
    kc_writer writer;
    int code = kc_ask_loans(op, count);
    if (code == KC_OK) {
        code = kc_ask_messages(op, 1);
    }
    for (uint32_t i = 0; code == KC_OK && i < count; i++) {
        const kc_ipc_payload *payload = clauses[i].payload;
        code = payload == NULL ? KC_OK : kc_op_files(op, payload->files, payload->file_count);
    }
    kc_ask_writer(&writer, op, room);
    kc_ask_timeout(&writer, op);
    if ((wish.flags & KC_IPC_BIASED) != 0) {
        kc_put_u32(&writer, KC_ATTR_FLAGS, KC_FLAG_SELECT_BIASED);
    }
    for (uint32_t i = 0; code == KC_OK && i < count; i++) {
        code = kc_ask_put_clause(&writer, op, &clauses[i], i);
    }
    int finished = kc_ask_finish(&writer, op);
    return code != KC_OK ? code : finished;
}

int kc_ask_select(kc_ipc *ipc, const kc_ipc_clause *clauses, uint32_t count, const kc_ipc_wish *wish,
                  kc_ipc_op **op_out)
{
    kc_ipc_wish how = kc_ask_wish(wish);
    uint64_t bytes = KC_ASK_HEAD_BYTES;
    int code = kc_ask_check_wish(&how, KC_IPC_BIASED, false);
    if (code == KC_OK) {
        code = kc_ask_check_clauses(ipc, clauses, count, &bytes);
    }
    if (code != KC_OK) {
        return code;
    }
    kc_ipc_op *op = kc_op_make(ipc, NULL, KC_CMD_SELECT, (size_t)bytes);
    if (op == NULL) {
        return KC_ENOMEM;
    }
    op->timeout_ms = how.timeout_ms;
    return kc_ask_done(op, kc_ask_put_select(op, clauses, count, how, (size_t)bytes), op_out);
}
