/* stream.c: waiting bytes and their memory (kc_stream.h). */
#include "ipc/kc_stream.h"

#include <stdlib.h>
#include <string.h>

enum { KC_BUFFER_LEAST_BYTES = 512, KC_QUEUE_LEAST_ENTRIES = 8 };

static bool kc_memory_refuses(kc_memory *memory)
{
    memory->allocations++;
    return memory->fail_at != 0 && --memory->fail_at == 0;
}

void *kc_memory_take(kc_memory *memory, size_t bytes)
{
    void *piece = kc_memory_refuses(memory) ? NULL : calloc(1, bytes);
    if (piece != NULL) {
        memory->live_bytes += bytes;
    }
    return piece;
}

void *kc_memory_grow(kc_memory *memory, void *old, size_t old_bytes, size_t new_bytes)
{
    void *piece = kc_memory_refuses(memory) ? NULL : realloc(old, new_bytes);
    if (piece != NULL) {
        memory->live_bytes += new_bytes;
        memory->live_bytes -= old_bytes;
    }
    return piece;
}

void kc_memory_give(kc_memory *memory, void *piece, size_t bytes)
{
    if (piece != NULL) {
        memory->live_bytes -= bytes;
        free(piece);
    }
}

uint64_t kc_memory_fail(kc_memory *memory, uint64_t n)
{
    uint64_t made = memory->allocations;
    memory->allocations = 0;
    memory->fail_at = n;
    return made;
}

static bool kc_buffer_grow(kc_memory *memory, kc_buffer *buffer, uint32_t least)
{
    uint64_t capacity = buffer->capacity < KC_BUFFER_LEAST_BYTES ? KC_BUFFER_LEAST_BYTES : buffer->capacity;
    while (capacity < least) {
        capacity *= 2;
    }
    if (capacity > UINT32_MAX) {
        return false;
    }
    void *bytes = kc_memory_grow(memory, buffer->bytes, buffer->capacity, (size_t)capacity);
    if (bytes == NULL) {
        return false;
    }
    buffer->bytes = bytes;
    buffer->capacity = (uint32_t)capacity;
    return true;
}

/* Moves what waits to the start; worth it only when that frees more than it moves. */
static void kc_buffer_close_gap(kc_buffer *buffer)
{
    uint32_t length = kc_buffer_length(buffer);
    if (buffer->head >= length && buffer->head != 0) {
        memcpy(buffer->bytes, buffer->bytes + buffer->head, length);
        buffer->head = 0;
        buffer->tail = length;
    }
}

uint8_t *kc_buffer_make_room(kc_memory *memory, kc_buffer *buffer, uint32_t n)
{
    if (n > buffer->capacity - buffer->tail) {
        kc_buffer_close_gap(buffer);
    }
    if (n > buffer->capacity - buffer->tail) {
        if (n > UINT32_MAX - buffer->tail || !kc_buffer_grow(memory, buffer, buffer->tail + n)) {
            return NULL;
        }
    }
    return buffer->bytes + buffer->tail;
}

bool kc_buffer_append(kc_memory *memory, kc_buffer *buffer, const void *bytes, uint32_t n)
{
    uint8_t *room = n == 0 ? NULL : kc_buffer_room(memory, buffer, n);
    if (room != NULL) {
        memcpy(room, bytes, n);
        kc_buffer_added(buffer, n);
    }
    return n == 0 || room != NULL;
}

void kc_buffer_skip(kc_buffer *buffer, uint32_t n)
{
    buffer->head += n;
    if (buffer->head == buffer->tail) {
        buffer->head = buffer->tail = 0;
    }
}

void kc_buffer_fit(kc_memory *memory, kc_buffer *buffer, uint32_t bytes)
{
    uint32_t length = kc_buffer_length(buffer);
    if (buffer->capacity <= bytes || length > bytes / 2 + KC_BUFFER_LEAST_BYTES) {
        return;
    }
    memmove(buffer->bytes, buffer->bytes + buffer->head, length);
    buffer->head = 0;
    buffer->tail = length;
    uint8_t *smaller = kc_memory_grow(memory, buffer->bytes, buffer->capacity, bytes);
    if (smaller != NULL) {
        buffer->bytes = smaller;
        buffer->capacity = bytes;
    }
}

void kc_buffer_rest(kc_memory *memory, kc_buffer *buffer, uint32_t keep_bytes)
{
    if (kc_buffer_length(buffer) == 0 && buffer->capacity > keep_bytes) {
        kc_memory_give(memory, buffer->bytes, buffer->capacity);
        *buffer = (kc_buffer){0};
    }
}

bool kc_queue_grow(kc_memory *memory, kc_queue *queue)
{
    uint32_t capacity = queue->capacity == 0 ? KC_QUEUE_LEAST_ENTRIES : queue->capacity * 2;
    uint8_t *entries = kc_memory_take(memory, (size_t)capacity * queue->entry_bytes);
    if (entries == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < queue->count; i++) {
        memcpy(entries + (size_t)i * queue->entry_bytes, kc_queue_at(queue, i), queue->entry_bytes);
    }
    kc_memory_give(memory, queue->entries, (size_t)queue->capacity * queue->entry_bytes);
    queue->entries = entries;
    queue->capacity = capacity;
    queue->head = 0;
    return true;
}

void kc_queue_rest(kc_memory *memory, kc_queue *queue, uint32_t keep_bytes)
{
    size_t bytes = (size_t)queue->capacity * queue->entry_bytes;
    if (queue->count == 0 && bytes > keep_bytes) {
        kc_memory_give(memory, queue->entries, bytes);
        *queue = (kc_queue){.entry_bytes = queue->entry_bytes};
    }
}
