/* A daemon whose input never ends: no call holds the lock for as long as it comes, and whoever wants the lock gets it.
 *
 * The transport has no descriptor: what it says next is there whenever it is asked, so nobody sleeps while it floods.
 */
#include <sched.h>

#include "client/kc_client.h"
#include "kc_client_peer.h"

enum { FLOOD_MOST = 4096, FLOOD_BYTES = 64, ROUNDS = 100 };

typedef struct flood {
    uint8_t hello[FLOOD_BYTES], notice[FLOOD_BYTES], answer[FLOOD_BYTES];
    size_t hello_length, notice_length, answer_length;
    bool greeted, answered;
    atomic_bool on;     /* else nothing comes */
    atomic_bool counts; /* from now on reads are counted in `after`, and the flood has an end */
    atomic_bool waits;  /* and the first of them is over when somebody wants the lock */
    atomic_bool answers; /* PING 2, once; then nothing comes */
    atomic_uint reads, after;
    kc_ipc *ipc;
} flood;

static int64_t flood_say(void *bytes, size_t room, const uint8_t *from, size_t length)
{
    KC_REQUIRE(length <= room);
    memcpy(bytes, from, length);
    return (int64_t)length;
}

/* Somebody stands at the gate: he wants the lock, which is ours. */
static void await_want(flood *f)
{
    while (pthread_mutex_trylock(&f->ipc->gate) == 0) {
        pthread_mutex_unlock(&f->ipc->gate);
        sched_yield();
    }
}

static int64_t flood_receive(void *link, void *bytes, size_t room, int *files, uint32_t *file_count)
{
    flood *f = link;
    (void)files;
    *file_count = 0;
    if (!f->greeted) {
        f->greeted = true;
        return flood_say(bytes, room, f->hello, f->hello_length);
    }
    if (atomic_load(&f->answers)) {
        int64_t said = f->answered ? KC_EAGAIN : flood_say(bytes, room, f->answer, f->answer_length);
        f->answered = true;
        return said;
    }
    atomic_fetch_add(&f->reads, 1);
    if (!atomic_load(&f->on)) {
        return KC_EAGAIN;
    }
    if (atomic_load(&f->after) == FLOOD_MOST) {
        return 0; /* far too late: it hangs up, so that nothing hangs */
    }
    if (atomic_load(&f->counts) && atomic_fetch_add(&f->after, 1) == 0 && atomic_load(&f->waits)) {
        await_want(f);
    }
    return flood_say(bytes, room, f->notice, f->notice_length);
}

static int64_t flood_send(void *link, const void *bytes, size_t length, const int *files, uint32_t file_count)
{
    (void)link, (void)bytes, (void)files, (void)file_count;
    return (int64_t)length;
}

static int flood_watch(void *link, int epoll, int output)
{
    (void)link, (void)epoll, (void)output;
    return KC_OK;
}

static void flood_close(void *link)
{
    (void)link;
}

static const kc_ipc_transport flood_transport = {flood_send, flood_receive, flood_watch, flood_close,
                                                 KC_MAX_FRAME_BYTES};

static size_t flood_frame(kc_writer *writer)
{
    KC_REQUIRE(kc_frame_finish(writer) == KC_OK);
    return writer->length;
}

static void flood_script(flood *f)
{
    kc_writer out;
    kc_writer_init(&out, f->hello, FLOOD_BYTES, 1, FLOOD_BYTES);
    kc_frame_begin(&out, KC_CMD_HELLO, 0);
    kc_put_u32(&out, KC_ATTR_ABI_MAJOR, 1);
    kc_put_u32(&out, KC_ATTR_ABI_MINOR, KC_ABI_MINOR);
    kc_put_u32(&out, KC_ATTR_CAPS, KC_CAP_DESCRIPTORS);
    f->hello_length = flood_frame(&out);
    kc_writer_init(&out, f->notice, FLOOD_BYTES, 1, FLOOD_BYTES);
    kc_frame_begin(&out, KC_CMD_REGION_FREED, 0);
    kc_put_desc(&out, 77, 0, 64, 0); /* no region of ours */
    f->notice_length = flood_frame(&out);
    kc_writer_init(&out, f->answer, FLOOD_BYTES, 1, FLOOD_BYTES);
    kc_frame_begin(&out, KC_CMD_PING, 0);
    kc_put_u32(&out, KC_ATTR_REQ_ID, 2);
    kc_put_i32(&out, KC_ATTR_RESULT, KC_OK);
    f->answer_length = flood_frame(&out);
}

static void flood_open(flood *f, const kc_ipc_waiting *waiting)
{
    memset(f, 0, sizeof *f);
    flood_script(f);
    const kc_ipc_config config = {.transport = &flood_transport, .link = f, .waiting = waiting,
                                  .connect_timeout_ms = 3600000}; /* the timer rings only for what is tested */
    KC_REQUIRE(kc_ipc_connect(&config, &f->ipc) == KC_OK);
    atomic_store(&f->reads, 0);
}

/* --- who does not wait -------------------------------------------------------------------------------------------- */

KC_TEST(a_step_ends_though_input_does_not)
{
    flood f;
    flood_open(&f, NULL);
    atomic_store(&f.counts, true);
    atomic_store(&f.on, true);
    for (unsigned steps = 1; steps <= 3; steps++) {
        KC_CHECK_EQ(kc_ipc_step(f.ipc), KC_OK);
        KC_CHECK_EQ(atomic_load(&f.reads), steps * KC_CLIENT_READS);
    }
    kc_ipc_disconnect(f.ipc);
}

/* --- who waits ---------------------------------------------------------------------------------------------------- */

static _Thread_local bool is_fibre;
static atomic_int sleeping; /* fibres that have gone to sleep on a descriptor */

static void *fibre_self(void)
{
    return is_fibre ? kc_thread_waiting.self() : NULL;
}

static void fibre_wait(int fd)
{
    atomic_fetch_add(&sleeping, 1);
    kc_thread_waiting.wait(fd);
}

typedef struct pinger {
    flood *f;
    bool fibre;
    int code;
    pthread_t thread;
} pinger;

static void *ping(void *argument)
{
    pinger *self = argument;
    is_fibre = self->fibre;
    self->code = kc_ipc_ping(self->f->ipc);
    return NULL;
}

static pinger begin_ping(flood *f, bool fibre)
{
    return (pinger){.f = f, .fibre = fibre, .code = KC_EINVAL};
}

static void await_reads(flood *f, unsigned reads)
{
    while (atomic_load(&f->reads) < reads) {
        sched_yield();
    }
}

static void disconnect_a_pilot(void)
{
    flood f;
    flood_open(&f, NULL);
    atomic_store(&f.on, true);
    pinger one = begin_ping(&f, false);
    KC_REQUIRE(pthread_create(&one.thread, NULL, ping, &one) == 0);
    await_reads(&f, 1);
    atomic_store(&f.waits, true);
    atomic_store(&f.counts, true);
    kc_ipc_disconnect(f.ipc);
    pthread_join(one.thread, NULL);
    KC_CHECK_EQ(one.code, KC_EBADF);
    KC_CHECK(atomic_load(&f.after) <= KC_CLIENT_READS); /* none, if the lock was free just then */
}

/* Many times: an unlock alone lets the other one in now and then. */
KC_TEST(a_disconnect_ends_the_pilot_though_input_does_not)
{
    for (int round = 0; round < ROUNDS; round++) {
        disconnect_a_pilot();
    }
}

static bool flies_a_thread(kc_ipc *ipc)
{
    KC_REQUIRE(kc_client_enter(ipc));
    bool flies = ipc->pilot != NULL && ipc->pilot->waiting == &kc_thread_waiting;
    kc_client_leave(ipc);
    return flies;
}

/* The fibre is awake when its place is taken; still it is recalled, and hears that. */
KC_TEST(a_thread_takes_the_place_of_a_fibre_that_reads_without_end)
{
    static kc_ipc_waiting waiting;
    flood f;
    waiting = (kc_ipc_waiting){fibre_self, kc_thread_waiting.park, kc_thread_waiting.wake, fibre_wait};
    flood_open(&f, &waiting);
    atomic_store(&sleeping, 0);
    atomic_store(&f.on, true);
    pinger fibre = begin_ping(&f, true), thread = begin_ping(&f, false);
    KC_REQUIRE(pthread_create(&fibre.thread, NULL, ping, &fibre) == 0);
    await_reads(&f, 1);
    KC_REQUIRE(pthread_create(&thread.thread, NULL, ping, &thread) == 0);
    while (!flies_a_thread(f.ipc)) {
        sched_yield();
    }
    atomic_store(&f.answers, true);
    pthread_join(thread.thread, NULL);
    KC_CHECK_EQ(thread.code, KC_OK);
    while (atomic_load(&sleeping) == 0) {
        sched_yield();
    }
    uint64_t count;
    KC_CHECK_EQ(read(f.ipc->recall, &count, sizeof count), -1);
    kc_ipc_disconnect(f.ipc);
    pthread_join(fibre.thread, NULL);
    KC_CHECK_EQ(fibre.code, KC_EBADF);
}

int main(void)
{
    KC_RUN(a_step_ends_though_input_does_not);
    KC_RUN(a_disconnect_ends_the_pilot_though_input_does_not);
    KC_RUN(a_thread_takes_the_place_of_a_fibre_that_reads_without_end);
    return kc_test_report();
}
