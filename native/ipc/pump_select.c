/* pump_select.c: SELECT, exactly one of up to 64 clauses. What is wrong with one clause is told with its INDEX, and
 * then none has taken effect. */
#include "ipc/kc_pump_parts.h"

/* FLAGS that a sending clause may have; a receiving one may have the others. */
enum { KC_CLAUSE_SENDS = KC_FLAG_CLAUSE_FALLBACK_SMALL | KC_FLAG_CLAUSE_FALLBACK_CAPACITY };

static void kc_clauses_drop(kc_pump *pump, kc_clause *clauses, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        kc_body_forget(pump->conns.engine, &clauses[i].body);
    }
}

static int kc_clause_judge(const kc_pump *pump, const kc_connection *conn, const kc_request_clause *wish,
                           const kc_handle **handle_out)
{
    bool element = (wish->present & KC_HAS_ELEMENT) != 0;
    bool range = (wish->present & KC_HAS_DESC) != 0;
    bool send = element || range;
    uint32_t allowed = send ? KC_CLAUSE_SENDS : KC_FLAG_CLAUSE_ALL & ~KC_CLAUSE_SENDS;
    if ((wish->present & KC_HAS_CHAN_ID) == 0 || (wish->flags & ~allowed) != 0 || (element && range) ||
        (wish->files != 0 && !element)) {
        return KC_EINVAL;
    }
    int code = kc_pump_handle(conn, wish->chan_id, send ? KC_RIGHT_WRITE : KC_RIGHT_READ, handle_out);
    return code == KC_OK && send && pump->draining ? KC_ECANCELED : code;
}

/* The next of the frame's files, as many as the clause names. */
static int kc_clause_files(kc_pump *pump, const kc_connection *conn, kc_files *files, uint32_t *first, uint32_t count,
                           kc_clause *clause, kc_result *result)
{
    int code = count <= files->count - *first ? KC_OK : KC_EINVAL;
    if (code == KC_OK && count != 0) {
        code = kc_file_attach(pump->conns.engine, &clause->body, kc_conn_ticket(conn), &files->items[*first], count,
                              &result->refusal);
        *first += code == KC_OK ? count : 0;
    }
    if (code != KC_OK) {
        kc_body_drop(pump->conns.engine, &clause->body);
    }
    return code;
}

static uint32_t kc_clause_flags(const kc_request_clause *wish)
{
    return ((wish->flags & KC_FLAG_CLAUSE_ACK) != 0 ? (uint32_t)KC_OP_ACK : 0U) |
           ((wish->flags & KC_FLAG_CLAUSE_SENDER) != 0 ? (uint32_t)KC_OP_SENDER : 0U) |
           ((wish->flags & KC_FLAG_CLAUSE_FALLBACK_SMALL) != 0 ? (uint32_t)KC_OP_SMALL : 0U) |
           ((wish->flags & KC_FLAG_CLAUSE_FALLBACK_CAPACITY) != 0 ? (uint32_t)KC_OP_CROWDED : 0U);
}

/* On a refusal the clause has no body. */
static int kc_clause_make(kc_pump *pump, const kc_connection *conn, const kc_request_clause *wish, kc_files *files,
                          uint32_t *first, kc_clause *clause, kc_result *result)
{
    const kc_handle *handle;
    int code = kc_clause_judge(pump, conn, wish, &handle);
    if (code != KC_OK) {
        result->reason = KC_REASON_SHUTDOWN;
        return code;
    }
    *clause = (kc_clause){.chan = handle->chan, .flags = kc_clause_flags(wish)};
    if ((wish->present & (KC_HAS_ELEMENT | KC_HAS_DESC)) == 0) {
        clause->dir = KC_CLAUSE_RECV;
        clause->flags |= KC_OP_HOLD;
        return KC_OK;
    }
    clause->dir = KC_CLAUSE_SEND;
    if ((wish->present & KC_HAS_DESC) != 0) {
        return kc_pump_range_body(pump, conn, &wish->desc, &clause->body, &result->refusal);
    }
    code = kc_body_make(pump->conns.engine, conn->account, wish->element, wish->element_bytes, &clause->body,
                        &result->refusal);
    return code == KC_OK ? kc_clause_files(pump, conn, files, first, wish->files, clause, result) : code;
}

/* Fills clauses[]; on failure result->clause says which one was wrong, and nothing is kept. */
static int kc_select_read(kc_pump *pump, const kc_connection *conn, kc_inbound *frame, kc_clause *clauses,
                          kc_result *result)
{
    const kc_request *request = &frame->request;
    uint32_t used = 0;
    kc_attr_walk walk = kc_request_walk(request, KC_ATTR_CLAUSE);
    kc_attr attr;
    int code = KC_OK;
    uint32_t n = 0;
    while (code == KC_OK && kc_attr_walk_next(&walk, &attr)) {
        kc_request_clause wish;
        code = kc_clause_parse(&attr, request->minor, &wish);
        if (code == KC_OK) {
            code = kc_clause_make(pump, conn, &wish, &frame->files, &used, &clauses[n], result);
        }
        if (code == KC_OK) {
            n++;
        }
    }
    if (code == KC_OK && used != frame->files.count) {
        code = KC_EINVAL; /* every file has its clause */
    }
    kc_files_shift(&frame->files, used);
    if (code != KC_OK) {
        result->clause = n;
        kc_clauses_drop(pump, clauses, n);
    }
    return code;
}

/* Errors of one clause carry its index; those of the wait or of the whole request do not. */
static bool kc_select_blames(int32_t code, const kc_result *result)
{
    switch (code) {
    case KC_EAGAIN:
    case KC_ETIME:
    case KC_ENOMEM:
        return false;
    case KC_ECANCELED:
        return result->reason >= KC_REASON_DESTROYED;
    case KC_EDQUOT:
        return result->refusal.quota == KC_QUOTA_CHANNEL_PARKED;
    default:
        return true;
    }
}

static void kc_select_refuse(kc_pump *pump, kc_connection *conn, kc_answer answer, int32_t code,
                             const kc_result *result)
{
    if (kc_select_blames(code, result)) {
        answer.index = result->clause;
    }
    kc_reply_error(pump, conn, answer, code, result);
}

/* The winning clause's effect is there. */
static void kc_select_reply(kc_pump *pump, kc_connection *conn, kc_answer answer, const kc_result *result)
{
    uint32_t form = kc_item_form_of(result);
    answer.index = result->clause;
    if ((result->flags & KC_RESULT_MESSAGE) == 0) {
        kc_reply_sent(pump, conn, answer, (result->flags & KC_RESULT_DROPPED) != 0);
        return;
    }
    kc_refusal refusal = {0};
    int code = kc_reply_can_carry(pump, conn, &result->body, form, &refusal);
    if (code != KC_OK) {
        (void)kc_waiter_token_return(pump->conns.engine, conn->scope, result->token);
        kc_reply_refusal(pump, conn, answer, code, &refusal);
        return;
    }
    kc_item item = {result->token, result->body, result->attempts};
    kc_reply_items(pump, conn, answer, &item, 1, form);
}

static void kc_select_run(kc_pump *pump, kc_connection *conn, kc_inbound *frame, uint32_t slot)
{
    const kc_request *request = &frame->request;
    kc_clause clauses[KC_MAX_CLAUSES];
    kc_answer answer = kc_answer_to(KC_CMD_SELECT, request->req_id);
    kc_result result = {0};
    int code = kc_select_read(pump, conn, frame, clauses, &result);
    if (code != KC_OK) {
        kc_select_refuse(pump, conn, answer, code, &result);
        return;
    }
    bool biased = (request->flags & KC_FLAG_SELECT_BIASED) != 0;
    kc_op op = kc_pump_op(pump, conn, slot, request->timeout_ms, biased ? KC_OP_BIASED : 0);
    code = kc_select(pump->conns.engine, clauses, request->clauses.count, &op, &result);
    if (code == KC_OK) {
        kc_select_reply(pump, conn, answer, &result);
    } else if (code == KC_PARKED) {
        (void)kc_pump_park(conn, request->req_id, KC_PENDING_SELECT, result.token);
    } else {
        kc_clauses_drop(pump, clauses, request->clauses.count);
        kc_select_refuse(pump, conn, answer, code, &result);
    }
}

void kc_pump_select(kc_pump *pump, kc_connection *conn, kc_inbound *frame)
{
    const kc_request *request = &frame->request;
    bool counted = request->clauses.count != 0 && request->clauses.count <= KC_MAX_CLAUSES;
    bool known = (request->flags & ~(uint32_t)KC_FLAG_SELECT_ALL) == 0;
    uint32_t slot;
    if (request->deliveries.count != 0) {
        (void)kc_pump_settle_deliveries(pump, conn, request, false);
    }
    if (!counted || !known) {
        kc_reply_plain(pump, conn, kc_answer_to(KC_CMD_SELECT, request->req_id), KC_EINVAL);
        return;
    }
    if (kc_pump_reserve(pump, conn, request, &slot)) {
        kc_select_run(pump, conn, frame, slot);
    }
}

void kc_pump_select_result(kc_pump *pump, kc_connection *conn, uint32_t slot, kc_result *result)
{
    kc_answer answer = kc_answer_to(KC_CMD_SELECT, conn->pendings.slots[slot].req_id);
    if (result->code == KC_OK) {
        kc_select_reply(pump, conn, answer, result);
    } else {
        kc_select_refuse(pump, conn, answer, result->code, result);
    }
    kc_pump_done(pump, conn, slot);
}
