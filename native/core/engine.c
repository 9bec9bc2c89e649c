/* engine.c: an engine from make to free, its events, its usage. */
#include <stdlib.h>
#include <unistd.h>

#include "kc_arena.h"
#include "kc_cell.h"
#include "kc_flow.h"
#include "kc_pool.h"

int kc_engine_make(const kc_engine_config *config, kc_engine **engine_out) {
    const kc_engine_config defaults = {0};
    kc_engine *e = calloc(1, sizeof *e);
    int rc = e != NULL ? kc_arena_map(e, config != NULL ? config : &defaults) : KC_ENOMEM;

    if (rc == KC_OK) {
        e->backends[KC_DESC_ZREF - 1] = (kc_backend_rec){.name = "zref"};
        e->backends[KC_DESC_REGION - 1] = (kc_backend_rec){.name = "region"};
        *engine_out = e;
    } else {
        free(e);
    }
    return rc;
}

static void close_files(kc_engine *e, uint32_t extra) {
    const kc_files_extra *x = kc_extra_files(e, extra);

    for (uint32_t i = 0; x != NULL && i < x->count; i++)
        (void)close(x->files[i]);
}

/* Files still in messages, waiting to be closed, or of regions: nobody else will close them. */
static void close_all_files(kc_engine *e) {
    for (uint32_t msg = 1; msg <= e->msgs.high; msg++)
        if (kc_state_of(&kc_msg_at(e, msg)->w) != KC_MSG_FREE)
            close_files(e, kc_msg_at(e, msg)->extra);
    for (uint32_t account = 0; account <= e->account_high; account++)
        for (uint32_t extra = e->accounts[account].left.head; extra != 0; extra = kc_extra_at(e, extra)->next)
            close_files(e, extra);
    for (uint32_t region = 1; region <= e->regions.high; region++)
        if (kc_state_of(&kc_region_at(e, region)->w) != KC_REGION_FREE && kc_region_at(e, region)->file >= 0)
            (void)close(kc_region_at(e, region)->file);
}

void kc_engine_free(kc_engine *e) {
    if (e == NULL)
        return;
    close_all_files(e);
    kc_cells_free_all(e);
    for (uint32_t port = 1; port <= e->port_capacity; port++)
        if (e->ports[port].fd != 0)
            (void)close(e->ports[port].fd - 1);
    kc_arena_unmap(e);
    free(e);
}

void kc_event_push(kc_engine *e, uint32_t kind, uint32_t reason, uint64_t chan_user) {
    kc_event *event = &e->events[(e->event_head + e->event_count) % KC_EVENTS];

    *event = (kc_event){.kind = kind, .reason = reason, .chan_user = chan_user};
    if (e->event_count < KC_EVENTS) {
        e->event_count++;
    } else {
        e->event_head = (e->event_head + 1) % KC_EVENTS;
        e->event_lost++;
    }
}

void kc_engine_limit(kc_engine *e, uint32_t parked_per_channel) {
    kc_enter(e);
    e->parked_per_channel = parked_per_channel != 0 ? parked_per_channel : KC_PARKED_PER_CHANNEL;
    kc_leave(e);
}

uint32_t kc_engine_events(kc_engine *e) {
    uint32_t count = 0;

    kc_enter(e);
    count = e->event_count;
    kc_leave(e);
    return count;
}

int kc_engine_take_event(kc_engine *e, kc_event *event_out) {
    int taken = 0;

    kc_enter(e);
    if (e->event_count != 0) {
        *event_out = e->events[e->event_head];
        event_out->lost = e->event_lost;
        e->event_head = (e->event_head + 1) % KC_EVENTS;
        e->event_count--;
        taken = 1;
    }
    kc_leave(e);
    return taken;
}

uint64_t kc_engine_fail_alloc(kc_engine *e, uint64_t n) {
    uint64_t made = 0;

    kc_enter(e);
    made = e->allocs;
    e->allocs = 0;
    e->fail_at = n;
    kc_leave(e);
    return made;
}

/* What channels apart have, and what they ever accepted. */
static uint64_t add_apart(kc_engine *e, kc_engine_usage *usage) {
    uint64_t accepted = 0;

    for (uint32_t chan = 1; e->apart != NULL && chan <= e->chans.high; chan++)
        if (e->apart[chan] != NULL)
            kc_cells_sum(e->apart[chan], usage, &accepted);
    return accepted;
}

uint64_t kc_engine_accepted(kc_engine *e) {
    kc_engine_usage unseen = {0};
    uint64_t accepted = 0;

    kc_enter(e);
    accepted = e->accepted + add_apart(e, &unseen);
    kc_leave(e);
    return accepted;
}

void kc_engine_measure(kc_engine *e, kc_engine_usage *usage_out) {
    kc_enter(e);
    *usage_out = (kc_engine_usage){.channels = e->chans.live,
                                   .tokens = e->toks.live,
                                   .clauses = e->clauses.live,
                                   .messages = e->msgs.live,
                                   .scopes = e->scopes.live,
                                   .accounts = e->account_live,
                                   .ports = e->port_live,
                                   .regions = e->regions.live,
                                   .files = e->file_count,
                                   .parked = e->parked,
                                   .held = e->held,
                                   .block_bytes = e->heap.used_bytes,
                                   .heap_bytes = (uint64_t)(e->heap.high - e->heap.cold_count) * KC_CHUNK_BYTES};
    (void)add_apart(e, usage_out);
    kc_leave(e);
}
