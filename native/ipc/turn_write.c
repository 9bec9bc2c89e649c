/* turn_write.c: one write per connection and turn: a sendmsg of what fits into the kernel's buffer, or, for SEQPACKET,
 * a sendmmsg of whole packets. */
#include "ipc/kc_turn_set.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum { KC_WRITE_IOVECS = 256, KC_WRITE_FLAGS = MSG_NOSIGNAL | MSG_DONTWAIT };

static uint64_t kc_write_failed(kc_pump *pump, kc_connection *conn)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
        conn->writable = false;
    } else if (errno == ENOBUFS || errno == ENOMEM || errno == ETOOMANYREFS) { /* the last: files in flight, unix(7) */
        kc_set_starve(pump, conn);
    } else if (errno != EINTR) {
        kc_connection_break(&pump->conns, conn, KC_ECONNRESET);
    }
    return 0;
}

typedef union kc_write_files {
    struct cmsghdr head;
    uint8_t bytes[CMSG_SPACE(KC_MAX_MESSAGE_FILES * sizeof(int32_t))];
} kc_write_files;

/* The body's files travel with the message. */
static void kc_write_attach(kc_pump *pump, const kc_body *body, kc_write_files *memory, struct msghdr *msg)
{
    int32_t files[KC_MAX_MESSAGE_FILES];
    uint32_t n = body != NULL ? kc_body_files(pump->conns.engine, body, files) : 0;
    if (n != 0) {
        *memory = (kc_write_files){0};
        memory->head = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS,
                                        .cmsg_len = CMSG_LEN(n * sizeof *files)};
        memcpy(CMSG_DATA(&memory->head), files, n * sizeof *files);
        msg->msg_control = memory;
        msg->msg_controllen = CMSG_SPACE(n * sizeof *files);
    }
}

static uint64_t kc_write_stream(kc_pump *pump, kc_connection *conn)
{
    struct iovec iov[KC_WRITE_IOVECS];
    kc_gather cursor = kc_output_start(conn);
    kc_write_files control;
    const kc_body *body;
    uint64_t reach = kc_output_reach(conn, &body);
    uint64_t bytes;
    int used = kc_output_gather(&pump->conns, conn, &cursor, reach, iov, KC_WRITE_IOVECS, &bytes);
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)used};
    kc_write_attach(pump, body, &control, &msg);
    ssize_t sent = sendmsg(conn->fd, &msg, KC_WRITE_FLAGS);
    if (sent < 0) {
        return kc_write_failed(pump, conn);
    }
    if ((uint64_t)sent < bytes) {
        conn->writable = false;
    }
    return (uint64_t)sent;
}

/* Gathers whole packets, up to the next one with files; returns how many. */
static unsigned kc_write_gather(kc_pump *pump, const kc_connection *conn, uint64_t reach, struct iovec *iov,
                                struct mmsghdr *packets, uint64_t *lengths)
{
    const kc_queue *ends = &conn->output.packets;
    kc_gather cursor = kc_output_start(conn);
    uint64_t at = conn->output.done;
    uint64_t end = at + reach;
    int used = 0;
    unsigned n = 0;
    while (n < KC_TURN_PACKETS && n < ends->count && at < end) {
        uint64_t length = *(const uint64_t *)kc_queue_at(ends, n) - at;
        uint64_t bytes;
        int more = kc_output_gather(&pump->conns, conn, &cursor, length, iov + used, KC_WRITE_IOVECS - used, &bytes);
        if (bytes != length) {
            break; /* no iovecs left for all of it */
        }
        packets[n] = (struct mmsghdr){.msg_hdr = {.msg_iov = iov + used, .msg_iovlen = (size_t)more}};
        lengths[n++] = length;
        used += more;
        at += length;
    }
    return n;
}

static uint64_t kc_write_packets(kc_pump *pump, kc_connection *conn)
{
    struct iovec iov[KC_WRITE_IOVECS];
    struct mmsghdr packets[KC_TURN_PACKETS];
    uint64_t lengths[KC_TURN_PACKETS];
    uint64_t sent_bytes = 0;
    kc_write_files control;
    const kc_body *body;
    uint64_t reach = kc_output_reach(conn, &body);
    unsigned n = kc_write_gather(pump, conn, reach, iov, packets, lengths);
    if (n == 0) {
        kc_connection_break(&pump->conns, conn, KC_EMSGSIZE); /* one packet of more pieces than can be written */
        return 0;
    }
    kc_write_attach(pump, body, &control, &packets[0].msg_hdr);
    int sent = sendmmsg(conn->fd, packets, n, KC_WRITE_FLAGS);
    if (sent < 0) {
        return kc_write_failed(pump, conn);
    }
    for (int i = 0; i < sent; i++) {
        sent_bytes += lengths[i];
    }
    return sent_bytes;
}

bool kc_turn_write(kc_pump *pump, kc_connection *conn)
{
    if (!conn->writable || kc_output_queued(conn) == 0 || conn->state >= KC_CONN_BROKEN) {
        return false;
    }
    uint64_t bytes = conn->transport == KC_TRANSPORT_SEQPACKET ? kc_write_packets(pump, conn)
                                                               : kc_write_stream(pump, conn);
    if (bytes != 0) {
        kc_pump_taken(pump, conn, bytes);
    }
    return bytes != 0;
}
