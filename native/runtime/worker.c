/* worker.c: what a worker does: find a coroutine, run it, see what became of it; sleep when there is none (kc_worker.h). */
#include <sched.h>

#include "kc_worker.h"

enum { LOOK_AROUND = 61, WATCH_LEAST_NS = 250000, WATCH_MOST_NS = 4000000 };

/* Everybody's queues. A push cannot fail: each brings its own place. */
static void push_shared(kc_ready *q, kc_co *co) { kc_ready_push(q, co->place, co); }

static kc_co *take_from(kc_ready *q, kc_count *pulls) {
    uint32_t place = 0;
    kc_co *co = kc_ready_is_empty(q) ? NULL : kc_ready_pop(q, &place);

    if (co != NULL) {
        co->place = place;
        kc_count_up(pulls);
    }
    return co;
}

/* ---- adding work ---- */

/* Claims that a sleeper is to search, in one step with the proof that there is one: a claim on whoever has just risen by itself
 * would stay, and keep everybody from waking those who lie down later. */
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

/* Wakes a sleeper, unless one was woken already and still searches, or (KC_SLEEP_WATCHED) one will look soon by itself and
 * that is enough. After the work was added. */
static void alarm_one(kc_sched *s, uint32_t enough) {
    if (claims_search(s, enough)) {
        (void)atomic_fetch_add_explicit(&s->wakes, 1, memory_order_relaxed);
        (void)atomic_fetch_add(&s->epoch, 1);
        kc_futex_wake(&s->epoch, 1);
    }
}

static void push_own(kc_worker *w, kc_co *co) {
    if (w->sched->count == 1) {
        kc_line_push(&w->own, co);
    } else {
        if (kc_deque_push(&w->deque, co) != KC_OK) /* no memory: the shared queue needs none */
            push_shared(&w->sched->ready, co);
        /* One alone is most often the partner of whoever runs here and is about to park: moving it would cost more. */
        alarm_one(w->sched, kc_deque_count(&w->deque) <= 1 ? KC_SLEEP_WATCHED : 0);
    }
}

/* Behind everybody who is ready. */
static void push_last(kc_worker *w, kc_co *co) {
    if (w->sched->count == 1) {
        kc_line_push(&w->own, co);
    } else {
        push_shared(&w->sched->ready, co);
        alarm_one(w->sched, 0);
    }
}

/* From outside. The scheduler lives until the last coroutine has finished and the last visitor has gone. */
static void push_inject(kc_sched *s, kc_co *co) {
    (void)atomic_fetch_add(&s->visitors, 1);
    push_shared(&s->inject, co);
    alarm_one(s, 0);
    (void)atomic_fetch_sub(&s->visitors, 1);
}

void kc_sched_enqueue(kc_sched *s, kc_co *co) {
    kc_worker *w = kc_here_get()->worker;

    if (w != NULL && w->sched == s)
        push_own(w, co);
    else
        push_inject(s, co);
}

void kc_sched_ready(kc_co *co) {
    kc_co_state_set(co, KC_CO_READY);
    kc_sched_enqueue(kc_co_sched(co), co);
}

/* ---- finding work ---- */

/* Each of the two is the first to be looked at now and then: either may never be empty. */
static kc_co *take_shared(kc_worker *w, bool inject_first) {
    kc_sched *s = w->sched;
    kc_co *co = inject_first ? take_from(&s->inject, &w->inject_pulls) : take_from(&s->ready, &w->ready_pulls);

    if (co == NULL)
        co = inject_first ? take_from(&s->ready, &w->ready_pulls) : take_from(&s->inject, &w->inject_pulls);
    return co;
}

static kc_co *take_oldest(kc_deque *deque) {
    void *co = NULL;

    while (kc_deque_steal(deque, &co) == KC_EAGAIN)
        ;
    return co;
}

static kc_co *take_own(kc_worker *w) {
    kc_co *co = w->sched->count == 1 ? kc_line_take(&w->own) : take_oldest(&w->deque);

    if (co != NULL)
        kc_count_up(&w->fast_path);
    return co;
}

/* xorshift (Marsaglia 2003): where a search begins. */
static uint32_t throw_dice(kc_worker *w) {
    w->dice ^= w->dice << 13;
    w->dice ^= w->dice >> 7;
    w->dice ^= w->dice << 17;
    return (uint32_t)(w->dice >> 32);
}

static kc_co *steal(kc_worker *w) {
    kc_sched *s = w->sched;
    uint32_t start = s->count > 1 ? throw_dice(w) % s->count : 0;
    kc_co *co = NULL;

    for (uint32_t i = 0; i < s->count && s->count > 1 && co == NULL; i++) {
        kc_worker *victim = &s->workers[(start + i) % s->count];
        if (victim == w)
            continue;
        kc_count_up(&w->steal_probes);
        co = take_oldest(&victim->deque);
        kc_count_up(co != NULL ? &w->steals : &w->steal_failures);
    }
    return co;
}

/* Whose turn it is: those from outside, those who yielded, what another worker has left while it computes. None of them may
 * wait for the others to run dry. */
static kc_co *look_around(kc_worker *w) {
    uint32_t turn = w->round / LOOK_AROUND % 3;

#if KC_MUTANT == 36 /* those who yield come before those who come from outside, always */
    return turn == 2 ? steal(w) : take_shared(w, false);
#else
    return turn == 2 ? steal(w) : take_shared(w, turn == 0);
#endif
}

static kc_co *find(kc_worker *w) {
    kc_co *co = ++w->round % LOOK_AROUND == 0 ? look_around(w) : NULL;

    if (co == NULL)
        co = take_own(w);
    if (co == NULL)
        co = take_shared(w, false);
    if (co == NULL)
        co = steal(w);
    return co;
}

/* ---- sleeping ---- */

/* true: something is there that somebody could do. */
static bool is_work(kc_sched *s) {
    bool found = !kc_ready_is_empty(&s->ready) || !kc_ready_is_empty(&s->inject);

    for (uint32_t i = 0; i < s->count && s->count > 1 && !found; i++)
        found = kc_deque_count(&s->workers[i].deque) != 0;
    return found;
}

/* It was woken to search, and has found something: others may be needed too. */
static void pass_alarm_on(kc_sched *s) {
    (void)atomic_fetch_and(&s->sleep, ~(uint32_t)KC_SLEEP_SEARCHED);
    if (is_work(s))
        alarm_one(s, 0);
}

/* One of those who sleep while others are busy looks now and then for what was left to it (push_own); less often the longer
 * it finds nothing. When all sleep there is nobody who could leave anything, and nobody looks. */
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
    if (watch)
        (void)atomic_fetch_and(&s->sleep, ~(uint32_t)KC_SLEEP_WATCHED);
}

/* NULL: it was woken and has to search, or the end has come. */
static kc_co *sleep_or_find(kc_worker *w) {
    kc_sched *s = w->sched;
    uint32_t epoch = atomic_load(&s->epoch);
    kc_co *co = NULL;

#if KC_MUTANT == 30 /* a worker looks for the last time before it is counted: what comes in between waits for ever */
    co = find(w);
    (void)sched_yield();
    (void)atomic_fetch_add(&s->sleep, KC_SLEEP_ONE);
#else
    (void)atomic_fetch_add(&s->sleep, KC_SLEEP_ONE);
    co = find(w);
#endif
    if (co == NULL && atomic_load(&s->stopping) == 0)
        sleep_until_alarm(w, epoch);
    (void)atomic_fetch_sub(&s->sleep, KC_SLEEP_ONE);
    return co;
}

static kc_co *wait_for_work(kc_worker *w) {
    kc_co *co = NULL;

    w->patience_ns = WATCH_LEAST_NS;
    while (co == NULL && atomic_load(&w->sched->stopping) == 0) {
        co = sleep_or_find(w);
        if (co == NULL)
            co = find(w);
        if (co == NULL) /* what it was woken for, others have done */
            (void)atomic_fetch_and(&w->sched->sleep, ~(uint32_t)KC_SLEEP_SEARCHED);
    }
    if (co != NULL)
        pass_alarm_on(w->sched);
    return co;
}

void kc_sched_stop(kc_sched *s) {
    atomic_store(&s->stopping, 1);
    (void)atomic_fetch_add(&s->epoch, 1);
    kc_futex_wake(&s->epoch, INT32_MAX);
}

/* ---- running ---- */

void kc_sched_leave(kc_sched *s) {
    (void)atomic_fetch_add_explicit(&s->completed, 1, memory_order_relaxed);
    if (atomic_fetch_sub(&s->live, 1) == 1 && atomic_load(&s->drainers) != 0)
        kc_futex_wake(&s->live, INT32_MAX);
}

/* Whoever keeps the record may do so longer than its scheduler lives: it knows none any more. */
static void finish(kc_worker *w, kc_co *co) {
    kc_stack stack = co->stack;

    kc_fibre_free(&co->fibre);
    kc_places_give(w->sched->places, co->place);
#if KC_MUTANT != 72 /* a coroutine that has finished names a scheduler that may be gone */
    atomic_store_explicit(&co->sched, NULL, memory_order_relaxed);
#endif
    kc_co_state_set(co, KC_CO_FINISHED); /* before its stack is anybody else's: kc_co_stack */
    kc_stack_cache_give(&w->sched->stacks, &stack);
    kc_co_drop(co);
    kc_sched_leave(w->sched);
}

static void run(kc_worker *w, kc_co *co) {
    uint32_t why = KC_LEAVE_END;

    co->worker = w;
    kc_co_state_set(co, KC_CO_RUNNING);
    kc_count_up(&w->switches);
    why = kc_co_enter(co);
    if (why == KC_LEAVE_END) {
        finish(w, co);
    } else if (why == KC_LEAVE_YIELD) {
        kc_co_state_set(co, KC_CO_READY);
        push_last(w, co);
    } else {
        kc_co_state_set(co, KC_CO_PARKED);
        if (!kc_co_falls_asleep(co)) {
            kc_co_state_set(co, KC_CO_READY);
            push_own(w, co);
        }
    }
}

void *kc_worker_main(void *arg) {
    kc_worker *w = arg;
    kc_co *co = NULL;

    kc_here_get()->worker = w;
    w->alternate = (w->sched->flags & KC_SCHED_TELL_OVERFLOW) != 0 ? kc_guard_thread_begin() : NULL;
    do {
        co = find(w);
        if (co == NULL)
            co = wait_for_work(w);
        if (co != NULL)
            run(w, co);
    } while (co != NULL);
    kc_guard_thread_end(w->alternate);
    return NULL;
}
