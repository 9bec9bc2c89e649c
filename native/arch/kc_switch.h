/* kc_switch.h: leaving one stack for another, in assembly (native/arch/<processor>/switch.S). No scheduler and no
 * coroutine: it knows stacks only. Sanitizers are not told here; who owns the stacks tells them, around the call.
 *
 * Invariants: every register that the ABI calls callee-saved comes back as it was, the rounding mode and the other
 * control bits of floating point included. Which exceptions floating point remembers is the thread's (fpsr, x87) or
 * comes back too (MXCSR). While a context is suspended its registers lie on its own stack (kc_frame in kc_arch.h), and
 * the context is their address.
 */
#ifndef KC_SWITCH_H
#define KC_SWITCH_H

#include "arch/kc_arch.h"

typedef struct kc_context {
    void *sp; /* of the suspended; of one that runs it is stale */
} kc_context;

/* The first switch to it calls entry(arg) at the upper end of a stack: stack_top is its first address above, any
 * alignment. Floating point starts with the control bits of whoever calls this. entry never returns (that traps).
 * Needs KC_CONTEXT_BYTES of stack, touches nothing else. */
void kc_context_make(kc_context *context, void *stack_top, void (*entry)(void *arg), void *arg);

#define KC_CONTEXT_BYTES (KC_FRAME_TOP + 2 * KC_STACK_ALIGN)

/* Suspends the caller in *from and goes on where *to was suspended. It returns when somebody switches to *from, perhaps
 * on another thread: what is thread-local must be looked up again, in a function that is not inlined here. Until the
 * other side runs nobody may be given from: its registers are still being stored. */
#if defined(__x86_64__)
/* Not a call: a processor predicts returns from the calls it saw, and the return of a switch belongs to another call.
 * With jumps both ways its record stays true for the callers' returns (docs/decisions/0040). */
static inline __attribute__((always_inline)) void kc_switch(kc_context *from, const kc_context *to) {
    __asm__ volatile("leaq 1f(%%rip), %%rdx\n\t"
                     "jmp kc_switch_jump\n"
                     "1:\tendbr64"
                     : "+D"(from), "+S"(to)
                     :
                     : KC_CALL_CLOBBERS);
}
#else
void kc_switch(kc_context *from, const kc_context *to);
#endif

/* Calls continuation with the callee-saved registers of staged in place of the caller's, and puts the caller's back. */
void kc_token_apply(const kc_registers *staged, void (*continuation)(void));

#endif
