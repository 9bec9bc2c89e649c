/* op.c: one operation made and begun (kc_client_op.h); how it ends stands in op_end.c, how it is told in op_tell.c. */
#include <errno.h>
#include <fcntl.h>

#include "client/kc_client.h"
#include "ipc/kc_bytes.h"

int64_t kc_op_deadline(int32_t timeout_ms, int64_t extra_ns)
{
    return timeout_ms < 0 ? INT64_MAX : kc_client_now_ns() + (int64_t)timeout_ms * 1000000 + extra_ns;
}

int32_t kc_op_left_ms(int64_t deadline_ns, int32_t timeout_ms)
{
    int64_t left_ns = deadline_ns - kc_client_now_ns();
    if (timeout_ms <= 0) {
        return timeout_ms;
    }
    return left_ns < 1000000 ? 1 : (int32_t)((left_ns + 999999) / 1000000);
}

/* --- making ------------------------------------------------------------------------------------------------------- */

kc_ipc_op *kc_op_make(kc_ipc *ipc, kc_ipc_chan *chan, uint16_t cmd, size_t out_bytes)
{
    kc_ipc_op *op = kc_client_take(ipc, sizeof *op);
    if (op == NULL) {
        return NULL;
    }
    op->out = ipc->memory.take(ipc->memory.self, out_bytes);
    if (op->out == NULL) {
        kc_client_give(ipc, op);
        return NULL;
    }
    op->ipc = ipc;
    op->chan = chan;
    op->cmd = cmd;
    op->deadline_ns = INT64_MAX;
    kc_link_init(&op->link);
    kc_client_keep(ipc);
    return op;
}

static void kc_op_give_messages(kc_ipc_op *op)
{
    for (uint32_t i = 0; i < op->message_count; i++) {
        kc_ipc_message_free(&op->messages[i]);
    }
    kc_client_give(op->ipc, op->messages);
    op->messages = NULL;
    op->message_count = 0;
}

void kc_op_unmake(kc_ipc_op *op)
{
    if (op == NULL) {
        return;
    }
    kc_ipc *ipc = op->ipc;
    kc_op_give_messages(op);
    kc_client_close_files(op->files, op->file_count);
    kc_client_frame_drop(op->reply_frame);
    kc_client_give(ipc, op->loans);
    kc_client_give(ipc, op->out);
    kc_client_give(ipc, op);
    kc_client_drop(ipc);
}

/* Copies: the caller may close its own as soon as the call is over. */
int kc_op_files(kc_ipc_op *op, const int *files, uint32_t count)
{
    if (count > KC_MAX_MESSAGE_FILES) {
        return KC_EINVAL;
    }
    if (op->file_count + count > KC_MAX_FILES) {
        return KC_EINVAL;
    }
    for (uint32_t i = 0; i < count; i++) {
        int copy = fcntl(files[i], F_DUPFD_CLOEXEC, 0);
        if (copy < 0) {
            return errno == EBADF ? KC_EINVAL : KC_ENOMEM;
        }
        op->files[op->file_count++] = copy;
    }
    return KC_OK;
}

/* --- beginning ---------------------------------------------------------------------------------------------------- */

/* Ids differ in the bits of the smaller table, so they do in those of the larger one. */
static int kc_op_grow(kc_ipc *ipc)
{
    uint32_t places = (ipc->table_mask + 1) * 2;
    kc_ipc_op **table = places > KC_CLIENT_PLACES_MAX ? NULL : kc_client_take(ipc, places * sizeof(kc_ipc_op *));
    if (table == NULL) {
        return places > KC_CLIENT_PLACES_MAX ? KC_EAGAIN : KC_ENOMEM;
    }
    for (uint32_t i = 0; i <= ipc->table_mask; i++) {
        if (ipc->table[i] != NULL) {
            table[ipc->table[i]->req_id & (places - 1)] = ipc->table[i];
        }
    }
    kc_client_give(ipc, ipc->table);
    ipc->table = table;
    ipc->table_mask = places - 1;
    return KC_OK;
}

static int kc_op_find_place(kc_ipc *ipc, uint32_t *id_out)
{
    int code = ipc->under_way <= ipc->table_mask ? KC_OK : kc_op_grow(ipc);
    if (code == KC_OK) {
        do {
            ipc->last_id = ipc->last_id == UINT32_MAX ? 1 : ipc->last_id + 1;
        } while (ipc->table[ipc->last_id & ipc->table_mask] != NULL);
        *id_out = ipc->last_id;
    }
    return code;
}

static void kc_op_enter(kc_ipc *ipc, kc_ipc_op *op)
{
    kc_store_u32(op->out + KC_CLIENT_REQ_ID_AT, op->req_id);
    ipc->table[op->req_id & ipc->table_mask] = op;
    ipc->under_way++;
    if (op->chan != NULL) {
        op->chan->refs++;
    }
    op->stage = KC_OP_QUEUED;
    kc_due_set(ipc, &op->due, op->deadline_ns);
    kc_output_queue(ipc, op);
}

static int kc_op_room(kc_ipc *ipc, kc_ipc_op *op, bool counted, bool may_wait)
{
    if (!counted) {
        return KC_OK;
    }
    op->counted = kc_credit_try(ipc, op->chan, op->bytes);
    if (op->counted) {
        return KC_OK;
    }
    if (!may_wait || op->timeout_ms == 0) {
        return KC_EAGAIN;
    }
    int code = kc_credit_wait(ipc, op, op->deadline_ns);
    op->counted = code == KC_OK;
    return code;
}

static int kc_op_start(kc_ipc *ipc, kc_ipc_op *op, bool counted, bool may_wait)
{
    if (ipc->ended != KC_OK) {
        return ipc->ended;
    }
    int code = op->cancelled ? KC_ECANCELED : kc_op_room(ipc, op, counted, may_wait);
    if (code == KC_OK && ipc->ended != KC_OK) {
        code = ipc->ended;
    }
    if (code == KC_OK && op->cancelled) {
        code = KC_ECANCELED; /* after room was granted, before it was told */
    }
    if (code == KC_OK) {
        code = kc_op_find_place(ipc, &op->req_id);
    }
    if (code != KC_OK && op->counted) {
        kc_credit_give(ipc, op->chan, op->bytes);
    }
    return code;
}

/* What tries leaves at once or not at all. */
static void kc_op_try(kc_ipc *ipc, kc_ipc_op *op)
{
#if KC_MUTANT != 66 /* what tries waits for room in the socket */
    if (op->timeout_ms == 0 && !ipc->deaf && kc_output_forget(ipc, op)) {
        kc_op_end(op, KC_EAGAIN);
    }
#endif
}

int kc_op_begin(kc_ipc_op *op, bool counted, bool may_wait)
{
    kc_ipc *ipc = op->ipc;
    if (!kc_client_enter(ipc)) {
        return KC_EBADF;
    }
    op->deadline_ns = kc_op_deadline(op->timeout_ms, op->timeout_ms == 0 ? ipc->grace_ns : 0);
    op->awaited = may_wait;
    kc_ipc_chan *chan = op->chan;
    if (chan != NULL) {
        chan->refs++; /* its handle may be freed while this waits for room */
    }
    int code = kc_op_start(ipc, op, counted, may_wait);
    if (code == KC_OK) {
        kc_op_enter(ipc, op);
        kc_output_move(ipc);
        kc_op_try(ipc, op);
    } else {
        kc_op_settle(op, code);
    }
    if (chan != NULL) {
        kc_chan_left(chan);
    }
    kc_client_leave(ipc);
    return code;
}

int kc_op_launch(kc_ipc_op *op)
{
    op->deadline_ns = kc_op_deadline(op->timeout_ms, 0);
    int code = kc_op_start(op->ipc, op, false, false);
    if (code == KC_OK) {
        kc_op_enter(op->ipc, op);
    }
    return code;
}
