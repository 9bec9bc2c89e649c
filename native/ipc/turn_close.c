/* turn_close.c: the end of a socket that may hold what nobody heard. Closing it would close the files in it, which may
 * block; so they are taken out and discarded, or, if they are too many or find no descriptor, the whole of it waits to
 * be closed in a thread. */
#include "ipc/kc_turn_set.h"

#include <errno.h>
#include <unistd.h>

enum { KC_CLOSE_PACKETS = 4096 /* of a peer with a default send buffer, and more */ };

/* One read; its files are discarded. False: not all found a descriptor. */
static bool kc_close_read(kc_pump *pump, kc_ending ending, ssize_t *got_out)
{
    struct iovec iov = {pump->set->scratch, KC_TURN_SCRATCH_BYTES};
    kc_heard heard;
    kc_turn_hear(pump->set, ending.fd, &iov, 1, &heard);
    for (uint32_t i = 0; i < heard.count; i++) {
        kc_conns_discard(&pump->conns, ending.account, heard.files[i], false);
    }
    *got_out = heard.got;
    return (heard.flags & MSG_CTRUNC) == 0;
}

/* Reads nothing. Looking takes and closes no file: without room for what comes beside the bytes, the kernel only says
 * that there is some. Room for bytes there must be: qemu-user answers a recvmsg that has none by itself
 * (linux-user/syscall.c, do_sendrecvmsg_locked). */
static ssize_t kc_close_look(kc_pump *pump, int fd, bool *beside_out)
{
    struct iovec iov = {pump->set->scratch, KC_TURN_SCRATCH_BYTES};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t got;
    do {
        got = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_PEEK);
    } while (got < 0 && errno == ECONNRESET); /* said once, and ahead of what is queued */
    *beside_out = got >= 0 && (msg.msg_flags & MSG_CTRUNC) != 0;
    return got;
}

/* Files come with the next read. Nothing is added between this and the read, for the socket is shut down. */
static bool kc_close_finds_files(kc_pump *pump, kc_ending ending)
{
    bool files = false;
    (void)kc_close_look(pump, ending.fd, &files);
    return files;
}

/* Nobody's account has no limit, so nothing is taken out for it. */
static bool kc_close_may_read(kc_pump *pump, kc_ending ending)
{
    bool takes = ending.account != 0 && kc_file_is_over(pump->conns.engine, ending.account) == 0;
    return takes || !kc_close_finds_files(pump, ending);
}

/* Of a socket whose last read brought nothing: nothing is behind it. On SEQPACKET an empty packet reads like the end,
 * and packets with files may follow; but beside every packet are its sender's credentials, if asked for (unix(7),
 * SO_PASSCRED). */
static bool kc_close_is_drained(kc_pump *pump, kc_ending ending)
{
    if (ending.transport != KC_TRANSPORT_SEQPACKET) {
        return true;
    }
    bool packet = true;
    int asked = 1;
    bool drained = setsockopt(ending.fd, SOL_SOCKET, SO_PASSCRED, &asked, sizeof asked) == 0 &&
                   kc_close_look(pump, ending.fd, &packet) == 0 && !packet;
    asked = 0; /* or the next look would take the credentials for files */
    return setsockopt(ending.fd, SOL_SOCKET, SO_PASSCRED, &asked, sizeof asked) == 0 && drained;
}

/* False: there is more in it, or files of an account that has too many, or for which there is no descriptor. */
static bool kc_close_forgo(kc_pump *pump, kc_ending ending)
{
    bool drained = false;
    bool whole = true;
    ssize_t got;
    (void)shutdown(ending.fd, SHUT_RDWR);
    for (uint32_t n = 0; n < KC_CLOSE_PACKETS && whole && !drained && kc_close_may_read(pump, ending); n++) {
        whole = kc_close_read(pump, ending, &got);
        drained = got <= 0 && kc_close_is_drained(pump, ending);
    }
    return drained;
}

void kc_turn_close(kc_pump *pump, kc_ending ending)
{
    if (kc_close_forgo(pump, ending)) {
        (void)close(ending.fd); /* nobody else has it, so it leaves the set by itself, if it is in it */
    } else {
        (void)epoll_ctl(pump->set->epoll_fd, EPOLL_CTL_DEL, ending.fd, NULL);
        kc_conns_discard(&pump->conns, ending.account, ending.fd, false);
    }
}

void kc_pump_close_socket(kc_pump *pump, int fd, uint32_t transport, uint32_t account)
{
    kc_turn_close(pump, (kc_ending){.fd = fd, .transport = transport, .account = account});
}
