/* test_rt_unpark.c: each unpark is seen once, whoever races it, and may be the last thing that a scheduler sees; where
 * all are parked nothing runs. With 1, 2 and 4 workers. */
#include <pthread.h>
#include <sys/resource.h>

#include "kc_asleep.h"

typedef struct pair {
    kc_co *co;
    uint32_t rounds;
    _Atomic uint32_t given, taken;
} pair;

static void parks(void *arg) {
    pair *p = arg;

    while (atomic_load(&p->taken) < p->rounds) {
        KC_CHECK_EQ(kc_co_park(), KC_OK);
        (void)atomic_fetch_add(&p->taken, 1);
    }
}

/* Each round is one unpark and waits until it was taken: a lost one hangs, a doubled one is counted. */
static void unparks_are_seen_once_with(uint32_t workers) {
    kc_sched *sched = rt_sched(workers);
    pair p = {.rounds = 20000 / RT_SCALE};

    KC_REQUIRE(kc_sched_spawn(sched, parks, &p, &p.co) == KC_OK);
    for (uint32_t i = 1; i <= p.rounds; i++) {
        KC_CHECK_EQ(kc_co_unpark(p.co), KC_OK);
        rt_until(&p.taken, i);
    }
    kc_sched_free(sched);
    KC_CHECK_EQ(p.taken, p.rounds);
    KC_CHECK_EQ(kc_co_state_of(p.co), KC_CO_FINISHED);
    kc_co_drop(p.co);
}
KC_TEST(an_unpark_from_a_thread_races_the_park_and_is_seen_once) { rt_with_workers(unparks_are_seen_once_with); }

typedef struct ring {
    kc_co **members;
    uint32_t count, laps;
    _Atomic uint32_t passed;
} ring;
typedef struct member {
    ring *ring;
    uint32_t index;
} member;

static void passes_on(void *arg) {
    member *m = arg;

    for (uint32_t lap = 0; lap < m->ring->laps; lap++) {
        KC_CHECK_EQ(kc_co_park(), KC_OK);
        (void)atomic_fetch_add(&m->ring->passed, 1);
        (void)kc_co_unpark(m->ring->members[(m->index + 1) % m->ring->count]);
    }
}

static void ring_with(uint32_t workers) {
    enum { MEMBERS = 10000 / RT_SCALE / RT_SCALE };
    kc_sched *sched = rt_sched(workers);
    ring r = {.members = calloc(MEMBERS, sizeof(kc_co *)), .count = MEMBERS, .laps = 3};
    member *members = calloc(MEMBERS, sizeof *members);

    KC_REQUIRE(r.members != NULL && members != NULL);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        members[i] = (member){.ring = &r, .index = i};
        r.members[i] = rt_co(passes_on, &members[i], NULL);
    }
    for (uint32_t i = 0; i < MEMBERS; i++)
        KC_CHECK_EQ(kc_sched_adopt(sched, r.members[i]), KC_OK);
    KC_CHECK_EQ(kc_co_unpark(r.members[0]), KC_OK);
    kc_sched_free(sched);
    KC_CHECK_EQ(r.passed, MEMBERS * r.laps);
    for (uint32_t i = 0; i < MEMBERS; i++)
        kc_co_drop(r.members[i]);
    free(r.members);
    free(members);
}
KC_TEST(a_ring_of_ten_thousand_passes_every_lap) { rt_with_workers(ring_with); }

/* ---- idle, shutdown ---- */

static void parks_once(void *arg) {
    (void)arg;
    (void)kc_co_park();
}

static long switches_of_process(void) {
    struct rusage usage;

    KC_REQUIRE(getrusage(RUSAGE_SELF, &usage) == 0);
    return usage.ru_nvcsw + usage.ru_nivcsw;
}

/* Asleep means asleep: every worker sleeps, and drain's deadline passes without one of them waking. */
static void idle_with(uint32_t workers) {
    kc_sched *sched = rt_sched(workers);
    kc_sched_usage before, after;
    kc_co *co = NULL;

    KC_REQUIRE(kc_sched_spawn(sched, parks_once, NULL, &co) == KC_OK);
    rt_until_state(co, KC_CO_PARKED);
    rt_until_asleep(sched);
    kc_sched_measure(sched, &before);
    long switches = switches_of_process();
    KC_CHECK_EQ(kc_sched_drain(sched, kc_after_ns(100000000)), KC_ETIME);
    kc_sched_measure(sched, &after);
    KC_CHECK_EQ(after.sleeps, before.sleeps);
    KC_CHECK_EQ(after.steal_probes, before.steal_probes);
    KC_CHECK_EQ(after.idle, workers);
#ifndef RT_SANITIZED /* whose own threads wake up */
    KC_CHECK(switches_of_process() - switches < 10);
#endif
    (void)switches;
    KC_CHECK_EQ(kc_co_unpark(co), KC_OK);
    kc_sched_free(sched);
    kc_co_drop(co);
}
KC_TEST(an_idle_scheduler_does_nothing) { rt_with_workers(idle_with); }

static void *unparks_late(void *arg) {
    pair *p = arg;

    for (uint32_t i = 0; i < p->rounds; i++)
        (void)kc_co_unpark(p->co);
    return NULL;
}

/* A thread whose unparks may be the last thing that a scheduler sees: run with it gone, and ThreadSanitizer or
 * AddressSanitizer speak when they touch it. */
static void late_unparks_with(uint32_t workers) {
    for (int i = 0; i < 200 / RT_SCALE; i++) {
        kc_sched *sched = rt_sched(workers);
        pair p = {.rounds = 8};
        pthread_t thread;
        KC_REQUIRE(kc_sched_spawn(sched, parks_once, NULL, &p.co) == KC_OK);
        KC_REQUIRE(pthread_create(&thread, NULL, unparks_late, &p) == 0);
        kc_sched_free(sched);
        KC_REQUIRE(pthread_join(thread, NULL) == 0);
        KC_CHECK_EQ(kc_co_state_of(p.co), KC_CO_FINISHED);
        kc_co_drop(p.co);
    }
}
KC_TEST(an_unpark_that_ends_the_last_coroutine_does_not_outlive_the_scheduler) { rt_with_workers(late_unparks_with); }

int main(void) {
    KC_RUN(an_unpark_from_a_thread_races_the_park_and_is_seen_once);
    KC_RUN(a_ring_of_ten_thousand_passes_every_lap);
    KC_RUN(an_idle_scheduler_does_nothing);
    KC_RUN(an_unpark_that_ends_the_last_coroutine_does_not_outlive_the_scheduler);
    return kc_test_report();
}
