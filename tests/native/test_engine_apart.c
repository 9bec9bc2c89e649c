/* test_engine_apart.c: a channel apart as the engine has it: by ticket, its storage, what memory it loses, and what
 * becomes of it where there is none. Linked with --wrap=malloc. What goes through it is compared with the other
 * channels in test_rt_twins.c. */
#include <stdbool.h>
#include <stdio.h>

#include "core/kc_cell.h"
#include "kc_test.h"
#include "kcoro/kc_file.h"

static bool memory_is_short;
void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes) { return memory_is_short ? NULL : __real_malloc(bytes); }

static uint32_t woken;
static void wake(kc_cell_waiter *first) {
    for (; first != NULL; first = first->next)
        woken++;
}

typedef struct world {
    kc_engine *e;
    kc_chan chan;
    kc_cells *cells;
} world;

static world begin(kc_chan_config config) {
    world w = {0};

    woken = 0;
    KC_REQUIRE(kc_engine_make(NULL, &w.e) == KC_OK);
    KC_REQUIRE(kc_cells_make(w.e, &config, wake, &w.chan, &w.cells) == KC_OK);
    return w;
}

static void check(const world *w) {
    char why[256] = "";

    KC_CHECK_EQ(kc_engine_check(w->e, why, sizeof why), KC_OK);
    KC_CHECK_STR(why, "");
}

static void end(world *w) {
    kc_engine_usage usage;

    check(w);
    KC_CHECK_EQ(kc_chan_drop(w->e, w->chan), KC_OK);
    kc_engine_measure(w->e, &usage);
    KC_CHECK_EQ(usage.channels + usage.messages + usage.parked, 0);
    kc_engine_free(w->e);
}

static kc_cell_clause sending(const world *w, const void *data, uint32_t len_bytes) {
    return (kc_cell_clause){.cells = w->cells, .dir = KC_CLAUSE_SEND, .data = data, .len_bytes = len_bytes};
}
static kc_cell_clause receiving(const world *w, void *buffer) {
    return (kc_cell_clause){.cells = w->cells, .dir = KC_CLAUSE_RECV, .buffer = buffer};
}

static int run(const world *w, kc_cell_clause *q) {
    kc_cell_turn turn = {0};
    int rc = KC_OK;

    kc_lock_take(&w->cells->lock);
    rc = q->dir == KC_CLAUSE_SEND ? kc_cells_send(w->cells, q, &turn) : kc_cells_receive(w->cells, q, &turn);
    kc_lock_give(&w->cells->lock);
    kc_cells_finish(w->cells, &turn);
    return rc;
}

static int send(const world *w, const void *data, uint32_t len_bytes) {
    kc_cell_clause q = sending(w, data, len_bytes);

    return run(w, &q);
}

static void park(const world *w, kc_cell_waiter *waiter, kc_cell_clause *q) {
    kc_cells_begin(waiter, q, 1);
    kc_lock_take(&w->cells->lock);
    kc_cells_park(waiter, 0);
    kc_lock_give(&w->cells->lock);
}

/* ---- by ticket ---- */

KC_TEST(operations_by_ticket_are_refused_and_change_nothing) {
    world w = begin((kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 2, .elem_size = 8});
    kc_op op = {.flags = KC_OP_TRY, .deadline_ns = KC_NEVER};
    kc_result result;
    kc_clause clause = {.chan = w.chan, .dir = KC_CLAUSE_RECV};
    char byte = 1;

    KC_CHECK_EQ(kc_chan_send(w.e, w.chan, &op, &byte, 1, &result), KC_ENOTSUP);
    KC_CHECK_EQ(kc_chan_recv(w.e, w.chan, &op, &byte, 1, &result), KC_ENOTSUP);
    KC_CHECK_EQ(kc_select(w.e, &clause, 1, &op, &result), KC_ENOTSUP);
    KC_CHECK_EQ(w.cells->stat[KC_STAT_SEND_EAGAIN] + w.cells->stat[KC_STAT_TOTAL_SENDS], 0);
    end(&w);
}

KC_TEST(it_is_neither_a_tap_nor_tapped_nor_a_dead_letter_channel) {
    world w = begin((kc_chan_config){.kind = KC_KIND_UNLIMITED, .elem_size = 64});
    kc_chan_config tapping = {.kind = KC_KIND_BUFFERED, .capacity = 4, .overflow = KC_OVERFLOW_DROP_OLDEST};
    kc_chan_config losing = {
        .kind = KC_KIND_UNLIMITED, .elem_size = 64, .undelivered = KC_UNDELIVERED_DEAD_LETTER, .dead_letter = w.chan};
    kc_chan_config strange = {.kind = KC_KIND_UNLIMITED, .elem_size = 64, .ttl_ms = 1};
    kc_chan tap = 0, other = 0;
    kc_cells *cells = NULL;

    KC_REQUIRE(kc_chan_make(w.e, &tapping, &tap, NULL) == KC_OK);
    KC_CHECK_EQ(kc_chan_tap(w.e, w.chan, tap), KC_EINVAL);
    KC_CHECK_EQ(kc_chan_tap(w.e, tap, w.chan), KC_EINVAL);
    KC_CHECK_EQ(kc_chan_make(w.e, &losing, &other, NULL), KC_EINVAL);
    KC_CHECK_EQ(kc_cells_make(w.e, &strange, wake, &other, &cells), KC_EINVAL);
    KC_CHECK_EQ(kc_chan_drop(w.e, tap), KC_OK);
    end(&w);
}

KC_TEST(who_waits_is_seen_with_a_token_of_its_own_life) {
    world w = begin((kc_chan_config){.kind = KC_KIND_RENDEZVOUS, .elem_size = 8});
    char out[8] = "abcdefg", in[8] = "";
    kc_cell_clause q = sending(&w, out, 5), again = sending(&w, out, 6), r = receiving(&w, in);
    kc_cell_waiter first, second;
    kc_waiter_info infos[2];
    kc_rv_cell cell;
    kc_token token = 0;

    park(&w, &first, &q);
    KC_CHECK_EQ(kc_chan_waiters(w.e, w.chan, KC_CLAUSE_SEND, 0, infos, 2), 1);
    KC_CHECK_EQ(infos[0].len_bytes, 5);
    token = infos[0].token;
    KC_CHECK_EQ(kc_waiter_token_status(w.e, token), KC_TOKEN_ENQUEUED);
    KC_CHECK_EQ(kc_waiter_token_status(w.e, token | 0x7FFFFFFF), KC_ENOENT);
    KC_CHECK_EQ(kc_waiter_token_cancel(w.e, token, KC_REASON_CANCEL, NULL), KC_ENOTSUP);
    KC_CHECK_EQ(kc_chan_rv_cell(w.e, w.chan, &cell), KC_OK);
    KC_CHECK_EQ(cell.state, KC_RV_SENDER_READY);
    KC_CHECK(cell.sender == token && cell.receiver == 0);
    check(&w);
    KC_CHECK_EQ(run(&w, &r), KC_OK);
    KC_CHECK_EQ(woken, 1);
    KC_CHECK_MEM(in, "abcde", 5);
    KC_CHECK_EQ(kc_waiter_token_status(w.e, token), KC_ENOENT);
    park(&w, &second, &again);
    KC_CHECK_EQ(kc_waiter_token_status(w.e, token), KC_ENOENT); /* another life */
    KC_CHECK_EQ(kc_chan_waiters(w.e, w.chan, KC_CLAUSE_SEND, 1, infos, 2), 0);
    KC_CHECK(kc_cells_give_up(&second, KC_REASON_CANCEL));
    KC_CHECK(!kc_cells_give_up(&first, KC_REASON_CANCEL));
    KC_CHECK_EQ(woken, 1);
    end(&w);
}

KC_TEST(its_end_by_ticket_tells_all_and_keeps_its_text) {
    world w = begin((kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 1, .elem_size = 8});
    kc_cell_clause q = sending(&w, "b", 1);
    kc_cell_waiter waiter;
    char text[16] = "";
    char line[512] = "";
    uint32_t count = 0;

    KC_CHECK_EQ(send(&w, "a", 1), KC_OK);
    park(&w, &waiter, &q);
    KC_CHECK_EQ(kc_chan_purge(w.e, w.chan, &count), KC_OK);
    KC_CHECK_EQ(count, 1);
    KC_CHECK_EQ(woken, 1); /* its message has the room */
    KC_CHECK_EQ(w.cells->count, 1);
    KC_CHECK_EQ(kc_chan_close(w.e, w.chan), KC_OK);
    KC_CHECK_EQ(send(&w, "c", 1), KC_EPIPE);
    KC_CHECK_EQ(kc_chan_destroy(w.e, w.chan, KC_REASON_SHUTDOWN, "enough", 6), KC_OK);
    KC_CHECK_EQ(send(&w, "c", 1), KC_ECANCELED);
    KC_CHECK_EQ(kc_chan_close(w.e, w.chan), KC_ECANCELED);
    KC_CHECK_EQ(kc_chan_reason(w.e, w.chan, text, sizeof text), 6);
    KC_CHECK_STR(text, "enough");
    KC_CHECK(kc_chan_dump(w.e, w.chan, line, sizeof line) > 0);
    KC_CHECK(strstr(line, "state=DESTROYED") != NULL && strstr(line, "undelivered=2") != NULL);
    end(&w);
}

KC_TEST(an_engine_that_goes_takes_what_waits_with_it) {
    world w = begin((kc_chan_config){.kind = KC_KIND_UNLIMITED, .elem_size = 4096});
    char page[4096] = "";

    for (int i = 0; i < 40; i++)
        KC_CHECK_EQ(send(&w, page, sizeof page), KC_OK);
    check(&w);
    kc_engine_free(w.e); /* leaks are the sanitizer's to see */
}

/* ---- storage ---- */

KC_TEST(a_burst_is_kept_in_order_and_its_memory_given_back) {
    enum { BURST = 5000 };
    world w = begin((kc_chan_config){.kind = KC_KIND_UNLIMITED, .elem_size = 64});
    uint32_t sent = 0, got = 0, expected = 0;

    for (int wave = 0; wave < 3; wave++) { /* so that the ring grows while it is wrapped */
        for (int i = 0; i < BURST; i++, sent++)
            KC_CHECK_EQ(send(&w, &sent, sizeof sent), KC_OK);
        for (int i = 0; i < BURST - 1000 * (wave < 2); i++, expected++) {
            kc_cell_clause r = receiving(&w, &got);
            KC_CHECK_EQ(run(&w, &r), KC_OK);
            KC_CHECK_EQ(r.len_bytes, sizeof got);
            KC_CHECK_EQ(got, expected);
        }
    }
    while (w.cells->count != 0) {
        kc_cell_clause r = receiving(&w, &got);
        KC_CHECK_EQ(run(&w, &r), KC_OK);
        KC_CHECK_EQ(got, expected++);
    }
    KC_CHECK_EQ(expected, 3 * BURST);
    KC_CHECK_EQ(w.cells->slots, 0);
    KC_CHECK_EQ(w.cells->peak, BURST + 2000);
    end(&w);
}

KC_TEST(bytes_bound_a_channel_and_the_first_in_line_is_not_overtaken) {
    world w = begin((kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 8, .elem_size = 100, .max_bytes = 150});
    char data[100] = "", in[100];
    kc_cell_clause large = sending(&w, data, 100), small = sending(&w, data, 10), r = receiving(&w, in);
    kc_cell_waiter first, second;

    KC_CHECK_EQ(send(&w, data, 100), KC_OK);
    KC_CHECK_EQ(run(&w, &large), KC_EAGAIN);
    park(&w, &first, &large);
    KC_CHECK_EQ(run(&w, &small), KC_EAGAIN); /* it would fit */
    park(&w, &second, &small);
    check(&w);
    KC_CHECK(kc_cells_give_up(&first, KC_REASON_TIMEOUT));
    KC_CHECK_EQ(woken, 1); /* now it stands first */
    KC_CHECK_EQ(w.cells->bytes, 110);
    KC_CHECK_EQ(run(&w, &r), KC_OK);
    KC_CHECK_EQ(run(&w, &r), KC_OK);
    KC_CHECK_EQ(r.len_bytes, 10);
    KC_CHECK_EQ(w.cells->bytes, 0);
    end(&w);
}

/* ---- memory that goes through it ---- */

static uint32_t told, lost;
static void freed(void *self, const kc_desc *desc, int is_lost) {
    (void)self;
    told++;
    lost += (uint32_t)is_lost;
    KC_CHECK(desc->offset >= 1000);
}
static const kc_desc_ops counting = {.freed = freed};

static void collect(kc_engine *e) {
    kc_freed notes[8];

    while (kc_desc_take_freed(e, notes, 8) != 0)
        ;
}

static int send_object(const world *w, uint32_t backend, uint64_t offset) {
    kc_cell_memory m = {.desc = {.backend = backend, .offset = offset, .len_bytes = 1}};

    KC_REQUIRE(kc_desc_body(w->e, 0, &m.desc, &m.body, NULL) == KC_OK);
    return send(w, &m, sizeof m);
}

KC_TEST(owners_are_told_of_every_object_that_a_channel_lost) {
    static const struct {
        uint32_t overflow, kept_first;
    } cases[] = {{KC_OVERFLOW_DROP_OLDEST, 1001}, {KC_OVERFLOW_DROP_NEWEST, 1000}};

    for (int i = 0; i < 2; i++) {
        world w = begin((kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 2, .overflow = cases[i].overflow});
        kc_cell_memory got = {0};
        kc_cell_clause r = receiving(&w, &got);
        uint32_t backend = 0, count = 0;
        told = lost = 0;
        KC_REQUIRE(kc_desc_backend_add(w.e, "counted", &counting, NULL, &backend) == KC_OK);
        for (uint64_t offset = 1000; offset < 1003; offset++)
            KC_CHECK_EQ(send_object(&w, backend, offset), KC_OK);
        collect(w.e);
        KC_CHECK_EQ(told, 1); /* the policy's */
        KC_CHECK_EQ(run(&w, &r), KC_OK);
        kc_cells_received(w.e, &got);
        KC_CHECK_EQ(got.desc.offset, cases[i].kept_first);
        collect(w.e);
        KC_CHECK(told == 2 && lost == 1);
        KC_CHECK_EQ(kc_chan_purge(w.e, w.chan, &count), KC_OK);
        collect(w.e);
        KC_CHECK(told == 3 && lost == 2);
        KC_CHECK_EQ(send_object(&w, backend, 2000), KC_OK);
        KC_CHECK_EQ(kc_cells_destroy(w.cells, 0), KC_OK);
        collect(w.e);
        KC_CHECK(told == 4 && lost == 3);
        KC_CHECK_EQ(w.cells->stat[KC_STAT_ZREF_ABORTED_CLOSE], 1);
        end(&w);
    }
}

/* ---- no memory ---- */

KC_TEST(a_send_without_memory_is_refused_and_nothing_is_lost) {
    world w = begin((kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 64, .elem_size = 8});
    char data = 0, got = 0;
    kc_cell_clause r = receiving(&w, &got);

    for (data = 0; data < 8; data++)
        KC_CHECK_EQ(send(&w, &data, 1), KC_OK);
    memory_is_short = true;
    KC_CHECK_EQ(send(&w, &data, 1), KC_ENOMEM);
    memory_is_short = false;
    check(&w);
    KC_CHECK_EQ(w.cells->stat[KC_STAT_TOTAL_SENDS], 8);
    for (char i = 0; i < 8; i++) {
        KC_CHECK_EQ(run(&w, &r), KC_OK);
        KC_CHECK_EQ(got, i);
    }
    KC_CHECK_EQ(run(&w, &r), KC_EAGAIN);
    end(&w);
}

KC_TEST(a_sender_whose_room_has_no_memory_is_told_so) {
    enum { LONG = 1000 };
    world w = begin((kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 1, .elem_size = LONG});
    char first[LONG] = "first", second[LONG] = "second", got[LONG];
    kc_cell_clause q = sending(&w, second, LONG), r = receiving(&w, got);
    kc_cell_waiter waiter;

    KC_CHECK_EQ(send(&w, first, LONG), KC_OK);
    park(&w, &waiter, &q);
    memory_is_short = true;
    KC_CHECK_EQ(run(&w, &r), KC_OK);
    memory_is_short = false;
    KC_CHECK_STR(got, "first");
    KC_CHECK_EQ(woken, 1);
    KC_CHECK_EQ(kc_cell_waiter_res(&waiter), KC_RES_MEMORY);
    KC_CHECK_EQ(run(&w, &r), KC_EAGAIN);
    end(&w);
}

KC_TEST(bytes_evict_the_oldest_where_they_are_over) {
    world w = begin((kc_chan_config){.kind = KC_KIND_BUFFERED,
                                     .capacity = 8,
                                     .elem_size = 1000,
                                     .max_bytes = 1500,
                                     .overflow = KC_OVERFLOW_DROP_OLDEST});
    char data[1000] = "";

    KC_CHECK_EQ(send(&w, data, 700), KC_OK);
    KC_CHECK_EQ(send(&w, data, 700), KC_OK);
    KC_CHECK_EQ(send(&w, data, 1000), KC_OK); /* both go: one is not enough */
    KC_CHECK_EQ(w.cells->count, 1);
    KC_CHECK_EQ(w.cells->bytes, 1000);
    KC_CHECK_EQ(w.cells->stat[KC_STAT_DROPS_OLDEST], 2);
    end(&w);
}

KC_TEST(one_that_is_longer_than_all_bytes_goes_into_an_empty_channel) {
    world w = begin((kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 8, .elem_size = 1000, .max_bytes = 10});
    char data[1000] = "";

    KC_CHECK_EQ(send(&w, data, 1000), KC_OK);
    KC_CHECK_EQ(send(&w, data, 1), KC_EAGAIN);
    end(&w);
}

/* ---- the record of a channel that is gone ---- */

KC_TEST(one_that_waited_when_the_last_reference_went_finds_its_end) {
    world w = begin((kc_chan_config){.kind = KC_KIND_RENDEZVOUS, .elem_size = 8});
    kc_cell_clause q = sending(&w, "a", 1), other = sending(&w, "b", 1);
    kc_cell_waiter waiter, next;
    kc_cells *cells = w.cells;
    kc_chan_config config = {.kind = KC_KIND_RENDEZVOUS, .elem_size = 8};

    KC_CHECK_EQ(kc_chan_keep(w.e, w.chan), KC_OK);
    park(&w, &waiter, &q);
    KC_CHECK_EQ(kc_chan_drop(w.e, w.chan), KC_OK);
    KC_CHECK_EQ(kc_chan_drop(w.e, w.chan), KC_OK);
    KC_CHECK_EQ(woken, 1);
    KC_CHECK(!kc_cells_give_up(&waiter, KC_REASON_TIMEOUT)); /* its deadline comes late */
    KC_CHECK_EQ(kc_cell_waiter_res(&waiter), KC_RES_DESTROYED);
    do { /* numbers are used again in turn */
        KC_REQUIRE(kc_cells_make(w.e, &config, wake, &w.chan, &w.cells) == KC_OK);
        if (w.cells != cells)
            KC_CHECK_EQ(kc_chan_drop(w.e, w.chan), KC_OK);
    } while (w.cells != cells);
    KC_CHECK_EQ(w.cells->stat[KC_STAT_CANCELLED_WAITERS], 0);
    park(&w, &next, &other);
    KC_CHECK(!kc_cells_give_up(&waiter, KC_REASON_TIMEOUT));
    KC_CHECK_EQ(w.cells->waiters[KC_CLAUSE_SEND].count, 1);
    KC_CHECK(kc_cells_give_up(&next, KC_REASON_TIMEOUT));
    end(&w);
}

/* A select that was decided elsewhere leaves when its other channel is gone, and the record is another's or
 * nobody's. */
KC_TEST(a_select_that_leaves_late_touches_nothing_of_the_next_channel) {
    kc_chan_config config = {.kind = KC_KIND_BUFFERED, .capacity = 4};
    world w = begin(config), v = w;
    kc_cell_memory memory = {.desc = {.backend = KC_DESC_ZREF, .offset = 8, .len_bytes = 1}}, got;
    kc_cell_clause q[2] = {sending(&w, &memory, sizeof memory), receiving(&w, &got)};
    kc_cell_clause live[2];
    kc_cell_waiter waiter, next;
    kc_cells *cells = NULL;
    kc_cell_turn turn = {0};
    char why[256] = "";

    KC_REQUIRE(kc_cells_make(v.e, &config, wake, &v.chan, &v.cells) == KC_OK);
    q[0].cells = cells = v.cells;
    q[0].memory = q[1].memory = 1;
    q[1].index = 1;
    kc_cells_begin(&waiter, q, 2);
    kc_cells_park(&waiter, 0);
    KC_CHECK(kc_cells_claim(&q[1], KC_RES_CLOSED, &turn)); /* decided at w; v's clause stands there still */
    KC_CHECK_EQ(kc_chan_drop(v.e, v.chan), KC_OK);
    KC_CHECK_EQ(kc_state_of(cells->w), KC_CHAN_FREE);
    do {
        KC_REQUIRE(kc_cells_make(v.e, &config, wake, &v.chan, &v.cells) == KC_OK);
        if (v.cells != cells)
            KC_CHECK_EQ(kc_chan_drop(v.e, v.chan), KC_OK);
    } while (v.cells != cells);
    live[0] = receiving(&v, &got);
    live[1] = receiving(&v, &got);
    live[1].index = 1;
    kc_cells_begin(&next, live, 2);
    kc_cells_park(&next, 0);
    kc_cells_leave(&waiter);
    KC_CHECK_EQ(v.cells->visits, 2);
    KC_CHECK_EQ(v.cells->stat[KC_STAT_ZREF_ABORTED_CLOSE], 0);
    KC_CHECK_EQ(kc_engine_check(v.e, why, sizeof why), KC_OK);
    KC_CHECK(kc_cells_give_up(&next, KC_REASON_CANCEL));
    KC_CHECK_EQ(kc_chan_drop(v.e, v.chan), KC_OK);
    end(&w);
}

KC_TEST(the_engine_counts_what_channels_apart_accepted_also_of_those_that_are_gone) {
    world w = begin((kc_chan_config){.kind = KC_KIND_UNLIMITED, .elem_size = 8});
    kc_chan_config config = {.kind = KC_KIND_UNLIMITED, .elem_size = 8};
    world v = w;

    KC_REQUIRE(kc_cells_make(v.e, &config, wake, &v.chan, &v.cells) == KC_OK);
    KC_CHECK_EQ(send(&w, "a", 1), KC_OK);
    KC_CHECK_EQ(send(&v, "b", 1), KC_OK);
    KC_CHECK_EQ(send(&v, "c", 1), KC_OK);
    KC_CHECK_EQ(kc_engine_accepted(w.e), 3);
    KC_CHECK_EQ(kc_chan_drop(v.e, v.chan), KC_OK);
    KC_CHECK_EQ(kc_engine_accepted(w.e), 3);
    end(&w);
}

int main(void) {
    KC_RUN(operations_by_ticket_are_refused_and_change_nothing);
    KC_RUN(it_is_neither_a_tap_nor_tapped_nor_a_dead_letter_channel);
    KC_RUN(who_waits_is_seen_with_a_token_of_its_own_life);
    KC_RUN(its_end_by_ticket_tells_all_and_keeps_its_text);
    KC_RUN(an_engine_that_goes_takes_what_waits_with_it);
    KC_RUN(a_burst_is_kept_in_order_and_its_memory_given_back);
    KC_RUN(bytes_bound_a_channel_and_the_first_in_line_is_not_overtaken);
    KC_RUN(owners_are_told_of_every_object_that_a_channel_lost);
    KC_RUN(a_send_without_memory_is_refused_and_nothing_is_lost);
    KC_RUN(a_sender_whose_room_has_no_memory_is_told_so);
    KC_RUN(bytes_evict_the_oldest_where_they_are_over);
    KC_RUN(one_that_is_longer_than_all_bytes_goes_into_an_empty_channel);
    KC_RUN(one_that_waited_when_the_last_reference_went_finds_its_end);
    KC_RUN(a_select_that_leaves_late_touches_nothing_of_the_next_channel);
    KC_RUN(the_engine_counts_what_channels_apart_accepted_also_of_those_that_are_gone);
    return kc_test_report();
}
