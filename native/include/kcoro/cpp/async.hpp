/* async.hpp: what a task awaits: channel operations, select, time, and any function that waits.
 *
 * What a channel of this process can do at once is done at once, without giving way. What must wait, and what is asked
 * of a daemon, is done by a coroutine of the runtime on behalf of the task, which is then ready again: so every kind of
 * channel, deadline and cancel means what it means elsewhere, at the price of a stack while it waits and of twice the
 * time of a coroutine that waits itself (docs/CPP.md has figures; decision 0051). If no such coroutine can be had the
 * answer is errc::no_memory.
 */
#ifndef KCORO_CPP_ASYNC_HPP
#define KCORO_CPP_ASYNC_HPP

#include "kcoro/cpp/select.hpp"
#include "kcoro/cpp/task.hpp"

namespace kcoro::async {

namespace detail {

using kcoro::detail::root_task;

template <class R> R refused(errc c) { return R(c); }
template <> inline selection refused<selection>(errc c) { return {selection::none, c}; }

/* What a try said that may be tried again by waiting. */
template <class R> bool is_again(const R &r) noexcept {
    if constexpr (std::is_same_v<R, selection>)
        return r.code == errc::again;
    else
        return r.code() == errc::again;
}

/* `attempt` never waits and `wait` does; both answer an R. The awaiter lives in the frame of the task that awaits
 * it. */
template <class R, class Attempt, class Wait> class [[nodiscard]] operation {
public:
    operation(patience how, Attempt attempt, Wait wait)
        : attempt_(std::move(attempt)), wait_(std::move(wait)), cancel_(how.cancel()) {}
    operation(const operation &) = delete;
    operation &operator=(const operation &) = delete;

    bool await_ready() {
        answer_.emplace(kc_cancel_is_set(cancel_) != 0 ? refused<R>(errc::cancelled) : attempt_());
        return !is_again(*answer_);
    }
    template <class P> bool await_suspend(std::coroutine_handle<P> who) {
        root_ = who.promise().root;
        root_->handle = who;
        auto helper = [this] { help(); };
        void *arg = nullptr;
        (void)kcoro::detail::closure<decltype(helper)>::pack(helper, &arg); /* it fits into the pointer */
        const int rc =
            kc_sched_spawn(root_->home->sched(), &kcoro::detail::closure<decltype(helper)>::run, arg, nullptr);
        if (rc != KC_OK)
            answer_.emplace(refused<R>(code_of(rc)));
        return rc == KC_OK;
    }
    R await_resume() {
#if KCORO_CPP_EXCEPTIONS
        if (thrown_ != nullptr)
            std::rethrow_exception(std::exchange(thrown_, nullptr));
#endif
        return *std::move(answer_);
    }

private:
    void help() noexcept {
#if KCORO_CPP_EXCEPTIONS
        try {
            answer_.emplace(wait_());
        } catch (...) {
            thrown_ = std::current_exception();
        }
#else
        answer_.emplace(wait_());
#endif
        root_->home->post(*root_); /* the last touch: the frame goes on */
    }
    Attempt attempt_;
    Wait wait_;
    kc_cancel *cancel_;
    root_task *root_ = nullptr;
    std::optional<R> answer_;
    std::exception_ptr thrown_;
};

template <class R, class Attempt, class Wait> auto make(patience how, Attempt attempt, Wait wait) {
    return operation<R, Attempt, Wait>(how, std::move(attempt), std::move(wait));
}

} // namespace detail

/* co_await async::receive(channel, patience): result<T>. */
template <class Channel> auto receive(const Channel &of, patience how = {}) {
    using answer = result<typename Channel::value_type>;
    return detail::make<answer>(how, [&of] { return of.is_local() ? of.try_receive() : answer(errc::again); },
                                [&of, how] { return of.receive(how); });
}
/* co_await async::send(channel, value, patience): result<void>. The value is sent, or as it was. */
template <class Channel> auto send(const Channel &to, typename Channel::value_type &&value, patience how = {}) {
    const auto attempt = [&to, &value] {
        return to.is_local() ? to.try_send(std::move(value)) : result<void>(errc::again);
    };
    return detail::make<result<void>>(how, attempt,
                                      [&to, &value, how] { return to.send(std::move(value), how); });
}
template <class Channel>
auto send(const Channel &to, typename Channel::value_type &value, patience how = {}) {
    return send(to, std::move(value), how);
}
/* co_await async::select(order, patience, clauses...): selection. The winner's function is called before it is
 * resumed. */
template <clause... Clauses> auto select(order by, patience how, Clauses &&...clauses) {
    const auto attempt = [by, &clauses...] {
        return (clauses.of().is_local() && ...) ? kcoro::try_select(by, clauses...)
                                                : selection{selection::none, errc::again};
    };
    return detail::make<selection>(how, attempt,
                                   [by, how, &clauses...] { return kcoro::select(by, how, clauses...); });
}
/* co_await async::call(f): what f() answers, a result<...>, while other tasks go on; f may wait as it likes. */
template <class F> auto call(F f) {
    using answer = std::invoke_result_t<F &>;
    return detail::make<answer>({}, [] { return answer(errc::again); }, std::move(f));
}
/* co_await async::sleep(patience): errc::ok at the deadline. */
inline auto sleep(patience how) {
    return detail::make<result<void>>(how, [] { return result<void>(errc::again); },
                                      [how] { return kcoro::sleep(how); });
}

/* co_await async::yield(): behind all tasks that are ready. */
struct yield {
    bool await_ready() const noexcept { return false; }
    template <class P> void await_suspend(std::coroutine_handle<P> who) const noexcept {
        detail::root_task *root = who.promise().root;
        root->handle = who;
        root->home->post(*root);
    }
    void await_resume() const noexcept {}
};

} // namespace kcoro::async
#endif
