/* actor.c: actors (kc_actor.h). One coroutine, one receive at a time; a message that was received is always dealt with: a
 * stop that comes meanwhile is seen by the next receive. */
#include <stdlib.h>

#include "kc_latch.h"
#include "kcoro/kc_actor.h"

enum { GOING = 0, STOPPED = 1, CANCELLED = 2 };

struct kc_actor {
    kc_actor_config config;
    kc_cancel *cancel; /* its own: stop and cancel both set it */
    _Atomic uint32_t wish; /* the first of stop and cancel */
    _Atomic uint64_t count;
    _Atomic uint32_t refs; /* of whoever started it, and of its coroutine */
    kc_latch running;
    int code; /* of its end */
    void *buffer;
};

static void drop(kc_actor *a) {
    if (atomic_fetch_sub_explicit(&a->refs, 1, memory_order_acq_rel) == 1) {
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

/* What ended it: its handler's negative answer, whatever came meanwhile; else why nothing was received any more. */
static int serve(kc_actor *a) {
    kc_actor_message message;
    int answer = KC_OK;
    int rc = KC_OK;

#if KC_MUTANT == 37 /* an actor goes on although its handler refused */
    while ((rc = receive(a, &message)) == KC_OK) {
#else
    while (answer >= 0 && (rc = receive(a, &message)) == KC_OK) {
#endif
        answer = a->config.fn(a->config.arg, &message);
        (void)atomic_fetch_add_explicit(&a->count, 1, memory_order_relaxed);
    }
    if (rc == KC_ECANCELED && atomic_load(&a->wish) == STOPPED)
        rc = KC_OK;
#if KC_MUTANT == 55 /* a cancel that a handler answered is taken for the stop that came meanwhile */
    return answer < 0 && answer != KC_ECANCELED ? answer : rc;
#else
    return answer < 0 ? answer : rc;
#endif
}

static void live(kc_actor *a) {
    a->code = serve(a);
    if (a->config.on_done != NULL)
        a->config.on_done(a->config.arg, a->code);
    kc_channel_drop(a->config.channel); /* before anybody is told: its hub may go then */
    a->config.channel = NULL;
    kc_latch_down(&a->running);
    drop(a);
}

static void run(void *arg) { live(arg); }

static void run_in_scope(kc_task_scope *scope, void *arg) {
    (void)scope;
    live(arg);
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

int kc_actor_launch(kc_task_scope *scope, const kc_actor_config *config) {
    kc_actor *a = NULL;
    int rc = config->cancel == NULL ? make(config, kc_task_scope_cancel_of(scope), 1, &a) : KC_EINVAL;

    if (rc == KC_OK && (rc = kc_task_launch(scope, run_in_scope, a)) != KC_OK)
        drop(a);
    return rc;
}

static int wish(kc_actor *a, uint32_t what, uint32_t reason) {
    uint32_t none = GOING;
    int rc = KC_EBUSY;

    if (!kc_cancel_is_set(a->cancel) && atomic_compare_exchange_strong(&a->wish, &none, what))
        rc = kc_cancel_trigger(a->cancel, reason); /* KC_EBUSY: one above it was faster */
    return rc;
}

int kc_actor_stop(kc_actor *a) { return wish(a, STOPPED, KC_REASON_CANCEL); }
int kc_actor_cancel(kc_actor *a, uint32_t reason) { return wish(a, CANCELLED, reason); }

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
