/* Three processes and three channels: a producer sends jobs, a worker squares them, a collector adds the results up.
 *
 *     distributed_channels 100        100 jobs, 100 results, sum 328350
 *
 * The worker acknowledges a job when its result was accepted: killed in between it loses none. The collector selects
 * between results and the word of the producer that there are no more.
 *
 *     cc distributed_channels.c $(pkg-config --cflags --libs kcoro) -o distributed_channels
 */
#include <kcoro/kc_ipc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct place { /* what each of the three has */
    kc_ipc *ipc;
    kc_ipc_chan *jobs;
    kc_ipc_chan *results;
    kc_ipc_chan *counts;
} place;

static void must(int code, const char *what)
{
    if (code != KC_OK) {
        fprintf(stderr, "distributed_channels: %s: %s\n", what, kc_ipc_advice(code));
        exit(1);
    }
}

/* A connection does not survive fork: each process opens its own. */
static place enter(const char *name)
{
    place here;
    const kc_ipc_config who = {.client_name = name};
    const kc_ipc_chan_config few = {.capacity = 8, .flags = KC_FLAG_CHAN_EPHEMERAL};
    must(kc_ipc_connect(&who, &here.ipc), "connect");
    must(kc_ipc_make(here.ipc, "jobs", &few, &here.jobs), "jobs");
    must(kc_ipc_make(here.ipc, "results", &few, &here.results), "results");
    must(kc_ipc_make(here.ipc, "counts", &few, &here.counts), "counts");
    return here;
}

static void leave(place *here)
{
    kc_ipc_chan_free(here->jobs);
    kc_ipc_chan_free(here->results);
    kc_ipc_chan_free(here->counts);
    kc_ipc_disconnect(here->ipc);
}

static long take(const kc_ipc_message *message)
{
    long value = 0;
    if (message->length == sizeof value) {
        memcpy(&value, message->bytes, sizeof value);
    }
    return value;
}

static void produce(place *here, long count)
{
    for (long i = 0; i < count; i++) {
        must(kc_ipc_send(here->jobs, &i, sizeof i, NULL), "send a job");
    }
    must(kc_ipc_send(here->counts, &count, sizeof count, NULL), "send the count");
    must(kc_ipc_close(here->jobs), "close");
}

static void work(place *here)
{
    const kc_ipc_wish acking = {.timeout_ms = -1, .flags = KC_IPC_ACK};
    kc_ipc_message job;
    int code;
    while ((code = kc_ipc_recv(here->jobs, &job, &acking)) == KC_OK) {
        long square = take(&job) * take(&job);
        must(kc_ipc_send(here->results, &square, sizeof square, NULL), "send a result");
        must(kc_ipc_ack(here->ipc, &job.delivery, 1), "acknowledge");
        kc_ipc_message_free(&job);
    }
    must(code == KC_EPIPE ? KC_OK : code, "receive a job"); /* EPIPE: closed, and nothing is left */
}

static void collect(place *here)
{
    const kc_ipc_clause clauses[] = {{.chan = here->results}, {.chan = here->counts}};
    long expected = -1, found = 0, sum = 0;
    while (expected < 0 || found < expected) {
        kc_ipc_result result;
        must(kc_ipc_select(here->ipc, clauses, 2, NULL, &result), "select");
        long value = take(&result.messages[0]);
        if (result.index == 1) {
            expected = value;
        } else {
            found++;
            sum += value;
        }
        kc_ipc_result_free(&result);
    }
    printf("%ld jobs, %ld results, sum %ld\n", expected, found, sum);
}

/* The channels are made before anybody else comes, so that none goes with its first user. */
static pid_t start(const char *name, long count)
{
    pid_t child = fork();
    if (child != 0) {
        return child;
    }
    place here = enter(name);
    if (count >= 0) {
        produce(&here, count);
    } else {
        work(&here);
    }
    leave(&here);
    exit(0);
}

int main(int argc, char **argv)
{
    long count = argc > 1 ? strtol(argv[1], NULL, 10) : 10;
    int bad = 0, status;
    place here = enter("collector");
    pid_t producer = start("producer", count), worker = start("worker", -1);
    collect(&here);
    leave(&here);
    bad |= waitpid(producer, &status, 0) < 0 || status != 0;
    bad |= waitpid(worker, &status, 0) < 0 || status != 0;
    return bad;
}
