/* Descriptors through connections: ranges, leases, notices, and the ends of regions. The pump is fed by arrays. */
#include "kc_region_rig.h"

static rig r;

static void open_rig(bool bytewise)
{
    region_rig_open(&r, &(kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 8}, bytewise);
}

static void close_rig(void)
{
    region_rig_close(&r);
}

KC_TEST(a_descriptor_is_received_leased_released_and_its_owner_told)
{
    for (int bytewise = 0; bytewise < 2; bytewise++) {
        open_rig(bytewise != 0);
        rig_say(&r, 0, "SEND r1 c1001 D0+16:64");
        KC_CHECK_STR(rig_hear(&r, 0), "SEND r1 =0");
        KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_DESCRIPTORS), 1);
        rig_say(&r, 1, "RECV r7 c1001");
        KC_CHECK_STR(rig_hear(&r, 1), "MAP R0 z1048576; RECV r7 =0 D0+16:64/0");
        KC_CHECK_STR(rig_hear(&r, 0), "");
        rig_say(&r, 1, "RELEASE L0");
        KC_CHECK_STR(rig_hear(&r, 1), "");
        KC_CHECK_STR(rig_hear(&r, 0), "FREED D0+16:64/0");
        rig_say(&r, 1, "RELEASE r8 L0");
        KC_CHECK_STR(rig_hear(&r, 1), "RELEASE r8 =-2 k0");
        close_rig();
    }
}

KC_TEST(a_late_release_does_not_end_the_lease_that_has_its_place_now)
{
    open_rig(false);
    rig_say(&r, 0, "SEND r1 c1001 D0+0:1; SEND r2 c1001 D0+1:1");
    (void)rig_hear(&r, 0);
    rig_say(&r, 1, "RECV r7 c1001");
    KC_CHECK_STR(rig_hear(&r, 1), "MAP R0 z1048576; RECV r7 =0 D0+0:1/0");
    rig_say(&r, 1, "RELEASE L0; RECV r8 c1001; RELEASE r9 L0");
    KC_CHECK_STR(rig_hear(&r, 1), "RECV r8 =0 D0+1:1/1; RELEASE r9 =-2 k0");
    KC_CHECK_EQ((uint32_t)r.leases[0], (uint32_t)r.leases[1]); /* one place, two lives */
    KC_CHECK_STR(rig_hear(&r, 0), "FREED D0+0:1/0");
    rig_say(&r, 1, "RELEASE r9 L1");
    KC_CHECK_STR(rig_hear(&r, 1), "RELEASE r9 =0 k1");
    KC_CHECK_STR(rig_hear(&r, 0), "FREED D0+1:1/0");
    close_rig();
}

KC_TEST(batches_of_descriptors_go_and_come_in_one_frame_each)
{
    open_rig(false);
    rig_say(&r, 0, "SEND r1 c1001 D0+0:10 D0+10:10 D0+20:10");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r1 =0 k3 d0");
    rig_say(&r, 1, "RECV r7 c1001 n10");
    KC_CHECK_STR(rig_hear(&r, 1), "MAP R0 z1048576; RECV r7 =0 D0+0:10/0 D0+10:10/1 D0+20:10/2");
    rig_say(&r, 1, "RELEASE r8 L2 L0 L1");
    KC_CHECK_STR(rig_hear(&r, 1), "RELEASE r8 =0 k3");
    KC_CHECK_STR(rig_hear(&r, 0), "FREED D0+20:10/0 D0+0:10/0 D0+10:10/0");
    close_rig();
}

KC_TEST(a_batch_of_descriptors_that_parks_goes_on)
{
    open_rig(false);
    rig_say(&r, 0, "SEND r1 c1002 t-1 D0+0:1 D0+1:1 D0+2:1");
    KC_CHECK_STR(rig_hear(&r, 0), "");
    rig_say(&r, 1, "RECV r7 c1002 n10");
    KC_CHECK_STR(rig_hear(&r, 1), "MAP R0 z1048576; RECV r7 =0 D0+0:1/0 D0+1:1/1 D0+2:1/2");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r1 =0 k3 d0");
    close_rig();
}

KC_TEST(a_reply_holds_one_kind_of_message)
{
    open_rig(false);
    rig_say(&r, 0, "SEND r1 c1001 e:a; SEND r2 c1001 D0+0:1; SEND r3 c1001 e:b");
    (void)rig_hear(&r, 0);
    rig_say(&r, 1, "RECV r7 c1001 n10; RECV r8 c1001 n10; RECV r9 c1001 n10");
    KC_CHECK_STR(rig_hear(&r, 1), "RECV r7 =0 e:a; MAP R0 z1048576; RECV r8 =0 D0+0:1/0; RECV r9 =0 e:b");
    close_rig();
}

KC_TEST(an_acknowledged_descriptor_comes_back_with_its_memory)
{
    open_rig(false);
    rig_say(&r, 0, "SEND r1 c1001 D0+0:1");
    rig_say(&r, 1, "RECV r7 c1001 f1");
    KC_CHECK_STR(rig_hear(&r, 1), "MAP R0 z1048576; RECV r7 =0 ( D0+0:1/0 #0 x0 )");
    rig_say(&r, 1, "NACK r8 #0; RELEASE L0; RECV r9 c1001 f1");
    KC_CHECK_STR(rig_hear(&r, 1), "NACK r8 =0 k1; RECV r9 =0 ( D0+0:1/1 #1 x1 )");
    rig_say(&r, 1, "ACK #1");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r1 =0"); /* acknowledged, and still being read */
    rig_say(&r, 1, "RELEASE L1");
    KC_CHECK_STR(rig_hear(&r, 0), "FREED D0+0:1/0");
    close_rig();
}

KC_TEST(select_sends_and_receives_descriptors)
{
    open_rig(false);
    rig_say(&r, 0, "SELECT r1 t-1 ( c1002 D0+5:6 )");
    KC_CHECK_STR(rig_hear(&r, 0), "");
    rig_say(&r, 1, "SELECT r7 t0 ( c1001 ) ( c1002 )");
    KC_CHECK_STR(rig_hear(&r, 1), "MAP R0 z1048576; SELECT r7 =0 i1 D0+5:6/0");
    KC_CHECK_STR(rig_hear(&r, 0), "SELECT r1 =0 i0");
    rig_say(&r, 0, "SELECT r2 t0 ( c1001 D0+0:1 e:both )");
    KC_CHECK_STR(rig_hear(&r, 0), "SELECT r2 =-22 i0");
    close_rig();
}

KC_TEST(a_send_that_does_not_happen_frees_nothing)
{
    open_rig(false);
    rig_say(&r, 0, "SEND r1 c1002 t0 D0+0:1; SEND r2 c1002 t-1 D0+0:1; CANCEL r2; SELECT r3 t0 ( c1002 D0+0:1 )");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r1 =-11; SEND r2 =-125 w:cancelled; SELECT r3 =-11");
    KC_CHECK_STR(rig_hear(&r, 0), "");
    close_rig();
}

KC_TEST(ranges_that_are_wrong_are_refused_and_the_connection_lives)
{
    open_rig(false);
    (void)rig_region(&r, 1, -1);
    rig_say(&r, 0, "SEND r1 c1001 D0+0:0; SEND r2 c1001 D0+1048576:1; SEND r3 c1001 D0+18446744073709551615:2");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r1 =-22; SEND r2 =-22; SEND r3 =-22");
    rig_say(&r, 0, "SEND r4 c1001 D1+0:1; SEND r5 c1001 D7+0:1; SEND r6 c1001 e:a D0+0:1; SEND r7 c77 D0+0:1");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r4 =-13; SEND r5 =-2; SEND r6 =-22; SEND r7 =-9");
    rig_say(&r, 0, "SEND r8 c1001 D0+0:1 D0+0:0 D0+0:1");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r8 =0 k1 d0");
    close_rig();
}

KC_TEST(a_client_that_cannot_take_descriptors_is_told_and_the_message_stays)
{
    open_rig(false);
    KC_CHECK_EQ(kc_conn_able(r.pump, r.conns[1], KC_CAP_FILES), KC_OK);
    rig_say(&r, 0, "SEND r1 c1001 D0+0:1");
    rig_say(&r, 1, "RECV r7 c1001; SELECT r8 t0 ( c1001 )");
    KC_CHECK_STR(rig_hear(&r, 1), "RECV r7 =-95; SELECT r8 =-95 i0");
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_READY), 1);
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_REDELIVERED), 0);
    close_rig();
}

KC_TEST(a_receiver_that_dies_gives_its_leases_back)
{
    open_rig(false);
    rig_say(&r, 0, "SEND r1 c1001 D0+0:1; SEND r2 c1001 D0+1:1");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r1 =0; SEND r2 =0");
    rig_say(&r, 1, "RECV r7 c1001");
    KC_CHECK_STR(rig_hear(&r, 1), "MAP R0 z1048576; RECV r7 =0 D0+0:1/0");
    rig_say(&r, 1, "RECV r8 c1001"); /* whose reply it does not take */
    KC_CHECK_EQ(kc_conn_vanish(r.pump, r.conns[1]), KC_OK);
    KC_CHECK_STR(rig_hear(&r, 0), "FREED D0+0:1/0");
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_READY), 1);
    close_rig();
}

/* So its owner cannot tell by the answer that nobody reads the range, but that it was taken. */
KC_TEST(a_confirmed_range_that_was_lost_is_free_only_when_whoever_received_it_releases_it)
{
    open_rig(false);
    rig_say(&r, 0, "SEND r1 c1001 t-1 f1 D0+0:1");
    rig_say(&r, 1, "RECV r7 c1001 f1");
    KC_CHECK_STR(rig_hear(&r, 1), "MAP R0 z1048576; RECV r7 =0 ( D0+0:1/0 #0 x0 )");
    rig_say(&r, 1, "NACK r8 #0");
    KC_CHECK_EQ(kc_chan_destroy(r.engine, r.chans[0], KC_REASON_DESTROYED, NULL, 0), KC_OK);
    rig_run(&r);
    rig_say(&r, 0, "PING r2");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r1 =-125 f1 w:the channel was destroyed; PING r2 =0");
    rig_say(&r, 1, "RELEASE L0");
    KC_CHECK_STR(rig_hear(&r, 0), "FREED D0+0:1/1");
    close_rig();
}

KC_TEST(a_message_that_nobody_received_is_freed_as_lost)
{
    open_rig(false);
    rig_say(&r, 0, "SEND r1 c1001 D0+0:1");
    KC_CHECK_EQ(kc_chan_destroy(r.engine, r.chans[0], KC_REASON_DESTROYED, NULL, 0), KC_OK);
    rig_run(&r);
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r1 =0; FREED D0+0:1/1");
    close_rig();
}

KC_TEST(everybody_who_knew_a_region_hears_of_its_end)
{
    kc_conn owner = 0;
    kc_ticket region = 0;
    open_rig(false);
    rig_say(&r, 0, "SEND r1 c1001 D0+0:1");
    rig_say(&r, 1, "RECV r7 c1001");
    (void)rig_hear(&r, 1);
    KC_CHECK_EQ(kc_region_drop(r.engine, r.regions[0], KC_REGION_WAIT), KC_OK);
    rig_run(&r);
    KC_CHECK_EQ(kc_pump_region_ended(r.pump, &owner, &region), KC_EAGAIN);
    rig_say(&r, 1, "RELEASE L0");
    KC_CHECK_STR(rig_hear(&r, 1), "GONE R0");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r1 =0; FREED D0+0:1/0");
    KC_CHECK_EQ(kc_pump_region_ended(r.pump, &owner, &region), KC_OK);
    KC_CHECK_EQ(owner, r.conns[0]);
    KC_CHECK_EQ(region, r.regions[0]);
    close_rig();
}

KC_TEST(a_sender_that_falls_back_says_why_and_is_counted)
{
    open_rig(false);
    rig_say(&r, 0, "SEND r1 c1001 f2 e:few; SEND r2 c1001 f4 e:full; SEND r3 c1001 f2 e:a e:b");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r1 =0; SEND r2 =0; SEND r3 =0 k2 d0");
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_ZREF_FALLBACK_SMALL), 3);
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_ZREF_FALLBACK_CAPACITY), 1);
    close_rig();
}

KC_TEST(a_select_that_falls_back_says_why_of_each_clause_and_the_one_that_won_is_counted)
{
    open_rig(false);
    rig_say(&r, 0, "SELECT r1 f1 t-1 (c1001 f4 e:few) (c1001 f8 e:full)"); /* there is room: the first */
    KC_CHECK_STR(rig_hear(&r, 0), "SELECT r1 =0 i0");
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_ZREF_FALLBACK_SMALL), 1);
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_ZREF_FALLBACK_CAPACITY), 0);
    rig_say(&r, 0, "SELECT r2 t-1 (c1002) (c1002 f8 e:wait)"); /* nobody is there: it waits */
    KC_CHECK_EQ(rig_stat(&r, 1, KC_STAT_ZREF_FALLBACK_CAPACITY), 0);
    rig_say(&r, 1, "RECV r3 c1002 t0");
    KC_CHECK_STR(rig_hear(&r, 1), "RECV r3 =0 e:wait");
    KC_CHECK_STR(rig_hear(&r, 0), "SELECT r2 =0 i1");
    KC_CHECK_EQ(rig_stat(&r, 1, KC_STAT_ZREF_FALLBACK_CAPACITY), 1);
    KC_CHECK_EQ(rig_stat(&r, 1, KC_STAT_ZREF_FALLBACK_SMALL), 0);
    close_rig();
}

KC_TEST(without_memory_for_the_n_th_piece_a_connection_may_end_and_nothing_leaks)
{
    for (uint64_t n = 1; n < 40; n++) {
        open_rig(false);
        r.broken_allocs = true;
        (void)kc_pump_fail_alloc(r.pump, n);
        rig_say(&r, 0, "SEND r1 c1001 D0+0:1 D0+1:1; SEND r2 c1002 t-1 D0+2:1 D0+3:1");
        rig_say(&r, 1, "RECV r7 c1001 n5; RECV r8 c1002 n5 f1; RELEASE L0");
        (void)rig_fetch(&r, 1);
        (void)rig_fetch(&r, 0);
        (void)kc_pump_fail_alloc(r.pump, 0);
        close_rig();
    }
}

int main(void)
{
    KC_RUN(a_descriptor_is_received_leased_released_and_its_owner_told);
    KC_RUN(a_late_release_does_not_end_the_lease_that_has_its_place_now);
    KC_RUN(batches_of_descriptors_go_and_come_in_one_frame_each);
    KC_RUN(a_batch_of_descriptors_that_parks_goes_on);
    KC_RUN(a_reply_holds_one_kind_of_message);
    KC_RUN(an_acknowledged_descriptor_comes_back_with_its_memory);
    KC_RUN(select_sends_and_receives_descriptors);
    KC_RUN(a_send_that_does_not_happen_frees_nothing);
    KC_RUN(ranges_that_are_wrong_are_refused_and_the_connection_lives);
    KC_RUN(a_client_that_cannot_take_descriptors_is_told_and_the_message_stays);
    KC_RUN(a_receiver_that_dies_gives_its_leases_back);
    KC_RUN(a_confirmed_range_that_was_lost_is_free_only_when_whoever_received_it_releases_it);
    KC_RUN(a_message_that_nobody_received_is_freed_as_lost);
    KC_RUN(everybody_who_knew_a_region_hears_of_its_end);
    KC_RUN(a_sender_that_falls_back_says_why_and_is_counted);
    KC_RUN(a_select_that_falls_back_says_why_of_each_clause_and_the_one_that_won_is_counted);
    KC_RUN(without_memory_for_the_n_th_piece_a_connection_may_end_and_nothing_leaks);
    return kc_test_report();
}
