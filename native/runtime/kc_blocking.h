/* kc_blocking.h: threads for calls that may wait, so that workers need not.
 *
 * Not a pool for work: its threads are many and mostly asleep. A job runs once, in the order of coming as far as
 * threads are free, or was cancelled before it began. Once begun it is not cancelled: a thread cannot be stopped in the
 * middle of a call, and whoever waits for it still owns what it works on.
 *
 * Invariants: there is never more than threads_max threads, and one more is started only when jobs wait and nobody is
 * free; a thread that found nothing to do for idle_ns ends; each is joined. A job in the queue has a thread that will
 * come for it.
 */
#ifndef KC_BLOCKING_H
#define KC_BLOCKING_H

#include <pthread.h>
#include <stdbool.h>

#include "kc_wake.h"
#include "kcoro/kc_io.h"

struct kc_sched;

/* Whoever waits for it keeps it. */
typedef struct kc_block_job {
    kc_block_fn fn;
    void *arg;
    kc_wake *wake; /* called once fn has returned, by its thread; the code is KC_OK */
    struct kc_block_job *next;
} kc_block_job;

typedef struct kc_block_thread kc_block_thread;

typedef struct kc_blocking {
    pthread_mutex_t lock;
    pthread_cond_t come; /* a job, or the end; by CLOCK_MONOTONIC */
    pthread_cond_t gone; /* a thread has ended */
    kc_block_job *first, *last;
    kc_block_thread *ended; /* to be joined */
    uint32_t queued, idle, threads, threads_max;
    int64_t idle_ns;
    bool ending;
} kc_blocking;

/* No thread yet. KC_EINVAL (no thread allowed), KC_ENOMEM. */
int kc_blocking_begin(kc_blocking *b, uint32_t threads_max, int64_t idle_ns);
/* Runs what is in the queue to its end, and joins every thread. Nobody submits any more. */
void kc_blocking_end(kc_blocking *b);

/* From any thread; does not wait, but for a thread that is at its very end. KC_ENOMEM: there is no thread and none can
 * be had; the job is the caller's. */
int kc_blocking_submit(kc_blocking *b, kc_block_job *job);
/* 1: it had not begun, and never will. 0: too late, its wake was or will be called. */
int kc_blocking_cancel(kc_blocking *b, kc_block_job *job);

/* A scheduler's. */
kc_blocking *kc_sched_blocking(struct kc_sched *sched);

typedef struct kc_blocking_usage {
    uint32_t threads, idle, queued;
} kc_blocking_usage;
kc_blocking_usage kc_blocking_measure(kc_blocking *b);

#endif
