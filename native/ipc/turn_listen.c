/* turn_listen.c: listening sockets in the set. Accepting is the daemon's; here a readable listener is only told of, and
 * while accepting is paused (descriptors ran out) not even watched, so that it cannot spin the loop. */
#include "ipc/kc_turn_set.h"

#include <errno.h>
#include <sys/epoll.h>

static int kc_listener_watch(kc_turn_set *set, uint32_t place, bool on)
{
    kc_listener *listener = &set->listeners[place];
    struct epoll_event event = {.events = on ? (uint32_t)EPOLLIN : 0U,
                                .data.u64 = (uint64_t)(KC_MARK_LISTENER + place) << 32};
    if (listener->watched == on) {
        return KC_OK;
    }
    listener->watched = on;
    return epoll_ctl(set->epoll_fd, EPOLL_CTL_MOD, listener->fd, &event) == 0 ? KC_OK : -errno;
}

static int kc_listener_place(kc_pump *pump, uint32_t *place_out)
{
    kc_turn_set *set = pump->set;
    for (uint32_t i = 0; i < set->listener_count; i++) {
        if (set->listeners[i].fd < 0) {
            *place_out = i;
            return KC_OK;
        }
    }
    kc_listener *listeners =
        kc_memory_grow(&pump->conns.memory, set->listeners, set->listener_count * sizeof *listeners,
                       (set->listener_count + 1) * sizeof *listeners);
    if (listeners == NULL) {
        return KC_ENOMEM;
    }
    set->listeners = listeners;
    set->listeners[set->listener_count] = (kc_listener){.fd = -1};
    *place_out = set->listener_count++;
    return KC_OK;
}

int kc_pump_listen(kc_pump *pump, int fd)
{
    kc_turn_set *set = pump->set;
    uint32_t place;
    int code = kc_listener_place(pump, &place);
    if (code != KC_OK) {
        return code;
    }
    struct epoll_event event = {.events = set->accept_paused ? 0U : (uint32_t)EPOLLIN,
                                .data.u64 = (uint64_t)(KC_MARK_LISTENER + place) << 32};
    if (epoll_ctl(set->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
        return -errno;
    }
    set->listeners[place] = (kc_listener){.fd = fd, .watched = !set->accept_paused};
    return KC_OK;
}

int kc_pump_unlisten(kc_pump *pump, int fd)
{
    kc_turn_set *set = pump->set;
    for (uint32_t i = 0; i < set->listener_count; i++) {
        if (set->listeners[i].fd == fd && fd >= 0) {
            (void)epoll_ctl(set->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
            set->listeners_ready -= set->listeners[i].ready;
            set->listeners[i] = (kc_listener){.fd = -1};
            return KC_OK;
        }
    }
    return KC_ENOENT;
}

int kc_pump_accept_ready(kc_pump *pump)
{
    kc_turn_set *set = pump->set;
    for (uint32_t i = 0; i < set->listener_count; i++) {
        if (set->listeners[i].ready) {
            set->listeners[i].ready = false;
            set->listeners_ready--;
            return set->listeners[i].fd;
        }
    }
    return KC_EAGAIN;
}

int kc_pump_accept_pause(kc_pump *pump, int on)
{
    kc_turn_set *set = pump->set;
    int code = KC_OK;
    set->accept_paused = on != 0;
    for (uint32_t i = 0; code == KC_OK && i < set->listener_count; i++) {
        if (set->listeners[i].fd >= 0) {
            code = kc_listener_watch(set, i, on == 0);
        }
    }
    return code;
}

void kc_listener_rang(kc_pump *pump, uint32_t place)
{
    kc_turn_set *set = pump->set;
    bool known = place < set->listener_count && set->listeners[place].fd >= 0;
    if (known && !set->listeners[place].ready && !set->accept_paused) {
        set->listeners[place].ready = true;
        set->listeners_ready++;
    }
}
