/* Memory of empty chunks goes back to the system, and comes again as it is needed (kc_engine_trim). */
#include "kc_world.h"

enum { BODIES = 12, LENGTH = 1 << 20 };

static void fill(kc_world *w, kc_body *bodies, uint8_t value) {
    static uint8_t data[LENGTH];

    memset(data, value, sizeof data);
    for (int i = 0; i < BODIES; i++)
        KC_CHECK_EQ(kc_body_make(w->e, 0, data, LENGTH, &bodies[i], NULL), KC_OK);
}

static void drop(kc_world *w, kc_body *bodies) {
    for (int i = 0; i < BODIES; i++)
        kc_body_drop(w->e, &bodies[i]);
}

KC_TEST(only_empty_chunks_are_given_back_and_as_many_as_asked_are_kept) {
    kc_world w = w_open();
    kc_body bodies[BODIES];

    fill(&w, bodies, 'a');
    KC_CHECK_EQ(kc_engine_trim(w.e, 0, 64), 0);
    uint64_t full = w_usage(&w).heap_bytes;
    KC_CHECK(full >= (uint64_t)BODIES * LENGTH);
    drop(&w, bodies);
    uint32_t over = kc_engine_trim(w.e, 0, 0);
    KC_CHECK(over >= BODIES / 2);
    KC_CHECK_EQ(w_usage(&w).heap_bytes, full);
    KC_CHECK_EQ(kc_engine_trim(w.e, 2, 3), over - 2 - 3);
    KC_CHECK_EQ(w_usage(&w).heap_bytes, full - 3u * LENGTH);
    KC_CHECK_EQ(kc_engine_trim(w.e, 2, UINT32_MAX), 0);
    KC_CHECK_EQ(w_usage(&w).heap_bytes, full - (uint64_t)(over - 2) * LENGTH);
    w_close(&w);
}

KC_TEST(what_was_given_back_serves_again) {
    kc_world w = w_open();
    kc_body bodies[BODIES];
    static uint8_t back[LENGTH];

    for (int round = 0; round < 3; round++) {
        fill(&w, bodies, (uint8_t)('a' + round));
        uint64_t full = w_usage(&w).heap_bytes;
        for (int i = 0; i < BODIES; i++) {
            KC_CHECK_EQ(kc_body_copy(w.e, &bodies[i], 0, back, LENGTH), KC_OK);
            KC_CHECK_EQ(back[0], 'a' + round);
            KC_CHECK_EQ(back[LENGTH - 1], 'a' + round);
        }
        drop(&w, bodies);
        KC_CHECK_EQ(kc_engine_trim(w.e, 0, UINT32_MAX), 0);
        KC_CHECK(w_usage(&w).heap_bytes < full);
        w_check(&w);
    }
    w_close(&w);
}

int main(void) {
    KC_RUN(only_empty_chunks_are_given_back_and_as_many_as_asked_are_kept);
    KC_RUN(what_was_given_back_serves_again);
    return kc_test_report();
}
