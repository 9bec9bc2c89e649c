/* kc_heap.h: what is to be called at which time: a binary heap (Williams 1964) that reads no clock and knows no
 * threads.
 *
 * Time is a number that only its users give a meaning (kc_timers.h: CLOCK_MONOTONIC), so a test makes it stand still,
 * and no step of any clock is seen here.
 * Invariants: nothing leaves before its time. What is due leaves in the order of its times, and of equal times in the
 * order of its coming. An id names one life of one record and is never given again: a record whose lives are used up
 * (2^32 - 1) is not used any more. Adding, removing and leaving are O(log n). Memory stays at the most that stood here
 * at once.
 */
#ifndef KC_HEAP_H
#define KC_HEAP_H

#include "kc_wake.h"
#include "kcoro/kc_types.h"

typedef struct kc_heap_entry {
    int64_t due_ns;
    uint64_t order;
    uint32_t rec;
} kc_heap_entry;

typedef struct kc_heap_rec {
    kc_wake *wake;
    uint32_t life;
    uint32_t at; /* its entry; of a free record the next free one */
} kc_heap_rec;

typedef struct kc_heap {
    kc_heap_entry *entries; /* 1 .. count */
    kc_heap_rec *recs;      /* 1 .. high */
    uint32_t count, high, room, count_max;
    uint32_t free_first, free_last; /* first in, first out: one record's lives follow each other as late as can be */
    uint64_t order;
} kc_heap;

void kc_heap_begin(kc_heap *h, uint32_t count_max);
/* What still stands here is forgotten. */
void kc_heap_end(kc_heap *h);

/* KC_ENOMEM: no memory, or count_max stand here (a few less, once records have used up their lives). */
int kc_heap_add(kc_heap *h, int64_t due_ns, kc_wake *wake, kc_ticket *id_out);
/* What was to be called, which now never is; NULL: it has left already (or never was). */
kc_wake *kc_heap_remove(kc_heap *h, kc_ticket id);
/* KC_NEVER: nothing stands here. */
int64_t kc_heap_next_ns(const kc_heap *h);
/* The next one that is due at this time, NULL if there is none. */
kc_wake *kc_heap_pop(kc_heap *h, int64_t now_ns);

#endif
