/* kc_extra.h: what a body has beside its bytes: a descriptor of memory, or open files.
 *
 * An extra is a block with one of the records below; its references are the block's. Nobody above asks which it is but
 * to count it. With the last reference a descriptor goes to the list of freed ones, files to those to be closed; their
 * blocks live until a taker has fetched them.
 */
#ifndef KC_EXTRA_H
#define KC_EXTRA_H

#include "kc_block.h"

enum kc_extra_kind { KC_EXTRA_DESC = 1, KC_EXTRA_FILES = 2 };

#define KC_EXTRA_HEAD                                       \
    uint32_t kind;                                          \
    uint32_t next, prev; /* the region's, or a taker's list */ \
    uint32_t msg         /* the message whose body has it, 0 when none */

typedef struct kc_extra {
    KC_EXTRA_HEAD;
} kc_extra;

typedef struct kc_desc_extra {
    KC_EXTRA_HEAD;
    kc_desc desc;
    uint32_t region;   /* index, 0 when it is of no region */
    uint32_t received; /* 1: a delivery of it was done */
} kc_desc_extra;

typedef struct kc_files_extra {
    KC_EXTRA_HEAD;
    uint32_t account, count;
    int64_t since_ns;
    uint64_t user;
    int32_t files[KC_MAX_MESSAGE_FILES];
} kc_files_extra;

static inline uint32_t kc_extra_count(const kc_extra_list *list) {
    return atomic_load_explicit(&list->count, memory_order_relaxed);
}
static inline kc_extra *kc_extra_at(const kc_engine *e, uint32_t extra) { return kc_block_at(e, extra); }
/* NULL when it is none, or of the other kind. */
static inline kc_desc_extra *kc_extra_desc(const kc_engine *e, uint32_t extra) {
    kc_extra *x = extra != 0 ? kc_extra_at(e, extra) : NULL;

    return x != NULL && x->kind == KC_EXTRA_DESC ? (kc_desc_extra *)(void *)x : NULL;
}
static inline kc_files_extra *kc_extra_files(const kc_engine *e, uint32_t extra) {
    kc_extra *x = extra != 0 ? kc_extra_at(e, extra) : NULL;

    return x != NULL && x->kind == KC_EXTRA_FILES ? (kc_files_extra *)(void *)x : NULL;
}

/* Length of the memory it names; 0 for files. */
static inline uint64_t kc_extra_bytes(const kc_engine *e, uint32_t extra) {
    const kc_desc_extra *d = kc_extra_desc(e, extra);

    return d != NULL ? d->desc.len_bytes : 0;
}

/* The region is 0 or OPEN; account pays for the block. */
int kc_extra_take_desc(kc_engine *engine, uint32_t account, const kc_desc *desc, uint32_t region, uint32_t *extra_out,
                       kc_refusal *refusal);
int kc_extra_take_files(kc_engine *engine, uint32_t account, uint64_t user, const int32_t *files, uint32_t count,
                        uint32_t *extra_out, kc_refusal *refusal);
/* Gives one reference back. Not `sent`: a descriptor never left its owner, who therefore is not told that it is
 * free. */
void kc_extra_drop(kc_engine *engine, uint32_t extra, bool sent);
/* Nobody wants these files any more: they are to be closed (file.c). */
void kc_extra_end_files(kc_engine *engine, uint32_t extra);
/* The first of a taker's list, out of it; 0 when it is empty. The taker frees the block. */
uint32_t kc_extra_pop(kc_engine *engine, kc_extra_list *list);
/* A region that is CLOSING ends when nothing of it is in flight. */
void kc_extra_end_region(kc_engine *engine, uint32_t region);

#endif
