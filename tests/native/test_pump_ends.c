/* test_pump_ends.c: how connections end, what ends with them, and what a pump that drains still does. */
#include "kc_pump_pair.h"

/* ---- ends ---- */

KC_TEST(the_end_of_input_cancels_flushes_and_closes)
{
    open_two(NULL);
    rig_build(&r, 1, "RECV r1 c1002 t-1; SEND r2 c1001 e:a; SELECT r3 t-1 (c1002); MAKE r4; PING r5");
    KC_CHECK_EQ(rig_feed(&r, 0, r.frame, r.frame_bytes, 1), KC_OK);
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r2 =0");
    KC_CHECK_EQ(rig_closed(&r), KC_EAGAIN);
    kc_control control;
    KC_CHECK_EQ(kc_pump_control(r.pump, &control), KC_OK);
    (void)reply("MAKE r4");
    KC_CHECK_EQ(kc_pump_reply(r.pump, r.conns[0], r.frame, (uint32_t)r.frame_bytes), KC_OK);
    rig_run(&r);
    KC_CHECK_STR(rig_hear(&r, 0), "MAKE r4; PING r5 =0; RECV r1 =-125 w:the client hung up; "
                                  "SELECT r3 =-125 w:the client hung up");
    KC_CHECK_EQ(rig_stat(&r, 1, KC_STAT_CANCELLED_DEAD), 2);
    KC_CHECK_EQ(rig_closed(&r), KC_OK);
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_READY), 1);
    rig_free(&r);
}

KC_TEST(the_end_of_input_in_the_middle_of_a_frame_is_a_reset)
{
    open_two(NULL);
    rig_build(&r, 1, "PING r1; PING r2");
    KC_CHECK_EQ(rig_feed(&r, 0, r.frame, r.frame_bytes - 1, 1), KC_OK);
    KC_CHECK_STR(rig_hear(&r, 0), "PING r1 =0");
    KC_CHECK_EQ(rig_closed(&r), KC_ECONNRESET);
    rig_free(&r);
}

KC_TEST(at_the_end_of_input_requests_let_go_are_cancelled_too)
{
    open_two(NULL);
    let_go(0, "OPEN r5 t-1");
    KC_CHECK_EQ(rig_feed(&r, 0, r.frame, 0, 1), KC_OK);
    kc_conn conn;
    uint32_t req_id = 0;
    KC_CHECK_EQ(kc_pump_cancelled(r.pump, &conn, &req_id), KC_OK);
    KC_CHECK_EQ(req_id, 5);
    KC_CHECK_EQ(rig_closed(&r), KC_EAGAIN);
    (void)reply("OPEN r5");
    KC_CHECK_EQ(kc_pump_finish(r.pump, conn, req_id, r.frame, (uint32_t)r.frame_bytes), KC_OK);
    KC_CHECK_STR(rig_hear(&r, 0), "OPEN r5");
    KC_CHECK_EQ(rig_closed(&r), KC_OK);
    rig_free(&r);
}

KC_TEST(a_connection_that_ends_takes_its_waiters_and_its_handles_along)
{
    open_two(NULL);
    rig_say(&r, 0, "RECV r1 c1002 t-1; SEND r2 c1001 e:a e:b; SEND r3 c1001 t-1 e:c e:d e:e; MAKE r4");
    KC_CHECK_EQ(kc_conn_close(r.pump, r.conns[0], KC_ENOSPC), KC_OK);
    (void)rig_fetch(&r, 0);
    KC_CHECK_EQ(rig_closed(&r), KC_ENOSPC);
    KC_CHECK_EQ(rig_stat(&r, 1, KC_STAT_CANCELLED_DEAD), 1);
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_CANCELLED_DEAD), 1);
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_READY), 4);
    kc_control control;
    KC_CHECK_EQ(kc_pump_control(r.pump, &control), KC_EAGAIN);
    rig_free(&r);
}

KC_TEST(a_stale_ticket_meets_nobody)
{
    open_two(NULL);
    kc_conn old = r.conns[0];
    KC_CHECK_EQ(kc_conn_close(r.pump, old, 0), KC_OK);
    rig_run(&r);
    KC_CHECK_EQ(rig_closed(&r), KC_OK);
    KC_REQUIRE(kc_conn_add(r.pump, -1, KC_TRANSPORT_STREAM, r.account, &r.conns[0]) == KC_OK);
    KC_CHECK((uint32_t)r.conns[0] == (uint32_t)old && r.conns[0] != old);
    kc_conn_info info;
    KC_CHECK_EQ(kc_conn_measure(r.pump, old, &info), KC_ENOENT);
    KC_CHECK_EQ(kc_conn_close(r.pump, old, 0), KC_ENOENT);
    KC_CHECK_EQ(kc_conn_grant(r.pump, old, 1001, r.chans[0], 1), KC_ENOENT);
    KC_CHECK_EQ(kc_conn_measure(r.pump, r.conns[0], &info), KC_OK);
    rig_free(&r);
}

KC_TEST(a_waiter_tells_its_connection)
{
    open_two(NULL);
    rig_say(&r, 1, "RECV r1 c1002 t-1");
    kc_waiter_info info;
    KC_CHECK_EQ(kc_chan_waiters(r.engine, r.chans[1], KC_CLAUSE_RECV, 0, &info, 1), 1);
    KC_CHECK_EQ(kc_conn_of_waiter(r.pump, info.user), r.conns[1]);
    KC_CHECK_EQ(kc_conn_of_waiter(r.pump, UINT64_MAX), 0);
    KC_CHECK_EQ(kc_conn_of_waiter(r.pump, 0), 0);
    rig_free(&r);
}

/* ---- draining ---- */

KC_TEST(a_draining_pump_refuses_sends_and_finishes_receives)
{
    open_two(NULL);
    rig_say(&r, 0, "SEND r1 c1001 e:a");
    KC_CHECK_EQ(kc_pump_drain(r.pump), KC_OK);
    rig_say(&r, 0, "SEND r2 c1001 e:b; SELECT r3 t0 (c1002 e:x); SELECT r4 t0 (c1002); RECV r5 c1001; "
                   "RECV r6 c1002 t-1");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r1 =0; SEND r2 =-125 w:shutting down; SELECT r3 =-125 i0 w:shutting down; "
                                  "SELECT r4 =-11; RECV r5 =0 e:a");
    KC_CHECK_EQ(kc_pump_cancel_all(r.pump), KC_OK);
    KC_CHECK_STR(rig_hear(&r, 0), "RECV r6 =-125 w:shutting down");
    rig_free(&r);
}

int main(void)
{
    KC_RUN(the_end_of_input_cancels_flushes_and_closes);
    KC_RUN(the_end_of_input_in_the_middle_of_a_frame_is_a_reset);
    KC_RUN(at_the_end_of_input_requests_let_go_are_cancelled_too);
    KC_RUN(a_connection_that_ends_takes_its_waiters_and_its_handles_along);
    KC_RUN(a_stale_ticket_meets_nobody);
    KC_RUN(a_waiter_tells_its_connection);
    KC_RUN(a_draining_pump_refuses_sends_and_finishes_receives);
    return kc_test_report();
}
