/* chan_all.c: a channel for all who use it (kcoro/kc_ipc.h): destroyed, emptied, counted. Closing is a plain request
 * (control.c).
 *
 * Invariant: nothing here changes the handle; it is given back as before.
 */
#include <string.h>

#include "client/kc_client.h"
#include "ipc/kc_bytes.h"

int kc_unless_destroy(kc_ipc_chan *chan, const char *reason, kc_stop *stop)
{
    kc_writer writer;
    kc_ipc_op *op = kc_control_make(chan->ipc, chan, KC_CMD_CHAN_DESTROY, KC_CHAN_BYTES, &writer);
    if (op == NULL) {
        return KC_ENOMEM;
    }
    int code = kc_chan_text(&writer, KC_ATTR_REASON, reason);
    if (code != KC_OK) {
        kc_op_unmake(op);
        return code;
    }
    return kc_control_done(op, &writer, stop);
}

KC_API int kc_ipc_destroy(kc_ipc_chan *chan, const char *reason)
{
    return kc_unless_destroy(chan, reason, NULL);
}

int kc_unless_purge(kc_ipc_chan *chan, kc_stop *stop, uint32_t *count_out)
{
    kc_writer writer;
    kc_ipc_op *op = kc_control_make(chan->ipc, chan, KC_CMD_CHAN_PURGE, 0, &writer);
    if (op == NULL) {
        return KC_ENOMEM;
    }
    int code = kc_control_run(op, &writer, false, stop);
    if (count_out != NULL) {
        *count_out = code == KC_OK ? op->reply.count : 0;
    }
    kc_op_done(op);
    return code;
}

KC_API int kc_ipc_purge(kc_ipc_chan *chan, uint32_t *count_out)
{
    return kc_unless_purge(chan, NULL, count_out);
}

/* The counters in the order of their numbers; a newer daemon may tell more. */
static void kc_chan_numbers(const kc_attr *numbers, uint64_t stats_out[KC_STAT_END])
{
    uint32_t told = numbers->length / 8;
    memset(stats_out, 0, KC_STAT_END * sizeof *stats_out);
    for (uint32_t i = 0; i < told && i + 1 < KC_STAT_END; i++) {
        stats_out[i + 1] = kc_load_u64(numbers->value + (size_t)i * 8);
    }
}

int kc_unless_statistics(kc_ipc_chan *chan, kc_stop *stop, uint64_t stats_out[KC_STAT_END])
{
    kc_writer writer;
    kc_ipc_op *op = kc_control_make(chan->ipc, chan, KC_CMD_GET_STATS, 0, &writer);
    if (op == NULL) {
        return KC_ENOMEM;
    }
    kc_put_u32(&writer, KC_ATTR_FLAGS, KC_FLAG_STATS_PACKED);
    int code = kc_control_run(op, &writer, false, stop);
    if (code == KC_OK) {
        kc_chan_numbers(&op->reply.numbers, stats_out);
    }
    kc_op_done(op);
    return code;
}

KC_API int kc_ipc_statistics(kc_ipc_chan *chan, uint64_t stats_out[KC_STAT_END])
{
    return kc_unless_statistics(chan, NULL, stats_out);
}
