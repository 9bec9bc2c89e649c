/* bench_switch.c: P10, what one switch of stacks costs. There and back again is two of them.
 *
 *   bench_switch ours SECONDS          kc_switch between two loops
 *   bench_switch deep SECONDS          the same, each side two functions below its loop, as in a scheduler
 *   bench_switch swapcontext SECONDS   the C library's, between two loops
 */
#include <string.h>
#include <ucontext.h>

#include "arch/kc_switch.h"
#include "bench_clock.h"

enum { ROUND = 4096, STACK_BYTES = 64 * 1024 };

typedef struct bench_sides {
    kc_context here, there;
    ucontext_t uhere, uthere;
    uint64_t seen; /* what the other side did */
    char *stack;
} bench_sides;

static void other(void *context)
{
    bench_sides *sides = context;
    for (;;) {
        sides->seen++;
        kc_switch(&sides->there, &sides->here);
    }
}

static uint64_t round_ours(void *context)
{
    bench_sides *sides = context;
    uint64_t seen = sides->seen;
    for (int i = 0; i < ROUND; i++) {
        kc_switch(&sides->here, &sides->there);
    }
    return sides->seen - seen == ROUND ? 2 * ROUND : 0;
}

static __attribute__((noinline)) void leave(bench_sides *sides)
{
    kc_switch(&sides->there, &sides->here);
    __asm__ volatile("" ::: "memory");
}

static __attribute__((noinline)) void pause_there(bench_sides *sides)
{
    leave(sides);
    __asm__ volatile("" ::: "memory");
}

static void other_deep(void *context)
{
    bench_sides *sides = context;
    for (;;) {
        sides->seen++;
        pause_there(sides);
    }
}

static __attribute__((noinline)) void enter(bench_sides *sides)
{
    kc_switch(&sides->here, &sides->there);
    __asm__ volatile("" ::: "memory");
}

static __attribute__((noinline)) void resume(bench_sides *sides)
{
    enter(sides);
    __asm__ volatile("" ::: "memory");
}

static uint64_t round_deep(void *context)
{
    bench_sides *sides = context;
    uint64_t seen = sides->seen;
    for (int i = 0; i < ROUND; i++) {
        resume(sides);
    }
    return sides->seen - seen == ROUND ? 2 * ROUND : 0;
}

static void other_ucontext(unsigned high, unsigned low)
{
    bench_sides *sides = (bench_sides *)(uintptr_t)(((uint64_t)high << 32) | low);
    for (;;) {
        sides->seen++;
        swapcontext(&sides->uthere, &sides->uhere);
    }
}

static uint64_t round_ucontext(void *context)
{
    bench_sides *sides = context;
    uint64_t seen = sides->seen;
    for (int i = 0; i < ROUND; i++) {
        swapcontext(&sides->uhere, &sides->uthere);
    }
    return sides->seen - seen == ROUND ? 2 * ROUND : 0;
}

static int measure_ucontext(bench_sides *sides, const char *seconds)
{
    uintptr_t address = (uintptr_t)sides;
    if (getcontext(&sides->uthere) != 0) {
        return 1;
    }
    sides->uthere.uc_stack.ss_sp = sides->stack;
    sides->uthere.uc_stack.ss_size = STACK_BYTES;
    makecontext(&sides->uthere, (void (*)(void))other_ucontext, 2, (unsigned)((uint64_t)address >> 32),
                (unsigned)address);
    return bench_report(round_ucontext, sides, seconds);
}

static int measure(bench_sides *sides, const char *mode, const char *seconds)
{
    int deep = strcmp(mode, "deep") == 0;
    if (strcmp(mode, "swapcontext") == 0) {
        return measure_ucontext(sides, seconds);
    }
    if (!deep && strcmp(mode, "ours") != 0) {
        fprintf(stderr, "usage: bench_switch ours|deep|swapcontext SECONDS\n");
        return 2;
    }
    kc_context_make(&sides->there, sides->stack + STACK_BYTES, deep ? other_deep : other, sides);
    return bench_report(deep ? round_deep : round_ours, sides, seconds);
}

int main(int argc, char **argv)
{
    bench_sides sides = {.stack = malloc(STACK_BYTES)};
    int code = 2;
    if (sides.stack != NULL && argc == 3) {
        code = measure(&sides, argv[1], argv[2]);
    }
    free(sides.stack);
    return code;
}
