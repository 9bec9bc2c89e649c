/* heap.c: the heap of kc_heap.h. Entries hold what is compared, so that sifting touches one array. */
#include "kc_heap.h"

#include <stdbool.h>
#include <stdlib.h>

enum { ROOM_AT_FIRST = 64 };

void kc_heap_begin(kc_heap *h, uint32_t count_max) { *h = (kc_heap){.count_max = count_max}; }

void kc_heap_end(kc_heap *h) {
    free(h->entries);
    free(h->recs);
    *h = (kc_heap){0};
}

/* ---- order ---- */

static bool is_before(const kc_heap_entry *a, const kc_heap_entry *b) {
#if KC_MUTANT == 43 /* what is due at one time leaves in any order */
    return a->due_ns < b->due_ns;
#else
    return a->due_ns < b->due_ns || (a->due_ns == b->due_ns && a->order < b->order);
#endif
}

static void place(kc_heap *h, uint32_t at, kc_heap_entry entry) {
    h->entries[at] = entry;
    h->recs[entry.rec].at = at;
}

static void sift_up(kc_heap *h, uint32_t at, kc_heap_entry entry) {
    for (; at > 1 && is_before(&entry, &h->entries[at / 2]); at /= 2)
        place(h, at, h->entries[at / 2]);
    place(h, at, entry);
}

static void sift_down(kc_heap *h, uint32_t at, kc_heap_entry entry) {
    for (uint32_t child = at * 2; child <= h->count; child = at * 2) {
        if (child < h->count && is_before(&h->entries[child + 1], &h->entries[child]))
            child++;
        if (!is_before(&h->entries[child], &entry))
            break;
        place(h, at, h->entries[child]);
        at = child;
    }
    place(h, at, entry);
}

static void take_out(kc_heap *h, uint32_t at) {
    kc_heap_entry last = h->entries[h->count--];

    if (at > h->count)
        return;
    if (at > 1 && is_before(&last, &h->entries[at / 2]))
        sift_up(h, at, last);
    else
        sift_down(h, at, last);
}

/* ---- records ---- */

static bool grow(kc_heap *h) {
    uint32_t wanted = h->room == 0 ? ROOM_AT_FIRST : h->room * 2;
    uint32_t room = wanted < h->count_max ? wanted : h->count_max;
    kc_heap_entry *entries = NULL;
    kc_heap_rec *recs = NULL;
    bool grown = false;

    if (room > h->room)
        entries = realloc(h->entries, ((size_t)room + 1) * sizeof *entries);
    if (entries != NULL) {
        h->entries = entries;
        recs = realloc(h->recs, ((size_t)room + 1) * sizeof *recs);
    }
    if (recs != NULL) {
        h->recs = recs;
        h->room = room;
        grown = true;
    }
    return grown;
}

static uint32_t take_record(kc_heap *h) {
    uint32_t rec = h->free_first;

    if (rec != 0) {
        h->free_first = h->recs[rec].at;
    } else if (h->high < h->room || grow(h)) {
        rec = ++h->high;
        h->recs[rec].life = 1;
    }
    return rec;
}

static kc_wake *give_record(kc_heap *h, uint32_t rec) {
    kc_heap_rec *r = &h->recs[rec];
    kc_wake *wake = r->wake;

    r->wake = NULL;
    r->at = 0;
    if (r->life == UINT32_MAX)
        return wake;
#if KC_MUTANT != 44 /* an id that has left cancels whoever has its record now */
    r->life++;
#endif
    if (h->free_first == 0)
        h->free_first = rec;
    else
        h->recs[h->free_last].at = rec;
    h->free_last = rec;
    return wake;
}

/* ---- the heap ---- */

int kc_heap_add(kc_heap *h, int64_t due_ns, kc_wake *wake, kc_ticket *id_out) {
    uint32_t rec = take_record(h);

    if (rec != 0) {
        kc_heap_rec *r = &h->recs[rec];
        r->wake = wake;
        sift_up(h, ++h->count, (kc_heap_entry){.due_ns = due_ns, .order = h->order++, .rec = rec});
        *id_out = ((kc_ticket)r->life << 32) | rec;
    }
    return rec != 0 ? KC_OK : KC_ENOMEM;
}

kc_wake *kc_heap_remove(kc_heap *h, kc_ticket id) {
    uint32_t rec = (uint32_t)id;
    bool known = rec != 0 && rec <= h->high && h->recs[rec].life == (uint32_t)(id >> 32);
    kc_wake *wake = NULL;

    if (known && h->recs[rec].wake != NULL) {
        take_out(h, h->recs[rec].at);
        wake = give_record(h, rec);
    }
    return wake;
}

int64_t kc_heap_next_ns(const kc_heap *h) { return h->count != 0 ? h->entries[1].due_ns : KC_NEVER; }

kc_wake *kc_heap_pop(kc_heap *h, int64_t now_ns) {
    kc_wake *wake = NULL;

    if (h->count != 0 && h->entries[1].due_ns <= now_ns) {
        uint32_t rec = h->entries[1].rec;
        take_out(h, 1);
        wake = give_record(h, rec);
    }
    return wake;
}
