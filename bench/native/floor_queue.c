/* floor_queue.c: the floor's queues: named FIFO rings with parked senders and receivers. Not the sockets
 * (floor_broker.c).
 *
 * Invariants: a receiver is parked only while the ring is empty, a sender only while it is full, and both queues are
 * first come, first served; a parked sender keeps a copy of the elements it still has to place. A waiter whose
 * connection has gone is skipped when its turn comes.
 */
#include "floor_broker.h"

#include <stdlib.h>
#include <string.h>

typedef struct slot {
    uint32_t bytes;
    uint8_t data[FLOOR_ELEMENT_BYTES];
} slot;

typedef struct waiter {
    int fd;
    uint32_t life, req_id, max_items, placed, element_count;
    uint8_t *elements; /* of a sender: its copy */
    const uint8_t *next, *end;
} waiter;

typedef struct queue {
    waiter *waiters;
    size_t first, count, room;
} queue;

typedef struct channel {
    char name[256];
    uint32_t capacity, first, count;
    slot *ring;
    queue senders, receivers;
} channel;

static channel channels[FLOOR_CHANNELS];
static uint32_t channel_count;

static channel *find(uint32_t chan_id) {
    uint32_t index = chan_id - FLOOR_FIRST_ID;
    return index < channel_count ? &channels[index] : NULL;
}

static waiter *head(queue *line) { return &line->waiters[line->first]; }

static void leave(queue *line) {
    free(head(line)->elements);
    line->first = (line->first + 1) % line->room;
    line->count--;
}

static bool grow(queue *line) {
    size_t room = line->room == 0 ? 64 : line->room * 2;
    waiter *waiters = calloc(room, sizeof *waiters);
    if (waiters == NULL) {
        return false;
    }
    for (size_t i = 0; i < line->count; i++) {
        waiters[i] = line->waiters[(line->first + i) % line->room];
    }
    free(line->waiters);
    *line = (queue){.waiters = waiters, .count = line->count, .room = room};
    return true;
}

static bool park(queue *line, const waiter *who) {
    if (line->count == line->room && !grow(line)) {
        return false;
    }
    line->waiters[(line->first + line->count++) % line->room] = *who;
    return true;
}

/* Places elements from *at on while the ring has room; returns how many. */
static uint32_t place(channel *chan, const uint8_t **at, const uint8_t *end) {
    uint32_t placed = 0;
    while (*at < end && chan->count < chan->capacity) {
        uint32_t bytes = floor_u16(*at + 2);
        if (floor_u16(*at) == KC_ATTR_ELEMENT) {
            slot *free_slot = &chan->ring[(chan->first + chan->count++) % chan->capacity];
            free_slot->bytes = bytes;
            memcpy(free_slot->data, *at + 4, bytes);
            placed++;
        }
        *at += 4 + bytes;
    }
    return placed;
}

static void answer_send(floor_conn *conn, uint32_t req_id, uint32_t count) {
    uint8_t *more;
    floor_reply(conn, KC_CMD_CHAN_SEND, req_id, 0);
    if (count > 1 && (more = floor_reply_room(conn, 16)) != NULL) {
        floor_put_u32(more - 20, 32);
        floor_put_u32(more, KC_ATTR_COUNT << 16 | 4);
        floor_put_u32(more + 4, count);
        floor_put_u32(more + 8, KC_ATTR_DROPPED << 16 | 4);
        floor_put_u32(more + 12, 0);
    }
}

/* Answers a receive with up to max_items elements (0: one) from the ring, which has at least one. */
static void answer_recv(floor_conn *conn, channel *chan, uint32_t req_id, uint32_t max_items) {
    uint32_t limit = max_items == 0 ? 1 : max_items, bytes = 16;
    uint32_t count = chan->count < limit ? chan->count : limit;
    for (uint32_t i = 0; i < count; i++) {
        bytes += 4 + chan->ring[(chan->first + i) % chan->capacity].bytes;
    }
    uint8_t *at = floor_reply_room(conn, FLOOR_HEADER_BYTES + bytes);
    if (at == NULL) {
        return;
    }
    floor_put_u32(at, (uint32_t)KC_CMD_CHAN_RECV << 16);
    floor_put_u32(at + 4, bytes);
    floor_put_u32(at + 8, KC_ATTR_REQ_ID << 16 | 4);
    floor_put_u32(at + 12, req_id);
    floor_put_u32(at + 16, KC_ATTR_RESULT << 16 | 4);
    floor_put_u32(at + 20, 0);
    at += 24;
    for (uint32_t i = 0; i < count; i++) {
        const slot *full = &chan->ring[(chan->first + i) % chan->capacity];
        floor_put_u32(at, (uint32_t)KC_ATTR_ELEMENT << 16 | full->bytes);
        memcpy(at + 4, full->data, full->bytes);
        at += 4 + full->bytes;
    }
    chan->first = (chan->first + count) % chan->capacity;
    chan->count -= count;
}

static void serve_receivers(channel *chan) {
    while (chan->receivers.count > 0 && chan->count > 0) {
        waiter *who = head(&chan->receivers);
        floor_conn *conn = floor_conn_alive(who->fd, who->life);
        if (conn != NULL) {
            answer_recv(conn, chan, who->req_id, who->max_items);
        }
        leave(&chan->receivers);
    }
}

static void serve_senders(channel *chan) {
    while (chan->senders.count > 0 && chan->count < chan->capacity) {
        waiter *who = head(&chan->senders);
        floor_conn *conn = floor_conn_alive(who->fd, who->life);
        if (conn != NULL) {
            who->placed += place(chan, &who->next, who->end);
            if (who->placed < who->element_count) {
                return;
            }
            answer_send(conn, who->req_id, who->element_count);
        }
        leave(&chan->senders);
    }
}

/* Until nobody can be served any more. */
static void match(channel *chan) {
    do {
        serve_receivers(chan);
        serve_senders(chan);
    } while (chan->receivers.count > 0 && chan->count > 0);
}

static bool all_fit(const floor_request *request) {
    for (const uint8_t *at = request->elements; at < request->end; at += 4 + floor_u16(at + 2)) {
        if (floor_u16(at) == KC_ATTR_ELEMENT && floor_u16(at + 2) > FLOOR_ELEMENT_BYTES) {
            return false;
        }
    }
    return true;
}

static bool park_sender(floor_conn *conn, channel *chan, const floor_request *request, uint32_t placed,
                        const uint8_t *rest) {
    size_t bytes = (size_t)(request->end - rest);
    uint8_t *copy = malloc(bytes);
    waiter who = {.fd = conn->fd, .life = conn->life, .req_id = request->req_id, .placed = placed};
    if (copy == NULL) {
        return false;
    }
    memcpy(copy, rest, bytes);
    who.element_count = request->element_count;
    who.elements = copy;
    who.next = copy;
    who.end = copy + bytes;
    if (!park(&chan->senders, &who)) {
        free(copy);
        return false;
    }
    return true;
}

void floor_send(floor_conn *conn, const floor_request *request) {
    channel *chan = find(request->chan_id);
    const uint8_t *rest = request->elements;
    if (chan == NULL || rest == NULL || !all_fit(request)) {
        floor_reply(conn, KC_CMD_CHAN_SEND, request->req_id, chan == NULL ? KC_EBADF : KC_EINVAL);
        return;
    }
    uint32_t placed = chan->senders.count == 0 ? place(chan, &rest, request->end) : 0;
    if (placed == request->element_count) {
        answer_send(conn, request->req_id, placed);
    } else if (!park_sender(conn, chan, request, placed, rest)) {
        floor_reply(conn, KC_CMD_CHAN_SEND, request->req_id, KC_ENOMEM);
    }
    match(chan);
}

void floor_recv(floor_conn *conn, const floor_request *request) {
    channel *chan = find(request->chan_id);
    waiter who = {.fd = conn->fd, .life = conn->life, .req_id = request->req_id, .max_items = request->max_items};
    if (chan == NULL) {
        floor_reply(conn, KC_CMD_CHAN_RECV, request->req_id, KC_EBADF);
    } else if (chan->count > 0) {
        answer_recv(conn, chan, request->req_id, request->max_items);
        serve_senders(chan);
    } else if (request->timeout_ms == 0) {
        floor_reply(conn, KC_CMD_CHAN_RECV, request->req_id, KC_EAGAIN);
    } else if (!park(&chan->receivers, &who)) {
        floor_reply(conn, KC_CMD_CHAN_RECV, request->req_id, KC_ENOMEM);
    }
}

static channel *find_or_make(const floor_request *request) {
    for (uint32_t i = 0; i < channel_count; i++) {
        if (strlen(channels[i].name) == request->name_bytes &&
            memcmp(channels[i].name, request->name, request->name_bytes) == 0) {
            return &channels[i];
        }
    }
    channel *chan = channel_count < FLOOR_CHANNELS ? &channels[channel_count] : NULL;
    if (chan == NULL || request->capacity == 0 || request->capacity > KC_MAX_CAPACITY) {
        return NULL;
    }
    chan->ring = calloc(request->capacity, sizeof *chan->ring);
    if (chan->ring == NULL) {
        return NULL;
    }
    memcpy(chan->name, request->name, request->name_bytes);
    chan->capacity = request->capacity;
    channel_count++;
    return chan;
}

void floor_make(floor_conn *conn, uint32_t cmd, const floor_request *request) {
    bool named = request->name != NULL && request->name_bytes > 0 && request->name_bytes < 256;
    channel *chan = named ? find_or_make(request) : NULL;
    uint8_t *more;
    floor_reply(conn, cmd, request->req_id, chan == NULL ? KC_EINVAL : 0);
    if (chan != NULL && (more = floor_reply_room(conn, 8)) != NULL) {
        floor_put_u32(more - 20, 24);
        floor_put_u32(more, KC_ATTR_CHAN_ID << 16 | 4);
        floor_put_u32(more + 4, (uint32_t)(chan - channels) + FLOOR_FIRST_ID);
    }
}
