/* timers.c: the timers of kc_timers.h: the heap under a lock, its calls outside of it. */
#include "kc_timers.h"

enum { AT_ONCE = 32 };

void kc_timers_begin(kc_timers *t, uint32_t count_max, kc_wake *nearer) {
    *t = (kc_timers){.next_ns = KC_NEVER, .nearer = nearer};
    kc_heap_begin(&t->heap, count_max);
}

void kc_timers_end(kc_timers *t) {
    kc_wake *wake = NULL;

    while ((wake = kc_heap_pop(&t->heap, KC_NEVER)) != NULL)
        wake->call(wake, KC_ECANCELED);
    kc_heap_end(&t->heap);
}

/* Under the lock; after every change of the heap. */
static void publish(kc_timers *t) { atomic_store(&t->next_ns, kc_heap_next_ns(&t->heap)); }

int kc_timers_add(kc_timers *t, int64_t due_ns, kc_wake *wake, kc_ticket *id_out) {
    int64_t before_ns = KC_NEVER;
    int rc = KC_OK;

    kc_lock_take(&t->lock);
    before_ns = kc_heap_next_ns(&t->heap);
    rc = kc_heap_add(&t->heap, due_ns, wake, id_out);
    publish(t);
    kc_lock_give(&t->lock);
    if (rc == KC_OK && due_ns < before_ns && t->nearer != NULL)
        t->nearer->call(t->nearer, 0);
    return rc;
}

kc_wake *kc_timers_take(kc_timers *t, kc_ticket id) {
    kc_wake *wake = NULL;

    kc_lock_take(&t->lock);
    wake = kc_heap_remove(&t->heap, id);
    publish(t);
    kc_lock_give(&t->lock);
    return wake;
}

int kc_timers_cancel(kc_timers *t, kc_ticket id) { return kc_timers_take(t, id) != NULL; }

int64_t kc_timers_next_ns(const kc_timers *t) { return atomic_load(&t->next_ns); }

static uint32_t take_due(kc_timers *t, int64_t now_ns, uint32_t most, kc_wake **wakes) {
    uint32_t count = 0;

    kc_lock_take(&t->lock);
    while (count < most && (wakes[count] = kc_heap_pop(&t->heap, now_ns)) != NULL)
        count++;
    publish(t);
    kc_lock_give(&t->lock);
    return count;
}

static uint32_t count_of(kc_timers *t) {
    uint32_t count = 0;

    kc_lock_take(&t->lock);
    count = t->heap.count;
    kc_lock_give(&t->lock);
    return count;
}

uint32_t kc_timers_run(kc_timers *t, int64_t now_ns) {
    uint32_t most = kc_timers_next_ns(t) <= now_ns ? count_of(t) : 0; /* a call that adds one that is due is no loop */
    uint32_t called = 0;
    uint32_t taken = 0;

    do {
        kc_wake *wakes[AT_ONCE];
        taken = take_due(t, now_ns, most - called < AT_ONCE ? most - called : AT_ONCE, wakes);
        for (uint32_t i = 0; i < taken; i++)
            wakes[i]->call(wakes[i], KC_ETIME);
        called += taken;
    } while (taken == AT_ONCE);
    return called;
}
