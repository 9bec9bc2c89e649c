/* kc_co.h: coroutines: functions that can stop in the middle and go on later, each on a stack of its own.
 *
 * A coroutine runs where it is resumed: by a scheduler (kc_sched.h), or by kc_co_resume without one. It is not a
 * thread: it gives way only where it says so (yield, park, end, and whatever waits for it: channels, sleep, scopes).
 * Invariants: a coroutine runs on one thread at a time; every unpark is seen by exactly one park, whichever comes
 * first; a stack has 64 KiB below it that nobody may touch.
 *
 * Signals: a handler of the program runs on whatever stack its thread is on just then, a coroutine's too, with what
 * that one has left; the kernel's own frame there takes getauxval(AT_MINSIGSTKSZ), 3 KiB and more. One that needs more
 * than a few hundred bytes beside that is installed with SA_ONSTACK and runs on the thread's alternate stack:
 * kc_guard_begin gives 64 KiB to threads that have none. A handler may call kc_co_self and kc_co_name, and nothing else
 * of this library.
 */
#ifndef KC_CO_H
#define KC_CO_H

#include <stddef.h>
#include <stdint.h>

#include "kcoro/kc_types.h"
#ifdef __cplusplus
extern "C" {
#endif

typedef struct kc_co kc_co;
typedef void (*kc_co_fn)(void *arg);

enum kc_co_state {
    KC_CO_CREATED = 0,   /* never ran */
    KC_CO_READY = 1,     /* waits for its turn */
    KC_CO_RUNNING = 2,
    KC_CO_SUSPENDED = 3, /* it yielded, and belongs to no scheduler: whoever resumes it next goes on with it */
    KC_CO_PARKED = 4,    /* waits for an unpark, or for what it asked for */
    KC_CO_FINISHED = 5
};

enum { KC_CO_NAME_BYTES = 32, KC_CO_STACK_BYTES = 64 << 10 /* what a stack_bytes of 0 means */ };

typedef struct kc_co_config {
    kc_co_fn fn;
    void *arg;
    const char *name;     /* copied, cut at 31 bytes; NULL: "co-" and a number */
    uint32_t stack_bytes; /* 0 = 64 KiB; rounded up to pages */
} kc_co_config;

/* A coroutine that nobody schedules, with one reference. KC_ENOMEM, KC_EINVAL (no fn, more than 1 GiB of stack). */
KC_API int kc_co_make(const kc_co_config *config, kc_co **co_out);
/* One more reference, one less; NULL is allowed. A coroutine that runs or waits holds one itself once a scheduler has
 * it; of one that nobody schedules the last drop frees the stack, whatever was on it. */
KC_API void kc_co_keep(kc_co *co);
KC_API void kc_co_drop(kc_co *co);

/* The coroutine that runs here, NULL outside of one; right after it moved to another thread too. */
KC_API kc_co *kc_co_self(void);

/* Runs it here until it yields, parks or ends. Only for coroutines that no scheduler has.
 * KC_OK; KC_EBUSY: it runs elsewhere, or a scheduler has it; KC_EAGAIN: it is parked; KC_EPIPE: it has finished. */
KC_API int kc_co_resume(kc_co *co);
/* Lets others run. In a scheduler: goes behind all who are ready. Outside a coroutine: does nothing. */
KC_API void kc_co_yield(void);
/* Waits until it was unparked once; an unpark that came before counts, once. KC_OK; KC_EINVAL outside a coroutine. */
KC_API int kc_co_park(void);
/* From any thread. KC_OK: it is ready, or will not wait at its next park. KC_EPIPE: it has finished. */
KC_API int kc_co_unpark(kc_co *co);

KC_API enum kc_co_state kc_co_state_of(const kc_co *co);
KC_API const char *kc_co_name(const kc_co *co);
/* Before it is handed to anybody else, or by itself. */
KC_API void kc_co_rename(kc_co *co, const char *name);
/* From now on, until kc_guard_end was called as often: a SIGSEGV that hits the guard below a coroutine's stack is told
 * on stderr, with the coroutine's name, before it is passed on to whoever handled the signal before (process-wide). Of
 * coroutines that kc_co_resume runs; a scheduler has a flag of its own for this. Each thread that resumes one meanwhile
 * gets an alternate stack of 64 KiB (sigaltstack(2)) unless it has one, until it ends. KC_ENOMEM. */
KC_API int kc_guard_begin(void);
KC_API void kc_guard_end(void);
/* Bytes of its stack, and how many were ever touched, in pages: a stack that was used before keeps its mark, and what
 * was swapped out below all the rest does not count. 0 and 0 when it has finished. From any thread. */
KC_API void kc_co_stack(const kc_co *co, size_t *size_bytes_out, size_t *touched_bytes_out);

#ifdef __cplusplus
}
#endif
#endif
