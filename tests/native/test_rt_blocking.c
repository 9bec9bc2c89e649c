/* Threads for calls that may wait: each job once, no more threads than allowed, none left at the end. */
#include <signal.h>
#include <time.h>

#include "kc_gang.h"
#include "runtime/kc_blocking.h"

enum { JOBS = 6 };
#define LONG_NS INT64_C(3600000000000)

static void begin(kc_blocking *b, uint32_t threads_max, int64_t idle_ns) {
    KC_REQUIRE(kc_blocking_begin(b, threads_max, idle_ns) == KC_OK);
}

static int64_t now_ns(void) {
    struct timespec now;

    KC_REQUIRE(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* A job that says when it is done, and that may wait for a gate. */
typedef struct errand {
    kc_wake wake;
    kc_block_job job;
    atomic_bool *gate; /* waits until it is open */
    atomic_int *inside, *most_inside;
    int ran; /* plain: what the job did is seen after its wake */
    atomic_int done;
} errand;

static void run(void *arg) {
    errand *e = arg;

    if (e->inside != NULL) {
        int now = atomic_fetch_add(e->inside, 1) + 1;
        int most = atomic_load(e->most_inside);
        while (most < now && !atomic_compare_exchange_weak(e->most_inside, &most, now)) {
        }
    }
    while (e->gate != NULL && !atomic_load(e->gate))
        (void)sched_yield();
    if (e->inside != NULL)
        atomic_fetch_sub(e->inside, 1);
    e->ran++;
}

static void tell(kc_wake *wake, int32_t code) {
    errand *e = (errand *)(void *)wake;

    atomic_fetch_add(&e->done, code == KC_OK ? 1 : 100);
}

static errand errand_of(atomic_bool *gate) {
    return (errand){.wake = {.call = tell}, .job = {.fn = run}, .gate = gate};
}

static void submit(kc_blocking *b, errand *e) {
    e->job.arg = e;
    e->job.wake = &e->wake;
    KC_REQUIRE(kc_blocking_submit(b, &e->job) == KC_OK);
}

/* A job that waits for a thread that will never come is a failure, and no reason to wait. */
static void await(kc_blocking *b, errand *e) {
    while (atomic_load(&e->done) == 0) {
        kc_blocking_usage usage = kc_blocking_measure(b);
        KC_REQUIRE(usage.queued == 0 || usage.threads != 0);
        (void)sched_yield();
    }
    KC_CHECK_EQ(atomic_load(&e->done), 1);
    KC_CHECK_EQ(e->ran, 1);
}

KC_TEST(a_job_runs_once_and_what_it_did_is_seen) {
    kc_blocking b;
    errand e = errand_of(NULL);

    begin(&b, 4, LONG_NS);
    KC_CHECK_EQ(kc_blocking_measure(&b).threads, 0);
    submit(&b, &e);
    await(&b, &e);
    kc_blocking_end(&b);
}

KC_TEST(there_are_never_more_threads_than_allowed_and_as_many_when_jobs_wait) {
    enum { MOST = 3 };
    kc_blocking b;
    atomic_bool gate = false;
    atomic_int inside = 0, most_inside = 0;
    errand errands[JOBS];

    begin(&b, MOST, LONG_NS);
    for (int i = 0; i < JOBS; i++) {
        errands[i] = errand_of(&gate);
        errands[i].inside = &inside;
        errands[i].most_inside = &most_inside;
        submit(&b, &errands[i]);
    }
    while (atomic_load(&inside) < MOST)
        (void)sched_yield();
    KC_CHECK_EQ(kc_blocking_measure(&b).threads, MOST);
    KC_CHECK_EQ(kc_blocking_measure(&b).queued, JOBS - MOST);
    atomic_store(&gate, true);
    for (int i = 0; i < JOBS; i++)
        await(&b, &errands[i]);
    KC_CHECK_EQ(atomic_load(&most_inside), MOST);
    kc_blocking_end(&b);
}

KC_TEST(a_thread_that_is_free_is_used_again) {
    kc_blocking b;

    begin(&b, 4, LONG_NS);
    for (int i = 0; i < 100; i++) {
        errand e = errand_of(NULL);
        submit(&b, &e);
        await(&b, &e);
        while (kc_blocking_measure(&b).idle == 0)
            (void)sched_yield();
        KC_CHECK_EQ(kc_blocking_measure(&b).threads, 1);
    }
    kc_blocking_end(&b);
}

KC_TEST(threads_without_work_end_and_others_come_when_there_is_some) {
    kc_blocking b;

    begin(&b, 2, 1000000);
    for (int i = 0; i < 5; i++) {
        errand e = errand_of(NULL);
        submit(&b, &e);
        await(&b, &e);
        while (kc_blocking_measure(&b).threads != 0)
            (void)sched_yield();
    }
    kc_blocking_end(&b);
}

KC_TEST(a_job_that_comes_while_its_thread_leaves_is_run) {
    kc_blocking b;

    begin(&b, 1, 1);
    for (int i = 0; i < KC_MANY(20000); i++) {
        errand e = errand_of(NULL);
        submit(&b, &e);
        await(&b, &e);
    }
    kc_blocking_end(&b);
}

static bool is_busy(kc_blocking *b) {
    kc_blocking_usage usage = kc_blocking_measure(b);

    return usage.threads != usage.idle;
}

typedef struct masked {
    kc_wake wake;
    kc_block_job job;
    sigset_t mask;
    atomic_bool done;
} masked;

static void looks_at_its_mask(void *arg) {
    KC_REQUIRE(pthread_sigmask(SIG_SETMASK, NULL, &((masked *)arg)->mask) == 0);
}
static void is_done(kc_wake *wake, int32_t code) { atomic_store(&((masked *)(void *)wake)->done, code == KC_OK); }

KC_TEST(no_signal_is_delivered_to_a_thread_for_jobs) {
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGCHLD, SIGUSR1, SIGALRM, SIGPIPE};
    kc_blocking b;
    masked m = {.wake = {.call = is_done}, .job = {.fn = looks_at_its_mask, .arg = &m, .wake = &m.wake}};
    sigset_t before, after;

    begin(&b, 1, LONG_NS);
    KC_REQUIRE(pthread_sigmask(SIG_SETMASK, NULL, &before) == 0);
    KC_REQUIRE(kc_blocking_submit(&b, &m.job) == KC_OK);
    while (!atomic_load(&m.done))
        (void)sched_yield();
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        KC_CHECK_EQ(sigismember(&m.mask, signals[i]), 1);
    KC_REQUIRE(pthread_sigmask(SIG_SETMASK, NULL, &after) == 0);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) /* whoever submits keeps its own */
        KC_CHECK_EQ(sigismember(&after, signals[i]), sigismember(&before, signals[i]));
    kc_blocking_end(&b);
}

/* Its time is up while the test has the lock; then thread and job both want it. */
KC_TEST(a_job_that_comes_as_the_time_of_its_thread_is_up_is_run) {
    kc_blocking b;

    begin(&b, 1, 500000);
    for (int i = 0; i < 20; i++) {
        errand before = errand_of(NULL), e = errand_of(NULL);
        int64_t up_ns = 0;
        submit(&b, &before);
        await(&b, &before);
        while (is_busy(&b))
            (void)sched_yield();
        KC_REQUIRE(pthread_mutex_lock(&b.lock) == 0);
        for (up_ns = now_ns() + 1000000; now_ns() < up_ns;)
            ;
        KC_REQUIRE(pthread_mutex_unlock(&b.lock) == 0);
        submit(&b, &e);
        await(&b, &e);
    }
    kc_blocking_end(&b);
}

KC_TEST(only_what_has_not_begun_is_cancelled) {
    kc_blocking b;
    atomic_bool gate = false;
    atomic_int inside = 0, most_inside = 0;
    errand first = errand_of(&gate), second = errand_of(NULL), third = errand_of(NULL), fourth = errand_of(NULL);

    begin(&b, 1, LONG_NS);
    first.inside = &inside;
    first.most_inside = &most_inside;
    submit(&b, &first);
    while (atomic_load(&inside) == 0)
        (void)sched_yield();
    submit(&b, &second);
    submit(&b, &third);
    KC_CHECK_EQ(kc_blocking_cancel(&b, &first.job), 0);
    KC_CHECK_EQ(kc_blocking_cancel(&b, &third.job), 1);
    KC_CHECK_EQ(kc_blocking_cancel(&b, &third.job), 0);
    submit(&b, &fourth); /* the queue is whole after its last was taken out */
    KC_CHECK_EQ(kc_blocking_measure(&b).queued, 2);
    atomic_store(&gate, true);
    await(&b, &first);
    await(&b, &second);
    await(&b, &fourth);
    KC_CHECK_EQ(kc_blocking_cancel(&b, &second.job), 0);
    kc_blocking_end(&b);
    KC_CHECK_EQ(third.ran, 0);
    KC_CHECK_EQ(atomic_load(&third.done), 0);
}

KC_TEST(the_end_waits_for_what_was_submitted) {
    kc_blocking b;
    errand errands[200];

    begin(&b, 2, LONG_NS);
    for (int i = 0; i < 200; i++) {
        errands[i] = errand_of(NULL);
        submit(&b, &errands[i]);
    }
    kc_blocking_end(&b);
    for (int i = 0; i < 200; i++)
        KC_CHECK(atomic_load(&errands[i].done) == 1 && errands[i].ran == 1);
}

KC_TEST(a_pool_without_threads_is_not_made) {
    kc_blocking b;

    KC_CHECK_EQ(kc_blocking_begin(&b, 0, 1), KC_EINVAL);
    KC_CHECK_EQ(kc_blocking_begin(&b, 1, -1), KC_EINVAL);
}

typedef struct rush {
    kc_blocking b;
    atomic_ullong cancelled;
} rush;

static void submit_and_cancel(void *arg) {
    rush *r = arg;

    for (int i = 0; i < KC_MANY(20000); i++) {
        errand e = errand_of(NULL);
        submit(&r->b, &e);
        if (i % 2 == 0 && kc_blocking_cancel(&r->b, &e.job) == 1) {
            atomic_fetch_add(&r->cancelled, 1);
            KC_CHECK(e.ran == 0 && atomic_load(&e.done) == 0);
        } else {
            await(&r->b, &e);
        }
    }
}

KC_TEST(each_job_runs_once_or_was_cancelled_whoever_submits) {
    static rush r;
    kc_gang gang;

    begin(&r.b, 3, 100000);
    kc_gang_begin(&gang, 4);
    for (int i = 0; i < 4; i++)
        kc_gang_join(&gang, submit_and_cancel, &r);
    kc_gang_end(&gang);
    KC_CHECK_EQ(kc_blocking_measure(&r.b).queued, 0);
    kc_blocking_end(&r.b);
}

int main(void) {
    KC_RUN(a_job_runs_once_and_what_it_did_is_seen);
    KC_RUN(there_are_never_more_threads_than_allowed_and_as_many_when_jobs_wait);
    KC_RUN(a_thread_that_is_free_is_used_again);
    KC_RUN(threads_without_work_end_and_others_come_when_there_is_some);
    KC_RUN(a_job_that_comes_while_its_thread_leaves_is_run);
    KC_RUN(a_job_that_comes_as_the_time_of_its_thread_is_up_is_run);
    KC_RUN(no_signal_is_delivered_to_a_thread_for_jobs);
    KC_RUN(only_what_has_not_begun_is_cancelled);
    KC_RUN(the_end_waits_for_what_was_submitted);
    KC_RUN(a_pool_without_threads_is_not_made);
    KC_RUN(each_job_runs_once_or_was_cancelled_whoever_submits);
    return kc_test_report();
}
