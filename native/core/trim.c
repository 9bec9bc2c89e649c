/* trim.c: memory that a burst needed goes back to the system: of payload chunk by chunk, of all else what malloc(3)
 * keeps.
 *
 * A chunk that is being given back is in no list, so nobody else can find it, and the lock need not be held over the
 * system call. Its pages are zeros when it is used again, which the allocator does not mind (kc_block.h).
 */
#include <stdlib.h> /* says whether it is glibc's */
#include <sys/mman.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "kc_block.h"
#include "kc_flow.h"

static uint32_t take_empty(kc_engine *e, uint32_t keep) {
    uint32_t chunk;

    kc_enter(e);
    chunk = kc_block_empty_over(e, keep) != 0 ? kc_block_take_empty(e) : 0;
    kc_leave(e);
    return chunk;
}

static void give_back(kc_engine *e, uint32_t chunk) {
    (void)madvise(kc_block_chunk(e, chunk), KC_CHUNK_BYTES, MADV_DONTNEED);
    kc_enter(e);
    kc_block_put_cold(e, chunk);
    kc_leave(e);
}

uint32_t kc_engine_trim(kc_engine *e, uint32_t keep, uint32_t most) {
    uint32_t chunk = 0, over;

    for (; most != 0 && (chunk = take_empty(e, keep)) != 0; most--)
        give_back(e, chunk);
    kc_enter(e);
    over = kc_block_empty_over(e, keep);
    kc_leave(e);
    return over;
}

void kc_heap_trim(void) {
#ifdef __GLIBC__
    (void)malloc_trim(0);
#endif
}
