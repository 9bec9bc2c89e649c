/* kc_sched.h: a scheduler: n threads (workers) that run coroutines.
 *
 * Each worker has a queue of its own, from which idle workers steal; what comes from outside is injected. A worker that
 * finds nothing sleeps: an idle scheduler uses no processor time. Within one queue the order is first come, first
 * served. After fork(2) a scheduler, its coroutines and its channels are the parent's: the child has no workers, and
 * locks may be held for ever. It may call nothing of them, nor free them; a spawn or an adopt there answers KC_EBADF.
 * It may exec, _exit, or make a scheduler of its own. One that a coroutine of a scheduler forked is in no coroutine
 * (kc_co_self is NULL, what waits blocks the thread); if that coroutine's function returns there, the child ends by
 * SIGABRT.
 * Invariants: a coroutine that is ready is in exactly one queue; no ready coroutine waits while every worker sleeps.
 */
#ifndef KC_SCHED_H
#define KC_SCHED_H

#include "kcoro/kc_co.h"
#ifdef __cplusplus
extern "C" {
#endif

typedef struct kc_sched kc_sched;

enum kc_sched_flag {
    KC_SCHED_TELL_OVERFLOW = 1 /* as kc_guard_begin (kc_co.h) while it lives; its workers have alternate stacks too */
};

typedef struct kc_sched_config {
    uint32_t workers;     /* 0 = processors that the calling thread may use; at most 256 */
    uint32_t stack_bytes; /* of coroutines spawned here, 0 = 64 KiB */
    uint32_t flags;       /* enum kc_sched_flag */
    uint32_t stacks_kept; /* free stacks kept for the next spawn; 0 = 1,024 */
} kc_sched_config;

/* config NULL: all zeros. KC_ENOMEM (memory or threads), KC_EINVAL (more than 256 workers or 1 GiB of stack, a flag
 * that is none). */
KC_API int kc_sched_make(const kc_sched_config *config, kc_sched **sched_out);
/* Waits until every coroutine of it has finished, then ends the workers. Not from a worker. Whoever may wait for ever
 * must be ended before (cancel, close): kc_sched_drain with a deadline says whether any is left. NULL is allowed. */
KC_API void kc_sched_free(kc_sched *sched);

/* A new coroutine that is ready at once. co_out NULL: nobody keeps it, else one reference is the caller's.
 * KC_ENOMEM (memory, 1,048,574 coroutines, or, long before, mappings: vm.max_map_count, see RUNTIME.md), KC_EINVAL,
 * KC_EBADF (a child of fork). While the scheduler is being freed its coroutines alone may call. */
KC_API int kc_sched_spawn(kc_sched *sched, kc_co_fn fn, void *arg, kc_co **co_out);
/* The same with a name and a stack of another size. */
KC_API int kc_sched_spawn_as(kc_sched *sched, const kc_co_config *config, kc_co **co_out);
/* Hands over a coroutine of kc_co_make that never ran, or that yielded; the scheduler takes a reference of its own.
 * KC_EBUSY: it runs, or has a scheduler; KC_EAGAIN: it is parked; KC_EPIPE: it has finished. */
KC_API int kc_sched_adopt(kc_sched *sched, kc_co *co);

/* Waits (a thread, not a worker) until no coroutine is left: KC_OK, or KC_ETIME at the deadline. */
KC_API int kc_sched_drain(kc_sched *sched, int64_t deadline_ns);

/* The scheduler of the worker that runs here, NULL outside: also inside a coroutine without a scheduler that one of a
 * scheduler has resumed. */
KC_API kc_sched *kc_sched_self(void);
KC_API uint32_t kc_sched_workers(const kc_sched *sched);

typedef struct kc_sched_usage {
    uint64_t submitted, completed; /* coroutines spawned or adopted, and finished */
    uint64_t switches;             /* coroutines resumed */
    uint64_t steal_probes, steals, steal_failures; /* a probe looks at one queue and steals, or fails */
    uint64_t fast_path;            /* taken from the worker's own queue */
    uint64_t ready_pulls;          /* taken from the queue of those who yielded */
    uint64_t inject_pulls;         /* taken from the queue of those who came from outside */
    uint64_t sleeps, wakes;        /* workers that went to sleep; that were woken by somebody */
    uint64_t stacks_made, stacks_cached; /* mapped for a coroutine; taken from those kept */
    uint32_t workers, idle, live; /* now: workers that sleep, coroutines not finished */
    uint32_t spare;
} kc_sched_usage;
KC_API void kc_sched_measure(kc_sched *sched, kc_sched_usage *usage_out);

/* CLOCK_MONOTONIC, and that many nanoseconds from now (KC_NEVER if it does not fit): what deadlines are made of. */
KC_API int64_t kc_now_ns(void);
KC_API int64_t kc_after_ns(int64_t delay_ns);

#ifdef __cplusplus
}
#endif
#endif
