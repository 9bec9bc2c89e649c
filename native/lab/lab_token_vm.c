/* lab_token_vm.c: four registers by tokens, two from immediates and two from memory, and what is in them afterwards. */
#include <inttypes.h>
#include <stdio.h>

#include "kc_token_vm.h"

#if defined(__x86_64__)
enum { FIRST = offsetof(kc_registers, r12) / sizeof(uint64_t) };
static const uint64_t VALUES[] = {0xaaaa, 0xbbbb, 0xcccc, 0xdddd};

void kc_vm_shown(const kc_registers *live) {
    printf("r12=0x%" PRIx64 " r13=0x%" PRIx64 " r14=0x%" PRIx64 " r15=0x%" PRIx64 "\n", live->r12, live->r13, live->r14,
           live->r15);
}
#else
enum { FIRST = offsetof(kc_registers, x19) / sizeof(uint64_t) };
static const uint64_t VALUES[] = {0x1111, 0x2222, 0x3333, 0x4444};

void kc_vm_shown(const kc_registers *live) {
    printf("x19=0x%" PRIx64 " x20=0x%" PRIx64 " x21=0x%" PRIx64 " x22=0x%" PRIx64 "\n", live->x19, live->x20, live->x21,
           live->x22);
}
#endif

int main(void) {
    const kc_vm_token program[] = {
        {.op = KC_VM_LOAD_IMM, .dst = FIRST, .imm = VALUES[0]},
        {.op = KC_VM_LOAD_IMM, .dst = FIRST + 1, .imm = VALUES[1]},
        {.op = KC_VM_LOAD_MEM, .dst = FIRST + 2, .imm = (uintptr_t)&VALUES[2]},
        {.op = KC_VM_LOAD_MEM, .dst = FIRST + 3, .imm = (uintptr_t)&VALUES[3]},
        {.op = KC_VM_END, .imm = (uintptr_t)kc_vm_show},
    };
    kc_vm_record record;
    int rc = kc_vm_stage(&record, program, sizeof program / sizeof *program);

    if (rc == 0)
        kc_vm_resume(&record);
    else
        fprintf(stderr, "lab_token_vm: the program was refused (%d)\n", rc);
    return rc != 0;
}
