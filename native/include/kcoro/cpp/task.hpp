/* task.hpp: C++20 coroutines: task<T>, an executor that runs them on a scheduler,
 * and awaitables over channel operations.
 *
 * A task has no stack: a thousand that wait cost their frames. An executor has a few drivers, coroutines of the
 * runtime, who resume whatever is ready; a task goes on with any of them. In a task `co_await async::receive(c)` gives
 * way to others, while a plain `c.receive()` works too and keeps its driver.
 *
 * A task that awaits another one does not call it: its driver goes on with the next after the first has returned, so no
 * depth of tasks needs stack, whatever the compiler does with tail calls (decision 0051).
 * Invariants: a task runs at one place at a time; of one that waits nobody touches the frame but whoever resumes it; an
 * executor's end waits for every task that it was given.
 */
#ifndef KCORO_CPP_TASK_HPP
#define KCORO_CPP_TASK_HPP

#include <variant>

#include "kcoro/cpp/executor.hpp"

namespace kcoro {

template <class T = void> class task;

namespace detail {

/* What every promise has; `root` is that of the chain of tasks that await each other. */
struct promise_base {
    struct at_the_end {
        bool await_ready() const noexcept { return false; }
        template <class P> void await_suspend(std::coroutine_handle<P> h) const noexcept { h.promise().over(); }
        void await_resume() const noexcept {}
    };
    std::suspend_always initial_suspend() const noexcept { return {}; }
    at_the_end final_suspend() const noexcept { return {}; }
    /* The driver goes on with whoever awaits this. */
    void over() noexcept { root->at->next = awaits; }
    void unhandled_exception() noexcept {
#if KCORO_CPP_EXCEPTIONS
        thrown = std::current_exception();
#endif
    }
    void rethrow() {
#if KCORO_CPP_EXCEPTIONS
        if (thrown != nullptr)
            std::rethrow_exception(std::exchange(thrown, nullptr));
#endif
    }
    root_task *root = nullptr;
    std::coroutine_handle<> awaits;
    std::exception_ptr thrown;
};

template <class T> struct promise final : promise_base {
    task<T> get_return_object() noexcept;
    template <class U> void return_value(U &&value) { answer.emplace(std::forward<U>(value)); }
    T take() {
        rethrow();
        return *std::move(answer);
    }
    std::optional<T> answer;
};
template <> struct promise<void> final : promise_base {
    task<void> get_return_object() noexcept;
    void return_void() const noexcept {}
    void take() { rethrow(); }
};

} // namespace detail

/* One that has not begun; it begins when it is awaited, or given to an executor. Awaited once. */
template <class T> class [[nodiscard]] task {
public:
    using promise_type = detail::promise<T>;
    explicit task(std::coroutine_handle<promise_type> h) noexcept : handle_(h) {}
    task(task &&other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    task &operator=(task &&other) noexcept {
        std::swap(handle_, other.handle_);
        return *this;
    }
    task(const task &) = delete;
    task &operator=(const task &) = delete;
    ~task() {
        if (handle_)
            handle_.destroy();
    }

    bool await_ready() const noexcept { return false; }
    template <class P> void await_suspend(std::coroutine_handle<P> who) const noexcept {
        handle_.promise().root = who.promise().root;
        handle_.promise().awaits = who;
        who.promise().root->at->next = handle_;
    }
    T await_resume() const { return handle_.promise().take(); }

private:
    std::coroutine_handle<promise_type> handle_;
};

namespace detail {

template <class T> task<T> promise<T>::get_return_object() noexcept {
    return task<T>(std::coroutine_handle<promise>::from_promise(*this));
}
inline task<void> promise<void>::get_return_object() noexcept {
    return task<void>(std::coroutine_handle<promise>::from_promise(*this));
}

/* The outermost coroutine of a chain: it owns the task, and frees itself. */
struct outermost {
    struct promise_type {
        template <class... Args> explicit promise_type(root_task &r, Args &&...) noexcept : root(&r) {}
        outermost get_return_object() noexcept { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
        std::suspend_always initial_suspend() const noexcept { return {}; }
        std::suspend_never final_suspend() const noexcept { return {}; }
        void return_void() const noexcept {}
        [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }
        root_task *root;
    };
    std::coroutine_handle<promise_type> handle;
};

/* A task whose outcome somebody waits for. */
template <class T> struct awaited_root final : root_task {
    std::optional<std::conditional_t<std::is_void_v<T>, std::monostate, T>> answer;
    std::exception_ptr thrown;
    cancellation done; /* set when it has ended */
    void over() noexcept override {
        const cancellation mine = done.share(); /* whoever waits may be gone before trigger returns */
        (void)mine.trigger();
    }
};
/* A task that nobody waits for: the executor keeps its failure. */
struct given_root final : root_task {
    explicit given_root(executor_state *e) noexcept : of(e) {}
    void over() noexcept override {
        executor_state *e = of;
        delete this;
        e->ended();
    }
    executor_state *of;
};

template <class T> outermost start(awaited_root<T> &r, task<T> body) {
#if KCORO_CPP_EXCEPTIONS
    try {
#endif
        if constexpr (std::is_void_v<T>) {
            co_await body;
            r.answer.emplace();
        } else {
            r.answer.emplace(co_await body);
        }
#if KCORO_CPP_EXCEPTIONS
    } catch (...) {
        r.thrown = std::current_exception();
    }
#endif
    r.at->over = &r;
}

inline outermost start(given_root &r, task<void> body) {
#if KCORO_CPP_EXCEPTIONS
    try {
        co_await body;
    } catch (...) {
        r.of->failed.run([] { throw; });
    }
#else
    co_await body;
#endif
    r.at->over = &r;
}

} // namespace detail

/* Runs tasks on a scheduler. Leaving it waits for those that it was given. */
class executor {
public:
    /* drivers: how many tasks run at the same time; 1: never two; 0: as many as the scheduler's workers. */
    explicit executor(const scheduler &on, std::uint32_t drivers = 1)
        : state_(new detail::executor_state(on, drivers != 0 ? drivers : on.workers())) {}
    executor(executor &&) noexcept = default;
    executor &operator=(executor &&) noexcept = default;
    ~executor() = default;

    /* The task begins; what it throws, join() throws. */
    void spawn(task<void> body) const {
        auto r = std::make_unique<detail::given_root>(state_.get());
        r->handle = detail::start(*r, std::move(body)).handle;
        state_->began();
        state_->post(*r.release());
    }
    /* Runs it and waits for its outcome: in a thread, or in a coroutine of the runtime that is no driver of this. */
    template <class T> T run(task<T> body) const {
        detail::awaited_root<T> r;
        r.handle = detail::start(r, std::move(body)).handle;
        state_->post(r);
        (void)r.done.wait();
#if KCORO_CPP_EXCEPTIONS
        if (r.thrown != nullptr)
            std::rethrow_exception(r.thrown);
#endif
        if constexpr (!std::is_void_v<T>)
            return *std::move(r.answer);
    }
    /* Until none is left of those it was given; throws what the first of them threw. */
    void join() const {
        state_->wait();
        state_->failed.rethrow();
    }

private:
    struct end {
        void operator()(detail::executor_state *s) const noexcept { s->stop(); }
    };
    std::unique_ptr<detail::executor_state, end> state_;
};

} // namespace kcoro
#endif
