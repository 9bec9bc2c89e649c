/* kc_mirror.h: the smallest world in which coroutines can be records: a table of them, a queue of tickets that are
 * ready, and a channel of pointers. One thread; every record takes its turn and comes back. No stacks, no engine, no
 * clock.
 *
 * Invariants: a live record is in the ready queue once, or in one waiting list of one channel once, or running. A
 * ticket whose record has ended wakes nobody. A descriptor is in the channel or in one owner's hand; what it names
 * never moves. */
#ifndef KC_MIRROR_H
#define KC_MIRROR_H

#include <stdbool.h>

#include "kc_token_vm.h"

enum { KC_MIRROR_RECORDS = 8, KC_MIRROR_SLOTS = 64 };

typedef struct kc_mirror_ticket {
    uint32_t record, life;
} kc_mirror_ticket;

typedef struct kc_mirror_list { /* first in, first out; as many places as there are records */
    kc_mirror_ticket tickets[KC_MIRROR_RECORDS];
    uint32_t head, count;
} kc_mirror_list;

enum kc_mirror_turn { KC_MIRROR_AGAIN = 0, KC_MIRROR_WAITS = 1, KC_MIRROR_DONE = 2 };

typedef struct kc_mirror_record {
    kc_vm_record vm;
    uint32_t life;
    bool live;
} kc_mirror_record;

typedef struct kc_mirror {
    kc_mirror_record records[KC_MIRROR_RECORDS];
    kc_mirror_list ready;
    kc_mirror_ticket self;    /* whose turn it is */
    enum kc_mirror_turn turn; /* what its function says at the end of it */
} kc_mirror;

/* A record whose turns are calls of function(arg), ready behind the others. KC_ENOMEM when the table is full. */
int kc_mirror_spawn(kc_mirror *mirror, void (*function)(void *arg), void *arg);
/* Ready again, if it still lives. */
void kc_mirror_wake(kc_mirror *mirror, kc_mirror_ticket ticket);
/* Turns until nobody is ready. Returns how many live on: they wait for ever. */
uint32_t kc_mirror_run(kc_mirror *mirror);

typedef struct kc_mirror_desc {
    void *memory;
    uint32_t len_bytes;
    uint32_t home; /* whose memory it is */
} kc_mirror_desc;

typedef struct kc_mirror_channel {
    kc_mirror_desc slots[KC_MIRROR_SLOTS];
    uint32_t capacity, head, count;
    bool closed;
    kc_mirror_list senders, receivers;
} kc_mirror_channel;

/* KC_OK, or KC_EAGAIN: the one whose turn it is stands in line, ends its turn with KC_MIRROR_WAITS and tries again when
 * it is its turn. KC_EPIPE of a receive: closed, and nothing is left. */
int kc_mirror_send(kc_mirror *mirror, kc_mirror_channel *channel, const kc_mirror_desc *desc);
int kc_mirror_recv(kc_mirror *mirror, kc_mirror_channel *channel, kc_mirror_desc *desc_out);
void kc_mirror_close(kc_mirror *mirror, kc_mirror_channel *channel);

#endif
