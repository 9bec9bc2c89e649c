/* select: exactly one clause takes effect, sends and receives alike (contract 4.6). */
#include "kc_world.h"

KC_TEST(a_select_takes_the_one_clause_that_is_ready) {
    kc_world w = w_open();
    kc_chan a = w_rendezvous(&w);
    kc_chan b = w_buffered(&w, 1);
    kc_clause clauses[2] = {w_receiving(a), w_receiving(b)};
    kc_result result;

    (void)w_try_send(&w, b, "b");
    result = w_select(&w, clauses, 2, 0);
    KC_CHECK_EQ(result.code, KC_OK);
    KC_CHECK_EQ(result.clause, 1);
    KC_CHECK_EQ(result.chan, b);
    KC_CHECK_STR(w_text(&w, result), "b");
    w_close(&w);
}

KC_TEST(a_select_that_sends_gives_all_its_bodies_away) {
    kc_world w = w_open();
    kc_chan a = w_rendezvous(&w);
    kc_chan b = w_buffered(&w, 1);
    kc_clause clauses[2] = {w_sending(&w, a, "to a"), w_sending(&w, b, "to b")};
    kc_result result = w_select(&w, clauses, 2, 0);

    KC_CHECK_EQ(result.code, KC_OK);
    KC_CHECK_EQ(result.clause, 1);
    KC_CHECK_EQ(result.flags, KC_RESULT_SEND);
    KC_CHECK_STR(w_try_text(&w, b), "to b");
    KC_CHECK_STR(w_try_text(&w, a), "(again)");
    w_close(&w);
}

KC_TEST(a_parked_select_is_decided_by_exactly_one_partner) {
    kc_world w = w_open();
    kc_chan a = w_rendezvous(&w);
    kc_chan b = w_rendezvous(&w);
    kc_clause clauses[2] = {w_receiving(a), w_sending(&w, b, "mine")};
    kc_result result = w_select(&w, clauses, 2, 0);

    KC_CHECK_EQ(result.code, KC_PARKED);
    KC_CHECK_EQ(w_send(&w, a, "theirs", 0).code, KC_OK);
    KC_CHECK_STR(w_try_text(&w, b), "(again)"); /* that clause is gone */
    result = w_next(&w);
    KC_CHECK_EQ(result.clause, 0);
    KC_CHECK_EQ(result.chan, a);
    KC_CHECK_STR(w_text(&w, result), "theirs");
    KC_CHECK_EQ(w_depth(&w), 0);
    w_close(&w);
}

KC_TEST(a_parked_selects_send_clause_can_win) {
    kc_world w = w_open();
    kc_chan a = w_rendezvous(&w);
    kc_chan b = w_rendezvous(&w);
    kc_clause clauses[2] = {w_receiving(a), w_sending(&w, b, "mine")};
    kc_result result;

    (void)w_select(&w, clauses, 2, 0);
    KC_CHECK_STR(w_try_text(&w, b), "mine");
    KC_CHECK_EQ(w_try_send(&w, a, "late"), KC_EAGAIN);
    result = w_next(&w);
    KC_CHECK_EQ(result.code, KC_OK);
    KC_CHECK_EQ(result.clause, 1);
    KC_CHECK_EQ(result.flags, KC_RESULT_SEND);
    KC_CHECK_EQ(result.chan, b);
    w_close(&w);
}

KC_TEST(two_selects_meet) {
    kc_world w = w_open();
    kc_chan a = w_rendezvous(&w);
    kc_chan b = w_rendezvous(&w);
    kc_clause left[2] = {w_receiving(a), w_sending(&w, b, "from left")};
    kc_clause right[2] = {w_receiving(b), w_sending(&w, a, "from right")};
    kc_result second;

    KC_CHECK_EQ(w_select(&w, left, 2, 0).code, KC_PARKED);
    second = w_select(&w, right, 2, KC_OP_BIASED);
    KC_CHECK_EQ(second.code, KC_OK);
    KC_CHECK_EQ(second.clause, 0);
    KC_CHECK_STR(w_text(&w, second), "from left");
    KC_CHECK_EQ(w_next(&w).clause, 1);
    w_close(&w);
}

KC_TEST(a_select_never_meets_itself) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);
    kc_clause clauses[2] = {w_sending(&w, c, "me"), w_receiving(c)};
    kc_result result = w_select(&w, clauses, 2, 0);

    KC_CHECK_EQ(result.code, KC_PARKED);
    KC_CHECK_EQ(w_depth(&w), 0);
    KC_CHECK_STR(w_try_text(&w, c), "me");
    KC_CHECK_EQ(w_next(&w).clause, 0);
    clauses[0] = w_sending(&w, c, "me");
    clauses[1] = w_receiving(c);
    (void)w_select(&w, clauses, 2, 0);
    KC_CHECK_EQ(w_try_send(&w, c, "you"), KC_OK);
    result = w_next(&w);
    KC_CHECK_EQ(result.clause, 1);
    KC_CHECK_STR(w_text(&w, result), "you");
    w_close(&w);
}

KC_TEST(a_select_on_a_channel_full_of_held_bytes_never_meets_itself) {
    kc_world w = w_open();
    kc_chan c = w_chan_of(&w, (kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 2, .max_bytes = 2});
    kc_clause clauses[2] = {w_receiving(c), w_sending(&w, c, "me")};
    kc_result held;

    (void)w_try_send(&w, c, "ab");
    held = w_recv(&w, c, KC_OP_ACK);
    KC_CHECK_EQ(w_select(&w, clauses, 2, 0).code, KC_PARKED);
    KC_CHECK_EQ(w_ack(&w, held.token), KC_OK);
    KC_CHECK_EQ(w_next(&w).clause, 1);
    KC_CHECK_STR(w_try_text(&w, c), "me");
    w_close(&w);
}

KC_TEST(the_same_channel_may_stand_in_a_select_twice) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);
    kc_clause clauses[3] = {w_receiving(c), w_receiving(c), w_receiving(c)};
    kc_result result;

    KC_CHECK_EQ(w_select(&w, clauses, 3, KC_OP_BIASED).code, KC_PARKED);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_PARKED_RECEIVERS), 3);
    KC_CHECK_EQ(w_try_send(&w, c, "one"), KC_OK);
    KC_CHECK_EQ(w_try_send(&w, c, "two"), KC_EAGAIN);
    result = w_next(&w);
    KC_CHECK_EQ(result.clause, 0);
    KC_CHECK_STR(w_text(&w, result), "one");
    w_close(&w);
}

KC_TEST(a_try_select_with_nothing_ready_is_eagain_and_keeps_the_bodies) {
    kc_world w = w_open();
    kc_chan a = w_rendezvous(&w);
    kc_clause clause = {.chan = a, .dir = KC_CLAUSE_SEND};
    kc_op op = w_op(&w, KC_OP_TRY);
    kc_result result;

    KC_CHECK_EQ(kc_body_make(w.e, 0, "keep", 4, &clause.body, NULL), KC_OK);
    KC_CHECK_EQ(kc_select(w.e, &clause, 1, &op, &result), KC_EAGAIN);
    KC_CHECK_EQ(clause.body.len_bytes, 4);
    KC_CHECK(clause.body.block != 0);
    kc_body_drop(w.e, &clause.body);
    w_close(&w);
}

KC_TEST(a_closed_clause_is_ready_and_names_itself) {
    kc_world w = w_open();
    kc_chan a = w_rendezvous(&w);
    kc_chan b = w_rendezvous(&w);
    kc_clause clauses[2] = {w_receiving(a), w_receiving(b)};
    kc_result result;

    (void)w_close_chan(&w, b);
    result = w_select(&w, clauses, 2, 0);
    KC_CHECK_EQ(result.code, KC_EPIPE);
    KC_CHECK_EQ(result.clause, 1);
    KC_CHECK_EQ(result.chan, b);
    (void)w_close_chan(&w, a);
    KC_CHECK_EQ(w_select(&w, clauses, 2, KC_OP_BIASED).clause, 0); /* the first of several */
    w_close(&w);
}

KC_TEST(a_completion_beats_a_closed_clause) {
    kc_world w = w_open();
    kc_chan a = w_rendezvous(&w);
    kc_chan b = w_buffered(&w, 1);

    (void)w_close_chan(&w, a);
    (void)w_try_send(&w, b, "x");
    for (uint32_t flags = 0; flags <= KC_OP_BIASED; flags += KC_OP_BIASED) {
        kc_clause clauses[2] = {w_receiving(a), w_receiving(b)};
        kc_result result = w_select(&w, clauses, 2, flags);
        KC_CHECK_EQ(result.code, KC_OK);
        KC_CHECK_EQ(result.clause, 1);
        KC_CHECK_STR(w_text(&w, result), "x");
        (void)w_try_send(&w, b, "x");
    }
    w_close(&w);
}

KC_TEST(a_closed_clause_beats_a_deadline) {
    kc_world w = w_open();
    kc_chan a = w_rendezvous(&w);
    kc_clause clause = w_receiving(a);
    kc_op op = w_until(&w, 0);

    KC_CHECK_EQ(w_select_op(&w, &clause, 1, op).code, KC_ETIME);
    (void)w_close_chan(&w, a);
    KC_CHECK_EQ(w_select_op(&w, &clause, 1, op).code, KC_EPIPE);
    w_close(&w);
}

KC_TEST(closing_a_channel_ends_a_select_that_receives_from_it) {
    kc_world w = w_open();
    kc_chan a = w_rendezvous(&w);
    kc_chan b = w_rendezvous(&w);
    kc_clause clauses[2] = {w_receiving(a), w_receiving(b)};
    kc_result result;

    KC_CHECK_EQ(w_select(&w, clauses, 2, 0).code, KC_PARKED);
    (void)w_close_chan(&w, b);
    result = w_next(&w);
    KC_CHECK_EQ(result.code, KC_EPIPE);
    KC_CHECK_EQ(result.clause, 1);
    KC_CHECK_EQ(result.chan, b);
    KC_CHECK_EQ(w_stat(&w, a, KC_STAT_PARKED_RECEIVERS), 0);
    KC_CHECK_EQ(w_stat(&w, b, KC_STAT_CLOSED_WAITERS), 1);
    KC_CHECK_EQ(w_stat(&w, a, KC_STAT_CLOSED_WAITERS), 0);
    w_close(&w);
}

KC_TEST(destroying_a_channel_ends_a_select_with_its_reason) {
    kc_world w = w_open();
    kc_chan a = w_rendezvous(&w);
    kc_chan b = w_rendezvous(&w);
    kc_clause clauses[2] = {w_receiving(a), w_sending(&w, b, "x")};
    kc_result result;

    (void)w_select(&w, clauses, 2, 0);
    KC_CHECK_EQ(kc_chan_destroy(w.e, b, KC_REASON_SHUTDOWN, NULL, 0), KC_OK);
    w_check(&w);
    result = w_next(&w);
    KC_CHECK_EQ(result.code, KC_ECANCELED);
    KC_CHECK_EQ(result.reason, KC_REASON_SHUTDOWN);
    KC_CHECK_EQ(result.clause, 1);
    w_close(&w);
}

KC_TEST(an_unbiased_select_favours_no_clause) {
    kc_world w = w_open();
    kc_chan a = w_buffered(&w, 1);
    kc_chan b = w_buffered(&w, 1);
    kc_chan c = w_buffered(&w, 1);
    int won[3] = {0};

    for (int i = 0; i < 300; i++) {
        kc_clause clauses[3] = {w_receiving(a), w_receiving(b), w_receiving(c)};
        kc_result result;
        (void)w_try_send(&w, a, "a"); /* all three are ready each time */
        (void)w_try_send(&w, b, "b");
        (void)w_try_send(&w, c, "c");
        result = w_select(&w, clauses, 3, 0);
        won[result.clause % 3]++;
        (void)w_text(&w, result);
    }
    for (int i = 0; i < 3; i++)
        KC_CHECK(won[i] > 50); /* a fair one: 100; one that keeps an order: 0 */
    w_close(&w);
}

/* Where only the first look is drawn, the one behind the empty ones has most. */
KC_TEST(of_many_clauses_the_few_that_are_ready_win_alike) {
    enum { COUNT = 8, READY = 3 };
    kc_world w = w_open();
    kc_chan chans[COUNT];
    int won[COUNT] = {0};

    for (int i = 0; i < COUNT; i++)
        chans[i] = w_buffered(&w, 1);
    for (int round = 0; round < 300; round++) {
        kc_clause clauses[COUNT];
        kc_result result;
        for (int i = 0; i < COUNT; i++)
            clauses[i] = w_receiving(chans[i]);
        for (int i = 0; i < READY; i++)
            (void)w_try_send(&w, chans[2 + i], "x");
        result = w_select(&w, clauses, COUNT, 0);
        won[result.clause % COUNT]++;
        (void)w_text(&w, result);
    }
    for (int i = 0; i < COUNT; i++)
        KC_CHECK(i >= 2 && i < 2 + READY ? won[i] > 60 : won[i] == 0); /* a fair one: 100 each */
    w_close(&w);
}

KC_TEST(an_unbiased_select_that_parks_twice_at_one_channel_favours_no_clause) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);
    int wins[3] = {0};

    for (int i = 0; i < 90; i++) {
        kc_clause clauses[3] = {w_receiving(c), w_receiving(c), w_receiving(c)};
        KC_CHECK_EQ(w_select(&w, clauses, 3, 0).code, KC_PARKED);
        KC_CHECK_EQ(w_try_send(&w, c, "x"), KC_OK);
        kc_result result = w_next(&w);
        wins[result.clause]++;
        KC_CHECK_STR(w_text(&w, result), "x");
    }
    for (int i = 0; i < 3; i++)
        KC_CHECK(wins[i] >= 10);
    w_close(&w);
}

KC_TEST(a_biased_select_keeps_the_given_order) {
    kc_world w = w_open();
    kc_chan a = w_buffered(&w, 8);
    kc_chan b = w_buffered(&w, 8);

    for (int i = 0; i < 4; i++) {
        (void)w_try_send(&w, a, "a");
        (void)w_try_send(&w, b, "b");
    }
    for (int i = 0; i < 8; i++) {
        kc_clause clauses[2] = {w_receiving(a), w_receiving(b)};
        kc_result result = w_select(&w, clauses, 2, KC_OP_BIASED);
        KC_CHECK_STR(w_text(&w, result), i < 4 ? "a" : "b");
    }
    w_close(&w);
}

KC_TEST(sixty_four_clauses_are_taken_and_sixty_five_refused) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);
    kc_clause clauses[65];
    kc_op op = w_op(&w, 0);
    kc_result result;

    for (int i = 0; i < 65; i++)
        clauses[i] = w_receiving(c);
    KC_CHECK_EQ(kc_select(w.e, clauses, 65, &op, &result), KC_EINVAL);
    KC_CHECK_EQ(kc_select(w.e, clauses, 0, &op, &result), KC_EINVAL);
    KC_CHECK_EQ(w_select(&w, clauses, 64, KC_OP_BIASED).code, KC_PARKED);
    KC_CHECK_EQ(w_usage(&w).clauses, 63);
    KC_CHECK_EQ(w_try_send(&w, c, "x"), KC_OK);
    result = w_next(&w);
    KC_CHECK_EQ(result.clause, 0);
    KC_CHECK_STR(w_text(&w, result), "x");
    KC_CHECK_EQ(w_usage(&w).clauses, 0);
    w_close(&w);
}

KC_TEST(a_bad_clause_refuses_the_whole_select_and_names_itself) {
    kc_world w = w_open();
    kc_chan a = w_buffered(&w, 1);
    kc_chan required = w_chan_of(&w, (kc_chan_config){.flags = KC_CHAN_ACK_REQUIRED});
    kc_clause clauses[2] = {w_sending(&w, a, "x"), w_receiving(0)};
    kc_result result = w_select(&w, clauses, 2, 0);

    KC_CHECK_EQ(result.code, KC_ENOENT);
    KC_CHECK_EQ(result.clause, 1);
    clauses[0] = w_sending(&w, a, "x");
    clauses[1] = w_receiving(required);
    result = w_select(&w, clauses, 2, 0);
    KC_CHECK_EQ(result.code, KC_EINVAL);
    KC_CHECK_EQ(result.clause, 1);
    clauses[0] = (kc_clause){.chan = a, .dir = 2};
    KC_CHECK_EQ(w_select(&w, clauses, 1, 0).code, KC_EINVAL);
    clauses[0] = w_receiving(a);
    KC_CHECK_EQ(w_select(&w, clauses, 1, KC_OP_CONFIRM).code, KC_EINVAL);
    KC_CHECK_STR(w_try_text(&w, a), "(again)");
    w_close(&w);
}

KC_TEST(a_cancelled_select_leaves_no_clause_behind) {
    kc_world w = w_open();
    kc_chan a = w_rendezvous(&w);
    kc_chan b = w_rendezvous(&w);
    kc_clause clauses[2] = {w_sending(&w, a, "x"), w_receiving(b)};
    kc_result parked = w_select(&w, clauses, 2, 0);

    KC_CHECK_EQ(w_cancel(&w, parked.token), KC_OK);
    KC_CHECK_STR(w_try_text(&w, a), "(again)");
    KC_CHECK_EQ(w_try_send(&w, b, "y"), KC_EAGAIN);
    KC_CHECK_EQ(w_stat(&w, a, KC_STAT_CANCELLED_WAITERS) + w_stat(&w, b, KC_STAT_CANCELLED_WAITERS), 1);
    w_close(&w);
}

KC_TEST(a_select_can_hold_its_message_until_the_ack) {
    kc_world w = w_open();
    kc_chan a = w_rendezvous(&w);
    kc_clause clause = {.chan = a, .dir = KC_CLAUSE_RECV, .flags = KC_OP_ACK};
    kc_result result;

    (void)w_select(&w, &clause, 1, 0);
    KC_CHECK_EQ(w_try_send(&w, a, "x"), KC_OK);
    result = w_next(&w);
    KC_CHECK_EQ(result.flags, KC_RESULT_MESSAGE | KC_RESULT_HELD | KC_RESULT_ACK);
    KC_CHECK_STR(w_text(&w, result), "x");
    KC_CHECK_EQ(w_nack(&w, result.token), KC_OK);
    result = w_select(&w, &clause, 1, 0);
    KC_CHECK_EQ(result.flags, KC_RESULT_MESSAGE | KC_RESULT_HELD | KC_RESULT_ACK | KC_RESULT_REDELIVERED);
    KC_CHECK_EQ(w_ack(&w, result.token), KC_OK);
    w_close(&w);
}

KC_TEST(a_select_at_the_limit_of_held_messages_is_refused_before_it_waits) {
    kc_world w = w_open();
    kc_chan a = w_buffered(&w, 2);
    kc_scope scope = w_scope(&w, 0, 0, (kc_scope_limits){.held = 1});
    kc_clause clause = {.chan = a, .dir = KC_CLAUSE_RECV, .flags = KC_OP_HOLD};
    kc_op op = w_op(&w, KC_OP_HOLD);
    kc_result result;

    op.scope = scope;
    (void)w_try_send(&w, a, "x");
    KC_CHECK_EQ(w_recv_op(&w, a, op).code, KC_OK);
    result = w_select_op(&w, &clause, 1, op);
    KC_CHECK_EQ(result.code, KC_EDQUOT);
    KC_CHECK_EQ(result.refusal.quota, KC_QUOTA_SCOPE_HELD);
    KC_CHECK_EQ(w_end(&w, scope, KC_REASON_CANCEL), KC_OK);
    w_close(&w);
}

int main(void) {
    KC_RUN(a_select_takes_the_one_clause_that_is_ready);
    KC_RUN(a_select_that_sends_gives_all_its_bodies_away);
    KC_RUN(a_parked_select_is_decided_by_exactly_one_partner);
    KC_RUN(a_parked_selects_send_clause_can_win);
    KC_RUN(two_selects_meet);
    KC_RUN(a_select_never_meets_itself);
    W_RUN_BYTES(a_select_on_a_channel_full_of_held_bytes_never_meets_itself);
    KC_RUN(the_same_channel_may_stand_in_a_select_twice);
    KC_RUN(a_try_select_with_nothing_ready_is_eagain_and_keeps_the_bodies);
    KC_RUN(a_closed_clause_is_ready_and_names_itself);
    KC_RUN(a_completion_beats_a_closed_clause);
    KC_RUN(a_closed_clause_beats_a_deadline);
    KC_RUN(closing_a_channel_ends_a_select_that_receives_from_it);
    KC_RUN(destroying_a_channel_ends_a_select_with_its_reason);
    KC_RUN(an_unbiased_select_favours_no_clause);
    KC_RUN(of_many_clauses_the_few_that_are_ready_win_alike);
    KC_RUN(an_unbiased_select_that_parks_twice_at_one_channel_favours_no_clause);
    KC_RUN(a_biased_select_keeps_the_given_order);
    KC_RUN(sixty_four_clauses_are_taken_and_sixty_five_refused);
    KC_RUN(a_bad_clause_refuses_the_whole_select_and_names_itself);
    KC_RUN(a_cancelled_select_leaves_no_clause_behind);
    KC_RUN(a_select_can_hold_its_message_until_the_ack);
    KC_RUN(a_select_at_the_limit_of_held_messages_is_refused_before_it_waits);
    return kc_test_report();
}
