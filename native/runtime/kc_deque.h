/* kc_deque.h: a work-stealing deque of pointers: its owner pushes and takes at the young end, thieves steal the oldest.
 *
 * Chase and Lev, "Dynamic Circular Work-Stealing Deque" (SPAA 2005), with the orderings that Le, Pop, Cohen and Zappa
 * Nardelli proved ("Correct and Efficient Work-Stealing for Weak Memory Models", PPoPP 2013). Where they have a
 * sequentially consistent fence, the accesses on both sides of it are sequentially consistent here: the same code on
 * x86-64 and aarch64, and ThreadSanitizer, which knows no fences, can judge it.
 *
 * Not a queue for more than one owner, and no place to wait: an empty deque says so.
 * Invariants: each item that was pushed leaves once, by a take or by a steal. top never falls, so a thief that slept
 * through any number of steals meets no second life of its index (64 bits). The owner never waits for a thief, and no
 * thief for the owner; a steal that was overtaken says so, and then somebody else has got an item.
 * An array that was outgrown is kept until the deque is freed, because a thief may still read it: those kept are
 * together smaller than the one in use.
 */
#ifndef KC_DEQUE_H
#define KC_DEQUE_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "kcoro/kc_types.h"

typedef struct kc_deque_array kc_deque_array;
struct kc_deque_array {
    kc_deque_array *smaller; /* the one it took the place of */
    int64_t mask;
    _Atomic(void *) items[];
};

enum { KC_DEQUE_ITEMS = 64 /* places at first */, KC_LINE_BYTES = 64 };

typedef struct kc_deque {
    alignas(KC_LINE_BYTES) _Atomic int64_t top; /* of the thieves */
    alignas(KC_LINE_BYTES) _Atomic int64_t bottom; /* of the owner, as all below */
    _Atomic(kc_deque_array *) array;
    uint32_t items_max;
} kc_deque;

/* Room for items_max items (rounded up to a power of two), of which KC_DEQUE_ITEMS are there at once. KC_ENOMEM,
 * KC_EINVAL. */
int kc_deque_make(kc_deque *d, uint32_t items_max);
/* Nobody uses it any more. Items still in it are forgotten. */
void kc_deque_free(kc_deque *d);

/* For kc_deque_push alone. */
int kc_deque_grow(kc_deque *d, int64_t top, int64_t bottom);
static inline void kc_deque_put(kc_deque_array *a, int64_t at, void *item) {
    atomic_store_explicit(&a->items[at & a->mask], item, memory_order_relaxed);
}
/* The owner. Items are not NULL. KC_ENOMEM: no memory to grow; KC_EAGAIN: items_max are in it. Then nothing was
 * changed. */
static inline int kc_deque_push(kc_deque *d, void *item) {
    int64_t bottom = atomic_load_explicit(&d->bottom, memory_order_relaxed);
    /* Acquire: a thief that made this place free has read what stood in it. */
    int64_t top = atomic_load_explicit(&d->top, memory_order_acquire);
    kc_deque_array *a = atomic_load_explicit(&d->array, memory_order_relaxed);
    int rc = bottom - top <= a->mask ? KC_OK : kc_deque_grow(d, top, bottom);

    if (rc == KC_OK) {
        kc_deque_put(atomic_load_explicit(&d->array, memory_order_relaxed), bottom, item);
        atomic_store_explicit(&d->bottom, bottom + 1, memory_order_release); /* with the item and what it points to */
    }
    return rc;
}
/* The owner: the youngest, NULL if there is none. */
void *kc_deque_take(kc_deque *d);

/* Anybody, the owner too: the oldest. KC_OK; KC_ENOENT: it was empty; KC_EAGAIN: another got that one, there may be
 * more. */
int kc_deque_steal(kc_deque *d, void **item_out);

/* Anybody: the oldest, NULL: it was empty. */
void *kc_deque_oldest(kc_deque *d);

/* How many there were a moment ago; exact for the owner while nobody steals. Whoever sleeps because of it must have
 * said so before, by a read-modify-write; and since a push is but a release, its owner makes one before it looks for
 * sleepers, if it has to see each (kc_sched_alarm_busy). */
static inline uint32_t kc_deque_count(const kc_deque *d) {
    int64_t top = atomic_load(&d->top);
    int64_t bottom = atomic_load(&d->bottom);

    return bottom > top ? (uint32_t)(bottom - top) : 0;
}

#endif
