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
    uint32_t account = 0;
    uint32_t count = kc_file_take(w->e, files, KC_MAX_MESSAGE_FILES, &account);

    w->text[0] = 0;
    for (uint32_t i = 0; i < count; i++)
        (void)snprintf(w->text + strlen(w->text), W_TEXT - strlen(w->text), "%d ", files[i]);
    w_check(w);
    if (count != 0)
        kc_file_closed(w->e, account, count);
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

KC_TEST(files_are_paid_for_and_refunded) {
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

static uint32_t account_with(kc_world *w, uint32_t files) {
    kc_account_limits limits = {.files = files};
    uint32_t account = 0;

    KC_REQUIRE(kc_account_make(w->e, &limits, &account) == KC_OK);
    return account;
}

static uint32_t files_of(kc_world *w, uint32_t account) {
    kc_account_usage usage;

    KC_REQUIRE(kc_account_measure(w->e, account, &usage) == KC_OK);
    w_check(w);
    return usage.files;
}

static void discard(kc_world *w, uint32_t account, int32_t first, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        KC_CHECK_EQ(kc_file_discard(w->e, account, first + (int32_t)i, 0), KC_OK);
    w_check(w);
}

/* The account whose files a taker gets now, as many as fit in 16; 0: none. */
static uint32_t taker(kc_world *w, uint32_t *count_out) {
    int32_t files[KC_MAX_MESSAGE_FILES];
    uint32_t account = 0;

    *count_out = kc_file_take(w->e, files, KC_MAX_MESSAGE_FILES, &account);
    w_check(w);
    return account;
}

static void closed(kc_world *w, uint32_t account, uint32_t count) {
    kc_file_closed(w->e, account, count);
    w_check(w);
}

KC_TEST(files_are_charged_until_they_are_closed) {
    kc_world w = w_open();
    uint32_t account = account_with(&w, 8);
    uint32_t count = 0;

    KC_CHECK_EQ(kc_file_pay(w.e, account, 1, NULL), KC_OK);
    KC_CHECK_EQ(kc_file_discard(w.e, account, 1, 1), KC_OK);
    discard(&w, account, 2, 2);
    KC_CHECK_EQ(files_of(&w, account), 3);
    KC_CHECK_EQ(taker(&w, &count), account);
    KC_CHECK_EQ(count, 3);
    KC_CHECK_EQ(files_of(&w, account), 3);
    closed(&w, account, 3);
    KC_CHECK_EQ(files_of(&w, account), 0);
    KC_CHECK_EQ(kc_account_free(w.e, account), KC_OK);
    w_close(&w);
}

KC_TEST(an_account_has_four_takers_and_each_has_files_of_one_account) {
    kc_world w = w_open();
    uint32_t one = account_with(&w, 100);
    uint32_t other = account_with(&w, 100);
    uint32_t count = 0;

    discard(&w, one, 1, 5 * KC_MAX_MESSAGE_FILES);
    discard(&w, other, 1000, 3);
    KC_CHECK_EQ(kc_file_left(w.e), 2);
    KC_CHECK_EQ(taker(&w, &count), one);
    KC_CHECK_EQ(count, KC_MAX_MESSAGE_FILES);
    KC_CHECK_EQ(taker(&w, &count), other); /* in turns, and alone */
    KC_CHECK_EQ(count, 3);
    for (int i = 1; i < KC_FILE_TAKERS; i++)
        KC_CHECK_EQ(taker(&w, &count), one);
    KC_CHECK_EQ(kc_file_left(w.e), 0);
    KC_CHECK_EQ(taker(&w, &count), 0);
    discard(&w, one, 500, 1); /* more of the same changes nothing */
    KC_CHECK_EQ(kc_file_left(w.e), 0);
    closed(&w, other, 3);
    KC_CHECK_EQ(kc_file_left(w.e), 0);
    closed(&w, one, KC_MAX_MESSAGE_FILES);
    KC_CHECK_EQ(taker(&w, &count), one);
    KC_CHECK_EQ(count, KC_MAX_MESSAGE_FILES);
    for (int i = 0; i < KC_FILE_TAKERS; i++)
        closed(&w, one, KC_MAX_MESSAGE_FILES);
    KC_CHECK_EQ(taker(&w, &count), one);
    KC_CHECK_EQ(count, 1);
    closed(&w, one, 1);
    KC_CHECK_EQ(files_of(&w, one), 0);
    KC_CHECK_EQ(kc_account_free(w.e, one), KC_OK);
    KC_CHECK_EQ(kc_account_free(w.e, other), KC_OK);
    w_close(&w);
}

KC_TEST(an_account_is_over_when_253_more_than_its_limit_wait_to_be_closed) {
    kc_world w = w_open();
    uint32_t account = account_with(&w, 2);
    uint32_t count = 0;

    discard(&w, account, 1, 2 + KC_FILE_SURPLUS);
    KC_CHECK_EQ(kc_file_is_over(w.e, account), 0);
    discard(&w, account, 1000, 1);
    KC_CHECK_EQ(kc_file_is_over(w.e, account), 1);
    KC_CHECK_EQ(kc_file_is_over(w.e, 0), 0);
    KC_CHECK_EQ(kc_file_pay(w.e, account, 1, NULL), KC_EDQUOT);
    KC_CHECK_EQ(taker(&w, &count), account);
    KC_CHECK_EQ(kc_file_is_over(w.e, account), 1);
    closed(&w, account, count);
    KC_CHECK_EQ(kc_file_is_over(w.e, account), 0);
    while (taker(&w, &count) != 0)
        closed(&w, account, count);
    KC_CHECK_EQ(kc_account_free(w.e, account), KC_OK);
    w_close(&w);
}

KC_TEST(half_a_limit_being_closed_makes_its_sender_wait_until_it_is_seen_to_hang) {
    kc_world w = w_open();
    uint32_t account = account_with(&w, 64);
    uint32_t count = 0;

    discard(&w, account, 1, 32);
    KC_CHECK_EQ(kc_file_lags(w.e, account), 0);
    discard(&w, account, 100, 1);
    KC_CHECK_EQ(kc_file_lags(w.e, account), 1);
    (void)kc_engine_tick(w.e, kc_engine_now(w.e) + KC_FILE_PATIENCE_NS - 1);
    KC_CHECK_EQ(kc_file_lags(w.e, account), 1);
    (void)kc_engine_tick(w.e, kc_engine_now(w.e) + 1); /* nothing moved for a second */
    KC_CHECK_EQ(kc_file_lags(w.e, account), 0);
    discard(&w, account, 200, 16); /* that more come is no sign of life */
    KC_CHECK_EQ(kc_file_lags(w.e, account), 0);
    KC_CHECK_EQ(taker(&w, &count), account);
    KC_CHECK_EQ(count, 16);
    closed(&w, account, count); /* this is: 33 are left */
    KC_CHECK_EQ(kc_file_lags(w.e, account), 1);
    KC_CHECK_EQ(taker(&w, &count), account);
    closed(&w, account, count);
    KC_CHECK_EQ(kc_file_lags(w.e, account), 0);
    while (taker(&w, &count) != 0)
        closed(&w, account, count);
    KC_CHECK_EQ(kc_account_free(w.e, account), KC_OK);
    w_close(&w);
}

KC_TEST(an_account_that_ended_lives_until_its_last_file_is_closed) {
    kc_world w = w_open();
    uint32_t account = account_with(&w, 8);
    kc_account_usage usage;
    uint32_t count = 0;

    discard(&w, account, 1, 1);
    KC_CHECK_EQ(kc_account_free(w.e, account), KC_OK);
    w_check(&w);
    KC_CHECK_EQ(taker(&w, &count), account);
    KC_CHECK(account_with(&w, 8) != account);
    closed(&w, account, count);
    KC_CHECK_EQ(kc_account_measure(w.e, account, &usage), KC_ENOENT);
    KC_CHECK_EQ(account_with(&w, 8), account);
    KC_CHECK_EQ(kc_account_free(w.e, account), KC_OK);
    KC_CHECK_EQ(kc_account_free(w.e, account + 1), KC_OK);
    w_close(&w);
}

KC_TEST(a_file_that_cannot_be_kept_is_the_callers_to_close_and_not_charged) {
    kc_world w = w_open();
    uint32_t account = account_with(&w, 8);

    KC_CHECK_EQ(kc_file_pay(w.e, account, 1, NULL), KC_OK);
    for (int paid = 0; paid < 2; paid++) {
        (void)kc_engine_fail_alloc(w.e, 1);
        KC_CHECK_EQ(kc_file_discard(w.e, account, 1, paid), KC_ENOMEM);
        (void)kc_engine_fail_alloc(w.e, 0);
        KC_CHECK_EQ(files_of(&w, account), 1 - (uint32_t)paid);
    }
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
    KC_RUN(files_are_paid_for_and_refunded);
    KC_RUN(files_are_charged_until_they_are_closed);
    KC_RUN(an_account_has_four_takers_and_each_has_files_of_one_account);
    KC_RUN(an_account_is_over_when_253_more_than_its_limit_wait_to_be_closed);
    KC_RUN(half_a_limit_being_closed_makes_its_sender_wait_until_it_is_seen_to_hang);
    KC_RUN(an_account_that_ended_lives_until_its_last_file_is_closed);
    KC_RUN(a_file_that_cannot_be_kept_is_the_callers_to_close_and_not_charged);
    KC_RUN(the_engine_has_a_limit_of_files_too);
    KC_RUN(who_sent_the_files_that_wait_and_when_can_be_listed);
    return kc_test_report();
}
