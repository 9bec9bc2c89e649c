/* kc_attempt.h: an attempt is made with its first request for memory, a mapping, a descriptor or a thread refused
 * (kc_scarce.h), with its second, and so on until none is: each time a code comes back, the same attempt made again
 * succeeds, and in the end nothing is held.
 */
#ifndef KC_ATTEMPT_H
#define KC_ATTEMPT_H

#include <fcntl.h>

#include "kc_rt.h"
#include "kc_scarce.h"
#include "kcoro/kc_channel.h"

/* What a call may use; made before anything is refused, anew for each n. */
typedef struct world {
    kc_sched *sched;
    kc_hub *hub;
    int file, writes; /* a pipe, with one byte in it */
} world;

typedef int (*attempt)(world *w); /* KC_OK, or the code of the first call that was refused */

static inline world begin(bool furnished, const int ends[2]) {
    world w = {.file = ends[0], .writes = ends[1]};

    if (furnished) {
        w.sched = rt_sched(1);
        KC_REQUIRE(kc_hub_make(NULL, &w.hub) == KC_OK);
    }
    return w;
}

static inline void end(world *w) {
    kc_sched_free(w->sched);
    kc_hub_free(w->hub);
}

static inline void check_held(const kc_held *before, int32_t n) {
    kc_held after = scarce_look();

    KC_CHECK_EQ(after.blocks, before->blocks);
    KC_CHECK_EQ(after.mapped_bytes, before->mapped_bytes);
    KC_CHECK_EQ(after.files, before->files);
    KC_CHECK_EQ(after.threads, before->threads);
    if (memcmp(before, &after, sizeof after) != 0)
        fprintf(stderr, "    request %d was refused\n", (int)n);
}

/* The attempt with its n-th request refused, and once more with none. true: there was an n-th. */
static inline bool try_twice(attempt tries, bool furnished, const int ends[2], int32_t n) {
    kc_held before = scarce_look();
    world w = begin(furnished, ends);
    bool refused = false;
    int rc = KC_OK;

    scarce_begin(n);
    rc = tries(&w);
    refused = scarce_end();
    KC_CHECK(rc == KC_OK || (refused && (rc == KC_ENOMEM || rc == KC_EDQUOT)));
    KC_CHECK_EQ(refused && scarce_was_needed() && rc == KC_OK, 0); /* a refusal is told */
    KC_CHECK_EQ(tries(&w), KC_OK);
    end(&w);
    check_held(&before, n);
    return refused;
}

/* least: as many requests at least are known to be there. */
static inline void every_request_may_fail(attempt tries, bool furnished, int32_t least) {
    int ends[2];
    int32_t n = 1;

    KC_REQUIRE(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0 && write(ends[1], "x", 1) == 1);
    while (try_twice(tries, furnished, ends, n))
        n++;
    KC_CHECK_EQ(n - 1 >= least ? least : n - 1, least);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

/* ---- an attempt inside a coroutine ---- */

typedef struct errand {
    world *w;
    attempt tries;
    int rc;
} errand;

static inline void runs_errand(void *arg) {
    errand *e = arg;

    e->rc = e->tries(e->w);
}

static inline int in_coroutine(world *w, attempt tries) {
    errand e = {.w = w, .tries = tries};
    int rc = kc_sched_spawn(w->sched, runs_errand, &e, NULL);

    KC_CHECK_EQ(kc_sched_drain(w->sched, KC_NEVER), KC_OK);
    return rc == KC_OK ? e.rc : rc;
}

static inline int64_t in_an_hour(void) { return kc_after_ns(INT64_C(3600000000000)); }

#endif
