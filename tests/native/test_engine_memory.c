/* The n-th allocation fails, n = 1, 2, ... until none does: each time a code comes back, nothing has changed, and the
 * same call made again succeeds. One script touches every operation that allocates. */
#include "kc_world.h"

enum { BIG = 200000 };
static uint8_t big[BIG];

/* What must not move when a call is refused. */
typedef struct print {
    kc_engine_usage usage;
    kc_account_usage account;
    uint64_t stat[8][64];
    uint32_t depth;
} print;

typedef struct script {
    kc_world w;
    uint32_t account;
    kc_scope scope;
    uint32_t refused; /* calls that said KC_ENOMEM */
} script;

static print print_of(script *s) {
    print p;

    memset(&p, 0, sizeof p);
    p.usage = w_usage(&s->w);
    p.usage.heap_bytes = 0; /* a chunk may have been committed */
    if (s->account != 0)
        (void)kc_account_measure(s->w.e, s->account, &p.account);
    for (uint32_t i = 0; i < s->w.count && i < 8; i++) {
        kc_chan_snapshot snapshot;
        if (kc_chan_measure(s->w.e, s->w.chans[i], &snapshot) == KC_OK)
            memcpy(p.stat[i], snapshot.stat, sizeof snapshot.stat);
    }
    p.depth = w_depth(&s->w);
    return p;
}

static bool refused(script *s, int rc, const print *before) {
    bool again = rc == KC_ENOMEM;

    w_check(&s->w);
    if (again) {
        print after = print_of(s);
        KC_CHECK_MEM(&after, before, sizeof after);
        s->refused++;
    }
    return again;
}

/* Makes the call, once more if it was refused, and demands its answer. */
#define STEP(s, call, expected)                 \
    do {                                        \
        print before = print_of(s);             \
        int rc = (call);                        \
        if (refused((s), rc, &before)) {        \
            rc = (call);                        \
            w_check(&(s)->w);                   \
        }                                       \
        KC_CHECK_EQ(rc, (expected));            \
    } while (0)

static kc_op op_of(script *s, uint32_t flags) {
    kc_op op = w_op(&s->w, flags);

    op.scope = s->scope;
    return op;
}

static kc_chan make(script *s, kc_chan_config config) {
    kc_chan chan = 0;

    config.account = s->account;
    STEP(s, kc_chan_make(s->w.e, &config, &chan, NULL), KC_OK);
    KC_REQUIRE(chan != 0);
    s->w.chans[s->w.count++] = chan;
    return chan;
}

static kc_result sends(script *s, kc_chan chan, const void *data, uint32_t len_bytes, uint32_t flags, int expected) {
    kc_op op = op_of(s, flags);
    kc_result result;

    STEP(s, kc_chan_send(s->w.e, chan, &op, data, len_bytes, &result), expected);
    return result;
}

static kc_result receives(script *s, kc_chan chan, uint32_t flags, int expected) {
    kc_op op = op_of(s, flags);
    kc_result result;

    STEP(s, kc_chan_recv(s->w.e, chan, &op, NULL, 0, &result), expected);
    return result;
}

static kc_body body_of(script *s, const void *data, uint32_t len_bytes) {
    kc_body body = {0};

    STEP(s, kc_body_make(s->w.e, s->account, data, len_bytes, &body, NULL), KC_OK);
    return body;
}

/* Gives the bytes of a received message back after looking at their length. */
static void consume(script *s, kc_result result, uint32_t len_bytes) {
    KC_CHECK_EQ(result.body.len_bytes, len_bytes);
    if ((result.flags & KC_RESULT_HELD) == 0)
        kc_body_drop(s->w.e, &result.body);
}

static void plain_messages(script *s, kc_chan rendezvous, kc_chan buffered) {
    (void)sends(s, buffered, "one", 3, 0, KC_OK);
    (void)sends(s, buffered, big, BIG, 0, KC_OK);
    (void)sends(s, buffered, "three", 5, 0, KC_PARKED);
    consume(s, receives(s, buffered, 0, KC_OK), 3);
    consume(s, receives(s, buffered, 0, KC_OK), BIG);
    consume(s, receives(s, buffered, 0, KC_OK), 5);
    KC_CHECK_EQ(w_next(&s->w).code, KC_OK);
    (void)sends(s, rendezvous, big, BIG, 0, KC_PARKED);
    consume(s, receives(s, rendezvous, 0, KC_OK), BIG);
    KC_CHECK_EQ(w_next(&s->w).code, KC_OK);
    (void)receives(s, rendezvous, 0, KC_PARKED);
    (void)sends(s, rendezvous, "met", 3, 0, KC_OK);
    consume(s, w_next(&s->w), 3);
}

static void held_messages(script *s, kc_chan rendezvous, kc_chan buffered) {
    kc_result held;

    (void)sends(s, buffered, "ack me", 6, KC_OP_CONFIRM, KC_PARKED);
    held = receives(s, buffered, KC_OP_ACK, KC_OK);
    STEP(s, kc_waiter_token_nack(s->w.e, s->scope, held.token), KC_OK);
    held = receives(s, buffered, KC_OP_HOLD, KC_OK);
    STEP(s, kc_waiter_token_ack(s->w.e, s->scope, held.token), KC_OK);
    KC_CHECK_EQ(w_next(&s->w).code, KC_OK);
    (void)receives(s, rendezvous, KC_OP_ACK, KC_PARKED);
    (void)sends(s, rendezvous, "ack me", 6, KC_OP_CONFIRM, KC_PARKED);
    held = w_next(&s->w);
    STEP(s, kc_waiter_token_ack(s->w.e, s->scope, held.token), KC_OK);
    KC_CHECK_EQ(w_next(&s->w).code, KC_OK);
}

static void bodies(script *s, kc_chan buffered) {
    kc_op op = op_of(s, 0);
    kc_body body = {0};
    kc_result result;

    STEP(s, kc_body_open(s->w.e, s->account, BIG, &body, NULL), KC_OK);
    for (uint32_t at = 0; at < BIG;) {
        void *memory = NULL;
        uint32_t room = 0;
        STEP(s, kc_body_room(s->w.e, &body, at, &memory, &room, NULL), KC_OK);
        KC_REQUIRE(room != 0);
        memset(memory, 1, room);
        at += room;
    }
    STEP(s, kc_chan_send_body(s->w.e, buffered, &op, &body, &result), KC_OK);
    KC_CHECK_EQ(body.block, 0);
    consume(s, receives(s, buffered, 0, KC_OK), BIG);
}

static void selects(script *s, kc_chan rendezvous, kc_chan buffered) {
    kc_clause clauses[3] = {{.chan = rendezvous, .dir = KC_CLAUSE_SEND, .body = body_of(s, "first", 5)},
                            {.chan = rendezvous, .dir = KC_CLAUSE_SEND, .body = body_of(s, big, BIG)},
                            {.chan = buffered, .dir = KC_CLAUSE_RECV, .flags = KC_OP_ACK}};
    kc_op op = op_of(s, KC_OP_BIASED);
    kc_result result;

    STEP(s, kc_select(s->w.e, clauses, 3, &op, &result), KC_PARKED);
    consume(s, receives(s, rendezvous, 0, KC_OK), 5);
    KC_CHECK_EQ(w_next(&s->w).code, KC_OK);
    clauses[0].body = body_of(s, "second", 6);
    clauses[1] = (kc_clause){.chan = buffered, .dir = KC_CLAUSE_SEND, .body = body_of(s, "third", 5)};
    STEP(s, kc_select(s->w.e, clauses, 2, &op, &result), KC_OK);
    KC_CHECK_EQ(result.clause, 1);
    STEP(s, kc_select(s->w.e, &clauses[2], 1, &op, &result), KC_OK);
    STEP(s, kc_waiter_token_ack(s->w.e, s->scope, result.token), KC_OK);
}

/* These allocate on the way and cannot refuse: a letter that finds no memory is dropped and logged, a text left out. */
static void ends(script *s, kc_chan rendezvous, kc_chan buffered, kc_chan letters) {
    kc_event event;
    uint64_t dropped = 0;

    (void)sends(s, buffered, "letter", 6, 0, KC_OK);
    (void)sends(s, rendezvous, "parked", 6, 0, KC_PARKED);
    STEP(s, kc_chan_destroy(s->w.e, buffered, KC_REASON_DESTROYED, "why", 3), KC_OK);
    dropped = w_stat(&s->w, buffered, KC_STAT_UNDELIVERED_DROPPED);
    KC_CHECK_EQ(w_stat(&s->w, letters, KC_STAT_DEPTH) + dropped, 1);
    KC_CHECK_EQ(kc_engine_take_event(s->w.e, &event), (int)dropped);
    STEP(s, kc_chan_close(s->w.e, rendezvous), KC_OK);
    STEP(s, kc_chan_waiter_scope_end(s->w.e, s->scope, KC_REASON_DEAD), KC_OK);
}

static uint32_t run(uint64_t n, uint64_t *allocations_out) {
    script s = {.w = w_open()};
    kc_chan rendezvous = 0;
    kc_chan letters = 0;
    kc_chan buffered = 0;

    (void)kc_engine_fail_alloc(s.w.e, n);
    STEP(&s, kc_account_make(s.w.e, NULL, &s.account), KC_OK);
    STEP(&s, kc_chan_waiter_scope_begin(s.w.e, s.w.scope, s.account, NULL, &s.scope, NULL), KC_OK);
    rendezvous = make(&s, (kc_chan_config){.kind = KC_KIND_RENDEZVOUS});
    letters = make(&s, (kc_chan_config){.kind = KC_KIND_UNLIMITED});
    buffered = make(&s, (kc_chan_config){.kind = KC_KIND_BUFFERED,
                                         .capacity = 2,
                                         .undelivered = KC_UNDELIVERED_DEAD_LETTER,
                                         .dead_letter = letters});
    plain_messages(&s, rendezvous, buffered);
    held_messages(&s, rendezvous, buffered);
    bodies(&s, letters);
    selects(&s, rendezvous, letters);
    ends(&s, rendezvous, buffered, letters);
    *allocations_out = kc_engine_fail_alloc(s.w.e, 0);
    KC_CHECK_EQ(kc_account_free(s.w.e, s.account), KC_OK);
    w_close(&s.w);
    return s.refused;
}

KC_TEST(every_failed_allocation_is_a_code_and_changes_nothing) {
    uint64_t allocations = 0;
    uint64_t unused = 0;
    uint32_t told = 0;

    KC_CHECK_EQ(run(0, &allocations), 0);
    KC_CHECK(allocations > 40);
    for (uint64_t n = 1; n <= allocations; n++)
        told += run(n, &unused);
    KC_CHECK_EQ(run(allocations + 100, &unused), 0);
    KC_CHECK_EQ(told, allocations - 2); /* all but the letter's record and the text */
}

KC_TEST(full_tables_are_codes_that_name_their_limit) {
    kc_world w = w_open_with((kc_engine_config){.channels = 2,
                                                .tokens = 2,
                                                .clauses = 1,
                                                .messages = 2,
                                                .scopes = 2,
                                                .ports = 1,
                                                .heap_bytes = 4 << 20});
    kc_chan c = w_buffered(&w, 8);
    kc_chan r = w_rendezvous(&w);
    kc_chan_config config = {0};
    kc_refusal refusal = {0};
    kc_clause clauses[3] = {w_receiving(r), w_receiving(r), w_receiving(r)};
    kc_chan more = 0;
    kc_scope scope = 0;
    kc_result result;

    KC_CHECK_EQ(kc_chan_make(w.e, &config, &more, &refusal), KC_ENOMEM);
    KC_CHECK_EQ(refusal.quota, KC_QUOTA_ENGINE_CHANNELS);
    KC_CHECK_EQ(refusal.limit, 2);
    KC_CHECK_EQ(kc_chan_waiter_scope_begin(w.e, 0, 0, NULL, &scope, NULL), KC_OK);
    KC_CHECK_EQ(kc_chan_waiter_scope_begin(w.e, 0, 0, NULL, &more, &refusal), KC_ENOMEM);
    KC_CHECK_EQ(refusal.quota, KC_QUOTA_ENGINE_SCOPES);
    KC_CHECK_EQ(w_end(&w, scope, KC_REASON_CANCEL), KC_OK);
    KC_CHECK_EQ(w_select(&w, clauses, 3, 0).refusal.quota, KC_QUOTA_ENGINE_CLAUSES);
    KC_CHECK_EQ(w_try_send(&w, c, "1"), KC_OK);
    KC_CHECK_EQ(w_try_send(&w, c, "2"), KC_OK);
    result = w_send(&w, c, "3", 0);
    KC_CHECK_EQ(result.code, KC_ENOMEM);
    KC_CHECK_EQ(result.refusal.quota, KC_QUOTA_ENGINE_MESSAGES);
    (void)w_recv(&w, r, 0);
    (void)w_recv(&w, r, 0);
    result = w_recv(&w, r, 0);
    KC_CHECK_EQ(result.code, KC_ENOMEM);
    KC_CHECK_EQ(result.refusal.quota, KC_QUOTA_ENGINE_TOKENS);
    KC_CHECK_EQ(w_recv(&w, c, KC_OP_ACK).code, KC_ENOMEM);
    KC_CHECK_STR(w_try_text(&w, c), "1"); /* needs neither */
    w_close(&w);
}

int main(void) {
    KC_RUN(every_failed_allocation_is_a_code_and_changes_nothing);
    KC_RUN(full_tables_are_codes_that_name_their_limit);
    return kc_test_report();
}
