/* chan.c: handles on channels (kc_client_op.h): made, opened, looked at, given back. What is asked of the channel
 * itself stands in chan_all.c.
 *
 * A handle is freed when its owner has given it back and no operation on it is left.
 */
#include <string.h>

#include "client/kc_client.h"

enum { KC_CHAN_GIVEN = 2 * KC_IPC_GIVEN_GROUP - 1 };
enum { KC_CHAN_RIGHTS = KC_FLAG_CHAN_READ | KC_FLAG_CHAN_WRITE };

int kc_chan_text(kc_writer *writer, uint16_t type, const char *text)
{
    size_t length = text != NULL ? strnlen(text, KC_MAX_TEXT_BYTES + 1) : 0;
    if (length > KC_MAX_TEXT_BYTES) {
        return KC_ENAMETOOLONG;
    }
    if (text != NULL) {
        kc_put_bytes(writer, type, text, (uint32_t)length);
    }
    return KC_OK;
}

static uint32_t kc_chan_rights(uint32_t flags)
{
    return (flags & KC_CHAN_RIGHTS) != 0 ? flags : flags | KC_CHAN_RIGHTS;
}

/* --- making and opening ------------------------------------------------------------------------------------------- */

static kc_ipc_chan *kc_chan_new(kc_ipc *ipc)
{
    kc_ipc_chan *chan = kc_client_take(ipc, sizeof *chan);
    if (chan != NULL) {
        chan->ipc = ipc;
        chan->refs = 1;
        kc_link_init(&chan->lane.link);
        kc_link_init(&chan->lane.ops);
        kc_link_init(&chan->queue.link);
        kc_link_init(&chan->queue.callers);
        kc_client_keep(ipc);
    }
    return chan;
}

static void kc_chan_give(kc_ipc_chan *chan)
{
    kc_ipc *ipc = chan->ipc;
    kc_client_give(ipc, chan);
    kc_client_drop(ipc);
}

/* Its answer fills a handle that was made before: what the daemon has granted is never lost for want of memory. */
static int kc_chan_ask(kc_ipc_op *op, kc_writer *writer, uint32_t flags, bool counted, kc_stop *stop,
                       kc_ipc_chan **chan_out)
{
    kc_ipc_chan *chan = kc_chan_new(op->ipc);
    if (chan == NULL) {
        kc_op_unmake(op);
        return KC_ENOMEM;
    }
    int code = kc_control_run(op, writer, counted, stop);
    const kc_reply *reply = &op->reply;
    chan->info = (kc_ipc_chan_info){
        .chan_id = reply->chan_id, .kind = reply->kind, .capacity = reply->capacity, .elem_size = reply->elem_size,
        .overflow = reply->overflow,
        .flags = (reply->flags & ~(uint32_t)KC_CHAN_RIGHTS) | (flags & KC_CHAN_RIGHTS)};
    kc_op_done(op);
    if (code != KC_OK) {
        kc_chan_give(chan);
        return code;
    }
    *chan_out = chan;
    return KC_OK;
}

static void kc_chan_put_given(kc_writer *writer, const kc_ipc_chan_config *config)
{
    const struct {
        uint32_t bit;
        uint16_t type;
        uint32_t value;
    } fields[] = {
        {KC_IPC_GIVEN_KIND, KC_ATTR_KIND, (uint32_t)config->kind},
        {KC_IPC_GIVEN_OVERFLOW, KC_ATTR_OVERFLOW, config->overflow},
        {KC_IPC_GIVEN_UNDELIVERED, KC_ATTR_UNDELIVERED, config->undelivered},
        {KC_IPC_GIVEN_MODE, KC_ATTR_MODE, config->mode},
        {KC_IPC_GIVEN_OWNER, KC_ATTR_OWNER_UID, config->owner_uid},
        {KC_IPC_GIVEN_GROUP, KC_ATTR_OWNER_GID, config->owner_gid},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if ((config->given & fields[i].bit) != 0) {
            kc_put_u32(writer, fields[i].type, fields[i].value);
        }
    }
    if (config->capacity != 0 && (config->given & KC_IPC_GIVEN_KIND) == 0) {
        kc_put_i32(writer, KC_ATTR_KIND, KC_KIND_BUFFERED);
    }
}

static void kc_chan_put_numbers(kc_writer *writer, const kc_ipc_chan_config *config)
{
    const struct {
        uint16_t type;
        uint32_t value;
    } fields[] = {
        {KC_ATTR_CAPACITY, config->capacity},         {KC_ATTR_ELEM_SIZE, config->elem_size},
        {KC_ATTR_MAX_ATTEMPTS, config->max_attempts}, {KC_ATTR_TTL_MS, config->ttl_ms},
        {KC_ATTR_FILE_TTL_MS, config->file_ttl_ms},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (fields[i].value != 0) {
            kc_put_u32(writer, fields[i].type, fields[i].value);
        }
    }
    if (config->max_bytes != 0) {
        kc_put_u64(writer, KC_ATTR_MAX_BYTES, config->max_bytes);
    }
}

int kc_unless_make(kc_ipc *ipc, const char *name, const kc_ipc_chan_config *config, kc_stop *stop,
                   kc_ipc_chan **chan_out)
{
    kc_ipc_chan_config wanted = config != NULL ? *config : (kc_ipc_chan_config){0};
    kc_writer writer;
    *chan_out = NULL;
    if ((wanted.given & ~(uint32_t)KC_CHAN_GIVEN) != 0 || wanted.spare != 0 || wanted.spares[0] != 0 ||
        wanted.spares[1] != 0) {
        return KC_EINVAL;
    }
    kc_ipc_op *op = kc_control_make(ipc, NULL, KC_CMD_CHAN_MAKE, KC_CHAN_BYTES, &writer);
    if (op == NULL) {
        return KC_ENOMEM;
    }
    wanted.flags = kc_chan_rights(wanted.flags);
    int code = kc_chan_text(&writer, KC_ATTR_NAME, name);
    if (code == KC_OK) {
        code = kc_chan_text(&writer, KC_ATTR_DEAD_LETTER, wanted.dead_letter);
    }
    if (code != KC_OK) {
        kc_op_unmake(op);
        return code;
    }
    kc_chan_put_given(&writer, &wanted);
    kc_chan_put_numbers(&writer, &wanted);
    kc_put_u32(&writer, KC_ATTR_FLAGS, wanted.flags);
    return kc_chan_ask(op, &writer, wanted.flags, false, stop, chan_out);
}

KC_API int kc_ipc_make(kc_ipc *ipc, const char *name, const kc_ipc_chan_config *config, kc_ipc_chan **chan_out)
{
    return kc_unless_make(ipc, name, config, NULL, chan_out);
}

static int kc_chan_open(kc_ipc *ipc, const char *name, uint32_t chan_id, uint32_t rights, int32_t timeout_ms,
                        kc_stop *stop, kc_ipc_chan **chan_out)
{
    kc_writer writer;
    *chan_out = NULL;
    if ((rights & ~(uint32_t)KC_CHAN_RIGHTS) != 0) { /* those that are none are not both */
        return KC_EINVAL;
    }
    kc_ipc_op *op = kc_control_make(ipc, NULL, KC_CMD_CHAN_OPEN, KC_CHAN_BYTES, &writer);
    if (op == NULL) {
        return KC_ENOMEM;
    }
    int code = kc_chan_text(&writer, KC_ATTR_NAME, name);
    if (code != KC_OK) {
        kc_op_unmake(op);
        return code;
    }
    if (name == NULL) {
        kc_put_u32(&writer, KC_ATTR_CHAN_ID, chan_id);
    }
    op->timeout_ms = timeout_ms;
    kc_ask_timeout(&writer, op);
    if (timeout_ms == 0) { /* the daemon answers at once, and is told so whenever this leaves */
        op->timeout_ms = KC_CLIENT_CONTROL_MS;
        op->timeout_at = 0;
    }
    rights = kc_chan_rights(rights);
    kc_put_u32(&writer, KC_ATTR_FLAGS, rights);
    return kc_chan_ask(op, &writer, rights, timeout_ms != 0, stop, chan_out);
}

int kc_unless_open(kc_ipc *ipc, const char *name, uint32_t rights, int32_t timeout_ms, kc_stop *stop,
                   kc_ipc_chan **chan_out)
{
    *chan_out = NULL;
    return name == NULL ? KC_EINVAL : kc_chan_open(ipc, name, 0, rights, timeout_ms, stop, chan_out);
}

KC_API int kc_ipc_open(kc_ipc *ipc, const char *name, uint32_t rights, int32_t timeout_ms, kc_ipc_chan **chan_out)
{
    return kc_unless_open(ipc, name, rights, timeout_ms, NULL, chan_out);
}

int kc_unless_open_id(kc_ipc *ipc, uint32_t chan_id, uint32_t rights, kc_stop *stop, kc_ipc_chan **chan_out)
{
    return kc_chan_open(ipc, NULL, chan_id, rights, 0, stop, chan_out);
}

KC_API int kc_ipc_open_id(kc_ipc *ipc, uint32_t chan_id, uint32_t rights, kc_ipc_chan **chan_out)
{
    return kc_unless_open_id(ipc, chan_id, rights, NULL, chan_out);
}

KC_API void kc_ipc_chan_look(const kc_ipc_chan *chan, kc_ipc_chan_info *info_out)
{
    *info_out = chan->info;
}

/* --- giving back -------------------------------------------------------------------------------------------------- */

static void kc_chan_release(kc_ipc_chan *chan)
{
    kc_writer writer;
    kc_ipc_op *op = kc_control_make(chan->ipc, chan, KC_CMD_CHAN_RELEASE, 0, &writer);
    if (op != NULL) {
        kc_put_u32(&writer, KC_ATTR_FLAGS, chan->info.flags & KC_CHAN_RIGHTS);
        kc_control_done(op, &writer, NULL); /* a connection that has ended has given them back */
    }
}

bool kc_chan_hold(kc_ipc_chan *chan)
{
    bool here = kc_client_enter(chan->ipc);
    if (here) {
        chan->refs++;
        kc_client_leave(chan->ipc);
    }
    return here;
}

void kc_chan_left(kc_ipc_chan *chan)
{
    if (--chan->refs == 0) {
        kc_chan_give(chan);
    }
}

bool kc_chan_let(kc_ipc_chan *chan)
{
    kc_ipc *ipc = chan->ipc;
    kc_client_keep(ipc); /* the handle may hold the last reference */
    bool here = kc_client_enter(ipc);
    if (here) {
        kc_chan_left(chan);
        kc_client_leave(ipc);
    }
    kc_client_drop(ipc);
    return here;
}

KC_API void kc_ipc_chan_free(kc_ipc_chan *chan)
{
    if (chan == NULL) {
        return;
    }
    kc_chan_release(chan);
    if (!kc_chan_let(chan)) {
        kc_chan_give(chan); /* in a child the parent goes on with it */
    }
}
