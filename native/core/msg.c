/* msg.c: message records and what they cost. */
#include "kc_msg.h"

#include "kc_account.h"
#include "kc_pool.h"

/* Twice the record: empty messages must not fill the table before their sender's account is full. */
enum { KC_MSG_PRICE_BYTES = 128 };

kc_body kc_msg_body(const kc_msg *m) {
    return (kc_body){.len_bytes = m->len_bytes, .block = m->block, .account = m->account, .extra = m->extra};
}

bool kc_msg_step(kc_engine *e, kc_msg *m, uint32_t to, uint32_t attempts, uint32_t flags, uint32_t tok) {
    bool allowed = kc_word_step(&m->w, kc_msg_steps, to, attempts, flags, tok);

    if (!allowed)
        e->breach = m->chan;
    return allowed;
}

int kc_msg_stage(kc_engine *e, kc_origin from, uint32_t chan, kc_body *body, uint32_t *msg_out, kc_refusal *refusal) {
    int rc = kc_account_charge_message(e, from.account, KC_MSG_PRICE_BYTES, refusal);
    uint32_t msg = 0;

    if (rc != KC_OK)
        return rc;
    msg = kc_pool_take(e, &e->msgs);
    if (msg == 0) {
        kc_account_return_message(e, from.account, KC_MSG_PRICE_BYTES);
        rc = kc_refuse(refusal, KC_ENOMEM, KC_QUOTA_ENGINE_MESSAGES, e->msgs.capacity, e->msgs.live);
    } else {
        kc_msg *m = kc_msg_at(e, msg);
        m->next = m->prev = 0;
        m->chan = chan;
        m->account = from.account;
        m->len_bytes = body->len_bytes;
        m->block = body->block;
        m->qseq = 0;
        m->expires_ns = from.expires_ns;
        m->sender = 0;
        m->extra = body->extra;
        m->pid = from.pid;
        m->heap_at = 0;
        if (m->extra != 0)
            kc_extra_at(e, m->extra)->msg = msg;
        (void)kc_msg_step(e, m, KC_MSG_STAGED, 0, 0, 0);
        *body = (kc_body){0};
        *msg_out = msg;
    }
    return rc;
}

void kc_msg_free(kc_engine *e, uint32_t msg, kc_body *body_out) {
    kc_msg *m = kc_msg_at(e, msg);
    bool sent = kc_state_of(&m->w) != KC_MSG_STAGED;

    if (!kc_msg_step(e, m, KC_MSG_FREE, 0, 0, 0))
        return;
    if (m->extra != 0)
        kc_extra_at(e, m->extra)->msg = 0;
    if (body_out != NULL) {
        *body_out = kc_msg_body(m);
    } else if ((m->block | m->extra) != 0) {
        kc_body body = kc_msg_body(m);
        if (sent)
            kc_body_release(e, &body);
        else
            kc_body_retract(e, &body);
    }
    kc_account_return_message(e, m->account, KC_MSG_PRICE_BYTES);
    kc_pool_give(&e->msgs, msg);
}
