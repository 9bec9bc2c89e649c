/* Frames are written within their room, nested attributes and long values included (writer.c). */
#include "kc_frame_words.h"

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

int main(void)
{
    KC_RUN(a_frame_that_does_not_fit_is_taken_back);
    KC_RUN(long_values_take_the_extended_length);
    KC_RUN(nested_attributes_get_their_length);
    KC_RUN(detached_bytes_count_in_every_length);
    KC_RUN(a_writer_refuses_wrong_nesting_and_too_long_frames);
    return kc_test_report();
}
