/* kc_holding.h for x86_64. */
#include "arch/kc_arch.h"

    .macro enter /* rdi: live */
    .cfi_startproc
    endbr64
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    pushq %rdi
    subq $16, %rsp
    .cfi_adjust_cfa_offset 72
    stmxcsr (%rsp)
    fnstcw 4(%rsp)
    ldmxcsr KC_FRAME_MXCSR(%rdi)
    fldcw KC_FRAME_X87CW(%rdi)
    movq KC_FRAME_R12(%rdi), %r12
    movq KC_FRAME_R13(%rdi), %r13
    movq KC_FRAME_R14(%rdi), %r14
    movq KC_FRAME_R15(%rdi), %r15
    movq KC_FRAME_RBX(%rdi), %rbx
    movq KC_FRAME_RBP(%rdi), %rbp
    movq %rsp, KC_FRAME_RIP(%rdi)
    .endm

    .macro leave_
    movq 16(%rsp), %rdi
    stmxcsr KC_FRAME_MXCSR(%rdi)
    fnstcw KC_FRAME_X87CW(%rdi)
    movq %r12, KC_FRAME_R12(%rdi)
    movq %r13, KC_FRAME_R13(%rdi)
    movq %r14, KC_FRAME_R14(%rdi)
    movq %r15, KC_FRAME_R15(%rdi)
    movq %rbx, KC_FRAME_RBX(%rdi)
    movq %rbp, KC_FRAME_RBP(%rdi)
    subq %rsp, KC_FRAME_RIP(%rdi)
    ldmxcsr (%rsp)
    fldcw 4(%rsp)
    addq $24, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    .cfi_adjust_cfa_offset -72
    ret
    .cfi_endproc
    .endm

    .text
    .globl t_switch_holding
    .type t_switch_holding, @function
t_switch_holding: /* rdi: live, rsi: from, rdx: to */
    enter
    movq %rsi, %rdi
    movq %rdx, %rsi
    leaq 1f(%rip), %rdx
    cmpq %rdx, %rdx /* as if something had been found equal: the switch must compare by itself */
    jmp kc_switch_jump
1:
    endbr64
    leave_
    .size t_switch_holding, . - t_switch_holding

    .globl t_apply_holding
    .type t_apply_holding, @function
t_apply_holding: /* rdi: live, rsi: staged, rdx: continuation */
    enter
    movq %rsi, %rdi
    movq %rdx, %rsi
    call kc_token_apply
    leave_
    .size t_apply_holding, . - t_apply_holding

    .globl t_continuation
    .type t_continuation, @function
t_continuation:
    .cfi_startproc
    endbr64
    leaq 8(%rsp), %rsi
    subq $KC_REG_BYTES + 8, %rsp
    .cfi_adjust_cfa_offset KC_REG_BYTES + 8
    movq %rbx, KC_REG_RBX(%rsp)
    movq %rbp, KC_REG_RBP(%rsp)
    movq %r12, KC_REG_R12(%rsp)
    movq %r13, KC_REG_R13(%rsp)
    movq %r14, KC_REG_R14(%rsp)
    movq %r15, KC_REG_R15(%rsp)
    movq %rsp, %rdi
    call t_tell
    addq $KC_REG_BYTES + 8, %rsp
    .cfi_adjust_cfa_offset -(KC_REG_BYTES + 8)
    ret
    .cfi_endproc
    .size t_continuation, . - t_continuation

    .section .note.GNU-stack, "", @progbits
