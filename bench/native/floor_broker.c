/* floor_broker.c: the floor's connections: one epoll set, frames in, replies out, one read and one write per connection
 * and turn. Not the queues (floor_queue.c). Usage: floor_broker PATH
 *
 * Invariants: a frame is looked at only when it is whole; every attribute is checked against its frame; a connection
 * that breaks a rule, or whose buffers cannot grow, is closed and nothing else happens.
 */
#include "floor_broker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { EVENTS = 256, READ_BYTES = 1 << 16, FRAME_BYTES = 1 << 20, DESCRIPTORS = 1 << 16 };

static struct {
    int epoll, listener;
    floor_conn conns[DESCRIPTORS]; /* by descriptor */
    int dirty[DESCRIPTORS];
    int dirty_count;
} broker;

static bool reserve(floor_buffer *buffer, size_t more) {
    if (buffer->room - buffer->used >= more) {
        return true;
    }
    size_t room = (buffer->used + more) * 2;
    uint8_t *bytes = realloc(buffer->bytes, room);
    if (bytes != NULL) {
        buffer->bytes = bytes;
        buffer->room = room;
    }
    return bytes != NULL;
}

floor_conn *floor_conn_alive(int fd, uint32_t life) {
    floor_conn *conn = &broker.conns[fd];
    return conn->open && conn->life == life ? conn : NULL;
}

uint8_t *floor_reply_room(floor_conn *conn, size_t bytes) {
    if (!reserve(&conn->out, bytes)) {
        conn->failed = true;
        return NULL;
    }
    if (!conn->dirty) {
        conn->dirty = true;
        broker.dirty[broker.dirty_count++] = conn->fd;
    }
    uint8_t *at = conn->out.bytes + conn->out.used;
    conn->out.used += bytes;
    return at;
}

void floor_reply(floor_conn *conn, uint32_t cmd, uint32_t req_id, int32_t result) {
    uint8_t *at = floor_reply_room(conn, FLOOR_HEADER_BYTES + 16);
    if (at == NULL) {
        return;
    }
    floor_put_u32(at, cmd << 16);
    floor_put_u32(at + 4, 16);
    floor_put_u32(at + 8, KC_ATTR_REQ_ID << 16 | 4);
    floor_put_u32(at + 12, req_id);
    floor_put_u32(at + 16, KC_ATTR_RESULT << 16 | 4);
    floor_put_u32(at + 20, (uint32_t)result);
}

static void hello(floor_conn *conn) {
    uint8_t *at = floor_reply_room(conn, FLOOR_HEADER_BYTES + 16);
    if (at == NULL) {
        return;
    }
    floor_put_u32(at, (uint32_t)KC_CMD_HELLO << 16);
    floor_put_u32(at + 4, 16);
    floor_put_u32(at + 8, KC_ATTR_ABI_MAJOR << 16 | 4);
    floor_put_u32(at + 12, 1);
    floor_put_u32(at + 16, KC_ATTR_ABI_MINOR << 16 | 4);
    floor_put_u32(at + 20, 1);
}

static bool scalar(floor_request *request, uint32_t kind, uint32_t value) {
    switch (kind) {
    case KC_ATTR_REQ_ID: request->req_id = value; return true;
    case KC_ATTR_CHAN_ID: request->chan_id = value; return true;
    case KC_ATTR_TIMEOUT_MS: request->timeout_ms = value; return true;
    case KC_ATTR_MAX_ITEMS: request->max_items = value; return true;
    case KC_ATTR_CAPACITY: request->capacity = value; return true;
    case KC_ATTR_KIND: request->kind = (int32_t)value; return true;
    default: return false;
    }
}

static bool parse(const uint8_t *at, const uint8_t *end, floor_request *request) {
    memset(request, 0, sizeof *request);
    request->end = end;
    while (at < end) {
        if (end - at < 4) {
            return false;
        }
        uint32_t kind = floor_u16(at), bytes = floor_u16(at + 2);
        if ((size_t)(end - at) - 4 < bytes) {
            return false;
        }
        if (kind == KC_ATTR_ELEMENT) {
            request->elements = request->elements == NULL ? at : request->elements;
            request->element_count++;
        } else if (kind == KC_ATTR_NAME) {
            request->name = at + 4;
            request->name_bytes = bytes;
        } else if (bytes == 4) {
            scalar(request, kind, floor_u32(at + 4));
        }
        at += 4 + bytes;
    }
    return true;
}

static bool serve(floor_conn *conn, uint32_t cmd, const uint8_t *at, const uint8_t *end) {
    floor_request request;
    if (!parse(at, end, &request)) {
        return false;
    }
    switch (cmd) {
    case KC_CMD_HELLO: hello(conn); break;
    case KC_CMD_PING: floor_reply(conn, cmd, request.req_id, 0); break;
    case KC_CMD_CHAN_MAKE:
    case KC_CMD_CHAN_OPEN: floor_make(conn, cmd, &request); break;
    case KC_CMD_CHAN_SEND: floor_send(conn, &request); break;
    case KC_CMD_CHAN_RECV: floor_recv(conn, &request); break;
    default: floor_reply(conn, cmd, request.req_id, KC_ENOSYS);
    }
    return !conn->failed;
}

static bool serve_all(floor_conn *conn) {
    size_t done = 0;
    bool good = true;
    while (good && conn->in.used - done >= FLOOR_HEADER_BYTES) {
        const uint8_t *at = conn->in.bytes + done;
        size_t whole = FLOOR_HEADER_BYTES + (size_t)floor_u32(at + 4);
        if (whole > FRAME_BYTES) {
            return false;
        }
        if (conn->in.used - done < whole) {
            break;
        }
        good = serve(conn, floor_u16(at), at + FLOOR_HEADER_BYTES, at + whole);
        done += whole;
    }
    memmove(conn->in.bytes, conn->in.bytes + done, conn->in.used - done);
    conn->in.used -= done;
    return good;
}

static bool take(floor_conn *conn) {
    if (!reserve(&conn->in, READ_BYTES)) {
        return false;
    }
    ssize_t got = recv(conn->fd, conn->in.bytes + conn->in.used, READ_BYTES, MSG_DONTWAIT);
    if (got < 0) {
        return errno == EAGAIN || errno == EINTR;
    }
    conn->in.used += (size_t)got;
    return got > 0 && serve_all(conn);
}

static void want(floor_conn *conn, bool blocked) {
    if (conn->blocked != blocked) {
        struct epoll_event event = {.events = EPOLLIN | (blocked ? (uint32_t)EPOLLOUT : 0), .data.fd = conn->fd};
        conn->blocked = blocked;
        conn->failed |= epoll_ctl(broker.epoll, EPOLL_CTL_MOD, conn->fd, &event) != 0;
    }
}

static void end(floor_conn *conn) {
    conn->open = false;
    close(conn->fd);
    free(conn->in.bytes);
    free(conn->out.bytes);
    memset(&conn->in, 0, sizeof conn->in);
    memset(&conn->out, 0, sizeof conn->out);
}

static void flush(floor_conn *conn) {
    conn->dirty = false;
    ssize_t gone = send(conn->fd, conn->out.bytes, conn->out.used, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (gone < 0 && errno != EAGAIN && errno != EINTR) {
        end(conn);
        return;
    }
    size_t sent = gone < 0 ? 0 : (size_t)gone;
    memmove(conn->out.bytes, conn->out.bytes + sent, conn->out.used - sent);
    conn->out.used -= sent;
    want(conn, conn->out.used > 0);
}

static void admit(void) {
    static uint32_t lives;
    int fd = accept4(broker.listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0 || fd >= DESCRIPTORS) {
        close(fd);
        return;
    }
    broker.conns[fd] = (floor_conn){.fd = fd, .life = ++lives, .open = true};
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(broker.epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        end(&broker.conns[fd]);
    }
}

static void turn(void) {
    struct epoll_event events[EVENTS];
    int count = epoll_wait(broker.epoll, events, EVENTS, -1);
    for (int i = 0; i < count; i++) {
        floor_conn *conn = &broker.conns[events[i].data.fd];
        if (events[i].data.fd == broker.listener) {
            admit();
        } else if (events[i].events & EPOLLOUT) {
            flush(conn);
        } else if (!take(conn)) {
            end(conn);
        }
    }
    for (int i = 0; i < broker.dirty_count; i++) {
        floor_conn *conn = &broker.conns[broker.dirty[i]];
        if (conn->open && conn->dirty) {
            flush(conn);
        }
    }
    broker.dirty_count = 0;
}

static bool listen_on(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        return false;
    }
    memcpy(address.sun_path, path, strlen(path));
    broker.epoll = epoll_create1(EPOLL_CLOEXEC);
    broker.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = broker.listener};
    return bind(broker.listener, (struct sockaddr *)&address, sizeof address) == 0 &&
           listen(broker.listener, SOMAXCONN) == 0 &&
           epoll_ctl(broker.epoll, EPOLL_CTL_ADD, broker.listener, &event) == 0;
}

int main(int argc, char **argv) {
    if (argc != 2 || !listen_on(argv[1])) {
        fprintf(stderr, "usage: %s PATH (%s)\n", argv[0], strerror(errno));
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    for (;;) {
        turn();
    }
}
