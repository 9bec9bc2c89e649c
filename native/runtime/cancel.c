/* cancel.c: kc_cancel.h. One lock for each tree, the root's; hooks are called under it, so whoever has forgotten a hook
 * knows that it will not be called any more. A hook keeps its cancel from kc_cancel_add until kc_cancel_forget: whoever
 * waits may be the last who knows of it.
 *
 * Invariants: of one that is set all below are set and have no hooks; a set one stays so. */
#include <stdlib.h>

#include "core/kc_lock.h"
#include "kc_wait.h"
#include "kcoro/kc_cancel.h"

struct kc_cancel {
    kc_lock lock; /* of a root: of its tree */
    _Atomic uint32_t refs;
    _Atomic uint32_t reason; /* 0: not set */
    kc_cancel *root, *parent;
    kc_cancel *child, *last, *next, *prev; /* the first and the last below; beside it */
    kc_cancel_hook *hooks, *last_hook;     /* in the order in which they came: so they are called */
};

static void enter_parent(kc_cancel *c, kc_cancel *parent) {
    kc_cancel_keep(parent);
    c->parent = parent;
    c->root = parent->root;
    kc_lock_take(&c->root->lock);
    atomic_store_explicit(&c->reason, kc_cancel_reason(parent), memory_order_release);
    c->prev = parent->last;
    if (c->prev != NULL)
        c->prev->next = c;
    else
        parent->child = c;
    parent->last = c;
    kc_lock_give(&c->root->lock);
}

int kc_cancel_make(kc_cancel *parent, kc_cancel **cancel_out) {
    kc_cancel *c = calloc(1, sizeof *c);
    int rc = c != NULL ? KC_OK : KC_ENOMEM;

    if (rc == KC_OK) {
        c->refs = 1;
        c->root = c;
        if (parent != NULL)
            enter_parent(c, parent);
        *cancel_out = c;
    }
    return rc;
}

void kc_cancel_keep(kc_cancel *c) {
    if (c != NULL)
        (void)atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
}

static void leave_parent(kc_cancel *c) {
    kc_lock_take(&c->root->lock);
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        c->parent->child = c->next;
#if KC_MUTANT == 59 /* a child that has left stays the one before the next */
    if (c->next == NULL)
        c->parent->last = c->prev;
#else
    if (c->next != NULL)
        c->next->prev = c->prev;
    else
        c->parent->last = c->prev;
#endif
    kc_lock_give(&c->root->lock);
}

/* A chain of parents is given back in a loop: a tree may be deep. */
void kc_cancel_drop(kc_cancel *c) {
    while (c != NULL && atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1) {
        kc_cancel *parent = c->parent;
        if (parent != NULL)
            leave_parent(c);
        free(c);
        c = parent;
    }
}

/* Of one that is set: nobody adds any more, and a hook without fn is not taken out. */
static void call_hooks(kc_cancel *c, uint32_t reason) {
    while (c->hooks != NULL) {
        kc_cancel_hook *hook = c->hooks;
        void (*fn)(void *arg, uint32_t reason) = hook->fn;
        c->hooks = hook->next;
        hook->fn = NULL; /* called: what kc_cancel_forget looks for */
        fn(hook->arg, reason);
    }
}

static void set(kc_cancel *c, uint32_t reason) {
    atomic_store_explicit(&c->reason, reason, memory_order_release);
    call_hooks(c, reason);
}

/* The one that follows c in its subtree below top, parents first; NULL at the end. deeper: go below c. */
static kc_cancel *following(kc_cancel *c, const kc_cancel *top, bool deeper) {
    if (deeper && c->child != NULL)
        return c->child;
    while (c != top && c->next == NULL)
        c = c->parent;
    return c != top ? c->next : NULL;
}

int kc_cancel_trigger(kc_cancel *top, uint32_t reason) {
    uint32_t why = reason != 0 ? reason : KC_REASON_CANCEL;
    int rc = KC_EBUSY;

    kc_lock_take(&top->root->lock);
    if (kc_cancel_reason(top) == 0) {
        kc_cancel *c = top;
        rc = KC_OK;
        while (c != NULL) {
            bool fresh = kc_cancel_reason(c) == 0; /* else all below it are set already */
            if (fresh)
                set(c, why);
#if KC_MUTANT == 31 /* a cancel reaches its children, and not theirs */
            c = following(c, top, fresh && c == top);
#else
            c = following(c, top, fresh);
#endif
        }
    }
    kc_lock_give_after_calls(&top->root->lock);
    return rc;
}

uint32_t kc_cancel_reason(const kc_cancel *c) {
    return c != NULL ? atomic_load_explicit(&c->reason, memory_order_acquire) : 0;
}

int kc_cancel_is_set(const kc_cancel *c) { return kc_cancel_reason(c) != 0; }

int kc_cancel_add(kc_cancel *c, kc_cancel_hook *hook) {
    int rc = KC_EBUSY;

    hook->of = NULL;
    kc_lock_take(&c->root->lock);
    if (kc_cancel_reason(c) == 0) {
        kc_cancel_keep(c);
        hook->of = c;
        hook->next = NULL;
        hook->prev = c->last_hook;
        if (hook->prev != NULL)
            hook->prev->next = hook;
        else
            c->hooks = hook;
        c->last_hook = hook;
        rc = KC_OK;
    }
    kc_lock_give(&c->root->lock);
    return rc;
}

int kc_cancel_forget(kc_cancel_hook *hook) {
    kc_cancel *c = hook->of;
    int rc = KC_ENOENT;

    if (c == NULL)
        return rc;
    kc_lock_take(&c->root->lock);
    if (hook->fn != NULL) {
        if (hook->prev != NULL)
            hook->prev->next = hook->next;
        else
            c->hooks = hook->next;
        if (hook->next != NULL)
            hook->next->prev = hook->prev;
        else
            c->last_hook = hook->prev;
        rc = KC_OK;
    }
    kc_lock_give(&c->root->lock);
    hook->of = NULL;
    hook->fn = NULL;
    kc_cancel_drop(c);
    return rc;
}

static void tell(void *wait, uint32_t reason) {
    (void)reason;
    kc_wait_tell(wait, KC_WAIT_DONE);
}

int kc_cancel_wait(kc_cancel *c, int64_t deadline_ns) {
    kc_wait wait;
    kc_cancel_hook hook = {.fn = tell, .arg = &wait};
    int rc = KC_OK;

    kc_wait_begin(&wait);
    if (kc_cancel_add(c, &hook) == KC_OK) {
        uint32_t told = kc_wait_for(&wait, KC_WAIT_DONE, deadline_ns);
        rc = kc_cancel_is_set(c) ? KC_OK : kc_wait_code(told);
    }
    (void)kc_cancel_forget(&hook);
    return rc;
}
