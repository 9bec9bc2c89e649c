/* test_turn_close.c: a connected socket that gets no connection, and what is in it. */
#include "kc_turn_fixture.h"

enum { STRANGER = RIG_CONNS - 1 }; /* has no connection */

/* The end that is accepted, and then refused. */
static int offer(uint32_t transport)
{
    int pair[2];
    int type = transport == KC_TRANSPORT_SEQPACKET ? SOCK_SEQPACKET : SOCK_STREAM;
    KC_REQUIRE(socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
    peers[STRANGER] = pair[0];
    return pair[1];
}

static uint32_t paid_files(void)
{
    kc_account_usage usage;
    KC_REQUIRE(kc_account_measure(r.engine, r.account, &usage) == KC_OK);
    return usage.files;
}

static void leave(void)
{
    KC_CHECK_EQ(recv(peers[STRANGER], r.out, 1, 0), 0); /* the end, and no reset */
    (void)close(peers[STRANGER]);
}

KC_TEST(a_socket_that_gets_no_connection_is_closed_at_once_and_its_account_pays_for_its_files)
{
    for (uint32_t transport = 0; transport < 2; transport++) {
        begin(NULL, transport);
        int fds = count_fds();
        int fd = offer(transport);
        send_with_files(STRANGER, (const uint8_t *)"a", 1, 3);
        KC_CHECK_EQ(send(peers[STRANGER], "", 0, 0), 0); /* on SEQPACKET an empty packet */
        send_with_files(STRANGER, (const uint8_t *)"b", 1, 2);
        kc_pump_close_socket(r.pump, fd, transport, r.account);
        KC_CHECK_EQ(count_fds(), fds + 1 + 5);
        KC_CHECK_EQ(paid_files(), 5);
        KC_CHECK_EQ(rig_close_files(&r), 5);
        KC_CHECK_EQ(paid_files(), 0);
        leave();
        finish();
    }
}

KC_TEST(of_a_socket_for_which_nobody_pays_no_file_is_taken_it_waits_whole)
{
    for (uint32_t transport = 0; transport < 2; transport++) {
        begin(NULL, transport);
        int fds = count_fds();
        int fd = offer(transport);
        KC_CHECK_EQ(send(peers[STRANGER], "a", 1, 0), 1);
        send_with_files(STRANGER, (const uint8_t *)"b", 1, 3);
        kc_pump_close_socket(r.pump, fd, transport, 0);
        KC_CHECK_EQ(count_fds(), fds + 1 + 1);
        KC_CHECK_EQ(rig_close_files(&r), 1);
        KC_CHECK_EQ(count_fds(), fds + 1);
        (void)close(peers[STRANGER]);
        fd = offer(transport);
        KC_CHECK_EQ(send(peers[STRANGER], "a", 1, 0), 1);
        kc_pump_close_socket(r.pump, fd, transport, 0);
        KC_CHECK_EQ(count_fds(), fds + 1);
        KC_CHECK_EQ(kc_pump_files_left(r.pump), 0);
        leave();
        finish();
    }
}

KC_TEST(a_socket_of_an_account_with_too_many_files_waits_whole_only_when_files_are_in_it)
{
    for (uint32_t transport = 0; transport < 2; transport++) {
        begin(NULL, transport);
        int fds = count_fds();
        KC_CHECK_EQ(kc_account_limit(r.engine, r.account, &(kc_account_limits){.files = 1}), KC_OK);
        for (int i = 0; i < 1 + KC_FILE_SURPLUS; i++) {
            kc_pump_discard_file(r.pump, r.account, dup(0));
        }
        int fd = offer(transport);
        send_with_files(STRANGER, (const uint8_t *)"a", 1, 2); /* taken: it is at the limit, not over it */
        send_with_files(STRANGER, (const uint8_t *)"b", 1, 4);
        kc_pump_close_socket(r.pump, fd, transport, r.account);
        KC_CHECK_EQ(paid_files(), 1 + KC_FILE_SURPLUS + 2 + 1);
        (void)close(peers[STRANGER]);
        fd = offer(transport);
        KC_CHECK_EQ(send(peers[STRANGER], "a", 1, 0), 1);
        kc_pump_close_socket(r.pump, fd, transport, r.account);
        KC_CHECK_EQ(paid_files(), 1 + KC_FILE_SURPLUS + 2 + 1);
        leave();
        KC_CHECK_EQ(rig_close_files(&r), 1 + KC_FILE_SURPLUS + 2 + 1);
        KC_CHECK_EQ(count_fds(), fds);
        finish();
    }
}

KC_TEST(a_socket_that_cannot_be_added_is_closed_likewise)
{
    kc_conn conn = 0;
    begin(NULL, KC_TRANSPORT_STREAM);
    int fds = count_fds();
    int fd = offer(KC_TRANSPORT_STREAM);
    send_with_files(STRANGER, (const uint8_t *)"a", 1, 3);
    (void)kc_pump_fail_alloc(r.pump, 1);
    KC_CHECK_EQ(kc_conn_add(r.pump, fd, KC_TRANSPORT_STREAM, r.account, &conn), KC_ENOMEM);
    KC_CHECK_EQ(count_fds(), fds + 1 + 3);
    KC_CHECK_EQ(rig_close_files(&r), 3);
    leave();
    finish();
}

int main(void)
{
    KC_RUN(a_socket_that_gets_no_connection_is_closed_at_once_and_its_account_pays_for_its_files);
    KC_RUN(of_a_socket_for_which_nobody_pays_no_file_is_taken_it_waits_whole);
    KC_RUN(a_socket_of_an_account_with_too_many_files_waits_whole_only_when_files_are_in_it);
    KC_RUN(a_socket_that_cannot_be_added_is_closed_likewise);
    return kc_test_report();
}
