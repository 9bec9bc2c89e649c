/* fuzz_world.h: what a program of fuzz_pump.c acts on, and what a failed check does. */
#ifndef FUZZ_WORLD_H
#define FUZZ_WORLD_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/kc_frame.h"
#include "ipc/kc_pump_parts.h"

enum { CONNS = 3, CHANS = 3, FIRST_CHAN = 1001, FRAME_BYTES = 1 << 20, REGIONS = 8 };
enum { MARKS = 4 /* frames of one step */, HEARD_BYTES = 1 << 18 };

#define MUST(condition) ((condition) ? (void)0 : fail(#condition, __FILE__, __LINE__))

static void fail(const char *what, const char *file, int line)
{
    fprintf(stderr, "%s:%d: %s\n", file, line, what);
    abort();
}

typedef struct program {
    const uint8_t *at, *end;
} program;

static uint8_t next(program *p)
{
    return p->at == p->end ? 0 : *p->at++;
}

typedef struct outcome {
    uint64_t hash[CONNS], bytes[CONNS];
    uint64_t ends;
    bool raced; /* what one was fed let another one's frames be served: who comes first depends on the cut */
    bool astray; /* files came that no frame names: when that is seen depends on it too */
} outcome;

typedef struct mark { /* files that come with the byte at `at` of what is fed: of a frame, its first or its second */
    size_t frame_at, at;
    uint32_t count;
    int32_t files[KC_MAX_MESSAGE_FILES + 1];
} mark;

typedef struct reader { /* a peer that takes frames apart */
    uint8_t bytes[HEARD_BYTES]; /* of the frame at hand, as far as they fit */
    uint64_t have;
    uint32_t file_count;
    uint32_t serials[KC_MAX_MESSAGE_FILES]; /* of the files that came with it */
} reader;

typedef struct world {
    kc_engine *engine;
    kc_pump *pump;
    kc_conn conns[CONNS];
    kc_chan chans[CHANS];
    kc_ticket regions[REGIONS];
    uint32_t region_count; /* ever added */
    uint32_t account;
    uint32_t files; /* ever made */
    bool split;
    bool honest; /* so far each element came with the files it speaks of */
    uint32_t piece; /* bytes of the next one */
    outcome seen;
    uint8_t *frame; /* FRAME_BYTES */
    size_t frame_bytes;
    mark marks[MARKS];
    uint32_t mark_count;
    reader *readers; /* CONNS */
} world;

static void check(const world *w)
{
    char why[256] = "";
    if (kc_engine_check(w->engine, why, sizeof why) != KC_OK) {
        fail(why, __FILE__, 0);
    }
}

static void run_dry(const world *w)
{
    while (kc_pump_run(w->pump) == KC_PUMP_MORE) {
    }
}

#endif
