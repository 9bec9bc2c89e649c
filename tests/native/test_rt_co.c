/* test_rt_co.c: coroutines without a scheduler: resume, yield, park, unpark, names, references, stacks. */
#include <errno.h>
#include <stdbool.h>
#include <unistd.h>

#include "kc_rt.h"
#include "runtime/kc_stack.h"

typedef struct diary {
    int at;
    char events[64];
} diary;

static void note(diary *d, char event) { d->events[d->at++] = event; }

static void yields_twice(void *arg) {
    note(arg, 'a');
    kc_co_yield();
    note(arg, 'b');
    kc_co_yield();
    note(arg, 'c');
}

KC_TEST(a_coroutine_goes_on_where_it_yielded) {
    diary d = {0};
    kc_co *co = rt_co(yields_twice, &d, "writer");

    KC_CHECK_EQ(kc_co_state_of(co), KC_CO_CREATED);
    for (int i = 0; i < 2; i++) {
        KC_CHECK_EQ(kc_co_resume(co), KC_OK);
        KC_CHECK_EQ(kc_co_state_of(co), KC_CO_SUSPENDED);
        note(&d, '-');
    }
    KC_CHECK_EQ(kc_co_resume(co), KC_OK);
    KC_CHECK_EQ(kc_co_state_of(co), KC_CO_FINISHED);
    KC_CHECK_EQ(kc_co_resume(co), KC_EPIPE);
    KC_CHECK_EQ(kc_co_unpark(co), KC_EPIPE);
    KC_CHECK_STR(d.events, "a-b-c");
    kc_co_drop(co);
}

static void knows_itself(void *arg) {
    kc_co **seen = arg;

    *seen = kc_co_self();
    KC_CHECK_EQ(kc_co_state_of(*seen), KC_CO_RUNNING);
    KC_CHECK_EQ(kc_co_resume(*seen), KC_EBUSY);
}

KC_TEST(a_coroutine_knows_itself_and_a_thread_is_none) {
    kc_co *seen = NULL;
    kc_co *co = rt_co(knows_itself, &seen, NULL);

    KC_CHECK(kc_co_self() == NULL);
    KC_CHECK_EQ(kc_co_park(), KC_EINVAL);
    kc_co_yield();
    KC_CHECK_EQ(kc_co_resume(co), KC_OK);
    KC_CHECK(seen == co);
    KC_CHECK(kc_co_self() == NULL);
    kc_co_drop(co);
}

typedef struct nest {
    kc_co *inner;
    kc_co *self_between;
} nest;

static void resumes_another(void *arg) {
    nest *n = arg;

    KC_CHECK_EQ(kc_co_resume(n->inner), KC_OK);
    n->self_between = kc_co_self();
    KC_CHECK_EQ(kc_co_resume(n->inner), KC_OK);
}

KC_TEST(a_coroutine_may_resume_another_and_is_itself_again_after) {
    diary d = {0};
    nest n = {.inner = rt_co(yields_twice, &d, "inner")};
    kc_co *outer = rt_co(resumes_another, &n, "outer");

    KC_CHECK_EQ(kc_co_resume(outer), KC_OK);
    KC_CHECK(n.self_between == outer);
    KC_CHECK_STR(d.events, "ab");
    KC_CHECK_EQ(kc_co_state_of(n.inner), KC_CO_SUSPENDED);
    kc_co_drop(outer);
    kc_co_drop(n.inner); /* suspended for ever: its stack goes with it */
}

static void parks_twice(void *arg) {
    note(arg, 'a');
    KC_CHECK_EQ(kc_co_park(), KC_OK);
    note(arg, 'b');
    KC_CHECK_EQ(kc_co_park(), KC_OK);
    note(arg, 'c');
}

KC_TEST(an_unpark_after_the_park_resumes_once) {
    diary d = {0};
    kc_co *co = rt_co(parks_twice, &d, NULL);

    KC_CHECK_EQ(kc_co_resume(co), KC_OK);
    KC_CHECK_EQ(kc_co_state_of(co), KC_CO_PARKED);
    KC_CHECK_EQ(kc_co_resume(co), KC_EAGAIN);
    KC_CHECK_EQ(kc_co_unpark(co), KC_OK);
    KC_CHECK_EQ(kc_co_state_of(co), KC_CO_READY);
    KC_CHECK_EQ(kc_co_resume(co), KC_OK);
    KC_CHECK_EQ(kc_co_state_of(co), KC_CO_PARKED);
    KC_CHECK_STR(d.events, "ab");
    KC_CHECK_EQ(kc_co_unpark(co), KC_OK);
    KC_CHECK_EQ(kc_co_resume(co), KC_OK);
    KC_CHECK_STR(d.events, "abc");
    kc_co_drop(co);
}

KC_TEST(unparks_before_the_park_count_once) {
    diary d = {0};
    kc_co *co = rt_co(parks_twice, &d, NULL);

    KC_CHECK_EQ(kc_co_unpark(co), KC_OK);
    KC_CHECK_EQ(kc_co_unpark(co), KC_OK);
    KC_CHECK_EQ(kc_co_resume(co), KC_OK);
    KC_CHECK_STR(d.events, "ab"); /* the first park passed, the second waits */
    KC_CHECK_EQ(kc_co_state_of(co), KC_CO_PARKED);
    kc_co_drop(co);
}

KC_TEST(names_are_kept_cut_and_given) {
    diary d = {0};
    kc_co *co = rt_co(yields_twice, &d, "a name that is longer than the room for it");
    kc_co *nameless = rt_co(yields_twice, &d, NULL);
    char number[KC_CO_NAME_BYTES];

    KC_CHECK_STR(kc_co_name(co), "a name that is longer than the ");
    (void)snprintf(number, sizeof number, "co-%zx", (size_t)nameless >> 4);
    KC_CHECK_STR(kc_co_name(nameless), number);
    kc_co_rename(co, "new");
    KC_CHECK_STR(kc_co_name(co), "new");
    kc_co_drop(co);
    kc_co_drop(nameless);
}

KC_TEST(what_cannot_be_made_is_refused) {
    kc_co *co = NULL;

    KC_CHECK_EQ(kc_co_make(&(kc_co_config){.fn = NULL}, &co), KC_EINVAL);
    KC_CHECK_EQ(kc_co_make(&(kc_co_config){.fn = knows_itself, .stack_bytes = (1U << 30) + 1}, &co), KC_EINVAL);
    KC_CHECK(co == NULL);
    kc_co_drop(NULL);
    kc_co_keep(NULL);
}

static void uses_stack(void *arg) {
    volatile char room[40 << 10];

    for (size_t i = 0; i < sizeof room; i += 512)
        room[i] = 1;
    *(int *)arg = room[0];
    kc_co_yield();
}

static void yields_at_once(void *arg) {
    (void)arg;
    kc_co_yield();
}

KC_TEST(the_high_water_mark_says_what_was_touched) {
    int ran = 0;
    size_t size = 0, touched = 0;
    kc_co *co = rt_co(uses_stack, &ran, NULL);
    kc_co *small = rt_co(yields_at_once, NULL, NULL);

    KC_CHECK_EQ(kc_co_resume(small), KC_OK);
    kc_co_stack(small, &size, &touched);
    KC_CHECK_EQ(size, RT_STACK_BYTES);
#ifndef RT_SANITIZED
    KC_CHECK_EQ(touched, 4096); /* with the record: within 4.5 KiB of a parked coroutine */
#endif
    KC_CHECK_EQ(kc_co_resume(co), KC_OK);
    kc_co_stack(co, &size, &touched);
    KC_CHECK(touched >= 40 << 10 && touched <= size);
    KC_CHECK_EQ(kc_co_resume(co), KC_OK);
    kc_co_stack(co, &size, &touched);
    KC_CHECK_EQ(size + touched, 0);
    kc_co_drop(co);
    kc_co_drop(small);
}

/* write(2) says whether a byte can be read. */
static bool faults(const uint8_t *at) {
    int ends[2];
    bool refused = false;

    KC_REQUIRE(pipe(ends) == 0);
    refused = write(ends[1], at, 1) < 0 && errno == EFAULT;
    (void)close(ends[0]);
    (void)close(ends[1]);
    return refused;
}

KC_TEST(a_frame_of_60_kib_does_not_step_over_the_guard) {
    enum { FRAME = 60 << 10 };
    kc_stack stack = {0};

    KC_REQUIRE(kc_stack_map(RT_STACK_BYTES, &stack) == KC_OK);
    KC_CHECK_EQ(stack.bytes, RT_STACK_BYTES);
    KC_CHECK(!faults(stack.bottom));
    KC_CHECK(!kc_stack_guards(&stack, stack.bottom));
    for (int below = 1; below <= FRAME; below += 4095) {
        KC_CHECK(faults(stack.bottom - below));
        KC_CHECK(kc_stack_guards(&stack, stack.bottom - below));
    }
    kc_stack_unmap(&stack);
}

static long resident_pages(void) {
    long whole = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    KC_REQUIRE(file != NULL && fscanf(file, "%ld %ld", &whole, &resident) == 2);
    (void)fclose(file);
    return resident;
}

static long mappings(void) {
    long lines = 0;
    FILE *file = fopen("/proc/self/maps", "r");

    KC_REQUIRE(file != NULL);
    for (int c = 0; (c = fgetc(file)) != EOF;)
        lines += c == '\n';
    (void)fclose(file);
    return lines;
}

static void ends_at_once(void *arg) { ++*(long *)arg; }

KC_TEST(a_hundred_thousand_lives_leave_memory_flat) {
    long lives = 0;
    long pages = 0, maps = 0;

    for (long i = 0; i < 100000 / RT_SCALE; i++) {
        kc_co *co = rt_co(ends_at_once, &lives, NULL);
        KC_CHECK_EQ(kc_co_resume(co), KC_OK);
        kc_co_drop(co);
        if (i == 100) {
            pages = resident_pages();
            maps = mappings();
        }
    }
    KC_CHECK_EQ(lives, 100000 / RT_SCALE);
    KC_CHECK(mappings() <= maps + 4);
#if defined(RT_SANITIZED) || defined(KC_EMULATED)
    pages = resident_pages(); /* a sanitizer's or an emulator's own memory grows */
#endif
    KC_CHECK(resident_pages() <= pages + 64);
}

int main(void) {
    KC_RUN(a_coroutine_goes_on_where_it_yielded);
    KC_RUN(a_coroutine_knows_itself_and_a_thread_is_none);
    KC_RUN(a_coroutine_may_resume_another_and_is_itself_again_after);
    KC_RUN(an_unpark_after_the_park_resumes_once);
    KC_RUN(unparks_before_the_park_count_once);
    KC_RUN(names_are_kept_cut_and_given);
    KC_RUN(what_cannot_be_made_is_refused);
    KC_RUN(the_high_water_mark_says_what_was_touched);
    KC_RUN(a_frame_of_60_kib_does_not_step_over_the_guard);
    KC_RUN(a_hundred_thousand_lives_leave_memory_flat);
    return kc_test_report();
}
