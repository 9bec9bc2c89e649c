/* kc_scope.h: kc_chan_waiter_scope, the owner of every waiter from publish to release.
 *
 * begin -> park -> end. Nothing else links a token into a scope or frees one.
 */
#ifndef KC_SCOPE_H
#define KC_SCOPE_H

#include "kc_token.h"

/* Charges a waiter to its scope and account and puts it into the scope. KC_EDQUOT changes nothing. */
int kc_chan_waiter_scope_admit(kc_engine *engine, uint32_t tok, kc_refusal *refusal);
/* Publishes: INIT -> ENQUEUED, clauses into their queues from number `start` on and round to those before it, the
 * deadline into the heap. The waiter was admitted. */
void kc_chan_waiter_scope_park(kc_engine *engine, uint32_t tok, uint32_t start);
/* Gives the charge of a decided waiter back; it stays in the scope until it is freed. */
void kc_chan_waiter_scope_settle(kc_engine *engine, uint32_t tok);
/* Moves the token to the messages its scope holds, the newest last. */
void kc_chan_waiter_scope_hold(kc_engine *engine, uint32_t tok);
/* Frees a decided token, or one that was never published, with its clauses. The only way a waiter's record goes. */
void kc_chan_waiter_scope_release(kc_engine *engine, uint32_t tok);

/* Takes every clause out of its queue; a STAGED message of any clause but `winner` (0 = none) is freed. */
void kc_waiter_unlink(kc_engine *engine, uint32_t tok, uint32_t winner);

#endif
