/* bench_clock.h: how the native programs measure: rounds of a fixed piece of work until the wanted time has passed,
 * the clock read once a round. */
#ifndef BENCH_CLOCK_H
#define BENCH_CLOCK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline double bench_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* Runs round(context), which answers how many operations it did (0: it failed), and prints nanoseconds per operation.
 * The first round warms up. Returns the program's exit code. */
static inline int bench_report(uint64_t (*round)(void *), void *context, const char *seconds)
{
    double wanted_ns = atof(seconds) * 1e9;
    uint64_t done = 0, count = round(context);
    double begin = bench_now_ns(), now = begin;
    while (count > 0 && now - begin < wanted_ns) {
        count = round(context);
        done += count;
        now = bench_now_ns();
    }
    if (count == 0 || done == 0) {
        fprintf(stderr, "an operation failed\n");
        return 1;
    }
    printf("%.3f\n", (now - begin) / (double)done);
    return 0;
}

#endif
