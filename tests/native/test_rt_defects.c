/* test_rt_defects.c: what an older project of this kind got wrong and no other test here would show; README.md in this
 * folder names the test for each of those defects. A defect's number there stands before its test.
 */
#include "kc_rt.h"
#include "kcoro/kc_actor.h"
#include "kcoro/kc_io.h"
#include "kcoro/kc_timer.h"
#include "kcoro/kc_wire.h"

typedef struct world {
    kc_hub *hub;
    kc_sched *sched;
    kc_channel *channel;
    kc_cancel *cancel;
    _Atomic uint32_t began, ended;
} world;

static world begin(uint32_t workers, const kc_channel_config *config) {
    world w = {.sched = rt_sched(workers)};

    w.hub = rt_hub();
    KC_REQUIRE(kc_channel_make(w.hub, config, &w.channel) == KC_OK);
    KC_REQUIRE(kc_cancel_make(NULL, &w.cancel) == KC_OK);
    return w;
}

static void end(world *w) {
    kc_engine_usage usage;

    kc_sched_free(w->sched);
    kc_channel_drop(w->channel);
    kc_cancel_drop(w->cancel);
    kc_engine_measure(kc_hub_engine(w->hub), &usage);
    KC_CHECK_EQ(usage.channels + usage.tokens + usage.messages + usage.parked, 0);
    rt_hub_free(w->hub);
}

static uint64_t stat_of(const world *w, uint32_t stat) {
    kc_chan_snapshot snapshot;

    KC_REQUIRE(kc_chan_measure(kc_hub_engine(w->hub), kc_channel_ticket(w->channel), &snapshot) == KC_OK);
    return snapshot.stat[stat];
}

/* ---- 4, 5: growing while it is sent to by every kind of call ---- */

static int send_some_way(kc_channel *c, uint32_t i) {
    static const int64_t never = KC_NEVER;
    int rc = KC_OK;

    if (i % 3 == 0)
        rc = kc_channel_send(c, &i, sizeof i, never);
    else if (i % 3 == 1)
        rc = kc_channel_try_send(c, &i, sizeof i);
    else
        rc = kc_channel_send(c, &i, sizeof i, kc_after_ns(60000000000));
    return rc;
}

KC_TEST(an_unlimited_channel_keeps_every_value_whichever_way_it_was_sent_and_whatever_capacity_was_wished) {
    static const uint32_t capacities[] = {0, 1, 3, 64};

    for (size_t k = 0; k < sizeof capacities / sizeof capacities[0]; k++) {
        kc_channel_config config = {.kind = KC_KIND_UNLIMITED, .capacity = capacities[k], .elem_size = 4};
        world w = begin(1, &config);
        for (uint32_t i = 0; i < 700; i++)
            KC_CHECK_EQ(send_some_way(w.channel, i), KC_OK);
        for (uint32_t i = 0, got = 0; i < 700; i++) {
            KC_CHECK_EQ(kc_channel_recv(w.channel, &got, sizeof got, NULL, KC_NEVER), KC_OK);
            KC_CHECK_EQ(got, i);
        }
        end(&w);
    }
}

/* ---- 12 ---- */

KC_TEST(a_kind_that_is_none_is_refused) {
    static const int32_t kinds[] = {-7, -4, -3, 2, 5, INT32_MAX, INT32_MIN};
    kc_channel_config config = {.kind = KC_KIND_RENDEZVOUS, .elem_size = 4};
    world w = begin(1, &config);

    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        kc_channel *none = NULL;
        config.kind = kinds[k];
        config.capacity = 4;
        KC_CHECK_EQ(kc_channel_make(w.hub, &config, &none), KC_EINVAL);
        KC_CHECK(none == NULL);
    }
    end(&w);
}

/* ---- 6, 19: everybody who waits for memory is told, and may be the last who holds the channel ---- */

static void waits_for_memory(void *arg) {
    world *w = arg;
    kc_channel *mine = w->channel;
    void *ptr = NULL;
    uint64_t len = 0;

    (void)atomic_fetch_add(&w->began, 1);
    int rc = kc_channel_recv_ptr(mine, &ptr, &len, KC_NEVER);
    KC_CHECK(rc == KC_EPIPE || rc == KC_ECANCELED);
    KC_CHECK_EQ(kc_channel_try_recv_ptr(mine, &ptr, &len), rc); /* what it holds is still there */
    kc_channel_drop(mine);
    (void)atomic_fetch_add(&w->ended, 1);
}

static void ends_it_and_goes(void *arg) {
    world *w = arg;
    kc_channel *mine = w->channel;

    while (stat_of(w, KC_STAT_PARKED_RECEIVERS) != 100)
        kc_co_yield();
    w->channel = NULL;
    KC_CHECK_EQ(kc_cancel_is_set(w->cancel) ? kc_channel_destroy(mine, 0) : kc_channel_close(mine), KC_OK);
    kc_channel_drop(mine);
}

static void memory_waiters_with(uint32_t workers) {
    for (int destroy = 0; destroy < 2; destroy++) {
        kc_channel_config config = {.kind = KC_KIND_RENDEZVOUS, .elem_size = 0};
        world w = begin(workers, &config);
        if (destroy != 0)
            KC_CHECK_EQ(kc_cancel_trigger(w.cancel, 0), KC_OK);
        for (int i = 0; i < 100; i++) {
            kc_channel_keep(w.channel);
            rt_spawn(w.sched, waits_for_memory, &w);
        }
        rt_until(&w.began, 100);
        rt_spawn(w.sched, ends_it_and_goes, &w);
        KC_CHECK_EQ(kc_sched_drain(w.sched, KC_NEVER), KC_OK);
        KC_CHECK_EQ(w.ended, 100);
        end(&w);
    }
}
KC_TEST(a_hundred_who_wait_for_memory_are_all_told_of_the_end_and_hold_the_channel) {
    rt_with_workers(memory_waiters_with);
}

/* ---- 9: who waits is not run, with a deadline and a cancel too ---- */

static void waits_long(void *arg) {
    world *w = arg;
    uint32_t got = 0;

    KC_CHECK_EQ(kc_channel_recv_c(w->channel, &got, sizeof got, NULL, kc_after_ns(600000000000), w->cancel),
                KC_ECANCELED);
}

static void timed_wait_with(uint32_t workers) {
    kc_channel_config config = {.kind = KC_KIND_RENDEZVOUS, .elem_size = 4};
    world w = begin(workers, &config);
    kc_sched_usage before, after;
    kc_co *co = NULL;

    KC_REQUIRE(kc_sched_spawn(w.sched, waits_long, &w, &co) == KC_OK);
    rt_until_state(co, KC_CO_PARKED);
    kc_sched_measure(w.sched, &before);
    KC_CHECK_EQ(kc_sched_drain(w.sched, kc_after_ns(50000000)), KC_ETIME);
    kc_sched_measure(w.sched, &after);
    KC_CHECK_EQ(after.switches, before.switches);
    KC_CHECK_EQ(kc_cancel_trigger(w.cancel, 0), KC_OK);
    KC_CHECK_EQ(kc_sched_drain(w.sched, KC_NEVER), KC_OK);
    kc_sched_measure(w.sched, &after);
    KC_CHECK_EQ(after.switches, before.switches + 1);
    kc_co_drop(co);
    end(&w);
}
KC_TEST(who_waits_with_deadline_and_cancel_is_run_once_when_it_ends) { rt_with_workers(timed_wait_with); }

/* ---- 10, 15, 16: a select counts as a send or a receive does, and meets a receiver who waits for ever ---- */

static void receives_for_ever(void *arg) {
    world *w = arg;
    uint32_t got = 0;

    KC_CHECK_EQ(kc_channel_recv(w->channel, &got, sizeof got, NULL, KC_NEVER), KC_OK);
    KC_CHECK_EQ(got, 7);
}

KC_TEST(selects_that_need_not_wait_are_counted) {
    kc_channel_config config = {.kind = KC_KIND_RENDEZVOUS, .elem_size = 4};
    world w = begin(1, &config);
    uint32_t value = 7, got = 0, index = 9;
    kc_channel_clause send = {.channel = w.channel, .dir = KC_CLAUSE_SEND, .data = &value, .len_bytes = sizeof value};
    kc_channel_clause recv = {.channel = w.channel, .dir = KC_CLAUSE_RECV, .buffer = &got, .buffer_bytes = sizeof got};
    kc_co *co = NULL;

    KC_REQUIRE(kc_sched_spawn(w.sched, receives_for_ever, &w, &co) == KC_OK);
    rt_until_state(co, KC_CO_PARKED);
    KC_CHECK_EQ(kc_channel_select(&send, 1, KC_OP_TRY, KC_NEVER, NULL, &index), KC_OK);
    KC_CHECK_EQ(stat_of(&w, KC_STAT_TOTAL_SENDS), 1);
    KC_CHECK_EQ(stat_of(&w, KC_STAT_TOTAL_RECVS), 1);
    KC_CHECK_EQ(kc_channel_select(&recv, 1, KC_OP_TRY, KC_NEVER, NULL, &index), KC_EAGAIN);
    KC_CHECK_EQ(stat_of(&w, KC_STAT_TOTAL_RECVS), 1);
    KC_CHECK_EQ(kc_sched_drain(w.sched, KC_NEVER), KC_OK);
    kc_co_drop(co);
    end(&w);
}

static void sends_seven(void *arg) {
    world *w = arg;
    uint32_t value = 7;

    KC_CHECK_EQ(kc_channel_send(w->channel, &value, sizeof value, KC_NEVER), KC_OK);
}

KC_TEST(the_first_try_meets_a_sender_who_waits) {
    kc_channel_config config = {.kind = KC_KIND_RENDEZVOUS, .elem_size = 4};

    for (int round = 0; round < 200 / RT_SCALE; round++) {
        world w = begin(1, &config);
        uint32_t got = 0;
        kc_co *co = NULL;
        KC_REQUIRE(kc_sched_spawn(w.sched, sends_seven, &w, &co) == KC_OK);
        rt_until_state(co, KC_CO_PARKED);
        KC_CHECK_EQ(kc_channel_try_recv(w.channel, &got, sizeof got, NULL), KC_OK);
        KC_CHECK_EQ(got, 7);
        KC_CHECK_EQ(kc_sched_drain(w.sched, KC_NEVER), KC_OK);
        kc_co_drop(co);
        end(&w);
    }
}

/* ---- 20: a wait for memory can be cancelled, and ends with its channel on every kind ---- */

static void is_cancelled_waiting_for_memory(void *arg) {
    world *w = arg;
    void *ptr = NULL;
    uint64_t len = 0;

    KC_CHECK_EQ(kc_channel_recv_ptr_c(w->channel, &ptr, &len, KC_NEVER, w->cancel), KC_ECANCELED);
}

static void hears_of_the_end_of_memory(void *arg) {
    world *w = arg;
    void *ptr = NULL;
    uint64_t len = 0;

    KC_CHECK_EQ(kc_channel_recv_ptr(w->channel, &ptr, &len, KC_NEVER), KC_EPIPE);
}

static void memory_ends_with(uint32_t workers) {
    static const int32_t kinds[] = {KC_KIND_RENDEZVOUS, KC_KIND_BUFFERED, KC_KIND_CONFLATED, KC_KIND_UNLIMITED};

    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        kc_channel_config config = {.kind = kinds[k], .capacity = kinds[k] == KC_KIND_BUFFERED ? 2 : 0};
        world w = begin(workers, &config);
        kc_co *first = NULL, *second = NULL;
        KC_REQUIRE(kc_sched_spawn(w.sched, is_cancelled_waiting_for_memory, &w, &first) == KC_OK);
        KC_REQUIRE(kc_sched_spawn(w.sched, hears_of_the_end_of_memory, &w, &second) == KC_OK);
        rt_until_state(first, KC_CO_PARKED);
        rt_until_state(second, KC_CO_PARKED);
        KC_CHECK_EQ(kc_cancel_trigger(w.cancel, 0), KC_OK);
        KC_CHECK_EQ(stat_of(&w, KC_STAT_CANCELLED_CANCEL), 1);
        KC_CHECK_EQ(kc_channel_close(w.channel), KC_OK);
        KC_CHECK_EQ(kc_sched_drain(w.sched, KC_NEVER), KC_OK);
        kc_co_drop(first);
        kc_co_drop(second);
        end(&w);
    }
}
KC_TEST(a_wait_for_memory_ends_with_its_cancel_or_its_channel_on_every_kind) { rt_with_workers(memory_ends_with); }

/* ---- 28, 29 ---- */

static int deals(void *arg, const kc_actor_message *message) {
    (void)message;
    (void)atomic_fetch_add(&((world *)arg)->began, 1);
    return KC_OK;
}

static void is_done(void *arg, int code) {
    KC_CHECK_EQ(code, KC_EPIPE);
    (void)atomic_fetch_add(&((world *)arg)->ended, 1);
}

static void actor_leaves_with(uint32_t workers) {
    kc_channel_config config = {.kind = KC_KIND_UNLIMITED, .elem_size = 4};
    world w = begin(workers, &config);
    kc_actor_config actor = {.fn = deals, .on_done = is_done, .arg = &w, .channel = w.channel};
    kc_task_scope *scope = NULL;
    kc_engine_usage usage;

    KC_REQUIRE(kc_task_scope_make(w.sched, NULL, &scope) == KC_OK);
    for (uint32_t i = 0; i < 20; i++)
        KC_CHECK_EQ(kc_channel_send(w.channel, &i, sizeof i, KC_NEVER), KC_OK);
    KC_CHECK_EQ(kc_channel_close(w.channel), KC_OK);
    KC_CHECK_EQ(kc_actor_launch(scope, &actor), KC_OK); /* it may run before the call has returned */
    KC_CHECK_EQ(kc_task_scope_wait(scope, KC_NEVER), KC_OK);
    KC_CHECK_EQ(w.began, 20);
    KC_CHECK_EQ(w.ended, 1); /* the user's own, with a scope */
    KC_CHECK_EQ(kc_task_scope_children(scope), 0);
    kc_channel_drop(w.channel);
    w.channel = NULL;
    kc_engine_measure(kc_hub_engine(w.hub), &usage);
    KC_CHECK_EQ(usage.channels, 0); /* the actor's reference went with it, and not with its scope */
    kc_task_scope_destroy(scope);
    end(&w);
}
KC_TEST(an_actor_that_ends_by_itself_leaves_its_scope_and_its_channel) { rt_with_workers(actor_leaves_with); }

/* ---- 23 ---- */

_Static_assert(KC_ECANCELED == -125 && KC_EPIPE == -32 && KC_EAGAIN == -11, "one number for a code, in every header");

int main(void) {
    KC_RUN(an_unlimited_channel_keeps_every_value_whichever_way_it_was_sent_and_whatever_capacity_was_wished);
    KC_RUN(a_kind_that_is_none_is_refused);
    KC_RUN(a_hundred_who_wait_for_memory_are_all_told_of_the_end_and_hold_the_channel);
    KC_RUN(who_waits_with_deadline_and_cancel_is_run_once_when_it_ends);
    KC_RUN(selects_that_need_not_wait_are_counted);
    KC_RUN(the_first_try_meets_a_sender_who_waits);
    KC_RUN(a_wait_for_memory_ends_with_its_cancel_or_its_channel_on_every_kind);
    KC_RUN(an_actor_that_ends_by_itself_leaves_its_scope_and_its_channel);
    return kc_test_report();
}
