/* test_engine_threads.c: threads of one engine: every message is received exactly once, memory that goes back to the
 * system is nobody's, and the thread sanitizer has nothing to say. Cancels, ends and deadlines: test_engine_races.c. */
#include "kc_crew.h"

static void *receive_until_closed(void *arg) {
    worker *k = arg;
    uint32_t last[SENDERS] = {0};
    kc_result result;

    while ((result = receive(k, k->chan)).code == KC_OK) {
        uint32_t value = value_of(k, &result);
        KC_CHECK(value % EACH + 1 > last[value / EACH]); /* of one sender, in order */
        last[value / EACH] = value % EACH + 1;
        k->ok++;
    }
    KC_CHECK_EQ(result.code, KC_EPIPE);
    return NULL;
}

static void senders_and_receivers(kc_chan_config config, uint32_t flags) {
    crew *c = hire();
    kc_chan chan = w_chan_of(&c->w, config);
    worker *senders[SENDERS];
    worker *receivers[RECEIVERS];
    uint32_t received = 0;

    for (int i = 0; i < SENDERS; i++)
        senders[i] = start(c, send_all, chan, 0, flags);
    for (int i = 0; i < RECEIVERS; i++)
        receivers[i] = start(c, receive_until_closed, chan, 0, flags);
    for (int i = 0; i < SENDERS; i++)
        join(senders[i]);
    KC_CHECK_EQ(kc_chan_close(c->w.e, chan), KC_OK);
    for (int i = 0; i < RECEIVERS; i++) {
        join(receivers[i]);
        received += receivers[i]->ok;
    }
    KC_CHECK_EQ(received, TOTAL);
    check_each_once(c, TOTAL);
    w_check(&c->w);
    dismiss(c);
}

KC_TEST(rendezvous_delivers_each_message_once) {
    senders_and_receivers((kc_chan_config){.kind = KC_KIND_RENDEZVOUS}, 0);
}

KC_TEST(a_buffer_delivers_each_message_once) {
    senders_and_receivers((kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 3}, 0);
}

KC_TEST(acknowledged_and_confirmed_messages_are_delivered_once) {
    senders_and_receivers((kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 3}, KC_OP_ACK | KC_OP_CONFIRM);
}

/* ---- select: a sender and a receiver, each over two channels ---- */

static void *select_sends(void *arg) {
    worker *k = arg;

    for (uint32_t i = 0; i < EACH; i++) {
        uint32_t value = k->number * EACH + i;
        kc_clause clauses[2] = {{.chan = k->chan, .dir = KC_CLAUSE_SEND}, {.chan = k->other, .dir = KC_CLAUSE_SEND}};
        kc_op op = op_of(k, 0);
        kc_result result;
        for (int n = 0; n < 2; n++)
            KC_REQUIRE(kc_body_make(k->e, 0, &value, sizeof value, &clauses[n].body, NULL) == KC_OK);
        if (kc_select(k->e, clauses, 2, &op, &result) == KC_PARKED)
            result = take(k);
        KC_CHECK_EQ(result.code, KC_OK);
        atomic_store(&k->sent[value], 1);
    }
    return NULL;
}

static void *select_receives(void *arg) {
    worker *k = arg;
    kc_result result;

    for (;;) {
        kc_clause clauses[2] = {{.chan = k->chan, .dir = KC_CLAUSE_RECV, .flags = KC_OP_ACK},
                                {.chan = k->other, .dir = KC_CLAUSE_RECV}};
        kc_op op = op_of(k, 0);
        if (kc_select(k->e, clauses, 2, &op, &result) == KC_PARKED)
            result = take(k);
        if (result.code != KC_OK)
            break;
        (void)value_of(k, &result);
        k->ok++;
    }
    KC_CHECK_EQ(result.code, KC_EPIPE);
    return NULL;
}

KC_TEST(selects_of_many_threads_meet_each_message_once) {
    crew *c = hire();
    kc_chan a = w_rendezvous(&c->w);
    kc_chan b = w_buffered(&c->w, 1);
    worker *one = start(c, select_sends, a, b, 0);
    worker *two = start(c, select_sends, b, a, 0);
    worker *three = start(c, select_receives, a, b, 0);
    worker *four = start(c, select_receives, b, a, 0);

    join(one);
    join(two);
    KC_CHECK_EQ(kc_chan_close(c->w.e, a), KC_OK);
    KC_CHECK_EQ(kc_chan_close(c->w.e, b), KC_OK);
    join(three);
    join(four);
    while (three->ok + four->ok < TOTAL && strcmp(w_try_text(&c->w, b), "(closed)") != 0)
        three->ok++; /* one that closed first has left what the other kept: none, or the buffer's last */
    KC_CHECK_EQ(three->ok + four->ok, TOTAL);
    w_check(&c->w);
    dismiss(c);
}

/* Sends long bodies and drops them again, and looks at their last bytes before. */
static void *fill_and_empty(void *arg) {
    enum { LENGTH = 300000, AT_ONCE = 8 };
    worker *k = arg;
    uint8_t *data = malloc(LENGTH);

    KC_REQUIRE(data != NULL);
    for (uint32_t i = 0; i < 60; i++) {
        kc_body bodies[AT_ONCE];
        memset(data, (int)(k->number * 64 + i), LENGTH);
        for (int n = 0; n < AT_ONCE; n++)
            KC_REQUIRE(kc_body_make(k->e, 0, data, LENGTH, &bodies[n], NULL) == KC_OK);
        for (int n = 0; n < AT_ONCE; n++) {
            uint8_t back[64];
            KC_CHECK_EQ(kc_body_copy(k->e, &bodies[n], LENGTH - 64, back, 64), KC_OK);
            KC_CHECK_MEM(back, data, 64);
            kc_body_drop(k->e, &bodies[n]);
        }
    }
    atomic_fetch_add(k->clock, 1);
    free(data);
    return NULL;
}

static void *trim_until_done(void *arg) {
    worker *k = arg;

    while (atomic_load(k->clock) < 2)
        (void)kc_engine_trim(k->e, 0, 1);
    return NULL;
}

KC_TEST(memory_that_goes_back_to_the_system_is_nobodys) {
    crew *c = hire();
    worker *workers[3] = {start(c, fill_and_empty, 0, 0, 0), start(c, fill_and_empty, 0, 0, 0),
                          start(c, trim_until_done, 0, 0, 0)};

    for (int i = 0; i < 3; i++)
        join(workers[i]);
    w_check(&c->w);
    dismiss(c);
}

int main(void) {
    KC_RUN(rendezvous_delivers_each_message_once);
    KC_RUN(a_buffer_delivers_each_message_once);
    KC_RUN(acknowledged_and_confirmed_messages_are_delivered_once);
    KC_RUN(selects_of_many_threads_meet_each_message_once);
    KC_RUN(memory_that_goes_back_to_the_system_is_nobodys);
    return kc_test_report();
}
