/* What becomes of operations when the daemon answers, and what is refused before it is asked. */
#include "kc_client_peer.h"

/* --- answers ------------------------------------------------------------------------------------------------------ */

KC_TEST(a_send_ends_with_the_answer_of_the_daemon)
{
    peer *p = peer_open(PEER_ROOM);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    kc_ipc_op *op;
    kc_frame_header header;
    kc_request request;
    KC_REQUIRE(kc_ipc_send_begin(chan, &peer_ab, 1, NULL, &op) == KC_OK);
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
    KC_CHECK_EQ(kc_ipc_send_payload(chan, &peer_ab, NULL, &result), KC_EDQUOT);
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
    KC_RUN(what_cannot_be_asked_is_refused_without_a_frame);
    KC_RUN(a_child_of_fork_is_refused_and_says_nothing);
    return kc_test_report();
}
