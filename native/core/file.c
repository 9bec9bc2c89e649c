/* file.c: open files in messages (kc_file.h): who pays, who has them, who is to close them. */
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

uint32_t kc_file_left(kc_engine *e) { return kc_extra_count(&e->closing); }

uint32_t kc_file_take(kc_engine *e, int32_t *files, uint32_t max) {
    uint32_t taken = 0;

    if (kc_file_left(e) == 0)
        return 0;
    kc_enter(e);
    while (e->closing.head != 0 && taken + kc_extra_files(e, e->closing.head)->count <= max) {
        uint32_t extra = kc_extra_pop(e, &e->closing);
        const kc_files_extra *x = kc_extra_files(e, extra);
        for (uint32_t i = 0; i < x->count; i++)
            files[taken++] = x->files[i];
#if KC_MUTANT != 11 /* whoever sent files pays for them for ever */
        refund(e, x->account, x->count);
#endif
        kc_block_free(e, extra);
    }
    kc_leave(e);
    return taken;
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
