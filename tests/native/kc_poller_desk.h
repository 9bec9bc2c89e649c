/* kc_poller_desk.h: a poller, a file that may be waited for, and two who note how often they were called and with
 * what. */
#ifndef KC_POLLER_DESK_H
#define KC_POLLER_DESK_H

#include <sys/socket.h>
#include <unistd.h>

#include "kc_test.h"
#include "runtime/kc_poller.h"

typedef struct bell {
    kc_wake wake;
    uint32_t rung;
    int32_t code;
} bell;

static inline void ring(kc_wake *wake, int32_t code) {
    bell *b = (bell *)(void *)wake;

    b->rung++;
    b->code = code;
}

static inline bell bell_of(void) { return (bell){.wake = {.call = ring}}; }

static inline void begin(kc_poller *p, uint32_t flags) { KC_REQUIRE(kc_poller_begin(p, flags) == KC_OK); }

typedef struct duct {
    int ends[2];
} duct;

static inline duct duct_of(void) {
    duct d;

    KC_REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, d.ends) == 0);
    return d;
}

static inline void close_duct(duct *d) {
    for (int i = 0; i < 2; i++)
        if (d->ends[i] >= 0)
            KC_CHECK_EQ(close(d->ends[i]), 0);
}

static inline void put(int fd) { KC_REQUIRE(write(fd, "x", 1) == 1); }
static inline void get(int fd) {
    char byte = 0;
    KC_REQUIRE(read(fd, &byte, 1) == 1);
}

/* One file, ends[0] of the duct, and two who may wait for it. */
typedef struct desk {
    kc_poller p;
    duct d;
    bell a, b;
} desk;

static inline void open_desk(desk *k) {
    begin(&k->p, 0);
    k->d = duct_of();
    k->a = bell_of();
    k->b = bell_of();
}

static inline void close_desk(desk *k) {
    kc_poller_end(&k->p);
    close_duct(&k->d);
}

static inline int wait_here(desk *k, uint32_t events, bell *who) {
    return kc_poller_add(&k->p, k->d.ends[0], events, &who->wake);
}

/* It sleeps until so many have come; or only looks. */
static inline int sleep_here(desk *k) { return kc_poller_wait(&k->p, KC_NEVER); }
static inline int look_here(desk *k) { return kc_poller_wait(&k->p, 0); }

static inline void check_bell(const bell *who, uint32_t rung, int32_t code) {
    KC_CHECK_EQ(who->rung, rung);
    KC_CHECK_EQ(who->code, code);
}

#endif
