/* flow.c: how messages move (kc_flow.h): into a channel, to who holds them, and out. The order within a move: the
 * commit word, the words that follow from it, then lists and counters, so that a later stage can finish a move from its
 * commit alone. What senders learn of it is flow_sender.c; how messages come back, flow_back.c; copies, flow_tap.c. */
#include "kc_flow.h"

#include "kc_pool.h"

/* The counters that only some messages move, kept off the way of the others. */
static KC_APART void count_sent_extra(kc_engine *e, kc_chan_rec *c, uint32_t extra) {
    kc_stat_add(c, KC_STAT_TOTAL_BYTES_SENT, kc_extra_bytes(e, extra));
    kc_stat_add(c, KC_STAT_ZREF_SENT, kc_extra_desc(e, extra) != NULL);
}

void kc_flow_count_sent(kc_engine *e, kc_chan_rec *c, uint32_t len_bytes, uint32_t extra) {
    e->accepted++;
    kc_stat_add(c, KC_STAT_TOTAL_SENDS, 1);
    kc_stat_add(c, KC_STAT_TOTAL_BYTES_SENT, len_bytes);
    kc_flow_stamp(e, c);
    if (extra != 0)
        count_sent_extra(e, c, extra);
}

KC_RARE void kc_flow_count_fallback(kc_chan_rec *c, uint32_t flags) {
    kc_stat_add(c, KC_STAT_ZREF_FALLBACK_SMALL, (flags & KC_OP_SMALL) != 0);
    kc_stat_add(c, KC_STAT_ZREF_FALLBACK_CAPACITY, (flags & KC_OP_CROWDED) != 0);
}

static KC_APART void carry_extra(kc_engine *e, kc_chan_rec *c, uint32_t extra, bool in) {
    const kc_files_extra *files = kc_extra_files(e, extra);
    uint32_t descs = files == NULL;
    uint32_t count = files != NULL ? files->count : 0;

    c->descs = in ? c->descs + descs : c->descs - descs;
    c->files = in ? c->files + count : c->files - count;
}

/* What a READY or HELD message adds to its channel. */
static inline void carry(kc_engine *e, kc_chan_rec *c, const kc_msg *m) {
    c->bytes += m->len_bytes;
    if (m->extra != 0)
        carry_extra(e, c, m->extra, true);
}

static inline void uncarry(kc_engine *e, kc_chan_rec *c, const kc_msg *m) {
    c->bytes -= m->len_bytes;
    if (m->extra != 0)
        carry_extra(e, c, m->extra, false);
}

static int64_t sooner(int64_t expires_ns, int64_t now_ns, uint32_t ttl_ms) {
    int64_t at_ns = now_ns + ttl_ms * INT64_C(1000000);

    return ttl_ms != 0 && (expires_ns == 0 || at_ns < expires_ns) ? at_ns : expires_ns;
}

/* How long the channel lets messages wait, if their senders did not want less. Once: one that comes back has no second
 * life. */
static KC_APART void limit_wait(const kc_engine *e, const kc_chan_rec *c, kc_msg *m) {
    m->expires_ns = sooner(m->expires_ns, e->now_ns, c->config.ttl_ms);
    if (kc_extra_files(e, m->extra) != NULL)
        m->expires_ns = sooner(m->expires_ns, e->now_ns, c->config.file_ttl_ms);
}

/* The message is the channel's from here on: it gets its place and is counted as sent. */
static void accept(kc_engine *e, kc_chan_rec *c, kc_msg *m) {
    bool match = kc_chan_is(c, KC_KIND_RENDEZVOUS);

    m->qseq = ++c->seq;
    kc_flow_count_sent(e, c, m->len_bytes, m->extra);
    kc_stat_add(c, KC_STAT_RV_MATCHES, match);
    if ((c->config.ttl_ms | c->config.file_ttl_ms) != 0)
        limit_wait(e, c, m);
    if (m->extra != 0)
        kc_stat_add(c, KC_STAT_RV_ZDESC_MATCHES, match && kc_extra_desc(e, m->extra) != NULL);
    carry(e, c, m);
    if (c->taps != 0)
        kc_flow_tap(e, c, m);
}

/* What waits or is held, at its highest. */
static void note_peak(kc_chan_rec *c) {
    uint64_t depth = (uint64_t)c->ready.count + c->held;

    if (depth > c->peak_depth)
        c->peak_depth = depth;
}

/* Takes a READY message (w: its word then) out of the queue; REQUEUED ones are its front. */
static void unqueue(kc_engine *e, kc_chan_rec *c, uint32_t msg, uint64_t w) {
    if ((kc_word_flags(w) & KC_MSG_REQUEUED) != 0) {
        c->requeued--;
        if (c->requeue_tail == msg)
            c->requeue_tail = kc_msg_at(e, msg)->prev;
    }
    kc_list_unlink(&e->msgs, &c->ready, msg);
    if (kc_msg_at(e, msg)->heap_at != 0)
        kc_deadline_remove_message(e, msg);
}

static KC_APART void evict(kc_engine *e, kc_chan_rec *c, uint32_t newest) {
    while (e->breach == 0) {
        uint32_t front = kc_chan_is(c, KC_KIND_CONFLATED) || c->requeue_tail == 0
                             ? c->ready.head
                             : kc_msg_at(e, c->requeue_tail)->next;
        bool over = kc_chan_is(c, KC_KIND_CONFLATED) || c->ready.count - c->requeued > c->config.capacity ||
                    c->bytes > c->config.max_bytes;
        if (front == newest || !over)
            break;
        kc_flow_lose(e, front, KC_STAT_DROPS_OLDEST, KC_REASON_EVICTED);
    }
}

void kc_flow_put(kc_engine *e, kc_chan_rec *c, uint32_t msg) {
    kc_msg *m = kc_msg_at(e, msg);

    if (!kc_msg_step(e, m, KC_MSG_READY, 0, 0, 0))
        return;
    accept(e, c, m);
    kc_list_push(&e->msgs, &c->ready, msg);
    if (m->expires_ns != 0)
        kc_deadline_add_message(e, msg);
    if (kc_chan_is(c, KC_KIND_CONFLATED) || c->config.overflow == KC_OVERFLOW_DROP_OLDEST)
        evict(e, c, msg);
    note_peak(c);
    kc_chan_touch(e, c);
}

/* STAGED or READY -> HELD(tok); the token is CLAIMED already and goes to its scope's held ones. */
static void hold(kc_engine *e, kc_chan_rec *c, uint32_t tok, uint32_t msg) {
    kc_msg *m = kc_msg_at(e, msg);
    uint64_t w = kc_word_load(&m->w);

    if (kc_word_state(w) == KC_MSG_STAGED)
        accept(e, c, m);
    else
        unqueue(e, c, msg, w);
    (void)kc_msg_step(e, m, KC_MSG_HELD, kc_word_attempts(w), kc_word_flags(w), tok);
    if (kc_word_attempts(w) != 0)
        kc_stat_add(c, KC_STAT_REDELIVERED, 1);
    c->held++;
    note_peak(c);
    c->last_cancelled = 0;
    kc_chan_waiter_scope_hold(e, tok);
    kc_chan_touch(e, c);
}

void kc_flow_hold(kc_engine *e, kc_chan_rec *c, uint32_t tok, uint32_t msg) {
    kc_tok *t = kc_tok_at(e, tok);

    kc_tok_name_chan(e, t, kc_msg_at(e, msg)->chan);
    if (kc_tok_step(e, t, KC_TOK_CLAIMED, KC_RES_OK, 0, msg))
        hold(e, c, tok, msg);
}

KC_APART KC_WHOLE bool kc_flow_deliver(kc_engine *e, kc_chan_rec *c, uint32_t clause, uint32_t msg) {
    kc_clause_rec *q = kc_clause_at(e, clause);
    uint32_t tok = q->tok;
    kc_tok *t = kc_tok_at(e, tok);

    if (!kc_tok_step(e, t, KC_TOK_CLAIMED, KC_RES_OK, q->index, msg))
        return false;
    kc_tok_name_chan(e, t, q->chan);
    t->dir = KC_CLAUSE_RECV;
    t->flags |= q->flags;
    kc_waiter_unlink(e, tok, 0);
    kc_chan_waiter_scope_settle(e, tok);
    hold(e, c, tok, msg);
    kc_stat_add(c, KC_STAT_MATCHED_WAITERS, 1);
    kc_port_push(e, tok);
    return true;
}

/* Takes the message (w: its word before the move) out of the channel's READY or HELD ones and of its bytes. */
static void remove_from(kc_engine *e, kc_chan_rec *c, uint32_t msg, uint64_t w) {
    kc_msg *m = kc_msg_at(e, msg);
    uint32_t state = kc_word_state(w);

    if (state == KC_MSG_READY)
        unqueue(e, c, msg, w);
    else
        c->held--;
#if KC_MUTANT == 4 /* the bytes of a held message are never given back to its channel */
    if (state == KC_MSG_READY)
#endif
        uncarry(e, c, m);
    kc_chan_touch(e, c);
}

static void count_received(kc_engine *e, kc_chan_rec *c, uint32_t extra) {
    kc_desc_extra *x = kc_extra_desc(e, extra);

    if (x != NULL) {
        x->received = 1;
        kc_stat_add(c, KC_STAT_ZREF_RECEIVED, 1);
        kc_stat_add(c, KC_STAT_TOTAL_BYTES_RECV, x->desc.len_bytes);
    }
}

void kc_flow_done(kc_engine *e, uint32_t msg, kc_body *body_out) {
    kc_msg *m = kc_msg_at(e, msg);
    kc_chan_rec *c = kc_chan_at(e, m->chan);
    uint64_t w = kc_word_load(&m->w);

    if (!kc_msg_step(e, m, KC_MSG_DONE, kc_word_attempts(w), 0, 0))
        return;
    if (kc_word_state(w) == KC_MSG_STAGED) {
        accept(e, c, m);
        uncarry(e, c, m);
    } else {
        remove_from(e, c, msg, w);
    }
    if (kc_word_state(w) != KC_MSG_HELD)
        kc_stat_add(c, KC_STAT_REDELIVERED, kc_word_attempts(w) != 0);
    kc_stat_add(c, KC_STAT_TOTAL_RECVS, 1);
    kc_stat_add(c, KC_STAT_TOTAL_BYTES_RECV, m->len_bytes);
    if (m->extra != 0)
        count_received(e, c, m->extra);
    kc_flow_stamp(e, c);
    kc_flow_tell(e, m->sender, KC_RES_OK, 0);
    kc_msg_free(e, msg, body_out);
}

static bool goes_to_dead_letter(const kc_chan_rec *c, uint32_t reason) {
    return c->config.dead_letter != 0 && reason != KC_REASON_REVOKED &&
           (c->config.undelivered == KC_UNDELIVERED_DEAD_LETTER || reason == KC_REASON_ATTEMPTS);
}

KC_APART void kc_flow_lose(kc_engine *e, uint32_t msg, uint32_t stat, uint32_t reason) {
    kc_msg *m = kc_msg_at(e, msg);
    kc_chan_rec *c = kc_chan_at(e, m->chan);
    uint64_t w = kc_word_load(&m->w);
    bool letter = goes_to_dead_letter(c, reason);

    if (!kc_msg_step(e, m, KC_MSG_DROPPED, kc_word_attempts(w), 0, 0))
        return;
    remove_from(e, c, msg, w);
    if (m->extra != 0 && kc_chan_state_of(c) == KC_CHAN_DESTROYED)
        kc_stat_add(c, KC_STAT_ZREF_ABORTED_CLOSE, kc_extra_desc(e, m->extra) != NULL);
    kc_stat_add(c, stat, 1);
    kc_stat_add(c, KC_STAT_EXPIRED, reason == KC_REASON_EXPIRED);
    m->counter = stat;
    if (letter) { /* its sender is told when it has got there, or has not */
        c->pending++;
        kc_list_push(&e->msgs, &e->dead_letters, msg);
    } else {
        kc_flow_tell(e, m->sender, KC_RES_LOST, reason);
        m->sender = 0;
        kc_stat_add(c, KC_STAT_UNDELIVERED_DROPPED, stat == KC_STAT_UNDELIVERED);
        if (reason == KC_REASON_ATTEMPTS)
            kc_event_push(e, KC_EVENT_ATTEMPTS, reason, c->config.user);
        if ((c->config.flags & KC_CHAN_TELL_DROPPED) != 0)
            kc_list_push(&e->msgs, &c->dropped, msg);
        else
            kc_msg_free(e, msg, NULL);
    }
}
