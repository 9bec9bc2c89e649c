/* Who may be in flight: bounds of a connection and of a channel, and channels that take turns. */
#include "client/kc_client.h"
#include "kc_client_peer.h"

KC_TEST(channels_take_turns_in_leaving)
{
    peer *p = peer_open(64);
    kc_ipc_chan *busy = peer_channel(p, 1, 1001);
    kc_ipc_chan *calm = peer_channel(p, 2, 1002);
    kc_ipc_op *ops[6];
    for (int i = 0; i < 5; i++) {
        KC_REQUIRE(kc_ipc_send_begin(busy, &peer_large, 1, NULL, &ops[i]) == KC_OK);
    }
    KC_REQUIRE(kc_ipc_send_begin(calm, &peer_ab, 1, NULL, &ops[5]) == KC_OK);
    static const uint32_t expected[6] = {1001, 1001, 1002, 1001, 1001, 1001};
    for (int i = 0; i < 6;) {
        kc_frame_header header;
        kc_request request;
        if (peer_next(p, &header, &request)) {
            KC_CHECK_EQ(request.chan_id, expected[i++]);
        } else {
            kc_ipc_step(p->ipc);
        }
    }
    peer_hang_up(p);
    for (int i = 0; i < 6; i++) {
        kc_ipc_op_free(ops[i]);
    }
    kc_ipc_chan_free(busy);
    kc_ipc_chan_free(calm);
    peer_close(p);
}

static peer *bounded(uint32_t requests, uint32_t chan_requests, uint64_t bytes)
{
    kc_ipc_config config;
    peer *p = peer_make(PEER_ROOM, &config);
    config.max_requests = requests;
    config.max_chan_requests = chan_requests;
    config.max_bytes = bytes;
    return peer_open_as(config, p);
}

KC_TEST(a_try_beyond_the_bound_is_eagain_and_an_answer_makes_room)
{
    peer *p = bounded(2, 0, 0);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    kc_ipc_op *ops[3];
    KC_CHECK_EQ(kc_ipc_recv_begin(chan, 1, NULL, &ops[0]), KC_OK);
    KC_CHECK_EQ(kc_ipc_recv_begin(chan, 1, NULL, &ops[1]), KC_OK);
    KC_CHECK_EQ(kc_ipc_recv_begin(chan, 1, NULL, &ops[2]), KC_EAGAIN);
    KC_CHECK(ops[2] == NULL);
    KC_CHECK_EQ(kc_ipc_try_send(chan, "a", 1), KC_EAGAIN);
    uint64_t delivery = 5;
    kc_put_u32(peer_reply(p, KC_CMD_ACK, 4, KC_OK), KC_ATTR_COUNT, 1);
    peer_end(p);
    KC_CHECK_EQ(kc_ipc_ack(p->ipc, &delivery, 1), KC_OK); /* what is answered at once waits for no bound */
    peer_answer(p, KC_CMD_CHAN_RECV, 2, KC_EPIPE);
    KC_CHECK_EQ(kc_ipc_op_wait(ops[0], NULL), KC_EPIPE);
    KC_CHECK_EQ(kc_ipc_recv_begin(chan, 1, NULL, &ops[2]), KC_OK);
    peer_hang_up(p);
    for (int i = 0; i < 3; i++) {
        kc_ipc_op_free(ops[i]);
    }
    kc_ipc_chan_free(chan);
    peer_close(p);
}

KC_TEST(a_bound_of_one_channel_leaves_room_for_others)
{
    peer *p = bounded(4, 1, 0);
    kc_ipc_chan *one = peer_channel(p, 1, 1001);
    kc_ipc_chan *two = peer_channel(p, 2, 1002);
    kc_ipc_op *ops[3];
    KC_CHECK_EQ(kc_ipc_recv_begin(one, 1, NULL, &ops[0]), KC_OK);
    KC_CHECK_EQ(kc_ipc_recv_begin(one, 1, NULL, &ops[1]), KC_EAGAIN);
    KC_CHECK_EQ(kc_ipc_recv_begin(two, 1, NULL, &ops[2]), KC_OK);
    peer_hang_up(p);
    kc_ipc_op_free(ops[0]);
    kc_ipc_op_free(ops[2]);
    kc_ipc_chan_free(one);
    kc_ipc_chan_free(two);
    peer_close(p);
}

KC_TEST(bytes_in_flight_are_bounded_but_one_alone_may_be_longer)
{
    peer *p = bounded(8, 0, 100);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    kc_ipc_op *first, *second;
    KC_CHECK_EQ(kc_ipc_send_begin(chan, &peer_large, 1, NULL, &first), KC_OK);
    KC_CHECK_EQ(kc_ipc_send_begin(chan, &peer_ab, 1, NULL, &second), KC_EAGAIN);
    peer_answer(p, KC_CMD_CHAN_SEND, 2, KC_OK);
    KC_CHECK_EQ(kc_ipc_op_wait(first, NULL), KC_OK);
    KC_CHECK_EQ(kc_ipc_send_begin(chan, &peer_ab, 1, NULL, &second), KC_OK);
    peer_hang_up(p);
    kc_ipc_op_free(first);
    kc_ipc_op_free(second);
    kc_ipc_chan_free(chan);
    peer_close(p);
}

KC_TEST(who_waits_for_room_gives_up_in_time_and_nothing_was_sent)
{
    peer *p = bounded(1, 0, 0);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    kc_ipc_op *op;
    kc_ipc_result result;
    kc_ipc_wish soon = {.timeout_ms = 1};
    KC_CHECK_EQ(kc_ipc_recv_begin(chan, 1, NULL, &op), KC_OK);
    peer_expect(p, KC_CMD_CHAN_RECV);
    KC_CHECK_EQ(kc_ipc_send_payload(chan, &peer_ab, &soon, &result), KC_ETIME);
    KC_CHECK_EQ(result.flags, 0);
    peer_expect_nothing(p);
    peer_hang_up(p);
    kc_ipc_op_free(op);
    kc_ipc_chan_free(chan);
    peer_close(p);
}

KC_TEST(requests_that_are_answered_at_once_are_never_too_many)
{
    enum { MANY = 300 };
    peer *p = bounded(1, 0, 0); /* a table of 64 places, which grows twice */
    kc_ipc_op *ops[MANY];
    for (uint32_t i = 0; i < MANY; i++) {
        kc_writer writer;
        ops[i] = kc_control_make(p->ipc, NULL, KC_CMD_PING, 0, &writer);
        KC_REQUIRE(ops[i] != NULL && kc_ask_finish(&writer, ops[i]) == KC_OK);
        KC_REQUIRE(kc_op_begin(ops[i], false, false) == KC_OK);
        KC_CHECK_EQ(peer_expect(p, KC_CMD_PING), i + 1);
    }
    for (uint32_t i = MANY; i > 0; i--) {
        peer_answer(p, KC_CMD_PING, i, i % 2 == 0 ? KC_OK : KC_ENOSYS);
    }
    for (uint32_t i = 0; i < MANY; i++) {
        KC_CHECK_EQ(kc_ipc_op_wait(ops[i], NULL), i % 2 == 1 ? KC_OK : KC_ENOSYS);
        kc_op_done(ops[i]);
    }
    peer_close(p);
}

int main(void)
{
    KC_RUN(channels_take_turns_in_leaving);
    KC_RUN(a_try_beyond_the_bound_is_eagain_and_an_answer_makes_room);
    KC_RUN(a_bound_of_one_channel_leaves_room_for_others);
    KC_RUN(bytes_in_flight_are_bounded_but_one_alone_may_be_longer);
    KC_RUN(who_waits_for_room_gives_up_in_time_and_nothing_was_sent);
    KC_RUN(requests_that_are_answered_at_once_are_never_too_many);
    return kc_test_report();
}
