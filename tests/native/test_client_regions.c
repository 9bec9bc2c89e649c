/* Regions that were given up while they were in use: they go with the last that uses them, and not before. */
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>

#include "kc_region_peer.h"

enum { BYTES = 4096 };

/* How many regions of ours this process maps. */
static int mapped(void)
{
    char line[512];
    int count = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    KC_REQUIRE(maps != NULL);
    while (fgets(line, sizeof line, maps) != NULL) {
        count += strstr(line, "kcoro-region") != NULL;
    }
    fclose(maps);
    return count;
}

typedef struct owner {
    peer *p;
    kc_ipc_chan *chan;
    kc_ipc_region *region;
    kc_ipc_loan *loan;
} owner;

/* Requests 1 and 2 are over. */
static owner take(void)
{
    peer *p = peer_open(PEER_ROOM);
    owner one = {.p = p, .chan = peer_channel(p, 1, 1001), .region = peer_region(p, 2, 5, BYTES)};
    KC_REQUIRE(kc_ipc_loan_take(one.region, BYTES, &one.loan) == KC_OK);
    KC_CHECK_EQ(mapped(), 1);
    return one;
}

static void send(owner *one)
{
    const kc_ipc_payload payload = {.loan = one->loan};
    peer_answer(one->p, KC_CMD_CHAN_SEND, 3, KC_OK);
    KC_CHECK_EQ(kc_ipc_send_payload(one->chan, &payload, NULL, NULL), KC_OK);
    KC_CHECK_EQ(peer_expect(one->p, KC_CMD_CHAN_SEND), 3);
}

static void end(owner *one)
{
    peer_hang_up(one->p);
    KC_CHECK_EQ(kc_ipc_ping(one->p->ipc), KC_ECONNRESET);
    KC_CHECK_EQ(mapped(), 0);
    kc_ipc_chan_free(one->chan);
    peer_close(one->p);
}

KC_TEST(what_is_abandoned_while_a_message_lies_in_it_is_dropped_when_that_is_free)
{
    owner one = take();
    send(&one);
    kc_ipc_region_abandon(one.region);
    peer_expect_nothing(one.p);
    KC_CHECK_EQ(mapped(), 1);
    freed(one.p, 5, 0, BYTES);
    KC_CHECK_EQ(kc_ipc_step(one.p->ipc), KC_OK);
    KC_CHECK_EQ(peer_expect(one.p, KC_CMD_REGION_DROP), 4);
    KC_CHECK_EQ(mapped(), 1); /* the daemon has not heard it yet */
    peer_answer(one.p, KC_CMD_REGION_DROP, 4, KC_OK);
    KC_CHECK_EQ(kc_ipc_step(one.p->ipc), KC_OK);
    KC_CHECK_EQ(mapped(), 0);
    end(&one);
}

KC_TEST(what_is_abandoned_and_not_used_is_dropped_at_once)
{
    owner one = take();
    kc_ipc_loan_give(one.loan);
    kc_ipc_region_abandon(one.region);
    KC_CHECK_EQ(peer_expect(one.p, KC_CMD_REGION_DROP), 3);
    peer_answer(one.p, KC_CMD_REGION_DROP, 3, KC_ENOENT);
    KC_CHECK_EQ(kc_ipc_step(one.p->ipc), KC_OK);
    KC_CHECK_EQ(mapped(), 0);
    end(&one);
}

KC_TEST(a_loan_of_what_is_abandoned_stays_good_until_it_is_given_back)
{
    owner one = take();
    kc_ipc_region_abandon(one.region);
    memset(kc_ipc_loan_bytes(one.loan), 1, BYTES);
    peer_expect_nothing(one.p);
    kc_ipc_loan_give(one.loan);
    KC_CHECK_EQ(peer_expect(one.p, KC_CMD_REGION_DROP), 3);
    peer_answer(one.p, KC_CMD_REGION_DROP, 3, KC_OK);
    KC_CHECK_EQ(kc_ipc_step(one.p->ipc), KC_OK);
    KC_CHECK_EQ(mapped(), 0);
    end(&one);
}

KC_TEST(a_loan_of_what_is_abandoned_may_be_sent_still)
{
    owner one = take();
    kc_ipc_region_abandon(one.region);
    send(&one);
    freed(one.p, 5, 0, BYTES);
    KC_CHECK_EQ(kc_ipc_step(one.p->ipc), KC_OK);
    KC_CHECK_EQ(peer_expect(one.p, KC_CMD_REGION_DROP), 4);
    end(&one); /* the answer never came */
}

KC_TEST(what_the_daemon_keeps_is_freed_when_the_connection_ends)
{
    owner one = take();
    kc_ipc_loan_give(one.loan);
    kc_ipc_region_abandon(one.region);
    peer_answer(one.p, KC_CMD_REGION_DROP, 3, KC_EBUSY);
    KC_CHECK_EQ(kc_ipc_step(one.p->ipc), KC_OK);
    KC_CHECK_EQ(mapped(), 1);
    end(&one);
}

KC_TEST(what_is_abandoned_while_a_message_lies_in_it_goes_with_its_connection)
{
    owner one = take();
    send(&one);
    kc_ipc_region_abandon(one.region);
    end(&one);
}

KC_TEST(what_is_abandoned_after_the_connection_ended_goes_at_once)
{
    owner one = take();
    send(&one);
    peer_hang_up(one.p);
    KC_CHECK_EQ(kc_ipc_ping(one.p->ipc), KC_ECONNRESET);
    KC_CHECK_EQ(mapped(), 1);
    kc_ipc_region_abandon(one.region);
    KC_CHECK_EQ(mapped(), 0);
    kc_ipc_chan_free(one.chan);
    peer_close(one.p);
}

KC_TEST(a_loan_that_outlives_all_else_is_good_until_it_is_given_back)
{
    owner one = take();
    kc_ipc_region_abandon(one.region);
    peer_hang_up(one.p);
    kc_ipc_disconnect(one.p->ipc);
    one.p->ipc = NULL;
    kc_ipc_chan_free(one.chan);
    memset(kc_ipc_loan_bytes(one.loan), 1, BYTES);
    KC_CHECK_EQ(mapped(), 1);
    kc_ipc_loan_give(one.loan); /* the last reference to the connection */
    KC_CHECK_EQ(mapped(), 0);
    peer_close(one.p);
}

/* --- what may never have been accepted ---------------------------------------------------------------------------- */

/* Request 3 is over then, with this code. */
static void send_confirmed(owner *one, int code)
{
    static const kc_ipc_wish confirmed = {.timeout_ms = -1, .flags = KC_IPC_CONFIRM};
    const kc_ipc_payload payload = {.loan = one->loan};
    kc_ipc_result result;
    peer_answer(one->p, KC_CMD_CHAN_SEND, 3, code);
    KC_CHECK_EQ(kc_ipc_send_payload(one->chan, &payload, &confirmed, &result), code);
    KC_CHECK_EQ(result.flags, KC_IPC_UNCONFIRMED);
    KC_CHECK_EQ(peer_expect(one->p, KC_CMD_CHAN_SEND), 3);
}

static void step(owner *one)
{
    KC_CHECK_EQ(kc_ipc_step(one->p->ipc), KC_OK);
}

/* The daemon is asked, as request 4, and says this. */
static owner abandon_cancelled(int code)
{
    owner one = take();
    send_confirmed(&one, KC_ECANCELED);
    kc_ipc_region_abandon(one.region);
    KC_CHECK_EQ(peer_expect(one.p, KC_CMD_REGION_DROP), 4);
    KC_CHECK_EQ(mapped(), 1);
    peer_answer(one.p, KC_CMD_REGION_DROP, 4, code);
    return one;
}

KC_TEST(what_is_abandoned_and_was_cancelled_unconfirmed_goes_as_soon_as_the_daemon_lets_it)
{
    owner one = abandon_cancelled(KC_OK);
    step(&one);
    KC_CHECK_EQ(mapped(), 0);
    freed(one.p, 5, 0, BYTES); /* of what is not there */
    peer_answer(one.p, KC_CMD_PING, 5, KC_OK);
    KC_CHECK_EQ(kc_ipc_ping(one.p->ipc), KC_OK);
    end(&one);
}

KC_TEST(what_was_cancelled_and_is_in_use_all_the_same_is_dropped_when_it_is_free)
{
    owner one = abandon_cancelled(KC_EBUSY); /* somebody reads it, or it went to another channel */
    step(&one);
    KC_CHECK_EQ(mapped(), 1);
    peer_expect_nothing(one.p);
    freed(one.p, 5, 0, BYTES);
    step(&one);
    KC_CHECK_EQ(peer_expect(one.p, KC_CMD_REGION_DROP), 5);
    peer_answer(one.p, KC_CMD_REGION_DROP, 5, KC_OK);
    step(&one);
    KC_CHECK_EQ(mapped(), 0);
    end(&one);
}

KC_TEST(what_becomes_free_while_the_daemon_is_asked_is_asked_for_once_more)
{
    owner one = take();
    send_confirmed(&one, KC_ECANCELED);
    kc_ipc_region_abandon(one.region);
    KC_CHECK_EQ(peer_expect(one.p, KC_CMD_REGION_DROP), 4);
    freed(one.p, 5, 0, BYTES);
    peer_answer(one.p, KC_CMD_REGION_DROP, 4, KC_EBUSY);
    step(&one);
    KC_CHECK_EQ(peer_expect(one.p, KC_CMD_REGION_DROP), 5);
    peer_answer(one.p, KC_CMD_REGION_DROP, 5, KC_EBUSY); /* nothing went meanwhile: it is believed */
    step(&one);
    peer_expect_nothing(one.p);
    KC_CHECK_EQ(mapped(), 1);
    end(&one);
}

KC_TEST(a_loan_that_is_cancelled_after_its_region_was_abandoned_is_the_last_that_uses_it)
{
    owner one = take();
    kc_ipc_region_abandon(one.region);
    peer_expect_nothing(one.p);
    send_confirmed(&one, KC_ECANCELED);
    KC_CHECK_EQ(kc_ipc_step(one.p->ipc), KC_OK);
    KC_CHECK_EQ(peer_expect(one.p, KC_CMD_REGION_DROP), 4);
    peer_answer(one.p, KC_CMD_REGION_DROP, 4, KC_OK);
    step(&one);
    KC_CHECK_EQ(mapped(), 0);
    end(&one);
}

KC_TEST(what_was_called_free_before_it_was_cancelled_is_not_used)
{
    owner one = take();
    freed(one.p, 5, 0, BYTES);
    send_confirmed(&one, KC_ECANCELED);
    kc_ipc_region_abandon(one.region);
    KC_CHECK_EQ(peer_expect(one.p, KC_CMD_REGION_DROP), 4);
    end(&one); /* the answer never came */
}

KC_TEST(what_was_taken_and_is_not_acknowledged_is_in_use_until_it_is_free)
{
    owner one = take();
    send_confirmed(&one, KC_EINPROGRESS);
    kc_ipc_region_abandon(one.region);
    peer_expect_nothing(one.p);
    freed(one.p, 5, 0, BYTES);
    step(&one);
    KC_CHECK_EQ(peer_expect(one.p, KC_CMD_REGION_DROP), 4);
    end(&one);
}

KC_TEST(what_cannot_be_asked_for_want_of_memory_stays_until_the_connection_ends)
{
    owner one = take();
    send_confirmed(&one, KC_ECANCELED);
    atomic_store(&memory_until, 0);
    kc_ipc_region_abandon(one.region);
    atomic_store(&memory_until, -1);
    peer_expect_nothing(one.p);
    KC_CHECK_EQ(mapped(), 1);
    end(&one);
}

static volatile sig_atomic_t files_too_long;

static void too_long(int number)
{
    (void)number;
    files_too_long++;
}

/* That it was not even tried is told by the kernel, which here lets no file be longer than a page: were it tried
 * elsewhere, the machine would be out of memory before the answer came. */
KC_TEST(what_no_machine_has_is_refused_before_it_is_asked_for)
{
    struct rlimit all;
    KC_REQUIRE(getrlimit(RLIMIT_FSIZE, &all) == 0);
    const struct rlimit page = {.rlim_cur = BYTES, .rlim_max = all.rlim_max};
    struct sigaction before;
    const struct sigaction counts = {.sa_handler = too_long};
    peer *p = peer_open(PEER_ROOM);
    kc_ipc_region *region = NULL;
    KC_REQUIRE(sigaction(SIGXFSZ, &counts, &before) == 0);
    KC_REQUIRE(setrlimit(RLIMIT_FSIZE, &page) == 0);
    KC_CHECK_EQ(kc_ipc_region_make(p->ipc, 2 * BYTES, &region), KC_ENOMEM);
    KC_CHECK_EQ(files_too_long, 1);
    KC_CHECK_EQ(kc_ipc_region_make(p->ipc, (size_t)1 << 50, &region), KC_ENOMEM);
    KC_CHECK_EQ(kc_ipc_region_make(p->ipc, SIZE_MAX / 4, &region), KC_ENOMEM);
    KC_CHECK_EQ(files_too_long, 1);
    KC_CHECK(region == NULL);
    KC_REQUIRE(setrlimit(RLIMIT_FSIZE, &all) == 0);
    KC_REQUIRE(sigaction(SIGXFSZ, &before, NULL) == 0);
    peer_expect_nothing(p);
    peer_close(p);
}

int main(void)
{
    KC_RUN(what_no_machine_has_is_refused_before_it_is_asked_for);
    KC_RUN(what_is_abandoned_while_a_message_lies_in_it_is_dropped_when_that_is_free);
    KC_RUN(what_is_abandoned_and_not_used_is_dropped_at_once);
    KC_RUN(a_loan_of_what_is_abandoned_stays_good_until_it_is_given_back);
    KC_RUN(a_loan_of_what_is_abandoned_may_be_sent_still);
    KC_RUN(what_the_daemon_keeps_is_freed_when_the_connection_ends);
    KC_RUN(what_is_abandoned_while_a_message_lies_in_it_goes_with_its_connection);
    KC_RUN(what_is_abandoned_after_the_connection_ended_goes_at_once);
    KC_RUN(a_loan_that_outlives_all_else_is_good_until_it_is_given_back);
    KC_RUN(what_is_abandoned_and_was_cancelled_unconfirmed_goes_as_soon_as_the_daemon_lets_it);
    KC_RUN(what_was_cancelled_and_is_in_use_all_the_same_is_dropped_when_it_is_free);
    KC_RUN(what_becomes_free_while_the_daemon_is_asked_is_asked_for_once_more);
    KC_RUN(a_loan_that_is_cancelled_after_its_region_was_abandoned_is_the_last_that_uses_it);
    KC_RUN(what_was_called_free_before_it_was_cancelled_is_not_used);
    KC_RUN(what_was_taken_and_is_not_acknowledged_is_in_use_until_it_is_free);
    KC_RUN(what_cannot_be_asked_for_want_of_memory_stays_until_the_connection_ends);
    return kc_test_report();
}
