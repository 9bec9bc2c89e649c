/* kc_ready.h: a line of coroutines, first come, first served, for any number of threads at both ends. The queue of
 * those who yielded and the queue of those who came from outside (injected) are two of them.
 *
 * The queue of Michael and Scott ("Simple, Fast, and Practical Non-Blocking and Blocking Concurrent Queue Algorithms",
 * PODC 1996), with counted words instead of counted pointers. A push must not fail, for whoever is unparked cannot be
 * told that memory ran out; so each coroutine brings its own place in line, which it was given when it was made, and
 * leaves with another one: that of whoever left before it. Places live as long as the set they come from, so a thread
 * that is late may read one that has gone on, and sees by its count that it has.
 *
 * Not a place to wait, and it keeps nobody alive: it holds a pointer, no reference.
 * Invariants: an item that was pushed leaves once. Of two pushes one of which ended before the other began, the first
 * leaves first: strictly in order for each who pushes, and for all together. Lock-free: whatever other threads do, or
 * stop doing, in the middle of a call, some call ends after a bounded number of steps; a single call may be overtaken
 * for long (it is not wait-free), but only by calls that end. A count has 40 bits: it repeats when a thread sleeps in
 * the middle of a call through exactly 2^40 changes of one word.
 */
#ifndef KC_READY_H
#define KC_READY_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct kc_places kc_places;

enum { KC_PLACES_MAX = (1 << 24) - 2 };

/* Address space for so many places, one for each coroutine and one for each queue; memory comes with use, 16 bytes
 * each. KC_ENOMEM, KC_EINVAL (0, or more than KC_PLACES_MAX). */
int kc_places_make(uint32_t count_max, kc_places **places_out);
/* No queue over it is in use. NULL is allowed. */
void kc_places_free(kc_places *places);
/* Any thread. 0: all are taken. */
uint32_t kc_places_take(kc_places *places);
void kc_places_give(kc_places *places, uint32_t place);

typedef struct kc_ready {
    alignas(64) _Atomic uint64_t head; /* {count:40, place:24}, as all such words */
    alignas(64) _Atomic uint64_t tail;
    kc_places *places;
} kc_ready;

/* KC_ENOMEM: all places are taken. Several queues may share a set; a place may go from one to the other. */
int kc_ready_make(kc_ready *q, kc_places *places);
/* It is empty, and nobody uses it any more. */
void kc_ready_free(kc_ready *q);

/* Any thread. The place is the caller's (kc_places_take, or kc_ready_pop); from now on it is not. An item is not
 * NULL. */
void kc_ready_push(kc_ready *q, uint32_t place, void *item);
/* Any thread. NULL: nobody is in line. The place goes with the item: it is for its next push. */
void *kc_ready_pop(kc_ready *q, uint32_t *place_out);
/* As of one moment. Sequentially consistent, as push is: whoever announces that it sleeps and then finds the queue
 * empty is seen by whoever pushes and then looks for sleepers, if both announce and look in that order. */
bool kc_ready_is_empty(const kc_ready *q);

#endif
