/* Coroutines that wait for a bound of their connection to the daemon, and cancels of them. */
#include "kc_remote_peer.h"

/* One that waits for the bound; `sends` so many bytes, else receives. */
typedef struct bounded {
    kc_channel *channel;
    kc_cancel *cancel;
    uint32_t sends;
    int code;
    _Atomic bool ended;
} bounded;

typedef struct scene {
    peer *p;
    kc_channel *channel;
    kc_sched *sched;
    kc_cancel *cancel;
    bounded first, second, third;
} scene;

enum { LONG_BYTES = 4096 };

static void use_bounded(void *arg)
{
    static uint8_t bytes[LONG_BYTES];
    uint8_t buffer[LONG_BYTES]; /* of a stack of 64 KiB */
    bounded *b = arg;
    b->code = b->sends != 0 ? kc_channel_send_c(b->channel, bytes, b->sends, KC_NEVER, b->cancel)
                            : kc_channel_recv_c(b->channel, buffer, sizeof buffer, NULL, KC_NEVER, b->cancel);
    atomic_store(&b->ended, true);
}

static void spawn(scene *s, bounded *b, kc_cancel *cancel, uint32_t sends)
{
    b->channel = s->channel;
    b->cancel = cancel;
    b->sends = sends;
    b->code = 1;
    KC_REQUIRE(kc_sched_spawn(s->sched, use_bounded, b, NULL) == KC_OK);
}

static void begin(scene *s, uint32_t max_requests, uint64_t max_bytes)
{
    const kc_sched_config config = {.workers = 1};
    kc_ipc_waiting waiting = *kc_remote_waiting();
    waiting.self = counted_self;
    s->p = open_bounded(&waiting, max_requests, max_bytes);
    s->channel = remote_channel(s->p, 1, 1001, LONG_BYTES);
    atomic_store(&waiting_count, 0);
    KC_REQUIRE(kc_cancel_make(NULL, &s->cancel) == KC_OK);
    KC_REQUIRE(kc_sched_make(&config, &s->sched) == KC_OK);
}

static void answer_one(scene *s, uint32_t req_id)
{
    uint8_t bytes[512];
    peer_raw(s->p, bytes, make_answer(s->p, req_id, bytes));
}

static void end(scene *s)
{
    peer_hang_up(s->p); /* so what is not cancelled ends too */
    KC_CHECK_EQ(kc_sched_drain(s->sched, KC_NEVER), KC_OK);
    kc_sched_free(s->sched);
    kc_cancel_drop(s->cancel);
    kc_channel_drop(s->channel);
    peer_close(s->p);
}

/* Whether the daemon was asked before this one had ended. */
static bool asks_the_daemon(scene *s, bounded *b)
{
    kc_frame_header header;
    kc_request request;
    bool asks = false;
    while (!asks && !atomic_load(&b->ended)) {
        asks = peer_next(s->p, &header, &request);
        sched_yield();
    }
    return asks || peer_next(s->p, &header, &request);
}

KC_TEST(a_cancel_ends_what_waits_for_a_bound_of_its_connection)
{
    scene s = {0};
    begin(&s, 1, 0);
    spawn(&s, &s.first, NULL, 0);
    uint32_t first_id = await_request(s.p);
    spawn(&s, &s.second, s.cancel, 0);
    await_waiting(2);
    KC_CHECK_EQ(kc_cancel_trigger(s.cancel, 0), KC_OK);
    answer_one(&s, first_id);
    KC_CHECK(!asks_the_daemon(&s, &s.second));
    end(&s);
    KC_CHECK_EQ(s.first.code, KC_OK);
    KC_CHECK_EQ(s.second.code, KC_ECANCELED);
}

KC_TEST(who_stood_behind_one_that_was_cancelled_goes_on_if_there_is_room)
{
    scene s = {0};
    begin(&s, 0, LONG_BYTES);
    spawn(&s, &s.first, NULL, 0);
    uint32_t first_id = await_request(s.p);
    spawn(&s, &s.second, s.cancel, LONG_BYTES); /* fits when it is alone */
    await_waiting(2);
    spawn(&s, &s.third, NULL, 0);
    await_waiting(3);
    peer_expect_nothing(s.p);
    KC_CHECK_EQ(kc_cancel_trigger(s.cancel, 0), KC_OK);
    answer_one(&s, await_request(s.p)); /* the third's: the first one is under way still */
    answer_one(&s, first_id);
    while (!atomic_load(&s.first.ended) || !atomic_load(&s.third.ended)) {
        sched_yield();
    }
    end(&s);
    KC_CHECK_EQ(s.first.code, KC_OK);
    KC_CHECK_EQ(s.second.code, KC_ECANCELED);
    KC_CHECK_EQ(s.third.code, KC_OK);
}

int main(void)
{
    KC_RUN(a_cancel_ends_what_waits_for_a_bound_of_its_connection);
    KC_RUN(who_stood_behind_one_that_was_cancelled_goes_on_if_there_is_room);
    return kc_test_report();
}
