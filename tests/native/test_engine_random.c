/* Random operations on six channels of all kinds, three scopes, a manual clock; after each one every invariant holds
 * (kc_engine_check) and, by a small account of our own, what the invariants cannot know: a stale ticket meets nobody,
 * first deliveries of a channel come in the order in which they were sent, nothing is delivered after it was settled,
 * every waiter is answered once. The exact answers are the model's business (tests/model). Each program runs a second
 * time with every channel tapped: all that its users and counters could see must be the same, and the taps must have
 * got each message that was accepted.
 *
 *     test_engine_random [FIRST_SEED SEEDS]
 */
#include "kc_world.h"

enum { CHANS = 6, SCOPES = 3, STEPS = 400, SEEDS = 600, VALUES = STEPS * 4, LETTERS = 5 };
enum fate { UNSENT, FLYING, SETTLED };

typedef struct waiter {
    kc_token token;
    uint32_t value[2]; /* of sends; 0 = none */
    bool parked;       /* else it holds */
    uint32_t scope;
} waiter;

typedef struct game {
    kc_world w;
    uint64_t seed;
    kc_chan chans[CHANS];
    kc_scope scopes[SCOPES];
    waiter waiters[STEPS * 2];
    uint32_t waiting, values;
    uint8_t fate[VALUES];
    uint32_t last[2][CHANS]; /* value of the newest first delivery, at once and by the port */
    kc_token stale;
    int64_t now;
    bool tapped;
    kc_chan taps[CHANS];
    uint64_t seen; /* of all that came back from the engine: codes, values, counters */
} game;

static uint32_t roll(game *g, uint32_t sides) {
    g->seed = g->seed * 6364136223846793005U + 1442695040888963407U;
    return (uint32_t)(g->seed >> 33) % sides;
}

static void see(game *g, uint64_t value) { g->seen = (g->seen ^ value) * UINT64_C(0x100000001B3); }

static uint32_t which(game *g, kc_chan chan) {
    uint32_t i = 0;

    while (i < CHANS && g->chans[i] != chan)
        i++;
    return i;
}

static uint32_t fresh(game *g) {
    KC_REQUIRE(g->values + 1 < VALUES);
    return ++g->values;
}

static kc_op random_op(game *g, uint32_t flags, uint32_t *scope_out) {
    kc_op op = w_op(&g->w, flags);

    *scope_out = roll(g, SCOPES);
    op.scope = g->scopes[*scope_out];
    op.flags |= roll(g, 4) == 0 ? KC_OP_TRY : 0;
    if (roll(g, 3) == 0)
        op.deadline_ns = g->now + 1 + roll(g, 20);
    return op;
}

static void remember(game *g, kc_result result, uint32_t scope, bool parked, uint32_t one, uint32_t two) {
    KC_REQUIRE(g->waiting < STEPS * 2);
    g->waiters[g->waiting++] =
        (waiter){.token = result.token, .scope = scope, .parked = parked, .value = {one, two}};
}

static waiter forget(game *g, uint32_t i) {
    waiter gone = g->waiters[i];

    g->waiters[i] = g->waiters[--g->waiting];
    g->stale = gone.token;
    return gone;
}

/* A message came: it must be on its way, and a first delivery must be newer than those before it on this channel; those
 * at the port were decided before they are seen, so each way has its own order. */
static void received(game *g, kc_result *result, uint32_t scope, int by_port) {
    uint32_t chan = which(g, result->chan);
    uint32_t value = 0;

    KC_REQUIRE(chan < CHANS);
    KC_CHECK_EQ(kc_body_copy(g->w.e, &result->body, 0, &value, sizeof value), KC_OK);
    KC_REQUIRE(value != 0 && value < VALUES);
    see(g, value);
    see(g, result->attempts);
    KC_CHECK_EQ(g->fate[value], FLYING);
    if (result->attempts == 0 && chan != LETTERS) {
        KC_CHECK(value > g->last[by_port][chan]);
        g->last[by_port][chan] = value;
    }
    if ((result->flags & KC_RESULT_HELD) != 0) {
        remember(g, *result, scope, false, value, 0);
    } else {
        g->fate[value] = SETTLED;
        kc_body_drop(g->w.e, &result->body);
    }
}

static void do_send(game *g) {
    static const uint32_t flags[] = {0, 0, KC_OP_CONFIRM};
    uint32_t scope = 0;
    kc_op op = random_op(g, flags[roll(g, 3)], &scope);
    uint32_t value[16] = {fresh(g)};
    kc_result result;
    int rc = kc_chan_send(g->w.e, g->chans[roll(g, CHANS)], &op, value, (1 + roll(g, 8)) * 4, &result);

    see(g, (uint64_t)rc);

    if (rc >= 0 || rc == KC_EINPROGRESS)
        g->fate[value[0]] = FLYING;
    if (rc == KC_PARKED)
        remember(g, result, scope, true, value[0], 0);
}

static void do_receive(game *g) {
    static const uint32_t flags[] = {0, KC_OP_HOLD, KC_OP_ACK, KC_OP_ACK};
    uint32_t scope = 0;
    kc_op op = random_op(g, flags[roll(g, 4)], &scope);
    kc_result result;
    int rc = kc_chan_recv(g->w.e, g->chans[roll(g, CHANS)], &op, NULL, 0, &result);

    see(g, (uint64_t)rc);
    if (rc == KC_OK)
        received(g, &result, scope, 0);
    else if (rc == KC_PARKED)
        remember(g, result, scope, true, 0, 0);
}

static void do_select(game *g) {
    uint32_t scope = 0;
    kc_op op = random_op(g, roll(g, 2) ? KC_OP_BIASED : 0, &scope);
    kc_clause clauses[2];
    uint32_t value[2] = {0};
    kc_result result;
    int rc = 0;

    for (int i = 0; i < 2; i++) {
        clauses[i] = (kc_clause){.chan = g->chans[roll(g, CHANS)],
                                 .dir = roll(g, 2),
                                 .flags = roll(g, 2) ? KC_OP_ACK : 0};
        if (clauses[i].dir == KC_CLAUSE_SEND) {
            value[i] = fresh(g);
            KC_REQUIRE(kc_body_make(g->w.e, 0, &value[i], 4, &clauses[i].body, NULL) == KC_OK);
        }
    }
    rc = kc_select(g->w.e, clauses, 2, &op, &result);
    see(g, (uint64_t)rc << 8 | result.clause);
    for (int i = 0; i < 2; i++) {
        if (rc == KC_PARKED || (rc == KC_OK && result.clause == (uint32_t)i))
            g->fate[value[i]] = FLYING;
        kc_body_drop(g->w.e, &clauses[i].body);
    }
    if (rc == KC_OK && (result.flags & KC_RESULT_MESSAGE) != 0)
        received(g, &result, scope, 0);
    else if (rc == KC_PARKED)
        remember(g, result, scope, true, value[0], value[1]);
}

static uint32_t waiter_of(game *g, kc_ticket user_token) {
    uint32_t i = 0;

    while (i < g->waiting && g->waiters[i].token != user_token)
        i++;
    return i;
}

/* Results carry no token unless they hold, so whoever is no longer waiting after a take was answered by it. */
static void do_take(game *g) {
    kc_result result;
    uint32_t max = 1 + roll(g, 4);

    while (max-- != 0 && kc_port_take(g->w.e, g->w.port, &result, 1) == 1) {
        uint32_t scope = 0;
        see(g, result.user ^ (uint64_t)result.code << 32);
        if ((result.flags & KC_RESULT_HELD) != 0) {
            uint32_t i = waiter_of(g, result.token);
            KC_REQUIRE(i < g->waiting);
            KC_CHECK(g->waiters[i].parked);
            scope = forget(g, i).scope;
            g->stale = 0;
        }
        if (result.code == KC_OK && (result.flags & KC_RESULT_MESSAGE) != 0)
            received(g, &result, scope, 1);
    }
    for (uint32_t i = 0; i < g->waiting;) {
        if (kc_waiter_token_status(g->w.e, g->waiters[i].token) == KC_ENOENT)
            (void)forget(g, i);
        else
            i++;
    }
}

static void do_settle(game *g) {
    uint32_t i = g->waiting != 0 ? roll(g, g->waiting) : 0;
    int status = 0;
    int rc = 0;

    if (i == g->waiting)
        return;
    status = kc_waiter_token_status(g->w.e, g->waiters[i].token);
    if (g->waiters[i].parked) {
        rc = kc_waiter_token_cancel(g->w.e, g->waiters[i].token, KC_REASON_CANCEL, NULL);
        if (status == KC_TOKEN_ENQUEUED) {
            KC_CHECK_EQ(rc, KC_OK);
            g->fate[g->waiters[i].value[0]] = g->fate[g->waiters[i].value[1]] = SETTLED; /* never to be seen */
        } else if (status == KC_TOKEN_TAKEN) {
            KC_CHECK_EQ(rc, KC_EINPROGRESS);
        } else {
            KC_CHECK_EQ(rc, KC_EBUSY);
            return;
        }
        (void)forget(g, i);
    } else {
        waiter held = forget(g, i);
        bool back = roll(g, 3) == 0;
        rc = back ? kc_waiter_token_nack(g->w.e, g->scopes[held.scope], held.token)
                  : kc_waiter_token_ack(g->w.e, g->scopes[held.scope], held.token);
        KC_CHECK_EQ(rc, KC_OK);
        g->fate[held.value[0]] = back ? FLYING : SETTLED;
    }
}

static void do_stale(game *g) {
    if (g->stale != 0) {
        KC_CHECK_EQ(kc_waiter_token_cancel(g->w.e, g->stale, KC_REASON_CANCEL, NULL), KC_ENOENT);
        KC_CHECK_EQ(kc_waiter_token_ack(g->w.e, g->scopes[0], g->stale), KC_ENOENT);
    }
}

static void do_scope(game *g) {
    uint32_t scope = roll(g, SCOPES);

    if (roll(g, 6) != 0)
        return;
    KC_CHECK_EQ(kc_chan_waiter_scope_clear(g->w.e, g->scopes[scope], KC_REASON_DEAD), KC_OK);
    for (uint32_t i = 0; i < g->waiting;) {
        if (g->waiters[i].scope == scope)
            (void)forget(g, i);
        else
            i++;
    }
}

static void make_channel(game *g, uint32_t i) {
    static const kc_chan_config configs[CHANS] = {
        {.kind = KC_KIND_RENDEZVOUS},
        {.kind = KC_KIND_BUFFERED, .capacity = 2, .max_bytes = 40},
        {.kind = KC_KIND_BUFFERED, .capacity = 2, .overflow = KC_OVERFLOW_DROP_OLDEST, .max_bytes = 60},
        {.kind = KC_KIND_BUFFERED, .capacity = 1, .max_attempts = 2, .undelivered = KC_UNDELIVERED_DEAD_LETTER},
        {.kind = KC_KIND_CONFLATED},
        {.kind = KC_KIND_UNLIMITED, .max_items = 8}};
    kc_chan_config config = configs[i];

    config.dead_letter = config.undelivered == KC_UNDELIVERED_DEAD_LETTER ? g->chans[LETTERS] : 0;
    KC_REQUIRE(kc_chan_make(g->w.e, &config, &g->chans[i], NULL) == KC_OK);
    g->last[0][i] = g->last[1][i] = 0;
    if (g->tapped) {
        config = (kc_chan_config){.kind = KC_KIND_BUFFERED, .capacity = 1 + i, .overflow = KC_OVERFLOW_DROP_OLDEST};
        KC_REQUIRE(kc_chan_make(g->w.e, &config, &g->taps[i], NULL) == KC_OK);
        KC_CHECK_EQ(kc_chan_tap(g->w.e, g->chans[i], g->taps[i]), KC_OK);
    }
}

/* What a channel counted, and that its tap got a copy of all of it. */
static void see_channel(game *g, uint32_t i) {
    kc_chan_snapshot mine, copies;

    KC_CHECK_EQ(kc_chan_measure(g->w.e, g->chans[i], &mine), KC_OK);
    for (uint32_t id = 1; id < KC_STAT_END; id++)
        see(g, mine.stat[id]);
    if (g->tapped) {
        KC_CHECK_EQ(kc_chan_measure(g->w.e, g->taps[i], &copies), KC_OK);
        KC_CHECK_EQ(copies.stat[KC_STAT_TOTAL_SENDS],
                    mine.stat[KC_STAT_TOTAL_SENDS] - mine.stat[KC_STAT_DROPS_NEWEST]);
        KC_CHECK_EQ(copies.stat[KC_STAT_READY] + copies.stat[KC_STAT_DROPS_OLDEST], copies.stat[KC_STAT_TOTAL_SENDS]);
    }
}

/* Ends a channel now and then and makes it anew; what it held may still be acknowledged. */
static void do_end(game *g) {
    uint32_t i = roll(g, CHANS - 1);
    kc_chan old = g->chans[i];
    uint32_t count = 0;

    switch (roll(g, 12)) {
    case 0:
        KC_CHECK_EQ(kc_chan_close(g->w.e, old), KC_OK);
        break;
    case 1:
        KC_CHECK_EQ(kc_chan_purge(g->w.e, old, &count), KC_OK);
        break;
    case 2:
        while (w_depth(&g->w) != 0) /* its results name the old channel */
            do_take(g);
        see_channel(g, i);
        KC_CHECK_EQ(kc_chan_destroy(g->w.e, old, 0, "gone", 4), KC_OK);
        while (w_depth(&g->w) != 0)
            do_take(g);
        KC_CHECK_EQ(kc_chan_drop(g->w.e, old), KC_OK);
        if (g->tapped)
            KC_CHECK_EQ(kc_chan_drop(g->w.e, g->taps[i]), KC_OK);
        make_channel(g, i);
        break;
    default:
        break;
    }
}

static void step(game *g) {
    static void (*const moves[])(game *) = {do_send, do_send, do_receive, do_receive, do_select, do_take,
                                            do_settle, do_settle, do_stale, do_scope, do_end};

    moves[roll(g, sizeof moves / sizeof moves[0])](g);
    g->now += roll(g, 3) == 0;
    (void)kc_engine_tick(g->w.e, g->now);
    w_check(&g->w);
}

/* Returns what was seen. */
static uint64_t play(uint64_t seed, bool tapped) {
    static game g;
    int faults = atomic_load(&kc_test_faults);

    g = (game){.seed = seed * 7919 + 1, .tapped = tapped};
    g.w = w_open_with((kc_engine_config){.channels = 32,
                                         .tokens = 512,
                                         .clauses = 512,
                                         .messages = 1024,
                                         .scopes = 8,
                                         .ports = 1,
                                         .heap_bytes = 8 << 20});
    for (int i = 0; i < SCOPES; i++)
        g.scopes[i] = w_scope(&g.w, g.w.scope, 0, (kc_scope_limits){0});
    for (uint32_t i = CHANS; i-- > 0;)
        make_channel(&g, i);
    for (int i = 0; i < STEPS && atomic_load(&kc_test_faults) == faults; i++)
        step(&g);
    for (uint32_t i = 0; i < CHANS; i++) {
        see_channel(&g, i);
        g.w.chans[g.w.count++] = g.chans[i];
        if (tapped)
            g.w.chans[g.w.count++] = g.taps[i];
    }
    w_close(&g.w);
    if (atomic_load(&kc_test_faults) != faults)
        fprintf(stderr, "    seed %llu: test_engine_random %llu 1\n", (unsigned long long)seed,
                (unsigned long long)seed);
    return g.seen;
}

static uint64_t first_seed = 1;
static uint64_t seeds = SEEDS;

KC_TEST(random_operations_keep_every_invariant_and_are_the_same_with_taps) {
    for (uint64_t seed = first_seed; seed < first_seed + seeds; seed++)
        KC_CHECK_EQ(play(seed, false), play(seed, true));
}

int main(int argc, char **argv) {
    if (argc == 3) {
        first_seed = strtoull(argv[1], NULL, 10);
        seeds = strtoull(argv[2], NULL, 10);
    }
    KC_RUN(random_operations_keep_every_invariant_and_are_the_same_with_taps);
    return kc_test_report();
}
