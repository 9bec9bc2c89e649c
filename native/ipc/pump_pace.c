/* pump_pace.c: frames per second, of one connection and of all connections of one account; and when those that are put
 * aside are looked at again, also those of a uid that has too many files to be closed (conn_files.c): a second later,
 * if no close has done it before, because files that are not closed in that time are not waited for.
 *
 * Whoever is too fast is not read until its time has come: nobody is disconnected and nothing is refused, the frames
 * wait with their sender. Each pace is one time, at which the frames served so far would be paid at the allowed rate
 * (the virtual scheduling form of the leaky bucket, ITU-T I.371); a second's worth may be saved up.
 *
 * Invariants: a slowed connection is in no other list from which it would be served; of one account those that waited
 * longest are served first, so none of its connections starves another. One time, release_ns, is the next look at all
 * who were put aside; it costs one walk over them. Who is slowed asks for it a hundred times a second at most.
 */
#include "ipc/kc_pump_parts.h"

static const int64_t KC_S_NS = 1000000000;
static const int64_t KC_PACE_STEP_NS = 10000000;
static const int64_t KC_PACE_TELL_NS = 10000000000; /* one word about it for each time in which it went on */

static kc_rate kc_rate_of(uint32_t per_second)
{
    kc_rate rate = {.per_second = per_second};
    if (per_second != 0) {
        rate.interval_ns = (KC_S_NS + per_second - 1) / per_second;
        rate.saved_ns = rate.interval_ns * per_second;
    }
    return rate;
}

int kc_pump_pace(kc_pump *pump, uint32_t per_connection, uint32_t per_account)
{
    pump->conn_rate = kc_rate_of(per_connection);
    pump->account_rate = kc_rate_of(per_account);
    pump->paced = per_connection != 0 || per_account != 0;
    pump->release_ns = pump->now_ns; /* who was slowed by the old rates is looked at again */
    return KC_OK;
}

static uint32_t kc_pace_left(const kc_rate *rate, int64_t paid_ns, int64_t now_ns)
{
    if (rate->per_second == 0) {
        return UINT32_MAX;
    }
    int64_t saved_ns = now_ns + rate->saved_ns - (paid_ns > now_ns ? paid_ns : now_ns);
    return saved_ns > 0 ? (uint32_t)(saved_ns / rate->interval_ns) : 0;
}

static void kc_pace_pay(const kc_rate *rate, int64_t *paid_ns, int64_t now_ns, uint32_t frames)
{
    *paid_ns = (*paid_ns > now_ns ? *paid_ns : now_ns) + rate->interval_ns * frames;
}

/* When one frame may be served again. */
static int64_t kc_pace_ready_ns(const kc_rate *rate, int64_t paid_ns)
{
    return rate->per_second == 0 ? 0 : paid_ns - rate->saved_ns + rate->interval_ns;
}

uint32_t kc_pace_allows(const kc_pump *pump, const kc_connection *conn)
{
    uint32_t own = kc_pace_left(&pump->conn_rate, conn->paid_ns, pump->now_ns);
    uint32_t all = kc_pace_left(&pump->account_rate, pump->conns.accounts[conn->account].paid_ns, pump->now_ns);
    return own < all ? own : all;
}

void kc_pace_spend(kc_pump *pump, kc_connection *conn)
{
    kc_pace_pay(&pump->conn_rate, &conn->paid_ns, pump->now_ns, conn->turn_frames);
    kc_pace_pay(&pump->account_rate, &pump->conns.accounts[conn->account].paid_ns, pump->now_ns, conn->turn_frames);
}

static void kc_pace_wait(kc_pump *pump, const kc_connection *conn)
{
    int64_t own_ns = kc_pace_ready_ns(&pump->conn_rate, conn->paid_ns);
    int64_t all_ns = kc_pace_ready_ns(&pump->account_rate, pump->conns.accounts[conn->account].paid_ns);
    int64_t ready_ns = own_ns > all_ns ? own_ns : all_ns;
    int64_t step_ns = pump->now_ns + KC_PACE_STEP_NS;
    ready_ns = ready_ns > step_ns ? ready_ns : step_ns;
    pump->release_ns = ready_ns < pump->release_ns ? ready_ns : pump->release_ns;
}

static void kc_pace_tell(kc_pump *pump, kc_connection *conn)
{
    bool own = kc_pace_left(&pump->conn_rate, conn->paid_ns, pump->now_ns) == 0;
    uint32_t rate = own ? pump->conn_rate.per_second : pump->account_rate.per_second;
    kc_refusal refusal = {.quota = own ? KC_QUOTA_CONN_FRAMES : KC_QUOTA_ACCOUNT_FRAMES, .limit = rate, .usage = rate};
    kc_pump_note(pump, conn, KC_OK, &refusal);
}

void kc_pace_crowded(kc_pump *pump)
{
    int64_t again_ns = pump->now_ns + KC_FILE_PATIENCE_NS;
    pump->release_ns = again_ns < pump->release_ns ? again_ns : pump->release_ns;
}

void kc_pace_slow(kc_pump *pump, kc_connection *conn)
{
    kc_pace_wait(pump, conn);
    if (conn->links[KC_LIST_SLOWED].in) {
        return;
    }
    kc_list_add(&pump->conns, KC_LIST_SLOWED, conn);
    if (conn->slowed == 0 || pump->now_ns - conn->slowed_ns >= KC_PACE_TELL_NS) {
        kc_pace_tell(pump, conn);
    }
    conn->slowed_ns = pump->now_ns;
    conn->slowed++;
    pump->conns.accounts[conn->account].share.slowed++;
    pump->slowed++;
}

/* Those whose turn has not come keep their places; who was served goes behind them if that was not all. */
void kc_pace_release(kc_pump *pump)
{
    const kc_conn_list_head *slowed = &pump->conns.lists[KC_LIST_SLOWED];
    kc_connection *conn = slowed->first;
    if (pump->now_ns < pump->release_ns) {
        return;
    }
    pump->release_ns = KC_NEVER;
    kc_conns_look_again(&pump->conns);
    for (uint32_t left = slowed->count; left != 0 && conn != NULL; left--) {
        kc_connection *next = conn->links[KC_LIST_SLOWED].next;
        if (!pump->paced || kc_pace_allows(pump, conn) != 0) {
            kc_list_drop(&pump->conns, KC_LIST_SLOWED, conn);
            kc_pump_serve_waiting(pump, conn);
        } else {
            kc_pace_wait(pump, conn);
        }
        conn = next;
    }
}
