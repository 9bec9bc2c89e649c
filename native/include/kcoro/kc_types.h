/* kc_types.h: the words every other header is written in.
 *
 * Codes (KC_OK, KC_EAGAIN, ...) and the ids of counters stand in kc_wire.h, which is generated, so that C, Python and
 * the wire can never disagree. A call returns KC_OK, a documented positive outcome (KC_PARKED), or a negative KC_E*,
 * and a negative answer means that nothing was changed. A pointer is that of something that is there; NULL is allowed
 * for 0 bytes and where a header says so, and nowhere else.
 *
 * A ticket names one life of one record: {generation:32, index:32}, index >= 1, so 0 is no ticket. A ticket that has
 * outlived its record is answered with KC_ENOENT and never meets the record's next life.
 */
#ifndef KC_TYPES_H
#define KC_TYPES_H

#ifndef KC_CDEF
#include <stddef.h>
#include <stdint.h>
#include "kcoro/kc_wire.h"
#if defined(__GNUC__)
#define KC_API __attribute__((visibility("default")))
#else
#define KC_API
#endif
#ifdef __cplusplus
extern "C" {
#endif
#endif

typedef struct kc_engine kc_engine;

typedef uint64_t kc_ticket;
typedef kc_ticket kc_chan;
typedef kc_ticket kc_token;
typedef kc_ticket kc_scope;

enum { KC_PARKED = 1 };

/* A deadline that never comes; absolute CLOCK_MONOTONIC nanoseconds otherwise. */
#ifndef KC_CDEF
#define KC_NEVER INT64_MAX
#endif

/* Kinds, overflow and undelivered policies carry the numbers of the wire (kc_wire.h):
 *   kind         0 rendezvous, 1 buffered, -1 conflated, -2 unlimited
 *   overflow     0 suspend, 1 drop_newest, 2 drop_oldest           (buffered only)
 *   undelivered  0 by kind, 1 requeue, 2 drop, 3 dead letter
 */

/* Why an operation, a message or a channel ended (12 bits in the channel's word). */
enum kc_reason {
    KC_REASON_NONE = 0,
    KC_REASON_CANCEL = 1,        /* its owner cancelled it */
    KC_REASON_TIMEOUT = 2,       /* its deadline passed */
    KC_REASON_DEAD = 3,          /* its owner is gone */
    KC_REASON_DESTROYED = 4,     /* the channel was destroyed */
    KC_REASON_EVICTED = 5,       /* a newer message took its place */
    KC_REASON_DEAD_LETTERED = 6, /* it went to the dead-letter channel */
    KC_REASON_ATTEMPTS = 7,      /* dropped after max_attempts deliveries */
    KC_REASON_PURGED = 8,        /* dropped on purpose */
    KC_REASON_SHUTDOWN = 9,      /* the daemon is going away */
    KC_REASON_POISONED = 10,     /* an invariant of the channel was found broken */
    KC_REASON_UNDELIVERED = 11,  /* dropped by the undelivered policy */
    KC_REASON_EXPIRED = 12,      /* it waited longer than it may */
    KC_REASON_REVOKED = 13       /* its memory was taken back by its owner */
};

/* Which limit refused (KC_EDQUOT, KC_ENOMEM); 0 when none did. */
enum kc_quota {
    KC_QUOTA_NONE = 0,
    KC_QUOTA_CHANNEL_PARKED = 1, /* waiters parked on one channel */
    KC_QUOTA_SCOPE_PARKED = 2,   /* waiters parked by one scope (a connection) */
    KC_QUOTA_SCOPE_HELD = 3,     /* messages held by one scope */
    KC_QUOTA_ACCOUNT_PARKED = 4, /* waiters parked by one account (a uid) */
    KC_QUOTA_ACCOUNT_CHANNELS = 5,
    KC_QUOTA_ACCOUNT_BYTES = 6,  /* payload blocks and message records */
    KC_QUOTA_ENGINE_CHANNELS = 7,
    KC_QUOTA_ENGINE_TOKENS = 8,
    KC_QUOTA_ENGINE_CLAUSES = 9,
    KC_QUOTA_ENGINE_MESSAGES = 10,
    KC_QUOTA_ENGINE_BYTES = 11,
    KC_QUOTA_ENGINE_SCOPES = 12,
    KC_QUOTA_ENGINE_ACCOUNTS = 13,
    KC_QUOTA_ENGINE_PORTS = 14,
    KC_QUOTA_ENGINE_FILES = 15,
    KC_QUOTA_ENGINE_REGIONS = 16,
    KC_QUOTA_ACCOUNT_HELD = 32, /* messages held by one account */
    KC_QUOTA_ACCOUNT_FILES = 33, /* open files in its messages, or on their way to being closed */
    KC_QUOTA_ACCOUNT_MESSAGES = 40, /* messages that it sent and that are not done */
    KC_QUOTA_DESCRIPTORS = 48       /* open files of the whole process: RLIMIT_NOFILE */
};

#ifndef KC_CDEF
#define KC_NOBODY UINT32_MAX /* the uid of an account without a name, as chown(2) has it */
#endif

typedef struct kc_refusal {
    uint32_t quota; /* enum kc_quota */
    uint32_t spare;
    uint64_t limit;
    uint64_t usage;
} kc_refusal;

/* A payload: bytes in the engine's blocks, and at most one extra: a descriptor of memory (kc_desc.h; then there are no
 * bytes) or open files (kc_file.h). `block` is 0 for no bytes, `extra` for no extra. Whoever holds a body owns one
 * reference to all of it and gives it back with kc_body_drop; every function that takes it over says so. */
typedef struct kc_body {
    uint32_t len_bytes;
    uint32_t block;
    uint32_t account;
    uint32_t extra;
} kc_body;

enum kc_op_flag {
    KC_OP_TRY = 1,      /* never park: KC_EAGAIN */
    KC_OP_HOLD = 2,     /* receive: the message stays HELD by the token until kc_waiter_token_ack or _nack */
    KC_OP_ACK = 4,      /* receive: held, and acknowledged by the application (implies KC_OP_HOLD) */
    KC_OP_CONFIRM = 8,  /* send: done only when the message was acknowledged (token TAKEN until then) */
    KC_OP_BIASED = 16,  /* select: clauses are tried in the order given */
    KC_OP_SMALL = 32,   /* send: a descriptor was wanted, but its bytes are few (zref_fallback_small, with
                           total_sends) */
    KC_OP_CROWDED = 64, /* send: ... but there was no memory to share (zref_fallback_capacity) */
    KC_OP_SENDER = 128  /* receive: comes back as KC_RESULT_SENDER, for whoever then asks kc_waiter_token_sender */
};

/* Who asks. The scope owns what parks or is held; the port gets the result of what parked; user comes back with it. */
typedef struct kc_op {
    kc_scope scope;
    uint64_t user;
    int64_t deadline_ns;
    uint32_t port;
    uint32_t flags;
    int64_t expires_ns; /* send, not in a select: from then on its message is not delivered, and a send that still waits
                           for room ends with KC_ETIME; 0 = never */
} kc_op;

enum kc_result_flag {
    KC_RESULT_MESSAGE = 1,     /* body is a received message */
    KC_RESULT_DROPPED = 2,     /* send: the message was dropped by drop_newest */
    KC_RESULT_REDELIVERED = 4, /* receive: it had been delivered before; attempts says how often */
    KC_RESULT_COPIED = 8,      /* receive: the bytes are in the caller's buffer, body.block is 0 */
    KC_RESULT_HELD = 16,       /* receive: token holds the message; body is lent, valid while the token holds it */
    KC_RESULT_ACK = 32,        /* receive: KC_OP_ACK was asked, the application acknowledges */
    KC_RESULT_SEND = 64,       /* the winning clause is a send */
    KC_RESULT_SENDER = 128,    /* receive: KC_OP_SENDER was asked */
    KC_RESULT_TAKEN = 256      /* a confirmed send that failed: its message was accepted all the same */
};

/* What became of an operation. Fields a result does not need are 0. */
typedef struct kc_result {
    int32_t code;      /* KC_OK, KC_PARKED or a negative KC_E* */
    uint32_t flags;    /* enum kc_result_flag */
    uint32_t clause;   /* index of the winning (or refusing) clause of a select */
    uint32_t attempts; /* deliveries of this message before this one */
    uint32_t reason;   /* enum kc_reason of a KC_ECANCELED */
    uint32_t spare;
    kc_token token;    /* the waiter that parked, or the holder of the message; else 0 */
    uint64_t user;
    kc_chan chan;      /* the winning clause's channel */
    kc_body body;
    kc_refusal refusal;
} kc_result;

#ifndef KC_CDEF
#ifdef __cplusplus
}
#endif
#endif
#endif
