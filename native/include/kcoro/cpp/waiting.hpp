/* waiting.hpp: for how long, and unless what: deadlines in std::chrono and cancels,
 * as every call that waits takes them.
 *
 * std::chrono::steady_clock is CLOCK_MONOTONIC where this library is at home, so its points are deadlines as they are;
 * those finer than a nanosecond are rounded up, because a deadline is never early. A patience is lent:
 * it keeps no cancel alive.
 *
 * Invariant of parked(): the exceptions that a coroutine is dealing with (in a handler, or in a destructor while one
 * passes) are counted by thread. Whoever waits takes them along, because it may go on in another thread (decision
 * 0050). A daemon's channel asks it also where a local one waits for nobody: to try, to close, to be dropped.
 */
#ifndef KCORO_CPP_WAITING_HPP
#define KCORO_CPP_WAITING_HPP

#include <chrono>

#include "kcoro/cpp/result.hpp"
#include "kcoro/kc_cancel.h"
#include "kcoro/kc_sched.h"

namespace kcoro {

using time_point = std::chrono::steady_clock::time_point;

namespace detail {

#if KCORO_CPP_EXCEPTIONS
/* __cxa_eh_globals of the C++ ABI. Under a name of our own, because <cxxabi.h> declares the function const, and then a
 * compiler would ask once for both threads. */
struct exceptions {
    void *caught;
    unsigned int uncaught;
};
extern "C" exceptions *kcoro_cpp_exceptions() noexcept __asm__("__cxa_get_globals");

template <class F> auto parked(F &&f) noexcept(noexcept(f())) {
    const exceptions mine = *kcoro_cpp_exceptions();
    *kcoro_cpp_exceptions() = exceptions{nullptr, 0};
    if constexpr (std::is_void_v<decltype(f())>) {
        f();
        *kcoro_cpp_exceptions() = mine;
    } else {
        const auto answer = f();
        *kcoro_cpp_exceptions() = mine;
        return answer;
    }
}
#else
template <class F> auto parked(F &&f) { return f(); }
#endif

/* Rounded up; KC_NEVER near the end of 64 bits, and for what is no number; long past near their beginning. */
template <class Rep, class Period> std::int64_t nanoseconds(std::chrono::duration<Rep, Period> d) noexcept {
    const double seconds = std::chrono::duration_cast<std::chrono::duration<double>>(d).count();
    if (!(seconds <= 9e9))
        return KC_NEVER;
    if (seconds < -9e9)
        return INT64_MIN;
    return std::chrono::ceil<std::chrono::nanoseconds>(d).count();
}
inline std::int64_t nanoseconds(time_point t) noexcept { return nanoseconds(t.time_since_epoch()); }

} // namespace detail

class cancellation;

class patience {
public:
    /* For ever. */
    constexpr patience() noexcept = default;
    patience(time_point deadline) noexcept : deadline_ns_(detail::nanoseconds(deadline)) {}
    template <class Rep, class Period>
    patience(std::chrono::duration<Rep, Period> delay) noexcept
        : deadline_ns_(kc_after_ns(detail::nanoseconds(delay))) {}
    patience(const cancellation &c) noexcept;
    patience(kc_cancel *cancel) noexcept : cancel_(cancel) {}

    /* The same, and it ends when that is cancelled. */
    patience unless(const cancellation &c) const noexcept;

    std::int64_t deadline_ns() const noexcept { return deadline_ns_; }
    kc_cancel *cancel() const noexcept { return cancel_; }

private:
    std::int64_t deadline_ns_ = KC_NEVER;
    kc_cancel *cancel_ = nullptr;
};

/* Unless what, where a call has no deadline of its own: lent, like a patience. */
class unless_cancelled {
public:
    constexpr unless_cancelled() noexcept = default;
    unless_cancelled(const cancellation &c) noexcept;
    unless_cancelled(kc_cancel *cancel) noexcept : cancel_(cancel) {}
    kc_cancel *cancel() const noexcept { return cancel_; }

private:
    kc_cancel *cancel_ = nullptr;
};

template <class Rep, class Period> patience within(std::chrono::duration<Rep, Period> delay) noexcept { return delay; }
inline patience until(time_point deadline) noexcept { return deadline; }
inline patience unless(const cancellation &c) noexcept { return patience(c); }

} // namespace kcoro
#endif
