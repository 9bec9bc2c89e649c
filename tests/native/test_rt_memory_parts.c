/* test_rt_memory_parts.c: parts of the runtime that ask for more while they are in use: whoever is refused is told, and
 * those who were there before notice nothing. What is made at first is in test_rt_memory.c.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>

#include "kc_rt.h"
#include "kc_scarce.h"
#include "runtime/kc_worker.h"

/* ---- queues ---- */

static int items[KC_DEQUE_ITEMS + 1];

KC_TEST(a_deque_that_cannot_grow_refuses_the_next_and_keeps_the_others) {
    kc_held before = scarce_look();
    kc_deque d;
    void *item = NULL;

    scarce_begin(1);
    KC_CHECK_EQ(kc_deque_make(&d, 1 << 10), KC_ENOMEM);
    KC_CHECK(scarce_end());
    kc_deque_free(&d);
    KC_REQUIRE(kc_deque_make(&d, 1 << 10) == KC_OK);
    for (int i = 0; i < KC_DEQUE_ITEMS; i++)
        KC_REQUIRE(kc_deque_push(&d, &items[i]) == KC_OK);
    scarce_begin(1);
    KC_CHECK_EQ(kc_deque_push(&d, &items[KC_DEQUE_ITEMS]), KC_ENOMEM);
    KC_CHECK(scarce_end());
    KC_CHECK_EQ(kc_deque_count(&d), KC_DEQUE_ITEMS);
    KC_CHECK_EQ(kc_deque_push(&d, &items[KC_DEQUE_ITEMS]), KC_OK);
    for (int i = 0; i <= KC_DEQUE_ITEMS; i++)
        KC_CHECK(kc_deque_steal(&d, &item) == KC_OK && item == &items[i]);
    kc_deque_free(&d);
    KC_CHECK_EQ(scarce_look().blocks, before.blocks);
}

typedef struct crowd {
    kc_sched *sched;
    rt_spinner other;
    _Atomic uint32_t ran;
    bool refused;
} crowd;

static void is_one_of_many(void *arg) { (void)atomic_fetch_add(&((crowd *)arg)->ran, 1); }

/* Stacks are kept from before, so a spawn asks for its record, and the first that finds the deque full for a larger
 * one. */
static void spawns_more_than_its_deque_holds(void *arg) {
    crowd *c = arg;

    for (int i = 0; i < KC_DEQUE_ITEMS; i++)
        rt_spawn(c->sched, is_one_of_many, c);
    scarce_begin(2);
    rt_spawn(c->sched, is_one_of_many, c);
    c->refused = scarce_end();
    atomic_store(&c->other.stop, 1);
}

KC_TEST(a_coroutine_for_which_the_queue_cannot_grow_runs_all_the_same) {
    crowd c = {.sched = rt_sched(2)};

    for (int i = 0; i < 2 * KC_DEQUE_ITEMS; i++)
        rt_spawn(c.sched, is_one_of_many, &c); /* leaves its stack */
    KC_REQUIRE(kc_sched_drain(c.sched, KC_NEVER) == KC_OK);
    for (int i = 0; i <= KC_DEQUE_ITEMS + 2; i++) {
        kc_stack stack;
        KC_REQUIRE(kc_stack_map(RT_STACK_BYTES, &stack) == KC_OK);
        kc_stack_cache_give(&c.sched->stacks, &stack);
    }
    atomic_store(&c.ran, 0);
    rt_occupy(c.sched, &c.other);
    rt_spawn(c.sched, spawns_more_than_its_deque_holds, &c);
    kc_sched_free(c.sched);
    KC_CHECK(c.refused);
    KC_CHECK_EQ(c.ran, KC_DEQUE_ITEMS + 1);
}

KC_TEST(places_for_which_there_is_no_memory) {
    kc_held before = scarce_look();
    kc_places *places = NULL;

    for (int32_t n = 1; n <= 2; n++) {
        scarce_begin(n);
        KC_CHECK_EQ(kc_places_make(8, &places), KC_ENOMEM);
        KC_CHECK(scarce_end() && places == NULL);
    }
    KC_REQUIRE(kc_places_make(8, &places) == KC_OK);
    kc_places_free(places);
    KC_CHECK_EQ(scarce_look().blocks, before.blocks);
    KC_CHECK_EQ(scarce_look().mapped_bytes, before.mapped_bytes);
}

/* ---- timers ---- */

enum { TIMERS = 64 /* as many as a heap has room for at first */ };

KC_TEST(a_heap_that_cannot_grow_refuses_the_next_and_keeps_the_order_of_the_others) {
    for (int32_t n = 1; n <= 2; n++) {
        kc_wake wakes[TIMERS + 1];
        kc_held before = scarce_look();
        kc_ticket id = 0;
        kc_heap h;
        kc_heap_begin(&h, 1 << 10);
        for (int i = 0; i < TIMERS; i++)
            KC_REQUIRE(kc_heap_add(&h, TIMERS - i, &wakes[i], &id) == KC_OK);
        scarce_begin(n);
        KC_CHECK_EQ(kc_heap_add(&h, 0, &wakes[TIMERS], &id), KC_ENOMEM);
        KC_CHECK(scarce_end());
        KC_CHECK_EQ(h.count, TIMERS);
        KC_CHECK_EQ(kc_heap_add(&h, 0, &wakes[TIMERS], &id), KC_OK);
        for (int i = TIMERS; i >= 0; i--)
            KC_CHECK(kc_heap_pop(&h, TIMERS) == &wakes[i]);
        kc_heap_end(&h);
        KC_CHECK_EQ(scarce_look().blocks, before.blocks);
    }
}

/* ---- the poller ---- */

typedef struct bell {
    kc_wake wake;
    int32_t code;
} bell;

static void ring(kc_wake *wake, int32_t code) { ((bell *)(void *)wake)->code = code; }

static void begin_full_duct(kc_poller *p, int ends[2]) {
    static const char page[4096];

    KC_REQUIRE(kc_poller_begin(p, 0) == KC_OK);
    KC_REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
    while (write(ends[0], page, sizeof page) > 0) {
    }
}

static void end_duct(kc_poller *p, const int ends[2]) {
    kc_poller_end(p);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

KC_TEST(a_poller_for_which_there_is_no_descriptor_leaves_none_open) {
    static const int codes[] = {KC_EDQUOT, KC_EDQUOT, KC_ENOMEM};
    kc_held before = scarce_look();
    kc_poller p;

    for (int32_t n = 1; n <= 3; n++) {
        scarce_begin(n);
        KC_CHECK_EQ(kc_poller_begin(&p, 0), codes[n - 1]);
        KC_CHECK(scarce_end());
        KC_CHECK_EQ(scarce_look().files, before.files);
    }
}

KC_TEST(a_table_that_cannot_grow_refuses_the_next_and_keeps_those_who_wait) {
    bell b = {.wake = {.call = ring}}, late = {.wake = {.call = ring}};
    int ends[2];
    int high = -1;
    kc_poller p;

    begin_full_duct(&p, ends);
    high = fcntl(ends[0], F_DUPFD_CLOEXEC, 200);
    KC_REQUIRE(high >= 200 && ends[0] < 64);
    KC_REQUIRE(kc_poller_add(&p, ends[0], KC_IO_READABLE, &b.wake) == KC_OK);
    scarce_begin(1);
    KC_CHECK_EQ(kc_poller_add(&p, high, KC_IO_READABLE, &late.wake), KC_ENOMEM);
    KC_CHECK(scarce_end());
    KC_CHECK_EQ(kc_poller_waiting(&p), 1);
    KC_CHECK_EQ(kc_poller_add(&p, high, KC_IO_READABLE, &late.wake), KC_OK);
    KC_REQUIRE(write(ends[1], "x", 1) == 1);
    KC_CHECK_EQ(kc_poller_wait(&p, KC_NEVER), 2);
    KC_CHECK_EQ(b.code, KC_IO_READABLE);
    KC_CHECK_EQ(late.code, KC_IO_READABLE);
    end_duct(&p, ends);
    (void)close(high);
}

KC_TEST(a_wait_that_epoll_refuses_leaves_whoever_waits_for_the_other_direction) {
    bell reader = {.wake = {.call = ring}}, writer = {.wake = {.call = ring}};
    int ends[2];
    kc_poller p;

    begin_full_duct(&p, ends);
    scarce_begin(2); /* after the table */
    KC_CHECK_EQ(kc_poller_add(&p, ends[0], KC_IO_READABLE, &reader.wake), KC_ENOMEM);
    KC_CHECK(scarce_end());
    KC_CHECK_EQ(kc_poller_waiting(&p), 0);
    KC_CHECK_EQ(kc_poller_add(&p, ends[0], KC_IO_READABLE, &reader.wake), KC_OK);
    scarce_begin(1);
    KC_CHECK_EQ(kc_poller_add(&p, ends[0], KC_IO_WRITABLE, &writer.wake), KC_ENOMEM);
    KC_CHECK(scarce_end());
    KC_CHECK_EQ(kc_poller_waiting(&p), 1);
    KC_CHECK_EQ(reader.code, 0);
    KC_REQUIRE(write(ends[1], "x", 1) == 1);
    KC_CHECK_EQ(kc_poller_wait(&p, KC_NEVER), 1);
    KC_CHECK_EQ(reader.code, KC_IO_READABLE);
    KC_CHECK_EQ(kc_poller_add(&p, ends[0], KC_IO_WRITABLE, &writer.wake), KC_OK);
    end_duct(&p, ends);
}

KC_TEST(a_sleep_whose_timer_cannot_be_had_ends_at_its_time_all_the_same) {
    kc_held before = scarce_look();
    kc_poller p;

    for (int32_t n = 1; n <= 2; n++) {
        KC_REQUIRE(kc_poller_begin(&p, KC_POLLER_TIMERFD) == KC_OK);
        for (int again = 0; again < 2; again++) {
            int64_t at_ns = kc_after_ns(2000000);
            scarce_begin(again ? 0 : n);
            KC_CHECK_EQ(kc_poller_wait(&p, at_ns), 0);
            KC_CHECK_EQ(scarce_end(), !again);
            KC_CHECK(kc_now_ns() >= at_ns);
            KC_CHECK_EQ(p.timer_fd >= 0, again);
        }
        kc_poller_end(&p);
        KC_CHECK_EQ(scarce_look().files, before.files);
    }
}

/* ---- threads for calls that block ---- */

typedef struct job {
    kc_block_job job;
    kc_wake wake;
    _Atomic uint32_t *go; /* NULL: at once */
    _Atomic uint32_t ran;
} job;

static void does_it(void *arg) {
    job *j = arg;

    if (j->go != NULL)
        rt_until(j->go, 1);
    atomic_store(&j->ran, 1);
}

static void says_nothing(kc_wake *wake, int32_t code) {
    (void)wake;
    (void)code;
}

static void prepare(job *j, _Atomic uint32_t *go) {
    *j = (job){.go = go, .wake = {.call = says_nothing}};
    j->job = (kc_block_job){.fn = does_it, .arg = j, .wake = &j->wake};
}

KC_TEST(a_call_for_which_there_is_no_second_thread_waits_for_the_first) {
    for (int32_t n = 1; n <= 2; n++) {
        kc_held before = scarce_look();
        _Atomic uint32_t go = 0;
        job first, second;
        kc_blocking b;
        KC_REQUIRE(kc_blocking_begin(&b, 4, 0) == KC_OK);
        prepare(&first, &go);
        prepare(&second, NULL);
        scarce_begin(n);
        KC_CHECK_EQ(kc_blocking_submit(&b, &first.job), KC_ENOMEM);
        KC_CHECK(scarce_end());
        KC_CHECK_EQ(kc_blocking_measure(&b).queued, 0);
        KC_REQUIRE(kc_blocking_submit(&b, &first.job) == KC_OK);
        while (kc_blocking_measure(&b).queued != 0)
            (void)sched_yield(); /* its thread has it */
        scarce_begin(n);
        KC_CHECK_EQ(kc_blocking_submit(&b, &second.job), KC_OK);
        KC_CHECK(scarce_end());
        KC_CHECK_EQ(kc_blocking_measure(&b).threads, 1);
        atomic_store(&go, 1);
        kc_blocking_end(&b);
        KC_CHECK_EQ(second.ran, 1);
        KC_CHECK_EQ(scarce_look().blocks, before.blocks);
        KC_CHECK_EQ(scarce_look().threads, before.threads);
    }
}

/* ---- alternate stacks ---- */

KC_TEST(a_guard_for_which_there_is_no_key_is_refused) { /* the first test: there is one key for the process */
    scarce_begin(1);
    KC_CHECK_EQ(kc_guard_begin(), KC_ENOMEM);
    KC_CHECK(scarce_end());
    KC_REQUIRE(kc_guard_begin() == KC_OK);
    kc_guard_end();
}

static bool has_alternate(void) {
    stack_t now = {0};

    KC_REQUIRE(sigaltstack(NULL, &now) == 0);
    return (now.ss_flags & SS_DISABLE) == 0;
}

static void does_nothing(void *arg) { (void)arg; }

/* Nothing, if a sanitizer has given the thread a stack already. */
static void *is_refused_a_stack(void *arg) {
    kc_co *first = rt_co(does_nothing, NULL, NULL), *second = rt_co(does_nothing, NULL, NULL);
    bool asks = !has_alternate();

    scarce_begin(*(int32_t *)arg);
    KC_CHECK_EQ(kc_co_resume(first), KC_OK);
    KC_CHECK_EQ(scarce_end(), asks);
    KC_CHECK_EQ(has_alternate(), !asks);
    KC_CHECK_EQ(kc_co_resume(second), KC_OK);
    KC_CHECK(has_alternate());
    kc_co_drop(first);
    kc_co_drop(second);
    return NULL;
}

KC_TEST(a_thread_for_which_there_is_no_alternate_stack_gets_it_the_next_time_and_gives_it_back) {
    kc_held before = scarce_look();

    KC_REQUIRE(kc_guard_begin() == KC_OK);
    for (int32_t n = 1; n <= 2; n++) {
        pthread_t thread;
        KC_REQUIRE(pthread_create(&thread, NULL, is_refused_a_stack, &n) == 0);
        KC_REQUIRE(pthread_join(thread, NULL) == 0);
    }
    kc_guard_end();
    KC_CHECK_EQ(scarce_look().mapped_bytes, before.mapped_bytes);
}

/* Which request is the n-th depends on when the workers come to it; those of their alternate stacks are not told. */
KC_TEST(a_scheduler_that_tells_may_be_refused_anything) {
    kc_sched_config config = {.workers = 2, .stack_bytes = RT_STACK_BYTES, .flags = KC_SCHED_TELL_OVERFLOW};
    kc_held before = scarce_look();
    bool refused = true;

    for (int32_t n = 1; refused; n++) {
        kc_sched *sched = NULL;
        int rc = KC_OK;
        scarce_begin(n);
        rc = kc_sched_make(&config, &sched);
        if (rc == KC_OK)
            rc = kc_sched_spawn(sched, does_nothing, NULL, NULL);
        kc_sched_free(sched);
        refused = scarce_end();
        KC_CHECK(rc == KC_OK || (refused && rc == KC_ENOMEM));
    }
    KC_CHECK_EQ(scarce_look().blocks, before.blocks);
    KC_CHECK_EQ(scarce_look().mapped_bytes, before.mapped_bytes);
    KC_CHECK_EQ(scarce_look().threads, before.threads);
}

int main(void) {
    KC_RUN(a_guard_for_which_there_is_no_key_is_refused);
    KC_RUN(a_deque_that_cannot_grow_refuses_the_next_and_keeps_the_others);
    KC_RUN(a_coroutine_for_which_the_queue_cannot_grow_runs_all_the_same);
    KC_RUN(places_for_which_there_is_no_memory);
    KC_RUN(a_heap_that_cannot_grow_refuses_the_next_and_keeps_the_order_of_the_others);
    KC_RUN(a_poller_for_which_there_is_no_descriptor_leaves_none_open);
    KC_RUN(a_table_that_cannot_grow_refuses_the_next_and_keeps_those_who_wait);
    KC_RUN(a_wait_that_epoll_refuses_leaves_whoever_waits_for_the_other_direction);
    KC_RUN(a_sleep_whose_timer_cannot_be_had_ends_at_its_time_all_the_same);
    KC_RUN(a_call_for_which_there_is_no_second_thread_waits_for_the_first);
    KC_RUN(a_thread_for_which_there_is_no_alternate_stack_gets_it_the_next_time_and_gives_it_back);
    KC_RUN(a_scheduler_that_tells_may_be_refused_anything);
    return kc_test_report();
}
