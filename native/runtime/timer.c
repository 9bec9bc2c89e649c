/* timer.c: kc_timer.h: sleepers and wakers of coroutines, on a scheduler's timers. */
#include "kcoro/kc_timer.h"

#include <stddef.h>
#include <stdlib.h>

#include "kc_clock.h"

/* ---- sleeping; the record stands on the sleeper's stack ---- */

typedef struct sleeper {
    kc_wake wake;
    kc_wait wait;
} sleeper;

static void end_sleep(kc_wake *wake, int32_t code) {
    sleeper *s = (sleeper *)(void *)((char *)wake - offsetof(sleeper, wake));

    (void)code;
    kc_wait_tell(&s->wait, KC_WAIT_TIME);
}

static int sleep_in(kc_clock *clock, sleeper *s, int64_t at_ns) {
    kc_ticket id = 0;
    int rc = kc_clock_start(clock);

    s->wake.call = end_sleep;
    if (rc == KC_OK)
        rc = kc_timers_add(&clock->timers, at_ns, &s->wake, &id);
    if (rc == KC_OK)
        (void)kc_wait_for(&s->wait, KC_WAIT_TIME, KC_NEVER);
    return rc;
}

int kc_sleep_until_ns(int64_t at_ns) {
    sleeper s;
    int rc = at_ns != KC_NEVER ? KC_OK : KC_EINVAL;

    kc_wait_begin(&s.wait);
#if KC_MUTANT == 49 /* a coroutine that sleeps keeps its worker from all others */
    s.wait.co = NULL;
#endif
    if (rc != KC_OK)
        return rc;
    if (at_ns <= kc_now_ns())
        kc_co_yield();
    else if (s.wait.co != NULL)
        rc = sleep_in(kc_sched_clock(kc_co_sched(s.wait.co)), &s, at_ns);
    else
        while (kc_now_ns() < at_ns)
            (void)kc_wait_for(&s.wait, 0, at_ns);
    return rc;
}

int kc_sleep_ns(int64_t delay_ns) { return kc_sleep_until_ns(kc_after_ns(delay_ns)); }

/* ---- unparking at a time; the record is the timer's ---- */

typedef struct waker {
    kc_wake wake;
    kc_co *co;
} waker;

static void unpark(kc_wake *wake, int32_t code) {
    waker *w = (waker *)(void *)((char *)wake - offsetof(waker, wake));

    if (code == KC_ETIME)
        (void)kc_co_unpark(w->co);
    kc_co_drop(w->co);
    free(w);
}

int kc_timer_wake_at(kc_co *co, int64_t at_ns, kc_ticket *timer_out) {
    kc_sched *sched = kc_co_sched(co);
    waker *w = sched != NULL ? malloc(sizeof *w) : NULL;
    int rc = sched != NULL ? KC_ENOMEM : KC_EINVAL;

    if (w != NULL) {
        *w = (waker){.wake = {.call = unpark}, .co = co};
        kc_co_keep(co);
        rc = kc_clock_start(kc_sched_clock(sched));
        if (rc == KC_OK)
            rc = kc_timers_add(&kc_sched_clock(sched)->timers, at_ns, &w->wake, timer_out);
        if (rc != KC_OK)
            unpark(&w->wake, rc);
    }
    return rc;
}

int kc_timer_wake_after(kc_co *co, int64_t delay_ns, kc_ticket *timer_out) {
    return kc_timer_wake_at(co, kc_after_ns(delay_ns), timer_out);
}

int kc_timer_cancel(kc_co *co, kc_ticket timer) {
    kc_sched *sched = kc_co_sched(co);
    kc_clock *clock = sched != NULL ? kc_sched_clock(sched) : NULL;
    kc_wake *wake = NULL;

    if (clock != NULL && atomic_load_explicit(&clock->running, memory_order_acquire) != 0)
        wake = kc_timers_take(&clock->timers, timer);
    if (wake != NULL)
        wake->call(wake, KC_ECANCELED);
    return wake != NULL;
}
