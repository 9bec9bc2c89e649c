/* bench_frame.c: P9, what reading one SEND frame costs in C, batched: 4,096 prebuilt frames of 64 B in one buffer.
 *
 *   bench_frame ours SECONDS    kc_frame_head and kc_request_parse, every judgement included
 *   bench_frame floor SECONDS   four loads at fixed offsets, no judgement: the least a reader can do
 *
 * Both add up what they read, and a wrong sum is a failure.
 */
#include <string.h>

#include "bench_clock.h"
#include "ipc/kc_bytes.h"
#include "ipc/kc_frame.h"

enum { FRAMES = 4096, ELEMENT_BYTES = 64, MINOR = 1, CHANNEL = 1001 };
enum {
    PAYLOAD_BYTES = 3 * 8 + KC_ATTR_HEAD_BYTES + ELEMENT_BYTES,
    FRAME_BYTES = KC_FRAME_HEADER_BYTES + PAYLOAD_BYTES
};

static const uint64_t SUM_PER_FRAME = CHANNEL + ELEMENT_BYTES + 7;

static size_t build(uint8_t *bytes, size_t capacity)
{
    static const uint8_t element[ELEMENT_BYTES] = {7};
    kc_writer writer;
    kc_writer_init(&writer, bytes, capacity, MINOR, KC_MAX_FRAME_BYTES);
    for (uint32_t i = 0; i < FRAMES; i++) {
        kc_frame_begin(&writer, KC_CMD_CHAN_SEND, 0);
        kc_put_u32(&writer, KC_ATTR_REQ_ID, i + 1);
        kc_put_u32(&writer, KC_ATTR_CHAN_ID, CHANNEL);
        kc_put_i32(&writer, KC_ATTR_TIMEOUT_MS, -1);
        kc_put_bytes(&writer, KC_ATTR_ELEMENT, element, ELEMENT_BYTES);
        if (kc_frame_finish(&writer) != KC_OK) {
            return 0;
        }
    }
    return writer.length;
}

static uint64_t read_ours(void *context)
{
    const uint8_t *at = context, *end = at + (size_t)FRAMES * FRAME_BYTES;
    uint64_t sum = 0;
    while (at < end) {
        kc_frame_header head;
        kc_request request;
        if (kc_frame_head(at, (size_t)(end - at), MINOR, KC_MAX_FRAME_BYTES, &head) != KC_OK ||
            kc_request_parse(at + KC_FRAME_HEADER_BYTES, head.length, MINOR, head.cmd, &request) != KC_OK) {
            return 0;
        }
        sum += request.chan_id + request.element_bytes + request.element[0];
        at += KC_FRAME_HEADER_BYTES + head.length;
    }
    return sum == FRAMES * SUM_PER_FRAME ? FRAMES : 0;
}

static uint64_t read_floor(void *context)
{
    const uint8_t *at = context, *end = at + (size_t)FRAMES * FRAME_BYTES;
    uint64_t sum = 0;
    while (at < end) {
        const uint8_t *payload = at + KC_FRAME_HEADER_BYTES;
        sum += kc_load_u32(payload + 12) + kc_load_u16(payload + 26) + payload[28];
        at = payload + kc_load_u32(at + 4);
    }
    return sum == FRAMES * SUM_PER_FRAME ? FRAMES : 0;
}

int main(int argc, char **argv)
{
    static uint8_t bytes[FRAMES * FRAME_BYTES];
    if (argc != 3 || build(bytes, sizeof bytes) != sizeof bytes) {
        fprintf(stderr, "usage: %s ours|floor SECONDS\n", argv[0]);
        return 2;
    }
    return bench_report(strcmp(argv[1], "floor") == 0 ? read_floor : read_ours, bytes, argv[2]);
}
