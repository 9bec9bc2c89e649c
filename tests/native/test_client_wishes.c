/* What a call does not know it refuses: what is ignored today could not mean anything tomorrow. */
#include "kc_client_peer.h"

enum { UNKNOWN = 1 << 20 };

static const kc_ipc_payload text = {.bytes = "ab", .length = 2};

static void check_send(kc_ipc_chan *chan, kc_ipc_wish wish)
{
    kc_ipc_op *op;
    KC_CHECK_EQ(kc_ipc_send_begin(chan, &text, 1, &wish, &op), KC_EINVAL);
    KC_CHECK_EQ(kc_ipc_send(chan, "ab", 2, &wish), KC_EINVAL);
}

static void check_receive(kc_ipc_chan *chan, kc_ipc_wish wish)
{
    kc_ipc_op *op;
    kc_ipc_message message;
    KC_CHECK_EQ(kc_ipc_recv_begin(chan, 1, &wish, &op), KC_EINVAL);
    KC_CHECK_EQ(kc_ipc_recv(chan, &message, &wish), KC_EINVAL);
}

static void check_select(peer *p, kc_ipc_clause clause, kc_ipc_wish wish)
{
    kc_ipc_result result;
    KC_CHECK_EQ(kc_ipc_select(p->ipc, &clause, 1, &wish, &result), KC_EINVAL);
    kc_ipc_result_free(&result);
}

static void end(peer *p, kc_ipc_chan *chan)
{
    peer_expect_nothing(p);
    peer_free_channel(p, chan, 2); /* no request was made */
    peer_close(p);
}

KC_TEST(a_send_knows_confirm_and_a_time_to_live)
{
    peer *p = peer_open(PEER_ROOM);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    const uint32_t others[] = {KC_IPC_ACK, KC_IPC_SENDER, KC_IPC_BIASED, KC_IPC_CONFIRM | UNKNOWN};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        check_send(chan, (kc_ipc_wish){.flags = others[i]});
    }
    check_send(chan, (kc_ipc_wish){.spare = 1});
    end(p, chan);
}

KC_TEST(a_receive_knows_ack_and_sender)
{
    peer *p = peer_open(PEER_ROOM);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    const uint32_t others[] = {KC_IPC_CONFIRM, KC_IPC_BIASED, KC_IPC_ACK | UNKNOWN};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        check_receive(chan, (kc_ipc_wish){.flags = others[i]});
    }
    check_receive(chan, (kc_ipc_wish){.ttl_ms = 1});
    check_receive(chan, (kc_ipc_wish){.spare = 1});
    end(p, chan);
}

KC_TEST(a_select_knows_biased_and_its_receives_ack_and_sender)
{
    peer *p = peer_open(PEER_ROOM);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    const kc_ipc_clause sends = {.chan = chan, .payload = &text}, receives = {.chan = chan};
    const uint32_t others[] = {KC_IPC_CONFIRM, KC_IPC_ACK, KC_IPC_SENDER, KC_IPC_BIASED | UNKNOWN};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        check_select(p, sends, (kc_ipc_wish){.flags = others[i]});
        check_select(p, receives, (kc_ipc_wish){.flags = others[i]});
    }
    check_select(p, sends, (kc_ipc_wish){.ttl_ms = 1});
    check_select(p, sends, (kc_ipc_wish){.spare = 1});
    const kc_ipc_wish biased = {.flags = KC_IPC_BIASED};
    check_select(p, (kc_ipc_clause){.chan = chan, .payload = &text, .flags = KC_IPC_ACK}, biased);
    check_select(p, (kc_ipc_clause){.chan = chan, .flags = KC_IPC_CONFIRM}, biased);
    check_select(p, (kc_ipc_clause){.chan = chan, .flags = UNKNOWN}, biased);
    check_select(p, (kc_ipc_clause){.chan = chan, .spare = 1}, biased);
    end(p, chan);
}

KC_TEST(fields_that_mean_nothing_yet_are_zero)
{
    peer *p = peer_open(PEER_ROOM);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001), *made;
    kc_ipc_op *op;
    const kc_ipc_payload odd = {.bytes = "ab", .length = 2, .spare = 1};
    KC_CHECK_EQ(kc_ipc_send_begin(chan, &odd, 1, NULL, &op), KC_EINVAL);
    KC_CHECK_EQ(kc_ipc_make(p->ipc, "a", &(kc_ipc_chan_config){.spare = 1}, &made), KC_EINVAL);
    KC_CHECK_EQ(kc_ipc_make(p->ipc, "a", &(kc_ipc_chan_config){.spares = {0, 1}}, &made), KC_EINVAL);
    KC_CHECK_EQ(kc_ipc_make(p->ipc, "a", &(kc_ipc_chan_config){.given = UNKNOWN}, &made), KC_EINVAL);
    end(p, chan);
}

KC_TEST(rights_that_are_none_open_nothing)
{
    peer *p = peer_open(PEER_ROOM);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001), *opened = chan;
    KC_CHECK_EQ(kc_ipc_open(p->ipc, "a", UNKNOWN, 0, &opened), KC_EINVAL);
    KC_CHECK(opened == NULL);
    KC_CHECK_EQ(kc_ipc_open(p->ipc, "a", KC_FLAG_CHAN_READ | KC_FLAG_CHAN_FIXED_SIZE, -1, &opened), KC_EINVAL);
    KC_CHECK_EQ(kc_ipc_open_id(p->ipc, 1001, KC_FLAG_CHAN_WRITE | UNKNOWN, &opened), KC_EINVAL);
    end(p, chan);
}

KC_TEST(a_configuration_of_a_newer_library_is_refused_and_its_link_closed)
{
    for (int i = 0; i < 3; i++) {
        kc_ipc_config config;
        kc_ipc *ipc;
        kc_frame_header header;
        kc_request request;
        peer *p = peer_make(PEER_ROOM, &config);
        config.spare[i] = 1;
        KC_CHECK_EQ(kc_ipc_connect(&config, &ipc), KC_EINVAL);
        KC_CHECK(!peer_next(p, &header, &request));
        KC_CHECK(p->ended);
        peer_close(p);
    }
}

int main(void)
{
    KC_RUN(a_send_knows_confirm_and_a_time_to_live);
    KC_RUN(a_receive_knows_ack_and_sender);
    KC_RUN(a_select_knows_biased_and_its_receives_ack_and_sender);
    KC_RUN(fields_that_mean_nothing_yet_are_zero);
    KC_RUN(rights_that_are_none_open_nothing);
    KC_RUN(a_configuration_of_a_newer_library_is_refused_and_its_link_closed);
    return kc_test_report();
}
