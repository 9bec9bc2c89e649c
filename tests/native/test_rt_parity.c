/* test_rt_parity.c: the scripted scenarios of tests/parity/parity.kt played by this runtime (parity/). Each line is the
 * one of tests/parity/ours.txt, and the one that Kotlin said (kotlin.txt), unless differences.txt names the scenario
 * with a reason.
 *
 * With an argument the lines are printed instead: how ours.txt is made.
 */
#include "parity/play.h"

#include "kc_test.h"

typedef struct text {
    char lines[PLAY_LINES][PLAY_LINE_BYTES]; /* without those that begin with # */
    int count;
} text;

static text kotlin, ours, differences;

static void read_text(const char *name, text *t) {
    char path[1024];
    FILE *file = NULL;

    (void)snprintf(path, sizeof path, "%s/%s", KC_PARITY_DIR, name);
    file = fopen(path, "r");
    KC_REQUIRE(file != NULL);
    while (t->count < PLAY_LINES && fgets(t->lines[t->count], PLAY_LINE_BYTES, file) != NULL) {
        char *end = strchr(t->lines[t->count], '\n');
        KC_REQUIRE(end != NULL);
        *end = '\0';
        t->count += t->lines[t->count][0] != '#';
    }
    KC_REQUIRE(fgetc(file) == EOF);
    (void)fclose(file);
}

static size_t name_bytes(const char *line) { return strcspn(line, ":"); }

static int is_of(const char *line, const char *other) {
    return name_bytes(line) == name_bytes(other) && memcmp(line, other, name_bytes(line)) == 0;
}

static const char *line_of(const text *t, const char *line) {
    const char *found = NULL;

    for (int i = 0; i < t->count && found == NULL; i++)
        found = is_of(t->lines[i], line) ? t->lines[i] : NULL;
    return found;
}

KC_TEST(every_scenario_ends_as_it_was_written_down) {
    KC_CHECK_EQ(play_line_count, ours.count);
    for (int i = 0; i < play_line_count && i < ours.count; i++)
        KC_CHECK_STR(play_lines[i], ours.lines[i]);
}

KC_TEST(every_scenario_ends_as_with_kotlin_or_says_why_not) {
    KC_CHECK_EQ(play_line_count, kotlin.count);
    for (int i = 0; i < play_line_count && i < kotlin.count; i++) {
        KC_CHECK(is_of(play_lines[i], kotlin.lines[i]));
        if (line_of(&differences, play_lines[i]) == NULL)
            KC_CHECK_STR(play_lines[i], kotlin.lines[i]);
    }
}

KC_TEST(what_is_said_to_differ_differs) {
    for (int i = 0; i < differences.count; i++) {
        const char *theirs = line_of(&kotlin, differences.lines[i]), *mine = line_of(&ours, differences.lines[i]);
        KC_REQUIRE(theirs != NULL && mine != NULL);
        KC_CHECK(strcmp(theirs, mine) != 0);
        KC_CHECK(strlen(differences.lines[i]) > name_bytes(theirs) + 10); /* a reason */
    }
}

static void play_all(void) {
    play_channels();
    play_cancels();
    play_selections();
    play_scopes();
    play_producers();
    play_actors();
    play_deadlines();
}

int main(int argc, char **argv) {
    (void)argv;
    play_all();
    if (argc > 1) {
        for (int i = 0; i < play_line_count; i++)
            (void)puts(play_lines[i]);
        return 0;
    }
    read_text("kotlin.txt", &kotlin);
    read_text("ours.txt", &ours);
    read_text("differences.txt", &differences);
    KC_RUN(every_scenario_ends_as_it_was_written_down);
    KC_RUN(every_scenario_ends_as_with_kotlin_or_says_why_not);
    KC_RUN(what_is_said_to_differ_differs);
    return kc_test_report();
}
