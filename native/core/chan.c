/* chan.c: channels from make to the last reference: which configurations there are, who refers to them, and when a
 * record is free again. How they end is chan_end.c; what flows through them, flow.c; who waits, scope.c.
 *
 * Invariant: a channel counts among the references of its dead-letter channel until it is reaped or has another one.
 */
#include <string.h>

#include "kc_account.h"
#include "kc_cell.h"
#include "kc_flow.h"
#include "kc_pool.h"

enum { MAX_ITEMS = 1 << 20, MAX_WAITING_BYTES = 64 << 20 };

static bool overflow_fits(const kc_chan_config *c) {
    return c->overflow == KC_OVERFLOW_SUSPEND ||
           (c->kind == KC_KIND_BUFFERED && c->overflow <= KC_OVERFLOW_DROP_OLDEST);
}

static bool kind_fits(const kc_chan_config *c) {
    bool buffered = c->kind == KC_KIND_BUFFERED && c->capacity >= 1 && c->capacity <= KC_MAX_CAPACITY;

    return buffered || c->kind == KC_KIND_RENDEZVOUS || c->kind == KC_KIND_CONFLATED || c->kind == KC_KIND_UNLIMITED;
}

static bool sizes_fit(const kc_chan_config *c) {
    return c->elem_size <= KC_MAX_ELEMENT_BYTES && c->max_attempts <= KC_MAX_ATTEMPTS &&
           c->undelivered <= KC_UNDELIVERED_DEAD_LETTER && c->max_items <= 1U << 24 &&
           (c->elem_size != 0 || (c->flags & KC_CHAN_FIXED_SIZE) == 0);
}

/* The dead-letter channel must be unlimited, have none itself, and take whatever this one takes; without one the policy
 * makes no sense. */
static bool dead_letter_fits(kc_engine *e, const kc_chan_config *c) {
    kc_chan_rec *letters = c->dead_letter != 0 ? kc_chan_find(e, c->dead_letter) : NULL;
    bool none = c->dead_letter == 0 && c->undelivered != KC_UNDELIVERED_DEAD_LETTER;

    uint32_t elem_size = c->elem_size != 0 ? c->elem_size : (uint32_t)KC_MAX_ELEMENT_BYTES;

    return none || (letters != NULL && !letters->apart && kc_chan_is(letters, KC_KIND_UNLIMITED) &&
                    letters->config.dead_letter == 0 &&
                    kc_chan_state_of(letters) == KC_CHAN_OPEN && letters->config.elem_size >= elem_size &&
                    (letters->config.flags & KC_CHAN_FIXED_SIZE) == 0 && (c->flags & KC_CHAN_TELL_DROPPED) == 0);
}

static bool flags_fit(const kc_chan_config *c) {
    return (c->flags & ~(uint32_t)(KC_CHAN_FIXED_SIZE | KC_CHAN_ACK_REQUIRED | KC_CHAN_TELL_DROPPED)) == 0;
}

static bool ack_fits(const kc_chan_config *c) {
    return c->kind != KC_KIND_CONFLATED || (c->flags & KC_CHAN_ACK_REQUIRED) == 0;
}

static void configure(kc_chan_rec *c, const kc_chan_config *config) {
    c->config = *config;
    if (config->elem_size == 0)
        c->config.elem_size = KC_MAX_ELEMENT_BYTES;
    if (config->max_bytes == 0)
        c->config.max_bytes = MAX_WAITING_BYTES;
    if (config->max_items == 0)
        c->config.max_items = MAX_ITEMS;
    if (config->kind == KC_KIND_UNLIMITED)
        c->config.capacity = c->config.max_items;
    else if (config->kind != KC_KIND_BUFFERED)
        c->config.capacity = config->kind == KC_KIND_CONFLATED ? 1 : 0;
}

/* Everything but the generation starts anew. */
static uint32_t open_record(kc_engine *e, const kc_chan_config *config, kc_refusal *refusal) {
    uint32_t chan = kc_pool_take(e, &e->chans);

    if (chan == 0) {
        (void)kc_refuse(refusal, KC_ENOMEM, KC_QUOTA_ENGINE_CHANNELS, e->chans.capacity, e->chans.live);
    } else {
        kc_chan_rec *c = kc_chan_at(e, chan);
        memset(&c->next, 0, sizeof *c - offsetof(kc_chan_rec, next));
        configure(c, config);
        c->refs = 1;
        (void)kc_word_step(&c->w, kc_chan_steps, KC_CHAN_OPEN, 0, 0, 0);
    }
    return chan;
}

int kc_chan_make(kc_engine *e, const kc_chan_config *config, kc_chan *chan_out, kc_refusal *refusal) {
    int rc = KC_EINVAL;

    kc_enter(e);
    if (kind_fits(config) && overflow_fits(config) && sizes_fit(config) && flags_fit(config) && ack_fits(config) &&
        dead_letter_fits(e, config))
        rc = kc_account_enter(e, config->account);
    if (rc == KC_OK) {
        rc = kc_account_charge_channel(e, config->account, refusal);
        if (rc == KC_OK) {
            uint32_t chan = open_record(e, config, refusal);
            rc = chan != 0 ? KC_OK : KC_ENOMEM;
            if (chan == 0)
                kc_account_return_channel(e, config->account);
            else
                *chan_out = kc_ticket_of(chan, kc_word_load(&kc_chan_at(e, chan)->w));
        }
        kc_account_leave(e, config->account);
    }
    if (rc == KC_OK && config->dead_letter != 0)
        kc_chan_find(e, config->dead_letter)->refs++;
    kc_leave(e);
    return rc;
}

int kc_chan_keep(kc_engine *e, kc_chan chan) {
    kc_chan_rec *c = NULL;
    int rc = KC_ENOENT;

    kc_enter(e);
    c = kc_chan_find(e, chan);
    if (c != NULL && c->refs != 0) {
        c->refs++;
        rc = KC_OK;
    }
    kc_leave(e);
    return rc;
}

static void unref(kc_engine *e, kc_chan_rec *c) {
    if (--c->refs == 0)
        kc_chan_end(e, c, KC_REASON_DESTROYED);
    kc_chan_touch(e, c);
}

int kc_chan_drop(kc_engine *e, kc_chan chan) {
    kc_chan_rec *c = NULL;
    int rc = KC_ENOENT;

    kc_enter(e);
    c = kc_chan_find(e, chan);
    if (c != NULL && c->refs != 0) {
        unref(e, c);
        rc = KC_OK;
    }
    kc_leave(e);
    return rc;
}

/* The new one is referred to before the old one is let go: they may be the same. */
static int bind_letters(kc_engine *e, kc_chan_rec *c, kc_chan dead_letter) {
    kc_chan_config config = c->config;
    kc_chan_rec *before = config.dead_letter != 0 ? kc_chan_find(e, config.dead_letter) : NULL;
    int rc = KC_EINVAL;

    config.dead_letter = dead_letter;
    if (kc_chan_state_of(c) == KC_CHAN_DESTROYED) {
        rc = KC_ECANCELED;
    } else if (before != NULL && dead_letter != 0 && dead_letter_fits(e, &config)) {
        kc_chan_find(e, dead_letter)->refs++;
        c->config.dead_letter = dead_letter;
        unref(e, before);
        rc = KC_OK;
    }
    return rc;
}

int kc_chan_set_dead_letter(kc_engine *e, kc_chan chan, kc_chan dead_letter) {
    kc_chan_rec *c = NULL;
    int rc = KC_ENOENT;

    kc_enter(e);
    c = kc_chan_find(e, chan);
    if (c != NULL)
        rc = bind_letters(e, c, dead_letter);
    kc_leave(e);
    return rc;
}

void kc_chan_reap(kc_engine *e, uint32_t chan) {
    kc_chan_rec *c = kc_chan_at(e, chan);
    kc_chan_rec *letters = NULL;

    if (kc_chan_state_of(c) != KC_CHAN_DESTROYED || c->refs + c->held + c->pending != 0)
        return;
    while (c->dropped.count != 0) {
        uint32_t msg = c->dropped.head;
        kc_list_unlink(&e->msgs, &c->dropped, msg);
        kc_msg_free(e, msg, NULL);
    }
    if (c->text_block != 0 && kc_block_drop(e, c->text_block))
        kc_block_free(e, c->text_block);
    kc_cells_free(e, chan);
    letters = c->config.dead_letter != 0 ? kc_chan_find(e, c->config.dead_letter) : NULL;
    kc_account_return_channel(e, c->config.account);
    (void)kc_word_step(&c->w, kc_chan_steps, KC_CHAN_FREE, 0, 0, 0);
    kc_pool_give(&e->chans, chan);
    if (letters != NULL)
        unref(e, letters);
}

int kc_chan_config_of(kc_engine *e, kc_chan chan, kc_chan_config *config_out) {
    kc_chan_rec *c = NULL;
    int rc = KC_ENOENT;

    kc_enter(e);
    c = kc_chan_find(e, chan);
    if (c != NULL) {
        *config_out = c->config;
        rc = KC_OK;
    }
    kc_leave(e);
    return rc;
}
