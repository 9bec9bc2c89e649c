/* test_pump_account.c: what the connections of one user share: turns of their control frames, and counts. Frames are
 * counted, never time. */
#include "kc_ipc_fixture.h"

static rig r;
static uint32_t other, third; /* accounts of two more users */

static void begin(const kc_pump_config *pump)
{
    rig_make(&r, NULL, pump);
    KC_REQUIRE(kc_account_make(r.engine, NULL, &other) == KC_OK);
    KC_REQUIRE(kc_account_make(r.engine, NULL, &third) == KC_OK);
}

static void open_many(uint32_t account, int n)
{
    for (int i = 0; i < n; i++) {
        (void)rig_open_of(&r, account);
    }
}

/* The connection whose control frame is given out next; -1: none is. */
static int given(void)
{
    kc_control control;
    int i = r.conn_count;
    if (kc_pump_control(r.pump, &control) == KC_OK) {
        for (i = 0; i < r.conn_count && r.conns[i] != control.conn; i++) {
        }
        KC_REQUIRE(i < r.conn_count);
    }
    return i < r.conn_count ? i : -1;
}

static void answer(int i)
{
    rig_build(&r, 1, "LIST r1");
    KC_CHECK_EQ(kc_pump_reply(r.pump, r.conns[i], r.frame, (uint32_t)r.frame_bytes), KC_OK);
}

/* As many control frames as a round gives out, answered; how many were of connection `watched`. */
static int serve_round(int watched)
{
    int found = 0;
    for (int i = given(); i >= 0; i = given()) {
        found += i == watched;
        answer(i);
    }
    rig_run(&r);
    return found;
}

KC_TEST(control_frames_of_users_take_turns_and_those_of_one_user_keep_their_order)
{
    begin(NULL);
    open_many(r.account, 3);
    open_many(other, 2);
    open_many(third, 1);
    for (int i = 0; i < 6; i++) {
        rig_say(&r, i, "LIST r1");
    }
    const int order[] = {0, 3, 5, 1, 4, 2, -1};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        KC_CHECK_EQ(given(), order[i]);
    }
    rig_free(&r);
}

KC_TEST(a_user_with_many_connections_that_flood_takes_no_round_from_another)
{
    enum { ROUNDS = 50, FLOOD = 7 };
    begin(&(kc_pump_config){.control_per_turn = 2});
    open_many(r.account, FLOOD);
    int victim = rig_open_of(&r, other);
    int answered = 0;
    for (int i = 0; i < FLOOD; i++) {
        for (int n = 0; n < ROUNDS; n++) {
            rig_say(&r, i, "LIST r1"); /* the id is free again when its turn has come */
        }
    }
    for (int round = 0; round < ROUNDS; round++) {
        rig_say(&r, victim, "LIST r1"); /* behind all that wait */
        answered += serve_round(victim);
    }
    KC_CHECK_EQ(answered, ROUNDS);
    rig_free(&r);
}

KC_TEST(each_of_many_users_has_the_same_share_of_the_control_frames)
{
    enum { ROUNDS = 30 };
    begin(&(kc_pump_config){.control_per_turn = 3});
    open_many(r.account, 6);
    int one = rig_open_of(&r, other);
    int two = rig_open_of(&r, third);
    int answered[2] = {0, 0};
    for (int i = 0; i < r.conn_count; i++) {
        for (int n = 0; n < ROUNDS; n++) {
            rig_say(&r, i, "LIST r1");
        }
    }
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = given(); i >= 0; i = given()) {
            answered[0] += i == one;
            answered[1] += i == two;
            answer(i);
        }
        rig_run(&r);
    }
    KC_CHECK_EQ(answered[0], ROUNDS);
    KC_CHECK_EQ(answered[1], ROUNDS);
    rig_free(&r);
}

KC_TEST(a_connection_that_ends_before_its_turn_leaves_the_turns_of_the_others_alone)
{
    kc_closed closed;
    begin(NULL);
    open_many(r.account, 2);
    open_many(other, 1);
    open_many(third, 2);
    for (int i = 0; i < 5; i++) {
        rig_say(&r, i, "LIST r1");
    }
    KC_CHECK_EQ(kc_conn_vanish(r.pump, r.conns[2]), KC_OK); /* all that its user had */
    KC_CHECK_EQ(kc_conn_vanish(r.pump, r.conns[3]), KC_OK);
    while (kc_pump_closed(r.pump, &closed) == KC_OK) {
    }
    KC_CHECK_EQ(given(), 0);
    KC_CHECK_EQ(given(), 4);
    KC_CHECK_EQ(given(), 1);
    KC_CHECK_EQ(given(), -1);
    int again = rig_open_of(&r, other);
    rig_say(&r, again, "LIST r1");
    KC_CHECK_EQ(given(), again);
    KC_CHECK_EQ(given(), -1);
    rig_free(&r);
}

/* ---- counts ---- */

static kc_pump_account share_of(uint32_t account)
{
    kc_pump_account share = {.connections = 999};
    kc_pump_measure_account(r.pump, account, &share);
    return share;
}

static uint64_t queued(void)
{
    kc_pump_usage usage;
    kc_pump_measure(r.pump, &usage);
    return usage.queued_bytes;
}

static uint64_t queued_of(int i)
{
    kc_conn_info info;
    KC_REQUIRE(kc_conn_measure(r.pump, r.conns[i], &info) == KC_OK);
    return info.queued_bytes;
}

KC_TEST(the_connections_of_a_user_are_counted_until_they_end)
{
    begin(NULL);
    KC_CHECK_EQ(share_of(other).connections, 0);
    KC_CHECK_EQ(share_of(UINT32_MAX).connections, 0);
    open_many(other, 2);
    open_many(third, 1);
    KC_CHECK_EQ(share_of(other).connections, 2);
    KC_CHECK_EQ(kc_conn_vanish(r.pump, r.conns[0]), KC_OK);
    KC_CHECK_EQ(share_of(other).connections, 1);
    KC_CHECK_EQ(share_of(third).connections, 1);
    rig_free(&r);
}

KC_TEST(the_leases_of_a_users_connections_are_counted_together)
{
    begin(NULL);
    (void)rig_kind(&r, KC_KIND_BUFFERED, 8);
    open_many(r.account, 1);
    open_many(other, 2);
    for (int i = 0; i < 3; i++) {
        KC_REQUIRE(kc_conn_able(r.pump, r.conns[i], KC_CAP_DESCRIPTORS) == KC_OK);
    }
    (void)rig_region(&r, 0, -1);
    rig_say(&r, 0, "SEND r1 c1001 D0+0:8; SEND r2 c1001 D0+8:8; SEND r3 c1001 D0+16:8");
    rig_say(&r, 1, "RECV r1 c1001; RECV r2 c1001");
    rig_say(&r, 2, "RECV r1 c1001");
    KC_CHECK_STR(rig_hear(&r, 1), "MAP R0 z1048576; RECV r1 =0 D0+0:8/0; RECV r2 =0 D0+8:8/1");
    KC_CHECK_EQ(share_of(other).leases, 3);
    rig_say(&r, 1, "RELEASE L0; RELEASE L0");
    KC_CHECK_EQ(share_of(other).leases, 2);
    KC_CHECK_EQ(kc_conn_vanish(r.pump, r.conns[1]), KC_OK);
    KC_CHECK_EQ(share_of(other).leases, 1);
    KC_CHECK_EQ(share_of(r.account).leases, 0);
    KC_CHECK_EQ(kc_conn_vanish(r.pump, r.conns[2]), KC_OK);
    KC_CHECK_EQ(share_of(other).leases, 0);
    (void)kc_region_drop(r.engine, r.regions[0], KC_REGION_REVOKE);
    KC_CHECK_EQ(kc_conn_vanish(r.pump, r.conns[0]), KC_OK);
    kc_conn owner;
    kc_ticket region;
    rig_run(&r);
    while (kc_pump_region_ended(r.pump, &owner, &region) == KC_OK) {
    }
    rig_free(&r);
}

KC_TEST(how_often_a_user_was_slowed_is_known_while_one_of_its_connections_lives)
{
    begin(NULL);
    open_many(other, 2);
    KC_CHECK_EQ(kc_pump_pace(r.pump, 1, 0), KC_OK);
    rig_say(&r, 0, "PING r1; PING r2");
    rig_say(&r, 1, "PING r1; PING r2");
    KC_CHECK_EQ(share_of(other).slowed, 2);
    KC_CHECK_EQ(kc_conn_vanish(r.pump, r.conns[0]), KC_OK);
    KC_CHECK_EQ(share_of(other).slowed, 2);
    KC_CHECK_EQ(kc_conn_vanish(r.pump, r.conns[1]), KC_OK);
    KC_CHECK_EQ(kc_pump_pace(r.pump, 0, 0), KC_OK);
    open_many(other, 1);
    KC_CHECK_EQ(share_of(other).slowed, 0);
    rig_free(&r);
}

KC_TEST(output_that_was_not_taken_is_one_sum)
{
    static char script[256];
    begin(NULL);
    (void)rig_kind(&r, KC_KIND_UNLIMITED, 0);
    open_many(r.account, 1);
    open_many(other, 1);
    KC_CHECK_EQ(queued(), 0);
    rig_say(&r, 0, "PING r1");
    (void)snprintf(script, sizeof script, "SEND r1 c1001 E:%d; SEND r2 c1001 E:10", 100000); /* travels in blocks */
    rig_say(&r, 1, script);
    rig_say(&r, 1, "RECV r3 c1001; RECV r4 c1001");
    KC_CHECK(queued_of(0) != 0 && queued_of(1) > 100000);
    KC_CHECK_EQ(queued(), queued_of(0) + queued_of(1));
    KC_CHECK_EQ(kc_conn_fetch(r.pump, r.conns[1], r.out, 50000), 50000);
    KC_CHECK_EQ(queued(), queued_of(0) + queued_of(1));
    (void)rig_fetch(&r, 0);
    KC_CHECK_EQ(queued(), queued_of(1));
    KC_CHECK_EQ(kc_conn_vanish(r.pump, r.conns[1]), KC_OK);
    KC_CHECK_EQ(queued(), 0);
    rig_free(&r);
}

int main(void)
{
    KC_RUN(control_frames_of_users_take_turns_and_those_of_one_user_keep_their_order);
    KC_RUN(a_user_with_many_connections_that_flood_takes_no_round_from_another);
    KC_RUN(each_of_many_users_has_the_same_share_of_the_control_frames);
    KC_RUN(a_connection_that_ends_before_its_turn_leaves_the_turns_of_the_others_alone);
    KC_RUN(the_connections_of_a_user_are_counted_until_they_end);
    KC_RUN(the_leases_of_a_users_connections_are_counted_together);
    KC_RUN(how_often_a_user_was_slowed_is_known_while_one_of_its_connections_lives);
    KC_RUN(output_that_was_not_taken_is_one_sum);
    return kc_test_report();
}
