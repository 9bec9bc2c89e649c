/* Workers that fall asleep and are woken all the time: whatever comes from outside, in whatever moment, is run. A wake
 * that is lost ends this test by its time-out. */
#include "kc_rt.h"
#include "runtime/kc_worker.h"

enum { BURSTS = 20000 / RT_SCALE, EACH = 3 };

static void yields_and_counts(void *arg) {
    for (int i = 0; i < 3; i++)
        kc_co_yield();
    (void)atomic_fetch_add((_Atomic uint32_t *)arg, 1);
}

/* Every other burst is waited for, so that the next one meets workers in every stage of lying down. */
static void bursts_from_outside(uint32_t workers) {
    kc_sched *sched = rt_sched(workers);
    _Atomic uint32_t ran = 0;

    for (uint32_t i = 0; i < BURSTS; i++) {
        for (uint32_t k = 0; k < EACH; k++)
            rt_spawn(sched, yields_and_counts, (void *)&ran);
        if (i % 2 == 0)
            rt_until(&ran, (i + 1) * EACH);
    }
    rt_until(&ran, BURSTS * EACH);
    kc_sched_free(sched);
}

KC_TEST(what_comes_while_workers_fall_asleep_is_run) {
    rt_with_workers(bursts_from_outside);
    bursts_from_outside(3);
}

/* ---- the watch ---- */

/* Workers that compute: each stays with its coroutine until it may end. */
typedef struct shift {
    kc_sched *sched;
    _Atomic uint32_t at_work, over;
} shift;

static void ends_at_once(void *arg) { (void)arg; }

static void computes(void *arg) {
    shift *s = arg;

    (void)atomic_fetch_add(&s->at_work, 1);
    rt_until(&s->over, 1);
}

static void until_watched(const shift *s, uint32_t sleepers) {
    while ((atomic_load(&s->sched->sleep) & ~(uint32_t)KC_SLEEP_SEARCHED) !=
           (sleepers * KC_SLEEP_ONE | KC_SLEEP_WATCHED))
        (void)sched_yield();
}

/* What it leaves in its queue while it computes nobody is woken for, once there is a watch. */
static void leaves_to_the_watch(void *arg) {
    shift *s = arg;
    uint32_t others = kc_sched_workers(s->sched) - 1;

    rt_spawn(s->sched, ends_at_once, NULL); /* whoever is woken for it is the watch after */
    for (uint32_t busy = 0; busy < others; busy++) {
        until_watched(s, others - busy);
        rt_spawn(s->sched, computes, s);
        rt_until(&s->at_work, busy + 1);
    }
    atomic_store(&s->over, 1);
}

static void watched_with(uint32_t workers) {
    shift s = {.sched = rt_sched(workers)};

    rt_spawn(s.sched, leaves_to_the_watch, &s);
    kc_sched_free(s.sched);
    KC_CHECK_EQ(s.at_work, workers - 1);
}

/* Each watch takes what was left and stays up; a lost succession ends this test by its time-out. */
KC_TEST(a_watch_that_stays_up_is_followed_by_another) {
    watched_with(2);
    watched_with(4);
}

int main(void) {
    KC_RUN(a_watch_that_stays_up_is_followed_by_another);
    KC_RUN(what_comes_while_workers_fall_asleep_is_run);
    return kc_test_report();
}
