/* kc_rt_crowd.h: many senders and many receivers at one channel of numbers, each of which is to be seen once. */
#ifndef KC_RT_CROWD_H
#define KC_RT_CROWD_H

#include "kc_rt_world.h"

typedef struct crowd {
    world w;
    kc_channel *in, *other;
    uint32_t each;
    _Atomic uint32_t senders_left, number, received;
    _Atomic uint8_t *seen;
    _Atomic uint64_t cancelled, timed_out;
} crowd;

enum { SENDERS = 6, RECEIVERS = 5, EACH = 2000 / RT_SCALE };

static inline void saw(crowd *c, uint32_t value) {
    KC_CHECK_EQ(atomic_fetch_add(&c->seen[value], 1), 0);
    (void)atomic_fetch_add(&c->received, 1);
}

static inline crowd gather(uint32_t workers, int32_t kind, uint32_t capacity) {
    crowd c = {.w = begin(workers), .each = EACH, .senders_left = SENDERS + 1};

    c.in = channel_of(&c.w, kind, capacity, sizeof(uint32_t));
    c.seen = calloc((SENDERS + 1) * EACH, 1);
    KC_REQUIRE(c.seen != NULL);
    return c;
}

static inline void disperse(crowd *c) {
    KC_CHECK_EQ(kc_sched_drain(c->w.sched, KC_NEVER), KC_OK);
    kc_channel_drop(c->in);
    end(&c->w);
    free((void *)c->seen);
}

static inline uint64_t stat_of(const world *w, kc_channel *c, uint32_t stat) {
    kc_chan_snapshot snapshot;

    KC_REQUIRE(kc_chan_measure(kc_hub_engine(w->hub), kc_channel_ticket(c), &snapshot) == KC_OK);
    return snapshot.stat[stat];
}

#endif
