/* kc_msg.h: message records: made STAGED, ended to FREE. Where they stand in between is the channel's business. */
#ifndef KC_MSG_H
#define KC_MSG_H

#include "kc_body.h"

/* Who sends it, and until when it is wanted (0 = for ever). */
typedef struct kc_origin {
    uint32_t account, pid;
    int64_t expires_ns;
} kc_origin;
/* Makes a STAGED message of the body and empties it (KC_OK); on failure the body stays the caller's. */
int kc_msg_stage(kc_engine *engine, kc_origin from, uint32_t chan, kc_body *body, uint32_t *msg_out,
                 kc_refusal *refusal);
/* STAGED, DONE or DROPPED -> FREE. The payload goes to body_out, or is given back when that is NULL. */
void kc_msg_free(kc_engine *engine, uint32_t msg, kc_body *body_out);
kc_body kc_msg_body(const kc_msg *msg);
bool kc_msg_step(kc_engine *engine, kc_msg *msg, uint32_t to, uint32_t attempts, uint32_t flags, uint32_t tok);

#endif
