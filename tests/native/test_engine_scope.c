/* kc_chan_waiter_scope: the only owner of waiters (contract 4.8), its tree, its limits. */
#include "kc_world.h"

static kc_op op_of(kc_world *w, kc_scope scope, uint32_t flags) {
    kc_op op = w_op(w, flags);

    op.scope = scope;
    return op;
}

KC_TEST(ending_a_scope_cancels_its_waiters_without_a_result) {
    kc_world w = w_open();
    kc_chan a = w_rendezvous(&w);
    kc_chan b = w_rendezvous(&w);
    kc_scope scope = w_scope(&w, 0, 0, (kc_scope_limits){0});

    (void)w_send_op(&w, a, "x", op_of(&w, scope, 0));
    (void)w_recv_op(&w, b, op_of(&w, scope, 0));
    KC_CHECK_EQ(w_end(&w, scope, KC_REASON_DEAD), KC_OK);
    KC_CHECK_EQ(w_depth(&w), 0);
    KC_CHECK_STR(w_try_text(&w, a), "(again)");
    KC_CHECK_EQ(w_try_send(&w, b, "y"), KC_EAGAIN);
    KC_CHECK_EQ(w_stat(&w, a, KC_STAT_CANCELLED_DEAD), 1);
    KC_CHECK_EQ(w_stat(&w, b, KC_STAT_CANCELLED_DEAD), 1);
    KC_CHECK_EQ(w_end(&w, scope, KC_REASON_DEAD), KC_ENOENT);
    w_close(&w);
}

KC_TEST(ending_a_scope_gives_back_what_it_held_oldest_first) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 4);
    kc_scope scope = w_scope(&w, 0, 0, (kc_scope_limits){0});
    kc_result result;

    for (char text[2] = "1"; text[0] <= '3'; text[0]++)
        (void)w_try_send(&w, c, text);
    (void)w_recv_op(&w, c, op_of(&w, scope, KC_OP_ACK));
    (void)w_recv_op(&w, c, op_of(&w, scope, KC_OP_ACK));
    (void)w_recv_op(&w, c, op_of(&w, scope, KC_OP_HOLD));
    (void)w_recv(&w, c, 0);
    (void)w_recv(&w, c, 0);
    KC_CHECK_EQ(w_end(&w, scope, KC_REASON_DEAD), KC_OK);
    result = w_next(&w);
    KC_CHECK_EQ(result.attempts, 1);
    KC_CHECK_STR(w_text(&w, result), "1");
    KC_CHECK_STR(w_next_text(&w), "2");
    KC_CHECK_STR(w_try_text(&w, c), "3");
    w_close(&w);
}

KC_TEST(a_message_that_comes_back_never_goes_to_a_waiter_of_the_same_end) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 1);
    kc_scope parent = w_scope(&w, 0, 0, (kc_scope_limits){0});
    kc_scope child = w_scope(&w, parent, 0, (kc_scope_limits){0});

    (void)w_try_send(&w, c, "1");
    (void)w_recv_op(&w, c, op_of(&w, parent, KC_OP_ACK));
    (void)w_recv_op(&w, c, op_of(&w, child, KC_OP_ACK));
    KC_CHECK_EQ(w_end(&w, parent, KC_REASON_DEAD), KC_OK);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_UNDELIVERED_REQUEUED), 1);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_READY), 1);
    w_close(&w);
}

KC_TEST(a_result_that_nobody_took_vanishes_with_its_scope_and_its_message_comes_back) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 1);
    kc_scope scope = w_scope(&w, 0, 0, (kc_scope_limits){0});

    (void)w_recv_op(&w, c, op_of(&w, scope, 0));
    (void)w_try_send(&w, c, "1");
    KC_CHECK_EQ(w_depth(&w), 1);
    KC_CHECK_EQ(w_end(&w, scope, KC_REASON_DEAD), KC_OK);
    KC_CHECK_EQ(w_depth(&w), 0);
    KC_CHECK_STR(w_try_text(&w, c), "1");
    w_close(&w);
}

KC_TEST(a_cleared_scope_is_empty_and_may_be_used_again) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);
    kc_scope child = w_scope(&w, w.scope, 0, (kc_scope_limits){0});

    (void)w_recv(&w, c, 0);
    (void)w_recv_op(&w, c, op_of(&w, child, 0));
    KC_CHECK_EQ(kc_chan_waiter_scope_clear(w.e, w.scope, KC_REASON_CANCEL), KC_OK);
    w_check(&w);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_PARKED_RECEIVERS), 0);
    KC_CHECK_EQ(w_recv(&w, c, 0).code, KC_PARKED);
    KC_CHECK_EQ(w_recv_op(&w, c, op_of(&w, child, 0)).code, KC_PARKED);
    w_close(&w); /* ends the child too */
}

KC_TEST(scopes_form_a_tree_of_any_shape) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);
    kc_scope root = w_scope(&w, 0, 0, (kc_scope_limits){0});
    kc_scope parents[8];

    parents[0] = root;
    for (int i = 1; i < 8; i++) { /* a binary tree, each with a waiter */
        parents[i] = w_scope(&w, parents[(i - 1) / 2], 0, (kc_scope_limits){0});
        (void)w_recv_op(&w, c, op_of(&w, parents[i], 0));
    }
    KC_CHECK_EQ(w_end(&w, parents[2], KC_REASON_CANCEL), KC_OK); /* 2, 5, 6 */
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_PARKED_RECEIVERS), 4);
    KC_CHECK_EQ(w_end(&w, parents[5], KC_REASON_CANCEL), KC_ENOENT);
    KC_CHECK_EQ(w_end(&w, parents[3], KC_REASON_CANCEL), KC_OK); /* 3, 7 */
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_PARKED_RECEIVERS), 2);
    KC_CHECK_EQ(w_end(&w, root, KC_REASON_CANCEL), KC_OK);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_PARKED_RECEIVERS), 0);
    KC_CHECK_EQ(w_usage(&w).scopes, 1);
    w_close(&w);
}

KC_TEST(a_scope_of_a_gone_parent_or_account_cannot_begin) {
    kc_world w = w_open();
    kc_scope gone = w_scope(&w, 0, 0, (kc_scope_limits){0});
    kc_scope scope = 0;

    (void)w_end(&w, gone, KC_REASON_CANCEL);
    KC_CHECK_EQ(kc_chan_waiter_scope_begin(w.e, gone, 0, NULL, &scope, NULL), KC_ENOENT);
    KC_CHECK_EQ(kc_chan_waiter_scope_begin(w.e, 0, 3, NULL, &scope, NULL), KC_ENOENT);
    KC_CHECK_EQ(kc_chan_waiter_scope_begin(w.e, 0, 4000000000U, NULL, &scope, NULL), KC_ENOENT);
    w_close(&w);
}

KC_TEST(an_operation_without_a_scope_may_complete_but_not_wait) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 1);

    KC_CHECK_EQ(w_send_op(&w, c, "1", op_of(&w, 0, 0)).code, KC_OK);
    KC_CHECK_EQ(w_send_op(&w, c, "2", op_of(&w, 0, 0)).code, KC_ENOENT);
    KC_CHECK_EQ(w_recv_op(&w, c, op_of(&w, 0, KC_OP_HOLD)).code, KC_ENOENT);
    KC_CHECK_STR(w_text(&w, w_recv_op(&w, c, op_of(&w, 0, 0))), "1");
    KC_CHECK_EQ(w_recv_op(&w, c, op_of(&w, 0, 0)).code, KC_ENOENT);
    w_close(&w);
}

KC_TEST(parked_waiters_of_a_scope_are_limited) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);
    kc_scope scope = w_scope(&w, 0, 0, (kc_scope_limits){.parked = 2});
    kc_token first = w_recv_op(&w, c, op_of(&w, scope, 0)).token;
    kc_result refused;

    (void)w_recv_op(&w, c, op_of(&w, scope, 0));
    refused = w_recv_op(&w, c, op_of(&w, scope, 0));
    KC_CHECK_EQ(refused.code, KC_EDQUOT);
    KC_CHECK_EQ(refused.refusal.quota, KC_QUOTA_SCOPE_PARKED);
    KC_CHECK_EQ(refused.refusal.limit, 2);
    KC_CHECK_EQ(refused.refusal.usage, 2);
    KC_CHECK_EQ(w_cancel(&w, first), KC_OK);
    KC_CHECK_EQ(w_recv_op(&w, c, op_of(&w, scope, 0)).code, KC_PARKED);
    KC_CHECK_EQ(w_end(&w, scope, KC_REASON_CANCEL), KC_OK);
    w_close(&w);
}

KC_TEST(messages_held_by_a_scope_are_limited) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 4);
    kc_scope scope = w_scope(&w, 0, 0, (kc_scope_limits){.held = 1});
    kc_result held;
    kc_result refused;

    (void)w_try_send(&w, c, "1");
    (void)w_try_send(&w, c, "2");
    held = w_recv_op(&w, c, op_of(&w, scope, KC_OP_ACK));
    refused = w_recv_op(&w, c, op_of(&w, scope, KC_OP_ACK));
    KC_CHECK_EQ(refused.code, KC_EDQUOT);
    KC_CHECK_EQ(refused.refusal.quota, KC_QUOTA_SCOPE_HELD);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_READY), 1);
    KC_CHECK_EQ(kc_waiter_token_ack(w.e, scope, held.token), KC_OK);
    KC_CHECK_EQ(w_recv_op(&w, c, op_of(&w, scope, KC_OP_ACK)).code, KC_OK);
    KC_CHECK_EQ(w_end(&w, scope, KC_REASON_CANCEL), KC_OK);
    w_close(&w);
}

KC_TEST(limits_of_a_scope_may_change_and_who_is_over_them_stays) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);
    kc_scope scope = w_scope(&w, 0, 0, (kc_scope_limits){.parked = 2});
    kc_token first = w_recv_op(&w, c, op_of(&w, scope, 0)).token;

    KC_CHECK_EQ(w_recv_op(&w, c, op_of(&w, scope, 0)).code, KC_PARKED);
    KC_CHECK_EQ(kc_chan_waiter_scope_limit(w.e, scope, &(kc_scope_limits){.parked = 3}), KC_OK);
    KC_CHECK_EQ(w_recv_op(&w, c, op_of(&w, scope, 0)).code, KC_PARKED);
    KC_CHECK_EQ(kc_chan_waiter_scope_limit(w.e, scope, &(kc_scope_limits){.parked = 1}), KC_OK);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_PARKED_RECEIVERS), 3);
    KC_CHECK_EQ(w_cancel(&w, first), KC_OK);
    KC_CHECK_EQ(w_recv_op(&w, c, op_of(&w, scope, 0)).refusal.limit, 1);
    KC_CHECK_EQ(w_end(&w, scope, KC_REASON_CANCEL), KC_OK);
    KC_CHECK_EQ(kc_chan_waiter_scope_limit(w.e, scope, NULL), KC_ENOENT);
    w_close(&w);
}

KC_TEST(the_limit_of_waiters_on_a_channel_may_change) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);
    kc_result refused;

    KC_CHECK_EQ(w_recv_op(&w, c, op_of(&w, w.scope, 0)).code, KC_PARKED);
    kc_engine_limit(w.e, 1);
    refused = w_recv_op(&w, c, op_of(&w, w.scope, 0));
    KC_CHECK_EQ(refused.refusal.quota, KC_QUOTA_CHANNEL_PARKED);
    KC_CHECK_EQ(refused.refusal.limit, 1);
    kc_engine_limit(w.e, 0);
    KC_CHECK_EQ(w_recv_op(&w, c, op_of(&w, w.scope, 0)).code, KC_PARKED);
    w_close(&w);
}

KC_TEST(waiters_of_a_channel_are_limited) {
    kc_world w = w_open_with((kc_engine_config){
        .channels = 4, .tokens = 16, .messages = 16, .ports = 2, .parked_per_channel = 2, .heap_bytes = 4 << 20});
    kc_chan c = w_rendezvous(&w);
    kc_clause clauses[2] = {w_receiving(c), w_receiving(w_rendezvous(&w))};
    kc_result refused;

    (void)w_recv(&w, c, 0);
    (void)w_recv(&w, c, 0);
    refused = w_recv(&w, c, 0);
    KC_CHECK_EQ(refused.code, KC_EDQUOT);
    KC_CHECK_EQ(refused.refusal.quota, KC_QUOTA_CHANNEL_PARKED);
    KC_CHECK_EQ(w_select(&w, clauses, 2, 0).code, KC_EDQUOT);
    KC_CHECK_EQ(w_usage(&w).clauses, 0);
    w_close(&w);
}

KC_TEST(an_operation_of_a_scope_that_has_ended_is_refused) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 1);
    kc_scope gone = w_scope(&w, 0, 0, (kc_scope_limits){0});

    (void)w_end(&w, gone, KC_REASON_CANCEL);
    KC_CHECK_EQ(w_send_op(&w, c, "x", op_of(&w, gone, KC_OP_TRY)).code, KC_ENOENT);
    KC_CHECK_EQ(w_recv_op(&w, c, op_of(&w, gone, KC_OP_TRY)).code, KC_ENOENT);
    w_close(&w);
}

KC_TEST(a_holder_of_thousands_that_dies_gives_them_back_in_order) {
    enum { MANY = 4000 };
    kc_world w = w_open_with((kc_engine_config){.channels = 2,
                                                .tokens = MANY + 8,
                                                .messages = MANY + 8,
                                                .scopes = 4,
                                                .ports = 1,
                                                .heap_bytes = 64 << 20});
    kc_chan c = w_chan(&w, KC_KIND_BUFFERED, MANY);
    kc_scope scope = w_scope(&w, 0, 0, (kc_scope_limits){0});
    kc_op op = op_of(&w, scope, KC_OP_ACK);
    kc_result result;
    uint32_t value = 0;

    for (uint32_t i = 0; i < MANY; i++)
        KC_CHECK_EQ(kc_chan_send(w.e, c, &op, &i, sizeof i, &result) == KC_OK || result.code == KC_PARKED, 1);
    for (uint32_t i = 0; i < MANY; i++)
        KC_CHECK_EQ(kc_chan_recv(w.e, c, &op, NULL, 0, &result), KC_OK);
    KC_CHECK_EQ(w_end(&w, scope, KC_REASON_DEAD), KC_OK);
    for (uint32_t i = 0; i < MANY; i++) {
        op = w_op(&w, KC_OP_TRY);
        KC_CHECK_EQ(kc_chan_recv(w.e, c, &op, &value, sizeof value, &result), KC_OK);
        KC_CHECK_EQ(value, i);
    }
    w_close(&w);
}

int main(void) {
    KC_RUN(ending_a_scope_cancels_its_waiters_without_a_result);
    KC_RUN(ending_a_scope_gives_back_what_it_held_oldest_first);
    KC_RUN(a_message_that_comes_back_never_goes_to_a_waiter_of_the_same_end);
    KC_RUN(a_result_that_nobody_took_vanishes_with_its_scope_and_its_message_comes_back);
    KC_RUN(a_cleared_scope_is_empty_and_may_be_used_again);
    KC_RUN(scopes_form_a_tree_of_any_shape);
    KC_RUN(a_scope_of_a_gone_parent_or_account_cannot_begin);
    KC_RUN(an_operation_without_a_scope_may_complete_but_not_wait);
    KC_RUN(parked_waiters_of_a_scope_are_limited);
    KC_RUN(messages_held_by_a_scope_are_limited);
    KC_RUN(limits_of_a_scope_may_change_and_who_is_over_them_stays);
    KC_RUN(the_limit_of_waiters_on_a_channel_may_change);
    KC_RUN(waiters_of_a_channel_are_limited);
    KC_RUN(an_operation_of_a_scope_that_has_ended_is_refused);
    KC_RUN(a_holder_of_thousands_that_dies_gives_them_back_in_order);
    return kc_test_report();
}
