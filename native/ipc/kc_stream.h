/* kc_stream.h: bytes that wait, and the memory they wait in. No frames, no sockets, no channels.
 *
 *     kc_memory   the pump's own allocations, counted, and made to fail by tests
 *     kc_buffer   flat bytes: appended at the tail, taken from the head, contiguous in between
 *     kc_queue    a ring of equal entries, first in first out
 *
 * Invariants: head <= tail <= capacity; an empty buffer starts at 0 again; a queue's capacity is 0 or a power of two.
 * A failed allocation changes nothing. What is empty can be given back without losing its place.
 */
#ifndef KC_STREAM_H
#define KC_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct kc_memory {
    uint64_t live_bytes;
    uint64_t allocations; /* since the last kc_memory_fail */
    uint64_t fail_at;     /* that allocation fails; 0: none */
} kc_memory;

/* Zeroed. NULL: none left, or made to fail. */
void *kc_memory_take(kc_memory *memory, size_t bytes);
/* The first old_bytes are kept, the rest is not initialised; NULL leaves the old piece as it was. */
void *kc_memory_grow(kc_memory *memory, void *old, size_t old_bytes, size_t new_bytes);
void kc_memory_give(kc_memory *memory, void *piece, size_t bytes);
/* The n-th allocation from now fails, 0 = none. Returns how many were made since the last call. */
uint64_t kc_memory_fail(kc_memory *memory, uint64_t n);

typedef struct kc_buffer {
    uint8_t *bytes;
    uint32_t capacity, head, tail;
} kc_buffer;

static inline uint32_t kc_buffer_length(const kc_buffer *buffer)
{
    return buffer->tail - buffer->head;
}

static inline const uint8_t *kc_buffer_front(const kc_buffer *buffer)
{
    return buffer->bytes + buffer->head;
}

uint8_t *kc_buffer_make_room(kc_memory *memory, kc_buffer *buffer, uint32_t n);
/* n writable bytes after the tail (kc_buffer_added then says how many were written), or NULL. */
static inline uint8_t *kc_buffer_room(kc_memory *memory, kc_buffer *buffer, uint32_t n)
{
    return n <= buffer->capacity - buffer->tail && n != 0 ? buffer->bytes + buffer->tail
                                                          : kc_buffer_make_room(memory, buffer, n);
}
static inline void kc_buffer_added(kc_buffer *buffer, uint32_t n)
{
    buffer->tail += n;
}
bool kc_buffer_append(kc_memory *memory, kc_buffer *buffer, const void *bytes, uint32_t n);
void kc_buffer_skip(kc_buffer *buffer, uint32_t n);
/* Gives back what is beyond `bytes` of a buffer that holds half of that or less. */
void kc_buffer_fit(kc_memory *memory, kc_buffer *buffer, uint32_t bytes);
/* Gives an empty buffer's memory back when it is more than keep_bytes. */
void kc_buffer_rest(kc_memory *memory, kc_buffer *buffer, uint32_t keep_bytes);

typedef struct kc_queue {
    uint8_t *entries;
    uint32_t entry_bytes, capacity, head, count;
} kc_queue;

bool kc_queue_grow(kc_memory *memory, kc_queue *queue);
/* The i-th entry from the front; i < count. */
static inline void *kc_queue_at(const kc_queue *queue, uint32_t i)
{
    return queue->entries + (size_t)((queue->head + i) & (queue->capacity - 1)) * queue->entry_bytes;
}
static inline void *kc_queue_front(const kc_queue *queue)
{
    return queue->count == 0 ? NULL : kc_queue_at(queue, 0);
}
/* Memory for one entry at the back, or NULL. */
static inline void *kc_queue_push(kc_memory *memory, kc_queue *queue)
{
    bool room = queue->count != queue->capacity || kc_queue_grow(memory, queue);
    return room ? kc_queue_at(queue, queue->count++) : NULL;
}
static inline void kc_queue_pop(kc_queue *queue)
{
    queue->head = (queue->head + 1) & (queue->capacity - 1);
    queue->count--;
}
/* Gives an empty queue's memory back when it is more than keep_bytes. */
void kc_queue_rest(kc_memory *memory, kc_queue *queue, uint32_t keep_bytes);

#endif
