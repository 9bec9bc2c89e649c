/* kc_frame_words.h: what the tests of frames, requests and writers share: bytes from hex, their verdict,
 * usual frames. */
#ifndef KC_FRAME_WORDS_H
#define KC_FRAME_WORDS_H

#include "ipc/kc_bytes.h"
#include "ipc/kc_frame.h"
#include "kc_test.h"
#include "kcoro/kc_codec.h"

enum { ROOM = 4096 };

static inline size_t from_hex(const char *hex, uint8_t *out)
{
    size_t n = 0;
    for (; *hex != '\0'; hex += 2, n++) {
        while (*hex == ' ') {
            hex++;
        }
        unsigned byte = 0;
        KC_REQUIRE(sscanf(hex, "%2x", &byte) == 1);
        out[n] = (uint8_t)byte;
    }
    return n;
}

/* The verdict on a payload given in hex, behind a header that fits it; memory of exactly its size,
 * for the sanitizer. */
static inline int verdict(const char *payload, unsigned minor)
{
    uint8_t scratch[ROOM];
    size_t length = from_hex(payload, scratch + KC_FRAME_HEADER_BYTES);
    size_t n = KC_FRAME_HEADER_BYTES + length;
    uint8_t *frame = malloc(n);
    KC_REQUIRE(frame != NULL);
    kc_store_u16(scratch, KC_CMD_CHAN_SEND);
    kc_store_u16(scratch + 2, 0);
    kc_store_u32(scratch + 4, (uint32_t)length);
    memcpy(frame, scratch, n);
    int result = kc_codec_check(frame, n, minor);
    size_t again = 0;
    uint8_t out[ROOM];
    KC_CHECK_EQ(kc_codec_normalize(frame, n, minor, out, sizeof out, &again), result);
    free(frame);
    return result;
}

static inline void write_hello(kc_writer *writer)
{
    kc_frame_begin(writer, KC_CMD_HELLO, 0);
    kc_put_u32(writer, KC_ATTR_ABI_MAJOR, 1);
    kc_put_u32(writer, KC_ATTR_ABI_MINOR, 0);
}

static inline void write_send(kc_writer *writer)
{
    kc_frame_begin(writer, KC_CMD_CHAN_SEND, 0);
    kc_put_u32(writer, KC_ATTR_CHAN_ID, 1001);
    kc_put_u32(writer, KC_ATTR_TIMEOUT_MS, 0);
    kc_put_bytes(writer, KC_ATTR_ELEMENT, "abcd", 4);
    kc_put_u32(writer, KC_ATTR_REQ_ID, 7);
}

#endif
