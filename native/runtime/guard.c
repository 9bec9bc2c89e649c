/* guard.c: a SIGSEGV in the guard of the coroutine that runs here is told with its name, then passed on.
 *
 * The two statics below are the only ones of the runtime beside those of forked.c: the disposition of a signal is the
 * process's, so the one before ours has to be kept for the process. A handler may use neither locks nor stdio; it
 * writes one line.
 *
 * It needs a stack that is not the one that overflowed: each thread that runs coroutines while anybody wants them
 * guarded gets one of its own, unless it has one, and gives it back as it ends (a key's destructor: a thread that is
 * not ours says nothing else of its end).
 */
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "kc_coroutine.h"

enum { ALTERNATE_BYTES = 64 << 10 /* a multiple of every size that pages have */ };

static struct sigaction before;
static struct {
    kc_lock lock;
    _Atomic uint32_t users;
    bool keyed;
    pthread_key_t key; /* of the bottom of a thread's alternate stack; stays, for threads that are still to end */
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

/* ---- alternate stacks ---- */

/* At the end of a thread. What the program has put in the place of ours meanwhile stays. */
static void give_back(void *bottom) {
    kc_stack stack = {.bottom = bottom, .bytes = ALTERNATE_BYTES};
    stack_t now = {0}, none = {.ss_flags = SS_DISABLE};

    if (sigaltstack(NULL, &now) == 0 && now.ss_sp == bottom)
        (void)sigaltstack(&none, NULL);
    kc_stack_unmap(&stack);
    kc_here_get()->guarded = false;
}

/* true: this thread has one, its own or ours. */
static bool furnish(void) {
    stack_t now = {0};
    kc_stack stack = {0};
    bool has = sigaltstack(NULL, &now) == 0 && (now.ss_flags & SS_DISABLE) == 0;

    if (!has && kc_stack_map(ALTERNATE_BYTES, &stack) == KC_OK) {
        stack_t ours = {.ss_sp = stack.bottom, .ss_size = stack.bytes};
        has = pthread_setspecific(guard.key, stack.bottom) == 0 && sigaltstack(&ours, NULL) == 0;
        if (!has) {
            (void)pthread_setspecific(guard.key, NULL);
            kc_stack_unmap(&stack);
        }
    }
    return has;
}

void kc_guard_thread(void) {
    kc_here *here = kc_here_get();

#if KC_MUTANT == 57 /* a coroutine that is resumed by hand overflows in silence */
    if (here->worker == NULL)
        return;
#endif
    if (!here->guarded && atomic_load_explicit(&guard.users, memory_order_acquire) != 0)
        here->guarded = furnish();
}

static int make_key(void) {
    if (!guard.keyed)
        guard.keyed = pthread_key_create(&guard.key, give_back) == 0;
    return guard.keyed ? KC_OK : KC_ENOMEM;
}

/* The library may be closed before a thread ends: then nobody is left to give a stack back. */
__attribute__((destructor)) static void forget_key(void) {
    if (guard.keyed)
        (void)pthread_key_delete(guard.key);
}

/* ---- from when, until when ---- */

int kc_guard_begin(void) {
    struct sigaction ours = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    int rc = KC_OK;

    kc_lock_take(&guard.lock);
    if (atomic_load(&guard.users) == 0) {
        rc = make_key();
        if (rc == KC_OK && sigaction(SIGSEGV, &ours, &before) != 0)
            rc = KC_EINVAL;
    }
    if (rc == KC_OK)
        (void)atomic_fetch_add(&guard.users, 1);
    kc_lock_give(&guard.lock);
    return rc;
}

void kc_guard_end(void) {
    kc_lock_take(&guard.lock);
    if (atomic_fetch_sub(&guard.users, 1) == 1) {
        struct sigaction now = {.sa_flags = 0};
        bool ours =
            sigaction(SIGSEGV, NULL, &now) == 0 && (now.sa_flags & SA_SIGINFO) != 0 && now.sa_sigaction == on_fault;
        if (ours) /* not what the program has installed since */
            (void)sigaction(SIGSEGV, &before, NULL);
    }
    kc_lock_give(&guard.lock);
}
