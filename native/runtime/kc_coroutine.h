/* kc_coroutine.h: the record of a coroutine, and how it is entered and left. Who runs it, and when, is not decided
 * here.
 *
 * A coroutine that is to wait first leaves its stack and is then made to wait by whoever was entered in its place
 * (kc_co_leave, then kc_co_falls_asleep): nobody can resume it while its registers are still being stored.
 */
#ifndef KC_COROUTINE_H
#define KC_COROUTINE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "arch/kc_switch.h"
#include "core/kc_layout.h"
#include "kc_sanitize.h"
#include "kc_stack.h"
#include "kcoro/kc_co.h"

typedef struct kc_worker kc_worker;
struct kc_sched;

/* A gate lets one through for each opening, and remembers at most one opening. */
enum { KC_GATE_SHUT = 0, KC_GATE_OPEN = 1, KC_GATE_WAITED = 2 /* somebody waits before it */ };
typedef _Atomic uint32_t kc_gate;

/* READY in its scheduler's hands: told apart from one that whoever resumes it may take. kc_co_state_of says READY. */
#if KC_MUTANT == 63 /* one in a scheduler's queue looks like one that a thread may resume */
enum { KC_CO_QUEUED = KC_CO_READY };
#else
enum { KC_CO_QUEUED = 6 };
#endif

/* Why a coroutine gave the thread to others. */
enum { KC_LEAVE_YIELD = 0, KC_LEAVE_WAIT = 1, KC_LEAVE_END = 2 };

/* A stack that is left and entered: a coroutine's, or that of a thread that runs coroutines. */
typedef struct kc_side {
    kc_context context; /* where it goes on */
    kc_fibre fibre;
} kc_side;

struct kc_co {
    kc_side side;
    kc_worker *worker;  /* that runs it; of one without a scheduler stale */
    _Atomic(struct kc_sched *) sched; /* NULL: nobody schedules it */
    kc_co *next;           /* in a list of ready ones */
    _Atomic uint32_t *word; /* what it waits at, and the bit that says so (KC_LEAVE_WAIT) */
    uint32_t seen;          /* of it, before it left */
    uint32_t asleep;
    _Atomic uint32_t state;
    uint32_t leave;
    kc_side *back;         /* of whoever resumed it; one with a scheduler leaves for the next instead */
    uint32_t place;        /* its own in its scheduler's shared queues, 0: none (kc_ready.h) */
    kc_gate park;          /* kc_co_unpark: its user's alone */
    kc_gate rest;          /* kc_co_rouse */
    _Atomic uint32_t refs;
    kc_co_fn fn; /* NULL: it is the parent's, and this a child of fork */
    void *arg;
    kc_stack stack; /* as made; once the state is FINISHED it was given back, or just is */
    char name[KC_CO_NAME_BYTES];
};

/* What a thread knows of itself. Asked anew after every switch: the compiler would keep the address of a thread's
 * variable over it, and then it is another thread's. */
typedef struct kc_here {
    kc_co *co;
    kc_worker *worker;
    bool guarded; /* it has an alternate stack (guard.c) */
} kc_here;
kc_here *kc_here_get(void);

/* A coroutine on this stack, which it takes over when the answer is KC_OK. */
int kc_co_make_on(const kc_co_config *config, kc_stack *stack, kc_co **co_out);
/* KC_OK: the caller alone has it, to run it or to hand it on; it was CREATED, SUSPENDED or READY, and of no scheduler,
 * and is RUNNING from now on. KC_EBUSY: another has it; KC_EAGAIN: it is parked; KC_EPIPE: it has finished. */
int kc_co_take(kc_co *co, uint32_t *was_out);
/* A reference less. true: it was the last, and the record is the caller's to free. Whoever holds the only one is
 * alone. */
static inline bool kc_co_is_last(kc_co *co) {
    return atomic_load_explicit(&co->refs, memory_order_acquire) == 1 ||
           atomic_fetch_sub_explicit(&co->refs, 1, memory_order_acq_rel) == 1;
}
/* What a coroutine does on its stack when it was entered again, or for the first time. */
void kc_co_arrive(kc_co *co);
/* co->leave says why: gives the thread back to whoever resumed it (coroutine.c), or to the next one (worker.c). Both
 * return when it is entered again. */
void kc_co_give_back(kc_co *co);
void kc_sched_pass_on(kc_co *co);

/* true: whoever waited is to be made ready, by the caller. */
static inline bool kc_gate_open(kc_gate *gate) {
    uint32_t seen = atomic_load_explicit(gate, memory_order_relaxed);

    /* A store even where it is open already: what was done before this opening must be seen behind the gate too. */
    while (!atomic_compare_exchange_weak_explicit(gate, &seen, seen == KC_GATE_WAITED ? KC_GATE_SHUT : KC_GATE_OPEN,
                                                  memory_order_acq_rel, memory_order_relaxed))
        ;
    return seen == KC_GATE_WAITED;
}
/* true: it was open, and is shut behind the caller. */
static inline bool kc_gate_pass(kc_gate *gate) {
    return atomic_load_explicit(gate, memory_order_relaxed) == KC_GATE_OPEN &&
           atomic_exchange_explicit(gate, KC_GATE_SHUT, memory_order_acq_rel) == KC_GATE_OPEN;
}

/* What is stored before it, its registers above all, is seen by whoever takes it over because of its state. */
static inline void kc_co_state_set(kc_co *co, uint32_t state) {
    atomic_store_explicit(&co->state, state, memory_order_release);
}
/* Park and unpark for a part of the library that stands above the runtime: at a gate of its own, so it takes no unpark
 * of a user's and leaves none behind. An opening of somebody earlier may still be there: whoever rests looks again what
 * it waits for. The coroutine that runs here; from any thread, one that cannot have ended. */
void kc_co_rest(void);
void kc_co_rouse(kc_co *co);
static inline struct kc_sched *kc_co_sched(const kc_co *co) {
    return atomic_load_explicit(&co->sched, memory_order_relaxed);
}
/* The coroutine that runs here; returns when it is entered again. */
static inline void kc_co_leave(kc_co *co, uint32_t why) {
    co->leave = why;
    if (kc_co_sched(co) != NULL)
        kc_sched_pass_on(co);
    else
        kc_co_give_back(co);
}
static inline void kc_co_waits_at(kc_co *co, _Atomic uint32_t *word, uint32_t seen, uint32_t asleep) {
    co->word = word;
    co->seen = seen;
    co->asleep = asleep;
}
/* The coroutine that runs here waits while *word is `seen`: the bit `asleep` is set in it once the stack has been left,
 * and whoever clears that bit makes it ready. false: it was another already, and the others had a turn at most. */
static inline bool kc_co_wait(kc_co *co, _Atomic uint32_t *word, uint32_t seen, uint32_t asleep) {
    kc_co_waits_at(co, word, seen, asleep);
    kc_co_leave(co, KC_LEAVE_WAIT);
    return co->leave == KC_LEAVE_WAIT;
}
/* The same, for one that has a scheduler. */
static inline void kc_sched_wait(kc_co *co, _Atomic uint32_t *word, uint32_t seen, uint32_t asleep) {
    kc_co_waits_at(co, word, seen, asleep);
    co->leave = KC_LEAVE_WAIT;
    kc_sched_pass_on(co);
}
/* For whoever was entered in its place, once it has left for KC_LEAVE_WAIT. true: it waits, and is somebody else's;
 * false: it has but yielded. */
static inline bool kc_co_falls_asleep(kc_co *co) {
    uint32_t seen = co->seen;
    bool asleep = atomic_compare_exchange_strong_explicit(co->word, &seen, seen | co->asleep, memory_order_acq_rel,
                                                          memory_order_relaxed);

    if (!asleep)
        co->leave = KC_LEAVE_YIELD;
    return asleep;
}
/* Its scheduler puts it into a queue (worker.c). */
void kc_sched_ready(kc_co *co);
/* One of a scheduler was entered: what became of whoever left for it is seen to. */
void kc_sched_arrived(kc_co *co);
/* This thread, which is about to run coroutines, gets an alternate stack while anybody wants overflows told, unless it
 * has one; it is given back when the thread ends. Without memory it goes without, and asks again the next time
 * (guard.c). */
void kc_guard_thread(void);
/* From now on, for good: in a child of fork(2) its thread is no worker and in no coroutine of a scheduler (forked.c).
 * KC_ENOMEM. */
int kc_fork_watch(void);

#endif
