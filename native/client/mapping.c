/* mapping.c: regions of others that messages lie in (kc_client_region.h): each is mapped once, read only.
 *
 * The daemon sends a region's file before the first range in it, and says when none will come any more. A mapping lives
 * until then and until the last message in it is freed. Nobody is trusted with the seal and the size, and every page is
 * there before anybody reads: a hole that found no memory then would be a SIGBUS.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include "client/kc_client.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

/* --- the table of those that are named ---------------------------------------------------------------------------- */

enum { KC_MAPPING_PLACES = 16 };

bool kc_mappings_make(kc_ipc *ipc)
{
    ipc->mappings = kc_client_take(ipc, KC_MAPPING_PLACES * sizeof(kc_mapping *));
    ipc->mapping_places = ipc->mappings != NULL ? KC_MAPPING_PLACES : 0;
    return ipc->mappings != NULL;
}

/* Where it is linked, or would be: the end of its chain. Ids may grow by one or by many: the middle bits of the product
 * (2^64 by the golden ratio) differ either way. */
static kc_mapping **kc_mapping_find(const kc_ipc *ipc, uint64_t region)
{
    uint64_t spread = region * UINT64_C(0x9E3779B97F4A7C15) >> 32;
    kc_mapping **at = &ipc->mappings[spread & (ipc->mapping_places - 1)];
    while (*at != NULL && (*at)->region != region) {
        at = &(*at)->next;
    }
    return at;
}

static void kc_mapping_link(kc_ipc *ipc, kc_mapping *mapping)
{
    mapping->next = NULL;
    *kc_mapping_find(ipc, mapping->region) = mapping;
}

/* A place for each, as far as there is memory: without it chains grow longer, and the next region tries again. */
static void kc_mappings_grow(kc_ipc *ipc)
{
    kc_mapping **old = ipc->mappings;
    uint32_t places = ipc->mapping_places;
    bool full = ipc->mapping_count >= places && places < KC_CLIENT_PLACES_MAX;
    kc_mapping **table = full ? kc_client_take(ipc, 2 * places * sizeof *table) : NULL;
    if (table == NULL) {
        return;
    }
    ipc->mappings = table;
    ipc->mapping_places = 2 * places;
    for (uint32_t i = 0; i < places; i++) {
        for (kc_mapping *mapping = old[i], *next; mapping != NULL; mapping = next) {
            next = mapping->next;
            kc_mapping_link(ipc, mapping);
        }
    }
    kc_client_give(ipc, old);
}

/* --- mapping ------------------------------------------------------------------------------------------------------ */

static bool kc_mapping_is_safe(int file, uint64_t bytes)
{
    struct stat status;
    struct statfs system;
    int seals = fcntl(file, F_GET_SEALS);
    return bytes != 0 && bytes <= SIZE_MAX / 2 && seals >= 0 && (seals & F_SEAL_SHRINK) != 0 &&
           fstat(file, &status) == 0 && status.st_size > 0 && (uint64_t)status.st_size >= bytes &&
           fstatfs(file, &system) == 0 && system.f_type == TMPFS_MAGIC; /* huge pages may be mapped and not there */
}

static void *kc_mapping_map(int file, size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ, MAP_SHARED, file, 0);
    if (memory == MAP_FAILED) {
        return NULL;
    }
    if (madvise(memory, bytes, MADV_POPULATE_READ) != 0 && errno != EINVAL) { /* EINVAL: a kernel before 5.14 */
        munmap(memory, bytes);
        return NULL;
    }
    return memory;
}

static uint64_t kc_mapping_pages(uint64_t bytes)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    return (bytes + page - 1) / page * page;
}

/* However many regions the daemon names, and however small they are: the kernel bounds the mappings of a program. */
static int kc_mapping_room(kc_ipc *ipc, uint64_t bytes)
{
    if (ipc->mapped_count >= ipc->max_mappings) {
        snprintf(ipc->why, sizeof ipc->why, "the daemon sent more regions than may be mapped; max_mappings is %" PRIu64,
                 ipc->max_mappings);
        return KC_EPROTO;
    }
    uint64_t all = ipc->mapped_bytes + kc_mapping_pages(bytes);
    return all <= ipc->max_mapped_bytes
               ? KC_OK : kc_client_excess(ipc, "regions", all, "max_mapped_bytes", ipc->max_mapped_bytes);
}

int kc_mapping_add(kc_ipc *ipc, kc_client_frame *frame, const kc_reply *reply)
{
    if (frame->file_count != 1 || reply->region == 0 || *kc_mapping_find(ipc, reply->region) != NULL ||
        !kc_mapping_is_safe(frame->files[0], reply->size)) {
        return KC_EPROTO;
    }
    int code = kc_mapping_room(ipc, reply->size);
    if (code != KC_OK) {
        return code;
    }
    kc_mapping *mapping = kc_client_take(ipc, sizeof *mapping);
    if (mapping == NULL) {
        return KC_ENOMEM;
    }
    mapping->bytes = (size_t)reply->size;
    mapping->memory = kc_mapping_map(frame->files[0], mapping->bytes);
    if (mapping->memory == NULL) {
        kc_client_give(ipc, mapping);
        return KC_ENOMEM;
    }
    mapping->region = reply->region;
    atomic_init(&mapping->refs, 1);
    kc_mappings_grow(ipc);
    kc_mapping_link(ipc, mapping);
    ipc->mapping_count++;
    ipc->mapped_count++;
    ipc->mapped_bytes += kc_mapping_pages(mapping->bytes);
    return KC_OK;
}

void kc_mapping_drop(kc_ipc *ipc, kc_mapping *mapping)
{
    if (atomic_fetch_sub_explicit(&mapping->refs, 1, memory_order_acq_rel) == 1) {
#if KC_MUTANT != 53 /* a region that is gone counts for ever */
        ipc->mapped_bytes -= kc_mapping_pages(mapping->bytes);
#endif
        ipc->mapped_count--;
        munmap(mapping->memory, mapping->bytes);
        kc_client_give(ipc, mapping);
    }
}

void kc_mapping_gone(kc_ipc *ipc, uint64_t region)
{
    kc_mapping **at = kc_mapping_find(ipc, region);
    kc_mapping *mapping = *at;
    if (mapping != NULL) {
        *at = mapping->next;
        ipc->mapping_count--;
        kc_mapping_drop(ipc, mapping);
    }
}

void kc_mappings_forget(kc_ipc *ipc)
{
    for (uint32_t i = 0; i < ipc->mapping_places; i++) {
        while (ipc->mappings[i] != NULL) {
            kc_mapping_gone(ipc, ipc->mappings[i]->region);
        }
    }
}

/* --- messages in them --------------------------------------------------------------------------------------------- */

/* Room for every lease that is open or owed: giving one back must not need memory. */
static bool kc_mapping_reserve(kc_ipc *ipc)
{
    uint32_t needed = ipc->leases + ipc->owed_count + 1;
    if (needed <= ipc->owed_room) {
        return true;
    }
    uint32_t room = ipc->owed_room == 0 ? 64 : ipc->owed_room * 2;
    uint64_t *owed = kc_client_take(ipc, room * sizeof *owed);
    if (owed == NULL) {
        return false;
    }
    if (ipc->owed_count != 0) {
        memcpy(owed, ipc->owed, ipc->owed_count * sizeof *owed);
    }
    kc_client_give(ipc, ipc->owed);
    ipc->owed = owed;
    ipc->owed_room = room;
    return true;
}

int kc_mapping_lend(kc_ipc *ipc, const kc_desc_value *range, kc_ipc_message *message_out)
{
    kc_mapping *mapping = *kc_mapping_find(ipc, range->region);
    if (mapping == NULL || range->fourth == 0 || range->length == 0 || range->offset > mapping->bytes ||
        range->length > mapping->bytes - range->offset) {
        return KC_EPROTO;
    }
    if (!kc_mapping_reserve(ipc)) {
        return KC_ENOMEM;
    }
    atomic_fetch_add_explicit(&mapping->refs, 1, memory_order_relaxed);
    ipc->leases++;
    message_out->bytes = (const uint8_t *)mapping->memory + range->offset;
    message_out->length = (size_t)range->length;
    message_out->mapping = mapping;
    message_out->lease = range->fourth;
    return KC_OK;
}
