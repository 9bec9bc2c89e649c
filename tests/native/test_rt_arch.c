/* The switch of stacks by itself: who goes on, on which stack, how aligned (native/arch). */
#include "kc_fibre.h"

typedef struct trace {
    int at[16];
    int count;
    uintptr_t alignment;
    int on_own_stack;
    fibre *main, *other;
} trace;

static void note(trace *t, int what) {
    KC_REQUIRE(t->count < 16);
    t->at[t->count++] = what;
}

static void three_steps(fibre *self) {
    trace *t = self->arg;

    for (int step = 1; step <= 3; step++) {
        note(t, 10 + step);
        f_switch(self, t->main);
    }
    note(t, 14);
}

KC_TEST(a_switch_goes_on_where_the_other_side_left_off) {
    fibre main = f_thread(), f;
    trace t = {.main = &main};

    f_make(&f, &main, three_steps, &t);
    for (int step = 1; step <= 4; step++) {
        note(&t, step);
        f_switch(&main, &f);
    }
    const int want[] = {1, 11, 2, 12, 3, 13, 4, 14};
    KC_CHECK_EQ(t.count, 8);
    KC_CHECK_MEM(t.at, want, sizeof want);
    f_free(&f);
}

static void look_around(fibre *self) {
    trace *t = self->arg;
    _Alignas(16) volatile char here[16] = {0};

    t->alignment = (uintptr_t)__builtin_frame_address(0);
    t->on_own_stack = (uintptr_t)here >= (uintptr_t)self->stack &&
                      (uintptr_t)here < (uintptr_t)self->stack + F_STACK_BYTES;
}

KC_TEST(entry_runs_on_the_stack_it_was_given) {
    fibre main = f_thread(), f;
    trace t = {.main = &main};

    f_make(&f, &main, look_around, &t);
    f_switch(&main, &f);
    KC_CHECK(t.on_own_stack);
    KC_CHECK_EQ(t.alignment % KC_STACK_ALIGN, 0);
    f_free(&f);
}

/* Two that know each other and not the thread: the last one goes back to it. */
static void ping(fibre *self) {
    trace *t = self->arg;

    for (int i = 0; i < 3; i++) {
        note(t, self->back == t->main ? 1 : 2);
        f_switch(self, t->other == self ? self->back : t->other);
    }
}

KC_TEST(contexts_switch_among_themselves_without_the_thread) {
    fibre main = f_thread(), a, b;
    trace t = {.main = &main, .other = &b};

    f_make(&a, &main, ping, &t);
    f_make(&b, &a, ping, &t);
    f_switch(&main, &a);
    const int want[] = {1, 2, 1, 2, 1, 2};
    KC_CHECK_EQ(t.count, 6);
    KC_CHECK_MEM(t.at, want, sizeof want);
    f_free(&b);
    f_free(&a);
}

int main(void) {
    KC_RUN(a_switch_goes_on_where_the_other_side_left_off);
    KC_RUN(entry_runs_on_the_stack_it_was_given);
    KC_RUN(contexts_switch_among_themselves_without_the_thread);
    return kc_test_report();
}
