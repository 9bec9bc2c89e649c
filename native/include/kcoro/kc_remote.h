/* kc_remote.h: a daemon's channel as a kc_channel: the calls, deadlines, cancels and selects of kc_channel.h, for
 * coroutines and threads, with the other end in another process.
 *
 * Beside the codes of kc_channel.h, all of which mean that nothing happened, such a channel answers
 *   KC_EINPROGRESS  the connection ended after the request had begun to leave: it happened or not. A message may have been
 *                   accepted; one that was on its way to a receive is lost; of a select one clause took effect, or none
 *   KC_ECONNRESET, KC_EPROTO  the connection has ended, and nothing of this call had left
 *   KC_EBADF        the same: it was disconnected here, or belongs to the process that forked this one
 *   KC_ENOENT, KC_EACCES, KC_EDQUOT, KC_ENOTSUP  the daemon refuses; kc_ipc_advice says it in words
 *   KC_ENOMEM       no memory is left, here or there
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
 * KC_ENOMEM likewise. A cancel ends what waits in the daemon, and what waits for a bound of its connection. */
KC_API int kc_remote_channel(kc_ipc *ipc, kc_ipc_chan *chan, kc_channel **channel_out);

#ifdef __cplusplus
}
#endif
#endif
