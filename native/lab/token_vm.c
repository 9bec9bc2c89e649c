/* token_vm.c: stages a program of tokens. It does not run what it stages: kc_vm_resume does. */
#include <string.h>

#include "kc_token_vm.h"
#include "kcoro/kc_types.h"

/* The code of one token, which is KC_OK or KC_EINVAL; *ended after END. */
static int step(kc_vm_record *record, const kc_vm_token *token, int *ended) {
    uint64_t value = token->imm;
    int rc = KC_EINVAL;

    if (token->op == KC_VM_END && token->imm != 0) {
        record->go_on = (void (*)(void))(uintptr_t)token->imm;
        *ended = 1;
        rc = KC_OK;
    } else if (token->op < KC_VM_END && token->dst < KC_VM_REGISTERS && !(token->op == KC_VM_LOAD_MEM && value == 0)) {
        if (token->op == KC_VM_LOAD_MEM)
            value = *(const uint64_t *)(uintptr_t)token->imm;
        ((uint64_t *)(void *)&record->staged)[token->dst] = value;
        rc = KC_OK;
    }
    return rc;
}

int kc_vm_stage(kc_vm_record *record, const kc_vm_token *program, uint32_t count) {
    kc_vm_record made = {0};
    int ended = 0;
    int rc = KC_OK;

    for (uint32_t i = 0; i < count && rc == KC_OK && !ended; i++)
        rc = step(&made, &program[i], &ended);
    if (!ended)
        rc = KC_EINVAL;
    if (rc == KC_OK)
        *record = made;
    return rc;
}
