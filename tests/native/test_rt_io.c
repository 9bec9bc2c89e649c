/* Waiting for files and for calls that block, from coroutines: others run meanwhile, and nothing is told twice or
 * lost. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kc_rt.h"
#include "kcoro/kc_io.h"
#include "kcoro/kc_timer.h"
#include "runtime/kc_clock.h"

#define MS INT64_C(1000000)

typedef struct duct {
    int ends[2];
    _Atomic uint32_t waiting, told;
    kc_cancel *cancel;
} duct;

static void open_duct(duct *d) {
    *d = (duct){.cancel = NULL};
    KC_REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, d->ends) == 0);
}

static void close_duct(duct *d) {
    for (int i = 0; i < 2; i++)
        if (d->ends[i] >= 0)
            KC_CHECK_EQ(close(d->ends[i]), 0);
}

static void put(int fd) { KC_REQUIRE(write(fd, "x", 1) == 1); }

static void run_all(uint32_t workers, kc_co_fn first, kc_co_fn second, void *arg) {
    kc_sched *sched = rt_sched(workers);

    rt_spawn(sched, first, arg);
    if (second != NULL)
        rt_spawn(sched, second, arg);
    kc_sched_free(sched);
}

/* ---- files ---- */

static void waits_to_read(void *arg) {
    duct *d = arg;

    atomic_store(&d->waiting, 1);
    KC_CHECK_EQ(kc_io_wait(d->ends[0], KC_IO_READABLE, KC_NEVER), KC_IO_READABLE);
    atomic_store(&d->told, 1);
}

static void writes_later(void *arg) {
    duct *d = arg;

    KC_REQUIRE(atomic_load(&d->waiting) == 1); /* one worker: the other gave it up by waiting */
    KC_CHECK_EQ(atomic_load(&d->told), 0);
    put(d->ends[1]);
}

KC_TEST(whoever_waits_for_a_file_lets_others_run_and_is_told) {
    duct d;

    open_duct(&d);
    run_all(1, waits_to_read, writes_later, &d);
    KC_CHECK_EQ(d.told, 1);
    close_duct(&d);
}

static void waits_in_vain(void *arg) {
    duct *d = arg;

    for (int i = 0; i < 5; i++) { /* each finds the place free again */
        int64_t deadline_ns = kc_after_ns(i * MS / 2);
        KC_CHECK_EQ(kc_io_wait(d->ends[0], KC_IO_READABLE, deadline_ns), KC_ETIME);
        KC_CHECK(kc_now_ns() >= deadline_ns);
    }
    KC_CHECK_EQ(kc_io_wait(d->ends[0], KC_IO_READABLE, 0), KC_ETIME);
    KC_CHECK_EQ(kc_io_wait(d->ends[0], KC_IO_READABLE | KC_IO_WRITABLE, 0), KC_IO_WRITABLE);
    KC_CHECK_EQ(kc_io_wait(d->ends[0], KC_IO_READABLE | KC_IO_WRITABLE, KC_NEVER), KC_IO_WRITABLE);
    KC_CHECK_EQ(kc_io_wait(-1, KC_IO_READABLE, KC_NEVER), KC_EBADF);
    KC_CHECK_EQ(kc_io_wait(1 << 20, KC_IO_READABLE, 0), KC_EBADF);
    KC_CHECK_EQ(kc_io_wait(d->ends[0], 0, KC_NEVER), KC_EINVAL);
    KC_CHECK_EQ(kc_io_wait(d->ends[0], 8, KC_NEVER), KC_EINVAL);
}

KC_TEST(a_wait_ends_at_its_deadline_and_never_before) {
    duct d;

    open_duct(&d);
    run_all(1, waits_in_vain, NULL, &d);
    waits_in_vain(&d); /* a thread outside, too */
    close_duct(&d);
}

static void is_refused(void *arg) {
    duct *d = arg;

    KC_CHECK_EQ(kc_io_wait(d->ends[0], KC_IO_READABLE, KC_NEVER), KC_EBUSY);
    KC_CHECK_EQ(kc_io_wait(d->ends[0], KC_IO_WRITABLE, KC_NEVER), KC_IO_WRITABLE); /* the other direction is free */
    put(d->ends[1]);
}

KC_TEST(two_may_wait_for_a_file_one_for_each_direction) {
    duct d;

    open_duct(&d);
    run_all(1, waits_to_read, is_refused, &d);
    KC_CHECK_EQ(d.told, 1);
    close_duct(&d);
}

static void waits_for_what_is_closed(void *arg) {
    duct *d = arg;

    atomic_store(&d->waiting, 1);
    KC_CHECK_EQ(kc_io_wait(d->ends[0], KC_IO_READABLE, KC_NEVER), KC_EBADF);
    atomic_store(&d->told, 1);
}

static void closes(void *arg) {
    duct *d = arg;
    int fd = d->ends[0];

    KC_REQUIRE(atomic_load(&d->waiting) == 1);
    d->ends[0] = -1;
    KC_CHECK_EQ(kc_io_close(fd), 1);
    KC_CHECK_EQ(kc_io_close(fd), KC_EBADF);
}

KC_TEST(whoever_waits_for_a_file_that_is_closed_is_told) {
    duct d;

    open_duct(&d);
    run_all(1, waits_for_what_is_closed, closes, &d);
    KC_CHECK_EQ(d.told, 1);
    close_duct(&d);
}

/* ---- a file that coroutines of two schedulers and a thread wait for ---- */

static uint32_t waiting_in(kc_sched *sched) {
    kc_clock *clock = kc_sched_clock(sched);

    return atomic_load_explicit(&clock->running, memory_order_acquire) != 0 ? kc_poller_waiting(&clock->poller) : 0;
}

static void until_waiting(kc_sched *sched) {
    while (waiting_in(sched) == 0)
        (void)sched_yield();
    KC_CHECK_EQ(kc_io_forget(sched, 1 << 20), 0); /* it takes the lock: by now epoll watches, too */
}

static void closes_for_nobody(void *arg) {
    duct *d = arg;

    KC_CHECK_EQ(kc_io_close(d->ends[0]), 0); /* nobody of this scheduler waits for it */
    d->ends[0] = -1;
}

KC_TEST(whoever_waits_in_another_scheduler_is_not_told_by_a_close) {
    kc_sched *sched = rt_sched(1);
    duct d;
    int fd = -1;

    open_duct(&d);
    fd = d.ends[0];
    rt_spawn(sched, waits_for_what_is_closed, &d);
    until_waiting(sched);
    run_all(1, closes_for_nobody, NULL, &d);
    KC_CHECK_EQ(waiting_in(sched), 1);
    KC_CHECK_EQ(kc_io_forget(sched, fd), 1); /* or it would wait for ever */
    kc_sched_free(sched);
    KC_CHECK_EQ(d.told, 1);
    close_duct(&d);
}

KC_TEST(whoever_waits_in_another_scheduler_is_told_when_that_is_asked_for) {
    kc_sched *sched = rt_sched(1);
    duct d;

    open_duct(&d);
    KC_CHECK_EQ(kc_io_forget(sched, d.ends[0]), 0); /* nobody has waited for anything yet */
    rt_spawn(sched, waits_for_what_is_closed, &d);
    until_waiting(sched);
    KC_CHECK_EQ(kc_io_forget(sched, d.ends[1]), 0);
    KC_CHECK_EQ(kc_io_forget(sched, d.ends[0]), 1);
    KC_CHECK_EQ(kc_io_forget(sched, d.ends[0]), 0);
    kc_sched_free(sched);
    KC_CHECK_EQ(d.told, 1);
    KC_CHECK_EQ(kc_io_close(d.ends[0]), 0); /* a thread tells nobody */
    d.ends[0] = -1;
    close_duct(&d);
}

static void *waits_as_a_thread(void *arg) {
    waits_to_read(arg);
    return NULL;
}

KC_TEST(a_thread_that_waits_for_a_socket_is_ended_by_its_shutdown) {
    pthread_t thread;
    duct d;

    open_duct(&d);
    KC_REQUIRE(pthread_create(&thread, NULL, waits_as_a_thread, &d) == 0);
    rt_until(&d.waiting, 1);
    KC_CHECK_EQ(shutdown(d.ends[0], SHUT_RDWR), 0);
    KC_REQUIRE(pthread_join(thread, NULL) == 0);
    KC_CHECK_EQ(d.told, 1);
    KC_CHECK_EQ(kc_io_close(d.ends[0]), 0);
    d.ends[0] = -1;
    close_duct(&d);
}

static void waits_until_cancelled(void *arg) {
    duct *d = arg;

    atomic_store(&d->waiting, 1);
    KC_CHECK_EQ(kc_io_wait_c(d->ends[0], KC_IO_READABLE, KC_NEVER, d->cancel), KC_ECANCELED);
    put(d->ends[1]);
    KC_CHECK_EQ(kc_io_wait_c(d->ends[0], KC_IO_READABLE, KC_NEVER, d->cancel), KC_ECANCELED); /* set before */
    KC_CHECK_EQ(kc_io_wait(d->ends[0], KC_IO_READABLE, KC_NEVER), KC_IO_READABLE); /* the place is free */
    atomic_store(&d->told, 1);
}

static void cancels(void *arg) {
    duct *d = arg;

    KC_REQUIRE(atomic_load(&d->waiting) == 1);
    KC_CHECK_EQ(kc_cancel_trigger(d->cancel, 0), KC_OK);
}

KC_TEST(a_cancel_ends_a_wait_and_leaves_nothing) {
    duct d;

    open_duct(&d);
    KC_REQUIRE(kc_cancel_make(NULL, &d.cancel) == KC_OK);
    run_all(1, waits_until_cancelled, cancels, &d);
    KC_CHECK_EQ(d.told, 1);
    kc_cancel_drop(d.cancel);
    close_duct(&d);
}

/* ---- many pairs; each end sends what it gets, with a deadline now and then that is too short ---- */

enum { PAIRS = 16, BYTES = 500 / RT_SCALE };

typedef struct end {
    int fd;
    bool begins;
    uint32_t got;
} end;

static void take_byte(end *e, uint32_t number) {
    uint8_t byte = 0;

    while (read(e->fd, &byte, 1) != 1) {
        int64_t deadline_ns = number % 3 == 0 ? kc_after_ns(20000) : KC_NEVER;
        int rc = 0;
        KC_REQUIRE(errno == EAGAIN);
        rc = kc_io_wait(e->fd, KC_IO_READABLE, deadline_ns);
        KC_CHECK(rc == KC_IO_READABLE || (rc == KC_ETIME && deadline_ns != KC_NEVER));
    }
    KC_CHECK(byte == (uint8_t)number);
    e->got++;
}

static void converses(void *arg) {
    end *e = arg;

    for (uint32_t i = 0; i < BYTES; i++) {
        uint8_t byte = (uint8_t)i;
        if (!e->begins)
            take_byte(e, i);
        KC_REQUIRE(write(e->fd, &byte, 1) == 1);
        if (e->begins)
            take_byte(e, i);
    }
}

static void pairs_converse(uint32_t workers) {
    static duct ducts[PAIRS];
    static end ends[PAIRS][2];
    kc_sched *sched = rt_sched(workers);

    for (int i = 0; i < PAIRS; i++) {
        open_duct(&ducts[i]);
        for (int k = 0; k < 2; k++) {
            ends[i][k] = (end){.fd = ducts[i].ends[k], .begins = k == 0};
            rt_spawn(sched, converses, &ends[i][k]);
        }
    }
    kc_sched_free(sched);
    for (int i = 0; i < PAIRS; i++) {
        KC_CHECK_EQ(ends[i][0].got + ends[i][1].got, 2 * BYTES);
        close_duct(&ducts[i]);
    }
}

KC_TEST(every_byte_arrives_once_whether_deadlines_race_it_or_not) { rt_with_workers(pairs_converse); }

/* ---- calls that block ---- */

typedef struct gate {
    _Atomic uint32_t open, inside;
    uint32_t passed; /* plain: what a call did is seen by whoever waited for it */
    pthread_t thread;
    kc_cancel *cancel;
} gate;

static void passes(void *arg) {
    gate *g = arg;

    (void)atomic_fetch_add(&g->inside, 1);
    rt_until(&g->open, 1);
    g->passed++;
    g->thread = pthread_self();
}

static void calls(void *arg) {
    gate *g = arg;

    KC_CHECK_EQ(kc_block_call(passes, g), KC_OK);
    KC_CHECK_EQ(g->passed, 1);
}

static void opens(void *arg) { atomic_store(&((gate *)arg)->open, 1); }

KC_TEST(a_call_that_blocks_lets_others_run) {
    gate g = {.open = 0};

    run_all(1, calls, opens, &g); /* with the worker blocked, the gate would stay shut */
    KC_CHECK_EQ(g.passed, 1);
}

KC_TEST(outside_of_a_scheduler_a_call_runs_where_it_is) {
    gate g = {.open = 1};

    KC_CHECK_EQ(kc_block_call(passes, &g), KC_OK);
    KC_CHECK(pthread_equal(g.thread, pthread_self()));
    KC_CHECK_EQ(kc_block_call(NULL, &g), KC_EINVAL);
}

static void counts(void *arg) { (void)atomic_fetch_add((_Atomic uint32_t *)arg, 1); }
static void calls_count(void *arg) {
    for (int i = 0; i < 5; i++)
        KC_CHECK_EQ(kc_block_call(counts, arg), KC_OK);
}

static void many_call(uint32_t workers) {
    enum { CALLERS = 200 };
    kc_sched *sched = rt_sched(workers);
    _Atomic uint32_t ran = 0;

    for (int i = 0; i < CALLERS; i++)
        rt_spawn(sched, calls_count, (void *)&ran);
    kc_sched_free(sched);
    KC_CHECK_EQ(ran, CALLERS * 5);
}

KC_TEST(more_calls_than_threads_all_run_once) { rt_with_workers(many_call); }

/* Fills every thread of the pool, so that one more call cannot begin. */
typedef struct crowd {
    gate gate, last;
} crowd;

static void passes_with_many(void *arg) {
    gate *g = arg;

    (void)atomic_fetch_add(&g->inside, 1);
    rt_until(&g->open, 1);
}

static void fills(void *arg) { KC_CHECK_EQ(kc_block_call(passes_with_many, &((crowd *)arg)->gate), KC_OK); }

static void is_cancelled(void *arg) {
    crowd *c = arg;

    KC_CHECK_EQ(kc_block_call_c(passes, &c->last, c->last.cancel), KC_ECANCELED);
    KC_CHECK_EQ(c->last.inside, 0);
    KC_CHECK_EQ(kc_block_call_c(passes, &c->last, c->last.cancel), KC_ECANCELED); /* set before */
    atomic_store(&c->gate.open, 1);
}

static void cancels_last(void *arg) { KC_CHECK_EQ(kc_cancel_trigger(((crowd *)arg)->last.cancel, 0), KC_OK); }

KC_TEST(a_call_that_has_not_begun_is_cancelled_and_never_runs) {
    enum { THREADS = 64 };
    kc_sched *sched = rt_sched(1);
    crowd c = {.gate = {.open = 0}};

    KC_REQUIRE(kc_cancel_make(NULL, &c.last.cancel) == KC_OK);
    for (int i = 0; i < THREADS; i++)
        rt_spawn(sched, fills, &c);
    rt_until(&c.gate.inside, THREADS);
    rt_spawn(sched, is_cancelled, &c);
    rt_spawn(sched, cancels_last, &c);
    kc_sched_free(sched);
    KC_CHECK_EQ(c.last.passed, 0);
    kc_cancel_drop(c.last.cancel);
}

static void calls_with_cancel(void *arg) {
    gate *g = arg;

    KC_CHECK_EQ(kc_block_call_c(passes, g, g->cancel), KC_OK);
    KC_CHECK_EQ(g->passed, 1);
    KC_CHECK_EQ(kc_cancel_is_set(g->cancel), 1);
}

static void cancels_then_opens(void *arg) {
    gate *g = arg;

    while (atomic_load(&g->inside) == 0)
        kc_co_yield();
    KC_CHECK_EQ(kc_cancel_trigger(g->cancel, 0), KC_OK);
    for (int i = 0; i < 100; i++)
        kc_co_yield();
    KC_CHECK_EQ(g->passed, 0);
    atomic_store(&g->open, 1);
}

KC_TEST(a_call_that_has_begun_is_waited_for_whatever_is_cancelled) {
    gate g = {.open = 0};

    KC_REQUIRE(kc_cancel_make(NULL, &g.cancel) == KC_OK);
    run_all(1, calls_with_cancel, cancels_then_opens, &g);
    KC_CHECK_EQ(g.passed, 1);
    kc_cancel_drop(g.cancel);
}

int main(void) {
    KC_RUN(whoever_waits_for_a_file_lets_others_run_and_is_told);
    KC_RUN(a_wait_ends_at_its_deadline_and_never_before);
    KC_RUN(two_may_wait_for_a_file_one_for_each_direction);
    KC_RUN(whoever_waits_for_a_file_that_is_closed_is_told);
    KC_RUN(whoever_waits_in_another_scheduler_is_not_told_by_a_close);
    KC_RUN(whoever_waits_in_another_scheduler_is_told_when_that_is_asked_for);
    KC_RUN(a_thread_that_waits_for_a_socket_is_ended_by_its_shutdown);
    KC_RUN(a_cancel_ends_a_wait_and_leaves_nothing);
    KC_RUN(every_byte_arrives_once_whether_deadlines_race_it_or_not);
    KC_RUN(a_call_that_blocks_lets_others_run);
    KC_RUN(outside_of_a_scheduler_a_call_runs_where_it_is);
    KC_RUN(more_calls_than_threads_all_run_once);
    KC_RUN(a_call_that_has_not_begun_is_cancelled_and_never_runs);
    KC_RUN(a_call_that_has_begun_is_waited_for_whatever_is_cancelled);
    return kc_test_report();
}
