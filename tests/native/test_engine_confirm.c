/* complete="ack": a send that is done only when its message was acknowledged (contract 4.9). */
#include "kc_world.h"

KC_TEST(a_confirmed_send_completes_with_the_ack_and_not_before) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 1);
    kc_result sent = w_send(&w, c, "1", KC_OP_CONFIRM);
    kc_result held;

    KC_CHECK_EQ(sent.code, KC_PARKED);
    KC_CHECK_EQ(kc_waiter_token_status(w.e, sent.token), KC_TOKEN_TAKEN);
    held = w_recv(&w, c, KC_OP_ACK);
    KC_CHECK_EQ(w_depth(&w), 0);
    KC_CHECK_EQ(w_ack(&w, held.token), KC_OK);
    sent = w_next(&w);
    KC_CHECK_EQ(sent.code, KC_OK);
    KC_CHECK_EQ(sent.flags, KC_RESULT_SEND);
    w_close(&w);
}

KC_TEST(a_parked_confirmed_send_is_taken_by_the_match) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);
    kc_result sent = w_send(&w, c, "1", KC_OP_CONFIRM);
    kc_result held;

    KC_CHECK_EQ(kc_waiter_token_status(w.e, sent.token), KC_TOKEN_ENQUEUED);
    held = w_recv(&w, c, KC_OP_ACK);
    KC_CHECK_EQ(kc_waiter_token_status(w.e, sent.token), KC_TOKEN_TAKEN);
    KC_CHECK_EQ(w_depth(&w), 0);
    KC_CHECK_EQ(w_nack(&w, held.token), KC_OK);
    KC_CHECK_EQ(w_depth(&w), 0); /* it will be delivered again */
    held = w_recv(&w, c, KC_OP_ACK);
    KC_CHECK_EQ(w_ack(&w, held.token), KC_OK);
    KC_CHECK_EQ(w_next(&w).code, KC_OK);
    w_close(&w);
}

KC_TEST(a_confirmed_send_meets_a_parked_receiver) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);
    kc_result held;

    (void)w_recv(&w, c, KC_OP_ACK);
    KC_CHECK_EQ(w_send(&w, c, "1", KC_OP_CONFIRM).code, KC_PARKED);
    held = w_next(&w);
    KC_CHECK_EQ(w_depth(&w), 0);
    KC_CHECK_EQ(w_ack(&w, held.token), KC_OK);
    KC_CHECK_EQ(w_next(&w).code, KC_OK);
    w_close(&w);
}

KC_TEST(a_plain_receive_confirms_when_its_message_is_done) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 2);

    (void)w_send(&w, c, "1", KC_OP_CONFIRM);
    KC_CHECK_STR(w_try_text(&w, c), "1");
    KC_CHECK_EQ(w_next(&w).code, KC_OK);
    (void)w_recv(&w, c, 0);
    (void)w_send(&w, c, "2", KC_OP_CONFIRM);
    KC_CHECK_EQ(w_depth(&w), 1);
    KC_CHECK_STR(w_next_text(&w), "2"); /* taking the result is what completes a plain receive */
    KC_CHECK_EQ(w_next(&w).code, KC_OK);
    w_close(&w);
}

KC_TEST(cancelling_before_acceptance_takes_the_message_back) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);
    kc_result sent = w_send(&w, c, "1", KC_OP_CONFIRM);

    KC_CHECK_EQ(w_cancel(&w, sent.token), KC_OK);
    KC_CHECK_STR(w_try_text(&w, c), "(again)");
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_UNCONFIRMED), 0);
    w_close(&w);
}

KC_TEST(cancelling_after_acceptance_ends_only_the_wait) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 1);
    kc_result sent = w_send(&w, c, "1", KC_OP_CONFIRM);
    kc_result result;

    KC_CHECK_EQ(kc_waiter_token_cancel(w.e, sent.token, KC_REASON_CANCEL, &result), KC_EINPROGRESS);
    w_check(&w);
    KC_CHECK_EQ(result.code, KC_EINPROGRESS);
    KC_CHECK_EQ(result.user, sent.user);
    KC_CHECK_EQ(w_cancel(&w, sent.token), KC_ENOENT);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_UNCONFIRMED), 1);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_CANCELLED_WAITERS), 0);
    KC_CHECK_STR(w_try_text(&w, c), "1");
    KC_CHECK_EQ(w_depth(&w), 0);
    w_close(&w);
}

KC_TEST(a_deadline_after_acceptance_ends_only_the_wait) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 1);
    kc_op op = w_until(&w, 10);
    kc_result result;

    op.flags = KC_OP_CONFIRM;
    KC_CHECK_EQ(w_send_op(&w, c, "1", op).code, KC_PARKED);
    KC_CHECK_EQ(w_tick(&w, 10), 1);
    result = w_next(&w);
    KC_CHECK_EQ(result.code, KC_EINPROGRESS);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_UNCONFIRMED), 1);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_CANCELLED_WAITERS), 0);
    KC_CHECK_STR(w_try_text(&w, c), "1");
    w_close(&w);
}

KC_TEST(a_deadline_before_acceptance_is_etime) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);
    kc_op op = w_until(&w, 10);

    op.flags = KC_OP_CONFIRM;
    (void)w_send_op(&w, c, "1", op);
    (void)w_tick(&w, 10);
    KC_CHECK_EQ(w_next(&w).code, KC_ETIME);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_TOTAL_SENDS), 0);
    w_close(&w);
}

KC_TEST(a_confirmed_try_is_in_progress_when_accepted_and_eagain_when_not) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 1);

    KC_CHECK_EQ(w_send(&w, c, "1", KC_OP_CONFIRM | KC_OP_TRY).code, KC_EINPROGRESS);
    KC_CHECK_EQ(w_send(&w, c, "2", KC_OP_CONFIRM | KC_OP_TRY).code, KC_EAGAIN);
    KC_CHECK_EQ(w_usage(&w).tokens, 0);
    KC_CHECK_STR(w_try_text(&w, c), "1");
    w_close(&w);
}

KC_TEST(a_sender_learns_how_its_accepted_message_was_lost) {
    enum { EVICT, PURGE, DESTROY, ATTEMPTS, LETTER, DROP, WAYS };
    static const uint32_t reasons[WAYS] = {KC_REASON_EVICTED,  KC_REASON_PURGED,        KC_REASON_DESTROYED,
                                           KC_REASON_ATTEMPTS, KC_REASON_DEAD_LETTERED, KC_REASON_UNDELIVERED};

    for (int way = 0; way < WAYS; way++) {
        kc_world w = w_open();
        kc_chan letters = w_chan(&w, KC_KIND_UNLIMITED, 0);
        kc_chan_config config = {.kind = KC_KIND_BUFFERED, .capacity = 1};
        kc_result result;
        kc_chan c = 0;
        uint32_t count = 0;
        config.overflow = way == EVICT ? KC_OVERFLOW_DROP_OLDEST : KC_OVERFLOW_SUSPEND;
        config.max_attempts = way == ATTEMPTS || way == LETTER;
        config.dead_letter = way == LETTER ? letters : 0;
        config.undelivered = way == DROP ? KC_UNDELIVERED_DROP : 0;
        c = w_chan_of(&w, config);
        KC_CHECK_EQ(w_send(&w, c, "1", KC_OP_CONFIRM).code, KC_PARKED);
        if (way == EVICT)
            (void)w_try_send(&w, c, "2");
        else if (way == PURGE)
            (void)kc_chan_purge(w.e, c, &count);
        else if (way == DESTROY)
            (void)w_destroy(&w, c);
        else
            (void)w_nack(&w, w_recv(&w, c, way == DROP ? KC_OP_HOLD : KC_OP_ACK).token);
        result = w_next(&w);
        KC_CHECK_EQ(result.code, KC_ECANCELED);
        KC_CHECK_EQ(result.reason, reasons[way]);
        KC_CHECK_EQ(w_depth(&w), 0);
        w_close(&w);
    }
}

KC_TEST(a_sender_learns_that_the_dead_letter_channel_was_full) {
    kc_world w = w_open();
    kc_chan letters = w_chan_of(&w, (kc_chan_config){.kind = KC_KIND_UNLIMITED, .max_items = 1});
    kc_chan c = w_chan_of(&w, (kc_chan_config){.kind = KC_KIND_BUFFERED,
                                               .capacity = 1,
                                               .undelivered = KC_UNDELIVERED_DEAD_LETTER,
                                               .dead_letter = letters});
    kc_result result;

    (void)w_try_send(&w, letters, "full");
    (void)w_send(&w, c, "1", KC_OP_CONFIRM);
    (void)w_destroy(&w, c);
    result = w_next(&w);
    KC_CHECK_EQ(result.code, KC_ECANCELED);
    KC_CHECK_EQ(result.reason, KC_REASON_UNDELIVERED);
    w_close(&w);
}

KC_TEST(a_sender_learns_the_reason_of_the_destroy_whoever_held_its_message) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 2);
    kc_result held;

    (void)w_send(&w, c, "held", KC_OP_CONFIRM);
    (void)w_send(&w, c, "ready", KC_OP_CONFIRM);
    held = w_recv(&w, c, KC_OP_ACK);
    KC_CHECK_EQ(kc_chan_destroy(w.e, c, KC_REASON_SHUTDOWN, NULL, 0), KC_OK);
    KC_CHECK_EQ(w_next(&w).reason, KC_REASON_SHUTDOWN);
    KC_CHECK_EQ(w_nack(&w, held.token), KC_OK);
    KC_CHECK_EQ(w_next(&w).reason, KC_REASON_SHUTDOWN);
    w_close(&w);
}

KC_TEST(a_waiting_confirmed_send_counts_as_parked_until_it_is_decided) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 4);
    kc_scope scope = w_scope(&w, 0, 0, (kc_scope_limits){.parked = 1});
    kc_op op = w_op(&w, KC_OP_CONFIRM);
    kc_result result;

    op.scope = scope;
    KC_CHECK_EQ(w_send_op(&w, c, "1", op).code, KC_PARKED);
    result = w_send_op(&w, c, "2", op);
    KC_CHECK_EQ(result.code, KC_EDQUOT);
    KC_CHECK_EQ(result.refusal.quota, KC_QUOTA_SCOPE_PARKED);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_DEPTH), 1); /* refused means not accepted */
    KC_CHECK_STR(w_try_text(&w, c), "1");
    KC_CHECK_EQ(w_send_op(&w, c, "2", op).code, KC_PARKED);
    KC_CHECK_EQ(w_end(&w, scope, KC_REASON_DEAD), KC_OK);
    w_close(&w);
}

KC_TEST(the_death_of_a_confirmed_sender_leaves_its_accepted_message) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 1);
    kc_scope scope = w_scope(&w, 0, 0, (kc_scope_limits){0});
    kc_op op = w_op(&w, KC_OP_CONFIRM);

    op.scope = scope;
    (void)w_send_op(&w, c, "1", op);
    KC_CHECK_EQ(w_end(&w, scope, KC_REASON_DEAD), KC_OK);
    KC_CHECK_STR(w_try_text(&w, c), "1");
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_UNCONFIRMED), 1);
    KC_CHECK_EQ(w_depth(&w), 0);
    w_close(&w);
}

int main(void) {
    KC_RUN(a_confirmed_send_completes_with_the_ack_and_not_before);
    KC_RUN(a_parked_confirmed_send_is_taken_by_the_match);
    KC_RUN(a_confirmed_send_meets_a_parked_receiver);
    KC_RUN(a_plain_receive_confirms_when_its_message_is_done);
    KC_RUN(cancelling_before_acceptance_takes_the_message_back);
    KC_RUN(cancelling_after_acceptance_ends_only_the_wait);
    KC_RUN(a_deadline_after_acceptance_ends_only_the_wait);
    KC_RUN(a_deadline_before_acceptance_is_etime);
    KC_RUN(a_confirmed_try_is_in_progress_when_accepted_and_eagain_when_not);
    KC_RUN(a_sender_learns_how_its_accepted_message_was_lost);
    KC_RUN(a_sender_learns_that_the_dead_letter_channel_was_full);
    KC_RUN(a_sender_learns_the_reason_of_the_destroy_whoever_held_its_message);
    KC_RUN(a_waiting_confirmed_send_counts_as_parked_until_it_is_decided);
    KC_RUN(the_death_of_a_confirmed_sender_leaves_its_accepted_message);
    return kc_test_report();
}
