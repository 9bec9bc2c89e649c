/* kc_conn_output.h: saying something on a connection: frames at the end of its output, bodies in between, messages
 * settled when the kernel took their reply. What is queued and what is done, its record says (kc_conn.h, kc_output).
 *
 * The two steps that every reply takes stand here, so that they cost no call.
 */
#ifndef KC_CONN_OUTPUT_H
#define KC_CONN_OUTPUT_H

#include "ipc/kc_conn.h"

/* Breaks the connection: something could not be said. False. */
bool kc_output_lost(kc_conns *conns, kc_connection *conn);
/* SEQPACKET: the frame that was added last is a packet, or two. */
bool kc_output_packets(kc_conns *conns, kc_connection *conn, bool split);

/* n free bytes at the end of the output for one frame, NULL: no memory, and the connection is broken. */
static inline uint8_t *kc_output_room(kc_conns *conns, kc_connection *conn, uint32_t n)
{
    uint8_t *room = kc_buffer_room(&conns->memory, &conn->output.flat, n);
    conn->output.frame_at = conn->output.added;
    if (room == NULL) {
        (void)kc_output_lost(conns, conn);
    }
    return room;
}

/* The frame's n flat bytes stand there. */
static inline bool kc_output_add(kc_conns *conns, kc_connection *conn, uint32_t n, bool split)
{
    kc_buffer_added(&conn->output.flat, n);
    conn->output.flat_added += n;
    conn->output.added += n;
    conns->queued_bytes += n;
    conn->frames_out++;
    if (!conn->links[KC_LIST_ATTENTION].in) {
        kc_list_add(conns, KC_LIST_ATTENTION, conn);
    }
    return conn->transport != KC_TRANSPORT_SEQPACKET || kc_output_packets(conns, conn, split);
}

/* A writer over n free bytes at the end of the output; false: no memory, and the connection is broken. */
bool kc_output_begin(kc_conns *conns, kc_connection *conn, uint32_t n, kc_writer *writer);
/* After kc_put_head: the body's bytes come here. One more reference is taken. */
bool kc_output_insert(kc_conns *conns, kc_connection *conn, const kc_writer *writer, const kc_body *body);
/* The frame in the writer stands. `split`: on SEQPACKET header and payload are packets of their own. */
bool kc_output_commit(kc_conns *conns, kc_connection *conn, kc_writer *writer, bool split);
/* The same for a frame that somebody else wrote. */
bool kc_output_append(kc_conns *conns, kc_connection *conn, const void *frame, uint32_t n, bool split);
/* The body's files travel with the frame at hand (begun with kc_output_begin). One more reference is taken until its
 * first byte is taken. */
bool kc_output_attach(kc_conns *conns, kc_connection *conn, const kc_body *body);
/* How many bytes the next write may take, so that files go with the first byte of their frame, and the body whose files
 * go with this one: NULL for none. */
uint64_t kc_output_reach(const kc_connection *conn, const kc_body **body_out);
/* The message that token holds is done once all that was said so far is taken. */
bool kc_output_settle(kc_conns *conns, kc_connection *conn, kc_token token);

static inline uint64_t kc_output_queued(const kc_connection *conn)
{
    return conn->output.added - conn->output.done;
}

/* iovecs of up to n bytes from the cursor on, which moves; starts at what is not yet done. */
kc_gather kc_output_start(const kc_connection *conn);
int kc_output_gather(kc_conns *conns, const kc_connection *conn, kc_gather *cursor, uint64_t n, struct iovec *iov,
                     int max, uint64_t *bytes_out);
/* The kernel took n more bytes: bodies are dropped, messages settled. */
void kc_output_taken(kc_conns *conns, kc_connection *conn, uint64_t n);

/* Drops what was not said. */
void kc_output_free(kc_conns *conns, kc_connection *conn);

#endif
