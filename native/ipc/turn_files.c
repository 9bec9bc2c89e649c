/* turn_files.c: close(2) of many files in one call, by a thread that has nothing else to do: it may block.
 *
 * One call, because a Python thread that closes one by one takes the interpreter's lock after each, and waits for it
 * while the daemon is busy; the files of a fast sender would then reach its limit although nothing hangs. */
#include "kcoro/kc_turn.h"

#include <unistd.h>

void kc_files_close(const int32_t *files, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        (void)close(files[i]); /* whatever it says, the descriptor is gone (its manual page, "Dealing with errors") */
    }
}
