/* kc_timers.h: one heap of timers for any number of threads, and who must hear that its first time has come nearer.
 *
 * Times are CLOCK_MONOTONIC nanoseconds, handed in by whoever runs them: nothing here reads a clock, so neither a step
 * of the wall clock nor a clock that is read twice can matter. KC_NEVER is a time that does not come; what is added for
 * it stands here until it is cancelled.
 * Invariants: a call is made once, or was cancelled, never both: the cancel that answers 1 is the proof. It is not made
 * before its time. Who sleeps until kc_timers_next_ns hears of every time that is nearer (`nearer`, after it was
 * added).
 */
#ifndef KC_TIMERS_H
#define KC_TIMERS_H

#include <stdatomic.h>

#include "core/kc_lock.h"
#include "kc_heap.h"

typedef struct kc_timers {
    kc_lock lock;
    kc_heap heap;
    _Atomic int64_t next_ns; /* of the heap, for those who only look */
    kc_wake *nearer;
} kc_timers;

/* `nearer` NULL: nobody sleeps. Its code is 0. */
void kc_timers_begin(kc_timers *t, uint32_t count_max, kc_wake *nearer);
/* What still waits is called with KC_ECANCELED, whatever its time. */
void kc_timers_end(kc_timers *t);

/* The wake's code will be KC_ETIME. KC_ENOMEM. */
int kc_timers_add(kc_timers *t, int64_t due_ns, kc_wake *wake, kc_ticket *id_out);
/* 1: cancelled, it will not be called. 0: too late, it was called or is being called (or there is no such id). */
int kc_timers_cancel(kc_timers *t, kc_ticket id);
/* The same, for those whose wakes have something to give back: the wake, NULL when it is too late. */
kc_wake *kc_timers_take(kc_timers *t, kc_ticket id);
int64_t kc_timers_next_ns(const kc_timers *t);
/* Calls what is due at this time, in order; returns how many. Those that are added meanwhile wait for the next run.
 * By one thread at a time, if the order is to hold. */
uint32_t kc_timers_run(kc_timers *t, int64_t now_ns);

#endif
