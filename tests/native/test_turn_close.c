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
        for (int i = 0; i < 2; i++) {
            /* On SEQPACKET an empty packet: neither it nor the next is the end. */
            KC_CHECK_EQ(send(peers[STRANGER], "", 0, 0), 0);
        }
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

KC_TEST(a_connection_that_waits_whole_is_out_of_the_set)
{
    for (uint32_t transport = 0; transport < 2; transport++) {
        kc_closed closed;
        begin(NULL, transport);
        KC_CHECK_EQ(kc_account_limit(r.engine, r.account, &(kc_account_limits){.files = 1}), KC_OK);
        for (int i = 0; i < 3 + KC_FILE_SURPLUS; i++) {
            kc_pump_discard_file(r.pump, r.account, dup(0));
        }
        send_with_files(0, (const uint8_t *)"abcdefgh", 8, 2);
        (void)close(peers[0]);
        peers[0] = -1;
        while ((turn().flags & KC_TURN_MORE) != 0 || kc_pump_closed(r.pump, &closed) != KC_OK) {
        }
        while ((turn().flags & KC_TURN_MORE) != 0) {
        }
        KC_CHECK(!pump_is_readable(0)); /* its end would be reported for ever */
        (void)rig_close_files(&r);
        finish();
    }
}

KC_TEST(files_behind_the_error_of_a_peer_that_left_without_hearing_us_are_found)
{
    begin(NULL, KC_TRANSPORT_SEQPACKET);
    int fds = count_fds();
    int fd = offer(KC_TRANSPORT_SEQPACKET);
    KC_CHECK_EQ(send(fd, "unheard", 7, 0), 7);
    send_with_files(STRANGER, (const uint8_t *)"a", 1, 3);
    (void)close(peers[STRANGER]); /* ECONNRESET comes ahead of the packet */
    kc_pump_close_socket(r.pump, fd, KC_TRANSPORT_SEQPACKET, 0);
    KC_CHECK_EQ(count_fds(), fds + 1);
    KC_CHECK_EQ(rig_close_files(&r), 1);
    KC_CHECK_EQ(count_fds(), fds);
    finish();
}

KC_TEST(packets_behind_an_empty_one_are_not_taken_for_files)
{
    begin(NULL, KC_TRANSPORT_SEQPACKET);
    int fds = count_fds();
    int fd = offer(KC_TRANSPORT_SEQPACKET);
    KC_CHECK_EQ(send(peers[STRANGER], "", 0, 0), 0);
    KC_CHECK_EQ(send(peers[STRANGER], "b", 1, 0), 1);
    kc_pump_close_socket(r.pump, fd, KC_TRANSPORT_SEQPACKET, 0);
    KC_CHECK_EQ(kc_pump_files_left(r.pump), 0);
    KC_CHECK_EQ(count_fds(), fds + 1);
    leave();
    finish();
}

KC_TEST(an_account_that_never_was_gets_no_connection)
{
    const uint32_t wild[] = {2, 1000, UINT32_C(1) << 31, UINT32_MAX};
    begin(NULL, KC_TRANSPORT_STREAM);
    int fds = count_fds();
    for (int i = 0; i < 1 + KC_FILE_SURPLUS; i++) {
        kc_pump_discard_file(r.pump, r.account, dup(0)); /* so that closes look at who is over */
    }
    for (size_t i = 0; i < sizeof wild / sizeof *wild; i++) {
        kc_conn conn = 0;
        int fd = offer(KC_TRANSPORT_STREAM);
        KC_CHECK_EQ(kc_conn_add(r.pump, fd, KC_TRANSPORT_STREAM, wild[i], &conn), KC_ENOENT);
        KC_CHECK_EQ(kc_conn_add(r.pump, -1, KC_TRANSPORT_STREAM, wild[i], &conn), KC_ENOENT);
        KC_CHECK_EQ(kc_file_is_over(r.engine, wild[i]), 0);
        KC_CHECK_EQ(kc_file_lags(r.engine, wild[i]), 0);
        leave();
    }
    (void)rig_close_files(&r);
    KC_CHECK_EQ(count_fds(), fds);
    finish();
}

int main(void)
{
    KC_RUN(a_socket_that_gets_no_connection_is_closed_at_once_and_its_account_pays_for_its_files);
    KC_RUN(of_a_socket_for_which_nobody_pays_no_file_is_taken_it_waits_whole);
    KC_RUN(a_socket_of_an_account_with_too_many_files_waits_whole_only_when_files_are_in_it);
    KC_RUN(a_socket_that_cannot_be_added_is_closed_likewise);
    KC_RUN(a_connection_that_waits_whole_is_out_of_the_set);
    KC_RUN(files_behind_the_error_of_a_peer_that_left_without_hearing_us_are_found);
    KC_RUN(packets_behind_an_empty_one_are_not_taken_for_files);
    KC_RUN(an_account_that_never_was_gets_no_connection);
    return kc_test_report();
}
