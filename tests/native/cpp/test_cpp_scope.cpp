/* test_cpp_scope.cpp: scopes, cancellations, actors, and exceptions of coroutines that change threads. */
#include <stdexcept>
#include <string>
#include <vector>

#include "cpp_test.hpp"

using kcoro::cancellation;
using kcoro::channel;
using kcoro::errc;
using test::counted;
using namespace std::chrono_literals;

CPP_TEST(a_spawned_function_runs_and_is_destroyed) {
    std::atomic<int> ran = 0;
    {
        const kcoro::scheduler s = test::workers(2);
        counted heavy(3);
        s.spawn([&ran] { ran++; }).value(); /* as small as a pointer */
        s.spawn([&ran, mine = std::move(heavy)] { ran += mine.value; }).value();
        const kcoro::coroutine co = s.spawn_as("named", [&ran] { ran += 10; }).value();
        CPP_CHECK(std::string(co.name()) == "named");
        CPP_CHECK(s.drain().has_value());
        CPP_CHECK(co.finished());
        CPP_EQ(s.usage().completed, 3);
    }
    CPP_EQ(ran, 14);
    CPP_EQ(counted::live, 0);
}

CPP_TEST(leaving_a_scope_leaves_no_child) {
    const kcoro::scheduler s = test::workers(2);
    std::atomic<int> begun = 0, ended = 0;
    {
        const kcoro::scope children(s);
        for (int i = 0; i < 8; i++)
            children.launch([&](const cancellation &end) {
                begun++;
                (void)end.wait();
                ended++;
            }).value();
        test::until([&] { return begun == 8; });
        CPP_EQ(children.children(), 8);
        CPP_EQ(children.wait(std::chrono::steady_clock::now() + 1ms).code(), errc::time);
    }
    CPP_EQ(ended, 8);
}

CPP_TEST(a_cancelled_scope_starts_nothing) {
    const kcoro::scheduler s = test::workers(1);
    const kcoro::scope children(s);
    CPP_CHECK(children.cancel());
    CPP_CHECK(!children.cancel());
    int ran = 0;
    CPP_EQ(children.launch([&, keeps = counted(1)] { ran++; }).code(), errc::cancelled);
    CPP_EQ(ran, 0);
    CPP_EQ(counted::live, 0);
}

CPP_TEST(the_first_failure_cancels_its_siblings_and_is_thrown_by_join) {
    const kcoro::scheduler s = test::workers(2);
    const kcoro::scope children(s);
    std::atomic<int> cancelled = 0;
    for (int i = 0; i < 3; i++)
        children.launch([&](const cancellation &end) { cancelled += end.wait().has_value(); }).value();
    children.launch([] { throw std::runtime_error("first"); }).value();
    std::string what;
    try {
        children.join();
    } catch (const std::runtime_error &e) {
        what = e.what();
    }
    CPP_CHECK(what == "first");
    CPP_EQ(cancelled, 3);
    CPP_CHECK(children.failed());
}

CPP_TEST(a_scope_is_left_by_an_exception_without_leaving_anybody_behind) {
    const kcoro::scheduler s = test::workers(2);
    std::atomic<int> ended = 0;
    int caught = 0;
    try {
        kcoro::in_scope(s, [&](kcoro::scope &children) {
            children.launch([&](const cancellation &end) {
                (void)end.wait();
                ended++;
            }).value();
            throw std::logic_error("body");
        });
    } catch (const std::logic_error &) {
        caught++;
    }
    CPP_EQ(caught, 1);
    CPP_EQ(ended, 1);
    CPP_EQ(kcoro::in_scope(s, [](kcoro::scope &) { return 42; }), 42);
}

/* A destructor that waits while an exception passes, in coroutines that change threads all the time. */
struct waits_when_left {
    const kcoro::scheduler &s;
    ~waits_when_left() {
        const kcoro::scope inner(s);
        (void)inner.launch([] { kcoro::yield(); });
        (void)inner.wait();
    }
};

static int one_exception(const kcoro::scheduler &s, int i) {
    int wrong = std::uncaught_exceptions();
    try {
        const waits_when_left w{s};
        throw i;
    } catch (const int &n) {
        wrong += std::uncaught_exceptions() != 0;
        kcoro::yield(); /* in a handler: the exception is ours wherever we go on */
        try {
            throw std::to_string(n);
        } catch (const std::string &text) {
            kcoro::yield();
            wrong += text != std::to_string(i);
        }
        wrong += n != i;
        try {
            throw; /* still the outer one */
        } catch (const int &again) {
            wrong += again != i;
        } catch (...) {
            wrong++;
        }
    }
    return wrong + std::uncaught_exceptions();
}

CPP_TEST(exceptions_belong_to_their_coroutine_whatever_thread_it_goes_on_in) {
    for (const std::uint32_t count : {1U, 2U, 4U}) {
        const kcoro::scheduler s = test::workers(count);
        const kcoro::scope children(s);
        std::atomic<int> wrong = 0, done = 0;
        for (int n = 0; n < 16; n++)
            children.launch([&, n] {
                for (int i = 0; i < 200 / test::scale; i++)
                    wrong += one_exception(s, n * 1000 + i);
                done++;
            }).value();
        children.join();
        CPP_EQ(wrong, 0);
        CPP_EQ(done, 16);
    }
}

CPP_TEST(a_producer_fills_its_channel_and_closes_it) {
    kcoro::hub h;
    {
        const kcoro::scheduler s = test::workers(2);
        const kcoro::scope children(s);
        auto squares = children.produce<int>(h, kcoro::buffered(4), [](channel<int> &out) {
            for (int i = 1; i <= 10; i++)
                out.send(i * i).value();
        }).value();
        int sum = 0;
        for (int n : squares)
            sum += n;
        CPP_EQ(sum, 385);
        auto failing = children.produce<int>(h, kcoro::rendezvous(), [](channel<int> &, const cancellation &) {
            throw std::runtime_error("producer");
        }).value();
        CPP_EQ(failing.receive().code(), errc::closed); /* closed by its end, however it came */
        int caught = 0;
        try {
            children.join();
        } catch (const std::runtime_error &) {
            caught++;
        }
        CPP_EQ(caught, 1);
    }
    CPP_EMPTY(h);
}

CPP_TEST(cancellations_are_a_tree) {
    const cancellation root;
    cancellation below = root.child();
    for (int depth = 0; depth < 9; depth++)
        below = below.child();
    const cancellation beside = root.child();
    CPP_CHECK(beside.trigger(kcoro::reason::timeout));
    CPP_CHECK(!root.is_set());
    CPP_CHECK(!below.is_set());
    CPP_CHECK(root.trigger(kcoro::reason::shutdown));
    CPP_CHECK(!root.trigger());
    CPP_EQ(below.why(), kcoro::reason::shutdown);
    CPP_EQ(beside.why(), kcoro::reason::timeout);
    CPP_CHECK(below.wait().has_value());
    CPP_EQ(cancellation().wait(std::chrono::steady_clock::now()).code(), errc::time);
    CPP_CHECK(cancellation::make(root.native())->is_set());
}

CPP_TEST(a_hook_is_called_once_or_not_at_all) {
    const cancellation c;
    int calls = 0;
    { const kcoro::cancel_hook left(c, [&](kcoro::reason) { calls += 100; }); }
    const kcoro::cancel_hook hook(c, [&](kcoro::reason) { calls++; });
    { const kcoro::cancel_guard guard(c); }
    CPP_CHECK(c.is_set());
    CPP_EQ(calls, 1);
    const kcoro::cancel_hook late(c, [&](kcoro::reason why) { calls += why == kcoro::reason::cancel ? 10 : 0; });
    CPP_EQ(calls, 11);
}

CPP_TEST(sleeping_ends_at_its_deadline_or_when_it_is_cancelled) {
    const kcoro::scheduler s = test::workers(1);
    const cancellation stop;
    std::atomic<int> good = 0;
    s.spawn([&] {
        const std::int64_t before = kc_now_ns();
        good += kcoro::sleep(2ms).has_value() && kc_now_ns() - before >= 2'000'000;
        good += kcoro::sleep(kcoro::within(1h).unless(stop)).code() == errc::cancelled;
    }).value();
    test::until([&] { return good == 1; });
    CPP_CHECK(stop.trigger());
    CPP_CHECK(s.drain().has_value());
    CPP_EQ(good, 2);
}

template <class T, class Make> static void sum_of_actor(const kcoro::kind &k, Make make) {
    kcoro::hub h;
    {
        const kcoro::scheduler s = test::workers(2);
        channel<T> c(h, k);
        std::vector<int> seen;
        std::atomic<int> ends = 0;
        kcoro::actor<T> a(s, c, [&](T &&m) { seen.push_back(make.read(m)); },
                          [&](errc why) { ends += why == errc::closed; });
        for (int i = 0; i < 100; i++)
            c.send(make(i)).value();
        (void)c.close();
        CPP_EQ(a.join(), errc::closed);
        CPP_EQ(a.count(), 100);
        CPP_EQ(ends, 1);
        for (int i = 0; i < 100; i++)
            CPP_EQ(seen[static_cast<std::size_t>(i)], i);
    }
    CPP_EQ(counted::live, 0);
    CPP_EMPTY(h);
}

struct makes_int {
    int operator()(int i) const { return i; }
    int read(int i) const { return i; }
};
struct makes_counted {
    counted operator()(int i) const { return counted(i); }
    int read(const counted &c) const { return c.value; }
};

CPP_TEST(an_actor_gets_every_message_once_and_in_order) {
    for (const auto &k : {kcoro::rendezvous(), kcoro::buffered(3), kcoro::unlimited()}) {
        sum_of_actor<int>(k, makes_int{});
        sum_of_actor<counted>(k, makes_counted{});
    }
}

CPP_TEST(an_actor_ends_by_stop_by_cancel_by_itself_and_by_an_exception) {
    kcoro::hub h;
    {
        const kcoro::scheduler s = test::workers(1);
        channel<std::string> c(h, kcoro::unlimited());
        std::atomic<int> ends = 0;
        const auto on_done = [&](errc) { ends++; };
        {
            const kcoro::actor stopped(s, c, [](std::string &&) {}, on_done);
            CPP_EQ(stopped.wait(std::chrono::steady_clock::now()), errc::time);
            CPP_CHECK(stopped.stop());
            CPP_EQ(stopped.wait(), errc::ok);
            const kcoro::actor cancelled(s, c, [](std::string &&) {}, on_done);
            CPP_CHECK(cancelled.cancel());
            CPP_CHECK(!cancelled.stop());
            CPP_EQ(cancelled.wait(), errc::cancelled);
            const cancellation parent;
            const kcoro::actor below(s, c, [](std::string &&) {}, on_done, &parent);
            CPP_CHECK(parent.trigger());
            CPP_EQ(below.wait(), errc::cancelled);
            const kcoro::actor left(s, c, [](std::string &&) {}, on_done); /* by its destructor */
        }
        CPP_EQ(ends, 4);
        CPP_CHECK(c.send("one").has_value());
        CPP_CHECK(c.send("two").has_value());
        const kcoro::actor once(s, c, [](std::string &&) { return false; }, on_done);
        CPP_EQ(once.wait(), errc::ok);
        CPP_EQ(once.count(), 1);
        const kcoro::actor fails(s, c, [](std::string &&m) { throw std::runtime_error(m); }, on_done);
        std::string what;
        try {
            (void)fails.join();
        } catch (const std::runtime_error &e) {
            what = e.what();
        }
        CPP_CHECK(what == "two");
        CPP_EQ(ends, 6);
    }
    CPP_EMPTY(h);
}

CPP_TEST(an_actor_that_has_ended_is_done_with_its_channel) {
    const kcoro::scheduler s = test::workers(2);
    for (int i = 0; i < 300 / test::scale; i++) {
        kcoro::hub h;
        std::optional<channel<int>> c(std::in_place, h, kcoro::buffered(1));
        const kcoro::actor a(s, *c, [](int &&) {});
        (void)c->close();
        c.reset();
        CPP_EQ(a.wait(), errc::closed);
        CPP_EMPTY(h);
    }
}

/* What cannot be taken any more holds nobody back: whoever fills it ends with its scope. */
CPP_TEST(a_producer_that_waits_ends_with_its_scope) {
    const kcoro::scheduler s = test::workers(2);
    kcoro::hub h;
    const auto throwing_consumer = [&](const auto &producer) {
        std::string said;
        try {
            kcoro::in_scope(s, [&](kcoro::scope &children) {
                auto numbers = children.produce<int>(h, kcoro::buffered(2), producer).value();
                CPP_EQ(numbers.receive().value(), 1);
                throw std::runtime_error("consumer");
            });
        } catch (const std::runtime_error &e) {
            said = e.what();
        }
        CPP_CHECK(said == "consumer");
    };
    throwing_consumer([](channel<int> &out) {
        for (int i = 1;; i++)
            out.send(i).value();
    });
    throwing_consumer([](channel<int> &out) {
        for (int i = 1;; i++)
            out.send(i, 1h).value();
    });
    throwing_consumer([](channel<int> &out) {
        int i = 1;
        while (kcoro::select(kcoro::on_send(out, i)))
            i++;
    });
    const kcoro::scope children(s);
    errc ended = errc::ok;
    auto numbers = children.produce<int>(h, kcoro::rendezvous(), [&](channel<int> &out) {
        ended = out.send(1).code();
    }).value();
    test::until([&] { return !kcoro::waiters(h, numbers, kcoro::side::senders).empty(); });
    CPP_CHECK(children.cancel());
    children.join();
    CPP_EQ(ended, errc::cancelled);
    CPP_EQ(numbers.try_receive().code(), errc::closed);
}

CPP_TEST(what_a_child_threw_is_what_in_scope_throws_when_the_body_was_cancelled_by_it) {
    const kcoro::scheduler s = test::workers(2);
    std::string said;
    const auto fails = [&](auto &&thrown_by_body) {
        try {
            kcoro::in_scope(s, [&](kcoro::scope &children) {
                children.launch([] { throw std::runtime_error("child"); }).value();
                (void)children.cancel_of().wait();
                thrown_by_body(children);
            });
        } catch (const std::exception &e) {
            said = e.what();
        }
    };
    fails([](const kcoro::scope &children) { children.launch([] {}).value(); });
    CPP_CHECK(said == "child");
    fails([](const kcoro::scope &) { throw std::logic_error("body"); });
    CPP_CHECK(said == "body"); /* news of its own */
    bool cancelled = false;
    try {
        kcoro::in_scope(s, [](kcoro::scope &children) {
            (void)children.cancel();
            children.launch([] {}).value();
        });
    } catch (const kcoro::error &e) {
        cancelled = e.kc() == errc::cancelled;
    }
    CPP_CHECK(cancelled); /* and nobody failed */
}

int main() {
    CPP_RUN(a_spawned_function_runs_and_is_destroyed);
    CPP_RUN(leaving_a_scope_leaves_no_child);
    CPP_RUN(a_cancelled_scope_starts_nothing);
    CPP_RUN(the_first_failure_cancels_its_siblings_and_is_thrown_by_join);
    CPP_RUN(a_scope_is_left_by_an_exception_without_leaving_anybody_behind);
    CPP_RUN(exceptions_belong_to_their_coroutine_whatever_thread_it_goes_on_in);
    CPP_RUN(a_producer_fills_its_channel_and_closes_it);
    CPP_RUN(cancellations_are_a_tree);
    CPP_RUN(a_hook_is_called_once_or_not_at_all);
    CPP_RUN(sleeping_ends_at_its_deadline_or_when_it_is_cancelled);
    CPP_RUN(an_actor_gets_every_message_once_and_in_order);
    CPP_RUN(an_actor_ends_by_stop_by_cancel_by_itself_and_by_an_exception);
    CPP_RUN(an_actor_that_has_ended_is_done_with_its_channel);
    CPP_RUN(a_producer_that_waits_ends_with_its_scope);
    CPP_RUN(what_a_child_threw_is_what_in_scope_throws_when_the_body_was_cancelled_by_it);
    return test::report();
}
