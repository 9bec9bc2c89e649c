/* kc_rt_world.h: a hub and a scheduler for one test. After it the engine is checked, and nobody and nothing is left in
 * it. With RT_SHARED the engine is one that others could use (kc_rt.h).
 */
#ifndef KC_RT_WORLD_H
#define KC_RT_WORLD_H

#include "kc_rt.h"
#include "kcoro/kc_task.h"

typedef struct world {
    kc_hub *hub;
    kc_sched *sched;
} world;

static inline world begin(uint32_t workers) {
    return (world){.hub = rt_hub(), .sched = rt_sched(workers)};
}

static inline void check(const world *w) {
    char why[256] = "";

    KC_CHECK_EQ(kc_engine_check(kc_hub_engine(w->hub), why, sizeof why), KC_OK);
    KC_CHECK_STR(why, "");
}

/* All coroutines have ended by then, and all handles were dropped. */
static inline void end(world *w) {
    kc_engine_usage usage;

    kc_sched_free(w->sched);
    check(w);
    kc_engine_measure(kc_hub_engine(w->hub), &usage);
    KC_CHECK_EQ(usage.channels, 0);
    KC_CHECK_EQ(usage.tokens + usage.messages + usage.parked + usage.held + usage.block_bytes, 0);
    rt_hub_free(w->hub);
}

static inline kc_channel *channel_of(const world *w, int32_t kind, uint32_t capacity, uint32_t elem_size) {
    kc_channel_config config = {.kind = kind, .capacity = capacity, .elem_size = elem_size};
    kc_channel *c = NULL;

    KC_REQUIRE(kc_channel_make(w->hub, &config, &c) == KC_OK);
    return c;
}

static inline kc_task_scope *scope_of(const world *w, kc_cancel *parent) {
    kc_task_scope *scope = NULL;

    KC_REQUIRE(kc_task_scope_make(w->sched, parent, &scope) == KC_OK);
    return scope;
}

#endif
