/* Looking at an engine (snapshot, dump, waiters, the cell, events), and what a broken invariant does to it. */
#include "core/kc_flow.h"
#include "core/kc_pool.h"
#include "kc_world.h"

KC_TEST(a_snapshot_conserves_messages_and_waiters) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 2);
    kc_result held;

    (void)w_tick(&w, 1000);
    (void)w_try_send(&w, c, "one");
    (void)w_tick(&w, 2000);
    (void)w_try_send(&w, c, "two");
    (void)w_send(&w, c, "three", 0);
    held = w_recv(&w, c, KC_OP_ACK);
    (void)w_next(&w);
    KC_CHECK_STR(w_try_text(&w, c), "two");
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_TOTAL_SENDS), 3);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_TOTAL_BYTES_SENT), 11);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_TOTAL_RECVS), 1);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_TOTAL_BYTES_RECV), 3);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_DEPTH), 2);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_BYTES), 8);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_SEND_IDX), 3);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_RECV_IDX), 1);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_MATCHED_WAITERS), 1);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_FINISHED_WAITERS), 1);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_FIRST_OP_TIME_NS), 1000);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_LAST_OP_TIME_NS), 2000);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_CAPACITY), 2);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_MAX_BYTES), 64 << 20);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_ELEM_SIZE), 16 << 20);
    KC_CHECK_EQ(w_ack(&w, held.token), KC_OK);
    w_close(&w);
}

KC_TEST(a_snapshot_of_nothing_is_enoent) {
    kc_world w = w_open();
    kc_chan_snapshot snapshot;
    kc_chan_config config;
    kc_rv_cell cell;
    kc_waiter_info info;

    KC_CHECK_EQ(kc_chan_measure(w.e, 77, &snapshot), KC_ENOENT);
    KC_CHECK_EQ(kc_chan_config_of(w.e, 77, &config), KC_ENOENT);
    KC_CHECK_EQ(kc_chan_rv_cell(w.e, 77, &cell), KC_ENOENT);
    KC_CHECK_EQ(kc_chan_dump(w.e, 77, w.text, sizeof w.text), KC_ENOENT);
    KC_CHECK_EQ(kc_chan_waiters(w.e, 77, KC_CLAUSE_RECV, 0, &info, 1), KC_ENOENT);
    KC_CHECK_EQ(kc_chan_waiters(w.e, w_rendezvous(&w), 2, 0, &info, 1), KC_ENOENT);
    KC_CHECK_EQ(kc_chan_reason(w.e, 77, w.text, 1), KC_ENOENT);
    w_close(&w);
}

KC_TEST(a_dump_is_one_line_that_names_kind_policy_and_state) {
    kc_world w = w_open();
    kc_chan c = w_chan_of(&w, (kc_chan_config){.kind = KC_KIND_BUFFERED,
                                               .capacity = 3,
                                               .overflow = KC_OVERFLOW_DROP_OLDEST,
                                               .user = 42});
    char text[512] = "";
    char small[8] = "";
    int length = 0;

    (void)w_try_send(&w, c, "abc");
    length = kc_chan_dump(w.e, c, text, sizeof text);
    KC_CHECK_EQ(length, (int)strlen(text));
    KC_CHECK(strstr(text, "chan=42 kind=buffered cap=3 policy=drop_oldest occ=1") == text);
    KC_CHECK(strstr(text, "state=OPEN") != NULL);
    KC_CHECK(strchr(text, '\n') == NULL);
    KC_CHECK_EQ(kc_chan_dump(w.e, c, small, sizeof small), length);
    KC_CHECK_STR(small, "chan=42");
    w_close(&w);
}

KC_TEST(waiters_are_listed_in_queue_order_with_side_status_and_age) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);
    kc_chan other = w_rendezvous(&w);
    kc_clause clauses[2] = {w_sending(&w, c, "abc"), w_receiving(other)};
    kc_waiter_info infos[4];
    kc_result first;
    kc_result second;

    (void)w_tick(&w, 100);
    first = w_send(&w, c, "12345", 0);
    (void)w_tick(&w, 150);
    second = w_select(&w, clauses, 2, 0);
    (void)w_tick(&w, 175);
    KC_CHECK_EQ(kc_chan_waiters(w.e, c, KC_CLAUSE_SEND, 0, infos, 4), 2);
    KC_CHECK_EQ(infos[0].token, first.token);
    KC_CHECK_EQ(infos[0].user, first.user);
    KC_CHECK_EQ(infos[0].scope, w.scope);
    KC_CHECK_EQ(infos[0].age_ns, 75);
    KC_CHECK_EQ(infos[0].dir, KC_CLAUSE_SEND);
    KC_CHECK_EQ(infos[0].status, KC_TOKEN_ENQUEUED);
    KC_CHECK_EQ(infos[0].clauses, 1);
    KC_CHECK_EQ(infos[0].len_bytes, 5);
    KC_CHECK_EQ(infos[1].token, second.token);
    KC_CHECK_EQ(infos[1].age_ns, 25);
    KC_CHECK_EQ(infos[1].clauses, 2);
    KC_CHECK_EQ(infos[1].len_bytes, 3);
    KC_CHECK_EQ(kc_chan_waiters(w.e, c, KC_CLAUSE_SEND, 1, infos, 4), 1);
    KC_CHECK_EQ(infos[0].token, second.token);
    KC_CHECK_EQ(kc_chan_waiters(w.e, c, KC_CLAUSE_SEND, 2, infos, 4), 0);
    KC_CHECK_EQ(kc_chan_waiters(w.e, c, KC_CLAUSE_SEND, 0, infos, 1), 1);
    KC_CHECK_EQ(kc_chan_waiters(w.e, c, KC_CLAUSE_RECV, 0, infos, 4), 0);
    KC_CHECK_EQ(kc_chan_waiters(w.e, other, KC_CLAUSE_RECV, 0, infos, 4), 1);
    KC_CHECK_EQ(infos[0].len_bytes, 0);
    w_close(&w);
}

KC_TEST(the_cell_shows_the_head_of_the_channel) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);
    kc_rv_cell cell;
    kc_result sender;
    kc_result receiver;
    kc_result held;

    KC_CHECK_EQ(kc_chan_rv_cell(w.e, c, &cell), KC_OK);
    KC_CHECK_EQ(cell.state, KC_RV_EMPTY);
    sender = w_send(&w, c, "abc", 0);
    KC_CHECK_EQ(kc_chan_rv_cell(w.e, c, &cell), KC_OK);
    KC_CHECK_EQ(cell.state, KC_RV_SENDER_READY);
    KC_CHECK_EQ(cell.sender, sender.token);
    KC_CHECK_EQ(cell.receiver, 0);
    KC_CHECK_EQ(cell.len_bytes, 3);
    held = w_recv(&w, c, KC_OP_ACK);
    KC_CHECK_EQ(kc_chan_rv_cell(w.e, c, &cell), KC_OK);
    KC_CHECK_EQ(cell.state, KC_RV_MATCHED);
    KC_CHECK_EQ(cell.matches, 1);
    KC_CHECK_EQ(w_ack(&w, held.token), KC_OK);
    KC_CHECK_EQ(kc_chan_rv_cell(w.e, c, &cell), KC_OK);
    KC_CHECK_EQ(cell.state, KC_RV_EMPTY);
    receiver = w_recv(&w, c, 0);
    KC_CHECK_EQ(kc_chan_rv_cell(w.e, c, &cell), KC_OK);
    KC_CHECK_EQ(cell.state, KC_RV_RECEIVER_READY);
    KC_CHECK_EQ(cell.receiver, receiver.token);
    KC_CHECK_EQ(w_cancel(&w, receiver.token), KC_OK);
    KC_CHECK_EQ(kc_chan_rv_cell(w.e, c, &cell), KC_OK);
    KC_CHECK_EQ(cell.state, KC_RV_CANCELLED);
    KC_CHECK_EQ(cell.cancels, 1);
    w_close(&w);
}

KC_TEST(events_are_kept_in_order_and_the_lost_are_counted) {
    kc_world w = w_open();
    kc_event event;
    kc_chan chans[3];

    for (uint64_t i = 0; i < 3; i++)
        chans[i] = w_chan_of(
            &w, (kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 1, .max_attempts = 1, .user = i});
    for (uint64_t i = 0; i < 70; i++) {
        (void)w_try_send(&w, chans[i % 3], "x");
        KC_CHECK_EQ(w_nack(&w, w_recv(&w, chans[i % 3], KC_OP_ACK).token), KC_OK);
    }
    for (uint64_t i = 6; i < 70; i++) {
        KC_CHECK_EQ(kc_engine_take_event(w.e, &event), 1);
        KC_CHECK_EQ(event.chan_user, i % 3);
        KC_CHECK_EQ(event.lost, 6);
    }
    KC_CHECK_EQ(kc_engine_take_event(w.e, &event), 0);
    w_close(&w);
}

/* ---- poison ---- */

static void set_state(kc_word *word, uint32_t state) {
    uint64_t w = kc_word_load(word);

    atomic_store(word, (w & ~((uint64_t)15 << 36)) | (uint64_t)state << 36);
}

/* A breach ends its channel, says so once or more, and leaves the rest of the engine as it was. */
static void check_poisoned(kc_world *w, kc_chan bad, kc_chan good) {
    kc_op op = w_op(w, 0);
    kc_event event;
    kc_result result;

    KC_CHECK_EQ(kc_engine_take_event(w->e, &event), 1);
    KC_CHECK_EQ(event.kind, KC_EVENT_POISONED);
    while (kc_engine_take_event(w->e, &event) == 1)
        KC_CHECK_EQ(event.kind, KC_EVENT_POISONED);
    while (kc_port_take(w->e, w->port, &result, 1) == 1)
        if ((result.flags & (KC_RESULT_MESSAGE | KC_RESULT_HELD)) == KC_RESULT_MESSAGE)
            kc_body_drop(w->e, &result.body);
    KC_CHECK_EQ(kc_chan_send(w->e, bad, &op, "x", 1, &result), KC_ECANCELED);
    KC_CHECK_EQ(result.reason, KC_REASON_POISONED);
    KC_CHECK_EQ(kc_chan_send(w->e, good, &op, "still here", 10, &result), KC_OK);
    KC_CHECK_EQ(kc_chan_recv(w->e, good, &op, w->text, sizeof w->text, &result), KC_OK);
    KC_CHECK_MEM(w->text, "still here", 10);
}

KC_TEST(a_parked_receiver_in_a_wrong_state_poisons_its_channel_only) {
    kc_world w = w_open();
    kc_chan bad = w_rendezvous(&w);
    kc_chan good = w_buffered(&w, 1);
    kc_token token = w_recv(&w, bad, 0).token;
    kc_op op = w_op(&w, KC_OP_TRY);
    kc_result result;

    set_state(&kc_tok_find(w.e, token)->w, KC_TOK_CANCELLED);
    KC_CHECK_EQ(kc_chan_send(w.e, bad, &op, "x", 1, &result), KC_ECANCELED);
    check_poisoned(&w, bad, good);
    w_close(&w);
}

KC_TEST(a_confirmed_send_to_a_broken_receiver_stays_the_senders) {
    kc_world w = w_open();
    kc_chan bad = w_rendezvous(&w);
    kc_chan good = w_buffered(&w, 1);
    kc_token token = w_recv(&w, bad, 0).token;
    kc_op op = w_op(&w, KC_OP_CONFIRM);
    kc_body body;
    kc_result result;

    set_state(&kc_tok_find(w.e, token)->w, KC_TOK_CANCELLED);
    KC_CHECK_EQ(kc_body_make(w.e, 0, "mine", 4, &body, NULL), KC_OK);
    KC_CHECK_EQ(kc_chan_send_body(w.e, bad, &op, &body, &result), KC_ECANCELED);
    KC_CHECK_EQ(body.len_bytes, 4);
    kc_body_drop(w.e, &body);
    check_poisoned(&w, bad, good);
    w_close(&w);
}

KC_TEST(a_parked_sender_in_a_wrong_state_poisons_its_channel_only) {
    kc_world w = w_open();
    kc_chan bad = w_rendezvous(&w);
    kc_chan good = w_buffered(&w, 1);
    kc_token token = w_send(&w, bad, "x", 0).token;
    kc_op op = w_op(&w, KC_OP_TRY);
    kc_result result;

    set_state(&kc_tok_find(w.e, token)->w, KC_TOK_CANCELLED);
    (void)kc_chan_recv(w.e, bad, &op, NULL, 0, &result);
    kc_body_drop(w.e, &result.body);
    check_poisoned(&w, bad, good);
    w_close(&w);
}

KC_TEST(a_waiting_message_in_a_wrong_state_poisons_its_channel_only) {
    kc_world w = w_open();
    kc_chan bad = w_buffered(&w, 2);
    kc_chan good = w_buffered(&w, 1);
    kc_op op = w_op(&w, KC_OP_TRY);
    kc_result result;

    (void)w_try_send(&w, bad, "x");
    set_state(&kc_msg_at(w.e, kc_chan_find(w.e, bad)->ready.head)->w, KC_MSG_DROPPED);
    KC_CHECK_EQ(kc_chan_recv(w.e, bad, &op, NULL, 0, &result), KC_ECANCELED);
    KC_CHECK_EQ(result.body.block, 0);
    check_poisoned(&w, bad, good);
    kc_engine_free(w.e); /* the broken record is nobody's: w_close would find it in use */
}

KC_TEST(the_check_names_what_is_wrong) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 2);
    char why[256] = "";

    (void)w_try_send(&w, c, "x");
    kc_chan_find(w.e, c)->bytes++;
    KC_CHECK_EQ(kc_engine_check(w.e, why, sizeof why), KC_EPROTO);
    KC_CHECK(strstr(why, "bytes") != NULL);
    kc_chan_find(w.e, c)->bytes--;
    kc_chan_find(w.e, c)->stat[KC_STAT_TOTAL_SENDS]++;
    KC_CHECK_EQ(kc_engine_check(w.e, why, sizeof why), KC_EPROTO);
    KC_CHECK(strstr(why, "conservation") != NULL);
    kc_chan_find(w.e, c)->stat[KC_STAT_TOTAL_SENDS]--;
    set_state(&kc_msg_at(w.e, kc_chan_find(w.e, c)->ready.head)->w, KC_MSG_STAGED);
    KC_CHECK_EQ(kc_engine_check(w.e, why, sizeof why), KC_EPROTO);
    KC_CHECK(strstr(why, "STAGED") != NULL);
    set_state(&kc_msg_at(w.e, kc_chan_find(w.e, c)->ready.head)->w, KC_MSG_READY);
    w_close(&w);
}

int main(void) {
    KC_RUN(a_snapshot_conserves_messages_and_waiters);
    KC_RUN(a_snapshot_of_nothing_is_enoent);
    KC_RUN(a_dump_is_one_line_that_names_kind_policy_and_state);
    KC_RUN(waiters_are_listed_in_queue_order_with_side_status_and_age);
    KC_RUN(the_cell_shows_the_head_of_the_channel);
    KC_RUN(events_are_kept_in_order_and_the_lost_are_counted);
    KC_RUN(a_parked_receiver_in_a_wrong_state_poisons_its_channel_only);
    KC_RUN(a_confirmed_send_to_a_broken_receiver_stays_the_senders);
    KC_RUN(a_parked_sender_in_a_wrong_state_poisons_its_channel_only);
    KC_RUN(a_waiting_message_in_a_wrong_state_poisons_its_channel_only);
    KC_RUN(the_check_names_what_is_wrong);
    return kc_test_report();
}
