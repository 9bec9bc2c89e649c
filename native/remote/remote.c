/* remote.c: a daemon's channel behind kc_channel.h (kcoro/kc_remote.h). It joins the runtime and the C client, which
 * know nothing of each other. The calls for handles stand in remote_handle.c.
 */
#include "kcoro/kc_remote.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "kcoro/kc_io.h"
#include "remote/kc_remote_stop.h"
#include "runtime/kc_hub.h"

enum { KC_REMOTE_POLL_MS = 50 }; /* a thread of the scheduler's is kept that long at most */

typedef struct kc_remote {
    kc_channel base;
    kc_ipc *ipc;
    kc_ipc_chan *chan;
} kc_remote;

/* --- waiting ------------------------------------------------------------------------------------------------------ */

/* A coroutine that no scheduler has blocks its thread, so it waits as one; also within one that a scheduler has. */
static void *kc_remote_self(void)
{
    kc_co *co = kc_co_self();
    return co != NULL && kc_co_sched(co) != NULL ? co : NULL;
}

static void kc_remote_park(void *who)
{
    (void)who;
    kc_co_rest(); /* kc_co_park is the user's */
}

static void kc_remote_wake(void *who)
{
    kc_co_rouse(who);
}

static void kc_remote_poll(void *fd)
{
    struct pollfd one = {.fd = *(int *)fd, .events = POLLIN};
    poll(&one, 1, KC_REMOTE_POLL_MS);
}

/* Where the scheduler's poller does not take the descriptor (another waits for it, or memory or a quota ran out) a
 * thread that may sleep does it, for a while; whatever fails, the worker is left to others before the caller looks
 * again. */
static void kc_remote_wait(int fd)
{
    if (kc_io_wait(fd, KC_IO_READABLE, KC_NEVER) < 0 && kc_block_call(kc_remote_poll, &fd) != KC_OK) {
        kc_co_yield();
    }
}

KC_API const kc_ipc_waiting *kc_remote_waiting(void)
{
    static const kc_ipc_waiting waiting = {kc_remote_self, kc_remote_park, kc_remote_wake, kc_remote_wait};
    return &waiting;
}

/* --- operations --------------------------------------------------------------------------------------------------- */

/* What is left in whole milliseconds, rounded up; -1, for ever, where the daemon has no number for it: never early. */
static int32_t kc_remote_left_ms(int64_t deadline_ns)
{
    int64_t now_ns = kc_now_ns();
    int64_t left_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0; /* of one long past the difference has no room */
    int64_t left_ms = left_ns / 1000000 + (left_ns % 1000000 != 0);
    return left_ms > INT32_MAX ? -1 : (int32_t)left_ms;
}

/* A deadline that has passed is a try whose failure has another name. */
static kc_ipc_wish kc_remote_wish(const kc_asked *asked)
{
    kc_ipc_wish wish = {.timeout_ms = -1, .flags = (asked->flags & KC_OP_BIASED) != 0 ? KC_IPC_BIASED : 0};
    if ((asked->flags & KC_OP_TRY) != 0) {
        wish.timeout_ms = 0;
    } else if (asked->deadline_ns != KC_NEVER) {
        wish.timeout_ms = kc_remote_left_ms(asked->deadline_ns);
    }
    return wish;
}

/* Whatever it ended with: of what had begun to leave before the connection ended nobody knows. */
static int kc_remote_code(const kc_asked *asked, const kc_ipc_result *result, int code)
{
    if ((result->flags & KC_IPC_IN_DOUBT) != 0) {
        return KC_EINPROGRESS;
    }
    return code == KC_EAGAIN && (asked->flags & KC_OP_TRY) == 0 ? KC_ETIME : code;
}

/* The front has seen that the buffer holds an element. */
static int kc_remote_receive(kc_channel_clause *clause, kc_ipc_result *result)
{
    const kc_ipc_message *message = &result->messages[0];
    int code = message->length <= clause->buffer_bytes ? KC_OK : KC_EMSGSIZE;
    if (code == KC_OK && message->length != 0) {
        memcpy(clause->buffer, message->bytes, message->length);
    }
    clause->len_bytes = code == KC_OK ? (uint32_t)message->length : 0;
    return code;
}

static int kc_remote_operate(kc_channel_clause *clause, const kc_asked *asked)
{
    kc_remote *remote = (kc_remote *)clause->channel;
    kc_ipc_wish wish = kc_remote_wish(asked);
    wish.flags = 0; /* of several clauses only */
    kc_ipc_payload payload = {.bytes = clause->data, .length = clause->len_bytes};
    kc_ipc_result result = {0};
    kc_ipc_op *op = NULL;
    bool sends = clause->dir == KC_CLAUSE_SEND;
    int code = sends ? kc_ask_send(remote->chan, &payload, 1, &wish, &op)
                     : kc_ask_recv(remote->chan, 1, false, &wish, &op);
    if (code == KC_OK) {
        code = kc_remote_run(op, asked->cancel, &result);
    }
    if (code == KC_OK && !sends) {
        code = kc_remote_receive(clause, &result);
    }
    code = kc_remote_code(asked, &result, code);
    kc_ipc_result_free(&result);
    return code;
}

static int kc_remote_choose(kc_channel_clause *clauses, uint32_t count, const kc_asked *asked, uint32_t *index_out)
{
    kc_ipc_clause arms[KC_MAX_CLAUSES];
    kc_ipc_payload payloads[KC_MAX_CLAUSES];
    kc_ipc_wish wish = kc_remote_wish(asked);
    kc_ipc_result result = {.index = UINT32_MAX};
    kc_ipc_op *op = NULL;
    kc_ipc *ipc = ((kc_remote *)clauses[0].channel)->ipc;
    for (uint32_t i = 0; i < count; i++) {
        payloads[i] = (kc_ipc_payload){.bytes = clauses[i].data, .length = clauses[i].len_bytes};
        arms[i] = (kc_ipc_clause){.chan = ((kc_remote *)clauses[i].channel)->chan,
                                  .payload = clauses[i].dir == KC_CLAUSE_SEND ? &payloads[i] : NULL};
    }
    int code = kc_ask_select(ipc, arms, count, &wish, &op); /* KC_EINVAL: of several connections */
    if (code == KC_OK) {
        code = kc_remote_run(op, asked->cancel, &result);
    }
    if (result.index < count) {
        *index_out = result.index;
    }
    if (code == KC_OK && result.message_count != 0) {
        code = kc_remote_receive(&clauses[result.index], &result);
    }
    code = kc_remote_code(asked, &result, code);
    kc_ipc_result_free(&result);
    return code;
}

/* --- the channel -------------------------------------------------------------------------------------------------- */

static int kc_remote_end(kc_channel *channel)
{
    return kc_ipc_close(((kc_remote *)channel)->chan);
}

static int kc_remote_ruin(kc_channel *channel, uint32_t reason)
{
    (void)reason; /* the daemon's reasons are texts; "destroyed" says itself */
    int code = kc_ipc_destroy(((kc_remote *)channel)->chan, NULL);
    return code == KC_ECANCELED ? KC_OK : code; /* it was destroyed before */
}

static int64_t kc_remote_depth(kc_channel *channel)
{
    uint64_t stats[KC_STAT_END];
    int code = kc_ipc_statistics(((kc_remote *)channel)->chan, stats);
    return code == KC_OK ? (int64_t)stats[KC_STAT_DEPTH] : code;
}

static void kc_remote_free(kc_channel *channel)
{
    kc_ipc_chan_free(((kc_remote *)channel)->chan);
    free(channel);
}

KC_API int kc_remote_channel(kc_ipc *ipc, kc_ipc_chan *chan, kc_channel **channel_out)
{
    static const kc_channel_ops ops = {.operate = kc_remote_operate,
                                          .select = kc_remote_choose,
                                          .close = kc_remote_end,
                                          .destroy = kc_remote_ruin,
                                          .depth = kc_remote_depth,
                                          .free = kc_remote_free};
    kc_ipc_chan_info info;
    *channel_out = NULL;
    kc_ipc_chan_look(chan, &info);
    if (info.elem_size == 0 || info.elem_size >= KC_MAX_ELEMENT_BYTES) {
        return KC_EINVAL;
    }
    kc_remote *remote = calloc(1, sizeof *remote);
    if (remote == NULL) {
        return KC_ENOMEM;
    }
    remote->base.ops = &ops;
    remote->base.elem_bytes = info.elem_size;
    atomic_init(&remote->base.refs, 1);
    remote->ipc = ipc;
    remote->chan = chan;
    *channel_out = &remote->base;
    return KC_OK;
}
