/* The calls of kc_ipc.h that wait for the daemon's answer, with a cancel: before they are asked, before they have left,
 * before they are answered, as they are answered, and when nobody answers. Built where the runtime is. */
#include "client/kc_client.h"
#include "kc_remote_peer.h"

typedef struct scene {
    peer *p;
    kc_cancel *cancel;
    kc_ipc_chan *chan;      /* that is asked about */
    kc_ipc_region *region;  /* the same; for what frees one */
    kc_ipc_chan *made;      /* what came of it */
    kc_ipc_region *region_made;
    kc_ipc_loan *loan;
    kc_ipc_result result;
    uint64_t stats[KC_STAT_END];
    uint32_t count;
    int32_t answer;         /* of the scripted daemon to what it was asked */
    int code;
} scene;

/* --- what is asked ------------------------------------------------------------------------------------------------ */

static int ask_make(scene *s)
{
    return kc_remote_make(s->p->ipc, "jobs", NULL, s->cancel, &s->made);
}

static int ask_open(scene *s)
{
    return kc_remote_open(s->p->ipc, "jobs", 0, -1, s->cancel, &s->made);
}

static int ask_try_open(scene *s)
{
    return kc_remote_open(s->p->ipc, "jobs", 0, 0, s->cancel, &s->made);
}

static int ask_open_id(scene *s)
{
    return kc_remote_open_id(s->p->ipc, 1002, 0, s->cancel, &s->made);
}

static int ask_close(scene *s)
{
    return kc_remote_close(s->chan, s->cancel);
}

static int ask_destroy(scene *s)
{
    return kc_remote_destroy(s->chan, "enough", s->cancel);
}

static int ask_purge(scene *s)
{
    return kc_remote_purge(s->chan, s->cancel, &s->count);
}

static int ask_statistics(scene *s)
{
    return kc_remote_statistics(s->chan, s->cancel, s->stats);
}

static int ask_ack(scene *s)
{
    const uint64_t delivery = 7;
    return kc_remote_ack(s->p->ipc, &delivery, 1, s->cancel);
}

static int ask_nack(scene *s)
{
    const uint64_t delivery = 7;
    return kc_remote_nack(s->p->ipc, &delivery, 1, s->cancel);
}

static int ask_region_make(scene *s)
{
    return kc_remote_region_make(s->p->ipc, 4096, s->cancel, &s->region_made);
}

static int ask_region_free(scene *s)
{
    int code = kc_remote_region_free(s->region, s->cancel);
    s->region = code == KC_OK ? NULL : s->region;
    return code;
}

static int ask_ping(scene *s)
{
    return kc_remote_ping(s->p->ipc, s->cancel);
}

static int ask_send_many(scene *s)
{
    const kc_ipc_payload two[] = {peer_ab, peer_ab};
    return kc_remote_send_many(s->chan, two, 2, NULL, s->cancel, &s->result);
}

static int ask_recv_many(scene *s)
{
    return kc_remote_recv_many(s->chan, 4, NULL, s->cancel, &s->result);
}

static int ask_op_wait(scene *s)
{
    kc_ipc_op *op;
    KC_REQUIRE(kc_ipc_recv_begin(s->chan, 1, NULL, &op) == KC_OK);
    int code = kc_remote_op_wait(op, s->cancel, &s->result);
    kc_ipc_op_free(op);
    return code;
}

typedef struct question {
    int (*ask)(scene *s);
    uint16_t cmd;
    bool counted; /* it waits for a bound too */
    bool result;  /* which says that it is in doubt, so the code need not */
} question;

static const question questions[] = {
    {ask_make, KC_CMD_CHAN_MAKE, false, false},
    {ask_open, KC_CMD_CHAN_OPEN, true, false},
    {ask_try_open, KC_CMD_CHAN_OPEN, false, false},
    {ask_open_id, KC_CMD_CHAN_OPEN, false, false},
    {ask_close, KC_CMD_CHAN_CLOSE, false, false},
    {ask_destroy, KC_CMD_CHAN_DESTROY, false, false},
    {ask_purge, KC_CMD_CHAN_PURGE, false, false},
    {ask_statistics, KC_CMD_GET_STATS, false, false},
    {ask_ack, KC_CMD_ACK, false, false},
    {ask_nack, KC_CMD_NACK, false, false},
    {ask_region_make, KC_CMD_REGION_ADD, false, false},
    {ask_region_free, KC_CMD_REGION_DROP, false, false},
    {ask_ping, KC_CMD_PING, false, false},
    {ask_send_many, KC_CMD_CHAN_SEND, true, true},
    {ask_recv_many, KC_CMD_CHAN_RECV, true, true},
    {ask_op_wait, KC_CMD_CHAN_RECV, true, true},
};
enum { QUESTIONS = sizeof questions / sizeof *questions };

/* --- the daemon --------------------------------------------------------------------------------------------------- */

static void answer(peer *p, uint16_t cmd, uint32_t req_id, int32_t code)
{
    const uint8_t numbers[16] = {0};
    kc_writer *out = peer_reply(p, cmd, req_id, code);
    if (code == KC_OK) {
        switch (cmd) {
        case KC_CMD_CHAN_MAKE:
        case KC_CMD_CHAN_OPEN: kc_put_u32(out, KC_ATTR_CHAN_ID, 1002); break;
        case KC_CMD_CHAN_PURGE: kc_put_u32(out, KC_ATTR_COUNT, 3); break;
        case KC_CMD_CHAN_SEND: kc_put_u32(out, KC_ATTR_COUNT, 2); break;
        case KC_CMD_GET_STATS: kc_put_bytes(out, KC_ATTR_NUMBERS, numbers, sizeof numbers); break;
        case KC_CMD_REGION_ADD: kc_put_u64(out, KC_ATTR_REGION_ID, 5); break;
        case KC_CMD_CHAN_RECV: kc_put_bytes(out, KC_ATTR_ELEMENT, "xyz", 3); break;
        default: break;
        }
    }
    peer_end(p);
}

/* The id that the client's next request will have: nobody else asks. */
static uint32_t next_id(const peer *p)
{
    return p->ipc->last_id + 1;
}

static uint32_t await_cmd(peer *p, uint16_t cmd)
{
    kc_frame_header header;
    kc_request request;
    KC_REQUIRE(peer_await(p, &header, &request));
    KC_CHECK_EQ(header.cmd, cmd);
    return request.req_id;
}

/* --- scenes ------------------------------------------------------------------------------------------------------- */

static scene begin_as(const kc_ipc_waiting *waiting, uint32_t max_requests, size_t room, int32_t grace_ms)
{
    kc_ipc_config config;
    scene s = {.p = peer_make(room, &config)};
    config.waiting = waiting;
    config.max_requests = max_requests;
    config.grace_ms = grace_ms;
    peer_open_as(config, s.p);
    s.chan = peer_channel(s.p, 1, 1001);
    answer(s.p, KC_CMD_REGION_ADD, 2, KC_OK);
    KC_REQUIRE(kc_ipc_region_make(s.p->ipc, 4096, &s.region) == KC_OK);
    peer_expect(s.p, KC_CMD_REGION_ADD);
    KC_REQUIRE(kc_cancel_make(NULL, &s.cancel) == KC_OK);
    return s;
}

static scene begin(void)
{
    return begin_as(kc_remote_waiting(), 0, PEER_ROOM, 0);
}

static bool has_nothing(const scene *s)
{
    return s->made == NULL && s->region_made == NULL && s->result.message_count == 0 && s->count == 0;
}

static void end(scene *s)
{
    kc_ipc_result_free(&s->result);
    if (s->p->link != NULL) {
        peer_hang_up(s->p);
    }
    kc_ipc_step(s->p->ipc);
    kc_ipc_chan_free(s->made);
    kc_ipc_chan_free(s->chan);
    kc_ipc_region_free(s->region_made);
    kc_ipc_region_free(s->region);
    kc_cancel_drop(s->cancel);
    peer_close(s->p);
}

/* --- tests -------------------------------------------------------------------------------------------------------- */

KC_TEST(with_a_cancel_that_is_set_not_a_byte_is_written)
{
    for (int i = 0; i < QUESTIONS - 1; i++) { /* the last one has begun before its call */
        scene s = begin();
        KC_REQUIRE(kc_cancel_trigger(s.cancel, 0) == KC_OK);
        KC_CHECK_EQ(questions[i].ask(&s), KC_ECANCELED);
        KC_CHECK(has_nothing(&s));
        peer_expect_nothing(s.p);
        end(&s);
    }
}

KC_TEST(without_a_cancel_they_are_what_they_are_without_one)
{
    for (int i = 0; i < QUESTIONS; i++) {
        for (int refused = 0; refused < 2; refused++) {
            scene s = begin();
            int32_t code = refused != 0 ? KC_EACCES : KC_OK;
            kc_cancel_drop(s.cancel);
            s.cancel = NULL;
            answer(s.p, questions[i].cmd, next_id(s.p), code);
            KC_CHECK_EQ(questions[i].ask(&s), code);
            peer_expect(s.p, questions[i].cmd);
            peer_expect_nothing(s.p);
            end(&s);
        }
    }
}

/* Whatever it answers, it answers after it was told of the cancel. */
static void *answer_the_cancel(void *arg)
{
    scene *s = arg;
    kc_frame_header header;
    kc_request request;
    KC_REQUIRE(peer_await(s->p, &header, &request));
    uint16_t cmd = header.cmd;
    uint32_t id = request.req_id;
    KC_CHECK_EQ(kc_cancel_trigger(s->cancel, 0), KC_OK);
    KC_CHECK_EQ(await_cmd(s->p, KC_CMD_CANCEL), id);
    answer(s->p, cmd, id, s->answer);
    return NULL;
}

/* It answers, and somebody cancels while the answer is on its way. */
static void *answer_and_cancel(void *arg)
{
    scene *s = arg;
    kc_frame_header header;
    kc_request request;
    KC_REQUIRE(peer_await(s->p, &header, &request));
    answer(s->p, header.cmd, request.req_id, s->answer);
    KC_CHECK_EQ(kc_cancel_trigger(s->cancel, 0), KC_OK);
    return NULL;
}

static void ask_against(scene *s, const question *asked, void *(*daemon)(void *))
{
    pthread_t server;
    KC_REQUIRE(pthread_create(&server, NULL, daemon, s) == 0);
    s->code = asked->ask(s);
    pthread_join(server, NULL);
}

KC_TEST(what_the_daemon_cancelled_did_not_happen)
{
    for (int i = 0; i < QUESTIONS; i++) {
        scene s = begin();
        s.answer = KC_ECANCELED;
        ask_against(&s, &questions[i], answer_the_cancel);
        KC_CHECK_EQ(s.code, KC_ECANCELED);
        KC_CHECK(has_nothing(&s));
        KC_CHECK(s.region != NULL);
        peer_expect_nothing(s.p);
        end(&s);
    }
}

static bool came(const scene *s, uint16_t cmd)
{
    switch (cmd) {
    case KC_CMD_CHAN_MAKE:
    case KC_CMD_CHAN_OPEN: return s->made != NULL && s->made->info.chan_id == 1002;
    case KC_CMD_CHAN_PURGE: return s->count == 3;
    case KC_CMD_CHAN_SEND: return s->result.count == 2;
    case KC_CMD_CHAN_RECV: return s->result.message_count == 1;
    case KC_CMD_REGION_ADD: return s->region_made != NULL;
    case KC_CMD_REGION_DROP: return s->region == NULL;
    default: return true;
    }
}

/* And the rights of a handle go back to the daemon once. */
static void give_back_what_came(scene *s)
{
    kc_frame_header header;
    kc_request request;
    if (s->made == NULL) {
        return;
    }
    answer(s->p, KC_CMD_CHAN_RELEASE, next_id(s->p), KC_OK);
    kc_ipc_chan_free(s->made);
    s->made = NULL;
    KC_REQUIRE(peer_next(s->p, &header, &request));
    if (header.cmd == KC_CMD_CANCEL) { /* which was overtaken by the answer, or not */
        KC_REQUIRE(peer_next(s->p, &header, &request));
    }
    KC_CHECK_EQ(header.cmd, KC_CMD_CHAN_RELEASE);
    KC_CHECK_EQ(request.chan_id, 1002);
    peer_expect_nothing(s->p);
}

KC_TEST(what_the_daemon_had_done_before_the_cancel_came_has_happened)
{
    for (int i = 0; i < QUESTIONS; i++) {
        for (int late = 0; late < 2; late++) {
            scene s = begin();
            s.answer = KC_OK;
            ask_against(&s, &questions[i], late != 0 ? answer_the_cancel : answer_and_cancel);
            KC_CHECK_EQ(s.code, KC_OK);
            KC_CHECK(came(&s, questions[i].cmd));
            give_back_what_came(&s);
            end(&s);
        }
    }
}

typedef struct asking {
    scene *s;
    const question *asked;
} asking;

static void *ask_it(void *arg)
{
    asking *a = arg;
    a->s->code = a->asked->ask(a->s);
    return NULL;
}

/* Until it waits; cancels it; until it has ended. */
static void cancel_who_waits(scene *s, const question *asked)
{
    pthread_t client;
    asking a = {s, asked};
    atomic_store(&waiting_count, 0);
    KC_REQUIRE(pthread_create(&client, NULL, ask_it, &a) == 0);
    await_waiting(1);
    KC_CHECK_EQ(kc_cancel_trigger(s->cancel, 0), KC_OK);
    pthread_join(client, NULL);
}

static kc_ipc_waiting counted_waiting(void)
{
    kc_ipc_waiting waiting = *kc_remote_waiting();
    waiting.self = counted_self;
    return waiting;
}

KC_TEST(what_waits_for_room_in_the_socket_is_cancelled_without_a_word)
{
    const kc_ipc_waiting waiting = counted_waiting();
    for (int i = 0; i < QUESTIONS; i++) {
        scene s = begin_as(&waiting, 0, 64, 0);
        kc_ipc_op *first;
        kc_frame_header header;
        kc_request request;
        KC_REQUIRE(kc_ipc_send_begin(s.chan, &peer_large, 1, NULL, &first) == KC_OK);
        cancel_who_waits(&s, &questions[i]);
        KC_CHECK_EQ(s.code, KC_ECANCELED);
        KC_CHECK(has_nothing(&s));
        while (!peer_next(s.p, &header, &request)) { /* the first one goes on piece by piece */
            KC_CHECK_EQ(kc_ipc_op_ended(first), 0);
        }
        KC_CHECK_EQ(request.element_bytes, sizeof peer_zeros);
        KC_CHECK_EQ(kc_ipc_step(s.p->ipc), KC_OK);
        peer_expect_nothing(s.p);
        peer_answer(s.p, KC_CMD_CHAN_SEND, request.req_id, KC_OK);
        KC_CHECK_EQ(kc_ipc_op_wait(first, NULL), KC_OK);
        kc_ipc_op_free(first);
        end(&s);
    }
}

KC_TEST(what_waits_for_a_bound_is_cancelled_without_a_word)
{
    const kc_ipc_waiting waiting = counted_waiting();
    for (int i = 0; i < QUESTIONS - 1; i++) { /* the last one has begun before its call */
        if (questions[i].counted) {
            scene s = begin_as(&waiting, 1, PEER_ROOM, 0);
            kc_ipc_op *first;
            kc_ipc_usage usage;
            KC_REQUIRE(kc_ipc_recv_begin(s.chan, 1, NULL, &first) == KC_OK);
            peer_expect(s.p, KC_CMD_CHAN_RECV);
            cancel_who_waits(&s, &questions[i]);
            KC_CHECK_EQ(s.code, KC_ECANCELED);
            peer_expect_nothing(s.p);
            kc_ipc_measure(s.p->ipc, &usage);
            KC_CHECK_EQ(usage.requests, 1);
            KC_CHECK_EQ(usage.callers, 0);
            KC_CHECK_EQ(questions[i].ask(&s), KC_ECANCELED); /* and with one that is set does not begin to wait */
            peer_hang_up(s.p);
            kc_ipc_op_free(first);
            end(&s);
        }
    }
}

static void *take_one_and_hang_up(void *arg)
{
    scene *s = arg;
    kc_frame_header header;
    kc_request request;
    KC_CHECK(peer_await(s->p, &header, &request));
    KC_CHECK_EQ(kc_cancel_trigger(s->cancel, 0), KC_OK);
    peer_hang_up(s->p);
    return NULL;
}

/* A region goes with its connection, so that it is freed is sure. */
static int code_in_doubt(const question *asked)
{
    return asked->cmd == KC_CMD_REGION_DROP ? (int)KC_OK : asked->result ? (int)KC_ECONNRESET : (int)KC_EINPROGRESS;
}

KC_TEST(what_the_daemon_may_have_done_before_it_went_away_is_told_from_what_never_left)
{
    for (int i = 0; i < QUESTIONS; i++) {
        scene s = begin();
        ask_against(&s, &questions[i], take_one_and_hang_up);
        KC_CHECK_EQ(s.code, code_in_doubt(&questions[i]));
        KC_CHECK(has_nothing(&s));
        KC_CHECK_EQ(s.result.flags, questions[i].result ? KC_IPC_IN_DOUBT : 0);
        end(&s);
    }
    for (int i = 0; i < QUESTIONS - 1; i++) {
        scene s = begin();
        peer_hang_up(s.p);
        kc_ipc_step(s.p->ipc);
        KC_CHECK_EQ(questions[i].ask(&s), questions[i].cmd == KC_CMD_REGION_DROP ? KC_OK : KC_ECONNRESET);
        KC_CHECK(has_nothing(&s));
        end(&s);
    }
}

static void *cancel_and_say_nothing(void *arg)
{
    scene *s = arg;
    kc_frame_header header;
    kc_request request;
    KC_CHECK(peer_await(s->p, &header, &request));
    KC_CHECK_EQ(kc_cancel_trigger(s->cancel, 0), KC_OK);
    KC_CHECK_EQ(await_cmd(s->p, KC_CMD_CANCEL), request.req_id);
    return NULL;
}

KC_TEST(a_daemon_that_says_nothing_to_a_cancel_costs_the_connection_after_the_grace)
{
    for (int i = 0; i < QUESTIONS; i++) {
        scene s = begin_as(kc_remote_waiting(), 0, PEER_ROOM, 20);
        ask_against(&s, &questions[i], cancel_and_say_nothing);
        KC_CHECK_EQ(s.code, code_in_doubt(&questions[i]));
        KC_CHECK(has_nothing(&s));
        end(&s);
    }
}

static int ask_a_long_batch(scene *s)
{
    const kc_ipc_payload both[] = {peer_ab, {.loan = s->loan}}; /* bytes and ranges do not go in one frame */
    return kc_remote_send_many(s->chan, both, 2, NULL, s->cancel, &s->result);
}

static void *settle_the_first_and_cancel(void *arg)
{
    scene *s = arg;
    uint32_t id = await_cmd(s->p, KC_CMD_CHAN_SEND);
    KC_CHECK_EQ(kc_cancel_trigger(s->cancel, 0), KC_OK);
    KC_CHECK_EQ(await_cmd(s->p, KC_CMD_CANCEL), id);
    peer_answer(s->p, KC_CMD_CHAN_SEND, id, KC_OK);
    return NULL;
}

KC_TEST(a_batch_that_is_cancelled_between_its_frames_says_how_much_was_sent_and_the_rest_is_not)
{
    const question batch = {ask_a_long_batch, KC_CMD_CHAN_SEND, true, true};
    scene s = begin();
    KC_REQUIRE(kc_ipc_loan_take(s.region, 16, &s.loan) == KC_OK);
    ask_against(&s, &batch, settle_the_first_and_cancel);
    KC_CHECK_EQ(s.code, KC_OK);
    KC_CHECK_EQ(s.result.count, 1);
    KC_CHECK_EQ(s.result.flags, 0);
    peer_expect_nothing(s.p);
    memset(kc_ipc_loan_bytes(s.loan), 1, 16); /* the caller's as before */
    kc_ipc_loan_give(s.loan);
    end(&s);
}

/* --- as a coroutine ----------------------------------------------------------------------------------------------- */

static void opens(void *arg)
{
    scene *s = arg;
    s->code = ask_open(s);
}

KC_TEST(a_coroutine_that_waits_for_a_name_to_come_is_cancelled_and_holds_no_worker)
{
    scene s = begin();
    pthread_t server;
    kc_sched *sched = NULL;
    const kc_sched_config config = {.workers = 1};
    s.answer = KC_ECANCELED;
    KC_REQUIRE(pthread_create(&server, NULL, answer_the_cancel, &s) == 0);
    KC_REQUIRE(kc_sched_make(&config, &sched) == KC_OK);
    KC_REQUIRE(kc_sched_spawn(sched, opens, &s, NULL) == KC_OK);
    KC_CHECK_EQ(kc_sched_drain(sched, KC_NEVER), KC_OK);
    pthread_join(server, NULL);
    KC_CHECK_EQ(s.code, KC_ECANCELED);
    KC_CHECK(s.made == NULL);
    kc_sched_free(sched);
    end(&s);
}

int main(void)
{
    KC_RUN(with_a_cancel_that_is_set_not_a_byte_is_written);
    KC_RUN(without_a_cancel_they_are_what_they_are_without_one);
    KC_RUN(what_the_daemon_cancelled_did_not_happen);
    KC_RUN(what_the_daemon_had_done_before_the_cancel_came_has_happened);
    KC_RUN(what_waits_for_room_in_the_socket_is_cancelled_without_a_word);
    KC_RUN(what_waits_for_a_bound_is_cancelled_without_a_word);
    KC_RUN(what_the_daemon_may_have_done_before_it_went_away_is_told_from_what_never_left);
    KC_RUN(a_daemon_that_says_nothing_to_a_cancel_costs_the_connection_after_the_grace);
    KC_RUN(a_batch_that_is_cancelled_between_its_frames_says_how_much_was_sent_and_the_rest_is_not);
    KC_RUN(a_coroutine_that_waits_for_a_name_to_come_is_cancelled_and_holds_no_worker);
    return kc_test_report();
}
