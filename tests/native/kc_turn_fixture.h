/* kc_turn_fixture.h: a pump with real sockets: the rig of kc_ipc_fixture.h, and a client's end for each connection. */
#ifndef KC_TURN_FIXTURE_H
#define KC_TURN_FIXTURE_H

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "kc_ipc_fixture.h"

static rig r;
static int peers[RIG_CONNS]; /* the clients' ends */
static int fds_before;

static inline int64_t clock_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline int count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int n = 0;
    KC_REQUIRE(dir != NULL);
    while (readdir(dir) != NULL) {
        n++;
    }
    (void)closedir(dir);
    return n;
}

static inline kc_report turn(void)
{
    kc_report report;
    KC_CHECK_EQ(kc_turn(r.pump, 0, 0, &report), KC_OK);
    rig_check(&r);
    return report;
}

static inline void turn_until_quiet(void)
{
    while ((turn().flags & KC_TURN_MORE) != 0) {
    }
    (void)rig_close_files(&r);
}

static inline bool pump_is_readable(int timeout_ms)
{
    struct pollfd pump = {.fd = kc_pump_fd(r.pump), .events = POLLIN};
    return poll(&pump, 1, timeout_ms) == 1;
}

/* What a client said reaches the pump. */
static inline void say(int i, const char *script)
{
    rig_build(&r, r.minors[i], script);
    size_t at = 0;
    while (at < r.frame_bytes) {
        ssize_t sent = send(peers[i], r.frame + at, r.frame_bytes - at, MSG_NOSIGNAL | MSG_DONTWAIT);
        KC_REQUIRE(sent > 0 || errno == EAGAIN);
        at += sent > 0 ? (size_t)sent : 0;
        turn_until_quiet();
    }
}

/* All that has come to the client, n at most. */
static inline size_t receive(int i, size_t n)
{
    size_t got = 0;
    ssize_t step;
    while (got < n && (step = recv(peers[i], r.out + got, n - got, MSG_DONTWAIT)) > 0) {
        got += (size_t)step;
    }
    return got;
}

static inline const char *hear(int i)
{
    size_t n = 0;
    ssize_t step;
    turn_until_quiet();
    while ((step = recv(peers[i], r.out + n, RIG_FRAME_BYTES - n, MSG_DONTWAIT)) > 0) {
        n += (size_t)step;
        turn_until_quiet();
    }
    return rig_render(&r, r.minors[i], r.out, n);
}

static inline int join(unsigned minor, uint32_t transport)
{
    int pair[2];
    int i = r.conn_count++;
    int type = transport == KC_TRANSPORT_SEQPACKET ? SOCK_SEQPACKET : SOCK_STREAM;
    KC_REQUIRE(socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
    peers[i] = pair[0];
    KC_REQUIRE(kc_conn_add(r.pump, pair[1], transport, r.account, &r.conns[i]) == KC_OK);
    r.minors[i] = 0;
    say(i, minor == 0 ? "HELLO v0" : "HELLO v1");
    KC_CHECK_EQ(turn().control, 1);
    rig_greet(&r);
    KC_CHECK(pump_is_readable(0)); /* the answer has yet to be written */
    KC_CHECK_STR(hear(i), minor == 0 ? "HELLO v0" : "HELLO v1");
    r.minors[i] = minor;
    for (int chan = 0; chan < r.chan_count; chan++) {
        KC_REQUIRE(kc_conn_grant(r.pump, r.conns[i], (uint32_t)(RIG_FIRST_CHAN + chan), r.chans[chan],
                                 KC_RIGHT_READ | KC_RIGHT_WRITE) == KC_OK);
    }
    return i;
}

static inline void begin(const kc_pump_config *config, uint32_t transport)
{
    fds_before = count_fds();
    rig_make(&r, NULL, config);
    (void)rig_kind(&r, KC_KIND_BUFFERED, 4);
    (void)rig_kind(&r, KC_KIND_RENDEZVOUS, 0);
    (void)join(1, transport);
    (void)join(1, transport);
}

static inline int32_t closed_code(void)
{
    turn_until_quiet();
    return rig_closed(&r);
}

static inline void finish(void)
{
    kc_closed closed;
    kc_engine_usage usage;
    for (int i = 0; i < r.conn_count; i++) {
        if (peers[i] >= 0) {
            (void)close(peers[i]);
        }
    }
    turn_until_quiet();
    while (kc_pump_closed(r.pump, &closed) == KC_OK) {
    }
    kc_engine_measure(r.engine, &usage);
    KC_CHECK_EQ(usage.tokens, 0);
    KC_CHECK_EQ(usage.scopes, 1);
    KC_CHECK(!pump_is_readable(0));
    r.conn_count = 0;
    rig_free(&r);
    KC_CHECK_EQ(count_fds(), fds_before);
}

static inline void send_files(int i, const uint8_t *bytes, size_t n, const int *fds, int files)
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(KC_MAX_FILES * sizeof(int))];
    } control = {0};
    struct iovec iov = {(void *)(uintptr_t)bytes, n};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
                         .msg_controllen = CMSG_SPACE((size_t)files * sizeof(int))};
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN((size_t)files * sizeof(int));
    memcpy(CMSG_DATA(cmsg), fds, (size_t)files * sizeof(int));
    KC_REQUIRE(sendmsg(peers[i], &msg, MSG_NOSIGNAL) == (ssize_t)n);
}

/* The same file so many times. */
static inline void send_copies(int i, const uint8_t *bytes, size_t n, int file, int files)
{
    int fds[KC_MAX_FILES];
    for (int f = 0; f < files; f++) {
        fds[f] = file;
    }
    send_files(i, bytes, n, fds, files);
}

static inline void send_with_files(int i, const uint8_t *bytes, size_t n, int files)
{
    send_copies(i, bytes, n, 0, files);
}

static inline void send_file(int i, const uint8_t *bytes, size_t n, int file)
{
    send_copies(i, bytes, n, file, 1);
}

#endif
