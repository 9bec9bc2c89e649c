/* remote_handle.c: the calls of kc_ipc.h that wait, each with a cancel of the runtime (kcoro/kc_remote.h). */
#include "kcoro/kc_remote.h"
#include "remote/kc_remote_stop.h"

/* --- messages ----------------------------------------------------------------------------------------------------- */

/* code: why it could not be asked. */
static int kc_remote_tell(kc_ipc_op *op, int code, kc_cancel *cancel, kc_ipc_result *result_out)
{
    if (code == KC_OK) {
        code = kc_remote_run(op, cancel, result_out);
    }
    if (result_out != NULL) {
        result_out->code = code;
    }
    return code;
}

/* What is wished for too late is not asked: a loan is still the caller's. */
static bool kc_remote_is_over(kc_cancel *cancel, kc_ipc_result *result_out)
{
    bool over = kc_cancel_is_set(cancel) != 0;
    if (result_out != NULL) {
        *result_out = (kc_ipc_result){.code = over ? KC_ECANCELED : KC_OK, .index = UINT32_MAX};
    }
    return over;
}

KC_API int kc_remote_send(kc_ipc_chan *chan, const kc_ipc_payload *payload, const kc_ipc_wish *wish, kc_cancel *cancel,
                          kc_ipc_result *result_out)
{
    kc_ipc_op *op = NULL;
    if (kc_remote_is_over(cancel, result_out)) {
        return KC_ECANCELED;
    }
    int code = kc_ask_send(chan, payload, 1, wish, &op);
    return kc_remote_tell(op, code, cancel, result_out);
}

KC_API int kc_remote_recv(kc_ipc_chan *chan, const kc_ipc_wish *wish, kc_cancel *cancel, kc_ipc_result *result_out)
{
    kc_ipc_op *op = NULL;
    if (kc_remote_is_over(cancel, result_out)) {
        return KC_ECANCELED;
    }
    int code = kc_ask_recv(chan, 1, false, wish, &op);
    return kc_remote_tell(op, code, cancel, result_out);
}

KC_API int kc_remote_select(kc_ipc *ipc, const kc_ipc_clause *clauses, uint32_t count, const kc_ipc_wish *wish,
                            kc_cancel *cancel, kc_ipc_result *result_out)
{
    kc_ipc_op *op = NULL;
    if (kc_remote_is_over(cancel, result_out)) {
        return KC_ECANCELED;
    }
    int code = kc_ask_select(ipc, clauses, count, wish, &op);
    return kc_remote_tell(op, code, cancel, result_out);
}

KC_API int kc_remote_send_many(kc_ipc_chan *chan, const kc_ipc_payload *payloads, uint32_t count,
                               const kc_ipc_wish *wish, kc_cancel *cancel, kc_ipc_result *result_out)
{
    kc_remote_stop stop = kc_remote_stop_of(cancel);
    return kc_unless_send_many(chan, payloads, count, wish, &stop.base, result_out);
}

KC_API int kc_remote_recv_many(kc_ipc_chan *chan, uint32_t max_items, const kc_ipc_wish *wish, kc_cancel *cancel,
                               kc_ipc_result *result_out)
{
    kc_ipc_op *op = NULL;
    if (kc_remote_is_over(cancel, result_out)) {
        return KC_ECANCELED;
    }
    int code = kc_ask_recv(chan, max_items, true, wish, &op);
    return kc_remote_tell(op, code, cancel, result_out);
}

KC_API int kc_remote_op_wait(kc_ipc_op *op, kc_cancel *cancel, kc_ipc_result *result_out)
{
    kc_remote_stop stop = kc_remote_stop_of(cancel);
    stop.base.watch(&stop.base, op);
    int code = kc_ipc_op_wait(op, result_out);
    stop.base.leave(&stop.base);
    return code;
}

/* --- what has no result to say that it is in doubt ---------------------------------------------------------------- */

static int kc_remote_sure(const kc_remote_stop *stop, int code)
{
    return code != KC_OK && stop->base.in_doubt ? (int)KC_EINPROGRESS : code;
}

KC_API int kc_remote_connect(const kc_ipc_config *config, kc_cancel *cancel, kc_ipc **ipc_out)
{
    kc_remote_stop stop = kc_remote_stop_of(cancel);
    return kc_unless_connect(config, &stop.base, ipc_out);
}

KC_API int kc_remote_ping(kc_ipc *ipc, kc_cancel *cancel)
{
    kc_remote_stop stop = kc_remote_stop_of(cancel);
    int code = kc_unless_ping(ipc, &stop.base);
    return kc_remote_sure(&stop, code);
}

KC_API int kc_remote_make(kc_ipc *ipc, const char *name, const kc_ipc_chan_config *config, kc_cancel *cancel,
                          kc_ipc_chan **chan_out)
{
    kc_remote_stop stop = kc_remote_stop_of(cancel);
    int code = kc_unless_make(ipc, name, config, &stop.base, chan_out);
    return kc_remote_sure(&stop, code);
}

KC_API int kc_remote_open(kc_ipc *ipc, const char *name, uint32_t rights, int32_t timeout_ms, kc_cancel *cancel,
                          kc_ipc_chan **chan_out)
{
    kc_remote_stop stop = kc_remote_stop_of(cancel);
    int code = kc_unless_open(ipc, name, rights, timeout_ms, &stop.base, chan_out);
    return kc_remote_sure(&stop, code);
}

KC_API int kc_remote_open_id(kc_ipc *ipc, uint32_t chan_id, uint32_t rights, kc_cancel *cancel, kc_ipc_chan **chan_out)
{
    kc_remote_stop stop = kc_remote_stop_of(cancel);
    int code = kc_unless_open_id(ipc, chan_id, rights, &stop.base, chan_out);
    return kc_remote_sure(&stop, code);
}

KC_API int kc_remote_close(kc_ipc_chan *chan, kc_cancel *cancel)
{
    kc_remote_stop stop = kc_remote_stop_of(cancel);
    int code = kc_unless_close(chan, &stop.base);
    return kc_remote_sure(&stop, code);
}

KC_API int kc_remote_destroy(kc_ipc_chan *chan, const char *reason, kc_cancel *cancel)
{
    kc_remote_stop stop = kc_remote_stop_of(cancel);
    int code = kc_unless_destroy(chan, reason, &stop.base);
    return kc_remote_sure(&stop, code);
}

KC_API int kc_remote_purge(kc_ipc_chan *chan, kc_cancel *cancel, uint32_t *count_out)
{
    kc_remote_stop stop = kc_remote_stop_of(cancel);
    int code = kc_unless_purge(chan, &stop.base, count_out);
    return kc_remote_sure(&stop, code);
}

KC_API int kc_remote_statistics(kc_ipc_chan *chan, kc_cancel *cancel, uint64_t stats_out[KC_STAT_END])
{
    kc_remote_stop stop = kc_remote_stop_of(cancel);
    int code = kc_unless_statistics(chan, &stop.base, stats_out);
    return kc_remote_sure(&stop, code);
}

static int kc_remote_settle(kc_ipc *ipc, uint16_t cmd, const uint64_t *deliveries, uint32_t count, kc_cancel *cancel)
{
    kc_remote_stop stop = kc_remote_stop_of(cancel);
    int code = kc_unless_settle(ipc, cmd, deliveries, count, &stop.base);
    return kc_remote_sure(&stop, code);
}

KC_API int kc_remote_ack(kc_ipc *ipc, const uint64_t *deliveries, uint32_t count, kc_cancel *cancel)
{
    return kc_remote_settle(ipc, KC_CMD_ACK, deliveries, count, cancel);
}

KC_API int kc_remote_nack(kc_ipc *ipc, const uint64_t *deliveries, uint32_t count, kc_cancel *cancel)
{
    return kc_remote_settle(ipc, KC_CMD_NACK, deliveries, count, cancel);
}

KC_API int kc_remote_region_make(kc_ipc *ipc, size_t bytes, kc_cancel *cancel, kc_ipc_region **region_out)
{
    kc_remote_stop stop = kc_remote_stop_of(cancel);
    int code = kc_unless_region_make(ipc, bytes, &stop.base, region_out);
    return kc_remote_sure(&stop, code);
}

KC_API int kc_remote_region_free(kc_ipc_region *region, kc_cancel *cancel)
{
    kc_remote_stop stop = kc_remote_stop_of(cancel);
    return kc_unless_region_free(region, &stop.base); /* of a connection that has ended it is freed, or in use */
}
