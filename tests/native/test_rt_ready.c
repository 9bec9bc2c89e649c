/* The line of coroutines: order, places that go round, and each push popped once whoever races for it. */
#include "kc_gang.h"
#include "kcoro/kc_types.h"
#include "runtime/kc_ready.h"

/* What stands in line in place of a coroutine. */
typedef struct walker {
    uint32_t place;
    uint32_t from;   /* who pushed it */
    uint64_t number; /* the how manieth of theirs */
    uint64_t turns;  /* plain memory: only whoever popped it may touch it */
} walker;

static kc_places *places_of(uint32_t count) {
    kc_places *places = NULL;

    KC_REQUIRE(kc_places_make(count, &places) == KC_OK);
    return places;
}

static kc_ready ready_of(kc_places *places) {
    kc_ready q;

    KC_REQUIRE(kc_ready_make(&q, places) == KC_OK);
    return q;
}

static void push(kc_ready *q, walker *w) { kc_ready_push(q, w->place, w); }

static walker *pop(kc_ready *q) {
    uint32_t place = 0;
    walker *w = kc_ready_pop(q, &place);

    if (w != NULL)
        w->place = place;
    return w;
}

static walker *walkers_of(kc_places *places, uint32_t count) {
    walker *all = calloc(count, sizeof *all);

    KC_REQUIRE(all != NULL);
    for (uint32_t i = 0; i < count; i++) {
        all[i].place = kc_places_take(places);
        all[i].number = i;
        KC_REQUIRE(all[i].place != 0);
    }
    return all;
}

KC_TEST(first_come_first_served) {
    enum { COUNT = 1000 };
    kc_places *places = places_of(COUNT + 1);
    kc_ready q = ready_of(places);
    walker *all = walkers_of(places, COUNT);

    for (int round = 0; round < 3; round++) {
        KC_CHECK(kc_ready_is_empty(&q));
        KC_CHECK(pop(&q) == NULL);
        for (uint32_t i = 0; i < COUNT; i++)
            push(&q, &all[i]);
        KC_CHECK(!kc_ready_is_empty(&q));
        for (uint32_t i = 0; i < COUNT; i++) {
            walker *w = pop(&q);
            KC_REQUIRE(w != NULL);
            KC_CHECK(w->number == i);
        }
    }
    KC_CHECK(pop(&q) == NULL);
    kc_ready_free(&q);
    kc_places_free(places);
    free(all);
}

KC_TEST(who_goes_behind_the_others_again_and_again_has_as_many_turns_as_they) {
    enum { COUNT = 7, ROUNDS = 10000 };
    kc_places *places = places_of(COUNT + 1);
    kc_ready q = ready_of(places);
    walker *all = walkers_of(places, COUNT);

    for (uint32_t i = 0; i < COUNT; i++)
        push(&q, &all[i]);
    for (uint32_t i = 0; i < COUNT * ROUNDS; i++) {
        walker *w = pop(&q);
        KC_REQUIRE(w != NULL);
        KC_CHECK(w->number == i % COUNT);
        w->turns++;
        push(&q, w);
    }
    for (uint32_t i = 0; i < COUNT; i++)
        KC_CHECK_EQ(all[i].turns, ROUNDS);
    kc_ready_free(&q);
    kc_places_free(places);
    free(all);
}

KC_TEST(a_place_for_each_item_and_each_queue_is_enough_and_more_are_refused) {
    kc_places *places = places_of(4);
    kc_ready q = ready_of(places);
    kc_ready other;
    walker *all = walkers_of(places, 3);

    KC_CHECK_EQ(kc_places_take(places), 0);
    KC_CHECK_EQ(kc_ready_make(&other, places), KC_ENOMEM);
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < 3; i++)
            push(&q, &all[i]);
        for (uint64_t i = 0; i < 3; i++)
            KC_CHECK_EQ(pop(&q)->number, i);
    }
    for (int i = 0; i < 3; i++)
        kc_places_give(places, all[i].place);
    kc_ready_free(&q); /* its own place is given back as well: all four are free again */
    for (int i = 0; i < 4; i++) {
        uint32_t place = kc_places_take(places);
        KC_CHECK(place >= 1 && place <= 4);
    }
    KC_CHECK_EQ(kc_places_take(places), 0);
    kc_places_free(places);
    free(all);
}

KC_TEST(a_place_goes_from_one_queue_to_another_of_the_same_set) {
    kc_places *places = places_of(10);
    kc_ready ready = ready_of(places);
    kc_ready inject = ready_of(places);
    walker *all = walkers_of(places, 2);

    for (uint64_t round = 0; round < 1000; round++) {
        push(&inject, &all[0]);
        push(&ready, &all[1]);
        KC_CHECK_EQ(pop(&inject)->number, 0);
        KC_CHECK_EQ(pop(&ready)->number, 1);
        KC_CHECK(kc_ready_is_empty(&inject) && kc_ready_is_empty(&ready));
    }
    kc_ready_free(&ready);
    kc_ready_free(&inject);
    kc_places_free(places);
    free(all);
}

KC_TEST(a_set_of_no_places_or_too_many_is_not_made) {
    kc_places *places = NULL;

    KC_CHECK_EQ(kc_places_make(0, &places), KC_EINVAL);
    KC_CHECK_EQ(kc_places_make(KC_PLACES_MAX + 1, &places), KC_EINVAL);
    KC_CHECK(places == NULL);
}

/* ---- races ---- */

enum { PUSHERS = 2, POPPERS = 2, EACH = KC_MANY(1000000) };

typedef struct rush {
    kc_ready q;
    walker *all;
    atomic_uint pushers;
    atomic_ullong popped;
} rush;

static void push_each(void *arg) {
    rush *r = arg;
    uint32_t me = atomic_fetch_add(&r->pushers, 1);

    for (uint64_t i = 0; i < EACH; i++) {
        walker *w = &r->all[me * EACH + i];
        w->from = me;
        w->number = i;
        push(&r->q, w);
    }
}

/* Of each who pushes, one who pops sees ever later ones. */
static void pop_each(void *arg) {
    rush *r = arg;
    uint64_t next[PUSHERS] = {0};
    uint64_t mine = 0;

    while (atomic_load(&r->popped) < (uint64_t)PUSHERS * EACH) {
        walker *w = pop(&r->q);
        if (w == NULL)
            continue;
        KC_CHECK(w->number >= next[w->from]);
        next[w->from] = w->number + 1;
        w->turns++;
        mine++;
        atomic_fetch_add(&r->popped, 1);
    }
    KC_CHECK(mine <= (uint64_t)PUSHERS * EACH);
}

KC_TEST(each_push_is_popped_once_and_in_the_order_of_its_pusher) {
    kc_places *places = places_of(PUSHERS * EACH + 1);
    rush r = {.q = ready_of(places), .all = walkers_of(places, PUSHERS * EACH)};
    uint64_t wrong = 0;
    kc_gang gang;

    kc_gang_begin(&gang, PUSHERS + POPPERS);
    for (int i = 0; i < PUSHERS; i++)
        kc_gang_join(&gang, push_each, &r);
    for (int i = 0; i < POPPERS; i++)
        kc_gang_join(&gang, pop_each, &r);
    kc_gang_end(&gang);
    for (uint64_t i = 0; i < (uint64_t)PUSHERS * EACH; i++)
        wrong += r.all[i].turns != 1;
    KC_CHECK_EQ(wrong, 0);
    KC_CHECK(kc_ready_is_empty(&r.q));
    kc_ready_free(&r.q);
    kc_places_free(places);
    free(r.all);
}

/* Few items and few places, so that each place comes round as fast as it can: late threads meet its later lives. */
enum { DANCERS = 3, DANCES = KC_MANY(10000000) };

typedef struct dance {
    kc_ready queues[2];
    kc_places *places;
    atomic_ullong turns;
} dance;

static void dance_on(void *arg) {
    dance *d = arg;

    for (uint32_t i = 0; i < DANCES; i++) {
        walker *w = pop(&d->queues[i & 1]);
        uint32_t spare = i % 16 == 0 ? kc_places_take(d->places) : 0;
        if (w != NULL) {
            w->turns++;
            atomic_fetch_add_explicit(&d->turns, 1, memory_order_relaxed);
            push(&d->queues[(i >> 1) & 1], w);
        }
        if (spare != 0)
            kc_places_give(d->places, spare);
    }
}

KC_TEST(places_that_come_round_fast_are_nobodys_twice) {
    enum { COUNT = 4 };
    kc_places *places = places_of(COUNT + 2 + DANCERS);
    dance d = {.queues = {ready_of(places), ready_of(places)}, .places = places};
    walker *all = walkers_of(places, COUNT);
    uint64_t turns = 0, left = 0;
    kc_gang gang;

    for (int i = 0; i < COUNT; i++)
        push(&d.queues[0], &all[i]);
    kc_gang_begin(&gang, DANCERS);
    for (int i = 0; i < DANCERS; i++)
        kc_gang_join(&gang, dance_on, &d);
    kc_gang_end(&gang);
    for (int i = 0; i < 2; i++)
        for (walker *w = pop(&d.queues[i]); w != NULL; w = pop(&d.queues[i]), left++)
            turns += w->turns;
    KC_CHECK_EQ(left, COUNT);
    KC_CHECK_EQ(turns, atomic_load(&d.turns));
    kc_ready_free(&d.queues[0]);
    kc_ready_free(&d.queues[1]);
    kc_places_free(places);
    free(all);
}

int main(void) {
    KC_RUN(first_come_first_served);
    KC_RUN(who_goes_behind_the_others_again_and_again_has_as_many_turns_as_they);
    KC_RUN(a_place_for_each_item_and_each_queue_is_enough_and_more_are_refused);
    KC_RUN(a_place_goes_from_one_queue_to_another_of_the_same_set);
    KC_RUN(a_set_of_no_places_or_too_many_is_not_made);
    KC_RUN(each_push_is_popped_once_and_in_the_order_of_its_pusher);
    KC_RUN(places_that_come_round_fast_are_nobodys_twice);
    return kc_test_report();
}
