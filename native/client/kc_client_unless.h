/* kc_client_unless.h: the calls that wait, for who may end them from outside (native/remote). For all others they stand
 * in kcoro/kc_ipc.h.
 *
 * Invariant: a stop watches an operation from before it begins until it has been told, and not afterwards.
 */
#ifndef KC_CLIENT_UNLESS_H
#define KC_CLIENT_UNLESS_H

#include <stdbool.h>

#include "kcoro/kc_ipc.h"

/* What may end a call from outside: a cancel, of which this folder knows nothing. NULL: nothing may. */
typedef struct kc_stop {
    void (*watch)(struct kc_stop *stop, kc_ipc_op *op); /* from now on it may cancel the operation, and perhaps has */
    void (*leave)(struct kc_stop *stop);                /* it will not any more */
    bool in_doubt; /* out: the connection ended after what the call asks had begun to leave */
} kc_stop;

/* The calls of kc_ipc.h of these names, unless they are stopped: each beside its namesake. */
int kc_unless_connect(const kc_ipc_config *config, kc_stop *stop, kc_ipc **ipc_out);
int kc_unless_ping(kc_ipc *ipc, kc_stop *stop);
int kc_unless_make(kc_ipc *ipc, const char *name, const kc_ipc_chan_config *config, kc_stop *stop,
                   kc_ipc_chan **chan_out);
int kc_unless_open(kc_ipc *ipc, const char *name, uint32_t rights, int32_t timeout_ms, kc_stop *stop,
                   kc_ipc_chan **chan_out);
int kc_unless_open_id(kc_ipc *ipc, uint32_t chan_id, uint32_t rights, kc_stop *stop, kc_ipc_chan **chan_out);
int kc_unless_close(kc_ipc_chan *chan, kc_stop *stop);
int kc_unless_destroy(kc_ipc_chan *chan, const char *reason, kc_stop *stop);
int kc_unless_purge(kc_ipc_chan *chan, kc_stop *stop, uint32_t *count_out);
int kc_unless_statistics(kc_ipc_chan *chan, kc_stop *stop, uint64_t stats_out[KC_STAT_END]);
int kc_unless_send_many(kc_ipc_chan *chan, const kc_ipc_payload *payloads, uint32_t count, const kc_ipc_wish *wish,
                        kc_stop *stop, kc_ipc_result *result_out);
int kc_unless_settle(kc_ipc *ipc, uint16_t cmd, const uint64_t *deliveries, uint32_t count, kc_stop *stop);
int kc_unless_region_make(kc_ipc *ipc, size_t bytes, kc_stop *stop, kc_ipc_region **region_out);
int kc_unless_region_free(kc_ipc_region *region, kc_stop *stop);

#endif
