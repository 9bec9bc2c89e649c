/* cpp_test.hpp: kc_test.h for C++, and what tests of the C++ face share. Nobody waits by the clock. */
#ifndef KC_CPP_TEST_HPP
#define KC_CPP_TEST_HPP

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <type_traits>

#include "kcoro/cpp/kcoro.hpp"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define CPP_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define CPP_SANITIZED 1
#endif
#endif
#ifndef CPP_SANITIZED
#define CPP_SANITIZED 0
#endif

namespace test {

inline std::atomic<int> faults = 0;
inline int passed = 0, failed = 0;
#if CPP_SANITIZED || defined(KC_EMULATED)
inline constexpr int scale = 10; /* by which stress is less */
#else
inline constexpr int scale = 1;
#endif

inline void fault(const char *file, int line, const char *what) {
    faults++;
    std::fprintf(stderr, "%s:%d: failed: %s\n", file, line, what);
}
template <class T> long long number(const T &value) {
    if constexpr (std::is_enum_v<T>)
        return static_cast<long long>(value);
    else if constexpr (std::is_arithmetic_v<T>)
        return static_cast<long long>(value);
    else
        return 0;
}
template <class A, class B> void equal(const char *file, int line, const char *what, const A &a, const B &b) {
    bool same = false;
    if constexpr (std::is_integral_v<A> && std::is_integral_v<B>)
        same = static_cast<long long>(a) == static_cast<long long>(b);
    else
        same = a == b;
    if (!same) {
        fault(file, line, what);
        std::fprintf(stderr, "    left  %lld\n    right %lld\n", number(a), number(b));
    }
}
inline void run(const char *name, void (*f)()) {
    const int before = faults;
    f();
    (faults == before ? passed : failed)++;
    if (faults != before)
        std::fprintf(stderr, "FAILED %s\n", name);
}
/* A program that ran no test has failed. */
inline int report() {
    std::printf("%d passed, %d failed\n", passed, failed);
    return failed != 0 || passed == 0;
}

/* Counts how many of it live, and what became of each. */
struct counted {
    static inline std::atomic<long> live = 0;
    int value;
    explicit counted(int v) : value(v) { live++; }
    counted(counted &&other) noexcept : value(std::exchange(other.value, -1)) { live++; }
    counted &operator=(counted &&other) noexcept {
        value = std::exchange(other.value, -1);
        return *this;
    }
    ~counted() { live--; }
};

inline kcoro::scheduler workers(std::uint32_t n) {
    kc_sched_config config{};
    config.workers = n;
    config.stack_bytes = CPP_SANITIZED ? 256U << 10 : 64U << 10;
    return kcoro::scheduler(config);
}

/* What is left in an engine when all channels are gone. */
inline void check_empty(const kcoro::hub &h, const char *file, int line) {
    char why[256] = "";
    kc_engine_usage usage{};
    h.collect();
    kc_engine_measure(h.engine(), &usage);
    equal(file, line, "the engine's invariants", kc_engine_check(h.engine(), why, sizeof why), 0);
    equal(file, line, "nothing is left in the engine",
          usage.channels + usage.tokens + usage.messages + usage.parked + usage.held + usage.block_bytes, 0);
}

template <class F> void until(F &&f) {
    while (!f())
        std::this_thread::yield();
}

} // namespace test

#define CPP_TEST(name) static void name()
#define CPP_RUN(name) test::run(#name, name)
#define CPP_CHECK(...) ((__VA_ARGS__) ? (void)0 : test::fault(__FILE__, __LINE__, #__VA_ARGS__))
#define CPP_EQ(left, right) test::equal(__FILE__, __LINE__, #left " == " #right, (left), (right))
#define CPP_EMPTY(hub) test::check_empty(hub, __FILE__, __LINE__)

#endif
