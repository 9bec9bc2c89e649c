/* test_pump_taken.c: what FLAGS say where a confirmed send ends without its acknowledgement: TAKEN (f1) if the channel
 * had accepted the message, else f0. Ranges show that it is true: REGION_FREED comes of what was taken, and of nothing
 * else. */
#include "kc_region_rig.h"

static rig r;

/* Channel 1001 has room for one, 1002 for none. */
static void open_rig_as(kc_chan_config first)
{
    first.kind = KC_KIND_BUFFERED;
    first.capacity = 1;
    region_rig_open(&r, &first, false);
}

static void open_rig(void)
{
    open_rig_as((kc_chan_config){0});
}

static void close_rig(void)
{
    region_rig_close(&r);
}

static void destroy(int chan)
{
    KC_CHECK_EQ(kc_chan_destroy(r.engine, r.chans[chan], KC_REASON_DESTROYED, NULL, 0), KC_OK);
    rig_run(&r);
}

/* ---- never accepted ---- */

KC_TEST(what_is_cancelled_while_it_waits_was_not_taken)
{
    open_rig();
    rig_say(&r, 0, "SEND r1 c1002 t-1 f1 D0+0:1; CANCEL r1; PING r2");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r1 =-125 f0 w:cancelled; PING r2 =0");
    rig_say(&r, 0, "SEND r3 c1001 e:full; SEND r4 c1001 t-1 f1 D0+0:1; CANCEL r4; PING r5");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r3 =0; SEND r4 =-125 f0 w:cancelled; PING r5 =0");
    close_rig();
}

KC_TEST(what_times_out_while_it_waits_was_not_taken)
{
    open_rig();
    rig_say(&r, 0, "SEND r1 c1002 t50 f1 D0+0:1; SEND r2 c1002 t0 f1 D0+0:1; SEND r3 c1002 t-1 f1 l9 D0+8:1");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r2 =-11 f0");
    rig_tick_ms(&r, 50);
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r3 =-62 f0; SEND r1 =-62 f0");
    close_rig();
}

KC_TEST(what_waits_at_a_channel_that_is_destroyed_was_not_taken)
{
    open_rig();
    rig_say(&r, 0, "SEND r1 c1002 t-1 f1 D0+0:1");
    destroy(1);
    rig_say(&r, 0, "PING r2; SEND r3 c1002 t-1 f1 D0+0:1");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r1 =-125 f0 w:the channel was destroyed; PING r2 =0; "
                                  "SEND r3 =-125 f0 w:the channel was destroyed");
    close_rig();
}

KC_TEST(what_comes_to_a_closed_channel_was_not_taken)
{
    open_rig();
    KC_CHECK_EQ(kc_chan_close(r.engine, r.chans[0]), KC_OK);
    rig_say(&r, 0, "SEND r1 c1001 t-1 f1 D0+0:1");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r1 =-32 f0");
    close_rig();
}

KC_TEST(what_comes_to_a_daemon_that_drains_was_not_taken)
{
    open_rig();
    KC_CHECK_EQ(kc_pump_drain(r.pump), KC_OK);
    rig_say(&r, 0, "SEND r1 c1001 t-1 f1 D0+0:1");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r1 =-125 f0 w:shutting down");
    close_rig();
}

/* ---- accepted, and not acknowledged ---- */

KC_TEST(what_is_cancelled_or_times_out_after_it_was_accepted_was_taken)
{
    for (int late = 0; late < 2; late++) {
        open_rig();
        rig_say(&r, 0, late != 0 ? "SEND r1 c1001 t50 f1 D0+0:1" : "SEND r1 c1001 t-1 f1 D0+0:1; CANCEL r1");
        rig_tick_ms(&r, 50);
        KC_CHECK_STR(rig_hear(&r, 0), "SEND r1 =-115 f1");
        rig_say(&r, 1, "RECV r7 c1001");
        (void)rig_hear(&r, 1);
        rig_say(&r, 1, "RELEASE L0");
        KC_CHECK_STR(rig_hear(&r, 0), "FREED D0+0:1/0");
        close_rig();
    }
}

KC_TEST(what_is_tried_and_accepted_was_taken)
{
    open_rig();
    rig_say(&r, 0, "SEND r1 c1001 t0 f1 D0+0:1");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r1 =-115 f1");
    close_rig();
}

KC_TEST(what_is_cancelled_while_its_receiver_has_not_acknowledged_it_was_taken)
{
    open_rig();
    rig_say(&r, 1, "RECV r7 c1002 t-1 f1");
    rig_say(&r, 0, "SEND r1 c1002 t-1 f1 D0+0:1; CANCEL r1");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r1 =-115 f1");
    KC_CHECK_STR(rig_hear(&r, 1), "MAP R0 z1048576; RECV r7 =0 ( D0+0:1/0 #0 x0 )");
    rig_say(&r, 1, "ACK #0; RELEASE L0");
    KC_CHECK_STR(rig_hear(&r, 0), "FREED D0+0:1/0");
    close_rig();
}

KC_TEST(what_waited_was_accepted_and_is_cancelled_then_was_taken)
{
    open_rig();
    rig_say(&r, 0, "SEND r1 c1002 t-1 f1 D0+0:1");
    rig_say(&r, 1, "RECV r7 c1002 f1");
    rig_say(&r, 0, "CANCEL r1");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r1 =-115 f1");
    close_rig();
}

/* ---- accepted, and then lost ---- */

KC_TEST(what_waits_in_a_channel_that_is_destroyed_was_taken)
{
    open_rig();
    rig_say(&r, 0, "SEND r1 c1001 t-1 f1 D0+0:1; SEND r2 c1001 t-1 f1 D0+8:1");
    destroy(0);
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r2 =-125 f0 w:the channel was destroyed; "
                                  "SEND r1 =-125 f1 w:the channel was destroyed; FREED D0+0:1/1");
    close_rig();
}

KC_TEST(a_cancel_that_comes_after_the_loss_finds_what_was_taken)
{
    open_rig();
    rig_say(&r, 0, "SEND r1 c1001 t-1 f1 D0+0:1");
    KC_CHECK_EQ(kc_chan_destroy(r.engine, r.chans[0], KC_REASON_DESTROYED, "cancelled", 9), KC_OK);
    rig_say(&r, 0, "CANCEL r1"); /* the words are those of a cancel that did what it says */
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r1 =-125 f1 w:cancelled; FREED D0+0:1/1");
    close_rig();
}

KC_TEST(what_is_purged_or_expires_was_taken)
{
    open_rig();
    uint32_t count = 0;
    rig_say(&r, 0, "SEND r1 c1001 t-1 f1 D0+0:1");
    KC_CHECK_EQ(kc_chan_purge(r.engine, r.chans[0], &count), KC_OK);
    rig_run(&r);
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r1 =-125 f1 w:purged; FREED D0+0:1/1");
    rig_say(&r, 0, "SEND r2 c1001 t-1 f1 l5 D0+0:1");
    rig_tick_ms(&r, 5);
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r2 =-125 f1 w:expired; FREED D0+0:1/1");
    close_rig();
}

KC_TEST(what_a_newer_one_takes_the_place_of_was_taken)
{
    open_rig_as((kc_chan_config){.overflow = KC_OVERFLOW_DROP_OLDEST});
    rig_say(&r, 0, "SEND r1 c1001 t-1 f1 D0+0:1; SEND r2 c1001 e:b");
    const char *heard = rig_hear(&r, 0);
    KC_CHECK(strstr(heard, "SEND r1 =-125 f1 w:") != NULL);
    KC_CHECK(strstr(heard, "FREED D0+0:1/1") != NULL);
    close_rig();
}

/* ---- batches ---- */

KC_TEST(of_a_batch_flags_tell_of_the_first_message_that_is_not_settled)
{
    open_rig();
    rig_say(&r, 0, "SEND r1 c1001 t-1 f1 D0+0:1 D0+8:1 D0+16:1");
    rig_say(&r, 1, "RECV r7 c1001 f1");
    (void)rig_hear(&r, 1);
    rig_say(&r, 1, "ACK #0; RELEASE L0");
    rig_say(&r, 0, "CANCEL r1");
    KC_CHECK_STR(rig_hear(&r, 0), "FREED D0+0:1/0; SEND r1 =0 k1 d0 f1"); /* the second lies in the channel */
    rig_say(&r, 0, "SEND r2 c1001 t-1 f1 D0+24:1 D0+32:1; CANCEL r2");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r2 =-125 k0 d0 f0 w:cancelled");
    rig_say(&r, 1, "RECV r8 c1001 f1");
    (void)rig_hear(&r, 1);
    rig_say(&r, 0, "SEND r3 c1001 t-1 f1 D0+24:1 D0+32:1");
    rig_say(&r, 1, "ACK #1");
    rig_say(&r, 0, "CANCEL r3");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r3 =-115 k0 d0 f1");
    close_rig();
}

KC_TEST(of_a_batch_that_its_channels_end_stops_the_next_one_was_not_taken)
{
    open_rig();
    rig_say(&r, 0, "SEND r1 c1001 t-1 f1 D0+0:1 D0+8:1");
    rig_say(&r, 1, "RECV r7 c1001 f1");
    (void)rig_hear(&r, 1);
    KC_CHECK_EQ(kc_chan_close(r.engine, r.chans[0]), KC_OK);
    rig_say(&r, 1, "ACK #0");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r1 =0 k1 d0 f0");
    close_rig();
}

/* ---- who does not hear of it ---- */

KC_TEST(what_is_acknowledged_or_plain_or_of_a_select_has_no_flags)
{
    open_rig();
    rig_say(&r, 0, "SEND r1 c1001 t-1 f1 D0+0:1; SEND r2 c1002 t-1 D0+8:1; SELECT r3 t-1 ( c1002 D0+16:1 ); "
                   "CANCEL r2; CANCEL r3");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r2 =-125 w:cancelled; SELECT r3 =-125 w:cancelled");
    rig_say(&r, 1, "RECV r7 c1001 f1");
    (void)rig_hear(&r, 1);
    rig_say(&r, 1, "ACK #0");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r1 =0");
    rig_say(&r, 0, "SELECT r4 t-1 ( c1002 D0+16:1 )");
    destroy(1);
    KC_CHECK_STR(rig_hear(&r, 0), "SELECT r4 =-125 i0 w:the channel was destroyed"); /* and nothing is freed */
    close_rig();
}

int main(void)
{
    KC_RUN(what_is_cancelled_while_it_waits_was_not_taken);
    KC_RUN(what_times_out_while_it_waits_was_not_taken);
    KC_RUN(what_waits_at_a_channel_that_is_destroyed_was_not_taken);
    KC_RUN(what_comes_to_a_closed_channel_was_not_taken);
    KC_RUN(what_comes_to_a_daemon_that_drains_was_not_taken);
    KC_RUN(what_is_cancelled_or_times_out_after_it_was_accepted_was_taken);
    KC_RUN(what_is_tried_and_accepted_was_taken);
    KC_RUN(what_is_cancelled_while_its_receiver_has_not_acknowledged_it_was_taken);
    KC_RUN(what_waited_was_accepted_and_is_cancelled_then_was_taken);
    KC_RUN(what_waits_in_a_channel_that_is_destroyed_was_taken);
    KC_RUN(a_cancel_that_comes_after_the_loss_finds_what_was_taken);
    KC_RUN(what_is_purged_or_expires_was_taken);
    KC_RUN(what_a_newer_one_takes_the_place_of_was_taken);
    KC_RUN(of_a_batch_flags_tell_of_the_first_message_that_is_not_settled);
    KC_RUN(of_a_batch_that_its_channels_end_stops_the_next_one_was_not_taken);
    KC_RUN(what_is_acknowledged_or_plain_or_of_a_select_has_no_flags);
    return kc_test_report();
}
