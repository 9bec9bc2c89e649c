/* kc_worker.h: a scheduler's threads and queues (kc_sched.h is what users see).
 *
 * Queues: each worker has its own, first in first out (of one worker alone it is a plain list, else a deque whose
 * oldest item anybody may take); `ready` has those who yielded, `inject` those who came from outside. One round in 61
 * looks first, in turn, at inject, at ready and at what others have left, so that no own queue, however busy, keeps
 * them waiting for ever.
 *
 * Sleeping: `sleep` counts workers that sleep or are about to, and has bits for one that was woken and still searches,
 * and for one that is the watch: while others are busy it looks by itself now and then. A worker counts itself first
 * and looks at every queue after; whoever adds work adds first and reads the count after. From outside both is by
 * read-modify-write of the one word, so one of the two sees the other; a busy worker may miss somebody, whom the watch
 * makes good for (kc_sched_alarm_busy), and leaves one coroutine in its queue without waking anybody while there is a
 * watch. The one who searches and finds something passes the alarm on when there is more, or when it was the watch and
 * somebody still sleeps.
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
    kc_co *first;
    kc_co **end; /* where the next one is put: first, or the last one's next */
} kc_line;

static inline void kc_line_push(kc_line *line, kc_co *co) {
    co->next = NULL;
    *line->end = co;
    line->end = &co->next;
}
static inline kc_co *kc_line_take(kc_line *line) {
    kc_co *co = line->first;

    if (co != NULL) {
        line->first = co->next;
        if (line->first == NULL)
            line->end = &line->first;
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
    kc_here *here;  /* of its thread */
    kc_side home;   /* its thread's own stack: there it sleeps */
    kc_co *left;    /* who left the stack that was entered last; NULL: the worker its own */
    kc_line own;    /* of the only worker */
    kc_count fast_path;
    uint32_t alone; /* 1: it is the only one */
    uint32_t rounds_left; /* until it looks around */
    uint32_t turn;        /* where to */
    uint32_t index;
    uint64_t dice;
    int64_t patience_ns; /* of its next sleep, if it is the watch */
    uint32_t was_watch;  /* 1: since it found something last */
    kc_count submitted, completed;
    kc_count steal_probes, steals, steal_failures, ready_pulls, inject_pulls, sleeps;
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
    _Atomic uint64_t submitted; /* from outside */
    kc_stack_cache stacks;
    kc_clock clock;
    kc_blocking blocking;
    kc_worker workers[];
};

enum { KC_SLEEP_SEARCHED = 1, KC_SLEEP_WATCHED = 2, KC_SLEEP_ONE = 4 };
enum { KC_LOOK_AROUND = 61 }; /* rounds */

void *kc_worker_main(void *worker);
/* The next coroutine for it; NULL: there is none. */
kc_co *kc_worker_find(kc_worker *w);
/* The same, and sleeps until there is one (sleepers.c). NULL: the end has come. */
kc_co *kc_worker_wait(kc_worker *w);
/* Wakes a sleeper, unless one was woken already and still searches, or (KC_SLEEP_WATCHED) one will look soon by itself
 * and that is enough. After the work was added. */
void kc_sched_alarm(kc_sched *sched, uint32_t enough);
/* The same by a worker, which is busy: where nobody needs to be woken this is seen by a plain read. Of one who lies
 * down, or rises, just now the answer may be late. It does no harm, for whoever lies down while a worker is busy
 * becomes the watch, if there is none, and a watch that rises and stays up is followed by another. */
static inline void kc_sched_alarm_busy(kc_sched *sched, uint32_t enough) {
    uint32_t sleep = atomic_load_explicit(&sched->sleep, memory_order_relaxed);

    if (sleep >= KC_SLEEP_ONE && (sleep & enough) == 0)
        kc_sched_alarm(sched, enough);
}
/* Wakes everybody, for good. */
void kc_sched_stop(kc_sched *sched);

#endif
