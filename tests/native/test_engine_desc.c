/* Descriptors and their backends, regions and what is in flight of them (kc_desc.h). That channels treat them as any
 * message is shown by the other tests, which run a second time with descriptors. */
#include "kc_world.h"

enum { OWNER = 7, STRANGER = 8, SIZE = 1 << 20 };

static kc_ticket region_of(kc_world *w, uint64_t user) {
    const kc_region_config config = {.file = -1, .size_bytes = SIZE, .user = user};
    kc_ticket region = 0;

    KC_REQUIRE(kc_region_add(w->e, &config, &region, NULL) == KC_OK);
    w_check(w);
    return region;
}

static int send_range(kc_world *w, kc_chan chan, kc_ticket region, uint64_t offset, uint64_t bytes, uint32_t flags) {
    kc_op op = w_op(w, flags);
    kc_result result = {0};
    kc_body body = {0};
    int rc = kc_region_body(w->e, region, OWNER, offset, bytes, &body, NULL);

    if (rc == KC_OK)
        rc = kc_chan_send_body(w->e, chan, &op, &body, &result);
    kc_body_forget(w->e, &body);
    w_check(w);
    return rc;
}

static kc_freed next_freed(kc_world *w) {
    kc_freed freed = {.user = W_NOTHING};

    (void)kc_desc_take_freed(w->e, &freed, 1);
    w_check(w);
    return freed;
}

static uint32_t in_flight(kc_world *w, kc_ticket region) {
    kc_region_info info = {0};

    KC_CHECK_EQ(kc_region_look(w->e, region, &info), KC_OK);
    return info.in_flight;
}

static int64_t ended(kc_world *w) {
    kc_region_end end = {0};

    while (next_freed(w).user != W_NOTHING)
        continue;
    return kc_region_take_ended(w->e, &end) == 1 ? (int64_t)end.region : 0;
}

static void take_and_free(kc_world *w, kc_chan chan) {
    kc_result result = w_recv(w, chan, KC_OP_TRY);

    KC_CHECK_EQ(result.code, KC_OK);
    kc_body_drop(w->e, &result.body);
    w_check(w);
}

KC_TEST(a_pointer_goes_through_a_channel_and_nobody_copies_it) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 2);
    char memory[] = "shared";
    kc_op op = w_op(&w, KC_OP_TRY);
    kc_desc desc = {.offset = (uint64_t)(uintptr_t)memory, .len_bytes = sizeof memory};
    kc_result result;

    KC_CHECK_EQ(kc_chan_send_desc(w.e, c, &op, &desc, &result), KC_OK);
    memory[0] = 'S';
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_DESCRIPTORS), 1);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_BYTES), 0);
    KC_CHECK_EQ(kc_chan_recv_desc(w.e, c, &op, &desc, &result), KC_OK);
    KC_CHECK_EQ(desc.backend, KC_DESC_ZREF);
    KC_CHECK_EQ(desc.offset, (uintptr_t)memory);
    KC_CHECK_EQ(desc.len_bytes, sizeof memory);
    kc_body_drop(w.e, &result.body);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_TOTAL_BYTES_SENT), sizeof memory);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_TOTAL_BYTES_RECV), sizeof memory);
    w_close(&w);
}

KC_TEST(a_descriptor_of_nothing_is_refused_and_so_is_a_backend_nobody_added) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 1);
    kc_op op = w_op(&w, KC_OP_TRY);
    kc_result result;
    char byte = 0;
    const kc_desc null = {.len_bytes = 1};
    const kc_desc empty = {.offset = (uint64_t)(uintptr_t)&byte};
    const kc_desc unknown = {.backend = 5, .offset = 1, .len_bytes = 1};
    const kc_desc region = {.backend = KC_DESC_REGION, .offset = 1, .len_bytes = 1};

    KC_CHECK_EQ(kc_chan_send_desc(w.e, c, &op, &null, &result), KC_EINVAL);
    KC_CHECK_EQ(kc_chan_send_desc(w.e, c, &op, &empty, &result), KC_EINVAL);
    KC_CHECK_EQ(kc_chan_send_desc(w.e, c, &op, &unknown, &result), KC_ENOTSUP);
    KC_CHECK_EQ(kc_chan_send_desc(w.e, c, &op, &region, &result), KC_ENOTSUP);
    w_close(&w);
}

KC_TEST(a_refused_send_leaves_the_memory_with_its_owner_and_tells_nobody) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 1);
    kc_op op = w_op(&w, KC_OP_TRY);
    kc_desc desc = {.offset = 1, .len_bytes = 1};
    kc_result result;

    KC_CHECK_EQ(kc_chan_close(w.e, c), KC_OK);
    KC_CHECK_EQ(kc_chan_send_desc(w.e, c, &op, &desc, &result), KC_EPIPE);
    KC_CHECK_EQ(next_freed(&w).user, W_NOTHING);
    w_close(&w);
}

KC_TEST(a_send_that_did_not_happen_frees_nothing) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);
    kc_ticket region = region_of(&w, OWNER);
    kc_chan full = w_buffered(&w, 1);
    kc_clause clauses[2] = {{.chan = c, .dir = KC_CLAUSE_SEND}, {.chan = full, .dir = KC_CLAUSE_SEND}};
    kc_op op = w_op(&w, 0);
    kc_result result;

    KC_CHECK_EQ(send_range(&w, c, region, 0, 1, KC_OP_TRY), KC_EAGAIN);
    op.deadline_ns = 5;
    for (uint32_t i = 0; i < 2; i++)
        KC_CHECK_EQ(kc_region_body(w.e, region, OWNER, i, 1, &clauses[i].body, NULL), KC_OK);
    KC_CHECK_EQ(w_try_send(&w, full, "x"), KC_OK);
    KC_CHECK_EQ(kc_select(w.e, clauses, 2, &op, &result), KC_PARKED);
    KC_CHECK_EQ(in_flight(&w, region), 2);
    KC_CHECK_EQ(kc_engine_tick(w.e, 5), 1);
    KC_CHECK_EQ(w_next(&w).code, KC_ETIME);
    w_check(&w);
    KC_CHECK_EQ(next_freed(&w).user, W_NOTHING);
    for (uint32_t i = 0; i < 2; i++)
        KC_CHECK_EQ(kc_region_body(w.e, region, OWNER, i, 1, &clauses[i].body, NULL), KC_OK);
    op.deadline_ns = KC_NEVER;
    KC_CHECK_EQ(kc_select(w.e, clauses, 2, &op, &result), KC_PARKED);
    take_and_free(&w, full);                     /* the second clause takes effect; the first one's range never left */
    KC_CHECK_EQ(w_next(&w).clause, 1);
    take_and_free(&w, full);
    KC_CHECK_EQ(next_freed(&w).desc.offset, 1);
    KC_CHECK_EQ(next_freed(&w).user, W_NOTHING);
    KC_CHECK_EQ(kc_region_drop(w.e, region, KC_REGION_IDLE), KC_OK);
    KC_CHECK_EQ(ended(&w), region);
    w_close(&w);
}

/* ---- a backend that sees every call ---- */

typedef struct watcher {
    int checked, received, freed, lost;
    int refuses;
} watcher;

static int watch_check(void *self, const kc_desc *desc) {
    watcher *seen = self;

    seen->checked++;
    return desc->len_bytes == (uint64_t)seen->refuses ? KC_EMSGSIZE : KC_OK;
}
static void watch_received(void *self, const kc_desc *desc) {
    (void)desc;
    ((watcher *)self)->received++;
}
static void watch_freed(void *self, const kc_desc *desc, int lost) {
    (void)desc;
    ((watcher *)self)->freed++;
    ((watcher *)self)->lost += lost;
}
static const kc_desc_ops watch_ops = {watch_check, watch_received, watch_freed};

KC_TEST(a_backend_sees_every_check_delivery_and_end) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 4);
    watcher seen = {.refuses = 99};
    kc_op op = w_op(&w, KC_OP_TRY);
    kc_desc desc = {.len_bytes = 3};
    kc_result result;

    KC_CHECK_EQ(kc_desc_backend_add(w.e, "watch", &watch_ops, &seen, &desc.backend), KC_OK);
    KC_CHECK_EQ(kc_chan_send_desc(w.e, c, &op, &desc, &result), KC_OK);
    KC_CHECK_EQ(kc_chan_send_desc(w.e, c, &op, &desc, &result), KC_OK);
    desc.len_bytes = 99;
    KC_CHECK_EQ(kc_chan_send_desc(w.e, c, &op, &desc, &result), KC_EMSGSIZE);
    KC_CHECK_EQ(seen.checked, 3);
    KC_CHECK_EQ(kc_chan_recv_desc(w.e, c, &op, &desc, &result), KC_OK);
    KC_CHECK_EQ(seen.received, 1);
    KC_CHECK_EQ(next_freed(&w).user, W_NOTHING); /* its receiver still has it */
    kc_body_drop(w.e, &result.body);
    KC_CHECK_EQ(next_freed(&w).lost, 0);
    KC_CHECK_EQ(kc_chan_destroy(w.e, c, 0, NULL, 0), KC_OK);
    KC_CHECK_EQ(next_freed(&w).lost, 1);
    KC_CHECK_EQ(seen.freed, 2);
    KC_CHECK_EQ(seen.lost, 1);
    w_close(&w);
}

KC_TEST(backends_have_names_and_there_are_eight_places) {
    kc_world w = w_open();
    uint32_t id = 0;
    char name[] = "b0";

    KC_CHECK_EQ(kc_desc_backend_find(w.e, "zref", &id), KC_OK);
    KC_CHECK_EQ(id, KC_DESC_ZREF);
    KC_CHECK_EQ(kc_desc_backend_find(w.e, "b0", &id), KC_ENOENT);
    for (; name[1] < '6'; name[1]++)
        KC_CHECK_EQ(kc_desc_backend_add(w.e, name, &watch_ops, NULL, &id), KC_OK);
    KC_CHECK_EQ(id, 8);
    KC_CHECK_EQ(kc_desc_backend_add(w.e, name, &watch_ops, NULL, &id), KC_ENOSPC);
    KC_CHECK_EQ(kc_desc_backend_add(w.e, "b3", &watch_ops, NULL, &id), KC_OK);
    KC_CHECK_EQ(id, 6);
    KC_CHECK_EQ(kc_desc_backend_add(w.e, "", &watch_ops, NULL, &id), KC_EINVAL);
    KC_CHECK_EQ(kc_desc_backend_add(w.e, "a name of more than 31 bytes, by one", &watch_ops, NULL, &id), KC_EINVAL);
    w_close(&w);
}

/* ---- regions ---- */

KC_TEST(a_range_is_judged_by_owner_offset_and_length) {
    kc_world w = w_open();
    kc_ticket region = region_of(&w, OWNER);
    kc_body body;

    KC_CHECK_EQ(kc_region_body(w.e, region, STRANGER, 0, 1, &body, NULL), KC_EACCES);
    KC_CHECK_EQ(kc_region_body(w.e, region + 1, OWNER, 0, 1, &body, NULL), KC_ENOENT);
    KC_CHECK_EQ(kc_region_body(w.e, region, OWNER, 0, 0, &body, NULL), KC_EINVAL);
    KC_CHECK_EQ(kc_region_body(w.e, region, OWNER, SIZE, 1, &body, NULL), KC_EINVAL);
    KC_CHECK_EQ(kc_region_body(w.e, region, OWNER, 1, SIZE, &body, NULL), KC_EINVAL);
    KC_CHECK_EQ(kc_region_body(w.e, region, OWNER, UINT64_MAX, 2, &body, NULL), KC_EINVAL);
    KC_CHECK_EQ(kc_region_body(w.e, region, OWNER, 2, UINT64_MAX, &body, NULL), KC_EINVAL);
    KC_CHECK_EQ(body.extra, 0);
    KC_CHECK_EQ(kc_region_body(w.e, region, OWNER, SIZE - 1, 1, &body, NULL), KC_OK);
    KC_CHECK_EQ(in_flight(&w, region), 1);
    kc_body_forget(w.e, &body);
    KC_CHECK_EQ(next_freed(&w).user, W_NOTHING);
    KC_CHECK_EQ(kc_region_drop(w.e, region, KC_REGION_IDLE), KC_OK);
    KC_CHECK_EQ(ended(&w), region);
    w_close(&w);
}

KC_TEST(the_owner_learns_what_is_free_again_and_whether_it_was_read) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 4);
    kc_ticket region = region_of(&w, OWNER);
    kc_freed freed;

    KC_CHECK_EQ(send_range(&w, c, region, 64, 100, KC_OP_TRY), KC_OK);
    KC_CHECK_EQ(send_range(&w, c, region, 164, 28, KC_OP_TRY), KC_OK);
    take_and_free(&w, c);
    freed = next_freed(&w);
    KC_CHECK_EQ(freed.user, OWNER);
    KC_CHECK_EQ(freed.desc.region, region);
    KC_CHECK_EQ(freed.desc.offset, 64);
    KC_CHECK_EQ(freed.desc.len_bytes, 100);
    KC_CHECK_EQ(freed.lost, 0);
    KC_CHECK_EQ(kc_chan_destroy(w.e, c, 0, NULL, 0), KC_OK);
    freed = next_freed(&w);
    KC_CHECK_EQ(freed.desc.offset, 164);
    KC_CHECK_EQ(freed.lost, 1);
    KC_CHECK_EQ(kc_region_drop(w.e, region, KC_REGION_IDLE), KC_OK);
    KC_CHECK_EQ(ended(&w), region);
    w_close(&w);
}

KC_TEST(a_region_in_flight_is_busy_or_ends_with_the_last_of_it) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 4);
    kc_ticket region = region_of(&w, OWNER);

    KC_CHECK_EQ(send_range(&w, c, region, 0, 1, KC_OP_TRY), KC_OK);
    KC_CHECK_EQ(kc_region_drop(w.e, region, KC_REGION_IDLE), KC_EBUSY);
    KC_CHECK_EQ(send_range(&w, c, region, 1, 1, KC_OP_TRY), KC_OK);
    KC_CHECK_EQ(kc_region_drop(w.e, region, KC_REGION_WAIT), KC_OK);
    KC_CHECK_EQ(send_range(&w, c, region, 2, 1, KC_OP_TRY), KC_ENOENT);
    KC_CHECK_EQ(ended(&w), 0);
    take_and_free(&w, c);
    KC_CHECK_EQ(ended(&w), 0);
    take_and_free(&w, c);
    KC_CHECK_EQ(ended(&w), region);
    KC_CHECK_EQ(kc_region_drop(w.e, region, KC_REGION_WAIT), KC_ENOENT);
    w_close(&w);
}

KC_TEST(a_revoked_region_ends_what_waits_and_leaves_what_is_held) {
    kc_world w = w_open();
    kc_chan full = w_buffered(&w, 2);
    kc_chan meet = w_rendezvous(&w);
    kc_ticket region = region_of(&w, OWNER);
    kc_result held;

    for (uint64_t i = 0; i < 2; i++)
        KC_CHECK_EQ(send_range(&w, full, region, i, 1, KC_OP_TRY), KC_OK);
    KC_CHECK_EQ(send_range(&w, meet, region, 9, 1, 0), KC_PARKED);
    held = w_recv(&w, full, KC_OP_ACK);
    KC_CHECK_EQ(kc_region_drop(w.e, region, KC_REGION_REVOKE), KC_OK);
    w_check(&w);
    KC_CHECK_EQ(w_next(&w).reason, KC_REASON_REVOKED);
    KC_CHECK_EQ(w_stat(&w, full, KC_STAT_READY), 0);
    KC_CHECK_EQ(w_stat(&w, full, KC_STAT_HELD), 1);
    KC_CHECK_EQ(w_stat(&w, full, KC_STAT_UNDELIVERED_DROPPED), 1);
    KC_CHECK_EQ(w_stat(&w, meet, KC_STAT_ZREF_ABORTED_CLOSE), 1);
    KC_CHECK_EQ(ended(&w), 0);
    KC_CHECK_EQ(kc_waiter_token_nack(w.e, w.scope, held.token), KC_OK); /* it has nowhere to come back to */
    w_check(&w);
    KC_CHECK_EQ(w_stat(&w, full, KC_STAT_UNDELIVERED_DROPPED), 2);
    KC_CHECK_EQ(ended(&w), region);
    w_close(&w);
}

KC_TEST(what_an_owner_that_left_had_sent_stays) {
    kc_world w = w_open();
    kc_chan c = w_buffered(&w, 4);
    kc_ticket region = region_of(&w, OWNER);

    KC_CHECK_EQ(send_range(&w, c, region, 5, 6, KC_OP_TRY), KC_OK);
    KC_CHECK_EQ(kc_region_drop(w.e, region, KC_REGION_LEAVE), KC_OK);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_READY), 1);
    take_and_free(&w, c);
    KC_CHECK_EQ(ended(&w), region);
    w_close(&w);
}

KC_TEST(a_dead_letter_keeps_its_memory) {
    kc_world w = w_open();
    kc_chan letters = w_chan(&w, KC_KIND_UNLIMITED, 0);
    kc_chan c = w_chan_of(&w, (kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 1,
                                               .undelivered = KC_UNDELIVERED_DEAD_LETTER, .dead_letter = letters});
    kc_ticket region = region_of(&w, OWNER);

    KC_CHECK_EQ(send_range(&w, c, region, 0, 10, KC_OP_TRY), KC_OK);
    KC_CHECK_EQ(kc_chan_destroy(w.e, c, 0, NULL, 0), KC_OK);
    w_check(&w);
    KC_CHECK_EQ(w_stat(&w, letters, KC_STAT_DESCRIPTORS), 1);
    KC_CHECK_EQ(next_freed(&w).user, W_NOTHING);
    take_and_free(&w, letters);
    KC_CHECK_EQ(next_freed(&w).lost, 0);
    KC_CHECK_EQ(kc_region_drop(w.e, region, KC_REGION_IDLE), KC_OK);
    KC_CHECK_EQ(ended(&w), region);
    w_close(&w);
}

KC_TEST(elem_size_bounds_a_descriptor_only_when_somebody_set_it) {
    kc_world w = w_open();
    kc_chan usual = w_buffered(&w, 1);
    kc_chan small = w_chan_of(&w, (kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 1, .elem_size = 10});
    kc_op op = w_op(&w, KC_OP_TRY);
    kc_desc large = {.offset = 1, .len_bytes = UINT64_C(1) << 33};
    kc_desc fits = {.offset = 1, .len_bytes = 10};
    kc_result result;

    KC_CHECK_EQ(kc_chan_send_desc(w.e, usual, &op, &large, &result), KC_OK);
    KC_CHECK_EQ(w_stat(&w, usual, KC_STAT_TOTAL_BYTES_SENT), (int64_t)(UINT64_C(1) << 33));
    KC_CHECK_EQ(kc_chan_send_desc(w.e, small, &op, &large, &result), KC_EMSGSIZE);
    KC_CHECK_EQ(kc_chan_send_desc(w.e, small, &op, &fits, &result), KC_OK);
    w_close(&w);
}

KC_TEST(each_of_the_six_counters_moves_exactly_when_its_event_happens) {
    kc_world w = w_open();
    kc_chan c = w_rendezvous(&w);
    kc_op op = w_op(&w, 0);
    kc_op soon = w_until(&w, 5);
    kc_op small = w_op(&w, KC_OP_TRY | KC_OP_SMALL);
    kc_op crowded = w_op(&w, KC_OP_TRY | KC_OP_CROWDED);
    const kc_desc desc = {.offset = 1, .len_bytes = 1};
    kc_chan_zstats z;
    kc_result result;

    KC_CHECK_EQ(kc_chan_send_desc(w.e, c, &soon, &desc, &result), KC_PARKED);
    KC_CHECK_EQ(kc_engine_tick(w.e, 5), 1);
    KC_CHECK_EQ(w_next(&w).code, KC_ETIME);
    KC_CHECK_EQ(kc_chan_get_zstats(w.e, c, &z), KC_OK);
    KC_CHECK_EQ(z.zref_canceled, 1);
    KC_CHECK_EQ(z.zref_sent, 0);
    KC_CHECK_EQ(kc_chan_send_desc(w.e, c, &op, &desc, &result), KC_PARKED);
    take_and_free(&w, c);
    KC_CHECK_EQ(w_next(&w).code, KC_OK);
    KC_CHECK_EQ(w_send_op(&w, c, "", small).code, KC_EAGAIN); /* refused: not a fallback that happened */
    (void)w_recv(&w, c, 0);
    (void)w_recv(&w, c, 0);
    KC_CHECK_EQ(w_send_op(&w, c, "", small).code, KC_OK);
    KC_CHECK_EQ(w_send_op(&w, c, "", crowded).code, KC_OK);
    KC_CHECK_STR(w_next_text(&w), "");
    KC_CHECK_STR(w_next_text(&w), "");
    KC_CHECK_EQ(kc_chan_send_desc(w.e, c, &op, &desc, &result), KC_PARKED);
    KC_CHECK_EQ(kc_chan_destroy(w.e, c, 0, NULL, 0), KC_OK);
    KC_CHECK_EQ(w_next(&w).code, KC_ECANCELED);
    KC_CHECK_EQ(kc_chan_get_zstats(w.e, c, &z), KC_OK);
    KC_CHECK_EQ(z.zref_sent, 1);
    KC_CHECK_EQ(z.zref_received, 1);
    KC_CHECK_EQ(z.zref_fallback_small, 1);
    KC_CHECK_EQ(z.zref_fallback_capacity, 1);
    KC_CHECK_EQ(z.zref_canceled, 1);
    KC_CHECK_EQ(z.zref_aborted_close, 1);
    KC_CHECK_EQ(w_stat(&w, c, KC_STAT_RV_ZDESC_MATCHES), 1);
    w_close(&w);
}

KC_TEST(without_memory_for_the_n_th_record_a_descriptor_is_refused_and_nothing_is_left) {
    int rc = KC_ENOMEM;

    for (uint64_t n = 1; rc != KC_OK; n++) {
        kc_world w = w_open();
        kc_chan c = w_buffered(&w, 1);
        kc_region_config config = {.file = -1, .size_bytes = SIZE, .user = OWNER};
        kc_ticket region = 0;
        (void)kc_engine_fail_alloc(w.e, n);
        rc = kc_region_add(w.e, &config, &region, NULL);
        if (rc == KC_OK)
            rc = send_range(&w, c, region, 0, 1, KC_OP_TRY);
        (void)kc_engine_fail_alloc(w.e, 0);
        if (region != 0)
            KC_CHECK_EQ(kc_region_drop(w.e, region, KC_REGION_REVOKE), KC_OK);
        KC_CHECK(rc == KC_OK || rc == KC_ENOMEM || rc == KC_EDQUOT);
        (void)ended(&w);
        w_close(&w);
    }
}

int main(void) {
    KC_RUN(a_pointer_goes_through_a_channel_and_nobody_copies_it);
    KC_RUN(a_descriptor_of_nothing_is_refused_and_so_is_a_backend_nobody_added);
    KC_RUN(a_refused_send_leaves_the_memory_with_its_owner_and_tells_nobody);
    KC_RUN(a_send_that_did_not_happen_frees_nothing);
    KC_RUN(a_backend_sees_every_check_delivery_and_end);
    KC_RUN(backends_have_names_and_there_are_eight_places);
    KC_RUN(a_range_is_judged_by_owner_offset_and_length);
    KC_RUN(the_owner_learns_what_is_free_again_and_whether_it_was_read);
    KC_RUN(a_region_in_flight_is_busy_or_ends_with_the_last_of_it);
    KC_RUN(a_revoked_region_ends_what_waits_and_leaves_what_is_held);
    KC_RUN(what_an_owner_that_left_had_sent_stays);
    KC_RUN(a_dead_letter_keeps_its_memory);
    KC_RUN(elem_size_bounds_a_descriptor_only_when_somebody_set_it);
    KC_RUN(each_of_the_six_counters_moves_exactly_when_its_event_happens);
    KC_RUN(without_memory_for_the_n_th_record_a_descriptor_is_refused_and_nothing_is_left);
    return kc_test_report();
}
