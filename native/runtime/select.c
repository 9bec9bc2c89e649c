/* select.c: a select over channels of somebody else's engine: bodies of its sends, the engine's select, and what came
 * of it. */
#include "kc_hub.h"

/* The engine's record of one clause; of a send with its body. */
static int prepare(kc_hub *hub, kc_channel_clause *c, kc_clause *clause_out) {
    int rc = ((kc_local *)(void *)c->channel)->hub == hub ? KC_OK : KC_EINVAL;

    *clause_out = (kc_clause){.chan = c->channel->ticket, .dir = c->dir};
    if (rc == KC_OK && c->dir == KC_CLAUSE_SEND) {
        if (c->channel->elem_bytes != 0)
            rc = kc_body_make(hub->engine, 0, c->data, c->len_bytes, &clause_out->body, NULL);
        else
            rc = kc_desc_body(hub->engine, 0, &c->desc, &clause_out->body, NULL);
    }
    return rc;
}

/* Bodies that were not sent: what they name is still the caller's. */
static void give_back(kc_hub *hub, kc_clause *clauses, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        if ((clauses[i].body.block | clauses[i].body.extra) != 0)
            kc_body_forget(hub->engine, &clauses[i].body);
    }
}

int kc_local_select(kc_channel_clause *clauses, uint32_t count, const kc_asked *asked, uint32_t *index_out) {
    kc_hub *hub = ((kc_local *)(void *)clauses[0].channel)->hub;
    kc_clause wanted[KC_MAX_CLAUSES];
    kc_place places[KC_MAX_CLAUSES];
    kc_parking parking;
    kc_op op;
    kc_result now;
    kc_result *result = &now;
    uint32_t ready = 0;
    int rc = KC_OK;

    rc = kc_parking_begin(&parking, hub, asked, &op);
    parking.seat.places = places;
    for (; ready < count && rc == KC_OK; ready += rc == KC_OK) {
        *index_out = ready;
        places[ready] = (kc_place){.buffer = clauses[ready].buffer, .buffer_bytes = clauses[ready].buffer_bytes};
        rc = prepare(hub, &clauses[ready], &wanted[ready]);
    }
    if (rc == KC_OK) {
        rc = kc_select(hub->engine, wanted, count, &op, &now);
        *index_out = now.clause;
    }
    if (rc < 0)
        give_back(hub, wanted, ready);
    if (rc == KC_PARKED) {
        rc = kc_parking_wait(&parking, asked);
        result = &parking.seat.result;
        if (result->chan != 0) /* a channel decided, and not a cancel or the deadline */
            *index_out = result->clause;
    }
    kc_claim_end(&parking.claim);
    if (rc == KC_OK && clauses[*index_out].dir == KC_CLAUSE_RECV)
        rc = kc_local_receive(hub, &clauses[*index_out], result);
    return rc;
}
