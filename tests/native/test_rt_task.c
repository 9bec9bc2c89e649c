/* test_rt_task.c: scopes leave nobody behind. Actors: test_rt_actor_once.c. */
#include <stdbool.h>

#include "kc_rt_world.h"
#include "kcoro/kc_actor.h"

typedef struct counts {
    _Atomic uint32_t began, ended, sum;
} counts;

static void counts_up(kc_task_scope *scope, void *arg) {
    counts *c = arg;

    KC_CHECK(kc_task_scope_children(scope) > 0);
    (void)atomic_fetch_add(&c->began, 1);
    for (int i = 0; i < 10; i++)
        kc_co_yield();
    (void)atomic_fetch_add(&c->ended, 1);
}

static void waits_for_cancel(kc_task_scope *scope, void *arg) {
    counts *c = arg;

    (void)atomic_fetch_add(&c->began, 1);
    KC_CHECK_EQ(kc_cancel_wait(kc_task_scope_cancel_of(scope), KC_NEVER), KC_OK);
    KC_CHECK_EQ(kc_task_launch(scope, counts_up, arg), KC_ECANCELED);
    for (int i = 0; i < 100; i++) /* it takes its time: whoever destroys the scope waits */
        kc_co_yield();
    (void)atomic_fetch_add(&c->ended, 1);
}

static void wait_with(uint32_t workers) {
    world w = begin(workers);
    kc_task_scope *scope = scope_of(&w, NULL);
    counts c = {0};

    KC_CHECK_EQ(kc_task_scope_wait(scope, 0), KC_OK);
    for (int i = 0; i < 100; i++)
        KC_CHECK_EQ(kc_task_launch(scope, counts_up, &c), KC_OK);
    KC_CHECK_EQ(kc_task_scope_wait(scope, KC_NEVER), KC_OK);
    KC_CHECK_EQ(c.ended, 100);
    KC_CHECK_EQ(kc_task_scope_children(scope), 0);
    KC_CHECK_EQ(kc_task_launch(scope, waits_for_cancel, &c), KC_OK);
    KC_CHECK_EQ(kc_task_scope_wait(scope, 0), KC_EAGAIN);
    KC_CHECK_EQ(kc_task_scope_wait(scope, kc_after_ns(1000000)), KC_ETIME);
    kc_task_scope_destroy(scope);
    KC_CHECK_EQ(c.ended, 101);
    end(&w);
}
KC_TEST(a_scope_waits_for_its_children) { rt_with_workers(wait_with); }

static void destroy_with(uint32_t workers) {
    world w = begin(workers);
    kc_task_scope *scope = scope_of(&w, NULL);
    counts c = {0};

    for (int i = 0; i < 30; i++)
        KC_CHECK_EQ(kc_task_launch(scope, waits_for_cancel, &c), KC_OK);
    rt_until(&c.began, 30);
    kc_task_scope_destroy(scope);
    KC_CHECK_EQ(c.ended, 30); /* in the very moment in which it returned */
    end(&w);
}
KC_TEST(leaving_a_scope_leaves_no_child) { rt_with_workers(destroy_with); }

typedef struct nested {
    world *w;
    counts *c;
} nested;

static void opens_a_scope(kc_task_scope *outer, void *arg) {
    nested *n = arg;
    kc_task_scope *inner = scope_of(n->w, kc_task_scope_cancel_of(outer));

    for (int i = 0; i < 5; i++)
        KC_CHECK_EQ(kc_task_launch(inner, waits_for_cancel, n->c), KC_OK);
    KC_CHECK_EQ(kc_task_scope_wait(inner, KC_NEVER), KC_OK); /* a coroutine waits: its worker runs the others */
    kc_task_scope_destroy(inner);
}

static void nested_with(uint32_t workers) {
    world w = begin(workers);
    counts c = {0};
    nested n = {.w = &w, .c = &c};
    kc_task_scope *outer = scope_of(&w, NULL);

    for (int i = 0; i < 4; i++)
        KC_CHECK_EQ(kc_task_launch(outer, opens_a_scope, &n), KC_OK);
    rt_until(&c.began, 20);
    KC_CHECK_EQ(kc_task_scope_cancel(outer, KC_REASON_SHUTDOWN), KC_OK);
    KC_CHECK_EQ(kc_task_scope_wait(outer, KC_NEVER), KC_OK);
    KC_CHECK_EQ(c.ended, 20);
    KC_CHECK_EQ(kc_task_scope_cancel(outer, 0), KC_EBUSY);
    kc_task_scope_destroy(outer);
    end(&w);
}
KC_TEST(a_cancel_reaches_scopes_in_scopes) { rt_with_workers(nested_with); }

typedef struct onlooker {
    kc_task_scope *scope;
    _Atomic uint32_t began, told;
} onlooker;

static void waits_for_all(void *arg) {
    onlooker *o = arg;

    (void)atomic_fetch_add(&o->began, 1);
    KC_CHECK_EQ(kc_task_scope_wait(o->scope, KC_NEVER), KC_OK);
    (void)atomic_fetch_add(&o->told, 1);
}

static void parks_as_child(kc_task_scope *scope, void *arg) {
    (void)scope;
    atomic_store((kc_co * _Atomic *)arg, kc_co_self());
    (void)kc_co_park();
}

static void onlookers_with(uint32_t workers) {
    enum { COUNT = 20 };
    world w = begin(workers);
    onlooker o = {.scope = scope_of(&w, NULL)};
    kc_co *_Atomic child = NULL;

    KC_REQUIRE(kc_task_launch(o.scope, parks_as_child, (void *)&child) == KC_OK);
    for (int i = 0; i < COUNT; i++)
        rt_spawn(w.sched, waits_for_all, &o);
    rt_until(&o.began, COUNT);
    while (atomic_load(&child) == NULL)
        (void)sched_yield();
    KC_CHECK_EQ(o.told, 0);
    KC_CHECK_EQ(kc_co_unpark(child), KC_OK);
    KC_CHECK_EQ(kc_sched_drain(w.sched, KC_NEVER), KC_OK);
    KC_CHECK_EQ(o.told, COUNT);
    kc_task_scope_destroy(o.scope);
    end(&w);
}
KC_TEST(all_who_wait_for_a_scope_are_told) { rt_with_workers(onlookers_with); }

static void produces(kc_task_scope *scope, kc_channel *channel, void *arg) {
    uint32_t count = *(uint32_t *)arg;

    for (uint32_t i = 0; i < count; i++) {
        if (kc_channel_send_c(channel, &i, sizeof i, KC_NEVER, kc_task_scope_cancel_of(scope)) != KC_OK)
            break;
    }
}

static void produce_with(uint32_t workers) {
    world w = begin(workers);
    kc_task_scope *scope = scope_of(&w, NULL);
    kc_channel_config config = {.kind = KC_KIND_BUFFERED, .capacity = 4, .elem_size = sizeof(uint32_t)};
    kc_channel *channel = NULL, *endless = NULL, *late = NULL;
    uint32_t count = 500, forever = UINT32_MAX, value = 0, sum = 0;

    KC_REQUIRE(kc_task_produce(scope, w.hub, &config, produces, &count, &channel) == KC_OK);
    KC_REQUIRE(kc_task_produce(scope, w.hub, &config, produces, &forever, &endless) == KC_OK);
    while (kc_channel_recv(channel, &value, sizeof value, NULL, KC_NEVER) == KC_OK)
        sum += value;
    KC_CHECK_EQ(sum, count * (count - 1) / 2);
    KC_CHECK_EQ(kc_channel_recv(endless, &value, sizeof value, NULL, KC_NEVER), KC_OK);
    KC_CHECK_EQ(kc_task_scope_cancel(scope, 0), KC_OK);
    KC_CHECK_EQ(kc_task_produce(scope, w.hub, &config, produces, &count, &late), KC_ECANCELED);
    KC_CHECK(late == NULL);
    kc_task_scope_destroy(scope);
    KC_CHECK_EQ(kc_channel_send(endless, &value, sizeof value, KC_NEVER), KC_EPIPE); /* closed by its producer's end */
    kc_channel_drop(channel);
    kc_channel_drop(endless);
    end(&w);
}
KC_TEST(a_producer_closes_its_channel_when_it_returns) { rt_with_workers(produce_with); }

static void is_never_called(kc_task_scope *scope, void *arg) {
    (void)scope;
    (void)arg;
    KC_CHECK(false);
}

static int is_never_dealt(void *arg, const kc_actor_message *m) {
    (void)arg;
    (void)m;
    KC_CHECK(false);
    return KC_OK;
}

KC_TEST(what_cannot_be_started_is_refused) {
    world w = begin(1);
    kc_task_scope *scope = scope_of(&w, NULL);
    kc_channel_config config = {.kind = KC_KIND_RENDEZVOUS, .elem_size = 4};
    kc_channel *channel = NULL, *none = NULL;
    kc_actor *actor = NULL;

    KC_REQUIRE(kc_channel_make(w.hub, &config, &channel) == KC_OK);
    KC_CHECK_EQ(kc_task_launch(scope, NULL, NULL), KC_EINVAL);
    KC_CHECK_EQ(kc_task_produce(scope, w.hub, &config, NULL, NULL, &none), KC_EINVAL);
    KC_CHECK_EQ(kc_actor_start(w.sched, &(kc_actor_config){.channel = channel}, &actor), KC_EINVAL);
    KC_CHECK_EQ(kc_actor_start(w.sched, &(kc_actor_config){.fn = is_never_dealt}, &actor), KC_EINVAL);
    KC_CHECK_EQ(kc_actor_launch(scope, &(kc_actor_config){.channel = channel}), KC_EINVAL);
    KC_CHECK(none == NULL && actor == NULL);
    KC_CHECK_EQ(kc_task_scope_children(scope), 0);
    KC_CHECK_EQ(kc_task_scope_cancel(scope, 0), KC_OK);
    KC_CHECK_EQ(kc_task_launch(scope, is_never_called, NULL), KC_ECANCELED);
    kc_task_scope_destroy(scope);
    kc_channel_drop(channel);
    end(&w);
}

int main(void) {
    KC_RUN(a_scope_waits_for_its_children);
    KC_RUN(leaving_a_scope_leaves_no_child);
    KC_RUN(all_who_wait_for_a_scope_are_told);
    KC_RUN(a_cancel_reaches_scopes_in_scopes);
    KC_RUN(a_producer_closes_its_channel_when_it_returns);
    KC_RUN(what_cannot_be_started_is_refused);
    return kc_test_report();
}
