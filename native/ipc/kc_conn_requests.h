/* kc_conn_requests.h: what is kept of requests that have no reply yet: bodies that came with their frame, the rest of a
 * batch of sends, and the table by which a reply finds its request. Nothing here knows the connection that has them.
 *
 * Invariant: bodies are owned until somebody takes them over; what memory they stand for is on a uid's account.
 */
#ifndef KC_CONN_REQUESTS_H
#define KC_CONN_REQUESTS_H

#include "ipc/kc_frame.h"
#include "ipc/kc_stream.h"
#include "kcoro/kc_pump.h"

/* ---- bodies that came with a frame, and the bill for memory that is ours but on a uid's account ---- */
typedef struct kc_bodies {
    kc_body *items;
    uint32_t count, capacity, next; /* next: the first one not yet taken */
} kc_bodies;

kc_body *kc_bodies_add(kc_memory *memory, kc_bodies *bodies);
void kc_bodies_drop(kc_engine *engine, kc_memory *memory, kc_bodies *bodies);

/* A toll is a body whose blocks nobody writes: the account is charged as if it had, and refused as if it had. */
int kc_toll_pay(kc_engine *engine, uint32_t account, uint32_t bytes, kc_body *toll, kc_refusal *refusal);

/* ---- a batch of sends that waits ---- */
typedef struct kc_elements { /* what is still to be sent, in order */
    kc_attr_walk walk;
    kc_bodies bodies; /* of the elements without bytes in the walk */
} kc_elements;

typedef struct kc_batch {
    kc_elements elements;
    kc_chan chan;
    int64_t deadline_ns, expires_ns;
    uint32_t op_flags;
    uint32_t count, dropped; /* of the elements settled so far */
    uint8_t *flat; /* owned: the bytes under elements.walk */
    uint32_t flat_bytes;
    kc_body toll;
} kc_batch;

/* Copies the rest of the walk into a batch of its own. KC_ENOMEM, KC_EDQUOT; nothing is taken then. */
int kc_batch_make(kc_engine *engine, kc_memory *memory, uint32_t account, kc_elements *elements, kc_batch **batch_out,
                  kc_refusal *refusal);
void kc_batch_free(kc_engine *engine, kc_memory *memory, kc_batch *batch);

/* ---- requests without a reply yet ---- */
enum kc_pending_kind {
    KC_PENDING_NONE = 0,
    KC_PENDING_SEND,
    KC_PENDING_RECV,
    KC_PENDING_SELECT,
    KC_PENDING_CONTROL, /* behind the barrier, in the control queue */
    KC_PENDING_KEPT     /* let go: answered some day by kc_pump_finish */
};
enum kc_pending_flag {
    KC_PENDING_BATCH = 2,     /* answers with COUNT, or with what MAX_ITEMS allows */
    KC_PENDING_CANCELLED = 4, /* a CANCEL came */
    KC_PENDING_CONFIRM = 16,  /* SEND of one message, answered when that is acknowledged */
    KC_PENDING_LISTED = 8     /* kept and cancelled: waits for kc_pump_cancelled */
};

/* 32 bytes; with the engine's token a parked waiter stays under 256. Bucket b of the hash is the field of slot b. */
typedef struct kc_pending {
    kc_token token; /* the parked waiter; of a kept request slot + 1 of the next cancelled one */
    union {
        kc_batch *batch; /* SEND with KC_PENDING_BATCH */
        struct {
            uint32_t items, limit_bytes;
        } take; /* RECV with KC_PENDING_BATCH */
    } more;
    uint32_t req_id; /* 0: has none (1.0) */
    uint32_t next;   /* slot + 1 in the same bucket, or in the free list */
    uint32_t bucket; /* slot + 1 of the first request of bucket b */
    uint8_t kind, flags;
    uint16_t spare;
} kc_pending;

typedef struct kc_pendings {
    kc_pending *slots;
    uint32_t capacity, count, free;
} kc_pendings;

/* The slot that the next kc_pendings_take will use, so that a waiter can be told before it is known whether it parks.
 * KC_OK, KC_ENOMEM, or KC_EDQUOT at `limit`. */
int kc_pendings_reserve(kc_memory *memory, kc_pendings *pendings, uint32_t limit, uint32_t *slot_out);
kc_pending *kc_pendings_take(kc_pendings *pendings, uint32_t req_id, uint8_t kind);
/* KC_OK or KC_ENOENT; never finds REQ_ID 0. */
int kc_pendings_find(const kc_pendings *pendings, uint32_t req_id, uint32_t *slot_out);
void kc_pendings_remove(kc_pendings *pendings, uint32_t slot);
void kc_pendings_rest(kc_memory *memory, kc_pendings *pendings);

#endif
