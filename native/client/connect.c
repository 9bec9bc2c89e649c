/* connect.c: the life of a connection (kcoro/kc_ipc.h): the link, HELLO, and the end. */
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "client/kc_client.h"

enum { KC_CONNECT_MS = 10000, KC_GRACE_MS = 5000, KC_REQUESTS = 1024, KC_REQUESTS_MAX = 1 << 16 };
enum { KC_BYTES_IN_FLIGHT = 64 << 20, KC_ANSWER_BYTES = 256 << 20, KC_HELLO_BYTES = 320 };
static const uint64_t KC_MAPPED_BYTES = UINT64_C(8) << 30; /* twice what a daemon lets one user share by default */
enum { KC_PAUSE_NS = 1000000, KC_PAUSE_MOST_NS = 32 * KC_PAUSE_NS };

static void *kc_malloc_take(void *self, size_t bytes)
{
    (void)self;
    return malloc(bytes);
}

static void kc_malloc_give(void *self, void *memory)
{
    (void)self;
    free(memory);
}

static const kc_ipc_memory kc_malloc_memory = {kc_malloc_take, kc_malloc_give, NULL};

/* --- making ------------------------------------------------------------------------------------------------------- */

static void kc_connect_bounds(kc_ipc *ipc, const kc_ipc_config *config)
{
    uint32_t requests = config->max_requests != 0 ? config->max_requests : KC_REQUESTS;
    ipc->max_requests = requests < KC_REQUESTS_MAX ? requests : KC_REQUESTS_MAX;
    ipc->max_chan_requests = config->max_chan_requests != 0 ? config->max_chan_requests : ipc->max_requests;
    ipc->max_bytes = config->max_bytes != 0 ? config->max_bytes : KC_BYTES_IN_FLIGHT;
    ipc->max_chan_bytes = config->max_chan_bytes != 0 ? config->max_chan_bytes : ipc->max_bytes;
    ipc->max_answer_bytes = config->max_answer_bytes != 0 ? config->max_answer_bytes : KC_ANSWER_BYTES;
    ipc->max_mapped_bytes = config->max_mapped_bytes != 0 ? config->max_mapped_bytes : KC_MAPPED_BYTES;
    ipc->grace_ns = (int64_t)(config->grace_ms > 0 ? config->grace_ms : KC_GRACE_MS) * 1000000;
}

/* Some more places than requests that may wait, for those that are answered at once; it grows if these are not enough. */
static bool kc_connect_tables(kc_ipc *ipc)
{
    uint32_t places = 64;
    while (places < 2 * ipc->max_requests) {
        places *= 2;
    }
    ipc->table_mask = places - 1;
    ipc->table = kc_client_take(ipc, places * sizeof(kc_ipc_op *));
    ipc->in = ipc->memory.take(ipc->memory.self, KC_CLIENT_INPUT_BYTES);
    return ipc->table != NULL && ipc->in != NULL;
}

static kc_ipc *kc_connect_new(const kc_ipc_config *config)
{
    const kc_ipc_memory *memory = config->memory != NULL ? config->memory : &kc_malloc_memory;
    kc_ipc *ipc = memory->take(memory->self, sizeof *ipc);
    if (ipc == NULL) {
        return NULL;
    }
    memset(ipc, 0, sizeof *ipc);
    ipc->memory = *memory;
    ipc->waiting = config->waiting != NULL ? *config->waiting : kc_thread_waiting;
    ipc->pid = getpid();
    ipc->epoll = -1;
    ipc->timer = -1;
    ipc->tower = -1;
    ipc->recall = -1;
    ipc->armed_ns = INT64_MAX;
    ipc->retry_ns = INT64_MAX;
    atomic_init(&ipc->refs, 1);
    pthread_mutex_init(&ipc->lock, NULL);
    pthread_mutex_init(&ipc->gate, NULL);
    kc_link *lists[] = {&ipc->waiters, &ipc->threads,   &ipc->callers,  &ipc->queues,      &ipc->queue.link,
                        &ipc->lanes,   &ipc->own.link, &ipc->own.ops, &ipc->queue.callers, &ipc->cancels};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        kc_link_init(lists[i]);
    }
    kc_connect_bounds(ipc, config);
    return ipc;
}

static int kc_connect_open(kc_ipc *ipc)
{
    struct epoll_event input = {.events = EPOLLIN};
    if (!kc_connect_tables(ipc)) {
        return KC_ENOMEM;
    }
    ipc->epoll = epoll_create1(EPOLL_CLOEXEC);
    ipc->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (ipc->epoll < 0 || ipc->timer < 0 || epoll_ctl(ipc->epoll, EPOLL_CTL_ADD, ipc->timer, &input) != 0) {
        return KC_ENOMEM;
    }
    return ipc->waiting.self == kc_thread_waiting.self || kc_client_tower(ipc) ? KC_OK : KC_ENOMEM;
}

void kc_client_shut(kc_ipc *ipc)
{
    if (ipc->link != NULL) {
        ipc->transport.close(ipc->link);
        ipc->link = NULL;
    }
    kc_client_close_files(&ipc->epoll, 1);
    kc_client_close_files(&ipc->timer, 1);
    kc_client_close_files(&ipc->tower, 1);
    kc_client_close_files(&ipc->recall, 1);
    kc_client_close_files(ipc->files, ipc->file_count);
    ipc->file_count = 0;
    kc_client_give(ipc, ipc->out_memory);
    ipc->out_memory = NULL;
    kc_mappings_forget(ipc);
    kc_client_frame_drop(ipc->growing);
    ipc->growing = NULL;
}

/* --- HELLO -------------------------------------------------------------------------------------------------------- */

static int kc_connect_write_hello(kc_ipc_op *op, const char *name)
{
    kc_writer writer;
    size_t length = name != NULL ? strnlen(name, KC_MAX_TEXT_BYTES + 1) : 0;
    if (length > KC_MAX_TEXT_BYTES) {
        return KC_ENAMETOOLONG;
    }
    kc_writer_init(&writer, op->out, KC_HELLO_BYTES, 1, KC_HELLO_BYTES);
    kc_frame_begin(&writer, KC_CMD_HELLO, 0);
    kc_put_u32(&writer, KC_ATTR_ABI_MAJOR, KC_ABI_MAJOR);
    kc_put_u32(&writer, KC_ATTR_ABI_MINOR, KC_ABI_MINOR);
    kc_put_u32(&writer, KC_ATTR_CAPS, KC_CAP_DESCRIPTORS | KC_CAP_FILES);
    if (length != 0) {
        kc_put_bytes(&writer, KC_ATTR_CLIENT_NAME, name, (uint32_t)length);
    }
    return kc_ask_finish(&writer, op);
}

static int kc_connect_greet(kc_ipc *ipc, const char *name, int64_t deadline_ns)
{
    kc_ipc_op *op = kc_op_make(ipc, NULL, KC_CMD_HELLO, KC_HELLO_BYTES);
    if (op == NULL) {
        return KC_ENOMEM;
    }
    int code = kc_connect_write_hello(op, name);
    if (code != KC_OK) {
        kc_op_unmake(op);
        return code;
    }
    int64_t left_ms = (deadline_ns - kc_client_now_ns()) / 1000000;
    kc_client_enter(ipc);
    op->timeout_ms = left_ms < 1 ? 1 : (int32_t)left_ms;
    op->deadline_ns = deadline_ns;
    ipc->greeting = op;
    kc_due_set(ipc, &op->due, deadline_ns);
    kc_output_queue(ipc, op);
    kc_client_leave(ipc);
    return kc_op_finish(op, NULL);
}

/* --- for the caller ----------------------------------------------------------------------------------------------- */

/* Nothing tells when a full backlog has room again, so it is asked for: soon, then less often. */
static int kc_connect_reach(kc_ipc *ipc, const char *path, bool seqpacket, int64_t deadline_ns)
{
    int64_t pause_ns = KC_PAUSE_NS;
    int code = kc_unix_connect(path, seqpacket, &ipc->link);
    while (code == KC_EAGAIN && kc_client_now_ns() < deadline_ns) {
        int64_t until_ns = kc_client_now_ns() + pause_ns;
        kc_client_pause(ipc, until_ns < deadline_ns ? until_ns : deadline_ns);
        pause_ns = 2 * pause_ns < KC_PAUSE_MOST_NS ? 2 * pause_ns : KC_PAUSE_MOST_NS;
        code = kc_unix_connect(path, seqpacket, &ipc->link);
    }
    return code == KC_EAGAIN ? KC_ECONNRESET : code;
}

static int kc_connect_socket(kc_ipc *ipc, const char *address, int64_t deadline_ns)
{
    char path[128];
    int seqpacket;
    int code = kc_ipc_address(address, path, &seqpacket);
    if (code == KC_OK) {
        ipc->transport = *kc_unix_transport(seqpacket != 0);
        code = kc_connect_reach(ipc, path, seqpacket != 0, deadline_ns);
    }
    return code;
}

static int kc_connect_link(kc_ipc *ipc, const kc_ipc_config *config, int64_t deadline_ns)
{
    if (config->transport != NULL) {
        ipc->transport = *config->transport;
        ipc->link = config->link;
    }
    int code = kc_connect_open(ipc);
    if (code == KC_OK && config->transport == NULL) {
        code = kc_connect_socket(ipc, config->address, deadline_ns);
    }
    if (code == KC_OK) {
        ipc->max_frame_bytes = ipc->transport.max_frame_bytes;
        code = ipc->transport.watch(ipc->link, ipc->epoll, 0);
    }
    return code;
}

KC_API int kc_ipc_connect(const kc_ipc_config *config, kc_ipc **ipc_out)
{
    kc_ipc_config wanted = config != NULL ? *config : (kc_ipc_config){0};
    int32_t timeout_ms = wanted.connect_timeout_ms > 0 ? wanted.connect_timeout_ms : KC_CONNECT_MS;
    int64_t deadline_ns = kc_op_deadline(timeout_ms, 0);
    *ipc_out = NULL;
    bool good = (wanted.spare[0] | wanted.spare[1] | wanted.spare[2] | wanted.spare[3]) == 0;
    kc_ipc *ipc = good ? kc_connect_new(&wanted) : NULL;
    if (ipc == NULL) {
        if (wanted.transport != NULL) {
            wanted.transport->close(wanted.link);
        }
        return good ? KC_ENOMEM : KC_EINVAL;
    }
    int code = kc_connect_link(ipc, &wanted, deadline_ns);
    if (code == KC_OK) {
        code = kc_connect_greet(ipc, wanted.client_name, deadline_ns);
    }
    if (code != KC_OK) {
        kc_client_shut(ipc);
        kc_client_drop(ipc);
        return code;
    }
    *ipc_out = ipc;
    return KC_OK;
}

KC_API void kc_ipc_disconnect(kc_ipc *ipc)
{
    if (ipc == NULL) {
        return;
    }
    if (!kc_client_enter(ipc)) {
        kc_client_shut(ipc); /* a child's copies of the descriptors; the parent's connection goes on */
        kc_client_drop(ipc);
        return;
    }
    kc_client_end(ipc, KC_EBADF);
    ipc->disconnected = true;
    kc_client_quit(ipc); /* else whoever sleeps on it does */
    kc_client_leave(ipc);
    kc_client_drop(ipc);
}

KC_API int kc_ipc_handle(const kc_ipc *ipc)
{
    return ipc->epoll;
}

KC_API int kc_ipc_step(kc_ipc *ipc)
{
    if (!kc_client_enter(ipc)) {
        return KC_EBADF;
    }
    kc_client_step(ipc);
    int code = ipc->ended;
    kc_client_leave(ipc);
    return code;
}

KC_API void kc_ipc_measure(kc_ipc *ipc, kc_ipc_usage *usage_out)
{
    *usage_out = (kc_ipc_usage){.ended = KC_EBADF};
    if (kc_client_enter(ipc)) {
        *usage_out = (kc_ipc_usage){
            .requests = ipc->requests, .callers = ipc->caller_count, .bytes = ipc->bytes, .leases = ipc->leases,
            .mappings = ipc->mapping_count, .frames_out = ipc->frames_out, .frames_in = ipc->frames_in,
            .max_frame_bytes = ipc->max_frame_bytes, .caps = ipc->caps, .ended = ipc->ended,
            .answer_bytes = ipc->answer_bytes, .mapped_bytes = ipc->mapped_bytes};
        kc_client_leave(ipc);
    }
}

KC_API int kc_ipc_why(kc_ipc *ipc, char text_out[256])
{
    text_out[0] = '\0';
    if (!kc_client_enter(ipc)) {
        return KC_EBADF;
    }
    int code = ipc->ended;
    if (code != KC_OK) {
        memcpy(text_out, ipc->why, sizeof ipc->why);
    }
    kc_client_leave(ipc);
    return code;
}
