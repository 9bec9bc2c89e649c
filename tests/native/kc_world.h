/* kc_world.h: one engine with a scope and a port, and short words for what the engine's tests do with it.
 *
 * Every word that changes something runs kc_engine_check afterwards, so a breach is found at the step that made it.
 * w_close ends the scope, drops the channels and demands that nothing is left: no record, no block, no charge.
 *
 * With W_DESCRIPTORS a text is sent as a descriptor of its memory and read through it: the same tests, compiled a
 * second time, show that channels do not look inside a message.
 */
#ifndef KC_WORLD_H
#define KC_WORLD_H

#include <stdbool.h>

#include "kc_test.h"
#include "kcoro/kc_chan.h"
#include "kcoro/kc_desc.h"
#include "kcoro/kc_file.h"

/* A test about bytes in the channel, of which a descriptor has none. */
#ifdef W_DESCRIPTORS
#define W_RUN_BYTES(name) ((void)name)
#else
#define W_RUN_BYTES(name) KC_RUN(name)
#endif

enum { W_CHANS = 32, W_TEXT = 256, W_NOTHING = 99999 };

typedef struct kc_world {
    kc_engine *e;
    kc_scope scope;
    uint32_t port;
    uint32_t count;
    uint64_t users; /* the user of the operation made last */
    kc_chan chans[W_CHANS];
    char text[W_TEXT];
} kc_world;

static inline void w_check(kc_world *w) {
    char why[256] = "";
    int rc = kc_engine_check(w->e, why, sizeof why);

    KC_CHECK_EQ(rc, KC_OK);
    if (rc != KC_OK) {
        fprintf(stderr, "    engine: %s\n", why);
    }
}

static inline kc_engine_usage w_usage(kc_world *w) {
    kc_engine_usage usage;

    kc_engine_measure(w->e, &usage);
    return usage;
}

static inline kc_world w_open_with(kc_engine_config config) {
    kc_world w = {0};

    KC_REQUIRE(kc_engine_make(&config, &w.e) == KC_OK);
    KC_REQUIRE(kc_port_open(w.e, &w.port) == KC_OK);
    KC_REQUIRE(kc_chan_waiter_scope_begin(w.e, 0, 0, NULL, &w.scope, NULL) == KC_OK);
    return w;
}

static inline kc_world w_open(void) {
    return w_open_with((kc_engine_config){.channels = 64,
                                          .tokens = 256,
                                          .clauses = 256,
                                          .messages = 512,
                                          .scopes = 64,
                                          .accounts = 16,
                                          .ports = 8,
                                          .heap_bytes = 64 << 20});
}

/* Nothing may be in use but what the world itself opened. */
static inline void w_check_empty(kc_world *w) {
    kc_engine_usage u = w_usage(w);

    KC_CHECK_EQ(u.channels, 0);
    KC_CHECK_EQ(u.tokens, 0);
    KC_CHECK_EQ(u.clauses, 0);
    KC_CHECK_EQ(u.messages, 0);
    KC_CHECK_EQ(u.scopes, 0);
    KC_CHECK_EQ(u.parked, 0);
    KC_CHECK_EQ(u.held, 0);
    KC_CHECK_EQ(u.block_bytes, 0);
    KC_CHECK_EQ(u.regions, 0);
    KC_CHECK_EQ(u.files, 0);
}

static inline void w_close(kc_world *w) {
    kc_account_usage nobody;

    KC_CHECK_EQ(kc_chan_waiter_scope_end(w->e, w->scope, KC_REASON_CANCEL), KC_OK);
    w_check(w);
    for (uint32_t i = 0; i < w->count; i++) {
        (void)kc_chan_drop(w->e, w->chans[i]); /* KC_ENOENT: the test dropped it itself */
        w_check(w);
    }
    KC_CHECK_EQ(kc_port_close(w->e, w->port), KC_OK);
    w_check_empty(w);
    KC_CHECK_EQ(kc_account_measure(w->e, 0, &nobody), KC_OK);
    KC_CHECK_EQ(nobody.bytes, 0);
    KC_CHECK_EQ(nobody.parked, 0);
    KC_CHECK_EQ(nobody.channels, 0);
    kc_engine_free(w->e);
}

static inline kc_chan w_chan_of(kc_world *w, kc_chan_config config) {
    kc_chan chan = 0;

    KC_REQUIRE(w->count < W_CHANS);
    KC_REQUIRE(kc_chan_make(w->e, &config, &chan, NULL) == KC_OK);
    w->chans[w->count++] = chan;
    w_check(w);
    return chan;
}

static inline kc_chan w_chan(kc_world *w, int32_t kind, uint32_t capacity) {
    return w_chan_of(w, (kc_chan_config){.kind = kind, .capacity = capacity});
}

static inline kc_chan w_rendezvous(kc_world *w) { return w_chan(w, KC_KIND_RENDEZVOUS, 0); }
static inline kc_chan w_buffered(kc_world *w, uint32_t capacity) { return w_chan(w, KC_KIND_BUFFERED, capacity); }

static inline kc_op w_op(kc_world *w, uint32_t flags) {
    return (kc_op){
        .scope = w->scope, .user = ++w->users, .deadline_ns = KC_NEVER, .port = w->port, .flags = flags};
}

/* Memory that keeps a text for as long as the world is open, and longer. */
static inline const char *w_keep_text(const char *text) {
    static char kept[1 << 18];
    static size_t used;
    size_t n = strlen(text) + 1;

    used = used + n <= sizeof kept ? used : 0;
    memcpy(kept + used, text, n);
    used += n;
    return kept + used - n;
}

/* An empty text has no memory to name and goes as bytes. */
static inline int w_send_text(kc_world *w, kc_chan chan, const char *text, const kc_op *op, kc_result *result) {
#ifdef W_DESCRIPTORS
    const kc_desc desc = {.offset = (uint64_t)(uintptr_t)w_keep_text(text), .len_bytes = strlen(text)};

    if (desc.len_bytes != 0)
        return kc_chan_send_desc(w->e, chan, op, &desc, result);
#endif
    return kc_chan_send(w->e, chan, op, text, (uint32_t)strlen(text), result);
}

static inline kc_result w_send_op(kc_world *w, kc_chan chan, const char *text, kc_op op) {
    kc_result result;
    int rc = w_send_text(w, chan, text, &op, &result);

    KC_CHECK_EQ(rc, result.code);
    w_check(w);
    return result;
}

static inline kc_result w_recv_op(kc_world *w, kc_chan chan, kc_op op) {
    kc_result result;
    int rc = kc_chan_recv(w->e, chan, &op, NULL, 0, &result);

    KC_CHECK_EQ(rc, result.code);
    w_check(w);
    return result;
}

static inline kc_result w_send(kc_world *w, kc_chan chan, const char *text, uint32_t flags) {
    return w_send_op(w, chan, text, w_op(w, flags));
}
static inline kc_result w_recv(kc_world *w, kc_chan chan, uint32_t flags) {
    return w_recv_op(w, chan, w_op(w, flags));
}
static inline int w_try_send(kc_world *w, kc_chan chan, const char *text) {
    return w_send(w, chan, text, KC_OP_TRY).code;
}

static inline kc_op w_until(kc_world *w, int64_t deadline_ns) {
    kc_op op = w_op(w, 0);

    op.deadline_ns = deadline_ns;
    return op;
}

/* The oldest result at the port; code W_NOTHING when there is none. */
static inline kc_result w_next(kc_world *w) {
    kc_result result = {.code = W_NOTHING};

    (void)kc_port_take(w->e, w->port, &result, 1);
    w_check(w);
    return result;
}

static inline uint32_t w_depth(kc_world *w) { return kc_port_depth(w->e, w->port); }

/* The bytes of a body, or of what it names, into w->text. */
static inline void w_read(kc_world *w, const kc_body *body) {
    kc_desc desc;

    if (kc_body_desc(w->e, body, &desc) == KC_OK) {
        KC_REQUIRE(desc.len_bytes < W_TEXT);
        memcpy(w->text, (const void *)(uintptr_t)desc.offset, (size_t)desc.len_bytes);
    } else {
        KC_REQUIRE(body->len_bytes < W_TEXT);
        KC_CHECK_EQ(kc_body_copy(w->e, body, 0, w->text, body->len_bytes), KC_OK);
    }
}

/* The text of a received message; a body that is the caller's is given back. "(none)" without a message. */
static inline const char *w_text(kc_world *w, kc_result result) {
    memset(w->text, 0, sizeof w->text);
    if ((result.flags & KC_RESULT_MESSAGE) == 0) {
        return "(none)";
    }
    w_read(w, &result.body);
    if ((result.flags & KC_RESULT_HELD) == 0) {
        kc_body_drop(w->e, &result.body);
    }
    w_check(w);
    return w->text;
}

/* What a try to receive brings: the text, or "(again)", "(closed)", "(cancelled)", "(error)". */
static inline const char *w_try_text(kc_world *w, kc_chan chan) {
    kc_result result = w_recv(w, chan, KC_OP_TRY);
    const char *text = "(error)";

    if (result.code == KC_OK)
        text = w_text(w, result);
    else if (result.code == KC_EAGAIN)
        text = "(again)";
    else if (result.code == KC_EPIPE)
        text = "(closed)";
    else if (result.code == KC_ECANCELED)
        text = "(cancelled)";
    return text;
}

static inline const char *w_next_text(kc_world *w) { return w_text(w, w_next(w)); }

static inline int w_ack(kc_world *w, kc_token token) {
    int rc = kc_waiter_token_ack(w->e, w->scope, token);

    w_check(w);
    return rc;
}

static inline int w_nack(kc_world *w, kc_token token) {
    int rc = kc_waiter_token_nack(w->e, w->scope, token);

    w_check(w);
    return rc;
}

static inline int w_cancel(kc_world *w, kc_token token) {
    int rc = kc_waiter_token_cancel(w->e, token, KC_REASON_CANCEL, NULL);

    w_check(w);
    return rc;
}

static inline int w_close_chan(kc_world *w, kc_chan chan) {
    int rc = kc_chan_close(w->e, chan);

    w_check(w);
    return rc;
}

static inline int w_destroy(kc_world *w, kc_chan chan) {
    int rc = kc_chan_destroy(w->e, chan, KC_REASON_DESTROYED, "over", 4);

    w_check(w);
    return rc;
}

static inline uint32_t w_tick(kc_world *w, int64_t now_ns) {
    uint32_t ended = kc_engine_tick(w->e, now_ns);

    w_check(w);
    return ended;
}

static inline kc_scope w_scope(kc_world *w, kc_scope parent, uint32_t account, kc_scope_limits limits) {
    kc_scope scope = 0;

    KC_REQUIRE(kc_chan_waiter_scope_begin(w->e, parent, account, &limits, &scope, NULL) == KC_OK);
    return scope;
}

static inline int w_end(kc_world *w, kc_scope scope, uint32_t reason) {
    int rc = kc_chan_waiter_scope_end(w->e, scope, reason);

    w_check(w);
    return rc;
}

static inline uint64_t w_stat(kc_world *w, kc_chan chan, int id) {
    kc_chan_snapshot snapshot;

    KC_CHECK_EQ(kc_chan_measure(w->e, chan, &snapshot), KC_OK);
    return snapshot.stat[id];
}

/* An arm of a select. w_select gives the bodies of a refused one back. */
static inline kc_clause w_receiving(kc_chan chan) { return (kc_clause){.chan = chan, .dir = KC_CLAUSE_RECV}; }

static inline kc_clause w_sending(kc_world *w, kc_chan chan, const char *text) {
    kc_clause clause = {.chan = chan, .dir = KC_CLAUSE_SEND};

    KC_REQUIRE(kc_body_make(w->e, 0, text, (uint32_t)strlen(text), &clause.body, NULL) == KC_OK);
    return clause;
}

static inline kc_result w_select_op(kc_world *w, kc_clause *clauses, uint32_t count, kc_op op) {
    kc_result result;
    int rc = kc_select(w->e, clauses, count, &op, &result);

    KC_CHECK_EQ(rc, result.code);
    for (uint32_t i = 0; i < count; i++) {
        if (clauses[i].dir == KC_CLAUSE_SEND) {
            KC_CHECK(rc < 0 || (clauses[i].body.block == 0 && clauses[i].body.len_bytes == 0));
            kc_body_drop(w->e, &clauses[i].body);
        }
    }
    w_check(w);
    return result;
}

static inline kc_result w_select(kc_world *w, kc_clause *clauses, uint32_t count, uint32_t flags) {
    return w_select_op(w, clauses, count, w_op(w, flags));
}

#endif
