/* test_rt_channel_races.c: a cancel or a deadline meets a match: one of them wins, and its sender, its receiver and the
 * counters say the same. With 1, 2 and 4 workers; the engine is checked after each test. */
#include "kc_rt_crowd.h"

/* ---- cancel and deadline race the match ---- */

typedef struct raced {
    crowd *crowd;
    kc_cancel *cancel;
    _Atomic uint32_t go;
    uint32_t rounds;
} raced;

static void sends_with_deadlines(void *arg) {
    crowd *c = arg;
    uint32_t first = atomic_fetch_add(&c->number, c->each);

    for (uint32_t i = 0; i < c->each; i++) {
        uint32_t value = first + i;
        int rc = kc_channel_send(c->in, &value, sizeof value, kc_after_ns(20000 * (i % 8)));
        KC_CHECK(rc == KC_OK || rc == KC_ETIME);
        if (rc == KC_OK)
            KC_CHECK_EQ(atomic_fetch_add(&c->seen[value], 2) & 2, 0);
        else
            (void)atomic_fetch_add(&c->timed_out, 1);
    }
    if (atomic_fetch_sub(&c->senders_left, 1) == 1)
        KC_CHECK_EQ(kc_channel_close(c->in), KC_OK);
}

static void receives_with_deadlines(void *arg) {
    crowd *c = arg;
    uint32_t value = 0;
    int rc = KC_OK;

    for (uint32_t i = 0; rc != KC_EPIPE; i++) {
        rc = kc_channel_recv(c->in, &value, sizeof value, NULL, kc_after_ns(15000 * (i % 8)));
        KC_CHECK(rc == KC_OK || rc == KC_ETIME || rc == KC_EPIPE);
        if (rc == KC_OK)
            KC_CHECK_EQ(atomic_fetch_add(&c->seen[value], 1) & 1, 0);
        else
            kc_co_yield();
    }
}

/* What its sender was told and what a receiver saw are the same, of each message. */
static void deadlines_with(uint32_t workers) {
    crowd c = gather(workers, KC_KIND_RENDEZVOUS, 0);

    c.senders_left = SENDERS;
    for (int i = 0; i < SENDERS; i++) {
        rt_spawn(c.w.sched, sends_with_deadlines, &c);
        rt_spawn(c.w.sched, receives_with_deadlines, &c);
    }
    KC_CHECK_EQ(kc_sched_drain(c.w.sched, KC_NEVER), KC_OK);
    for (uint32_t i = 0; i < SENDERS * EACH; i++)
        KC_CHECK(c.seen[i] == 0 || c.seen[i] == 3);
    disperse(&c);
}
KC_TEST(a_deadline_that_races_a_match_loses_and_doubles_nothing) {
    for (int round = 0; round < (RT_SCALE == 1 ? 6 : 1); round++)
        rt_with_workers(deadlines_with);
}

static void sends_until_cancelled(void *arg) {
    raced *r = arg;
    uint32_t value = 1;
    int rc = KC_OK;

    (void)atomic_fetch_add(&r->go, 1);
    while ((rc = kc_channel_send_c(r->crowd->in, &value, sizeof value, KC_NEVER, r->cancel)) == KC_OK)
        (void)atomic_fetch_add(&r->crowd->number, 1);
    KC_CHECK_EQ(rc, KC_ECANCELED);
    (void)atomic_fetch_add(&r->crowd->cancelled, 1);
}

static void receives_until_cancelled(void *arg) {
    raced *r = arg;
    uint32_t value = 0;
    int rc = KC_OK;

    (void)atomic_fetch_add(&r->go, 1);
    while ((rc = kc_channel_recv_c(r->crowd->in, &value, sizeof value, NULL, KC_NEVER, r->cancel)) == KC_OK)
        (void)atomic_fetch_add(&r->crowd->received, 1);
    KC_CHECK_EQ(rc, KC_ECANCELED);
    (void)atomic_fetch_add(&r->crowd->cancelled, 1);
}

static void cancel_with(uint32_t workers) {
    for (int round = 0; round < 40 / RT_SCALE; round++) {
        crowd c = gather(workers, round % 2 == 0 ? KC_KIND_RENDEZVOUS : KC_KIND_BUFFERED, 2);
        raced r = {.crowd = &c};
        KC_REQUIRE(kc_cancel_make(NULL, &r.cancel) == KC_OK);
        for (int i = 0; i < 4; i++) {
            rt_spawn(c.w.sched, sends_until_cancelled, &r);
            rt_spawn(c.w.sched, receives_until_cancelled, &r);
        }
        rt_until(&r.go, 8);
        KC_CHECK_EQ(kc_cancel_trigger(r.cancel, 0), KC_OK);
        KC_CHECK_EQ(kc_sched_drain(c.w.sched, KC_NEVER), KC_OK);
        KC_CHECK_EQ(c.cancelled, 8);
        KC_CHECK_EQ(c.number, c.received + (uint64_t)kc_channel_depth(c.in));
        KC_CHECK_EQ(stat_of(&c.w, c.in, KC_STAT_TOTAL_SENDS), c.number);
        KC_CHECK(stat_of(&c.w, c.in, KC_STAT_CANCELLED_CANCEL) <= 8);
        check(&c.w);
        kc_cancel_drop(r.cancel);
        disperse(&c);
    }
}
KC_TEST(a_cancel_that_races_a_match_loses_and_doubles_nothing) { rt_with_workers(cancel_with); }

static void is_cancelled_while_it_waits(void *arg) {
    raced *r = arg;
    uint32_t value = 0;

    KC_CHECK_EQ(kc_channel_recv_c(r->crowd->in, &value, sizeof value, NULL, KC_NEVER, r->cancel), KC_ECANCELED);
}

static void decided_with(uint32_t workers) {
    for (int round = 0; round < 50 / RT_SCALE; round++) {
        crowd c = gather(workers, KC_KIND_RENDEZVOUS, 0);
        raced r = {.crowd = &c};
        uint32_t value = 7;
        kc_co *co = NULL;
        KC_REQUIRE(kc_cancel_make(NULL, &r.cancel) == KC_OK);
        KC_REQUIRE(kc_sched_spawn(c.w.sched, is_cancelled_while_it_waits, &r, &co) == KC_OK);
        rt_until_state(co, KC_CO_PARKED);
        KC_CHECK_EQ(kc_cancel_trigger(r.cancel, 0), KC_OK);
        /* whether or not it has run meanwhile */
        KC_CHECK_EQ(kc_channel_try_send(c.in, &value, sizeof value), KC_EAGAIN);
        KC_CHECK_EQ(stat_of(&c.w, c.in, KC_STAT_CANCELLED_CANCEL), 1);
        KC_CHECK_EQ(kc_sched_drain(c.w.sched, KC_NEVER), KC_OK);
        kc_co_drop(co);
        kc_cancel_drop(r.cancel);
        disperse(&c);
    }
}
KC_TEST(who_waits_is_cancelled_in_the_step_that_sets_the_cancel) { rt_with_workers(decided_with); }

KC_TEST(an_operation_that_is_cancelled_before_it_began_has_no_effect) {
    world w = begin(1);
    kc_channel *c = channel_of(&w, KC_KIND_BUFFERED, 4, sizeof(int));
    kc_cancel *cancel = NULL;
    int value = 1;

    KC_REQUIRE(kc_cancel_make(NULL, &cancel) == KC_OK);
    KC_CHECK_EQ(kc_channel_send_c(c, &value, sizeof value, KC_NEVER, cancel), KC_OK);
    KC_CHECK_EQ(kc_cancel_trigger(cancel, 0), KC_OK);
    KC_CHECK_EQ(kc_channel_send_c(c, &value, sizeof value, KC_NEVER, cancel), KC_ECANCELED);
    KC_CHECK_EQ(kc_channel_recv_c(c, &value, sizeof value, NULL, KC_NEVER, cancel), KC_ECANCELED);
    KC_CHECK_EQ(kc_channel_depth(c), 1);
    kc_cancel_drop(cancel);
    kc_channel_drop(c);
    end(&w);
}

int main(void) {
    KC_RUN(a_deadline_that_races_a_match_loses_and_doubles_nothing);
    KC_RUN(a_cancel_that_races_a_match_loses_and_doubles_nothing);
    KC_RUN(who_waits_is_cancelled_in_the_step_that_sets_the_cancel);
    KC_RUN(an_operation_that_is_cancelled_before_it_began_has_no_effect);
    return kc_test_report();
}
