/* block.c: the allocator of kc_block.h. Within a class the block freed last is used first: it is warm, and no ticket
 * ever names a block, so early reuse harms nobody. */
#include "kc_block.h"

#include "kc_account.h"
#include "kc_pool.h"

enum { UNIT_BITS = 14, UNITS = 1 << UNIT_BITS, UNIT_BYTES = KC_CHUNK_BYTES / UNITS };

typedef struct kc_block_head {
    uint32_t refs;
    uint32_t link; /* used: the account that pays; free: the unit of the next free one, 0 for none */
} kc_block_head;

/* A block of class c has 4^c units, so no two blocks of a chunk share a value of unit >> 2c: it is the place of the
 * head. The heads come first, in units of their own; unit 0 is never a block's. */
static uint32_t class_units(uint32_t class_of) { return 1U << (2 * class_of); }

static uint32_t class_bytes(uint32_t class_of) { return UNIT_BYTES * class_units(class_of); }

static uint32_t heads_units(uint32_t class_of) {
    uint32_t bytes = UNITS / class_units(class_of) * (uint32_t)sizeof(kc_block_head);

    return (bytes + UNIT_BYTES - 1) / UNIT_BYTES;
}

static uint32_t class_for(uint32_t bytes) {
    uint32_t c = 0;

    while (class_bytes(c) < bytes)
        c++;
    return c;
}

static uint8_t *chunk_base(const kc_engine *e, uint32_t chunk) {
    return e->heap.base + (size_t)chunk * KC_CHUNK_BYTES;
}

static kc_chunk *chunk_of(const kc_engine *e, uint32_t block) { return &e->heap.chunks[block >> UNIT_BITS]; }

static kc_block_head *head_of(const kc_engine *e, uint32_t chunk, uint32_t unit, uint32_t class_of) {
    return (kc_block_head *)(void *)chunk_base(e, chunk) + (unit >> (2 * class_of));
}

void *kc_block_at(const kc_engine *e, uint32_t block) { return e->heap.base + (size_t)block * UNIT_BYTES; }

uint32_t kc_block_bytes(const kc_engine *e, uint32_t block) { return class_bytes(chunk_of(e, block)->class_of); }

static KC_APART void list_chunk(kc_heap *heap, uint32_t *head, uint32_t chunk) {
    heap->chunks[chunk].prev = 0;
    heap->chunks[chunk].next = *head;
    if (*head != 0)
        heap->chunks[*head].prev = chunk;
    *head = chunk;
    heap->chunks[chunk].listed = 1;
}

static KC_APART void unlist_chunk(kc_heap *heap, uint32_t *head, uint32_t chunk) {
    kc_chunk *c = &heap->chunks[chunk];

    if (c->prev != 0)
        heap->chunks[c->prev].next = c->next;
    else
        *head = c->next;
    if (c->next != 0)
        heap->chunks[c->next].prev = c->prev;
    c->listed = 0;
}

/* An empty chunk that another class keeps; it is alone among the open ones of its class. 0 when there is none. */
static uint32_t idle_chunk(kc_heap *heap) {
    uint32_t chunk = 0;

    for (uint32_t c = 0; c < KC_CLASSES && chunk == 0; c++)
        if (heap->open[c] != 0 && heap->chunks[heap->open[c]].live == 0)
            chunk = heap->open[c];
    if (chunk != 0)
        unlist_chunk(heap, &heap->open[heap->chunks[chunk].class_of], chunk);
    return chunk;
}

static uint32_t take_listed(kc_heap *heap, uint32_t *head, uint32_t *count) {
    uint32_t chunk = *head;

    if (chunk != 0) {
        unlist_chunk(heap, head, chunk);
        --*count;
    }
    return chunk;
}

/* An empty chunk for the class, else a fresh one; 0 when the heap is full. */
static KC_RARE uint32_t another_chunk(kc_heap *heap, uint32_t class_of) {
    uint32_t chunk = 0;

    if (heap->free_chunks != 0) {
        chunk = take_listed(heap, &heap->free_chunks, &heap->free_count);
    } else if (heap->cold_chunks != 0) {
        chunk = take_listed(heap, &heap->cold_chunks, &heap->cold_count);
    } else if (heap->high < heap->capacity) {
        chunk = ++heap->high;
    } else {
        chunk = idle_chunk(heap);
    }
    if (chunk != 0) {
        heap->chunks[chunk] = (kc_chunk){.class_of = (uint8_t)class_of, .fresh = (uint16_t)heads_units(class_of)};
        list_chunk(heap, &heap->open[class_of], chunk);
    }
    return chunk;
}

/* A chunk with a free block of the class; 0 when the heap is full. */
static uint32_t open_chunk(kc_engine *e, uint32_t class_of) {
    uint32_t chunk = e->heap.open[class_of];

    return chunk != 0 ? chunk : another_chunk(&e->heap, class_of);
}

static uint32_t take_unit(kc_engine *e, uint32_t chunk, uint32_t class_of) {
    kc_chunk *c = &e->heap.chunks[chunk];
    uint32_t unit = c->free_unit;

    if (unit != 0) {
        c->free_unit = head_of(e, chunk, unit, class_of)->link;
    } else {
        unit = c->fresh;
        c->fresh = (uint16_t)(unit + class_units(class_of));
    }
    c->live++;
    if (c->free_unit == 0 && c->fresh + class_units(class_of) > UNITS)
        unlist_chunk(&e->heap, &e->heap.open[class_of], chunk);
    return unit;
}

int kc_block_take(kc_engine *e, uint32_t account, uint32_t bytes, uint32_t *block_out, kc_refusal *refusal) {
    uint32_t class_of = class_for(bytes);
    uint32_t size = class_bytes(class_of);
    uint64_t capacity = (uint64_t)e->heap.capacity * KC_CHUNK_BYTES;
    int rc = kc_account_charge_bytes(e, account, size, refusal);

    if (rc == KC_OK) {
        uint32_t chunk = kc_alloc_fails(e) ? 0 : open_chunk(e, class_of);
        if (chunk == 0) {
            kc_account_return_bytes(e, account, size);
            rc = kc_refuse(refusal, KC_ENOMEM, KC_QUOTA_ENGINE_BYTES, capacity, e->heap.used_bytes);
        } else {
            uint32_t unit = take_unit(e, chunk, class_of);
            *head_of(e, chunk, unit, class_of) = (kc_block_head){.refs = 1, .link = account};
            *block_out = chunk << UNIT_BITS | unit;
            e->heap.used_bytes += size;
        }
    }
    return rc;
}

static kc_block_head *block_head(const kc_engine *e, uint32_t block) {
    return head_of(e, block >> UNIT_BITS, block % UNITS, chunk_of(e, block)->class_of);
}

void kc_block_keep(kc_engine *e, uint32_t block) { block_head(e, block)->refs++; }

bool kc_block_drop(kc_engine *e, uint32_t block) { return --block_head(e, block)->refs == 0; }

uint32_t kc_block_refs(const kc_engine *e, uint32_t block) { return block_head(e, block)->refs; }

static KC_APART void retire_chunk(kc_heap *heap, uint32_t chunk) {
    unlist_chunk(heap, &heap->open[heap->chunks[chunk].class_of], chunk);
    list_chunk(heap, &heap->free_chunks, chunk);
    heap->free_count++;
}

void kc_block_free(kc_engine *e, uint32_t block) {
    uint32_t chunk = block >> UNIT_BITS;
    kc_chunk *c = chunk_of(e, block);
    uint32_t size = class_bytes(c->class_of);
    kc_block_head *head = block_head(e, block);

    kc_account_return_bytes(e, head->link, size);
    e->heap.used_bytes -= size;
    head->link = c->free_unit;
    c->free_unit = block % UNITS;
    c->live--;
    if (!c->listed)
        list_chunk(&e->heap, &e->heap.open[c->class_of], chunk);
    /* An empty chunk may serve another class, but the last of its class stays: a lone block must not flip it. */
    if (c->live == 0 && (c->prev != 0 || c->next != 0))
        retire_chunk(&e->heap, chunk);
    else if (c->next != 0 && e->heap.chunks[c->next].live == 0)
        retire_chunk(&e->heap, c->next);
}

uint32_t kc_block_empty_over(const kc_engine *e, uint32_t keep) {
    return e->heap.free_count > keep ? e->heap.free_count - keep : 0;
}

uint32_t kc_block_take_empty(kc_engine *e) {
    return take_listed(&e->heap, &e->heap.free_chunks, &e->heap.free_count);
}

void kc_block_put_cold(kc_engine *e, uint32_t chunk) {
    list_chunk(&e->heap, &e->heap.cold_chunks, chunk);
    e->heap.cold_count++;
}

void *kc_block_chunk(const kc_engine *e, uint32_t chunk) { return chunk_base(e, chunk); }
