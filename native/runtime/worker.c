/* worker.c: what a worker does: find a coroutine, enter it, see what became of the one that left (kc_worker.h).
 *
 * A coroutine that leaves finds the next one itself, on its own stack, and goes straight there: one switch for each
 * hand-over. The worker's thread has a stack too, its home, and that is entered when nobody is ready. Whoever arrives,
 * a coroutine or the worker at home, sees to the one that left (`left`), whose registers are stored by then: only now
 * may it be told to be asleep, put into a queue, or freed.
 */
#include <stdlib.h>

#include "kc_worker.h"

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

static KC_APART void push_ready(kc_worker *w, kc_co *co) {
    push_shared(&w->sched->ready, co);
    kc_sched_alarm_busy(w->sched, 0);
}

static KC_APART void push_deque(kc_worker *w, kc_co *co) {
    if (kc_deque_push(&w->deque, co) != KC_OK) /* no memory: the shared queue needs none */
        push_ready(w, co);
    else /* one alone is most often the partner of whoever runs here and is about to park: to move it would cost more */
        kc_sched_alarm_busy(w->sched, kc_deque_count(&w->deque) <= 1 ? KC_SLEEP_WATCHED : 0);
}

KC_PART void push_own(kc_worker *w, kc_co *co) {
    if (w->alone != 0)
        kc_line_push(&w->own, co);
    else
        push_deque(w, co);
}

/* Behind everybody who is ready. */
KC_PART void push_last(kc_worker *w, kc_co *co) {
    if (w->alone != 0)
        kc_line_push(&w->own, co);
    else
        push_ready(w, co);
}

/* From outside. The scheduler lives until the last coroutine has finished and the last visitor has gone. */
static KC_APART void push_inject(kc_sched *s, kc_co *co) {
    (void)atomic_fetch_add(&s->visitors, 1);
    push_shared(&s->inject, co);
    kc_sched_alarm(s, 0);
    (void)atomic_fetch_sub(&s->visitors, 1);
}

void kc_sched_ready(kc_co *co) {
    kc_worker *w = kc_here_get()->worker;
    kc_sched *s = kc_co_sched(co);

    /* kc_co_resume sees by it that it has a scheduler */
    atomic_store_explicit(&co->state, KC_CO_QUEUED, memory_order_release);
    if (w != NULL && w->sched == s)
        push_own(w, co);
    else
        push_inject(s, co);
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

KC_PART kc_co *take_own(kc_worker *w) {
    kc_co *co = w->alone != 0 ? kc_line_take(&w->own) : kc_deque_oldest(&w->deque);

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
        co = kc_deque_oldest(&victim->deque);
        kc_count_up(co != NULL ? &w->steals : &w->steal_failures);
    }
    return co;
}

/* Whose turn it is: those from outside, those who yielded, what another worker has left while it computes. None of them
 * may wait for the others to run dry. */
static KC_APART kc_co *look_around(kc_worker *w) {
    uint32_t turn = ++w->turn % 3;

    w->rounds_left = KC_LOOK_AROUND;
#if KC_MUTANT == 36 /* those who yield come before those who come from outside, always */
    return turn == 2 ? steal(w) : take_shared(w, false);
#else
    return turn == 2 ? steal(w) : take_shared(w, turn == 0);
#endif
}

static KC_APART kc_co *search(kc_worker *w, const kc_co *leaves) {
    bool may_steal = leaves == NULL || leaves->leave != KC_LEAVE_YIELD;
#if KC_MUTANT == 62 /* who yields looks at the worker's own queue only, and goes on before all others */
    kc_co *co = may_steal ? take_shared(w, false) : NULL;
#else
    kc_co *co = take_shared(w, false);
#endif

    return co == NULL && may_steal ? steal(w) : co;
}

/* For whoever leaves, or, NULL, for the worker at home. Others keep what is theirs from somebody who only yields,
 * except when looking around. */
KC_PART kc_co *find(kc_worker *w, const kc_co *leaves) {
    kc_co *co = --w->rounds_left == 0 ? look_around(w) : NULL;

    if (co == NULL)
        co = take_own(w);
    return co != NULL ? co : search(w, leaves);
}

kc_co *kc_worker_find(kc_worker *w) { return find(w, NULL); }

/* ---- running ---- */

/* A coroutine less. */
static void leave_sched(kc_worker *w) {
    kc_sched *s = w->sched;

    kc_count_up(&w->completed);
    if (atomic_fetch_sub(&s->live, 1) == 1 && atomic_load(&s->drainers) != 0)
        kc_futex_wake(&s->live, INT32_MAX);
}

/* Its stack, and its record if nobody else keeps it, are for the next one. Whoever keeps the record may do so longer
 * than the scheduler lives: it knows none any more. */
static KC_APART void finish(kc_worker *w, kc_co *co) {
    kc_sched *s = w->sched;
    kc_stack stack = co->stack;
    uint32_t place = co->place;

    kc_fibre_free(&co->side.fibre);
#if KC_MUTANT != 72 /* a coroutine that has finished names a scheduler that may be gone */
    atomic_store_explicit(&co->sched, NULL, memory_order_relaxed);
#endif
    kc_co_state_set(co, KC_CO_FINISHED); /* before its stack is anybody else's: kc_co_stack */
    if (kc_co_is_last(co)) {
#if defined(KC_FIBRE_ASAN) /* which sees who touches what is free */
        free(co);
#else
        stack.spare = co;
#endif
    }
    kc_stack_cache_give(&s->stacks, &stack);
    kc_places_give(s->places, place);
    leave_sched(w);
}

/* To whoever left for the stack that was entered, on that stack. */
KC_PART void settle(kc_worker *w) {
    kc_co *co = w->left;

    if (co == NULL) {
        /* the worker left its own: it has nothing else to do */
    } else if (co->leave == KC_LEAVE_WAIT) {
        kc_co_state_set(co, KC_CO_PARKED);
        if (!kc_co_falls_asleep(co)) {
            kc_co_state_set(co, KC_CO_QUEUED);
            push_own(w, co);
        }
    } else if (co->leave == KC_LEAVE_YIELD) {
        kc_co_state_set(co, KC_CO_QUEUED);
        push_last(w, co);
    } else {
        finish(w, co);
    }
}

static kc_side *side_of(kc_worker *w, kc_co *co) { return co != NULL ? &co->side : &w->home; }

/* From one coroutine to the other; NULL is the worker at home. Whoever left returns when it is entered again, a
 * coroutine perhaps by another worker. */
KC_PART void go(kc_worker *w, kc_co *from, kc_co *to) {
    w->left = from;
#if KC_MUTANT == 60 /* who yields is put into a queue before its registers are stored */
    if (from != NULL && from->leave == KC_LEAVE_YIELD) {
        settle(w);
        w->left = NULL;
    }
#endif
    w->here->co = to;
    if (to != NULL) {
        to->worker = w;
        kc_co_state_set(to, KC_CO_RUNNING);
    }
    kc_fibre_leave(&side_of(w, from)->fibre, &side_of(w, to)->fibre, from != NULL && from->leave == KC_LEAVE_END);
    kc_switch(&side_of(w, from)->context, &side_of(w, to)->context);
}

/* The worker is read from its record: which thread this is now no register may say. */
void kc_sched_arrived(kc_co *co) {
    kc_worker *w = co->worker;

    kc_fibre_enter(&co->side.fibre, &side_of(w, w->left)->fibre);
    settle(w);
}

/* Who yields and is alone goes on. */
void kc_sched_pass_on(kc_co *co) {
    kc_worker *w = co->worker;
    kc_co *next = find(w, co);

    if (next != NULL || co->leave != KC_LEAVE_YIELD) {
        go(w, co, next);
        kc_sched_arrived(co);
    }
}

void *kc_worker_main(void *arg) {
    kc_worker *w = arg;
    kc_co *co = NULL;

    w->here = kc_here_get();
    w->here->worker = w;
    kc_fibre_here(&w->home.fibre);
    if ((w->sched->flags & KC_SCHED_TELL_OVERFLOW) != 0)
        kc_guard_thread();
    while ((co = kc_worker_wait(w)) != NULL) {
        go(w, NULL, co);
        kc_fibre_enter(&w->home.fibre, &w->left->side.fibre);
        settle(w);
    }
    return NULL;
}
