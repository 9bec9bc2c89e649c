/* bench_handover.c: P7, what it costs to hand 64 B from one coroutine to another in one process; and beside it, with
 * the same scheduler and channels, P8 and P10.
 *
 *   bench_handover rendezvous|buffered|select SECONDS  nanoseconds for each message received
 *   bench_handover pair SECONDS                        for each send and receive of one coroutine; buffered
 *   bench_handover yield SECONDS                       for each switch of two coroutines that give way to each other
 *
 * select: the receiver selects over two rendezvous channels, each with a sender of its own. As many workers as there
 * are processors to run on.
 */
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "bench_clock.h"
#include "kcoro/kc_channel.h"
#include "kcoro/kc_sched.h"

enum { ROUND = 1024, ELEMENT_BYTES = 64, CAPACITY = 64, CHANNELS = 2 };

typedef uint64_t (*bench_round)(void *);

typedef struct bench_stage {
    kc_channel *channels[CHANNELS];
    uint32_t count; /* of channels, and of senders */
    bench_round round;
    kc_co_fn other;         /* what runs beside the one that measures, once for each channel; NULL: nothing */
    _Atomic uint32_t over;  /* for `yield`, whose other side has no channel that could be closed */
    _Atomic uint64_t seen;  /* what that side did */
    const char *seconds;
    int code;
} bench_stage;

static void send_all(void *context)
{
    kc_channel *channel = context;
    uint8_t element[ELEMENT_BYTES] = {0};
    do {
        element[0]++;
    } while (kc_channel_send(channel, element, sizeof element, KC_NEVER) == KC_OK);
}

static uint64_t round_one(void *context)
{
    bench_stage *stage = context;
    uint8_t element[ELEMENT_BYTES];
    uint64_t good = 0;
    uint8_t last = 0;
    for (int i = 0; i < ROUND; i++) {
        int code = kc_channel_recv(stage->channels[0], element, sizeof element, NULL, KC_NEVER);
        good += code == KC_OK && (i == 0 || element[0] == (uint8_t)(last + 1));
        last = element[0];
    }
    return good == ROUND ? ROUND : 0;
}

static uint64_t round_select(void *context)
{
    bench_stage *stage = context;
    uint8_t elements[CHANNELS][ELEMENT_BYTES];
    uint64_t good = 0;
    for (int i = 0; i < ROUND; i++) {
        kc_channel_clause clauses[CHANNELS];
        uint32_t index = 0;
        for (int n = 0; n < CHANNELS; n++) {
            clauses[n] = (kc_channel_clause){.channel = stage->channels[n], .dir = KC_CLAUSE_RECV,
                                             .buffer = elements[n], .buffer_bytes = ELEMENT_BYTES};
        }
        good += kc_channel_select(clauses, CHANNELS, 0, KC_NEVER, NULL, &index) == KC_OK;
    }
    return good == ROUND ? ROUND : 0;
}

static uint64_t round_pair(void *context)
{
    bench_stage *stage = context;
    uint8_t element[ELEMENT_BYTES] = {7}, buffer[ELEMENT_BYTES];
    for (uint32_t i = 0; i < ROUND; i++) {
        memcpy(element, &i, sizeof i);
        if (kc_channel_send(stage->channels[0], element, sizeof element, KC_NEVER) != KC_OK ||
            kc_channel_recv(stage->channels[0], buffer, sizeof buffer, NULL, KC_NEVER) != KC_OK ||
            memcmp(buffer, element, ELEMENT_BYTES) != 0) {
            return 0;
        }
    }
    return ROUND;
}

static void yield_all(void *context)
{
    bench_stage *stage = context;
    while (atomic_load_explicit(&stage->over, memory_order_relaxed) == 0) {
        atomic_fetch_add_explicit(&stage->seen, 1, memory_order_relaxed);
        kc_co_yield();
    }
}

static uint64_t round_yield(void *context)
{
    bench_stage *stage = context;
    uint64_t before = atomic_load_explicit(&stage->seen, memory_order_relaxed);
    for (int i = 0; i < ROUND; i++) {
        kc_co_yield();
    }
    uint64_t switched = atomic_load_explicit(&stage->seen, memory_order_relaxed) - before;
    return switched != 0 ? ROUND + switched : 0;
}

static void measure_here(void *context)
{
    bench_stage *stage = context;
    stage->code = bench_report(stage->round, stage, stage->seconds);
    atomic_store_explicit(&stage->over, 1, memory_order_relaxed);
    for (uint32_t i = 0; i < stage->count; i++) {
        kc_channel_close(stage->channels[i]);
    }
    uint8_t element[ELEMENT_BYTES];
    for (uint32_t i = 0; i < stage->count; i++) { /* senders that wait still drain */
        while (kc_channel_recv(stage->channels[i], element, sizeof element, NULL, KC_NEVER) == KC_OK) {
        }
    }
}

static uint32_t processors(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? (uint32_t)CPU_COUNT(&set) : 1;
}

static int spawn_all(kc_sched *sched, bench_stage *stage)
{
    int code = KC_OK;
    for (uint32_t i = 0; i < stage->count && stage->other != NULL && code == KC_OK; i++) {
        code = kc_sched_spawn(sched, stage->other, stage->other == send_all ? stage->channels[i] : (void *)stage, NULL);
    }
    return code == KC_OK ? kc_sched_spawn(sched, measure_here, stage, NULL) : code;
}

static int measure(bench_stage *stage, const kc_channel_config *config)
{
    kc_sched_config workers = {.workers = processors()};
    kc_sched *sched = NULL;
    kc_hub *hub = NULL;
    int code = kc_hub_make(NULL, &hub);
    for (uint32_t i = 0; i < stage->count && code == KC_OK; i++) {
        code = kc_channel_make(hub, config, &stage->channels[i]);
    }
    if (code == KC_OK) {
        code = kc_sched_make(&workers, &sched);
    }
    if (code == KC_OK) {
        code = spawn_all(sched, stage);
    }
    kc_sched_free(sched);
    for (uint32_t i = 0; i < stage->count; i++) {
        kc_channel_drop(stage->channels[i]);
    }
    kc_hub_free(hub);
    return code == KC_OK ? stage->code : 1;
}

static const struct bench_mode {
    const char *name;
    bench_round round;
    kc_co_fn other;
    uint32_t channels, capacity;
} MODES[] = {
    {"rendezvous", round_one, send_all, 1, 0},   {"buffered", round_one, send_all, 1, CAPACITY},
    {"select", round_select, send_all, 2, 0},    {"pair", round_pair, NULL, 1, CAPACITY},
    {"yield", round_yield, yield_all, 1, 0},
};

int main(int argc, char **argv)
{
    const char *wanted = argc == 3 ? argv[1] : "";
    for (size_t i = 0; i < sizeof MODES / sizeof *MODES; i++) {
        const struct bench_mode *mode = &MODES[i];
        if (strcmp(wanted, mode->name) == 0) {
            kc_channel_config config = {.kind = mode->capacity != 0 ? KC_KIND_BUFFERED : KC_KIND_RENDEZVOUS,
                                        .capacity = mode->capacity, .elem_size = ELEMENT_BYTES};
            bench_stage stage = {.count = mode->channels, .round = mode->round, .other = mode->other,
                                 .seconds = argv[2], .code = 1};
            return measure(&stage, &config);
        }
    }
    fprintf(stderr, "usage: bench_handover rendezvous|buffered|select|pair|yield SECONDS\n");
    return 2;
}
