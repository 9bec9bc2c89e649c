/* kc_hub.h: kc_channel as those see it who implement one: local ones here (apart.c, local.c), a daemon's in
 * native/remote.
 *
 * The front (channel.c) has checked the sizes, the kind of element and the cancel before it calls: what is left is to
 * do it.
 */
#ifndef KC_HUB_H
#define KC_HUB_H

#include "core/kc_seat.h"
#include "kc_wait.h"
#include "kcoro/kc_channel.h"

/* How an operation is wanted. */
typedef struct kc_asked {
    uint32_t flags; /* KC_OP_TRY, KC_OP_BIASED */
    int64_t deadline_ns;
    kc_cancel *cancel; /* may be NULL; was not set a moment ago */
} kc_asked;

typedef struct kc_channel_ops {
    /* One clause, its direction as it says. Received bytes go to its buffer, their number to len_bytes; a descriptor to
     * desc. KC_OK or a code as kc_channel.h has them. */
    int (*operate)(kc_channel_clause *clause, const kc_asked *asked);
    /* The same of bytes, where there is a shorter way; NULL: there is none. */
    int (*send)(kc_channel *channel, const void *data, uint32_t len_bytes, const kc_asked *asked);
    int (*receive)(kc_channel *channel, void *buffer, uint32_t *len_out, const kc_asked *asked);
    /* All clauses are of channels with these very ops. */
    int (*select)(kc_channel_clause *clauses, uint32_t count, const kc_asked *asked, uint32_t *index_out);
    int (*close)(kc_channel *channel);
    int (*destroy)(kc_channel *channel, uint32_t reason);
    int64_t (*depth)(kc_channel *channel);
    void (*free)(kc_channel *channel); /* the last reference went */
} kc_channel_ops;

/* The first member of each implementation's record. */
struct kc_channel {
    const kc_channel_ops *ops;
    _Atomic uint32_t refs;
    uint32_t elem_bytes; /* 0: pointers and descriptors */
    kc_chan ticket;      /* of a local one */
};

/* Over its own engine all channels are apart (apart.c: a lock each); over somebody else's they are like the others
 * there (local.c: lock 0), so that coroutines meet whoever else uses that engine. */
struct kc_hub {
    kc_engine *engine;
    bool owns_engine;
    uint32_t port; /* of somebody else's engine, and the scope */
    kc_scope scope;
};

typedef struct kc_local {
    kc_channel base;
    kc_hub *hub;
} kc_local;

/* How somebody other than its channel ends an operation. It stands from begin to end at the cancel that was asked
 * for. */
typedef struct kc_claim {
    bool (*give_up)(void *waiter, uint32_t reason); /* true: nothing happened, and nothing will; from any thread */
    void *waiter;
    kc_wait *wait;
    kc_cancel_hook hook;
} kc_claim;
/* Before the operation can be decided by anybody. KC_ECANCELED: the cancel is set. kc_claim_end in any case. */
int kc_claim_begin(kc_claim *claim, const kc_asked *asked);
/* Until its channel decides (KC_OK), or it was ended before (KC_ECANCELED, KC_ETIME, KC_ENOMEM, KC_EDQUOT). */
int kc_claim_wait(kc_claim *claim, const kc_asked *asked);
void kc_claim_end(kc_claim *claim);

/* An operation by a token of the engine: where its result will be put, and who waits for it. */
typedef struct kc_parking {
    kc_seat seat;
    kc_wait wait;
    kc_claim claim;
} kc_parking;
/* Its kc_op, with the deadline read once: one that has passed refuses to wait, another is kept by the waiter.
 * KC_ECANCELED: the cancel is set. kc_claim_end in any case. */
int kc_parking_begin(kc_parking *parking, const kc_hub *hub, const kc_asked *asked, kc_op *op_out);
/* After KC_PARKED: until it is decided, one way or the other. The answer is the operation's; KC_OK: see seat.result. */
int kc_parking_wait(kc_parking *parking, const kc_asked *asked);

int kc_apart_make(kc_hub *hub, const kc_channel_config *config, kc_channel **channel_out);
int kc_local_make(kc_hub *hub, const kc_channel_config *config, kc_channel **channel_out);
int kc_local_operate(kc_channel_clause *clause, const kc_asked *asked);
int kc_local_select(kc_channel_clause *clauses, uint32_t count, const kc_asked *asked, uint32_t *index_out);
/* What was received, into the clause; the body is given back. The channel may be gone: nothing of it is looked at. */
int kc_local_receive(kc_hub *hub, kc_channel_clause *clause, kc_result *result);

#endif
