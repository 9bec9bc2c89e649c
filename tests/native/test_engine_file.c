/* Open files in messages (kc_file.h). A file is a number here: what counts is that each comes back exactly once. */
#include "kc_world.h"

enum { FIRST = 100, USER = 7 };

static kc_body body_with(kc_world *w, const char *text, int32_t first, uint32_t count) {
    int32_t files[KC_MAX_MESSAGE_FILES];
    kc_body body = {0};

    for (uint32_t i = 0; i < count; i++)
        files[i] = first + (int32_t)i;
    KC_REQUIRE(kc_file_pay(w->e, 0, count, NULL) == KC_OK);
    KC_REQUIRE(kc_body_make(w->e, 0, text, (uint32_t)strlen(text), &body, NULL) == KC_OK);
    KC_REQUIRE(kc_file_attach(w->e, &body, USER, files, count, NULL) == KC_OK);
    w_check(w);
    return body;
}

static kc_result send_files(kc_world *w, kc_chan chan, int32_t first, uint32_t count, uint32_t flags) {
    kc_op op = w_op(w, flags);
    kc_body body = body_with(w, "log", first, count);
    kc_result result;

    (void)kc_chan_send_body(w->e, chan, &op, &body, &result);
    kc_body_drop(w->e, &body);
    w_check(w);
    return result;
}

/* The next files to be closed, as "100 101 ", "" when there are none. */
static const char *to_close(kc_world *w) {
    int32_t files[KC_MAX_MESSAGE_FILES];
    uint32_t count = kc_file_take(w->e, files, KC_MAX_MESSAGE_FILES);

    w->text[0] = 0;
    for (uint32_t i = 0; i < count; i++)
        (void)snprintf(w->text + strlen(w->text), W_TEXT - strlen(w->text), "%d ", files[i]);
    w_check(w);
    return w->text;
}

KC_TEST(files_wait_with_their_message_and_come_out_with_it) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 2);
    int32_t files[KC_MAX_MESSAGE_FILES];
    kc_result result;

    KC_CHECK_EQ(send_files(&w, c, FIRST, 2, KC_OP_TRY).code, KC_OK);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_FILES), 2);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_BYTES), 3);
    KC_CHECK_STR(to_close(&w), "");
    result = w_recv(&w, c, KC_OP_TRY);
    KC_CHECK_EQ(kc_body_files(w.e, &result.body, files), 2);
    KC_CHECK_EQ(files[0], FIRST);
    KC_CHECK_EQ(files[1], FIRST + 1);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_FILES), 0);
    KC_CHECK_STR(w_text(&w, result), "log");
    KC_CHECK_STR(to_close(&w), "100 101 ");
    KC_CHECK_STR(to_close(&w), "");
    w_close(&w);
}

KC_TEST(files_of_a_refused_a_cancelled_and_a_destroyed_message_are_closed_once) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);
    kc_chan d = w_buffered(&w, 1);

    KC_CHECK_EQ(send_files(&w, c, 1, 1, KC_OP_TRY).code, KC_EAGAIN);
    KC_CHECK_STR(to_close(&w), "1 ");
    KC_CHECK_EQ(kc_waiter_token_cancel(w.e, send_files(&w, c, 2, 1, 0).token, KC_REASON_CANCEL, NULL), KC_OK);
    KC_CHECK_STR(to_close(&w), "2 ");
    KC_CHECK_EQ(send_files(&w, d, 3, 1, KC_OP_TRY).code, KC_OK);
    KC_CHECK_EQ(kc_chan_destroy(w.e, d, 0, NULL, 0), KC_OK);
    KC_CHECK_STR(to_close(&w), "3 ");
    w_close(&w);
}

KC_TEST(files_of_an_evicted_and_of_a_dropped_newest_message_are_closed_once) {
    kc_world w = w_open();
    kc_chan oldest = w_chan_of(&w, (kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 1,
                                                    .overflow = KC_OVERFLOW_DROP_OLDEST});
    kc_chan newest = w_chan_of(&w, (kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 1,
                                                    .overflow = KC_OVERFLOW_DROP_NEWEST});

    KC_CHECK_EQ(send_files(&w, oldest, 1, 1, KC_OP_TRY).code, KC_OK);
    KC_CHECK_EQ(send_files(&w, oldest, 2, 1, KC_OP_TRY).code, KC_OK);
    KC_CHECK_STR(to_close(&w), "1 ");
    KC_CHECK_EQ(send_files(&w, newest, 3, 1, KC_OP_TRY).code, KC_OK);
    KC_CHECK_EQ(send_files(&w, newest, 4, 1, KC_OP_TRY).flags & KC_RESULT_DROPPED, KC_RESULT_DROPPED);
    KC_CHECK_STR(to_close(&w), "4 ");
    KC_CHECK_EQ(kc_chan_destroy(w.e, oldest, 0, NULL, 0), KC_OK);
    KC_CHECK_EQ(kc_chan_destroy(w.e, newest, 0, NULL, 0), KC_OK);
    KC_CHECK_STR(to_close(&w), "2 3 ");
    w_close(&w);
}

KC_TEST(a_message_with_files_expires_where_the_channel_says_so) {
    kc_world w = w_open();
    kc_chan c = w_chan_of(&w, (kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 8, .file_ttl_ms = 10});

    KC_CHECK_EQ(send_files(&w, c, 1, 1, KC_OP_TRY).code, KC_OK);
    KC_CHECK_EQ(w_try_send(&w, c, "bytes do not expire"), KC_OK);
    KC_CHECK_EQ(kc_engine_tick(w.e, 4000000), 0);
    KC_CHECK_EQ(send_files(&w, c, 2, 1, KC_OP_TRY).code, KC_OK);
    KC_CHECK_EQ(kc_engine_next_deadline(w.e), 10000000);
    KC_CHECK_EQ(kc_engine_tick(w.e, 9999999), 0);
    KC_CHECK_EQ(kc_engine_tick(w.e, 10000000), 1);
    w_check(&w);
    KC_CHECK_STR(to_close(&w), "1 ");
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_UNDELIVERED_DROPPED), 1);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_READY), 2);
    KC_CHECK_EQ(kc_engine_next_deadline(w.e), 14000000);
    KC_CHECK_STR(w_try_text(&w, c), "bytes do not expire");
    KC_CHECK_STR(w_try_text(&w, c), "log"); /* taken in time: nothing is left to expire */
    KC_CHECK_EQ(kc_engine_next_deadline(w.e), KC_NEVER);
    KC_CHECK_STR(to_close(&w), "2 ");
    w_close(&w);
}

KC_TEST(a_message_that_comes_back_has_no_second_life) {
    kc_world w = w_open();
    kc_chan c = w_chan_of(&w, (kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 8, .file_ttl_ms = 10});
    kc_result held;

    KC_CHECK_EQ(send_files(&w, c, 1, 1, KC_OP_TRY).code, KC_OK);
    held = w_recv(&w, c, KC_OP_ACK);
    KC_CHECK_EQ(kc_engine_tick(w.e, 20000000), 0); /* held: its receiver has it */
    KC_CHECK_STR(to_close(&w), "");
    KC_CHECK_EQ(kc_waiter_token_nack(w.e, w.scope, held.token), KC_OK);
    w_check(&w);
    KC_CHECK_STR(to_close(&w), "1 ");
    KC_CHECK_EQ(kc_engine_tick(w.e, 20000000), 0);
    w_close(&w);
}

KC_TEST(an_expired_message_goes_to_the_dead_letter_if_that_is_the_policy) {
    kc_world w = w_open();
    kc_chan letters = w_chan(&w, KC_KIND_UNLIMITED, 0);
    kc_chan c = w_chan_of(&w, (kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 1, .file_ttl_ms = 1,
                                               .undelivered = KC_UNDELIVERED_DEAD_LETTER, .dead_letter = letters});

    KC_CHECK_EQ(send_files(&w, c, 1, 3, KC_OP_TRY).code, KC_OK);
    KC_CHECK_EQ(kc_engine_tick(w.e, 1000000), 1);
    w_check(&w);
    KC_CHECK_EQ(w_stat(&w, letters, KC_STAT_FILES), 3);
    KC_CHECK_STR(to_close(&w), "");
    KC_CHECK_STR(w_try_text(&w, letters), "log");
    KC_CHECK_STR(to_close(&w), "1 2 3 ");
    w_close(&w);
}

KC_TEST(files_are_charged_until_their_taker_has_them) {
    kc_world w = w_open();
    kc_account_limits limits = {.files = 3};
    kc_account_usage usage;
    kc_refusal refusal = {0};
    uint32_t account = 0;

    KC_CHECK_EQ(kc_account_make(w.e, &limits, &account), KC_OK);
    KC_CHECK_EQ(kc_file_pay(w.e, account, 3, &refusal), KC_OK);
    KC_CHECK_EQ(kc_file_pay(w.e, account, 1, &refusal), KC_EDQUOT);
    KC_CHECK_EQ(refusal.quota, KC_QUOTA_ACCOUNT_FILES);
    KC_CHECK_EQ(refusal.limit, 3);
    KC_CHECK_EQ(refusal.usage, 3);
    kc_file_refund(w.e, account, 2);
    KC_CHECK_EQ(kc_account_measure(w.e, account, &usage), KC_OK);
    KC_CHECK_EQ(usage.files, 1);
    kc_file_refund(w.e, account, 1);
    KC_CHECK_EQ(kc_account_free(w.e, account), KC_OK);
    w_close(&w);
}

KC_TEST(the_engine_has_a_limit_of_files_too) {
    kc_world w = w_open_with((kc_engine_config){.channels = 4, .tokens = 16, .clauses = 16, .messages = 16, .scopes = 4,
                                                .accounts = 4, .ports = 4, .heap_bytes = 8 << 20, .files = 2});
    kc_refusal refusal = {0};

    KC_CHECK_EQ(kc_file_pay(w.e, 0, 2, &refusal), KC_OK);
    KC_CHECK_EQ(kc_file_pay(w.e, 0, 1, &refusal), KC_EDQUOT);
    KC_CHECK_EQ(refusal.quota, KC_QUOTA_ENGINE_FILES);
    kc_file_refund(w.e, 0, 2);
    w_close(&w);
}

KC_TEST(who_sent_the_files_that_wait_and_when_can_be_listed) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 8);
    kc_file_info infos[4];

    KC_CHECK_EQ(send_files(&w, c, 1, 1, KC_OP_TRY).code, KC_OK);
    KC_CHECK_EQ(w_try_send(&w, c, "no file"), KC_OK);
    (void)kc_engine_tick(w.e, 30);
    KC_CHECK_EQ(send_files(&w, c, 2, 2, KC_OP_TRY).code, KC_OK);
    (void)kc_engine_tick(w.e, 50);
    KC_CHECK_EQ(kc_chan_files(w.e, c, 0, infos, 4), 2);
    KC_CHECK_EQ(infos[0].user, USER);
    KC_CHECK_EQ(infos[0].count, 1);
    KC_CHECK_EQ(infos[0].age_ns, 50);
    KC_CHECK_EQ(infos[1].count, 2);
    KC_CHECK_EQ(infos[1].age_ns, 20);
    KC_CHECK_EQ(kc_chan_files(w.e, c, 1, infos, 4), 1);
    KC_CHECK_EQ(infos[0].count, 2);
    KC_CHECK_EQ(kc_chan_destroy(w.e, c, 0, NULL, 0), KC_OK);
    KC_CHECK_STR(to_close(&w), "1 2 3 ");
    w_close(&w);
}

int main(void) {
    KC_RUN(files_wait_with_their_message_and_come_out_with_it);
    KC_RUN(files_of_a_refused_a_cancelled_and_a_destroyed_message_are_closed_once);
    KC_RUN(files_of_an_evicted_and_of_a_dropped_newest_message_are_closed_once);
    KC_RUN(a_message_with_files_expires_where_the_channel_says_so);
    KC_RUN(a_message_that_comes_back_has_no_second_life);
    KC_RUN(an_expired_message_goes_to_the_dead_letter_if_that_is_the_policy);
    KC_RUN(files_are_charged_until_their_taker_has_them);
    KC_RUN(the_engine_has_a_limit_of_files_too);
    KC_RUN(who_sent_the_files_that_wait_and_when_can_be_listed);
    return kc_test_report();
}
