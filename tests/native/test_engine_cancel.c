/* Cancel, deadlines, the clock: one claim decides; either the operation happened or nothing happened (contract 4.7). */
#include "kc_world.h"

KC_TEST(a_cancelled_send_never_happened) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);
    kc_result parked = w_send(&w, c, "x", 0);
    kc_result result;

    KC_CHECK_EQ(kc_waiter_token_cancel(w.e, parked.token, KC_REASON_CANCEL, &result), KC_OK);
    w_check(&w);
    KC_CHECK_EQ(result.code, KC_ECANCELED);
    KC_CHECK_EQ(result.reason, KC_REASON_CANCEL);
    KC_CHECK_EQ(result.user, parked.user);
    KC_CHECK_EQ(w_depth(&w), 0);
    KC_CHECK_STR(w_try_text(&w, c), "(again)");
    KC_CHECK_EQ(w_usage(&w).messages, 0);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_CANCELLED_CANCEL), 1);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_TOTAL_SENDS), 0);
    w_close(&w);
}

KC_TEST(a_cancelled_receive_takes_nothing) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);
    kc_result parked = w_recv(&w, c, 0);

    KC_CHECK_EQ(w_cancel(&w, parked.token), KC_OK);
    KC_CHECK_EQ(w_try_send(&w, c, "x"), KC_EAGAIN);
    KC_CHECK_EQ(w_cancel(&w, parked.token), KC_ENOENT);
    w_close(&w);
}

KC_TEST(a_cancel_after_the_match_is_ebusy_and_the_result_stands) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);
    kc_result sender = w_send(&w, c, "x", 0);
    kc_result receiver;

    KC_CHECK_STR(w_try_text(&w, c), "x");
    KC_CHECK_EQ(w_cancel(&w, sender.token), KC_EBUSY);
    KC_CHECK_EQ(w_next(&w).code, KC_OK);
    KC_CHECK_EQ(w_cancel(&w, sender.token), KC_ENOENT);
    receiver = w_recv(&w, c, 0);
    KC_CHECK_EQ(w_try_send(&w, c, "y"), KC_OK);
    KC_CHECK_EQ(w_cancel(&w, receiver.token), KC_EBUSY);
    KC_CHECK_STR(w_next_text(&w), "y");
    w_close(&w);
}

KC_TEST(a_cancelled_waiter_lets_the_next_one_be_served) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);
    kc_token first = w_send(&w, c, "1", 0).token;
    kc_token middle = 0;
    kc_token last = 0;

    (void)w_send(&w, c, "2", 0);
    middle = w_send(&w, c, "3", 0).token;
    (void)w_send(&w, c, "4", 0);
    last = w_send(&w, c, "5", 0).token;
    KC_CHECK_EQ(w_cancel(&w, middle), KC_OK);
    KC_CHECK_EQ(w_cancel(&w, first), KC_OK);
    KC_CHECK_EQ(w_cancel(&w, last), KC_OK);
    KC_CHECK_STR(w_try_text(&w, c), "2");
    KC_CHECK_STR(w_try_text(&w, c), "4");
    KC_CHECK_STR(w_try_text(&w, c), "(again)");
    w_close(&w);
}

KC_TEST(a_ticket_of_a_freed_token_never_meets_the_next_one) {
    kc_world w = w_open_with((kc_engine_config){.channels = 2, .tokens = 1, .messages = 4, .heap_bytes = 1 << 20});
    kc_chan c = w_rendezvous(&w);
    kc_token old = w_recv(&w, c, 0).token;
    kc_token now = 0;

    KC_CHECK_EQ(w_cancel(&w, old), KC_OK);
    now = w_recv(&w, c, 0).token;
    KC_CHECK_EQ((uint32_t)now, (uint32_t)old);
    KC_CHECK(now != old);
    KC_CHECK_EQ(w_cancel(&w, old), KC_ENOENT);
    KC_CHECK_EQ(kc_waiter_token_status(w.e, old), KC_ENOENT);
    KC_CHECK_EQ(w_ack(&w, old), KC_ENOENT);
    KC_CHECK_EQ(w_nack(&w, old), KC_ENOENT);
    KC_CHECK_EQ(kc_waiter_token_status(w.e, now), KC_TOKEN_ENQUEUED);
    w_close(&w);
}

KC_TEST(tokens_that_never_were_are_enoent) {
    kc_world w = w_open();
    static const kc_token wrong[] = {0, 1, UINT64_MAX, (uint64_t)1 << 32, ((uint64_t)1 << 32) | 0xFFFFFFFFU, 300};

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        kc_body body;
        KC_CHECK_EQ(w_cancel(&w, wrong[i]), KC_ENOENT);
        KC_CHECK_EQ(w_ack(&w, wrong[i]), KC_ENOENT);
        KC_CHECK_EQ(w_nack(&w, wrong[i]), KC_ENOENT);
        KC_CHECK_EQ(kc_waiter_token_status(w.e, wrong[i]), KC_ENOENT);
        KC_CHECK_EQ(kc_waiter_token_body(w.e, wrong[i], &body), KC_ENOENT);
        KC_CHECK_EQ(kc_chan_waiter_scope_end(w.e, wrong[i] == w.scope ? 0 : wrong[i], 0), KC_ENOENT);
        KC_CHECK_EQ(kc_chan_close(w.e, wrong[i]), KC_ENOENT);
    }
    w_close(&w);
}

KC_TEST(a_deadline_ends_a_waiter_at_its_time_and_not_before) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);
    kc_result result;

    KC_CHECK_EQ(w_recv_op(&w, c, w_until(&w, 1000)).code, KC_PARKED);
    KC_CHECK_EQ(kc_engine_next_deadline(w.e), 1000);
    KC_CHECK_EQ(w_tick(&w, 999), 0);
    KC_CHECK_EQ(w_depth(&w), 0);
    KC_CHECK_EQ(w_tick(&w, 1000), 1);
    result = w_next(&w);
    KC_CHECK_EQ(result.code, KC_ETIME);
    KC_CHECK_EQ(result.chan, c);
    KC_CHECK_EQ(kc_engine_next_deadline(w.e), KC_NEVER);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_CANCELLED_TIMEOUT), 1);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_RECV_ETIME), 1);
    KC_CHECK_EQ(w_try_send(&w, c, "x"), KC_EAGAIN);
    w_close(&w);
}

KC_TEST(a_deadline_in_the_past_is_etime_without_parking) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);

    (void)w_tick(&w, 500);
    KC_CHECK_EQ(w_send_op(&w, c, "x", w_until(&w, 500)).code, KC_ETIME);
    KC_CHECK_EQ(w_send_op(&w, c, "x", w_until(&w, INT64_MIN)).code, KC_ETIME);
    KC_CHECK_EQ(w_recv_op(&w, c, w_until(&w, -1)).code, KC_ETIME);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_SEND_ETIME), 2);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_RECV_ETIME), 1);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_CANCELLED_WAITERS), 0);
    w_close(&w);
}

KC_TEST(what_can_complete_beats_a_deadline_in_the_past) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 1);

    KC_CHECK_EQ(w_send_op(&w, c, "x", w_until(&w, 0)).code, KC_OK);
    KC_CHECK_STR(w_text(&w, w_recv_op(&w, c, w_until(&w, 0))), "x");
    w_close(&w);
}

KC_TEST(deadlines_come_due_in_their_own_order) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);
    static const int64_t due[] = {50, 10, 40, 20, 30, 60, 15, 45};
    uint64_t users[61] = {0};
    kc_token cancelled = 0;
    int64_t last = 0;

    for (size_t i = 0; i < sizeof due / sizeof due[0]; i++) {
        kc_op op = w_until(&w, due[i]);
        kc_result parked = w_recv_op(&w, c, op);
        users[due[i]] = op.user;
        if (due[i] == 40)
            cancelled = parked.token;
    }
    KC_CHECK_EQ(w_cancel(&w, cancelled), KC_OK);
    for (int64_t now = 1; now <= 60; now++) {
        bool expected = users[now] != 0 && now != 40;
        KC_CHECK_EQ(w_tick(&w, now), expected);
        if (expected) {
            KC_CHECK_EQ(w_next(&w).user, users[now]);
            last = now;
        }
    }
    KC_CHECK_EQ(last, 60);
    w_close(&w);
}

KC_TEST(deadlines_keep_their_order_whoever_leaves_before) {
    enum { MANY = 200 };
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);
    kc_token tokens[MANY];
    uint32_t seed = 5;
    int64_t last = 0;

    for (int i = 0; i < MANY; i++) {
        seed = seed * 1664525 + 1013904223;
        tokens[i] = w_recv_op(&w, c, w_until(&w, 1 + (int64_t)(seed >> 16))).token;
    }
    for (int i = 0; i < MANY; i++) /* the check after each cancel walks the heap */
        if (i * 7 % 3 != 0)
            KC_CHECK_EQ(w_cancel(&w, tokens[i * 7 % MANY]), KC_OK);
    while (kc_engine_next_deadline(w.e) != KC_NEVER) {
        KC_CHECK(kc_engine_next_deadline(w.e) > last);
        last = kc_engine_next_deadline(w.e);
        KC_CHECK(w_tick(&w, last) >= 1);
        while (w_depth(&w) != 0)
            KC_CHECK_EQ(w_next(&w).code, KC_ETIME);
    }
    w_close(&w);
}

KC_TEST(the_clock_never_goes_back) {
    kc_world w = w_open();

    (void)w_tick(&w, 100);
    (void)w_tick(&w, 50);
    KC_CHECK_EQ(kc_engine_now(w.e), 100);
    w_close(&w);
}

KC_TEST(a_match_disarms_the_deadline) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);

    (void)w_recv_op(&w, c, w_until(&w, 10));
    KC_CHECK_EQ(w_try_send(&w, c, "x"), KC_OK);
    KC_CHECK_EQ(w_tick(&w, 10), 0);
    KC_CHECK_STR(w_next_text(&w), "x");
    w_close(&w);
}

KC_TEST(a_select_times_out_once_for_all_its_clauses) {
    kc_world w = w_open();
    kc_chan a = w_rendezvous(&w);
    kc_chan b = w_rendezvous(&w);
    kc_clause clauses[2] = {w_receiving(a), w_sending(&w, b, "x")};

    KC_CHECK_EQ(w_select_op(&w, clauses, 2, w_until(&w, 5)).code, KC_PARKED);
    KC_CHECK_EQ(w_tick(&w, 5), 1);
    KC_CHECK_EQ(w_next(&w).code, KC_ETIME);
    KC_CHECK_EQ(w_stat(&w, a, KC_STAT_CANCELLED_TIMEOUT) + w_stat(&w, b, KC_STAT_CANCELLED_TIMEOUT), 1);
    KC_CHECK_EQ(w_usage(&w).messages, 0);
    w_close(&w);
}

KC_TEST(every_cancel_is_counted_once_by_its_reason) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);
    kc_scope other = w_scope(&w, 0, 0, (kc_scope_limits){0});
    kc_op op = w_op(&w, 0);

    (void)w_cancel(&w, w_recv(&w, c, 0).token);
    (void)w_recv_op(&w, c, w_until(&w, 7));
    (void)w_tick(&w, 7);
    op.scope = other;
    (void)w_recv_op(&w, c, op);
    (void)w_end(&w, other, KC_REASON_DEAD);
    (void)w_recv(&w, c, 0);
    (void)w_destroy(&w, c);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_CANCELLED_CANCEL), 1);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_CANCELLED_TIMEOUT), 1);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_CANCELLED_DEAD), 1);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_CANCELLED_DESTROYED), 1);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_CANCELLED_WAITERS), 4);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_FINISHED_WAITERS), 4);
    w_close(&w);
}

KC_TEST(a_cancel_by_timeout_says_etime) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);
    kc_result result;

    KC_CHECK_EQ(kc_waiter_token_cancel(w.e, w_recv(&w, c, 0).token, KC_REASON_TIMEOUT, &result), KC_OK);
    KC_CHECK_EQ(result.code, KC_ETIME);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_CANCELLED_TIMEOUT), 1);
    w_close(&w);
}

int main(void) {
    KC_RUN(a_cancelled_send_never_happened);
    KC_RUN(a_cancelled_receive_takes_nothing);
    KC_RUN(a_cancel_after_the_match_is_ebusy_and_the_result_stands);
    KC_RUN(a_cancelled_waiter_lets_the_next_one_be_served);
    KC_RUN(a_ticket_of_a_freed_token_never_meets_the_next_one);
    KC_RUN(tokens_that_never_were_are_enoent);
    KC_RUN(a_deadline_ends_a_waiter_at_its_time_and_not_before);
    KC_RUN(a_deadline_in_the_past_is_etime_without_parking);
    KC_RUN(what_can_complete_beats_a_deadline_in_the_past);
    KC_RUN(deadlines_come_due_in_their_own_order);
    KC_RUN(deadlines_keep_their_order_whoever_leaves_before);
    KC_RUN(the_clock_never_goes_back);
    KC_RUN(a_match_disarms_the_deadline);
    KC_RUN(a_select_times_out_once_for_all_its_clauses);
    KC_RUN(every_cancel_is_counted_once_by_its_reason);
    KC_RUN(a_cancel_by_timeout_says_etime);
    return kc_test_report();
}
