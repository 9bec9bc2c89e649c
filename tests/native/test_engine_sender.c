/* Who sent a message: what was said of its sender's account and scope then, whatever became of them since
 * (contract 4.19). */
#include "kc_world.h"

static kc_scope process(kc_world *w, uint32_t uid, uint32_t pid, uint32_t *account_out) {
    kc_scope scope = 0;

    KC_REQUIRE(kc_account_make(w->e, NULL, account_out) == KC_OK);
    KC_CHECK_EQ(kc_account_name(w->e, *account_out, uid), KC_OK);
    scope = w_scope(w, 0, *account_out, (kc_scope_limits){0});
    KC_CHECK_EQ(kc_chan_waiter_scope_name(w->e, scope, pid), KC_OK);
    return scope;
}

static kc_result send_as(kc_world *w, kc_scope scope, kc_chan chan, const char *text) {
    kc_op op = w_op(w, 0);

    op.scope = scope;
    return w_send_op(w, chan, text, op);
}

static void check_sender(kc_world *w, kc_token token, uint32_t uid, uint32_t pid) {
    kc_sender sender = {0};

    KC_CHECK_EQ(kc_waiter_token_sender(w->e, token, &sender), KC_OK);
    KC_CHECK_EQ(sender.uid, uid);
    KC_CHECK_EQ(sender.pid, pid);
}

static void end_process(kc_world *w, kc_scope scope, uint32_t account) {
    KC_CHECK_EQ(w_end(w, scope, KC_REASON_DEAD), KC_OK);
    KC_CHECK_EQ(kc_account_free(w->e, account), KC_OK);
    w_check(w);
}

KC_TEST(the_sender_is_known_after_its_end_and_after_every_redelivery) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 4);
    uint32_t one = 0, two = 0;
    kc_scope first = process(&w, 1000, 41, &one);
    kc_scope second = process(&w, 2000, 42, &two);
    kc_result held;

    (void)send_as(&w, first, c, "1");
    (void)send_as(&w, second, c, "2");
    end_process(&w, first, one);
    held = w_recv(&w, c, KC_OP_ACK | KC_OP_SENDER);
    KC_CHECK_EQ(held.flags, KC_RESULT_MESSAGE | KC_RESULT_HELD | KC_RESULT_ACK | KC_RESULT_SENDER);
    check_sender(&w, held.token, 1000, 41);
    KC_CHECK_EQ(w_nack(&w, held.token), KC_OK);
    held = w_recv(&w, c, KC_OP_HOLD);
    KC_CHECK_EQ(held.flags & KC_RESULT_SENDER, 0);
    check_sender(&w, held.token, 1000, 41);
    KC_CHECK_EQ(w_ack(&w, held.token), KC_OK);
    KC_CHECK_EQ(kc_waiter_token_sender(w.e, held.token, &(kc_sender){0}), KC_ENOENT);
    held = w_recv(&w, c, KC_OP_ACK);
    check_sender(&w, held.token, 2000, 42);
    KC_CHECK_EQ(w_ack(&w, held.token), KC_OK);
    end_process(&w, second, two);
    KC_CHECK_EQ(w_usage(&w).accounts, 0);
    w_close(&w);
}

KC_TEST(of_a_dead_letter_it_is_the_first_sender) {
    kc_world w = w_open();
    kc_chan letters = w_chan(&w, KC_KIND_UNLIMITED, 0);
    kc_chan c = w_chan_of(&w, (kc_chan_config){.kind = KC_KIND_RENDEZVOUS, .max_attempts = 1, .dead_letter = letters});
    uint32_t account = 0;
    kc_scope scope = process(&w, 1000, 41, &account);
    kc_result held;

    KC_CHECK_EQ(send_as(&w, scope, c, "1").code, KC_PARKED);
    held = w_recv(&w, c, KC_OP_ACK);
    KC_CHECK_EQ(w_next(&w).code, KC_OK);
    end_process(&w, scope, account);
    KC_CHECK_EQ(w_nack(&w, held.token), KC_OK);
    held = w_recv(&w, letters, KC_OP_ACK);
    check_sender(&w, held.token, 1000, 41);
    KC_CHECK_EQ(w_ack(&w, held.token), KC_OK);
    KC_CHECK_EQ(w_usage(&w).accounts, 0);
    w_close(&w);
}

KC_TEST(a_select_says_whether_its_winning_clause_asked) {
    kc_world w = w_open();
    kc_chan asks = w_buffered(&w, 1);
    kc_chan does_not = w_buffered(&w, 1);
    uint32_t account = 0;
    kc_scope scope = process(&w, 1000, 41, &account);

    for (int i = 0; i < 2; i++) {
        kc_clause clauses[] = {w_receiving(asks), w_receiving(does_not)};
        kc_result held;
        clauses[0].flags = KC_OP_HOLD | KC_OP_SENDER;
        clauses[1].flags = KC_OP_HOLD;
        KC_CHECK_EQ(w_select(&w, clauses, 2, 0).code, KC_PARKED);
        (void)send_as(&w, scope, i == 0 ? asks : does_not, "1");
        held = w_next(&w);
        KC_CHECK_EQ((held.flags & KC_RESULT_SENDER) != 0, i == 0);
        check_sender(&w, held.token, 1000, 41);
        KC_CHECK_EQ(w_ack(&w, held.token), KC_OK);
    }
    end_process(&w, scope, account);
    w_close(&w);
}

KC_TEST(without_a_name_it_is_nobody) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 1);
    kc_result held;

    (void)w_try_send(&w, c, "1");
    held = w_recv(&w, c, KC_OP_HOLD);
    check_sender(&w, held.token, KC_NOBODY, 0);
    KC_CHECK_EQ(w_ack(&w, held.token), KC_OK);
    KC_CHECK_EQ(kc_account_name(w.e, 0, 7), KC_ENOENT);
    KC_CHECK_EQ(kc_chan_waiter_scope_name(w.e, 99, 7), KC_ENOENT);
    w_close(&w);
}

KC_TEST(an_account_pays_for_its_messages_wherever_they_are) {
    kc_world w = w_open();
    kc_chan letters = w_chan(&w, KC_KIND_UNLIMITED, 0);
    kc_chan c = w_chan_of(&w, (kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 2, .max_attempts = 1,
                                               .dead_letter = letters});
    const kc_account_limits limits = {.messages = 3};
    kc_account_usage usage;
    uint32_t account = 0;
    kc_scope scope = 0;
    kc_result held, refused;

    KC_REQUIRE(kc_account_make(w.e, &limits, &account) == KC_OK);
    scope = w_scope(&w, 0, account, (kc_scope_limits){0});
    KC_CHECK_EQ(send_as(&w, scope, c, "1").code, KC_OK);
    KC_CHECK_EQ(send_as(&w, scope, c, "2").code, KC_OK);
    KC_CHECK_EQ(send_as(&w, scope, c, "3").code, KC_PARKED);
    refused = send_as(&w, scope, c, "4");
    KC_CHECK_EQ(refused.code, KC_EDQUOT);
    KC_CHECK_EQ(refused.refusal.quota, KC_QUOTA_ACCOUNT_MESSAGES);
    KC_CHECK_EQ(refused.refusal.limit, 3);
    KC_CHECK_EQ(refused.refusal.usage, 3);
    held = w_recv(&w, c, KC_OP_ACK); /* held, and "3" is in the channel: nothing is done yet */
    KC_CHECK_EQ(w_next(&w).code, KC_OK);
    KC_CHECK_EQ(send_as(&w, scope, letters, "4").code, KC_EDQUOT);
    KC_CHECK_EQ(w_nack(&w, held.token), KC_OK); /* a dead letter is still its sender's */
    KC_CHECK_EQ(send_as(&w, scope, letters, "4").code, KC_EDQUOT);
    KC_CHECK_STR(w_try_text(&w, letters), "1");
    KC_CHECK_EQ(send_as(&w, scope, letters, "4").code, KC_OK);
    KC_CHECK_STR(w_try_text(&w, letters), "4");
    KC_CHECK_STR(w_try_text(&w, c), "2");
    KC_CHECK_STR(w_try_text(&w, c), "3");
    KC_CHECK_EQ(kc_account_measure(w.e, account, &usage), KC_OK);
    KC_CHECK_EQ(usage.messages, 0);
    KC_CHECK_EQ(w_end(&w, scope, KC_REASON_CANCEL), KC_OK);
    KC_CHECK_EQ(kc_account_free(w.e, account), KC_OK);
    w_close(&w);
}

int main(void) {
    KC_RUN(the_sender_is_known_after_its_end_and_after_every_redelivery);
    KC_RUN(of_a_dead_letter_it_is_the_first_sender);
    KC_RUN(a_select_says_whether_its_winning_clause_asked);
    KC_RUN(without_a_name_it_is_nobody);
    KC_RUN(an_account_pays_for_its_messages_wherever_they_are);
    return kc_test_report();
}
