/* test_rt_apart.c: channels with a lock each (core/kc_cell.h): selects that take several locks in every order, raced by
 * cancels and deadlines; and a cancel that comes while an operation is about to wait. Linked with
 * --wrap=kc_cancel_add. */
#include <stdbool.h>
#include <string.h>

#include "kc_rt.h"

/* ---- every order of locks, every way to end ---- */

enum { CHANNELS = 4, TRADERS = 8, ROUNDS = 1500 / RT_SCALE, NUMBERS = TRADERS * ROUNDS * CHANNELS };
enum { RECEIVED = 1, SENT = 2 };

typedef struct market {
    kc_hub *hub;
    kc_channel *channels[CHANNELS];
    kc_cancel *cancels[TRADERS];
    _Atomic uint8_t seen[NUMBERS];
    _Atomic uint32_t traders, done;
} market;

static uint32_t roll(uint64_t *dice, uint32_t sides) {
    *dice = *dice * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*dice >> 33) % sides;
}

static void note(market *m, uint32_t number, uint8_t what) {
    KC_REQUIRE(number < NUMBERS);
    KC_CHECK_EQ(atomic_fetch_or(&m->seen[number], what) & what, 0);
}

/* Two to four clauses, of some channels twice; each send offers a number of its own. */
static uint32_t set_clauses(market *m, uint32_t first, uint64_t *dice, kc_channel_clause *clauses, uint32_t *numbers) {
    uint32_t count = 2 + roll(dice, CHANNELS - 1);

    for (uint32_t i = 0; i < count; i++) {
        numbers[i] = first + i;
        clauses[i] = (kc_channel_clause){.channel = m->channels[roll(dice, CHANNELS)], .dir = roll(dice, 2)};
        if (clauses[i].dir == KC_CLAUSE_SEND) {
            clauses[i].data = &numbers[i];
            clauses[i].len_bytes = sizeof numbers[i];
        } else {
            clauses[i].buffer = &numbers[i];
            clauses[i].buffer_bytes = sizeof numbers[i];
        }
    }
    return count;
}

static void trade(market *m, uint32_t me, uint32_t round, uint64_t *dice) {
    kc_channel_clause clauses[CHANNELS];
    uint32_t numbers[CHANNELS], index = 0;
    uint32_t count = set_clauses(m, (me * ROUNDS + round) * CHANNELS, dice, clauses, numbers);
    int64_t deadline_ns = kc_after_ns(roll(dice, 4) * INT64_C(5000));
    int rc = kc_channel_select(clauses, count, 0, deadline_ns, roll(dice, 3) == 0 ? m->cancels[me] : NULL, &index);

    KC_CHECK(rc == KC_OK || rc == KC_ETIME || rc == KC_ECANCELED);
    if (rc == KC_OK)
        note(m, numbers[index], clauses[index].dir == KC_CLAUSE_SEND ? SENT : RECEIVED);
}

static void trades(void *arg) {
    market *m = arg;
    uint32_t me = atomic_fetch_add(&m->traders, 1);
    uint64_t dice = me + 1;

    for (uint32_t round = 0; round < ROUNDS; round++) {
        trade(m, me, round, &dice);
        if (round == ROUNDS / 2)
            (void)kc_cancel_trigger(m->cancels[(me + 1) % TRADERS], 0);
    }
    (void)atomic_fetch_add(&m->done, 1);
}

static void take_the_rest(market *m) {
    uint32_t number = 0;

    for (int i = 0; i < CHANNELS; i++)
        while (kc_channel_try_recv(m->channels[i], &number, sizeof number, NULL) == KC_OK)
            note(m, number, RECEIVED);
}

static market *open_market(void) {
    static const kc_channel_config configs[CHANNELS] = {{.kind = KC_KIND_RENDEZVOUS, .elem_size = 4},
                                                        {.kind = KC_KIND_BUFFERED, .capacity = 1, .elem_size = 4},
                                                        {.kind = KC_KIND_RENDEZVOUS, .elem_size = 4},
                                                        {.kind = KC_KIND_BUFFERED, .capacity = 3, .elem_size = 4}};
    market *m = calloc(1, sizeof *m);

    KC_REQUIRE(m != NULL);
    m->hub = rt_hub();
    for (int i = 0; i < CHANNELS; i++)
        KC_REQUIRE(kc_channel_make(m->hub, &configs[i], &m->channels[i]) == KC_OK);
    for (int i = 0; i < TRADERS; i++)
        KC_REQUIRE(kc_cancel_make(NULL, &m->cancels[i]) == KC_OK);
    return m;
}

static void close_market(market *m) {
    char why[256] = "";

    KC_CHECK_EQ(kc_engine_check(kc_hub_engine(m->hub), why, sizeof why), KC_OK);
    KC_CHECK_STR(why, "");
    for (int i = 0; i < TRADERS; i++)
        kc_cancel_drop(m->cancels[i]);
    for (int i = 0; i < CHANNELS; i++)
        kc_channel_drop(m->channels[i]);
    rt_hub_free(m->hub);
    free(m);
}

static void market_with(uint32_t workers) {
    market *m = open_market();
    kc_sched *sched = rt_sched(workers);
    uint32_t matched = 0;

    for (int i = 0; i < TRADERS; i++)
        rt_spawn(sched, trades, m);
    KC_CHECK_EQ(kc_sched_drain(sched, KC_NEVER), KC_OK);
    KC_CHECK_EQ(m->done, TRADERS);
    take_the_rest(m);
    for (uint32_t i = 0; i < NUMBERS; i++) {
        KC_CHECK(m->seen[i] == 0 || m->seen[i] == (SENT | RECEIVED));
        matched += m->seen[i] != 0;
    }
    KC_CHECK(matched > 0);
    kc_sched_free(sched);
    close_market(m);
}
KC_TEST(selects_over_many_locks_neither_stop_nor_lose_nor_double) { rt_with_workers(market_with); }

/* ---- a cancel that comes while its operation is about to wait ---- */

typedef struct gap {
    kc_channel *channel, *other;
    kc_cancel *cancel;
    bool select, buffered;
    int code;
} gap;

static _Atomic(gap *) between; /* whom kc_cancel_add is to be held up for */
static bool before;
int __real_kc_cancel_add(kc_cancel *cancel, kc_cancel_hook *hook);
int __wrap_kc_cancel_add(kc_cancel *cancel, kc_cancel_hook *hook);

/* From here on nothing may be sent to it, and it takes nothing. */
static void set_and_look(gap *g) {
    int value = 7;

    KC_CHECK_EQ(kc_cancel_trigger(g->cancel, 0), KC_OK);
    KC_CHECK_EQ(kc_channel_try_send(g->channel, &value, sizeof value), g->buffered ? KC_OK : KC_EAGAIN);
}

int __wrap_kc_cancel_add(kc_cancel *cancel, kc_cancel_hook *hook) {
    gap *g = atomic_exchange(&between, NULL);
    int rc = KC_OK;

    if (g != NULL && before)
        set_and_look(g);
    rc = __real_kc_cancel_add(cancel, hook);
    if (g != NULL && !before)
        set_and_look(g);
    return rc;
}

static void receives(void *arg) {
    gap *g = arg;
    int value = 0, other = 0;
    uint32_t index = 0;
    kc_channel_clause clauses[2] = {
        {.channel = g->other, .dir = KC_CLAUSE_RECV, .buffer = &other, .buffer_bytes = sizeof other},
        {.channel = g->channel, .dir = KC_CLAUSE_RECV, .buffer = &value, .buffer_bytes = sizeof value}};

    if (g->select)
        g->code = kc_channel_select(clauses, 2, 0, KC_NEVER, g->cancel, &index);
    else
        g->code = kc_channel_recv_c(g->channel, &value, sizeof value, NULL, KC_NEVER, g->cancel);
}

static void gap_of(bool select, bool is_before, bool buffered) {
    kc_channel_config config = {
        .kind = buffered ? KC_KIND_BUFFERED : KC_KIND_RENDEZVOUS, .capacity = 1, .elem_size = sizeof(int)};
    kc_hub *hub = rt_hub();
    kc_sched *sched = rt_sched(1);
    gap g = {.select = select, .buffered = buffered};

    KC_REQUIRE(kc_channel_make(hub, &config, &g.channel) == KC_OK && kc_channel_make(hub, &config, &g.other) == KC_OK);
    KC_REQUIRE(kc_cancel_make(NULL, &g.cancel) == KC_OK);
    between = &g;
    before = is_before;
    rt_spawn(sched, receives, &g);
    KC_CHECK_EQ(kc_sched_drain(sched, KC_NEVER), KC_OK);
    KC_CHECK_EQ(g.code, KC_ECANCELED);
    KC_CHECK(between == NULL);
    KC_CHECK_EQ(kc_channel_depth(g.channel), buffered);
    kc_sched_free(sched);
    kc_cancel_drop(g.cancel);
    kc_channel_drop(g.channel);
    kc_channel_drop(g.other);
    rt_hub_free(hub);
}

KC_TEST(nothing_is_sent_to_one_whose_cancel_was_set_before_it_waited) {
    for (int i = 0; i < 8; i++)
        gap_of((i & 1) != 0, (i & 2) != 0, (i & 4) != 0);
}

/* ---- the last reference goes while somebody waits ---- */

typedef struct orphan {
    kc_channel *a, *b;
    int code;
    void *got;
} orphan;

static void sends_a_pointer(void *arg) {
    orphan *o = arg;

    o->code = kc_channel_send_ptr(o->a, o, sizeof *o, KC_NEVER);
}

static void selects_two(void *arg) {
    orphan *o = arg;
    uint32_t index = 9;
    kc_channel_clause clauses[2] = {{.channel = o->a, .dir = KC_CLAUSE_RECV}, {.channel = o->b, .dir = KC_CLAUSE_RECV}};

    o->code = kc_channel_select(clauses, 2, 0, KC_NEVER, NULL, &index);
}

static void drops_one(void *arg) {
    orphan *o = arg;

    kc_channel_drop(o->a);
}

static void sends_and_drops(void *arg) {
    orphan *o = arg;

    KC_CHECK_EQ(kc_channel_try_send_ptr(o->b, o, sizeof *o), KC_OK);
    kc_channel_drop(o->a);
}

static void receives_a_pointer(void *arg) {
    orphan *o = arg;

    o->code = kc_channel_recv_ptr(o->a, &o->got, NULL, KC_NEVER);
}

static void selects_a_pointer(void *arg) {
    orphan *o = arg;
    uint32_t index = 9;
    kc_channel_clause clauses[2] = {{.channel = o->b, .dir = KC_CLAUSE_RECV}, {.channel = o->a, .dir = KC_CLAUSE_RECV}};

    o->code = kc_channel_select(clauses, 2, 0, KC_NEVER, NULL, &index);
    KC_CHECK_EQ(index, 1);
    o->got = (void *)(uintptr_t)clauses[1].desc.offset;
}

static void sends_to_it_and_drops(void *arg) {
    orphan *o = arg;

    KC_CHECK_EQ(kc_channel_try_send_ptr(o->a, o, sizeof *o), KC_OK);
    kc_channel_drop(o->a);
}

static void orphaned(kc_co_fn waits, kc_co_fn drops, int code) {
    kc_channel_config config = {.kind = KC_KIND_RENDEZVOUS};
    kc_hub *hub = rt_hub();
    kc_sched *sched = rt_sched(1);
    orphan o = {.code = 1};
    kc_co *co = NULL;

    KC_REQUIRE(kc_channel_make(hub, &config, &o.a) == KC_OK && kc_channel_make(hub, &config, &o.b) == KC_OK);
    KC_REQUIRE(kc_sched_spawn(sched, waits, &o, &co) == KC_OK);
    rt_until_state(co, KC_CO_PARKED);
    rt_spawn(sched, drops, &o);
    KC_CHECK_EQ(kc_sched_drain(sched, KC_NEVER), KC_OK);
    KC_CHECK_EQ(o.code, code);
    KC_CHECK(o.got == (drops == sends_to_it_and_drops ? &o : NULL));
    kc_co_drop(co);
    kc_sched_free(sched);
    kc_channel_drop(o.b);
    rt_hub_free(hub);
}

KC_TEST(who_waits_when_the_last_reference_goes_is_told_and_touches_nothing_of_it) {
    orphaned(sends_a_pointer, drops_one, KC_ECANCELED);
    orphaned(selects_two, drops_one, KC_ECANCELED);
    orphaned(selects_two, sends_and_drops, KC_OK);
    orphaned(receives_a_pointer, sends_to_it_and_drops, KC_OK);
    orphaned(selects_a_pointer, sends_to_it_and_drops, KC_OK);
}

/* ---- who is ready has a share ---- */

enum { SHARED_CLAUSES = 8, SHARED_ROUNDS = 400 };

static void fill(kc_channel *c) {
    uint32_t value = 1;

    if (kc_channel_depth(c) == 0)
        KC_CHECK_EQ(kc_channel_try_send(c, &value, sizeof value), KC_OK);
}

KC_TEST(of_two_clauses_that_are_ready_each_has_its_share_whatever_lies_between_them) {
    kc_channel_config config = {.kind = KC_KIND_UNLIMITED, .elem_size = sizeof(uint32_t)};
    kc_hub *hub = rt_hub();
    kc_channel *channels[SHARED_CLAUSES];
    int won[SHARED_CLAUSES] = {0};

    for (int i = 0; i < SHARED_CLAUSES; i++)
        KC_REQUIRE(kc_channel_make(hub, &config, &channels[i]) == KC_OK);
    for (int i = 0; i < SHARED_ROUNDS; i++) {
        kc_channel_clause clauses[SHARED_CLAUSES] = {{.channel = NULL}};
        uint32_t value = 0, index = 0;
        fill(channels[0]); /* these two are ready each time, and nobody else ever is */
        fill(channels[1]);
        for (int c = 0; c < SHARED_CLAUSES; c++)
            clauses[c] = (kc_channel_clause){.channel = channels[c],
                                             .dir = KC_CLAUSE_RECV,
                                             .buffer = &value,
                                             .buffer_bytes = sizeof value};
        KC_CHECK_EQ(kc_channel_select(clauses, SHARED_CLAUSES, KC_OP_TRY, KC_NEVER, NULL, &index), KC_OK);
        won[index]++;
    }
    KC_CHECK_EQ(won[0] + won[1], SHARED_ROUNDS);
    /* The dice are the same each time; where only the start is drawn: 350 and 50. */
    KC_CHECK(won[0] > SHARED_ROUNDS / 3);
    KC_CHECK(won[1] > SHARED_ROUNDS / 3);
    for (int i = 0; i < SHARED_CLAUSES; i++)
        kc_channel_drop(channels[i]);
    rt_hub_free(hub);
}

int main(void) {
    KC_RUN(of_two_clauses_that_are_ready_each_has_its_share_whatever_lies_between_them);
    KC_RUN(selects_over_many_locks_neither_stop_nor_lose_nor_double);
    KC_RUN(nothing_is_sent_to_one_whose_cancel_was_set_before_it_waited);
    KC_RUN(who_waits_when_the_last_reference_goes_is_told_and_touches_nothing_of_it);
    return kc_test_report();
}
