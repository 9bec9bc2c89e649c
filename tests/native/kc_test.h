/* kc_test.h: the whole test framework of the native part.
 *
 *     KC_TEST(a_full_channel_refuses_a_try) { ...; KC_CHECK_EQ(code, KC_EAGAIN); }
 *     int main(void) { KC_RUN(a_full_channel_refuses_a_try); return kc_test_report(); }
 *
 * A failed KC_CHECK prints file, line and values, is counted, and the test goes on; KC_REQUIRE ends the program, for
 * conditions without which going on would be undefined. Nothing here depends on assert(), so NDEBUG changes nothing.
 * Checks may be made by any thread.
 */
#ifndef KC_TEST_H
#define KC_TEST_H

#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static atomic_int kc_test_faults; /* failed checks so far */
static int kc_tests_passed;
static int kc_tests_failed;

#define KC_TEST(name) static void name(void)

#define KC_RUN(name) kc_test_run(#name, name)

#define KC_CHECK(condition) \
    ((condition) ? (void)0 : kc_test_fault(__FILE__, __LINE__, #condition))

#define KC_REQUIRE(condition) \
    ((condition) ? (void)0 : (kc_test_fault(__FILE__, __LINE__, #condition), exit(1)))

/* Integers of any width and sign, both up to 64 bits. */
#define KC_CHECK_EQ(left, right) \
    kc_test_equal(__FILE__, __LINE__, #left " == " #right, (long long)(left), (long long)(right))

#define KC_CHECK_STR(left, right) kc_test_strings(__FILE__, __LINE__, #left " == " #right, (left), (right))

#define KC_CHECK_MEM(left, right, bytes) \
    kc_test_memory(__FILE__, __LINE__, #left " == " #right, (left), (right), (bytes))

static inline void kc_test_fault(const char *file, int line, const char *what)
{
    atomic_fetch_add(&kc_test_faults, 1);
    fprintf(stderr, "%s:%d: failed: %s\n", file, line, what);
}

static inline void kc_test_equal(const char *file, int line, const char *what, long long left, long long right)
{
    if (left == right) {
        return;
    }
    kc_test_fault(file, line, what);
    fprintf(stderr, "    left  %lld (%#llx)\n    right %lld (%#llx)\n", left, (unsigned long long)left, right,
            (unsigned long long)right);
}

static inline void kc_test_strings(const char *file, int line, const char *what, const char *left, const char *right)
{
    if (left != NULL && right != NULL && strcmp(left, right) == 0) {
        return;
    }
    kc_test_fault(file, line, what);
    fprintf(stderr, "    left  %s\n    right %s\n", left == NULL ? "(null)" : left, right == NULL ? "(null)" : right);
}

static inline void kc_test_memory(const char *file, int line, const char *what, const void *left, const void *right,
                                  size_t bytes)
{
    if (bytes == 0 || memcmp(left, right, bytes) == 0) {
        return;
    }
    const uint8_t *a = left;
    const uint8_t *b = right;
    size_t at = 0;
    while (a[at] == b[at]) {
        at++;
    }
    kc_test_fault(file, line, what);
    fprintf(stderr, "    first difference at byte %zu of %zu: left %02x, right %02x\n", at, bytes, a[at], b[at]);
}

static inline void kc_test_run(const char *name, void (*test)(void))
{
    int before = atomic_load(&kc_test_faults);
    test();
    if (atomic_load(&kc_test_faults) == before) {
        kc_tests_passed++;
        return;
    }
    kc_tests_failed++;
    fprintf(stderr, "FAILED %s\n", name);
}

/* Last line of main: prints the sum, gives the exit status. A program that ran no test has failed. */
static inline int kc_test_report(void)
{
    printf("%d passed, %d failed\n", kc_tests_passed, kc_tests_failed);
    return kc_tests_failed != 0 || kc_tests_passed == 0;
}

#endif
