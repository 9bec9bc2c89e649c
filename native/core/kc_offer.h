/* kc_offer.h: what send, receive and select share: may this clause stand at this channel, can it proceed now, and if not,
 * how it parks. One body for all, so that a select of one clause and a plain operation cannot differ. */
#ifndef KC_OFFER_H
#define KC_OFFER_H

#include "kc_flow.h"

/* One clause on its way: data or body of a send, flags of a receive. */
typedef struct kc_offer {
    kc_chan_rec *chan;
    kc_scope_rec *scope; /* of the operation, NULL when it names none */
    uint32_t dir;
    uint32_t flags;
    uint32_t index;
    uint32_t len_bytes;
    const void *data; /* NULL: body */
    kc_body *body;
    void *buffer; /* of a receive that may be copied out */
    uint32_t buffer_bytes;
} kc_offer;

enum kc_verdict { KC_CAN_WAIT = 0, KC_CAN_RUN = 1, KC_CAN_NEVER = 2 };

/* KC_OK, or why this clause can never stand here: KC_EINVAL, KC_EMSGSIZE. */
int kc_offer_check(const kc_engine *engine, const kc_offer *offer);
/* KC_EDQUOT for a receive that would hold one message too many: refused before it waits, not when its message comes. */
int kc_offer_may_hold(kc_engine *engine, const kc_offer *offer, kc_refusal *refusal);
/* Can it proceed now; KC_CAN_NEVER: the channel is closed (KC_EPIPE) or destroyed (KC_ECANCELED), code in result. */
enum kc_verdict kc_offer_look(kc_engine *engine, const kc_offer *offer, kc_result *result);
/* Runs it: KC_OK, KC_PARKED (a send that now waits for its ack), or a refusal with nothing changed. */
int kc_offer_run(kc_engine *engine, const kc_offer *offer, const kc_op *op, kc_result *result);
/* Makes the STAGED message of a send; the offer's body is taken over on success. */
int kc_offer_stage(kc_engine *engine, const kc_offer *offer, uint32_t *msg_out, kc_refusal *refusal);
/* Parks the operation on all its clauses: KC_PARKED, or a refusal with nothing changed. */
int kc_offer_park(kc_engine *engine, const kc_offer *offers, uint32_t count, const kc_op *op, kc_result *result);
/* Counts EAGAIN, ETIME and EPIPE where they were met. */
void kc_offer_count(const kc_offer *offer, int code);
/* An operation that cannot proceed and may not wait: KC_EAGAIN, KC_ETIME, or KC_OK when it may. */
int kc_offer_patience(kc_engine *engine, const kc_op *op);

#endif
