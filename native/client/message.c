/* message.c: what a receiver has, and how it is given back (kcoro/kc_ipc.h). */
#include "client/kc_client.h"

static void kc_message_release(kc_ipc *ipc, const kc_ipc_message *message)
{
    if (!kc_client_enter(ipc)) {
        kc_mapping_drop(ipc, message->mapping); /* a child has its own view of it */
        return;
    }
    ipc->leases--;
    ipc->owed[ipc->owed_count++] = message->lease;
    kc_mapping_drop(ipc, message->mapping);
    kc_client_move(ipc);
    kc_client_leave(ipc);
}

KC_API void kc_ipc_message_free(kc_ipc_message *message)
{
    kc_client_frame *frame = message->frame;
    if (frame != NULL) {
        kc_client_close_files(message->files, message->file_count);
        if (message->mapping != NULL) {
            kc_message_release(frame->ipc, message);
        }
        kc_client_frame_drop(frame);
    }
    *message = (kc_ipc_message){0};
}

KC_API void kc_ipc_result_free(kc_ipc_result *result)
{
    kc_ipc *ipc = result->owner;
    for (uint32_t i = 0; i < result->message_count; i++) {
        kc_ipc_message_free(&result->messages[i]);
    }
    if (ipc != NULL) {
        kc_client_give(ipc, result->messages);
        kc_client_drop(ipc);
    }
    *result = (kc_ipc_result){.index = UINT32_MAX};
}
