/* cell.c: messages of a channel apart: a ring of slots, or the way from hand to hand. The lock of the cells is held.
 *
 * A slot is a length and, behind it, the element, or where elements may be long the address of a copy of its own. The
 * ring grows as it fills, up to the channel's limit; once empty, only a small one is kept.
 */
#include <stdlib.h>
#include <string.h>

#include "kc_cell.h"

enum { FIRST_SLOTS = 8, KEPT_BYTES = 64 << 10, SHORT_BYTES = 256 /* such elements stand in their slots */ };

typedef struct slot {
    uint32_t len_bytes, spare;
    uint8_t bytes[];
} slot;

static bool is_short(const kc_cells *c) { return c->elem_bytes <= SHORT_BYTES; }

void kc_cell_shape(kc_cells *c) {
    size_t body = is_short(c) ? (c->elem_bytes + 7U) & ~7U : sizeof(void *);

    c->weighs = c->memory ? 0 : UINT32_MAX;
    c->lossy = c->kind == KC_KIND_CONFLATED || c->overflow == KC_OVERFLOW_DROP_OLDEST;
    c->slot_bytes = (uint32_t)(sizeof(slot) + body);
}

/* The element of a slot; `copy` says where a long one is. */
static void *copy_of(const slot *s) {
    void *copy = NULL;

    memcpy(&copy, s->bytes, sizeof copy);
    return copy;
}
static const void *element(const kc_cells *c, const slot *s) { return is_short(c) ? s->bytes : copy_of(s); }

/* What it counts for: bytes that wait, and bytes that went through. */
static uint32_t weight(const kc_cells *c, uint32_t len_bytes) { return len_bytes & c->weighs; }
static KC_APART uint64_t count_memory(kc_cells *c, uint32_t stat, const void *data) {
    kc_cell_stat(c, stat, 1);
    return ((const kc_cell_memory *)data)->desc.len_bytes;
}

static inline void count_sent(kc_cells *c, const kc_cell_clause *send) {
    uint64_t bytes = c->memory ? count_memory(c, KC_STAT_ZREF_SENT, send->data) : send->len_bytes;

    kc_cell_stat(c, KC_STAT_TOTAL_SENDS, 1);
    kc_cell_stat(c, KC_STAT_TOTAL_BYTES_SENT, bytes);
}

static inline void count_received(kc_cells *c, const void *data, uint32_t len_bytes) {
    uint64_t bytes = c->memory ? count_memory(c, KC_STAT_ZREF_RECEIVED, data) : len_bytes;

    kc_cell_stat(c, KC_STAT_TOTAL_RECVS, 1);
    kc_cell_stat(c, KC_STAT_TOTAL_BYTES_RECV, bytes);
}

bool kc_cell_has_room(const kc_cells *c, uint32_t len_bytes) {
    bool fits = c->bytes + weight(c, len_bytes) <= c->max_bytes || c->count == 0;

    return c->kind == KC_KIND_CONFLATED || (c->count < c->limit && fits);
}

/* In order from slot 0 on. */
static void move(const kc_cells *c, uint8_t *ring) {
    for (uint32_t i = 0; i < c->count; i++)
        memcpy(ring + (size_t)i * c->slot_bytes, kc_cell_slot(c, i), c->slot_bytes);
}

static KC_APART int grow(kc_cells *c) {
    uint32_t twice = c->slots != 0 ? 2 * c->slots : (uint32_t)FIRST_SLOTS;
    uint32_t slots = twice < c->limit ? twice : c->limit;
    uint8_t *ring = malloc((size_t)slots * c->slot_bytes);

    if (ring != NULL) {
        move(c, ring);
        free(c->ring);
        c->ring = ring;
        c->slots = slots;
        c->head = 0;
    }
    return ring != NULL ? KC_OK : KC_ENOMEM;
}

static inline void step_head(kc_cells *c) {
    c->head = c->head + 1 < c->slots ? c->head + 1 : 0;
    c->count--;
}

/* The oldest is lost. */
static KC_APART void evict(kc_cells *c, kc_cell_turn *turn) {
    const slot *s = kc_cell_slot(c, 0);

    if (c->memory)
        turn->lost = ((const kc_cell_memory *)element(c, s))->body;
    if (!is_short(c))
        free(copy_of(s));
#if KC_MUTANT != 28 /* the bytes of what was evicted from a channel apart stay counted */
    c->bytes -= weight(c, s->len_bytes);
#endif
    step_head(c);
    kc_cell_stat(c, KC_STAT_DROPS_OLDEST, 1);
}

static bool is_over(const kc_cells *c, uint32_t len_bytes) {
    return c->count != 0 && (c->count == c->limit || c->bytes + weight(c, len_bytes) > c->max_bytes);
}

static KC_APART int copy_long(const kc_cell_clause *send, void **copy_out) {
    *copy_out = malloc(send->len_bytes != 0 ? send->len_bytes : 1);
    if (*copy_out == NULL)
        return KC_ENOMEM;
    if (send->len_bytes != 0)
        memcpy(*copy_out, send->data, send->len_bytes);
    return KC_OK;
}

int kc_cell_reserve(kc_cells *c, const kc_cell_clause *send, void **copy_out) {
    int rc = c->count < c->slots || c->count == c->limit ? KC_OK : grow(c);

    *copy_out = NULL;
    if (rc == KC_OK && !is_short(c))
        rc = copy_long(send, copy_out);
    return rc;
}

void kc_cell_put(kc_cells *c, const kc_cell_clause *send, void *copy, kc_cell_turn *turn) {
    slot *s = NULL;

    while (c->lossy && is_over(c, send->len_bytes))
        evict(c, turn);
    s = kc_cell_slot(c, c->count);
    s->len_bytes = send->len_bytes;
    if (!is_short(c))
        memcpy(s->bytes, &copy, sizeof copy);
    else if (send->len_bytes != 0)
        memcpy(s->bytes, send->data, send->len_bytes);
    c->count++;
    c->bytes += weight(c, send->len_bytes);
    count_sent(c, send);
    if (c->count > c->peak)
        c->peak = c->count;
}

static KC_APART void trim(kc_cells *c) {
    free(c->ring);
    c->ring = NULL;
    c->slots = c->head = 0;
}

void kc_cell_take(kc_cells *c, kc_cell_clause *receive) {
    slot *s = kc_cell_slot(c, 0);
    const void *data = element(c, s);

    receive->len_bytes = s->len_bytes;
    if (s->len_bytes != 0)
        memcpy(receive->buffer, data, s->len_bytes);
    count_received(c, data, s->len_bytes);
    c->bytes -= weight(c, s->len_bytes);
    if (!is_short(c))
        free(copy_of(s));
    step_head(c);
    if (c->count == 0 && (uint64_t)c->slots * c->slot_bytes > KEPT_BYTES)
        trim(c);
}

void kc_cell_pass(kc_cells *c, const kc_cell_clause *send, kc_cell_clause *receive) {
    receive->len_bytes = send->len_bytes;
    if (send->len_bytes != 0)
        memcpy(receive->buffer, send->data, send->len_bytes);
    count_sent(c, send);
    count_received(c, send->data, send->len_bytes);
    if (c->kind == KC_KIND_RENDEZVOUS) {
        kc_cell_stat(c, KC_STAT_RV_MATCHES, 1);
        kc_cell_stat(c, KC_STAT_RV_ZDESC_MATCHES, c->memory);
    }
    c->last_cancelled = 0;
}

void kc_cell_drop_newest(kc_cells *c, const kc_cell_clause *send, kc_cell_turn *turn) {
    count_sent(c, send);
    kc_cell_stat(c, KC_STAT_DROPS_NEWEST, 1);
    if (c->memory)
        turn->lost = ((const kc_cell_memory *)send->data)->body;
}

kc_cell_store kc_cell_lose_all(kc_cells *c) {
    kc_cell_store store = {.ring = c->ring, .slots = c->slots, .head = c->head, .count = c->count};
    bool destroyed = kc_state_of(c->w) == KC_CHAN_DESTROYED;

    kc_cell_stat(c, KC_STAT_UNDELIVERED, c->count);
    kc_cell_stat(c, KC_STAT_UNDELIVERED_DROPPED, c->count);
    kc_cell_stat(c, KC_STAT_ZREF_ABORTED_CLOSE, c->memory && destroyed ? c->count : 0);
    c->ring = NULL;
    c->slots = c->head = c->count = 0;
    c->bytes = 0;
    return store;
}

/* What a store has in its slots, given back one by one. */
void kc_cell_release(const kc_cells *c, kc_cell_store *store, void (*drop)(kc_engine *, kc_body *)) {
    for (uint32_t i = 0; i < store->count; i++) {
        uint32_t at = (store->head + i) % store->slots;
        const slot *s = (const slot *)(const void *)(store->ring + (size_t)at * c->slot_bytes);
        if (c->memory) {
            kc_body body = ((const kc_cell_memory *)element(c, s))->body;
            drop(c->engine, &body);
        }
        if (!is_short(c))
            free(copy_of(s));
    }
    free(store->ring);
    *store = (kc_cell_store){0};
}
