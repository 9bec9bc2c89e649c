/* poller.c: who waits for what (kc_poller.h). Sleeping and waking are poller_wait.c. */
#include "kc_poller.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>

enum { ROOM_AT_FIRST = 64, BOTH = KC_IO_READABLE | KC_IO_WRITABLE };

/* Those to be called once the lock was given back: at most one for each direction. */
typedef struct calls {
    kc_wake *wakes[2];
    int32_t codes[2];
    int count;
} calls;

static int make(calls *c) {
    for (int i = 0; i < c->count; i++)
        c->wakes[i]->call(c->wakes[i], c->codes[i]);
    return c->count;
}

/* ---- the table ---- */

static kc_poll_file *file_of(const kc_poller *p, int fd) {
    return fd >= 0 && (uint32_t)fd < p->room ? &p->files[fd] : NULL;
}

/* KC_ENOMEM; KC_EBADF: nothing is open there. Of a place that is there epoll says that, and that it was closed
 * meanwhile. */
static int make_room(kc_poller *p, int fd) {
    uint32_t room = p->room != 0 ? p->room : ROOM_AT_FIRST;
    kc_poll_file *files = NULL;
    int rc = KC_OK;

    while (room <= (uint32_t)fd)
        room *= 2;
    if (room != p->room && fcntl(fd, F_GETFD) < 0) { /* the table grows by a number, which is anybody's */
        rc = KC_EBADF;
    } else if (room != p->room) {
        files = realloc(p->files, room * sizeof *files);
        rc = files != NULL ? KC_OK : KC_ENOMEM;
    }
    if (files != NULL) {
        for (uint32_t i = p->room; i < room; i++)
            files[i] = (kc_poll_file){0};
        p->files = files;
        p->room = room;
    }
    return rc;
}

static void put(kc_poller *p, kc_poll_file *f, uint32_t events, kc_wake *wake) {
    for (uint32_t i = 0; i < 2; i++)
        if ((events & (1U << i)) != 0)
            f->waiters[i] = wake;
    atomic_fetch_add(&p->waiting, 1);
}

/* What this waiter waits for. */
static uint32_t events_of(const kc_poll_file *f, const kc_wake *wake) {
    return (f->waiters[0] == wake ? KC_IO_READABLE : 0U) | (f->waiters[1] == wake ? KC_IO_WRITABLE : 0U);
}

static void take_out(kc_poller *p, kc_poll_file *f, const kc_wake *wake) {
    for (int i = 0; i < 2; i++)
        if (f->waiters[i] == wake)
            f->waiters[i] = NULL;
    atomic_fetch_sub(&p->waiting, 1);
}

/* Takes out those who wait for one of these events; who waits for both is told of all that came. */
static void collect(kc_poller *p, kc_poll_file *f, uint32_t events, int32_t code, calls *c) {
    for (uint32_t i = 0; i < 2; i++) {
        kc_wake *wake = f->waiters[i];
        if (wake == NULL || (events & (1U << i)) == 0)
            continue;
        c->wakes[c->count] = wake;
        c->codes[c->count++] = code != 0 ? code : (int32_t)(events & events_of(f, wake));
        take_out(p, f, wake);
    }
}

/* ---- telling epoll ---- */

static int code_of(int error) {
    int code = KC_EINVAL;

    if (error == EBADF)
        code = KC_EBADF;
    else if (error == ENOMEM)
        code = KC_ENOMEM;
    else if (error == ENOSPC)
        code = KC_EDQUOT;
    else if (error == EPERM)
        code = BOTH; /* a file that epoll does not know: it never makes anybody wait */
    return code;
}

static int control(kc_poller *p, int operation, int fd, const kc_poll_file *f) {
    uint32_t wanted = (f->waiters[0] != NULL ? EPOLLIN | EPOLLRDHUP : 0U) | (f->waiters[1] != NULL ? EPOLLOUT : 0U);
    struct epoll_event event = {.events = wanted | EPOLLONESHOT, .data.u64 = (uint64_t)f->telling << 32 | (uint32_t)fd};

    return epoll_ctl(p->epoll_fd, operation, fd, &event) == 0 ? 0 : errno;
}

/* Has epoll watch for those who wait, once. `stale_out`: epoll did not know the file any more: it was closed, and those
 * who waited before wait for what is gone. */
static int watch(kc_poller *p, int fd, kc_poll_file *f, bool *stale_out) {
    int error = 0;

    f->telling++;
    error = control(p, f->known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, f);
    *stale_out = f->known && (error == ENOENT || error == EBADF || error == EPERM);
    if (error == EEXIST)
        error = control(p, EPOLL_CTL_MOD, fd, f);
    if (error == ENOENT)
        error = control(p, EPOLL_CTL_ADD, fd, f);
    if (error == 0 || *stale_out)
        f->known = error == 0;
#if KC_MUTANT != 56 /* a wait that epoll refuses loses the event of whoever waits for the other direction */
    else
        f->telling--; /* what epoll was told before still holds */
#endif
    return error == 0 ? KC_OK : code_of(error);
}

/* Whoever waits for a file that is closed by now is taken out: epoll is told once more what it was told, and does not
 * know it. */
static void collect_closed(kc_poller *p, int fd, kc_poll_file *f, calls *c) {
    bool waits = f->waiters[0] != NULL || f->waiters[1] != NULL;
    int error = waits && f->known ? control(p, EPOLL_CTL_MOD, fd, f) : 0;

    if (error == ENOENT || error == EBADF || error == EPERM)
        collect(p, f, BOTH, KC_EBADF, c);
}

static bool is_taken(const kc_poll_file *f, uint32_t events) {
    return ((events & KC_IO_READABLE) != 0 && f->waiters[0] != NULL) ||
           ((events & KC_IO_WRITABLE) != 0 && f->waiters[1] != NULL);
}

/* ---- the calls ---- */

/* Under the lock. Whoever waits already, for a file that was closed since, is called. */
static int add(kc_poller *p, int fd, uint32_t events, kc_wake *wake, calls *c) {
    kc_poll_file *f = file_of(p, fd);
    bool stale = false;
    int rc = KC_OK;

#if KC_MUTANT != 70 /* whoever waits for a closed file keeps others from the next one of that number */
    if (is_taken(f, events))
        collect_closed(p, fd, f, c);
#endif
    if (is_taken(f, events))
        return KC_EBUSY;
    put(p, f, events, wake);
    rc = watch(p, fd, f, &stale);
    if (stale)
        collect(p, f, BOTH & ~events, KC_EBADF, c);
    if (rc != KC_OK)
        take_out(p, f, wake);
    return rc > 0 ? (int)events : rc;
}

int kc_poller_add(kc_poller *p, int fd, uint32_t events, kc_wake *wake) {
    calls c = {.count = 0};
    int rc = KC_OK;

    if (fd < 0)
        return KC_EBADF;
    if (events == 0 || (events & ~(uint32_t)BOTH) != 0)
        return KC_EINVAL;
    kc_lock_take(&p->lock);
    rc = make_room(p, fd);
    if (rc == KC_OK)
        rc = add(p, fd, events, wake, &c);
    kc_lock_give(&p->lock);
    (void)make(&c);
    return rc;
}

/* Epoll goes on watching: what it then says of this file finds nobody. */
int kc_poller_cancel(kc_poller *p, int fd, const kc_wake *wake) {
    kc_poll_file *f = NULL;
    int cancelled = 0;

    kc_lock_take(&p->lock);
    f = file_of(p, fd);
    if (f != NULL && events_of(f, wake) != 0) {
        take_out(p, f, wake);
        cancelled = 1;
    }
    kc_lock_give(&p->lock);
    return cancelled;
}

int kc_poller_forget(kc_poller *p, int fd) {
    calls c = {.count = 0};
    kc_poll_file *f = NULL;

    kc_lock_take(&p->lock);
    f = file_of(p, fd);
    if (f != NULL) {
        collect(p, f, BOTH, KC_EBADF, &c);
        if (f->known)
            (void)epoll_ctl(p->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
        f->known = false;
        f->telling++;
    }
    kc_lock_give(&p->lock);
    return make(&c);
}

void kc_poller_look_after(kc_poller *p, int fd) {
    calls c = {.count = 0};
    kc_poll_file *f = NULL;

    kc_lock_take(&p->lock);
    f = file_of(p, fd);
    if (f != NULL)
        collect_closed(p, fd, f, &c);
    kc_lock_give(&p->lock);
    (void)make(&c);
}

int kc_poller_deliver(kc_poller *p, uint64_t data, uint32_t epoll_events) {
    uint32_t events = (epoll_events & (EPOLLIN | EPOLLRDHUP) ? KC_IO_READABLE : 0U) |
                      (epoll_events & EPOLLOUT ? KC_IO_WRITABLE : 0U) |
                      (epoll_events & (EPOLLERR | EPOLLHUP) ? (uint32_t)BOTH : 0U);
    calls c = {.count = 0};
    int fd = (int)(uint32_t)data;
    kc_poll_file *f = NULL;
    bool stale = false;

    kc_lock_take(&p->lock);
    f = file_of(p, fd);
    if (f != NULL && f->telling == (uint32_t)(data >> 32)) {
        collect(p, f, events, 0, &c);
#if KC_MUTANT != 45 /* when one direction is ready, who waits for the other waits for ever */
        if ((f->waiters[0] != NULL || f->waiters[1] != NULL) && (watch(p, fd, f, &stale) != KC_OK || stale))
            collect(p, f, BOTH, KC_EBADF, &c);
#endif
    }
    kc_lock_give(&p->lock);
    return make(&c);
}
