/* The C client under coroutines of the runtime: a waiting one parks, its worker runs others, and one of them reads for all.
 * Built where the runtime is (KcTests.cmake): the client itself links none of it.
 */
#include "kc_client_peer.h"
#include "kcoro/kc_remote.h"
#include "kcoro/kc_sched.h"

enum { COROUTINES = 200, ROUNDS = 20, FIRST_CHAN = 1001 };

/* --- the peer answers what has come by then, the last one first ---------------------------------------------------- */

typedef struct asked {
    uint16_t cmd;
    uint32_t req_id;
    uint32_t chan_id;
} asked;

static void answer(peer *p, const asked *one)
{
    kc_writer *out = peer_reply(p, one->cmd, one->req_id, KC_OK);
    if (one->cmd == KC_CMD_CHAN_OPEN) {
        kc_put_u32(out, KC_ATTR_CHAN_ID, one->chan_id);
    } else if (one->cmd == KC_CMD_CHAN_RECV) {
        kc_put_bytes(out, KC_ATTR_ELEMENT, &one->chan_id, sizeof one->chan_id);
    }
    peer_end(p);
}

static void *serve(void *arg)
{
    peer *p = arg;
    kc_frame_header header;
    kc_request request;
    while (peer_await(p, &header, &request)) {
        asked all[64];
        int count = 0;
        do {
            all[count++] = (asked){header.cmd, request.req_id, request.chan_id};
        } while (count < 64 && peer_next(p, &header, &request));
        while (count-- > 0) {
            answer(p, &all[count]);
        }
    }
    return NULL;
}

/* --- users -------------------------------------------------------------------------------------------------------- */

static kc_ipc *shared;
static atomic_long received;

static void use(void *arg)
{
    uint32_t chan_id = FIRST_CHAN + (uint32_t)(intptr_t)arg;
    kc_ipc_chan *chan = NULL;
    kc_ipc_message message;
    KC_REQUIRE(kc_ipc_open_id(shared, chan_id, 0, &chan) == KC_OK);
    for (int i = 0; i < ROUNDS; i++) {
        KC_CHECK_EQ(kc_ipc_send(chan, &i, sizeof i, NULL), KC_OK);
        KC_REQUIRE(kc_ipc_recv(chan, &message, NULL) == KC_OK);
        KC_CHECK_MEM(message.bytes, &chan_id, sizeof chan_id);
        kc_ipc_message_free(&message);
        atomic_fetch_add(&received, 1);
    }
    kc_ipc_chan_free(chan);
}

static void *use_as_a_thread(void *arg)
{
    use(arg);
    return NULL;
}

static void run(uint32_t workers)
{
    peer *p = malloc(sizeof *p);
    pthread_t server, thread;
    kc_sched *sched = NULL;
    const kc_sched_config config = {.workers = workers};
    KC_REQUIRE(p != NULL);
    atomic_store(&memory_until, -1);
    kc_ipc_config wanted = peer_pair(p, PEER_ROOM);
    wanted.waiting = kc_remote_waiting();
    wanted.max_requests = 32; /* most of them wait for room */
    peer_open_as(wanted, p);
    shared = p->ipc;
    atomic_store(&received, 0);
    KC_REQUIRE(pthread_create(&server, NULL, serve, p) == 0);
    KC_REQUIRE(kc_sched_make(&config, &sched) == KC_OK);
    for (intptr_t i = 0; i < COROUTINES; i++) {
        KC_REQUIRE(kc_sched_spawn(sched, use, (void *)i, NULL) == KC_OK);
    }
    KC_REQUIRE(pthread_create(&thread, NULL, use_as_a_thread, (void *)(intptr_t)COROUTINES) == 0);
    KC_CHECK_EQ(kc_sched_drain(sched, KC_NEVER), KC_OK);
    pthread_join(thread, NULL);
    KC_CHECK_EQ(atomic_load(&received), (COROUTINES + 1) * ROUNDS);
    kc_sched_free(sched);
    kc_ipc_disconnect(p->ipc);
    p->ipc = NULL;
    pthread_join(server, NULL);
    peer_close(p);
}

KC_TEST(coroutines_of_one_worker_and_a_thread_share_a_connection)
{
    run(1);
}

KC_TEST(coroutines_of_two_workers_and_a_thread_share_a_connection)
{
    run(2);
}

int main(void)
{
    KC_RUN(coroutines_of_one_worker_and_a_thread_share_a_connection);
    KC_RUN(coroutines_of_two_workers_and_a_thread_share_a_connection);
    return kc_test_report();
}
