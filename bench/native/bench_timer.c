/* bench_timer.c: what it costs a coroutine to arm a timer and to cancel it before it comes.
 *
 *   bench_timer alone SECONDS   no other timer stands
 *   bench_timer among SECONDS   10,000 others stand, all due before
 *
 * Prints nanoseconds for each pair.
 */
#include <string.h>

#include "bench_clock.h"
#include "kcoro/kc_timer.h"

enum { ROUND = 1024, OTHERS = 10000 };
#define HOUR_NS INT64_C(3600000000000)

typedef struct bench_timers {
    uint32_t others;
    const char *seconds;
    int code;
    kc_ticket standing[OTHERS];
} bench_timers;

static uint64_t round_pair(void *context)
{
    (void)context;
    kc_co *self = kc_co_self();
    for (int i = 0; i < ROUND; i++) {
        kc_ticket timer;
        if (kc_timer_wake_after(self, 2 * HOUR_NS, &timer) != KC_OK || kc_timer_cancel(self, timer) != 1) {
            return 0;
        }
    }
    return ROUND;
}

static void measure(void *context)
{
    bench_timers *timers = context;
    kc_co *self = kc_co_self();
    uint32_t armed = 0;
    while (armed < timers->others &&
           kc_timer_wake_after(self, HOUR_NS + armed, &timers->standing[armed]) == KC_OK) {
        armed++;
    }
    if (armed == timers->others) {
        timers->code = bench_report(round_pair, timers, timers->seconds);
    }
    while (armed > 0) {
        (void)kc_timer_cancel(self, timers->standing[--armed]);
    }
}

int main(int argc, char **argv)
{
    static bench_timers timers = {.code = 1};
    const char *mode = argc == 3 ? argv[1] : "";
    kc_sched_config workers = {.workers = 1};
    kc_sched *sched = NULL;
    if (strcmp(mode, "alone") != 0 && strcmp(mode, "among") != 0) {
        fprintf(stderr, "usage: bench_timer alone|among SECONDS\n");
        return 2;
    }
    timers.others = strcmp(mode, "among") == 0 ? OTHERS : 0;
    timers.seconds = argv[2];
    if (kc_sched_make(&workers, &sched) == KC_OK) {
        (void)kc_sched_spawn(sched, measure, &timers, NULL);
        kc_sched_free(sched);
    }
    return timers.code;
}
