/* kc_client_region.h: shared memory: regions of others, mapped, in which received messages lie, and regions of ours, of
 * which loans are given out. The ranges in a frame are judged elsewhere (judge.c).
 *
 * Invariant: a range of ours is given out again only when it came back unsent, or the daemon said that nobody uses it.
 */
#ifndef KC_CLIENT_REGION_H
#define KC_CLIENT_REGION_H

#include <stdatomic.h>
#include <stdbool.h>

#include "client/kc_client_frame.h"

/* A region of somebody else, mapped once. Alive while the daemon names it or a message lies in it. */
typedef struct kc_mapping {
    struct kc_mapping *next; /* in its chain of kc_ipc.mappings until REGION_GONE */
    uint64_t region;
    void *memory;
    size_t bytes;
    atomic_uint refs;
} kc_mapping;

/* region.c, mapping.c */
enum kc_loan_state { KC_LOAN_WRITING, KC_LOAN_SENDING, KC_LOAN_SENT };

struct kc_ipc_loan {
    kc_ipc_region *region;
    kc_ipc_loan *next;
    uint64_t offset;
    uint64_t length; /* as it was asked for */
    uint64_t room;   /* what it takes */
    enum kc_loan_state state;
    bool freed; /* while SENDING: the daemon's word came before the answer to the send */
    bool unsure; /* while SENT: if it was never accepted, no word comes */
};

/* Its loans stand in the order of their offsets and do not overlap. */
struct kc_ipc_region {
    kc_ipc *ipc;
    kc_ipc_region *next; /* in kc_ipc.regions */
    uint64_t id;
    uint8_t *memory;
    size_t bytes;
    kc_ipc_loan *loans;
    bool dropping;
    bool abandoned; /* nobody will free it: it goes with the last that uses it */
    bool again;     /* a loan of it went while it was asked whether it may go */
};

int kc_loan_begin(kc_ipc_loan *loan, size_t length, kc_desc_value *range_out); /* with the lock */
/* Whether it is gone, else it is the caller's as before; and whether that is unsure. */
void kc_loan_settle(kc_ipc_loan *loan, bool gone, bool unsure);
kc_ipc *kc_loan_ipc(const kc_ipc_loan *loan);
void kc_region_freed(kc_ipc *ipc, const kc_desc_value *range);
/* A loan fewer that is used: frees what is abandoned and not used; with the lock. */
void kc_region_left(kc_ipc_region *region);
void kc_region_dropped(kc_ipc_region *region, int code); /* the answer to the REGION_DROP of what is abandoned */
void kc_regions_end(kc_ipc *ipc); /* the connection has ended */
bool kc_mappings_make(kc_ipc *ipc); /* the table; kc_client_drop frees it */
int kc_mapping_add(kc_ipc *ipc, kc_client_frame *frame, const kc_reply *reply);
void kc_mapping_gone(kc_ipc *ipc, uint64_t region);
int kc_mapping_lend(kc_ipc *ipc, const kc_desc_value *range, kc_ipc_message *message_out);
void kc_mapping_drop(kc_ipc *ipc, kc_mapping *mapping);
void kc_mappings_forget(kc_ipc *ipc); /* with the connection */

#endif
