/* loan.c: ranges of a region while they are ours (kcoro/kc_ipc.h).
 *
 * Invariant: a range is given out again only when it came back unsent, or the daemon said that nobody uses it any more.
 * What is in doubt is never used again. That a confirmed send was cancelled does not say that: its message may lie in a
 * dead-letter channel, and whoever received it once may still read it. Of a daemon that
 * does not say whether it was accepted no word comes if it was not; it is asked when the region is to go.
 */
#include "client/kc_client.h"

enum { KC_LOAN_ALIGN_BYTES = 64 };

kc_ipc *kc_loan_ipc(const kc_ipc_loan *loan)
{
    return loan->region->ipc;
}

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
    kc_ipc_region *region = loan->region;
    kc_ipc_loan **at = &region->loans;
    while (*at != loan) {
        at = &(*at)->next;
    }
    *at = loan->next;
    kc_client_give(region->ipc, loan);
    kc_region_left(region);
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
        kc_client_keep(ipc); /* its region may go, and hold the last reference */
        if (loan->state == KC_LOAN_WRITING) {
            kc_loan_remove(loan);
            kc_client_move(ipc);
        }
        kc_client_leave(ipc);
        kc_client_drop(ipc);
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

/* What the caller is told is his stays his: a daemon that freed it before it refused it said nothing. */
void kc_loan_settle(kc_ipc_loan *loan, bool gone, bool unsure)
{
    if (gone && loan->freed) {
        kc_loan_remove(loan);
        return;
    }
    loan->state = gone ? KC_LOAN_SENT : KC_LOAN_WRITING;
    loan->freed = false;
    loan->unsure = unsure;
    if (unsure) {
        kc_region_left(loan->region);
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
