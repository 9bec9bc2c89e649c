/* Timers by a clock that the test moves: never early, in order, cancelled or called and never both. */
#include "kc_gang.h"
#include "kcoro/kc_types.h"
#include "runtime/kc_timers.h"

enum { MANY = 1000 };

/* A timer that notes when it was called. */
typedef struct bell {
    kc_wake wake;
    int64_t due_ns;
    kc_ticket id;
    uint32_t rung; /* how often */
    uint32_t turn; /* the how manieth of all that rang */
    int32_t code;
} bell;

static _Thread_local uint32_t turns; /* of this thread's run */

static void ring(kc_wake *wake, int32_t code) {
    bell *b = (bell *)(void *)wake;

    b->rung++;
    b->turn = turns++;
    b->code = code;
}

static uint64_t dice = 1;
static uint32_t throw_dice(uint32_t sides) {
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return (uint32_t)(dice >> 33) % sides;
}

/* ---- the heap ---- */

static kc_heap heap_of(uint32_t count_max) {
    kc_heap h;

    kc_heap_begin(&h, count_max);
    return h;
}

static kc_ticket add(kc_heap *h, int64_t due_ns, kc_wake *wake) {
    kc_ticket id = 0;

    KC_REQUIRE(kc_heap_add(h, due_ns, wake, &id) == KC_OK);
    return id;
}

KC_TEST(nothing_leaves_a_nanosecond_before_its_time) {
    kc_heap h = heap_of(10);
    bell b = {.due_ns = 0};

    (void)add(&h, 1000, &b.wake);
    KC_CHECK_EQ(kc_heap_next_ns(&h), 1000);
    KC_CHECK(kc_heap_pop(&h, 0) == NULL);
    KC_CHECK(kc_heap_pop(&h, 999) == NULL);
    KC_CHECK(kc_heap_pop(&h, 1000) == &b.wake);
    KC_CHECK(kc_heap_pop(&h, 1000) == NULL);
    KC_CHECK_EQ(kc_heap_next_ns(&h), KC_NEVER);
    kc_heap_end(&h);
}

KC_TEST(a_thousand_leave_in_order_and_those_of_one_time_as_they_came) {
    kc_heap h = heap_of(MANY);
    bell bells[MANY] = {0};
    bell *last = NULL;

    for (int i = 0; i < MANY; i++) {
        bells[i].due_ns = (int64_t)throw_dice(100) - 50; /* ten of each time; before 0 is a time as well */
        (void)add(&h, bells[i].due_ns, &bells[i].wake);
    }
    for (int i = 0; i < MANY; i++) {
        bell *b = (bell *)(void *)kc_heap_pop(&h, 1000);
        KC_REQUIRE(b != NULL);
        KC_CHECK(last == NULL || b->due_ns > last->due_ns || (b->due_ns == last->due_ns && b > last));
        last = b;
    }
    KC_CHECK(kc_heap_pop(&h, KC_NEVER) == NULL);
    kc_heap_end(&h);
}

KC_TEST(an_id_never_meets_the_next_life_of_its_record) {
    kc_heap h = heap_of(1);
    bell a = {.due_ns = 0}, b = {.due_ns = 0};
    kc_ticket first = add(&h, 1, &a.wake);
    kc_ticket second = 0;

    KC_CHECK(kc_heap_pop(&h, 1) == &a.wake);
    KC_CHECK(kc_heap_remove(&h, first) == NULL);
    second = add(&h, 2, &b.wake);
    KC_CHECK_EQ((uint32_t)second, (uint32_t)first); /* the only record there may be */
    KC_CHECK(kc_heap_remove(&h, first) == NULL);
    KC_CHECK_EQ(kc_heap_next_ns(&h), 2);
    KC_CHECK(kc_heap_remove(&h, second) == &b.wake);
    KC_CHECK(kc_heap_remove(&h, second) == NULL);
    KC_CHECK(kc_heap_remove(&h, 0) == NULL);
    KC_CHECK(kc_heap_remove(&h, UINT64_MAX) == NULL);
    kc_heap_end(&h);
}

KC_TEST(a_record_whose_lives_are_used_up_is_not_used_again) {
    kc_heap h = heap_of(2);
    bell b = {.due_ns = 0};
    kc_ticket id = add(&h, 1, &b.wake);

    KC_CHECK(kc_heap_remove(&h, id) == &b.wake);
    h.recs[1].life = UINT32_MAX;
    id = add(&h, 1, &b.wake);
    KC_CHECK_EQ(id, (UINT64_C(0xFFFFFFFF) << 32) | 1);
    KC_CHECK(kc_heap_pop(&h, 1) == &b.wake);
    KC_CHECK_EQ((uint32_t)add(&h, 1, &b.wake), 2);
    KC_CHECK_EQ(kc_heap_add(&h, 1, &b.wake, &id), KC_ENOMEM);
    KC_CHECK(kc_heap_remove(&h, (UINT64_C(0xFFFFFFFF) << 32) | 1) == NULL);
    kc_heap_end(&h);
}

KC_TEST(one_more_than_there_may_be_is_refused_and_nothing_changes) {
    kc_heap h = heap_of(100);
    bell b = {.due_ns = 0};
    kc_ticket id = 7;

    for (int i = 0; i < 100; i++)
        (void)add(&h, i + 10, &b.wake);
    KC_CHECK_EQ(kc_heap_add(&h, 0, &b.wake, &id), KC_ENOMEM);
    KC_CHECK_EQ(id, 7);
    KC_CHECK_EQ(kc_heap_next_ns(&h), 10);
    KC_CHECK(kc_heap_pop(&h, 10) == &b.wake);
    KC_CHECK_EQ(kc_heap_add(&h, 0, &b.wake, &id), KC_OK);
    KC_CHECK_EQ(kc_heap_next_ns(&h), 0);
    kc_heap_end(&h);
}

/* The model: every bell that stands here is looked at. */
static bell *first_of(bell *bells, int64_t now_ns) {
    bell *first = NULL;

    for (int i = 0; i < MANY; i++)
        if (bells[i].id != 0 && bells[i].due_ns <= now_ns &&
            (first == NULL || bells[i].due_ns < first->due_ns ||
             (bells[i].due_ns == first->due_ns && bells[i].turn < first->turn)))
            first = &bells[i];
    return first;
}

KC_TEST(whatever_is_added_and_cancelled_the_heap_agrees_with_a_plain_list) {
    kc_heap h = heap_of(MANY);
    bell *bells = calloc(MANY, sizeof *bells);
    int64_t now_ns = 0;

    KC_REQUIRE(bells != NULL);
    for (uint32_t i = 0; i < 20000; i++) {
        bell *b = &bells[throw_dice(MANY)];
        uint32_t what = throw_dice(8);
        if (what < 4 && b->id == 0) {
            b->due_ns = now_ns + throw_dice(50);
            b->turn = i;
            b->id = add(&h, b->due_ns, &b->wake);
        } else if (what < 6 && b->id != 0) {
            KC_CHECK(kc_heap_remove(&h, b->id) == &b->wake);
            b->id = 0;
        } else if (what == 7) {
            bell *first = first_of(bells, ++now_ns);
            KC_CHECK(kc_heap_pop(&h, now_ns) == (first != NULL ? &first->wake : NULL));
            if (first != NULL)
                first->id = 0;
        }
    }
    KC_CHECK(h.count > 0);
    kc_heap_end(&h);
    free(bells);
}

/* ---- timers ---- */

static void count_call(kc_wake *wake, int32_t code) {
    KC_CHECK_EQ(code, 0);
    ((bell *)(void *)wake)->rung++;
}

static bell bell_of(int64_t due_ns) { return (bell){.wake = {.call = ring}, .due_ns = due_ns}; }

static void add_bell(kc_timers *t, bell *b) { KC_REQUIRE(kc_timers_add(t, b->due_ns, &b->wake, &b->id) == KC_OK); }

KC_TEST(timers_are_called_in_order_once_and_never_early_whatever_the_clock_does) {
    static const int64_t clock[] = {0, 500, 499, 10, 700, 700, 200, 999, 998, 1000, 2000}; /* also backwards */
    kc_timers t;
    bell bells[MANY];

    kc_timers_begin(&t, MANY, NULL);
    for (int i = 0; i < MANY; i++) {
        bells[i] = bell_of(1 + (i * 7919) % MANY); /* each of 1 .. 1000 once */
        add_bell(&t, &bells[i]);
    }
    turns = 0;
    for (size_t n = 0; n < sizeof clock / sizeof *clock; n++) {
        int64_t furthest = 0;
        for (size_t m = 0; m <= n; m++)
            furthest = clock[m] > furthest ? clock[m] : furthest;
        (void)kc_timers_run(&t, clock[n]);
        for (int i = 0; i < MANY; i++)
            KC_CHECK(bells[i].rung == (bells[i].due_ns <= furthest ? 1 : 0));
    }
    for (int i = 0; i < MANY; i++) {
        KC_CHECK(bells[i].turn + 1 == bells[i].due_ns);
        KC_CHECK(bells[i].code == KC_ETIME);
    }
    KC_CHECK_EQ(kc_timers_next_ns(&t), KC_NEVER);
    kc_timers_end(&t);
}

KC_TEST(a_cancel_says_whether_it_was_in_time) {
    kc_timers t;
    bell a = bell_of(10), b = bell_of(20);

    kc_timers_begin(&t, 10, NULL);
    add_bell(&t, &a);
    add_bell(&t, &b);
    KC_CHECK_EQ(kc_timers_cancel(&t, b.id), 1);
    KC_CHECK_EQ(kc_timers_cancel(&t, b.id), 0);
    KC_CHECK_EQ(kc_timers_run(&t, 100), 1);
    KC_CHECK_EQ(kc_timers_cancel(&t, a.id), 0);
    KC_CHECK_EQ(a.rung, 1);
    KC_CHECK_EQ(b.rung, 0);
    kc_timers_end(&t);
}

KC_TEST(who_sleeps_hears_of_a_nearer_time_and_of_no_other) {
    bell sleeper = {.wake = {.call = count_call}};
    kc_timers t;
    bell a = bell_of(100), b = bell_of(200), c = bell_of(100), d = bell_of(99), e = bell_of(KC_NEVER);

    kc_timers_begin(&t, 10, &sleeper.wake);
    add_bell(&t, &e);
    KC_CHECK_EQ(sleeper.rung, 0);
    add_bell(&t, &a);
    KC_CHECK_EQ(sleeper.rung, 1);
    add_bell(&t, &b);
    add_bell(&t, &c);
    KC_CHECK_EQ(sleeper.rung, 1);
    add_bell(&t, &d);
    KC_CHECK_EQ(sleeper.rung, 2);
    KC_CHECK_EQ(kc_timers_next_ns(&t), 99);
    KC_CHECK_EQ(kc_timers_run(&t, 1000), 4);
    KC_CHECK_EQ(kc_timers_cancel(&t, e.id), 1);
    kc_timers_end(&t);
}

KC_TEST(what_still_waits_at_the_end_is_told_that_it_never_comes) {
    kc_timers t;
    bell a = bell_of(10), b = bell_of(KC_NEVER);

    kc_timers_begin(&t, 10, NULL);
    add_bell(&t, &a);
    add_bell(&t, &b);
    kc_timers_end(&t);
    KC_CHECK_EQ(a.code, KC_ECANCELED);
    KC_CHECK_EQ(b.code, KC_ECANCELED);
    KC_CHECK_EQ(a.rung + b.rung, 2);
}

typedef struct eager {
    bell b;
    kc_timers *timers;
} eager;

static void add_again(kc_wake *wake, int32_t code) {
    eager *e = (eager *)(void *)wake;

    (void)code;
    e->b.rung++;
    add_bell(e->timers, &e->b);
}

KC_TEST(a_timer_that_comes_back_at_once_waits_for_the_next_run) {
    kc_timers t;
    eager e = {.b = bell_of(0), .timers = &t};

    kc_timers_begin(&t, 10, NULL);
    e.b.wake.call = add_again;
    add_bell(&t, &e.b);
    KC_CHECK_EQ(kc_timers_run(&t, 1), 1);
    KC_CHECK_EQ(kc_timers_run(&t, 1), 1);
    KC_CHECK_EQ(e.b.rung, 2);
    KC_CHECK_EQ(kc_timers_cancel(&t, e.b.id), 1);
    kc_timers_end(&t);
}

/* ---- races ---- */

enum { HANDS = 3, EACH = KC_MANY(100000), OPEN_AT_ONCE = 16 };

typedef struct race_bell {
    kc_wake wake;
    kc_ticket id;
    int64_t due_ns;
    atomic_int rung;
    _Atomic int64_t *now_ns;
} race_bell;

typedef struct race {
    kc_timers t;
    _Atomic int64_t now_ns;
    atomic_int busy;
    atomic_ullong cancelled, rung;
} race;

static void ring_in_race(kc_wake *wake, int32_t code) {
    race_bell *b = (race_bell *)(void *)wake;

    KC_CHECK(code == KC_ETIME && b->due_ns <= atomic_load(b->now_ns));
    atomic_fetch_add(&b->rung, 1); /* from here on it may be gone */
}

static void settle(race *r, race_bell *b) {
    if (kc_timers_cancel(&r->t, b->id) == 1) {
        atomic_fetch_add(&r->cancelled, 1);
        KC_CHECK(atomic_load(&b->rung) == 0);
    } else {
        while (atomic_load(&b->rung) == 0) {
        }
        KC_CHECK(atomic_load(&b->rung) == 1);
        atomic_fetch_add(&r->rung, 1);
    }
}

static void add_and_cancel(void *arg) {
    race *r = arg;
    race_bell bells[OPEN_AT_ONCE];

    for (uint32_t i = 0; i < EACH + OPEN_AT_ONCE; i++) {
        race_bell *b = &bells[i % OPEN_AT_ONCE];
        if (i >= OPEN_AT_ONCE)
            settle(r, b);
        if (i >= EACH)
            continue;
        *b = (race_bell){.wake = {.call = ring_in_race}, .now_ns = &r->now_ns};
        b->due_ns = atomic_load(&r->now_ns) + i % 7;
        KC_REQUIRE(kc_timers_add(&r->t, b->due_ns, &b->wake, &b->id) == KC_OK);
    }
    atomic_fetch_sub(&r->busy, 1);
}

static void run_until_done(void *arg) {
    race *r = arg;

    while (atomic_load(&r->busy) != 0)
        (void)kc_timers_run(&r->t, atomic_fetch_add(&r->now_ns, 1) + 1);
}

KC_TEST(a_cancel_that_races_the_call_is_in_time_or_the_call_is_made) {
    race r = {.busy = HANDS};
    kc_gang gang;

    kc_timers_begin(&r.t, HANDS * OPEN_AT_ONCE, NULL);
    kc_gang_begin(&gang, HANDS + 1);
    for (int i = 0; i < HANDS; i++)
        kc_gang_join(&gang, add_and_cancel, &r);
    kc_gang_join(&gang, run_until_done, &r);
    kc_gang_end(&gang);
    KC_CHECK_EQ(atomic_load(&r.cancelled) + atomic_load(&r.rung), HANDS * EACH);
    KC_CHECK_EQ(r.t.heap.count, 0);
    kc_timers_end(&r.t);
}

int main(void) {
    KC_RUN(nothing_leaves_a_nanosecond_before_its_time);
    KC_RUN(a_thousand_leave_in_order_and_those_of_one_time_as_they_came);
    KC_RUN(an_id_never_meets_the_next_life_of_its_record);
    KC_RUN(a_record_whose_lives_are_used_up_is_not_used_again);
    KC_RUN(one_more_than_there_may_be_is_refused_and_nothing_changes);
    KC_RUN(whatever_is_added_and_cancelled_the_heap_agrees_with_a_plain_list);
    KC_RUN(timers_are_called_in_order_once_and_never_early_whatever_the_clock_does);
    KC_RUN(a_cancel_says_whether_it_was_in_time);
    KC_RUN(who_sleeps_hears_of_a_nearer_time_and_of_no_other);
    KC_RUN(what_still_waits_at_the_end_is_told_that_it_never_comes);
    KC_RUN(a_timer_that_comes_back_at_once_waits_for_the_next_run);
    KC_RUN(a_cancel_that_races_the_call_is_in_time_or_the_call_is_made);
    return kc_test_report();
}
