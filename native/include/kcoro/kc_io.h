/* kc_io.h: waiting for open files, and calls that block, without keeping a worker.
 *
 * A coroutine parks; a thread outside of the scheduler simply waits. What is waited for is told once: whoever was told reads
 * or writes until KC_EAGAIN (files should be O_NONBLOCK) and then waits again.
 */
#ifndef KC_IO_H
#define KC_IO_H

#include "kcoro/kc_cancel.h"
#ifdef __cplusplus
extern "C" {
#endif

enum kc_io_event { KC_IO_READABLE = 1, KC_IO_WRITABLE = 2 };

/* Waits for one or both; returns those that came, an error or a hang-up counting as each that was asked for. A plain file
 * is always both. KC_ETIME at the deadline (CLOCK_MONOTONIC; KC_NEVER); KC_EBADF: not open, or kc_io_close came meanwhile;
 * KC_EBUSY: another coroutine waits for the same direction of this file; KC_EINVAL; KC_ENOMEM; KC_EDQUOT. */
KC_API int kc_io_wait(int fd, uint32_t events, int64_t deadline_ns);
/* The same until the cancel is set: KC_ECANCELED. NULL: none. A thread outside of a scheduler asks for the cancel only before
 * it waits. */
KC_API int kc_io_wait_c(int fd, uint32_t events, int64_t deadline_ns, kc_cancel *cancel);
/* close(2), after whoever waits for it in this scheduler was told (KC_EBADF). A file that is closed otherwise leaves them
 * waiting. KC_OK; KC_EBADF. */
KC_API int kc_io_close(int fd);

typedef void (*kc_block_fn)(void *arg);
/* Runs fn(arg) in a thread that may wait, and returns when it has returned; what fn did is seen then. Outside of a scheduler
 * it runs here. KC_OK; KC_ENOMEM (no thread can be had): fn did not run. */
KC_API int kc_block_call(kc_block_fn fn, void *arg);
/* The same, but for a cancel that comes before a thread took it: KC_ECANCELED, fn did not and will not run. Once it was begun
 * the cancel changes nothing: whoever called waits for it, as what `arg` names is in use until then. NULL: none. */
KC_API int kc_block_call_c(kc_block_fn fn, void *arg, kc_cancel *cancel);

#ifdef __cplusplus
}
#endif
#endif
