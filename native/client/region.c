/* region.c: shared memory of our own: made, sealed, made known, dropped (kcoro/kc_ipc.h). */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "client/kc_client.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

/* --- memory ------------------------------------------------------------------------------------------------------- */

/* Filling a file that is longer than all memory ends with nobody's memory left, not with an error: it is not begun. */
static bool kc_region_fits(size_t bytes)
{
    struct sysinfo machine;
    return sysinfo(&machine) != 0 || bytes / machine.mem_unit <= machine.totalram + machine.totalswap;
}

static int kc_region_file(size_t bytes)
{
    unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    int file = memfd_create("kcoro-region", flags | MFD_NOEXEC_SEAL);
    if (file < 0 && errno == EINVAL) {
        file = memfd_create("kcoro-region", flags); /* a kernel before 6.3 */
    }
    if (file >= 0 && posix_fallocate(file, 0, (off_t)bytes) != 0) {
        close(file);
        file = -1;
    }
    return file;
}

/* Sealed once it is mapped: this mapping is the only one that may write. */
static int kc_region_map(kc_ipc_region *region, int *file_out)
{
    int file = kc_region_file(region->bytes);
    if (file < 0) {
        return KC_ENOMEM;
    }
    void *memory = mmap(NULL, region->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (memory == MAP_FAILED) {
        close(file);
        return KC_ENOMEM;
    }
    region->memory = memory;
    *file_out = file;
    int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
    return fcntl(file, F_ADD_SEALS, seals) == 0 ? KC_OK : KC_ENOTSUP;
}

static void kc_region_unmake(kc_ipc_region *region)
{
    kc_ipc *ipc = region->ipc;
    while (region->loans != NULL) {
        kc_ipc_loan *loan = region->loans;
        region->loans = loan->next;
        kc_client_give(ipc, loan);
    }
    if (region->memory != NULL) {
        munmap(region->memory, region->bytes);
    }
    kc_client_give(ipc, region);
    kc_client_drop(ipc);
}

/* --- making and dropping ------------------------------------------------------------------------------------------ */

static int kc_region_register(kc_ipc_region *region, int file, kc_stop *stop)
{
    kc_writer writer;
    kc_ipc_op *op = kc_control_make(region->ipc, NULL, KC_CMD_REGION_ADD, 16, &writer);
    if (op == NULL) {
        return KC_ENOMEM;
    }
    kc_put_u64(&writer, KC_ATTR_SIZE, region->bytes);
    op->out[3] = 1; /* files of the frame */
    int code = kc_op_files(op, &file, 1);
    if (code == KC_OK) {
        code = kc_control_run(op, &writer, false, stop);
    }
    region->id = op->reply.region;
    kc_op_done(op);
    return code;
}

static int kc_region_enlist(kc_ipc_region *region)
{
    kc_ipc *ipc = region->ipc;
    if (!kc_client_enter(ipc)) {
        return KC_EBADF;
    }
    region->next = ipc->regions;
    ipc->regions = region;
    kc_client_leave(ipc);
    return KC_OK;
}

int kc_unless_region_make(kc_ipc *ipc, size_t bytes, kc_stop *stop, kc_ipc_region **region_out)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    int file = -1;
    *region_out = NULL;
    if (bytes == 0 || bytes > SIZE_MAX / 4) {
        return KC_EINVAL;
    }
    if ((ipc->caps & KC_CAP_DESCRIPTORS) == 0) {
        return KC_ENOTSUP;
    }
    if (!kc_region_fits(bytes)) {
        return KC_ENOMEM;
    }
    kc_ipc_region *region = kc_client_take(ipc, sizeof *region);
    if (region == NULL) {
        return KC_ENOMEM;
    }
    kc_client_keep(ipc);
    region->ipc = ipc;
    region->bytes = (bytes + page - 1) / page * page;
    int code = kc_region_map(region, &file);
    if (code == KC_OK) {
        code = kc_region_register(region, file, stop);
    }
    if (code == KC_OK) {
        code = kc_region_enlist(region);
    }
    if (file >= 0) {
        close(file);
    }
    if (code != KC_OK) {
        kc_region_unmake(region);
        return code;
    }
    *region_out = region;
    return KC_OK;
}

KC_API int kc_ipc_region_make(kc_ipc *ipc, size_t bytes, kc_ipc_region **region_out)
{
    return kc_unless_region_make(ipc, bytes, NULL, region_out);
}

/* KC_OK: nothing may be taken from it from now on. */
static int kc_region_claim(kc_ipc_region *region)
{
    int code = region->dropping ? KC_EBUSY : KC_OK;
    for (const kc_ipc_loan *loan = region->loans; loan != NULL; loan = loan->next) {
        code = loan->state == KC_LOAN_SENT && !loan->freed ? code : KC_EBUSY;
    }
    region->dropping = region->dropping || code == KC_OK;
    return code;
}

static kc_ipc_op *kc_region_drop_make(kc_ipc_region *region, kc_writer *writer)
{
    kc_ipc_op *op = kc_control_make(region->ipc, NULL, KC_CMD_REGION_DROP, 16, writer);
    if (op != NULL) {
        kc_put_u64(writer, KC_ATTR_REGION_ID, region->id);
    }
    return op;
}

static int kc_region_drop(kc_ipc_region *region, kc_stop *stop)
{
    kc_writer writer;
    kc_ipc_op *op = kc_region_drop_make(region, &writer);
    int code = op == NULL ? KC_ENOMEM : kc_control_done(op, &writer, stop);
    return code == KC_ENOENT ? KC_OK : code; /* the daemon does not know it: it is dropped */
}

static void kc_region_delist(kc_ipc_region *region)
{
    kc_ipc_region **at = &region->ipc->regions;
    while (*at != NULL && *at != region) {
        at = &(*at)->next;
    }
    if (*at != NULL) {
        *at = region->next;
    }
}

int kc_unless_region_free(kc_ipc_region *region, kc_stop *stop)
{
    int code = KC_OK;
    if (region == NULL) {
        return KC_OK;
    }
    kc_ipc *ipc = region->ipc;
    if (!kc_client_enter(ipc)) {
        kc_region_unmake(region); /* in a child the parent goes on with it */
        return KC_EBADF;
    }
    code = kc_region_claim(region);
    bool claimed = code == KC_OK;
    bool alive = ipc->ended == KC_OK;
    kc_client_leave(ipc);
    if (code == KC_OK && alive) {
        code = kc_region_drop(region, stop);
    }
    kc_client_enter(ipc);
    if (ipc->ended != KC_OK && region->dropping) {
        code = KC_OK;
    }
    if (code == KC_OK) {
        kc_region_delist(region);
    } else if (alive && claimed) {
        region->dropping = false;
    }
    kc_client_leave(ipc);
    if (code == KC_OK) {
        kc_region_unmake(region);
    }
    return code;
}

KC_API int kc_ipc_region_free(kc_ipc_region *region)
{
    return kc_unless_region_free(region, NULL);
}

/* --- what is abandoned -------------------------------------------------------------------------------------------- */

/* What was sent is nobody's with the connection's end: receivers have mappings of their own. What may never have been
 * accepted does not count: the daemon says KC_EBUSY if it was, and then that it is free. */
static bool kc_region_is_used(const kc_ipc_region *region)
{
    bool used = false;
    for (const kc_ipc_loan *loan = region->loans; loan != NULL; loan = loan->next) {
        used = used || loan->state != KC_LOAN_SENT || (region->ipc->ended == KC_OK && !loan->unsure);
    }
    return used;
}

/* Without memory for it the region stays until the connection ends, or another loan of it does. */
static void kc_region_drop_later(kc_ipc_region *region)
{
    kc_writer writer;
    kc_ipc_op *op = kc_region_drop_make(region, &writer);
    int code = op == NULL ? KC_ENOMEM : kc_ask_finish(&writer, op);
    if (code == KC_OK) {
        code = kc_op_launch(op);
    }
    if (code == KC_OK) {
        op->region = region;
        region->dropping = true;
        region->again = false;
    } else {
        kc_op_unmake(op);
    }
}

void kc_region_left(kc_ipc_region *region)
{
    region->again = true;
    if (!region->abandoned || region->dropping || kc_region_is_used(region)) {
        return;
    }
    if (region->ipc->ended == KC_OK) {
        kc_region_drop_later(region);
    } else {
        kc_region_delist(region);
        kc_region_unmake(region);
    }
}

void kc_region_dropped(kc_ipc_region *region, int code)
{
    region->dropping = false;
    if (code == KC_OK || code == KC_ENOENT) {
        kc_region_delist(region);
        kc_region_unmake(region);
    } else if (region->ipc->ended != KC_OK || region->again) {
        kc_region_left(region);
    }
}

void kc_regions_end(kc_ipc *ipc)
{
    kc_ipc_region *next;
    for (kc_ipc_region *region = ipc->regions; region != NULL; region = next) {
        next = region->next;
        kc_region_left(region);
    }
}

KC_API void kc_ipc_region_abandon(kc_ipc_region *region)
{
    kc_ipc *ipc = region != NULL ? region->ipc : NULL;
    if (ipc == NULL) {
        return;
    }
    if (!kc_client_enter(ipc)) {
        if (region->loans == NULL) {
            kc_region_unmake(region); /* in a child the parent goes on with it */
        }
        return;
    }
    kc_client_keep(ipc);
    region->abandoned = true;
    kc_region_left(region);
    kc_client_move(ipc);
    kc_client_leave(ipc);
    kc_client_drop(ipc);
}
