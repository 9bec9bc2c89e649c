/* extra.c: the records of kc_extra.h from take to the last reference. */
#include "kc_extra.h"

#include <string.h>

#include "kc_pool.h"

static void kc_extra_list_add(kc_extra_list *list, int more) {
    uint32_t count = kc_extra_count(list) + (uint32_t)more;

    atomic_store_explicit(&list->count, count, memory_order_relaxed);
}

static void push(kc_engine *e, kc_extra_list *list, uint32_t extra) {
    kc_extra_at(e, extra)->next = 0;
    if (list->tail != 0)
        kc_extra_at(e, list->tail)->next = extra;
    else
        list->head = extra;
    list->tail = extra;
    kc_extra_list_add(list, 1);
}

uint32_t kc_extra_pop(kc_engine *e, kc_extra_list *list) {
    uint32_t extra = list->head;

    if (extra != 0) {
        list->head = kc_extra_at(e, extra)->next;
        list->tail = list->head != 0 ? list->tail : 0;
        kc_extra_list_add(list, -1);
    }
    return extra;
}

static void enter_region(kc_engine *e, uint32_t region, uint32_t extra) {
    kc_region_rec *r = kc_region_at(e, region);
    kc_extra *x = kc_extra_at(e, extra);

    x->prev = 0;
    x->next = r->descs;
    if (r->descs != 0)
        kc_extra_at(e, r->descs)->prev = extra;
    r->descs = extra;
    r->in_flight++;
}

static void leave_region(kc_engine *e, uint32_t region, uint32_t extra) {
    kc_region_rec *r = kc_region_at(e, region);
    const kc_extra *x = kc_extra_at(e, extra);

    if (x->prev != 0)
        kc_extra_at(e, x->prev)->next = x->next;
    else
        r->descs = x->next;
    if (x->next != 0)
        kc_extra_at(e, x->next)->prev = x->prev;
    r->in_flight--;
    kc_extra_end_region(e, region);
}

void kc_extra_end_region(kc_engine *e, uint32_t region) {
    kc_region_rec *r = kc_region_at(e, region);
#if KC_MUTANT == 12 /* a region ends while ranges of it are still read */
    uint32_t in_flight = 0;
#else
    uint32_t in_flight = r->in_flight;
#endif

    if (kc_state_of(&r->w) == KC_REGION_CLOSING && in_flight == 0) {
        (void)kc_word_step(&r->w, kc_region_steps, KC_REGION_ENDED, 0, 0, 0);
        kc_list_push(&e->regions, &e->ended_regions, region);
        atomic_store_explicit(&e->ended_count, e->ended_regions.count, memory_order_relaxed);
    }
}

int kc_extra_take_desc(kc_engine *e, uint32_t account, const kc_desc *desc, uint32_t region, uint32_t *extra_out,
                       kc_refusal *refusal) {
    int rc = kc_block_take(e, account, sizeof(kc_desc_extra), extra_out, refusal);

    if (rc == KC_OK) {
        *(kc_desc_extra *)kc_block_at(e, *extra_out) =
            (kc_desc_extra){.kind = KC_EXTRA_DESC, .desc = *desc, .region = region};
        if (region != 0)
            enter_region(e, region, *extra_out);
    }
    return rc;
}

int kc_extra_take_files(kc_engine *e, uint32_t account, uint64_t user, const int32_t *files, uint32_t count,
                        uint32_t *extra_out, kc_refusal *refusal) {
    int rc = kc_block_take(e, account, sizeof(kc_files_extra), extra_out, refusal);

    if (rc == KC_OK) {
        kc_files_extra *x = kc_block_at(e, *extra_out);
        *x = (kc_files_extra){.kind = KC_EXTRA_FILES,
                              .account = account,
                              .count = count,
                              .since_ns = e->now_ns,
                              .user = user};
        memcpy(x->files, files, count * sizeof *files);
    }
    return rc;
}

/* A pointer of this process has no owner to be told, unless its backend wants to know. */
static bool is_told(const kc_engine *e, const kc_desc *desc) {
    const kc_desc_ops *ops = e->backends[desc->backend - 1].ops;

    return desc->backend == KC_DESC_REGION || (ops != NULL && ops->freed != NULL);
}

static void end_desc(kc_engine *e, uint32_t extra, bool sent) {
    const kc_desc_extra *x = kc_extra_desc(e, extra);

    if (x->region != 0)
        leave_region(e, x->region, extra);
    if (sent && is_told(e, &x->desc))
        push(e, &e->freed, extra);
    else
        kc_block_free(e, extra);
}

void kc_extra_drop(kc_engine *e, uint32_t extra, bool sent) {
    if (!kc_block_drop(e, extra))
        return;
    if (kc_extra_at(e, extra)->kind == KC_EXTRA_DESC)
        end_desc(e, extra, sent);
    else
        kc_extra_end_files(e, extra);
}
