/* deadline.c: the waiters that have a deadline, and the messages with files that may not wait for ever, in one binary heap
 * (Williams 1964), so that the next one is known at once and any of them leaves in O(log n).
 *
 * An entry is the index of a token, or of a message with the top bit set; each record knows its place. */
#include "kc_extra.h"
#include "kc_token.h"

#define KC_OF_MESSAGE UINT32_C(0x80000000)

static kc_files_extra *files_of(kc_engine *e, uint32_t msg) { return kc_extra_files(e, kc_msg_at(e, msg)->extra); }

static int64_t due(kc_engine *e, uint32_t at) {
    uint32_t entry = e->deadlines[at];

    return (entry & KC_OF_MESSAGE) != 0 ? files_of(e, entry & ~KC_OF_MESSAGE)->expires_ns
                                        : kc_tok_at(e, entry)->deadline_ns;
}

static void place(kc_engine *e, uint32_t at, uint32_t entry) {
    e->deadlines[at] = entry;
    if ((entry & KC_OF_MESSAGE) != 0)
        files_of(e, entry & ~KC_OF_MESSAGE)->heap_at = at;
    else
        kc_tok_at(e, entry)->heap_at = at;
}

static void swap(kc_engine *e, uint32_t a, uint32_t b) {
    uint32_t entry = e->deadlines[a];

    place(e, a, e->deadlines[b]);
    place(e, b, entry);
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

static void enter(kc_engine *e, uint32_t entry) {
    place(e, ++e->deadline_count, entry);
    (void)sift_up(e, e->deadline_count);
}

static void leave(kc_engine *e, uint32_t at) {
    uint32_t last = e->deadline_count--;

    if (at != last) {
        place(e, at, e->deadlines[last]);
        sift_down(e, sift_up(e, at));
    }
}

void kc_deadline_add(kc_engine *e, uint32_t tok) {
    if (kc_tok_at(e, tok)->deadline_ns != KC_NEVER)
        enter(e, tok);
}

void kc_deadline_remove(kc_engine *e, uint32_t tok) {
    uint32_t at = kc_tok_at(e, tok)->heap_at;

    kc_tok_at(e, tok)->heap_at = 0;
    if (at != 0)
        leave(e, at);
}

void kc_deadline_add_message(kc_engine *e, uint32_t msg) { enter(e, msg | KC_OF_MESSAGE); }

void kc_deadline_remove_message(kc_engine *e, uint32_t msg) {
    kc_files_extra *files = files_of(e, msg);
    uint32_t at = files != NULL ? files->heap_at : 0;

    if (at != 0) {
        leave(e, at);
        files->heap_at = 0;
    }
}

kc_deadline kc_deadline_first(const kc_engine *e) {
    uint32_t entry = e->deadline_count != 0 ? e->deadlines[1] : 0;
    bool message = (entry & KC_OF_MESSAGE) != 0;

    return (kc_deadline){.tok = message ? 0 : entry, .msg = message ? entry & ~KC_OF_MESSAGE : 0};
}

int64_t kc_deadline_ns_at(kc_engine *e, uint32_t at) { return due(e, at); }

int64_t kc_deadline_next_ns(kc_engine *e) { return e->deadline_count != 0 ? due(e, 1) : KC_NEVER; }
