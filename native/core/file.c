/* file.c: open files in messages (kc_file.h): who pays, who has them, who is to close them.
 *
 * Invariant: an account stands in the engine's list exactly when some of its files are left and it has a taker to
 * spare.
 */
#include "kc_account.h"
#include "kc_body.h"
#include "kc_extra.h"
#include "kc_flow.h"

static int pay(kc_engine *e, uint32_t account, uint32_t count, kc_refusal *refusal) {
    int rc = KC_OK;

    if (e->file_count + (uint64_t)count > e->file_capacity)
        rc = kc_refuse(refusal, KC_EDQUOT, KC_QUOTA_ENGINE_FILES, e->file_capacity, e->file_count);
    else
        rc = kc_account_charge_files(e, account, count, refusal);
    e->file_count += rc == KC_OK ? count : 0;
    return rc;
}

/* Whatever the limits say. */
static void charge(kc_engine *e, uint32_t account, uint32_t count) {
    e->file_count += count;
    e->accounts[account].files += count;
}

static void refund(kc_engine *e, uint32_t account, uint32_t count) {
    e->file_count -= count;
    kc_account_return_files(e, account, count);
}

int kc_file_pay(kc_engine *e, uint32_t account, uint32_t count, kc_refusal *refusal) {
    int rc = KC_OK;

    kc_enter(e);
    rc = pay(e, account, count, refusal);
    kc_leave(e);
    return rc;
}

void kc_file_refund(kc_engine *e, uint32_t account, uint32_t count) {
    kc_enter(e);
    refund(e, account, count);
    kc_leave(e);
}

int kc_file_attach(kc_engine *e, kc_body *body, uint64_t user, const int32_t *files, uint32_t count,
                   kc_refusal *refusal) {
    int rc = count >= 1 && count <= KC_MAX_MESSAGE_FILES && body->extra == 0 ? KC_OK : KC_EINVAL;

    if (rc == KC_OK) {
        kc_enter(e);
        rc = kc_extra_take_files(e, body->account, user, files, count, &body->extra, refusal);
        kc_leave(e);
    }
    return rc;
}

uint32_t kc_body_files(kc_engine *e, const kc_body *body, int32_t *files) {
    const kc_files_extra *x = kc_extra_files(e, body->extra);
    const kc_desc_extra *d = kc_extra_desc(e, body->extra);
    uint32_t count = x != NULL ? x->count : 0;

    for (uint32_t i = 0; i < count; i++)
        files[i] = x->files[i];
    if (d != NULL && d->region != 0 && kc_region_at(e, d->region)->file >= 0)
        files[count++] = kc_region_at(e, d->region)->file;
    return count;
}

/* ---- to be closed ---- */

static void count_closing(kc_engine *e, uint32_t account, int more) {
    uint32_t files = atomic_load_explicit(&e->closing_files, memory_order_relaxed) + (uint32_t)more;
    kc_account_rec *a = &e->accounts[account];

    if (a->closing == 0 || more < 0)
        a->closing_ns = e->now_ns;
    a->closing += (uint32_t)more;
    atomic_store_explicit(&e->closing_files, files, memory_order_relaxed);
}

static bool may_be_taken(const kc_account_rec *a) { return a->left.head != 0 && a->takers < KC_FILE_TAKERS; }

/* Account 0 has files too, so the list holds account + 1. */
static void offer(kc_engine *e, uint32_t account) {
    kc_list *list = &e->closing;

    e->accounts[account].next = 0;
    if (list->tail != 0)
        e->accounts[list->tail - 1].next = account + 1;
    else
        list->head = account + 1;
    list->tail = account + 1;
    atomic_store_explicit(&e->closing_count, ++list->count, memory_order_relaxed);
}

static uint32_t pop_account(kc_engine *e) {
    kc_list *list = &e->closing;
    uint32_t account = list->head - 1;

    list->head = e->accounts[account].next;
    list->tail = list->head != 0 ? list->tail : 0;
    atomic_store_explicit(&e->closing_count, --list->count, memory_order_relaxed);
    return account;
}

void kc_extra_end_files(kc_engine *e, uint32_t extra) {
    kc_files_extra *x = kc_extra_files(e, extra);
    kc_account_rec *a = &e->accounts[x->account];
    bool offered = may_be_taken(a);

    x->next = 0;
    if (a->left.tail != 0)
        kc_extra_at(e, a->left.tail)->next = extra;
    else
        a->left.head = extra;
    a->left.tail = extra;
    a->left.count++;
    count_closing(e, x->account, (int)x->count);
    if (!offered && may_be_taken(a))
        offer(e, x->account);
}

int kc_file_discard(kc_engine *e, uint32_t account, int32_t file, int paid) {
    uint32_t extra = 0;
    int rc = KC_OK;

    kc_enter(e);
    account = account <= e->account_high && e->accounts[account].used != 0 ? account : 0;
    rc = kc_extra_take_files(e, 0, 0, &file, 1, &extra, NULL); /* the record is ours: no quota refuses it */
    if (rc == KC_OK) {
        charge(e, account, paid ? 0 : 1);
        kc_extra_files(e, extra)->account = account;
        kc_extra_drop(e, extra, false);
    } else if (paid) {
        refund(e, account, 1);
    }
    kc_leave(e);
    return rc;
}

int kc_file_is_over(kc_engine *e, uint32_t account) {
    bool over = false;

    if (account == 0 || atomic_load_explicit(&e->closing_files, memory_order_relaxed) <= KC_FILE_SURPLUS)
        return 0; /* nobody can be */
    kc_enter(e);
    over = account <= e->account_high &&
           e->accounts[account].files > (uint64_t)e->accounts[account].limits.files + KC_FILE_SURPLUS;
    kc_leave(e);
    return over;
}

int kc_file_lags(kc_engine *e, uint32_t account) {
    bool lags = false;

    if (account == 0 || atomic_load_explicit(&e->closing_files, memory_order_relaxed) == 0)
        return 0;
    kc_enter(e);
    if (account <= e->account_high) {
        const kc_account_rec *a = &e->accounts[account];
        lags = a->closing > a->limits.files / 2 && e->now_ns - a->closing_ns < KC_FILE_PATIENCE_NS;
    }
    kc_leave(e);
    return lags;
}

uint32_t kc_file_left(kc_engine *e) { return atomic_load_explicit(&e->closing_count, memory_order_relaxed); }

/* Moves what an account has left into files. */
static uint32_t take_from(kc_engine *e, kc_list *left, int32_t *files, uint32_t max) {
    uint32_t taken = 0;

    while (left->head != 0 && taken + kc_extra_files(e, left->head)->count <= max) {
        uint32_t extra = left->head;
        const kc_files_extra *x = kc_extra_files(e, extra);
        for (uint32_t i = 0; i < x->count; i++)
            files[taken++] = x->files[i];
        left->head = x->next;
        left->tail = left->head != 0 ? left->tail : 0;
        left->count--;
        kc_block_free(e, extra);
    }
    return taken;
}

uint32_t kc_file_take(kc_engine *e, int32_t *files, uint32_t max, uint32_t *account_out) {
    uint32_t taken = 0;

    if (kc_file_left(e) == 0)
        return 0;
    kc_enter(e);
    if (e->closing.head != 0) {
        uint32_t account = pop_account(e);
        kc_account_rec *a = &e->accounts[account];
        taken = take_from(e, &a->left, files, max);
        a->takers++;
        if (may_be_taken(a)) /* behind the others */
            offer(e, account);
        *account_out = account;
    }
    kc_leave(e);
    return taken;
}

void kc_file_closed(kc_engine *e, uint32_t account, uint32_t count) {
    kc_account_rec *a = &e->accounts[account];
    bool offered = false;

    kc_enter(e);
    offered = may_be_taken(a);
    a->takers--;
    count_closing(e, account, -(int)count);
    if (!offered && may_be_taken(a))
        offer(e, account);
#if KC_MUTANT != 11 /* whoever sent files pays for them for ever */
    refund(e, account, count);
#endif
    kc_leave(e);
}

static uint32_t list_files(kc_engine *e, const kc_chan_rec *c, uint32_t skip, kc_file_info *infos, uint32_t max) {
    uint32_t seen = 0;
    uint32_t written = 0;

    for (uint32_t msg = c->files != 0 ? c->ready.head : 0; msg != 0 && written < max; msg = kc_msg_at(e, msg)->next) {
        const kc_files_extra *x = kc_extra_files(e, kc_msg_at(e, msg)->extra);
        if (x != NULL && seen++ >= skip)
            infos[written++] = (kc_file_info){.user = x->user,
                                              .age_ns = e->now_ns - x->since_ns,
                                              .account = x->account,
                                              .count = x->count};
    }
    return written;
}

int kc_chan_files(kc_engine *e, kc_chan chan, uint32_t skip, kc_file_info *infos, uint32_t max) {
    const kc_chan_rec *c = NULL;
    int rc = KC_ENOENT;

    kc_enter(e);
    c = kc_chan_find(e, chan);
    if (c != NULL)
        rc = (int)list_files(e, c, skip, infos, max);
    kc_leave(e);
    return rc;
}
