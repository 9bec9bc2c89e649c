/* ready.c: the queue of kc_ready.h. head is the place of whoever left last; the first in line stands in the place after
 * it. */
#include "kc_ready.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "kcoro/kc_types.h"

enum { PLACE_BITS = 24 };
#define PLACE_MASK ((UINT64_C(1) << PLACE_BITS) - 1)

typedef struct place_rec {
    _Atomic uint64_t next;  /* {count, place}: who stands behind */
    _Atomic(void *) item;   /* who stands here; of a free place, the number of the next free one */
} place_rec;

struct kc_places {
    alignas(64) _Atomic uint64_t freed; /* {count, place}: those that were given back */
    alignas(64) _Atomic uint32_t high;  /* places above were never used */
    uint32_t count_max;
    place_rec *recs; /* 1 and up */
};

static uint32_t place_of(uint64_t word) { return (uint32_t)(word & PLACE_MASK); }

/* The word that follows: its count is one higher. */
static uint64_t after(uint64_t word, uint32_t place) {
    return (((word >> PLACE_BITS) + 1) << PLACE_BITS) | (uint64_t)place;
}

static size_t bytes_of(const kc_places *places) { return ((size_t)places->count_max + 1) * sizeof(place_rec); }

int kc_places_make(uint32_t count_max, kc_places **places_out) {
    bool valid = count_max != 0 && count_max <= KC_PLACES_MAX;
    kc_places *places = valid ? aligned_alloc(alignof(kc_places), sizeof *places) : NULL;
    int rc = valid ? KC_ENOMEM : KC_EINVAL;

    if (places != NULL) {
        *places = (kc_places){.count_max = count_max};
        places->recs = mmap(NULL, bytes_of(places), PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        rc = places->recs != MAP_FAILED ? KC_OK : KC_ENOMEM;
    }
    if (rc == KC_OK)
        *places_out = places;
    else
        free(places);
    return rc;
}

void kc_places_free(kc_places *places) {
    if (places != NULL)
        (void)munmap(places->recs, bytes_of(places));
    free(places);
}

static uint32_t take_freed(kc_places *places) {
    uint64_t seen = atomic_load(&places->freed);
    uint32_t next = 0;

    while (place_of(seen) != 0) {
        next = (uint32_t)(uintptr_t)atomic_load_explicit(&places->recs[place_of(seen)].item, memory_order_relaxed);
        if (atomic_compare_exchange_weak(&places->freed, &seen, after(seen, next & (uint32_t)PLACE_MASK)))
            break;
    }
    return place_of(seen);
}

static uint32_t take_new(kc_places *places) {
    uint32_t high = atomic_load(&places->high);

    while (high < places->count_max && !atomic_compare_exchange_weak(&places->high, &high, high + 1)) {
    }
    return high < places->count_max ? high + 1 : 0;
}

uint32_t kc_places_take(kc_places *places) {
    uint32_t place = take_freed(places);

    return place != 0 ? place : take_new(places);
}

void kc_places_give(kc_places *places, uint32_t place) {
    uint64_t seen = atomic_load(&places->freed);

    do {
        atomic_store_explicit(&places->recs[place].item, (void *)(uintptr_t)place_of(seen), memory_order_relaxed);
    } while (!atomic_compare_exchange_weak(&places->freed, &seen, after(seen, place)));
}

int kc_ready_make(kc_ready *q, kc_places *places) {
    uint32_t place = kc_places_take(places);

    if (place != 0) {
        place_rec *rec = &places->recs[place];
        atomic_store_explicit(&rec->next, after(atomic_load_explicit(&rec->next, memory_order_relaxed), 0),
                              memory_order_relaxed);
        atomic_init(&q->head, place);
        atomic_init(&q->tail, place);
        q->places = places;
    }
    return place != 0 ? KC_OK : KC_ENOMEM;
}

void kc_ready_free(kc_ready *q) { kc_places_give(q->places, place_of(atomic_load(&q->head))); }

/* One step behind the last one that tail knows of: links the place, or moves tail on for whoever linked one and is
 * late. That tail is still the same after `next` was read proves that `next` is of this queue; its count, that it still
 * is. */
static bool link_behind(kc_ready *q, uint32_t place) {
    uint64_t tail = atomic_load(&q->tail);
    place_rec *last = &q->places->recs[place_of(tail)];
    uint64_t next = atomic_load(&last->next);
    bool linked = false;

    if (tail == atomic_load(&q->tail)) {
        uint32_t step = place_of(next);
        if (step == 0) {
            linked = atomic_compare_exchange_strong(&last->next, &next, after(next, place));
            step = linked ? place : place_of(next);
        }
        (void)atomic_compare_exchange_strong(&q->tail, &tail, after(tail, step));
    }
    return linked;
}

void kc_ready_push(kc_ready *q, uint32_t place, void *item) {
    place_rec *rec = &q->places->recs[place];

    atomic_store_explicit(&rec->item, item, memory_order_relaxed);
    atomic_store_explicit(&rec->next, after(atomic_load_explicit(&rec->next, memory_order_relaxed), 0),
                          memory_order_relaxed);
    while (!link_behind(q, place)) {
    }
}

/* The first in line, NULL if another got it. The item is read before head moves: then the place goes on. */
static void *leave(kc_ready *q, uint64_t head, uint32_t first) {
    void *item = atomic_load_explicit(&q->places->recs[first].item, memory_order_relaxed);
    bool won = atomic_compare_exchange_strong(&q->head, &head, after(head, first));

    return won ? item : NULL;
}

void *kc_ready_pop(kc_ready *q, uint32_t *place_out) {
    void *item = NULL;

    while (item == NULL) {
        uint64_t head = atomic_load(&q->head);
        uint64_t tail = atomic_load(&q->tail);
        uint32_t first = place_of(atomic_load(&q->places->recs[place_of(head)].next));
        if (head != atomic_load(&q->head))
            continue;
        if (place_of(head) == place_of(tail) && first == 0)
            break;
        if (place_of(head) == place_of(tail)) {
            (void)atomic_compare_exchange_strong(&q->tail, &tail, after(tail, first));
        } else {
            item = leave(q, head, first);
#if KC_MUTANT == 42 /* whoever leaves takes along the place that the queue still stands on */
            *place_out = first;
#else
            *place_out = place_of(head);
#endif
        }
    }
    return item;
}

bool kc_ready_is_empty(const kc_ready *q) {
    uint64_t head = 0;
    uint32_t first = 0;

    do {
        head = atomic_load(&q->head);
        first = place_of(atomic_load(&q->places->recs[place_of(head)].next));
    } while (head != atomic_load(&q->head));
    return first == 0;
}
