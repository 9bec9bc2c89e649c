/* check.c: every invariant of every record, outside the lock's critical section. O(records); for tests and for the
 * moment after a suspicion. The numbers I1..I6 are those of docs/CHANNELS_ALGORITHM.md. */
#include "kc_check.h"

static kc_tok *tok_of(kc_check *k, uint32_t tok) { return kc_tok_at(k->e, tok); }

/* ---- one channel ---- */

static void check_ready(kc_check *k, uint32_t chan, kc_chan_rec *c, kc_load *load) {
    uint32_t requeued = 0;
    uint32_t count = 0;
    uint64_t last = 0;
    uint32_t before = 0;

    for (uint32_t msg = c->ready.head; msg != 0 && count <= c->ready.count; msg = kc_msg_at(k->e, msg)->next) {
        const kc_msg *m = kc_msg_at(k->e, msg);
        uint64_t w = kc_word_load(&m->w);
        bool back = (kc_word_flags(w) & KC_MSG_REQUEUED) != 0;
        kc_require(k, kc_word_state(w) == KC_MSG_READY && m->chan == chan, "chan %u: message %u in its queue is %s",
                   chan, msg, kc_msg_state_name(kc_word_state(w)));
        kc_require(k, m->qseq > last, "chan %u: message %u out of order", chan, msg);
        kc_require(k, m->prev == before, "chan %u: message %u has a wrong neighbour", chan, msg);
        kc_require(k, !back || count == requeued, "chan %u: requeued message %u is not at the front", chan, msg);
        requeued += back;
        if (back)
            kc_require(k, requeued < c->requeued || c->requeue_tail == msg, "chan %u: wrong requeue tail", chan);
        kc_weigh(k, m, load);
        last = m->qseq;
        before = msg;
        count++;
    }
    kc_require(k, count == c->ready.count && before == c->ready.tail, "chan %u: queue says %u messages, has %u", chan,
            c->ready.count, count);
    kc_require(k, requeued == c->requeued, "chan %u: says %u requeued, has %u", chan, c->requeued, requeued);
    kc_require(k, (c->requeued == 0) == (c->requeue_tail == 0), "chan %u: requeue tail without requeued", chan);
}

static void check_queue(kc_check *k, uint32_t chan, kc_chan_rec *c, uint32_t dir) {
    uint32_t count = 0;
    uint32_t before = 0;

    for (uint32_t q = c->waiters[dir].head; q != 0 && count <= c->waiters[dir].count;
         q = kc_clause_at(k->e, q)->next) {
        const kc_clause_rec *r = kc_clause_at(k->e, q);
        uint32_t state = kc_state_of(&tok_of(k, r->tok)->w);
        kc_require(k, r->chan == chan && r->dir == dir && r->linked, "chan %u: clause %u is not its own", chan, q);
        kc_require(k, r->prev == before, "chan %u: clause %u has a wrong neighbour", chan, q);
        kc_require(k, state == KC_TOK_ENQUEUED, "chan %u: a queued token is %s", chan, kc_tok_state_name(state));
        if (dir == KC_CLAUSE_SEND) /* I6 */
            kc_require(k, r->msg != 0 && kc_state_of(&kc_msg_at(k->e, r->msg)->w) == KC_MSG_STAGED,
                    "chan %u: a parked send without a STAGED message", chan);
        before = q;
        count++;
    }
    kc_require(k, count == c->waiters[dir].count && before == c->waiters[dir].tail,
            "chan %u: side %u says %u waiters, has %u", chan, dir, c->waiters[dir].count, count);
}

/* Two waiters of different operations that could meet on a rendezvous channel; one select never meets itself. */
static bool could_meet(kc_check *k, const kc_chan_rec *c) {
    const kc_list *s = &c->waiters[KC_CLAUSE_SEND];
    const kc_list *r = &c->waiters[KC_CLAUSE_RECV];
    uint32_t alone = s->count != 0 ? kc_clause_at(k->e, s->head)->tok : 0;
    bool others = false;

    for (uint32_t q = s->head; q != 0; q = kc_clause_at(k->e, q)->next)
        others |= kc_clause_at(k->e, q)->tok != alone;
    for (uint32_t q = r->head; q != 0; q = kc_clause_at(k->e, q)->next)
        others |= kc_clause_at(k->e, q)->tok != alone;
    return s->count != 0 && r->count != 0 && others;
}

static void check_rest(kc_check *k, uint32_t chan, kc_chan_rec *c) {
    const kc_list *senders = &c->waiters[KC_CLAUSE_SEND];
    uint32_t state = kc_chan_state_of(c);
    const kc_chan_rec *letters = NULL;

    kc_require(k, c->ready.count == 0 || c->waiters[KC_CLAUSE_RECV].count == 0,
            "chan %u: I1 a message is READY beside a parked receive", chan);
    kc_require(k,
            senders->count == 0 ||
                !kc_chan_has_room(c, kc_msg_at(k->e, kc_clause_at(k->e, senders->head)->msg)->len_bytes),
            "chan %u: I2 a send is parked beside room", chan);
    kc_require(k, c->config.kind == KC_KIND_RENDEZVOUS || c->ready.count - c->requeued <= c->config.capacity,
            "chan %u: I3 %u messages over capacity %u", chan, c->ready.count - c->requeued, c->config.capacity);
    kc_require(k, c->config.kind != KC_KIND_RENDEZVOUS || c->ready.count == c->requeued,
            "chan %u: I3 a rendezvous channel buffers", chan);
    kc_require(k, c->config.kind != KC_KIND_CONFLATED || c->ready.count <= 1, "chan %u: I3 conflated holds two", chan);
    kc_require(k, c->config.kind != KC_KIND_RENDEZVOUS || !could_meet(k, c), "chan %u: two waiters do not meet", chan);
    kc_require(k, state != KC_CHAN_CLOSED || c->ready.count + c->held + senders->count == 0,
            "chan %u: CLOSED with something left", chan);
    kc_require(k, c->apart || state != KC_CHAN_CLOSING || c->ready.count + c->held + senders->count != 0,
            "chan %u: CLOSING with nothing left", chan);
    kc_require(k,
            (state != KC_CHAN_CLOSED && state != KC_CHAN_DESTROYED) ||
                senders->count + c->waiters[KC_CLAUSE_RECV].count == 0,
            "chan %u: parked at the end of the channel", chan);
    kc_require(k, c->stat[KC_STAT_TOTAL_SENDS] == c->stat[KC_STAT_TOTAL_RECVS] + c->ready.count + c->held +
                                                   c->stat[KC_STAT_DROPS_OLDEST] + c->stat[KC_STAT_DROPS_NEWEST] +
                                                   c->stat[KC_STAT_UNDELIVERED],
            "chan %u: conservation: sent %llu", chan, (unsigned long long)c->stat[KC_STAT_TOTAL_SENDS]);
    kc_require(k, c->stat[KC_STAT_UNDELIVERED] ==
                   c->stat[KC_STAT_UNDELIVERED_DROPPED] + c->stat[KC_STAT_UNDELIVERED_DEAD_LETTERED],
            "chan %u: conservation: undelivered", chan);
    kc_require(k, !c->dirty && c->pending == 0, "chan %u: not settled", chan);
    letters = c->config.dead_letter != 0 ? kc_chan_find(k->e, c->config.dead_letter) : NULL;
    kc_require(k, c->config.dead_letter == 0 || (letters != NULL && letters->refs != 0),
            "chan %u: its dead letter channel is gone", chan);
}

/* A tap is in its source's list, an open drop_oldest channel or one that ends, and never tapped itself. */
static uint32_t check_taps(kc_check *k, uint32_t chan, const kc_chan_rec *c) {
    uint32_t count = 0;
    uint32_t before = 0;

    for (uint32_t tap = c->taps; tap != 0 && count < k->e->chans.capacity; tap = kc_chan_at(k->e, tap)->tap_next) {
        const kc_chan_rec *t = kc_chan_at(k->e, tap);
        uint32_t state = kc_chan_state_of(t);
        kc_require(k, t->tap_of == chan && t->tap_prev == before && t->taps == 0, "chan %u: tap %u is not its own",
                   chan, tap);
        kc_require(k,
                   state != KC_CHAN_FREE && state != KC_CHAN_DESTROYED && t->config.overflow == KC_OVERFLOW_DROP_OLDEST,
                   "chan %u: tap %u is %s", chan, tap, kc_chan_state_name(state));
        before = tap;
        count++;
    }
    kc_require(k, count == 0 || (c->tap_of == 0 && kc_chan_state_of(c) <= KC_CHAN_CLOSING), "chan %u: cannot have taps",
               chan);
    return count;
}

static void check_channels(kc_check *k) {
    uint32_t taps = 0;
    uint32_t listed = 0;

    for (uint32_t chan = 1; chan <= k->e->chans.high; chan++) {
        kc_chan_rec *c = kc_chan_at(k->e, chan);
        kc_load load = {0};
        uint32_t held = 0;
        if (kc_chan_state_of(c) == KC_CHAN_FREE)
            continue;
        if (c->apart)
            kc_check_apart(k, chan);
        check_ready(k, chan, c, &load);
        check_queue(k, chan, c, KC_CLAUSE_RECV);
        check_queue(k, chan, c, KC_CLAUSE_SEND);
        for (uint32_t msg = 1; c->held != 0 && msg <= k->e->msgs.high; msg++) {
            const kc_msg *m = kc_msg_at(k->e, msg);
            bool here = kc_state_of(&m->w) == KC_MSG_HELD && m->chan == chan;
            held += here;
            if (here)
                kc_weigh(k, m, &load);
        }
        kc_require(k, held == c->held, "chan %u: says %u held, has %u", chan, c->held, held);
        kc_require(k, load.bytes == c->bytes, "chan %u: says %llu bytes, has %llu", chan, (unsigned long long)c->bytes,
                (unsigned long long)load.bytes);
        kc_require(k, load.descs == c->descs && load.files == c->files,
                "chan %u: says %u descriptors and %u files, has %u and %u", chan, c->descs, c->files, load.descs,
                load.files);
        check_rest(k, chan, c);
        listed += check_taps(k, chan, c);
        taps += c->tap_of != 0;
    }
    kc_require(k, taps == listed, "%u taps, %u in the lists of their sources", taps, listed);
}

/* ---- messages and tokens ---- */

/* READY messages that expire stand in the heap, at their place and with their time, and no others; none waits
 * beyond. */
static void check_expiry(kc_check *k, uint32_t msg, const kc_msg *m, uint32_t state) {
    bool limited = state == KC_MSG_READY && m->expires_ns != 0;
    const kc_due *due = &k->e->deadlines[limited ? m->heap_at : 0];

    kc_require(k, state == KC_MSG_DROPPED || (m->heap_at != 0) == limited, "message %u: expiry and heap disagree", msg);
    kc_require(k, !limited || (due->entry == (msg | KC_DUE_MESSAGE) && due->due_ns == m->expires_ns),
               "message %u: lost its place in the heap", msg);
    kc_require(k, !limited || m->expires_ns > k->e->now_ns, "message %u: READY beyond its time", msg);
    k->expiring += limited;
}

/* What ends the wait of an undecided token; KC_NEVER when nothing does. */
static int64_t due_of(kc_check *k, const kc_tok *t) {
    bool offers = kc_state_of(&t->w) == KC_TOK_ENQUEUED && kc_clause_at(k->e, t->first)->msg != 0;
    int64_t expires_ns = offers ? kc_msg_at(k->e, kc_clause_at(k->e, t->first)->msg)->expires_ns : 0;

    return expires_ns != 0 && expires_ns < t->deadline_ns ? expires_ns : t->deadline_ns;
}

static void check_message(kc_check *k, uint32_t msg, const kc_msg *m) {
    uint64_t w = kc_word_load(&m->w);
    uint32_t state = kc_word_state(w);
    uint32_t tok = kc_word_peer(w);

    kc_require(k, state != KC_MSG_DONE, "message %u: DONE and not freed", msg);
    if (state == KC_MSG_HELD) { /* I4 */
        uint64_t tw = kc_word_load(&tok_of(k, tok)->w);
        kc_require(k, kc_word_state(tw) == KC_TOK_CLAIMED && kc_word_res(tw) == KC_RES_OK && kc_word_peer(tw) == msg,
                "message %u: I4 held by token %u, which does not hold it", msg, tok);
        kc_require(k, tok_of(k, tok)->list == KC_LIST_HELD, "message %u: its token is in no scope", msg);
    }
    if (m->sender != 0) {
        uint64_t sw = kc_word_load(&tok_of(k, m->sender)->w);
        kc_require(k, kc_word_state(sw) == KC_TOK_TAKEN && kc_word_peer(sw) == msg,
                "message %u: the sender it answers does not wait for it", msg);
    }
    kc_require(k, m->block == 0 || kc_block_refs(k->e, m->block) != 0, "message %u: its block is free", msg);
    kc_require(k, m->extra == 0 || (kc_block_refs(k->e, m->extra) != 0 && kc_extra_at(k->e, m->extra)->msg == msg),
            "message %u: its extra is not its own", msg);
    check_expiry(k, msg, m, state);
}

static void check_token(kc_check *k, uint32_t tok, kc_tok *t) {
    uint64_t w = kc_word_load(&t->w);
    uint32_t state = kc_word_state(w);
    bool undecided = state == KC_TOK_ENQUEUED || state == KC_TOK_TAKEN;
    bool has_deadline = undecided && due_of(k, t) != KC_NEVER;
    const kc_due *due = &k->e->deadlines[t->heap_at];

    kc_require(k, state != KC_TOK_INIT, "token %u: INIT outside an operation", tok);
    kc_require(k, t->list != KC_LIST_NONE, "token %u: in no list of its scope", tok);
    kc_require(k, undecided != (t->at_port != 0) || t->list == KC_LIST_HELD, "token %u: %s, at port %u", tok,
            kc_tok_state_name(state), t->at_port);
    kc_require(k, has_deadline == (t->heap_at != 0), "token %u: deadline and heap disagree", tok);
    kc_require(k, t->heap_at == 0 || (due->entry == tok && due->due_ns == due_of(k, t)),
               "token %u: lost its place in the heap", tok);
    k->timed += has_deadline;
    k->parked += undecided;
    k->held += t->list == KC_LIST_HELD;
    if (state == KC_TOK_TAKEN) {
        const kc_msg *m = kc_msg_at(k->e, kc_word_peer(w));
        kc_require(k, m->sender == tok, "token %u: TAKEN, but its message answers nobody", tok);
    }
}

static void check_records(kc_check *k) {
    uint32_t live = 0;

    for (uint32_t msg = 1; msg <= k->e->msgs.high; msg++)
        if (kc_state_of(&kc_msg_at(k->e, msg)->w) != KC_MSG_FREE) {
            check_message(k, msg, kc_msg_at(k->e, msg));
            live++;
        }
    kc_require(k, live == k->e->msgs.live, "%u messages live, %u counted", live, k->e->msgs.live);
    live = 0;
    for (uint32_t tok = 1; tok <= k->e->toks.high; tok++)
        if (kc_state_of(&tok_of(k, tok)->w) != KC_TOK_FREE) {
            check_token(k, tok, tok_of(k, tok));
            live++;
        }
    kc_require(k, live == k->e->toks.live, "%u tokens live, %u counted", live, k->e->toks.live);
    kc_require(k, k->parked == k->e->parked, "%llu parked, %llu counted", (unsigned long long)k->parked,
            (unsigned long long)k->e->parked);
    kc_require(k, k->held == k->e->held, "%llu held, %llu counted", (unsigned long long)k->held,
            (unsigned long long)k->e->held);
}

static void check_scopes(kc_check *k) {
    uint64_t tokens = 0;

    for (uint32_t scope = 1; scope <= k->e->scopes.high; scope++) {
        const kc_scope_rec *s = kc_scope_at(k->e, scope);
        uint32_t parked = 0;
        if (kc_state_of(&s->w) == KC_SCOPE_FREE)
            continue;
        tokens += (uint64_t)s->waiting.count + s->held.count;
        for (uint32_t tok = s->waiting.head; tok != 0; tok = tok_of(k, tok)->scope_next) {
            uint32_t state = kc_state_of(&tok_of(k, tok)->w);
            kc_require(k, tok_of(k, tok)->scope == scope, "scope %u: token %u is not its own", scope, tok);
            parked += state == KC_TOK_ENQUEUED || state == KC_TOK_TAKEN;
        }
        kc_require(k, parked == s->parked, "scope %u: says %u parked, has %u", scope, s->parked, parked);
    }
    kc_require(k, tokens == k->e->toks.live, "scopes own %llu tokens, %u live", (unsigned long long)tokens,
            k->e->toks.live);
}

static void check_deadlines(kc_check *k) {
    for (uint32_t at = 2; at <= k->e->deadline_count; at++)
        kc_require(k, k->e->deadlines[at / 2].due_ns <= k->e->deadlines[at].due_ns,
                "deadline heap: place %u is out of order", at);
    kc_require(k, k->e->deadline_count == k->timed + k->expiring, "deadline heap: has %u, should have %u",
            k->e->deadline_count, k->timed + k->expiring);
}

int kc_engine_check(kc_engine *e, char *why, size_t why_bytes) {
    kc_check k = {.e = e, .why = why, .why_bytes = why_bytes};

    kc_enter(e);
    kc_require(&k, e->dirty_head == 0 && e->dead_letters.count == 0, "the engine is not at rest");
    check_channels(&k);
    check_records(&k);
    check_scopes(&k);
    check_deadlines(&k);
    kc_check_costs(&k);
    kc_leave(e);
    return k.broken ? KC_EPROTO : KC_OK;
}
