/* What waits otherwise than as a thread and was woken runs when it gets to: until then a thread reads for all, and
 * nothing that it sleeps on is closed. Fibres are threads here that a gate keeps from running.
 */
#include <fcntl.h>
#include <sched.h>

#include "client/kc_client.h"
#include "kc_client_peer.h"

static _Thread_local bool is_fibre;
static atomic_int sleeping; /* fibres that have gone to sleep on a descriptor */
static atomic_bool gate;    /* open: those that were woken run */

static void *fibre_self(void)
{
    return is_fibre ? kc_thread_waiting.self() : NULL;
}

static void fibre_wait(int fd)
{
    atomic_fetch_add(&sleeping, 1);
    while (!atomic_load(&gate)) {
        sched_yield();
    }
    KC_CHECK(fcntl(fd, F_GETFD) >= 0);
    kc_thread_waiting.wait(fd);
}

typedef struct stage {
    peer *p;
    kc_ipc_chan *chan;
    pthread_t fibre;
    kc_ipc_message message;
    int code;
} stage;

static void *receive(void *argument)
{
    stage *s = argument;
    is_fibre = true;
    s->code = kc_ipc_recv(s->chan, &s->message, NULL);
    return NULL;
}

/* A fibre receives with request 2, is the pilot and does not get to run. */
static void begin(stage *s)
{
    static kc_ipc_waiting waiting;
    kc_ipc_config config;
    *s = (stage){.p = peer_make(PEER_ROOM, &config)};
    atomic_store(&sleeping, 0);
    atomic_store(&gate, false);
    waiting = (kc_ipc_waiting){fibre_self, kc_thread_waiting.park, kc_thread_waiting.wake, fibre_wait};
    config.waiting = &waiting;
    config.connect_timeout_ms = 3600000; /* the timer rings only for what is tested */
    peer_open_as(config, s->p);
    s->chan = peer_channel(s->p, 1, 1001);
    KC_REQUIRE(pthread_create(&s->fibre, NULL, receive, s) == 0);
    while (atomic_load(&sleeping) == 0) {
        sched_yield();
    }
    peer_expect(s->p, KC_CMD_CHAN_RECV);
}

static void end(stage *s, int code)
{
    atomic_store(&gate, true);
    pthread_join(s->fibre, NULL);
    KC_CHECK_EQ(s->code, code);
    kc_ipc_message_free(&s->message);
    if (s->p->ipc != NULL) {
        uint64_t count;
        KC_CHECK_EQ(read(s->p->ipc->recall, &count, sizeof count), -1); /* who was recalled has heard it */
    }
    peer_hang_up(s->p);
    kc_ipc_chan_free(s->chan);
    peer_close(s->p);
}

static void *await_ping(void *argument)
{
    stage *s = argument;
    KC_CHECK_EQ(kc_ipc_ping(s->p->ipc), KC_OK);
    return NULL;
}

/* A thread's PING is answered; with `both` the fibre's receive before it. */
static void ping(stage *s, bool both)
{
    pthread_t thread;
    kc_frame_header header;
    kc_request request;
    KC_REQUIRE(pthread_create(&thread, NULL, await_ping, s) == 0);
    KC_REQUIRE(peer_await(s->p, &header, &request));
    if (both) {
        kc_put_bytes(peer_reply(s->p, KC_CMD_CHAN_RECV, 2, KC_OK), KC_ATTR_ELEMENT, "abc", 3);
        peer_end(s->p);
    }
    peer_answer(s->p, KC_CMD_PING, request.req_id, KC_OK);
    pthread_join(thread, NULL);
}

KC_TEST(what_a_thread_has_read_for_the_pilot_that_was_wakes_it)
{
    stage s;
    begin(&s);
    ping(&s, true);
    end(&s, KC_OK);
}

KC_TEST(the_pilot_that_was_reads_again_when_it_gets_to_run)
{
    stage s;
    begin(&s);
    ping(&s, false);
    ping(&s, false);
    kc_put_bytes(peer_reply(s.p, KC_CMD_CHAN_RECV, 2, KC_OK), KC_ATTR_ELEMENT, "abc", 3);
    peer_end(s.p);
    end(&s, KC_OK);
}

KC_TEST(nothing_is_closed_that_the_pilot_that_was_sleeps_on)
{
    stage s;
    begin(&s);
    ping(&s, false);
    kc_ipc_disconnect(s.p->ipc);
    s.p->ipc = NULL;
    end(&s, KC_EBADF);
}

int main(void)
{
    KC_RUN(what_a_thread_has_read_for_the_pilot_that_was_wakes_it);
    KC_RUN(the_pilot_that_was_reads_again_when_it_gets_to_run);
    KC_RUN(nothing_is_closed_that_the_pilot_that_was_sleeps_on);
    return kc_test_report();
}
