/* lab_waiter_token.c: a rendezvous, step by step, as the channels of the engine see it: no state machine of its own.
 * Each row is the view of a real channel's head (kc_chan_rv_cell) after one operation.
 *
 * A name stands under sender or receiver once the cell has shown a waiter token of that side: it is that of the
 * operation the token belongs to (kc_op.user), as the channel's own list of waiters says. It stays when the token is
 * over; a side that finds the other one waiting never publishes, so its column is empty. The payload is that of the
 * waiting sender, or of the message that the receiver holds. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kcoro/kc_chan.h"
#include "kcoro/kc_desc.h"

typedef struct lab {
    kc_engine *engine;
    kc_scope scope;
    uint32_t port;
    kc_chan chan;
    const char *seen[2]; /* by KC_CLAUSE_*: whose token the cell has shown */
    char payload[32];
} lab;

enum { SENDER = 1, RECEIVER = 2, RECEIVER_Z = 3 }; /* kc_op.user */

#define MUST(condition) must((condition), #condition, __LINE__)

static void must(int holds, const char *what, int line) {
    if (!holds) {
        fprintf(stderr, "lab_waiter_token: line %d: not so: %s\n", line, what);
        exit(1);
    }
}

/* Whose token this is, if one waits there. */
static void look_whose(lab *l, uint32_t dir, kc_token token) {
    static const char *const NAMES[] = {NULL, "sender", "receiver", "receiver_z"};
    kc_waiter_info info;

    if (token == 0)
        return;
    MUST(kc_chan_waiters(l->engine, l->chan, dir, 0, &info, 1) == 1 && info.token == token);
    MUST(info.dir == dir && info.user > 0 && info.user < sizeof NAMES / sizeof *NAMES);
    l->seen[dir] = NAMES[info.user];
}

static kc_rv_cell look(lab *l) {
    kc_rv_cell cell;

    MUST(kc_chan_rv_cell(l->engine, l->chan, &cell) == KC_OK);
    look_whose(l, KC_CLAUSE_SEND, cell.sender);
    look_whose(l, KC_CLAUSE_RECV, cell.receiver);
    return cell;
}

static const char *name_of(const lab *l, uint32_t dir) { return l->seen[dir] == NULL ? "-" : l->seen[dir]; }

static void row(lab *l, const char *label) {
    static const char *const STATES[] = {"EMPTY", "SENDER_READY", "RECEIVER_READY", "MATCHED", "CANCELLED"};
    kc_rv_cell cell = look(l);

    MUST(cell.state < sizeof STATES / sizeof *STATES);
    printf("%-26s  %-14s  %-6s  %-10s  %-9s  %" PRIu64 "  %" PRIu64 "  %" PRIu64 "\n", label, STATES[cell.state],
           name_of(l, KC_CLAUSE_SEND), name_of(l, KC_CLAUSE_RECV), l->payload[0] == '\0' ? "-" : l->payload,
           cell.matches, cell.cancels, cell.zdesc_matches);
}

static void begin(lab *l) {
    const kc_chan_config config = {.kind = KC_KIND_RENDEZVOUS};

    l->seen[KC_CLAUSE_SEND] = l->seen[KC_CLAUSE_RECV] = NULL;
    l->payload[0] = '\0';
    MUST(kc_chan_make(l->engine, &config, &l->chan, NULL) == KC_OK);
}

static kc_op op_of(const lab *l, uint64_t who) {
    return (kc_op){.user = who, .scope = l->scope, .port = l->port, .deadline_ns = KC_NEVER, .flags = 0};
}

/* A receive that holds what it gets, so that the match can be looked at. */
static kc_result receive(lab *l, uint64_t who) {
    kc_op op = op_of(l, who);
    kc_result result;

    op.flags = KC_OP_HOLD;
    MUST(kc_chan_recv(l->engine, l->chan, &op, NULL, 0, &result) >= 0);
    return result;
}

static kc_result send(lab *l, const char *text) {
    kc_op op = op_of(l, SENDER);
    kc_result result;

    MUST(kc_chan_send(l->engine, l->chan, &op, text, (uint32_t)strlen(text), &result) >= 0);
    return result;
}

/* What the receiver holds: its bytes, or how long the memory is that it names. */
static void look_at(lab *l, kc_token holder) {
    kc_body body;
    kc_desc desc;

    MUST(kc_waiter_token_body(l->engine, holder, &body) == KC_OK);
    if (kc_body_desc(l->engine, &body, &desc) == KC_OK) {
        snprintf(l->payload, sizeof l->payload, "zdesc[%" PRIu64 "]", desc.len_bytes);
    } else {
        MUST(body.len_bytes < sizeof l->payload);
        MUST(kc_body_copy(l->engine, &body, 0, l->payload, body.len_bytes) == KC_OK);
        l->payload[body.len_bytes] = '\0';
    }
}

static void end(lab *l, kc_token holder) {
    kc_result result;

    /* before that a receiver that parked does not know what it has */
    (void)kc_port_take(l->engine, l->port, &result, 1);
    if (holder != 0)
        MUST(kc_waiter_token_ack(l->engine, l->scope, holder) == KC_OK);
    MUST(kc_chan_drop(l->engine, l->chan) == KC_OK);
}

static void sender_comes_first(lab *l) {
    kc_result waits, got;

    begin(l);
    waits = send(l, "payload-A");
    MUST(waits.code == KC_PARKED && kc_waiter_token_status(l->engine, waits.token) == KC_TOKEN_ENQUEUED);
    MUST(look(l).sender == waits.token);
    snprintf(l->payload, sizeof l->payload, "payload-A"); /* nobody may look into a message that waits */
    MUST(look(l).len_bytes == strlen(l->payload));
    row(l, "after sender arrives");
    got = receive(l, RECEIVER);
    MUST(got.code == KC_OK && kc_waiter_token_status(l->engine, waits.token) == KC_TOKEN_CLAIMED);
    look_at(l, got.token);
    row(l, "after receiver matches");
    end(l, got.token);
}

static void receiver_gives_up(lab *l) {
    kc_result waits;

    begin(l);
    waits = receive(l, RECEIVER);
    MUST(waits.code == KC_PARKED && kc_waiter_token_status(l->engine, waits.token) == KC_TOKEN_ENQUEUED);
    row(l, "receiver enqueued");
    MUST(kc_waiter_token_cancel(l->engine, waits.token, KC_REASON_CANCEL, NULL) == KC_OK);
    MUST(kc_waiter_token_cancel(l->engine, waits.token, KC_REASON_CANCEL, NULL) == KC_ENOENT);
    row(l, "receiver cancelled");
    end(l, 0);
}

static void sender_meets_a_receiver(lab *l) {
    kc_result waits;

    begin(l);
    waits = receive(l, RECEIVER);
    MUST(look(l).receiver == waits.token);
    MUST(send(l, "payload-B").code == KC_OK);
    MUST(kc_waiter_token_status(l->engine, waits.token) == KC_TOKEN_CLAIMED);
    look_at(l, waits.token);
    row(l, "matched via sender arrival");
    end(l, waits.token);
}

static void memory_changes_hands(lab *l) {
    static char memory[] = "hello-zero-copy";
    const kc_desc desc = {.offset = (uintptr_t)memory, .len_bytes = sizeof memory - 1};
    kc_op op = op_of(l, SENDER);
    kc_result waits, sent;

    begin(l);
    waits = receive(l, RECEIVER_Z);
    MUST(look(l).receiver == waits.token);
    MUST(kc_chan_send_desc(l->engine, l->chan, &op, &desc, &sent) == KC_OK);
    look_at(l, waits.token);
    row(l, "zdesc match");
    end(l, waits.token);
}

int main(void) {
    const kc_engine_config config = {.channels = 8, .tokens = 16, .clauses = 16, .messages = 16, .scopes = 4,
                                     .accounts = 2, .ports = 2, .heap_bytes = 4 << 20};
    lab l = {0};

    MUST(kc_engine_make(&config, &l.engine) == KC_OK);
    MUST(kc_port_open(l.engine, &l.port) == KC_OK);
    MUST(kc_chan_waiter_scope_begin(l.engine, 0, 0, NULL, &l.scope, NULL) == KC_OK);
    sender_comes_first(&l);
    receiver_gives_up(&l);
    sender_meets_a_receiver(&l);
    memory_changes_hands(&l);
    MUST(kc_engine_check(l.engine, l.payload, sizeof l.payload) == KC_OK);
    kc_engine_free(l.engine);
    puts("All rendezvous token lab scenarios passed.");
    return 0;
}
