/* test_rt_closing.c: whoever waits for a file that is closed, and for the next one of its number: each is told, nobody
 * is in the way of another. close(2) is wrapped (KcTests.cmake): a wait can come in the middle of kc_io_close. */
#include <fcntl.h>
#include <stdbool.h>

#include "kc_poller_desk.h"
#include "kc_rt.h"
#include "kcoro/kc_io.h"
#include "runtime/kc_clock.h"

/* What happens before the file `fd` is closed, by whoever closes it. */
static struct {
    _Atomic int fd;
    void (*before)(void *arg);
    void *arg;
} closing = {.fd = -1};

int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd) {
    int wanted = fd;

    if (fd >= 0 && atomic_compare_exchange_strong(&closing.fd, &wanted, -1))
        closing.before(closing.arg);
    return __real_close(fd);
}

static void open_pipe(int *ends) { KC_REQUIRE(pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0); }

/* ---- the poller by itself ---- */

/* The old file lives on elsewhere (epoll then goes on watching it), or is gone; the next one has its number. */
static void same_direction(bool lives_on) {
    kc_poller p;
    bell before = bell_of(), after = before;
    int old[2], next[2], other = -1;

    open_pipe(old);
    open_pipe(next);
    KC_REQUIRE(kc_poller_begin(&p, 0) == KC_OK);
    KC_CHECK_EQ(kc_poller_add(&p, old[0], KC_IO_READABLE, &before.wake), KC_OK);
    KC_CHECK_EQ(kc_poller_add(&p, old[0], KC_IO_READABLE, &after.wake), KC_EBUSY); /* it is still the same file */
    KC_CHECK_EQ(before.rung, 0);
    if (lives_on)
        KC_REQUIRE((other = dup(old[0])) >= 0);
    KC_REQUIRE(dup2(next[0], old[0]) == old[0]);
    KC_CHECK_EQ(kc_poller_add(&p, old[0], KC_IO_READABLE, &after.wake), KC_OK);
    KC_CHECK_EQ(before.rung, 1);
    KC_CHECK_EQ(before.code, KC_EBADF);
    KC_CHECK_EQ(kc_poller_waiting(&p), 1);
    if (lives_on)
        put(old[1]);
    KC_CHECK_EQ(kc_poller_wait(&p, 0), 0);
    put(next[1]);
    KC_CHECK_EQ(kc_poller_wait(&p, KC_NEVER), 1);
    KC_CHECK_EQ(after.code, KC_IO_READABLE);
    KC_CHECK_EQ(before.rung + after.rung, 2);
    kc_poller_end(&p);
    if (lives_on)
        (void)close(other);
    for (int i = 0; i < 2; i++) {
        (void)close(old[i]);
        (void)close(next[i]);
    }
}

KC_TEST(whoever_waits_for_a_closed_file_is_not_in_the_way_of_the_next_of_its_number) {
    same_direction(false);
    same_direction(true);
}

KC_TEST(a_plain_file_of_that_number_sends_away_whoever_waits_for_the_closed_one) {
    kc_poller p;
    bell before = bell_of(), after = before;
    FILE *plain = tmpfile();
    int old[2];

    open_pipe(old);
    KC_REQUIRE(plain != NULL && kc_poller_begin(&p, 0) == KC_OK);
    KC_CHECK_EQ(kc_poller_add(&p, old[0], KC_IO_READABLE, &before.wake), KC_OK);
    KC_REQUIRE(dup2(fileno(plain), old[0]) == old[0]);
    KC_CHECK_EQ(kc_poller_add(&p, old[0], KC_IO_READABLE, &after.wake), KC_IO_READABLE);
    KC_CHECK_EQ(before.code, KC_EBADF);
    KC_CHECK_EQ(kc_poller_waiting(&p), 0);
    kc_poller_end(&p);
    (void)fclose(plain);
    (void)close(old[0]);
    (void)close(old[1]);
}

KC_TEST(after_a_close_whoever_came_before_it_is_told_and_others_stay) {
    kc_poller p;
    bell late = bell_of(), stays = late;
    int gone[2], there[2];

    open_pipe(gone);
    open_pipe(there);
    KC_REQUIRE(kc_poller_begin(&p, 0) == KC_OK);
    KC_CHECK_EQ(kc_poller_add(&p, there[0], KC_IO_READABLE, &stays.wake), KC_OK);
    kc_poller_forget(&p, gone[0]);
    KC_CHECK_EQ(kc_poller_add(&p, gone[0], KC_IO_READABLE, &late.wake), KC_OK);
    (void)close(gone[0]);
    kc_poller_look_after(&p, gone[0]);
    kc_poller_look_after(&p, there[0]); /* as if its number had been given away at once */
    kc_poller_look_after(&p, 1 << 20);
    KC_CHECK_EQ(late.rung, 1);
    KC_CHECK_EQ(late.code, KC_EBADF);
    put(there[1]);
    KC_CHECK_EQ(kc_poller_wait(&p, KC_NEVER), 1);
    KC_CHECK_EQ(stays.code, KC_IO_READABLE);
    kc_poller_end(&p);
    (void)close(gone[1]);
    (void)close(there[0]);
    (void)close(there[1]);
}

/* ---- coroutines ---- */

typedef struct reuse {
    int old[2], next[2];
    _Atomic uint32_t waits;
    int old_told, next_told;
} reuse;

static void waits_for_the_old_one(void *arg) {
    reuse *r = arg;

    atomic_store(&r->waits, 1);
    r->old_told = kc_io_wait(r->old[0], KC_IO_READABLE, KC_NEVER);
}

static void waits_for_the_next_one(void *arg) {
    reuse *r = arg;

    KC_REQUIRE(atomic_load(&r->waits) == 1); /* one worker: it waits by now */
    KC_REQUIRE(dup2(r->next[0], r->old[0]) == r->old[0]);
    put(r->next[1]);
    r->next_told = kc_io_wait(r->old[0], KC_IO_READABLE, KC_NEVER);
}

KC_TEST(a_number_that_is_used_again_serves_the_new_and_ends_the_old_wait) {
    kc_sched *sched = rt_sched(1);
    reuse r = {.waits = 0};

    open_pipe(r.old);
    open_pipe(r.next);
    rt_spawn(sched, waits_for_the_old_one, &r);
    rt_spawn(sched, waits_for_the_next_one, &r);
    kc_sched_free(sched);
    KC_CHECK_EQ(r.old_told, KC_EBADF);
    KC_CHECK_EQ(r.next_told, KC_IO_READABLE);
    for (int i = 0; i < 2; i++) {
        (void)close(r.old[i]);
        (void)close(r.next[i]);
    }
}

typedef struct late {
    kc_sched *sched;
    int fd, told;
    _Atomic uint32_t may_wait;
} late;

static void waits_late(void *arg) {
    late *l = arg;

    rt_until(&l->may_wait, 1);
    l->told = kc_io_wait(l->fd, KC_IO_READABLE, KC_NEVER);
}

/* Between what tells those who wait and close(2). */
static void lets_it_wait(void *arg) {
    late *l = arg;
    kc_poller *p = &kc_sched_clock(l->sched)->poller;

    atomic_store(&l->may_wait, 1);
    while (kc_poller_waiting(p) == 0)
        (void)sched_yield();
    kc_lock_take(&p->lock); /* and epoll has been told */
    kc_lock_give(&p->lock);
}

static void closes(void *arg) {
    late *l = arg;

    KC_REQUIRE(kc_clock_start(kc_sched_clock(l->sched)) == KC_OK);
    atomic_store(&closing.fd, l->fd);
    KC_CHECK_EQ(kc_io_close(l->fd), 0);
}

KC_TEST(whoever_comes_to_wait_while_a_file_is_being_closed_is_told) {
    late l = {.sched = rt_sched(2)};
    int ends[2];

    open_pipe(ends);
    l.fd = ends[0];
    closing.before = lets_it_wait;
    closing.arg = &l;
    rt_spawn(l.sched, waits_late, &l);
    rt_spawn(l.sched, closes, &l);
    kc_sched_free(l.sched);
    KC_CHECK_EQ(l.told, KC_EBADF);
    (void)close(ends[1]);
}

int main(void) {
    KC_RUN(whoever_waits_for_a_closed_file_is_not_in_the_way_of_the_next_of_its_number);
    KC_RUN(a_plain_file_of_that_number_sends_away_whoever_waits_for_the_closed_one);
    KC_RUN(after_a_close_whoever_came_before_it_is_told_and_others_stay);
    KC_RUN(a_number_that_is_used_again_serves_the_new_and_ends_the_old_wait);
    KC_RUN(whoever_comes_to_wait_while_a_file_is_being_closed_is_told);
    return kc_test_report();
}
