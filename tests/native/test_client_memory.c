/* Regions, leases and files; and that every allocation may fail. */
#include "kc_region_peer.h"

static uint64_t released(peer *p)
{
    kc_frame_header header;
    kc_request request;
    kc_attr attr;
    KC_REQUIRE(peer_next(p, &header, &request));
    KC_CHECK_EQ(header.cmd, KC_CMD_RELEASE);
    kc_attr_walk walk = kc_request_walk(&request, KC_ATTR_LEASE_ID);
    KC_REQUIRE(kc_attr_walk_next(&walk, &attr));
    return kc_attr_u64(&attr);
}

/* --- what is received --------------------------------------------------------------------------------------------- */

KC_TEST(a_range_is_read_where_it_lies_and_released_with_its_message)
{
    peer *p = peer_open(PEER_ROOM);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    kc_ipc_message first, second;
    kc_ipc_usage usage;
    announce(p, 5, 4096, 'r');
    kc_put_desc(peer_reply(p, KC_CMD_CHAN_RECV, 2, KC_OK), 5, 96, 4000, 31);
    peer_end(p);
    KC_REQUIRE(kc_ipc_recv(chan, &first, NULL) == KC_OK);
    KC_CHECK_EQ(first.length, 4000);
    KC_CHECK_EQ(((const char *)first.bytes)[3999], 'r');
    kc_put_desc(peer_reply(p, KC_CMD_CHAN_RECV, 3, KC_OK), 5, 0, 1, 32);
    peer_end(p);
    gone(p, 5);
    KC_REQUIRE(kc_ipc_recv(chan, &second, NULL) == KC_OK);
    kc_ipc_step(p->ipc);
    kc_ipc_measure(p->ipc, &usage);
    KC_CHECK_EQ(usage.leases, 2);
    KC_CHECK_EQ(usage.mappings, 0);
    peer_expect(p, KC_CMD_CHAN_RECV);
    peer_expect(p, KC_CMD_CHAN_RECV);
    peer_expect_nothing(p);
    kc_ipc_message_free(&second);
    KC_CHECK_EQ(released(p), 32);
    KC_CHECK_EQ(((const char *)first.bytes)[0], 'r'); /* its region is gone, the memory is not */
    kc_ipc_message_free(&first);
    kc_ipc_message_free(&first);
    KC_CHECK_EQ(released(p), 31);
    peer_expect_nothing(p);
    kc_ipc_measure(p->ipc, &usage);
    KC_CHECK_EQ(usage.leases, 0);
    peer_free_channel(p, chan, 4);
    peer_close(p);
}

KC_TEST(a_message_outlives_its_connection)
{
    peer *p = peer_open(PEER_ROOM);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    kc_ipc_message message;
    announce(p, 5, 4096, 'r');
    kc_put_desc(peer_reply(p, KC_CMD_CHAN_RECV, 2, KC_OK), 5, 0, 10, 31);
    peer_end(p);
    KC_REQUIRE(kc_ipc_recv(chan, &message, NULL) == KC_OK);
    kc_ipc_disconnect(p->ipc);
    p->ipc = NULL;
    kc_ipc_chan_free(chan);
    KC_CHECK_EQ(((const char *)message.bytes)[9], 'r');
    kc_ipc_message_free(&message);
    peer_close(p);
}

KC_TEST(files_are_the_receivers_and_closed_once)
{
    peer *p = peer_open(PEER_ROOM);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    kc_ipc_message message;
    kc_put_bytes(peer_reply(p, KC_CMD_CHAN_RECV, 2, KC_OK), KC_ATTR_ELEMENT, "f", 1);
    p->out[3] = 2;
    p->files[0] = region_file(4, 'a');
    p->files[1] = region_file(4, 'b');
    p->file_count = 2;
    int own[2] = {p->files[0], p->files[1]};
    peer_end(p);
    close(own[0]);
    close(own[1]);
    KC_REQUIRE(kc_ipc_recv(chan, &message, NULL) == KC_OK);
    KC_REQUIRE(message.file_count == 2);
    char found[2] = {0};
    KC_CHECK_EQ(pread(message.files[0], &found[0], 1, 0), 1);
    KC_CHECK_EQ(pread(message.files[1], &found[1], 1, 0), 1);
    KC_CHECK_MEM(found, "ab", 2);
    int taken = message.files[1];
    int closed = message.files[0];
    message.files[1] = -1;
    kc_ipc_message_free(&message);
    KC_CHECK_EQ(fcntl(closed, F_GETFD), -1);
    KC_CHECK(fcntl(taken, F_GETFD) >= 0);
    close(taken);
    peer_free_channel(p, chan, 3);
    peer_close(p);
}

KC_TEST(files_go_with_the_first_byte_of_their_frame_and_the_callers_stay_open)
{
    peer *p = peer_open(PEER_ROOM);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    int file = region_file(4, 'q');
    kc_ipc_payload payload = {.bytes = "x", .length = 1, .files = &file, .file_count = 1};
    kc_ipc_op *op;
    kc_frame_header header;
    kc_request request;
    KC_REQUIRE(kc_ipc_send_begin(chan, &payload, 1, NULL, &op) == KC_OK);
    KC_REQUIRE(peer_next(p, &header, &request));
    KC_CHECK_EQ(header.files, 1);
    KC_CHECK_EQ(p->came_count, 1);
    char found = 0;
    KC_CHECK_EQ(pread(p->came[0], &found, 1, 0), 1);
    KC_CHECK_EQ(found, 'q');
    KC_CHECK(fcntl(file, F_GETFD) >= 0);
    close(file);
    peer_hang_up(p);
    kc_ipc_op_free(op);
    kc_ipc_chan_free(chan);
    peer_close(p);
}

/* --- what is sent ------------------------------------------------------------------------------------------------- */

KC_TEST(a_region_is_sealed_and_its_file_goes_with_it)
{
    peer *p = peer_open(PEER_ROOM);
    kc_ipc_region *region = peer_region(p, 1, 5, 5000);
    KC_REQUIRE(p->came_count == 1);
    int seals = fcntl(p->came[0], F_GET_SEALS);
    KC_CHECK_EQ(seals & (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    KC_CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, p->came[0], 0) == MAP_FAILED);
    KC_CHECK_EQ(lseek(p->came[0], 0, SEEK_END), 8192);
    peer_answer(p, KC_CMD_REGION_DROP, 2, KC_OK);
    KC_CHECK_EQ(kc_ipc_region_free(region), KC_OK);
    peer_close(p);
}

KC_TEST(a_loan_is_used_again_when_the_daemon_says_that_it_is_free)
{
    peer *p = peer_open(PEER_ROOM);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    kc_ipc_region *region = peer_region(p, 2, 5, 4096);
    kc_ipc_loan *loan, *next;
    kc_ipc_result result;
    KC_REQUIRE(kc_ipc_loan_take(region, 4096, &loan) == KC_OK);
    void *bytes = kc_ipc_loan_bytes(loan);
    KC_CHECK_EQ(kc_ipc_loan_take(region, 1, &next), KC_ENOSPC);
    const kc_ipc_payload payload = {.loan = loan};
    peer_answer(p, KC_CMD_CHAN_SEND, 3, KC_ETIME);
    KC_CHECK_EQ(kc_ipc_send_payload(chan, &payload, NULL, &result), KC_ETIME);
    memset(bytes, 1, 4096); /* after a send that did nothing it is ours as before */
    peer_answer(p, KC_CMD_CHAN_SEND, 4, KC_OK);
    KC_CHECK_EQ(kc_ipc_send_payload(chan, &payload, NULL, &result), KC_OK);
    KC_CHECK_EQ(kc_ipc_loan_take(region, 1, &next), KC_ENOSPC);
    freed(p, 5, 0, 4096);
    KC_CHECK_EQ(kc_ipc_loan_take(region, 4096, &next), KC_OK);
    KC_CHECK(kc_ipc_loan_bytes(next) == bytes);
    KC_CHECK_EQ(kc_ipc_region_free(region), KC_EBUSY); /* a loan is out */
    kc_ipc_loan_give(next);
    peer_answer(p, KC_CMD_REGION_DROP, 5, KC_EBUSY);
    KC_CHECK_EQ(kc_ipc_region_free(region), KC_EBUSY);
    peer_answer(p, KC_CMD_REGION_DROP, 6, KC_OK);
    KC_CHECK_EQ(kc_ipc_region_free(region), KC_OK);
    peer_free_channel(p, chan, 7);
    peer_close(p);
}

KC_TEST(a_range_that_is_freed_before_its_send_is_answered_is_freed_once)
{
    peer *p = peer_open(PEER_ROOM);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    kc_ipc_region *region = peer_region(p, 2, 5, 4096);
    kc_ipc_loan *loan;
    KC_REQUIRE(kc_ipc_loan_take(region, 4096, &loan) == KC_OK);
    const kc_ipc_payload payload = {.loan = loan};
    freed(p, 5, 0, 4096);
    peer_answer(p, KC_CMD_CHAN_SEND, 3, KC_OK);
    KC_CHECK_EQ(kc_ipc_send_payload(chan, &payload, NULL, NULL), KC_OK);
    KC_CHECK_EQ(kc_ipc_loan_take(region, 4096, &loan), KC_OK);
    kc_ipc_loan_give(loan);
    peer_answer(p, KC_CMD_REGION_DROP, 4, KC_OK);
    KC_CHECK_EQ(kc_ipc_region_free(region), KC_OK);
    peer_free_channel(p, chan, 5);
    peer_close(p);
}

KC_TEST(memory_in_doubt_is_never_used_again)
{
    peer *p = peer_open(PEER_ROOM);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    kc_ipc_region *region = peer_region(p, 2, 5, 4096);
    kc_ipc_loan *loan, *next;
    kc_ipc_result result;
    kc_ipc_wish confirm = {.timeout_ms = -1, .flags = KC_IPC_CONFIRM};
    KC_REQUIRE(kc_ipc_loan_take(region, 4096, &loan) == KC_OK);
    const kc_ipc_payload payload = {.loan = loan};
    peer_answer(p, KC_CMD_CHAN_SEND, 3, KC_ECANCELED); /* never accepted, or accepted and lost: nobody can say */
    KC_CHECK_EQ(kc_ipc_send_payload(chan, &payload, &confirm, &result), KC_ECANCELED);
    KC_CHECK_EQ(kc_ipc_loan_take(region, 1, &next), KC_ENOSPC);
    peer_hang_up(p);
    KC_CHECK_EQ(kc_ipc_ping(p->ipc), KC_ECONNRESET);
    KC_CHECK_EQ(kc_ipc_region_free(region), KC_OK);
    kc_ipc_chan_free(chan);
    peer_close(p);
}

KC_TEST(only_the_winning_clause_takes_its_loan)
{
    peer *p = peer_open(PEER_ROOM);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    kc_ipc_region *region = peer_region(p, 2, 5, 8192);
    kc_ipc_loan *loans[2];
    kc_ipc_result result;
    KC_REQUIRE(kc_ipc_loan_take(region, 4096, &loans[0]) == KC_OK);
    KC_REQUIRE(kc_ipc_loan_take(region, 4096, &loans[1]) == KC_OK);
    const kc_ipc_payload payloads[2] = {{.loan = loans[0]}, {.loan = loans[1]}};
    const kc_ipc_clause clauses[2] = {{.chan = chan, .payload = &payloads[0]}, {.chan = chan, .payload = &payloads[1]}};
    const kc_ipc_clause twice[2] = {clauses[0], clauses[0]};
    KC_CHECK_EQ(kc_ipc_select(p->ipc, twice, 2, NULL, &result), KC_EBUSY);
    kc_put_u32(peer_reply(p, KC_CMD_SELECT, 3, KC_OK), KC_ATTR_INDEX, 1);
    peer_end(p);
    KC_CHECK_EQ(kc_ipc_select(p->ipc, clauses, 2, NULL, &result), KC_OK);
    KC_CHECK_EQ(result.index, 1);
    kc_ipc_result_free(&result);
    memset(kc_ipc_loan_bytes(loans[0]), 1, 4096);
    kc_ipc_loan_give(loans[0]);
    KC_CHECK_EQ(kc_ipc_loan_take(region, 4097, &loans[0]), KC_ENOSPC); /* the other one is out */
    peer_answer(p, KC_CMD_REGION_DROP, 4, KC_OK);
    KC_CHECK_EQ(kc_ipc_region_free(region), KC_OK);
    peer_free_channel(p, chan, 5);
    peer_close(p);
}

/* --- memory that is lacking --------------------------------------------------------------------------------------- */

/* All of a conversation; true if no allocation failed. What fails must say so, and nothing may be left. */
static bool converse(long until)
{
    kc_ipc_chan *chan = NULL;
    kc_ipc_region *region = NULL;
    kc_ipc_loan *loan = NULL;
    kc_ipc_result result = {0};
    kc_ipc_config config;
    peer *p = peer_make(PEER_ROOM, &config);
    peer_hello(p, 1, KC_CAP_DESCRIPTORS | KC_CAP_FILES);
    atomic_store(&memory_until, until);
    int code = kc_ipc_connect(&config, &p->ipc);
    if (code == KC_OK) {
        kc_put_u32(peer_reply(p, KC_CMD_CHAN_MAKE, 1, KC_OK), KC_ATTR_CHAN_ID, 1001);
        peer_end(p);
        code = kc_ipc_make(p->ipc, "name", NULL, &chan);
    }
    if (code == KC_OK) {
        kc_put_u64(peer_reply(p, KC_CMD_REGION_ADD, 2, KC_OK), KC_ATTR_REGION_ID, 5);
        peer_end(p);
        code = kc_ipc_region_make(p->ipc, 4096, &region);
    }
    if (code == KC_OK) {
        code = kc_ipc_loan_take(region, 64, &loan);
    }
    if (code == KC_OK) {
        const kc_ipc_payload payload = {.loan = loan};
        peer_answer(p, KC_CMD_CHAN_SEND, 3, KC_OK);
        code = kc_ipc_send_payload(chan, &payload, NULL, NULL);
        if (code != KC_OK) {
            kc_ipc_loan_give(loan);
        }
    }
    if (code == KC_OK) {
        announce(p, 9, 4096, 'm');
        kc_writer *out = peer_reply(p, KC_CMD_CHAN_RECV, 4, KC_OK);
        kc_put_desc(out, 9, 0, 8, 1);
        kc_put_desc(out, 9, 8, 8, 2);
        peer_end(p);
        code = kc_ipc_recv_many(chan, 2, NULL, &result);
        KC_CHECK_EQ(result.message_count, code == KC_OK ? 2 : 0);
        kc_ipc_result_free(&result);
    }
    if (code == KC_OK) {
        const kc_ipc_clause clause = {.chan = chan};
        kc_writer *out = peer_reply(p, KC_CMD_SELECT, 5, KC_OK);
        kc_put_u32(out, KC_ATTR_INDEX, 0);
        static const uint8_t large[200000];
        kc_put_bytes(out, KC_ATTR_ELEMENT, large, sizeof large);
        peer_end(p);
        code = kc_ipc_select(p->ipc, &clause, 1, NULL, &result);
        kc_ipc_result_free(&result);
    }
    KC_CHECK(code == KC_OK || code == KC_ENOMEM);
    bool all = code == KC_OK;
    peer_hang_up(p);
    kc_ipc_chan_free(chan);
    if (region != NULL && p->ipc != NULL) {
        atomic_store(&memory_until, -1);
        kc_ipc_ping(p->ipc); /* the end is heard of */
        KC_CHECK_EQ(kc_ipc_region_free(region), KC_OK);
    }
    peer_close(p);
    return all;
}

KC_TEST(every_allocation_may_fail_and_nothing_is_left)
{
    long until = 0;
    while (!converse(until)) {
        until++;
        KC_REQUIRE(until < 1000);
    }
    KC_CHECK(until > 20); /* as many places were tried */
}

int main(void)
{
    KC_RUN(a_range_is_read_where_it_lies_and_released_with_its_message);
    KC_RUN(a_message_outlives_its_connection);
    KC_RUN(files_are_the_receivers_and_closed_once);
    KC_RUN(files_go_with_the_first_byte_of_their_frame_and_the_callers_stay_open);
    KC_RUN(a_region_is_sealed_and_its_file_goes_with_it);
    KC_RUN(a_loan_is_used_again_when_the_daemon_says_that_it_is_free);
    KC_RUN(a_range_that_is_freed_before_its_send_is_answered_is_freed_once);
    KC_RUN(memory_in_doubt_is_never_used_again);
    KC_RUN(only_the_winning_clause_takes_its_loan);
    KC_RUN(every_allocation_may_fail_and_nothing_is_left);
    return kc_test_report();
}
