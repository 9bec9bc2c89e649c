/* switch.S (aarch64, AAPCS64): kc_switch, kc_context_make, the first frame of a stack, kc_token_apply.
 *
 * The description of a frame for unwinders is the same before and after the change of stacks inside kc_switch, because
 * both stacks carry a frame of one layout. A backtrace ends at kc_entry, whose return address is declared undefined.
 * bti c is a no-operation on processors that do not know it. */
#include "arch/kc_arch.h"

#define BTI_C hint #34

    .text

    .globl kc_switch
    .hidden kc_switch
    .type kc_switch, %function
    .p2align 4
kc_switch: /* x0: from, x1: to */
    .cfi_startproc
    BTI_C
    sub sp, sp, #KC_FRAME_TOP
    .cfi_adjust_cfa_offset KC_FRAME_TOP
    stp x19, x20, [sp, #KC_FRAME_X19]
    stp x21, x22, [sp, #KC_FRAME_X21]
    stp x23, x24, [sp, #KC_FRAME_X23]
    stp x25, x26, [sp, #KC_FRAME_X25]
    stp x27, x28, [sp, #KC_FRAME_X27]
    stp x29, x30, [sp, #KC_FRAME_X29]
    stp d8, d9, [sp, #KC_FRAME_D8]
    stp d10, d11, [sp, #KC_FRAME_D10]
    stp d12, d13, [sp, #KC_FRAME_D12]
    stp d14, d15, [sp, #KC_FRAME_D14]
    .cfi_rel_offset x19, KC_FRAME_X19
    .cfi_rel_offset x20, KC_FRAME_X19 + 8
    .cfi_rel_offset x21, KC_FRAME_X21
    .cfi_rel_offset x22, KC_FRAME_X21 + 8
    .cfi_rel_offset x23, KC_FRAME_X23
    .cfi_rel_offset x24, KC_FRAME_X23 + 8
    .cfi_rel_offset x25, KC_FRAME_X25
    .cfi_rel_offset x26, KC_FRAME_X25 + 8
    .cfi_rel_offset x27, KC_FRAME_X27
    .cfi_rel_offset x28, KC_FRAME_X27 + 8
    .cfi_rel_offset x29, KC_FRAME_X29
    .cfi_rel_offset x30, KC_FRAME_X30
    .cfi_rel_offset d8, KC_FRAME_D8
    .cfi_rel_offset d9, KC_FRAME_D8 + 8
    .cfi_rel_offset d10, KC_FRAME_D10
    .cfi_rel_offset d11, KC_FRAME_D10 + 8
    .cfi_rel_offset d12, KC_FRAME_D12
    .cfi_rel_offset d13, KC_FRAME_D12 + 8
    .cfi_rel_offset d14, KC_FRAME_D14
    .cfi_rel_offset d15, KC_FRAME_D14 + 8
    mrs x9, fpcr
    str x9, [sp, #KC_FRAME_FPCR]
    mov x10, sp
    str x10, [x0]
    ldr x10, [x1]
    mov sp, x10
    ldr x11, [sp, #KC_FRAME_FPCR]
    cmp x9, x11
    b.ne 2f /* writing fpcr may drain the pipeline */
1:
    ldp x19, x20, [sp, #KC_FRAME_X19]
    ldp x21, x22, [sp, #KC_FRAME_X21]
    ldp x23, x24, [sp, #KC_FRAME_X23]
    ldp x25, x26, [sp, #KC_FRAME_X25]
    ldp x27, x28, [sp, #KC_FRAME_X27]
    ldp x29, x30, [sp, #KC_FRAME_X29]
    ldp d8, d9, [sp, #KC_FRAME_D8]
    ldp d10, d11, [sp, #KC_FRAME_D10]
    ldp d12, d13, [sp, #KC_FRAME_D12]
    ldp d14, d15, [sp, #KC_FRAME_D14]
    add sp, sp, #KC_FRAME_TOP
    .cfi_remember_state
    .cfi_adjust_cfa_offset -KC_FRAME_TOP
    .cfi_restore x19
    .cfi_restore x20
    .cfi_restore x21
    .cfi_restore x22
    .cfi_restore x23
    .cfi_restore x24
    .cfi_restore x25
    .cfi_restore x26
    .cfi_restore x27
    .cfi_restore x28
    .cfi_restore x29
    .cfi_restore x30
    .cfi_restore d8
    .cfi_restore d9
    .cfi_restore d10
    .cfi_restore d11
    .cfi_restore d12
    .cfi_restore d13
    .cfi_restore d14
    .cfi_restore d15
    ret
2:
    .cfi_restore_state
    msr fpcr, x11
    b 1b
    .cfi_endproc
    .size kc_switch, . - kc_switch

/* The first frame of a stack. x19: entry, x20: its argument, as kc_context_make left them. */
    .type kc_entry, %function
    .p2align 4
kc_entry:
    .cfi_startproc
    .cfi_undefined x30
    nop /* an unwinder looks up the address before the one it returns to */
1:
    mov x0, x20
    blr x19
    brk #1
    .cfi_endproc
    .size kc_entry, . - kc_entry

    .globl kc_context_make
    .hidden kc_context_make
    .type kc_context_make, %function
    .p2align 4
kc_context_make: /* x0: context, x1: stack_top, x2: entry, x3: arg */
    .cfi_startproc
    BTI_C
    and x9, x1, #-KC_STACK_ALIGN
    stp xzr, xzr, [x9, #-16]! /* no caller: for those who follow frame pointers or guess */
    sub x9, x9, #KC_FRAME_TOP
    mrs x10, fpcr
    adr x11, 1b
    stp x2, x3, [x9, #KC_FRAME_X19]
    stp xzr, xzr, [x9, #KC_FRAME_X21]
    stp xzr, xzr, [x9, #KC_FRAME_X23]
    stp xzr, xzr, [x9, #KC_FRAME_X25]
    stp xzr, xzr, [x9, #KC_FRAME_X27]
    stp xzr, x11, [x9, #KC_FRAME_X29]
    stp xzr, xzr, [x9, #KC_FRAME_D8]
    stp xzr, xzr, [x9, #KC_FRAME_D10]
    stp xzr, xzr, [x9, #KC_FRAME_D12]
    stp xzr, xzr, [x9, #KC_FRAME_D14]
    stp x10, xzr, [x9, #KC_FRAME_FPCR]
    str x9, [x0]
    ret
    .cfi_endproc
    .size kc_context_make, . - kc_context_make

    .globl kc_token_apply
    .hidden kc_token_apply
    .type kc_token_apply, %function
    .p2align 4
kc_token_apply: /* x0: staged, x1: continuation */
    .cfi_startproc
    BTI_C
    stp x29, x30, [sp, #-(KC_REG_BYTES + 16)]!
    .cfi_adjust_cfa_offset KC_REG_BYTES + 16
    .cfi_rel_offset x29, 0
    .cfi_rel_offset x30, 8
    mov x29, sp
    stp x19, x20, [sp, #16 + KC_REG_X19]
    stp x21, x22, [sp, #16 + KC_REG_X21]
    stp x23, x24, [sp, #16 + KC_REG_X23]
    stp x25, x26, [sp, #16 + KC_REG_X25]
    stp x27, x28, [sp, #16 + KC_REG_X27]
    .cfi_rel_offset x19, 16 + KC_REG_X19
    .cfi_rel_offset x20, 24 + KC_REG_X19
    .cfi_rel_offset x21, 16 + KC_REG_X21
    .cfi_rel_offset x22, 24 + KC_REG_X21
    .cfi_rel_offset x23, 16 + KC_REG_X23
    .cfi_rel_offset x24, 24 + KC_REG_X23
    .cfi_rel_offset x25, 16 + KC_REG_X25
    .cfi_rel_offset x26, 24 + KC_REG_X25
    .cfi_rel_offset x27, 16 + KC_REG_X27
    .cfi_rel_offset x28, 24 + KC_REG_X27
    ldp x19, x20, [x0, #KC_REG_X19]
    ldp x21, x22, [x0, #KC_REG_X21]
    ldp x23, x24, [x0, #KC_REG_X23]
    ldp x25, x26, [x0, #KC_REG_X25]
    ldp x27, x28, [x0, #KC_REG_X27]
    blr x1
    ldp x19, x20, [sp, #16 + KC_REG_X19]
    ldp x21, x22, [sp, #16 + KC_REG_X21]
    ldp x23, x24, [sp, #16 + KC_REG_X23]
    ldp x25, x26, [sp, #16 + KC_REG_X25]
    ldp x27, x28, [sp, #16 + KC_REG_X27]
    ldp x29, x30, [sp], #(KC_REG_BYTES + 16)
    .cfi_adjust_cfa_offset -(KC_REG_BYTES + 16)
    .cfi_restore x19
    .cfi_restore x20
    .cfi_restore x21
    .cfi_restore x22
    .cfi_restore x23
    .cfi_restore x24
    .cfi_restore x25
    .cfi_restore x26
    .cfi_restore x27
    .cfi_restore x28
    .cfi_restore x29
    .cfi_restore x30
    ret
    .cfi_endproc
    .size kc_token_apply, . - kc_token_apply

    .section .note.GNU-stack, "", %progbits

/* Every place that an indirect call or jump reaches begins with bti c (aarch64 feature 1, bit 0). Return addresses are
 * not signed here, and need not be: they lie on stacks of this process, as those of its C code. */
    .section .note.gnu.property, "a"
    .p2align 3
    .long 4, 16, 5
    .asciz "GNU"
    .long 0xc0000000, 4, 1, 0
