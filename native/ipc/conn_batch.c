/* conn_batch.c: what a frame leaves behind when it has to wait: bodies, the rest of a batch, and the bill for both. */
#include "ipc/kc_conn_requests.h"

#include <string.h>

enum { KC_BODIES_LEAST = 4, KC_TOLL_STEP_BYTES = 65536 };

kc_body *kc_bodies_add(kc_memory *memory, kc_bodies *bodies)
{
    if (bodies->count == bodies->capacity) {
        uint32_t capacity = bodies->capacity == 0 ? KC_BODIES_LEAST : bodies->capacity * 2;
        kc_body *items = kc_memory_grow(memory, bodies->items, bodies->capacity * sizeof(kc_body),
                                        capacity * sizeof(kc_body));
        if (items == NULL) {
            return NULL;
        }
        bodies->items = items;
        bodies->capacity = capacity;
    }
    kc_body *body = &bodies->items[bodies->count++];
    *body = (kc_body){0};
    return body;
}

void kc_bodies_drop(kc_engine *engine, kc_memory *memory, kc_bodies *bodies)
{
    for (uint32_t i = bodies->next; i < bodies->count; i++) {
        kc_body_drop(engine, &bodies->items[i]);
    }
    kc_memory_give(memory, bodies->items, bodies->capacity * sizeof(kc_body));
    *bodies = (kc_bodies){0};
}

int kc_toll_pay(kc_engine *engine, uint32_t account, uint32_t bytes, kc_body *toll, kc_refusal *refusal)
{
    uint32_t length = bytes < KC_MAX_ELEMENT_BYTES ? bytes : KC_MAX_ELEMENT_BYTES;
    int code = kc_body_open(engine, account, length, toll, refusal);
    for (uint32_t at = 0; code == KC_OK && at < length; at += KC_TOLL_STEP_BYTES) {
        void *memory;
        uint32_t room;
        code = kc_body_room(engine, toll, at, &memory, &room, refusal);
    }
    if (code != KC_OK) {
        kc_body_drop(engine, toll);
    }
    return code;
}

static int kc_batch_copy(kc_engine *engine, kc_memory *memory, uint32_t account, const kc_attr_walk *walk,
                         kc_batch *batch, kc_refusal *refusal)
{
    size_t bytes = walk->left == 0 ? 0 : (size_t)(walk->cursor.end - walk->cursor.at);
    int code = bytes == 0 ? KC_OK : kc_toll_pay(engine, account, (uint32_t)bytes, &batch->toll, refusal);
    if (code != KC_OK || bytes == 0) {
        return code;
    }
    batch->flat = kc_memory_take(memory, bytes);
    if (batch->flat == NULL) {
        kc_body_drop(engine, &batch->toll);
        return KC_ENOMEM;
    }
    batch->flat_bytes = (uint32_t)bytes;
    memcpy(batch->flat, walk->cursor.at, bytes);
    return KC_OK;
}

int kc_batch_make(kc_engine *engine, kc_memory *memory, uint32_t account, kc_elements *elements, kc_batch **batch_out,
                  kc_refusal *refusal)
{
    kc_batch *batch = kc_memory_take(memory, sizeof *batch);
    if (batch == NULL) {
        return KC_ENOMEM;
    }
    int code = kc_batch_copy(engine, memory, account, &elements->walk, batch, refusal);
    if (code != KC_OK) {
        kc_memory_give(memory, batch, sizeof *batch);
        return code;
    }
    batch->elements = *elements;
    elements->bodies = (kc_bodies){0};
    batch->elements.walk.cursor.at = batch->flat;
    batch->elements.walk.cursor.end = batch->flat_bytes == 0 ? batch->flat : batch->flat + batch->flat_bytes;
    *batch_out = batch;
    return KC_OK;
}

void kc_batch_free(kc_engine *engine, kc_memory *memory, kc_batch *batch)
{
    if (batch == NULL) {
        return;
    }
    kc_bodies_drop(engine, memory, &batch->elements.bodies);
    kc_body_drop(engine, &batch->toll);
    kc_memory_give(memory, batch->flat, batch->flat_bytes);
    kc_memory_give(memory, batch, sizeof *batch);
}
