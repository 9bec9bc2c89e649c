/* output.c: what leaves a connection (kc_client.h): one frame at a time, from each lane in turn.
 *
 * A lane is a channel's queue of requests, or that of the requests of no channel; each in turn gives one frame, so a
 * channel with a thousand requests delays another's by one frame. Notes (CANCEL, RELEASE: frames without an answer) go
 * before the next request, always after the request that they speak of.
 */
#include "client/kc_client.h"
#include "ipc/kc_bytes.h"

enum { KC_OUTPUT_RETRY_NS = 10000000 };

void kc_output_queue(kc_ipc *ipc, kc_ipc_op *op)
{
    kc_lane *lane = op->chan != NULL ? &op->chan->lane : &ipc->own;
    if (kc_link_empty(&lane->ops)) {
        kc_link_append(&ipc->lanes, &lane->link);
    }
    kc_link_append(&lane->ops, &op->link);
}

static kc_ipc_op *kc_output_next(kc_ipc *ipc)
{
    if (kc_link_empty(&ipc->lanes)) {
        return NULL;
    }
    kc_lane *lane = KC_LINK_OWNER(ipc->lanes.next, kc_lane, link);
    kc_ipc_op *op = KC_LINK_OWNER(lane->ops.next, kc_ipc_op, link);
    kc_link_remove(&op->link);
    kc_link_remove(&lane->link);
    if (!kc_link_empty(&lane->ops)) {
        kc_link_append(&ipc->lanes, &lane->link);
    }
    return op;
}

bool kc_output_forget(kc_ipc *ipc, kc_ipc_op *op)
{
    if (op->stage != KC_OP_QUEUED) {
        return false;
    }
    if (ipc->current == op) {
        kc_client_give(ipc, ipc->out_memory);
        ipc->out_memory = NULL;
        ipc->out = NULL;
        ipc->current = NULL;
        return true;
    }
    kc_lane *lane = op->chan != NULL ? &op->chan->lane : &ipc->own;
    kc_link_remove(&op->link);
    if (kc_link_empty(&lane->ops)) {
        kc_link_remove(&lane->link);
    }
    return true;
}

/* --- notes -------------------------------------------------------------------------------------------------------- */

static void kc_note_cancels(kc_ipc *ipc, kc_writer *writer)
{
    while (!kc_link_empty(&ipc->cancels)) {
        kc_ipc_op *op = KC_LINK_OWNER(ipc->cancels.next, kc_ipc_op, link);
        kc_frame_begin(writer, KC_CMD_CANCEL, 0);
        kc_put_u32(writer, KC_ATTR_REQ_ID, op->req_id);
        if (kc_frame_finish(writer) != KC_OK) {
            return; /* the buffer is full: the next note goes on */
        }
        op->cancel_owed = false;
        kc_link_remove(&op->link);
    }
}

static void kc_note_leases(kc_ipc *ipc, kc_writer *writer)
{
    enum { EACH_BYTES = KC_ATTR_HEAD_BYTES + 8 };
    size_t room = writer->capacity - writer->length;
    size_t most = room < KC_FRAME_HEADER_BYTES ? 0 : (room - KC_FRAME_HEADER_BYTES) / EACH_BYTES;
    uint32_t count = ipc->owed_count < most ? ipc->owed_count : (uint32_t)most;
    if (count == 0) {
        return;
    }
    kc_frame_begin(writer, KC_CMD_RELEASE, 0);
    for (uint32_t i = 0; i < count; i++) {
        kc_put_u64(writer, KC_ATTR_LEASE_ID, ipc->owed[ipc->owed_count - 1 - i]);
    }
    kc_frame_finish(writer);
    ipc->owed_count -= count;
}

static bool kc_output_take_note(kc_ipc *ipc)
{
    kc_writer writer;
    if (kc_link_empty(&ipc->cancels) && ipc->owed_count == 0) {
        return false;
    }
    kc_writer_init(&writer, ipc->note, sizeof ipc->note, 1, KC_CLIENT_NOTE_BYTES);
    kc_note_cancels(ipc, &writer);
    kc_note_leases(ipc, &writer);
    ipc->current = NULL;
    ipc->out = ipc->note;
    ipc->out_at = 0;
    ipc->out_length = writer.length;
    return true;
}

/* --- frames ------------------------------------------------------------------------------------------------------- */

static bool kc_output_take_frame(kc_ipc *ipc)
{
    kc_ipc_op *op = kc_output_next(ipc);
    if (op == NULL) {
        return false;
    }
    ipc->current = op;
    ipc->out_memory = op->out;
    ipc->out = op->out;
    ipc->out_at = 0;
    ipc->out_length = (size_t)op->bytes;
    op->out = NULL;
    return true;
}

static void kc_output_done(kc_ipc *ipc)
{
    kc_client_give(ipc, ipc->out_memory);
    ipc->out_memory = NULL;
    ipc->out = NULL;
    ipc->current = NULL;
    ipc->frames_out++;
}

/* Of its time the daemon is told what is left when it begins to leave. */
static void kc_output_stamp(kc_ipc *ipc, const kc_ipc_op *op)
{
    if (op->timeout_ms > 0 && op->timeout_at != 0) {
        kc_store_u32(ipc->out_memory + op->timeout_at, (uint32_t)kc_op_left_ms(op->deadline_ns, op->timeout_ms));
    }
}

/* However slowly the rest follows, its answer is due by then. */
static void kc_output_begun(kc_ipc *ipc, kc_ipc_op *op)
{
    if (op != ipc->greeting && op->timeout_ms > 0) { /* a try's has the grace in it */
        op->deadline_ns += ipc->grace_ns;
        kc_due_set(ipc, &op->due, op->deadline_ns);
    }
}

static void kc_output_advance(kc_ipc *ipc, size_t taken)
{
    kc_ipc_op *op = ipc->current;
    ipc->out_at += taken;
    if (op != NULL) {
        kc_client_close_files(op->files, op->file_count);
        op->file_count = 0;
        if (op->stage == KC_OP_QUEUED) {
            kc_output_begun(ipc, op);
        }
#if KC_MUTANT == 51 /* each byte that leaves gives its request the whole time anew */
        op->deadline_ns = kc_op_deadline(op->timeout_ms, ipc->grace_ns);
        kc_due_set(ipc, &op->due, op->deadline_ns);
#endif
        op->stage = ipc->out_at == ipc->out_length ? KC_OP_SENT : KC_OP_LEAVING;
    }
    if (ipc->out_at == ipc->out_length) {
        kc_output_done(ipc);
    }
}

static void kc_output_fail(kc_ipc *ipc, int code)
{
    kc_ipc_op *op = ipc->current;
    if (code == KC_EINVAL && op != NULL && ipc->out_at == 0 && op->file_count != 0) {
        kc_output_forget(ipc, op);
        kc_op_end(op, KC_EINVAL);
        return;
    }
    ipc->deaf = true;
    kc_client_call(ipc); /* to read what is there still, and end */
}

static void kc_output_watch(kc_ipc *ipc, bool output)
{
    if (ipc->watching_output != output) {
        ipc->watching_output = output;
        if (ipc->transport.watch(ipc->link, ipc->epoll, output) != KC_OK) {
            ipc->deaf = true; /* nobody would hear that there is room again */
            kc_client_end(ipc, KC_ENOMEM);
        }
    }
}

/* More than 0, or why nothing of the current frame was taken. */
static int64_t kc_output_send(kc_ipc *ipc)
{
    const kc_ipc_op *op = ipc->current;
    bool first = op != NULL && ipc->out_at == 0;
    if (first) {
        kc_output_stamp(ipc, op);
    }
    return ipc->transport.send(ipc->link, ipc->out + ipc->out_at, ipc->out_length - ipc->out_at,
                               first ? op->files : NULL, first ? op->file_count : 0);
}

/* There may be room, but no memory to fill it: nothing tells when there is, so it is tried again after a while. */
static void kc_output_retry(kc_ipc *ipc)
{
    ipc->retry_ns = kc_client_now_ns() + KC_OUTPUT_RETRY_NS;
    kc_client_arm(ipc, ipc->retry_ns);
}

void kc_output_move(kc_ipc *ipc)
{
    int64_t taken = 1;
    ipc->retry_ns = INT64_MAX;
    while (!ipc->deaf && taken != KC_EAGAIN && taken != KC_ENOMEM &&
           (ipc->out != NULL || kc_output_take_note(ipc) || kc_output_take_frame(ipc))) {
        taken = kc_output_send(ipc);
        if (taken > 0) {
            kc_output_advance(ipc, (size_t)taken);
        } else if (taken == KC_ENOMEM) {
            kc_output_retry(ipc);
        } else if (taken != KC_EAGAIN) {
            kc_output_fail(ipc, (int)taken);
        }
    }
    kc_output_watch(ipc, taken == KC_EAGAIN);
}
