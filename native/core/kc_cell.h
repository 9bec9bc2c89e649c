/* kc_cell.h: channels apart: messages in cells of their own, waiters on their owners' stacks, one lock each (decision
 * 0059).
 *
 * For channels between coroutines and threads of one process. A channel apart is one of the engine's: it has a ticket,
 * a truth word and a record like the others, and kc_chan_close, _destroy, _purge, _measure and whatever else looks at
 * channels serve it (cell_chan.c). Operations do not go by ticket and take no token of the arena: the waiter *is* the
 * token, with a truth word that takes the same steps (kc_state.h). What accounts, scopes, acks, times to live, taps and
 * dead letters do, only the other channels have.
 *
 * Locks: lock 0 comes first, then those of cells, lowest number first. Whoever holds cells calls nobody; who was
 * decided stands in the turn, and is woken when no lock is held any more.
 * A waiter is live while its word is ENQUEUED. One of a single clause is decided under the lock of its channel, a
 * select by compare-and-exchange; its other clauses are passed over by whoever meets them, and its owner takes them out
 * before it goes. Invariants, when the lock is free and no select is on its way out: no message beside a live receiver;
 * no live sender at the head of its queue beside room; CLOSED and DESTROYED have neither messages nor waiters, CLOSING
 * has some.
 *
 * The record stays for the next channel of its number, and goes with the engine: whoever waited when the last reference
 * went may still take its lock, and finds by the era that nothing of its own is there.
 */
#ifndef KC_CELL_H
#define KC_CELL_H

#include "kc_body.h"
#include "kc_lock.h"
#include "kc_record.h"

typedef struct kc_cells kc_cells;
typedef struct kc_cell_waiter kc_cell_waiter;

/* What goes through a channel of memory. A pointer that no backend is told of has an empty body. */
typedef struct kc_cell_memory {
    kc_desc desc;
    kc_body body;
} kc_cell_memory;

/* One operation at one channel. Of a send `data` is read until it is accepted; of a receive `buffer` has room for an
 * element. */
typedef struct kc_cell_clause {
    struct kc_cell_clause *next, *prev; /* the channel's queue */
    kc_cell_waiter *waiter;
    kc_cells *cells;
    const void *data;
    void *buffer;
    uint32_t len_bytes; /* of data; of a receive what came */
    uint8_t dir;        /* KC_CLAUSE_RECV, KC_CLAUSE_SEND */
    uint8_t index;      /* in the select */
    uint8_t linked;
    uint8_t memory; /* as the channel's: whoever has waited does not ask the channel any more */
    uint32_t era;   /* of the cells when it parked: later they may be another channel's */
} kc_cell_clause;

/* Others know it from kc_cells_park until it was woken or has ended it itself; then nobody else knows it any more, but
 * for the queues of a select's other clauses (kc_cells_leave). */
struct kc_cell_waiter {
    kc_word w;            /* a token's: state, res, clause */
    kc_cell_waiter *next; /* of a turn's */
    kc_cell_clause *clauses;
    uint32_t count;
};

/* What is to be done when the lock was given back: whoever was decided is to be woken, oldest first, and the body of
 * what a channel of memory lost is to be dropped. */
typedef struct kc_cell_turn {
    kc_cell_waiter *first, *last;
    kc_body lost;
} kc_cell_turn;

typedef struct kc_cell_queue {
    kc_cell_clause *first, *last;
    uint32_t count;  /* those of selects that were decided elsewhere are still among them */
    uint32_t firsts; /* first clauses of their waiters: each waiter is counted once */
} kc_cell_queue;

typedef void (*kc_cell_waker)(kc_cell_waiter *first); /* as kc_seat_waker */

struct kc_cells {
    kc_lock lock;
    kc_word *w;   /* of the channel's record; stepped under this lock alone */
    kc_word gone; /* where that points while there is no channel: FREE */
    int32_t kind;
    uint32_t overflow, limit; /* of messages */
    uint32_t elem_bytes, slot_bytes;
    uint32_t weighs;        /* a mask of a message's bytes: elements of memory weigh nothing */
    uint8_t memory;         /* elements are kc_cell_memory */
    uint8_t lossy;          /* the oldest goes where there is no room */
    uint8_t last_cancelled; /* for kc_rv_cell, as kc_chan_rec has it */
    uint32_t lives;         /* of waiters: the generation of the next */
    uint32_t era;           /* of the record: one for each channel that it was of */
    uint32_t visits;        /* clauses of selects that have parked here and not yet left */
    uint8_t *ring; /* slots of slot_bytes; NULL while nothing waits and nothing is worth keeping */
    uint32_t slots, head, count;
    uint64_t bytes, max_bytes;
    kc_cell_queue waiters[2]; /* by direction */
    uint64_t peak, dice;
    uint64_t stat[KC_STAT_END];
    kc_cell_waker waker;
    kc_engine *engine;
    uint32_t chan; /* its number */
};

/* ---- from make to free (cell_chan.c) ---- */

/* A channel of the engine, with one reference, and its cells. elem_size 0: of memory. As
 * kc_chan_make; KC_EINVAL for what a channel apart has not. */
int kc_cells_make(kc_engine *engine, const kc_chan_config *config, kc_cell_waker waker, kc_chan *chan_out,
                  kc_cells **cells_out);
/* As kc_chan_close and kc_chan_destroy; with or without lock 0, and without it. */
int kc_cells_close(kc_cells *cells);
int kc_cells_destroy(kc_cells *cells, uint32_t reason);
/* The same, kc_chan_purge, and the last of the record; under lock 0. */
void kc_cells_end(kc_cells *cells, uint32_t reason);
uint32_t kc_cells_purge(kc_cells *cells);
void kc_cells_free(kc_engine *engine, uint32_t chan);
void kc_cells_free_all(kc_engine *engine); /* the engine goes */
/* No lock of cells is held, and lock 0 only where nothing can be lost: wakes, and drops what was lost. `waker` is the
 * cells' own: whoever knows which one that is saves the look at it. */
static inline void kc_cells_finish_by(kc_cells *c, kc_cell_turn *turn, kc_cell_waker waker) {
    if (turn->first != NULL)
        waker(turn->first);
    if (turn->lost.extra != 0)
        kc_body_drop(c->engine, &turn->lost);
}
void kc_cells_finish_slowly(kc_cells *cells, kc_cell_turn *turn);
static inline void kc_cells_finish(kc_cells *c, kc_cell_turn *turn) {
    if (turn->first != NULL || turn->lost.extra != 0)
        kc_cells_finish_slowly(c, turn);
}
/* A descriptor that came through cells, once: it was received, its body is dropped. */
void kc_cells_received(kc_engine *engine, kc_cell_memory *memory);

/* ---- messages (cell.c); the lock is held ---- */

/* Of new cells: how large their slots are, and what follows from kind and policy. */
void kc_cell_shape(kc_cells *cells);
bool kc_cell_has_room(const kc_cells *cells, uint32_t len_bytes);
/* All that a put may lack: its slot, and the copy of a long element, which is the caller's to put or to free.
 * KC_ENOMEM. */
int kc_cell_reserve(kc_cells *cells, const kc_cell_clause *send, void **copy_out);
/* At the end of the queue, evicting what the kind or the overflow policy says. */
void kc_cell_put(kc_cells *cells, const kc_cell_clause *send, void *copy, kc_cell_turn *turn);
/* The oldest; there is one. */
void kc_cell_take(kc_cells *cells, kc_cell_clause *receive);
/* From hand to hand. */
void kc_cell_pass(kc_cells *cells, const kc_cell_clause *send, kc_cell_clause *receive);
/* drop_newest: it was accepted and lost. */
void kc_cell_drop_newest(kc_cells *cells, const kc_cell_clause *send, kc_cell_turn *turn);
/* All that wait are lost: counted, and the storage handed out, to be emptied by kc_cell_release without the lock. */
typedef struct kc_cell_store {
    uint8_t *ring;
    uint32_t slots, head, count;
} kc_cell_store;
kc_cell_store kc_cell_lose_all(kc_cells *cells);
/* `drop` gives a body back; only a channel of memory has some. */
void kc_cell_release(const kc_cells *cells, kc_cell_store *store, void (*drop)(kc_engine *engine, kc_body *body));

/* ---- operations (cell_op.c); the lock is held ---- */

/* KC_OK; KC_EAGAIN: it would have to wait; KC_EPIPE, KC_ECANCELED; KC_ENOMEM. Whoever takes a refusal for the answer
 * counts it. */
int kc_cells_send(kc_cells *cells, kc_cell_clause *send, kc_cell_turn *turn);
int kc_cells_receive(kc_cells *cells, kc_cell_clause *receive, kc_cell_turn *turn);
/* Brings the channel back to rest after a message or a waiter left it. */
void kc_cells_settle(kc_cells *cells, kc_cell_turn *turn);
/* Ends all who wait at this side, with KC_RES_CLOSED or KC_RES_DESTROYED. */
void kc_cells_end_side(kc_cells *cells, uint32_t dir, uint32_t res, kc_cell_turn *turn);
/* The end of a channel that is CLOSING, once nothing is left in it. */
void kc_cells_finish_close(kc_cells *cells, kc_cell_turn *turn);
/* KC_EAGAIN, KC_ETIME, KC_EPIPE; of other codes nothing. */
void kc_cells_count_refusal(kc_cells *cells, uint32_t dir, int code);

/* ---- waiters (cell_wait.c) ---- */

/* It may be given up from now on; nobody can decide it yet. */
void kc_cells_begin(kc_cell_waiter *waiter, kc_cell_clause *clauses, uint32_t count);
/* It was not given up. Under the lock of its first clause. */
static inline bool kc_cells_wanted(const kc_cell_waiter *w) { return kc_state_of(&w->w) == KC_TOK_INIT; }
/* The locks of all its channels are held, and it is wanted: its clauses stand in line, from number `start` on and
 * round, and it is live. */
void kc_cells_park(kc_cell_waiter *waiter, uint32_t start);
/* The first live waiter of a side, NULL for none; those that were decided elsewhere are passed over. Lock held. */
kc_cell_clause *kc_cells_live(kc_cells *cells, uint32_t dir);
/* It is decided by this clause, out of its queue, and in the turn; false: somebody was faster. Lock held. */
bool kc_cells_claim(kc_cell_clause *clause, uint32_t res, kc_cell_turn *turn);
/* No lock is held. true: it had not been decided, and never will be: reason says how it ends and is counted (if it was
 * parked), and it stands in no queue any more. false: it was decided, and whoever did so wakes it. */
bool kc_cells_give_up(kc_cell_waiter *waiter, uint32_t reason);
/* No lock is held: a select that was decided takes its other clauses out. */
void kc_cells_leave(kc_cell_waiter *waiter);
static inline bool kc_cell_waiter_is_live(const kc_cell_waiter *w) { return kc_state_of(&w->w) == KC_TOK_ENQUEUED; }
/* What it came to. KC_RES_MEMORY: its room came, and there was no memory. */
static inline uint32_t kc_cell_waiter_res(const kc_cell_waiter *w) { return kc_word_res(kc_word_load(&w->w)); }
static inline uint32_t kc_cell_waiter_clause(const kc_cell_waiter *w) { return kc_word_clause(kc_word_load(&w->w)); }

/* ---- select (cell_select.c) ---- */

/* No lock is held. Exactly one of its clauses took effect, and *index_out says which: KC_OK; or none can, and one never
 * will (KC_EPIPE, KC_ECANCELED: of that one) or has no memory (KC_ENOMEM). Otherwise `patience` is the answer,
 * KC_EAGAIN or KC_ETIME; where it is KC_OK the waiter parks: KC_PARKED. One that was given up before does nothing:
 * KC_ECANCELED. */
int kc_cells_select(kc_cell_waiter *waiter, bool biased, int patience, uint32_t *index_out, kc_cell_turn *turn);

/* ---- looking (cell_look.c); under lock 0, so that the cells stay ---- */

/* Into a snapshot that has what the record knows, and zeros. */
void kc_cells_measure(kc_cells *cells, uint64_t *stat);
int kc_cells_waiters(kc_cells *cells, uint32_t dir, uint32_t skip, kc_waiter_info *infos, uint32_t max);
void kc_cells_view(kc_cells *cells, kc_rv_cell *cell_out);
/* enum kc_token_status of a waiter that is live; KC_ENOENT. */
int kc_cells_status(kc_engine *engine, kc_token token);
/* Why it breaks an invariant, NULL if it does not. O(waiters). */
const char *kc_cells_check(kc_cells *cells);
/* Adds its messages and waiters, and what it ever accepted. */
void kc_cells_sum(kc_cells *cells, kc_engine_usage *usage, uint64_t *accepted);

static inline kc_cells *kc_cells_of(const kc_engine *e, uint32_t chan) {
    return e->apart != NULL ? e->apart[chan] : NULL;
}
static inline void kc_cell_stat(kc_cells *c, uint32_t stat, uint64_t n) { c->stat[stat] += n; }
static inline void *kc_cell_slot(const kc_cells *c, uint32_t i) {
    uint32_t at = c->head + i;

    return c->ring + (size_t)(at < c->slots ? at : at - c->slots) * c->slot_bytes;
}

#endif
