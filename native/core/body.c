/* body.c: a payload of up to 64 KiB is one block; a longer one is a block of block names, 64 KiB each, the last one
 * shorter. Only the first block is counted: the names in it share its references.
 *
 * Invariants: a name of 0 is a block not yet asked for. The bytes of a body are written by whoever opened it, before
 * anybody else knows it, and never after; so spans may be read without the lock while a reference is held.
 */
#include "kc_body.h"

#include <string.h>

#include "kc_account.h"

enum { STEP = KC_BLOCK_MAX_BYTES };

static uint32_t pieces(uint32_t len_bytes) { return (len_bytes + STEP - 1) / STEP; }

static uint32_t piece_bytes(const kc_body *body, uint32_t piece) {
    uint32_t left = body->len_bytes - piece * STEP;

    return left < STEP ? left : STEP;
}

static uint32_t *names(const kc_engine *e, const kc_body *body) { return kc_block_at(e, body->block); }

int kc_body_begin(kc_engine *e, uint32_t account, uint32_t len_bytes, kc_body *body, kc_refusal *refusal) {
    int rc = len_bytes > KC_MAX_ELEMENT_BYTES ? KC_EMSGSIZE : KC_OK;

    *body = (kc_body){.len_bytes = len_bytes, .account = account};
    if (rc == KC_OK && len_bytes > STEP) {
        uint32_t bytes = pieces(len_bytes) * (uint32_t)sizeof(uint32_t);
        rc = kc_block_take(e, account, bytes, &body->block, refusal);
        if (rc == KC_OK)
            memset(names(e, body), 0, bytes);
    }
    return rc;
}

/* The block that holds the piece, made when it is missing and refusal says it may be. */
static int piece_block(kc_engine *e, kc_body *body, uint32_t piece, uint32_t *block_out, kc_refusal *refusal) {
    bool single = body->len_bytes <= STEP;
    uint32_t block = single ? body->block : names(e, body)[piece];
    int rc = KC_OK;

    if (block == 0) {
        rc = kc_block_take(e, body->account, piece_bytes(body, piece), &block, refusal);
        if (rc == KC_OK && single)
            body->block = block;
        else if (rc == KC_OK)
            names(e, body)[piece] = block;
    }
    *block_out = block;
    return rc;
}

int kc_body_piece(kc_engine *e, kc_body *body, uint32_t offset, void **memory, uint32_t *n, kc_refusal *refusal) {
    uint32_t block = 0;
    int rc = KC_EINVAL;

    if (offset < body->len_bytes) {
        uint32_t piece = offset / STEP;
        rc = piece_block(e, body, piece, &block, refusal);
        if (rc == KC_OK) {
            *memory = (uint8_t *)kc_block_at(e, block) + offset % STEP;
            *n = piece_bytes(body, piece) - offset % STEP;
        }
    }
    return rc;
}

static int span(const kc_engine *e, const kc_body *body, uint32_t offset, const void **memory, uint32_t *n) {
    uint32_t block = 0;
    int rc = KC_EINVAL;

    if (offset < body->len_bytes) {
        uint32_t piece = offset / STEP;
        block = body->len_bytes <= STEP ? body->block : names(e, body)[piece];
        if (block != 0) {
            *memory = (const uint8_t *)kc_block_at(e, block) + offset % STEP;
            *n = piece_bytes(body, piece) - offset % STEP;
            rc = KC_OK;
        }
    }
    return rc;
}

static KC_RARE void release_names(kc_engine *e, const kc_body *body) {
    for (uint32_t i = 0; i < pieces(body->len_bytes); i++)
        if (names(e, body)[i] != 0)
            kc_block_free(e, names(e, body)[i]);
}

static void give_back(kc_engine *e, kc_body *body, bool sent) {
    if (body->block != 0 && kc_block_drop(e, body->block)) {
        if (body->len_bytes > STEP)
            release_names(e, body);
        kc_block_free(e, body->block);
    }
    if (body->extra != 0)
        kc_extra_drop(e, body->extra, sent);
    *body = (kc_body){0};
}

void kc_body_release(kc_engine *e, kc_body *body) { give_back(e, body, true); }

void kc_body_retract(kc_engine *e, kc_body *body) { give_back(e, body, false); }

static KC_RARE int fill_many(kc_engine *e, uint32_t account, const void *data, uint32_t len_bytes, kc_body *body,
                             kc_refusal *refusal) {
    int rc = kc_body_begin(e, account, len_bytes, body, refusal);

    for (uint32_t at = 0; rc == KC_OK && at < len_bytes;) {
        void *memory = NULL;
        uint32_t n = 0;
        rc = kc_body_piece(e, body, at, &memory, &n, refusal);
        if (rc == KC_OK) {
            memcpy(memory, (const uint8_t *)data + at, n);
            at += n;
        }
    }
    if (rc != KC_OK)
        kc_body_release(e, body);
    return rc;
}

int kc_body_fill(kc_engine *e, uint32_t account, const void *data, uint32_t len_bytes, kc_body *body,
                 kc_refusal *refusal) {
    int rc = KC_OK;

    if (len_bytes - 1 >= STEP) /* none or more than one block: rare */
        return fill_many(e, account, data, len_bytes, body, refusal);
    *body = (kc_body){.len_bytes = len_bytes, .account = account};
    rc = kc_block_take(e, account, len_bytes, &body->block, refusal);
    if (rc == KC_OK)
        memcpy(kc_block_at(e, body->block), data, len_bytes);
    return rc;
}

void kc_body_read(const kc_engine *e, const kc_body *body, uint32_t offset, void *buffer, uint32_t len_bytes) {
    if (body->len_bytes <= STEP && len_bytes != 0) {
        memcpy(buffer, (const uint8_t *)kc_block_at(e, body->block) + offset, len_bytes);
        return;
    }
    for (uint32_t done = 0; done < len_bytes;) {
        const void *memory = NULL;
        uint32_t n = 0;
        if (span(e, body, offset + done, &memory, &n) != KC_OK)
            break;
        n = n < len_bytes - done ? n : len_bytes - done;
        memcpy((uint8_t *)buffer + done, memory, n);
        done += n;
    }
}

int kc_body_make(kc_engine *e, uint32_t account, const void *data, uint32_t len_bytes, kc_body *body_out,
                 kc_refusal *refusal) {
    int rc = kc_body_open(e, account, len_bytes, body_out, refusal);

    /* Block by block, so that the lock is never held over a copy: nobody else knows this body yet. */
    for (uint32_t at = 0; rc == KC_OK && at < len_bytes;) {
        void *memory = NULL;
        uint32_t n = 0;
        rc = kc_body_room(e, body_out, at, &memory, &n, refusal);
        if (rc == KC_OK) {
            memcpy(memory, (const uint8_t *)data + at, n);
            at += n;
        }
    }
    if (rc != KC_OK)
        kc_body_drop(e, body_out);
    return rc;
}

int kc_body_open(kc_engine *e, uint32_t account, uint32_t len_bytes, kc_body *body_out, kc_refusal *refusal) {
    int rc = KC_OK;

    kc_lock_take(&e->lock);
    rc = kc_body_begin(e, account, len_bytes, body_out, refusal);
    kc_lock_give(&e->lock);
    return rc;
}

int kc_body_room(kc_engine *e, kc_body *body, uint32_t offset, void **memory_out, uint32_t *room_out,
                 kc_refusal *refusal) {
    int rc = KC_OK;

    kc_lock_take(&e->lock);
    rc = kc_body_piece(e, body, offset, memory_out, room_out, refusal);
    kc_lock_give(&e->lock);
    return rc;
}

int kc_body_span(kc_engine *e, const kc_body *body, uint32_t offset, const void **memory_out, uint32_t *len_out) {
    return span(e, body, offset, memory_out, len_out);
}

int kc_body_copy(kc_engine *e, const kc_body *body, uint32_t offset, void *buffer, uint32_t len_bytes) {
    int rc = KC_EINVAL;

    if (offset <= body->len_bytes && len_bytes <= body->len_bytes - offset) {
        kc_body_read(e, body, offset, buffer, len_bytes);
        rc = KC_OK;
    }
    return rc;
}

void kc_body_keep(kc_engine *e, const kc_body *body) {
    if ((body->block | body->extra) != 0) {
        kc_lock_take(&e->lock);
        if (body->block != 0)
            kc_block_keep(e, body->block);
        if (body->extra != 0)
            kc_block_keep(e, body->extra);
        kc_lock_give(&e->lock);
    }
}

void kc_body_drop(kc_engine *e, kc_body *body) {
    kc_lock_take(&e->lock);
    kc_body_release(e, body);
    kc_lock_give(&e->lock);
}

void kc_body_forget(kc_engine *e, kc_body *body) {
    kc_lock_take(&e->lock);
    kc_body_retract(e, body);
    kc_lock_give(&e->lock);
}
