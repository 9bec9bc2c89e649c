/* test_rt_faults.c: what the handler of SIGSEGV passes on, what it does not take for an overflow, and that it goes. In
 * children: a fault ends a process. */
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kc_rt.h"
#include "runtime/kc_coroutine.h"

static kc_sched *telling_sched(void) {
    kc_sched_config config = {.workers = 1, .stack_bytes = RT_STACK_BYTES, .flags = KC_SCHED_TELL_OVERFLOW};
    kc_sched *sched = NULL;

    KC_REQUIRE(kc_sched_make(&config, &sched) == KC_OK);
    return sched;
}

enum { SAME_ADDRESS = 9, ANOTHER = 8, WENT_ON = 7 };

/* Runs this coroutine in a child: its exit status or -1, and what it said on stderr. */
static int in_child(kc_co_fn fn, void *arg, const struct sigaction *before, char *said, size_t said_bytes) {
    int ends[2];
    int status = 0;
    size_t at = 0;
    ssize_t n = 0;
    pid_t child = -1;

    KC_REQUIRE(pipe(ends) == 0 && (child = fork()) >= 0);
    if (child == 0) {
        (void)dup2(ends[1], STDERR_FILENO);
        (void)sigaction(SIGSEGV, before, NULL);
        kc_sched *sched = telling_sched();
        rt_spawn(sched, fn, arg);
        kc_sched_free(sched);
        _exit(WENT_ON);
    }
    (void)close(ends[1]);
    while (at < said_bytes - 1 && (n = read(ends[0], said + at, said_bytes - 1 - at)) > 0)
        at += (size_t)n;
    said[at] = 0;
    (void)close(ends[0]);
    KC_REQUIRE(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static char *forbidden; /* a page that nobody may touch; a handler has no argument */

static void compares_the_address(int number, siginfo_t *info, void *context) {
    _exit(number == SIGSEGV && info->si_addr == forbidden && context != NULL ? SAME_ADDRESS : ANOTHER);
}

static void touches_what_is_forbidden(void *arg) { *(volatile char *)arg = 1; }

KC_TEST(a_handler_of_before_is_told_all_about_a_fault_that_is_no_overflow) {
    struct sigaction before = {.sa_sigaction = compares_the_address, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    char said[1024];

    forbidden = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    KC_REQUIRE(forbidden != MAP_FAILED);
    KC_CHECK_EQ(in_child(touches_what_is_forbidden, forbidden, &before, said, sizeof said), SAME_ADDRESS);
    KC_CHECK_STR(said, "");
    (void)munmap(forbidden, 4096);
}

/* As sigqueue(3) does, and whoever writes into a siginfo_t what it likes: here an address in the sender's own guard. */
static void sends_itself_a_false_overflow(void *arg) {
    siginfo_t info = {.si_signo = SIGSEGV};

    (void)arg;
    info.si_code = SI_QUEUE;
    info.si_addr = kc_co_self()->stack.bottom - 64;
    KC_CHECK_EQ(syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGSEGV, &info), 0);
}

KC_TEST(a_fault_that_was_sent_is_not_told_as_an_overflow_whatever_address_it_names) {
    struct sigaction before = {.sa_handler = SIG_IGN};
    char said[1024];

    KC_CHECK_EQ(in_child(sends_itself_a_false_overflow, NULL, &before, said, sizeof said), WENT_ON);
    KC_CHECK_STR(said, "");
}

static void is_theirs(int number) { (void)number; }

static void (*handler_now(void))(int number) {
    struct sigaction now = {.sa_flags = 0};

    KC_REQUIRE(sigaction(SIGSEGV, NULL, &now) == 0);
    return now.sa_handler;
}

KC_TEST(the_last_scheduler_that_tells_puts_the_handler_of_before_back) {
    struct sigaction theirs = {.sa_handler = is_theirs}, kept;
    kc_sched *first = NULL, *second = NULL;

    KC_REQUIRE(sigaction(SIGSEGV, &theirs, &kept) == 0);
    first = telling_sched();
    second = telling_sched();
    KC_CHECK(handler_now() != is_theirs);
    kc_sched_free(first);
    KC_CHECK(handler_now() != is_theirs);
    kc_sched_free(second);
    KC_CHECK(handler_now() == is_theirs);
    KC_REQUIRE(sigaction(SIGSEGV, &kept, NULL) == 0);
}

int main(void) {
    KC_RUN(a_handler_of_before_is_told_all_about_a_fault_that_is_no_overflow);
    KC_RUN(a_fault_that_was_sent_is_not_told_as_an_overflow_whatever_address_it_names);
    KC_RUN(the_last_scheduler_that_tells_puts_the_handler_of_before_back);
    return kc_test_report();
}
