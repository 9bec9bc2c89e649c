/* forked.c: the thread that a child of fork(2) has is none of its parent's workers, also if a coroutine called fork
 * (decision 0077).
 *
 * What goes on in the child would otherwise still be that coroutine: its next wait or yield would look into the
 * parent's queues, which the child has a copy of, and go on with others who go on in the parent as well. Handlers of
 * fork are the process's, so that one was asked for is kept for the process; a library that is unloaded takes its
 * handler along.
 *
 * A coroutine that nobody schedules belongs to the child as it did to its parent.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "kc_coroutine.h"

static _Atomic bool watched;

static void forget_parent(void) {
    kc_here *here = kc_here_get();

    kc_lock_forget_thread();
#if KC_MUTANT == 84 /* a child that a coroutine forked goes on with the parent's coroutines */
    return;
#endif
    if (here->co != NULL && kc_co_sched(here->co) != NULL) {
        here->co->fn = NULL; /* it must not end here (coroutine.c) */
        here->co = NULL;
    }
    here->worker = NULL;
}

/* Two that come at once both ask for it: to forget twice is to forget. */
int kc_fork_watch(void) {
    if (!atomic_load_explicit(&watched, memory_order_acquire) && pthread_atfork(NULL, NULL, forget_parent) == 0)
        atomic_store_explicit(&watched, true, memory_order_release);
    return atomic_load_explicit(&watched, memory_order_acquire) ? KC_OK : KC_ENOMEM;
}
