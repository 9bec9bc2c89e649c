/* kc_wait.h: one coroutine or thread that waits, and whoever tells it that it need not any more.
 *
 * All that is told stands in one word. To tell is one read-modify-write; after it the teller touches nothing of the
 * waiter that may go on by itself, so the record may stand on the waiter's stack. (A thread's futex is woken by address
 * only.)
 */
#ifndef KC_WAIT_H
#define KC_WAIT_H

#include "kc_coroutine.h"

enum {
    KC_WAIT_DONE = 1,   /* what it waits for has happened */
    KC_WAIT_CANCEL = 2, /* its cancel was set */
    KC_WAIT_TIME = 4,   /* its deadline has come */
    KC_WAIT_ASLEEP = 8, /* it has left its stack, or sleeps */
    KC_WAIT_NO_MEMORY = 16, /* its deadline could not be set: there was no memory, or there were too many timers */
    KC_WAIT_NO_FILE = 32    /* likewise: no descriptor was left for the clock */
};

typedef struct kc_wait {
    _Atomic uint32_t word;
    kc_co *co; /* NULL: a thread, or a coroutine that nobody schedules, which blocks its thread */
} kc_wait;

static inline void kc_wait_begin(kc_wait *w) {
    kc_co *co = kc_here_get()->co;

    atomic_init(&w->word, 0);
    w->co = co != NULL && kc_co_sched(co) != NULL ? co : NULL;
}
/* From any thread. */
void kc_wait_tell(kc_wait *w, uint32_t what);
/* Until one of these was told, or the deadline has come (KC_WAIT_TIME is added) or could not be set (KC_WAIT_NO_MEMORY,
 * KC_WAIT_NO_FILE); the answer has all that was told. */
uint32_t kc_wait_for(kc_wait *w, uint32_t what, int64_t deadline_ns);
/* Why it ended without what it waited for: KC_ETIME; KC_ENOMEM, KC_EDQUOT. */
static inline int kc_wait_code(uint32_t told) {
    int code = KC_ETIME;

    if ((told & KC_WAIT_NO_MEMORY) != 0)
        code = KC_ENOMEM;
    else if ((told & KC_WAIT_NO_FILE) != 0)
        code = KC_EDQUOT;
    return code;
}

#endif
