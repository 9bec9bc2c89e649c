/* kc_check.h: what the parts of kc_engine_check share. The first breach found is described, the rest of the walk goes
 * on. */
#ifndef KC_CHECK_H
#define KC_CHECK_H

#include "kc_flow.h"
#include "kc_pool.h"

typedef struct kc_check {
    kc_engine *e;
    char *why;
    size_t why_bytes;
    uint64_t parked, held;
    uint32_t timed, expiring; /* tokens and messages that belong in the deadline heap */
    bool broken;
} kc_check;

/* What READY and HELD messages add to their channel, counted again. */
typedef struct kc_load {
    uint64_t bytes;
    uint32_t descs, files;
} kc_load;
void kc_weigh(const kc_check *check, const kc_msg *msg, kc_load *load);

__attribute__((format(printf, 3, 4))) void kc_require(kc_check *check, bool holds, const char *format, ...);

/* A channel apart: its cells (kc_cell.h). */
void kc_check_apart(kc_check *check, uint32_t chan);
/* Who owns what: accounts, ports, lists of tokens, blocks. */
void kc_check_costs(kc_check *check);

#endif
