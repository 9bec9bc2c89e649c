/* test_turn_users.c: over sockets: however many connections one user has, another's frame, its answer and a listener
 * wait for as much as if they were one. What is counted are frames and connections served before, never time. */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "kc_pace.h"

enum {
    CROWD = 1000,
    ATTACK_FRAMES = 192, /* whole shares */
    ROUND_FRAMES = 512,                /* after which a round is over, with the share of 64 that was begun */
    MOST_OTHERS = ROUND_FRAMES + 2 * 64,
    ROUND_WRITES = 512
};

typedef struct client {
    int fd;
    kc_conn conn;
    uint32_t next_id;
} client;

static client victim, crowd[CROWD];
static uint8_t attack[64 * 1024];
static size_t attack_bytes;

static kc_report turn(void)
{
    kc_report report;
    KC_CHECK_EQ(kc_turn(r.pump, 0, 0, &report), KC_OK); /* one round */
    return report;
}

static void turn_until_quiet(void)
{
    struct pollfd pump = {.fd = kc_pump_fd(r.pump), .events = POLLIN};
    while ((turn().flags & KC_TURN_MORE) != 0 || poll(&pump, 1, 0) != 0) {
    }
    rig_check(&r);
}

static void join(client *c, uint32_t account)
{
    int pair[2];
    KC_REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
    *c = (client){.fd = pair[0], .next_id = 1};
    KC_REQUIRE(kc_conn_add(r.pump, pair[1], KC_TRANSPORT_STREAM, account, &c->conn) == KC_OK);
    KC_REQUIRE(kc_conn_speak(r.pump, c->conn, 1, 0) == KC_OK);
    KC_REQUIRE(kc_conn_grant(r.pump, c->conn, RIG_FIRST_CHAN, r.chans[0], KC_RIGHT_READ | KC_RIGHT_WRITE) == KC_OK);
}

static void join_crowd(int n, uint32_t account)
{
    for (int i = 0; i < n; i++) {
        join(&crowd[i], account);
    }
}

static uint32_t closed_all(void)
{
    kc_closed closed;
    uint32_t n = 0;
    while (kc_pump_closed(r.pump, &closed) == KC_OK) {
        n++;
    }
    return n;
}

static void leave(int n)
{
    for (int i = 0; i < n; i++) {
        (void)close(crowd[i].fd);
    }
    (void)close(victim.fd);
    turn_until_quiet();
    KC_CHECK_EQ(closed_all(), (uint32_t)n + 1);
    rig_free(&r);
}

static void begin_users(void)
{
    char script[16 * 1024];
    size_t at = 0;
    const kc_engine_config roomy = {.channels = 64, .tokens = 8192, .messages = 16384, .scopes = 2 * CROWD,
                                    .accounts = 8, .ports = 4, .heap_bytes = 256 << 20};
    rig_make(&r, &roomy, NULL);
    KC_REQUIRE(kc_account_make(r.engine, NULL, &other) == KC_OK);
    (void)rig_kind(&r, KC_KIND_UNLIMITED, 0);
    for (int i = 0; i < ATTACK_FRAMES; i++) {
        at += (size_t)snprintf(script + at, sizeof script - at, "%sRECV r9 c1001 t0", i == 0 ? "" : "; ");
    }
    rig_build(&r, 1, script);
    KC_REQUIRE(r.frame_bytes <= sizeof attack);
    attack_bytes = r.frame_bytes;
    memcpy(attack, r.frame, attack_bytes);
    join(&victim, r.account);
}

static size_t drain(const client *c)
{
    char sink[65536];
    size_t all = 0;
    ssize_t got;
    while ((got = recv(c->fd, sink, sizeof sink, MSG_DONTWAIT)) > 0) {
        all += (size_t)got;
    }
    return all;
}

/* Frames of the fastest kind, as many as the socket takes in whole, and every answer read. */
static void flood(const client *c)
{
    (void)drain(c);
    ssize_t sent = send(c->fd, attack, attack_bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    KC_REQUIRE(sent == (ssize_t)attack_bytes || (sent < 0 && errno == EAGAIN));
}

static void flood_all(int first, int end)
{
    for (int i = first; i < end; i++) {
        flood(&crowd[i]);
    }
}

static void ping(client *c)
{
    build_pings(c->next_id++, 1);
    KC_REQUIRE(send(c->fd, r.frame, r.frame_bytes, MSG_NOSIGNAL) == (ssize_t)r.frame_bytes);
}

static kc_conn_info info_of(const client *c)
{
    kc_conn_info info;
    KC_REQUIRE(kc_conn_measure(r.pump, c->conn, &info) == KC_OK);
    return info;
}

static uint64_t frames_of(int first, int end)
{
    uint64_t sum = 0;
    for (int i = first; i < end; i++) {
        sum += info_of(&crowd[i]).frames_in;
    }
    return sum;
}

/* Frames of a flooding user with n connections that were served until another's PING was answered;
 * the worst of some. */
static uint64_t others_before_a_ping(int n)
{
    uint64_t worst = 0;
    begin_users();
    join_crowd(n, other);
    for (int probe = 0; probe < 8; probe++) {
        for (int i = 0; i < 3; i++) {
            flood_all(0, n);
            (void)turn();
        }
        uint64_t before = frames_of(0, n);
        ping(&victim);
        do {
            (void)turn();
        } while (drain(&victim) == 0);
        uint64_t others = frames_of(0, n) - before;
        worst = others > worst ? others : worst;
    }
    leave(n);
    return worst;
}

KC_TEST(what_a_ping_waits_for_does_not_grow_with_the_connections_of_another_user)
{
    uint64_t beside_one = others_before_a_ping(1);
    uint64_t beside_ten = others_before_a_ping(10);
    uint64_t beside_a_thousand = others_before_a_ping(CROWD);
    fprintf(stderr, "frames of others before a PING: beside 1 connection %llu, 10 %llu, 1000 %llu\n",
            (unsigned long long)beside_one, (unsigned long long)beside_ten, (unsigned long long)beside_a_thousand);
    KC_CHECK(beside_one >= 64 && beside_one <= MOST_OTHERS);
    KC_CHECK(beside_ten >= 64 && beside_ten <= MOST_OTHERS);
    KC_CHECK(beside_a_thousand >= 64 && beside_a_thousand <= MOST_OTHERS);
}

KC_TEST(users_that_flood_get_the_same_whether_they_have_one_connection_or_hundreds)
{
    static const int ends[4] = {1, 11, 111, 511};
    uint64_t got[4], least = UINT64_MAX, most = 0;
    uint32_t accounts[4] = {0};
    begin_users();
    for (int user = 0, i = 0; user < 4; user++) {
        KC_REQUIRE(kc_account_make(r.engine, NULL, &accounts[user]) == KC_OK);
        for (; i < ends[user]; i++) {
            join(&crowd[i], accounts[user]);
        }
    }
    for (int i = 0; i < 50; i++) {
        flood_all(0, ends[3]);
        (void)turn();
    }
    for (int user = 0; user < 4; user++) {
        got[user] = frames_of(user == 0 ? 0 : ends[user - 1], ends[user]);
        least = got[user] < least ? got[user] : least;
        most = got[user] > most ? got[user] : most;
    }
    fprintf(stderr, "frames of users with 1, 10, 100, 400 connections: %llu %llu %llu %llu\n",
            (unsigned long long)got[0], (unsigned long long)got[1], (unsigned long long)got[2],
            (unsigned long long)got[3]);
    KC_CHECK(least >= 10 * 64);
    KC_CHECK(most - least <= 2 * 64);
    leave(ends[3]);
}

/* A listener in a private place, and somebody who has connected to it. */
static int listen_with_a_guest(int *guest_out)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t bytes = sizeof address;
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    KC_REQUIRE(bind(listener, (struct sockaddr *)&address, sizeof address.sun_family) == 0); /* autobind, unix(7) */
    KC_REQUIRE(listen(listener, 4) == 0 && getsockname(listener, (struct sockaddr *)&address, &bytes) == 0);
    KC_REQUIRE(kc_pump_listen(r.pump, listener) == KC_OK);
    *guest_out = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    KC_REQUIRE(connect(*guest_out, (struct sockaddr *)&address, bytes) == 0);
    return listener;
}

KC_TEST(a_listener_is_told_of_in_the_first_round_whoever_is_ready_before_it)
{
    int guest;
    begin_users();
    join_crowd(CROWD, other);
    flood_all(0, CROWD);
    int listener = listen_with_a_guest(&guest);
    KC_CHECK_EQ(turn().accept, 1);
    KC_CHECK_EQ(kc_pump_accept_ready(r.pump), listener);
    KC_REQUIRE(kc_pump_unlisten(r.pump, listener) == KC_OK);
    (void)close(listener);
    (void)close(guest);
    leave(CROWD);
}

KC_TEST(a_crowd_that_waits_in_line_is_served_to_its_last_frame_and_heard_again)
{
    begin_users();
    join_crowd(CROWD, other);
    flood_all(0, CROWD);
    turn_until_quiet();
    KC_CHECK_EQ(frames_of(0, CROWD), (uint64_t)CROWD * ATTACK_FRAMES);
    flood_all(0, CROWD);
    turn_until_quiet();
    KC_CHECK_EQ(frames_of(0, CROWD), (uint64_t)CROWD * ATTACK_FRAMES * 2);
    struct pollfd pump = {.fd = kc_pump_fd(r.pump), .events = POLLIN};
    KC_CHECK_EQ(poll(&pump, 1, 0), 0);
    leave(CROWD);
}

KC_TEST(who_leaves_while_it_waits_in_line_is_served_to_its_last_frame)
{
    kc_closed closed;
    uint32_t n = 0;
    begin_users();
    join_crowd(CROWD, other);
    flood_all(0, CROWD);
    for (int i = 0; i < 20; i++) {
        (void)turn();
    }
    for (int i = 0; i < CROWD; i++) {
        (void)drain(&crowd[i]);
        KC_REQUIRE(shutdown(crowd[i].fd, SHUT_WR) == 0);
    }
    turn_until_quiet();
    for (int i = 0; i < CROWD; i++) {
        (void)drain(&crowd[i]);
    }
    turn_until_quiet();
    for (; kc_pump_closed(r.pump, &closed) == KC_OK; n++) {
        KC_CHECK_EQ(closed.code, KC_OK);
        KC_CHECK_EQ(closed.info.frames_in, ATTACK_FRAMES);
    }
    KC_CHECK_EQ(n, CROWD);
    for (int i = 0; i < CROWD; i++) {
        (void)close(crowd[i].fd);
    }
    leave(0);
}

/* More than its socket takes at once is said to it. */
static void owe(const client *c)
{
    static uint8_t frame[16384];
    int least = 4096;
    kc_conn_info info = info_of(c);
    KC_REQUIRE(setsockopt(info.fd, SOL_SOCKET, SO_SNDBUF, &least, sizeof least) == 0);
    kc_store_u64(frame, 0);
    kc_store_u32(frame + 4, sizeof frame - 8);
    KC_REQUIRE(kc_pump_event(r.pump, c->conn, frame, sizeof frame) == KC_OK);
}

KC_TEST(an_answer_does_not_wait_until_all_of_another_users_connections_were_written)
{
    uint64_t before[CROWD];
    int written = 0;
    begin_users();
    join_crowd(CROWD, other);
    for (int i = 0; i < CROWD; i++) {
        owe(&crowd[i]);
    }
    turn_until_quiet();
    for (int i = 0; i < CROWD; i++) {
        before[i] = info_of(&crowd[i]).bytes_out;
        KC_CHECK(before[i] != 0 && before[i] < 16384);
        (void)drain(&crowd[i]); /* now there is room for the rest */
    }
    ping(&victim);
    (void)turn();
    KC_CHECK(drain(&victim) != 0);
    for (int i = 0; i < CROWD; i++) {
        written += info_of(&crowd[i]).bytes_out != before[i];
    }
    KC_CHECK(written > 0 && written <= ROUND_WRITES);
    for (int i = 0; i < 100; i++) {
        for (int j = 0; j < CROWD; j++) {
            (void)drain(&crowd[j]);
        }
        turn_until_quiet();
    }
    for (int i = 0; i < CROWD; i++) {
        KC_CHECK_EQ(info_of(&crowd[i]).bytes_out, 16384);
    }
    leave(CROWD);
}

int main(void)
{
    KC_RUN(what_a_ping_waits_for_does_not_grow_with_the_connections_of_another_user);
    KC_RUN(users_that_flood_get_the_same_whether_they_have_one_connection_or_hundreds);
    KC_RUN(a_listener_is_told_of_in_the_first_round_whoever_is_ready_before_it);
    KC_RUN(a_crowd_that_waits_in_line_is_served_to_its_last_frame_and_heard_again);
    KC_RUN(who_leaves_while_it_waits_in_line_is_served_to_its_last_frame);
    KC_RUN(an_answer_does_not_wait_until_all_of_another_users_connections_were_written);
    return kc_test_report();
}
