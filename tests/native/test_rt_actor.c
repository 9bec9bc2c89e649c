/* test_rt_actor.c: what ended an actor, as far as several wanted it; actors of memory and of the latest value; actors
 * of a scope that have a name and a cancel of their own. */
#include <pthread.h>

#include "kc_rt.h"
#include "kcoro/kc_actor.h"
#include "runtime/kc_hub.h"

typedef struct stage {
    kc_hub *hub;
    kc_sched *sched;
    kc_channel *channel;
    kc_actor *actor;
    kc_cancel *above;
    _Atomic uint32_t inside, may_go, done;
    uint32_t sum, reason;
    int code;
    char name[KC_CO_NAME_BYTES];
} stage;

static void begin(stage *s, uint32_t workers, kc_channel_config config) {
    *s = (stage){.sched = rt_sched(workers)};
    KC_REQUIRE(kc_hub_make(NULL, &s->hub) == KC_OK && kc_channel_make(s->hub, &config, &s->channel) == KC_OK);
    KC_REQUIRE(kc_cancel_make(NULL, &s->above) == KC_OK);
}

static void end(stage *s) {
    kc_engine_usage usage;

    kc_actor_free(s->actor);
    kc_sched_free(s->sched);
    kc_channel_drop(s->channel);
    kc_cancel_drop(s->above);
    kc_engine_measure(kc_hub_engine(s->hub), &usage);
    KC_CHECK_EQ(usage.channels + usage.tokens + usage.messages + usage.parked, 0);
    kc_hub_free(s->hub);
}

static void is_done(void *arg, int code) {
    stage *s = arg;

    s->code = code;
    (void)snprintf(s->name, sizeof s->name, "%s", kc_co_name(kc_co_self()));
    (void)atomic_fetch_add(&s->done, 1);
}

/* It is in the middle of a message until it may go on. */
static int stays_inside(void *arg, const kc_actor_message *m) {
    stage *s = arg;

    (void)m;
    atomic_store(&s->inside, 1);
    while (atomic_load(&s->may_go) == 0)
        kc_co_yield();
    return KC_OK;
}

static kc_actor_config config_of(stage *s, kc_actor_fn fn, kc_cancel *cancel) {
    return (kc_actor_config){.channel = s->channel, .fn = fn, .on_done = is_done, .arg = s, .cancel = cancel};
}

/* ---- who was first ---- */

static const kc_channel_config buffered = {.kind = KC_KIND_BUFFERED, .capacity = 4, .elem_size = 4};

/* An actor that is in the middle of a message. */
static void begin_inside(stage *s, uint32_t workers) {
    kc_actor_config config;
    uint32_t value = 1;

    begin(s, workers, buffered);
    config = config_of(s, stays_inside, s->above);
    KC_REQUIRE(kc_actor_start(s->sched, &config, &s->actor) == KC_OK);
    KC_CHECK_EQ(kc_channel_send(s->channel, &value, sizeof value, KC_NEVER), KC_OK);
    rt_until(&s->inside, 1);
}

static void ends_with(stage *s, int expected) {
    int code = 1;

    atomic_store(&s->may_go, 1);
    KC_CHECK_EQ(kc_actor_wait(s->actor, KC_NEVER, &code), KC_OK);
    KC_CHECK_EQ(code, expected);
    KC_CHECK_EQ(s->code, expected);
    KC_CHECK_EQ(s->done, 1);
    KC_CHECK_EQ(kc_actor_count(s->actor), 1);
    end(s);
}

static void first_one_counts_with(uint32_t workers) {
    stage s;

    begin_inside(&s, workers); /* a cancel above it, then a stop */
    KC_CHECK_EQ(kc_cancel_trigger(s.above, KC_REASON_SHUTDOWN), KC_OK);
    KC_CHECK_EQ(kc_actor_stop(s.actor), KC_EBUSY);
    ends_with(&s, KC_ECANCELED);
    begin_inside(&s, workers); /* the reverse */
    KC_CHECK_EQ(kc_actor_stop(s.actor), KC_OK);
    KC_CHECK_EQ(kc_cancel_trigger(s.above, KC_REASON_SHUTDOWN), KC_OK);
    KC_CHECK_EQ(kc_actor_stop(s.actor), KC_EBUSY);
    ends_with(&s, KC_OK);
    begin_inside(&s, workers); /* its own cancel, then a stop */
    KC_CHECK_EQ(kc_actor_cancel(s.actor, 0), KC_OK);
    KC_CHECK_EQ(kc_actor_stop(s.actor), KC_EBUSY);
    ends_with(&s, KC_ECANCELED);
    begin_inside(&s, workers); /* its channel is destroyed, then a stop */
    KC_CHECK_EQ(kc_channel_destroy(s.channel, 0), KC_OK);
    KC_CHECK_EQ(kc_actor_stop(s.actor), KC_EBUSY);
    ends_with(&s, KC_ECANCELED);
    begin_inside(&s, workers); /* the reverse */
    KC_CHECK_EQ(kc_actor_stop(s.actor), KC_OK);
    KC_CHECK_EQ(kc_channel_destroy(s.channel, 0), KC_OK);
    ends_with(&s, KC_OK);
    begin_inside(&s, workers); /* its channel is destroyed, it ends, and then comes the stop */
    KC_CHECK_EQ(kc_channel_destroy(s.channel, 0), KC_OK);
    atomic_store(&s.may_go, 1);
    KC_CHECK_EQ(kc_actor_wait(s.actor, KC_NEVER, NULL), KC_OK);
    KC_CHECK_EQ(kc_actor_stop(s.actor), KC_EBUSY);
    ends_with(&s, KC_ECANCELED);
}
KC_TEST(an_actor_was_stopped_only_if_nothing_else_ended_it_before) { rt_with_workers(first_one_counts_with); }

/* A stop and a cancel from above at once: the stop's answer and the actor's code agree. */
static void *triggers_above(void *arg) {
    stage *s = arg;

    rt_until(&s->may_go, 1);
    (void)kc_cancel_trigger(s->above, 0);
    return NULL;
}

static int ignores(void *arg, const kc_actor_message *m) {
    (void)arg;
    (void)m;
    return KC_OK;
}

static void at_once_with(uint32_t workers) {
    for (int i = 0; i < 300 / RT_SCALE; i++) {
        stage s;
        kc_actor_config config;
        pthread_t thread;
        int stopped = 0, code = 1;
        begin(&s, workers, buffered);
        config = config_of(&s, ignores, s.above);
        KC_REQUIRE(kc_actor_start(s.sched, &config, &s.actor) == KC_OK);
        KC_REQUIRE(pthread_create(&thread, NULL, triggers_above, &s) == 0);
        atomic_store(&s.may_go, 1);
        stopped = kc_actor_stop(s.actor);
        KC_CHECK_EQ(kc_actor_wait(s.actor, KC_NEVER, &code), KC_OK);
        KC_CHECK_EQ(code, stopped == KC_OK ? KC_OK : KC_ECANCELED);
        KC_REQUIRE(pthread_join(thread, NULL) == 0);
        end(&s);
    }
}
KC_TEST(a_stop_that_meets_a_cancel_says_which_of_them_it_was) { at_once_with(2); }

/* ---- the reason of a cancel, as a channel sees it that an actor receives from ---- */

typedef struct asking {
    kc_channel base;
    _Atomic uint32_t asked;
    uint32_t reason;
} asking;

static int notes_the_reason(kc_channel_clause *clause, const kc_asked *asked) {
    asking *a = (asking *)(void *)clause->channel;

    atomic_store(&a->asked, 1);
    KC_CHECK_EQ(kc_cancel_wait(asked->cancel, KC_NEVER), KC_OK);
    a->reason = kc_cancel_reason(asked->cancel);
    return KC_ECANCELED;
}

static void is_freed_unnoticed(kc_channel *channel) { (void)channel; }

KC_TEST(an_actor_is_cancelled_for_the_reason_that_was_given) {
    static const kc_channel_ops ops = {.operate = notes_the_reason, .free = is_freed_unnoticed};
    asking a = {.base = {.ops = &ops, .refs = 1, .elem_bytes = 4}};
    kc_sched *sched = rt_sched(1);
    kc_actor_config config = {.channel = &a.base, .fn = ignores};
    kc_actor *actor = NULL;
    int code = 1;

    KC_REQUIRE(kc_actor_start(sched, &config, &actor) == KC_OK);
    rt_until(&a.asked, 1); /* one that was cancelled before does not ask */
    KC_CHECK_EQ(kc_actor_cancel(actor, KC_REASON_SHUTDOWN), KC_OK);
    KC_CHECK_EQ(kc_actor_wait(actor, KC_NEVER, &code), KC_OK);
    KC_CHECK_EQ(code, KC_ECANCELED);
    KC_CHECK_EQ(a.reason, KC_REASON_SHUTDOWN);
    kc_actor_free(actor);
    kc_sched_free(sched);
}

static int counts_one(void *arg, const kc_actor_message *m) {
    (void)m;
    ((stage *)arg)->sum++;
    return KC_OK;
}

static void adds_reason(void *arg, uint32_t reason) { ((stage *)arg)->reason += reason; }

KC_TEST(a_scope_is_cancelled_for_the_reason_that_was_given) {
    stage s;
    kc_task_scope *scope = NULL;
    kc_cancel_hook hook = {.fn = adds_reason, .arg = &s};

    begin(&s, 1, buffered);
    KC_REQUIRE(kc_task_scope_make(s.sched, NULL, &scope) == KC_OK);
    KC_CHECK_EQ(kc_cancel_add(kc_task_scope_cancel_of(scope), &hook), KC_OK);
    KC_CHECK_EQ(kc_task_scope_cancel(scope, KC_REASON_SHUTDOWN), KC_OK);
    KC_CHECK_EQ(s.reason, KC_REASON_SHUTDOWN);
    KC_CHECK_EQ(kc_cancel_reason(kc_task_scope_cancel_of(scope)), KC_REASON_SHUTDOWN);
    KC_CHECK_EQ(kc_cancel_forget(&hook), KC_ENOENT);
    kc_task_scope_destroy(scope);
    end(&s);
}

/* ---- memory, and the latest value ---- */

static int adds_up_memory(void *arg, const kc_actor_message *m) {
    stage *s = arg;
    const uint32_t *value = (const uint32_t *)(uintptr_t)m->desc.offset;

    KC_CHECK_EQ(m->len_bytes, 0);
    KC_CHECK_EQ(m->desc.len_bytes, sizeof *value);
    s->sum = 10 * s->sum + *value;
    return KC_OK;
}

static void memory_with(uint32_t workers) {
    static uint32_t values[4] = {1, 2, 3, 4};
    stage s;
    kc_actor_config config;
    int code = 1;

    begin(&s, workers, (kc_channel_config){.kind = KC_KIND_RENDEZVOUS});
    config = config_of(&s, adds_up_memory, NULL);
    KC_REQUIRE(kc_actor_start(s.sched, &config, &s.actor) == KC_OK);
    for (int i = 0; i < 4; i++)
        KC_CHECK_EQ(kc_channel_send_ptr(s.channel, &values[i], sizeof values[i], KC_NEVER), KC_OK);
    KC_CHECK_EQ(kc_channel_close(s.channel), KC_OK);
    KC_CHECK_EQ(kc_actor_wait(s.actor, KC_NEVER, &code), KC_OK);
    KC_CHECK_EQ(code, KC_EPIPE);
    KC_CHECK_EQ(s.sum, 1234);
    end(&s);
}
KC_TEST(an_actor_of_memory_is_handed_each_descriptor_in_order) { rt_with_workers(memory_with); }

static int stays_then_keeps(void *arg, const kc_actor_message *m) {
    stage *s = arg;

    s->sum = 10 * s->sum + *(const uint32_t *)m->data;
    return stays_inside(arg, m);
}

static void latest_with(uint32_t workers) {
    stage s;
    kc_actor_config config;
    int code = 1;

    begin(&s, workers, (kc_channel_config){.kind = KC_KIND_CONFLATED, .elem_size = 4});
    config = config_of(&s, stays_then_keeps, NULL);
    KC_REQUIRE(kc_actor_start(s.sched, &config, &s.actor) == KC_OK);
    for (uint32_t value = 1; value <= 4; value++) {
        KC_CHECK_EQ(kc_channel_send(s.channel, &value, sizeof value, KC_NEVER), KC_OK);
        rt_until(&s.inside, 1); /* it deals with the first: the others come meanwhile */
    }
    KC_CHECK_EQ(kc_channel_close(s.channel), KC_OK);
    atomic_store(&s.may_go, 1);
    KC_CHECK_EQ(kc_actor_wait(s.actor, KC_NEVER, &code), KC_OK);
    KC_CHECK_EQ(code, KC_EPIPE);
    KC_CHECK_EQ(s.sum, 14);
    KC_CHECK_EQ(kc_actor_count(s.actor), 2);
    end(&s);
}
KC_TEST(an_actor_of_a_conflated_channel_is_handed_the_latest) { rt_with_workers(latest_with); }

/* ---- of a scope ---- */

typedef enum by { BY_SCOPE, BY_OWN, BY_OWN_BEFORE, BY_BELOW } by;

static void launched(uint32_t workers, by how) {
    stage s;
    char name[] = "a name that is gone";
    kc_task_scope *scope = NULL;
    kc_cancel *own = NULL;
    kc_actor_config config;
    uint32_t value = 1;

    begin(&s, workers, buffered);
    KC_REQUIRE(kc_task_scope_make(s.sched, s.above, &scope) == KC_OK);
    KC_REQUIRE(kc_cancel_make(how == BY_BELOW ? kc_task_scope_cancel_of(scope) : NULL, &own) == KC_OK);
    config = config_of(&s, counts_one, own);
    config.name = name;
    if (how == BY_OWN_BEFORE)
        KC_CHECK_EQ(kc_cancel_trigger(own, 0), KC_OK);
    KC_CHECK_EQ(kc_actor_launch(scope, &config), KC_OK);
    memset(name, 'x', sizeof name - 1); /* the caller's, who may do with it what it wants */
    KC_CHECK_EQ(kc_channel_send(s.channel, &value, sizeof value, KC_NEVER), KC_OK);
    while (how != BY_OWN_BEFORE && kc_channel_depth(s.channel) != 0)
        (void)sched_yield();
    if (how == BY_OWN || how == BY_BELOW)
        KC_CHECK_EQ(kc_cancel_trigger(own, 0), KC_OK);
    if (how == BY_SCOPE)
        KC_CHECK_EQ(kc_cancel_trigger(s.above, KC_REASON_SHUTDOWN), KC_OK);
    kc_cancel_drop(own);
    KC_CHECK_EQ(kc_task_scope_wait(scope, KC_NEVER), KC_OK);
    KC_CHECK_EQ(s.done, 1);
    KC_CHECK_EQ(s.code, KC_ECANCELED);
    KC_CHECK_EQ(s.sum, how == BY_OWN_BEFORE ? 0 : 1);
    KC_CHECK_STR(s.name, "a name that is gone");
    kc_task_scope_destroy(scope);
    end(&s);
}

static void either_ends_it_with(uint32_t workers) {
    for (by how = BY_SCOPE; how <= BY_BELOW; how++)
        launched(workers, how);
}
KC_TEST(an_actor_of_a_scope_has_its_name_and_ends_by_the_scopes_cancel_or_its_own) {
    rt_with_workers(either_ends_it_with);
}

KC_TEST(an_actor_is_not_begun_in_a_scope_that_was_cancelled) {
    stage s;
    kc_task_scope *scope = NULL;
    kc_actor_config config;

    begin(&s, 1, buffered);
    KC_REQUIRE(kc_task_scope_make(s.sched, NULL, &scope) == KC_OK);
    config = config_of(&s, ignores, s.above);
    KC_CHECK_EQ(kc_task_scope_cancel(scope, 0), KC_OK);
    KC_CHECK_EQ(kc_actor_launch(scope, &config), KC_ECANCELED);
    KC_CHECK_EQ(s.done, 0);
    kc_task_scope_destroy(scope);
    KC_CHECK_EQ(kc_cancel_trigger(s.above, 0), KC_OK); /* nothing of it hangs there */
    end(&s);
}

/* ---- its channel is given back before anybody is told of its end: the channel's hub may go then ---- */

typedef struct frail {
    kc_channel base;
    kc_actor *actor;
    _Atomic uint32_t may_end, freed;
} frail;

static int ends_when_it_may(kc_channel_clause *clause, const kc_asked *asked) {
    (void)asked;
    while (atomic_load(&((frail *)(void *)clause->channel)->may_end) == 0)
        kc_co_yield();
    return KC_EPIPE;
}

static void is_freed(kc_channel *channel) {
    frail *f = (frail *)(void *)channel;

    KC_CHECK_EQ(kc_actor_wait(f->actor, kc_now_ns(), NULL), KC_ETIME);
    (void)atomic_fetch_add(&f->freed, 1);
}

KC_TEST(an_actor_gives_its_channel_back_before_its_end_is_told) {
    static const kc_channel_ops ops = {.operate = ends_when_it_may, .free = is_freed};
    frail f = {.base = {.ops = &ops, .refs = 1, .elem_bytes = 4}};
    kc_sched *sched = rt_sched(1);
    kc_actor_config config = {.channel = &f.base, .fn = ignores};
    int code = 1;

    KC_REQUIRE(kc_actor_start(sched, &config, &f.actor) == KC_OK);
    kc_channel_drop(&f.base); /* the actor alone keeps it now */
    KC_CHECK_EQ(f.freed, 0);
    atomic_store(&f.may_end, 1);
    KC_CHECK_EQ(kc_actor_wait(f.actor, KC_NEVER, &code), KC_OK);
    KC_CHECK_EQ(code, KC_EPIPE);
    KC_CHECK_EQ(f.freed, 1);
    kc_actor_free(f.actor);
    kc_sched_free(sched);
}

int main(void) {
    KC_RUN(an_actor_was_stopped_only_if_nothing_else_ended_it_before);
    KC_RUN(a_stop_that_meets_a_cancel_says_which_of_them_it_was);
    KC_RUN(an_actor_is_cancelled_for_the_reason_that_was_given);
    KC_RUN(a_scope_is_cancelled_for_the_reason_that_was_given);
    KC_RUN(an_actor_of_memory_is_handed_each_descriptor_in_order);
    KC_RUN(an_actor_of_a_conflated_channel_is_handed_the_latest);
    KC_RUN(an_actor_of_a_scope_has_its_name_and_ends_by_the_scopes_cancel_or_its_own);
    KC_RUN(an_actor_gives_its_channel_back_before_its_end_is_told);
    KC_RUN(an_actor_is_not_begun_in_a_scope_that_was_cancelled);
    return kc_test_report();
}
