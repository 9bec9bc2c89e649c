/* kc_coroutine.h: the record of a coroutine, and how it is entered and left. Who runs it, and when, is not decided here.
 *
 * A coroutine that is to wait first leaves its stack and is then made to wait by whoever ran it (kc_co_leave, then
 * kc_gate_wait): nobody can resume it while its registers are still being stored.
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

/* Why a coroutine gave the thread back. */
enum { KC_LEAVE_YIELD = 0, KC_LEAVE_PARK = 1, KC_LEAVE_WAIT = 2, KC_LEAVE_END = 3, KC_LEAVE_REST = 4 };

struct kc_co {
    kc_context context; /* where it goes on */
    kc_context *back;   /* where whoever runs it goes on */
    kc_worker *worker;  /* that runs it; NULL for kc_co_resume */
    _Atomic(struct kc_sched *) sched; /* NULL: nobody schedules it */
    kc_co *next;           /* in a list of ready ones */
    uint32_t place;        /* its own in its scheduler's shared queues, 0: none (kc_ready.h) */
    _Atomic uint32_t state;
    kc_gate park;          /* kc_co_unpark: its user's alone */
    kc_gate rest;          /* kc_co_rouse */
    _Atomic uint32_t *word; /* what it waits at, and the bit that says so (KC_LEAVE_WAIT) */
    uint32_t seen;          /* of it, before it left */
    uint32_t asleep;
    _Atomic uint32_t refs;
    uint32_t leave;
    kc_fibre *back_fibre;
    kc_co_fn fn;
    void *arg;
    kc_stack stack; /* as made; once the state is FINISHED it was given back, or just is */
    kc_fibre fibre;
    char name[KC_CO_NAME_BYTES];
};

/* What a thread knows of itself. Asked anew after every switch: the compiler would keep the address of a thread's variable
 * over it, and then it is another thread's. */
typedef struct kc_here {
    kc_co *co;
    kc_worker *worker;
} kc_here;
kc_here *kc_here_get(void);

/* A coroutine on this stack, which it takes over when the answer is KC_OK. */
int kc_co_make_on(const kc_co_config *config, kc_stack *stack, kc_co **co_out);
/* Runs it here until it leaves; says why. */
uint32_t kc_co_enter(kc_co *co);
/* Gives the thread back to whoever runs it; returns when it is entered again. */
void kc_co_leave(kc_co *co, uint32_t why);

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
/* For somebody who has left its stack. true: it waits; false: the gate was open, and it goes on. */
static inline bool kc_gate_wait(kc_gate *gate) {
    uint32_t seen = KC_GATE_SHUT;
    bool waits = atomic_compare_exchange_strong_explicit(gate, &seen, KC_GATE_WAITED, memory_order_acq_rel,
                                                         memory_order_relaxed);

    if (!waits)
        (void)atomic_exchange_explicit(gate, KC_GATE_SHUT, memory_order_acq_rel);
    return waits;
}

/* What is stored before it, its registers above all, is seen by whoever takes it over because of its state. */
static inline void kc_co_state_set(kc_co *co, uint32_t state) {
    atomic_store_explicit(&co->state, state, memory_order_release);
}
/* Waits while *word is `seen`: the bit `asleep` is set in it once the stack has been left, and whoever clears that bit calls
 * kc_co_wake. It may return at once. */
void kc_co_wait(kc_co *co, _Atomic uint32_t *word, uint32_t seen, uint32_t asleep);
/* From any thread. */
void kc_co_wake(kc_co *co);
/* Park and unpark for a part of the library that stands above the runtime: at a gate of its own, so it takes no unpark of a
 * user's and leaves none behind. An opening of somebody earlier may still be there: whoever rests looks again what it waits
 * for. The coroutine that runs here; from any thread, one that cannot have ended. */
void kc_co_rest(void);
void kc_co_rouse(kc_co *co);
/* For whoever runs it, once it has left for KC_LEAVE_PARK, _REST or _WAIT. true: it waits; false: it goes on. */
bool kc_co_falls_asleep(kc_co *co);
static inline struct kc_sched *kc_co_sched(const kc_co *co) {
    return atomic_load_explicit(&co->sched, memory_order_relaxed);
}
/* Its scheduler puts it into a queue (worker.c). */
void kc_sched_ready(kc_co *co);

#endif
