/* kc_remote_questions.h: every call of kc_ipc.h that waits for the daemon's answer, with a cancel, as a question that a
 * test may ask in any scene; and what the scripted daemon answers to each. Built where the runtime is.
 */
#ifndef KC_REMOTE_QUESTIONS_H
#define KC_REMOTE_QUESTIONS_H

#include "client/kc_client.h"
#include "kc_remote_peer.h"

typedef struct scene {
    peer *p;
    kc_cancel *cancel;
    kc_ipc_chan *chan;      /* that is asked about */
    kc_ipc_region *region;  /* the same; for what frees one */
    kc_ipc_chan *made;      /* what came of it */
    kc_ipc_region *region_made;
    kc_ipc_loan *loan;
    kc_ipc_result result;
    uint64_t stats[KC_STAT_END];
    uint32_t count;
    int32_t answer;         /* of the scripted daemon to what it was asked */
    int code;
} scene;

/* --- what is asked ------------------------------------------------------------------------------------------------ */

static inline int ask_make(scene *s)
{
    return kc_remote_make(s->p->ipc, "jobs", NULL, s->cancel, &s->made);
}

static inline int ask_open(scene *s)
{
    return kc_remote_open(s->p->ipc, "jobs", 0, -1, s->cancel, &s->made);
}

static inline int ask_try_open(scene *s)
{
    return kc_remote_open(s->p->ipc, "jobs", 0, 0, s->cancel, &s->made);
}

static inline int ask_open_id(scene *s)
{
    return kc_remote_open_id(s->p->ipc, 1002, 0, s->cancel, &s->made);
}

static inline int ask_close(scene *s)
{
    return kc_remote_close(s->chan, s->cancel);
}

static inline int ask_destroy(scene *s)
{
    return kc_remote_destroy(s->chan, "enough", s->cancel);
}

static inline int ask_purge(scene *s)
{
    return kc_remote_purge(s->chan, s->cancel, &s->count);
}

static inline int ask_statistics(scene *s)
{
    return kc_remote_statistics(s->chan, s->cancel, s->stats);
}

static inline int ask_ack(scene *s)
{
    const uint64_t delivery = 7;
    return kc_remote_ack(s->p->ipc, &delivery, 1, s->cancel);
}

static inline int ask_nack(scene *s)
{
    const uint64_t delivery = 7;
    return kc_remote_nack(s->p->ipc, &delivery, 1, s->cancel);
}

static inline int ask_region_make(scene *s)
{
    return kc_remote_region_make(s->p->ipc, 4096, s->cancel, &s->region_made);
}

static inline int ask_region_free(scene *s)
{
    int code = kc_remote_region_free(s->region, s->cancel);
    s->region = code == KC_OK ? NULL : s->region;
    return code;
}

static inline int ask_ping(scene *s)
{
    return kc_remote_ping(s->p->ipc, s->cancel);
}

static inline int ask_send_many(scene *s)
{
    const kc_ipc_payload two[] = {peer_ab, peer_ab};
    return kc_remote_send_many(s->chan, two, 2, NULL, s->cancel, &s->result);
}

static inline int ask_recv_many(scene *s)
{
    return kc_remote_recv_many(s->chan, 4, NULL, s->cancel, &s->result);
}

static inline int ask_op_wait(scene *s)
{
    kc_ipc_op *op;
    KC_REQUIRE(kc_ipc_recv_begin(s->chan, 1, NULL, &op) == KC_OK);
    int code = kc_remote_op_wait(op, s->cancel, &s->result);
    kc_ipc_op_free(op);
    return code;
}

typedef struct question {
    int (*ask)(scene *s);
    uint16_t cmd;
    bool counted; /* it waits for a bound too */
    bool result;  /* which says that it is in doubt, so the code need not */
} question;

static const question questions[] = {
    {ask_make, KC_CMD_CHAN_MAKE, false, false},
    {ask_open, KC_CMD_CHAN_OPEN, true, false},
    {ask_try_open, KC_CMD_CHAN_OPEN, false, false},
    {ask_open_id, KC_CMD_CHAN_OPEN, false, false},
    {ask_close, KC_CMD_CHAN_CLOSE, false, false},
    {ask_destroy, KC_CMD_CHAN_DESTROY, false, false},
    {ask_purge, KC_CMD_CHAN_PURGE, false, false},
    {ask_statistics, KC_CMD_GET_STATS, false, false},
    {ask_ack, KC_CMD_ACK, false, false},
    {ask_nack, KC_CMD_NACK, false, false},
    {ask_region_make, KC_CMD_REGION_ADD, false, false},
    {ask_region_free, KC_CMD_REGION_DROP, false, false},
    {ask_ping, KC_CMD_PING, false, false},
    {ask_send_many, KC_CMD_CHAN_SEND, true, true},
    {ask_recv_many, KC_CMD_CHAN_RECV, true, true},
    {ask_op_wait, KC_CMD_CHAN_RECV, true, true},
};
enum { QUESTIONS = sizeof questions / sizeof *questions };

/* --- the daemon --------------------------------------------------------------------------------------------------- */

static inline void answer(peer *p, uint16_t cmd, uint32_t req_id, int32_t code)
{
    const uint8_t numbers[16] = {0};
    kc_writer *out = peer_reply(p, cmd, req_id, code);
    if (code == KC_OK) {
        switch (cmd) {
        case KC_CMD_CHAN_MAKE:
        case KC_CMD_CHAN_OPEN: kc_put_u32(out, KC_ATTR_CHAN_ID, 1002); break;
        case KC_CMD_CHAN_PURGE: kc_put_u32(out, KC_ATTR_COUNT, 3); break;
        case KC_CMD_CHAN_SEND: kc_put_u32(out, KC_ATTR_COUNT, 2); break;
        case KC_CMD_GET_STATS: kc_put_bytes(out, KC_ATTR_NUMBERS, numbers, sizeof numbers); break;
        case KC_CMD_REGION_ADD: kc_put_u64(out, KC_ATTR_REGION_ID, 5); break;
        case KC_CMD_CHAN_RECV: kc_put_bytes(out, KC_ATTR_ELEMENT, "xyz", 3); break;
        default: break;
        }
    }
    peer_end(p);
}

/* The id that the client's next request will have: nobody else asks. */
static inline uint32_t next_id(const peer *p)
{
    return p->ipc->last_id + 1;
}

/* --- scenes ------------------------------------------------------------------------------------------------------- */

static inline scene begin_as(const kc_ipc_waiting *waiting, uint32_t max_requests, size_t room, int32_t grace_ms)
{
    kc_ipc_config config;
    scene s = {.p = peer_make(room, &config)};
    config.waiting = waiting;
    config.max_requests = max_requests;
    config.grace_ms = grace_ms;
    peer_open_as(config, s.p);
    s.chan = peer_channel(s.p, 1, 1001);
    answer(s.p, KC_CMD_REGION_ADD, 2, KC_OK);
    KC_REQUIRE(kc_ipc_region_make(s.p->ipc, 4096, &s.region) == KC_OK);
    peer_expect(s.p, KC_CMD_REGION_ADD);
    KC_REQUIRE(kc_cancel_make(NULL, &s.cancel) == KC_OK);
    return s;
}

static inline scene begin(void)
{
    return begin_as(kc_remote_waiting(), 0, PEER_ROOM, 0);
}

static inline bool has_nothing(const scene *s)
{
    return s->made == NULL && s->region_made == NULL && s->result.message_count == 0 && s->count == 0;
}

static inline void end(scene *s)
{
    kc_ipc_result_free(&s->result);
    if (s->p->link != NULL) {
        peer_hang_up(s->p);
    }
    kc_ipc_step(s->p->ipc);
    kc_ipc_chan_free(s->made);
    kc_ipc_chan_free(s->chan);
    kc_ipc_region_free(s->region_made);
    kc_ipc_region_free(s->region);
    kc_cancel_drop(s->cancel);
    peer_close(s->p);
}

#endif
