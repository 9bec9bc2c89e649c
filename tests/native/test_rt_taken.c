/* test_rt_taken.c: two threads want the same coroutine at the same moment, to resume it or to give it to a scheduler.
 * One of them gets it, the other is told that it runs, or that it has finished; it runs once. ThreadSanitizer judges
 * the order. */
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>

#include "kc_rt.h"

enum { SIDES = 2, BATCH = 32, BATCHES = 80 / RT_SCALE, LATE_MOST = 61, PATIENCE = 4096 };
#define ENOUGH_NS INT64_C(2000000000) /* where others use the processors each meeting may cost a time slice */

/* Where a coroutine stands when it is wanted. */
enum { CREATED, SUSPENDED, READY, STARTS };

typedef struct contest contest;
typedef int (*contender)(contest *c, uint32_t side, kc_co *co);

/* A coroutine, and what each side was told of it. */
typedef struct prize {
    contest *contest;
    kc_co *co;
    uint32_t number, start;
    bool resumed; /* by a thread */
    int told[SIDES];
    uint32_t sum; /* plain: whoever runs it is alone, and others see it after its end */
    _Atomic uint32_t runs;
} prize;

struct contest {
    contender takes[SIDES];
    kc_sched *scheds[SIDES];
    prize prizes[BATCH];
    uint32_t first; /* number of the first of them */
    bool over;
    _Atomic uint32_t arrived; /* at a prize, both sides together */
    sem_t begin, done;
    cpu_set_t allowed; /* processors, of the whole test */
    uint64_t won[SIDES];
};

/* Until so many have arrived. */
static void wait_until_arrived(contest *c, uint32_t count) {
    for (uint32_t i = 1; atomic_load(&c->arrived) < count; i++)
        if (i % PATIENCE == 0)
            (void)sched_yield();
}

static void runs_once(void *arg) {
    prize *p = arg;

    if (p->start == SUSPENDED)
        kc_co_yield();
    else if (p->start == READY)
        (void)kc_co_park();
    KC_REQUIRE(atomic_fetch_add(&p->runs, 1) == 0); /* a stack that two threads run is no place to go on */
    p->sum++;
    p->resumed = kc_sched_self() == NULL;
    if (p->resumed)
        wait_until_arrived(p->contest, SIDES * (p->number + 1) + 1); /* the other has its answer: that it runs */
    else
        kc_co_yield(); /* and is queued a second time, and may not look like one that a thread could resume */
    p->sum++;
}

static int resumes(contest *c, uint32_t side, kc_co *co) {
    (void)c;
    (void)side;
    return kc_co_resume(co);
}

static int adopts(contest *c, uint32_t side, kc_co *co) { return kc_sched_adopt(c->scheds[side], co); }

/* Both are there when either goes on. Whoever came last would always be first to: it waits a little, more or less by
 * turns. */
static void meet(contest *c, uint32_t number) {
    bool last = atomic_fetch_add(&c->arrived, 1) == SIDES * number + SIDES - 1;
    uint32_t late = last ? number % LATE_MOST : 0;

    wait_until_arrived(c, SIDES * (number + 1));
    while (late-- != 0)
        (void)atomic_load(&c->arrived);
}

static void take_part(contest *c, uint32_t side) {
    for (uint32_t i = 0; i < BATCH; i++) {
        meet(c, c->first + i);
        c->prizes[i].told[side] = c->takes[side](c, side, c->prizes[i].co);
    }
    meet(c, c->first + BATCH);
}

static void wait_for(sem_t *sem) {
    while (sem_wait(sem) != 0)
        ; /* EINTR */
}

/* Each side on a processor of its own, where there are two: on one they would take turns and never meet. */
static void stand_apart(const cpu_set_t *allowed, uint32_t side) {
    cpu_set_t own;
    uint32_t seen = 0;

    CPU_ZERO(&own);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, allowed) && seen++ == side)
            CPU_SET(cpu, &own);
    if (CPU_COUNT(&own) != 0)
        KC_REQUIRE(sched_setaffinity(0, sizeof own, &own) == 0);
}

static void *is_the_other_side(void *arg) {
    contest *c = arg;

    stand_apart(&c->allowed, 1);
    for (wait_for(&c->begin); !c->over; wait_for(&c->begin)) {
        take_part(c, 1);
        KC_REQUIRE(sem_post(&c->done) == 0);
    }
    return NULL;
}

static void prepare(contest *c, prize *p, uint32_t number) {
    *p = (prize){.contest = c, .number = number, .start = number % STARTS};
    p->co = rt_co(runs_once, p, NULL);
    if (p->start != CREATED)
        KC_REQUIRE(kc_co_resume(p->co) == KC_OK);
    if (p->start == READY)
        KC_REQUIRE(kc_co_unpark(p->co) == KC_OK);
}

static void judge(contest *c, prize *p) {
    uint32_t winner = p->told[0] == KC_OK ? 0 : 1;
    int loser = p->told[1 - winner];

    KC_CHECK_EQ(p->told[winner], KC_OK);
    KC_CHECK(loser == KC_EBUSY || (!p->resumed && loser == KC_EPIPE));
    KC_CHECK_EQ(kc_co_state_of(p->co), KC_CO_FINISHED);
    KC_CHECK_EQ(atomic_load(&p->runs), 1);
    KC_CHECK_EQ(p->sum, 2);
    c->won[winner]++;
    kc_co_drop(p->co);
}

static void play_batch(contest *c) {
    for (uint32_t i = 0; i < BATCH; i++)
        prepare(c, &c->prizes[i], c->first + i);
    KC_REQUIRE(sem_post(&c->begin) == 0);
    take_part(c, 0);
    wait_for(&c->done);
    for (uint32_t side = 0; side < SIDES; side++)
        KC_CHECK_EQ(kc_sched_drain(c->scheds[side], KC_NEVER), KC_OK);
    for (uint32_t i = 0; i < BATCH; i++)
        judge(c, &c->prizes[i]);
    c->first += BATCH + 1; /* they met once more at its end */
}

/* It has seen those it was given, and no other. */
static void check_counts(const contest *c, uint32_t side) {
    uint64_t given = c->takes[side] == adopts ? c->won[side] : 0;
    kc_sched_usage usage;

    kc_sched_measure(c->scheds[side], &usage);
    KC_CHECK_EQ(usage.submitted, given);
    KC_CHECK_EQ(usage.completed, given);
}

/* Until each side has got one, and so many batches, unless they take too long. */
static bool goes_on(const contest *c, uint64_t batches, int64_t end_ns) {
    return c->won[0] == 0 || c->won[1] == 0 || (batches < BATCHES && kc_now_ns() < end_ns);
}

static void contest_of(contender one, contender other) {
    contest c = {.takes = {one, other}, .scheds = {rt_sched(1), rt_sched(2)}};
    pthread_t thread;
    uint64_t batches = 0;
    int64_t end_ns = kc_after_ns(ENOUGH_NS);

    KC_REQUIRE(sched_getaffinity(0, sizeof c.allowed, &c.allowed) == 0);
    KC_REQUIRE(sem_init(&c.begin, 0, 0) == 0 && sem_init(&c.done, 0, 0) == 0);
    KC_REQUIRE(pthread_create(&thread, NULL, is_the_other_side, &c) == 0);
    stand_apart(&c.allowed, 0);
    for (batches = 0; goes_on(&c, batches, end_ns); batches++)
        play_batch(&c);
    KC_REQUIRE(sched_setaffinity(0, sizeof c.allowed, &c.allowed) == 0);
    c.over = true;
    KC_REQUIRE(sem_post(&c.begin) == 0 && pthread_join(thread, NULL) == 0);
    if (batches < BATCHES)
        fprintf(stderr, "    %d of %d batches in two seconds\n", (int)batches, (int)BATCHES);
    KC_CHECK_EQ(c.won[0] + c.won[1], BATCH * batches);
    for (uint32_t side = 0; side < SIDES; side++) {
        check_counts(&c, side);
        kc_sched_free(c.scheds[side]);
    }
    (void)sem_destroy(&c.begin);
    (void)sem_destroy(&c.done);
}

KC_TEST(of_one_that_resumes_and_one_that_adopts_one_gets_the_coroutine) { contest_of(resumes, adopts); }
KC_TEST(of_two_schedulers_one_gets_the_coroutine) { contest_of(adopts, adopts); }
KC_TEST(of_two_that_resume_one_gets_the_coroutine) { contest_of(resumes, resumes); }

int main(void) {
    KC_RUN(of_one_that_resumes_and_one_that_adopts_one_gets_the_coroutine);
    KC_RUN(of_two_schedulers_one_gets_the_coroutine);
    KC_RUN(of_two_that_resume_one_gets_the_coroutine);
    return kc_test_report();
}
