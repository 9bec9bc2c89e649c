/* test_pump_sender.c: what a message says beside its bytes: who sent it, and how long it may wait. */
#include "kc_ipc_fixture.h"

static rig r;

/* Channel 1001 of this kind; connection 0 receives, connection 1 is pid 41 of uid 1000, connection 2 pid 42 of it. */
static void begin(const kc_chan_config *config)
{
    rig_make(&r, NULL, NULL);
    KC_REQUIRE(kc_account_name(r.engine, r.account, 1000) == KC_OK);
    (void)rig_channel(&r, config);
    for (uint32_t i = 0; i < 3; i++) {
        KC_REQUIRE(kc_conn_name(r.pump, r.conns[rig_open(&r, 1)], 40 + i) == KC_OK);
    }
}

KC_TEST(a_receive_that_asks_is_told_who_sent_and_others_are_not)
{
    begin(&(kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 8});
    rig_say(&r, 1, "SEND r1 c1001 e:a e:b");
    rig_say(&r, 2, "SEND r1 c1001 e:c");
    rig_say(&r, 0, "RECV r1 c1001; RECV r2 c1001 f2; RECV r3 c1001 f2");
    KC_CHECK_STR(rig_hear(&r, 0), "RECV r1 =0 e:a; RECV r2 =0 ( e:b x0 u1000 p41 ); RECV r3 =0 ( e:c x0 u1000 p42 )");
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_DEPTH), 0); /* plain: done when the bytes were taken */
    rig_free(&r);
}

KC_TEST(deliveries_batches_and_parked_receives_are_told_too)
{
    begin(&(kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 8});
    rig_say(&r, 0, "RECV r1 c1001 t-1 f3");
    rig_say(&r, 1, "SEND r1 c1001 e:a e:b");
    rig_say(&r, 2, "SEND r1 c1001 e:c e:d");
    KC_CHECK_STR(rig_hear(&r, 0), "RECV r1 =0 ( e:a #0 x0 u1000 p41 )");
    rig_say(&r, 0, "RECV r2 c1001 n2 f3; NACK r3 #0; RECV r4 c1001 f3 n9; RECV r5 c1001 t-1 f2 n4");
    KC_CHECK_STR(rig_hear(&r, 0), "RECV r2 =0 ( e:b #1 x0 u1000 p41 ) ( e:c #2 x0 u1000 p42 ); NACK r3 =0 k1; "
                                  "RECV r4 =0 ( e:a #3 x1 u1000 p41 ) ( e:d #4 x0 u1000 p42 )");
    rig_say(&r, 2, "SEND r2 c1001 e:e");
    KC_CHECK_STR(rig_hear(&r, 0), "RECV r5 =0 ( e:e x0 u1000 p42 )");
    rig_free(&r);
}

KC_TEST(the_sender_is_told_after_its_end)
{
    begin(&(kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 8});
    rig_say(&r, 1, "SEND r1 c1001 e:a");
    KC_CHECK_EQ(kc_conn_vanish(r.pump, r.conns[1]), KC_OK);
    rig_say(&r, 0, "RECV r1 c1001 f3");
    KC_CHECK_STR(rig_hear(&r, 0), "RECV r1 =0 ( e:a #0 x0 u1000 p41 )");
    rig_free(&r);
}

KC_TEST(a_select_tells_it_where_the_winning_clause_asked)
{
    begin(&(kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 8});
    (void)rig_kind(&r, KC_KIND_RENDEZVOUS, 0);
    rig_say(&r, 0, "SELECT r1 t-1 (c1001 f2) (c1002)");
    rig_say(&r, 1, "SEND r1 c1002 e:a");
    rig_say(&r, 0, "SELECT r2 t-1 (c1001 f3) (c1002 f2)");
    rig_say(&r, 1, "SEND r2 c1001 e:b");
    rig_say(&r, 1, "SEND r3 c1002 t-1 e:c");
    rig_say(&r, 0, "SELECT r3 t-1 (c1001) (c1002 f2)");
    KC_CHECK_STR(rig_hear(&r, 0), "SELECT r1 =0 i1 e:a; SELECT r2 =0 i0 ( e:b #0 x0 u1000 p41 ); "
                                  "SELECT r3 =0 i1 ( e:c x0 u1000 p41 )");
    rig_free(&r);
}

KC_TEST(a_reply_with_senders_keeps_to_the_peers_frame_limit)
{
    begin(&(kc_chan_config){.kind = KC_KIND_UNLIMITED});
    KC_REQUIRE(kc_conn_speak(r.pump, r.conns[0], 1, 300) == KC_OK);
    rig_say(&r, 1, "SEND r1 c1001 E:100 E:100 E:100 E:100 E:300");
    rig_say(&r, 0, "RECV r1 c1001 n9 f2; RECV r2 c1001 n9 f2; RECV r3 c1001 f2");
    KC_CHECK_STR(rig_hear(&r, 0), "RECV r1 =0 ( E:100 x0 u1000 p41 ) ( E:100 x0 u1000 p41 ); "
                                  "RECV r2 =0 ( E:100 x0 u1000 p41 ) ( E:100 x0 u1000 p41 ); RECV r3 =-90");
    rig_free(&r);
}

KC_TEST(a_send_says_how_long_its_messages_may_wait)
{
    begin(&(kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 3});
    rig_say(&r, 1, "SEND r1 c1001 l5 e:a; SEND r2 c1001 l9 e:b e:c; SEND r3 c1001 t-1 l7 e:d e:e");
    KC_CHECK_STR(rig_hear(&r, 1), "SEND r1 =0; SEND r2 =0 k2 d0");
    rig_tick_ms(&r, 4);
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_READY), 3);
    rig_tick_ms(&r, 1); /* a goes, d comes in */
    rig_tick_ms(&r, 2); /* d goes; e was offered, and its time is over as well */
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_EXPIRED), 2);
    KC_CHECK_STR(rig_hear(&r, 1), "SEND r3 =0 k1 d0");
    rig_say(&r, 0, "RECV r1 c1001 n9");
    KC_CHECK_STR(rig_hear(&r, 0), "RECV r1 =0 e:b e:c");
    rig_free(&r);
}

KC_TEST(a_send_for_which_nobody_came_in_its_messages_time_was_not_sent)
{
    begin(&(kc_chan_config){.kind = KC_KIND_RENDEZVOUS});
    rig_say(&r, 1, "SEND r1 c1001 t-1 l5 e:a");
    rig_tick_ms(&r, 5);
    KC_CHECK_STR(rig_hear(&r, 1), "SEND r1 =-62");
    rig_say(&r, 0, "RECV r1 c1001");
    KC_CHECK_STR(rig_hear(&r, 0), "RECV r1 =-11");
    rig_free(&r);
}

KC_TEST(who_waits_for_the_ack_of_an_expired_message_hears_why)
{
    begin(&(kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 3});
    rig_say(&r, 1, "SEND r1 c1001 t-1 f1 l5 e:a");
    rig_tick_ms(&r, 5);
    KC_CHECK_STR(rig_hear(&r, 1), "SEND r1 =-125 f1 w:expired");
    rig_free(&r);
}

KC_TEST(the_answer_to_an_ack_in_time_is_not_hurried_by_the_messages_end)
{
    begin(&(kc_chan_config){.kind = KC_KIND_RENDEZVOUS});
    rig_say(&r, 0, "RECV r1 c1001 t-1 f1");
    rig_say(&r, 1, "SEND r1 c1001 t-1 f1 l5 e:a");
    KC_CHECK_STR(rig_hear(&r, 0), "RECV r1 =0 ( e:a #0 x0 )");
    rig_tick_ms(&r, 50);
    KC_CHECK_STR(rig_hear(&r, 1), "");
    rig_say(&r, 0, "ACK #0");
    KC_CHECK_STR(rig_hear(&r, 1), "SEND r1 =0");
    rig_free(&r);
}

int main(void)
{
    KC_RUN(a_receive_that_asks_is_told_who_sent_and_others_are_not);
    KC_RUN(deliveries_batches_and_parked_receives_are_told_too);
    KC_RUN(the_sender_is_told_after_its_end);
    KC_RUN(a_select_tells_it_where_the_winning_clause_asked);
    KC_RUN(a_reply_with_senders_keeps_to_the_peers_frame_limit);
    KC_RUN(a_send_says_how_long_its_messages_may_wait);
    KC_RUN(a_send_for_which_nobody_came_in_its_messages_time_was_not_sent);
    KC_RUN(who_waits_for_the_ack_of_an_expired_message_hears_why);
    KC_RUN(the_answer_to_an_ack_in_time_is_not_hurried_by_the_messages_end);
    return kc_test_report();
}
