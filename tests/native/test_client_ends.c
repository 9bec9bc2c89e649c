/* How connections end, or never begin: which operations are then in doubt, and what the caller is told. */
#include <stdbool.h>

#include "kc_client_peer.h"

KC_TEST(a_lost_connection_says_which_operations_are_in_doubt)
{
    peer *p = peer_open(64);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    kc_ipc_op *left, *leaving, *waiting;
    kc_ipc_result result;
    KC_REQUIRE(kc_ipc_recv_begin(chan, 1, NULL, &left) == KC_OK);
    peer_expect(p, KC_CMD_CHAN_RECV);
    KC_REQUIRE(kc_ipc_send_begin(chan, &peer_large, 1, NULL, &leaving) == KC_OK);
    KC_REQUIRE(kc_ipc_send_begin(chan, &peer_ab, 1, NULL, &waiting) == KC_OK);
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

KC_TEST(the_last_words_of_the_daemon_are_told_in_words)
{
    peer *p = peer_open(PEER_ROOM);
    char why[256];
    KC_CHECK_EQ(kc_ipc_why(p->ipc, why), KC_OK);
    KC_CHECK_STR(why, "");
    kc_put_bytes(peer_begin(p, KC_CMD_PING, 0), KC_ATTR_REASON, "too many", 8);
    kc_put_i32(&p->writer, KC_ATTR_RESULT, KC_EDQUOT);
    peer_end(p);
    KC_CHECK_EQ(kc_ipc_ping(p->ipc), KC_EDQUOT);
    KC_CHECK_EQ(kc_ipc_why(p->ipc, why), KC_EDQUOT);
    KC_CHECK_STR(why, "too many");
    peer_close(p);
}

KC_TEST(a_daemon_of_another_version_is_refused)
{
    kc_ipc_config config;
    peer *p = peer_make(PEER_ROOM, &config);
    peer_hello(p, 0, 0);
    KC_CHECK_EQ(kc_ipc_connect(&config, &p->ipc), KC_EPROTONOSUPPORT);
    KC_CHECK(p->ipc == NULL);
    peer_close(p);
}

KC_TEST(a_refusal_at_the_door_is_told)
{
    kc_ipc_config config;
    peer *p = peer_make(PEER_ROOM, &config);
    kc_put_i32(peer_begin(p, KC_CMD_HELLO, 0), KC_ATTR_RESULT, KC_EDQUOT);
    peer_end(p);
    peer_hang_up(p);
    KC_CHECK_EQ(kc_ipc_connect(&config, &p->ipc), KC_EDQUOT);
    peer_close(p);
}

KC_TEST(a_daemon_that_says_nothing_is_none)
{
    kc_ipc_config config;
    peer *p = peer_make(PEER_ROOM, &config);
    config.connect_timeout_ms = 5;
    KC_CHECK_EQ(kc_ipc_connect(&config, &p->ipc), KC_ECONNRESET);
    peer_close(p);
}

/* The last of the two holds the last reference to the connection, of which it takes the lock. */
static void free_after_the_end(bool handle_last)
{
    peer *p = peer_open(PEER_ROOM);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    kc_ipc_op *op;
    KC_REQUIRE(kc_ipc_recv_begin(chan, 1, NULL, &op) == KC_OK);
    kc_ipc_disconnect(p->ipc);
    p->ipc = NULL;
    if (handle_last) {
        kc_ipc_op_free(op);
        kc_ipc_chan_free(chan);
    } else {
        kc_ipc_chan_free(chan);
        kc_ipc_op_free(op);
    }
    peer_close(p);
}

KC_TEST(a_handle_or_an_operation_may_be_the_last_of_its_connection)
{
    free_after_the_end(true);
    free_after_the_end(false);
}

int main(void)
{
    KC_RUN(a_lost_connection_says_which_operations_are_in_doubt);
    KC_RUN(the_last_words_of_the_daemon_are_the_code_of_the_end);
    KC_RUN(the_last_words_of_the_daemon_are_told_in_words);
    KC_RUN(a_daemon_of_another_version_is_refused);
    KC_RUN(a_refusal_at_the_door_is_told);
    KC_RUN(a_daemon_that_says_nothing_is_none);
    KC_RUN(a_handle_or_an_operation_may_be_the_last_of_its_connection);
    return kc_test_report();
}
