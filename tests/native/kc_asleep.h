/* kc_asleep.h: until the workers of a scheduler sleep for good, so that what they count can be read at once and stays.
 *
 * That all are counted as sleepers is not enough: whoever is counted looks into every queue once more, and who was the
 * watch rises once more and looks, too. So the kernel is asked whether the threads sleep. Who never comes to rest ends
 * a test by its time-out.
 */
#ifndef KC_ASLEEP_H
#define KC_ASLEEP_H

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kc_rt.h"
#include "runtime/kc_worker.h"

/* proc_pid_stat(5): "ID (NAME) STATE ...". One that has ended meanwhile does nothing, either. */
static inline bool rt_thread_sleeps(const char *id) {
    char path[64], text[128] = "";
    const char *state = NULL;
    FILE *file = NULL;

    (void)snprintf(path, sizeof path, "/proc/self/task/%.20s/stat", id);
    file = fopen(path, "re");
    if (file == NULL) {
        KC_REQUIRE(errno == ENOENT || errno == ESRCH);
        return true;
    }
    state = fgets(text, sizeof text, file) != NULL ? strrchr(text, ')') : NULL;
    (void)fclose(file);
    return state == NULL || strncmp(state, ") S", 3) == 0;
}

static inline bool rt_others_sleep(void) {
    long self = syscall(SYS_gettid);
    bool all = true;
    const struct dirent *one = NULL;
    DIR *threads = opendir("/proc/self/task");

    KC_REQUIRE(threads != NULL);
    while ((one = readdir(threads)) != NULL)
        all = all && (one->d_name[0] == '.' || strtol(one->d_name, NULL, 10) == self || rt_thread_sleeps(one->d_name));
    (void)closedir(threads);
    return all;
}

/* No watch: it would rise. Nobody who was woken: it would search. */
static inline bool rt_all_are_down(kc_sched *sched) {
    return atomic_load(&sched->sleep) == kc_sched_workers(sched) * KC_SLEEP_ONE;
}

static inline void rt_until_asleep(kc_sched *sched) {
    for (int rounds = 0; rounds < 2; rounds++) /* one may have risen and lain down between the looks of one round */
        while (!rt_all_are_down(sched) || !rt_others_sleep() || !rt_all_are_down(sched)) {
            (void)sched_yield();
            rounds = 0;
        }
}

#endif
