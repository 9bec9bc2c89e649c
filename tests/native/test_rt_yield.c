/* test_rt_yield.c: whoever yields lets the others of its worker by, in order, and goes on as itself; nobody starves.
 * With 1, 2 and 4 workers. */
#include "kc_rt.h"

typedef struct tally {
    kc_sched *sched;
    _Atomic uint32_t ran;
    _Atomic uint32_t step;  /* who waits for whom */
    _Atomic uint32_t inner; /* those that ran in another one */
    uint32_t rounds;
} tally;

static void counts(void *arg) { (void)atomic_fetch_add(&((tally *)arg)->ran, 1); }

static void yields_often(void *arg) {
    tally *t = arg;
    kc_co *self = kc_co_self();

    for (uint32_t i = 0; i < t->rounds; i++) {
        kc_co_yield();
        KC_CHECK(kc_co_self() == self);
        KC_CHECK(kc_sched_self() == t->sched);
        KC_CHECK_EQ(kc_co_state_of(self), KC_CO_RUNNING);
    }
    (void)atomic_fetch_add(&t->ran, 1);
}

static void self_after_migration_with(uint32_t workers) {
    tally t = {.sched = rt_sched(workers), .rounds = 2000 / RT_SCALE};

    for (int i = 0; i < 20; i++)
        rt_spawn(t.sched, yields_often, &t);
    kc_sched_free(t.sched);
    KC_CHECK_EQ(t.ran, 20);
}
KC_TEST(the_current_coroutine_is_right_after_migration) { rt_with_workers(self_after_migration_with); }

/* ---- leaving for the next ---- */

static void yields_alone(void *arg) {
    for (uint32_t i = 0; i < ((tally *)arg)->rounds; i++)
        kc_co_yield();
    KC_CHECK_EQ(kc_co_state_of(kc_co_self()), KC_CO_RUNNING);
}

static void who_yields_alone_goes_on_with(uint32_t workers) {
    tally t = {.sched = rt_sched(workers), .rounds = 1000};
    kc_sched_usage usage;

    rt_spawn(t.sched, yields_alone, &t);
    KC_CHECK_EQ(kc_sched_drain(t.sched, KC_NEVER), KC_OK);
    kc_sched_measure(t.sched, &usage);
    KC_CHECK_EQ(usage.switches, 1);
    KC_CHECK_EQ(usage.steals, 0);
    kc_sched_free(t.sched);
}
KC_TEST(who_yields_alone_goes_on_without_a_switch) { rt_with_workers(who_yields_alone_goes_on_with); }

static void lets_one_from_outside_by(void *arg) {
    tally *t = arg;

    atomic_store(&t->step, 1);
    rt_until(&t->step, 2); /* the other one has been spawned */
    kc_co_yield();
    KC_CHECK_EQ(t->ran, 1);
}

KC_TEST(who_yields_goes_behind_one_from_outside) {
    tally t = {.sched = rt_sched(1)};

    rt_spawn(t.sched, lets_one_from_outside_by, &t);
    rt_until(&t.step, 1);
    rt_spawn(t.sched, counts, &t);
    atomic_store(&t.step, 2);
    kc_sched_free(t.sched);
    KC_CHECK_EQ(t.ran, 1);
}

static void runs_under_two(void *arg) {
    tally *t = arg;

    KC_CHECK(kc_sched_self() == NULL);
    kc_co_yield(); /* to the thread that resumed it; it is adopted meanwhile */
    for (uint32_t i = 0; i < t->rounds; i++) {
        KC_CHECK(kc_sched_self() == t->sched);
        kc_co_yield();
    }
    (void)atomic_fetch_add(&t->ran, 1);
}

static void resumed_then_adopted_with(uint32_t workers) {
    enum { COROUTINES = 50 };
    tally t = {.sched = rt_sched(workers), .rounds = 100};

    for (int i = 0; i < COROUTINES; i++) {
        kc_co *co = rt_co(runs_under_two, &t, NULL);
        KC_CHECK_EQ(kc_co_resume(co), KC_OK);
        KC_CHECK_EQ(kc_sched_adopt(t.sched, co), KC_OK);
        kc_co_drop(co);
    }
    kc_sched_free(t.sched);
    KC_CHECK_EQ(t.ran, COROUTINES);
}
KC_TEST(who_yielded_to_a_thread_goes_on_under_a_scheduler) { rt_with_workers(resumed_then_adopted_with); }

static void gives_way_twice(void *arg) {
    kc_co *self = kc_co_self();

    kc_co_yield();
    KC_CHECK(kc_co_self() == self);
    KC_CHECK_EQ(kc_co_park(), KC_OK);
    KC_CHECK(kc_co_self() == self);
    (void)atomic_fetch_add(&((tally *)arg)->inner, 1);
}

/* It changes workers between, as its other ones do. */
static void resumes_one_of_its_own(void *arg) {
    tally *t = arg;
    kc_co *self = kc_co_self(), *inner = rt_co(gives_way_twice, t, NULL);

    KC_CHECK_EQ(kc_co_resume(inner), KC_OK);
    KC_CHECK_EQ(kc_co_state_of(inner), KC_CO_SUSPENDED);
    kc_co_yield();
    KC_CHECK(kc_co_self() == self);
    KC_CHECK_EQ(kc_co_resume(inner), KC_OK);
    KC_CHECK_EQ(kc_co_state_of(inner), KC_CO_PARKED);
    kc_co_yield();
    KC_CHECK_EQ(kc_co_unpark(inner), KC_OK);
    KC_CHECK_EQ(kc_co_resume(inner), KC_OK);
    KC_CHECK_EQ(kc_co_state_of(inner), KC_CO_FINISHED);
    KC_CHECK(kc_co_self() == self);
    kc_co_drop(inner);
    (void)atomic_fetch_add(&t->ran, 1);
}

static void nested_with(uint32_t workers) {
    enum { COROUTINES = 50 };
    tally t = {.sched = rt_sched(workers)};

    for (int i = 0; i < COROUTINES; i++)
        rt_spawn(t.sched, resumes_one_of_its_own, &t);
    kc_sched_free(t.sched);
    KC_CHECK_EQ(t.ran, COROUTINES);
    KC_CHECK_EQ(t.inner, COROUTINES);
}
KC_TEST(a_scheduled_coroutine_runs_one_without_a_scheduler_inside) { rt_with_workers(nested_with); }

/* ---- order, fairness ---- */

typedef struct order {
    char events[128];
    int at;
} order;
typedef struct letter {
    order *order;
    char name;
} letter;

static void writes_letters(void *arg) {
    letter *l = arg;

    for (int i = 0; i < 3; i++) {
        l->order->events[l->order->at++] = l->name;
        kc_co_yield();
    }
}

static void starts_letters(void *arg) {
    letter *letters = arg;

    for (int i = 0; i < 3; i++)
        rt_spawn(kc_sched_self(), writes_letters, &letters[i]);
}

KC_TEST(one_worker_runs_first_come_first_served) {
    order o = {.at = 0};
    letter letters[] = {{&o, 'a'}, {&o, 'b'}, {&o, 'c'}};
    kc_sched *sched = rt_sched(1);

    rt_spawn(sched, starts_letters, letters);
    kc_sched_free(sched);
    KC_CHECK_STR(o.events, "abcabcabc");
}

typedef struct greedy {
    _Atomic uint32_t stop;
} greedy;

static void yields_until_stopped(void *arg) {
    while (atomic_load(&((greedy *)arg)->stop) == 0)
        kc_co_yield();
}

static void stops(void *arg) { atomic_store(&((greedy *)arg)->stop, 1); }

/* Yielding coroutines alone keep every worker busy; one from outside must get its turn or this hangs. */
static void outside_gets_its_turn_with(uint32_t workers) {
    greedy g = {.stop = 0};
    kc_sched *sched = rt_sched(workers);

    for (uint32_t i = 0; i < 2 * workers; i++)
        rt_spawn(sched, yields_until_stopped, &g);
    rt_spawn(sched, stops, &g);
    kc_sched_free(sched);
    KC_CHECK_EQ(g.stop, 1);
}
KC_TEST(whoever_comes_from_outside_gets_a_turn) { rt_with_workers(outside_gets_its_turn_with); }

/* Two workers: one computes, the other one always has somebody who yields. */
typedef struct left {
    kc_sched *sched;
    _Atomic uint32_t yields, ran, stop;
} left;

static void yields_beside_a_computation(void *arg) {
    left *l = arg;

    while (atomic_load(&l->stop) == 0) {
        (void)atomic_fetch_add(&l->yields, 1);
        kc_co_yield();
    }
}

static void is_left(void *arg) { atomic_store(&((left *)arg)->ran, 1); }

static void computes_beside_what_it_left(void *arg) {
    enum { MOST_YIELDS = 100000 };
    left *l = arg;
    uint32_t yields = 0;

    rt_spawn(l->sched, is_left, l);
    yields = atomic_load(&l->yields); /* now: who knows when this thread was last let run */
    while (atomic_load(&l->ran) == 0 && atomic_load(&l->yields) - yields < MOST_YIELDS)
        (void)sched_yield(); /* the thread stays with this coroutine */
    KC_CHECK_EQ(l->ran, 1);
    atomic_store(&l->stop, 1);
}

KC_TEST(what_a_computing_worker_left_is_stolen_by_one_that_is_never_idle) {
    left l = {.sched = rt_sched(2)};

    rt_spawn(l.sched, yields_beside_a_computation, &l);
    while (atomic_load(&l.yields) == 0)
        (void)sched_yield();
    rt_spawn(l.sched, computes_beside_what_it_left, &l);
    kc_sched_free(l.sched);
}

int main(void) {
    KC_RUN(the_current_coroutine_is_right_after_migration);
    KC_RUN(who_yields_alone_goes_on_without_a_switch);
    KC_RUN(who_yields_goes_behind_one_from_outside);
    KC_RUN(who_yielded_to_a_thread_goes_on_under_a_scheduler);
    KC_RUN(a_scheduled_coroutine_runs_one_without_a_scheduler_inside);
    KC_RUN(one_worker_runs_first_come_first_served);
    KC_RUN(whoever_comes_from_outside_gets_a_turn);
    KC_RUN(what_a_computing_worker_left_is_stolen_by_one_that_is_never_idle);
    return kc_test_report();
}
