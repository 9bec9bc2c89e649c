/* kc_cancel.h: a wish that what is going on should end; once said it stays said. They form a tree.
 *
 * Triggering one triggers all below it, at once and however deep. A child never touches its parent. What waits with one
 * (the `_c` calls of kc_channel.h) ends with KC_ECANCELED, or has happened: never both. It does not stop code that
 * runs: that asks kc_cancel_is_set, or waits for something.
 */
#ifndef KC_CANCEL_H
#define KC_CANCEL_H

#include "kcoro/kc_co.h"
#ifdef __cplusplus
extern "C" {
#endif

typedef struct kc_cancel kc_cancel;

/* One reference. parent NULL: a root. The child of one that is set begins set. A child keeps its parent. KC_ENOMEM. */
KC_API int kc_cancel_make(kc_cancel *parent, kc_cancel **cancel_out);
/* One more reference, one less; NULL is allowed. */
KC_API void kc_cancel_keep(kc_cancel *cancel);
KC_API void kc_cancel_drop(kc_cancel *cancel);

/* KC_OK: this call set it, and all below. KC_EBUSY: it was set before; the first reason stays. reason: enum kc_reason,
 * 0 means KC_REASON_CANCEL. From any thread. */
KC_API int kc_cancel_trigger(kc_cancel *cancel, uint32_t reason);
/* 0 or 1; NULL is never set. */
KC_API int kc_cancel_is_set(const kc_cancel *cancel);
/* Why, enum kc_reason; 0 while it is not set. */
KC_API uint32_t kc_cancel_reason(const kc_cancel *cancel);
/* KC_OK when it is set, KC_ETIME at the deadline; KC_ENOMEM, KC_EDQUOT: it could not be set (kc_timer.h). A coroutine
 * parks, a thread sleeps. */
KC_API int kc_cancel_wait(kc_cancel *cancel, int64_t deadline_ns);

/* Called once when it is set, by whoever sets it, in the order in which they came and parents' first. It must not
 * block, and not call kc_cancel_* on this tree. KC_EBUSY: it is set already; the hook is neither installed nor called,
 * and there is nothing to forget. After KC_OK the hook keeps the cancel until kc_cancel_forget, which is due also when
 * it was called; the node stays where it is until then. */
typedef struct kc_cancel_hook {
    struct kc_cancel_hook *next, *prev; /* of the tree */
    kc_cancel *of;
    void (*fn)(void *arg, uint32_t reason);
    void *arg;
} kc_cancel_hook;
KC_API int kc_cancel_add(kc_cancel *cancel, kc_cancel_hook *hook);
/* KC_OK: it was removed and will not be called. KC_ENOENT: it was called; that call has returned.
 * Safe on a zeroed hook. */
KC_API int kc_cancel_forget(kc_cancel_hook *hook);

#ifdef __cplusplus
}
#endif
#endif
