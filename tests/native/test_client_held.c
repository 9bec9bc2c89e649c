/* What a daemon can make a client hold has a bound: answers that nobody took yet, and regions that are mapped. Beyond
 * it the connection ends with KC_EPROTO, in words that name the bound; what was taken before is whole,
 * and nothing is left.
 */
#include <stdio.h>

#include "client/kc_client.h"
#include "kc_region_peer.h"

enum { ANSWERS = 3, BODY_BYTES = 400, ANSWER_BOUND = 1000, PAGES = 3 };

static size_t page(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static peer *open_held(uint64_t max_answer_bytes, uint64_t max_mapped_bytes)
{
    kc_ipc_config config;
    peer *p = peer_make(PEER_ROOM, &config);
    config.max_answer_bytes = max_answer_bytes;
    config.max_mapped_bytes = max_mapped_bytes;
    return peer_open_as(config, p);
}

static peer *open_mapped(uint64_t max_mappings)
{
    kc_ipc_config config;
    peer *p = peer_make(PEER_ROOM, &config);
    config.max_mappings = max_mappings;
    return peer_open_as(config, p);
}

static kc_ipc_usage measure(peer *p)
{
    kc_ipc_usage usage;
    kc_ipc_measure(p->ipc, &usage);
    return usage;
}

/* It has ended by this bound, and says so. */
static void check_ended(peer *p, const char *bound)
{
    char why[256];
    KC_CHECK_EQ(kc_ipc_step(p->ipc), KC_EPROTO);
    KC_CHECK_EQ(kc_ipc_why(p->ipc, why), KC_EPROTO);
    KC_CHECK(strstr(why, bound) != NULL);
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

static void answer_with(peer *p, uint32_t req_id, uint32_t bytes)
{
    static const uint8_t body[8 * ANSWER_BOUND];
    kc_put_bytes(peer_reply(p, KC_CMD_CHAN_RECV, req_id, KC_OK), KC_ATTR_ELEMENT, body, bytes);
    peer_end(p);
}

static void begin_receives(peer *p, kc_ipc_chan *chan, kc_ipc_op *ops[ANSWERS])
{
    for (uint32_t i = 0; i < ANSWERS; i++) {
        KC_REQUIRE(kc_ipc_recv_begin(chan, 1, NULL, &ops[i]) == KC_OK);
        KC_CHECK_EQ(peer_expect(p, KC_CMD_CHAN_RECV), i + 2);
    }
}

KC_TEST(answers_that_nobody_takes_have_a_bound_that_the_end_names)
{
    peer *p = open_held(ANSWER_BOUND, 0);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    kc_ipc_op *ops[ANSWERS];
    kc_ipc_result result;
    begin_receives(p, chan, ops);
    for (uint32_t i = 0; i < ANSWERS; i++) {
        answer_with(p, i + 2, BODY_BYTES);
    }
    check_ended(p, "max_answer_bytes");
    KC_CHECK(measure(p).answer_bytes >= 2 * BODY_BYTES && measure(p).answer_bytes <= ANSWER_BOUND);
    for (int i = 0; i < ANSWERS - 1; i++) {
        KC_CHECK_EQ(kc_ipc_op_wait(ops[i], &result), KC_OK);
        KC_REQUIRE(result.message_count == 1);
        KC_CHECK_EQ(result.messages[0].length, BODY_BYTES);
        kc_ipc_result_free(&result);
    }
    KC_CHECK_EQ(measure(p).answer_bytes, 0);
    KC_CHECK_EQ(kc_ipc_op_wait(ops[ANSWERS - 1], &result), KC_EPROTO);
    KC_CHECK_EQ(result.flags, KC_IPC_IN_DOUBT);
    KC_CHECK(strstr(result.reason, "max_answer_bytes") != NULL);
    KC_CHECK_EQ(result.message_count, 0);
    kc_ipc_result_free(&result);
    for (int i = 0; i < ANSWERS; i++) {
        kc_ipc_op_free(ops[i]);
    }
    kc_ipc_chan_free(chan);
    peer_close(p);
}

KC_TEST(answers_that_are_taken_or_freed_do_not_count)
{
    peer *p = open_held(ANSWER_BOUND, 0);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    kc_ipc_op *op;
    kc_ipc_message message;
    for (uint32_t id = 2; id < 12; id += 2) {
        answer_with(p, id, BODY_BYTES);
        KC_REQUIRE(kc_ipc_recv(chan, &message, NULL) == KC_OK);
        KC_CHECK_EQ(message.length, BODY_BYTES);
        KC_CHECK_EQ(measure(p).answer_bytes, 0); /* the message is the caller's */
        kc_ipc_message_free(&message);
        KC_REQUIRE(kc_ipc_recv_begin(chan, 1, NULL, &op) == KC_OK);
        answer_with(p, id + 1, BODY_BYTES);
        KC_CHECK_EQ(kc_ipc_op_ended(op), 1);
        KC_CHECK(measure(p).answer_bytes >= BODY_BYTES);
        kc_ipc_op_free(op);
        KC_CHECK_EQ(measure(p).answer_bytes, 0);
    }
    peer_free_channel(p, chan, 12);
    peer_close(p);
}

KC_TEST(an_answer_that_is_alone_or_waited_for_may_be_longer_than_the_bound)
{
    peer *p = open_held(ANSWER_BOUND, 0);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    kc_ipc_message message;
    kc_ipc_op *op;
    KC_REQUIRE(kc_ipc_recv_begin(chan, 1, NULL, &op) == KC_OK);
    answer_with(p, 2, 8 * ANSWER_BOUND);
    KC_CHECK_EQ(kc_ipc_op_ended(op), 1);
    answer_with(p, 3, 8 * ANSWER_BOUND);
    KC_REQUIRE(kc_ipc_recv(chan, &message, NULL) == KC_OK);
    KC_CHECK_EQ(message.length, 8 * ANSWER_BOUND);
    kc_ipc_message_free(&message);
    KC_CHECK_EQ(kc_ipc_op_wait(op, NULL), KC_OK);
    kc_ipc_op_free(op);
    peer_free_channel(p, chan, 4);
    peer_close(p);
}

/* --- mappings ----------------------------------------------------------------------------------------------------- */

KC_TEST(mapped_regions_have_a_bound_that_the_end_names)
{
    peer *p = open_held(0, PAGES * page());
    announce(p, 5, 2 * page(), 'a');
    announce(p, 6, 1, 'b'); /* a page is mapped */
    KC_CHECK_EQ(kc_ipc_step(p->ipc), KC_OK);
    KC_CHECK_EQ(measure(p).mapped_bytes, PAGES * page());
    announce(p, 7, 1, 'c');
    check_ended(p, "max_mapped_bytes");
    KC_CHECK_EQ(measure(p).mappings, 0); /* no message lies there */
    KC_CHECK_EQ(measure(p).mapped_bytes, 0);
    peer_close(p);
}

KC_TEST(a_region_that_is_longer_than_the_bound_is_not_mapped)
{
    peer *p = open_held(0, PAGES * page());
    announce(p, 5, PAGES * page() + 1, 'a');
    check_ended(p, "max_mapped_bytes");
    KC_CHECK_EQ(measure(p).mappings, 0);
    peer_close(p);
}

KC_TEST(a_region_that_is_gone_counts_while_a_message_lies_in_it)
{
    peer *p = open_held(0, PAGES * page());
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    kc_ipc_message message;
    for (uint64_t region = 5; region < 9; region++) {
        announce(p, region, PAGES * page(), 'r');
        kc_put_desc(peer_reply(p, KC_CMD_CHAN_RECV, (uint32_t)region - 3, KC_OK), region, 0, 4, region);
        peer_end(p);
        gone(p, region);
        KC_REQUIRE(kc_ipc_recv(chan, &message, NULL) == KC_OK);
        KC_CHECK_EQ(kc_ipc_step(p->ipc), KC_OK);
        KC_CHECK_EQ(measure(p).mappings, 0);
        KC_CHECK_EQ(measure(p).mapped_bytes, PAGES * page());
        if (region < 8) {
            kc_ipc_message_free(&message);
            KC_CHECK_EQ(measure(p).mapped_bytes, 0);
        }
    }
    announce(p, 9, 1, 'n');
    check_ended(p, "max_mapped_bytes");
    KC_CHECK_EQ(((const char *)message.bytes)[3], 'r');
    kc_ipc_message_free(&message);
    kc_ipc_chan_free(chan);
    peer_close(p);
}

/* 0: the default. */
static void fill_with_regions(uint64_t max_mappings, uint64_t most)
{
    char why[256];
    peer *p = open_mapped(max_mappings);
    for (uint64_t region = 1; region <= most; region++) {
        announce(p, region, 1, 'm');
        KC_REQUIRE(kc_ipc_step(p->ipc) == KC_OK);
    }
    KC_CHECK_EQ(measure(p).mappings, most);
    gone(p, 1);
    announce(p, most + 1, 1, 'm'); /* in the place of the one that is gone */
    KC_CHECK_EQ(kc_ipc_step(p->ipc), KC_OK);
    announce(p, most + 2, 1, 'm');
    KC_CHECK_EQ(kc_ipc_step(p->ipc), KC_EPROTO);
    KC_CHECK_EQ(kc_ipc_why(p->ipc, why), KC_EPROTO);
    KC_CHECK(strstr(why, max_mappings != 0 ? "max_mappings is 3" : "max_mappings is 4096") != NULL);
    peer_close(p);
}

KC_TEST(mapped_regions_have_a_bound_in_number_too)
{
    fill_with_regions(0, KC_CLIENT_MAPPINGS);
    fill_with_regions(3, 3);
}

KC_TEST(a_region_of_huge_pages_is_refused)
{
    enum { HUGE_BYTES = 2 << 20 };
    peer *p = open_held(0, 0);
    int file = memfd_create("huge", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);
    if (file < 0) {
        printf("skipped: a region of huge pages: this kernel makes none\n");
    } else {
        KC_REQUIRE(ftruncate(file, HUGE_BYTES) == 0 && fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
        announce_file(p, 5, HUGE_BYTES, file);
        KC_CHECK_EQ(kc_ipc_step(p->ipc), KC_EPROTO);
        KC_CHECK_EQ(measure(p).mappings, 0);
    }
    peer_close(p);
}

int main(void)
{
    KC_RUN(answers_that_nobody_takes_have_a_bound_that_the_end_names);
    KC_RUN(answers_that_are_taken_or_freed_do_not_count);
    KC_RUN(an_answer_that_is_alone_or_waited_for_may_be_longer_than_the_bound);
    KC_RUN(mapped_regions_have_a_bound_that_the_end_names);
    KC_RUN(a_region_that_is_longer_than_the_bound_is_not_mapped);
    KC_RUN(a_region_that_is_gone_counts_while_a_message_lies_in_it);
    KC_RUN(mapped_regions_have_a_bound_in_number_too);
    KC_RUN(a_region_of_huge_pages_is_refused);
    return kc_test_report();
}
