/* kc_task.h: scopes of coroutines: whoever leaves a scope leaves nobody behind.
 *
 * A scope has a cancel of its own, below that of its maker. Coroutines launched in it get that cancel and are expected
 * to heed it; they are never ended by force. (Not kc_chan_waiter_scope, which owns waiting operations.)
 */
#ifndef KC_TASK_H
#define KC_TASK_H

#include "kcoro/kc_channel.h"
#ifdef __cplusplus
extern "C" {
#endif

typedef struct kc_task_scope kc_task_scope;
typedef void (*kc_task_fn)(kc_task_scope *scope, void *arg);
typedef void (*kc_produce_fn)(kc_task_scope *scope, kc_channel *channel, void *arg);

/* parent: the cancel above its own, may be NULL. KC_ENOMEM. */
KC_API int kc_task_scope_make(kc_sched *sched, kc_cancel *parent, kc_task_scope **scope_out);
/* The scope's cancel, lent. */
KC_API kc_cancel *kc_task_scope_cancel_of(kc_task_scope *scope);
KC_API kc_sched *kc_task_scope_sched(kc_task_scope *scope);
/* KC_ECANCELED: the scope was cancelled, nothing was started. KC_ENOMEM. */
KC_API int kc_task_launch(kc_task_scope *scope, kc_task_fn fn, void *arg);
/* Makes a channel, runs fn with it, closes it when fn has returned. The caller gets a reference. */
KC_API int kc_task_produce(kc_task_scope *scope, kc_hub *hub, const kc_channel_config *config, kc_produce_fn fn,
                           void *arg, kc_channel **channel_out);
/* Sets the scope's cancel; new launches are refused. */
KC_API int kc_task_scope_cancel(kc_task_scope *scope, uint32_t reason);
/* KC_OK: no child is left. KC_ETIME at the deadline (KC_ENOMEM, KC_EDQUOT: see kc_timer.h); KC_EAGAIN with a deadline
 * of 0 or less. Not from a child. */
KC_API int kc_task_scope_wait(kc_task_scope *scope, int64_t deadline_ns);
/* Children that have not finished. */
KC_API uint32_t kc_task_scope_children(kc_task_scope *scope);
/* Cancels, waits for all, frees. Not from a child. NULL is allowed. */
KC_API void kc_task_scope_destroy(kc_task_scope *scope);

#ifdef __cplusplus
}
#endif
#endif
