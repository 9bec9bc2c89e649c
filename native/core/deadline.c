/* deadline.c: the waiters that have a deadline, in a binary heap of token indices (Williams 1964), so that the next one
 * is known at once and any of them leaves in O(log n). */
#include "kc_token.h"

static int64_t due(kc_engine *e, uint32_t at) {
    return kc_tok_at(e, e->deadlines[at])->deadline_ns;
}

static void place(kc_engine *e, uint32_t at, uint32_t tok) {
    e->deadlines[at] = tok;
    kc_tok_at(e, tok)->heap_at = at;
}

static void swap(kc_engine *e, uint32_t a, uint32_t b) {
    uint32_t tok = e->deadlines[a];

    place(e, a, e->deadlines[b]);
    place(e, b, tok);
}

static uint32_t sift_up(kc_engine *e, uint32_t at) {
    while (at > 1 && due(e, at) < due(e, at / 2)) {
        swap(e, at, at / 2);
        at /= 2;
    }
    return at;
}

static void sift_down(kc_engine *e, uint32_t at) {
    for (;;) {
        uint32_t child = at * 2;
        if (child > e->deadline_count)
            break;
        if (child < e->deadline_count && due(e, child + 1) < due(e, child))
            child++;
        if (due(e, at) <= due(e, child))
            break;
        swap(e, at, child);
        at = child;
    }
}

void kc_deadline_add(kc_engine *e, uint32_t tok) {
    if (kc_tok_at(e, tok)->deadline_ns == KC_NEVER)
        return;
    place(e, ++e->deadline_count, tok);
    (void)sift_up(e, e->deadline_count);
}

void kc_deadline_remove(kc_engine *e, uint32_t tok) {
    uint32_t at = kc_tok_at(e, tok)->heap_at;
    uint32_t last = e->deadline_count;

    if (at == 0)
        return;
    kc_tok_at(e, tok)->heap_at = 0;
    e->deadline_count--;
    if (at != last) {
        place(e, at, e->deadlines[last]);
        sift_down(e, sift_up(e, at));
    }
}

uint32_t kc_deadline_first(const kc_engine *e) { return e->deadline_count != 0 ? e->deadlines[1] : 0; }
