/* kc_offer.h: what send, receive and select share: may this clause stand at this channel, can it proceed now, and if
 * not, how it parks. One body for all, so that a select of one clause and a plain operation cannot differ. */
#ifndef KC_OFFER_H
#define KC_OFFER_H

#include "kc_account.h"
#include "kc_flow.h"
#include "kc_seat.h"

enum { KC_SEND_FLAGS = KC_OP_CONFIRM | KC_FALLBACK_FLAGS }; /* those of an operation that a send looks at */
/* One clause on its way: data or body of a send, and what its flags ask. */
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
    int64_t expires_ns; /* of a send's message; 0 = never */
} kc_offer;

/* Run it: KC_OK, KC_PARKED (a send that now waits for its ack), or a refusal with nothing changed. */
int kc_offer_send(kc_engine *engine, const kc_offer *offer, const kc_op *op, kc_result *result);
int kc_offer_recv(kc_engine *engine, const kc_offer *offer, const kc_op *op, kc_result *result);
/* Length of the memory that the offer's descriptor names, where elem_size bounds it: the default of elem_size says how
 * much may go through the daemon, which memory does not. */
uint64_t kc_offer_extra_bytes(const kc_engine *engine, const kc_offer *offer);
/* What that answers when a word forbade a step of it. */
int kc_offer_spoiled(kc_engine *engine, kc_result *result);
/* Makes the STAGED message of a send; the offer's body is taken over on success. */
int kc_offer_stage(kc_engine *engine, const kc_offer *offer, uint32_t *msg_out, kc_refusal *refusal);
/* Parks the operation on all its clauses: KC_PARKED, or a refusal with nothing changed. They stand in line in the order
 * that begins at start: of two at one channel the earlier is met first. */
int kc_offer_park(kc_engine *engine, const kc_offer *offers, uint32_t count, uint32_t start, const kc_op *op,
                  kc_result *result);
/* Nothing is left to receive, and nothing will come: CLOSED, or CLOSING and empty but for what the scope itself
 * holds. */
bool kc_offer_drained(kc_engine *engine, const kc_chan_rec *chan, const kc_scope_rec *scope);
void kc_offer_count_refusal(const kc_offer *offer, int code);

/* Under lock 0: the seat of an operation at this port, NULL for any other; and whether it was given up before. */
static inline kc_seat *kc_seat_of(const kc_engine *e, const kc_op *op) {
    return e->seats.port != 0 && op->port == e->seats.port ? (kc_seat *)(uintptr_t)op->user : NULL;
}
static inline bool kc_seat_is_stopped(const kc_engine *e, const kc_op *op) {
    const kc_seat *seat = kc_seat_of(e, op);

    return seat != NULL && seat->stopped != 0;
}

#endif
