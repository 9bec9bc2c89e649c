/* The reader and the writer of frames: golden bytes, each rule of refusal, prefixes, detached elements, full memory. */
#include <time.h>

#include "kc_frame_words.h"

static void golden(const char *hex, void (*write)(kc_writer *))
{
    uint8_t expected[ROOM];
    uint8_t actual[ROOM];
    uint8_t again[ROOM];
    kc_writer writer;
    size_t n = from_hex(hex, expected);
    kc_writer_init(&writer, actual, sizeof actual, 0, KC_MAX_FRAME_BYTES);
    write(&writer);
    KC_CHECK_EQ(kc_frame_finish(&writer), KC_OK);
    KC_CHECK_EQ(writer.length, n);
    KC_CHECK_MEM(actual, expected, n);
    size_t length = 0;
    KC_CHECK_EQ(kc_codec_check(expected, n, 0), KC_OK);
    KC_CHECK_EQ(kc_codec_check(expected, n, 1), KC_OK);
    KC_CHECK_EQ(kc_codec_normalize(expected, n, 0, again, sizeof again, &length), KC_OK);
    KC_CHECK_EQ(length, n);
    KC_CHECK_MEM(again, expected, n);
}

static void write_timed_out(kc_writer *writer)
{
    kc_frame_begin(writer, KC_CMD_CHAN_RECV, 0);
    kc_put_i32(writer, KC_ATTR_RESULT, KC_ETIME);
}

KC_TEST(golden_frames_are_written_and_read_byte_for_byte)
{
    golden("0001000000000010 0001000400000001 0002000400000000", write_hello);
    golden("000b000000000020 00140004000003e9 0008000400000000 0015000461626364 001a000400000007", write_send);
    golden("000d000000000008 00160004ffffffc2", write_timed_out);
}

KC_TEST(a_header_asks_for_what_is_missing)
{
    uint8_t bytes[8] = {0, 11, 0, 3, 0, 0, 0, 5};
    kc_frame_header header;
    for (size_t n = 0; n < 8; n++) {
        KC_CHECK_EQ(kc_frame_head(bytes, n, 1, KC_MAX_FRAME_BYTES, &header), 8 - (int)n);
    }
    KC_CHECK_EQ(kc_frame_head(bytes, 8, 1, KC_MAX_FRAME_BYTES, &header), KC_OK);
    KC_CHECK_EQ(header.cmd, 11);
    KC_CHECK_EQ(header.files, 3);
    KC_CHECK_EQ(header.length, 5);
    KC_CHECK_EQ(kc_frame_head(bytes, 8, 0, KC_MAX_FRAME_BYTES, &header), KC_OK);
    KC_CHECK_EQ(header.files, 0);
}

KC_TEST(a_header_is_refused_for_reserved_flags_and_length)
{
    uint8_t bytes[8] = {0, 11, 1, 0, 0, 0, 0, 0};
    kc_frame_header header;
    KC_CHECK_EQ(kc_frame_head(bytes, 8, 1, 100, &header), KC_EPROTO);
    KC_CHECK_EQ(kc_frame_head(bytes, 8, 0, 100, &header), KC_OK);
    bytes[2] = 0;
    kc_store_u32(bytes + 4, 101);
    KC_CHECK_EQ(kc_frame_head(bytes, 8, 1, 100, &header), KC_EMSGSIZE);
    KC_CHECK_EQ(header.cmd, 11);
    kc_store_u32(bytes + 4, UINT32_MAX);
    KC_CHECK_EQ(kc_frame_head(bytes, 8, 0, KC_MAX_FRAME_BYTES, &header), KC_EMSGSIZE);
    kc_store_u32(bytes + 4, 100);
    KC_CHECK_EQ(kc_frame_head(bytes, 8, 1, 100, &header), KC_OK);
}

KC_TEST(every_rule_of_refusal_has_its_verdict)
{
    static const struct {
        const char *payload;
        int in_1_0, in_1_1;
    } cases[] = {
        {"", KC_OK, KC_OK},
        {"00", KC_EPROTO, KC_EPROTO},                                                   /* cut inside a head */
        {"001a000400000001 001a00", KC_EPROTO, KC_EPROTO},
        {"001a000500000001", KC_EPROTO, KC_EPROTO},                                     /* longer than the frame */
        {"001a0003000001", KC_OK, KC_EPROTO},                                           /* scalar of 3 bytes */
        {"001a000400000001 001a000400000002", KC_OK, KC_EPROTO},                        /* scalar twice */
        {"0039000161 0039000162", KC_OK, KC_EPROTO},                                    /* text twice */
        {"00150001610015000162", KC_OK, KC_OK},                                         /* ELEMENT repeats */
        {"7fff000161", KC_OK, KC_OK},                                                   /* unknown */
        {"ffff000161", KC_EPROTO, KC_EPROTO},                                           /* unknown and critical */
        {"000b000400000001", KC_OK, KC_OK},                                             /* reserved: unknown */
        {"800b000400000001", KC_EPROTO, KC_EPROTO},
        {"801a000400000001", KC_OK, KC_OK},                                             /* known and critical */
        {"801a000400000001 001a000400000001", KC_OK, KC_EPROTO},                        /* the same attribute */
        {"0015ffff0000000161", KC_EPROTO, KC_OK},                                       /* extended length */
        {"0015ffff00000002 61", KC_EPROTO, KC_EPROTO},
        {"0015ffff000000", KC_EPROTO, KC_EPROTO},
        {"0015ffffffffffff", KC_EPROTO, KC_EPROTO},
        {"001affff0000000400000001", KC_EPROTO, KC_OK},
        {"0041000c 00140004000003e9 00150000", KC_OK, KC_OK},                           /* a clause */
        {"0041000d 00140004000003e9 00150000", KC_EPROTO, KC_EPROTO},
        {"0041000b 00140004000003e9 001500", KC_EPROTO, KC_EPROTO},                     /* cut inside a nested one */
        {"00410008 0015000000150000", KC_OK, KC_EPROTO},                                /* nothing repeats inside */
        {"00410004 00410000", KC_EPROTO, KC_EPROTO},                                    /* depth 2 */
        {"00400004 00420000", KC_EPROTO, KC_EPROTO},
        {"00410008 0015ffff00000000", KC_EPROTO, KC_OK},
        {"00420006 00330002 0001", KC_OK, KC_EPROTO},                                   /* a STAT's VALUE of 2 bytes */
        {"00410005 ffff000161", KC_EPROTO, KC_EPROTO},
        {"00430000 00430003 000000", KC_OK, KC_OK},                                     /* a DESC of any length */
        {"0047000800000000000000010047000800000000000000010000", KC_EPROTO, KC_EPROTO}, /* LEASE_IDs, cut */
        {"0047000800000000000000010047000800000000000000010047000400000001", KC_OK, KC_EPROTO},
        {"00480004 00000001", KC_OK, KC_EPROTO},                                        /* a SIZE of 4 bytes */
        {"0049000400000001 0049000400000001", KC_OK, KC_EPROTO},                        /* FILES twice */
        {"00410008 0043000000430000", KC_OK, KC_EPROTO},                                /* a clause has one DESC */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int faults = atomic_load(&kc_test_faults);
        KC_CHECK_EQ(verdict(cases[i].payload, 0), cases[i].in_1_0);
        KC_CHECK_EQ(verdict(cases[i].payload, 1), cases[i].in_1_1);
        if (atomic_load(&kc_test_faults) != faults) {
            fprintf(stderr, "    payload %s\n", cases[i].payload);
        }
    }
}

KC_TEST(a_head_is_read_from_any_prefix)
{
    uint8_t bytes[16];
    kc_attr attr;
    size_t n = from_hex("0015ffff00010000", bytes);
    static const int needed_in_1_1[] = {4, 3, 2, 1, 4, 3, 2, 1, 0};
    for (size_t have = 0; have <= n; have++) {
        KC_CHECK_EQ(kc_attr_head(bytes, have, 1, &attr), needed_in_1_1[have]);
    }
    KC_CHECK_EQ(attr.type, KC_ATTR_ELEMENT);
    KC_CHECK_EQ(attr.length, 0x10000);
    KC_CHECK_EQ(attr.head_bytes, 8);
    KC_CHECK_EQ(attr.value - bytes, 8);
    KC_CHECK_EQ(kc_attr_head(bytes, 4, 0, &attr), KC_OK);
    KC_CHECK_EQ(attr.length, 0xffff);
    KC_CHECK_EQ(attr.head_bytes, 4);
}

/* For information: what one frame of a batch costs. */
static void print_speed(void)
{
    enum { FRAMES = 1000, ROUNDS = 300, FRAME_BYTES = 8 + 24 + 4 + 64 };
    static uint8_t batch[FRAMES * FRAME_BYTES];
    struct timespec from, to;
    kc_frame_header header;
    kc_request request;
    kc_writer writer;
    uint64_t sum = 0;
    kc_writer_init(&writer, batch, sizeof batch, 1, KC_MAX_FRAME_BYTES);
    for (uint32_t i = 0; i < FRAMES; i++) {
        uint8_t element[64] = {0};
        kc_frame_begin(&writer, KC_CMD_CHAN_SEND, 0);
        kc_put_u32(&writer, KC_ATTR_REQ_ID, i + 1);
        kc_put_u32(&writer, KC_ATTR_CHAN_ID, 1001);
        kc_put_i32(&writer, KC_ATTR_TIMEOUT_MS, -1);
        kc_put_bytes(&writer, KC_ATTR_ELEMENT, element, sizeof element);
        KC_CHECK_EQ(kc_frame_finish(&writer), KC_OK);
    }
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t at = 0; at < writer.length; at += KC_FRAME_HEADER_BYTES + header.length) {
            (void)kc_frame_head(batch + at, writer.length - at, 1, KC_MAX_FRAME_BYTES, &header);
            (void)kc_request_parse(batch + at + KC_FRAME_HEADER_BYTES, header.length, 1, header.cmd, &request);
            sum += request.req_id + request.element_bytes;
        }
    }
    clock_gettime(CLOCK_MONOTONIC, &to);
    KC_CHECK_EQ(sum, (uint64_t)ROUNDS * (FRAMES * 64 + FRAMES * (FRAMES + 1) / 2));
    double ns = (double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec);
    printf("%.1f ns per SEND frame of 64 bytes, parsed in a batch\n", ns / (FRAMES * ROUNDS));
}

int main(void)
{
    KC_RUN(golden_frames_are_written_and_read_byte_for_byte);
    KC_RUN(a_header_asks_for_what_is_missing);
    KC_RUN(a_header_is_refused_for_reserved_flags_and_length);
    KC_RUN(every_rule_of_refusal_has_its_verdict);
    KC_RUN(a_head_is_read_from_any_prefix);
    print_speed();
    return kc_test_report();
}
