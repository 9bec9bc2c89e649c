/* flow_tap.c: taps, channels that get a copy of what passes through another one (kc_chan_tap).
 *
 * A copy is a message of its own, charged to the tap's account, made where the source counts a message as sent. It
 * never waits and never fails for the source: a copy without memory is counted as dropped at the tap, one without room
 * evicts the oldest (drop_oldest). No reference is kept on either side: the link goes with the first of the two that
 * ends.
 *
 * Invariant: a channel is a tap or has taps, never both, so that copies are not copied.
 */
#include <string.h>

#include "kc_flow.h"

static void put_u64(uint8_t *out, uint64_t value) {
    for (int i = 7; i >= 0; i--, value >>= 8)
        out[i] = (uint8_t)value;
}

/* The head of a copy (tlv.py, TapHead), and how many of the message's own bytes follow it. */
static uint32_t describe(const kc_engine *e, const kc_chan_rec *tap, const kc_msg *m, uint8_t *head) {
    const kc_files_extra *files = kc_extra_files(e, m->extra);
    uint64_t sort = m->extra == 0 ? 0 : files != NULL ? KC_TAPPED_FILES : KC_TAPPED_DESCRIPTOR;
    uint32_t room = tap->config.elem_size - KC_MAX_TAP_HEAD_BYTES;

    put_u64(head, m->qseq);
    put_u64(head + 8, (uint64_t)e->now_ns);
    put_u64(head + 16, m->len_bytes + kc_extra_bytes(e, m->extra));
    put_u64(head + 24, (uint64_t)(files != NULL ? files->count : 0) << 32 | sort);
    if (m->extra != 0)
        return 0;
    return m->len_bytes < room ? m->len_bytes : room;
}

static int fill(kc_engine *e, const uint8_t *head, const kc_msg *m, kc_body *body) {
    kc_body source = kc_msg_body(m);
    int rc = KC_OK;

    for (uint32_t at = 0; rc == KC_OK && at < body->len_bytes;) {
        void *memory = NULL;
        uint32_t n = 0;
        rc = kc_body_piece(e, body, at, &memory, &n, NULL);
        if (rc != KC_OK)
            break;
        if (at == 0) {
            memcpy(memory, head, KC_MAX_TAP_HEAD_BYTES);
            n = KC_MAX_TAP_HEAD_BYTES;
        } else {
            kc_body_read(e, &source, at - KC_MAX_TAP_HEAD_BYTES, memory, n);
        }
        at += n;
    }
    return rc;
}

static void copy(kc_engine *e, uint32_t tap, const kc_msg *m) {
    kc_chan_rec *t = kc_chan_at(e, tap);
    uint32_t account = t->config.account;
    uint8_t head[KC_MAX_TAP_HEAD_BYTES];
    uint32_t len_bytes = KC_MAX_TAP_HEAD_BYTES + describe(e, t, m, head);
    uint32_t msg = 0;
    kc_body body = {0};
    int rc = KC_OK;

    if (kc_chan_state_of(t) != KC_CHAN_OPEN)
        return;
    rc = kc_body_begin(e, account, len_bytes, &body, NULL);
    if (rc == KC_OK)
        rc = fill(e, head, m, &body);
    if (rc == KC_OK)
        rc = kc_msg_stage(e, (kc_origin){.account = account}, tap, &body, &msg, NULL);
    if (rc == KC_OK) {
        kc_flow_put(e, t, msg);
    } else {
        kc_body_release(e, &body);
        kc_flow_count_sent(e, t, len_bytes, 0);
        kc_stat_add(t, KC_STAT_DROPS_NEWEST, 1);
    }
}

KC_APART void kc_flow_tap(kc_engine *e, const kc_chan_rec *c, const kc_msg *m) {
    for (uint32_t tap = c->taps; tap != 0; tap = kc_chan_at(e, tap)->tap_next)
        copy(e, tap, m);
}

static void unlink_tap(kc_engine *e, kc_chan_rec *tap) {
    kc_chan_rec *source = kc_chan_at(e, tap->tap_of);

    if (tap->tap_prev != 0)
        kc_chan_at(e, tap->tap_prev)->tap_next = tap->tap_next;
    else
        source->taps = tap->tap_next;
    if (tap->tap_next != 0)
        kc_chan_at(e, tap->tap_next)->tap_prev = tap->tap_prev;
    tap->tap_of = tap->tap_next = tap->tap_prev = 0;
}

KC_APART void kc_flow_end_taps(kc_engine *e, kc_chan_rec *c) {
    if (c->tap_of != 0)
        unlink_tap(e, c);
    while (c->taps != 0) {
        kc_chan_rec *tap = kc_chan_at(e, c->taps);
        unlink_tap(e, tap);
        if (kc_chan_state_of(tap) == KC_CHAN_OPEN)
            (void)kc_word_step(&tap->w, kc_chan_steps, KC_CHAN_CLOSING, 0, 0, 0);
        kc_chan_touch(e, tap);
    }
}

static bool may_tap(const kc_chan_rec *source, const kc_chan_rec *tap) {
    const kc_chan_config *c = &tap->config;

    return !source->apart && !tap->apart && source != tap && source->tap_of == 0 && tap->tap_of == 0 &&
           tap->taps == 0 && c->overflow == KC_OVERFLOW_DROP_OLDEST && c->dead_letter == 0 &&
           c->elem_size > KC_MAX_TAP_HEAD_BYTES && (c->flags & (KC_CHAN_FIXED_SIZE | KC_CHAN_TELL_DROPPED)) == 0;
}

int kc_chan_tap(kc_engine *e, kc_chan source, kc_chan tap) {
    kc_chan_rec *c = NULL;
    kc_chan_rec *t = NULL;
    int rc = KC_ENOENT;

    kc_enter(e);
    c = kc_chan_find(e, source);
    t = kc_chan_find(e, tap);
    if (c != NULL && t != NULL) {
        uint32_t state = kc_chan_state_of(c);
        rc = may_tap(c, t) && kc_chan_state_of(t) == KC_CHAN_OPEN ? KC_OK : KC_EINVAL;
        if (rc == KC_OK && state == KC_CHAN_DESTROYED)
            rc = KC_ECANCELED;
        else if (rc == KC_OK && state == KC_CHAN_CLOSED)
            rc = KC_EPIPE;
    }
    if (rc == KC_OK) {
        t->tap_of = kc_chan_index(e, c);
        t->tap_next = c->taps;
        if (c->taps != 0)
            kc_chan_at(e, c->taps)->tap_prev = kc_chan_index(e, t);
        c->taps = kc_chan_index(e, t);
    }
    kc_leave(e);
    return rc;
}
