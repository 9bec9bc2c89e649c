/* kc_apart.h: channels apart (core/kc_cell.h) as kc_channel has them: what operations and selects share. */
#ifndef KC_APART_H
#define KC_APART_H

#include "core/kc_cell.h"
#include "kc_hub.h"

typedef struct kc_apart {
    kc_channel base;
    kc_hub *hub;
    kc_cells *cells;
} kc_apart;

/* An operation that may park; on its owner's stack. The waker finds it by its first member. */
typedef struct kc_stall {
    kc_cell_waiter waiter;
    kc_wait wait;
    kc_claim claim;
} kc_stall;

/* The clause as cells have it; memory is where a descriptor is kept meanwhile. Of a send KC_EINVAL, KC_ENOTSUP,
 * KC_ENOMEM. */
int kc_apart_offer(kc_channel_clause *clause, kc_cell_clause *offer_out, kc_cell_memory *memory);
/* It took effect, and what was received goes into the clause; or it did not, and what was offered is its owner's
 * again. */
void kc_apart_take(kc_channel_clause *clause, const kc_cell_clause *offer, kc_cell_memory *memory);
void kc_apart_withdraw(const kc_cell_clause *offer, kc_cell_memory *memory);
/* KC_OK: it may wait; else what it answers instead. */
int kc_apart_patience(const kc_asked *asked);
/* It may be parked; between kc_claim_begin and kc_claim_end. */
void kc_apart_begin(kc_stall *stall, kc_cell_clause *clauses, uint32_t count);
/* Parked: until it is decided. What it came to; a select has left its other channels. */
int kc_apart_wait(kc_stall *stall, const kc_asked *asked);

int kc_apart_select(kc_channel_clause *clauses, uint32_t count, const kc_asked *asked, uint32_t *index_out);

#endif
