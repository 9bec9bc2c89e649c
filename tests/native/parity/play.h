/* play.h: what the scripted scenarios of tests/parity/parity.kt are made of in C: the same words, the same steps.
 *
 * A scene runs in a coroutine of a scheduler with one worker, first come, first served, as Kotlin's does in one thread.
 * What happens is said in order; how each operation on a channel ended is counted. When a scene has returned whoever
 * still waits is ended, and that is not said any more.
 */
#ifndef PLAY_H
#define PLAY_H

#include <stdbool.h>

#include "kcoro/kc_actor.h"

enum play_end { PLAY_SENT, PLAY_RECEIVED, PLAY_CLOSED, PLAY_CANCELLED, PLAY_TIMEOUT, PLAY_ENDS };
enum { PLAY_LINE_BYTES = 1024, PLAY_PARTS = 16, PLAY_CHANNELS = 4, PLAY_LINES = 160 };

typedef struct play play;
typedef struct part part;
typedef void (*part_fn)(part *me);
typedef void (*scene_fn)(play *p);

/* Somebody who plays: a coroutine, and what it was given. */
struct part {
    play *p;
    const char *who;
    part_fn act;
    kc_channel *channel, *other;
    int values[4];
    int count; /* values to send, or times to receive */
    int64_t deadline_ns;
    kc_cancel *cancel; /* its own */
    kc_co *joiner;
    bool ended;
};

struct play {
    kc_sched *sched;
    kc_hub *hub;
    kc_channel *channel; /* of the kind that this time is played */
    kc_channel *channels[PLAY_CHANNELS];
    part parts[PLAY_PARTS];
    uint32_t channel_count, part_count;
    unsigned counts[PLAY_ENDS];
    char line[PLAY_LINE_BYTES]; /* "NAME: EVENTS" */
    size_t line_bytes;
    bool over;
    kc_task_scope *scope; /* what a part leaves for others */
    scene_fn scene;
    kc_cancel *root;
};

void say(play *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
kc_channel *channel_of(play *p, int32_t kind, uint32_t capacity);
static inline kc_channel *rendezvous(play *p) { return channel_of(p, KC_KIND_RENDEZVOUS, 0); }
static inline kc_channel *buffered(play *p, uint32_t capacity) { return channel_of(p, KC_KIND_BUFFERED, capacity); }

/* One operation, and its end as an event. cancel may be NULL. */
void sends(play *p, const char *who, kc_channel *to, int value, kc_cancel *cancel);
void receives(play *p, const char *who, kc_channel *from, kc_cancel *cancel);
void tries_to_send(play *p, const char *who, kc_channel *to, int value);
void tries_to_receive(play *p, const char *who, kc_channel *from);
void sends_until(play *p, const char *who, kc_channel *to, int value, int64_t deadline_ns);
void receives_until(play *p, const char *who, kc_channel *from, int64_t deadline_ns);
/* Biased, of one or two channels (b may be NULL). Sends: 10 to the first, 11 to the second. */
void selects(play *p, const char *who, kc_channel *a, kc_channel *b, kc_cancel *cancel);
void selects_sends(play *p, const char *who, kc_channel *a, kc_channel *b, kc_cancel *cancel);

/* Others. */
part *launch(play *p, const char *who, part_fn act, kc_channel *channel, kc_channel *other);
part *sender(play *p, const char *who, kc_channel *to, int count, const int *values);
part *sender_of(play *p, const char *who, kc_channel *to, int value);
part *receiver(play *p, const char *who, kc_channel *from, int times);
void cancel_part(part *who);
void join(part *who);
void settle(void); /* all others get as far as they can */

/* Scenes. Their lines are kept until they are compared. */
void scenario(const char *name, scene_fn scene);
void kinds(const char *name, scene_fn scene); /* once for each kind, p->channel is one */
extern char play_lines[PLAY_LINES][PLAY_LINE_BYTES];
extern int play_line_count;

void play_channels(void);
void play_cancels(void);
void play_selections(void);
void play_scopes(void);
void play_producers(void);
void play_actors(void);
void play_deadlines(void);

#endif
