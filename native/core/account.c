/* account.c: the accounts of kc_engine.h. Account 0 is nobody's: it has no limits, and bytes are not counted on it. */
#include "kc_account.h"

#include "kc_pool.h"

enum { PARKED = 65536, CHANNELS = 16384, HELD = 65536, FILES = 1024, BYTES = 256 << 20, MESSAGES = 1 << 21 };

KC_RARE int kc_refuse(kc_refusal *refusal, int code, uint32_t quota, uint64_t limit, uint64_t usage) {
    if (refusal != NULL)
        *refusal = (kc_refusal){.quota = quota, .limit = limit, .usage = usage};
    return code;
}

static int over(kc_refusal *refusal, uint32_t account, uint32_t quota, uint64_t limit, uint64_t usage, uint64_t more) {
    int rc = KC_OK;

    if (account != 0 && usage + more > limit)
        rc = kc_refuse(refusal, KC_EDQUOT, quota, limit, usage);
    return rc;
}

KC_RARE void kc_account_end(kc_engine *e, uint32_t account) {
    kc_account_rec *a = &e->accounts[account];

    if (account != 0 && a->scopes == 0 && a->parked == 0 && a->channels == 0 && a->held == 0 && a->files == 0 &&
        a->bytes == 0) {
        a->used = 0;
        a->next = e->account_free;
        e->account_free = account;
        e->account_live--;
    }
}

KC_RARE int kc_account_refuse_bytes(const kc_engine *e, uint32_t account, kc_refusal *refusal) {
    const kc_account_rec *a = account <= e->account_high ? &e->accounts[account] : NULL;
    int rc = KC_ENOENT;

    if (a != NULL && a->used != 0)
        rc = kc_refuse(refusal, KC_EDQUOT, KC_QUOTA_ACCOUNT_BYTES, a->limits.bytes, a->bytes);
    return rc;
}

KC_RARE int kc_account_refuse_message(const kc_engine *e, uint32_t account, kc_refusal *refusal) {
    const kc_account_rec *a = account <= e->account_high ? &e->accounts[account] : NULL;
    bool many = a != NULL && a->used != 0 && a->messages >= a->limits.messages;

    return many ? kc_refuse(refusal, KC_EDQUOT, KC_QUOTA_ACCOUNT_MESSAGES, a->limits.messages, a->messages)
                : kc_account_refuse_bytes(e, account, refusal);
}

int kc_account_charge_parked(kc_engine *e, uint32_t account, uint32_t clauses, kc_refusal *refusal) {
    kc_account_rec *a = &e->accounts[account];
    int rc = over(refusal, account, KC_QUOTA_ACCOUNT_PARKED, a->limits.parked, a->parked, clauses);

    a->parked += rc == KC_OK ? clauses : 0;
    return rc;
}

void kc_account_return_parked(kc_engine *e, uint32_t account, uint32_t clauses) {
    e->accounts[account].parked -= clauses;
    kc_account_settle(e, account);
}

int kc_account_may_hold(const kc_engine *e, uint32_t account, kc_refusal *refusal) {
    const kc_account_rec *a = &e->accounts[account];

    return over(refusal, account, KC_QUOTA_ACCOUNT_HELD, a->limits.held, a->held, 1);
}

void kc_account_hold(kc_engine *e, uint32_t account) { e->accounts[account].held++; }

void kc_account_unhold(kc_engine *e, uint32_t account) {
    e->accounts[account].held--;
    kc_account_settle(e, account);
}

int kc_account_charge_files(kc_engine *e, uint32_t account, uint32_t count, kc_refusal *refusal) {
    kc_account_rec *a = account <= e->account_high ? &e->accounts[account] : NULL;
    int rc = KC_ENOENT;

    if (a == NULL || (account != 0 && a->used == 0))
        return rc;
    rc = over(refusal, account, KC_QUOTA_ACCOUNT_FILES, a->limits.files, a->files, count);

    a->files += rc == KC_OK ? count : 0;
    return rc;
}

void kc_account_return_files(kc_engine *e, uint32_t account, uint32_t count) {
    e->accounts[account].files -= count;
    kc_account_settle(e, account);
}

int kc_account_charge_channel(kc_engine *e, uint32_t account, kc_refusal *refusal) {
    kc_account_rec *a = &e->accounts[account];
    int rc = over(refusal, account, KC_QUOTA_ACCOUNT_CHANNELS, a->limits.channels, a->channels, 1);

    a->channels += rc == KC_OK;
    return rc;
}

void kc_account_return_channel(kc_engine *e, uint32_t account) {
    e->accounts[account].channels--;
    kc_account_settle(e, account);
}

static bool named(const kc_engine *e, uint32_t account) {
    return account == 0 || (account <= e->account_high && e->accounts[account].used == 1);
}

int kc_account_enter(kc_engine *e, uint32_t account) {
    int rc = named(e, account) ? KC_OK : KC_ENOENT;

    if (rc == KC_OK)
        e->accounts[account].scopes++;
    return rc;
}

void kc_account_keep(kc_engine *e, uint32_t account) { e->accounts[account].scopes++; }

void kc_account_leave(kc_engine *e, uint32_t account) {
    e->accounts[account].scopes--;
    kc_account_settle(e, account);
}

static void limit(kc_account_rec *a, const kc_account_limits *limits) {
    const kc_account_limits none = {0};
    const kc_account_limits *l = limits != NULL ? limits : &none;

    a->limits.parked = l->parked != 0 ? l->parked : PARKED;
    a->limits.channels = l->channels != 0 ? l->channels : CHANNELS;
    a->limits.held = l->held != 0 ? l->held : HELD;
    a->limits.files = l->files != 0 ? l->files : FILES;
    a->limits.bytes = l->bytes != 0 ? l->bytes : BYTES;
    a->limits.messages = l->messages != 0 ? l->messages : MESSAGES;
}

int kc_account_make(kc_engine *e, const kc_account_limits *limits, uint32_t *account_out) {
    uint32_t account = 0;
    int rc = KC_EDQUOT;

    kc_lock_take(&e->lock);
    if (kc_alloc_fails(e)) {
        rc = KC_ENOMEM;
    } else if (e->account_free != 0) {
        account = e->account_free;
        e->account_free = e->accounts[account].next;
    } else if (e->account_high < e->account_capacity) {
        account = ++e->account_high;
    }
    if (account != 0) {
        e->accounts[account] = (kc_account_rec){.used = 1, .owner = KC_NOBODY};
        limit(&e->accounts[account], limits);
        e->account_live++;
        *account_out = account;
        rc = KC_OK;
    }
    kc_lock_give(&e->lock);
    return rc;
}

int kc_account_free(kc_engine *e, uint32_t account) {
    int rc = KC_ENOENT;

    kc_lock_take(&e->lock);
    if (account != 0 && named(e, account)) {
        e->accounts[account].used = KC_ACCOUNT_ENDS;
        kc_account_settle(e, account);
        rc = KC_OK;
    }
    kc_lock_give(&e->lock);
    return rc;
}

int kc_account_name(kc_engine *e, uint32_t account, uint32_t owner) {
    int rc = KC_ENOENT;

    kc_lock_take(&e->lock);
    if (account != 0 && named(e, account)) {
        e->accounts[account].owner = owner;
        rc = KC_OK;
    }
    kc_lock_give(&e->lock);
    return rc;
}

int kc_account_limit(kc_engine *e, uint32_t account, const kc_account_limits *limits) {
    int rc = KC_ENOENT;

    kc_lock_take(&e->lock);
    if (account != 0 && named(e, account)) {
        limit(&e->accounts[account], limits);
        rc = KC_OK;
    }
    kc_lock_give(&e->lock);
    return rc;
}

int kc_account_measure(kc_engine *e, uint32_t account, kc_account_usage *usage_out) {
    int rc = KC_ENOENT;

    kc_lock_take(&e->lock);
    if (named(e, account)) {
        const kc_account_rec *a = &e->accounts[account];
        *usage_out = (kc_account_usage){.parked = a->parked, .channels = a->channels, .bytes = a->bytes,
                                         .held = a->held, .files = a->files, .messages = a->messages};
        rc = KC_OK;
    }
    kc_lock_give(&e->lock);
    return rc;
}
