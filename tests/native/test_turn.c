/* test_turn.c: the turn over real sockets: reading, writing, packets, files, ends, the timer, other threads. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "kc_ipc_fixture.h"

static rig r;
static int peers[RIG_CONNS]; /* the clients' ends */
static int fds_before;

/* The pump's writes, of which some fail as if the kernel had no memory. */
static int starved_writes;
static int starved_errno;

static bool is_starved(int flags)
{
    if ((flags & MSG_DONTWAIT) == 0 || starved_writes == 0) {
        return false;
    }
    starved_writes--;
    errno = starved_errno;
    return true;
}

ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
    return is_starved(flags) ? -1 : syscall(SYS_sendmsg, fd, msg, flags);
}

int sendmmsg(int fd, struct mmsghdr *msgs, unsigned int n, int flags)
{
    return is_starved(flags) ? -1 : (int)syscall(SYS_sendmmsg, fd, msgs, n, flags);
}

static int64_t clock_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int n = 0;
    KC_REQUIRE(dir != NULL);
    while (readdir(dir) != NULL) {
        n++;
    }
    (void)closedir(dir);
    return n;
}

static kc_report turn(void)
{
    kc_report report;
    KC_CHECK_EQ(kc_turn(r.pump, 0, 0, &report), KC_OK);
    rig_check(&r);
    return report;
}

static void turn_until_quiet(void)
{
    while ((turn().flags & KC_TURN_MORE) != 0) {
    }
    (void)rig_close_files(&r);
}

static bool pump_is_readable(int timeout_ms)
{
    struct pollfd pump = {.fd = kc_pump_fd(r.pump), .events = POLLIN};
    return poll(&pump, 1, timeout_ms) == 1;
}

/* What a client said reaches the pump. */
static void say(int i, const char *script)
{
    rig_build(&r, r.minors[i], script);
    size_t at = 0;
    while (at < r.frame_bytes) {
        ssize_t sent = send(peers[i], r.frame + at, r.frame_bytes - at, MSG_NOSIGNAL | MSG_DONTWAIT);
        KC_REQUIRE(sent > 0 || errno == EAGAIN);
        at += sent > 0 ? (size_t)sent : 0;
        turn_until_quiet();
    }
}

/* All that has come to the client, n at most. */
static size_t receive(int i, size_t n)
{
    size_t got = 0;
    ssize_t step;
    while (got < n && (step = recv(peers[i], r.out + got, n - got, MSG_DONTWAIT)) > 0) {
        got += (size_t)step;
    }
    return got;
}

static const char *hear(int i)
{
    size_t n = 0;
    ssize_t step;
    turn_until_quiet();
    while ((step = recv(peers[i], r.out + n, RIG_FRAME_BYTES - n, MSG_DONTWAIT)) > 0) {
        n += (size_t)step;
        turn_until_quiet();
    }
    return rig_render(&r, r.minors[i], r.out, n);
}

static int join(unsigned minor, uint32_t transport)
{
    int pair[2];
    int i = r.conn_count++;
    int type = transport == KC_TRANSPORT_SEQPACKET ? SOCK_SEQPACKET : SOCK_STREAM;
    KC_REQUIRE(socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
    peers[i] = pair[0];
    KC_REQUIRE(kc_conn_add(r.pump, pair[1], transport, r.account, &r.conns[i]) == KC_OK);
    r.minors[i] = 0;
    say(i, minor == 0 ? "HELLO v0" : "HELLO v1");
    KC_CHECK_EQ(turn().control, 1);
    rig_greet(&r);
    KC_CHECK(pump_is_readable(0)); /* the answer has yet to be written */
    KC_CHECK_STR(hear(i), minor == 0 ? "HELLO v0" : "HELLO v1");
    r.minors[i] = minor;
    for (int chan = 0; chan < r.chan_count; chan++) {
        KC_REQUIRE(kc_conn_grant(r.pump, r.conns[i], (uint32_t)(RIG_FIRST_CHAN + chan), r.chans[chan],
                                 KC_RIGHT_READ | KC_RIGHT_WRITE) == KC_OK);
    }
    return i;
}

static void begin(const kc_pump_config *config, uint32_t transport)
{
    fds_before = count_fds();
    rig_make(&r, NULL, config);
    (void)rig_kind(&r, KC_KIND_BUFFERED, 4);
    (void)rig_kind(&r, KC_KIND_RENDEZVOUS, 0);
    (void)join(1, transport);
    (void)join(1, transport);
}

static int32_t closed_code(void)
{
    turn_until_quiet();
    return rig_closed(&r);
}

static void finish(void)
{
    kc_closed closed;
    kc_engine_usage usage;
    for (int i = 0; i < r.conn_count; i++) {
        if (peers[i] >= 0) {
            (void)close(peers[i]);
        }
    }
    turn_until_quiet();
    while (kc_pump_closed(r.pump, &closed) == KC_OK) {
    }
    kc_engine_measure(r.engine, &usage);
    KC_CHECK_EQ(usage.tokens, 0);
    KC_CHECK_EQ(usage.scopes, 1);
    KC_CHECK(!pump_is_readable(0));
    r.conn_count = 0;
    rig_free(&r);
    KC_CHECK_EQ(count_fds(), fds_before);
}

/* ---- bytes ---- */

KC_TEST(requests_are_answered_in_the_turn_that_reads_them)
{
    begin(NULL, KC_TRANSPORT_STREAM);
    rig_build(&r, 1, "RECV r1 c1002 t-1; PING r2; SEND r3 c1001 e:a");
    KC_CHECK_EQ(send(peers[0], r.frame, r.frame_bytes, 0), r.frame_bytes);
    KC_CHECK(pump_is_readable(0));
    kc_report report = turn();
    KC_CHECK_EQ(report.frames, 3);
    KC_CHECK_EQ(report.control + report.accept + report.closed + report.cancelled + report.events, 0);
    KC_CHECK_EQ(report.flags, 0);
    KC_CHECK_STR(hear(0), "PING r2 =0; SEND r3 =0");
    say(1, "SEND r1 c1002 e:x");
    KC_CHECK_STR(hear(1), "SEND r1 =0");
    KC_CHECK_STR(hear(0), "RECV r1 =0 e:x");
    finish();
}

KC_TEST(large_elements_pass_both_ways)
{
    begin(NULL, KC_TRANSPORT_STREAM);
    say(0, "SEND r1 c1001 E:3000000; SEND r2 c1001 e:a E:20000 E:65536");
    KC_CHECK_STR(hear(0), "SEND r1 =0; SEND r2 =0 k3 d0");
    say(1, "RECV r1 c1001 n9; PING r2");
    KC_CHECK_STR(hear(1), "RECV r1 =0 E:3000000 e:a E:20000 E:65536; PING r2 =0");
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_TOTAL_RECVS), 4);
    finish();
}

KC_TEST(a_message_is_done_when_the_kernel_took_its_last_byte)
{
    begin(NULL, KC_TRANSPORT_STREAM);
    say(0, "SEND r1 c1001 E:3000000");
    say(1, "RECV r1 c1001");
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_HELD), 1);
    KC_CHECK(receive(1, 1000000) > 0);
    (void)turn();
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_HELD), 1);
    (void)close(peers[1]);
    peers[1] = -1;
    KC_CHECK_EQ(closed_code(), KC_ECONNRESET);
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_READY), 1);
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_UNDELIVERED_REQUEUED), 1);
    finish();
}

KC_TEST(a_turn_is_fair_and_says_more)
{
    begin(&(kc_pump_config){.frames_per_turn = 3}, KC_TRANSPORT_STREAM);
    rig_build(&r, 1, "PING r1; PING r2; PING r3; PING r4; PING r5; PING r6; PING r7");
    KC_CHECK_EQ(send(peers[0], r.frame, r.frame_bytes, 0), r.frame_bytes);
    KC_CHECK_EQ(send(peers[1], r.frame, r.frame_bytes, 0), r.frame_bytes);
    for (int round = 0; round < 2; round++) {
        kc_report report = turn();
        KC_CHECK_EQ(report.frames, 6);
        KC_CHECK_EQ(report.flags, KC_TURN_MORE);
        KC_CHECK_EQ(receive(0, 1000), 3 * 24);
        KC_CHECK_EQ(receive(1, 1000), 3 * 24);
    }
    kc_report report = turn();
    KC_CHECK_EQ(report.frames, 2);
    KC_CHECK_EQ(report.flags, 0);
    finish();
}

KC_TEST(a_peer_that_never_reads_is_not_read_and_does_not_spin_the_loop)
{
    begin(&(kc_pump_config){.output_high_bytes = 20000}, KC_TRANSPORT_STREAM);
    char words[32];
    uint32_t said = 0;
    bool full = false;
    while (!full && said < 1000000) {
        (void)snprintf(words, sizeof words, "PING r%u", ++said);
        rig_build(&r, 1, words);
        full = send(peers[0], r.frame, r.frame_bytes, MSG_DONTWAIT) < 0;
        said -= full;
        if (full) {
            turn_until_quiet();
            full = send(peers[0], r.frame, r.frame_bytes, MSG_DONTWAIT) < 0;
            said += !full;
        }
    }
    KC_CHECK(full);
    turn_until_quiet();
    KC_CHECK(!pump_is_readable(0));
    say(1, "PING r1");
    KC_CHECK_STR(hear(1), "PING r1 =0");
    size_t heard = 0;
    size_t step;
    while ((step = receive(0, RIG_FRAME_BYTES)) != 0) {
        heard += step;
        turn_until_quiet();
    }
    KC_CHECK_EQ(heard, (size_t)said * 24);
    finish();
}

KC_TEST(at_the_input_budget_large_elements_come_in_one_after_the_other)
{
    begin(&(kc_pump_config){.input_budget_bytes = 100000}, KC_TRANSPORT_STREAM);
    rig_build(&r, 1, "SEND r1 c1001 E:1000000");
    size_t sent[2] = {0, 0};
    while (sent[0] + sent[1] < 2 * r.frame_bytes) {
        for (int i = 0; i < 2; i++) {
            size_t left = r.frame_bytes - sent[i];
            ssize_t step = left == 0 ? 0 : send(peers[i], r.frame + sent[i], left, MSG_DONTWAIT);
            sent[i] += step > 0 ? (size_t)step : 0;
        }
        KC_CHECK(pump_is_readable(0)); /* whoever has the budget goes on */
        turn_until_quiet();
    }
    KC_CHECK(!pump_is_readable(0));
    KC_CHECK_STR(hear(0), "SEND r1 =0");
    KC_CHECK_STR(hear(1), "SEND r1 =0");
    finish();
}

/* The same file so many times. */
static void send_copies(int i, const uint8_t *bytes, size_t n, int file, int files)
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(KC_MAX_FILES * sizeof(int))];
    } control = {0};
    int fds[KC_MAX_FILES];
    struct iovec iov = {(void *)(uintptr_t)bytes, n};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
                         .msg_controllen = CMSG_SPACE((size_t)files * sizeof(int))};
    for (int f = 0; f < files; f++) {
        fds[f] = file;
    }
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN((size_t)files * sizeof(int));
    memcpy(CMSG_DATA(cmsg), fds, (size_t)files * sizeof(int));
    KC_REQUIRE(sendmsg(peers[i], &msg, MSG_NOSIGNAL) == (ssize_t)n);
}

static void send_with_files(int i, const uint8_t *bytes, size_t n, int files)
{
    send_copies(i, bytes, n, 0, files);
}

static void send_file(int i, const uint8_t *bytes, size_t n, int file)
{
    send_copies(i, bytes, n, file, 1);
}

KC_TEST(a_kernel_without_memory_delays_an_answer_and_neither_ends_the_connection_nor_spins_the_loop)
{
    static const int codes[] = {ENOBUFS, ENOMEM};
    for (uint32_t i = 0; i < 4; i++) {
        begin(NULL, i / 2);
        starved_errno = codes[i % 2];
        starved_writes = 3;
        int64_t before = clock_ns();
        say(0, "PING r1");
        const char *heard = hear(0);
        while (heard[0] == 0) {
            KC_CHECK(pump_is_readable(-1)); /* the timer */
            heard = hear(0);
        }
        KC_CHECK_STR(heard, "PING r1 =0");
        KC_CHECK_EQ(starved_writes, 0);
        KC_CHECK(clock_ns() - before >= 3 * 10000000);
        KC_CHECK(!pump_is_readable(0));
        finish();
    }
}

/* ---- packets ---- */

static ssize_t packet(int i, const char *expected_words)
{
    ssize_t n = recv(peers[i], r.out, RIG_FRAME_BYTES, MSG_DONTWAIT);
    if (expected_words != NULL && n > 0) {
        KC_CHECK_STR(rig_render(&r, r.minors[i], r.out, (size_t)n), expected_words);
    }
    return n;
}

KC_TEST(on_seqpacket_a_frame_of_1_1_is_one_packet)
{
    begin(NULL, KC_TRANSPORT_SEQPACKET);
    say(0, "PING r1; SEND r2 c1001 E:100000; RECV r3 c1001");
    turn_until_quiet();
    KC_CHECK_EQ(packet(0, "PING r1 =0"), 24);
    KC_CHECK_EQ(packet(0, "SEND r2 =0"), 24);
    KC_CHECK_EQ(packet(0, "RECV r3 =0 E:100000"), 24 + 8 + 100000);
    KC_CHECK_EQ(packet(0, NULL), -1);
    finish();
}

KC_TEST(on_seqpacket_a_frame_of_1_0_is_header_and_payload)
{
    begin(NULL, KC_TRANSPORT_SEQPACKET);
    (void)rig_channel(&r, &(kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 1, .elem_size = 4,
                                            .flags = KC_CHAN_FIXED_SIZE});
    int i = join(0, KC_TRANSPORT_SEQPACKET);
    rig_build(&r, 0, "SEND r1 c1003 e:abcd; RECV r2 c1003");
    KC_CHECK_EQ(send(peers[i], r.frame, 8, 0), 8); /* as the old client writes: header, then payload */
    KC_CHECK_EQ(send(peers[i], r.frame + 8, 32, 0), 32);
    KC_CHECK_EQ(send(peers[i], r.frame + 40, r.frame_bytes - 40, 0), r.frame_bytes - 40);
    turn_until_quiet();
    KC_CHECK_EQ(packet(i, NULL), 8);
    KC_CHECK_EQ(packet(i, NULL), 16);
    KC_CHECK_EQ(packet(i, NULL), 8);
    KC_CHECK_EQ(kc_load_u32(r.out + 4), 24);
    KC_CHECK_EQ(packet(i, NULL), 24);
    KC_CHECK_EQ(packet(i, NULL), -1);
    finish();
}

KC_TEST(a_message_too_large_for_a_packet_is_emsgsize_and_stays_in_its_place)
{
    begin(NULL, KC_TRANSPORT_SEQPACKET);
    int i = join(1, KC_TRANSPORT_STREAM);
    say(i, "SEND r1 c1001 E:200000; SEND r2 c1001 e:b");
    say(0, "RECV r1 c1001; RECV r2 c1001 f1 n9; SELECT r3 (c1001); PING r4");
    KC_CHECK_STR(hear(0), "RECV r1 =-90; RECV r2 =-90; SELECT r3 =-90 i0; PING r4 =0");
    say(i, "RECV r3 c1001 f1; RECV r4 c1001 f1");
    KC_CHECK_STR(hear(i), "SEND r1 =0; SEND r2 =0; RECV r3 =0 ( E:200000 #0 x0 ); RECV r4 =0 ( e:b #1 x0 )");
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_UNDELIVERED_REQUEUED), 0);
    finish();
}

KC_TEST(a_frame_over_the_packet_limit_is_emsgsize_and_the_end)
{
    begin(NULL, KC_TRANSPORT_SEQPACKET);
    static const uint8_t header[8] = {0, 11, 0, 0, 0, 2, 0, 1};
    KC_CHECK_EQ(send(peers[0], header, 8, 0), 8);
    KC_CHECK_STR(hear(0), "SEND =-90");
    KC_CHECK_EQ(closed_code(), KC_EMSGSIZE);
    finish();
}

KC_TEST(an_empty_packet_is_no_end_of_input)
{
    begin(NULL, KC_TRANSPORT_SEQPACKET);
    KC_CHECK_EQ(send(peers[0], "", 0, 0), 0);
    turn_until_quiet();
    say(0, "PING r1");
    KC_CHECK_STR(hear(0), "PING r1 =0");
    finish();
}

KC_TEST(frames_behind_an_empty_packet_are_served_although_the_peer_has_stopped_writing)
{
    for (int empty = 1; empty < 4; empty++) {
        begin(NULL, KC_TRANSPORT_SEQPACKET);
        for (int i = 0; i < empty; i++) {
            KC_CHECK_EQ(send(peers[0], "", 0, 0), 0);
        }
        rig_build(&r, 1, "PING r1");
        KC_CHECK_EQ(send(peers[0], r.frame, r.frame_bytes, 0), r.frame_bytes);
        KC_CHECK_EQ(send(peers[0], "", 0, 0), 0);
        KC_CHECK_EQ(shutdown(peers[0], SHUT_WR), 0);
        KC_CHECK_STR(hear(0), "PING r1 =0");
        KC_CHECK_EQ(closed_code(), KC_OK);
        finish();
    }
}

/* ---- ends ---- */

KC_TEST(input_that_is_not_read_any_more_does_not_hide_the_last_words)
{
    for (uint32_t transport = 0; transport < 2; transport++) {
        begin(NULL, transport);
        int fds = count_fds();
        rig_build(&r, 1, "PING r1; PING r0");
        KC_CHECK_EQ(send(peers[0], r.frame, r.frame_bytes, 0), r.frame_bytes);
        rig_build(&r, 1, "PING r2");
        for (int i = 0; i < 10; i++) {
            KC_CHECK_EQ(send(peers[0], r.frame, r.frame_bytes, 0), r.frame_bytes);
            KC_CHECK_EQ(send(peers[0], "", 0, 0), 0);
            send_with_files(0, r.frame, r.frame_bytes, 3);
        }
        KC_CHECK_STR(hear(0), "PING r1 =0; PING =-71");
        KC_CHECK_EQ(recv(peers[0], r.out, 1, 0), 0);
        KC_CHECK_EQ(send(peers[0], "x", 1, MSG_NOSIGNAL), -1);
        KC_CHECK_EQ(errno, EPIPE);
        KC_CHECK_EQ(closed_code(), KC_EPROTO);
        KC_CHECK_EQ(count_fds(), fds - 1);
        finish();
    }
}

KC_TEST(a_connection_that_is_closed_while_it_is_not_read_ends_without_a_reset)
{
    for (uint32_t transport = 0; transport < 2; transport++) {
        begin(NULL, transport);
        say(0, "MAKE r1"); /* its barrier keeps input from being read */
        uint8_t junk[10000] = {0};
        while (send(peers[0], junk, sizeof junk, MSG_DONTWAIT) > 0) {
            turn_until_quiet();
        }
        KC_CHECK_EQ(kc_conn_close(r.pump, r.conns[0], KC_EACCES), KC_OK);
        KC_CHECK_EQ(closed_code(), KC_EACCES);
        KC_CHECK_EQ(recv(peers[0], r.out, 1, 0), 0);
        finish();
    }
}

KC_TEST(a_peer_that_stops_writing_still_hears_its_answers)
{
    for (uint32_t transport = 0; transport < 2; transport++) {
        begin(NULL, transport);
        say(0, "RECV r1 c1002 t-1; PING r2");
        KC_CHECK_EQ(shutdown(peers[0], SHUT_WR), 0);
        KC_CHECK_STR(hear(0), "PING r2 =0; RECV r1 =-125 w:the client hung up");
        KC_CHECK_EQ(closed_code(), KC_OK);
        KC_CHECK_EQ(recv(peers[0], r.out, 1, 0), 0);
        finish();
    }
}

KC_TEST(a_dead_peer_takes_its_waiters_along_and_closes_nothing)
{
    for (uint32_t transport = 0; transport < 2; transport++) {
        begin(NULL, transport);
        say(0, "RECV r1 c1002 t-1; SEND r2 c1001 e:a");
        (void)close(peers[0]);
        peers[0] = -1;
        (void)turn();
        KC_CHECK_EQ(rig_stat(&r, 1, KC_STAT_PARKED_RECEIVERS), 0);
        (void)closed_code();
        say(1, "RECV r1 c1001");
        KC_CHECK_STR(hear(1), "RECV r1 =0 e:a");
        finish();
    }
}

KC_TEST(an_error_reply_is_flushed_before_the_end)
{
    begin(NULL, KC_TRANSPORT_STREAM);
    say(0, "PING r1; PING r0");
    KC_CHECK_STR(hear(0), "PING r1 =0; PING =-71");
    KC_CHECK_EQ(closed_code(), KC_EPROTO);
    KC_CHECK_EQ(recv(peers[0], r.out, 1, 0), 0);
    finish();
}

KC_TEST(a_connection_can_be_closed_from_above)
{
    begin(NULL, KC_TRANSPORT_STREAM);
    KC_CHECK_EQ(kc_conn_close(r.pump, r.conns[0], KC_EACCES), KC_OK);
    KC_CHECK(pump_is_readable(0));
    kc_report report = turn();
    KC_CHECK_EQ(report.closed, 1);
    KC_CHECK_EQ(rig_closed(&r), KC_EACCES);
    KC_CHECK_EQ(recv(peers[0], r.out, 1, 0), 0);
    finish();
}

/* ---- files ---- */

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
    KC_CHECK_STR(hear(0), "SEND r1 =-22");
    KC_CHECK_EQ(count_fds(), before);
    finish();
}

/* ---- the timer, listeners, other threads ---- */

KC_TEST(the_descriptor_rings_at_a_deadline_and_not_before)
{
    begin(NULL, KC_TRANSPORT_STREAM);
    int64_t before = clock_ns();
    say(0, "RECV r1 c1002 t30; RECV r2 c1002 t-1");
    KC_CHECK_STR(hear(0), "");
    const char *heard = "";
    while (heard[0] == 0) {
        KC_CHECK(pump_is_readable(-1));
        heard = hear(0);
    }
    KC_CHECK_STR(heard, "RECV r1 =-62");
    KC_CHECK(clock_ns() - before >= 30000000);
    KC_CHECK(!pump_is_readable(0)); /* the other one waits for ever: no timer */
    finish();
}

KC_TEST(parked_waiters_wake_nobody)
{
    begin(NULL, KC_TRANSPORT_STREAM);
    for (int i = 1; i <= 1000; i++) {
        char words[32];
        (void)snprintf(words, sizeof words, "RECV r%d c1002 t-1", i);
        say(i % 2, words);
    }
    KC_CHECK_EQ(rig_stat(&r, 1, KC_STAT_PARKED_RECEIVERS), 1000);
    turn_until_quiet();
    KC_CHECK(!pump_is_readable(50));
    finish();
}

KC_TEST(a_readable_listener_is_told_of_until_it_is_paused)
{
    begin(NULL, KC_TRANSPORT_STREAM);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t length = sizeof address;
    KC_REQUIRE(bind(listener, (struct sockaddr *)&address, sizeof(sa_family_t)) == 0 && listen(listener, 4) == 0);
    KC_REQUIRE(getsockname(listener, (struct sockaddr *)&address, &length) == 0);
    KC_CHECK_EQ(kc_pump_listen(r.pump, listener), KC_OK);
    KC_CHECK_EQ(turn().accept, 0);
    KC_REQUIRE(connect(client, (struct sockaddr *)&address, length) == 0);
    KC_CHECK_EQ(turn().accept, 1);
    KC_CHECK_EQ(kc_pump_accept_ready(r.pump), listener);
    KC_CHECK_EQ(kc_pump_accept_ready(r.pump), KC_EAGAIN);
    KC_CHECK_EQ(kc_pump_accept_pause(r.pump, 1), KC_OK);
    KC_CHECK_EQ(turn().accept, 0);
    KC_CHECK(!pump_is_readable(0));
    KC_CHECK_EQ(kc_pump_accept_pause(r.pump, 0), KC_OK);
    KC_CHECK_EQ(turn().accept, 1);
    KC_CHECK_EQ(kc_pump_unlisten(r.pump, listener), KC_OK);
    KC_CHECK_EQ(kc_pump_unlisten(r.pump, listener), KC_ENOENT);
    KC_CHECK_EQ(turn().accept, 0);
    (void)close(client);
    (void)close(listener);
    finish();
}

static void *wake_thread(void *arg)
{
    (void)arg;
    kc_pump_wake(r.pump);
    return NULL;
}

KC_TEST(wake_ends_a_blocking_turn)
{
    begin(NULL, KC_TRANSPORT_STREAM);
    pthread_t thread;
    kc_report report;
    KC_REQUIRE(pthread_create(&thread, NULL, wake_thread, NULL) == 0);
    KC_CHECK_EQ(kc_turn(r.pump, -1, 50000, &report), KC_OK);
    KC_CHECK_EQ(report.flags, KC_TURN_WOKEN);
    KC_REQUIRE(pthread_join(thread, NULL) == 0);
    KC_CHECK_EQ(turn().flags, 0);
    finish();
}

KC_TEST(a_blocking_turn_ends_at_its_timeout)
{
    begin(NULL, KC_TRANSPORT_STREAM);
    kc_report report;
    int64_t before = clock_ns();
    KC_CHECK_EQ(kc_turn(r.pump, 20000000, 0, &report), KC_OK);
    KC_CHECK(clock_ns() - before >= 20000000);
    KC_CHECK_EQ(report.flags, 0);
    finish();
}

KC_TEST(a_result_from_outside_rings_the_descriptor)
{
    begin(NULL, KC_TRANSPORT_STREAM);
    say(0, "RECV r1 c1002 t-1");
    turn_until_quiet();
    KC_CHECK(!pump_is_readable(0));
    kc_result result;
    kc_op op = {.flags = KC_OP_TRY};
    KC_CHECK_EQ(kc_chan_send(r.engine, r.chans[1], &op, "hey", 3, &result), KC_OK);
    KC_CHECK(pump_is_readable(0));
    KC_CHECK_STR(hear(0), "RECV r1 =0 e:hey");
    KC_CHECK(!pump_is_readable(0));
    finish();
}

enum { OUTSIDE_MESSAGES = 2000 };

/* Another thread sends into the engine while the first one turns and a client receives. */
static void *outside_thread(void *arg)
{
    kc_result result;
    kc_op op = {.flags = KC_OP_TRY};
    for (uint32_t i = 0; i < OUTSIDE_MESSAGES;) {
        if (kc_chan_send(r.engine, r.chans[0], &op, &i, sizeof i, &result) == KC_OK) {
            i++;
        } else {
            (void)sched_yield();
        }
    }
    kc_pump_wake(r.pump);
    (void)arg;
    return NULL;
}

static void *client_thread(void *arg)
{
    uint8_t request[8 + 24];
    uint8_t reply[64];
    uint32_t *next = arg;
    kc_writer w;
    (void)fcntl(peers[0], F_SETFL, 0);
    while (*next < OUTSIDE_MESSAGES) {
        kc_writer_init(&w, request, sizeof request, 1, UINT32_MAX);
        kc_frame_begin(&w, KC_CMD_CHAN_RECV, 0);
        kc_put_u32(&w, KC_ATTR_REQ_ID, 1);
        kc_put_u32(&w, KC_ATTR_CHAN_ID, 1001);
        kc_put_i32(&w, KC_ATTR_TIMEOUT_MS, -1);
        KC_REQUIRE(kc_frame_finish(&w) == KC_OK);
        KC_REQUIRE(send(peers[0], request, sizeof request, MSG_NOSIGNAL) == sizeof request);
        KC_REQUIRE(recv(peers[0], reply, 32, MSG_WAITALL) == 32);
        uint32_t value;
        memcpy(&value, reply + 28, sizeof value);
        KC_CHECK_EQ(value, *next);
        ++*next;
    }
    kc_pump_wake(r.pump);
    return NULL;
}

KC_TEST(a_turn_in_its_own_thread_serves_a_client_and_an_engine_user)
{
    begin(NULL, KC_TRANSPORT_STREAM);
    pthread_t outside;
    pthread_t client;
    uint32_t received = 0;
    KC_REQUIRE(pthread_create(&client, NULL, client_thread, &received) == 0);
    KC_REQUIRE(pthread_create(&outside, NULL, outside_thread, NULL) == 0);
    for (int wakes = 0; wakes < 2;) {
        kc_report report;
        KC_CHECK_EQ(kc_turn(r.pump, -1, 50000, &report), KC_OK);
        wakes += (report.flags & KC_TURN_WOKEN) != 0;
        if (rig_stat(&r, 0, KC_STAT_TOTAL_RECVS) == OUTSIDE_MESSAGES) {
            break; /* two wakes may fall into one turn */
        }
    }
    KC_REQUIRE(pthread_join(client, NULL) == 0);
    KC_REQUIRE(pthread_join(outside, NULL) == 0);
    KC_CHECK_EQ(received, OUTSIDE_MESSAGES);
    finish();
}

KC_TEST(many_connections_come_and_go)
{
    begin(NULL, KC_TRANSPORT_STREAM);
    enum { MANY = 300 };
    int pairs[MANY][2];
    kc_conn conns[MANY];
    kc_pump_usage before;
    kc_pump_usage after;
    kc_pump_measure(r.pump, &before);
    for (int i = 0; i < MANY; i++) {
        KC_REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pairs[i]) == 0);
        int code = kc_conn_add(r.pump, pairs[i][1], KC_TRANSPORT_STREAM, r.account, &conns[i]);
        KC_CHECK_EQ(code, i < 61 ? KC_OK : KC_ENOMEM); /* the rig's engine has 64 scopes */
    }
    for (int i = 0; i < MANY; i++) {
        (void)close(pairs[i][0]);
    }
    kc_report report = turn();
    KC_CHECK_EQ(report.closed, 61);
    kc_closed closed;
    while (kc_pump_closed(r.pump, &closed) == KC_OK) {
        KC_CHECK_EQ(closed.code, KC_OK);
    }
    kc_pump_measure(r.pump, &after);
    KC_CHECK_EQ(after.connections, before.connections);
    finish();
}

int main(void)
{
    KC_RUN(requests_are_answered_in_the_turn_that_reads_them);
    KC_RUN(large_elements_pass_both_ways);
    KC_RUN(a_message_is_done_when_the_kernel_took_its_last_byte);
    KC_RUN(a_turn_is_fair_and_says_more);
    KC_RUN(a_peer_that_never_reads_is_not_read_and_does_not_spin_the_loop);
    KC_RUN(a_kernel_without_memory_delays_an_answer_and_neither_ends_the_connection_nor_spins_the_loop);
    KC_RUN(at_the_input_budget_large_elements_come_in_one_after_the_other);
    KC_RUN(on_seqpacket_a_frame_of_1_1_is_one_packet);
    KC_RUN(on_seqpacket_a_frame_of_1_0_is_header_and_payload);
    KC_RUN(a_message_too_large_for_a_packet_is_emsgsize_and_stays_in_its_place);
    KC_RUN(a_frame_over_the_packet_limit_is_emsgsize_and_the_end);
    KC_RUN(an_empty_packet_is_no_end_of_input);
    KC_RUN(frames_behind_an_empty_packet_are_served_although_the_peer_has_stopped_writing);
    KC_RUN(input_that_is_not_read_any_more_does_not_hide_the_last_words);
    KC_RUN(a_connection_that_is_closed_while_it_is_not_read_ends_without_a_reset);
    KC_RUN(a_peer_that_stops_writing_still_hears_its_answers);
    KC_RUN(a_dead_peer_takes_its_waiters_along_and_closes_nothing);
    KC_RUN(an_error_reply_is_flushed_before_the_end);
    KC_RUN(a_connection_can_be_closed_from_above);
    KC_RUN(files_that_a_request_cannot_take_are_closed_and_the_connection_lives);
    KC_RUN(whose_files_are_closed_too_slowly_is_not_read_until_they_are_or_hang);
    KC_RUN(files_that_no_frame_names_and_names_without_files_end_the_connection);
    KC_RUN(files_behind_a_barrier_wait_for_the_frame_that_names_them);
    KC_RUN(more_files_than_may_wait_end_the_connection);
    KC_RUN(files_travel_with_their_message_and_nothing_is_left_of_them);
    KC_RUN(a_write_never_mixes_the_files_of_two_messages);
    KC_RUN(a_receiver_gets_the_regions_file_once_and_before_the_first_descriptor);
    KC_RUN(a_connection_to_this_daemon_does_not_travel_through_it);
    KC_RUN(files_sent_with_the_first_byte_of_a_frame_wait_for_its_header);
    KC_RUN(the_descriptor_rings_at_a_deadline_and_not_before);
    KC_RUN(parked_waiters_wake_nobody);
    KC_RUN(a_readable_listener_is_told_of_until_it_is_paused);
    KC_RUN(wake_ends_a_blocking_turn);
    KC_RUN(a_blocking_turn_ends_at_its_timeout);
    KC_RUN(a_result_from_outside_rings_the_descriptor);
    KC_RUN(a_turn_in_its_own_thread_serves_a_client_and_an_engine_user);
    KC_RUN(many_connections_come_and_go);
    return kc_test_report();
}
