/* test_pump_pace.c: frames per second; refusals by quota; and that one user at its limits does not slow another. What is
 * compared are frames served in a round, never time. */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "kc_ipc_fixture.h"

static rig r;
static uint32_t other; /* a second user's account */

enum { S_MS = 1000 };

static void begin(const kc_account_limits *limits)
{
    rig_make(&r, NULL, NULL);
    KC_REQUIRE(kc_account_make(r.engine, limits, &other) == KC_OK);
    (void)rig_kind(&r, KC_KIND_UNLIMITED, 0);
}

static int open_of(uint32_t account)
{
    uint32_t first = r.account;
    r.account = account;
    int i = rig_open(&r, 1);
    r.account = first;
    return i;
}

static uint64_t served(int i)
{
    kc_conn_info info;
    KC_REQUIRE(kc_conn_measure(r.pump, r.conns[i], &info) == KC_OK);
    return info.frames_in;
}

static uint64_t slowed(int i)
{
    kc_conn_info info;
    KC_REQUIRE(kc_conn_measure(r.pump, r.conns[i], &info) == KC_OK);
    return info.slowed;
}

/* n PINGs in the frame buffer, with ids from first on. */
static void build_pings(uint32_t first, uint32_t n)
{
    static char script[64 * 1024];
    size_t at = 0;
    for (uint32_t i = 0; i < n; i++) {
        at += (size_t)snprintf(script + at, sizeof script - at, "%sPING r%u", i == 0 ? "" : "; ", first + i);
    }
    rig_build(&r, 1, script);
}

static void ping(int i, uint32_t first, uint32_t n)
{
    build_pings(first, n);
    (void)rig_feed(&r, i, r.frame, r.frame_bytes, 0);
}

static kc_note next_note(void)
{
    kc_note note = {.quota = 9999};
    (void)kc_pump_next_note(r.pump, &note);
    return note;
}

KC_TEST(without_a_pace_nobody_is_slowed)
{
    begin(NULL);
    int i = rig_open(&r, 1);
    ping(i, 1, 1000);
    KC_CHECK_EQ(served(i), 1001);
    KC_CHECK_EQ(slowed(i), 0);
    KC_CHECK_EQ(next_note().quota, 9999);
    rig_free(&r);
}

KC_TEST(a_seconds_frames_are_served_at_once_and_the_rest_at_the_pace)
{
    begin(NULL);
    int i = rig_open(&r, 1);
    KC_CHECK_EQ(kc_pump_pace(r.pump, 10, 0), KC_OK);
    ping(i, 1, 25);
    KC_CHECK_EQ(served(i), 1 + 10);
    KC_CHECK_EQ(slowed(i), 1);
    for (int step = 1; step <= 15; step++) {
        rig_tick_ms(&r, 99);
        KC_CHECK_EQ(served(i), 1 + 10 + step - 1); /* never early */
        rig_tick_ms(&r, 1);
        KC_CHECK_EQ(served(i), 1 + 10 + step);
    }
    rig_tick_ms(&r, 10 * S_MS);
    KC_CHECK_EQ(served(i), 26); /* all are served, and in order */
    (void)rig_fetch(&r, i);
    rig_free(&r);
}

KC_TEST(a_pace_of_three_is_three)
{
    begin(NULL);
    int i = rig_open(&r, 1);
    KC_CHECK_EQ(kc_pump_pace(r.pump, 3, 0), KC_OK);
    ping(i, 1, 7);
    KC_CHECK_EQ(served(i), 1 + 3);
    rig_tick_ms(&r, 1001);
    KC_CHECK_EQ(served(i), 1 + 6);
    rig_tick_ms(&r, 334);
    KC_CHECK_EQ(served(i), 1 + 7);
    (void)rig_fetch(&r, i);
    rig_free(&r);
}

KC_TEST(of_one_account_all_connections_share_the_pace_and_none_starves)
{
    begin(NULL);
    int first = rig_open(&r, 1);
    int second = rig_open(&r, 1);
    int third = rig_open(&r, 1);
    int stranger = open_of(other);
    KC_CHECK_EQ(kc_pump_pace(r.pump, 0, 6), KC_OK);
    ping(first, 1, 100);
    ping(second, 1, 100);
    ping(third, 1, 100);
    ping(stranger, 1, 5);
    KC_CHECK_EQ(served(first) + served(second) + served(third), 3 + 6);
    KC_CHECK_EQ(served(stranger), 1 + 5);
    uint64_t least[3] = {served(first), served(second), served(third)};
    for (int step = 0; step < 30; step++) {
        rig_tick_ms(&r, 167);
    }
    KC_CHECK_EQ(served(first) - least[0], 10);
    KC_CHECK_EQ(served(second) - least[1], 10);
    KC_CHECK_EQ(served(third) - least[2], 10);
    (void)rig_fetch(&r, first);
    rig_free(&r);
}

KC_TEST(a_pace_that_is_lifted_frees_who_waits)
{
    begin(NULL);
    int i = rig_open(&r, 1);
    KC_CHECK_EQ(kc_pump_pace(r.pump, 1, 0), KC_OK);
    ping(i, 1, 200);
    KC_CHECK_EQ(served(i), 1 + 1);
    KC_CHECK_EQ(kc_pump_pace(r.pump, 0, 0), KC_OK);
    rig_run(&r);
    KC_CHECK_EQ(served(i), 201);
    (void)rig_fetch(&r, i);
    rig_free(&r);
}

KC_TEST(the_end_of_input_waits_for_the_frames_before_it)
{
    begin(NULL);
    int i = rig_open(&r, 1);
    KC_CHECK_EQ(kc_pump_pace(r.pump, 2, 0), KC_OK);
    build_pings(1, 4);
    (void)rig_feed(&r, i, r.frame, r.frame_bytes, 1);
    KC_CHECK_STR(rig_hear(&r, i), "PING r1 =0; PING r2 =0");
    KC_CHECK_EQ(rig_closed(&r), KC_EAGAIN);
    rig_tick_ms(&r, 1000);
    KC_CHECK_STR(rig_hear(&r, i), "PING r3 =0; PING r4 =0");
    KC_CHECK_EQ(rig_closed(&r), KC_OK);
    r.conn_count = 0;
    rig_free(&r);
}

KC_TEST(a_dead_peer_that_is_slowed_ends_at_once)
{
    begin(NULL);
    int i = rig_open(&r, 1);
    KC_CHECK_EQ(kc_pump_pace(r.pump, 1, 0), KC_OK);
    ping(i, 1, 10);
    KC_CHECK_EQ(kc_conn_vanish(r.pump, r.conns[i]), KC_OK);
    KC_CHECK_EQ(rig_closed(&r), KC_ECONNRESET);
    rig_tick_ms(&r, 5 * S_MS);
    r.conn_count = 0;
    rig_free(&r);
}

KC_TEST(a_slowed_connection_is_told_of_once_while_that_goes_on)
{
    begin(NULL);
    int i = rig_open(&r, 1);
    KC_CHECK_EQ(kc_pump_pace(r.pump, 0, 5), KC_OK);
    ping(i, 1, 100);
    kc_note note = next_note();
    KC_CHECK_EQ(note.conn, r.conns[i]);
    KC_CHECK_EQ(note.code, KC_OK);
    KC_CHECK_EQ(note.limit, 5);
    KC_CHECK_STR(note.name, "frames per second per uid");
    KC_CHECK_STR(note.setting, "limits.frames_per_second_per_uid");
    for (int step = 0; step < 50; step++) {
        rig_tick_ms(&r, 200);
    }
    KC_CHECK(slowed(i) > 5);
    KC_CHECK_EQ(next_note().quota, 9999);
    (void)rig_fetch(&r, i);
    rig_free(&r);
}

KC_TEST(a_refused_request_leaves_one_note_however_often_it_is_refused)
{
    begin(&(kc_account_limits){.messages = 2});
    int i = open_of(other);
    for (int n = 0; n < 5; n++) {
        rig_say(&r, i, "SEND r1 c1001 e:a");
    }
    kc_note note = next_note();
    KC_CHECK_EQ(note.conn, r.conns[i]);
    KC_CHECK_EQ(note.code, KC_EDQUOT);
    KC_CHECK_EQ(note.limit, 2);
    KC_CHECK_EQ(note.usage, 2);
    KC_CHECK_STR(note.name, "messages per uid");
    KC_CHECK_STR(note.setting, "limits.messages_per_uid");
    KC_CHECK_EQ(next_note().quota, 9999);
    rig_say(&r, i, "SEND r1 c1001 e:a");
    KC_CHECK_EQ(next_note().limit, 2); /* fetched: the next one is new */
    (void)rig_fetch(&r, i);
    rig_free(&r);
}

/* ---- over sockets: one round of the turn for all ---- */

static int peers[RIG_CONNS];

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
    uint64_t alone = victims_share(victim, attackers, 0, attack, 20);
    uint64_t beside = victims_share(victim, attackers, 4, attack, 20);
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
    KC_RUN(without_a_pace_nobody_is_slowed);
    KC_RUN(a_seconds_frames_are_served_at_once_and_the_rest_at_the_pace);
    KC_RUN(a_pace_of_three_is_three);
    KC_RUN(of_one_account_all_connections_share_the_pace_and_none_starves);
    KC_RUN(a_pace_that_is_lifted_frees_who_waits);
    KC_RUN(the_end_of_input_waits_for_the_frames_before_it);
    KC_RUN(a_dead_peer_that_is_slowed_ends_at_once);
    KC_RUN(a_slowed_connection_is_told_of_once_while_that_goes_on);
    KC_RUN(a_refused_request_leaves_one_note_however_often_it_is_refused);
    KC_RUN(one_user_at_its_message_quota_takes_nothing_from_anothers_round);
    KC_RUN(one_user_at_its_byte_quota_takes_nothing_from_anothers_round);
    KC_RUN(one_user_at_its_parked_quota_takes_nothing_from_anothers_round);
    KC_RUN(one_user_faster_than_its_pace_is_not_read_and_does_not_spin_the_loop);
    return kc_test_report();
}
