/* A daemon's channel by the calls of kc_channel.h, against a scripted daemon. Built where the runtime is. */
#include <sched.h>

#include "kc_client_peer.h"
#include "kcoro/kc_remote.h"

static kc_channel *remote_channel(peer *p, uint32_t req_id, uint32_t chan_id, uint32_t elem_size)
{
    kc_ipc_chan *chan = NULL;
    kc_channel *channel = NULL;
    kc_writer *out = peer_reply(p, KC_CMD_CHAN_OPEN, req_id, KC_OK);
    kc_put_u32(out, KC_ATTR_CHAN_ID, chan_id);
    kc_put_u32(out, KC_ATTR_ELEM_SIZE, elem_size);
    peer_end(p);
    KC_REQUIRE(kc_ipc_open_id(p->ipc, chan_id, 0, &chan) == KC_OK);
    peer_expect(p, KC_CMD_CHAN_OPEN);
    KC_REQUIRE(kc_remote_channel(p->ipc, chan, &channel) == KC_OK);
    return channel;
}

static peer *open_waiting(const kc_ipc_waiting *waiting)
{
    peer *p = malloc(sizeof *p);
    KC_REQUIRE(p != NULL);
    atomic_store(&memory_until, -1);
    kc_ipc_config config = peer_pair(p, PEER_ROOM);
    config.waiting = waiting;
    return peer_open_as(config, p);
}

static peer *open_remote(void)
{
    return open_waiting(kc_remote_waiting());
}

KC_TEST(bytes_go_and_come_with_the_deadline_of_the_caller)
{
    peer *p = open_remote();
    kc_channel *channel = remote_channel(p, 1, 1001, 16);
    kc_frame_header header;
    kc_request request;
    uint8_t buffer[16];
    uint32_t length = 0;
    peer_answer(p, KC_CMD_CHAN_SEND, 2, KC_OK);
    KC_CHECK_EQ(kc_channel_send(channel, "ab", 2, kc_after_ns(1500000)), KC_OK);
    KC_REQUIRE(peer_next(p, &header, &request));
    KC_CHECK_EQ(request.chan_id, 1001);
    KC_CHECK(request.timeout_ms >= 1 && request.timeout_ms <= 2);
    kc_put_bytes(peer_reply(p, KC_CMD_CHAN_RECV, 3, KC_OK), KC_ATTR_ELEMENT, "xyz", 3);
    peer_end(p);
    KC_CHECK_EQ(kc_channel_recv(channel, buffer, sizeof buffer, &length, KC_NEVER), KC_OK);
    KC_REQUIRE(peer_next(p, &header, &request));
    KC_CHECK_EQ(request.timeout_ms, -1);
    KC_CHECK_EQ(length, 3);
    KC_CHECK_MEM(buffer, "xyz", 3);
    peer_answer(p, KC_CMD_CHAN_RECV, 4, KC_EAGAIN);
    KC_CHECK_EQ(kc_channel_try_recv(channel, buffer, sizeof buffer, &length), KC_EAGAIN);
    peer_answer(p, KC_CMD_CHAN_SEND, 5, KC_EAGAIN);
    KC_CHECK_EQ(kc_channel_send(channel, "ab", 2, 1), KC_ETIME); /* the deadline has passed */
    KC_CHECK_EQ(kc_channel_recv(channel, buffer, 15, &length, KC_NEVER), KC_EMSGSIZE);
    peer_answer(p, KC_CMD_CHAN_RELEASE, 6, KC_OK);
    kc_channel_drop(channel);
    peer_close(p);
}

KC_TEST(a_select_is_one_request_and_says_which_clause)
{
    peer *p = open_remote();
    kc_channel *one = remote_channel(p, 1, 1001, 16), *two = remote_channel(p, 2, 1002, 16);
    uint8_t buffer[16];
    uint32_t index = 9;
    kc_channel_clause clauses[] = {{.channel = one, .dir = KC_CLAUSE_SEND, .data = "s", .len_bytes = 1},
                                   {.channel = two, .dir = KC_CLAUSE_RECV, .buffer = buffer, .buffer_bytes = 16}};
    kc_writer *out = peer_reply(p, KC_CMD_SELECT, 3, KC_OK);
    kc_put_u32(out, KC_ATTR_INDEX, 1);
    kc_put_bytes(out, KC_ATTR_ELEMENT, "sel", 3);
    peer_end(p);
    KC_CHECK_EQ(kc_channel_select(clauses, 2, 0, KC_NEVER, NULL, &index), KC_OK);
    KC_CHECK_EQ(index, 1);
    KC_CHECK_EQ(clauses[1].len_bytes, 3);
    KC_CHECK_MEM(buffer, "sel", 3);
    kc_put_u32(peer_reply(p, KC_CMD_SELECT, 4, KC_EPIPE), KC_ATTR_INDEX, 0);
    peer_end(p);
    KC_CHECK_EQ(kc_channel_select(clauses, 2, 0, KC_NEVER, NULL, &index), KC_EPIPE);
    KC_CHECK_EQ(index, 0);
    peer_hang_up(p);
    kc_channel_drop(one);
    kc_channel_drop(two);
    peer_close(p);
}

/* --- coroutines --------------------------------------------------------------------------------------------------- */

typedef struct scene {
    peer *p;
    kc_channel *channel;
    kc_cancel *cancel;
    int code;
} scene;

static void receive_cancelled(void *arg)
{
    scene *s = arg;
    uint8_t buffer[16];
    s->code = kc_channel_recv_c(s->channel, buffer, sizeof buffer, NULL, KC_NEVER, s->cancel);
}

static void *answer_the_cancel(void *arg)
{
    scene *s = arg;
    kc_frame_header header;
    kc_request request;
    KC_REQUIRE(peer_await(s->p, &header, &request));
    KC_CHECK_EQ(header.cmd, KC_CMD_CHAN_RECV);
    uint32_t id = request.req_id;
    KC_CHECK_EQ(kc_cancel_trigger(s->cancel, 0), KC_OK);
    KC_REQUIRE(peer_await(s->p, &header, &request));
    KC_CHECK_EQ(header.cmd, KC_CMD_CANCEL);
    KC_CHECK_EQ(request.req_id, id);
    peer_answer(s->p, KC_CMD_CHAN_RECV, id, KC_ECANCELED);
    return NULL;
}

KC_TEST(a_cancel_of_the_runtime_cancels_in_the_daemon)
{
    peer *p = open_remote();
    scene s = {.p = p, .channel = remote_channel(p, 1, 1001, 16)};
    pthread_t server;
    kc_sched *sched = NULL;
    const kc_sched_config config = {.workers = 1};
    KC_REQUIRE(kc_cancel_make(NULL, &s.cancel) == KC_OK);
    KC_REQUIRE(pthread_create(&server, NULL, answer_the_cancel, &s) == 0);
    KC_REQUIRE(kc_sched_make(&config, &sched) == KC_OK);
    KC_REQUIRE(kc_sched_spawn(sched, receive_cancelled, &s, NULL) == KC_OK);
    KC_CHECK_EQ(kc_sched_drain(sched, KC_NEVER), KC_OK);
    pthread_join(server, NULL);
    KC_CHECK_EQ(s.code, KC_ECANCELED);
    kc_sched_free(sched);
    kc_cancel_drop(s.cancel);
    peer_hang_up(p);
    kc_channel_drop(s.channel);
    peer_close(p);
}

/* --- the user's gate: two coroutines of one worker wait, and the second of them is not the one that reads ------------- */

typedef struct couple {
    peer *p;
    kc_channel *channel;
    kc_sched *sched;
    kc_co *second;
    bool unparked_before; /* the second one, before it waits */
    bool apart;           /* the answers come one by one, else both at once */
    bool rescued;         /* somebody else ran while the second one was parked */
    bool rescued_first;   /* before its park returned */
    int codes[2];
    _Atomic bool second_done;
} couple;

static void receive_first(void *arg)
{
    couple *c = arg;
    uint8_t buffer[16];
    c->codes[0] = kc_channel_recv(c->channel, buffer, sizeof buffer, NULL, KC_NEVER);
}

static void rescue(void *arg)
{
    couple *c = arg;
    c->rescued = true;
    (void)kc_co_unpark(c->second); /* KC_EPIPE: it needed no rescue and has finished */
}

/* With one worker whoever is spawned runs when this one has left its stack, and not before. */
static void receive_second(void *arg)
{
    couple *c = arg;
    uint8_t buffer[16];
    c->second = kc_co_self();
    kc_co_keep(c->second);
    if (c->unparked_before) {
        KC_CHECK_EQ(kc_co_unpark(c->second), KC_OK);
    }
    c->codes[1] = kc_channel_recv(c->channel, buffer, sizeof buffer, NULL, KC_NEVER);
    KC_REQUIRE(kc_sched_spawn(c->sched, rescue, c, NULL) == KC_OK);
    KC_CHECK_EQ(kc_co_park(), KC_OK);
    c->rescued_first = c->rescued;
    atomic_store(&c->second_done, true);
}

static uint32_t await_request(peer *p)
{
    kc_frame_header header;
    kc_request request;
    KC_REQUIRE(peer_await(p, &header, &request));
    KC_CHECK_EQ(header.cmd, KC_CMD_CHAN_RECV);
    return request.req_id;
}

/* The answer's bytes; what peer_end would send. */
static size_t make_answer(peer *p, uint32_t req_id, uint8_t *bytes_out)
{
    kc_put_bytes(peer_reply(p, KC_CMD_CHAN_RECV, req_id, KC_OK), KC_ATTR_ELEMENT, "xyz", 3);
    KC_REQUIRE(kc_frame_finish(&p->writer) == KC_OK);
    memcpy(bytes_out, p->out, p->writer.length);
    return p->writer.length;
}

static void answer_couple(couple *c, uint32_t first_id, uint32_t second_id)
{
    uint8_t bytes[512];
    size_t length = make_answer(c->p, second_id, bytes);
    if (c->apart) {
        peer_raw(c->p, bytes, length);
        while (!atomic_load(&c->second_done)) {
            sched_yield();
        }
        length = 0;
    }
    length += make_answer(c->p, first_id, bytes + length);
    peer_raw(c->p, bytes, length);
}

static void run_couple(couple *c)
{
    const kc_sched_config config = {.workers = 1};
    c->p = open_remote();
    c->channel = remote_channel(c->p, 1, 1001, 16);
    KC_REQUIRE(kc_sched_make(&config, &c->sched) == KC_OK);
    KC_REQUIRE(kc_sched_spawn(c->sched, receive_first, c, NULL) == KC_OK);
    uint32_t first_id = await_request(c->p);
    KC_REQUIRE(kc_sched_spawn(c->sched, receive_second, c, NULL) == KC_OK);
    answer_couple(c, first_id, await_request(c->p));
    KC_CHECK_EQ(kc_sched_drain(c->sched, KC_NEVER), KC_OK);
    KC_CHECK_EQ(c->codes[0], KC_OK);
    KC_CHECK_EQ(c->codes[1], KC_OK);
    kc_co_drop(c->second);
    kc_sched_free(c->sched);
    peer_hang_up(c->p);
    kc_channel_drop(c->channel);
    peer_close(c->p);
}

KC_TEST(an_unpark_is_not_taken_by_a_wait_for_the_daemon)
{
    couple c = {.unparked_before = true, .apart = true};
    run_couple(&c);
    KC_CHECK(!c.rescued_first);
}

KC_TEST(after_a_wait_for_the_daemon_a_park_returns_only_when_somebody_unparks)
{
    couple c = {.unparked_before = false};
    run_couple(&c);
    KC_CHECK(c.rescued_first);
}

/* --- a coroutine that nobody schedules, within one that somebody does ------------------------------------------------- */

static void resume_within(void *arg)
{
    couple *c = arg;
    const kc_co_config config = {.fn = receive_first, .arg = c};
    kc_co *inner = NULL;
    KC_REQUIRE(kc_co_make(&config, &inner) == KC_OK);
    KC_CHECK_EQ(kc_co_resume(inner), KC_OK);
    KC_REQUIRE(kc_co_state_of(inner) == KC_CO_FINISHED);
    kc_co_drop(inner);
}

/* Whoever asks who it is waits from then on: it holds the connection's lock until it is among those who wait. */
static _Atomic int waiting_count;

static void *counted_self(void)
{
    atomic_fetch_add(&waiting_count, 1);
    return kc_remote_waiting()->self();
}

static void await_waiting(int count)
{
    while (atomic_load(&waiting_count) < count) {
        sched_yield();
    }
}

static void *wait_as_a_thread(void *arg)
{
    scene *s = arg;
    uint8_t buffer[16];
    s->code = kc_channel_recv(s->channel, buffer, sizeof buffer, NULL, KC_NEVER);
    return NULL;
}

KC_TEST(a_coroutine_that_nobody_schedules_blocks_its_thread_until_the_daemon_answers)
{
    kc_ipc_waiting waiting = *kc_remote_waiting();
    waiting.self = counted_self;
    couple c = {.p = open_waiting(&waiting), .codes = {1}};
    scene s = {.p = c.p, .channel = remote_channel(c.p, 1, 1001, 16)};
    const kc_sched_config config = {.workers = 1};
    pthread_t reader;
    uint8_t bytes[512];
    c.channel = s.channel;
    atomic_store(&waiting_count, 0);
    KC_REQUIRE(pthread_create(&reader, NULL, wait_as_a_thread, &s) == 0); /* so the inner one does not read itself */
    uint32_t reader_id = await_request(c.p);
    KC_REQUIRE(kc_sched_make(&config, &c.sched) == KC_OK);
    KC_REQUIRE(kc_sched_spawn(c.sched, resume_within, &c, NULL) == KC_OK);
    uint32_t inner_id = await_request(c.p);
    await_waiting(2);
    peer_raw(c.p, bytes, make_answer(c.p, inner_id, bytes));
    KC_CHECK_EQ(kc_sched_drain(c.sched, KC_NEVER), KC_OK);
    KC_CHECK_EQ(c.codes[0], KC_OK);
    peer_raw(c.p, bytes, make_answer(c.p, reader_id, bytes));
    pthread_join(reader, NULL);
    KC_CHECK_EQ(s.code, KC_OK);
    kc_sched_free(c.sched);
    peer_hang_up(c.p);
    kc_channel_drop(c.channel);
    peer_close(c.p);
}

/* --- in doubt --------------------------------------------------------------------------------------------------------- */

static void *take_one_and_hang_up(void *arg)
{
    peer *p = arg;
    kc_frame_header header;
    kc_request request;
    KC_CHECK(peer_await(p, &header, &request));
    peer_hang_up(p);
    return NULL;
}

enum { ASK_SEND, ASK_RECV, ASK_SELECT };

static int ask(kc_channel *channel, int what)
{
    uint8_t buffer[16];
    uint32_t index = 9;
    kc_channel_clause clause = {.channel = channel, .dir = KC_CLAUSE_SEND, .data = "s", .len_bytes = 1};
    return what == ASK_SEND   ? kc_channel_send(channel, "ab", 2, KC_NEVER)
           : what == ASK_RECV ? kc_channel_recv(channel, buffer, sizeof buffer, NULL, KC_NEVER)
                              : kc_channel_select(&clause, 1, 0, KC_NEVER, NULL, &index);
}

KC_TEST(what_the_daemon_may_have_done_is_told_from_what_never_left)
{
    for (int what = ASK_SEND; what <= ASK_SELECT; what++) {
        peer *p = open_remote();
        kc_channel *channel = remote_channel(p, 1, 1001, 16);
        pthread_t server;
        KC_REQUIRE(pthread_create(&server, NULL, take_one_and_hang_up, p) == 0);
        KC_CHECK_EQ(ask(channel, what), KC_EINPROGRESS);
        pthread_join(server, NULL);
        KC_CHECK_EQ(ask(channel, what), KC_ECONNRESET);
        kc_channel_drop(channel);
        peer_close(p);
    }
}

KC_TEST(a_channel_whose_elements_have_no_bound_is_refused)
{
    peer *p = open_remote();
    kc_ipc_chan *chan = peer_channel(p, 1, 1001); /* 16 MiB */
    kc_channel *channel;
    KC_CHECK_EQ(kc_remote_channel(p->ipc, chan, &channel), KC_EINVAL);
    KC_CHECK(channel == NULL);
    peer_free_channel(p, chan, 2);
    peer_close(p);
}

int main(void)
{
    KC_RUN(bytes_go_and_come_with_the_deadline_of_the_caller);
    KC_RUN(a_select_is_one_request_and_says_which_clause);
    KC_RUN(a_cancel_of_the_runtime_cancels_in_the_daemon);
    KC_RUN(an_unpark_is_not_taken_by_a_wait_for_the_daemon);
    KC_RUN(after_a_wait_for_the_daemon_a_park_returns_only_when_somebody_unparks);
    KC_RUN(a_coroutine_that_nobody_schedules_blocks_its_thread_until_the_daemon_answers);
    KC_RUN(what_the_daemon_may_have_done_is_told_from_what_never_left);
    KC_RUN(a_channel_whose_elements_have_no_bound_is_refused);
    return kc_test_report();
}
