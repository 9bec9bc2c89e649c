/* kc_remote.h: a daemon's channel as a kc_channel: the calls, deadlines, cancels and selects of kc_channel.h, for
 * coroutines and threads, with the other end in another process.
 *
 * Beside the codes of kc_channel.h, all of which mean that nothing happened, such a channel answers
 *   KC_EINPROGRESS  the connection ended after the request had begun to leave: it happened or not. A message may have
 *                   been accepted; one that was on its way to a receive is lost; of a select one clause took effect,
 *                   or none
 *   KC_ECONNRESET, KC_EPROTO  the connection has ended, and nothing of this call had left
 *   KC_EBADF        the same: it was disconnected here, or belongs to the process that forked this one
 *   KC_ENOENT, KC_EACCES, KC_EDQUOT, KC_ENOTSUP  the daemon refuses; kc_ipc_advice says it in words
 *   KC_ENOMEM       no memory is left, here or there
 * A deadline more than 2^31 ms (24 days) away is none: the protocol has no number for it, and none is early.
 *
 * Where the daemon knows more than kc_channel.h can say (acknowledgement, files, who sent it) use kc_ipc.h, and the
 * calls below where a cancel may end it.
 */
#ifndef KC_REMOTE_H
#define KC_REMOTE_H

#include "kcoro/kc_channel.h"
#include "kcoro/kc_ipc.h"
#ifdef __cplusplus
extern "C" {
#endif

/* For kc_ipc_config.waiting: a coroutine that waits for the daemon leaves its worker to others. It takes no
 * kc_co_unpark of yours and leaves none behind. One that nobody schedules blocks its thread. */
KC_API const kc_ipc_waiting *kc_remote_waiting(void);

/* One reference; takes the handle over, which is freed with the last. A receive needs a buffer of the channel's
 * elem_size, so that must have been given when it was made: below 16 MiB, else KC_EINVAL and the handle is still the
 * caller's. KC_ENOMEM likewise. A cancel ends what waits in the daemon, and what waits for a bound of its connection.
 * kc_channel_close, _destroy and _depth ask the daemon too and take none: it answers these at once, or its connection
 * ends. */
KC_API int kc_remote_channel(kc_ipc *ipc, kc_ipc_chan *chan, kc_channel **channel_out);

/* --- handles of kc_ipc.h, with a cancel of the runtime ------------------------------------------------------------ */

/* kc_ipc_send_payload, kc_ipc_recv_many of one message and kc_ipc_select, as they are in kc_ipc.h, that also end when
 * the cancel is set: KC_ECANCELED, or it has happened. With one that was set before nothing is asked. cancel NULL:
 * none. Free the result whatever the code; KC_IPC_IN_DOUBT in its flags says of which call nobody knows whether it
 * happened. */
KC_API int kc_remote_send(kc_ipc_chan *chan, const kc_ipc_payload *payload, const kc_ipc_wish *wish, kc_cancel *cancel,
                          kc_ipc_result *result_out);
KC_API int kc_remote_recv(kc_ipc_chan *chan, const kc_ipc_wish *wish, kc_cancel *cancel, kc_ipc_result *result_out);
KC_API int kc_remote_select(kc_ipc *ipc, const kc_ipc_clause *clauses, uint32_t count, const kc_ipc_wish *wish,
                            kc_cancel *cancel, kc_ipc_result *result_out);
/* Likewise; of a batch what was settled before the cancel is told by KC_OK and `count`, as it is at a deadline. */
KC_API int kc_remote_send_many(kc_ipc_chan *chan, const kc_ipc_payload *payloads, uint32_t count,
                               const kc_ipc_wish *wish, kc_cancel *cancel, kc_ipc_result *result_out);
KC_API int kc_remote_recv_many(kc_ipc_chan *chan, uint32_t max_items, const kc_ipc_wish *wish, kc_cancel *cancel,
                               kc_ipc_result *result_out);
/* kc_ipc_op_wait, with a cancel that is kc_ipc_op_cancel for this operation while this call waits for it. */
KC_API int kc_remote_op_wait(kc_ipc_op *op, kc_cancel *cancel, kc_ipc_result *result_out);

/* The other calls of kc_ipc.h that wait for the daemon, by the same names and with the same arguments. Each says
 * what is true:
 *   KC_OK           it has happened, though the cancel may be set: a channel that was made or opened, or a region, is
 *                   the caller's to free, as ever
 *   KC_ECANCELED    nothing happened, and nobody holds anything. Of one that was set before not a byte is sent. (As in
 *                   kc_ipc.h this is also what a destroyed channel answers, and a daemon that shuts down)
 *   KC_EINPROGRESS  the connection ended after the request had begun to leave: it happened or not. What was made or
 *                   opened is given back by the end of its connection
 * The daemon decides, so a call that is cancelled waits for its answer, which is due within grace_ms as ever. cancel
 * NULL: none. Freeing a channel or an operation and disconnecting take none: what is left is left whatever anybody
 * wishes. */
KC_API int kc_remote_make(kc_ipc *ipc, const char *name, const kc_ipc_chan_config *config, kc_cancel *cancel,
                          kc_ipc_chan **chan_out);
KC_API int kc_remote_open(kc_ipc *ipc, const char *name, uint32_t rights, int32_t timeout_ms, kc_cancel *cancel,
                          kc_ipc_chan **chan_out);
KC_API int kc_remote_open_id(kc_ipc *ipc, uint32_t chan_id, uint32_t rights, kc_cancel *cancel, kc_ipc_chan **chan_out);
KC_API int kc_remote_close(kc_ipc_chan *chan, kc_cancel *cancel);
KC_API int kc_remote_destroy(kc_ipc_chan *chan, const char *reason, kc_cancel *cancel);
KC_API int kc_remote_purge(kc_ipc_chan *chan, kc_cancel *cancel, uint32_t *count_out);
KC_API int kc_remote_statistics(kc_ipc_chan *chan, kc_cancel *cancel, uint64_t stats_out[KC_STAT_END]);
KC_API int kc_remote_ack(kc_ipc *ipc, const uint64_t *deliveries, uint32_t count, kc_cancel *cancel);
KC_API int kc_remote_nack(kc_ipc *ipc, const uint64_t *deliveries, uint32_t count, kc_cancel *cancel);
KC_API int kc_remote_region_make(kc_ipc *ipc, size_t bytes, kc_cancel *cancel, kc_ipc_region **region_out);
KC_API int kc_remote_region_free(kc_ipc_region *region, kc_cancel *cancel); /* KC_ECANCELED: it is still there */
KC_API int kc_remote_ping(kc_ipc *ipc, kc_cancel *cancel);
/* Nobody waits for an answer to such a cancel: it ends the connect at once, where the daemon does not accept when that
 * is looked at next (32 ms at most). The daemon sees at most a connection that went away, so KC_EINPROGRESS is none of
 * its ends. Where it fails, `link` of the configuration is closed. */
KC_API int kc_remote_connect(const kc_ipc_config *config, kc_cancel *cancel, kc_ipc **ipc_out);

#ifdef __cplusplus
}
#endif
#endif
