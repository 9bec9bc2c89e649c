/* kc_conn_handles.h: what a peer may name: channels, by handles, and descriptors that it has been lent, by leases. Two
 * tables that know nothing of the connection that has them, and judge nothing: which rights a handle has, others say.
 *
 * Invariants: a lease is one reference to a descriptor, until it is released or its table ends; a late release never
 * ends the next lease in its slot. References to channels are those of who puts a handle there and removes it.
 */
#ifndef KC_CONN_HANDLES_H
#define KC_CONN_HANDLES_H

#include "ipc/kc_stream.h"
#include "kcoro/kc_pump.h"

/* ---- handles: CHAN_ID -> channel and rights ---- */
enum { KC_HANDLE_FIXED = 4 /* beside KC_RIGHT_*: a channel of fixed-size elements */ };

typedef struct kc_handle {
    uint32_t chan_id; /* 0: a free slot */
    uint32_t rights;
    kc_chan chan;
} kc_handle;

typedef struct kc_handles {
    kc_handle *slots; /* open addressing, capacity a power of two or 0 */
    uint32_t capacity, count;
} kc_handles;

const kc_handle *kc_handles_find(const kc_handles *handles, uint32_t chan_id);
/* A new or the old slot; NULL when there is no memory. */
kc_handle *kc_handles_put(kc_memory *memory, kc_handles *handles, uint32_t chan_id);
void kc_handles_remove(kc_handles *handles, const kc_handle *handle);

/* ---- descriptors the peer has been lent ---- */
enum { KC_CONN_LEASES = 4096 };

typedef struct kc_lease {
    kc_body body; /* its extra alone; extra 0: a free slot */
    uint32_t generation, next; /* next: slot + 1 of the next free one */
} kc_lease;

typedef struct kc_leases {
    kc_lease *slots;
    uint32_t capacity, count, free;
} kc_leases;

/* Whether so many more can be added without a failure; makes room. */
bool kc_leases_have_room(kc_memory *memory, kc_leases *leases, uint32_t more);
/* The lease's id; it has a reference of its own. There is room. */
uint64_t kc_leases_add(kc_engine *engine, kc_leases *leases, const kc_body *body);
bool kc_leases_release(kc_engine *engine, kc_leases *leases, uint64_t id);
void kc_leases_end(kc_engine *engine, kc_memory *memory, kc_leases *leases);

#endif
