/* kc_crew.h: threads on one engine, each with its own scope and port, each waiting on its port's descriptor. Nobody
 * sleeps and nobody measures time: whoever waits is woken by a result, or the test hangs and ctest ends it.
 */
#ifndef KC_CREW_H
#define KC_CREW_H

#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include "kc_world.h"

enum { EACH = 2000, SENDERS = 2, RECEIVERS = 2, TOTAL = SENDERS * EACH };

typedef struct worker {
    pthread_t thread;
    kc_engine *e;
    kc_chan chan, other;
    kc_scope scope;
    uint32_t port, number;
    int fd;
    uint32_t flags;
    uint32_t ok, cancelled, closed;
    atomic_uint *seen; /* by value: how often it was received (acknowledged) */
    atomic_uint *sent; /* by value: 1 when its send said OK */
    _Atomic uint64_t *clock;
} worker;

typedef struct crew {
    kc_world w;
    worker workers[8];
    uint32_t count;
    atomic_uint seen[TOTAL + 1], sent[TOTAL + 1];
    _Atomic uint64_t clock;
} crew;

static inline crew *hire(void) {
    crew *c = calloc(1, sizeof *c);

    KC_REQUIRE(c != NULL);
    c->w = w_open();
    return c;
}

static inline worker *start(crew *c, void *(*work)(void *), kc_chan chan, kc_chan other, uint32_t flags) {
    worker *k = &c->workers[c->count];

    *k = (worker){.e = c->w.e, .chan = chan, .other = other, .flags = flags, .number = c->count++};
    k->seen = c->seen;
    k->sent = c->sent;
    k->clock = &c->clock;
    KC_REQUIRE(kc_port_open(k->e, &k->port) == KC_OK);
    KC_REQUIRE(kc_chan_waiter_scope_begin(k->e, 0, 0, NULL, &k->scope, NULL) == KC_OK);
    k->fd = kc_port_fd(k->e, k->port);
    KC_REQUIRE(k->fd >= 0);
    KC_REQUIRE(pthread_create(&k->thread, NULL, work, k) == 0);
    return k;
}

static inline void join(worker *k) { KC_REQUIRE(pthread_join(k->thread, NULL) == 0); }

/* Every worker has ended; nothing may be left of them. */
static inline void dismiss(crew *c) {
    for (uint32_t i = 0; i < c->count; i++) {
        (void)kc_chan_waiter_scope_end(c->w.e, c->workers[i].scope, KC_REASON_DEAD); /* some end themselves */
        KC_CHECK_EQ(kc_port_close(c->w.e, c->workers[i].port), KC_OK);
    }
    w_close(&c->w);
    free(c);
}

static inline void check_each_once(crew *c, uint32_t values) {
    for (uint32_t i = 0; i < values; i++)
        if (atomic_load(&c->seen[i]) != atomic_load(&c->sent[i]))
            KC_CHECK_EQ(atomic_load(&c->seen[i]), atomic_load(&c->sent[i]));
}

/* ---- what a worker does with the engine ---- */

static inline kc_result take(worker *k) {
    kc_result result;

    while (kc_port_take(k->e, k->port, &result, 1) == 0) {
        if (kc_port_arm(k->e, k->port) == 1) {
            struct pollfd ready = {.fd = k->fd, .events = POLLIN};
            uint64_t rings = 0;
            KC_REQUIRE(poll(&ready, 1, -1) == 1);
            KC_REQUIRE(read(k->fd, &rings, sizeof rings) == (ssize_t)sizeof rings);
        }
    }
    return result;
}

static inline kc_op op_of(worker *k, uint32_t flags) {
    return (kc_op){.scope = k->scope, .port = k->port, .deadline_ns = KC_NEVER, .flags = flags};
}

static inline kc_result send_value(worker *k, kc_chan chan, uint32_t value, uint32_t flags) {
    kc_op op = op_of(k, flags);
    kc_result result;

    return kc_chan_send(k->e, chan, &op, &value, sizeof value, &result) == KC_PARKED ? take(k) : result;
}

static inline kc_result receive(worker *k, kc_chan chan) {
    kc_op op = op_of(k, k->flags & (KC_OP_ACK | KC_OP_HOLD));
    kc_result result;

    return kc_chan_recv(k->e, chan, &op, NULL, 0, &result) == KC_PARKED ? take(k) : result;
}

/* The value of a received message, which is counted when the message is done. */
static inline uint32_t value_of(worker *k, kc_result *result) {
    uint32_t value = TOTAL;

    KC_CHECK_EQ(kc_body_copy(k->e, &result->body, 0, &value, sizeof value), KC_OK);
    if ((result->flags & KC_RESULT_HELD) == 0)
        kc_body_drop(k->e, &result->body);
    else if (kc_waiter_token_ack(k->e, k->scope, result->token) != KC_OK)
        KC_CHECK(false);
    KC_REQUIRE(value < TOTAL);
    atomic_fetch_add(&k->seen[value], 1);
    return value;
}

static inline void *send_all(void *arg) {
    worker *k = arg;

    for (uint32_t i = 0; i < EACH; i++) {
        uint32_t value = k->number * EACH + i;
        KC_CHECK_EQ(send_value(k, k->chan, value, k->flags & KC_OP_CONFIRM).code, KC_OK);
        atomic_store(&k->sent[value], 1);
    }
    return NULL;
}

#endif
