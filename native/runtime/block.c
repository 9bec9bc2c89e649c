/* block.c: kc_block_call (kc_io.h): a coroutine that waits for a thread that may. */
#include <stddef.h>

#include "kc_blocking.h"
#include "kc_wait.h"
#include "kcoro/kc_io.h"

/* On the stack of whoever waits. */
typedef struct call {
    kc_block_job job;
    kc_wake wake;
    kc_wait wait;
} call;

static void returned(kc_wake *wake, int32_t code) {
    call *c = (call *)(void *)((char *)wake - offsetof(call, wake));

    (void)code;
    kc_wait_tell(&c->wait, KC_WAIT_DONE);
}

static void give_up(void *wait, uint32_t reason) {
    (void)reason;
    kc_wait_tell(wait, KC_WAIT_CANCEL);
}

static int wait_for(kc_blocking *b, call *c, kc_cancel *cancel) {
    kc_cancel_hook hook = {.fn = give_up, .arg = &c->wait};
    uint32_t told = 0;
    int rc = KC_OK;

    if (cancel != NULL && kc_cancel_add(cancel, &hook) == KC_EBUSY)
        kc_wait_tell(&c->wait, KC_WAIT_CANCEL);
    told = kc_wait_for(&c->wait, KC_WAIT_DONE | KC_WAIT_CANCEL, KC_NEVER);
    if ((told & KC_WAIT_DONE) == 0 && kc_blocking_cancel(b, &c->job) == 1)
        rc = KC_ECANCELED;
    else if ((told & KC_WAIT_DONE) == 0)
        (void)kc_wait_for(&c->wait, KC_WAIT_DONE, KC_NEVER);
    if (cancel != NULL)
        (void)kc_cancel_forget(&hook);
    return rc;
}

int kc_block_call_c(kc_block_fn fn, void *arg, kc_cancel *cancel) {
    call c = {.job = {.fn = fn, .arg = arg, .wake = &c.wake}, .wake = {.call = returned}};
    int rc = fn != NULL ? KC_OK : KC_EINVAL;

    kc_wait_begin(&c.wait);
    if (rc == KC_OK && kc_cancel_is_set(cancel))
        rc = KC_ECANCELED;
    if (rc != KC_OK)
        return rc;
    if (c.wait.co == NULL) {
        fn(arg);
    } else {
        kc_blocking *b = kc_sched_blocking(kc_co_sched(c.wait.co));
        rc = kc_blocking_submit(b, &c.job);
        if (rc == KC_OK)
            rc = wait_for(b, &c, cancel);
    }
    return rc;
}

int kc_block_call(kc_block_fn fn, void *arg) { return kc_block_call_c(fn, arg, NULL); }
