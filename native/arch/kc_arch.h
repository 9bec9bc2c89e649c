/* kc_arch.h: where each saved register lies, in numbers that assembly and C share. Not an interface: kc_switch.h is.
 * The macros are the layout; the structs below repeat it in C, and static asserts hold the two together.
 * docs/arch has the same tables in prose, and a test compares them with this file. */
#ifndef KC_ARCH_H
#define KC_ARCH_H

#if defined(__x86_64__) && !defined(__ILP32__)

/* What kc_switch leaves on the stack of the one that it suspends, from its sp upwards. */
#define KC_FRAME_MXCSR 0
#define KC_FRAME_X87CW 4
#define KC_FRAME_R12 8
#define KC_FRAME_R13 16
#define KC_FRAME_R14 24
#define KC_FRAME_R15 32
#define KC_FRAME_RBX 40
#define KC_FRAME_RBP 48
#define KC_FRAME_RIP 56 /* where it goes on */
#define KC_FRAME_BYTES 64
/* Its sp when it goes on: above the frame lie the 128 bytes that the ABI lets it use below sp. */
#define KC_FRAME_TOP 192

/* The record that kc_token_apply stages. */
#define KC_REG_RBX 0
#define KC_REG_RBP 8
#define KC_REG_R12 16
#define KC_REG_R13 24
#define KC_REG_R14 32
#define KC_REG_R15 40
#define KC_REG_BYTES 48

#elif defined(__aarch64__) && !defined(__ILP32__) && !defined(__AARCH64EB__)

#define KC_FRAME_X19 0
#define KC_FRAME_X21 16
#define KC_FRAME_X23 32
#define KC_FRAME_X25 48
#define KC_FRAME_X27 64
#define KC_FRAME_X29 80
#define KC_FRAME_X30 88
#define KC_FRAME_D8 96
#define KC_FRAME_D10 112
#define KC_FRAME_D12 128
#define KC_FRAME_D14 144
#define KC_FRAME_FPCR 160
#define KC_FRAME_BYTES 176
#define KC_FRAME_TOP 176 /* its sp when it goes on */

#define KC_REG_X19 0
#define KC_REG_X21 16
#define KC_REG_X23 32
#define KC_REG_X25 48
#define KC_REG_X27 64
#define KC_REG_BYTES 80

#else
#error "kcoro's coroutines know x86_64 and little-endian aarch64 with 64-bit pointers (docs/arch/index.md)"
#endif

/* Both ABIs want it of sp at a call. */
#define KC_STACK_ALIGN 16

#ifndef __ASSEMBLER__
#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__)

/* What a call may change, for inline assembly that stands for one: all that the ABI does not call callee-saved. */
#define KC_CALL_CLOBBERS                                                                                               \
    "rax", "rcx", "rdx", "r8", "r9", "r10", "r11", "cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5",     \
        "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "mm0", "mm1", "mm2",     \
        "mm3", "mm4", "mm5", "mm6", "mm7", "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)",                 \
        "st(7)" KC_CLOBBERS_AVX512 KC_CLOBBERS_APX
#if defined(__AVX512F__)
#define KC_CLOBBERS_AVX512                                                                                             \
    , "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25", "xmm26", "xmm27",      \
        "xmm28", "xmm29", "xmm30", "xmm31", "k1", "k2", "k3", "k4", "k5", "k6", "k7"
#else
#define KC_CLOBBERS_AVX512
#endif
#if defined(__APX_F__) || defined(__APX_EGPR__)
#define KC_CLOBBERS_APX                                                                                                \
    , "r16", "r17", "r18", "r19", "r20", "r21", "r22", "r23", "r24", "r25", "r26", "r27", "r28", "r29", "r30", "r31"
#else
#define KC_CLOBBERS_APX
#endif

typedef struct kc_frame {
    uint32_t mxcsr;
    uint16_t x87cw, unused;
    uint64_t r12, r13, r14, r15, rbx, rbp, rip;
} kc_frame;

typedef struct kc_registers {
    uint64_t rbx, rbp, r12, r13, r14, r15;
} kc_registers;

_Static_assert(offsetof(kc_frame, mxcsr) == KC_FRAME_MXCSR, "layout");
_Static_assert(offsetof(kc_frame, x87cw) == KC_FRAME_X87CW, "layout");
_Static_assert(offsetof(kc_frame, r12) == KC_FRAME_R12, "layout");
_Static_assert(offsetof(kc_frame, r13) == KC_FRAME_R13, "layout");
_Static_assert(offsetof(kc_frame, r14) == KC_FRAME_R14, "layout");
_Static_assert(offsetof(kc_frame, r15) == KC_FRAME_R15, "layout");
_Static_assert(offsetof(kc_frame, rbx) == KC_FRAME_RBX, "layout");
_Static_assert(offsetof(kc_frame, rbp) == KC_FRAME_RBP, "layout");
_Static_assert(offsetof(kc_frame, rip) == KC_FRAME_RIP, "layout");
_Static_assert(offsetof(kc_registers, rbx) == KC_REG_RBX, "layout");
_Static_assert(offsetof(kc_registers, rbp) == KC_REG_RBP, "layout");
_Static_assert(offsetof(kc_registers, r12) == KC_REG_R12, "layout");
_Static_assert(offsetof(kc_registers, r13) == KC_REG_R13, "layout");
_Static_assert(offsetof(kc_registers, r14) == KC_REG_R14, "layout");
_Static_assert(offsetof(kc_registers, r15) == KC_REG_R15, "layout");

#else

typedef struct kc_frame {
    uint64_t x19, x20, x21, x22, x23, x24, x25, x26, x27, x28, x29, x30;
    uint64_t d8, d9, d10, d11, d12, d13, d14, d15;
    uint64_t fpcr, unused;
} kc_frame;

typedef struct kc_registers {
    uint64_t x19, x20, x21, x22, x23, x24, x25, x26, x27, x28;
} kc_registers;

_Static_assert(offsetof(kc_frame, x19) == KC_FRAME_X19, "layout");
_Static_assert(offsetof(kc_frame, x21) == KC_FRAME_X21, "layout");
_Static_assert(offsetof(kc_frame, x23) == KC_FRAME_X23, "layout");
_Static_assert(offsetof(kc_frame, x25) == KC_FRAME_X25, "layout");
_Static_assert(offsetof(kc_frame, x27) == KC_FRAME_X27, "layout");
_Static_assert(offsetof(kc_frame, x29) == KC_FRAME_X29, "layout");
_Static_assert(offsetof(kc_frame, x30) == KC_FRAME_X30, "layout");
_Static_assert(offsetof(kc_frame, d8) == KC_FRAME_D8, "layout");
_Static_assert(offsetof(kc_frame, d10) == KC_FRAME_D10, "layout");
_Static_assert(offsetof(kc_frame, d12) == KC_FRAME_D12, "layout");
_Static_assert(offsetof(kc_frame, d14) == KC_FRAME_D14, "layout");
_Static_assert(offsetof(kc_frame, fpcr) == KC_FRAME_FPCR, "layout");
_Static_assert(offsetof(kc_registers, x19) == KC_REG_X19, "layout");
_Static_assert(offsetof(kc_registers, x21) == KC_REG_X21, "layout");
_Static_assert(offsetof(kc_registers, x23) == KC_REG_X23, "layout");
_Static_assert(offsetof(kc_registers, x25) == KC_REG_X25, "layout");
_Static_assert(offsetof(kc_registers, x27) == KC_REG_X27, "layout");

#endif

_Static_assert(sizeof(kc_frame) == KC_FRAME_BYTES, "layout");
_Static_assert(sizeof(kc_registers) == KC_REG_BYTES, "layout");
_Static_assert(KC_FRAME_TOP >= KC_FRAME_BYTES && KC_FRAME_TOP % KC_STACK_ALIGN == 0,
               "sp keeps its alignment over a frame");

#endif
#endif
