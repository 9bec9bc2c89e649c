/* blocking.c: the threads of kc_blocking.h. A mutex and conditions, not a lock-free queue: a job costs a thread's
 * wake-up. */
#include "kc_blocking.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

struct kc_block_thread {
    pthread_t id;
    kc_blocking *pool;
    kc_block_thread *next;
};

static struct timespec time_after(int64_t delay_ns) {
    struct timespec at;
    int64_t ns = 0;

    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    ns = at.tv_nsec + delay_ns % 1000000000;
    at.tv_sec += (time_t)(delay_ns / 1000000000 + ns / 1000000000);
    at.tv_nsec = (long)(ns % 1000000000);
    return at;
}

/* ---- the queue; under the lock ---- */

static void push(kc_blocking *b, kc_block_job *job) {
    job->next = NULL;
    if (b->first == NULL)
        b->first = job;
    else
        b->last->next = job;
    b->last = job;
    b->queued++;
}

/* `before` NULL: it is the first. */
static void unlink_after(kc_blocking *b, kc_block_job *before, kc_block_job *job) {
    if (before == NULL)
        b->first = job->next;
    else
        before->next = job->next;
    if (b->last == job)
        b->last = before;
    b->queued--;
}

/* ---- the threads ---- */

/* false: nothing came in time, or the end has come. */
static bool wait_for_job(kc_blocking *b) {
    struct timespec until = time_after(b->idle_ns);
    int rc = 0;

    while (b->first == NULL && !b->ending && rc != ETIMEDOUT) {
        b->idle++;
        rc = pthread_cond_timedwait(&b->come, &b->lock, &until);
        b->idle--;
    }
#if KC_MUTANT == 47 /* a thread whose time is up leaves, although it was counted on for a job that just came */
    return b->first != NULL && rc != ETIMEDOUT;
#else
    return b->first != NULL;
#endif
}

static void run_first(kc_blocking *b) {
    kc_block_job *job = b->first;

    unlink_after(b, NULL, job);
    (void)pthread_mutex_unlock(&b->lock);
    job->fn(job->arg);
    job->wake->call(job->wake, KC_OK); /* now the job may be gone */
    (void)pthread_mutex_lock(&b->lock);
}

static void *work(void *arg) {
    kc_block_thread *me = arg;
    kc_blocking *b = me->pool;

    (void)pthread_mutex_lock(&b->lock);
    while (wait_for_job(b))
        run_first(b);
    b->threads--;
    me->next = b->ended;
    b->ended = me;
    (void)pthread_cond_signal(&b->gone);
    (void)pthread_mutex_unlock(&b->lock);
    return NULL;
}

/* Signals are for threads that know of them: none is delivered here. */
static int create(kc_block_thread *thread) {
    sigset_t all, before;
    int rc = 0;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&thread->id, NULL, work, thread);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc == 0 ? KC_OK : KC_ENOMEM;
}

/* Under the lock, which the new thread waits for. */
static int start(kc_blocking *b) {
    kc_block_thread *thread = malloc(sizeof *thread);
    int rc = KC_ENOMEM;

    if (thread != NULL) {
        *thread = (kc_block_thread){.pool = b};
        rc = create(thread);
    }
    if (rc == KC_OK)
        b->threads++;
    else
        free(thread);
    return rc;
}

static void join(kc_block_thread *ended) {
    while (ended != NULL) {
        kc_block_thread *next = ended->next;
        (void)pthread_join(ended->id, NULL);
        free(ended);
        ended = next;
    }
}

static kc_block_thread *take_ended(kc_blocking *b) {
    kc_block_thread *ended = b->ended;

    b->ended = NULL;
    return ended;
}

/* ---- the calls ---- */

int kc_blocking_begin(kc_blocking *b, uint32_t threads_max, int64_t idle_ns) {
    pthread_condattr_t monotonic;
    int rc = threads_max != 0 && idle_ns >= 0 ? KC_OK : KC_EINVAL;

    *b = (kc_blocking){.threads_max = threads_max, .idle_ns = idle_ns};
    if (rc == KC_OK)
        rc = pthread_condattr_init(&monotonic) == 0 ? KC_OK : KC_ENOMEM;
    if (rc == KC_OK) { /* none of these fails on Linux */
        (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
        (void)pthread_mutex_init(&b->lock, NULL);
        (void)pthread_cond_init(&b->come, &monotonic);
        (void)pthread_cond_init(&b->gone, NULL);
        (void)pthread_condattr_destroy(&monotonic);
    }
    return rc;
}

void kc_blocking_end(kc_blocking *b) {
    (void)pthread_mutex_lock(&b->lock);
    b->ending = true;
    (void)pthread_cond_broadcast(&b->come);
    while (b->threads != 0)
        (void)pthread_cond_wait(&b->gone, &b->lock);
    (void)pthread_mutex_unlock(&b->lock);
    join(take_ended(b));
    (void)pthread_cond_destroy(&b->come);
    (void)pthread_cond_destroy(&b->gone);
    (void)pthread_mutex_destroy(&b->lock);
}

/* Under the lock. A thread that was signalled counts as idle until it has the lock: it is there for one job. */
static int hire(kc_blocking *b) {
    int rc = KC_OK;

#if KC_MUTANT == 48 /* there is one thread more than there may be */
    if (b->queued > b->idle && b->threads <= b->threads_max)
#else
    if (b->queued > b->idle && b->threads < b->threads_max)
#endif
        rc = start(b);
    else
        (void)pthread_cond_signal(&b->come);
    return b->threads != 0 ? KC_OK : rc;
}

int kc_blocking_submit(kc_blocking *b, kc_block_job *job) {
    kc_block_thread *ended = NULL;
    int rc = KC_OK;

    (void)pthread_mutex_lock(&b->lock);
    push(b, job);
    rc = hire(b);
    if (rc != KC_OK) /* nobody else is in the queue: there is no thread */
        unlink_after(b, NULL, job);
    ended = take_ended(b);
    (void)pthread_mutex_unlock(&b->lock);
    join(ended);
    return rc;
}

int kc_blocking_cancel(kc_blocking *b, kc_block_job *job) {
    kc_block_job *before = NULL, *at = NULL;

    (void)pthread_mutex_lock(&b->lock);
    for (at = b->first; at != NULL && at != job; at = at->next)
        before = at;
    if (at != NULL)
        unlink_after(b, before, at);
    (void)pthread_mutex_unlock(&b->lock);
    return at != NULL;
}

kc_blocking_usage kc_blocking_measure(kc_blocking *b) {
    kc_blocking_usage usage;

    (void)pthread_mutex_lock(&b->lock);
    usage = (kc_blocking_usage){.threads = b->threads, .idle = b->idle, .queued = b->queued};
    (void)pthread_mutex_unlock(&b->lock);
    return usage;
}
