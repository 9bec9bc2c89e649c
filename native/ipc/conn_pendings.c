/* conn_pendings.c: requests without a reply, by REQ_ID. Slots never move relative to the table, because a parked waiter
 * carries its slot; so the table grows in place and only the chains are made anew. */
#include "ipc/kc_conn_requests.h"

enum { KC_PENDINGS_LEAST = 2, KC_PENDINGS_KEEP = 64 };

static kc_pending *kc_pendings_bucket(const kc_pendings *pendings, uint32_t req_id)
{
    return &pendings->slots[(req_id * UINT32_C(2654435761) >> 9) & (pendings->capacity - 1)];
}

static void kc_pendings_link(kc_pendings *pendings, uint32_t slot)
{
    kc_pending *pending = &pendings->slots[slot];
    kc_pending *bucket = kc_pendings_bucket(pendings, pending->req_id);
    pending->next = bucket->bucket;
    bucket->bucket = slot + 1;
}

static void kc_pendings_unlink(kc_pendings *pendings, uint32_t slot)
{
    kc_pending *pending = &pendings->slots[slot];
    uint32_t *at = &kc_pendings_bucket(pendings, pending->req_id)->bucket;
    while (*at != slot + 1) {
        at = &pendings->slots[*at - 1].next;
    }
    *at = pending->next;
}

static bool kc_pendings_grow(kc_memory *memory, kc_pendings *pendings)
{
    uint32_t old = pendings->capacity;
    uint32_t capacity = old == 0 ? KC_PENDINGS_LEAST : old * 2;
    kc_pending *slots =
        kc_memory_grow(memory, pendings->slots, old * sizeof(kc_pending), capacity * sizeof(kc_pending));
    if (slots == NULL) {
        return false;
    }
    pendings->slots = slots;
    pendings->capacity = capacity;
    for (uint32_t i = old; i < capacity; i++) {
        slots[i] = (kc_pending){.next = i + 1 < capacity ? i + 2 : pendings->free};
    }
    pendings->free = old + 1;
    for (uint32_t i = 0; i < capacity; i++) {
        slots[i].bucket = 0;
    }
    for (uint32_t i = 0; i < old; i++) {
        if (slots[i].kind != KC_PENDING_NONE) {
            kc_pendings_link(pendings, i);
        }
    }
    return true;
}

int kc_pendings_reserve(kc_memory *memory, kc_pendings *pendings, uint32_t limit, uint32_t *slot_out)
{
    if (pendings->count >= limit) {
        return KC_EDQUOT;
    }
    if (pendings->free == 0 && !kc_pendings_grow(memory, pendings)) {
        return KC_ENOMEM;
    }
    *slot_out = pendings->free - 1;
    return KC_OK;
}

kc_pending *kc_pendings_take(kc_pendings *pendings, uint32_t req_id, uint8_t kind)
{
    uint32_t slot = pendings->free - 1;
    kc_pending *pending = &pendings->slots[slot];
    pendings->free = pending->next;
    pendings->count++;
    *pending = (kc_pending){.req_id = req_id, .bucket = pending->bucket, .kind = kind};
    kc_pendings_link(pendings, slot);
    return pending;
}

int kc_pendings_find(const kc_pendings *pendings, uint32_t req_id, uint32_t *slot_out)
{
    if (pendings->count == 0 || req_id == 0) {
        return KC_ENOENT;
    }
    uint32_t at = kc_pendings_bucket(pendings, req_id)->bucket;
    while (at != 0 && pendings->slots[at - 1].req_id != req_id) {
        at = pendings->slots[at - 1].next;
    }
    *slot_out = at - 1;
    return at == 0 ? KC_ENOENT : KC_OK;
}

void kc_pendings_remove(kc_pendings *pendings, uint32_t slot)
{
    kc_pending *pending = &pendings->slots[slot];
    kc_pendings_unlink(pendings, slot);
    *pending = (kc_pending){.bucket = pending->bucket, .next = pendings->free};
    pendings->free = slot + 1;
    pendings->count--;
}

void kc_pendings_rest(kc_memory *memory, kc_pendings *pendings)
{
    if (pendings->count == 0 && pendings->capacity > KC_PENDINGS_KEEP) {
        kc_memory_give(memory, pendings->slots, pendings->capacity * sizeof(kc_pending));
        *pendings = (kc_pendings){0};
    }
}
