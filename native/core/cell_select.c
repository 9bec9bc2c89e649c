/* cell_select.c: a select over channels apart: all their locks in order, one look, park (Go's selectgo has the same
 * shape).
 *
 * While the locks are held the own waiter stands in no queue, so a select never meets itself, and one decision by a
 * peer is enough later. What stood behind at other channels is taken out after the wake (kc_cells_leave).
 */
#include "kc_cell.h"
#include "kc_order.h"

/* The channels of a select, each once, lowest number first. */
typedef struct ranks {
    kc_cells *cells[KC_MAX_CLAUSES];
    uint32_t count;
} ranks;

static void rank(ranks *r, kc_cells *c) {
    uint32_t at = r->count;

    while (at > 0 && r->cells[at - 1]->chan > c->chan)
        at--;
    if (at > 0 && r->cells[at - 1] == c)
        return;
    for (uint32_t i = r->count; i > at; i--)
        r->cells[i] = r->cells[i - 1];
    r->cells[at] = c;
    r->count++;
}

static void take_all(ranks *r, const kc_cell_waiter *w) {
    r->count = 0;
    for (uint32_t i = 0; i < w->count; i++)
        rank(r, w->clauses[i].cells);
#if KC_MUTANT == 24 /* locks are taken in the order of the clauses */
    for (uint32_t i = 0; i < r->count; i++)
        r->cells[i] = w->clauses[i].cells;
#endif
    for (uint32_t i = 0; i < r->count; i++)
        kc_lock_take(&r->cells[i]->lock);
}

static void give_all(const ranks *r) {
    for (uint32_t i = r->count; i > 0; i--)
        kc_lock_give(&r->cells[i - 1]->lock);
}

static int try_one(kc_cell_clause *q, kc_cell_turn *turn) {
    return q->dir == KC_CLAUSE_SEND ? kc_cells_send(q->cells, q, turn) : kc_cells_receive(q->cells, q, turn);
}

/* KC_OK and the clause; else the first that was refused for good: KC_EPIPE, KC_ECANCELED, KC_ENOMEM; else KC_EAGAIN. */
static int try_all(kc_cell_waiter *w, const kc_order *order, uint32_t *index_out, kc_cell_turn *turn) {
    int best = KC_EAGAIN;

    for (uint32_t k = 0; k < w->count && best != KC_OK; k++) {
        uint32_t i = order->at[k];
        int rc = try_one(&w->clauses[i], turn);
        if (rc == KC_OK || (rc != KC_EAGAIN && best == KC_EAGAIN)) {
            best = rc;
            *index_out = i;
        }
    }
    return best;
}

int kc_cells_select(kc_cell_waiter *w, bool biased, int patience, uint32_t *index_out, kc_cell_turn *turn) {
    ranks r;
    kc_order order;
    int rc = KC_OK;

    take_all(&r, w);
    kc_order_draw(&order, w->count, biased, &r.cells[0]->dice);
    *index_out = 0;
    rc = kc_cells_wanted(w) ? try_all(w, &order, index_out, turn) : KC_ECANCELED;
    if (rc == KC_EAGAIN)
        rc = patience != KC_OK ? patience : KC_PARKED;
    if (rc == KC_PARKED)
        kc_cells_park(w, order.at[0]);
    else if (rc != KC_OK)
        kc_cells_count_refusal(w->clauses[*index_out].cells, w->clauses[*index_out].dir, rc);
    give_all(&r);
    return rc;
}
