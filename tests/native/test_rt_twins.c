/* test_rt_twins.c: a channel apart (core/kc_cell.h) and one of an engine that others use do the same. Random programs
 * of sends, receives, selects, cancels, closes, destroys and purges are played on both by one worker; every answer,
 * every byte and every counter of every channel after each step must be the same. */
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "kc_rt.h"

enum { CHANNELS = 4, OPS = 256, STEPS = 220, MOST_BYTES = 400, CLAUSES = 3 };
enum { LOG_BYTES = 1 << 22, ROUNDS = 200 / RT_SCALE };

typedef struct side side;
typedef struct op {
    side *of;
    uint32_t number, count, index, flags;
    kc_channel_clause clauses[CLAUSES];
    uint8_t bytes[CLAUSES][MOST_BYTES];
    int64_t deadline_ns;
    kc_cancel *cancel;
    kc_co *co;
    int code;
    bool told;
} op;

struct side {
    kc_hub *hub;
    kc_engine *engine; /* somebody else's; NULL: the hub's own */
    kc_sched *sched;
    kc_channel *channels[CHANNELS], *past[STEPS];
    uint32_t past_count, op_count;
    op ops[OPS];
    uint64_t dice;
    char *log;
    size_t log_bytes;
    uint32_t backend, told, lost; /* of objects whose owner is told of them */
    uint64_t sum;
};

static uint32_t roll(side *s, uint32_t sides) {
    s->dice = s->dice * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(s->dice >> 33) % sides;
}

__attribute__((format(printf, 2, 3))) static void say(side *s, const char *format, ...) {
    va_list words;
    int n = 0;

    va_start(words, format);
    n = vsnprintf(s->log + s->log_bytes, LOG_BYTES - s->log_bytes, format, words);
    va_end(words);
    KC_REQUIRE(n >= 0 && s->log_bytes + (size_t)n < LOG_BYTES);
    s->log_bytes += (size_t)n;
}

/* ---- what is asked ---- */

static void run_op(void *arg) {
    op *o = arg;

    o->code = kc_channel_select(o->clauses, o->count, o->flags | KC_OP_BIASED, o->deadline_ns, o->cancel, &o->index);
}

static void run_plain(void *arg) {
    op *o = arg;
    kc_channel_clause *c = &o->clauses[0];
    bool memory = kc_channel_elem_bytes(c->channel) == 0;

    if (memory)
        run_op(o);
    else if (c->dir == KC_CLAUSE_SEND && (o->flags & KC_OP_TRY) != 0)
        o->code = kc_channel_try_send(c->channel, c->data, c->len_bytes);
    else if (c->dir == KC_CLAUSE_SEND)
        o->code = kc_channel_send_c(c->channel, c->data, c->len_bytes, o->deadline_ns, o->cancel);
    else if ((o->flags & KC_OP_TRY) != 0)
        o->code = kc_channel_try_recv(c->channel, c->buffer, c->buffer_bytes, &c->len_bytes);
    else
        o->code = kc_channel_recv_c(c->channel, c->buffer, c->buffer_bytes, &c->len_bytes, o->deadline_ns, o->cancel);
}

static void set_clause(side *s, op *o, uint32_t i) {
    kc_channel_clause *c = &o->clauses[i];
    uint32_t most = 0;

    c->channel = s->channels[roll(s, CHANNELS)];
    c->dir = roll(s, 2);
    most = kc_channel_elem_bytes(c->channel);
    if (most == 0 && c->dir == KC_CLAUSE_SEND) {
        c->desc = (kc_desc){.offset = 16 * o->number + i + 1, .len_bytes = 1 + roll(s, 9)};
        c->desc.backend = roll(s, 2) == 0 ? s->backend : 0;
    } else if (most != 0 && c->dir == KC_CLAUSE_SEND) {
        c->len_bytes = roll(s, most + 1);
        memset(o->bytes[i], (int)(o->number & 0xFF), c->len_bytes);
        c->data = o->bytes[i];
    } else if (most != 0) {
        c->buffer = o->bytes[i];
        c->buffer_bytes = MOST_BYTES;
    }
}

static void ask(side *s) {
    op *o = &s->ops[s->op_count];

    *o = (op){.of = s, .number = s->op_count++, .deadline_ns = roll(s, 8) == 0 ? 0 : KC_NEVER};
    o->count = roll(s, 3) == 0 ? 2 + roll(s, CLAUSES - 1) : 1;
    o->flags = roll(s, 4) == 0 ? KC_OP_TRY : 0;
    for (uint32_t i = 0; i < o->count; i++)
        set_clause(s, o, i);
    if (roll(s, 2) == 0)
        KC_REQUIRE(kc_cancel_make(NULL, &o->cancel) == KC_OK);
    KC_REQUIRE(kc_sched_spawn(s->sched, o->count == 1 ? run_plain : run_op, o, &o->co) == KC_OK);
}

static void cancel_one(side *s) {
    op *o = &s->ops[s->op_count != 0 ? roll(s, s->op_count) : 0];

    if (o->cancel != NULL)
        say(s, "cancel %u %d\n", o->number, kc_cancel_trigger(o->cancel, roll(s, 2) == 0 ? KC_REASON_DEAD : 0));
}

static kc_channel *some_channel(side *s) {
    static const int32_t kinds[] = {KC_KIND_RENDEZVOUS, KC_KIND_BUFFERED, KC_KIND_BUFFERED, KC_KIND_CONFLATED,
                                    KC_KIND_UNLIMITED};
    static const uint32_t sizes[] = {0, 8, 40, MOST_BYTES};
    kc_channel_config config = {.kind = kinds[roll(s, 5)], .capacity = 1 + roll(s, 3), .elem_size = sizes[roll(s, 4)]};
    kc_channel *channel = NULL;

    if (config.kind == KC_KIND_BUFFERED)
        config.overflow = roll(s, 3);
    KC_REQUIRE(kc_channel_make(s->hub, &config, &channel) == KC_OK);
    return channel;
}

/* The old one stays, for those who wait there. */
static void end_one(side *s) {
    uint32_t i = roll(s, CHANNELS);
    kc_channel *channel = s->channels[i];
    uint32_t how = roll(s, 4);
    uint32_t count = 0;

    if (how == 0)
        say(s, "close %d\n", kc_channel_close(channel));
    else if (how == 1)
        say(s, "destroy %d\n", kc_channel_destroy(channel, KC_REASON_SHUTDOWN));
    else if (how == 2)
        say(s, "purge %d %u\n", kc_chan_purge(kc_hub_engine(s->hub), kc_channel_ticket(channel), &count), count);
    if (how < 3 && roll(s, 3) == 0) {
        s->past[s->past_count++] = channel;
        s->channels[i] = some_channel(s);
    }
}

/* ---- what came of it ---- */

/* With one worker whoever can run has run when all others wait or have ended. */
static void settle(side *s) {
    bool busy = true;

    while (busy) {
        busy = false;
        for (uint32_t i = 0; i < s->op_count && !busy; i++) {
            enum kc_co_state state = kc_co_state_of(s->ops[i].co);
            busy = state != KC_CO_PARKED && state != KC_CO_FINISHED;
        }
        if (busy)
            kc_co_yield();
    }
}

static void tell_op(side *s, op *o) {
    const kc_channel_clause *c = &o->clauses[o->code == KC_OK ? o->index : 0];

    o->told = true;
    say(s, "op %u: %d at %u", o->number, o->code, o->count > 1 && o->code == KC_OK ? o->index : 0);
    if (o->code == KC_OK && c->dir == KC_CLAUSE_RECV)
        say(s, " %u bytes of %u, %llu+%llu", c->len_bytes, c->len_bytes != 0 ? o->bytes[o->index][c->len_bytes - 1] : 0,
            (unsigned long long)c->desc.offset, (unsigned long long)c->desc.len_bytes);
    say(s, "\n");
}

static void tell_channel(side *s, uint32_t i) {
    kc_chan_snapshot snapshot;
    kc_rv_cell cell;
    kc_chan ticket = kc_channel_ticket(s->channels[i]);

    KC_REQUIRE(kc_chan_measure(kc_hub_engine(s->hub), ticket, &snapshot) == KC_OK);
    KC_REQUIRE(kc_chan_rv_cell(kc_hub_engine(s->hub), ticket, &cell) == KC_OK);
    say(s, "channel %u: cell %u %u,", i, cell.state, cell.len_bytes);
    for (uint32_t stat = 1; stat < KC_STAT_END; stat++)
        say(s, " %llu", (unsigned long long)snapshot.stat[stat]);
    say(s, "\n");
}

static void freed(void *self, const kc_desc *desc, int lost) {
    side *s = self;

    s->told++;
    s->lost += (uint32_t)lost;
    s->sum += desc->offset;
}
static const kc_desc_ops counted = {.freed = freed};

/* What a channel lost or a receiver had, and nothing that is its sender's again. */
static void tell_owners(side *s) {
    kc_freed notes[16];

    while (kc_desc_take_freed(kc_hub_engine(s->hub), notes, 16) != 0)
        ;
    say(s, "told %u lost %u sum %llu\n", s->told, s->lost, (unsigned long long)s->sum);
}

static void tell(side *s) {
    char why[256] = "";

    settle(s);
    tell_owners(s);
    for (uint32_t i = 0; i < s->op_count; i++)
        if (!s->ops[i].told && kc_co_state_of(s->ops[i].co) == KC_CO_FINISHED)
            tell_op(s, &s->ops[i]);
    for (uint32_t i = 0; i < CHANNELS; i++)
        tell_channel(s, i);
    KC_CHECK_EQ(kc_engine_check(kc_hub_engine(s->hub), why, sizeof why), KC_OK);
    KC_CHECK_STR(why, "");
}

static void play(void *arg) {
    side *s = arg;

    for (uint32_t i = 0; i < CHANNELS; i++)
        s->channels[i] = some_channel(s);
    for (uint32_t step = 0; step < STEPS; step++) {
        uint32_t what = roll(s, 16);
        if (what == 0)
            end_one(s);
        else if (what < 4)
            cancel_one(s);
        else
            ask(s);
        tell(s);
    }
    for (uint32_t i = 0; i < CHANNELS; i++)
        say(s, "end %d\n", kc_channel_destroy(s->channels[i], 0));
    for (uint32_t i = 0; i < s->past_count; i++)
        (void)kc_channel_destroy(s->past[i], 0);
    tell(s);
}

/* ---- the two ---- */

static side *begin(uint64_t seed, bool shared) {
    side *s = calloc(1, sizeof *s);

    KC_REQUIRE(s != NULL && (s->log = malloc(LOG_BYTES)) != NULL);
    s->log[0] = 0;
    s->dice = seed;
    if (shared)
        KC_REQUIRE(kc_engine_make(NULL, &s->engine) == KC_OK);
    KC_REQUIRE(kc_hub_make(s->engine, &s->hub) == KC_OK);
    KC_REQUIRE(kc_desc_backend_add(kc_hub_engine(s->hub), "counted", &counted, s, &s->backend) == KC_OK);
    s->sched = rt_sched(1);
    rt_spawn(s->sched, play, s);
    KC_CHECK_EQ(kc_sched_drain(s->sched, KC_NEVER), KC_OK);
    return s;
}

static void end(side *s) {
    kc_engine_usage usage;

    for (uint32_t i = 0; i < s->op_count; i++) {
        kc_co_drop(s->ops[i].co);
        kc_cancel_drop(s->ops[i].cancel);
    }
    kc_sched_free(s->sched);
    for (uint32_t i = 0; i < CHANNELS; i++)
        kc_channel_drop(s->channels[i]);
    for (uint32_t i = 0; i < s->past_count; i++)
        kc_channel_drop(s->past[i]);
    tell_owners(s);
    kc_engine_measure(kc_hub_engine(s->hub), &usage);
    KC_CHECK_EQ(usage.channels + usage.tokens + usage.messages + usage.parked + usage.block_bytes, 0);
    kc_hub_free(s->hub);
    kc_engine_free(s->engine);
    free(s->log);
    free(s);
}

/* The first line in which they differ, and the one before. */
static void show(uint64_t seed, const char *apart, const char *shared) {
    size_t at = 0, line = 0, before = 0;

    while (apart[at] == shared[at]) {
        if (apart[at++] == '\n') {
            before = line;
            line = at;
        }
    }
    fprintf(stderr, "seed %llu: after\n%.*sapart : %.*s\nshared: %.*s\n", (unsigned long long)seed,
            (int)(line - before), apart + before, (int)strcspn(apart + line, "\n"), apart + line,
            (int)strcspn(shared + line, "\n"), shared + line);
}

KC_TEST(a_channel_apart_answers_as_one_of_a_shared_engine) {
    bool same = true;

    for (uint64_t seed = 1; seed <= ROUNDS && same; seed++) {
        side *apart = begin(seed, false), *shared = begin(seed, true);
        same = strcmp(apart->log, shared->log) == 0;
        if (!same)
            show(seed, apart->log, shared->log);
        KC_CHECK(same);
        end(apart);
        end(shared);
    }
}

int main(void) {
    KC_RUN(a_channel_apart_answers_as_one_of_a_shared_engine);
    return kc_test_report();
}
