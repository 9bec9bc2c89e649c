/* executor.hpp: the queue of tasks that are ready and the drivers that resume them:
 * what stands behind task.hpp's executor.
 *
 * A driver is a coroutine of the runtime; with nothing ready it parks. Appending allocates nothing and cannot fail, so
 * whoever completes an operation may do it. The mutex is held for a few instructions, never while anybody waits.
 * Invariant: a driver stands in the list of idle ones only while it is in take().
 */
#ifndef KCORO_CPP_EXECUTOR_HPP
#define KCORO_CPP_EXECUTOR_HPP

#include <coroutine>
#include <cstdlib>
#include <mutex>

#include "kcoro/cpp/scope.hpp"

namespace kcoro::detail {

struct root_task;

/* What a driver is told by the coroutine that it resumed, on the driver's own stack: a task that waits may already go
 * on elsewhere when its driver looks again. */
struct turn {
    std::coroutine_handle<> next; /* of the same chain */
    root_task *over = nullptr;    /* the chain has ended */
};

class executor_state;

/* A chain of tasks that await each other: one of them is resumed when its time comes. */
struct root_task {
    root_task() = default;
    root_task(const root_task &) = delete;
    root_task &operator=(const root_task &) = delete;
    virtual ~root_task() = default;
    virtual void over() noexcept = 0; /* the last that is called of it */
    root_task *after = nullptr;       /* in the queue */
    std::coroutine_handle<> handle;   /* to be resumed */
    turn *at = nullptr;               /* of whoever resumed it */
    executor_state *home = nullptr;
};

class executor_state {
public:
    executor_state(const scheduler &on, std::uint32_t drivers) : crew_(on) {
        errc begun = errc::ok;
        for (std::uint32_t i = 0; i < drivers && begun == errc::ok; i++)
            begun = crew_.launch([this] { drive(); }).code();
        if (begun != errc::ok) {
            end_drivers(); /* before what they use is gone */
            fail(begun, "kcoro::executor");
        }
    }
    kc_sched *sched() const noexcept { return kc_task_scope_sched(crew_.native()); }

    /* Its `handle` is ready. From anywhere. */
    void post(root_task &r) noexcept {
        const std::lock_guard hold(lock_);
        r.home = this;
        r.after = nullptr;
        (last_ != nullptr ? last_->after : first_) = &r;
        last_ = &r;
        if (idle_ != nullptr)
            wake();
    }
    void began() noexcept {
        const std::lock_guard hold(lock_);
        live_++;
    }
    void ended() noexcept {
        const std::lock_guard hold(lock_);
        if (--live_ == 0)
            tell_all();
    }
    /* Until none lives of those that began. */
    void wait() {
        waiting me;
        {
            const std::lock_guard hold(lock_);
            if (live_ == 0)
                return;
            me.next = waiting_;
            waiting_ = &me;
        }
        (void)me.told.wait();
    }
    /* Waits, ends the drivers, and is gone. */
    void stop() noexcept {
        wait();
        end_drivers();
        delete this;
    }
    failures failed;

private:
    struct driver {
        driver *next;
        kc_co *co;
        bool idle; /* it is in the list */
    };
    struct waiting {
        waiting *next = nullptr;
        cancellation told; /* set when none lives */
    };
    ~executor_state() = default;

    void end_drivers() noexcept {
        {
            const std::lock_guard hold(lock_);
            stopping_ = true;
            while (idle_ != nullptr)
                wake();
        }
        (void)crew_.wait();
    }
    void tell_all() noexcept {
        while (waiting_ != nullptr) {
            const cancellation told = waiting_->told.share();
            waiting_ = waiting_->next;
            (void)told.trigger(); /* whoever waited is gone after this */
        }
    }
    /* Under the lock, so that the driver, which is on its own stack, cannot leave meanwhile. */
    void wake() noexcept {
        driver *d = std::exchange(idle_, idle_->next);
        d->idle = false;
        (void)kc_co_unpark(d->co);
    }
    /* NULL at the end. */
    root_task *take() noexcept {
        driver me{nullptr, kc_co_self(), false};
        std::unique_lock hold(lock_);
        while (first_ == nullptr && !stopping_)
            sleep(me, hold);
        if (me.idle)
            leave(me);
        root_task *r = first_;
        if (r != nullptr && (first_ = r->after) == nullptr)
            last_ = nullptr;
        return r;
    }
    /* Until it is woken, or by an unpark that was meant for what ran on this driver. */
    void sleep(driver &me, std::unique_lock<std::mutex> &hold) noexcept {
        if (!me.idle) {
            me.idle = true;
            me.next = std::exchange(idle_, &me);
        }
        hold.unlock();
        (void)kc_co_park();
        hold.lock();
    }
    void leave(const driver &me) noexcept {
        driver **at = &idle_;
        while (*at != &me)
            at = &(*at)->next;
        *at = me.next;
    }
    void drive() noexcept {
        while (root_task *r = take()) {
            turn mine;
            mine.next = r->handle;
            r->at = &mine;
            while (mine.next)
                std::exchange(mine.next, nullptr).resume();
            if (kc_co_self() == nullptr) /* in a child of fork, where the others are the parent's (decision 0077) */
                std::abort();
            if (mine.over != nullptr)
                mine.over->over();
        }
    }

    std::mutex lock_;
    root_task *first_ = nullptr, *last_ = nullptr;
    driver *idle_ = nullptr;
    waiting *waiting_ = nullptr;
    std::size_t live_ = 0;
    bool stopping_ = false;
    scope crew_;
};

} // namespace kcoro::detail
#endif
