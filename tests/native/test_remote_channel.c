/* A daemon's channel by the calls of kc_channel.h, against a scripted daemon. Built where the runtime is. */
#include "kc_remote_peer.h"

static int64_t up_to_ms(int64_t left_ns)
{
    return (left_ns + 999999) / 1000000;
}

KC_TEST(bytes_go_and_come_with_the_deadline_of_the_caller)
{
    peer *p = open_remote();
    kc_channel *channel = remote_channel(p, 1, 1001, 16);
    kc_frame_header header;
    kc_request request;
    uint8_t buffer[16];
    uint32_t length = 0;
    int64_t deadline_ns = kc_after_ns(INT64_C(3600000500000)); /* half a millisecond is a whole one */
    int64_t most_ms = up_to_ms(deadline_ns - kc_now_ns());
    peer_answer(p, KC_CMD_CHAN_SEND, 2, KC_OK);
    KC_CHECK_EQ(kc_channel_send(channel, "ab", 2, deadline_ns), KC_OK);
    KC_REQUIRE(peer_next(p, &header, &request));
    KC_CHECK_EQ(request.chan_id, 1001);
    KC_CHECK(request.timeout_ms <= most_ms);
    KC_CHECK(request.timeout_ms >= up_to_ms(deadline_ns - kc_now_ns()));
    kc_put_bytes(peer_reply(p, KC_CMD_CHAN_RECV, 3, KC_OK), KC_ATTR_ELEMENT, "xyz", 3);
    peer_end(p);
    KC_CHECK_EQ(kc_channel_recv(channel, buffer, sizeof buffer, &length, KC_NEVER), KC_OK);
    KC_REQUIRE(peer_next(p, &header, &request));
    KC_CHECK_EQ(request.timeout_ms, -1);
    KC_CHECK_EQ(length, 3);
    KC_CHECK_MEM(buffer, "xyz", 3);
    peer_answer(p, KC_CMD_CHAN_RECV, 4, KC_EAGAIN);
    KC_CHECK_EQ(kc_channel_try_recv(channel, buffer, sizeof buffer, &length), KC_EAGAIN);
    peer_answer(p, KC_CMD_CHAN_SEND, 5, KC_EAGAIN);
    KC_CHECK_EQ(kc_channel_send(channel, "ab", 2, 1), KC_ETIME); /* the deadline has passed */
    KC_CHECK_EQ(kc_channel_recv(channel, buffer, 15, &length, KC_NEVER), KC_EMSGSIZE);
    peer_answer(p, KC_CMD_CHAN_RELEASE, 6, KC_OK);
    kc_channel_drop(channel);
    peer_close(p);
}

KC_TEST(a_deadline_that_no_number_of_milliseconds_tells_is_never_early_or_long_past)
{
    peer *p = open_remote();
    kc_channel *channel = remote_channel(p, 1, 1001, 16);
    kc_frame_header header;
    kc_request request;
    const int64_t day_ns = INT64_C(86400000000000);
    const int64_t deadlines_ns[] = {kc_after_ns(30 * day_ns), kc_after_ns(24 * day_ns), INT64_MIN, INT64_MIN / 2};
    const bool past[] = {false, false, true, true};
    for (uint32_t i = 0; i < 4; i++) {
        peer_answer(p, KC_CMD_CHAN_SEND, 2 + i, past[i] ? KC_EAGAIN : KC_OK);
        KC_CHECK_EQ(kc_channel_send(channel, "ab", 2, deadlines_ns[i]), past[i] ? KC_ETIME : KC_OK);
        KC_REQUIRE(peer_next(p, &header, &request));
        if (past[i]) {
            KC_CHECK_EQ(request.timeout_ms, 0);
        } else if (i == 0) {
            KC_CHECK_EQ(request.timeout_ms, -1);
        } else {
            KC_CHECK(request.timeout_ms > 23 * 86400000LL);
        }
    }
    peer_answer(p, KC_CMD_CHAN_RELEASE, 6, KC_OK);
    kc_channel_drop(channel);
    peer_close(p);
}

KC_TEST(a_select_is_one_request_and_says_which_clause)
{
    peer *p = open_remote();
    kc_channel *one = remote_channel(p, 1, 1001, 16), *two = remote_channel(p, 2, 1002, 16);
    uint8_t buffer[16];
    uint32_t index = 9;
    kc_channel_clause clauses[] = {{.channel = one, .dir = KC_CLAUSE_SEND, .data = "s", .len_bytes = 1},
                                   {.channel = two, .dir = KC_CLAUSE_RECV, .buffer = buffer, .buffer_bytes = 16}};
    kc_writer *out = peer_reply(p, KC_CMD_SELECT, 3, KC_OK);
    kc_put_u32(out, KC_ATTR_INDEX, 1);
    kc_put_bytes(out, KC_ATTR_ELEMENT, "sel", 3);
    peer_end(p);
    KC_CHECK_EQ(kc_channel_select(clauses, 2, 0, KC_NEVER, NULL, &index), KC_OK);
    KC_CHECK_EQ(index, 1);
    KC_CHECK_EQ(clauses[1].len_bytes, 3);
    KC_CHECK_MEM(buffer, "sel", 3);
    kc_put_u32(peer_reply(p, KC_CMD_SELECT, 4, KC_EPIPE), KC_ATTR_INDEX, 0);
    peer_end(p);
    KC_CHECK_EQ(kc_channel_select(clauses, 2, 0, KC_NEVER, NULL, &index), KC_EPIPE);
    KC_CHECK_EQ(index, 0);
    peer_hang_up(p);
    kc_channel_drop(one);
    kc_channel_drop(two);
    peer_close(p);
}

KC_TEST(what_tries_or_is_late_does_not_wait_for_a_full_socket)
{
    peer *p = open_remote();
    kc_channel *channel = remote_channel(p, 1, 1001, 16);
    kc_ipc_chan *other = peer_channel(p, 2, 1002);
    static uint8_t large[2 * PEER_ROOM];
    const kc_ipc_payload payload = {.bytes = large, .length = sizeof large};
    kc_ipc_op *op;
    uint8_t buffer[16];
    uint32_t length = 0;
    KC_REQUIRE(kc_ipc_send_begin(other, &payload, 1, NULL, &op) == KC_OK);
    KC_CHECK_EQ(kc_channel_try_send(channel, "ab", 2), KC_EAGAIN);
    KC_CHECK_EQ(kc_channel_try_recv(channel, buffer, sizeof buffer, &length), KC_EAGAIN);
    KC_CHECK_EQ(kc_channel_send(channel, "ab", 2, 1), KC_ETIME); /* the deadline has passed */
    KC_CHECK_EQ(kc_ipc_op_ended(op), 0);
    peer_hang_up(p);
    kc_ipc_op_free(op);
    kc_ipc_chan_free(other);
    kc_channel_drop(channel);
    peer_close(p);
}

/* --- coroutines --------------------------------------------------------------------------------------------------- */

typedef struct scene {
    peer *p;
    kc_channel *channel;
    kc_ipc_chan *chan;
    kc_cancel *cancel;
    int code;
} scene;

static void receive_cancelled(void *arg)
{
    scene *s = arg;
    uint8_t buffer[16];
    s->code = kc_channel_recv_c(s->channel, buffer, sizeof buffer, NULL, KC_NEVER, s->cancel);
}

static void *answer_the_cancel(void *arg)
{
    scene *s = arg;
    kc_frame_header header;
    kc_request request;
    KC_REQUIRE(peer_await(s->p, &header, &request));
    KC_CHECK_EQ(header.cmd, KC_CMD_CHAN_RECV);
    uint32_t id = request.req_id;
    KC_CHECK_EQ(kc_cancel_trigger(s->cancel, 0), KC_OK);
    KC_REQUIRE(peer_await(s->p, &header, &request));
    KC_CHECK_EQ(header.cmd, KC_CMD_CANCEL);
    KC_CHECK_EQ(request.req_id, id);
    peer_answer(s->p, KC_CMD_CHAN_RECV, id, KC_ECANCELED);
    return NULL;
}

KC_TEST(a_cancel_of_the_runtime_cancels_in_the_daemon)
{
    peer *p = open_remote();
    scene s = {.p = p, .channel = remote_channel(p, 1, 1001, 16)};
    pthread_t server;
    kc_sched *sched = NULL;
    const kc_sched_config config = {.workers = 1};
    KC_REQUIRE(kc_cancel_make(NULL, &s.cancel) == KC_OK);
    KC_REQUIRE(pthread_create(&server, NULL, answer_the_cancel, &s) == 0);
    KC_REQUIRE(kc_sched_make(&config, &sched) == KC_OK);
    KC_REQUIRE(kc_sched_spawn(sched, receive_cancelled, &s, NULL) == KC_OK);
    KC_CHECK_EQ(kc_sched_drain(sched, KC_NEVER), KC_OK);
    pthread_join(server, NULL);
    KC_CHECK_EQ(s.code, KC_ECANCELED);
    kc_sched_free(sched);
    kc_cancel_drop(s.cancel);
    peer_hang_up(p);
    kc_channel_drop(s.channel);
    peer_close(p);
}

static void receive_of_a_handle_cancelled(void *arg)
{
    scene *s = arg;
    kc_ipc_result result;
    s->code = kc_remote_recv(s->chan, NULL, s->cancel, &result);
    KC_CHECK_EQ(result.code, s->code);
    KC_CHECK_EQ(result.message_count, 0);
    kc_ipc_result_free(&result);
}

KC_TEST(a_handle_takes_a_cancel_too_and_with_one_that_is_set_asks_nothing)
{
    peer *p = open_remote();
    scene s = {.p = p, .chan = peer_channel(p, 1, 1001)};
    pthread_t server;
    kc_ipc_result result;
    kc_frame_header header;
    kc_request request;
    KC_REQUIRE(kc_cancel_make(NULL, &s.cancel) == KC_OK);
    KC_REQUIRE(pthread_create(&server, NULL, answer_the_cancel, &s) == 0);
    receive_of_a_handle_cancelled(&s);
    pthread_join(server, NULL);
    KC_CHECK_EQ(s.code, KC_ECANCELED);
    const kc_ipc_payload payload = {.bytes = "ab", .length = 2};
    const kc_ipc_clause clause = {.chan = s.chan};
    KC_CHECK_EQ(kc_remote_send(s.chan, &payload, NULL, s.cancel, &result), KC_ECANCELED);
    KC_CHECK_EQ(kc_remote_recv(s.chan, NULL, s.cancel, &result), KC_ECANCELED);
    KC_CHECK_EQ(kc_remote_select(p->ipc, &clause, 1, NULL, s.cancel, &result), KC_ECANCELED);
    KC_CHECK_EQ(result.index, UINT32_MAX);
    KC_CHECK(!peer_next(p, &header, &request));
    kc_cancel_drop(s.cancel);
    peer_hang_up(p);
    kc_ipc_chan_free(s.chan);
    peer_close(p);
}

KC_TEST(a_send_needs_no_result)
{
    peer *p = open_remote();
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    const kc_ipc_payload payload = {.bytes = "ab", .length = 2};
    kc_cancel *cancel = NULL;
    KC_REQUIRE(kc_cancel_make(NULL, &cancel) == KC_OK);
    peer_answer(p, KC_CMD_CHAN_SEND, 2, KC_EPIPE);
    KC_CHECK_EQ(kc_remote_send(chan, &payload, NULL, cancel, NULL), KC_EPIPE);
    KC_CHECK_EQ(kc_cancel_trigger(cancel, 0), KC_OK);
    KC_CHECK_EQ(kc_remote_send(chan, &payload, NULL, cancel, NULL), KC_ECANCELED);
    kc_cancel_drop(cancel);
    peer_hang_up(p);
    kc_ipc_chan_free(chan);
    peer_close(p);
}

KC_TEST(a_handle_sends_receives_and_selects_without_a_cancel)
{
    peer *p = open_remote();
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    const kc_ipc_payload payload = {.bytes = "ab", .length = 2};
    const kc_ipc_clause clause = {.chan = chan};
    const kc_ipc_wish soon = {.timeout_ms = 3};
    kc_ipc_result result;
    peer_answer(p, KC_CMD_CHAN_SEND, 2, KC_EPIPE);
    KC_CHECK_EQ(kc_remote_send(chan, &payload, NULL, NULL, &result), KC_EPIPE);
    kc_ipc_result_free(&result);
    kc_put_bytes(peer_reply(p, KC_CMD_CHAN_RECV, 3, KC_OK), KC_ATTR_ELEMENT, "xyz", 3);
    peer_end(p);
    KC_CHECK_EQ(kc_remote_recv(chan, &soon, NULL, &result), KC_OK);
    KC_CHECK_EQ(result.message_count, 1);
    KC_CHECK_MEM(result.messages[0].bytes, "xyz", 3);
    kc_ipc_result_free(&result);
    kc_put_u32(peer_reply(p, KC_CMD_SELECT, 4, KC_EPIPE), KC_ATTR_INDEX, 0);
    peer_end(p);
    KC_CHECK_EQ(kc_remote_select(p->ipc, &clause, 1, NULL, NULL, &result), KC_EPIPE);
    KC_CHECK_EQ(result.index, 0);
    kc_ipc_result_free(&result);
    KC_CHECK_EQ(kc_remote_select(p->ipc, &clause, 0, NULL, NULL, &result), KC_EINVAL);
    KC_CHECK_EQ(result.code, KC_EINVAL);
    peer_hang_up(p);
    kc_ipc_chan_free(chan);
    peer_close(p);
}

/* --- in doubt ----------------------------------------------------------------------------------------------------- */

static void *take_one_and_hang_up(void *arg)
{
    peer *p = arg;
    kc_frame_header header;
    kc_request request;
    KC_CHECK(peer_await(p, &header, &request));
    peer_hang_up(p);
    return NULL;
}

enum { ASK_SEND, ASK_RECV, ASK_SELECT };

static int ask(kc_channel *channel, int what)
{
    uint8_t buffer[16];
    uint32_t index = 9;
    kc_channel_clause clause = {.channel = channel, .dir = KC_CLAUSE_SEND, .data = "s", .len_bytes = 1};
    return what == ASK_SEND   ? kc_channel_send(channel, "ab", 2, KC_NEVER)
           : what == ASK_RECV ? kc_channel_recv(channel, buffer, sizeof buffer, NULL, KC_NEVER)
                              : kc_channel_select(&clause, 1, 0, KC_NEVER, NULL, &index);
}

KC_TEST(what_the_daemon_may_have_done_is_told_from_what_never_left)
{
    for (int what = ASK_SEND; what <= ASK_SELECT; what++) {
        peer *p = open_remote();
        kc_channel *channel = remote_channel(p, 1, 1001, 16);
        pthread_t server;
        KC_REQUIRE(pthread_create(&server, NULL, take_one_and_hang_up, p) == 0);
        KC_CHECK_EQ(ask(channel, what), KC_EINPROGRESS);
        pthread_join(server, NULL);
        KC_CHECK_EQ(ask(channel, what), KC_ECONNRESET);
        kc_channel_drop(channel);
        peer_close(p);
    }
}

KC_TEST(a_channel_whose_elements_have_no_bound_is_refused)
{
    peer *p = open_remote();
    kc_ipc_chan *chan = peer_channel(p, 1, 1001); /* 16 MiB */
    kc_channel *channel;
    KC_CHECK_EQ(kc_remote_channel(p->ipc, chan, &channel), KC_EINVAL);
    KC_CHECK(channel == NULL);
    peer_free_channel(p, chan, 2);
    peer_close(p);
}

int main(void)
{
    KC_RUN(bytes_go_and_come_with_the_deadline_of_the_caller);
    KC_RUN(a_deadline_that_no_number_of_milliseconds_tells_is_never_early_or_long_past);
    KC_RUN(a_select_is_one_request_and_says_which_clause);
    KC_RUN(what_tries_or_is_late_does_not_wait_for_a_full_socket);
    KC_RUN(a_cancel_of_the_runtime_cancels_in_the_daemon);
    KC_RUN(a_handle_takes_a_cancel_too_and_with_one_that_is_set_asks_nothing);
    KC_RUN(a_send_needs_no_result);
    KC_RUN(a_handle_sends_receives_and_selects_without_a_cancel);
    KC_RUN(what_the_daemon_may_have_done_is_told_from_what_never_left);
    KC_RUN(a_channel_whose_elements_have_no_bound_is_refused);
    return kc_test_report();
}
