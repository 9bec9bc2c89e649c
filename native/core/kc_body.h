/* kc_body.h: payloads as chains of blocks, for callers that hold the lock. The public verbs are in kc_engine.h. */
#ifndef KC_BODY_H
#define KC_BODY_H

#include "kc_extra.h"

int kc_body_fill(kc_engine *engine, uint32_t account, const void *data, uint32_t len_bytes, kc_body *body_out,
                 kc_refusal *refusal);
/* An empty body of that length, then memory of it from offset on, taken when it is missing (kc_body_open,
 * kc_body_room). */
int kc_body_begin(kc_engine *engine, uint32_t account, uint32_t len_bytes, kc_body *body, kc_refusal *refusal);
int kc_body_piece(kc_engine *engine, kc_body *body, uint32_t offset, void **memory_out, uint32_t *room_out,
                  kc_refusal *refusal);
void kc_body_release(kc_engine *engine, kc_body *body);
/* The same for one that was not sent after all (kc_body_forget). */
void kc_body_retract(kc_engine *engine, kc_body *body);
void kc_body_read(const kc_engine *engine, const kc_body *body, uint32_t offset, void *buffer, uint32_t len_bytes);

#endif
