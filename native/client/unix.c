/* unix.c: the transport over Unix sockets, stream and seqpacket (kcoro/kc_ipc.h).
 *
 * A link is the descriptor plus one, as a pointer. No call blocks; none raises SIGPIPE.
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/kc_client.h"

static int kc_unix_fd(void *link)
{
    return (int)((intptr_t)link - 1);
}

/* --- moving bytes ------------------------------------------------------------------------------------------------- */

typedef union kc_unix_rights {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(KC_MAX_FILES * sizeof(int))];
} kc_unix_rights;

static void kc_unix_attach(struct msghdr *message, kc_unix_rights *rights, const int *files, uint32_t count)
{
    message->msg_control = rights->bytes;
    message->msg_controllen = CMSG_SPACE(count * sizeof(int));
    struct cmsghdr *head = CMSG_FIRSTHDR(message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(head), files, count * sizeof(int));
}

static int kc_unix_send_code(int number, uint32_t file_count)
{
    switch (number) {
    case EAGAIN: return KC_EAGAIN;
    case EPIPE:
    case ECONNRESET:
    case ENOTCONN: return KC_ECONNRESET;
    case ENOMEM:
    case ENOBUFS: return KC_ENOMEM;
    default: return file_count != 0 ? KC_EINVAL : KC_ECONNRESET; /* EBADF, ETOOMANYREFS, ELOOP: what is passed */
    }
}

static int64_t kc_unix_send(void *link, const void *bytes, size_t length, const int *files, uint32_t file_count)
{
    kc_unix_rights rights;
    union {
        const void *from;
        void *base;
    } at = {.from = bytes};
    struct iovec piece = {.iov_base = at.base, .iov_len = length};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
    ssize_t sent;
    if (file_count != 0) {
        memset(&rights, 0, sizeof rights);
        kc_unix_attach(&message, &rights, files, file_count);
    }
    do {
        sent = sendmsg(kc_unix_fd(link), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    return sent >= 0 ? sent : kc_unix_send_code(errno, file_count);
}

/* Files that have no room are closed; then some are lost. */
static bool kc_unix_collect(struct msghdr *message, int *files_out, uint32_t room, uint32_t *count_out)
{
    bool good = (message->msg_flags & (MSG_CTRUNC | MSG_TRUNC)) == 0;
    for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head != NULL; head = CMSG_NXTHDR(message, head)) {
        if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        size_t count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int file;
            memcpy(&file, CMSG_DATA(head) + i * sizeof file, sizeof file);
            if (*count_out < room) {
                files_out[(*count_out)++] = file;
            } else {
                close(file);
                good = false;
            }
        }
    }
    return good;
}

static int64_t kc_unix_receive(void *link, void *bytes, size_t room, int *files_out, uint32_t *file_count)
{
    kc_unix_rights rights;
    struct iovec piece = {.iov_base = bytes, .iov_len = room};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = rights.bytes,
                             .msg_controllen = sizeof rights.bytes};
    uint32_t most = *file_count;
    ssize_t came;
    *file_count = 0;
    do {
        came = recvmsg(kc_unix_fd(link), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (came < 0 && errno == EINTR);
    if (came < 0) {
        return errno == EAGAIN ? KC_EAGAIN : KC_ECONNRESET;
    }
    return kc_unix_collect(&message, files_out, most, file_count) ? came : KC_EPROTO;
}

static int kc_unix_watch(void *link, int epoll, int output)
{
    struct epoll_event event = {.events = EPOLLIN | (output != 0 ? (uint32_t)EPOLLOUT : 0U)};
    int fd = kc_unix_fd(link);
    if (epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event) == 0) {
        return KC_OK;
    }
    return errno == ENOENT && epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0 ? KC_OK : KC_ENOMEM;
}

static void kc_unix_close(void *link)
{
    close(kc_unix_fd(link));
}

const kc_ipc_transport *kc_unix_transport(bool seqpacket)
{
    static const kc_ipc_transport stream = {kc_unix_send, kc_unix_receive, kc_unix_watch, kc_unix_close,
                                            KC_MAX_FRAME_BYTES};
    static const kc_ipc_transport packets = {kc_unix_send, kc_unix_receive, kc_unix_watch, kc_unix_close,
                                             KC_MAX_SEQPACKET_FRAME_BYTES};
    return seqpacket ? &packets : &stream;
}

/* --- connecting --------------------------------------------------------------------------------------------------- */

static int kc_unix_connect_code(int number)
{
    switch (number) {
    case EACCES:
    case EPERM: return KC_EACCES;
    case ENOMEM:
    case ENOBUFS: return KC_ENOMEM;
    case EAGAIN: return KC_EAGAIN; /* the backlog is full */
    default: return KC_ECONNRESET; /* nobody there */
    }
}

int kc_unix_connect(const char *path, bool seqpacket, void **link_out)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    int done;
    if (length >= sizeof name.sun_path) {
        return KC_ENAMETOOLONG;
    }
    memcpy(name.sun_path, path, length + 1);
    int fd = socket(AF_UNIX, (seqpacket ? SOCK_SEQPACKET : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return KC_ENOMEM;
    }
    do {
        done = connect(fd, (const struct sockaddr *)&name, sizeof name);
    } while (done != 0 && errno == EINTR);
    if (done != 0) {
        int code = kc_unix_connect_code(errno);
        close(fd);
        return code;
    }
    *link_out = (void *)((intptr_t)fd + 1);
    return KC_OK;
}
