/* kc_lock.h: lock 0, a 32-bit futex word; not a pthread mutex, whose robust list keeps addresses in shared memory.
 *
 * The word is 0 or the holder's thread id (31 bits), with the top bit set while somebody may sleep on it.
 * Ulrich Drepper's "Futexes Are Tricky" (2011), section 6, is the scheme; futex(2) the calls.
 */
#ifndef KC_LOCK_H
#define KC_LOCK_H

#include <stdatomic.h>
#include <stdint.h>

typedef struct kc_lock {
    _Atomic uint32_t word;
} kc_lock;

void kc_lock_take(kc_lock *lock);
void kc_lock_give(kc_lock *lock);

#endif
