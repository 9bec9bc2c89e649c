/* kc_block.h: payload memory in six sizes, with reference counts, in chunks of 1 MiB.
 *
 * A chunk belongs to one size class while a block of it lives; its first bytes are one kc_block_head per block. A block
 * is named by its place: chunk << 14 | unit, in units of 64 bytes, so that finding its bytes is one shift; 0 is none,
 * for chunk numbers begin at 1. Each block is charged, at its full size, to an account until its last reference goes.
 */
#ifndef KC_BLOCK_H
#define KC_BLOCK_H

#include "kc_record.h"

enum { KC_BLOCK_MAX_BYTES = 65536 };

/* KC_OK, KC_EDQUOT or KC_ENOMEM with the refusal filled. One reference, the caller's. */
int kc_block_take(kc_engine *engine, uint32_t account, uint32_t bytes, uint32_t *block_out, kc_refusal *refusal);
void *kc_block_at(const kc_engine *engine, uint32_t block);
uint32_t kc_block_bytes(const kc_engine *engine, uint32_t block);
void kc_block_keep(kc_engine *engine, uint32_t block);
/* True when that was the last reference: the caller frees what the block names, then kc_block_free. */
bool kc_block_drop(kc_engine *engine, uint32_t block);
void kc_block_free(kc_engine *engine, uint32_t block);
uint32_t kc_block_refs(const kc_engine *engine, uint32_t block);

/* Empty chunks (trim.c): how many have memory beyond `keep`; one of these, now the caller's, or 0; back, as one whose
 * memory is gone and reads as zeros; where it lies. */
uint32_t kc_block_empty_over(const kc_engine *engine, uint32_t keep);
uint32_t kc_block_take_empty(kc_engine *engine);
void kc_block_put_cold(kc_engine *engine, uint32_t chunk);
void *kc_block_chunk(const kc_engine *engine, uint32_t chunk);

#endif
