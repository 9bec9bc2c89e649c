/* test_rt_lock_refused.c: a lock that is somebody's own while the kernel refuses what takes it back, and an owner that
 * stays in for long. syscall(2) is wrapped (KcTests.cmake): it refuses barriers, and counts sleeps that end by time. */
#include <errno.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <sys/syscall.h>

#include "core/kc_lock.h"
#include "kc_rt.h"

enum { ALONE_ROUNDS = 200, NEVER_OWNED = 32 /* lock.c */ };

static _Atomic int refuses; /* barriers; registering for them is allowed, as it was when the lock was given away */
static _Atomic uint32_t refused, naps;

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...) {
    long a[6];
    long rc = -1;
    bool refused_now = false;
    va_list list;

    va_start(list, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    refused_now = atomic_load(&refuses) != 0 && number == SYS_membarrier && a[0] == MEMBARRIER_CMD_PRIVATE_EXPEDITED;
    if (refused_now) {
        (void)atomic_fetch_add(&refused, 1);
        errno = EPERM;
    } else {
        if (number == SYS_futex && (a[1] & FUTEX_CMD_MASK) == FUTEX_WAIT && a[3] != 0)
            (void)atomic_fetch_add(&naps, 1);
        rc = __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    }
    return rc;
}

typedef struct shared {
    kc_lock lock;
    uint64_t count;
    _Atomic uint32_t stage;
} shared;

static void step(shared *s) {
    kc_lock_take(&s->lock);
    s->count++;
    kc_lock_give(&s->lock);
}

static void become_owner(shared *s) {
    for (int i = 0; i < ALONE_ROUNDS; i++)
        step(s);
}

/* ---- no barrier any more ---- */

static void *owns_it_for_a_while(void *arg) {
    shared *s = arg;

    become_owner(s);
    atomic_store(&s->stage, 1);
    rt_until(&s->stage, 2);
    become_owner(s); /* it does not */
    return NULL;
}

KC_TEST(a_lock_that_no_barrier_takes_back_is_taken_back_once_and_nobodys_own_again) {
    shared s = {.count = 0};
    pthread_t thread;

    KC_REQUIRE(pthread_create(&thread, NULL, owns_it_for_a_while, &s) == 0);
    rt_until(&s.stage, 1);
    if (atomic_load(&s.lock.owner) == 0) { /* no barriers at all here: nothing to refuse */
        printf("skipped: this kernel has no private expedited barriers\n");
    } else {
        atomic_store(&refuses, 1);
        step(&s);
        KC_CHECK_EQ(atomic_load(&s.lock.owner), 0);
        KC_CHECK_EQ(refused, 1);
    }
    atomic_store(&s.stage, 2);
    KC_REQUIRE(pthread_join(thread, NULL) == 0);
    become_owner(&s);
    KC_CHECK_EQ(atomic_load(&s.lock.owner), 0);
    KC_CHECK_EQ(s.lock.doublings, NEVER_OWNED);
    KC_CHECK_EQ(s.count, 3ULL * ALONE_ROUNDS + (refuses != 0));
    atomic_store(&refuses, 0);
}

/* ---- an owner that stays in ---- */

static void *stays_in_until_it_is_slept_for(void *arg) {
    shared *s = arg;
    uint32_t before = 0;

    become_owner(s);
    kc_lock_take(&s->lock);
    before = atomic_load(&naps);
    atomic_store(&s->stage, 1);
    while (atomic_load(&naps) == before)
        (void)sched_yield();
    s->count++;
    kc_lock_give(&s->lock);
    return NULL;
}

/* A yield makes way for none of lower priority: were it all, such an owner would never come to its end. */
KC_TEST(whoever_takes_a_lock_back_sleeps_while_its_owner_is_long_in) {
    shared s = {.count = 0};
    pthread_t thread;

    KC_REQUIRE(pthread_create(&thread, NULL, stays_in_until_it_is_slept_for, &s) == 0);
    rt_until(&s.stage, 1);
    if (atomic_load(&s.lock.owner) == 0)
        (void)atomic_fetch_add(&naps, 1); /* none is its own here */
    step(&s);
    KC_REQUIRE(pthread_join(thread, NULL) == 0);
    KC_CHECK_EQ(s.count, ALONE_ROUNDS + 2);
    KC_CHECK_EQ(atomic_load(&s.lock.inside), 0);
    KC_CHECK_EQ(atomic_load(&s.lock.word), 0);
}

int main(void) {
    KC_RUN(a_lock_that_no_barrier_takes_back_is_taken_back_once_and_nobodys_own_again);
    KC_RUN(whoever_takes_a_lock_back_sleeps_while_its_owner_is_long_in);
    return kc_test_report();
}
