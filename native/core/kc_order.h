/* kc_order.h: the order in which a select tries its clauses: the caller's, or drawn so that any is as likely as another
 * at every place of it. So of those that are ready each wins its share, wherever it stands (decision 0078).
 *
 * By dice and not in turn: two callers who alternate would each always draw the same. Where nobody is ready the clauses
 * stand in line in the caller's order, which begins with the first that was drawn.
 */
#ifndef KC_ORDER_H
#define KC_ORDER_H

#include <stdbool.h>
#include <stdint.h>

#include "kcoro/kc_wire.h"

typedef struct kc_order {
    uint8_t at[KC_MAX_CLAUSES];
} kc_order;

/* Below n, all as likely but for one part in 2^32 / n: splitmix64 (Steele and others 2014). */
static inline uint32_t kc_order_throw(uint64_t *dice, uint32_t n) {
    uint64_t z = *dice += UINT64_C(0x9E3779B97F4A7C15);

    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return (uint32_t)((((z ^ (z >> 31)) >> 32) * n) >> 32);
}

/* Durstenfeld's algorithm 235 (1964), from the inside out: each comes to any place among those before it, and who stood
 * there goes to the end. Who holds the dice holds their lock. */
static inline void kc_order_draw(kc_order *order, uint32_t count, bool biased, uint64_t *dice) {
    for (uint32_t i = 0; i < count; i++) {
        uint32_t drawn = i == 0 || biased ? i : kc_order_throw(dice, i + 1);
        order->at[i] = (uint8_t)i;
        order->at[i] = order->at[drawn];
        order->at[drawn] = (uint8_t)i;
    }
#if KC_MUTANT == 85 /* only where a select begins is drawn: it goes on in the caller's order */
    for (uint32_t i = 0, first = order->at[0]; i < count && !biased; i++)
        order->at[i] = (uint8_t)((first + i) % count);
#endif
}

#endif
