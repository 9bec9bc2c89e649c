/* turn_set.c: the epoll set: who is in it, what it watches, and the end of a connection's descriptor. */
#include "ipc/kc_turn_set.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static const int64_t KC_S_NS = 1000000000;
static const int64_t KC_STARVED_NS = 10000000;

int64_t kc_turn_clock(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * KC_S_NS + now.tv_nsec;
}

static int kc_set_join(const kc_turn_set *set, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event event = {.events = events, .data.u64 = data};
    return epoll_ctl(set->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? KC_OK : -errno;
}

void kc_set_saw(kc_turn_set *set, const int *fds, uint32_t count)
{
    struct rlimit limit = {0};
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        set->most_fds = limit.rlim_cur;
    }
    for (uint32_t i = 0; i < count; i++) {
        set->highest_fd = fds[i] > set->highest_fd ? fds[i] : set->highest_fd;
    }
}

bool kc_set_is_short(const kc_turn_set *set)
{
    return (uint64_t)set->highest_fd + KC_TURN_SPARE_FDS >= set->most_fds;
}

static int kc_set_fill(kc_pump *pump)
{
    kc_turn_set *set = pump->set;
    int code = KC_OK;
    set->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    set->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    set->port_fd = kc_port_fd(pump->conns.engine, pump->port);
    if (set->epoll_fd < 0 || set->timer_fd < 0 || set->port_fd < 0) {
        code = set->port_fd < 0 ? set->port_fd : -errno;
    }
    if (code == KC_OK) {
        code = kc_set_join(set, set->timer_fd, EPOLLIN, (uint64_t)KC_MARK_TIMER << 32);
    }
    if (code == KC_OK) {
        code = kc_set_join(set, pump->bell.fd, EPOLLIN, (uint64_t)KC_MARK_BELL << 32);
    }
    if (code == KC_OK) {
        code = kc_set_join(set, set->port_fd, EPOLLIN, (uint64_t)KC_MARK_PORT << 32);
    }
    return code;
}

int kc_set_open(kc_pump *pump)
{
    kc_turn_set *set = kc_memory_take(&pump->conns.memory, sizeof *set);
    if (set == NULL) {
        return KC_ENOMEM;
    }
    pump->set = set;
    set->epoll_fd = set->timer_fd = set->port_fd = -1;
    set->armed_ns = set->retry_ns = KC_NEVER;
    int code = kc_set_fill(pump);
    kc_set_saw(set, &set->timer_fd, 1);
    if (code != KC_OK) {
        kc_set_close(pump);
    }
    return code;
}

void kc_set_close(kc_pump *pump)
{
    kc_turn_set *set = pump->set;
    if (set == NULL) {
        return;
    }
    if (set->timer_fd >= 0) {
        (void)close(set->timer_fd);
    }
    if (set->epoll_fd >= 0) {
        (void)close(set->epoll_fd);
    }
    kc_memory_give(&pump->conns.memory, set->listeners, set->listener_count * sizeof *set->listeners);
    kc_memory_give(&pump->conns.memory, set, sizeof *set);
    pump->set = NULL;
}

/* ---- connections ---- */

enum { KC_WATCH_IN = 1, KC_WATCH_OUT = 2 };

static uint32_t kc_set_events(uint8_t interest)
{
    return ((interest & KC_WATCH_IN) != 0 ? EPOLLIN | EPOLLRDHUP : 0U) |
           ((interest & KC_WATCH_OUT) != 0 ? (uint32_t)EPOLLOUT : 0U);
}

static void kc_set_watch(kc_pump *pump, kc_connection *conn, uint8_t interest)
{
    struct epoll_event event = {.events = kc_set_events(interest), .data.u64 = kc_conn_ticket(conn)};
    if (interest == conn->interest) {
        return;
    }
    conn->interest = interest;
    if (epoll_ctl(pump->set->epoll_fd, EPOLL_CTL_MOD, conn->fd, &event) != 0) {
        kc_connection_break(&pump->conns, conn, -errno);
    }
}

void kc_set_follow(kc_pump *pump, kc_connection *conn)
{
    bool waits = kc_output_queued(conn) != 0 && !conn->writable && !conn->links[KC_LIST_STARVED].in;
    uint8_t out = waits ? KC_WATCH_OUT : 0;
    bool in = (conn->interest & KC_WATCH_IN) != 0 || kc_pump_wants_input(pump, conn);
    if (conn->state != KC_CONN_OPEN) {
        in = false;
    }
    kc_set_watch(pump, conn, (uint8_t)(out | (in ? KC_WATCH_IN : 0)));
}

void kc_set_deafen(kc_pump *pump, kc_connection *conn)
{
    kc_set_watch(pump, conn, (uint8_t)(conn->interest & ~KC_WATCH_IN));
}

void kc_set_forget_room(kc_pump *pump, kc_connection *conn)
{
    kc_set_watch(pump, conn, (uint8_t)(conn->interest & ~KC_WATCH_OUT));
}

bool kc_set_hears(const kc_connection *conn)
{
    return (conn->interest & KC_WATCH_IN) != 0;
}

void kc_set_starve(kc_pump *pump, kc_connection *conn)
{
    conn->writable = false; /* and not watched: the kernel would call it writable at once, again and again */
    kc_list_add(&pump->conns, KC_LIST_STARVED, conn);
    if (pump->set->retry_ns == KC_NEVER) {
        pump->set->retry_ns = pump->now_ns + KC_STARVED_NS;
    }
}

void kc_set_retry(kc_pump *pump)
{
    kc_connection *conn;
    if (pump->now_ns < pump->set->retry_ns) {
        return;
    }
    pump->set->retry_ns = KC_NEVER;
    while ((conn = kc_list_take(&pump->conns, KC_LIST_STARVED)) != NULL) {
        conn->writable = true;
        kc_list_add(&pump->conns, KC_LIST_ATTENTION, conn);
    }
}

static void kc_set_close_socket(kc_pump *pump, kc_connection *conn)
{
    kc_turn_close(pump, (kc_ending){.fd = conn->fd, .transport = conn->transport, .account = conn->account});
    conn->fd = -1;
}

void kc_set_end(kc_pump *pump, kc_connection *conn)
{
    if (conn->fd >= 0) {
        kc_set_close_socket(pump, conn);
    }
    kc_connection_end(&pump->conns, conn, KC_REASON_DEAD);
}

int kc_conn_add(kc_pump *pump, int fd, uint32_t transport, uint32_t account, kc_conn *conn_out)
{
    kc_connection *conn = NULL;
    if (fd >= 0) {
        kc_set_saw(pump->set, &fd, 1);
    }
    int code = transport <= KC_TRANSPORT_SEQPACKET ? KC_OK : KC_EINVAL;
    if (code == KC_OK) {
        code = kc_conns_add(&pump->conns, account, &conn);
    }
    if (code == KC_OK) {
        conn->transport = (uint8_t)transport;
        conn->max_in = KC_CONTROL_BYTES; /* of a HELLO */
        conn->max_out = kc_pump_max_frame(transport);
        conn->writable = true;
        conn->interest = KC_WATCH_IN;
        code = fd < 0 ? KC_OK : kc_set_join(pump->set, fd, kc_set_events(KC_WATCH_IN), kc_conn_ticket(conn));
        if (code != KC_OK) {
            kc_connection_end(&pump->conns, conn, KC_REASON_DEAD);
            kc_connection_forget(&pump->conns, conn);
        }
    }
    if (code != KC_OK) {
        if (fd >= 0) {
            kc_pump_close_socket(pump, fd, transport, account); /* files may be in it already */
        }
        return code;
    }
    conn->fd = fd < 0 ? -1 : fd;
    *conn_out = kc_conn_ticket(conn);
    return KC_OK;
}

/* ---- the timer ---- */

static int64_t kc_set_next_ns(const kc_pump *pump)
{
    int64_t next = kc_engine_next_deadline(pump->conns.engine);
    bool pressed = pump->conns.input_bytes >= pump->conns.input_budget;
    next = pressed && pump->stale_check_ns < next ? pump->stale_check_ns : next;
    next = pump->release_ns < next ? pump->release_ns : next;
    return pump->set->retry_ns < next ? pump->set->retry_ns : next;
}

void kc_set_arm_timer(kc_pump *pump)
{
    kc_turn_set *set = pump->set;
    int64_t next = kc_set_next_ns(pump);
    struct itimerspec when = {0};
    if (next == set->armed_ns) {
        return;
    }
    if (next != KC_NEVER) {
        int64_t at = next > 0 ? next : 1;
        when.it_value = (struct timespec){.tv_sec = (time_t)(at / KC_S_NS), .tv_nsec = (long)(at % KC_S_NS)};
    }
    set->armed_ns = next;
    (void)timerfd_settime(set->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static void kc_set_drain(int fd)
{
    uint64_t count;
    ssize_t got = read(fd, &count, sizeof count);
    (void)got;
}

void kc_set_timer_rang(kc_turn_set *set)
{
    kc_set_drain(set->timer_fd);
    set->armed_ns = KC_NEVER;
}

void kc_set_port_rang(kc_turn_set *set)
{
    kc_set_drain(set->port_fd);
}

/* ---- the pump's life ---- */

int kc_pump_make(kc_engine *engine, const kc_pump_config *config, kc_pump **pump_out)
{
    kc_memory none = {0};
    kc_pump *pump = kc_memory_take(&none, sizeof *pump);
    if (pump == NULL) {
        return KC_ENOMEM;
    }
    int code = kc_bell_open(&pump->bell);
    if (code == KC_OK) {
        code = kc_pump_open(pump, engine, config);
        if (code == KC_OK) {
            code = kc_set_open(pump);
            if (code != KC_OK) {
                kc_pump_shut(pump);
            }
        }
        if (code != KC_OK) {
            kc_bell_close(&pump->bell);
        }
    }
    if (code != KC_OK) {
        kc_memory_give(&none, pump, sizeof *pump);
        return code;
    }
    *pump_out = pump;
    return KC_OK;
}

void kc_pump_free(kc_pump *pump)
{
    kc_memory none = {0};
    if (pump == NULL) {
        return;
    }
    for (uint32_t i = 1; i <= pump->conns.high; i++) {
        kc_connection *conn = kc_conns_at(&pump->conns, i);
        if (conn != NULL && conn->fd >= 0) {
            kc_set_close_socket(pump, conn);
        }
    }
    kc_pump_shut(pump);
    kc_set_close(pump);
    kc_bell_close(&pump->bell);
    kc_memory_give(&none, pump, sizeof *pump);
}

int kc_pump_fd(kc_pump *pump)
{
    return pump->set->epoll_fd;
}
