/* kc_stack.h: memory that coroutines run on, and free stacks kept for the next ones. Nothing here knows what runs on
 * it.
 *
 * Invariants: below each stack lie 64 KiB that fault; a stack is in use or in a cache, never both; a cache keeps at
 * most `limit` stacks, all of one size.
 */
#ifndef KC_STACK_H
#define KC_STACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/kc_lock.h"

enum { KC_STACK_MOST_BYTES = 1 << 30 };

typedef struct kc_stack {
    uint8_t *bottom; /* the first byte that may be used; the guard ends here */
    size_t bytes;    /* 0: no stack */
    void *spare;     /* memory for the record of whoever will run here (malloc), NULL: none; it goes with the stack */
} kc_stack;

/* bytes is rounded up to pages. KC_ENOMEM, KC_EINVAL (over 1 GiB). */
int kc_stack_map(size_t bytes, kc_stack *stack_out);
/* The spare memory goes too. */
void kc_stack_unmap(kc_stack *stack);
static inline void *kc_stack_top(const kc_stack *stack) { return stack->bottom + stack->bytes; }
bool kc_stack_guards(const kc_stack *stack, const void *address);
/* From the top down to the lowest page that was ever touched and is in memory: of one that is partly swapped out too
 * little. */
size_t kc_stack_touched(const kc_stack *stack);

typedef struct kc_stack_cache {
    kc_lock lock;
    uint32_t count, limit;
    size_t bytes;     /* of each stack here */
    void *free;       /* chained through the top words of the stacks */
    uint64_t made, cached; /* stacks mapped; taken from here */
} kc_stack_cache;

void kc_stack_cache_begin(kc_stack_cache *cache, size_t bytes, uint32_t limit);
void kc_stack_cache_end(kc_stack_cache *cache);
int kc_stack_cache_take(kc_stack_cache *cache, size_t bytes, kc_stack *stack_out);
/* Takes the stack over (and empties the record). */
void kc_stack_cache_give(kc_stack_cache *cache, kc_stack *stack);

#endif
