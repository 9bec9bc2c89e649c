/* check_costs.c: the second half of kc_engine_check: what accounts, ports and scopes say they own is counted again from
 * the records, and every message, clause and block has exactly the owner it should have. */
#include "kc_check.h"

#include "kc_cell.h"

#include <stdarg.h>
#include <stdio.h>

#include "kc_account.h"

void kc_require(kc_check *k, bool holds, const char *format, ...) {
    va_list args;

    if (holds || k->broken)
        return;
    k->broken = true;
    va_start(args, format);
    (void)vsnprintf(k->why, k->why_bytes, format, args);
    va_end(args);
}

void kc_weigh(const kc_check *k, const kc_msg *m, kc_load *load) {
    const kc_files_extra *files = kc_extra_files(k->e, m->extra);

    load->bytes += m->len_bytes;
    load->descs += kc_extra_desc(k->e, m->extra) != NULL;
    load->files += files != NULL ? files->count : 0;
}

typedef struct totals {
    uint64_t parked, held, channels, messages, files;
} totals;

static bool undecided(const kc_tok *t) {
    uint32_t state = kc_state_of(&t->w);

    return state == KC_TOK_ENQUEUED || state == KC_TOK_TAKEN;
}

static totals count_for(kc_engine *e, uint32_t account) {
    totals sum = {0};

    for (uint32_t tok = 1; tok <= e->toks.high; tok++) {
        const kc_tok *t = kc_tok_at(e, tok);
        if (kc_state_of(&t->w) == KC_TOK_FREE || kc_scope_at(e, t->scope)->account != account)
            continue;
        sum.parked += undecided(t) ? (t->clauses != 0 ? t->clauses : 1) : 0;
        sum.held += t->list == KC_LIST_HELD;
    }
    for (uint32_t chan = 1; chan <= e->chans.high; chan++)
        sum.channels += kc_chan_state_of(kc_chan_at(e, chan)) != KC_CHAN_FREE &&
                        kc_chan_at(e, chan)->config.account == account;
    for (uint32_t msg = 1; msg <= e->msgs.high; msg++) {
        bool live = kc_state_of(&kc_msg_at(e, msg)->w) != KC_MSG_FREE;
        const kc_files_extra *files = live ? kc_extra_files(e, kc_msg_at(e, msg)->extra) : NULL;
        sum.messages += live && kc_msg_at(e, msg)->account == account;
        sum.files += files != NULL && files->account == account ? files->count : 0;
    }
    return sum;
}

/* What is to be closed is left, or with a taker; all of it is charged; who has something for a taker is offered
 * once. */
static void check_closing(kc_check *k, uint32_t account, const kc_account_rec *a) {
    bool takeable = a->left.head != 0 && a->takers < KC_FILE_TAKERS;
    uint32_t offers = 0;
    uint32_t files = 0;
    uint32_t count = 0;

    for (uint32_t extra = a->left.head; extra != 0 && count <= a->left.count; extra = kc_extra_at(k->e, extra)->next) {
        const kc_files_extra *x = kc_extra_files(k->e, extra);
        kc_require(k, x != NULL && x->account == account, "account %u: has somebody else's files to close", account);
        files += x != NULL ? x->count : 0;
        count++;
    }
    for (uint32_t at = k->e->closing.head; at != 0 && offers < 2; at = k->e->accounts[at - 1].next)
        offers += at - 1 == account;
    kc_require(k, count == a->left.count, "account %u: says %u to close, has %u", account, a->left.count, count);
    kc_require(k, a->takers <= KC_FILE_TAKERS && a->closing >= files && (a->takers != 0 || a->closing == files),
               "account %u: %u files to be closed, %u left, %u takers", account, a->closing, files, a->takers);
    kc_require(k, offers == (takeable ? 1U : 0U), "account %u: offered to takers %u times", account, offers);
}

static void check_accounts(kc_check *k) {
    uint64_t files = 0;
    uint64_t closing = 0;

    for (uint32_t account = 0; account <= k->e->account_high; account++) {
        const kc_account_rec *a = &k->e->accounts[account];
        totals sum = {0};
        if (account != 0 && a->used == 0)
            continue;
        sum = count_for(k->e, account);
        kc_require(k, sum.parked == a->parked, "account %u: says %u parked, has %llu", account, a->parked,
                   (unsigned long long)sum.parked);
        kc_require(k, sum.held == a->held, "account %u: says %u held, has %llu", account, a->held,
                   (unsigned long long)sum.held);
        kc_require(k, sum.channels == a->channels, "account %u: says %u channels, has %llu", account, a->channels,
                   (unsigned long long)sum.channels);
        kc_require(k, account == 0 || a->messages == sum.messages, "account %u: says %u messages, has %llu", account,
                   a->messages, (unsigned long long)sum.messages);
        kc_require(k, account == 0 || a->bytes >= 128 * sum.messages, "account %u: pays for too little", account);
        check_closing(k, account, a);
        sum.files += a->closing;
        closing += a->closing;
        kc_require(k, a->files >= sum.files, "account %u: pays for %u files, has %llu", account, a->files,
                   (unsigned long long)sum.files);
        files += a->files;
    }
    kc_require(k, closing == k->e->closing_files, "accounts close %llu files, the engine %u",
               (unsigned long long)closing, k->e->closing_files);
    kc_require(k, files == k->e->file_count, "accounts pay for %llu files, the engine has %u",
               (unsigned long long)files, k->e->file_count);
}

/* A region counts its descriptors, each of which lives and names it; it is ENDED exactly when it is in the list of
 * ends. */
static void check_region(kc_check *k, uint32_t region, const kc_region_rec *r) {
    uint32_t state = kc_state_of(&r->w);
    uint32_t count = 0;

    for (uint32_t extra = r->descs; extra != 0 && count <= r->in_flight; extra = kc_extra_at(k->e, extra)->next) {
        const kc_desc_extra *x = kc_extra_desc(k->e, extra);
        kc_require(k, x != NULL && x->region == region && kc_block_refs(k->e, extra) != 0,
                   "region %u: descriptor %u is not its own", region, extra);
        count++;
    }
    kc_require(k, count == r->in_flight, "region %u: says %u in flight, has %u", region, r->in_flight, count);
    kc_require(k, state != KC_REGION_CLOSING || r->in_flight != 0, "region %u: CLOSING with nothing in flight", region);
    kc_require(k, state != KC_REGION_ENDED || r->in_flight == 0, "region %u: ENDED and in flight", region);
}

static void check_regions(kc_check *k) {
    uint32_t live = 0;
    uint32_t ended = 0;

    for (uint32_t region = 1; region <= k->e->regions.high; region++) {
        const kc_region_rec *r = kc_region_at(k->e, region);
        if (kc_state_of(&r->w) == KC_REGION_FREE)
            continue;
        live++;
        ended += kc_state_of(&r->w) == KC_REGION_ENDED;
        check_region(k, region, r);
    }
    kc_require(k, live == k->e->regions.live && ended == k->e->ended_regions.count, "%u regions live, %u counted", live,
               k->e->regions.live);
}

static void check_ports(kc_check *k) {
    for (uint32_t port = 1; port <= k->e->port_capacity; port++) {
        const kc_port_rec *p = &k->e->ports[port];
        uint32_t users = 0;
        uint32_t count = 0;
        for (uint32_t tok = 1; p->used != 0 && tok <= k->e->toks.high; tok++)
            users += kc_state_of(&kc_tok_at(k->e, tok)->w) != KC_TOK_FREE && kc_tok_at(k->e, tok)->port == port;
        for (uint32_t tok = p->done.head; tok != 0 && count <= p->done.count; tok = kc_tok_at(k->e, tok)->next) {
            kc_require(k, kc_tok_at(k->e, tok)->at_port && kc_tok_at(k->e, tok)->port == port,
                       "port %u: token %u is not its own", port, tok);
            count++;
        }
        kc_require(k, users == p->users, "port %u: says %u users, has %u", port, p->users, users);
        kc_require(k, count == p->done.count, "port %u: says %u results, has %u", port, p->done.count, count);
    }
}

/* Every clause of a waiting token stands in its channel's queue, and a decided token's clauses stand nowhere. */
static void check_clauses(kc_check *k) {
    uint32_t extra = 0;

    for (uint32_t tok = 1; tok <= k->e->toks.high; tok++) {
        kc_tok *t = kc_tok_at(k->e, tok);
        bool queued = kc_state_of(&t->w) == KC_TOK_ENQUEUED;
        uint32_t count = 0;
        for (uint32_t q = kc_state_of(&t->w) != KC_TOK_FREE ? t->first : 0; q != 0 && count <= t->clauses;
             q = kc_clause_at(k->e, q)->more) {
            const kc_clause_rec *r = kc_clause_at(k->e, q);
            kc_require(k, r->tok == tok && (r->linked != 0) == queued, "token %u: clause %u is astray", tok, q);
            extra += q > k->e->tok_capacity;
            count++;
        }
        kc_require(k, kc_state_of(&t->w) == KC_TOK_FREE || count == t->clauses, "token %u: says %u clauses, has %u",
                   tok, t->clauses, count);
    }
    kc_require(k, extra == k->e->clauses.live, "%u extra clauses live, %u counted", extra, k->e->clauses.live);
}

/* I4 backwards: whatever a scope holds is HELD by exactly that token. I6 backwards: a STAGED message has its clause. */
static void check_owners(kc_check *k) {
    uint32_t staged = 0;
    uint32_t offered = 0;

    for (uint32_t tok = 1; tok <= k->e->toks.high; tok++) {
        const kc_tok *t = kc_tok_at(k->e, tok);
        uint64_t w = kc_word_load(&t->w);
        uint64_t m = kc_word_load(&kc_msg_at(k->e, kc_word_peer(w))->w);
        kc_require(k, kc_word_state(w) == KC_TOK_FREE || t->list != KC_LIST_HELD ||
                          (kc_word_state(m) == KC_MSG_HELD && kc_word_peer(m) == tok),
                   "token %u: I4 holds a message that is not held by it", tok);
        for (uint32_t q = kc_word_state(w) == KC_TOK_ENQUEUED ? t->first : 0; q != 0; q = kc_clause_at(k->e, q)->more)
            offered += kc_clause_at(k->e, q)->msg != 0;
    }
    for (uint32_t msg = 1; msg <= k->e->msgs.high; msg++)
        staged += kc_state_of(&kc_msg_at(k->e, msg)->w) == KC_MSG_STAGED;
    kc_require(k, staged == offered, "I6 %u messages are STAGED, %u sends offer one", staged, offered);
}

static void check_channels(kc_check *k) {
    uint32_t live = 0;

    for (uint32_t chan = 1; chan <= k->e->chans.high; chan++) {
        const kc_chan_rec *c = kc_chan_at(k->e, chan);
        uint32_t state = kc_chan_state_of(c);
        if (state == KC_CHAN_FREE)
            continue;
        live++;
        kc_require(k, c->refs != 0 || state == KC_CHAN_DESTROYED, "chan %u: lives without a reference", chan);
        kc_require(k, c->ready.count == 0 || kc_msg_at(k->e, c->ready.tail)->qseq <= c->seq,
                   "chan %u: a message from the future", chan);
        kc_require(k, c->peak_depth >= (uint64_t)c->ready.count + c->held, "chan %u: deeper than its peak", chan);
    }
    kc_require(k, live == k->e->chans.live, "%u channels live, %u counted", live, k->e->chans.live);
}

static void check_tree(kc_check *k) {
    uint32_t live = 0;

    for (uint32_t scope = 1; scope <= k->e->scopes.high; scope++) {
        const kc_scope_rec *s = kc_scope_at(k->e, scope);
        uint32_t child = 0;
        if (kc_state_of(&s->w) == KC_SCOPE_FREE)
            continue;
        live++;
        for (child = s->parent != 0 ? kc_scope_at(k->e, s->parent)->child : scope; child != 0 && child != scope;)
            child = kc_scope_at(k->e, child)->next;
        kc_require(k, child == scope, "scope %u: its parent does not know it", scope);
    }
    kc_require(k, live == k->e->scopes.live, "%u scopes live, %u counted", live, k->e->scopes.live);
}

/* Its record has nothing but its word: that is what the checks of the others find there. */
void kc_check_apart(kc_check *k, uint32_t chan) {
    kc_cells *cells = kc_cells_of(k->e, chan);
    const char *why = cells != NULL ? kc_cells_check(cells) : "it has no cells";

    kc_require(k, why == NULL, "chan %u: %s", chan, why);
}

void kc_check_costs(kc_check *k) {
    check_accounts(k);
    check_ports(k);
    check_clauses(k);
    check_owners(k);
    check_channels(k);
    check_tree(k);
    check_regions(k);
}
