/* test_rt_actor_fork.c: an actor whose handler forks: the parent's messages are handled in the parent (decision
 * 0077). */
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kc_rt_world.h"
#include "kcoro/kc_actor.h"

enum { MESSAGES = 3, TWICE = 3 };

typedef struct forking {
    pid_t parent;
    int status; /* of the child */
    uint32_t handled;
} forking;

static int forks_at_the_first(void *arg, const kc_actor_message *m) {
    static const struct rlimit none = {0};
    forking *f = arg;
    pid_t child = -1;

    (void)m;
    if (getpid() != f->parent)
        _exit(TWICE);
    if (f->handled++ == 0) {
        child = fork();
        KC_REQUIRE(child >= 0);
        if (child == 0)
            (void)(setrlimit(RLIMIT_CORE, &none) | (int)alarm(30));
        else
            KC_REQUIRE(waitpid(child, &f->status, 0) == child);
    }
    return KC_OK;
}

KC_TEST(a_child_that_a_handler_forked_handles_none_of_its_parents_messages) {
    world w = begin(1);
    forking f = {.parent = getpid()};
    kc_channel *c = channel_of(&w, KC_KIND_BUFFERED, MESSAGES, sizeof(uint32_t));
    kc_actor_config config = {.channel = c, .fn = forks_at_the_first, .arg = &f};
    kc_actor *actor = NULL;

    for (uint32_t i = 0; i < MESSAGES; i++)
        KC_CHECK_EQ(kc_channel_try_send(c, &i, sizeof i), KC_OK);
    KC_CHECK_EQ(kc_channel_close(c), KC_OK);
    KC_REQUIRE(kc_actor_start(w.sched, &config, &actor) == KC_OK);
    KC_CHECK_EQ(kc_sched_drain(w.sched, KC_NEVER), KC_OK);
    KC_CHECK(WIFSIGNALED(f.status) && WTERMSIG(f.status) == SIGABRT);
    KC_CHECK_EQ(f.handled, MESSAGES);
    kc_actor_free(actor);
    kc_channel_drop(c);
    end(&w);
}

int main(void) {
    KC_RUN(a_child_that_a_handler_forked_handles_none_of_its_parents_messages);
    return kc_test_report();
}
