/* kc_client_peer.h: a scripted daemon at the other end of a pair in memory, for tests of the C client.
 *
 * The peer speaks when the test says so: what it writes waits in the pair until the client reads it, what the client
 * has written is read by peer_next. Nothing here waits, so no test of one thread can hang in the peer.
 */
#ifndef KC_CLIENT_PEER_H
#define KC_CLIENT_PEER_H

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ipc/kc_bytes.h"
#include "ipc/kc_frame.h"
#include "kc_test.h"
#include "kcoro/kc_ipc.h"

enum { PEER_ROOM = 1 << 20 };

/* What is sent where it matters only whether it fits in one piece: in a pair of 64 bytes the first does. */
static const uint8_t peer_zeros[200];
static const kc_ipc_payload peer_ab = {.bytes = "ab", .length = 2};
static const kc_ipc_payload peer_large = {.bytes = peer_zeros, .length = sizeof peer_zeros};

/* --- counted memory, which can fail ------------------------------------------------------------------------------- */

static atomic_long memory_out;   /* pieces that were not given back */
static atomic_long memory_until; /* takes until one fails; negative: none */

static void *memory_take(void *self, size_t bytes)
{
    (void)self;
    if (atomic_fetch_sub(&memory_until, 1) == 0) {
        return NULL;
    }
    void *memory = malloc(bytes);
    atomic_fetch_add(&memory_out, memory != NULL);
    return memory;
}

static void memory_give(void *self, void *memory)
{
    (void)self;
    atomic_fetch_sub(&memory_out, 1);
    free(memory);
}

static const kc_ipc_memory memory_counted = {memory_take, memory_give, NULL};

/* --- the peer ----------------------------------------------------------------------------------------------------- */

typedef struct peer {
    void *link;
    kc_ipc *ipc;
    uint8_t out[PEER_ROOM];
    kc_writer writer;
    int files[KC_MAX_FILES]; /* that go with the next flush */
    uint32_t file_count;
    uint8_t in[PEER_ROOM];
    size_t in_length;
    int came[KC_MAX_FILES];
    uint32_t came_count;
    size_t taken;
    int epoll;
    bool ended;
} peer;

static inline void peer_raw(peer *p, const void *bytes, size_t length)
{
    size_t at = 0;
    while (at < length) {
        int64_t sent = kc_ipc_pair_transport()->send(p->link, (const uint8_t *)bytes + at, length - at,
                                                     at == 0 ? p->files : NULL, at == 0 ? p->file_count : 0);
        KC_REQUIRE(sent > 0);
        at += (size_t)sent;
    }
    p->file_count = 0;
}

static inline kc_writer *peer_begin(peer *p, uint16_t cmd, uint8_t files)
{
    kc_writer_init(&p->writer, p->out, sizeof p->out, 1, KC_MAX_FRAME_BYTES);
    kc_frame_begin(&p->writer, cmd, files);
    return &p->writer;
}

static inline kc_writer *peer_reply(peer *p, uint16_t cmd, uint32_t req_id, int32_t result)
{
    kc_writer *out = peer_begin(p, cmd, 0);
    kc_put_u32(out, KC_ATTR_REQ_ID, req_id);
    kc_put_i32(out, KC_ATTR_RESULT, result);
    return out;
}

static inline void peer_end(peer *p)
{
    KC_REQUIRE(kc_frame_finish(&p->writer) == KC_OK);
    peer_raw(p, p->out, p->writer.length);
}

static inline void peer_answer(peer *p, uint16_t cmd, uint32_t req_id, int32_t result)
{
    peer_reply(p, cmd, req_id, result);
    peer_end(p);
}

/* The next whole frame that the client has written; false: none. Valid until the next call. */
static inline bool peer_next(peer *p, kc_frame_header *header_out, kc_request *request_out)
{
    memmove(p->in, p->in + p->taken, p->in_length - p->taken);
    p->in_length -= p->taken;
    p->taken = 0;
    for (;;) {
        int whole = kc_frame_head(p->in, p->in_length, 1, KC_MAX_FRAME_BYTES, header_out);
        if (whole == KC_OK && p->in_length >= KC_FRAME_HEADER_BYTES + (size_t)header_out->length) {
            break;
        }
        uint32_t files = KC_MAX_FILES - p->came_count;
        int64_t came = kc_ipc_pair_transport()->receive(p->link, p->in + p->in_length, sizeof p->in - p->in_length,
                                                        p->came + p->came_count, &files);
        if (came <= 0) {
            p->ended = came != KC_EAGAIN;
            return false;
        }
        p->came_count += files;
        p->in_length += (size_t)came;
    }
    p->taken = KC_FRAME_HEADER_BYTES + (size_t)header_out->length;
    KC_REQUIRE(kc_request_parse(p->in + KC_FRAME_HEADER_BYTES, header_out->length, 1, header_out->cmd, request_out) ==
               KC_OK);
    return true;
}

/* The next frame, waited for: for a peer that has a thread of its own. False: the client has ended. */
static inline bool peer_await(peer *p, kc_frame_header *header_out, kc_request *request_out)
{
    struct epoll_event event;
    while (!peer_next(p, header_out, request_out)) {
        if (p->ended) {
            return false;
        }
        if (p->epoll <= 0) {
            p->epoll = epoll_create1(EPOLL_CLOEXEC);
            KC_REQUIRE(kc_ipc_pair_transport()->watch(p->link, p->epoll, 0) == KC_OK);
        }
        epoll_wait(p->epoll, &event, 1, -1);
    }
    return true;
}

/* The REQ_ID of the next frame, which is of this command: waited for, or there already. */
static inline uint32_t peer_await_cmd(peer *p, uint16_t cmd)
{
    kc_frame_header header;
    kc_request request;
    KC_REQUIRE(peer_await(p, &header, &request));
    KC_CHECK_EQ(header.cmd, cmd);
    return request.req_id;
}

static inline uint32_t peer_expect(peer *p, uint16_t cmd)
{
    kc_frame_header header;
    kc_request request;
    KC_REQUIRE(peer_next(p, &header, &request));
    KC_CHECK_EQ(header.cmd, cmd);
    return request.req_id;
}

static inline void peer_expect_nothing(peer *p)
{
    kc_frame_header header;
    kc_request request;
    KC_CHECK(!peer_next(p, &header, &request));
}

static inline void peer_hello(peer *p, uint32_t minor, uint32_t caps)
{
    kc_writer *out = peer_begin(p, KC_CMD_HELLO, 0);
    kc_put_u32(out, KC_ATTR_ABI_MAJOR, 1);
    kc_put_u32(out, KC_ATTR_ABI_MINOR, minor);
    kc_put_u32(out, KC_ATTR_CAPS, caps);
    kc_put_u32(out, KC_ATTR_MAX_FRAME, KC_MAX_FRAME_BYTES);
    peer_end(p);
}

static inline kc_ipc_config peer_pair(peer *p, size_t room)
{
    void *links[2];
    memset(p, 0, sizeof *p);
    KC_REQUIRE(kc_ipc_pair_make(links, room) == KC_OK);
    p->link = links[1];
    return (kc_ipc_config){.transport = kc_ipc_pair_transport(), .link = links[0], .memory = &memory_counted};
}

/* A peer that has not said anything, and how a client gets to it. */
static inline peer *peer_make(size_t room, kc_ipc_config *config_out)
{
    peer *p = malloc(sizeof *p);
    KC_REQUIRE(p != NULL);
    atomic_store(&memory_until, -1);
    *config_out = peer_pair(p, room);
    return p;
}

static peer *peer_open_as(kc_ipc_config config, peer *p)
{
    peer_hello(p, 1, KC_CAP_DESCRIPTORS | KC_CAP_FILES);
    KC_REQUIRE(kc_ipc_connect(&config, &p->ipc) == KC_OK);
    peer_expect(p, KC_CMD_HELLO);
    return p;
}

/* A peer and a client that have greeted. */
static inline peer *peer_open(size_t room)
{
    kc_ipc_config config;
    peer *p = peer_make(room, &config);
    return peer_open_as(config, p);
}

static inline void peer_close(peer *p)
{
    kc_ipc_disconnect(p->ipc);
    p->ipc = NULL;
    if (p->link != NULL) {
        kc_ipc_pair_transport()->close(p->link);
    }
    if (p->epoll > 0) {
        close(p->epoll);
    }
    for (uint32_t i = 0; i < p->came_count; i++) {
        close(p->came[i]);
    }
    free(p);
    KC_CHECK_EQ(atomic_load(&memory_out), 0);
}

static inline void peer_hang_up(peer *p)
{
    kc_ipc_pair_transport()->close(p->link);
    p->link = NULL;
}

/* A handle on a channel that the peer made up: the ids of requests begin with 1 and grow, so the answer can be there
 * before the question. */
static inline kc_ipc_chan *peer_channel(peer *p, uint32_t req_id, uint32_t chan_id)
{
    kc_ipc_chan *chan = NULL;
    kc_writer *out = peer_reply(p, KC_CMD_CHAN_OPEN, req_id, KC_OK);
    kc_put_u32(out, KC_ATTR_CHAN_ID, chan_id);
    kc_put_i32(out, KC_ATTR_KIND, KC_KIND_RENDEZVOUS);
    kc_put_u32(out, KC_ATTR_ELEM_SIZE, KC_MAX_ELEMENT_BYTES);
    peer_end(p);
    int code = kc_ipc_open_id(p->ipc, chan_id, 0, &chan);
    KC_CHECK_EQ(code, KC_OK);
    KC_REQUIRE(code == KC_OK);
    KC_CHECK_EQ(peer_expect(p, KC_CMD_CHAN_OPEN), req_id);
    return chan;
}

/* Frees a handle; the peer answers first. */
static inline void peer_free_channel(peer *p, kc_ipc_chan *chan, uint32_t req_id)
{
    peer_answer(p, KC_CMD_CHAN_RELEASE, req_id, KC_OK);
    kc_ipc_chan_free(chan);
}

#endif
