/* test_remote_unless.c: the calls of kc_ipc.h that wait for the daemon's answer, with a cancel: before they are asked,
 * before they have left, before they are answered, as they are answered, and when nobody answers. Built where the
 * runtime is. */
#include "kc_remote_questions.h"

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
    KC_CHECK_EQ(peer_await_cmd(s->p, KC_CMD_CANCEL), id);
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
    KC_CHECK_EQ(peer_await_cmd(s->p, KC_CMD_CANCEL), request.req_id);
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
    uint32_t id = peer_await_cmd(s->p, KC_CMD_CHAN_SEND);
    KC_CHECK_EQ(kc_cancel_trigger(s->cancel, 0), KC_OK);
    KC_CHECK_EQ(peer_await_cmd(s->p, KC_CMD_CANCEL), id);
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
