/* kc_engine.h: one engine = one private arena of records, one lock, no thread, no clock, no call-back.
 *
 * Results of operations that parked are *data*: they wait on the port that the operation named until its owner takes
 * them (kc_port_take). Nothing in the engine ever calls anything above it. Every function may be called from any thread
 * unless it says otherwise; none sleeps but for the engine's own lock, none holds it over a system call.
 * After fork(2) the engine is the parent's: a child must not call it (its memory is wiped there), so wrappers compare
 * process ids.
 */
#ifndef KC_ENGINE_H
#define KC_ENGINE_H

#ifndef KC_CDEF
#include "kcoro/kc_types.h"
#ifdef __cplusplus
extern "C" {
#endif
#endif

/* Sizes of the tables, fixed at creation; 0 takes the default. Address space is reserved, memory comes with use. */
typedef struct kc_engine_config {
    uint32_t channels;           /* 65,536 */
    uint32_t tokens;             /* 1,048,576; at most 2^24 - 1 */
    uint32_t clauses;            /* 1,048,576 beyond the one that every token has */
    uint32_t messages;           /* 4,194,304; at most 2^24 - 1 */
    uint32_t scopes;             /* 131,072 */
    uint32_t accounts;           /* 4,096 */
    uint32_t ports;              /* 64 */
    uint32_t parked_per_channel; /* 16,384 */
    uint32_t regions;            /* 65,536 */
    uint32_t files;              /* 4,096 in messages; of descriptors the daemon has not many more */
    uint64_t heap_bytes;         /* 8 GiB of payload blocks */
} kc_engine_config;

/* KC_OK, KC_ENOMEM, KC_EINVAL (a table too large). The engine belongs to the caller. */
KC_API int kc_engine_make(const kc_engine_config *config, kc_engine **engine_out);
/* Frees everything at once and closes the files it still has; no other call may be running. NULL is allowed. */
KC_API void kc_engine_free(kc_engine *engine);

/* Sets the engine's clock (CLOCK_MONOTONIC ns, or a test's own; it never goes back) and ends every waiter whose
 * deadline has come. Returns how many ended. */
KC_API uint32_t kc_engine_tick(kc_engine *engine, int64_t now_ns);
KC_API int64_t kc_engine_now(kc_engine *engine);
/* The earliest deadline of a waiter, INT64_MAX when there is none. */
KC_API int64_t kc_engine_next_deadline(kc_engine *engine);

/* Verifies every invariant of every record. KC_OK, or KC_EPROTO with the first breach described in why. */
KC_API int kc_engine_check(kc_engine *engine, char *why, size_t why_bytes);

/* Records and bytes in use. */
typedef struct kc_engine_usage {
    uint64_t channels, tokens, clauses, messages, scopes, accounts, ports, regions;
    uint64_t files; /* those to be closed included */
    uint64_t parked, held; /* parked: of channels apart also selects that were decided and have not left yet */
    uint64_t block_bytes; /* in blocks handed out */
    uint64_t heap_bytes;  /* in chunks committed */
} kc_engine_usage;
KC_API void kc_engine_measure(kc_engine *engine, kc_engine_usage *usage_out);
/* Messages that were accepted so far: total_sends of all channels, those that are gone included. */
KC_API uint64_t kc_engine_accepted(kc_engine *engine);

/* Gives the memory of up to `most` empty 1 MiB chunks of payload back to the system, but for `keep` of them. Returns
 * how many are left to give. No lock is held over the system calls. For when a burst is over and nothing else is to
 * do. */
KC_API uint32_t kc_engine_trim(kc_engine *engine, uint32_t keep, uint32_t most);

/* What the C allocator keeps of freed memory goes back to the system (glibc; nothing elsewhere). It looks through the
 * whole heap: for when very much was freed, as after thousands of connections. */
KC_API void kc_heap_trim(void);

/* Test hook: the n-th allocation from now fails (1 = the next), 0 = none. Returns the allocations made since the
 * last call. */
KC_API uint64_t kc_engine_fail_alloc(kc_engine *engine, uint64_t n);

/* Things an administrator wants in the log. The engine keeps the last 64; `lost` counts what was overwritten. */
enum kc_event_kind {
    KC_EVENT_NONE = 0,
    KC_EVENT_ATTEMPTS = 1,     /* a message was dropped after max_attempts */
    KC_EVENT_DEAD_LETTER = 2,  /* the dead-letter channel could not take a message; it was dropped */
    KC_EVENT_POISONED = 3      /* a channel broke an invariant and was destroyed */
};
typedef struct kc_event {
    uint32_t kind;
    uint32_t reason;
    uint64_t chan_user; /* kc_chan_config.user of the channel */
    uint64_t lost;
} kc_event;
/* Another limit of operations parked on one channel; 0: the default. Who is parked already stays. */
KC_API void kc_engine_limit(kc_engine *engine, uint32_t parked_per_channel);
/* How many events wait. */
KC_API uint32_t kc_engine_events(kc_engine *engine);
/* 1 and the oldest event, or 0. */
KC_API int kc_engine_take_event(kc_engine *engine, kc_event *event_out);

/* ---- accounts: who pays. One per uid; payload blocks and message records are charged until they are freed. ---- */
typedef struct kc_account_limits {
    uint32_t parked;   /* 65,536; a parked select counts once per clause */
    uint32_t channels; /* 16,384 */
    uint64_t bytes;    /* 256 MiB; a message costs its blocks and 128 bytes */
    uint32_t held;     /* 65,536 messages given to receives and not yet done */
    uint32_t files;    /* 1,024 open files in messages, or waiting to be closed */
    uint32_t messages; /* 2,097,152 that wait, are offered by a parked send, or are held by a receiver */
} kc_account_limits;
typedef struct kc_account_usage {
    uint32_t parked, channels;
    uint64_t bytes;
    uint32_t held;
    uint32_t files;
    uint32_t messages;
} kc_account_usage;
/* limits NULL or a field 0: the default. KC_EDQUOT (KC_QUOTA_ENGINE_ACCOUNTS) when the table is full. Account 0 is
 * nobody's: always there, never limited. */
KC_API int kc_account_make(kc_engine *engine, const kc_account_limits *limits, uint32_t *account_out);
/* Releases the name. What is still charged stays charged until it is freed; the record goes with the last charge. */
KC_API int kc_account_free(kc_engine *engine, uint32_t account);
/* Who it stands for (a uid): what receivers of its messages are told. Until then KC_NOBODY. */
KC_API int kc_account_name(kc_engine *engine, uint32_t account, uint32_t owner);
KC_API int kc_account_limit(kc_engine *engine, uint32_t account, const kc_account_limits *limits);
KC_API int kc_account_measure(kc_engine *engine, uint32_t account, kc_account_usage *usage_out);

/* ---- ports: where the results of parked operations wait. One taker each. ---- */
KC_API int kc_port_open(kc_engine *engine, uint32_t *port_out);
/* KC_EBUSY while a waiter still names it. */
KC_API int kc_port_close(kc_engine *engine, uint32_t port);
/* Takes up to max results in the order in which they were decided. A result without KC_RESULT_HELD is the last word:
 * its token is freed and a body in it belongs to the caller. Disarms the port. Returns how many. */
KC_API uint32_t kc_port_take(kc_engine *engine, uint32_t port, kc_result *results, uint32_t max);
/* How many results wait. */
KC_API uint32_t kc_port_depth(kc_engine *engine, uint32_t port);
/* An eventfd that becomes readable when a result arrives at an armed port; the engine owns it. -errno on failure. */
KC_API int kc_port_fd(kc_engine *engine, uint32_t port);
/* Arms the port: 1 = nothing waits, the next result rings the fd (if kc_port_fd made one) once; 0 = results wait
 * already, not armed. */
KC_API int kc_port_arm(kc_engine *engine, uint32_t port);

/* ---- bodies: payloads in the engine's blocks ---- */
/* Copies len bytes in. KC_EDQUOT/KC_ENOMEM say which limit in refusal (may be NULL), KC_EMSGSIZE over 16 MiB. */
KC_API int kc_body_make(kc_engine *engine, uint32_t account, const void *data, uint32_t len_bytes, kc_body *body_out,
                        kc_refusal *refusal);
/* Opens a body of known length without its blocks; they come one by one as kc_body_room asks for them, so a sender
 * that only announces bytes costs nothing. */
KC_API int kc_body_open(kc_engine *engine, uint32_t account, uint32_t len_bytes, kc_body *body_out,
                        kc_refusal *refusal);
/* Memory for the bytes from offset on: at most to the end of the block there, or of the body. */
KC_API int kc_body_room(kc_engine *engine, kc_body *body, uint32_t offset, void **memory_out, uint32_t *room_out,
                        kc_refusal *refusal);
/* Readable memory at offset, to the end of its block or of the body. The caller must own or be lent a reference. */
KC_API int kc_body_span(kc_engine *engine, const kc_body *body, uint32_t offset, const void **memory_out,
                        uint32_t *len_out);
/* Copies len bytes out; KC_EINVAL outside the body. */
KC_API int kc_body_copy(kc_engine *engine, const kc_body *body, uint32_t offset, void *buffer, uint32_t len_bytes);
/* One more reference, to be given back with kc_body_drop. */
KC_API void kc_body_keep(kc_engine *engine, const kc_body *body);
/* Gives the reference back and empties the body (safe twice). */
KC_API void kc_body_drop(kc_engine *engine, kc_body *body);
/* The same for a body that was not sent: the memory that a descriptor names never left its owner, so nobody is told
 * that it is free (kc_desc.h). */
KC_API void kc_body_forget(kc_engine *engine, kc_body *body);

#ifndef KC_CDEF
#ifdef __cplusplus
}
#endif
#endif
#endif
