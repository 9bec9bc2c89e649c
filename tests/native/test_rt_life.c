/* test_rt_life.c: the record of a coroutine, seen by others than whoever runs it: what is handed over by its state
 * alone, what is asked while it ends, and what is left of it after its scheduler. */
#include <pthread.h>

#include "kc_rt.h"
#include "kcoro/kc_timer.h"

/* ---- handed from thread to thread by its state: ThreadSanitizer is the judge of the order ---- */

enum { TURNS = 2000 };

typedef struct relay {
    kc_co *co;
    uint32_t sum; /* plain: only the coroutine counts */
    _Atomic uint32_t over, turn, numbers;
} relay;

static void counts_and_yields(void *arg) {
    relay *r = arg;

    for (uint32_t i = 0; i < TURNS; i++) {
        r->sum++;
        kc_co_yield();
    }
}

/* The turn is relaxed, so that the coroutine's state alone says that it may be resumed. */
static void *resumes_in_turn(void *arg) {
    relay *r = arg;
    uint32_t me = atomic_fetch_add_explicit(&r->numbers, 1, memory_order_relaxed);

    while (atomic_load_explicit(&r->over, memory_order_relaxed) == 0) {
        int rc = KC_EBUSY;
        if (atomic_load_explicit(&r->turn, memory_order_relaxed) != me)
            (void)sched_yield();
        else
            rc = kc_co_resume(r->co);
        if (rc == KC_EPIPE)
            atomic_store_explicit(&r->over, 1, memory_order_relaxed);
        else if (rc == KC_OK)
            atomic_store_explicit(&r->turn, 1 - me, memory_order_relaxed);
    }
    return NULL;
}

KC_TEST(what_one_thread_suspended_another_resumes) {
    relay r = {.co = rt_co(counts_and_yields, &r, NULL)};
    pthread_t threads[2];

    for (int i = 0; i < 2; i++)
        KC_REQUIRE(pthread_create(&threads[i], NULL, resumes_in_turn, &r) == 0);
    for (int i = 0; i < 2; i++)
        KC_REQUIRE(pthread_join(threads[i], NULL) == 0);
    KC_CHECK_EQ(r.sum, TURNS);
    kc_co_drop(r.co);
}

typedef struct orphanage {
    kc_sched *sched;
    _Atomic(kc_co *) left;
    _Atomic uint32_t over;
} orphanage;

static void counts_four(void *arg) {
    for (int i = 0; i < 4; i++) {
        ++*(uint32_t *)arg;
        kc_co_yield();
    }
}

static void *adopts(void *arg) {
    orphanage *o = arg;

    while (atomic_load_explicit(&o->over, memory_order_relaxed) == 0) {
        kc_co *co = atomic_load_explicit(&o->left, memory_order_acquire);
        if (co != NULL && kc_sched_adopt(o->sched, co) == KC_OK)
            atomic_store_explicit(&o->left, NULL, memory_order_relaxed);
        else
            (void)sched_yield();
    }
    return NULL;
}

/* It is resumed once; from then on whoever is faster has it. */
KC_TEST(what_one_thread_suspended_another_gives_to_a_scheduler) {
    orphanage o = {.sched = rt_sched(2)};
    pthread_t thread;

    KC_REQUIRE(pthread_create(&thread, NULL, adopts, &o) == 0);
    for (int i = 0; i < 1000 / RT_SCALE; i++) {
        uint32_t count = 0;
        kc_co *co = rt_co(counts_four, &count, NULL);
        KC_REQUIRE(kc_co_resume(co) == KC_OK);
        atomic_store_explicit(&o.left, co, memory_order_release);
        rt_until_state(co, KC_CO_FINISHED);
        KC_CHECK_EQ(count, 4);
        while (atomic_load_explicit(&o.left, memory_order_relaxed) != NULL)
            (void)sched_yield();
        kc_co_drop(co);
    }
    atomic_store(&o.over, 1);
    KC_REQUIRE(pthread_join(thread, NULL) == 0);
    kc_sched_free(o.sched);
}

/* ---- asked while it ends ---- */

static void yields_thrice(void *arg) {
    (void)arg;
    for (int i = 0; i < 3; i++)
        kc_co_yield();
}

static void stack_asked_with(uint32_t workers) {
    kc_sched *sched = rt_sched(workers);

    for (int i = 0; i < 2000 / RT_SCALE; i++) {
        kc_co *co = NULL;
        size_t size = 0, touched = 0;
        KC_REQUIRE(kc_sched_spawn(sched, yields_thrice, NULL, &co) == KC_OK);
        do {
            kc_co_stack(co, &size, &touched);
            KC_CHECK((size == RT_STACK_BYTES && touched <= size) || size + touched == 0);
        } while (size != 0);
        KC_CHECK_EQ(kc_co_state_of(co), KC_CO_FINISHED);
        kc_co_drop(co);
    }
    kc_sched_free(sched);
}
KC_TEST(a_stack_may_be_asked_about_while_its_coroutine_ends) { rt_with_workers(stack_asked_with); }

/* ---- after its end, and after its scheduler's ---- */

static void does_nothing(void *arg) { (void)arg; }

static void finished_with(uint32_t workers) {
    kc_sched *sched = rt_sched(workers), *other = rt_sched(1);
    kc_co *co = NULL;
    kc_ticket timer = 0;

    KC_REQUIRE(kc_sched_spawn(sched, does_nothing, NULL, &co) == KC_OK);
    rt_until_state(co, KC_CO_FINISHED);
    for (int i = 0; i < 2; i++) {
        KC_CHECK_EQ(kc_co_resume(co), KC_EPIPE);
        KC_CHECK_EQ(kc_sched_adopt(other, co), KC_EPIPE);
        KC_CHECK_EQ(kc_co_unpark(co), KC_EPIPE);
        KC_CHECK_EQ(kc_timer_wake_after(co, 1000, &timer), KC_EINVAL);
        KC_CHECK_EQ(kc_timer_cancel(co, timer), 0);
        kc_sched_free(sched);
        sched = NULL;
    }
    kc_sched_free(other);
    kc_co_drop(co);
}
KC_TEST(a_coroutine_that_has_finished_is_told_as_that_by_every_call) { rt_with_workers(finished_with); }

static void leaves_a_timer(void *arg) {
    KC_CHECK_EQ(kc_timer_wake_after(kc_co_self(), INT64_C(3600000000000), arg), KC_OK);
}

KC_TEST(a_timer_that_outlived_its_scheduler_is_not_cancelled_any_more) {
    kc_sched *sched = rt_sched(1);
    kc_ticket timer = 0;
    kc_co *co = NULL;

    KC_REQUIRE(kc_sched_spawn(sched, leaves_a_timer, &timer, &co) == KC_OK);
    kc_sched_free(sched);
    KC_CHECK(timer != 0);
    KC_CHECK_EQ(kc_timer_cancel(co, timer), 0);
    kc_co_drop(co);
}

/* ---- a coroutine that nobody schedules, resumed by one that somebody does ---- */

typedef struct nest {
    kc_sched *sched, *seen;
    kc_co *self;
} nest;

static void looks_whose_it_is(void *arg) {
    nest *n = arg;

    n->seen = kc_sched_self();
    n->self = kc_co_self();
}

static void resumes_a_stranger(void *arg) {
    nest *n = arg;
    kc_co *co = rt_co(looks_whose_it_is, n, NULL);

    KC_CHECK_EQ(kc_co_resume(co), KC_OK);
    KC_CHECK(n->self == co);
    KC_CHECK(kc_co_self() != co);
    kc_co_drop(co);
}

KC_TEST(a_coroutine_of_nobody_sees_the_scheduler_of_the_worker_that_runs_it) {
    nest n = {.sched = rt_sched(1)};

    rt_spawn(n.sched, resumes_a_stranger, &n);
    (void)kc_sched_drain(n.sched, KC_NEVER);
    KC_CHECK(n.seen == n.sched);
    kc_sched_free(n.sched);
}

/* ---- its handle and its stack ---- */

static void finds_itself_stored(void *arg) {
    KC_CHECK(*(kc_co **)arg == kc_co_self());
}

static void handles_with(uint32_t workers) {
    kc_sched *sched = rt_sched(workers);

    for (int i = 0; i < 1000 / RT_SCALE; i++) {
        kc_co *co = NULL;
        KC_REQUIRE(kc_sched_spawn(sched, finds_itself_stored, &co, &co) == KC_OK);
        (void)kc_sched_drain(sched, KC_NEVER);
        kc_co_drop(co);
    }
    kc_sched_free(sched);
}
KC_TEST(a_handle_is_stored_before_its_coroutine_runs) { rt_with_workers(handles_with); }

static void tells_its_stack(void *arg) {
    size_t touched = 0;

    kc_co_stack(kc_co_self(), arg, &touched);
}

KC_TEST(a_coroutine_has_the_stack_that_was_asked_for) {
    kc_sched *sched = rt_sched(1);
    size_t own = 0, usual = 0;
    kc_co_config config = {.fn = tells_its_stack, .arg = &own, .stack_bytes = 3 * RT_STACK_BYTES};

    KC_REQUIRE(kc_sched_spawn_as(sched, &config, NULL) == KC_OK);
    rt_spawn(sched, tells_its_stack, &usual);
    kc_sched_free(sched);
    KC_CHECK_EQ(own, 3 * RT_STACK_BYTES);
    KC_CHECK_EQ(usual, RT_STACK_BYTES);
}

static void parks(void *arg) {
    (void)arg;
    (void)kc_co_park();
}

/* So many have a stack at once, and then none. */
static void live_together(kc_sched *sched, uint32_t count) {
    kc_co *all[64];

    KC_REQUIRE(count <= sizeof all / sizeof all[0]);
    for (uint32_t i = 0; i < count; i++)
        KC_REQUIRE(kc_sched_spawn(sched, parks, NULL, &all[i]) == KC_OK);
    for (uint32_t i = 0; i < count; i++) {
        KC_CHECK_EQ(kc_co_unpark(all[i]), KC_OK);
        kc_co_drop(all[i]);
    }
    KC_CHECK_EQ(kc_sched_drain(sched, KC_NEVER), KC_OK);
}

static void kept_with(uint32_t kept) {
    kc_sched_config config = {.workers = 1, .stack_bytes = RT_STACK_BYTES, .stacks_kept = kept};
    kc_sched_usage usage;
    kc_sched *sched = NULL;

    KC_REQUIRE(kc_sched_make(&config, &sched) == KC_OK);
    live_together(sched, 12);
    live_together(sched, 12);
    kc_sched_measure(sched, &usage);
    KC_CHECK_EQ(usage.stacks_made, 24 - kept);
    KC_CHECK_EQ(usage.stacks_cached, kept);
    kc_sched_free(sched);
}

KC_TEST(as_many_free_stacks_are_kept_as_was_asked_for) {
    kept_with(3);
    kept_with(7);
}

KC_TEST(a_stack_that_could_not_be_mapped_is_not_counted) {
    kc_sched *sched = rt_sched(1);
    kc_co_config config = {.fn = does_nothing, .stack_bytes = (1U << 30) + 1};
    kc_sched_usage usage;

    KC_CHECK_EQ(kc_sched_spawn_as(sched, &config, NULL), KC_EINVAL);
    kc_sched_measure(sched, &usage);
    KC_CHECK_EQ(usage.stacks_made, 0);
    rt_spawn(sched, does_nothing, NULL);
    kc_sched_measure(sched, &usage);
    KC_CHECK_EQ(usage.stacks_made, 1);
    kc_sched_free(sched);
}

int main(void) {
    KC_RUN(what_one_thread_suspended_another_resumes);
    KC_RUN(what_one_thread_suspended_another_gives_to_a_scheduler);
    KC_RUN(a_stack_may_be_asked_about_while_its_coroutine_ends);
    KC_RUN(a_coroutine_that_has_finished_is_told_as_that_by_every_call);
    KC_RUN(a_timer_that_outlived_its_scheduler_is_not_cancelled_any_more);
    KC_RUN(a_coroutine_of_nobody_sees_the_scheduler_of_the_worker_that_runs_it);
    KC_RUN(a_handle_is_stored_before_its_coroutine_runs);
    KC_RUN(a_coroutine_has_the_stack_that_was_asked_for);
    KC_RUN(as_many_free_stacks_are_kept_as_was_asked_for);
    KC_RUN(a_stack_that_could_not_be_mapped_is_not_counted);
    return kc_test_report();
}
