/* pump_reply.c: the replies that carry no message: codes, what explains them, counts. In 1.0 nothing that its client
 * does not know. How a reply begins and ends is kc_pump_reply.h; those with messages are pump_reply_items.c. */
#include "ipc/kc_pump_reply.h"

#include <string.h>

kc_answer kc_answer_to(uint16_t cmd, uint32_t req_id)
{
    if (cmd == KC_CMD_CHAN_TRY_SEND) {
        cmd = KC_CMD_CHAN_SEND;
    } else if (cmd == KC_CMD_CHAN_TRY_RECV) {
        cmd = KC_CMD_CHAN_RECV;
    }
    return (kc_answer){.cmd = cmd, .req_id = req_id, .index = -1};
}

/* The most frequent reply by far, written where it will stand. */
void kc_reply_short(kc_pump *pump, kc_connection *conn, uint16_t cmd, uint32_t req_id, int32_t code)
{
    uint8_t *at = kc_output_room(&pump->conns, conn, KC_REPLY_SHORT_BYTES);
    if (at != NULL) {
        kc_store_head(at, cmd, KC_REPLY_SHORT_BYTES, req_id, code);
        (void)kc_output_add(&pump->conns, conn, KC_REPLY_SHORT_BYTES, false);
    }
}

/* Of three numbers at most, it needs no writer. */
void kc_reply_plain(kc_pump *pump, kc_connection *conn, kc_answer answer, int32_t code)
{
    uint8_t frame[KC_REPLY_HEAD_BYTES];
    uint32_t n = KC_FRAME_HEADER_BYTES;
    if (answer.req_id != 0) {
        n += kc_store_scalar(frame + n, KC_ATTR_REQ_ID, answer.req_id);
    }
    n += kc_store_scalar(frame + n, KC_ATTR_RESULT, (uint32_t)code);
    if (answer.index >= 0) {
        n += kc_store_scalar(frame + n, KC_ATTR_INDEX, (uint32_t)answer.index);
    }
    kc_store_u16(frame, answer.cmd);
    kc_store_u16(frame + 2, 0);
    kc_store_u32(frame + 4, n - KC_FRAME_HEADER_BYTES);
    (void)kc_output_append(&pump->conns, conn, frame, n, conn->minor == 0);
}

static void kc_put_text(kc_writer *writer, uint16_t type, const char *text)
{
    if (text != NULL) {
        kc_put_bytes(writer, type, text, (uint32_t)strlen(text));
    }
}

/* The destroyer's own words, else the standard ones. */
static void kc_put_reason(const kc_pump *pump, kc_writer *writer, const kc_result *result)
{
    char text[KC_MAX_TEXT_BYTES];
    bool destroyed = result->reason == KC_REASON_DESTROYED || result->reason == KC_REASON_SHUTDOWN;
    int n = destroyed && result->chan != 0 ? kc_chan_reason(pump->conns.engine, result->chan, text, sizeof text) : 0;
    if (n > 0) {
        kc_put_bytes(writer, KC_ATTR_REASON, text, (uint32_t)n);
    } else {
        kc_put_text(writer, KC_ATTR_REASON, kc_reason_words(result->reason));
    }
}

static void kc_put_refusal(kc_writer *writer, const kc_refusal *refusal)
{
    kc_quota_words words = kc_quota_words_of(refusal->quota);
    if (words.name != NULL) {
        kc_put_text(writer, KC_ATTR_QUOTA_NAME, words.name);
        kc_put_u64(writer, KC_ATTR_QUOTA_LIMIT, refusal->limit);
        kc_put_u64(writer, KC_ATTR_QUOTA_USAGE, refusal->usage);
        kc_put_text(writer, KC_ATTR_QUOTA_SETTING, words.setting);
    }
}

/* Older clients skip it; who does not find it knows as much as before there was any. */
static void kc_put_fate(kc_writer *writer, kc_answer answer)
{
    if (answer.fate != KC_FATE_UNSAID && writer->minor != 0) {
        kc_put_u32(writer, KC_ATTR_FLAGS, answer.fate == KC_FATE_TAKEN ? KC_FLAG_SENT_TAKEN : 0);
    }
}

static void kc_put_explanation(const kc_pump *pump, kc_writer *writer, int32_t code, const kc_result *result)
{
    if (result == NULL || writer->minor == 0) {
        return;
    }
    if (code == KC_ECANCELED) {
        kc_put_reason(pump, writer, result);
    } else if (code == KC_EDQUOT || code == KC_ENOMEM) {
        kc_put_refusal(writer, &result->refusal);
    }
}

static void kc_reply_note(kc_pump *pump, const kc_connection *conn, int32_t code, const kc_result *result)
{
    if (result != NULL && (code == KC_EDQUOT || code == KC_ENOMEM)) {
        kc_pump_note(pump, conn, code, &result->refusal);
    }
}

void kc_reply_error(kc_pump *pump, kc_connection *conn, kc_answer answer, int32_t code, const kc_result *result)
{
    kc_writer writer;
    kc_reply_note(pump, conn, code, result);
    if (kc_reply_begin(pump, conn, answer, code, KC_REPLY_ERROR_BYTES, &writer)) {
        kc_put_fate(&writer, answer);
        kc_put_explanation(pump, &writer, code, result);
        kc_reply_end(pump, conn, &writer);
    }
}

void kc_reply_because(kc_pump *pump, kc_connection *conn, kc_answer answer, int32_t code, const char *reason)
{
    kc_writer writer;
    if (conn->minor == 0) {
        kc_reply_plain(pump, conn, answer, code);
    } else if (kc_reply_begin(pump, conn, answer, code, KC_REPLY_HEAD_BYTES + KC_REPLY_TEXT_BYTES, &writer)) {
        kc_put_text(&writer, KC_ATTR_REASON, reason);
        kc_reply_end(pump, conn, &writer);
    }
}

void kc_reply_refusal(kc_pump *pump, kc_connection *conn, kc_answer answer, int32_t code, const kc_refusal *refusal)
{
    kc_result result = {.code = code, .refusal = *refusal};
    kc_reply_error(pump, conn, answer, code, &result);
}

void kc_reply_sent(kc_pump *pump, kc_connection *conn, kc_answer answer, bool dropped)
{
    kc_writer writer;
    uint32_t n = KC_REPLY_HEAD_BYTES + KC_REPLY_SCALAR_BYTES;
    if (!dropped || conn->minor == 0) {
        kc_reply_plain(pump, conn, answer, KC_OK);
    } else if (kc_reply_begin(pump, conn, answer, KC_OK, n, &writer)) {
        kc_put_u32(&writer, KC_ATTR_DROPPED, 1);
        kc_reply_end(pump, conn, &writer);
    }
}

void kc_reply_batch(kc_pump *pump, kc_connection *conn, kc_answer answer, const kc_batch_sum *sum)
{
    kc_writer writer;
    int32_t code = sum->count > 0 ? KC_OK : sum->code;
    kc_reply_note(pump, conn, code, sum->result);
    if (kc_reply_begin(pump, conn, answer, code, KC_REPLY_ERROR_BYTES, &writer)) {
        kc_put_u32(&writer, KC_ATTR_COUNT, sum->count);
        kc_put_u32(&writer, KC_ATTR_DROPPED, sum->dropped);
        kc_put_fate(&writer, answer);
        kc_put_explanation(pump, &writer, code, sum->result);
        kc_reply_end(pump, conn, &writer);
    }
}

void kc_reply_count(kc_pump *pump, kc_connection *conn, kc_answer answer, int32_t code, uint32_t count)
{
    kc_writer writer;
    uint32_t n = KC_REPLY_HEAD_BYTES + KC_REPLY_SCALAR_BYTES;
    if (kc_reply_begin(pump, conn, answer, code, n, &writer)) {
        kc_put_u32(&writer, KC_ATTR_COUNT, count);
        kc_reply_end(pump, conn, &writer);
    }
}
