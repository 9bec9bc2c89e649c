/* fuzz_build.h: the frames of one step, built from a few bytes each into world.frame, and the files that come with them
 * in world.marks.
 */
#ifndef FUZZ_BUILD_H
#define FUZZ_BUILD_H

#include "fuzz_files.h"
#include "ipc/kc_bytes.h"

typedef struct wish { /* one frame, and what comes with it */
    uint16_t cmd;
    uint8_t head, ids, what, how; /* how: 0 in a plain frame */
    uint32_t files;   /* in its header */
    uint32_t sent;    /* that come */
    uint32_t serial;  /* of the first one */
} wish;

static void put_element(kc_writer *out, uint8_t size, uint32_t signature)
{
    static const uint32_t sizes[8] = {0, 1, 4, 4, 4, 100, 17000, 65536};
    static uint8_t bytes[65536];
    kc_store_u32(bytes, signature);
    kc_put_bytes(out, KC_ATTR_ELEMENT, bytes, sizes[size & 7]);
}

static void put_range(const world *w, kc_writer *out, uint8_t what)
{
    static const uint64_t offsets[4] = {0, 16, REGION_BYTES - 4, UINT64_MAX - 3};
    static const uint64_t lengths[4] = {4, 4, REGION_BYTES, 0};
    uint8_t value[24];
    kc_store_u64(value, w->regions[what % REGIONS]);
    kc_store_u64(value + 8, offsets[what >> 3 & 3]);
    kc_store_u64(value + 16, lengths[what >> 5 & 3]);
    kc_put_bytes(out, KC_ATTR_DESC, value, what == 255 ? 23 : sizeof value);
}

static void put_clause(const world *w, kc_writer *out, program *p, wish *f, uint32_t files)
{
    uint8_t what = next(p);
    kc_nested_begin(out, KC_ATTR_CLAUSE, 0);
    kc_put_u32(out, KC_ATTR_CHAN_ID, FIRST_CHAN + (what & 3U));
    if (f->how != 0 && (what & 64) != 0) {
        put_range(w, out, next(p));
    }
    if ((what & 4) != 0 || files != 0) {
        put_element(out, files != 0 ? 2 : (what >> 4) & 3, sign(f->serial, files));
    }
    if (files != 0) {
        kc_put_u32(out, KC_ATTR_FILES, files);
        f->serial += files;
    }
    if ((what & 8) != 0) {
        kc_put_u32(out, KC_ATTR_FLAGS, (what >> 4) & 15U);
    }
    kc_nested_end(out);
}

static void put_optional(kc_writer *out, program *p, uint8_t what)
{
    static const int32_t timeouts[4] = {0, -1, 5, 50};
    kc_put_i32(out, KC_ATTR_TIMEOUT_MS, timeouts[what & 3]);
    if ((what & 4) != 0) {
        kc_put_u32(out, KC_ATTR_FLAGS, (what >> 6) & 3U);
    }
    if ((what & 8) != 0) {
        kc_put_u32(out, KC_ATTR_MAX_ITEMS, next(p));
    }
    if ((what & 16) != 0) {
        kc_put_u64(out, KC_ATTR_DELIVERY_ID, (uint64_t)(1 + (what >> 6)) << 32 | (1 + next(p) % 8U));
    }
}

/* What a frame has of each kind, as often as its head says. */
static void put_one(const world *w, kc_writer *out, program *p, wish *f, bool last)
{
    uint8_t what;
    switch (f->cmd) {
    case KC_CMD_SELECT: /* the last clause has all the files, unless there are two clauses with one each */
        put_clause(w, out, p, f, last ? f->files - (f->files == 2 && f->head >> 6 > 1) : f->files == 2);
        break;
    case KC_CMD_RELEASE:
        what = next(p);
        kc_put_u64(out, KC_ATTR_LEASE_ID, (uint64_t)(1 + (what >> 4 & 3)) << 32 | (what & 7U));
        break;
    case KC_CMD_REGION_ADD: kc_put_u64(out, KC_ATTR_SIZE, REGION_BYTES); break;
    case KC_CMD_REGION_DROP: kc_put_u64(out, KC_ATTR_REGION_ID, w->regions[f->how % REGIONS]); break;
    default:
        if ((f->how & 8) != 0) {
            put_range(w, out, next(p));
        } else {
            put_element(out, next(p), sign(f->serial, f->files));
        }
    }
}

/* Files for the frame: usually as many as it says. */
static void choose_files(world *w, wish *f)
{
    static const uint8_t counts[8] = {0, 0, 0, 1, 1, 2, KC_MAX_MESSAGE_FILES, KC_MAX_MESSAGE_FILES + 1};
    f->files = w->files + KC_MAX_MESSAGE_FILES + 2 > FILES ? 0 : counts[f->how & 7];
    f->sent = f->how >> 4 == 13 && f->files != 0 ? f->files - 1 : f->files;
    f->serial = w->files + 1;
}

static void make_files(world *w, size_t at, const wish *f)
{
    mark *m = &w->marks[w->mark_count++];
    *m = (mark){.frame_at = at, .at = at + (f->how >> 4 == 14), .count = f->sent};
    w->honest = w->honest && f->sent == f->files; /* else it takes the next frame's */
    for (uint32_t i = 0; i < f->sent; i++) {
        m->files[i] = make_file(w, f->cmd == KC_CMD_REGION_ADD && (f->what & 4) == 0 ? fit_memory() : any_file());
    }
}

static wish choose_frame(program *p, bool rich)
{
    static const uint16_t cmds[2][16] = {
        {KC_CMD_CHAN_SEND, KC_CMD_CHAN_RECV, KC_CMD_SELECT,        KC_CMD_CANCEL,
         KC_CMD_ACK,       KC_CMD_NACK,      KC_CMD_PING,          KC_CMD_CHAN_TRY_SEND,
         KC_CMD_CHAN_SEND, KC_CMD_CHAN_RECV, KC_CMD_CHAN_TRY_RECV, KC_CMD_CHAN_MAKE,
         KC_CMD_CHAN_OPEN, KC_CMD_CHAN_SEND, KC_CMD_CHAN_RECV,     99},
        {KC_CMD_CHAN_SEND, KC_CMD_CHAN_RECV, KC_CMD_SELECT,        KC_CMD_RELEASE,
         KC_CMD_ACK,       KC_CMD_NACK,      KC_CMD_REGION_ADD,    KC_CMD_CHAN_TRY_SEND,
         KC_CMD_CHAN_SEND, KC_CMD_CHAN_RECV, KC_CMD_CHAN_TRY_RECV, KC_CMD_REGION_DROP,
         KC_CMD_CANCEL,    KC_CMD_CHAN_SEND, KC_CMD_CHAN_RECV,     KC_CMD_RELEASE}};
    wish f = {.head = next(p)};
    f.ids = next(p);
    f.what = next(p);
    f.how = rich ? next(p) : 0;
    f.cmd = cmds[rich][f.head & 15];
    return f;
}

static void put_frame(world *w, kc_writer *out, program *p, bool rich)
{
    wish f = choose_frame(p, rich);
    size_t at = out->length;
    if (rich) {
        choose_files(w, &f);
    }
    kc_frame_begin(out, f.cmd, (uint8_t)f.files);
    if (f.files != 0) {
        make_files(w, at, &f);
    }
    if ((f.ids & 15) != 0) {
        kc_put_u32(out, KC_ATTR_REQ_ID, f.ids & 15U);
    }
    kc_put_u32(out, KC_ATTR_CHAN_ID, FIRST_CHAN + (f.ids >> 4 & 3U));
    put_optional(out, p, f.what);
    for (int i = 0; i < f.head >> 6; i++) {
        put_one(w, out, p, &f, i + 1 == f.head >> 6);
    }
    (void)kc_frame_finish(out);
}

/* Rich frames may have files and ranges; in ABI 1.0 there are none. */
static void build(world *w, program *p, int conn, bool rich)
{
    kc_writer out;
    uint8_t count = next(p) & 3;
    kc_writer_init(&out, w->frame, FRAME_BYTES, conn != 0, UINT32_MAX);
    w->mark_count = 0;
    for (int i = 0; i <= count; i++) {
        put_frame(w, &out, p, rich && conn != 0);
    }
    w->frame_bytes = out.length;
}

#endif
