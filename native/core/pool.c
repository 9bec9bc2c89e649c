/* pool.c: free lists first in, first out, so that one record's generation repeats late (kc_record.h, kc_pool). */
#include "kc_pool.h"

static uint32_t *link_of(const kc_pool *pool, uint32_t index) {
    return (uint32_t *)(void *)((uint8_t *)kc_pool_at(pool, index) + pool->link_offset);
}

uint32_t kc_pool_take(kc_engine *e, kc_pool *pool) {
    uint32_t index = 0;

    if (kc_alloc_fails(e))
        return 0;
    if (pool->free_count > pool->keep || (pool->high == pool->capacity && pool->free_count != 0)) {
        index = pool->head;
        pool->head = *link_of(pool, index);
        pool->free_count--;
    } else if (pool->high < pool->capacity) {
        index = ++pool->high;
    }
    pool->live += index != 0;
    return index;
}

void kc_pool_give(kc_pool *pool, uint32_t index) {
    *link_of(pool, index) = 0;
    if (pool->free_count == 0)
        pool->head = index;
    else
        *link_of(pool, pool->tail) = index;
    pool->tail = index;
    pool->free_count++;
    pool->live--;
}

typedef struct record_head {
    KC_RECORD_HEAD;
} record_head;

static record_head *head_at(const kc_pool *pool, uint32_t index) { return kc_pool_at(pool, index); }

void kc_list_push(const kc_pool *pool, kc_list *list, uint32_t index) {
    record_head *record = head_at(pool, index);

    record->prev = list->tail;
    record->next = 0;
    if (list->tail != 0)
        head_at(pool, list->tail)->next = index;
    else
        list->head = index;
    list->tail = index;
    list->count++;
}

void kc_list_insert_after(const kc_pool *pool, kc_list *list, uint32_t after, uint32_t index) {
    record_head *record = head_at(pool, index);
    uint32_t next = after != 0 ? head_at(pool, after)->next : list->head;

    record->prev = after;
    record->next = next;
    if (after != 0)
        head_at(pool, after)->next = index;
    else
        list->head = index;
    if (next != 0)
        head_at(pool, next)->prev = index;
    else
        list->tail = index;
    list->count++;
}

void kc_list_unlink(const kc_pool *pool, kc_list *list, uint32_t index) {
    record_head *record = head_at(pool, index);

    if (record->prev != 0)
        head_at(pool, record->prev)->next = record->next;
    else
        list->head = record->next;
    if (record->next != 0)
        head_at(pool, record->next)->prev = record->prev;
    else
        list->tail = record->prev;
    record->next = record->prev = 0;
    list->count--;
}
