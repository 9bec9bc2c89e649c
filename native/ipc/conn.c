/* conn.c: the table of connections, their lists, and the one way in which each of them ends. */
#include "ipc/kc_conn_output.h"


enum { KC_CONNS_LEAST = 64, KC_INPUT_FREE_BYTES = 4096 };

static bool kc_conns_grow(kc_conns *conns)
{
    uint32_t old = conns->slot_capacity;
    uint32_t capacity = old == 0 ? KC_CONNS_LEAST : old * 2;
    kc_conn_slot *slots =
        kc_memory_grow(&conns->memory, conns->slots, old * sizeof *slots, capacity * sizeof *slots);
    if (slots == NULL) {
        return false;
    }
    for (uint32_t i = old; i < capacity; i++) {
        slots[i] = (kc_conn_slot){0};
    }
    conns->slots = slots;
    conns->slot_capacity = capacity;
    return true;
}

/* A slot without a connection; KC_EDQUOT when there are as many as the limit allows. */
static int kc_conns_slot(kc_conns *conns, uint32_t *index_out)
{
    if (conns->free != 0) {
        *index_out = conns->free;
        return KC_OK;
    }
    if (conns->high >= conns->limit) {
        return KC_EDQUOT;
    }
    if (conns->high + 1 >= conns->slot_capacity && !kc_conns_grow(conns)) {
        return KC_ENOMEM;
    }
    *index_out = conns->high + 1;
    return KC_OK;
}

static void kc_conns_fill(kc_conns *conns, uint32_t index, kc_connection *conn)
{
    kc_conn_slot *slot = &conns->slots[index];
    if (conns->free == index) {
        conns->free = slot->next_free;
    } else {
        conns->high = index;
    }
    slot->conn = conn;
    slot->generation++;
    conn->index = index;
    conn->generation = slot->generation;
    conns->live++;
}

int kc_conns_add(kc_conns *conns, uint32_t account, kc_connection **conn_out)
{
    kc_connection *conn;
    uint32_t index;
    int code = kc_conns_slot(conns, &index);
    if (code != KC_OK) {
        return code;
    }
    conn = kc_memory_take(&conns->memory, sizeof *conn);
    if (conn == NULL) {
        return KC_ENOMEM;
    }
    code = kc_chan_waiter_scope_begin(conns->engine, conns->root, account, &conns->limits, &conn->scope,
                                      NULL);
    if (code == KC_OK && !kc_accounts_know(conns, account)) { /* of one that exists: the number is no wild one */
        (void)kc_chan_waiter_scope_end(conns->engine, conn->scope, KC_REASON_DEAD);
        code = KC_ENOMEM;
    }
    if (code != KC_OK) {
        kc_memory_give(&conns->memory, conn, sizeof *conn);
        return code;
    }
    conn->fd = -1;
    conn->state = KC_CONN_OPEN;
    conn->account = account;
    kc_conns_fill(conns, index, conn);
    kc_account_joined(conns, account);
    *conn_out = conn;
    return KC_OK;
}

kc_connection *kc_conns_at(const kc_conns *conns, uint32_t index)
{
    return index != 0 && index <= conns->high ? conns->slots[index].conn : NULL;
}

kc_connection *kc_conns_find(const kc_conns *conns, kc_conn ticket)
{
    kc_connection *conn = kc_conns_at(conns, (uint32_t)ticket);
    bool live = conn != NULL && conn->generation == (uint32_t)(ticket >> 32) && conn->state != KC_CONN_ENDED;
    return live ? conn : NULL;
}

void kc_conns_free(kc_conns *conns)
{
    kc_memory_give(&conns->memory, conns->slots, conns->slot_capacity * sizeof *conns->slots);
    conns->slots = NULL;
    kc_accounts_free(conns);
}

/* Where the list that this connection is in, or will be, has its ends. */
static kc_conn_list_head *kc_list_ends(kc_conns *conns, enum kc_conn_list list, const kc_connection *conn)
{
    return list < KC_LIST_LINES ? &conns->accounts[conn->account].rows[list].list : &conns->lists[list];
}

void kc_list_add(kc_conns *conns, enum kc_conn_list list, kc_connection *conn)
{
    kc_link *link = &conn->links[list];
    if (link->in) {
        return;
    }
    kc_conn_list_head *head = kc_list_ends(conns, list, conn);
    *link = (kc_link){.prev = head->last, .in = true};
    if (head->last != NULL) {
        head->last->links[list].next = conn;
    } else {
        head->first = conn;
    }
    head->last = conn;
    conns->lists[list].count++;
    if (list < KC_LIST_LINES) {
        kc_line_join(conns, list, conn->account);
    }
}

void kc_list_drop(kc_conns *conns, enum kc_conn_list list, kc_connection *conn)
{
    kc_conn_list_head *head = kc_list_ends(conns, list, conn);
    kc_link *link = &conn->links[list];
    if (!link->in) {
        return;
    }
    *(link->prev != NULL ? &link->prev->links[list].next : &head->first) = link->next;
    *(link->next != NULL ? &link->next->links[list].prev : &head->last) = link->prev;
    *link = (kc_link){0};
    conns->lists[list].count--;
}

kc_connection *kc_list_take(kc_conns *conns, enum kc_conn_list list)
{
    if (list < KC_LIST_LINES) {
        return kc_line_take(conns, list);
    }
    kc_connection *conn = conns->lists[list].first;
    if (conn != NULL) {
        kc_list_drop(conns, list, conn);
    }
    return conn;
}

void kc_conn_resumes(kc_conns *conns, kc_connection *conn)
{
    conn->resumes = true;
    kc_list_add(conns, KC_LIST_RUNNABLE, conn);
}

void kc_connection_close(kc_conns *conns, kc_connection *conn, int32_t code)
{
    if (conn->state < KC_CONN_CLOSING) {
        conn->state = KC_CONN_CLOSING;
        conn->code = code;
        kc_list_drop(conns, KC_LIST_RUNNABLE, conn);
        kc_list_add(conns, KC_LIST_ATTENTION, conn);
    }
}

void kc_connection_break(kc_conns *conns, kc_connection *conn, int32_t code)
{
    kc_connection_close(conns, conn, code);
    if (conn->state == KC_CONN_CLOSING) {
        conn->state = KC_CONN_BROKEN;
    }
}

static void kc_connection_drop_handles(kc_conns *conns, kc_connection *conn)
{
    for (uint32_t i = 0; i < conn->handles.capacity; i++) {
        if (conn->handles.slots[i].chan_id != 0) {
            (void)kc_chan_drop(conns->engine, conn->handles.slots[i].chan);
        }
    }
    kc_memory_give(&conns->memory, conn->handles.slots, conn->handles.capacity * sizeof(kc_handle));
    conn->handles = (kc_handles){0};
}

static void kc_connection_drop_pendings(kc_conns *conns, kc_connection *conn)
{
    kc_pendings *pendings = &conn->pendings;
    for (uint32_t i = 0; i < pendings->capacity; i++) {
        kc_pending *pending = &pendings->slots[i];
        if (pending->kind == KC_PENDING_SEND && (pending->flags & KC_PENDING_BATCH) != 0) {
            kc_batch_free(conns->engine, &conns->memory, pending->more.batch);
        }
    }
    kc_memory_give(&conns->memory, pendings->slots, pendings->capacity * sizeof *pendings->slots);
    *pendings = (kc_pendings){0};
}

static void kc_connection_drop_input(kc_conns *conns, kc_connection *conn)
{
    kc_large_end(conns, conn);
    kc_bodies_drop(conns->engine, &conns->memory, &conn->held.bodies);
    kc_memory_give(&conns->memory, conn->held.payload, conn->held.payload_bytes);
    kc_files_drop(conns, conn, &conn->held.files);
    conn->held = (kc_held){0};
    kc_conn_files_end(conns, conn);
    kc_toll_drop(conns, conn);
    kc_memory_give(&conns->memory, conn->input.bytes, conn->input.capacity);
    conn->input = (kc_buffer){0};
    kc_conn_charge_input(conns, conn);
}

void kc_connection_end(kc_conns *conns, kc_connection *conn, uint32_t reason)
{
    (void)kc_chan_waiter_scope_end(conns->engine, conn->scope, reason);
    kc_account_left(conns, conn);
    kc_output_free(conns, conn);
    kc_connection_drop_pendings(conns, conn);
    kc_connection_drop_handles(conns, conn);
    kc_leases_end(conns->engine, &conns->memory, &conn->leases);
    kc_memory_give(&conns->memory, conn->regions.slots, conn->regions.capacity * sizeof(kc_handle));
    conn->regions = (kc_handles){0};
    kc_body_drop(conns->engine, &conn->fetched);
    kc_connection_drop_input(conns, conn);
    conn->state = KC_CONN_ENDED;
    for (enum kc_conn_list list = 0; list < KC_CONN_LISTS; list++) {
        kc_list_drop(conns, list, conn);
    }
    kc_list_add(conns, KC_LIST_ENDED, conn);
}

void kc_connection_forget(kc_conns *conns, kc_connection *conn)
{
    kc_conn_slot *slot = &conns->slots[conn->index];
    kc_list_drop(conns, KC_LIST_ENDED, conn);
    slot->conn = NULL;
    slot->next_free = conns->free;
    conns->free = conn->index;
    conns->live--;
    kc_memory_give(&conns->memory, conn, sizeof *conn);
}

/* Small leftovers are not counted: they are bounded by the number of connections. */
void kc_conn_charge_input(kc_conns *conns, kc_connection *conn)
{
    bool over = conns->input_bytes >= conns->input_budget;
    uint32_t bytes = conn->input.capacity > KC_INPUT_FREE_BYTES ? conn->input.capacity : 0;
    if (conn->large != NULL) {
        bytes += conn->large->flat.capacity + conn->large->body_bytes;
    }
    conns->input_bytes += bytes;
    conns->input_bytes -= conn->charged_bytes;
    conn->charged_bytes = bytes;
    bool room = conns->input_bytes < conns->input_budget || conns->progressing == NULL;
    while (over && room && conns->lists[KC_LIST_PAUSED].first != NULL) {
        kc_list_add(conns, KC_LIST_ATTENTION, kc_list_take(conns, KC_LIST_PAUSED));
    }
}
