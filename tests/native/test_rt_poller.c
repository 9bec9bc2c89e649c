/* The poller: who waits for a file is called once, or cancelled; who sleeps is woken, and never before its time. */
#include <errno.h>
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

/* One file, ends[0] of the duct, and two who may wait for it. */
typedef struct desk {
    kc_poller p;
    duct d;
    bell a, b;
} desk;

static void open_desk(desk *k) {
    begin(&k->p, 0);
    k->d = duct_of();
    k->a = bell_of();
    k->b = bell_of();
}

static void close_desk(desk *k) {
    kc_poller_end(&k->p);
    close_duct(&k->d);
}

static int wait_here(desk *k, uint32_t events, bell *who) {
    return kc_poller_add(&k->p, k->d.ends[0], events, &who->wake);
}

/* It sleeps until so many have come; or only looks. */
static int sleep_here(desk *k) { return kc_poller_wait(&k->p, KC_NEVER); }
static int look_here(desk *k) { return kc_poller_wait(&k->p, 0); }

static void check_bell(const bell *who, uint32_t rung, int32_t code) {
    KC_CHECK_EQ(who->rung, rung);
    KC_CHECK_EQ(who->code, code);
}

/* ---- files ---- */

KC_TEST(who_waits_to_read_is_called_once) {
    desk k;

    open_desk(&k);
    KC_CHECK_EQ(wait_here(&k, KC_IO_READABLE, &k.a), KC_OK);
    KC_CHECK_EQ(kc_poller_waiting(&k.p), 1);
    KC_CHECK_EQ(look_here(&k), 0);
    put(k.d.ends[1]);
    KC_CHECK_EQ(sleep_here(&k), 1);
    check_bell(&k.a, 1, KC_IO_READABLE);
    KC_CHECK_EQ(kc_poller_waiting(&k.p), 0);
    put(k.d.ends[1]);
    KC_CHECK_EQ(look_here(&k), 0);
    check_bell(&k.a, 1, KC_IO_READABLE);
    KC_CHECK_EQ(wait_here(&k, KC_IO_READABLE, &k.a), KC_OK); /* what is there already counts */
    KC_CHECK_EQ(sleep_here(&k), 1);
    check_bell(&k.a, 2, KC_IO_READABLE);
    close_desk(&k);
}

KC_TEST(one_may_wait_to_read_and_another_to_write_the_same_file) {
    desk k;

    open_desk(&k);
    KC_CHECK_EQ(wait_here(&k, KC_IO_READABLE, &k.a), KC_OK);
    KC_CHECK_EQ(wait_here(&k, KC_IO_WRITABLE, &k.b), KC_OK);
    KC_CHECK_EQ(sleep_here(&k), 1);
    check_bell(&k.a, 0, 0);
    check_bell(&k.b, 1, KC_IO_WRITABLE);
    put(k.d.ends[1]);
    KC_CHECK_EQ(look_here(&k), 1);
    check_bell(&k.a, 1, KC_IO_READABLE);
    check_bell(&k.b, 1, KC_IO_WRITABLE);
    get(k.d.ends[0]);
    fill(k.d.ends[0]);
    KC_CHECK_EQ(wait_here(&k, KC_IO_WRITABLE, &k.b), KC_OK);
    KC_CHECK_EQ(wait_here(&k, KC_IO_READABLE, &k.a), KC_OK);
    KC_CHECK_EQ(look_here(&k), 0);
    KC_CHECK_EQ(kc_poller_waiting(&k.p), 2);
    put(k.d.ends[1]);
    KC_CHECK_EQ(sleep_here(&k), 1);
    check_bell(&k.a, 2, KC_IO_READABLE);
    KC_CHECK_EQ(kc_poller_cancel(&k.p, k.d.ends[0], &k.b.wake), 1);
    close_desk(&k);
}

KC_TEST(one_may_wait_for_both_directions_and_is_told_what_came) {
    desk k;

    open_desk(&k);
    fill(k.d.ends[0]);
    KC_CHECK_EQ(wait_here(&k, KC_IO_READABLE | KC_IO_WRITABLE, &k.a), KC_OK);
    KC_CHECK_EQ(wait_here(&k, KC_IO_READABLE, &k.b), KC_EBUSY);
    KC_CHECK_EQ(wait_here(&k, KC_IO_WRITABLE, &k.b), KC_EBUSY);
    put(k.d.ends[1]);
    KC_CHECK_EQ(sleep_here(&k), 1);
    check_bell(&k.a, 1, KC_IO_READABLE);
    KC_CHECK_EQ(kc_poller_waiting(&k.p), 0);
    KC_CHECK_EQ(kc_poller_add(&k.p, k.d.ends[1], KC_IO_READABLE | KC_IO_WRITABLE, &k.a.wake), KC_OK);
    KC_CHECK_EQ(sleep_here(&k), 1);
    check_bell(&k.a, 2, KC_IO_READABLE | KC_IO_WRITABLE);
    close_desk(&k);
}

KC_TEST(a_cancel_says_whether_it_was_in_time) {
    desk k;

    open_desk(&k);
    KC_CHECK_EQ(wait_here(&k, KC_IO_READABLE, &k.a), KC_OK);
    KC_CHECK_EQ(kc_poller_cancel(&k.p, k.d.ends[0], &k.b.wake), 0);
    KC_CHECK_EQ(kc_poller_cancel(&k.p, k.d.ends[0], &k.a.wake), 1);
    KC_CHECK_EQ(kc_poller_cancel(&k.p, k.d.ends[0], &k.a.wake), 0);
    KC_CHECK_EQ(kc_poller_cancel(&k.p, 100000, &k.a.wake), 0);
    put(k.d.ends[1]);
    KC_CHECK_EQ(look_here(&k), 0);
    KC_CHECK_EQ(wait_here(&k, KC_IO_READABLE, &k.b), KC_OK);
    KC_CHECK_EQ(sleep_here(&k), 1);
    KC_CHECK_EQ(kc_poller_cancel(&k.p, k.d.ends[0], &k.b.wake), 0);
    check_bell(&k.a, 0, 0);
    check_bell(&k.b, 1, KC_IO_READABLE);
    close_desk(&k);
}

/* Both wait, and neither for what is there. */
static void let_both_wait(desk *k) {
    open_desk(k);
    fill(k->d.ends[0]);
    KC_CHECK_EQ(wait_here(k, KC_IO_READABLE, &k->a), KC_OK);
    KC_CHECK_EQ(wait_here(k, KC_IO_WRITABLE, &k->b), KC_OK);
}

KC_TEST(a_hang_up_is_told_to_everybody_who_waits_for_the_file) {
    desk k;

    let_both_wait(&k);
    KC_CHECK_EQ(close(k.d.ends[1]), 0);
    k.d.ends[1] = -1;
    KC_CHECK_EQ(sleep_here(&k), 2);
    check_bell(&k.a, 1, KC_IO_READABLE);
    check_bell(&k.b, 1, KC_IO_WRITABLE);
    close_desk(&k);
}

KC_TEST(a_plain_file_makes_nobody_wait) {
    static const uint32_t wanted[] = {KC_IO_WRITABLE, KC_IO_WRITABLE | KC_IO_READABLE};
    FILE *plain = tmpfile();
    desk k;

    KC_REQUIRE(plain != NULL);
    open_desk(&k);
    for (int i = 0; i < 2; i++)
        KC_CHECK_EQ(kc_poller_add(&k.p, fileno(plain), wanted[i], &k.a.wake), wanted[i]);
    KC_CHECK_EQ(kc_poller_waiting(&k.p), 0);
    check_bell(&k.a, 0, 0);
    close_desk(&k);
    (void)fclose(plain);
}

KC_TEST(what_cannot_be_waited_for_is_refused) {
    int gone = -1;
    desk k;

    open_desk(&k);
    KC_CHECK_EQ(wait_here(&k, 0, &k.a), KC_EINVAL);
    KC_CHECK_EQ(wait_here(&k, 4, &k.a), KC_EINVAL);
    KC_CHECK_EQ(kc_poller_add(&k.p, -1, KC_IO_READABLE, &k.a.wake), KC_EBADF);
    KC_CHECK_EQ(kc_poller_add(&k.p, k.p.epoll_fd, KC_IO_READABLE, &k.a.wake), KC_EINVAL);
    gone = k.d.ends[0];
    close_duct(&k.d);
    k.d.ends[0] = k.d.ends[1] = -1;
    KC_CHECK_EQ(kc_poller_add(&k.p, gone, KC_IO_READABLE, &k.a.wake), KC_EBADF);
    KC_CHECK_EQ(kc_poller_add(&k.p, 60000000, KC_IO_READABLE, &k.a.wake), KC_EBADF);
    KC_CHECK(k.p.room <= 64); /* nothing was allocated for a number */
    KC_CHECK_EQ(kc_poller_waiting(&k.p), 0);
    close_desk(&k);
}

KC_TEST(who_waits_for_a_file_that_is_to_be_closed_is_told) {
    desk k;

    let_both_wait(&k);
    KC_CHECK_EQ(kc_poller_forget(&k.p, k.d.ends[0]), 2);
    check_bell(&k.a, 1, KC_EBADF);
    check_bell(&k.b, 1, KC_EBADF);
    KC_CHECK_EQ(kc_poller_forget(&k.p, k.d.ends[0]), 0);
    KC_CHECK_EQ(kc_poller_forget(&k.p, 100000), 0);
    close_duct(&k.d);
    k.d = duct_of(); /* most likely the same numbers */
    KC_CHECK_EQ(wait_here(&k, KC_IO_READABLE, &k.a), KC_OK);
    put(k.d.ends[1]);
    KC_CHECK_EQ(sleep_here(&k), 1);
    check_bell(&k.a, 2, KC_IO_READABLE);
    close_desk(&k);
}

/* One waits; then the file's number becomes that of another, while it lives on by a second number: epoll goes on
 * watching it. */
typedef struct change {
    desk k;
    duct next;
    int second;
} change;

static void open_change(change *c) {
    open_desk(&c->k);
    c->next = duct_of();
    c->second = dup(c->k.d.ends[0]);
    KC_REQUIRE(c->second >= 0);
    KC_CHECK_EQ(wait_here(&c->k, KC_IO_READABLE, &c->k.a), KC_OK);
}

static void put_next_in_its_place(change *c) {
    KC_REQUIRE(dup2(c->next.ends[0], c->k.d.ends[0]) == c->k.d.ends[0]);
}

static void close_change(change *c) {
    close_desk(&c->k);
    close_duct(&c->next);
    KC_CHECK_EQ(close(c->second), 0);
}

KC_TEST(a_file_that_was_closed_in_silence_never_answers_for_the_next_of_its_number) {
    change c;

    open_change(&c);
    put_next_in_its_place(&c);
    fill(c.k.d.ends[0]);
    KC_CHECK_EQ(wait_here(&c.k, KC_IO_WRITABLE, &c.k.b), KC_OK);
    check_bell(&c.k.a, 1, KC_EBADF); /* it would wait for ever */
    put(c.k.d.ends[1]);              /* an event of the old file */
    KC_CHECK_EQ(look_here(&c.k), 0);
    check_bell(&c.k.b, 0, 0);
    KC_CHECK_EQ(close(c.next.ends[1]), 0);
    c.next.ends[1] = -1;
    KC_CHECK_EQ(sleep_here(&c.k), 1);
    check_bell(&c.k.b, 1, KC_IO_WRITABLE);
    close_change(&c);
}

/* The same, but nobody waits for the old file any more; epoll does not know that. */
KC_TEST(an_event_of_a_file_that_is_gone_is_nobodys) {
    change c;

    open_change(&c);
    KC_CHECK_EQ(kc_poller_cancel(&c.k.p, c.k.d.ends[0], &c.k.a.wake), 1);
    put_next_in_its_place(&c);
    KC_CHECK_EQ(wait_here(&c.k, KC_IO_READABLE, &c.k.b), KC_OK);
    put(c.k.d.ends[1]);
    KC_CHECK_EQ(look_here(&c.k), 0);
    check_bell(&c.k.b, 0, 0);
    put(c.next.ends[1]);
    KC_CHECK_EQ(sleep_here(&c.k), 1);
    check_bell(&c.k.b, 1, KC_IO_READABLE);
    check_bell(&c.k.a, 0, 0);
    close_change(&c);
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
