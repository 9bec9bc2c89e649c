/* kc_clause_order.h: in which order an unbiased select tries its clauses: from any of them on, round, forwards or
 * backwards. Not any order there is: of two that are ready each comes first as often as the other, whatever lies
 * between them; of three that stand together, and others that are never ready, the middle one comes first less often.
 *
 * By dice (splitmix64, Steele and others 2014) and not in turn: two callers who alternate would each always draw the
 * same clause.
 */
#ifndef KC_CLAUSE_ORDER_H
#define KC_CLAUSE_ORDER_H

#include <stdint.h>

typedef struct kc_clause_order {
    uint32_t first, step; /* step: 1, or one round less one */
} kc_clause_order;

#define KC_CLAUSE_ORDER_GIVEN ((kc_clause_order){.first = 0, .step = 1})

static inline kc_clause_order kc_clause_order_of(uint64_t *dice, uint32_t count) {
    uint64_t z = *dice += UINT64_C(0x9E3779B97F4A7C15);

    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    z ^= z >> 31;
    return (kc_clause_order){.first = (uint32_t)((z & UINT32_MAX) * count >> 32), .step = z >> 63 != 0 ? 1 : count - 1};
}

static inline uint32_t kc_clause_after(kc_clause_order order, uint32_t i, uint32_t count) {
    uint32_t next = i + order.step;

    return next < count ? next : next - count;
}

#endif
