/* address.c: where the daemon listens: from an argument, the environment, or habit (kcoro/kc_ipc.h). */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/kc_client.h"

enum { KC_ADDRESS_BYTES = 128, KC_PATH_BYTES = 107 };

static const char *const kc_system_path = "/run/kcoro/kcoro.sock";

static bool kc_address_has_word(const char *text, size_t word, const char *name)
{
    return strlen(name) == word && memcmp(text, name, word) == 0;
}

/* A word before ":/" that is no transport is a mistake, not a path that nobody would find again. */
static int kc_address_parse(const char *text, const char **path_out, int *seqpacket_out)
{
    const char *colon = strchr(text, ':');
    size_t word = colon != NULL ? (size_t)(colon - text) : 0;
    bool seqpacket = colon != NULL && kc_address_has_word(text, word, "seqpacket");
    bool named = seqpacket || (colon != NULL && kc_address_has_word(text, word, "stream"));
    bool alpha = word != 0;
    for (size_t i = 0; i < word; i++) {
        alpha = alpha && isalpha((unsigned char)text[i]) != 0;
    }
    if (!named && alpha && colon[1] == '/') {
        return KC_EINVAL;
    }
    *path_out = named ? colon + 1 : text;
    *seqpacket_out = seqpacket;
    return **path_out == '\0' ? KC_EINVAL : KC_OK;
}

static const char *kc_address_usual(char *room)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    int length = runtime != NULL && *runtime != '\0'
                     ? snprintf(room, KC_ADDRESS_BYTES, "%s/kcoro/kcoro.sock", runtime) : -1;
    bool users = length > 0 && length < KC_ADDRESS_BYTES;
    if (users && access(room, F_OK) == 0) {
        return room;
    }
    return access(kc_system_path, F_OK) == 0 || !users ? kc_system_path : room;
}

KC_API int kc_ipc_address(const char *address, char *path_out, int *seqpacket_out)
{
    char room[KC_ADDRESS_BYTES];
    const char *path;
    const char *named = address != NULL ? address : getenv("KCORO_SOCKET");
    if (named == NULL || *named == '\0') {
        named = kc_address_usual(room);
    }
    int code = kc_address_parse(named, &path, seqpacket_out);
    if (code == KC_OK && strlen(path) > KC_PATH_BYTES) {
        code = KC_ENAMETOOLONG;
    }
    if (code == KC_OK) {
        memcpy(path_out, path, strlen(path) + 1);
    }
    return code;
}
