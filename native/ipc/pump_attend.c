/* pump_attend.c: which connections may be read, and which are over.
 *
 * Back-pressure is here: a connection above its output's high-water mark, with whole frames that wait, faster than its
 * pace (pump_pace.c), with more than its uid's account pays for (conn_toll.c), whose uid has too many files to be
 * closed (conn_files.c), or (at the input budget) with a frame in assembly is not read. One frame in assembly always
 * progresses, so the budget cannot lock; when it brings nothing for a second, another one does. Only who is read can be
 * late with the rest of a frame.
 */
#include "ipc/kc_pump_parts.h"

enum { KC_BARRIER_INPUT_BYTES = 65536 };
static const int64_t KC_STALE_CHECK_NS = 1000000000;

/* At the input budget: who is served at once takes nothing from it; who gathers a large frame or waits behind a barrier
 * does, and is put aside but for one. */
static bool kc_attend_may_grow(kc_pump *pump, kc_connection *conn)
{
    kc_conns *conns = &pump->conns;
    bool gathers = conn->large != NULL;
    if (conns->input_bytes < conns->input_budget || (!gathers && conn->barrier == KC_BARRIER_NONE)) {
        return true;
    }
    if (gathers && conns->progressing == NULL) {
        conns->progressing = conn;
        conns->progressed_bytes = conn->bytes_in;
    }
    if (conns->progressing == conn) {
        return true;
    }
    kc_list_add(conns, KC_LIST_PAUSED, conn);
    return false;
}

bool kc_pump_wants_input(kc_pump *pump, kc_connection *conn)
{
    if (conn->state != KC_CONN_OPEN || conn->links[KC_LIST_RUNNABLE].in || conn->links[KC_LIST_SLOWED].in) {
        return false;
    }
    if (kc_output_queued(conn) > pump->config.output_high_bytes) {
        return false;
    }
    if (conn->barrier != KC_BARRIER_NONE && kc_buffer_length(&conn->input) >= KC_BARRIER_INPUT_BYTES) {
        return false;
    }
    if (conn->unpaid && !kc_conn_pay(&pump->conns, conn, 0)) {
        return false;
    }
    if (kc_conn_is_crowded(&pump->conns, conn)) {
        kc_pace_crowded(pump);
        return false;
    }
    return kc_attend_may_grow(pump, conn);
}

void kc_pump_taken(kc_pump *pump, kc_connection *conn, uint64_t n)
{
    bool above = kc_output_queued(conn) > pump->config.output_high_bytes;
    kc_output_taken(&pump->conns, conn, n);
    bool waits = kc_buffer_length(&conn->input) != 0 || conn->state == KC_CONN_EOF;
    if (above && waits && kc_output_queued(conn) <= pump->config.output_high_bytes &&
        conn->state < KC_CONN_CLOSING) {
        kc_conn_resumes(&pump->conns, conn);
    }
    kc_list_add(&pump->conns, KC_LIST_ATTENTION, conn);
}

/* Whoever has the budget and brought nothing since the last look lets another one have it. */
static void kc_attend_pass_on(kc_conns *conns)
{
    kc_connection *conn = conns->progressing;
    if (conn != NULL && conn->bytes_in != conns->progressed_bytes) {
        conns->progressed_bytes = conn->bytes_in;
    } else if (conn != NULL && conns->lists[KC_LIST_PAUSED].first != NULL) {
        conns->progressing = NULL;
        while ((conn = kc_list_take(conns, KC_LIST_PAUSED)) != NULL) {
            kc_list_add(conns, KC_LIST_ATTENTION, conn); /* all but the first are put aside again */
        }
    }
}

/* Whether half a frame waits for its sender, not for us: one that we do not read may have sent the rest long ago. */
static bool kc_attend_is_late(const kc_pump *pump, kc_connection *conn)
{
    bool half = conn->state < KC_CONN_CLOSING && conn->half_since_ns != 0;
    bool aside = conn->links[KC_LIST_PAUSED].in || conn->links[KC_LIST_CROWDED].in || conn->links[KC_LIST_SLOWED].in;
    bool read = !aside && kc_output_queued(conn) <= pump->config.output_high_bytes;
    if (half && !read) {
        conn->half_since_ns = pump->now_ns;
    }
    return half && pump->now_ns - conn->half_since_ns > (int64_t)pump->config.stale_half_frame_ms * 1000000;
}

void kc_pump_check_stale(kc_pump *pump)
{
    kc_conns *conns = &pump->conns;
    if (conns->input_bytes < conns->input_budget || pump->now_ns < pump->stale_check_ns) {
        return;
    }
    pump->stale_check_ns = pump->now_ns + KC_STALE_CHECK_NS;
    for (uint32_t i = 1; i <= conns->high; i++) {
        kc_connection *conn = kc_conns_at(conns, i);
        if (conn != NULL && kc_attend_is_late(pump, conn)) {
            kc_connection_close(conns, conn, KC_ETIME);
        }
    }
    kc_attend_pass_on(conns);
}

static bool kc_attend_eof_is_over(const kc_connection *conn)
{
    bool served = conn->barrier == KC_BARRIER_NONE && !conn->links[KC_LIST_RUNNABLE].in &&
                  !conn->links[KC_LIST_SLOWED].in;
    return served && conn->pendings.count == 0 && kc_output_queued(conn) == 0;
}

bool kc_pump_is_over(kc_pump *pump, kc_connection *conn)
{
    bool over = conn->state == KC_CONN_BROKEN;
    if (conn->state == KC_CONN_CLOSING) {
        kc_pump_silence(pump, conn);
        over = kc_output_queued(conn) == 0;
    } else if (conn->state == KC_CONN_EOF && kc_attend_eof_is_over(conn)) {
        bool half = kc_buffer_length(&conn->input) != 0 || conn->large != NULL;
        conn->code = half ? KC_ECONNRESET : KC_OK;
        over = true;
    }
    return over;
}

void kc_pump_attend(kc_pump *pump)
{
    kc_conn_list_head *attention = &pump->conns.lists[KC_LIST_ATTENTION];
    for (uint32_t left = attention->count; left != 0 && attention->count != 0; left--) {
        kc_connection *conn = kc_list_take(&pump->conns, KC_LIST_ATTENTION);
        if (conn->fd >= 0) {
            kc_list_add(&pump->conns, KC_LIST_ATTENTION, conn); /* the turn's */
        } else if (kc_pump_is_over(pump, conn)) {
            kc_connection_end(&pump->conns, conn, KC_REASON_DEAD);
        } else {
            (void)kc_conn_pay(&pump->conns, conn, 0);
        }
    }
}
