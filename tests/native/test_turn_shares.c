/* test_turn_shares.c: over sockets, one round of the turn for all: one user at its limits does not slow another. What
 * is compared are frames served in a round, never time, which stands still meanwhile: a round is bounded by it, too.
 * Linked with --wrap=kc_turn_clock. */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "kc_pace.h"

static int peers[RIG_CONNS];
static bool time_stands;

int64_t __real_kc_turn_clock(void);
int64_t __wrap_kc_turn_clock(void);
int64_t __wrap_kc_turn_clock(void)
{
    return time_stands ? 1000000000 : __real_kc_turn_clock();
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
}

static int join(uint32_t account)
{
    int pair[2];
    int i = r.conn_count++;
    KC_REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
    peers[i] = pair[0];
    KC_REQUIRE(kc_conn_add(r.pump, pair[1], KC_TRANSPORT_STREAM, account, &r.conns[i]) == KC_OK);
    KC_REQUIRE(kc_conn_speak(r.pump, r.conns[i], 1, 0) == KC_OK);
    KC_REQUIRE(kc_conn_grant(r.pump, r.conns[i], RIG_FIRST_CHAN, r.chans[0], KC_RIGHT_READ | KC_RIGHT_WRITE) == KC_OK);
    r.minors[i] = 1;
    return i;
}

static void leave_all(void)
{
    kc_closed closed;
    for (int i = 0; i < r.conn_count; i++) {
        (void)close(peers[i]);
    }
    turn_until_quiet();
    while (kc_pump_closed(r.pump, &closed) == KC_OK) {
    }
    r.conn_count = 0;
}

/* Whole frames, as many as the socket takes, and every answer read: it never stops asking. */
static void flood(int i)
{
    size_t frame = r.frame_bytes;
    char sink[65536];
    while (recv(peers[i], sink, sizeof sink, MSG_DONTWAIT) > 0) {
    }
    KC_REQUIRE(send(peers[i], r.frame, frame, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)frame || errno == EAGAIN);
}

/* Frames of the victim that were served in `rounds` rounds while `attackers` others flood with what r.frame has. */
static uint64_t victims_share(int victim, const int *attackers, int n, const char *attack, int rounds)
{
    uint64_t before = served(victim);
    for (int round = 0; round < rounds; round++) {
        rig_build(&r, 1, attack);
        for (int i = 0; i < n; i++) {
            flood(attackers[i]);
        }
        build_pings(1, 100);
        flood(victim);
        (void)turn();
    }
    return served(victim) - before;
}

static void compare_shares(const char *attack, uint32_t pace)
{
    begin(&(kc_account_limits){.messages = 1, .bytes = 4096, .parked = 1, .held = 1});
    int victim = join(r.account);
    int attackers[4];
    for (int i = 0; i < 4; i++) {
        attackers[i] = join(other);
    }
    KC_CHECK_EQ(kc_pump_pace(r.pump, 0, pace), KC_OK);
    time_stands = true;
    uint64_t alone = victims_share(victim, attackers, 0, attack, 20);
    uint64_t beside = victims_share(victim, attackers, 4, attack, 20);
    time_stands = false;
    KC_CHECK(alone >= 20 * 64); /* at least a round's budget, each time */
    KC_CHECK(beside * 100 >= alone * 95);
    leave_all();
    rig_free(&r);
}

KC_TEST(one_user_at_its_message_quota_takes_nothing_from_anothers_round)
{
    compare_shares("SEND r1 c1001 e:x; SEND r2 c1001 e:x; SEND r3 c1001 e:x; SEND r4 c1001 e:x", 0);
}

KC_TEST(one_user_at_its_byte_quota_takes_nothing_from_anothers_round)
{
    compare_shares("SEND r1 c1001 E:8000; SEND r2 c1001 E:8000; SEND r3 c1001 E:8000", 0);
}

KC_TEST(one_user_at_its_parked_quota_takes_nothing_from_anothers_round)
{
    compare_shares("RECV r1 c1001 t-1; RECV r2 c1001 t-1; CANCEL r1; RECV r1 c1001 t-1; CANCEL r1", 0);
}

KC_TEST(one_user_faster_than_its_pace_is_not_read_and_does_not_spin_the_loop)
{
    begin(NULL);
    int victim = join(r.account);
    int attacker = join(other);
    KC_CHECK_EQ(kc_pump_pace(r.pump, 0, 1), KC_OK);
    build_pings(1, 50);
    flood(attacker);
    turn_until_quiet();
    KC_CHECK_EQ(served(attacker), 1);
    kc_conn_info before, after;
    KC_REQUIRE(kc_conn_measure(r.pump, r.conns[attacker], &before) == KC_OK);
    flood(attacker);
    for (int i = 0; i < 4; i++) { /* the set stops watching what nobody wants */
        kc_report report = turn();
        KC_CHECK_EQ(report.frames, 0);
        KC_CHECK_EQ(report.flags & KC_TURN_MORE, 0);
    }
    KC_REQUIRE(kc_conn_measure(r.pump, r.conns[attacker], &after) == KC_OK);
    KC_CHECK_EQ(after.bytes_in, before.bytes_in); /* what it says now stays in its socket */
    struct pollfd pump = {.fd = kc_pump_fd(r.pump), .events = POLLIN};
    KC_CHECK_EQ(poll(&pump, 1, 0), 0); /* nothing to do until the timer rings */
    KC_CHECK_EQ(poll(&pump, 1, 20000), 1);
    build_pings(1, 1);
    flood(victim);
    turn_until_quiet();
    KC_CHECK_EQ(served(victim), 1);
    KC_CHECK(served(attacker) >= 1);
    KC_CHECK_EQ(kc_pump_pace(r.pump, 0, 0), KC_OK);
    for (int i = 0; i < 1000 && served(attacker) < 100; i++) {
        turn_until_quiet();
    }
    KC_CHECK_EQ(served(attacker), 100); /* nothing was lost, nobody disconnected */
    leave_all();
    rig_free(&r);
}

int main(void)
{
    KC_RUN(one_user_at_its_message_quota_takes_nothing_from_anothers_round);
    KC_RUN(one_user_at_its_byte_quota_takes_nothing_from_anothers_round);
    KC_RUN(one_user_at_its_parked_quota_takes_nothing_from_anothers_round);
    KC_RUN(one_user_faster_than_its_pace_is_not_read_and_does_not_spin_the_loop);
    return kc_test_report();
}
