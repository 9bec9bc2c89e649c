/* Threads and coroutines that wait on one connection: a coroutine that is the pilot and does not get to run, because
 * its worker computes, holds up no thread; and it is the pilot again when no thread waits.
 */
#include <dirent.h>

#include "client/kc_client.h"
#include "kc_remote_peer.h"

enum { ROUNDS = 50, PATIENCE_NS = 1000000000 };

typedef struct stage {
    peer *p;
    kc_ipc_chan *chan;
    kc_sched *sched;
    kc_ipc_message message;
    int code;
    atomic_bool computes, released, gave_up;
} stage;

static atomic_int sleeping; /* times that a coroutine went to sleep on the connection */

static void sleep_counted(int fd)
{
    atomic_fetch_add(&sleeping, 1);
    kc_remote_waiting()->wait(fd);
}

static void receive(void *argument)
{
    stage *s = argument;
    s->code = kc_ipc_recv(s->chan, &s->message, NULL);
}

/* Keeps the worker until it is released; with a fault it gives up, so that all ends. */
static void compute(void *argument)
{
    stage *s = argument;
    int64_t until_ns = kc_client_now_ns() + 20 * (int64_t)PATIENCE_NS;
    atomic_store(&s->computes, true);
    while (!atomic_load(&s->released) && !atomic_load(&s->gave_up)) {
        atomic_store(&s->gave_up, kc_client_now_ns() > until_ns);
    }
}

static void await_true(const atomic_bool *flag)
{
    while (!atomic_load(flag)) {
        sched_yield();
    }
}

/* A coroutine receives and is the pilot, asleep. */
static void begin(stage *s)
{
    static kc_ipc_waiting waiting;
    const kc_sched_config workers = {.workers = 1};
    *s = (stage){.code = 1};
    waiting = *kc_remote_waiting();
    waiting.wait = sleep_counted;
    s->p = open_waiting(&waiting);
    s->chan = peer_channel(s->p, 1, 1001);
    atomic_store(&sleeping, 0);
    KC_REQUIRE(kc_sched_make(&workers, &s->sched) == KC_OK);
    KC_REQUIRE(kc_sched_spawn(s->sched, receive, s, NULL) == KC_OK);
    KC_CHECK_EQ(await_request(s->p), 2);
    while (atomic_load(&sleeping) == 0) {
        sched_yield();
    }
}

static void occupy(stage *s)
{
    KC_REQUIRE(kc_sched_spawn(s->sched, compute, s, NULL) == KC_OK);
    await_true(&s->computes);
}

static void answer_receive(stage *s)
{
    uint8_t bytes[512];
    peer_raw(s->p, bytes, make_answer(s->p, 2, bytes));
}

static void end(stage *s, int code)
{
    atomic_store(&s->released, true);
    KC_CHECK_EQ(kc_sched_drain(s->sched, KC_NEVER), KC_OK);
    KC_CHECK_EQ(s->code, code);
    kc_sched_free(s->sched);
    kc_ipc_message_free(&s->message);
    if (s->p->ipc != NULL) {
        uint64_t count;
        KC_CHECK_EQ(read(s->p->ipc->recall, &count, sizeof count), -1); /* who was recalled has heard it */
    }
    peer_hang_up(s->p);
    kc_ipc_chan_free(s->chan);
    peer_close(s->p);
}

static void *answer_pings(void *argument)
{
    stage *s = argument;
    kc_frame_header header;
    kc_request request;
    for (int i = 0; i < ROUNDS; i++) {
        KC_REQUIRE(peer_await(s->p, &header, &request));
        KC_CHECK_EQ(header.cmd, KC_CMD_PING);
        peer_answer(s->p, KC_CMD_PING, request.req_id, KC_OK);
    }
    return NULL;
}

static void ping(stage *s)
{
    pthread_t thread;
    KC_REQUIRE(pthread_create(&thread, NULL, answer_pings, s) == 0);
    for (int i = 0; i < ROUNDS; i++) {
        KC_CHECK_EQ(kc_ipc_ping(s->p->ipc), KC_OK);
    }
    pthread_join(thread, NULL);
}

KC_TEST(a_thread_does_not_wait_for_a_coroutine_that_does_not_get_to_run)
{
    stage s;
    begin(&s);
    occupy(&s);
    ping(&s);
    KC_CHECK(!atomic_load(&s.gave_up)); /* it computes still */
    answer_receive(&s);
    end(&s, KC_OK);
}

KC_TEST(a_thread_that_looks_sees_answers_while_the_pilot_does_not_get_to_run)
{
    stage s;
    kc_ipc_op *op;
    begin(&s);
    occupy(&s);
    KC_REQUIRE(kc_ipc_recv_begin(s.chan, 1, NULL, &op) == KC_OK);
    peer_expect(s.p, KC_CMD_CHAN_RECV);
    KC_CHECK_EQ(kc_ipc_op_ended(op), 0);
    peer_answer(s.p, KC_CMD_CHAN_RECV, 3, KC_EPIPE);
    KC_CHECK_EQ(kc_ipc_op_ended(op), 1);
    KC_CHECK_EQ(kc_ipc_op_wait(op, NULL), KC_EPIPE);
    kc_ipc_op_free(op);
    answer_receive(&s);
    end(&s, KC_OK);
}

KC_TEST(a_coroutine_is_the_pilot_again_when_no_thread_waits)
{
    stage s;
    begin(&s);
    for (int i = 0; i < 3; i++) {
        ping(&s);
    }
    answer_receive(&s); /* nobody else would read it */
    end(&s, KC_OK);
}

/* A thread may have read it, and then left. */
KC_TEST(a_coroutine_whose_answer_a_thread_has_read_hears_of_it)
{
    for (int i = 0; i < ROUNDS; i++) {
        stage s;
        begin(&s);
        answer_receive(&s);
        KC_CHECK_EQ(kc_ipc_step(s.p->ipc), KC_OK);
        end(&s, KC_OK);
    }
}

static int open_descriptors(void)
{
    int count = 0;
    DIR *all = opendir("/proc/self/fd");
    KC_REQUIRE(all != NULL);
    while (readdir(all) != NULL) {
        count++;
    }
    closedir(all);
    return count;
}

KC_TEST(what_is_disconnected_under_a_coroutine_that_was_recalled_is_shut_when_it_has_heard)
{
    stage s;
    int before = open_descriptors();
    begin(&s);
    occupy(&s);
    ping(&s);
    kc_ipc_disconnect(s.p->ipc);
    s.p->ipc = NULL;
    end(&s, KC_EBADF);
    KC_CHECK_EQ(open_descriptors(), before);
}

int main(void)
{
    KC_RUN(a_thread_does_not_wait_for_a_coroutine_that_does_not_get_to_run);
    KC_RUN(a_thread_that_looks_sees_answers_while_the_pilot_does_not_get_to_run);
    KC_RUN(a_coroutine_is_the_pilot_again_when_no_thread_waits);
    KC_RUN(a_coroutine_whose_answer_a_thread_has_read_hears_of_it);
    KC_RUN(what_is_disconnected_under_a_coroutine_that_was_recalled_is_shut_when_it_has_heard);
    return kc_test_report();
}
