/* Messages that may not wait for ever: never delivered after their time, never ended before it, counted once
 * (contract 4.18). */
#include "kc_world.h"

enum { MS = 1000000 };

static kc_op expiring(kc_world *w, int64_t expires_ns, uint32_t flags) {
    kc_op op = w_op(w, flags);

    op.expires_ns = expires_ns;
    return op;
}

static kc_result send_until(kc_world *w, kc_chan chan, const char *text, int64_t expires_ns) {
    return w_send_op(w, chan, text, expiring(w, expires_ns, 0));
}

static kc_chan with_ttl(kc_world *w, int32_t kind, uint32_t ttl_ms) {
    return w_chan_of(w, (kc_chan_config){.kind = kind, .capacity = 4, .ttl_ms = ttl_ms});
}

static void check_lost(kc_world *w, kc_chan chan, uint64_t expired) {
    KC_CHECK_EQ(w_stat(w, chan, KC_STAT_EXPIRED), expired);
    KC_CHECK_EQ(w_stat(w, chan, KC_STAT_UNDELIVERED), expired);
    KC_CHECK_EQ(w_stat(w, chan, KC_STAT_UNDELIVERED_DROPPED), expired);
    KC_CHECK_EQ(w_stat(w, chan, KC_STAT_DEPTH), 0);
}

static const int32_t kinds[] = {KC_KIND_BUFFERED, KC_KIND_UNLIMITED, KC_KIND_CONFLATED};

KC_TEST(a_message_that_waits_beyond_its_time_is_gone_and_not_a_nanosecond_before) {
    for (int i = 0; i < 3; i++) {
        kc_world w = w_open();
        kc_chan c = w_chan(&w, kinds[i], kinds[i] == KC_KIND_BUFFERED ? 4 : 0);
        KC_CHECK_EQ(send_until(&w, c, "milk", 5 * MS).code, KC_OK);
        KC_CHECK_EQ(kc_engine_next_deadline(w.e), 5 * MS);
        KC_CHECK_EQ(w_tick(&w, 5 * MS - 1), 0);
        KC_CHECK_EQ(w_stat(&w, c, KC_STAT_READY), 1);
        KC_CHECK_EQ(w_tick(&w, 5 * MS), 1);
        check_lost(&w, c, 1);
        KC_CHECK_STR(w_try_text(&w, c), "(again)");
        KC_CHECK_EQ(kc_engine_next_deadline(w.e), KC_NEVER);
        w_close(&w);
    }
}

KC_TEST(a_message_taken_in_time_leaves_no_deadline) {
    for (int i = 0; i < 3; i++) {
        kc_world w = w_open();
        kc_chan c = with_ttl(&w, kinds[i], 5);
        KC_CHECK_EQ(w_try_send(&w, c, "milk"), KC_OK);
        KC_CHECK_EQ(kc_engine_next_deadline(w.e), 5 * MS);
        KC_CHECK_EQ(w_tick(&w, 5 * MS - 1), 0);
        KC_CHECK_STR(w_try_text(&w, c), "milk");
        KC_CHECK_EQ(kc_engine_next_deadline(w.e), KC_NEVER);
        KC_CHECK_EQ(w_stat(&w, c, KC_STAT_EXPIRED), 0);
        w_close(&w);
    }
}

KC_TEST(of_the_senders_wish_and_the_channels_rule_the_sooner_counts) {
    kc_world w = w_open();
    kc_chan c = with_ttl(&w, KC_KIND_BUFFERED, 10);

    KC_CHECK_EQ(send_until(&w, c, "sooner", 4 * MS).code, KC_OK);
    KC_CHECK_EQ(send_until(&w, c, "later", 40 * MS).code, KC_OK);
    KC_CHECK_EQ(w_try_send(&w, c, "as the channel says"), KC_OK);
    KC_CHECK_EQ(w_tick(&w, 4 * MS), 1);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_READY), 2);
    KC_CHECK_EQ(w_tick(&w, 10 * MS - 1), 0);
    KC_CHECK_EQ(w_tick(&w, 10 * MS), 2);
    check_lost(&w, c, 3);
    w_close(&w);
}

KC_TEST(only_what_expires_goes_and_the_order_of_the_rest_stays) {
    kc_world w = w_open();
    kc_chan c = w_chan(&w, KC_KIND_UNLIMITED, 0);

    (void)w_try_send(&w, c, "1");
    (void)send_until(&w, c, "2", 9 * MS);
    (void)w_try_send(&w, c, "3");
    (void)send_until(&w, c, "4", 2 * MS);
    (void)send_until(&w, c, "5", 20 * MS);
    KC_CHECK_EQ(w_tick(&w, 9 * MS), 2);
    KC_CHECK_STR(w_try_text(&w, c), "1");
    KC_CHECK_STR(w_try_text(&w, c), "3");
    KC_CHECK_STR(w_try_text(&w, c), "5");
    KC_CHECK_STR(w_try_text(&w, c), "(again)");
    w_close(&w);
}

KC_TEST(room_that_an_expired_message_leaves_is_the_next_parked_senders) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 1);

    (void)send_until(&w, c, "old", 3 * MS);
    KC_CHECK_EQ(w_send(&w, c, "new", 0).code, KC_PARKED);
    KC_CHECK_EQ(w_tick(&w, 3 * MS), 1);
    KC_CHECK_EQ(w_next(&w).code, KC_OK);
    KC_CHECK_STR(w_try_text(&w, c), "new");
    w_close(&w);
}

KC_TEST(a_send_that_waits_beyond_its_messages_time_was_not_sent) {
    static const int32_t waiting[] = {KC_KIND_RENDEZVOUS, KC_KIND_BUFFERED};

    for (int i = 0; i < 2; i++) {
        kc_world w = w_open();
        kc_chan c = w_chan(&w, waiting[i], waiting[i] == KC_KIND_BUFFERED ? 1 : 0);
        if (waiting[i] == KC_KIND_BUFFERED)
            (void)w_try_send(&w, c, "first");
        KC_CHECK_EQ(send_until(&w, c, "milk", 5 * MS).code, KC_PARKED);
        KC_CHECK_EQ(w_tick(&w, 5 * MS - 1), 0);
        KC_CHECK_EQ(w_depth(&w), 0);
        KC_CHECK_EQ(w_tick(&w, 5 * MS), 1);
        KC_CHECK_EQ(w_next(&w).code, KC_ETIME);
        KC_CHECK_EQ(w_stat(&w, c, KC_STAT_SEND_ETIME), 1);
        KC_CHECK_EQ(w_stat(&w, c, KC_STAT_EXPIRED), 0); /* it never was the channel's */
        KC_CHECK_STR(w_try_text(&w, c), waiting[i] == KC_KIND_BUFFERED ? "first" : "(again)");
        w_close(&w);
    }
}

KC_TEST(a_sends_own_deadline_may_come_first) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);
    kc_op op = expiring(&w, 50 * MS, 0);

    op.deadline_ns = 5 * MS;
    KC_CHECK_EQ(w_send_op(&w, c, "milk", op).code, KC_PARKED);
    KC_CHECK_EQ(kc_engine_next_deadline(w.e), 5 * MS);
    KC_CHECK_EQ(w_tick(&w, 5 * MS), 1);
    KC_CHECK_EQ(w_next(&w).code, KC_ETIME);
    KC_CHECK_EQ(kc_engine_next_deadline(w.e), KC_NEVER);
    w_close(&w);
}

KC_TEST(a_message_promoted_in_time_keeps_what_is_left_of_it) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 1);

    (void)w_try_send(&w, c, "first");
    KC_CHECK_EQ(send_until(&w, c, "milk", 5 * MS).code, KC_PARKED);
    (void)w_tick(&w, 4 * MS);
    KC_CHECK_STR(w_try_text(&w, c), "first");
    KC_CHECK_EQ(w_next(&w).code, KC_OK);
    KC_CHECK_EQ(w_tick(&w, 5 * MS), 1);
    check_lost(&w, c, 1);
    w_close(&w);
}

KC_TEST(a_held_message_does_not_expire_and_its_ack_counts) {
    kc_world w = w_open();
    kc_chan c = with_ttl(&w, KC_KIND_BUFFERED, 5);
    kc_result held;

    (void)w_try_send(&w, c, "milk");
    held = w_recv(&w, c, KC_OP_ACK);
    KC_CHECK_EQ(w_tick(&w, 50 * MS), 0);
    KC_CHECK_EQ(w_ack(&w, held.token), KC_OK);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_TOTAL_RECVS), 1);
    check_lost(&w, c, 0);
    w_close(&w);
}

/* How a holder may give up: nack, its death, a reply that cannot be carried. */
static void give_up(kc_world *w, kc_scope scope, kc_token token, int how) {
    if (how == 0)
        KC_CHECK_EQ(kc_waiter_token_nack(w->e, scope, token), KC_OK);
    else if (how == 1)
        KC_CHECK_EQ(kc_chan_waiter_scope_clear(w->e, scope, KC_REASON_DEAD), KC_OK);
    else
        KC_CHECK_EQ(kc_waiter_token_return(w->e, scope, token), KC_OK);
    w_check(w);
}

KC_TEST(a_message_given_back_after_its_time_expires_and_before_it_does_not) {
    for (int how = 0; how < 3; how++) {
        for (uint32_t acked = 0; acked < 2; acked++) {
            kc_world w = w_open();
            kc_chan c = with_ttl(&w, KC_KIND_BUFFERED, 5);
            kc_scope scope = w_scope(&w, 0, 0, (kc_scope_limits){0});
            kc_op op = w_op(&w, acked != 0 ? KC_OP_ACK : KC_OP_HOLD);
            kc_result held;
            op.scope = scope;
            (void)w_try_send(&w, c, "milk");
            held = w_recv_op(&w, c, op);
            (void)w_tick(&w, 5 * MS - 1);
            give_up(&w, scope, held.token, how);
            KC_CHECK_EQ(w_stat(&w, c, KC_STAT_READY), 1);
            KC_CHECK_EQ(kc_engine_next_deadline(w.e), 5 * MS);
            held = w_recv_op(&w, c, op);
            KC_CHECK_EQ(held.code, KC_OK);
            KC_CHECK_EQ(w_tick(&w, 5 * MS), 0);
            give_up(&w, scope, held.token, how);
            check_lost(&w, c, 1);
            KC_CHECK_EQ(w_end(&w, scope, KC_REASON_CANCEL), KC_OK);
            w_close(&w);
        }
    }
}

KC_TEST(a_rendezvous_message_that_comes_back_expires_as_the_channel_says) {
    kc_world w = w_open();
    kc_chan c = with_ttl(&w, KC_KIND_RENDEZVOUS, 5);
    kc_result held;

    KC_CHECK_EQ(w_send(&w, c, "milk", 0).code, KC_PARKED);
    KC_CHECK_EQ(w_tick(&w, 50 * MS), 0); /* the channel's time begins when it has the message */
    held = w_recv(&w, c, KC_OP_ACK);
    KC_CHECK_EQ(w_next(&w).code, KC_OK);
    KC_CHECK_EQ(w_nack(&w, held.token), KC_OK);
    KC_CHECK_EQ(kc_engine_next_deadline(w.e), 55 * MS);
    KC_CHECK_EQ(w_tick(&w, 55 * MS), 1);
    check_lost(&w, c, 1);
    w_close(&w);
}

KC_TEST(who_waits_for_the_ack_is_told_that_it_expired) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 1);
    kc_result told;

    KC_CHECK_EQ(w_send_op(&w, c, "milk", expiring(&w, 5 * MS, KC_OP_CONFIRM)).code, KC_PARKED);
    KC_CHECK_EQ(w_tick(&w, 5 * MS), 1);
    told = w_next(&w);
    KC_CHECK_EQ(told.code, KC_ECANCELED);
    KC_CHECK_EQ(told.reason, KC_REASON_EXPIRED);
    check_lost(&w, c, 1);
    w_close(&w);
}

KC_TEST(once_taken_the_messages_time_does_not_end_the_wait_for_its_ack) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);
    kc_result held;

    KC_CHECK_EQ(w_send_op(&w, c, "milk", expiring(&w, 5 * MS, KC_OP_CONFIRM)).code, KC_PARKED);
    KC_CHECK_EQ(kc_engine_next_deadline(w.e), 5 * MS);
    held = w_recv(&w, c, KC_OP_ACK);
    KC_CHECK_EQ(kc_engine_next_deadline(w.e), KC_NEVER);
    KC_CHECK_EQ(w_tick(&w, 50 * MS), 0);
    KC_CHECK_EQ(w_depth(&w), 0);
    KC_CHECK_EQ(w_ack(&w, held.token), KC_OK);
    KC_CHECK_EQ(w_next(&w).code, KC_OK);
    w_close(&w);
}

KC_TEST(an_expired_message_goes_to_the_dead_letter_and_waits_there_as_that_says) {
    kc_world w = w_open();
    kc_chan letters = w_chan(&w, KC_KIND_UNLIMITED, 0);
    kc_chan c = w_chan_of(&w, (kc_chan_config){.kind = KC_KIND_UNLIMITED, .ttl_ms = 1,
                                               .undelivered = KC_UNDELIVERED_DEAD_LETTER, .dead_letter = letters});

    (void)w_try_send(&w, c, "milk");
    KC_CHECK_EQ(w_tick(&w, 1 * MS), 1);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_EXPIRED), 1);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_UNDELIVERED_DEAD_LETTERED), 1);
    KC_CHECK_EQ(w_tick(&w, 100 * MS), 0);
    KC_CHECK_STR(w_try_text(&w, letters), "milk");
    w_close(&w);
}

KC_TEST(evicted_purged_and_destroyed_messages_leave_no_deadline) {
    for (int how = 0; how < 3; how++) {
        kc_world w = w_open();
        kc_chan c = w_chan_of(&w, (kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 1, .ttl_ms = 5,
                                                   .overflow = KC_OVERFLOW_DROP_OLDEST});
        uint32_t count = 0;
        (void)w_try_send(&w, c, "1");
        (void)w_tick(&w, 1 * MS);
        (void)w_try_send(&w, c, "2");
        KC_CHECK_EQ(kc_engine_next_deadline(w.e), 6 * MS);
        if (how == 0)
            KC_CHECK_STR(w_try_text(&w, c), "2");
        else if (how == 1)
            KC_CHECK_EQ(kc_chan_purge(w.e, c, &count), KC_OK);
        else
            KC_CHECK_EQ(w_destroy(&w, c), KC_OK);
        w_check(&w);
        KC_CHECK_EQ(kc_engine_next_deadline(w.e), KC_NEVER);
        KC_CHECK_EQ(w_stat(&w, c, KC_STAT_EXPIRED), 0);
        w_close(&w);
    }
}

KC_TEST(a_closed_channel_ends_when_its_last_message_expires) {
    kc_world w = w_open();
    kc_chan c = with_ttl(&w, KC_KIND_BUFFERED, 5);
    kc_result held;

    (void)w_try_send(&w, c, "1");
    (void)w_try_send(&w, c, "2");
    held = w_recv(&w, c, KC_OP_ACK);
    KC_CHECK_EQ(w_close_chan(&w, c), KC_OK);
    KC_CHECK_EQ(w_tick(&w, 5 * MS), 1);
    KC_CHECK_EQ(w_recv(&w, c, KC_OP_ACK).code, KC_PARKED);
    KC_CHECK_EQ(w_nack(&w, held.token), KC_OK);
    KC_CHECK_EQ(w_next(&w).code, KC_EPIPE);
    w_close(&w);
}

/* Deadlines of waiters and of messages in one heap, in any order of times: each ends at its own. */
KC_TEST(two_hundred_messages_and_waiters_end_each_at_its_time) {
    kc_world w = w_open();
    kc_chan c = w_chan(&w, KC_KIND_UNLIMITED, 0);
    kc_chan empty = w_rendezvous(&w);
    uint32_t random = 7;
    uint64_t due[101] = {0};
    uint64_t expired = 0;

    for (int i = 0; i < 200; i++) {
        random = random * 1664525 + 1013904223;
        int64_t at = 1 + (random >> 16) % 100;
        kc_op op = expiring(&w, at, KC_OP_TRY);
        kc_result result;
        if (i % 2 == 0) {
            KC_CHECK_EQ(kc_chan_send(w.e, c, &op, "x", 1, &result), KC_OK);
        } else {
            op = w_until(&w, at);
            KC_CHECK_EQ(kc_chan_recv(w.e, empty, &op, NULL, 0, &result), KC_PARKED);
        }
        due[at]++;
    }
    for (int64_t at = 1; at <= 100; at++) {
        KC_CHECK_EQ(w_tick(&w, at), due[at]);
        expired += due[at];
    }
    KC_CHECK_EQ(expired, 200);
    check_lost(&w, c, 100);
    for (int i = 0; i < 100; i++)
        KC_CHECK_EQ(w_next(&w).code, KC_ETIME);
    w_close(&w);
}

int main(void) {
    KC_RUN(a_message_that_waits_beyond_its_time_is_gone_and_not_a_nanosecond_before);
    KC_RUN(a_message_taken_in_time_leaves_no_deadline);
    KC_RUN(of_the_senders_wish_and_the_channels_rule_the_sooner_counts);
    KC_RUN(only_what_expires_goes_and_the_order_of_the_rest_stays);
    KC_RUN(room_that_an_expired_message_leaves_is_the_next_parked_senders);
    KC_RUN(a_send_that_waits_beyond_its_messages_time_was_not_sent);
    KC_RUN(a_sends_own_deadline_may_come_first);
    KC_RUN(a_message_promoted_in_time_keeps_what_is_left_of_it);
    KC_RUN(a_held_message_does_not_expire_and_its_ack_counts);
    KC_RUN(a_message_given_back_after_its_time_expires_and_before_it_does_not);
    KC_RUN(a_rendezvous_message_that_comes_back_expires_as_the_channel_says);
    KC_RUN(who_waits_for_the_ack_is_told_that_it_expired);
    KC_RUN(once_taken_the_messages_time_does_not_end_the_wait_for_its_ack);
    KC_RUN(an_expired_message_goes_to_the_dead_letter_and_waits_there_as_that_says);
    KC_RUN(evicted_purged_and_destroyed_messages_leave_no_deadline);
    KC_RUN(a_closed_channel_ends_when_its_last_message_expires);
    KC_RUN(two_hundred_messages_and_waiters_end_each_at_its_time);
    return kc_test_report();
}
