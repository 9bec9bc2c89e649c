/* actor.c: actors (kc_actor.h). One coroutine, one receive at a time; a message that was received is always dealt with:
 * a stop that comes meanwhile is seen by the next receive. */
#include <stdio.h>
#include <stdlib.h>

#include "core/kc_state.h"
#include "kc_hub.h"
#include "kc_latch.h"
#include "kcoro/kc_actor.h"

struct kc_actor {
    kc_actor_config config;
    kc_cancel *cancel; /* its own: stop and cancel both set it */
    kc_cancel_hook above[2]; /* of one that two cancels end: its own is below neither */
    kc_lock lock;      /* of `stopped`, and of the channel's reference while the coroutine gives it back */
    bool stopped;      /* a stop set the cancel, and nothing else did */
    bool destroyed;    /* its channel was, when its coroutine gave it back */
    _Atomic uint64_t count;
    _Atomic uint32_t refs; /* of whoever started it, and of its coroutine */
    kc_latch running;
    int code; /* of its end */
    void *buffer;
    char name[KC_CO_NAME_BYTES];
};

static void drop(kc_actor *a) {
    if (atomic_fetch_sub_explicit(&a->refs, 1, memory_order_acq_rel) == 1) {
        for (int i = 0; i < 2; i++)
            (void)kc_cancel_forget(&a->above[i]);
        kc_channel_drop(a->config.channel);
        kc_cancel_drop(a->cancel);
        free(a->buffer);
        free(a);
    }
}

static int receive(kc_actor *a, kc_actor_message *m) {
    kc_channel *c = a->config.channel;
    uint32_t most = kc_channel_elem_bytes(c);

    *m = (kc_actor_message){.data = a->buffer};
    return most != 0 ? kc_channel_recv_c(c, a->buffer, most, &m->len_bytes, KC_NEVER, a->cancel)
                     : kc_channel_recv_desc(c, &m->desc, KC_NEVER, a->cancel);
}

/* Whoever stops it holds the lock until it is known who set the cancel. */
static bool was_stopped(kc_actor *a) {
    bool stopped = false;

    kc_lock_take(&a->lock);
    stopped = a->stopped;
    kc_lock_give(&a->lock);
    return stopped;
}

/* What ended it: its handler's negative answer, whatever came meanwhile; else why nothing was received any more. */
static int serve(kc_actor *a) {
    const kc_co *self = kc_co_self();
    kc_actor_message message;
    int answer = KC_OK;
    int rc = KC_OK;

#if KC_MUTANT == 37 /* an actor goes on although its handler refused */
    while ((rc = receive(a, &message)) == KC_OK) {
#else
    while (answer >= 0 && (rc = receive(a, &message)) == KC_OK) {
#endif
        answer = a->config.fn(a->config.arg, &message);
        if (kc_co_self() != self) /* in a child of fork, which has the parent's messages as well (forked.c) */
            abort();
        (void)atomic_fetch_add_explicit(&a->count, 1, memory_order_relaxed);
    }
    if (rc == KC_ECANCELED && was_stopped(a))
        rc = KC_OK;
#if KC_MUTANT == 55 /* a cancel that a handler answered is taken for the stop that came meanwhile */
    return answer < 0 && answer != KC_ECANCELED ? answer : rc;
#else
    return answer < 0 ? answer : rc;
#endif
}

/* A daemon's is not asked: that may take its time. */
static bool is_destroyed(const kc_channel *c) {
    kc_chan_snapshot now;

    return c->ticket != 0 && kc_chan_measure(((const kc_local *)c)->hub->engine, c->ticket, &now) == KC_OK &&
           now.stat[KC_STAT_STATE] == KC_CHAN_DESTROYED;
}

static kc_channel *take_channel(kc_actor *a) {
    kc_channel *channel = NULL;

    kc_lock_take(&a->lock);
    channel = a->config.channel;
    a->destroyed = is_destroyed(channel);
    a->config.channel = NULL;
    kc_lock_give(&a->lock);
    return channel;
}

static void live(kc_actor *a) {
    a->code = serve(a);
    if (a->config.on_done != NULL)
        a->config.on_done(a->config.arg, a->code);
    kc_channel_drop(take_channel(a)); /* before anybody is told: its hub may go then */
    kc_latch_down(&a->running);
    drop(a);
}

static void run(void *arg) { live(arg); }

static void run_in_scope(kc_task_scope *scope, void *arg) {
    kc_actor *a = arg;

    (void)scope;
    if (a->name[0] != '\0')
        kc_co_rename(kc_co_self(), a->name);
    live(a);
}

static int make(const kc_actor_config *config, kc_cancel *parent, uint32_t refs, kc_actor **actor_out) {
    bool valid = config->fn != NULL && config->channel != NULL;
    kc_actor *a = valid ? calloc(1, sizeof *a) : NULL;
    int rc = valid ? KC_ENOMEM : KC_EINVAL;

    if (a != NULL && (a->buffer = malloc(kc_channel_elem_bytes(config->channel) + 1U)) != NULL)
        rc = kc_cancel_make(parent, &a->cancel);
    if (rc == KC_OK) {
        a->config = *config;
        a->refs = refs;
        kc_channel_keep(config->channel);
        kc_latch_up(&a->running);
        *actor_out = a;
    } else if (a != NULL) {
        free(a->buffer);
        free(a);
    }
    return rc;
}

int kc_actor_start(kc_sched *sched, const kc_actor_config *config, kc_actor **actor_out) {
    kc_co_config co = {.fn = run, .name = config->name};
    kc_actor *a = NULL;
    int rc = make(config, config->cancel, 2, &a);

    co.arg = a;
    if (rc == KC_OK)
        *actor_out = a; /* before it runs: its handler may ask there */
    if (rc == KC_OK && (rc = kc_sched_spawn_as(sched, &co, NULL)) != KC_OK) {
        *actor_out = NULL;
        drop(a);
        drop(a);
    }
    return rc;
}

static void end_too(void *actor, uint32_t reason) { (void)kc_cancel_trigger(((kc_actor *)actor)->cancel, reason); }

/* It ends when this one is set. Its own cancel is in a tree of its own: a hook may set it. */
static void heed(kc_actor *a, kc_cancel_hook *hook, kc_cancel *cancel) {
    *hook = (kc_cancel_hook){.fn = end_too, .arg = a};
    if (kc_cancel_add(cancel, hook) == KC_EBUSY)
        (void)kc_cancel_trigger(a->cancel, kc_cancel_reason(cancel));
}

int kc_actor_launch(kc_task_scope *scope, const kc_actor_config *config) {
    kc_cancel *of_scope = kc_task_scope_cancel_of(scope);
    kc_actor *a = NULL;
    int rc = make(config, config->cancel == NULL ? of_scope : NULL, 1, &a);

    if (rc == KC_OK && config->name != NULL)
        (void)snprintf(a->name, sizeof a->name, "%s", config->name);
    if (rc == KC_OK && config->cancel != NULL) {
        heed(a, &a->above[0], of_scope);
        heed(a, &a->above[1], config->cancel);
    }
    if (rc == KC_OK && (rc = kc_task_launch(scope, run_in_scope, a)) != KC_OK)
        drop(a);
    return rc;
}

/* KC_EBUSY: something else was faster, and is why it ends. */
static int end(kc_actor *a, bool stops, uint32_t reason) {
    int rc = KC_EBUSY;

    kc_lock_take(&a->lock);
    if (a->config.channel != NULL ? !is_destroyed(a->config.channel) : !a->destroyed)
        rc = kc_cancel_trigger(a->cancel, reason);
#if KC_MUTANT == 73 /* a stop makes a stop of whatever ended the actor before */
    a->stopped = stops;
#else
    a->stopped = a->stopped || (stops && rc == KC_OK);
#endif
    kc_lock_give(&a->lock);
    return rc;
}

int kc_actor_stop(kc_actor *a) { return end(a, true, KC_REASON_CANCEL); }
int kc_actor_cancel(kc_actor *a, uint32_t reason) { return end(a, false, reason); }

int kc_actor_wait(kc_actor *a, int64_t deadline_ns, int *code_out) {
    int rc = kc_latch_wait(&a->running, deadline_ns);

    if (rc == KC_OK && code_out != NULL)
        *code_out = a->code;
    return rc;
}

uint64_t kc_actor_count(const kc_actor *a) { return atomic_load_explicit(&a->count, memory_order_relaxed); }

void kc_actor_free(kc_actor *a) {
    if (a == NULL)
        return;
    (void)kc_actor_stop(a);
    (void)kc_latch_wait(&a->running, KC_NEVER);
    drop(a);
}
