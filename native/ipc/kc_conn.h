/* kc_conn.h: one connection's state: its handles and leases (kc_conn_handles.h), its requests without a reply
 * (kc_conn_requests.h), what it has said so far and what it has yet to hear (kc_conn_large.h), and all connections of a
 * pump. No frame is understood here and no socket is known: the pump gives it meaning, the turn moves its bytes.
 *
 * Invariants: a connection is named outside by a ticket {generation, index}; its index and a request's slot make the
 * `user` of every waiter it parks. Bytes counted in output.done have been taken by the kernel: only then is the message
 * of a plain receive settled. A connection that ends gives back its scope (and with it every waiter and held message),
 * its handles' channel references, its bodies and its memory; its record stays until somebody asked why it ended.
 */
#ifndef KC_CONN_H
#define KC_CONN_H

#include "ipc/kc_conn_handles.h"
#include "ipc/kc_conn_large.h"
#include "ipc/kc_conn_requests.h"

/* ---- files that came with a frame ---- */
enum { KC_CONN_FILES = 512 /* ahead of the frames that name them */ };

typedef struct kc_files { /* paid for, owned */
    uint32_t count;
    int32_t refused; /* why the first of those kept out was: KC_EDQUOT, KC_EINVAL; KC_OK: none was */
    int32_t items[KC_MAX_MESSAGE_FILES];
} kc_files;

/* ---- output ---- */
enum {
    KC_DETACH_BYTES = 16384,      /* elements from here on travel in blocks, without a copy */
    KC_UNPAID_DETACH_BYTES = 2048 /* so many fit into a packet that its pieces fit into one call */
};

typedef struct kc_output {
    kc_buffer flat;
    kc_queue inserts; /* bodies between the flat bytes */
    kc_queue settles; /* tokens of plain receives, by the offset at which their reply ends */
    kc_queue packets; /* SEQPACKET: offsets at which packets end */
    kc_queue attachments; /* files, by the offset of the frame they travel with */
    uint64_t flat_added, flat_done;
    uint64_t added, done; /* flat bytes and bodies together */
    uint64_t frame_at;    /* `added` when the frame at hand was begun */
    uint32_t insert_done; /* bytes of the first insert that are done */
} kc_output;

typedef struct kc_gather { /* iovecs of the bytes from `at` on */
    uint64_t flat_at;
    uint32_t insert, insert_at;
} kc_gather;

/* ---- the connection ---- */
enum kc_conn_state {
    KC_CONN_OPEN = 1,
    KC_CONN_EOF,     /* the peer says no more; what it said is served, then output is flushed */
    KC_CONN_CLOSING, /* nothing more is served; output is flushed as far as the kernel takes it at once */
    KC_CONN_BROKEN,  /* ends without another word */
    KC_CONN_ENDED    /* an empty record that waits for kc_pump_closed */
};
enum kc_barrier {
    KC_BARRIER_NONE = 0,
    KC_BARRIER_CONTROL,  /* a control frame waits for its answer */
    KC_BARRIER_OPERATION /* 1.0: one operation at a time */
};
enum kc_conn_list {
    KC_LIST_RUNNABLE = 0, /* has input that can be served, or a socket that can be read */
    KC_LIST_ATTENTION,    /* has output, or its end or its interest in the socket is to be looked at */
    KC_LIST_CONTROL,      /* its control frame waits to be given out */
    KC_LIST_LINES,        /* those before take turns by account (conn_account.c); those from here on do not */
    KC_LIST_CANCELLED = KC_LIST_LINES, /* kept requests of it were cancelled */
    KC_LIST_ENDED,
    KC_LIST_PAUSED,       /* not read because of the input budget */
    KC_LIST_CROWDED,      /* not read because its uid has too many files to be closed */
    KC_LIST_STARVED,      /* the kernel had no memory for its output */
    KC_LIST_SLOWED,       /* not served before its pace allows it, longest first */
    KC_CONN_LISTS
};

typedef struct kc_link {
    kc_connection *next, *prev;
    bool in;
} kc_link;

typedef struct kc_held { /* the frame behind a control barrier */
    uint8_t *payload;
    uint32_t payload_bytes, length;
    uint32_t req_id, chan_id, slot; /* slot + 1 of its request, 0 when it has none */
    kc_bodies bodies;
    kc_files files;
    uint32_t detach_bytes;
    uint16_t cmd;
    bool given, ungranted;
} kc_held;

struct kc_connection {
    uint32_t index, generation;
    int fd; /* -1: fed by arrays */
    uint8_t transport, minor, greeted, state, barrier;
    uint8_t interest;  /* the turn's: what the epoll set watches */
    bool writable;     /* the turn's: the last write was not cut short */
    bool unpaid;       /* its account refused to pay for what it makes us hold */
    bool resumes;      /* what of its input waits is to be served, before its socket is read */
    uint8_t sights;    /* the turn's: how often its socket was ready while it stood in line */
    uint32_t unread;   /* the turn's: events for which its socket is to be read */
    uint32_t seen;     /* the turn's: the last look at the set that showed it */
    uint32_t account;
    uint32_t max_in, max_out; /* bytes of payload of one frame */
    int32_t code;      /* why it ends */
    uint32_t turn_frames, turn_bytes;
    uint32_t turn_most; /* frames */
    kc_scope scope;
    kc_handles handles;
    kc_pendings pendings;
    uint32_t cancelled; /* slot + 1 of the first kept request that was cancelled */
    kc_buffer input;   /* whole frames that wait, then the beginning of one */
    kc_large *large;
    kc_held held;
    kc_output output;
    uint32_t caps;     /* KC_CAP_*: what the peer can take */
    kc_queue files;    /* received ahead of the frames that name them, or KC_FILE_* */
    kc_refusal files_refusal; /* the last one's */
    kc_leases leases;
    kc_handles regions; /* those the peer was told of, by their index: chan is the ticket */
    kc_body fetched;   /* fed by arrays: whose files came with the bytes fetched last */
    uint32_t charged_bytes; /* of input memory, in the budget */
    uint32_t tolled_bytes;  /* paid by the toll, for output and input */
    kc_body toll;
    int64_t half_since_ns;  /* since when the beginning of a frame waits; 0: none does */
    int64_t paid_ns, slowed_ns; /* until when its frames are paid; when it was slowed last */
    uint64_t slowed;   /* how often */
    uint64_t frames_in, frames_out, bytes_in, bytes_out, files_in;
    kc_link links[KC_CONN_LISTS];
};

typedef struct kc_conn_slot {
    kc_connection *conn;
    uint32_t generation, next_free;
} kc_conn_slot;

typedef struct kc_conn_list_head {
    kc_connection *first, *last;
    uint32_t count;
} kc_conn_list_head;

/* What one account has in one of the lists whose connections take turns by account. */
typedef struct kc_conn_row {
    kc_conn_list_head list;
    uint32_t next; /* account + 1 of the one behind it in the line */
    bool in_line;  /* one of its connections waits, or did until it ended */
} kc_conn_row;

typedef struct kc_conn_line {
    uint32_t first, last; /* account + 1: those that have connections in the list, in the order of their turns */
} kc_conn_line;

/* What the connections of one account share. */
typedef struct kc_conn_account {
    kc_conn_row rows[KC_LIST_LINES];
    int64_t paid_ns; /* until when its frames are paid */
    kc_pump_account share;
} kc_conn_account;

/* All connections of a pump and what they share. */
struct kc_conns {
    kc_engine *engine;
    kc_memory memory;
    kc_scope root;
    kc_conn_account *accounts;
    uint32_t account_capacity;
    kc_conn_line lines[KC_LIST_LINES];
    kc_conn_slot *slots; /* 1..high */
    uint32_t slot_capacity, high, limit, free, live;
    uint64_t input_bytes, input_budget;
    uint64_t queued_bytes; /* of all output */
    kc_scope_limits limits; /* of one connection */
    kc_connection *progressing; /* the one large frame that is read at the budget */
    uint64_t progressed_bytes;  /* its bytes_in at the last look */
    kc_conn_list_head lists[KC_CONN_LISTS]; /* of those with lines the count alone: their ends are the accounts' */
};

/* KC_EDQUOT when the table is full, KC_ENOMEM, or the engine's refusal of a scope. */
int kc_conns_add(kc_conns *conns, uint32_t account, kc_connection **conn_out);
/* The live connection of a ticket, NULL when it ended. */
kc_connection *kc_conns_find(const kc_conns *conns, kc_conn ticket);
kc_connection *kc_conns_at(const kc_conns *conns, uint32_t index);
void kc_conns_free(kc_conns *conns);

static inline kc_conn kc_conn_ticket(const kc_connection *conn)
{
    return ((uint64_t)conn->generation << 32) | conn->index;
}

/* Gives everything back but the record, which goes to KC_LIST_ENDED. The fd is the turn's to close, before or after. */
void kc_connection_end(kc_conns *conns, kc_connection *conn, uint32_t reason);
/* Frees the record of an ended connection; its ticket is stale from now on. */
void kc_connection_forget(kc_conns *conns, kc_connection *conn);
/* Nothing more is served; code is told unless another came first. */
void kc_connection_close(kc_conns *conns, kc_connection *conn, int32_t code);
/* The same, without flushing: its output cannot be trusted or nobody reads it. */
void kc_connection_break(kc_conns *conns, kc_connection *conn, int32_t code);

void kc_list_add(kc_conns *conns, enum kc_conn_list list, kc_connection *conn);
void kc_list_drop(kc_conns *conns, enum kc_conn_list list, kc_connection *conn);
/* The first one, or the first one of the account whose turn it is. NULL: there is none. */
kc_connection *kc_list_take(kc_conns *conns, enum kc_conn_list list);
/* What of its input waits may be served now. */
void kc_conn_resumes(kc_conns *conns, kc_connection *conn);

/* The account may have connections. False: no memory. */
bool kc_accounts_know(kc_conns *conns, uint32_t account);
void kc_accounts_free(kc_conns *conns);
/* It has one more connection, or one less. */
void kc_account_joined(kc_conns *conns, uint32_t account);
void kc_account_left(kc_conns *conns, const kc_connection *conn);
kc_pump_account kc_account_share(const kc_conns *conns, uint32_t account);
/* The account stands in the line of the list, from now on if it did not. */
void kc_line_join(kc_conns *conns, enum kc_conn_list list, uint32_t account);
/* The next connection by turns of accounts, out of the list; NULL: there is none. */
kc_connection *kc_line_take(kc_conns *conns, enum kc_conn_list list);

enum { KC_FILE_UNPAID = -1, KC_FILE_UNWANTED = -2 /* in place of a file that was refused: KC_EDQUOT, KC_EINVAL */ };
/* One more file came; KC_FILE_UNWANTED: one that may not travel. False when there are too many that no frame has named,
 * and it is discarded. */
bool kc_conn_files_add(kc_conns *conns, kc_connection *conn, int32_t file);
/* A frame names n files: the next n that came are its (what is over KC_MAX_MESSAGE_FILES is discarded). False when
 * there are fewer. */
bool kc_conn_files_claim(kc_conns *conns, kc_connection *conn, uint32_t n, kc_files *files_out);
void kc_conn_files_end(kc_conns *conns, kc_connection *conn);
/* The first n were taken over. */
void kc_files_shift(kc_files *files, uint32_t n);
/* Discards them. */
void kc_files_drop(kc_conns *conns, const kc_connection *conn, kc_files *files);
/* To be closed some time, and charged until then. */
void kc_conns_discard(kc_conns *conns, uint32_t account, int32_t file, bool paid);
/* Its uid has too many of these: it is not to be read, and is attended when that is over. */
bool kc_conn_is_crowded(kc_conns *conns, kc_connection *conn);
/* Attends all who were not read for that; who still is over is put aside again. */
void kc_conns_look_again(kc_conns *conns);
/* kc_file_refund and kc_file_closed; and who was not read because of these files may be again. */
void kc_conns_files_refund(kc_conns *conns, uint32_t account, uint32_t count);
void kc_conns_files_closed(kc_conns *conns, uint32_t account, uint32_t count);

/* Charges the uid's account for output and waiting input above what is free, and for `more` bytes of output to come.
 * False: refused, and conn->unpaid. */
bool kc_conn_pay(kc_conns *conns, kc_connection *conn, uint32_t more);
void kc_toll_drop(kc_conns *conns, kc_connection *conn);
/* Tells the budget what this connection's input holds now. */
void kc_conn_charge_input(kc_conns *conns, kc_connection *conn);

#endif
