/* floor_broker.h: what the two halves of the floor share: connections (floor_broker.c) and queues (floor_queue.c).
 *
 * The floor is the least that a broker with our frames can cost: one thread, one epoll set, FIFO rings of small
 * elements, no rights, no deadlines, no select, no acks, no statistics. It is a measure, not a product. Channels are
 * found by NAME, never go away, and carry elements of at most FLOOR_ELEMENT_BYTES; TIMEOUT_MS is 0 or for ever.
 */
#ifndef FLOOR_BROKER_H
#define FLOOR_BROKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kcoro/kc_wire.h"

enum { FLOOR_ELEMENT_BYTES = 124, FLOOR_HEADER_BYTES = 8, FLOOR_CHANNELS = 16384, FLOOR_FIRST_ID = 1001 };

typedef struct floor_buffer {
    uint8_t *bytes;
    size_t used, room;
} floor_buffer;

/* A connection. `life` tells this connection from the next one on the same descriptor. */
typedef struct floor_conn {
    int fd;
    uint32_t life;
    bool open, dirty, blocked, failed;
    floor_buffer in, out;
} floor_conn;

/* The attributes of one frame; elements stay where they are, from `elements` to `end`. */
typedef struct floor_request {
    uint32_t req_id, chan_id, timeout_ms, max_items, capacity, element_count;
    int32_t kind;
    const uint8_t *name, *elements, *end;
    uint32_t name_bytes;
} floor_request;

static inline uint32_t floor_u16(const uint8_t *p) { return (uint32_t)p[0] << 8 | p[1]; }
static inline uint32_t floor_u32(const uint8_t *p) { return floor_u16(p) << 16 | floor_u16(p + 2); }
static inline void floor_put_u16(uint8_t *p, uint32_t value) {
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}
static inline void floor_put_u32(uint8_t *p, uint32_t value) {
    floor_put_u16(p, value >> 16);
    floor_put_u16(p + 2, value);
}

/* floor_broker.c: the connection that had this life, or NULL; room for a reply, or NULL when memory ends. */
floor_conn *floor_conn_alive(int fd, uint32_t life);
uint8_t *floor_reply_room(floor_conn *conn, size_t bytes);
void floor_reply(floor_conn *conn, uint32_t cmd, uint32_t req_id, int32_t result);

/* floor_queue.c: the three commands of a queue. */
void floor_make(floor_conn *conn, uint32_t cmd, const floor_request *request);
void floor_send(floor_conn *conn, const floor_request *request);
void floor_recv(floor_conn *conn, const floor_request *request);

#endif
