/* kc_client_wait.h: who waits, for room or for an answer, and until when. What they wait for stands in kc_client_op.h.
 *
 * Invariant: all of it is used with the lock held; whoever waits stands in its lists until the wait is over.
 */
#ifndef KC_CLIENT_WAIT_H
#define KC_CLIENT_WAIT_H

#include <stdbool.h>
#include <stdint.h>

#include "client/kc_client_link.h"
#include "kcoro/kc_ipc.h"

typedef struct kc_waiter {
    kc_link link; /* in kc_ipc.waiters, or .threads */
    const kc_ipc_waiting *waiting;
    void *who;
    bool ready;
} kc_waiter;

/* A deadline, in what has it. */
typedef struct kc_due {
    struct kc_due *child;
    struct kc_due *next;
    struct kc_due *before;
    int64_t at_ns;
    bool set;
    bool caller; /* of a kc_caller, else of a kc_ipc_op */
} kc_due;

/* A caller for whom the bounds leave no room. */
typedef struct kc_caller {
    kc_link link;  /* in its queue */
    kc_link among; /* in kc_ipc.callers */
    kc_due due;
    kc_waiter waiter;
    kc_ipc_op *op;     /* whose `caller` this is */
    kc_ipc_chan *chan; /* NULL: only the connection's bound counts */
    uint64_t bytes;
    int code; /* KC_OK: granted */
} kc_caller;

/* Those of one channel, or of none. */
typedef struct kc_queue {
    kc_link link; /* in kc_ipc.queues while the connection's bound alone keeps the first one back */
    kc_link callers;
} kc_queue;

/* wait.c */
extern const kc_ipc_waiting kc_thread_waiting;
void kc_client_wait(kc_ipc *ipc, kc_waiter *waiter); /* until it is ready; with the lock */
void kc_client_ready(kc_ipc *ipc, kc_waiter *waiter);
void kc_client_quit(kc_ipc *ipc);    /* shuts what was disconnected when nobody sleeps on it */
bool kc_client_tower(kc_ipc *ipc);   /* makes what coroutines sleep on */
void kc_client_pause(kc_ipc *ipc, int64_t until_ns); /* while nobody else uses the connection */
void kc_client_move(kc_ipc *ipc); /* sends what can be sent now, and looks at the clock; with the lock */
void kc_client_step(kc_ipc *ipc); /* and reads so many times, unless somebody else does */

/* timer.c */
void kc_client_ring_at(kc_ipc *ipc, int64_t at_ns); /* INT64_MAX: not */
void kc_client_arm(kc_ipc *ipc, int64_t deadline_ns); /* then or earlier */
void kc_client_call(kc_ipc *ipc); /* the pilot, if it sleeps */
void kc_client_ring(kc_ipc *ipc); /* ends what is due, if it is time to look */

/* due.c */
void kc_due_set(kc_ipc *ipc, kc_due *due, int64_t at_ns); /* INT64_MAX: never. It was set before or not. */
void kc_due_clear(kc_ipc *ipc, kc_due *due);

/* credit.c */
bool kc_credit_try(kc_ipc *ipc, kc_ipc_chan *chan, uint64_t bytes);
int kc_credit_wait(kc_ipc *ipc, kc_ipc_op *op, int64_t deadline_ns);
void kc_credit_cancel(kc_ipc *ipc, kc_ipc_op *op); /* if it waits: KC_ECANCELED */
void kc_credit_give(kc_ipc *ipc, kc_ipc_chan *chan, uint64_t bytes);
void kc_credit_expire(kc_ipc *ipc, kc_caller *caller);
void kc_credit_end(kc_ipc *ipc);

#endif
