/* timer.c: the one timer of a connection (kc_client.h): it rings when the next deadline has come, when sending is to be
 * tried again, and to call a pilot that sleeps; then until the pilot has heard it.
 */
#include <string.h>
#include <sys/timerfd.h>

#include "client/kc_client.h"

void kc_client_ring_at(kc_ipc *ipc, int64_t at_ns)
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

/* Only ever earlier here: what rings too early is found out when it rings. */
void kc_client_arm(kc_ipc *ipc, int64_t deadline_ns)
{
    if (deadline_ns < ipc->armed_ns) {
        kc_client_ring_at(ipc, deadline_ns);
    }
}

void kc_client_call(kc_ipc *ipc)
{
#if KC_MUTANT != 68 /* a pilot that sleeps is not told that its operation has ended */
    if (ipc->pilot != NULL && ipc->asleep) {
        ipc->called = true;
        kc_client_arm(ipc, 1);
    }
#endif
}

static void kc_op_expire(kc_ipc *ipc, kc_ipc_op *op)
{
    static const char overdue[] = "an answer is overdue by grace_ms";
    if (op != ipc->greeting && kc_output_forget(ipc, op)) {
        kc_op_end(op, op->timeout_ms == 0 ? KC_EAGAIN : KC_ETIME);
    } else {
        if (op != ipc->greeting) { /* that one has the time of its connect */
            memcpy(ipc->why, overdue, sizeof overdue);
        }
        kc_client_end(ipc, KC_ECONNRESET);
    }
}

/* Takes it out: what it belongs to ends, or all does. */
static void kc_timer_expire(kc_ipc *ipc, kc_due *due)
{
    if (due->caller) {
        kc_credit_expire(ipc, KC_LINK_OWNER(due, kc_caller, due));
    } else {
        kc_op_expire(ipc, KC_LINK_OWNER(due, kc_ipc_op, due));
    }
}

static int64_t kc_timer_next(const kc_ipc *ipc)
{
    if (ipc->ended != KC_OK || ipc->called) {
        return 1; /* the pilot has not heard it yet */
    }
    int64_t next_ns = ipc->dues != NULL ? ipc->dues->at_ns : INT64_MAX;
    return next_ns < ipc->retry_ns ? next_ns : ipc->retry_ns;
}

void kc_client_ring(kc_ipc *ipc)
{
    int64_t now_ns = kc_client_now_ns();
    if (now_ns < ipc->armed_ns) {
        return;
    }
    while (ipc->ended == KC_OK && ipc->dues != NULL && ipc->dues->at_ns <= now_ns) {
        kc_timer_expire(ipc, ipc->dues);
    }
    kc_client_ring_at(ipc, kc_timer_next(ipc));
}
