/* turn.c: one turn (kc_turn.h): poll, serve, write, and again until nothing comes.
 *
 * Re-polling with a yield between empty polls keeps up with a peer that answers in microseconds, at the price of a
 * bounded spin after work (FIGURES in docs/PERFORMANCE.md). An idle pump sleeps in the caller's epoll or in this one's.
 */
#include "ipc/kc_turn_set.h"

#include <errno.h>
#include <sched.h>
#include <time.h>

/* In units of repoll_ns. A return to the caller costs an event loop's round, 40 us of Python: at ten it took a tenth of
 * the time under load, at a hundred (5 ms) a hundredth, and nothing else waits for this thread. */
enum { KC_REPOLL_TOTAL = 100, KC_FLUSH_PASSES = 4 };

typedef struct kc_turn_time {
    int64_t start_ns, last_work_ns, now_ns;
    int64_t timeout_ns, repoll_ns;
} kc_turn_time;

/* ---- one round ---- */

/* Input that nobody wants now: it is looked at again when its connection is attended, unless nobody is there. */
static void kc_turn_unwanted(kc_pump *pump, kc_connection *conn, uint32_t events)
{
    if (conn->links[KC_LIST_RUNNABLE].in || conn->state >= KC_CONN_CLOSING) {
        return;
    }
    if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
        kc_connection_break(&pump->conns, conn, (events & EPOLLERR) != 0 ? KC_ECONNRESET : KC_OK);
    } else {
        kc_set_deafen(pump, conn);
    }
}

static void kc_turn_conn(kc_pump *pump, kc_connection *conn, uint32_t events)
{
    if ((events & EPOLLOUT) != 0) {
        conn->writable = true;
        kc_list_add(&pump->conns, KC_LIST_ATTENTION, conn);
    }
    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) == 0) {
        return;
    }
    if (kc_pump_wants_input(pump, conn)) {
        kc_turn_read(pump, conn, events);
    } else {
        kc_turn_unwanted(pump, conn, events);
    }
}

static void kc_turn_mark(kc_pump *pump, uint32_t mark)
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

static void kc_turn_events(kc_pump *pump, int n)
{
    for (int i = 0; i < n; i++) {
        uint64_t data = pump->set->events[i].data.u64;
        kc_connection *conn = kc_conns_find(&pump->conns, data);
        if ((uint32_t)data == 0) {
            kc_turn_mark(pump, (uint32_t)(data >> 32));
        } else if (conn != NULL) {
            kc_turn_conn(pump, conn, pump->set->events[i].events);
        }
    }
}

static void kc_turn_attend_one(kc_pump *pump, kc_connection *conn)
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

/* Writes settle messages, and what that sets free may be said in the same turn. */
static void kc_turn_attend(kc_pump *pump)
{
    kc_conn_list_head *attention = &pump->conns.lists[KC_LIST_ATTENTION];
    for (int pass = 0; pass < KC_FLUSH_PASSES && attention->first != NULL; pass++) {
        for (uint32_t left = attention->count; left != 0 && attention->first != NULL; left--) {
            kc_turn_attend_one(pump, kc_list_take(&pump->conns, KC_LIST_ATTENTION));
        }
        (void)kc_pump_results(pump);
    }
}

static bool kc_turn_has_more(const kc_pump *pump)
{
    return pump->conns.lists[KC_LIST_RUNNABLE].first != NULL || pump->conns.lists[KC_LIST_ATTENTION].first != NULL;
}

/* One poll and all that follows from it. Negative: the set failed; else whether there was work. */
static int kc_turn_round(kc_pump *pump, kc_turn_time *time, int timeout_ms)
{
    bool busy = kc_turn_has_more(pump);
    int n = epoll_wait(pump->set->epoll_fd, pump->set->events, KC_TURN_EVENTS, timeout_ms);
    if (n < 0 && errno != EINTR) {
        return -errno;
    }
    time->now_ns = pump->now_ns = kc_turn_clock();
    bool ended = kc_engine_tick(pump->conns.engine, pump->now_ns) != 0;
    ended |= kc_pump_results(pump);
    kc_pump_check_stale(pump);
    kc_set_retry(pump);
    (void)kc_pump_round(pump);
    kc_turn_events(pump, n);
    kc_turn_attend(pump);
    if (busy || ended || n > 0) {
        time->last_work_ns = time->now_ns;
    }
    return busy || ended || n > 0;
}

/* ---- the turn ---- */

/* Something that only the caller can do. */
static bool kc_turn_is_due(const kc_pump *pump)
{
    const kc_conn_list_head *lists = pump->conns.lists;
    return lists[KC_LIST_CONTROL].count != 0 || lists[KC_LIST_ENDED].count != 0 ||
           lists[KC_LIST_CANCELLED].count != 0 || pump->set->listeners_ready != 0 || pump->set->woken ||
           pump->ended_regions.count != 0;
}

static bool kc_turn_spins(const kc_turn_time *time)
{
    return time->now_ns - time->last_work_ns < time->repoll_ns &&
           time->now_ns - time->start_ns < KC_REPOLL_TOTAL * time->repoll_ns;
}

static bool kc_turn_is_out_of_time(const kc_turn_time *time)
{
    if (time->timeout_ns == 0) {
        return time->now_ns - time->start_ns >= KC_REPOLL_TOTAL * time->repoll_ns;
    }
    return time->timeout_ns > 0 && time->now_ns - time->start_ns >= time->timeout_ns;
}

/* Milliseconds to sleep, rounded up; -1: until something happens. */
static int kc_turn_sleep_ms(const kc_turn_time *time)
{
    if (time->timeout_ns < 0) {
        return -1;
    }
    int64_t left_ns = time->timeout_ns - (time->now_ns - time->start_ns);
    int64_t left_ms = (left_ns + 999999) / 1000000;
    return left_ms <= 0 ? 0 : left_ms > INT32_MAX ? INT32_MAX : (int)left_ms;
}

/* Nothing waits: the timer and the port will tell. False when the port has something after all. */
static bool kc_turn_rest(kc_pump *pump)
{
    kc_set_arm_timer(pump);
    return kc_port_arm(pump->conns.engine, pump->port) != 0;
}

static int kc_turn_loop(kc_pump *pump, kc_turn_time *time, uint32_t *polls)
{
    int sleep_ms = 0;
    for (;;) {
        int worked = kc_turn_round(pump, time, sleep_ms);
        ++*polls;
        sleep_ms = 0;
        if (worked < 0) {
            return worked;
        }
        if (kc_turn_is_due(pump) || kc_turn_is_out_of_time(time)) {
            return KC_OK;
        }
        if (kc_turn_has_more(pump)) {
            continue;
        }
        if (kc_turn_spins(time)) {
            if (worked == 0) {
                (void)sched_yield();
            }
        } else if (time->timeout_ns == 0) {
            return KC_OK;
        } else if (kc_turn_rest(pump)) {
            sleep_ms = kc_turn_sleep_ms(time);
        }
    }
}

static uint32_t kc_turn_control(const kc_pump *pump)
{
    uint32_t waiting = pump->conns.lists[KC_LIST_CONTROL].count;
    return waiting < pump->config.control_per_turn ? waiting : pump->config.control_per_turn;
}

static void kc_turn_report(kc_pump *pump, uint32_t polls, kc_report *report)
{
    const kc_conn_list_head *lists = pump->conns.lists;
    bool more = kc_turn_has_more(pump) || !kc_turn_rest(pump);
    *report = (kc_report){.frames = pump->frames, .control = kc_turn_control(pump),
                          .accept = pump->set->listeners_ready, .closed = lists[KC_LIST_ENDED].count,
                          .cancelled = lists[KC_LIST_CANCELLED].count, .polls = polls,
                          .events = kc_engine_events(pump->conns.engine), .regions = pump->ended_regions.count,
                          .files = kc_pump_files_left(pump), .notes = pump->note_count};
    report->flags = (more ? KC_TURN_MORE : 0U) | (pump->set->woken ? KC_TURN_WOKEN : 0U) |
                    (pump->set->cut ? KC_TURN_CUT : 0U);
    pump->set->woken = pump->set->cut = false;
}

int kc_turn(kc_pump *pump, int64_t timeout_ns, int64_t repoll_ns, kc_report *report_out)
{
    kc_turn_time time = {.start_ns = kc_turn_clock(), .timeout_ns = timeout_ns, .repoll_ns = repoll_ns};
    uint32_t polls = 0;
    time.now_ns = time.start_ns;
    time.last_work_ns = time.start_ns - repoll_ns; /* an empty turn does not spin */
    pump->frames = pump->control_offered = 0;
    int code = kc_turn_loop(pump, &time, &polls);
    kc_turn_report(pump, polls, report_out);
    return code;
}
