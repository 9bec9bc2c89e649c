/* test_pump_pressure.c: what nobody reads, or nobody may pay for, is held back: high water, accounts, quotas. What is
 * shared between users over sockets: test_turn_shares.c. */
#include "ipc/kc_pump_parts.h"
#include "kc_pump_pair.h"

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

int main(void)
{
    KC_RUN(above_its_high_water_mark_a_connection_is_not_served_but_its_receives_match);
    KC_RUN(answers_that_nobody_reads_are_on_the_account_of_their_uid);
    KC_RUN(whose_account_refuses_is_not_read_until_it_reads_and_never_ended);
    KC_RUN(input_that_waits_is_on_the_account_and_half_a_frame_is_not);
    KC_RUN(messages_for_receives_that_nobody_pays_for_stay_in_their_blocks);
    KC_RUN(a_turn_serves_so_many_frames_of_one_connection_and_no_more);
    KC_RUN(a_refusal_by_quota_names_quota_limit_usage_and_setting);
    KC_RUN(limits_of_connections_may_change_for_those_that_are_there_and_those_that_come);
    KC_RUN(the_byte_quota_of_a_uid_is_charged_for_parked_sends);
    return kc_test_report();
}
