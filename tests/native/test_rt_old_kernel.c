/* test_rt_old_kernel.c: the poller on a kernel, or in a sandbox, that has no epoll_pwait2: it is asked once, and the
 * sleep is a timerfd's. syscall(2) is wrapped (KcTests.cmake) and refuses that one call. */
#include <errno.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <time.h>

#include "kc_test.h"
#include "runtime/kc_poller.h"

static int refusal;      /* the error; 0: it is not refused */
static uint32_t refused; /* how often */

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...) {
    long arguments[6];
    long rc = -1;
    bool refuses = false;
    va_list list;

    va_start(list, number);
    for (int i = 0; i < 6; i++)
        arguments[i] = va_arg(list, long);
    va_end(list);
#ifdef SYS_epoll_pwait2
    refuses = refusal != 0 && number == SYS_epoll_pwait2;
#endif
    refused += refuses;
    if (refuses)
        errno = refusal;
    else
        rc = __real_syscall(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
    return rc;
}

static int64_t now_ns(void) {
    struct timespec now;

    KC_REQUIRE(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void sleeps_without(int error) {
    kc_poller p;

    refusal = error;
    refused = 0;
    KC_REQUIRE(kc_poller_begin(&p, 0) == KC_OK);
    for (int i = 1; i <= 3; i++) {
        int64_t deadline_ns = now_ns() + 1000000;
        KC_CHECK_EQ(kc_poller_wait(&p, deadline_ns), 0);
        KC_CHECK(now_ns() >= deadline_ns);
        KC_CHECK(p.by_timerfd && p.timer_fd >= 0);
#ifdef SYS_epoll_pwait2
        KC_CHECK_EQ(refused, 1);
#endif
    }
    kc_poller_end(&p);
    refusal = 0;
}

KC_TEST(a_kernel_without_the_call_is_asked_once_and_the_sleep_is_a_timerfds) { sleeps_without(ENOSYS); }
KC_TEST(so_is_a_sandbox_that_forbids_it) { sleeps_without(EPERM); }

int main(void) {
    KC_RUN(a_kernel_without_the_call_is_asked_once_and_the_sleep_is_a_timerfds);
    KC_RUN(so_is_a_sandbox_that_forbids_it);
    return kc_test_report();
}
