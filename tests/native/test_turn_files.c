/* test_turn_files.c: the turn and open files: with the bytes that name them, and closed in every other case. */
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/un.h>

#include "kc_turn_fixture.h"

KC_TEST(files_that_a_request_cannot_take_are_closed_and_the_connection_lives)
{
    for (uint32_t transport = 0; transport < 2; transport++) {
        begin(NULL, transport);
        int fds = count_fds();
        rig_build(&r, 1, "SEND r1 c1001 e:a");
        r.frame[3] = KC_MAX_FILES;
        send_with_files(0, r.frame, r.frame_bytes, KC_MAX_FILES);
        KC_CHECK_STR(hear(0), "SEND r1 =-22");
        KC_CHECK_EQ(count_fds(), fds);
        rig_build(&r, 1, "SEND r1 c1001 e:a e:b");
        r.frame[3] = 2;
        send_with_files(0, r.frame, r.frame_bytes, 2);
        KC_CHECK_STR(hear(0), "SEND r1 =-22");
        rig_build(&r, 1, "SEND r1 c77 e:a");
        r.frame[3] = 1;
        send_with_files(0, r.frame, r.frame_bytes, 1);
        KC_CHECK_STR(hear(0), "SEND r1 =-9");
        rig_build(&r, 1, "PING r7");
        r.frame[3] = 1;
        send_with_files(0, r.frame, r.frame_bytes, 1);
        KC_CHECK_STR(hear(0), "PING r7 =-22");
        KC_CHECK_EQ(count_fds(), fds);
        say(0, "PING r2");
        KC_CHECK_STR(hear(0), "PING r2 =0");
        kc_conn_info info;
        KC_CHECK_EQ(kc_conn_measure(r.pump, r.conns[0], &info), KC_OK);
        KC_CHECK_EQ(info.files_in, 1 + 1 + 2 + KC_MAX_FILES);
        KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_TOTAL_SENDS), 0);
        finish();
    }
}

/* PING with some files, which it cannot have: they are discarded. */
static void ping_with_files(uint32_t req_id, int files)
{
    char script[16];
    (void)snprintf(script, sizeof script, "PING r%u", req_id);
    rig_build(&r, 1, script);
    r.frame[3] = (uint8_t)files;
    send_with_files(0, r.frame, r.frame_bytes, files);
}

/* What has been said to a client, without closing any file. */
static const char *overhear(int i)
{
    while ((turn().flags & KC_TURN_MORE) != 0 || pump_is_readable(0)) {
    }
    ssize_t n = recv(peers[i], r.out, RIG_FRAME_BYTES, MSG_DONTWAIT);
    return rig_render(&r, r.minors[i], r.out, n > 0 ? (size_t)n : 0);
}

KC_TEST(whose_files_are_closed_too_slowly_is_not_read_until_they_are_or_hang)
{
    kc_account_limits limits = {.files = 2 * KC_MAX_FILES};
    for (uint32_t transport = 0; transport < 2; transport++) {
        begin(NULL, transport);
        KC_CHECK_EQ(kc_account_limit(r.engine, r.account, &limits), KC_OK);
        ping_with_files(1, KC_MAX_FILES);
        KC_CHECK_STR(overhear(0), "PING r1 =-22");
        ping_with_files(2, 1);
        KC_CHECK_STR(overhear(0), "PING r2 =-22"); /* more than half of its limit now */
        ping_with_files(3, 1);
        KC_CHECK_STR(overhear(0), "");
        (void)rig_close_files(&r);
        KC_CHECK_STR(overhear(0), "PING r3 =-22");
        ping_with_files(4, KC_MAX_FILES);
        KC_CHECK_STR(overhear(0), "PING r4 =-22");
        ping_with_files(5, 1);
        const char *heard = "";
        while (*heard == '\0') { /* nothing is closed: a second later it is read all the same */
            KC_REQUIRE(pump_is_readable(-1));
            heard = overhear(0);
        }
        KC_CHECK_STR(heard, "PING r5 =-22");
        finish();
    }
}

KC_TEST(who_was_not_read_for_its_files_is_read_with_the_last_close_also_when_its_patience_is_over)
{
    kc_account_limits limits = {.files = 2 * KC_MAX_FILES};
    begin(NULL, KC_TRANSPORT_STREAM);
    KC_CHECK_EQ(kc_account_limit(r.engine, r.account, &limits), KC_OK);
    ping_with_files(1, KC_MAX_FILES);
    KC_CHECK_STR(overhear(0), "PING r1 =-22");
    ping_with_files(2, 1);
    KC_CHECK_STR(overhear(0), "PING r2 =-22");
    ping_with_files(3, 1);
    KC_CHECK_STR(overhear(0), "");
    (void)kc_engine_tick(r.engine, clock_ns() + 2 * KC_FILE_PATIENCE_NS); /* they lag no more, but it was not told */
    (void)rig_close_files(&r);
    KC_CHECK_STR(overhear(0), "PING r3 =-22"); /* not only when its own second is over */
    finish();
}

KC_TEST(files_that_no_frame_names_and_names_without_files_end_the_connection)
{
    begin(NULL, KC_TRANSPORT_STREAM);
    int fds = count_fds();
    rig_build(&r, 1, "PING r1");
    send_with_files(0, r.frame, r.frame_bytes, 1);
    KC_CHECK_EQ(closed_code(), KC_EPROTO);
    KC_CHECK_EQ(count_fds(), fds - 1);
    int i = join(1, KC_TRANSPORT_STREAM);
    rig_build(&r, 1, "PING r1");
    r.frame[3] = 2;
    send_with_files(i, r.frame, r.frame_bytes, 1);
    KC_CHECK_STR(hear(i), "PING =-71");
    KC_CHECK_EQ(closed_code(), KC_EPROTO);
    i = join(0, KC_TRANSPORT_STREAM);
    rig_build(&r, 0, "RECV c77");
    send_with_files(i, r.frame, r.frame_bytes, 1);
    KC_CHECK_EQ(closed_code(), KC_EAGAIN); /* without a handle the frame waits for the daemon, behind its barrier */
    kc_control control;
    KC_CHECK_EQ(kc_pump_control(r.pump, &control), KC_OK);
    KC_CHECK_EQ(kc_pump_resume(r.pump, r.conns[i]), KC_OK);
    KC_CHECK_EQ(closed_code(), KC_EPROTO);
    finish();
}

KC_TEST(files_behind_a_barrier_wait_for_the_frame_that_names_them)
{
    for (uint32_t transport = 0; transport < 2; transport++) {
        begin(NULL, transport);
        say(0, "MAKE r1"); /* behind this barrier nothing is served */
        int fds = count_fds();
        rig_build(&r, 1, "PING r2");
        r.frame[3] = KC_MAX_FILES;
        send_with_files(0, r.frame, r.frame_bytes, KC_MAX_FILES);
        turn_until_quiet();
        KC_CHECK_EQ(count_fds(), fds + KC_MAX_FILES);
        kc_control control;
        KC_CHECK_EQ(kc_pump_control(r.pump, &control), KC_OK);
        rig_build(&r, 1, "MAKE r1");
        KC_CHECK_EQ(kc_pump_reply(r.pump, r.conns[0], r.frame, (uint32_t)r.frame_bytes), KC_OK);
        KC_CHECK_STR(hear(0), "MAKE r1; PING r2 =-22");
        KC_CHECK_EQ(count_fds(), fds);
        finish();
    }
}

KC_TEST(more_files_than_may_wait_end_the_connection)
{
    begin(NULL, KC_TRANSPORT_STREAM);
    say(0, "MAKE r1");
    rig_build(&r, 1, "PING r2");
    r.frame[3] = KC_MAX_FILES;
    for (int i = 0; i * KC_MAX_FILES <= 512; i++) {
        KC_CHECK_EQ(closed_code(), KC_EAGAIN);
        send_with_files(0, r.frame, r.frame_bytes, KC_MAX_FILES);
    }
    KC_CHECK_EQ(closed_code(), KC_EPROTO);
    finish();
}

KC_TEST(files_sent_with_the_first_byte_of_a_frame_wait_for_its_header)
{
    begin(NULL, KC_TRANSPORT_STREAM);
    rig_build(&r, 1, "PING r1; PING r2");
    r.frame[16 + 3] = 1;
    KC_CHECK_EQ(send(peers[0], r.frame, 16, 0), 16);
    send_with_files(0, r.frame + 16, 1, 1);
    turn_until_quiet();
    KC_CHECK_EQ(send(peers[0], r.frame + 17, 15, 0), 15);
    KC_CHECK_STR(hear(0), "PING r1 =0; PING r2 =-22");
    finish();
}

/* The next frame on the peer's socket and the files with it, -1 behind the last. */
static const char *hear_with_files(int i, int *fds)
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(KC_MAX_MESSAGE_FILES * sizeof(int))];
    } control = {0};
    struct iovec iov = {r.out, RIG_FRAME_BYTES};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    turn_until_quiet();
    ssize_t n = recvmsg(peers[i], &msg, MSG_DONTWAIT);
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
    size_t count = cmsg != NULL ? (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
    if (count != 0) {
        memcpy(fds, CMSG_DATA(cmsg), count * sizeof(int));
    }
    fds[count] = -1;
    return rig_render(&r, r.minors[i], r.out, n > 0 ? (size_t)n : 0);
}

static int close_all(const int *fds)
{
    int n = 0;
    for (; fds[n] >= 0; n++) {
        (void)close(fds[n]);
    }
    return n;
}

KC_TEST(files_travel_with_their_message_and_nothing_is_left_of_them)
{
    for (uint32_t transport = 0; transport < 2; transport++) {
        int fds[KC_MAX_MESSAGE_FILES + 1];
        begin(NULL, transport);
        KC_CHECK_EQ(kc_conn_able(r.pump, r.conns[1], KC_CAP_FILES), KC_OK);
        int before = count_fds();
        rig_build(&r, 1, "SEND r1 c1001 e:log");
        r.frame[3] = 16;
        send_with_files(0, r.frame, r.frame_bytes, 16);
        KC_CHECK_STR(hear(0), "SEND r1 =0");
        KC_CHECK_EQ(count_fds(), before + 16);
        KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_FILES), 16);
        say(0, "SEND r2 c1001 e:plain");
        KC_CHECK_STR(hear(0), "SEND r2 =0");
        say(1, "RECV r7 c1001 n10; RECV r8 c1001 n10");
        KC_CHECK_STR(hear_with_files(1, fds), transport == KC_TRANSPORT_SEQPACKET
                                                  ? "RECV &16 r7 =0 e:log"
                                                  : "RECV &16 r7 =0 e:log; RECV r8 =0 e:plain");
        KC_CHECK_EQ(close_all(fds), 16);
        (void)hear(1);
        KC_CHECK_EQ(count_fds(), before);
        finish();
    }
}

KC_TEST(a_write_never_mixes_the_files_of_two_messages)
{
    begin(NULL, KC_TRANSPORT_STREAM);
    int fds[KC_MAX_MESSAGE_FILES + 1];
    KC_CHECK_EQ(kc_conn_able(r.pump, r.conns[1], KC_CAP_FILES), KC_OK);
    for (int i = 1; i <= 3; i++) {
        rig_build(&r, 1, "SEND r1 c1001 e:m");
        r.frame[3] = (uint8_t)i;
        send_with_files(0, r.frame, r.frame_bytes, i);
        KC_CHECK_STR(hear(0), "SEND r1 =0");
    }
    say(1, "PING r6; RECV r7 c1001; RECV r8 c1001; PING r10; RECV r9 c1001");
    KC_CHECK_STR(hear_with_files(1, fds), "PING r6 =0; RECV &1 r7 =0 e:m");
    KC_CHECK_EQ(close_all(fds), 1);
    KC_CHECK_STR(hear_with_files(1, fds), "RECV &2 r8 =0 e:m; PING r10 =0");
    KC_CHECK_EQ(close_all(fds), 2);
    KC_CHECK_STR(hear_with_files(1, fds), "RECV &3 r9 =0 e:m");
    KC_CHECK_EQ(close_all(fds), 3);
    finish();
}

KC_TEST(a_receiver_gets_the_regions_file_once_and_before_the_first_descriptor)
{
    for (uint32_t transport = 0; transport < 2; transport++) {
        int fds[KC_MAX_MESSAGE_FILES + 1];
        begin(NULL, transport);
        KC_CHECK_EQ(kc_conn_able(r.pump, r.conns[1], KC_CAP_DESCRIPTORS), KC_OK);
        (void)rig_region(&r, 0, dup(0));
        int before = count_fds();
        say(0, "SEND r1 c1001 D0+0:64; SEND r2 c1001 D0+64:64");
        KC_CHECK_STR(hear(0), "SEND r1 =0; SEND r2 =0");
        say(1, "RECV r7 c1001");
        KC_CHECK_STR(hear_with_files(1, fds), transport == KC_TRANSPORT_SEQPACKET
                                                  ? "MAP &1 R0 z1048576"
                                                  : "MAP &1 R0 z1048576; RECV r7 =0 D0+0:64/0");
        KC_CHECK_EQ(close_all(fds), 1);
        (void)hear(1);
        say(1, "RECV r8 c1001");
        KC_CHECK_STR(hear_with_files(1, fds), transport == KC_TRANSPORT_SEQPACKET ? "RECV r8 =0 D0+64:64/1"
                                                                                 : "RECV r8 =0 D0+64:64/1");
        KC_CHECK_EQ(close_all(fds), 0);
        KC_CHECK_EQ(kc_region_drop(r.engine, r.regions[0], KC_REGION_LEAVE), KC_OK);
        (void)close(peers[1]); /* its leases end with it, and with them the region */
        peers[1] = -1;
        KC_CHECK_STR(hear(0), "FREED D0+0:64/0 D0+64:64/0");
        (void)closed_code();
        KC_CHECK_EQ(count_fds(), before - 3); /* the region's file and both ends of the connection */
        finish();
    }
}

KC_TEST(a_connection_to_this_daemon_does_not_travel_through_it)
{
    struct sockaddr_un here = {.sun_family = AF_UNIX}; /* an abstract address that the kernel chooses */
    socklen_t n = sizeof here;
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    fds_before = count_fds() - 2;
    KC_REQUIRE(bind(listener, (struct sockaddr *)&here, sizeof here.sun_family) == 0 && listen(listener, 4) == 0);
    KC_REQUIRE(getsockname(listener, (struct sockaddr *)&here, &n) == 0);
    KC_REQUIRE(connect(client, (struct sockaddr *)&here, n) == 0);
    rig_make(&r, NULL, NULL);
    (void)rig_kind(&r, KC_KIND_BUFFERED, 4);
    peers[0] = client;
    r.conn_count = 1;
    int served = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    (void)close(listener);
    KC_REQUIRE(kc_conn_add(r.pump, served, KC_TRANSPORT_STREAM, r.account, &r.conns[0]) == KC_OK);
    r.minors[0] = 0;
    say(0, "HELLO v1");
    turn_until_quiet();
    rig_greet(&r);
    KC_CHECK_STR(hear(0), "HELLO v1");
    r.minors[0] = 1;
    KC_REQUIRE(kc_conn_grant(r.pump, r.conns[0], 1001, r.chans[0], KC_RIGHT_READ | KC_RIGHT_WRITE) == KC_OK);
    int before = count_fds();
    rig_build(&r, 1, "SEND r1 c1001 e:own");
    r.frame[3] = 1;
    send_file(0, r.frame, r.frame_bytes, client);
    KC_CHECK_STR(hear(0), "SEND r1 =-22 w:a connection to this daemon cannot be passed");
    KC_CHECK_EQ(count_fds(), before);
    finish();
}

/* So many descriptors are left; the limit before. */
static rlim_t leave_descriptors(int free)
{
    struct rlimit limit;
    int next = dup(0);
    KC_REQUIRE(next >= 0 && close(next) == 0 && getrlimit(RLIMIT_NOFILE, &limit) == 0);
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = (rlim_t)(next + free);
    KC_REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    return before;
}

static void restore_descriptors(rlim_t before)
{
    struct rlimit limit;
    KC_REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = before;
    KC_REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

/* 16 files; now the only copy of the last one is in the socket. */
static void send_and_close_the_last(int i, const uint8_t *bytes, size_t n, int last)
{
    int fds[16] = {0};
    fds[15] = last;
    send_files(i, bytes, n, fds, 16);
    (void)close(last);
}

KC_TEST(files_without_room_are_closed_by_a_thread_with_their_socket_not_by_the_turn)
{
    for (uint32_t transport = 0; transport < 2; transport++) {
        int ends[2];
        begin(NULL, transport);
        KC_REQUIRE(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
        rlim_t before = leave_descriptors(2 + 3);
        int i = join(1, transport);
        rig_build(&r, 1, "SEND r1 c1001 e:a");
        r.frame[3] = 16;
        send_and_close_the_last(i, r.frame, r.frame_bytes, ends[1]);
        char byte;
        KC_CHECK_STR(overhear(i), "CMD99 =-12 q:open files of the daemon s:LimitNOFILE");
        KC_CHECK_EQ(read(ends[0], &byte, 1), -1); /* it is open somewhere */
        KC_CHECK(rig_close_files(&r) > 0);
        KC_CHECK_EQ(read(ends[0], &byte, 1), 0);
        restore_descriptors(before);
        (void)close(ends[0]);
        say(0, "PING r2");
        KC_CHECK_STR(hear(0), "PING r2 =0");
        finish();
    }
}

KC_TEST(near_the_limit_of_descriptors_bytes_and_files_come_once_and_whole)
{
    for (uint32_t transport = 0; transport < 2; transport++) {
        int fds[KC_MAX_MESSAGE_FILES + 1];
        begin(NULL, transport);
        rlim_t before = leave_descriptors(2 + KC_MAX_FILES + 16); /* others may have numbers above the first free one */
        int i = join(1, transport);
        KC_CHECK_EQ(kc_conn_able(r.pump, r.conns[1], KC_CAP_FILES), KC_OK);
        int here = count_fds();
        for (int n = 1; n <= 2; n++) {
            rig_build(&r, 1, n == 1 ? "SEND r1 c1001 e:one" : "SEND r2 c1001 e:two");
            r.frame[3] = (uint8_t)n;
            send_with_files(i, r.frame, r.frame_bytes, n);
        }
        rig_build(&r, 1, "SEND r3 c1001 e:plain; PING r4");
        KC_CHECK_EQ(send(peers[i], r.frame, r.frame_bytes, 0), r.frame_bytes);
        KC_CHECK_STR(hear(i), "SEND r1 =0; SEND r2 =0; SEND r3 =0; PING r4 =0");
        KC_CHECK_EQ(count_fds(), here + 3);
        for (int n = 1; n <= 2; n++) {
            say(1, "RECV r7 c1001");
            KC_CHECK_STR(hear_with_files(1, fds), n == 1 ? "RECV &1 r7 =0 e:one" : "RECV &2 r7 =0 e:two");
            KC_CHECK_EQ(close_all(fds), n);
        }
        say(1, "RECV r8 c1001");
        KC_CHECK_STR(hear(1), "RECV r8 =0 e:plain");
        ping_with_files(5, KC_MAX_FILES);
        KC_CHECK_STR(hear(0), "PING r5 =-22");
        KC_CHECK_EQ(count_fds(), here);
        restore_descriptors(before);
        finish();
    }
}

KC_TEST(files_in_a_socket_that_is_closed_without_room_wait_in_it)
{
    for (uint32_t transport = 0; transport < 2; transport++) {
        int ends[2], pair[2];
        char byte;
        begin(NULL, transport);
        KC_REQUIRE(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
        rlim_t before = leave_descriptors(4 + 3);
        (void)join(1, transport);
        int type = transport == KC_TRANSPORT_SEQPACKET ? SOCK_SEQPACKET : SOCK_STREAM;
        KC_REQUIRE(socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
        peers[RIG_CONNS - 1] = pair[0];
        send_and_close_the_last(RIG_CONNS - 1, (const uint8_t *)"a", 1, ends[1]);
        kc_pump_close_socket(r.pump, pair[1], transport, r.account);
        KC_CHECK_EQ(read(ends[0], &byte, 1), -1);
        KC_CHECK(rig_close_files(&r) > 0);
        KC_CHECK_EQ(read(ends[0], &byte, 1), 0);
        restore_descriptors(before);
        (void)close(ends[0]);
        (void)close(pair[0]);
        finish();
    }
}

int main(void)
{
    KC_RUN(files_that_a_request_cannot_take_are_closed_and_the_connection_lives);
    KC_RUN(whose_files_are_closed_too_slowly_is_not_read_until_they_are_or_hang);
    KC_RUN(who_was_not_read_for_its_files_is_read_with_the_last_close_also_when_its_patience_is_over);
    KC_RUN(files_that_no_frame_names_and_names_without_files_end_the_connection);
    KC_RUN(files_behind_a_barrier_wait_for_the_frame_that_names_them);
    KC_RUN(more_files_than_may_wait_end_the_connection);
    KC_RUN(files_travel_with_their_message_and_nothing_is_left_of_them);
    KC_RUN(a_write_never_mixes_the_files_of_two_messages);
    KC_RUN(a_receiver_gets_the_regions_file_once_and_before_the_first_descriptor);
    KC_RUN(a_connection_to_this_daemon_does_not_travel_through_it);
    KC_RUN(files_without_room_are_closed_by_a_thread_with_their_socket_not_by_the_turn);
    KC_RUN(near_the_limit_of_descriptors_bytes_and_files_come_once_and_whole);
    KC_RUN(files_in_a_socket_that_is_closed_without_room_wait_in_it);
    KC_RUN(files_sent_with_the_first_byte_of_a_frame_wait_for_its_header);
    return kc_test_report();
}
