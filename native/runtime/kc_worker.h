/* kc_worker.h: a scheduler's threads and queues (kc_sched.h is what users see).
 *
 * Queues: each worker has its own, first in first out (of one worker alone it is a plain list, else a deque whose oldest
 * item anybody may take); `ready` has those who yielded, `inject` those who came from outside. One round in 61 looks at the
 * two shared ones first, so that no own queue, however busy, keeps them waiting for ever.
 *
 * Sleeping: `sleep` counts workers that sleep or are about to, and has bits for one that was woken and still searches, and
 * for one that is the watch: while others are busy it looks by itself now and then, so that a worker may leave one
 * coroutine in its queue without waking anybody for it. A
 * worker counts itself first and looks at every queue after; whoever adds work adds first and reads the count after; both by
 * read-modify-write of the one word, so one of the two sees the other. The one who searches and finds something passes the
 * alarm on when there is more.
 */
#ifndef KC_WORKER_H
#define KC_WORKER_H

#include <pthread.h>

#include "kc_blocking.h"
#include "kc_clock.h"
#include "kc_coroutine.h"
#include "kc_deque.h"
#include "kc_futex.h"
#include "kc_ready.h"
#include "kcoro/kc_sched.h"

/* Ready coroutines, chained through their own records: an append cannot fail. */
typedef struct kc_line {
    kc_co *first, *last;
} kc_line;

static inline void kc_line_push(kc_line *line, kc_co *co) {
    co->next = NULL;
    if (line->last != NULL)
        line->last->next = co;
    else
        line->first = co;
    line->last = co;
}
static inline kc_co *kc_line_take(kc_line *line) {
    kc_co *co = line->first;

    if (co != NULL) {
        line->first = co->next;
        if (line->first == NULL)
            line->last = NULL;
    }
    return co;
}

/* A counter that one thread writes and others read. */
typedef _Atomic uint64_t kc_count;
static inline void kc_count_up(kc_count *count) {
    atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + 1, memory_order_relaxed);
}
static inline uint64_t kc_count_of(const kc_count *count) { return atomic_load_explicit(count, memory_order_relaxed); }

struct kc_worker {
    _Alignas(128) kc_sched *sched;
    kc_line own; /* of the only worker */
    uint32_t index;
    uint32_t round;
    uint64_t dice;
    int64_t patience_ns; /* of its next sleep, if it is the watch */
    void *alternate; /* memory for signal handlers */
    kc_count switches, steal_probes, steals, steal_failures, fast_path, ready_pulls, inject_pulls, sleeps;
    pthread_t thread;
    kc_deque deque; /* of one of several */
};

struct kc_sched {
    uint32_t count; /* of workers */
    uint32_t started, flags, stack_bytes;
    uint8_t *ours; /* a page that a child of fork finds wiped: there are no workers there */
    _Alignas(128) _Atomic uint32_t sleep; /* KC_SLEEP_ONE each, and two bits */
    _Atomic uint32_t epoch;               /* futex of the sleepers */
    _Atomic uint32_t stopping;
    kc_count wakes;
    kc_ready ready, inject;
    kc_places *places;
    _Alignas(128) _Atomic uint32_t live;
    _Atomic uint32_t drainers; /* threads that wait for live to be 0 */
    _Atomic uint32_t visitors; /* threads from outside that are at the queues just now */
    _Atomic uint64_t submitted, completed;
    kc_stack_cache stacks;
    kc_clock clock;
    kc_blocking blocking;
    kc_worker workers[];
};

enum { KC_SLEEP_SEARCHED = 1, KC_SLEEP_WATCHED = 2, KC_SLEEP_ONE = 4 };

void *kc_worker_main(void *worker);
/* Wakes everybody, for good. */
void kc_sched_stop(kc_sched *sched);
/* Puts it at the end of the queue that is right for whoever calls. Its state is READY. */
void kc_sched_enqueue(kc_sched *sched, kc_co *co);
/* A coroutine less. */
void kc_sched_leave(kc_sched *sched);

/* guard.c: SIGSEGV tells which coroutine overflowed. KC_OK, KC_EINVAL. */
int kc_guard_begin(void);
void kc_guard_end(void);
/* This thread's alternate stack; NULL: it has one, or there is no memory. */
void *kc_guard_thread_begin(void);
void kc_guard_thread_end(void *alternate);

#endif
