/* kc_holding.h: assembly that fills the callee-saved registers, lets something happen, and tells what is in them then.
 * C cannot: a compiler saves and restores them itself, which would hide what a switch lost. */
#ifndef KC_HOLDING_H
#define KC_HOLDING_H

#include "arch/kc_switch.h"

/* Loads *live into its registers, switches, and stores them into *live again. In place of the address where it goes on
 * (x86_64: rip, aarch64: x30) comes by how much sp has moved: 0. */
void t_switch_holding(kc_frame *live, kc_context *from, const kc_context *to);

/* The same around kc_token_apply. */
void t_apply_holding(kc_frame *live, const kc_registers *staged, void (*continuation)(void));

/* A continuation: tells t_tell which registers it was called with and where its sp was before the call. */
void t_continuation(void);
void t_tell(const kc_registers *seen, uintptr_t sp); /* the test's */

#endif
