/* scope.hpp: a scope of coroutines: whoever leaves it leaves nobody behind.
 *
 * Leaving cancels the scope and waits for every child, by an exception too. A child gets the scope's cancellation and
 * is expected to heed it. An exception that leaves a child is kept, the first one, and cancels the scope;
 * join() throws it.
 */
#ifndef KCORO_CPP_SCOPE_HPP
#define KCORO_CPP_SCOPE_HPP

#include <atomic>
#include <exception>

#include "kcoro/cpp/channel.hpp"
#include "kcoro/cpp/scheduler.hpp"
#include "kcoro/kc_task.h"

namespace kcoro {

namespace detail {

/* What the children of a scope tell. */
class failures {
public:
    /* Runs f; false: an exception left it. */
    template <class F> bool run(F &&f) noexcept {
#if KCORO_CPP_EXCEPTIONS
        try {
            f();
            return true;
        } catch (...) {
            if (!taken_.exchange(true, std::memory_order_acq_rel))
                first_ = std::current_exception();
            return false;
        }
#else
        f();
        return true;
#endif
    }
    /* After whoever ran has ended. */
    void rethrow() {
#if KCORO_CPP_EXCEPTIONS
        if (first_ != nullptr)
            std::rethrow_exception(std::exchange(first_, nullptr));
#endif
    }
    bool any() const noexcept { return taken_.load(std::memory_order_acquire); }

private:
    std::atomic<bool> taken_ = false;
    std::exception_ptr first_;
};

template <class F> auto invoke_child(F &f, const cancellation &c) {
    if constexpr (std::is_invocable_v<F &, const cancellation &>)
        return std::invoke(f, c);
    else
        return std::invoke(f);
}

} // namespace detail

class scope {
public:
    explicit scope(const scheduler &on) : scope(on.native(), nullptr) {}
    /* Cancelled with the parent. */
    scope(const scheduler &on, const cancellation &parent) : scope(on.native(), parent.native()) {}
    scope(scope &&) noexcept = default;
    scope &operator=(scope &&) noexcept = default;
    ~scope() = default;

    /* f() or f(const cancellation &) in a new coroutine. errc::cancelled: the scope was cancelled,
     * nothing was started. */
    template <class F> result<void> launch(F &&f) const {
        auto *mine = new (std::nothrow) child<std::decay_t<F>>{state_.get(), std::forward<F>(f)};
        if (mine == nullptr)
            return errc::no_memory;
        const int rc = kc_task_launch(state_->raw, &child<std::decay_t<F>>::run, mine);
        if (rc != KC_OK)
            delete mine;
        return code_of(rc);
    }
    /* A channel that f(channel, cancellation) or f(channel) fills in a new coroutine; it is closed when f has ended.
     * What f waits for by it ends with the scope. */
    template <class T, class F> result<channel<T>> produce(const hub &h, const kind &k, F &&f) const {
        result<channel<T>> made = channel<T>::make(h, k);
        if (!made)
            return made;
        const result<void> done = launch([ours = made->share(), f = std::forward<F>(f)](const cancellation &c) mutable {
            const closing<T> at_the_end{ours};
            ours.bind(c);
            if constexpr (std::is_invocable_v<F &, channel<T> &, const cancellation &>)
                std::invoke(f, ours, c);
            else
                std::invoke(f, ours);
        });
        return done ? std::move(made) : result<channel<T>>(done.code());
    }
    /* Tells all children; new ones are refused. Whether this call did it. */
    bool cancel(reason why = reason::cancel) const noexcept {
        return kc_task_scope_cancel(state_->raw, static_cast<std::uint32_t>(why)) == KC_OK;
    }
    /* Until no child is left. Not from a child. */
    result<void> wait(time_point deadline = time_point::max()) const noexcept {
        return code_of(detail::parked([&] { return kc_task_scope_wait(state_->raw, detail::nanoseconds(deadline)); }));
    }
    /* The same, and throws what left the first child that failed. */
    void join() const {
        (void)wait();
        state_->failed.rethrow();
    }
    bool failed() const noexcept { return state_->failed.any(); }
    std::uint32_t children() const noexcept { return kc_task_scope_children(state_->raw); }
    /* Another owner of the scope's cancellation. */
    cancellation cancel_of() const noexcept { return cancellation::share(kc_task_scope_cancel_of(state_->raw)); }
    kc_task_scope *native() const noexcept { return state_->raw; }

private:
    struct state {
        kc_task_scope *raw = nullptr;
        detail::failures failed;
        ~state() {
            detail::parked([this] { kc_task_scope_destroy(raw); });
        }
    };
    template <class F> struct child {
        state *of;
        F f;
        static void run(kc_task_scope *raw, void *arg) noexcept {
            const std::unique_ptr<child> mine(static_cast<child *>(arg));
            const cancellation c = cancellation::share(kc_task_scope_cancel_of(raw));
            if (!mine->of->failed.run([&] { (void)detail::invoke_child(mine->f, c); }))
                (void)c.trigger();
        }
    };
    template <class T> struct closing {
        const channel<T> &of;
        ~closing() { (void)of.close(); }
    };
    scope(kc_sched *on, kc_cancel *parent) : state_(std::make_unique<state>()) {
        detail::require(kc_task_scope_make(on, parent, &state_->raw), "kcoro::scope");
    }
    std::unique_ptr<state> state_;
};

namespace detail {

/* What the body does. A child that throws cancels the scope, so the body may then throw errc::cancelled: that is no
 * news. */
template <class F> decltype(auto) in_body(scope &s, F &&body) {
#if KCORO_CPP_EXCEPTIONS
    try {
        return std::invoke(std::forward<F>(body), s);
    } catch (const error &e) {
        if (e.kc() == errc::cancelled && s.failed())
            s.join();
        throw;
    }
#else
    return std::invoke(std::forward<F>(body), s);
#endif
}

} // namespace detail

/* body(scope &) in a scope of its own: when it returns all children have ended by themselves, and what the first of
 * them threw is thrown here; when it throws they were cancelled and have ended. Where a child has failed and the body
 * throws errc::cancelled, what the child threw is thrown. */
template <class F> decltype(auto) in_scope(const scheduler &on, F &&body) {
    scope s(on);
    if constexpr (std::is_void_v<std::invoke_result_t<F, scope &>>) {
        detail::in_body(s, std::forward<F>(body));
        s.join();
    } else {
        auto answer = detail::in_body(s, std::forward<F>(body));
        s.join();
        return answer;
    }
}

} // namespace kcoro
#endif
