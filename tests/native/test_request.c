/* Whole payloads become one flat request, by the fast path or by the walk (request.c). */
#include "kc_frame_words.h"

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

int main(void)
{
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
    KC_RUN(detached_elements_have_a_length_and_no_bytes);
    KC_RUN(descriptors_and_leases_stay_in_a_frame_whose_elements_are_detached);
    return kc_test_report();
}
