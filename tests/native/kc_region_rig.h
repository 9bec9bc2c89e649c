/* kc_region_rig.h: a rig of two connections that may take descriptors; region 0 is of the first. And the end of it all:
 * whatever is still lent or on its way comes back, so that rig_free finds nothing left. What regions do over sockets is
 * none of its business (test_turn_files.c).
 */
#ifndef KC_REGION_RIG_H
#define KC_REGION_RIG_H

#include "kc_ipc_fixture.h"

/* Channel 1001 is `first`, 1002 is a rendezvous. */
static inline void region_rig_open(rig *r, const kc_chan_config *first, bool bytewise)
{
    rig_make(r, NULL, NULL);
    r->bytewise = bytewise;
    (void)rig_channel(r, first);
    (void)rig_kind(r, KC_KIND_RENDEZVOUS, 0);
    for (int i = 0; i < 2; i++) {
        (void)rig_open(r, 1);
        KC_REQUIRE(kc_conn_able(r->pump, r->conns[i], KC_CAP_DESCRIPTORS | KC_CAP_FILES) == KC_OK);
    }
    (void)rig_region(r, 0, -1);
}

static inline void region_rig_close(rig *r)
{
    kc_conn owner;
    kc_ticket region;
    for (int i = 0; i < r->region_count; i++) {
        (void)kc_region_drop(r->engine, r->regions[i], KC_REGION_REVOKE);
    }
    for (int i = 0; i < r->conn_count; i++) {
        (void)kc_conn_vanish(r->pump, r->conns[i]);
    }
    for (int i = 0; i < r->chan_count; i++) {
        (void)kc_chan_destroy(r->engine, r->chans[i], KC_REASON_DESTROYED, NULL, 0);
    }
    rig_run(r);
    while (kc_pump_region_ended(r->pump, &owner, &region) == KC_OK) {
    }
    rig_free(r);
}

#endif
