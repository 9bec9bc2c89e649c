/* The token interpreter of the labs: what it stages, and which programs it refuses without staging anything. */
#include "kc_test.h"
#include "kcoro/kc_types.h"
#include "lab/kc_token_vm.h"

static kc_registers shown;
static int showings;

void kc_vm_shown(const kc_registers *live) {
    shown = *live;
    showings++;
}

static const uint64_t MEMORY = 0x1234567890abcdef;

static const kc_vm_token GOOD[] = {
    {.op = KC_VM_LOAD_IMM, .dst = 0, .imm = 1},
    {.op = KC_VM_LOAD_IMM, .dst = KC_VM_REGISTERS - 1, .imm = UINT64_MAX},
    {.op = KC_VM_LOAD_MEM, .dst = 2, .imm = (uintptr_t)&MEMORY},
    {.op = KC_VM_END, .imm = (uintptr_t)kc_vm_show},
};

KC_TEST(a_program_fills_the_registers_that_its_function_is_called_with) {
    kc_vm_record record;
    uint64_t want[KC_VM_REGISTERS] = {1, 0, MEMORY};

    want[KC_VM_REGISTERS - 1] = UINT64_MAX;
    showings = 0;
    KC_CHECK_EQ(kc_vm_stage(&record, GOOD, 4), KC_OK);
    kc_vm_resume(&record);
    kc_vm_resume(&record);
    KC_CHECK_EQ(showings, 2);
    KC_CHECK_MEM(&shown, want, sizeof want);
}

KC_TEST(nothing_after_the_end_is_looked_at) {
    kc_vm_token program[5];
    kc_vm_record record;

    memcpy(program, GOOD, sizeof GOOD);
    program[4] = (kc_vm_token){.op = 99};
    KC_CHECK_EQ(kc_vm_stage(&record, program, 5), KC_OK);
}

static void refuse(uint32_t at, kc_vm_token bad, uint32_t count) {
    kc_vm_token program[4];
    kc_vm_record record, before;

    memset(&record, 0x5a, sizeof record);
    memset(&before, 0x5a, sizeof before);
    memcpy(program, GOOD, sizeof program);
    program[at] = bad;
    KC_CHECK_EQ(kc_vm_stage(&record, program, count), KC_EINVAL);
    KC_CHECK_MEM(&record, &before, sizeof record);
}

KC_TEST(a_refused_program_stages_nothing) {
    refuse(1, (kc_vm_token){.op = KC_VM_END + 1}, 4);
    refuse(1, (kc_vm_token){.op = UINT8_MAX}, 4);
    refuse(1, (kc_vm_token){.op = KC_VM_LOAD_IMM, .dst = KC_VM_REGISTERS}, 4);
    refuse(2, (kc_vm_token){.op = KC_VM_LOAD_MEM, .dst = UINT8_MAX, .imm = (uintptr_t)&MEMORY}, 4);
    refuse(2, (kc_vm_token){.op = KC_VM_LOAD_MEM, .dst = 2, .imm = 0}, 4);
    refuse(3, (kc_vm_token){.op = KC_VM_END, .imm = 0}, 4);
    refuse(3, GOOD[0], 4);
    refuse(0, GOOD[0], 3);
    refuse(0, GOOD[0], 0);
}

int main(void) {
    KC_RUN(a_program_fills_the_registers_that_its_function_is_called_with);
    KC_RUN(nothing_after_the_end_is_looked_at);
    KC_RUN(a_refused_program_stages_nothing);
    return kc_test_report();
}
