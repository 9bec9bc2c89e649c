/* base.c: lists, memory, the lock and the clock of a connection (kc_client.h). */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/kc_client.h"

void kc_link_init(kc_link *head)
{
    head->next = head;
    head->before = head;
}

bool kc_link_empty(const kc_link *head)
{
    return head->next == head;
}

void kc_link_append(kc_link *head, kc_link *link)
{
    link->next = head;
    link->before = head->before;
    head->before->next = link;
    head->before = link;
}

void kc_link_remove(kc_link *link)
{
    link->before->next = link->next;
    link->next->before = link->before;
    kc_link_init(link);
}

void *kc_client_take(kc_ipc *ipc, size_t bytes)
{
    void *memory = ipc->memory.take(ipc->memory.self, bytes);
    if (memory != NULL) {
        memset(memory, 0, bytes);
    }
    return memory;
}

void kc_client_give(kc_ipc *ipc, void *memory)
{
    if (memory != NULL) {
        ipc->memory.give(ipc->memory.self, memory);
    }
}

void kc_client_keep(kc_ipc *ipc)
{
    atomic_fetch_add_explicit(&ipc->refs, 1, memory_order_relaxed);
}

void kc_client_drop(kc_ipc *ipc)
{
    if (atomic_fetch_sub_explicit(&ipc->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    kc_client_give(ipc, ipc->table);
    kc_client_give(ipc, ipc->mappings);
    kc_client_give(ipc, ipc->in);
    kc_client_give(ipc, ipc->owed);
    if (ipc->pid == getpid()) { /* in a child the parent's threads may hold it */
        pthread_mutex_destroy(&ipc->lock);
        pthread_mutex_destroy(&ipc->gate);
    }
    kc_client_give(ipc, ipc);
}

bool kc_client_enter(kc_ipc *ipc)
{
    if (ipc->pid != getpid()) {
        return false;
    }
    kc_client_lock(ipc);
    return true;
}

static void kc_client_lock_in_turn(kc_ipc *ipc)
{
    pthread_mutex_lock(&ipc->gate);
    pthread_mutex_lock(&ipc->lock);
    pthread_mutex_unlock(&ipc->gate);
}

void kc_client_lock(kc_ipc *ipc)
{
    if (pthread_mutex_trylock(&ipc->lock) != 0) {
        kc_client_lock_in_turn(ipc);
    }
}

/* Unlocking alone would not do: whoever was asleep has not woken when the lock is taken again. */
void kc_client_let(kc_ipc *ipc)
{
    pthread_mutex_unlock(&ipc->lock);
#if KC_MUTANT == 76 /* who reads on takes the lock again before those whom its release has woken */
    pthread_mutex_lock(&ipc->lock);
#else
    kc_client_lock_in_turn(ipc);
#endif
}

void kc_client_leave(kc_ipc *ipc)
{
    pthread_mutex_unlock(&ipc->lock);
}

int kc_client_excess(kc_ipc *ipc, const char *what, uint64_t bytes, const char *bound, uint64_t max_bytes)
{
    snprintf(ipc->why, sizeof ipc->why, "the daemon sent %s of %" PRIu64 " bytes; %s is %" PRIu64, what, bytes, bound,
             max_bytes);
    return KC_EPROTO;
}

int64_t kc_client_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void kc_client_close_files(int *files, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (files[i] >= 0) {
            close(files[i]);
            files[i] = -1;
        }
    }
}
