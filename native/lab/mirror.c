/* mirror.c: turns of records, and the channel between them (kc_mirror.h). */
#include "kc_mirror.h"
#include "kcoro/kc_types.h"

static void put(kc_mirror_list *list, kc_mirror_ticket ticket) {
    list->tickets[(list->head + list->count++) % KC_MIRROR_RECORDS] = ticket;
}

static kc_mirror_ticket take(kc_mirror_list *list) {
    kc_mirror_ticket ticket = list->tickets[list->head];

    list->head = (list->head + 1) % KC_MIRROR_RECORDS;
    list->count--;
    return ticket;
}

int kc_mirror_spawn(kc_mirror *mirror, void (*function)(void *arg), void *arg) {
    const kc_vm_token program[] = {
        {.op = KC_VM_LOAD_IMM, .dst = 0, .imm = (uintptr_t)function},
        {.op = KC_VM_LOAD_IMM, .dst = 1, .imm = (uintptr_t)arg},
        {.op = KC_VM_END, .imm = (uintptr_t)kc_vm_call},
    };
    uint32_t at = 0;
    int rc = KC_ENOMEM;

    while (at < KC_MIRROR_RECORDS && mirror->records[at].live)
        at++;
    if (at < KC_MIRROR_RECORDS) {
        kc_mirror_record *record = &mirror->records[at];
        rc = kc_vm_stage(&record->vm, program, sizeof program / sizeof *program);
        if (rc == KC_OK) {
            record->live = true;
            put(&mirror->ready, (kc_mirror_ticket){at, record->life});
        }
    }
    return rc;
}

void kc_mirror_wake(kc_mirror *mirror, kc_mirror_ticket ticket) {
    if (mirror->records[ticket.record].life == ticket.life)
        put(&mirror->ready, ticket);
}

uint32_t kc_mirror_run(kc_mirror *mirror) {
    uint32_t living = 0;

    while (mirror->ready.count != 0) {
        mirror->self = take(&mirror->ready);
        kc_mirror_record *record = &mirror->records[mirror->self.record];
        kc_vm_resume(&record->vm);
        if (mirror->turn == KC_MIRROR_AGAIN) {
            put(&mirror->ready, mirror->self);
        } else if (mirror->turn == KC_MIRROR_DONE) {
            record->live = false;
            record->life++;
        }
    }
    for (uint32_t at = 0; at < KC_MIRROR_RECORDS; at++)
        living += mirror->records[at].live;
    return living;
}

static void wake_first(kc_mirror *mirror, kc_mirror_list *waiting) {
    if (waiting->count != 0)
        kc_mirror_wake(mirror, take(waiting));
}

int kc_mirror_send(kc_mirror *mirror, kc_mirror_channel *channel, const kc_mirror_desc *desc) {
    int rc = KC_EAGAIN;

    if (channel->count < channel->capacity) {
        channel->slots[(channel->head + channel->count++) % channel->capacity] = *desc;
        wake_first(mirror, &channel->receivers);
        rc = KC_OK;
    } else {
        put(&channel->senders, mirror->self);
    }
    return rc;
}

int kc_mirror_recv(kc_mirror *mirror, kc_mirror_channel *channel, kc_mirror_desc *desc_out) {
    int rc = KC_EPIPE;

    if (channel->count != 0) {
        *desc_out = channel->slots[channel->head];
        channel->head = (channel->head + 1) % channel->capacity;
        channel->count--;
        wake_first(mirror, &channel->senders);
        rc = KC_OK;
    } else if (!channel->closed) {
        put(&channel->receivers, mirror->self);
        rc = KC_EAGAIN;
    }
    return rc;
}

void kc_mirror_close(kc_mirror *mirror, kc_mirror_channel *channel) {
    channel->closed = true;
    while (channel->receivers.count != 0)
        wake_first(mirror, &channel->receivers);
}
