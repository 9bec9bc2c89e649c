/* desc.c: descriptors as messages (kc_desc.h) and the registry of their backends. */
#include <string.h>

#include "kc_body.h"
#include "kc_extra.h"
#include "kc_flow.h"

static size_t name_bytes(const char *name) {
    size_t n = 0;

    while (name != NULL && n < KC_BACKEND_NAME_BYTES && name[n] != 0)
        n++;
    return n;
}

/* Of an unused place the name is empty. */
static uint32_t find_backend(const kc_engine *e, const char *name) {
    uint32_t id = 1;

    while (id <= KC_BACKENDS && strcmp(e->backends[id - 1].name, name) != 0)
        id++;
    return id <= KC_BACKENDS ? id : 0;
}

static int add_backend(kc_engine *e, const char *name, const kc_desc_ops *ops, void *self, uint32_t *backend_out) {
    uint32_t id = find_backend(e, name);
    int rc = KC_OK;

    if (id == 0) {
        id = find_backend(e, "");
        rc = id != 0 ? KC_OK : KC_ENOSPC;
        if (rc == KC_OK) {
            memcpy(e->backends[id - 1].name, name, strlen(name) + 1);
            e->backends[id - 1].ops = ops;
            e->backends[id - 1].self = self;
        }
    }
    if (rc == KC_OK)
        *backend_out = id;
    return rc;
}

int kc_desc_backend_add(kc_engine *e, const char *name, const kc_desc_ops *ops, void *self, uint32_t *backend_out) {
    size_t n = name_bytes(name);
    int rc = KC_EINVAL;

    if (n != 0 && n < KC_BACKEND_NAME_BYTES) {
        kc_enter(e);
        rc = add_backend(e, name, ops, self, backend_out);
        kc_leave(e);
    }
    return rc;
}

int kc_desc_backend_find(kc_engine *e, const char *name, uint32_t *backend_out) {
    size_t n = name_bytes(name);
    int rc = KC_ENOENT;

    if (n != 0 && n < KC_BACKEND_NAME_BYTES) {
        kc_enter(e);
        *backend_out = find_backend(e, name);
        rc = *backend_out != 0 ? KC_OK : KC_ENOENT;
        kc_leave(e);
    }
    return rc;
}

/* A copy, because its operations are called without the lock. Empty for an id nobody has. */
static kc_backend_rec backend_of(kc_engine *e, uint32_t id) {
    kc_backend_rec backend = {0};

    kc_enter(e);
    if (id >= 1 && id <= KC_BACKENDS)
        backend = e->backends[id - 1];
    kc_leave(e);
    return backend;
}

static int check(kc_engine *e, const kc_desc *desc) {
    const kc_backend_rec backend = backend_of(e, desc->backend);
    int rc = KC_OK;

    if (backend.name[0] == 0 || desc->backend == KC_DESC_REGION)
        rc = KC_ENOTSUP;
    else if (desc->backend == KC_DESC_ZREF && (desc->offset == 0 || desc->len_bytes == 0))
        rc = KC_EINVAL;
    else if (backend.ops != NULL && backend.ops->check != NULL)
        rc = backend.ops->check(backend.self, desc);
    return rc;
}

int kc_desc_body(kc_engine *e, uint32_t account, const kc_desc *desc, kc_body *body_out, kc_refusal *refusal) {
    kc_desc named = *desc;
    int rc = KC_OK;

    *body_out = (kc_body){.account = account};
    named.backend = desc->backend != 0 ? desc->backend : (uint32_t)KC_DESC_ZREF;
    rc = check(e, &named);
    if (rc == KC_OK) {
        kc_enter(e);
        rc = kc_extra_take_desc(e, account, &named, 0, &body_out->extra, refusal);
        kc_leave(e);
    }
    return rc;
}

int kc_body_desc(kc_engine *e, const kc_body *body, kc_desc *desc_out) {
    const kc_desc_extra *x = kc_extra_desc(e, body->extra);

    if (x != NULL)
        *desc_out = x->desc;
    return x != NULL ? KC_OK : KC_ENOENT;
}

int kc_chan_send_desc(kc_engine *e, kc_chan chan, const kc_op *op, const kc_desc *desc, kc_result *result) {
    kc_body body = {0};
    int rc = KC_OK;

    *result = (kc_result){.user = op->user, .chan = chan};
    rc = kc_desc_body(e, kc_account_of_scope(e, op->scope), desc, &body, &result->refusal);
    if (rc == KC_OK)
        rc = kc_chan_send_body(e, chan, op, &body, result);
    kc_body_forget(e, &body); /* empty when it was taken over */
    result->code = rc;
    return rc;
}

int kc_body_received(kc_engine *e, const kc_body *body, kc_desc *desc_out) {
    int rc = kc_body_desc(e, body, desc_out);

    if (rc == KC_OK) {
        const kc_backend_rec backend = backend_of(e, desc_out->backend);
        if (backend.ops != NULL && backend.ops->received != NULL)
            backend.ops->received(backend.self, desc_out);
    }
    return rc;
}

int kc_chan_recv_desc(kc_engine *e, kc_chan chan, const kc_op *op, kc_desc *desc_out, kc_result *result) {
    int rc = kc_chan_recv(e, chan, op, NULL, 0, result);

    *desc_out = (kc_desc){0};
    if (rc == KC_OK)
        (void)kc_body_received(e, &result->body, desc_out); /* a message may be bytes */
    return rc;
}

int kc_chan_get_zstats(kc_engine *e, kc_chan chan, kc_chan_zstats *zstats_out) {
    kc_chan_snapshot s;
    int rc = kc_chan_measure(e, chan, &s);

    *zstats_out = (kc_chan_zstats){.zref_sent = s.stat[KC_STAT_ZREF_SENT],
                                   .zref_received = s.stat[KC_STAT_ZREF_RECEIVED],
                                   .zref_fallback_small = s.stat[KC_STAT_ZREF_FALLBACK_SMALL],
                                   .zref_fallback_capacity = s.stat[KC_STAT_ZREF_FALLBACK_CAPACITY],
                                   .zref_canceled = s.stat[KC_STAT_ZREF_CANCELED],
                                   .zref_aborted_close = s.stat[KC_STAT_ZREF_ABORTED_CLOSE]};
    return rc;
}

static kc_freed describe(kc_engine *e, uint32_t extra) {
    const kc_desc_extra *x = kc_extra_desc(e, extra);
#if KC_MUTANT == 15 /* what nobody received is told as if it had been */
    kc_freed freed = {.desc = x->desc};
#else
    kc_freed freed = {.desc = x->desc, .lost = !x->received};
#endif

    if (x->region != 0)
        freed.user = kc_region_at(e, x->region)->user;
    return freed;
}

static void tell(kc_engine *e, const kc_freed *freed) {
    const kc_backend_rec backend = backend_of(e, freed->desc.backend);

    if (backend.ops != NULL && backend.ops->freed != NULL)
        backend.ops->freed(backend.self, &freed->desc, (int)freed->lost);
}

uint32_t kc_desc_take_freed(kc_engine *e, kc_freed *freed, uint32_t max) {
    uint32_t taken = 0;
    uint32_t extra = 0;

    if (kc_extra_count(&e->freed) == 0)
        return 0;
    kc_enter(e);
    while (taken < max && (extra = kc_extra_pop(e, &e->freed)) != 0) {
        freed[taken++] = describe(e, extra);
        kc_block_free(e, extra);
    }
    kc_leave(e);
    for (uint32_t i = 0; i < taken; i++)
        tell(e, &freed[i]);
    return taken;
}
