/* test_turn_packets.c: the turn over SEQPACKET: frames in packets, empty packets. */
#include "kc_turn_fixture.h"

static ssize_t packet(int i, const char *expected_words)
{
    ssize_t n = recv(peers[i], r.out, RIG_FRAME_BYTES, MSG_DONTWAIT);
    if (expected_words != NULL && n > 0) {
        KC_CHECK_STR(rig_render(&r, r.minors[i], r.out, (size_t)n), expected_words);
    }
    return n;
}

KC_TEST(on_seqpacket_a_frame_of_1_1_is_one_packet)
{
    begin(NULL, KC_TRANSPORT_SEQPACKET);
    say(0, "PING r1; SEND r2 c1001 E:100000; RECV r3 c1001");
    turn_until_quiet();
    KC_CHECK_EQ(packet(0, "PING r1 =0"), 24);
    KC_CHECK_EQ(packet(0, "SEND r2 =0"), 24);
    KC_CHECK_EQ(packet(0, "RECV r3 =0 E:100000"), 24 + 8 + 100000);
    KC_CHECK_EQ(packet(0, NULL), -1);
    finish();
}

KC_TEST(on_seqpacket_a_frame_of_1_0_is_header_and_payload)
{
    begin(NULL, KC_TRANSPORT_SEQPACKET);
    (void)rig_channel(&r, &(kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 1, .elem_size = 4,
                                            .flags = KC_CHAN_FIXED_SIZE});
    int i = join(0, KC_TRANSPORT_SEQPACKET);
    rig_build(&r, 0, "SEND r1 c1003 e:abcd; RECV r2 c1003");
    KC_CHECK_EQ(send(peers[i], r.frame, 8, 0), 8); /* as the old client writes: header, then payload */
    KC_CHECK_EQ(send(peers[i], r.frame + 8, 32, 0), 32);
    KC_CHECK_EQ(send(peers[i], r.frame + 40, r.frame_bytes - 40, 0), r.frame_bytes - 40);
    turn_until_quiet();
    KC_CHECK_EQ(packet(i, NULL), 8);
    KC_CHECK_EQ(packet(i, NULL), 16);
    KC_CHECK_EQ(packet(i, NULL), 8);
    KC_CHECK_EQ(kc_load_u32(r.out + 4), 24);
    KC_CHECK_EQ(packet(i, NULL), 24);
    KC_CHECK_EQ(packet(i, NULL), -1);
    finish();
}

KC_TEST(a_message_too_large_for_a_packet_is_emsgsize_and_stays_in_its_place)
{
    begin(NULL, KC_TRANSPORT_SEQPACKET);
    int i = join(1, KC_TRANSPORT_STREAM);
    say(i, "SEND r1 c1001 E:200000; SEND r2 c1001 e:b");
    say(0, "RECV r1 c1001; RECV r2 c1001 f1 n9; SELECT r3 (c1001); PING r4");
    KC_CHECK_STR(hear(0), "RECV r1 =-90; RECV r2 =-90; SELECT r3 =-90 i0; PING r4 =0");
    say(i, "RECV r3 c1001 f1; RECV r4 c1001 f1");
    KC_CHECK_STR(hear(i), "SEND r1 =0; SEND r2 =0; RECV r3 =0 ( E:200000 #0 x0 ); RECV r4 =0 ( e:b #1 x0 )");
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_UNDELIVERED_REQUEUED), 0);
    finish();
}

KC_TEST(a_frame_over_the_packet_limit_is_emsgsize_and_the_end)
{
    begin(NULL, KC_TRANSPORT_SEQPACKET);
    static const uint8_t header[8] = {0, 11, 0, 0, 0, 2, 0, 1};
    KC_CHECK_EQ(send(peers[0], header, 8, 0), 8);
    KC_CHECK_STR(hear(0), "SEND =-90");
    KC_CHECK_EQ(closed_code(), KC_EMSGSIZE);
    finish();
}

KC_TEST(an_empty_packet_is_no_end_of_input)
{
    begin(NULL, KC_TRANSPORT_SEQPACKET);
    KC_CHECK_EQ(send(peers[0], "", 0, 0), 0);
    turn_until_quiet();
    say(0, "PING r1");
    KC_CHECK_STR(hear(0), "PING r1 =0");
    finish();
}

KC_TEST(frames_behind_an_empty_packet_are_served_although_the_peer_has_stopped_writing)
{
    for (int empty = 1; empty < 4; empty++) {
        begin(NULL, KC_TRANSPORT_SEQPACKET);
        for (int i = 0; i < empty; i++) {
            KC_CHECK_EQ(send(peers[0], "", 0, 0), 0);
        }
        rig_build(&r, 1, "PING r1");
        KC_CHECK_EQ(send(peers[0], r.frame, r.frame_bytes, 0), r.frame_bytes);
        KC_CHECK_EQ(send(peers[0], "", 0, 0), 0);
        KC_CHECK_EQ(shutdown(peers[0], SHUT_WR), 0);
        KC_CHECK_STR(hear(0), "PING r1 =0");
        KC_CHECK_EQ(closed_code(), KC_OK);
        finish();
    }
}

int main(void)
{
    KC_RUN(on_seqpacket_a_frame_of_1_1_is_one_packet);
    KC_RUN(on_seqpacket_a_frame_of_1_0_is_header_and_payload);
    KC_RUN(a_message_too_large_for_a_packet_is_emsgsize_and_stays_in_its_place);
    KC_RUN(a_frame_over_the_packet_limit_is_emsgsize_and_the_end);
    KC_RUN(an_empty_packet_is_no_end_of_input);
    KC_RUN(frames_behind_an_empty_packet_are_served_although_the_peer_has_stopped_writing);
    return kc_test_report();
}
