/* settle.c: brings channels back to rest, and the end of every operation.
 *
 * Rest means (kc_engine_check asserts it outside the lock):
 *   no READY message beside a parked receive;
 *   no parked send at the head of its queue whose message has room;
 *   a CLOSING channel still has READY or HELD messages or parked sends, else it is CLOSED and nobody is parked on it.
 * Moves of one channel may touch others (a select leaves all its queues), so touched channels form a list that is
 * worked off until it is empty; every move consumes a token or a message, so it ends.
 */
#include <unistd.h>

#include "kc_account.h"
#include "kc_flow.h"
#include "kc_pool.h"
#include "kc_seat.h"

static void deliver_ready(kc_engine *e, kc_chan_rec *c) {
    while (c->ready.count != 0 && c->waiters[KC_CLAUSE_RECV].count != 0 && e->breach == 0)
        (void)kc_flow_deliver(e, c, c->waiters[KC_CLAUSE_RECV].head, c->ready.head);
}

/* Head first and only the head: a small message never overtakes a large one that waits for bytes. */
static void promote_senders(kc_engine *e, kc_chan_rec *c) {
    const kc_list *senders = &c->waiters[KC_CLAUSE_SEND];

#if KC_MUTANT == 7 /* room that becomes free wakes nobody */
    return;
#endif
    while (senders->count != 0 && e->breach == 0 &&
           kc_chan_has_room(c, kc_msg_at(e, kc_clause_at(e, senders->head)->msg)->len_bytes)) {
        kc_flow_put(e, c, kc_flow_claim_sender(e, c, senders->head));
        deliver_ready(e, c);
    }
}

static KC_APART void finish_close(kc_engine *e, kc_chan_rec *c) {
    uint32_t chan = kc_chan_index(e, c);

    if (kc_chan_state_of(c) != KC_CHAN_CLOSING || c->ready.count + c->held != 0)
        return;
#if KC_MUTANT != 8 /* the end comes although senders are still parked */
    if (c->waiters[KC_CLAUSE_SEND].count != 0)
        return;
#endif
    (void)kc_word_step(&c->w, kc_chan_steps, KC_CHAN_CLOSED, 0, 0, 0);
    kc_flow_end_taps(e, c);
    while (c->waiters[KC_CLAUSE_RECV].count != 0) {
        uint32_t tok = kc_clause_at(e, c->waiters[KC_CLAUSE_RECV].head)->tok;
        kc_flow_end_waiter(e, tok, chan, KC_RES_CLOSED, 0);
        kc_port_push(e, tok);
    }
}

/* A channel apart settles itself (kc_cell.h); here it only comes to its end. */
static void settle_channel(kc_engine *e, kc_chan_rec *c) {
    if (!c->apart) {
        deliver_ready(e, c);
        promote_senders(e, c);
        finish_close(e, c);
    }
    kc_chan_reap(e, kc_chan_index(e, c));
}

void kc_settle(kc_engine *e) {
    while (e->dirty_head != 0) {
        kc_chan_rec *c = kc_chan_at(e, e->dirty_head);
        e->dirty_head = c->dirty_next;
        c->dirty = 0;
        settle_channel(e, c);
    }
}

/* Moves one message to the dead-letter channel of the one it came from, or drops it and says so. */
static KC_APART void move_letter(kc_engine *e, uint32_t msg) {
    kc_msg *m = kc_msg_at(e, msg);
    kc_chan_rec *from = kc_chan_at(e, m->chan);
    kc_chan_rec *to = kc_chan_find(e, from->config.dead_letter);
    bool counted = m->counter != KC_STAT_UNDELIVERED; /* an eviction is counted as one, once */
    kc_origin from_whom = {.account = m->account, .pid = m->pid}; /* a letter waits as its own channel says */
    uint32_t account = m->account;
    uint32_t sender = m->sender;
    uint32_t letter = 0;
    kc_body body = {0};
    bool moved = to != NULL && kc_chan_state_of(to) == KC_CHAN_OPEN && kc_chan_has_room(to, m->len_bytes);

    from->pending--;
    kc_chan_touch(e, from);
    kc_account_keep(e, account); /* it may have no other charge than this message, and no name any more */
    kc_msg_free(e, msg, &body);
    if (moved)
        moved = kc_msg_stage(e, from_whom, kc_chan_index(e, to), &body, &letter, NULL) == KC_OK;
    kc_flow_tell(e, sender, KC_RES_LOST, moved ? KC_REASON_DEAD_LETTERED : KC_REASON_UNDELIVERED);
    kc_stat_add(from, moved ? KC_STAT_UNDELIVERED_DEAD_LETTERED : KC_STAT_UNDELIVERED_DROPPED, !counted);
    if (moved)
        kc_flow_put(e, to, letter);
    else
        kc_event_push(e, KC_EVENT_DEAD_LETTER, KC_REASON_UNDELIVERED, from->config.user);
    kc_body_release(e, &body);
    kc_account_leave(e, account);
}

static void move_letters(kc_engine *e) {
    while (e->dead_letters.count != 0) {
        uint32_t msg = e->dead_letters.head;
        kc_list_unlink(&e->msgs, &e->dead_letters, msg);
        move_letter(e, msg);
    }
}

/* A step that its table forbids was refused: that channel is not to be trusted any more, the others are. */
static KC_RARE void poison(kc_engine *e) {
    kc_chan_rec *c = kc_chan_at(e, e->breach);

    e->breach = 0;
    kc_event_push(e, KC_EVENT_POISONED, KC_REASON_POISONED, c->config.user);
    kc_chan_end(e, c, KC_REASON_POISONED);
}

static void bring_to_rest(kc_engine *e) {
    while ((e->dirty_head | e->dead_letters.count | e->breach | e->seats.due) != 0) {
        kc_settle(e);
        move_letters(e);
        if (e->breach != 0)
            poison(e);
        if (e->seats.due != 0)
            kc_seats_serve(e);
    }
}

KC_APART KC_WHOLE void kc_leave_slowly(kc_engine *e) {
    int ring[64];
    uint32_t count = 0;
    kc_seats served;

    bring_to_rest(e);
    served = e->seats;
    e->seats.first = e->seats.last = NULL;
    for (; count < e->ring_count; count++)
        ring[count] = e->ring[count];
    e->ring_count = 0;
    kc_lock_give(&e->lock);
    if (served.first != NULL)
        served.waker(served.self, served.first);
    for (uint32_t i = 0; i < count; i++) {
        const uint64_t one = 1;
        /* Full counters (EAGAIN) are readable already, which is all a ring has to bring about. */
        ssize_t written = write(ring[i], &one, sizeof one);
        (void)written;
    }
}
