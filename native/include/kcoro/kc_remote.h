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
 * Where the daemon knows more than kc_channel.h can say (acknowledgement, files, who sent it) use kc_ipc.h, and the last three
 * calls here where a cancel may end it.
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

/* --- handles of kc_ipc.h, with a cancel of the runtime ------------------------------------------------------------ */

/* kc_ipc_send_payload, kc_ipc_recv_many of one message and kc_ipc_select, as they are in kc_ipc.h, that also end when the cancel
 * is set: KC_ECANCELED, or it has happened. With one that was set before nothing is asked. cancel NULL: none. Free the result
 * whatever the code; KC_IPC_IN_DOUBT in its flags says of which call nobody knows whether it happened. */
KC_API int kc_remote_send(kc_ipc_chan *chan, const kc_ipc_payload *payload, const kc_ipc_wish *wish, kc_cancel *cancel,
                          kc_ipc_result *result_out);
KC_API int kc_remote_recv(kc_ipc_chan *chan, const kc_ipc_wish *wish, kc_cancel *cancel, kc_ipc_result *result_out);
KC_API int kc_remote_select(kc_ipc *ipc, const kc_ipc_clause *clauses, uint32_t count, const kc_ipc_wish *wish,
                            kc_cancel *cancel, kc_ipc_result *result_out);

#ifdef __cplusplus
}
#endif
#endif
