/* Sleeping and being unparked at a time: never early, in order, and others run meanwhile. */
#include <stdbool.h>
#include <sys/resource.h>

#include "kc_rt.h"
#include "kcoro/kc_actor.h"
#include "kcoro/kc_timer.h"
#include "runtime/kc_worker.h"

enum { MANY = 1000 };
#define MS INT64_C(1000000)

static void run_one(uint32_t workers, kc_co_fn fn, void *arg) {
    kc_sched *sched = rt_sched(workers);

    rt_spawn(sched, fn, arg);
    kc_sched_free(sched);
}

/* ---- sleep ---- */

static void sleeps_a_little(void *arg) {
    (void)arg;
    for (int i = 0; i < 20; i++) {
        int64_t at_ns = kc_after_ns(i * MS / 20);
        KC_CHECK_EQ(kc_sleep_until_ns(at_ns), KC_OK);
        KC_CHECK(kc_now_ns() >= at_ns);
        at_ns = kc_now_ns() + MS / 10;
        KC_CHECK_EQ(kc_sleep_ns(MS / 10), KC_OK);
        KC_CHECK(kc_now_ns() >= at_ns);
    }
}

static void sleeps_in_a_crowd(uint32_t workers) {
    kc_sched *sched = rt_sched(workers);

    for (int i = 0; i < 50; i++)
        rt_spawn(sched, sleeps_a_little, NULL);
    kc_sched_free(sched);
}

KC_TEST(a_sleep_never_ends_before_its_time) {
    rt_with_workers(sleeps_in_a_crowd);
    sleeps_a_little(NULL); /* a thread without a scheduler, too */
}

static void sets(void *arg) { atomic_store((_Atomic uint32_t *)arg, 1); }

/* The other one is ready when the first sleep begins. A sleep whose time was up before it lay down lets nobody run. */
static void sleeps_while_another_is_ready(void *arg) {
    _Atomic uint32_t *flag = arg;

    rt_spawn(kc_sched_self(), sets, arg);
    KC_CHECK_EQ(atomic_load(flag), 0);
    for (int i = 0; i < 1000 && atomic_load(flag) == 0; i++)
        KC_CHECK_EQ(kc_sleep_ns(MS / 10), KC_OK);
    KC_CHECK_EQ(atomic_load(flag), 1);
}

KC_TEST(whoever_sleeps_lets_others_run) {
    _Atomic uint32_t flag = 0;

    run_one(1, sleeps_while_another_is_ready, (void *)&flag);
}

static void sleeps_oddly(void *arg) {
    (void)arg;
    KC_CHECK_EQ(kc_sleep_until_ns(KC_NEVER), KC_EINVAL);
    KC_CHECK_EQ(kc_sleep_ns(KC_NEVER), KC_EINVAL);
    KC_CHECK_EQ(kc_sleep_until_ns(0), KC_OK);
    KC_CHECK_EQ(kc_sleep_ns(0), KC_OK);
    KC_CHECK_EQ(kc_sleep_ns(-MS), KC_OK);
    KC_CHECK_EQ(kc_sleep_until_ns(INT64_MIN), KC_OK);
}

KC_TEST(a_time_that_has_passed_is_a_yield_and_one_that_never_comes_is_refused) {
    run_one(1, sleeps_oddly, NULL);
    sleeps_oddly(NULL);
}

/* One worker, so that the order of the wakes is the order of the runs. The last to come says when the night begins;
 * whoever comes behind them all sees whether the night had not begun when the last one slept. */
typedef struct dormitory {
    kc_co *beds[MANY];
    int64_t delay_ns, first_ns;
    uint32_t taken, asleep, woken;
    bool late;
    uint32_t order[MANY];
} dormitory;

static uint32_t time_of(uint32_t number) { return number * 379 % MANY; } /* each of 0 .. 999 once */

static void looks_when_all_sleep(void *arg) {
    dormitory *house = arg;

    KC_CHECK_EQ(house->asleep, MANY);
    house->late = kc_now_ns() >= house->first_ns;
}

static void goes_to_bed(void *arg) {
    dormitory *house = arg;
    uint32_t mine = house->taken++;

    house->beds[mine] = kc_co_self();
    if (house->taken < MANY) {
        KC_CHECK_EQ(kc_co_park(), KC_OK);
    } else {
        house->first_ns = kc_after_ns(house->delay_ns);
        for (uint32_t i = 0; i < mine; i++)
            KC_CHECK(kc_co_unpark(house->beds[i]) == KC_OK);
        rt_spawn(kc_sched_self(), looks_when_all_sleep, house);
    }
    house->asleep++;
    KC_CHECK_EQ(kc_sleep_until_ns(house->first_ns + time_of(mine) * 1000), KC_OK);
    house->order[house->woken++] = time_of(mine);
}

/* false: the machine was too slow for this test to tell; the evening grows longer until it can. */
static bool night(int64_t delay_ns) {
    static dormitory house;
    kc_sched *sched = rt_sched(1);
    uint32_t wrong = 0;

    house = (dormitory){.delay_ns = delay_ns};
    for (uint32_t i = 0; i < MANY; i++)
        rt_spawn(sched, goes_to_bed, &house);
    kc_sched_free(sched);
    KC_CHECK_EQ(house.woken, MANY);
    for (uint32_t i = 0; i < MANY; i++)
        wrong += house.order[i] != i;
    if (!house.late)
        KC_CHECK_EQ(wrong, 0);
    return !house.late;
}

KC_TEST(a_thousand_sleepers_wake_in_the_order_of_their_times) {
    int64_t delay_ns = 20 * MS;

    while (!night(delay_ns)) /* once, as a rule */
        delay_ns *= 2;
}

typedef struct pair {
    kc_co *sleeper;
    _Atomic uint32_t asleep, unparked, woken;
    int64_t at_ns;
} pair;

static void sleeps_then_parks(void *arg) {
    pair *p = arg;

    p->at_ns = kc_after_ns(20 * MS);
    atomic_store(&p->asleep, 1);
    KC_CHECK_EQ(kc_sleep_until_ns(p->at_ns), KC_OK);
    KC_CHECK(kc_now_ns() >= p->at_ns);
    rt_until(&p->unparked, 1);
    KC_CHECK_EQ(kc_co_park(), KC_OK); /* for the unpark that came meanwhile */
    atomic_store(&p->woken, 1);
}

KC_TEST(an_unpark_does_not_end_a_sleep_and_is_kept_for_the_next_park) {
    kc_sched *sched = rt_sched(1);
    pair p = {.asleep = 0};

    KC_REQUIRE(kc_sched_spawn(sched, sleeps_then_parks, &p, &p.sleeper) == KC_OK);
    rt_until(&p.asleep, 1);
    KC_CHECK_EQ(kc_co_unpark(p.sleeper), KC_OK);
    atomic_store(&p.unparked, 1);
    kc_sched_free(sched);
    KC_CHECK_EQ(p.woken, 1);
    kc_co_drop(p.sleeper);
}

/* ---- timers that unpark ---- */

static void parks_until_timers_unpark(void *arg) {
    (void)arg;
    for (int i = 0; i < 20; i++) {
        int64_t at_ns = kc_after_ns(i * MS / 20);
        kc_ticket id = 0;
        KC_CHECK_EQ(kc_timer_wake_at(kc_co_self(), at_ns, &id), KC_OK);
        KC_CHECK_EQ(kc_co_park(), KC_OK);
        KC_CHECK(kc_now_ns() >= at_ns);
        KC_CHECK_EQ(kc_timer_cancel(kc_co_self(), id), 0);
    }
}

static void parks_in_a_crowd(uint32_t workers) {
    kc_sched *sched = rt_sched(workers);

    for (int i = 0; i < 50; i++)
        rt_spawn(sched, parks_until_timers_unpark, NULL);
    kc_sched_free(sched);
}

KC_TEST(a_timer_unparks_once_and_never_early) { rt_with_workers(parks_in_a_crowd); }

static void cancels_and_parks(void *arg) {
    int64_t later_ns = kc_after_ns(10 * MS);
    kc_ticket first = 0, second = 0, third = 0;

    (void)arg;
    KC_CHECK_EQ(kc_timer_wake_after(kc_co_self(), MS, &first), KC_OK);
    KC_CHECK_EQ(kc_timer_cancel(kc_co_self(), first), 1);
    KC_CHECK_EQ(kc_timer_cancel(kc_co_self(), first), 0);
    KC_CHECK_EQ(kc_timer_wake_at(kc_co_self(), later_ns, &second), KC_OK);
    KC_CHECK(first != second && second != 0);
    KC_CHECK_EQ(kc_co_park(), KC_OK);
    KC_CHECK(kc_now_ns() >= later_ns); /* so it was not the first */
    KC_CHECK_EQ(kc_timer_wake_at(kc_co_self(), KC_NEVER, &third), KC_OK);
    KC_CHECK_EQ(kc_timer_cancel(kc_co_self(), second), 0);
    KC_CHECK_EQ(kc_timer_cancel(kc_co_self(), third), 1);
}

KC_TEST(a_cancelled_timer_does_not_unpark) { run_one(1, cancels_and_parks, NULL); }

KC_TEST(a_coroutine_without_a_scheduler_has_no_timers) {
    kc_co *co = rt_co(cancels_and_parks, NULL, NULL);
    kc_ticket id = 0;

    KC_CHECK_EQ(kc_timer_wake_after(co, MS, &id), KC_EINVAL);
    KC_CHECK_EQ(kc_timer_cancel(co, id), 0);
    kc_co_drop(co);
}

static void leaves_timers_behind(void *arg) {
    (void)arg;
    for (int i = 0; i < 10; i++) {
        kc_ticket id = 0;
        KC_CHECK_EQ(kc_timer_wake_after(kc_co_self(), i < 5 ? 0 : INT64_C(3600000000000), &id), KC_OK);
    }
}

/* The address sanitizer is the judge. */
KC_TEST(timers_of_whoever_has_finished_do_no_harm_and_leave_nothing) {
    kc_sched *sched = rt_sched(2);

    for (int i = 0; i < 20; i++)
        rt_spawn(sched, leaves_timers_behind, NULL);
    kc_sched_free(sched);
}

static void cancels_in_a_hurry(void *arg) {
    _Atomic uint32_t *cancelled = arg;
    uint32_t parks = 0;

    for (int i = 0; i < 2000 / RT_SCALE; i++) {
        kc_ticket id = 0;
        KC_REQUIRE(kc_timer_wake_after(kc_co_self(), i % 3 * 5000, &id) == KC_OK);
        if (i % 2 == 0)
            kc_co_yield();
        if (kc_timer_cancel(kc_co_self(), id) == 1)
            (void)atomic_fetch_add(cancelled, 1);
        else
            KC_CHECK(kc_co_park() == KC_OK && ++parks != 0); /* it unparks, so this ends */
    }
    (void)atomic_fetch_add(cancelled, parks);
}

static void hurry(uint32_t workers) {
    kc_sched *sched = rt_sched(workers);
    _Atomic uint32_t ended = 0;

    for (int i = 0; i < 4; i++)
        rt_spawn(sched, cancels_in_a_hurry, (void *)&ended);
    kc_sched_free(sched);
    KC_CHECK_EQ(ended, 4 * (2000 / RT_SCALE));
}

KC_TEST(each_timer_was_cancelled_or_unparks) { rt_with_workers(hurry); }

/* ---- no clock ---- */

typedef struct clockless {
    kc_hub *hub;
    kc_channel *channel;
    kc_cancel *cancel;
    kc_task_scope *scope;
    _Atomic uint32_t over;
} clockless;

static uint64_t timeouts(const clockless *c) {
    kc_chan_snapshot seen;

    KC_REQUIRE(kc_chan_measure(kc_hub_engine(c->hub), kc_channel_ticket(c->channel), &seen) == KC_OK);
    return seen.stat[KC_STAT_RECV_ETIME];
}

static void waits_for_all(const clockless *c, int64_t deadline_ns, int expected) {
    uint32_t value = 0;
    kc_channel_clause clause = {
        .channel = c->channel, .dir = KC_CLAUSE_RECV, .buffer = &value, .buffer_bytes = sizeof value};
    uint32_t chosen = 0;

    KC_CHECK_EQ(kc_channel_recv(c->channel, &value, sizeof value, NULL, deadline_ns), expected);
    KC_CHECK_EQ(kc_channel_select(&clause, 1, 0, deadline_ns, NULL, &chosen), expected);
    KC_CHECK_EQ(kc_cancel_wait(c->cancel, deadline_ns), expected);
    KC_CHECK_EQ(kc_task_scope_wait(c->scope, deadline_ns), expected);
}

static void parks_until_cancelled(kc_task_scope *scope, void *arg) {
    (void)arg;
    KC_CHECK_EQ(kc_cancel_wait(kc_task_scope_cancel_of(scope), KC_NEVER), KC_OK);
}

static void meets_no_file(void *arg) {
    clockless *c = arg;
    struct rlimit files, none;

    KC_REQUIRE(getrlimit(RLIMIT_NOFILE, &files) == 0);
    none = files;
    none.rlim_cur = 0;
    KC_REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
    waits_for_all(c, kc_after_ns(3600000 * MS), KC_EDQUOT);
    KC_CHECK_EQ(timeouts(c), 0);
    KC_CHECK_EQ(kc_sleep_ns(3600000 * MS), KC_EDQUOT);
    waits_for_all(c, kc_now_ns(), KC_ETIME); /* that needs no clock */
    KC_REQUIRE(setrlimit(RLIMIT_NOFILE, &files) == 0);
    KC_CHECK_EQ(timeouts(c), 2);
    waits_for_all(c, kc_after_ns(MS), KC_ETIME);
    KC_CHECK_EQ(timeouts(c), 4);
    atomic_store(&c->over, 1);
}

static void meets_no_timer(void *arg) {
    kc_clock *clock = kc_sched_clock(kc_sched_self());

    KC_REQUIRE(kc_clock_start(clock) == KC_OK);
    clock->timers.heap.count_max = 0;
    waits_for_all(arg, kc_after_ns(3600000 * MS), KC_ENOMEM);
    KC_CHECK_EQ(timeouts(arg), 0);
    KC_CHECK_EQ(kc_sleep_ns(3600000 * MS), KC_ENOMEM);
    atomic_store(&((clockless *)arg)->over, 1);
}

static void without_a_clock(kc_co_fn fn) {
    kc_sched *sched = rt_sched(2);
    clockless c = {.channel = NULL};
    kc_channel_config config = {.kind = KC_KIND_RENDEZVOUS, .elem_size = 4};

    KC_REQUIRE(kc_hub_make(NULL, &c.hub) == KC_OK && kc_channel_make(c.hub, &config, &c.channel) == KC_OK);
    KC_REQUIRE(kc_cancel_make(NULL, &c.cancel) == KC_OK && kc_task_scope_make(sched, NULL, &c.scope) == KC_OK);
    KC_REQUIRE(kc_task_launch(c.scope, parks_until_cancelled, NULL) == KC_OK);
    rt_spawn(sched, fn, &c);
    rt_until(&c.over, 1);
    kc_task_scope_destroy(c.scope);
    kc_sched_free(sched);
    kc_cancel_drop(c.cancel);
    kc_channel_drop(c.channel);
    kc_hub_free(c.hub);
}

KC_TEST(a_deadline_that_cannot_be_set_is_not_told_as_one_that_has_come) {
    without_a_clock(meets_no_file);
    without_a_clock(meets_no_timer);
}

/* ---- a deadline that comes when the wait is over ---- */

typedef struct late {
    kc_wake blocker; /* due at the same time, and earlier in line */
    kc_wait wait;
    int64_t at_ns;
    _Atomic uint32_t entered, release, back;
    uint32_t released_first;
} late;

static void holds_the_clock(kc_wake *wake, int32_t code) {
    late *l = (late *)(void *)wake;

    (void)code;
    atomic_store(&l->entered, 1);
    rt_until(&l->release, 1);
}

static void is_told_before_its_deadline(void *arg) {
    late *l = arg;

    kc_wait_begin(&l->wait);
    KC_CHECK((kc_wait_for(&l->wait, KC_WAIT_DONE, l->at_ns) & KC_WAIT_DONE) != 0);
    l->released_first = atomic_load(&l->release);
    atomic_store(&l->back, 1);
}

/* true: the clock had taken the alarm out, and was held before it called it. */
static bool meets_late_alarm(kc_sched *sched, int64_t window_ns) {
    late l = {.blocker = {.call = holds_the_clock}, .at_ns = kc_after_ns(window_ns)};
    kc_clock *clock = kc_sched_clock(sched);
    kc_sched_usage before, usage;
    kc_ticket id = 0;
    kc_co *co = NULL;
    bool met = false;

    kc_sched_measure(sched, &before);
    KC_REQUIRE(kc_clock_start(clock) == KC_OK && kc_timers_add(&clock->timers, l.at_ns, &l.blocker, &id) == KC_OK);
    KC_REQUIRE(kc_sched_spawn(sched, is_told_before_its_deadline, &l, &co) == KC_OK);
    rt_until_state(co, KC_CO_PARKED);
    rt_until(&l.entered, 1);
    met = kc_timers_next_ns(&clock->timers) == KC_NEVER;
    kc_wait_tell(&l.wait, KC_WAIT_DONE);
    do /* it has run, and waits again, or is back */
        kc_sched_measure(sched, &usage);
    while (atomic_load(&l.back) == 0 && (usage.switches < before.switches + 2 || kc_co_state_of(co) != KC_CO_PARKED));
    KC_CHECK(!met || atomic_load(&l.back) == 0);
    atomic_store(&l.release, 1);
    KC_CHECK_EQ(kc_sched_drain(sched, KC_NEVER), KC_OK);
    KC_CHECK(!met || l.released_first == 1);
    kc_co_drop(co);
    return met;
}

KC_TEST(whoever_was_told_waits_for_an_alarm_that_is_just_being_called) {
    kc_sched *sched = rt_sched(1);
    int64_t window_ns = 20 * MS;
    int met = 0;

    for (int i = 0; i < 12 && met < 3; i++) { /* this thread may come too late to be there first: longer next time */
        bool met_now = meets_late_alarm(sched, window_ns);
        met += met_now;
        window_ns *= met_now ? 1 : 2;
    }
    KC_CHECK_EQ(met, 3);
    kc_sched_free(sched);
}

int main(void) {
    KC_RUN(a_sleep_never_ends_before_its_time);
    KC_RUN(whoever_sleeps_lets_others_run);
    KC_RUN(a_time_that_has_passed_is_a_yield_and_one_that_never_comes_is_refused);
    KC_RUN(a_thousand_sleepers_wake_in_the_order_of_their_times);
    KC_RUN(an_unpark_does_not_end_a_sleep_and_is_kept_for_the_next_park);
    KC_RUN(a_timer_unparks_once_and_never_early);
    KC_RUN(a_cancelled_timer_does_not_unpark);
    KC_RUN(a_coroutine_without_a_scheduler_has_no_timers);
    KC_RUN(timers_of_whoever_has_finished_do_no_harm_and_leave_nothing);
    KC_RUN(each_timer_was_cancelled_or_unparks);
    KC_RUN(a_deadline_that_cannot_be_set_is_not_told_as_one_that_has_come);
    KC_RUN(whoever_was_told_waits_for_an_alarm_that_is_just_being_called);
    return kc_test_report();
}
