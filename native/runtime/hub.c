/* hub.c: an engine for channels of coroutines: its port of seats, its scope; and how one operation waits. */
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

static int furnish(kc_hub *hub) {
    kc_scope_limits limits = {.parked = UINT32_MAX, .held = UINT32_MAX};
    int rc = kc_port_open_seats(hub->engine, wake, hub, &hub->port);

    if (rc == KC_OK &&
        (rc = kc_chan_waiter_scope_begin(hub->engine, 0, 0, &limits, &hub->scope, NULL)) != KC_OK)
        (void)kc_port_close(hub->engine, hub->port);
    return rc;
}

int kc_hub_make(kc_engine *engine, kc_hub **hub_out) {
    kc_hub *hub = calloc(1, sizeof *hub);
    int rc = hub != NULL ? KC_OK : KC_ENOMEM;

    if (rc == KC_OK) {
        hub->engine = engine;
        hub->owns_engine = engine == NULL;
    }
    if (rc == KC_OK && engine == NULL) {
        rc = kc_engine_make(&(kc_engine_config){.parked_per_channel = 1 << 20}, &hub->engine);
    }
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
    (void)kc_chan_waiter_scope_end(hub->engine, hub->scope, KC_REASON_DEAD);
    (void)kc_port_close(hub->engine, hub->port);
    if (hub->owns_engine)
        kc_engine_free(hub->engine);
    free(hub);
}

kc_engine *kc_hub_engine(kc_hub *hub) { return hub->engine; }

/* What a cancel needs to end an operation that waits. */
typedef struct claim {
    kc_engine *engine;
    kc_token token;
    kc_wait *wait;
} claim;

/* Under the lock of the cancel's tree, which is taken before an engine's. Whoever sets the cancel claims the token in that step:
 * nothing can happen to the waiter afterwards (decision 0053). If it was decided before, its result comes to the seat. */
static void cancelled(void *arg, uint32_t reason) {
    claim mine = *(claim *)arg;

    if (kc_waiter_token_cancel(mine.engine, mine.token, reason, NULL) == KC_OK)
        kc_wait_tell(mine.wait, KC_WAIT_CANCEL);
}

/* Its time is over: it claims its own token, and nothing happened; or somebody was faster, and will tell. */
static uint32_t run_out(const claim *mine, uint32_t told) {
#if KC_MUTANT == 32 /* a result that came while its time ran out is not waited for */
    for (int i = 0; i < 100; i++)
        (void)sched_yield();
    (void)kc_waiter_token_cancel(mine->engine, mine->token, KC_REASON_TIMEOUT, NULL);
    return told;
#endif
    if (kc_waiter_token_cancel(mine->engine, mine->token, KC_REASON_TIMEOUT, NULL) != KC_OK)
        told = kc_wait_for(mine->wait, KC_WAIT_DONE | KC_WAIT_CANCEL, KC_NEVER);
    return told;
}

int kc_parking_wait(kc_parking *p, kc_engine *e, kc_token token, const kc_asked *asked) {
    claim mine = {.engine = e, .token = token, .wait = &p->wait};
    kc_cancel_hook hook = {.fn = cancelled, .arg = &mine};
    uint32_t told = 0;
    int rc = KC_OK;

    if (asked->cancel != NULL && kc_cancel_add(asked->cancel, &hook) == KC_EBUSY)
        cancelled(&mine, kc_cancel_reason(asked->cancel));
    told = kc_wait_for(&p->wait, KC_WAIT_DONE | KC_WAIT_CANCEL, asked->deadline_ns);
    if ((told & (KC_WAIT_DONE | KC_WAIT_CANCEL)) == 0)
        told = run_out(&mine, told);
    if ((told & KC_WAIT_DONE) != 0)
        rc = p->seat.result.code;
    else if ((told & KC_WAIT_CANCEL) != 0)
        rc = KC_ECANCELED;
    else
        rc = kc_wait_code(told);
    (void)kc_cancel_forget(&hook);
    return rc;
}
