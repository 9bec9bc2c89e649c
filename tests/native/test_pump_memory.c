/* test_pump_memory.c: every allocation of the pump and of the engine fails once;
 * and what idle and parked things cost. */
#include "kc_ipc_fixture.h"

static rig r;

static void answer_control(int i)
{
    kc_control control;
    while (kc_pump_control(r.pump, &control) == KC_OK) {
        if (control.req_id % 2 == 0) {
            (void)kc_pump_resume(r.pump, control.conn);
            continue;
        }
        char words[32];
        (void)snprintf(words, sizeof words, "MAKE r%u", (unsigned)control.req_id);
        rig_build(&r, 1, words);
        (void)kc_pump_reply(r.pump, control.conn, r.frame, (uint32_t)r.frame_bytes);
    }
    rig_run(&r);
    (void)i;
}

/* A bit of everything that allocates. Answers are not looked at: any may be a refusal, any connection may be lost. */
static void busy_day(void)
{
    rig_say(&r, 0, "SEND r1 c1001 e:abcd; RECV r2 c1001; RECV r3 c1001 t-1");
    rig_say(&r, 1, "SEND r1 c1002 t-1 e:a e:b e:c E:20000; RECV r2 c1003 t-1 n9; SELECT r3 t-1 (c1003) (c1002 e:x)");
    rig_say(&r, 2, "RECV r1 c1002 n9 f1; RECV r2 c1002; RECV r3 c1002; RECV r4 c1002 t-1; SEND r5 c1003 E:20000 e:z");
    rig_say(&r, 1, "SEND r10 c1003 t-1 E:70000 e:p E:17000; SEND r11 c1003 E:100 E:200 e:q; RECV r12 c1003 n100");
    rig_say(&r, 2, "MAKE r11; PING r12; OPEN r14; RECV r13 c1003 n9; LIST r16 E:9000");
    rig_say(&r, 1, "PING r15 E:90000");
    answer_control(2);
    answer_control(2);
    (void)rig_hear(&r, 2);
    rig_say(&r, 1, "SEND r20 c1002 t-1 e:1 e:2; SEND r21 c1002 t-1 e:3; SEND r22 c1002 t-1 e:4; "
                   "SEND r23 c1002 t-1 e:5; SEND r24 c1002 t-1 e:6; CANCEL r20; CANCEL r22");
    rig_say(&r, 2, "CANCEL r14; NACK #0; RECV r17 c1002; RECV r18 c1002 n3");
    (void)rig_hear(&r, 0);
    (void)rig_hear(&r, 1);
    kc_conn conn;
    uint32_t req_id;
    while (kc_pump_cancelled(r.pump, &conn, &req_id) == KC_OK) {
        rig_build(&r, 1, "OPEN r14");
        (void)kc_pump_finish(r.pump, conn, req_id, r.frame, (uint32_t)r.frame_bytes);
    }
    for (int i = 0; i < 3; i++) {
        (void)kc_conn_grant(r.pump, r.conns[i], (uint32_t)(2000 + i), r.chans[1], KC_RIGHT_READ);
        (void)kc_conn_grant(r.pump, r.conns[i], (uint32_t)(3000 + i), r.chans[1], KC_RIGHT_READ);
    }
}

static void open_office(void)
{
    rig_make(&r, NULL, NULL);
    (void)rig_channel(&r, &(kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 2, .flags = KC_CHAN_FIXED_SIZE,
                                            .elem_size = 4});
    (void)rig_kind(&r, KC_KIND_RENDEZVOUS, 0);
    (void)rig_kind(&r, KC_KIND_BUFFERED, 3);
    (void)rig_open(&r, 0);
    (void)rig_open(&r, 1);
    (void)rig_open(&r, 1);
    r.broken_allocs = true;
}

KC_TEST(the_nth_allocation_of_the_pump_fails_and_costs_a_connection_at_most)
{
    uint64_t n = 0;
    uint64_t made;
    do {
        open_office();
        (void)kc_pump_fail_alloc(r.pump, ++n);
        busy_day();
        made = kc_pump_fail_alloc(r.pump, 0);
        rig_free(&r);
    } while (n <= made && atomic_load(&kc_test_faults) == 0);
    KC_CHECK(n > 30);
}

KC_TEST(the_nth_allocation_of_the_engine_fails_and_is_an_answer)
{
    uint64_t n = 0;
    uint64_t made;
    do {
        open_office();
        (void)kc_engine_fail_alloc(r.engine, ++n);
        busy_day();
        made = kc_engine_fail_alloc(r.engine, 0);
        rig_free(&r);
    } while (n <= made && atomic_load(&kc_test_faults) == 0);
    KC_CHECK(n > 1);
}

KC_TEST(the_nth_allocation_fails_while_connections_are_added)
{
    rig_make(&r, NULL, NULL);
    for (uint64_t n = 1; n < 8; n++) {
        kc_conn conn = 0;
        (void)kc_pump_fail_alloc(r.pump, n);
        int code = kc_conn_add(r.pump, -1, KC_TRANSPORT_STREAM, r.account, &conn);
        (void)kc_pump_fail_alloc(r.pump, 0);
        KC_CHECK(code == KC_OK || code == KC_ENOMEM);
        if (code == KC_OK) {
            KC_CHECK_EQ(kc_conn_close(r.pump, conn, 0), KC_OK);
            rig_run(&r);
            KC_CHECK_EQ(rig_closed(&r), 0);
        }
    }
    rig_free(&r);
}

KC_TEST(the_table_of_connections_has_its_size)
{
    rig_make(&r, NULL, &(kc_pump_config){.connections = 2});
    (void)rig_open(&r, 1);
    (void)rig_open(&r, 1);
    kc_conn conn;
    KC_CHECK_EQ(kc_conn_add(r.pump, -1, KC_TRANSPORT_STREAM, r.account, &conn), KC_EDQUOT);
    KC_CHECK_EQ(kc_conn_add(r.pump, -1, 7, r.account, &conn), KC_EINVAL);
    KC_CHECK_EQ(kc_conn_close(r.pump, r.conns[1], 0), KC_OK);
    rig_run(&r);
    KC_CHECK_EQ(rig_closed(&r), 0);
    KC_CHECK_EQ(kc_conn_add(r.pump, -1, KC_TRANSPORT_STREAM, r.account, &r.conns[1]), KC_OK);
    rig_free(&r);
}

static uint64_t pump_bytes(void)
{
    kc_pump_usage usage;
    kc_pump_measure(r.pump, &usage);
    return usage.memory_bytes;
}

KC_TEST(an_idle_connection_costs_at_most_16_kib_whatever_it_did_before)
{
    rig_make(&r, NULL, NULL);
    (void)rig_kind(&r, KC_KIND_BUFFERED, 2000);
    uint64_t before = pump_bytes();
    (void)rig_open(&r, 1);
    char *script = malloc(100000);
    KC_REQUIRE(script != NULL);
    script[0] = 0;
    for (int i = 1; i < 1000; i++) {
        (void)sprintf(script + strlen(script), "RECV r%d c1001 t-1; ", i);
    }
    rig_say(&r, 0, script);
    (void)strcpy(script, "SEND r1000 c1001");
    for (int i = 1; i < 1000; i++) {
        (void)strcat(script, " E:100");
    }
    rig_say(&r, 0, script);
    free(script);
    rig_say(&r, 0, "SEND r1000 c1001 E:1000000; RECV r1001 c1001");
    KC_CHECK(rig_fetch(&r, 0) > 1100000);
    KC_CHECK(pump_bytes() - before <= 16384);
    rig_free(&r);
}

KC_TEST(a_parked_receive_costs_the_pump_at_most_64_bytes)
{
    rig_make(&r, NULL, NULL);
    (void)rig_kind(&r, KC_KIND_BUFFERED, 1);
    (void)rig_open(&r, 1);
    char *script = malloc(100000);
    KC_REQUIRE(script != NULL);
    script[0] = 0;
    for (int i = 1; i <= 1000; i++) {
        (void)sprintf(script + strlen(script), "RECV r%d c1001 t-1; ", i);
    }
    uint64_t before = pump_bytes();
    rig_say(&r, 0, script);
    KC_CHECK_EQ(rig_stat(&r, 0, KC_STAT_PARKED_RECEIVERS), 1000);
    KC_CHECK((pump_bytes() - before) / 1000 <= 64);
    free(script);
    rig_free(&r);
}

KC_TEST(a_hot_frame_allocates_nothing_once_it_is_warm)
{
    rig_make(&r, NULL, NULL);
    (void)rig_kind(&r, KC_KIND_RENDEZVOUS, 0);
    (void)rig_open(&r, 1);
    for (int i = 0; i < 3; i++) {
        (void)kc_pump_fail_alloc(r.pump, 0);
        rig_say(&r, 0, "RECV r1 c1001 t-1; SEND r2 c1001 e:x; RECV r1 c1001 t-1 f1; SELECT r3 (c1001 e:y); PING r4");
        rig_say(&r, 0, "RECV r5 c1001 t-1; RECV r6 c1001 t-1; CANCEL r5; CANCEL r6");
        (void)rig_hear(&r, 0);
        r.delivery_count = 0;
    }
    KC_CHECK_EQ(kc_pump_fail_alloc(r.pump, 0), 0);
    rig_free(&r);
}

int main(void)
{
    KC_RUN(the_nth_allocation_of_the_pump_fails_and_costs_a_connection_at_most);
    KC_RUN(the_nth_allocation_of_the_engine_fails_and_is_an_answer);
    KC_RUN(the_nth_allocation_fails_while_connections_are_added);
    KC_RUN(the_table_of_connections_has_its_size);
    KC_RUN(an_idle_connection_costs_at_most_16_kib_whatever_it_did_before);
    KC_RUN(a_parked_receive_costs_the_pump_at_most_64_bytes);
    KC_RUN(a_hot_frame_allocates_nothing_once_it_is_warm);
    return kc_test_report();
}
