/* kc_ipc_fixture.h: a pump without sockets, spoken to in words (kc_ipc_words.h).
 *
 *     rig_say(&rig, 0, "SEND r7 c1001 t0 e:abcd; RECV r8 c1001 t-1");
 *     KC_CHECK_STR(rig_hear(&rig, 0), "SEND r7 =0; RECV r8 =0 e:abcd");
 *
 * Every say and every hear is followed by kc_engine_check.
 */
#ifndef KC_IPC_FIXTURE_H
#define KC_IPC_FIXTURE_H

#include "kcoro/kc_turn.h"

#include <unistd.h>

#include "kc_ipc_words.h"

static inline void rig_check(const rig *r)
{
    char why[256] = "";
    KC_CHECK_EQ(kc_engine_check(r->engine, why, sizeof why), KC_OK);
    KC_CHECK_STR(why, "");
}

static inline void rig_run(const rig *r)
{
    while (kc_pump_run(r->pump) == KC_PUMP_MORE) {
    }
    rig_check(r);
}

/* What Python does with a HELLO; every other control frame stays where it is. */
static inline void rig_greet(rig *r)
{
    kc_control control;
    while (kc_pump_control(r->pump, &control) == KC_OK) {
        kc_request request;
        kc_writer w;
        uint8_t bytes[64];
        KC_REQUIRE(control.cmd == KC_CMD_HELLO && control.greeted == 0);
        KC_REQUIRE(kc_request_parse(control.payload, control.length, 0, KC_CMD_HELLO, &request) == KC_OK);
        uint32_t minor = kc_load_u32(control.payload + 12);
        kc_writer_init(&w, bytes, sizeof bytes, 0, UINT32_MAX);
        kc_frame_begin(&w, KC_CMD_HELLO, 0);
        kc_put_u32(&w, KC_ATTR_ABI_MAJOR, 1);
        kc_put_u32(&w, KC_ATTR_ABI_MINOR, minor);
        KC_REQUIRE(kc_frame_finish(&w) == KC_OK);
        if (!r->broken_allocs) {
            KC_REQUIRE(kc_conn_speak(r->pump, control.conn, minor, 0) == KC_OK);
            KC_REQUIRE(kc_pump_reply(r->pump, control.conn, bytes, (uint32_t)w.length) == KC_OK);
        } else {
            (void)kc_conn_speak(r->pump, control.conn, minor, 0);
            (void)kc_pump_reply(r->pump, control.conn, bytes, (uint32_t)w.length);
        }
    }
}

static inline int rig_feed(rig *r, int i, const uint8_t *bytes, size_t n, int eof)
{
    int code = KC_OK;
    size_t step = r->bytewise ? 1 : n;
    for (size_t at = 0; code == KC_OK && at < n; at += step) {
        code = kc_conn_feed(r->pump, r->conns[i], bytes + at, step, eof && at + step == n);
    }
    if (n == 0) {
        code = kc_conn_feed(r->pump, r->conns[i], bytes, 0, eof);
    }
    rig_check(r);
    return code;
}

static inline void rig_say(rig *r, int i, const char *script)
{
    rig_build(r, r->minors[i], script);
    (void)rig_feed(r, i, r->frame, r->frame_bytes, 0);
}

/* All that the connection was told, up to 16 MiB, in r->out. */
static inline size_t rig_fetch(rig *r, int i)
{
    size_t n = 0;
    int got;
    while ((got = kc_conn_fetch(r->pump, r->conns[i], r->out + n, (uint32_t)(RIG_FRAME_BYTES - n))) > 0) {
        n += (size_t)got;
    }
    rig_check(r);
    return n;
}

static inline const char *rig_hear(rig *r, int i)
{
    size_t n = rig_fetch(r, i);
    return rig_render(r, r->minors[i], r->out, n);
}

static inline void rig_make(rig *r, const kc_engine_config *engine, const kc_pump_config *pump)
{
    *r = (rig){.bytewise = false};
    r->frame = malloc(RIG_FRAME_BYTES);
    r->out = malloc(RIG_FRAME_BYTES);
    r->text = malloc(RIG_TEXT_BYTES);
    KC_REQUIRE(r->frame != NULL && r->out != NULL && r->text != NULL);
    kc_engine_config small = {.channels = 64, .tokens = 8192, .clauses = 1024, .messages = 16384, .scopes = 64,
                              .accounts = 8, .ports = 4, .heap_bytes = 256 << 20};
    KC_REQUIRE(kc_engine_make(engine != NULL ? engine : &small, &r->engine) == KC_OK);
    KC_REQUIRE(kc_account_make(r->engine, NULL, &r->account) == KC_OK);
    KC_REQUIRE(kc_engine_tick(r->engine, 1000000000) == 0);
    KC_REQUIRE(kc_pump_make(r->engine, pump, &r->pump) == KC_OK);
}

/* A region of 1 MiB that the connection registered; file is the pump's from now on, -1 for none. */
static inline int rig_region(rig *r, int conn, int32_t file)
{
    kc_region_config config = {.account = r->account, .file = file, .size_bytes = 1 << 20, .user = r->conns[conn]};
    KC_REQUIRE(kc_region_add(r->engine, &config, &r->regions[r->region_count], NULL) == KC_OK);
    rig_check(r);
    return r->region_count++;
}

/* One more connection that has said HELLO; its number. */
static inline int rig_open_over(rig *r, unsigned minor, uint32_t transport)
{
    int i = r->conn_count++;
    KC_REQUIRE(i < RIG_CONNS);
    KC_REQUIRE(kc_conn_add(r->pump, -1, transport, r->account, &r->conns[i]) == KC_OK);
    r->minors[i] = 0;
    rig_say(r, i, minor == 0 ? "HELLO v0" : "HELLO v1");
    rig_greet(r);
    KC_CHECK_STR(rig_hear(r, i), minor == 0 ? "HELLO v0" : "HELLO v1");
    r->minors[i] = minor;
    for (int chan = 0; chan < r->chan_count; chan++) {
        KC_REQUIRE(kc_conn_grant(r->pump, r->conns[i], (uint32_t)(RIG_FIRST_CHAN + chan), r->chans[chan],
                                 KC_RIGHT_READ | KC_RIGHT_WRITE) == KC_OK);
    }
    return i;
}

static inline int rig_open(rig *r, unsigned minor)
{
    return rig_open_over(r, minor, KC_TRANSPORT_STREAM);
}

/* The same over a stream, by another user than the rig's own. */
static inline int rig_open_of(rig *r, uint32_t account)
{
    uint32_t own = r->account;
    r->account = account;
    int i = rig_open(r, 1);
    r->account = own;
    return i;
}

/* A channel 1001, 1002, ... that every connection may read and write; the rig keeps a reference. */
static inline int rig_channel(rig *r, const kc_chan_config *config)
{
    int chan = r->chan_count++;
    KC_REQUIRE(chan < RIG_CHANS);
    KC_REQUIRE(kc_chan_make(r->engine, config, &r->chans[chan], NULL) == KC_OK);
    for (int i = 0; i < r->conn_count; i++) {
        KC_REQUIRE(kc_conn_grant(r->pump, r->conns[i], (uint32_t)(RIG_FIRST_CHAN + chan), r->chans[chan],
                                 KC_RIGHT_READ | KC_RIGHT_WRITE) == KC_OK);
    }
    return chan;
}

static inline int rig_kind(rig *r, int32_t kind, uint32_t capacity)
{
    return rig_channel(r, &(kc_chan_config){.kind = kind, .capacity = capacity});
}

static inline uint64_t rig_stat(const rig *r, int chan, int stat)
{
    kc_chan_snapshot snapshot;
    KC_REQUIRE(kc_chan_measure(r->engine, r->chans[chan], &snapshot) == KC_OK);
    return snapshot.stat[stat];
}

static inline void rig_tick_ms(rig *r, int64_t ms)
{
    (void)kc_engine_tick(r->engine, kc_engine_now(r->engine) + ms * 1000000);
    rig_run(r);
}

/* Why a connection ended; KC_EAGAIN: none did. */
static inline int32_t rig_closed(const rig *r)
{
    kc_closed closed;
    return kc_pump_closed(r->pump, &closed) == KC_OK ? closed.code : KC_EAGAIN;
}

/* Closes what the pump would have its caller close. Returns how many. */
static inline uint32_t rig_close_files(rig *r)
{
    int32_t files[KC_MAX_MESSAGE_FILES];
    uint32_t sum = 0;
    uint32_t account = 0;
    for (uint32_t n; (n = kc_pump_take_files(r->pump, files, KC_MAX_MESSAGE_FILES, &account)) != 0; sum += n) {
        for (uint32_t i = 0; i < n; i++) {
            (void)close(files[i]);
        }
        kc_pump_files_closed(r->pump, account, n);
    }
    return sum;
}

/* Nothing is left of what anybody did: checks that, then frees all. */
static inline void rig_free(rig *r)
{
    kc_engine_usage usage;
    kc_pump_usage own;
    kc_closed closed;
    for (int i = 0; i < r->conn_count; i++) {
        (void)rig_feed(r, i, r->frame, 0, 1);
        (void)rig_fetch(r, i);
        (void)kc_conn_close(r->pump, r->conns[i], 0);
        (void)rig_fetch(r, i);
    }
    rig_run(r);
    while (kc_pump_closed(r->pump, &closed) == KC_OK) {
    }
    kc_pump_measure(r->pump, &own);
    KC_CHECK_EQ(own.connections, 0);
    KC_CHECK_EQ(own.input_bytes, 0);
    kc_engine_measure(r->engine, &usage);
    KC_CHECK_EQ(usage.parked, 0);
    KC_CHECK_EQ(usage.held, 0);
    KC_CHECK_EQ(usage.tokens, 0);
    KC_CHECK_EQ(usage.scopes, 1); /* the pump's own */
    for (int i = 0; i < r->chan_count; i++) {
        (void)kc_chan_destroy(r->engine, r->chans[i], KC_REASON_DESTROYED, NULL, 0);
        (void)kc_chan_drop(r->engine, r->chans[i]);
    }
    rig_run(r);
    (void)rig_close_files(r);
    kc_pump_free(r->pump);
    kc_engine_measure(r->engine, &usage);
    KC_CHECK_EQ(usage.channels, 0);
    KC_CHECK_EQ(usage.messages, 0);
    KC_CHECK_EQ(usage.block_bytes, 0);
    KC_CHECK_EQ(usage.files, 0);
    KC_CHECK_EQ(usage.regions, 0);
    KC_CHECK_EQ(usage.scopes, 0);
    KC_CHECK_EQ(usage.ports, 0);
    rig_check(r);
    kc_engine_free(r->engine);
    free(r->frame);
    free(r->out);
    free(r->text);
}

#endif
