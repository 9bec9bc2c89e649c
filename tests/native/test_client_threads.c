/* Many threads on one connection, whose bounds make them wait, and a peer that answers out of order: everybody gets his
 * own answer, whether he waits as a thread or by a table of his own. Signals cut nothing short.
 */
#include <signal.h>

#include "kc_client_crowd.h"

enum { THREADS = 6, ROUNDS = 200 };

/* --- users -------------------------------------------------------------------------------------------------------- */

typedef struct user {
    pthread_t thread;
    kc_ipc *ipc;
    uint32_t chan_id;
    long received;
} user;

static void *use(void *arg)
{
    user *u = arg;
    u->received = crowd_converse(u->ipc, u->chan_id, ROUNDS);
    return NULL;
}

static void run_users(const kc_ipc_waiting *waiting)
{
    peer *p = crowd_open(3, waiting);
    pthread_t server;
    user users[THREADS];
    KC_REQUIRE(pthread_create(&server, NULL, crowd_serve, p) == 0);
    for (int i = 0; i < THREADS; i++) {
        users[i] = (user){.ipc = p->ipc, .chan_id = CROWD_FIRST_CHAN + (uint32_t)i};
        KC_REQUIRE(pthread_create(&users[i].thread, NULL, use, &users[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(users[i].thread, NULL);
        KC_CHECK_EQ(users[i].received, ROUNDS);
    }
    kc_ipc_usage usage;
    kc_ipc_measure(p->ipc, &usage);
    KC_CHECK_EQ(usage.requests, 0);
    KC_CHECK_EQ(usage.callers, 0);
    KC_CHECK_EQ(usage.bytes, 0);
    crowd_part(p, server);
}

KC_TEST(threads_that_share_a_connection_get_their_own_answers)
{
    run_users(NULL);
}

/* --- waiting by a table of one's own ------------------------------------------------------------------------------ */

typedef struct parker {
    pthread_mutex_t lock;
    pthread_cond_t woken;
    bool permit;
} parker;

static _Thread_local parker own_parker = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
static atomic_long parks, wakes, waits, selves;

/* Every other caller is no "coroutine" and waits as a thread. */
static void *own_self(void)
{
    return atomic_fetch_add(&selves, 1) % 2 == 0 ? &own_parker : NULL;
}

static void own_park(void *who)
{
    parker *mine = who;
    atomic_fetch_add(&parks, 1);
    KC_CHECK(mine == &own_parker);
    pthread_mutex_lock(&mine->lock);
    while (!mine->permit) {
        pthread_cond_wait(&mine->woken, &mine->lock);
    }
    mine->permit = false;
    pthread_mutex_unlock(&mine->lock);
}

static void own_wake(void *who)
{
    parker *other = who;
    atomic_fetch_add(&wakes, 1);
    pthread_mutex_lock(&other->lock);
    other->permit = true;
    pthread_cond_signal(&other->woken);
    pthread_mutex_unlock(&other->lock);
}

static void own_wait(int fd)
{
    struct epoll_event event;
    atomic_fetch_add(&waits, 1);
    epoll_wait(fd, &event, 1, -1);
}

KC_TEST(who_waits_by_a_table_of_his_own_is_parked_and_woken_by_it)
{
    static const kc_ipc_waiting waiting = {own_self, own_park, own_wake, own_wait};
    run_users(&waiting);
    KC_CHECK(atomic_load(&selves) > 0);
    KC_CHECK(atomic_load(&waits) > 0);
    KC_CHECK(atomic_load(&wakes) > 0);
}

static void *wait_until_done(void *arg)
{
    KC_CHECK_EQ(kc_ipc_op_wait(arg, NULL), KC_OK);
    return NULL;
}

/* Always a "coroutine", so that what each thread does is counted. */
static void *own_self_always(void)
{
    return &own_parker;
}

static void until_more_than(atomic_long *counter, long before)
{
    while (atomic_load(counter) <= before) {
        sched_yield();
    }
}

KC_TEST(who_reads_for_all_hands_that_over_when_his_answer_is_there)
{
    static const kc_ipc_waiting waiting = {own_self_always, own_park, own_wake, own_wait};
    peer *p = crowd_open(2, &waiting);
    kc_ipc_chan *chan = peer_channel(p, 1, CROWD_FIRST_CHAN);
    const kc_ipc_payload payload = {.bytes = "x", .length = 1};
    kc_ipc_op *ops[2];
    pthread_t threads[2];
    long waited = atomic_load(&waits), parked = atomic_load(&parks);
    for (int i = 0; i < 2; i++) {
        KC_REQUIRE(kc_ipc_send_begin(chan, &payload, 1, NULL, &ops[i]) == KC_OK);
    }
    KC_REQUIRE(pthread_create(&threads[0], NULL, wait_until_done, ops[0]) == 0);
    until_more_than(&waits, waited); /* it reads for all */
    KC_REQUIRE(pthread_create(&threads[1], NULL, wait_until_done, ops[1]) == 0);
    until_more_than(&parks, parked);
    peer_answer(p, KC_CMD_CHAN_SEND, 2, KC_OK);
    pthread_join(threads[0], NULL);
    peer_answer(p, KC_CMD_CHAN_SEND, 3, KC_OK);
    pthread_join(threads[1], NULL);
    kc_ipc_op_free(ops[0]);
    kc_ipc_op_free(ops[1]);
    peer_free_channel(p, chan, 4);
    peer_close(p);
}

/* --- the end while others wait ------------------------------------------------------------------------------------ */

static void *receive_until_the_end(void *arg)
{
    kc_ipc_chan *chan = arg;
    kc_ipc_message message;
    KC_CHECK_EQ(kc_ipc_recv(chan, &message, NULL), KC_EBADF);
    return NULL;
}

KC_TEST(disconnecting_ends_those_who_wait)
{
    peer *p = crowd_open(2, NULL); /* two are in flight, two wait for room */
    kc_ipc_chan *chan = peer_channel(p, 1, CROWD_FIRST_CHAN);
    pthread_t threads[4];
    kc_ipc_usage usage;
    for (int i = 0; i < 4; i++) {
        KC_REQUIRE(pthread_create(&threads[i], NULL, receive_until_the_end, chan) == 0);
    }
    do {
        kc_ipc_measure(p->ipc, &usage);
    } while (usage.requests != 2 || usage.callers != 2);
    kc_ipc_disconnect(p->ipc);
    p->ipc = NULL;
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    kc_ipc_chan_free(chan);
    peer_close(p);
}

static void *wait_for_op(void *arg)
{
    kc_ipc_result result;
    KC_CHECK_EQ(kc_ipc_op_wait(arg, &result), KC_ECANCELED);
    kc_ipc_result_free(&result);
    return NULL;
}

static void *answer_cancel(void *arg)
{
    peer *p = arg;
    kc_frame_header header;
    kc_request request;
    do {
        KC_REQUIRE(peer_await(p, &header, &request));
    } while (header.cmd != KC_CMD_CANCEL);
    peer_answer(p, KC_CMD_CHAN_RECV, request.req_id, KC_ECANCELED);
    return NULL;
}

KC_TEST(another_thread_cancels_what_is_waited_for)
{
    peer *p = crowd_open(2, NULL);
    kc_ipc_chan *chan = peer_channel(p, 1, CROWD_FIRST_CHAN);
    kc_ipc_op *op;
    pthread_t waiter, server;
    KC_REQUIRE(kc_ipc_recv_begin(chan, 1, NULL, &op) == KC_OK);
    KC_REQUIRE(pthread_create(&server, NULL, answer_cancel, p) == 0);
    KC_REQUIRE(pthread_create(&waiter, NULL, wait_for_op, op) == 0);
    KC_CHECK_EQ(kc_ipc_op_cancel(op), KC_OK);
    pthread_join(waiter, NULL);
    pthread_join(server, NULL);
    kc_ipc_op_free(op);
    peer_free_channel(p, chan, 3);
    peer_close(p);
}

/* --- signals ------------------------------------------------------------------------------------------------------ */

static atomic_int signals;

static void count_signal(int number)
{
    (void)number;
    atomic_fetch_add(&signals, 1);
}

typedef struct interrupter {
    peer *p;
    pthread_t target;
} interrupter;

static void *interrupt_then_answer(void *arg)
{
    interrupter *i = arg;
    uint32_t req_id = peer_await_cmd(i->p, KC_CMD_CHAN_RECV);
    for (int count = 1; count <= 20; count++) {
        pthread_kill(i->target, SIGUSR1);
        while (atomic_load(&signals) < count) {
            sched_yield();
        }
    }
    kc_put_bytes(peer_reply(i->p, KC_CMD_CHAN_RECV, req_id, KC_OK), KC_ATTR_ELEMENT, "s", 1);
    peer_end(i->p);
    return NULL;
}

KC_TEST(a_signal_cuts_no_call_short)
{
    peer *p = crowd_open(2, NULL);
    kc_ipc_chan *chan = peer_channel(p, 1, CROWD_FIRST_CHAN);
    struct sigaction action = {.sa_handler = count_signal}; /* without SA_RESTART */
    interrupter i = {p, pthread_self()};
    pthread_t server;
    kc_ipc_message message;
    sigaction(SIGUSR1, &action, NULL);
    KC_REQUIRE(pthread_create(&server, NULL, interrupt_then_answer, &i) == 0);
    KC_CHECK_EQ(kc_ipc_recv(chan, &message, NULL), KC_OK);
    KC_CHECK_MEM(message.bytes, "s", 1);
    kc_ipc_message_free(&message);
    pthread_join(server, NULL);
    KC_CHECK_EQ(atomic_load(&signals), 20);
    peer_free_channel(p, chan, 3);
    peer_close(p);
}

int main(void)
{
    KC_RUN(threads_that_share_a_connection_get_their_own_answers);
    KC_RUN(who_waits_by_a_table_of_his_own_is_parked_and_woken_by_it);
    KC_RUN(who_reads_for_all_hands_that_over_when_his_answer_is_there);
    KC_RUN(disconnecting_ends_those_who_wait);
    KC_RUN(another_thread_cancels_what_is_waited_for);
    KC_RUN(a_signal_cuts_no_call_short);
    return kc_test_report();
}
