/* kc_remote_peer.h: a daemon's channel behind kc_channel.h, the daemon being the scripted one of kc_client_peer.h. */
#ifndef KC_REMOTE_PEER_H
#define KC_REMOTE_PEER_H

#include <sched.h>

#include "kc_client_peer.h"
#include "kcoro/kc_remote.h"

static inline kc_channel *remote_channel(peer *p, uint32_t req_id, uint32_t chan_id, uint32_t elem_size)
{
    kc_ipc_chan *chan = NULL;
    kc_channel *channel = NULL;
    kc_writer *out = peer_reply(p, KC_CMD_CHAN_OPEN, req_id, KC_OK);
    kc_put_u32(out, KC_ATTR_CHAN_ID, chan_id);
    kc_put_u32(out, KC_ATTR_ELEM_SIZE, elem_size);
    peer_end(p);
    KC_REQUIRE(kc_ipc_open_id(p->ipc, chan_id, 0, &chan) == KC_OK);
    peer_expect(p, KC_CMD_CHAN_OPEN);
    KC_REQUIRE(kc_remote_channel(p->ipc, chan, &channel) == KC_OK);
    return channel;
}

static inline peer *open_bounded(const kc_ipc_waiting *waiting, uint32_t max_requests, uint64_t max_bytes)
{
    kc_ipc_config config;
    peer *p = peer_make(PEER_ROOM, &config);
    config.waiting = waiting;
    config.max_requests = max_requests;
    config.max_bytes = max_bytes;
    return peer_open_as(config, p);
}

static inline peer *open_waiting(const kc_ipc_waiting *waiting)
{
    return open_bounded(waiting, 0, 0);
}

static inline peer *open_remote(void)
{
    return open_waiting(kc_remote_waiting());
}

static inline uint32_t await_request(peer *p)
{
    return peer_await_cmd(p, KC_CMD_CHAN_RECV);
}

/* The answer's bytes; what peer_end would send. */
static inline size_t make_answer(peer *p, uint32_t req_id, uint8_t *bytes_out)
{
    kc_put_bytes(peer_reply(p, KC_CMD_CHAN_RECV, req_id, KC_OK), KC_ATTR_ELEMENT, "xyz", 3);
    KC_REQUIRE(kc_frame_finish(&p->writer) == KC_OK);
    memcpy(bytes_out, p->out, p->writer.length);
    return p->writer.length;
}

/* Whoever asks who it is waits from then on: it holds the connection's lock until it is among those who wait. */
static _Atomic int waiting_count;

static inline void *counted_self(void)
{
    atomic_fetch_add(&waiting_count, 1);
    return kc_remote_waiting()->self();
}

static inline void await_waiting(int count)
{
    while (atomic_load(&waiting_count) < count) {
        sched_yield();
    }
}

#endif
