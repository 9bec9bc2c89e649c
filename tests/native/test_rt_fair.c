/* test_rt_fair.c: who is run when, and by whom: turns of those who yield, sleepers that are woken and the one that
 * keeps watch, states as others see them. A wake that does not come ends a test by its time-out.
 */
#include "kc_gang.h"
#include "kc_rt.h"
#include "runtime/kc_worker.h"

typedef struct world {
    kc_sched *sched;
    rt_spinner other, first;
    _Atomic uint32_t ran, stop;
    uint32_t seen;
    kc_co *players[2], *yielder;
} world;

static void counts(void *arg) { (void)atomic_fetch_add(&((world *)arg)->ran, 1); }

/* ---- turns ---- */

enum { YIELDS = 100, INJECTED = 50 };

static void yields(void *arg) {
    (void)arg;
    for (int i = 0; i < YIELDS; i++)
        kc_co_yield();
}

static void two_yield(void *arg) {
    rt_spawn(arg, yields, NULL);
    rt_spawn(arg, yields, NULL);
}

/* Two give way to each other on one worker; another, if there is one, is kept busy. */
static kc_sched_usage usage_of_yields(uint32_t workers) {
    kc_sched *sched = rt_sched(workers);
    rt_spinner other = {0};
    kc_sched_usage usage;

    if (workers == 2)
        rt_occupy(sched, &other);
    rt_spawn(sched, two_yield, sched);
    do
        kc_sched_measure(sched, &usage);
    while (usage.completed < 3);
    atomic_store(&other.stop, 1);
    KC_CHECK_EQ(kc_sched_drain(sched, KC_NEVER), KC_OK);
    kc_sched_measure(sched, &usage);
    kc_sched_free(sched);
    return usage;
}

KC_TEST(who_yields_is_in_the_queue_of_all_workers_and_of_the_only_one) {
    kc_sched_usage one = usage_of_yields(1), two = usage_of_yields(2);

    KC_CHECK_EQ(one.inject_pulls + two.inject_pulls, 3);
    KC_CHECK_EQ(one.fast_path, 2 + 2 * YIELDS); /* the first turn of each is the worker's own in any case */
    KC_CHECK_EQ(one.ready_pulls, 0);
    KC_CHECK_EQ(two.ready_pulls, 2 * YIELDS);
    KC_CHECK_EQ(two.fast_path, 2);
    KC_CHECK_EQ(two.steals, 0);
}

/* Two that unpark each other: their worker's own queue is never empty. */
static void plays(void *arg) {
    world *w = arg;
    kc_co *partner = w->players[w->players[0] == kc_co_self()];

    while (atomic_load(&w->stop) == 0) {
        (void)kc_co_unpark(partner);
        (void)kc_co_park();
    }
    (void)kc_co_unpark(partner);
}

static void yields_once(void *arg) {
    world *w = arg;

    kc_co_yield();
    w->seen = atomic_load(&w->ran);
    atomic_store(&w->stop, 1);
    atomic_store(&w->other.stop, 1);
}

static void lets_them_play(void *arg) {
    world *w = arg;

    rt_spins(&w->first);
    for (int i = 0; i < 2; i++)
        KC_CHECK_EQ(kc_sched_adopt(w->sched, w->players[i]), KC_OK);
    KC_CHECK_EQ(kc_sched_adopt(w->sched, w->yielder), KC_OK);
}

KC_TEST(who_yielded_has_a_turn_while_others_come_from_outside_and_the_own_queue_is_never_empty) {
    world w = {.sched = rt_sched(2)};

    for (int i = 0; i < 2; i++)
        w.players[i] = rt_co(plays, &w, "player");
    w.yielder = rt_co(yields_once, &w, "yielder");
    rt_occupy(w.sched, &w.other);
    rt_spawn(w.sched, lets_them_play, &w);
    rt_until(&w.first.busy, 1);
    for (int i = 0; i < INJECTED; i++)
        rt_spawn(w.sched, counts, &w);
    atomic_store(&w.first.stop, 1);
    KC_CHECK_EQ(kc_sched_drain(w.sched, KC_NEVER), KC_OK);
    KC_CHECK(w.seen <= 1);
    KC_CHECK_EQ(w.ran, INJECTED);
    kc_sched_free(w.sched);
    for (int i = 0; i < 2; i++)
        kc_co_drop(w.players[i]);
    kc_co_drop(w.yielder);
}

/* ---- who is woken ---- */

enum { ROUNDS = 20, MOST_ROUNDS = 1000 };

static void does_nothing(void *arg) { (void)arg; }

/* Whoever asks runs on one of two workers, and nothing waits: the other one sleeps and keeps watch. If it lay down when
 * both did, nobody keeps watch, and it is woken for the next time. */
static void until_watched(kc_sched *s) {
    uint32_t sleep = atomic_load(&s->sleep);

    while (sleep != KC_SLEEP_ONE + KC_SLEEP_WATCHED || kc_deque_count(&s->workers[0].deque) != 0 ||
           kc_deque_count(&s->workers[1].deque) != 0) {
        if (sleep == KC_SLEEP_ONE)
            rt_spawn(s, does_nothing, NULL);
        (void)sched_yield(); /* the thread stays with this coroutine */
        sleep = atomic_load(&s->sleep);
    }
}

static void leaves_one(void *arg) {
    world *w = arg;

    for (uint32_t i = 1; i <= ROUNDS; i++) {
        until_watched(w->sched);
        rt_spawn(w->sched, counts, w);
        rt_until(&w->ran, i);
    }
}

KC_TEST(one_that_a_computing_worker_leaves_is_found_by_the_watch_again_and_again) {
    world w = {.sched = rt_sched(2)};

    rt_spawn(w.sched, leaves_one, &w);
    kc_sched_free(w.sched);
    KC_CHECK_EQ(w.ran, ROUNDS);
}

/* The watch may rise by itself just then; so it is tried again. */
static void leaves_two(void *arg) {
    world *w = arg;

    for (uint32_t i = 1; i <= MOST_ROUNDS && w->seen == 0; i++) {
        until_watched(w->sched);
        uint64_t before = kc_count_of(&w->sched->wakes);
        rt_spawn(w->sched, counts, w);
        rt_spawn(w->sched, counts, w);
        w->seen = kc_count_of(&w->sched->wakes) != before;
        rt_until(&w->ran, 2 * i);
    }
}

/* Somebody else is ready, so that the one that yields is too much for one worker. */
static void yields_beside_the_watch(void *arg) {
    world *w = arg;

    for (uint32_t i = 1; i <= MOST_ROUNDS && w->seen == 0; i++) {
        until_watched(w->sched);
        rt_spawn(w->sched, counts, w);
        uint64_t before = kc_count_of(&w->sched->wakes);
        kc_co_yield();
        w->seen = kc_count_of(&w->sched->wakes) != before;
        rt_until(&w->ran, i);
    }
}

static void wakes_a_sleeper(kc_co_fn fn) {
    world w = {.sched = rt_sched(2)};

    rt_spawn(w.sched, fn, &w);
    kc_sched_free(w.sched);
    KC_CHECK_EQ(w.seen, 1);
}
KC_TEST(two_that_a_worker_leaves_wake_a_sleeper) { wakes_a_sleeper(leaves_two); }
KC_TEST(a_yield_wakes_a_sleeper) { wakes_a_sleeper(yields_beside_the_watch); }

static kc_sched_usage until_all_sleep(kc_sched *s) {
    kc_sched_usage usage;

    do
        kc_sched_measure(s, &usage);
    while (usage.sleeps < usage.workers || usage.idle != usage.workers);
    return usage;
}

/* Each waits for the others: one worker alone, however fast, is not enough. */
static void meets_the_others(void *arg) {
    world *w = arg;

    counts(w);
    while (atomic_load(&w->ran) < w->seen)
        (void)sched_yield();
}

KC_TEST(what_comes_at_once_from_outside_wakes_as_many_as_it_takes) {
    world w = {.sched = rt_sched(4)};

    for (uint32_t i = 1; i <= ROUNDS; i++) {
        (void)until_all_sleep(w.sched);
        w.seen = 3 * i;
        for (int k = 0; k < 3; k++)
            rt_spawn(w.sched, meets_the_others, &w);
        KC_CHECK_EQ(kc_sched_drain(w.sched, KC_NEVER), KC_OK);
        KC_CHECK_EQ(w.ran, w.seen);
    }
    kc_sched_free(w.sched);
}

static void leaves_three(void *arg) {
    world *w = arg;

    for (int k = 0; k < 3; k++)
        rt_spawn(w->sched, meets_the_others, w);
    while (atomic_load(&w->ran) < w->seen)
        (void)sched_yield(); /* the thread stays with this coroutine */
}

KC_TEST(what_a_computing_worker_leaves_at_once_wakes_as_many_as_it_takes) {
    world w = {.sched = rt_sched(4)};

    for (uint32_t i = 1; i <= ROUNDS; i++) {
        (void)until_all_sleep(w.sched);
        w.seen = 3 * i;
        rt_spawn(w.sched, leaves_three, &w);
        KC_CHECK_EQ(kc_sched_drain(w.sched, KC_NEVER), KC_OK);
        KC_CHECK_EQ(w.ran, w.seen);
    }
    kc_sched_free(w.sched);
}

KC_TEST(nobody_sleeps_before_it_has_looked_into_every_other_queue) {
    kc_sched *sched = rt_sched(4);
    kc_sched_usage usage = until_all_sleep(sched);

    KC_CHECK(usage.steal_probes >= 3 * usage.sleeps); /* at least one search before each, at all three others */
    kc_sched_free(sched);
}

static void belongs(void *arg) {
    world *w = arg;

    for (int i = 0; i < ROUNDS; i++) {
        KC_CHECK_EQ(kc_co_park(), KC_OK);
        KC_CHECK(kc_sched_self() == w->sched);
        counts(w);
    }
}

static void wakes_abroad(void *arg) {
    world *w = arg;

    for (uint32_t i = 1; i <= ROUNDS; i++) {
        KC_CHECK_EQ(kc_co_unpark(w->yielder), KC_OK);
        while (atomic_load(&w->ran) != i)
            kc_co_yield();
    }
}

static void abroad_with(uint32_t workers) {
    world w = {.sched = rt_sched(workers)};
    kc_sched *abroad = rt_sched(workers);

    KC_REQUIRE(kc_sched_spawn(w.sched, belongs, &w, &w.yielder) == KC_OK);
    rt_spawn(abroad, wakes_abroad, &w);
    kc_sched_free(abroad);
    kc_sched_free(w.sched);
    KC_CHECK_EQ(w.ran, ROUNDS);
    kc_co_drop(w.yielder);
}
KC_TEST(a_coroutine_is_run_by_its_own_scheduler_whoever_wakes_it) { rt_with_workers(abroad_with); }

/* ---- the end ---- */

static void parks(void *arg) {
    (void)arg;
    (void)kc_co_park();
}

static void drains(void *arg) { KC_CHECK_EQ(kc_sched_drain(((world *)arg)->sched, KC_NEVER), KC_OK); }

KC_TEST(all_who_drain_are_told) {
    world w = {.sched = rt_sched(1)};

    for (int i = 0; i < ROUNDS; i++) {
        kc_gang gang;
        kc_co *co = NULL;
        KC_REQUIRE(kc_sched_spawn(w.sched, parks, NULL, &co) == KC_OK);
        kc_gang_begin(&gang, 3);
        for (int k = 0; k < 3; k++)
            kc_gang_join(&gang, drains, &w);
        rt_until(&w.sched->drainers, 3);
        for (int k = 0; k < 100; k++) /* let them sleep; if one does not yet, it finds the end by itself */
            (void)sched_yield();
        KC_CHECK_EQ(kc_co_unpark(co), KC_OK);
        kc_gang_end(&gang);
        kc_co_drop(co);
    }
    kc_sched_free(w.sched);
}

KC_TEST(who_has_ended_gives_its_place_in_line_back) {
    world w = {.sched = rt_sched(2)};

    for (int i = 0; i < 1000; i++) {
        rt_spawn(w.sched, counts, &w);
        KC_CHECK_EQ(kc_sched_drain(w.sched, KC_NEVER), KC_OK);
    }
    KC_CHECK(kc_places_take(w.sched->places) <= 8); /* two queues, one coroutine, and a few that still leave */
    kc_sched_free(w.sched);
}

/* ---- states ---- */

static void waits_for_what_has_come(void *arg) {
    _Atomic uint32_t word = 0;

    (void)arg;
    kc_co_wait(kc_co_self(), &word, 1, 8);
}

static void looks(void *arg) {
    world *w = arg;

    w->seen = kc_co_state_of(w->yielder);
}

/* One worker: who looks runs between the two turns of the other. */
static void starts_both(void *arg) {
    world *w = arg;

    KC_CHECK_EQ(kc_sched_adopt(w->sched, w->yielder), KC_OK);
    rt_spawn(w->sched, looks, w);
}

static void is_ready_between(kc_co_fn fn) {
    world w = {.sched = rt_sched(1), .yielder = rt_co(fn, NULL, NULL), .seen = 99};

    rt_spawn(w.sched, starts_both, &w);
    kc_sched_free(w.sched);
    KC_CHECK_EQ(w.seen, KC_CO_READY);
    KC_CHECK_EQ(kc_co_state_of(w.yielder), KC_CO_FINISHED);
    kc_co_drop(w.yielder);
}

KC_TEST(who_yielded_or_need_not_wait_is_ready_until_its_turn) {
    is_ready_between(yields);
    is_ready_between(waits_for_what_has_come);
}

int main(void) {
    KC_RUN(who_yields_is_in_the_queue_of_all_workers_and_of_the_only_one);
    KC_RUN(who_yielded_has_a_turn_while_others_come_from_outside_and_the_own_queue_is_never_empty);
    KC_RUN(one_that_a_computing_worker_leaves_is_found_by_the_watch_again_and_again);
    KC_RUN(two_that_a_worker_leaves_wake_a_sleeper);
    KC_RUN(a_yield_wakes_a_sleeper);
    KC_RUN(what_comes_at_once_from_outside_wakes_as_many_as_it_takes);
    KC_RUN(what_a_computing_worker_leaves_at_once_wakes_as_many_as_it_takes);
    KC_RUN(nobody_sleeps_before_it_has_looked_into_every_other_queue);
    KC_RUN(a_coroutine_is_run_by_its_own_scheduler_whoever_wakes_it);
    KC_RUN(all_who_drain_are_told);
    KC_RUN(who_has_ended_gives_its_place_in_line_back);
    KC_RUN(who_yielded_or_need_not_wait_is_ready_until_its_turn);
    return kc_test_report();
}
