/* cancel.hpp: kc_cancel.h with an owner: a wish that what is going on should end, in a tree.
 *
 * Leaving a cancellation does not trigger it: cancel_guard does. Who waits with one ends with errc::cancelled or has
 * happened, never both.
 */
#ifndef KCORO_CPP_CANCEL_HPP
#define KCORO_CPP_CANCEL_HPP

#include <memory>
#include <new>

#include "kcoro/cpp/waiting.hpp"

namespace kcoro {

enum class reason : std::uint32_t {
    none = KC_REASON_NONE,
    cancel = KC_REASON_CANCEL,
    timeout = KC_REASON_TIMEOUT,
    dead = KC_REASON_DEAD,
    destroyed = KC_REASON_DESTROYED,
    shutdown = KC_REASON_SHUTDOWN
};

class cancellation {
public:
    /* A root. Throws kcoro::error for want of memory. */
    cancellation() { detail::require(kc_cancel_make(nullptr, &raw_), "kcoro::cancellation"); }
    static result<cancellation> make(kc_cancel *parent = nullptr) noexcept {
        kc_cancel *raw = nullptr;
        const int rc = kc_cancel_make(parent, &raw);
        return rc == KC_OK ? result<cancellation>(cancellation(raw)) : result<cancellation>(code_of(rc));
    }
    /* One below: triggered with this one, and by itself. */
    cancellation child() const { return make(raw_).value(); }
    /* Another owner of the same. */
    cancellation share() const noexcept { return kc_cancel_keep(raw_), cancellation(raw_); }
    static cancellation share(kc_cancel *raw) noexcept { return kc_cancel_keep(raw), cancellation(raw); }

    cancellation(cancellation &&other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
    cancellation &operator=(cancellation &&other) noexcept {
        std::swap(raw_, other.raw_);
        return *this;
    }
    cancellation(const cancellation &) = delete;
    cancellation &operator=(const cancellation &) = delete;
    ~cancellation() { kc_cancel_drop(raw_); }

    /* Whether this call set it; the first reason stays. */
    bool trigger(reason why = reason::cancel) const noexcept {
        return kc_cancel_trigger(raw_, static_cast<std::uint32_t>(why)) == KC_OK;
    }
    bool is_set() const noexcept { return kc_cancel_is_set(raw_) != 0; }
    enum reason why() const noexcept { return static_cast<enum reason>(kc_cancel_reason(raw_)); }
    /* Until it is set; errc::time at the deadline. */
    result<void> wait(time_point deadline = time_point::max()) const noexcept {
        return code_of(detail::parked([&] { return kc_cancel_wait(raw_, detail::nanoseconds(deadline)); }));
    }
    kc_cancel *native() const noexcept { return raw_; }

private:
    explicit cancellation(kc_cancel *raw) noexcept : raw_(raw) {}
    kc_cancel *raw_ = nullptr;
};

inline patience::patience(const cancellation &c) noexcept : cancel_(c.native()) {}
inline unless_cancelled::unless_cancelled(const cancellation &c) noexcept : cancel_(c.native()) {}
inline patience patience::unless(const cancellation &c) const noexcept {
    patience both = *this;
    both.cancel_ = c.native();
    return both;
}

/* Triggers it where it is left. */
class cancel_guard {
public:
    explicit cancel_guard(const cancellation &c) noexcept : of_(c.share()) {}
    cancel_guard(cancel_guard &&) noexcept = default;
    cancel_guard &operator=(cancel_guard &&) = delete;
    ~cancel_guard() {
        if (of_.native() != nullptr)
            (void)of_.trigger();
    }

private:
    cancellation of_;
};

/* Calls f(reason) once when it is set, or at once if it is; not any more once this was left. It is called by whoever
 * triggers, with the tree locked: it must not wait, nor use a cancellation of this tree. Stays where it was made. */
template <class F> class cancel_hook {
public:
    cancel_hook(const cancellation &c, F f) : f_(std::move(f)), of_(c.share()) {
        hook_.fn = [](void *self, std::uint32_t why) { static_cast<cancel_hook *>(self)->call(why); };
        hook_.arg = this;
        if (kc_cancel_add(of_.native(), &hook_) != KC_OK)
            call(kc_cancel_reason(of_.native()));
    }
    cancel_hook(const cancel_hook &) = delete;
    cancel_hook &operator=(const cancel_hook &) = delete;
    ~cancel_hook() { (void)kc_cancel_forget(&hook_); }

private:
    void call(std::uint32_t why) noexcept { f_(static_cast<enum reason>(why)); }
    kc_cancel_hook hook_{};
    F f_;
    cancellation of_;
};

} // namespace kcoro
#endif
