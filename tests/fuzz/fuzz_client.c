/* Whatever a daemon says to the C client: it is understood or ends that connection, however the bytes are cut, and
 * nothing is left behind.
 *
 * Input: one byte that says how the stream is cut (0: not at all, else after so many bytes; its highest bit: the bound
 * of answers is narrow), one that says how many files come with the first byte (0 to 3, the first a sealed region of
 * 4096 bytes) and whether memory fails (from its high bits), then what the daemon says after HELLO, while the requests
 * of `ask` are under way (their ids: client_seeds.py).
 * Checked: an operation that ended well has what was asked for, and every byte of it can be read; one that ended with
 * its connection says that it is in doubt; memory and files are as before.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ipc/kc_frame.h"
#include "kcoro/kc_ipc.h"

enum { OPS = 6, REGION_BYTES = 4096, ROOM = 1 << 16, NARROW = 0x80 };

#define MUST(condition) ((condition) ? (void)0 : fail(#condition, __LINE__))

static void fail(const char *what, int line)
{
    fprintf(stderr, "fuzz_client.c:%d: %s\n", line, what);
    abort();
}

static long pieces, until;

static void *take(void *self, size_t bytes)
{
    (void)self;
    if (until-- == 0) {
        return NULL;
    }
    pieces++;
    return malloc(bytes);
}

static void give(void *self, void *memory)
{
    (void)self;
    pieces--;
    free(memory);
}

static int region_file(void)
{
    int file = memfd_create("region", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    MUST(file >= 0 && ftruncate(file, REGION_BYTES) == 0 && fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
    return file;
}

static int open_files(void)
{
    int count = 0;
    for (int fd = 0; fd < 64; fd++) {
        count += fcntl(fd, F_GETFD) >= 0;
    }
    return count;
}

static void say(void *link, const uint8_t *bytes, size_t length, const int *files, uint32_t count)
{
    if (length != 0) {
        MUST(kc_ipc_pair_transport()->send(link, bytes, length, files, count) == (int64_t)length);
    }
}

static void greet(void *link, uint16_t cmd, uint32_t req_id)
{
    uint8_t bytes[128];
    kc_writer writer;
    kc_writer_init(&writer, bytes, sizeof bytes, 1, sizeof bytes);
    kc_frame_begin(&writer, cmd, 0);
    if (req_id != 0) {
        kc_put_u32(&writer, KC_ATTR_REQ_ID, req_id);
        kc_put_i32(&writer, KC_ATTR_RESULT, KC_OK);
        kc_put_u32(&writer, KC_ATTR_CHAN_ID, 1001);
    } else {
        kc_put_u32(&writer, KC_ATTR_ABI_MAJOR, 1);
        kc_put_u32(&writer, KC_ATTR_ABI_MINOR, 1);
        kc_put_u32(&writer, KC_ATTR_CAPS, KC_CAP_DESCRIPTORS | KC_CAP_FILES);
    }
    MUST(kc_frame_finish(&writer) == KC_OK);
    say(link, bytes, writer.length, NULL, 0);
}

static void ask(kc_ipc *ipc, kc_ipc_chan *chan, kc_ipc_op *ops[OPS])
{
    const kc_ipc_payload parts[2] = {{.bytes = "ab", .length = 2}, {.bytes = "c", .length = 1}};
    const kc_ipc_wish acking = {.timeout_ms = -1, .flags = KC_IPC_ACK};
    const kc_ipc_wish signing = {.timeout_ms = -1, .flags = KC_IPC_SENDER};
    const kc_ipc_clause clauses[3] = {
        {.chan = chan}, {.chan = chan, .payload = parts}, {.chan = chan, .flags = KC_IPC_ACK}};
    MUST(kc_ipc_send_begin(chan, parts, 2, NULL, &ops[0]) == KC_OK);
    MUST(kc_ipc_recv_begin(chan, 1, NULL, &ops[1]) == KC_OK);
    MUST(kc_ipc_recv_begin(chan, 3, &acking, &ops[2]) == KC_OK);
    MUST(kc_ipc_recv_begin(chan, 4, NULL, &ops[3]) == KC_OK);
    MUST(kc_ipc_recv_begin(chan, 1, &signing, &ops[4]) == KC_OK);
    MUST(kc_ipc_select_begin(ipc, clauses, 3, NULL, &ops[5]) == KC_OK);
}

static void check_result(int which, const kc_ipc_result *result)
{
    static const uint32_t most[OPS] = {0, 1, 3, 4, 1, 1};
    volatile uint8_t seen = 0;
    MUST(result->message_count <= most[which]);
    MUST(result->code != KC_OK || (result->flags & KC_IPC_IN_DOUBT) == 0);
    if (result->code == KC_OK && which >= 1 && which <= 4) {
        MUST(result->message_count >= 1);
    }
    if (result->code == KC_OK && which == 5) {
        MUST(result->index < 3 && result->message_count == (result->index == 1 ? 0 : 1));
    }
    for (uint32_t i = 0; i < result->message_count; i++) {
        const uint8_t *bytes = result->messages[i].bytes;
        for (size_t at = 0; at < result->messages[i].length; at++) {
            seen = (uint8_t)(seen ^ bytes[at]);
        }
        MUST(which != 2 || result->messages[i].delivery != 0);
        for (uint32_t f = 0; f < result->messages[i].file_count; f++) {
            MUST(fcntl(result->messages[i].files[f], F_GETFD) >= 0);
        }
    }
}

/* Tells what the daemon says, in pieces; the client hears after each. */
static void tell(kc_ipc *ipc, void *link, const uint8_t *data, size_t size, size_t cut, int *files, uint32_t count)
{
    for (size_t at = 0; at < size;) {
        size_t piece = cut == 0 || size - at < cut ? size - at : cut;
        say(link, data + at, piece, files, at == 0 ? count : 0);
        at += piece;
        kc_ipc_step(ipc);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const kc_ipc_memory memory = {take, give, NULL};
    void *links[2];
    kc_ipc *ipc;
    kc_ipc_chan *chan;
    kc_ipc_op *ops[OPS];
    if (size < 2 || size > ROOM / 2) {
        return 0;
    }
    int before = open_files();
    pieces = 0;
    until = -1;
    MUST(kc_ipc_pair_make(links, ROOM) == KC_OK);
    const kc_ipc_config config = {.transport = kc_ipc_pair_transport(), .link = links[0], .memory = &memory,
                                  .max_answer_bytes = (data[0] & NARROW) != 0 ? 48 : 0};
    greet(links[1], KC_CMD_HELLO, 0);
    MUST(kc_ipc_connect(&config, &ipc) == KC_OK);
    greet(links[1], KC_CMD_CHAN_OPEN, 1);
    MUST(kc_ipc_open_id(ipc, 1001, 0, &chan) == KC_OK);
    ask(ipc, chan, ops);
    uint32_t count = data[1] & 3;
    int files[3] = {-1, -1, -1};
    for (uint32_t i = 0; i < count; i++) {
        files[i] = i == 0 ? region_file() : open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    until = data[1] >> 2 == 0 ? -1 : (data[1] >> 2) - 1;
    tell(ipc, links[1], data + 2, size - 2, data[0] & ~NARROW, files, count);
    until = -1;
    for (uint32_t i = 0; i < count; i++) {
        close(files[i]);
    }
    kc_ipc_pair_transport()->close(links[1]);
    for (int i = 0; i < OPS; i++) {
        kc_ipc_result result;
        kc_ipc_op_wait(ops[i], &result);
        check_result(i, &result);
        kc_ipc_result_free(&result);
        kc_ipc_op_free(ops[i]);
    }
    kc_ipc_chan_free(chan);
    kc_ipc_disconnect(ipc);
    MUST(pieces == 0);
    MUST(open_files() == before);
    return 0;
}
