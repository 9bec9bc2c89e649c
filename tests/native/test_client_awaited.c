/* test_client_awaited.c: a call waits for its answer from its begin: whoever reads between the two finds somebody who
 * takes it, however much lies there that nobody takes. Linked with --wrap=getpid, which is where every entry into a
 * connection begins: one that comes when the request has left is that of the wait.
 */
#include "client/kc_client.h"
#include "kc_client_peer.h"

enum { BODY_BYTES = 400, ANSWER_BOUND = 100 };

static kc_ipc *crossed; /* whose next call is read for by somebody else just before it waits */
static uint64_t frames_before;

static void read_for(kc_ipc *ipc)
{
    KC_CHECK_EQ(ipc->under_way, 1);
    KC_CHECK_EQ(kc_ipc_step(ipc), KC_OK);
    KC_CHECK_EQ(ipc->under_way, 0);
}

pid_t __real_getpid(void);
pid_t __wrap_getpid(void);
pid_t __wrap_getpid(void)
{
    kc_ipc *ipc = crossed;
    if (ipc != NULL && ipc->frames_out != frames_before) {
        crossed = NULL;
        read_for(ipc);
    }
    return __real_getpid();
}

static void cross_the_next_call(peer *p)
{
    frames_before = p->ipc->frames_out;
    crossed = p->ipc;
}

static uint64_t answer_bytes(peer *p)
{
    kc_ipc_usage usage;
    kc_ipc_measure(p->ipc, &usage);
    return usage.answer_bytes;
}

static void answer_receive(peer *p, uint32_t req_id)
{
    static const uint8_t body[BODY_BYTES];
    kc_put_bytes(peer_reply(p, KC_CMD_CHAN_RECV, req_id, KC_OK), KC_ATTR_ELEMENT, body, sizeof body);
    peer_end(p);
}

/* A connection with an answer that nobody takes: it alone is longer than the bound. */
typedef struct filled {
    peer *p;
    kc_ipc_chan *chan;
    kc_ipc_op *op;
    uint64_t bytes;
} filled;

static filled fill(void)
{
    kc_ipc_config config;
    filled f = {.p = peer_make(PEER_ROOM, &config)};
    config.max_answer_bytes = ANSWER_BOUND;
    peer_open_as(config, f.p);
    f.chan = peer_channel(f.p, 1, 1001);
    KC_REQUIRE(kc_ipc_recv_begin(f.chan, 1, NULL, &f.op) == KC_OK);
    answer_receive(f.p, 2);
    KC_REQUIRE(kc_ipc_op_ended(f.op));
    f.bytes = answer_bytes(f.p);
    KC_CHECK(f.bytes > ANSWER_BOUND);
    return f;
}

/* The call was crossed, its answer counted nowhere, and that of the other one is whole. */
static void check_and_close(filled *f)
{
    kc_ipc_result result;
    KC_CHECK(crossed == NULL);
    KC_CHECK_EQ(answer_bytes(f->p), f->bytes);
    KC_CHECK_EQ(kc_ipc_op_wait(f->op, &result), KC_OK);
    KC_REQUIRE(result.message_count == 1);
    KC_CHECK_EQ(result.messages[0].length, BODY_BYTES);
    kc_ipc_result_free(&result);
    kc_ipc_op_free(f->op);
    peer_free_channel(f->p, f->chan, 4);
    peer_close(f->p);
}

/* It waits for no bound, so nothing but its wait makes it a call that waits. */
KC_TEST(an_answer_to_what_is_answered_at_once_may_be_read_before_its_call_waits)
{
    filled f = fill();
    peer_answer(f.p, KC_CMD_PING, 3, KC_OK);
    cross_the_next_call(f.p);
    KC_CHECK_EQ(kc_ipc_ping(f.p->ipc), KC_OK);
    check_and_close(&f);
}

KC_TEST(an_answer_with_a_message_may_be_read_before_its_call_waits)
{
    filled f = fill();
    kc_ipc_message message;
    answer_receive(f.p, 3);
    cross_the_next_call(f.p);
    KC_REQUIRE(kc_ipc_recv(f.chan, &message, NULL) == KC_OK);
    KC_CHECK_EQ(message.length, BODY_BYTES);
    kc_ipc_message_free(&message);
    check_and_close(&f);
}

int main(void)
{
    KC_RUN(an_answer_to_what_is_answered_at_once_may_be_read_before_its_call_waits);
    KC_RUN(an_answer_with_a_message_may_be_read_before_its_call_waits);
    return kc_test_report();
}
