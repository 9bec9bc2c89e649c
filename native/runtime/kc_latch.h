/* kc_latch.h: waiting until a number of things is over: the children of a scope, the end of an actor.
 *
 * Invariants: whoever waits is told when the count has come to 0, and may then free the latch: the one who counted down
 * gives the lock back first and touches nothing after.
 */
#ifndef KC_LATCH_H
#define KC_LATCH_H

#include "core/kc_lock.h"
#include "kc_wait.h"

typedef struct kc_latch_waiter kc_latch_waiter;
/* One of zeros counts nothing. */
typedef struct kc_latch {
    kc_lock lock;
    _Atomic uint32_t count; /* written under the lock */
    kc_latch_waiter *first;
} kc_latch;

void kc_latch_up(kc_latch *latch);
void kc_latch_down(kc_latch *latch);
/* KC_OK: the count was 0; KC_ETIME at the deadline; KC_ENOMEM, KC_EDQUOT: it could not be set. */
int kc_latch_wait(kc_latch *latch, int64_t deadline_ns);
static inline uint32_t kc_latch_count(const kc_latch *latch) {
    return atomic_load_explicit(&latch->count, memory_order_acquire);
}

#endif
