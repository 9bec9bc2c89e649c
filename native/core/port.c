/* port.c: lists of decided tokens, one per taker. A push never calls anybody: it appends, and an armed port's eventfd
 * is written once, after the lock was given back. Descriptors live as long as the engine, so a late ring meets no
 * stranger. */
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "kc_pool.h"
#include "kc_token.h"

void kc_port_push(kc_engine *e, uint32_t tok) {
    kc_tok *t = kc_tok_at(e, tok);
    kc_port_rec *port = &e->ports[t->port];

    kc_list_push(&e->toks, &port->done, tok);
    t->at_port = 1;
    e->seats.due |= t->port == e->seats.port;
    atomic_store_explicit(&port->waiting, port->done.count, memory_order_relaxed);
    if (atomic_load_explicit(&port->armed, memory_order_relaxed) != 0) {
        atomic_store_explicit(&port->armed, 0, memory_order_relaxed);
        e->ring[e->ring_count++] = port->fd - 1; /* armed once per port and unlock: never more than there are ports */
    }
}

void kc_port_unlink(kc_engine *e, uint32_t tok) {
    kc_tok *t = kc_tok_at(e, tok);

    if (t->at_port) {
        kc_port_rec *port = &e->ports[t->port];
        kc_list_unlink(&e->toks, &port->done, tok);
        atomic_store_explicit(&port->waiting, port->done.count, memory_order_relaxed);
        t->at_port = 0;
    }
}

int kc_port_open(kc_engine *e, uint32_t *port_out) {
    uint32_t port = 1;
    int rc = KC_EDQUOT;

    kc_lock_take(&e->lock);
    while (port <= e->port_capacity && e->ports[port].used)
        port++;
    if (port <= e->port_capacity) {
        e->ports[port].used = 1;
        e->port_live++;
        *port_out = port;
        rc = KC_OK;
    }
    kc_lock_give(&e->lock);
    return rc;
}

/* The record of an open port, NULL for any other number. Under the lock. */
static kc_port_rec *find(kc_engine *e, uint32_t port) {
    bool known = port != 0 && port <= e->port_capacity && e->ports[port].used;

    return known ? &e->ports[port] : NULL;
}

int kc_port_close(kc_engine *e, uint32_t port) {
    kc_port_rec *p = NULL;
    int rc = KC_ENOENT;

    kc_lock_take(&e->lock);
    p = find(e, port);
    if (p != NULL && p->users != 0) {
        rc = KC_EBUSY;
    } else if (p != NULL) {
        p->used = 0;
        if (e->seats.port == port)
            e->seats = (kc_seats){0};
        atomic_store_explicit(&p->armed, 0, memory_order_relaxed);
        e->port_live--;
        rc = KC_OK;
    }
    kc_lock_give(&e->lock);
    return rc;
}

uint32_t kc_port_depth(kc_engine *e, uint32_t port) {
    kc_port_rec *p = NULL;
    uint32_t depth = 0;

    kc_lock_take(&e->lock);
    p = find(e, port);
    depth = p != NULL ? p->done.count : 0;
    kc_lock_give(&e->lock);
    return depth;
}

int kc_port_fd(kc_engine *e, uint32_t port) {
    kc_port_rec *p = NULL;
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int spare = fd;

    if (fd < 0)
        return -errno;
    kc_lock_take(&e->lock);
    p = find(e, port);
    if (p == NULL) {
        fd = KC_ENOENT;
    } else if (p->fd != 0) {
        fd = p->fd - 1; /* kept as fd + 1: a port of zeros has none */
    } else {
        p->fd = fd + 1;
        spare = -1;
    }
    kc_lock_give(&e->lock);
    if (spare >= 0)
        (void)close(spare);
    return fd;
}

int kc_port_arm(kc_engine *e, uint32_t port) {
    kc_port_rec *p = NULL;
    int armed = 0;

    kc_lock_take(&e->lock);
    p = find(e, port);
    if (p != NULL && p->done.count == 0) {
        atomic_store_explicit(&p->armed, p->fd != 0, memory_order_relaxed);
        armed = 1;
    }
    kc_lock_give(&e->lock);
    return armed;
}
