/* kc_poller.h: who waits for which open file, one epoll set for all of them, and a place to sleep until a time.
 *
 * Interests are one-shot: what is added is called once, or cancelled. One may wait for each direction of a file, both
 * at the same time, or one for both. One thread at a time sleeps here; any thread adds, cancels and wakes. The lock is
 * held over epoll_ctl, which does not wait: what epoll is told of a file must be in the order of its waiters.
 *
 * Invariants: who waits stands in the table, and epoll watches for it; no event of a file that was closed reaches who
 * waits for the next one of that number (each telling of epoll has a number of its own). A wake that came before the
 * sleep ends it; of many wakes one rings. A sleep ends at its time or after, by CLOCK_MONOTONIC.
 */
#ifndef KC_POLLER_H
#define KC_POLLER_H

#include <stdatomic.h>
#include <stdbool.h>

#include "core/kc_lock.h"
#include "kc_wake.h"
#include "kcoro/kc_io.h"

enum kc_poller_flag { KC_POLLER_TIMERFD = 1 /* as on kernels before 5.11: no epoll_pwait2 */ };

typedef struct kc_poll_file {
    kc_wake *waiters[2]; /* to read, to write */
    uint32_t telling;    /* of epoll: events carry its number */
    bool known;          /* to epoll, unless the file was closed since */
} kc_poll_file;

typedef struct kc_poller {
    int epoll_fd, bell_fd, timer_fd; /* timer_fd -1: not needed yet */
    bool by_timerfd;
    _Atomic uint32_t state; /* enum in poller_wait.c: who sleeps, who rang */
    _Atomic bool taken;       /* a thread sleeps or looks */
    _Atomic uint32_t waiting; /* waiters in the table */
    kc_lock lock;
    uint32_t room;
    kc_poll_file *files; /* by number */
} kc_poller;

/* KC_ENOMEM, KC_EDQUOT (no more open files). */
int kc_poller_begin(kc_poller *p, uint32_t flags);
/* Who still waits is never called. */
void kc_poller_end(kc_poller *p);

/* enum kc_io_event: which of them, 1 or both. The wake's code will be those that came; an error or hang-up counts as
 * each that was asked for. KC_EBADF as a code: the file was closed.
 * KC_OK: it waits. Over 0: these are always so (a plain file), it does not wait. KC_EBUSY: another waits for this
 * direction already; KC_EBADF: not open; KC_EINVAL; KC_ENOMEM; KC_EDQUOT (the kernel's limit of watches). */
int kc_poller_add(kc_poller *p, int fd, uint32_t events, kc_wake *wake);
/* 1: it will not be called. 0: too late, it was or is being called. */
int kc_poller_cancel(kc_poller *p, int fd, const kc_wake *wake);
/* Whoever waits for this file is called with KC_EBADF; how many were. Before it is closed. */
int kc_poller_forget(kc_poller *p, int fd);
/* The same for whoever waits for this number although its file is closed by now. After it was closed: one may have come
 * to wait in between. */
void kc_poller_look_after(kc_poller *p, int fd);

/* Sleeps until somebody was called, a wake, or the deadline; a deadline that has passed only looks, and leaves an
 * earlier wake to the next sleep. Returns how many were called. KC_EBUSY: another thread is in here. */
int kc_poller_wait(kc_poller *p, int64_t deadline_ns);
/* Any thread: ends the sleep, or the next one at once. */
void kc_poller_wake(kc_poller *p);
/* How many wait for files. */
uint32_t kc_poller_waiting(const kc_poller *p);

/* Between the two files: an event that epoll gave; how many were called. */
int kc_poller_deliver(kc_poller *p, uint64_t data, uint32_t epoll_events);

#endif
