/* kc_account.h: who pays for what. A charge is taken when memory is pinned and given back by the object's own end. */
#ifndef KC_ACCOUNT_H
#define KC_ACCOUNT_H

#include "kc_record.h"

/* Fills a refusal (NULL allowed) and returns its code. */
int kc_refuse(kc_refusal *refusal, int code, uint32_t quota, uint64_t limit, uint64_t usage);

enum { KC_ACCOUNT_ENDS = 2 /* kc_account_rec.used: nobody names it any more */ };
/* Frees the record of an account that ends when its last charge is back. */
void kc_account_end(kc_engine *engine, uint32_t account);
static inline void kc_account_settle(kc_engine *e, uint32_t account) {
    if (e->accounts[account].used == KC_ACCOUNT_ENDS)
        kc_account_end(e, account);
}

/* Why bytes were not charged, and why a message was not: KC_EDQUOT, or KC_ENOENT for an account that is none. */
int kc_account_refuse_bytes(const kc_engine *engine, uint32_t account, kc_refusal *refusal);
int kc_account_refuse_message(const kc_engine *engine, uint32_t account, kc_refusal *refusal);
/* Every message pays and is paid back, so these two cost no call while nothing is wrong. */
KC_PART int kc_account_charge_bytes(kc_engine *e, uint32_t account, uint64_t bytes, kc_refusal *refusal) {
    kc_account_rec *a = account <= e->account_high ? &e->accounts[account] : NULL;

    if (account == 0)
        return KC_OK;
    if (a == NULL || a->used == 0 || a->bytes + bytes > a->limits.bytes)
        return kc_account_refuse_bytes(e, account, refusal);
    a->bytes += bytes;
    return KC_OK;
}
static inline void kc_account_return_bytes(kc_engine *e, uint32_t account, uint64_t bytes) {
    if (account != 0) {
        e->accounts[account].bytes -= bytes;
        kc_account_settle(e, account);
    }
}
/* One message, and the bytes of its record. */
KC_PART int kc_account_charge_message(kc_engine *e, uint32_t account, uint64_t bytes, kc_refusal *refusal) {
    kc_account_rec *a = account <= e->account_high ? &e->accounts[account] : NULL;

    if (account == 0)
        return KC_OK;
    if (a == NULL || a->used == 0 || a->bytes + bytes > a->limits.bytes || a->messages >= a->limits.messages)
        return kc_account_refuse_message(e, account, refusal);
    a->bytes += bytes;
    a->messages++;
    return KC_OK;
}
static inline void kc_account_return_message(kc_engine *e, uint32_t account, uint64_t bytes) {
    if (account != 0) {
        e->accounts[account].messages--;
        kc_account_return_bytes(e, account, bytes);
    }
}
/* A waiter is charged once per clause, and at least once. */
int kc_account_charge_parked(kc_engine *engine, uint32_t account, uint32_t clauses, kc_refusal *refusal);
void kc_account_return_parked(kc_engine *engine, uint32_t account, uint32_t clauses);
/* Held messages: asked before a receive starts, counted when it comes to hold. */
int kc_account_may_hold(const kc_engine *engine, uint32_t account, kc_refusal *refusal);
void kc_account_hold(kc_engine *engine, uint32_t account);
void kc_account_unhold(kc_engine *engine, uint32_t account);
int kc_account_charge_files(kc_engine *engine, uint32_t account, uint32_t count, kc_refusal *refusal);
void kc_account_return_files(kc_engine *engine, uint32_t account, uint32_t count);
int kc_account_charge_channel(kc_engine *engine, uint32_t account, kc_refusal *refusal);
void kc_account_return_channel(kc_engine *engine, uint32_t account);
/* A scope keeps its account's record alive. KC_ENOENT for an account nobody made. */
int kc_account_enter(kc_engine *engine, uint32_t account);
/* The same for a record that is known to live: it outlives charges that go and come. Given back with
 * kc_account_leave. */
void kc_account_keep(kc_engine *engine, uint32_t account);
void kc_account_leave(kc_engine *engine, uint32_t account);

#endif
