/* stack.c: stacks by mmap(2), their guards, and the cache (kc_stack.h).
 *
 * A cached stack keeps the pages that it has touched: the next coroutine most likely touches them too, and giving them
 * back costs two system calls each time. The cache is bounded, so is this. */
#include "kc_stack.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kcoro/kc_types.h"

/* Address space only. A frame may be as large before it can step over it. */
enum { GUARD_BYTES = 64 << 10 };

static size_t page_bytes(void) { return (size_t)sysconf(_SC_PAGESIZE); }

static size_t round_up(size_t bytes) {
    size_t page = page_bytes();

    return (bytes + page - 1) / page * page;
}

static size_t guard_bytes(void) { return round_up(GUARD_BYTES); }

int kc_stack_map(size_t bytes, kc_stack *stack_out) {
    size_t guard = guard_bytes();
    size_t whole = round_up(bytes) + guard;
    void *memory = MAP_FAILED;
    int rc = bytes != 0 && bytes <= KC_STACK_MOST_BYTES ? KC_OK : KC_EINVAL;

    if (rc == KC_OK) {
        memory =
            mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
        rc = memory != MAP_FAILED ? KC_OK : KC_ENOMEM;
    }
    if (rc == KC_OK && mprotect(memory, guard, PROT_NONE) != 0) { /* too many mappings (vm.max_map_count) */
        (void)munmap(memory, whole);
        rc = KC_ENOMEM;
    }
    if (rc == KC_OK)
        *stack_out = (kc_stack){.bottom = (uint8_t *)memory + guard, .bytes = whole - guard};
    return rc;
}

void kc_stack_unmap(kc_stack *stack) {
    if (stack->bytes != 0) {
        size_t guard = guard_bytes();
        (void)munmap(stack->bottom - guard, stack->bytes + guard);
        free(stack->spare);
    }
    *stack = (kc_stack){0};
}

bool kc_stack_guards(const kc_stack *stack, const void *address) {
    const uint8_t *at = address;

    return stack->bytes != 0 && at < stack->bottom && at >= stack->bottom - guard_bytes();
}

/* mincore(2) says which pages are in memory, some at a time: one that was swapped out does not count. */
size_t kc_stack_touched(const kc_stack *stack) {
    enum { PAGES = 64 };
    size_t page = page_bytes();
    size_t untouched = 0;
    bool found = false;

    while (!found && untouched < stack->bytes) {
        unsigned char there[PAGES];
        size_t left = (stack->bytes - untouched) / page;
        size_t count = left < PAGES ? left : PAGES;
        if (mincore(stack->bottom + untouched, count * page, there) != 0)
            break;
        for (size_t i = 0; i < count && !found; i++) {
            found = (there[i] & 1) != 0;
            untouched += found ? 0 : page;
        }
    }
    return stack->bytes - untouched;
}

/* What a free stack keeps at its top. */
typedef struct free_stack {
    void *next;
    kc_stack stack;
} free_stack;

static free_stack *link_of(const kc_stack *stack) {
    return (free_stack *)(void *)((uint8_t *)kc_stack_top(stack) - sizeof(free_stack));
}

void kc_stack_cache_begin(kc_stack_cache *cache, size_t bytes, uint32_t limit) {
    *cache = (kc_stack_cache){.limit = limit, .bytes = round_up(bytes)};
}

void kc_stack_cache_end(kc_stack_cache *cache) {
    while (cache->free != NULL) {
        free_stack *first = cache->free;
        kc_stack stack = first->stack;
        cache->free = first->next;
        kc_stack_unmap(&stack);
    }
    cache->count = 0;
}

static void count_made(kc_stack_cache *cache) {
    kc_lock_take(&cache->lock);
    cache->made++;
    kc_lock_give(&cache->lock);
}

int kc_stack_cache_take(kc_stack_cache *cache, size_t bytes, kc_stack *stack_out) {
    bool mine = bytes == cache->bytes || round_up(bytes) == cache->bytes; /* the page's size takes a call */
    free_stack *first = NULL;
    int rc = KC_OK;

    kc_lock_take(&cache->lock);
    if (mine && cache->free != NULL) {
        first = cache->free;
        cache->free = first->next;
        cache->count--;
        cache->cached++;
    }
    kc_lock_give(&cache->lock);
    if (first != NULL)
        *stack_out = first->stack;
    else if ((rc = kc_stack_map(bytes, stack_out)) == KC_OK)
        count_made(cache);
    return rc;
}

void kc_stack_cache_give(kc_stack_cache *cache, kc_stack *stack) {
    bool kept = false;

    if (stack->bytes == cache->bytes) {
        free_stack *node = link_of(stack);
        kc_lock_take(&cache->lock);
        kept = cache->count < cache->limit;
        if (kept) {
            *node = (free_stack){.next = cache->free, .stack = *stack};
            cache->free = node;
            cache->count++;
        }
        kc_lock_give(&cache->lock);
    }
    if (kept)
        *stack = (kc_stack){0};
    else
        kc_stack_unmap(stack);
}
