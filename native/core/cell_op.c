/* cell_op.c: what a send, a receive, and whoever ends a channel find at a channel apart. The lock of the cells is
 * held. */
#include <stdlib.h>

#include "kc_cell.h"

KC_APART void kc_cells_count_refusal(kc_cells *c, uint32_t dir, int code) {
    bool send = dir == KC_CLAUSE_SEND;

    if (code == KC_EAGAIN)
        kc_cell_stat(c, send ? KC_STAT_SEND_EAGAIN : KC_STAT_RECV_EAGAIN, 1);
    else if (code == KC_ETIME)
        kc_cell_stat(c, send ? KC_STAT_SEND_ETIME : KC_STAT_RECV_ETIME, 1);
    else if (code == KC_EPIPE)
        kc_cell_stat(c, send ? KC_STAT_SEND_EPIPE : KC_STAT_RECV_EPIPE, 1);
}

/* The first of a side that can still be had: decided by this, and to be woken. NULL: nobody waits. */
static inline kc_cell_clause *partner(kc_cells *c, uint32_t dir, kc_cell_turn *turn) {
    kc_cell_clause *q = NULL;

    while ((q = kc_cells_live(c, dir)) != NULL && !kc_cells_claim(q, KC_RES_OK, turn))
        ;
    if (q != NULL)
        kc_cell_stat(c, KC_STAT_MATCHED_WAITERS, 1);
    return q;
}

/* Nobody waits for it: it stands in the channel, or its sender in line. No barging: whoever is parked stands in
 * front. */
static int store(kc_cells *c, kc_cell_clause *send, kc_cell_turn *turn) {
    bool room = kc_cell_has_room(c, send->len_bytes);
    void *copy = NULL;
    int rc = KC_OK;

    if (c->overflow == KC_OVERFLOW_DROP_NEWEST && !room)
        kc_cell_drop_newest(c, send, turn);
    else if (c->overflow == KC_OVERFLOW_SUSPEND && (!room || kc_cells_live(c, KC_CLAUSE_SEND) != NULL))
        rc = KC_EAGAIN;
    else if ((rc = kc_cell_reserve(c, send, &copy)) == KC_OK)
        kc_cell_put(c, send, copy, turn);
    return rc;
}

static int refused(uint32_t state) { return state == KC_CHAN_DESTROYED ? KC_ECANCELED : KC_EPIPE; }

KC_WHOLE int kc_cells_send(kc_cells *c, kc_cell_clause *send, kc_cell_turn *turn) {
    uint32_t state = kc_state_of(c->w);
    kc_cell_clause *receive = NULL;
    int rc = KC_OK;

    if (state != KC_CHAN_OPEN)
        return refused(state);
    receive = partner(c, KC_CLAUSE_RECV, turn);
    if (receive != NULL) {
        kc_cell_pass(c, send, receive);
        c->peak += c->peak == 0; /* as a message that its receiver holds */
    } else {
        rc = c->kind == KC_KIND_RENDEZVOUS ? KC_EAGAIN : store(c, send, turn);
    }
    return rc;
}

static bool has_room_for(kc_cells *c, const kc_cell_clause *send) {
    return send != NULL && c->kind != KC_KIND_RENDEZVOUS && kc_cell_has_room(c, send->len_bytes);
}

/* Its room has come, and no memory for it: it is told so, as one that does not have to wait is. */
static KC_RARE void turn_away(kc_cells *c, kc_cell_clause *send, kc_cell_turn *turn) {
    if (kc_cells_claim(send, KC_RES_MEMORY, turn)) {
        kc_cell_stat(c, KC_STAT_CANCELLED_WAITERS, 1);
        kc_cell_stat(c, KC_STAT_ZREF_CANCELED, c->memory);
    }
}

/* Room goes to the first in line, and to nobody behind it. */
static KC_APART void promote(kc_cells *c, kc_cell_turn *turn) {
    kc_cell_clause *send = NULL;
    void *copy = NULL;

    while (has_room_for(c, send = kc_cells_live(c, KC_CLAUSE_SEND))) {
        if (kc_cell_reserve(c, send, &copy) != KC_OK) {
            turn_away(c, send, turn);
        } else if (kc_cells_claim(send, KC_RES_OK, turn)) {
            kc_cell_put(c, send, copy, turn);
            kc_cell_stat(c, KC_STAT_MATCHED_WAITERS, 1);
            c->last_cancelled = 0;
        } else {
            free(copy);
        }
    }
}

KC_APART void kc_cells_finish_close(kc_cells *c, kc_cell_turn *turn) {
    if (kc_state_of(c->w) == KC_CHAN_CLOSING && c->count == 0 && kc_cells_live(c, KC_CLAUSE_SEND) == NULL) {
        (void)kc_word_step(c->w, kc_chan_steps, KC_CHAN_CLOSED, 0, 0, 0);
        kc_cells_end_side(c, KC_CLAUSE_RECV, KC_RES_CLOSED, turn);
    }
}

void kc_cells_settle(kc_cells *c, kc_cell_turn *turn) {
#if KC_MUTANT != 27 /* room in a channel apart wakes nobody */
    if (c->waiters[KC_CLAUSE_SEND].first != NULL)
        promote(c, turn);
#endif
    if (kc_state_of(c->w) != KC_CHAN_OPEN)
        kc_cells_finish_close(c, turn);
}

KC_WHOLE int kc_cells_receive(kc_cells *c, kc_cell_clause *receive, kc_cell_turn *turn) {
    kc_cell_clause *send = NULL;
    uint32_t state = KC_CHAN_OPEN;
    int rc = KC_OK;

    if (c->count != 0) {
        kc_cell_take(c, receive);
        kc_cells_settle(c, turn);
    } else if ((send = partner(c, KC_CLAUSE_SEND, turn)) != NULL) {
        kc_cell_pass(c, send, receive);
        kc_cells_settle(c, turn);
    } else {
        kc_cells_settle(c, turn); /* who stood in line may have been decided elsewhere */
        state = kc_state_of(c->w);
        rc = state == KC_CHAN_OPEN ? KC_EAGAIN : refused(state);
    }
    return rc;
}

static void count_side(kc_cells *c, const kc_cell_clause *q, uint32_t res) {
    bool send = q->dir == KC_CLAUSE_SEND;

    if (res == KC_RES_CLOSED) {
        kc_cell_stat(c, KC_STAT_CLOSED_WAITERS, 1);
        kc_cell_stat(c, send ? KC_STAT_SEND_EPIPE : KC_STAT_RECV_EPIPE, 1);
    } else {
        kc_cell_stat(c, KC_STAT_CANCELLED_WAITERS, 1);
        kc_cell_stat(c, KC_STAT_CANCELLED_DESTROYED, 1);
        kc_cell_stat(c, KC_STAT_RV_CANCELS, c->kind == KC_KIND_RENDEZVOUS);
        c->last_cancelled = 1;
    }
    kc_cell_stat(c, KC_STAT_ZREF_ABORTED_CLOSE, send && c->memory);
}

void kc_cells_end_side(kc_cells *c, uint32_t dir, uint32_t res, kc_cell_turn *turn) {
    kc_cell_clause *q = NULL;

    while ((q = kc_cells_live(c, dir)) != NULL)
        if (kc_cells_claim(q, res, turn))
            count_side(c, q, res);
}
