/* kc_actor.h: an actor: a coroutine that receives from one channel and deals with each message, one after the other.
 *
 * It ends when its channel is closed and drained or destroyed, when its handler answers a negative code, when it is
 * stopped or cancelled. While nothing comes it parks. on_done is called exactly once, after its last message,
 * whatever ended it.
 */
#ifndef KC_ACTOR_H
#define KC_ACTOR_H

#include "kcoro/kc_task.h"
#ifdef __cplusplus
extern "C" {
#endif

typedef struct kc_actor kc_actor;

/* A message: bytes (of a channel of bytes), or a descriptor. Valid during the call.
 * A negative answer ends the actor. */
typedef struct kc_actor_message {
    const void *data;
    uint32_t len_bytes;
    uint32_t spare;
    kc_desc desc;
} kc_actor_message;
typedef int (*kc_actor_fn)(void *arg, const kc_actor_message *message);
/* code: what the handler answered, if that is negative, also if it was stopped meanwhile; else KC_OK after stop,
 * KC_EPIPE when the channel ended, KC_ECANCELED. */
typedef void (*kc_actor_done_fn)(void *arg, int code);

typedef struct kc_actor_config {
    kc_channel *channel; /* the actor keeps a reference */
    kc_actor_fn fn;
    kc_actor_done_fn on_done; /* may be NULL; by the actor's coroutine */
    void *arg;
    kc_cancel *cancel; /* above its own, may be NULL */
    const char *name;
} kc_actor_config;

/* KC_EINVAL, KC_ENOMEM. The actor belongs to the caller. */
KC_API int kc_actor_start(kc_sched *sched, const kc_actor_config *config, kc_actor **actor_out);
/* The same as a child of a scope, which frees it: it has ended when the scope's wait is over. The scope's cancel ends
 * it as well as config's own. It has no handle: nobody stops, awaits or counts it but through those cancels, its
 * channel and on_done. KC_ECANCELED: the scope was cancelled, nothing was started. */
KC_API int kc_actor_launch(kc_task_scope *scope, const kc_actor_config *config);
/* No further message is begun. KC_OK; KC_EBUSY: it was stopped or cancelled before, by whomever, or its (local) channel
 * was destroyed: its code says that, and not KC_OK. */
KC_API int kc_actor_stop(kc_actor *actor);
KC_API int kc_actor_cancel(kc_actor *actor, uint32_t reason);
/* KC_OK: it has ended, on_done has returned, code_out (may be NULL) says why. KC_ETIME; KC_ENOMEM, KC_EDQUOT
 * (kc_timer.h). Not by itself. */
KC_API int kc_actor_wait(kc_actor *actor, int64_t deadline_ns, int *code_out);
/* Messages dealt with. */
KC_API uint64_t kc_actor_count(const kc_actor *actor);
/* Stops it, waits, frees. Not by itself. NULL is allowed. */
KC_API void kc_actor_free(kc_actor *actor);

#ifdef __cplusplus
}
#endif
#endif
