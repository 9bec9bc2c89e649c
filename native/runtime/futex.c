/* futex.c: sleeping on a word, and the clock that deadlines are read from. */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "kc_futex.h"
#include "kcoro/kc_sched.h"

int64_t kc_now_ns(void) {
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t kc_after_ns(int64_t delay_ns) {
    int64_t now_ns = kc_now_ns();

    return delay_ns < KC_NEVER - now_ns ? now_ns + delay_ns : KC_NEVER;
}

/* FUTEX_WAIT_BITSET takes an absolute time. */
int kc_futex_wait(_Atomic uint32_t *word, uint32_t seen, int64_t deadline_ns) {
    struct timespec until = {.tv_sec = (time_t)(deadline_ns / 1000000000), .tv_nsec = (long)(deadline_ns % 1000000000)};
    long rc = 0;

    if (deadline_ns < 0)
        until = (struct timespec){0};
    rc = syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, seen, deadline_ns != KC_NEVER ? &until : NULL, NULL,
                 FUTEX_BITSET_MATCH_ANY);
    return rc != 0 && errno == ETIMEDOUT ? KC_ETIME : KC_OK;
}

void kc_futex_wake(_Atomic uint32_t *word, int count) {
    (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}
