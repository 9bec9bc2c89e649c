/* Whose a loan is after its send, whatever that ended with: the result says it, and no word of the daemon takes from
 * the caller what the result left to it. The same words say which message of a confirmed batch may have been taken.
 */
#include "kc_region_peer.h"

enum { LOAN_BYTES = 4096, LOANS = 3, MANY = KC_MAX_ITEMS + 6 };

static const kc_ipc_wish confirmed = {.timeout_ms = -1, .flags = KC_IPC_CONFIRM};

/* The caller still has it: it can be given back, and its room is there again. */
static void check_ours(kc_ipc_region *region, kc_ipc_loan *loan)
{
    kc_ipc_loan *again;
    void *bytes = kc_ipc_loan_bytes(loan);
    memset(bytes, 1, LOAN_BYTES);
    kc_ipc_loan_give(loan);
    KC_REQUIRE(kc_ipc_loan_take(region, LOAN_BYTES, &again) == KC_OK);
    KC_CHECK(kc_ipc_loan_bytes(again) == bytes);
    kc_ipc_loan_give(again);
}

typedef struct lender {
    peer *p;
    kc_ipc_chan *chan;
    kc_ipc_region *region;
    kc_ipc_loan *loans[LOANS];
    kc_ipc_payload payloads[LOANS];
} lender;

/* Requests 1 and 2 are over then. */
static lender lend(uint32_t count)
{
    peer *p = peer_open(PEER_ROOM);
    lender one = {.p = p, .chan = peer_channel(p, 1, 1001), .region = peer_region(p, 2, 5, LOANS * LOAN_BYTES)};
    for (uint32_t i = 0; i < count; i++) {
        KC_REQUIRE(kc_ipc_loan_take(one.region, LOAN_BYTES, &one.loans[i]) == KC_OK);
        one.payloads[i] = (kc_ipc_payload){.loan = one.loans[i]};
    }
    return one;
}

static void lend_end(lender *one)
{
    peer_hang_up(one->p);
    KC_CHECK_EQ(kc_ipc_ping(one->p->ipc), KC_ECONNRESET);
    KC_CHECK_EQ(kc_ipc_region_free(one->region), KC_OK);
    kc_ipc_chan_free(one->chan);
    peer_close(one->p);
}

/* What it is answered with; FLAGS say what became of the first message that is not settled. */
static kc_ipc_result send_told(lender *one, int code, uint32_t count, const kc_ipc_wish *wish, uint32_t flags)
{
    kc_ipc_result result;
    kc_writer *out = peer_reply(one->p, KC_CMD_CHAN_SEND, 3, code);
    if (count != UINT32_MAX) {
        kc_put_u32(out, KC_ATTR_COUNT, count);
    }
    if (flags != UINT32_MAX) {
        kc_put_u32(out, KC_ATTR_FLAGS, flags);
    }
    peer_end(one->p);
    uint32_t sent = one->loans[1] == NULL ? 1 : LOANS;
    KC_CHECK_EQ(kc_ipc_send_many(one->chan, one->payloads, sent, wish, &result), code);
    return result;
}

/* By a daemon that does not say that. */
static kc_ipc_result send_answered(lender *one, int code, uint32_t count, const kc_ipc_wish *wish)
{
    return send_told(one, code, count, wish, UINT32_MAX);
}

KC_TEST(a_confirmed_loan_that_was_not_taken_is_the_callers_at_once)
{
    const int codes[] = {KC_ECANCELED, KC_ETIME, KC_EPIPE, KC_EAGAIN, KC_EDQUOT};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        lender one = lend(1);
        kc_ipc_result result = send_told(&one, codes[i], UINT32_MAX, &confirmed, 0);
        KC_CHECK_EQ(result.flags, 0);
        check_ours(one.region, one.loans[0]);
        peer_answer(one.p, KC_CMD_REGION_DROP, 4, KC_OK);
        KC_CHECK_EQ(kc_ipc_region_free(one.region), KC_OK);
        peer_free_channel(one.p, one.chan, 5);
        peer_close(one.p);
    }
}

KC_TEST(a_confirmed_loan_that_was_taken_is_gone_until_the_daemon_calls_it_free)
{
    const int codes[] = {KC_ECANCELED, KC_EINPROGRESS, KC_ENOMEM}; /* the last: there was no memory for the rest */
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        lender one = lend(1);
        kc_ipc_loan *next;
        kc_ipc_result result = send_told(&one, codes[i], UINT32_MAX, &confirmed, KC_FLAG_SENT_TAKEN);
        KC_CHECK_EQ(result.flags, KC_IPC_UNCONFIRMED);
        KC_CHECK_EQ(kc_ipc_loan_take(one.region, LOANS * LOAN_BYTES, &next), KC_ENOSPC);
        KC_CHECK_EQ(peer_expect(one.p, KC_CMD_CHAN_SEND), 3);
        kc_ipc_region_abandon(one.region);
        peer_expect_nothing(one.p); /* it is in use for certain: nobody is asked before it is free */
        freed(one.p, 5, 0, LOAN_BYTES);
        KC_CHECK_EQ(kc_ipc_step(one.p->ipc), KC_OK);
        KC_CHECK_EQ(peer_expect(one.p, KC_CMD_REGION_DROP), 4);
        peer_answer(one.p, KC_CMD_REGION_DROP, 4, KC_OK);
        KC_CHECK_EQ(kc_ipc_step(one.p->ipc), KC_OK);
        peer_free_channel(one.p, one.chan, 5);
        peer_close(one.p);
    }
}

KC_TEST(what_was_taken_and_called_free_before_the_answer_is_free)
{
    lender one = lend(1);
    kc_ipc_loan *next;
    freed(one.p, 5, 0, LOAN_BYTES);
    (void)send_told(&one, KC_ECANCELED, UINT32_MAX, &confirmed, KC_FLAG_SENT_TAKEN);
    KC_REQUIRE(kc_ipc_loan_take(one.region, LOANS * LOAN_BYTES, &next) == KC_OK);
    kc_ipc_loan_give(next);
    lend_end(&one);
}

/* A late acknowledgement says by its code that it was taken, whatever the flags. */
KC_TEST(flags_that_contradict_the_code_take_nothing_back)
{
    lender one = lend(1);
    kc_ipc_loan *next;
    KC_CHECK_EQ(send_told(&one, KC_EINPROGRESS, UINT32_MAX, &confirmed, 0).flags, KC_IPC_UNCONFIRMED);
    KC_CHECK_EQ(kc_ipc_loan_take(one.region, LOANS * LOAN_BYTES, &next), KC_ENOSPC);
    lend_end(&one);
}

KC_TEST(of_a_confirmed_batch_flags_tell_of_the_first_that_is_not_settled)
{
    const struct {
        int code;
        uint32_t count, flags;
    } ends[] = {{KC_OK, 1, 0}, {KC_OK, 1, KC_FLAG_SENT_TAKEN},
                {KC_ECANCELED, 0, 0}, {KC_ECANCELED, 0, KC_FLAG_SENT_TAKEN}};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        lender one = lend(LOANS);
        kc_ipc_result result = send_told(&one, ends[i].code, ends[i].count, &confirmed, ends[i].flags);
        bool taken = ends[i].flags != 0;
        KC_CHECK_EQ(result.count, ends[i].count);
        KC_CHECK_EQ(result.flags, taken ? KC_IPC_UNCONFIRMED : 0);
        for (uint32_t at = LOANS; at-- > ends[i].count + (taken ? 1U : 0U);) {
            check_ours(one.region, one.loans[at]);
        }
        lend_end(&one);
    }
}

KC_TEST(a_settled_batch_with_flags_says_nothing_more)
{
    lender one = lend(LOANS);
    KC_CHECK_EQ(send_told(&one, KC_OK, LOANS, &confirmed, KC_FLAG_SENT_TAKEN).flags, 0);
    lend_end(&one);
}

KC_TEST(flags_of_a_send_that_did_not_ask_for_them_say_nothing)
{
    lender one = lend(1);
    KC_CHECK_EQ(send_told(&one, KC_ECANCELED, UINT32_MAX, NULL, KC_FLAG_SENT_TAKEN).flags, 0);
    check_ours(one.region, one.loans[0]);
    lend_end(&one);
}

/* --- a daemon that has no such flags ------------------------------------------------------------------------------ */

KC_TEST(a_confirmed_loan_that_was_cancelled_is_gone_and_the_result_says_so)
{
    lender one = lend(1);
    kc_ipc_result result = send_answered(&one, KC_ECANCELED, UINT32_MAX, &confirmed);
    kc_ipc_loan *next;
    KC_CHECK_EQ(result.flags, KC_IPC_UNCONFIRMED);
    KC_CHECK_EQ(result.count, 0);
    freed(one.p, 5, 0, LOAN_BYTES); /* it was accepted, and then lost with its channel */
    KC_REQUIRE(kc_ipc_loan_take(one.region, LOANS * LOAN_BYTES, &next) == KC_OK);
    kc_ipc_loan_give(next);
    lend_end(&one);
}

/* It may lie in a dead-letter channel, or somebody who received it once may still read it. */
KC_TEST(what_was_cancelled_unconfirmed_is_not_lent_again_before_the_daemon_calls_it_free)
{
    lender one = lend(1);
    kc_ipc_loan *next;
    send_answered(&one, KC_ECANCELED, UINT32_MAX, &confirmed);
    peer_answer(one.p, KC_CMD_PING, 4, KC_OK);
    KC_CHECK_EQ(kc_ipc_ping(one.p->ipc), KC_OK);
    KC_CHECK_EQ(kc_ipc_loan_take(one.region, LOANS * LOAN_BYTES, &next), KC_ENOSPC);
    freed(one.p, 5, 0, LOAN_BYTES);
    KC_REQUIRE(kc_ipc_loan_take(one.region, LOANS * LOAN_BYTES, &next) == KC_OK);
    kc_ipc_loan_give(next);
    lend_end(&one);
}

KC_TEST(a_loan_whose_acknowledgement_is_late_is_gone_and_the_result_says_so)
{
    lender one = lend(1);
    kc_ipc_result result = send_answered(&one, KC_EINPROGRESS, UINT32_MAX, &confirmed);
    kc_ipc_loan *next;
    KC_CHECK_EQ(result.flags, KC_IPC_UNCONFIRMED);
    KC_CHECK_EQ(kc_ipc_loan_take(one.region, LOANS * LOAN_BYTES, &next), KC_ENOSPC);
    lend_end(&one);
}

KC_TEST(a_loan_whose_send_is_refused_or_plainly_cancelled_is_the_callers)
{
    const struct {
        int code;
        const kc_ipc_wish *wish;
    } ends[] = {{KC_ECANCELED, NULL}, {KC_ETIME, NULL}, {KC_ETIME, &confirmed}, {KC_EPIPE, &confirmed}};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        lender one = lend(1);
        kc_ipc_result result = send_answered(&one, ends[i].code, UINT32_MAX, ends[i].wish);
        KC_CHECK_EQ(result.flags, 0);
        check_ours(one.region, one.loans[0]);
        lend_end(&one);
    }
}

KC_TEST(a_confirmed_loan_that_is_cancelled_before_it_leaves_is_the_callers)
{
    lender one = lend(1);
    kc_ipc_op *op, *before;
    kc_ipc_result result;
    static uint8_t large[2 * PEER_ROOM];
    const kc_ipc_payload filling = {.bytes = large, .length = sizeof large};
    KC_REQUIRE(kc_ipc_send_begin(one.chan, &filling, 1, NULL, &before) == KC_OK); /* the socket is full */
    KC_REQUIRE(kc_ipc_send_begin(one.chan, one.payloads, 1, &confirmed, &op) == KC_OK);
    KC_CHECK_EQ(kc_ipc_op_cancel(op), KC_OK);
    KC_CHECK_EQ(kc_ipc_op_wait(op, &result), KC_ECANCELED);
    KC_CHECK_EQ(result.flags, 0);
    kc_ipc_op_free(op);
    check_ours(one.region, one.loans[0]);
    peer_hang_up(one.p);
    kc_ipc_op_free(before);
    KC_CHECK_EQ(kc_ipc_region_free(one.region), KC_OK);
    kc_ipc_chan_free(one.chan);
    peer_close(one.p);
}

KC_TEST(what_is_called_free_and_then_refused_is_the_callers)
{
    lender one = lend(1);
    freed(one.p, 5, 0, LOAN_BYTES); /* of a send that is under way, so far as this daemon knows */
    kc_ipc_result result = send_answered(&one, KC_ETIME, UINT32_MAX, NULL);
    KC_CHECK_EQ(result.flags, 0);
    check_ours(one.region, one.loans[0]);
    lend_end(&one);
}

/* --- batches ------------------------------------------------------------------------------------------------------ */

KC_TEST(of_a_confirmed_batch_the_first_that_is_not_settled_may_have_been_taken)
{
    const struct {
        int code;
        uint32_t count;
    } ends[] = {{KC_OK, 1}, {KC_EINPROGRESS, 0}, {KC_ECANCELED, 0}};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        lender one = lend(LOANS);
        kc_ipc_result result = send_answered(&one, ends[i].code, ends[i].count, &confirmed);
        KC_CHECK_EQ(result.count, ends[i].count);
        KC_CHECK_EQ(result.flags, KC_IPC_UNCONFIRMED);
        for (uint32_t at = LOANS - 1; at > ends[i].count; at--) {
            check_ours(one.region, one.loans[at]); /* it never began */
        }
        lend_end(&one);
    }
}

/* Of a batch too: the last that uses an abandoned region may be the one that stopped it. */
KC_TEST(a_batch_that_stopped_short_leaves_its_region_to_the_daemons_word)
{
    lender one = lend(LOANS);
    send_answered(&one, KC_OK, 1, &confirmed);
    KC_CHECK_EQ(peer_expect(one.p, KC_CMD_CHAN_SEND), 3);
    kc_ipc_region_abandon(one.region);
    kc_ipc_loan_give(one.loans[2]);
    peer_expect_nothing(one.p); /* the first was accepted, and is not free */
    freed(one.p, 5, 0, LOAN_BYTES);
    KC_CHECK_EQ(kc_ipc_step(one.p->ipc), KC_OK);
    KC_CHECK_EQ(peer_expect(one.p, KC_CMD_REGION_DROP), 4);
    peer_answer(one.p, KC_CMD_REGION_DROP, 4, KC_OK);
    KC_CHECK_EQ(kc_ipc_step(one.p->ipc), KC_OK);
    peer_free_channel(one.p, one.chan, 5);
    peer_close(one.p); /* where all that was taken has been given back */
}

KC_TEST(of_a_plain_batch_what_is_not_settled_is_the_callers)
{
    lender one = lend(LOANS);
    kc_ipc_result result = send_answered(&one, KC_OK, 1, NULL);
    KC_CHECK_EQ(result.count, 1);
    KC_CHECK_EQ(result.flags, 0);
    check_ours(one.region, one.loans[2]);
    check_ours(one.region, one.loans[1]);
    lend_end(&one);
}

KC_TEST(a_confirmed_batch_that_is_settled_says_nothing_more)
{
    lender one = lend(LOANS);
    kc_ipc_result result = send_answered(&one, KC_OK, LOANS, &confirmed);
    KC_CHECK_EQ(result.count, LOANS);
    KC_CHECK_EQ(result.flags, 0);
    lend_end(&one);
}

/* Two frames are answered, each when it has come. */
typedef struct counted {
    peer *p;
    int codes[2];
    uint32_t counts[2], dropped[2];
} counted;

static void *answer_counted(void *argument)
{
    const counted *said = argument;
    kc_frame_header header;
    kc_request request;
    for (int i = 0; i < 2; i++) {
        KC_REQUIRE(peer_await(said->p, &header, &request));
        KC_CHECK_EQ(header.cmd, KC_CMD_CHAN_SEND);
        kc_writer *out = peer_reply(said->p, KC_CMD_CHAN_SEND, request.req_id, said->codes[i]);
        kc_put_u32(out, KC_ATTR_COUNT, said->counts[i]);
        kc_put_u32(out, KC_ATTR_DROPPED, said->dropped[i]);
        peer_end(said->p);
    }
    return NULL;
}

/* KC_MAX_ITEMS go in the first frame, the rest in a second one. */
static kc_ipc_result send_in_two_frames(counted said, const kc_ipc_wish *wish)
{
    said.p = peer_open(PEER_ROOM);
    kc_ipc_chan *chan = peer_channel(said.p, 1, 1001);
    kc_ipc_payload *payloads = calloc(MANY, sizeof *payloads);
    kc_ipc_result result;
    pthread_t thread;
    KC_REQUIRE(payloads != NULL && pthread_create(&thread, NULL, answer_counted, &said) == 0);
    for (int i = 0; i < MANY; i++) {
        payloads[i] = (kc_ipc_payload){.bytes = "abc", .length = 3};
    }
    KC_CHECK_EQ(kc_ipc_send_many(chan, payloads, MANY, wish, &result), KC_OK);
    pthread_join(thread, NULL);
    free(payloads);
    peer_free_channel(said.p, chan, 4);
    peer_close(said.p);
    return result;
}

/* A handle whose last user is a batch, between two frames. */
typedef struct freeing {
    lender one;
    kc_ipc_result result;
    int code;
} freeing;

static void *sends_bytes_and_a_loan(void *argument)
{
    freeing *f = argument;
    const kc_ipc_payload both[] = {{.bytes = "ab", .length = 2}, {.loan = f->one.loans[0]}};
    f->code = kc_ipc_send_many(f->one.chan, both, 2, NULL, &f->result);
    return NULL;
}

static void *frees_the_handle(void *argument)
{
    kc_ipc_chan_free(argument);
    return NULL;
}

KC_TEST(a_batch_goes_on_when_its_handle_is_freed_between_two_frames)
{
    freeing f = {.one = lend(1)};
    kc_frame_header header;
    kc_request request;
    pthread_t sender, freer;
    KC_REQUIRE(pthread_create(&sender, NULL, sends_bytes_and_a_loan, &f) == 0);
    KC_REQUIRE(peer_await(f.one.p, &header, &request));
    KC_CHECK_EQ(header.cmd, KC_CMD_CHAN_SEND);
    uint32_t first = request.req_id;
    KC_REQUIRE(pthread_create(&freer, NULL, frees_the_handle, f.one.chan) == 0);
    KC_REQUIRE(peer_await(f.one.p, &header, &request));
    KC_CHECK_EQ(header.cmd, KC_CMD_CHAN_RELEASE);
    peer_answer(f.one.p, KC_CMD_CHAN_RELEASE, request.req_id, KC_OK);
    pthread_join(freer, NULL);
    peer_answer(f.one.p, KC_CMD_CHAN_SEND, first, KC_OK);
    KC_REQUIRE(peer_await(f.one.p, &header, &request));
    KC_CHECK_EQ(header.cmd, KC_CMD_CHAN_SEND);
    peer_answer(f.one.p, KC_CMD_CHAN_SEND, request.req_id, KC_EBADF); /* which the daemon had taken back */
    pthread_join(sender, NULL);
    KC_CHECK_EQ(f.code, KC_OK);
    KC_CHECK_EQ(f.result.count, 1);
    check_ours(f.one.region, f.one.loans[0]);
    peer_hang_up(f.one.p);
    KC_CHECK_EQ(kc_ipc_ping(f.one.p->ipc), KC_ECONNRESET);
    KC_CHECK_EQ(kc_ipc_region_free(f.one.region), KC_OK);
    peer_close(f.one.p);
}

KC_TEST(many_in_two_frames_say_that_the_next_one_was_taken)
{
    const counted said = {.codes = {KC_OK, KC_EINPROGRESS}, .counts = {KC_MAX_ITEMS, 0}};
    kc_ipc_result result = send_in_two_frames(said, &confirmed);
    KC_CHECK_EQ(result.count, KC_MAX_ITEMS);
    KC_CHECK_EQ(result.flags, KC_IPC_UNCONFIRMED);
}

KC_TEST(many_in_two_frames_sum_up_what_was_settled_and_what_was_dropped)
{
    const counted said = {.counts = {KC_MAX_ITEMS, MANY - KC_MAX_ITEMS}, .dropped = {30, 2}};
    kc_ipc_result result = send_in_two_frames(said, NULL);
    KC_CHECK_EQ(result.count, MANY);
    KC_CHECK_EQ(result.dropped, 32);
    KC_CHECK_EQ(result.flags, KC_IPC_DROPPED);
}

/* The second frame was never asked for, yet its caller has no way to know that. */
KC_TEST(of_many_in_doubt_all_loans_are_gone_and_those_that_did_not_leave_are_free)
{
    lender one = lend(1);
    const kc_ipc_payload payloads[] = {{.bytes = "ab", .length = 2}, one.payloads[0]};
    kc_ipc_result result;
    kc_ipc_loan *next;
    peer_answer(one.p, KC_CMD_PING, 9999, KC_OK); /* an answer to nothing */
    KC_CHECK_EQ(kc_ipc_send_many(one.chan, payloads, 2, NULL, &result), KC_EPROTO);
    KC_CHECK_EQ(result.flags, KC_IPC_IN_DOUBT);
    KC_CHECK_EQ(result.count, 0);
    KC_REQUIRE(kc_ipc_loan_take(one.region, LOANS * LOAN_BYTES, &next) == KC_OK);
    kc_ipc_loan_give(next);
    KC_CHECK_EQ(kc_ipc_region_free(one.region), KC_OK);
    kc_ipc_chan_free(one.chan);
    peer_close(one.p);
}

int main(void)
{
    KC_RUN(a_confirmed_loan_that_was_not_taken_is_the_callers_at_once);
    KC_RUN(a_confirmed_loan_that_was_taken_is_gone_until_the_daemon_calls_it_free);
    KC_RUN(what_was_taken_and_called_free_before_the_answer_is_free);
    KC_RUN(flags_that_contradict_the_code_take_nothing_back);
    KC_RUN(of_a_confirmed_batch_flags_tell_of_the_first_that_is_not_settled);
    KC_RUN(a_settled_batch_with_flags_says_nothing_more);
    KC_RUN(flags_of_a_send_that_did_not_ask_for_them_say_nothing);
    KC_RUN(a_confirmed_loan_that_was_cancelled_is_gone_and_the_result_says_so);
    KC_RUN(what_was_cancelled_unconfirmed_is_not_lent_again_before_the_daemon_calls_it_free);
    KC_RUN(a_loan_whose_acknowledgement_is_late_is_gone_and_the_result_says_so);
    KC_RUN(a_loan_whose_send_is_refused_or_plainly_cancelled_is_the_callers);
    KC_RUN(a_confirmed_loan_that_is_cancelled_before_it_leaves_is_the_callers);
    KC_RUN(what_is_called_free_and_then_refused_is_the_callers);
    KC_RUN(of_a_confirmed_batch_the_first_that_is_not_settled_may_have_been_taken);
    KC_RUN(a_batch_that_stopped_short_leaves_its_region_to_the_daemons_word);
    KC_RUN(of_a_plain_batch_what_is_not_settled_is_the_callers);
    KC_RUN(a_confirmed_batch_that_is_settled_says_nothing_more);
    KC_RUN(a_batch_goes_on_when_its_handle_is_freed_between_two_frames);
    KC_RUN(many_in_two_frames_say_that_the_next_one_was_taken);
    KC_RUN(many_in_two_frames_sum_up_what_was_settled_and_what_was_dropped);
    KC_RUN(of_many_in_doubt_all_loans_are_gone_and_those_that_did_not_leave_are_free);
    return kc_test_report();
}
