/* conn_account.c: what the connections of one account share. In three lists they take turns with those of the others:
 * with input, with output, with a control frame. Of each account that has some the oldest one, then of each its next,
 * so that a user with many connections gets no more than one with a single connection.
 *
 * Invariants: an account with a connection in such a list stands in its line, once. One whose connections have all left
 * the list before its turn stands there until its own turn is over. Records stay as long as the table: numbers of
 * accounts are small and used again.
 */
#include "ipc/kc_conn.h"

enum { KC_ACCOUNTS_LEAST = 16 };

bool kc_accounts_know(kc_conns *conns, uint32_t account)
{
    uint32_t old = conns->account_capacity;
    uint32_t capacity = old == 0 ? KC_ACCOUNTS_LEAST : old;
    while (capacity <= account) {
        capacity *= 2;
    }
    if (capacity == old) {
        return true;
    }
    kc_conn_account *accounts =
        kc_memory_grow(&conns->memory, conns->accounts, old * sizeof *accounts, capacity * sizeof *accounts);
    if (accounts == NULL) {
        return false;
    }
    for (uint32_t i = old; i < capacity; i++) {
        accounts[i] = (kc_conn_account){0};
    }
    conns->accounts = accounts;
    conns->account_capacity = capacity;
    return true;
}

void kc_accounts_free(kc_conns *conns)
{
    kc_memory_give(&conns->memory, conns->accounts, conns->account_capacity * sizeof *conns->accounts);
    conns->accounts = NULL;
    conns->account_capacity = 0;
}

/* ---- counts ---- */

void kc_account_joined(kc_conns *conns, uint32_t account)
{
    kc_pump_account *share = &conns->accounts[account].share;
    if (share->connections++ == 0) {
        share->slowed = 0; /* it may be another user's now */
    }
}

void kc_account_left(kc_conns *conns, const kc_connection *conn)
{
    kc_pump_account *share = &conns->accounts[conn->account].share;
    share->connections--;
    share->leases -= conn->leases.count;
}

kc_pump_account kc_account_share(const kc_conns *conns, uint32_t account)
{
    return account < conns->account_capacity ? conns->accounts[account].share : (kc_pump_account){0};
}

/* ---- turns ---- */

void kc_line_join(kc_conns *conns, enum kc_conn_list list, uint32_t account)
{
    kc_conn_line *line = &conns->lines[list];
    kc_conn_row *row = &conns->accounts[account].rows[list];
    if (row->in_line) {
        return;
    }
    row->next = 0;
    row->in_line = true;
    *(line->last != 0 ? &conns->accounts[line->last - 1].rows[list].next : &line->first) = account + 1;
    line->last = account + 1;
}

/* The account whose turn it is goes behind the others, or out of the line when nothing else of it waits. */
static void kc_line_pass(kc_conns *conns, enum kc_conn_list list, bool waits)
{
    kc_conn_line *line = &conns->lines[list];
    uint32_t account = line->first - 1;
    kc_conn_row *row = &conns->accounts[account].rows[list];
    if (waits && row->next == 0) {
        return; /* alone */
    }
    line->first = row->next;
    line->last = line->first != 0 ? line->last : 0;
    row->in_line = false;
    if (waits) {
        kc_line_join(conns, list, account);
    }
}

kc_connection *kc_line_take(kc_conns *conns, enum kc_conn_list list)
{
    kc_connection *conn = NULL;
    while (conn == NULL && conns->lines[list].first != 0) {
        conn = conns->accounts[conns->lines[list].first - 1].rows[list].list.first;
        kc_line_pass(conns, list, conn != NULL && conn->links[list].next != NULL);
    }
    if (conn != NULL) {
        kc_list_drop(conns, list, conn);
    }
    return conn;
}
