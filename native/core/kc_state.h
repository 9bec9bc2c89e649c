/* kc_state.h: every state of every truth word, and every step that is allowed, as data.
 *
 * This table and those who store words by it (kc_word.h; of waiters of channels apart cell_wait.c) alone write states.
 * The documentation's tables are generated from the X lists below (tools/gen_states.py): X(from, to, who, when).
 * A step that is not listed poisons the channel it was tried on; it never happens silently.
 */
#ifndef KC_STATE_H
#define KC_STATE_H

/* A token is one waiting or holding operation. CLAIMED and CANCELLED are final; only the owner frees. */
#define KC_TOK_STATES(X) X(FREE) X(INIT) X(ENQUEUED) X(TAKEN) X(CLAIMED) X(CANCELLED)
#define KC_TOK_STEPS(X)                                                                       \
    X(FREE, INIT, "owner", "an operation that parks, holds or confirms gets its record")      \
    X(INIT, FREE, "owner or its cancel", "it could not be published: a quota or memory refused, or it was given up") \
    X(INIT, ENQUEUED, "owner", "all clauses are linked: the waiter is published")             \
    X(INIT, CLAIMED, "owner", "a receive completes at once and holds its message")            \
    X(INIT, TAKEN, "owner", "a send that wants the ack is accepted at once")                  \
    X(ENQUEUED, CLAIMED, "peer or closer", "a match, room, the end of the channel")           \
    X(ENQUEUED, TAKEN, "peer", "a send that wants the ack is matched or promoted")            \
    X(ENQUEUED, CANCELLED, "owner or clock", "cancel, deadline, death of the owner")          \
    X(TAKEN, CLAIMED, "acker, dropper, owner or clock", "acknowledged, lost, or unconfirmed") \
    X(CLAIMED, FREE, "owner", "the result was taken, the message settled")                    \
    X(CANCELLED, FREE, "owner", "the result was taken")

/* A message. STAGED belongs to a sender's operation; HELD(token) to exactly one receive. */
#define KC_MSG_STATES(X) X(FREE) X(STAGED) X(READY) X(HELD) X(DONE) X(DROPPED)
#define KC_MSG_STEPS(X)                                                                  \
    X(FREE, STAGED, "sender", "its payload is written")                                  \
    X(STAGED, FREE, "sender", "cancelled, or a losing clause of a select")               \
    X(STAGED, READY, "sender or promoter", "accepted into the channel")                  \
    X(STAGED, HELD, "active side", "matched with a receive that holds it")               \
    X(STAGED, DONE, "receiver", "matched with a receive that completes at once")         \
    X(READY, HELD, "receiver or deliverer", "taken, or delivered to a parked receive")   \
    X(READY, DONE, "receiver", "taken by a receive that completes at once")              \
    X(READY, DROPPED, "sender, closer or clock", "evicted, purged, expired, or its channel destroyed") \
    X(HELD, DONE, "receiver", "acknowledged, or the kernel took the last byte")          \
    X(HELD, READY, "receiver or reaper", "nack, death: back to its place, attempts + 1") \
    X(HELD, DROPPED, "receiver or reaper", "undelivered or expired: dropped or dead-lettered") \
    X(DONE, FREE, "receiver", "its payload was handed on or given back")                 \
    X(DROPPED, FREE, "dropper", "its payload was handed on or given back")

#define KC_CHAN_STATES(X) X(FREE) X(OPEN) X(CLOSING) X(CLOSED) X(DESTROYED)
#define KC_CHAN_STEPS(X)                                                                     \
    X(FREE, OPEN, "maker", "made")                                                           \
    X(OPEN, CLOSING, "closer", "no new sends; what is there drains")                         \
    X(CLOSING, CLOSED, "whoever removes the last", "no READY, no parked sender, no HELD")    \
    X(OPEN, DESTROYED, "destroyer", "parked sides end, waiting messages are undelivered")    \
    X(CLOSING, DESTROYED, "destroyer", "the same")                                           \
    X(CLOSED, DESTROYED, "destroyer", "the same; nothing waits")                             \
    X(DESTROYED, FREE, "last reference", "no handle and no held message is left")

#define KC_SCOPE_STATES(X) X(FREE) X(LIVE)
#define KC_SCOPE_STEPS(X)                                          \
    X(FREE, LIVE, "owner", "begin")                                \
    X(LIVE, FREE, "owner", "end: every waiter and child is gone")

/* Shared memory that its maker registered; `in flight` are its descriptors that live. */
#define KC_REGION_STATES(X) X(FREE) X(OPEN) X(CLOSING) X(ENDED)
#define KC_REGION_STEPS(X)                                                             \
    X(FREE, OPEN, "owner", "registered")                                               \
    X(OPEN, CLOSING, "owner", "dropped: no new ranges, what is in flight comes home")  \
    X(CLOSING, ENDED, "whoever gives back the last", "nothing is in flight")           \
    X(ENDED, FREE, "taker of ends", "its file was handed on, to be closed")

#define KC_X_TOK(state) KC_TOK_##state,
#define KC_X_MSG(state) KC_MSG_##state,
#define KC_X_CHAN(state) KC_CHAN_##state,
#define KC_X_SCOPE(state) KC_SCOPE_##state,
#define KC_X_REGION(state) KC_REGION_##state,
enum kc_tok_state { KC_TOK_STATES(KC_X_TOK) KC_TOK_STATE_COUNT };
enum kc_msg_state { KC_MSG_STATES(KC_X_MSG) KC_MSG_STATE_COUNT };
enum kc_chan_state { KC_CHAN_STATES(KC_X_CHAN) KC_CHAN_STATE_COUNT };
enum kc_scope_state { KC_SCOPE_STATES(KC_X_SCOPE) KC_SCOPE_STATE_COUNT };
enum kc_region_state { KC_REGION_STATES(KC_X_REGION) KC_REGION_STATE_COUNT };

#endif
