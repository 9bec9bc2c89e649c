/* io.c: waiting for files and closing them (kc_io.h), on a scheduler's poller; whoever has no scheduler asks
 * poll(2). */
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <time.h>
#include <unistd.h>

#include "kc_clock.h"
#include "kcoro/kc_io.h"

/* ---- without a scheduler ---- */

static int told_by_poll(short came, uint32_t events) {
    int both = KC_IO_READABLE | KC_IO_WRITABLE;
    int found = (came & (POLLIN | POLLRDHUP) ? KC_IO_READABLE : 0) | (came & POLLOUT ? KC_IO_WRITABLE : 0) |
                (came & (POLLERR | POLLHUP) ? both : 0);

    return (came & POLLNVAL) != 0 ? KC_EBADF : found & (int)events;
}

static int ask_once(int fd, uint32_t events, int64_t left_ns) {
    struct pollfd file = {.fd = fd};
    struct timespec left = {.tv_sec = (time_t)(left_ns / 1000000000), .tv_nsec = (long)(left_ns % 1000000000)};
    int rc = 0;

    file.events = (short)((events & KC_IO_READABLE ? POLLIN | POLLRDHUP : 0) | (events & KC_IO_WRITABLE ? POLLOUT : 0));
    rc = ppoll(&file, 1, left_ns != KC_NEVER ? &left : NULL, NULL);
    if (rc < 0)
        return errno == EINTR ? 0 : KC_ENOMEM;
    return told_by_poll(file.revents, events);
}

static int ask_until(int fd, uint32_t events, int64_t deadline_ns) {
    int64_t left_ns = KC_NEVER;
    int rc = 0;

    do {
        if (deadline_ns != KC_NEVER)
            left_ns = deadline_ns > kc_now_ns() ? deadline_ns - kc_now_ns() : 0;
        rc = ask_once(fd, events, left_ns > 0 ? left_ns : 0);
    } while (rc == 0 && left_ns > 0);
    return rc != 0 ? rc : KC_ETIME;
}

/* ---- a coroutine of a scheduler; the record stands on its stack ---- */

typedef struct watcher {
    kc_wake wake;
    kc_wait wait;
    int32_t code;
} watcher;

static void come(kc_wake *wake, int32_t code) {
    watcher *w = (watcher *)(void *)((char *)wake - offsetof(watcher, wake));

    w->code = code;
    kc_wait_tell(&w->wait, KC_WAIT_DONE);
}

static void give_up(void *wait, uint32_t reason) {
    (void)reason;
    kc_wait_tell(wait, KC_WAIT_CANCEL);
}

/* It stands in the poller's table. Whoever gives up takes itself out, or it is too late: then the call is waited
 * for. */
static int wait_at(kc_poller *p, watcher *w, int fd, int64_t deadline_ns) {
    uint32_t told = kc_wait_for(&w->wait, KC_WAIT_DONE | KC_WAIT_CANCEL, deadline_ns);
    int rc = (told & KC_WAIT_CANCEL) != 0 ? KC_ECANCELED : kc_wait_code(told);

    if ((told & KC_WAIT_DONE) == 0 && kc_poller_cancel(p, fd, &w->wake) == 0)
        told = kc_wait_for(&w->wait, KC_WAIT_DONE, KC_NEVER);
    return (told & KC_WAIT_DONE) != 0 ? w->code : rc;
}

static int wait_in(kc_clock *clock, watcher *w, int fd, uint32_t events, int64_t deadline_ns, kc_cancel *cancel) {
    kc_cancel_hook hook = {.fn = give_up, .arg = &w->wait};
    int rc = kc_clock_start(clock);

    w->wake.call = come;
    if (rc == KC_OK)
        rc = kc_poller_add(&clock->poller, fd, events, &w->wake);
    if (rc == KC_OK) {
        if (cancel != NULL && kc_cancel_add(cancel, &hook) == KC_EBUSY)
            kc_wait_tell(&w->wait, KC_WAIT_CANCEL);
        rc = wait_at(&clock->poller, w, fd, deadline_ns);
        if (cancel != NULL)
            (void)kc_cancel_forget(&hook);
    }
    return rc;
}

/* ---- the calls ---- */

int kc_io_wait_c(int fd, uint32_t events, int64_t deadline_ns, kc_cancel *cancel) {
    watcher w = {.code = 0};
    bool wanted = events != 0 && (events & ~(uint32_t)(KC_IO_READABLE | KC_IO_WRITABLE)) == 0;
    int rc = fd >= 0 ? KC_EINVAL : KC_EBADF;

    kc_wait_begin(&w.wait);
    if (!wanted || fd < 0)
        return rc;
    if (kc_cancel_is_set(cancel))
        rc = KC_ECANCELED;
    else if (w.wait.co == NULL || deadline_ns <= kc_now_ns())
        rc = ask_until(fd, events, deadline_ns);
    else
        rc = wait_in(kc_sched_clock(kc_co_sched(w.wait.co)), &w, fd, events, deadline_ns, cancel);
    return rc;
}

int kc_io_wait(int fd, uint32_t events, int64_t deadline_ns) { return kc_io_wait_c(fd, events, deadline_ns, NULL); }

int kc_io_forget(kc_sched *sched, int fd) {
    kc_clock *clock = kc_sched_clock(sched);

#if KC_MUTANT == 54 /* only a scheduler's own coroutines can have its waiters told */
    if (sched != kc_sched_self())
        return 0;
#endif
    return atomic_load_explicit(&clock->running, memory_order_acquire) != 0 ? kc_poller_forget(&clock->poller, fd) : 0;
}

int kc_io_close(int fd) {
    kc_sched *sched = kc_sched_self();
    kc_clock *clock = sched != NULL ? kc_sched_clock(sched) : NULL;
    int rc = sched != NULL ? kc_io_forget(sched, fd) : 0;

    if (close(fd) != 0 && errno == EBADF) /* Linux has closed it, whatever else it says */
        rc = KC_EBADF;
#if KC_MUTANT != 71 /* whoever comes to wait while the file is being closed waits for ever */
    if (clock != NULL && atomic_load_explicit(&clock->running, memory_order_acquire) != 0)
        kc_poller_look_after(&clock->poller, fd);
#endif
    return rc;
}
