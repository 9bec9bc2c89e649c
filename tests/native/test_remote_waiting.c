/* How coroutines wait for a daemon's channel: their worker runs others, and nobody's park or unpark is touched. */
#include "kc_remote_peer.h"
#include "kcoro/kc_io.h"

/* --- the user's gate: two coroutines of one worker wait, and the second of them is not the one that reads --------- */

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

/* --- a coroutine that nobody schedules, within one that somebody does --------------------------------------------- */

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

static void *receive_as_a_thread(void *arg)
{
    receive_first(arg);
    return NULL;
}

KC_TEST(a_coroutine_that_nobody_schedules_blocks_its_thread_until_the_daemon_answers)
{
    kc_ipc_waiting waiting = *kc_remote_waiting();
    waiting.self = counted_self;
    couple c = {.p = open_waiting(&waiting), .codes = {1}};
    const kc_sched_config config = {.workers = 1};
    pthread_t reader;
    uint8_t bytes[512];
    c.channel = remote_channel(c.p, 1, 1001, 16);
    couple thread = c;
    atomic_store(&waiting_count, 0);
    /* A thread reads, so the inner one does not read itself. */
    KC_REQUIRE(pthread_create(&reader, NULL, receive_as_a_thread, &thread) == 0);
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
    KC_CHECK_EQ(thread.codes[0], KC_OK);
    kc_sched_free(c.sched);
    peer_hang_up(c.p);
    kc_channel_drop(c.channel);
    peer_close(c.p);
}

/* --- the one that reads cannot sleep on the descriptor ------------------------------------------------------------ */

enum { FRUITLESS = 1000 }; /* waits after which the test gives up */

typedef struct reader {
    couple c;
    int waits;
    bool answered;
    bool other_ran;
    int looker_code;
} reader;

static reader *only_reader;

static void answer_reader(reader *r)
{
    uint8_t bytes[512];
    if (!r->answered) {
        r->answered = true;
        peer_raw(r->c.p, bytes, make_answer(r->c.p, await_request(r->c.p), bytes));
    }
}

static void wait_and_count(int fd)
{
    kc_remote_waiting()->wait(fd);
    if (++only_reader->waits == FRUITLESS) {
        answer_reader(only_reader);
    }
}

static void look(void *arg)
{
    reader *r = arg;
    r->looker_code = kc_io_wait(kc_ipc_handle(r->c.p->ipc), KC_IO_READABLE, KC_NEVER);
}

static void run_as_other(void *arg)
{
    reader *r = arg;
    r->other_ran = !r->answered;
    answer_reader(r);
}

static void read_beside_others(void *arg)
{
    reader *r = arg;
    KC_REQUIRE(kc_sched_spawn(r->c.sched, run_as_other, r, NULL) == KC_OK);
    receive_first(&r->c);
    peer_hang_up(r->c.p); /* that stays, so whoever looks sees it, whoever read the answer */
}

KC_TEST(one_that_reads_while_somebody_else_waits_for_the_descriptor_leaves_its_worker_to_others)
{
    kc_ipc_waiting waiting = *kc_remote_waiting();
    waiting.wait = wait_and_count;
    reader r = {.c = {.p = open_waiting(&waiting), .codes = {1}}};
    const kc_sched_config config = {.workers = 1};
    only_reader = &r;
    r.c.channel = remote_channel(r.c.p, 1, 1001, 16);
    KC_REQUIRE(kc_sched_make(&config, &r.c.sched) == KC_OK);
    KC_REQUIRE(kc_sched_spawn(r.c.sched, look, &r, NULL) == KC_OK); /* runs first, and waits first */
    KC_REQUIRE(kc_sched_spawn(r.c.sched, read_beside_others, &r, NULL) == KC_OK);
    KC_CHECK_EQ(kc_sched_drain(r.c.sched, KC_NEVER), KC_OK);
    KC_CHECK(r.other_ran);
    KC_CHECK_EQ(r.c.codes[0], KC_OK);
    KC_CHECK_EQ(r.looker_code, KC_IO_READABLE);
    kc_sched_free(r.c.sched);
    kc_channel_drop(r.c.channel);
    peer_close(r.c.p);
}

int main(void)
{
    KC_RUN(an_unpark_is_not_taken_by_a_wait_for_the_daemon);
    KC_RUN(after_a_wait_for_the_daemon_a_park_returns_only_when_somebody_unparks);
    KC_RUN(a_coroutine_that_nobody_schedules_blocks_its_thread_until_the_daemon_answers);
    KC_RUN(one_that_reads_while_somebody_else_waits_for_the_descriptor_leaves_its_worker_to_others);
    return kc_test_report();
}
