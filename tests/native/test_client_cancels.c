/* Cancels: before a request has left, while it leaves, and when it is too late. */
#include "kc_client_peer.h"

KC_TEST(a_cancel_that_comes_too_late_changes_nothing)
{
    peer *p = peer_open(PEER_ROOM);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    kc_ipc_op *op;
    KC_REQUIRE(kc_ipc_send_begin(chan, &peer_ab, 1, NULL, &op) == KC_OK);
    uint32_t id = peer_expect(p, KC_CMD_CHAN_SEND);
    KC_CHECK_EQ(kc_ipc_op_cancel(op), KC_OK);
    KC_CHECK_EQ(peer_expect(p, KC_CMD_CANCEL), id);
    KC_CHECK_EQ(kc_ipc_op_ended(op), 0);
    peer_answer(p, KC_CMD_CHAN_SEND, id, KC_OK);
    KC_CHECK_EQ(kc_ipc_op_wait(op, NULL), KC_OK);
    KC_CHECK_EQ(kc_ipc_op_cancel(op), KC_OK);
    peer_expect_nothing(p);
    kc_ipc_op_free(op);
    peer_free_channel(p, chan, 3);
    peer_close(p);
}

KC_TEST(what_has_not_left_is_cancelled_without_a_word)
{
    peer *p = peer_open(64); /* room for one small frame, not for two */
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    kc_ipc_op *first, *second;
    KC_REQUIRE(kc_ipc_send_begin(chan, &peer_large, 1, NULL, &first) == KC_OK);
    KC_REQUIRE(kc_ipc_send_begin(chan, &peer_ab, 1, NULL, &second) == KC_OK);
    KC_CHECK_EQ(kc_ipc_op_cancel(second), KC_OK);
    KC_CHECK_EQ(kc_ipc_op_ended(second), 1);
    kc_ipc_result result;
    KC_CHECK_EQ(kc_ipc_op_wait(second, &result), KC_ECANCELED);
    KC_CHECK_EQ(result.flags, 0);
    kc_ipc_op_free(second);
    kc_frame_header header;
    kc_request request;
    while (!peer_next(p, &header, &request)) { /* the first one goes on piece by piece */
        KC_CHECK_EQ(kc_ipc_op_ended(first), 0);
    }
    KC_CHECK_EQ(request.element_bytes, 200);
    peer_answer(p, KC_CMD_CHAN_SEND, request.req_id, KC_OK);
    KC_CHECK_EQ(kc_ipc_op_wait(first, NULL), KC_OK);
    peer_expect_nothing(p);
    kc_ipc_op_free(first);
    peer_free_channel(p, chan, 4);
    peer_close(p);
}

KC_TEST(a_frame_that_has_begun_is_finished_before_its_cancel)
{
    peer *p = peer_open(64);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    kc_ipc_op *op;
    kc_frame_header header;
    kc_request request;
    KC_REQUIRE(kc_ipc_send_begin(chan, &peer_large, 1, NULL, &op) == KC_OK);
    KC_CHECK_EQ(kc_ipc_op_cancel(op), KC_OK);
    while (!peer_next(p, &header, &request)) {
        KC_CHECK_EQ(kc_ipc_op_ended(op), 0);
    }
    KC_CHECK_EQ(header.cmd, KC_CMD_CHAN_SEND);
    uint32_t id = request.req_id;
    KC_CHECK_EQ(kc_ipc_step(p->ipc), KC_OK);
    KC_CHECK_EQ(peer_expect(p, KC_CMD_CANCEL), id);
    peer_answer(p, KC_CMD_CHAN_SEND, id, KC_ECANCELED);
    KC_CHECK_EQ(kc_ipc_op_wait(op, NULL), KC_ECANCELED);
    kc_ipc_op_free(op);
    peer_free_channel(p, chan, 3);
    peer_close(p);
}

static void *answer_nack(void *arg)
{
    peer *p = arg;
    kc_frame_header header;
    kc_request request;
    kc_attr attr;
    KC_REQUIRE(peer_await(p, &header, &request));
    KC_CHECK_EQ(header.cmd, KC_CMD_CANCEL);
    KC_CHECK_EQ(request.req_id, 2);
    KC_REQUIRE(peer_await(p, &header, &request));
    KC_CHECK_EQ(header.cmd, KC_CMD_NACK);
    kc_attr_walk walk = kc_request_walk(&request, KC_ATTR_DELIVERY_ID);
    KC_REQUIRE(kc_attr_walk_next(&walk, &attr));
    KC_CHECK_EQ(kc_attr_u64(&attr), 77);
    kc_put_u32(peer_reply(p, KC_CMD_NACK, request.req_id, KC_OK), KC_ATTR_COUNT, 1);
    peer_end(p);
    return NULL;
}

KC_TEST(freeing_an_operation_gives_back_a_delivery_that_came_all_the_same)
{
    peer *p = peer_open(PEER_ROOM);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    kc_ipc_wish acking = {.timeout_ms = -1, .flags = KC_IPC_ACK};
    kc_ipc_op *op;
    KC_REQUIRE(kc_ipc_recv_begin(chan, 1, &acking, &op) == KC_OK);
    kc_writer *out = peer_reply(p, KC_CMD_CHAN_RECV, peer_expect(p, KC_CMD_CHAN_RECV), KC_OK);
    kc_nested_begin(out, KC_ATTR_ITEM, 0);
    kc_put_bytes(out, KC_ATTR_ELEMENT, "x", 1);
    kc_put_u64(out, KC_ATTR_DELIVERY_ID, 77);
    kc_nested_end(out);
    peer_end(p);
    pthread_t thread;
    KC_REQUIRE(pthread_create(&thread, NULL, answer_nack, p) == 0);
    kc_ipc_op_free(op);
    pthread_join(thread, NULL);
    peer_free_channel(p, chan, 4);
    peer_close(p);
}

int main(void)
{
    KC_RUN(a_cancel_that_comes_too_late_changes_nothing);
    KC_RUN(what_has_not_left_is_cancelled_without_a_word);
    KC_RUN(a_frame_that_has_begun_is_finished_before_its_cancel);
    KC_RUN(freeing_an_operation_gives_back_a_delivery_that_came_all_the_same);
    return kc_test_report();
}
