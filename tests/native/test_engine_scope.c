/* kc_chan_waiter_scope: the only owner of waiters (contract 4.8), its tree, its limits, and the accounts that pay. */
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

KC_TEST(an_account_pays_for_waiters_until_they_are_decided) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);
    kc_account_limits limits = {.parked = 1};
    kc_account_usage usage;
    uint32_t account = 0;
    kc_scope scope = 0;
    kc_result result;

    KC_REQUIRE(kc_account_make(w.e, &limits, &account) == KC_OK);
    scope = w_scope(&w, 0, account, (kc_scope_limits){0});
    for (int round = 0; round < 3; round++) { /* decided by a match, a cancel, a deadline */
        kc_op op = op_of(&w, scope, 0);
        op.deadline_ns = 100;
        result = w_recv_op(&w, c, op);
        KC_CHECK_EQ(result.code, KC_PARKED);
        KC_CHECK_EQ(w_recv_op(&w, c, op).refusal.quota, KC_QUOTA_ACCOUNT_PARKED);
        if (round == 0)
            KC_CHECK_EQ(w_try_send(&w, c, "1"), KC_OK);
        else if (round == 1)
            KC_CHECK_EQ(w_cancel(&w, result.token), KC_OK);
        else
            KC_CHECK_EQ(w_tick(&w, 100), 1);
        KC_CHECK_EQ(kc_account_measure(w.e, account, &usage), KC_OK);
        KC_CHECK_EQ(usage.parked, 0);
        if (round == 0)
            KC_CHECK_STR(w_next_text(&w), "1");
    }
    KC_CHECK_EQ(w_next(&w).code, KC_ETIME);
    KC_CHECK_EQ(w_end(&w, scope, KC_REASON_CANCEL), KC_OK);
    KC_CHECK_EQ(kc_account_free(w.e, account), KC_OK);
    KC_CHECK_EQ(w_usage(&w).accounts, 0);
    w_close(&w);
}

KC_TEST(an_account_pays_for_bytes_until_the_message_is_gone) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 8);
    kc_account_limits limits = {0};
    kc_account_usage usage;
    uint32_t account = 0;
    kc_scope scope = 0;
    kc_result refused;
    int sent = 0;

    KC_REQUIRE(kc_account_make(w.e, NULL, &account) == KC_OK);
    scope = w_scope(&w, 0, account, (kc_scope_limits){0});
    KC_CHECK_EQ(w_send_op(&w, c, "x", op_of(&w, scope, 0)).code, KC_OK);
    KC_CHECK_EQ(kc_account_measure(w.e, account, &usage), KC_OK);
    KC_CHECK(usage.bytes >= 64); /* a block and a record */
    limits.bytes = usage.bytes * 2 + 1;
    KC_CHECK_EQ(kc_account_limit(w.e, account, &limits), KC_OK);
    KC_CHECK_STR(w_try_text(&w, c), "x");
    KC_CHECK_EQ(kc_account_measure(w.e, account, &usage), KC_OK);
    KC_CHECK_EQ(usage.bytes, 0);
    while ((refused = w_send_op(&w, c, "x", op_of(&w, scope, 0))).code == KC_OK)
        sent++;
    KC_CHECK_EQ(refused.code, KC_EDQUOT);
    KC_CHECK_EQ(refused.refusal.quota, KC_QUOTA_ACCOUNT_BYTES);
    KC_CHECK_EQ(refused.refusal.limit, limits.bytes);
    KC_CHECK_EQ(sent, 2);
    KC_CHECK_EQ(w_send(&w, c, "other account", 0).code, KC_OK);
    KC_CHECK_STR(w_try_text(&w, c), "x");
    KC_CHECK_EQ(w_send_op(&w, c, "y", op_of(&w, scope, 0)).code, KC_OK);
    KC_CHECK_EQ(w_end(&w, scope, KC_REASON_CANCEL), KC_OK);
    KC_CHECK_EQ(kc_account_free(w.e, account), KC_OK);
    KC_CHECK_EQ(kc_account_measure(w.e, account, &usage), KC_ENOENT);
    KC_CHECK_EQ(w_usage(&w).accounts, 1); /* still charged */
    KC_CHECK_STR(w_try_text(&w, c), "x");
    KC_CHECK_STR(w_try_text(&w, c), "other account");
    KC_CHECK_STR(w_try_text(&w, c), "y");
    KC_CHECK_EQ(w_usage(&w).accounts, 0);
    w_close(&w);
}

KC_TEST(an_account_pays_for_each_clause_of_a_parked_select) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);
    kc_account_limits limits = {.parked = 4};
    kc_clause clauses[3] = {w_receiving(c), w_receiving(c), w_receiving(c)};
    kc_account_usage usage;
    uint32_t account = 0;
    kc_scope scope = 0;
    kc_result parked;

    KC_REQUIRE(kc_account_make(w.e, &limits, &account) == KC_OK);
    scope = w_scope(&w, 0, account, (kc_scope_limits){0});
    parked = w_select_op(&w, clauses, 3, op_of(&w, scope, 0));
    KC_CHECK_EQ(parked.code, KC_PARKED);
    KC_CHECK_EQ(w_select_op(&w, clauses, 2, op_of(&w, scope, 0)).refusal.quota, KC_QUOTA_ACCOUNT_PARKED);
    KC_CHECK_EQ(w_recv_op(&w, c, op_of(&w, scope, 0)).code, KC_PARKED);
    KC_CHECK_EQ(w_cancel(&w, parked.token), KC_OK);
    KC_CHECK_EQ(kc_account_measure(w.e, account, &usage), KC_OK);
    KC_CHECK_EQ(usage.parked, 1);
    KC_CHECK_EQ(w_end(&w, scope, KC_REASON_CANCEL), KC_OK);
    KC_CHECK_EQ(kc_account_free(w.e, account), KC_OK);
    w_close(&w);
}

KC_TEST(an_account_pays_for_what_its_scopes_hold_together) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 4);
    kc_account_limits limits = {.held = 2};
    uint32_t account = 0;
    kc_scope scopes[2];
    kc_result refused;
    kc_result held;

    KC_REQUIRE(kc_account_make(w.e, &limits, &account) == KC_OK);
    for (int i = 0; i < 2; i++)
        scopes[i] = w_scope(&w, 0, account, (kc_scope_limits){0});
    for (int i = 0; i < 3; i++)
        (void)w_try_send(&w, c, "x");
    held = w_recv_op(&w, c, op_of(&w, scopes[0], KC_OP_ACK));
    KC_CHECK_EQ(w_recv_op(&w, c, op_of(&w, scopes[1], KC_OP_HOLD)).code, KC_OK);
    refused = w_recv_op(&w, c, op_of(&w, scopes[1], KC_OP_ACK));
    KC_CHECK_EQ(refused.code, KC_EDQUOT);
    KC_CHECK_EQ(refused.refusal.quota, KC_QUOTA_ACCOUNT_HELD);
    KC_CHECK_EQ(kc_waiter_token_ack(w.e, scopes[0], held.token), KC_OK);
    KC_CHECK_EQ(w_recv_op(&w, c, op_of(&w, scopes[1], KC_OP_ACK)).code, KC_OK);
    KC_CHECK_EQ(w_end(&w, scopes[0], KC_REASON_DEAD), KC_OK);
    KC_CHECK_EQ(w_end(&w, scopes[1], KC_REASON_DEAD), KC_OK);
    KC_CHECK_EQ(kc_account_free(w.e, account), KC_OK);
    KC_CHECK_EQ(w_usage(&w).accounts, 0);
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

KC_TEST(an_account_pays_for_its_channels) {
    kc_world w = w_open();
    kc_account_limits limits = {.channels = 1};
    kc_chan_config config = {0};
    kc_refusal refusal = {0};
    kc_chan chan = 0;
    uint32_t account = 0;

    KC_REQUIRE(kc_account_make(w.e, &limits, &account) == KC_OK);
    config.account = account;
    (void)w_chan_of(&w, config);
    KC_CHECK_EQ(kc_chan_make(w.e, &config, &chan, &refusal), KC_EDQUOT);
    KC_CHECK_EQ(refusal.quota, KC_QUOTA_ACCOUNT_CHANNELS);
    KC_CHECK_EQ(kc_account_limit(w.e, account, &(kc_account_limits){.channels = 2}), KC_OK);
    (void)w_chan_of(&w, config);
    KC_CHECK_EQ(kc_account_free(w.e, account), KC_OK);
    KC_CHECK_EQ(kc_chan_make(w.e, &config, &chan, &refusal), KC_ENOENT);
    KC_CHECK_EQ(kc_chan_drop(w.e, w.chans[0]), KC_OK);
    KC_CHECK_EQ(kc_chan_drop(w.e, w.chans[1]), KC_OK);
    KC_CHECK_EQ(w_usage(&w).accounts, 0);
    w_close(&w);
}

KC_TEST(a_dead_letter_of_a_forgotten_account_is_still_paid_for) {
    kc_world w = w_open();
    kc_chan letters = w_chan(&w, KC_KIND_UNLIMITED, 0);
    kc_chan c = w_chan_of(&w, (kc_chan_config){.kind = KC_KIND_BUFFERED,
                                               .capacity = 2,
                                               .undelivered = KC_UNDELIVERED_DEAD_LETTER,
                                               .dead_letter = letters});
    uint32_t old = 0;
    uint32_t next = 0;
    kc_scope scope = 0;
    kc_account_usage usage;

    KC_REQUIRE(kc_account_make(w.e, NULL, &old) == KC_OK);
    scope = w_scope(&w, 0, old, (kc_scope_limits){0});
    KC_CHECK_EQ(w_send_op(&w, c, "", op_of(&w, scope, 0)).code, KC_OK); /* no block: only the record is charged */
    (void)w_end(&w, scope, KC_REASON_CANCEL);
    KC_CHECK_EQ(kc_account_free(w.e, old), KC_OK);
    (void)w_destroy(&w, c); /* moves it */
    KC_CHECK_EQ(w_usage(&w).accounts, 1);
    KC_REQUIRE(kc_account_make(w.e, NULL, &next) == KC_OK);
    KC_CHECK(next != old);
    KC_CHECK_STR(w_try_text(&w, letters), "");
    KC_CHECK_EQ(kc_account_measure(w.e, next, &usage), KC_OK);
    KC_CHECK_EQ(usage.bytes, 0);
    KC_CHECK_EQ(kc_account_free(w.e, next), KC_OK);
    KC_CHECK_EQ(w_usage(&w).accounts, 0);
    w_close(&w);
}

KC_TEST(accounts_run_out_and_are_used_again) {
    kc_world w = w_open();
    uint32_t accounts[16];
    uint32_t more = 0;

    for (int i = 0; i < 16; i++)
        KC_CHECK_EQ(kc_account_make(w.e, NULL, &accounts[i]), KC_OK);
    KC_CHECK_EQ(kc_account_make(w.e, NULL, &more), KC_EDQUOT);
    KC_CHECK_EQ(kc_account_free(w.e, accounts[7]), KC_OK);
    KC_CHECK_EQ(kc_account_free(w.e, accounts[7]), KC_ENOENT);
    KC_CHECK_EQ(kc_account_free(w.e, 0), KC_ENOENT);
    KC_CHECK_EQ(kc_account_make(w.e, NULL, &accounts[7]), KC_OK);
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
    KC_RUN(waiters_of_a_channel_are_limited);
    KC_RUN(an_account_pays_for_waiters_until_they_are_decided);
    KC_RUN(an_account_pays_for_bytes_until_the_message_is_gone);
    KC_RUN(an_account_pays_for_each_clause_of_a_parked_select);
    KC_RUN(an_account_pays_for_what_its_scopes_hold_together);
    KC_RUN(an_operation_of_a_scope_that_has_ended_is_refused);
    KC_RUN(a_holder_of_thousands_that_dies_gives_them_back_in_order);
    KC_RUN(an_account_pays_for_its_channels);
    KC_RUN(a_dead_letter_of_a_forgotten_account_is_still_paid_for);
    KC_RUN(accounts_run_out_and_are_used_again);
    return kc_test_report();
}
