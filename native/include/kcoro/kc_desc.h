/* kc_desc.h: messages that are descriptors: they name memory instead of carrying bytes.
 *
 * A descriptor is an extra of a body (kc_types.h), so it goes through channels, select, acks and policies exactly as
 * bytes do. What its numbers mean, its backend knows: "zref" is a pointer inside this process, "region" a range of
 * shared memory that its maker registered here. The engine never touches the memory.
 *
 * Ownership: the sender's until its send completes, then the channel's, then its receivers' bodies. With the last
 * reference it is *freed*: whoever takes kc_desc_take_freed may use that memory again. A send that was refused,
 * cancelled or timed out never took it, so nothing is freed then.
 */
#ifndef KC_DESC_H
#define KC_DESC_H

#ifndef KC_CDEF
#include "kcoro/kc_chan.h"
#ifdef __cplusplus
extern "C" {
#endif
#endif

enum { KC_DESC_ZREF = 1, KC_DESC_REGION = 2 }; /* ids of the backends that are always there */

typedef struct kc_desc {
    uint32_t backend; /* 0 means KC_DESC_ZREF */
    uint32_t spare;
    kc_ticket region; /* KC_DESC_REGION; else 0 */
    uint64_t offset;  /* in the region; of a zref the address */
    uint64_t len_bytes;
} kc_desc;

#ifndef KC_CDEF
/* Called without the lock, by the thread that calls the engine; may be NULL. */
typedef struct kc_desc_ops {
    int (*check)(void *self, const kc_desc *desc);        /* before a send: KC_OK, or the code that refuses it */
    void (*received)(void *self, const kc_desc *desc);    /* by kc_chan_recv_desc */
    void (*freed)(void *self, const kc_desc *desc, int lost); /* by kc_desc_take_freed; lost: nobody received it */
} kc_desc_ops;
/* An id for the name, the old one when the name is known. KC_ENOSPC after eight, KC_EINVAL for a name of 0 or more than
 * 31 bytes. ops and self outlive the engine. */
KC_API int kc_desc_backend_add(kc_engine *engine, const char *name, const kc_desc_ops *ops, void *self,
                               uint32_t *backend_out);
#endif
/* KC_ENOENT for a name nobody added. */
KC_API int kc_desc_backend_find(kc_engine *engine, const char *name, uint32_t *backend_out);

/* A body that is this descriptor; its owner gives it to kc_chan_send_body or kc_select, or back (kc_body_forget).
 * KC_ENOTSUP: no such backend. KC_EINVAL: no memory (offset or length 0 of a zref), or whatever the backend's check
 * says. For regions: kc_region_body. */
KC_API int kc_desc_body(kc_engine *engine, uint32_t account, const kc_desc *desc, kc_body *body_out,
                        kc_refusal *refusal);
/* What the body names; KC_ENOENT when it is no descriptor. The caller owns or is lent a reference. */
KC_API int kc_body_desc(kc_engine *engine, const kc_body *body, kc_desc *desc_out);

/* The two together, for one process. On a negative answer the memory is the sender's as before. */
KC_API int kc_chan_send_desc(kc_engine *engine, kc_chan chan, const kc_op *op, const kc_desc *desc, kc_result *result);
/* kc_chan_recv; desc_out is filled from a message that is one. The body stays the caller's until it is dropped. */
KC_API int kc_chan_recv_desc(kc_engine *engine, kc_chan chan, const kc_op *op, kc_desc *desc_out, kc_result *result);
/* The descriptor of a body that a receive has brought which parked; KC_ENOENT: its message is none. Calls its backend's
 * `received`, as kc_chan_recv_desc does of those that came at once. */
KC_API int kc_body_received(kc_engine *engine, const kc_body *body, kc_desc *desc_out);

typedef struct kc_chan_zstats {
    uint64_t zref_sent, zref_received, zref_fallback_small, zref_fallback_capacity, zref_canceled, zref_aborted_close;
} kc_chan_zstats;
KC_API int kc_chan_get_zstats(kc_engine *engine, kc_chan chan, kc_chan_zstats *zstats_out);

typedef struct kc_freed {
    kc_desc desc;
    uint64_t user; /* of its region */
    uint32_t lost; /* 1: no delivery of it was ever done */
    uint32_t spare;
} kc_freed;
/* Descriptors whose last reference went, oldest first; calls their backend's `freed`.
 * A zref without that is not told. */
KC_API uint32_t kc_desc_take_freed(kc_engine *engine, kc_freed *freed, uint32_t max);

/* ---- regions ---- */
typedef struct kc_region_config {
    uint32_t account; /* pays for its descriptors */
    int32_t file;     /* the caller's descriptor, given to the engine on KC_OK; -1 for none */
    uint64_t size_bytes;
    uint64_t user; /* who may send ranges of it; comes back in kc_freed */
} kc_region_config;
/* KC_EINVAL without size, KC_EDQUOT (KC_QUOTA_ENGINE_REGIONS). */
KC_API int kc_region_add(kc_engine *engine, const kc_region_config *config, kc_ticket *region_out, kc_refusal *refusal);

enum kc_region_how {
    KC_REGION_IDLE = 0,   /* only if nothing of it is in flight: KC_EBUSY */
    KC_REGION_WAIT = 1,   /* no new ranges; it ends with the last one in flight */
    KC_REGION_REVOKE = 2, /* the same, and what waits ends: messages by the undelivered policy, parked sends with
                             KC_ECANCELED; what a receiver holds stays valid */
    KC_REGION_LEAVE = 3   /* its owner is gone: what was accepted stays; KC_REGION_WAIT without its refusals */
};
/* KC_OK: it ends now or later (kc_region_take_ended); KC_ENOENT. */
KC_API int kc_region_drop(kc_engine *engine, kc_ticket region, uint32_t how);

typedef struct kc_region_info {
    uint64_t size_bytes, user;
    uint32_t in_flight; /* descriptors that live */
    int32_t file;       /* lent: closed only after kc_region_take_ended gave it away */
    uint32_t closing, revoked;
} kc_region_info;
KC_API int kc_region_look(kc_engine *engine, kc_ticket region, kc_region_info *info_out);

/* A body that is a range of the region. KC_ENOENT: no such region, or dropped. KC_EACCES: it is not `user`'s.
 * KC_EINVAL: nothing, or more than the region has. */
KC_API int kc_region_body(kc_engine *engine, kc_ticket region, uint64_t user, uint64_t offset, uint64_t len_bytes,
                          kc_body *body_out, kc_refusal *refusal);

typedef struct kc_region_end {
    kc_ticket region;
    uint64_t user;
    int32_t file; /* now the caller's, to be closed; -1 for none */
    uint32_t account;
} kc_region_end;
/* How many have ended and were not taken. */
KC_API uint32_t kc_region_has_ended(kc_engine *engine);
/* 1 and a region that has ended, or 0. Its freed descriptors are all in kc_desc_take_freed before. */
KC_API int kc_region_take_ended(kc_engine *engine, kc_region_end *end_out);

#ifndef KC_CDEF
#ifdef __cplusplus
}
#endif
#endif
#endif
