/* kc_fibre.h: bare stacks for tests of the switch, with the sanitizers told. No scheduler: a test says who goes on. */
#ifndef KC_FIBRE_H
#define KC_FIBRE_H

#include <stdlib.h>

#include "arch/kc_switch.h"
#include "kc_test.h"

#if defined(__has_feature)
#define F_HAS(what) __has_feature(what)
#else
#define F_HAS(what) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || F_HAS(address_sanitizer)
#include <sanitizer/common_interface_defs.h>
#define F_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__) || F_HAS(thread_sanitizer)
#include <sanitizer/tsan_interface.h>
#define F_TSAN 1
#endif

enum { F_STACK_BYTES = 256 * 1024, F_SPARE = 0x5a };

typedef struct fibre {
    kc_context context;
    void (*body)(struct fibre *self);
    void *arg;
    struct fibre *back; /* who goes on when body is done */
    void *stack;        /* NULL: the thread's own */
    const void *bottom;
    size_t bytes;
    void *tsan;
} fibre;

/* Before a switch to `to`, and after one that came to `self`. */
static inline void f_leave(fibre *to, void **fake) {
#ifdef F_ASAN
    __sanitizer_start_switch_fiber(fake, to->bottom, to->bytes);
#endif
#ifdef F_TSAN
    __tsan_switch_to_fiber(to->tsan, 0);
#endif
    (void)to;
    (void)fake;
}

static inline void f_arrive(fibre *from, void *fake) {
#ifdef F_ASAN
    const void *bottom = NULL;
    size_t bytes = 0;

    __sanitizer_finish_switch_fiber(fake, &bottom, &bytes);
    if (from->stack == NULL && from->bottom == NULL) { /* a thread's own: known once it was left */
        from->bottom = bottom;
        from->bytes = bytes;
    }
#endif
    (void)from;
    (void)fake;
}

static inline void f_switch(fibre *from, fibre *to) {
    void *fake = NULL;

    f_leave(to, &fake);
    kc_switch(&from->context, &to->context);
    f_arrive(to, fake);
}

static void f_entry(void *arg) {
    fibre *self = arg;

    f_arrive(self->back, NULL);
    self->body(self);
    f_leave(self->back, NULL);
    kc_switch(&self->context, &self->back->context);
}

/* The thread that runs this, as a fibre to come back to. */
static inline fibre f_thread(void) {
    fibre f = {0};

#ifdef F_TSAN
    f.tsan = __tsan_get_current_fiber();
#endif
    return f;
}

/* spare: bytes at the upper end that are not its stack. */
static inline void f_make_below(fibre *f, fibre *back, void (*body)(fibre *self), void *arg, size_t spare) {
    *f = (fibre){.body = body, .arg = arg, .back = back, .stack = malloc(F_STACK_BYTES), .bytes = F_STACK_BYTES};
    KC_REQUIRE(f->stack != NULL);
    f->bottom = f->stack;
    memset((char *)f->stack + F_STACK_BYTES - spare, F_SPARE, spare);
#ifdef F_TSAN
    f->tsan = __tsan_create_fiber(0);
#endif
    kc_context_make(&f->context, (char *)f->stack + F_STACK_BYTES - spare, f_entry, f);
}

static inline void f_make(fibre *f, fibre *back, void (*body)(fibre *self), void *arg) {
    f_make_below(f, back, body, arg, 0);
}

static inline void f_free(fibre *f) {
#ifdef F_TSAN
    __tsan_destroy_fiber(f->tsan);
#endif
    free(f->stack);
}

#endif
