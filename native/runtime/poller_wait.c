/* poller_wait.c: sleeping in the poller and being woken (kc_poller.h).
 *
 * The bell is an eventfd of this process alone. Whoever wakes writes it only if somebody sleeps; a ring that comes
 * after the sleep has ended is read by the next one, which then sleeps on.
 */
#include "kc_poller.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { AWAKE = 0, ASLEEP = 1, RUNG = 2 /* the sleep is over, or the next one will be at once */ };
enum { AT_ONCE = 64 };
/* In place of a file's number and telling. */
#define DATA_BELL UINT64_MAX
#define DATA_TIMER (UINT64_MAX - 1)

static int64_t now_ns(void) {
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static struct timespec time_of(int64_t ns) {
    return (struct timespec){.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
}

static int watch_own(kc_poller *p, int fd, uint64_t data) {
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = data};

    return epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? KC_OK : KC_ENOMEM;
}

static void close_if_open(int fd) {
    if (fd >= 0)
        (void)close(fd);
}

int kc_poller_begin(kc_poller *p, uint32_t flags) {
    int rc = KC_EDQUOT;

    *p = (kc_poller){.timer_fd = -1, .by_timerfd = (flags & KC_POLLER_TIMERFD) != 0};
    p->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    p->bell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (p->epoll_fd >= 0 && p->bell_fd >= 0)
        rc = watch_own(p, p->bell_fd, DATA_BELL);
    else if (errno == ENOMEM)
        rc = KC_ENOMEM;
    if (rc != KC_OK)
        kc_poller_end(p);
    return rc;
}

void kc_poller_end(kc_poller *p) {
    close_if_open(p->timer_fd);
    close_if_open(p->bell_fd);
    close_if_open(p->epoll_fd);
    free(p->files);
    p->files = NULL;
    p->epoll_fd = p->bell_fd = p->timer_fd = -1;
}

uint32_t kc_poller_waiting(const kc_poller *p) { return atomic_load(&p->waiting); }

void kc_poller_wake(kc_poller *p) {
    const uint64_t one = 1;
#if KC_MUTANT == 46 /* a wake that comes before the sleep is lost */
    uint32_t asleep = ASLEEP;
    bool rings = atomic_compare_exchange_strong(&p->state, &asleep, RUNG);
#else
    bool rings = atomic_exchange(&p->state, RUNG) == ASLEEP;
#endif

    if (rings)
        (void)!write(p->bell_fd, &one, sizeof one); /* fails only when it has rung 2^64 times unread */
}

/* ---- sleeping ---- */

static int timer_of(kc_poller *p) {
    if (p->timer_fd < 0)
        p->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (p->timer_fd >= 0 && watch_own(p, p->timer_fd, DATA_TIMER) != KC_OK && errno != EEXIST) {
        (void)close(p->timer_fd);
        p->timer_fd = -1;
    }
    return p->timer_fd;
}

/* The kernel's own timer, set to a time and not to how far off it is. Without one (no more open files) the sleep is one
 * of whole milliseconds, rounded up. */
static int nap_by_timerfd(kc_poller *p, struct epoll_event *events, int64_t deadline_ns, int64_t left_ns) {
    struct itimerspec until = {.it_value = time_of(deadline_ns)};
    int64_t left_ms = left_ns / 1000000 + 1;
    int timeout_ms = left_ms < INT32_MAX ? (int)left_ms : INT32_MAX;

    if (timer_of(p) >= 0 && timerfd_settime(p->timer_fd, TFD_TIMER_ABSTIME, &until, NULL) == 0)
        timeout_ms = -1;
    return epoll_wait(p->epoll_fd, events, AT_ONCE, timeout_ms);
}

/* How many events; 0 at the deadline, or for no reason (a signal): callers look again. */
static int nap(kc_poller *p, struct epoll_event *events, int64_t deadline_ns) {
    int64_t left_ns = deadline_ns != KC_NEVER ? deadline_ns - now_ns() : 0;
    int count = -1;

    if (deadline_ns == KC_NEVER) {
        count = epoll_wait(p->epoll_fd, events, AT_ONCE, -1);
    } else if (left_ns <= 0) {
        count = epoll_wait(p->epoll_fd, events, AT_ONCE, 0);
    } else {
#ifdef SYS_epoll_pwait2
        struct timespec left = time_of(left_ns);
        if (!p->by_timerfd) {
            count = (int)syscall(SYS_epoll_pwait2, p->epoll_fd, events, AT_ONCE, &left, NULL, (size_t)0);
            p->by_timerfd = count < 0 && (errno == ENOSYS || errno == EPERM); /* an older kernel, a sandbox */
        }
#else
        p->by_timerfd = true;
#endif
        if (p->by_timerfd)
            count = nap_by_timerfd(p, events, deadline_ns, left_ns);
    }
    return count > 0 ? count : 0;
}

static int take_events(kc_poller *p, const struct epoll_event *events, int count) {
    int called = 0;

    for (int i = 0; i < count; i++) {
        uint64_t rings = 0;
        if (events[i].data.u64 == DATA_BELL)
            (void)!read(p->bell_fd, &rings, sizeof rings);
        else if (events[i].data.u64 == DATA_TIMER)
            (void)!read(p->timer_fd, &rings, sizeof rings);
        else
            called += kc_poller_deliver(p, events[i].data.u64, events[i].events);
    }
    return called;
}

/* Rings of wakes that are over, signals: none of them ends the sleep. */
static int sleep_until(kc_poller *p, int64_t deadline_ns) {
    struct epoll_event events[AT_ONCE];
    int called = 0;

    do {
        called = take_events(p, events, nap(p, events, deadline_ns));
    } while (called == 0 && atomic_load(&p->state) == ASLEEP && (deadline_ns == KC_NEVER || now_ns() < deadline_ns));
    return called;
}

static int look(kc_poller *p) {
    struct epoll_event events[AT_ONCE];

    return take_events(p, events, nap(p, events, 0));
}

/* The only thread that is here. */
static int wait_alone(kc_poller *p, int64_t deadline_ns) {
    uint32_t awake = AWAKE;
    int called = 0;

    if (deadline_ns <= now_ns()) {
        called = look(p);
    } else if (atomic_compare_exchange_strong(&p->state, &awake, ASLEEP)) {
        called = sleep_until(p, deadline_ns);
        (void)atomic_exchange(&p->state, AWAKE); /* before whoever was woken looks for what it was woken for */
    } else {
        (void)atomic_exchange(&p->state, AWAKE);
        called = look(p);
    }
    return called;
}

int kc_poller_wait(kc_poller *p, int64_t deadline_ns) {
    int called = KC_EBUSY;

    if (!atomic_exchange(&p->taken, true)) {
        called = wait_alone(p, deadline_ns);
        atomic_store(&p->taken, false);
    }
    return called;
}
