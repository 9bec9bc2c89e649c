/* Whatever peers say, the engine keeps its invariants, nothing is left behind, and how bytes were cut does not matter.
 *
 * Input: a program of small steps for a pump without sockets (one connection of ABI 1.0, two of 1.1, three
 * channels, a manual clock). Steps feed frames built from a few bytes each (fuzz_build.h), the same with a byte
 * changed, or raw bytes; tick; answer control frames; register and drop regions, close files that nobody wants
 * (fuzz_files.h); take output and read it as clients do (fuzz_reader.h); end input, connections and channels. The
 * program runs twice, its input fed whole and fed in pieces. The two runs are not compared where who comes first
 * depends on when bytes come and on what waits meanwhile: if the first byte asks for a tight input budget and a
 * tight account, and once what one connection was fed let frames of another one be served that had waited, which
 * may happen between two pieces; and once files came that no frame names: they end their connection when it is
 * seen that they are too many. Checked: kc_engine_check after every step of the
 * first, the same output and the same ends both times, and at the end that tokens, messages, blocks, scopes,
 * regions, the pump's memory and the descriptors of the process are those of the beginning.
 */
#include "fuzz_build.h"
#include "fuzz_reader.h"

/* ---- steps ---- */

static uint64_t frames_of_others(const world *w, int conn)
{
    uint64_t frames = 0;
    for (int i = 0; i < CONNS; i++) {
        const kc_connection *other = i == conn ? NULL : kc_conns_find(&w->pump->conns, w->conns[i]);
        frames += other == NULL ? 0 : other->frames_in;
    }
    return frames;
}

static void feed(world *w, int conn, const uint8_t *bytes, size_t n, int eof)
{
    size_t at = 0;
    uint64_t others = frames_of_others(w, conn);
    while (w->split && n - at > 1) {
        size_t piece = n - at > 600 ? n - at - 300 : 1 + (w->piece++ % 7) * (w->piece % 3);
        piece = piece < n - at ? piece : n - at - 1;
        (void)kc_conn_feed(w->pump, w->conns[conn], bytes + at, piece, 0);
        at += piece;
    }
    (void)kc_conn_feed(w->pump, w->conns[conn], bytes + at, n - at, eof);
    w->seen.raced = w->seen.raced || frames_of_others(w, conn) != others;
}

/* Whether the next byte is the first of a frame, or of nothing that is served. */
static bool is_between_frames(const world *w, int conn)
{
    const kc_connection *c = kc_conns_find(&w->pump->conns, w->conns[conn]);
    if (c == NULL || c->state >= KC_CONN_CLOSING) {
        return true;
    }
    uint32_t left = kc_buffer_length(&c->input);
    const uint8_t *at = left == 0 ? NULL : kc_buffer_front(&c->input);
    bool half = c->large != NULL;
    while (left != 0 && !half) {
        half = left < KC_FRAME_HEADER_BYTES || kc_load_u32(at + 4) > left - KC_FRAME_HEADER_BYTES;
        uint32_t step = half ? 0 : KC_FRAME_HEADER_BYTES + kc_load_u32(at + 4);
        at += step;
        left -= step;
    }
    return !half;
}

static size_t feed_to(world *w, int conn, size_t at, size_t end)
{
    if (end > at) {
        feed(w, conn, w->frame + at, end - at, 0);
    }
    return end;
}

/* Frames as they were built, their files with the byte each comes with: the kernel too ends a read before that one. */
static void feed_built(world *w, int conn)
{
    size_t at = 0;
    for (uint32_t i = 0; i < w->mark_count; i++) {
        const mark *m = &w->marks[i];
        at = feed_to(w, conn, at, m->frame_at);
        w->seen.astray = w->seen.astray || !is_between_frames(w, conn);
        at = feed_to(w, conn, at, m->at);
        for (uint32_t j = 0; j < m->count; j++) {
            give_file(w, conn, m->files[j]);
        }
    }
    (void)feed_to(w, conn, at, w->frame_bytes);
}

static void fetch(world *w, int conn, uint32_t most)
{
    uint8_t bytes[4096];
    int got = 1;
    while (most != 0 && got > 0) {
        got = kc_conn_fetch(w->pump, w->conns[conn], bytes, most < sizeof bytes ? most : sizeof bytes);
        for (int i = 0; i < got; i++) {
            w->seen.hash[conn] = (w->seen.hash[conn] ^ bytes[i]) * UINT64_C(1099511628211);
        }
        if (got > 0) {
            hear(w, conn, bytes, (size_t)got);
            w->seen.bytes[conn] += (uint64_t)got;
            most -= (uint32_t)got;
        }
    }
}

static void answer(world *w, program *p)
{
    kc_control control;
    while (kc_pump_control(w->pump, &control) == KC_OK) {
        uint8_t bytes[64];
        kc_writer out;
        uint8_t how = next(p);
        kc_writer_init(&out, bytes, sizeof bytes, control.minor, UINT32_MAX);
        kc_frame_begin(&out, (uint16_t)control.cmd, 0);
        kc_put_u32(&out, KC_ATTR_REQ_ID, control.req_id);
        (void)kc_frame_finish(&out);
        for (uint32_t i = 0; i < control.length; i++) {
            w->seen.ends += control.payload[i]; /* all of it can be read */
        }
        if (control.cmd == KC_CMD_REGION_ADD) {
            judge_region(w, &control, how);
        } else if (control.cmd == KC_CMD_REGION_DROP) {
            drop_region(w, how >> 4, how & 3);
        }
        if (control.ungranted != 0 && (how & 3) != 0) {
            uint32_t chan = control.chan_id - FIRST_CHAN;
            if (chan < CHANS && kc_conn_grant(w->pump, control.conn, control.chan_id, w->chans[chan], 3) == KC_OK) {
                MUST(kc_pump_resubmit(w->pump, control.conn) == KC_OK);
                run_dry(w);
                continue;
            }
        }
        if ((how & 12) == 12) {
            (void)kc_pump_resume(w->pump, control.conn);
        } else {
            (void)kc_pump_reply(w->pump, control.conn, bytes, (uint32_t)out.length);
        }
        run_dry(w);
    }
}

static void finish_kept(world *w, int conn, uint8_t what)
{
    kc_conn of;
    uint32_t req_id = what & 15;
    kc_writer out;
    uint8_t bytes[64];
    kc_writer_init(&out, bytes, sizeof bytes, 1, UINT32_MAX);
    kc_frame_begin(&out, KC_CMD_CHAN_OPEN, 0);
    kc_put_u32(&out, KC_ATTR_REQ_ID, req_id);
    (void)kc_frame_finish(&out);
    (void)kc_pump_event(w->pump, w->conns[conn], bytes, (uint32_t)out.length);
    (void)kc_pump_finish(w->pump, w->conns[conn], req_id, bytes, (uint32_t)out.length);
    while ((what & 16) != 0 && kc_pump_cancelled(w->pump, &of, &req_id) == KC_OK) {
        (void)kc_pump_finish(w->pump, of, req_id, bytes, (uint32_t)out.length);
    }
    run_dry(w);
}

static void rare(world *w, int conn, uint8_t what, program *p)
{
    kc_chan chan = w->chans[next(p) % CHANS];
    uint32_t count;
    switch (what % 12) {
    case 0: feed(w, conn, (const uint8_t *)"", 0, 1); break;
    case 1: (void)kc_conn_close(w->pump, w->conns[conn], -7); break;
    case 2: (void)kc_conn_vanish(w->pump, w->conns[conn]); break;
    case 3: (void)kc_chan_close(w->engine, chan); break;
    case 4: (void)kc_chan_destroy(w->engine, chan, KC_REASON_DESTROYED, "gone", 4); break;
    case 5: (void)kc_chan_purge(w->engine, chan, &count); break;
    case 6: (void)kc_conn_grant(w->pump, w->conns[conn], FIRST_CHAN + (what >> 4) % 4U, chan, what >> 6); break;
    case 7: (void)kc_pump_cancel_all(w->pump); break;
    case 8: (void)kc_pump_drain(w->pump); break;
    default: finish_kept(w, conn, next(p)); break;
    }
    run_dry(w);
}

/* What Python and time do to files and regions. */
static void share(world *w, int conn, uint8_t what, program *p)
{
    switch (what & 7) {
    case 0:
    case 1:
        if (w->files < FILES && kc_conns_find(&w->pump->conns, w->conns[conn]) != NULL) {
            add_region(w, w->conns[conn], (what & 1) == 0 ? make_file(w, fit_memory()) : -1);
        }
        break;
    case 2:
    case 3: drop_region(w, what >> 5, what >> 3 & 3); break;
    case 4: close_unwanted(w); break;
    case 5: take_ends(w); break;
    case 6: (void)kc_conn_able(w->pump, w->conns[conn], what >> 3 & 3); break;
    default:
        for (uint32_t n = next(p) % 20U; n != 0 && w->files < FILES; n--) {
            w->seen.astray = true;
            w->honest = false;
            give_file(w, conn, make_file(w, any_file()));
        }
        break;
    }
    run_dry(w);
}

static void step(world *w, program *p)
{
    uint8_t op = next(p);
    int conn = (op >> 3) % CONNS;
    size_t n;
    switch (op & 7) {
    case 0:
        build(w, p, conn, false);
        feed_built(w, conn);
        break;
    case 1:
        build(w, p, conn, true);
        feed_built(w, conn);
        break;
    case 2: share(w, conn, next(p), p); break;
    case 3:
        build(w, p, conn, op >> 6 == 3);
        w->honest = false;
        w->seen.astray = w->seen.astray || w->mark_count != 0;
        w->frame[(next(p) + 256U * (next(p) & 1U)) % (w->frame_bytes + 1)] ^= next(p);
        feed_built(w, conn);
        break;
    case 4:
        n = next(p);
        n = n < (size_t)(p->end - p->at) ? n : (size_t)(p->end - p->at);
        w->honest = false;
        feed(w, conn, p->at, n, 0);
        p->at += n;
        break;
    case 5:
        (void)kc_engine_tick(w->engine, kc_engine_now(w->engine) + next(p) * 1000000LL);
        run_dry(w);
        break;
    case 6:
        answer(w, p);
        fetch(w, conn, op >> 6 == 0 ? next(p) : UINT32_MAX);
        break;
    default:
        rare(w, conn, next(p), p);
        break;
    }
    if (!w->split) {
        check(w); /* the other run is held to the same output */
    }
}

/* ---- the world ---- */

static void hello(world *w, int conn)
{
    MUST(kc_conn_add(w->pump, -1, conn == 2 ? KC_TRANSPORT_SEQPACKET : KC_TRANSPORT_STREAM, w->account,
                     &w->conns[conn]) == KC_OK);
    MUST(kc_conn_speak(w->pump, w->conns[conn], conn != 0, conn == 2 ? 60000 : 0) == KC_OK);
    MUST(kc_conn_able(w->pump, w->conns[conn], conn != 0 ? KC_CAP_DESCRIPTORS | KC_CAP_FILES : 0) == KC_OK);
    for (uint32_t i = conn == 0; i < CHANS; i++) {
        MUST(kc_conn_grant(w->pump, w->conns[conn], FIRST_CHAN + i, w->chans[i], 3) == KC_OK);
    }
}

static void begin(world *w, bool split, bool tight)
{
    static const kc_engine_config engine = {.channels = 8, .tokens = 128, .clauses = 64, .messages = 64, .scopes = 8,
                                            .accounts = 4, .ports = 2, .parked_per_channel = 16,
                                            .heap_bytes = 64 << 20};
    const kc_pump_config pump = {.connections = 8, .frames_per_turn = 3, .bytes_per_turn = 70000,
                                 .input_budget_bytes = tight ? 100000 : 0, .output_high_bytes = 2000,
                                 .stale_half_frame_ms = 100, .requests_per_conn = 12};
    static const kc_chan_config chans[CHANS] = {
        {.kind = KC_KIND_BUFFERED, .capacity = 2, .elem_size = 4, .flags = KC_CHAN_FIXED_SIZE, .max_attempts = 2,
         .file_ttl_ms = 20},
        {.kind = KC_KIND_RENDEZVOUS, .elem_size = 70000},
        {.kind = KC_KIND_CONFLATED},
    };
    static uint8_t frame[FRAME_BYTES]; /* not cleared between runs: what was written is what is fed */
    static reader readers[CONNS];
    *w = (world){.split = split, .frame = frame, .readers = readers, .honest = true};
    for (int i = 0; i < CONNS; i++) {
        readers[i].have = readers[i].file_count = 0;
    }
    MUST(kc_engine_make(&engine, &w->engine) == KC_OK);
    const kc_account_limits limits = {.bytes = tight ? 1 << 20 : 0, .files = 40};
    MUST(kc_account_make(w->engine, &limits, &w->account) == KC_OK);
    w->pump = calloc(1, sizeof *w->pump);
    MUST(w->pump != NULL);
    w->pump->bell.fd = -1; /* nobody sleeps: the pump needs no descriptor */
    MUST(kc_pump_open(w->pump, w->engine, &pump) == KC_OK);
    for (int i = 0; i < CHANS; i++) {
        MUST(kc_chan_make(w->engine, &chans[i], &w->chans[i], NULL) == KC_OK);
    }
    for (int i = 0; i < CONNS; i++) {
        hello(w, i);
    }
}

static void end(world *w)
{
    kc_engine_usage usage;
    kc_pump_usage own;
    kc_closed closed;
    for (int i = 0; i < CONNS; i++) {
        fetch(w, i, UINT32_MAX);
        (void)kc_conn_vanish(w->pump, w->conns[i]);
    }
    run_dry(w);
    while (kc_pump_closed(w->pump, &closed) == KC_OK) {
        w->seen.ends = (w->seen.ends + (uint64_t)(int64_t)closed.code) * 31 + (closed.conn & 7);
    }
    kc_pump_measure(w->pump, &own);
    MUST(own.connections == 0 && own.input_bytes == 0);
    kc_engine_measure(w->engine, &usage);
    MUST(usage.tokens == 0 && usage.clauses == 0 && usage.scopes == 1 && usage.parked == 0 && usage.held == 0);
    for (int i = 0; i < CHANS; i++) {
        (void)kc_chan_destroy(w->engine, w->chans[i], KC_REASON_DESTROYED, NULL, 0);
        (void)kc_chan_drop(w->engine, w->chans[i]);
    }
    for (uint32_t i = 0; i < REGIONS; i++) {
        drop_region(w, i, KC_REGION_LEAVE);
    }
    run_dry(w);
    take_ends(w);
    close_unwanted(w);
    kc_pump_shut(w->pump);
    check(w);
    kc_engine_measure(w->engine, &usage);
    MUST(usage.channels == 0 && usage.messages == 0 && usage.block_bytes == 0 && usage.scopes == 0);
    MUST(usage.files == 0 && usage.regions == 0 && live_count == 0);
    MUST(w->pump->conns.memory.live_bytes == 0);
    free(w->pump);
    kc_engine_free(w->engine);
}

static outcome run(const uint8_t *data, size_t n, bool split)
{
    static world w;
    program p = {data, data + n};
    begin(&w, split, (next(&p) & 128) != 0);
    while (p.at != p.end) {
        step(&w, &p);
    }
    end(&w);
    return w.seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n > 2048) {
        return 0;
    }
    (void)fit_memory();
    (void)any_file();
    uint32_t open_before = count_open();
    outcome whole = run(data, n, false);
    outcome pieces = run(data, n, true);
    MUST(count_open() == open_before);
    bool raced = whole.raced || pieces.raced || whole.astray || pieces.astray;
    if (n == 0 || (data[0] & 128) != 0 || raced || memcmp(&whole, &pieces, sizeof whole) == 0) {
        return 0;
    }
    for (int i = 0; i < CONNS; i++) {
        fprintf(stderr, "connection %d: %llu bytes fed whole, %llu in pieces, ends %llx %llx\n", i,
                (unsigned long long)whole.bytes[i], (unsigned long long)pieces.bytes[i],
                (unsigned long long)whole.ends, (unsigned long long)pieces.ends);
    }
    fail("what is said depends on how the input was cut", __FILE__, __LINE__);
    return 0;
}
