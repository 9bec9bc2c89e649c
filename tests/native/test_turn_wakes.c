/* test_turn_wakes.c: what wakes a turn: the timer, listeners, other threads. */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/un.h>

#include "kc_turn_fixture.h"

KC_TEST(the_descriptor_rings_at_a_deadline_and_not_before)
{
    begin(NULL, KC_TRANSPORT_STREAM);
    int64_t before = clock_ns();
    say(0, "RECV r1 c1002 t30; RECV r2 c1002 t-1");
    const char *heard = hear(0);
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
    while ((report.flags & KC_TURN_MORE) != 0) {
        report = turn(); /* each does a bounded part */
    }
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
