/* kc_gang.h: threads of a test that begin together, and how much work a test asks of them.
 *
 * Under a sanitizer a tenth of the work is enough.
 */
#ifndef KC_GANG_H
#define KC_GANG_H

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>

#include "kc_test.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define KC_GANG_SLOW 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define KC_GANG_SLOW 1
#endif
#endif
#if !defined(KC_GANG_SLOW) && defined(KC_EMULATED)
#define KC_GANG_SLOW 1
#endif

#ifdef KC_GANG_SLOW
#define KC_MANY(count) ((count) / 10)
#else
#define KC_MANY(count) (count)
#endif

enum { KC_GANG_MAX = 16 };

typedef struct kc_gang {
    pthread_t threads[KC_GANG_MAX];
    uint32_t count;
    pthread_barrier_t line;
} kc_gang;

typedef struct kc_gang_place {
    kc_gang *gang;
    void (*work)(void *arg);
    void *arg;
} kc_gang_place;

static inline void *kc_gang_run(void *arg) {
    kc_gang_place place = *(kc_gang_place *)arg;

    free(arg);
    (void)pthread_barrier_wait(&place.gang->line);
    place.work(place.arg);
    return NULL;
}

/* `count` threads will join; the last one to join starts them all. */
static inline void kc_gang_begin(kc_gang *g, uint32_t count) {
    g->count = 0;
    KC_REQUIRE(pthread_barrier_init(&g->line, NULL, count) == 0);
}

static inline void kc_gang_join(kc_gang *g, void (*work)(void *arg), void *arg) {
    kc_gang_place *place = malloc(sizeof *place);

    KC_REQUIRE(place != NULL && g->count < KC_GANG_MAX);
    *place = (kc_gang_place){.gang = g, .work = work, .arg = arg};
    KC_REQUIRE(pthread_create(&g->threads[g->count++], NULL, kc_gang_run, place) == 0);
}

static inline void kc_gang_end(kc_gang *g) {
    for (uint32_t i = 0; i < g->count; i++)
        KC_REQUIRE(pthread_join(g->threads[i], NULL) == 0);
    KC_REQUIRE(pthread_barrier_destroy(&g->line) == 0);
}

#endif
