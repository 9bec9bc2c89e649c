/* Held messages: ack, nack, requeue to the old place, attempts, dead letter, undelivered policies (contract 4.9,
 * 4.10). */
#include "kc_world.h"

static kc_chan with(kc_world *w, uint32_t undelivered, kc_chan dead_letter, uint32_t max_attempts) {
    return w_chan_of(w, (kc_chan_config){.kind = KC_KIND_BUFFERED,
                                         .capacity = 8,
                                         .undelivered = undelivered,
                                         .max_attempts = max_attempts,
                                         .dead_letter = dead_letter});
}

KC_TEST(an_acknowledged_message_is_done) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 1);
    kc_result held;

    (void)w_try_send(&w, c, "1");
    held = w_recv(&w, c, KC_OP_ACK);
    KC_CHECK_EQ(held.flags, KC_RESULT_MESSAGE | KC_RESULT_HELD | KC_RESULT_ACK);
    KC_CHECK_EQ(held.attempts, 0);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_HELD), 1);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_TOTAL_RECVS), 0);
    KC_CHECK_EQ(w_ack(&w, held.token), KC_OK);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_TOTAL_RECVS), 1);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_ACKS), 1);
    KC_CHECK_EQ(w_ack(&w, held.token), KC_ENOENT);
    w_close(&w);
}

KC_TEST(a_held_message_does_not_count_against_the_capacity) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 1);
    kc_result held;

    (void)w_try_send(&w, c, "1");
    held = w_recv(&w, c, KC_OP_ACK);
    KC_CHECK_EQ(w_try_send(&w, c, "2"), KC_OK);
    KC_CHECK_EQ(w_nack(&w, held.token), KC_OK);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_READY), 2); /* a requeue needs no room */
    KC_CHECK_EQ(w_try_send(&w, c, "3"), KC_EAGAIN);
    KC_CHECK_STR(w_try_text(&w, c), "1");
    KC_CHECK_EQ(w_try_send(&w, c, "3"), KC_EAGAIN);
    KC_CHECK_STR(w_try_text(&w, c), "2");
    KC_CHECK_EQ(w_try_send(&w, c, "3"), KC_OK);
    w_close(&w);
}

KC_TEST(messages_come_back_to_their_old_places_whatever_the_order_of_the_nacks) {
    static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};

    for (int i = 0; i < 6; i++) {
        kc_world w = w_open();
        kc_chan c = w_buffered(&w, 4);
        kc_token tokens[3];
        for (char text[2] = "1"; text[0] <= '4'; text[0]++)
            (void)w_try_send(&w, c, text);
        for (int k = 0; k < 3; k++)
            tokens[k] = w_recv(&w, c, KC_OP_ACK).token;
        for (int k = 0; k < 3; k++)
            KC_CHECK_EQ(w_nack(&w, tokens[orders[i][k]]), KC_OK);
        KC_CHECK_STR(w_try_text(&w, c), "1");
        KC_CHECK_STR(w_try_text(&w, c), "2");
        KC_CHECK_STR(w_try_text(&w, c), "3");
        KC_CHECK_STR(w_try_text(&w, c), "4");
        w_close(&w);
    }
}

KC_TEST(a_redelivered_message_says_so_and_counts) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);
    kc_result held;

    (void)w_send(&w, c, "1", 0);
    held = w_recv(&w, c, KC_OP_ACK);
    KC_CHECK_EQ(w_next(&w).code, KC_OK); /* the sender is done: the message was taken */
    for (uint32_t attempts = 1; attempts <= 70; attempts++) {
        KC_CHECK_EQ(w_nack(&w, held.token), KC_OK);
        held = w_recv(&w, c, KC_OP_ACK);
        KC_CHECK(held.flags & KC_RESULT_REDELIVERED);
        KC_CHECK_EQ(held.attempts, attempts < 63 ? attempts : 63); /* six bits, saturating */
    }
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_REDELIVERED), 70);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_NACKS), 70);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_UNDELIVERED_REQUEUED), 70);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_TOTAL_SENDS), 1);
    KC_CHECK_EQ(w_ack(&w, held.token), KC_OK);
    w_close(&w);
}

KC_TEST(a_message_that_comes_back_goes_to_a_parked_receiver) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);
    kc_result held;

    (void)w_send(&w, c, "1", 0);
    held = w_recv(&w, c, KC_OP_ACK);
    (void)w_next(&w);
    (void)w_recv(&w, c, 0);
    KC_CHECK_EQ(w_nack(&w, held.token), KC_OK);
    held = w_next(&w);
    KC_CHECK_EQ(held.flags, KC_RESULT_MESSAGE | KC_RESULT_REDELIVERED);
    KC_CHECK_STR(w_text(&w, held), "1");
    w_close(&w);
}

KC_TEST(a_requeued_message_stands_before_parked_senders) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);
    kc_result held;

    (void)w_send(&w, c, "1", 0);
    held = w_recv(&w, c, KC_OP_ACK);
    (void)w_send(&w, c, "2", 0);
    (void)w_nack(&w, held.token);
    KC_CHECK_STR(w_try_text(&w, c), "1");
    KC_CHECK_STR(w_try_text(&w, c), "2");
    w_close(&w);
}

KC_TEST(a_returned_message_is_back_as_if_nobody_had_taken_it) {
    kc_world w = w_open();
    kc_chan c = with(&w, KC_UNDELIVERED_DROP, 0, 1); /* neither the policy nor the attempts are asked */
    kc_result held;

    (void)w_try_send(&w, c, "1");
    (void)w_try_send(&w, c, "2");
    held = w_recv(&w, c, KC_OP_HOLD);
    KC_CHECK_EQ(kc_waiter_token_awaits_ack(w.e, w.scope, held.token), 0);
    KC_CHECK_EQ(kc_waiter_token_return(w.e, w.scope, held.token), KC_OK);
    w_check(&w);
    KC_CHECK_EQ(kc_waiter_token_return(w.e, w.scope, held.token), KC_ENOENT);
    held = w_recv(&w, c, KC_OP_ACK);
    KC_CHECK_EQ(held.attempts, 0);
    KC_CHECK_EQ(held.flags & KC_RESULT_REDELIVERED, 0);
    KC_CHECK_STR(w_text(&w, held), "1");
    KC_CHECK_EQ(kc_waiter_token_awaits_ack(w.e, w.scope, held.token), 1);
    KC_CHECK_EQ(kc_waiter_token_awaits_ack(w.e, 0, held.token), 0);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_UNDELIVERED_REQUEUED), 0);
    (void)w_destroy(&w, c);
    KC_CHECK_EQ(kc_waiter_token_return(w.e, w.scope, held.token), KC_OK); /* nowhere to go back to */
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_UNDELIVERED_DROPPED), 2);
    w_close(&w);
}

KC_TEST(only_the_holding_scope_may_settle) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 1);
    kc_scope other = w_scope(&w, 0, 0, (kc_scope_limits){0});
    kc_result held;

    (void)w_try_send(&w, c, "1");
    held = w_recv(&w, c, KC_OP_ACK);
    KC_CHECK_EQ(kc_waiter_token_ack(w.e, other, held.token), KC_ENOENT);
    KC_CHECK_EQ(kc_waiter_token_nack(w.e, other, held.token), KC_ENOENT);
    KC_CHECK_EQ(kc_waiter_token_ack(w.e, 0, held.token), KC_ENOENT);
    KC_CHECK_EQ(w_end(&w, other, KC_REASON_CANCEL), KC_OK);
    KC_CHECK_EQ(kc_waiter_token_ack(w.e, other, held.token), KC_ENOENT);
    KC_CHECK_EQ(w_ack(&w, held.token), KC_OK);
    w_close(&w);
}

KC_TEST(a_waiter_that_holds_nothing_cannot_be_acknowledged) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);
    kc_token parked = w_recv(&w, c, KC_OP_ACK).token;

    KC_CHECK_EQ(w_ack(&w, parked), KC_ENOENT);
    KC_CHECK_EQ(w_nack(&w, parked), KC_ENOENT);
    KC_CHECK_EQ(w_try_send(&w, c, "1"), KC_OK);
    KC_CHECK_EQ(w_ack(&w, parked), KC_ENOENT); /* its result waits at the port */
    KC_CHECK_EQ(w_next(&w).token, parked);
    KC_CHECK_EQ(w_ack(&w, parked), KC_OK);
    w_close(&w);
}

KC_TEST(a_channel_that_demands_acks_refuses_plain_receives) {
    kc_world w = w_open();
    kc_chan c = w_chan_of(
        &w, (kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 1, .flags = KC_CHAN_ACK_REQUIRED});
    kc_result held;

    (void)w_try_send(&w, c, "1");
    KC_CHECK_EQ(w_recv(&w, c, 0).code, KC_EINVAL);
    KC_CHECK_EQ(w_recv(&w, c, KC_OP_HOLD).code, KC_EINVAL);
    held = w_recv(&w, c, KC_OP_ACK);
    KC_CHECK_EQ(held.code, KC_OK);
    KC_CHECK_EQ(w_ack(&w, held.token), KC_OK);
    w_close(&w);
}

KC_TEST(after_its_last_attempt_a_message_is_dropped_and_logged) {
    kc_world w = w_open();
    kc_chan c = w_chan_of(
        &w, (kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 4, .max_attempts = 2, .user = 77});
    kc_event event;

    (void)w_try_send(&w, c, "1");
    KC_CHECK_EQ(w_nack(&w, w_recv(&w, c, KC_OP_ACK).token), KC_OK);
    KC_CHECK_EQ(kc_engine_take_event(w.e, &event), 0);
    KC_CHECK_EQ(w_nack(&w, w_recv(&w, c, KC_OP_ACK).token), KC_OK);
    KC_CHECK_STR(w_try_text(&w, c), "(again)");
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_UNDELIVERED_DROPPED), 1);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_UNDELIVERED_REQUEUED), 1);
    KC_CHECK_EQ(kc_engine_take_event(w.e, &event), 1);
    KC_CHECK_EQ(event.kind, KC_EVENT_ATTEMPTS);
    KC_CHECK_EQ(event.chan_user, 77);
    w_close(&w);
}

KC_TEST(after_its_last_attempt_a_message_goes_to_the_dead_letter_channel) {
    kc_world w = w_open();
    kc_chan letters = w_chan(&w, KC_KIND_UNLIMITED, 0);
    kc_chan c = with(&w, 0, letters, 1);

    (void)w_try_send(&w, c, "1");
    KC_CHECK_EQ(w_nack(&w, w_recv(&w, c, KC_OP_ACK).token), KC_OK);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_UNDELIVERED), 1);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_UNDELIVERED_DEAD_LETTERED), 1);
    KC_CHECK_EQ(w_stat(&w, letters, KC_STAT_TOTAL_SENDS), 1);
    KC_CHECK_STR(w_try_text(&w, letters), "1");
    w_close(&w);
}

KC_TEST(a_dead_letter_wakes_whoever_waits_for_it) {
    kc_world w = w_open();
    kc_chan letters = w_chan(&w, KC_KIND_UNLIMITED, 0);
    kc_chan c = with(&w, KC_UNDELIVERED_DEAD_LETTER, letters, 0);

    (void)w_recv(&w, letters, 0);
    (void)w_try_send(&w, c, "1");
    (void)w_destroy(&w, c);
    KC_CHECK_STR(w_next_text(&w), "1");
    w_close(&w);
}

KC_TEST(an_undelivered_plain_message_meets_the_policy_of_its_channel) {
    static const struct {
        uint32_t policy;
        int counter;
        const char *back, *letter;
    } cases[] = {{KC_UNDELIVERED_BY_KIND, KC_STAT_UNDELIVERED_REQUEUED, "1", "(again)"},
                 {KC_UNDELIVERED_REQUEUE, KC_STAT_UNDELIVERED_REQUEUED, "1", "(again)"},
                 {KC_UNDELIVERED_DROP, KC_STAT_UNDELIVERED_DROPPED, "(again)", "(again)"},
                 {KC_UNDELIVERED_DEAD_LETTER, KC_STAT_UNDELIVERED_DEAD_LETTERED, "(again)", "1"}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        kc_world w = w_open();
        kc_chan letters = w_chan(&w, KC_KIND_UNLIMITED, 0);
        kc_chan c = with(&w, cases[i].policy, letters, 0);
        (void)w_try_send(&w, c, "1");
        KC_CHECK_EQ(w_nack(&w, w_recv(&w, c, KC_OP_HOLD).token), KC_OK);
        KC_CHECK_EQ(w_stat(&w, c, cases[i].counter), 1);
        KC_CHECK_EQ(w_stat(&w, c, KC_STAT_NACKS), 0);
        KC_CHECK_STR(w_try_text(&w, c), cases[i].back);
        KC_CHECK_STR(w_try_text(&w, letters), cases[i].letter);
        w_close(&w);
    }
}

KC_TEST(an_evicted_message_goes_to_the_dead_letter_channel_and_counts_as_evicted_only) {
    kc_world w = w_open();
    kc_chan letters = w_chan(&w, KC_KIND_UNLIMITED, 0);
    kc_chan c = w_chan_of(&w, (kc_chan_config){.kind = KC_KIND_BUFFERED,
                                               .capacity = 1,
                                               .overflow = KC_OVERFLOW_DROP_OLDEST,
                                               .undelivered = KC_UNDELIVERED_DEAD_LETTER,
                                               .dead_letter = letters});

    (void)w_try_send(&w, c, "1");
    (void)w_try_send(&w, c, "2");
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_DROPS_OLDEST), 1);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_UNDELIVERED), 0);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_UNDELIVERED_DEAD_LETTERED), 0);
    KC_CHECK_STR(w_try_text(&w, letters), "1");
    w_close(&w);
}

KC_TEST(a_full_or_closed_dead_letter_channel_loses_the_message_and_logs_it) {
    for (int closed = 0; closed <= 1; closed++) {
        kc_world w = w_open();
        kc_chan letters = w_chan_of(&w, (kc_chan_config){.kind = KC_KIND_UNLIMITED, .max_items = 1});
        kc_chan c = with(&w, KC_UNDELIVERED_DEAD_LETTER, letters, 0);
        kc_event event;
        if (closed)
            (void)w_close_chan(&w, letters);
        else
            (void)w_try_send(&w, letters, "full");
        (void)w_try_send(&w, c, "1");
        KC_CHECK_EQ(w_nack(&w, w_recv(&w, c, KC_OP_HOLD).token), KC_OK);
        KC_CHECK_EQ(w_stat(&w, c, KC_STAT_UNDELIVERED_DROPPED), 1);
        KC_CHECK_EQ(w_stat(&w, c, KC_STAT_UNDELIVERED_DEAD_LETTERED), 0);
        KC_CHECK_EQ(kc_engine_take_event(w.e, &event), 1);
        KC_CHECK_EQ(event.kind, KC_EVENT_DEAD_LETTER);
        w_close(&w);
    }
}

KC_TEST(a_dead_letter_channel_must_be_unlimited_open_and_without_one_of_its_own) {
    kc_world w = w_open();
    kc_chan letters = w_chan(&w, KC_KIND_UNLIMITED, 0);
    kc_chan second = w_chan_of(&w, (kc_chan_config){.kind = KC_KIND_UNLIMITED, .dead_letter = letters});
    kc_chan_config config = {.kind = KC_KIND_BUFFERED, .capacity = 1, .dead_letter = w_buffered(&w, 1)};
    kc_chan chan = 0;

    KC_CHECK_EQ(kc_chan_make(w.e, &config, &chan, NULL), KC_EINVAL);
    config.dead_letter = second;
    KC_CHECK_EQ(kc_chan_make(w.e, &config, &chan, NULL), KC_EINVAL);
    config.dead_letter = 12345;
    KC_CHECK_EQ(kc_chan_make(w.e, &config, &chan, NULL), KC_EINVAL);
    config.dead_letter = letters;
    config.flags = KC_CHAN_TELL_DROPPED; /* one message cannot be told and moved */
    KC_CHECK_EQ(kc_chan_make(w.e, &config, &chan, NULL), KC_EINVAL);
    config.flags = 0;
    config.dead_letter = w_chan_of(&w, (kc_chan_config){.kind = KC_KIND_UNLIMITED, .elem_size = 10});
    KC_CHECK_EQ(kc_chan_make(w.e, &config, &chan, NULL), KC_EINVAL); /* would not take every letter */
    config.elem_size = 10;
    KC_CHECK_EQ(kc_chan_make(w.e, &config, &chan, NULL), KC_OK);
    KC_CHECK_EQ(kc_chan_drop(w.e, chan), KC_OK);
    config.dead_letter = 0;
    config.undelivered = KC_UNDELIVERED_DEAD_LETTER;
    KC_CHECK_EQ(kc_chan_make(w.e, &config, &chan, NULL), KC_EINVAL);
    config.undelivered = 4;
    KC_CHECK_EQ(kc_chan_make(w.e, &config, &chan, NULL), KC_EINVAL);
    config = (kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 1, .max_attempts = 64};
    KC_CHECK_EQ(kc_chan_make(w.e, &config, &chan, NULL), KC_EINVAL);
    w_close(&w);
}

KC_TEST(a_dead_letter_channel_lives_as_long_as_a_channel_that_names_it) {
    kc_world w = w_open();
    kc_chan letters = w_chan(&w, KC_KIND_UNLIMITED, 0);
    kc_chan c = with(&w, KC_UNDELIVERED_DEAD_LETTER, letters, 0);

    (void)w_try_send(&w, c, "1");
    KC_CHECK_EQ(kc_chan_drop(w.e, letters), KC_OK);
    w_check(&w);
    KC_CHECK_EQ(w_usage(&w).channels, 2);
    KC_CHECK_EQ(kc_chan_drop(w.e, c), KC_OK); /* destroyed, its message moved, then both are gone */
    w_check(&w);
    KC_CHECK_EQ(w_usage(&w).channels, 0);
    KC_CHECK_EQ(w_usage(&w).messages, 0);
    w_close(&w);
}

KC_TEST(another_dead_letter_channel_gets_what_comes_from_then_on) {
    kc_world w = w_open();
    kc_chan letters = w_chan(&w, KC_KIND_UNLIMITED, 0);
    kc_chan c = with(&w, KC_UNDELIVERED_DEAD_LETTER, letters, 0);
    kc_chan next = 0;

    KC_CHECK_EQ(kc_chan_destroy(w.e, letters, KC_REASON_DESTROYED, NULL, 0), KC_OK);
    KC_CHECK_EQ(kc_chan_drop(w.e, letters), KC_OK);
    KC_CHECK_EQ(w_usage(&w).channels, 2); /* the channel still refers to it */
    next = w_chan(&w, KC_KIND_UNLIMITED, 0);
    KC_CHECK_EQ(kc_chan_set_dead_letter(w.e, c, next), KC_OK);
    w_check(&w);
    KC_CHECK_EQ(w_usage(&w).channels, 2); /* the old one is gone */
    KC_CHECK_EQ(kc_chan_set_dead_letter(w.e, c, next), KC_OK);
    (void)w_try_send(&w, c, "1");
    KC_CHECK_EQ(kc_chan_drop(w.e, c), KC_OK);
    w_check(&w);
    KC_CHECK_STR(w_try_text(&w, next), "1");
    KC_CHECK_EQ(kc_chan_drop(w.e, next), KC_OK); /* its last reference: none was left behind */
    w_check(&w);
    KC_CHECK_EQ(w_usage(&w).channels, 0);
    w_close(&w);
}

KC_TEST(another_dead_letter_channel_must_fit_as_the_first_one_did) {
    kc_world w = w_open();
    kc_chan letters = w_chan(&w, KC_KIND_UNLIMITED, 0);
    kc_chan c = with(&w, KC_UNDELIVERED_DEAD_LETTER, letters, 0);
    kc_chan plain = w_buffered(&w, 1);
    kc_chan gone = w_chan(&w, KC_KIND_UNLIMITED, 0);

    KC_CHECK_EQ(kc_chan_destroy(w.e, gone, KC_REASON_DESTROYED, NULL, 0), KC_OK);
    KC_CHECK_EQ(kc_chan_set_dead_letter(w.e, c, plain), KC_EINVAL);
    KC_CHECK_EQ(kc_chan_set_dead_letter(w.e, c, gone), KC_EINVAL);
    KC_CHECK_EQ(kc_chan_set_dead_letter(w.e, c, c), KC_EINVAL);
    KC_CHECK_EQ(kc_chan_set_dead_letter(w.e, c, 0), KC_EINVAL);
    KC_CHECK_EQ(kc_chan_set_dead_letter(w.e, c, 12345), KC_EINVAL);
    KC_CHECK_EQ(kc_chan_set_dead_letter(w.e, plain, letters), KC_EINVAL); /* it was made without one */
    KC_CHECK_EQ(kc_chan_set_dead_letter(w.e, 12345, letters), KC_ENOENT);
    KC_CHECK_EQ(kc_chan_destroy(w.e, c, KC_REASON_DESTROYED, NULL, 0), KC_OK);
    KC_CHECK_EQ(kc_chan_set_dead_letter(w.e, c, letters), KC_ECANCELED);
    w_check(&w);
    w_close(&w);
}

int main(void) {
    KC_RUN(an_acknowledged_message_is_done);
    KC_RUN(a_held_message_does_not_count_against_the_capacity);
    KC_RUN(messages_come_back_to_their_old_places_whatever_the_order_of_the_nacks);
    KC_RUN(a_redelivered_message_says_so_and_counts);
    KC_RUN(a_message_that_comes_back_goes_to_a_parked_receiver);
    KC_RUN(a_requeued_message_stands_before_parked_senders);
    KC_RUN(a_returned_message_is_back_as_if_nobody_had_taken_it);
    KC_RUN(only_the_holding_scope_may_settle);
    KC_RUN(a_waiter_that_holds_nothing_cannot_be_acknowledged);
    KC_RUN(a_channel_that_demands_acks_refuses_plain_receives);
    KC_RUN(after_its_last_attempt_a_message_is_dropped_and_logged);
    KC_RUN(after_its_last_attempt_a_message_goes_to_the_dead_letter_channel);
    KC_RUN(a_dead_letter_wakes_whoever_waits_for_it);
    KC_RUN(an_undelivered_plain_message_meets_the_policy_of_its_channel);
    KC_RUN(an_evicted_message_goes_to_the_dead_letter_channel_and_counts_as_evicted_only);
    KC_RUN(a_full_or_closed_dead_letter_channel_loses_the_message_and_logs_it);
    KC_RUN(a_dead_letter_channel_must_be_unlimited_open_and_without_one_of_its_own);
    KC_RUN(a_dead_letter_channel_lives_as_long_as_a_channel_that_names_it);
    KC_RUN(another_dead_letter_channel_gets_what_comes_from_then_on);
    KC_RUN(another_dead_letter_channel_must_fit_as_the_first_one_did);
    return kc_test_report();
}
