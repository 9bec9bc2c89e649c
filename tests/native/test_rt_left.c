/* test_rt_left.c: work that a busy worker leaves in its queue reaches a worker that sleeps: by an alarm, by the watch,
 * by whoever was woken before. Told by kc_sched_measure and by words that the coroutines themselves set; what never
 * comes ends with the time that a test has.
 *
 * A worker that spins (rt_until) stays with its coroutine: all else has to be done by the others.
 */
#include "kc_rt.h"
#include "runtime/kc_worker.h"

enum { ROUNDS = 100 / RT_SCALE, MOST_ROUNDS = 1000 /* until what is looked for was seen once */ };

typedef struct yard {
    kc_sched *sched;
    _Atomic uint32_t ran, inside, turned, over;
    uint32_t silent, rung; /* rounds in which nobody was woken; in which somebody was */
    char order[8];
    uint32_t written;
} yard;

/* Asleep, and nobody looks by itself any more, but for who was the watch, once: when all sleep there is no watch. */
static void until_all_sleep(kc_sched *sched) { rt_until(&sched->sleep, kc_sched_workers(sched) * KC_SLEEP_ONE); }

static uint64_t wakes_of(kc_sched *sched) {
    kc_sched_usage usage;

    kc_sched_measure(sched, &usage);
    return usage.wakes;
}

static void count_round(yard *y, uint64_t wakes_before) {
    if (wakes_of(y->sched) == wakes_before)
        y->silent++;
    else
        y->rung++;
}

static void runs(void *arg) { (void)atomic_fetch_add(&((yard *)arg)->ran, 1); }

/* ---- one that is left ---- */

static void leaves_one(void *arg) {
    yard *y = arg;
    uint32_t before = atomic_load(&y->ran);

    rt_spawn(y->sched, runs, y);
    rt_until(&y->ran, before + 1);
}

/* The other one sleeps and is the watch, and nobody has woken it: whoever was woken is told no second time, and for a
 * while still looks as if it slept. */
static bool is_watched(const yard *y) {
    return (atomic_load(&y->sched->sleep) & (KC_SLEEP_WATCHED | KC_SLEEP_SEARCHED)) == KC_SLEEP_WATCHED;
}

/* It lay down while this one was busy. */
static void until_watched(yard *y) {
    if (!is_watched(y))
        leaves_one(y);
    while (!is_watched(y))
        (void)sched_yield();
}

KC_TEST(what_is_left_while_nobody_watches_wakes_a_sleeper_that_steals_it) {
    yard y = {.sched = rt_sched(2)};
    kc_sched_usage usage;

    for (int i = 0; i < ROUNDS; i++) {
        until_all_sleep(y.sched);
        rt_spawn(y.sched, leaves_one, &y);
        KC_CHECK_EQ(kc_sched_drain(y.sched, KC_NEVER), KC_OK);
    }
    do /* who was the watch rises once more before it lies down for good */
        kc_sched_measure(y.sched, &usage);
    while (usage.idle != 2);
    KC_CHECK_EQ(usage.steals, ROUNDS); /* who left them was busy */
    KC_CHECK(usage.wakes >= ROUNDS); /* for those from outside at least */
    KC_CHECK(usage.sleeps > 0);
    kc_sched_free(y.sched);
}

static void leaves_one_to_the_watch(void *arg) {
    yard *y = arg;

    for (int i = 0; i < MOST_ROUNDS && y->silent == 0; i++) {
        uint64_t wakes = 0;
        uint32_t ran = 0;
        until_watched(y);
        ran = atomic_load(&y->ran);
        wakes = wakes_of(y->sched);
        rt_spawn(y->sched, runs, y);
        count_round(y, wakes);
        rt_until(&y->ran, ran + 1);
    }
}

KC_TEST(one_alone_is_left_to_the_watch_which_finds_it_by_itself) {
    yard y = {.sched = rt_sched(2)};

    rt_spawn(y.sched, leaves_one_to_the_watch, &y);
    kc_sched_free(y.sched);
    KC_CHECK(y.silent > 0); /* now and then the watch has just risen */
}

/* ---- two ---- */

/* Nobody has been told, the other one sleeps on, and both are still where they were put. The queue is read last:
 * nothing is put into it meanwhile, so what is in it then was in it when the watch was seen. Read first, it may be
 * emptied by a watch that rises, does all, and lies down again before it is looked at. */
static bool are_left_alone(const yard *y, uint64_t wakes_before) {
    return wakes_of(y->sched) == wakes_before && is_watched(y) && kc_deque_count(&kc_here_get()->worker->deque) == 2;
}

static void leaves_two(void *arg) {
    yard *y = arg;

    for (int i = 0; i < MOST_ROUNDS && y->rung == 0; i++) {
        uint64_t wakes = 0;
        uint32_t ran = 0;
        until_watched(y);
        ran = atomic_load(&y->ran);
        wakes = wakes_of(y->sched);
        rt_spawn(y->sched, runs, y);
        rt_spawn(y->sched, runs, y);
        KC_CHECK(!are_left_alone(y, wakes));
        count_round(y, wakes);
        rt_until(&y->ran, ran + 2);
    }
}

KC_TEST(two_that_are_left_wake_a_sleeper_although_it_watches) {
    yard y = {.sched = rt_sched(2)};

    rt_spawn(y.sched, leaves_two, &y);
    kc_sched_free(y.sched);
    KC_CHECK(y.rung > 0);
}

/* ---- one that yields beside one that computes ---- */

static void computes_until_turned(void *arg) {
    yard *y = arg;

    rt_until(&y->turned, 1);
}

static void yields_to_it(void *arg) {
    yard *y = arg;

    for (int i = 0; i < MOST_ROUNDS && y->rung == 0; i++) {
        uint64_t wakes = 0;
        until_watched(y);
        rt_spawn(y->sched, computes_until_turned, y);
        wakes = wakes_of(y->sched);
        kc_co_yield();
        count_round(y, wakes);
        atomic_store(&y->turned, 1);
        while (atomic_load(&y->sched->live) != 1)
            (void)sched_yield();
        atomic_store(&y->turned, 0);
    }
}

KC_TEST(whoever_yields_to_one_that_computes_wakes_a_sleeper_that_goes_on_with_it) {
    yard y = {.sched = rt_sched(2)};

    rt_spawn(y.sched, yields_to_it, &y);
    kc_sched_free(y.sched);
    KC_CHECK(y.rung > 0); /* else the computation was stolen first */
}

/* ---- more than one who was woken can do ---- */

static void meets_another(void *arg) {
    yard *y = arg;

    (void)atomic_fetch_add(&y->inside, 1);
    while (atomic_load(&y->inside) < 2)
        (void)sched_yield();
}

static void leaves_two_who_meet(void *arg) {
    yard *y = arg;

    rt_spawn(y->sched, meets_another, y);
    rt_spawn(y->sched, meets_another, y);
    rt_until(&y->inside, 2);
}

/* The second is left while the first alarm still rings, and rings none: whoever was woken has to pass it on. */
KC_TEST(whoever_was_woken_wakes_another_if_there_is_more) {
    yard y = {.sched = rt_sched(3)};

    for (int i = 0; i < ROUNDS; i++) {
        until_all_sleep(y.sched);
        atomic_store(&y.inside, 0);
        rt_spawn(y.sched, leaves_two_who_meet, &y);
        KC_CHECK_EQ(kc_sched_drain(y.sched, KC_NEVER), KC_OK);
    }
    kc_sched_free(y.sched);
}

/* ---- one worker's queue, while the other is busy ---- */

static void keeps_a_worker(void *arg) {
    yard *y = arg;

    (void)atomic_fetch_add(&y->inside, 1);
    rt_until(&y->over, 1);
}

static void writes(yard *y, char letter) {
    y->order[y->written++] = letter;
    if (y->written == 3)
        atomic_store(&y->over, 1);
}
static void writes_a(void *arg) { writes(arg, 'a'); }
static void writes_b(void *arg) { writes(arg, 'b'); }
static void writes_c(void *arg) { writes(arg, 'c'); }

static void spawns_three(void *arg) {
    yard *y = arg;

    rt_until(&y->inside, 1);
    rt_spawn(y->sched, writes_a, y);
    rt_spawn(y->sched, writes_b, y);
    rt_spawn(y->sched, writes_c, y);
}

KC_TEST(a_workers_own_queue_is_first_come_first_served_also_beside_others) {
    yard y = {.sched = rt_sched(2)};

    rt_spawn(y.sched, keeps_a_worker, &y);
    rt_spawn(y.sched, spawns_three, &y);
    kc_sched_free(y.sched);
    KC_CHECK_STR(y.order, "abc");
}

enum { MANY = 200, FEW = 64 };

static void ends_with_the_last(void *arg) {
    yard *y = arg;

    if (atomic_fetch_add(&y->ran, 1) + 1 == MANY)
        atomic_store(&y->over, 1);
}

static void spawns_many(void *arg) {
    yard *y = arg;

    rt_until(&y->inside, 1);
    for (int i = 0; i < MANY; i++)
        rt_spawn(y->sched, ends_with_the_last, y);
}

KC_TEST(what_does_not_fit_into_a_workers_queue_goes_into_everybodys) {
    yard y = {.sched = rt_sched(2)};
    kc_sched_usage usage;

    until_all_sleep(y.sched);
    for (int i = 0; i < 2; i++)
        y.sched->workers[i].deque.items_max = FEW;
    rt_spawn(y.sched, keeps_a_worker, &y);
    rt_spawn(y.sched, spawns_many, &y);
    KC_CHECK_EQ(kc_sched_drain(y.sched, KC_NEVER), KC_OK);
    KC_CHECK_EQ(y.ran, MANY);
    kc_sched_measure(y.sched, &usage);
    KC_CHECK_EQ(usage.ready_pulls, MANY - FEW);
    kc_sched_free(y.sched);
}

int main(void) {
    KC_RUN(what_is_left_while_nobody_watches_wakes_a_sleeper_that_steals_it);
    KC_RUN(one_alone_is_left_to_the_watch_which_finds_it_by_itself);
    KC_RUN(two_that_are_left_wake_a_sleeper_although_it_watches);
    KC_RUN(whoever_yields_to_one_that_computes_wakes_a_sleeper_that_goes_on_with_it);
    KC_RUN(whoever_was_woken_wakes_another_if_there_is_more);
    KC_RUN(a_workers_own_queue_is_first_come_first_served_also_beside_others);
    KC_RUN(what_does_not_fit_into_a_workers_queue_goes_into_everybodys);
    return kc_test_report();
}
