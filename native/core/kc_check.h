/* kc_check.h: what the parts of kc_engine_check share. The first breach found is described, the rest of the walk goes on. */
#ifndef KC_CHECK_H
#define KC_CHECK_H

#include "kc_flow.h"
#include "kc_pool.h"

typedef struct kc_check {
    kc_engine *e;
    char *why;
    size_t why_bytes;
    uint64_t parked, held;
    bool broken;
} kc_check;

__attribute__((format(printf, 3, 4))) void kc_require(kc_check *check, bool holds, const char *format, ...);

/* Who owns what: accounts, ports, lists of tokens, blocks. */
void kc_check_costs(kc_check *check);

#endif
