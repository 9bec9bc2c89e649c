/* conn_output.c: what a connection has yet to hear: flat bytes with bodies in between, in order.
 *
 * Small elements are copied behind their frame's head; large ones stay in the engine's blocks, with a reference of
 * their own, because an acknowledged message may be gone before its last byte is.
 */
#include "ipc/kc_conn_output.h"

#include <string.h>
#include <sys/uio.h>

/* Kept: the replies to 64 receives of 64 bytes, which come back every turn. */
enum { KC_OUTPUT_KEEP_BYTES = 8192, KC_OUTPUT_KEEP_QUEUE_BYTES = 1024, KC_OUTPUT_HEADER_BYTES = 8 };
enum { KC_OUTPUT_ACKS = 64 /* under one lock */ };

typedef struct kc_insert {
    uint64_t flat_at; /* before this flat byte */
    kc_body body;
} kc_insert;

typedef struct kc_settle {
    uint64_t end;
    kc_token token;
} kc_settle;

bool kc_output_lost(kc_conns *conns, kc_connection *conn)
{
    kc_connection_break(conns, conn, KC_ENOMEM);
    return false;
}

static void *kc_output_push(kc_conns *conns, kc_queue *queue, uint32_t entry_bytes)
{
    queue->entry_bytes = entry_bytes;
    return kc_queue_push(&conns->memory, queue);
}

bool kc_output_begin(kc_conns *conns, kc_connection *conn, uint32_t n, kc_writer *writer)
{
    uint8_t *room = kc_output_room(conns, conn, n);
    if (room == NULL) {
        return false;
    }
    kc_writer_init(writer, room, n, conn->minor, conn->max_out);
    return true;
}

bool kc_output_insert(kc_conns *conns, kc_connection *conn, const kc_writer *writer, const kc_body *body)
{
    kc_insert *insert = kc_output_push(conns, &conn->output.inserts, sizeof *insert);
    if (insert == NULL) {
        return kc_output_lost(conns, conn);
    }
    *insert = (kc_insert){conn->output.flat_added + writer->length, *body};
    kc_body_keep(conns->engine, body);
    conn->output.added += body->len_bytes;
    conns->queued_bytes += body->len_bytes;
    return true;
}

static bool kc_output_packet(kc_conns *conns, kc_connection *conn, uint64_t end)
{
    uint64_t *packet = kc_output_push(conns, &conn->output.packets, sizeof *packet);
    if (packet == NULL) {
        return kc_output_lost(conns, conn);
    }
    *packet = end;
    return true;
}

bool kc_output_packets(kc_conns *conns, kc_connection *conn, bool split)
{
    const kc_output *output = &conn->output;
    uint64_t header_end = output->frame_at + KC_OUTPUT_HEADER_BYTES;
    if (split && header_end < output->added && !kc_output_packet(conns, conn, header_end)) {
        return false;
    }
    return kc_output_packet(conns, conn, output->added);
}

bool kc_output_commit(kc_conns *conns, kc_connection *conn, kc_writer *writer, bool split)
{
    if (kc_frame_finish(writer) != KC_OK) {
        return kc_output_lost(conns, conn);
    }
    return kc_output_add(conns, conn, (uint32_t)writer->length, split);
}

bool kc_output_append(kc_conns *conns, kc_connection *conn, const void *frame, uint32_t n, bool split)
{
    uint8_t *room = kc_output_room(conns, conn, n);
    if (room == NULL) {
        return false;
    }
    memcpy(room, frame, n);
    return kc_output_add(conns, conn, n, split);
}

bool kc_output_settle(kc_conns *conns, kc_connection *conn, kc_token token)
{
    kc_settle *settle = kc_output_push(conns, &conn->output.settles, sizeof *settle);
    if (settle == NULL) {
        return kc_output_lost(conns, conn);
    }
    *settle = (kc_settle){conn->output.added, token};
    return true;
}

typedef struct kc_attachment {
    uint64_t at;
    kc_body body; /* its extra alone */
} kc_attachment;

bool kc_output_attach(kc_conns *conns, kc_connection *conn, const kc_body *body)
{
    kc_attachment *attachment = kc_output_push(conns, &conn->output.attachments, sizeof *attachment);
    if (attachment == NULL) {
        return kc_output_lost(conns, conn);
    }
#if KC_MUTANT == 17 /* files travel with whatever is to be heard first */
    uint64_t at = conn->output.done;
#else
    uint64_t at = conn->output.frame_at;
#endif
    *attachment = (kc_attachment){at, {.account = body->account, .extra = body->extra}};
    kc_body_keep(conns->engine, &attachment->body);
    return true;
}

uint64_t kc_output_reach(const kc_connection *conn, const kc_body **body_out)
{
    const kc_output *output = &conn->output;
    const kc_attachment *first = kc_queue_front(&output->attachments);
    bool here = first != NULL && first->at == output->done;
    uint32_t next = here ? 1 : 0;
    uint64_t end = output->added;
    if (next < output->attachments.count) {
        end = ((const kc_attachment *)kc_queue_at(&output->attachments, next))->at;
    }
    *body_out = here ? &first->body : NULL;
    return end - output->done;
}

/* What travelled with a byte that is done has arrived. */
static void kc_output_detach(kc_conns *conns, kc_output *output)
{
    for (kc_attachment *first; (first = kc_queue_front(&output->attachments)) != NULL && first->at < output->done;) {
        kc_body_drop(conns->engine, &first->body);
        kc_queue_pop(&output->attachments);
    }
}

kc_gather kc_output_start(const kc_connection *conn)
{
    return (kc_gather){.flat_at = conn->output.flat_done, .insert_at = conn->output.insert_done};
}

/* The insert that stands right at the cursor, NULL when flat bytes come first. */
static const kc_insert *kc_gather_insert(const kc_output *output, const kc_gather *cursor)
{
    const kc_insert *insert = cursor->insert < output->inserts.count ? kc_queue_at(&output->inserts, cursor->insert)
                                                                     : NULL;
    return insert != NULL && insert->flat_at == cursor->flat_at ? insert : NULL;
}

static struct iovec kc_gather_body(kc_conns *conns, const kc_insert *insert, kc_gather *cursor, uint64_t n)
{
    const void *memory = NULL;
    uint32_t room = 0;
    if (kc_body_span(conns->engine, &insert->body, cursor->insert_at, &memory, &room) != KC_OK) {
        return (struct iovec){0};
    }
    room = n < room ? (uint32_t)n : room;
    cursor->insert_at += room;
    if (cursor->insert_at == insert->body.len_bytes) {
        cursor->insert++;
        cursor->insert_at = 0;
    }
    return (struct iovec){(void *)(uintptr_t)memory, room};
}

static struct iovec kc_gather_flat(const kc_output *output, kc_gather *cursor, uint64_t n)
{
    uint64_t end = output->flat_added;
    if (cursor->insert < output->inserts.count) {
        end = ((const kc_insert *)kc_queue_at(&output->inserts, cursor->insert))->flat_at;
    }
    uint64_t room = end - cursor->flat_at < n ? end - cursor->flat_at : n;
    uint8_t *memory = output->flat.bytes + output->flat.head + (cursor->flat_at - output->flat_done);
    cursor->flat_at += room;
    return (struct iovec){memory, (size_t)room};
}

int kc_output_gather(kc_conns *conns, const kc_connection *conn, kc_gather *cursor, uint64_t n, struct iovec *iov,
                     int max, uint64_t *bytes_out)
{
    const kc_output *output = &conn->output;
    int used = 0;
    *bytes_out = 0;
    while (used < max && *bytes_out < n) {
        const kc_insert *insert = kc_gather_insert(output, cursor);
        if (insert == NULL && cursor->flat_at == output->flat_added) {
            break;
        }
        iov[used] = insert != NULL ? kc_gather_body(conns, insert, cursor, n - *bytes_out)
                                   : kc_gather_flat(output, cursor, n - *bytes_out);
        if (iov[used].iov_len == 0) {
            break;
        }
        *bytes_out += iov[used++].iov_len;
    }
    return used;
}

static uint64_t kc_taken_body(kc_conns *conns, kc_output *output, uint64_t n)
{
    kc_insert *insert = kc_queue_front(&output->inserts);
    uint64_t left = insert->body.len_bytes - output->insert_done;
    uint64_t step = n < left ? n : left;
    output->insert_done += (uint32_t)step;
    if (step == left) {
        kc_body_drop(conns->engine, &insert->body);
        kc_queue_pop(&output->inserts);
        output->insert_done = 0;
    }
    return step;
}

static uint64_t kc_taken_flat(kc_output *output, uint64_t n)
{
    const kc_insert *insert = kc_queue_front(&output->inserts);
    uint64_t left = (insert == NULL ? output->flat_added : insert->flat_at) - output->flat_done;
    uint64_t step = n < left ? n : left;
    output->flat_done += step;
    kc_buffer_skip(&output->flat, (uint32_t)step);
    return step;
}

static void kc_output_rest(kc_memory *memory, kc_output *output)
{
    kc_buffer_rest(memory, &output->flat, KC_OUTPUT_KEEP_BYTES);
    kc_queue_rest(memory, &output->inserts, KC_OUTPUT_KEEP_QUEUE_BYTES);
    kc_queue_rest(memory, &output->settles, KC_OUTPUT_KEEP_QUEUE_BYTES);
    kc_queue_rest(memory, &output->packets, KC_OUTPUT_KEEP_QUEUE_BYTES);
    kc_queue_rest(memory, &output->attachments, 0);
}

/* Settles the messages whose replies are out, some at a time. True when more may be left. */
static bool kc_output_ack(kc_conns *conns, kc_connection *conn)
{
    kc_queue *settles = &conn->output.settles;
    kc_token tokens[KC_OUTPUT_ACKS];
    uint32_t n = 0;
    for (kc_settle *settle; n < KC_OUTPUT_ACKS && (settle = kc_queue_front(settles)) != NULL &&
                            settle->end <= conn->output.done; kc_queue_pop(settles)) {
        tokens[n++] = settle->token;
    }
    if (n != 0) {
        (void)kc_waiter_tokens_ack(conns->engine, conn->scope, tokens, n);
    }
    return n == KC_OUTPUT_ACKS;
}

void kc_output_taken(kc_conns *conns, kc_connection *conn, uint64_t n)
{
    kc_output *output = &conn->output;
    conn->bytes_out += n;
    output->done += n;
    conns->queued_bytes -= n;
    while (n != 0) {
        const kc_insert *insert = kc_queue_front(&output->inserts);
        bool body = insert != NULL && insert->flat_at == output->flat_done;
        n -= body ? kc_taken_body(conns, output, n) : kc_taken_flat(output, n);
    }
    kc_output_detach(conns, output);
    while (kc_output_ack(conns, conn)) {
    }
    for (uint64_t *end; (end = kc_queue_front(&output->packets)) != NULL && *end <= output->done;) {
        kc_queue_pop(&output->packets);
    }
    if (output->added == output->done) {
        kc_output_rest(&conns->memory, output);
    }
}

void kc_output_free(kc_conns *conns, kc_connection *conn)
{
    kc_output *output = &conn->output;
    conns->queued_bytes -= kc_output_queued(conn);
    for (kc_insert *insert; (insert = kc_queue_front(&output->inserts)) != NULL; kc_queue_pop(&output->inserts)) {
        kc_body_drop(conns->engine, &insert->body);
    }
    for (kc_attachment *one; (one = kc_queue_front(&output->attachments)) != NULL; kc_queue_pop(&output->attachments)) {
        kc_body_drop(conns->engine, &one->body);
    }
    output->settles.count = output->packets.count = 0;
    output->flat.head = output->flat.tail = 0;
    kc_buffer_rest(&conns->memory, &output->flat, 0);
    kc_queue_rest(&conns->memory, &output->inserts, 0);
    kc_queue_rest(&conns->memory, &output->settles, 0);
    kc_queue_rest(&conns->memory, &output->packets, 0);
    kc_queue_rest(&conns->memory, &output->attachments, 0);
}
