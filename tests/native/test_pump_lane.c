/* test_pump_lane.c: the lane of the usual frames answers as the general way does: the same requests are said twice,
 * with their attributes in the lane's order and in another, and every reply must be the same. */
#include "kc_ipc_fixture.h"

static rig usual, other;

static void open_both(int32_t kind, uint32_t capacity, uint32_t overflow)
{
    const kc_chan_config config = {.kind = kind, .capacity = capacity, .overflow = overflow};
    rig *rigs[] = {&usual, &other};
    for (int i = 0; i < 2; i++) {
        rig_make(rigs[i], NULL, NULL);
        (void)rig_channel(rigs[i], &config);
        (void)rig_open(rigs[i], 1);
        (void)rig_open(rigs[i], 1);
    }
}

static void check_both(int conn, const char *as_usual, const char *as_other)
{
    rig_say(&usual, conn, as_usual);
    rig_say(&other, conn, as_other);
    for (int i = 0; i < 2; i++) {
        KC_CHECK_STR(rig_hear(&usual, i), rig_hear(&other, i));
    }
}

static void close_both(void)
{
    rig_free(&usual);
    rig_free(&other);
}

static void talk(void)
{
    check_both(0, "SEND r1 c1001 t0 e:a", "SEND c1001 r1 t0 e:a");
    check_both(0, "SEND r2 c1001 t0 e:", "SEND t0 r2 c1001 e:");
    check_both(0, "SEND r3 c1001 t-1 e:bc", "SEND r3 t-1 c1001 e:bc");
    check_both(1, "RECV r1 c1001 t0", "RECV t0 c1001 r1");
    check_both(1, "RECV r2 c1001 t0; RECV r3 c1001 t0", "RECV c1001 r2 t0; RECV c1001 t0 r3");
    check_both(1, "RECV r4 c1001 t-1; RECV r5 c1001 t-1", "RECV c1001 r4 t-1; RECV c1001 r5 t-1");
    check_both(0, "SEND r4 c1001 t-1 e:later; SEND r6 c1001 t-1 e:x",
               "SEND c1001 r4 t-1 e:later; SEND c1001 r6 t-1 e:x");
    check_both(0, "SEND r7 c1002 t0 e:a; RECV r8 c1002 t0", "SEND c1002 r7 t0 e:a; RECV c1002 r8 t0");
}

KC_TEST(the_lane_answers_as_the_general_way_on_every_kind)
{
    const struct {
        int32_t kind;
        uint32_t capacity, overflow;
    } cases[] = {{KC_KIND_RENDEZVOUS, 0, 0}, {KC_KIND_BUFFERED, 1, 0}, {KC_KIND_BUFFERED, 8, 0},
                 {KC_KIND_BUFFERED, 1, KC_OVERFLOW_DROP_NEWEST}, {KC_KIND_BUFFERED, 1, KC_OVERFLOW_DROP_OLDEST},
                 {KC_KIND_CONFLATED, 0, 0}, {KC_KIND_UNLIMITED, 0, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        open_both(cases[i].kind, cases[i].capacity, cases[i].overflow);
        talk();
        close_both();
    }
}

KC_TEST(the_lane_answers_as_the_general_way_at_the_end_of_a_channel)
{
    open_both(KC_KIND_BUFFERED, 4, 0);
    check_both(0, "SEND r1 c1001 t0 e:last", "SEND c1001 r1 t0 e:last");
    KC_CHECK_EQ(kc_chan_close(usual.engine, usual.chans[0]), KC_OK);
    KC_CHECK_EQ(kc_chan_close(other.engine, other.chans[0]), KC_OK);
    check_both(0, "SEND r2 c1001 t0 e:x", "SEND c1001 r2 t0 e:x");
    check_both(1, "RECV r1 c1001 t-1; RECV r2 c1001 t-1", "RECV c1001 r1 t-1; RECV c1001 r2 t-1");
    close_both();
}

KC_TEST(a_request_id_that_is_zero_or_taken_ends_the_connection_on_both_ways)
{
    open_both(KC_KIND_RENDEZVOUS, 0, 0);
    check_both(0, "RECV r1 c1001 t-1; SEND r1 c1001 t0 e:x", "RECV c1001 r1 t-1; SEND c1001 r1 t0 e:x");
    KC_CHECK_EQ(rig_closed(&usual), KC_EPROTO);
    KC_CHECK_EQ(rig_closed(&other), KC_EPROTO);
    close_both();
    open_both(KC_KIND_RENDEZVOUS, 0, 0);
    check_both(0, "RECV r0 c1001 t-1", "RECV c1001 r0 t-1");
    close_both();
}

KC_TEST(a_right_that_lacks_is_answered_alike_on_both_ways)
{
    open_both(KC_KIND_BUFFERED, 4, 0);
    KC_CHECK_EQ(kc_conn_grant(usual.pump, usual.conns[0], 1001, usual.chans[0], KC_RIGHT_READ), KC_OK);
    KC_CHECK_EQ(kc_conn_grant(other.pump, other.conns[0], 1001, other.chans[0], KC_RIGHT_READ), KC_OK);
    check_both(0, "SEND r1 c1001 t0 e:x", "SEND c1001 r1 t0 e:x");
    close_both();
}

int main(void)
{
    KC_RUN(the_lane_answers_as_the_general_way_on_every_kind);
    KC_RUN(the_lane_answers_as_the_general_way_at_the_end_of_a_channel);
    KC_RUN(a_request_id_that_is_zero_or_taken_ends_the_connection_on_both_ways);
    KC_RUN(a_right_that_lacks_is_answered_alike_on_both_ways);
    return kc_test_report();
}
