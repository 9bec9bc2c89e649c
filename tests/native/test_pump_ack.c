/* test_pump_ack.c: acknowledged receives, complete="ack", select. */
#include "kc_ipc_fixture.h"

static rig r;

static void open_two(const kc_chan_config *config)
{
    rig_make(&r, NULL, NULL);
    (void)rig_channel(&r, config);
    (void)rig_open(&r, 1);
    (void)rig_open(&r, 1);
}

static const kc_chan_config buffered = {.kind = KC_KIND_BUFFERED, .capacity = 8};
static const kc_chan_config rendezvous = {.kind = KC_KIND_RENDEZVOUS};

KC_TEST(an_acknowledged_receive_answers_items_and_holds_until_ack)
{
    open_two(&buffered);
    rig_say(&r, 0, "SEND r1 c1001 e:a e:b e:c");
    rig_say(&r, 1, "RECV r1 c1001 f1; RECV r2 c1001 f1 n9");
    KC_CHECK_STR(rig_hear(&r, 1), "RECV r1 =0 ( e:a #0 x0 ); RECV r2 =0 ( e:b #1 x0 ) ( e:c #2 x0 )");
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_HELD), 3);
    rig_say(&r, 1, "ACK r3 #0 #1; ACK r4 #0 #1; ACK #2");
    KC_CHECK_STR(rig_hear(&r, 1), "ACK r3 =0 k2; ACK r4 =-2 k0");
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_HELD), 0);
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_ACKS), 3);
    rig_free(&r);
}

KC_TEST(nack_puts_it_back_in_its_place_and_says_redelivered)
{
    open_two(&buffered);
    rig_say(&r, 0, "SEND r1 c1001 e:a e:b");
    rig_say(&r, 1, "RECV r1 c1001 f1");
    KC_CHECK_STR(rig_hear(&r, 1), "RECV r1 =0 ( e:a #0 x0 )");
    rig_say(&r, 1, "NACK r2 #0; RECV r3 c1001 f1 n2");
    KC_CHECK_STR(rig_hear(&r, 1), "NACK r2 =0 k1; RECV r3 =0 ( e:a #1 x1 ) ( e:b #2 x0 )");
    rig_free(&r);
}

KC_TEST(delivery_ids_in_a_receive_are_acks_before_it_starts)
{
    rig_make(&r, NULL, NULL);
    (void)rig_channel(&r, &(kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 2, .max_bytes = 1});
    (void)rig_open(&r, 1);
    (void)rig_open(&r, 1);
    rig_say(&r, 0, "SEND r1 c1001 e:a; SEND r2 c1001 t-1 e:b");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r1 =0");
    rig_say(&r, 1, "RECV r1 c1001 f1; RECV r2 c1001 f1");
    KC_CHECK_STR(rig_hear(&r, 1), "RECV r1 =0 ( e:a #0 x0 ); RECV r2 =-11");
    rig_say(&r, 1, "RECV r3 c1001 f1 #0");
    KC_CHECK_STR(rig_hear(&r, 1), "RECV r3 =0 ( e:b #1 x0 )");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r2 =0");
    rig_say(&r, 1, "SELECT r4 t0 #1 (c1001 f1)");
    KC_CHECK_STR(rig_hear(&r, 1), "SELECT r4 =-11");
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_HELD), 0);
    rig_free(&r);
}

KC_TEST(delivery_ids_in_a_refused_receive_are_acks_all_the_same)
{
    open_two(&buffered);
    rig_say(&r, 0, "SEND r1 c1001 e:a e:b e:c e:d e:e e:f");
    rig_say(&r, 1, "RECV r1 c1001 f1 n6");
    (void)rig_hear(&r, 1);
    rig_say(&r, 1, "RECV r2 c77 #0; RECV r3 #1; RECV r4 c1001 f8 #2; RECV r5 c1001 n0 #3; SELECT r6 #4; "
                   "SELECT r7 f8 #5 (c1001)");
    KC_CHECK_STR(rig_hear(&r, 1), "RECV r2 =-9; RECV r3 =-22; RECV r4 =-22; RECV r5 =-22; SELECT r6 =-22; "
                                  "SELECT r7 =-22");
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_ACKS), 6);
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_HELD), 0);
    rig_free(&r);
}

KC_TEST(foreign_stale_and_forged_deliveries_are_skipped)
{
    open_two(&buffered);
    rig_say(&r, 0, "SEND r1 c1001 e:a e:b");
    (void)rig_hear(&r, 0);
    rig_say(&r, 1, "RECV r1 c1001 f1; RECV r2 c1001");
    rig_say(&r, 0, "ACK r2 #200; NACK r3 #201");
    KC_CHECK_STR(rig_hear(&r, 0), "ACK r2 =-2 k0; NACK r3 =-2 k0");
    KC_CHECK_STR(rig_hear(&r, 1), "RECV r1 =0 ( e:a #0 x0 ); RECV r2 =0 e:b");
    rig_say(&r, 0, "NACK r4 #0; ACK r5 #0");
    KC_CHECK_STR(rig_hear(&r, 0), "NACK r4 =-2 k0; ACK r5 =-2 k0");
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_HELD), 1);
    rig_free(&r);
}

KC_TEST(a_plain_receive_cannot_be_given_back_by_a_guessed_number)
{
    open_two(&buffered);
    rig_say(&r, 0, "SEND r1 c1001 e:a");
    rig_say(&r, 1, "RECV r1 c1001");
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_HELD), 1);
    for (uint64_t index = 1; index <= 8; index++) { /* generations begin at 1 */
        r.deliveries[0] = (UINT64_C(1) << 32) | index;
        r.delivery_count = 1;
        rig_say(&r, 1, "NACK #0");
    }
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_HELD), 1);
    KC_CHECK_STR(rig_hear(&r, 1), "RECV r1 =0 e:a");
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_HELD), 0);
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_TOTAL_RECVS), 1);
    rig_free(&r);
}

KC_TEST(a_plain_message_is_held_until_its_reply_was_taken)
{
    open_two(&buffered);
    rig_say(&r, 0, "SEND r1 c1001 e:a e:b");
    rig_say(&r, 1, "RECV r1 c1001; RECV r2 c1001");
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_HELD), 2);
    uint8_t bytes[64];
    KC_CHECK_EQ(kc_conn_fetch(r.pump, r.conns[1], bytes, 28), 28);
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_HELD), 2);
    KC_CHECK_EQ(kc_conn_fetch(r.pump, r.conns[1], bytes, 1), 1);
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_HELD), 1);
    KC_CHECK_EQ(kc_conn_fetch(r.pump, r.conns[1], bytes, 28), 28);
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_HELD), 1);
    KC_CHECK_EQ(kc_conn_close(r.pump, r.conns[1], 0), KC_OK);
    rig_run(&r);
    KC_CHECK_EQ(kc_conn_fetch(r.pump, r.conns[1], bytes, 1), 1);
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_HELD), 0);
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_TOTAL_RECVS), 2);
    rig_free(&r);
}

KC_TEST(unread_plain_replies_of_a_dead_connection_are_undelivered)
{
    open_two(&buffered);
    rig_say(&r, 0, "SEND r1 c1001 e:a e:b");
    rig_say(&r, 1, "RECV r1 c1001; RECV r2 c1001 f1");
    KC_CHECK_EQ(kc_conn_close(r.pump, r.conns[1], KC_ECONNRESET), KC_OK);
    kc_pump_free(r.pump); /* takes the connection with it, unread */
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_HELD), 0);
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_READY), 2);
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_UNDELIVERED_REQUEUED), 2);
    KC_REQUIRE(kc_pump_make(r.engine, NULL, &r.pump) == KC_OK);
    r.conn_count = 0;
    int again = rig_open(&r, 1);
    rig_say(&r, again, "RECV r1 c1001 f1 n9");
    KC_CHECK_STR(rig_hear(&r, again), "RECV r1 =0 ( e:a #0 x1 ) ( e:b #1 x1 )");
    rig_free(&r);
}

KC_TEST(an_acked_message_of_a_dead_connection_is_redelivered)
{
    open_two(&rendezvous);
    rig_say(&r, 0, "SEND r1 c1001 t-1 e:a");
    rig_say(&r, 1, "RECV r1 c1001 f1");
    KC_CHECK_STR(rig_hear(&r, 1), "RECV r1 =0 ( e:a #0 x0 )");
    KC_CHECK_EQ(rig_feed(&r, 1, r.frame, 0, 1), KC_OK);
    KC_CHECK_EQ(rig_closed(&r), KC_OK);
    rig_say(&r, 0, "RECV r2 c1001 f1");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r1 =0; RECV r2 =0 ( e:a #1 x1 )");
    rig_free(&r);
}

KC_TEST(a_channel_that_demands_acks_refuses_a_plain_receive)
{
    open_two(&(kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 1, .flags = KC_CHAN_ACK_REQUIRED});
    rig_say(&r, 0, "RECV r1 c1001 t-1; RECV r2 c1001 f1; SELECT r3 (c1001)");
    KC_CHECK_STR(rig_hear(&r, 0), "RECV r1 =-22; RECV r2 =-11; SELECT r3 =-22 i0");
    rig_free(&r);
}

/* ---- complete="ack" ---- */

KC_TEST(a_confirmed_send_is_answered_after_the_ack)
{
    open_two(&buffered);
    rig_say(&r, 0, "SEND r1 c1001 f1 t-1 e:a");
    rig_say(&r, 1, "RECV r1 c1001 f1");
    KC_CHECK_STR(rig_hear(&r, 1), "RECV r1 =0 ( e:a #0 x0 )");
    KC_CHECK_STR(rig_hear(&r, 0), "");
    rig_say(&r, 1, "ACK #0");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r1 =0");
    rig_free(&r);
}

KC_TEST(a_plain_receives_last_byte_confirms_as_well)
{
    open_two(&buffered);
    rig_say(&r, 0, "SEND r1 c1001 f1 t-1 e:a");
    rig_say(&r, 1, "RECV r1 c1001");
    KC_CHECK_STR(rig_hear(&r, 0), "");
    KC_CHECK_STR(rig_hear(&r, 1), "RECV r1 =0 e:a");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r1 =0");
    rig_free(&r);
}

KC_TEST(cancel_of_an_accepted_confirmed_send_ends_only_the_wait)
{
    open_two(&buffered);
    rig_say(&r, 0, "SEND r1 c1001 f1 t-1 e:a; CANCEL r1; SEND r2 c1001 f1 t50 e:b");
    rig_tick_ms(&r, 50);
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r1 =-115 f1; SEND r2 =-115 f1");
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_UNCONFIRMED), 2);
    rig_say(&r, 1, "RECV r1 c1001 n2");
    KC_CHECK_STR(rig_hear(&r, 1), "RECV r1 =0 e:a e:b");
    rig_free(&r);
}

KC_TEST(a_confirmed_send_whose_message_is_purged_learns_the_reason)
{
    open_two(&buffered);
    rig_say(&r, 0, "SEND r1 c1001 f1 t-1 e:a");
    uint32_t count = 0;
    KC_CHECK_EQ(kc_chan_purge(r.engine, r.chans[0], &count), KC_OK);
    KC_CHECK_EQ(count, 1);
    rig_run(&r);
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r1 =-125 f1 w:purged");
    rig_free(&r);
}

KC_TEST(a_confirmed_batch_confirms_one_after_the_other)
{
    open_two(&buffered);
    rig_say(&r, 0, "SEND r1 c1001 f1 t-1 e:a e:b");
    rig_say(&r, 1, "RECV r1 c1001 f1 n9");
    KC_CHECK_STR(rig_hear(&r, 1), "RECV r1 =0 ( e:a #0 x0 )");
    rig_say(&r, 1, "ACK #0; RECV r2 c1001 f1 n9; ACK #1");
    KC_CHECK_STR(rig_hear(&r, 1), "RECV r2 =0 ( e:b #1 x0 )");
    rig_say(&r, 1, "ACK #1");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r1 =0 k2 d0");
    rig_free(&r);
}

/* ---- select ---- */

static void open_three_channels(void)
{
    rig_make(&r, NULL, NULL);
    (void)rig_kind(&r, KC_KIND_BUFFERED, 1);
    (void)rig_kind(&r, KC_KIND_RENDEZVOUS, 0);
    (void)rig_kind(&r, KC_KIND_BUFFERED, 1);
    (void)rig_open(&r, 1);
    (void)rig_open(&r, 1);
}

KC_TEST(a_select_takes_exactly_one_clause_and_names_it)
{
    open_three_channels();
    rig_say(&r, 0, "SELECT r1 t0 f1 (c1002) (c1001 e:x) (c1003 e:y)");
    KC_CHECK_STR(rig_hear(&r, 0), "SELECT r1 =0 i1");
    rig_say(&r, 0, "SELECT r2 t0 f1 (c1002) (c1001 e:x) (c1001)");
    KC_CHECK_STR(rig_hear(&r, 0), "SELECT r2 =0 i2 e:x");
    rig_say(&r, 0, "SELECT r3 t0 (c1002) (c1002 e:x)");
    KC_CHECK_STR(rig_hear(&r, 0), "SELECT r3 =-11");
    rig_free(&r);
}

KC_TEST(a_parked_select_is_won_once)
{
    open_three_channels();
    rig_say(&r, 0, "SELECT r1 t-1 (c1001) (c1002) (c1003 f1)");
    rig_say(&r, 1, "SEND r1 c1003 e:late; SEND r2 c1001 e:stays");
    KC_CHECK_STR(rig_hear(&r, 0), "SELECT r1 =0 i2 ( e:late #0 x0 )");
    rig_say(&r, 0, "SELECT r2 t-1 (c1001 e:full) (c1002 e:meet)");
    rig_say(&r, 1, "RECV r1 c1002");
    KC_CHECK_STR(rig_hear(&r, 0), "SELECT r2 =0 i1");
    KC_CHECK_STR(rig_hear(&r, 1), "SEND r1 =0; SEND r2 =0; RECV r1 =0 e:meet");
    rig_say(&r, 1, "RECV r1 c1001 n9");
    KC_CHECK_STR(rig_hear(&r, 1), "RECV r1 =0 e:stays");
    rig_free(&r);
}

KC_TEST(a_select_cancels_and_times_out_without_an_index)
{
    open_three_channels();
    rig_say(&r, 0, "SELECT r1 t-1 (c1002) (c1002 e:x); CANCEL r1; SELECT r2 t10 (c1002)");
    rig_tick_ms(&r, 10);
    KC_CHECK_STR(rig_hear(&r, 0), "SELECT r1 =-125 w:cancelled; SELECT r2 =-62");
    rig_free(&r);
}

KC_TEST(what_is_wrong_with_one_clause_is_told_with_its_index)
{
    open_three_channels();
    KC_CHECK_EQ(kc_conn_grant(r.pump, r.conns[0], 1002, r.chans[1], KC_RIGHT_READ), KC_OK);
    rig_say(&r, 0, "SELECT r1 (c1001 e:x) (c77); SELECT r2 (c1002) (c1002 e:x); SELECT r3 (c1001 e:x) (e:y); "
                   "SELECT r4 (c1001 f4); SELECT r5 (c1001 f1 e:x); SELECT r6; SELECT r7 f2 (c1001)");
    KC_CHECK_STR(rig_hear(&r, 0), "SELECT r1 =-9 i1; SELECT r2 =-13 i1; SELECT r3 =-22 i1; SELECT r4 =-22 i0; "
                                  "SELECT r5 =-22 i0; SELECT r6 =-22; SELECT r7 =-22");
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_READY), 0);
    rig_free(&r);
}

KC_TEST(a_clause_with_flags_of_the_other_direction_or_unknown_ones_is_refused_with_its_index)
{
    open_three_channels();
    rig_say(&r, 0, "SELECT r1 (c1001 f4); SELECT r2 (c1001 f8); SELECT r3 (c1001 f16); SELECT r4 (c1001 f5)");
    KC_CHECK_STR(rig_hear(&r, 0), "SELECT r1 =-22 i0; SELECT r2 =-22 i0; SELECT r3 =-22 i0; SELECT r4 =-22 i0");
    rig_say(&r, 0, "SELECT r1 (c1001) (c1001 f1 e:x); SELECT r2 (c1001 f2 e:x); SELECT r3 (c1001 f16 e:x); "
                   "SELECT r4 (c1001 f6 e:x)");
    KC_CHECK_STR(rig_hear(&r, 0), "SELECT r1 =-22 i1; SELECT r2 =-22 i0; SELECT r3 =-22 i0; SELECT r4 =-22 i0");
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_READY), 0);
    rig_free(&r);
}

KC_TEST(a_closed_clause_is_ready_and_names_itself)
{
    open_three_channels();
    rig_say(&r, 0, "SELECT r1 t-1 (c1002) (c1003)");
    KC_CHECK_EQ(kc_chan_close(r.engine, r.chans[2]), KC_OK);
    rig_run(&r);
    KC_CHECK_STR(rig_hear(&r, 0), "SELECT r1 =-32 i1");
    rig_say(&r, 0, "SELECT r2 t-1 (c1002) (c1003 e:x)");
    KC_CHECK_STR(rig_hear(&r, 0), "SELECT r2 =-32 i1");
    rig_free(&r);
}

KC_TEST(sixty_four_clauses_are_the_most)
{
    open_three_channels();
    char script[4096] = "SELECT r1 t0";
    for (int i = 0; i < 64; i++) {
        strcat(script, " (c1002)");
    }
    rig_say(&r, 0, script);
    KC_CHECK_STR(rig_hear(&r, 0), "SELECT r1 =-11");
    strcat(script, " (c1002)");
    rig_say(&r, 0, script);
    KC_CHECK_STR(rig_hear(&r, 0), "SELECT r1 =-22");
    rig_free(&r);
}

int main(void)
{
    KC_RUN(an_acknowledged_receive_answers_items_and_holds_until_ack);
    KC_RUN(nack_puts_it_back_in_its_place_and_says_redelivered);
    KC_RUN(delivery_ids_in_a_receive_are_acks_before_it_starts);
    KC_RUN(delivery_ids_in_a_refused_receive_are_acks_all_the_same);
    KC_RUN(foreign_stale_and_forged_deliveries_are_skipped);
    KC_RUN(a_plain_receive_cannot_be_given_back_by_a_guessed_number);
    KC_RUN(a_plain_message_is_held_until_its_reply_was_taken);
    KC_RUN(unread_plain_replies_of_a_dead_connection_are_undelivered);
    KC_RUN(an_acked_message_of_a_dead_connection_is_redelivered);
    KC_RUN(a_channel_that_demands_acks_refuses_a_plain_receive);
    KC_RUN(a_confirmed_send_is_answered_after_the_ack);
    KC_RUN(a_plain_receives_last_byte_confirms_as_well);
    KC_RUN(cancel_of_an_accepted_confirmed_send_ends_only_the_wait);
    KC_RUN(a_confirmed_send_whose_message_is_purged_learns_the_reason);
    KC_RUN(a_confirmed_batch_confirms_one_after_the_other);
    KC_RUN(a_select_takes_exactly_one_clause_and_names_it);
    KC_RUN(a_parked_select_is_won_once);
    KC_RUN(a_select_cancels_and_times_out_without_an_index);
    KC_RUN(what_is_wrong_with_one_clause_is_told_with_its_index);
    KC_RUN(a_clause_with_flags_of_the_other_direction_or_unknown_ones_is_refused_with_its_index);
    KC_RUN(a_closed_clause_is_ready_and_names_itself);
    KC_RUN(sixty_four_clauses_are_the_most);
    return kc_test_report();
}
