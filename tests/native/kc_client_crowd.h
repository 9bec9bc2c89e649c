/* kc_client_crowd.h: many users of one connection, and a scripted daemon (kc_client_peer.h) with a thread of its own
 * that answers them out of order.
 */
#ifndef KC_CLIENT_CROWD_H
#define KC_CLIENT_CROWD_H

#include "kc_client_peer.h"

enum { CROWD_FIRST_CHAN = 1001 };

/* Whoever comes while so many requests are in flight waits. */
static inline peer *crowd_open(uint32_t requests, const kc_ipc_waiting *waiting)
{
    kc_ipc_config config;
    peer *p = peer_make(PEER_ROOM, &config);
    config.max_requests = requests;
    config.connect_timeout_ms = 1000000; /* no timer of the connect's wakes anybody */
    config.waiting = waiting;
    return peer_open_as(config, p);
}

typedef struct crowd_asked {
    uint16_t cmd;
    uint32_t req_id;
    uint32_t chan_id;
} crowd_asked;

static inline void crowd_answer(peer *p, const crowd_asked *one)
{
    kc_writer *out = peer_reply(p, one->cmd, one->req_id, KC_OK);
    if (one->cmd == KC_CMD_CHAN_OPEN) {
        kc_put_u32(out, KC_ATTR_CHAN_ID, one->chan_id);
    } else if (one->cmd == KC_CMD_CHAN_RECV) {
        kc_put_bytes(out, KC_ATTR_ELEMENT, &one->chan_id, sizeof one->chan_id);
    }
    peer_end(p);
}

/* Answers what has come by then, the last one first. */
static inline void *crowd_serve(void *arg)
{
    peer *p = arg;
    kc_frame_header header;
    kc_request request;
    while (peer_await(p, &header, &request)) {
        crowd_asked all[64];
        int count = 0;
        do {
            all[count++] = (crowd_asked){header.cmd, request.req_id, request.chan_id};
        } while (count < 64 && peer_next(p, &header, &request));
        while (count-- > 0) {
            crowd_answer(p, &all[count]);
        }
    }
    return NULL;
}

/* Sends and receives by turns on a channel of its own; how many of the answers were its own. */
static inline long crowd_converse(kc_ipc *ipc, uint32_t chan_id, int rounds)
{
    kc_ipc_chan *chan = NULL;
    kc_ipc_message message;
    long received = 0;
    KC_REQUIRE(kc_ipc_open_id(ipc, chan_id, 0, &chan) == KC_OK);
    for (int i = 0; i < rounds; i++) {
        KC_CHECK_EQ(kc_ipc_send(chan, &i, sizeof i, NULL), KC_OK);
        KC_REQUIRE(kc_ipc_recv(chan, &message, NULL) == KC_OK);
        received += message.length == sizeof chan_id && memcmp(message.bytes, &chan_id, sizeof chan_id) == 0;
        kc_ipc_message_free(&message);
    }
    kc_ipc_chan_free(chan);
    return received;
}

/* Ends it all: the daemon's thread when the client has gone. */
static inline void crowd_part(peer *p, pthread_t server)
{
    kc_ipc_disconnect(p->ipc);
    p->ipc = NULL;
    pthread_join(server, NULL);
    peer_close(p);
}

#endif
