/* kc_pump_pair.h: two connections over a buffer of four, 1001, and a rendezvous, 1002; and what a test answers to
 * control frames in the place of Python. */
#ifndef KC_PUMP_PAIR_H
#define KC_PUMP_PAIR_H

#include "kc_ipc_fixture.h"

static rig r;

static inline void open_two(const kc_pump_config *pump)
{
    rig_make(&r, NULL, pump);
    (void)rig_kind(&r, KC_KIND_BUFFERED, 4);
    (void)rig_kind(&r, KC_KIND_RENDEZVOUS, 0);
    (void)rig_open(&r, 1);
    (void)rig_open(&r, 1);
}

/* In the frame buffer, for kc_pump_reply. */
static inline const char *reply(const char *words)
{
    rig_build(&r, 1, words);
    return (const char *)r.frame;
}

static inline void let_go(int i, const char *words)
{
    kc_control control;
    rig_say(&r, i, words);
    KC_CHECK_EQ(kc_pump_control(r.pump, &control), KC_OK);
    KC_CHECK_EQ(kc_pump_resume(r.pump, r.conns[i]), KC_OK);
    rig_run(&r);
}

#endif
