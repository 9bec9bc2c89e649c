/* local.c: channels of this process in somebody else's engine: operations are its tokens, and park a coroutine or a
 * thread. */
#include <stdlib.h>

#include "kc_hub.h"

static kc_local *local_of(kc_channel *channel) { return (kc_local *)(void *)channel; }

static int close_local(kc_channel *c) { return kc_chan_close(local_of(c)->hub->engine, c->ticket); }

static int destroy_local(kc_channel *c, uint32_t reason) {
    return kc_chan_destroy(local_of(c)->hub->engine, c->ticket, reason != 0 ? reason : KC_REASON_DESTROYED, NULL, 0);
}

static int64_t depth_of_local(kc_channel *c) {
    kc_chan_snapshot snapshot;
    int rc = kc_chan_measure(local_of(c)->hub->engine, c->ticket, &snapshot);

    return rc == KC_OK ? (int64_t)snapshot.stat[KC_STAT_DEPTH] : rc;
}

static void free_local(kc_channel *c) {
    (void)kc_chan_drop(local_of(c)->hub->engine, c->ticket);
    free(c);
}

static const kc_channel_ops local_ops = {.operate = kc_local_operate,
                                         .select = kc_local_select,
                                         .close = close_local,
                                         .destroy = destroy_local,
                                         .depth = depth_of_local,
                                         .free = free_local};

int kc_local_make(kc_hub *hub, const kc_channel_config *config, kc_channel **channel_out) {
    kc_chan_config wanted = {.kind = config->kind,
                             .capacity = config->capacity,
                             .elem_size = config->elem_size,
                             .overflow = config->overflow};
    kc_local *l = calloc(1, sizeof *l);
    int rc = KC_ENOMEM;

    if (l != NULL)
        rc = kc_chan_make(hub->engine, &wanted, &l->base.ticket, NULL);
    if (rc == KC_OK) {
        l->base.ops = &local_ops;
        l->base.refs = 1;
        l->base.elem_bytes = config->elem_size;
        l->hub = hub;
        *channel_out = &l->base;
    } else {
        free(l);
    }
    return rc;
}

/* A descriptor, or bytes that were too many for the way into the buffer: only a receive of bytes has one. */
static int take_body(kc_engine *e, kc_channel_clause *clause, kc_result *r) {
    int rc = KC_OK;

#if KC_MUTANT == 82 /* whoever has received asks its channel, which may be gone, what came */
    if (clause->channel->elem_bytes != 0)
#else
    if (clause->buffer != NULL)
#endif
        rc = kc_body_copy(e, &r->body, 0, clause->buffer, r->body.len_bytes);
    else
        rc = kc_body_received(e, &r->body, &clause->desc);
    kc_body_drop(e, &r->body);
    return rc;
}

int kc_local_receive(kc_hub *hub, kc_channel_clause *clause, kc_result *r) {
    clause->len_bytes = r->body.len_bytes;
    return (r->flags & KC_RESULT_COPIED) != 0 ? KC_OK : take_body(hub->engine, clause, r);
}

static int send_desc(kc_local *l, const kc_channel_clause *clause, const kc_op *op, kc_result *now) {
    return kc_chan_send_desc(l->hub->engine, l->base.ticket, op, &clause->desc, now);
}

static int begin(kc_local *l, kc_channel_clause *clause, const kc_op *op, kc_result *now) {
    kc_engine *e = l->hub->engine;
    int rc = KC_OK;

    if (clause->dir == KC_CLAUSE_RECV)
        rc = kc_chan_recv(e, l->base.ticket, op, clause->buffer, clause->buffer_bytes, now);
    else if (l->base.elem_bytes != 0)
        rc = kc_chan_send(e, l->base.ticket, op, clause->data, clause->len_bytes, now);
    else
        rc = send_desc(l, clause, op, now);
    return rc;
}

int kc_local_operate(kc_channel_clause *clause, const kc_asked *asked) {
    kc_local *l = local_of(clause->channel);
    kc_hub *hub = l->hub; /* whoever has waited does not ask the channel any more */
    kc_parking parking;
    kc_place place = {.buffer = clause->buffer, .buffer_bytes = clause->buffer_bytes};
    kc_op op;
    kc_result now; /* not the seat's: once it has parked, that is somebody else's to write */
    kc_result *result = &now;
    int rc = KC_OK;

    rc = kc_parking_begin(&parking, hub, asked, &op);
    parking.seat.places = &place;
    if (rc == KC_OK)
        rc = begin(l, clause, &op, &now);
    if (rc == KC_PARKED) {
        rc = kc_parking_wait(&parking, asked);
        result = &parking.seat.result;
    }
    kc_claim_end(&parking.claim);
    if (rc == KC_OK && clause->dir == KC_CLAUSE_RECV)
        rc = kc_local_receive(hub, clause, result);
    return rc;
}
