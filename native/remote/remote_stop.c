/* remote_stop.c: kc_remote_stop.h. */
#include "remote/kc_remote_stop.h"

static void kc_stop_cancel(void *op, uint32_t reason)
{
    (void)reason;
    kc_ipc_op_cancel(op);
}

static void kc_stop_watch(kc_stop *base, kc_ipc_op *op)
{
    kc_remote_stop *stop = (kc_remote_stop *)base;
    if (stop->cancel == NULL) {
        return;
    }
    stop->hook = (kc_cancel_hook){.fn = kc_stop_cancel, .arg = op};
    stop->hooked = kc_cancel_add(stop->cancel, &stop->hook) == KC_OK;
    if (!stop->hooked) {
        kc_ipc_op_cancel(op);
    }
}

static void kc_stop_leave(kc_stop *base)
{
    kc_remote_stop *stop = (kc_remote_stop *)base;
    if (stop->hooked) {
        kc_cancel_forget(&stop->hook);
    }
    stop->hooked = false;
}

kc_remote_stop kc_remote_stop_of(kc_cancel *cancel)
{
    return (kc_remote_stop){.base = {.watch = kc_stop_watch, .leave = kc_stop_leave}, .cancel = cancel};
}

int kc_remote_run(kc_ipc_op *op, kc_cancel *cancel, kc_ipc_result *result_out)
{
    kc_remote_stop stop = kc_remote_stop_of(cancel);
    int code = kc_op_run(op, true, &stop.base, result_out);
    kc_op_done(op);
    return code;
}
