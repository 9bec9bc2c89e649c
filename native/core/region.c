/* region.c: shared memory that its maker registered (kc_desc.h), and the ranges of it that are in flight.
 *
 * Invariant: a region that is not OPEN gets no new ranges; it is ENDED exactly when it is CLOSING and no descriptor of
 * it lives; its record stays until its end was taken, so what is freed later can still say whose it was.
 */
#include "kc_extra.h"
#include "kc_flow.h"
#include "kc_account.h"
#include "kc_pool.h"

static kc_region_rec *find(kc_engine *e, kc_ticket region) {
    return kc_ticket_find(&e->regions, sizeof(kc_region_rec), region);
}

static uint32_t index_of(kc_engine *e, const kc_region_rec *r) { return (uint32_t)(r - kc_region_at(e, 0)); }

static int open_region(kc_engine *e, const kc_region_config *config, kc_ticket *region_out, kc_refusal *refusal) {
    uint32_t region = kc_pool_take(e, &e->regions);
    int rc = KC_OK;

    if (region == 0) {
        rc = kc_refuse(refusal, KC_EDQUOT, KC_QUOTA_ENGINE_REGIONS, e->regions.capacity, e->regions.live);
    } else {
        kc_region_rec *r = kc_region_at(e, region);
        r->next = r->prev = 0;
        r->account = config->account;
        r->file = config->file;
        r->size_bytes = config->size_bytes;
        r->user = config->user;
        r->descs = r->in_flight = r->revoked = 0;
        (void)kc_word_step(&r->w, kc_region_steps, KC_REGION_OPEN, 0, 0, 0);
        *region_out = kc_ticket_of(region, kc_word_load(&r->w));
    }
    return rc;
}

int kc_region_add(kc_engine *e, const kc_region_config *config, kc_ticket *region_out, kc_refusal *refusal) {
    int rc = config->size_bytes != 0 ? KC_OK : KC_EINVAL;

    if (rc == KC_OK) {
        kc_enter(e);
        rc = kc_account_enter(e, config->account);
        if (rc == KC_OK && (rc = open_region(e, config, region_out, refusal)) != KC_OK)
            kc_account_leave(e, config->account);
        kc_leave(e);
    }
    return rc;
}

/* The parked send that offers this STAGED message; 0 when there is none (it is being sent right now). */
static uint32_t sender_of(kc_engine *e, uint32_t msg) {
    uint32_t q = kc_chan_at(e, kc_msg_at(e, msg)->chan)->waiters[KC_CLAUSE_SEND].head;

    while (q != 0 && kc_clause_at(e, q)->msg != msg)
        q = kc_clause_at(e, q)->next;
    return q != 0 ? kc_clause_at(e, q)->tok : 0;
}

static void revoke_message(kc_engine *e, uint32_t msg) {
    uint32_t state = kc_state_of(&kc_msg_at(e, msg)->w);
    uint32_t tok = state == KC_MSG_STAGED ? sender_of(e, msg) : 0;

    if (state == KC_MSG_READY) {
        kc_flow_lose(e, msg, KC_STAT_UNDELIVERED, KC_REASON_REVOKED);
    } else if (tok != 0) {
        kc_flow_end_waiter(e, tok, kc_msg_at(e, msg)->chan, KC_RES_DESTROYED, KC_REASON_REVOKED);
        kc_port_push(e, tok);
    }
}

/* Ending one message may end others of the same select, so the walk starts again after each that went. */
static void revoke(kc_engine *e, kc_region_rec *r) {
    uint32_t extra = r->descs;

    r->revoked = 1;
    while (extra != 0) {
        uint32_t before = r->in_flight;
        uint32_t msg = kc_extra_at(e, extra)->msg;
        uint32_t next = kc_extra_at(e, extra)->next;
        if (msg != 0)
            revoke_message(e, msg);
        extra = r->in_flight == before ? next : r->descs;
    }
}

int kc_region_drop(kc_engine *e, kc_ticket region, uint32_t how) {
    kc_region_rec *r = NULL;
    int rc = how <= KC_REGION_LEAVE ? KC_ENOENT : KC_EINVAL;

    kc_enter(e);
    r = rc == KC_ENOENT ? find(e, region) : NULL;
    if (r != NULL && kc_state_of(&r->w) != KC_REGION_ENDED) {
        rc = how == KC_REGION_IDLE && r->in_flight != 0 ? KC_EBUSY : KC_OK;
        if (rc == KC_OK && kc_state_of(&r->w) == KC_REGION_OPEN)
            (void)kc_word_step(&r->w, kc_region_steps, KC_REGION_CLOSING, 0, 0, 0);
        if (rc == KC_OK) {
            r->in_flight++; /* it must not end under the walk */
#if KC_MUTANT != 16 /* ranges of a revoked region are still delivered */
            if (how == KC_REGION_REVOKE)
                revoke(e, r);
#endif
            r->in_flight--;
            kc_extra_end_region(e, index_of(e, r));
        }
    }
    kc_leave(e);
    return rc;
}

int kc_region_look(kc_engine *e, kc_ticket region, kc_region_info *info_out) {
    const kc_region_rec *r = NULL;
    int rc = KC_ENOENT;

    kc_enter(e);
    r = find(e, region);
    if (r != NULL) {
        *info_out = (kc_region_info){.size_bytes = r->size_bytes,
                                     .user = r->user,
                                     .in_flight = r->in_flight,
                                     .file = r->file,
                                     .closing = kc_state_of(&r->w) != KC_REGION_OPEN,
                                     .revoked = r->revoked};
        rc = KC_OK;
    }
    kc_leave(e);
    return rc;
}

static int judge(const kc_region_rec *r, uint64_t user, uint64_t offset, uint64_t len_bytes) {
    int rc = KC_OK;

    if (r == NULL || kc_state_of(&r->w) != KC_REGION_OPEN)
        rc = KC_ENOENT;
    else if (r->user != user)
        rc = KC_EACCES;
    else if (len_bytes == 0 || len_bytes > r->size_bytes || offset > r->size_bytes - len_bytes)
        rc = KC_EINVAL;
    return rc;
}

int kc_region_body(kc_engine *e, kc_ticket region, uint64_t user, uint64_t offset, uint64_t len_bytes,
                   kc_body *body_out, kc_refusal *refusal) {
    const kc_desc desc = {.backend = KC_DESC_REGION, .region = region, .offset = offset, .len_bytes = len_bytes};
    const kc_region_rec *r = NULL;
    int rc = KC_OK;

    kc_enter(e);
    r = find(e, region);
    rc = judge(r, user, offset, len_bytes);
    *body_out = (kc_body){0};
    if (rc == KC_OK) {
        body_out->account = r->account;
        rc = kc_extra_take_desc(e, r->account, &desc, index_of(e, r), &body_out->extra, refusal);
    }
    kc_leave(e);
    return rc;
}

uint32_t kc_region_has_ended(kc_engine *e) { return atomic_load_explicit(&e->ended_count, memory_order_relaxed); }

int kc_region_take_ended(kc_engine *e, kc_region_end *end_out) {
    uint32_t region = 0;

    if (kc_region_has_ended(e) == 0)
        return 0;
    kc_enter(e);
    region = kc_extra_count(&e->freed) == 0 ? e->ended_regions.head : 0; /* what it freed is told first */
    if (region != 0) {
        kc_region_rec *r = kc_region_at(e, region);
        *end_out = (kc_region_end){
            .region = kc_ticket_of(region, kc_word_load(&r->w)), .user = r->user, .file = r->file,
            .account = r->account};
        kc_list_unlink(&e->regions, &e->ended_regions, region);
        atomic_store_explicit(&e->ended_count, e->ended_regions.count, memory_order_relaxed);
        (void)kc_word_step(&r->w, kc_region_steps, KC_REGION_FREE, 0, 0, 0);
        kc_account_leave(e, r->account);
        kc_pool_give(&e->regions, region);
    }
    kc_leave(e);
    return region != 0;
}
