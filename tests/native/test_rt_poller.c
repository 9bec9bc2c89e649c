/* test_rt_poller.c: who waits for a file is called once, or cancelled. Sleeping: test_rt_poller_sleep.c. */
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>

#include "kc_poller_desk.h"

/* Until a send would wait. */
static void fill(int fd) {
    static const char page[4096];
    while (write(fd, page, sizeof page) > 0) {
    }
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
    return kc_test_report();
}
