/* kc_word.h: truth words, the first u64 of every record, and the only functions that store one.
 *
 *     token    gen:24 | state:4 | res:6      | clause:6 | msg:24
 *     message  gen:24 | state:4 | attempts:6 | flags:6  | tok:24
 *     channel  gen:24 | state:4 | reason:12  | nonce:24
 *     scope    gen:24 | state:4 | 36 unused
 *     region   gen:24 | state:4 | 36 unused
 *
 * Invariants: the generation grows on FREE -> (first state) only. Every step stands in kc_state.h. The lock makes the
 * writer unique, so a step is one relaxed store; a reader without the lock still sees a whole word.
 */
#ifndef KC_WORD_H
#define KC_WORD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "kc_layout.h"
#include "kc_state.h"

typedef _Atomic uint64_t kc_word;

enum kc_tok_res {
    KC_RES_OK = 0,
    KC_RES_CLOSED = 1,
    KC_RES_DESTROYED = 2,
    KC_RES_TIMEOUT = 3,
    KC_RES_CANCEL = 4,
    KC_RES_DEAD = 5,
    KC_RES_UNCONFIRMED = 6,
    KC_RES_LOST = 7, /* its accepted message ended otherwise: evicted, dead-lettered, purged, destroyed */
    KC_RES_MEMORY = 8 /* of a channel apart: there was room, and no memory for it */
};
enum kc_msg_flag { KC_MSG_REQUEUED = 1 };

static inline uint64_t kc_word_load(const kc_word *word) {
    return atomic_load_explicit(word, memory_order_relaxed);
}
static inline uint32_t kc_word_gen(uint64_t w) { return (uint32_t)(w >> 40); }
static inline uint32_t kc_word_state(uint64_t w) { return (uint32_t)(w >> 36) & 15U; }
static inline uint32_t kc_word_res(uint64_t w) { return (uint32_t)(w >> 30) & 63U; }      /* token */
static inline uint32_t kc_word_clause(uint64_t w) { return (uint32_t)(w >> 24) & 63U; }   /* token */
static inline uint32_t kc_word_attempts(uint64_t w) { return (uint32_t)(w >> 30) & 63U; } /* message */
static inline uint32_t kc_word_flags(uint64_t w) { return (uint32_t)(w >> 24) & 63U; }    /* message */
static inline uint32_t kc_word_peer(uint64_t w) { return (uint32_t)w & 0xFFFFFFU; }       /* msg or tok index */
static inline uint32_t kc_word_reason(uint64_t w) { return (uint32_t)(w >> 24) & 0xFFFU; } /* channel */

static inline uint64_t kc_word_make(uint32_t gen, uint32_t state, uint32_t six, uint32_t next_six, uint32_t peer) {
    return ((uint64_t)(gen & 0xFFFFFFU) << 40) | ((uint64_t)(state & 15U) << 36) | ((uint64_t)(six & 63U) << 30) |
           ((uint64_t)(next_six & 63U) << 24) | (peer & 0xFFFFFFU);
}

/* steps[from][to] is 1 when the step is allowed. One matrix per kind of record, in word.c. */
enum { KC_STATES_MAX = 16 };
typedef uint8_t kc_steps[KC_STATES_MAX][KC_STATES_MAX];
extern const kc_steps kc_tok_steps;
extern const kc_steps kc_msg_steps;
extern const kc_steps kc_chan_steps;
extern const kc_steps kc_scope_steps;
extern const kc_steps kc_region_steps;

/* Stores the word of the next state; false, and nothing stored, when the step is not allowed. */
KC_PART bool kc_word_step(kc_word *word, const kc_steps steps, uint32_t to, uint32_t six, uint32_t next_six,
                                uint32_t peer) {
    uint64_t old = kc_word_load(word);
    uint32_t from = kc_word_state(old);
    bool allowed = steps[from][to] != 0;

    if (allowed) {
        uint32_t gen = kc_word_gen(old) + (from == 0 ? 1U : 0U);
        atomic_store_explicit(word, kc_word_make(gen, to, six, next_six, peer), memory_order_relaxed);
    }
    return allowed;
}

const char *kc_tok_state_name(uint32_t state);
const char *kc_msg_state_name(uint32_t state);
const char *kc_chan_state_name(uint32_t state);

#endif
