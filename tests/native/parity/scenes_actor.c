/* scenes_actor.c: producers and actors. */
#include "play.h"
#include "../kc_test.h"

/* ---- producers ---- */

static kc_task_scope *scope_of(const play *p, kc_cancel *above) {
    kc_task_scope *scope = NULL;

    KC_REQUIRE(kc_task_scope_make(p->sched, above, &scope) == KC_OK);
    return scope;
}

static void produces(kc_task_scope *scope, kc_channel *channel, void *arg) {
    play *p = arg;

    for (int value = 1; value <= 3; value++)
        sends(p, "p", channel, value, kc_task_scope_cancel_of(scope));
    say(p, "p ends");
}

static void produces_two(kc_task_scope *scope, kc_channel *channel, void *arg) {
    play *p = arg;

    for (int value = 1; value <= 2; value++)
        sends(p, "p", channel, value, kc_task_scope_cancel_of(scope));
    say(p, "p ends");
}

static kc_channel *producer(play *p, kc_task_scope *scope, kc_produce_fn fn, uint32_t capacity) {
    kc_channel_config config = {.kind = capacity != 0 ? KC_KIND_BUFFERED : KC_KIND_RENDEZVOUS,
                                .capacity = capacity,
                                .elem_size = sizeof(int)};
    kc_channel **place = &p->channels[p->channel_count++];

    KC_REQUIRE(p->channel_count <= PLAY_CHANNELS);
    KC_REQUIRE(kc_task_produce(scope, p->hub, &config, fn, p, place) == KC_OK);
    return *place;
}

static void produce_all(play *p) {
    kc_task_scope *scope = scope_of(p, NULL);
    kc_channel *c = producer(p, scope, produces, 0);

    for (int i = 0; i < 4; i++)
        receives(p, "r", c, NULL);
    kc_task_scope_destroy(scope);
}

static void produce_buffered(play *p) {
    kc_task_scope *scope = scope_of(p, NULL);
    kc_channel *c = producer(p, scope, produces, 2);

    settle();
    for (int i = 0; i < 4; i++)
        receives(p, "r", c, NULL);
    settle();
    kc_task_scope_destroy(scope);
}

/* A part has the scope; whoever plays waits until it was given what is in it. */
static void has_producer(part *me) {
    kc_task_scope *scope = scope_of(me->p, me->cancel);

    me->channel = producer(me->p, scope, produces, 0);
    me->count = 1;
    (void)kc_co_unpark(me->joiner);
    KC_REQUIRE(kc_task_scope_wait(scope, KC_NEVER) == KC_OK);
    kc_task_scope_destroy(scope);
}

static part *given(play *p, part_fn act) {
    part *parent = launch(p, "parent", act, p->channel, NULL);

    parent->joiner = kc_co_self();
    while (parent->count == 0)
        KC_REQUIRE(kc_co_park() == KC_OK);
    return parent;
}

static void produce_and_scope_cancelled(play *p) {
    part *parent = given(p, has_producer);

    receives(p, "r", parent->channel, NULL);
    settle();
    say(p, "cancel");
    cancel_part(parent);
    join(parent);
    receives(p, "r", parent->channel, NULL);
}

static void produce_and_channel_destroyed(play *p) {
    kc_task_scope *scope = scope_of(p, NULL);
    kc_channel *c = producer(p, scope, produces_two, 0);

    receives(p, "r", c, NULL);
    settle();
    say(p, "destroy");
    kc_channel_destroy(c, 0);
    settle();
    receives(p, "r", c, NULL);
    kc_task_scope_destroy(scope);
}

void play_producers(void) {
    scenario("produce-all", produce_all);
    scenario("produce-buffered", produce_buffered);
    scenario("produce-and-scope-cancelled", produce_and_scope_cancelled);
    scenario("produce-and-channel-destroyed", produce_and_channel_destroyed);
}

/* ---- actors ---- */

static int deals(void *arg, const kc_actor_message *message) {
    int value = 0;

    memcpy(&value, message->data, sizeof value);
    say(arg, "actor %d", value);
    return KC_OK;
}

static void is_done(void *arg, int code) {
    (void)code;
    say(arg, "actor done");
}

static kc_actor_config actor_config(play *p, kc_channel *c) {
    return (kc_actor_config){.channel = c, .fn = deals, .on_done = is_done, .arg = p, .name = "actor"};
}

static kc_actor *actor_of(play *p, kc_channel *c) {
    kc_actor_config config = actor_config(p, c);
    kc_actor *actor = NULL;

    KC_REQUIRE(kc_actor_start(p->sched, &config, &actor) == KC_OK);
    return actor;
}

static void deals_in_order(play *p, kc_channel *c) {
    kc_actor *a = actor_of(p, c);

    for (int value = 1; value <= 4; value++)
        sends(p, "s", c, value, NULL);
    say(p, "close");
    kc_channel_close(c);
    settle();
    kc_actor_free(a);
}

static void in_order_rendezvous(play *p) { deals_in_order(p, p->channel); }
static void in_order_buffered(play *p) { deals_in_order(p, buffered(p, 2)); }
static void in_order_unlimited(play *p) { deals_in_order(p, channel_of(p, KC_KIND_UNLIMITED, 0)); }

static void closed_with_parked_senders(play *p) {
    sender_of(p, "s", p->channel, 1);
    sender_of(p, "t", p->channel, 2);
    settle();
    kc_channel_close(p->channel);
    kc_actor *a = actor_of(p, p->channel);
    settle();
    kc_actor_free(a);
}

static void actor_cancelled(play *p) {
    kc_actor *a = actor_of(p, p->channel);

    sends(p, "s", p->channel, 1, NULL);
    settle();
    say(p, "cancel");
    KC_REQUIRE(kc_actor_cancel(a, 0) == KC_OK);
    settle();
    sender_of(p, "late", p->channel, 2);
    settle();
    kc_actor_free(a);
}

static void cancelled_with_messages(play *p) {
    kc_channel *c = buffered(p, 4);
    kc_actor *a = actor_of(p, c);

    for (int value = 1; value <= 3; value++)
        sends(p, "s", c, value, NULL);
    KC_REQUIRE(kc_actor_cancel(a, 0) == KC_OK);
    settle();
    kc_actor_free(a);
}

static void has_actor(part *me) {
    kc_task_scope *scope = scope_of(me->p, me->cancel);
    kc_actor_config config = actor_config(me->p, me->channel);

    KC_REQUIRE(kc_actor_launch(scope, &config) == KC_OK);
    me->count = 1;
    (void)kc_co_unpark(me->joiner);
    KC_REQUIRE(kc_task_scope_wait(scope, KC_NEVER) == KC_OK);
    kc_task_scope_destroy(scope);
}

static void in_a_scope(play *p) {
    part *parent = given(p, has_actor);

    sends(p, "s", p->channel, 1, NULL);
    sends(p, "s", p->channel, 2, NULL);
    settle();
    say(p, "cancel");
    cancel_part(parent);
    join(parent);
    say(p, "joined");
}

void play_actors(void) {
    scenario("actor-deals-in-order-rendezvous", in_order_rendezvous);
    scenario("actor-deals-in-order-buffered", in_order_buffered);
    scenario("actor-deals-in-order-unlimited", in_order_unlimited);
    scenario("actor-closed-with-parked-senders", closed_with_parked_senders);
    scenario("actor-cancelled", actor_cancelled);
    scenario("actor-cancelled-with-messages", cancelled_with_messages);
    scenario("actor-in-a-scope-cancelled", in_a_scope);
}
