/* test_rt_task.c: scopes leave nobody behind; actors deal with each message once, in order, and end once. */
#include "kc_asleep.h"
#include <stdbool.h>

#include "kcoro/kc_actor.h"

typedef struct world {
    kc_hub *hub;
    kc_sched *sched;
} world;

static world begin(uint32_t workers) {
    return (world){.hub = rt_hub(), .sched = rt_sched(workers)};
}

static void end(world *w) {
    char why[256] = "";
    kc_engine_usage usage;

    kc_sched_free(w->sched);
    KC_CHECK_EQ(kc_engine_check(kc_hub_engine(w->hub), why, sizeof why), KC_OK);
    kc_engine_measure(kc_hub_engine(w->hub), &usage);
    KC_CHECK_EQ(usage.channels + usage.tokens + usage.messages + usage.parked, 0);
    rt_hub_free(w->hub);
}

static kc_task_scope *scope_of(const world *w, kc_cancel *parent) {
    kc_task_scope *scope = NULL;

    KC_REQUIRE(kc_task_scope_make(w->sched, parent, &scope) == KC_OK);
    return scope;
}

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

/* ---- actors ---- */

typedef struct seen {
    _Atomic uint32_t next, done;
    int code;
    uint32_t refuse_at;
} seen;

static int expects_in_order(void *arg, const kc_actor_message *m) {
    seen *s = arg;
    uint32_t value = 0;

    KC_CHECK_EQ(m->len_bytes, sizeof value);
    memcpy(&value, m->data, sizeof value);
    KC_CHECK_EQ(atomic_fetch_add(&s->next, 1), value);
    return s->refuse_at != 0 && value == s->refuse_at ? KC_EPROTO : KC_OK;
}

static void notes_the_end(void *arg, int code) {
    seen *s = arg;

    s->code = code;
    (void)atomic_fetch_add(&s->done, 1);
}

static kc_actor *actor_of(const world *w, kc_channel *channel, seen *s, kc_cancel *cancel) {
    kc_actor_config config = {.channel = channel,
                              .fn = expects_in_order,
                              .on_done = notes_the_end,
                              .arg = s,
                              .cancel = cancel,
                              .name = "actor"};
    kc_actor *actor = NULL;

    KC_REQUIRE(kc_actor_start(w->sched, &config, &actor) == KC_OK);
    return actor;
}

static void every_kind_with(uint32_t workers) {
    static const kc_channel_config kinds[] = {{.kind = KC_KIND_RENDEZVOUS, .elem_size = 4},
                                              {.kind = KC_KIND_BUFFERED, .capacity = 1, .elem_size = 4},
                                              {.kind = KC_KIND_BUFFERED, .capacity = 16, .elem_size = 4},
                                              {.kind = KC_KIND_UNLIMITED, .elem_size = 4}};

    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        world w = begin(workers);
        kc_channel *channel = NULL;
        seen s = {0};
        int code = 0;
        KC_REQUIRE(kc_channel_make(w.hub, &kinds[k], &channel) == KC_OK);
        kc_actor *actor = actor_of(&w, channel, &s, NULL);
        for (uint32_t i = 0; i < 1000 / RT_SCALE; i++)
            KC_CHECK_EQ(kc_channel_send(channel, &i, sizeof i, i % 3 == 0 ? kc_after_ns(60000000000) : KC_NEVER),
                        KC_OK);
        KC_CHECK_EQ(kc_channel_close(channel), KC_OK);
        KC_CHECK_EQ(kc_actor_wait(actor, KC_NEVER, &code), KC_OK);
        KC_CHECK_EQ(code, KC_EPIPE);
        KC_CHECK_EQ(s.next, 1000 / RT_SCALE);
        KC_CHECK_EQ(kc_actor_count(actor), 1000 / RT_SCALE);
        KC_CHECK_EQ(s.done, 1);
        KC_CHECK_EQ(kc_actor_stop(actor), KC_OK); /* too late to matter */
        kc_actor_free(actor);
        KC_CHECK_EQ(s.done, 1);
        kc_channel_drop(channel);
        end(&w);
    }
}
KC_TEST(an_actor_deals_with_each_message_once_on_every_kind) { rt_with_workers(every_kind_with); }

static void ends_with(uint32_t workers) {
    world w = begin(workers);
    kc_channel_config config = {.kind = KC_KIND_BUFFERED, .capacity = 64, .elem_size = 4};
    kc_channel *channels[5];
    seen s[5] = {{0}, {0}, {0}, {0}, {.refuse_at = 2}};
    kc_actor *actors[5];
    kc_cancel *above = NULL;
    static const int codes[5] = {KC_OK, KC_ECANCELED, KC_ECANCELED, KC_ECANCELED, KC_EPROTO};

    KC_REQUIRE(kc_cancel_make(NULL, &above) == KC_OK);
    for (int i = 0; i < 5; i++) {
        KC_REQUIRE(kc_channel_make(w.hub, &config, &channels[i]) == KC_OK);
        actors[i] = actor_of(&w, channels[i], &s[i], i == 2 ? above : NULL);
        KC_CHECK_EQ(kc_actor_wait(actors[i], kc_now_ns(), NULL), KC_ETIME);
    }
    KC_CHECK_EQ(kc_actor_stop(actors[0]), KC_OK);
    KC_CHECK_EQ(kc_actor_cancel(actors[0], 0), KC_EBUSY);
    KC_CHECK_EQ(kc_actor_cancel(actors[1], KC_REASON_SHUTDOWN), KC_OK);
    KC_CHECK_EQ(kc_cancel_trigger(above, 0), KC_OK);
    KC_CHECK_EQ(kc_channel_destroy(channels[3], 0), KC_OK);
    for (uint32_t i = 0; i < 5; i++)
        KC_CHECK_EQ(kc_channel_send(channels[4], &i, sizeof i, KC_NEVER), KC_OK);
    for (int i = 0; i < 5; i++) {
        int code = 1;
        KC_CHECK_EQ(kc_actor_wait(actors[i], KC_NEVER, &code), KC_OK);
        KC_CHECK_EQ(code, codes[i]);
        KC_CHECK_EQ(s[i].code, codes[i]);
        KC_CHECK_EQ(s[i].done, 1);
        kc_actor_free(actors[i]);
        KC_CHECK_EQ(s[i].done, 1);
    }
    KC_CHECK_EQ(s[4].next, 3);                           /* 0, 1 and the one that it refused */
    KC_CHECK_EQ(kc_channel_depth(channels[4]), 2); /* what was not begun is still there */
    for (int i = 0; i < 5; i++)
        kc_channel_drop(channels[i]);
    kc_cancel_drop(above);
    end(&w);
}
KC_TEST(stop_cancel_destroy_and_refusal_end_an_actor_once) { rt_with_workers(ends_with); }

static void in_scope_with(uint32_t workers) {
    world w = begin(workers);
    kc_channel_config config = {.kind = KC_KIND_RENDEZVOUS, .elem_size = 4};
    kc_task_scope *scope = scope_of(&w, NULL);
    kc_channel *channel = NULL;
    seen s = {0};

    KC_REQUIRE(kc_channel_make(w.hub, &config, &channel) == KC_OK);
    kc_actor_config actor = {.channel = channel, .fn = expects_in_order, .on_done = notes_the_end, .arg = &s};
    KC_CHECK_EQ(kc_actor_launch(scope, &actor), KC_OK);
    for (uint32_t i = 0; i < 10; i++)
        KC_CHECK_EQ(kc_channel_send(channel, &i, sizeof i, KC_NEVER), KC_OK);
    kc_task_scope_destroy(scope);
    KC_CHECK_EQ(s.done, 1);
    KC_CHECK_EQ(s.next, 10);
    KC_CHECK_EQ(s.code, KC_ECANCELED);
    kc_channel_drop(channel);
    end(&w);
}
KC_TEST(an_actor_in_a_scope_ends_with_it) { rt_with_workers(in_scope_with); }

static void idle_actor_with(uint32_t workers) {
    world w = begin(workers);
    kc_channel_config config = {.kind = KC_KIND_RENDEZVOUS, .elem_size = 4};
    kc_channel *channel = NULL;
    kc_sched_usage before, after;
    seen s = {0};

    KC_REQUIRE(kc_channel_make(w.hub, &config, &channel) == KC_OK);
    kc_actor *actor = actor_of(&w, channel, &s, NULL);
    do { /* its first run is over */
        rt_until_asleep(w.sched);
        kc_sched_measure(w.sched, &before);
    } while (before.switches == 0);
    KC_CHECK_EQ(kc_sched_drain(w.sched, kc_after_ns(50000000)), KC_ETIME);
    kc_sched_measure(w.sched, &after);
    KC_CHECK_EQ(after.switches, before.switches);
    KC_CHECK_EQ(after.sleeps, before.sleeps);
    kc_actor_free(actor);
    kc_channel_drop(channel);
    end(&w);
}
KC_TEST(an_idle_actor_is_never_run) { rt_with_workers(idle_actor_with); }

static int finds_its_handle(void *arg, const kc_actor_message *m) {
    (void)m;
    KC_CHECK(*(kc_actor **)arg != NULL);
    return KC_OK;
}

/* There is a message already: the handler may run before the start has returned. */
static void handle_first_with(uint32_t workers) {
    enum { STARTS = 1000 / RT_SCALE };
    world w = begin(workers);
    kc_channel_config config = {.kind = KC_KIND_BUFFERED, .capacity = 1, .elem_size = 4};

    for (uint32_t i = 0; i < STARTS; i++) {
        kc_channel *channel = NULL;
        kc_actor *actor = NULL;
        kc_actor_config wanted = {.fn = finds_its_handle, .arg = &actor};
        KC_REQUIRE(kc_channel_make(w.hub, &config, &channel) == KC_OK);
        KC_REQUIRE(kc_channel_send(channel, &i, sizeof i, KC_NEVER) == KC_OK);
        KC_CHECK_EQ(kc_channel_close(channel), KC_OK);
        wanted.channel = channel;
        KC_REQUIRE(kc_actor_start(w.sched, &wanted, &actor) == KC_OK);
        KC_CHECK_EQ(kc_actor_wait(actor, KC_NEVER, NULL), KC_OK);
        KC_CHECK_EQ(kc_actor_count(actor), 1);
        kc_actor_free(actor);
        kc_channel_drop(channel);
    }
    end(&w);
}
KC_TEST(an_actor_finds_its_handle_stored) { rt_with_workers(handle_first_with); }

/* Its handler is stopped, or cancelled from above, in the middle of a message, and then answers. */
typedef struct interrupted {
    kc_actor *actor;
    kc_cancel *above; /* NULL: the actor is stopped */
    int answer, stop, told;
} interrupted;

static int is_ended_meanwhile(void *arg, const kc_actor_message *m) {
    interrupted *i = arg;

    (void)m;
    if (i->above != NULL)
        KC_CHECK_EQ(kc_cancel_trigger(i->above, 0), KC_OK);
    i->stop = kc_actor_stop(i->actor);
    return i->answer;
}

static void notes_what_is_told(void *arg, int code) { ((interrupted *)arg)->told = code; }

static void answers_with(world *w, interrupted *i, int expected) {
    kc_channel_config config = {.kind = KC_KIND_BUFFERED, .capacity = 2, .elem_size = 4};
    kc_actor_config wanted = {
        .fn = is_ended_meanwhile, .on_done = notes_what_is_told, .arg = i, .cancel = i->above};
    uint32_t value = 0;
    int code = 1;

    KC_REQUIRE(kc_channel_make(w->hub, &config, &wanted.channel) == KC_OK);
    KC_REQUIRE(kc_channel_send(wanted.channel, &value, sizeof value, KC_NEVER) == KC_OK);
    KC_REQUIRE(kc_channel_send(wanted.channel, &value, sizeof value, KC_NEVER) == KC_OK);
    KC_REQUIRE(kc_actor_start(w->sched, &wanted, &i->actor) == KC_OK);
    KC_CHECK_EQ(kc_actor_wait(i->actor, KC_NEVER, &code), KC_OK);
    KC_CHECK_EQ(code, expected);
    KC_CHECK_EQ(i->told, expected);
    KC_CHECK_EQ(kc_actor_count(i->actor), 1);
    KC_CHECK_EQ(kc_channel_depth(wanted.channel), 1);
    kc_actor_free(i->actor);
    kc_channel_drop(wanted.channel);
}

static void own_code_with(uint32_t workers) {
    static const int answers[] = {KC_OK, 7, KC_ECANCELED, KC_EPIPE, KC_EPROTO, -4711};
    world w = begin(workers);

    for (size_t k = 0; k < sizeof answers / sizeof answers[0]; k++) {
        interrupted i = {.answer = answers[k], .told = 1};
        answers_with(&w, &i, answers[k] < 0 ? answers[k] : KC_OK);
        KC_CHECK_EQ(i.stop, KC_OK);
    }
    end(&w);
}
KC_TEST(what_a_handler_answers_after_a_stop_is_its_actors_code) { rt_with_workers(own_code_with); }

static void cancelled_first_with(uint32_t workers) {
    world w = begin(workers);
    interrupted i = {.answer = KC_OK, .told = 1};

    KC_REQUIRE(kc_cancel_make(NULL, &i.above) == KC_OK);
    answers_with(&w, &i, KC_ECANCELED);
    KC_CHECK_EQ(i.stop, KC_EBUSY);
    kc_cancel_drop(i.above);
    end(&w);
}
KC_TEST(a_stop_that_came_after_a_cancel_from_above_makes_no_stop_of_it) { rt_with_workers(cancelled_first_with); }

int main(void) {
    KC_RUN(a_scope_waits_for_its_children);
    KC_RUN(leaving_a_scope_leaves_no_child);
    KC_RUN(all_who_wait_for_a_scope_are_told);
    KC_RUN(a_cancel_reaches_scopes_in_scopes);
    KC_RUN(a_producer_closes_its_channel_when_it_returns);
    KC_RUN(what_cannot_be_started_is_refused);
    KC_RUN(an_actor_deals_with_each_message_once_on_every_kind);
    KC_RUN(stop_cancel_destroy_and_refusal_end_an_actor_once);
    KC_RUN(an_actor_in_a_scope_ends_with_it);
    KC_RUN(an_idle_actor_is_never_run);
    KC_RUN(an_actor_finds_its_handle_stored);
    KC_RUN(what_a_handler_answers_after_a_stop_is_its_actors_code);
    KC_RUN(a_stop_that_came_after_a_cancel_from_above_makes_no_stop_of_it);
    return kc_test_report();
}
