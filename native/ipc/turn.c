/* turn.c: one turn (kc_turn.h): round after round (turn_round.c) until nothing comes.
 *
 * Re-polling with a yield between empty polls keeps up with a peer that answers in microseconds, at the price of a
 * bounded spin after work (FIGURES in docs/PERFORMANCE.md). An idle pump sleeps in the caller's epoll or in this one's.
 */
#include "ipc/kc_turn_set.h"

#include <sched.h>
#include <time.h>

/* In units of repoll_ns. A return to the caller costs an event loop's round, 40 us of Python: at ten it took a tenth of
 * the time under load, at a hundred (5 ms) a hundredth, and nothing else waits for this thread. */
enum { KC_REPOLL_TOTAL = 100 };

typedef struct kc_turn_time {
    int64_t start_ns, last_work_ns, now_ns;
    int64_t timeout_ns, repoll_ns;
} kc_turn_time;

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
        int worked = kc_round(pump, sleep_ms);
        ++*polls;
        sleep_ms = 0;
        if (worked < 0) {
            return worked;
        }
        time->now_ns = pump->now_ns;
        time->last_work_ns = worked != 0 ? time->now_ns : time->last_work_ns;
        if (kc_turn_is_due(pump) || kc_turn_is_out_of_time(time)) {
            return KC_OK;
        }
        if (kc_round_has_more(pump)) {
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
    bool more = kc_round_has_more(pump) || !kc_turn_rest(pump);
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
