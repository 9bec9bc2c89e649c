/* The runtime as it is asked by the conformance suite: commands on stdin, answers on stdout, a line each. Every
 * operation is a coroutine that calls kc_channel.h, on one worker; so is the one that reads the commands.
 *
 *     channel KIND CAPACITY OVERFLOW ELEM_BYTES      send USER ID CHAN TIMEOUT_MS HEX     recv USER ID CHAN TIMEOUT_MS
 *     select USER ID TIMEOUT_MS FLAGS N (CHAN s HEX | CHAN r)...
 *     cancel ID    die USER    close CHAN    destroy CHAN HEX    purge CHAN    stats CHAN    collect    wait    usage
 *
 * What is asked at once is answered "= CODE [NUMBER...]". Collect and wait answer a line for each operation that has
 * ended, "end ID CODE INDEX REASON HEX", then "."; wait waits for one. Texts and bytes are in hex, "-" for none. Users
 * and channels are small numbers, channels in the order in which they were made. Before a command is answered every
 * coroutine has got as far as it can, and the engine has been checked.
 */
#include <kcoro/kc_channel.h>

#include "words.h"

enum { MOST_OPS = 4096, MOST_CHANS = 256, MOST_USERS = 64, MOST_CLAUSES = 64, BATCH = 300 };

typedef struct operation {
    unsigned long id;
    kc_co *co;
    kc_cancel *cancel; /* below its user's */
    kc_channel_clause clauses[MOST_CLAUSES];
    uint32_t count, flags, index;
    int is_select, is_try, code, ended;
    int64_t deadline_ns;
} operation;

static kc_sched *sched;
static kc_hub *hub;
static kc_co *reader;
static kc_cancel *users[MOST_USERS];
static kc_channel *chans[MOST_CHANS];
static operation *ops[MOST_OPS];
static int op_count, chan_count, reader_waits;

/* --- words -------------------------------------------------------------------------------------------------------- */

static kc_channel *channel(void)
{
    long wanted = number();
    must(wanted >= 0 && wanted < chan_count, "no such channel");
    return chans[wanted];
}

static kc_cancel *user(void)
{
    long wanted = number();
    must(wanted >= 0 && wanted < MOST_USERS, "no such user");
    must(users[wanted] != NULL || kc_cancel_make(NULL, &users[wanted]) == KC_OK, "no memory");
    return users[wanted];
}

/* --- operations --------------------------------------------------------------------------------------------------- */

static int operate(operation *op)
{
    kc_channel_clause *one = &op->clauses[0];
    if (op->is_select) {
        uint32_t flags = op->flags | (op->is_try ? (uint32_t)KC_OP_TRY : 0U);
        return kc_channel_select(op->clauses, op->count, flags, op->deadline_ns, op->cancel, &op->index);
    }
    if (one->dir == KC_CLAUSE_SEND) {
        return op->is_try ? kc_channel_try_send(one->channel, one->data, one->len_bytes)
                          : kc_channel_send_c(one->channel, one->data, one->len_bytes, op->deadline_ns, op->cancel);
    }
    return op->is_try ? kc_channel_try_recv(one->channel, one->buffer, one->buffer_bytes, &one->len_bytes)
                      : kc_channel_recv_c(one->channel, one->buffer, one->buffer_bytes, &one->len_bytes,
                                          op->deadline_ns, op->cancel);
}

static void run(void *arg)
{
    operation *op = arg;
    op->code = operate(op);
    op->ended = 1;
    if (reader_waits) {
        (void)kc_co_unpark(reader);
    }
}

static operation *begin(void)
{
    operation *op = calloc(1, sizeof *op);
    kc_cancel *owner = user();
    must(op != NULL && op_count < MOST_OPS, "too many operations");
    must(kc_cancel_make(owner, &op->cancel) == KC_OK, "no memory");
    op->id = (unsigned long)number();
    op->index = UINT32_MAX;
    return op;
}

static void set_timeout(operation *op)
{
    long timeout_ms = number();
    op->is_try = timeout_ms == 0;
    op->deadline_ns = timeout_ms < 0 ? KC_NEVER : kc_after_ns((int64_t)timeout_ms * 1000000);
}

static void set_send(kc_channel_clause *clause)
{
    size_t length = 0;
    char *text = bytes(&length), *kept = malloc(length + 1U);
    must(kept != NULL, "no memory");
    memcpy(kept, text, length);
    clause->dir = KC_CLAUSE_SEND;
    clause->data = kept;
    clause->len_bytes = (uint32_t)length;
}

static void set_recv(kc_channel_clause *clause)
{
    clause->dir = KC_CLAUSE_RECV;
    clause->buffer_bytes = kc_channel_elem_bytes(clause->channel);
    clause->buffer = malloc(clause->buffer_bytes + 1U);
    must(clause->buffer != NULL, "no memory");
}

static void go(operation *op)
{
    ops[op_count++] = op;
    must(kc_sched_spawn(sched, run, op, &op->co) == KC_OK, "no coroutine");
}

static void do_send(void)
{
    operation *op = begin();
    op->count = 1;
    op->clauses[0].channel = channel();
    set_timeout(op);
    set_send(&op->clauses[0]);
    go(op);
}

static void do_recv(void)
{
    operation *op = begin();
    op->count = 1;
    op->clauses[0].channel = channel();
    set_timeout(op);
    set_recv(&op->clauses[0]);
    go(op);
}

static void do_select(void)
{
    operation *op = begin();
    op->is_select = 1;
    set_timeout(op);
    op->flags = number() != 0 ? KC_OP_BIASED : 0;
    op->count = (uint32_t)number();
    must(op->count <= MOST_CLAUSES, "too many clauses");
    for (uint32_t i = 0; i < op->count; i++) {
        op->clauses[i].channel = channel();
        if (*word() == 's') {
            set_send(&op->clauses[i]);
        } else {
            set_recv(&op->clauses[i]);
        }
    }
    go(op);
}

/* Until everybody waits or has ended: with one worker nobody else runs, and whoever was told is ready at once. */
static void settle(void)
{
    char why[256] = "";
    int busy = 1;
    while (busy) {
        busy = 0;
        for (int i = 0; i < op_count && !busy; i++) {
            enum kc_co_state state = kc_co_state_of(ops[i]->co);
            busy = state != KC_CO_PARKED && state != KC_CO_FINISHED;
        }
        if (busy) {
            kc_co_yield();
        }
    }
    must(kc_engine_check(kc_hub_engine(hub), why, sizeof why) == KC_OK, why);
}

/* --- ends --------------------------------------------------------------------------------------------------------- */

static const kc_channel_clause *decided(const operation *op)
{
    return &op->clauses[op->is_select && op->index < op->count ? op->index : 0];
}

static void say_reason(const operation *op)
{
    char text[256];
    int length = 0;
    if (op->code == KC_ECANCELED && !kc_cancel_is_set(op->cancel)) {
        length = kc_chan_reason(kc_hub_engine(hub), kc_channel_ticket(decided(op)->channel), text, sizeof text);
    }
    say_hex(text, length > 0 ? (size_t)length : 0);
}

static void say_end(const operation *op)
{
    const kc_channel_clause *clause = decided(op);
    int got = op->code == KC_OK && clause->dir == KC_CLAUSE_RECV;
    printf("end %lu %d %d", op->id, op->code, op->is_select ? (int)op->index : -1);
    say_reason(op);
    if (got) {
        say_hex(clause->buffer, clause->len_bytes);
    }
    printf("\n");
}

static void forget(operation *op)
{
    for (uint32_t i = 0; i < op->count; i++) {
        free((void *)(uintptr_t)op->clauses[i].data);
        free(op->clauses[i].buffer);
    }
    kc_cancel_drop(op->cancel);
    kc_co_drop(op->co);
    free(op);
}

static int say_ended(void)
{
    int kept = 0, told = 0;
    for (int i = 0; i < op_count; i++) {
        if (kc_co_state_of(ops[i]->co) == KC_CO_FINISHED) {
            say_end(ops[i]);
            forget(ops[i]);
            told++;
        } else {
            ops[kept++] = ops[i];
        }
    }
    op_count = kept;
    return told;
}

static int some_ended(void)
{
    int found = 0;
    for (int i = 0; i < op_count; i++) {
        found |= ops[i]->ended;
    }
    return found;
}

static void do_wait(void)
{
    reader_waits = 1;
    while (op_count != 0 && !some_ended()) {
        (void)kc_co_park();
    }
    reader_waits = 0;
    settle();
    say_ended();
    printf(".\n");
}

/* --- what is answered at once ------------------------------------------------------------------------------------- */

static int cancel_one(unsigned long id)
{
    for (int i = 0; i < op_count; i++) {
        if (ops[i]->id == id) {
            return kc_cancel_trigger(ops[i]->cancel, KC_REASON_CANCEL);
        }
    }
    return KC_ENOENT;
}

static void do_make(void)
{
    kc_channel_config config = {.kind = (int32_t)number()};
    config.capacity = (uint32_t)number();
    config.overflow = (uint32_t)number();
    config.elem_size = (uint32_t)number();
    must(chan_count < MOST_CHANS, "too many channels");
    int code = kc_channel_make(hub, &config, &chans[chan_count]);
    printf("= %d %d\n", code, chan_count);
    chan_count += code == KC_OK;
}

static void do_destroy(void)
{
    kc_chan ticket = kc_channel_ticket(channel());
    size_t length = 0;
    const char *text = bytes(&length);
    printf("= %d\n", kc_chan_destroy(kc_hub_engine(hub), ticket, KC_REASON_DESTROYED, text, (uint32_t)length));
}

static void do_purge(void)
{
    uint32_t count = 0;
    int code = kc_chan_purge(kc_hub_engine(hub), kc_channel_ticket(channel()), &count);
    printf("= %d %u\n", code, count);
}

static void do_stats(void)
{
    kc_chan_snapshot snapshot = {0};
    printf("= %d", kc_chan_measure(kc_hub_engine(hub), kc_channel_ticket(channel()), &snapshot));
    for (int i = 1; i < KC_STAT_END; i++) {
        printf(" %llu", (unsigned long long)snapshot.stat[i]);
    }
    printf("\n");
}

/* Everybody has left: what is still in the engine. */
static void do_usage(void)
{
    kc_engine_usage usage;
    for (int i = 0; i < MOST_USERS; i++) {
        if (users[i] != NULL) {
            (void)kc_cancel_trigger(users[i], KC_REASON_DEAD);
        }
    }
    settle();
    for (; chan_count > 0; chan_count--) {
        kc_channel_drop(chans[chan_count - 1]);
    }
    kc_engine_measure(kc_hub_engine(hub), &usage);
    printf("= 0 %llu %llu %llu %llu %llu\n", (unsigned long long)usage.channels, (unsigned long long)usage.tokens,
           (unsigned long long)usage.messages, (unsigned long long)usage.parked,
           (unsigned long long)usage.block_bytes);
}

typedef struct command {
    const char *name;
    void (*call)(void);
} command;

static void do_cancel(void)
{
    printf("= %d\n", cancel_one((unsigned long)number()));
}

static void do_die(void)
{
    printf("= %d\n", kc_cancel_trigger(user(), KC_REASON_DEAD));
}

static void do_close(void)
{
    printf("= %d\n", kc_channel_close(channel()));
}

static void do_collect(void)
{
    settle();
    say_ended();
    printf(".\n");
}

static void obey(const char *name)
{
    static const command commands[] = {{"send", do_send},       {"recv", do_recv},   {"select", do_select},
                                       {"cancel", do_cancel},   {"die", do_die},     {"close", do_close},
                                       {"destroy", do_destroy}, {"purge", do_purge}, {"stats", do_stats},
                                       {"collect", do_collect}, {"wait", do_wait},   {"usage", do_usage},
                                       {"channel", do_make}};
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(commands[i].name, name) == 0) {
            commands[i].call();
            settle();
            return;
        }
    }
    must(0, "unknown command");
}

static void read_commands(void *arg)
{
    char *line = NULL;
    size_t room = 0;
    (void)arg;
    reader = kc_co_self();
    while (getline(&line, &room, stdin) > 0) { /* the one worker waits with it: nothing happens between commands */
        obey(strtok(line, " \n"));
        fflush(stdout);
    }
    free(line);
    exit(0);
}

/* runtime_driver [shared]: channels with a lock each, or those of an engine that others could use. */
int main(int argc, char **argv)
{
    kc_engine *engine = NULL;
    int shared = argc == 2 && strcmp(argv[1], "shared") == 0;

    kc_sched_config config = {.workers = 1, .stacks_kept = BATCH};
    must(kc_sched_make(&config, &sched) == KC_OK, "no scheduler");
    must(!shared || kc_engine_make(NULL, &engine) == KC_OK, "no engine");
    must(kc_hub_make(engine, &hub) == KC_OK, "no hub");
    must(kc_sched_spawn(sched, read_commands, NULL, NULL) == KC_OK, "no coroutine");
    (void)kc_sched_drain(sched, KC_NEVER);
    return 1;
}
