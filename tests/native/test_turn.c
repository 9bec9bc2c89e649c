/* test_turn.c: the turn over real sockets: reading, writing, ends. */
#include <sys/syscall.h>

#include "kc_turn_fixture.h"

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

int main(void)
{
    KC_RUN(requests_are_answered_in_the_turn_that_reads_them);
    KC_RUN(large_elements_pass_both_ways);
    KC_RUN(a_message_is_done_when_the_kernel_took_its_last_byte);
    KC_RUN(a_turn_is_fair_and_says_more);
    KC_RUN(a_peer_that_never_reads_is_not_read_and_does_not_spin_the_loop);
    KC_RUN(a_kernel_without_memory_delays_an_answer_and_neither_ends_the_connection_nor_spins_the_loop);
    KC_RUN(at_the_input_budget_large_elements_come_in_one_after_the_other);
    KC_RUN(input_that_is_not_read_any_more_does_not_hide_the_last_words);
    KC_RUN(a_connection_that_is_closed_while_it_is_not_read_ends_without_a_reset);
    KC_RUN(a_peer_that_stops_writing_still_hears_its_answers);
    KC_RUN(a_dead_peer_takes_its_waiters_along_and_closes_nothing);
    KC_RUN(an_error_reply_is_flushed_before_the_end);
    KC_RUN(a_connection_can_be_closed_from_above);
    return kc_test_report();
}
