/* switch.S (x86_64, System V ABI): the body of kc_switch, kc_context_make, the first frame of a stack, kc_token_apply.
 *
 * The description of a frame for unwinders is the same before and after the change of stacks inside the switch, because
 * both stacks carry a frame of one layout. A backtrace ends at kc_entry, whose return address is declared undefined. */
#include "arch/kc_arch.h"

    .text

    .globl kc_switch_jump
    .hidden kc_switch_jump
    .type kc_switch_jump, @function
    .p2align 4
kc_switch_jump: /* rdi: from, rsi: to, rdx: where from goes on; jumped to, so sp is the caller's own */
    .cfi_startproc
    .cfi_def_cfa_offset 0
    .cfi_register rip, rdx
    leaq -KC_FRAME_TOP(%rsp), %rsp
    .cfi_def_cfa_offset KC_FRAME_TOP
    movq %rdx, KC_FRAME_RIP(%rsp)
    movq %r12, KC_FRAME_R12(%rsp)
    movq %r13, KC_FRAME_R13(%rsp)
    movq %r14, KC_FRAME_R14(%rsp)
    movq %r15, KC_FRAME_R15(%rsp)
    movq %rbx, KC_FRAME_RBX(%rsp)
    movq %rbp, KC_FRAME_RBP(%rsp)
    .cfi_rel_offset rip, KC_FRAME_RIP
    .cfi_rel_offset r12, KC_FRAME_R12
    .cfi_rel_offset r13, KC_FRAME_R13
    .cfi_rel_offset r14, KC_FRAME_R14
    .cfi_rel_offset r15, KC_FRAME_R15
    .cfi_rel_offset rbx, KC_FRAME_RBX
    .cfi_rel_offset rbp, KC_FRAME_RBP
    stmxcsr KC_FRAME_MXCSR(%rsp)
    fnstcw KC_FRAME_X87CW(%rsp)
    movzwl KC_FRAME_X87CW(%rsp), %ecx /* as wide as the store: it is forwarded */
    movq %rsp, (%rdi)
    movq (%rsi), %rsp
    ldmxcsr KC_FRAME_MXCSR(%rsp)
    cmpw KC_FRAME_X87CW(%rsp), %cx
    jne 2f /* fldcw takes longer than the comparison; ldmxcsr does not */
1:
    movq KC_FRAME_R12(%rsp), %r12
    movq KC_FRAME_R13(%rsp), %r13
    movq KC_FRAME_R14(%rsp), %r14
    movq KC_FRAME_R15(%rsp), %r15
    movq KC_FRAME_RBX(%rsp), %rbx
    movq KC_FRAME_RBP(%rsp), %rbp
    movq KC_FRAME_RIP(%rsp), %rdx
    leaq KC_FRAME_TOP(%rsp), %rsp
    .cfi_remember_state
    .cfi_def_cfa_offset 0
    .cfi_register rip, rdx
    .cfi_restore r12
    .cfi_restore r13
    .cfi_restore r14
    .cfi_restore r15
    .cfi_restore rbx
    .cfi_restore rbp
    jmp *%rdx
2:
    .cfi_restore_state
    fldcw KC_FRAME_X87CW(%rsp)
    jmp 1b
    .cfi_endproc
    .size kc_switch_jump, . - kc_switch_jump

/* The first frame of a stack. r12: entry, r13: its argument, as kc_context_make left them; sp is aligned. */
    .type kc_entry, @function
    .p2align 4
kc_entry:
    .cfi_startproc
    .cfi_undefined rip
    nop /* an unwinder looks up the address before the one it returns to */
1:
    endbr64
    movq %r13, %rdi
    call *%r12
    ud2
    .cfi_endproc
    .size kc_entry, . - kc_entry

    .globl kc_context_make
    .hidden kc_context_make
    .type kc_context_make, @function
    .p2align 4
kc_context_make: /* rdi: context, rsi: stack_top, rdx: entry, rcx: arg */
    .cfi_startproc
    endbr64
    andq $-KC_STACK_ALIGN, %rsi
    xorl %eax, %eax
    movq %rax, -8(%rsi) /* no caller: for those who follow frame pointers or guess */
    movq %rax, -16(%rsi)
    leaq -(KC_FRAME_TOP + 16)(%rsi), %rsi
    stmxcsr KC_FRAME_MXCSR(%rsi)
    movl %eax, KC_FRAME_X87CW(%rsi)
    fnstcw KC_FRAME_X87CW(%rsi)
    movq %rdx, KC_FRAME_R12(%rsi)
    movq %rcx, KC_FRAME_R13(%rsi)
    movq %rax, KC_FRAME_R14(%rsi)
    movq %rax, KC_FRAME_R15(%rsi)
    movq %rax, KC_FRAME_RBX(%rsi)
    movq %rax, KC_FRAME_RBP(%rsi)
    leaq 1b(%rip), %rax
    movq %rax, KC_FRAME_RIP(%rsi)
    movq %rsi, (%rdi)
    ret
    .cfi_endproc
    .size kc_context_make, . - kc_context_make

    .globl kc_token_apply
    .hidden kc_token_apply
    .type kc_token_apply, @function
    .p2align 4
kc_token_apply: /* rdi: staged, rsi: continuation */
    .cfi_startproc
    endbr64
    leaq -(KC_REG_BYTES + 8)(%rsp), %rsp /* and sp is a multiple of 16 */
    .cfi_adjust_cfa_offset KC_REG_BYTES + 8
    movq %rbx, KC_REG_RBX(%rsp)
    movq %rbp, KC_REG_RBP(%rsp)
    movq %r12, KC_REG_R12(%rsp)
    movq %r13, KC_REG_R13(%rsp)
    movq %r14, KC_REG_R14(%rsp)
    movq %r15, KC_REG_R15(%rsp)
    .cfi_rel_offset rbx, KC_REG_RBX
    .cfi_rel_offset rbp, KC_REG_RBP
    .cfi_rel_offset r12, KC_REG_R12
    .cfi_rel_offset r13, KC_REG_R13
    .cfi_rel_offset r14, KC_REG_R14
    .cfi_rel_offset r15, KC_REG_R15
    movq KC_REG_RBX(%rdi), %rbx
    movq KC_REG_RBP(%rdi), %rbp
    movq KC_REG_R12(%rdi), %r12
    movq KC_REG_R13(%rdi), %r13
    movq KC_REG_R14(%rdi), %r14
    movq KC_REG_R15(%rdi), %r15
    call *%rsi
    movq KC_REG_RBX(%rsp), %rbx
    movq KC_REG_RBP(%rsp), %rbp
    movq KC_REG_R12(%rsp), %r12
    movq KC_REG_R13(%rsp), %r13
    movq KC_REG_R14(%rsp), %r14
    movq KC_REG_R15(%rsp), %r15
    leaq (KC_REG_BYTES + 8)(%rsp), %rsp
    .cfi_adjust_cfa_offset -(KC_REG_BYTES + 8)
    .cfi_restore rbx
    .cfi_restore rbp
    .cfi_restore r12
    .cfi_restore r13
    .cfi_restore r14
    .cfi_restore r15
    ret
    .cfi_endproc
    .size kc_token_apply, . - kc_token_apply

    .section .note.GNU-stack, "", @progbits

/* Indirect branch tracking is kept (x86 feature 1, bit 0). Shadow stacks are not: a switch would have to change those
 * too, so a program with this in it runs without them. */
    .section .note.gnu.property, "a"
    .p2align 3
    .long 4, 16, 5
    .asciz "GNU"
    .long 0xc0000002, 4, 1, 0
