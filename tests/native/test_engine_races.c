/* test_engine_races.c: threads of one engine cancel, close, tick and die while others match: what a sender was told and
 * what was received stay the same, and the thread sanitizer has nothing to say. */
#include "kc_crew.h"

/* ---- cancel racing a match ---- */

static void *send_and_cancel(void *arg) {
    worker *k = arg;

    for (uint32_t i = 0; i < EACH; i++) {
        uint32_t value = k->number * EACH + i;
        kc_op op = op_of(k, 0);
        kc_result result;
        int rc = kc_chan_send(k->e, k->chan, &op, &value, sizeof value, &result);
        if (rc == KC_PARKED) {
            rc = kc_waiter_token_cancel(k->e, result.token, KC_REASON_CANCEL, NULL);
            KC_CHECK(rc == KC_OK || rc == KC_EBUSY);
            rc = rc == KC_EBUSY ? take(k).code : KC_ECANCELED;
        }
        KC_CHECK(rc == KC_OK || rc == KC_ECANCELED);
        atomic_store(&k->sent[value], rc == KC_OK);
        k->ok += rc == KC_OK;
        k->cancelled += rc == KC_ECANCELED;
    }
    return NULL;
}

static void *receive_and_cancel(void *arg) {
    worker *k = arg;
    int rc = KC_OK;

    for (uint32_t i = 0; rc != KC_EPIPE; i++) {
        kc_op op = op_of(k, 0);
        kc_result result;
        rc = kc_chan_recv(k->e, k->chan, &op, NULL, 0, &result);
        if (rc == KC_PARKED && i % 2 == 0) {
            rc = kc_waiter_token_cancel(k->e, result.token, KC_REASON_CANCEL, NULL);
            k->cancelled += rc == KC_OK;
            if (rc == KC_OK)
                continue;
            result = take(k);
        } else if (rc == KC_PARKED) {
            result = take(k);
        }
        rc = result.code;
        if (rc == KC_OK)
            (void)value_of(k, &result);
    }
    return NULL;
}

static void cancel_race(kc_chan_config config) {
    crew *c = hire();
    kc_chan chan = w_chan_of(&c->w, config);
    worker *one = start(c, send_and_cancel, chan, 0, 0);
    worker *two = start(c, send_and_cancel, chan, 0, 0);
    worker *three = start(c, receive_and_cancel, chan, 0, 0);
    worker *four = start(c, receive_and_cancel, chan, 0, 0);

    join(one);
    join(two);
    KC_CHECK_EQ(kc_chan_close(c->w.e, chan), KC_OK);
    join(three);
    join(four);
    check_each_once(c, TOTAL);
    KC_CHECK_EQ(w_stat(&c->w, chan, KC_STAT_CANCELLED_CANCEL),
                one->cancelled + two->cancelled + three->cancelled + four->cancelled);
    KC_CHECK_EQ(w_stat(&c->w, chan, KC_STAT_TOTAL_SENDS), one->ok + two->ok);
    w_check(&c->w);
    dismiss(c);
}

KC_TEST(a_cancel_that_races_a_match_loses_and_doubles_nothing) {
    cancel_race((kc_chan_config){.kind = KC_KIND_RENDEZVOUS});
    cancel_race((kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 1});
}

/* ---- close racing sends; deadlines racing matches; death racing acks ---- */

static void *send_until_closed(void *arg) {
    worker *k = arg;

    for (uint32_t i = 0; i < EACH && k->closed == 0; i++) {
        uint32_t value = k->number * EACH + i;
        int code = send_value(k, k->chan, value, 0).code;
        KC_CHECK(code == KC_OK || code == KC_EPIPE);
        atomic_store(&k->sent[value], code == KC_OK);
        k->closed = code == KC_EPIPE;
    }
    return NULL;
}

static void *receive_then_close(void *arg) {
    worker *k = arg;
    kc_result result;

    while ((result = receive(k, k->chan)).code == KC_OK) {
        (void)value_of(k, &result);
        if (++k->ok == EACH / 4)
            KC_CHECK_EQ(kc_chan_close(k->e, k->chan), KC_OK);
    }
    KC_CHECK_EQ(result.code, KC_EPIPE);
    return NULL;
}

KC_TEST(what_was_accepted_before_the_close_is_received_once) {
    crew *c = hire();
    kc_chan chan = w_buffered(&c->w, 2);
    worker *workers[4] = {
        start(c, send_until_closed, chan, 0, 0), start(c, send_until_closed, chan, 0, 0),
        start(c, receive_then_close, chan, 0, 0), start(c, receive_then_close, chan, 0, 0)};

    for (int i = 0; i < 4; i++)
        join(workers[i]);
    check_each_once(c, TOTAL);
    w_check(&c->w);
    dismiss(c);
}

static void *send_with_deadlines(void *arg) {
    worker *k = arg;

    for (uint32_t i = 0; i < EACH; i++) {
        uint32_t value = k->number * EACH + i;
        kc_op op = op_of(k, 0);
        kc_result result;
        op.deadline_ns = (int64_t)atomic_load(k->clock) + 2;
        if (kc_chan_send(k->e, k->chan, &op, &value, sizeof value, &result) == KC_PARKED)
            result = take(k);
        KC_CHECK(result.code == KC_OK || result.code == KC_ETIME);
        atomic_store(&k->sent[value], result.code == KC_OK);
    }
    (void)kc_chan_close(k->e, k->chan);
    return NULL;
}

static void *receive_and_tick(void *arg) {
    worker *k = arg;
    int code = KC_OK;

    while (code != KC_EPIPE) {
        kc_op op = op_of(k, KC_OP_TRY);
        kc_result result;
        code = kc_chan_recv(k->e, k->chan, &op, NULL, 0, &result);
        if (code == KC_OK)
            (void)value_of(k, &result);
        (void)kc_engine_tick(k->e, (int64_t)atomic_fetch_add(k->clock, 1) + 1);
    }
    return NULL;
}

KC_TEST(a_deadline_that_races_a_match_loses_and_doubles_nothing) {
    crew *c = hire();
    kc_chan chan = w_rendezvous(&c->w);
    worker *one = start(c, send_with_deadlines, chan, 0, 0);
    worker *two = start(c, receive_and_tick, chan, 0, 0);

    join(one);
    join(two);
    check_each_once(c, TOTAL);
    w_check(&c->w);
    dismiss(c);
}

/* Receives with acks; every third message dies with the scope that holds it. */
static void *receive_and_die(void *arg) {
    worker *k = arg;
    kc_result result;

    for (uint32_t i = 1; (result = receive(k, k->chan)).code == KC_OK; i++) {
        if (i % 3 != 0) {
            (void)value_of(k, &result);
            continue;
        }
        KC_CHECK_EQ(kc_chan_waiter_scope_end(k->e, k->scope, KC_REASON_DEAD), KC_OK);
        KC_REQUIRE(kc_chan_waiter_scope_begin(k->e, 0, 0, NULL, &k->scope, NULL) == KC_OK);
    }
    KC_CHECK_EQ(result.code, KC_EPIPE);
    return NULL;
}

KC_TEST(a_message_whose_holder_dies_is_acknowledged_once_by_another) {
    crew *c = hire();
    kc_chan chan = w_buffered(&c->w, 4);
    worker *senders[2] = {start(c, send_all, chan, 0, 0), start(c, send_all, chan, 0, 0)};
    worker *receivers[2] = {start(c, receive_and_die, chan, 0, KC_OP_ACK),
                            start(c, receive_and_die, chan, 0, KC_OP_ACK)};

    join(senders[0]);
    join(senders[1]);
    KC_CHECK_EQ(kc_chan_close(c->w.e, chan), KC_OK);
    join(receivers[0]);
    join(receivers[1]);
    check_each_once(c, TOTAL);
    KC_CHECK_EQ(w_stat(&c->w, chan, KC_STAT_ACKS), TOTAL);
    w_check(&c->w);
    dismiss(c);
}

int main(void) {
    KC_RUN(a_cancel_that_races_a_match_loses_and_doubles_nothing);
    KC_RUN(what_was_accepted_before_the_close_is_received_once);
    KC_RUN(a_deadline_that_races_a_match_loses_and_doubles_nothing);
    KC_RUN(a_message_whose_holder_dies_is_acknowledged_once_by_another);
    return kc_test_report();
}
