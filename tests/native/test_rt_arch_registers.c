/* What a switch and the token stub keep: every callee-saved register, sp, and how floating point rounds
 * (native/arch). */
#include <fenv.h>

#include "arch/kc_holding.h" /* tests/native/arch */
#include "kc_fibre.h"

enum { SWITCHES = 1000000, FIBRES = 2, ROUNDS = SWITCHES / (FIBRES + 1) + 1 };

static uint64_t next(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Any value for each register, any for the control bits that change no behaviour but rounding and tiny numbers. */
static kc_frame any_frame(uint64_t *state) {
    kc_frame live;

    for (size_t at = 0; at < sizeof live; at += sizeof(uint64_t)) {
        uint64_t value = next(state);
        memcpy((char *)&live + at, &value, sizeof value);
    }
#if defined(__x86_64__)
    live.mxcsr = 0x1f80u | (live.mxcsr & 0xe07fu); /* all masked; rounding, flush to zero, denormals, flags */
    live.x87cw = (uint16_t)(0x7fu | (live.x87cw & 0xc00u) | (live.x87cw & 0x200u)); /* rounding, precision 24 or 53 */
    live.unused = 0;
    live.rip = 0;
#else
    live.fpcr &= 0x3c00000u; /* rounding, flush to zero, default NaN */
    live.unused = 0;
    live.x30 = 0;
#endif
    return live;
}

typedef struct holder {
    fibre f;
    uint64_t state;
    uint32_t rounds, bad;
    struct holder *next;
} holder;

/* Switches to the next one with registers of its own in hand. */
static void hold(holder *h) {
    kc_frame want = any_frame(&h->state), live = want;
    void *fake = NULL;

    f_leave(&h->next->f, &fake);
    t_switch_holding(&live, &h->f.context, &h->next->f.context);
    f_arrive(&h->next->f, fake);
    if (memcmp(&want, &live, sizeof want) != 0 && h->bad++ == 0)
        KC_CHECK_MEM(&want, &live, sizeof want);
    h->rounds++;
}

static void hold_on(fibre *self) {
    holder *h = self->arg;

    while (h->rounds < ROUNDS)
        hold(h);
}

KC_TEST(a_million_switches_keep_every_saved_register_and_sp) {
    holder all[FIBRES + 1] = {{.f = f_thread()}};
    holder *thread = &all[0];

    for (uint32_t i = 0; i <= FIBRES; i++) {
        all[i].state = 0x9e3779b97f4a7c15u * (i + 1);
        all[i].next = &all[i == FIBRES ? 0 : i + 1];
    }
    for (uint32_t i = 1; i <= FIBRES; i++)
        f_make(&all[i].f, &all[i - 1].f, hold_on, &all[i]);
    while (thread->rounds < ROUNDS)
        hold(thread);
    for (uint32_t i = 0; i <= FIBRES; i++) {
        KC_CHECK(all[i].rounds >= ROUNDS - 1);
        KC_CHECK_EQ(all[i].bad, 0);
    }
    for (uint32_t i = 1; i <= FIBRES; i++)
        f_free(&all[i].f);
}

/* ---- rounding ---- */

typedef struct rounder {
    fibre *main;
    int mode, began, kept;
    double third;
    long double long_third;
} rounder;

static void round_so(fibre *self) {
    rounder *r = self->arg;
    volatile double one = 1, three = 3;
    volatile long double long_one = 1, long_three = 3;

    r->began = fegetround();
    fesetround(r->mode);
    f_switch(self, r->main);
    r->kept = fegetround();
    r->third = one / three;
    r->long_third = long_one / long_three;
}

KC_TEST(each_side_of_a_switch_rounds_as_it_chose) {
    fibre main = f_thread(), f[2];
    rounder up = {.main = &main, .mode = FE_UPWARD}, down = {.main = &main, .mode = FE_DOWNWARD};

    f_make(&f[0], &main, round_so, &up);
    f_make(&f[1], &main, round_so, &down);
    for (int i = 0; i < 4; i++) {
        f_switch(&main, &f[i % 2]);
        KC_CHECK_EQ(fegetround(), FE_TONEAREST);
    }
    KC_CHECK_EQ(up.kept, FE_UPWARD);
    KC_CHECK_EQ(down.kept, FE_DOWNWARD);
    KC_CHECK(up.third > down.third);
    KC_CHECK(up.long_third > down.long_third);
    f_free(&f[0]);
    f_free(&f[1]);
}

KC_TEST(a_new_stack_starts_with_the_rounding_of_its_maker) {
    fibre main = f_thread(), f;
    rounder r = {.main = &main, .mode = FE_DOWNWARD};

    fesetround(FE_TOWARDZERO);
    f_make(&f, &main, round_so, &r);
    fesetround(FE_TONEAREST);
    f_switch(&main, &f);
    f_switch(&main, &f);
    KC_CHECK_EQ(r.began, FE_TOWARDZERO);
    f_free(&f);
}

/* ---- where a stack begins ---- */

static void note_sp(fibre *self) { *(uintptr_t *)self->arg = (uintptr_t)__builtin_frame_address(0); }

KC_TEST(entry_has_an_aligned_sp_below_any_end_of_a_stack) {
    for (size_t spare = 0; spare < 2 * KC_STACK_ALIGN; spare++) {
        fibre main = f_thread(), f;
        uintptr_t sp = 1;

        f_make_below(&f, &main, note_sp, &sp, spare);
        f_switch(&main, &f);
        KC_CHECK_EQ(sp % KC_STACK_ALIGN, 0);
        for (size_t i = 1; i <= spare; i++)
            KC_CHECK_EQ(((char *)f.stack)[F_STACK_BYTES - i], F_SPARE);
        f_free(&f);
    }
}

KC_TEST(a_context_needs_no_more_stack_than_it_says) {
    _Alignas(16) char room[KC_CONTEXT_BYTES + 64];
    kc_context context;

    memset(room, F_SPARE, sizeof room);
    kc_context_make(&context, room + sizeof room - 1, NULL, NULL);
    KC_CHECK((char *)context.sp >= room + 64 - 1);
    for (int i = 0; i < 63; i++)
        KC_CHECK_EQ(room[i], F_SPARE);
    KC_CHECK_EQ(room[sizeof room - 1], F_SPARE);
}

KC_TEST(a_new_stack_starts_with_zeroes_for_the_other_registers_and_no_caller) {
    _Alignas(16) char room[KC_CONTEXT_BYTES];
    const kc_frame *frame;
    kc_context context;
    uint64_t top[2];

    memset(room, F_SPARE, sizeof room);
#if defined(__x86_64__)
    __asm__ volatile("movl $-1, %%eax" ::: "rax"); /* what a call finds there is nobody's promise */
#endif
    kc_context_make(&context, room + sizeof room, NULL, NULL);
    frame = context.sp;
#if defined(__x86_64__)
    const uint64_t zeroes[] = {frame->r12, frame->r13, frame->r14, frame->r15, frame->rbx, frame->rbp, frame->unused};
#else
    const uint64_t zeroes[] = {frame->x19, frame->x20, frame->x21, frame->x22, frame->x23, frame->x24, frame->x25,
                               frame->x26, frame->x27, frame->x28, frame->x29, frame->d8,  frame->d9,  frame->d10,
                               frame->d11, frame->d12, frame->d13, frame->d14, frame->d15, frame->unused};
#endif
    for (size_t i = 0; i < sizeof zeroes / sizeof *zeroes; i++)
        KC_CHECK_EQ(zeroes[i], 0);
    memcpy(top, (char *)context.sp + KC_FRAME_TOP, sizeof top);
    KC_CHECK_EQ(top[0] | top[1], 0);
}

/* ---- the token stub ---- */

static kc_registers told;
static uintptr_t told_sp;
static int tellings;

void t_tell(const kc_registers *seen, uintptr_t sp) {
    told = *seen;
    told_sp = sp;
    tellings++;
}

static kc_registers any_registers(uint64_t *state) {
    kc_registers staged;

    for (size_t at = 0; at < sizeof staged; at += sizeof(uint64_t)) {
        uint64_t value = next(state);
        memcpy((char *)&staged + at, &value, sizeof value);
    }
    return staged;
}

KC_TEST(a_continuation_runs_with_the_staged_registers_and_the_caller_gets_its_own_back) {
    uint64_t state = 7;

    for (int i = 0; i < 10000; i++) {
        kc_frame want = any_frame(&state), live = want;
        kc_registers staged = any_registers(&state), before = staged;

        tellings = 0;
        t_apply_holding(&live, &staged, t_continuation);
        KC_CHECK_EQ(tellings, 1);
        KC_CHECK_MEM(&told, &staged, sizeof told);
        KC_CHECK_MEM(&staged, &before, sizeof staged);
        KC_CHECK_MEM(&live, &want, sizeof live);
        KC_CHECK_EQ(told_sp % KC_STACK_ALIGN, 0);
        KC_REQUIRE(atomic_load(&kc_test_faults) == 0);
    }
}

/* ---- the 128 bytes below sp that are the caller's by the ABI ---- */

#if defined(__x86_64__)
/* Fills them with -16 to -1, switches, and counts those that came back otherwise. Below 256 bytes that the compiler may
 * have put something into. */
static __attribute__((noinline)) uint64_t lost_below_sp(kc_context *from, const kc_context *to) {
    uint64_t lost = 0;

    __asm__ volatile("subq $256, %%rsp\n\t"
                     "movq $-16, %%rax\n"
                     "2:\tmovq %%rax, (%%rsp,%%rax,8)\n\t"
                     "incq %%rax\n\t"
                     "jnz 2b\n\t"
                     "leaq 1f(%%rip), %%rdx\n\t"
                     "jmp kc_switch_jump\n"
                     "1:\tendbr64\n\t"
                     "movq $-16, %%rax\n"
                     "3:\tcmpq %%rax, (%%rsp,%%rax,8)\n\t"
                     "je 4f\n\t"
                     "incq %[lost]\n"
                     "4:\tincq %%rax\n\t"
                     "jnz 3b\n\t"
                     "addq $256, %%rsp"
                     : "+D"(from), "+S"(to), [lost] "+b"(lost)
                     :
                     : KC_CALL_CLOBBERS);
    return lost;
}

static void goes_back(fibre *self) { f_switch(self, self->back); }

KC_TEST(what_the_caller_keeps_below_sp_is_there_after_a_switch) {
    fibre main = f_thread(), f;
    void *fake = NULL;
    uint64_t lost = 0;

    f_make(&f, &main, goes_back, NULL);
    f_leave(&f, &fake);
    lost = lost_below_sp(&main.context, &f.context);
    f_arrive(&f, fake);
    KC_CHECK_EQ(lost, 0);
    f_switch(&main, &f);
    f_free(&f);
}
#endif

int main(void) {
    KC_RUN(a_million_switches_keep_every_saved_register_and_sp);
    KC_RUN(each_side_of_a_switch_rounds_as_it_chose);
    KC_RUN(a_new_stack_starts_with_the_rounding_of_its_maker);
    KC_RUN(entry_has_an_aligned_sp_below_any_end_of_a_stack);
    KC_RUN(a_context_needs_no_more_stack_than_it_says);
    KC_RUN(a_new_stack_starts_with_zeroes_for_the_other_registers_and_no_caller);
#if defined(__x86_64__)
    KC_RUN(what_the_caller_keeps_below_sp_is_there_after_a_switch);
#else
    printf("skipped: what_the_caller_keeps_below_sp_is_there_after_a_switch: "
           "this ABI lets nobody use what is below sp\n");
#endif
    KC_RUN(a_continuation_runs_with_the_staged_registers_and_the_caller_gets_its_own_back);
    return kc_test_report();
}
