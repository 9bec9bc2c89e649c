/* tree.c: scopes begin, form a tree, and end with everything in them.
 *
 * The order of an end matters: first every waiter of the whole tree is cancelled, then held messages go back, oldest
 * first. So no message that comes back is given to a waiter that is about to go, and those who remain get them in
 * order.
 */
#include "kc_account.h"
#include "kc_flow.h"
#include "kc_pool.h"

enum { PARKED = 1024, HELD = 4096 };

static void adopt(kc_engine *e, uint32_t parent, uint32_t child) {
    kc_scope_rec *c = kc_scope_at(e, child);

    c->parent = parent;
    c->prev = c->next = 0;
    if (parent != 0) {
        c->next = kc_scope_at(e, parent)->child;
        if (c->next != 0)
            kc_scope_at(e, c->next)->prev = child;
        kc_scope_at(e, parent)->child = child;
    }
}

static void disown(kc_engine *e, uint32_t child) {
    kc_scope_rec *c = kc_scope_at(e, child);

    if (c->prev != 0)
        kc_scope_at(e, c->prev)->next = c->next;
    else if (c->parent != 0)
        kc_scope_at(e, c->parent)->child = c->next;
    if (c->next != 0)
        kc_scope_at(e, c->next)->prev = c->prev;
}

static void limit(kc_scope_rec *s, const kc_scope_limits *limits) {
    s->parked_limit = limits != NULL && limits->parked != 0 ? limits->parked : PARKED;
    s->held_limit = limits != NULL && limits->held != 0 ? limits->held : HELD;
}

static int begin(kc_engine *e, uint32_t parent, uint32_t account, const kc_scope_limits *limits, kc_scope *scope_out,
                 kc_refusal *refusal) {
    uint32_t scope = 0;
    int rc = kc_account_enter(e, account);

    if (rc != KC_OK)
        return rc;
    scope = kc_pool_take(e, &e->scopes);
    if (scope == 0) {
        kc_account_leave(e, account);
        rc = kc_refuse(refusal, KC_ENOMEM, KC_QUOTA_ENGINE_SCOPES, e->scopes.capacity, e->scopes.live);
    } else {
        kc_scope_rec *s = kc_scope_at(e, scope);
        s->account = account;
        s->pid = 0;
        s->child = s->parked = 0;
        s->waiting = s->held = (kc_list){0};
        limit(s, limits);
        adopt(e, parent, scope);
        (void)kc_word_step(&s->w, kc_scope_steps, KC_SCOPE_LIVE, 0, 0, 0);
        *scope_out = kc_ticket_of(scope, kc_word_load(&s->w));
    }
    return rc;
}

int kc_chan_waiter_scope_begin(kc_engine *e, kc_scope parent, uint32_t account, const kc_scope_limits *limits,
                               kc_scope *scope_out, kc_refusal *refusal) {
    kc_scope_rec *p = NULL;
    int rc = KC_ENOENT;

    kc_enter(e);
    p = kc_scope_find(e, parent);
    if (parent == 0 || p != NULL)
        rc = begin(e, p != NULL ? kc_scope_index(e, p) : 0, account, limits, scope_out, refusal);
    kc_leave(e);
    return rc;
}

int kc_chan_waiter_scope_limit(kc_engine *e, kc_scope scope, const kc_scope_limits *limits) {
    kc_scope_rec *s = NULL;

    kc_enter(e);
    s = kc_scope_find(e, scope);
    if (s != NULL)
        limit(s, limits);
    kc_leave(e);
    return s != NULL ? KC_OK : KC_ENOENT;
}

int kc_chan_waiter_scope_name(kc_engine *e, kc_scope scope, uint32_t pid) {
    kc_scope_rec *s = NULL;
    int rc = KC_ENOENT;

    kc_enter(e);
    s = kc_scope_find(e, scope);
    if (s != NULL) {
        s->pid = pid;
        rc = KC_OK;
    }
    kc_leave(e);
    return rc;
}

/* The next scope of the tree below top, parents first; 0 when it was the last. No recursion: depth is the user's. */
static uint32_t next_in_tree(kc_engine *e, uint32_t top, uint32_t scope) {
    uint32_t next = kc_scope_at(e, scope)->child;

    while (next == 0 && scope != top) {
        next = kc_scope_at(e, scope)->next;
        scope = kc_scope_at(e, scope)->parent;
    }
    return next;
}

static uint32_t res_of(uint32_t reason) {
    return reason == KC_REASON_DEAD ? KC_RES_DEAD : KC_RES_CANCEL;
}

static void cancel_waiters(kc_engine *e, uint32_t scope, uint32_t reason) {
    kc_scope_rec *s = kc_scope_at(e, scope);

    while (s->waiting.count != 0) {
        uint32_t tok = s->waiting.head;
        uint32_t state = kc_state_of(&kc_tok_at(e, tok)->w);
        if (state == KC_TOK_ENQUEUED || state == KC_TOK_TAKEN)
            kc_flow_end_waiter(e, tok, 0, res_of(reason), reason);
        kc_chan_waiter_scope_release(e, tok);
    }
}

static void give_back_held(kc_engine *e, uint32_t scope) {
    kc_scope_rec *s = kc_scope_at(e, scope);

    while (s->held.count != 0)
        kc_flow_give_back(e, s->held.head);
}

static void clear(kc_engine *e, uint32_t top, uint32_t reason) {
    for (uint32_t scope = top; scope != 0; scope = next_in_tree(e, top, scope))
        cancel_waiters(e, scope, reason);
    for (uint32_t scope = top; scope != 0; scope = next_in_tree(e, top, scope))
        give_back_held(e, scope);
}

static void free_tree(kc_engine *e, uint32_t top) {
    uint32_t scope = top;

    for (bool last = false; !last;) {
        uint32_t parent = kc_scope_at(e, scope)->parent;
        while (kc_scope_at(e, scope)->child != 0) {
            parent = scope;
            scope = kc_scope_at(e, scope)->child;
        }
        last = scope == top;
        disown(e, scope);
        kc_account_leave(e, kc_scope_at(e, scope)->account);
        (void)kc_word_step(&kc_scope_at(e, scope)->w, kc_scope_steps, KC_SCOPE_FREE, 0, 0, 0);
        kc_pool_give(&e->scopes, scope);
        scope = parent;
    }
}

int kc_chan_waiter_scope_clear(kc_engine *e, kc_scope scope, uint32_t reason) {
    kc_scope_rec *s = NULL;
    int rc = KC_ENOENT;

    kc_enter(e);
    s = kc_scope_find(e, scope);
    if (s != NULL) {
        clear(e, kc_scope_index(e, s), reason);
        rc = KC_OK;
    }
    kc_leave(e);
    return rc;
}

int kc_chan_waiter_scope_end(kc_engine *e, kc_scope scope, uint32_t reason) {
    kc_scope_rec *s = NULL;
    int rc = KC_ENOENT;

    kc_enter(e);
    s = kc_scope_find(e, scope);
    if (s != NULL) {
        clear(e, kc_scope_index(e, s), reason);
        free_tree(e, kc_scope_index(e, s));
        rc = KC_OK;
    }
    kc_leave(e);
    return rc;
}
