/* word.c: the transition tables of kc_state.h as matrices, and the names of the states. */
#include "kc_word.h"

#define TOK_STEP(from, to, who, when) [KC_TOK_##from][KC_TOK_##to] = 1,
const kc_steps kc_tok_steps = {KC_TOK_STEPS(TOK_STEP)};

#define MSG_STEP(from, to, who, when) [KC_MSG_##from][KC_MSG_##to] = 1,
const kc_steps kc_msg_steps = {KC_MSG_STEPS(MSG_STEP)};

#define CHAN_STEP(from, to, who, when) [KC_CHAN_##from][KC_CHAN_##to] = 1,
const kc_steps kc_chan_steps = {KC_CHAN_STEPS(CHAN_STEP)};

#define SCOPE_STEP(from, to, who, when) [KC_SCOPE_##from][KC_SCOPE_##to] = 1,
const kc_steps kc_scope_steps = {KC_SCOPE_STEPS(SCOPE_STEP)};

#define REGION_STEP(from, to, who, when) [KC_REGION_##from][KC_REGION_##to] = 1,
const kc_steps kc_region_steps = {KC_REGION_STEPS(REGION_STEP)};

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
