/* kc_timer.h: sleeping, and being unparked at a time.
 *
 * Times are CLOCK_MONOTONIC nanoseconds (kc_now_ns, kc_after_ns): a step of the wall clock changes nothing. Nothing
 * comes before its time; how long after it depends on who else is ready. What is due at one time comes in the order of
 * the calls.
 */
#ifndef KC_TIMER_H
#define KC_TIMER_H

#include "kcoro/kc_sched.h"
#ifdef __cplusplus
extern "C" {
#endif

/* Waits that long, or until then. A coroutine of a scheduler lets others run, whatever else runs blocks its thread. A
 * time that has passed is a yield. An unpark does not end it: it is for the next park. To sleep until a time or a
 * cancel, see kc_cancel_wait. KC_OK; KC_EINVAL: KC_NEVER; it did not sleep: KC_ENOMEM (memory, or 1,048,576 timers),
 * KC_EDQUOT (no descriptor was left to start the scheduler's clock with: it needs two, once). */
KC_API int kc_sleep_ns(int64_t delay_ns);
KC_API int kc_sleep_until_ns(int64_t at_ns);

/* Unparks a coroutine, once, after that long, or then; the timer keeps it, although it may have finished meanwhile. Any
 * thread. *timer_out names this timer, and no later one, whatever the kernel or anybody does.
 * KC_ENOMEM, KC_EDQUOT as above; KC_EINVAL: no scheduler has it, or it has finished. */
KC_API int kc_timer_wake_after(kc_co *co, int64_t delay_ns, kc_ticket *timer_out);
KC_API int kc_timer_wake_at(kc_co *co, int64_t at_ns, kc_ticket *timer_out);
/* A timer of this coroutine's scheduler, which is not freed meanwhile. 1: cancelled, it will not unpark. 0: too late,
 * it did or just does (or was cancelled before), or the coroutine has finished, and it unparks nobody. */
KC_API int kc_timer_cancel(kc_co *co, kc_ticket timer);

#ifdef __cplusplus
}
#endif
#endif
