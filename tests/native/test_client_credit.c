/* The bounds of a connection and of its channels, and the order of those who wait for them. */
#include <sched.h>

#include "client/kc_client.h"
#include "kc_client_peer.h"

enum { HOUR_MS = 3600000, SHORT_MS = 20, MS = 1000000, LARGE = 1000, SENDERS = 3 };

/* Whoever asks who it is waits from then on: it holds the connection's lock until it is among those who wait. */
static atomic_int asked_count;

static void *nobody(void)
{
    atomic_fetch_add(&asked_count, 1);
    return NULL; /* a thread */
}

static peer *open_bounded(kc_ipc_config bounds)
{
    static kc_ipc_waiting waiting;
    kc_ipc_config config;
    peer *p = peer_make(PEER_ROOM, &config);
    waiting = kc_thread_waiting;
    waiting.self = nobody;
    bounds.transport = config.transport;
    bounds.link = config.link;
    bounds.memory = config.memory;
    bounds.waiting = &waiting;
    peer_open_as(bounds, p);
    return p;
}

/* A thread that sends so many bytes, which say whose frame it is. */
typedef struct sender {
    kc_ipc_chan *chan;
    size_t bytes;
    int32_t timeout_ms;
    int code;
    pthread_t thread;
} sender;

static void *send_bytes(void *argument)
{
    static const uint8_t bytes[2 * LARGE];
    sender *one = argument;
    const kc_ipc_wish wish = {.timeout_ms = one->timeout_ms};
    one->code = kc_ipc_send(one->chan, bytes, one->bytes, &wish);
    return NULL;
}

/* It waits for a bound when this is over. */
static void begin_waiting(sender *one, kc_ipc_chan *chan, size_t bytes, int32_t timeout_ms)
{
    int before = atomic_load(&asked_count);
    *one = (sender){.chan = chan, .bytes = bytes, .timeout_ms = timeout_ms};
    KC_REQUIRE(pthread_create(&one->thread, NULL, send_bytes, one) == 0);
    while (atomic_load(&asked_count) == before) {
        sched_yield();
    }
}

/* The next SEND, waited for: its answer is what is returned, its bytes and what is left of its time are told. */
static uint32_t await_send(peer *p, size_t bytes, int32_t *timeout_ms_out)
{
    kc_frame_header header;
    kc_request request;
    KC_REQUIRE(peer_await(p, &header, &request));
    KC_CHECK_EQ(header.cmd, KC_CMD_CHAN_SEND);
    KC_CHECK_EQ(request.element_bytes, bytes);
    if (timeout_ms_out != NULL) {
        *timeout_ms_out = request.timeout_ms;
    }
    return request.req_id;
}

static kc_ipc_op *begin_send(kc_ipc_chan *chan, size_t bytes, int code)
{
    static const uint8_t zeros[2 * LARGE];
    const kc_ipc_payload payload = {.bytes = zeros, .length = bytes};
    kc_ipc_op *op = NULL;
    KC_CHECK_EQ(kc_ipc_send_begin(chan, &payload, 1, NULL, &op), code);
    return op;
}

static void end(peer *p, kc_ipc_chan *one, kc_ipc_chan *two, kc_ipc_op *op, kc_ipc_op *other)
{
    peer_hang_up(p);
    kc_ipc_op_free(op);
    kc_ipc_op_free(other);
    kc_ipc_chan_free(one);
    kc_ipc_chan_free(two);
    peer_close(p);
}

/* --- bounds of a channel ------------------------------------------------------------------------------------------ */

KC_TEST(the_bytes_in_flight_of_one_channel_have_a_bound_of_their_own)
{
    peer *p = open_bounded((kc_ipc_config){.max_chan_bytes = 3 * LARGE / 2});
    kc_ipc_chan *one = peer_channel(p, 1, 1001), *two = peer_channel(p, 2, 1002);
    kc_ipc_usage usage;
    kc_ipc_op *first = begin_send(one, LARGE, KC_OK);
    KC_CHECK(begin_send(one, LARGE, KC_EAGAIN) == NULL);
    kc_ipc_op *other = begin_send(two, LARGE, KC_OK);
    kc_ipc_measure(p->ipc, &usage);
    KC_CHECK_EQ(usage.requests, 2);
    end(p, one, two, first, other);
}

KC_TEST(one_that_is_longer_than_its_channels_bound_goes_alone)
{
    peer *p = open_bounded((kc_ipc_config){.max_chan_bytes = LARGE});
    kc_ipc_chan *one = peer_channel(p, 1, 1001);
    kc_ipc_op *first = begin_send(one, 2 * LARGE, KC_OK);
    KC_CHECK(begin_send(one, 1, KC_EAGAIN) == NULL);
    end(p, one, NULL, first, NULL);
}

/* --- order -------------------------------------------------------------------------------------------------------- */

KC_TEST(callers_of_a_channel_keep_their_order_and_channels_take_turns)
{
    peer *p = open_bounded((kc_ipc_config){.max_requests = 1, .max_chan_requests = SENDERS});
    kc_ipc_chan *one = peer_channel(p, 1, 1001), *two = peer_channel(p, 2, 1002);
    sender senders[SENDERS];
    const size_t order[SENDERS] = {1, 3, 2};
    kc_ipc_op *op = begin_send(one, 9, KC_OK);
    uint32_t req_id = await_send(p, 9, NULL);
    begin_waiting(&senders[0], one, 1, -1);
    begin_waiting(&senders[1], one, 2, -1);
    begin_waiting(&senders[2], two, 3, -1);
    for (int i = 0; i < SENDERS; i++) {
        peer_answer(p, KC_CMD_CHAN_SEND, req_id, KC_OK);
        req_id = await_send(p, order[i], NULL);
    }
    peer_answer(p, KC_CMD_CHAN_SEND, req_id, KC_OK);
    for (int i = 0; i < SENDERS; i++) {
        pthread_join(senders[i].thread, NULL);
        KC_CHECK_EQ(senders[i].code, KC_OK);
    }
    end(p, one, two, op, NULL);
}

KC_TEST(a_channel_whose_own_bound_is_tight_keeps_back_nobody_of_another)
{
    peer *p = open_bounded((kc_ipc_config){.max_requests = 2, .max_chan_requests = 1});
    kc_ipc_chan *one = peer_channel(p, 1, 1001), *two = peer_channel(p, 2, 1002);
    sender waits;
    kc_ipc_op *op = begin_send(one, 9, KC_OK);
    uint32_t first_id = await_send(p, 9, NULL);
    begin_waiting(&waits, one, 1, -1);
    kc_ipc_op *other = begin_send(two, 3, KC_OK);
    uint32_t other_id = await_send(p, 3, NULL);
    peer_answer(p, KC_CMD_CHAN_SEND, first_id, KC_OK);
    peer_answer(p, KC_CMD_CHAN_SEND, await_send(p, 1, NULL), KC_OK);
    pthread_join(waits.thread, NULL);
    KC_CHECK_EQ(waits.code, KC_OK);
    peer_answer(p, KC_CMD_CHAN_SEND, other_id, KC_OK);
    end(p, one, two, op, other);
}

/* --- time --------------------------------------------------------------------------------------------------------- */

KC_TEST(who_stood_behind_one_whose_time_is_over_goes_on_if_there_is_room)
{
    peer *p = open_bounded((kc_ipc_config){.max_bytes = 3 * LARGE / 2});
    kc_ipc_chan *one = peer_channel(p, 1, 1001), *two = peer_channel(p, 2, 1002);
    sender large, little;
    kc_ipc_op *op = begin_send(one, LARGE, KC_OK);
    uint32_t first_id = await_send(p, LARGE, NULL);
    begin_waiting(&large, one, LARGE, SHORT_MS);
    begin_waiting(&little, two, 1, -1);
    peer_answer(p, KC_CMD_CHAN_SEND, await_send(p, 1, NULL), KC_OK); /* the first one is under way still */
    pthread_join(large.thread, NULL);
    pthread_join(little.thread, NULL);
    KC_CHECK_EQ(large.code, KC_ETIME);
    KC_CHECK_EQ(little.code, KC_OK);
    peer_answer(p, KC_CMD_CHAN_SEND, first_id, KC_OK);
    end(p, one, two, op, NULL);
}

KC_TEST(the_daemon_is_told_what_the_wait_for_a_bound_has_left_of_the_time)
{
    peer *p = open_bounded((kc_ipc_config){.max_requests = 1});
    kc_ipc_chan *one = peer_channel(p, 1, 1001);
    sender waits;
    int32_t left_ms = 0;
    kc_ipc_op *op = begin_send(one, 9, KC_OK);
    uint32_t first_id = await_send(p, 9, NULL);
    begin_waiting(&waits, one, 1, HOUR_MS);
    for (int64_t until_ns = kc_client_now_ns() + 3 * MS; kc_client_now_ns() < until_ns;) {
    }
    peer_answer(p, KC_CMD_CHAN_SEND, first_id, KC_OK);
    peer_answer(p, KC_CMD_CHAN_SEND, await_send(p, 1, &left_ms), KC_OK);
    pthread_join(waits.thread, NULL);
    KC_CHECK(left_ms > 0 && left_ms <= HOUR_MS - 2);
    end(p, one, NULL, op, NULL);
}

/* --- deadlines in order ------------------------------------------------------------------------------------------- */

enum { DUES = 1000, STEPS_EACH = 40 };

/* 7 and 1000 have no common divisor: each time once, in no order. */
KC_TEST(deadlines_come_in_their_order_at_a_cost_that_grows_no_faster_than_they)
{
    peer *p = peer_open(PEER_ROOM);
    kc_ipc *ipc = p->ipc;
    static kc_due dues[DUES];
    int64_t never_ns = kc_client_now_ns() + (int64_t)HOUR_MS * MS;
    KC_REQUIRE(kc_client_enter(ipc));
    ipc->steps = 0;
    for (int i = 0; i < DUES; i++) {
        kc_due_set(ipc, &dues[i], never_ns + i * 7 % DUES);
    }
    for (int i = 0; i < DUES; i += 2) {
        kc_due_clear(ipc, &dues[i]); /* of every other one the answer came */
        kc_due_clear(ipc, &dues[i]);
    }
    for (int i = 0; i < DUES; i += 4) {
        kc_due_set(ipc, &dues[i], never_ns + DUES);
        kc_due_set(ipc, &dues[i], never_ns + i * 7 % DUES); /* nearer than before */
    }
    int64_t last_ns = 0;
    int count = 0;
    while (ipc->dues != NULL) {
        KC_CHECK(ipc->dues->at_ns >= last_ns);
        last_ns = ipc->dues->at_ns;
        kc_due_clear(ipc, ipc->dues);
        count++;
    }
    KC_CHECK_EQ(count, DUES / 2 + DUES / 4);
    KC_CHECK(ipc->steps < (uint64_t)DUES * STEPS_EACH);
    kc_client_leave(ipc);
    peer_close(p);
}

/* What stands there and has no deadline and owes nothing by the lists would be taken for one that has and does. */
KC_TEST(neither_a_deadline_nor_a_cancel_is_looked_for_in_the_table)
{
    peer *p = peer_open(PEER_ROOM);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    kc_ipc_op *op, *slow;
    const kc_ipc_wish hour = {.timeout_ms = HOUR_MS};
    kc_ipc_op decoy = {.req_id = 60, .deadline_ns = 1, .stage = KC_OP_SENT, .cancel_owed = true};
    KC_REQUIRE(kc_ipc_recv_begin(chan, 1, NULL, &op) == KC_OK);
    KC_REQUIRE(kc_ipc_recv_begin(chan, 1, &hour, &slow) == KC_OK);
    peer_expect(p, KC_CMD_CHAN_RECV);
    peer_expect(p, KC_CMD_CHAN_RECV);
    p->ipc->table[60] = &decoy;
    kc_client_enter(p->ipc);
    kc_client_arm(p->ipc, 1); /* the timer rings: nothing is due */
    kc_client_leave(p->ipc);
    KC_CHECK_EQ(kc_ipc_op_cancel(op), KC_OK);
    KC_CHECK_EQ(kc_ipc_step(p->ipc), KC_OK);
    KC_CHECK_EQ(peer_expect(p, KC_CMD_CANCEL), 2);
    peer_expect_nothing(p);
    p->ipc->table[60] = NULL;
    end(p, chan, NULL, op, slow);
}

static void *free_handle(void *chan)
{
    kc_ipc_chan_free(chan);
    return NULL;
}

/* Its memory is the caller's too, who stands in its queue. */
KC_TEST(a_handle_that_is_freed_while_another_waits_for_a_bound_outlives_the_wait)
{
    peer *p = open_bounded((kc_ipc_config){.max_requests = 1});
    kc_ipc_chan *full = peer_channel(p, 1, 1001), *freed = peer_channel(p, 2, 1002);
    kc_ipc_op *op;
    sender one;
    kc_frame_header header;
    kc_request request;
    pthread_t freeing;
    KC_REQUIRE(kc_ipc_recv_begin(full, 1, NULL, &op) == KC_OK);
    begin_waiting(&one, freed, 1, -1);
    KC_REQUIRE(kc_client_enter(p->ipc)); /* it waits now */
    kc_client_leave(p->ipc);
    long before = atomic_load(&memory_out);
    KC_REQUIRE(pthread_create(&freeing, NULL, free_handle, freed) == 0);
    do { /* before it was asked nothing is answered: the one that waits reads */
        KC_REQUIRE(peer_await(p, &header, &request));
    } while (header.cmd != KC_CMD_CHAN_RELEASE);
    peer_answer(p, KC_CMD_CHAN_RELEASE, request.req_id, KC_OK);
    pthread_join(freeing, NULL);
    KC_CHECK_EQ(atomic_load(&memory_out), before);
    peer_hang_up(p);
    pthread_join(one.thread, NULL);
    KC_CHECK_EQ(one.code, KC_ECONNRESET);
    kc_ipc_op_free(op);
    kc_ipc_chan_free(full);
    peer_close(p);
}

int main(void)
{
    KC_RUN(the_bytes_in_flight_of_one_channel_have_a_bound_of_their_own);
    KC_RUN(one_that_is_longer_than_its_channels_bound_goes_alone);
    KC_RUN(callers_of_a_channel_keep_their_order_and_channels_take_turns);
    KC_RUN(a_channel_whose_own_bound_is_tight_keeps_back_nobody_of_another);
    KC_RUN(who_stood_behind_one_whose_time_is_over_goes_on_if_there_is_room);
    KC_RUN(the_daemon_is_told_what_the_wait_for_a_bound_has_left_of_the_time);
    KC_RUN(deadlines_come_in_their_order_at_a_cost_that_grows_no_faster_than_they);
    KC_RUN(neither_a_deadline_nor_a_cancel_is_looked_for_in_the_table);
    KC_RUN(a_handle_that_is_freed_while_another_waits_for_a_bound_outlives_the_wait);
    return kc_test_report();
}
