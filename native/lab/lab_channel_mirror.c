/* lab_channel_mirror.c: the scenario of lab_token_vm_mirror on the runtime itself: coroutines of a scheduler with one
 * worker, and a channel of pointers of the engine. Two producers and two consumers trade buffers of 1 KiB, written
 * where they lie, read where they lie, given back. One coroutine spawns the four, producers first, and each yields
 * after a message: nothing else orders them but the scheduler's queue and whoever waits at the channel. With 8 places
 * the lines are the mirror's. With one (an argument) somebody always waits there, and who gets how many is the
 * channel's matter: the total alone is told, and that nobody waited is a failure. One worker, so what the four share
 * needs no lock. A copy of a whole buffer, by whatever part of the program, is counted and is a failure. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kcoro/kc_channel.h"

enum { PAIRS = 2, BUFFER_BYTES = 1024, WORDS = BUFFER_BYTES / sizeof(uint64_t) };
enum { BUFFERS = 16, MOST_CAPACITY = BUFFERS / 2 };

static uint64_t copies; /* of BUFFER_BYTES or more (-Wl,--wrap) */

void *__real_memcpy(void *to, const void *from, size_t bytes);
void *__real_memmove(void *to, const void *from, size_t bytes);
void *__wrap_memcpy(void *to, const void *from, size_t bytes);
void *__wrap_memmove(void *to, const void *from, size_t bytes);

void *__wrap_memcpy(void *to, const void *from, size_t bytes) {
    copies += bytes >= BUFFER_BYTES;
    return __real_memcpy(to, from, bytes);
}

void *__wrap_memmove(void *to, const void *from, size_t bytes) {
    copies += bytes >= BUFFER_BYTES;
    return __real_memmove(to, from, bytes);
}

typedef struct buffer {
    uint64_t words[WORDS];
} buffer;

typedef struct world {
    kc_sched *sched;
    kc_hub *hub;
    kc_channel *channel;
    uint32_t capacity, sending;
    uint64_t messages; /* of each producer */
    uint64_t faults;
    struct side {
        struct world *world;
        uint32_t number;
        uint64_t count, sum;
        buffer *unused[BUFFERS];
        uint32_t unused_count;
        buffer buffers[BUFFERS];
    } sides[2 * PAIRS]; /* producers, then consumers */
} world;

static uint64_t word_of(uint32_t producer, uint64_t value, size_t at) {
    return (value + 1) * 0x9e3779b97f4a7c15u + at * 0xff51afd7ed558ccdu + producer;
}

static void produce(void *arg) {
    struct side *p = arg;
    world *w = p->world;

    for (; p->count < w->messages && p->unused_count != 0; p->count++) {
        buffer *b = p->unused[--p->unused_count];
        b->words[0] = p->count;
        for (size_t at = 1; at < WORDS; at++)
            b->words[at] = word_of(p->number, p->count, at);
        w->faults += kc_channel_send_ptr(w->channel, b, sizeof *b, KC_NEVER) != KC_OK;
        kc_co_yield();
    }
    if (--w->sending == 0)
        w->faults += kc_channel_close(w->channel) != KC_OK;
}

/* The producer whose memory this is, if it says what that one wrote. */
static struct side *home_of(world *w, const buffer *b, uint64_t len_bytes) {
    struct side *home = NULL;

    for (uint32_t i = 0; i < PAIRS; i++) {
        if (b >= w->sides[i].buffers && b < w->sides[i].buffers + BUFFERS)
            home = &w->sides[i];
    }
    for (size_t at = 1; home != NULL && at < WORDS; at++) {
        if (len_bytes != sizeof *b || home->unused_count == BUFFERS ||
            b->words[at] != word_of(home->number, b->words[0], at))
            home = NULL;
    }
    return home;
}

static void consume(void *arg) {
    struct side *c = arg;
    void *memory = NULL;
    uint64_t len_bytes = 0;

    while (kc_channel_recv_ptr(c->world->channel, &memory, &len_bytes, KC_NEVER) == KC_OK) {
        buffer *b = memory;
        struct side *home = home_of(c->world, b, len_bytes);
        c->count++;
        if (home == NULL) {
            c->world->faults++;
        } else {
            c->sum += b->words[0];
            home->unused[home->unused_count++] = b;
        }
        kc_co_yield();
    }
}

static void spawn_all(void *arg) {
    world *w = arg;

    w->sending = PAIRS;
    for (uint32_t i = 0; i < 2 * PAIRS; i++) {
        struct side *side = &w->sides[i];
        side->world = w;
        side->number = i;
        while (i < PAIRS && side->unused_count < BUFFERS) {
            side->unused[side->unused_count] = &side->buffers[side->unused_count];
            side->unused_count++;
        }
        w->faults += kc_sched_spawn(w->sched, i < PAIRS ? produce : consume, side, NULL) != KC_OK;
    }
}

static int run(world *w) {
    const kc_sched_config sched = {.workers = 1};
    const kc_channel_config channel = {.kind = KC_KIND_BUFFERED, .capacity = w->capacity};
    int rc = kc_sched_make(&sched, &w->sched);

    if (rc == KC_OK)
        rc = kc_hub_make(NULL, &w->hub);
    if (rc == KC_OK)
        rc = kc_channel_make(w->hub, &channel, &w->channel);
    if (rc == KC_OK)
        rc = kc_sched_spawn(w->sched, spawn_all, w, NULL);
    if (rc == KC_OK)
        rc = kc_sched_drain(w->sched, KC_NEVER);
    return rc;
}

/* Pointers that the channel carried, by its own count. */
static uint64_t handed_over(const world *w) {
    kc_chan_zstats z = {0};

    (void)kc_chan_get_zstats(kc_hub_engine(w->hub), kc_channel_ticket(w->channel), &z);
    return z.zref_sent == z.zref_received ? z.zref_received : 0;
}

/* Those who waited at the channel and were matched there, by its own count. */
static uint64_t waited(const world *w) {
    kc_chan_snapshot now;

    (void)kc_chan_measure(kc_hub_engine(w->hub), kc_channel_ticket(w->channel), &now);
    return now.stat[KC_STAT_MATCHED_WAITERS];
}

static uint64_t tell(const world *w, bool each) {
    uint64_t count = 0, sum = 0;

    for (uint32_t i = 0; i < PAIRS; i++) {
        const struct side *c = &w->sides[PAIRS + i];
        if (each)
            printf("consumer[%" PRIu32 "] received=%" PRIu64 " sum=%" PRIu64 "\n", i, c->count, c->sum);
        count += c->count;
        sum += c->sum;
    }
    printf("total received=%" PRIu64 " total sum=%" PRIu64 "\n", count, sum);
    return count;
}

static int counts_copies(void) {
    static char from[BUFFER_BYTES], to[BUFFER_BYTES];
    void *(*volatile copy)(void *, const void *, size_t) = memcpy;

    copies = 0;
    copy(to, from, sizeof to);
    int counted = copies == 1;
    copies = 0;
    return counted;
}

int main(int argc, char **argv) {
    static world w;
    bool narrow = argc > 1;
    int good = 0;

    w.capacity = narrow ? (uint32_t)strtoul(argv[1], NULL, 10) : MOST_CAPACITY;
    w.messages = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000;
    if (w.capacity < 1 || w.capacity > MOST_CAPACITY) {
        fprintf(stderr, "usage: lab_channel_mirror [capacity [messages]], capacity 1 to %d\n", MOST_CAPACITY);
    } else if (!counts_copies() || run(&w) != KC_OK) {
        fprintf(stderr, "lab_channel_mirror: copies are not counted, or there is no memory\n");
    } else {
        uint64_t count = tell(&w, !narrow), carried = handed_over(&w);
        good = count == PAIRS * w.messages && carried == count && w.faults == 0 && copies == 0 &&
               (!narrow || waited(&w) != 0);
        if (!good)
            fprintf(stderr, "lab_channel_mirror: %" PRIu64 " pointers carried, %" PRIu64 " waited for, %" PRIu64
                            " faults, %" PRIu64 " copies\n", carried, waited(&w), w.faults, copies);
        kc_channel_drop(w.channel);
        kc_hub_free(w.hub);
        kc_sched_free(w.sched);
    }
    return !good;
}
