/* test_rt_lock.c: the lock that becomes the own of whoever takes it alone, and is taken back by whoever else wants
 * it. */
#include <linux/membarrier.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/kc_lock.h"
#include "kc_rt.h"

enum { ROUNDS = 400000 / RT_SCALE, RACED_ROUNDS = 40 * ROUNDS, ALONE_ROUNDS = 200 };

typedef struct shared {
    kc_lock lock;
    uint64_t a, b; /* equal whenever nobody is in */
    _Atomic uint32_t stage;
    int rounds; /* of each thread */
} shared;

static void step(shared *s) {
    kc_lock_take(&s->lock);
    if (s->a != s->b) /* two are in at once */
        KC_CHECK_EQ(s->a, s->b);
    s->a++;
    atomic_signal_fence(memory_order_seq_cst);
    s->b++;
    kc_lock_give(&s->lock);
}

static void *steps(void *arg) {
    shared *s = arg;

    for (int i = 0; i < s->rounds; i++)
        step(s);
    (void)atomic_fetch_add(&s->stage, 1);
    return NULL;
}

/* As often as can be: what was taken back is given away again after the shortest streak. */
static void step_and_forget(shared *s) {
    step(s);
    kc_lock_take(&s->lock);
    s->lock.doublings = 0;
    kc_lock_give(&s->lock);
}

/* Alone long enough to own it; then this thread comes in between, again and again. */
KC_TEST(an_owner_and_whoever_takes_it_back_are_never_in_together) {
    shared s = {.rounds = RACED_ROUNDS};
    uint64_t mine = 0;
    pthread_t thread;

    KC_REQUIRE(pthread_create(&thread, NULL, steps, &s) == 0);
    for (; atomic_load(&s.stage) == 0; mine++) {
        step_and_forget(&s);
        for (int i = 0; i < 300 && atomic_load(&s.stage) == 0; i++)
            atomic_signal_fence(memory_order_seq_cst);
    }
    KC_REQUIRE(pthread_join(thread, NULL) == 0);
    KC_CHECK_EQ(s.a, mine + RACED_ROUNDS);
    KC_CHECK_EQ(s.b, mine + RACED_ROUNDS);
}

KC_TEST(many_threads_count_together) {
    shared s = {.rounds = ROUNDS};
    pthread_t threads[4];

    for (int i = 0; i < 4; i++)
        KC_REQUIRE(pthread_create(&threads[i], NULL, steps, &s) == 0);
    for (int i = 0; i < 4; i++)
        KC_REQUIRE(pthread_join(threads[i], NULL) == 0);
    KC_CHECK_EQ(s.a, 4ULL * ROUNDS);
    KC_CHECK_EQ(s.b, 4ULL * ROUNDS);
}

static void *becomes_owner(void *arg) {
    shared *s = arg;

    for (int i = 0; i < ALONE_ROUNDS; i++)
        step(s);
    atomic_store(&s->stage, 1);
    rt_until(&s->stage, 2);
    step(s); /* it was taken back meanwhile */
    return NULL;
}

KC_TEST(a_lock_becomes_its_only_users_own_until_another_wants_it) {
    shared s = {.a = 0};
    pthread_t thread;

    KC_REQUIRE(pthread_create(&thread, NULL, becomes_owner, &s) == 0);
    rt_until(&s.stage, 1);
    KC_CHECK(atomic_load(&s.lock.owner) != 0);
    step(&s);
    KC_CHECK_EQ(atomic_load(&s.lock.owner), 0);
    KC_CHECK_EQ(s.lock.doublings, 1);
    atomic_store(&s.stage, 2);
    KC_REQUIRE(pthread_join(thread, NULL) == 0);
    KC_CHECK_EQ(s.a, ALONE_ROUNDS + 2);
    KC_CHECK_EQ(atomic_load(&s.lock.inside), 0);
    KC_CHECK_EQ(atomic_load(&s.lock.word), 0);
}

/* ---- the first thread is started under a lock ---- */

static void *comes_and_steps(void *arg) {
    shared *s = arg;

    atomic_store(&s->stage, 1);
    step(s);
    return NULL;
}

/* The first of all: there must have been no other thread yet. */
KC_TEST(a_lock_under_which_the_first_thread_was_started_is_given_back) {
    shared s = {.a = 0};
    pthread_t thread;

    kc_lock_take(&s.lock);
    KC_REQUIRE(pthread_create(&thread, NULL, comes_and_steps, &s) == 0);
    rt_until(&s.stage, 1);
    for (int i = 0; i < 1000 && (atomic_load(&s.lock.word) >> 31) == 0; i++) /* mostly it sleeps on the word by then */
        (void)sched_yield();
    kc_lock_give_after_calls(&s.lock);
    KC_REQUIRE((atomic_load(&s.lock.word) & INT32_MAX) != 1); /* 1: whoever was the only thread still has it */
    KC_REQUIRE(pthread_join(thread, NULL) == 0);
    KC_CHECK_EQ(s.a, 1);
    KC_CHECK_EQ(atomic_load(&s.lock.word), 0);
}

static void give_back_after_calls(shared *s) {
    kc_lock_take(&s->lock);
    s->a++;
    s->b++;
    kc_lock_give_after_calls(&s->lock);
}

KC_TEST(a_lock_is_given_back_after_calls_however_it_was_taken) {
    shared s = {.a = 0};

    for (int i = 0; i < ALONE_ROUNDS; i++) /* by word, and then by its owner */
        give_back_after_calls(&s);
    KC_CHECK(atomic_load(&s.lock.owner) != 0);
    KC_CHECK_EQ(atomic_load(&s.lock.inside), 0);
    KC_CHECK_EQ(atomic_load(&s.lock.word), 0);
    KC_CHECK_EQ(s.a, ALONE_ROUNDS);
}

static void *owns_it_and_waits(void *arg) {
    shared *s = arg;

    for (int i = 0; i < ALONE_ROUNDS; i++)
        step(s);
    atomic_store(&s->stage, 1);
    rt_until(&s->stage, 2);
    return NULL;
}

/* A thread that was joined may be there for a moment still. */
static void join_and_see_it_gone(pthread_t thread, uint32_t id) {
    KC_REQUIRE(pthread_join(thread, NULL) == 0);
    while (syscall(SYS_tgkill, getpid(), id, 0) == 0)
        (void)sched_yield();
}

KC_TEST(a_lock_whose_owner_has_ended_becomes_anothers_own) {
    shared s = {.a = 0};
    pthread_t thread;
    uint32_t owner = 0;

    KC_REQUIRE(pthread_create(&thread, NULL, owns_it_and_waits, &s) == 0);
    rt_until(&s.stage, 1);
    owner = atomic_load(&s.lock.owner);
    KC_REQUIRE(owner != 0);
    atomic_store(&s.stage, 2);
    join_and_see_it_gone(thread, owner);
    for (int i = 0; i < 2 * ALONE_ROUNDS; i++)
        step(&s);
    KC_CHECK(atomic_load(&s.lock.owner) != 0 && atomic_load(&s.lock.owner) != owner);
    KC_CHECK_EQ(s.a, 3 * ALONE_ROUNDS);
}

/* It may be late: it has read that it owns the lock, and not yet written that it is in. */
KC_TEST(a_lock_that_was_taken_back_is_nobodys_while_its_owner_lives_and_was_not_seen_again) {
    shared s = {.a = 0};
    pthread_t thread;
    uint32_t owner = 0;

    KC_REQUIRE(pthread_create(&thread, NULL, owns_it_and_waits, &s) == 0);
    rt_until(&s.stage, 1);
    owner = atomic_load(&s.lock.owner);
    for (int i = 0; i < 4 * ALONE_ROUNDS; i++)
        step(&s);
    KC_CHECK_EQ(atomic_load(&s.lock.owner), 0);
    atomic_store(&s.stage, 2);
    join_and_see_it_gone(thread, owner);
    for (int i = 0; i < 4 * ALONE_ROUNDS; i++)
        step(&s);
    KC_CHECK(atomic_load(&s.lock.owner) != 0);
    KC_CHECK_EQ(s.a, 9 * ALONE_ROUNDS);
}

/* Whether the kernel lets a lock be anybody's own (lock.c). */
static bool can_be_owned(void) { return syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0; }

int main(void) {
    KC_RUN(a_lock_under_which_the_first_thread_was_started_is_given_back);
    KC_RUN(an_owner_and_whoever_takes_it_back_are_never_in_together);
    KC_RUN(many_threads_count_together);
    if (can_be_owned()) {
        KC_RUN(a_lock_is_given_back_after_calls_however_it_was_taken);
        KC_RUN(a_lock_becomes_its_only_users_own_until_another_wants_it);
        KC_RUN(a_lock_whose_owner_has_ended_becomes_anothers_own);
        KC_RUN(a_lock_that_was_taken_back_is_nobodys_while_its_owner_lives_and_was_not_seen_again);
    } else {
        printf("skipped: no lock is anybody's own: this kernel has no private expedited barriers, or forbids them\n");
    }
    return kc_test_report();
}
