/* What becomes of operations: answered, refused, cancelled, overdue, lost with the connection; who may be in flight. */
#include "client/kc_client.h"
#include "kc_client_peer.h"

static const kc_ipc_payload ab = {.bytes = "ab", .length = 2};

/* --- answers ------------------------------------------------------------------------------------------------------ */

KC_TEST(a_send_ends_with_the_answer_of_the_daemon)
{
    peer *p = peer_open(PEER_ROOM);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    kc_ipc_op *op;
    kc_frame_header header;
    kc_request request;
    KC_REQUIRE(kc_ipc_send_begin(chan, &ab, 1, NULL, &op) == KC_OK);
    KC_CHECK_EQ(kc_ipc_op_ended(op), 0);
    KC_REQUIRE(peer_next(p, &header, &request));
    KC_CHECK_EQ(header.cmd, KC_CMD_CHAN_SEND);
    KC_CHECK_EQ(request.chan_id, 1001);
    KC_CHECK_EQ(request.timeout_ms, -1);
    KC_CHECK_EQ(request.element_bytes, 2);
    KC_CHECK_MEM(request.element, "ab", 2);
    peer_answer(p, KC_CMD_CHAN_SEND, request.req_id, KC_OK);
    KC_CHECK_EQ(kc_ipc_op_ended(op), 1);
    kc_ipc_result result;
    KC_CHECK_EQ(kc_ipc_op_wait(op, &result), KC_OK);
    KC_CHECK_EQ(result.count, 1);
    KC_CHECK_EQ(result.flags, 0);
    kc_ipc_result_free(&result);
    kc_ipc_op_free(op);
    peer_free_channel(p, chan, 3);
    peer_close(p);
}

KC_TEST(replies_may_come_in_any_order)
{
    peer *p = peer_open(PEER_ROOM);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    kc_ipc_op *ops[3];
    uint32_t ids[3];
    for (int i = 0; i < 3; i++) {
        KC_REQUIRE(kc_ipc_recv_begin(chan, 1, NULL, &ops[i]) == KC_OK);
        ids[i] = peer_expect(p, KC_CMD_CHAN_RECV);
    }
    for (int i = 2; i >= 0; i--) {
        kc_put_bytes(peer_reply(p, KC_CMD_CHAN_RECV, ids[i], KC_OK), KC_ATTR_ELEMENT, &"xyz"[i], 1);
        peer_end(p);
    }
    for (int i = 0; i < 3; i++) {
        kc_ipc_result result;
        KC_CHECK_EQ(kc_ipc_op_wait(ops[i], &result), KC_OK);
        KC_REQUIRE(result.message_count == 1);
        KC_CHECK_EQ(result.messages[0].length, 1);
        KC_CHECK_MEM(result.messages[0].bytes, &"xyz"[i], 1);
        kc_ipc_result_free(&result);
        kc_ipc_op_free(ops[i]);
    }
    peer_free_channel(p, chan, 5);
    peer_close(p);
}

KC_TEST(a_refusal_tells_all_that_the_daemon_said)
{
    peer *p = peer_open(PEER_ROOM);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    kc_ipc_result result;
    kc_writer *out = peer_reply(p, KC_CMD_CHAN_SEND, 2, KC_EDQUOT);
    kc_put_bytes(out, KC_ATTR_REASON, "too much", 8);
    kc_put_bytes(out, KC_ATTR_QUOTA_NAME, "bytes_per_uid", 13);
    kc_put_bytes(out, KC_ATTR_QUOTA_SETTING, "limits.bytes", 12);
    kc_put_u64(out, KC_ATTR_QUOTA_LIMIT, 100);
    kc_put_u64(out, KC_ATTR_QUOTA_USAGE, 99);
    peer_end(p);
    KC_CHECK_EQ(kc_ipc_send_payload(chan, &ab, NULL, &result), KC_EDQUOT);
    KC_CHECK_STR(result.reason, "too much");
    KC_CHECK_STR(result.quota_name, "bytes_per_uid");
    KC_CHECK_STR(result.quota_setting, "limits.bytes");
    KC_CHECK_EQ(result.quota_limit, 100);
    KC_CHECK_EQ(result.quota_usage, 99);
    KC_CHECK_EQ(result.flags, 0);
    kc_ipc_result_free(&result);
    peer_free_channel(p, chan, 3);
    peer_close(p);
}

KC_TEST(a_batch_tells_deliveries_attempts_and_senders)
{
    peer *p = peer_open(PEER_ROOM);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    kc_ipc_result result;
    kc_writer *out = peer_reply(p, KC_CMD_CHAN_RECV, 2, KC_OK);
    for (uint32_t i = 0; i < 3; i++) {
        kc_nested_begin(out, KC_ATTR_ITEM, 0);
        kc_put_bytes(out, KC_ATTR_ELEMENT, "abc", i);
        kc_put_u64(out, KC_ATTR_DELIVERY_ID, 100 + i);
        kc_put_u32(out, KC_ATTR_REDELIVERED, i);
        kc_put_u32(out, KC_ATTR_SENDER_UID, 7);
        kc_put_u32(out, KC_ATTR_SENDER_PID, 8);
        kc_nested_end(out);
    }
    peer_end(p);
    kc_ipc_wish wish = {.timeout_ms = 1000, .flags = KC_IPC_ACK | KC_IPC_SENDER};
    KC_CHECK_EQ(kc_ipc_recv_many(chan, 3, &wish, &result), KC_OK);
    KC_REQUIRE(result.message_count == 3);
    for (uint32_t i = 0; i < 3; i++) {
        KC_CHECK_EQ(result.messages[i].length, i);
        KC_CHECK_EQ(result.messages[i].delivery, 100 + i);
        KC_CHECK_EQ(result.messages[i].attempts, i);
        KC_CHECK_EQ(result.messages[i].sender_uid, 7);
        KC_CHECK_EQ(result.messages[i].sender_pid, 8);
    }
    kc_ipc_message_free(&result.messages[1]); /* one may go before the others */
    KC_CHECK_MEM(result.messages[2].bytes, "ab", 2);
    kc_ipc_result_free(&result);
    kc_ipc_result_free(&result);
    peer_free_channel(p, chan, 3);
    peer_close(p);
}

KC_TEST(a_large_message_comes_in_pieces_and_whole)
{
    peer *p = peer_open(4096);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    enum { LONG = 700000 };
    kc_ipc_op *op;
    KC_REQUIRE(kc_ipc_recv_begin(chan, 1, NULL, &op) == KC_OK);
    uint8_t *bytes = malloc(LONG);
    KC_REQUIRE(bytes != NULL);
    for (size_t i = 0; i < LONG; i++) {
        bytes[i] = (uint8_t)(i * 7 + i / 256);
    }
    kc_put_bytes(peer_reply(p, KC_CMD_CHAN_RECV, 2, KC_OK), KC_ATTR_ELEMENT, bytes, LONG);
    KC_REQUIRE(kc_frame_finish(&p->writer) == KC_OK);
    for (size_t at = 0; at < p->writer.length;) {
        int64_t sent = kc_ipc_pair_transport()->send(p->link, p->out + at, p->writer.length - at, NULL, 0);
        KC_REQUIRE(sent > 0 || sent == KC_EAGAIN);
        at += sent > 0 ? (size_t)sent : 0;
        KC_CHECK_EQ(kc_ipc_op_ended(op), at == p->writer.length);
    }
    kc_ipc_result result;
    KC_CHECK_EQ(kc_ipc_op_wait(op, &result), KC_OK);
    KC_REQUIRE(result.message_count == 1 && result.messages[0].length == LONG);
    KC_CHECK_MEM(result.messages[0].bytes, bytes, LONG);
    kc_ipc_result_free(&result);
    kc_ipc_op_free(op);
    free(bytes);
    peer_expect(p, KC_CMD_CHAN_RECV);
    peer_free_channel(p, chan, 3);
    peer_close(p);
}

/* --- cancellation ------------------------------------------------------------------------------------------------- */

KC_TEST(a_cancel_that_comes_too_late_changes_nothing)
{
    peer *p = peer_open(PEER_ROOM);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    kc_ipc_op *op;
    KC_REQUIRE(kc_ipc_send_begin(chan, &ab, 1, NULL, &op) == KC_OK);
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
    uint8_t bytes[200] = {0};
    kc_ipc_payload large = {.bytes = bytes, .length = sizeof bytes};
    kc_ipc_op *first, *second;
    KC_REQUIRE(kc_ipc_send_begin(chan, &large, 1, NULL, &first) == KC_OK);
    KC_REQUIRE(kc_ipc_send_begin(chan, &ab, 1, NULL, &second) == KC_OK);
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
    uint8_t bytes[200] = {0};
    kc_ipc_payload large = {.bytes = bytes, .length = sizeof bytes};
    kc_ipc_op *op;
    kc_frame_header header;
    kc_request request;
    KC_REQUIRE(kc_ipc_send_begin(chan, &large, 1, NULL, &op) == KC_OK);
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

/* --- deadlines ---------------------------------------------------------------------------------------------------- */

KC_TEST(what_could_not_leave_in_its_time_has_not_happened)
{
    peer *p = peer_open(64);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    uint8_t bytes[200] = {0};
    kc_ipc_payload large = {.bytes = bytes, .length = sizeof bytes};
    kc_ipc_op *first;
    kc_ipc_result result;
    kc_ipc_wish soon = {.timeout_ms = 1};
    KC_REQUIRE(kc_ipc_send_begin(chan, &large, 1, NULL, &first) == KC_OK);
    KC_CHECK_EQ(kc_ipc_send_payload(chan, &ab, &soon, &result), KC_ETIME);
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
    peer *p = malloc(sizeof *p);
    KC_REQUIRE(p != NULL);
    atomic_store(&memory_until, -1);
    kc_ipc_config config = peer_pair(p, PEER_ROOM);
    config.grace_ms = 1;
    peer_open_as(config, p);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    kc_ipc_wish soon = {.timeout_ms = 1};
    kc_ipc_result result;
    kc_ipc_op *forever;
    KC_REQUIRE(kc_ipc_recv_begin(chan, 1, NULL, &forever) == KC_OK);
    KC_CHECK_EQ(kc_ipc_send_payload(chan, &ab, &soon, &result), KC_ECONNRESET);
    KC_CHECK_EQ(result.flags, KC_IPC_IN_DOUBT);
    KC_CHECK_EQ(kc_ipc_op_wait(forever, &result), KC_ECONNRESET);
    KC_CHECK_EQ(result.flags, KC_IPC_IN_DOUBT);
    KC_CHECK_EQ(kc_ipc_send_payload(chan, &ab, NULL, &result), KC_ECONNRESET);
    KC_CHECK_EQ(result.flags, 0); /* it did not even begin */
    kc_ipc_op_free(forever);
    kc_ipc_chan_free(chan);
    peer_close(p);
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

KC_TEST(a_lost_connection_says_which_operations_are_in_doubt)
{
    peer *p = peer_open(64);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    uint8_t bytes[200] = {0};
    kc_ipc_payload large = {.bytes = bytes, .length = sizeof bytes};
    kc_ipc_op *left, *leaving, *waiting;
    kc_ipc_result result;
    KC_REQUIRE(kc_ipc_recv_begin(chan, 1, NULL, &left) == KC_OK);
    peer_expect(p, KC_CMD_CHAN_RECV);
    KC_REQUIRE(kc_ipc_send_begin(chan, &large, 1, NULL, &leaving) == KC_OK);
    KC_REQUIRE(kc_ipc_send_begin(chan, &ab, 1, NULL, &waiting) == KC_OK);
    peer_hang_up(p);
    KC_CHECK_EQ(kc_ipc_op_wait(left, &result), KC_ECONNRESET);
    KC_CHECK_EQ(result.flags, KC_IPC_IN_DOUBT);
    KC_CHECK_EQ(kc_ipc_op_wait(leaving, &result), KC_ECONNRESET);
    KC_CHECK_EQ(result.flags, KC_IPC_IN_DOUBT);
    KC_CHECK_EQ(kc_ipc_op_wait(waiting, &result), KC_ECONNRESET);
    KC_CHECK_EQ(result.flags, 0);
    kc_ipc_usage usage;
    kc_ipc_measure(p->ipc, &usage);
    KC_CHECK_EQ(usage.ended, KC_ECONNRESET);
    KC_CHECK_EQ(usage.requests, 0);
    KC_CHECK_EQ(usage.bytes, 0);
    kc_ipc_op_free(left);
    kc_ipc_op_free(leaving);
    kc_ipc_op_free(waiting);
    kc_ipc_chan_free(chan);
    peer_close(p);
}

KC_TEST(the_last_words_of_the_daemon_are_the_code_of_the_end)
{
    peer *p = peer_open(PEER_ROOM);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    kc_put_i32(peer_begin(p, KC_CMD_CHAN_SEND, 0), KC_ATTR_RESULT, KC_EMSGSIZE);
    peer_end(p);
    KC_CHECK_EQ(kc_ipc_send(chan, "ab", 2, NULL), KC_EMSGSIZE);
    KC_CHECK_EQ(kc_ipc_ping(p->ipc), KC_EMSGSIZE);
    kc_ipc_chan_free(chan);
    peer_close(p);
}

KC_TEST(a_daemon_of_another_version_is_refused)
{
    peer *p = malloc(sizeof *p);
    KC_REQUIRE(p != NULL);
    atomic_store(&memory_until, -1);
    kc_ipc_config config = peer_pair(p, PEER_ROOM);
    peer_hello(p, 0, 0);
    KC_CHECK_EQ(kc_ipc_connect(&config, &p->ipc), KC_EPROTONOSUPPORT);
    KC_CHECK(p->ipc == NULL);
    peer_close(p);
}

KC_TEST(a_refusal_at_the_door_is_told)
{
    peer *p = malloc(sizeof *p);
    KC_REQUIRE(p != NULL);
    atomic_store(&memory_until, -1);
    kc_ipc_config config = peer_pair(p, PEER_ROOM);
    kc_put_i32(peer_begin(p, KC_CMD_HELLO, 0), KC_ATTR_RESULT, KC_EDQUOT);
    peer_end(p);
    peer_hang_up(p);
    KC_CHECK_EQ(kc_ipc_connect(&config, &p->ipc), KC_EDQUOT);
    peer_close(p);
}

KC_TEST(a_daemon_that_says_nothing_is_none)
{
    peer *p = malloc(sizeof *p);
    KC_REQUIRE(p != NULL);
    atomic_store(&memory_until, -1);
    kc_ipc_config config = peer_pair(p, PEER_ROOM);
    config.connect_timeout_ms = 5;
    KC_CHECK_EQ(kc_ipc_connect(&config, &p->ipc), KC_ECONNRESET);
    peer_close(p);
}

/* --- fairness and bounds ------------------------------------------------------------------------------------------ */

KC_TEST(channels_take_turns_in_leaving)
{
    peer *p = peer_open(64);
    kc_ipc_chan *busy = peer_channel(p, 1, 1001);
    kc_ipc_chan *calm = peer_channel(p, 2, 1002);
    uint8_t bytes[200] = {0};
    kc_ipc_payload large = {.bytes = bytes, .length = sizeof bytes};
    kc_ipc_op *ops[6];
    for (int i = 0; i < 5; i++) {
        KC_REQUIRE(kc_ipc_send_begin(busy, &large, 1, NULL, &ops[i]) == KC_OK);
    }
    KC_REQUIRE(kc_ipc_send_begin(calm, &ab, 1, NULL, &ops[5]) == KC_OK);
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
    peer *p = malloc(sizeof *p);
    KC_REQUIRE(p != NULL);
    atomic_store(&memory_until, -1);
    kc_ipc_config config = peer_pair(p, PEER_ROOM);
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
    uint8_t bytes[500] = {0};
    kc_ipc_payload large = {.bytes = bytes, .length = sizeof bytes};
    kc_ipc_op *first, *second;
    KC_CHECK_EQ(kc_ipc_send_begin(chan, &large, 1, NULL, &first), KC_OK);
    KC_CHECK_EQ(kc_ipc_send_begin(chan, &ab, 1, NULL, &second), KC_EAGAIN);
    peer_answer(p, KC_CMD_CHAN_SEND, 2, KC_OK);
    KC_CHECK_EQ(kc_ipc_op_wait(first, NULL), KC_OK);
    KC_CHECK_EQ(kc_ipc_send_begin(chan, &ab, 1, NULL, &second), KC_OK);
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
    KC_CHECK_EQ(kc_ipc_send_payload(chan, &ab, &soon, &result), KC_ETIME);
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
        KC_REQUIRE(ops[i] != NULL && kc_control_ask(ops[i], &writer, false) == KC_OK);
        KC_CHECK_EQ(peer_expect(p, KC_CMD_PING), i + 1);
    }
    for (uint32_t i = MANY; i > 0; i--) {
        peer_answer(p, KC_CMD_PING, i, i % 2 == 0 ? KC_OK : KC_ENOSYS);
    }
    for (uint32_t i = 0; i < MANY; i++) {
        KC_CHECK_EQ(kc_op_finish(ops[i], NULL), i % 2 == 1 ? KC_OK : KC_ENOSYS);
    }
    peer_close(p);
}

/* --- what is refused here ----------------------------------------------------------------------------------------- */

KC_TEST(what_cannot_be_asked_is_refused_without_a_frame)
{
    peer *p = peer_open(PEER_ROOM);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    kc_ipc_result result;
    char name[300];
    memset(name, 'n', sizeof name);
    name[299] = '\0';
    kc_ipc_chan *none;
    KC_CHECK_EQ(kc_ipc_make(p->ipc, name, NULL, &none), KC_ENAMETOOLONG);
    KC_CHECK_EQ(kc_ipc_send(chan, "a", (size_t)KC_MAX_ELEMENT_BYTES + 1, NULL), KC_EMSGSIZE);
    KC_CHECK_EQ(kc_ipc_send(chan, NULL, 1, NULL), KC_EINVAL);
    KC_CHECK_EQ(kc_ipc_recv_many(chan, 0, NULL, &result), KC_EINVAL);
    KC_CHECK_EQ(kc_ipc_recv_many(chan, KC_MAX_ITEMS + 1, NULL, &result), KC_EINVAL);
    KC_CHECK_EQ(kc_ipc_select(p->ipc, NULL, 0, NULL, &result), KC_EINVAL);
    KC_CHECK_EQ(kc_ipc_send_many(chan, NULL, 0, NULL, &result), KC_EINVAL);
    int files[17] = {0};
    kc_ipc_payload many = {.files = files, .file_count = 17};
    KC_CHECK_EQ(kc_ipc_send_payload(chan, &many, NULL, NULL), KC_EINVAL);
    int closed = -1;
    kc_ipc_payload bad = {.files = &closed, .file_count = 1};
    KC_CHECK_EQ(kc_ipc_send_payload(chan, &bad, NULL, NULL), KC_EINVAL);
    KC_CHECK_EQ(kc_ipc_ack(p->ipc, NULL, 0), KC_EINVAL);
    peer_expect_nothing(p);
    peer_free_channel(p, chan, 2);
    peer_close(p);
}

KC_TEST(a_child_of_fork_is_refused_and_says_nothing)
{
    peer *p = peer_open(PEER_ROOM);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    kc_ipc_op *op;
    KC_REQUIRE(kc_ipc_recv_begin(chan, 1, NULL, &op) == KC_OK);
    pid_t child = fork();
    if (child == 0) {
        kc_ipc_message message;
        int good = kc_ipc_send(chan, "a", 1, NULL) == KC_EBADF && kc_ipc_recv(chan, &message, NULL) == KC_EBADF &&
                   kc_ipc_ping(p->ipc) == KC_EBADF && kc_ipc_op_wait(op, NULL) == KC_EBADF &&
                   kc_ipc_op_cancel(op) == KC_EBADF;
        kc_ipc_op_free(op);
        kc_ipc_chan_free(chan);
        _exit(good ? 0 : 1);
    }
    int status = -1;
    KC_CHECK_EQ(waitpid(child, &status, 0), child);
    KC_CHECK_EQ(status, 0);
    peer_expect(p, KC_CMD_CHAN_RECV);
    peer_expect_nothing(p);
    kc_put_bytes(peer_reply(p, KC_CMD_CHAN_RECV, 2, KC_OK), KC_ATTR_ELEMENT, "z", 1);
    peer_end(p);
    kc_ipc_result result;
    KC_CHECK_EQ(kc_ipc_op_wait(op, &result), KC_OK);
    kc_ipc_result_free(&result);
    kc_ipc_op_free(op);
    peer_free_channel(p, chan, 3);
    peer_close(p);
}

int main(void)
{
    KC_RUN(a_send_ends_with_the_answer_of_the_daemon);
    KC_RUN(replies_may_come_in_any_order);
    KC_RUN(a_refusal_tells_all_that_the_daemon_said);
    KC_RUN(a_batch_tells_deliveries_attempts_and_senders);
    KC_RUN(a_large_message_comes_in_pieces_and_whole);
    KC_RUN(a_cancel_that_comes_too_late_changes_nothing);
    KC_RUN(what_has_not_left_is_cancelled_without_a_word);
    KC_RUN(a_frame_that_has_begun_is_finished_before_its_cancel);
    KC_RUN(freeing_an_operation_gives_back_a_delivery_that_came_all_the_same);
    KC_RUN(what_could_not_leave_in_its_time_has_not_happened);
    KC_RUN(an_answer_that_is_overdue_breaks_the_connection_and_leaves_doubt);
    KC_RUN(a_lost_connection_says_which_operations_are_in_doubt);
    KC_RUN(the_last_words_of_the_daemon_are_the_code_of_the_end);
    KC_RUN(a_daemon_of_another_version_is_refused);
    KC_RUN(a_refusal_at_the_door_is_told);
    KC_RUN(a_daemon_that_says_nothing_is_none);
    KC_RUN(channels_take_turns_in_leaving);
    KC_RUN(a_try_beyond_the_bound_is_eagain_and_an_answer_makes_room);
    KC_RUN(a_bound_of_one_channel_leaves_room_for_others);
    KC_RUN(bytes_in_flight_are_bounded_but_one_alone_may_be_longer);
    KC_RUN(who_waits_for_room_gives_up_in_time_and_nothing_was_sent);
    KC_RUN(requests_that_are_answered_at_once_are_never_too_many);
    KC_RUN(what_cannot_be_asked_is_refused_without_a_frame);
    KC_RUN(a_child_of_fork_is_refused_and_says_nothing);
    return kc_test_report();
}
