/* wait.c: how callers of a connection wait (kc_client_wait.h): one of them is the pilot, the others are parked.
 *
 * A coroutine that is woken runs when its worker is free, which may be late, so a thread that waits takes over from
 * one: the coroutine, which sleeps on the tower, is recalled. Each that was recalled takes one count of `recall` when
 * it runs.
 *
 * Invariants: while anybody waits and nobody is the pilot, somebody has been woken to become it; no thread waits while
 * a coroutine is; no wake is lost, because a waiter is in the list before the lock is given up, and a wake that comes
 * before the park counts. A pilot that sleeps is called by the timer, which rings until the pilot has heard it.
 */
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "client/kc_client.h"

/* --- as threads --------------------------------------------------------------------------------------------------- */

static _Thread_local _Atomic uint32_t kc_thread_permit;

static void *kc_thread_self(void)
{
    return &kc_thread_permit;
}

static void kc_thread_park(void *who)
{
    _Atomic uint32_t *permit = who;
    if (atomic_exchange_explicit(permit, 0, memory_order_acquire) == 0) {
        syscall(SYS_futex, permit, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0); /* EINTR, EAGAIN: the caller looks again */
        atomic_exchange_explicit(permit, 0, memory_order_acquire);
    }
}

static void kc_thread_wake(void *who)
{
    _Atomic uint32_t *permit = who;
    if (atomic_exchange_explicit(permit, 1, memory_order_release) == 0) {
        syscall(SYS_futex, permit, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
}

static void kc_thread_wait(int fd)
{
    struct pollfd one = {.fd = fd, .events = POLLIN};
    poll(&one, 1, -1); /* EINTR: the caller looks again */
}

const kc_ipc_waiting kc_thread_waiting = {kc_thread_self, kc_thread_park, kc_thread_wake, kc_thread_wait};

/* --- as whoever calls --------------------------------------------------------------------------------------------- */

/* A caller that its runtime does not know waits as a thread. */
static const kc_ipc_waiting *kc_waiting_here(const kc_ipc *ipc, void **who_out)
{
    *who_out = ipc->waiting.self();
    if (*who_out != NULL && ipc->waiting.self != kc_thread_self) {
        return &ipc->waiting;
    }
    *who_out = kc_thread_self();
    return &kc_thread_waiting;
}

void kc_client_pause(kc_ipc *ipc, int64_t until_ns)
{
    void *who;
    const kc_ipc_waiting *waiting = kc_waiting_here(ipc, &who);
#if KC_MUTANT == 50 /* a coroutine that meets a full backlog keeps its worker */
    waiting = &kc_thread_waiting;
#endif
    kc_client_ring_at(ipc, until_ns);
    while (kc_client_now_ns() < until_ns) {
        waiting->wait(ipc->epoll);
    }
    kc_client_ring_at(ipc, INT64_MAX);
}

/* --- the pilot ---------------------------------------------------------------------------------------------------- */

void kc_client_move(kc_ipc *ipc)
{
    if (ipc->ended != KC_OK) {
        return;
    }
    kc_output_move(ipc);
    if (ipc->ended == KC_OK && ipc->armed_ns != INT64_MAX) {
        kc_client_ring(ipc);
    }
}

static bool kc_waiter_is_thread(const kc_waiter *waiter)
{
    return waiter->waiting == &kc_thread_waiting;
}

/* Who does not wait reads if nobody else does, or a coroutine that sleeps. */
void kc_client_step(kc_ipc *ipc)
{
    bool reads = ipc->pilot == NULL || (ipc->asleep && !kc_waiter_is_thread(ipc->pilot));
    unsigned left = reads ? KC_CLIENT_READS : 0;
    kc_client_move(ipc);
    while (left != 0 && ipc->ended == KC_OK && kc_input_move(ipc)) {
        left--;
        kc_client_move(ipc);
    }
    if (reads && ipc->deaf && ipc->ended == KC_OK) {
        kc_client_arm(ipc, 1); /* it ends with the next step, also if nothing else comes */
    }
}

/* It cannot be full or empty: each count is of one that sleeps. */
static void kc_recall_say(kc_ipc *ipc)
{
    const uint64_t one = 1;
    ssize_t done = write(ipc->recall, &one, sizeof one);
    (void)done;
}

static void kc_recall_hear(kc_ipc *ipc)
{
    uint64_t one;
    ssize_t done = read(ipc->recall, &one, sizeof one);
    (void)done;
}

static void kc_pilot_take(kc_ipc *ipc, kc_waiter *waiter)
{
    if (ipc->pilot != NULL) {
        kc_recall_say(ipc);
    }
    ipc->pilot = waiter;
    ipc->asleep = false;
    ipc->called = false;
}

static void kc_pilot_sleep(kc_ipc *ipc, kc_waiter *waiter)
{
    int fd = kc_waiter_is_thread(waiter) ? ipc->epoll : ipc->tower;
    ipc->asleep = true;
    ipc->sleepers++;
    kc_client_leave(ipc);
    waiter->waiting->wait(fd);
    kc_client_lock(ipc);
    ipc->sleepers--;
    if (ipc->pilot == waiter) {
        ipc->asleep = false;
        ipc->called = false;
    } else {
        kc_recall_hear(ipc);
    }
}

/* Awake it may be recalled too. */
static void kc_pilot_let(kc_ipc *ipc, const kc_waiter *waiter)
{
    kc_client_let(ipc);
    if (ipc->pilot != waiter) {
        kc_recall_hear(ipc);
    }
}

static void kc_pilot_fly(kc_ipc *ipc, kc_waiter *waiter)
{
    unsigned reads = 0;
    while (!waiter->ready && ipc->pilot == waiter) {
        kc_client_move(ipc);
        if (waiter->ready) {
            break;
        }
        if (ipc->ended != KC_OK || !kc_input_move(ipc)) {
            kc_pilot_sleep(ipc, waiter);
        } else if (!waiter->ready && ++reads % KC_CLIENT_READS == 0) {
            kc_pilot_let(ipc, waiter);
        }
    }
}

static void kc_waiter_wake(kc_waiter *waiter)
{
    waiter->waiting->wake(waiter->who);
}

static void kc_waiter_wake_first(kc_link *waiters)
{
    kc_waiter_wake(KC_LINK_OWNER(waiters->next, kc_waiter, link));
}

/* Nobody is the pilot: a thread comes first. */
static void kc_pilot_pass(kc_ipc *ipc)
{
    if (!kc_link_empty(&ipc->threads)) {
        kc_waiter_wake_first(&ipc->threads);
    } else if (!kc_link_empty(&ipc->waiters)) {
        kc_waiter_wake_first(&ipc->waiters);
    }
}

void kc_client_ready(kc_ipc *ipc, kc_waiter *waiter)
{
    waiter->ready = true;
    if (waiter == ipc->pilot) {
        kc_client_call(ipc);
    } else if (waiter->who != NULL) {
        kc_waiter_wake(waiter);
    }
}

static void kc_waiter_join(kc_ipc *ipc, kc_waiter *waiter)
{
    waiter->waiting = kc_waiting_here(ipc, &waiter->who);
    kc_link_append(kc_waiter_is_thread(waiter) ? &ipc->threads : &ipc->waiters, &waiter->link);
}

static void kc_waiter_part(kc_ipc *ipc, kc_waiter *waiter)
{
    kc_link_remove(&waiter->link);
    if (ipc->pilot == waiter) {
        ipc->pilot = NULL;
    }
    if (ipc->pilot == NULL) {
        kc_pilot_pass(ipc);
    }
    kc_client_quit(ipc);
}

void kc_client_quit(kc_ipc *ipc)
{
    if (ipc->disconnected && ipc->sleepers == 0) {
        kc_client_shut(ipc);
    }
}

static bool kc_pilot_is_free(const kc_ipc *ipc, const kc_waiter *waiter)
{
#if KC_MUTANT == 69 /* a thread waits for a coroutine that does not get to run */
    return ipc->pilot == NULL;
#else
    if (kc_waiter_is_thread(waiter)) {
        return ipc->pilot == NULL || !kc_waiter_is_thread(ipc->pilot);
    }
    return ipc->pilot == NULL && kc_link_empty(&ipc->threads);
#endif
}

void kc_client_wait(kc_ipc *ipc, kc_waiter *waiter)
{
    kc_waiter_join(ipc, waiter);
    while (!waiter->ready) {
        if (kc_pilot_is_free(ipc, waiter)) {
            kc_pilot_take(ipc, waiter);
            kc_pilot_fly(ipc, waiter);
        } else {
            kc_client_leave(ipc);
            waiter->waiting->park(waiter->who);
            kc_client_lock(ipc);
        }
    }
    kc_waiter_part(ipc, waiter);
}

bool kc_client_tower(kc_ipc *ipc)
{
    struct epoll_event input = {.events = EPOLLIN};
    ipc->tower = epoll_create1(EPOLL_CLOEXEC);
    ipc->recall = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
    return ipc->tower >= 0 && ipc->recall >= 0 && epoll_ctl(ipc->tower, EPOLL_CTL_ADD, ipc->epoll, &input) == 0 &&
           epoll_ctl(ipc->tower, EPOLL_CTL_ADD, ipc->recall, &input) == 0;
}
