/* kc_vm_show and kc_vm_call for aarch64 (kc_token_vm.h). */
#include "arch/kc_arch.h"

    .text
    .globl kc_vm_show
    .hidden kc_vm_show
    .type kc_vm_show, %function
    .p2align 4
kc_vm_show:
    .cfi_startproc
    hint #34
    stp x29, x30, [sp, #-(KC_REG_BYTES + 16)]!
    .cfi_adjust_cfa_offset KC_REG_BYTES + 16
    .cfi_rel_offset x29, 0
    .cfi_rel_offset x30, 8
    mov x29, sp
    add x0, sp, #16
    stp x19, x20, [x0, #KC_REG_X19]
    stp x21, x22, [x0, #KC_REG_X21]
    stp x23, x24, [x0, #KC_REG_X23]
    stp x25, x26, [x0, #KC_REG_X25]
    stp x27, x28, [x0, #KC_REG_X27]
    bl kc_vm_shown
    ldp x29, x30, [sp], #(KC_REG_BYTES + 16)
    .cfi_adjust_cfa_offset -(KC_REG_BYTES + 16)
    .cfi_restore x29
    .cfi_restore x30
    ret
    .cfi_endproc
    .size kc_vm_show, . - kc_vm_show

    .globl kc_vm_call
    .hidden kc_vm_call
    .type kc_vm_call, %function
    .p2align 4
kc_vm_call: /* x19: function, x20: argument */
    .cfi_startproc
    hint #34
    mov x0, x20
    mov x16, x19 /* a jump through x16 may land on bti c */
    br x16
    .cfi_endproc
    .size kc_vm_call, . - kc_vm_call

    .section .note.GNU-stack, "", %progbits
