/* kc_token.h: token records, their deadlines, and the ports where their results wait. */
#ifndef KC_TOKEN_H
#define KC_TOKEN_H

#include "kc_record.h"

/* FREE -> INIT with the operation's fields; KC_EINVAL for an unknown port, KC_ENOMEM when the table is full. */
int kc_tok_make(kc_engine *engine, const kc_op *op, uint32_t scope, uint32_t *tok_out, kc_refusal *refusal);
/* INIT, CLAIMED or CANCELLED -> FREE; leaves heap, port. Only scope.c calls it (the one place that frees a waiter). */
void kc_tok_free(kc_engine *engine, uint32_t tok);
bool kc_tok_step(kc_engine *engine, kc_tok *tok, uint32_t to, uint32_t res, uint32_t clause, uint32_t msg);

/* due_ns: KC_NEVER for one that waits without end. */
void kc_deadline_add(kc_engine *engine, uint32_t tok, int64_t due_ns);
void kc_deadline_remove(kc_engine *engine, uint32_t tok);
/* The same for a READY message that expires, and is there. */
void kc_deadline_add_message(kc_engine *engine, uint32_t msg);
void kc_deadline_remove_message(kc_engine *engine, uint32_t msg);
/* Whose deadline comes first: a token, or a message; both 0 when there is none. */
typedef struct kc_deadline {
    uint32_t tok, msg;
} kc_deadline;
kc_deadline kc_deadline_first(const kc_engine *engine);
int64_t kc_deadline_next_ns(const kc_engine *engine); /* KC_NEVER */

/* Its result waits from now on; an armed port will be rung after the lock is given back. */
void kc_port_push(kc_engine *engine, uint32_t tok);
void kc_port_unlink(kc_engine *engine, uint32_t tok);

#endif
