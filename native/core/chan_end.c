/* chan_end.c: how channels end: closed, which lets what waits drain; destroyed, which ends waiters and messages at
 * once, for a reason. Also how a channel is rid of messages alone: purged, or dropped ones fetched by its owner. The
 * record lives on until nothing names it (kc_chan_reap, chan.c).
 *
 * Invariant: the word changes first; from a destroyed channel nobody gets a message, and at it nobody waits.
 */
#include <string.h>

#include "kc_cell.h"
#include "kc_flow.h"
#include "kc_pool.h"

int kc_chan_close(kc_engine *e, kc_chan chan) {
    kc_chan_rec *c = NULL;
    int rc = KC_ENOENT;

    kc_enter(e);
    c = kc_chan_find(e, chan);
    if (c != NULL) {
        rc = kc_chan_state_of(c) == KC_CHAN_DESTROYED ? KC_ECANCELED : KC_OK;
        if (c->apart) {
            rc = kc_cells_close(kc_cells_of(e, kc_chan_index(e, c)));
        } else if (kc_chan_state_of(c) == KC_CHAN_OPEN) {
            (void)kc_word_step(&c->w, kc_chan_steps, KC_CHAN_CLOSING, 0, 0, 0);
            kc_chan_touch(e, c);
        }
    }
    kc_leave(e);
    return rc;
}

static void end_side(kc_engine *e, kc_chan_rec *c, uint32_t dir, uint32_t reason) {
    uint32_t chan = kc_chan_index(e, c);

    while (c->waiters[dir].count != 0) {
        uint32_t tok = kc_clause_at(e, c->waiters[dir].head)->tok;
        kc_flow_end_waiter(e, tok, chan, KC_RES_DESTROYED, reason);
        kc_port_push(e, tok);
    }
}

static uint32_t lose_ready(kc_engine *e, kc_chan_rec *c, uint32_t reason) {
    uint32_t count = 0;

    for (; c->ready.count != 0; count++) {
        uint32_t head = c->ready.head;
        kc_flow_lose(e, head, KC_STAT_UNDELIVERED, reason);
        if (c->ready.head == head) /* its word is broken: nobody can say whose it is, so it is left to nobody */
            kc_list_unlink(&e->msgs, &c->ready, head);
    }
    return count;
}

/* The word changes first, so that nothing that follows can meet a live channel again. */
void kc_chan_end(kc_engine *e, kc_chan_rec *c, uint32_t reason) {
    if (c->apart)
        kc_cells_end(kc_cells_of(e, kc_chan_index(e, c)), reason);
    if (kc_chan_state_of(c) == KC_CHAN_DESTROYED)
        return;
    /* reason is 12 bits over what tokens call res and clause: the upper six and the lower six. */
    (void)kc_word_step(&c->w, kc_chan_steps, KC_CHAN_DESTROYED, reason >> 6, reason & 63U, 0);
    end_side(e, c, KC_CLAUSE_RECV, reason);
    end_side(e, c, KC_CLAUSE_SEND, reason);
    (void)lose_ready(e, c, reason);
    kc_flow_end_taps(e, c);
    kc_chan_touch(e, c);
}

/* The text is a courtesy: without memory for it the reason's code must do. */
static void keep_text(kc_engine *e, kc_chan_rec *c, const char *text, uint32_t text_bytes) {
    uint32_t bytes = text_bytes < KC_MAX_TEXT_BYTES ? text_bytes : (uint32_t)KC_MAX_TEXT_BYTES;

    if (text == NULL || bytes == 0 || kc_chan_state_of(c) == KC_CHAN_DESTROYED)
        return;
    if (kc_block_take(e, 0, bytes, &c->text_block, NULL) == KC_OK) {
        memcpy(kc_block_at(e, c->text_block), text, bytes);
        c->text_bytes = bytes;
    }
}

int kc_chan_destroy(kc_engine *e, kc_chan chan, uint32_t reason, const char *text, uint32_t text_bytes) {
    kc_chan_rec *c = NULL;
    int rc = KC_ENOENT;

    kc_enter(e);
    c = kc_chan_find(e, chan);
    if (c != NULL) {
        keep_text(e, c, text, text_bytes);
        kc_chan_end(e, c, reason != 0 ? reason & 0xFFFU : KC_REASON_DESTROYED);
        rc = KC_OK;
    }
    kc_leave(e);
    return rc;
}

int kc_chan_reason(kc_engine *e, kc_chan chan, char *text, uint32_t text_bytes) {
    kc_chan_rec *c = NULL;
    int rc = KC_ENOENT;

    kc_enter(e);
    c = kc_chan_find(e, chan);
    if (c != NULL) {
        uint32_t n = c->text_bytes < text_bytes ? c->text_bytes : text_bytes;
        if (n != 0)
            memcpy(text, kc_block_at(e, c->text_block), n);
        rc = (int)n;
    }
    kc_leave(e);
    return rc;
}

int kc_chan_purge(kc_engine *e, kc_chan chan, uint32_t *count_out) {
    kc_chan_rec *c = NULL;
    int rc = KC_ENOENT;

    kc_enter(e);
    c = kc_chan_find(e, chan);
    if (c != NULL) {
        *count_out =
            c->apart ? kc_cells_purge(kc_cells_of(e, kc_chan_index(e, c))) : lose_ready(e, c, KC_REASON_PURGED);
        rc = KC_OK;
    }
    kc_leave(e);
    return rc;
}

int kc_chan_take_dropped(kc_engine *e, kc_chan chan, kc_body *body_out) {
    kc_chan_rec *c = NULL;
    int rc = KC_ENOENT;

    kc_enter(e);
    c = kc_chan_find(e, chan);
    if (c != NULL) {
        uint32_t msg = c->dropped.head;
        rc = msg != 0 ? KC_OK : KC_EAGAIN;
        if (msg != 0) {
            kc_list_unlink(&e->msgs, &c->dropped, msg);
            kc_msg_free(e, msg, body_out);
        }
    }
    kc_leave(e);
    return rc;
}
