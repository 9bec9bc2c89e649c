/* conn_leases.c: descriptors that the peer has been given and not given back. A lease is one reference to a
 * descriptor's memory; its number is {generation, slot + 1}, so that a late RELEASE never ends the next lease. */
#include "ipc/kc_conn_handles.h"

static bool kc_leases_grow(kc_memory *memory, kc_leases *leases)
{
    uint32_t old = leases->capacity;
    uint32_t capacity = old == 0 ? 4 : old * 2;
    kc_lease *slots = kc_memory_grow(memory, leases->slots, old * sizeof *slots, capacity * sizeof *slots);
    if (slots == NULL) {
        return false;
    }
    leases->slots = slots;
    for (uint32_t i = capacity; i > old; i--) {
        slots[i - 1] = (kc_lease){.next = leases->free};
        leases->free = i;
    }
    leases->capacity = capacity;
    return true;
}

bool kc_leases_have_room(kc_memory *memory, kc_leases *leases, uint32_t more)
{
    while (leases->capacity - leases->count < more && leases->capacity < KC_CONN_LEASES &&
           kc_leases_grow(memory, leases)) {
    }
    return leases->capacity - leases->count >= more;
}

uint64_t kc_leases_add(kc_engine *engine, kc_leases *leases, const kc_body *body)
{
    uint32_t slot = leases->free - 1;
    kc_lease *lease = &leases->slots[slot];
    leases->free = lease->next;
    leases->count++;
    lease->generation++;
    lease->body = *body;
#if KC_MUTANT != 18 /* a range that comes back is free although its first receiver still reads it */
    kc_body_keep(engine, body);
#endif
    return ((uint64_t)lease->generation << 32) | (slot + 1);
}

bool kc_leases_release(kc_engine *engine, kc_leases *leases, uint64_t id)
{
    uint32_t slot = (uint32_t)id - 1;
    if ((uint32_t)id == 0 || slot >= leases->capacity) {
        return false;
    }
    kc_lease *lease = &leases->slots[slot];
#if KC_MUTANT == 19 /* a late RELEASE ends the lease that has its place now */
    bool late = false;
#else
    bool late = lease->generation != (uint32_t)(id >> 32);
#endif
    if (lease->body.extra == 0 || late) {
        return false;
    }
    kc_body_drop(engine, &lease->body);
    lease->next = leases->free;
    leases->free = slot + 1;
    leases->count--;
    return true;
}

void kc_leases_end(kc_engine *engine, kc_memory *memory, kc_leases *leases)
{
#if KC_MUTANT != 13 /* what a peer was lent stays lent when it dies */
    for (uint32_t i = 0; i < leases->capacity; i++) {
        if (leases->slots[i].body.extra != 0) {
            kc_body_drop(engine, &leases->slots[i].body);
        }
    }
#endif
    kc_memory_give(memory, leases->slots, leases->capacity * sizeof *leases->slots);
    *leases = (kc_leases){0};
}
