/* cell_wait.c: waiters of channels apart from park to decision (kc_cell.h). */
#include "kc_cell.h"

#if KC_MUTANT == 23
#include <sched.h>
#endif

static void push(kc_cell_clause *q) {
    kc_cell_queue *queue = &q->cells->waiters[q->dir];

    q->next = NULL;
    q->prev = queue->last;
    if (queue->last != NULL)
        queue->last->next = q;
    else
        queue->first = q;
    queue->last = q;
    queue->count++;
    queue->firsts += q->index == 0;
    q->linked = 1;
}

static inline void unlink_clause(kc_cell_clause *q) {
    kc_cell_queue *queue = &q->cells->waiters[q->dir];

    if (q->prev != NULL)
        q->prev->next = q->next;
    else
        queue->first = q->next;
    if (q->next != NULL)
        q->next->prev = q->prev;
    else
        queue->last = q->prev;
    queue->count--;
    queue->firsts -= q->index == 0;
    q->linked = 0;
}

static inline void set(kc_cell_waiter *w, uint64_t word) {
    atomic_store_explicit(&w->w, word, memory_order_relaxed);
}

void kc_cells_begin(kc_cell_waiter *w, kc_cell_clause *clauses, uint32_t count) {
    w->clauses = clauses;
    w->count = count;
    set(w, kc_word_make(0, KC_TOK_INIT, 0, 0, 0));
}

/* The generation is of the channel of its first clause, which its ticket names. */
void kc_cells_park(kc_cell_waiter *w, uint32_t start) {
    set(w, kc_word_make(++w->clauses[0].cells->lives, KC_TOK_ENQUEUED, 0, 0, 0));
    for (uint32_t i = 0, at = start; i < w->count; i++) {
        w->clauses[at].waiter = w;
        w->clauses[at].era = w->clauses[at].cells->era;
        w->clauses[at].cells->visits += w->count > 1;
        push(&w->clauses[at]);
        at = at + 1 < w->count ? at + 1 : 0;
    }
}

kc_cell_clause *kc_cells_live(kc_cells *c, uint32_t dir) {
    kc_cell_clause *q = c->waiters[dir].first;

    while (q != NULL && !kc_cell_waiter_is_live(q->waiter)) {
        unlink_clause(q);
        q = c->waiters[dir].first;
    }
    return q;
}

/* ENQUEUED -> to, once. One of a single clause is stepped under its channel's lock alone; at others several pull. */
static inline bool decide(kc_cell_waiter *w, uint32_t to, uint32_t res, uint32_t clause) {
    uint64_t seen = kc_word_load(&w->w);
    uint64_t word = kc_word_make(kc_word_gen(seen), to, res, clause, 0);
    bool live = kc_word_state(seen) == KC_TOK_ENQUEUED && kc_tok_steps[KC_TOK_ENQUEUED][to] != 0;

    if (live && w->count == 1)
        set(w, word);
#if KC_MUTANT == 23 /* two may decide one select */
    else if (live) {
        for (int i = 0; i < 100; i++)
            (void)sched_yield();
        set(w, word);
    }
#else
    else if (live)
        live = atomic_compare_exchange_strong_explicit(&w->w, &seen, word, memory_order_acq_rel, memory_order_relaxed);
#endif
    return live;
}

bool kc_cells_claim(kc_cell_clause *q, uint32_t res, kc_cell_turn *turn) {
    kc_cell_waiter *w = q->waiter;
    bool claimed = decide(w, KC_TOK_CLAIMED, res, q->index);

    if (claimed) {
        unlink_clause(q);
        q->cells->visits -= w->count > 1;
        w->next = NULL;
        if (turn->last != NULL)
            turn->last->next = w;
        else
            turn->first = w;
        turn->last = w;
    }
    return claimed;
}

static uint32_t res_for(uint32_t reason) {
    uint32_t res = KC_RES_CANCEL;

    if (reason == KC_REASON_DEAD)
        res = KC_RES_DEAD;
    else if (reason == KC_REASON_TIMEOUT)
        res = KC_RES_TIMEOUT;
    return res;
}

/* Counted at the channel of its first clause, as the engine's other waiters are (waiter.c). */
static void count_end(kc_cells *c, uint32_t dir, uint32_t res) {
    uint32_t stat = KC_STAT_CANCELLED_CANCEL;

    if (res == KC_RES_TIMEOUT) {
        stat = KC_STAT_CANCELLED_TIMEOUT;
        kc_cell_stat(c, dir == KC_CLAUSE_SEND ? KC_STAT_SEND_ETIME : KC_STAT_RECV_ETIME, 1);
    } else if (res == KC_RES_DEAD) {
        stat = KC_STAT_CANCELLED_DEAD;
    }
    kc_cell_stat(c, KC_STAT_CANCELLED_WAITERS, 1);
    kc_cell_stat(c, stat, 1);
    kc_cell_stat(c, KC_STAT_RV_CANCELS, c->kind == KC_KIND_RENDEZVOUS);
    c->last_cancelled = 1;
}

/* Out of its queue, if nobody who passed over it has taken it out. Whoever stands behind it may have waited for it
 * alone. */
static void leave(kc_cell_clause *q, kc_cell_turn *turn) {
    if (q->linked)
        unlink_clause(q);
    q->cells->visits -= q->waiter->count > 1;
#if KC_MUTANT != 25 /* whoever stood behind one that left is not looked at */
    kc_cells_settle(q->cells, turn);
#endif
}

/* Before it was published: it never will be. Exact under the lock of its first clause, without which none parks. */
static bool forbid(kc_cell_waiter *w) {
    bool early = kc_state_of(&w->w) == KC_TOK_INIT;

#if KC_MUTANT != 26 /* a cancel that came before its operation parked is forgotten */
    if (early)
#else
    if (0)
#endif
        set(w, kc_word_make(0, KC_TOK_FREE, 0, 0, 0));
    return early;
}

bool kc_cells_give_up(kc_cell_waiter *w, uint32_t reason) {
    uint32_t res = res_for(reason);
    bool ended = false;
    bool early = false;

    for (uint32_t i = 0; i < w->count && (i == 0 || ended); i++) {
        kc_cell_clause *q = &w->clauses[i];
        kc_cells *c = q->cells;
        kc_cell_turn turn = {0};
        kc_lock_take(&c->lock);
        if (i == 0 && !(early = forbid(w)) && (ended = decide(w, KC_TOK_CANCELLED, res, 0)))
            count_end(c, q->dir, res);
        if (ended && q->era == c->era) {
            kc_cell_stat(c, KC_STAT_ZREF_CANCELED, c->memory && q->dir == KC_CLAUSE_SEND);
            leave(q, &turn);
        }
        kc_lock_give(&c->lock);
        kc_cells_finish(c, &turn);
    }
    return ended || early;
}

/* What was offered there is its owner's again: counted where the whole came to nothing. */
static uint32_t stat_of_return(uint32_t res) {
    return res == KC_RES_MEMORY ? KC_STAT_ZREF_CANCELED : KC_STAT_ZREF_ABORTED_CLOSE;
}

void kc_cells_leave(kc_cell_waiter *w) {
    uint32_t winner = kc_cell_waiter_clause(w);
    uint32_t res = kc_cell_waiter_res(w);

    for (uint32_t i = 0; i < w->count; i++) {
        kc_cell_clause *q = &w->clauses[i];
        kc_cell_turn turn = {0};
        bool offered = q->memory && q->dir == KC_CLAUSE_SEND && res != KC_RES_OK;
        if (i == winner)
            continue;
        kc_lock_take(&q->cells->lock);
        if (q->era == q->cells->era) {
            kc_cell_stat(q->cells, stat_of_return(res), offered);
            leave(q, &turn);
        }
        kc_lock_give(&q->cells->lock);
        kc_cells_finish(q->cells, &turn);
    }
}
