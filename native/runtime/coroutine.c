/* coroutine.c: kc_co.h without a scheduler: make, resume, yield, park, unpark (kc_coroutine.h). */
#include "kc_coroutine.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A thread's own; the functions that return its address are never folded into others. */
static _Thread_local kc_here here;

KC_APART kc_here *kc_here_get(void) {
    kc_here *mine = &here;

    __asm__ volatile("" : "+r"(mine)); /* so no compiler takes two calls for one */
    return mine;
}

kc_co *kc_co_self(void) { return kc_here_get()->co; }

/* The lowest frame of every coroutine's stack. */
static void begin(void *arg) {
    kc_co *co = arg;

    kc_co_arrive(co);
    co->fn(co->arg);
    if (co->fn == NULL) /* in a child of fork, where nobody could go on (forked.c) */
        abort();
    kc_co_leave(co, KC_LEAVE_END);
}

void kc_co_rename(kc_co *co, const char *name) { (void)snprintf(co->name, sizeof co->name, "%s", name); }

/* In hexadecimal, by hand: snprintf takes longer than all else that making a coroutine takes. Returns behind the last
 * digit. */
static char *write_number(char *at, size_t number) {
    uint32_t bits = 64 - (uint32_t)__builtin_clzll((unsigned long long)number | 1);

    for (uint32_t left = (bits + 3) / 4 * 4; left != 0; left -= 4)
        *at++ = "0123456789abcdef"[(number >> (left - 4)) & 15];
    return at;
}

static void name(kc_co *co, const char *wanted) {
    if (wanted != NULL) {
        kc_co_rename(co, wanted);
    } else {
        memcpy(co->name, "co-", 3);
        *write_number(co->name + 3, (size_t)co >> 4) = '\0'; /* its record's place, as good as a number */
    }
}

_Static_assert(3 + 2 * sizeof(size_t) < KC_CO_NAME_BYTES, "the longest number fits");

int kc_co_make_on(const kc_co_config *config, kc_stack *stack, kc_co **co_out) {
    kc_co *co = stack->spare != NULL ? stack->spare : malloc(sizeof *co);
    int rc = co != NULL ? KC_OK : KC_ENOMEM;

    if (rc == KC_OK) {
        stack->spare = NULL;
        memset(co, 0, sizeof *co);
        co->fn = config->fn;
        co->arg = config->arg;
        co->refs = 1;
        co->stack = *stack;
        name(co, config->name);
        kc_fibre_make(&co->side.fibre, stack->bottom, stack->bytes, co->name);
        kc_context_make(&co->side.context, kc_stack_top(stack), begin, co);
        *stack = (kc_stack){0};
        *co_out = co;
    }
    return rc;
}

int kc_co_make(const kc_co_config *config, kc_co **co_out) {
    kc_stack stack = {0};
    int rc = config->fn != NULL ? KC_OK : KC_EINVAL;

    if (rc == KC_OK)
        rc = kc_stack_map(config->stack_bytes != 0 ? config->stack_bytes : KC_CO_STACK_BYTES, &stack);
    if (rc == KC_OK && (rc = kc_co_make_on(config, &stack, co_out)) != KC_OK)
        kc_stack_unmap(&stack);
    return rc;
}

void kc_co_keep(kc_co *co) {
    if (co != NULL)
        (void)atomic_fetch_add_explicit(&co->refs, 1, memory_order_relaxed);
}

void kc_co_drop(kc_co *co) {
    if (co != NULL && kc_co_is_last(co)) {
        kc_fibre_free(&co->side.fibre);
        if (kc_co_state_of(co) != KC_CO_FINISHED)
            kc_stack_unmap(&co->stack);
        free(co);
    }
}

void kc_co_arrive(kc_co *co) {
    if (kc_co_sched(co) != NULL)
        kc_sched_arrived(co);
    else
        kc_fibre_enter(&co->side.fibre, &co->back->fibre);
}

/* It may come back under a scheduler. */
void kc_co_give_back(kc_co *co) {
    kc_fibre_leave(&co->side.fibre, &co->back->fibre, co->leave == KC_LEAVE_END);
    kc_switch(&co->side.context, &co->back->context);
    kc_co_arrive(co);
}

/* Whoever resumed one that forked is the parent's in the child, as if it had forked itself (forked.c): its thread is no
 * worker there. */
static kc_co *still_here(const kc_here *mine, kc_co *outer) {
    if (outer != NULL && kc_co_sched(outer) != NULL && mine->worker == NULL) {
        outer->fn = NULL;
        outer = NULL;
    }
    return outer;
}

/* Runs it here until it leaves. */
static void enter(kc_co *co) {
    kc_here *mine = kc_here_get(); /* whoever resumes a coroutine stays on its thread meanwhile */
    kc_co *outer = mine->co;
    kc_side back;

    kc_fibre_here(&back.fibre);
    co->back = &back;
    mine->co = co;
    kc_fibre_leave(&back.fibre, &co->side.fibre, 0);
    kc_switch(&back.context, &co->side.context);
    kc_fibre_enter(&back.fibre, &co->side.fibre);
    mine->co = still_here(mine, outer);
}

/* What became of it, once it has left. */
static void settle(kc_co *co) {
    if (co->leave == KC_LEAVE_YIELD) {
        kc_co_state_set(co, KC_CO_SUSPENDED);
    } else if (co->leave == KC_LEAVE_END) {
        kc_stack stack = co->stack;
        kc_fibre_free(&co->side.fibre);
        kc_co_state_set(co, KC_CO_FINISHED); /* first: kc_co_stack */
        kc_stack_unmap(&stack);
    } else {
        kc_co_state_set(co, KC_CO_PARKED);
        if (!kc_co_falls_asleep(co))
            kc_co_state_set(co, KC_CO_READY);
    }
}

static int refusal(uint32_t state) {
    int rc = KC_EBUSY;

    if (state == KC_CO_PARKED)
        rc = KC_EAGAIN;
    else if (state == KC_CO_FINISHED)
        rc = KC_EPIPE;
    return rc;
}

/* The state is looked at first: one that is seen before somebody adopts it is not seen twice, for it becomes QUEUED,
 * and one that is seen after shows the scheduler too. */
int kc_co_take(kc_co *co, uint32_t *was_out) {
    uint32_t state = atomic_load_explicit(&co->state, memory_order_acquire);
    bool free = kc_co_sched(co) == NULL;
    bool can = free && (state == KC_CO_CREATED || state == KC_CO_SUSPENDED || state == KC_CO_READY);
    int rc = free ? refusal(state) : KC_EBUSY;

    *was_out = state;
#if KC_MUTANT == 63 || KC_MUTANT == 64
    (void)sched_yield(); /* that others come between is sure to happen, even on one processor */
#endif
#if KC_MUTANT == 64 /* whoever finds it ready takes it, without looking whether another did meanwhile */
    if (can)
        kc_co_state_set(co, KC_CO_RUNNING);
    return can ? KC_OK : rc;
#endif
    if (can && atomic_compare_exchange_strong_explicit(&co->state, &state, KC_CO_RUNNING, memory_order_acq_rel,
                                                       memory_order_relaxed))
        rc = KC_OK;
    return rc;
}

int kc_co_resume(kc_co *co) {
    uint32_t was = 0;
    int rc = kc_co_take(co, &was);

    if (rc == KC_OK) {
        kc_guard_thread();
        enter(co);
        settle(co);
    }
    return rc;
}

void kc_co_yield(void) {
    kc_co *co = kc_co_self();

    if (co != NULL)
        kc_co_leave(co, KC_LEAVE_YIELD);
}

/* Until the gate is opened; it is shut behind the caller. */
static void wait_before(kc_co *co, kc_gate *gate) {
#if KC_MUTANT == 34 /* an unpark that came before the park is forgotten */
    bool passed = kc_gate_pass(gate);
    (void)sched_yield();
    while (!passed && !kc_co_wait(co, gate, KC_GATE_SHUT, KC_GATE_WAITED))
        (void)atomic_exchange(gate, KC_GATE_SHUT);
    return;
#endif
    if (!kc_gate_pass(gate) && !kc_co_wait(co, gate, KC_GATE_SHUT, KC_GATE_WAITED))
        (void)atomic_exchange_explicit(gate, KC_GATE_SHUT, memory_order_acq_rel); /* opened while it left */
}

int kc_co_park(void) {
    kc_co *co = kc_co_self();
    int rc = co != NULL ? KC_OK : KC_EINVAL;

    if (rc == KC_OK)
        wait_before(co, &co->park);
    return rc;
}

/* A scheduler's goes into a queue; another can be resumed from now on. */
static void make_ready(kc_co *co) {
    if (kc_co_sched(co) != NULL)
        kc_sched_ready(co);
    else
        atomic_store_explicit(&co->state, KC_CO_READY, memory_order_release);
}

int kc_co_unpark(kc_co *co) {
    int rc = kc_co_state_of(co) != KC_CO_FINISHED ? KC_OK : KC_EPIPE;

    if (rc == KC_OK && kc_gate_open(&co->park))
        make_ready(co);
    return rc;
}

void kc_co_rest(void) {
    kc_co *co = kc_co_self();

    wait_before(co, &co->rest);
}

void kc_co_rouse(kc_co *co) {
    if (kc_gate_open(&co->rest))
        make_ready(co);
}

enum kc_co_state kc_co_state_of(const kc_co *co) {
    uint32_t state = atomic_load_explicit(&co->state, memory_order_acquire);

    return state == KC_CO_QUEUED ? KC_CO_READY : (enum kc_co_state)state;
}

const char *kc_co_name(const kc_co *co) { return co->name; }

/* A stack is given back after the state was set: what was counted of one that had been given back is not told. */
void kc_co_stack(const kc_co *co, size_t *size_bytes_out, size_t *touched_bytes_out) {
    size_t touched = kc_co_state_of(co) != KC_CO_FINISHED ? kc_stack_touched(&co->stack) : 0;
    bool there = kc_co_state_of(co) != KC_CO_FINISHED;

    *size_bytes_out = there ? co->stack.bytes : 0;
    *touched_bytes_out = there ? touched : 0;
}
