/* cpp_client.cpp: the C++ face against a real daemon ($KCORO_SOCKET); checks itself.
 * test_cpp_client.py builds and runs it. */
#include <unistd.h>

#include <cstring>
#include <functional>
#include <string>
#include <string_view>

#include "cpp_test.hpp"
#include "kcoro/cpp/ipc.hpp"

using kcoro::channel;
using kcoro::errc;
using namespace std::chrono_literals;

static kcoro::time_point soon() { return std::chrono::steady_clock::now() + 1ms; }

/* Of this run alone. */
static std::string named(const char *name) { return name + ("." + std::to_string(getpid())); }

struct reading {
    std::int64_t number;
    double value;
};

CPP_TEST(a_daemons_channel_is_a_channel) {
    const kcoro::connection here, there;
    CPP_CHECK(here.ping().has_value());
    const auto out = here.make_channel<reading>(named("cpp.readings").c_str(), kcoro::buffered(2)).value();
    const auto in = there.open_channel<reading>(named("cpp.readings").c_str()).value();
    CPP_CHECK(out.send(reading{1, 0.5}).has_value());
    CPP_CHECK(out.try_send(reading{2, 1.5}).has_value());
    CPP_EQ(out.try_send(reading{3, 2.5}).code(), errc::again);
    CPP_EQ(out.send(reading{3, 2.5}, 1ms).code(), errc::time);
    CPP_EQ(in.receive()->number, 1);
    CPP_CHECK(in.receive()->value == 1.5);
    CPP_EQ(in.try_receive().code(), errc::again);
    const kcoro::cancellation stop;
    CPP_CHECK(stop.trigger());
    CPP_EQ(in.receive(stop).code(), errc::cancelled);
    CPP_CHECK(out.close().has_value());
    CPP_EQ(in.receive().code(), errc::closed);
    CPP_EQ(there.open_channel<int>(named("cpp.readings").c_str()).code(), errc::exists); /* elements of another size */
    CPP_EQ(there.make_channel<int>(named("cpp.readings").c_str(), kcoro::buffered(2)).code(), errc::exists);
    CPP_EQ(there.open_channel<int>(named("cpp.nowhere").c_str(), soon()).code(), errc::time);
}

CPP_TEST(coroutines_park_for_the_daemon_and_tasks_await_it) {
    const kcoro::connection c;
    const kcoro::scheduler on(1); /* one worker: if anybody blocked it, nobody would answer */
    const auto there = c.make_channel<int>(named("cpp.there").c_str()).value();
    const auto back = c.make_channel<int>(named("cpp.back").c_str()).value();
    const int rounds = 200;
    int sum = 0;
    {
        const kcoro::scope all(on);
        all.launch([&] {
            for (int n : there)
                back.send(n * 2).value();
        }).value();
        const kcoro::executor tasks(on);
        const auto asks = [](const channel<int> &to, const channel<int> &from, int count, int &total) -> kcoro::task<> {
            for (int i = 0; i < count; i++) {
                int n = i;
                (co_await kcoro::async::send(to, n)).value();
                total += (co_await kcoro::async::receive(from)).value();
            }
            (void)to.close();
        };
        tasks.run(asks(there, back, rounds, sum));
        all.join();
    }
    CPP_EQ(sum, rounds * (rounds - 1));
}

/* A try of a daemon's channel is a question like any other: asked by the driver, it would keep all of its tasks. */
CPP_TEST(what_a_task_awaits_of_the_daemon_is_asked_once_and_not_by_its_driver) {
    const kcoro::connection c;
    const kcoro::scheduler on(1);
    const kcoro::executor tasks(on, 1);
    const auto nobody = c.make_channel<int>(named("cpp.nobody").c_str()).value();
    const auto asked = [&] {
        kc_ipc_usage usage{};
        kc_ipc_measure(c.native(), &usage);
        return usage.frames_out;
    };
    const auto waits = [](const channel<int> &at, int what) -> kcoro::task<errc> {
        int n = 1;
        if (what == 0)
            co_return (co_await kcoro::async::receive(at, 1ms)).code();
        if (what == 1)
            co_return (co_await kcoro::async::send(at, n, 1ms)).code();
        co_return (co_await kcoro::async::select(kcoro::order::fair, 1ms, kcoro::on_receive(at))).code;
    };
    for (int what = 0; what < 3; what++) {
        const std::uint64_t before = asked();
        CPP_EQ(tasks.run(waits(nobody, what)), errc::time);
        CPP_EQ(asked() - before, 1);
    }
}

/* What is not a T is refused before it is sent, so no reader has to lose it. */
CPP_TEST(nobody_can_send_what_is_no_T_to_the_daemons_channel_of_T) {
    const kcoro::connection c;
    const auto numbers = c.make_channel<double>(named("cpp.fixed").c_str(), kcoro::buffered(4)).value();
    const auto anything = c.open_bytes(named("cpp.fixed").c_str()).value();
    CPP_EQ(anything.send(std::as_bytes(std::span("ab", 3))).code(), errc::invalid);
    CPP_CHECK(anything.send(std::as_bytes(std::span("8 bytes", 8))).has_value());
    CPP_EQ(numbers.depth(), 1);
    CPP_CHECK(numbers.receive().has_value());
    const auto loose = c.make_bytes(named("cpp.loose").c_str(), kcoro::buffered(4), 8).value();
    CPP_EQ(c.open_channel<double>(named("cpp.loose").c_str()).code(), errc::exists); /* 8 bytes, or fewer */
    CPP_EQ(c.make_channel<double>(named("cpp.loose").c_str(), kcoro::buffered(4)).code(), errc::exists);
}

CPP_TEST(a_range_over_the_daemons_channel_throws_when_the_connection_is_lost) {
    std::optional<kcoro::connection> c(std::in_place);
    const auto numbers = c->make_channel<int>(named("cpp.lost").c_str(), kcoro::buffered(2)).value();
    numbers.send(1).value();
    errc thrown = errc::ok;
    int sum = 0;
    try {
        for (int n : numbers) {
            sum += n;
            c.reset();
        }
    } catch (const kcoro::error &e) {
        thrown = e.kc();
    }
    CPP_EQ(sum, 1);
    CPP_EQ(thrown, errc::bad_handle);
}

CPP_TEST(a_select_stands_at_two_channels_of_the_daemon) {
    const kcoro::connection c;
    const auto numbers = c.make_channel<int>(named("cpp.numbers").c_str(), kcoro::buffered(1)).value();
    const auto readings = c.make_channel<reading>(named("cpp.select").c_str(), kcoro::buffered(1)).value();
    int got = 0;
    CPP_CHECK(readings.send(reading{7, 0}).has_value());
    const auto made = kcoro::select(
        kcoro::on_receive(numbers, [&](int) { got = -1; }),
        kcoro::on_receive(readings, [&](reading &&r) { got = static_cast<int>(r.number); }));
    CPP_EQ(made.value(), 1);
    CPP_EQ(got, 7);
    CPP_EQ(kcoro::try_select(kcoro::order::fair, kcoro::on_receive(numbers)).code, errc::again);
}

CPP_TEST(loans_and_deliveries_are_given_back_once) {
    const kcoro::connection here, there;
    const auto out = here.make_bytes(named("cpp.bytes").c_str(), kcoro::buffered(4)).value();
    const auto in = there.open_bytes(named("cpp.bytes").c_str()).value();
    kcoro::shared_region region = kcoro::shared_region::make(here, 1 << 20).value();
    {
        kcoro::shared_loan whole = region.take(1 << 20).value();
        CPP_CHECK(!region.take(1)); /* no room */
        CPP_EQ(region.free().code(), errc::busy);
        std::memset(whole.bytes().data(), 'x', 1 << 20);
        CPP_CHECK(out.send(std::move(whole)).has_value());
        CPP_CHECK(!whole);
        CPP_EQ(out.send(std::move(whole)).code(), errc::invalid);
        const kcoro::delivery got = in.receive().value();
        CPP_EQ(got.bytes().size(), 1 << 20);
        CPP_EQ(static_cast<char>(got.bytes().back()), 'x');
    }
    CPP_CHECK(out.send(std::as_bytes(std::span("abc", 3))).has_value());
    {
        const kcoro::delivery unread = in.receive_to_ack().value(); /* goes back */
        CPP_EQ(unread.attempts(), 0);
    }
    kcoro::delivery again = in.receive_to_ack().value();
    CPP_EQ(again.attempts(), 1);
    CPP_CHECK(std::memcmp(again.bytes().data(), "abc", 3) == 0);
    CPP_CHECK(again.ack().has_value());
    CPP_EQ(again.ack().code(), errc::invalid);
    CPP_EQ(in.receive(soon()).code(), errc::time);
    CPP_CHECK(here.ping().has_value());
    test::until([&] { return region.free().has_value(); }); /* the lease's end travels by the other connection */
}

static std::span<const std::byte> text(std::string_view words) { return std::as_bytes(std::span(words)); }
static std::string text(const kcoro::delivery &d) {
    return std::string(reinterpret_cast<const char *>(d.bytes().data()), d.bytes().size());
}

/* Until so many stand in the daemon. */
static void await_requests(const kcoro::connection &c, std::uint32_t count) {
    test::until([&] {
        kc_ipc_usage usage{};
        kc_ipc_measure(c.native(), &usage);
        return usage.requests == count;
    });
}

CPP_TEST(whole_messages_have_the_patience_of_typed_ones) {
    const kcoro::connection c;
    const auto words = c.make_bytes(named("cpp.words").c_str(), kcoro::buffered(1)).value();
    CPP_EQ(words.receive(1ms).code(), errc::time);
    CPP_EQ(words.receive(soon()).code(), errc::time);
    CPP_EQ(words.receive(std::chrono::steady_clock::now() - 1h).code(), errc::time); /* too late, and no try */
    CPP_EQ(words.try_receive().code(), errc::again);
    CPP_CHECK(words.try_send(text("one")).has_value());
    CPP_EQ(words.try_send(text("two")).code(), errc::again);
    CPP_EQ(words.send(text("two"), 1ms).code(), errc::time);
    CPP_EQ(words.depth(), 1);
    const kcoro::cancellation stop;
    const kcoro::scheduler on(1);
    errc ended = errc::ok;
    on.spawn([&] { ended = words.send(text("two"), kcoro::within(1h).unless(stop)).code(); }).value();
    await_requests(c, 1);
    CPP_CHECK(stop.trigger());
    on.drain().value();
    CPP_EQ(ended, errc::cancelled);
    CPP_EQ(words.receive(kcoro::unless(stop)).code(), errc::cancelled); /* it was set before: nothing is asked */
    CPP_EQ(words.depth(), 1);
    const kcoro::executor tasks(on, 1);
    const auto awaits = [](const kcoro::daemon_channel &of) -> kcoro::task<std::string> {
        co_return text((co_await kcoro::async::receive(of, 1h)).value());
    };
    CPP_CHECK(tasks.run(awaits(words)) == "one");
    words.send(text("last")).value();
    words.close().value();
    std::string all;
    for (const kcoro::delivery &d : words)
        all += text(d);
    CPP_CHECK(all == "last");
    auto rest = words.each(1h);
    CPP_CHECK(rest.begin() == rest.end());
    CPP_EQ(rest.code(), errc::closed);
    words.destroy().value();
    CPP_EQ(words.try_receive().code(), errc::cancelled);
    CPP_EQ(c.open_bytes(named("cpp.nowhere").c_str(), 1ms).code(), errc::time);
}

CPP_TEST(calls_under_which_the_connection_ends_are_in_doubt_and_later_ones_did_nothing) {
    std::optional<kcoro::connection> c(std::in_place);
    const auto empty = c->make_bytes(named("cpp.doubt").c_str()).value();
    const auto full = c->make_bytes(named("cpp.doubt.full").c_str()).value();
    const kcoro::scheduler on(1);
    {
        const kcoro::shared_region region = kcoro::shared_region::make(*c, 4096).value();
        kcoro::shared_loan first = region.take(16).value(), second = region.take(16).value();
        errc received = errc::ok, sent = errc::ok, selected = errc::ok;
        on.spawn([&] { received = empty.receive().code(); }).value();
        on.spawn([&] { sent = full.send(std::move(first)).code(); }).value();
        on.spawn([&] { selected = kcoro::select(kcoro::on_send(full, std::move(second))).code; }).value();
        await_requests(*c, 3);
        c.reset();
        on.drain().value();
        CPP_EQ(received, errc::in_progress);
        CPP_EQ(sent, errc::in_progress);
        CPP_EQ(selected, errc::in_progress);
        CPP_CHECK(!first); /* perhaps somebody reads them */
        CPP_CHECK(!second);
    }
    CPP_EQ(full.send(text("late")).code(), errc::bad_handle);
    CPP_EQ(empty.receive().code(), errc::bad_handle);
}

CPP_TEST(a_message_brings_files_and_its_sender) {
    const kcoro::connection c;
    const auto out = c.make_bytes(named("cpp.files").c_str(), kcoro::buffered(2)).value();
    std::array<int, 2> ends{};
    CPP_EQ(pipe(ends.data()), 0);
    CPP_CHECK(out.send(text("a pipe"), ends).has_value());
    CPP_CHECK(out.send(text("none")).has_value());
    close(ends[0]);
    close(ends[1]);
    int reader = -1, writer = -1;
    {
        const kcoro::delivery got = out.receive({}, kcoro::asking::ack_and_sender).value();
        CPP_EQ(got.sender().pid, getpid());
        CPP_EQ(got.sender().uid, getuid());
        CPP_EQ(got.files().size(), 2);
        reader = got.take_file(0);
        CPP_EQ(got.take_file(0), -1);
        CPP_EQ(got.take_file(2), -1);
        writer = dup(got.files()[1]);
    } /* closes the other, and goes back: it was not acknowledged */
    char word[4] = "";
    CPP_EQ(write(writer, "pip", 3), 3);
    CPP_EQ(read(reader, word, 3), 3);
    CPP_CHECK(std::string(word) == "pip");
    close(writer);
    close(reader);
    kcoro::delivery again = out.receive_to_ack(1h).value();
    CPP_EQ(again.attempts(), 1);
    CPP_CHECK(again.ack().has_value());
    const kcoro::delivery plain = out.receive().value();
    CPP_EQ(plain.sender().uid, KC_NOBODY);
    CPP_EQ(plain.files().size(), 0);
}

CPP_TEST(a_select_stands_at_channels_of_whole_messages) {
    const kcoro::connection c;
    const auto words = c.make_bytes(named("cpp.select.words").c_str(), kcoro::buffered(1)).value();
    const auto jobs = c.make_bytes(named("cpp.select.jobs").c_str(), kcoro::buffered(1)).value();
    const kcoro::shared_region region = kcoro::shared_region::make(c, 4096).value();
    kcoro::shared_loan loan = region.take(16).value();
    std::string got;
    const auto hears = [&](kcoro::delivery &&d) { got = text(d); };
    const auto nobody =
        kcoro::try_select(kcoro::order::fair, kcoro::on_receive(words, hears), kcoro::on_receive(jobs, hears));
    CPP_EQ(nobody.code, errc::again);
    CPP_EQ(nobody.index, kcoro::selection::none);
    CPP_EQ(kcoro::select(1ms, kcoro::on_receive(words, hears)).code, errc::time);
    jobs.send(text("job")).value();
    int sent = 0;
    const auto second =
        kcoro::select(kcoro::on_receive(words, hears), kcoro::on_receive(jobs, kcoro::asking::ack, hears));
    CPP_EQ(second.value(), 1); /* not acknowledged: it goes back */
    CPP_CHECK(got == "job");
    const auto back = kcoro::select(kcoro::on_receive(jobs, kcoro::asking::ack, [&](kcoro::delivery &&d) {
        CPP_EQ(d.attempts(), 1);
        CPP_CHECK(d.ack().has_value());
    }));
    CPP_EQ(back.value(), 0);
    jobs.send(text("job")).value();
    const auto full = kcoro::try_select(kcoro::order::fair, kcoro::on_send(jobs, std::move(loan), [&] { sent++; }));
    CPP_EQ(full.code, errc::again);
    CPP_CHECK(static_cast<bool>(loan)); /* it lost: the loan is ours */
    std::memcpy(loan.bytes().data(), "sixteen bytes ...", 16);
    const auto first = kcoro::select(kcoro::order::first_wins, {},
                                     kcoro::on_send(words, std::move(loan), [&] { sent++; }),
                                     kcoro::on_receive(jobs, hears));
    CPP_EQ(first.value(), 0);
    CPP_EQ(sent, 1);
    CPP_CHECK(!loan);
    CPP_EQ(kcoro::select(kcoro::on_receive(words, hears)).value(), 0);
    CPP_CHECK(got == "sixteen bytes ..");
    CPP_CHECK(kcoro::select(kcoro::on_send(words, text("bytes"), [&] { sent++; })));
    CPP_EQ(sent, 2);
    words.close().value();
    CPP_EQ(kcoro::select(kcoro::on_send(words, text("late"))).code, errc::closed);
    const kcoro::cancellation stop;
    CPP_CHECK(stop.trigger());
    CPP_EQ(kcoro::select(stop, kcoro::on_receive(words, hears)).code, errc::cancelled);
    CPP_EQ(words.depth(), 1);
}

/* --- what is cancelled -------------------------------------------------------------------------------------------- */

static std::uint64_t frames_out(const kcoro::connection &c) {
    kc_ipc_usage usage;
    kc_ipc_measure(c.native(), &usage);
    return usage.frames_out;
}

CPP_TEST(with_a_cancel_that_is_set_nothing_is_asked_and_everything_is_as_it_was) {
    const kcoro::connection c;
    const kcoro::cancellation stop;
    CPP_CHECK(stop.trigger());
    const auto words = c.make_bytes(named("cpp.unless").c_str(), kcoro::buffered(2)).value();
    auto memory = kcoro::shared_region::make(c, 4096).value();
    words.send(text("job")).value();
    kcoro::delivery job = words.receive_to_ack().value();
    words.send(text("next")).value();
    const std::uint64_t before = frames_out(c);
    CPP_EQ(c.open_bytes(named("cpp.unless").c_str(), stop).code(), errc::cancelled);
    CPP_EQ(c.open_channel<int>(named("cpp.unless").c_str(), kcoro::within(1h).unless(stop)).code(), errc::cancelled);
    CPP_EQ(c.make_bytes(named("cpp.never").c_str(), kcoro::rendezvous(), 0, stop).code(), errc::cancelled);
    CPP_EQ(c.make_channel<int>(named("cpp.never").c_str(), kcoro::rendezvous(), stop).code(), errc::cancelled);
    CPP_EQ(c.ping(stop).code(), errc::cancelled);
    CPP_EQ(words.close(stop).code(), errc::cancelled);
    CPP_EQ(words.destroy(stop).code(), errc::cancelled);
    CPP_EQ(words.depth(stop), 0);
    CPP_EQ(job.ack(stop).code(), errc::cancelled);
    CPP_EQ(kcoro::shared_region::make(c, 4096, stop).code(), errc::cancelled);
    CPP_EQ(memory.free(stop).code(), errc::cancelled);
    CPP_EQ(kcoro::connection::make(nullptr, stop).code(), errc::cancelled);
    CPP_EQ(frames_out(c), before);
    CPP_CHECK(job.ack().has_value()); /* it was still due */
    CPP_CHECK(memory.take(16).has_value());
    CPP_EQ(words.depth(), 1);
    CPP_CHECK(words.send(text("last")).has_value());
    CPP_EQ(c.open_bytes(named("cpp.never").c_str(), soon()).code(), errc::time);
}

static std::uint64_t readers(const kcoro::daemon_channel &of) {
    std::uint64_t stats[KC_STAT_END];
    CPP_EQ(kc_ipc_statistics(of.native(), stats), KC_OK);
    return stats[KC_STAT_HANDLES_READ];
}

/* Somebody waits for a name. The wait is cancelled and over before that is made, or cancelled as it is, or after. */
static errc cancelled_as_it_comes(const kcoro::connection &c, const kcoro::connection &maker, int round) {
    const std::string name = named("cpp.race") + "." + std::to_string(round);
    const kcoro::cancellation stop;
    const kcoro::scheduler on(1);
    std::optional<kcoro::result<kcoro::daemon_channel>> got;
    on.spawn([&] { got.emplace(c.open_bytes(name.c_str(), kcoro::within(1h).unless(stop))); }).value();
    await_requests(c, 1);
    if (round % 3 == 0) {
        CPP_CHECK(stop.trigger());
        on.drain().value();
    }
    std::thread other([&] {
        if (round % 3 == 1)
            (void)stop.trigger();
    });
    const auto made = maker.make_bytes(name.c_str()).value();
    if (round % 3 == 2)
        CPP_CHECK(stop.trigger());
    other.join();
    on.drain().value();
    CPP_EQ(readers(made), got->has_value() ? 2 : 1);
    const errc ended = got->code();
    got.reset();
    CPP_EQ(readers(made), 1);
    return ended;
}

CPP_TEST(an_open_that_is_cancelled_has_its_handle_or_the_daemon_has_none_of_it) {
    const kcoro::connection c, maker;
    for (int round = 0; round < 150; round++) {
        const errc ended = cancelled_as_it_comes(c, maker, round);
        CPP_CHECK(ended == errc::cancelled || (round % 3 != 0 && ended == errc::ok));
    }
    kc_ipc_usage usage;
    kc_ipc_measure(c.native(), &usage);
    CPP_EQ(usage.requests, 0);
    CPP_EQ(usage.ended, KC_OK);
}

CPP_TEST(a_make_that_is_cancelled_has_made_it_or_nothing_is_there) {
    const kcoro::connection c, other;
    for (int round = 0; round < 100; round++) {
        const std::string name = named("cpp.made") + "." + std::to_string(round);
        const kcoro::cancellation stop;
        kc_ipc_chan *there = nullptr;
        std::thread stops([&] { (void)stop.trigger(); });
        const auto made = c.make_bytes(name.c_str(), kcoro::rendezvous(), 0, stop);
        stops.join();
        CPP_CHECK(made.has_value() || made.code() == errc::cancelled);
        CPP_EQ(kc_ipc_open(other.native(), name.c_str(), 0, 0, &there), made.has_value() ? KC_OK : KC_ENOENT);
        if (made)
            CPP_EQ(readers(*made), 2);
        kc_ipc_chan_free(there);
    }
}

/* Every call that asks the daemon and has no deadline: each may go on in another thread. */
static void all_that_asks(const kcoro::connection &c, const std::string &name) {
    const auto numbers = c.make_channel<int>(name.c_str(), kcoro::buffered(2)).value();
    (void)numbers.try_send(1);
    (void)numbers.depth();
    (void)numbers.try_receive();
    (void)c.open_channel<char>(name.c_str()); /* refused: its handle goes back */
    (void)numbers.close();
    (void)numbers.destroy();
    const auto bytes = c.make_bytes((name + ".bytes").c_str(), kcoro::buffered(2)).value();
    (void)bytes.try_send({});
    (void)bytes.depth();
    (void)bytes.try_receive();
    (void)bytes.close();
    (void)bytes.destroy();
}

CPP_TEST(exceptions_stay_with_a_coroutine_that_asks_the_daemon) {
    const kcoro::connection c;
    const kcoro::scheduler on(4);
    std::atomic<int> wrong = 0;
    struct tail {
        std::function<void()> f;
        ~tail() { f(); }
    };
    const auto round = [&](int mine) {
        const std::string name = named("cpp.exceptions") + "." + std::to_string(mine);
        try {
            try {
                const tail at_the_end{[&] {
                    all_that_asks(c, name); /* while it passes */
                    wrong += std::uncaught_exceptions() != 1;
                }};
                throw mine;
            } catch (int) {
                all_that_asks(c, name); /* while it is dealt with */
                wrong += std::uncaught_exceptions() != 0;
                throw; /* no other coroutine's */
            }
        } catch (int caught) {
            wrong += caught != mine;
        }
    };
    {
        const kcoro::scope all(on);
        for (int i = 0; i < 32; i++)
            all.launch([&round, i] {
                for (int k = 0; k < 5; k++)
                    round(i);
            }).value();
        all.join();
    }
    CPP_EQ(wrong.load(), 0);
}

int main() {
    CPP_RUN(a_daemons_channel_is_a_channel);
    CPP_RUN(coroutines_park_for_the_daemon_and_tasks_await_it);
    CPP_RUN(what_a_task_awaits_of_the_daemon_is_asked_once_and_not_by_its_driver);
    CPP_RUN(nobody_can_send_what_is_no_T_to_the_daemons_channel_of_T);
    CPP_RUN(a_range_over_the_daemons_channel_throws_when_the_connection_is_lost);
    CPP_RUN(a_select_stands_at_two_channels_of_the_daemon);
    CPP_RUN(loans_and_deliveries_are_given_back_once);
    CPP_RUN(whole_messages_have_the_patience_of_typed_ones);
    CPP_RUN(calls_under_which_the_connection_ends_are_in_doubt_and_later_ones_did_nothing);
    CPP_RUN(a_message_brings_files_and_its_sender);
    CPP_RUN(a_select_stands_at_channels_of_whole_messages);
    CPP_RUN(with_a_cancel_that_is_set_nothing_is_asked_and_everything_is_as_it_was);
    CPP_RUN(an_open_that_is_cancelled_has_its_handle_or_the_daemon_has_none_of_it);
    CPP_RUN(a_make_that_is_cancelled_has_made_it_or_nothing_is_there);
    CPP_RUN(exceptions_stay_with_a_coroutine_that_asks_the_daemon);
    return test::report();
}
