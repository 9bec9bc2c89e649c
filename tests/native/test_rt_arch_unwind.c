/* A backtrace through the switch: the frames of the stack that runs, and an end where the stack begins
 * (native/arch). */
#include <unwind.h>

#include "kc_fibre.h"

enum { MOST = 64 };

typedef struct walk {
    fibre *main;
    void *functions[MOST]; /* the first address of each, innermost first */
    int count;
    _Unwind_Reason_Code end;
} walk;

static _Unwind_Reason_Code step(struct _Unwind_Context *context, void *arg) {
    walk *w = arg;

    if (w->count == MOST)
        return _URC_NORMAL_STOP;
    if (_Unwind_GetIP(context) == 0) /* libgcc's way to say that nobody called */
        return _URC_NO_REASON;
    w->functions[w->count++] = _Unwind_FindEnclosingFunction((void *)_Unwind_GetIP(context));
    return _URC_NO_REASON;
}

static __attribute__((noinline)) void look(walk *w) {
    w->count = 0;
    w->end = _Unwind_Backtrace(step, w);
    __asm__ volatile("" ::: "memory"); /* not a tail call */
}

static __attribute__((noinline)) void deeper(walk *w, int depth) {
    if (depth == 0)
        look(w);
    else
        deeper(w, depth - 1);
    __asm__ volatile("" ::: "memory");
}

static int times(const walk *w, void *function) {
    int found = 0;

    for (int i = 0; i < w->count; i++)
        found += w->functions[i] == function;
    return found;
}

static void walk_twice(fibre *self) {
    walk *w = self->arg;

    deeper(w, 3);
    f_switch(self, w->main);
    deeper(w, 5);
}

static void check(const walk *w, int depth) {
    KC_CHECK_EQ(w->end, _URC_END_OF_STACK);
    KC_CHECK(w->count < MOST);
    KC_CHECK_EQ(times(w, (void *)(uintptr_t)deeper), depth + 1);
    KC_CHECK_EQ(times(w, (void *)(uintptr_t)f_entry), 1);
    KC_REQUIRE(w->count >= 2);
    KC_CHECK(w->functions[w->count - 2] == (void *)(uintptr_t)f_entry); /* and the frame that called it is the last */
}

KC_TEST(a_backtrace_ends_where_the_stack_begins) {
    fibre main = f_thread(), f;
    walk w = {.main = &main};

    f_make(&f, &main, walk_twice, &w);
    f_switch(&main, &f);
    check(&w, 3);
    f_switch(&main, &f);
    check(&w, 5);
    f_free(&f);
}

static walk applied;

static void walk_here(void) {
    look(&applied);
    __asm__ volatile("" ::: "memory");
}

static __attribute__((noinline)) void apply(const kc_registers *staged) {
    kc_token_apply(staged, walk_here);
    __asm__ volatile("" ::: "memory");
}

KC_TEST(a_backtrace_passes_the_token_stub_whatever_is_staged) {
    kc_registers staged;

    memset(&staged, 0x5a, sizeof staged);
    apply(&staged);
    KC_CHECK_EQ(applied.end, _URC_END_OF_STACK);
    KC_CHECK_EQ(times(&applied, (void *)(uintptr_t)walk_here), 1);
    KC_CHECK_EQ(times(&applied, (void *)(uintptr_t)kc_token_apply), 1);
    KC_CHECK_EQ(times(&applied, (void *)(uintptr_t)apply), 1);
}

int main(void) {
    KC_RUN(a_backtrace_passes_the_token_stub_whatever_is_staged);
    KC_RUN(a_backtrace_ends_where_the_stack_begins);
    return kc_test_report();
}
