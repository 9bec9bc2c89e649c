/* test_rt_actor_once.c: actors deal with each message once, in order, and end once, whatever their channel is. What
 * ended an actor that several wanted to end: test_rt_actor.c. */
#include "kc_asleep.h"
#include "kc_rt_world.h"
#include "kcoro/kc_actor.h"

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
    KC_RUN(an_actor_deals_with_each_message_once_on_every_kind);
    KC_RUN(stop_cancel_destroy_and_refusal_end_an_actor_once);
    KC_RUN(an_actor_in_a_scope_ends_with_it);
    KC_RUN(an_idle_actor_is_never_run);
    KC_RUN(an_actor_finds_its_handle_stored);
    KC_RUN(what_a_handler_answers_after_a_stop_is_its_actors_code);
    KC_RUN(a_stop_that_came_after_a_cancel_from_above_makes_no_stop_of_it);
    return kc_test_report();
}
