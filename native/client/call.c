/* call.c: the calls that wait: an operation begun, waited for and freed (kcoro/kc_ipc.h). */
#include "client/kc_client.h"

static int kc_call_run(kc_ipc_op *op, kc_stop *stop, kc_ipc_result *result_out)
{
    int code = kc_op_run(op, true, stop, result_out);
    kc_op_done(op);
    return code;
}

static void kc_call_clear(kc_ipc_result *result_out, int code)
{
    if (result_out != NULL) {
        *result_out = (kc_ipc_result){.code = code, .index = UINT32_MAX};
    }
}

static int kc_call(kc_ipc_op *op, int code, kc_stop *stop, kc_ipc_result *result_out)
{
    kc_call_clear(result_out, code);
    return code == KC_OK ? kc_call_run(op, stop, result_out) : code;
}

/* --- sending ------------------------------------------------------------------------------------------------------ */

KC_API int kc_ipc_send_payload(kc_ipc_chan *chan, const kc_ipc_payload *payload, const kc_ipc_wish *wish,
                               kc_ipc_result *result_out)
{
    kc_ipc_op *op = NULL;
    int code = kc_ask_send(chan, payload, 1, wish, &op);
    return kc_call(op, code, NULL, result_out);
}

KC_API int kc_ipc_send(kc_ipc_chan *chan, const void *bytes, size_t length, const kc_ipc_wish *wish)
{
    kc_ipc_payload payload = {.bytes = bytes, .length = length};
    return kc_ipc_send_payload(chan, &payload, wish, NULL);
}

KC_API int kc_ipc_try_send(kc_ipc_chan *chan, const void *bytes, size_t length)
{
    kc_ipc_wish now = {.timeout_ms = 0};
    return kc_ipc_send(chan, bytes, length, &now);
}

/* How many of these go in one frame: of one sort, together not too long. */
static uint32_t kc_call_run_length(const kc_ipc *ipc, const kc_ipc_payload *payloads, uint32_t count)
{
    uint64_t bytes = 256;
    uint32_t at = 0;
    while (at < count && at < KC_MAX_ITEMS && (payloads[at].loan == NULL) == (payloads[0].loan == NULL)) {
        uint64_t more = kc_ask_payload_bytes(&payloads[at]);
        if (at != 0 && bytes + more > ipc->max_frame_bytes) {
            break;
        }
        bytes += more;
        at++;
    }
    return at;
}

/* One frame of them. KC_OK: `one` says how many of it are settled. */
static int kc_call_send_run(kc_ipc_chan *chan, const kc_ipc_payload *payloads, uint32_t run, const kc_ipc_wish *how,
                            kc_stop *stop, kc_ipc_result *one)
{
    kc_ipc_op *op = NULL;
    int code = kc_ask_send(chan, payloads, run, how, &op);
    return kc_call(op, code, stop, one);
}

/* The handle is held by the caller. */
static int kc_call_send_runs(kc_ipc_chan *chan, const kc_ipc_payload *payloads, uint32_t count,
                             const kc_ipc_wish *wish, kc_stop *stop, kc_ipc_result *result_out)
{
    kc_ipc_result one = {.code = KC_EINVAL, .index = UINT32_MAX};
    kc_ipc_wish how = kc_ask_wish(wish);
    int64_t deadline_ns = kc_op_deadline(how.timeout_ms, 0);
    uint32_t settled = 0, asked = 0, dropped = 0, flags = 0;
    bool go_on = count != 0;
    while (go_on) {
        uint32_t run = kc_call_run_length(chan->ipc, payloads + settled, count - settled);
        how.timeout_ms = kc_op_left_ms(deadline_ns, how.timeout_ms);
        int code = kc_call_send_run(chan, payloads + settled, run, &how, stop, &one);
        asked = settled + run;
        go_on = code == KC_OK && one.count == run && asked < count;
        settled += one.count;
        dropped += one.dropped;
        flags |= one.flags;
    }
    for (; (flags & KC_IPC_IN_DOUBT) != 0 && asked < count; asked++) {
        kc_ipc_loan_give(payloads[asked].loan); /* gone too, as the others from the first that is not settled */
    }
    if (settled != 0 && (flags & KC_IPC_IN_DOUBT) == 0) {
        one = (kc_ipc_result){.code = KC_OK, .index = UINT32_MAX};
    }
    one.count = settled;
    one.dropped = dropped;
    one.flags = flags;
    if (result_out != NULL) {
        *result_out = one;
    }
    return one.code;
}

/* Between two frames nothing else holds the handle, which another thread may free. */
int kc_unless_send_many(kc_ipc_chan *chan, const kc_ipc_payload *payloads, uint32_t count, const kc_ipc_wish *wish,
                        kc_stop *stop, kc_ipc_result *result_out)
{
    bool held = kc_chan_hold(chan);
    int code = kc_call_send_runs(chan, payloads, count, wish, stop, result_out);
    if (held) {
        kc_chan_let(chan);
    }
    return code;
}

KC_API int kc_ipc_send_many(kc_ipc_chan *chan, const kc_ipc_payload *payloads, uint32_t count,
                            const kc_ipc_wish *wish, kc_ipc_result *result_out)
{
    return kc_unless_send_many(chan, payloads, count, wish, NULL, result_out);
}

/* --- receiving ---------------------------------------------------------------------------------------------------- */

KC_API int kc_ipc_recv_many(kc_ipc_chan *chan, uint32_t max_items, const kc_ipc_wish *wish,
                            kc_ipc_result *result_out)
{
    kc_ipc_op *op = NULL;
    int code = kc_ask_recv(chan, max_items, true, wish, &op);
    return kc_call(op, code, NULL, result_out);
}

KC_API int kc_ipc_recv(kc_ipc_chan *chan, kc_ipc_message *message_out, const kc_ipc_wish *wish)
{
    kc_ipc_op *op = NULL;
    *message_out = (kc_ipc_message){0};
    int code = kc_ask_recv(chan, 1, false, wish, &op);
    if (code != KC_OK) {
        return code;
    }
    code = kc_op_run(op, true, NULL, NULL);
    if (code == KC_OK) {
        *message_out = op->messages[0];
        op->message_count = 0;
    }
    kc_op_done(op);
    return code;
}

KC_API int kc_ipc_try_recv(kc_ipc_chan *chan, kc_ipc_message *message_out)
{
    kc_ipc_wish now = {.timeout_ms = 0};
    return kc_ipc_recv(chan, message_out, &now);
}

KC_API int kc_ipc_select(kc_ipc *ipc, const kc_ipc_clause *clauses, uint32_t count, const kc_ipc_wish *wish,
                         kc_ipc_result *result_out)
{
    kc_ipc_op *op = NULL;
    int code = kc_ask_select(ipc, clauses, count, wish, &op);
    return kc_call(op, code, NULL, result_out);
}

/* --- many in flight ----------------------------------------------------------------------------------------------- */

static int kc_call_begin(kc_ipc_op *op, int code, kc_ipc_op **op_out)
{
    *op_out = NULL;
    if (code != KC_OK) {
        return code;
    }
    code = kc_op_begin(op, true, false);
    if (code != KC_OK) {
        kc_op_unmake(op);
        return code;
    }
    *op_out = op;
    return KC_OK;
}

KC_API int kc_ipc_send_begin(kc_ipc_chan *chan, const kc_ipc_payload *payloads, uint32_t count,
                             const kc_ipc_wish *wish, kc_ipc_op **op_out)
{
    kc_ipc_op *op = NULL;
    int code = kc_ask_send(chan, payloads, count, wish, &op);
    return kc_call_begin(op, code, op_out);
}

KC_API int kc_ipc_recv_begin(kc_ipc_chan *chan, uint32_t max_items, const kc_ipc_wish *wish, kc_ipc_op **op_out)
{
    kc_ipc_op *op = NULL;
    int code = kc_ask_recv(chan, max_items, max_items != 1, wish, &op);
    return kc_call_begin(op, code, op_out);
}

KC_API int kc_ipc_select_begin(kc_ipc *ipc, const kc_ipc_clause *clauses, uint32_t count, const kc_ipc_wish *wish,
                               kc_ipc_op **op_out)
{
    kc_ipc_op *op = NULL;
    int code = kc_ask_select(ipc, clauses, count, wish, &op);
    return kc_call_begin(op, code, op_out);
}
