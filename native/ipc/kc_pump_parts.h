/* kc_pump_parts.h: the pump as its own files see it.
 *
 *     bytes -> serve (frames, budgets) -> frame (rules of requests, control) -> send, recv, select, ack, cancel
 *     the engine's port -> result -> the same replies
 *
 * Invariants: no file of the pump touches a socket, an epoll set or a clock (its eventfd is in pump_bell.c). A
 * connection ends only in kc_pump_attend (or in the turn, which closes its socket first), never in the middle of
 * serving it. After each frame the port is emptied, so what a frame caused is said before the next one starts, however
 * its bytes arrived.
 */
#ifndef KC_PUMP_PARTS_H
#define KC_PUMP_PARTS_H

#include <stdatomic.h>

#include "ipc/kc_conn_output.h"

enum { KC_PUMP_NOTES = 16, KC_PUMP_RESULTS = 64 };
enum { KC_BATCH_ELEMENTS = 65536 /* more in one SEND would stop everybody for milliseconds */ };
/* What Python parses, at a microsecond an attribute. A longer first frame is no HELLO. */
enum { KC_CONTROL_BYTES = 16384, KC_CONTROL_ATTRS = 512 };

typedef struct kc_item { /* one received message on its way into a reply */
    kc_token token;
    kc_body body;
    uint32_t attempts;
} kc_item;

typedef struct kc_rate { /* frames; per_second 0: as many as come */
    int64_t interval_ns, saved_ns;
    uint32_t per_second;
} kc_rate;

typedef struct kc_bell {
    int fd;
    bool rung;          /* by the owner, and not cleared yet */
    atomic_bool woken;  /* by kc_pump_wake */
} kc_bell;

struct kc_pump {
    kc_conns conns;
    kc_pump_config config;
    uint32_t port;
    uint32_t control_offered; /* in this turn */
    uint32_t frames;          /* hot frames served in this turn */
    bool draining;
    kc_bell bell;
    int64_t now_ns;
    int64_t stale_check_ns;
    struct kc_turn_set *set;  /* the turn's */
    bool paced;               /* one of the rates is set */
    kc_rate conn_rate, account_rate;
    int64_t release_ns;       /* when slowed connections are looked at again */
    uint64_t slowed;          /* how often one was put aside */
    kc_note notes[KC_PUMP_NOTES];
    uint32_t note_count;
    uint64_t notes_lost;
    kc_result results[KC_PUMP_RESULTS];
    kc_result aside[KC_PUMP_RESULTS]; /* taken from the port ahead of their turn, oldest first */
    uint32_t aside_first, aside_end;
    kc_queue ended_regions; /* kc_region_end, for Python */
    kc_item items[KC_MAX_ITEMS];
};

/* ---- life ---- */
/* A zeroed pump comes alive, without an epoll set. */
int kc_pump_open(kc_pump *pump, kc_engine *engine, const kc_pump_config *config);
/* Ends every connection (their sockets were closed before) and gives back what kc_pump_open took. */
void kc_pump_shut(kc_pump *pump);
uint32_t kc_pump_max_frame(uint32_t transport);

/* ---- bell ---- */
int kc_bell_open(kc_bell *bell);
void kc_bell_close(kc_bell *bell);
/* True when kc_pump_wake had been called. */
bool kc_bell_clear(kc_bell *bell);
/* Something was said between two turns. */
void kc_pump_ring(kc_pump *pump);

/* ---- serve ---- */
/* n new bytes of the connection: serves what may be served, keeps the rest. */
void kc_pump_take(kc_pump *pump, kc_connection *conn, const uint8_t *bytes, size_t n);
/* Bytes that were received into the large frame's own memory; then kc_pump_take with what came behind. */
void kc_pump_filled(kc_pump *pump, kc_connection *conn, uint32_t n);
void kc_pump_eof(kc_pump *pump, kc_connection *conn);
/* One round over the connections that wait with input. True when some still have. */
bool kc_pump_round(kc_pump *pump);
/* The kernel, or who asked kc_conn_fetch, took n bytes of output; frames that waited for room may run. */
void kc_pump_taken(kc_pump *pump, kc_connection *conn, uint64_t n);
/* A round of one connection that waits with input, or may have some in its socket. */
void kc_pump_serve_waiting(kc_pump *pump, kc_connection *conn);
/* Whether its socket may be read now; at the input budget it is put aside until there is room. */
bool kc_pump_wants_input(kc_pump *pump, kc_connection *conn);
/* Ends connections that hold the beginning of a frame for too long while the input budget is used up. */
void kc_pump_check_stale(kc_pump *pump);
/* True when the connection is over: nothing is left to be said, or nobody to hear it. Cancels what it had parked. */
bool kc_pump_is_over(kc_pump *pump, kc_connection *conn);
/* Ends those connections without a socket that are over. */
void kc_pump_attend(kc_pump *pump);

/* ---- pace ---- */
/* Frames that the connection may have served now. */
uint32_t kc_pace_allows(const kc_pump *pump, const kc_connection *conn);
/* It had turn_frames served. */
void kc_pace_spend(kc_pump *pump, kc_connection *conn);
/* It may have none now, and wants some: it is put aside until then. */
void kc_pace_slow(kc_pump *pump, kc_connection *conn);
void kc_pace_release(kc_pump *pump);
/* Somebody is not read because of files to be closed: looked at again when they would be taken to hang. */
void kc_pace_crowded(kc_pump *pump);

/* ---- notes ---- */
/* code KC_OK: it was not refused but slowed. */
void kc_pump_note(kc_pump *pump, const kc_connection *conn, int32_t code, const kc_refusal *refusal);

/* ---- frame ---- */
typedef struct kc_inbound { /* one whole frame */
    kc_request request;
    kc_bodies *bodies;    /* of its detached elements; NULL when none can be */
    kc_buffer *flat;      /* the payload's own memory, to be taken over; NULL when it is lent */
    const kc_refusal *refusal;
    const char *reason;   /* why it is refused, if no quota is */
    int32_t refused;      /* it could not be taken in whole; the answer */
    uint8_t file_count;   /* what its header says */
    kc_files files;       /* those that nobody has taken over yet */
} kc_inbound;

void kc_pump_frame(kc_pump *pump, kc_connection *conn, kc_inbound *frame);
/* Whether C serves the command, on a handle. */
bool kc_pump_is_hot(uint16_t cmd, unsigned minor);
/* A reply that repeats cmd, then the end of the connection. */
void kc_pump_fatal(kc_pump *pump, kc_connection *conn, uint16_t cmd, int32_t code);
/* Puts the frame into the control queue, and the connection behind its barrier; answered when it is too long.
 * ungranted: a hot one without its handle (1.0). */
void kc_pump_hold(kc_pump *pump, kc_connection *conn, kc_inbound *frame, bool ungranted);
/* What a held frame has kept goes back. */
void kc_pump_held_free(kc_pump *pump, const kc_connection *conn, kc_held *held);
/* Lets later frames of the connection run. */
void kc_pump_lift(kc_pump *pump, kc_connection *conn);

/* ---- the lane of the usual frames ---- */
typedef struct kc_usual { /* a SEND of one element or a RECV of one message, and where it goes */
    kc_chan chan;
    const uint8_t *element;
    uint32_t element_bytes;
    uint32_t req_id, chan_id;
    int32_t timeout_ms;
    uint32_t slot; /* reserved */
    bool sends;
} kc_usual;

/* Serves the usual frame that begins at bytes. Returns its length; 0: it is not one, and nothing was done. */
uint32_t kc_lane_serve(kc_pump *pump, kc_connection *conn, const uint8_t *bytes, size_t n);
void kc_pump_send_usual(kc_pump *pump, kc_connection *conn, const kc_usual *usual);
void kc_pump_recv_usual(kc_pump *pump, kc_connection *conn, const kc_usual *usual);

/* ---- the hot requests ---- */
void kc_pump_send(kc_pump *pump, kc_connection *conn, kc_inbound *frame);
void kc_pump_recv(kc_pump *pump, kc_connection *conn, kc_inbound *frame);
void kc_pump_select(kc_pump *pump, kc_connection *conn, kc_inbound *frame);
void kc_pump_ack(kc_pump *pump, kc_connection *conn, kc_inbound *frame);
/* Acknowledges the DELIVERY_IDs of a request; how many there were. */
uint32_t kc_pump_settle_deliveries(kc_pump *pump, kc_connection *conn, const kc_request *request, bool nack);
void kc_pump_cancel(kc_pump *pump, kc_connection *conn, const kc_request *request);
/* Cancels one request and answers it if the claim was ours; else its result is on the way. */
void kc_pump_cancel_pending(kc_pump *pump, kc_connection *conn, uint32_t slot, uint32_t reason);
/* The same for every parked request of a connection that is over, without a word. */
void kc_pump_silence(kc_pump *pump, kc_connection *conn);
/* Every parked request; kept ones go to kc_pump_cancelled. */
void kc_pump_cancel_parked(kc_pump *pump, kc_connection *conn, uint32_t reason);

/* The handle of chan_id with one right; KC_OK, KC_EBADF, KC_EACCES, or 1.0's KC_ENOENT and KC_EINVAL. */
int kc_pump_handle(const kc_connection *conn, uint32_t chan_id, uint32_t right, const kc_handle **handle_out);
/* The handle that the request names. False: answered, or held for Python (1.0 without a handle). */
bool kc_pump_granted(kc_pump *pump, kc_connection *conn, kc_inbound *frame, uint32_t right,
                     const kc_handle **handle_out);
/* Who asks, for an operation of the request in `slot`. */
kc_op kc_pump_op(const kc_pump *pump, const kc_connection *conn, uint32_t slot, int32_t timeout_ms, uint32_t flags);
/* Makes a slot known for a request that may park; false, and answered, when there is none. */
bool kc_pump_reserve(kc_pump *pump, kc_connection *conn, const kc_request *request, uint32_t *slot_out);
/* The reserved slot's request waits. */
kc_pending *kc_pump_park(kc_connection *conn, uint32_t req_id, uint8_t kind, kc_token token);
/* Its reply was said. */
void kc_pump_done(kc_pump *pump, kc_connection *conn, uint32_t slot);

/* ---- descriptors and files ---- */
/* A body that is the range which a DESC names; the connection's own, or refused. */
int kc_pump_range_body(kc_pump *pump, const kc_connection *conn, const kc_attr *attr, kc_body *body_out,
                       kc_refusal *refusal);
/* Before a descriptor's first delivery to this peer: a notice with its region's file. */
void kc_pump_introduce(kc_pump *pump, kc_connection *conn, const kc_body *body);
void kc_pump_release(kc_pump *pump, kc_connection *conn, const kc_request *request);
/* Says what the engine has to tell about regions. True when there was something. */
bool kc_pump_told(kc_pump *pump);

/* ---- results of what parked ---- */
/* Empties the port. True when there was something. */
bool kc_pump_results(kc_pump *pump);
/* Batches of sends whose element was taken offer their next one now; other results keep their order and wait for
 * kc_pump_results. False when no batch went on. */
bool kc_pump_batches_go_on(kc_pump *pump);
/* The same for one result that was not at the port. */
void kc_pump_result(kc_pump *pump, kc_connection *conn, uint32_t slot, kc_result *result);
void kc_pump_send_result(kc_pump *pump, kc_connection *conn, uint32_t slot, kc_result *result);
void kc_pump_recv_result(kc_pump *pump, kc_connection *conn, uint32_t slot, kc_result *result);
void kc_pump_select_result(kc_pump *pump, kc_connection *conn, uint32_t slot, kc_result *result);

/* ---- replies ---- */
/* What FLAGS of the reply to a confirmed send say of the first message that is not settled. */
enum kc_fate { KC_FATE_UNSAID = 0, KC_FATE_TAKEN = 1, KC_FATE_UNTAKEN = 2 };
typedef struct kc_answer {
    uint16_t cmd;    /* of the reply */
    uint16_t fate;   /* enum kc_fate; said with an error, and with what a batch came to */
    uint32_t req_id; /* 0: none */
    int64_t index;   /* of the clause; -1: none */
} kc_answer;

kc_answer kc_answer_to(uint16_t cmd, uint32_t req_id);
void kc_reply_plain(kc_pump *pump, kc_connection *conn, kc_answer answer, int32_t code);
/* REQ_ID and RESULT in 1.1, nothing else. */
void kc_reply_short(kc_pump *pump, kc_connection *conn, uint16_t cmd, uint32_t req_id, int32_t code);
/* code with a REASON of ours. */
void kc_reply_because(kc_pump *pump, kc_connection *conn, kc_answer answer, int32_t code, const char *reason);
/* code with what explains it: REASON, QUOTA_*; result may be NULL. */
void kc_reply_error(kc_pump *pump, kc_connection *conn, kc_answer answer, int32_t code, const kc_result *result);
void kc_reply_refusal(kc_pump *pump, kc_connection *conn, kc_answer answer, int32_t code, const kc_refusal *refusal);
void kc_reply_sent(kc_pump *pump, kc_connection *conn, kc_answer answer, bool dropped);
typedef struct kc_batch_sum {
    uint32_t count, dropped;
    int32_t code;
    const kc_result *result; /* explains code; NULL when nothing does */
} kc_batch_sum;
void kc_reply_batch(kc_pump *pump, kc_connection *conn, kc_answer answer, const kc_batch_sum *sum);
void kc_reply_count(kc_pump *pump, kc_connection *conn, kc_answer answer, int32_t code, uint32_t count);
/* How a received message stands in a reply: as its element alone, or as an ITEM with what was asked for. */
enum kc_item_form { KC_ITEM_PLAIN = 0, KC_ITEM_ACK = 1, KC_ITEM_SENDER = 2 };
static inline uint32_t kc_item_form_of(const kc_result *message)
{
    return ((message->flags & KC_RESULT_ACK) != 0 ? (uint32_t)KC_ITEM_ACK : 0U) |
           ((message->flags & KC_RESULT_SENDER) != 0 ? (uint32_t)KC_ITEM_SENDER : 0U);
}
/* The messages of a receive. Plain ones are settled when this reply is taken. */
void kc_reply_items(kc_pump *pump, kc_connection *conn, kc_answer answer, const kc_item *items, uint32_t n,
                    uint32_t form);
/* The same for one short plain message in 1.1, without detours. False: it is not one, or has no room; not answered. */
bool kc_reply_usual(kc_pump *pump, kc_connection *conn, uint32_t req_id, const kc_result *message);
/* Bytes that one message takes in a reply. */
uint64_t kc_reply_item_bytes(const kc_connection *conn, const kc_body *body, uint32_t form);
/* KC_OK, or why this peer cannot be given the message: KC_EMSGSIZE (over the room), KC_ENOTSUP (a descriptor, files),
 * KC_EDQUOT (leases). */
int kc_reply_can_carry(kc_pump *pump, kc_connection *conn, const kc_body *body, uint32_t form, kc_refusal *refusal);
/* Bytes of payload that messages may take in a reply. */
uint64_t kc_reply_item_room(const kc_connection *conn);

/* ---- words ---- */
/* enum kc_reason in words; NULL when it has none. */
const char *kc_reason_words(uint32_t reason);
typedef struct kc_quota_words {
    const char *name, *setting;
} kc_quota_words;
kc_quota_words kc_quota_words_of(uint32_t quota);
/* The pump's own, beside enum kc_quota. */
enum {
    KC_QUOTA_CONN_REQUESTS = 64,
    KC_QUOTA_CONN_LEASES = 65,
    KC_QUOTA_CONN_FRAMES = 66,
    KC_QUOTA_ACCOUNT_FRAMES = 67
};

#endif
