/* lock.c: the futex lock of kc_lock.h. */
#include "kc_lock.h"

#include "kc_layout.h"

#include <errno.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* glibc 2.32 and later tell; elsewhere every process is taken for a threaded one. */
#if defined(__has_include)
#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
#define IS_ALONE() (__libc_single_threaded != 0)
#endif
#endif
#ifndef IS_ALONE
#define IS_ALONE() 0
#endif

enum { SPINS = 100, ALONE = 1 /* the only thread needs no name */ };
#define WAITERS 0x80000000U

static _Thread_local uint32_t self;

static KC_RARE uint32_t learn_id(void) { return self = (uint32_t)syscall(SYS_gettid); }

void kc_lock_forget_thread(void) { self = 0; }

static uint32_t member_id(void) { return self != 0 ? self : learn_id(); }

static void sleep_while(kc_lock *lock, uint32_t seen) {
    (void)syscall(SYS_futex, &lock->word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

/* A holder keeps the lock for well under a microsecond, so a short spin mostly saves two system calls. */
static int spin(kc_lock *lock, uint32_t me) {
    int taken = 0;

    for (int i = 0; i < SPINS && !taken; i++) {
        uint32_t seen = 0;
        taken = atomic_compare_exchange_weak_explicit(&lock->word, &seen, me, memory_order_acquire,
                                                      memory_order_relaxed);
    }
    return taken;
}

static KC_RARE void take_slowly(kc_lock *lock, uint32_t me) {
    if (spin(lock, me))
        return;
    for (;;) {
        uint32_t seen = atomic_load_explicit(&lock->word, memory_order_relaxed);
        if (seen == 0) {
            /* Others may still sleep: whoever comes from the slow path keeps the flag. */
            if (atomic_compare_exchange_strong_explicit(&lock->word, &seen, me | WAITERS, memory_order_acquire,
                                                        memory_order_relaxed))
                return;
        } else if ((seen & WAITERS) != 0 ||
                   atomic_compare_exchange_strong_explicit(&lock->word, &seen, seen | WAITERS,
                                                           memory_order_relaxed, memory_order_relaxed)) {
            sleep_while(lock, seen | WAITERS);
        }
    }
}

/* ---- a lock of one's own ---- */

enum { STREAK = 64, DOUBLINGS = 10, NEVER_OWNED = 32 };
enum { MOMENT_NS = 50000, SURELY_NS = 10000000 };

static int barrier(int command) { return (int)syscall(SYS_membarrier, command, 0, 0); }

static void sleep_surely(void) {
    struct timespec left = {.tv_nsec = SURELY_NS};

    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}

/* An owner that is in is soon out again, but for one that was put off its processor. That may be this one's, and the
 * owner of lower priority: then to yield gives it nothing. */
static void wait_until_out(kc_lock *lock) {
    const struct timespec moment = {.tv_nsec = MOMENT_NS};

    for (int i = 0; atomic_load_explicit(&lock->inside, memory_order_acquire) != 0; i++) {
        if (i < SPINS)
            (void)sched_yield();
        else /* nobody wakes */
            (void)syscall(SYS_futex, &lock->inside, FUTEX_WAIT_PRIVATE, 1, &moment, NULL, 0);
    }
}

/* The word is held. Nobody who does not own it is in, and whoever was is out before this returns. A filter may forbid
 * barriers although they were allowed when the lock was given away (seccomp(2)). Then time stands for the barrier: no
 * processor keeps a store to itself for a thousandth of it, and none that is interrupted. It is not done again. */
static KC_RARE void take_back(kc_lock *lock) {
    bool passed = false;

    atomic_store_explicit(&lock->owner, 0, memory_order_relaxed);
    passed = barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0;
    if (!passed)
        sleep_surely();
#if KC_MUTANT != 29 /* a lock is taken back while its owner is in */
    wait_until_out(lock);
#endif
    lock->streak = 0;
    lock->doublings += lock->doublings < DOUBLINGS;
#if KC_MUTANT != 83 /* a lock is given away again although no barrier takes it back */
    if (!passed)
        lock->doublings = NEVER_OWNED;
#endif
}

/* From the next time on. A kernel that has no barriers, or forbids them, leaves all locks as they are. */
static KC_RARE void give_away(kc_lock *lock, uint32_t me) {
    lock->streak = 0;
    if (barrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0) {
        lock->suitor = me;
        atomic_store_explicit(&lock->owner, me, memory_order_relaxed);
    } else {
        lock->doublings = NEVER_OWNED;
    }
}

/* A thread that has ended is late no more. Where this may not be asked, it counts as one that has not. */
static bool has_ended(uint32_t thread) {
    return syscall(SYS_tgkill, getpid(), thread, 0) != 0 && errno == ESRCH;
}

static KC_RARE void offer(kc_lock *lock, uint32_t me) {
    if (lock->suitor == 0 || has_ended(lock->suitor)) {
        give_away(lock, me);
    } else {
        lock->streak = 0;
        lock->doublings += lock->doublings < DOUBLINGS; /* to ask costs two system calls */
    }
}

static void notice(kc_lock *lock, uint32_t me) {
    if (atomic_load_explicit(&lock->owner, memory_order_relaxed) != 0)
        take_back(lock);
    if (lock->suitor == me) /* it is not late any more */
        lock->suitor = 0;
    if (lock->last != me) {
        lock->last = me;
        lock->streak = 0;
    } else if (lock->doublings != NEVER_OWNED && ++lock->streak >= (uint32_t)STREAK << lock->doublings) {
        offer(lock, me);
    }
}

/* The compiler keeps the two in order; the processor need not: whoever takes the lock back makes it pass a barrier. */
static inline bool enter_own(kc_lock *lock, uint32_t me) {
    bool mine = atomic_load_explicit(&lock->owner, memory_order_relaxed) == me && me != 0;

    if (mine) {
        atomic_store_explicit(&lock->inside, 1, memory_order_relaxed);
        atomic_signal_fence(memory_order_seq_cst);
        mine = atomic_load_explicit(&lock->owner, memory_order_relaxed) == me;
        if (!mine)
            atomic_store_explicit(&lock->inside, 0, memory_order_release);
    }
    return mine;
}

static KC_APART void take_word(kc_lock *lock) {
    uint32_t me = member_id();
    uint32_t seen = 0;

    if (!atomic_compare_exchange_strong_explicit(&lock->word, &seen, me, memory_order_acquire, memory_order_relaxed))
        take_slowly(lock, me);
    notice(lock, me);
    lock->by_word = 1;
}

static KC_APART void give_word(kc_lock *lock) {
    lock->by_word = 0;
    if ((atomic_exchange_explicit(&lock->word, 0, memory_order_release) & WAITERS) != 0)
        (void)syscall(SYS_futex, &lock->word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* While the process has one thread (glibc knows: sys/single_threaded.h) nobody can contend, and a locked instruction
 * costs more than the rest of the operation. Nobody starts a thread under the lock, so take and give agree; whoever
 * calls a user's function under it does not know that, and gives it back by kc_lock_give_after_calls.
 *
 * Never inlined: a coroutine that waits goes on in another thread, and a compiler that had the address of `self` from
 * before would take the lock in the name of the thread that it left. */
KC_APART void kc_lock_take(kc_lock *lock) {
    if (IS_ALONE())
        atomic_store_explicit(&lock->word, ALONE, memory_order_relaxed);
    else if (!enter_own(lock, self))
        take_word(lock);
}

void kc_lock_give(kc_lock *lock) {
    if (IS_ALONE())
        atomic_store_explicit(&lock->word, 0, memory_order_relaxed);
    else if (lock->by_word != 0)
        give_word(lock);
    else
        atomic_store_explicit(&lock->inside, 0, memory_order_release);
}

/* How it was taken is in the lock: the word of whoever was the only thread has no by_word beside it, and others may
 * sleep on it by now. */
KC_RARE void kc_lock_give_after_calls(kc_lock *lock) {
#if KC_MUTANT == 80 /* whoever was the only thread when it took a lock gives it back as one of several */
    kc_lock_give(lock);
    return;
#endif
    if (lock->by_word == 0 && atomic_load_explicit(&lock->inside, memory_order_relaxed) != 0)
        atomic_store_explicit(&lock->inside, 0, memory_order_release);
    else
        give_word(lock);
}
