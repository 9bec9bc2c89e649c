/* Workers that fall asleep and are woken all the time: whatever comes from outside, in whatever moment, is run. A wake that is
 * lost ends this test by its time-out. */
#include "kc_rt.h"

enum { BURSTS = 20000 / RT_SCALE, EACH = 3 };

static void yields_and_counts(void *arg) {
    for (int i = 0; i < 3; i++)
        kc_co_yield();
    (void)atomic_fetch_add((_Atomic uint32_t *)arg, 1);
}

/* Every other burst is waited for, so that the next one meets workers in every stage of lying down. */
static void bursts_from_outside(uint32_t workers) {
    kc_sched *sched = rt_sched(workers);
    _Atomic uint32_t ran = 0;

    for (uint32_t i = 0; i < BURSTS; i++) {
        for (uint32_t k = 0; k < EACH; k++)
            rt_spawn(sched, yields_and_counts, (void *)&ran);
        if (i % 2 == 0)
            rt_until(&ran, (i + 1) * EACH);
    }
    rt_until(&ran, BURSTS * EACH);
    kc_sched_free(sched);
}

KC_TEST(what_comes_while_workers_fall_asleep_is_run) {
    rt_with_workers(bursts_from_outside);
    bursts_from_outside(3);
}

int main(void) {
    KC_RUN(what_comes_while_workers_fall_asleep_is_run);
    return kc_test_report();
}
