/* kc_remote.h: a daemon's channel as a kc_channel: the calls, deadlines, cancels and selects of kc_channel.h, for
 * coroutines and threads, with the other end in another process.
 *
 * Where the daemon knows more than kc_channel.h can say (acknowledgement, files, who sent it) use kc_ipc.h.
 */
#ifndef KC_REMOTE_H
#define KC_REMOTE_H

#include "kcoro/kc_channel.h"
#include "kcoro/kc_ipc.h"
#ifdef __cplusplus
extern "C" {
#endif

/* For kc_ipc_config.waiting: a coroutine that waits for the daemon leaves its worker to others. It takes no kc_co_unpark of
 * yours and leaves none behind. One that nobody schedules blocks its thread. */
KC_API const kc_ipc_waiting *kc_remote_waiting(void);

/* One reference; takes the handle over, which is freed with the last. A receive needs a buffer of the channel's elem_size,
 * so that must have been given when it was made: below 16 MiB, else KC_EINVAL and the handle is still the caller's.
 * KC_ENOMEM likewise. A cancel ends what waits in the daemon; what waits for a bound of its connection ends with that. */
KC_API int kc_remote_channel(kc_ipc *ipc, kc_ipc_chan *chan, kc_channel **channel_out);

#ifdef __cplusplus
}
#endif
#endif
