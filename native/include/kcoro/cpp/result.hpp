/* result.hpp: what a call answers: a value, or the code that says why there is none.
 *
 * A closed channel, a deadline and a cancel are ordinary ends, so no call throws for them: it answers with a result,
 * and whoever prefers exceptions says so at the place: `channel.receive().value()` throws kcoro::error. Constructors
 * throw, because an object that is there works; where there is a namesake `make`, it answers with a result. Without
 * exceptions (-fno-exceptions) what would throw ends the program.
 */
#ifndef KCORO_CPP_RESULT_HPP
#define KCORO_CPP_RESULT_HPP

#if __cplusplus <= 201703L
#error "the C++ headers of kcoro are C++20: compile with -std=c++20"
#endif

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <optional>
#include <system_error>
#include <type_traits>
#include <utility>

#include "kcoro/kc_types.h"

#if defined(__cpp_exceptions)
#define KCORO_CPP_EXCEPTIONS 1
#else
#define KCORO_CPP_EXCEPTIONS 0
#endif

namespace kcoro {

/* The codes of kc_wire.h; others are carried as they are. */
enum class errc : std::int32_t {
    ok = KC_OK,
    no_entry = KC_ENOENT,
    bad_handle = KC_EBADF, /* the connection was ended here, or is of the process that forked this one */
    again = KC_EAGAIN, /* a try that would have to wait */
    no_memory = KC_ENOMEM,
    access = KC_EACCES,
    busy = KC_EBUSY,
    exists = KC_EEXIST, /* one of that name is there, and it is another */
    invalid = KC_EINVAL,
    no_space = KC_ENOSPC, /* no such room in a region now */
    closed = KC_EPIPE, /* and, for a receive, drained */
    name_too_long = KC_ENAMETOOLONG,
    no_system = KC_ENOSYS, /* this kernel, or this daemon, cannot do it */
    time = KC_ETIME,       /* the deadline came first */
    protocol = KC_EPROTO,  /* and a message that is no T */
    too_long = KC_EMSGSIZE,
    version = KC_EPROTONOSUPPORT, /* the daemon speaks no version that is known here */
    unsupported = KC_ENOTSUP,
    connection = KC_ECONNRESET,
    in_progress = KC_EINPROGRESS, /* of a daemon's channel: the connection ended under the call, which may have
                                     happened */
    quota = KC_EDQUOT,
    cancelled = KC_ECANCELED /* or the channel was destroyed */
};

constexpr errc code_of(int answer) noexcept { return answer < 0 ? static_cast<errc>(answer) : errc::ok; }

constexpr const char *to_string(errc c) noexcept {
    switch (c) {
    case errc::ok: return "ok";
    case errc::no_entry: return "not there";
    case errc::bad_handle: return "not connected any more";
    case errc::again: return "would have to wait";
    case errc::no_memory: return "no memory";
    case errc::access: return "not allowed";
    case errc::busy: return "busy";
    case errc::exists: return "exists and is another";
    case errc::invalid: return "invalid";
    case errc::no_space: return "no room";
    case errc::closed: return "closed";
    case errc::name_too_long: return "name too long";
    case errc::no_system: return "not known there";
    case errc::time: return "deadline passed";
    case errc::protocol: return "protocol error";
    case errc::too_long: return "too long";
    case errc::version: return "another version";
    case errc::unsupported: return "not supported";
    case errc::connection: return "connection lost";
    case errc::in_progress: return "may have happened";
    case errc::quota: return "quota";
    case errc::cancelled: return "cancelled";
    }
    return "another code";
}

/* what() begins with what was tried; kc() is the code. */
class error : public std::system_error {
public:
    error(errc c, const char *what)
        : std::system_error(-static_cast<int>(c), std::generic_category(), what), code_(c) {}
    errc kc() const noexcept { return code_; }

private:
    errc code_;
};

namespace detail {

[[noreturn]] inline void fail(errc c, const char *what) {
#if KCORO_CPP_EXCEPTIONS
    throw error(c, what);
#else
    (void)c;
    (void)what;
    std::abort();
#endif
}

inline void require(int answer, const char *what) {
    if (answer < 0)
        fail(code_of(answer), what);
}

} // namespace detail

template <class T> class [[nodiscard]] result {
    static_assert(!std::is_reference_v<T> && !std::is_same_v<std::remove_cv_t<T>, errc>);

public:
    using value_type = T;

    result(errc c) noexcept : code_(c) {} /* never errc::ok */
    result(T &&value) noexcept(std::is_nothrow_move_constructible_v<T>) : value_(std::move(value)) {}
    result(const T &value) requires std::is_copy_constructible_v<T> : value_(value) {}
    template <class... Args>
    explicit result(std::in_place_t, Args &&...args) : value_(std::in_place, std::forward<Args>(args)...) {}

    bool has_value() const noexcept { return value_.has_value(); }
    explicit operator bool() const noexcept { return has_value(); }
    errc code() const noexcept { return code_; }

    /* Only of one that has a value. */
    T &operator*() & noexcept { return *value_; }
    const T &operator*() const & noexcept { return *value_; }
    T &&operator*() && noexcept { return *std::move(value_); }
    T *operator->() noexcept { return &*value_; }
    const T *operator->() const noexcept { return &*value_; }

    /* The throwing form. */
    T &value() & { return must(), *value_; }
    const T &value() const & { return must(), *value_; }
    T &&value() && { return must(), *std::move(value_); }

    template <class U> T value_or(U &&other) && {
        return value_ ? *std::move(value_) : static_cast<T>(std::forward<U>(other));
    }
    template <class U> T value_or(U &&other) const & requires std::is_copy_constructible_v<T> {
        return value_ ? *value_ : static_cast<T>(std::forward<U>(other));
    }
    /* F's result if there is a value, else one with the same code. */
    template <class F> auto and_then(F &&f) && -> std::invoke_result_t<F, T &&> {
        return value_ ? std::invoke(std::forward<F>(f), *std::move(value_)) : std::invoke_result_t<F, T &&>(code_);
    }

private:
    void must() const {
        if (!value_)
            detail::fail(code_, "kcoro");
    }
    std::optional<T> value_;
    errc code_ = errc::ok;
};

template <> class [[nodiscard]] result<void> {
public:
    using value_type = void;

    result() noexcept = default;
    result(errc c) noexcept : code_(c) {}

    bool has_value() const noexcept { return code_ == errc::ok; }
    explicit operator bool() const noexcept { return has_value(); }
    errc code() const noexcept { return code_; }
    void value() const {
        if (code_ != errc::ok)
            detail::fail(code_, "kcoro");
    }

private:
    errc code_ = errc::ok;
};

} // namespace kcoro
#endif
