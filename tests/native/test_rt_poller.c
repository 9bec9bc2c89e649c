/* The poller: who waits for a file is called once, or cancelled; who sleeps is woken, and never before its time. */
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "kc_gang.h"
#include "runtime/kc_poller.h"

typedef struct bell {
    kc_wake wake;
    uint32_t rung;
    int32_t code;
} bell;

static void ring(kc_wake *wake, int32_t code) {
    bell *b = (bell *)(void *)wake;

    b->rung++;
    b->code = code;
}

static bell bell_of(void) { return (bell){.wake = {.call = ring}}; }

static int64_t now_ns(void) {
    struct timespec now;

    KC_REQUIRE(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void begin(kc_poller *p, uint32_t flags) { KC_REQUIRE(kc_poller_begin(p, flags) == KC_OK); }

typedef struct duct {
    int ends[2];
} duct;

static duct duct_of(void) {
    duct d;

    KC_REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, d.ends) == 0);
    return d;
}

static void close_duct(duct *d) {
    for (int i = 0; i < 2; i++)
        if (d->ends[i] >= 0)
            KC_CHECK_EQ(close(d->ends[i]), 0);
}

static void put(int fd) { KC_REQUIRE(write(fd, "x", 1) == 1); }
static void get(int fd) {
    char byte = 0;
    KC_REQUIRE(read(fd, &byte, 1) == 1);
}
/* Until a send would wait. */
static void fill(int fd) {
    static const char page[4096];
    while (write(fd, page, sizeof page) > 0) {
    }
}

/* ---- files ---- */

KC_TEST(who_waits_to_read_is_called_once) {
    kc_poller p;
    duct d = duct_of();
    bell b = bell_of();

    begin(&p, 0);
    KC_CHECK_EQ(kc_poller_add(&p, d.ends[0], KC_IO_READABLE, &b.wake), KC_OK);
    KC_CHECK_EQ(kc_poller_waiting(&p), 1);
    KC_CHECK_EQ(kc_poller_wait(&p, 0), 0);
    put(d.ends[1]);
    KC_CHECK_EQ(kc_poller_wait(&p, KC_NEVER), 1);
    KC_CHECK_EQ(b.code, KC_IO_READABLE);
    KC_CHECK_EQ(kc_poller_waiting(&p), 0);
    put(d.ends[1]);
    KC_CHECK_EQ(kc_poller_wait(&p, 0), 0);
    KC_CHECK_EQ(b.rung, 1);
    KC_CHECK_EQ(kc_poller_add(&p, d.ends[0], KC_IO_READABLE, &b.wake), KC_OK); /* what is there already counts */
    KC_CHECK_EQ(kc_poller_wait(&p, KC_NEVER), 1);
    KC_CHECK_EQ(b.rung, 2);
    kc_poller_end(&p);
    close_duct(&d);
}

KC_TEST(one_may_wait_to_read_and_another_to_write_the_same_file) {
    kc_poller p;
    duct d = duct_of();
    bell reader = bell_of(), writer = bell_of();

    begin(&p, 0);
    KC_CHECK_EQ(kc_poller_add(&p, d.ends[0], KC_IO_READABLE, &reader.wake), KC_OK);
    KC_CHECK_EQ(kc_poller_add(&p, d.ends[0], KC_IO_WRITABLE, &writer.wake), KC_OK);
    KC_CHECK_EQ(kc_poller_wait(&p, KC_NEVER), 1);
    KC_CHECK_EQ(writer.code, KC_IO_WRITABLE);
    KC_CHECK_EQ(reader.rung, 0);
    put(d.ends[1]);
    KC_CHECK_EQ(kc_poller_wait(&p, 0), 1);
    KC_CHECK_EQ(reader.rung, 1);
    KC_CHECK_EQ(reader.code, KC_IO_READABLE);
    KC_CHECK_EQ(writer.rung, 1);
    get(d.ends[0]);
    fill(d.ends[0]);
    KC_CHECK_EQ(kc_poller_add(&p, d.ends[0], KC_IO_WRITABLE, &writer.wake), KC_OK);
    KC_CHECK_EQ(kc_poller_add(&p, d.ends[0], KC_IO_READABLE, &reader.wake), KC_OK);
    KC_CHECK_EQ(kc_poller_wait(&p, 0), 0);
    KC_CHECK_EQ(kc_poller_waiting(&p), 2);
    put(d.ends[1]);
    KC_CHECK_EQ(kc_poller_wait(&p, KC_NEVER), 1);
    KC_CHECK_EQ(reader.rung, 2);
    KC_CHECK_EQ(kc_poller_cancel(&p, d.ends[0], &writer.wake), 1);
    kc_poller_end(&p);
    close_duct(&d);
}

KC_TEST(one_may_wait_for_both_directions_and_is_told_what_came) {
    kc_poller p;
    duct d = duct_of();
    bell b = bell_of(), other = bell_of();

    begin(&p, 0);
    fill(d.ends[0]);
    KC_CHECK_EQ(kc_poller_add(&p, d.ends[0], KC_IO_READABLE | KC_IO_WRITABLE, &b.wake), KC_OK);
    KC_CHECK_EQ(kc_poller_add(&p, d.ends[0], KC_IO_READABLE, &other.wake), KC_EBUSY);
    KC_CHECK_EQ(kc_poller_add(&p, d.ends[0], KC_IO_WRITABLE, &other.wake), KC_EBUSY);
    put(d.ends[1]);
    KC_CHECK_EQ(kc_poller_wait(&p, KC_NEVER), 1);
    KC_CHECK_EQ(b.code, KC_IO_READABLE);
    KC_CHECK_EQ(b.rung, 1);
    KC_CHECK_EQ(kc_poller_waiting(&p), 0);
    KC_CHECK_EQ(kc_poller_add(&p, d.ends[1], KC_IO_READABLE | KC_IO_WRITABLE, &b.wake), KC_OK);
    KC_CHECK_EQ(kc_poller_wait(&p, KC_NEVER), 1);
    KC_CHECK_EQ(b.code, KC_IO_READABLE | KC_IO_WRITABLE);
    KC_CHECK_EQ(b.rung, 2);
    kc_poller_end(&p);
    close_duct(&d);
}

KC_TEST(a_cancel_says_whether_it_was_in_time) {
    kc_poller p;
    duct d = duct_of();
    bell a = bell_of(), b = bell_of();

    begin(&p, 0);
    KC_CHECK_EQ(kc_poller_add(&p, d.ends[0], KC_IO_READABLE, &a.wake), KC_OK);
    KC_CHECK_EQ(kc_poller_cancel(&p, d.ends[0], &b.wake), 0);
    KC_CHECK_EQ(kc_poller_cancel(&p, d.ends[0], &a.wake), 1);
    KC_CHECK_EQ(kc_poller_cancel(&p, d.ends[0], &a.wake), 0);
    KC_CHECK_EQ(kc_poller_cancel(&p, 100000, &a.wake), 0);
    put(d.ends[1]);
    KC_CHECK_EQ(kc_poller_wait(&p, 0), 0);
    KC_CHECK_EQ(a.rung, 0);
    KC_CHECK_EQ(kc_poller_add(&p, d.ends[0], KC_IO_READABLE, &b.wake), KC_OK);
    KC_CHECK_EQ(kc_poller_wait(&p, KC_NEVER), 1);
    KC_CHECK_EQ(kc_poller_cancel(&p, d.ends[0], &b.wake), 0);
    KC_CHECK_EQ(a.rung, 0);
    kc_poller_end(&p);
    close_duct(&d);
}

KC_TEST(a_hang_up_is_told_to_everybody_who_waits_for_the_file) {
    kc_poller p;
    duct d = duct_of();
    bell reader = bell_of(), writer = bell_of();

    begin(&p, 0);
    fill(d.ends[0]);
    KC_CHECK_EQ(kc_poller_add(&p, d.ends[0], KC_IO_READABLE, &reader.wake), KC_OK);
    KC_CHECK_EQ(kc_poller_add(&p, d.ends[0], KC_IO_WRITABLE, &writer.wake), KC_OK);
    KC_CHECK_EQ(close(d.ends[1]), 0);
    d.ends[1] = -1;
    KC_CHECK_EQ(kc_poller_wait(&p, KC_NEVER), 2);
    KC_CHECK_EQ(reader.code, KC_IO_READABLE);
    KC_CHECK_EQ(writer.code, KC_IO_WRITABLE);
    kc_poller_end(&p);
    close_duct(&d);
}

KC_TEST(a_plain_file_makes_nobody_wait) {
    kc_poller p;
    bell b = bell_of();
    FILE *plain = tmpfile();

    KC_REQUIRE(plain != NULL);
    begin(&p, 0);
    KC_CHECK_EQ(kc_poller_add(&p, fileno(plain), KC_IO_WRITABLE, &b.wake), KC_IO_WRITABLE);
    KC_CHECK_EQ(kc_poller_add(&p, fileno(plain), KC_IO_WRITABLE | KC_IO_READABLE, &b.wake),
                KC_IO_WRITABLE | KC_IO_READABLE);
    KC_CHECK_EQ(kc_poller_waiting(&p), 0);
    KC_CHECK_EQ(b.rung, 0);
    kc_poller_end(&p);
    (void)fclose(plain);
}

KC_TEST(what_cannot_be_waited_for_is_refused) {
    kc_poller p;
    duct d = duct_of();
    bell b = bell_of();

    begin(&p, 0);
    KC_CHECK_EQ(kc_poller_add(&p, -1, KC_IO_READABLE, &b.wake), KC_EBADF);
    KC_CHECK_EQ(kc_poller_add(&p, d.ends[0], 0, &b.wake), KC_EINVAL);
    KC_CHECK_EQ(kc_poller_add(&p, d.ends[0], 4, &b.wake), KC_EINVAL);
    KC_CHECK_EQ(kc_poller_add(&p, p.epoll_fd, KC_IO_READABLE, &b.wake), KC_EINVAL);
    close_duct(&d);
    KC_CHECK_EQ(kc_poller_add(&p, d.ends[0], KC_IO_READABLE, &b.wake), KC_EBADF);
    KC_CHECK_EQ(kc_poller_add(&p, 60000000, KC_IO_READABLE, &b.wake), KC_EBADF);
    KC_CHECK(p.room <= 64); /* nothing was allocated for a number */
    KC_CHECK_EQ(kc_poller_waiting(&p), 0);
    kc_poller_end(&p);
}

KC_TEST(who_waits_for_a_file_that_is_to_be_closed_is_told) {
    kc_poller p;
    duct d = duct_of(), next;
    bell reader = bell_of(), writer = bell_of();

    begin(&p, 0);
    fill(d.ends[0]);
    KC_CHECK_EQ(kc_poller_add(&p, d.ends[0], KC_IO_READABLE, &reader.wake), KC_OK);
    KC_CHECK_EQ(kc_poller_add(&p, d.ends[0], KC_IO_WRITABLE, &writer.wake), KC_OK);
    KC_CHECK_EQ(kc_poller_forget(&p, d.ends[0]), 2);
    KC_CHECK_EQ(reader.code, KC_EBADF);
    KC_CHECK_EQ(writer.code, KC_EBADF);
    KC_CHECK_EQ(reader.rung + writer.rung, 2);
    KC_CHECK_EQ(kc_poller_forget(&p, d.ends[0]), 0);
    KC_CHECK_EQ(kc_poller_forget(&p, 100000), 0);
    close_duct(&d);
    next = duct_of(); /* most likely the same numbers */
    KC_CHECK_EQ(kc_poller_add(&p, next.ends[0], KC_IO_READABLE, &reader.wake), KC_OK);
    put(next.ends[1]);
    KC_CHECK_EQ(kc_poller_wait(&p, KC_NEVER), 1);
    KC_CHECK_EQ(reader.code, KC_IO_READABLE);
    kc_poller_end(&p);
    close_duct(&next);
}

/* The file lives on by another number, so epoll goes on watching it for the old one. */
KC_TEST(a_file_that_was_closed_in_silence_never_answers_for_the_next_of_its_number) {
    kc_poller p;
    duct old = duct_of(), next = duct_of();
    bell before = bell_of(), after = bell_of();
    int other = dup(old.ends[0]);

    KC_REQUIRE(other >= 0);
    begin(&p, 0);
    KC_CHECK_EQ(kc_poller_add(&p, old.ends[0], KC_IO_READABLE, &before.wake), KC_OK);
    KC_REQUIRE(dup2(next.ends[0], old.ends[0]) == old.ends[0]);
    fill(old.ends[0]);
    KC_CHECK_EQ(kc_poller_add(&p, old.ends[0], KC_IO_WRITABLE, &after.wake), KC_OK);
    KC_CHECK_EQ(before.code, KC_EBADF); /* it would wait for ever */
    put(old.ends[1]);                   /* an event of the old file */
    KC_CHECK_EQ(kc_poller_wait(&p, 0), 0);
    KC_CHECK_EQ(after.rung, 0);
    KC_CHECK_EQ(close(next.ends[1]), 0);
    next.ends[1] = -1;
    KC_CHECK_EQ(kc_poller_wait(&p, KC_NEVER), 1);
    KC_CHECK_EQ(after.code, KC_IO_WRITABLE);
    kc_poller_end(&p);
    KC_CHECK_EQ(close(other), 0);
    close_duct(&old);
    close_duct(&next);
}

/* The same, but nobody waits for the old file any more; epoll does not know that. */
KC_TEST(an_event_of_a_file_that_is_gone_is_nobodys) {
    kc_poller p;
    duct old = duct_of(), next = duct_of();
    bell before = bell_of(), after = bell_of();
    int other = dup(old.ends[0]);

    KC_REQUIRE(other >= 0);
    begin(&p, 0);
    KC_CHECK_EQ(kc_poller_add(&p, old.ends[0], KC_IO_READABLE, &before.wake), KC_OK);
    KC_CHECK_EQ(kc_poller_cancel(&p, old.ends[0], &before.wake), 1);
    KC_REQUIRE(dup2(next.ends[0], old.ends[0]) == old.ends[0]);
    KC_CHECK_EQ(kc_poller_add(&p, old.ends[0], KC_IO_READABLE, &after.wake), KC_OK);
    put(old.ends[1]);
    KC_CHECK_EQ(kc_poller_wait(&p, 0), 0);
    KC_CHECK_EQ(after.rung, 0);
    put(next.ends[1]);
    KC_CHECK_EQ(kc_poller_wait(&p, KC_NEVER), 1);
    KC_CHECK_EQ(after.rung, 1);
    KC_CHECK_EQ(before.rung, 0);
    kc_poller_end(&p);
    KC_CHECK_EQ(close(other), 0);
    close_duct(&old);
    close_duct(&next);
}

KC_TEST(more_files_than_one_look_takes_are_all_told) {
    enum { COUNT = 200 };
    kc_poller p;
    duct ducts[COUNT];
    bell bells[COUNT];
    int called = 0;

    begin(&p, 0);
    for (int i = 0; i < COUNT; i++) {
        ducts[i] = duct_of();
        bells[i] = bell_of();
        put(ducts[i].ends[1]);
        KC_REQUIRE(kc_poller_add(&p, ducts[i].ends[0], KC_IO_READABLE, &bells[i].wake) == KC_OK);
    }
    while (called < COUNT)
        called += kc_poller_wait(&p, KC_NEVER);
    for (int i = 0; i < COUNT; i++) {
        KC_CHECK(bells[i].rung == 1);
        close_duct(&ducts[i]);
    }
    kc_poller_end(&p);
}

/* ---- sleeping ---- */

static void sleeps_end_at_their_time(uint32_t flags) {
    kc_poller p;

    begin(&p, flags);
    for (int i = 0; i < 20; i++) {
        int64_t deadline_ns = now_ns() + 100000 * i;
        KC_CHECK_EQ(kc_poller_wait(&p, deadline_ns), 0);
        KC_CHECK(now_ns() >= deadline_ns);
    }
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
    kc_poller_end(&p);
}

KC_TEST(what_came_while_nobody_slept_is_told_although_a_wake_came_too) {
    kc_poller p;
    duct d = duct_of();
    bell b = bell_of();

    begin(&p, 0);
    KC_CHECK_EQ(kc_poller_add(&p, d.ends[0], KC_IO_READABLE, &b.wake), KC_OK);
    put(d.ends[1]);
    kc_poller_wake(&p);
    KC_CHECK_EQ(kc_poller_wait(&p, KC_NEVER), 1);
    KC_CHECK_EQ(b.rung, 1);
    kc_poller_end(&p);
    close_duct(&d);
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
    KC_RUN(who_waits_to_read_is_called_once);
    KC_RUN(one_may_wait_to_read_and_another_to_write_the_same_file);
    KC_RUN(one_may_wait_for_both_directions_and_is_told_what_came);
    KC_RUN(a_cancel_says_whether_it_was_in_time);
    KC_RUN(a_hang_up_is_told_to_everybody_who_waits_for_the_file);
    KC_RUN(a_plain_file_makes_nobody_wait);
    KC_RUN(what_cannot_be_waited_for_is_refused);
    KC_RUN(who_waits_for_a_file_that_is_to_be_closed_is_told);
    KC_RUN(a_file_that_was_closed_in_silence_never_answers_for_the_next_of_its_number);
    KC_RUN(an_event_of_a_file_that_is_gone_is_nobodys);
    KC_RUN(more_files_than_one_look_takes_are_all_told);
    KC_RUN(a_sleep_never_ends_before_its_time);
    KC_RUN(a_wake_before_the_sleep_ends_it_once);
    KC_RUN(a_ring_of_a_wake_that_is_over_ends_no_sleep);
    KC_RUN(what_came_while_nobody_slept_is_told_although_a_wake_came_too);
    KC_RUN(no_wake_is_lost_however_it_meets_the_sleep);
    KC_RUN(a_second_sleeper_is_refused);
    KC_RUN(every_byte_is_told_while_many_threads_add_and_cancel);
    return kc_test_report();
}
