/* fuzz_files.h: open files and regions of a program: who made them, who has them, and that each is closed exactly once.
 *
 * A file has a serial number, from 1 in each run; the element sent with files carries the first one's (fuzz_reader.h
 * compares). The table of live ones is exact: only what is in it may be given out or closed, and at the end nothing is.
 */
#ifndef FUZZ_FILES_H
#define FUZZ_FILES_H

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz_world.h"

enum { FILES = 160 /* one run makes no more */, FD_MOST = 512, REGION_BYTES = 4096 };

static uint32_t live_serial[FD_MOST]; /* by descriptor; 0: not one of ours */
static uint32_t live_count;

/* Descriptors that this process has open. */
static uint32_t count_open(void)
{
    uint32_t count = 0;
    for (int fd = 0; fd < FD_MOST; fd++) {
        count += fcntl(fd, F_GETFD) != -1;
    }
    return count;
}

/* Memory that is fit to be a region: made once, and given out as duplicates. */
static int fit_memory(void)
{
    static int file;
    if (file == 0) {
        file = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        MUST(file > 0 && posix_fallocate(file, 0, REGION_BYTES) == 0);
        MUST(fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == 0);
    }
    return file;
}

static int any_file(void)
{
    static int file;
    if (file == 0) {
        file = open("/dev/null", O_RDONLY | O_CLOEXEC);
        MUST(file > 0);
    }
    return file;
}

static int32_t make_file(world *w, int of)
{
    int file = fcntl(of, F_DUPFD_CLOEXEC, 3);
    MUST(file >= 0 && file < FD_MOST && live_serial[file] == 0);
    live_serial[file] = ++w->files;
    live_count++;
    return file;
}

static void close_file(int32_t file)
{
    MUST(file >= 0 && file < FD_MOST && live_serial[file] != 0); /* else somebody closes it twice */
    live_serial[file] = 0;
    live_count--;
    MUST(close(file) == 0);
}

/* What a thread of the daemon does. */
static void close_unwanted(const world *w)
{
    int32_t files[KC_MAX_MESSAGE_FILES];
    uint32_t account = 0;
    for (uint32_t n; (n = kc_pump_take_files(w->pump, files, KC_MAX_MESSAGE_FILES, &account)) != 0;) {
        for (uint32_t i = 0; i < n; i++) {
            close_file(files[i]);
        }
        kc_pump_files_closed(w->pump, account, n);
    }
}

static void give_file(const world *w, int conn, int32_t file)
{
    if (kc_conn_feed_file(w->pump, w->conns[conn], file) != KC_OK) {
        close_file(file); /* it is still ours */
    }
}

static uint32_t serial_of(int32_t file)
{
    MUST(file >= 0 && file < FD_MOST && live_serial[file] != 0); /* else it was closed before it was delivered */
    return live_serial[file];
}

enum { SERIAL_BITS = 16, SERIAL_MASK = (1 << SERIAL_BITS) - 1 };

/* What an element says of the files beside it; 0 without files. */
static uint32_t sign(uint32_t first_serial, uint32_t count)
{
    return count == 0 ? 0 : first_serial | count << SERIAL_BITS;
}

/* ---- regions ---- */

static void drop_region(const world *w, uint32_t which, uint32_t how)
{
    (void)kc_region_drop(w->engine, w->regions[which % REGIONS], how);
}

/* The ninth takes the place of the first, whose owner then is as good as gone. */
static void add_region(world *w, kc_conn owner, int32_t file)
{
    const kc_region_config config = {.account = w->account, .file = file, .size_bytes = REGION_BYTES, .user = owner};
    kc_refusal refusal;
    drop_region(w, w->region_count, KC_REGION_LEAVE);
    if (kc_region_add(w->engine, &config, &w->regions[w->region_count % REGIONS], &refusal) == KC_OK) {
        w->region_count++;
    } else if (file >= 0) {
        kc_pump_discard_file(w->pump, w->account, file);
    }
}

/* What Python does with a REGION_ADD. */
static void judge_region(world *w, const kc_control *control, uint8_t how)
{
    int32_t file;
    const char *why;
    while (kc_pump_control_file(w->pump, control->conn, &file) == KC_OK) {
        MUST(serial_of(file) != 0);
        if (kc_region_judge(file, (how & 3) == 3 ? 1U : (uint32_t)REGION_BYTES, &why) == KC_OK) {
            add_region(w, control->conn, file);
        } else if ((how & 32) != 0) {
            close_file(file);
        } else {
            kc_pump_discard_file(w->pump, w->account, file);
        }
    }
}

static void take_ends(const world *w)
{
    kc_conn owner;
    kc_ticket region;
    kc_region_info info;
    while (kc_pump_region_ended(w->pump, &owner, &region) == KC_OK) {
        MUST(kc_region_look(w->engine, region, &info) == KC_ENOENT);
    }
}

#endif
