/* clock.c: kc_clock.h. */
#include "kc_clock.h"

#include <stddef.h>

#include "kcoro/kc_sched.h"

enum { MOST_TIMERS = 1 << 20 };

static void come_nearer(kc_wake *wake, int32_t code) {
    kc_clock *c = (kc_clock *)(void *)((char *)wake - offsetof(kc_clock, nearer));

    (void)code;
    kc_poller_wake(&c->poller);
}

static void *tick(void *arg) {
    kc_clock *c = arg;

    while (atomic_load(&c->stopping) == 0) {
        (void)kc_timers_run(&c->timers, kc_now_ns());
        (void)kc_poller_wait(&c->poller, kc_timers_next_ns(&c->timers));
    }
    return NULL;
}

static int start(kc_clock *c) {
    int rc = kc_poller_begin(&c->poller, 0);

    if (rc == KC_OK) {
        c->nearer.call = come_nearer;
        kc_timers_begin(&c->timers, MOST_TIMERS, &c->nearer);
        rc = pthread_create(&c->thread, NULL, tick, c) == 0 ? KC_OK : KC_ENOMEM;
        if (rc != KC_OK) {
            kc_timers_end(&c->timers);
            kc_poller_end(&c->poller);
        }
    }
    return rc;
}

int kc_clock_start(kc_clock *c) {
    int rc = KC_OK;

    if (atomic_load_explicit(&c->running, memory_order_acquire) != 0)
        return rc;
    (void)pthread_mutex_lock(&c->lock); /* no kc_lock: a thread is started under it */
    if (atomic_load_explicit(&c->running, memory_order_relaxed) == 0) {
        rc = start(c);
        atomic_store_explicit(&c->running, rc == KC_OK, memory_order_release);
    }
    (void)pthread_mutex_unlock(&c->lock);
    return rc;
}

void kc_clock_end(kc_clock *c) {
    if (atomic_load_explicit(&c->running, memory_order_acquire) == 0)
        return;
    atomic_store(&c->stopping, 1);
    kc_poller_wake(&c->poller);
    (void)pthread_join(c->thread, NULL);
    kc_timers_end(&c->timers);
    kc_poller_end(&c->poller);
    atomic_store(&c->running, 0);
}

static void ring(kc_wake *wake, int32_t code) {
    kc_alarm *alarm = (kc_alarm *)(void *)((char *)wake - offsetof(kc_alarm, wake));

    (void)code;
    kc_wait_tell(alarm->wait, KC_WAIT_TIME);
}

/* What has passed anyway needs no clock. */
static uint32_t failure(int rc, int64_t deadline_ns) {
    uint32_t what = rc == KC_EDQUOT ? KC_WAIT_NO_FILE : KC_WAIT_NO_MEMORY;

    return deadline_ns <= kc_now_ns() ? KC_WAIT_TIME : what;
}

int kc_alarm_set(kc_sched *sched, kc_alarm *alarm, kc_wait *wait, int64_t deadline_ns) {
    kc_clock *c = kc_sched_clock(sched);
    int rc = kc_clock_start(c);

    *alarm = (kc_alarm){.wake = {.call = ring}, .wait = wait};
    if (rc == KC_OK)
        rc = kc_timers_add(&c->timers, deadline_ns, &alarm->wake, &alarm->id);
    if (rc != KC_OK) {
        alarm->id = 0;
        kc_wait_tell(wait, failure(rc, deadline_ns));
    }
    return rc;
}

/* Too late means that the waiter is told, or is just about to be: then that is waited for. */
void kc_alarm_clear(kc_sched *sched, kc_alarm *alarm) {
#if KC_MUTANT == 58 /* an alarm that is just being called is not waited for */
    (void)kc_timers_cancel(&kc_sched_clock(sched)->timers, alarm->id);
#else
    if (alarm->id != 0 && kc_timers_cancel(&kc_sched_clock(sched)->timers, alarm->id) == 0)
        (void)kc_wait_for(alarm->wait, KC_WAIT_TIME, KC_NEVER);
#endif
    alarm->id = 0;
}
