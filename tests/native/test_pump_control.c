/* test_pump_control.c: the control barrier, bad input, ends of connections, back-pressure, quotas, draining. */
#include "ipc/kc_pump_parts.h"
#include "kc_ipc_fixture.h"

static rig r;

static void open_two(const kc_pump_config *pump)
{
    rig_make(&r, NULL, pump);
    (void)rig_kind(&r, KC_KIND_BUFFERED, 4);
    (void)rig_kind(&r, KC_KIND_RENDEZVOUS, 0);
    (void)rig_open(&r, 1);
    (void)rig_open(&r, 1);
}

static const char *reply(const char *words)
{
    rig_build(&r, 1, words);
    return (const char *)r.frame;
}

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

static void let_go(int i, const char *words)
{
    kc_control control;
    rig_say(&r, i, words);
    KC_CHECK_EQ(kc_pump_control(r.pump, &control), KC_OK);
    KC_CHECK_EQ(kc_pump_resume(r.pump, r.conns[i]), KC_OK);
    rig_run(&r);
}

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

/* ---- back-pressure ---- */

KC_TEST(above_its_high_water_mark_a_connection_is_not_served_but_its_receives_match)
{
    open_two(&(kc_pump_config){.output_high_bytes = 40});
    rig_say(&r, 0, "RECV r9 c1002 t-1; PING r1; PING r2; PING r3; PING r4");
    kc_conn_info info;
    KC_CHECK_EQ(kc_conn_measure(r.pump, r.conns[0], &info), KC_OK);
    KC_CHECK_EQ(info.queued_bytes, 48);
    KC_CHECK_EQ(info.frames_in, 4); /* HELLO, RECV, PING, PING */
    rig_say(&r, 1, "SEND r1 c1002 e:x");
    KC_CHECK_STR(rig_hear(&r, 0), "PING r1 =0; PING r2 =0; RECV r9 =0 e:x; PING r3 =0; PING r4 =0");
    rig_free(&r);
}

static uint64_t account_bytes(uint32_t account)
{
    kc_account_usage usage;
    KC_REQUIRE(kc_account_measure(r.engine, account, &usage) == KC_OK);
    return usage.bytes;
}

static bool is_read(int i)
{
    return kc_pump_wants_input(r.pump, kc_conns_find(&r.pump->conns, r.conns[i]));
}

static void say_pings(int i, int n)
{
    kc_writer w;
    kc_writer_init(&w, r.frame, RIG_FRAME_BYTES, 1, UINT32_MAX);
    for (int ping = 1; ping <= n; ping++) {
        kc_frame_begin(&w, KC_CMD_PING, 0);
        kc_put_u32(&w, KC_ATTR_REQ_ID, (uint32_t)ping);
        KC_REQUIRE(kc_frame_finish(&w) == KC_OK);
    }
    KC_CHECK_EQ(rig_feed(&r, i, r.frame, w.length, 0), KC_OK);
}

KC_TEST(answers_that_nobody_reads_are_on_the_account_of_their_uid)
{
    open_two(NULL);
    say_pings(0, 2000);
    KC_CHECK_EQ(account_bytes(r.account), 0); /* 48,000 bytes in 65,536 are free */
    say_pings(0, 38000);
    uint64_t bytes = account_bytes(r.account);
    KC_CHECK(bytes >= 40000 * 24 - 65536 && bytes <= 1100000);
    KC_CHECK(is_read(0));
    KC_CHECK_EQ(rig_fetch(&r, 0), 40000 * 24);
    KC_CHECK_EQ(account_bytes(r.account), 0);
    rig_free(&r);
}

KC_TEST(whose_account_refuses_is_not_read_until_it_reads_and_never_ended)
{
    open_two(NULL);
    KC_CHECK_EQ(kc_account_limit(r.engine, r.account, &(kc_account_limits){.bytes = 300000}), KC_OK);
    say_pings(0, 20000);
    KC_CHECK(account_bytes(r.account) <= 300000);
    KC_CHECK(!is_read(0));
    KC_CHECK(is_read(1));
    say_pings(1, 1000); /* this one holds little */
    KC_CHECK(is_read(1));
    KC_CHECK_EQ(rig_fetch(&r, 1), 1000 * 24);
    KC_CHECK_EQ(rig_closed(&r), KC_EAGAIN);
    KC_CHECK_EQ(rig_fetch(&r, 0), 20000 * 24);
    KC_CHECK(is_read(0));
    KC_CHECK_EQ(account_bytes(r.account), 0);
    rig_free(&r);
}

KC_TEST(input_that_waits_is_on_the_account_and_half_a_frame_is_not)
{
    open_two(NULL);
    rig_say(&r, 0, "MAKE r9");
    say_pings(0, 20000);
    KC_CHECK(account_bytes(r.account) >= 320000 - 131072);
    kc_control control;
    KC_CHECK_EQ(kc_pump_control(r.pump, &control), KC_OK);
    (void)reply("MAKE r9");
    KC_CHECK_EQ(kc_pump_reply(r.pump, r.conns[0], r.frame, (uint32_t)r.frame_bytes), KC_OK);
    rig_run(&r);
    KC_CHECK_EQ(rig_fetch(&r, 0), 16 + 20000 * 24);
    KC_CHECK_EQ(account_bytes(r.account), 0);
    KC_CHECK_EQ(kc_account_limit(r.engine, r.account, &(kc_account_limits){.bytes = 1}), KC_OK);
    rig_say(&r, 0, "MAKE r9");
    say_pings(0, 20000);
    KC_CHECK(!is_read(0));
    rig_build(&r, 1, "SEND r1 c1001 E:65000");
    KC_CHECK_EQ(rig_feed(&r, 0, r.frame, r.frame_bytes - 1, 0), KC_OK);
    KC_CHECK_EQ(kc_pump_control(r.pump, &control), KC_OK);
    (void)reply("MAKE r9");
    KC_CHECK_EQ(kc_pump_reply(r.pump, r.conns[0], r.frame, (uint32_t)r.frame_bytes), KC_OK);
    rig_run(&r);
    KC_CHECK_EQ(rig_fetch(&r, 0), 16 + 20000 * 24);
    KC_CHECK(is_read(0)); /* only half a frame is left */
    rig_free(&r);
}

KC_TEST(messages_for_receives_that_nobody_pays_for_stay_in_their_blocks)
{
    enum { WAITING = 400, ELEMENT_BYTES = 10000 };
    for (uint32_t transport = 0; transport < 2; transport++) {
        rig_make(&r, NULL, NULL);
        (void)rig_kind(&r, KC_KIND_BUFFERED, WAITING);
        int sender = rig_open(&r, 1);
        uint32_t senders = r.account;
        KC_REQUIRE(kc_account_make(r.engine, &(kc_account_limits){.bytes = 1}, &r.account) == KC_OK);
        int receiver = rig_open_over(&r, 1, transport);
        char words[64];
        for (int i = 1; i <= WAITING; i++) {
            (void)snprintf(words, sizeof words, "RECV r%d c1001 t-1%s", i, i % 2 == 0 ? " n2" : "");
            rig_say(&r, receiver, words);
        }
        kc_pump_usage before;
        kc_pump_usage after;
        kc_pump_measure(r.pump, &before);
        for (int i = 1; i <= WAITING; i++) {
            (void)snprintf(words, sizeof words, "SEND r%d c1001 E:%d", i, ELEMENT_BYTES);
            rig_say(&r, sender, words);
            (void)rig_hear(&r, sender);
        }
        kc_pump_measure(r.pump, &after);
        KC_CHECK(after.memory_bytes - before.memory_bytes < 4 * 65536);
        KC_CHECK(account_bytes(senders) >= (WAITING - 20) * ELEMENT_BYTES);
        int items = 0;
        for (const char *at = rig_hear(&r, receiver); (at = strstr(at, "E:10000")) != NULL; at++) {
            items++;
        }
        KC_CHECK_EQ(items, WAITING);
        KC_CHECK_EQ(account_bytes(senders), 0);
        rig_free(&r);
    }
}

KC_TEST(a_turn_serves_so_many_frames_of_one_connection_and_no_more)
{
    open_two(&(kc_pump_config){.frames_per_turn = 2});
    rig_build(&r, 1, "PING r1; PING r2; PING r3; PING r4; PING r5");
    KC_CHECK_EQ(kc_conn_feed(r.pump, r.conns[0], r.frame, r.frame_bytes, 0), KC_OK);
    KC_CHECK_STR(rig_hear(&r, 0), "PING r1 =0; PING r2 =0; PING r3 =0; PING r4 =0; PING r5 =0");
    rig_free(&r);
}

/* ---- quotas ---- */

KC_TEST(a_refusal_by_quota_names_quota_limit_usage_and_setting)
{
    rig_make(&r, NULL, &(kc_pump_config){.requests_per_conn = 2});
    (void)rig_kind(&r, KC_KIND_RENDEZVOUS, 0);
    KC_CHECK_EQ(kc_account_limit(r.engine, r.account, &(kc_account_limits){.parked = 1, .bytes = 1 << 20}), KC_OK);
    (void)rig_open(&r, 1);
    rig_say(&r, 0, "RECV r1 c1001 t-1; RECV r2 c1001 t-1; MAKE r3");
    KC_CHECK_STR(rig_hear(&r, 0), "RECV r2 =-122 q:parked per uid s:limits.parked_per_uid");
    kc_control control;
    KC_CHECK_EQ(kc_pump_control(r.pump, &control), KC_OK);
    KC_CHECK_EQ(kc_pump_resume(r.pump, r.conns[0]), KC_OK);
    rig_run(&r);
    rig_say(&r, 0, "RECV r4 c1001 t0; MAKE r5");
    KC_CHECK_STR(rig_hear(&r, 0), "RECV r4 =-122 q:requests per connection s:limits.requests_per_connection; "
                                  "MAKE r5 =-122 q:requests per connection s:limits.requests_per_connection");
    rig_free(&r);
}

KC_TEST(limits_of_connections_may_change_for_those_that_are_there_and_those_that_come)
{
    rig_make(&r, NULL, NULL);
    (void)rig_kind(&r, KC_KIND_RENDEZVOUS, 0);
    (void)rig_open(&r, 1);
    rig_say(&r, 0, "RECV r1 c1001 t-1; RECV r2 c1001 t-1");
    KC_CHECK_STR(rig_hear(&r, 0), "");
    kc_pump_limit(r.pump, &(kc_pump_config){.parked_per_conn = 1});
    (void)rig_open(&r, 1);
    rig_say(&r, 0, "RECV r3 c1001 t-1");
    rig_say(&r, 1, "RECV r1 c1001 t-1; RECV r2 c1001 t-1");
    KC_CHECK_STR(rig_hear(&r, 0), "RECV r3 =-122 q:parked per connection s:limits.parked_per_connection");
    KC_CHECK_STR(rig_hear(&r, 1), "RECV r2 =-122 q:parked per connection s:limits.parked_per_connection");
    kc_pump_limit(r.pump, &(kc_pump_config){.requests_per_conn = 2});
    rig_say(&r, 0, "RECV r4 c1001 t-1");
    rig_say(&r, 1, "RECV r3 c1001 t-1; RECV r4 c1001 t-1");
    KC_CHECK_STR(rig_hear(&r, 0), "RECV r4 =-122 q:requests per connection s:limits.requests_per_connection");
    KC_CHECK_STR(rig_hear(&r, 1), "RECV r4 =-122 q:requests per connection s:limits.requests_per_connection");
    rig_free(&r);
}

KC_TEST(the_byte_quota_of_a_uid_is_charged_for_parked_sends)
{
    rig_make(&r, NULL, NULL);
    (void)rig_kind(&r, KC_KIND_RENDEZVOUS, 0);
    KC_CHECK_EQ(kc_account_limit(r.engine, r.account, &(kc_account_limits){.bytes = 100000}), KC_OK);
    (void)rig_open(&r, 1);
    rig_say(&r, 0, "SEND r1 c1001 t-1 E:60000; SEND r2 c1001 t-1 E:60000; SELECT r3 t-1 (c1001 E:60000)");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r2 =-122 q:bytes per uid s:limits.bytes_per_uid; "
                                  "SELECT r3 =-122 q:bytes per uid s:limits.bytes_per_uid");
    rig_say(&r, 0, "SEND r2 c1001 t-1 e:a E:40000 E:30000");
    KC_CHECK_STR(rig_hear(&r, 0), "SEND r2 =-122 q:bytes per uid s:limits.bytes_per_uid");
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_PARKED_SENDERS), 1);
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
    KC_RUN(the_end_of_input_cancels_flushes_and_closes);
    KC_RUN(the_end_of_input_in_the_middle_of_a_frame_is_a_reset);
    KC_RUN(at_the_end_of_input_requests_let_go_are_cancelled_too);
    KC_RUN(a_connection_that_ends_takes_its_waiters_and_its_handles_along);
    KC_RUN(a_stale_ticket_meets_nobody);
    KC_RUN(a_waiter_tells_its_connection);
    KC_RUN(above_its_high_water_mark_a_connection_is_not_served_but_its_receives_match);
    KC_RUN(answers_that_nobody_reads_are_on_the_account_of_their_uid);
    KC_RUN(whose_account_refuses_is_not_read_until_it_reads_and_never_ended);
    KC_RUN(input_that_waits_is_on_the_account_and_half_a_frame_is_not);
    KC_RUN(messages_for_receives_that_nobody_pays_for_stay_in_their_blocks);
    KC_RUN(a_turn_serves_so_many_frames_of_one_connection_and_no_more);
    KC_RUN(a_refusal_by_quota_names_quota_limit_usage_and_setting);
    KC_RUN(limits_of_connections_may_change_for_those_that_are_there_and_those_that_come);
    KC_RUN(the_byte_quota_of_a_uid_is_charged_for_parked_sends);
    KC_RUN(a_draining_pump_refuses_sends_and_finishes_receives);
    return kc_test_report();
}
