/* deque.c: the deque of kc_deque.h. What each ordering is for stands beside it; the names are those of the papers. */
#include "kc_deque.h"

#include <stdlib.h>

#include "core/kc_layout.h"
#include "kcoro/kc_types.h"

enum { ITEMS_LIMIT = 1 << 30 };

static void *get(kc_deque_array *a, int64_t at) {
    return atomic_load_explicit(&a->items[at & a->mask], memory_order_relaxed);
}

static kc_deque_array *array_of(int64_t items, kc_deque_array *smaller) {
    kc_deque_array *a = calloc(1, sizeof *a + (size_t)items * sizeof a->items[0]);

    if (a != NULL) {
        a->mask = items - 1;
        a->smaller = smaller;
    }
    return a;
}

int kc_deque_make(kc_deque *d, uint32_t items_max) {
    uint32_t room = KC_DEQUE_ITEMS;
    kc_deque_array *a = NULL;
    int rc = KC_EINVAL;

    if (items_max != 0 && items_max <= ITEMS_LIMIT) {
        while (room < items_max)
            room *= 2;
        a = array_of(KC_DEQUE_ITEMS, NULL);
        atomic_init(&d->top, 0);
        atomic_init(&d->bottom, 0);
        atomic_init(&d->array, a);
        d->items_max = room;
        rc = a != NULL ? KC_OK : KC_ENOMEM;
    }
    return rc;
}

void kc_deque_free(kc_deque *d) {
    kc_deque_array *a = atomic_exchange_explicit(&d->array, NULL, memory_order_relaxed);

    while (a != NULL) {
        kc_deque_array *smaller = a->smaller;
        free(a);
        a = smaller;
    }
}

/* Items keep their numbers in the larger array; a thief that still reads the old one finds them there as well. */
int kc_deque_grow(kc_deque *d, int64_t top, int64_t bottom) {
    kc_deque_array *old = atomic_load_explicit(&d->array, memory_order_relaxed);
    kc_deque_array *new = NULL;
    int rc = KC_EAGAIN;

    if (old->mask + 1 < d->items_max) {
        new = array_of((old->mask + 1) * 2, old);
        rc = new != NULL ? KC_OK : KC_ENOMEM;
    }
    if (rc == KC_OK) {
        for (int64_t at = top; at < bottom; at++)
            kc_deque_put(new, at, get(old, at));
        atomic_store_explicit(&d->array, new, memory_order_release); /* with what was copied */
    }
    return rc;
}

/* The last one: whoever moves top has it. */
static bool is_won(kc_deque *d, int64_t top) {
#if KC_MUTANT == 41 /* the last item goes to the owner and to a thief */
    atomic_store(&d->top, top + 1);
    return true;
#else
    return atomic_compare_exchange_strong(&d->top, &top, top + 1);
#endif
}

void *kc_deque_take(kc_deque *d) {
    int64_t bottom = atomic_load_explicit(&d->bottom, memory_order_relaxed) - 1;
    void *item = NULL;
    int64_t top = 0;

    /* This store and the load after it, and the two loads of a thief, stand in one order: not both of owner and thief
     * see the other's index as it was before. */
    atomic_store(&d->bottom, bottom);
    top = atomic_load(&d->top);
    if (top <= bottom)
        item = get(atomic_load_explicit(&d->array, memory_order_relaxed), bottom);
    if (top == bottom && !is_won(d, top))
        item = NULL;
    if (top >= bottom) /* it is empty now; release, because thieves read items by what they see here */
        atomic_store_explicit(&d->bottom, bottom + 1, memory_order_release);
    return item;
}

KC_PART int steal(kc_deque *d, void **item_out) {
    int64_t top = atomic_load(&d->top);
    int64_t bottom = atomic_load(&d->bottom);
    int rc = KC_ENOENT;

    if (top < bottom) {
        /* After bottom: the array that was there when the item was pushed, or a later one. Read before top moves: then
         * the place may be written again. */
        void *item = get(atomic_load_explicit(&d->array, memory_order_acquire), top);
        rc = atomic_compare_exchange_strong(&d->top, &top, top + 1) ? KC_OK : KC_EAGAIN;
        if (rc == KC_OK)
            *item_out = item;
    }
    return rc;
}

int kc_deque_steal(kc_deque *d, void **item_out) { return steal(d, item_out); }

void *kc_deque_oldest(kc_deque *d) {
    void *item = NULL;

    while (steal(d, &item) == KC_EAGAIN)
        ;
    return item;
}
