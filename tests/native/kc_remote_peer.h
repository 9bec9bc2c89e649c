/* kc_remote_peer.h: a daemon's channel behind kc_channel.h, the daemon being the scripted one of kc_client_peer.h. */
#ifndef KC_REMOTE_PEER_H
#define KC_REMOTE_PEER_H

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

static inline peer *open_bounded(const kc_ipc_waiting *waiting, uint32_t max_requests)
{
    peer *p = malloc(sizeof *p);
    KC_REQUIRE(p != NULL);
    atomic_store(&memory_until, -1);
    kc_ipc_config config = peer_pair(p, PEER_ROOM);
    config.waiting = waiting;
    config.max_requests = max_requests;
    return peer_open_as(config, p);
}

static inline peer *open_waiting(const kc_ipc_waiting *waiting)
{
    return open_bounded(waiting, 0);
}

static inline peer *open_remote(void)
{
    return open_waiting(kc_remote_waiting());
}

#endif
