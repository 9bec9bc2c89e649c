/* test_turn_crowd.c: a crowd that is ready at once, by a clock that moves while the set is looked at and not else:
 * however long that takes, a round serves its part after it. Linked with --wrap=kc_turn_clock and --wrap=epoll_wait. */
#include <sys/epoll.h>
#include <sys/socket.h>

#include "ipc/kc_turn_set.h"
#include "kc_pace.h"

enum { CROWD = KC_TURN_EVENTS + 44, LOOK_NS = 1000000 }; /* more than one poll shows; longer than a round's part */

static int peers[CROWD];
static int64_t clock_ns = 1000000000;

int64_t __wrap_kc_turn_clock(void);
int64_t __wrap_kc_turn_clock(void)
{
    return clock_ns;
}

int __real_epoll_wait(int set, struct epoll_event *events, int most, int timeout_ms);
int __wrap_epoll_wait(int set, struct epoll_event *events, int most, int timeout_ms);
int __wrap_epoll_wait(int set, struct epoll_event *events, int most, int timeout_ms)
{
    clock_ns += LOOK_NS;
    return __real_epoll_wait(set, events, most, timeout_ms);
}

static kc_report turn(void)
{
    kc_report report;
    KC_CHECK_EQ(kc_turn(r.pump, 0, 0, &report), KC_OK); /* one round */
    rig_check(&r);
    return report;
}

static void gather(void)
{
    const kc_engine_config roomy = {.channels = 64, .tokens = 2 * CROWD, .messages = 64, .scopes = 2 * CROWD,
                                    .accounts = 8, .ports = 4, .heap_bytes = 16 << 20};
    rig_make(&r, &roomy, NULL);
    for (int i = 0; i < CROWD; i++) {
        int pair[2];
        kc_conn conn;
        KC_REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
        peers[i] = pair[0];
        KC_REQUIRE(kc_conn_add(r.pump, pair[1], KC_TRANSPORT_STREAM, r.account, &conn) == KC_OK);
        KC_REQUIRE(kc_conn_speak(r.pump, conn, 1, 0) == KC_OK);
    }
    (void)turn();
}

static void leave(void)
{
    for (int i = 0; i < CROWD; i++) {
        (void)close(peers[i]);
    }
}

static void end(void)
{
    kc_closed closed;
    int count = 0;
    while (kc_pump_closed(r.pump, &closed) == KC_OK) {
        count++;
    }
    KC_CHECK_EQ(count, CROWD);
    rig_free(&r);
}

KC_TEST(a_round_serves_all_of_a_crowd_that_it_has_time_for_after_it_has_looked)
{
    gather();
    build_pings(1, 1);
    for (int i = 0; i < CROWD; i++) {
        KC_REQUIRE(send(peers[i], r.frame, r.frame_bytes, MSG_NOSIGNAL) == (ssize_t)r.frame_bytes);
    }
    KC_CHECK_EQ(turn().frames, CROWD);
    leave();
    while (turn().closed != CROWD) {
    }
    end();
}

KC_TEST(a_crowd_that_hangs_up_at_once_has_gone_after_a_round)
{
    gather();
    leave();
    KC_CHECK_EQ(turn().closed, CROWD);
    while (turn().closed != CROWD) {
    }
    end();
}

int main(void)
{
    KC_RUN(a_round_serves_all_of_a_crowd_that_it_has_time_for_after_it_has_looked);
    KC_RUN(a_crowd_that_hangs_up_at_once_has_gone_after_a_round);
    return kc_test_report();
}
