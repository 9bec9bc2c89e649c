/* kc_remote_stop.h: a cancel of the runtime as what may end a call of the C client (kc_stop of kc_client_unless.h).
 *
 * Invariant: its hook stands on the caller's stack only while an operation is under way.
 */
#ifndef KC_REMOTE_STOP_H
#define KC_REMOTE_STOP_H

#include "client/kc_client.h"
#include "kcoro/kc_cancel.h"

typedef struct kc_remote_stop {
    kc_stop base;
    kc_cancel *cancel;
    kc_cancel_hook hook;
    bool hooked;
} kc_remote_stop;

kc_remote_stop kc_remote_stop_of(kc_cancel *cancel); /* NULL: nothing ends it */

/* Begins it, waits for it and frees it. */
int kc_remote_run(kc_ipc_op *op, kc_cancel *cancel, kc_ipc_result *result_out);

#endif
