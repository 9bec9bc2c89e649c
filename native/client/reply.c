/* reply.c: the attributes of one frame of the daemon's, flat (kc_reply). What they must be, judge.c says. */
#include <string.h>

#include "client/kc_client.h"

static void kc_reply_scalar(kc_reply *reply, const kc_attr *attr)
{
    uint32_t value = kc_attr_u32(attr);
    switch (attr->type) {
    case KC_ATTR_REQ_ID: reply->req_id = value; reply->seen |= KC_REPLY_REQ_ID; break;
    case KC_ATTR_RESULT: reply->result = (int32_t)value; reply->seen |= KC_REPLY_RESULT; break;
    case KC_ATTR_INDEX: reply->index = value; reply->seen |= KC_REPLY_INDEX; break;
    case KC_ATTR_COUNT: reply->count = value; reply->seen |= KC_REPLY_COUNT; break;
    case KC_ATTR_CHAN_ID: reply->chan_id = value; reply->seen |= KC_REPLY_CHAN_ID; break;
    case KC_ATTR_MAX_FRAME: reply->max_frame = value; reply->seen |= KC_REPLY_MAX_FRAME; break;
    case KC_ATTR_DROPPED: reply->dropped = value; break;
    case KC_ATTR_KIND: reply->kind = (int32_t)value; break;
    case KC_ATTR_CAPACITY: reply->capacity = value; break;
    case KC_ATTR_ELEM_SIZE: reply->elem_size = value; break;
    case KC_ATTR_OVERFLOW: reply->overflow = value; break;
    case KC_ATTR_FLAGS: reply->flags = value; reply->seen |= KC_REPLY_FLAGS; break;
    case KC_ATTR_CAPS: reply->caps = value; break;
    case KC_ATTR_ABI_MAJOR: reply->major = value; break;
    case KC_ATTR_ABI_MINOR: reply->minor = value; break;
    default: break;
    }
}

static void kc_reply_other(kc_reply *reply, const kc_attr *attr)
{
    switch (attr->type) {
    case KC_ATTR_ELEMENT: reply->elements++; break;
    case KC_ATTR_ITEM: reply->items++; break;
    case KC_ATTR_DESC: reply->descs++; break;
    case KC_ATTR_REGION_ID: reply->region = kc_attr_u64(attr); reply->seen |= KC_REPLY_REGION; break;
    case KC_ATTR_SIZE: reply->size = kc_attr_u64(attr); reply->seen |= KC_REPLY_SIZE; break;
    case KC_ATTR_QUOTA_LIMIT: reply->quota_limit = kc_attr_u64(attr); break;
    case KC_ATTR_QUOTA_USAGE: reply->quota_usage = kc_attr_u64(attr); break;
    case KC_ATTR_REASON: reply->reason = *attr; break;
    case KC_ATTR_QUOTA_NAME: reply->quota_name = *attr; break;
    case KC_ATTR_QUOTA_SETTING: reply->quota_setting = *attr; break;
    case KC_ATTR_NUMBERS: reply->numbers = *attr; break;
    default:
        if (attr->length == 4) {
            kc_reply_scalar(reply, attr);
        }
        break;
    }
}

int kc_reply_read(const kc_client_frame *frame, kc_reply *reply_out)
{
    kc_attr_cursor cursor;
    kc_attr attr;
    int code;
    *reply_out = (kc_reply){.index = UINT32_MAX};
    kc_attr_cursor_init(&cursor, frame->payload, frame->header.length, 1, 0);
    while ((code = kc_attr_next(&cursor, &attr)) == KC_OK) {
        kc_reply_other(reply_out, &attr);
    }
    return code == KC_FRAME_DONE ? KC_OK : code;
}

void kc_reply_text(char out[KC_TEXT_ROOM], const kc_attr *attr)
{
    size_t length = attr->length < KC_MAX_TEXT_BYTES ? attr->length : KC_MAX_TEXT_BYTES;
    if (length != 0) {
        memcpy(out, attr->value, length);
    }
    out[length] = '\0';
}
