/* kc_chan.h: channels, and the waiters that stand at them.
 *
 * An operation answers KC_OK (done), KC_PARKED (result->token waits; its result comes to the port), or a negative code
 * (nothing changed). On any failure the sender still owns its message; on success it moved exactly once.
 */
#ifndef KC_CHAN_H
#define KC_CHAN_H

#ifndef KC_CDEF
#include "kcoro/kc_engine.h"
#ifdef __cplusplus
extern "C" {
#endif
#endif

enum kc_chan_flag {
    KC_CHAN_FIXED_SIZE = 1,   /* every element has exactly elem_size bytes (KC_EINVAL otherwise) */
    KC_CHAN_ACK_REQUIRED = 2, /* a receive without KC_OP_ACK is KC_EINVAL */
    KC_CHAN_TELL_DROPPED = 4  /* evicted, purged and undelivered messages wait for kc_chan_take_dropped (objects that
                                 live elsewhere); not with a dead letter. A send that drop_newest drops only says so,
                                 and the last reference takes what was not fetched with it */
};

typedef struct kc_chan_config {
    int32_t kind;
    uint32_t capacity;     /* buffered: 1..2^20, exact. Others: ignored */
    uint32_t overflow;     /* buffered only; KC_EINVAL elsewhere unless 0 */
    uint32_t undelivered;  /* 0 = by kind */
    uint32_t elem_size;    /* bytes; 0 = 16 MiB, which bounds bytes; a smaller one bounds descriptors too */
    uint32_t flags;
    uint32_t max_attempts; /* 1..63, 0 = redelivered for ever */
    uint32_t account;      /* whose channel count is charged */
    uint32_t max_items;    /* unlimited: messages before it counts as full; 0 = 1,048,576 */
    uint32_t ttl_ms;       /* how long a message may wait once it was accepted; 0 = for ever */
    uint32_t file_ttl_ms;  /* the same of messages with files, if that is shorter */
    uint64_t max_bytes;    /* waiting bytes before it counts as full; 0 = 64 MiB */
    uint64_t user;         /* the caller's name for it: comes back in events and listings */
    kc_chan dead_letter;   /* an unlimited channel without one of its own, or 0 */
} kc_chan_config;

/* The caller gets one reference. KC_EINVAL, KC_EDQUOT, KC_ENOMEM. */
KC_API int kc_chan_make(kc_engine *engine, const kc_chan_config *config, kc_chan *chan_out, kc_refusal *refusal);
/* One more reference / one less. The record of a destroyed channel stays, answering KC_ECANCELED, until its last
 * reference goes; dropping the last reference of a live channel destroys it. */
KC_API int kc_chan_keep(kc_engine *engine, kc_chan chan);
KC_API int kc_chan_drop(kc_engine *engine, kc_chan chan);
KC_API int kc_chan_config_of(kc_engine *engine, kc_chan chan, kc_chan_config *config_out);

/* Copies data in. A parked sender's bytes are charged to its scope's account (scope 0: to nobody; it cannot park).
 * KC_EINPROGRESS, with KC_OP_TRY and KC_OP_CONFIRM only: accepted, and nobody waits for the ack. */
KC_API int kc_chan_send(kc_engine *engine, kc_chan chan, const kc_op *op, const void *data, uint32_t len_bytes,
                        kc_result *result);
/* The same with a body that is already in blocks: taken over (and emptied) when the answer is >= 0, else kept. */
KC_API int kc_chan_send_body(kc_engine *engine, kc_chan chan, const kc_op *op, kc_body *body, kc_result *result);
/* Without KC_OP_HOLD: a message that is there at once is copied into buffer if it fits and has at most 64 KiB
 * (KC_RESULT_COPIED), else its body is the caller's. With it: body is lent while result->token holds the message.
 * buffer may be NULL. */
KC_API int kc_chan_recv(kc_engine *engine, kc_chan chan, const kc_op *op, void *buffer, uint32_t buffer_bytes,
                        kc_result *result);

enum { KC_CLAUSE_RECV = 0, KC_CLAUSE_SEND = 1 };
typedef struct kc_clause {
    kc_chan chan;
    uint32_t dir;   /* KC_CLAUSE_RECV, KC_CLAUSE_SEND */
    uint32_t flags; /* of a receive: KC_OP_HOLD, KC_OP_ACK, KC_OP_SENDER; of a send: KC_OP_SMALL, KC_OP_CROWDED */
    kc_body body;   /* of a send: given to the select when the answer is >= 0 (all clauses'), kept otherwise */
} kc_clause;
/* 1..64 clauses, exactly one takes effect. Its sends expire as the channel says. */
KC_API int kc_select(kc_engine *engine, kc_clause *clauses, uint32_t count, const kc_op *op, kc_result *result);

/* No new sends; what was accepted, held or already parked still drains. Idempotent. */
KC_API int kc_chan_close(kc_engine *engine, kc_chan chan);
/* Parked sides end with KC_ECANCELED and the reason; waiting messages go to the undelivered policy; held ones may still
 * be acknowledged. text: up to 255 bytes kept for kc_chan_reason, may be NULL. Idempotent. */
KC_API int kc_chan_destroy(kc_engine *engine, kc_chan chan, uint32_t reason, const char *text, uint32_t text_bytes);
/* Copies the reason's text (no NUL added); returns its length, 0 when there is none. */
KC_API int kc_chan_reason(kc_engine *engine, kc_chan chan, char *text, uint32_t text_bytes);
/* Drops what waits (READY), counted as purged. */
KC_API int kc_chan_purge(kc_engine *engine, kc_chan chan, uint32_t *count_out);
/* From now on the tap gets a copy of every message that source accepts or hands over: a head of KC_MAX_TAP_HEAD_BYTES
 * (docs/PROTOCOL.md), then its bytes as far as the tap's elem_size holds them; of a descriptor or of files the head
 * alone. Nothing changes for the source. The tap is an open buffered drop_oldest channel without a dead letter; it
 * closes when nothing passes the source any more. KC_EINVAL, KC_EPIPE and KC_ECANCELED (the source is over),
 * KC_ENOENT. */
KC_API int kc_chan_tap(kc_engine *engine, kc_chan source, kc_chan tap);
/* Another dead-letter channel from now on, for a channel that was made with one; it fits as at kc_chan_make. KC_EINVAL,
 * KC_ECANCELED (destroyed), KC_ENOENT. */
KC_API int kc_chan_set_dead_letter(kc_engine *engine, kc_chan chan, kc_chan dead_letter);
/* KC_CHAN_TELL_DROPPED: the next dropped message's body, now the caller's. KC_EAGAIN when there is none. */
KC_API int kc_chan_take_dropped(kc_engine *engine, kc_chan chan, kc_body *body_out);

/* ---- scopes: the owners of waiters. A connection is one; they form a tree. ----
 * begin -> park -> end. To park is no call of its own: an operation whose kc_op names the scope parks there if it has
 * to wait (KC_PARKED). A waiter that had not tried first would stand in line at a channel that could serve it. */
typedef struct kc_scope_limits {
    uint32_t parked; /* 1,024; waiters, senders waiting for their ack included */
    uint32_t held;   /* 4,096; a further receive is KC_EDQUOT (those already parked may still come to hold) */
} kc_scope_limits;
/* parent 0: a root of its own. limits NULL or 0: the default. */
KC_API int kc_chan_waiter_scope_begin(kc_engine *engine, kc_scope parent, uint32_t account,
                                      const kc_scope_limits *limits, kc_scope *scope_out, kc_refusal *refusal);
/* Other limits from now on. KC_ENOENT for a scope that is none. */
KC_API int kc_chan_waiter_scope_limit(kc_engine *engine, kc_scope scope, const kc_scope_limits *limits);
/* The process it stands for: what receivers of messages that it sends from now on are told. */
KC_API int kc_chan_waiter_scope_name(kc_engine *engine, kc_scope scope, uint32_t pid);
/* Ends every waiter of the scope and of the scopes below it: parked ones are cancelled (reason counts them), held
 * messages go back (acked ones are requeued, plain ones meet the undelivered policy), results not yet taken from the
 * port vanish with theirs. Then the scopes are gone. */
KC_API int kc_chan_waiter_scope_end(kc_engine *engine, kc_scope scope, uint32_t reason);
/* The same, but the scope stays and may be used again. */
KC_API int kc_chan_waiter_scope_clear(kc_engine *engine, kc_scope scope, uint32_t reason);

/* ---- tokens: one waiting or holding operation ---- */
enum kc_token_status {
    KC_TOKEN_FREE = 0,
    KC_TOKEN_INIT = 1,
    KC_TOKEN_ENQUEUED = 2,
    KC_TOKEN_TAKEN = 3,
    KC_TOKEN_CLAIMED = 4,
    KC_TOKEN_CANCELLED = 5
};
/* enum kc_token_status, or KC_ENOENT. */
KC_API int kc_waiter_token_status(kc_engine *engine, kc_token token);
/* The one claim: KC_OK = it had not happened and never will (token freed, nothing comes to the port; result, which may
 * be NULL, says KC_ECANCELED). KC_EINPROGRESS = it was TAKEN: only the wait ended, the message is no longer the
 * sender's (token freed). KC_EBUSY = it had been decided before: its result is at the port. KC_ENOENT = no such waiter.
 * KC_ENOTSUP = one of kc_channel.h, which its own cancel ends. */
KC_API int kc_waiter_token_cancel(kc_engine *engine, kc_token token, uint32_t reason, kc_result *result);
/* 1: the token holds a message for this scope that its application acknowledges (KC_OP_ACK); else 0. */
KC_API int kc_waiter_token_awaits_ack(kc_engine *engine, kc_scope scope, kc_token token);
/* The message that token holds is done: HELD -> DONE, token freed. scope: the holder's, else KC_ENOENT. */
KC_API int kc_waiter_token_ack(kc_engine *engine, kc_scope scope, kc_token token);
/* The same for some tokens in one step: how many were done. */
KC_API uint32_t kc_waiter_tokens_ack(kc_engine *engine, kc_scope scope, const kc_token *tokens, uint32_t count);
/* It was not: an acked one goes back to its place, a plain one meets the undelivered policy. Token freed. */
KC_API int kc_waiter_token_nack(kc_engine *engine, kc_scope scope, kc_token token);
/* Its holder never looked at it (it does not fit the reply): back to its place, as if it had not been taken: no attempt
 * is counted, no policy asked. Token freed. */
KC_API int kc_waiter_token_return(kc_engine *engine, kc_scope scope, kc_token token);
/* The message of a held token, lent. */
KC_API int kc_waiter_token_body(kc_engine *engine, kc_token token, kc_body *body_out);

/* Who sent it: what kc_account_name and kc_chan_waiter_scope_name had said of the sender then, whatever became of it
 * since; of a dead letter the first sender. KC_NOBODY and 0 where nothing was said. */
typedef struct kc_sender {
    uint32_t uid, pid;
} kc_sender;
KC_API int kc_waiter_token_sender(kc_engine *engine, kc_token token, kc_sender *sender_out);

/* ---- looking ---- */
/* stat[KC_STAT_...]: every counter and gauge of the channel by its id on the wire (kc_wire.h); index 0 unused. */
typedef struct kc_chan_snapshot {
    uint64_t stat[64];
} kc_chan_snapshot;
KC_API int kc_chan_measure(kc_engine *engine, kc_chan chan, kc_chan_snapshot *snapshot_out);
/* One line: chan, kind, cap, policy, occ, indices, drops, undelivered, canc_wait, state. Returns its length as
 * snprintf(3) does, or KC_ENOENT. */
KC_API int kc_chan_dump(kc_engine *engine, kc_chan chan, char *text, size_t text_bytes);

typedef struct kc_waiter_info {
    kc_token token;
    kc_scope scope;
    uint64_t user;
    int64_t age_ns;  /* since it parked, by the engine's clock */
    uint32_t dir;    /* KC_CLAUSE_RECV, KC_CLAUSE_SEND */
    uint32_t status; /* enum kc_token_status */
    uint32_t clauses;
    uint32_t len_bytes; /* of a send */
    uint64_t chan_user; /* kc_chan_config.user of the channel it stands at */
    int64_t deadline_ns; /* by the engine's clock; KC_NEVER */
} kc_waiter_info;
/* The waiters of one side in queue order, skipping the first `skip`; returns how many were written, or KC_ENOENT. */
KC_API int kc_chan_waiters(kc_engine *engine, kc_chan chan, uint32_t dir, uint32_t skip, kc_waiter_info *infos,
                           uint32_t max);

/* What stands in a scope, oldest first: its parked operations (a select once for each clause), or with held the
 * messages it holds, of one channel if chan is not 0. infos may be NULL to count alone. Returns how many,
 * or KC_ENOENT. */
KC_API int kc_chan_waiter_scope_list(kc_engine *engine, kc_scope scope, int held, kc_chan chan, uint32_t skip,
                                     kc_waiter_info *infos, uint32_t max);

/* The seed's rendezvous cell: a view of the channel's head, not a second state machine. */
enum kc_rv_state {
    KC_RV_EMPTY = 0,
    KC_RV_SENDER_READY = 1,
    KC_RV_RECEIVER_READY = 2,
    KC_RV_MATCHED = 3,  /* nobody waits, a message is held by its receiver */
    KC_RV_CANCELLED = 4 /* nobody waits, and the last waiter to leave was cancelled */
};
typedef struct kc_rv_cell {
    uint32_t state;
    uint32_t len_bytes; /* of the head sender's message */
    kc_token sender, receiver;
    uint64_t matches, cancels, zdesc_matches;
} kc_rv_cell;
KC_API int kc_chan_rv_cell(kc_engine *engine, kc_chan chan, kc_rv_cell *cell_out);

#ifndef KC_CDEF
#ifdef __cplusplus
}
#endif
#endif
#endif
