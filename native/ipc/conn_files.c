/* conn_files.c: open files that came ahead of the frames that name them, and those nobody wants.
 *
 * The kernel delivers files with the first byte of their frame, so they wait here in order until a header claims them.
 * Each is paid for when it comes; one that its uid may not have is discarded at the door and leaves a hole, so that the
 * frame which claims it is refused and later frames still get theirs. Nothing is closed here, because close(2) may
 * block: discarded files wait with the engine, charged to the uid that brought them. A uid that has too many there is
 * not read until some of them are closed.
 */
#include "ipc/kc_conn.h"

#include <string.h>
#include <unistd.h>

void kc_conns_look_again(kc_conns *conns)
{
    for (uint32_t left = conns->lists[KC_LIST_CROWDED].count; left != 0; left--) {
        kc_list_add(conns, KC_LIST_ATTENTION, kc_list_take(conns, KC_LIST_CROWDED));
    }
}

static bool kc_conns_crowds(kc_conns *conns, uint32_t account)
{
    return kc_file_is_over(conns->engine, account) != 0 || kc_file_lags(conns->engine, account) != 0;
}

/* The account pays for fewer files than before. Whether it had too many then says nothing: time ends that, too. */
static void kc_conns_uncrowd(kc_conns *conns, uint32_t account)
{
    if (conns->lists[KC_LIST_CROWDED].first != NULL && !kc_conns_crowds(conns, account)) {
        kc_conns_look_again(conns);
    }
}

void kc_conns_discard(kc_conns *conns, uint32_t account, int32_t file, bool paid)
{
    if (kc_file_discard(conns->engine, account, file, paid) != KC_OK) {
        (void)close(file); /* late is worse than slow: without memory there is nobody to hand it to */
        kc_conns_uncrowd(conns, account);
    }
}

void kc_conns_files_refund(kc_conns *conns, uint32_t account, uint32_t count)
{
    kc_file_refund(conns->engine, account, count);
    kc_conns_uncrowd(conns, account);
}

void kc_conns_files_closed(kc_conns *conns, uint32_t account, uint32_t count)
{
    kc_file_closed(conns->engine, account, count);
    kc_conns_uncrowd(conns, account);
}

bool kc_conn_is_crowded(kc_conns *conns, kc_connection *conn)
{
    bool crowded = kc_conns_crowds(conns, conn->account);
    if (crowded) {
        kc_list_add(conns, KC_LIST_CROWDED, conn);
    }
    return crowded;
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
        kc_conns_discard(conns, conn->account, file, false);
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
        kc_conns_discard(conns, conn->account, files->items[i], true);
    }
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
            int32_t code = file == KC_FILE_UNPAID ? KC_EDQUOT : KC_EINVAL;
            files_out->refused = files_out->refused == KC_OK ? code : files_out->refused;
        } else if (files_out->count < KC_MAX_MESSAGE_FILES) {
            files_out->items[files_out->count++] = file;
        } else {
            kc_conns_discard(conns, conn->account, file, true);
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
