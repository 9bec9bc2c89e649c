/* close, destroy, purge, references (contract 4.5): what drains, who is told, and with which code. */
#include "kc_world.h"

KC_TEST(a_closed_channel_refuses_new_sends_and_drains) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 2);

    (void)w_try_send(&w, c, "1");
    (void)w_try_send(&w, c, "2");
    KC_CHECK_EQ(w_close_chan(&w, c), KC_OK);
    KC_CHECK_EQ(w_send(&w, c, "3", 0).code, KC_EPIPE);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_SEND_EPIPE), 1);
    KC_CHECK_STR(w_try_text(&w, c), "1");
    KC_CHECK_STR(w_try_text(&w, c), "2");
    KC_CHECK_STR(w_try_text(&w, c), "(closed)");
    KC_CHECK_EQ(w_recv(&w, c, 0).code, KC_EPIPE);
    KC_CHECK_EQ(w_close_chan(&w, c), KC_OK);
    w_close(&w);
}

KC_TEST(closing_wakes_every_parked_receiver) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);

    for (int i = 0; i < 3; i++)
        (void)w_recv(&w, c, 0);
    KC_CHECK_EQ(w_close_chan(&w, c), KC_OK);
    for (int i = 0; i < 3; i++)
        KC_CHECK_EQ(w_next(&w).code, KC_EPIPE);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_CLOSED_WAITERS), 3);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_RECV_EPIPE), 3);
    w_close(&w);
}

KC_TEST(senders_parked_before_the_close_still_drain_in_order) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);

    (void)w_send(&w, c, "1", 0);
    (void)w_send(&w, c, "2", 0);
    KC_CHECK_EQ(w_close_chan(&w, c), KC_OK);
    KC_CHECK_EQ(w_depth(&w), 0);
    KC_CHECK_STR(w_try_text(&w, c), "1");
    KC_CHECK_STR(w_try_text(&w, c), "2");
    KC_CHECK_STR(w_try_text(&w, c), "(closed)");
    KC_CHECK_EQ(w_next(&w).code, KC_OK);
    KC_CHECK_EQ(w_next(&w).code, KC_OK);
    w_close(&w);
}

KC_TEST(parked_senders_of_a_closed_buffer_drain_behind_it) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 1);

    (void)w_send(&w, c, "1", 0);
    (void)w_send(&w, c, "2", 0);
    (void)w_send(&w, c, "3", 0);
    (void)w_close_chan(&w, c);
    KC_CHECK_STR(w_try_text(&w, c), "1");
    KC_CHECK_STR(w_try_text(&w, c), "2");
    KC_CHECK_STR(w_try_text(&w, c), "3");
    KC_CHECK_STR(w_try_text(&w, c), "(closed)");
    w_close(&w);
}

KC_TEST(the_last_parked_sender_to_be_cancelled_ends_the_channel) {
    kc_world w = w_open();
    kc_chan c = w_chan_of(&w, (kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 1, .max_bytes = 4});
    kc_result held;
    kc_token sender = 0;

    (void)w_try_send(&w, c, "full");
    held = w_recv(&w, c, KC_OP_ACK);
    sender = w_send(&w, c, "more", 0).token; /* the held bytes leave no room */
    (void)w_close_chan(&w, c);
    KC_CHECK_EQ(w_recv(&w, c, 0).code, KC_PARKED);
    KC_CHECK_EQ(w_cancel(&w, sender), KC_OK);
    KC_CHECK_EQ(w_depth(&w), 0); /* the held one may still come back */
    KC_CHECK_EQ(w_ack(&w, held.token), KC_OK);
    KC_CHECK_EQ(w_next(&w).code, KC_EPIPE);
    w_close(&w);
}

KC_TEST(a_held_message_keeps_a_closing_channel_open_until_its_ack) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 1);
    kc_result held;

    (void)w_try_send(&w, c, "1");
    held = w_recv(&w, c, KC_OP_ACK);
    (void)w_close_chan(&w, c);
    KC_CHECK_STR(w_try_text(&w, c), "(again)");
    KC_CHECK_EQ(w_recv(&w, c, 0).code, KC_PARKED);
    KC_CHECK_EQ(w_ack(&w, held.token), KC_OK);
    KC_CHECK_EQ(w_next(&w).code, KC_EPIPE);
    w_close(&w);
}

KC_TEST(a_held_message_that_comes_back_after_the_close_is_delivered) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 1);
    kc_result held;
    kc_result again;

    (void)w_try_send(&w, c, "1");
    held = w_recv(&w, c, KC_OP_ACK);
    (void)w_close_chan(&w, c);
    (void)w_recv(&w, c, KC_OP_ACK);
    (void)w_recv(&w, c, 0);
    KC_CHECK_EQ(w_nack(&w, held.token), KC_OK);
    again = w_next(&w);
    KC_CHECK_STR(w_text(&w, again), "1");
    KC_CHECK_EQ(again.attempts, 1);
    KC_CHECK_EQ(w_depth(&w), 0);
    KC_CHECK_EQ(w_ack(&w, again.token), KC_OK);
    KC_CHECK_EQ(w_next(&w).code, KC_EPIPE);
    w_close(&w);
}

KC_TEST(what_the_asking_scope_holds_by_plain_receives_does_not_delay_its_end) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 2);
    kc_scope other = w_scope(&w, 0, 0, (kc_scope_limits){0});
    kc_op op = w_op(&w, KC_OP_TRY);
    kc_result plain;

    (void)w_try_send(&w, c, "1");
    (void)w_try_send(&w, c, "2");
    plain = w_recv(&w, c, KC_OP_HOLD);
    (void)w_close_chan(&w, c);
    KC_CHECK_STR(w_text(&w, w_recv(&w, c, 0)), "2");
    KC_CHECK_EQ(w_recv(&w, c, KC_OP_TRY).code, KC_EPIPE);
    op.scope = other;
    KC_CHECK_EQ(w_recv_op(&w, c, op).code, KC_EAGAIN); /* for others it may come back */
    KC_CHECK_EQ(w_ack(&w, plain.token), KC_OK);
    KC_CHECK_EQ(w_recv_op(&w, c, op).code, KC_EPIPE);
    KC_CHECK_EQ(w_end(&w, other, KC_REASON_CANCEL), KC_OK);
    w_close(&w);
}

KC_TEST(destroy_tells_both_sides_the_reason) {
    kc_world w = w_open();
    kc_chan a = w_rendezvous(&w);
    kc_chan b = w_rendezvous(&w);
    kc_result result;
    char text[16] = "";

    (void)w_send(&w, a, "x", 0);
    (void)w_recv(&w, b, 0);
    KC_CHECK_EQ(kc_chan_destroy(w.e, a, KC_REASON_SHUTDOWN, "tea time", 8), KC_OK);
    KC_CHECK_EQ(kc_chan_destroy(w.e, b, 0, NULL, 0), KC_OK);
    w_check(&w);
    result = w_next(&w);
    KC_CHECK_EQ(result.code, KC_ECANCELED);
    KC_CHECK_EQ(result.reason, KC_REASON_SHUTDOWN);
    result = w_next(&w);
    KC_CHECK_EQ(result.code, KC_ECANCELED);
    KC_CHECK_EQ(result.reason, KC_REASON_DESTROYED);
    KC_CHECK_EQ(kc_chan_reason(w.e, a, text, sizeof text), 8);
    KC_CHECK_STR(text, "tea time");
    KC_CHECK_EQ(kc_chan_reason(w.e, b, text, sizeof text), 0);
    w_close(&w);
}

KC_TEST(a_destroyed_channel_answers_its_reason_and_only_the_first_counts) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 1);
    kc_result result;

    KC_CHECK_EQ(kc_chan_destroy(w.e, c, KC_REASON_SHUTDOWN, NULL, 0), KC_OK);
    KC_CHECK_EQ(kc_chan_destroy(w.e, c, KC_REASON_DEAD, "later", 5), KC_OK);
    result = w_send(&w, c, "x", 0);
    KC_CHECK_EQ(result.code, KC_ECANCELED);
    KC_CHECK_EQ(result.reason, KC_REASON_SHUTDOWN);
    result = w_recv(&w, c, 0);
    KC_CHECK_EQ(result.code, KC_ECANCELED);
    KC_CHECK_EQ(result.reason, KC_REASON_SHUTDOWN);
    KC_CHECK_EQ(w_close_chan(&w, c), KC_ECANCELED);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_CLOSE_REASON), KC_REASON_SHUTDOWN);
    KC_CHECK_EQ(kc_chan_reason(w.e, c, NULL, 0), 0);
    w_close(&w);
}

KC_TEST(destroy_drops_what_waits_and_counts_it) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 4);

    (void)w_try_send(&w, c, "1");
    (void)w_try_send(&w, c, "2");
    (void)w_destroy(&w, c);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_UNDELIVERED_DROPPED), 2);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_UNDELIVERED), 2);
    KC_CHECK_EQ(w_usage(&w).messages, 0);
    w_close(&w);
}

KC_TEST(a_held_message_of_a_destroyed_channel_may_still_be_acknowledged) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 2);
    kc_result first;
    kc_result second;

    (void)w_try_send(&w, c, "1");
    (void)w_try_send(&w, c, "2");
    first = w_recv(&w, c, KC_OP_ACK);
    second = w_recv(&w, c, KC_OP_ACK);
    (void)w_destroy(&w, c);
    KC_CHECK_STR(w_text(&w, first), "1");
    KC_CHECK_EQ(w_ack(&w, first.token), KC_OK);
    KC_CHECK_EQ(w_nack(&w, second.token), KC_OK); /* never requeued */
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_TOTAL_RECVS), 1);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_UNDELIVERED_DROPPED), 1);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_UNDELIVERED_REQUEUED), 0);
    w_close(&w);
}

KC_TEST(the_record_outlives_the_last_reference_while_a_message_is_held) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 1);
    kc_result held;

    (void)w_try_send(&w, c, "1");
    held = w_recv(&w, c, KC_OP_ACK);
    KC_CHECK_EQ(kc_chan_drop(w.e, c), KC_OK);
    w_check(&w);
    KC_CHECK_EQ(kc_chan_drop(w.e, c), KC_ENOENT);
    KC_CHECK_EQ(w_usage(&w).channels, 1);
    KC_CHECK_STR(w_text(&w, held), "1");
    KC_CHECK_EQ(w_ack(&w, held.token), KC_OK);
    KC_CHECK_EQ(w_usage(&w).channels, 0);
    w_close(&w);
}

KC_TEST(dropping_the_last_reference_destroys_a_live_channel) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);

    KC_CHECK_EQ(kc_chan_keep(w.e, c), KC_OK);
    (void)w_recv(&w, c, 0);
    KC_CHECK_EQ(kc_chan_drop(w.e, c), KC_OK);
    KC_CHECK_EQ(w_depth(&w), 0);
    KC_CHECK_EQ(kc_chan_drop(w.e, c), KC_OK);
    w_check(&w);
    KC_CHECK_EQ(w_next(&w).code, KC_ECANCELED);
    KC_CHECK_EQ(w_usage(&w).channels, 0);
    w_close(&w);
}

KC_TEST(purge_drops_what_waits_and_lets_parked_senders_in) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 2);
    uint32_t count = 0;

    (void)w_send(&w, c, "1", 0);
    (void)w_send(&w, c, "2", 0);
    (void)w_send(&w, c, "3", 0);
    KC_CHECK_EQ(kc_chan_purge(w.e, c, &count), KC_OK);
    w_check(&w);
    KC_CHECK_EQ(count, 2);
    KC_CHECK_EQ(w_next(&w).code, KC_OK);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_UNDELIVERED_DROPPED), 2);
    KC_CHECK_STR(w_try_text(&w, c), "3");
    w_close(&w);
}

KC_TEST(purging_a_closing_channel_ends_it) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 2);
    uint32_t count = 0;

    (void)w_send(&w, c, "1", 0);
    (void)w_close_chan(&w, c);
    KC_CHECK_EQ(kc_chan_purge(w.e, c, &count), KC_OK);
    KC_CHECK_EQ(count, 1);
    KC_CHECK_STR(w_try_text(&w, c), "(closed)");
    w_close(&w);
}

KC_TEST(one_destroy_ends_a_thousand_waiters) {
    kc_world w = w_open_with(
        (kc_engine_config){.channels = 2, .tokens = 1100, .messages = 1100, .ports = 2, .heap_bytes = 16 << 20});
    kc_chan c = w_rendezvous(&w);
    kc_result results[64];
    uint32_t ended = 0;
    uint32_t n = 0;

    for (int i = 0; i < 1000; i++) {
        kc_op op = w_op(&w, 0);
        kc_result result;
        KC_CHECK_EQ(kc_chan_send(w.e, c, &op, "x", 1, &result), KC_PARKED);
    }
    (void)w_destroy(&w, c);
    while ((n = kc_port_take(w.e, w.port, results, 64)) != 0)
        for (uint32_t i = 0; i < n; i++)
            ended += results[i].code == KC_ECANCELED && results[i].reason == KC_REASON_DESTROYED;
    KC_CHECK_EQ(ended, 1000);
    w_close(&w);
}

KC_TEST(a_channel_that_tells_hands_dropped_messages_over) {
    kc_world w = w_open();
    kc_chan c = w_chan_of(&w, (kc_chan_config){.kind = KC_KIND_BUFFERED,
                                               .capacity = 1,
                                               .overflow = KC_OVERFLOW_DROP_OLDEST,
                                               .flags = KC_CHAN_TELL_DROPPED});
    kc_body body;

    KC_CHECK_EQ(kc_chan_take_dropped(w.e, c, &body), KC_EAGAIN);
    (void)w_try_send(&w, c, "old");
    (void)w_try_send(&w, c, "new");
    KC_CHECK_EQ(kc_chan_take_dropped(w.e, c, &body), KC_OK);
    KC_CHECK_EQ(kc_body_copy(w.e, &body, 0, w.text, 3), KC_OK);
    KC_CHECK_MEM(w.text, "old", 3);
    kc_body_drop(w.e, &body);
    (void)w_destroy(&w, c);
    KC_CHECK_EQ(kc_chan_take_dropped(w.e, c, &body), KC_OK);
    kc_body_drop(w.e, &body);
    KC_CHECK_EQ(kc_chan_take_dropped(w.e, c, &body), KC_EAGAIN);
    w_close(&w);
}

int main(void) {
    KC_RUN(a_closed_channel_refuses_new_sends_and_drains);
    KC_RUN(closing_wakes_every_parked_receiver);
    KC_RUN(senders_parked_before_the_close_still_drain_in_order);
    KC_RUN(parked_senders_of_a_closed_buffer_drain_behind_it);
    W_RUN_BYTES(the_last_parked_sender_to_be_cancelled_ends_the_channel);
    KC_RUN(a_held_message_keeps_a_closing_channel_open_until_its_ack);
    KC_RUN(a_held_message_that_comes_back_after_the_close_is_delivered);
    KC_RUN(what_the_asking_scope_holds_by_plain_receives_does_not_delay_its_end);
    KC_RUN(destroy_tells_both_sides_the_reason);
    KC_RUN(a_destroyed_channel_answers_its_reason_and_only_the_first_counts);
    KC_RUN(destroy_drops_what_waits_and_counts_it);
    KC_RUN(a_held_message_of_a_destroyed_channel_may_still_be_acknowledged);
    KC_RUN(the_record_outlives_the_last_reference_while_a_message_is_held);
    KC_RUN(dropping_the_last_reference_destroys_a_live_channel);
    KC_RUN(purge_drops_what_waits_and_lets_parked_senders_in);
    KC_RUN(purging_a_closing_channel_ends_it);
    KC_RUN(one_destroy_ends_a_thousand_waiters);
    W_RUN_BYTES(a_channel_that_tells_hands_dropped_messages_over);
    return kc_test_report();
}
