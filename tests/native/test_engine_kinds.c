/* Conflated channels (the newest replaces, a send never waits) and unlimited ones (a quota in messages and bytes). */
#include "kc_world.h"

KC_TEST(conflated_keeps_only_the_newest) {
    kc_world w = w_open();
    kc_chan c = w_chan(&w, KC_KIND_CONFLATED, 0);

    KC_CHECK_EQ(w_try_send(&w, c, "1"), KC_OK);
    KC_CHECK_EQ(w_try_send(&w, c, "2"), KC_OK);
    KC_CHECK_EQ(w_try_send(&w, c, "3"), KC_OK);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_DEPTH), 1);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_DROPS_OLDEST), 2);
    KC_CHECK_STR(w_try_text(&w, c), "3");
    KC_CHECK_STR(w_try_text(&w, c), "(again)");
    w_close(&w);
}

KC_TEST(conflated_gives_every_value_to_a_receiver_that_waits) {
    kc_world w = w_open();
    kc_chan c = w_chan(&w, KC_KIND_CONFLATED, 0);

    (void)w_recv(&w, c, 0);
    (void)w_recv(&w, c, 0);
    KC_CHECK_EQ(w_try_send(&w, c, "1"), KC_OK);
    KC_CHECK_EQ(w_try_send(&w, c, "2"), KC_OK);
    KC_CHECK_STR(w_next_text(&w), "1");
    KC_CHECK_STR(w_next_text(&w), "2");
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_DROPS_OLDEST), 0);
    w_close(&w);
}

KC_TEST(conflated_takes_any_number_of_bytes) {
    kc_world w = w_open();
    kc_chan c = w_chan_of(&w, (kc_chan_config){.kind = KC_KIND_CONFLATED, .max_bytes = 2});

    KC_CHECK_EQ(w_try_send(&w, c, "longer than two"), KC_OK);
    KC_CHECK_EQ(w_try_send(&w, c, "another"), KC_OK);
    KC_CHECK_STR(w_try_text(&w, c), "another");
    w_close(&w);
}

KC_TEST(conflated_refuses_acks_and_confirmed_sends) {
    kc_world w = w_open();
    kc_chan c = w_chan(&w, KC_KIND_CONFLATED, 0);
    kc_chan_config config = {.kind = KC_KIND_CONFLATED, .flags = KC_CHAN_ACK_REQUIRED};
    kc_chan chan = 0;

    KC_CHECK_EQ(w_recv(&w, c, KC_OP_ACK).code, KC_EINVAL);
    KC_CHECK_EQ(w_send(&w, c, "x", KC_OP_CONFIRM).code, KC_EINVAL);
    KC_CHECK_EQ(kc_chan_make(w.e, &config, &chan, NULL), KC_EINVAL);
    w_close(&w);
}

KC_TEST(an_undelivered_conflated_value_comes_back_while_it_is_the_newest) {
    kc_world w = w_open();
    kc_chan c = w_chan(&w, KC_KIND_CONFLATED, 0);
    kc_result held;

    (void)w_try_send(&w, c, "1");
    held = w_recv(&w, c, KC_OP_HOLD);
    KC_CHECK_EQ(w_nack(&w, held.token), KC_OK);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_UNDELIVERED_REQUEUED), 1);
    KC_CHECK_STR(w_try_text(&w, c), "1");
    w_close(&w);
}

KC_TEST(an_undelivered_conflated_value_is_dropped_when_a_newer_one_exists) {
    kc_world w = w_open();
    kc_chan c = w_chan(&w, KC_KIND_CONFLATED, 0);
    kc_result held;

    (void)w_try_send(&w, c, "1");
    held = w_recv(&w, c, KC_OP_HOLD);
    (void)w_try_send(&w, c, "2");
    KC_CHECK_EQ(w_nack(&w, held.token), KC_OK);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_UNDELIVERED_DROPPED), 1);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_UNDELIVERED_REQUEUED), 0);
    KC_CHECK_STR(w_try_text(&w, c), "2");
    w_close(&w);
}

KC_TEST(a_new_value_replaces_a_requeued_one) {
    kc_world w = w_open();
    kc_chan c = w_chan(&w, KC_KIND_CONFLATED, 0);
    kc_result held;

    (void)w_try_send(&w, c, "1");
    held = w_recv(&w, c, KC_OP_HOLD);
    (void)w_nack(&w, held.token);
    (void)w_try_send(&w, c, "2");
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_DROPS_OLDEST), 1);
    KC_CHECK_STR(w_try_text(&w, c), "2");
    KC_CHECK_STR(w_try_text(&w, c), "(again)");
    w_close(&w);
}

KC_TEST(unlimited_takes_many_and_keeps_their_order) {
    kc_world w = w_open();
    kc_chan c = w_chan(&w, KC_KIND_UNLIMITED, 0);
    char text[16];

    for (int i = 0; i < 200; i++) {
        snprintf(text, sizeof text, "%d", i);
        KC_CHECK_EQ(w_try_send(&w, c, text), KC_OK);
    }
    for (int i = 0; i < 200; i++) {
        snprintf(text, sizeof text, "%d", i);
        KC_CHECK_STR(w_try_text(&w, c), text);
    }
    KC_CHECK_STR(w_try_text(&w, c), "(again)");
    w_close(&w);
}

KC_TEST(unlimited_is_full_at_its_quota_of_messages_and_the_sender_waits) {
    kc_world w = w_open();
    kc_chan c = w_chan_of(&w, (kc_chan_config){.kind = KC_KIND_UNLIMITED, .max_items = 2});

    KC_CHECK_EQ(w_try_send(&w, c, "1"), KC_OK);
    KC_CHECK_EQ(w_try_send(&w, c, "2"), KC_OK);
    KC_CHECK_EQ(w_try_send(&w, c, "3"), KC_EAGAIN);
    KC_CHECK_EQ(w_send(&w, c, "3", 0).code, KC_PARKED);
    KC_CHECK_STR(w_try_text(&w, c), "1");
    KC_CHECK_EQ(w_next(&w).code, KC_OK);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_DROPS_OLDEST), 0);
    w_close(&w);
}

KC_TEST(unlimited_is_full_at_its_quota_of_bytes) {
    kc_world w = w_open();
    kc_chan c = w_chan_of(&w, (kc_chan_config){.kind = KC_KIND_UNLIMITED, .max_bytes = 4});

    KC_CHECK_EQ(w_try_send(&w, c, "abc"), KC_OK);
    KC_CHECK_EQ(w_try_send(&w, c, "de"), KC_EAGAIN);
    KC_CHECK_EQ(w_try_send(&w, c, "f"), KC_OK);
    w_close(&w);
}

KC_TEST(unlimited_and_conflated_refuse_drop_policies) {
    kc_world w = w_open();
    kc_chan_config config = {.kind = KC_KIND_UNLIMITED, .overflow = KC_OVERFLOW_DROP_OLDEST};
    kc_chan chan = 0;

    KC_CHECK_EQ(kc_chan_make(w.e, &config, &chan, NULL), KC_EINVAL);
    config.kind = KC_KIND_CONFLATED;
    KC_CHECK_EQ(kc_chan_make(w.e, &config, &chan, NULL), KC_EINVAL);
    w_close(&w);
}

int main(void) {
    KC_RUN(conflated_keeps_only_the_newest);
    KC_RUN(conflated_gives_every_value_to_a_receiver_that_waits);
    KC_RUN(conflated_takes_any_number_of_bytes);
    KC_RUN(conflated_refuses_acks_and_confirmed_sends);
    KC_RUN(an_undelivered_conflated_value_comes_back_while_it_is_the_newest);
    KC_RUN(an_undelivered_conflated_value_is_dropped_when_a_newer_one_exists);
    KC_RUN(a_new_value_replaces_a_requeued_one);
    KC_RUN(unlimited_takes_many_and_keeps_their_order);
    KC_RUN(unlimited_is_full_at_its_quota_of_messages_and_the_sender_waits);
    W_RUN_BYTES(unlimited_is_full_at_its_quota_of_bytes);
    KC_RUN(unlimited_and_conflated_refuse_drop_policies);
    return kc_test_report();
}
