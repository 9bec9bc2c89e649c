/* kc_scarce.h: the n-th time that the library asks for memory, a mapping, a descriptor or a thread it gets none; and
 * how much of each it has.
 *
 * A program that includes this is linked with --wrap for each name of KC_SCARCE in KcTests.cmake: calls of the library
 * (and of the test) come here, those inside the C library do not. Requests are counted over all threads.
 */
#ifndef KC_SCARCE_H
#define KC_SCARCE_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kc_test.h"

/* What is held now. */
typedef struct kc_held {
    int64_t blocks, mapped_bytes, files, threads;
} kc_held;

static struct {
    _Atomic int64_t blocks, mapped_bytes, files, threads;
} scarce_held;
static _Atomic int32_t scarce_left; /* requests until the one that fails; 0 or less: none does */
static _Atomic uint32_t scarce_refused;
/* The kernel's timer is one that sleeps do without, in whole milliseconds, and nobody is told (poller_wait.c). Where
 * there is no epoll_pwait2 a clock asks for it in its own thread, whenever that comes to run. */
static _Atomic uint32_t scarce_done_without;
static _Atomic int scarce_timer = -1;

static inline kc_held scarce_look(void) {
    return (kc_held){.blocks = atomic_load(&scarce_held.blocks),
                     .mapped_bytes = atomic_load(&scarce_held.mapped_bytes),
                     .files = atomic_load(&scarce_held.files),
                     .threads = atomic_load(&scarce_held.threads)};
}

/* From now on; the n-th fails, those after it do not. */
static inline void scarce_begin(int32_t n) {
    atomic_store(&scarce_refused, 0);
    atomic_store(&scarce_done_without, 0);
    atomic_store(&scarce_left, n);
}
/* true: one was refused. */
static inline bool scarce_end(void) {
    atomic_store(&scarce_left, 0);
    return atomic_load(&scarce_refused) != 0;
}
/* After it: what was refused was needed. */
static inline bool scarce_was_needed(void) { return atomic_load(&scarce_done_without) == 0; }

static inline bool scarce_refuses(int error) {
    bool refuses = atomic_load(&scarce_left) > 0 && atomic_fetch_sub(&scarce_left, 1) == 1;

    if (refuses) {
        atomic_store(&scarce_refused, 1);
        errno = error;
    }
    return refuses;
}

static inline void *scarce_count(void *block) {
    if (block != NULL)
        (void)atomic_fetch_add(&scarce_held.blocks, 1);
    return block;
}
static inline int scarce_count_file(int fd) {
    if (fd >= 0)
        (void)atomic_fetch_add(&scarce_held.files, 1);
    return fd;
}

/* ---- what the linker puts in place of the C library's ---- */

void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes) { return scarce_refuses(ENOMEM) ? NULL : scarce_count(__real_malloc(bytes)); }

void *__real_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes) {
    return scarce_refuses(ENOMEM) ? NULL : scarce_count(__real_calloc(count, bytes));
}

void *__real_realloc(void *block, size_t bytes);
void *__wrap_realloc(void *block, size_t bytes);
void *__wrap_realloc(void *block, size_t bytes) {
    void *larger = scarce_refuses(ENOMEM) ? NULL : __real_realloc(block, bytes);

    return block == NULL ? scarce_count(larger) : larger;
}

void *__real_aligned_alloc(size_t alignment, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes) {
    return scarce_refuses(ENOMEM) ? NULL : scarce_count(__real_aligned_alloc(alignment, bytes));
}

int __real_posix_memalign(void **block, size_t alignment, size_t bytes);
int __wrap_posix_memalign(void **block, size_t alignment, size_t bytes);
int __wrap_posix_memalign(void **block, size_t alignment, size_t bytes) {
    int error = scarce_refuses(ENOMEM) ? ENOMEM : __real_posix_memalign(block, alignment, bytes);

    if (error == 0)
        (void)scarce_count(*block);
    return error;
}

void __real_free(void *block);
void __wrap_free(void *block);
void __wrap_free(void *block) {
    if (block != NULL)
        (void)atomic_fetch_sub(&scarce_held.blocks, 1);
    __real_free(block);
}

void *__real_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset) {
    void *memory = scarce_refuses(ENOMEM) ? MAP_FAILED : __real_mmap(at, bytes, protection, flags, fd, offset);

    if (memory != MAP_FAILED && (flags & MAP_FIXED) == 0)
        (void)atomic_fetch_add(&scarce_held.mapped_bytes, (int64_t)bytes);
    return memory;
}

int __real_munmap(void *at, size_t bytes);
int __wrap_munmap(void *at, size_t bytes);
int __wrap_munmap(void *at, size_t bytes) {
    (void)atomic_fetch_sub(&scarce_held.mapped_bytes, (int64_t)bytes);
    return __real_munmap(at, bytes);
}

int __real_mprotect(void *at, size_t bytes, int protection);
int __wrap_mprotect(void *at, size_t bytes, int protection);
int __wrap_mprotect(void *at, size_t bytes, int protection) {
    return scarce_refuses(ENOMEM) ? -1 : __real_mprotect(at, bytes, protection);
}

int __real_epoll_create1(int flags);
int __wrap_epoll_create1(int flags);
int __wrap_epoll_create1(int flags) {
    return scarce_refuses(EMFILE) ? -1 : scarce_count_file(__real_epoll_create1(flags));
}

int __real_eventfd(unsigned int value, int flags);
int __wrap_eventfd(unsigned int value, int flags);
int __wrap_eventfd(unsigned int value, int flags) {
    return scarce_refuses(EMFILE) ? -1 : scarce_count_file(__real_eventfd(value, flags));
}

int __real_timerfd_create(int clock, int flags);
int __wrap_timerfd_create(int clock, int flags);
int __wrap_timerfd_create(int clock, int flags) {
    int fd = -1;

    if (scarce_refuses(EMFILE))
        atomic_store(&scarce_done_without, 1);
    else
        fd = scarce_count_file(__real_timerfd_create(clock, flags));
    atomic_store(&scarce_timer, fd);
    return fd;
}

int __real_epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event *event) {
    bool refused = operation != EPOLL_CTL_DEL && scarce_refuses(ENOMEM);

    if (refused && fd == atomic_load(&scarce_timer))
        atomic_store(&scarce_done_without, 1);
    return refused ? -1 : __real_epoll_ctl(epoll_fd, operation, fd, event);
}

int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd) {
    (void)atomic_fetch_sub(&scarce_held.files, 1);
    return __real_close(fd);
}

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*fn)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*fn)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*fn)(void *), void *arg) {
    int error = scarce_refuses(EAGAIN) ? EAGAIN : __real_pthread_create(thread, attributes, fn, arg);

    if (error == 0)
        (void)atomic_fetch_add(&scarce_held.threads, 1);
    return error;
}

int __real_pthread_join(pthread_t thread, void **result);
int __wrap_pthread_join(pthread_t thread, void **result);
int __wrap_pthread_join(pthread_t thread, void **result) {
    (void)atomic_fetch_sub(&scarce_held.threads, 1);
    return __real_pthread_join(thread, result);
}

int __real_pthread_key_create(pthread_key_t *key, void (*end)(void *));
int __wrap_pthread_key_create(pthread_key_t *key, void (*end)(void *));
int __wrap_pthread_key_create(pthread_key_t *key, void (*end)(void *)) {
    return scarce_refuses(EAGAIN) ? EAGAIN : __real_pthread_key_create(key, end);
}

#endif
