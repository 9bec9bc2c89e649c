/* pump_region.c: descriptors on their way through connections: ranges that a peer sends, the notices that let others
 * read them (REGION_MAP, REGION_GONE) and the owner write them again (REGION_FREED), and RELEASE.
 *
 * A region belongs to the connection that registered it: its `user` in the engine is that connection's ticket. The peer
 * that gets a descriptor is told of its region once, with the region's file, in a frame before the reply.
 */
#include "ipc/kc_pump_parts.h"

enum { KC_TOLD_AT_ONCE = 64 };
enum {
    KC_NOTICE_MAP_BYTES = KC_FRAME_HEADER_BYTES + 2 * 12, /* REGION_ID, SIZE */
    KC_NOTICE_GONE_BYTES = KC_FRAME_HEADER_BYTES + 12,
    KC_NOTICE_DESC_BYTES = KC_ATTR_HEAD_BYTES + KC_MAX_DESC_BYTES
};

int kc_pump_range_body(kc_pump *pump, const kc_connection *conn, const kc_attr *attr, kc_body *body_out,
                       kc_refusal *refusal)
{
    kc_desc_value range;
    *body_out = (kc_body){0};
    if (attr->length >= KC_MAX_DESC_BYTES /* only replies name leases */ || !kc_desc_read(attr, &range)) {
        return KC_EINVAL;
    }
    return kc_region_body(pump->conns.engine, range.region, kc_conn_ticket(conn), range.offset, range.length, body_out,
                          refusal);
}

/* ---- who knows which region ---- */

static bool kc_region_is_known(const kc_connection *conn, kc_ticket region)
{
    const kc_handle *known = kc_handles_find(&conn->regions, (uint32_t)region);
    return known != NULL && known->chan == region;
}

static bool kc_region_know(kc_pump *pump, kc_connection *conn, kc_ticket region)
{
    kc_handle *known = kc_handles_put(&pump->conns.memory, &conn->regions, (uint32_t)region);
    if (known == NULL) {
        kc_connection_break(&pump->conns, conn, KC_ENOMEM);
        return false;
    }
    known->chan = region;
    return true;
}

void kc_pump_introduce(kc_pump *pump, kc_connection *conn, const kc_body *body)
{
    kc_region_info info;
    kc_writer writer;
    kc_desc desc;
    if (kc_body_desc(pump->conns.engine, body, &desc) != KC_OK || kc_region_is_known(conn, desc.region) ||
        kc_region_look(pump->conns.engine, desc.region, &info) != KC_OK || !kc_region_know(pump, conn, desc.region) ||
        !kc_output_begin(&pump->conns, conn, KC_NOTICE_MAP_BYTES, &writer)) {
        return;
    }
    kc_frame_begin(&writer, KC_CMD_REGION_MAP, info.file >= 0);
    kc_put_u64(&writer, KC_ATTR_REGION_ID, desc.region);
    kc_put_u64(&writer, KC_ATTR_SIZE, info.size_bytes);
    if (info.file < 0 || kc_output_attach(&pump->conns, conn, body)) {
        (void)kc_output_commit(&pump->conns, conn, &writer, false);
    }
}

/* ---- RELEASE ---- */

void kc_pump_release(kc_pump *pump, kc_connection *conn, const kc_request *request)
{
    kc_attr_walk walk = kc_request_walk(request, KC_ATTR_LEASE_ID);
    kc_attr attr;
    uint32_t count = 0;
    while (kc_attr_walk_next(&walk, &attr)) {
        count += kc_leases_release(pump->conns.engine, &conn->leases, kc_attr_u64(&attr));
    }
    pump->conns.accounts[conn->account].share.leases -= count;
    if (request->req_id != 0) {
        kc_reply_count(pump, conn, kc_answer_to(request->cmd, request->req_id), count == 0 ? KC_ENOENT : KC_OK, count);
    }
}

/* ---- what the engine has to tell about regions ---- */

/* The peer of a ticket, if something can still be said to it. */
static kc_connection *kc_told_conn(const kc_pump *pump, kc_conn ticket)
{
    kc_connection *conn = kc_conns_find(&pump->conns, ticket);
    return conn != NULL && conn->state < KC_CONN_CLOSING ? conn : NULL;
}

/* Ranges of one owner, in one frame. */
static void kc_tell_freed(kc_pump *pump, kc_connection *conn, const kc_freed *freed, uint32_t n)
{
    kc_writer writer;
    if (!kc_output_begin(&pump->conns, conn, KC_FRAME_HEADER_BYTES + n * KC_NOTICE_DESC_BYTES, &writer)) {
        return;
    }
    kc_frame_begin(&writer, KC_CMD_REGION_FREED, 0);
    for (uint32_t i = 0; i < n; i++) {
        kc_put_desc(&writer, freed[i].desc.region, freed[i].desc.offset, freed[i].desc.len_bytes,
                    freed[i].lost ? KC_FREED_LOST : 0);
    }
    (void)kc_output_commit(&pump->conns, conn, &writer, false);
}

static bool kc_told_freed(kc_pump *pump)
{
    kc_freed freed[KC_TOLD_AT_ONCE];
    uint32_t n = kc_desc_take_freed(pump->conns.engine, freed, KC_TOLD_AT_ONCE);
    for (uint32_t first = 0, end = 0; first < n; first = end) {
        while (end < n && freed[end].user == freed[first].user) {
            end++;
        }
        kc_connection *conn = kc_told_conn(pump, freed[first].user);
        if (conn != NULL) {
            kc_tell_freed(pump, conn, &freed[first], end - first);
        }
    }
    return n != 0;
}

static void kc_tell_gone(kc_pump *pump, kc_connection *conn, kc_ticket region)
{
    kc_writer writer;
    if (kc_output_begin(&pump->conns, conn, KC_NOTICE_GONE_BYTES, &writer)) {
        kc_frame_begin(&writer, KC_CMD_REGION_GONE, 0);
        kc_put_u64(&writer, KC_ATTR_REGION_ID, region);
        (void)kc_output_commit(&pump->conns, conn, &writer, false);
    }
}

/* Regions end seldom, so whoever knows this one is found by looking at all. */
static void kc_tell_ended(kc_pump *pump, const kc_region_end *end)
{
    for (uint32_t i = 1; i <= pump->conns.high; i++) {
        kc_connection *conn = kc_conns_at(&pump->conns, i);
        if (conn != NULL && conn->state < KC_CONN_CLOSING && kc_region_is_known(conn, end->region)) {
            kc_handles_remove(&conn->regions, kc_handles_find(&conn->regions, (uint32_t)end->region));
#if KC_MUTANT != 20 /* who has a region mapped does not hear that it is gone */
            kc_tell_gone(pump, conn, end->region);
#endif
        }
    }
}

/* The end is taken only when it can be kept for Python. */
static bool kc_told_ended(kc_pump *pump)
{
    bool some = false;
    kc_region_end end;
    pump->ended_regions.entry_bytes = sizeof end;
    while (kc_region_has_ended(pump->conns.engine) != 0) {
        kc_region_end *kept = kc_queue_push(&pump->conns.memory, &pump->ended_regions);
        if (kept == NULL) {
            break;
        }
        if (kc_region_take_ended(pump->conns.engine, &end) == 0) {
            pump->ended_regions.count--;
            break;
        }
        *kept = end;
        kc_tell_ended(pump, &end);
        if (end.file >= 0) {
            kc_conns_discard(&pump->conns, end.account, end.file, false);
        }
        some = true;
    }
    return some;
}

bool kc_pump_told(kc_pump *pump)
{
    bool some = false;
    while (kc_told_freed(pump)) {
        some = true;
    }
    return kc_told_ended(pump) || some;
}

int kc_pump_region_ended(kc_pump *pump, kc_conn *owner_out, kc_ticket *region_out)
{
    const kc_region_end *end = kc_queue_front(&pump->ended_regions);
    if (end == NULL) {
        return KC_EAGAIN;
    }
    *owner_out = end->user;
    *region_out = end->region;
    kc_queue_pop(&pump->ended_regions);
    kc_queue_rest(&pump->conns.memory, &pump->ended_regions, 0);
    return KC_OK;
}

/* ---- files that are to be closed ---- */

void kc_pump_discard_file(kc_pump *pump, uint32_t account, int32_t file)
{
    kc_conns_discard(&pump->conns, account, file, false);
}

uint32_t kc_pump_files_left(kc_pump *pump)
{
    return kc_file_left(pump->conns.engine);
}

uint32_t kc_pump_take_files(kc_pump *pump, int32_t *files, uint32_t max, uint32_t *account_out)
{
    return kc_file_take(pump->conns.engine, files, max, account_out);
}

void kc_pump_files_closed(kc_pump *pump, uint32_t account, uint32_t count)
{
    kc_conns_files_closed(&pump->conns, account, count);
    if (pump->conns.lists[KC_LIST_ATTENTION].count != 0) {
        kc_pump_wake(pump); /* somebody may be read again, and no event will say so */
    }
}
