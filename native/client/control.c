/* control.c: requests that the daemon answers at once (kc_client.h): they wait for no bound, or an acknowledgement
 * could wait for receives that wait for it.
 */
#include "client/kc_client.h"

enum { KC_CONTROL_BYTES = 64 };

kc_ipc_op *kc_control_make(kc_ipc *ipc, kc_ipc_chan *chan, uint16_t cmd, size_t more_bytes, kc_writer *writer_out)
{
    kc_ipc_op *op = kc_op_make(ipc, chan, cmd, KC_CONTROL_BYTES + more_bytes);
    if (op != NULL) {
        op->timeout_ms = KC_CLIENT_CONTROL_MS;
        op->sent_items = 1;
        kc_ask_writer(writer_out, op, KC_CONTROL_BYTES + more_bytes);
        if (chan != NULL) {
            kc_put_u32(writer_out, KC_ATTR_CHAN_ID, chan->info.chan_id);
        }
    }
    return op;
}

int kc_control_run(kc_ipc_op *op, kc_writer *writer, bool counted, kc_stop *stop)
{
    int code = kc_ask_finish(writer, op);
    return code == KC_OK ? kc_op_run(op, counted, stop, NULL) : code;
}

int kc_control_done(kc_ipc_op *op, kc_writer *writer, kc_stop *stop)
{
    int code = kc_control_run(op, writer, false, stop);
    kc_op_done(op);
    return code;
}

static int kc_control_plain(kc_ipc *ipc, kc_ipc_chan *chan, uint16_t cmd, kc_stop *stop)
{
    kc_writer writer;
    kc_ipc_op *op = kc_control_make(ipc, chan, cmd, 0, &writer);
    return op == NULL ? KC_ENOMEM : kc_control_done(op, &writer, stop);
}

int kc_unless_ping(kc_ipc *ipc, kc_stop *stop)
{
    return kc_control_plain(ipc, NULL, KC_CMD_PING, stop);
}

KC_API int kc_ipc_ping(kc_ipc *ipc)
{
    return kc_unless_ping(ipc, NULL);
}

int kc_unless_close(kc_ipc_chan *chan, kc_stop *stop)
{
    return kc_control_plain(chan->ipc, chan, KC_CMD_CHAN_CLOSE, stop);
}

KC_API int kc_ipc_close(kc_ipc_chan *chan)
{
    return kc_unless_close(chan, NULL);
}

/* --- deliveries --------------------------------------------------------------------------------------------------- */

int kc_unless_settle(kc_ipc *ipc, uint16_t cmd, const uint64_t *deliveries, uint32_t count, kc_stop *stop)
{
    kc_writer writer;
    if (count == 0 || count > KC_MAX_ITEMS || deliveries == NULL) {
        return KC_EINVAL;
    }
    kc_ipc_op *op = kc_control_make(ipc, NULL, cmd, (size_t)count * (KC_ATTR_HEAD_BYTES + 8), &writer);
    if (op == NULL) {
        return KC_ENOMEM;
    }
    for (uint32_t i = 0; i < count; i++) {
        kc_put_u64(&writer, KC_ATTR_DELIVERY_ID, deliveries[i]);
    }
    return kc_control_done(op, &writer, stop);
}

KC_API int kc_ipc_ack(kc_ipc *ipc, const uint64_t *deliveries, uint32_t count)
{
    return kc_unless_settle(ipc, KC_CMD_ACK, deliveries, count, NULL);
}

KC_API int kc_ipc_nack(kc_ipc *ipc, const uint64_t *deliveries, uint32_t count)
{
    return kc_unless_settle(ipc, KC_CMD_NACK, deliveries, count, NULL);
}
