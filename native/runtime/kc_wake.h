/* kc_wake.h: what timers, the poller and the threads for blocking calls do when something has come: they call this,
 * once.
 *
 * Whoever waits puts one into a record of its own and finds itself by it. The call may be made by any thread, with no
 * lock held; it does not wait, and when it has said that it came, the record may be gone.
 */
#ifndef KC_WAKE_H
#define KC_WAKE_H

#include <stdint.h>

typedef struct kc_wake kc_wake;
struct kc_wake {
    void (*call)(kc_wake *wake, int32_t code); /* what has come, or a KC_E*; each caller says which */
};

#endif
