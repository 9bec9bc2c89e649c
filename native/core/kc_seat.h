/* kc_seat.h: a port of another kind: results of its operations are put where their owners wait (decision 0030).
 *
 * The `user` of such an operation is the address of its seat. When its token is decided, and before the lock is given
 * back, result and bytes are put there and the token is freed; after the lock was given back the seats that were served
 * are handed to the engine's waker, oldest first, which may only append them to queues: it calls no engine and blocks
 * on nothing. Invariants: outside the lock no token waits at this port; a seat is served once for each KC_PARKED,
 * unless kc_waiter_token_cancel answered KC_OK or KC_EINPROGRESS.
 */
#ifndef KC_SEAT_H
#define KC_SEAT_H

#include <stdbool.h>

#include "kcoro/kc_chan.h"

typedef struct kc_place {
    void *buffer; /* NULL: the body is the owner's */
    uint32_t buffer_bytes;
} kc_place;

typedef struct kc_seat {
    struct kc_seat *next;
    kc_engine *engine;
    kc_token token;   /* while it is parked; under lock 0, as `stopped` */
    uint32_t stopped; /* why it may not park any more: a reason; 0: it may */
    const kc_place *places; /* one for each clause, by its index; NULL: none has one */
    kc_result result;       /* KC_RESULT_COPIED: bytes are in the place of its clause, body has their length alone */
} kc_seat;

typedef void (*kc_seat_waker)(void *self, kc_seat *first);

static inline void kc_seat_begin(kc_seat *seat, kc_engine *engine) {
    seat->engine = engine;
    seat->token = 0;
    seat->stopped = 0;
    seat->result.chan = 0;
}
/* From any thread, while the owner is in its operation. true: nothing happened, and nothing will: it was parked and is
 * cancelled, or had not begun and answers KC_ECANCELED. false: it was decided. */
bool kc_seat_give_up(kc_seat *seat, uint32_t reason);

/* Opens the port; one for an engine: KC_EBUSY. KC_EDQUOT. kc_port_close closes it. */
int kc_port_open_seats(kc_engine *engine, kc_seat_waker waker, void *self, uint32_t *port_out);
/* Serves all who are decided; the lock is held. The seats are left in the engine. */
void kc_seats_serve(kc_engine *engine);

#endif
