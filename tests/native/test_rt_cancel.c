/* test_rt_cancel.c: the tree of cancels, its hooks, and waiting for one. */
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kc_rt.h"
#include "kcoro/kc_channel.h"
#include "kcoro/kc_io.h"

static kc_cancel *make(kc_cancel *parent) {
    kc_cancel *c = NULL;

    KC_REQUIRE(kc_cancel_make(parent, &c) == KC_OK);
    return c;
}

KC_TEST(ten_generations_are_set_at_once_and_no_parent_is_touched) {
    enum { DEEP = 10 };
    kc_cancel *line[DEEP];

    for (int i = 0; i < DEEP; i++)
        line[i] = make(i > 0 ? line[i - 1] : NULL);
    kc_cancel *beside = make(line[4]);
    KC_CHECK_EQ(kc_cancel_trigger(line[5], KC_REASON_SHUTDOWN), KC_OK);
    for (int i = 0; i < DEEP; i++) {
        KC_CHECK_EQ(kc_cancel_is_set(line[i]), i >= 5);
        KC_CHECK_EQ(kc_cancel_reason(line[i]), i >= 5 ? KC_REASON_SHUTDOWN : 0);
    }
    KC_CHECK_EQ(kc_cancel_is_set(beside), 0);
    KC_CHECK_EQ(kc_cancel_trigger(line[7], KC_REASON_CANCEL), KC_EBUSY);
    KC_CHECK_EQ(kc_cancel_trigger(line[0], 0), KC_OK);
    KC_CHECK_EQ(kc_cancel_reason(beside), KC_REASON_CANCEL);
    KC_CHECK_EQ(kc_cancel_reason(line[9]), KC_REASON_SHUTDOWN);
    kc_cancel_drop(beside);
    for (int i = 0; i < DEEP; i++) /* parents first: children keep them */
        kc_cancel_drop(line[i]);
}

KC_TEST(the_child_of_a_cancelled_parent_begins_cancelled) {
    kc_cancel *parent = make(NULL);

    KC_CHECK_EQ(kc_cancel_trigger(parent, KC_REASON_DEAD), KC_OK);
    kc_cancel *child = make(parent);
    KC_CHECK_EQ(kc_cancel_reason(child), KC_REASON_DEAD);
    KC_CHECK_EQ(kc_cancel_wait(child, KC_NEVER), KC_OK);
    kc_cancel_drop(parent);
    kc_cancel_drop(child);
    KC_CHECK_EQ(kc_cancel_is_set(NULL), 0);
    kc_cancel_drop(NULL);
}

static void adds_up(void *arg, uint32_t reason) { *(uint32_t *)arg += reason; }

KC_TEST(a_hook_is_called_once_or_forgotten) {
    kc_cancel *root = make(NULL);
    kc_cancel *child = make(root);
    uint32_t sum = 0;
    kc_cancel_hook hooks[3];
    kc_cancel_hook late = {.fn = adds_up, .arg = &sum};
    kc_cancel_hook zero = {0};

    for (int i = 0; i < 3; i++) {
        hooks[i] = (kc_cancel_hook){.fn = adds_up, .arg = &sum};
        KC_CHECK_EQ(kc_cancel_add(i == 1 ? root : child, &hooks[i]), KC_OK);
    }
    KC_CHECK_EQ(kc_cancel_forget(&hooks[0]), KC_OK);
    KC_CHECK_EQ(kc_cancel_forget(&hooks[0]), KC_ENOENT);
    KC_CHECK_EQ(kc_cancel_trigger(root, KC_REASON_PURGED), KC_OK);
    KC_CHECK_EQ(sum, 2 * KC_REASON_PURGED);
    KC_CHECK_EQ(kc_cancel_forget(&hooks[1]), KC_ENOENT);
    KC_CHECK_EQ(kc_cancel_forget(&hooks[2]), KC_ENOENT);
    KC_CHECK_EQ(kc_cancel_add(child, &late), KC_EBUSY);
    KC_CHECK(late.fn == adds_up && late.of == NULL); /* neither installed nor called nor changed */
    KC_CHECK_EQ(kc_cancel_forget(&late), KC_ENOENT);
    KC_CHECK_EQ(kc_cancel_forget(&zero), KC_ENOENT);
    KC_CHECK_EQ(sum, 2 * KC_REASON_PURGED);
    kc_cancel_drop(child);
    kc_cancel_drop(root);
}

KC_TEST(a_hook_keeps_its_cancel_until_it_is_forgotten) {
    kc_cancel *root = make(NULL), *child = make(root);
    uint32_t sum = 0;
    kc_cancel_hook called = {.fn = adds_up, .arg = &sum}, spared = called, late = called;

    KC_CHECK_EQ(kc_cancel_add(child, &called), KC_OK);
    KC_CHECK_EQ(kc_cancel_add(child, &spared), KC_OK);
    kc_cancel_drop(root);
    KC_CHECK_EQ(kc_cancel_forget(&spared), KC_OK);
    KC_CHECK_EQ(kc_cancel_trigger(child, KC_REASON_SHUTDOWN), KC_OK);
    KC_CHECK_EQ(kc_cancel_add(child, &late), KC_EBUSY);
    kc_cancel_drop(child); /* the hook alone knows of it now */
    KC_CHECK_EQ(sum, KC_REASON_SHUTDOWN);
    KC_CHECK_EQ(kc_cancel_forget(&called), KC_ENOENT);
}

typedef struct named_hook {
    kc_cancel_hook hook;
    char name, **end;
} named_hook;

static void writes_its_name(void *arg, uint32_t reason) {
    named_hook *mine = arg;

    KC_CHECK_EQ(reason, KC_REASON_CANCEL);
    *(*mine->end)++ = mine->name;
}

KC_TEST(hooks_are_called_in_the_order_in_which_they_came_and_of_children_in_theirs) {
    kc_cancel *root = make(NULL), *first = make(root), *second = make(root), *gone = make(root);
    kc_cancel *of[6] = {second, root, first, root, second, root};
    named_hook hooks[6];
    char order[8] = "", *end = order;

    for (int i = 0; i < 6; i++) {
        hooks[i] = (named_hook){
            .hook = {.fn = writes_its_name, .arg = &hooks[i]}, .name = (char)('a' + i), .end = &end};
        KC_CHECK_EQ(kc_cancel_add(of[i], &hooks[i].hook), KC_OK);
    }
    KC_CHECK_EQ(kc_cancel_forget(&hooks[5].hook), KC_OK); /* the last one of the root */
    kc_cancel_drop(gone); /* the last child */
    kc_cancel *third = make(root);
    hooks[5].hook.fn = writes_its_name;
    KC_CHECK_EQ(kc_cancel_add(third, &hooks[5].hook), KC_OK);
    KC_CHECK_EQ(kc_cancel_trigger(root, 0), KC_OK);
    KC_CHECK_STR(order, "bdcaef");
    for (int i = 0; i < 6; i++)
        KC_CHECK_EQ(kc_cancel_forget(&hooks[i].hook), KC_ENOENT);
    kc_cancel_drop(first);
    kc_cancel_drop(second);
    kc_cancel_drop(third);
    kc_cancel_drop(root);
}

KC_TEST(children_that_left_between_others_are_missed_by_nobody) {
    kc_cancel *root = make(NULL);
    kc_cancel *child[4] = {make(root), make(root), make(root), make(root)};

    kc_cancel_drop(child[1]);
    kc_cancel_drop(child[2]);
    kc_cancel_drop(child[3]);
    child[1] = make(root);
    child[2] = make(root);
    kc_cancel_drop(child[0]);
    child[0] = make(root);
    KC_CHECK_EQ(kc_cancel_trigger(root, 0), KC_OK);
    for (int i = 0; i < 3; i++) {
        KC_CHECK_EQ(kc_cancel_is_set(child[i]), 1);
        kc_cancel_drop(child[i]);
    }
    kc_cancel_drop(root);
}

typedef struct waiting {
    kc_cancel *cancel;
    _Atomic uint32_t began, woken;
} waiting;

static void waits(void *arg) {
    waiting *w = arg;

    (void)atomic_fetch_add(&w->began, 1);
    KC_CHECK_EQ(kc_cancel_wait(w->cancel, KC_NEVER), KC_OK);
    (void)atomic_fetch_add(&w->woken, 1);
}

static void *waits_in_thread(void *arg) {
    waits(arg);
    return NULL;
}

static void all_who_wait_with(uint32_t workers) {
    enum { WAITERS = 50 };
    waiting w = {.cancel = make(NULL)};
    kc_sched *sched = rt_sched(workers);
    pthread_t thread;

    for (int i = 0; i < WAITERS; i++)
        rt_spawn(sched, waits, &w);
    KC_REQUIRE(pthread_create(&thread, NULL, waits_in_thread, &w) == 0);
    rt_until(&w.began, WAITERS + 1);
    KC_CHECK_EQ(kc_cancel_trigger(w.cancel, 0), KC_OK);
    KC_REQUIRE(pthread_join(thread, NULL) == 0);
    kc_sched_free(sched);
    KC_CHECK_EQ(w.woken, WAITERS + 1);
    kc_cancel_drop(w.cancel);
}
KC_TEST(all_who_wait_for_it_wake_coroutines_and_threads) { rt_with_workers(all_who_wait_with); }

static void times_out(void *arg) {
    waiting *w = arg;
    int64_t deadline_ns = kc_after_ns(2000000);

    KC_CHECK_EQ(kc_cancel_wait(w->cancel, deadline_ns), KC_ETIME);
    KC_CHECK(kc_now_ns() >= deadline_ns); /* never early */
    KC_CHECK_EQ(kc_cancel_wait(w->cancel, 0), KC_ETIME);
    (void)atomic_fetch_add(&w->woken, 1);
}

static void deadlines_with(uint32_t workers) {
    waiting w = {.cancel = make(NULL)};
    kc_sched *sched = rt_sched(workers);

    for (int i = 0; i < 20; i++)
        rt_spawn(sched, times_out, &w);
    times_out(&w);
    kc_sched_free(sched);
    KC_CHECK_EQ(w.woken, 21);
    kc_cancel_drop(w.cancel);
}
KC_TEST(a_deadline_ends_the_wait_and_is_not_early) { rt_with_workers(deadlines_with); }

/* ---- whoever made it triggers it and forgets it, while others still wait with it ---- */

typedef struct orphans {
    kc_cancel *cancel;
    kc_channel *channel;
    kc_sched *sched;
    int ends[2];
    _Atomic uint32_t began;
    uint32_t told; /* of one worker's coroutines */
} orphans;

static void receives(void *arg) {
    orphans *o = arg;
    uint32_t value = 0;

    (void)atomic_fetch_add(&o->began, 1);
    o->told += kc_channel_recv_c(o->channel, &value, sizeof value, NULL, KC_NEVER, o->cancel) == KC_ECANCELED;
}

static void waits_to_read(void *arg) {
    orphans *o = arg;

    (void)atomic_fetch_add(&o->began, 1);
    o->told += kc_io_wait_c(o->ends[0], KC_IO_READABLE, KC_NEVER, o->cancel) == KC_ECANCELED;
}

static void waits_for_it(void *arg) {
    orphans *o = arg;

    (void)atomic_fetch_add(&o->began, 1);
    o->told += kc_cancel_wait(o->cancel, KC_NEVER) == KC_OK;
}

static void triggers_and_drops(void *arg) {
    orphans *o = arg;

    KC_CHECK_EQ(o->began, 12); /* one worker: they wait by now */
    KC_CHECK_EQ(kc_cancel_trigger(o->cancel, 0), KC_OK);
    kc_cancel_drop(o->cancel);
}

/* The address sanitizer is the judge; without it what malloc fills free memory with (MALLOC_PERTURB_). */
KC_TEST(a_cancel_may_be_dropped_by_its_maker_while_others_wait_with_it) {
    orphans o = {.sched = rt_sched(1), .cancel = make(NULL)};
    kc_channel_config config = {.kind = KC_KIND_RENDEZVOUS, .elem_size = 4};
    kc_hub *hub = NULL;

    KC_REQUIRE(kc_hub_make(NULL, &hub) == KC_OK && kc_channel_make(hub, &config, &o.channel) == KC_OK);
    KC_REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, o.ends) == 0);
    for (int i = 0; i < 10; i++)
        rt_spawn(o.sched, receives, &o);
    rt_spawn(o.sched, waits_to_read, &o);
    rt_spawn(o.sched, waits_for_it, &o);
    rt_spawn(o.sched, triggers_and_drops, &o);
    kc_sched_free(o.sched);
    KC_CHECK_EQ(o.told, 12);
    kc_channel_drop(o.channel);
    kc_hub_free(hub);
    (void)close(o.ends[0]);
    (void)close(o.ends[1]);
}

/* ---- whoever has waited with it leaves nothing there ---- */

typedef struct bystander {
    kc_cancel *cancel;
    int ends[2];
} bystander;

static void does_nothing(void *arg) { (void)arg; }

static __attribute__((noinline)) void waits_and_is_told(const bystander *b) {
    KC_CHECK_EQ(kc_io_wait_c(b->ends[0], KC_IO_WRITABLE, KC_NEVER, b->cancel), KC_IO_WRITABLE);
    KC_CHECK_EQ(kc_block_call_c(does_nothing, NULL, b->cancel), KC_OK);
}

/* A hook that was left where those calls had their records names no function any more. */
static __attribute__((noinline)) void wipes_what_they_left(void) {
    volatile char room[8 << 10];

    for (size_t i = 0; i < sizeof room; i++)
        room[i] = 0;
}

static void triggers_later(void *arg) {
    bystander *b = arg;

    waits_and_is_told(b);
    wipes_what_they_left();
    KC_CHECK_EQ(kc_cancel_trigger(b->cancel, 0), KC_OK);
    KC_CHECK_EQ(kc_io_wait_c(b->ends[0], KC_IO_READABLE, KC_NEVER, b->cancel), KC_ECANCELED);
    KC_CHECK_EQ(kc_block_call_c(does_nothing, NULL, b->cancel), KC_ECANCELED);
}

KC_TEST(whoever_has_waited_with_a_cancel_leaves_no_hook_there) {
    bystander b = {.cancel = make(NULL)};
    kc_sched *sched = rt_sched(1);

    KC_REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, b.ends) == 0);
    rt_spawn(sched, triggers_later, &b);
    kc_sched_free(sched);
    /* A thread outside asks only before it waits. */
    KC_CHECK_EQ(kc_io_wait_c(b.ends[0], KC_IO_WRITABLE, KC_NEVER, b.cancel), KC_ECANCELED);
    KC_CHECK_EQ(kc_block_call_c(does_nothing, NULL, b.cancel), KC_ECANCELED);
    kc_cancel_drop(b.cancel);
    (void)close(b.ends[0]);
    (void)close(b.ends[1]);
}

static void starts_a_thread(void *arg, uint32_t reason) {
    waiting *w = arg;
    pthread_t thread;

    (void)reason;
    KC_REQUIRE(pthread_create(&thread, NULL, waits_in_thread, w) == 0);
    KC_REQUIRE(pthread_detach(thread) == 0);
    rt_until(&w->began, 1);
}

/* The first of all: there must have been no other thread yet. */
KC_TEST(a_hook_may_start_the_first_thread_of_a_process) {
    waiting w = {.cancel = make(NULL)};
    kc_cancel_hook hook = {.fn = starts_a_thread, .arg = &w};

    KC_CHECK_EQ(kc_cancel_add(w.cancel, &hook), KC_OK);
    KC_CHECK_EQ(kc_cancel_trigger(w.cancel, 0), KC_OK);
    rt_until(&w.woken, 1);
    KC_CHECK_EQ(kc_cancel_forget(&hook), KC_ENOENT);
    kc_cancel_drop(w.cancel);
}

int main(void) {
    KC_RUN(a_hook_may_start_the_first_thread_of_a_process);
    KC_RUN(ten_generations_are_set_at_once_and_no_parent_is_touched);
    KC_RUN(the_child_of_a_cancelled_parent_begins_cancelled);
    KC_RUN(a_hook_is_called_once_or_forgotten);
    KC_RUN(a_hook_keeps_its_cancel_until_it_is_forgotten);
    KC_RUN(hooks_are_called_in_the_order_in_which_they_came_and_of_children_in_theirs);
    KC_RUN(children_that_left_between_others_are_missed_by_nobody);
    KC_RUN(all_who_wait_for_it_wake_coroutines_and_threads);
    KC_RUN(a_deadline_ends_the_wait_and_is_not_early);
    KC_RUN(a_cancel_may_be_dropped_by_its_maker_while_others_wait_with_it);
    KC_RUN(whoever_has_waited_with_a_cancel_leaves_no_hook_there);
    return kc_test_report();
}
