/* kc_vm_show and kc_vm_call for x86_64 (kc_token_vm.h). */
#include "arch/kc_arch.h"

    .text
    .globl kc_vm_show
    .hidden kc_vm_show
    .type kc_vm_show, @function
    .p2align 4
kc_vm_show:
    .cfi_startproc
    endbr64
    subq $KC_REG_BYTES + 8, %rsp
    .cfi_adjust_cfa_offset KC_REG_BYTES + 8
    movq %rbx, KC_REG_RBX(%rsp)
    movq %rbp, KC_REG_RBP(%rsp)
    movq %r12, KC_REG_R12(%rsp)
    movq %r13, KC_REG_R13(%rsp)
    movq %r14, KC_REG_R14(%rsp)
    movq %r15, KC_REG_R15(%rsp)
    movq %rsp, %rdi
    call kc_vm_shown
    addq $KC_REG_BYTES + 8, %rsp
    .cfi_adjust_cfa_offset -(KC_REG_BYTES + 8)
    ret
    .cfi_endproc
    .size kc_vm_show, . - kc_vm_show

    .globl kc_vm_call
    .hidden kc_vm_call
    .type kc_vm_call, @function
    .p2align 4
kc_vm_call: /* rbx: function, rbp: argument */
    .cfi_startproc
    endbr64
    movq %rbp, %rdi
    jmp *%rbx
    .cfi_endproc
    .size kc_vm_call, . - kc_vm_call

    .section .note.GNU-stack, "", @progbits
