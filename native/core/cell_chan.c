/* cell_chan.c: channels apart from make to free, and by ticket (kc_cell.h). */
#include <stdlib.h>
#include <string.h>

#include "kc_cell.h"
#include "kc_flow.h"

/* What is new with each channel; the lock, and what a late visitor may ask, stay. */
static void set_up(kc_cells *c, const kc_chan_config *config) {
    c->memory = config->elem_size == 0;
    c->elem_bytes = c->memory ? (uint32_t)sizeof(kc_cell_memory) : config->elem_size;
    c->kind = config->kind;
    c->overflow = config->overflow;
    c->era++;
    c->visits = 0;
    c->last_cancelled = 0;
    c->peak = 0;
    memset(c->stat, 0, sizeof c->stat);
    kc_cell_shape(c);
}

static kc_cells *new_record(kc_engine *e, uint32_t chan, kc_cell_waker waker) {
    kc_cells *c = calloc(1, sizeof *c);

    if (c != NULL) { /* for good: late visitors ask for these */
        c->engine = e;
        c->chan = chan;
        c->waker = waker;
        c->w = &c->gone;
    }
    return c;
}

/* The record of that number, made if there was none; NULL without memory. An engine has one hub, and so one waker. */
static kc_cells *record_of(kc_engine *e, uint32_t chan, kc_cell_waker waker) {
    if (e->apart == NULL)
        e->apart = calloc((size_t)e->chans.capacity + 1, sizeof(kc_cells *));
    if (e->apart != NULL && e->apart[chan] == NULL)
        e->apart[chan] = new_record(e, chan, waker);
    return kc_cells_of(e, chan);
}

/* The channel is nobody else's yet: its ticket has not been told. What was left out of the config has its default
 * there. */
static int adopt(kc_engine *e, kc_chan chan, const kc_chan_config *config, kc_cell_waker waker, kc_cells **cells_out) {
    kc_cells *cells = NULL;

    kc_enter(e);
    cells = record_of(e, (uint32_t)chan, waker);
    if (cells != NULL) {
        kc_chan_rec *c = kc_chan_find(e, chan);
        kc_lock_take(&cells->lock);
        set_up(cells, config);
        cells->w = &c->w;
        cells->limit = c->config.capacity;
        cells->max_bytes = c->config.max_bytes;
        kc_lock_give(&cells->lock);
        c->apart = 1;
        *cells_out = cells;
    }
    kc_leave(e);
    return cells != NULL ? KC_OK : KC_ENOMEM;
}

static bool is_plain(const kc_chan_config *c) {
    return (c->undelivered | c->flags | c->max_attempts | c->account | c->ttl_ms | c->file_ttl_ms) == 0 &&
           c->dead_letter == 0;
}

int kc_cells_make(kc_engine *e, const kc_chan_config *config, kc_cell_waker waker, kc_chan *chan_out,
                  kc_cells **cells_out) {
    kc_chan chan = 0;
    int rc = is_plain(config) ? kc_chan_make(e, config, &chan, NULL) : KC_EINVAL;

    if (rc == KC_OK && (rc = adopt(e, chan, config, waker, cells_out)) != KC_OK)
        (void)kc_chan_drop(e, chan);
    if (rc == KC_OK)
        *chan_out = chan;
    return rc;
}

static void empty(kc_cells *c) {
    kc_cell_store store;

    kc_lock_take(&c->lock);
    store = kc_cell_lose_all(c);
    kc_lock_give(&c->lock);
    kc_cell_release(c, &store, kc_body_release);
}

void kc_cells_free(kc_engine *e, uint32_t chan) {
    kc_cells *c = kc_cells_of(e, chan);

    if (c != NULL) {
        empty(c);
        kc_lock_take(&c->lock);
        e->accepted += c->stat[KC_STAT_TOTAL_SENDS];
        c->stat[KC_STAT_TOTAL_SENDS] = 0;
        c->w = &c->gone;
        kc_lock_give(&c->lock);
    }
}

void kc_cells_free_all(kc_engine *e) {
    for (uint32_t chan = 1; e->apart != NULL && chan <= e->chans.high; chan++) {
        if (e->apart[chan] != NULL)
            empty(e->apart[chan]);
        free(e->apart[chan]);
    }
    free(e->apart);
}

void kc_cells_finish_slowly(kc_cells *c, kc_cell_turn *turn) { kc_cells_finish_by(c, turn, c->waker); }

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
