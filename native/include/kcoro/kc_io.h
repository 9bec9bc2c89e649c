/* kc_io.h: waiting for open files, and calls that block, without keeping a worker.
 *
 * A coroutine parks; a thread outside of the scheduler simply waits. What is waited for is told once: whoever was told
 * reads or writes until KC_EAGAIN (files should be O_NONBLOCK) and then waits again.
 */
#ifndef KC_IO_H
#define KC_IO_H

#include "kcoro/kc_cancel.h"
#include "kcoro/kc_sched.h"
#ifdef __cplusplus
extern "C" {
#endif

enum kc_io_event { KC_IO_READABLE = 1, KC_IO_WRITABLE = 2 };

/* Waits for one or both; returns those that came, an error or a hang-up counting as each that was asked for. A plain
 * file is always both. KC_ETIME at the deadline (CLOCK_MONOTONIC; KC_NEVER); KC_EBADF: not open, or kc_io_close came
 * meanwhile; KC_EBUSY: another coroutine waits for the same direction of this file; KC_EINVAL; KC_ENOMEM; KC_EDQUOT. */
KC_API int kc_io_wait(int fd, uint32_t events, int64_t deadline_ns);
/* The same until the cancel is set: KC_ECANCELED. NULL: none. A thread outside of a scheduler asks for the cancel only
 * before it waits. */
KC_API int kc_io_wait_c(int fd, uint32_t events, int64_t deadline_ns, kc_cancel *cancel);
/* close(2), after the coroutines of the calling scheduler that wait for it were told (KC_EBADF). Returns how many these
 * were, 0 to 2; KC_EBADF: it was not open. Who begins to wait in this scheduler meanwhile is told, too. Nobody else is,
 * and waits on for what is gone: coroutines of another scheduler (kc_io_forget them before) and threads outside of one
 * (end a socket with shutdown(2), or give them a deadline). A thread outside of a scheduler tells nobody. */
KC_API int kc_io_close(int fd);
/* Tells those of this scheduler, from any thread: the first half of closing what coroutines of several schedulers wait
 * for. Returns how many were told, 0 to 2. The scheduler is not freed meanwhile. */
KC_API int kc_io_forget(kc_sched *sched, int fd);

typedef void (*kc_block_fn)(void *arg);
/* Runs fn(arg) in a thread that may wait, and returns when it has returned; what fn did is seen then. Outside of a
 * scheduler it runs here. KC_OK; KC_ENOMEM (no thread can be had): fn did not run. In a child that fn forked it may not
 * return: whoever called is in the parent. */
KC_API int kc_block_call(kc_block_fn fn, void *arg);
/* The same, but for a cancel that comes before a thread took it: KC_ECANCELED, fn did not and will not run. Once it was
 * begun the cancel changes nothing: whoever called waits for it, as what `arg` names is in use until then.
 * NULL: none. */
KC_API int kc_block_call_c(kc_block_fn fn, void *arg, kc_cancel *cancel);

#ifdef __cplusplus
}
#endif
#endif
