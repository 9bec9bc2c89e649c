/* task.c: scopes of coroutines (kc_task.h). A child is counted before it is spawned and counts down as the last thing
 * that it does, so whoever has waited may free the scope. */
#include <stdlib.h>

#include "kc_latch.h"
#include "kcoro/kc_task.h"

struct kc_task_scope {
    kc_sched *sched;
    kc_cancel *cancel;
    kc_latch children;
};

/* What a child is given; its coroutine frees it. */
typedef struct child {
    kc_task_scope *scope;
    kc_task_fn fn;
    kc_produce_fn produce;
    void *arg;
    kc_channel *channel; /* of a producer: its own reference */
} child;

int kc_task_scope_make(kc_sched *sched, kc_cancel *parent, kc_task_scope **scope_out) {
    kc_task_scope *scope = calloc(1, sizeof *scope);
    int rc = scope != NULL ? KC_OK : KC_ENOMEM;

    if (rc == KC_OK) {
        scope->sched = sched;
        rc = kc_cancel_make(parent, &scope->cancel);
    }
    if (rc == KC_OK)
        *scope_out = scope;
    else
        free(scope);
    return rc;
}

kc_cancel *kc_task_scope_cancel_of(kc_task_scope *scope) { return scope->cancel; }
kc_sched *kc_task_scope_sched(kc_task_scope *scope) { return scope->sched; }
uint32_t kc_task_scope_children(kc_task_scope *scope) { return kc_latch_count(&scope->children); }

static void run_child(void *arg) {
    child mine = *(child *)arg;

    free(arg);
    if (mine.produce != NULL) {
        mine.produce(mine.scope, mine.channel, mine.arg);
#if KC_MUTANT != 38 /* a producer that has returned leaves its channel open */
        (void)kc_channel_close(mine.channel);
#endif
        kc_channel_drop(mine.channel);
    } else {
        mine.fn(mine.scope, mine.arg);
    }
    kc_latch_down(&mine.scope->children);
}

static int launch(const child *wanted) {
    kc_task_scope *scope = wanted->scope;
    child *mine = NULL;
    int rc = kc_cancel_is_set(scope->cancel) ? KC_ECANCELED : KC_OK;

    if (rc == KC_OK && (mine = malloc(sizeof *mine)) == NULL)
        rc = KC_ENOMEM;
    if (rc == KC_OK) {
        *mine = *wanted;
        kc_latch_up(&scope->children);
        rc = kc_sched_spawn(scope->sched, run_child, mine, NULL);
        if (rc != KC_OK) {
            kc_latch_down(&scope->children);
            free(mine);
        }
    }
    return rc;
}

int kc_task_launch(kc_task_scope *scope, kc_task_fn fn, void *arg) {
    return fn != NULL ? launch(&(child){.scope = scope, .fn = fn, .arg = arg}) : KC_EINVAL;
}

int kc_task_produce(kc_task_scope *scope, kc_hub *hub, const kc_channel_config *config, kc_produce_fn fn, void *arg,
                    kc_channel **channel_out) {
    kc_channel *channel = NULL;
    int rc = fn != NULL ? kc_channel_make(hub, config, &channel) : KC_EINVAL;

    if (rc != KC_OK)
        return rc;
    kc_channel_keep(channel);
    rc = launch(&(child){.scope = scope, .produce = fn, .arg = arg, .channel = channel});
    if (rc == KC_OK) {
        *channel_out = channel;
    } else {
        kc_channel_drop(channel);
        kc_channel_drop(channel);
    }
    return rc;
}

int kc_task_scope_cancel(kc_task_scope *scope, uint32_t reason) { return kc_cancel_trigger(scope->cancel, reason); }

int kc_task_scope_wait(kc_task_scope *scope, int64_t deadline_ns) {
    int rc = KC_OK;

    if (deadline_ns > 0)
        rc = kc_latch_wait(&scope->children, deadline_ns);
    else if (kc_task_scope_children(scope) != 0)
        rc = KC_EAGAIN;
    return rc;
}

void kc_task_scope_destroy(kc_task_scope *scope) {
    if (scope == NULL)
        return;
    (void)kc_cancel_trigger(scope->cancel, KC_REASON_CANCEL);
#if KC_MUTANT != 33 /* whoever leaves a scope leaves its children behind */
    (void)kc_latch_wait(&scope->children, KC_NEVER);
#endif
    kc_cancel_drop(scope->cancel);
    free(scope);
}
