/* words.h: what the two drivers share: the words of a command on stdin, bytes in hex on stdout. Whatever is malformed
 * ends the driver, for only the suite writes to it.
 */
#ifndef KC_CONFORMANCE_WORDS_H
#define KC_CONFORMANCE_WORDS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline void must(int good, const char *what)
{
    if (!good) {
        fprintf(stderr, "driver: %s\n", what);
        exit(1);
    }
}

static inline char *word(void)
{
    char *found = strtok(NULL, " \n");
    must(found != NULL, "a word is missing");
    return found;
}

static inline long number(void)
{
    return strtol(word(), NULL, 10);
}

static inline unsigned nibble(char digit)
{
    must((digit >= '0' && digit <= '9') || (digit >= 'a' && digit <= 'f'), "bad hex");
    return (unsigned)(digit <= '9' ? digit - '0' : digit - 'a' + 10);
}

/* Decoded where it stands. */
static inline char *bytes(size_t *length_out)
{
    char *text = word();
    size_t length = strcmp(text, "-") == 0 ? 0 : strlen(text) / 2;
    for (size_t i = 0; i < length; i++) {
        text[i] = (char)(nibble(text[2 * i]) << 4 | nibble(text[2 * i + 1]));
    }
    *length_out = length;
    return text;
}

static inline void say_hex(const void *data, size_t length)
{
    const unsigned char *at = data;
    printf(length == 0 ? " -" : " ");
    for (size_t i = 0; i < length; i++) {
        printf("%02x", at[i]);
    }
}

#endif
