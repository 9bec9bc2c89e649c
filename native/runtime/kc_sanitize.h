/* kc_sanitize.h: what sanitizers are told about a change of stacks; nothing in other builds.
 *
 * AddressSanitizer wants the bounds of the stack that is entered, before, and a word kept for the one that is left.
 * ThreadSanitizer wants a fibre of its own for each stack (sanitizer/common_interface_defs.h, tsan_interface.h).
 */
#ifndef KC_SANITIZE_H
#define KC_SANITIZE_H

#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
#define KC_FIBRE_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KC_FIBRE_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define KC_FIBRE_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define KC_FIBRE_TSAN 1
#endif
#endif

/* Of one stack. */
typedef struct kc_fibre {
#if defined(KC_FIBRE_ASAN)
    const void *bottom;
    size_t bytes;
    void *fake; /* ASan's frames of it while it is left */
#endif
#if defined(KC_FIBRE_TSAN)
    void *tsan;
#endif
    char unused;
} kc_fibre;

#if defined(KC_FIBRE_ASAN)
void __sanitizer_start_switch_fiber(void **fake_out, const void *bottom, size_t bytes);
void __sanitizer_finish_switch_fiber(void *fake, const void **bottom_out, size_t *bytes_out);
#endif
#if defined(KC_FIBRE_TSAN)
void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void *fibre);
void __tsan_switch_to_fiber(void *fibre, unsigned flags);
void __tsan_set_fiber_name(void *fibre, const char *name);
#endif

/* A stack that was made for a coroutine. */
static inline void kc_fibre_make(kc_fibre *f, const void *bottom, size_t bytes, const char *name) {
    *f = (kc_fibre){0};
#if defined(KC_FIBRE_ASAN)
    f->bottom = bottom;
    f->bytes = bytes;
#endif
#if defined(KC_FIBRE_TSAN)
    f->tsan = __tsan_create_fiber(0);
    __tsan_set_fiber_name(f->tsan, name);
#endif
    (void)bottom, (void)bytes, (void)name;
}

static inline void kc_fibre_free(kc_fibre *f) {
#if defined(KC_FIBRE_TSAN)
    if (f->tsan != NULL)
        __tsan_destroy_fiber(f->tsan);
    f->tsan = NULL;
#endif
    (void)f;
}

/* Whoever is about to resume a coroutine, on whatever stack. */
static inline void kc_fibre_here(kc_fibre *f) {
    *f = (kc_fibre){0};
#if defined(KC_FIBRE_TSAN)
    f->tsan = __tsan_get_current_fiber();
#endif
}

/* Just before the switch. ends: `from` will never be entered again. */
static inline void kc_fibre_leave(kc_fibre *from, const kc_fibre *to, int ends) {
#if defined(KC_FIBRE_ASAN)
    __sanitizer_start_switch_fiber(ends ? NULL : &from->fake, to->bottom, to->bytes);
#endif
#if defined(KC_FIBRE_TSAN)
    __tsan_switch_to_fiber(to->tsan, 0);
#endif
    (void)from, (void)to, (void)ends;
}

/* Just after it, on the stack that was entered; `from` is the one that was left: its bounds are learned. */
static inline void kc_fibre_enter(const kc_fibre *self, kc_fibre *from) {
#if defined(KC_FIBRE_ASAN)
    __sanitizer_finish_switch_fiber(self->fake, &from->bottom, &from->bytes);
#endif
    (void)self, (void)from;
}

#endif
