/* Buffered channels: exactly n, FIFO, no barging; overflow suspend, drop_newest, drop_oldest; limits in bytes. */
#include "kc_world.h"

static kc_chan lossy(kc_world *w, uint32_t capacity, uint32_t overflow) {
    return w_chan_of(w, (kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = capacity, .overflow = overflow});
}

KC_TEST(a_buffer_takes_exactly_its_capacity) {
    static const uint32_t capacities[] = {1, 2, 3, 7, 64};

    for (size_t i = 0; i < sizeof capacities / sizeof capacities[0]; i++) {
        kc_world w = w_open();
        kc_chan c = w_buffered(&w, capacities[i]);
        for (uint32_t n = 0; n < capacities[i]; n++)
            KC_CHECK_EQ(w_try_send(&w, c, "m"), KC_OK);
        KC_CHECK_EQ(w_try_send(&w, c, "over"), KC_EAGAIN);
        KC_CHECK_EQ(w_stat(&w, c, KC_STAT_DEPTH), capacities[i]);
        KC_CHECK_EQ(w_stat(&w, c, KC_STAT_PEAK_DEPTH), capacities[i]);
        KC_CHECK_STR(w_try_text(&w, c), "m");
        KC_CHECK_EQ(w_try_send(&w, c, "again"), KC_OK);
        KC_CHECK_EQ(w_try_send(&w, c, "over"), KC_EAGAIN);
        w_close(&w);
    }
}

KC_TEST(a_capacity_of_zero_or_too_large_is_refused) {
    kc_world w = w_open();
    kc_chan_config config = {.kind = KC_KIND_BUFFERED};
    kc_chan chan = 0;

    KC_CHECK_EQ(kc_chan_make(w.e, &config, &chan, NULL), KC_EINVAL);
    config.capacity = KC_MAX_CAPACITY + 1;
    KC_CHECK_EQ(kc_chan_make(w.e, &config, &chan, NULL), KC_EINVAL);
    config = (kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 1, .overflow = 3};
    KC_CHECK_EQ(kc_chan_make(w.e, &config, &chan, NULL), KC_EINVAL);
    config = (kc_chan_config){.kind = -3};
    KC_CHECK_EQ(kc_chan_make(w.e, &config, &chan, NULL), KC_EINVAL);
    config = (kc_chan_config){.kind = 2};
    KC_CHECK_EQ(kc_chan_make(w.e, &config, &chan, NULL), KC_EINVAL);
    w_close(&w);
}

KC_TEST(messages_leave_in_the_order_they_came) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 3);

    KC_CHECK_EQ(w_try_send(&w, c, "1"), KC_OK);
    KC_CHECK_EQ(w_try_send(&w, c, "2"), KC_OK);
    KC_CHECK_EQ(w_try_send(&w, c, "3"), KC_OK);
    KC_CHECK_STR(w_try_text(&w, c), "1");
    KC_CHECK_EQ(w_try_send(&w, c, "4"), KC_OK);
    KC_CHECK_STR(w_try_text(&w, c), "2");
    KC_CHECK_STR(w_try_text(&w, c), "3");
    KC_CHECK_STR(w_try_text(&w, c), "4");
    KC_CHECK_STR(w_try_text(&w, c), "(again)");
    w_close(&w);
}

KC_TEST(room_that_becomes_free_accepts_the_oldest_parked_sender) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 1);
    uint64_t first = 0;

    KC_CHECK_EQ(w_send(&w, c, "1", 0).code, KC_OK);
    first = w_send(&w, c, "2", 0).user;
    KC_CHECK_EQ(w_send(&w, c, "3", 0).code, KC_PARKED);
    KC_CHECK_STR(w_try_text(&w, c), "1");
    KC_CHECK_EQ(w_depth(&w), 1);
    KC_CHECK_EQ(w_next(&w).user, first);
    KC_CHECK_STR(w_try_text(&w, c), "2");
    KC_CHECK_EQ(w_next(&w).code, KC_OK);
    KC_CHECK_STR(w_try_text(&w, c), "3");
    w_close(&w);
}

KC_TEST(a_parked_receiver_gets_the_message_not_the_buffer) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 1);

    KC_CHECK_EQ(w_recv(&w, c, 0).code, KC_PARKED);
    KC_CHECK_EQ(w_send(&w, c, "1", 0).code, KC_OK);
    KC_CHECK_EQ(w_send(&w, c, "2", 0).code, KC_OK);
    KC_CHECK_EQ(w_try_send(&w, c, "3"), KC_EAGAIN);
    KC_CHECK_STR(w_next_text(&w), "1");
    KC_CHECK_STR(w_try_text(&w, c), "2");
    w_close(&w);
}

KC_TEST(nobody_overtakes_a_parked_sender) {
    kc_world w = w_open();
    kc_chan c = w_chan_of(&w, (kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 4, .max_bytes = 10});

    KC_CHECK_EQ(w_send(&w, c, "12345678", 0).code, KC_OK);
    KC_CHECK_EQ(w_send(&w, c, "abcdefgh", 0).code, KC_PARKED); /* no room in bytes */
    KC_CHECK_EQ(w_try_send(&w, c, "x"), KC_EAGAIN);            /* one byte would fit */
    KC_CHECK_EQ(w_send(&w, c, "y", 0).code, KC_PARKED);
    KC_CHECK_STR(w_try_text(&w, c), "12345678");
    KC_CHECK_EQ(w_depth(&w), 2);
    KC_CHECK_STR(w_try_text(&w, c), "abcdefgh");
    KC_CHECK_STR(w_try_text(&w, c), "y");
    w_close(&w);
}

KC_TEST(an_empty_channel_has_room_for_a_message_over_its_bytes) {
    kc_world w = w_open();
    kc_chan c = w_chan_of(&w, (kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 4, .max_bytes = 3});

    KC_CHECK_EQ(w_try_send(&w, c, "longer"), KC_OK);
    KC_CHECK_EQ(w_try_send(&w, c, "a"), KC_EAGAIN);
    KC_CHECK_STR(w_try_text(&w, c), "longer");
    KC_CHECK_EQ(w_try_send(&w, c, "a"), KC_OK);
    KC_CHECK_EQ(w_try_send(&w, c, "bc"), KC_OK);
    KC_CHECK_EQ(w_try_send(&w, c, ""), KC_OK);
    KC_CHECK_EQ(w_try_send(&w, c, "d"), KC_EAGAIN);
    w_close(&w);
}

KC_TEST(bytes_of_a_held_message_count_until_it_is_done) {
    kc_world w = w_open();
    kc_chan c = w_chan_of(&w, (kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 4, .max_bytes = 4});
    kc_result held;

    KC_CHECK_EQ(w_try_send(&w, c, "abcd"), KC_OK);
    held = w_recv(&w, c, KC_OP_ACK);
    KC_CHECK_EQ(held.code, KC_OK);
    KC_CHECK_EQ(w_try_send(&w, c, "e"), KC_EAGAIN);
    KC_CHECK_EQ(w_send(&w, c, "f", 0).code, KC_PARKED);
    KC_CHECK_EQ(w_ack(&w, held.token), KC_OK);
    KC_CHECK_EQ(w_next(&w).code, KC_OK);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_BYTES), 1);
    w_close(&w);
}

KC_TEST(a_cancelled_large_sender_lets_the_small_one_behind_it_in) {
    kc_world w = w_open();
    kc_chan c = w_chan_of(&w, (kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 4, .max_bytes = 4});
    kc_token large = 0;

    KC_CHECK_EQ(w_try_send(&w, c, "abc"), KC_OK);
    large = w_send(&w, c, "defg", 0).token;
    KC_CHECK_EQ(w_send(&w, c, "h", 0).code, KC_PARKED);
    KC_CHECK_EQ(w_cancel(&w, large), KC_OK);
    KC_CHECK_EQ(w_next(&w).code, KC_OK);
    KC_CHECK_STR(w_try_text(&w, c), "abc");
    KC_CHECK_STR(w_try_text(&w, c), "h");
    w_close(&w);
}

KC_TEST(drop_newest_succeeds_and_says_that_it_dropped) {
    kc_world w = w_open();
    kc_chan c = lossy(&w, 2, KC_OVERFLOW_DROP_NEWEST);
    kc_result result;

    KC_CHECK_EQ(w_send(&w, c, "1", 0).flags, KC_RESULT_SEND);
    KC_CHECK_EQ(w_send(&w, c, "2", 0).code, KC_OK);
    result = w_send(&w, c, "3", 0);
    KC_CHECK_EQ(result.code, KC_OK);
    KC_CHECK_EQ(result.flags, KC_RESULT_SEND | KC_RESULT_DROPPED);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_DROPS_NEWEST), 1);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_TOTAL_SENDS), 3);
    KC_CHECK_STR(w_try_text(&w, c), "1");
    KC_CHECK_STR(w_try_text(&w, c), "2");
    KC_CHECK_STR(w_try_text(&w, c), "(again)");
    w_close(&w);
}

KC_TEST(drop_oldest_keeps_the_newest_in_order) {
    kc_world w = w_open();
    kc_chan c = lossy(&w, 2, KC_OVERFLOW_DROP_OLDEST);

    for (char text[2] = "1"; text[0] <= '5'; text[0]++)
        KC_CHECK_EQ(w_send(&w, c, text, 0).flags, KC_RESULT_SEND);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_DROPS_OLDEST), 3);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_UNDELIVERED), 0);
    KC_CHECK_STR(w_try_text(&w, c), "4");
    KC_CHECK_STR(w_try_text(&w, c), "5");
    KC_CHECK_STR(w_try_text(&w, c), "(again)");
    w_close(&w);
}

KC_TEST(drop_oldest_makes_room_in_bytes_too) {
    kc_world w = w_open();
    kc_chan c = w_chan_of(&w, (kc_chan_config){.kind = KC_KIND_BUFFERED,
                                               .capacity = 8,
                                               .overflow = KC_OVERFLOW_DROP_OLDEST,
                                               .max_bytes = 6});

    KC_CHECK_EQ(w_try_send(&w, c, "aa"), KC_OK);
    KC_CHECK_EQ(w_try_send(&w, c, "bb"), KC_OK);
    KC_CHECK_EQ(w_try_send(&w, c, "ccccc"), KC_OK);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_DROPS_OLDEST), 2);
    KC_CHECK_STR(w_try_text(&w, c), "ccccc");
    w_close(&w);
}

KC_TEST(drop_oldest_spares_what_was_requeued) {
    kc_world w = w_open();
    kc_chan c = lossy(&w, 1, KC_OVERFLOW_DROP_OLDEST);
    kc_result held;

    (void)w_try_send(&w, c, "1");
    held = w_recv(&w, c, KC_OP_ACK);
    (void)w_try_send(&w, c, "2");
    KC_CHECK_EQ(w_nack(&w, held.token), KC_OK);
    (void)w_try_send(&w, c, "3"); /* evicts 2, which is not requeued */
    KC_CHECK_STR(w_try_text(&w, c), "1");
    KC_CHECK_STR(w_try_text(&w, c), "3");
    KC_CHECK_STR(w_try_text(&w, c), "(again)");
    w_close(&w);
}

KC_TEST(an_element_over_elem_size_is_refused_and_stays_the_senders) {
    kc_world w = w_open();
    kc_chan c = w_chan_of(&w, (kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 2, .elem_size = 3});
    kc_body body;
    kc_op op = w_op(&w, 0);
    kc_result result;

    KC_CHECK_EQ(w_try_send(&w, c, "abc"), KC_OK);
    KC_CHECK_EQ(kc_body_make(w.e, 0, "abcd", 4, &body, NULL), KC_OK);
    KC_CHECK_EQ(kc_chan_send_body(w.e, c, &op, &body, &result), KC_EMSGSIZE);
    KC_CHECK_EQ(body.len_bytes, 4);
    kc_body_drop(w.e, &body);
    w_close(&w);
}

KC_TEST(fixed_size_elements_have_exactly_that_size) {
    kc_world w = w_open();
    kc_chan c = w_chan_of(
        &w, (kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 2, .elem_size = 3, .flags = KC_CHAN_FIXED_SIZE});

    KC_CHECK_EQ(w_try_send(&w, c, "ab"), KC_EINVAL);
    KC_CHECK_EQ(w_try_send(&w, c, "abcd"), KC_EINVAL);
    KC_CHECK_EQ(w_try_send(&w, c, "abc"), KC_OK);
    w_close(&w);
}

KC_TEST(fixed_size_without_a_size_and_unknown_flags_are_refused) {
    kc_world w = w_open();
    kc_chan_config config = {.kind = KC_KIND_BUFFERED, .capacity = 2, .flags = KC_CHAN_FIXED_SIZE};
    kc_chan chan = 0;

    KC_CHECK_EQ(kc_chan_make(w.e, &config, &chan, NULL), KC_EINVAL);
    config.elem_size = KC_MAX_ELEMENT_BYTES + 1;
    KC_CHECK_EQ(kc_chan_make(w.e, &config, &chan, NULL), KC_EINVAL);
    config = (kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 2, .flags = 8};
    KC_CHECK_EQ(kc_chan_make(w.e, &config, &chan, NULL), KC_EINVAL);
    w_close(&w);
}

KC_TEST(a_body_is_taken_over_exactly_on_success) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 1);
    kc_op op = w_op(&w, KC_OP_TRY);
    kc_body body;
    kc_result result;

    KC_CHECK_EQ(kc_body_make(w.e, 0, "one", 3, &body, NULL), KC_OK);
    KC_CHECK_EQ(kc_chan_send_body(w.e, c, &op, &body, &result), KC_OK);
    KC_CHECK_EQ(body.block, 0);
    KC_CHECK_EQ(kc_body_make(w.e, 0, "two", 3, &body, NULL), KC_OK);
    KC_CHECK_EQ(kc_chan_send_body(w.e, c, &op, &body, &result), KC_EAGAIN);
    KC_CHECK(body.block != 0);
    kc_body_drop(w.e, &body);
    KC_CHECK_STR(w_try_text(&w, c), "one");
    w_close(&w);
}

int main(void) {
    KC_RUN(a_buffer_takes_exactly_its_capacity);
    KC_RUN(a_capacity_of_zero_or_too_large_is_refused);
    KC_RUN(messages_leave_in_the_order_they_came);
    KC_RUN(room_that_becomes_free_accepts_the_oldest_parked_sender);
    KC_RUN(a_parked_receiver_gets_the_message_not_the_buffer);
    W_RUN_BYTES(nobody_overtakes_a_parked_sender);
    W_RUN_BYTES(an_empty_channel_has_room_for_a_message_over_its_bytes);
    W_RUN_BYTES(bytes_of_a_held_message_count_until_it_is_done);
    W_RUN_BYTES(a_cancelled_large_sender_lets_the_small_one_behind_it_in);
    KC_RUN(drop_newest_succeeds_and_says_that_it_dropped);
    KC_RUN(drop_oldest_keeps_the_newest_in_order);
    W_RUN_BYTES(drop_oldest_makes_room_in_bytes_too);
    KC_RUN(drop_oldest_spares_what_was_requeued);
    KC_RUN(an_element_over_elem_size_is_refused_and_stays_the_senders);
    KC_RUN(fixed_size_elements_have_exactly_that_size);
    KC_RUN(fixed_size_without_a_size_and_unknown_flags_are_refused);
    KC_RUN(a_body_is_taken_over_exactly_on_success);
    return kc_test_report();
}
