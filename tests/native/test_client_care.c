/* What nobody would notice at once: rights that are given back, answers to what was never asked, pages that are there
 * before they are read, files that no child of exec has, cancels of what waits for ever that are overdue.
 */
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "client/kc_client.h"
#include "kc_region_peer.h"

enum { PAGES = 16, GRACE_MS = 20 };

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

static kc_ipc_op *fill_socket(kc_ipc_chan *chan)
{
    static uint8_t bytes[2 * PEER_ROOM];
    const kc_ipc_payload payload = {.bytes = bytes, .length = sizeof bytes};
    kc_ipc_op *op = NULL;
    KC_REQUIRE(kc_ipc_send_begin(chan, &payload, 1, NULL, &op) == KC_OK);
    return op;
}

KC_TEST(a_handle_that_is_freed_gives_its_rights_back)
{
    peer *p = peer_open(PEER_ROOM);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    kc_frame_header header;
    kc_request request;
    peer_free_channel(p, chan, 2);
    KC_REQUIRE(peer_next(p, &header, &request));
    KC_CHECK_EQ(header.cmd, KC_CMD_CHAN_RELEASE);
    KC_CHECK_EQ(request.chan_id, 1001);
    KC_CHECK_EQ(request.flags, KC_FLAG_CHAN_READ | KC_FLAG_CHAN_WRITE);
    peer_close(p);
}

KC_TEST(an_answer_to_what_has_not_left_yet_ends_the_connection)
{
    peer *p = peer_open(PEER_ROOM);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    kc_ipc_op *large = fill_socket(chan), *queued = NULL;
    kc_ipc_result result;
    KC_REQUIRE(kc_ipc_recv_begin(chan, 1, NULL, &queued) == KC_OK);
    kc_put_bytes(peer_reply(p, KC_CMD_CHAN_RECV, 3, KC_OK), KC_ATTR_ELEMENT, "abc", 3);
    peer_end(p);
    KC_CHECK_EQ(kc_ipc_step(p->ipc), KC_EPROTO);
    KC_CHECK_EQ(kc_ipc_op_wait(queued, &result), KC_EPROTO);
    KC_CHECK_EQ(result.flags, 0);
    KC_CHECK_EQ(result.message_count, 0);
    KC_CHECK_EQ(kc_ipc_op_wait(large, &result), KC_EPROTO);
    KC_CHECK_EQ(result.flags, KC_IPC_IN_DOUBT);
    kc_ipc_op_free(queued);
    kc_ipc_op_free(large);
    kc_ipc_chan_free(chan);
    peer_close(p);
}

/* Seen, not told: an emulator (qemu-user before 8.0) may answer 0 and do nothing. */
static bool kernel_populates(size_t page)
{
    struct stat status = {.st_blocks = 0};
    int hole = memfd_create("probe", MFD_CLOEXEC);
    KC_REQUIRE(hole >= 0 && ftruncate(hole, (off_t)page) == 0);
    void *memory = mmap(NULL, page, PROT_READ, MAP_SHARED, hole, 0);
    KC_REQUIRE(memory != MAP_FAILED);
    bool can = madvise(memory, page, MADV_POPULATE_READ) == 0 && fstat(hole, &status) == 0 && status.st_blocks != 0;
    munmap(memory, page);
    close(hole);
    return can;
}

/* A file that is a hole has no pages until somebody reads it. */
KC_TEST(the_pages_of_a_region_are_there_before_a_message_is_read)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (!kernel_populates(page)) {
        printf("skipped: pages of a region: nothing comes of MADV_POPULATE_READ here (Linux 5.14; not under qemu)\n");
        return;
    }
    peer *p = peer_open(PEER_ROOM);
    struct stat status;
    int hole = memfd_create("hole", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    KC_REQUIRE(hole >= 0 && ftruncate(hole, (off_t)(PAGES * page)) == 0);
    KC_REQUIRE(fcntl(hole, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
    KC_REQUIRE(fstat(hole, &status) == 0 && status.st_blocks == 0);
    kc_writer *out = peer_begin(p, KC_CMD_REGION_MAP, 1);
    kc_put_u64(out, KC_ATTR_REGION_ID, 5);
    kc_put_u64(out, KC_ATTR_SIZE, PAGES * page);
    p->files[0] = hole;
    p->file_count = 1;
    peer_end(p);
    KC_CHECK_EQ(kc_ipc_step(p->ipc), KC_OK);
    KC_REQUIRE(fstat(hole, &status) == 0);
    KC_CHECK_EQ(status.st_blocks * 512, PAGES * page);
    close(hole);
    peer_close(p);
}

KC_TEST(a_cancel_of_what_waits_for_ever_is_overdue_after_the_grace)
{
    kc_ipc_config config;
    peer *p = peer_make(PEER_ROOM, &config);
    kc_ipc_result result;
    kc_ipc_op *op;
    config.grace_ms = GRACE_MS;
    config.connect_timeout_ms = 3600000; /* the timer rings only for what is tested */
    peer_open_as(config, p);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    KC_REQUIRE(kc_ipc_recv_begin(chan, 1, NULL, &op) == KC_OK);
    KC_CHECK_EQ(kc_ipc_op_ended(op), 0);
    int64_t before_ns = kc_client_now_ns();
    KC_CHECK_EQ(kc_ipc_op_cancel(op), KC_OK);
    KC_CHECK_EQ(kc_ipc_op_wait(op, &result), KC_ECONNRESET); /* this daemon says nothing */
    KC_CHECK(kc_client_now_ns() >= before_ns + GRACE_MS * INT64_C(1000000));
    KC_CHECK_EQ(result.flags, KC_IPC_IN_DOUBT);
    kc_ipc_op_free(op);
    kc_ipc_chan_free(chan);
    peer_close(p);
}

KC_TEST(an_answer_that_is_late_by_less_than_the_grace_is_taken)
{
    peer *p = peer_open(PEER_ROOM);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    const kc_ipc_wish soon = {.timeout_ms = 1};
    kc_ipc_op *op;
    KC_REQUIRE(kc_ipc_recv_begin(chan, 1, &soon, &op) == KC_OK);
    for (int64_t until_ns = kc_client_now_ns() + 3000000; kc_client_now_ns() < until_ns;) {
    }
    KC_CHECK_EQ(kc_ipc_step(p->ipc), KC_OK);
    peer_answer(p, KC_CMD_CHAN_RECV, 2, KC_ETIME);
    KC_CHECK_EQ(kc_ipc_op_wait(op, NULL), KC_ETIME);
    kc_ipc_op_free(op);
    peer_free_channel(p, chan, 3);
    peer_close(p);
}

/* --- over a socket ------------------------------------------------------------------------------------------------ */

KC_TEST(files_that_come_are_closed_when_another_program_is_started)
{
    int ends[2], came[2];
    uint32_t count = 2;
    char byte;
    KC_REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    const kc_ipc_transport *unix_way = kc_unix_transport(false);
    void *links[2] = {(void *)((intptr_t)ends[0] + 1), (void *)((intptr_t)ends[1] + 1)};
    KC_CHECK_EQ(unix_way->send(links[0], "f", 1, (int[]){0}, 1), 1);
    KC_CHECK_EQ(unix_way->receive(links[1], &byte, 1, came, &count), 1);
    KC_REQUIRE(count == 1);
    KC_CHECK_EQ(fcntl(came[0], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    close(came[0]);
    unix_way->close(links[0]);
    unix_way->close(links[1]);
}

int main(void)
{
    KC_RUN(a_handle_that_is_freed_gives_its_rights_back);
    KC_RUN(an_answer_to_what_has_not_left_yet_ends_the_connection);
    KC_RUN(the_pages_of_a_region_are_there_before_a_message_is_read);
    KC_RUN(a_cancel_of_what_waits_for_ever_is_overdue_after_the_grace);
    KC_RUN(an_answer_that_is_late_by_less_than_the_grace_is_taken);
    KC_RUN(files_that_come_are_closed_when_another_program_is_started);
    return kc_test_report();
}
