/* cell_chan.c: channels apart from make to free, and by ticket (kc_cell.h). */
#include <stdlib.h>

#include "kc_body.h"
#include "kc_cell.h"
#include "kc_flow.h"

static kc_cells *build(kc_engine *e, const kc_chan_config *config, kc_cell_waker waker) {
    kc_cells *c = calloc(1, sizeof *c);

    if (c != NULL) {
        c->memory = config->elem_size == 0;
        c->elem_bytes = c->memory ? (uint32_t)sizeof(kc_cell_memory) : config->elem_size;
        c->kind = config->kind;
        c->overflow = config->overflow;
        c->waker = waker;
        c->engine = e;
        kc_cell_shape(c);
    }
    return c;
}

/* The record is nobody else's yet: its ticket has not been told. What was left out of the config has its default there. */
static int adopt(kc_engine *e, kc_chan chan, kc_cells *cells) {
    int rc = KC_OK;

    kc_enter(e);
    if (e->apart == NULL)
        e->apart = calloc((size_t)e->chans.capacity + 1, sizeof(kc_cells *));
    if (e->apart != NULL) {
        kc_chan_rec *c = kc_chan_find(e, chan);
        cells->chan = (uint32_t)chan;
        cells->w = &c->w;
        cells->limit = c->config.capacity;
        cells->max_bytes = c->config.max_bytes;
        c->apart = 1;
        e->apart[cells->chan] = cells;
    } else {
        rc = KC_ENOMEM;
    }
    kc_leave(e);
    return rc;
}

static bool is_plain(const kc_chan_config *c) {
    return (c->undelivered | c->flags | c->max_attempts | c->account | c->ttl_ms | c->file_ttl_ms) == 0 &&
           c->dead_letter == 0;
}

int kc_cells_make(kc_engine *e, const kc_chan_config *config, kc_cell_waker waker, kc_chan *chan_out,
                  kc_cells **cells_out) {
    kc_cells *cells = is_plain(config) ? build(e, config, waker) : NULL;
    kc_chan chan = 0;
    int rc = is_plain(config) ? KC_ENOMEM : KC_EINVAL;

    if (cells != NULL)
        rc = kc_chan_make(e, config, &chan, NULL);
    if (rc == KC_OK && (rc = adopt(e, chan, cells)) != KC_OK)
        (void)kc_chan_drop(e, chan);
    if (rc == KC_OK) {
        *chan_out = chan;
        *cells_out = cells;
    } else {
        free(cells);
    }
    return rc;
}

void kc_cells_free(kc_engine *e, uint32_t chan) {
    kc_cells *cells = kc_cells_of(e, chan);

    if (cells != NULL) {
        kc_cell_store store = kc_cell_lose_all(cells);
        kc_cell_release(cells, &store, kc_body_release);
        free(cells);
        e->apart[chan] = NULL;
    }
}

void kc_cells_finish_slowly(kc_cells *c, kc_cell_turn *turn) {
    if (turn->first != NULL)
        c->waker(turn->first);
    if (turn->lost.extra != 0)
        kc_body_drop(c->engine, &turn->lost);
}

int kc_cells_close(kc_cells *c) {
    kc_cell_turn turn = {0};
    uint32_t state = KC_CHAN_FREE;

    kc_lock_take(&c->lock);
    state = kc_state_of(c->w);
    if (state == KC_CHAN_OPEN) {
        (void)kc_word_step(c->w, kc_chan_steps, KC_CHAN_CLOSING, 0, 0, 0);
        kc_cells_settle(c, &turn);
    }
    kc_lock_give(&c->lock);
    kc_cells_finish(c, &turn);
    return state == KC_CHAN_DESTROYED ? KC_ECANCELED : KC_OK;
}

/* The word changes first: nothing that follows meets a live channel again. */
static kc_cell_store destroy(kc_cells *c, uint32_t reason, kc_cell_turn *turn) {
    kc_cell_store store = {0};

    kc_lock_take(&c->lock);
    if (kc_state_of(c->w) != KC_CHAN_DESTROYED) {
        (void)kc_word_step(c->w, kc_chan_steps, KC_CHAN_DESTROYED, reason >> 6, reason & 63U, 0);
        kc_cells_end_side(c, KC_CLAUSE_RECV, KC_RES_DESTROYED, turn);
        kc_cells_end_side(c, KC_CLAUSE_SEND, KC_RES_DESTROYED, turn);
        store = kc_cell_lose_all(c);
    }
    kc_lock_give(&c->lock);
    return store;
}

int kc_cells_destroy(kc_cells *c, uint32_t reason) {
    kc_cell_turn turn = {0};
    kc_cell_store store = destroy(c, reason != 0 ? reason & 0xFFFU : KC_REASON_DESTROYED, &turn);

    kc_cells_finish(c, &turn);
    kc_cell_release(c, &store, kc_body_drop);
    return KC_OK;
}

/* The waker calls no engine, so it may be called here. */
void kc_cells_end(kc_cells *c, uint32_t reason) {
    kc_cell_turn turn = {0};
    kc_cell_store store = destroy(c, reason, &turn);

    kc_cells_finish(c, &turn);
    kc_cell_release(c, &store, kc_body_release);
}

uint32_t kc_cells_purge(kc_cells *c) {
    kc_cell_turn turn = {0};
    kc_cell_store store = {0};
    uint32_t count = 0;

    kc_lock_take(&c->lock);
    store = kc_cell_lose_all(c);
    count = store.count;
    kc_cells_settle(c, &turn);
    kc_lock_give(&c->lock);
    kc_cells_finish(c, &turn);
    kc_cell_release(c, &store, kc_body_release);
    return count;
}

static void note_received(kc_engine *e, uint32_t extra) {
    kc_desc_extra *x = kc_extra_desc(e, extra);

    if (x != NULL)
        x->received = 1;
}

void kc_cells_received(kc_engine *e, kc_cell_memory *m) {
    if (m->body.extra == 0)
        return;
    kc_enter(e);
    note_received(e, m->body.extra);
    kc_leave(e);
    (void)kc_body_received(e, &m->body, &m->desc);
    kc_body_drop(e, &m->body);
}
