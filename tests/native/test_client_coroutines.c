/* The C client under coroutines of the runtime: a waiting one parks, its worker runs others, and one of them reads for
 * all. Built where the runtime is (KcTests.cmake): the client itself links none of it.
 */
#include "kc_client_crowd.h"
#include "kcoro/kc_remote.h"
#include "kcoro/kc_sched.h"

enum { COROUTINES = 200, ROUNDS = 20 };

/* --- users -------------------------------------------------------------------------------------------------------- */

static kc_ipc *shared;
static atomic_long received;

static void use(void *arg)
{
    atomic_fetch_add(&received, crowd_converse(shared, CROWD_FIRST_CHAN + (uint32_t)(intptr_t)arg, ROUNDS));
}

static void *use_as_a_thread(void *arg)
{
    use(arg);
    return NULL;
}

static void run(uint32_t workers)
{
    peer *p = crowd_open(32, kc_remote_waiting()); /* most of them wait for room */
    pthread_t server, thread;
    kc_sched *sched = NULL;
    const kc_sched_config config = {.workers = workers};
    shared = p->ipc;
    atomic_store(&received, 0);
    KC_REQUIRE(pthread_create(&server, NULL, crowd_serve, p) == 0);
    KC_REQUIRE(kc_sched_make(&config, &sched) == KC_OK);
    for (intptr_t i = 0; i < COROUTINES; i++) {
        KC_REQUIRE(kc_sched_spawn(sched, use, (void *)i, NULL) == KC_OK);
    }
    KC_REQUIRE(pthread_create(&thread, NULL, use_as_a_thread, (void *)(intptr_t)COROUTINES) == 0);
    KC_CHECK_EQ(kc_sched_drain(sched, KC_NEVER), KC_OK);
    pthread_join(thread, NULL);
    KC_CHECK_EQ(atomic_load(&received), (COROUTINES + 1) * ROUNDS);
    kc_sched_free(sched);
    crowd_part(p, server);
}

KC_TEST(coroutines_of_one_worker_and_a_thread_share_a_connection)
{
    run(1);
}

KC_TEST(coroutines_of_two_workers_and_a_thread_share_a_connection)
{
    run(2);
}

int main(void)
{
    KC_RUN(coroutines_of_one_worker_and_a_thread_share_a_connection);
    KC_RUN(coroutines_of_two_workers_and_a_thread_share_a_connection);
    return kc_test_report();
}
