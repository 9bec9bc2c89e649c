/* test_cpp_task.cpp: tasks of C++20: what they await, who resumes them, and what becomes of exceptions and of depth. */
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "cpp_test.hpp"

using kcoro::cancellation;
using kcoro::channel;
using kcoro::errc;
using kcoro::executor;
using kcoro::order;
using kcoro::task;
using test::counted;
namespace async = kcoro::async;
using namespace std::chrono_literals;

/* So many more that may fail succeed, then one does not; below 0: all do. */
static std::atomic<int> allocations_left = -1;
void *operator new(std::size_t bytes, const std::nothrow_t &) noexcept {
    const int left = allocations_left.load();
    if (left == 0)
        return nullptr;
    if (left > 0)
        allocations_left = left - 1;
    try {
        return ::operator new(bytes);
    } catch (...) {
        return nullptr;
    }
}

static task<int> answer(int n) { co_return n; }
static task<std::unique_ptr<int>> twice(int n) {
    const int a = co_await answer(n);
    const int b = co_await answer(n);
    co_return std::make_unique<int>(a + b);
}
static task<> fails(const char *what) {
    co_await async::yield();
    throw std::runtime_error(what);
}
static task<std::string> catches() {
    std::string what = "nothing";
    try {
        co_await fails("inner");
    } catch (const std::runtime_error &e) {
        what = e.what();
    }
    co_return what;
}

CPP_TEST(a_task_answers_what_it_returns_or_throws) {
    const kcoro::scheduler s = test::workers(2);
    const executor run(s);
    CPP_EQ(*run.run(twice(21)), 42);
    CPP_CHECK(run.run(catches()) == "inner");
    std::string what;
    try {
        run.run(fails("outer"));
    } catch (const std::runtime_error &e) {
        what = e.what();
    }
    CPP_CHECK(what == "outer");
}

static task<> never(std::unique_ptr<counted> held) { co_return (void)held; }

CPP_TEST(a_task_that_was_not_begun_is_destroyed_with_its_arguments) {
    {
        task<> t = never(std::make_unique<counted>(1));
        task<> moved = std::move(t);
        CPP_EQ(counted::live, 1);
    }
    CPP_EQ(counted::live, 0);
}

static task<long> chain(long depth) {
    if (depth == 0)
        co_return 0;
    co_return 1 + co_await chain(depth - 1);
}
static task<long> loop(long rounds) {
    long sum = 0;
    for (long i = 0; i < rounds; i++)
        sum += co_await answer(1);
    co_return sum;
}

CPP_TEST(neither_depth_nor_rounds_need_stack) {
    const kcoro::scheduler s = test::workers(1);
    const executor run(s);
    const long many = 100000 / test::scale;
    CPP_EQ(run.run(chain(many)), many);
    CPP_EQ(run.run(loop(many)), many);
}

static task<> pings(const channel<counted> &to, const channel<counted> &from, int rounds) {
    for (int i = 0; i < rounds; i++) {
        counted one(i);
        (co_await async::send(to, one)).value();
        const counted back = (co_await async::receive(from)).value();
        CPP_EQ(back.value, i);
    }
    (void)to.close();
}
static task<> pongs(const channel<counted> &from, const channel<counted> &to) {
    for (;;) {
        auto got = co_await async::receive(from);
        if (!got)
            break;
        (co_await async::send(to, *std::move(got))).value();
    }
}

CPP_TEST(tasks_talk_through_channels) {
    for (const std::uint32_t drivers : {1U, 3U}) {
        kcoro::hub h;
        {
            const kcoro::scheduler s = test::workers(2);
            const channel<counted> there(h), back(h);
            const executor run(s, drivers);
            run.spawn(pongs(there, back));
            run.spawn(pings(there, back, 1000 / test::scale));
            run.join();
        }
        CPP_EQ(counted::live, 0);
        CPP_EMPTY(h);
    }
}

CPP_TEST(a_task_talks_to_a_coroutine_with_a_stack_and_to_a_thread) {
    kcoro::hub h;
    {
        const kcoro::scheduler s = test::workers(2);
        const channel<counted> there(h), back(h);
        const executor run(s);
        const kcoro::scope stackful(s);
        stackful.launch([&] {
            for (auto got : there)
                back.send(std::move(got)).value();
        }).value();
        run.run(pings(there, back, 500 / test::scale));
        stackful.join();
        const channel<int> numbers(h);
        std::thread thread([&] {
            for (int i = 0; i < 100; i++)
                numbers.send(i).value();
            (void)numbers.close();
        });
        const auto sum = [](const channel<int> &of) -> task<int> {
            int all = 0;
            for (auto got = co_await async::receive(of); got; got = co_await async::receive(of))
                all += *got;
            co_return all;
        };
        CPP_EQ(run.run(sum(numbers)), 4950);
        thread.join();
    }
    CPP_EQ(counted::live, 0);
    CPP_EMPTY(h);
}

static task<> waits_for_ends(const channel<int> &c, const cancellation &stop, std::vector<errc> &ends) {
    ends.push_back((co_await async::receive(c, 1ms)).code());
    ends.push_back((co_await async::send(c, 1, 1ms)).code());
    ends.push_back((co_await async::receive(c, kcoro::unless(stop))).code());
    ends.push_back((co_await async::receive(c, kcoro::unless(stop))).code()); /* set before */
    ends.push_back((co_await async::sleep(1ms)).code());
    ends.push_back((co_await async::sleep(kcoro::within(1h).unless(stop))).code());
    (void)c.close();
    ends.push_back((co_await async::receive(c)).code());
}

CPP_TEST(deadlines_cancels_and_closing_end_what_a_task_awaits) {
    kcoro::hub h;
    {
        const kcoro::scheduler s = test::workers(2);
        const channel<int> c(h);
        const cancellation stop;
        const executor run(s);
        std::vector<errc> ends;
        run.spawn(waits_for_ends(c, stop, ends));
        test::until([&] {
            const auto cell = kcoro::cell_of(h, c);
            return cell->state == kcoro::cell_state::receiver_ready && cell->cancels >= 2;
        });
        CPP_CHECK(stop.trigger());
        run.join();
        const std::vector<errc> expected = {errc::time,      errc::time, errc::cancelled, errc::cancelled,
                                            errc::ok, errc::cancelled, errc::closed};
        CPP_CHECK(ends == expected);
    }
    CPP_EMPTY(h);
}

CPP_TEST(what_was_cancelled_before_has_no_effect) {
    kcoro::hub h;
    {
        const kcoro::scheduler s = test::workers(1);
        const channel<int> c(h, kcoro::buffered(1));
        const cancellation stop;
        const executor run(s);
        CPP_CHECK(c.send(1).has_value());
        CPP_CHECK(stop.trigger());
        const auto takes = [](const channel<int> &of, const cancellation &end) -> task<errc> {
            co_return (co_await async::receive(of, end)).code();
        };
        CPP_EQ(run.run(takes(c, stop)), errc::cancelled);
        CPP_EQ(c.depth(), 1);
    }
    CPP_EMPTY(h);
}

static task<int> selects(const channel<int> &numbers, const channel<std::string> &words, int rounds) {
    int sum = 0;
    for (int i = 0; i < rounds; i++) {
        const auto made = co_await async::select(order::fair, {}, kcoro::on_receive(numbers, [&](int n) { sum += n; }),
                                                 kcoro::on_receive(words, [&](std::string &&w) {
                                                     sum += static_cast<int>(w.size());
                                                 }));
        (void)made.value();
    }
    co_return sum;
}

CPP_TEST(a_task_selects_over_channels_of_several_types) {
    kcoro::hub h;
    {
        const kcoro::scheduler s = test::workers(2);
        const channel<int> numbers(h);
        const channel<std::string> words(h, kcoro::unlimited());
        const executor run(s);
        const kcoro::scope others(s);
        others.launch([&] {
            for (int i = 0; i < 50; i++)
                numbers.send(1000).value();
        }).value();
        others.launch([&] {
            for (int i = 0; i < 50; i++)
                words.send("seven..").value();
        }).value();
        CPP_EQ(run.run(selects(numbers, words, 100)), 50 * 1007);
        others.join();
    }
    CPP_EMPTY(h);
}

CPP_TEST(any_function_may_wait_while_other_tasks_go_on) {
    kcoro::hub h;
    {
        const kcoro::scheduler s = test::workers(1);
        const executor run(s, 1);
        const channel<int> c(h);
        const auto waits = [](const channel<int> &of) -> task<int> {
            const auto got = co_await async::call([&of] { return of.receive(); }); /* plain, on a stack */
            co_return got.value();
        };
        const auto sends = [](const channel<int> &to) -> task<> { (co_await async::send(to, 5)).value(); };
        int got = 0;
        const auto both = [&](int &out) -> task<> { out = co_await waits(c); };
        run.spawn(both(got));
        run.spawn(sends(c));
        run.join();
        CPP_EQ(got, 5);
        const auto throws = []() -> task<> {
            (co_await async::call([]() -> kcoro::result<int> { throw std::logic_error("called"); })).value();
        };
        int caught = 0;
        try {
            run.run(throws());
        } catch (const std::logic_error &) {
            caught++;
        }
        CPP_EQ(caught, 1);
    }
    CPP_EMPTY(h);
}

CPP_TEST(an_executor_waits_for_its_tasks_and_tells_the_first_failure) {
    kcoro::hub h;
    std::atomic<int> ended = 0;
    {
        const kcoro::scheduler s = test::workers(2);
        const channel<int> c(h, kcoro::unlimited());
        {
            const executor run(s, 2);
            const auto takes = [](const channel<int> &of, std::atomic<int> &count) -> task<> {
                (co_await async::receive(of)).value();
                count++;
            };
            for (int i = 0; i < 200; i++)
                run.spawn(takes(c, ended));
            run.spawn(fails("spawned"));
            for (int i = 0; i < 200; i++)
                c.send(i).value();
            int caught = 0;
            try {
                run.join();
            } catch (const std::runtime_error &) {
                caught++;
            }
            CPP_EQ(caught, 1);
            CPP_EQ(ended, 200);
            for (int i = 0; i < 10; i++)
                run.spawn(takes(c, ended));
            s.spawn([&c] {
                for (int i = 0; i < 1000; i++) {
                    kcoro::yield();
                    if (i % 100 == 99)
                        c.send(i).value();
                }
            }).value();
        }
        CPP_EQ(ended, 210); /* leaving it waited for them */
        CPP_CHECK(s.drain().has_value());
    }
    CPP_EMPTY(h);
}

CPP_TEST(yielding_lets_the_others_go_first) {
    const kcoro::scheduler s = test::workers(1);
    const executor run(s, 1);
    std::string order_of;
    const auto letter = [](std::string &to, char c) -> task<> {
        for (int i = 0; i < 3; i++) {
            to.push_back(c);
            co_await async::yield();
        }
    };
    const auto start = [&letter](const executor &on, std::string &to) -> task<> {
        on.spawn(letter(to, 'a'));
        on.spawn(letter(to, 'b'));
        co_return;
    };
    run.run(start(run, order_of));
    run.join();
    CPP_CHECK(order_of == "ababab");
}

CPP_TEST(an_unpark_that_was_meant_for_a_task_does_not_confuse_its_driver) {
    const kcoro::scheduler s = test::workers(2);
    const auto strays = []() -> task<> {
        (void)kc_co_unpark(kc_co_self()); /* the driver will not wait at its next park */
        co_return;
    };
    for (int i = 0; i < 50; i++) {
        const executor run(s, 2);
        for (int n = 0; n < 4; n++)
            run.spawn(strays());
        run.join();
        CPP_EQ(run.run(answer(i)), i);
    }
}

CPP_TEST(an_executor_that_cannot_start_a_driver_ends_the_others_and_says_so) {
    const kcoro::scheduler s = test::workers(2);
    for (int begun = 0; begun < 3; begun++) {
        errc code = errc::ok;
        try {
            allocations_left = begun;
            const executor run(s, 3);
        } catch (const kcoro::error &e) {
            code = e.kc();
        }
        allocations_left = -1;
        CPP_EQ(code, errc::no_memory);
    }
    CPP_CHECK(s.drain().has_value());
}

CPP_TEST(no_number_of_workers_or_drivers_is_as_many_as_there_are) {
    const kcoro::scheduler on(0);
    CPP_CHECK(on.workers() >= 1);
    const kcoro::executor tasks(on, 0);
    CPP_EQ(tasks.run([]() -> task<int> { co_return 7; }()), 7);
}

struct forking {
    pid_t parent = ::getpid();
    int status = 0; /* of the child */
    int ran = 0;
};
static void fork_and_go_on(forking &f) {
    const pid_t child = ::fork();
    if (child != 0) {
        CPP_EQ(::waitpid(child, &f.status, 0), child);
    } else {
        const rlimit none{};
        (void)::setrlimit(RLIMIT_CORE, &none);
        (void)::alarm(30);
    }
}
static task<> forks_at_the_first(forking &f) {
    if (::getpid() != f.parent)
        ::_exit(3); /* twice: here and in the parent */
    if (f.ran++ == 0)
        fork_and_go_on(f);
    co_return;
}

/* Decision 0077. */
CPP_TEST(a_child_that_a_task_forked_runs_none_of_its_parents_tasks) {
    const kcoro::scheduler s = test::workers(1);
    const executor run(s);
    forking f;
    for (int i = 0; i < 3; i++)
        run.spawn(forks_at_the_first(f));
    run.join();
    CPP_CHECK(WIFSIGNALED(f.status) && WTERMSIG(f.status) == SIGABRT);
    CPP_EQ(f.ran, 3);
}

int main() {
    CPP_RUN(a_task_answers_what_it_returns_or_throws);
    CPP_RUN(a_child_that_a_task_forked_runs_none_of_its_parents_tasks);
    CPP_RUN(a_task_that_was_not_begun_is_destroyed_with_its_arguments);
    CPP_RUN(neither_depth_nor_rounds_need_stack);
    CPP_RUN(tasks_talk_through_channels);
    CPP_RUN(a_task_talks_to_a_coroutine_with_a_stack_and_to_a_thread);
    CPP_RUN(deadlines_cancels_and_closing_end_what_a_task_awaits);
    CPP_RUN(what_was_cancelled_before_has_no_effect);
    CPP_RUN(a_task_selects_over_channels_of_several_types);
    CPP_RUN(any_function_may_wait_while_other_tasks_go_on);
    CPP_RUN(an_executor_waits_for_its_tasks_and_tells_the_first_failure);
    CPP_RUN(an_executor_that_cannot_start_a_driver_ends_the_others_and_says_so);
    CPP_RUN(yielding_lets_the_others_go_first);
    CPP_RUN(an_unpark_that_was_meant_for_a_task_does_not_confuse_its_driver);
    CPP_RUN(no_number_of_workers_or_drivers_is_as_many_as_there_are);
    return test::report();
}
