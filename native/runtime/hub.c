/* hub.c: an engine for channels of coroutines; and how one operation waits, until its channel, its cancel or its time has
 * decided. */
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

/* Somebody else's engine: others are at its channels too, so operations are tokens of its arena. */
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
        rc = engine == NULL ? kc_engine_make(NULL, &hub->engine) : furnish(hub);
    if (rc == KC_OK)
        *hub_out = hub;
    else
        free(hub);
    return rc;
}

void kc_hub_free(kc_hub *hub) {
    if (hub == NULL)
        return;
    if (hub->owns_engine)
        kc_engine_free(hub->engine);
    else
        unfurnish(hub);
    free(hub);
}

kc_engine *kc_hub_engine(kc_hub *hub) { return hub->engine; }

/* Under the lock of the cancel's tree, which is taken before a channel's or an engine's. Whoever sets the cancel ends the
 * waiter in that step: nothing can happen to it afterwards (decision 0053). If it was decided before, it will be told. */
static void cancelled(void *arg, uint32_t reason) {
    kc_claim mine = *(kc_claim *)arg;

    if (mine.give_up(mine.waiter, reason))
        kc_wait_tell(mine.wait, KC_WAIT_CANCEL);
}

/* Its time is over: it ends itself, and nothing happened; or somebody was faster, and will tell. */
static uint32_t run_out(const kc_claim *mine, uint32_t told) {
#if KC_MUTANT == 32 /* a result that came while its time ran out is not waited for */
    for (int i = 0; i < 100; i++)
        (void)sched_yield();
    (void)mine->give_up(mine->waiter, KC_REASON_TIMEOUT);
    return told;
#endif
    if (!mine->give_up(mine->waiter, KC_REASON_TIMEOUT))
        told = kc_wait_for(mine->wait, KC_WAIT_DONE | KC_WAIT_CANCEL, KC_NEVER);
    return told;
}

int kc_claim_wait(kc_claim *mine, const kc_asked *asked) {
    kc_cancel_hook hook = {.fn = cancelled, .arg = mine};
    uint32_t told = 0;
    int rc = KC_OK;

    if (asked->cancel != NULL && kc_cancel_add(asked->cancel, &hook) == KC_EBUSY)
        cancelled(mine, kc_cancel_reason(asked->cancel));
    told = kc_wait_for(mine->wait, KC_WAIT_DONE | KC_WAIT_CANCEL, asked->deadline_ns);
    if ((told & (KC_WAIT_DONE | KC_WAIT_CANCEL)) == 0)
        told = run_out(mine, told);
    if ((told & KC_WAIT_DONE) != 0)
        rc = KC_OK;
    else if ((told & KC_WAIT_CANCEL) != 0)
        rc = KC_ECANCELED;
    else
        rc = kc_wait_code(told);
    if (asked->cancel != NULL)
        (void)kc_cancel_forget(&hook);
    return rc;
}

/* One of the arena's tokens. */
typedef struct token {
    kc_engine *engine;
    kc_token token;
} token;

static bool give_up_token(void *waiter, uint32_t reason) {
    token mine = *(token *)waiter;

    return kc_waiter_token_cancel(mine.engine, mine.token, reason, NULL) == KC_OK;
}

int kc_parking_wait(kc_parking *p, kc_engine *e, kc_token ticket, const kc_asked *asked) {
    token mine = {.engine = e, .token = ticket};
    kc_claim claim = {.give_up = give_up_token, .waiter = &mine, .wait = &p->wait};
    int rc = kc_claim_wait(&claim, asked);

    return rc == KC_OK ? p->seat.result.code : rc;
}
