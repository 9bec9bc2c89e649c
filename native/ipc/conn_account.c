/* conn_account.c: what the connections of one account share. Their control frames take turns with those of the others:
 * of each account that waits the oldest one, then of each its next, so that a user with many connections gets no more of
 * Python's time than one with a single connection.
 *
 * Invariants: an account with a connection in KC_LIST_CONTROL stands in line, once. One whose connections have all
 * ended before their turn stands there until its own turn is over. Records stay as long as the table: numbers of accounts
 * are small and used again.
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

static void kc_line_join(kc_conns *conns, uint32_t account)
{
    conns->accounts[account].next_in_line = 0;
    conns->accounts[account].in_line = true;
    *(conns->line_last != 0 ? &conns->accounts[conns->line_last - 1].next_in_line : &conns->line_first) = account + 1;
    conns->line_last = account + 1;
}

/* The account whose turn it is, out of the line. There is one. */
static uint32_t kc_line_next(kc_conns *conns)
{
    uint32_t account = conns->line_first - 1;
    conns->line_first = conns->accounts[account].next_in_line;
    conns->line_last = conns->line_first != 0 ? conns->line_last : 0;
    conns->accounts[account].in_line = false;
    return account;
}

void kc_control_wait(kc_conns *conns, kc_connection *conn)
{
    kc_list_add(conns, KC_LIST_CONTROL, conn);
    if (!conns->accounts[conn->account].in_line) {
        kc_line_join(conns, conn->account);
    }
}

kc_connection *kc_control_take(kc_conns *conns)
{
    kc_connection *conn = NULL;
    while (conn == NULL && conns->line_first != 0) {
        uint32_t account = kc_line_next(conns);
        const kc_conn_list_head *waiting = &conns->accounts[account].control;
        conn = waiting->first;
        if (conn != NULL) {
            kc_list_drop(conns, KC_LIST_CONTROL, conn);
        }
        if (waiting->first != NULL) {
            kc_line_join(conns, account);
        }
    }
    return conn;
}
