/* deadline.c: the waiters that have a deadline, and the messages that may not wait for ever, in one binary heap
 * (Williams 1964), so that the next one is known at once and any of them leaves in O(log n). Each record knows its
 * place.
 *
 * Invariants: a token stands here while it is undecided and something bounds its wait; a message exactly while it is
 * READY and expires. */
#include "kc_token.h"

static int64_t due(const kc_engine *e, uint32_t at) { return e->deadlines[at].due_ns; }

static void place(kc_engine *e, uint32_t at, kc_due what) {
    e->deadlines[at] = what;
    if ((what.entry & KC_DUE_MESSAGE) != 0)
        kc_msg_at(e, what.entry & ~KC_DUE_MESSAGE)->heap_at = at;
    else
        kc_tok_at(e, what.entry)->heap_at = at;
}

static void swap(kc_engine *e, uint32_t a, uint32_t b) {
    kc_due what = e->deadlines[a];

    place(e, a, e->deadlines[b]);
    place(e, b, what);
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

static void enter(kc_engine *e, uint32_t entry, int64_t due_ns) {
    place(e, ++e->deadline_count, (kc_due){.due_ns = due_ns, .entry = entry});
    (void)sift_up(e, e->deadline_count);
}

static void leave(kc_engine *e, uint32_t at) {
    uint32_t last = e->deadline_count--;

    if (at != last) {
        place(e, at, e->deadlines[last]);
        sift_down(e, sift_up(e, at));
    }
}

void kc_deadline_add(kc_engine *e, uint32_t tok, int64_t due_ns) {
    if (due_ns != KC_NEVER)
        enter(e, tok, due_ns);
}

void kc_deadline_remove(kc_engine *e, uint32_t tok) {
    uint32_t at = kc_tok_at(e, tok)->heap_at;

    kc_tok_at(e, tok)->heap_at = 0;
    if (at != 0)
        leave(e, at);
}

KC_APART void kc_deadline_add_message(kc_engine *e, uint32_t msg) {
    enter(e, msg | KC_DUE_MESSAGE, kc_msg_at(e, msg)->expires_ns);
}

KC_APART void kc_deadline_remove_message(kc_engine *e, uint32_t msg) {
    uint32_t at = kc_msg_at(e, msg)->heap_at;

    leave(e, at);
    kc_msg_at(e, msg)->heap_at = 0;
}

kc_deadline kc_deadline_first(const kc_engine *e) {
    uint32_t entry = e->deadline_count != 0 ? e->deadlines[1].entry : 0;
    bool message = (entry & KC_DUE_MESSAGE) != 0;

    return (kc_deadline){.tok = message ? 0 : entry, .msg = message ? entry & ~KC_DUE_MESSAGE : 0};
}

int64_t kc_deadline_next_ns(const kc_engine *e) { return e->deadline_count != 0 ? due(e, 1) : KC_NEVER; }
