/* pump_bell.c: the pump's eventfd, its only descriptor of its own. It is rung when something is to be done that no
 * socket tells of: by anybody (kc_pump_wake), or by the owner between two turns (an answer from Python). */
#include "ipc/kc_pump_parts.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

int kc_bell_open(kc_bell *bell)
{
    bell->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return bell->fd < 0 ? -errno : KC_OK;
}

void kc_bell_close(kc_bell *bell)
{
    if (bell->fd >= 0) {
        (void)close(bell->fd);
    }
    bell->fd = -1;
}

/* A counter that is full (EAGAIN) is readable already, which is all that is wanted. */
static void kc_bell_write(const kc_bell *bell)
{
    const uint64_t one = 1;
    ssize_t written = write(bell->fd, &one, sizeof one);
    (void)written;
}

void kc_pump_ring(kc_pump *pump)
{
    if (!pump->bell.rung) {
        pump->bell.rung = true;
        kc_bell_write(&pump->bell);
    }
}

void kc_pump_wake(kc_pump *pump)
{
    atomic_store_explicit(&pump->bell.woken, true, memory_order_release);
    kc_bell_write(&pump->bell);
}

bool kc_bell_clear(kc_bell *bell)
{
    uint64_t count;
    ssize_t got = read(bell->fd, &count, sizeof count);
    (void)got;
    bell->rung = false;
    return atomic_exchange_explicit(&bell->woken, false, memory_order_acq_rel);
}
