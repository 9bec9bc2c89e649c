/* scheduler.hpp: a scheduler with an owner, and functions that run as coroutines of it.
 *
 * A coroutine here is the runtime's: a stack of its own, plain calls that look as if they blocked. Destroying the
 * scheduler waits until all of its coroutines have finished; who might wait for ever is to be ended before (close,
 * cancel, scope). An exception that leaves a coroutine ends the program, as it does of a std::thread; a scope
 * (scope.hpp) keeps it.
 */
#ifndef KCORO_CPP_SCHEDULER_HPP
#define KCORO_CPP_SCHEDULER_HPP

#include <cstring>

#include "kcoro/cpp/cancel.hpp"
#include "kcoro/kc_timer.h"

namespace kcoro {

namespace detail {

/* A callable as the `void *` of a C function. What fits into the pointer itself (a lambda that captures one reference)
 * is not allocated. */
template <class F> class closure {
    static constexpr bool fits = sizeof(F) <= sizeof(void *) && std::is_trivially_copyable_v<F>;

public:
    /* false: no memory, and f is as before. */
    static bool pack(F &f, void **arg_out) {
        if constexpr (fits) {
            *arg_out = nullptr;
            std::memcpy(arg_out, &f, sizeof f);
            return true;
        } else {
            *arg_out = new (std::nothrow) F(std::move(f));
            return *arg_out != nullptr;
        }
    }
    static void discard(void *arg) noexcept {
        if constexpr (!fits)
            delete static_cast<F *>(arg);
    }
    /* F is gone when this returns. */
    static void run(void *arg) noexcept {
        if constexpr (fits) {
            alignas(F) unsigned char bytes[sizeof(F)];
            std::memcpy(bytes, &arg, sizeof bytes);
            (void)std::invoke(*std::launder(reinterpret_cast<F *>(bytes)));
        } else {
            const std::unique_ptr<F> f(static_cast<F *>(arg));
            (void)std::invoke(*f);
        }
    }
};

} // namespace detail

/* One reference to a coroutine of the runtime. */
class coroutine {
public:
    explicit coroutine(kc_co *owned) noexcept : raw_(owned) {}
    coroutine(coroutine &&other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
    coroutine &operator=(coroutine &&other) noexcept {
        std::swap(raw_, other.raw_);
        return *this;
    }
    coroutine(const coroutine &) = delete;
    coroutine &operator=(const coroutine &) = delete;
    ~coroutine() { kc_co_drop(raw_); }

    const char *name() const noexcept { return kc_co_name(raw_); }
    kc_co_state state() const noexcept { return kc_co_state_of(raw_); }
    bool finished() const noexcept { return state() == KC_CO_FINISHED; }
    result<void> unpark() const noexcept { return code_of(kc_co_unpark(raw_)); }
    kc_co *native() const noexcept { return raw_; }

private:
    kc_co *raw_;
};

class scheduler {
public:
    /* workers 0: processors of this machine. */
    explicit scheduler(std::uint32_t workers = 0) : scheduler(config_of(workers)) {}
    explicit scheduler(const kc_sched_config &config) {
        detail::require(kc_sched_make(&config, &raw_), "kcoro::scheduler");
    }
    static result<scheduler> make(const kc_sched_config &config) noexcept {
        kc_sched *raw = nullptr;
        const int rc = kc_sched_make(&config, &raw);
        return rc == KC_OK ? result<scheduler>(scheduler(owned{raw})) : result<scheduler>(code_of(rc));
    }
    scheduler(scheduler &&other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
    scheduler &operator=(scheduler &&other) noexcept {
        std::swap(raw_, other.raw_);
        return *this;
    }
    scheduler(const scheduler &) = delete;
    scheduler &operator=(const scheduler &) = delete;
    ~scheduler() { kc_sched_free(raw_); }

    /* Runs f() in a new coroutine, which destroys it. One allocation, none where f is as small as a pointer. */
    template <class F> result<void> spawn(F &&f) const { return launch(std::forward<F>(f), nullptr, nullptr); }
    /* The same with a name for tools; the answer is one reference to it. */
    template <class F> result<coroutine> spawn_as(const char *name, F &&f) const {
        kc_co *co = nullptr;
        const result<void> done = launch(std::forward<F>(f), name, &co);
        return done ? result<coroutine>(coroutine(co)) : result<coroutine>(done.code());
    }
    /* Until no coroutine is left: a thread, not a coroutine of it. An executor's drivers and an actor are coroutines
     * too. */
    result<void> drain(time_point deadline = time_point::max()) const noexcept {
        return code_of(kc_sched_drain(raw_, detail::nanoseconds(deadline)));
    }
    std::uint32_t workers() const noexcept { return kc_sched_workers(raw_); }
    kc_sched_usage usage() const noexcept {
        kc_sched_usage usage{};
        kc_sched_measure(raw_, &usage);
        return usage;
    }
    kc_sched *native() const noexcept { return raw_; }

private:
    struct owned { /* no pointer alone: scheduler(0) means no workers given */
        kc_sched *raw;
    };
    explicit scheduler(owned o) noexcept : raw_(o.raw) {}
    static kc_sched_config config_of(std::uint32_t workers) noexcept {
        kc_sched_config config{};
        config.workers = workers;
        return config;
    }
    template <class F> result<void> launch(F &&f, const char *name, kc_co **co_out) const {
        using kept = std::decay_t<F>;
        kept mine(std::forward<F>(f));
        kc_co_config config{};
        if (!detail::closure<kept>::pack(mine, &config.arg))
            return errc::no_memory;
        config.fn = &detail::closure<kept>::run;
        config.name = name;
        const int rc = kc_sched_spawn_as(raw_, &config, co_out);
        if (rc != KC_OK)
            detail::closure<kept>::discard(config.arg);
        return code_of(rc);
    }
    kc_sched *raw_ = nullptr;
};

/* Lets others run. */
inline void yield() noexcept {
    detail::parked([] { kc_co_yield(); });
}

/* errc::ok at the deadline, errc::cancelled when the patience's cancel is set before; errc::no_memory, errc::quota. */
inline result<void> sleep(patience how) noexcept {
    if (how.cancel() == nullptr && how.deadline_ns() != KC_NEVER)
        return code_of(detail::parked([&] { return kc_sleep_until_ns(how.deadline_ns()); }));
    result<cancellation> never = cancellation::make(how.cancel());
    if (!never)
        return never.code();
    const int rc = detail::parked([&] { return kc_cancel_wait(never->native(), how.deadline_ns()); });
    if (rc == KC_OK)
        return errc::cancelled;
    return rc == KC_ETIME ? result<void>(errc::ok) : code_of(rc);
}

} // namespace kcoro
#endif
