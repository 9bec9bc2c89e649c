/* region.c: shared memory of our own, and loans of it (kcoro/kc_ipc.h).
 *
 * Invariants: loans of a region stand in the order of their offsets and do not overlap; a range is given out again only
 * when it came back unsent, or the daemon said that nobody uses it any more. What is in doubt is never used again.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client/kc_client.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

enum { KC_LOAN_ALIGN_BYTES = 64 };
enum kc_loan_state { KC_LOAN_WRITING, KC_LOAN_SENDING, KC_LOAN_SENT };

struct kc_ipc_loan {
    kc_ipc_region *region;
    kc_ipc_loan *next;
    uint64_t offset;
    uint64_t length; /* as it was asked for */
    uint64_t room;   /* what it takes */
    enum kc_loan_state state;
    bool freed; /* the daemon's word came before the answer to the send */
};

struct kc_ipc_region {
    kc_ipc *ipc;
    kc_ipc_region *next; /* in kc_ipc.regions */
    uint64_t id;
    uint8_t *memory;
    size_t bytes;
    kc_ipc_loan *loans;
    bool dropping;
};

kc_ipc *kc_loan_ipc(const kc_ipc_loan *loan)
{
    return loan->region->ipc;
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

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

static int kc_region_register(kc_ipc_region *region, int file)
{
    kc_writer writer;
    kc_ipc_op *op = kc_control_make(region->ipc, NULL, KC_CMD_REGION_ADD, 16, &writer);
    if (op == NULL) {
        return KC_ENOMEM;
    }
    kc_put_u64(&writer, KC_ATTR_SIZE, region->bytes);
    op->out[3] = 1; /* files of the frame */
    int code = kc_op_files(op, &file, 1);
    if (code != KC_OK) {
        kc_op_unmake(op);
        return code;
    }
    code = kc_control_ask(op, &writer, false);
    if (code != KC_OK) {
        return code;
    }
    code = kc_ipc_op_wait(op, NULL);
    region->id = op->reply.region;
    kc_op_finish(op, NULL);
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

KC_API int kc_ipc_region_make(kc_ipc *ipc, size_t bytes, kc_ipc_region **region_out)
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
    kc_ipc_region *region = kc_client_take(ipc, sizeof *region);
    if (region == NULL) {
        return KC_ENOMEM;
    }
    kc_client_keep(ipc);
    region->ipc = ipc;
    region->bytes = (bytes + page - 1) / page * page;
    int code = kc_region_map(region, &file);
    if (code == KC_OK) {
        code = kc_region_register(region, file);
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

static int kc_region_drop(kc_ipc_region *region)
{
    kc_writer writer;
    kc_ipc_op *op = kc_control_make(region->ipc, NULL, KC_CMD_REGION_DROP, 16, &writer);
    if (op == NULL) {
        return KC_ENOMEM;
    }
    kc_put_u64(&writer, KC_ATTR_REGION_ID, region->id);
    int code = kc_control_done(op, &writer);
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

KC_API int kc_ipc_region_free(kc_ipc_region *region)
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
    bool alive = ipc->ended == KC_OK;
    kc_client_leave(ipc);
    if (code == KC_OK && alive) {
        code = kc_region_drop(region);
    }
    kc_client_enter(ipc);
    if (ipc->ended != KC_OK && region->dropping) {
        code = KC_OK;
    }
    if (code == KC_OK) {
        kc_region_delist(region);
    } else if (alive) {
        region->dropping = false;
    }
    kc_client_leave(ipc);
    if (code == KC_OK) {
        kc_region_unmake(region);
    }
    return code;
}

/* --- loans -------------------------------------------------------------------------------------------------------- */

/* Where so many bytes fit: the place in the list, and the offset. */
static kc_ipc_loan **kc_region_gap(kc_ipc_region *region, uint64_t room, uint64_t *offset_out)
{
    kc_ipc_loan **at = &region->loans;
    uint64_t from = 0;
    while (*at != NULL && (*at)->offset - from < room) {
        from = (*at)->offset + (*at)->room;
        at = &(*at)->next;
    }
    *offset_out = from;
    return region->bytes - from < room ? NULL : at;
}

static void kc_loan_remove(kc_ipc_loan *loan)
{
    kc_ipc_loan **at = &loan->region->loans;
    while (*at != loan) {
        at = &(*at)->next;
    }
    *at = loan->next;
    kc_client_give(loan->region->ipc, loan);
}

static int kc_loan_place(kc_ipc_region *region, kc_ipc_loan *loan)
{
    kc_client_step(region->ipc); /* something may have been freed */
    kc_ipc_loan **at = region->dropping ? NULL : kc_region_gap(region, loan->room, &loan->offset);
    if (at == NULL) {
        return KC_ENOSPC;
    }
    loan->next = *at;
    *at = loan;
    return KC_OK;
}

KC_API int kc_ipc_loan_take(kc_ipc_region *region, size_t length, kc_ipc_loan **loan_out)
{
    kc_ipc *ipc = region->ipc;
    *loan_out = NULL;
    if (length == 0) {
        return KC_EINVAL;
    }
    if (length > region->bytes) {
        return KC_ENOSPC;
    }
    kc_ipc_loan *loan = kc_client_take(ipc, sizeof *loan);
    if (loan == NULL) {
        return KC_ENOMEM;
    }
    loan->region = region;
    loan->length = length;
    loan->room = (length + KC_LOAN_ALIGN_BYTES - 1) / KC_LOAN_ALIGN_BYTES * KC_LOAN_ALIGN_BYTES;
    int code = KC_EBADF;
    if (kc_client_enter(ipc)) {
        code = kc_loan_place(region, loan);
        kc_client_leave(ipc);
    }
    if (code != KC_OK) {
        kc_client_give(ipc, loan);
        return code;
    }
    *loan_out = loan;
    return KC_OK;
}

KC_API void *kc_ipc_loan_bytes(kc_ipc_loan *loan)
{
    return loan->region->memory + loan->offset;
}

KC_API void kc_ipc_loan_give(kc_ipc_loan *loan)
{
    kc_ipc *ipc = loan != NULL ? loan->region->ipc : NULL;
    if (ipc != NULL && kc_client_enter(ipc)) {
        if (loan->state == KC_LOAN_WRITING) {
            kc_loan_remove(loan);
        }
        kc_client_leave(ipc);
    }
}

int kc_loan_begin(kc_ipc_loan *loan, size_t length, kc_desc_value *range_out)
{
    if (loan->state != KC_LOAN_WRITING || loan->region->dropping) {
        return KC_EBUSY;
    }
    if (length > loan->length) {
        return KC_EINVAL;
    }
    loan->state = KC_LOAN_SENDING;
    *range_out = (kc_desc_value){.region = loan->region->id, .offset = loan->offset,
                                 .length = length != 0 ? length : loan->length};
    return KC_OK;
}

void kc_loan_settle(kc_ipc_loan *loan, int outcome)
{
    if (loan->freed) {
        kc_loan_remove(loan); /* so it was sent, whatever the answer */
    } else {
        loan->state = outcome == KC_LOAN_REFUSED ? KC_LOAN_WRITING : KC_LOAN_SENT;
    }
}

void kc_region_freed(kc_ipc *ipc, const kc_desc_value *range)
{
    for (kc_ipc_region *region = ipc->regions; region != NULL; region = region->next) {
        kc_ipc_loan *loan = region->id == range->region ? region->loans : NULL;
        while (loan != NULL && loan->offset != range->offset) {
            loan = loan->next;
        }
        if (loan != NULL && loan->state == KC_LOAN_SENT) {
            kc_loan_remove(loan);
            return;
        }
        if (loan != NULL && loan->state == KC_LOAN_SENDING) {
            loan->freed = true;
            return;
        }
    }
}
