/* test_rt_taken.c: two threads want the same coroutine at the same moment, to resume it or to give it to a scheduler. One of
 * them gets it, the other is told that it runs, or that it has finished; it runs once. ThreadSanitizer judges the order. */
#include <pthread.h>
#include <stdbool.h>

#include "kc_rt.h"

enum { SIDES = 2, ROUNDS = 24000 / RT_SCALE, LATE_MOST = 64, PATIENCE = 512 };

/* Where the coroutine stands when it is wanted. */
enum { CREATED, SUSPENDED, READY, STARTS };

typedef struct contest contest;
typedef int (*contender)(contest *c, uint32_t side);

struct contest {
    contender takes[SIDES];
    kc_sched *scheds[SIDES];
    kc_co *co;
    uint32_t start;
    bool lingers; /* it does not end before the other side has its answer */
    int told[SIDES];
    uint32_t sum; /* plain: whoever runs it is alone, and others see it after its end */
    _Atomic uint32_t runs, answered, arrived;
    _Atomic uint32_t round; /* that is on; UINT32_MAX: it is over */
};

/* Whoever resumes it has an answer only when it has ended. */
static uint32_t answers_while_it_runs(void) { return kc_sched_self() != NULL ? SIDES : SIDES - 1; }

static void gives_way(void) {
    if (kc_sched_self() != NULL) /* it is queued again and again, and never may it look like one that a thread could resume */
        kc_co_yield();
    else
        (void)sched_yield();
}

static void runs_once(void *arg) {
    contest *c = arg;

    if (c->start == SUSPENDED)
        kc_co_yield();
    else if (c->start == READY)
        (void)kc_co_park();
    KC_REQUIRE(atomic_fetch_add(&c->runs, 1) == 0); /* a stack that two threads run is no place to go on */
    while (c->lingers && atomic_load(&c->answered) < answers_while_it_runs())
        gives_way();
    c->sum++;
}

static int resumes(contest *c, uint32_t side) {
    (void)side;
    return kc_co_resume(c->co);
}

static int adopts(contest *c, uint32_t side) { return kc_sched_adopt(c->scheds[side], c->co); }

/* Both are there when either goes on. Then one is a little late, by turns and more or less, so that its call begins before
 * the other's, within it and after it. */
static void meet(contest *c, uint32_t side, uint32_t round) {
    uint32_t late = round % SIDES == side ? round / SIDES % LATE_MOST : 0;

    (void)atomic_fetch_add(&c->arrived, 1);
    for (uint32_t i = 1; atomic_load(&c->arrived) < SIDES * round; i++)
        if (i % PATIENCE == 0)
            (void)sched_yield();
    while (late-- != 0)
        (void)atomic_load(&c->arrived);
}

static void take_part(contest *c, uint32_t side, uint32_t round) {
    meet(c, side, round);
    c->told[side] = c->takes[side](c, side);
    (void)atomic_fetch_add(&c->answered, 1);
}

static void *is_the_other_side(void *arg) {
    contest *c = arg;
    uint32_t round = 0, last = 0;

    while ((round = atomic_load(&c->round)) != UINT32_MAX) {
        if (round != last)
            take_part(c, 1, round);
        else
            (void)sched_yield();
        last = round;
    }
    return NULL;
}

static void prepare(contest *c, uint32_t round) {
    c->start = round % STARTS;
    c->lingers = round / STARTS % 2 == 0;
    c->sum = 0;
    atomic_store(&c->runs, 0);
    atomic_store(&c->answered, 0);
    c->co = rt_co(runs_once, c, NULL);
    if (c->start != CREATED)
        KC_REQUIRE(kc_co_resume(c->co) == KC_OK);
    if (c->start == READY)
        KC_REQUIRE(kc_co_unpark(c->co) == KC_OK);
}

/* The side that got it. */
static uint32_t judge(const contest *c) {
    uint32_t winner = c->told[0] == KC_OK ? 0 : 1;
    int loser = c->told[1 - winner];

    KC_CHECK_EQ(c->told[winner], KC_OK);
    KC_CHECK(loser == KC_EBUSY || (!c->lingers && loser == KC_EPIPE));
    KC_CHECK_EQ(c->sum, 1);
    KC_CHECK_EQ(atomic_load(&c->runs), 1);
    return winner;
}

/* So many rounds, and until each side has got it. */
static void contest_of(contender one, contender other) {
    contest c = {.takes = {one, other}, .scheds = {rt_sched(1), rt_sched(2)}};
    uint64_t won[SIDES] = {0}, adopted = 0;
    kc_sched_usage usage;
    pthread_t thread;

    KC_REQUIRE(pthread_create(&thread, NULL, is_the_other_side, &c) == 0);
    for (uint32_t round = 1; round <= ROUNDS || won[0] == 0 || won[1] == 0; round++) {
        prepare(&c, round);
        atomic_store(&c.round, round);
        take_part(&c, 0, round);
        rt_until(&c.answered, SIDES);
        rt_until_state(c.co, KC_CO_FINISHED);
        won[judge(&c)]++;
        kc_co_drop(c.co);
    }
    atomic_store(&c.round, UINT32_MAX);
    KC_REQUIRE(pthread_join(thread, NULL) == 0);
    for (uint32_t side = 0; side < SIDES; side++) {
        (void)kc_sched_drain(c.scheds[side], KC_NEVER);
        kc_sched_measure(c.scheds[side], &usage);
        adopted = c.takes[side] == adopts ? won[side] : 0;
        KC_CHECK_EQ(usage.submitted, adopted); /* a scheduler has seen those it was given, and no other */
        KC_CHECK_EQ(usage.completed, adopted);
        kc_sched_free(c.scheds[side]);
    }
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
