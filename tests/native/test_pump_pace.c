/* test_pump_pace.c: frames per second, and refusals by quota. What it means for others over sockets:
 * test_turn_shares.c. */
#include "kc_pace.h"

enum { S_MS = 1000 };

static uint64_t slowed(int i)
{
    kc_conn_info info;
    KC_REQUIRE(kc_conn_measure(r.pump, r.conns[i], &info) == KC_OK);
    return info.slowed;
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

/* One connection at these paces: frames per second of a connection, and of a user. */
static int paced(uint32_t conn, uint32_t account)
{
    begin(NULL);
    int i = rig_open(&r, 1);
    KC_CHECK_EQ(kc_pump_pace(r.pump, conn, account), KC_OK);
    return i;
}

static void end(int i)
{
    (void)rig_fetch(&r, i);
    rig_free(&r);
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
    int i = paced(10, 0);
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
    end(i);
}

KC_TEST(a_pace_of_three_is_three)
{
    int i = paced(3, 0);
    ping(i, 1, 7);
    KC_CHECK_EQ(served(i), 1 + 3);
    rig_tick_ms(&r, 1001);
    KC_CHECK_EQ(served(i), 1 + 6);
    rig_tick_ms(&r, 334);
    KC_CHECK_EQ(served(i), 1 + 7);
    end(i);
}

KC_TEST(of_one_account_all_connections_share_the_pace_and_none_starves)
{
    begin(NULL);
    int first = rig_open(&r, 1);
    int second = rig_open(&r, 1);
    int third = rig_open(&r, 1);
    int stranger = rig_open_of(&r, other);
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
    int i = paced(1, 0);
    ping(i, 1, 200);
    KC_CHECK_EQ(served(i), 1 + 1);
    KC_CHECK_EQ(kc_pump_pace(r.pump, 0, 0), KC_OK);
    rig_run(&r);
    KC_CHECK_EQ(served(i), 201);
    end(i);
}

KC_TEST(the_end_of_input_waits_for_the_frames_before_it)
{
    int i = paced(2, 0);
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
    int i = paced(1, 0);
    ping(i, 1, 10);
    KC_CHECK_EQ(kc_conn_vanish(r.pump, r.conns[i]), KC_OK);
    KC_CHECK_EQ(rig_closed(&r), KC_ECONNRESET);
    rig_tick_ms(&r, 5 * S_MS);
    r.conn_count = 0;
    rig_free(&r);
}

KC_TEST(a_slowed_connection_is_told_of_once_while_that_goes_on)
{
    int i = paced(0, 5);
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
    end(i);
}

KC_TEST(a_refused_request_leaves_one_note_however_often_it_is_refused)
{
    begin(&(kc_account_limits){.messages = 2});
    int i = rig_open_of(&r, other);
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
    end(i);
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
    return kc_test_report();
}
