/* sleepers.c: workers that find nothing sleep, and are woken when there is more to do (kc_worker.h). */
#include <sched.h>

#include "kc_worker.h"

enum { WATCH_LEAST_NS = 250000, WATCH_MOST_NS = 4000000 };

/* Claims that a sleeper is to search, in one step with the proof that there is one: a claim on whoever has just risen
 * by itself would stay, and keep everybody from waking those who lie down later. */
static bool claims_search(kc_sched *s, uint32_t enough) {
    uint32_t sleep = atomic_fetch_add(&s->sleep, 0);
    bool claimed = false;

#if KC_MUTANT == 40 /* it is claimed that a sleeper searches, although it has risen meanwhile */
    for (int i = 0; i < 10; i++)
        (void)sched_yield();
    if (sleep >= KC_SLEEP_ONE && (sleep & (KC_SLEEP_SEARCHED | enough)) == 0)
        return (atomic_fetch_or(&s->sleep, KC_SLEEP_SEARCHED) & KC_SLEEP_SEARCHED) == 0;
#endif
    while (!claimed && sleep >= KC_SLEEP_ONE && (sleep & (KC_SLEEP_SEARCHED | enough)) == 0)
        claimed = atomic_compare_exchange_weak(&s->sleep, &sleep, sleep | KC_SLEEP_SEARCHED);
    return claimed;
}

void kc_sched_alarm(kc_sched *s, uint32_t enough) {
    if (claims_search(s, enough)) {
        (void)atomic_fetch_add_explicit(&s->wakes, 1, memory_order_relaxed);
        (void)atomic_fetch_add(&s->epoch, 1);
        kc_futex_wake(&s->epoch, 1);
    }
}

/* true: something is there that somebody could do. */
static bool is_work(kc_sched *s) {
    bool found = !kc_ready_is_empty(&s->ready) || !kc_ready_is_empty(&s->inject);

    for (uint32_t i = 0; i < s->count && s->count > 1 && !found; i++)
        found = kc_deque_count(&s->workers[i].deque) != 0;
    return found;
}

/* It was woken to search, or was the watch, and has found something: others may be needed too. */
static void pass_alarm_on(kc_worker *w) {
    kc_sched *s = w->sched;

    (void)atomic_fetch_and(&s->sleep, ~(uint32_t)KC_SLEEP_SEARCHED);
    if (is_work(s))
        kc_sched_alarm(s, 0);
#if KC_MUTANT == 61 /* a watch that rises and stays up is followed by nobody */
    return;
#endif
    if (w->was_watch != 0)
        kc_sched_alarm(s, KC_SLEEP_WATCHED); /* whoever it wakes finds nothing, lies down again, and is the watch */
}

/* One of those who sleep while others are busy looks now and then for what was left to it (push_own); less often the
 * longer it finds nothing. When all sleep there is nobody who could leave anything, and nobody looks. */
static bool becomes_watch(kc_sched *s) {
    uint32_t sleep = atomic_load(&s->sleep);

    return (sleep & KC_SLEEP_WATCHED) == 0 && sleep / KC_SLEEP_ONE < s->count &&
           (atomic_fetch_or(&s->sleep, KC_SLEEP_WATCHED) & KC_SLEEP_WATCHED) == 0;
}

static void sleep_until_alarm(kc_worker *w, uint32_t epoch) {
    kc_sched *s = w->sched;
    bool watch = becomes_watch(s);

    w->patience_ns = w->patience_ns < WATCH_MOST_NS ? 2 * w->patience_ns : WATCH_MOST_NS;
    kc_count_up(&w->sleeps);
    (void)kc_futex_wait(&s->epoch, epoch, watch ? kc_after_ns(w->patience_ns) : KC_NEVER);
    if (watch) {
        w->was_watch = 1;
        (void)atomic_fetch_and(&s->sleep, ~(uint32_t)KC_SLEEP_WATCHED);
    }
}

/* NULL: it was woken and has to search, or the end has come. */
static kc_co *sleep_or_find(kc_worker *w) {
    kc_sched *s = w->sched;
    uint32_t epoch = atomic_load(&s->epoch);
    kc_co *co = NULL;

#if KC_MUTANT == 30 /* a worker looks for the last time before it is counted: what comes in between waits for ever */
    co = kc_worker_find(w);
    (void)sched_yield();
    (void)atomic_fetch_add(&s->sleep, KC_SLEEP_ONE);
#else
    (void)atomic_fetch_add(&s->sleep, KC_SLEEP_ONE);
    co = kc_worker_find(w);
#endif
    if (co == NULL && atomic_load(&s->stopping) == 0)
        sleep_until_alarm(w, epoch);
    (void)atomic_fetch_sub(&s->sleep, KC_SLEEP_ONE);
    return co;
}

static kc_co *sleep_until_found(kc_worker *w) {
    kc_co *co = NULL;

    w->patience_ns = WATCH_LEAST_NS;
    w->was_watch = 0;
    while (co == NULL && atomic_load(&w->sched->stopping) == 0) {
        co = sleep_or_find(w);
        if (co == NULL)
            co = kc_worker_find(w);
        if (co == NULL) /* what it was woken for, others have done */
            (void)atomic_fetch_and(&w->sched->sleep, ~(uint32_t)KC_SLEEP_SEARCHED);
    }
    if (co != NULL)
        pass_alarm_on(w);
    return co;
}

kc_co *kc_worker_wait(kc_worker *w) {
    kc_co *co = kc_worker_find(w);

    return co != NULL ? co : sleep_until_found(w);
}

void kc_sched_stop(kc_sched *s) {
    atomic_store(&s->stopping, 1);
    (void)atomic_fetch_add(&s->epoch, 1);
    kc_futex_wake(&s->epoch, INT32_MAX);
}
