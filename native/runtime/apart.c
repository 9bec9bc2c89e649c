/* apart.c: channels of a hub with an engine of its own: cells with a lock each, and operations that park a coroutine or
 * a thread (kc_apart.h). */
#include "kc_apart.h"

#include <stdlib.h>

static kc_apart *apart_of(kc_channel *channel) { return (kc_apart *)(void *)channel; }

static int close_apart(kc_channel *c) { return kc_cells_close(apart_of(c)->cells); }

static int destroy_apart(kc_channel *c, uint32_t reason) { return kc_cells_destroy(apart_of(c)->cells, reason); }

static int64_t depth_of(kc_channel *c) {
    kc_cells *cells = apart_of(c)->cells;
    int64_t depth = 0;

    kc_lock_take(&cells->lock);
    depth = cells->count;
    kc_lock_give(&cells->lock);
    return depth;
}

static void free_apart(kc_channel *c) {
    (void)kc_chan_drop(apart_of(c)->hub->engine, c->ticket);
    free(c);
}

/* Nothing of a waiter is touched after it was told. */
static void wake(kc_cell_waiter *first) {
    while (first != NULL) {
        kc_cell_waiter *next = first->next;
        kc_wait_tell(&((kc_stall *)(void *)first)->wait, KC_WAIT_DONE);
        first = next;
    }
}

int kc_apart_patience(const kc_asked *asked) {
    int rc = KC_OK;

    if ((asked->flags & KC_OP_TRY) != 0)
        rc = KC_EAGAIN;
    else if (asked->deadline_ns != KC_NEVER && asked->deadline_ns <= kc_now_ns())
        rc = KC_ETIME;
    return rc;
}

/* ---- what goes through it ---- */

/* A plain pointer has nobody who is told of it, so it needs no record of the engine's. */
static int offer_memory(kc_engine *e, const kc_desc *desc, kc_cell_memory *m) {
    bool plain = desc->backend == 0 || desc->backend == KC_DESC_ZREF;
    int rc = KC_OK;

    *m = (kc_cell_memory){.desc = *desc};
    if (plain)
        rc = desc->offset != 0 && desc->len_bytes != 0 ? KC_OK : KC_EINVAL;
    else
        rc = kc_desc_body(e, 0, desc, &m->body, NULL);
    m->desc.backend = plain ? (uint32_t)KC_DESC_ZREF : desc->backend;
    return rc;
}

int kc_apart_offer(kc_channel_clause *clause, kc_cell_clause *q, kc_cell_memory *memory) {
    kc_apart *a = apart_of(clause->channel);
    bool send = clause->dir == KC_CLAUSE_SEND;
    int rc = KC_OK;

    q->cells = a->cells;
    q->dir = (uint8_t)clause->dir;
    q->index = 0;
    q->memory = clause->channel->elem_bytes == 0;
    q->data = clause->data;
    q->buffer = clause->buffer;
    q->len_bytes = clause->len_bytes;
    if (q->memory) {
        q->data = q->buffer = memory;
        q->len_bytes = sizeof *memory;
        if (send)
            rc = offer_memory(a->hub->engine, &clause->desc, memory);
    }
    return rc;
}

/* The channel may be gone by now; the record of its cells is not. */
void kc_apart_take(kc_channel_clause *clause, const kc_cell_clause *q, kc_cell_memory *memory) {
    if (q->dir != KC_CLAUSE_RECV)
        return;
    clause->len_bytes = q->memory ? 0 : q->len_bytes;
    if (q->memory) {
        kc_cells_received(q->cells->engine, memory);
        clause->desc = memory->desc;
    }
}

void kc_apart_withdraw(const kc_cell_clause *q, kc_cell_memory *memory) {
    if (q->dir == KC_CLAUSE_SEND && q->memory && memory->body.extra != 0)
        kc_body_forget(q->cells->engine, &memory->body);
}

/* ---- one operation ---- */

static bool give_up(void *waiter, uint32_t reason) { return kc_cells_give_up(waiter, reason); }

static int code_of(uint32_t res) {
    int code = KC_OK;

    if (res == KC_RES_CLOSED)
        code = KC_EPIPE;
    else if (res != KC_RES_OK)
        code = res == KC_RES_MEMORY ? KC_ENOMEM : KC_ECANCELED;
    return code;
}

void kc_apart_begin(kc_stall *s, kc_cell_clause *clauses, uint32_t count) {
    kc_cells_begin(&s->waiter, clauses, count);
    kc_wait_begin(&s->wait);
    s->claim.give_up = give_up;
    s->claim.waiter = &s->waiter;
    s->claim.wait = &s->wait;
}

int kc_apart_wait(kc_stall *s, const kc_asked *asked) {
    int rc = kc_claim_wait(&s->claim, asked);

    if (rc == KC_OK) {
        if (s->waiter.count > 1)
            kc_cells_leave(&s->waiter);
        rc = code_of(kc_cell_waiter_res(&s->waiter));
    }
    return rc;
}

/* Under the lock. Without a cancel nobody asks for a claim before it waits, so that one begins here. */
static inline int park(kc_stall *s, kc_cell_clause *q, bool begun) {
    if (!begun) {
        kc_cells_begin(&s->waiter, q, 1);
        kc_wait_begin(&s->wait);
    }
    kc_cells_park(&s->waiter, 0);
    return KC_PARKED;
}

static inline int attempt(kc_cell_clause *q, kc_cell_turn *turn) {
    return q->dir == KC_CLAUSE_SEND ? kc_cells_send(q->cells, q, turn) : kc_cells_receive(q->cells, q, turn);
}

/* One look. If it must wait, and may (patience), the stall parks; without one the answer is that it would. One that has
 * begun may have been given up meanwhile, and then does nothing. */
static inline int look(kc_cell_clause *q, int patience, kc_stall *s, bool begun) {
    kc_cells *c = q->cells;
    kc_cell_turn turn = {0};
    int rc = KC_OK;

    kc_lock_take(&c->lock);
    rc = begun && !kc_cells_wanted(&s->waiter) ? KC_ECANCELED : attempt(q, &turn);
    if (rc == KC_EAGAIN && patience != KC_OK)
        rc = patience;
    else if (rc == KC_EAGAIN)
        rc = s != NULL ? park(s, q, begun) : KC_PARKED;
    if (rc < 0)
        kc_cells_count_refusal(c, q->dir, rc);
    kc_lock_give(&c->lock);
    kc_cells_finish_by(c, &turn, wake);
    return rc;
}

/* It would have to wait: it begins to, and looks again, because its cancel must know it before anybody can decide
 * it. */
static KC_APART int run_with_cancel(kc_cell_clause *q, int patience, const kc_asked *asked) {
    kc_stall s;
    int rc = look(q, patience, NULL, false);

    if (rc == KC_PARKED) {
        kc_apart_begin(&s, q, 1);
        rc = kc_claim_begin(&s.claim, asked);
        if (rc == KC_OK)
            rc = look(q, KC_OK, &s, true);
        if (rc == KC_PARKED)
            rc = kc_apart_wait(&s, asked);
        kc_claim_end(&s.claim);
    }
    return rc;
}

/* Until its channel decides, and nobody else can. */
static inline int wait_for_ever(kc_stall *s) {
    (void)kc_wait_for(&s->wait, KC_WAIT_DONE, KC_NEVER);
    return code_of(kc_cell_waiter_res(&s->waiter));
}

static KC_APART int wait_with_deadline(kc_stall *s, const kc_asked *asked) {
    s->claim = (kc_claim){.give_up = give_up, .waiter = &s->waiter, .wait = &s->wait};
    return kc_apart_wait(s, asked);
}

static inline int run(kc_cell_clause *q, int patience, const kc_asked *asked) {
    kc_stall s;
    int rc = look(q, patience, &s, false);

    if (rc == KC_PARKED)
        rc = asked->deadline_ns == KC_NEVER ? wait_for_ever(&s) : wait_with_deadline(&s, asked);
    return rc;
}

static inline int run_by(kc_cell_clause *q, const kc_asked *asked) {
    int patience = kc_apart_patience(asked);

    return asked->cancel != NULL ? run_with_cancel(q, patience, asked) : run(q, patience, asked);
}

static int operate(kc_channel_clause *clause, const kc_asked *asked) {
    kc_cell_memory memory;
    kc_cell_clause q;
    int rc = kc_apart_offer(clause, &q, &memory);

    if (rc == KC_OK) {
        rc = run_by(&q, asked);
        if (rc == KC_OK)
            kc_apart_take(clause, &q, &memory);
        else
            kc_apart_withdraw(&q, &memory);
    }
    return rc;
}

static int send_bytes(kc_channel *channel, const void *data, uint32_t len_bytes, const kc_asked *asked) {
    kc_cell_clause q;

    q.cells = apart_of(channel)->cells;
    q.dir = KC_CLAUSE_SEND;
    q.index = q.memory = 0;
    q.data = data;
    q.len_bytes = len_bytes;
    return run_by(&q, asked);
}

static int receive_bytes(kc_channel *channel, void *buffer, uint32_t *len_out, const kc_asked *asked) {
    kc_cell_clause q;
    int rc = KC_OK;

    q.cells = apart_of(channel)->cells;
    q.dir = KC_CLAUSE_RECV;
    q.index = q.memory = 0;
    q.buffer = buffer;
    rc = run_by(&q, asked);
    if (rc == KC_OK && len_out != NULL)
        *len_out = q.len_bytes;
    return rc;
}

static const kc_channel_ops apart_ops = {.operate = operate,
                                         .send = send_bytes,
                                         .receive = receive_bytes,
                                         .select = kc_apart_select,
                                         .close = close_apart,
                                         .destroy = destroy_apart,
                                         .depth = depth_of,
                                         .free = free_apart};

int kc_apart_make(kc_hub *hub, const kc_channel_config *config, kc_channel **channel_out) {
    kc_chan_config wanted = {.kind = config->kind,
                             .capacity = config->capacity,
                             .elem_size = config->elem_size,
                             .overflow = config->overflow};
    kc_apart *a = calloc(1, sizeof *a);
    int rc = KC_ENOMEM;

    if (a != NULL)
        rc = kc_cells_make(hub->engine, &wanted, wake, &a->base.ticket, &a->cells);
    if (rc == KC_OK) {
        a->base.ops = &apart_ops;
        a->base.refs = 1;
        a->base.elem_bytes = config->elem_size;
        a->hub = hub;
        *channel_out = &a->base;
    } else {
        free(a);
    }
    return rc;
}
