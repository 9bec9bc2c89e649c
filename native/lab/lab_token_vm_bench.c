/* lab_token_vm_bench.c: how long one resume takes: a program of five tokens is staged and its record resumed into a
 * function that does nothing. Nanoseconds come from CLOCK_MONOTONIC. A processor's counter ticks at a rate of its own,
 * which says nothing about cycles: it is named beside its ticks.
 *
 *     lab_token_vm_bench [resumes]        5,000,000 when not said
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "kc_token_vm.h"
#include "kcoro/kc_types.h"

static void nothing(void) {}

void kc_vm_shown(const kc_registers *live) { (void)live; }

static int64_t now_ns(void) {
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

#if defined(__x86_64__)
#define COUNTER "rdtsc"
static uint64_t ticks(void) { return __builtin_ia32_rdtsc(); }
/* The processor does not say it in a way that guests can trust: counted beside the clock. */
static double ticks_per_second(uint64_t counted, double seconds) { return (double)counted / seconds; }
#else
#define COUNTER "cntvct_el0"
static uint64_t ticks(void) {
    uint64_t value;

    __asm__ volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(value)::"memory");
    return value;
}
static double ticks_per_second(uint64_t counted, double seconds) {
    uint64_t value;

    (void)counted;
    (void)seconds;
    __asm__("mrs %0, cntfrq_el0" : "=r"(value));
    return (double)value;
}
#endif

static int run(uint64_t resumes) {
    const kc_vm_token program[] = {
        {.op = KC_VM_LOAD_IMM, .dst = 0, .imm = 1}, {.op = KC_VM_LOAD_IMM, .dst = 1, .imm = 2},
        {.op = KC_VM_LOAD_IMM, .dst = 2, .imm = 3}, {.op = KC_VM_LOAD_IMM, .dst = 3, .imm = 4},
        {.op = KC_VM_END, .imm = (uintptr_t)nothing},
    };
    kc_vm_record record;
    int rc = KC_OK;

    for (uint64_t i = 0; i < resumes && rc == KC_OK; i++) {
        rc = kc_vm_stage(&record, program, sizeof program / sizeof *program);
        if (rc == KC_OK)
            kc_vm_resume(&record);
    }
    return rc;
}

int main(int argc, char **argv) {
    uint64_t resumes = argc > 1 ? strtoull(argv[1], NULL, 10) : 5000000;
    int rc = resumes == 0;

    if (rc != 0) {
        fprintf(stderr, "usage: lab_token_vm_bench [resumes], 1 or more\n");
    } else {
        uint64_t counted = ticks();
        int64_t began = now_ns();
        rc = run(resumes);
        double seconds = (double)(now_ns() - began) / 1e9;
        counted = ticks() - counted;
        printf("resumes=%" PRIu64 " seconds=%.6f resumes/s=%.0f\n", resumes, seconds, (double)resumes / seconds);
        printf("ns/resume=%.2f (CLOCK_MONOTONIC)\n", seconds * 1e9 / (double)resumes);
        printf("ticks/resume=%.2f (" COUNTER " at %.0f ticks/s; ticks of that counter, not cycles)\n",
               (double)counted / (double)resumes, ticks_per_second(counted, seconds));
    }
    return rc != 0;
}
