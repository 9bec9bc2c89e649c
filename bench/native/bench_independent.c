/* bench_independent.c: pairs of coroutines, each with a channel of its own:
 * do workers that have nothing in common meet?
 *
 *   bench_independent [shared-]rendezvous|[shared-]buffered PAIRS WORKERS WHAT SECONDS
 *     rate      messages a second, all together
 *     share     of a hundred messages, how many were sent by the worker that sent fewest; 100 / WORKERS: even
 *     counters  what the scheduler counted
 *
 * shared-: all channels stand in one engine, under its one lock. Elements have 64 B, and each carries its number. A
 * sender looks at the clock once in 1,024 messages, and closes its channel when the time is over. Each pair's count and
 * sum of numbers are compared at the end: a message lost, sent twice or brought to another pair fails the program.
 */
#include <pthread.h>
#include <string.h>

#include "bench_clock.h"
#include "kcoro/kc_channel.h"

enum { ROUND = 1024, ELEMENT_BYTES = 64, CAPACITY = 64, PAIRS_MAX = 1024, WORKERS_MAX = 8 };

typedef struct bench_pair {
    _Alignas(128) kc_channel *channel; /* two pairs share no line */
    double end_ns;
    uint64_t first; /* number of its first message */
    uint64_t sent, sent_sum, received, received_sum;
    uint64_t by_worker[WORKERS_MAX + 1]; /* messages sent there; last: by none, which must not be */
    pthread_t workers[WORKERS_MAX];
} bench_pair;

typedef struct bench_stage {
    kc_engine *engine; /* NULL: the hub's own */
    kc_hub *hub;
    kc_sched *sched;
    bench_pair *pairs;
    uint32_t count, workers;
    double begin_ns, took_ns;
    kc_sched_usage usage;
} bench_stage;

/* Never inlined: a coroutine may go on in another thread, and what the compiler keeps of the last one is stale. */
static __attribute__((noinline)) pthread_t this_thread(void)
{
    __asm__ volatile("" ::: "memory");
    return pthread_self();
}

static void note_worker(bench_pair *pair, uint64_t messages)
{
    pthread_t self = this_thread();
    uint32_t i = 0;
    while (i < WORKERS_MAX && pair->workers[i] != 0 && !pthread_equal(pair->workers[i], self)) {
        i++;
    }
    if (i < WORKERS_MAX) {
        pair->workers[i] = self;
    }
    pair->by_worker[i] += messages;
}

static void send_all(void *context)
{
    bench_pair *pair = context;
    uint64_t element[ELEMENT_BYTES / sizeof(uint64_t)] = {0};
    uint64_t number = pair->first, count = 0;
    int code = KC_OK;
    while (code == KC_OK && bench_now_ns() < pair->end_ns) {
        for (uint32_t i = 0; i < ROUND && code == KC_OK; i++) {
            element[0] = number;
            code = kc_channel_send(pair->channel, element, sizeof element, KC_NEVER);
            pair->sent_sum += code == KC_OK ? number++ : 0;
            count += code == KC_OK;
        }
        note_worker(pair, ROUND);
    }
    pair->sent = count;
    (void)kc_channel_close(pair->channel);
}

static void receive_all(void *context)
{
    bench_pair *pair = context;
    uint64_t element[ELEMENT_BYTES / sizeof(uint64_t)];
    uint64_t count = 0, sum = 0;
    while (kc_channel_recv(pair->channel, element, sizeof element, NULL, KC_NEVER) == KC_OK) {
        sum += element[0];
        count++;
    }
    pair->received = count;
    pair->received_sum = sum;
}

static int make_all(bench_stage *stage, const kc_channel_config *config, int shared)
{
    kc_sched_config workers = {.workers = stage->workers};
    int code = shared ? kc_engine_make(NULL, &stage->engine) : KC_OK;
    if (code == KC_OK) {
        code = kc_hub_make(stage->engine, &stage->hub);
    }
    for (uint32_t i = 0; i < stage->count && code == KC_OK; i++) {
        stage->pairs[i].first = (uint64_t)(i + 1) << 40;
        code = kc_channel_make(stage->hub, config, &stage->pairs[i].channel);
    }
    return code == KC_OK ? kc_sched_make(&workers, &stage->sched) : code;
}

static int run_all(bench_stage *stage, double wanted_ns)
{
    int code = KC_OK;
    stage->begin_ns = bench_now_ns();
    for (uint32_t i = 0; i < stage->count && code == KC_OK; i++) {
        bench_pair *pair = &stage->pairs[i];
        pair->end_ns = stage->begin_ns + wanted_ns;
        code = kc_sched_spawn(stage->sched, receive_all, pair, NULL);
        if (code == KC_OK && (code = kc_sched_spawn(stage->sched, send_all, pair, NULL)) != KC_OK) {
            (void)kc_channel_close(pair->channel); /* its receiver ends */
        }
    }
    (void)kc_sched_drain(stage->sched, KC_NEVER);
    stage->took_ns = bench_now_ns() - stage->begin_ns;
    kc_sched_measure(stage->sched, &stage->usage);
    return code;
}

static void free_all(bench_stage *stage)
{
    kc_sched_free(stage->sched);
    for (uint32_t i = 0; i < stage->count; i++) {
        kc_channel_drop(stage->pairs[i].channel);
    }
    kc_hub_free(stage->hub);
    kc_engine_free(stage->engine);
}

/* Messages of all pairs; 0: one was lost, or came twice, or there was none. A pair may have had no turn. */
static uint64_t counted(const bench_stage *stage)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < stage->count; i++) {
        const bench_pair *pair = &stage->pairs[i];
        if (pair->sent != pair->received || pair->sent_sum != pair->received_sum) {
            fprintf(stderr, "pair %u: sent %llu, received %llu, sums %llx and %llx\n", i,
                    (unsigned long long)pair->sent, (unsigned long long)pair->received,
                    (unsigned long long)pair->sent_sum, (unsigned long long)pair->received_sum);
            return 0;
        }
        total += pair->sent;
    }
    return total;
}

/* Of a hundred messages, those of the worker with fewest. */
static double least_share(const bench_stage *stage)
{
    pthread_t workers[WORKERS_MAX] = {0};
    uint64_t by_worker[WORKERS_MAX] = {0}, total = 0, least = UINT64_MAX;
    for (uint32_t i = 0; i < stage->count; i++) {
        for (uint32_t n = 0; n < WORKERS_MAX && stage->pairs[i].workers[n] != 0; n++) {
            uint32_t at = 0;
            while (at + 1 < WORKERS_MAX && workers[at] != 0 &&
                   !pthread_equal(workers[at], stage->pairs[i].workers[n])) {
                at++;
            }
            workers[at] = stage->pairs[i].workers[n];
            by_worker[at] += stage->pairs[i].by_worker[n];
            total += stage->pairs[i].by_worker[n];
        }
    }
    for (uint32_t i = 0; i < stage->workers; i++) {
        least = by_worker[i] < least ? by_worker[i] : least;
    }
    return 100.0 * (double)least / (double)total;
}

static void tell(const bench_stage *stage, const char *what, uint64_t messages)
{
    const kc_sched_usage *u = &stage->usage;
    if (strcmp(what, "rate") == 0) {
        printf("%.0f\n", (double)messages / (stage->took_ns / 1e9));
    } else if (strcmp(what, "share") == 0) {
        printf("%.2f\n", least_share(stage));
    } else {
        printf("messages %llu, least share %.1f %%, switches %llu, own %llu, steals %llu, probes %llu, ready %llu, "
               "inject %llu, sleeps %llu, wakes %llu\n", (unsigned long long)messages, least_share(stage),
               (unsigned long long)u->switches, (unsigned long long)u->fast_path, (unsigned long long)u->steals,
               (unsigned long long)u->steal_probes, (unsigned long long)u->ready_pulls,
               (unsigned long long)u->inject_pulls, (unsigned long long)u->sleeps, (unsigned long long)u->wakes);
    }
}

static int measure(bench_stage *stage, const kc_channel_config *config, int shared, const char *what, double wanted_ns)
{
    int code = KC_ENOMEM;
    uint64_t messages = 0;
    stage->pairs = aligned_alloc(128, stage->count * sizeof *stage->pairs);
    if (stage->pairs != NULL) {
        memset(stage->pairs, 0, stage->count * sizeof *stage->pairs);
        code = make_all(stage, config, shared);
        if (code == KC_OK) {
            code = run_all(stage, wanted_ns);
        }
        free_all(stage);
        messages = code == KC_OK ? counted(stage) : 0;
    }
    if (messages != 0) {
        tell(stage, what, messages);
    } else {
        fprintf(stderr, "no message, or an operation failed (%d)\n", code);
    }
    free(stage->pairs);
    return messages != 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    const char *kind = argc == 6 ? argv[1] : "", *what = argc == 6 ? argv[4] : "";
    int shared = strncmp(kind, "shared-", 7) == 0;
    int buffered = strcmp(kind + 7 * shared, "buffered") == 0;
    int is_kind = buffered || strcmp(kind + 7 * shared, "rendezvous") == 0;
    int is_what = strcmp(what, "rate") == 0 || strcmp(what, "share") == 0 || strcmp(what, "counters") == 0;
    bench_stage stage = {.count = is_what ? (uint32_t)atoi(argv[2]) : 0,
                         .workers = is_what ? (uint32_t)atoi(argv[3]) : 0};
    kc_channel_config config = {.kind = buffered ? KC_KIND_BUFFERED : KC_KIND_RENDEZVOUS,
                                .capacity = buffered ? CAPACITY : 0, .elem_size = ELEMENT_BYTES};
    if (!is_kind || stage.count - 1 >= PAIRS_MAX || stage.workers - 1 >= WORKERS_MAX) {
        fprintf(stderr, "usage: bench_independent [shared-]rendezvous|[shared-]buffered PAIRS WORKERS "
                        "rate|share|counters SECONDS\n");
        return 2;
    }
    return measure(&stage, &config, shared, what, atof(argv[5]) * 1e9);
}
