/* bench_tasks.c: what it costs to make a coroutine, to run it and to end it; and how work spreads over two workers.
 *
 *   bench_tasks spawn SECONDS    nanoseconds a coroutine: made by another one in groups of 64, empty, ended
 *   bench_tasks spread SECONDS   nanoseconds a task: groups of 1,024, all made in one worker's queue,
 *                                each computes a little
 *   bench_tasks stolen SECONDS   the same; prints how many of a hundred tasks another worker took
 *
 * As many workers as there are processors to run on.
 */
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "bench_clock.h"
#include "kcoro/kc_sched.h"

enum { SMALL = 64, LARGE = 1024, STEPS = 256 };

typedef struct bench_group {
    kc_sched *sched;
    kc_co *maker;
    kc_co_fn task;
    uint32_t size;
    int stolen; /* prints that instead of nanoseconds */
    _Atomic uint32_t left;
    _Atomic uint64_t sum;
    const char *seconds;
    int code;
} bench_group;

static void finish(bench_group *group)
{
    if (atomic_fetch_sub_explicit(&group->left, 1, memory_order_acq_rel) == 1) {
        kc_co_unpark(group->maker);
    }
}

static void empty(void *context)
{
    finish(context);
}

static void compute(void *context)
{
    bench_group *group = context;
    uint64_t x = (uint64_t)(uintptr_t)&group | 1;
    for (int i = 0; i < STEPS; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    atomic_fetch_add_explicit(&group->sum, x & 1, memory_order_relaxed);
    finish(group);
}

static uint64_t round_group(void *context)
{
    bench_group *group = context;
    atomic_store_explicit(&group->left, group->size, memory_order_relaxed);
    for (uint32_t i = 0; i < group->size; i++) {
        if (kc_sched_spawn(group->sched, group->task, group, NULL) != KC_OK) {
            return 0; /* the others still run: the program ends */
        }
    }
    while (atomic_load_explicit(&group->left, memory_order_acquire) != 0) {
        kc_co_park();
    }
    return group->size;
}

static int report_stolen(bench_group *group)
{
    double end = bench_now_ns() + atof(group->seconds) * 1e9;
    uint64_t done = 0;
    kc_sched_usage before, after;
    kc_sched_measure(group->sched, &before);
    while (bench_now_ns() < end) {
        uint64_t count = round_group(group);
        if (count == 0) {
            return 1;
        }
        done += count;
    }
    kc_sched_measure(group->sched, &after);
    printf("%.4f\n", 100.0 * (double)(after.steals - before.steals) / (double)done);
    return 0;
}

static void make_groups(void *context)
{
    bench_group *group = context;
    group->maker = kc_co_self();
    group->code = group->stolen ? report_stolen(group) : bench_report(round_group, group, group->seconds);
}

static uint32_t processors(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? (uint32_t)CPU_COUNT(&set) : 1;
}

int main(int argc, char **argv)
{
    const char *mode = argc == 3 ? argv[1] : "";
    int spawn = strcmp(mode, "spawn") == 0, stolen = strcmp(mode, "stolen") == 0;
    bench_group group = {.task = spawn ? empty : compute, .size = spawn ? SMALL : LARGE, .stolen = stolen,
                         .seconds = argc == 3 ? argv[2] : "", .code = 1};
    if (!spawn && !stolen && strcmp(mode, "spread") != 0) {
        fprintf(stderr, "usage: bench_tasks spawn|spread|stolen SECONDS\n");
        return 2;
    }
    kc_sched_config config = {.workers = processors()};
    if (kc_sched_make(&config, &group.sched) == KC_OK) {
        (void)kc_sched_spawn(group.sched, make_groups, &group, NULL);
        kc_sched_free(group.sched);
    }
    return group.code;
}
