/* metrics.c: looking at channels without touching them. Totals are counted where things happen (flow.c, waiter.c); what
 * can be derived is derived here, so that it cannot disagree. */
#include <stdio.h>

#include "kc_cell.h"
#include "kc_flow.h"
#include "kc_pool.h"

static void derive(const kc_chan_rec *c, uint64_t *stat) {
    uint64_t depth = (uint64_t)c->ready.count + c->held;
    uint64_t w = kc_word_load(&c->w);

    stat[KC_STAT_FINISHED_WAITERS] =
        stat[KC_STAT_MATCHED_WAITERS] + stat[KC_STAT_CANCELLED_WAITERS] + stat[KC_STAT_CLOSED_WAITERS];
    stat[KC_STAT_SEND_IDX] = c->seq;
    stat[KC_STAT_RECV_IDX] = c->seq - depth;
    stat[KC_STAT_DEPTH] = depth;
    stat[KC_STAT_READY] = c->ready.count;
    stat[KC_STAT_HELD] = c->held;
    stat[KC_STAT_BYTES] = c->bytes;
    stat[KC_STAT_DESCRIPTORS] = c->descs;
    stat[KC_STAT_FILES] = c->files;
    stat[KC_STAT_PEAK_DEPTH] = c->peak_depth;
    stat[KC_STAT_PARKED_SENDERS] = c->waiters[KC_CLAUSE_SEND].count;
    stat[KC_STAT_PARKED_RECEIVERS] = c->waiters[KC_CLAUSE_RECV].count;
    stat[KC_STAT_CAPACITY] = c->config.capacity;
    stat[KC_STAT_ELEM_SIZE] = c->config.elem_size;
    stat[KC_STAT_KIND] = (uint64_t)(int64_t)c->config.kind;
    stat[KC_STAT_OVERFLOW] = c->config.overflow;
    stat[KC_STAT_STATE] = kc_word_state(w);
    stat[KC_STAT_MAX_BYTES] = c->config.max_bytes;
    stat[KC_STAT_CAP_FLAGS] = c->config.flags;
    stat[KC_STAT_CLOSE_REASON] = kc_word_state(w) == KC_CHAN_DESTROYED ? kc_word_reason(w) : 0;
}

int kc_chan_measure(kc_engine *e, kc_chan chan, kc_chan_snapshot *snapshot_out) {
    kc_chan_rec *c = NULL;
    int rc = KC_ENOENT;

    *snapshot_out = (kc_chan_snapshot){0};
    kc_enter(e);
    c = kc_chan_find(e, chan);
    if (c != NULL) {
        for (uint32_t i = 1; i < KC_STAT_END; i++)
            snapshot_out->stat[i] = c->stat[i];
        derive(c, snapshot_out->stat);
        if (c->apart)
            kc_cells_measure(kc_cells_of(e, kc_chan_index(e, c)), snapshot_out->stat);
        rc = KC_OK;
    }
    kc_leave(e);
    return rc;
}

static const char *kind_name(int32_t kind) {
    static const char *const names[] = {"unlimited", "conflated", "rendezvous", "buffered"};

    return names[kind + 2];
}

static const char *policy_name(uint32_t overflow) {
    static const char *const names[] = {"suspend", "drop_newest", "drop_oldest"};

    return names[overflow];
}

int kc_chan_dump(kc_engine *e, kc_chan chan, char *text, size_t text_bytes) {
    kc_chan_snapshot s;
    kc_chan_config config;
    const uint64_t *v = s.stat;
    int rc = kc_chan_measure(e, chan, &s);

    if (rc == KC_OK)
        rc = kc_chan_config_of(e, chan, &config);
    if (rc == KC_OK)
        rc = snprintf(text, text_bytes,
                      "chan=%llu kind=%s cap=%llu policy=%s occ=%llu ready=%llu held=%llu bytes=%llu send_idx=%llu "
                      "recv_idx=%llu senders=%llu receivers=%llu drops_oldest=%llu drops_newest=%llu "
                      "undelivered=%llu canc_wait=%llu state=%s",
                      (unsigned long long)config.user, kind_name(config.kind),
                      (unsigned long long)v[KC_STAT_CAPACITY], policy_name(config.overflow),
                      (unsigned long long)v[KC_STAT_DEPTH], (unsigned long long)v[KC_STAT_READY],
                      (unsigned long long)v[KC_STAT_HELD], (unsigned long long)v[KC_STAT_BYTES],
                      (unsigned long long)v[KC_STAT_SEND_IDX], (unsigned long long)v[KC_STAT_RECV_IDX],
                      (unsigned long long)v[KC_STAT_PARKED_SENDERS],
                      (unsigned long long)v[KC_STAT_PARKED_RECEIVERS],
                      (unsigned long long)v[KC_STAT_DROPS_OLDEST], (unsigned long long)v[KC_STAT_DROPS_NEWEST],
                      (unsigned long long)v[KC_STAT_UNDELIVERED],
                      (unsigned long long)v[KC_STAT_CANCELLED_WAITERS],
                      kc_chan_state_name((uint32_t)v[KC_STAT_STATE]));
    return rc;
}

static void describe_token(kc_engine *e, uint32_t tok, uint32_t dir, uint32_t chan, uint32_t msg,
                           kc_waiter_info *info) {
    kc_tok *t = kc_tok_at(e, tok);
    uint64_t w = kc_word_load(&t->w);

    *info = (kc_waiter_info){.token = kc_ticket_of(tok, w),
                             .scope = kc_ticket_of(t->scope, kc_word_load(&kc_scope_at(e, t->scope)->w)),
                             .user = t->user,
                             .age_ns = e->now_ns - t->parked_ns,
                             .dir = dir,
                             .status = kc_word_state(w),
                             .clauses = t->clauses,
                             .len_bytes = msg != 0 ? kc_msg_at(e, msg)->len_bytes : 0,
                             .chan_user = kc_chan_at(e, chan)->config.user,
                             .deadline_ns = t->deadline_ns};
}

static void describe(kc_engine *e, const kc_clause_rec *q, kc_waiter_info *info) {
    describe_token(e, q->tok, q->dir, q->chan, q->msg, info);
}

static int list_waiters(kc_engine *e, const kc_list *queue, uint32_t skip, kc_waiter_info *infos, uint32_t max) {
    uint32_t seen = 0;
    uint32_t written = 0;

    for (uint32_t q = queue->head; q != 0 && written < max; q = kc_clause_at(e, q)->next)
        if (seen++ >= skip)
            describe(e, kc_clause_at(e, q), &infos[written++]);
    return (int)written;
}

int kc_chan_waiters(kc_engine *e, kc_chan chan, uint32_t dir, uint32_t skip, kc_waiter_info *infos, uint32_t max) {
    kc_chan_rec *c = NULL;
    int rc = KC_ENOENT;

    kc_enter(e);
    c = dir <= KC_CLAUSE_SEND ? kc_chan_find(e, chan) : NULL;
    if (c != NULL && c->apart)
        rc = kc_cells_waiters(kc_cells_of(e, kc_chan_index(e, c)), dir, skip, infos, max);
    else if (c != NULL)
        rc = list_waiters(e, &c->waiters[dir], skip, infos, max);
    kc_leave(e);
    return rc;
}

/* What a scope's listing has come to; infos NULL: it only counts. */
typedef struct listing {
    kc_engine *e;
    kc_waiter_info *infos;
    uint32_t skip, max, written;
} listing;

static void add(listing *l, uint32_t tok, uint32_t dir, uint32_t chan, uint32_t msg) {
    if (l->skip != 0) {
        l->skip--;
    } else if (l->written < l->max) {
        if (l->infos != NULL)
            describe_token(l->e, tok, dir, chan, msg, &l->infos[l->written]);
        l->written++;
    }
}

static void add_parked(listing *l, uint32_t tok) {
    const kc_tok *t = kc_tok_at(l->e, tok);
    uint32_t state = kc_state_of(&t->w);

    if (state == KC_TOK_TAKEN) { /* its message is accepted: one channel is left, whatever it asked for */
        add(l, tok, KC_CLAUSE_SEND, t->chan, kc_word_peer(kc_word_load(&t->w)));
    } else if (state == KC_TOK_ENQUEUED) {
        for (uint32_t q = t->first; q != 0; q = kc_clause_at(l->e, q)->more)
            add(l, tok, kc_clause_at(l->e, q)->dir, kc_clause_at(l->e, q)->chan, kc_clause_at(l->e, q)->msg);
    }
}

static void add_held(listing *l, uint32_t tok, const kc_chan_rec *only) {
    uint32_t msg = kc_word_peer(kc_word_load(&kc_tok_at(l->e, tok)->w));
    uint32_t chan = kc_msg_at(l->e, msg)->chan;

    if (only == NULL || kc_chan_at(l->e, chan) == only)
        add(l, tok, KC_CLAUSE_RECV, chan, msg);
}

int kc_chan_waiter_scope_list(kc_engine *e, kc_scope scope, int held, kc_chan chan, uint32_t skip,
                              kc_waiter_info *infos, uint32_t max) {
    listing l = {.e = e, .infos = infos, .skip = skip, .max = max};
    const kc_scope_rec *s = NULL;
    const kc_chan_rec *only = NULL;
    int rc = KC_ENOENT;

    kc_enter(e);
    s = kc_scope_find(e, scope);
    only = chan != 0 ? kc_chan_find(e, chan) : NULL;
    if (s != NULL && (chan == 0 || only != NULL)) {
        uint32_t tok = held ? s->held.head : s->waiting.head;
        for (; tok != 0 && l.written < max; tok = kc_tok_at(e, tok)->scope_next) {
            if (held)
                add_held(&l, tok, only);
            else
                add_parked(&l, tok);
        }
        rc = (int)l.written;
    }
    kc_leave(e);
    return rc;
}

static kc_token head_token(kc_engine *e, const kc_list *queue) {
    uint32_t tok = queue->head != 0 ? kc_clause_at(e, queue->head)->tok : 0;

    return tok != 0 ? kc_ticket_of(tok, kc_word_load(&kc_tok_at(e, tok)->w)) : 0;
}

static uint32_t cell_state(const kc_chan_rec *c) {
    uint32_t state = KC_RV_EMPTY;

    if (c->waiters[KC_CLAUSE_SEND].count != 0)
        state = KC_RV_SENDER_READY;
    else if (c->waiters[KC_CLAUSE_RECV].count != 0)
        state = KC_RV_RECEIVER_READY;
    else if (c->held != 0)
        state = KC_RV_MATCHED;
    else if (c->last_cancelled)
        state = KC_RV_CANCELLED;
    return state;
}

int kc_chan_rv_cell(kc_engine *e, kc_chan chan, kc_rv_cell *cell_out) {
    kc_chan_rec *c = NULL;
    int rc = KC_ENOENT;

    kc_enter(e);
    c = kc_chan_find(e, chan);
    if (c != NULL && c->apart) {
        kc_cells_view(kc_cells_of(e, kc_chan_index(e, c)), cell_out);
        rc = KC_OK;
    } else if (c != NULL) {
        uint32_t head = c->waiters[KC_CLAUSE_SEND].head;
        *cell_out = (kc_rv_cell){.state = cell_state(c),
                                 .len_bytes = head != 0 ? kc_msg_at(e, kc_clause_at(e, head)->msg)->len_bytes : 0,
                                 .sender = head_token(e, &c->waiters[KC_CLAUSE_SEND]),
                                 .receiver = head_token(e, &c->waiters[KC_CLAUSE_RECV]),
                                 .matches = c->stat[KC_STAT_RV_MATCHES],
                                 .cancels = c->stat[KC_STAT_RV_CANCELS],
                                 .zdesc_matches = c->stat[KC_STAT_RV_ZDESC_MATCHES]};
        rc = KC_OK;
    }
    kc_leave(e);
    return rc;
}
