/* conn_files.c: open files that came ahead of the frames that name them, and those nobody wants.
 *
 * The kernel delivers files with the first byte of their frame, so they wait here in order until a header claims them.
 * Each is paid for when it comes; one that its uid may not have is discarded at the door and leaves a hole, so that the
 * frame which claims it is refused and later frames still get theirs. Nothing is closed here, because close(2) may
 * block: discarded files wait in conns->discarded.
 */
#include "ipc/kc_conn.h"

#include <string.h>
#include <unistd.h>

void kc_conns_discard(kc_conns *conns, int32_t file)
{
    int32_t *place;
    conns->discarded.entry_bytes = sizeof *place;
    place = kc_queue_push(&conns->memory, &conns->discarded);
    if (place != NULL) {
        *place = file;
    } else {
        (void)close(file); /* late is worse than slow: without memory there is nobody to hand it to */
    }
}

bool kc_conn_files_add(kc_conns *conns, kc_connection *conn, int32_t file)
{
    int32_t *place = NULL;
    conn->files_in++;
    conn->files.entry_bytes = sizeof *place;
    if (conn->files.count < KC_CONN_FILES) {
        place = kc_queue_push(&conns->memory, &conn->files);
    }
    bool paid = place != NULL && file >= 0 &&
                kc_file_pay(conns->engine, conn->account, 1, &conn->files_refusal) == KC_OK;
    if (place != NULL) {
        *place = paid || file < 0 ? file : KC_FILE_UNPAID;
    }
    if (!paid && file >= 0) {
        kc_conns_discard(conns, file);
    }
    return place != NULL;
}

void kc_files_shift(kc_files *files, uint32_t n)
{
    files->count -= n;
    memmove(files->items, files->items + n, files->count * sizeof *files->items);
}

void kc_files_drop(kc_conns *conns, const kc_connection *conn, kc_files *files)
{
    for (uint32_t i = 0; i < files->count; i++) {
        kc_conns_discard(conns, files->items[i]);
    }
#if KC_MUTANT != 20 /* whoever sent files that nobody took pays for them for ever */
    kc_file_refund(conns->engine, conn->account, files->count);
#endif
    files->count = 0;
}

bool kc_conn_files_claim(kc_conns *conns, kc_connection *conn, uint32_t n, kc_files *files_out)
{
    *files_out = (kc_files){0};
    if (n > conn->files.count) {
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        int32_t file = *(const int32_t *)kc_queue_front(&conn->files);
        kc_queue_pop(&conn->files);
        if (file < 0) {
            files_out->refused = file == KC_FILE_UNPAID ? KC_EDQUOT : KC_EINVAL;
        } else if (files_out->count < KC_MAX_MESSAGE_FILES) {
            files_out->items[files_out->count++] = file;
        } else {
            kc_file_refund(conns->engine, conn->account, 1);
            kc_conns_discard(conns, file);
        }
    }
    kc_queue_rest(&conns->memory, &conn->files, 0);
    return true;
}

void kc_conn_files_end(kc_conns *conns, kc_connection *conn)
{
    kc_files files;
    while (conn->files.count != 0) {
        uint32_t n = conn->files.count < KC_MAX_MESSAGE_FILES ? conn->files.count : KC_MAX_MESSAGE_FILES;
        (void)kc_conn_files_claim(conns, conn, n, &files);
        kc_files_drop(conns, conn, &files);
    }
    kc_queue_rest(&conns->memory, &conn->files, 0);
}
