/* pair.c: a transport in the memory of one process: two ends, each with a user of its own (kcoro/kc_ipc.h).
 *
 * What one end sends the other receives, files with the byte they were sent with. An eventfd of a direction is ready
 * exactly while there is something to read, another one while there is room; both change under the pair's lock.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "client/kc_client.h"

enum { KC_PAIR_MARKS = 64 };

typedef struct kc_pair_mark { /* files that come with the byte at this place of the stream */
    uint64_t at;
    uint32_t count;
    int files[KC_MAX_FILES];
} kc_pair_mark;

typedef struct kc_pair_way { /* one direction */
    uint8_t *bytes;
    size_t begin;
    size_t length;
    uint64_t passed; /* bytes that were received so far */
    int readable;
    int writable;
    bool ended; /* its sender is gone */
    bool dead;  /* its receiver is gone */
    uint32_t mark_count;
    kc_pair_mark marks[KC_PAIR_MARKS];
} kc_pair_way;

typedef struct kc_pair kc_pair;

typedef struct kc_pair_end {
    kc_pair *pair;
    kc_pair_way *out;
    kc_pair_way *in;
} kc_pair_end;

struct kc_pair {
    pthread_mutex_t lock;
    size_t room;
    unsigned open;
    kc_pair_way ways[2];
    kc_pair_end ends[2];
};

/* --- signs -------------------------------------------------------------------------------------------------------- */

static void kc_pair_sign(int event, bool ready)
{
    uint64_t count = 1;
    ssize_t done = ready ? write(event, &count, sizeof count) : read(event, &count, sizeof count);
    (void)done; /* it was not ready before */
}

static void kc_pair_show(const kc_pair *pair, kc_pair_way *way)
{
    kc_pair_sign(way->readable, false);
    kc_pair_sign(way->writable, false);
    if (way->length != 0 || way->ended) {
        kc_pair_sign(way->readable, true);
    }
    if (way->length < pair->room || way->dead) {
        kc_pair_sign(way->writable, true);
    }
}

/* --- moving bytes ------------------------------------------------------------------------------------------------- */

static int kc_pair_attach(kc_pair_way *way, const int *files, uint32_t count)
{
    if (way->mark_count == KC_PAIR_MARKS) {
        return KC_EAGAIN;
    }
    kc_pair_mark *mark = &way->marks[way->mark_count];
    mark->at = way->passed + way->length;
    mark->count = 0;
    while (mark->count < count && count <= KC_MAX_FILES) {
        int copy = fcntl(files[mark->count], F_DUPFD_CLOEXEC, 0);
        if (copy < 0) {
            kc_client_close_files(mark->files, mark->count);
            return KC_EINVAL;
        }
        mark->files[mark->count++] = copy;
    }
    way->mark_count++;
    return KC_OK;
}

static void kc_pair_put(const kc_pair *pair, kc_pair_way *way, const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        way->bytes[(way->begin + way->length + i) % pair->room] = bytes[i];
    }
    way->length += count;
}

static int64_t kc_pair_send(void *link, const void *bytes, size_t length, const int *files, uint32_t file_count)
{
    kc_pair_end *end = link;
    kc_pair *pair = end->pair;
    kc_pair_way *way = end->out;
    pthread_mutex_lock(&pair->lock);
    size_t room = pair->room - way->length;
    int64_t sent = way->dead ? KC_ECONNRESET : room == 0 ? KC_EAGAIN : KC_OK;
    if (sent == KC_OK && file_count != 0) {
        sent = kc_pair_attach(way, files, file_count);
    }
    if (sent == KC_OK) {
        sent = (int64_t)(length < room ? length : room);
        kc_pair_put(pair, way, bytes, (size_t)sent);
        kc_pair_show(pair, way);
    }
    pthread_mutex_unlock(&pair->lock);
    return sent;
}

/* Up to the next byte that files come with. */
static size_t kc_pair_stretch(const kc_pair_way *way, size_t room)
{
    size_t most = way->length < room ? way->length : room;
    for (uint32_t i = 0; i < way->mark_count; i++) {
        uint64_t ahead = way->marks[i].at - way->passed;
        if (ahead != 0 && ahead < most) {
            most = (size_t)ahead;
        }
    }
    return most;
}

static bool kc_pair_detach(kc_pair_way *way, int *files_out, uint32_t room, uint32_t *count_out)
{
    kc_pair_mark *mark = &way->marks[0];
    if (way->mark_count == 0 || mark->at != way->passed) {
        return true;
    }
    bool good = mark->count <= room;
    if (good) {
        memcpy(files_out, mark->files, mark->count * sizeof *files_out);
        *count_out = mark->count;
    } else {
        kc_client_close_files(mark->files, mark->count);
    }
    way->mark_count--;
    memmove(mark, mark + 1, way->mark_count * sizeof *mark);
    return good;
}

static int64_t kc_pair_take(const kc_pair *pair, kc_pair_way *way, uint8_t *bytes, size_t room, int *files_out,
                            uint32_t file_room, uint32_t *count_out)
{
    if (way->length == 0) {
        return way->ended ? 0 : KC_EAGAIN;
    }
    bool good = kc_pair_detach(way, files_out, file_room, count_out);
    size_t count = kc_pair_stretch(way, room);
    for (size_t i = 0; i < count; i++) {
        bytes[i] = way->bytes[(way->begin + i) % pair->room];
    }
    way->begin = (way->begin + count) % pair->room;
    way->length -= count;
    way->passed += count;
    return good ? (int64_t)count : KC_EPROTO;
}

static int64_t kc_pair_receive(void *link, void *bytes, size_t room, int *files_out, uint32_t *file_count)
{
    kc_pair_end *end = link;
    kc_pair *pair = end->pair;
    uint32_t most = *file_count;
    *file_count = 0;
    pthread_mutex_lock(&pair->lock);
    int64_t came = kc_pair_take(pair, end->in, bytes, room, files_out, most, file_count);
    kc_pair_show(pair, end->in);
    pthread_mutex_unlock(&pair->lock);
    return came;
}

static int kc_pair_watch_one(int epoll, int event, uint32_t events)
{
    struct epoll_event wanted = {.events = events};
    if (epoll_ctl(epoll, EPOLL_CTL_MOD, event, &wanted) == 0) {
        return KC_OK;
    }
    return errno == ENOENT && epoll_ctl(epoll, EPOLL_CTL_ADD, event, &wanted) == 0 ? KC_OK : KC_ENOMEM;
}

static int kc_pair_watch(void *link, int epoll, int output)
{
    kc_pair_end *end = link;
    int code = kc_pair_watch_one(epoll, end->in->readable, EPOLLIN);
    return code == KC_OK ? kc_pair_watch_one(epoll, end->out->writable, output != 0 ? (uint32_t)EPOLLIN : 0U) : code;
}

/* --- life --------------------------------------------------------------------------------------------------------- */

static void kc_pair_free(kc_pair *pair)
{
    for (int i = 0; i < 2; i++) {
        kc_pair_way *way = &pair->ways[i];
        for (uint32_t at = 0; at < way->mark_count; at++) {
            kc_client_close_files(way->marks[at].files, way->marks[at].count);
        }
        kc_client_close_files((int[]){way->readable, way->writable}, 2);
        free(way->bytes);
    }
    pthread_mutex_destroy(&pair->lock);
    free(pair);
}

static void kc_pair_close(void *link)
{
    kc_pair_end *end = link;
    kc_pair *pair = end->pair;
    pthread_mutex_lock(&pair->lock);
    end->out->ended = true;
    end->in->dead = true;
    kc_pair_show(pair, end->out);
    kc_pair_show(pair, end->in);
    bool last = --pair->open == 0;
    pthread_mutex_unlock(&pair->lock);
    if (last) {
        kc_pair_free(pair);
    }
}

static bool kc_pair_way_make(kc_pair_way *way, size_t room)
{
    way->bytes = malloc(room);
    way->readable = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    way->writable = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    return way->bytes != NULL && way->readable >= 0 && way->writable >= 0;
}

KC_API int kc_ipc_pair_make(void *links_out[2], size_t room_bytes)
{
    if (room_bytes == 0) {
        return KC_EINVAL;
    }
    kc_pair *pair = calloc(1, sizeof *pair);
    if (pair == NULL) {
        return KC_ENOMEM;
    }
    pthread_mutex_init(&pair->lock, NULL);
    pair->room = room_bytes;
    pair->open = 2;
    bool good = kc_pair_way_make(&pair->ways[0], room_bytes);
    good = kc_pair_way_make(&pair->ways[1], room_bytes) && good;
    if (!good) {
        kc_pair_free(pair);
        return KC_ENOMEM;
    }
    for (int i = 0; i < 2; i++) {
        pair->ends[i] = (kc_pair_end){pair, &pair->ways[i], &pair->ways[1 - i]};
        links_out[i] = &pair->ends[i];
    }
    return KC_OK;
}

KC_API const kc_ipc_transport *kc_ipc_pair_transport(void)
{
    static const kc_ipc_transport pair = {kc_pair_send, kc_pair_receive, kc_pair_watch, kc_pair_close,
                                          KC_MAX_FRAME_BYTES};
    return &pair;
}
