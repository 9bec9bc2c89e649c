/* kc_lock.h: lock 0, a 32-bit futex word; not a pthread mutex, whose robust list keeps addresses in shared memory.
 *
 * The word is 0 or the holder's thread id (31 bits), with the top bit set while somebody may sleep on it.
 * Ulrich Drepper's "Futexes Are Tricky" (2011), section 6, is the scheme; futex(2) the calls.
 *
 * A lock that one thread alone has taken for a while becomes its own (decision 0031): from then on it takes it by plain
 * stores, and whoever else wants it takes the word, takes the lock back, makes every thread pass a barrier
 * (membarrier(2)), and waits until the owner is out.
 * Invariants: at most one thread is in: the owner (inside), or the holder of the word while nobody owns the lock. Only
 * the holder of the word changes owner. Only the suitor writes inside: a thread whose lock was taken back may be late
 * and still write there, so nobody else may own the lock before that thread has been seen to take the word, or is
 * gone.
 */
#ifndef KC_LOCK_H
#define KC_LOCK_H

#include <stdatomic.h>
#include <stdint.h>

/* One of zeros is free and nobody's. */
typedef struct kc_lock {
    _Atomic uint32_t word;
    _Atomic uint32_t owner;  /* thread id, 0: nobody's */
    _Atomic uint32_t inside; /* 1: its owner holds it, by plain stores */
    /* of whoever is in */
    uint32_t by_word;      /* 1: it holds the word */
    uint32_t suitor;       /* who alone may own it, 0: anybody */
    uint32_t last, streak; /* who held the word last, and how often in a row */
    uint32_t doublings;    /* of the streak that makes it somebody's: at each time it was taken back, or not given */
} kc_lock;

void kc_lock_take(kc_lock *lock);
void kc_lock_give(kc_lock *lock);
/* The same for whoever has called others meanwhile: one of them may have started the first thread. */
void kc_lock_give_after_calls(kc_lock *lock);
/* In a child of fork(2): this thread has another id there, and a thread of the child may be given the old one. */
void kc_lock_forget_thread(void);

#endif
