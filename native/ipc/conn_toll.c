/* conn_toll.c: the bill for what a connection makes us hold: answers that its peer does not read, and input that waits
 * behind a barrier. Its uid's account pays by a toll (kc_toll_pay), as for payload; a little is free.
 *
 * What the account refuses is held all the same, but the connection is not read until it holds less: its own peer
 * brings that about by reading, or the answer it waits for. Nobody is disconnected. Invariant: half a frame alone is
 * always free, so what only its sender can finish is always read.
 */
#include "ipc/kc_conn.h"

enum {
    KC_TOLL_STEP_BYTES = 65536,
    KC_FREE_OUTPUT_BYTES = 65536,
    KC_FREE_INPUT_BYTES = 131072 /* 64 KiB of a frame in a buffer that grows by doubling */
};

static uint64_t kc_toll_above(uint64_t bytes, uint64_t free_bytes)
{
    return bytes > free_bytes ? bytes - free_bytes : 0;
}

static uint64_t kc_queue_bytes(const kc_queue *queue)
{
    return (uint64_t)queue->capacity * queue->entry_bytes;
}

/* What is to be paid, when `more` bytes of output are to come; memory counts, not what stands in it. */
static uint64_t kc_toll_due(const kc_connection *conn, uint32_t more)
{
    const kc_output *output = &conn->output;
    uint64_t flat = (uint64_t)kc_buffer_length(&output->flat) + more;
    flat = flat < output->flat.capacity ? output->flat.capacity : flat;
    flat += kc_queue_bytes(&output->inserts) + kc_queue_bytes(&output->settles) + kc_queue_bytes(&output->packets);
    uint64_t due = kc_toll_above(flat, KC_FREE_OUTPUT_BYTES) +
                   kc_toll_above(conn->input.capacity, KC_FREE_INPUT_BYTES);
    return due < KC_MAX_ELEMENT_BYTES ? due : KC_MAX_ELEMENT_BYTES; /* one body's length */
}

static int kc_toll_grow(kc_conns *conns, kc_connection *conn, uint64_t due)
{
    kc_refusal refusal;
    int code = KC_OK;
    if (conn->toll.len_bytes == 0) {
        code = kc_body_open(conns->engine, conn->account, KC_MAX_ELEMENT_BYTES, &conn->toll, &refusal);
    }
    while (code == KC_OK && conn->tolled_bytes < due) {
        void *memory;
        uint32_t room;
        code = kc_body_room(conns->engine, &conn->toll, conn->tolled_bytes, &memory, &room, &refusal);
        conn->tolled_bytes += code == KC_OK ? KC_TOLL_STEP_BYTES : 0;
    }
    if (conn->tolled_bytes == 0) {
        kc_toll_drop(conns, conn);
    }
    return code;
}

void kc_toll_drop(kc_conns *conns, kc_connection *conn)
{
    kc_body_drop(conns->engine, &conn->toll);
    conn->toll = (kc_body){0};
    conn->tolled_bytes = 0;
}

bool kc_conn_pay(kc_conns *conns, kc_connection *conn, uint32_t more)
{
    uint64_t due = kc_toll_due(conn, more);
    if (due + KC_TOLL_STEP_BYTES < conn->tolled_bytes || (due == 0 && conn->tolled_bytes != 0)) {
        kc_toll_drop(conns, conn); /* blocks are given back together; what is still due is paid anew */
    }
    conn->unpaid = due > conn->tolled_bytes && kc_toll_grow(conns, conn, due) != KC_OK;
    return !conn->unpaid;
}
