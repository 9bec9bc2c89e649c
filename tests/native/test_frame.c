/* The reader and the writer of frames: golden bytes, each rule of refusal, prefixes, detached elements, full memory. */
#include <time.h>

#include "ipc/kc_bytes.h"
#include "ipc/kc_frame.h"
#include "kc_test.h"
#include "kcoro/kc_codec.h"

enum { ROOM = 4096 };

static size_t from_hex(const char *hex, uint8_t *out)
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

/* The verdict on a payload given in hex, behind a header that fits it; memory of exactly its size, for the sanitizer. */
static int verdict(const char *payload, unsigned minor)
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

static void write_hello(kc_writer *writer)
{
    kc_frame_begin(writer, KC_CMD_HELLO, 0);
    kc_put_u32(writer, KC_ATTR_ABI_MAJOR, 1);
    kc_put_u32(writer, KC_ATTR_ABI_MINOR, 0);
}

static void write_send(kc_writer *writer)
{
    kc_frame_begin(writer, KC_CMD_CHAN_SEND, 0);
    kc_put_u32(writer, KC_ATTR_CHAN_ID, 1001);
    kc_put_u32(writer, KC_ATTR_TIMEOUT_MS, 0);
    kc_put_bytes(writer, KC_ATTR_ELEMENT, "abcd", 4);
    kc_put_u32(writer, KC_ATTR_REQ_ID, 7);
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

/* A payload of `count` frames in hex, parsed at both minors by parse; the request points into memory of the caller. */
static kc_request parsed(uint8_t *scratch, const char *payload, unsigned minor)
{
    kc_request request;
    size_t length = from_hex(payload, scratch);
    KC_CHECK_EQ(kc_request_parse(scratch, (uint32_t)length, minor, KC_CMD_CHAN_SEND, &request), KC_OK);
    return request;
}

static void check_same(const kc_request *a, const kc_request *b)
{
    KC_CHECK_EQ(a->present, b->present);
    KC_CHECK_EQ(a->req_id, b->req_id);
    KC_CHECK_EQ(a->chan_id, b->chan_id);
    KC_CHECK_EQ(a->timeout_ms, b->timeout_ms);
    KC_CHECK_EQ(a->elements.count, b->elements.count);
    KC_CHECK_EQ(a->element_bytes, b->element_bytes);
    KC_REQUIRE(a->element_bytes == b->element_bytes);
    KC_CHECK_MEM(a->element, b->element, a->element_bytes);
}

KC_TEST(the_fast_path_and_the_walk_fill_the_same_request)
{
    uint8_t usual_bytes[ROOM];
    uint8_t other_bytes[ROOM];
    const char *usual = "001a000400000007 00140004000003e9 00080004ffffffff 0015000461626364";
    const char *other = "0015000461626364 00080004ffffffff 00140004000003e9 001a000400000007";
    for (unsigned minor = 0; minor < 2; minor++) {
        kc_request fast = parsed(usual_bytes, usual, minor);
        kc_request walked = parsed(other_bytes, other, minor);
        check_same(&fast, &walked);
        KC_CHECK_EQ(fast.present, KC_HAS_REQ_ID | KC_HAS_CHAN_ID | KC_HAS_TIMEOUT_MS);
        KC_CHECK_EQ(fast.req_id, 7);
        KC_CHECK_EQ(fast.chan_id, 1001);
        KC_CHECK_EQ(fast.timeout_ms, -1);
        KC_CHECK_MEM(fast.element, "abcd", 4);
        KC_CHECK_EQ(fast.elements.offset, 24);
        KC_CHECK_EQ(walked.elements.offset, 0);
    }
}

KC_TEST(the_fast_path_refuses_what_the_walk_refuses)
{
    const char *prefix = "001a000400000007 00140004000003e9 0008000400000000";
    char payload[256];
    (void)snprintf(payload, sizeof payload, "%s 001a000400000007", prefix);
    KC_CHECK_EQ(verdict(payload, 1), KC_EPROTO);
    KC_CHECK_EQ(verdict(payload, 0), KC_OK);
    (void)snprintf(payload, sizeof payload, "%s 0015000561626364", prefix);
    KC_CHECK_EQ(verdict(payload, 1), KC_EPROTO);
    (void)snprintf(payload, sizeof payload, "%s 001500046162636400", prefix);
    KC_CHECK_EQ(verdict(payload, 0), KC_EPROTO);
    (void)snprintf(payload, sizeof payload, "%s 00150000", prefix);
    KC_CHECK_EQ(verdict(payload, 1), KC_OK);
}

KC_TEST(the_first_scalar_counts_in_1_0)
{
    uint8_t scratch[ROOM];
    kc_request request = parsed(scratch, "001a000201ff 001a000400000001 001a000400000002", 0);
    KC_CHECK_EQ(request.req_id, 1);
    KC_CHECK_EQ(request.present, KC_HAS_REQ_ID);
}

KC_TEST(repeated_attributes_are_walked_again)
{
    uint8_t scratch[ROOM];
    kc_attr attr;
    kc_request request = parsed(scratch,
                                "00150001 61 0030000800000001000000ff 7fff0000 00150002 6263 00150000"
                                "0030000800000001000000fe 0024000400000003", 1);
    KC_CHECK_EQ(request.elements.count, 3);
    KC_CHECK_EQ(request.deliveries.count, 2);
    static const char *const elements[] = {"a", "bc", ""};
    kc_attr_walk walk = kc_request_walk(&request, KC_ATTR_ELEMENT);
    for (size_t i = 0; i < 3; i++) {
        KC_REQUIRE(kc_attr_walk_next(&walk, &attr));
        KC_CHECK_EQ(attr.length, strlen(elements[i]));
        KC_CHECK_MEM(attr.value, elements[i], attr.length);
    }
    KC_CHECK(!kc_attr_walk_next(&walk, &attr));
    walk = kc_request_walk(&request, KC_ATTR_DELIVERY_ID);
    KC_REQUIRE(kc_attr_walk_next(&walk, &attr));
    KC_CHECK_EQ(kc_attr_u64(&attr), 0x1000000ffLL);
    KC_REQUIRE(kc_attr_walk_next(&walk, &attr));
    KC_CHECK_EQ(kc_attr_u64(&attr), 0x1000000feLL);
    KC_CHECK(!kc_attr_walk_next(&walk, &attr));
    walk = kc_request_walk(&request, KC_ATTR_CLAUSE);
    KC_CHECK(!kc_attr_walk_next(&walk, &attr));
}

KC_TEST(descriptors_and_leases_are_walked_in_any_order)
{
    uint8_t scratch[ROOM];
    kc_attr attr;
    kc_request request = parsed(scratch,
                                "00470008000000010000000a 00430000 001a000400000007 0047000800000001000000ff"
                                "80430018000000000000000500000000000010000000000000000200 00430002 6162", 1);
    KC_CHECK_EQ(request.present, KC_HAS_REQ_ID);
    KC_CHECK_EQ(request.req_id, 7);
    KC_CHECK_EQ(request.elements.count, 0);
    KC_CHECK_EQ(request.descs.count, 3);
    KC_CHECK_EQ(request.descs.offset, 12);
    KC_CHECK_EQ(request.leases.count, 2);
    KC_CHECK_EQ(request.leases.offset, 0);
    static const uint32_t lengths[] = {0, 24, 2};
    kc_attr_walk walk = kc_request_walk(&request, KC_ATTR_DESC);
    for (size_t i = 0; i < 3; i++) {
        KC_REQUIRE(kc_attr_walk_next(&walk, &attr));
        KC_CHECK_EQ(attr.length, lengths[i]);
    }
    KC_CHECK_MEM(attr.value, "ab", 2);
    KC_CHECK(!kc_attr_walk_next(&walk, &attr));
    walk = kc_request_walk(&request, KC_ATTR_LEASE_ID);
    KC_REQUIRE(kc_attr_walk_next(&walk, &attr));
    KC_CHECK_EQ(kc_attr_u64(&attr), 0x10000000aLL);
    KC_REQUIRE(kc_attr_walk_next(&walk, &attr));
    KC_CHECK_EQ(kc_attr_u64(&attr), 0x1000000ffLL);
    KC_CHECK(!kc_attr_walk_next(&walk, &attr));
}

KC_TEST(a_usual_send_may_end_in_descriptors)
{
    uint8_t scratch[ROOM];
    kc_request request = parsed(scratch, "001a000400000007 00140004000003e9 00080004ffffffff 00430000 00430000", 1);
    KC_CHECK_EQ(request.present, KC_HAS_REQ_ID | KC_HAS_CHAN_ID | KC_HAS_TIMEOUT_MS);
    KC_CHECK_EQ(request.elements.count, 0);
    KC_CHECK_EQ(request.element, NULL);
    KC_CHECK_EQ(request.descs.count, 2);
    KC_CHECK_EQ(request.descs.offset, 24);
    request = parsed(scratch, "001a000400000007 00140004000003e9 00080004ffffffff 00150000", 1);
    KC_CHECK_EQ(request.elements.count, 1);
    KC_CHECK_EQ(request.descs.count, 0);
    KC_CHECK_EQ(request.leases.count, 0);
}

KC_TEST(a_descriptor_is_read_in_two_lengths_only)
{
    uint8_t bytes[40];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i + 1);
    }
    for (uint32_t length = 0; length <= sizeof bytes; length++) {
        uint8_t *value = malloc(length + 1u);
        KC_REQUIRE(value != NULL);
        memcpy(value, bytes, length);
        kc_attr attr = {.value = value, .length = length, .type = KC_ATTR_DESC};
        kc_desc_value read = {9, 9, 9, 9};
        KC_CHECK_EQ(kc_desc_read(&attr, &read), length == 24 || length == 32);
        KC_CHECK_EQ(read.region, length == 24 || length == 32 ? 0x0102030405060708LL : 9);
        KC_CHECK_EQ(read.offset, length == 24 || length == 32 ? 0x090a0b0c0d0e0f10LL : 9);
        KC_CHECK_EQ(read.length, length == 24 || length == 32 ? 0x1112131415161718LL : 9);
        KC_CHECK_EQ(read.fourth, length == 32 ? 0x191a1b1c1d1e1f20LL : length == 24 ? 0 : 9);
        free(value);
    }
}

KC_TEST(a_descriptor_is_written_with_its_fourth_word)
{
    uint8_t expected[ROOM];
    uint8_t out[ROOM];
    kc_writer writer;
    size_t n = from_hex("0031000000000024 004300200000000000000005000000000000100000000000000002000000000700000001",
                        expected);
    kc_writer_init(&writer, out, sizeof out, 1, KC_MAX_FRAME_BYTES);
    kc_frame_begin(&writer, KC_CMD_REGION_FREED, 0);
    kc_put_desc(&writer, 5, 4096, 512, 0x700000001);
    KC_CHECK_EQ(kc_frame_finish(&writer), KC_OK);
    KC_CHECK_EQ(writer.length, n);
    KC_CHECK_MEM(out, expected, n);
    kc_writer_init(&writer, out, n - 1, 1, KC_MAX_FRAME_BYTES);
    kc_frame_begin(&writer, KC_CMD_REGION_FREED, 0);
    kc_put_desc(&writer, 5, 4096, 512, 1);
    KC_CHECK_EQ(kc_frame_finish(&writer), KC_ENOSPC);
    KC_CHECK_EQ(writer.length, 0);
}

KC_TEST(a_clause_may_send_a_descriptor_or_files)
{
    uint8_t scratch[ROOM];
    kc_attr attr;
    kc_request_clause clause;
    kc_desc_value range;
    kc_request request = parsed(scratch,
                                "00410024 00140004000003e9 004300180000000000000005 00000000000010000000000000000200"
                                "00410014 00140004000003ea 00150000 0049000400000002"
                                "0041000c 00140004000003eb 00430000", 1);
    kc_attr_walk walk = kc_request_walk(&request, KC_ATTR_CLAUSE);
    KC_REQUIRE(kc_attr_walk_next(&walk, &attr));
    KC_CHECK_EQ(kc_clause_parse(&attr, 1, &clause), KC_OK);
    KC_CHECK_EQ(clause.present, KC_HAS_CHAN_ID | KC_HAS_DESC);
    KC_CHECK_EQ(clause.desc.value - scratch, 16);
    KC_REQUIRE(kc_desc_read(&clause.desc, &range));
    KC_CHECK_EQ(range.region, 5);
    KC_CHECK_EQ(range.offset, 4096);
    KC_CHECK_EQ(range.length, 512);
    KC_CHECK_EQ(range.fourth, 0);
    KC_REQUIRE(kc_attr_walk_next(&walk, &attr));
    KC_CHECK_EQ(kc_clause_parse(&attr, 1, &clause), KC_OK);
    KC_CHECK_EQ(clause.present, KC_HAS_CHAN_ID | KC_HAS_ELEMENT | KC_HAS_FILES);
    KC_CHECK_EQ(clause.files, 2);
    KC_CHECK_EQ(clause.desc.value, NULL);
    KC_REQUIRE(kc_attr_walk_next(&walk, &attr));
    KC_CHECK_EQ(kc_clause_parse(&attr, 1, &clause), KC_OK);
    KC_CHECK_EQ(clause.present, KC_HAS_CHAN_ID | KC_HAS_DESC);
    KC_CHECK(!kc_desc_read(&clause.desc, &range));
}

KC_TEST(clauses_tell_sends_from_receives)
{
    uint8_t scratch[ROOM];
    kc_attr attr;
    kc_request_clause clause;
    kc_request request = parsed(scratch,
                                "0041000c 00140004000003e9 00150000"
                                "00410010 00140004000003ea 0020000400000001", 1);
    KC_CHECK_EQ(request.clauses.count, 2);
    kc_attr_walk walk = kc_request_walk(&request, KC_ATTR_CLAUSE);
    KC_REQUIRE(kc_attr_walk_next(&walk, &attr));
    KC_CHECK_EQ(kc_clause_parse(&attr, 1, &clause), KC_OK);
    KC_CHECK_EQ(clause.present, KC_HAS_CHAN_ID | KC_HAS_ELEMENT);
    KC_CHECK_EQ(clause.chan_id, 1001);
    KC_CHECK_EQ(clause.element_bytes, 0);
    KC_REQUIRE(kc_attr_walk_next(&walk, &attr));
    KC_CHECK_EQ(kc_clause_parse(&attr, 1, &clause), KC_OK);
    KC_CHECK_EQ(clause.present, KC_HAS_CHAN_ID | KC_HAS_FLAGS);
    KC_CHECK_EQ(clause.chan_id, 1002);
    KC_CHECK_EQ(clause.flags, KC_FLAG_CLAUSE_ACK);
    KC_CHECK_EQ(clause.element, NULL);
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

KC_TEST(detached_elements_have_a_length_and_no_bytes)
{
    uint8_t scratch[ROOM];
    kc_request request;
    kc_attr attr;
    /* 1,024-byte elements were received elsewhere; a 1-byte one, a clause and the rest are here. */
    size_t n = from_hex("001a000400000007 00140004000003e9 0008000400000000 00150400 0015000161 80150400"
                        "0024000400000002", scratch);
    KC_CHECK_EQ(kc_request_parse_detached(scratch, (uint32_t)n, 1, KC_CMD_CHAN_SEND, 1024, &request), KC_OK);
    KC_CHECK_EQ(request.elements.count, 3);
    KC_CHECK_EQ(request.element, NULL);
    KC_CHECK_EQ(request.element_bytes, 1024);
    KC_CHECK_EQ(request.elements.offset, 24);
    static const uint32_t lengths[] = {1024, 1, 1024};
    kc_attr_walk walk = kc_request_walk(&request, KC_ATTR_ELEMENT);
    for (size_t i = 0; i < 3; i++) {
        KC_REQUIRE(kc_attr_walk_next(&walk, &attr));
        KC_CHECK_EQ(attr.length, lengths[i]);
        KC_CHECK_EQ(attr.value == NULL, lengths[i] == 1024);
    }
    KC_CHECK_EQ(kc_request_parse(scratch, (uint32_t)n, 1, KC_CMD_CHAN_SEND, &request), KC_EPROTO);
    KC_CHECK_EQ(kc_request_parse_detached(scratch, 28, 1, KC_CMD_CHAN_SEND, 1024, &request), KC_OK);
    KC_CHECK_EQ(request.elements.count, 1);
}

KC_TEST(descriptors_and_leases_stay_in_a_frame_whose_elements_are_detached)
{
    uint8_t scratch[ROOM];
    kc_request request;
    kc_attr attr;
    size_t n = from_hex("00150020 0043002000000000000000050000000000001000000000000000020000000007000000ff"
                        "004700080000000100000001 00150021 004700080000000100000002", scratch);
    kc_desc_value range;
    KC_CHECK_EQ(kc_request_parse_detached(scratch, (uint32_t)n, 1, KC_CMD_CHAN_SEND, 8, &request), KC_OK);
    KC_CHECK_EQ(request.elements.count, 2);
    KC_CHECK_EQ(request.descs.count, 1);
    KC_CHECK_EQ(request.leases.count, 2);
    kc_attr_walk walk = kc_request_walk(&request, KC_ATTR_DESC);
    KC_REQUIRE(kc_attr_walk_next(&walk, &attr));
    KC_REQUIRE(kc_desc_read(&attr, &range));
    KC_CHECK_EQ(range.fourth, 0x7000000ffLL);
    KC_CHECK(!kc_attr_walk_next(&walk, &attr));
    walk = kc_request_walk(&request, KC_ATTR_LEASE_ID);
    for (uint64_t lease = 0x100000001; lease <= 0x100000002; lease++) {
        KC_REQUIRE(kc_attr_walk_next(&walk, &attr));
        KC_CHECK_EQ(kc_attr_u64(&attr), lease);
    }
    KC_CHECK(!kc_attr_walk_next(&walk, &attr));
}

KC_TEST(a_frame_that_does_not_fit_is_taken_back)
{
    uint8_t whole[ROOM];
    kc_writer writer;
    kc_writer_init(&writer, whole, sizeof whole, 1, KC_MAX_FRAME_BYTES);
    write_hello(&writer);
    KC_CHECK_EQ(kc_frame_finish(&writer), KC_OK);
    size_t first = writer.length;
    write_send(&writer);
    KC_CHECK_EQ(kc_frame_finish(&writer), KC_OK);
    size_t both = writer.length;
    for (size_t capacity = first; capacity < both; capacity++) {
        uint8_t *bytes = malloc(capacity);
        KC_REQUIRE(bytes != NULL);
        kc_writer_init(&writer, bytes, capacity, 1, KC_MAX_FRAME_BYTES);
        write_hello(&writer);
        KC_CHECK_EQ(kc_frame_finish(&writer), KC_OK);
        write_send(&writer);
        KC_CHECK_EQ(kc_frame_finish(&writer), KC_ENOSPC);
        KC_CHECK_EQ(writer.length, first);
        KC_CHECK_MEM(bytes, whole, first);
        free(bytes);
    }
}

KC_TEST(long_values_take_the_extended_length)
{
    static uint8_t big[70000];
    static uint8_t out[140100];
    static const struct {
        uint32_t length;
        unsigned minor;
        int result;
        size_t frame_bytes;
    } cases[] = {
        {65534, 1, KC_OK, 8 + 4 + 65534}, {65535, 1, KC_OK, 8 + 8 + 65535}, {70000, 1, KC_OK, 8 + 8 + 70000},
        {65535, 0, KC_OK, 8 + 4 + 65535}, {65536, 0, KC_EMSGSIZE, 0},
    };
    kc_writer writer;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        kc_writer_init(&writer, out, sizeof out, cases[i].minor, KC_MAX_FRAME_BYTES);
        kc_frame_begin(&writer, KC_CMD_CHAN_SEND, 0);
        kc_put_bytes(&writer, KC_ATTR_ELEMENT, big, cases[i].length);
        KC_CHECK_EQ(kc_frame_finish(&writer), cases[i].result);
        KC_CHECK_EQ(writer.length, cases[i].frame_bytes);
        if (cases[i].result == KC_OK) {
            KC_CHECK_EQ(kc_codec_check(out, writer.length, cases[i].minor), KC_OK);
        }
    }
}

KC_TEST(nested_attributes_get_their_length)
{
    uint8_t out[ROOM];
    uint8_t expected[ROOM];
    kc_writer writer;
    size_t n = from_hex("000d000000000015 001600040000 0000 00400009 0015000161 00150000", expected);
    kc_writer_init(&writer, out, sizeof out, 1, KC_MAX_FRAME_BYTES);
    kc_frame_begin(&writer, KC_CMD_CHAN_RECV, 0);
    kc_put_i32(&writer, KC_ATTR_RESULT, KC_OK);
    kc_nested_begin(&writer, KC_ATTR_ITEM, 9);
    kc_put_bytes(&writer, KC_ATTR_ELEMENT, "a", 1);
    kc_put_bytes(&writer, KC_ATTR_ELEMENT, NULL, 0);
    kc_nested_end(&writer);
    KC_CHECK_EQ(kc_frame_finish(&writer), KC_OK);
    KC_CHECK_EQ(writer.length, n);
    KC_CHECK_MEM(out, expected, n);
}

KC_TEST(detached_bytes_count_in_every_length)
{
    uint8_t out[ROOM];
    kc_writer writer;
    kc_frame_header header;
    kc_attr attr;
    uint32_t element_bytes = 1u << 20;
    uint32_t item_bytes = (uint32_t)kc_attr_bytes(1, element_bytes) + 12;
    kc_writer_init(&writer, out, sizeof out, 1, KC_MAX_FRAME_BYTES);
    kc_frame_begin(&writer, KC_CMD_CHAN_RECV, 2);
    kc_nested_begin(&writer, KC_ATTR_ITEM, item_bytes);
    kc_put_u64(&writer, KC_ATTR_DELIVERY_ID, 5);
    kc_put_head(&writer, KC_ATTR_ELEMENT, element_bytes);
    kc_nested_end(&writer);
    KC_CHECK_EQ(kc_frame_finish(&writer), KC_OK);
    KC_CHECK_EQ(kc_frame_head(out, writer.length, 1, KC_MAX_FRAME_BYTES, &header), KC_OK);
    KC_CHECK_EQ(header.files, 2);
    KC_CHECK_EQ(header.length, kc_attr_bytes(1, item_bytes));
    KC_CHECK_EQ(header.length, writer.length - 8 + element_bytes);
    KC_CHECK_EQ(kc_attr_head(out + 8, writer.length - 8, 1, &attr), KC_OK);
    KC_CHECK_EQ(attr.length, item_bytes);
}

KC_TEST(a_writer_refuses_wrong_nesting_and_too_long_frames)
{
    uint8_t out[ROOM];
    kc_writer writer;
    kc_writer_init(&writer, out, sizeof out, 1, 100);
    kc_frame_begin(&writer, KC_CMD_CHAN_RECV, 0);
    kc_nested_begin(&writer, KC_ATTR_ITEM, 0);
    KC_CHECK_EQ(kc_frame_finish(&writer), KC_EINVAL);
    kc_frame_begin(&writer, KC_CMD_CHAN_RECV, 0);
    kc_nested_begin(&writer, KC_ATTR_ITEM, 0);
    kc_nested_begin(&writer, KC_ATTR_ITEM, 0);
    KC_CHECK_EQ(kc_frame_finish(&writer), KC_EINVAL);
    kc_frame_begin(&writer, KC_CMD_CHAN_RECV, 0);
    kc_nested_end(&writer);
    KC_CHECK_EQ(kc_frame_finish(&writer), KC_EINVAL);
    kc_frame_begin(&writer, KC_CMD_CHAN_RECV, 0);
    kc_nested_begin(&writer, KC_ATTR_ITEM, 10);
    kc_put_head(&writer, KC_ATTR_ELEMENT, 70000);
    kc_nested_end(&writer);
    KC_CHECK_EQ(kc_frame_finish(&writer), KC_EMSGSIZE);
    kc_frame_begin(&writer, KC_CMD_CHAN_RECV, 0);
    kc_put_head(&writer, KC_ATTR_ELEMENT, 97);
    KC_CHECK_EQ(kc_frame_finish(&writer), KC_EMSGSIZE);
    kc_frame_begin(&writer, KC_CMD_CHAN_RECV, 0);
    kc_put_head(&writer, KC_ATTR_ELEMENT, 96);
    KC_CHECK_EQ(kc_frame_finish(&writer), KC_OK);
    KC_CHECK_EQ(writer.length, 12);
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
    KC_RUN(the_fast_path_and_the_walk_fill_the_same_request);
    KC_RUN(the_fast_path_refuses_what_the_walk_refuses);
    KC_RUN(the_first_scalar_counts_in_1_0);
    KC_RUN(repeated_attributes_are_walked_again);
    KC_RUN(descriptors_and_leases_are_walked_in_any_order);
    KC_RUN(a_usual_send_may_end_in_descriptors);
    KC_RUN(a_descriptor_is_read_in_two_lengths_only);
    KC_RUN(a_descriptor_is_written_with_its_fourth_word);
    KC_RUN(a_clause_may_send_a_descriptor_or_files);
    KC_RUN(clauses_tell_sends_from_receives);
    KC_RUN(a_head_is_read_from_any_prefix);
    KC_RUN(detached_elements_have_a_length_and_no_bytes);
    KC_RUN(descriptors_and_leases_stay_in_a_frame_whose_elements_are_detached);
    KC_RUN(a_frame_that_does_not_fit_is_taken_back);
    KC_RUN(long_values_take_the_extended_length);
    KC_RUN(nested_attributes_get_their_length);
    KC_RUN(detached_bytes_count_in_every_length);
    KC_RUN(a_writer_refuses_wrong_nesting_and_too_long_frames);
    print_speed();
    return kc_test_report();
}
