/* bench_engine.c: P8, what one send and one receive cost in the engine: buffered, 64 B, one thread, nobody waits.
 *
 *   bench_engine ours SECONDS     kc_chan_send, then kc_chan_recv into a buffer
 *   bench_engine floor SECONDS    a ring of 64 slots behind a mutex: lock, copy, unlock, twice
 */
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "bench_clock.h"
#include "kcoro/kc_chan.h"

enum { ROUND = 1024, CAPACITY = 64, ELEMENT_BYTES = 64 };

typedef struct bench_pair {
    kc_engine *engine;
    kc_chan chan;
    kc_op op;
} bench_pair;

static uint64_t pass_ours(void *context)
{
    bench_pair *pair = context;
    uint8_t element[ELEMENT_BYTES] = {7}, buffer[ELEMENT_BYTES];
    kc_result result;
    for (uint32_t i = 0; i < ROUND; i++) {
        memcpy(element, &i, sizeof i);
        if (kc_chan_send(pair->engine, pair->chan, &pair->op, element, ELEMENT_BYTES, &result) != KC_OK ||
            kc_chan_recv(pair->engine, pair->chan, &pair->op, buffer, sizeof buffer, &result) != KC_OK ||
            memcmp(buffer, element, ELEMENT_BYTES) != 0) {
            return 0;
        }
    }
    return ROUND;
}

static int measure_ours(const char *seconds)
{
    bench_pair pair = {.op = {.deadline_ns = KC_NEVER, .flags = KC_OP_TRY}};
    kc_chan_config config = {.kind = KC_KIND_BUFFERED, .capacity = CAPACITY};
    if (kc_engine_make(NULL, &pair.engine) != KC_OK) {
        return 1;
    }
    int code = 1;
    if (kc_chan_waiter_scope_begin(pair.engine, 0, 0, NULL, &pair.op.scope, NULL) == KC_OK &&
        kc_port_open(pair.engine, &pair.op.port) == KC_OK &&
        kc_chan_make(pair.engine, &config, &pair.chan, NULL) == KC_OK) {
        code = bench_report(pass_ours, &pair, seconds);
    }
    kc_engine_free(pair.engine);
    return code;
}

typedef struct bench_ring {
    pthread_mutex_t lock;
    uint32_t first, count;
    uint8_t slots[CAPACITY][ELEMENT_BYTES];
} bench_ring;

static int ring_put(bench_ring *ring, const uint8_t *element)
{
    pthread_mutex_lock(&ring->lock);
    int room = ring->count < CAPACITY;
    if (room) {
        memcpy(ring->slots[(ring->first + ring->count++) % CAPACITY], element, ELEMENT_BYTES);
    }
    pthread_mutex_unlock(&ring->lock);
    return room;
}

static int ring_take(bench_ring *ring, uint8_t *element)
{
    pthread_mutex_lock(&ring->lock);
    int full = ring->count > 0;
    if (full) {
        memcpy(element, ring->slots[ring->first], ELEMENT_BYTES);
        ring->first = (ring->first + 1) % CAPACITY;
        ring->count--;
    }
    pthread_mutex_unlock(&ring->lock);
    return full;
}

static uint64_t pass_floor(void *context)
{
    uint8_t element[ELEMENT_BYTES] = {7}, buffer[ELEMENT_BYTES];
    for (uint32_t i = 0; i < ROUND; i++) {
        memcpy(element, &i, sizeof i);
        if (!ring_put(context, element) || !ring_take(context, buffer) || memcmp(buffer, element, ELEMENT_BYTES) != 0) {
            return 0;
        }
    }
    return ROUND;
}

/* A process of one thread gets mutexes without atomic instructions from glibc, which no broker's process has. */
static void *sleep_for_ever(void *unused)
{
    for (;;) {
        pause();
    }
    return unused;
}

int main(int argc, char **argv)
{
    static bench_ring ring = {.lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_t second;
    if (argc != 3 || pthread_create(&second, NULL, sleep_for_ever, NULL) != 0) {
        fprintf(stderr, "usage: %s ours|floor SECONDS\n", argv[0]);
        return 2;
    }
    return strcmp(argv[1], "floor") == 0 ? bench_report(pass_floor, &ring, argv[2]) : measure_ours(argv[2]);
}
