/* kc_rt.h: what tests of the runtime share. No test waits by the clock: threads wait for words, coroutines for
 * unparks. */
#ifndef KC_RT_H
#define KC_RT_H

#include <sched.h>

#include "kc_test.h"
#include "kcoro/kc_channel.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define RT_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define RT_SANITIZED 1
#endif
#endif

/* Sanitizers make frames larger and everything slower; an emulator is slow and its own memory is the process's. */
#ifdef RT_SANITIZED
enum { RT_STACK_BYTES = 256 << 10, RT_SCALE = 10 };
#elif defined(KC_EMULATED)
enum { RT_STACK_BYTES = 64 << 10, RT_SCALE = 10 };
#else
enum { RT_STACK_BYTES = 64 << 10, RT_SCALE = 1 };
#endif

static inline kc_sched *rt_sched(uint32_t workers) {
    kc_sched_config config = {.workers = workers, .stack_bytes = RT_STACK_BYTES};
    kc_sched *sched = NULL;

    KC_REQUIRE(kc_sched_make(&config, &sched) == KC_OK);
    return sched;
}

static inline kc_co *rt_co(kc_co_fn fn, void *arg, const char *name) {
    kc_co_config config = {.fn = fn, .arg = arg, .name = name, .stack_bytes = RT_STACK_BYTES};
    kc_co *co = NULL;

    KC_REQUIRE(kc_co_make(&config, &co) == KC_OK);
    return co;
}

/* Channels with a lock each, over an engine of the hub's own; with RT_SHARED (these tests are built a second time)
 * those of an engine that others could use too. */
static inline kc_hub *rt_hub(void) {
    kc_engine *engine = NULL;
    kc_hub *hub = NULL;

#ifdef RT_SHARED
    KC_REQUIRE(kc_engine_make(&(kc_engine_config){.parked_per_channel = 1 << 20}, &engine) == KC_OK);
#endif
    KC_REQUIRE(kc_hub_make(engine, &hub) == KC_OK);
    return hub;
}

static inline void rt_hub_free(kc_hub *hub) {
#ifdef RT_SHARED
    kc_engine *engine = kc_hub_engine(hub);

    kc_hub_free(hub);
    kc_engine_free(engine);
#else
    kc_hub_free(hub);
#endif
}

static inline void rt_spawn(kc_sched *sched, kc_co_fn fn, void *arg) {
    KC_REQUIRE(kc_sched_spawn(sched, fn, arg, NULL) == KC_OK);
}

/* Until the other thread has got there. */
static inline void rt_until(const _Atomic uint32_t *word, uint32_t value) {
    while (atomic_load(word) != value)
        (void)sched_yield();
}

static inline void rt_until_state(kc_co *co, enum kc_co_state state) {
    while (kc_co_state_of(co) != state)
        (void)sched_yield();
}

/* A coroutine that keeps its worker until it is told to end. */
typedef struct rt_spinner {
    _Atomic uint32_t busy, stop;
} rt_spinner;

static inline void rt_spins(void *arg) {
    rt_spinner *s = arg;

    atomic_store(&s->busy, 1);
    rt_until(&s->stop, 1);
}

static inline void rt_occupy(kc_sched *sched, rt_spinner *s) {
    rt_spawn(sched, rt_spins, s);
    rt_until(&s->busy, 1);
}

/* Runs test with 1, 2 and 4 workers. */
static inline void rt_with_workers(void (*test)(uint32_t workers)) {
    test(1);
    test(2);
    test(4);
}

#endif
