/* clock_wait.c: telling and waiting (kc_wait.h); a deadline is an alarm of the scheduler's clock. */
#include "kc_clock.h"
#include "kc_futex.h"

void kc_wait_tell(kc_wait *w, uint32_t what) {
    kc_co *co = w->co; /* before the word: after it the record may be gone */
    uint32_t seen = atomic_load_explicit(&w->word, memory_order_relaxed);

    while (!atomic_compare_exchange_weak_explicit(&w->word, &seen, (seen | what) & ~(uint32_t)KC_WAIT_ASLEEP,
                                                  memory_order_acq_rel, memory_order_relaxed))
        ;
    if ((seen & KC_WAIT_ASLEEP) != 0) {
        if (co != NULL)
            kc_sched_ready(co);
        else
            kc_futex_wake(&w->word, 1);
    }
}

static void sleep_thread(kc_wait *w, uint32_t seen, int64_t deadline_ns) {
    uint32_t asleep = seen | KC_WAIT_ASLEEP;

    if ((seen & KC_WAIT_ASLEEP) == 0 &&
        !atomic_compare_exchange_strong_explicit(&w->word, &seen, asleep, memory_order_acq_rel, memory_order_relaxed))
        return;
    if (kc_futex_wait(&w->word, asleep, deadline_ns) == KC_ETIME)
        (void)atomic_fetch_or_explicit(&w->word, KC_WAIT_TIME, memory_order_acq_rel);
}

/* Until one of these was told. A thread, or a coroutine that nobody schedules. */
static KC_APART uint32_t wait_thread(kc_wait *w, uint32_t what, int64_t deadline_ns) {
    uint32_t seen = atomic_load_explicit(&w->word, memory_order_acquire);

    while ((seen & what) == 0) {
        sleep_thread(w, seen, deadline_ns);
        seen = atomic_load_explicit(&w->word, memory_order_acquire);
    }
    return seen;
}

/* The same; a coroutine of a scheduler. */
static inline uint32_t wait_co(kc_wait *w, uint32_t what) {
    uint32_t seen = atomic_load_explicit(&w->word, memory_order_acquire);

    while ((seen & what) == 0) {
        kc_sched_wait(w->co, &w->word, seen, KC_WAIT_ASLEEP);
        seen = atomic_load_explicit(&w->word, memory_order_acquire);
    }
    return seen;
}

static KC_APART uint32_t wait_until(kc_wait *w, uint32_t what, int64_t deadline_ns) {
    uint32_t seen = atomic_load_explicit(&w->word, memory_order_acquire);
    kc_alarm alarm;

    if ((seen & what) == 0) {
        (void)kc_alarm_set(kc_co_sched(w->co), &alarm, w, deadline_ns);
        seen = wait_co(w, what | KC_WAIT_TIME | KC_WAIT_NO_MEMORY | KC_WAIT_NO_FILE);
        kc_alarm_clear(kc_co_sched(w->co), &alarm);
    }
    return seen;
}

uint32_t kc_wait_for(kc_wait *w, uint32_t what, int64_t deadline_ns) {
    uint32_t told = 0;

    if (w->co == NULL)
        told = wait_thread(w, deadline_ns != KC_NEVER ? what | KC_WAIT_TIME : what, deadline_ns);
    else if (deadline_ns != KC_NEVER)
        told = wait_until(w, what, deadline_ns);
    else
        told = wait_co(w, what);
    return told;
}
