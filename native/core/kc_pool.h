/* kc_pool.h: records handed out and taken back by index. */
#ifndef KC_POOL_H
#define KC_POOL_H

#include "kc_record.h"

/* True when a test asked for this very allocation to fail; counts it either way. */
static inline bool kc_alloc_fails(kc_engine *e) {
    e->allocs++;
    return e->fail_at != 0 && --e->fail_at == 0;
}

/* An index, or 0 when the table is full or a test said so. The record is as its last life left it. */
uint32_t kc_pool_take(kc_engine *engine, kc_pool *pool);
void kc_pool_give(kc_pool *pool, uint32_t index);

/* Intrusive lists of records that begin with KC_RECORD_HEAD. */
void kc_list_push(const kc_pool *pool, kc_list *list, uint32_t index);
/* after 0: at the head */
void kc_list_insert_after(const kc_pool *pool, kc_list *list, uint32_t after, uint32_t index);
void kc_list_unlink(const kc_pool *pool, kc_list *list, uint32_t index);

#endif
