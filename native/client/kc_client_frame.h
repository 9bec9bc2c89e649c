/* kc_client_frame.h: what goes out, lane by lane, and what comes in, frame by frame. It is no operation: of those
 * kc_client_op.h tells.
 *
 * Invariant: a frame of the daemon's lives until the last message and the last reply in it are given back.
 */
#ifndef KC_CLIENT_FRAME_H
#define KC_CLIENT_FRAME_H

#include <stdatomic.h>
#include <stdbool.h>

#include "client/kc_client_link.h"
#include "ipc/kc_frame.h"
#include "kcoro/kc_ipc.h"

typedef struct kc_lane {
    kc_link link; /* in kc_ipc.lanes while ops wait in it */
    kc_link ops;
} kc_lane;

/* One frame of the daemon's, kept while messages lie in it. */
typedef struct kc_client_frame {
    atomic_uint refs;
    kc_ipc *ipc;
    kc_frame_header header;
    uint32_t file_count;
    int files[KC_MAX_MESSAGE_FILES];
    uint8_t payload[];
} kc_client_frame;

/* A reply, flat. Texts and values point into its frame. */
typedef struct kc_reply {
    uint64_t seen;  /* a bit for each field below */
    uint32_t req_id;
    int32_t result;
    uint32_t index, count, dropped, chan_id, capacity, elem_size, overflow, flags, caps, max_frame, major, minor;
    int32_t kind;
    uint64_t region, size, quota_limit, quota_usage;
    kc_attr reason, quota_name, quota_setting, numbers;
    uint32_t elements, items, descs, stats;
} kc_reply;

enum kc_reply_field {
    KC_REPLY_REQ_ID = 1, KC_REPLY_RESULT = 2, KC_REPLY_INDEX = 4, KC_REPLY_COUNT = 8, KC_REPLY_CHAN_ID = 16,
    KC_REPLY_REGION = 32, KC_REPLY_SIZE = 64, KC_REPLY_MAX_FRAME = 128, KC_REPLY_FLAGS = 256
};

int kc_reply_read(const kc_client_frame *frame, kc_reply *reply_out);
enum { KC_TEXT_ROOM = KC_MAX_TEXT_BYTES + 1 };
void kc_reply_text(char out[KC_TEXT_ROOM], const kc_attr *attr); /* what is longer is cut */

/* output.c, input.c */
void kc_output_queue(kc_ipc *ipc, kc_ipc_op *op);
void kc_output_move(kc_ipc *ipc);
bool kc_output_forget(kc_ipc *ipc, kc_ipc_op *op); /* true if nothing of it had left */
bool kc_input_move(kc_ipc *ipc);                    /* whether something came */
void kc_client_frame_drop(kc_client_frame *frame);

/* judge.c: one whole frame. KC_OK or why the connection ends. */
int kc_judge(kc_ipc *ipc, kc_client_frame *frame);

#endif
