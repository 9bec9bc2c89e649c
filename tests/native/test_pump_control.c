/* test_pump_control.c: the control barrier, requests that are let go, bad input. */
#include "kc_pump_pair.h"

/* ---- the barrier ---- */

KC_TEST(a_control_frame_holds_back_what_follows_until_it_is_answered)
{
    open_two(NULL);
    rig_say(&r, 0, "SEND r1 c1001 e:a; MAKE r2; PING r3; LIST r4; PING r5");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r1 =0");
    kc_control control;
    KC_CHECK_EQ(kc_pump_control(r.pump, &control), KC_OK);
    KC_CHECK_EQ(control.cmd, KC_CMD_CHAN_MAKE);
    KC_CHECK_EQ(control.conn, r.conns[0]);
    KC_CHECK_EQ(control.req_id, 2);
    KC_CHECK_EQ(control.minor, 1);
    KC_CHECK_EQ(control.length, 8);
    KC_CHECK_EQ(kc_load_u32(control.payload + 4), 2);
    KC_CHECK_EQ(kc_pump_control(r.pump, &control), KC_EAGAIN);
    (void)reply("MAKE r2 c1009");
    KC_CHECK_EQ(kc_pump_reply(r.pump, r.conns[0], r.frame, (uint32_t)r.frame_bytes), KC_OK);
    KC_CHECK_EQ(kc_pump_reply(r.pump, r.conns[0], r.frame, (uint32_t)r.frame_bytes), KC_EINVAL);
    rig_run(&r);
    KC_CHECK_STR(rig_hear(&r, 0), "MAKE r2; PING r3 =0");
    KC_CHECK_EQ(kc_pump_control(r.pump, &control), KC_OK);
    KC_CHECK_EQ(control.cmd, KC_CMD_LIST);
    (void)reply("LIST r4");
    KC_CHECK_EQ(kc_pump_reply(r.pump, r.conns[0], r.frame, (uint32_t)r.frame_bytes), KC_OK);
    rig_run(&r);
    KC_CHECK_STR(rig_hear(&r, 0), "LIST r4; PING r5 =0");
    rig_free(&r);
}

KC_TEST(results_of_parked_requests_pass_the_barrier)
{
    open_two(NULL);
    rig_say(&r, 0, "RECV r1 c1002 t-1; MAKE r2");
    rig_say(&r, 1, "SEND r1 c1002 e:a");
    KC_CHECK_STR(rig_hear(&r, 0), "RECV r1 =0 e:a");
    rig_free(&r);
}

KC_TEST(a_reply_that_is_no_frame_or_comes_unasked_is_refused)
{
    open_two(NULL);
    (void)reply("PING r1");
    KC_CHECK_EQ(kc_pump_reply(r.pump, r.conns[0], r.frame, (uint32_t)r.frame_bytes), KC_EINVAL);
    KC_CHECK_EQ(kc_pump_resume(r.pump, r.conns[0]), KC_EINVAL);
    KC_CHECK_EQ(kc_pump_reply(r.pump, r.conns[0] + 7, r.frame, (uint32_t)r.frame_bytes), KC_ENOENT);
    rig_say(&r, 0, "MAKE r2");
    kc_control control;
    (void)reply("MAKE r2");
    KC_CHECK_EQ(kc_pump_reply(r.pump, r.conns[0], r.frame, (uint32_t)r.frame_bytes), KC_EINVAL); /* not given yet */
    KC_CHECK_EQ(kc_pump_control(r.pump, &control), KC_OK);
    KC_CHECK_EQ(kc_pump_reply(r.pump, r.conns[0], r.frame, (uint32_t)r.frame_bytes - 1), KC_EINVAL);
    KC_CHECK_EQ(kc_pump_reply(r.pump, r.conns[0], r.frame, 7), KC_EINVAL);
    KC_CHECK_EQ(kc_pump_reply(r.pump, r.conns[0], r.frame, (uint32_t)r.frame_bytes), KC_OK);
    rig_free(&r);
}

KC_TEST(control_frames_have_a_budget)
{
    open_two(&(kc_pump_config){.control_per_turn = 1});
    rig_say(&r, 0, "MAKE r1");
    rig_say(&r, 1, "MAKE r1");
    kc_control control;
    rig_run(&r);
    KC_CHECK_EQ(kc_pump_control(r.pump, &control), KC_OK);
    KC_CHECK_EQ(control.conn, r.conns[0]);
    KC_CHECK_EQ(kc_pump_control(r.pump, &control), KC_EAGAIN);
    rig_run(&r);
    KC_CHECK_EQ(kc_pump_control(r.pump, &control), KC_OK);
    KC_CHECK_EQ(control.conn, r.conns[1]);
    rig_free(&r);
}

/* ---- requests that are let go ---- */

KC_TEST(a_request_let_go_lives_until_it_is_finished)
{
    open_two(NULL);
    let_go(0, "OPEN r5 t-1; PING r6");
    KC_CHECK_STR(rig_hear(&r, 0), "PING r6 =0");
    (void)reply("OPEN r5");
    KC_CHECK_EQ(kc_pump_event(r.pump, r.conns[0], r.frame, (uint32_t)r.frame_bytes), KC_OK);
    KC_CHECK_EQ(kc_pump_finish(r.pump, r.conns[0], 6, r.frame, (uint32_t)r.frame_bytes), KC_ENOENT);
    KC_CHECK_EQ(kc_pump_finish(r.pump, r.conns[0], 5, r.frame, (uint32_t)r.frame_bytes), KC_OK);
    KC_CHECK_EQ(kc_pump_finish(r.pump, r.conns[0], 5, r.frame, (uint32_t)r.frame_bytes), KC_ENOENT);
    KC_CHECK_STR(rig_hear(&r, 0), "OPEN r5; OPEN r5");
    rig_say(&r, 0, "PING r5");
    KC_CHECK_STR(rig_hear(&r, 0), "PING r5 =0");
    rig_free(&r);
}

KC_TEST(a_live_request_that_was_let_go_keeps_its_id)
{
    open_two(NULL);
    let_go(0, "OPEN r5 t-1");
    rig_say(&r, 0, "PING r5");
    KC_CHECK_STR(rig_hear(&r, 0), "PING =-71");
    rig_free(&r);
}

KC_TEST(cancels_of_requests_let_go_are_handed_out_once_in_order)
{
    open_two(NULL);
    for (int i = 5; i < 9; i++) {
        char words[32];
        (void)snprintf(words, sizeof words, "OPEN r%d t-1", i);
        let_go(0, words);
    }
    rig_say(&r, 0, "CANCEL r7; CANCEL r5; CANCEL r7; CANCEL r8");
    (void)reply("OPEN r5");
    KC_CHECK_EQ(kc_pump_finish(r.pump, r.conns[0], 5, r.frame, (uint32_t)r.frame_bytes), KC_OK);
    kc_conn conn = 0;
    uint32_t req_id = 0;
    KC_CHECK_EQ(kc_pump_cancelled(r.pump, &conn, &req_id), KC_OK);
    KC_CHECK_EQ(conn, r.conns[0]);
    KC_CHECK_EQ(req_id, 7);
    KC_CHECK_EQ(kc_pump_cancelled(r.pump, &conn, &req_id), KC_OK);
    KC_CHECK_EQ(req_id, 8);
    KC_CHECK_EQ(kc_pump_cancelled(r.pump, &conn, &req_id), KC_EAGAIN);
    for (uint32_t i = 6; i < 9; i++) {
        KC_CHECK_EQ(kc_pump_finish(r.pump, r.conns[0], i, r.frame, (uint32_t)r.frame_bytes), KC_OK);
    }
    rig_free(&r);
}

KC_TEST(events_never_pile_up)
{
    open_two(&(kc_pump_config){.output_high_bytes = 64});
    let_go(0, "OPEN r5 t-1");
    (void)reply("OPEN r5 E:100");
    KC_CHECK_EQ(kc_pump_event(r.pump, r.conns[0], r.frame, (uint32_t)r.frame_bytes), KC_OK);
    KC_CHECK_EQ(kc_pump_event(r.pump, r.conns[0], r.frame, (uint32_t)r.frame_bytes), KC_EAGAIN);
    KC_CHECK_STR(rig_hear(&r, 0), "OPEN r5 E:100");
    (void)reply("OPEN r5");
    KC_CHECK_EQ(kc_pump_event(r.pump, r.conns[0], r.frame, (uint32_t)r.frame_bytes), KC_OK);
    KC_CHECK_EQ(kc_pump_finish(r.pump, r.conns[0], 5, r.frame, (uint32_t)r.frame_bytes), KC_OK);
    rig_free(&r);
}

/* ---- bad input: that connection only ---- */

static void ends_with(const char *bytes, size_t n, int32_t code, const char *heard)
{
    open_two(NULL);
    rig_say(&r, 1, "RECV r9 c1002 t-1");
    KC_CHECK_EQ(rig_feed(&r, 0, (const uint8_t *)bytes, n, 0), KC_OK);
    KC_CHECK_STR(rig_hear(&r, 0), heard);
    KC_CHECK_EQ(rig_closed(&r), code);
    KC_CHECK_EQ(kc_conn_feed(r.pump, r.conns[0], "", 0, 0), KC_ENOENT);
    rig_say(&r, 1, "SEND r1 c1002 e:x");
    KC_CHECK_STR(rig_hear(&r, 1), "SEND r1 =0; RECV r9 =0 e:x");
    rig_free(&r);
}

#define ENDS_WITH(bytes, code, heard) ends_with(bytes, sizeof(bytes) - 1, code, heard)

KC_TEST(malformed_frames_end_their_connection_with_eproto)
{
    ENDS_WITH("\0\x2a\x01\0\0\0\0\0", KC_EPROTO, "PING =-71");                          /* reserved header flags */
    ENDS_WITH("\0\x2a\0\0\0\0\0\0", KC_EPROTO, "PING =-71");                            /* no REQ_ID */
    ENDS_WITH("\0\x2a\0\0\0\0\0\x3" "\0\x1a\0", KC_EPROTO, "PING =-71");                /* half a head */
    ENDS_WITH("\0\x2a\0\0\0\0\0\x8" "\0\x1a\0\x5" "\0\0\0\1", KC_EPROTO, "PING =-71");  /* overruns */
    ENDS_WITH("\0\x2a\0\0\0\0\0\x4" "\x80\x99\0\0", KC_EPROTO, "PING =-71");            /* unknown and critical */
    ENDS_WITH("\0\x2a\0\0\0\0\0\x10" "\0\x1a\0\4\0\0\0\1" "\0\x1a\0\4\0\0\0\1", KC_EPROTO, "PING =-71"); /* twice */
    ENDS_WITH("\0\x2a\0\0\0\0\0\x7" "\0\x1a\0\3\0\0\1", KC_EPROTO, "PING =-71");        /* a scalar of 3 bytes */
    ENDS_WITH("\0\x26\0\0\0\0\0\x14" "\0\x1a\0\4\0\0\0\1" "\0\x41\0\x8\0\x41\0\4\0\x41\0\0", KC_EPROTO,
              "SELECT =-71");                                                          /* nested in nested */
    ENDS_WITH("\0\1\0\0\0\0\0\x10" "\0\1\0\4\0\0\0\1\0\2\0\4\0\0\0\1", KC_EPROTO, "HELLO =-71"); /* twice */
    ENDS_WITH("\0\x2a\0\1\0\0\0\x8" "\0\x1a\0\4\0\0\0\1", KC_EPROTO, "PING =-71");      /* a file that is not there */
}

KC_TEST(oversized_frames_end_their_connection_with_emsgsize)
{
    ENDS_WITH("\0\x0b\0\0\xff\xff\xff\xff", KC_EMSGSIZE, "SEND =-90");
    ENDS_WITH("\0\x0b\0\0\x01\x01\0\x01", KC_EMSGSIZE, "SEND =-90");
    ENDS_WITH("\0\x63\0\0\x80\0\0\0", KC_EMSGSIZE, "CMD99 =-90");
}

KC_TEST(frames_before_an_error_are_answered_and_those_after_it_are_not)
{
    open_two(NULL);
    rig_say(&r, 0, "SEND r1 c1001 e:a; PING r0; SEND r2 c1001 e:b");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r1 =0; PING =-71");
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_READY), 1);
    rig_free(&r);
}

KC_TEST(a_first_frame_other_than_hello_is_left_to_the_daemon)
{
    open_two(NULL);
    r.conn_count = 3;
    KC_REQUIRE(kc_conn_add(r.pump, -1, KC_TRANSPORT_STREAM, r.account, &r.conns[2]) == KC_OK);
    rig_say(&r, 2, "SEND r1 c1001 e:a");
    kc_control control;
    KC_CHECK_EQ(kc_pump_control(r.pump, &control), KC_OK);
    KC_CHECK_EQ(control.greeted, 0);
    KC_CHECK_EQ(control.cmd, KC_CMD_CHAN_SEND);
    (void)reply("SEND");
    KC_CHECK_EQ(kc_pump_reply(r.pump, r.conns[2], r.frame, (uint32_t)r.frame_bytes), KC_OK);
    KC_CHECK_EQ(kc_conn_close(r.pump, r.conns[2], KC_EPROTO), KC_OK);
    KC_CHECK_STR(rig_hear(&r, 2), "SEND");
    KC_CHECK_EQ(rig_closed(&r), KC_EPROTO);
    rig_free(&r);
}

int main(void)
{
    KC_RUN(a_control_frame_holds_back_what_follows_until_it_is_answered);
    KC_RUN(results_of_parked_requests_pass_the_barrier);
    KC_RUN(a_reply_that_is_no_frame_or_comes_unasked_is_refused);
    KC_RUN(control_frames_have_a_budget);
    KC_RUN(a_request_let_go_lives_until_it_is_finished);
    KC_RUN(a_live_request_that_was_let_go_keeps_its_id);
    KC_RUN(cancels_of_requests_let_go_are_handed_out_once_in_order);
    KC_RUN(events_never_pile_up);
    KC_RUN(malformed_frames_end_their_connection_with_eproto);
    KC_RUN(oversized_frames_end_their_connection_with_emsgsize);
    KC_RUN(frames_before_an_error_are_answered_and_those_after_it_are_not);
    KC_RUN(a_first_frame_other_than_hello_is_left_to_the_daemon);
    return kc_test_report();
}
