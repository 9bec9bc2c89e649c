/* Threads on one engine, each with its own scope and port, each waiting on its port's descriptor: every message is
 * received exactly once, a cancelled one never, and the thread sanitizer has nothing to say. Nobody sleeps and nobody
 * measures time: whoever waits is woken by a result, or the test hangs and ctest ends it.
 * One file, because every race is run by the same crew. */
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include "kc_world.h"

enum { EACH = 2000, SENDERS = 2, RECEIVERS = 2, TOTAL = SENDERS * EACH };

typedef struct worker {
    pthread_t thread;
    kc_engine *e;
    kc_chan chan, other;
    kc_scope scope;
    uint32_t port, number;
    int fd;
    uint32_t flags;
    uint32_t ok, cancelled, closed;
    atomic_uint *seen; /* by value: how often it was received (acknowledged) */
    atomic_uint *sent; /* by value: 1 when its send said OK */
    _Atomic uint64_t *clock;
} worker;

typedef struct crew {
    kc_world w;
    worker workers[8];
    uint32_t count;
    atomic_uint seen[TOTAL + 1], sent[TOTAL + 1];
    _Atomic uint64_t clock;
} crew;

static crew *hire(void) {
    crew *c = calloc(1, sizeof *c);

    KC_REQUIRE(c != NULL);
    c->w = w_open();
    return c;
}

static worker *start(crew *c, void *(*work)(void *), kc_chan chan, kc_chan other, uint32_t flags) {
    worker *k = &c->workers[c->count];

    *k = (worker){.e = c->w.e, .chan = chan, .other = other, .flags = flags, .number = c->count++};
    k->seen = c->seen;
    k->sent = c->sent;
    k->clock = &c->clock;
    KC_REQUIRE(kc_port_open(k->e, &k->port) == KC_OK);
    KC_REQUIRE(kc_chan_waiter_scope_begin(k->e, 0, 0, NULL, &k->scope, NULL) == KC_OK);
    k->fd = kc_port_fd(k->e, k->port);
    KC_REQUIRE(k->fd >= 0);
    KC_REQUIRE(pthread_create(&k->thread, NULL, work, k) == 0);
    return k;
}

static void join(worker *k) { KC_REQUIRE(pthread_join(k->thread, NULL) == 0); }

/* Every worker has ended; nothing may be left of them. */
static void dismiss(crew *c) {
    for (uint32_t i = 0; i < c->count; i++) {
        (void)kc_chan_waiter_scope_end(c->w.e, c->workers[i].scope, KC_REASON_DEAD); /* some end themselves */
        KC_CHECK_EQ(kc_port_close(c->w.e, c->workers[i].port), KC_OK);
    }
    w_close(&c->w);
    free(c);
}

static void check_each_once(crew *c, uint32_t values) {
    for (uint32_t i = 0; i < values; i++)
        if (atomic_load(&c->seen[i]) != atomic_load(&c->sent[i]))
            KC_CHECK_EQ(atomic_load(&c->seen[i]), atomic_load(&c->sent[i]));
}

/* ---- what a worker does with the engine ---- */

static kc_result take(worker *k) {
    kc_result result;

    while (kc_port_take(k->e, k->port, &result, 1) == 0) {
        if (kc_port_arm(k->e, k->port) == 1) {
            struct pollfd ready = {.fd = k->fd, .events = POLLIN};
            uint64_t rings = 0;
            KC_REQUIRE(poll(&ready, 1, -1) == 1);
            KC_REQUIRE(read(k->fd, &rings, sizeof rings) == (ssize_t)sizeof rings);
        }
    }
    return result;
}

static kc_op op_of(worker *k, uint32_t flags) {
    return (kc_op){.scope = k->scope, .port = k->port, .deadline_ns = KC_NEVER, .flags = flags};
}

static kc_result send_value(worker *k, kc_chan chan, uint32_t value, uint32_t flags) {
    kc_op op = op_of(k, flags);
    kc_result result;

    return kc_chan_send(k->e, chan, &op, &value, sizeof value, &result) == KC_PARKED ? take(k) : result;
}

static kc_result receive(worker *k, kc_chan chan) {
    kc_op op = op_of(k, k->flags & (KC_OP_ACK | KC_OP_HOLD));
    kc_result result;

    return kc_chan_recv(k->e, chan, &op, NULL, 0, &result) == KC_PARKED ? take(k) : result;
}

/* The value of a received message, which is counted when the message is done. */
static uint32_t value_of(worker *k, kc_result *result) {
    uint32_t value = TOTAL;

    KC_CHECK_EQ(kc_body_copy(k->e, &result->body, 0, &value, sizeof value), KC_OK);
    if ((result->flags & KC_RESULT_HELD) == 0)
        kc_body_drop(k->e, &result->body);
    else if (kc_waiter_token_ack(k->e, k->scope, result->token) != KC_OK)
        KC_CHECK(false);
    KC_REQUIRE(value < TOTAL);
    atomic_fetch_add(&k->seen[value], 1);
    return value;
}

static void *send_all(void *arg) {
    worker *k = arg;

    for (uint32_t i = 0; i < EACH; i++) {
        uint32_t value = k->number * EACH + i;
        KC_CHECK_EQ(send_value(k, k->chan, value, k->flags & KC_OP_CONFIRM).code, KC_OK);
        atomic_store(&k->sent[value], 1);
    }
    return NULL;
}

static void *receive_until_closed(void *arg) {
    worker *k = arg;
    uint32_t last[SENDERS] = {0};
    kc_result result;

    while ((result = receive(k, k->chan)).code == KC_OK) {
        uint32_t value = value_of(k, &result);
        KC_CHECK(value % EACH + 1 > last[value / EACH]); /* of one sender, in order */
        last[value / EACH] = value % EACH + 1;
        k->ok++;
    }
    KC_CHECK_EQ(result.code, KC_EPIPE);
    return NULL;
}

static void senders_and_receivers(kc_chan_config config, uint32_t flags) {
    crew *c = hire();
    kc_chan chan = w_chan_of(&c->w, config);
    worker *senders[SENDERS];
    worker *receivers[RECEIVERS];
    uint32_t received = 0;

    for (int i = 0; i < SENDERS; i++)
        senders[i] = start(c, send_all, chan, 0, flags);
    for (int i = 0; i < RECEIVERS; i++)
        receivers[i] = start(c, receive_until_closed, chan, 0, flags);
    for (int i = 0; i < SENDERS; i++)
        join(senders[i]);
    KC_CHECK_EQ(kc_chan_close(c->w.e, chan), KC_OK);
    for (int i = 0; i < RECEIVERS; i++) {
        join(receivers[i]);
        received += receivers[i]->ok;
    }
    KC_CHECK_EQ(received, TOTAL);
    check_each_once(c, TOTAL);
    w_check(&c->w);
    dismiss(c);
}

KC_TEST(rendezvous_delivers_each_message_once) {
    senders_and_receivers((kc_chan_config){.kind = KC_KIND_RENDEZVOUS}, 0);
}

KC_TEST(a_buffer_delivers_each_message_once) {
    senders_and_receivers((kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 3}, 0);
}

KC_TEST(acknowledged_and_confirmed_messages_are_delivered_once) {
    senders_and_receivers((kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 3}, KC_OP_ACK | KC_OP_CONFIRM);
}

/* ---- select: a sender and a receiver, each over two channels ---- */

static void *select_sends(void *arg) {
    worker *k = arg;

    for (uint32_t i = 0; i < EACH; i++) {
        uint32_t value = k->number * EACH + i;
        kc_clause clauses[2] = {{.chan = k->chan, .dir = KC_CLAUSE_SEND}, {.chan = k->other, .dir = KC_CLAUSE_SEND}};
        kc_op op = op_of(k, 0);
        kc_result result;
        for (int n = 0; n < 2; n++)
            KC_REQUIRE(kc_body_make(k->e, 0, &value, sizeof value, &clauses[n].body, NULL) == KC_OK);
        if (kc_select(k->e, clauses, 2, &op, &result) == KC_PARKED)
            result = take(k);
        KC_CHECK_EQ(result.code, KC_OK);
        atomic_store(&k->sent[value], 1);
    }
    return NULL;
}

static void *select_receives(void *arg) {
    worker *k = arg;
    kc_result result;

    for (;;) {
        kc_clause clauses[2] = {{.chan = k->chan, .dir = KC_CLAUSE_RECV, .flags = KC_OP_ACK},
                                {.chan = k->other, .dir = KC_CLAUSE_RECV}};
        kc_op op = op_of(k, 0);
        if (kc_select(k->e, clauses, 2, &op, &result) == KC_PARKED)
            result = take(k);
        if (result.code != KC_OK)
            break;
        (void)value_of(k, &result);
        k->ok++;
    }
    KC_CHECK_EQ(result.code, KC_EPIPE);
    return NULL;
}

KC_TEST(selects_of_many_threads_meet_each_message_once) {
    crew *c = hire();
    kc_chan a = w_rendezvous(&c->w);
    kc_chan b = w_buffered(&c->w, 1);
    worker *one = start(c, select_sends, a, b, 0);
    worker *two = start(c, select_sends, b, a, 0);
    worker *three = start(c, select_receives, a, b, 0);
    worker *four = start(c, select_receives, b, a, 0);

    join(one);
    join(two);
    KC_CHECK_EQ(kc_chan_close(c->w.e, a), KC_OK);
    KC_CHECK_EQ(kc_chan_close(c->w.e, b), KC_OK);
    join(three);
    join(four);
    while (three->ok + four->ok < TOTAL && strcmp(w_try_text(&c->w, b), "(closed)") != 0)
        three->ok++; /* one that closed first has left what the other kept: none, or the buffer's last */
    KC_CHECK_EQ(three->ok + four->ok, TOTAL);
    w_check(&c->w);
    dismiss(c);
}

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

/* Sends long bodies and drops them again, and looks at their last bytes before. */
static void *fill_and_empty(void *arg) {
    enum { LENGTH = 300000, AT_ONCE = 8 };
    worker *k = arg;
    uint8_t *data = malloc(LENGTH);

    KC_REQUIRE(data != NULL);
    for (uint32_t i = 0; i < 60; i++) {
        kc_body bodies[AT_ONCE];
        memset(data, (int)(k->number * 64 + i), LENGTH);
        for (int n = 0; n < AT_ONCE; n++)
            KC_REQUIRE(kc_body_make(k->e, 0, data, LENGTH, &bodies[n], NULL) == KC_OK);
        for (int n = 0; n < AT_ONCE; n++) {
            uint8_t back[64];
            KC_CHECK_EQ(kc_body_copy(k->e, &bodies[n], LENGTH - 64, back, 64), KC_OK);
            KC_CHECK_MEM(back, data, 64);
            kc_body_drop(k->e, &bodies[n]);
        }
    }
    atomic_fetch_add(k->clock, 1);
    free(data);
    return NULL;
}

static void *trim_until_done(void *arg) {
    worker *k = arg;

    while (atomic_load(k->clock) < 2)
        (void)kc_engine_trim(k->e, 0, 1);
    return NULL;
}

KC_TEST(memory_that_goes_back_to_the_system_is_nobodys) {
    crew *c = hire();
    worker *workers[3] = {start(c, fill_and_empty, 0, 0, 0), start(c, fill_and_empty, 0, 0, 0),
                          start(c, trim_until_done, 0, 0, 0)};

    for (int i = 0; i < 3; i++)
        join(workers[i]);
    w_check(&c->w);
    dismiss(c);
}

int main(void) {
    KC_RUN(rendezvous_delivers_each_message_once);
    KC_RUN(a_buffer_delivers_each_message_once);
    KC_RUN(acknowledged_and_confirmed_messages_are_delivered_once);
    KC_RUN(selects_of_many_threads_meet_each_message_once);
    KC_RUN(a_cancel_that_races_a_match_loses_and_doubles_nothing);
    KC_RUN(what_was_accepted_before_the_close_is_received_once);
    KC_RUN(a_deadline_that_races_a_match_loses_and_doubles_nothing);
    KC_RUN(a_message_whose_holder_dies_is_acknowledged_once_by_another);
    KC_RUN(memory_that_goes_back_to_the_system_is_nobodys);
    return kc_test_report();
}
