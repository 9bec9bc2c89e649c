/* kc_frame.h: reading and writing frames. Bytes in, bytes out: no sockets, no channels, no memory of its own.
 *
 * What a frame is, kcoro_ipc/tlv.py says; this reader and that definition give the same verdict on every input, and a
 * test and a fuzz target hold them to it. Three faces of one reader:
 *
 *     kc_frame_head, kc_attr_head   the next header, from a prefix of a frame that may still be arriving
 *     kc_attr_next                  the attributes of a whole payload that this side understands
 *     kc_request_parse              the same, gathered into one flat struct (the hot path)
 *
 * Minor is the ABI's minor version spoken on the connection, 0 or 1. Pointers in results point into the caller's bytes.
 * No function reads past the n bytes it was given. Results: KC_OK, a positive outcome named with the function, or
 * KC_EPROTO / KC_EMSGSIZE, after which the connection ends.
 */
#ifndef KC_FRAME_H
#define KC_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kcoro/kc_wire.h"

/* --- headers ------------------------------------------------------------------------------------------------- */

enum { KC_ATTR_HEAD_BYTES = 4, KC_ATTR_HEAD_BYTES_MAX = 8 };

typedef struct kc_frame_header {
    uint16_t cmd;
    uint8_t files;   /* open files that travel with the frame; 0 in 1.0 */
    uint32_t length; /* bytes of payload after the header */
} kc_frame_header;

/* The header in bytes[0..n). Positive: so many bytes more are needed. KC_EMSGSIZE: length is over max_bytes, but cmd
 * is filled, for the answer. KC_EPROTO: reserved flags are set (1.1), cmd is filled. */
int kc_frame_head(const uint8_t *bytes, size_t n, unsigned minor, uint32_t max_bytes, kc_frame_header *header_out);

typedef struct kc_attr {
    const uint8_t *value; /* may point past what has arrived (kc_attr_head); NULL when detached (kc_attr_next) */
    uint32_t length;      /* bytes of value */
    uint16_t type;        /* kc_attr_head: as written, critical bit included; kc_attr_next: the plain number */
    uint8_t head_bytes;   /* 4, or 8 for an extended length */
} kc_attr;

/* The type and length at bytes[0..n), whether or not the value has arrived and whatever the type is.
 * Positive: at least so many bytes more are needed. The caller compares length with what is left of the frame. */
int kc_attr_head(const uint8_t *bytes, size_t n, unsigned minor, kc_attr *attr_out);

/* Bytes that an attribute with a value of this length takes, its head included. */
static inline uint64_t kc_attr_bytes(unsigned minor, uint32_t length)
{
    bool extended = minor != 0 && length >= KC_FRAME_EXTENDED_LENGTH;
    return (uint64_t)length + (extended ? KC_ATTR_HEAD_BYTES_MAX : KC_ATTR_HEAD_BYTES);
}

/* --- attributes ---------------------------------------------------------------------------------------------- */

enum { KC_FRAME_DONE = 1 };

/* One walk over a payload or over the value of a nested attribute. */
typedef struct kc_attr_cursor {
    const uint8_t *at;
    const uint8_t *end;
    uint64_t seen[2];      /* a bit per attribute number met so far */
    uint32_t detach_bytes; /* top-level ELEMENTs of at least this length have no bytes here; 0: all have */
    uint8_t minor;
    bool nested;
} kc_attr_cursor;

/* Detached elements: bytes of a large ELEMENT may have been received elsewhere (into blocks). What is left of the
 * payload is then walked with detach_bytes, the limit from which elements were taken out. */
void kc_attr_cursor_init(kc_attr_cursor *cursor, const uint8_t *payload, size_t n, unsigned minor,
                         uint32_t detach_bytes);

/* A cursor over the value of a nested attribute. */
void kc_attr_cursor_nested(kc_attr_cursor *cursor, const kc_attr *attr, unsigned minor);

/* The next attribute this side understands. Unknown ones are passed over; so are, in 1.0, scalars of another length
 * and repetitions. KC_FRAME_DONE: none is left. The content of a nested attribute is not looked at. */
int kc_attr_next(kc_attr_cursor *cursor, kc_attr *attr_out);

uint32_t kc_attr_u32(const kc_attr *attr);
int32_t kc_attr_i32(const kc_attr *attr);
uint64_t kc_attr_u64(const kc_attr *attr);

/* The value of a DESC: a range of a region, and what the frame adds to it. */
typedef struct kc_desc_value {
    uint64_t region;
    uint64_t offset; /* bytes */
    uint64_t length; /* bytes */
    uint64_t fourth; /* a lease or flags, by command; 0 in the short form */
} kc_desc_value;

/* False for a length that is none: such a frame is well formed all the same, whoever serves it answers. */
bool kc_desc_read(const kc_attr *attr, kc_desc_value *value_out);

/* --- requests ------------------------------------------------------------------------------------------------ */

enum kc_request_field {
    KC_HAS_REQ_ID = 1 << 0,
    KC_HAS_CHAN_ID = 1 << 1,
    KC_HAS_TIMEOUT_MS = 1 << 2,
    KC_HAS_FLAGS = 1 << 3,
    KC_HAS_MAX_ITEMS = 1 << 4,
    KC_HAS_MAX_BYTES = 1 << 5,
    KC_HAS_ELEMENT = 1 << 6, /* this one and the rest in a kc_request_clause; a kc_request counts its elements */
    KC_HAS_DESC = 1 << 7,
    KC_HAS_FILES = 1 << 8,
    KC_HAS_TTL_MS = 1 << 9
};

/* Where the repetitions of one attribute lie. */
typedef struct kc_repeat {
    uint32_t count;
    uint32_t offset; /* of the first one's head, from the start of the payload */
} kc_repeat;

/* A frame, flat. Fields whose bit is not in `present` are 0. In 1.0 a second ELEMENT is there, and means nothing. */
typedef struct kc_request {
    const uint8_t *payload;
    const uint8_t *element; /* the first ELEMENT; NULL when none or detached */
    uint64_t max_bytes;
    uint32_t length;
    uint32_t element_bytes;
    uint32_t detach_bytes;
    uint32_t present;
    uint32_t req_id;
    uint32_t chan_id;
    int32_t timeout_ms;
    uint32_t flags;
    uint32_t max_items;
    uint32_t ttl_ms;
    uint16_t cmd;
    uint8_t minor;
    kc_repeat elements;
    kc_repeat clauses;
    kc_repeat deliveries;
    kc_repeat descs;
    kc_repeat leases;
} kc_request;

/* Judges the whole payload, nested attributes included, and fills out what a hot command may need. */
int kc_request_parse(const uint8_t *payload, uint32_t length, unsigned minor, uint16_t cmd, kc_request *request_out);

/* The same for a payload without the bytes of its large elements. */
int kc_request_parse_detached(const uint8_t *payload, uint32_t length, unsigned minor, uint16_t cmd,
                              uint32_t detach_bytes, kc_request *request_out);

/* A second walk over one repeated attribute of a parsed request: no errors are left to find. */
typedef struct kc_attr_walk {
    kc_attr_cursor cursor;
    uint32_t left;
    uint16_t type;
} kc_attr_walk;

/* Type is KC_ATTR_ELEMENT, KC_ATTR_CLAUSE, KC_ATTR_DELIVERY_ID, KC_ATTR_DESC or KC_ATTR_LEASE_ID. */
kc_attr_walk kc_request_walk(const kc_request *request, uint16_t type);
bool kc_attr_walk_next(kc_attr_walk *walk, kc_attr *attr_out);

/* One arm of a select; with KC_HAS_ELEMENT or KC_HAS_DESC a send, else a receive. */
typedef struct kc_request_clause {
    const uint8_t *element;
    uint32_t element_bytes;
    uint32_t present;
    uint32_t chan_id;
    uint32_t flags;
    uint32_t files; /* how many of the frame's files are this clause's */
    kc_attr desc;   /* for kc_desc_read */
} kc_request_clause;

int kc_clause_parse(const kc_attr *attr, unsigned minor, kc_request_clause *clause_out);

/* --- writing ------------------------------------------------------------------------------------------------- */

/* Appends frames to memory of the caller. The first thing that does not fit is remembered and the rest of that frame
 * ignored; kc_frame_finish then takes the frame back, so that bytes[0..length) holds whole frames only. */
typedef struct kc_writer {
    uint8_t *bytes;
    size_t length;
    size_t capacity;
    size_t frame_at;    /* where the open frame begins */
    size_t nested_at;   /* where the value of the open nested attribute begins; 0: none is open */
    uint64_t detached;  /* bytes of the open frame that the caller puts in between */
    uint64_t nested_detached;
    uint32_t max_bytes; /* of one payload */
    int result;
    uint8_t minor;
    bool nested_extended;
} kc_writer;

void kc_writer_init(kc_writer *writer, uint8_t *bytes, size_t capacity, unsigned minor, uint32_t max_bytes);

void kc_frame_begin(kc_writer *writer, uint16_t cmd, uint8_t files);
void kc_put_u32(kc_writer *writer, uint16_t type, uint32_t value);
void kc_put_i32(kc_writer *writer, uint16_t type, int32_t value);
void kc_put_u64(kc_writer *writer, uint16_t type, uint64_t value);
void kc_put_bytes(kc_writer *writer, uint16_t type, const void *value, uint32_t length);

/* A DESC with its fourth word, KC_MAX_DESC_BYTES of value. */
void kc_put_desc(kc_writer *writer, uint64_t region, uint64_t offset, uint64_t length, uint64_t fourth);

/* Only the head: the caller sends `length` bytes from elsewhere after bytes[0..writer->length). */
void kc_put_head(kc_writer *writer, uint16_t type, uint32_t length);

/* `expected_bytes` of content decide the form of the length: with the exact number (kc_attr_bytes adds it up) the frame
 * is canonical. Content that outgrows a short form fails with KC_EMSGSIZE. */
void kc_nested_begin(kc_writer *writer, uint16_t type, uint32_t expected_bytes);
void kc_nested_end(kc_writer *writer);

/* KC_OK: the frame stands. KC_ENOSPC: it did not fit in the memory; KC_EMSGSIZE: a length cannot be written in this
 * minor version or the payload is over max_bytes; KC_EINVAL: nesting was wrong. On failure it was taken back. */
int kc_frame_finish(kc_writer *writer);

#endif
