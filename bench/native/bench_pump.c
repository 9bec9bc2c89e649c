/* bench_pump.c: what a frame costs in the pump, fed by arrays: no socket, no system call. One connection sends bursts
 * of 64 SENDs of 64 B, another receives them with 64 plain RECVs; both fetch their replies, which settles the messages.
 *
 *   bench_pump buffered SECONDS   the sends come first
 *   bench_pump parked SECONDS     the receives come first and park
 */
#include <string.h>

#include "bench_clock.h"
#include "ipc/kc_bytes.h"
#include "kcoro/kcoro.h"

enum { BURST = 64, ELEMENT_BYTES = 64, BURSTS = 64, CHAN_ID = 1001, FRAME_BYTES = 100 };
enum { SENT_BYTES = BURST * 24, RECEIVED_BYTES = BURST * (28 + ELEMENT_BYTES) };

typedef struct bench_talk {
    kc_pump *pump;
    kc_conn sender, receiver;
    int parked;
    uint8_t sends[BURST * FRAME_BYTES], receives[BURST * FRAME_BYTES], replies[RECEIVED_BYTES + 1];
    size_t sends_bytes, receives_bytes;
} bench_talk;

static uint8_t *put_scalar(uint8_t *at, uint16_t type, uint32_t value)
{
    kc_store_u32(at, (uint32_t)type << 16 | 4U);
    kc_store_u32(at + 4, value);
    return at + 8;
}

static size_t build(uint8_t *frames, uint16_t cmd, uint32_t element_bytes)
{
    uint8_t *at = frames;
    for (uint32_t i = 0; i < BURST; i++) {
        uint8_t *head = at;
        at = put_scalar(at + KC_FRAME_HEADER_BYTES, KC_ATTR_REQ_ID, i + 1);
        at = put_scalar(at, KC_ATTR_CHAN_ID, CHAN_ID);
        at = put_scalar(at, KC_ATTR_TIMEOUT_MS, UINT32_MAX);
        if (element_bytes != 0) {
            kc_store_u32(at, (uint32_t)KC_ATTR_ELEMENT << 16 | element_bytes);
            memset(at + 4, 7, element_bytes);
            at += 4 + element_bytes;
        }
        kc_store_u32(head, (uint32_t)cmd << 16);
        kc_store_u32(head + 4, (uint32_t)(at - head) - KC_FRAME_HEADER_BYTES);
    }
    return (size_t)(at - frames);
}

static int say(bench_talk *talk, int sends)
{
    return sends ? kc_conn_feed(talk->pump, talk->sender, talk->sends, talk->sends_bytes, 0)
                 : kc_conn_feed(talk->pump, talk->receiver, talk->receives, talk->receives_bytes, 0);
}

static uint64_t pass(void *context)
{
    bench_talk *talk = context;
    for (int i = 0; i < BURSTS; i++) {
        if (say(talk, !talk->parked) != KC_OK || say(talk, talk->parked) != KC_OK ||
            kc_conn_fetch(talk->pump, talk->sender, talk->replies, sizeof talk->replies) != SENT_BYTES ||
            kc_conn_fetch(talk->pump, talk->receiver, talk->replies, sizeof talk->replies) != RECEIVED_BYTES) {
            return 0;
        }
    }
    return BURSTS * BURST * 2;
}

static int join(bench_talk *talk, uint32_t account, kc_chan chan, kc_conn *conn_out)
{
    int code = kc_conn_add(talk->pump, -1, KC_TRANSPORT_STREAM, account, conn_out);
    if (code == KC_OK) {
        code = kc_conn_speak(talk->pump, *conn_out, 1, KC_MAX_FRAME_BYTES);
    }
    return code != KC_OK ? code : kc_conn_grant(talk->pump, *conn_out, CHAN_ID, chan, KC_RIGHT_READ | KC_RIGHT_WRITE);
}

int main(int argc, char **argv)
{
    static bench_talk talk;
    kc_engine *engine;
    uint32_t account;
    kc_chan chan;
    if (argc != 3 || kc_engine_make(NULL, &engine) != KC_OK || kc_pump_make(engine, NULL, &talk.pump) != KC_OK ||
        kc_account_make(engine, NULL, &account) != KC_OK) {
        fprintf(stderr, "usage: %s buffered|parked SECONDS\n", argv[0]);
        return 2;
    }
    const kc_chan_config config = {.kind = KC_KIND_BUFFERED, .capacity = 1024, .account = account};
    talk.parked = strcmp(argv[1], "parked") == 0;
    talk.sends_bytes = build(talk.sends, KC_CMD_CHAN_SEND, ELEMENT_BYTES);
    talk.receives_bytes = build(talk.receives, KC_CMD_CHAN_RECV, 0);
    int code = kc_chan_make(engine, &config, &chan, NULL) == KC_OK &&
                       join(&talk, account, chan, &talk.sender) == KC_OK &&
                       join(&talk, account, chan, &talk.receiver) == KC_OK
                   ? bench_report(pass, &talk, argv[2])
                   : 1;
    kc_pump_free(talk.pump);
    kc_engine_free(engine);
    return code;
}
