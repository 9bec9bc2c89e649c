/* kc_futex.h: sleeping on a word until somebody changes it, or a time has come. */
#ifndef KC_FUTEX_H
#define KC_FUTEX_H

#include <stdatomic.h>
#include <stdint.h>

/* Sleeps while *word is seen, not longer than to the deadline (CLOCK_MONOTONIC): then KC_ETIME. It may return KC_OK for
 * no reason: callers look again. */
int kc_futex_wait(_Atomic uint32_t *word, uint32_t seen, int64_t deadline_ns);
/* The word need not be there any more. */
void kc_futex_wake(_Atomic uint32_t *word, int count);

#endif
