/* Many coroutines that wait for a bound of their connection: each costs a number of steps that does not grow with
 * them. */
#include "client/kc_client.h"
#include "kc_remote_peer.h"

enum { MANY = 600, STEPS_EACH = 40, HOUR_MS = 3600000 };

typedef struct crowd {
    peer *p;
    kc_ipc_chan *chan;
    const kc_ipc_wish *wish;
    atomic_int done;
} crowd;

static void send_one(void *argument)
{
    crowd *all = argument;
    KC_CHECK_EQ(kc_ipc_send(all->chan, "abc", 3, all->wish), KC_OK);
    atomic_fetch_add(&all->done, 1);
}

/* Answers all; it goes on when all wait that can. */
static void *answer_all(void *argument)
{
    crowd *all = argument;
    kc_frame_header header;
    kc_request request;
    await_waiting(MANY);
    for (int i = 0; i < MANY; i++) {
        KC_REQUIRE(peer_await(all->p, &header, &request));
        peer_answer(all->p, KC_CMD_CHAN_SEND, request.req_id, KC_OK);
    }
    return NULL;
}

static void send_many_at(uint32_t max_requests, uint32_t max_chan_requests, const kc_ipc_wish *wish)
{
    const kc_sched_config workers = {.workers = 1};
    kc_ipc_waiting waiting = *kc_remote_waiting();
    crowd all = {.wish = wish};
    kc_sched *sched;
    pthread_t thread;
    waiting.self = counted_self;
    kc_ipc_config config;
    all.p = peer_make(PEER_ROOM, &config);
    config.waiting = &waiting;
    config.max_requests = max_requests;
    config.max_chan_requests = max_chan_requests;
    peer_open_as(config, all.p);
    all.chan = peer_channel(all.p, 1, 1001);
    atomic_store(&waiting_count, 0);
    all.p->ipc->steps = 0;
    KC_REQUIRE(pthread_create(&thread, NULL, answer_all, &all) == 0);
    KC_REQUIRE(kc_sched_make(&workers, &sched) == KC_OK);
    for (int i = 0; i < MANY; i++) {
        KC_REQUIRE(kc_sched_spawn(sched, send_one, &all, NULL) == KC_OK);
    }
    KC_CHECK_EQ(kc_sched_drain(sched, KC_NEVER), KC_OK);
    pthread_join(thread, NULL);
    kc_sched_free(sched);
    KC_CHECK_EQ(atomic_load(&all.done), MANY);
    KC_CHECK(all.p->ipc->steps >= MANY);
    KC_CHECK(all.p->ipc->steps < (uint64_t)MANY * STEPS_EACH);
    peer_hang_up(all.p);
    kc_ipc_chan_free(all.chan);
    peer_close(all.p);
}

KC_TEST(who_waits_for_the_connections_bound_costs_a_number_of_steps)
{
    send_many_at(4, MANY, NULL);
}

KC_TEST(who_waits_for_the_channels_bound_costs_a_number_of_steps)
{
    send_many_at(MANY, 4, NULL);
}

KC_TEST(who_waits_with_a_deadline_costs_a_number_of_steps)
{
    const kc_ipc_wish hour = {.timeout_ms = HOUR_MS};
    send_many_at(4, MANY, &hour);
    send_many_at(MANY, 4, &hour);
}

int main(void)
{
    KC_RUN(who_waits_for_the_connections_bound_costs_a_number_of_steps);
    KC_RUN(who_waits_for_the_channels_bound_costs_a_number_of_steps);
    KC_RUN(who_waits_with_a_deadline_costs_a_number_of_steps);
    return kc_test_report();
}
