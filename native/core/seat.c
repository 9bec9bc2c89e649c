/* seat.c: results that are put where their owners wait (kc_seat.h). */
#include "kc_seat.h"

#include "kc_body.h"
#include "kc_flow.h"

int kc_port_open_seats(kc_engine *e, kc_seat_waker waker, void *self, uint32_t *port_out) {
    uint32_t port = 0;
    int rc = kc_port_open(e, &port);

    if (rc != KC_OK)
        return rc;
    kc_lock_take(&e->lock);
    if (e->seats.port != 0 && e->ports[e->seats.port].used) {
        rc = KC_EBUSY;
    } else {
        e->seats = (kc_seats){.port = port, .waker = waker, .self = self};
        *port_out = port;
    }
    kc_lock_give(&e->lock);
    if (rc != KC_OK)
        (void)kc_port_close(e, port);
    return rc;
}

/* Outside the lock no result waits at the port of seats, so a token that lives is parked, or waits for its ack. */
bool kc_seat_give_up(kc_seat *seat, uint32_t reason) {
    kc_engine *e = seat->engine;
    kc_token token = 0;
    bool given_up = true;

    kc_lock_take(&e->lock);
    token = seat->token;
    if (token == 0)
        seat->stopped = reason;
    kc_lock_give(&e->lock);
    if (token != 0)
        given_up = kc_waiter_token_cancel(e, token, reason, NULL) == KC_OK;
    return given_up;
}

/* Bytes that fit go where they are wanted; anything else stays a body. */
static void copy_out(kc_engine *e, const kc_place *place, kc_result *r) {
    if (place->buffer != NULL && r->body.extra == 0 && r->body.len_bytes <= place->buffer_bytes) {
        uint32_t len_bytes = r->body.len_bytes;
        kc_body_read(e, &r->body, 0, place->buffer, len_bytes);
        kc_body_release(e, &r->body);
        r->body.len_bytes = len_bytes;
        r->flags |= KC_RESULT_COPIED;
    }
}

static void serve(kc_engine *e, uint32_t tok) {
    kc_seat *seat = (kc_seat *)(uintptr_t)kc_tok_at(e, tok)->user;

    kc_result_collect(e, tok, &seat->result);
    if ((seat->result.flags & (KC_RESULT_MESSAGE | KC_RESULT_HELD)) == KC_RESULT_MESSAGE && seat->places != NULL)
#if KC_MUTANT == 35 /* what a select received goes to the buffer of its first clause */
        copy_out(e, &seat->places[0], &seat->result);
#else
        copy_out(e, &seat->places[seat->result.clause], &seat->result);
#endif
    seat->next = NULL;
    if (e->seats.last != NULL)
        e->seats.last->next = seat;
    else
        e->seats.first = seat;
    e->seats.last = seat;
}

KC_WHOLE void kc_seats_serve(kc_engine *e) {
    kc_list *done = &e->ports[e->seats.port].done;

    e->seats.due = 0;
    while (done->count != 0)
        serve(e, done->head);
}
