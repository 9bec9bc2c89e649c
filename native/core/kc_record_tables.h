/* kc_record_tables.h: what records stand in: lists, tables of one kind of record, memory for payload, the heap of
 * deadlines. Shapes alone; what is in a record is kc_record.h, and the code is pool.c, block.c, extra.c, deadline.c.
 *
 * Invariant: members are named by index (1..capacity, 0 = none), so that nothing here minds where the arena is mapped;
 * the bases alone are addresses.
 */
#ifndef KC_RECORD_TABLES_H
#define KC_RECORD_TABLES_H

#include <stddef.h>
#include <stdint.h>

typedef struct kc_list {
    uint32_t head, tail, count;
} kc_list;

/* A pool hands out records 1..capacity of a table. Fresh ones until `keep` are free, then the longest free first: one
 * record's generation (24 bits) then repeats only after keep * 2^24 allocations. */
typedef struct kc_pool {
    uint8_t *base;
    uint32_t record_bytes, link_offset; /* where a record keeps the next free one */
    uint32_t capacity, high, free_count, head, tail, live;
    uint32_t keep; /* free records kept before one is used again */
} kc_pool;

enum { KC_CHUNK_BYTES = 1 << 20, KC_CLASSES = 6 };
typedef struct kc_chunk {
    uint32_t next, prev; /* chunks of one class with a free block, or free chunks */
    uint32_t free_unit;  /* of the first free one, 0 for none */
    uint16_t live;
    uint16_t fresh; /* the unit of the first that was never used */
    uint8_t class_of, listed;
} kc_chunk;

typedef struct kc_heap {
    uint8_t *base;
    kc_chunk *chunks; /* 1..capacity */
    uint32_t capacity, high;
    uint32_t free_chunks, cold_chunks; /* lists of empty ones: with memory, and without (kc_engine_trim) */
    uint32_t free_count, cold_count;
    uint32_t open[KC_CLASSES];
    uint64_t used_bytes;
} kc_heap;

/* Blocks of extras, chained through their records. The count is written under the lock like all else, but a taker may
 * see without it that there is nothing to do. */
typedef struct kc_extra_list {
    uint32_t head, tail;
    _Atomic uint32_t count;
} kc_extra_list;

/* A place in the heap of deadlines: a token, or a message with KC_DUE_MESSAGE set, and when its time has come. */
#define KC_DUE_MESSAGE UINT32_C(0x80000000)
typedef struct kc_due {
    int64_t due_ns;
    uint32_t entry;
    uint32_t spare;
} kc_due;

static inline void *kc_pool_at(const kc_pool *pool, uint32_t index) {
    return pool->base + (size_t)index * pool->record_bytes;
}

#endif
