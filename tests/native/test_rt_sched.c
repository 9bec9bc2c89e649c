/* test_rt_sched.c: the scheduler with 1, 2 and 4 workers: each coroutine runs, none is lost, none runs twice. */
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kc_asleep.h"

typedef struct tally {
    kc_sched *sched;
    _Atomic uint32_t ran;
    _Atomic uint32_t inside; /* of one coroutine at a time */
    uint32_t rounds;
} tally;

static void counts(void *arg) { (void)atomic_fetch_add(&((tally *)arg)->ran, 1); }

static void every_spawn_runs_once_with(uint32_t workers) {
    enum { SPAWNS = 20000 / RT_SCALE };
    tally t = {.sched = rt_sched(workers)};
    kc_sched_usage usage;

    KC_CHECK_EQ(kc_sched_workers(t.sched), workers);
    for (int i = 0; i < SPAWNS; i++)
        rt_spawn(t.sched, counts, &t);
    KC_CHECK_EQ(kc_sched_drain(t.sched, KC_NEVER), KC_OK);
    KC_CHECK_EQ(t.ran, SPAWNS);
    rt_until_asleep(t.sched); /* who finds nothing probes the others' queues after the last one has ended */
    kc_sched_measure(t.sched, &usage);
    KC_CHECK_EQ(usage.submitted, SPAWNS);
    KC_CHECK_EQ(usage.completed, SPAWNS);
    KC_CHECK_EQ(usage.live, 0);
    KC_CHECK_EQ(usage.switches, SPAWNS);
    KC_CHECK_EQ(usage.fast_path + usage.ready_pulls + usage.inject_pulls + usage.steals, SPAWNS);
    KC_CHECK_EQ(usage.steals + usage.steal_failures, usage.steal_probes);
    KC_CHECK_EQ(usage.stacks_made + usage.stacks_cached, SPAWNS);
    kc_sched_free(t.sched);
}
KC_TEST(every_spawn_runs_once) { rt_with_workers(every_spawn_runs_once_with); }

/* A tree of spawns from inside: each has two children until depth 0. */
typedef struct branch {
    tally *tally;
    int depth;
} branch;

static void branches(void *arg) {
    branch mine = *(branch *)arg;

    free(arg);
    (void)atomic_fetch_add(&mine.tally->ran, 1);
    for (int i = 0; i < 2 && mine.depth > 0; i++) {
        branch *below = malloc(sizeof *below);
        KC_REQUIRE(below != NULL);
        *below = (branch){.tally = mine.tally, .depth = mine.depth - 1};
        rt_spawn(mine.tally->sched, branches, below);
        kc_co_yield();
    }
}

static void spawns_from_inside_with(uint32_t workers) {
    tally t = {.sched = rt_sched(workers)};
    branch *root = malloc(sizeof *root);

    KC_REQUIRE(root != NULL);
    *root = (branch){.tally = &t, .depth = 9};
    rt_spawn(t.sched, branches, root);
    kc_sched_free(t.sched); /* which waits for them all */
    KC_CHECK_EQ(t.ran, (1 << 10) - 1);
}
KC_TEST(what_coroutines_spawn_is_waited_for_too) { rt_with_workers(spawns_from_inside_with); }

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

    atomic_store(&t->inside, 1);
    rt_until(&t->inside, 2); /* the other one has been spawned */
    kc_co_yield();
    KC_CHECK_EQ(t->ran, 1);
}

KC_TEST(who_yields_goes_behind_one_from_outside) {
    tally t = {.sched = rt_sched(1)};

    rt_spawn(t.sched, lets_one_from_outside_by, &t);
    rt_until(&t.inside, 1);
    rt_spawn(t.sched, counts, &t);
    atomic_store(&t.inside, 2);
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
    (void)atomic_fetch_add(&((tally *)arg)->inside, 1);
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
    KC_CHECK_EQ(t.inside, COROUTINES);
}
KC_TEST(a_scheduled_coroutine_runs_one_without_a_scheduler_inside) { rt_with_workers(nested_with); }

/* ---- park and unpark ---- */

typedef struct pair {
    kc_co *co;
    uint32_t rounds;
    _Atomic uint32_t given, taken;
    tally *tally;
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
    tally t = {.sched = rt_sched(workers)};
    pair p = {.rounds = 20000 / RT_SCALE, .tally = &t};

    KC_REQUIRE(kc_sched_spawn(t.sched, parks, &p, &p.co) == KC_OK);
    for (uint32_t i = 1; i <= p.rounds; i++) {
        KC_CHECK_EQ(kc_co_unpark(p.co), KC_OK);
        rt_until(&p.taken, i);
    }
    kc_sched_free(t.sched);
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
    tally tally;
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

static void one_after_the_other(void *arg) {
    tally *t = arg;

    KC_CHECK_EQ(atomic_fetch_add(&t->inside, 1), 0);
    (void)atomic_fetch_sub(&t->inside, 1);
    (void)atomic_fetch_add(&t->ran, 1);
}

KC_TEST(a_scheduler_of_one_worker_runs_one_at_a_time) {
    tally t = {.sched = rt_sched(1)};

    for (int i = 0; i < 1000; i++)
        rt_spawn(t.sched, one_after_the_other, &t);
    kc_sched_free(t.sched);
    KC_CHECK_EQ(t.ran, 1000);
}

KC_TEST(odd_wishes_are_refused) {
    kc_sched *sched = NULL;
    kc_co *co = NULL;

    KC_CHECK_EQ(kc_sched_make(&(kc_sched_config){.workers = 257}, &sched), KC_EINVAL);
    KC_CHECK(sched == NULL);
    kc_sched_free(NULL);
    KC_CHECK(kc_sched_self() == NULL);
    sched = rt_sched(1);
    KC_CHECK_EQ(kc_sched_spawn(sched, NULL, NULL, NULL), KC_EINVAL);
    KC_REQUIRE(kc_sched_spawn(sched, parks_once, NULL, &co) == KC_OK);
    rt_until_state(co, KC_CO_PARKED);
    KC_CHECK_EQ(kc_sched_adopt(sched, co), KC_EBUSY);
    KC_CHECK_EQ(kc_co_resume(co), KC_EBUSY);
    KC_CHECK_EQ(kc_co_unpark(co), KC_OK);
    kc_sched_free(sched);
    kc_co_drop(co);
}

KC_TEST(a_spawn_for_which_there_is_no_place_names_no_coroutine) {
    kc_sched *sched = rt_sched(1);
    kc_co *co = NULL;
    uint32_t place = kc_places_take(sched->places);
    uint32_t last = 0;

    for (; place != 0; place = kc_places_take(sched->places))
        last = place;
    KC_CHECK_EQ(kc_sched_spawn(sched, parks_once, NULL, &co), KC_ENOMEM);
    KC_CHECK(co == NULL);
    kc_places_give(sched->places, last);
    KC_CHECK_EQ(kc_sched_spawn(sched, parks_once, NULL, &co), KC_OK);
    KC_CHECK_EQ(kc_co_unpark(co), KC_OK);
    kc_co_drop(co);
    kc_sched_free(sched);
}

KC_TEST(a_child_of_fork_is_refused) {
    kc_sched *sched = rt_sched(2);
    int status = 0;
    pid_t child = fork();

    KC_REQUIRE(child >= 0);
    if (child == 0)
        _exit(kc_sched_spawn(sched, parks_once, NULL, NULL) == KC_EBADF ? 7 : 0);
    KC_REQUIRE(waitpid(child, &status, 0) == child);
    KC_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    kc_sched_free(sched);
}

/* qemu-user before 8.0 does nothing for MADV_WIPEONFORK and says that it was done (linux-user/mmap.c, target_madvise). */
static bool wipes_on_fork(void) {
    bool wiped = true;
#ifdef KC_EMULATED
    size_t bytes = (size_t)sysconf(_SC_PAGESIZE);
    int *page = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int status = 0;
    pid_t child = 0;

    KC_REQUIRE(page != MAP_FAILED && madvise(page, bytes, MADV_WIPEONFORK) == 0);
    *page = 1;
    child = fork();
    if (child == 0)
        _exit(*page);
    KC_REQUIRE(waitpid(child, &status, 0) == child && WIFEXITED(status));
    wiped = WEXITSTATUS(status) == 0;
    (void)munmap(page, bytes);
#endif
    return wiped;
}

KC_TEST(there_are_as_many_workers_as_processors_that_may_be_used) {
    cpu_set_t all, one;
    kc_sched *sched = NULL;
    size_t first = 0;

    KC_REQUIRE(sched_getaffinity(0, sizeof all, &all) == 0);
    while (!CPU_ISSET(first, &all))
        first++;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    KC_REQUIRE(sched_setaffinity(0, sizeof one, &one) == 0);
    KC_CHECK_EQ(kc_sched_make(NULL, &sched), KC_OK);
    KC_REQUIRE(sched_setaffinity(0, sizeof all, &all) == 0);
    KC_CHECK_EQ(kc_sched_workers(sched), 1);
    kc_sched_free(sched);
}

KC_TEST(a_hundred_thousand_spawns_reuse_their_stacks) {
    tally t = {.sched = rt_sched(2)};
    kc_sched_usage usage;

    for (int i = 0; i < 1000 / RT_SCALE; i++) {
        for (int k = 0; k < 100; k++)
            rt_spawn(t.sched, counts, &t);
        KC_CHECK_EQ(kc_sched_drain(t.sched, KC_NEVER), KC_OK);
    }
    kc_sched_measure(t.sched, &usage);
    KC_CHECK_EQ(t.ran, 100000 / RT_SCALE);
    KC_CHECK(usage.stacks_made <= 256);
    kc_sched_free(t.sched);
}

/* The record of one that nobody keeps is for the next one, with its stack; that of one that is kept is not. */
static void kept_records_with(uint32_t workers) {
    enum { KEPT = 20, OTHERS = 20 };
    tally t = {.sched = rt_sched(workers)};
    kc_co *kept[KEPT];

    for (int i = 0; i < KEPT; i++) {
        kc_co_config config = {.fn = counts, .arg = &t, .name = "kept", .stack_bytes = RT_STACK_BYTES};
        KC_REQUIRE(kc_sched_spawn_as(t.sched, &config, &kept[i]) == KC_OK);
        for (int k = 0; k < OTHERS; k++)
            rt_spawn(t.sched, counts, &t);
        KC_CHECK_EQ(kc_sched_drain(t.sched, KC_NEVER), KC_OK);
    }
    KC_CHECK_EQ(t.ran, KEPT * (1 + OTHERS));
    for (int i = 0; i < KEPT; i++) {
        size_t size_bytes = 1, touched_bytes = 1;
        KC_CHECK_EQ(kc_co_state_of(kept[i]), KC_CO_FINISHED);
        KC_CHECK_STR(kc_co_name(kept[i]), "kept");
        kc_co_stack(kept[i], &size_bytes, &touched_bytes);
        KC_CHECK_EQ(size_bytes, 0);
        KC_CHECK_EQ(touched_bytes, 0);
    }
    kc_sched_free(t.sched);
    for (int i = 0; i < KEPT; i++)
        kc_co_drop(kept[i]);
}
KC_TEST(who_is_kept_keeps_its_record_and_not_its_stack) { rt_with_workers(kept_records_with); }

int main(void) {
    KC_RUN(every_spawn_runs_once);
    KC_RUN(what_coroutines_spawn_is_waited_for_too);
    KC_RUN(the_current_coroutine_is_right_after_migration);
    KC_RUN(who_yields_alone_goes_on_without_a_switch);
    KC_RUN(who_yields_goes_behind_one_from_outside);
    KC_RUN(who_yielded_to_a_thread_goes_on_under_a_scheduler);
    KC_RUN(a_scheduled_coroutine_runs_one_without_a_scheduler_inside);
    KC_RUN(an_unpark_from_a_thread_races_the_park_and_is_seen_once);
    KC_RUN(a_ring_of_ten_thousand_passes_every_lap);
    KC_RUN(one_worker_runs_first_come_first_served);
    KC_RUN(whoever_comes_from_outside_gets_a_turn);
    KC_RUN(what_a_computing_worker_left_is_stolen_by_one_that_is_never_idle);
    KC_RUN(an_idle_scheduler_does_nothing);
    KC_RUN(an_unpark_that_ends_the_last_coroutine_does_not_outlive_the_scheduler);
    KC_RUN(a_scheduler_of_one_worker_runs_one_at_a_time);
    KC_RUN(odd_wishes_are_refused);
    KC_RUN(a_spawn_for_which_there_is_no_place_names_no_coroutine);
    if (wipes_on_fork())
        KC_RUN(a_child_of_fork_is_refused);
    else
        printf("skipped: a_child_of_fork_is_refused: this qemu does nothing for MADV_WIPEONFORK, and says it did\n");
    KC_RUN(there_are_as_many_workers_as_processors_that_may_be_used);
    KC_RUN(who_is_kept_keeps_its_record_and_not_its_stack);
    KC_RUN(a_hundred_thousand_spawns_reuse_their_stacks);
    return kc_test_report();
}
