/* connect.c: the life of a connection (kcoro/kc_ipc.h): the link, HELLO, and the end. */
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "client/kc_client.h"

enum { KC_CONNECT_MS = 10000, KC_GRACE_MS = 5000, KC_REQUESTS = 1024, KC_REQUESTS_MAX = 1 << 16 };
enum { KC_BYTES_IN_FLIGHT = 64 << 20, KC_ANSWER_BYTES = 256 << 20 };
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
    ipc->max_mappings = config->max_mappings != 0 ? config->max_mappings : KC_CLIENT_MAPPINGS;
    ipc->grace_ns = (int64_t)(config->grace_ms > 0 ? config->grace_ms : KC_GRACE_MS) * 1000000;
}

/* Some more places than requests that may wait, for those that are answered at once; it grows if these are too few. */
static bool kc_connect_tables(kc_ipc *ipc)
{
    uint32_t places = 64;
    while (places < 2 * ipc->max_requests) {
        places *= 2;
    }
    ipc->table_mask = places - 1;
    ipc->table = kc_client_take(ipc, places * sizeof(kc_ipc_op *));
    ipc->in = ipc->memory.take(ipc->memory.self, KC_CLIENT_INPUT_BYTES);
    return ipc->table != NULL && ipc->in != NULL && kc_mappings_make(ipc);
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

/* --- for the caller ----------------------------------------------------------------------------------------------- */

static int kc_connect_try(kc_ipc *ipc, const kc_ipc_op *hello, const char *path, bool seqpacket)
{
    kc_client_enter(ipc);
    bool over = hello->cancelled;
    kc_client_leave(ipc);
    return over ? (int)KC_ECANCELED : kc_unix_connect(path, seqpacket, &ipc->link);
}

/* Nothing tells when a full backlog has room again, so it is asked for: soon, then less often. */
static int kc_connect_reach(kc_ipc *ipc, const kc_ipc_op *hello, const char *path, bool seqpacket, int64_t deadline_ns)
{
    int64_t pause_ns = KC_PAUSE_NS;
    int code = kc_connect_try(ipc, hello, path, seqpacket);
    while (code == KC_EAGAIN && kc_client_now_ns() < deadline_ns) {
        int64_t until_ns = kc_client_now_ns() + pause_ns;
        kc_client_pause(ipc, until_ns < deadline_ns ? until_ns : deadline_ns);
        pause_ns = 2 * pause_ns < KC_PAUSE_MOST_NS ? 2 * pause_ns : KC_PAUSE_MOST_NS;
        code = kc_connect_try(ipc, hello, path, seqpacket);
    }
    return code == KC_EAGAIN ? KC_ECONNRESET : code;
}

static int kc_connect_socket(kc_ipc *ipc, const kc_ipc_op *hello, const char *address, int64_t deadline_ns)
{
    char path[128];
    int seqpacket;
    int code = kc_ipc_address(address, path, &seqpacket);
    if (code == KC_OK) {
        ipc->transport = *kc_unix_transport(seqpacket != 0);
        code = kc_connect_reach(ipc, hello, path, seqpacket != 0, deadline_ns);
    }
    return code;
}

static int kc_connect_link(kc_ipc *ipc, const kc_ipc_op *hello, const kc_ipc_config *config, int64_t deadline_ns)
{
    int code = KC_OK;
    if (config->transport == NULL) {
        code = kc_connect_socket(ipc, hello, config->address, deadline_ns);
    }
    if (code == KC_OK) {
        ipc->max_frame_bytes = ipc->transport.max_frame_bytes;
        code = ipc->transport.watch(ipc->link, ipc->epoll, 0);
    }
    return code;
}

/* Links and greets; whoever stops it may cancel the greeting from the beginning on. */
static int kc_connect_run(kc_ipc *ipc, const kc_ipc_config *config, kc_stop *stop, int64_t deadline_ns)
{
    if (config->transport != NULL) {
        ipc->transport = *config->transport;
        ipc->link = config->link;
    }
    int code = kc_connect_open(ipc);
    kc_ipc_op *hello = code == KC_OK ? kc_op_make(ipc, NULL, KC_CMD_HELLO, KC_CLIENT_HELLO_BYTES) : NULL;
    if (hello == NULL) {
        return KC_ENOMEM;
    }
    if (stop != NULL) {
        stop->watch(stop, hello);
    }
    code = kc_connect_link(ipc, hello, config, deadline_ns);
    if (code == KC_OK) {
        code = kc_connect_greet(ipc, hello, config->client_name, deadline_ns);
    }
    if (stop != NULL) {
        stop->leave(stop);
    }
    kc_op_done(hello);
    return code;
}

int kc_unless_connect(const kc_ipc_config *config, kc_stop *stop, kc_ipc **ipc_out)
{
    kc_ipc_config wanted = config != NULL ? *config : (kc_ipc_config){0};
    int32_t timeout_ms = wanted.connect_timeout_ms > 0 ? wanted.connect_timeout_ms : KC_CONNECT_MS;
    int64_t deadline_ns = kc_op_deadline(timeout_ms, 0);
    *ipc_out = NULL;
    bool good = (wanted.spare[0] | wanted.spare[1] | wanted.spare[2]) == 0;
    kc_ipc *ipc = good ? kc_connect_new(&wanted) : NULL;
    if (ipc == NULL) {
        if (wanted.transport != NULL) {
            wanted.transport->close(wanted.link);
        }
        return good ? KC_ENOMEM : KC_EINVAL;
    }
    int code = kc_connect_run(ipc, &wanted, stop, deadline_ns);
    if (code != KC_OK) {
        kc_client_shut(ipc);
        kc_client_drop(ipc);
        return code;
    }
    *ipc_out = ipc;
    return KC_OK;
}

KC_API int kc_ipc_connect(const kc_ipc_config *config, kc_ipc **ipc_out)
{
    return kc_unless_connect(config, NULL, ipc_out);
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
