/* kc_record.h: the records of the arena and the engine that owns them.
 *
 * Records hold indices (1..capacity, 0 = none) and tickets, never addresses, so the arena may be mapped anywhere.
 * Everything but the truth words is a hint in the sense that it can be rebuilt from them; lock 0 guards it all.
 */
#ifndef KC_RECORD_H
#define KC_RECORD_H

#include "kc_layout.h"
#include "kc_lock.h"
#include "kc_record_tables.h"
#include "kc_word.h"
#include "kcoro/kc_chan.h"
#include "kcoro/kc_desc.h"
#include "kcoro/kc_file.h"

/* Who wants to be freed shares these first 16 bytes: pools chain free records through next. */
#define KC_RECORD_HEAD \
    kc_word w;         \
    uint32_t next;     \
    uint32_t prev

typedef struct kc_msg {
    KC_RECORD_HEAD; /* READY: the channel's list; dropped: the channel's or the mover's list */
    uint32_t chan;
    uint32_t account;
    uint32_t len_bytes;
    uint32_t block;
    uint64_t qseq;      /* place in the channel: given when accepted, kept on requeue */
    int64_t expires_ns; /* not delivered from then on; 0 = never */
    uint32_t sender;    /* a TAKEN token that waits for this message's end, or 0; that token names the message back */
    uint32_t extra;     /* of its body */
    uint32_t pid;       /* of who sent it; whose it was in the kernel's eyes is the account's name */
    union {
        uint32_t heap_at; /* place in the deadline heap, 0 = none; only READY ones have one */
        uint32_t counter; /* DROPPED: which counter moved */
    };
} kc_msg;
_Static_assert(sizeof(kc_msg) == 64, "a message touches one cache line");

/* Clause records 1..tokens are the first clause of the token with the same index; the rest are a pool for selects. */
typedef struct kc_clause_rec {
    uint32_t next, prev; /* the channel's queue; pools chain through next */
    uint32_t tok;
    uint32_t chan;
    uint32_t msg;  /* STAGED message of a send */
    uint32_t more; /* next clause of the same token */
    uint8_t dir;
    uint8_t linked;
    uint8_t index; /* in the select */
    uint8_t flags; /* of a receive KC_OP_HOLD, KC_OP_ACK, KC_OP_SENDER; of a send KC_SEND_FLAGS */
    uint32_t spare;
} kc_clause_rec;

enum { KC_LIST_NONE = 0, KC_LIST_WAITING = 1, KC_LIST_HELD = 2 };
typedef struct kc_tok {
    KC_RECORD_HEAD; /* the port's list of results */
    uint64_t user;
    int64_t deadline_ns;
    int64_t parked_ns;
    uint32_t scope, scope_next, scope_prev;
    uint32_t port;
    uint32_t heap_at; /* place in the deadline heap, 0 = none */
    uint32_t flags;   /* kc_op.flags; of a finished receive also those of its clause */
    uint32_t chan;    /* the channel that decided, and the generation it had then */
    uint32_t chan_gen;
    uint32_t first;   /* first clause, 0 when none */
    uint16_t reason;
    uint8_t clauses;
    uint8_t list;    /* which of the scope's lists it is in */
    uint8_t at_port; /* 1: its result waits at the port */
    uint8_t dir;     /* of the clause that decided */
    uint8_t dropped;
    uint8_t spare;
} kc_tok;

typedef struct kc_scope_rec {
    KC_RECORD_HEAD; /* siblings */
    uint32_t parent, child;
    uint32_t account;
    uint32_t pid; /* of whoever it stands for, 0 = unknown */
    uint32_t parked_limit, held_limit;
    uint32_t parked;
    kc_list waiting, held;
} kc_scope_rec;

typedef struct kc_chan_rec {
    KC_RECORD_HEAD;
    kc_chan_config config;
    uint32_t refs;
    uint32_t pending;      /* its messages on their way to the dead-letter channel */
    uint32_t dirty_next;   /* the engine's list of channels to be settled */
    uint8_t dirty;
    uint32_t requeued;     /* READY messages flagged REQUEUED: the front of the list */
    uint32_t requeue_tail; /* the last of them */
    uint32_t held;
    uint64_t bytes; /* of READY and HELD messages */
    uint32_t descs, files; /* among them */
    uint32_t taps;         /* the first channel that gets copies; they chain through tap_next */
    uint32_t tap_of, tap_next, tap_prev;
    uint64_t seq;   /* qseq of the newest message */
    uint64_t peak_depth;
    kc_list ready, dropped;
    kc_list waiters[2]; /* by direction: KC_CLAUSE_RECV, KC_CLAUSE_SEND */
    uint32_t text_block, text_bytes;
    uint8_t last_cancelled; /* the view kc_rv_cell: the last to leave was cancelled */
    uint8_t apart;          /* its messages and waiters are elsewhere (kc_cell.h), and its word is stepped there */
    uint64_t stat[KC_STAT_END];
} kc_chan_rec;

typedef struct kc_account_rec {
    _Alignas(128) uint32_t next; /* free list; a record's place is a shift, every message asks for it twice */
    uint32_t used; /* 1 while named by somebody; the record lives until its charges are gone */
    uint32_t scopes;
    uint32_t owner; /* the uid it stands for */
    uint32_t parked, channels, held, files, messages;
    uint32_t closing, takers; /* of its files: those to be closed, or being closed by so many takers */
    kc_list left;             /* of these the ones that no taker has (kc_files_extra) */
    int64_t closing_ns;       /* when the last of them was closed, or the first of them came */
    uint64_t bytes;
    kc_account_limits limits;
} kc_account_rec;

typedef struct kc_port_rec {
    uint32_t used, users;
    int fd; /* eventfd + 1, 0 = none yet */
    kc_list done;
    _Atomic uint32_t armed;   /* these two are written under the lock like all else, */
    _Atomic uint32_t waiting; /* but a taker may see without it that there is nothing to do */
} kc_port_rec;

typedef struct kc_region_rec {
    KC_RECORD_HEAD; /* ENDED: the engine's list of ends */
    uint32_t account;
    int32_t file;
    uint64_t size_bytes;
    uint64_t user;
    uint32_t descs, in_flight; /* blocks of its descriptors, chained; how many */
    uint32_t revoked;
    uint32_t spare;
} kc_region_rec;

enum { KC_BACKENDS = 8, KC_BACKEND_NAME_BYTES = 32 };
typedef struct kc_backend_rec {
    char name[KC_BACKEND_NAME_BYTES];
    const kc_desc_ops *ops;
    void *self;
} kc_backend_rec;

/* The port of seats (kc_seat.h), and those that were served since the lock was taken. */
typedef struct kc_seats {
    uint32_t port; /* 0: none */
    uint32_t due;  /* a token waits to be put into its seat */
    struct kc_seat *first, *last;
    void (*waker)(void *self, struct kc_seat *first);
    void *self;
} kc_seats;

enum { KC_EVENTS = 64, KC_PARKED_PER_CHANNEL = 16384 /* unless asked otherwise */ };
struct kc_engine {
    kc_lock lock;
    int64_t now_ns;
    uint64_t allocs, fail_at;
    uint8_t *arena;
    size_t arena_bytes;
    kc_pool chans, toks, clauses, msgs, scopes, regions;
    kc_heap heap;
    kc_account_rec *accounts;
    uint32_t account_capacity, account_high, account_free, account_live;
    kc_port_rec *ports;
    uint32_t port_capacity, port_live;
    kc_due *deadlines; /* binary heap of tokens and messages, 1..deadline_count */
    uint32_t deadline_count;
    uint32_t file_capacity, file_count; /* files in bodies, to be closed, and being closed */
    kc_backend_rec backends[KC_BACKENDS]; /* 1..: id - 1 */
    kc_extra_list freed;   /* descriptors whose owner is to be told */
    kc_list closing;       /* accounts with files that a taker may have */
    _Atomic uint32_t closing_count, closing_files; /* of them; of all accounts' files: to be seen without the lock */
    kc_list ended_regions;
    _Atomic uint32_t ended_count; /* of them, to be seen without the lock */
    uint32_t tok_capacity; /* clause records up to here belong to tokens */
    uint32_t parked_per_channel;
    uint64_t dice;         /* of unbiased selects (kc_order.h) */
    uint32_t breach;       /* a channel whose invariant broke */
    uint32_t ring_count;
    int ring[64];          /* eventfds to ring after the lock is given back */
    kc_seats seats;
    struct kc_cells **apart; /* of channels apart, by number; NULL while there was none */
    uint32_t dirty_head, dirty_tail; /* channels in which something moved: settled before the lock is given back */
    kc_list dead_letters;  /* messages on their way, moved before the lock is given back */
    kc_event events[KC_EVENTS];
    uint32_t event_head, event_count;
    uint64_t event_lost;
    uint64_t parked, held;
    uint64_t accepted; /* messages, by all channels that there ever were */
};

/* Typed, so that the record's size is a constant where it matters. */
static inline kc_chan_rec *kc_chan_at(kc_engine *e, uint32_t i) { return (kc_chan_rec *)(void *)e->chans.base + i; }
static inline kc_tok *kc_tok_at(kc_engine *e, uint32_t i) { return (kc_tok *)(void *)e->toks.base + i; }
static inline kc_msg *kc_msg_at(kc_engine *e, uint32_t i) { return (kc_msg *)(void *)e->msgs.base + i; }
static inline kc_scope_rec *kc_scope_at(kc_engine *e, uint32_t i) {
    return (kc_scope_rec *)(void *)e->scopes.base + i;
}
static inline kc_region_rec *kc_region_at(kc_engine *e, uint32_t i) {
    return (kc_region_rec *)(void *)e->regions.base + i;
}
static inline kc_clause_rec *kc_clause_at(kc_engine *e, uint32_t i) {
    return (kc_clause_rec *)(void *)e->clauses.base + i;
}
static inline uint32_t kc_chan_index(kc_engine *e, const kc_chan_rec *c) { return (uint32_t)(c - kc_chan_at(e, 0)); }
static inline uint32_t kc_tok_index(kc_engine *e, const kc_tok *t) { return (uint32_t)(t - kc_tok_at(e, 0)); }
static inline uint32_t kc_scope_index(kc_engine *e, const kc_scope_rec *s) {
    return (uint32_t)(s - kc_scope_at(e, 0));
}

static inline kc_ticket kc_ticket_of(uint32_t index, uint64_t word) {
    return ((uint64_t)kc_word_gen(word) << 32) | index;
}
/* The record a ticket names, NULL when its life is over or never was. */
static inline void *kc_ticket_find(const kc_pool *pool, size_t record_bytes, kc_ticket ticket) {
    uint32_t index = (uint32_t)ticket;
    void *record = NULL;

    if (index != 0 && index <= pool->high) {
        void *candidate = pool->base + index * record_bytes; /* constant where it is called */
        uint64_t w = kc_word_load((const kc_word *)candidate);
#if KC_MUTANT == 1 /* a ticket whose life is over is taken for the record's next one */
        if (kc_word_state(w) != 0)
#else
        if (kc_word_state(w) != 0 && kc_word_gen(w) == (uint32_t)(ticket >> 32))
#endif
            record = candidate;
    }
    return record;
}

static inline void kc_tok_name_chan(kc_engine *e, kc_tok *t, uint32_t chan) {
    t->chan = chan;
    t->chan_gen = kc_word_gen(kc_word_load(&kc_chan_at(e, chan)->w));
}

/* Something moved in this channel: it is settled (settle.c) before the lock is given back. An open channel at which
 * nobody waits is always at rest. */
KC_PART void kc_chan_touch(kc_engine *e, kc_chan_rec *c) {
    bool restless = c->waiters[0].count + c->waiters[1].count != 0 ||
                    kc_word_state(kc_word_load(&c->w)) != KC_CHAN_OPEN;

    if (restless && !c->dirty) {
        uint32_t chan = kc_chan_index(e, c);
        c->dirty = 1;
        c->dirty_next = 0;
        if (e->dirty_head == 0)
            e->dirty_head = chan;
        else
            kc_chan_at(e, e->dirty_tail)->dirty_next = chan;
        e->dirty_tail = chan;
    }
}

static inline uint32_t kc_state_of(const kc_word *w) { return kc_word_state(kc_word_load(w)); }

#endif
