/* input.c: what comes to a connection (kc_client.h): bytes and files in, whole frames out.
 *
 * Invariants: in_length <= KC_CLIENT_INPUT_BYTES; a frame is looked at when its last byte is there; its files are those
 * that came first and no frame before it named. However the stream is cut, the frames are the same.
 */
#include <string.h>

#include "client/kc_client.h"

static kc_client_frame *kc_client_frame_make(kc_ipc *ipc, const kc_frame_header *header)
{
    kc_client_frame *frame = ipc->memory.take(ipc->memory.self, sizeof *frame + header->length);
    if (frame != NULL) {
        atomic_init(&frame->refs, 1);
        frame->ipc = ipc;
        frame->header = *header;
        frame->file_count = 0;
        kc_client_keep(ipc);
    }
    return frame;
}

void kc_client_frame_drop(kc_client_frame *frame)
{
    if (frame != NULL && atomic_fetch_sub_explicit(&frame->refs, 1, memory_order_acq_rel) == 1) {
        kc_ipc *ipc = frame->ipc;
        kc_client_close_files(frame->files, frame->file_count);
        kc_client_give(ipc, frame);
        kc_client_drop(ipc);
    }
}

/* Moves the frame's files from the front of what came. */
static int kc_input_attach(kc_ipc *ipc, kc_client_frame *frame)
{
    uint32_t count = frame->header.files;
    if (count > ipc->file_count || count > KC_MAX_MESSAGE_FILES) {
        return KC_EPROTO;
    }
    memcpy(frame->files, ipc->files, count * sizeof *ipc->files);
    frame->file_count = count;
    ipc->file_count -= count;
    memmove(ipc->files, ipc->files + count, ipc->file_count * sizeof *ipc->files);
    return KC_OK;
}

static int kc_input_whole(kc_ipc *ipc, kc_client_frame *frame)
{
    ipc->frames_in++;
    int code = kc_input_attach(ipc, frame);
    if (code == KC_OK) {
        code = kc_judge(ipc, frame);
    }
    kc_client_frame_drop(frame);
    return code;
}

static int kc_input_grow(kc_ipc *ipc, const kc_frame_header *header, const uint8_t *bytes, size_t n)
{
    ipc->growing = kc_client_frame_make(ipc, header);
    if (ipc->growing == NULL) {
        return KC_ENOMEM;
    }
    memcpy(ipc->growing->payload, bytes, n);
    ipc->growing_length = n;
    return KC_OK;
}

/* The frame at bytes[0..n): how many bytes it was, 0 if it is not whole, or why the connection ends. */
static int64_t kc_input_frame(kc_ipc *ipc, const uint8_t *bytes, size_t n)
{
    kc_frame_header header;
    int code = kc_frame_head(bytes, n, 1, ipc->transport.max_frame_bytes, &header);
    if (code != KC_OK) {
        return code > 0 ? 0 : code;
    }
    size_t whole = KC_FRAME_HEADER_BYTES + (size_t)header.length;
    if (whole > KC_CLIENT_INPUT_BYTES) {
        code = kc_input_grow(ipc, &header, bytes + KC_FRAME_HEADER_BYTES, n - KC_FRAME_HEADER_BYTES);
        return code == KC_OK ? (int64_t)n : code;
    }
    if (n < whole) {
        return 0;
    }
    kc_client_frame *frame = kc_client_frame_make(ipc, &header);
    if (frame == NULL) {
        return KC_ENOMEM;
    }
    memcpy(frame->payload, bytes + KC_FRAME_HEADER_BYTES, header.length);
    code = kc_input_whole(ipc, frame);
    return code == KC_OK ? (int64_t)whole : code;
}

static int kc_input_parse(kc_ipc *ipc)
{
    size_t at = 0;
    int64_t taken = 1;
    while (taken > 0 && ipc->growing == NULL && at < ipc->in_length) {
        taken = kc_input_frame(ipc, ipc->in + at, ipc->in_length - at);
        at += taken > 0 ? (size_t)taken : 0;
    }
    ipc->in_length -= at;
    memmove(ipc->in, ipc->in + at, ipc->in_length);
    if (taken >= 0 && ipc->in_length == 0 && ipc->growing == NULL && ipc->file_count != 0) {
        return KC_EPROTO; /* files that no frame names */
    }
    return taken < 0 ? (int)taken : KC_OK;
}

static int kc_input_take(kc_ipc *ipc, size_t came)
{
    if (ipc->growing == NULL) {
        ipc->in_length += came;
        return kc_input_parse(ipc);
    }
    ipc->growing_length += came;
    if (ipc->growing_length < ipc->growing->header.length) {
        return KC_OK;
    }
    kc_client_frame *frame = ipc->growing;
    ipc->growing = NULL;
    int code = kc_input_whole(ipc, frame);
    return code == KC_OK ? kc_input_parse(ipc) : code;
}

bool kc_input_move(kc_ipc *ipc)
{
    bool growing = ipc->growing != NULL;
    uint8_t *to = growing ? ipc->growing->payload + ipc->growing_length : ipc->in + ipc->in_length;
    size_t room = growing ? ipc->growing->header.length - ipc->growing_length
                          : KC_CLIENT_INPUT_BYTES - ipc->in_length;
    uint32_t files = KC_CLIENT_FILES - ipc->file_count;
    int64_t came = ipc->transport.receive(ipc->link, to, room, ipc->files + ipc->file_count, &files);
    if (came == KC_EAGAIN && !ipc->deaf) {
        return false;
    }
    if (came == KC_EAGAIN) {
        came = KC_ECONNRESET; /* nothing more can be asked, and all that was said is read */
    }
    ipc->file_count += files;
    int code = came > 0 ? kc_input_take(ipc, (size_t)came) : came == 0 ? KC_ECONNRESET : (int)came;
    if (code != KC_OK) {
        kc_client_end(ipc, code);
    }
    return true;
}
