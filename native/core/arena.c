/* arena.c: the one mapping. MAP_NORESERVE, because the tables are sized for the worst day and used like any other. */
#include "kc_arena.h"

#include <sys/mman.h>

/* Messages are never named by a ticket outside the engine, so theirs may be used again while warm. */
enum { PAGE = 4096, INDEX_24 = (1 << 24) - 1, MAX_CHUNKS = (1 << 18) - 1, KEEP_TICKETS = 1024, KEEP_MESSAGES = 16 };

static uint32_t or_default(uint32_t value, uint32_t fallback) { return value != 0 ? value : fallback; }

static size_t pages(size_t bytes) { return (bytes + PAGE - 1) / PAGE * PAGE; }

static void plan_pool(kc_pool *pool, uint32_t capacity, size_t record_bytes, size_t link_offset) {
    pool->capacity = capacity;
    pool->record_bytes = (uint32_t)record_bytes;
    pool->link_offset = (uint32_t)link_offset;
    pool->keep = KEEP_TICKETS;
}

static int plan(kc_engine *e, const kc_engine_config *c) {
    uint64_t heap_bytes = c->heap_bytes != 0 ? c->heap_bytes : (uint64_t)8 << 30;
    uint64_t chunks = heap_bytes / KC_CHUNK_BYTES + (heap_bytes % KC_CHUNK_BYTES != 0);
    uint32_t tokens = or_default(c->tokens, 1U << 20);
    uint32_t messages = or_default(c->messages, 1U << 22);
    uint32_t clauses = or_default(c->clauses, 1U << 20);
    int rc = KC_EINVAL;

    plan_pool(&e->chans, or_default(c->channels, 65536), sizeof(kc_chan_rec), offsetof(kc_chan_rec, next));
    plan_pool(&e->toks, tokens, sizeof(kc_tok), offsetof(kc_tok, next));
    plan_pool(&e->msgs, messages, sizeof(kc_msg), offsetof(kc_msg, next));
    plan_pool(&e->scopes, or_default(c->scopes, 131072), sizeof(kc_scope_rec), offsetof(kc_scope_rec, next));
    plan_pool(&e->regions, or_default(c->regions, 65536), sizeof(kc_region_rec), offsetof(kc_region_rec, next));
    e->msgs.keep = KEEP_MESSAGES;
    e->file_capacity = or_default(c->files, 4096);
    if (tokens <= INDEX_24 && messages <= INDEX_24 && clauses <= INDEX_24 && e->scopes.capacity <= INDEX_24 &&
        e->chans.capacity <= INDEX_24 && e->regions.capacity <= INDEX_24 && e->file_capacity <= INDEX_24 &&
        chunks <= MAX_CHUNKS) {
        plan_pool(&e->clauses, tokens + clauses, sizeof(kc_clause_rec), offsetof(kc_clause_rec, next));
        e->clauses.high = tokens; /* those belong to the tokens and never enter the pool */
        e->tok_capacity = tokens;
        e->heap.capacity = (uint32_t)chunks;
        e->account_capacity = or_default(c->accounts, 4096);
        e->port_capacity = or_default(c->ports, 64);
        e->parked_per_channel = or_default(c->parked_per_channel, KC_PARKED_PER_CHANNEL);
        rc = e->port_capacity <= 64 && e->account_capacity <= INDEX_24 ? KC_OK : KC_EINVAL;
    }
    return rc;
}

/* Cuts the next table of count + 1 records (index 0 is nobody's) off the mapping; with base NULL only measures. */
static void *cut(uint8_t *base, size_t *at, uint32_t count, size_t record_bytes) {
    void *table = base != NULL ? base + *at : NULL;

    *at += pages(((size_t)count + 1) * record_bytes);
    return table;
}

static size_t lay_out(kc_engine *e, uint8_t *base) {
    kc_pool *pools[] = {&e->chans, &e->toks, &e->clauses, &e->msgs, &e->scopes, &e->regions};
    size_t at = 0;

    for (size_t i = 0; i < sizeof pools / sizeof pools[0]; i++)
        pools[i]->base = cut(base, &at, pools[i]->capacity, pools[i]->record_bytes);
    e->accounts = cut(base, &at, e->account_capacity, sizeof(kc_account_rec));
    e->ports = cut(base, &at, e->port_capacity, sizeof(kc_port_rec));
    e->deadlines = cut(base, &at, e->toks.capacity + e->msgs.capacity, sizeof(kc_due));
    e->heap.chunks = cut(base, &at, e->heap.capacity, sizeof(kc_chunk));
    e->heap.base = cut(base, &at, e->heap.capacity, KC_CHUNK_BYTES);
    return at;
}

int kc_arena_map(kc_engine *e, const kc_engine_config *config) {
    int rc = plan(e, config);
    void *memory = MAP_FAILED;

    if (rc != KC_OK)
        return rc;
    e->arena_bytes = lay_out(e, NULL);
    memory = mmap(NULL, e->arena_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return KC_ENOMEM;
    e->arena = memory;
    (void)lay_out(e, memory);
    /* A forked child must not call (kc_engine.h); should it, it finds no message and no name of the parent's. */
    (void)madvise(memory, e->arena_bytes, MADV_WIPEONFORK);
    return KC_OK;
}

void kc_arena_unmap(kc_engine *e) {
    if (e->arena != NULL)
        (void)munmap(e->arena, e->arena_bytes);
    e->arena = NULL;
}
