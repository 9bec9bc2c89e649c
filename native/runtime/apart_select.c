/* apart_select.c: a select over channels apart of one hub (kc_apart.h, core/cell_select.c). */
#include "kc_apart.h"

enum { FEW = 4 };

static int offer_all(kc_channel_clause *clauses, uint32_t count, kc_cell_clause *offers, kc_cell_memory *memories,
                     uint32_t *ready_out) {
    const kc_hub *hub = ((const kc_apart *)(const void *)clauses[0].channel)->hub;
    int rc = KC_OK;

    for (*ready_out = 0; *ready_out < count && rc == KC_OK; *ready_out += rc == KC_OK) {
        uint32_t i = *ready_out;
        rc = ((const kc_apart *)(const void *)clauses[i].channel)->hub == hub ? KC_OK : KC_EINVAL;
        if (rc == KC_OK)
            rc = kc_apart_offer(&clauses[i], &offers[i], &memories[i]);
        offers[i].index = (uint8_t)i;
    }
    return rc;
}

/* Its clauses decide, at once or later; index_out is told of whatever a channel decided. */
static int run(kc_stall *s, const kc_asked *asked, uint32_t *index_out) {
    kc_cells *c = s->waiter.clauses[0].cells;
    bool biased = (asked->flags & KC_OP_BIASED) != 0;
    kc_cell_turn turn = {0};
    int rc = kc_claim_begin(&s->claim, asked);

    if (rc == KC_OK)
        rc = kc_cells_select(&s->waiter, biased, kc_apart_patience(asked), index_out, &turn);
    kc_cells_finish(c, &turn);
    if (rc == KC_PARKED) {
        rc = kc_apart_wait(s, asked);
        if (kc_state_of(&s->waiter.w) == KC_TOK_CLAIMED)
            *index_out = kc_cell_waiter_clause(&s->waiter);
    }
    kc_claim_end(&s->claim);
    return rc;
}

static inline int select_in(kc_channel_clause *clauses, uint32_t count, const kc_asked *asked, uint32_t *index_out,
                            kc_cell_clause *offers, kc_cell_memory *memories) {
    kc_stall stall;
    uint32_t ready = 0;
    int rc = offer_all(clauses, count, offers, memories, &ready);

    kc_apart_begin(&stall, offers, count);
    if (rc == KC_OK)
        rc = run(&stall, asked, index_out);
    else
        *index_out = ready;
    for (uint32_t i = 0; i < ready; i++) {
        if (rc == KC_OK && i == *index_out)
            kc_apart_take(&clauses[i], &offers[i], &memories[i]);
        else
            kc_apart_withdraw(&offers[i], &memories[i]);
    }
    return rc;
}

/* Most have few clauses, and whoever waits should not touch pages of a stack for those that it has not. */
static KC_APART int select_few(kc_channel_clause *clauses, uint32_t count, const kc_asked *asked, uint32_t *index_out) {
    kc_cell_clause offers[FEW];
    kc_cell_memory memories[FEW];

    return select_in(clauses, count, asked, index_out, offers, memories);
}

static KC_APART int select_many(kc_channel_clause *clauses, uint32_t count, const kc_asked *asked,
                                uint32_t *index_out) {
    kc_cell_clause offers[KC_MAX_CLAUSES];
    kc_cell_memory memories[KC_MAX_CLAUSES];

    return select_in(clauses, count, asked, index_out, offers, memories);
}

int kc_apart_select(kc_channel_clause *clauses, uint32_t count, const kc_asked *asked, uint32_t *index_out) {
    return count <= FEW ? select_few(clauses, count, asked, index_out) : select_many(clauses, count, asked, index_out);
}
