/* A deadline is one time, counted from the call: neither a queue nor a daemon that reads a byte now and then moves
 * it. */
#include "client/kc_client.h"
#include "kc_client_peer.h"

enum { LONG = 1 << 20, MS = 1000000, SHORT_MS = 20, HOUR_MS = 3600000 };

static peer *open_hasty(size_t room)
{
    kc_ipc_config config;
    peer *p = peer_make(room, &config);
    config.grace_ms = SHORT_MS;
    return peer_open_as(config, p);
}

static kc_ipc_op *begin_long(kc_ipc_chan *chan, int32_t timeout_ms)
{
    kc_ipc_op *op = NULL;
    const kc_ipc_wish wish = {.timeout_ms = timeout_ms};
    uint8_t *bytes = calloc(1, LONG);
    KC_REQUIRE(bytes != NULL);
    const kc_ipc_payload payload = {.bytes = bytes, .length = LONG};
    KC_REQUIRE(kc_ipc_send_begin(chan, &payload, 1, &wish, &op) == KC_OK);
    free(bytes);
    return op;
}

/* One byte of what has left, if there is one. */
static size_t trickle(peer *p)
{
    uint8_t byte;
    uint32_t files = 0;
    return kc_ipc_pair_transport()->receive(p->link, &byte, 1, NULL, &files) == 1;
}

static void await_time(int64_t time_ns)
{
    while (kc_client_now_ns() < time_ns) {
    }
}

/* --- the peer trickles -------------------------------------------------------------------------------------------- */

static void ends_in_doubt_before_all_has_left(int32_t timeout_ms, bool cancelled)
{
    peer *p = open_hasty(64);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    kc_ipc_result result;
    size_t drained = 0;
    int64_t began_ns = kc_client_now_ns();
    kc_ipc_op *op = begin_long(chan, timeout_ms);
    if (cancelled) {
        KC_CHECK_EQ(kc_ipc_op_cancel(op), KC_OK);
    }
    do {
        drained += trickle(p);
        KC_REQUIRE(drained < LONG);
    } while (!kc_ipc_op_ended(op));
    KC_CHECK(kc_client_now_ns() >= began_ns + (int64_t)SHORT_MS * MS);
    KC_CHECK(drained > 0);
    KC_CHECK_EQ(kc_ipc_op_wait(op, &result), KC_ECONNRESET);
    KC_CHECK_EQ(result.flags, KC_IPC_IN_DOUBT);
    KC_CHECK_STR(result.reason, "an answer is overdue by grace_ms");
    kc_ipc_op_free(op);
    kc_ipc_chan_free(chan);
    peer_close(p);
}

KC_TEST(bytes_that_trickle_do_not_move_a_deadline)
{
    ends_in_doubt_before_all_has_left(SHORT_MS, false);
}

KC_TEST(bytes_that_trickle_do_not_make_a_try_wait)
{
    ends_in_doubt_before_all_has_left(0, false);
}

KC_TEST(bytes_that_trickle_do_not_hold_up_a_cancel)
{
    ends_in_doubt_before_all_has_left(-1, true);
    ends_in_doubt_before_all_has_left(HOUR_MS, true);
}

/* --- without it ------------------------------------------------------------------------------------------------- */

KC_TEST(what_could_not_leave_in_its_time_has_not_happened)
{
    peer *p = peer_open(64);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    kc_ipc_op *first;
    kc_ipc_result result;
    kc_ipc_wish soon = {.timeout_ms = 1};
    KC_REQUIRE(kc_ipc_send_begin(chan, &peer_large, 1, NULL, &first) == KC_OK);
    KC_CHECK_EQ(kc_ipc_send_payload(chan, &peer_ab, &soon, &result), KC_ETIME);
    KC_CHECK_EQ(result.flags, 0);
    kc_ipc_disconnect(p->ipc);
    KC_CHECK_EQ(kc_ipc_op_wait(first, &result), KC_EBADF);
    KC_CHECK_EQ(result.flags, KC_IPC_IN_DOUBT);
    kc_ipc_op_free(first);
    kc_ipc_chan_free(chan);
    p->ipc = NULL;
    peer_close(p);
}

KC_TEST(an_answer_that_is_overdue_breaks_the_connection_and_leaves_doubt)
{
    kc_ipc_config config;
    peer *p = peer_make(PEER_ROOM, &config);
    config.grace_ms = 1;
    peer_open_as(config, p);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    kc_ipc_wish soon = {.timeout_ms = 1};
    kc_ipc_result result;
    kc_ipc_op *forever;
    KC_REQUIRE(kc_ipc_recv_begin(chan, 1, NULL, &forever) == KC_OK);
    KC_CHECK_EQ(kc_ipc_send_payload(chan, &peer_ab, &soon, &result), KC_ECONNRESET);
    KC_CHECK_EQ(result.flags, KC_IPC_IN_DOUBT);
    KC_CHECK_EQ(kc_ipc_op_wait(forever, &result), KC_ECONNRESET);
    KC_CHECK_EQ(result.flags, KC_IPC_IN_DOUBT);
    KC_CHECK_EQ(kc_ipc_send_payload(chan, &peer_ab, NULL, &result), KC_ECONNRESET);
    KC_CHECK_EQ(result.flags, 0); /* it did not even begin */
    kc_ipc_op_free(forever);
    kc_ipc_chan_free(chan);
    peer_close(p);
}

/* --- the queue ---------------------------------------------------------------------------------------------------- */

KC_TEST(a_try_that_stands_behind_what_trickles_is_eagain_and_has_not_happened)
{
    peer *p = open_hasty(64);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    const kc_ipc_wish now = {.timeout_ms = 0};
    kc_ipc_op *first = begin_long(chan, -1), *second;
    kc_ipc_result result;
    size_t drained = 0;
    KC_REQUIRE(kc_ipc_send_begin(chan, &peer_ab, 1, &now, &second) == KC_OK);
    while (!kc_ipc_op_ended(second)) {
        drained += trickle(p);
        KC_REQUIRE(drained < LONG);
    }
    KC_CHECK_EQ(kc_ipc_op_wait(second, &result), KC_EAGAIN);
    KC_CHECK_EQ(result.flags, 0);
    KC_CHECK_EQ(kc_ipc_op_ended(first), 0);
    peer_hang_up(p);
    kc_ipc_op_free(second);
    kc_ipc_op_free(first);
    kc_ipc_chan_free(chan);
    peer_close(p);
}

KC_TEST(the_daemon_is_told_what_is_left_of_the_time_when_a_request_leaves)
{
    peer *p = peer_open(64);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    const kc_ipc_wish wish = {.timeout_ms = HOUR_MS};
    kc_ipc_op *ops[2];
    kc_frame_header header;
    kc_request request;
    KC_REQUIRE(kc_ipc_send_begin(chan, &peer_large, 1, &wish, &ops[0]) == KC_OK);
    KC_REQUIRE(kc_ipc_send_begin(chan, &peer_ab, 1, &wish, &ops[1]) == KC_OK);
    await_time(kc_client_now_ns() + 3 * MS);
    while (!peer_next(p, &header, &request)) {
        KC_CHECK_EQ(kc_ipc_op_ended(ops[0]), 0);
    }
    KC_CHECK(request.timeout_ms > 0 && request.timeout_ms <= HOUR_MS);
    kc_ipc_step(p->ipc);
    KC_REQUIRE(peer_next(p, &header, &request));
    KC_CHECK(request.timeout_ms > 0 && request.timeout_ms <= HOUR_MS - 2);
    peer_hang_up(p);
    kc_ipc_op_free(ops[0]);
    kc_ipc_op_free(ops[1]);
    kc_ipc_chan_free(chan);
    peer_close(p);
}

KC_TEST(an_open_that_does_not_wait_says_so_to_the_daemon)
{
    peer *p = peer_open(PEER_ROOM);
    kc_ipc_chan *chan = NULL;
    kc_frame_header header;
    kc_request request;
    peer_answer(p, KC_CMD_CHAN_OPEN, 1, KC_ENOENT);
    KC_CHECK_EQ(kc_ipc_open(p->ipc, "name", 0, 0, &chan), KC_ENOENT);
    KC_REQUIRE(peer_next(p, &header, &request));
    KC_CHECK_EQ(request.timeout_ms, 0);
    peer_close(p);
}

int main(void)
{
    KC_RUN(bytes_that_trickle_do_not_move_a_deadline);
    KC_RUN(bytes_that_trickle_do_not_make_a_try_wait);
    KC_RUN(bytes_that_trickle_do_not_hold_up_a_cancel);
    KC_RUN(what_could_not_leave_in_its_time_has_not_happened);
    KC_RUN(an_answer_that_is_overdue_breaks_the_connection_and_leaves_doubt);
    KC_RUN(a_try_that_stands_behind_what_trickles_is_eagain_and_has_not_happened);
    KC_RUN(the_daemon_is_told_what_is_left_of_the_time_when_a_request_leaves);
    KC_RUN(an_open_that_does_not_wait_says_so_to_the_daemon);
    return kc_test_report();
}
