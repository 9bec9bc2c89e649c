/* kc_token_vm.h: a program of tokens that fills a record of registers, and the resume of that record. One thread, no
 * stack of its own: a resumed record runs on the stack of whoever resumes it and returns there.
 *
 * Invariant: a program that is refused has staged nothing, so a record never goes on with half of its registers. */
#ifndef KC_TOKEN_VM_H
#define KC_TOKEN_VM_H

#include "arch/kc_switch.h"

enum kc_vm_op {
    KC_VM_LOAD_IMM = 0, /* register dst = imm */
    KC_VM_LOAD_MEM = 1, /* register dst = the 64 bits at address imm */
    KC_VM_END = 2       /* imm is the function to go on with; the last token */
};

typedef struct kc_vm_token {
    uint8_t op;
    uint8_t dst; /* the register's number in kc_registers, from 0 */
    uint16_t flags;
    uint64_t imm;
} kc_vm_token;

enum { KC_VM_REGISTERS = sizeof(kc_registers) / sizeof(uint64_t) };

typedef struct kc_vm_record {
    kc_registers staged;
    void (*go_on)(void);
} kc_vm_record;

/* Runs the program; registers it does not name are 0. KC_EINVAL: an unknown op, a register that is none, no END among
 * count tokens, or one without a function. */
int kc_vm_stage(kc_vm_record *record, const kc_vm_token *program, uint32_t count);

/* Goes on with it; returns when its function does. */
static inline void kc_vm_resume(const kc_vm_record *record) { kc_token_apply(&record->staged, record->go_on); }

/* Two functions to go on with, in assembly, because C cannot read the registers it was called with. */
void kc_vm_show(void); /* calls kc_vm_shown, which the program has, with a copy of the live registers */
void kc_vm_call(void); /* the first two registers are a function and its argument: calls it */
void kc_vm_shown(const kc_registers *live);

#endif
