/* kc_conn_large.h: hearing something long: a frame over 64 KiB while its bytes come. No smaller one has such a record:
 * it is served from the input, once it is whole.
 *
 * Invariants: memory grows with what came, never with what was announced, and is charged to the peer's account; a frame
 * that is refused is read to its end all the same, so that it can be answered and the next one found.
 */
#ifndef KC_CONN_LARGE_H
#define KC_CONN_LARGE_H

#include "ipc/kc_conn_requests.h"

struct iovec;

typedef struct kc_connection kc_connection;
typedef struct kc_conns kc_conns;

enum { KC_LARGE_BYTES = 65536, KC_LARGE_WHOLE = 1 };

typedef struct kc_large {
    uint16_t cmd;
    uint8_t files;
    uint8_t phase;
    bool detaches;    /* a SEND: its large elements go to bodies */
    uint32_t left;    /* payload bytes still to come */
    uint32_t value_left;
    uint32_t head_at; /* in flat: where the head of the attribute at hand begins */
    uint32_t body_at; /* bytes of the last body that have come */
    uint32_t body_bytes; /* in all bodies: what the input budget counts, with flat */
    uint32_t tolled_bytes; /* of flat, paid by the toll */
    uint32_t attrs;   /* begun so far */
    uint32_t names;   /* REQ_IDs since it was refused */
    kc_buffer flat;   /* the payload without what went to bodies */
    kc_bodies bodies;
    kc_body toll;
    int32_t refused;  /* KC_EDQUOT, KC_ENOMEM, KC_EMSGSIZE, KC_EINVAL: the frame is read to its end and answered so */
    kc_refusal refusal;
} kc_large;

/* refused: KC_OK, or the answer it will get whatever it holds. False: no memory. */
bool kc_large_begin(kc_conns *conns, kc_connection *conn, const kc_frame_header *header, bool detaches,
                    int32_t refused);
/* KC_OK: more is needed; KC_LARGE_WHOLE; KC_EPROTO; KC_ENOMEM. used_out: how many of the n bytes belong to it. */
int kc_large_take(kc_conns *conns, kc_connection *conn, const uint8_t *bytes, size_t n, size_t *used_out);
/* Memory of the body that is being filled, for the next bytes to be received into. Returns iovecs used, 0: none. */
int kc_large_room(kc_conns *conns, kc_connection *conn, struct iovec *iov, int max, uint32_t max_bytes);
/* n bytes were received into that memory. */
void kc_large_filled(kc_conns *conns, kc_connection *conn, uint32_t n);
void kc_large_end(kc_conns *conns, kc_connection *conn);

#endif
