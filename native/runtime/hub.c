/* hub.c: an engine for channels of coroutines: its port of seats, its scope; and how one operation waits. */
#include "kc_hub.h"

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

static void cancelled(void *wait, uint32_t reason) {
    (void)reason;
    kc_wait_tell(wait, KC_WAIT_CANCEL);
}

/* Whoever was interrupted claims its own token: then it did not happen; or somebody decided it before: then it did. */
static int interrupt(kc_parking *p, kc_engine *e, kc_token token, uint32_t told) {
    uint32_t reason = (told & KC_WAIT_CANCEL) != 0 ? KC_REASON_CANCEL : KC_REASON_TIMEOUT;
    kc_result result;
    int rc = kc_waiter_token_cancel(e, token, reason, &result);

    if (rc == KC_OK)
        return reason == KC_REASON_CANCEL ? KC_ECANCELED : kc_wait_code(told);
#if KC_MUTANT != 32 /* a result that came while it was being cancelled is not waited for */
    (void)kc_wait_for(&p->wait, KC_WAIT_DONE, KC_NEVER);
#endif
    return p->seat.result.code;
}

int kc_parking_wait(kc_parking *p, kc_engine *e, kc_token token, const kc_asked *asked) {
    kc_cancel_hook hook = {.fn = cancelled, .arg = &p->wait};
    uint32_t told = 0;
    int rc = KC_OK;

    if (asked->cancel != NULL && kc_cancel_add(asked->cancel, &hook) == KC_EBUSY)
        kc_wait_tell(&p->wait, KC_WAIT_CANCEL);
    told = kc_wait_for(&p->wait, KC_WAIT_DONE | KC_WAIT_CANCEL, asked->deadline_ns);
    if ((told & KC_WAIT_DONE) != 0)
        rc = p->seat.result.code;
    else
        rc = interrupt(p, e, token, told);
    (void)kc_cancel_forget(&hook);
    return rc;
}
