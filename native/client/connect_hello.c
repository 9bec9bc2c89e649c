/* connect_hello.c: the greeting of a connection (kc_client.h), and its end by a cancel.
 *
 * The operation that greets is there before its connection has reached anybody, so that whoever cancels it ends each
 * step of connecting: a pause before a full backlog, the wait for the answer, or what is still to begin.
 */
#include <string.h>

#include "client/kc_client.h"

static int kc_connect_write_hello(kc_ipc_op *op, const char *name)
{
    kc_writer writer;
    size_t length = name != NULL ? strnlen(name, KC_MAX_TEXT_BYTES + 1) : 0;
    if (length > KC_MAX_TEXT_BYTES) {
        return KC_ENAMETOOLONG;
    }
    kc_writer_init(&writer, op->out, KC_CLIENT_HELLO_BYTES, 1, KC_CLIENT_HELLO_BYTES);
    kc_frame_begin(&writer, KC_CMD_HELLO, 0);
    kc_put_u32(&writer, KC_ATTR_ABI_MAJOR, KC_ABI_MAJOR);
    kc_put_u32(&writer, KC_ATTR_ABI_MINOR, KC_ABI_MINOR);
    kc_put_u32(&writer, KC_ATTR_CAPS, KC_CAP_DESCRIPTORS | KC_CAP_FILES);
    if (length != 0) {
        kc_put_bytes(&writer, KC_ATTR_CLIENT_NAME, name, (uint32_t)length);
    }
    return kc_ask_finish(&writer, op);
}

int kc_connect_greet(kc_ipc *ipc, kc_ipc_op *op, const char *name, int64_t deadline_ns)
{
    int code = kc_connect_write_hello(op, name);
    if (code != KC_OK) {
        return code;
    }
    int64_t left_ms = (deadline_ns - kc_client_now_ns()) / 1000000;
    kc_client_enter(ipc);
    code = op->cancelled ? KC_ECANCELED : KC_OK;
    if (code == KC_OK) {
        op->timeout_ms = left_ms < 1 ? 1 : (int32_t)left_ms;
        op->deadline_ns = deadline_ns;
        ipc->greeting = op;
        kc_due_set(ipc, &op->due, deadline_ns);
        kc_output_queue(ipc, op);
    }
    kc_client_leave(ipc);
    return code == KC_OK ? kc_ipc_op_wait(op, NULL) : code;
}

/* Nobody knows of the connection but who makes it: it ends as if it had never been. Where it does not greet yet,
 * whoever makes it looks at the operation: before each attempt and before the greeting. */
void kc_connect_give_up(kc_ipc *ipc)
{
    if (ipc->greeting != NULL) {
        kc_client_end(ipc, KC_ECANCELED);
    }
}
