/* channel.c: the front of kc_channel.h: what is refused before anybody is asked, and the many names of one
 * operation. */
#include "kc_hub.h"

int kc_channel_make(kc_hub *hub, const kc_channel_config *config, kc_channel **channel_out) {
    int rc = KC_EINVAL;

    if (config->elem_size <= KC_CHANNEL_MAX_ELEM_BYTES)
        rc = hub->owns_engine ? kc_apart_make(hub, config, channel_out) : kc_local_make(hub, config, channel_out);
    return rc;
}

void kc_channel_keep(kc_channel *c) { (void)atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed); }

void kc_channel_drop(kc_channel *c) {
    if (c != NULL && atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1)
        c->ops->free(c);
}

int kc_channel_close(kc_channel *c) { return c->ops->close(c); }
int kc_channel_destroy(kc_channel *c, uint32_t reason) { return c->ops->destroy(c, reason); }
int64_t kc_channel_depth(kc_channel *c) { return c->ops->depth(c); }
kc_chan kc_channel_ticket(const kc_channel *c) { return c->ticket; }
uint32_t kc_channel_elem_bytes(const kc_channel *c) { return c->elem_bytes; }

/* Bytes or memory, whichever the channel has. */
static bool is_memory(const kc_channel_clause *c) { return c->desc.offset != 0 || c->desc.region != 0; }

static int check_bytes(const kc_channel_clause *c) {
    uint32_t most = c->channel->elem_bytes;
    bool send = c->dir == KC_CLAUSE_SEND;
    int rc = KC_OK;

    if (send && (is_memory(c) || (c->data == NULL && c->len_bytes != 0)))
        rc = KC_EINVAL;
    else if (send ? c->len_bytes > most : c->buffer_bytes < most)
        rc = KC_EMSGSIZE;
    return rc;
}

/* What a clause may not be, whatever the state of its channel. */
static int check(const kc_channel_clause *c) {
    int rc = KC_OK;

    if (c->channel == NULL || c->dir > KC_CLAUSE_SEND)
        rc = KC_EINVAL;
    else if (c->channel->elem_bytes != 0)
        rc = check_bytes(c);
    else if (c->data != NULL || c->buffer != NULL || (c->dir == KC_CLAUSE_SEND && !is_memory(c)))
        rc = KC_EINVAL;
    return rc;
}

static int operate(kc_channel_clause *clause, uint32_t flags, int64_t deadline_ns, kc_cancel *cancel) {
    kc_asked asked = {.flags = flags, .deadline_ns = deadline_ns, .cancel = cancel};
    int rc = check(clause);

    if (rc == KC_OK && kc_cancel_is_set(cancel))
        rc = KC_ECANCELED;
    if (rc == KC_OK)
        rc = clause->channel->ops->operate(clause, &asked);
    return rc;
}

int kc_channel_select(kc_channel_clause *clauses, uint32_t count, uint32_t flags, int64_t deadline_ns,
                      kc_cancel *cancel, uint32_t *index_out) {
    kc_asked asked = {.flags = flags & (KC_OP_TRY | KC_OP_BIASED), .deadline_ns = deadline_ns, .cancel = cancel};
    int rc = count >= 1 && count <= KC_MAX_CLAUSES ? KC_OK : KC_EINVAL;

    for (uint32_t i = 0; i < count && rc == KC_OK; i++) {
        rc = check(&clauses[i]);
        if (rc == KC_OK && clauses[i].channel->ops != clauses[0].channel->ops)
            rc = KC_EINVAL;
        *index_out = i;
    }
    if (rc == KC_OK && kc_cancel_is_set(cancel))
        rc = KC_ECANCELED;
    if (rc == KC_OK)
        rc = clauses[0].channel->ops->select(clauses, count, &asked, index_out);
    return rc;
}

/* ---- bytes ---- */

static int send_by_clause(kc_channel *channel, const void *data, uint32_t len_bytes, const kc_asked *asked) {
    kc_channel_clause clause = {.channel = channel, .dir = KC_CLAUSE_SEND, .data = data, .len_bytes = len_bytes};

    return channel->ops->operate(&clause, asked);
}

static inline int send(kc_channel *channel, const void *data, uint32_t len_bytes, const kc_asked *asked) {
    int rc = KC_OK;

    if (channel->elem_bytes == 0 || (data == NULL && len_bytes != 0))
        rc = KC_EINVAL;
    else if (len_bytes > channel->elem_bytes)
        rc = KC_EMSGSIZE;
    else if (kc_cancel_is_set(asked->cancel))
        rc = KC_ECANCELED;
    else if (channel->ops->send != NULL)
        rc = channel->ops->send(channel, data, len_bytes, asked);
    else
        rc = send_by_clause(channel, data, len_bytes, asked);
    return rc;
}

int kc_channel_send_c(kc_channel *channel, const void *data, uint32_t len_bytes, int64_t deadline_ns,
                      kc_cancel *cancel) {
    return send(channel, data, len_bytes, &(kc_asked){.deadline_ns = deadline_ns, .cancel = cancel});
}

int kc_channel_send(kc_channel *channel, const void *data, uint32_t len_bytes, int64_t deadline_ns) {
    return send(channel, data, len_bytes, &(kc_asked){.deadline_ns = deadline_ns});
}

int kc_channel_try_send(kc_channel *channel, const void *data, uint32_t len_bytes) {
    return send(channel, data, len_bytes, &(kc_asked){.flags = KC_OP_TRY, .deadline_ns = KC_NEVER});
}

static int receive_by_clause(kc_channel *channel, void *buffer, uint32_t buffer_bytes, uint32_t *len_out,
                             const kc_asked *asked) {
    kc_channel_clause clause = {
        .channel = channel, .dir = KC_CLAUSE_RECV, .buffer = buffer, .buffer_bytes = buffer_bytes};
    int rc = channel->ops->operate(&clause, asked);

    if (rc == KC_OK && len_out != NULL)
        *len_out = clause.len_bytes;
    return rc;
}

static inline int receive(kc_channel *channel, void *buffer, uint32_t buffer_bytes, uint32_t *len_out,
                          const kc_asked *asked) {
    int rc = KC_OK;

    if (channel->elem_bytes == 0)
        rc = KC_EINVAL;
    else if (buffer_bytes < channel->elem_bytes)
        rc = KC_EMSGSIZE;
    else if (kc_cancel_is_set(asked->cancel))
        rc = KC_ECANCELED;
    else if (channel->ops->receive != NULL)
        rc = channel->ops->receive(channel, buffer, len_out, asked);
    else
        rc = receive_by_clause(channel, buffer, buffer_bytes, len_out, asked);
    return rc;
}

int kc_channel_recv_c(kc_channel *channel, void *buffer, uint32_t buffer_bytes, uint32_t *len_out, int64_t deadline_ns,
                      kc_cancel *cancel) {
    return receive(channel, buffer, buffer_bytes, len_out, &(kc_asked){.deadline_ns = deadline_ns, .cancel = cancel});
}

int kc_channel_recv(kc_channel *channel, void *buffer, uint32_t buffer_bytes, uint32_t *len_out, int64_t deadline_ns) {
    return receive(channel, buffer, buffer_bytes, len_out, &(kc_asked){.deadline_ns = deadline_ns});
}

int kc_channel_try_recv(kc_channel *channel, void *buffer, uint32_t buffer_bytes, uint32_t *len_out) {
    return receive(channel, buffer, buffer_bytes, len_out, &(kc_asked){.flags = KC_OP_TRY, .deadline_ns = KC_NEVER});
}

/* ---- memory ---- */

static int send_memory(kc_channel *channel, const kc_desc *desc, const kc_asked *asked) {
    kc_channel_clause clause = {.channel = channel, .dir = KC_CLAUSE_SEND, .desc = *desc};

    return channel->elem_bytes == 0 ? operate(&clause, asked->flags, asked->deadline_ns, asked->cancel) : KC_EINVAL;
}

static int receive_memory(kc_channel *channel, kc_desc *desc_out, const kc_asked *asked) {
    kc_channel_clause clause = {.channel = channel, .dir = KC_CLAUSE_RECV};
    int rc = channel->elem_bytes == 0 ? operate(&clause, asked->flags, asked->deadline_ns, asked->cancel) : KC_EINVAL;

    if (rc == KC_OK)
        *desc_out = clause.desc;
    return rc;
}

int kc_channel_send_desc(kc_channel *channel, const kc_desc *desc, int64_t deadline_ns, kc_cancel *cancel) {
    return send_memory(channel, desc, &(kc_asked){.deadline_ns = deadline_ns, .cancel = cancel});
}

int kc_channel_recv_desc(kc_channel *channel, kc_desc *desc_out, int64_t deadline_ns, kc_cancel *cancel) {
    return receive_memory(channel, desc_out, &(kc_asked){.deadline_ns = deadline_ns, .cancel = cancel});
}

static int send_pointer(kc_channel *channel, void *ptr, uint64_t len_bytes, const kc_asked *asked) {
    kc_desc desc = {.backend = KC_DESC_ZREF, .offset = (uint64_t)(uintptr_t)ptr, .len_bytes = len_bytes};

    return ptr != NULL && len_bytes != 0 ? send_memory(channel, &desc, asked) : KC_EINVAL;
}

static int receive_pointer(kc_channel *channel, void **ptr_out, uint64_t *len_out, const kc_asked *asked) {
    kc_desc desc;
    int rc = receive_memory(channel, &desc, asked);

    if (rc == KC_OK) {
        *ptr_out = (void *)(uintptr_t)desc.offset;
        if (len_out != NULL)
            *len_out = desc.len_bytes;
    }
    return rc;
}

int kc_channel_send_ptr_c(kc_channel *channel, void *ptr, uint64_t len_bytes, int64_t deadline_ns, kc_cancel *cancel) {
    return send_pointer(channel, ptr, len_bytes, &(kc_asked){.deadline_ns = deadline_ns, .cancel = cancel});
}

int kc_channel_send_ptr(kc_channel *channel, void *ptr, uint64_t len_bytes, int64_t deadline_ns) {
    return kc_channel_send_ptr_c(channel, ptr, len_bytes, deadline_ns, NULL);
}

int kc_channel_try_send_ptr(kc_channel *channel, void *ptr, uint64_t len_bytes) {
    return send_pointer(channel, ptr, len_bytes, &(kc_asked){.flags = KC_OP_TRY, .deadline_ns = KC_NEVER});
}

int kc_channel_recv_ptr_c(kc_channel *channel, void **ptr_out, uint64_t *len_out, int64_t deadline_ns,
                          kc_cancel *cancel) {
    return receive_pointer(channel, ptr_out, len_out, &(kc_asked){.deadline_ns = deadline_ns, .cancel = cancel});
}

int kc_channel_recv_ptr(kc_channel *channel, void **ptr_out, uint64_t *len_out, int64_t deadline_ns) {
    return kc_channel_recv_ptr_c(channel, ptr_out, len_out, deadline_ns, NULL);
}

int kc_channel_try_recv_ptr(kc_channel *channel, void **ptr_out, uint64_t *len_out) {
    return receive_pointer(channel, ptr_out, len_out, &(kc_asked){.flags = KC_OP_TRY, .deadline_ns = KC_NEVER});
}
