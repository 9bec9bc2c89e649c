/* pump.c: the pump's own life, and the pump without sockets: fed by arrays, asked for what it says. */
#include "ipc/kc_pump_parts.h"

#include <string.h>
#include <sys/uio.h>

enum { KC_FETCH_IOVECS = 16 };

static uint32_t kc_or(uint32_t value, uint32_t otherwise)
{
    return value != 0 ? value : otherwise;
}

static kc_pump_config kc_pump_defaults(const kc_pump_config *config)
{
    kc_pump_config c = config != NULL ? *config : (kc_pump_config){0};
    c.connections = kc_or(c.connections, 131072);
    c.frames_per_turn = kc_or(c.frames_per_turn, 64);
    c.bytes_per_turn = kc_or(c.bytes_per_turn, 262144);
    c.control_per_turn = kc_or(c.control_per_turn, 64);
    c.input_budget_bytes = c.input_budget_bytes != 0 ? c.input_budget_bytes : UINT64_C(256) << 20;
    c.output_high_bytes = kc_or(c.output_high_bytes, 1 << 20);
    c.stale_half_frame_ms = kc_or(c.stale_half_frame_ms, 30000);
    c.requests_per_conn = kc_or(c.requests_per_conn, 2048);
    return c;
}

static kc_scope_limits kc_pump_scope_limits(const kc_pump_config *config)
{
    return (kc_scope_limits){.parked = config->parked_per_conn, .held = config->held_per_conn};
}

void kc_pump_limit(kc_pump *pump, const kc_pump_config *config)
{
    kc_conns *conns = &pump->conns;
    pump->config.requests_per_conn = kc_pump_defaults(config).requests_per_conn;
    conns->limits = kc_pump_scope_limits(config);
    for (uint32_t i = 1; i <= conns->high; i++) {
        const kc_connection *conn = kc_conns_at(conns, i);
        if (conn != NULL) {
            (void)kc_chan_waiter_scope_limit(conns->engine, conn->scope, &conns->limits);
        }
    }
}

int kc_pump_open(kc_pump *pump, kc_engine *engine, const kc_pump_config *config)
{
    pump->config = kc_pump_defaults(config);
    pump->conns.engine = engine;
    pump->conns.limit = pump->config.connections;
    pump->conns.input_budget = pump->config.input_budget_bytes;
    pump->release_ns = KC_NEVER;
    int code = kc_port_open(engine, &pump->port);
    if (code != KC_OK) {
        return code;
    }
    pump->conns.limits = kc_pump_scope_limits(&pump->config);
    code = kc_chan_waiter_scope_begin(engine, 0, 0, NULL, &pump->conns.root, NULL);
    if (code != KC_OK) {
        (void)kc_port_close(engine, pump->port);
    }
    return code;
}

void kc_pump_shut(kc_pump *pump)
{
    kc_conns *conns = &pump->conns;
    for (uint32_t i = 1; i <= conns->high; i++) {
        kc_connection *conn = kc_conns_at(conns, i);
        if (conn != NULL && conn->state != KC_CONN_ENDED) {
            kc_connection_end(conns, conn, KC_REASON_SHUTDOWN);
        }
        if (conn != NULL) {
            kc_connection_forget(conns, conn);
        }
    }
    (void)kc_chan_waiter_scope_end(conns->engine, conns->root, KC_REASON_SHUTDOWN);
    (void)kc_pump_results(pump);
    (void)kc_port_close(conns->engine, pump->port);
    pump->ended_regions.count = 0;
    kc_queue_rest(&conns->memory, &pump->ended_regions, 0);
    kc_conns_free(conns);
}

uint32_t kc_pump_max_frame(uint32_t transport)
{
    return transport == KC_TRANSPORT_SEQPACKET ? KC_MAX_SEQPACKET_FRAME_BYTES : KC_MAX_FRAME_BYTES;
}

int kc_pump_run(kc_pump *pump)
{
    pump->now_ns = kc_engine_now(pump->conns.engine);
    pump->control_offered = 0;
    (void)kc_pump_results(pump);
    kc_pump_check_stale(pump);
    bool more = kc_pump_round(pump);
    do {
        kc_pump_attend(pump);
    } while (kc_pump_results(pump)); /* what an end gave back may be somebody's answer */
    more = more || pump->conns.lists[KC_LIST_RUNNABLE].count != 0;
    return more ? KC_PUMP_MORE : KC_OK;
}

int kc_conn_feed(kc_pump *pump, kc_conn ticket, const void *bytes, size_t n, int eof)
{
    kc_connection *conn = kc_conns_find(&pump->conns, ticket);
    if (conn == NULL || conn->fd >= 0 || conn->state != KC_CONN_OPEN) {
        return conn == NULL ? KC_ENOENT : KC_EINVAL;
    }
    pump->now_ns = kc_engine_now(pump->conns.engine);
    (void)kc_pump_results(pump);
    if (n != 0) {
        kc_pump_take(pump, conn, bytes, n);
    }
    if (eof) {
        kc_pump_eof(pump, conn);
    }
    while (kc_pump_run(pump) == KC_PUMP_MORE) {
    }
    return KC_OK;
}

static uint32_t kc_fetch_copy(kc_pump *pump, const kc_connection *conn, uint8_t *buffer, uint32_t n)
{
    kc_gather cursor = kc_output_start(conn);
    struct iovec iov[KC_FETCH_IOVECS];
    uint32_t copied = 0;
    uint64_t bytes;
    int used;
    while ((used = kc_output_gather(&pump->conns, conn, &cursor, n - copied, iov, KC_FETCH_IOVECS, &bytes)) != 0) {
        for (int i = 0; i < used; i++) {
            memcpy(buffer + copied, iov[i].iov_base, iov[i].iov_len);
            copied += (uint32_t)iov[i].iov_len;
        }
    }
    return copied;
}

int kc_conn_fetch(kc_pump *pump, kc_conn ticket, void *buffer, uint32_t n)
{
    kc_connection *conn = kc_conns_find(&pump->conns, ticket);
    if (conn == NULL || conn->fd >= 0) {
        return conn == NULL ? KC_ENOENT : KC_EINVAL;
    }
    const kc_body *body;
    uint64_t reach = kc_output_reach(conn, &body);
    kc_body_drop(pump->conns.engine, &conn->fetched);
    if (body != NULL) {
        conn->fetched = *body;
        kc_body_keep(pump->conns.engine, body);
    }
    reach = reach < INT32_MAX ? reach : INT32_MAX;
    uint32_t copied = kc_fetch_copy(pump, conn, buffer, n < reach ? n : (uint32_t)reach);
    kc_pump_taken(pump, conn, copied);
    while (kc_pump_run(pump) == KC_PUMP_MORE) {
    }
    return (int)copied;
}

uint32_t kc_conn_fetched_files(kc_pump *pump, kc_conn ticket, int32_t *files)
{
    const kc_connection *conn = kc_conns_find(&pump->conns, ticket);
    return conn == NULL ? 0 : kc_body_files(pump->conns.engine, &conn->fetched, files);
}

int kc_conn_feed_file(kc_pump *pump, kc_conn ticket, int32_t file)
{
    kc_connection *conn = kc_conns_find(&pump->conns, ticket);
    if (conn == NULL || conn->fd >= 0 || conn->state != KC_CONN_OPEN) {
        return conn == NULL ? KC_ENOENT : KC_EINVAL;
    }
    if (!kc_conn_files_add(&pump->conns, conn, file)) {
        kc_connection_close(&pump->conns, conn, KC_EPROTO);
    }
    return KC_OK;
}

int kc_conn_vanish(kc_pump *pump, kc_conn ticket)
{
    kc_connection *conn = kc_conns_find(&pump->conns, ticket);
    if (conn == NULL || conn->fd >= 0) {
        return conn == NULL ? KC_ENOENT : KC_EINVAL;
    }
    kc_connection_break(&pump->conns, conn, KC_ECONNRESET);
    while (kc_pump_run(pump) == KC_PUMP_MORE) {
    }
    return KC_OK;
}

uint64_t kc_pump_fail_alloc(kc_pump *pump, uint64_t n)
{
    return kc_memory_fail(&pump->conns.memory, n);
}

void kc_pump_measure(kc_pump *pump, kc_pump_usage *usage_out)
{
    *usage_out = (kc_pump_usage){.connections = pump->conns.live, .memory_bytes = pump->conns.memory.live_bytes,
                                 .input_bytes = pump->conns.input_bytes, .slowed = pump->slowed,
                                 .queued_bytes = pump->conns.queued_bytes};
}

void kc_pump_measure_account(kc_pump *pump, uint32_t account, kc_pump_account *share_out)
{
    *share_out = kc_account_share(&pump->conns, account);
}
