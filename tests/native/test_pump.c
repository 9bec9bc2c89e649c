/* test_pump.c: hot requests over ABI 1.1, frame by frame: what is asked, what is answered. */
#include "kc_ipc_fixture.h"

static rig r;

static void open_two(int32_t kind, uint32_t capacity)
{
    rig_make(&r, NULL, NULL);
    (void)rig_kind(&r, kind, capacity);
    (void)rig_open(&r, 1);
    (void)rig_open(&r, 1);
}

KC_TEST(a_send_into_room_is_answered_at_once)
{
    open_two(KC_KIND_BUFFERED, 1);
    rig_say(&r, 0, "SEND r7 c1001 t0 e:abcd");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r7 =0");
    rig_say(&r, 0, "SEND r7 c1001 t0 e:more");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r7 =-11");
    rig_say(&r, 1, "RECV r1 c1001 t0");
    KC_CHECK_STR(rig_hear(&r, 1), "RECV r1 =0 e:abcd");
    rig_say(&r, 1, "RECV r1 c1001 t0; PING r9");
    KC_CHECK_STR(rig_hear(&r, 1), "RECV r1 =-11; PING r9 =0");
    rig_free(&r);
}

KC_TEST(try_variants_answer_as_the_plain_commands_and_never_wait)
{
    open_two(KC_KIND_RENDEZVOUS, 0);
    rig_say(&r, 0, "TRY_SEND r1 c1001 t-1 e:x; TRY_RECV r2 c1001 t-1");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r1 =-11; RECV r2 =-11");
    rig_free(&r);
}

KC_TEST(a_parked_receive_is_answered_by_the_send_of_another)
{
    open_two(KC_KIND_RENDEZVOUS, 0);
    rig_say(&r, 0, "RECV r5 c1001 t-1");
    KC_CHECK_STR(rig_hear(&r, 0), "");
    rig_say(&r, 1, "SEND r6 c1001 t0 e:hello");
    KC_CHECK_STR(rig_hear(&r, 1), "SEND r6 =0");
    KC_CHECK_STR(rig_hear(&r, 0), "RECV r5 =0 e:hello");
    rig_free(&r);
}

KC_TEST(a_parked_send_is_answered_when_it_is_taken)
{
    open_two(KC_KIND_RENDEZVOUS, 0);
    rig_say(&r, 0, "SEND r5 c1001 t-1 e:hello");
    KC_CHECK_STR(rig_hear(&r, 0), "");
    rig_say(&r, 1, "RECV r6 c1001 t0");
    KC_CHECK_STR(rig_hear(&r, 1), "RECV r6 =0 e:hello");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r5 =0");
    rig_free(&r);
}

KC_TEST(deadlines_end_with_etime_and_never_early)
{
    open_two(KC_KIND_RENDEZVOUS, 0);
    rig_say(&r, 0, "RECV r1 c1001 t200; SEND r2 c1001 t100 e:x");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r2 =0; RECV r1 =0 e:x");
    rig_say(&r, 0, "RECV r1 c1001 t200");
    rig_tick_ms(&r, 199);
    KC_CHECK_STR(rig_hear(&r, 0), "");
    rig_tick_ms(&r, 1);
    KC_CHECK_STR(rig_hear(&r, 0), "RECV r1 =-62");
    rig_free(&r);
}

KC_TEST(a_missing_handle_is_ebadf_a_missing_right_eacces_a_missing_channel_einval)
{
    open_two(KC_KIND_BUFFERED, 1);
    KC_CHECK_EQ(kc_conn_grant(r.pump, r.conns[0], 1001, r.chans[0], KC_RIGHT_READ), KC_OK);
    rig_say(&r, 0, "SEND r1 c1001 t0 e:x; SEND r2 c77 t0 e:x; RECV r3 c77 t0; RECV r4 t0; SEND r5 e:x; RECV r6 c1001");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r1 =-13; SEND r2 =-9; RECV r3 =-9; RECV r4 =-22; SEND r5 =-22; RECV r6 =-11");
    KC_CHECK_EQ(kc_conn_grant(r.pump, r.conns[0], 1001, r.chans[0], 0), KC_OK);
    KC_CHECK_EQ(kc_conn_grant(r.pump, r.conns[0], 1001, r.chans[0], 0), KC_ENOENT);
    rig_say(&r, 0, "RECV r6 c1001");
    KC_CHECK_STR(rig_hear(&r, 0), "RECV r6 =-9");
    rig_free(&r);
}

KC_TEST(a_send_without_an_element_and_unknown_flags_are_einval)
{
    open_two(KC_KIND_BUFFERED, 1);
    rig_say(&r, 0, "SEND r1 c1001 t0; SEND r2 c1001 t0 f8 e:x; RECV r3 c1001 f4; RECV r4 c1001 n0; "
                   "RECV r5 c1001 n1025");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r1 =-22; SEND r2 =-22; RECV r3 =-22; RECV r4 =-22; RECV r5 =-22");
    rig_free(&r);
}

KC_TEST(cancel_ends_the_wait_and_an_unknown_target_is_ignored)
{
    open_two(KC_KIND_RENDEZVOUS, 0);
    rig_say(&r, 0, "RECV r5 c1001 t-1; CANCEL r4; CANCEL r5; CANCEL r5; PING r5");
    KC_CHECK_STR(rig_hear(&r, 0), "RECV r5 =-125 w:cancelled; PING r5 =0");
    rig_say(&r, 0, "SEND r5 c1001 t-1 e:x; CANCEL r5");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r5 =-125 w:cancelled");
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_CANCELLED_CANCEL), 2);
    rig_free(&r);
}

KC_TEST(a_live_duplicate_or_a_missing_req_id_ends_the_connection)
{
    static const char *const scripts[] = {"RECV r5 c1001 t-1; PING r5", "PING", "PING r0", "RECV c1001 t0",
                                          "CANCEL",                     "ACK r0"};
    static const char *const replies[] = {"PING =-71", "PING =-71",   "PING =-71", "RECV =-71",
                                          "CANCEL =-71", "ACK =-71"};
    for (int i = 0; i < 6; i++) {
        open_two(KC_KIND_RENDEZVOUS, 0);
        rig_say(&r, 0, scripts[i]);
        KC_CHECK_STR(rig_hear(&r, 0), replies[i]);
        KC_CHECK_EQ(rig_closed(&r), KC_EPROTO);
        rig_say(&r, 1, "PING r1");
        KC_CHECK_STR(rig_hear(&r, 1), "PING r1 =0");
        rig_free(&r);
    }
}

KC_TEST(last_words_repeat_the_command_that_came_in)
{
    static const char *const commands[] = {"SEND", "TRY_SEND", "RECV", "TRY_RECV"};
    for (int i = 0; i < 4; i++) {
        char heard[32];
        open_two(KC_KIND_RENDEZVOUS, 0);
        rig_say(&r, 0, commands[i]); /* without a REQ_ID */
        (void)snprintf(heard, sizeof heard, "%s =-71", commands[i]);
        KC_CHECK_STR(rig_hear(&r, 0), heard);
        rig_free(&r);
    }
}

KC_TEST(a_closed_channel_refuses_sends_and_drains)
{
    open_two(KC_KIND_BUFFERED, 4);
    rig_say(&r, 0, "SEND r1 c1001 t0 e:a");
    KC_CHECK_EQ(kc_chan_close(r.engine, r.chans[0]), KC_OK);
    rig_say(&r, 0, "SEND r2 c1001 t0 e:b; RECV r3 c1001 t0; RECV r4 c1001 t0");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r1 =0; SEND r2 =-32; RECV r3 =0 e:a; RECV r4 =-32");
    rig_free(&r);
}

KC_TEST(a_destroyed_channel_answers_with_its_reason)
{
    open_two(KC_KIND_RENDEZVOUS, 0);
    rig_say(&r, 0, "RECV r1 c1001 t-1");
    KC_CHECK_EQ(kc_chan_destroy(r.engine, r.chans[0], KC_REASON_DESTROYED, "moved house", 11), KC_OK);
    rig_run(&r);
    KC_CHECK_STR(rig_hear(&r, 0), "RECV r1 =-125 w:moved house");
    rig_say(&r, 0, "RECV r2 c1001 t-1; SEND r3 c1001 t0 e:x; SELECT r4 t-1 (c1001)");
    KC_CHECK_STR(rig_hear(&r, 0), "RECV r2 =-125 w:moved house; SEND r3 =-125 w:moved house; "
                                  "SELECT r4 =-125 i0 w:moved house");
    rig_free(&r);
}

KC_TEST(a_dropped_send_says_so)
{
    rig_make(&r, NULL, NULL);
    (void)rig_channel(&r, &(kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 1,
                                            .overflow = KC_OVERFLOW_DROP_NEWEST});
    (void)rig_open(&r, 1);
    rig_say(&r, 0, "SEND r1 c1001 e:a; SEND r2 c1001 e:b; SEND r3 c1001 e:c e:d");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r1 =0; SEND r2 =0 d1; SEND r3 =0 k2 d2");
    rig_free(&r);
}

KC_TEST(an_element_over_elem_size_is_emsgsize_and_the_connection_lives)
{
    rig_make(&r, NULL, NULL);
    (void)rig_channel(&r, &(kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 4, .elem_size = 3});
    (void)rig_open(&r, 1);
    rig_say(&r, 0, "SEND r1 c1001 e:abcd; SEND r2 c1001 e:abc; SEND r3 c1001 e:; RECV r4 c1001 n9");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r1 =-90; SEND r2 =0; SEND r3 =0; RECV r4 =0 e:abc e:");
    rig_free(&r);
}

/* ---- batches ---- */

KC_TEST(a_batch_counts_what_was_accepted_and_ends_at_the_first_failure)
{
    open_two(KC_KIND_BUFFERED, 2);
    rig_say(&r, 0, "SEND r1 c1001 t0 e:a e:b e:c e:d; SEND r2 c1001 t0 e:e e:f");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r1 =0 k2 d0; SEND r2 =-11 k0 d0");
    rig_say(&r, 1, "RECV r1 c1001 n10");
    KC_CHECK_STR(rig_hear(&r, 1), "RECV r1 =0 e:a e:b");
    rig_free(&r);
}

KC_TEST(a_parked_batch_goes_on_as_room_appears_and_is_answered_once)
{
    open_two(KC_KIND_BUFFERED, 2);
    rig_say(&r, 0, "SEND r1 c1001 t-1 e:a e:b e:c e:d e:e");
    KC_CHECK_STR(rig_hear(&r, 0), "");
    rig_say(&r, 1, "RECV r1 c1001 t0");
    KC_CHECK_STR(rig_hear(&r, 1), "RECV r1 =0 e:a");
    KC_CHECK_STR(rig_hear(&r, 0), "");
    rig_say(&r, 1, "RECV r1 c1001 t0 n10");
    KC_CHECK_STR(rig_hear(&r, 1), "RECV r1 =0 e:b e:c e:d e:e");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r1 =0 k5 d0");
    rig_free(&r);
}

KC_TEST(a_batch_of_receives_takes_a_whole_batch_of_sends_over_a_rendezvous)
{
    open_two(KC_KIND_RENDEZVOUS, 0);
    rig_say(&r, 0, "SEND r1 c1001 t-1 e:a e:b e:c e:d; SEND r2 c1001 t-1 e:1 e:2; SEND r3 c1001 t-1 e:x");
    rig_say(&r, 1, "RECV r1 c1001 n3; RECV r2 c1001 n3; RECV r3 c1001 n9");
    KC_CHECK_STR(rig_hear(&r, 1), "RECV r1 =0 e:a e:1 e:x; RECV r2 =0 e:b e:2 e:c; RECV r3 =0 e:d");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r3 =0; SEND r2 =0 k2 d0; SEND r1 =0 k4 d0");
    rig_free(&r);
}

KC_TEST(a_parked_batch_of_receives_takes_a_whole_batch_of_sends)
{
    open_two(KC_KIND_RENDEZVOUS, 0);
    rig_say(&r, 1, "RECV r1 c1001 t-1 n3; RECV r2 c1001 t-1 n9");
    rig_say(&r, 0, "SEND r1 c1001 t-1 e:a e:b e:c e:d e:e");
    KC_CHECK_STR(rig_hear(&r, 1), "RECV r1 =0 e:a e:c e:d; RECV r2 =0 e:b e:e");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r1 =0 k5 d0");
    rig_free(&r);
}

KC_TEST(results_that_a_batch_of_receives_met_on_its_way_are_said_after_it_in_their_order)
{
    open_two(KC_KIND_BUFFERED, 1);
    (void)rig_kind(&r, KC_KIND_RENDEZVOUS, 0);
    rig_say(&r, 0, "SEND r1 c1001 e:a; SEND r2 c1001 t-1 e:b; SEND r3 c1001 t-1 e:c e:d; SELECT r4 t-1 (c1001 e:e)");
    rig_say(&r, 1, "RECV r1 c1001 n9; PING r2");
    KC_CHECK_STR(rig_hear(&r, 1), "RECV r1 =0 e:a e:b e:c e:e e:d; PING r2 =0");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r1 =0; SEND r3 =0 k2 d0; SEND r2 =0; SELECT r4 =0 i0");
    rig_free(&r);
}

KC_TEST(a_batch_of_receives_that_finds_more_results_than_it_can_put_aside_loses_none)
{
    open_two(KC_KIND_RENDEZVOUS, 0);
    enum { SENDERS = 200 };
    for (int i = 1; i <= SENDERS; i++) {
        char words[48];
        (void)snprintf(words, sizeof words, i % 4 == 0 ? "SEND r%d c1001 t-1 e:b e:b" : "SEND r%d c1001 t-1 e:s", i);
        rig_say(&r, 0, words);
    }
    int heard = 0;
    while (heard < SENDERS + SENDERS / 4) {
        rig_say(&r, 1, "RECV r1 c1001 n1000");
        const char *items = rig_hear(&r, 1);
        KC_REQUIRE(strncmp(items, "RECV r1 =0 ", 11) == 0);
        for (; (items = strstr(items, " e:")) != NULL; items++) {
            heard++;
        }
    }
    KC_CHECK_EQ(heard, SENDERS + SENDERS / 4);
    int answers = 0;
    for (const char *at = rig_hear(&r, 0); (at = strstr(at, "SEND r")) != NULL; at++) {
        answers++;
    }
    KC_CHECK_EQ(answers, SENDERS);
    rig_free(&r);
}

KC_TEST(the_next_element_of_a_batch_starts_before_the_next_frame)
{
    open_two(KC_KIND_RENDEZVOUS, 0);
    rig_say(&r, 0, "SEND r1 c1001 t-1 e:a e:b");
    rig_say(&r, 1, "RECV r1 c1001 t0; SEND r2 c1001 t-1 e:z; RECV r3 c1001 t0; RECV r4 c1001 t0");
    KC_CHECK_STR(rig_hear(&r, 1), "RECV r1 =0 e:a; RECV r3 =0 e:b; RECV r4 =0 e:z; SEND r2 =0");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r1 =0 k2 d0");
    rig_free(&r);
}

KC_TEST(a_cancelled_batch_says_how_far_it_came)
{
    open_two(KC_KIND_BUFFERED, 2);
    rig_say(&r, 0, "SEND r1 c1001 t-1 e:a e:b e:c; SEND r2 c1001 t-1 e:d e:e; CANCEL r1; CANCEL r2");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r1 =0 k2 d0; SEND r2 =-125 k0 d0 w:cancelled");
    rig_free(&r);
}

KC_TEST(one_deadline_covers_a_whole_batch)
{
    open_two(KC_KIND_BUFFERED, 1);
    rig_say(&r, 0, "SEND r1 c1001 t100 e:a e:b e:c");
    rig_tick_ms(&r, 60);
    rig_say(&r, 1, "RECV r1 c1001 t0");
    KC_CHECK_STR(rig_hear(&r, 1), "RECV r1 =0 e:a");
    rig_tick_ms(&r, 40);
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r1 =0 k2 d0");
    rig_free(&r);
}

KC_TEST(receive_many_waits_for_the_first_and_takes_what_is_there)
{
    open_two(KC_KIND_BUFFERED, 8);
    rig_say(&r, 0, "RECV r1 c1001 t-1 n3");
    rig_say(&r, 1, "SEND r1 c1001 e:a e:b e:c e:d");
    KC_CHECK_STR(rig_hear(&r, 0), "RECV r1 =0 e:a e:b e:c");
    rig_say(&r, 0, "RECV r1 c1001 t-1 n3; RECV r2 c1001 t0 n3");
    KC_CHECK_STR(rig_hear(&r, 0), "RECV r1 =0 e:d; RECV r2 =-11");
    rig_free(&r);
}

KC_TEST(max_bytes_bounds_a_batch_but_never_the_first_message)
{
    open_two(KC_KIND_BUFFERED, 8);
    rig_say(&r, 1, "SEND r1 c1001 e:aaaa e:bbbb e:cccc e:dddd");
    rig_say(&r, 0, "RECV r1 c1001 n9 b2; RECV r2 c1001 n9 b11; RECV r3 c1001 n9 b12");
    KC_CHECK_STR(rig_hear(&r, 0), "RECV r1 =0 e:aaaa; RECV r2 =0 e:bbbb e:cccc; RECV r3 =0 e:dddd");
    rig_free(&r);
}

KC_TEST(what_does_not_fit_a_batch_was_never_taken)
{
    open_two(KC_KIND_BUFFERED, 8);
    rig_say(&r, 1, "SEND r1 c1001 e:aaaa e:bbbb e:cccc");
    rig_say(&r, 0, "RECV r1 c1001 n9 b5; RECV r2 c1001 n9 b5; RECV r3 c1001 f1");
    KC_CHECK_STR(rig_hear(&r, 0), "RECV r1 =0 e:aaaa; RECV r2 =0 e:bbbb; RECV r3 =0 ( e:cccc #0 x0 )");
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_UNDELIVERED_REQUEUED), 0);
    rig_free(&r);
}

int main(void)
{
    KC_RUN(a_send_into_room_is_answered_at_once);
    KC_RUN(try_variants_answer_as_the_plain_commands_and_never_wait);
    KC_RUN(a_parked_receive_is_answered_by_the_send_of_another);
    KC_RUN(a_parked_send_is_answered_when_it_is_taken);
    KC_RUN(deadlines_end_with_etime_and_never_early);
    KC_RUN(a_missing_handle_is_ebadf_a_missing_right_eacces_a_missing_channel_einval);
    KC_RUN(a_send_without_an_element_and_unknown_flags_are_einval);
    KC_RUN(cancel_ends_the_wait_and_an_unknown_target_is_ignored);
    KC_RUN(a_live_duplicate_or_a_missing_req_id_ends_the_connection);
    KC_RUN(last_words_repeat_the_command_that_came_in);
    KC_RUN(a_closed_channel_refuses_sends_and_drains);
    KC_RUN(a_destroyed_channel_answers_with_its_reason);
    KC_RUN(a_dropped_send_says_so);
    KC_RUN(an_element_over_elem_size_is_emsgsize_and_the_connection_lives);
    KC_RUN(a_batch_counts_what_was_accepted_and_ends_at_the_first_failure);
    KC_RUN(a_parked_batch_goes_on_as_room_appears_and_is_answered_once);
    KC_RUN(a_batch_of_receives_takes_a_whole_batch_of_sends_over_a_rendezvous);
    KC_RUN(a_parked_batch_of_receives_takes_a_whole_batch_of_sends);
    KC_RUN(results_that_a_batch_of_receives_met_on_its_way_are_said_after_it_in_their_order);
    KC_RUN(a_batch_of_receives_that_finds_more_results_than_it_can_put_aside_loses_none);
    KC_RUN(the_next_element_of_a_batch_starts_before_the_next_frame);
    KC_RUN(a_cancelled_batch_says_how_far_it_came);
    KC_RUN(one_deadline_covers_a_whole_batch);
    KC_RUN(receive_many_waits_for_the_first_and_takes_what_is_there);
    KC_RUN(max_bytes_bounds_a_batch_but_never_the_first_message);
    KC_RUN(what_does_not_fit_a_batch_was_never_taken);
    return kc_test_report();
}
