/* pump_note.c: what an administrator wants to read about hot frames: who was refused by which quota, who was slowed.
 *
 * Python fetches the notes between two turns and writes the lines. They are few and bounded: the same word about the
 * same connection stands once until it was fetched, and what finds no room is counted.
 */
#include "ipc/kc_pump_parts.h"

static bool kc_note_is_there(const kc_pump *pump, kc_conn conn, uint32_t quota)
{
    bool there = false;
    for (uint32_t i = 0; i < pump->note_count; i++) {
        there |= pump->notes[i].conn == conn && pump->notes[i].quota == quota;
    }
    return there;
}

void kc_pump_note(kc_pump *pump, const kc_connection *conn, int32_t code, const kc_refusal *refusal)
{
    kc_quota_words words = kc_quota_words_of(refusal->quota);
    if (words.name == NULL || kc_note_is_there(pump, kc_conn_ticket(conn), refusal->quota)) {
        return;
    }
    if (pump->note_count == KC_PUMP_NOTES) {
        pump->notes_lost++;
        return;
    }
    pump->notes[pump->note_count++] = (kc_note){.conn = kc_conn_ticket(conn), .code = code, .quota = refusal->quota,
                                                .limit = refusal->limit, .usage = refusal->usage, .name = words.name,
                                                .setting = words.setting};
}

int kc_pump_next_note(kc_pump *pump, kc_note *note_out)
{
    if (pump->note_count == 0) {
        return KC_EAGAIN;
    }
    *note_out = pump->notes[--pump->note_count];
    note_out->lost = pump->notes_lost;
    pump->notes_lost = 0;
    return KC_OK;
}
