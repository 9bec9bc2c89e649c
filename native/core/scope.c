/* scope.c: kc_chan_waiter_scope. The only code that parks a waiter, and the only code that frees one.
 *
 * Invariants: a token is in exactly one list of its scope (waiting or held) from admit or hold to release; the scope's
 * and the account's count of parked waiters is that of tokens INIT..TAKEN admitted and not yet decided.
 */
#include "kc_scope.h"

#include "kc_account.h"
#include "kc_msg.h"
#include "kc_pool.h"

static void enter(kc_engine *e, uint32_t tok, uint8_t which) {
    kc_tok *t = kc_tok_at(e, tok);
    kc_scope_rec *scope = kc_scope_at(e, t->scope);
    kc_list *list = which == KC_LIST_HELD ? &scope->held : &scope->waiting;

    t->scope_prev = list->tail;
    t->scope_next = 0;
    if (list->tail != 0)
        kc_tok_at(e, list->tail)->scope_next = tok;
    else
        list->head = tok;
    list->tail = tok;
    list->count++;
    t->list = which;
}

static void leave(kc_engine *e, uint32_t tok) {
    kc_tok *t = kc_tok_at(e, tok);
    kc_scope_rec *scope = kc_scope_at(e, t->scope);
    kc_list *list = t->list == KC_LIST_HELD ? &scope->held : &scope->waiting;

    if (t->list == KC_LIST_NONE)
        return;
    if (t->scope_prev != 0)
        kc_tok_at(e, t->scope_prev)->scope_next = t->scope_next;
    else
        list->head = t->scope_next;
    if (t->scope_next != 0)
        kc_tok_at(e, t->scope_next)->scope_prev = t->scope_prev;
    else
        list->tail = t->scope_prev;
    list->count--;
    if (t->list == KC_LIST_HELD) {
        e->held--;
        kc_account_unhold(e, scope->account);
    }
    t->list = KC_LIST_NONE;
}

/* What a waiter costs its account: a select of many clauses takes as many records. */
static uint32_t price(const kc_tok *t) { return t->clauses != 0 ? t->clauses : 1; }

int kc_chan_waiter_scope_admit(kc_engine *e, uint32_t tok, kc_refusal *refusal) {
    kc_tok *t = kc_tok_at(e, tok);
    kc_scope_rec *scope = kc_scope_at(e, t->scope);
    int rc = KC_OK;

    if (scope->parked >= scope->parked_limit)
        rc = kc_refuse(refusal, KC_EDQUOT, KC_QUOTA_SCOPE_PARKED, scope->parked_limit, scope->parked);
    else
        rc = kc_account_charge_parked(e, scope->account, price(t), refusal);
    if (rc == KC_OK) {
        scope->parked++;
        e->parked++;
        enter(e, tok, KC_LIST_WAITING);
    }
    return rc;
}

static void link_clause(kc_engine *e, uint32_t clause) {
    kc_clause_rec *q = kc_clause_at(e, clause);
    kc_list *queue = &kc_chan_at(e, q->chan)->waiters[q->dir];

    q->prev = queue->tail;
    q->next = 0;
    if (queue->tail != 0)
        kc_clause_at(e, queue->tail)->next = clause;
    else
        queue->head = clause;
    queue->tail = clause;
    queue->count++;
    q->linked = 1;
}

static void unlink_clause(kc_engine *e, uint32_t clause) {
    kc_clause_rec *q = kc_clause_at(e, clause);
    kc_chan_rec *c = kc_chan_at(e, q->chan);
    kc_list *queue = &c->waiters[q->dir];

    if (q->prev != 0)
        kc_clause_at(e, q->prev)->next = q->next;
    else
        queue->head = q->next;
    if (q->next != 0)
        kc_clause_at(e, q->next)->prev = q->prev;
    else
        queue->tail = q->prev;
    queue->count--;
    q->linked = 0;
    kc_chan_touch(e, c);
}

static void link_clauses(kc_engine *e, uint32_t clause, uint32_t from, uint32_t to) {
    for (; clause != 0; clause = kc_clause_at(e, clause)->more) {
        uint32_t index = kc_clause_at(e, clause)->index;
        if (index >= from && index < to)
            link_clause(e, clause);
    }
}

/* Until when it waits: its deadline, and not longer than its message is wanted. */
static int64_t patience(kc_engine *e, const kc_tok *t) {
    uint32_t msg = kc_clause_at(e, t->first)->msg;
    int64_t expires_ns = msg != 0 ? kc_msg_at(e, msg)->expires_ns : 0;

    return expires_ns != 0 && expires_ns < t->deadline_ns ? expires_ns : t->deadline_ns;
}

void kc_chan_waiter_scope_park(kc_engine *e, uint32_t tok, uint32_t start) {
    kc_tok *t = kc_tok_at(e, tok);

    link_clauses(e, t->first, start, KC_MAX_CLAUSES);
    link_clauses(e, t->first, 0, start);
    t->chan = kc_clause_at(e, t->first)->chan;
    kc_deadline_add(e, tok, patience(e, t));
    (void)kc_tok_step(e, t, KC_TOK_ENQUEUED, 0, 0, 0);
}

void kc_waiter_unlink(kc_engine *e, uint32_t tok, uint32_t winner) {
    for (uint32_t clause = kc_tok_at(e, tok)->first; clause != 0; clause = kc_clause_at(e, clause)->more) {
        kc_clause_rec *q = kc_clause_at(e, clause);
        if (q->linked)
            unlink_clause(e, clause);
        if (q->msg != 0 && clause != winner)
            kc_msg_free(e, q->msg, NULL);
        q->msg = 0;
    }
}

void kc_chan_waiter_scope_settle(kc_engine *e, uint32_t tok) {
    kc_tok *t = kc_tok_at(e, tok);
    kc_scope_rec *scope = kc_scope_at(e, t->scope);

    kc_deadline_remove(e, tok);
    scope->parked--;
    e->parked--;
#if KC_MUTANT != 10 /* an account pays for a waiter for ever */
    kc_account_return_parked(e, scope->account, price(t));
#endif
}

void kc_chan_waiter_scope_hold(kc_engine *e, uint32_t tok) {
    leave(e, tok);
    enter(e, tok, KC_LIST_HELD);
    kc_account_hold(e, kc_scope_at(e, kc_tok_at(e, tok)->scope)->account);
    e->held++;
}

static void free_clauses(kc_engine *e, uint32_t tok) {
    uint32_t clause = kc_tok_at(e, tok)->first;

    while (clause != 0) {
        uint32_t more = kc_clause_at(e, clause)->more;
        kc_clause_at(e, clause)->tok = 0;
        if (clause > e->tok_capacity)
            kc_pool_give(&e->clauses, clause);
        clause = more;
    }
}

void kc_chan_waiter_scope_release(kc_engine *e, uint32_t tok) {
    leave(e, tok);
    free_clauses(e, tok);
    kc_tok_free(e, tok);
}
