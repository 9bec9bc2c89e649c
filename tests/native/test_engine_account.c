/* Accounts: who pays for waiters, held messages, bytes and channels, and until when (contract 4.12). */
#include "kc_world.h"

static kc_op op_of(kc_world *w, kc_scope scope, uint32_t flags) {
    kc_op op = w_op(w, flags);

    op.scope = scope;
    return op;
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
    KC_RUN(an_account_pays_for_waiters_until_they_are_decided);
    KC_RUN(an_account_pays_for_bytes_until_the_message_is_gone);
    KC_RUN(an_account_pays_for_each_clause_of_a_parked_select);
    KC_RUN(an_account_pays_for_what_its_scopes_hold_together);
    KC_RUN(an_account_pays_for_its_channels);
    KC_RUN(a_dead_letter_of_a_forgotten_account_is_still_paid_for);
    KC_RUN(accounts_run_out_and_are_used_again);
    return kc_test_report();
}
