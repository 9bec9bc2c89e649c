/* kc_holding.h for aarch64. Its own registers lie as in a frame; 16 bytes above them hold live. */
#include "arch/kc_arch.h"

    .macro move op, base
    \op x19, x20, [\base, #KC_FRAME_X19]
    \op x21, x22, [\base, #KC_FRAME_X21]
    \op x23, x24, [\base, #KC_FRAME_X23]
    \op x25, x26, [\base, #KC_FRAME_X25]
    \op x27, x28, [\base, #KC_FRAME_X27]
    \op d8, d9, [\base, #KC_FRAME_D8]
    \op d10, d11, [\base, #KC_FRAME_D10]
    \op d12, d13, [\base, #KC_FRAME_D12]
    \op d14, d15, [\base, #KC_FRAME_D14]
    .endm

    .macro enter /* x0: live */
    .cfi_startproc
    hint #34
    sub sp, sp, #KC_FRAME_BYTES + 16
    .cfi_adjust_cfa_offset KC_FRAME_BYTES + 16
    move stp, sp
    stp x29, x30, [sp, #KC_FRAME_X29]
    .cfi_rel_offset x30, KC_FRAME_X30
    mrs x9, fpcr
    str x9, [sp, #KC_FRAME_FPCR]
    str x0, [sp, #KC_FRAME_BYTES]
    ldr x9, [x0, #KC_FRAME_FPCR]
    msr fpcr, x9
    move ldp, x0
    ldr x29, [x0, #KC_FRAME_X29]
    mov x9, sp
    str x9, [x0, #KC_FRAME_X30]
    .endm

    .macro leave_
    ldr x0, [sp, #KC_FRAME_BYTES]
    move stp, x0
    str x29, [x0, #KC_FRAME_X29]
    mrs x9, fpcr
    str x9, [x0, #KC_FRAME_FPCR]
    mov x9, sp
    ldr x10, [x0, #KC_FRAME_X30]
    sub x10, x10, x9
    str x10, [x0, #KC_FRAME_X30]
    ldr x9, [sp, #KC_FRAME_FPCR]
    msr fpcr, x9
    move ldp, sp
    ldp x29, x30, [sp, #KC_FRAME_X29]
    add sp, sp, #KC_FRAME_BYTES + 16
    .cfi_adjust_cfa_offset -(KC_FRAME_BYTES + 16)
    .cfi_restore x30
    ret
    .cfi_endproc
    .endm

    .text
    .globl t_switch_holding
    .type t_switch_holding, %function
t_switch_holding: /* x0: live, x1: from, x2: to */
    enter
    mov x0, x1
    mov x1, x2
    bl kc_switch
    leave_
    .size t_switch_holding, . - t_switch_holding

    .globl t_apply_holding
    .type t_apply_holding, %function
t_apply_holding: /* x0: live, x1: staged, x2: continuation */
    enter
    mov x0, x1
    mov x1, x2
    bl kc_token_apply
    leave_
    .size t_apply_holding, . - t_apply_holding

    .globl t_continuation
    .type t_continuation, %function
t_continuation:
    .cfi_startproc
    hint #34
    mov x1, sp
    stp x29, x30, [sp, #-(KC_REG_BYTES + 16)]!
    .cfi_adjust_cfa_offset KC_REG_BYTES + 16
    .cfi_rel_offset x29, 0
    .cfi_rel_offset x30, 8
    add x0, sp, #16
    stp x19, x20, [x0, #KC_REG_X19]
    stp x21, x22, [x0, #KC_REG_X21]
    stp x23, x24, [x0, #KC_REG_X23]
    stp x25, x26, [x0, #KC_REG_X25]
    stp x27, x28, [x0, #KC_REG_X27]
    bl t_tell
    ldp x29, x30, [sp], #(KC_REG_BYTES + 16)
    .cfi_adjust_cfa_offset -(KC_REG_BYTES + 16)
    .cfi_restore x29
    .cfi_restore x30
    ret
    .cfi_endproc
    .size t_continuation, . - t_continuation

    .section .note.GNU-stack, "", %progbits
