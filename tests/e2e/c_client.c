/* The C client against a real daemon, for test_c_client.py: says the first thing that is not as the header promises.
 *
 *     c_client           all of it, then "done"
 *     c_client lose      one receive under way while the daemon dies, one begun after that
 *     c_client relay N   N messages from the channel "to C" to "from C"
 */
#include <fcntl.h>
#include <kcoro/kc_ipc.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition) ((condition) ? (void)0 : wrong(__LINE__, #condition))
#define OK(call) equal(__LINE__, #call, (call), KC_OK)
#define CODE(call, code) equal(__LINE__, #call, (call), (code))

static void wrong(int line, const char *what)
{
    printf("c_client.c:%d: %s\n", line, what);
    exit(1);
}

static void equal(int line, const char *what, int code, int expected)
{
    if (code != expected) {
        printf("c_client.c:%d: %s: %d (%s), not %d\n", line, what, code, kc_ipc_advice(code), expected);
        exit(1);
    }
}

static const kc_ipc_wish soon = {.timeout_ms = 20};
static const kc_ipc_wish now = {.timeout_ms = 0};
static const kc_ipc_wish acking = {.timeout_ms = -1, .flags = KC_IPC_ACK};

static void take(kc_ipc_chan *chan, const void *bytes, size_t length)
{
    kc_ipc_message message;
    OK(kc_ipc_recv(chan, &message, NULL));
    CHECK(message.length == length && memcmp(message.bytes, bytes, length) == 0);
    kc_ipc_message_free(&message);
}

static int open_files(void)
{
    int count = 0;
    for (int fd = 0; fd < 512; fd++) {
        count += fcntl(fd, F_GETFD) >= 0;
    }
    return count;
}

/* --- channels ----------------------------------------------------------------------------------------------------- */

static void test_making(kc_ipc *a, kc_ipc *b)
{
    kc_ipc_chan *one, *two, *none;
    kc_ipc_chan_info info;
    const kc_ipc_chan_config four = {.capacity = 4, .elem_size = 10, .overflow = KC_OVERFLOW_DROP_NEWEST,
                                     .given = KC_IPC_GIVEN_OVERFLOW};
    const kc_ipc_chan_config five = {.capacity = 5};
    const kc_ipc_chan_config exclusive = {.flags = KC_FLAG_CHAN_EXCLUSIVE};
    const kc_ipc_chan_config absurd = {.given = KC_IPC_GIVEN_KIND, .kind = KC_KIND_BUFFERED};
    CODE(kc_ipc_open(a, "making", 0, 0, &none), KC_ENOENT);
    CODE(kc_ipc_open(a, "making", 0, 20, &none), KC_ETIME);
    CODE(kc_ipc_make(a, "bad/name", NULL, &none), KC_EINVAL);
    CODE(kc_ipc_make(a, "making", &absurd, &none), KC_EINVAL);
    OK(kc_ipc_make(a, "making", &four, &one));
    kc_ipc_chan_look(one, &info);
    CHECK(info.kind == KC_KIND_BUFFERED && info.capacity == 4 && info.elem_size == 10);
    CHECK(info.overflow == KC_OVERFLOW_DROP_NEWEST);
    CODE(kc_ipc_make(b, "making", &five, &none), KC_EEXIST);
    CODE(kc_ipc_make(b, "making", &exclusive, &none), KC_EEXIST);
    CHECK(none == NULL);
    OK(kc_ipc_open(b, "making", KC_FLAG_CHAN_READ, 0, &two));
    CODE(kc_ipc_send(two, "x", 1, NULL), KC_EACCES);
    CODE(kc_ipc_send(one, "12345678901", 11, NULL), KC_EMSGSIZE);
    kc_ipc_result result;
    const kc_ipc_payload x = {.bytes = "x", .length = 1};
    for (int i = 0; i < 5; i++) {
        OK(kc_ipc_send_payload(one, &x, NULL, &result));
        CHECK(((result.flags & KC_IPC_DROPPED) != 0) == (i == 4));
    }
    uint32_t purged = 0;
    OK(kc_ipc_purge(one, &purged));
    CHECK(purged == 4);
    uint64_t stats[KC_STAT_END];
    OK(kc_ipc_statistics(two, stats));
    CHECK(stats[KC_STAT_TOTAL_SENDS] == 5 && stats[KC_STAT_DROPS_NEWEST] == 1 && stats[KC_STAT_UNDELIVERED] == 4);
    OK(kc_ipc_destroy(one, "enough"));
    CODE(kc_ipc_send_payload(one, &x, NULL, &result), KC_ECANCELED);
    CHECK(strcmp(result.reason, "enough") == 0);
    kc_ipc_chan_free(one);
    kc_ipc_chan_free(two);
    kc_ipc_chan_free(NULL);
}

static void *make_late(void *arg)
{
    kc_ipc_chan *chan;
    const kc_ipc_chan_config one = {.capacity = 1};
    OK(kc_ipc_make(arg, "late", &one, &chan));
    OK(kc_ipc_send(chan, "came", 4, NULL));
    return chan;
}

static void test_waiting_for_a_name(kc_ipc *a, kc_ipc *b)
{
    kc_ipc_chan *chan;
    pthread_t thread;
    void *made;
    CHECK(pthread_create(&thread, NULL, make_late, b) == 0);
    OK(kc_ipc_open(a, "late", 0, -1, &chan));
    take(chan, "came", 4);
    pthread_join(thread, &made);
    OK(kc_ipc_destroy(chan, NULL));
    kc_ipc_chan_free(chan);
    kc_ipc_chan_free(made);
}

/* --- operations --------------------------------------------------------------------------------------------------- */

static void test_ends(kc_ipc_chan *at, kc_ipc_chan *bt)
{
    kc_ipc_message message;
    kc_ipc_op *op;
    kc_ipc_result result;
    CODE(kc_ipc_try_recv(bt, &message), KC_EAGAIN);
    CHECK(message.frame == NULL);
    CODE(kc_ipc_recv(bt, &message, &soon), KC_ETIME);
    OK(kc_ipc_send(at, "", 0, NULL));
    take(bt, "", 0);
    OK(kc_ipc_recv_begin(bt, 1, NULL, &op));
    OK(kc_ipc_op_cancel(op));
    CODE(kc_ipc_op_wait(op, &result), KC_ECANCELED);
    CHECK(result.flags == 0);
    kc_ipc_op_free(op);
    OK(kc_ipc_recv_begin(bt, 1, NULL, &op));
    OK(kc_ipc_send(at, "met", 3, NULL));
    OK(kc_ipc_op_wait(op, &result));
    CHECK(result.message_count == 1 && memcmp(result.messages[0].bytes, "met", 3) == 0);
    OK(kc_ipc_op_cancel(op)); /* too late: nothing */
    kc_ipc_result_free(&result);
    kc_ipc_op_free(op);
}

static void test_acknowledgement(kc_ipc *b, kc_ipc_chan *at, kc_ipc_chan *bt)
{
    kc_ipc_message message;
    kc_ipc_result result;
    kc_ipc_op *op;
    const kc_ipc_wish both = {.timeout_ms = -1, .flags = KC_IPC_ACK | KC_IPC_SENDER};
    const kc_ipc_wish confirm = {.timeout_ms = 20, .flags = KC_IPC_CONFIRM};
    const kc_ipc_payload job = {.bytes = "job", .length = 3};
    OK(kc_ipc_send(at, "job", 3, NULL));
    OK(kc_ipc_recv(bt, &message, &both));
    CHECK(message.attempts == 0 && message.sender_uid == getuid() && message.sender_pid == (uint32_t)getpid());
    OK(kc_ipc_nack(b, &message.delivery, 1));
    CODE(kc_ipc_ack(b, &message.delivery, 1), KC_ENOENT);
    kc_ipc_message_free(&message);
    OK(kc_ipc_recv(bt, &message, &acking));
    CHECK(message.attempts == 1 && message.sender_uid == KC_NOBODY);
    OK(kc_ipc_ack(b, &message.delivery, 1));
    kc_ipc_message_free(&message);
    OK(kc_ipc_recv_begin(bt, 1, &acking, &op));
    CODE(kc_ipc_send_payload(at, &job, &confirm, &result), KC_EINPROGRESS);
    CHECK(result.flags == KC_IPC_UNCONFIRMED);
    kc_ipc_op_free(op); /* gives the delivery back */
    take(bt, "job", 3);
}

static void test_batches(kc_ipc *a, kc_ipc_chan *at, kc_ipc_chan *bt)
{
    enum { COUNT = 64, EACH = 30000 }; /* several frames where a frame is short, and more than the channel holds */
    kc_ipc_usage usage;
    static uint8_t bytes[EACH];
    kc_ipc_payload payloads[COUNT];
    kc_ipc_result result;
    for (int i = 0; i < COUNT; i++) {
        payloads[i] = (kc_ipc_payload){.bytes = bytes, .length = (size_t)(EACH - i)};
    }
    kc_ipc_measure(a, &usage);
    CHECK(usage.max_frame_bytes >= 128 << 10);
    uint64_t before = usage.frames_out;
    OK(kc_ipc_send_many(at, payloads, COUNT, &now, &result));
    CHECK(result.count == 8 && result.code == KC_OK);
    kc_ipc_measure(a, &usage);
    CHECK(usage.max_frame_bytes > COUNT * EACH ? usage.frames_out == before + 1 : usage.frames_out > before + 1);
    CODE(kc_ipc_send_many(at, payloads, 2, &now, &result), KC_EAGAIN);
    CHECK(result.count == 0);
    for (uint32_t got = 0; got < 8;) {
        OK(kc_ipc_recv_many(bt, 5, NULL, &result));
        CHECK(result.message_count >= 1 && result.message_count <= 5);
        for (uint32_t i = 0; i < result.message_count; i++) {
            CHECK(result.messages[i].length == EACH - got - i);
        }
        got += result.message_count;
        kc_ipc_result_free(&result);
    }
}

static void test_select(kc_ipc *a, kc_ipc_chan *at)
{
    kc_ipc_chan *closed;
    kc_ipc_result result;
    const kc_ipc_payload x = {.bytes = "x", .length = 1};
    const kc_ipc_wish biased = {.timeout_ms = -1, .flags = KC_IPC_BIASED};
    OK(kc_ipc_make(a, NULL, NULL, &closed));
    const kc_ipc_clause clauses[] = {{.chan = closed}, {.chan = at, .payload = &x}, {.chan = at, .flags = KC_IPC_ACK}};
    OK(kc_ipc_select(a, clauses, 3, &biased, &result));
    CHECK(result.index == 1 && result.message_count == 0);
    kc_ipc_result_free(&result);
    const kc_ipc_clause receives[] = {{.chan = closed}, {.chan = at, .flags = KC_IPC_ACK}};
    OK(kc_ipc_select(a, receives, 2, NULL, &result));
    CHECK(result.index == 1 && result.message_count == 1 && result.messages[0].delivery != 0);
    OK(kc_ipc_ack(a, &result.messages[0].delivery, 1));
    kc_ipc_result_free(&result);
    CODE(kc_ipc_select(a, receives, 2, &soon, &result), KC_ETIME);
    OK(kc_ipc_close(closed));
    CODE(kc_ipc_select(a, receives, 2, NULL, &result), KC_EPIPE);
    CHECK(result.index == 0);
    kc_ipc_result_free(&result);
    kc_ipc_chan_free(closed);
}

/* --- memory and files --------------------------------------------------------------------------------------------- */

static void test_regions(kc_ipc *a, kc_ipc *b, kc_ipc_chan *at, kc_ipc_chan *bt)
{
    enum { ROUNDS = 50, EACH = 300000 };
    kc_ipc_region *region;
    kc_ipc_loan *loan;
    kc_ipc_message message;
    kc_ipc_usage usage;
    OK(kc_ipc_region_make(a, 1 << 20, &region));
    for (int i = 0; i < ROUNDS; i++) {
        int code;
        while ((code = kc_ipc_loan_take(region, EACH, &loan)) == KC_ENOSPC) {
            OK(kc_ipc_ping(b)); /* what was released is told before the answer */
            OK(kc_ipc_ping(a));
        }
        OK(code);
        memset(kc_ipc_loan_bytes(loan), i, EACH);
        const kc_ipc_payload payload = {.loan = loan, .length = EACH - 1};
        OK(kc_ipc_send_payload(at, &payload, NULL, NULL));
        OK(kc_ipc_recv(bt, &message, NULL));
        CHECK(message.length == EACH - 1 && ((const uint8_t *)message.bytes)[EACH - 2] == i);
        kc_ipc_measure(b, &usage);
        CHECK(usage.mappings == 1 && usage.leases == 1);
        kc_ipc_message_free(&message);
    }
    OK(kc_ipc_loan_take(region, 1, &loan));
    const kc_ipc_payload last = {.loan = loan};
    OK(kc_ipc_send_payload(at, &last, NULL, NULL));
    CODE(kc_ipc_region_free(region), KC_EBUSY);
    OK(kc_ipc_recv(bt, &message, NULL));
    kc_ipc_message_free(&message);
    OK(kc_ipc_ping(b));
    OK(kc_ipc_region_free(region));
    OK(kc_ipc_ping(b));
    kc_ipc_measure(b, &usage);
    CHECK(usage.mappings == 0 && usage.leases == 0);
}

static int mapped_regions(void)
{
    char line[512];
    int count = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    CHECK(maps != NULL);
    while (fgets(line, sizeof line, maps) != NULL) {
        count += strstr(line, "kcoro-region") != NULL && strstr(line, "rw-s") != NULL;
    }
    fclose(maps);
    return count;
}

/* A region that is given up while a message lies in it goes when the message has gone. */
static void test_abandoned_regions(kc_ipc *a, kc_ipc *b, kc_ipc_chan *at, kc_ipc_chan *bt)
{
    kc_ipc_region *region;
    kc_ipc_loan *loan;
    kc_ipc_message message;
    OK(kc_ipc_region_make(a, 1 << 16, &region));
    OK(kc_ipc_loan_take(region, 1000, &loan));
    memset(kc_ipc_loan_bytes(loan), 'r', 1000);
    const kc_ipc_payload payload = {.loan = loan};
    OK(kc_ipc_send_payload(at, &payload, NULL, NULL));
    kc_ipc_region_abandon(region);
    CHECK(mapped_regions() == 1);
    OK(kc_ipc_recv(bt, &message, NULL));
    CHECK(message.length == 1000 && ((const char *)message.bytes)[999] == 'r');
    kc_ipc_message_free(&message);
    while (mapped_regions() != 0) { /* the release, what it frees, and the answer to the drop */
        OK(kc_ipc_ping(b));
        OK(kc_ipc_ping(a));
    }
}

/* What was accepted and then lost with its channel: the daemon frees the loan, so it cannot be the sender's. */
static void test_a_loan_that_is_lost(kc_ipc *a, kc_ipc *b)
{
    kc_ipc_chan *ours, *theirs;
    kc_ipc_region *region;
    kc_ipc_loan *loan;
    kc_ipc_op *op;
    kc_ipc_result result;
    int code;
    const kc_ipc_chan_config wanted = {.capacity = 4};
    const kc_ipc_wish confirm = {.timeout_ms = -1, .flags = KC_IPC_CONFIRM};
    OK(kc_ipc_make(a, "lost", &wanted, &ours));
    OK(kc_ipc_open(b, "lost", 0, 0, &theirs));
    OK(kc_ipc_region_make(a, 4096, &region));
    OK(kc_ipc_loan_take(region, 4096, &loan));
    const kc_ipc_payload payload = {.loan = loan};
    OK(kc_ipc_send_begin(ours, &payload, 1, &confirm, &op));
    OK(kc_ipc_ping(a));
    OK(kc_ipc_destroy(theirs, "gone"));
    CODE(kc_ipc_op_wait(op, &result), KC_ECANCELED);
    CHECK(result.flags == KC_IPC_UNCONFIRMED);
    kc_ipc_op_free(op);
    while ((code = kc_ipc_loan_take(region, 4096, &loan)) == KC_ENOSPC) {
        OK(kc_ipc_ping(a));
    }
    OK(code);
    kc_ipc_loan_give(loan);
    OK(kc_ipc_region_free(region));
    kc_ipc_chan_free(ours);
    kc_ipc_chan_free(theirs);
}

/* What waited for room when its send ended was never accepted, and the answer says so:
 * the loan is the sender's at once. */
static void test_a_loan_that_was_never_accepted(kc_ipc *a, bool destroyed)
{
    kc_ipc_chan *full;
    kc_ipc_region *region;
    kc_ipc_loan *loan;
    kc_ipc_op *op;
    kc_ipc_result result;
    const kc_ipc_chan_config one = {.capacity = 1};
    const kc_ipc_wish confirm = {.timeout_ms = -1, .flags = KC_IPC_CONFIRM};
    OK(kc_ipc_make(a, "full", &one, &full));
    OK(kc_ipc_send(full, "x", 1, NULL));
    OK(kc_ipc_region_make(a, 4096, &region));
    OK(kc_ipc_loan_take(region, 4096, &loan));
    const kc_ipc_payload payload = {.loan = loan};
    OK(kc_ipc_send_begin(full, &payload, 1, &confirm, &op));
    OK(kc_ipc_ping(a));
    OK(destroyed ? kc_ipc_destroy(full, "gone") : kc_ipc_op_cancel(op));
    CODE(kc_ipc_op_wait(op, &result), KC_ECANCELED);
    CHECK(result.flags == 0);
    kc_ipc_op_free(op);
    memset(kc_ipc_loan_bytes(loan), 'o', 4096);
    kc_ipc_loan_give(loan);
    OK(kc_ipc_loan_take(region, 4096, &loan)); /* the whole region, without a word of the daemon */
    kc_ipc_loan_give(loan);
    OK(kc_ipc_region_free(region));
    CHECK(mapped_regions() == 0);
    if (!destroyed) {
        OK(kc_ipc_destroy(full, "done"));
    }
    kc_ipc_chan_free(full);
}

static void test_files(kc_ipc_chan *at, kc_ipc_chan *bt)
{
    int before = open_files();
    int files[16];
    kc_ipc_message message;
    for (int i = 0; i < 16; i++) {
        files[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    const kc_ipc_payload payload = {.bytes = "f", .length = 1, .files = files, .file_count = 16};
    OK(kc_ipc_send_payload(at, &payload, NULL, NULL));
    for (int i = 0; i < 16; i++) {
        close(files[i]);
    }
    OK(kc_ipc_recv(bt, &message, NULL));
    CHECK(message.file_count == 16 && open_files() == before + 16);
    CHECK((fcntl(message.files[15], F_GETFD) & FD_CLOEXEC) != 0);
    kc_ipc_message_free(&message);
    CHECK(open_files() == before);
}

static void test_the_longest_element(kc_ipc *a, kc_ipc_chan *at, kc_ipc_chan *bt)
{
    kc_ipc_usage usage;
    kc_ipc_measure(a, &usage);
    size_t length = usage.max_frame_bytes > KC_MAX_ELEMENT_BYTES ? KC_MAX_ELEMENT_BYTES : usage.max_frame_bytes - 200;
    uint8_t *bytes = malloc(length);
    CHECK(bytes != NULL);
    memset(bytes, 'l', length);
    OK(kc_ipc_send(at, bytes, length, NULL));
    take(bt, bytes, length);
    CODE(kc_ipc_send(at, bytes, usage.max_frame_bytes, NULL), KC_EMSGSIZE);
    free(bytes);
}

/* --- threads, forks, signals -------------------------------------------------------------------------------------- */

enum { THREADS = 4, MESSAGES = 100 };

static void *send_some(void *arg)
{
    for (long i = 0; i < MESSAGES; i++) {
        OK(kc_ipc_send(arg, &i, sizeof i, NULL));
    }
    return NULL;
}

static void *receive_some(void *arg)
{
    long sum = 0;
    for (int i = 0; i < MESSAGES; i++) {
        kc_ipc_message message;
        OK(kc_ipc_recv(arg, &message, NULL));
        sum += *(const long *)message.bytes;
        kc_ipc_message_free(&message);
    }
    return (void *)sum;
}

static void ignore(int number)
{
    (void)number;
}

/* Senders and receivers share one connection and one channel, and a timer interrupts them all the while. */
static void test_threads_and_signals(kc_ipc_chan *at)
{
    pthread_t senders[THREADS], receivers[THREADS];
    long sum = 0;
    const struct sigaction action = {.sa_handler = ignore};
    const struct itimerval often = {{0, 500}, {0, 500}}, never = {{0, 0}, {0, 0}};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&senders[i], NULL, send_some, at) == 0);
        CHECK(pthread_create(&receivers[i], NULL, receive_some, at) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *got;
        pthread_join(senders[i], NULL);
        pthread_join(receivers[i], &got);
        sum += (long)got;
    }
    setitimer(ITIMER_REAL, &never, NULL);
    CHECK(sum == THREADS * (MESSAGES * (MESSAGES - 1) / 2));
}

static void test_fork(kc_ipc *a, kc_ipc_chan *at, kc_ipc_chan *bt)
{
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        int good = kc_ipc_send(at, "x", 1, NULL) == KC_EBADF && kc_ipc_ping(a) == KC_EBADF;
        kc_ipc_chan_free(at);
        kc_ipc_disconnect(a);
        _exit(good ? 0 : 1);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    OK(kc_ipc_send(at, "still", 5, NULL));
    take(bt, "still", 5);
}

/* What is under way on a handle goes on when the handle is given back. */
static void test_giving_back(kc_ipc *a, kc_ipc_chan *bt)
{
    kc_ipc_chan *chan;
    kc_ipc_op *op;
    kc_ipc_result result;
    OK(kc_ipc_open(a, "shared", 0, 0, &chan));
    OK(kc_ipc_recv_begin(chan, 1, NULL, &op));
    kc_ipc_chan_free(chan);
    OK(kc_ipc_send(bt, "late", 4, NULL));
    OK(kc_ipc_op_wait(op, &result));
    CHECK(result.message_count == 1 && memcmp(result.messages[0].bytes, "late", 4) == 0);
    kc_ipc_result_free(&result);
    kc_ipc_op_free(op);
}

static int test_all(void)
{
    int before = open_files();
    kc_ipc *a, *b;
    kc_ipc_chan *at, *bt;
    const kc_ipc_chan_config eight = {.capacity = 8, .flags = KC_FLAG_CHAN_EPHEMERAL};
    const kc_ipc_config named = {.client_name = "c_client"};
    OK(kc_ipc_connect(NULL, &a));
    OK(kc_ipc_connect(&named, &b));
    test_making(a, b);
    test_waiting_for_a_name(a, b);
    OK(kc_ipc_make(a, "shared", &eight, &at));
    OK(kc_ipc_open(b, "shared", 0, 0, &bt));
    test_ends(at, bt);
    test_acknowledgement(b, at, bt);
    test_batches(a, at, bt);
    test_select(a, at);
    test_regions(a, b, at, bt);
    test_abandoned_regions(a, b, at, bt);
    test_a_loan_that_is_lost(a, b);
    test_a_loan_that_was_never_accepted(a, false);
    test_a_loan_that_was_never_accepted(a, true);
    test_files(at, bt);
    test_the_longest_element(a, at, bt);
    test_threads_and_signals(at);
    test_fork(a, at, bt);
    test_giving_back(a, bt);
    OK(kc_ipc_close(at));
    CODE(kc_ipc_send(at, "x", 1, NULL), KC_EPIPE);
    kc_ipc_message message;
    CODE(kc_ipc_recv(bt, &message, NULL), KC_EPIPE);
    kc_ipc_chan_free(at);
    kc_ipc_disconnect(a);
    kc_ipc_disconnect(b);
    kc_ipc_chan_free(bt); /* may come after its connection */
    CHECK(open_files() == before);
    printf("done\n");
    return 0;
}

static int lose(void)
{
    kc_ipc *a;
    kc_ipc_chan *at;
    kc_ipc_op *op;
    kc_ipc_result result;
    OK(kc_ipc_connect(NULL, &a));
    OK(kc_ipc_make(a, NULL, NULL, &at));
    OK(kc_ipc_recv_begin(at, 1, NULL, &op));
    OK(kc_ipc_ping(a));
    printf("waiting\n");
    fflush(stdout);
    kc_ipc_op_wait(op, &result);
    printf("%d %u\n", result.code, result.flags);
    kc_ipc_op_free(op);
    const kc_ipc_payload x = {.bytes = "x", .length = 1};
    kc_ipc_send_payload(at, &x, NULL, &result);
    printf("%d %u\n", result.code, result.flags);
    kc_ipc_chan_free(at);
    kc_ipc_disconnect(a);
    return 0;
}

static int relay(long count)
{
    kc_ipc *a;
    kc_ipc_chan *in, *out;
    OK(kc_ipc_connect(NULL, &a));
    OK(kc_ipc_open(a, "to C", KC_FLAG_CHAN_READ, 0, &in));
    OK(kc_ipc_open(a, "from C", KC_FLAG_CHAN_WRITE, 0, &out));
    while (count-- > 0) {
        kc_ipc_message message;
        OK(kc_ipc_recv(in, &message, NULL));
        printf("%zu %u\n", message.length, message.file_count);
        const kc_ipc_payload same = {.bytes = message.bytes, .length = message.length, .files = message.files,
                                     .file_count = message.file_count};
        OK(kc_ipc_send_payload(out, &same, NULL, NULL));
        kc_ipc_message_free(&message);
    }
    kc_ipc_chan_free(in);
    kc_ipc_chan_free(out);
    kc_ipc_disconnect(a);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "lose") == 0) {
        return lose();
    }
    return argc == 3 ? relay(strtol(argv[2], NULL, 10)) : test_all();
}
