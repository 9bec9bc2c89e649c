/* What tries does not wait for room in the socket: it has not begun to leave, so it did not happen. */
#include "kc_region_peer.h"

enum { NARROW = 64, LONG = 1 << 16 };

static const kc_ipc_wish now = {.timeout_ms = 0};

typedef struct stuck {
    peer *p;
    kc_ipc_chan *chan;
    kc_ipc_op *large; /* has begun to leave and does not go on */
} stuck;

static stuck fill(kc_ipc_region **region_out)
{
    peer *p = peer_open(region_out == NULL ? NARROW : PEER_ROOM);
    stuck one = {.p = p, .chan = peer_channel(p, 1, 1001)};
    size_t length = region_out == NULL ? LONG : 2 * PEER_ROOM;
    if (region_out != NULL) {
        *region_out = peer_region(p, 2, 5, 4096);
    }
    uint8_t *bytes = calloc(1, length);
    KC_REQUIRE(bytes != NULL);
    const kc_ipc_payload payload = {.bytes = bytes, .length = length};
    KC_REQUIRE(kc_ipc_send_begin(one.chan, &payload, 1, NULL, &one.large) == KC_OK);
    free(bytes);
    return one;
}

static void end(stuck *one)
{
    kc_ipc_result result;
    KC_CHECK_EQ(kc_ipc_op_ended(one->large), 0);
    peer_hang_up(one->p);
    KC_CHECK_EQ(kc_ipc_op_wait(one->large, &result), KC_ECONNRESET);
    KC_CHECK_EQ(result.flags, KC_IPC_IN_DOUBT);
    kc_ipc_op_free(one->large);
    kc_ipc_chan_free(one->chan);
    peer_close(one->p);
}

/* It has ended by the time it was begun. */
static void check_tried(int begun, kc_ipc_op *const *begun_op)
{
    kc_ipc_result result;
    KC_REQUIRE(begun == KC_OK);
    kc_ipc_op *op = *begun_op;
    KC_CHECK_EQ(kc_ipc_op_ended(op), 1);
    KC_CHECK_EQ(kc_ipc_op_wait(op, &result), KC_EAGAIN);
    KC_CHECK_EQ(result.flags, 0);
    kc_ipc_op_free(op);
}

KC_TEST(what_tries_while_the_socket_is_full_ends_at_once)
{
    stuck one = fill(NULL);
    const kc_ipc_payload payload = {.bytes = "x", .length = 1};
    const kc_ipc_clause clause = {.chan = one.chan, .payload = &payload};
    kc_ipc_op *op = NULL;
    check_tried(kc_ipc_send_begin(one.chan, &payload, 1, &now, &op), &op);
    check_tried(kc_ipc_recv_begin(one.chan, 1, &now, &op), &op);
    check_tried(kc_ipc_select_begin(one.p->ipc, &clause, 1, &now, &op), &op);
    end(&one);
}

KC_TEST(calls_that_try_do_not_wait_for_the_socket)
{
    stuck one = fill(NULL);
    kc_ipc_message message;
    kc_ipc_usage usage;
    KC_CHECK_EQ(kc_ipc_try_send(one.chan, "x", 1), KC_EAGAIN);
    KC_CHECK_EQ(kc_ipc_try_recv(one.chan, &message), KC_EAGAIN);
    kc_ipc_measure(one.p->ipc, &usage);
    KC_CHECK_EQ(usage.requests, 1); /* the large one */
    end(&one);
}

KC_TEST(a_loan_that_could_not_leave_at_once_is_the_callers)
{
    kc_ipc_region *region;
    kc_ipc_loan *loan;
    stuck one = fill(&region);
    KC_REQUIRE(kc_ipc_loan_take(region, 4096, &loan) == KC_OK);
    const kc_ipc_payload payload = {.loan = loan};
    KC_CHECK_EQ(kc_ipc_send_payload(one.chan, &payload, &now, NULL), KC_EAGAIN);
    memset(kc_ipc_loan_bytes(loan), 1, 4096);
    kc_ipc_loan_give(loan);
    KC_CHECK_EQ(kc_ipc_loan_take(region, 4096, &loan), KC_OK);
    kc_ipc_loan_give(loan);
    peer_hang_up(one.p);
    kc_ipc_op_free(one.large);
    KC_CHECK_EQ(kc_ipc_region_free(region), KC_OK);
    kc_ipc_chan_free(one.chan);
    peer_close(one.p);
}

KC_TEST(what_tries_and_begins_to_leave_is_waited_for)
{
    peer *p = peer_open(NARROW);
    kc_ipc_chan *chan = peer_channel(p, 1, 1001);
    uint8_t bytes[2 * NARROW] = {0};
    const kc_ipc_payload payload = {.bytes = bytes, .length = sizeof bytes};
    kc_ipc_op *op;
    kc_frame_header header;
    kc_request request;
    KC_REQUIRE(kc_ipc_send_begin(chan, &payload, 1, &now, &op) == KC_OK);
    while (!peer_next(p, &header, &request)) {
        KC_CHECK_EQ(kc_ipc_op_ended(op), 0);
    }
    KC_CHECK_EQ(request.timeout_ms, 0);
    peer_answer(p, KC_CMD_CHAN_SEND, request.req_id, KC_OK);
    KC_CHECK_EQ(kc_ipc_op_wait(op, NULL), KC_OK);
    kc_ipc_op_free(op);
    peer_free_channel(p, chan, 3);
    peer_close(p);
}

int main(void)
{
    KC_RUN(what_tries_while_the_socket_is_full_ends_at_once);
    KC_RUN(calls_that_try_do_not_wait_for_the_socket);
    KC_RUN(a_loan_that_could_not_leave_at_once_is_the_callers);
    KC_RUN(what_tries_and_begins_to_leave_is_waited_for);
    return kc_test_report();
}
