/* latch.c: kc_latch.h. */
#include "kc_latch.h"

struct kc_latch_waiter {
    kc_latch_waiter *next;
    kc_wait wait;
    bool told;
};

static void count(kc_latch *latch, uint32_t by) {
    atomic_store_explicit(&latch->count, kc_latch_count(latch) + by, memory_order_release);
}

void kc_latch_up(kc_latch *latch) {
    kc_lock_take(&latch->lock);
    count(latch, 1);
    kc_lock_give(&latch->lock);
}

/* Under the lock: a waiter takes it before it goes, so it cannot be gone too early. */
static void tell_all(kc_latch *latch) {
    while (latch->first != NULL) {
        kc_latch_waiter *waiter = latch->first;
        latch->first = waiter->next;
        waiter->told = true;
        kc_wait_tell(&waiter->wait, KC_WAIT_DONE);
    }
}

void kc_latch_down(kc_latch *latch) {
    kc_lock_take(&latch->lock);
    count(latch, UINT32_MAX);
#if KC_MUTANT == 39 /* whoever waits for all is told when the first has ended */
    tell_all(latch);
#else
    if (kc_latch_count(latch) == 0)
        tell_all(latch);
#endif
    kc_lock_give(&latch->lock);
}

static bool join(kc_latch *latch, kc_latch_waiter *waiter) {
    bool waits = false;

    kc_lock_take(&latch->lock);
    waits = kc_latch_count(latch) != 0;
    if (waits) {
        waiter->next = latch->first;
        latch->first = waiter;
    }
    kc_lock_give(&latch->lock);
    return waits;
}

/* true: it had been told. */
static bool leave(kc_latch *latch, kc_latch_waiter *waiter) {
    kc_latch_waiter **at = &latch->first;

    kc_lock_take(&latch->lock);
    while (!waiter->told && *at != waiter)
        at = &(*at)->next;
    if (!waiter->told)
        *at = waiter->next;
    kc_lock_give(&latch->lock);
    return waiter->told;
}

int kc_latch_wait(kc_latch *latch, int64_t deadline_ns) {
    kc_latch_waiter waiter = {.told = false};
    uint32_t told = 0;
    bool over = false;

    kc_wait_begin(&waiter.wait);
    over = !join(latch, &waiter);
    if (!over) {
        told = kc_wait_for(&waiter.wait, KC_WAIT_DONE, deadline_ns);
        over = leave(latch, &waiter);
    }
    return over ? KC_OK : kc_wait_code(told);
}
