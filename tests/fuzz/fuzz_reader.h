/* fuzz_reader.h: a peer that reads what it is told as clients do: files come with the first byte of the frame whose
 * header counts them, and a message comes with the very files that it was sent with.
 */
#ifndef FUZZ_READER_H
#define FUZZ_READER_H

#include "fuzz_files.h"
#include "ipc/kc_bytes.h"

static void read_element(const reader *r, const kc_attr *attr)
{
    uint32_t said = attr->length < 4 ? 0 : kc_load_u32(attr->value);
    if (attr->length >= 4) {
        MUST(said >> SERIAL_BITS == r->file_count);
    }
    for (uint32_t i = 0; said != 0 && i < r->file_count; i++) {
        MUST(r->serials[i] == (said & SERIAL_MASK) + i);
    }
}

static void read_attrs(const reader *r, kc_attr_cursor *cursor, unsigned minor)
{
    kc_attr attr;
    kc_attr_cursor inner;
    while (kc_attr_next(cursor, &attr) == KC_OK) {
        if (attr.type == KC_ATTR_ELEMENT) {
            read_element(r, &attr);
        } else if (attr.type == KC_ATTR_ITEM) {
            kc_attr_cursor_nested(&inner, &attr, minor);
            read_attrs(r, &inner, minor);
        }
    }
}

/* One whole frame. */
static void read_frame(const world *w, int conn, const reader *r)
{
    kc_frame_header header;
    kc_attr_cursor cursor;
    unsigned minor = conn != 0;
    MUST(kc_frame_head(r->bytes, KC_FRAME_HEADER_BYTES, minor, UINT32_MAX, &header) == KC_OK);
    MUST(header.files == r->file_count);
    if (w->honest && r->have <= HEARD_BYTES && header.cmd != KC_CMD_REGION_MAP) {
        kc_attr_cursor_init(&cursor, r->bytes + KC_FRAME_HEADER_BYTES, header.length, minor, 0);
        read_attrs(r, &cursor, minor);
    }
}

/* Bytes that the frame at hand still needs: of its header first. */
static uint64_t reader_missing(const reader *r)
{
    uint64_t whole = KC_FRAME_HEADER_BYTES;
    if (r->have >= whole) {
        whole += kc_load_u32(r->bytes + 4);
    }
    return whole - r->have;
}

static void read_bytes(const world *w, int conn, const uint8_t *bytes, size_t n)
{
    reader *r = &w->readers[conn];
    while (n != 0) {
        uint64_t missing = reader_missing(r);
        size_t step = n < missing ? n : (size_t)missing;
        if (r->have < HEARD_BYTES) {
            size_t room = HEARD_BYTES - (size_t)r->have;
            memcpy(r->bytes + r->have, bytes, step < room ? step : room);
        }
        r->have += step;
        bytes += step;
        n -= step;
        if (r->have >= KC_FRAME_HEADER_BYTES && reader_missing(r) == 0) {
            read_frame(w, conn, r);
            r->have = r->file_count = 0;
        }
    }
}

/* Files that came with the bytes to be read next. */
static void read_files(world *w, int conn)
{
    reader *r = &w->readers[conn];
    int32_t files[KC_MAX_MESSAGE_FILES];
    uint32_t n = kc_conn_fetched_files(w->pump, w->conns[conn], files);
    if (n != 0) {
        MUST(r->have == 0 && r->file_count == 0);
        r->file_count = n;
    }
    for (uint32_t i = 0; i < n; i++) { /* lent until the next fetch, which may come before the frame is whole */
        r->serials[i] = serial_of(files[i]);
        w->seen.hash[conn] = (w->seen.hash[conn] ^ r->serials[i]) * UINT64_C(1099511628211);
    }
}

/* Bytes that were fetched just now. With the last ones a connection may end, and takes with it what came with them. */
static void hear(world *w, int conn, const uint8_t *bytes, size_t n)
{
    if (kc_conns_find(&w->pump->conns, w->conns[conn]) != NULL) {
        read_files(w, conn);
        read_bytes(w, conn, bytes, n);
    }
}

#endif
