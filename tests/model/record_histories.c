/* Records what threads saw of one channel, for tests/model/linearize.py to judge.
 *
 *     record_histories KIND CAPACITY THREADS CALLS FIRST_SEED HISTORIES
 *
 * Each line is one call that returned: THREAD INV RET NAME USER CODE VALUE, an empty line ends a history. INV and RET
 * are drawn from one counter just before and just after the call, so RET of one below INV of another means that it was
 * over before the other began. Names: send, try-send, receive, try-receive, take (a result from the thread's own port),
 * cancel (of another's operation, USER is whose), close.
 *
 * Who would be the last to block cancels everybody instead, so no history hangs and nobody measures time.
 */
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "kcoro/kc_chan.h"

enum { MAX_THREADS = 8, MAX_CALLS = 100, MAX_USERS = MAX_THREADS * MAX_CALLS + 1, MAX_LINES = 8 * MAX_USERS };

typedef struct line {
    uint32_t thread, inv, ret, user, value;
    const char *name;
    int code;
} line;

typedef struct actor {
    pthread_t thread;
    uint32_t number, port;
    kc_scope scope;
    int port_fd, wake_fd;
    uint64_t seed;
    line lines[MAX_LINES / MAX_THREADS];
    uint32_t count;
} actor;

static kc_engine *engine;
static kc_chan channel;
static actor actors[MAX_THREADS];
static uint32_t threads, calls;
static pthread_barrier_t together;
static atomic_uint ticket, users, awake;
static _Atomic kc_token tokens[MAX_USERS]; /* by user, once it has parked */
static atomic_uint cancelled[MAX_USERS];
static atomic_uint waiting[MAX_THREADS]; /* the user that the thread waits for, or 0 */

static void need(bool holds, const char *what) {
    if (!holds) {
        perror(what);
        exit(1);
    }
}

static uint32_t roll(actor *a, uint32_t sides) {
    a->seed = a->seed * 6364136223846793005U + 1442695040888963407U;
    return (uint32_t)(a->seed >> 33) % sides;
}

static uint32_t draw(void) { return atomic_fetch_add(&ticket, 1) + 1; }

static void note(actor *a, uint32_t inv, const char *name, uint32_t user, int code, uint32_t value) {
    need(a->count < MAX_LINES / MAX_THREADS, "too many lines");
    a->lines[a->count++] = (line){.thread = a->number, .inv = inv, .ret = draw(), .name = name, .user = user,
                                  .code = code, .value = value};
}

static uint32_t value_of(kc_result *result) {
    uint32_t value = 0;

    if ((result->flags & KC_RESULT_MESSAGE) != 0) {
        need(kc_body_copy(engine, &result->body, 0, &value, sizeof value) == KC_OK, "body");
        kc_body_drop(engine, &result->body);
    }
    return value;
}

static void ring(int fd) {
    const uint64_t one = 1;

    need(write(fd, &one, sizeof one) == (ssize_t)sizeof one, "ring");
}

static void hush(int fd) {
    uint64_t rings = 0;
    ssize_t n = read(fd, &rings, sizeof rings); /* EAGAIN: nobody rang */

    (void)n;
}

static void cancel(actor *a, uint32_t thread) {
    uint32_t user = atomic_load(&waiting[thread]);
    kc_token token = atomic_load(&tokens[user]);
    uint32_t inv = draw();
    int code = token != 0 ? kc_waiter_token_cancel(engine, token, KC_REASON_CANCEL, NULL) : KC_ENOENT;

    if (token == 0)
        return;
    note(a, inv, "cancel", user, code, 0);
    if (code == KC_OK) {
        atomic_store(&cancelled[user], 1);
        ring(actors[thread].wake_fd);
    }
}

static void fall_asleep(actor *a) {
    if (atomic_fetch_sub(&awake, 1) == 1)
        for (uint32_t thread = 0; thread < threads; thread++)
            cancel(a, thread);
}

static bool taken(actor *a, uint32_t user) {
    uint32_t inv = draw();
    kc_result result;
    bool took = kc_port_take(engine, a->port, &result, 1) == 1;

    if (took)
        note(a, inv, "take", user, result.code, value_of(&result));
    return took;
}

static void wait_for(actor *a, uint32_t user) {
    bool asleep = false;

    while (atomic_load(&cancelled[user]) == 0 && !taken(a, user)) {
        struct pollfd fds[2] = {{.fd = a->port_fd, .events = POLLIN}, {.fd = a->wake_fd, .events = POLLIN}};
        if (kc_port_arm(engine, a->port) == 0)
            continue;
        if (!asleep) {
            asleep = true;
            fall_asleep(a);
            continue;
        }
        need(poll(fds, 2, -1) > 0, "poll");
        hush(a->port_fd);
        hush(a->wake_fd);
    }
    if (asleep)
        atomic_fetch_add(&awake, 1);
}

static void operate(actor *a, bool send, bool try) {
    static const char *const names[2][2] = {{"receive", "try-receive"}, {"send", "try-send"}};
    uint32_t user = atomic_fetch_add(&users, 1) + 1;
    kc_op op = {.scope = a->scope, .port = a->port, .deadline_ns = KC_NEVER, .flags = try ? KC_OP_TRY : 0};
    kc_result result;
    uint32_t inv = draw();
    int code = send ? kc_chan_send(engine, channel, &op, &user, sizeof user, &result)
                    : kc_chan_recv(engine, channel, &op, NULL, 0, &result);

    note(a, inv, names[send][try], user, code, send || code != KC_OK ? 0 : value_of(&result));
    if (code == KC_PARKED) {
        atomic_store(&tokens[user], result.token);
        atomic_store(&waiting[a->number], user);
        wait_for(a, user);
        atomic_store(&waiting[a->number], 0);
    }
}

static void *act(void *arg) {
    actor *a = arg;

    pthread_barrier_wait(&together);
    for (uint32_t i = 0; i < calls; i++) {
        uint32_t choice = roll(a, 100);
        if (choice < 85)
            operate(a, roll(a, 2) != 0, choice < 30);
        else if (choice < 98)
            cancel(a, roll(a, threads));
        else if (i > calls / 2) {
            uint32_t inv = draw();
            note(a, inv, "close", 0, kc_chan_close(engine, channel), 0);
        }
        if (roll(a, 4) == 0)
            sched_yield();
    }
    fall_asleep(a);
    return NULL;
}

static void open_actor(actor *a, uint32_t number, uint64_t seed) {
    *a = (actor){.number = number, .seed = seed * 1000 + number};
    need(kc_port_open(engine, &a->port) == KC_OK, "port");
    need(kc_chan_waiter_scope_begin(engine, 0, 0, NULL, &a->scope, NULL) == KC_OK, "scope");
    a->port_fd = kc_port_fd(engine, a->port);
    a->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    need(a->port_fd >= 0 && a->wake_fd >= 0, "eventfd");
    need(pthread_create(&a->thread, NULL, act, a) == 0, "thread");
}

static void print_actor(actor *a) {
    need(pthread_join(a->thread, NULL) == 0, "join");
    (void)close(a->wake_fd);
    for (uint32_t i = 0; i < a->count; i++) {
        const line *l = &a->lines[i];
        printf("%u %u %u %s %u %d %u\n", l->thread, l->inv, l->ret, l->name, l->user, l->code, l->value);
    }
}

static void record(int32_t kind, uint32_t capacity, uint64_t seed) {
    kc_engine_config sizes = {
        .channels = 2, .tokens = 64, .clauses = 1, .messages = 1024, .scopes = 16, .ports = 16, .heap_bytes = 1 << 20};
    kc_chan_config config = {.kind = kind, .capacity = capacity};

    need(kc_engine_make(&sizes, &engine) == KC_OK, "engine");
    need(kc_chan_make(engine, &config, &channel, NULL) == KC_OK, "channel");
    for (uint32_t i = 0; i < MAX_USERS; i++) {
        atomic_store(&tokens[i], 0);
        atomic_store(&cancelled[i], 0);
    }
    atomic_store(&ticket, 0);
    atomic_store(&users, 0);
    atomic_store(&awake, threads);
    need(pthread_barrier_init(&together, NULL, threads) == 0, "barrier");
    for (uint32_t i = 0; i < threads; i++)
        open_actor(&actors[i], i, seed);
    for (uint32_t i = 0; i < threads; i++)
        print_actor(&actors[i]);
    printf("\n");
    (void)pthread_barrier_destroy(&together);
    kc_engine_free(engine);
}

int main(int argc, char **argv) {
    uint64_t seed = 0;
    uint64_t end = 0;

    if (argc != 7) {
        fprintf(stderr, "usage: record_histories KIND CAPACITY THREADS CALLS FIRST_SEED HISTORIES\n");
        return 2;
    }
    threads = (uint32_t)atoi(argv[3]);
    calls = (uint32_t)atoi(argv[4]);
    need(threads >= 1 && threads <= MAX_THREADS && calls <= MAX_CALLS, "sizes");
    seed = strtoull(argv[5], NULL, 10);
    for (end = seed + strtoull(argv[6], NULL, 10); seed < end; seed++)
        record(atoi(argv[1]), (uint32_t)atoi(argv[2]), seed);
    return 0;
}
