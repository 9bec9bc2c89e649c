/* cell_look.c: looking at channels apart without touching them (kc_cell.h). */
#include "kc_cell.h"

#define APART_TICKET UINT32_C(0x80000000) /* in a waiter's ticket, beside the number of its channel */

static kc_token token_of(const kc_cell_clause *q) {
    const kc_cell_waiter *w = q->waiter;

    return (uint64_t)kc_word_gen(kc_word_load(&w->w)) << 32 | APART_TICKET | w->clauses[0].cells->chan;
}

static const kc_cell_clause *first_live(const kc_cells *c, uint32_t dir) {
    const kc_cell_clause *q = c->waiters[dir].first;

    while (q != NULL && !kc_cell_waiter_is_live(q->waiter))
        q = q->next;
    return q;
}

static void derive(const kc_cells *c, uint64_t *stat) {
    uint64_t w = kc_word_load(c->w);

    stat[KC_STAT_FINISHED_WAITERS] =
        stat[KC_STAT_MATCHED_WAITERS] + stat[KC_STAT_CANCELLED_WAITERS] + stat[KC_STAT_CLOSED_WAITERS];
    stat[KC_STAT_SEND_IDX] = stat[KC_STAT_TOTAL_SENDS] - stat[KC_STAT_DROPS_NEWEST];
    stat[KC_STAT_RECV_IDX] = stat[KC_STAT_SEND_IDX] - c->count;
    stat[KC_STAT_DEPTH] = stat[KC_STAT_READY] = c->count;
    stat[KC_STAT_BYTES] = c->bytes;
    stat[KC_STAT_DESCRIPTORS] = c->memory ? c->count : 0;
    stat[KC_STAT_PEAK_DEPTH] = c->peak;
    stat[KC_STAT_PARKED_SENDERS] = c->waiters[KC_CLAUSE_SEND].count;
    stat[KC_STAT_PARKED_RECEIVERS] = c->waiters[KC_CLAUSE_RECV].count;
    stat[KC_STAT_STATE] = kc_word_state(w);
    stat[KC_STAT_CLOSE_REASON] = kc_word_state(w) == KC_CHAN_DESTROYED ? kc_word_reason(w) : 0;
}

void kc_cells_measure(kc_cells *c, uint64_t *stat) {
    kc_lock_take(&c->lock);
    for (uint32_t i = 1; i < KC_STAT_END; i++)
        stat[i] += c->stat[i];
    derive(c, stat);
    kc_lock_give(&c->lock);
}

static void describe(const kc_cell_clause *q, kc_waiter_info *info) {
    *info = (kc_waiter_info){.token = token_of(q),
                             .dir = q->dir,
                             .status = KC_TOKEN_ENQUEUED,
                             .clauses = q->waiter->count,
                             .len_bytes = q->dir == KC_CLAUSE_SEND && !q->cells->memory ? q->len_bytes : 0,
                             .deadline_ns = KC_NEVER};
}

int kc_cells_waiters(kc_cells *c, uint32_t dir, uint32_t skip, kc_waiter_info *infos, uint32_t max) {
    uint32_t seen = 0;
    uint32_t written = 0;

    kc_lock_take(&c->lock);
    for (const kc_cell_clause *q = c->waiters[dir].first; q != NULL && written < max; q = q->next)
        if (kc_cell_waiter_is_live(q->waiter) && seen++ >= skip)
            describe(q, &infos[written++]);
    kc_lock_give(&c->lock);
    return (int)written;
}

void kc_cells_view(kc_cells *c, kc_rv_cell *cell_out) {
    const kc_cell_clause *send = NULL;
    const kc_cell_clause *receive = NULL;
    uint32_t state = KC_RV_EMPTY;

    kc_lock_take(&c->lock);
    send = first_live(c, KC_CLAUSE_SEND);
    receive = first_live(c, KC_CLAUSE_RECV);
    if (send != NULL)
        state = KC_RV_SENDER_READY;
    else if (receive != NULL)
        state = KC_RV_RECEIVER_READY;
    else if (c->last_cancelled)
        state = KC_RV_CANCELLED;
    *cell_out = (kc_rv_cell){.state = state,
                             .len_bytes = send != NULL && !c->memory ? send->len_bytes : 0,
                             .sender = send != NULL ? token_of(send) : 0,
                             .receiver = receive != NULL ? token_of(receive) : 0,
                             .matches = c->stat[KC_STAT_RV_MATCHES],
                             .cancels = c->stat[KC_STAT_RV_CANCELS],
                             .zdesc_matches = c->stat[KC_STAT_RV_ZDESC_MATCHES]};
    kc_lock_give(&c->lock);
}

static bool has_token(kc_cells *c, kc_token token) {
    bool found = false;

    kc_lock_take(&c->lock);
    for (uint32_t dir = 0; dir < 2; dir++)
        for (const kc_cell_clause *q = c->waiters[dir].first; q != NULL && !found; q = q->next)
            found = kc_cell_waiter_is_live(q->waiter) && token_of(q) == token;
    kc_lock_give(&c->lock);
    return found;
}

int kc_cells_status(kc_engine *e, kc_token token) {
    uint32_t chan = (uint32_t)token & ~APART_TICKET;
    kc_cells *c = ((uint32_t)token & APART_TICKET) != 0 && chan <= e->chans.high ? kc_cells_of(e, chan) : NULL;

    return c != NULL && has_token(c, token) ? KC_TOKEN_ENQUEUED : KC_ENOENT;
}

/* ---- invariants ---- */

static const char *check_queue(const kc_cells *c, uint32_t dir) {
    const kc_cell_clause *before = NULL;
    const char *why = NULL;
    uint32_t count = 0;

    for (const kc_cell_clause *q = c->waiters[dir].first; q != NULL && why == NULL; q = q->next) {
        if (q->cells != c || q->dir != dir || q->linked == 0 || q->prev != before || q->waiter == NULL)
            why = "a clause in its queue is not its own";
        else if (!kc_cell_waiter_is_live(q->waiter) && q->waiter->count == 1)
            why = "a waiter that was decided stands in line";
        before = q;
        count++;
    }
    if (why == NULL && (count != c->waiters[dir].count || before != c->waiters[dir].last))
        why = "its queue is not as long as it says";
    return why;
}

/* A select that was decided elsewhere has not yet left: what it leaves behind is settled when it does. */
static bool is_left(const kc_cells *c) {
    uint32_t live = 0;

    for (uint32_t dir = 0; dir < 2; dir++)
        for (const kc_cell_clause *q = c->waiters[dir].first; q != NULL; q = q->next)
            live += kc_cell_waiter_is_live(q->waiter) && q->waiter->count > 1;
    return c->visits != live;
}

static const char *check_rest(const kc_cells *c) {
    const kc_cell_clause *send = first_live(c, KC_CLAUSE_SEND);
    const kc_cell_clause *receive = first_live(c, KC_CLAUSE_RECV);
    uint32_t state = kc_state_of(c->w);
    bool left = c->count != 0 || send != NULL;
    bool leaving = is_left(c);
    const char *why = NULL;

    if (c->count != 0 && receive != NULL)
        why = "I1 a message waits beside a parked receive";
    else if (!leaving && send != NULL && c->kind != KC_KIND_RENDEZVOUS && kc_cell_has_room(c, send->len_bytes))
        why = "I2 a send is parked beside room";
    else if (c->count > c->limit || c->count > c->slots)
        why = "I3 it has more messages than room";
    else if (c->kind == KC_KIND_RENDEZVOUS && send != NULL && receive != NULL && send->waiter != receive->waiter)
        why = "two waiters do not meet";
    else if ((state == KC_CHAN_CLOSED || state == KC_CHAN_DESTROYED) && (left || receive != NULL))
        why = "something is left at its end";
    else if (!leaving && state == KC_CHAN_CLOSING && !left)
        why = "CLOSING with nothing left";
    return why;
}

static const char *check_counts(const kc_cells *c) {
    const uint64_t *s = c->stat;
    uint64_t gone = s[KC_STAT_TOTAL_RECVS] + s[KC_STAT_DROPS_OLDEST] + s[KC_STAT_DROPS_NEWEST] + s[KC_STAT_UNDELIVERED];

    return s[KC_STAT_TOTAL_SENDS] == gone + c->count ? NULL : "conservation of messages";
}

const char *kc_cells_check(kc_cells *c) {
    const char *why = NULL;

    kc_lock_take(&c->lock);
    for (uint32_t dir = 0; dir < 2 && why == NULL; dir++)
        why = check_queue(c, dir);
    if (why == NULL)
        why = check_rest(c);
    if (why == NULL)
        why = check_counts(c);
    kc_lock_give(&c->lock);
    return why;
}

void kc_cells_sum(kc_cells *c, kc_engine_usage *usage, uint64_t *accepted) {
    kc_lock_take(&c->lock);
    usage->messages += c->count;
    usage->parked += (uint64_t)c->waiters[0].firsts + c->waiters[1].firsts;
    *accepted += c->stat[KC_STAT_TOTAL_SENDS];
    kc_lock_give(&c->lock);
}
