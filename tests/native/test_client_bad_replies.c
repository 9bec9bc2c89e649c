/* Whatever a daemon answers, the loss is that one connection: the operation ends with KC_EPROTO or KC_EMSGSIZE, in
 * doubt, nothing stays open, and another connection goes on.
 *
 * Each case is what the peer writes while a receive with acknowledgement, a plain batch of two, a select or a send is
 * under way; all are asked first, so that a case can answer any of them.
 */
#include "kc_region_peer.h"

enum { SEND_ID = 2, RECV_ID = 3, ACKING_ID = 4, BATCH_ID = 5, SELECT_ID = 6, PURGE_ID = 7, OPS = 5 };

typedef struct bad_case {
    const char *name;
    void (*write)(peer *p);
    int code;
} bad_case;

static void element(kc_writer *out, const char *text)
{
    kc_put_bytes(out, KC_ATTR_ELEMENT, text, (uint32_t)strlen(text));
}

static void range(kc_writer *out, uint64_t region, uint64_t offset, uint64_t length, uint64_t lease)
{
    kc_put_desc(out, region, offset, length, lease);
}

static void reserved_flags(peer *p) { peer_raw(p, "\0\x0b\x80\0\0\0\0\0", 8); }
static void too_long(peer *p) { peer_raw(p, "\0\x0b\0\0\xff\xff\xff\xff", 8); }
static void cut_attribute(peer *p) { peer_raw(p, "\0\x0b\0\0\0\0\0\x06\0\x1a\0\x04\0\0", 14); }
static void stray_bytes(peer *p) { peer_raw(p, "\0\x0b\0\0\0\0\0\x03\0\x1a\0", 11); }
static void critical(peer *p)
{
    kc_put_u32(peer_reply(p, KC_CMD_CHAN_SEND, SEND_ID, 0), 0x8777, 1);
    peer_end(p);
}
static void twice(peer *p)
{
    kc_put_i32(peer_reply(p, KC_CMD_CHAN_SEND, SEND_ID, 0), KC_ATTR_RESULT, 0);
    peer_end(p);
}
static void short_scalar(peer *p)
{
    kc_put_bytes(peer_reply(p, KC_CMD_CHAN_SEND, SEND_ID, 0), KC_ATTR_COUNT, "ab", 2);
    peer_end(p);
}
static void unknown_request(peer *p) { peer_answer(p, KC_CMD_CHAN_SEND, 99, 0); }
static void other_command(peer *p) { peer_answer(p, KC_CMD_CHAN_RECV, SEND_ID, 0); }
static void no_result(peer *p)
{
    kc_put_u32(peer_begin(p, KC_CMD_CHAN_SEND, 0), KC_ATTR_REQ_ID, SEND_ID);
    peer_end(p);
}
static void positive_result(peer *p) { peer_answer(p, KC_CMD_CHAN_SEND, SEND_ID, 1); }
static void answered_twice(peer *p)
{
    peer_answer(p, KC_CMD_CHAN_SEND, SEND_ID, 0);
    peer_answer(p, KC_CMD_CHAN_SEND, SEND_ID, 0);
}
static void second_hello(peer *p) { peer_hello(p, 1, 0); }
static void words_that_are_good(peer *p)
{
    kc_put_i32(peer_begin(p, KC_CMD_PING, 0), KC_ATTR_RESULT, 0);
    peer_end(p);
}
static void counts_too_much(peer *p)
{
    kc_put_u32(peer_reply(p, KC_CMD_CHAN_SEND, SEND_ID, 0), KC_ATTR_COUNT, 2);
    peer_end(p);
}
static void counts_none(peer *p)
{
    kc_put_u32(peer_reply(p, KC_CMD_CHAN_SEND, SEND_ID, 0), KC_ATTR_COUNT, 0);
    peer_end(p);
}
static void drops_too_much(peer *p)
{
    kc_put_u32(peer_reply(p, KC_CMD_CHAN_SEND, SEND_ID, 0), KC_ATTR_DROPPED, 2);
    peer_end(p);
}
static void send_with_message(peer *p)
{
    element(peer_reply(p, KC_CMD_CHAN_SEND, SEND_ID, 0), "x");
    peer_end(p);
}
static void refusal_with_message(peer *p)
{
    element(peer_reply(p, KC_CMD_CHAN_RECV, RECV_ID, KC_EPIPE), "x");
    peer_end(p);
}
static void refusal_that_counts(peer *p)
{
    kc_put_u32(peer_reply(p, KC_CMD_CHAN_SEND, SEND_ID, KC_EPIPE), KC_ATTR_COUNT, 1000000);
    peer_end(p);
}
static void refusal_that_drops(peer *p)
{
    kc_put_u32(peer_reply(p, KC_CMD_CHAN_SEND, SEND_ID, KC_EPIPE), KC_ATTR_DROPPED, 1);
    peer_end(p);
}
static void refusal_of_no_clause(peer *p)
{
    kc_put_u32(peer_reply(p, KC_CMD_SELECT, SELECT_ID, KC_EPIPE), KC_ATTR_INDEX, 7);
    peer_end(p);
}
static void nothing_received(peer *p) { peer_answer(p, KC_CMD_CHAN_RECV, RECV_ID, 0); }
static void one_too_many(peer *p)
{
    kc_writer *out = peer_reply(p, KC_CMD_CHAN_RECV, RECV_ID, 0);
    element(out, "x");
    element(out, "y");
    peer_end(p);
}
static void batch_too_long(peer *p)
{
    kc_writer *out = peer_reply(p, KC_CMD_CHAN_RECV, BATCH_ID, 0);
    element(out, "x");
    element(out, "y");
    element(out, "z");
    peer_end(p);
}
static void item_not_asked(peer *p)
{
    kc_writer *out = peer_reply(p, KC_CMD_CHAN_RECV, RECV_ID, 0);
    kc_nested_begin(out, KC_ATTR_ITEM, 0);
    element(out, "x");
    kc_nested_end(out);
    peer_end(p);
}
static void element_for_item(peer *p)
{
    element(peer_reply(p, KC_CMD_CHAN_RECV, ACKING_ID, 0), "x");
    peer_end(p);
}
static void no_delivery(peer *p)
{
    kc_writer *out = peer_reply(p, KC_CMD_CHAN_RECV, ACKING_ID, 0);
    kc_nested_begin(out, KC_ATTR_ITEM, 0);
    element(out, "x");
    kc_nested_end(out);
    peer_end(p);
}
static void item_without_body(peer *p)
{
    kc_writer *out = peer_reply(p, KC_CMD_CHAN_RECV, ACKING_ID, 0);
    kc_nested_begin(out, KC_ATTR_ITEM, 0);
    kc_put_u64(out, KC_ATTR_DELIVERY_ID, 5);
    kc_nested_end(out);
    peer_end(p);
}
static void nested_twice(peer *p)
{
    kc_writer *out = peer_reply(p, KC_CMD_CHAN_RECV, ACKING_ID, 0);
    kc_put_bytes(out, KC_ATTR_ITEM, "\0\x40\0\0", 4); /* an ITEM in an ITEM */
    peer_end(p);
}
static void index_beyond(peer *p)
{
    kc_writer *out = peer_reply(p, KC_CMD_SELECT, SELECT_ID, 0);
    kc_put_u32(out, KC_ATTR_INDEX, 2);
    element(out, "x");
    peer_end(p);
}
static void index_beyond_and_no_message(peer *p)
{
    kc_put_u32(peer_reply(p, KC_CMD_SELECT, SELECT_ID, 0), KC_ATTR_INDEX, 2);
    peer_end(p);
}
static void no_index_and_no_message(peer *p) { peer_answer(p, KC_CMD_SELECT, SELECT_ID, 0); }
static void no_index(peer *p)
{
    element(peer_reply(p, KC_CMD_SELECT, SELECT_ID, 0), "x");
    peer_end(p);
}
static void message_for_a_sending_clause(peer *p)
{
    kc_writer *out = peer_reply(p, KC_CMD_SELECT, SELECT_ID, 0);
    kc_put_u32(out, KC_ATTR_INDEX, 1);
    element(out, "x");
    peer_end(p);
}
static void no_message_for_a_receiving_clause(peer *p)
{
    kc_put_u32(peer_reply(p, KC_CMD_SELECT, SELECT_ID, 0), KC_ATTR_INDEX, 0);
    peer_end(p);
}
static void unknown_region(peer *p)
{
    range(peer_reply(p, KC_CMD_CHAN_RECV, RECV_ID, 0), 9, 0, 1, 1);
    peer_end(p);
}
static void desc_of_no_length(peer *p)
{
    kc_put_bytes(peer_reply(p, KC_CMD_CHAN_RECV, RECV_ID, 0), KC_ATTR_DESC, "abc", 3);
    peer_end(p);
}

static void region_without_file(peer *p) { announce_file(p, 5, 4096, -1); }
static void region_that_may_shrink(peer *p) { announce_file(p, 5, 4096, sealed_file(4096, 0, F_SEAL_GROW)); }
static void region_longer_than_its_file(peer *p) { announce_file(p, 5, 8192, region_file(4096, 0)); }
static void region_of_no_memory(peer *p) { announce_file(p, 5, 4096, open("/dev/null", O_RDONLY | O_CLOEXEC)); }
static void region_announced_twice(peer *p)
{
    announce_file(p, 5, 4096, region_file(4096, 0));
    announce_file(p, 5, 4096, region_file(4096, 0));
}
static void beyond_the_region(peer *p)
{
    announce_file(p, 5, 4096, region_file(4096, 0));
    range(peer_reply(p, KC_CMD_CHAN_RECV, RECV_ID, 0), 5, 4000, 97, 1);
    peer_end(p);
}
static void so_far_that_it_wraps(peer *p)
{
    announce_file(p, 5, 4096, region_file(4096, 0));
    range(peer_reply(p, KC_CMD_CHAN_RECV, RECV_ID, 0), 5, UINT64_MAX - 3, 8, 1);
    peer_end(p);
}
static void second_range_is_wrong(peer *p)
{
    announce_file(p, 5, 4096, region_file(4096, 0));
    kc_writer *out = peer_reply(p, KC_CMD_CHAN_RECV, BATCH_ID, 0);
    range(out, 5, 0, 8, 1);
    range(out, 5, 0, 0, 2);
    peer_end(p);
}
static void files_for_two_messages(peer *p)
{
    kc_writer *out = peer_reply(p, KC_CMD_CHAN_RECV, BATCH_ID, 0);
    p->out[3] = 1;
    element(out, "x");
    element(out, "y");
    p->files[0] = STDERR_FILENO;
    p->file_count = 1;
    peer_end(p);
}
static void files_without_a_message(peer *p)
{
    peer_reply(p, KC_CMD_CHAN_SEND, SEND_ID, 0);
    p->out[3] = 1;
    p->files[0] = STDERR_FILENO;
    p->file_count = 1;
    peer_end(p);
}
static void names_without_files(peer *p)
{
    element(peer_reply(p, KC_CMD_CHAN_RECV, RECV_ID, 0), "x");
    p->out[3] = 2;
    peer_end(p);
}
static void files_that_no_frame_names(peer *p)
{
    element(peer_reply(p, KC_CMD_CHAN_RECV, RECV_ID, 0), "x");
    p->files[0] = STDERR_FILENO;
    p->file_count = 1;
    peer_end(p);
}
static void many_files(peer *p, uint8_t count)
{
    element(peer_reply(p, KC_CMD_CHAN_RECV, RECV_ID, 0), "x");
    p->out[3] = count;
    for (p->file_count = 0; p->file_count < count; p->file_count++) {
        p->files[p->file_count] = STDERR_FILENO;
    }
    peer_end(p);
}
static void more_files_than_a_message_has(peer *p) { many_files(p, 17); }
static void far_more_files(peer *p) { many_files(p, 200); }
static void a_notice_that_nobody_knows(peer *p)
{
    kc_put_u64(peer_begin(p, KC_CMD_PING, 0), KC_ATTR_REGION_ID, 5);
    peer_end(p);
}
static void freed_with_a_short_range(peer *p)
{
    kc_put_bytes(peer_begin(p, KC_CMD_REGION_FREED, 0), KC_ATTR_DESC, "abc", 3);
    peer_end(p);
}
static void purged_without_a_number(peer *p) { peer_answer(p, KC_CMD_CHAN_PURGE, PURGE_ID, 0); }

#define CASE(name) {#name, name, KC_EPROTO}
static const bad_case cases[] = {
    CASE(reserved_flags), {"too_long", too_long, KC_EMSGSIZE}, CASE(cut_attribute), CASE(stray_bytes), CASE(critical),
    CASE(twice), CASE(short_scalar), CASE(unknown_request), CASE(other_command), CASE(no_result),
    CASE(positive_result), CASE(answered_twice), CASE(second_hello), CASE(words_that_are_good), CASE(counts_too_much),
    CASE(counts_none), CASE(drops_too_much), CASE(send_with_message), CASE(refusal_with_message),
    CASE(refusal_that_counts), CASE(refusal_that_drops), CASE(refusal_of_no_clause),
    CASE(nothing_received), CASE(one_too_many), CASE(batch_too_long), CASE(item_not_asked), CASE(element_for_item),
    CASE(no_delivery), CASE(item_without_body), CASE(nested_twice), CASE(index_beyond),
    CASE(index_beyond_and_no_message), CASE(no_index_and_no_message), CASE(no_index),
    CASE(message_for_a_sending_clause), CASE(no_message_for_a_receiving_clause), CASE(unknown_region),
    CASE(desc_of_no_length), CASE(region_without_file), CASE(region_that_may_shrink),
    CASE(region_longer_than_its_file), CASE(region_of_no_memory), CASE(region_announced_twice),
    CASE(beyond_the_region), CASE(so_far_that_it_wraps), CASE(second_range_is_wrong), CASE(files_for_two_messages),
    CASE(files_without_a_message), CASE(names_without_files), CASE(files_that_no_frame_names),
    CASE(more_files_than_a_message_has), CASE(far_more_files), CASE(a_notice_that_nobody_knows),
    CASE(freed_with_a_short_range),
};

static int open_files(void)
{
    int count = 0;
    for (int fd = 0; fd < 256; fd++) {
        count += fcntl(fd, F_GETFD) >= 0;
    }
    return count;
}

static void ask_all(peer *p, kc_ipc_chan *chan, kc_ipc_op *ops[OPS])
{
    const kc_ipc_payload payload = {.bytes = "ab", .length = 2};
    const kc_ipc_wish acking = {.timeout_ms = -1, .flags = KC_IPC_ACK};
    const kc_ipc_clause clauses[2] = {{.chan = chan}, {.chan = chan, .payload = &payload}};
    KC_REQUIRE(kc_ipc_send_begin(chan, &payload, 1, NULL, &ops[0]) == KC_OK);
    KC_REQUIRE(kc_ipc_recv_begin(chan, 1, NULL, &ops[1]) == KC_OK);
    KC_REQUIRE(kc_ipc_recv_begin(chan, 1, &acking, &ops[2]) == KC_OK);
    KC_REQUIRE(kc_ipc_recv_begin(chan, 2, NULL, &ops[3]) == KC_OK);
    KC_REQUIRE(kc_ipc_select_begin(p->ipc, clauses, 2, NULL, &ops[4]) == KC_OK);
}

/* In these the first frame is good and what follows is not. */
static bool was_well_answered(const bad_case *one, int op)
{
    return (one->write == answered_twice && op == 0) || (one->write == files_that_no_frame_names && op == 1);
}

static void run_case(const bad_case *one)
{
    peer *p = peer_open(PEER_ROOM);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    kc_ipc_op *ops[OPS];
    kc_ipc_result result;
    kc_ipc_usage usage;
    int faults = atomic_load(&kc_test_faults);
    ask_all(p, chan, ops);
    one->write(p);
    for (int i = OPS - 1; i >= 0; i--) {
        int code = kc_ipc_op_wait(ops[i], &result);
        if (!was_well_answered(one, i)) {
            KC_CHECK_EQ(code, one->code);
            KC_CHECK_EQ(result.flags, KC_IPC_IN_DOUBT);
            KC_CHECK_EQ(result.message_count, 0);
        }
        kc_ipc_result_free(&result);
        kc_ipc_op_free(ops[i]);
    }
    kc_ipc_measure(p->ipc, &usage);
    KC_CHECK_EQ(usage.ended, one->code);
    KC_CHECK_EQ(usage.leases, 0);
    kc_ipc_chan_free(chan);
    peer_close(p);
    if (atomic_load(&kc_test_faults) != faults) {
        fprintf(stderr, "    in the case %s\n", one->name);
    }
}

KC_TEST(every_bad_frame_costs_its_connection_and_nothing_else)
{
    peer *other = peer_open(PEER_ROOM);
    int before = open_files();
    long memory = atomic_load(&memory_out);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        atomic_store(&memory_out, 0); /* what the other one has is not the case's */
        run_case(&cases[i]);
        KC_CHECK_EQ(open_files(), before);
    }
    atomic_store(&memory_out, memory);
    peer_answer(other, KC_CMD_PING, 1, KC_OK);
    KC_CHECK_EQ(kc_ipc_ping(other->ipc), KC_OK);
    peer_close(other);
}

KC_TEST(a_purge_without_a_number_is_a_bad_answer)
{
    peer *p = peer_open(PEER_ROOM);
    kc_ipc_chan *chan = peer_channel(p, PURGE_ID - 6, 1001);
    kc_ipc_op *ops[OPS];
    uint32_t count = 9;
    ask_all(p, chan, ops);
    purged_without_a_number(p);
    KC_CHECK_EQ(kc_ipc_purge(chan, &count), KC_EPROTO);
    KC_CHECK_EQ(count, 0);
    for (int i = 0; i < OPS; i++) {
        kc_ipc_op_free(ops[i]);
    }
    kc_ipc_chan_free(chan);
    peer_close(p);
}

KC_TEST(what_the_client_does_not_know_is_passed_over)
{
    peer *p = peer_open(PEER_ROOM);
    kc_writer *out = peer_reply(p, KC_CMD_PING, 1, KC_OK);
    kc_put_bytes(out, 0x0777, "later", 5);
    kc_put_u32(out, KC_ATTR_MODE, 1);
    peer_end(p);
    KC_CHECK_EQ(kc_ipc_ping(p->ipc), KC_OK);
    peer_close(p);
}

KC_TEST(a_greeting_that_is_none_is_refused)
{
    for (int i = 0; i < 3; i++) {
        kc_ipc_config config;
        peer *p = peer_make(PEER_ROOM, &config);
        if (i == 0) {
            peer_answer(p, KC_CMD_HELLO, 1, KC_OK);
        } else if (i == 1) {
            kc_put_u32(peer_begin(p, KC_CMD_PING, 0), KC_ATTR_ABI_MAJOR, 1);
            peer_end(p);
        } else {
            peer_raw(p, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
        }
        int code = kc_ipc_connect(&config, &p->ipc);
        KC_CHECK_EQ(code, KC_EPROTO);
        KC_CHECK(p->ipc == NULL);
        peer_close(p);
    }
}

int main(void)
{
    KC_RUN(every_bad_frame_costs_its_connection_and_nothing_else);
    KC_RUN(a_purge_without_a_number_is_a_bad_answer);
    KC_RUN(what_the_client_does_not_know_is_passed_over);
    KC_RUN(a_greeting_that_is_none_is_refused);
    return kc_test_report();
}
