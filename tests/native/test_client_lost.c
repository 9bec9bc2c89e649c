/* A connection that cannot send: for good it ends, as soon as what came was read; for want of memory it tries again. */
#include <sched.h>

#include "client/kc_client.h"
#include "kc_client_peer.h"

/* The pair's transport, whose sending fails so often with this code. */
static struct {
    atomic_int code;
    atomic_int left;
    atomic_int failed;
} broken;

static int64_t broken_send(void *link, const void *bytes, size_t length, const int *files, uint32_t file_count)
{
    if (atomic_load(&broken.left) != 0) {
        atomic_fetch_sub(&broken.left, 1);
        atomic_fetch_add(&broken.failed, 1);
        return atomic_load(&broken.code);
    }
    return kc_ipc_pair_transport()->send(link, bytes, length, files, file_count);
}

static void break_sending(int code, int times)
{
    atomic_store(&broken.failed, 0);
    atomic_store(&broken.code, code);
    atomic_store(&broken.left, times);
}

static atomic_int sleeping; /* times that a pilot went to sleep */

static void sleep_counted(int fd)
{
    atomic_fetch_add(&sleeping, 1);
    kc_thread_waiting.wait(fd);
}

static void *some_fibre(void)
{
    return kc_thread_waiting.self();
}

static peer *open_breakable(const kc_ipc_waiting *waiting)
{
    static kc_ipc_transport transport;
    kc_ipc_config config;
    peer *p = peer_make(PEER_ROOM, &config);
    break_sending(0, 0);
    transport = *kc_ipc_pair_transport();
    transport.send = broken_send;
    config.transport = &transport;
    config.waiting = waiting;
    config.connect_timeout_ms = 3600000; /* the timer rings only for what is tested */
    return peer_open_as(config, p);
}

static kc_ipc_op *begin_receive(peer *p, kc_ipc_chan *chan, uint32_t req_id)
{
    kc_ipc_op *op = NULL;
    KC_REQUIRE(kc_ipc_recv_begin(chan, 1, NULL, &op) == KC_OK);
    KC_CHECK_EQ(peer_expect(p, KC_CMD_CHAN_RECV), req_id);
    return op;
}

static void end(peer *p, kc_ipc_chan *chan, kc_ipc_op *op, kc_ipc_op *other)
{
    kc_ipc_op_free(op);
    kc_ipc_op_free(other);
    kc_ipc_chan_free(chan);
    peer_close(p);
}

KC_TEST(what_cannot_send_any_more_ends_when_what_came_was_read)
{
    peer *p = open_breakable(NULL);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    kc_ipc_result result;
    kc_ipc_op *answered = begin_receive(p, chan, 2), *open = begin_receive(p, chan, 3);
    kc_put_bytes(peer_reply(p, KC_CMD_CHAN_RECV, 2, KC_OK), KC_ATTR_ELEMENT, "abc", 3);
    peer_end(p);
    break_sending(KC_ECONNRESET, -1);
    KC_CHECK_EQ(kc_ipc_send(chan, "x", 1, NULL), KC_ECONNRESET);
    KC_CHECK_EQ(kc_ipc_op_wait(answered, &result), KC_OK);
    KC_REQUIRE(result.message_count == 1);
    KC_CHECK_MEM(result.messages[0].bytes, "abc", 3);
    kc_ipc_result_free(&result);
    KC_CHECK_EQ(kc_ipc_op_wait(open, &result), KC_ECONNRESET);
    KC_CHECK_EQ(result.flags, KC_IPC_IN_DOUBT);
    KC_CHECK_EQ(kc_ipc_try_send(chan, "x", 1), KC_ECONNRESET);
    end(p, chan, answered, open);
}

KC_TEST(a_try_on_what_cannot_send_any_more_says_that_it_has_ended)
{
    peer *p = open_breakable(NULL);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    break_sending(KC_ECONNRESET, -1);
    KC_CHECK_EQ(kc_ipc_try_send(chan, "x", 1), KC_ECONNRESET);
    end(p, chan, NULL, NULL);
}

static void *await_op(void *op)
{
    kc_ipc_op_wait(op, NULL);
    return NULL;
}

KC_TEST(a_pilot_that_sleeps_hears_that_another_could_not_send)
{
    const kc_ipc_waiting counted = {some_fibre, kc_thread_waiting.park, kc_thread_waiting.wake, sleep_counted};
    peer *p = open_breakable(&counted);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    kc_ipc_op *op = begin_receive(p, chan, 2), *other = NULL;
    pthread_t thread;
    atomic_store(&sleeping, 0);
    KC_REQUIRE(pthread_create(&thread, NULL, await_op, op) == 0);
    while (atomic_load(&sleeping) == 0) {
        sched_yield();
    }
    break_sending(KC_ECONNRESET, -1);
    KC_CHECK_EQ(kc_ipc_recv_begin(chan, 1, NULL, &other), KC_OK);
    pthread_join(thread, NULL);
    KC_CHECK_EQ(kc_ipc_op_wait(op, NULL), KC_ECONNRESET);
    KC_CHECK_EQ(kc_ipc_op_wait(other, NULL), KC_ECONNRESET);
    end(p, chan, op, other);
}

KC_TEST(a_pilot_that_sleeps_hears_that_its_operation_was_cancelled)
{
    const kc_ipc_waiting counted = {some_fibre, kc_thread_waiting.park, kc_thread_waiting.wake, sleep_counted};
    peer *p = open_breakable(&counted);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    kc_ipc_op *op = NULL, *large = NULL;
    kc_ipc_result result;
    static uint8_t bytes[2 * PEER_ROOM];
    const kc_ipc_payload filling = {.bytes = bytes, .length = sizeof bytes};
    pthread_t thread;
    KC_REQUIRE(kc_ipc_send_begin(chan, &filling, 1, NULL, &large) == KC_OK);
    KC_REQUIRE(kc_ipc_recv_begin(chan, 1, NULL, &op) == KC_OK); /* waits until there is room */
    atomic_store(&sleeping, 0);
    KC_REQUIRE(pthread_create(&thread, NULL, await_op, op) == 0);
    while (atomic_load(&sleeping) == 0) {
        sched_yield();
    }
    KC_CHECK_EQ(kc_ipc_op_cancel(op), KC_OK);
    pthread_join(thread, NULL);
    KC_CHECK_EQ(kc_ipc_op_wait(op, &result), KC_ECANCELED);
    KC_CHECK_EQ(result.flags, 0);
    peer_hang_up(p);
    end(p, chan, op, large);
}

KC_TEST(what_finds_no_memory_to_send_tries_again)
{
    enum { TIMES = 3 };
    peer *p = open_breakable(NULL);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    break_sending(KC_ENOMEM, TIMES);
    kc_ipc_op *op = NULL;
    const kc_ipc_payload payload = {.bytes = "ab", .length = 2};
    KC_REQUIRE(kc_ipc_send_begin(chan, &payload, 1, NULL, &op) == KC_OK);
    peer_expect_nothing(p);
    while (atomic_load(&broken.failed) < TIMES) { /* the timer alone tells when */
        kc_thread_waiting.wait(kc_ipc_handle(p->ipc));
        kc_client_enter(p->ipc);
        kc_client_move(p->ipc);
        kc_client_leave(p->ipc);
    }
    kc_thread_waiting.wait(kc_ipc_handle(p->ipc));
    KC_CHECK_EQ(kc_ipc_step(p->ipc), KC_OK);
    KC_CHECK_EQ(peer_expect(p, KC_CMD_CHAN_SEND), 2);
    peer_answer(p, KC_CMD_CHAN_SEND, 2, KC_OK);
    KC_CHECK_EQ(kc_ipc_op_wait(op, NULL), KC_OK);
    peer_hang_up(p);
    end(p, chan, op, NULL);
}

int main(void)
{
    KC_RUN(what_cannot_send_any_more_ends_when_what_came_was_read);
    KC_RUN(a_try_on_what_cannot_send_any_more_says_that_it_has_ended);
    KC_RUN(a_pilot_that_sleeps_hears_that_another_could_not_send);
    KC_RUN(a_pilot_that_sleeps_hears_that_its_operation_was_cancelled);
    KC_RUN(what_finds_no_memory_to_send_tries_again);
    return kc_test_report();
}
