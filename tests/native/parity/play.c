/* play.c: play.h. */
#include "play.h"

#include <stdarg.h>

#include "../kc_rt.h"

char play_lines[PLAY_LINES][PLAY_LINE_BYTES];
int play_line_count;

void say(play *p, const char *format, ...) {
    va_list words;
    size_t room = sizeof p->line - p->line_bytes;
    bool first = p->line_bytes > 0 && p->line[p->line_bytes - 1] == ':';

    if (p->over)
        return;
    KC_REQUIRE(room > 64);
    p->line_bytes += (size_t)snprintf(p->line + p->line_bytes, room, "%s", first ? " " : ", ");
    va_start(words, format);
    p->line_bytes += (size_t)vsnprintf(p->line + p->line_bytes, sizeof p->line - p->line_bytes, format, words);
    va_end(words);
}

/* happened: what KC_OK means for it. */
static void ended(play *p, const char *who, int code, enum play_end happened, const char *word) {
    static const struct {
        int code;
        enum play_end end;
        const char *word;
    } ends[] = {{KC_EPIPE, PLAY_CLOSED, "closed"},
                {KC_ECANCELED, PLAY_CANCELLED, "cancelled"},
                {KC_ETIME, PLAY_TIMEOUT, "timeout"}};
    enum play_end end = happened;

    for (size_t i = 0; i < sizeof ends / sizeof ends[0] && code != KC_OK; i++) {
        if (ends[i].code == code) {
            end = ends[i].end;
            word = ends[i].word;
            code = KC_OK;
        }
    }
    KC_REQUIRE(code == KC_OK);
    if (!p->over)
        p->counts[end]++;
    say(p, "%s %s", who, word);
}

static void received(play *p, const char *who, int code, int value) {
    char word[16];

    (void)snprintf(word, sizeof word, "%d", value);
    ended(p, who, code, PLAY_RECEIVED, word);
}

/* ---- operations ---- */

void sends(play *p, const char *who, kc_channel *to, int value, kc_cancel *cancel) {
    ended(p, who, kc_channel_send_c(to, &value, sizeof value, KC_NEVER, cancel), PLAY_SENT, "sent");
}

void receives(play *p, const char *who, kc_channel *from, kc_cancel *cancel) {
    int value = 0;
    int code = kc_channel_recv_c(from, &value, sizeof value, NULL, KC_NEVER, cancel);

    received(p, who, code, value);
}

void tries_to_send(play *p, const char *who, kc_channel *to, int value) {
    int code = kc_channel_try_send(to, &value, sizeof value);

    if (code == KC_EAGAIN)
        say(p, "%s full", who);
    else
        ended(p, who, code, PLAY_SENT, "sent");
}

void tries_to_receive(play *p, const char *who, kc_channel *from) {
    int value = 0;
    int code = kc_channel_try_recv(from, &value, sizeof value, NULL);

    if (code == KC_EAGAIN)
        say(p, "%s empty", who);
    else
        received(p, who, code, value);
}

void sends_until(play *p, const char *who, kc_channel *to, int value, int64_t deadline_ns) {
    ended(p, who, kc_channel_send(to, &value, sizeof value, deadline_ns), PLAY_SENT, "sent");
}

void receives_until(play *p, const char *who, kc_channel *from, int64_t deadline_ns) {
    int value = 0;
    int code = kc_channel_recv(from, &value, sizeof value, NULL, deadline_ns);

    received(p, who, code, value);
}

void selects(play *p, const char *who, kc_channel *a, kc_channel *b, kc_cancel *cancel) {
    int value[2] = {0, 0};
    char word[32];
    uint32_t index = 0;
    kc_channel_clause clauses[2] = {
        {.channel = a, .dir = KC_CLAUSE_RECV, .buffer = &value[0], .buffer_bytes = sizeof value[0]},
        {.channel = b, .dir = KC_CLAUSE_RECV, .buffer = &value[1], .buffer_bytes = sizeof value[1]}};
    int code = kc_channel_select(clauses, b != NULL ? 2 : 1, KC_OP_BIASED, KC_NEVER, cancel, &index);

    (void)snprintf(word, sizeof word, "%u:%d", index & 1U, value[index & 1U]);
    ended(p, who, code, PLAY_RECEIVED, word);
}

void selects_sends(play *p, const char *who, kc_channel *a, kc_channel *b, kc_cancel *cancel) {
    static const int value[2] = {10, 11};
    char word[32];
    uint32_t index = 0;
    kc_channel_clause clauses[2] = {
        {.channel = a, .dir = KC_CLAUSE_SEND, .data = &value[0], .len_bytes = sizeof value[0]},
        {.channel = b, .dir = KC_CLAUSE_SEND, .data = &value[1], .len_bytes = sizeof value[1]}};
    int code = kc_channel_select(clauses, 2, KC_OP_BIASED, KC_NEVER, cancel, &index);

    (void)snprintf(word, sizeof word, "%u:sent", index);
    ended(p, who, code, PLAY_SENT, word);
}

/* ---- parts ---- */

static void run_part(void *arg) {
    part *me = arg;

    me->act(me);
    me->ended = true;
    if (me->joiner != NULL)
        (void)kc_co_unpark(me->joiner);
}

part *launch(play *p, const char *who, part_fn act, kc_channel *channel, kc_channel *other) {
    part *one = &p->parts[p->part_count++];

    KC_REQUIRE(p->part_count <= PLAY_PARTS);
    *one = (part){.p = p, .who = who, .act = act, .channel = channel, .other = other};
    KC_REQUIRE(kc_cancel_make(p->root, &one->cancel) == KC_OK);
    rt_spawn(p->sched, run_part, one);
    return one;
}

static void sends_all(part *me) {
    for (int i = 0; i < me->count; i++)
        sends(me->p, me->who, me->channel, me->values[i], me->cancel);
}

part *sender(play *p, const char *who, kc_channel *to, int count, const int *values) {
    part *one = launch(p, who, sends_all, to, NULL);

    KC_REQUIRE(count <= 4);
    memcpy(one->values, values, (size_t)count * sizeof *values);
    one->count = count;
    return one;
}

part *sender_of(play *p, const char *who, kc_channel *to, int value) { return sender(p, who, to, 1, &value); }

static void receives_all(part *me) {
    for (int i = 0; i < me->count; i++)
        receives(me->p, me->who, me->channel, me->cancel);
}

part *receiver(play *p, const char *who, kc_channel *from, int times) {
    part *one = launch(p, who, receives_all, from, NULL);

    one->count = times;
    return one;
}

void cancel_part(part *who) { (void)kc_cancel_trigger(who->cancel, 0); }

void join(part *who) {
    who->joiner = kc_co_self();
    while (!who->ended)
        KC_REQUIRE(kc_co_park() == KC_OK);
}

void settle(void) {
    for (int i = 0; i < 20; i++)
        kc_co_yield();
}

/* ---- scenes ---- */

kc_channel *channel_of(play *p, int32_t kind, uint32_t capacity) {
    kc_channel_config config = {.kind = kind, .capacity = capacity, .elem_size = sizeof(int)};
    kc_channel **place = &p->channels[p->channel_count++];

    KC_REQUIRE(p->channel_count <= PLAY_CHANNELS);
    KC_REQUIRE(kc_channel_make(p->hub, &config, place) == KC_OK);
    return *place;
}

static void run_scene(void *arg) {
    play *p = arg;

    p->scene(p);
    p->over = true;
    (void)kc_cancel_trigger(p->root, 0);
    for (uint32_t i = 0; i < p->channel_count; i++)
        (void)kc_channel_destroy(p->channels[i], 0);
}

static void keep_line(const play *p) {
    KC_REQUIRE(play_line_count < PLAY_LINES);
    int bytes = snprintf(play_lines[play_line_count++], PLAY_LINE_BYTES,
                         "%s | sent %u received %u closed %u cancelled %u timeout %u", p->line, p->counts[PLAY_SENT],
                         p->counts[PLAY_RECEIVED], p->counts[PLAY_CLOSED], p->counts[PLAY_CANCELLED],
                         p->counts[PLAY_TIMEOUT]);
    KC_REQUIRE(bytes < PLAY_LINE_BYTES);
}

/* What was made is gone: nothing of a scene is left in the engine. */
static void leave(play *p) {
    kc_engine_usage usage;
    char why[256] = "";

    kc_sched_free(p->sched);
    for (uint32_t i = 0; i < p->channel_count; i++)
        kc_channel_drop(p->channels[i]);
    for (uint32_t i = 0; i < p->part_count; i++)
        kc_cancel_drop(p->parts[i].cancel);
    kc_cancel_drop(p->root);
    KC_REQUIRE(kc_engine_check(kc_hub_engine(p->hub), why, sizeof why) == KC_OK);
    kc_engine_measure(kc_hub_engine(p->hub), &usage);
    KC_REQUIRE(usage.channels + usage.tokens + usage.messages + usage.parked == 0);
    rt_hub_free(p->hub);
}

static void play_one(const char *name, scene_fn scene, int32_t kind, uint32_t capacity) {
    play *p = calloc(1, sizeof *p);

    KC_REQUIRE(p != NULL);
    p->sched = rt_sched(1);
    p->scene = scene;
    p->line_bytes = (size_t)snprintf(p->line, sizeof p->line, "%s:", name);
    p->hub = rt_hub();
    KC_REQUIRE(kc_cancel_make(NULL, &p->root) == KC_OK);
    p->channel = channel_of(p, kind, capacity);
    rt_spawn(p->sched, run_scene, p);
    KC_REQUIRE(kc_sched_drain(p->sched, KC_NEVER) == KC_OK);
    keep_line(p);
    leave(p);
    free(p);
}

void scenario(const char *name, scene_fn scene) { play_one(name, scene, KC_KIND_RENDEZVOUS, 0); }

void kinds(const char *name, scene_fn scene) {
    static const struct {
        const char *word;
        int32_t kind;
        uint32_t capacity;
    } each[] = {{"rendezvous", KC_KIND_RENDEZVOUS, 0},
                {"buffered", KC_KIND_BUFFERED, 2},
                {"conflated", KC_KIND_CONFLATED, 0},
                {"unlimited", KC_KIND_UNLIMITED, 0}};
    char full[96];

    for (size_t i = 0; i < sizeof each / sizeof each[0]; i++) {
        (void)snprintf(full, sizeof full, "%s-%s", name, each[i].word);
        play_one(full, scene, each[i].kind, each[i].capacity);
    }
}
