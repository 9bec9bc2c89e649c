/* bench_parked.c: memory of coroutines that wait: 10,000 are made, each parks; what the process has more than before,
 * for each of them.
 *
 *   bench_parked park SECONDS     VmRSS; each waits to be unparked
 *   bench_parked recv SECONDS     VmRSS; each waits in a receive, all on one channel
 *   bench_parked tables SECONDS   VmPTE, the kernel's tables of pages: not resident in the process, but spent for it
 *
 * SECONDS is not used. One worker: when the coroutine that measures runs, all others have parked.
 */
#include <stdatomic.h>
#include <string.h>

#include "bench_clock.h"
#include "kcoro/kc_channel.h"
#include "kcoro/kc_sched.h"

enum { COROUTINES = 10000, ELEMENT_BYTES = 64 };

typedef struct bench_crowd {
    kc_sched *sched;
    kc_channel *channel; /* NULL: they park by themselves */
    const char *field;
    uint32_t here;
    int code;
    kc_co *all[COROUTINES];
} bench_crowd;

/* Bytes, of a line of /proc/self/status in kB; negative: it is not there. */
static double bytes_of(const char *field)
{
    char line[128];
    double kilobytes = -1;
    FILE *file = fopen("/proc/self/status", "r");
    while (file != NULL && kilobytes < 0 && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, field, strlen(field)) == 0) {
            kilobytes = atof(line + strlen(field));
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return kilobytes * 1024;
}

static void wait_here(void *context)
{
    bench_crowd *crowd = context;
    uint8_t element[ELEMENT_BYTES];
    crowd->here++;
    if (crowd->channel != NULL) {
        (void)kc_channel_recv(crowd->channel, element, sizeof element, NULL, KC_NEVER);
    } else {
        kc_co_park();
    }
}

static void release(bench_crowd *crowd)
{
    if (crowd->channel != NULL) {
        kc_channel_close(crowd->channel);
    }
    for (int i = 0; i < COROUTINES && crowd->all[i] != NULL; i++) {
        if (crowd->channel == NULL) {
            kc_co_unpark(crowd->all[i]);
        }
        kc_co_drop(crowd->all[i]);
    }
}

static void measure(void *context)
{
    bench_crowd *crowd = context;
    int code = KC_OK;
    double before = bytes_of(crowd->field);
    for (int i = 0; i < COROUTINES && code == KC_OK; i++) {
        code = kc_sched_spawn(crowd->sched, wait_here, crowd, &crowd->all[i]);
    }
    while (code == KC_OK && crowd->here != COROUTINES) {
        kc_co_yield();
    }
    double after = bytes_of(crowd->field);
    if (code == KC_OK && before > 0 && after > before) {
        printf("%.1f\n", (after - before) / COROUTINES);
        crowd->code = 0;
    }
    release(crowd);
}

int main(int argc, char **argv)
{
    static bench_crowd crowd = {.code = 1};
    const char *mode = argc == 3 ? argv[1] : "";
    int recv = strcmp(mode, "recv") == 0, tables = strcmp(mode, "tables") == 0;
    kc_channel_config config = {.kind = KC_KIND_RENDEZVOUS, .elem_size = ELEMENT_BYTES};
    kc_sched_config workers = {.workers = 1};
    kc_hub *hub = NULL;
    if (!recv && !tables && strcmp(mode, "park") != 0) {
        fprintf(stderr, "usage: bench_parked park|recv|tables SECONDS\n");
        return 2;
    }
    memset(crowd.all, 1, sizeof crowd.all); /* its pages are there before the first look */
    memset(crowd.all, 0, sizeof crowd.all);
    crowd.field = tables ? "VmPTE:" : "VmRSS:";
    if (kc_hub_make(NULL, &hub) == KC_OK && (!recv || kc_channel_make(hub, &config, &crowd.channel) == KC_OK) &&
        kc_sched_make(&workers, &crowd.sched) == KC_OK) {
        (void)kc_sched_spawn(crowd.sched, measure, &crowd, NULL);
        kc_sched_free(crowd.sched);
    }
    kc_channel_drop(crowd.channel);
    kc_hub_free(hub);
    return crowd.code;
}
