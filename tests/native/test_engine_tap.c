/* Taps: a copy of what passes through a channel, which itself sees nothing of it. That random programs have the same
 * outcomes with taps as without is test_engine_random's second claim. */
#include "core/kc_state.h"
#include "kc_world.h"

enum { HEAD = KC_MAX_TAP_HEAD_BYTES };

static kc_chan tap_with(kc_world *w, kc_chan source, kc_chan_config config) {
    kc_chan tap = 0;

    config.kind = KC_KIND_BUFFERED;
    config.overflow = KC_OVERFLOW_DROP_OLDEST;
    tap = w_chan_of(w, config);
    KC_CHECK_EQ(kc_chan_tap(w->e, source, tap), KC_OK);
    w_check(w);
    return tap;
}

static kc_chan tap_of(kc_world *w, kc_chan source) { return tap_with(w, source, (kc_chan_config){.capacity = 8}); }

static uint64_t number_at(const uint8_t *bytes, uint32_t at) {
    uint64_t value = 0;

    for (uint32_t i = 0; i < 8; i++)
        value = value << 8 | bytes[at + i];
    return value;
}

typedef struct copy {
    uint64_t place, time_ns, size_bytes, files, sort;
    uint32_t len_bytes; /* behind the head */
    char bytes[64];     /* the first of them, ended by NUL */
} copy;

/* The next copy of a tap; place 0 when there is none. */
static copy next_copy(kc_world *w, kc_chan tap) {
    kc_op op = w_op(w, KC_OP_TRY);
    uint8_t bytes[HEAD + 63] = {0};
    kc_result result;
    copy found = {0};

    if (kc_chan_recv(w->e, tap, &op, NULL, 0, &result) == KC_OK) {
        uint32_t n = result.body.len_bytes < sizeof bytes ? result.body.len_bytes : (uint32_t)sizeof bytes;
        KC_REQUIRE(n >= HEAD);
        KC_CHECK_EQ(kc_body_copy(w->e, &result.body, 0, bytes, n), KC_OK);
        found = (copy){number_at(bytes, 0), number_at(bytes, 8), number_at(bytes, 16), number_at(bytes, 24) >> 32,
                       number_at(bytes, 24) & 0xFFFFFFFFU, result.body.len_bytes - HEAD, ""};
        memcpy(found.bytes, bytes + HEAD, n - HEAD);
        kc_body_drop(w->e, &result.body);
    }
    w_check(w);
    return found;
}

static void check_next(kc_world *w, kc_chan tap, const char *text) {
    copy found = next_copy(w, tap);

    KC_CHECK_STR(found.bytes, text);
    KC_CHECK_EQ(found.size_bytes, strlen(text));
    KC_CHECK_EQ(found.len_bytes, strlen(text));
    KC_CHECK_EQ(found.sort, 0);
}

KC_TEST(every_kind_is_copied_when_it_accepts_or_matches) {
    static const kc_chan_config kinds[] = {{.kind = KC_KIND_RENDEZVOUS},
                                           {.kind = KC_KIND_BUFFERED, .capacity = 1},
                                           {.kind = KC_KIND_CONFLATED},
                                           {.kind = KC_KIND_UNLIMITED}};

    for (uint32_t i = 0; i < 4; i++) {
        kc_world w = w_open();
        kc_chan c = w_chan_of(&w, kinds[i]);
        kc_chan tap = tap_of(&w, c);
        (void)w_tick(&w, 77);
        (void)w_send(&w, c, "one", 0); /* parks at a rendezvous */
        KC_CHECK_EQ(w_stat(&w, tap, KC_STAT_READY), kinds[i].kind == KC_KIND_RENDEZVOUS ? 0 : 1);
        KC_CHECK_STR(w_try_text(&w, c), "one");
        (void)w_recv(&w, c, 0); /* parks */
        (void)w_send(&w, c, "two", 0);
        copy first = next_copy(&w, tap);
        KC_CHECK_STR(first.bytes, "one");
        KC_CHECK_EQ(first.place, 1);
        KC_CHECK_EQ(first.time_ns, 77);
        check_next(&w, tap, "two");
        KC_CHECK_EQ(next_copy(&w, tap).place, 0);
        while (w_depth(&w) != 0)
            (void)w_next_text(&w);
        w_close(&w);
    }
}

KC_TEST(what_was_refused_dropped_or_comes_again_is_no_new_copy) {
    kc_world w = w_open();
    kc_chan c = w_chan_of(
        &w, (kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 1, .overflow = KC_OVERFLOW_DROP_NEWEST});
    kc_chan tap = tap_of(&w, c);
    kc_result held;

    (void)w_send(&w, c, "one", 0);
    (void)w_send(&w, c, "lost", 0);
    held = w_recv(&w, c, KC_OP_ACK);
    KC_CHECK_EQ(w_nack(&w, held.token), KC_OK);
    KC_CHECK_STR(w_try_text(&w, c), "one");
    check_next(&w, tap, "one");
    KC_CHECK_EQ(next_copy(&w, tap).place, 0);
    w_close(&w);
}

KC_TEST(a_slow_tap_loses_its_oldest_copies_and_counts_them) {
    kc_world w = w_open();
    kc_chan c = w_chan(&w, KC_KIND_UNLIMITED, 0);
    kc_chan tap = tap_with(&w, c, (kc_chan_config){.capacity = 2});

    for (int i = 0; i < 5; i++)
        (void)w_send(&w, c, i == 3 ? "four" : "other", 0);
    KC_CHECK_EQ(w_stat(&w, tap, KC_STAT_DROPS_OLDEST), 3);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_READY), 5);
    KC_CHECK_EQ(next_copy(&w, tap).place, 4);
    KC_CHECK_EQ(next_copy(&w, tap).place, 5);
    w_close(&w);
}

KC_TEST(a_copy_without_memory_is_counted_and_its_source_does_not_notice) {
    for (uint64_t nth = 1; nth <= 2; nth++) { /* its block, its record */
        kc_world w = w_open();
        kc_chan c = w_chan(&w, KC_KIND_UNLIMITED, 0);
        kc_chan tap = tap_of(&w, c);
        (void)kc_engine_fail_alloc(w.e, 2 + nth); /* the message's own come first */
        KC_CHECK_EQ(w_try_send(&w, c, "one"), KC_OK);
        (void)kc_engine_fail_alloc(w.e, 0);
        KC_CHECK_EQ(w_stat(&w, tap, KC_STAT_DROPS_NEWEST), 1);
        KC_CHECK_EQ(w_stat(&w, tap, KC_STAT_TOTAL_SENDS), 1);
        KC_CHECK_EQ(next_copy(&w, tap).place, 0);
        KC_CHECK_EQ(w_try_send(&w, c, "two"), KC_OK);
        KC_CHECK_EQ(next_copy(&w, tap).place, 2);
        KC_CHECK_STR(w_try_text(&w, c), "one");
        w_close(&w);
    }
}

KC_TEST(copies_are_on_the_account_of_the_tap_alone) {
    kc_world w = w_open();
    kc_account_usage usage;
    uint32_t account = 0;
    kc_chan c = w_chan(&w, KC_KIND_UNLIMITED, 0);

    KC_REQUIRE(kc_account_make(w.e, &(kc_account_limits){.bytes = 500}, &account) == KC_OK);
    kc_chan tap = tap_with(&w, c, (kc_chan_config){.capacity = 8, .account = account});
    for (int i = 0; i < 6; i++)
        KC_CHECK_EQ(w_try_send(&w, c, "text"), KC_OK);
    KC_CHECK_EQ(kc_account_measure(w.e, account, &usage), KC_OK);
    KC_CHECK(usage.bytes != 0 && usage.bytes <= 500);
    KC_CHECK_EQ(w_stat(&w, tap, KC_STAT_READY) + w_stat(&w, tap, KC_STAT_DROPS_NEWEST), 6);
    KC_CHECK(w_stat(&w, tap, KC_STAT_DROPS_NEWEST) != 0);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_READY), 6);
    w_close(&w);
}

KC_TEST(long_messages_are_copied_whole_or_as_far_as_the_tap_takes_them) {
    static uint8_t data[200000];
    static uint8_t back[200000];
    kc_world w = w_open();
    kc_chan c = w_chan(&w, KC_KIND_UNLIMITED, 0);
    kc_chan whole = tap_of(&w, c);
    kc_chan cut = tap_with(&w, c, (kc_chan_config){.capacity = 8, .elem_size = HEAD + 10});
    kc_op op = w_op(&w, KC_OP_TRY);
    kc_result result;

    for (uint32_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 7 + (i >> 9));
    KC_CHECK_EQ(kc_chan_send(w.e, c, &op, data, sizeof data, &result), KC_OK);
    KC_CHECK_EQ(kc_chan_recv(w.e, whole, &op, NULL, 0, &result), KC_OK);
    KC_CHECK_EQ(result.body.len_bytes, HEAD + sizeof data);
    KC_CHECK_EQ(kc_body_copy(w.e, &result.body, HEAD, back, sizeof back), KC_OK);
    KC_CHECK(memcmp(data, back, sizeof data) == 0);
    kc_body_drop(w.e, &result.body);
    copy found = next_copy(&w, cut);
    KC_CHECK_EQ(found.size_bytes, sizeof data);
    KC_CHECK_EQ(found.len_bytes, 10);
    KC_CHECK(memcmp(found.bytes, data, 10) == 0);
    w_close(&w);
}

KC_TEST(of_a_descriptor_the_size_alone_is_told) {
    static char memory[1000];
    kc_world w = w_open();
    kc_chan c = w_chan(&w, KC_KIND_UNLIMITED, 0);
    kc_chan tap = tap_of(&w, c);
    const kc_desc desc = {.offset = (uint64_t)(uintptr_t)memory, .len_bytes = sizeof memory};
    kc_op op = w_op(&w, KC_OP_TRY);
    kc_result result;

    KC_CHECK_EQ(kc_chan_send_desc(w.e, c, &op, &desc, &result), KC_OK);
    copy found = next_copy(&w, tap);
    KC_CHECK_EQ(found.size_bytes, sizeof memory);
    KC_CHECK_EQ(found.sort, KC_TAPPED_DESCRIPTOR);
    KC_CHECK_EQ(found.len_bytes, 0);
    w_close(&w);
}

KC_TEST(a_tap_ends_alone_and_closes_when_nothing_passes_any_more) {
    kc_world w = w_open();
    kc_chan closed = w_buffered(&w, 4);
    kc_chan destroyed = w_buffered(&w, 4);
    kc_chan a = tap_of(&w, closed);
    kc_chan b = tap_of(&w, closed);
    kc_chan d = tap_of(&w, destroyed);

    KC_CHECK_EQ(w_destroy(&w, b), KC_OK);
    KC_CHECK_EQ(w_try_send(&w, closed, "last"), KC_OK);
    KC_CHECK_EQ(w_close_chan(&w, closed), KC_OK);
    KC_CHECK_EQ(w_stat(&w, a, KC_STAT_STATE), KC_CHAN_OPEN);
    KC_CHECK_STR(w_try_text(&w, closed), "last");
    KC_CHECK_EQ(w_stat(&w, a, KC_STAT_STATE), KC_CHAN_CLOSING);
    check_next(&w, a, "last");
    KC_CHECK_EQ(w_recv(&w, a, KC_OP_TRY).code, KC_EPIPE);
    KC_CHECK_EQ(w_destroy(&w, destroyed), KC_OK);
    KC_CHECK_EQ(w_recv(&w, d, KC_OP_TRY).code, KC_EPIPE);
    KC_CHECK_EQ(kc_chan_tap(w.e, closed, d), KC_EINVAL);
    w_close(&w);
}

KC_TEST(only_a_buffered_channel_that_never_waits_can_be_a_tap_and_none_is_tapped) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 4);
    kc_chan tap = tap_of(&w, c);
    kc_chan other = w_chan_of(&w, (kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 1,
                                                   .overflow = KC_OVERFLOW_DROP_OLDEST});
    kc_chan over = w_buffered(&w, 1);

    KC_CHECK_EQ(kc_chan_tap(w.e, c, w_rendezvous(&w)), KC_EINVAL);
    KC_CHECK_EQ(kc_chan_tap(w.e, c, w_buffered(&w, 4)), KC_EINVAL);
    KC_CHECK_EQ(kc_chan_tap(w.e, c, c), KC_EINVAL);
    KC_CHECK_EQ(kc_chan_tap(w.e, c, tap), KC_EINVAL);
    KC_CHECK_EQ(kc_chan_tap(w.e, tap, other), KC_EINVAL);
    KC_CHECK_EQ(kc_chan_tap(w.e, other, tap), KC_EINVAL);
    KC_CHECK_EQ(w_close_chan(&w, over), KC_OK);
    KC_CHECK_EQ(kc_chan_tap(w.e, over, other), KC_EPIPE);
    KC_CHECK_EQ(kc_chan_tap(w.e, c, 12345), KC_ENOENT);
    w_close(&w);
}

KC_TEST(a_scope_lists_what_it_waits_for_and_what_it_holds) {
    kc_world w = w_open();
    kc_chan a = w_chan_of(&w, (kc_chan_config){.kind = KC_KIND_RENDEZVOUS, .user = 71});
    kc_chan b = w_chan_of(&w, (kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 4, .user = 72});
    kc_clause both[] = {w_receiving(a), w_receiving(b)};
    kc_waiter_info infos[8];
    kc_result held;

    KC_CHECK_EQ(w_try_send(&w, b, "x"), KC_OK);
    held = w_recv(&w, b, KC_OP_ACK);
    (void)w_tick(&w, 10);
    (void)w_select(&w, both, 2, 0);
    (void)w_tick(&w, 15);
    (void)w_send_op(&w, a, "y", w_until(&w, 99));
    KC_CHECK_EQ(kc_chan_waiter_scope_list(w.e, w.scope, 0, 0, 0, infos, 8), 0); /* they met */
    KC_CHECK_STR(w_next_text(&w), "y");
    (void)w_select(&w, both, 2, 0);
    KC_CHECK_EQ(kc_chan_waiter_scope_list(w.e, w.scope, 0, 0, 0, infos, 8), 2);
    KC_CHECK_EQ(infos[0].chan_user, 71);
    KC_CHECK_EQ(infos[1].chan_user, 72);
    KC_CHECK_EQ(infos[0].token, infos[1].token);
    KC_CHECK_EQ(infos[0].deadline_ns, KC_NEVER);
    KC_CHECK_EQ(kc_chan_waiter_scope_list(w.e, w.scope, 0, 0, 1, infos, 8), 1);
    KC_CHECK_EQ(kc_chan_waiter_scope_list(w.e, w.scope, 1, 0, 0, infos, 8), 1);
    KC_CHECK_EQ(infos[0].chan_user, 72);
    KC_CHECK_EQ(infos[0].status, KC_TOKEN_CLAIMED);
    KC_CHECK_EQ(kc_chan_waiter_scope_list(w.e, w.scope, 1, a, 0, NULL, 8), 0);
    KC_CHECK_EQ(kc_chan_waiter_scope_list(w.e, w.scope, 1, b, 0, NULL, 8), 1);
    KC_CHECK_EQ(kc_chan_waiter_scope_list(w.e, 9999, 1, b, 0, NULL, 8), KC_ENOENT);
    KC_CHECK_EQ(w_ack(&w, held.token), KC_OK);
    w_close(&w);
}

int main(void) {
    KC_RUN(every_kind_is_copied_when_it_accepts_or_matches);
    KC_RUN(what_was_refused_dropped_or_comes_again_is_no_new_copy);
    KC_RUN(a_slow_tap_loses_its_oldest_copies_and_counts_them);
    KC_RUN(a_copy_without_memory_is_counted_and_its_source_does_not_notice);
    KC_RUN(copies_are_on_the_account_of_the_tap_alone);
    KC_RUN(long_messages_are_copied_whole_or_as_far_as_the_tap_takes_them);
    KC_RUN(of_a_descriptor_the_size_alone_is_told);
    KC_RUN(a_tap_ends_alone_and_closes_when_nothing_passes_any_more);
    KC_RUN(only_a_buffered_channel_that_never_waits_can_be_a_tap_and_none_is_tapped);
    KC_RUN(a_scope_lists_what_it_waits_for_and_what_it_holds);
    return kc_test_report();
}
