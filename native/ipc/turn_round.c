/* turn_round.c: one round of a turn: look at the set, serve, write.
 *
 * Nothing is done while looking but to put who is ready into line: connections take turns by user, not in the order in
 * which the set shows them (decision 0055). Serving and writing are bounded, so that the next look is never far: one
 * user costs another one share of 64 frames and the rest of a round, however many connections it has.
 *
 * Invariants: a look ends when the set has shown all that was ready, so nobody is hidden behind others. A connection in
 * line with `unread` has something in its socket, and what is not read is shown again. One that is not watched while it
 * waits is attended after its turn, and watched again then.
 */
#include "ipc/kc_turn_set.h"

#include <errno.h>

/* What a round serves, and then what it writes: about half a millisecond each, as Python takes for control frames. */
enum { KC_ROUND_FRAMES = 512, KC_ROUND_WRITES = 512 };
static const int64_t KC_ROUND_NS = 500000;
enum {
    KC_FLUSH_PASSES = 4,
    KC_WRITES_PER_CLOCK = 8,
    KC_CROWD = 32, /* ready at once: to be shown them again and again costs a tenth of a round or more */
    KC_SIGHTS = 4  /* looks that show somebody in line cost as much as no longer to watch it, and again */
};

/* ---- looking ---- */

/* Input that nobody wants now: it is looked at again when its connection is attended, unless nobody is there. */
static void kc_look_unwanted(kc_pump *pump, kc_connection *conn, uint32_t events)
{
    if (conn->state >= KC_CONN_CLOSING) {
        return;
    }
    if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
        kc_connection_break(&pump->conns, conn, (events & EPOLLERR) != 0 ? KC_ECONNRESET : KC_OK);
    } else {
        kc_set_deafen(pump, conn);
    }
}

static void kc_look_input(kc_pump *pump, kc_connection *conn, uint32_t events, bool crowded)
{
    if (conn->links[KC_LIST_RUNNABLE].in) {
        conn->unread |= events;
        if (crowded && conn->sights < KC_SIGHTS && ++conn->sights == KC_SIGHTS) {
            kc_set_deafen(pump, conn);
        }
    } else if (kc_pump_wants_input(pump, conn)) {
        conn->unread = events;
        kc_list_add(&pump->conns, KC_LIST_RUNNABLE, conn);
    } else {
        kc_look_unwanted(pump, conn, events);
    }
}

static void kc_look_conn(kc_pump *pump, kc_connection *conn, uint32_t events, bool crowded)
{
    if ((events & EPOLLOUT) != 0) {
        if (crowded && conn->writable) {
            kc_set_forget_room(pump, conn); /* known, and its turn to be written has not come */
        }
        conn->writable = true;
        kc_list_add(&pump->conns, KC_LIST_ATTENTION, conn);
    }
    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
        kc_look_input(pump, conn, events, crowded);
    }
}

static void kc_look_mark(kc_pump *pump, uint32_t mark)
{
    switch (mark) {
    case KC_MARK_TIMER:
        kc_set_timer_rang(pump->set);
        break;
    case KC_MARK_BELL:
        pump->set->woken |= kc_bell_clear(&pump->bell);
        break;
    case KC_MARK_PORT:
        kc_set_port_rang(pump->set);
        break;
    default:
        kc_listener_rang(pump, mark - KC_MARK_LISTENER);
        break;
    }
}

/* What one poll showed. False: a connection came again, so this look has shown all. */
static bool kc_look_events(kc_pump *pump, int n)
{
    kc_turn_set *set = pump->set;
    bool fresh = true;
    for (int i = 0; i < n; i++) {
        uint64_t data = set->events[i].data.u64;
        kc_connection *conn = kc_conns_find(&pump->conns, data);
        if ((uint32_t)data == 0) {
            kc_look_mark(pump, (uint32_t)(data >> 32));
        } else if (conn != NULL && conn->seen == set->look) {
            fresh = false;
        } else if (conn != NULL) {
            conn->seen = set->look;
            kc_look_conn(pump, conn, set->events[i].events, n >= KC_CROWD);
        }
    }
    return fresh;
}

/* How many events; negative: the set failed. */
static int kc_look_poll(kc_turn_set *set, int timeout_ms)
{
    int n = epoll_wait(set->epoll_fd, set->events, KC_TURN_EVENTS, timeout_ms);
    int failed = errno == EINTR ? 0 : -errno;
    return n < 0 ? failed : n;
}

/* The set shows who is ready in turns, so polling on until one comes again shows everybody. */
static void kc_look_all(kc_pump *pump, int n)
{
    kc_turn_set *set = pump->set;
    set->look++;
    while (kc_look_events(pump, n) && n == KC_TURN_EVENTS) {
        n = kc_look_poll(set, 0);
    }
}

/* ---- serving ---- */

/* What waits, and what its socket has unless that was a whole share. */
static void kc_round_visit(kc_pump *pump, kc_connection *conn)
{
    uint32_t events = conn->unread;
    bool shared = false;
    conn->unread = 0;
    conn->sights = 0;
    if (conn->resumes) {
        kc_pump_serve_waiting(pump, conn);
        shared = conn->turn_frames >= conn->turn_most;
    }
    if (events != 0 && !shared) {
        kc_turn_read(pump, conn, events);
    } else if (events != 0 && (conn->links[KC_LIST_RUNNABLE].in || kc_pump_wants_input(pump, conn))) {
        conn->unread = events;
        kc_list_add(&pump->conns, KC_LIST_RUNNABLE, conn);
    }
    if (!kc_set_hears(conn)) {
        kc_list_add(&pump->conns, KC_LIST_ATTENTION, conn);
    }
}

static void kc_round_serve(kc_pump *pump)
{
    const kc_conn_list_head *runnable = &pump->conns.lists[KC_LIST_RUNNABLE];
    int64_t end_ns = pump->now_ns + KC_ROUND_NS;
    uint64_t frames = 0;
    for (uint32_t left = runnable->count; left != 0 && runnable->count != 0 && frames < KC_ROUND_FRAMES; left--) {
        kc_connection *conn = kc_list_take(&pump->conns, KC_LIST_RUNNABLE);
        uint64_t before = conn->frames_in;
        kc_round_visit(pump, conn);
        frames += conn->frames_in - before;
        if (runnable->count != 0) {
            pump->now_ns = kc_turn_clock();
            left = pump->now_ns < end_ns ? left : 1;
        }
    }
}

/* ---- writing ---- */

static void kc_round_attend_one(kc_pump *pump, kc_connection *conn)
{
    bool fed = conn->fd < 0; /* by arrays: it is flushed by whoever fetches */
    if (!fed) {
        (void)kc_turn_write(pump, conn);
    }
    if (kc_pump_is_over(pump, conn) || (!fed && conn->state == KC_CONN_CLOSING)) {
        kc_set_end(pump, conn);
    }
    if (fed || conn->state == KC_CONN_ENDED) {
        return;
    }
    (void)kc_conn_pay(&pump->conns, conn, 0);
    kc_set_follow(pump, conn);
    if (conn->writable && kc_output_queued(conn) != 0) {
        kc_list_add(&pump->conns, KC_LIST_ATTENTION, conn);
    }
}

/* How many of `most` may still be attended. */
static uint32_t kc_round_attend_pass(kc_pump *pump, uint32_t most, int64_t end_ns)
{
    const kc_conn_list_head *attention = &pump->conns.lists[KC_LIST_ATTENTION];
    for (uint32_t left = attention->count; left != 0 && attention->count != 0 && most != 0; left--) {
        kc_round_attend_one(pump, kc_list_take(&pump->conns, KC_LIST_ATTENTION));
        most--;
        most = most % KC_WRITES_PER_CLOCK == 0 && kc_turn_clock() >= end_ns ? 0 : most;
    }
    return most;
}

/* Writes settle messages, and what that sets free may be said in the same turn. */
static void kc_round_attend(kc_pump *pump)
{
    const kc_conn_list_head *attention = &pump->conns.lists[KC_LIST_ATTENTION];
    int64_t end_ns = pump->now_ns + KC_ROUND_NS;
    uint32_t most = KC_ROUND_WRITES;
    for (int pass = 0; pass < KC_FLUSH_PASSES && attention->count != 0 && most != 0; pass++) {
        most = kc_round_attend_pass(pump, most, end_ns);
        (void)kc_pump_results(pump);
    }
}

/* ---- the round ---- */

bool kc_round_has_more(const kc_pump *pump)
{
    return pump->conns.lists[KC_LIST_RUNNABLE].count != 0 || pump->conns.lists[KC_LIST_ATTENTION].count != 0;
}

int kc_round(kc_pump *pump, int timeout_ms)
{
    bool busy = kc_round_has_more(pump);
    int n = kc_look_poll(pump->set, timeout_ms);
    if (n < 0) {
        return n;
    }
    pump->now_ns = kc_turn_clock();
    bool ended = kc_engine_tick(pump->conns.engine, pump->now_ns) != 0;
    ended |= kc_pump_results(pump);
    kc_pump_check_stale(pump);
    kc_set_retry(pump);
    kc_pace_release(pump);
    kc_look_all(pump, n);
    /* To look at a crowd, or to be stopped meanwhile, takes nothing from the round's part. */
    pump->now_ns = kc_turn_clock();
    kc_round_serve(pump);
    pump->now_ns = kc_turn_clock(); /* what the last visit took is not the writers' */
    kc_round_attend(pump);
    return busy || ended || n > 0;
}
