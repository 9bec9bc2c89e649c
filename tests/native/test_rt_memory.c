/* test_rt_memory.c: every request of each call that makes or begins something may be refused (kc_attempt.h). */
#include "kc_attempt.h"
#include "kcoro/kc_actor.h"
#include "kcoro/kc_io.h"
#include "kcoro/kc_timer.h"

/* ---- coroutines, schedulers ---- */

static void runs(void *arg) {
    if (arg != NULL)
        (void)atomic_fetch_add((_Atomic uint32_t *)arg, 1);
}

static int makes_a_coroutine(world *w) {
    _Atomic uint32_t ran = 0;
    kc_co_config config = {.fn = runs, .arg = &ran, .stack_bytes = RT_STACK_BYTES};
    kc_co *co = NULL;
    int rc = kc_co_make(&config, &co);

    (void)w;
    KC_CHECK_EQ(co != NULL, rc == KC_OK);
    if (rc == KC_OK)
        KC_CHECK_EQ(kc_co_resume(co), KC_OK);
    KC_CHECK_EQ(ran, rc == KC_OK);
    kc_co_drop(co);
    return rc;
}
KC_TEST(a_coroutine_for_which_there_is_no_memory) { every_request_may_fail(makes_a_coroutine, false, 3); }

static int makes_a_scheduler_of(uint32_t workers) {
    kc_sched_config config = {.workers = workers, .stack_bytes = RT_STACK_BYTES};
    _Atomic uint32_t ran = 0;
    kc_sched *sched = NULL;
    int rc = kc_sched_make(&config, &sched);

    KC_CHECK_EQ(sched != NULL, rc == KC_OK);
    if (rc == KC_OK)
        rc = kc_sched_spawn(sched, runs, &ran, NULL);
    kc_sched_free(sched);
    KC_CHECK_EQ(ran, rc == KC_OK);
    return rc;
}
static int makes_one_worker(world *w) {
    (void)w;
    return makes_a_scheduler_of(1);
}
static int makes_three_workers(world *w) {
    (void)w;
    return makes_a_scheduler_of(3);
}
KC_TEST(a_scheduler_for_which_there_is_no_memory_or_thread) {
    every_request_may_fail(makes_one_worker, false, 9);
    every_request_may_fail(makes_three_workers, false, 13);
}

static int spawns(world *w) {
    _Atomic uint32_t ran = 0;
    kc_co_config large = {.fn = runs, .arg = &ran, .stack_bytes = 2 * RT_STACK_BYTES};
    kc_co *co = NULL;
    int rc = kc_sched_spawn(w->sched, runs, &ran, &co);
    uint32_t accepted = rc == KC_OK;

    KC_CHECK_EQ(co != NULL, rc == KC_OK);
    if (rc == KC_OK)
        rc = kc_sched_spawn_as(w->sched, &large, NULL);
    accepted += rc == KC_OK;
    KC_CHECK_EQ(kc_sched_drain(w->sched, KC_NEVER), KC_OK);
    KC_CHECK_EQ(ran, accepted);
    kc_co_drop(co);
    return rc;
}
KC_TEST(a_spawn_for_which_there_is_no_memory_runs_nothing) { every_request_may_fail(spawns, true, 6); }

/* ---- times, files, calls that block ---- */

static int sleeps(world *w) {
    (void)w;
    return kc_sleep_ns(100000);
}
static int sleeps_in_a_coroutine(world *w) { return in_coroutine(w, sleeps); }
KC_TEST(a_sleep_for_which_there_is_no_clock) { every_request_may_fail(sleeps_in_a_coroutine, true, 9); }

static int is_woken(world *w) {
    kc_ticket timer = 0;
    int rc = kc_timer_wake_after(kc_co_self(), 100000, &timer);

    (void)w;
    if (rc == KC_OK)
        rc = kc_co_park();
    return rc;
}
static int is_woken_in_a_coroutine(world *w) { return in_coroutine(w, is_woken); }
KC_TEST(a_timer_for_which_there_is_no_memory) { every_request_may_fail(is_woken_in_a_coroutine, true, 10); }

/* One worker: whoever waits is told that it cannot, if it cannot, before what it waits for happens. */
static void lets_others_go_first(void) {
    for (int i = 0; i < 3; i++)
        kc_co_yield();
}

typedef struct letter {
    const world *w;
    bool written;
} letter;

static void writes_a_letter(void *arg) {
    letter *l = arg;

    lets_others_go_first();
    KC_REQUIRE(write(l->w->writes, "x", 1) == 1);
    l->written = true;
}

static int waits_for_a_file(world *w) {
    letter l = {.w = w};
    char byte = 0;
    int rc = KC_OK;

    KC_REQUIRE(read(w->file, &byte, 1) == 1);
    rc = kc_sched_spawn(w->sched, writes_a_letter, &l, NULL);
    if (rc != KC_OK) {
        KC_REQUIRE(write(w->writes, "x", 1) == 1);
        return rc;
    }
    rc = kc_io_wait(w->file, KC_IO_READABLE, in_an_hour());
    while (!l.written)
        kc_co_yield();
    return rc == KC_IO_READABLE ? KC_OK : rc;
}
static int waits_for_a_file_in_a_coroutine(world *w) { return in_coroutine(w, waits_for_a_file); }
KC_TEST(a_wait_for_a_file_that_cannot_be_watched) { every_request_may_fail(waits_for_a_file_in_a_coroutine, true, 11); }

static int blocks(world *w) {
    _Atomic uint32_t ran = 0;
    int rc = kc_block_call(runs, &ran);

    (void)w;
    KC_CHECK_EQ(ran, rc == KC_OK);
    return rc;
}
static int blocks_in_a_coroutine(world *w) { return in_coroutine(w, blocks); }
KC_TEST(a_call_for_which_there_is_no_thread) { every_request_may_fail(blocks_in_a_coroutine, true, 5); }

/* ---- cancels, scopes, actors ---- */

static int makes_cancels(world *w) {
    kc_cancel *root = NULL, *child = NULL;
    int rc = kc_cancel_make(NULL, &root);

    (void)w;
    if (rc == KC_OK)
        rc = kc_cancel_make(root, &child);
    if (root != NULL)
        KC_CHECK_EQ(kc_cancel_trigger(root, 0), KC_OK);
    KC_CHECK_EQ(kc_cancel_is_set(child), rc == KC_OK);
    kc_cancel_drop(child);
    kc_cancel_drop(root);
    return rc;
}
KC_TEST(a_cancel_for_which_there_is_no_memory) { every_request_may_fail(makes_cancels, false, 2); }

static void triggers(void *arg) {
    lets_others_go_first();
    KC_CHECK_EQ(kc_cancel_trigger(arg, 0), KC_OK);
    kc_cancel_drop(arg);
}

static int waits_for_a_cancel(world *w) {
    kc_cancel *cancel = NULL;
    int rc = kc_cancel_make(NULL, &cancel);

    if (rc == KC_OK) {
        kc_cancel_keep(cancel);
        rc = kc_sched_spawn(w->sched, triggers, cancel, NULL);
        if (rc != KC_OK)
            kc_cancel_drop(cancel);
    }
    if (rc == KC_OK)
        rc = kc_cancel_wait(cancel, in_an_hour());
    kc_cancel_drop(cancel);
    return rc;
}
static int waits_for_a_cancel_in_a_coroutine(world *w) { return in_coroutine(w, waits_for_a_cancel); }
KC_TEST(a_deadline_that_cannot_be_set) { every_request_may_fail(waits_for_a_cancel_in_a_coroutine, true, 13); }

static void counts_child(kc_task_scope *scope, void *arg) {
    (void)scope;
    lets_others_go_first();
    runs(arg);
}

typedef struct product {
    uint32_t value;
    int code;
} product;

static void sends_one(kc_task_scope *scope, kc_channel *channel, void *arg) {
    product *p = arg;

    (void)scope;
    p->code = kc_channel_try_send(channel, &p->value, sizeof p->value); /* the channel's storage is memory too */
}

static int lives_in_a_scope(world *w) {
    kc_channel_config config = {.kind = KC_KIND_BUFFERED, .capacity = 1, .elem_size = 4};
    kc_task_scope *scope = NULL;
    kc_channel *channel = NULL;
    _Atomic uint32_t ran = 0;
    product p = {.value = 7};
    int rc = kc_task_scope_make(w->sched, NULL, &scope);

    if (rc == KC_OK)
        rc = kc_task_launch(scope, counts_child, &ran);
    KC_CHECK(rc == KC_OK || scope == NULL || kc_task_scope_children(scope) == 0);
    if (rc == KC_OK)
        rc = kc_task_produce(scope, w->hub, &config, sends_one, &p, &channel);
    KC_CHECK_EQ(channel != NULL, rc == KC_OK);
    if (rc == KC_OK)
        rc = kc_task_scope_wait(scope, in_an_hour()); /* of a coroutine: needs the clock */
    kc_task_scope_destroy(scope);
    if (rc == KC_OK)
        rc = p.code;
    kc_channel_drop(channel);
    return rc;
}
static int lives_in_a_scope_in_a_coroutine(world *w) { return in_coroutine(w, lives_in_a_scope); }
KC_TEST(a_scope_a_child_and_a_producer_for_which_there_is_no_memory) {
    every_request_may_fail(lives_in_a_scope, true, 9);
    every_request_may_fail(lives_in_a_scope_in_a_coroutine, true, 18);
}

static int deals(void *arg, const kc_actor_message *message) {
    (void)message;
    runs(arg);
    return KC_OK;
}

static int acts(world *w) {
    kc_channel_config config = {.kind = KC_KIND_RENDEZVOUS, .elem_size = 4};
    _Atomic uint32_t dealt = 0;
    kc_actor_config actor = {.fn = deals, .arg = &dealt, .name = "actor"};
    kc_task_scope *scope = NULL;
    kc_actor *started = NULL;
    int rc = kc_channel_make(w->hub, &config, &actor.channel);

    if (rc == KC_OK)
        rc = kc_task_scope_make(w->sched, NULL, &scope);
    if (rc == KC_OK)
        rc = kc_actor_start(w->sched, &actor, &started);
    KC_CHECK_EQ(started != NULL, rc == KC_OK);
    if (rc == KC_OK)
        rc = kc_actor_launch(scope, &actor);
    if (actor.channel != NULL)
        KC_CHECK_EQ(kc_channel_close(actor.channel), KC_OK);
    kc_actor_free(started);
    kc_task_scope_destroy(scope);
    kc_channel_drop(actor.channel);
    return rc;
}
KC_TEST(an_actor_for_which_there_is_no_memory) { every_request_may_fail(acts, true, 16); }

/* ---- hubs, channels ---- */

static int makes_a_hub(world *w) {
    kc_hub *hub = NULL;
    int rc = kc_hub_make(NULL, &hub);

    (void)w;
    KC_CHECK_EQ(hub != NULL, rc == KC_OK);
    kc_hub_free(hub);
    return rc;
}
KC_TEST(a_hub_for_which_there_is_no_memory) { every_request_may_fail(makes_a_hub, false, 3); }

static int sends_and_receives(world *w) {
    kc_channel_config config = {.kind = KC_KIND_BUFFERED, .capacity = 2, .elem_size = 4};
    kc_channel *channel = NULL;
    uint32_t sent = 7, got = 0;
    int rc = kc_channel_make(w->hub, &config, &channel);

    KC_CHECK_EQ(channel != NULL, rc == KC_OK);
    if (rc == KC_OK && (rc = kc_channel_send(channel, &sent, sizeof sent, KC_NEVER)) != KC_OK)
        KC_CHECK_EQ(kc_channel_depth(channel), 0);
    if (rc == KC_OK)
        KC_CHECK_EQ(kc_channel_recv(channel, &got, sizeof got, NULL, KC_NEVER), KC_OK); /* asks for nothing */
    KC_CHECK_EQ(got, rc == KC_OK ? 7 : 0);
    kc_channel_drop(channel);
    return rc;
}
KC_TEST(a_channel_for_which_there_is_no_memory) { every_request_may_fail(sends_and_receives, true, 1); }

static int hands_over_memory(world *w) {
    kc_channel_config config = {.kind = KC_KIND_UNLIMITED};
    kc_channel *channel = NULL;
    void *got = NULL;
    int rc = kc_channel_make(w->hub, &config, &channel);

    if (rc == KC_OK)
        rc = kc_channel_send_ptr(channel, w, sizeof *w, KC_NEVER);
    if (rc == KC_OK)
        rc = kc_channel_recv_ptr(channel, &got, NULL, KC_NEVER);
    KC_CHECK_EQ(got == w, rc == KC_OK);
    kc_channel_drop(channel);
    return rc;
}
KC_TEST(memory_that_cannot_be_handed_over_stays_its_senders) { every_request_may_fail(hands_over_memory, true, 1); }

typedef struct meeting {
    kc_channel *channels[2];
    int met;
} meeting;

static void meets(void *arg) {
    meeting *m = arg;
    uint32_t value = 7;

    lets_others_go_first();
    m->met = kc_channel_try_send(m->channels[1], &value, sizeof value);
}

static int waits_for_one_of_two(meeting *m, uint32_t *got) {
    kc_channel_clause clauses[2];
    uint32_t index = 2;
    int rc = KC_OK;

    for (int i = 0; i < 2; i++)
        clauses[i] = (kc_channel_clause){
            .channel = m->channels[i], .dir = KC_CLAUSE_RECV, .buffer = got, .buffer_bytes = sizeof *got};
    rc = kc_channel_select(clauses, 2, 0, in_an_hour(), NULL, &index);
    KC_CHECK_EQ(index == 1 && *got == 7, rc == KC_OK);
    return rc;
}

static int selects(world *w) {
    kc_channel_config config = {.kind = KC_KIND_RENDEZVOUS, .elem_size = 4};
    meeting m = {.met = 1};
    uint32_t got = 0;
    int rc = kc_channel_make(w->hub, &config, &m.channels[0]);

    if (rc == KC_OK)
        rc = kc_channel_make(w->hub, &config, &m.channels[1]);
    if (rc == KC_OK && (rc = kc_sched_spawn(w->sched, meets, &m, NULL)) == KC_OK) {
        rc = waits_for_one_of_two(&m, &got);
        while (m.met == 1)
            kc_co_yield();
        KC_CHECK_EQ(m.met, rc == KC_OK ? KC_OK : KC_EAGAIN); /* nobody is left waiting */
    }
    for (int i = 0; i < 2; i++)
        kc_channel_drop(m.channels[i]);
    return rc;
}
static int selects_in_a_coroutine(world *w) { return in_coroutine(w, selects); }
KC_TEST(a_select_whose_wait_or_deadline_cannot_be_had) { every_request_may_fail(selects_in_a_coroutine, true, 14); }

int main(void) {
    KC_RUN(a_coroutine_for_which_there_is_no_memory);
    KC_RUN(a_scheduler_for_which_there_is_no_memory_or_thread);
    KC_RUN(a_spawn_for_which_there_is_no_memory_runs_nothing);
    KC_RUN(a_sleep_for_which_there_is_no_clock);
    KC_RUN(a_timer_for_which_there_is_no_memory);
    KC_RUN(a_wait_for_a_file_that_cannot_be_watched);
    KC_RUN(a_call_for_which_there_is_no_thread);
    KC_RUN(a_cancel_for_which_there_is_no_memory);
    KC_RUN(a_deadline_that_cannot_be_set);
    KC_RUN(a_scope_a_child_and_a_producer_for_which_there_is_no_memory);
    KC_RUN(an_actor_for_which_there_is_no_memory);
    KC_RUN(a_hub_for_which_there_is_no_memory);
    KC_RUN(a_channel_for_which_there_is_no_memory);
    KC_RUN(memory_that_cannot_be_handed_over_stays_its_senders);
    KC_RUN(a_select_whose_wait_or_deadline_cannot_be_had);
    return kc_test_report();
}
