/* The work-stealing deque: order at both ends, growth, its bound, and each item exactly once whoever races for it. */
#include "kc_gang.h"
#include "kcoro/kc_types.h"
#include "runtime/kc_deque.h"

enum { THIEVES_MAX = 3, ITEMS = KC_MANY(10000000) };

static void *item_of(uint64_t value) { return (void *)(uintptr_t)(value + 1); }
static uint64_t value_of(void *item) { return (uint64_t)(uintptr_t)item - 1; }

static kc_deque deque_of(uint32_t items_max) {
    kc_deque d;

    KC_REQUIRE(kc_deque_make(&d, items_max) == KC_OK);
    return d;
}

KC_TEST(the_owner_takes_the_youngest_and_a_thief_the_oldest) {
    kc_deque d = deque_of(64);
    void *item = NULL;

    for (uint64_t i = 0; i < 4; i++)
        KC_CHECK_EQ(kc_deque_push(&d, item_of(i)), KC_OK);
    KC_CHECK_EQ(kc_deque_count(&d), 4);
    KC_CHECK_EQ(value_of(kc_deque_take(&d)), 3);
    KC_CHECK_EQ(kc_deque_steal(&d, &item), KC_OK);
    KC_CHECK_EQ(value_of(item), 0);
    KC_CHECK_EQ(kc_deque_steal(&d, &item), KC_OK);
    KC_CHECK_EQ(value_of(item), 1);
    KC_CHECK_EQ(value_of(kc_deque_take(&d)), 2);
    kc_deque_free(&d);
}

KC_TEST(an_empty_deque_says_so_at_both_ends_and_is_of_use_afterwards) {
    kc_deque d = deque_of(64);
    void *item = NULL;

    for (uint64_t i = 0; i < 1000; i++) {
        KC_CHECK(kc_deque_take(&d) == NULL);
        KC_CHECK_EQ(kc_deque_steal(&d, &item), KC_ENOENT);
        KC_CHECK_EQ(kc_deque_count(&d), 0);
        KC_CHECK_EQ(kc_deque_push(&d, item_of(i)), KC_OK);
        if (i % 2 == 0)
            KC_CHECK_EQ(kc_deque_steal(&d, &item), KC_OK);
        else
            item = kc_deque_take(&d);
        KC_CHECK_EQ(value_of(item), i);
    }
    kc_deque_free(&d);
}

KC_TEST(growth_keeps_every_item_and_the_order) {
    enum { EACH = 100000, STOLEN = 1000 };
    kc_deque d = deque_of(1 << 20);
    void *item = NULL;

    for (uint64_t i = 0; i < STOLEN; i++) { /* so that what grows does not begin at 0 */
        KC_CHECK_EQ(kc_deque_push(&d, item_of(i)), KC_OK);
        KC_CHECK_EQ(kc_deque_steal(&d, &item), KC_OK);
    }
    for (uint64_t i = 0; i < EACH; i++)
        KC_REQUIRE(kc_deque_push(&d, item_of(i)) == KC_OK);
    KC_CHECK_EQ(kc_deque_count(&d), EACH);
    for (uint64_t i = 0; i < EACH / 2; i++) {
        KC_REQUIRE(kc_deque_steal(&d, &item) == KC_OK);
        KC_CHECK(value_of(item) == i);
        KC_CHECK(value_of(kc_deque_take(&d)) == EACH - 1 - i);
    }
    KC_CHECK(kc_deque_take(&d) == NULL);
    kc_deque_free(&d);
}

KC_TEST(a_full_deque_refuses_and_changes_nothing) {
    kc_deque d = deque_of(100); /* 128 places */
    void *item = NULL;

    for (uint64_t i = 0; i < 128; i++)
        KC_CHECK_EQ(kc_deque_push(&d, item_of(i)), KC_OK);
    KC_CHECK_EQ(kc_deque_push(&d, item_of(128)), KC_EAGAIN);
    KC_CHECK_EQ(kc_deque_count(&d), 128);
    KC_CHECK_EQ(kc_deque_steal(&d, &item), KC_OK);
    KC_CHECK_EQ(value_of(item), 0);
    KC_CHECK_EQ(kc_deque_push(&d, item_of(128)), KC_OK);
    for (uint64_t i = 1; i <= 128; i++) {
        KC_CHECK_EQ(kc_deque_steal(&d, &item), KC_OK);
        KC_CHECK_EQ(value_of(item), i);
    }
    kc_deque_free(&d);
}

KC_TEST(a_deque_of_no_items_or_too_many_is_not_made) {
    kc_deque d;

    KC_CHECK_EQ(kc_deque_make(&d, 0), KC_EINVAL);
    KC_CHECK_EQ(kc_deque_make(&d, UINT32_MAX), KC_EINVAL);
}

/* ---- races ---- */

typedef struct heist {
    kc_deque d;
    atomic_uchar *seen; /* by value: how often it left the deque */
    uint32_t *facts;    /* by value: plain memory that its push has to publish */
    uint64_t items;
    uint64_t stock; /* the owner lets so many lie before it takes; 0: each push is followed by a take */
    atomic_bool over;
} heist;

static void note(heist *h, void *item) {
    uint64_t value = value_of(item);

    KC_REQUIRE(value < h->items);
    KC_CHECK(h->facts[value] == (uint32_t)value + 7);
    atomic_fetch_add_explicit(&h->seen[value], 1, memory_order_relaxed);
}

static void own(void *arg) {
    heist *h = arg;
    void *item = NULL;

    for (uint64_t i = 0; i < h->items; i++) {
        h->facts[i] = (uint32_t)i + 7;
        KC_REQUIRE(kc_deque_push(&h->d, item_of(i)) == KC_OK);
        if ((h->stock == 0 || i % (h->stock * 2) >= h->stock) && (item = kc_deque_take(&h->d)) != NULL)
            note(h, item);
    }
    while ((item = kc_deque_take(&h->d)) != NULL)
        note(h, item);
    atomic_store(&h->over, true);
}

/* Also: what one thief gets is in the order of the pushes. */
static void rob(void *arg) {
    heist *h = arg;
    uint64_t last = 0, count = 0;
    void *item = NULL;
    int rc = KC_OK;

    while ((rc = kc_deque_steal(&h->d, &item)) != KC_ENOENT || !atomic_load(&h->over)) {
        if (rc == KC_OK) {
            KC_CHECK(count == 0 || value_of(item) > last);
            last = value_of(item);
            count++;
            note(h, item);
        }
    }
}

static void race(uint32_t thieves, uint64_t items, uint64_t stock) {
    heist h = {.d = deque_of(1 << 24), .items = items, .stock = stock};
    uint64_t wrong = 0;
    kc_gang gang;

    h.seen = calloc(items, sizeof *h.seen);
    h.facts = calloc(items, sizeof *h.facts);
    KC_REQUIRE(h.seen != NULL && h.facts != NULL);
    kc_gang_begin(&gang, thieves + 1);
    for (uint32_t i = 0; i < thieves; i++)
        kc_gang_join(&gang, rob, &h);
    kc_gang_join(&gang, own, &h);
    kc_gang_end(&gang);
    for (uint64_t i = 0; i < items; i++)
        wrong += atomic_load_explicit(&h.seen[i], memory_order_relaxed) != 1;
    KC_CHECK_EQ(wrong, 0);
    KC_CHECK_EQ(kc_deque_count(&h.d), 0);
    free(h.seen);
    free(h.facts);
    kc_deque_free(&h.d);
}

KC_TEST(ten_million_items_each_leave_once_with_one_to_three_thieves) {
    for (uint32_t thieves = 1; thieves <= THIEVES_MAX; thieves++)
        race(thieves, ITEMS, 100);
}

KC_TEST(the_last_item_goes_to_the_owner_or_to_one_thief) {
    for (uint32_t thieves = 1; thieves <= THIEVES_MAX; thieves++)
        race(thieves, KC_MANY(3000000), 0);
}

KC_TEST(a_deque_that_grows_under_thieves_loses_nothing) {
    for (int i = 0; i < 10; i++)
        race(2, KC_MANY(300000), KC_MANY(300000)); /* nothing is taken before all was pushed */
}

/* qemu-user 7.2 lets a load pass the store before it, which the architecture does not let an LDAR after an STLR: of two
 * threads that each store to a word and then load the other's, both read the old value in 3 of 100 rounds, and in none
 * with a DMB between the two or on one processor. So a thief and the owner would have the same item. On one processor
 * they seldom meet, and it is the other builds that judge races; here it is what the compiler made for this one that
 * runs. */
static bool is_in_order(void) {
    bool ordered = true;
#ifdef KC_EMULATED
    cpu_set_t all;

    ordered = sched_getaffinity(0, sizeof all, &all) == 0 && CPU_COUNT(&all) == 1;
#endif
    return ordered;
}

int main(void) {
    KC_RUN(the_owner_takes_the_youngest_and_a_thief_the_oldest);
    KC_RUN(an_empty_deque_says_so_at_both_ends_and_is_of_use_afterwards);
    KC_RUN(growth_keeps_every_item_and_the_order);
    KC_RUN(a_full_deque_refuses_and_changes_nothing);
    KC_RUN(a_deque_of_no_items_or_too_many_is_not_made);
    if (is_in_order()) {
        KC_RUN(ten_million_items_each_leave_once_with_one_to_three_thieves);
        KC_RUN(the_last_item_goes_to_the_owner_or_to_one_thief);
        KC_RUN(a_deque_that_grows_under_thieves_loses_nothing);
    } else {
        printf("skipped: races with thieves: on several processors qemu lets a load pass the store before it\n");
    }
    return kc_test_report();
}
