/* One user of the conformance suite by way of the C client: commands on stdin, answers on stdout, a line each.
 *
 *     send ID CHAN TIMEOUT_MS FLAGS TTL_MS N HEX...        recv ID CHAN TIMEOUT_MS FLAGS MAX
 *     select ID TIMEOUT_MS FLAGS N (CHAN s HEX | CHAN r FLAGS)...
 *     cancel ID    ack D    nack D    close CHAN    destroy CHAN HEX    purge CHAN    stats CHAN    open CHAN
 *     collect      wait
 *
 * What is asked at once is answered "= CODE [NUMBER...]". Collect and wait answer a line for each operation that has
 * ended, "end ID CODE INDEX DROPPED COUNT REASON (HEX DELIVERY ATTEMPTS UID PID)...", then "."; wait waits for one.
 * Texts and bytes are in hex, "-" for none. With an argument what is not empty is sent as a loan of shared memory.
 */
#include <kcoro/kc_ipc.h>
#include <poll.h>

#include "words.h"

enum { MOST_OPS = 4096, MOST_CHANS = 1024, MOST_PARTS = 1100, REGION_BYTES = 8 << 20 };

typedef struct operation {
    unsigned long id;
    kc_ipc_op *op;
    kc_ipc_loan **loans; /* of a select by clause, else in order */
    uint32_t loan_count;
    int is_select;
} operation;

static kc_ipc *ipc;
static operation ops[MOST_OPS];
static int op_count;
static kc_ipc_chan *chans[MOST_CHANS];
static int chan_count;
static kc_ipc_region *region; /* NULL: all goes as bytes */

/* --- loans -------------------------------------------------------------------------------------------------------- */

static kc_ipc_payload payload(void)
{
    kc_ipc_payload plain = {0};
    plain.bytes = bytes(&plain.length);
    return plain;
}

static kc_ipc_payload lend(kc_ipc_payload plain)
{
    kc_ipc_loan *loan;
    int code;
    if (region == NULL || plain.length == 0) {
        return plain;
    }
    while ((code = kc_ipc_loan_take(region, plain.length, &loan)) == KC_ENOSPC) {
        must(kc_ipc_ping(ipc) == KC_OK, "no daemon any more");
    }
    must(code == KC_OK, "no loan");
    memcpy(kc_ipc_loan_bytes(loan), plain.bytes, plain.length);
    return (kc_ipc_payload){.loan = loan};
}

static void keep_loans(operation *one, const kc_ipc_payload *parts, uint32_t count, int is_select)
{
    one->loans = calloc(count, sizeof(kc_ipc_loan *));
    must(one->loans != NULL, "no memory");
    one->loan_count = count;
    one->is_select = is_select;
    for (uint32_t i = 0; i < count; i++) {
        one->loans[i] = parts[i].loan;
    }
}

/* Those that were not sent are ours as before. */
static void give_loans(const operation *one, const kc_ipc_result *result)
{
    uint32_t sent = result->code == KC_OK ? result->count : 0;
    sent += (result->flags & KC_IPC_UNCONFIRMED) != 0;
    for (uint32_t i = 0; i < one->loan_count && (result->flags & KC_IPC_IN_DOUBT) == 0; i++) {
        int taken = one->is_select ? result->code == KC_OK && result->index == i : i < sent;
        if (!taken) {
            kc_ipc_loan_give(one->loans[i]);
        }
    }
    free(one->loans);
}

/* NULL if the daemon gives no handle; *code_out says why. */
static kc_ipc_chan *channel(int *code_out)
{
    uint32_t wanted = (uint32_t)number();
    kc_ipc_chan_info info;
    for (int i = 0; i < chan_count; i++) {
        kc_ipc_chan_look(chans[i], &info);
        if (info.chan_id == wanted) {
            return chans[i];
        }
    }
    must(chan_count < MOST_CHANS, "too many channels");
    *code_out = kc_ipc_open_id(ipc, wanted, 0, &chans[chan_count]);
    return *code_out == KC_OK ? chans[chan_count++] : NULL;
}

/* --- operations --------------------------------------------------------------------------------------------------- */

static void began(unsigned long id, int code, kc_ipc_op *op, const kc_ipc_payload *parts, uint32_t count,
                  int is_select)
{
    operation one = {.id = id, .op = op};
    kc_ipc_result refused = {.code = code};
    keep_loans(&one, parts, count, is_select);
    if (code != KC_OK) {
        give_loans(&one, &refused);
        printf("= %d\n", code);
        return;
    }
    must(op_count < MOST_OPS, "too many operations");
    ops[op_count++] = one;
    printf("= 0\n");
}

static void do_send(void)
{
    static kc_ipc_payload parts[MOST_PARTS];
    int code = KC_OK;
    kc_ipc_op *op = NULL;
    unsigned long id = (unsigned long)number();
    kc_ipc_chan *chan = channel(&code);
    kc_ipc_wish wish = {.timeout_ms = (int32_t)number()};
    wish.flags = (uint32_t)number();
    wish.ttl_ms = (uint32_t)number();
    uint32_t count = (uint32_t)number();
    must(count <= MOST_PARTS, "too many parts");
    int all = 1; /* one frame holds bytes or ranges */
    for (uint32_t i = 0; i < count; i++) {
        parts[i] = payload();
        all = all && parts[i].length != 0;
    }
    for (uint32_t i = 0; all && i < count; i++) {
        parts[i] = lend(parts[i]);
    }
    if (chan != NULL) {
        code = kc_ipc_send_begin(chan, parts, count, &wish, &op);
    }
    began(id, code, op, parts, count, 0);
}

static void do_recv(void)
{
    int code = KC_OK;
    kc_ipc_op *op = NULL;
    unsigned long id = (unsigned long)number();
    kc_ipc_chan *chan = channel(&code);
    kc_ipc_wish wish = {.timeout_ms = (int32_t)number()};
    wish.flags = (uint32_t)number();
    uint32_t most = (uint32_t)number();
    if (chan != NULL) {
        code = kc_ipc_recv_begin(chan, most, &wish, &op);
    }
    began(id, code, op, NULL, 0, 0);
}

static void do_select(void)
{
    static kc_ipc_clause clauses[128];
    static kc_ipc_payload payloads[128];
    int code = KC_OK;
    kc_ipc_op *op = NULL;
    unsigned long id = (unsigned long)number();
    kc_ipc_wish wish = {.timeout_ms = (int32_t)number()};
    wish.flags = (uint32_t)number();
    uint32_t count = (uint32_t)number();
    must(count <= 128, "too many clauses");
    for (uint32_t i = 0; i < count; i++) {
        clauses[i] = (kc_ipc_clause){.chan = channel(&code)};
        payloads[i] = (kc_ipc_payload){0};
        if (*word() == 's') {
            payloads[i] = lend(payload());
            clauses[i].payload = &payloads[i];
        } else {
            clauses[i].flags = (uint32_t)number();
        }
    }
    if (code == KC_OK) {
        code = kc_ipc_select_begin(ipc, clauses, count, &wish, &op);
    }
    began(id, code, op, payloads, count, 1);
}

static void do_cancel(void)
{
    unsigned long id = (unsigned long)number();
    int code = KC_ENOENT;
    for (int i = 0; i < op_count; i++) {
        if (ops[i].id == id) {
            code = kc_ipc_op_cancel(ops[i].op);
        }
    }
    printf("= %d\n", code);
}

static void say_end(const operation *one)
{
    kc_ipc_result result;
    kc_ipc_op_wait(one->op, &result);
    give_loans(one, &result);
    printf("end %lu %d %d %u %u", one->id, result.code, (int)result.index, result.dropped, result.count);
    say_hex(result.reason, strlen(result.reason));
    for (uint32_t i = 0; i < result.message_count; i++) {
        const kc_ipc_message *message = &result.messages[i];
        say_hex(message->bytes, message->length);
        printf(" %llu %u", (unsigned long long)message->delivery, message->attempts);
        printf(" %u %u", message->sender_uid, message->sender_pid);
    }
    printf("\n");
    kc_ipc_result_free(&result);
    kc_ipc_op_free(one->op);
}

static int say_ended(void)
{
    int kept = 0, told = 0;
    for (int i = 0; i < op_count; i++) {
        if (kc_ipc_op_ended(ops[i].op)) {
            say_end(&ops[i]);
            told++;
        } else {
            ops[kept++] = ops[i];
        }
    }
    op_count = kept;
    return told;
}

static void do_collect(void)
{
    kc_ipc_ping(ipc);
    say_ended();
    printf(".\n");
}

static void do_wait(void)
{
    while (op_count != 0 && say_ended() == 0) {
        struct pollfd one = {.fd = kc_ipc_handle(ipc), .events = POLLIN};
        poll(&one, 1, -1);
        kc_ipc_step(ipc);
    }
    printf(".\n");
}

/* --- what is answered at once ------------------------------------------------------------------------------------- */

static void do_settle(int (*call)(kc_ipc *, const uint64_t *, uint32_t))
{
    uint64_t delivery = strtoull(word(), NULL, 10);
    printf("= %d\n", call(ipc, &delivery, 1));
}

static void do_channel(const char *command)
{
    int code = KC_OK;
    uint32_t count = 0;
    uint64_t stats[KC_STAT_END] = {0};
    kc_ipc_chan *chan = channel(&code);
    if (chan == NULL) {
        printf("= %d 0\n", code);
    } else if (strcmp(command, "close") == 0) {
        printf("= %d\n", kc_ipc_close(chan));
    } else if (strcmp(command, "open") == 0) {
        printf("= 0\n");
    } else if (strcmp(command, "destroy") == 0) {
        kc_ipc_payload reason = payload();
        char text[256] = {0};
        memcpy(text, reason.bytes, reason.length < 255 ? reason.length : 255);
        printf("= %d\n", kc_ipc_destroy(chan, reason.length != 0 ? text : NULL));
    } else if (strcmp(command, "purge") == 0) {
        code = kc_ipc_purge(chan, &count);
        printf("= %d %u\n", code, count);
    } else {
        must(strcmp(command, "stats") == 0, "unknown command");
        printf("= %d", kc_ipc_statistics(chan, stats));
        for (int i = 1; i < KC_STAT_END; i++) {
            printf(" %llu", (unsigned long long)stats[i]);
        }
        printf("\n");
    }
}

static void obey(const char *command)
{
    if (strcmp(command, "send") == 0) {
        do_send();
    } else if (strcmp(command, "recv") == 0) {
        do_recv();
    } else if (strcmp(command, "select") == 0) {
        do_select();
    } else if (strcmp(command, "cancel") == 0) {
        do_cancel();
    } else if (strcmp(command, "collect") == 0) {
        do_collect();
    } else if (strcmp(command, "wait") == 0) {
        do_wait();
    } else if (strcmp(command, "ack") == 0) {
        do_settle(kc_ipc_ack);
    } else if (strcmp(command, "nack") == 0) {
        do_settle(kc_ipc_nack);
    } else {
        do_channel(command);
    }
}

int main(int argc, char **argv)
{
    char *line = NULL;
    size_t room = 0;
    (void)argv;
    must(kc_ipc_connect(NULL, &ipc) == KC_OK, "no daemon");
    must(argc < 2 || kc_ipc_region_make(ipc, REGION_BYTES, &region) == KC_OK, "no region");
    while (getline(&line, &room, stdin) > 0) {
        obey(strtok(line, " \n"));
        fflush(stdout);
    }
    free(line);
    return 0;
}
