/* A coroutine that connects leaves its worker to others, whatever the daemon does not do: accept,
 * or answer the greeting.
 *
 * The daemon is a real Unix socket that the other coroutine of the same worker serves: were the worker blocked,
 * nobody would.
 */
#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "kc_client_peer.h"
#include "kc_rt.h"
#include "kcoro/kc_io.h"
#include "kcoro/kc_remote.h"

enum { FILLERS = 64, FAR_MS = 10000, NEAR_MS = 30 };

typedef struct doorway {
    char folder[64];
    char address[128];
    struct sockaddr_un name;
    int type;
    int door;
    int fillers[FILLERS]; /* connections that wait in the backlog */
    int filler_count;
    int32_t timeout_ms;
    int64_t began_ns;
    kc_cancel *cancel;
    int code;
    _Atomic uint32_t entered;
} doorway;

static int new_socket(const doorway *d)
{
    int fd = socket(AF_UNIX, d->type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    KC_REQUIRE(fd >= 0);
    return fd;
}

static int reach(const doorway *d, int fd)
{
    return connect(fd, (const struct sockaddr *)&d->name, sizeof d->name);
}

static void open_door(doorway *d, int type, int32_t timeout_ms)
{
    const char *base = getenv("TMPDIR");
    *d = (doorway){.type = type, .timeout_ms = timeout_ms, .name = {.sun_family = AF_UNIX}};
    KC_REQUIRE(snprintf(d->folder, sizeof d->folder, "%s/kcXXXXXX", base != NULL ? base : "/tmp") < 64);
    KC_REQUIRE(mkdtemp(d->folder) != NULL);
    snprintf(d->name.sun_path, sizeof d->name.sun_path, "%s/s", d->folder);
    snprintf(d->address, sizeof d->address, "%s:%s", type == SOCK_STREAM ? "stream" : "seqpacket", d->name.sun_path);
    d->door = new_socket(d);
    KC_REQUIRE(bind(d->door, (const struct sockaddr *)&d->name, sizeof d->name) == 0 && listen(d->door, 0) == 0);
}

/* Until the backlog is full. */
static void fill(doorway *d)
{
    bool full = false;
    while (!full) {
        int fd = new_socket(d);
        KC_REQUIRE(d->filler_count < FILLERS);
        full = reach(d, fd) != 0;
        KC_REQUIRE(!full || errno == EAGAIN);
        d->fillers[d->filler_count++] = fd;
    }
}

static void close_door(doorway *d)
{
    close(d->door);
    for (int i = 0; i < d->filler_count; i++) {
        close(d->fillers[i]);
    }
    unlink(d->name.sun_path);
    rmdir(d->folder);
}

/* --- who connects, and who serves --------------------------------------------------------------------------------- */

static void connects(void *arg)
{
    doorway *d = arg;
    kc_ipc *ipc = NULL;
    const kc_ipc_config config = {.address = d->address, .connect_timeout_ms = d->timeout_ms,
                                  .waiting = kc_remote_waiting()};
    d->began_ns = kc_now_ns();
    atomic_store(&d->entered, 1);
    d->code = d->cancel != NULL ? kc_remote_connect(&config, d->cancel, &ipc) : kc_ipc_connect(&config, &ipc);
    KC_CHECK_EQ(ipc != NULL, d->code == KC_OK);
    kc_ipc_disconnect(ipc);
}

static void *connects_as_a_thread(void *arg)
{
    connects(arg);
    return NULL;
}

static int64_t far_ns(const doorway *d)
{
    return d->began_ns + (int64_t)FAR_MS * 1000000;
}

/* The next one of the backlog, in their order; -1: nobody came. */
static int accept_next(const doorway *d)
{
    int rc = kc_io_wait(d->door, KC_IO_READABLE, far_ns(d));
    KC_CHECK_EQ(rc, KC_IO_READABLE);
    return rc == KC_IO_READABLE ? accept4(d->door, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK) : -1;
}

static void answer_greeting(const doorway *d, int fd)
{
    uint8_t bytes[512];
    kc_writer out;
    KC_CHECK_EQ(kc_io_wait(fd, KC_IO_READABLE, far_ns(d)), KC_IO_READABLE);
    KC_CHECK(recv(fd, bytes, sizeof bytes, 0) > 0);
    kc_writer_init(&out, bytes, sizeof bytes, 1, KC_MAX_FRAME_BYTES);
    kc_frame_begin(&out, KC_CMD_HELLO, 0);
    kc_put_u32(&out, KC_ATTR_ABI_MAJOR, 1);
    kc_put_u32(&out, KC_ATTR_ABI_MINOR, 1);
    KC_REQUIRE(kc_frame_finish(&out) == KC_OK);
    KC_CHECK_EQ(send(fd, bytes, out.length, MSG_NOSIGNAL), (ssize_t)out.length);
}

static void serves(void *arg)
{
    doorway *d = arg;
    KC_REQUIRE(atomic_load(&d->entered) == 1); /* one worker: the other gave it up by waiting */
    for (int i = 0; i + 1 < d->filler_count; i++) { /* the last one found no room */
        close(accept_next(d));
    }
    int fd = accept_next(d);
    if (fd >= 0) {
        answer_greeting(d, fd);
        close(fd);
    }
}

static void run(doorway *d, kc_co_fn other)
{
    kc_sched *sched = rt_sched(1);
    rt_spawn(sched, connects, d);
    if (other != NULL) {
        rt_spawn(sched, other, d);
    }
    kc_sched_free(sched);
}

static void with_sockets(void (*test)(int type))
{
    test(SOCK_STREAM);
    test(SOCK_SEQPACKET);
}

/* --- tests -------------------------------------------------------------------------------------------------------- */

static void meets_nobody_who_accepts_yet(int type)
{
    doorway d;
    for (int full = 0; full < 2; full++) {
        open_door(&d, type, FAR_MS);
        if (full != 0) {
            fill(&d);
        }
        run(&d, serves);
        KC_CHECK_EQ(d.code, KC_OK);
        close_door(&d);
    }
}

KC_TEST(a_daemon_that_does_not_accept_or_greet_yet_parks_a_coroutine_and_its_worker_runs_others)
{
    with_sockets(meets_nobody_who_accepts_yet);
}

static void meets_a_full_backlog_as_a_thread(int type)
{
    doorway d;
    pthread_t thread;
    open_door(&d, type, FAR_MS);
    fill(&d);
    KC_REQUIRE(pthread_create(&thread, NULL, connects_as_a_thread, &d) == 0);
    rt_until(&d.entered, 1);
    serves(&d);
    KC_REQUIRE(pthread_join(thread, NULL) == 0);
    KC_CHECK_EQ(d.code, KC_OK);
    close_door(&d);
}

KC_TEST(a_thread_waits_for_room_in_a_full_backlog)
{
    with_sockets(meets_a_full_backlog_as_a_thread);
}

static void ends_in_time(const doorway *d)
{
    KC_CHECK_EQ(d->code, KC_ECONNRESET);
    KC_CHECK(kc_now_ns() >= d->began_ns + (int64_t)NEAR_MS * 1000000);
}

static void waits_in_vain(int type)
{
    doorway d;
    open_door(&d, type, NEAR_MS);
    for (int full = 0; full < 2; full++) { /* first the greeting is not answered, then nobody accepts */
        if (full != 0) {
            fill(&d);
        }
        run(&d, NULL);
        ends_in_time(&d);
        connects(&d); /* as a thread */
        ends_in_time(&d);
    }
    close_door(&d);
}

KC_TEST(a_daemon_that_never_accepts_or_greets_costs_a_connect_its_time)
{
    with_sockets(waits_in_vain);
}

/* --- with a cancel ------------------------------------------------------------------------------------------------ */

static void cancels(void *arg)
{
    doorway *d = arg;
    KC_REQUIRE(atomic_load(&d->entered) == 1); /* one worker: the other gave it up by waiting */
    KC_CHECK_EQ(kc_cancel_trigger(d->cancel, 0), KC_OK);
}

static void is_cancelled_as_it_waits(int type)
{
    doorway d;
    pthread_t thread;
    for (int full = 0; full < 2; full++) {
        for (int threads = 0; threads < 2; threads++) {
            open_door(&d, type, 3600 * 1000);
            KC_REQUIRE(kc_cancel_make(NULL, &d.cancel) == KC_OK);
            if (full != 0) {
                fill(&d);
            }
            if (threads == 0) {
                run(&d, cancels);
            } else {
                KC_REQUIRE(pthread_create(&thread, NULL, connects_as_a_thread, &d) == 0);
                rt_until(&d.entered, 1);
                cancels(&d); /* as it waits, or before */
                KC_REQUIRE(pthread_join(thread, NULL) == 0);
            }
            KC_CHECK_EQ(d.code, KC_ECANCELED);
            connects(&d); /* it stays set */
            KC_CHECK_EQ(d.code, KC_ECANCELED);
            kc_cancel_drop(d.cancel);
            close_door(&d);
        }
    }
}

KC_TEST(a_cancel_ends_a_connect_that_waits_for_room_or_for_the_greeting)
{
    with_sockets(is_cancelled_as_it_waits);
}

typedef struct greeting {
    peer *p;
    kc_ipc_config config;
    kc_cancel *cancel;
    bool answers;
    int code;
} greeting;

static void *hear_the_greeting_and_cancel(void *arg)
{
    greeting *g = arg;
    (void)peer_await_cmd(g->p, KC_CMD_HELLO);
    if (g->answers) {
        peer_hello(g->p, 1, 0);
    }
    KC_CHECK_EQ(kc_cancel_trigger(g->cancel, 0), KC_OK);
    return NULL;
}

static greeting begin_greeting(void)
{
    greeting g = {.p = NULL};
    g.p = peer_make(PEER_ROOM, &g.config);
    KC_REQUIRE(kc_cancel_make(NULL, &g.cancel) == KC_OK);
    return g;
}

/* Connected or not, nothing is left of it. */
static void end_greeting(greeting *g)
{
    KC_CHECK_EQ(g->p->ipc != NULL, g->code == KC_OK);
    if (g->p->ipc == NULL) {
        peer_expect_nothing(g->p);
        KC_CHECK(g->p->ended); /* the link was closed */
    }
    kc_cancel_drop(g->cancel);
    peer_close(g->p);
}

KC_TEST(a_connect_that_was_cancelled_before_says_nothing_and_closes_its_link)
{
    greeting g = begin_greeting();
    KC_REQUIRE(kc_cancel_trigger(g.cancel, 0) == KC_OK);
    g.code = kc_remote_connect(&g.config, g.cancel, &g.p->ipc);
    KC_CHECK_EQ(g.code, KC_ECANCELED);
    end_greeting(&g);
}

KC_TEST(a_connect_that_is_cancelled_as_it_greets_is_connected_or_was_never_there)
{
    for (int answers = 0; answers < 2; answers++) {
        greeting g = begin_greeting();
        pthread_t server;
        g.answers = answers != 0;
        KC_REQUIRE(pthread_create(&server, NULL, hear_the_greeting_and_cancel, &g) == 0);
        g.code = kc_remote_connect(&g.config, g.cancel, &g.p->ipc);
        pthread_join(server, NULL);
        KC_CHECK(g.code == KC_ECANCELED || (g.answers && g.code == KC_OK));
        end_greeting(&g);
    }
}

KC_TEST(a_cancel_that_nobody_sets_changes_no_connect)
{
    greeting g = begin_greeting();
    peer_hello(g.p, 1, 0);
    g.code = kc_remote_connect(&g.config, g.cancel, &g.p->ipc);
    KC_REQUIRE(g.code == KC_OK);
    KC_CHECK_EQ(kc_cancel_trigger(g.cancel, 0), KC_OK); /* too late: nobody listens any more */
    KC_CHECK_EQ(kc_ipc_step(g.p->ipc), KC_OK);
    end_greeting(&g);
}

int main(void)
{
    KC_RUN(a_daemon_that_does_not_accept_or_greet_yet_parks_a_coroutine_and_its_worker_runs_others);
    KC_RUN(a_thread_waits_for_room_in_a_full_backlog);
    KC_RUN(a_daemon_that_never_accepts_or_greets_costs_a_connect_its_time);
    KC_RUN(a_cancel_ends_a_connect_that_waits_for_room_or_for_the_greeting);
    KC_RUN(a_connect_that_was_cancelled_before_says_nothing_and_closes_its_link);
    KC_RUN(a_connect_that_is_cancelled_as_it_greets_is_connected_or_was_never_there);
    KC_RUN(a_cancel_that_nobody_sets_changes_no_connect);
    return kc_test_report();
}
