/* lab_token_vm_mirror.c: two producers and two consumers trade buffers of 1 KiB by descriptor through a channel of 8.
 * Each buffer is written where it lies, read where it lies, and given back; a copy made by this program would be
 * counted (memcpy and memmove of its objects are linked to the counters below) and is a failure. What it prints follows
 * from the order of turns: one message each, producers first, so the first consumer gets all of the first producer.
 *
 *     lab_token_vm_mirror [capacity [messages]]        8 and 1,000 of each producer when not said
 *
 * The same scenario on coroutines and channels of the runtime is lab_channel_mirror.c. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kc_mirror.h"
#include "kcoro/kc_types.h"

enum { PAIRS = 2, BUFFER_BYTES = 1024, WORDS = BUFFER_BYTES / sizeof(uint64_t), BUFFERS = KC_MIRROR_SLOTS + 1 };

/* What a copy by this program comes to (-Wl,--wrap). */
static struct {
    uint64_t calls, bytes;
} copies;

void *__real_memcpy(void *to, const void *from, size_t bytes);
void *__real_memmove(void *to, const void *from, size_t bytes);
void *__wrap_memcpy(void *to, const void *from, size_t bytes);
void *__wrap_memmove(void *to, const void *from, size_t bytes);

void *__wrap_memcpy(void *to, const void *from, size_t bytes) {
    copies.calls++;
    copies.bytes += bytes;
    return __real_memcpy(to, from, bytes);
}

void *__wrap_memmove(void *to, const void *from, size_t bytes) {
    copies.calls++;
    copies.bytes += bytes;
    return __real_memmove(to, from, bytes);
}

void kc_vm_shown(const kc_registers *live) { (void)live; }

typedef struct world {
    kc_mirror mirror;
    kc_mirror_channel channel;
    uint64_t messages;
    uint32_t sending; /* producers that are not done */
    uint64_t faults;
    struct side {
        struct world *world;
        uint32_t number;
        uint64_t count, sum;
        kc_mirror_desc hand; /* filled, and not yet taken by the channel */
        uint64_t *unused[BUFFERS];
        uint32_t unused_count;
        uint64_t buffers[BUFFERS][WORDS];
    } producers[PAIRS], consumers[PAIRS];
} world;

static uint64_t word_of(uint32_t producer, uint64_t value, size_t at) {
    return (value + 1) * 0x9e3779b97f4a7c15u + at * 0xff51afd7ed558ccdu + producer;
}

/* The value, and words that only this producer's buffer with this value has. */
static void fill(struct side *p) {
    uint64_t *buffer = p->unused[--p->unused_count];

    buffer[0] = p->count;
    for (size_t at = 1; at < WORDS; at++)
        buffer[at] = word_of(p->number, p->count, at);
    p->hand = (kc_mirror_desc){buffer, BUFFER_BYTES, p->number};
}

static void produce(void *arg) {
    struct side *p = arg;
    world *w = p->world;

    w->mirror.turn = KC_MIRROR_DONE;
    if (p->hand.memory == NULL && p->count < w->messages && p->unused_count != 0)
        fill(p); /* none unused: somebody did not give back; the total will say so */
    if (p->hand.memory != NULL && kc_mirror_send(&w->mirror, &w->channel, &p->hand) == KC_EAGAIN) {
        w->mirror.turn = KC_MIRROR_WAITS;
    } else if (p->hand.memory != NULL) {
        p->hand.memory = NULL;
        p->count++;
        w->mirror.turn = KC_MIRROR_AGAIN;
    } else if (--w->sending == 0) {
        kc_mirror_close(&w->mirror, &w->channel);
    }
}

/* Reads it where it lies; the memory is its producer's own, or something moved. */
static void read_through(struct side *c, const kc_mirror_desc *desc) {
    struct side *p = &c->world->producers[desc->home];
    uint64_t *buffer = desc->memory;
    bool good = desc->len_bytes == BUFFER_BYTES && buffer >= p->buffers[0] && buffer <= p->buffers[BUFFERS - 1] &&
                p->unused_count < BUFFERS;

    for (size_t at = 1; good && at < WORDS; at++)
        good = buffer[at] == word_of(p->number, buffer[0], at);
    if (good) {
        c->sum += buffer[0];
        p->unused[p->unused_count++] = buffer;
    }
    c->world->faults += !good;
    c->count++;
}

static void consume(void *arg) {
    struct side *c = arg;
    world *w = c->world;
    kc_mirror_desc desc;
    int rc = kc_mirror_recv(&w->mirror, &w->channel, &desc);

    w->mirror.turn = rc == KC_EAGAIN ? KC_MIRROR_WAITS : rc == KC_OK ? KC_MIRROR_AGAIN : KC_MIRROR_DONE;
    if (rc == KC_OK)
        read_through(c, &desc);
}

static int begin(world *w) {
    int rc = KC_OK;

    w->sending = PAIRS;
    for (uint32_t i = 0; i < 2 * PAIRS && rc == KC_OK; i++) {
        struct side *side = i < PAIRS ? &w->producers[i] : &w->consumers[i - PAIRS];
        side->world = w;
        side->number = i % PAIRS;
        while (i < PAIRS && side->unused_count < BUFFERS) {
            side->unused[side->unused_count] = side->buffers[side->unused_count];
            side->unused_count++;
        }
        rc = kc_mirror_spawn(&w->mirror, i < PAIRS ? produce : consume, side);
    }
    return rc;
}

/* The counter counts, seen before it is trusted. */
static int counts_copies(void) {
    char from[BUFFER_BYTES] = {1}, to[BUFFER_BYTES];
    void *(*volatile copy)(void *, const void *, size_t) = memcpy;

    copies.calls = copies.bytes = 0;
    copy(to, from, sizeof to);
    int counted = copies.calls == 1 && copies.bytes == BUFFER_BYTES && to[0] == 1;
    copies.calls = copies.bytes = 0;
    return counted;
}

static int tell(const world *w) {
    uint64_t count = 0, sum = 0;

    for (uint32_t i = 0; i < PAIRS; i++) {
        printf("consumer[%" PRIu32 "] received=%" PRIu64 " sum=%" PRIu64 "\n", i, w->consumers[i].count,
               w->consumers[i].sum);
        count += w->consumers[i].count;
        sum += w->consumers[i].sum;
    }
    printf("total received=%" PRIu64 " total sum=%" PRIu64 "\n", count, sum);
    return count == PAIRS * w->messages;
}

int main(int argc, char **argv) {
    static world w;
    int good = 0;

    w.channel.capacity = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 8;
    w.messages = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000;
    if (w.channel.capacity < 1 || w.channel.capacity > KC_MIRROR_SLOTS) {
        fprintf(stderr, "usage: lab_token_vm_mirror [capacity [messages]], capacity 1 to %d\n", KC_MIRROR_SLOTS);
    } else if (!counts_copies() || begin(&w) != KC_OK) {
        fprintf(stderr, "lab_token_vm_mirror: copies are not counted, or the records do not fit\n");
    } else {
        uint32_t living = kc_mirror_run(&w.mirror);
        good = tell(&w) && living == 0 && w.faults == 0 && copies.calls == 0;
        if (!good)
            fprintf(stderr, "lab_token_vm_mirror: %" PRIu32 " never ended, %" PRIu64 " buffers were wrong, %" PRIu64
                            " copies of %" PRIu64 " bytes\n", living, w.faults, copies.calls, copies.bytes);
    }
    return !good;
}
