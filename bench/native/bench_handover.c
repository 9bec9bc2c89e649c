/* bench_handover.c: P7, what it costs to hand 64 B from one coroutine to another in one process.
 *
 *   bench_handover rendezvous|buffered|select SECONDS
 *
 * select: the receiver selects over two rendezvous channels, each with a sender of its own. As many workers as there are
 * processors to run on. Prints nanoseconds for each message received.
 */
#include <sched.h>
#include <string.h>

#include "bench_clock.h"
#include "kcoro/kc_channel.h"
#include "kcoro/kc_sched.h"

enum { ROUND = 1024, ELEMENT_BYTES = 64, CAPACITY = 64, CHANNELS = 2 };

typedef struct bench_stage {
    kc_channel *channels[CHANNELS];
    uint32_t count; /* of channels */
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

static void receive_all(void *context)
{
    bench_stage *stage = context;
    stage->code = bench_report(stage->count == 1 ? round_one : round_select, stage, stage->seconds);
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
    for (uint32_t i = 0; i < stage->count && code == KC_OK; i++) {
        code = kc_sched_spawn(sched, send_all, stage->channels[i], NULL);
    }
    if (code == KC_OK) {
        code = kc_sched_spawn(sched, receive_all, stage, NULL);
    }
    kc_sched_free(sched);
    for (uint32_t i = 0; i < stage->count; i++) {
        kc_channel_drop(stage->channels[i]);
    }
    kc_hub_free(hub);
    return code == KC_OK ? stage->code : 1;
}

int main(int argc, char **argv)
{
    const char *mode = argc == 3 ? argv[1] : "";
    int buffered = strcmp(mode, "buffered") == 0;
    int selects = strcmp(mode, "select") == 0;
    if (!buffered && !selects && strcmp(mode, "rendezvous") != 0) {
        fprintf(stderr, "usage: bench_handover rendezvous|buffered|select SECONDS\n");
        return 2;
    }
    kc_channel_config config = {.kind = buffered ? KC_KIND_BUFFERED : KC_KIND_RENDEZVOUS,
                                .capacity = buffered ? CAPACITY : 0, .elem_size = ELEMENT_BYTES};
    bench_stage stage = {.count = selects ? CHANNELS : 1, .seconds = argv[2], .code = 1};
    return measure(&stage, &config);
}
