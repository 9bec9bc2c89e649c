/* test_rt_guard.c: an overflow is told with the coroutine's name, whoever runs it; handlers of signals have a stack to
 * run on. */
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kc_rt.h"
#include "runtime/kc_coroutine.h"

/* ---- what is told, and how it ends ---- */

static __attribute__((noinline)) int grows(volatile char *above, int depth) {
    volatile char room[2048];

    room[0] = (char)depth;
    room[2047] = above != NULL ? *above : 0;
    return depth == 0 ? 0 : grows(room, depth - 1) + room[0];
}

static void overflows(void *arg) { *(int *)arg = grows(NULL, 1 << 20); }

static kc_co *deep_co(void) {
    static int depth;

    return rt_co(overflows, &depth, "deep thought");
}

static kc_sched *telling_sched(void) {
    kc_sched_config config = {.workers = 1, .stack_bytes = RT_STACK_BYTES, .flags = KC_SCHED_TELL_OVERFLOW};
    kc_sched *sched = NULL;

    KC_REQUIRE(kc_sched_make(&config, &sched) == KC_OK);
    return sched;
}

static void in_a_scheduler(void) {
    kc_sched *sched = telling_sched();

    (void)kc_sched_adopt(sched, deep_co());
    kc_sched_free(sched);
}

static void by_hand(void) {
    if (kc_guard_begin() == KC_OK)
        (void)kc_co_resume(deep_co());
}

static void *resumes(void *arg) {
    (void)kc_co_resume(arg);
    return NULL;
}

static void in_another_thread(void) {
    pthread_t thread;

    if (kc_guard_begin() == KC_OK && pthread_create(&thread, NULL, resumes, deep_co()) == 0)
        (void)pthread_join(thread, NULL);
}

static void beside_a_scheduler_that_tells(void) {
    kc_sched *sched = telling_sched();

    (void)kc_co_resume(deep_co());
    kc_sched_free(sched);
}

static void resumes_deep(void *arg) {
    (void)arg;
    (void)kc_co_resume(deep_co());
}

static void in_a_coroutine_of_a_scheduler_that_does_not_tell(void) {
    kc_sched *sched = rt_sched(1);

    if (kc_guard_begin() == KC_OK)
        rt_spawn(sched, resumes_deep, NULL);
    kc_sched_free(sched);
}

static void after_the_guard_ended_and_began_again(void) {
    kc_co *first = rt_co(resumes_deep, NULL, "first");

    if (kc_guard_begin() == KC_OK)
        kc_guard_end();
    if (kc_guard_begin() == KC_OK && kc_guard_begin() == KC_OK)
        kc_guard_end(); /* one is left */
    (void)kc_co_resume(first);
}

/* In a child: what it said on stderr, and how it ended. */
static int overflow_in_child(void (*runs)(void), char *said, size_t said_bytes) {
    int ends[2];
    int status = 0;
    size_t at = 0;
    ssize_t n = 0;

    KC_REQUIRE(pipe(ends) == 0);
    pid_t child = fork();
    KC_REQUIRE(child >= 0);
    if (child == 0) {
        (void)dup2(ends[1], STDERR_FILENO);
        runs();
        _exit(0);
    }
    (void)close(ends[1]);
    while (at < said_bytes - 1 && (n = read(ends[0], said + at, said_bytes - 1 - at)) > 0)
        at += (size_t)n;
    said[at] = 0;
    (void)close(ends[0]);
    KC_REQUIRE(waitpid(child, &status, 0) == child);
    return status;
}

static void check_overflow(void (*runs)(void), const char *expected) {
    char said[4096];
    int status = overflow_in_child(runs, said, sizeof said);

    KC_CHECK(strstr(said, expected) == said); /* words of a sanitizer or an emulator may follow */
    KC_CHECK_EQ(strstr(said, "kcoro: coroutine") != NULL, expected[0] != 0);
#ifdef RT_SANITIZED
    KC_CHECK(WIFSIGNALED(status) || WEXITSTATUS(status) != 0); /* the sanitizer's own handler had it next */
#else
    KC_CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
#endif
}

KC_TEST(an_overflow_hits_the_guard_and_says_whose_it_was) {
    static void (*const ways[])(void) = {in_a_scheduler,
                                         by_hand,
                                         in_another_thread,
                                         beside_a_scheduler_that_tells,
                                         in_a_coroutine_of_a_scheduler_that_does_not_tell,
                                         after_the_guard_ended_and_began_again};
    char expected[128];

    (void)snprintf(expected, sizeof expected, "kcoro: coroutine 'deep thought' overflowed its stack of %d bytes\n",
                   RT_STACK_BYTES);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
        check_overflow(ways[i], expected);
}

static void unguarded(void) { (void)kc_co_resume(deep_co()); }

static void no_longer_guarded(void) {
    if (kc_guard_begin() == KC_OK)
        kc_guard_end();
    (void)kc_co_resume(deep_co());
}

KC_TEST(an_overflow_that_nobody_wants_told_ends_the_program_in_silence) {
    check_overflow(unguarded, "");
    check_overflow(no_longer_guarded, "");
}

static void not_ours(int number) { (void)number; }

/* In a child: how a SIGSEGV that is sent ends it, with this disposition before. */
static int sent_in_child(void (*before)(int number)) {
    int status = 0;
    pid_t child = fork();

    KC_REQUIRE(child >= 0);
    if (child == 0) {
        (void)signal(SIGSEGV, before);
        kc_sched *sched = telling_sched();
        (void)kill(getpid(), SIGSEGV);
        if (before != SIG_DFL) /* that one would have ended it */
            (void)kill(getpid(), SIGSEGV);
        kc_sched_free(sched);
        _exit(7);
    }
    KC_REQUIRE(waitpid(child, &status, 0) == child);
    return status;
}

KC_TEST(a_fault_that_is_sent_does_what_it_did_before) {
    int status = sent_in_child(SIG_DFL);

    KC_CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    status = sent_in_child(SIG_IGN);
    KC_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    status = sent_in_child(not_ours);
    KC_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

KC_TEST(a_handler_that_was_installed_later_stays) {
    struct sigaction kept, now, theirs = {.sa_handler = not_ours};
    kc_sched *sched = NULL;

    KC_REQUIRE(sigaction(SIGSEGV, NULL, &kept) == 0);
    sched = telling_sched();
    KC_REQUIRE(sigaction(SIGSEGV, &theirs, NULL) == 0);
    kc_sched_free(sched);
    KC_REQUIRE(sigaction(SIGSEGV, &kept, &now) == 0);
    KC_CHECK(now.sa_handler == not_ours);
}

/* ---- alternate stacks ---- */

static stack_t alternate(void) {
    stack_t now = {0};

    KC_REQUIRE(sigaltstack(NULL, &now) == 0);
    return now;
}

static void does_nothing(void *arg) { (void)arg; }

static void resume_one(void) {
    kc_co *co = rt_co(does_nothing, NULL, NULL);

    KC_CHECK_EQ(kc_co_resume(co), KC_OK);
    kc_co_drop(co);
}

static void *gets_one(void *arg) {
    stack_t first = alternate();

    resume_one();
    KC_CHECK_EQ(alternate().ss_flags, 0);
    if (first.ss_flags == 0) /* a sanitizer's: it stays */
        KC_CHECK(alternate().ss_sp == first.ss_sp);
    *(stack_t *)arg = alternate();
    resume_one();
    KC_CHECK(alternate().ss_sp == ((stack_t *)arg)->ss_sp);
    return NULL;
}

static void *keeps_its_own(void *arg) {
    static char mine[64 << 10];
    stack_t wanted = {.ss_sp = mine, .ss_size = sizeof mine}, before = alternate();

    KC_REQUIRE(sigaltstack(&wanted, NULL) == 0);
    resume_one();
    KC_CHECK(alternate().ss_sp == (void *)mine);
    KC_REQUIRE(sigaltstack(&before, NULL) == 0);
    (void)arg;
    return NULL;
}

static void *has_none(void *arg) {
    stack_t before = alternate();

    resume_one();
    KC_CHECK_EQ(alternate().ss_flags, before.ss_flags);
    (void)arg;
    return NULL;
}

static void in_a_thread(void *(*fn)(void *), void *arg) {
    pthread_t thread;

    KC_REQUIRE(pthread_create(&thread, NULL, fn, arg) == 0);
    KC_REQUIRE(pthread_join(thread, NULL) == 0);
}

KC_TEST(a_thread_that_resumes_has_an_alternate_stack_until_it_ends_unless_it_has_its_own) {
    stack_t seen = {0};

    in_a_thread(has_none, NULL);
    KC_REQUIRE(kc_guard_begin() == KC_OK);
    in_a_thread(gets_one, &seen);
    KC_CHECK(seen.ss_size >= (16U << 10));
    in_a_thread(keeps_its_own, NULL);
    kc_guard_end();
    in_a_thread(has_none, NULL);
}

/* ---- a handler of the program while a coroutine runs ---- */

#ifdef RT_SANITIZED
enum { HANDLER_BYTES = 16 << 10 }; /* the alternate stacks of sanitizers are small */
#else
enum { HANDLER_BYTES = 48 << 10 };
#endif
enum { COROUTINE_BYTES = RT_STACK_BYTES / 2 };

static kc_co *handled;               /* the coroutine that was interrupted */
static volatile sig_atomic_t beside; /* the handler stood on another stack than it */

static void needs_much(int number) {
    volatile char room[HANDLER_BYTES];
    kc_co *co = kc_co_self();

    for (size_t i = 0; i < sizeof room; i += 256)
        room[i] = (char)number;
    handled = co;
    beside = (const uint8_t *)room + sizeof room <= co->stack.bottom ||
             (const uint8_t *)room >= (uint8_t *)kc_stack_top(&co->stack);
}

static void is_interrupted(void *arg) {
    volatile char room[COROUTINE_BYTES];
    size_t whole = 0;

    for (size_t i = 0; i < sizeof room; i++)
        room[i] = (char)i;
    KC_CHECK_EQ(raise(SIGUSR1), 0);
    for (size_t i = 0; i < sizeof room; i++)
        whole += room[i] == (char)i;
    *(size_t *)arg = whole;
}

KC_TEST(a_handler_on_the_alternate_stack_has_room_while_a_coroutine_uses_its_own) {
    struct sigaction ours = {.sa_handler = needs_much, .sa_flags = SA_ONSTACK}, before;
    size_t whole = 0;
    kc_co *co = rt_co(is_interrupted, &whole, "interrupted");

    KC_REQUIRE(kc_guard_begin() == KC_OK);
    KC_REQUIRE(sigaction(SIGUSR1, &ours, &before) == 0);
    KC_CHECK_EQ(kc_co_resume(co), KC_OK);
    KC_CHECK(handled == co);
    KC_CHECK_EQ(beside, 1);
    KC_CHECK_EQ(whole, COROUTINE_BYTES);
    kc_co_drop(co);
    kc_sched *sched = telling_sched(); /* a worker's too */
    handled = NULL;
    beside = 0;
    whole = 0;
    KC_REQUIRE(kc_sched_spawn(sched, is_interrupted, &whole, &co) == KC_OK);
    kc_sched_free(sched);
    KC_CHECK(handled == co);
    KC_CHECK_EQ(beside, 1);
    KC_CHECK_EQ(whole, COROUTINE_BYTES);
    kc_co_drop(co);
    KC_REQUIRE(sigaction(SIGUSR1, &before, NULL) == 0);
    kc_guard_end();
}

int main(void) {
    KC_RUN(an_overflow_hits_the_guard_and_says_whose_it_was);
    KC_RUN(an_overflow_that_nobody_wants_told_ends_the_program_in_silence);
    KC_RUN(a_fault_that_is_sent_does_what_it_did_before);
    KC_RUN(a_handler_that_was_installed_later_stays);
    KC_RUN(a_thread_that_resumes_has_an_alternate_stack_until_it_ends_unless_it_has_its_own);
    KC_RUN(a_handler_on_the_alternate_stack_has_room_while_a_coroutine_uses_its_own);
    return kc_test_report();
}
