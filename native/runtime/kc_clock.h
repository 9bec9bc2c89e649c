/* kc_clock.h: a scheduler's thread for what comes by itself: times and open files. It starts when somebody first asks
 * for one, sleeps in the poller until the next time or event, and does nothing but tell those who wait.
 *
 * A thread of its own, because every worker may be busy for long when a time comes.
 */
#ifndef KC_CLOCK_H
#define KC_CLOCK_H

#include <pthread.h>

#include "kc_poller.h"
#include "kc_timers.h"
#include "kc_wait.h"

typedef struct kc_clock {
    pthread_mutex_t lock;      /* of the start */
    _Atomic uint32_t running;  /* 1: the rest is there */
    _Atomic uint32_t stopping;
    kc_timers timers;
    kc_poller poller;
    kc_wake nearer;
    pthread_t thread;
} kc_clock;

/* Starts the thread if it does not run. KC_ENOMEM, or what the poller says. */
int kc_clock_start(kc_clock *clock);
/* Ends it; nobody waits. One of zeros too. */
void kc_clock_end(kc_clock *clock);
/* A scheduler's. */
kc_clock *kc_sched_clock(struct kc_sched *sched);

/* Tells one waiter KC_WAIT_TIME at the deadline. Between set and clear the record stays where it is. */
typedef struct kc_alarm {
    kc_wake wake;
    kc_wait *wait;
    kc_ticket id; /* 0: not set */
} kc_alarm;
/* KC_ENOMEM, KC_EDQUOT: the waiter is told so at once (KC_WAIT_NO_MEMORY, KC_WAIT_NO_FILE; KC_WAIT_TIME if that is
 * past). */
int kc_alarm_set(struct kc_sched *sched, kc_alarm *alarm, kc_wait *wait, int64_t deadline_ns);
/* Afterwards the waiter will not be told any more. */
void kc_alarm_clear(struct kc_sched *sched, kc_alarm *alarm);

#endif
