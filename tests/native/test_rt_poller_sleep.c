/* test_rt_poller_sleep.c: who sleeps in the poller is woken, once, and never before its time; and no wake, no byte is
 * lost while many threads wake it, wait and cancel. */
#include <errno.h>
#include <time.h>

#include "kc_gang.h"
#include "kc_poller_desk.h"

static int64_t now_ns(void) {
    struct timespec now;

    KC_REQUIRE(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- sleeping ---- */

/* Else it would end each epoll_wait that follows, and a sleep would be a loop. */
static void check_read(int fd) {
    uint64_t rings = 0;

    KC_CHECK(read(fd, &rings, sizeof rings) < 0 && errno == EAGAIN);
}

static void sleeps_end_at_their_time(uint32_t flags) {
    kc_poller p;

    begin(&p, flags);
    for (int i = 0; i < 20; i++) {
        int64_t deadline_ns = now_ns() + 100000 * i;
        KC_CHECK_EQ(kc_poller_wait(&p, deadline_ns), 0);
        KC_CHECK(now_ns() >= deadline_ns);
    }
    if (p.timer_fd >= 0)
        check_read(p.timer_fd);
    kc_poller_end(&p);
}

KC_TEST(a_sleep_never_ends_before_its_time) {
    sleeps_end_at_their_time(0);
    sleeps_end_at_their_time(KC_POLLER_TIMERFD);
}

static void wake_before_sleep(uint32_t flags) {
    kc_poller p;

    begin(&p, flags);
    for (int i = 0; i < 3; i++)
        kc_poller_wake(&p);
    KC_CHECK_EQ(kc_poller_wait(&p, 0), 0); /* only looks: the wake is for a sleep */
    KC_REQUIRE(atomic_load(&p.state) == 2); /* rung; else the next line would never end */
    KC_CHECK_EQ(kc_poller_wait(&p, KC_NEVER), 0);
    for (int i = 0; i < 3; i++) { /* and of three wakes one counts */
        int64_t deadline_ns = now_ns() + 1000000;
        KC_CHECK_EQ(kc_poller_wait(&p, deadline_ns), 0);
        KC_CHECK(now_ns() >= deadline_ns);
    }
    kc_poller_end(&p);
}

KC_TEST(a_wake_before_the_sleep_ends_it_once) {
    wake_before_sleep(0);
    wake_before_sleep(KC_POLLER_TIMERFD);
}

KC_TEST(a_ring_of_a_wake_that_is_over_ends_no_sleep) {
    const uint64_t one = 1;
    int64_t deadline_ns = now_ns() + 2000000;
    kc_poller p;

    begin(&p, 0);
    KC_REQUIRE(write(p.bell_fd, &one, sizeof one) == (ssize_t)sizeof one);
    KC_CHECK_EQ(kc_poller_wait(&p, deadline_ns), 0);
    KC_CHECK(now_ns() >= deadline_ns);
    check_read(p.bell_fd);
    kc_poller_end(&p);
}

KC_TEST(what_came_while_nobody_slept_is_told_although_a_wake_came_too) {
    desk k;

    open_desk(&k);
    KC_CHECK_EQ(wait_here(&k, KC_IO_READABLE, &k.a), KC_OK);
    put(k.d.ends[1]);
    kc_poller_wake(&k.p);
    KC_CHECK_EQ(sleep_here(&k), 1);
    check_bell(&k.a, 1, KC_IO_READABLE);
    close_desk(&k);
}

/* ---- races ---- */

enum { WAKERS = 2, WAKES = KC_MANY(50000), PAIRS = 4, BYTES = KC_MANY(5000) };

typedef struct inn {
    kc_poller p;
    atomic_uint work;
    atomic_uint turn;
    atomic_uint told;
    atomic_bool over;
    duct ducts[PAIRS];
} inn;

static void add_work_and_wake(void *arg) {
    inn *n = arg;

    for (uint32_t i = 0; i < WAKES; i++) {
        uint32_t told = atomic_load(&n->told);
        atomic_fetch_add(&n->work, 1);
        kc_poller_wake(&n->p);
        if (i % 16 == 0) /* let it fall asleep now and then; if a wake is lost, neither goes on */
            while (atomic_load(&n->told) == told) {
            }
    }
}

static void sleep_and_work(void *arg) {
    inn *n = arg;

    while (atomic_load(&n->told) < WAKERS * WAKES) {
        uint32_t found = atomic_exchange(&n->work, 0);
        if (found != 0)
            atomic_fetch_add(&n->told, found);
        else
            (void)kc_poller_wait(&n->p, KC_NEVER);
    }
}

KC_TEST(no_wake_is_lost_however_it_meets_the_sleep) {
    static inn n;
    kc_gang gang;

    begin(&n.p, 0);
    kc_gang_begin(&gang, WAKERS + 1);
    for (int i = 0; i < WAKERS; i++)
        kc_gang_join(&gang, add_work_and_wake, &n);
    kc_gang_join(&gang, sleep_and_work, &n);
    kc_gang_end(&gang);
    KC_CHECK_EQ(atomic_load(&n.told), WAKERS * WAKES);
    kc_poller_end(&n.p);
}

static void sleep_on(void *arg) {
    inn *n = arg;

    while (!atomic_load(&n->over))
        (void)kc_poller_wait(&n->p, KC_NEVER);
}

KC_TEST(a_second_sleeper_is_refused) {
    static inn n;
    kc_gang gang;

    begin(&n.p, 0);
    kc_gang_begin(&gang, 1);
    kc_gang_join(&gang, sleep_on, &n);
    while (atomic_load(&n.p.state) != 1 /* asleep */) {
    }
    KC_CHECK_EQ(kc_poller_wait(&n.p, KC_NEVER), KC_EBUSY);
    atomic_store(&n.over, true);
    kc_poller_wake(&n.p);
    kc_gang_end(&gang);
    kc_poller_end(&n.p);
}

/* A bell that another thread looks at. */
typedef struct far_bell {
    kc_wake wake;
    atomic_int code;
} far_bell;

static void ring_far(kc_wake *wake, int32_t code) { atomic_store(&((far_bell *)(void *)wake)->code, code); }

/* Two of these at the ends of one duct send a byte to and fro; every other wait is cancelled and begun again. */
static void talk(void *arg) {
    inn *n = arg;
    uint32_t me = atomic_fetch_add(&n->turn, 1);
    int fd = n->ducts[me / 2].ends[me % 2];

    if (me % 2 == 0)
        put(fd);
    for (uint32_t i = 0; i < BYTES; i++) {
        far_bell b = {.wake = {.call = ring_far}};
        KC_REQUIRE(kc_poller_add(&n->p, fd, KC_IO_READABLE, &b.wake) == KC_OK);
        if (i % 2 == 0 && kc_poller_cancel(&n->p, fd, &b.wake) == 1)
            KC_REQUIRE(kc_poller_add(&n->p, fd, KC_IO_READABLE, &b.wake) == KC_OK);
        while (atomic_load(&b.code) == 0)
            (void)sched_yield();
        KC_CHECK(atomic_load(&b.code) == KC_IO_READABLE);
        get(fd);
        put(fd);
    }
}

KC_TEST(every_byte_is_told_while_many_threads_add_and_cancel) {
    static inn n;
    kc_gang sleeper, talkers;

    begin(&n.p, 0);
    kc_gang_begin(&sleeper, 1);
    kc_gang_join(&sleeper, sleep_on, &n);
    kc_gang_begin(&talkers, 2 * PAIRS);
    for (int i = 0; i < PAIRS; i++)
        n.ducts[i] = duct_of();
    for (int i = 0; i < 2 * PAIRS; i++)
        kc_gang_join(&talkers, talk, &n);
    kc_gang_end(&talkers);
    KC_CHECK_EQ(kc_poller_waiting(&n.p), 0);
    atomic_store(&n.over, true);
    kc_poller_wake(&n.p);
    kc_gang_end(&sleeper);
    for (int i = 0; i < PAIRS; i++)
        close_duct(&n.ducts[i]);
    kc_poller_end(&n.p);
}

int main(void) {
    KC_RUN(a_sleep_never_ends_before_its_time);
    KC_RUN(a_wake_before_the_sleep_ends_it_once);
    KC_RUN(a_ring_of_a_wake_that_is_over_ends_no_sleep);
    KC_RUN(what_came_while_nobody_slept_is_told_although_a_wake_came_too);
    KC_RUN(no_wake_is_lost_however_it_meets_the_sleep);
    KC_RUN(a_second_sleeper_is_refused);
    KC_RUN(every_byte_is_told_while_many_threads_add_and_cancel);
    return kc_test_report();
}
