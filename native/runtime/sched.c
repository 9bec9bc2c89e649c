/* sched.c: making, feeding, draining and ending a scheduler (kc_sched.h). Workers are worker.c. */
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kc_worker.h"

enum { BLOCKED_THREADS = 64 }; /* at once in kc_block_call; the others wait their turn */
#define BLOCKED_IDLE_NS INT64_C(5000000000)
enum { MOST_WORKERS = 256, STACKS_KEPT = 1024, DEQUE_ITEMS = 1 << 16, COROUTINES = 1 << 20 };

/* That this thread may run on; of a machine with more than fit into the set, those that are there. */
static uint32_t processors(void) {
    cpu_set_t set;
    long n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : sysconf(_SC_NPROCESSORS_ONLN);
    long most = n > MOST_WORKERS ? MOST_WORKERS : n;

    return most > 0 ? (uint32_t)most : 1;
}

static kc_sched *allocate(uint32_t workers) {
    size_t bytes = sizeof(kc_sched) + workers * sizeof(kc_worker);
    void *memory = NULL;
    kc_sched *s = NULL;

    if (posix_memalign(&memory, _Alignof(kc_sched), bytes) == 0) {
        s = memory;
        __builtin_memset(memory, 0, bytes);
    }
    return s;
}

static void free_queues(kc_sched *s) {
    for (uint32_t i = 0; i < s->count; i++)
        kc_deque_free(&s->workers[i].deque); /* one of zeros too */
    if (s->ready.places != NULL)
        kc_ready_free(&s->ready);
    if (s->inject.places != NULL)
        kc_ready_free(&s->inject);
    kc_places_free(s->places);
}

static int make_queues(kc_sched *s) {
    int rc = kc_places_make(COROUTINES, &s->places);

    if (rc == KC_OK)
        rc = kc_ready_make(&s->ready, s->places);
    if (rc == KC_OK)
        rc = kc_ready_make(&s->inject, s->places);
    for (uint32_t i = 0; i < s->count && rc == KC_OK; i++)
        rc = kc_deque_make(&s->workers[i].deque, DEQUE_ITEMS);
    return rc;
}

/* Cheaper to ask than getpid(2), which each spawn would pay for. */
static int mark(kc_sched *s) {
    size_t bytes = (size_t)sysconf(_SC_PAGESIZE);
    void *page = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int rc = page != MAP_FAILED ? KC_OK : KC_ENOMEM;

    if (rc == KC_OK) {
        (void)madvise(page, bytes, MADV_WIPEONFORK);
        s->ours = page;
        *s->ours = 1;
    }
    return rc;
}

static int prepare(kc_sched *s, const kc_sched_config *config) {
    int rc = KC_OK;

    s->flags = config->flags;
    s->stack_bytes = config->stack_bytes != 0 ? config->stack_bytes : KC_CO_STACK_BYTES;
    kc_stack_cache_begin(&s->stacks, s->stack_bytes, config->stacks_kept != 0 ? config->stacks_kept : STACKS_KEPT);
    for (uint32_t i = 0; i < s->count; i++) {
        s->workers[i].sched = s;
        s->workers[i].index = i;
        s->workers[i].own.end = &s->workers[i].own.first;
        s->workers[i].alone = s->count == 1;
        s->workers[i].rounds_left = KC_LOOK_AROUND;
        s->workers[i].dice = (i + 1) * UINT64_C(0x9E3779B97F4A7C15);
    }
    rc = make_queues(s);
    if (rc == KC_OK)
        rc = mark(s);
    if (rc != KC_OK)
        free_queues(s);
    return rc;
}

static void join(kc_sched *s) {
    kc_sched_stop(s);
    for (uint32_t i = 0; i < s->started; i++)
        (void)pthread_join(s->workers[i].thread, NULL);
}

static int start(kc_sched *s) {
    int rc = KC_OK;

    for (uint32_t i = 0; i < s->count && rc == KC_OK; i++) {
        rc = pthread_create(&s->workers[i].thread, NULL, kc_worker_main, &s->workers[i]) == 0 ? KC_OK : KC_ENOMEM;
        s->started += rc == KC_OK;
    }
    if (rc != KC_OK)
        join(s);
    return rc;
}

static void release(kc_sched *s) {
    free_queues(s);
    (void)munmap(s->ours, (size_t)sysconf(_SC_PAGESIZE));
    kc_stack_cache_end(&s->stacks);
    free(s);
}

/* What no coroutine could be spawned with, and what means nothing yet. */
static bool sound(const kc_sched_config *config) {
    return config->workers <= MOST_WORKERS && config->stack_bytes <= KC_STACK_MOST_BYTES &&
           (config->flags & ~(uint32_t)KC_SCHED_TELL_OVERFLOW) == 0;
}

int kc_sched_make(const kc_sched_config *config, kc_sched **sched_out) {
    kc_sched_config wanted = config != NULL ? *config : (kc_sched_config){0};
    uint32_t workers = wanted.workers != 0 ? wanted.workers : processors();
    bool tells = (wanted.flags & KC_SCHED_TELL_OVERFLOW) != 0;
    bool good = sound(&wanted);
    kc_sched *s = good ? allocate(workers) : NULL;
    int rc = good ? KC_ENOMEM : KC_EINVAL;

    if (s == NULL)
        return rc;
    s->count = workers;
    (void)pthread_mutex_init(&s->clock.lock, NULL);
    (void)kc_blocking_begin(&s->blocking, BLOCKED_THREADS, BLOCKED_IDLE_NS); /* starts none, cannot fail */
    rc = kc_fork_watch();
    if (rc == KC_OK)
        rc = prepare(s, &wanted);
    if (rc != KC_OK) {
        free(s);
        return rc;
    }
    if (tells)
        rc = kc_guard_begin();
    if (rc == KC_OK && (rc = start(s)) != KC_OK && tells)
        kc_guard_end();
    if (rc == KC_OK)
        *sched_out = s;
    else
        release(s);
    return rc;
}

int kc_sched_drain(kc_sched *s, int64_t deadline_ns) {
    uint32_t live = 0;
    int rc = KC_OK;

    (void)atomic_fetch_add(&s->drainers, 1);
    while ((live = atomic_load(&s->live)) != 0 && rc == KC_OK)
        rc = kc_futex_wait(&s->live, live, deadline_ns);
    (void)atomic_fetch_sub(&s->drainers, 1);
    return live == 0 ? KC_OK : rc;
}

void kc_sched_free(kc_sched *s) {
    if (s == NULL)
        return;
    (void)kc_sched_drain(s, KC_NEVER);
    while (atomic_load(&s->visitors) != 0)
        (void)sched_yield(); /* a few instructions of theirs are left */
    join(s);
    kc_clock_end(&s->clock);
    kc_blocking_end(&s->blocking);
    if ((s->flags & KC_SCHED_TELL_OVERFLOW) != 0)
        kc_guard_end();
    release(s);
}

static void count_in(kc_sched *s) {
    kc_worker *w = kc_here_get()->worker;

    if (w != NULL && w->sched == s)
        kc_count_up(&w->submitted);
    else
        (void)atomic_fetch_add_explicit(&s->submitted, 1, memory_order_relaxed);
}

/* KC_EBADF: in a child of fork(2), where no worker would ever run it. Asked before any lock is taken, which may be held
 * there for ever. */
static int refusal(const kc_sched *s) {
    return *s->ours != 0 ? KC_OK : KC_EBADF;
}

/* A reference of the caller's is the scheduler's from now on, until the coroutine has finished. KC_ENOMEM: there are as
 * many coroutines as there may be. */
static int admit(kc_sched *s, kc_co *co) {
    uint32_t place = kc_places_take(s->places);

    if (place == 0)
        return KC_ENOMEM;
    co->place = place;
    (void)atomic_fetch_add(&s->live, 1);
    count_in(s);
    atomic_store_explicit(&co->sched, s, memory_order_relaxed);
    kc_sched_ready(co);
    return KC_OK;
}

int kc_sched_spawn_as(kc_sched *s, const kc_co_config *config, kc_co **co_out) {
    size_t bytes = config->stack_bytes != 0 ? config->stack_bytes : s->stack_bytes;
    kc_stack stack = {0};
    kc_co *co = NULL;
    int rc = config->fn != NULL ? refusal(s) : KC_EINVAL;

#if KC_MUTANT == 81 /* a child of fork waits for a lock that is held for ever before it is refused */
    rc = config->fn != NULL ? KC_OK : rc;
#endif
    if (rc == KC_OK)
        rc = kc_stack_cache_take(&s->stacks, bytes, &stack);
    if (rc == KC_OK && (rc = kc_co_make_on(config, &stack, &co)) != KC_OK)
        kc_stack_cache_give(&s->stacks, &stack);
    if (rc == KC_OK && co_out != NULL) {
        kc_co_keep(co);
        *co_out = co; /* before it runs */
    }
    if (rc == KC_OK && (rc = admit(s, co)) != KC_OK) {
        kc_co_drop(co);
        if (co_out != NULL) {
            kc_co_drop(co);
            *co_out = NULL;
        }
    }
    return rc;
}

int kc_sched_spawn(kc_sched *s, kc_co_fn fn, void *arg, kc_co **co_out) {
    kc_co_config config = {.fn = fn, .arg = arg};

    return kc_sched_spawn_as(s, &config, co_out);
}

int kc_sched_adopt(kc_sched *s, kc_co *co) {
    uint32_t was = 0;
    int rc = refusal(s);

    if (rc == KC_OK && (rc = kc_co_take(co, &was)) == KC_OK) {
        kc_co_keep(co);
        rc = admit(s, co);
        if (rc != KC_OK) {
            kc_co_state_set(co, was);
            kc_co_drop(co);
        }
    }
    return rc;
}

kc_sched *kc_sched_self(void) {
    kc_worker *w = kc_here_get()->worker;

    return w != NULL ? w->sched : NULL;
}

kc_blocking *kc_sched_blocking(kc_sched *s) { return &s->blocking; }
kc_clock *kc_sched_clock(kc_sched *s) { return &s->clock; }

uint32_t kc_sched_workers(const kc_sched *s) { return s->count; }

static void add_worker(kc_sched_usage *u, const kc_worker *w) {
    u->switches += kc_count_of(&w->steals) + kc_count_of(&w->fast_path) + kc_count_of(&w->ready_pulls) +
                   kc_count_of(&w->inject_pulls); /* whoever is taken is resumed */
    u->steal_probes += kc_count_of(&w->steal_probes);
    u->steals += kc_count_of(&w->steals);
    u->steal_failures += kc_count_of(&w->steal_failures);
    u->submitted += kc_count_of(&w->submitted);
    u->completed += kc_count_of(&w->completed);
    u->fast_path += kc_count_of(&w->fast_path);
    u->ready_pulls += kc_count_of(&w->ready_pulls);
    u->inject_pulls += kc_count_of(&w->inject_pulls);
    u->sleeps += kc_count_of(&w->sleeps);
}

void kc_sched_measure(kc_sched *s, kc_sched_usage *usage_out) {
    kc_sched_usage u = {.workers = s->count};

    for (uint32_t i = 0; i < s->count; i++)
        add_worker(&u, &s->workers[i]);
    u.submitted += atomic_load(&s->submitted);
    u.wakes = kc_count_of(&s->wakes);
    u.idle = atomic_load(&s->sleep) / KC_SLEEP_ONE;
    u.live = atomic_load(&s->live);
    kc_lock_take(&s->stacks.lock);
    u.stacks_made = s->stacks.made;
    u.stacks_cached = s->stacks.cached;
    kc_lock_give(&s->stacks.lock);
    *usage_out = u;
}
