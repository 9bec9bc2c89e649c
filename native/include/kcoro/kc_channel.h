/* kc_channel.h: what coroutines and threads send to and receive from. The same calls serve a channel of this process
 * (one of an engine's, kc_chan.h) and one of a daemon (kc_ipc.h).
 *
 * A coroutine that must wait parks and its worker runs others; a thread that must wait sleeps. Every call ends in
 * exactly one way: it happened (KC_OK), or it did not (a negative code) and nothing changed. Only a daemon's channel
 * knows one more end, KC_EINPROGRESS: it may have happened (kc_remote.h).
 *   KC_EAGAIN  a try that would have to wait          KC_ETIME      the deadline came first
 *   KC_EPIPE   closed (and, for a receive, drained)   KC_ECANCELED  cancelled, or the channel was destroyed
 *   KC_EMSGSIZE  longer than the channel's elements, or a buffer shorter than they may be
 *   KC_EINVAL  bytes for a channel of pointers, or the reverse
 *   KC_ENOMEM  no memory for what it sends     KC_ENOMEM, KC_EDQUOT  its deadline could not be set (kc_timer.h)
 * In one call completing beats closed, closed beats cancelled, cancelled beats the deadline; but one whose cancel was
 * set before it began has no effect. Deadlines: CLOCK_MONOTONIC (kc_after_ns), KC_NEVER.
 */
#ifndef KC_CHANNEL_H
#define KC_CHANNEL_H

#include "kcoro/kc_cancel.h"
#include "kcoro/kc_chan.h"
#include "kcoro/kc_desc.h"
#include "kcoro/kc_sched.h"
#ifdef __cplusplus
extern "C" {
#endif

/* What channels of one process share: an engine. */
typedef struct kc_hub kc_hub;
typedef struct kc_channel kc_channel;

/* engine NULL: one of its own, whose channels have a lock each; sending and receiving there by ticket (kc_chan.h) is
 * KC_ENOTSUP. Otherwise channels like all others of that engine, under its lock, which anybody may use by ticket. One
 * hub for an engine (KC_EBUSY). KC_ENOMEM. */
KC_API int kc_hub_make(kc_engine *engine, kc_hub **hub_out);
/* No channel of it may be in use. Frees the engine if it is its own. NULL is allowed. */
KC_API void kc_hub_free(kc_hub *hub);
KC_API kc_engine *kc_hub_engine(kc_hub *hub);

enum { KC_CHANNEL_MAX_ELEM_BYTES = 64 << 10 /* of a local channel; what is longer goes as pointer or descriptor */ };

/* What waits in a local channel is at most 64 MiB of bytes (one message always fits; memory does not count), and of an
 * unlimited one at most 1,048,576 messages: then it is full, and a send waits. */
typedef struct kc_channel_config {
    int32_t kind;       /* KC_KIND_*: rendezvous 0, buffered 1, conflated -1, unlimited -2 */
    uint32_t capacity;  /* buffered: exactly this many, unless they are more than the 64 MiB above */
    uint32_t elem_size; /* bytes of the longest element; 0: a channel of pointers and descriptors */
    uint32_t overflow;  /* buffered: 0 suspend, 1 drop_newest, 2 drop_oldest */
} kc_channel_config;

/* One reference. KC_EINVAL, KC_ENOMEM, KC_EDQUOT. */
KC_API int kc_channel_make(kc_hub *hub, const kc_channel_config *config, kc_channel **channel_out);
KC_API void kc_channel_keep(kc_channel *channel);
/* The last one destroys a local channel. NULL is allowed. */
KC_API void kc_channel_drop(kc_channel *channel);
/* No new sends; what was accepted and senders that wait still drain. Idempotent. */
KC_API int kc_channel_close(kc_channel *channel);
/* Everybody who waits gets KC_ECANCELED; what waits is dropped. Idempotent. */
KC_API int kc_channel_destroy(kc_channel *channel, uint32_t reason);
/* Messages in it: those that wait, and those that a receiver holds to acknowledge them (of a daemon's, or an engine's
 * that is used by ticket). Negative: a code. */
KC_API int64_t kc_channel_depth(kc_channel *channel);
/* A local channel's ticket at its hub's engine, for kc_chan_measure and the like; 0 of a remote one. */
KC_API kc_chan kc_channel_ticket(const kc_channel *channel);
KC_API uint32_t kc_channel_elem_bytes(const kc_channel *channel);

/* ---- elements that are bytes ---- */
KC_API int kc_channel_send(kc_channel *channel, const void *data, uint32_t len_bytes, int64_t deadline_ns);
KC_API int kc_channel_send_c(kc_channel *channel, const void *data, uint32_t len_bytes, int64_t deadline_ns,
                             kc_cancel *cancel);
KC_API int kc_channel_try_send(kc_channel *channel, const void *data, uint32_t len_bytes);
/* buffer_bytes >= the channel's elem_size. len_out may be NULL. */
KC_API int kc_channel_recv(kc_channel *channel, void *buffer, uint32_t buffer_bytes, uint32_t *len_out,
                           int64_t deadline_ns);
KC_API int kc_channel_recv_c(kc_channel *channel, void *buffer, uint32_t buffer_bytes, uint32_t *len_out,
                             int64_t deadline_ns, kc_cancel *cancel);
KC_API int kc_channel_try_recv(kc_channel *channel, void *buffer, uint32_t buffer_bytes, uint32_t *len_out);

/* ---- elements that are memory: the receiver's once the send succeeded, the sender's as long as it did not ---- */
KC_API int kc_channel_send_ptr(kc_channel *channel, void *ptr, uint64_t len_bytes, int64_t deadline_ns);
KC_API int kc_channel_send_ptr_c(kc_channel *channel, void *ptr, uint64_t len_bytes, int64_t deadline_ns,
                                 kc_cancel *cancel);
KC_API int kc_channel_try_send_ptr(kc_channel *channel, void *ptr, uint64_t len_bytes);
KC_API int kc_channel_recv_ptr(kc_channel *channel, void **ptr_out, uint64_t *len_out, int64_t deadline_ns);
KC_API int kc_channel_recv_ptr_c(kc_channel *channel, void **ptr_out, uint64_t *len_out, int64_t deadline_ns,
                                 kc_cancel *cancel);
KC_API int kc_channel_try_recv_ptr(kc_channel *channel, void **ptr_out, uint64_t *len_out);
/* Descriptors of any backend (kc_desc.h). */
KC_API int kc_channel_send_desc(kc_channel *channel, const kc_desc *desc, int64_t deadline_ns, kc_cancel *cancel);
KC_API int kc_channel_recv_desc(kc_channel *channel, kc_desc *desc_out, int64_t deadline_ns, kc_cancel *cancel);

/* ---- select: exactly one clause takes effect ---- */
typedef struct kc_channel_clause {
    kc_channel *channel;
    uint32_t dir; /* KC_CLAUSE_RECV, KC_CLAUSE_SEND */
    /* bytes: of a send what is sent; of a receive the buffer, and afterwards the length */
    uint32_t len_bytes;
    const void *data;
    void *buffer;
    uint32_t buffer_bytes;
    uint32_t spare;
    /* memory: what is sent, or received */
    kc_desc desc;
} kc_channel_clause;

/* 1..64 clauses, all local and of one hub, or all of one daemon's connection (else KC_EINVAL). index_out: the clause
 * that took effect, or whose channel is closed or destroyed; it must not be NULL. flags: KC_OP_BIASED, KC_OP_TRY, or 0.
 * Of several that are ready one is drawn, each as likely as another; with KC_OP_BIASED the first is taken. */
KC_API int kc_channel_select(kc_channel_clause *clauses, uint32_t count, uint32_t flags, int64_t deadline_ns,
                             kc_cancel *cancel, uint32_t *index_out);

#ifdef __cplusplus
}
#endif
#endif
