/* word.c: the transition tables of kc_state.h as bit masks, and the names of the states.
 *
 * A mask for state F is the sum, over the list of steps, of the bits of those that leave F; the compiler folds it.
 */
#include "kc_word.h"

#define BIT(kind, f, from, to) ((kind##from) == (f) ? 1U << (kind##to) : 0U)

#define TOK_FROM_FREE(from, to, who, when) | BIT(KC_TOK_, KC_TOK_FREE, from, to)
#define TOK_FROM_INIT(from, to, who, when) | BIT(KC_TOK_, KC_TOK_INIT, from, to)
#define TOK_FROM_ENQUEUED(from, to, who, when) | BIT(KC_TOK_, KC_TOK_ENQUEUED, from, to)
#define TOK_FROM_TAKEN(from, to, who, when) | BIT(KC_TOK_, KC_TOK_TAKEN, from, to)
#define TOK_FROM_CLAIMED(from, to, who, when) | BIT(KC_TOK_, KC_TOK_CLAIMED, from, to)
#define TOK_FROM_CANCELLED(from, to, who, when) | BIT(KC_TOK_, KC_TOK_CANCELLED, from, to)
const uint16_t kc_tok_steps[16] = {
    [KC_TOK_FREE] = (uint16_t)(0U KC_TOK_STEPS(TOK_FROM_FREE)),
    [KC_TOK_INIT] = (uint16_t)(0U KC_TOK_STEPS(TOK_FROM_INIT)),
    [KC_TOK_ENQUEUED] = (uint16_t)(0U KC_TOK_STEPS(TOK_FROM_ENQUEUED)),
    [KC_TOK_TAKEN] = (uint16_t)(0U KC_TOK_STEPS(TOK_FROM_TAKEN)),
    [KC_TOK_CLAIMED] = (uint16_t)(0U KC_TOK_STEPS(TOK_FROM_CLAIMED)),
    [KC_TOK_CANCELLED] = (uint16_t)(0U KC_TOK_STEPS(TOK_FROM_CANCELLED)),
};

#define MSG_FROM_FREE(from, to, who, when) | BIT(KC_MSG_, KC_MSG_FREE, from, to)
#define MSG_FROM_STAGED(from, to, who, when) | BIT(KC_MSG_, KC_MSG_STAGED, from, to)
#define MSG_FROM_READY(from, to, who, when) | BIT(KC_MSG_, KC_MSG_READY, from, to)
#define MSG_FROM_HELD(from, to, who, when) | BIT(KC_MSG_, KC_MSG_HELD, from, to)
#define MSG_FROM_DONE(from, to, who, when) | BIT(KC_MSG_, KC_MSG_DONE, from, to)
#define MSG_FROM_DROPPED(from, to, who, when) | BIT(KC_MSG_, KC_MSG_DROPPED, from, to)
const uint16_t kc_msg_steps[16] = {
    [KC_MSG_FREE] = (uint16_t)(0U KC_MSG_STEPS(MSG_FROM_FREE)),
    [KC_MSG_STAGED] = (uint16_t)(0U KC_MSG_STEPS(MSG_FROM_STAGED)),
    [KC_MSG_READY] = (uint16_t)(0U KC_MSG_STEPS(MSG_FROM_READY)),
    [KC_MSG_HELD] = (uint16_t)(0U KC_MSG_STEPS(MSG_FROM_HELD)),
    [KC_MSG_DONE] = (uint16_t)(0U KC_MSG_STEPS(MSG_FROM_DONE)),
    [KC_MSG_DROPPED] = (uint16_t)(0U KC_MSG_STEPS(MSG_FROM_DROPPED)),
};

#define CHAN_FROM_FREE(from, to, who, when) | BIT(KC_CHAN_, KC_CHAN_FREE, from, to)
#define CHAN_FROM_OPEN(from, to, who, when) | BIT(KC_CHAN_, KC_CHAN_OPEN, from, to)
#define CHAN_FROM_CLOSING(from, to, who, when) | BIT(KC_CHAN_, KC_CHAN_CLOSING, from, to)
#define CHAN_FROM_CLOSED(from, to, who, when) | BIT(KC_CHAN_, KC_CHAN_CLOSED, from, to)
#define CHAN_FROM_DESTROYED(from, to, who, when) | BIT(KC_CHAN_, KC_CHAN_DESTROYED, from, to)
const uint16_t kc_chan_steps[16] = {
    [KC_CHAN_FREE] = (uint16_t)(0U KC_CHAN_STEPS(CHAN_FROM_FREE)),
    [KC_CHAN_OPEN] = (uint16_t)(0U KC_CHAN_STEPS(CHAN_FROM_OPEN)),
    [KC_CHAN_CLOSING] = (uint16_t)(0U KC_CHAN_STEPS(CHAN_FROM_CLOSING)),
    [KC_CHAN_CLOSED] = (uint16_t)(0U KC_CHAN_STEPS(CHAN_FROM_CLOSED)),
    [KC_CHAN_DESTROYED] = (uint16_t)(0U KC_CHAN_STEPS(CHAN_FROM_DESTROYED)),
};

#define SCOPE_FROM_FREE(from, to, who, when) | BIT(KC_SCOPE_, KC_SCOPE_FREE, from, to)
#define SCOPE_FROM_LIVE(from, to, who, when) | BIT(KC_SCOPE_, KC_SCOPE_LIVE, from, to)
const uint16_t kc_scope_steps[16] = {
    [KC_SCOPE_FREE] = (uint16_t)(0U KC_SCOPE_STEPS(SCOPE_FROM_FREE)),
    [KC_SCOPE_LIVE] = (uint16_t)(0U KC_SCOPE_STEPS(SCOPE_FROM_LIVE)),
};

#define TOK_NAME(state) #state,
static const char *const tok_names[] = {KC_TOK_STATES(TOK_NAME)};
const char *kc_tok_state_name(uint32_t state) {
    return state < KC_TOK_STATE_COUNT ? tok_names[state] : "?";
}

#define MSG_NAME(state) #state,
static const char *const msg_names[] = {KC_MSG_STATES(MSG_NAME)};
const char *kc_msg_state_name(uint32_t state) {
    return state < KC_MSG_STATE_COUNT ? msg_names[state] : "?";
}

#define CHAN_NAME(state) #state,
static const char *const chan_names[] = {KC_CHAN_STATES(CHAN_NAME)};
const char *kc_chan_state_name(uint32_t state) {
    return state < KC_CHAN_STATE_COUNT ? chan_names[state] : "?";
}
