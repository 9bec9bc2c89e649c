/* wait.c: how callers of a connection wait (kc_client.h): one of them is the pilot, the others are parked.
 *
 * Invariants: while anybody waits and nobody is the pilot, somebody has been woken to become it; no wake is lost, because
 * a waiter is in the list before the lock is given up, and a wake that comes before the park counts.
 */
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
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

/* --- the timer ---------------------------------------------------------------------------------------------------- */

static void kc_timer_set(kc_ipc *ipc, int64_t at_ns)
{
    struct itimerspec when = {.it_value = {.tv_sec = 0, .tv_nsec = 0}};
    if (at_ns != INT64_MAX) {
        at_ns = at_ns < 1 ? 1 : at_ns;
        when.it_value.tv_sec = (time_t)(at_ns / 1000000000);
        when.it_value.tv_nsec = (long)(at_ns % 1000000000);
    }
    timerfd_settime(ipc->timer, TFD_TIMER_ABSTIME, &when, NULL);
    ipc->armed_ns = at_ns;
}

/* A caller that its runtime does not know waits as a thread. */
static const kc_ipc_waiting *kc_waiting_here(const kc_ipc *ipc, void **who_out)
{
    *who_out = ipc->waiting.self();
    if (*who_out != NULL) {
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
    kc_timer_set(ipc, until_ns);
    while (kc_client_now_ns() < until_ns) {
        waiting->wait(ipc->epoll);
    }
    kc_timer_set(ipc, INT64_MAX);
}

/* Only ever earlier here: what rings too early is found out when it rings. */
void kc_client_arm(kc_ipc *ipc, int64_t deadline_ns)
{
    if (deadline_ns < ipc->armed_ns) {
        kc_timer_set(ipc, deadline_ns);
    }
}

static void kc_op_expire(kc_ipc *ipc, kc_ipc_op *op)
{
    static const char overdue[] = "an answer is overdue by grace_ms";
    if (op != ipc->greeting && kc_output_forget(ipc, op)) {
        kc_op_end(op, op->timeout_ms == 0 ? KC_EAGAIN : KC_ETIME);
    } else {
        memcpy(ipc->why, overdue, sizeof overdue);
        kc_client_end(ipc, KC_ECONNRESET);
    }
}

/* Ends it if its time is over, else counts its deadline. */
static void kc_timer_look(kc_ipc *ipc, kc_ipc_op *op, int64_t now_ns, int64_t *next_ns)
{
    if (op == NULL || ipc->ended != KC_OK) {
        return;
    }
    if (op->deadline_ns <= now_ns) {
        kc_op_expire(ipc, op);
    } else if (op->deadline_ns < *next_ns) {
        *next_ns = op->deadline_ns;
    }
}

static void kc_timer_ring(kc_ipc *ipc)
{
    int64_t now_ns = kc_client_now_ns();
    int64_t next_ns = INT64_MAX;
    if (now_ns < ipc->armed_ns) {
        return;
    }
    kc_credit_expire(ipc, now_ns, &next_ns);
    for (uint32_t i = 0; i <= ipc->table_mask; i++) {
        kc_timer_look(ipc, ipc->table[i], now_ns, &next_ns);
    }
    kc_timer_look(ipc, ipc->greeting, now_ns, &next_ns);
    kc_timer_set(ipc, ipc->ended != KC_OK ? 1 : next_ns); /* the pilot of what has ended is woken */
}

/* --- the pilot ---------------------------------------------------------------------------------------------------- */

void kc_client_move(kc_ipc *ipc)
{
    if (ipc->ended != KC_OK) {
        return;
    }
    kc_output_move(ipc);
    if (ipc->ended == KC_OK && ipc->armed_ns != INT64_MAX) {
        kc_timer_ring(ipc);
    }
}

void kc_client_step(kc_ipc *ipc)
{
    kc_client_move(ipc);
    while (ipc->pilot == NULL && ipc->ended == KC_OK && kc_input_move(ipc)) {
        kc_client_move(ipc);
    }
}

static void kc_pilot_fly(kc_ipc *ipc, kc_waiter *waiter)
{
    while (!waiter->ready) {
        kc_client_move(ipc);
        if (waiter->ready || (ipc->ended == KC_OK && kc_input_move(ipc))) {
            continue;
        }
        if (waiter->ready) {
            break;
        }
        kc_client_leave(ipc);
        waiter->waiting->wait(ipc->epoll);
        pthread_mutex_lock(&ipc->lock);
    }
}

static void kc_waiter_wake(kc_waiter *waiter)
{
    waiter->waiting->wake(waiter->who);
}

void kc_client_ready(kc_ipc *ipc, kc_waiter *waiter)
{
    waiter->ready = true;
    if (waiter != ipc->pilot && waiter->who != NULL) {
        kc_waiter_wake(waiter);
    }
}

static void kc_waiter_join(kc_ipc *ipc, kc_waiter *waiter)
{
    waiter->waiting = kc_waiting_here(ipc, &waiter->who);
    kc_link_append(&ipc->waiters, &waiter->link);
}

static void kc_waiter_part(kc_ipc *ipc, kc_waiter *waiter)
{
    kc_link_remove(&waiter->link);
    if (ipc->pilot == NULL && !kc_link_empty(&ipc->waiters)) {
        kc_waiter_wake(KC_LINK_OWNER(ipc->waiters.next, kc_waiter, link));
    }
}

void kc_client_wait(kc_ipc *ipc, kc_waiter *waiter)
{
    kc_waiter_join(ipc, waiter);
    while (!waiter->ready) {
        if (ipc->pilot == NULL) {
            ipc->pilot = waiter;
            kc_pilot_fly(ipc, waiter);
            ipc->pilot = NULL;
            if (ipc->disconnected) {
                kc_client_shut(ipc);
            }
        } else {
            kc_client_leave(ipc);
            waiter->waiting->park(waiter->who);
            pthread_mutex_lock(&ipc->lock);
        }
    }
    kc_waiter_part(ipc, waiter);
}
