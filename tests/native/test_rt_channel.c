/* test_rt_channel.c: channels between coroutines and threads, alone and in a crowd, with 1, 2 and 4 workers. After each
 * test the engine is checked, and nobody and nothing is left in it. Races with cancels and deadlines:
 * test_rt_channel_races.c. */
#include <pthread.h>

#include "kc_rt_crowd.h"

/* ---- one at a time, from a thread ---- */

KC_TEST(tries_answer_at_once) {
    world w = begin(1);
    kc_channel *c = channel_of(&w, KC_KIND_BUFFERED, 1, sizeof(int));
    int value = 7, got = 0;
    uint32_t len = 0;

    KC_CHECK_EQ(kc_channel_try_recv(c, &got, sizeof got, &len), KC_EAGAIN);
    KC_CHECK_EQ(kc_channel_try_send(c, &value, sizeof value), KC_OK);
    KC_CHECK_EQ(kc_channel_try_send(c, &value, sizeof value), KC_EAGAIN);
    KC_CHECK_EQ(kc_channel_send(c, &value, sizeof value, 0), KC_ETIME);
    KC_CHECK_EQ(kc_channel_depth(c), 1);
    KC_CHECK_EQ(kc_channel_try_recv(c, &got, sizeof got, &len), KC_OK);
    KC_CHECK_EQ(got, 7);
    KC_CHECK_EQ(len, sizeof got);
    KC_CHECK_EQ(kc_channel_recv(c, &got, sizeof got, NULL, kc_now_ns()), KC_ETIME);
    kc_channel_drop(c);
    end(&w);
}

KC_TEST(what_does_not_fit_is_refused_and_nothing_is_lost) {
    world w = begin(1);
    kc_channel *bytes = channel_of(&w, KC_KIND_BUFFERED, 2, 8);
    kc_channel *pointers = channel_of(&w, KC_KIND_BUFFERED, 2, 0);
    char data[16] = "0123456789abcde";
    void *ptr = NULL;
    uint64_t len = 0;
    uint32_t short_len = 0;

    KC_CHECK_EQ(kc_channel_send(bytes, data, 9, KC_NEVER), KC_EMSGSIZE);
    KC_CHECK_EQ(kc_channel_send(bytes, "", 0, KC_NEVER), KC_OK); /* nothing is an element too */
    KC_CHECK_EQ(kc_channel_recv(bytes, data, 7, NULL, KC_NEVER), KC_EMSGSIZE);
    KC_CHECK_EQ(kc_channel_recv(bytes, data, 8, &short_len, KC_NEVER), KC_OK);
    KC_CHECK_EQ(short_len, 0);
    KC_CHECK_EQ(kc_channel_send(pointers, data, 8, KC_NEVER), KC_EINVAL);
    KC_CHECK_EQ(kc_channel_recv(pointers, data, 16, NULL, KC_NEVER), KC_EINVAL);
    KC_CHECK_EQ(kc_channel_send_ptr(bytes, data, 8, KC_NEVER), KC_EINVAL);
    KC_CHECK_EQ(kc_channel_recv_ptr(bytes, &ptr, &len, KC_NEVER), KC_EINVAL);
    KC_CHECK_EQ(kc_channel_send_ptr(pointers, NULL, 8, KC_NEVER), KC_EINVAL);
    KC_CHECK_EQ(kc_channel_send_ptr(pointers, data, 0, KC_NEVER), KC_EINVAL);
    KC_CHECK_EQ(kc_channel_depth(bytes) + kc_channel_depth(pointers), 0);
    kc_channel_drop(bytes);
    kc_channel_drop(pointers);
    end(&w);
}

static uint32_t sends_until_full(kc_channel *c, uint32_t len_bytes) {
    static const char data[KC_CHANNEL_MAX_ELEM_BYTES];
    uint32_t count = 0;

    while (kc_channel_try_send(c, data, len_bytes) == KC_OK)
        count++;
    KC_CHECK_EQ(kc_channel_try_send(c, data, len_bytes), KC_EAGAIN);
    return count;
}

KC_TEST(a_channel_is_full_at_64_MiB_whatever_places_it_has) {
    enum { MOST_BYTES = 64 << 20, ELEM_BYTES = KC_CHANNEL_MAX_ELEM_BYTES };
    world w = begin(1);
    kc_channel *unlimited = channel_of(&w, KC_KIND_UNLIMITED, 0, ELEM_BYTES);
    kc_channel *buffered = channel_of(&w, KC_KIND_BUFFERED, 2000, ELEM_BYTES);
    kc_channel *small = channel_of(&w, KC_KIND_BUFFERED, 2000, ELEM_BYTES);

    KC_CHECK_EQ(sends_until_full(unlimited, ELEM_BYTES), MOST_BYTES / ELEM_BYTES);
    kc_channel_drop(unlimited);
    KC_CHECK_EQ(sends_until_full(buffered, ELEM_BYTES), MOST_BYTES / ELEM_BYTES);
    kc_channel_drop(buffered);
    KC_CHECK_EQ(sends_until_full(small, 8), 2000);
    kc_channel_drop(small);
    end(&w);
}

KC_TEST(a_hub_has_its_engine_for_itself) {
    kc_engine *e = NULL;
    kc_hub *hub = NULL, *other = NULL;

    KC_REQUIRE(kc_engine_make(NULL, &e) == KC_OK);
    KC_REQUIRE(kc_hub_make(e, &hub) == KC_OK);
    KC_CHECK_EQ(kc_hub_make(e, &other), KC_EBUSY);
    kc_hub_free(hub);
    KC_REQUIRE(kc_hub_make(e, &other) == KC_OK);
    kc_hub_free(other);
    kc_engine_free(e);
}

/* ---- many senders, many receivers: each message once ---- */

static void sends_numbers(void *arg) {
    crowd *c = arg;
    uint32_t first = atomic_fetch_add(&c->number, c->each);

    for (uint32_t i = 0; i < c->each; i++) {
        uint32_t value = first + i;
        KC_CHECK_EQ(kc_channel_send(c->in, &value, sizeof value, KC_NEVER), KC_OK);
    }
    if (atomic_fetch_sub(&c->senders_left, 1) == 1)
        KC_CHECK_EQ(kc_channel_close(c->in), KC_OK);
}

static void receives_numbers(void *arg) {
    crowd *c = arg;
    uint32_t value = 0, len = 0;
    int rc = KC_OK;

    while ((rc = kc_channel_recv(c->in, &value, sizeof value, &len, KC_NEVER)) == KC_OK) {
        KC_CHECK_EQ(len, sizeof value);
        saw(c, value);
    }
    KC_CHECK_EQ(rc, KC_EPIPE);
}

static void *sends_in_thread(void *arg) {
    sends_numbers(arg);
    return NULL;
}
static void *receives_in_thread(void *arg) {
    receives_numbers(arg);
    return NULL;
}

/* A thread at either side, coroutines beside it. */
static void each_once(uint32_t workers, int32_t kind, uint32_t capacity) {
    crowd c = gather(workers, kind, capacity);
    pthread_t threads[2];

    for (int i = 0; i < RECEIVERS; i++)
        rt_spawn(c.w.sched, receives_numbers, &c);
    KC_REQUIRE(pthread_create(&threads[0], NULL, receives_in_thread, &c) == 0);
    KC_REQUIRE(pthread_create(&threads[1], NULL, sends_in_thread, &c) == 0);
    for (int i = 0; i < SENDERS; i++)
        rt_spawn(c.w.sched, sends_numbers, &c);
    KC_REQUIRE(pthread_join(threads[0], NULL) == 0);
    KC_REQUIRE(pthread_join(threads[1], NULL) == 0);
    KC_CHECK_EQ(kc_sched_drain(c.w.sched, KC_NEVER), KC_OK);
    check(&c.w);
    KC_CHECK_EQ(c.received, (SENDERS + 1) * EACH);
    KC_CHECK_EQ(stat_of(&c.w, c.in, KC_STAT_TOTAL_SENDS), (SENDERS + 1) * EACH);
    KC_CHECK_EQ(stat_of(&c.w, c.in, KC_STAT_TOTAL_RECVS), (SENDERS + 1) * EACH);
    disperse(&c);
}

static void rendezvous_with(uint32_t workers) { each_once(workers, KC_KIND_RENDEZVOUS, 0); }
static void buffered_with(uint32_t workers) { each_once(workers, KC_KIND_BUFFERED, 3); }
static void unlimited_with(uint32_t workers) { each_once(workers, KC_KIND_UNLIMITED, 0); }
KC_TEST(rendezvous_hands_over_each_message_once) { rt_with_workers(rendezvous_with); }
KC_TEST(a_buffer_hands_over_each_message_once) { rt_with_workers(buffered_with); }
KC_TEST(an_unlimited_channel_hands_over_each_message_once) { rt_with_workers(unlimited_with); }

/* ---- order ---- */

static void receives_in_order(void *arg) {
    crowd *c = arg;
    uint32_t value = 0, expected = 0;

    while (kc_channel_recv(c->in, &value, sizeof value, NULL, KC_NEVER) == KC_OK)
        KC_CHECK_EQ(value, expected++);
    KC_CHECK_EQ(expected, c->each);
}

static void order_with(uint32_t workers) {
    for (uint32_t capacity = 0; capacity < 3; capacity++) {
        crowd c = gather(workers, capacity != 0 ? KC_KIND_BUFFERED : KC_KIND_RENDEZVOUS, capacity);
        c.senders_left = 1;
        rt_spawn(c.w.sched, sends_numbers, &c);
        rt_spawn(c.w.sched, receives_in_order, &c);
        disperse(&c);
    }
}
KC_TEST(one_sender_is_received_in_order) { rt_with_workers(order_with); }

/* ---- close, destroy ---- */

typedef struct ended {
    kc_channel *channel;
    _Atomic uint32_t parked, codes[2];
} ended;

static void receives_until_the_end(void *arg) {
    ended *e = arg;
    uint32_t value = 0;
    int rc = KC_OK;

    (void)atomic_fetch_add(&e->parked, 1);
    rc = kc_channel_recv(e->channel, &value, sizeof value, NULL, KC_NEVER);
    (void)atomic_fetch_add(&e->codes[rc == KC_EPIPE ? 0 : 1], 1);
    KC_CHECK(rc == KC_EPIPE || rc == KC_ECANCELED);
}

static void end_wakes_all_with(uint32_t workers) {
    enum { WAITERS = 10 };
    for (int destroy = 0; destroy < 2; destroy++) {
        world w = begin(workers);
        ended e = {.channel = channel_of(&w, KC_KIND_RENDEZVOUS, 0, 4)};
        for (int i = 0; i < WAITERS; i++)
            rt_spawn(w.sched, receives_until_the_end, &e);
        rt_until(&e.parked, WAITERS);
        if (destroy != 0)
            KC_CHECK_EQ(kc_channel_destroy(e.channel, KC_REASON_SHUTDOWN), KC_OK);
        else
            KC_CHECK_EQ(kc_channel_close(e.channel), KC_OK);
        KC_CHECK_EQ(kc_sched_drain(w.sched, KC_NEVER), KC_OK);
        KC_CHECK_EQ(e.codes[destroy], WAITERS);
        KC_CHECK_EQ(e.codes[1 - destroy], 0);
        check(&w);
        kc_channel_drop(e.channel);
        end(&w);
    }
}
KC_TEST(the_end_of_a_channel_wakes_all_who_wait) { rt_with_workers(end_wakes_all_with); }

/* ---- memory ---- */

static void sends_pointers(void *arg) {
    crowd *c = arg;

    for (uint32_t i = 0; i < c->each; i++) {
        uint32_t *mine = malloc(sizeof *mine);
        KC_REQUIRE(mine != NULL);
        *mine = i;
        KC_CHECK_EQ(kc_channel_send_ptr(c->in, mine, sizeof *mine, KC_NEVER), KC_OK);
    }
    KC_CHECK_EQ(kc_channel_close(c->in), KC_OK);
}

static void receives_pointers(void *arg) {
    crowd *c = arg;
    void *ptr = NULL;
    uint64_t len = 0;
    uint32_t expected = 0;

    while (kc_channel_recv_ptr(c->in, &ptr, &len, KC_NEVER) == KC_OK) {
        KC_CHECK_EQ(len, sizeof(uint32_t));
        KC_CHECK_EQ(*(uint32_t *)ptr, expected++);
        free(ptr);
    }
    KC_CHECK_EQ(expected, c->each);
}

static void pointers_with(uint32_t workers) {
    for (uint32_t capacity = 0; capacity < 3; capacity += 2) {
        crowd c = {.w = begin(workers), .each = EACH};
        c.in = channel_of(&c.w, capacity != 0 ? KC_KIND_BUFFERED : KC_KIND_RENDEZVOUS, capacity, 0);
        rt_spawn(c.w.sched, sends_pointers, &c);
        rt_spawn(c.w.sched, receives_pointers, &c);
        KC_CHECK_EQ(kc_sched_drain(c.w.sched, KC_NEVER), KC_OK);
        KC_CHECK_EQ(stat_of(&c.w, c.in, KC_STAT_ZREF_SENT), EACH);
        KC_CHECK_EQ(stat_of(&c.w, c.in, KC_STAT_ZREF_RECEIVED), EACH);
        disperse(&c);
    }
}
KC_TEST(pointers_change_hands_and_no_byte_moves) { rt_with_workers(pointers_with); }

/* ---- select ---- */

static void selects_sends(void *arg) {
    crowd *c = arg;
    uint32_t first = atomic_fetch_add(&c->number, c->each);

    for (uint32_t i = 0; i < c->each; i++) {
        uint32_t value = first + i, index = 9;
        kc_channel_clause clauses[2] = {
            {.channel = c->in, .dir = KC_CLAUSE_SEND, .data = &value, .len_bytes = sizeof value},
            {.channel = c->other, .dir = KC_CLAUSE_SEND, .data = &value, .len_bytes = sizeof value}};
        KC_CHECK_EQ(kc_channel_select(clauses, 2, 0, KC_NEVER, NULL, &index), KC_OK);
        KC_CHECK(index < 2);
    }
    if (atomic_fetch_sub(&c->senders_left, 1) == 1) {
        KC_CHECK_EQ(kc_channel_close(c->in), KC_OK);
        KC_CHECK_EQ(kc_channel_close(c->other), KC_OK);
    }
}

static void selects_receives(void *arg) {
    crowd *c = arg;
    uint32_t left = 2, index = 0;
    kc_channel *channels[2] = {c->in, c->other};

    while (left > 0) {
        uint32_t value[2] = {0, 0};
        kc_channel_clause clauses[2] = {
            {.channel = channels[0], .dir = KC_CLAUSE_RECV, .buffer = &value[0], .buffer_bytes = sizeof value[0]},
            {.channel = channels[1], .dir = KC_CLAUSE_RECV, .buffer = &value[1], .buffer_bytes = sizeof value[1]}};
        int rc = kc_channel_select(clauses, left, 0, KC_NEVER, NULL, &index);
        KC_CHECK(rc == KC_OK || rc == KC_EPIPE);
        if (rc == KC_OK) {
            KC_CHECK_EQ(clauses[index].len_bytes, sizeof value[0]);
            saw(c, value[index]);
        } else {
            channels[0] = channels[1 - index];
            left--;
        }
    }
}

static void select_with(uint32_t workers) {
    crowd c = gather(workers, KC_KIND_RENDEZVOUS, 0);

    c.other = channel_of(&c.w, KC_KIND_BUFFERED, 1, sizeof(uint32_t));
    c.senders_left = SENDERS;
    for (int i = 0; i < SENDERS; i++) {
        rt_spawn(c.w.sched, selects_sends, &c);
        rt_spawn(c.w.sched, selects_receives, &c);
    }
    KC_CHECK_EQ(kc_sched_drain(c.w.sched, KC_NEVER), KC_OK);
    KC_CHECK_EQ(c.received, SENDERS * EACH);
    check(&c.w);
    kc_channel_drop(c.other);
    disperse(&c);
}
KC_TEST(selects_at_both_sides_meet_each_message_once) { rt_with_workers(select_with); }

KC_TEST(a_select_that_cannot_be_is_refused) {
    world w = begin(1), v = begin(1);
    kc_channel *a = channel_of(&w, KC_KIND_RENDEZVOUS, 0, 4);
    kc_channel *b = channel_of(&v, KC_KIND_RENDEZVOUS, 0, 4);
    int value = 0;
    uint32_t index = 7;
    kc_channel_clause clauses[2] = {{.channel = a, .dir = KC_CLAUSE_SEND, .data = &value, .len_bytes = 4},
                                    {.channel = b, .dir = KC_CLAUSE_SEND, .data = &value, .len_bytes = 4}};
    kc_cancel *cancel = NULL;

    KC_CHECK_EQ(kc_channel_select(clauses, 0, 0, KC_NEVER, NULL, &index), KC_EINVAL);
    KC_CHECK_EQ(kc_channel_select(clauses, 65, 0, KC_NEVER, NULL, &index), KC_EINVAL);
    KC_CHECK_EQ(kc_channel_select(clauses, 2, 0, KC_NEVER, NULL, &index), KC_EINVAL); /* two hubs */
    KC_CHECK_EQ(kc_channel_select(clauses, 1, KC_OP_TRY, KC_NEVER, NULL, &index), KC_EAGAIN);
    KC_CHECK_EQ(kc_channel_select(clauses, 1, 0, kc_after_ns(1000000), NULL, &index), KC_ETIME);
    clauses[1] = (kc_channel_clause){.channel = a, .dir = KC_CLAUSE_RECV, .buffer = &value, .buffer_bytes = 3};
    KC_CHECK_EQ(kc_channel_select(clauses, 2, 0, KC_NEVER, NULL, &index), KC_EMSGSIZE);
    KC_CHECK_EQ(index, 1);
    KC_REQUIRE(kc_cancel_make(NULL, &cancel) == KC_OK);
    KC_CHECK_EQ(kc_cancel_trigger(cancel, 0), KC_OK);
    KC_CHECK_EQ(kc_channel_select(clauses, 1, 0, KC_NEVER, cancel, &index), KC_ECANCELED);
    KC_CHECK_EQ(kc_channel_close(a), KC_OK);
    KC_CHECK_EQ(kc_channel_select(clauses, 1, 0, KC_NEVER, NULL, &index), KC_EPIPE);
    KC_CHECK_EQ(index, 0);
    kc_cancel_drop(cancel);
    kc_channel_drop(a);
    kc_channel_drop(b);
    end(&w);
    end(&v);
}

int main(void) {
    KC_RUN(tries_answer_at_once);
    KC_RUN(what_does_not_fit_is_refused_and_nothing_is_lost);
    KC_RUN(a_channel_is_full_at_64_MiB_whatever_places_it_has);
    KC_RUN(a_hub_has_its_engine_for_itself);
    KC_RUN(rendezvous_hands_over_each_message_once);
    KC_RUN(a_buffer_hands_over_each_message_once);
    KC_RUN(an_unlimited_channel_hands_over_each_message_once);
    KC_RUN(one_sender_is_received_in_order);
    KC_RUN(the_end_of_a_channel_wakes_all_who_wait);
    KC_RUN(pointers_change_hands_and_no_byte_moves);
    KC_RUN(selects_at_both_sides_meet_each_message_once);
    KC_RUN(a_select_that_cannot_be_is_refused);
    return kc_test_report();
}
