/* turn_read.c: one read per connection and turn, into scratch memory, or first into the blocks of the element that is
 * arriving. Files that travel with the bytes wait in their connection for the frame that names them (conn_files.c).
 *
 * What finds no descriptor the kernel closes within the read, which may block. So when descriptors are short it is
 * looked first: that brings the files and leaves them in the socket, too. If all came, a second read takes the bytes;
 * if not, the socket keeps what it holds, and turn_close.c has the whole of it closed in a thread. */
#include "ipc/kc_turn_set.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

enum { KC_READ_IOVECS = 8 };

typedef struct kc_read {
    size_t room_bytes; /* before the scratch */
    kc_heard heard;
} kc_read;

static pid_t kc_read_pid(int fd)
{
    struct ucred cred = {0};
    socklen_t n = sizeof cred;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) == 0 ? cred.pid : 0;
}

/* Another end of this daemon's own connections: a message that holds it would keep its connection, and so itself,
 * alive. It is recognised by our own process behind it, or by the address it was connected to (a listener may have been
 * made by somebody else, unix(7) SO_PEERCRED). */
static bool kc_read_is_own(const kc_connection *conn, int fd)
{
    struct sockaddr_un peer = {0}, here = {0};
    socklen_t peer_bytes = sizeof peer, here_bytes = sizeof here;
    if (getpeername(fd, (struct sockaddr *)&peer, &peer_bytes) != 0 || peer.sun_family != AF_UNIX) {
        return false;
    }
    if (kc_read_pid(fd) == getpid() && kc_read_pid(conn->fd) != getpid()) {
        return true; /* not so when the daemon lives in its client's process */
    }
    return getsockname(conn->fd, (struct sockaddr *)&here, &here_bytes) == 0 &&
           here_bytes > sizeof here.sun_family && here_bytes == peer_bytes && memcmp(&here, &peer, here_bytes) == 0;
}

static uint32_t kc_read_files(struct msghdr *msg, int files[KC_TURN_ROOM_FILES])
{
    uint32_t count = 0;
    for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg != NULL; cmsg = CMSG_NXTHDR(msg, cmsg)) {
        if (cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS) {
            size_t n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            memcpy(files + count, CMSG_DATA(cmsg), n * sizeof(int));
            count += (uint32_t)n;
        }
    }
    return count;
}

/* Takes out what was seen, into the same memory. Its files are ours already, so this closes none for the last time. */
static void kc_read_again(int fd, struct iovec *iov, int rooms, size_t left)
{
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)rooms};
    ssize_t got;
    for (int i = 0; i < rooms; i++) {
        iov[i].iov_len = iov[i].iov_len < left ? iov[i].iov_len : left;
        left -= iov[i].iov_len;
    }
    do {
        got = recvmsg(fd, &msg, MSG_DONTWAIT);
    } while (got < 0 && (errno == EINTR || errno == ECONNRESET)); /* the latter is said once, ahead of what is queued */
}

void kc_turn_hear(kc_turn_set *set, int fd, struct iovec *iov, int rooms, kc_heard *heard)
{
    kc_turn_room control;
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)rooms, .msg_control = &control,
                         .msg_controllen = sizeof control};
    int looks = kc_set_is_short(set) ? MSG_PEEK : 0;
    do {
        heard->got = recvmsg(fd, &msg, looks | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (heard->got < 0 && errno == EINTR);
    heard->count = 0;
    heard->flags = 0;
    if (heard->got >= 0) {
        heard->flags = msg.msg_flags;
        heard->count = kc_read_files(&msg, heard->files);
        if (heard->count != 0 || (heard->flags & MSG_CTRUNC) != 0) {
            kc_set_saw(set, heard->files, heard->count);
        }
        if (looks != 0 && (heard->flags & MSG_CTRUNC) == 0) {
            kc_read_again(fd, iov, rooms, (size_t)heard->got);
        }
    }
}

/* False when too many came. */
static bool kc_read_keep(kc_pump *pump, kc_connection *conn, const kc_heard *heard)
{
    bool lost = false;
    for (uint32_t i = 0; i < heard->count; i++) {
        int file = heard->files[i];
        bool own = kc_read_is_own(conn, file);
        if (own) {
            kc_conns_discard(&pump->conns, conn->account, file, false);
        }
        lost |= !kc_conn_files_add(&pump->conns, conn, own ? KC_FILE_UNWANTED : file);
    }
    return !lost;
}

static bool kc_read_once(kc_pump *pump, kc_connection *conn, kc_read *in)
{
    struct iovec iov[KC_READ_IOVECS];
    int rooms = kc_large_room(&pump->conns, conn, iov, KC_READ_IOVECS - 1, pump->config.bytes_per_turn);
    in->room_bytes = 0;
    for (int i = 0; i < rooms; i++) {
        in->room_bytes += iov[i].iov_len;
    }
    iov[rooms] = (struct iovec){pump->set->scratch, KC_TURN_SCRATCH_BYTES};
    kc_turn_hear(pump->set, conn->fd, iov, rooms + 1, &in->heard);
    return kc_read_keep(pump, conn, &in->heard);
}

static void kc_read_serve(kc_pump *pump, kc_connection *conn, const kc_read *in)
{
    size_t got = (size_t)in->heard.got;
    size_t in_room = got < in->room_bytes ? got : in->room_bytes;
    if (in_room != 0) {
        kc_pump_filled(pump, conn, (uint32_t)in_room);
    }
    if (got > in_room) {
        kc_pump_take(pump, conn, pump->set->scratch, got - in_room);
    }
}

/* A read of SEQPACKET that brought nothing: an empty packet, or the end. Behind an empty packet of a peer that has
 * stopped writing its last frames may lie: it is the end when no byte is queued any more. */
static bool kc_read_is_end(const kc_connection *conn, uint32_t events)
{
    int queued = 0;
    return (events & (EPOLLRDHUP | EPOLLHUP)) != 0 && (ioctl(conn->fd, FIONREAD, &queued) != 0 || queued == 0);
}

/* MSG_CTRUNC. As many files as the kernel passes at once have room, so for those that are missing it found no
 * descriptor: that is our limit, not the peer's fault. */
static void kc_read_cut(kc_pump *pump, kc_connection *conn)
{
    struct rlimit limit = {0};
    (void)getrlimit(RLIMIT_NOFILE, &limit);
    kc_refusal refusal = {.quota = KC_QUOTA_DESCRIPTORS, .limit = limit.rlim_cur, .usage = limit.rlim_cur};
    kc_reply_refusal(pump, conn, (kc_answer){.index = -1}, KC_ENOMEM, &refusal);
    kc_connection_close(&pump->conns, conn, KC_ENOMEM);
    pump->set->cut = true;
}

/* What one read brought. False: nothing more is to be read now. */
static bool kc_read_judge(kc_pump *pump, kc_connection *conn, const kc_read *in, bool whole, uint32_t events)
{
    bool packets = conn->transport == KC_TRANSPORT_SEQPACKET;
    if (in->heard.got < 0) {
        if (errno != EAGAIN && errno != EWOULDBLOCK) {
            kc_connection_break(&pump->conns, conn, KC_ECONNRESET);
        }
        return false;
    }
    if ((in->heard.flags & MSG_CTRUNC) != 0) {
        kc_read_cut(pump, conn);
    } else if (!whole) {
        kc_pump_fatal(pump, conn, 0, KC_EPROTO);
    } else if ((in->heard.flags & MSG_TRUNC) != 0) {
        kc_pump_fatal(pump, conn, 0, KC_EMSGSIZE);
    } else if (in->heard.got != 0) {
        kc_read_serve(pump, conn, in);
    } else if (!packets || kc_read_is_end(conn, events)) {
        kc_pump_eof(pump, conn);
    }
    return packets && conn->state == KC_CONN_OPEN;
}

void kc_turn_read(kc_pump *pump, kc_connection *conn, uint32_t events)
{
    kc_read in;
    uint64_t frames = conn->frames_in, bytes = conn->bytes_in;
    bool more = true;
    for (uint32_t n = 0; more && n < KC_TURN_PACKETS && kc_pump_wants_input(pump, conn); n++) {
        bool whole = kc_read_once(pump, conn, &in);
        pump->now_ns = kc_turn_clock(); /* deadlines count from here: never early */
        more = kc_read_judge(pump, conn, &in, whole, events) &&
               conn->frames_in - frames < pump->config.frames_per_turn &&
               conn->bytes_in - bytes < pump->config.bytes_per_turn;
    }
}
