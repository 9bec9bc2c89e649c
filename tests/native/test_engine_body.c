/* Bodies (payloads in blocks), ports (where results wait), and the sizes an engine is made with. */
#include <poll.h>
#include <unistd.h>

#include "kc_world.h"

static uint8_t pattern(uint32_t at) { return (uint8_t)(at * 31 + at / 251); }

KC_TEST(a_body_keeps_its_bytes_at_every_size_where_blocks_change) {
    static const uint32_t sizes[] = {
        0,    1,    63,    64,    65,    255,   256,   257,    1023,   1024,    1025,
        4096, 4097, 16384, 16385, 65535, 65536, 65537, 131072, 131073, 1000000, 16 << 20};
    uint8_t *data = malloc(16 << 20);
    uint8_t *back = malloc(16 << 20);

    KC_REQUIRE(data != NULL && back != NULL);
    for (uint32_t i = 0; i < 16 << 20; i++)
        data[i] = pattern(i);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        kc_world w = w_open();
        kc_body body;
        KC_CHECK_EQ(kc_body_make(w.e, 0, data, sizes[i], &body, NULL), KC_OK);
        KC_CHECK_EQ(body.len_bytes, sizes[i]);
        memset(back, 0, sizes[i]);
        KC_CHECK_EQ(kc_body_copy(w.e, &body, 0, back, sizes[i]), KC_OK);
        KC_CHECK_MEM(back, data, sizes[i]);
        KC_CHECK_EQ(kc_body_copy(w.e, &body, sizes[i], back, 0), KC_OK);
        KC_CHECK_EQ(kc_body_copy(w.e, &body, sizes[i], back, 1), KC_EINVAL);
        KC_CHECK_EQ(kc_body_copy(w.e, &body, sizes[i] + 1, back, 0), KC_EINVAL);
        KC_CHECK_EQ(kc_body_copy(w.e, &body, 1, back, UINT32_MAX), KC_EINVAL);
        kc_body_drop(w.e, &body);
        kc_body_drop(w.e, &body); /* safe twice */
        w_close(&w);
    }
    free(data);
    free(back);
}

KC_TEST(spans_cover_a_body_without_a_gap) {
    kc_world w = w_open();
    enum { LENGTH = 200000 };
    static uint8_t data[LENGTH];
    kc_body body;
    uint32_t at = 0;

    for (uint32_t i = 0; i < LENGTH; i++)
        data[i] = pattern(i);
    KC_CHECK_EQ(kc_body_make(w.e, 0, data, LENGTH, &body, NULL), KC_OK);
    while (at < LENGTH) {
        const void *memory = NULL;
        uint32_t n = 0;
        KC_REQUIRE(kc_body_span(w.e, &body, at, &memory, &n) == KC_OK && n != 0 && n <= LENGTH - at);
        KC_CHECK_MEM(memory, data + at, n);
        at += n;
    }
    KC_CHECK_EQ(at, LENGTH);
    {
        const void *memory = NULL;
        uint32_t n = 0;
        KC_CHECK_EQ(kc_body_span(w.e, &body, LENGTH, &memory, &n), KC_EINVAL);
        KC_CHECK_EQ(kc_body_span(w.e, &body, 65537, &memory, &n), KC_OK);
        KC_CHECK_MEM(memory, data + 65537, n);
    }
    kc_body_drop(w.e, &body);
    w_close(&w);
}

KC_TEST(an_opened_body_costs_what_was_asked_for) {
    kc_world w = w_open();
    kc_body body;
    void *memory = NULL;
    uint32_t n = 0;
    uint64_t before = 0;

    KC_CHECK_EQ(kc_body_open(w.e, 0, 1 << 20, &body, NULL), KC_OK);
    before = w_usage(&w).block_bytes;
    KC_CHECK(before <= 64);
    KC_CHECK_EQ(kc_body_room(w.e, &body, 100, &memory, &n, NULL), KC_OK);
    KC_CHECK_EQ(n, 65536 - 100);
    KC_CHECK_EQ(w_usage(&w).block_bytes, before + 65536);
    KC_CHECK_EQ(kc_body_room(w.e, &body, 1 << 20, &memory, &n, NULL), KC_EINVAL);
    kc_body_drop(w.e, &body);
    KC_CHECK_EQ(kc_body_open(w.e, 0, 0, &body, NULL), KC_OK);
    KC_CHECK_EQ(kc_body_room(w.e, &body, 0, &memory, &n, NULL), KC_EINVAL);
    w_close(&w);
}

KC_TEST(a_body_that_was_never_filled_reads_as_nothing_foreign) {
    kc_world w = w_open();
    kc_body filled;
    kc_body empty;
    const void *memory = NULL;
    uint32_t n = 0;

    KC_CHECK_EQ(kc_body_make(w.e, 0, "secret", 6, &filled, NULL), KC_OK);
    KC_CHECK_EQ(kc_body_open(w.e, 0, 6, &empty, NULL), KC_OK);
    KC_CHECK_EQ(kc_body_span(w.e, &empty, 0, &memory, &n), KC_EINVAL);
    memset(w.text, 0, 8);
    KC_CHECK_EQ(kc_body_copy(w.e, &empty, 0, w.text, 6), KC_OK);
    KC_CHECK(memcmp(w.text, "secret", 6) != 0);
    kc_body_drop(w.e, &filled);
    kc_body_drop(w.e, &empty);
    w_close(&w);
}

KC_TEST(a_body_over_the_limit_is_refused) {
    kc_world w = w_open();
    kc_body body;

    KC_CHECK_EQ(kc_body_open(w.e, 0, KC_MAX_ELEMENT_BYTES + 1, &body, NULL), KC_EMSGSIZE);
    KC_CHECK_EQ(kc_body_make(w.e, 0, NULL, UINT32_MAX, &body, NULL), KC_EMSGSIZE);
    KC_CHECK_EQ(w_usage(&w).block_bytes, 0);
    w_close(&w);
}

KC_TEST(a_body_for_an_account_that_is_none_is_refused) {
    kc_world w = w_open();
    kc_body body = {0};

    KC_CHECK_EQ(kc_body_make(w.e, 5, "x", 1, &body, NULL), KC_ENOENT);
    KC_CHECK_EQ(kc_body_make(w.e, UINT32_MAX, "x", 1, &body, NULL), KC_ENOENT);
    KC_CHECK_EQ(kc_body_open(w.e, 17, 70000, &body, NULL), KC_ENOENT);
    w_close(&w);
}

KC_TEST(a_kept_body_lives_until_its_last_reference) {
    kc_world w = w_open();
    kc_body body;
    kc_body other;

    KC_CHECK_EQ(kc_body_make(w.e, 0, "keep", 4, &body, NULL), KC_OK);
    other = body;
    kc_body_keep(w.e, &body);
    kc_body_drop(w.e, &body);
    KC_CHECK_EQ(kc_body_copy(w.e, &other, 0, w.text, 4), KC_OK);
    KC_CHECK_MEM(w.text, "keep", 4);
    kc_body_drop(w.e, &other);
    w_close(&w);
}

KC_TEST(a_body_without_memory_says_which_limit) {
    kc_world w = w_open_with((kc_engine_config){.channels = 2, .tokens = 4, .messages = 4, .heap_bytes = 1 << 20});
    static uint8_t data[2 << 20];
    kc_refusal refusal = {0};
    kc_body body;

    KC_CHECK_EQ(kc_body_make(w.e, 0, data, 2 << 20, &body, &refusal), KC_ENOMEM);
    KC_CHECK_EQ(refusal.quota, KC_QUOTA_ENGINE_BYTES);
    KC_CHECK_EQ(refusal.limit, 1 << 20);
    KC_CHECK_EQ(w_usage(&w).block_bytes, 0);
    w_close(&w);
}

KC_TEST(a_heap_of_one_chunk_serves_one_size_after_the_other) {
    kc_world w = w_open_with((kc_engine_config){.channels = 2, .tokens = 4, .messages = 4, .heap_bytes = 1 << 20});
    static uint8_t data[60000];
    kc_body body;

    for (uint32_t size = 1; size <= sizeof data; size = size * 4 + 1) {
        KC_CHECK_EQ(kc_body_make(w.e, 0, data, size, &body, NULL), KC_OK);
        kc_body_drop(w.e, &body);
    }
    w_close(&w);
}

KC_TEST(the_heap_gives_every_block_back_in_any_order) {
    kc_world w = w_open();
    enum { BODIES = 3000 };
    static kc_body bodies[BODIES];
    uint32_t seed = 7;
    static uint8_t data[20000];

    for (int round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < BODIES; i++) {
            seed = seed * 1664525 + 1013904223;
            memset(data, (int)i, 16);
            KC_CHECK_EQ(kc_body_make(w.e, 0, data, 16 + seed % 9000, &bodies[i], NULL), KC_OK);
        }
        for (uint32_t k = 0; k < BODIES; k++) { /* 1877 and 3000 have no common factor: each index once */
            uint32_t i = k * 1877 % BODIES;
            const void *memory = NULL;
            uint32_t n = 0;
            uint8_t expected[16];
            memset(expected, (int)i, sizeof expected);
            KC_CHECK_EQ(kc_body_span(w.e, &bodies[i], 0, &memory, &n), KC_OK);
            KC_CHECK_MEM(memory, expected, sizeof expected);
            kc_body_drop(w.e, &bodies[i]);
        }
        KC_CHECK_EQ(w_usage(&w).block_bytes, 0);
    }
    w_close(&w);
}

KC_TEST(a_trimmed_heap_gives_its_memory_back_and_serves_again) {
    enum { BODIES = 40, LENGTH = 600000 };
    kc_world w = w_open();
    static kc_body bodies[BODIES];
    static uint8_t data[LENGTH];
    uint64_t most = 0;

    for (int round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < LENGTH; i++)
            data[i] = pattern(i + (uint32_t)round);
        for (int i = 0; i < BODIES; i++)
            KC_CHECK_EQ(kc_body_make(w.e, 0, data, LENGTH, &bodies[i], NULL), KC_OK);
        most = w_usage(&w).heap_bytes;
        KC_CHECK(most >= (uint64_t)BODIES * LENGTH);
        KC_CHECK_EQ(kc_engine_trim(w.e, 0, 1000), 0); /* nothing is empty */
        KC_CHECK_EQ(w_usage(&w).heap_bytes, most);
        for (int i = 0; i < BODIES; i++) {
            uint8_t back[16];
            KC_CHECK_EQ(kc_body_copy(w.e, &bodies[i], LENGTH - 16, back, 16), KC_OK);
            KC_CHECK_MEM(back, data + LENGTH - 16, 16);
            kc_body_drop(w.e, &bodies[i]);
        }
        KC_CHECK(kc_engine_trim(w.e, 4, 5) > 0);
        KC_CHECK_EQ(w_usage(&w).heap_bytes, most - (5 << 20));
        KC_CHECK_EQ(kc_engine_trim(w.e, 4, 1000), 0);
        KC_CHECK_EQ(kc_engine_trim(w.e, 4, 1000), 0);
        KC_CHECK(w_usage(&w).heap_bytes <= 8 << 20); /* four, and the last one of each size in use */
    }
    w_close(&w);
}

KC_TEST(an_armed_port_rings_once_and_only_when_a_result_comes) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 1);
    int fd = kc_port_fd(w.e, w.port);
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    uint64_t rings = 0;

    KC_REQUIRE(fd >= 0);
    KC_CHECK_EQ(kc_port_fd(w.e, w.port), fd);
    (void)w_recv(&w, c, 0);
    (void)w_recv(&w, c, 0);
    (void)w_recv(&w, c, 0);
    (void)w_try_send(&w, c, "1"); /* not armed */
    KC_CHECK_EQ(poll(&ready, 1, 0), 0);
    KC_CHECK_EQ(kc_port_arm(w.e, w.port), 0); /* a result waits already */
    KC_CHECK_STR(w_next_text(&w), "1");
    KC_CHECK_EQ(kc_port_arm(w.e, w.port), 1);
    KC_CHECK_EQ(poll(&ready, 1, 0), 0);
    (void)w_try_send(&w, c, "2");
    (void)w_try_send(&w, c, "3");
    KC_CHECK_EQ(poll(&ready, 1, 0), 1);
    KC_CHECK_EQ(read(fd, &rings, sizeof rings), (ssize_t)sizeof rings);
    KC_CHECK_EQ(rings, 1);
    KC_CHECK_STR(w_next_text(&w), "2");
    KC_CHECK_STR(w_next_text(&w), "3");
    w_close(&w);
}

KC_TEST(each_waiter_answers_at_the_port_it_named) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);
    kc_op op = w_op(&w, 0);
    kc_result result;
    uint32_t second = 0;

    KC_CHECK_EQ(kc_port_open(w.e, &second), KC_OK);
    op.port = second;
    (void)w_recv_op(&w, c, op);
    (void)w_recv(&w, c, 0);
    KC_CHECK_EQ(kc_port_close(w.e, second), KC_EBUSY);
    (void)w_try_send(&w, c, "1");
    (void)w_try_send(&w, c, "2");
    KC_CHECK_EQ(kc_port_take(w.e, second, &result, 1), 1);
    KC_CHECK_STR(w_text(&w, result), "1");
    KC_CHECK_STR(w_next_text(&w), "2");
    KC_CHECK_EQ(kc_port_close(w.e, second), KC_OK);
    KC_CHECK_EQ(kc_port_close(w.e, second), KC_ENOENT);
    w_close(&w);
}

KC_TEST(a_port_that_is_none_is_refused_before_anything_moves) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);
    static const uint32_t wrong[] = {0, 2, 8, 9, UINT32_MAX};
    kc_result result;

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        kc_op op = w_op(&w, 0);
        op.port = wrong[i];
        KC_CHECK_EQ(w_recv_op(&w, c, op).code, KC_EINVAL);
        KC_CHECK_EQ(w_send_op(&w, c, "x", op).code, KC_EINVAL);
        KC_CHECK_EQ(kc_port_take(w.e, wrong[i], &result, 1), 0);
        KC_CHECK_EQ(kc_port_depth(w.e, wrong[i]), 0);
        KC_CHECK_EQ(kc_port_arm(w.e, wrong[i]), 0);
        KC_CHECK_EQ(kc_port_fd(w.e, wrong[i]), KC_ENOENT);
        KC_CHECK_EQ(kc_port_close(w.e, wrong[i]), KC_ENOENT);
    }
    w_close(&w);
}

KC_TEST(ports_run_out) {
    kc_world w = w_open();
    uint32_t ports[8];

    for (int i = 0; i < 7; i++)
        KC_CHECK_EQ(kc_port_open(w.e, &ports[i]), KC_OK);
    KC_CHECK_EQ(kc_port_open(w.e, &ports[7]), KC_EDQUOT);
    for (int i = 0; i < 7; i++)
        KC_CHECK_EQ(kc_port_close(w.e, ports[i]), KC_OK);
    w_close(&w);
}

KC_TEST(an_engine_of_impossible_size_is_refused) {
    static const kc_engine_config wrong[] = {{.tokens = 1U << 24},   {.messages = 1U << 24}, {.clauses = 1U << 24},
                                             {.scopes = UINT32_MAX}, {.channels = 1U << 24}, {.accounts = UINT32_MAX},
                                             {.ports = 65},          {.heap_bytes = (uint64_t)1 << 40},
                                             {.heap_bytes = UINT64_MAX}};

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        kc_engine *e = NULL;
        KC_CHECK_EQ(kc_engine_make(&wrong[i], &e), KC_EINVAL);
        KC_CHECK(e == NULL);
    }
    kc_engine_free(NULL);
}

KC_TEST(an_engine_of_default_size_can_be_made) {
    kc_world w = w_open_with((kc_engine_config){0});

    KC_CHECK_EQ(w_try_send(&w, w_buffered(&w, 1 << 20), "x"), KC_OK);
    w_close(&w);
}

int main(void) {
    KC_RUN(a_body_keeps_its_bytes_at_every_size_where_blocks_change);
    KC_RUN(spans_cover_a_body_without_a_gap);
    KC_RUN(an_opened_body_costs_what_was_asked_for);
    KC_RUN(a_body_that_was_never_filled_reads_as_nothing_foreign);
    KC_RUN(a_body_over_the_limit_is_refused);
    KC_RUN(a_body_for_an_account_that_is_none_is_refused);
    KC_RUN(a_kept_body_lives_until_its_last_reference);
    KC_RUN(a_body_without_memory_says_which_limit);
    KC_RUN(a_heap_of_one_chunk_serves_one_size_after_the_other);
    KC_RUN(the_heap_gives_every_block_back_in_any_order);
    KC_RUN(a_trimmed_heap_gives_its_memory_back_and_serves_again);
    KC_RUN(an_armed_port_rings_once_and_only_when_a_result_comes);
    KC_RUN(each_waiter_answers_at_the_port_it_named);
    KC_RUN(a_port_that_is_none_is_refused_before_anything_moves);
    KC_RUN(ports_run_out);
    KC_RUN(an_engine_of_impossible_size_is_refused);
    KC_RUN(an_engine_of_default_size_can_be_made);
    return kc_test_report();
}
