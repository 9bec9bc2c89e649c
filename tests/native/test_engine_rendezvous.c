/* Rendezvous channels: a send completes only when a receiver took that very message (contract 4.4). */
#include "kc_world.h"

KC_TEST(a_try_send_without_a_receiver_changes_nothing) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);

    KC_CHECK_EQ(w_try_send(&w, c, "a"), KC_EAGAIN);
    KC_CHECK_EQ(w_usage(&w).messages, 0);
    KC_CHECK_EQ(w_usage(&w).tokens, 0);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_TOTAL_SENDS), 0);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_SEND_EAGAIN), 1);
    w_close(&w);
}

KC_TEST(a_try_receive_without_a_sender_changes_nothing) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);

    KC_CHECK_STR(w_try_text(&w, c), "(again)");
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_RECV_EAGAIN), 1);
    w_close(&w);
}

KC_TEST(a_parked_send_completes_when_its_message_is_taken) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);
    kc_result sent = w_send(&w, c, "a", 0);
    uint64_t user = sent.user;

    KC_CHECK_EQ(sent.code, KC_PARKED);
    KC_CHECK_EQ(w_depth(&w), 0);
    KC_CHECK_STR(w_try_text(&w, c), "a");
    sent = w_next(&w);
    KC_CHECK_EQ(sent.code, KC_OK);
    KC_CHECK_EQ(sent.user, user);
    KC_CHECK_EQ(sent.chan, c);
    KC_CHECK_EQ(sent.flags, KC_RESULT_SEND);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_RV_MATCHES), 1);
    w_close(&w);
}

KC_TEST(a_send_to_a_parked_receiver_completes_at_once) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);
    kc_result received = w_recv(&w, c, 0);

    KC_CHECK_EQ(received.code, KC_PARKED);
    KC_CHECK_EQ(w_send(&w, c, "b", 0).code, KC_OK);
    received = w_next(&w);
    KC_CHECK_EQ(received.code, KC_OK);
    KC_CHECK_EQ(received.flags, KC_RESULT_MESSAGE);
    KC_CHECK_STR(w_text(&w, received), "b");
    KC_CHECK_EQ(w_depth(&w), 0);
    w_close(&w);
}

KC_TEST(a_try_send_meets_a_parked_receiver) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);

    KC_CHECK_EQ(w_recv(&w, c, 0).code, KC_PARKED);
    KC_CHECK_EQ(w_try_send(&w, c, "x"), KC_OK);
    KC_CHECK_EQ(w_try_send(&w, c, "y"), KC_EAGAIN);
    KC_CHECK_STR(w_next_text(&w), "x");
    w_close(&w);
}

KC_TEST(senders_are_served_in_the_order_they_came) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);
    uint64_t first = w_send(&w, c, "1", 0).user;
    uint64_t second = w_send(&w, c, "2", 0).user;
    uint64_t third = w_send(&w, c, "3", 0).user;

    KC_CHECK_STR(w_try_text(&w, c), "1");
    KC_CHECK_STR(w_try_text(&w, c), "2");
    KC_CHECK_STR(w_try_text(&w, c), "3");
    KC_CHECK_STR(w_try_text(&w, c), "(again)");
    KC_CHECK_EQ(w_next(&w).user, first);
    KC_CHECK_EQ(w_next(&w).user, second);
    KC_CHECK_EQ(w_next(&w).user, third);
    w_close(&w);
}

KC_TEST(receivers_are_served_in_the_order_they_came) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);
    uint64_t first = w_recv(&w, c, 0).user;
    uint64_t second = w_recv(&w, c, 0).user;
    kc_result result;

    KC_CHECK_EQ(w_send(&w, c, "1", 0).code, KC_OK);
    KC_CHECK_EQ(w_send(&w, c, "2", 0).code, KC_OK);
    KC_CHECK_EQ(w_send(&w, c, "3", 0).code, KC_PARKED);
    result = w_next(&w);
    KC_CHECK_EQ(result.user, first);
    KC_CHECK_STR(w_text(&w, result), "1");
    result = w_next(&w);
    KC_CHECK_EQ(result.user, second);
    KC_CHECK_STR(w_text(&w, result), "2");
    w_close(&w);
}

KC_TEST(an_empty_message_is_a_message) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);
    kc_result result;

    KC_CHECK_EQ(w_send(&w, c, "", 0).code, KC_PARKED);
    result = w_recv(&w, c, 0);
    KC_CHECK_EQ(result.code, KC_OK);
    KC_CHECK_EQ(result.flags & KC_RESULT_MESSAGE, KC_RESULT_MESSAGE);
    KC_CHECK_EQ(result.body.len_bytes, 0);
    KC_CHECK_EQ(result.body.block, 0);
    w_close(&w);
}

KC_TEST(a_message_that_fits_is_copied_into_the_receivers_buffer) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);
    kc_op op = w_op(&w, 0);
    kc_result result;
    char buffer[3] = "";

    (void)w_send(&w, c, "abc", 0);
    KC_CHECK_EQ(kc_chan_recv(w.e, c, &op, buffer, sizeof buffer, &result), KC_OK);
    KC_CHECK_EQ(result.flags, KC_RESULT_MESSAGE | KC_RESULT_COPIED);
    KC_CHECK_EQ(result.body.len_bytes, 3);
    KC_CHECK_EQ(result.body.block, 0);
    KC_CHECK_MEM(buffer, "abc", 3);
    w_check(&w);
    w_close(&w);
}

KC_TEST(a_message_too_long_for_the_buffer_comes_as_a_body) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);
    kc_op op = w_op(&w, 0);
    kc_result result;
    char buffer[3] = "..";

    (void)w_send(&w, c, "abcd", 0);
    KC_CHECK_EQ(kc_chan_recv(w.e, c, &op, buffer, sizeof buffer, &result), KC_OK);
    KC_CHECK_EQ(result.flags, KC_RESULT_MESSAGE);
    KC_CHECK_STR(buffer, "..");
    KC_CHECK_STR(w_text(&w, result), "abcd");
    w_close(&w);
}

KC_TEST(a_rendezvous_channel_never_has_room) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);

    (void)w_send(&w, c, "1", 0);
    (void)w_send(&w, c, "2", 0);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_DEPTH), 0);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_TOTAL_SENDS), 0);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_PARKED_SENDERS), 2);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_CAPACITY), 0);
    w_close(&w);
}

KC_TEST(a_drop_policy_on_rendezvous_is_refused) {
    kc_world w = w_open();
    kc_chan_config config = {.kind = KC_KIND_RENDEZVOUS, .overflow = KC_OVERFLOW_DROP_NEWEST};
    kc_chan chan = 0;

    KC_CHECK_EQ(kc_chan_make(w.e, &config, &chan, NULL), KC_EINVAL);
    config.overflow = KC_OVERFLOW_DROP_OLDEST;
    KC_CHECK_EQ(kc_chan_make(w.e, &config, &chan, NULL), KC_EINVAL);
    KC_CHECK_EQ(w_usage(&w).channels, 0);
    w_close(&w);
}

KC_TEST(a_ticket_of_a_dropped_channel_never_meets_the_next_one) {
    kc_world w = w_open_with((kc_engine_config){.channels = 1, .tokens = 8, .messages = 8, .heap_bytes = 1 << 20});
    kc_chan old = w_rendezvous(&w);

    KC_CHECK_EQ(kc_chan_drop(w.e, old), KC_OK);
    (void)w_rendezvous(&w); /* the only record there is */
    KC_CHECK_EQ(w_try_send(&w, old, "a"), KC_ENOENT);
    KC_CHECK_EQ(w_recv(&w, old, 0).code, KC_ENOENT);
    KC_CHECK_EQ(kc_chan_close(w.e, old), KC_ENOENT);
    KC_CHECK_EQ(kc_chan_destroy(w.e, old, 0, NULL, 0), KC_ENOENT);
    KC_CHECK_EQ(kc_chan_drop(w.e, old), KC_ENOENT);
    KC_CHECK_EQ(kc_chan_keep(w.e, old), KC_ENOENT);
    w_close(&w);
}

int main(void) {
    KC_RUN(a_try_send_without_a_receiver_changes_nothing);
    KC_RUN(a_try_receive_without_a_sender_changes_nothing);
    KC_RUN(a_parked_send_completes_when_its_message_is_taken);
    KC_RUN(a_send_to_a_parked_receiver_completes_at_once);
    KC_RUN(a_try_send_meets_a_parked_receiver);
    KC_RUN(senders_are_served_in_the_order_they_came);
    KC_RUN(receivers_are_served_in_the_order_they_came);
    KC_RUN(an_empty_message_is_a_message);
    W_RUN_BYTES(a_message_that_fits_is_copied_into_the_receivers_buffer);
    KC_RUN(a_message_too_long_for_the_buffer_comes_as_a_body);
    KC_RUN(a_rendezvous_channel_never_has_room);
    KC_RUN(a_drop_policy_on_rendezvous_is_refused);
    KC_RUN(a_ticket_of_a_dropped_channel_never_meets_the_next_one);
    return kc_test_report();
}
