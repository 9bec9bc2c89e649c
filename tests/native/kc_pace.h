/* kc_pace.h: two users and how many frames of each were served, for tests of paces and shares. */
#ifndef KC_PACE_H
#define KC_PACE_H

#include "kc_ipc_fixture.h"

static rig r;
static uint32_t other; /* a second user's account */

static inline void begin(const kc_account_limits *limits)
{
    rig_make(&r, NULL, NULL);
    KC_REQUIRE(kc_account_make(r.engine, limits, &other) == KC_OK);
    (void)rig_kind(&r, KC_KIND_UNLIMITED, 0);
}

static inline uint64_t served(int i)
{
    kc_conn_info info;
    KC_REQUIRE(kc_conn_measure(r.pump, r.conns[i], &info) == KC_OK);
    return info.frames_in;
}

/* n PINGs in the frame buffer, with ids from first on. */
static inline void build_pings(uint32_t first, uint32_t n)
{
    static char script[64 * 1024];
    size_t at = 0;
    for (uint32_t i = 0; i < n; i++) {
        at += (size_t)snprintf(script + at, sizeof script - at, "%sPING r%u", i == 0 ? "" : "; ", first + i);
    }
    rig_build(&r, 1, script);
}

#endif
