/* conn_handles.c: CHAN_ID -> channel and rights, a hash with linear probing; removal shifts back, so no tombstones. */
#include "ipc/kc_conn_handles.h"

enum { KC_HANDLES_LEAST = 4 };

static uint32_t kc_handles_home(const kc_handles *handles, uint32_t chan_id)
{
    return (chan_id * UINT32_C(2654435761) >> 7) & (handles->capacity - 1); /* Knuth's multiplier */
}

/* The slot of chan_id, or the free one where it would stand. There always is a free one. */
static uint32_t kc_handles_place(const kc_handles *handles, uint32_t chan_id)
{
    uint32_t at = kc_handles_home(handles, chan_id);
    while (handles->slots[at].chan_id != 0 && handles->slots[at].chan_id != chan_id) {
        at = (at + 1) & (handles->capacity - 1);
    }
    return at;
}

const kc_handle *kc_handles_find(const kc_handles *handles, uint32_t chan_id)
{
    if (handles->count == 0 || chan_id == 0) {
        return NULL;
    }
    const kc_handle *handle = &handles->slots[kc_handles_place(handles, chan_id)];
    return handle->chan_id == chan_id ? handle : NULL;
}

static bool kc_handles_grow(kc_memory *memory, kc_handles *handles)
{
    kc_handles larger = {.capacity = handles->capacity == 0 ? KC_HANDLES_LEAST : handles->capacity * 2,
                         .count = handles->count};
    larger.slots = kc_memory_take(memory, larger.capacity * sizeof(kc_handle));
    if (larger.slots == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < handles->capacity; i++) {
        if (handles->slots[i].chan_id != 0) {
            larger.slots[kc_handles_place(&larger, handles->slots[i].chan_id)] = handles->slots[i];
        }
    }
    kc_memory_give(memory, handles->slots, handles->capacity * sizeof(kc_handle));
    *handles = larger;
    return true;
}

kc_handle *kc_handles_put(kc_memory *memory, kc_handles *handles, uint32_t chan_id)
{
    bool full = (handles->count + 1) * 4 > handles->capacity * 3;
    if (full && !kc_handles_grow(memory, handles)) {
        return NULL;
    }
    kc_handle *handle = &handles->slots[kc_handles_place(handles, chan_id)];
    if (handle->chan_id == 0) {
        handle->chan_id = chan_id;
        handles->count++;
    }
    return handle;
}

/* Entries after the gap that would not be found any more move into it. */
static void kc_handles_close_gap(kc_handles *handles, uint32_t gap)
{
    uint32_t mask = handles->capacity - 1;
    for (uint32_t at = (gap + 1) & mask; handles->slots[at].chan_id != 0; at = (at + 1) & mask) {
        uint32_t home = kc_handles_home(handles, handles->slots[at].chan_id);
        if (((at - home) & mask) >= ((at - gap) & mask)) {
            handles->slots[gap] = handles->slots[at];
            gap = at;
        }
    }
    handles->slots[gap] = (kc_handle){0};
}

void kc_handles_remove(kc_handles *handles, const kc_handle *handle)
{
    kc_handles_close_gap(handles, (uint32_t)(handle - handles->slots));
    handles->count--;
}
