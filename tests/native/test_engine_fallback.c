/* Sends of bytes where a descriptor was wanted: counted once, when the message is accepted (with total_sends), whether
 * the send was plain or a clause of a select, and whether it ran at once or waited. */
#include "kc_world.h"

static void check_counts(kc_world *w, kc_chan c, uint64_t small, uint64_t capacity) {
    KC_CHECK_EQ(w_stat(w, c, KC_STAT_ZREF_FALLBACK_SMALL), small);
    KC_CHECK_EQ(w_stat(w, c, KC_STAT_ZREF_FALLBACK_CAPACITY), capacity);
}

static kc_clause sending(kc_world *w, kc_chan c, uint32_t flags) {
    kc_clause clause = w_sending(w, c, "x");

    clause.flags = flags;
    return clause;
}

KC_TEST(a_fallback_that_is_accepted_at_once_counts_once_by_its_reason) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 2);
    kc_chan meeting = w_rendezvous(&w);

    KC_CHECK_EQ(w_send(&w, c, "a", KC_OP_SMALL).code, KC_OK);
    check_counts(&w, c, 1, 0);
    KC_CHECK_EQ(w_send(&w, c, "b", KC_OP_CROWDED).code, KC_OK);
    check_counts(&w, c, 1, 1);
    KC_CHECK_EQ(w_recv(&w, meeting, 0).code, KC_PARKED);
    KC_CHECK_EQ(w_send(&w, meeting, "c", KC_OP_SMALL).code, KC_OK);
    check_counts(&w, meeting, 1, 0);
    KC_CHECK_STR(w_next_text(&w), "c");
    KC_CHECK_STR(w_try_text(&w, c), "a");
    check_counts(&w, c, 1, 1); /* not again when it is received */
    w_close(&w);
}

KC_TEST(a_fallback_that_the_policy_drops_was_sent_and_counts) {
    kc_world w = w_open();
    kc_chan c = w_chan_of(&w, (kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 1,
                                               .overflow = KC_OVERFLOW_DROP_NEWEST});

    (void)w_try_send(&w, c, "first");
    KC_CHECK_EQ(w_send(&w, c, "second", KC_OP_SMALL).flags & KC_RESULT_DROPPED, KC_RESULT_DROPPED);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_TOTAL_SENDS), 2);
    check_counts(&w, c, 1, 0);
    w_close(&w);
}

KC_TEST(a_fallback_that_waits_counts_when_it_is_accepted_and_not_before) {
    kc_world w = w_open();
    kc_chan full = w_buffered(&w, 1);
    kc_chan meeting = w_rendezvous(&w);

    (void)w_try_send(&w, full, "first");
    KC_CHECK_EQ(w_send(&w, full, "second", KC_OP_CROWDED).code, KC_PARKED);
    KC_CHECK_EQ(w_send(&w, meeting, "third", KC_OP_SMALL).code, KC_PARKED);
    check_counts(&w, full, 0, 0);
    check_counts(&w, meeting, 0, 0);
    KC_CHECK_STR(w_try_text(&w, full), "first"); /* there is room now */
    check_counts(&w, full, 0, 1);
    KC_CHECK_STR(w_try_text(&w, meeting), "third");
    check_counts(&w, meeting, 1, 0);
    KC_CHECK_EQ(w_next(&w).code, KC_OK);
    KC_CHECK_EQ(w_next(&w).code, KC_OK);
    KC_CHECK_STR(w_try_text(&w, full), "second");
    check_counts(&w, full, 0, 1);
    w_close(&w);
}

KC_TEST(a_fallback_that_did_not_happen_counts_nothing) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);
    kc_scope dying = w_scope(&w, 0, 0, (kc_scope_limits){0});
    kc_op op = w_op(&w, KC_OP_SMALL);

    KC_CHECK_EQ(w_send(&w, c, "tried", KC_OP_TRY | KC_OP_SMALL).code, KC_EAGAIN);
    KC_CHECK_EQ(w_cancel(&w, w_send(&w, c, "cancelled", KC_OP_SMALL).token), KC_OK);
    op.deadline_ns = 5;
    KC_CHECK_EQ(w_send_op(&w, c, "late", op).code, KC_PARKED);
    KC_CHECK_EQ(w_tick(&w, 5), 1);
    KC_CHECK_EQ(w_next(&w).code, KC_ETIME);
    op.deadline_ns = KC_NEVER;
    op.scope = dying;
    KC_CHECK_EQ(w_send_op(&w, c, "its owner dies", op).code, KC_PARKED);
    KC_CHECK_EQ(w_end(&w, dying, KC_REASON_DEAD), KC_OK);
    KC_CHECK_EQ(w_send(&w, c, "destroyed", KC_OP_SMALL).code, KC_PARKED);
    KC_CHECK_EQ(w_destroy(&w, c), KC_OK);
    KC_CHECK_EQ(w_next(&w).code, KC_ECANCELED);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_TOTAL_SENDS), 0);
    check_counts(&w, c, 0, 0);
    w_close(&w);
}

KC_TEST(a_confirmed_fallback_counts_when_it_is_accepted_and_not_again_with_its_ack) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);
    kc_chan buffer = w_buffered(&w, 1);
    kc_result held;

    KC_CHECK_EQ(w_send(&w, c, "waits", KC_OP_CONFIRM | KC_OP_SMALL).code, KC_PARKED);
    check_counts(&w, c, 0, 0);
    held = w_recv(&w, c, KC_OP_ACK);
    check_counts(&w, c, 1, 0);
    KC_CHECK_EQ(w_ack(&w, held.token), KC_OK);
    KC_CHECK_EQ(w_next(&w).code, KC_OK);
    check_counts(&w, c, 1, 0);
    KC_CHECK_EQ(w_send(&w, buffer, "tried", KC_OP_TRY | KC_OP_CONFIRM | KC_OP_CROWDED).code, KC_EINPROGRESS);
    check_counts(&w, buffer, 0, 1); /* accepted, though nobody waits for its ack */
    w_close(&w);
}

KC_TEST(of_a_select_that_runs_at_once_the_clause_that_won_counts_alone) {
    kc_world w = w_open();
    kc_chan a = w_rendezvous(&w);
    kc_chan b = w_buffered(&w, 2);
    kc_clause clauses[2] = {sending(&w, a, KC_OP_SMALL), sending(&w, b, KC_OP_CROWDED)};
    kc_clause plain[2] = {sending(&w, a, KC_OP_SMALL), sending(&w, b, 0)};

    KC_CHECK_EQ(w_select(&w, clauses, 2, 0).clause, 1);
    check_counts(&w, a, 0, 0);
    check_counts(&w, b, 0, 1);
    KC_CHECK_EQ(w_select(&w, plain, 2, 0).clause, 1);
    check_counts(&w, a, 0, 0);
    check_counts(&w, b, 0, 1);
    w_close(&w);
}

KC_TEST(of_a_select_that_waited_the_clause_that_won_counts_alone_and_not_before) {
    kc_world w = w_open();
    kc_chan a = w_rendezvous(&w);
    kc_chan b = w_rendezvous(&w);
    kc_clause twice[3] = {sending(&w, a, KC_OP_SMALL), sending(&w, b, KC_OP_CROWDED), sending(&w, b, KC_OP_SMALL)};
    kc_clause plain[2] = {sending(&w, a, 0), sending(&w, b, KC_OP_SMALL)};

    KC_CHECK_EQ(w_select(&w, twice, 3, KC_OP_BIASED).code, KC_PARKED);
    check_counts(&w, a, 0, 0);
    check_counts(&w, b, 0, 0);
    KC_CHECK_STR(w_try_text(&w, b), "x");
    KC_CHECK_EQ(w_next(&w).clause, 1);
    check_counts(&w, a, 0, 0);
    check_counts(&w, b, 0, 1);
    KC_CHECK_EQ(w_select(&w, plain, 2, KC_OP_BIASED).code, KC_PARKED);
    KC_CHECK_STR(w_try_text(&w, a), "x");
    KC_CHECK_EQ(w_next(&w).clause, 0);
    check_counts(&w, a, 0, 0);
    check_counts(&w, b, 0, 1);
    w_close(&w);
}

KC_TEST(a_select_in_which_no_send_won_counts_none) {
    kc_world w = w_open();
    kc_chan a = w_rendezvous(&w);
    kc_chan b = w_rendezvous(&w);
    kc_clause received[2] = {sending(&w, a, KC_OP_SMALL), w_receiving(b)};
    kc_clause cancelled[1] = {sending(&w, a, KC_OP_SMALL)};
    kc_clause tried[1] = {sending(&w, a, KC_OP_CROWDED)};

    KC_CHECK_EQ(w_select(&w, received, 2, 0).code, KC_PARKED);
    KC_CHECK_EQ(w_try_send(&w, b, "theirs"), KC_OK);
    KC_CHECK_STR(w_next_text(&w), "theirs");
    KC_CHECK_EQ(w_cancel(&w, w_select(&w, cancelled, 1, 0).token), KC_OK);
    KC_CHECK_EQ(w_select(&w, tried, 1, KC_OP_TRY).code, KC_EAGAIN);
    check_counts(&w, a, 0, 0);
    check_counts(&w, b, 0, 0);
    w_close(&w);
}

KC_TEST(flags_that_are_not_those_of_a_send_do_nothing_in_a_sending_clause) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);
    kc_clause clause = sending(&w, c, KC_OP_CONFIRM | KC_OP_HOLD | KC_OP_ACK | KC_OP_SENDER | KC_OP_SMALL);

    KC_CHECK_EQ(w_select(&w, &clause, 1, 0).code, KC_PARKED);
    KC_CHECK_STR(w_try_text(&w, c), "x");
    KC_CHECK_EQ(w_next(&w).flags, KC_RESULT_SEND); /* answered although nobody acknowledged it */
    check_counts(&w, c, 1, 0);
    w_close(&w);
}

KC_TEST(a_conflated_channel_takes_a_clause_that_asks_for_confirmation_as_any_other) {
    kc_world w = w_open();
    kc_chan c = w_chan(&w, KC_KIND_CONFLATED, 0);
    kc_clause clause = sending(&w, c, KC_OP_CONFIRM | KC_OP_SMALL);

    KC_CHECK_EQ(w_select(&w, &clause, 1, 0).code, KC_OK); /* a plain send with that flag is refused there */
    check_counts(&w, c, 1, 0);
    KC_CHECK_STR(w_try_text(&w, c), "x");
    w_close(&w);
}

int main(void) {
    KC_RUN(a_fallback_that_is_accepted_at_once_counts_once_by_its_reason);
    KC_RUN(a_fallback_that_the_policy_drops_was_sent_and_counts);
    KC_RUN(a_fallback_that_waits_counts_when_it_is_accepted_and_not_before);
    KC_RUN(a_fallback_that_did_not_happen_counts_nothing);
    KC_RUN(a_confirmed_fallback_counts_when_it_is_accepted_and_not_again_with_its_ack);
    KC_RUN(of_a_select_that_runs_at_once_the_clause_that_won_counts_alone);
    KC_RUN(of_a_select_that_waited_the_clause_that_won_counts_alone_and_not_before);
    KC_RUN(a_select_in_which_no_send_won_counts_none);
    KC_RUN(a_conflated_channel_takes_a_clause_that_asks_for_confirmation_as_any_other);
    KC_RUN(flags_that_are_not_those_of_a_send_do_nothing_in_a_sending_clause);
    return kc_test_report();
}
