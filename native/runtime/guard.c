/* guard.c: a SIGSEGV in the guard of the coroutine that runs here is told with its name, then passed on.
 *
 * The two statics below are the only ones of the runtime: the disposition of a signal is the process's, so the one before
 * ours has to be kept for the process. A handler may use neither locks nor stdio; it writes one line.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kc_worker.h"

enum { ALTERNATE_BYTES = 64 << 10 };

static struct sigaction before;
static struct {
    kc_lock lock;
    uint32_t users;
} guard;

static size_t put(char *line, size_t at, size_t most, const char *text) {
    while (*text != 0 && at < most)
        line[at++] = *text++;
    return at;
}

static size_t put_number(char *line, size_t at, size_t most, size_t number) {
    char digits[24];
    size_t n = sizeof digits - 1;

    digits[n] = 0;
    do
        digits[--n] = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    return put(line, at, most, digits + n);
}

static void tell(const kc_co *co) {
    char line[160];
    size_t at = put(line, 0, sizeof line, "kcoro: coroutine '");

    at = put(line, at, sizeof line, co->name);
    at = put(line, at, sizeof line, "' overflowed its stack of ");
    at = put_number(line, at, sizeof line, co->stack.bytes);
    at = put(line, at, sizeof line, " bytes\n");
    ssize_t written = write(STDERR_FILENO, line, at);
    (void)written;
}

/* Sent by somebody (kill(2)): no instruction would be tried again. It ends the process, as it would have without us. */
static void die_of(int number) {
    struct sigaction plain = {.sa_handler = SIG_DFL};

    (void)sigaction(number, &plain, NULL);
    (void)raise(number);
}

static void pass_on(int number, siginfo_t *info, void *context) {
    bool sent = info->si_code <= 0;

    if ((before.sa_flags & SA_SIGINFO) == 0 && before.sa_handler == SIG_DFL && sent) {
        die_of(number);
    } else if ((before.sa_flags & SA_SIGINFO) == 0 && before.sa_handler == SIG_IGN && sent) {
        /* ignored, as without us */
    } else if ((before.sa_flags & SA_SIGINFO) != 0) {
        before.sa_sigaction(number, info, context);
    } else if (before.sa_handler == SIG_DFL || before.sa_handler == SIG_IGN) {
        /* The instruction is tried again, and this time it ends the process as it would have without us. */
        struct sigaction plain = {.sa_handler = SIG_DFL};
        (void)sigaction(number, &plain, NULL);
    } else {
        before.sa_handler(number);
    }
}

static void on_fault(int number, siginfo_t *info, void *context) {
    const kc_co *co = kc_here_get()->co;

    if (co != NULL && info->si_code > 0 && kc_stack_guards(&co->stack, info->si_addr))
        tell(co);
    pass_on(number, info, context);
}

int kc_guard_begin(void) {
    struct sigaction ours = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    int rc = KC_OK;

    kc_lock_take(&guard.lock);
    if (guard.users == 0 && sigaction(SIGSEGV, &ours, &before) != 0)
        rc = KC_EINVAL;
    guard.users += rc == KC_OK;
    kc_lock_give(&guard.lock);
    return rc;
}

void kc_guard_end(void) {
    kc_lock_take(&guard.lock);
    if (--guard.users == 0) {
        struct sigaction now = {.sa_flags = 0};
        bool ours = sigaction(SIGSEGV, NULL, &now) == 0 && (now.sa_flags & SA_SIGINFO) != 0 && now.sa_sigaction == on_fault;
        if (ours) /* not what the program has installed since */
            (void)sigaction(SIGSEGV, &before, NULL);
    }
    kc_lock_give(&guard.lock);
}

void *kc_guard_thread_begin(void) {
    stack_t now = {0};
    void *memory = NULL;

    if (sigaltstack(NULL, &now) == 0 && (now.ss_flags & SS_DISABLE) != 0 && (memory = malloc(ALTERNATE_BYTES)) != NULL) {
        stack_t ours = {.ss_sp = memory, .ss_size = ALTERNATE_BYTES};
        (void)sigaltstack(&ours, NULL);
    }
    return memory;
}

void kc_guard_thread_end(void *alternate) {
    stack_t none = {.ss_flags = SS_DISABLE};

    if (alternate != NULL)
        (void)sigaltstack(&none, NULL);
    free(alternate);
}
