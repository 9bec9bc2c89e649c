/* kc_turn.h: one turn of the daemon: drain what is ready, serve hot frames, write what is to be said.
 *
 * The only place that makes socket calls and reads the clock. Level-triggered. On the trio thread the timeout is 0 and
 * the loop waits for kc_pump_fd; in a thread of its own the timeout blocks and the call returns when control frames
 * wait, a listener is readable, a connection ended, kc_pump_wake was called, or the timeout passed.
 */
#ifndef KC_TURN_H
#define KC_TURN_H

#ifndef KC_CDEF
#include "kcoro/kc_pump.h"
#ifdef __cplusplus
extern "C" {
#endif
#endif

enum kc_turn_flag {
    KC_TURN_MORE = 1,   /* work is left: turn again soon (after a checkpoint) */
    KC_TURN_WOKEN = 2,  /* kc_pump_wake was called */
    KC_TURN_CUT = 4     /* no descriptor was free for a file that a peer passed: its connection ended with KC_ENOMEM */
};

typedef struct kc_report {
    uint32_t flags;
    uint32_t frames;   /* hot frames served */
    uint32_t control;  /* control frames waiting */
    uint32_t accept;   /* listeners readable */
    uint32_t closed;   /* connections that ended and wait for kc_pump_closed */
    uint32_t cancelled; /* CANCELs waiting for kc_pump_cancelled */
    uint32_t polls;    /* epoll_wait calls made */
    uint32_t events;   /* engine events waiting (kc_engine_take_event) */
    uint32_t regions;  /* ended regions waiting (kc_pump_region_ended) */
    uint32_t files;    /* to be closed (kc_pump_take_files) */
    uint32_t notes;    /* for the log (kc_pump_next_note) */
} kc_report;

/* timeout_ns: 0 = do not block, negative = for ever. repoll_ns: how long to re-poll (yielding) after the last work
 * before giving up (50,000 is the measured default; the total is a hundred times that); 0 = do not.
 * KC_OK, or a negative code when the epoll set itself failed. */
KC_API int kc_turn(kc_pump *pump, int64_t timeout_ns, int64_t repoll_ns, kc_report *report_out);

/* Closes what kc_pump_take_files gave. May block as long as some peer likes: never in the thread that turns. */
KC_API void kc_files_close(const int32_t *files, uint32_t count);

#ifndef KC_CDEF
#ifdef __cplusplus
}
#endif
#endif
#endif
