/* hub.c: an engine for channels of coroutines; and how one operation waits, until its channel, its cancel or its time
 * has decided. */
#include "kc_hub.h"

#if KC_MUTANT == 32
#include <sched.h>
#endif
#include <stdlib.h>

/* Seats were served: whoever sits there goes on. Nothing of a seat is touched after that. */
static void wake(void *self, kc_seat *first) {
    (void)self;
    while (first != NULL) {
        kc_seat *next = first->next;
        kc_parking *parking = (kc_parking *)(void *)first; /* its first member */
        kc_wait_tell(&parking->wait, KC_WAIT_DONE);
        first = next;
    }
}

/* For operations by token, where the engine is somebody else's; and so that no engine has two hubs. */
static int furnish(kc_hub *hub) {
    kc_scope_limits limits = {.parked = UINT32_MAX, .held = UINT32_MAX};
    int rc = kc_port_open_seats(hub->engine, wake, hub, &hub->port);

    if (rc == KC_OK &&
        (rc = kc_chan_waiter_scope_begin(hub->engine, 0, 0, &limits, &hub->scope, NULL)) != KC_OK)
        (void)kc_port_close(hub->engine, hub->port);
    return rc;
}

static void unfurnish(kc_hub *hub) {
    (void)kc_chan_waiter_scope_end(hub->engine, hub->scope, KC_REASON_DEAD);
    (void)kc_port_close(hub->engine, hub->port);
}

int kc_hub_make(kc_engine *engine, kc_hub **hub_out) {
    kc_hub *hub = calloc(1, sizeof *hub);
    int rc = hub != NULL ? KC_OK : KC_ENOMEM;

    if (rc == KC_OK) {
        hub->engine = engine;
        hub->owns_engine = engine == NULL;
    }
    if (rc == KC_OK)
        rc = engine == NULL ? kc_engine_make(NULL, &hub->engine) : KC_OK;
    if (rc == KC_OK && (rc = furnish(hub)) != KC_OK && hub->owns_engine)
        kc_engine_free(hub->engine);
    if (rc == KC_OK)
        *hub_out = hub;
    else
        free(hub);
    return rc;
}

void kc_hub_free(kc_hub *hub) {
    if (hub == NULL)
        return;
    unfurnish(hub);
    if (hub->owns_engine)
        kc_engine_free(hub->engine);
    free(hub);
}

kc_engine *kc_hub_engine(kc_hub *hub) { return hub->engine; }

/* Under the lock of the cancel's tree, which is taken before a channel's or an engine's. Whoever sets the cancel ends
 * the waiter in that step, parked or not yet: nothing can happen to it afterwards (decision 0053). If it was decided
 * before, it will be told. */
static void cancelled(void *arg, uint32_t reason) {
    kc_claim *mine = arg;
    kc_wait *wait = mine->wait;

    if (mine->give_up(mine->waiter, reason))
        kc_wait_tell(wait, KC_WAIT_CANCEL);
}

/* Its time is over, or could not be told to a clock (which is no timeout, and not counted as one): it ends itself, and
 * nothing happened; or somebody was faster, and will tell. */
static uint32_t run_out(const kc_claim *mine, uint32_t told) {
#if KC_MUTANT == 32 /* a result that came while its time ran out is not waited for */
    for (int i = 0; i < 100; i++)
        (void)sched_yield();
    (void)mine->give_up(mine->waiter, KC_REASON_TIMEOUT);
    return told;
#endif
    if (!mine->give_up(mine->waiter, kc_wait_code(told) == KC_ETIME ? KC_REASON_TIMEOUT : KC_REASON_CANCEL))
        told = kc_wait_for(mine->wait, KC_WAIT_DONE | KC_WAIT_CANCEL, KC_NEVER);
    return told;
}

int kc_claim_begin(kc_claim *mine, const kc_asked *asked) {
    mine->hook = (kc_cancel_hook){.fn = cancelled, .arg = mine};
    return asked->cancel == NULL || kc_cancel_add(asked->cancel, &mine->hook) == KC_OK ? KC_OK : KC_ECANCELED;
}

int kc_claim_wait(kc_claim *mine, const kc_asked *asked) {
    uint32_t told = kc_wait_for(mine->wait, KC_WAIT_DONE | KC_WAIT_CANCEL, asked->deadline_ns);
    int rc = KC_OK;

    if ((told & (KC_WAIT_DONE | KC_WAIT_CANCEL)) == 0)
        told = run_out(mine, told);
    if ((told & KC_WAIT_DONE) == 0)
        rc = (told & KC_WAIT_CANCEL) != 0 ? KC_ECANCELED : kc_wait_code(told);
    return rc;
}

void kc_claim_end(kc_claim *mine) {
    if (mine->hook.of != NULL)
        (void)kc_cancel_forget(&mine->hook);
}

static bool give_up_seat(void *waiter, uint32_t reason) { return kc_seat_give_up(waiter, reason); }

int kc_parking_begin(kc_parking *p, const kc_hub *hub, const kc_asked *asked, kc_op *op_out) {
    bool passed = asked->deadline_ns != KC_NEVER && asked->deadline_ns <= kc_now_ns();

    kc_seat_begin(&p->seat, hub->engine);
    kc_wait_begin(&p->wait);
    p->claim.give_up = give_up_seat;
    p->claim.waiter = &p->seat;
    p->claim.wait = &p->wait;
    op_out->scope = hub->scope;
    op_out->user = (uint64_t)(uintptr_t)&p->seat;
    op_out->deadline_ns = passed ? INT64_MIN : KC_NEVER;
    op_out->port = hub->port;
    op_out->flags = asked->flags;
    op_out->expires_ns = 0;
    return kc_claim_begin(&p->claim, asked);
}

int kc_parking_wait(kc_parking *p, const kc_asked *asked) {
    int rc = kc_claim_wait(&p->claim, asked);

    return rc == KC_OK ? p->seat.result.code : rc;
}
