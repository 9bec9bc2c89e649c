/* test_cpp_channel.cpp: channel<T>: what is sent comes, and every object ends once, whatever becomes of it. */
#include <memory>
#include <ranges>
#include <string>
#include <vector>

#include "cpp_test.hpp"

using kcoro::carriage;
using kcoro::channel;
using kcoro::errc;
using test::counted;
using namespace std::chrono_literals;

struct point {
    int x;
    const int y; /* neither assignable nor default constructible */
    explicit point(int a, int b) : x(a), y(b) {}
};
static_assert(kcoro::carriage_of<point> == carriage::bytes);
static_assert(kcoro::carriage_of<std::string> == carriage::object);
static_assert(kcoro::carriage_of<std::array<char, 70000>> == carriage::object); /* too long for bytes */
static_assert(std::ranges::input_range<kcoro::stream<channel<int>>>);
static_assert(std::ranges::input_range<kcoro::stream<channel<std::unique_ptr<int>>>>);
static_assert(std::ranges::input_range<const channel<int>>);
static_assert(std::ranges::view<kcoro::stream<channel<int>>>);

CPP_TEST(bytes_come_as_they_were_sent) {
    kcoro::hub h;
    {
        channel<point> c(h, kcoro::buffered(2));
        CPP_CHECK(c.send(point(1, 2)).has_value());
        CPP_CHECK(c.try_send(point(3, 4)).has_value());
        CPP_EQ(c.try_send(point(5, 6)).code(), errc::again);
        CPP_EQ(c.depth(), 2);
        CPP_EQ(c.receive()->y, 2);
        const kcoro::result<point> second = c.try_receive();
        CPP_EQ(second->x, 3);
        CPP_EQ(second->y, 4);
        CPP_EQ(c.try_receive().code(), errc::again);
        CPP_EQ(c.receive(kcoro::within(1ms)).code(), errc::time);
    }
    CPP_EMPTY(h);
}

CPP_TEST(objects_come_as_they_were_sent) {
    kcoro::hub h;
    {
        channel<std::string> c(h, kcoro::unlimited());
        std::string text(100, 'x');
        CPP_CHECK(c.send(std::move(text)).has_value());
        CPP_CHECK(c.send("short").has_value());
        const std::string kept = "kept";
        CPP_CHECK(c.send(kept).has_value()); /* what can be copied may be */
        CPP_CHECK(*c.receive() == std::string(100, 'x'));
        CPP_CHECK(*c.try_receive() == "short");
        CPP_CHECK(*c.receive() == kept);
    }
    {
        channel<std::array<char, 70000>> c(h, kcoro::buffered(1));
        std::array<char, 70000> large{};
        large[69999] = 'z';
        CPP_CHECK(c.send(std::move(large)).has_value());
        CPP_EQ((*c.receive())[69999], 'z');
    }
    CPP_EMPTY(h);
}

CPP_TEST(a_send_that_failed_leaves_the_value_in_its_place) {
    kcoro::hub h;
    const kcoro::cancellation stop;
    {
        channel<std::unique_ptr<int>> c(h, kcoro::buffered(1));
        auto value = std::make_unique<int>(9);
        const int *const address = value.get();
        CPP_CHECK(c.send(std::make_unique<int>(1)).has_value());
        CPP_EQ(c.try_send(std::move(value)).code(), errc::again);
        CPP_CHECK(value.get() == address);
        CPP_EQ(c.send(std::move(value), kcoro::within(1ms)).code(), errc::time);
        CPP_CHECK(value.get() == address);
        (void)stop.trigger();
        CPP_EQ(c.send(std::move(value), stop).code(), errc::cancelled);
        CPP_CHECK(value.get() == address);
        CPP_CHECK(c.close().has_value());
        CPP_EQ(c.send(std::move(value)).code(), errc::closed);
        CPP_CHECK(value.get() == address);
        auto m = *kcoro::message<std::unique_ptr<int>>::make(std::move(value));
        CPP_EQ(c.send(std::move(m)).code(), errc::closed);
        CPP_CHECK(m && m->get() == address);
        CPP_EQ(c.try_send(std::move(m)).code(), errc::closed);
        CPP_CHECK(m && m->get() == address);
    }
    CPP_EMPTY(h);
}

CPP_TEST(a_message_is_not_moved_on_its_way) {
    kcoro::hub h;
    {
        channel<counted> c(h, kcoro::buffered(1));
        auto m = *kcoro::message<counted>::make(4);
        const counted *const address = &*m;
        CPP_CHECK(c.send(std::move(m)).has_value());
        CPP_CHECK(!m);
        CPP_EQ(c.send(std::move(m)).code(), errc::invalid); /* there is none */
        const auto got = c.receive_message();
        CPP_CHECK(&**got == address);
        CPP_EQ((*got)->value, 4);
        CPP_EQ(c.try_receive_message().code(), errc::again);
    }
    CPP_EQ(counted::live, 0);
    CPP_EMPTY(h);
}

CPP_TEST(an_object_that_was_evicted_has_ended_when_the_send_returns) {
    kcoro::hub h;
    for (const auto &k : {kcoro::conflated(), kcoro::buffered(1, kcoro::overflow::drop_oldest),
                          kcoro::buffered(1, kcoro::overflow::drop_newest)}) {
        channel<counted> c(h, k);
        for (int i = 0; i < 20; i++) {
            CPP_CHECK(c.send(counted(i)).has_value());
            CPP_EQ(counted::live, 1);
        }
        const bool newest_stays = k.when_full != kcoro::overflow::drop_newest;
        CPP_EQ(c.receive()->value, newest_stays ? 19 : 0);
        CPP_EQ(counted::live, 0);
    }
    CPP_EMPTY(h);
}

CPP_TEST(objects_that_wait_end_with_their_channel) {
    kcoro::hub h;
    {
        channel<counted> c(h, kcoro::unlimited());
        for (int i = 0; i < 40; i++)
            CPP_CHECK(c.send(counted(i)).has_value());
        CPP_EQ(counted::live, 40);
    }
    CPP_EQ(counted::live, 0);
    {
        channel<counted> c(h, kcoro::unlimited());
        for (int i = 0; i < 40; i++)
            CPP_CHECK(c.send(counted(i)).has_value());
        CPP_CHECK(c.destroy().has_value());
        CPP_EQ(counted::live, 0);
        CPP_EQ(c.receive().code(), errc::cancelled);
    }
    CPP_EMPTY(h);
}

CPP_TEST(a_closed_channel_drains_and_its_range_ends) {
    kcoro::hub h;
    {
        channel<std::unique_ptr<int>> c(h, kcoro::unlimited());
        for (int i = 1; i <= 4; i++)
            CPP_CHECK(c.send(std::make_unique<int>(i)).has_value());
        CPP_CHECK(c.close().has_value());
        int sum = 0;
        for (auto p : c)
            sum += *p;
        CPP_EQ(sum, 10);
        auto rest = c.each();
        for (auto p : rest)
            sum += *p;
        CPP_EQ(sum, 10);
        CPP_EQ(rest.code(), errc::closed);
        channel<int> never(h);
        auto soon = never.each(kcoro::within(1ms));
        for (int i : soon)
            sum += i;
        CPP_EQ(soon.code(), errc::time);
    }
    CPP_EMPTY(h);
}

#if !defined(__clang__) || __clang_major__ >= 16 /* older ones cannot read libstdc++'s adaptors */
CPP_TEST(a_range_takes_adaptors) {
    kcoro::hub h;
    {
        channel<int> c(h, kcoro::unlimited());
        for (int i = 0; i < 10; i++)
            CPP_CHECK(c.send(i).has_value());
        (void)c.close();
        int sum = 0;
        for (int i : c.each() | std::views::filter([](int n) { return n % 2 == 1; }))
            sum += i;
        CPP_EQ(sum, 25);
    }
    CPP_EMPTY(h);
}
#else
CPP_TEST(a_range_takes_adaptors) {}
#endif

CPP_TEST(a_parked_sender_whose_channel_is_destroyed_keeps_its_object) {
    kcoro::hub h;
    const kcoro::scheduler s = test::workers(1);
    {
        channel<counted> c(h);
        std::atomic<int> kept = 0;
        s.spawn([&] {
            counted mine(77);
            const auto done = c.send(std::move(mine));
            kept = done.code() == errc::cancelled ? mine.value : -1;
        }).value();
        test::until([&] { return !kcoro::waiters(h, c, kcoro::side::senders).empty(); });
        CPP_CHECK(c.destroy().has_value());
        CPP_CHECK(s.drain().has_value());
        CPP_EQ(kept, 77);
        CPP_EQ(counted::live, 0);
    }
    CPP_EMPTY(h);
}

struct explosive {
    static inline std::atomic<long> live = 0;
    static inline std::atomic<bool> armed = false;
    explosive() { live++; }
    explosive(explosive &&) {
        if (armed)
            throw std::runtime_error("moved");
        live++;
    }
    ~explosive() { live--; }
};

CPP_TEST(a_move_that_throws_loses_nothing_but_the_value) {
    kcoro::hub h;
    {
        channel<explosive> c(h, kcoro::buffered(1));
        CPP_CHECK(c.send(explosive()).has_value());
        explosive::armed = true;
        int caught = 0;
        try {
            (void)c.receive();
        } catch (const std::runtime_error &) {
            caught++;
        }
        try {
            (void)c.send(explosive());
        } catch (const std::runtime_error &) {
            caught++;
        }
        CPP_EQ(caught, 2);
        explosive::armed = false;
        CPP_EQ(explosive::live, 0);
        CPP_EQ(c.depth(), 0);
    }
    CPP_EMPTY(h);
}

/* Senders and receivers who are cancelled, time out and are destroyed under way: sent is received or lost,
 * and all end. */
static void raced(std::uint32_t count, const kcoro::kind &k) {
    kcoro::hub h;
    const int rounds = 2000 / test::scale;
    std::atomic<long> sent = 0, received = 0;
    {
        const kcoro::scheduler s = test::workers(count);
        channel<counted> c(h, k);
        const kcoro::cancellation stop;
        {
            const kcoro::scope senders(s);
            const kcoro::scope receivers(s);
            for (int n = 0; n < 3; n++) {
                senders.launch([&, n] {
                    for (int i = 0; i < rounds; i++) {
                        counted one(i);
                        const kcoro::patience how = i % 3 == n ? kcoro::within(1us) : kcoro::patience(stop);
                        sent += c.send(std::move(one), how).has_value();
                        if (i % 64 == 0)
                            kcoro::yield();
                    }
                }).value();
                receivers.launch([&, n](const kcoro::cancellation &end) {
                    for (int i = 0; !end.is_set(); i++)
                        received += c.receive(i % 3 == n ? kcoro::within(1us) : kcoro::patience(end)).has_value();
                }).value();
            }
            CPP_CHECK(senders.wait().has_value());
        }
        const long left = static_cast<long>(c.depth());
        CPP_EQ(counted::live, left);
        if (k.number == KC_KIND_RENDEZVOUS ||
            (k.number == KC_KIND_BUFFERED && k.when_full == kcoro::overflow::suspend)) {
            CPP_EQ(sent, received + left);
        }
        CPP_CHECK(sent > 0 && received > 0);
    }
    CPP_EQ(counted::live, 0);
    CPP_EMPTY(h);
}

CPP_TEST(every_object_ends_once_in_a_race_of_cancels_and_deadlines) {
    for (const std::uint32_t count : {1U, 2U, 4U})
        for (const auto &k : {kcoro::rendezvous(), kcoro::buffered(2), kcoro::conflated(),
                              kcoro::buffered(2, kcoro::overflow::drop_oldest)})
            raced(count, k);
}

CPP_TEST(a_channel_of_somebody_else_is_adopted_when_its_elements_fit) {
    kcoro::hub h;
    {
        channel<int> c(h, kcoro::buffered(1));
        kc_channel_keep(c.native());
        channel<int> same = *channel<int>::adopt(c.native());
        CPP_CHECK(same.send(5).has_value());
        CPP_EQ(*c.receive(), 5);
        CPP_EQ(channel<char>::adopt(c.native()).code(), errc::invalid);
        CPP_EQ(channel<int>::adopt(nullptr).code(), errc::invalid);
        channel<int> third = c.share();
        third = std::move(same);
        CPP_CHECK(third.native() == c.native());
        CPP_EQ(channel<int>::make(h, kcoro::kind{77, 0, kcoro::overflow::suspend}).code(), errc::invalid);
    }
    CPP_EMPTY(h);
}

/* Only C programs can send one, to a channel whose elements may be shorter. */
CPP_TEST(a_message_of_another_length_is_told_alike_by_receive_select_range_and_actor) {
    kcoro::hub h;
    {
        const kcoro::scheduler s = test::workers(1);
        const channel<double> c(h, kcoro::unlimited());
        const auto spoil = [&] { CPP_EQ(kc_channel_try_send(c.native(), "abc", 3), KC_OK); };
        int got = 0;
        spoil();
        CPP_EQ(c.receive().code(), errc::protocol);
        spoil();
        CPP_EQ(c.try_receive().code(), errc::protocol);
        spoil();
        const auto made = kcoro::select(kcoro::on_receive(c, [&](double) { got++; }));
        CPP_EQ(made.index, 0);
        CPP_EQ(made.code, errc::protocol);
        spoil();
        c.send(1).value(); /* what stands behind it stays */
        auto all = c.each();
        for (double v : all)
            got += static_cast<int>(v);
        CPP_EQ(all.code(), errc::protocol);
        CPP_EQ(c.receive().value(), 1);
        spoil();
        c.send(2).value();
        errc thrown = errc::ok;
        try {
            for (double v : c)
                got += static_cast<int>(v);
        } catch (const kcoro::error &e) {
            thrown = e.kc();
        }
        CPP_EQ(thrown, errc::protocol);
        CPP_EQ(c.receive().value(), 2);
        spoil();
        c.send(3).value();
        const kcoro::actor deals(s, c, [&](double &&v) { got += static_cast<int>(v); });
        CPP_EQ(deals.join(), errc::protocol);
        CPP_EQ(c.receive().value(), 3);
        CPP_EQ(got, 0);
    }
    CPP_EMPTY(h);
}

CPP_TEST(a_range_ends_where_its_channel_is_closed_and_throws_at_any_other_end) {
    kcoro::hub h;
    {
        const channel<int> c(h, kcoro::buffered(2));
        c.send(1).value();
        errc thrown = errc::ok;
        int sum = 0;
        try {
            for (int n : c) {
                sum += n;
                c.destroy().value();
            }
        } catch (const kcoro::error &e) {
            thrown = e.kc();
        }
        CPP_EQ(thrown, errc::cancelled);
        CPP_EQ(sum, 1);
    }
    CPP_EMPTY(h);
}

int main() {
    CPP_RUN(bytes_come_as_they_were_sent);
    CPP_RUN(objects_come_as_they_were_sent);
    CPP_RUN(a_send_that_failed_leaves_the_value_in_its_place);
    CPP_RUN(a_message_is_not_moved_on_its_way);
    CPP_RUN(an_object_that_was_evicted_has_ended_when_the_send_returns);
    CPP_RUN(objects_that_wait_end_with_their_channel);
    CPP_RUN(a_closed_channel_drains_and_its_range_ends);
    CPP_RUN(a_range_takes_adaptors);
    CPP_RUN(a_parked_sender_whose_channel_is_destroyed_keeps_its_object);
    CPP_RUN(a_move_that_throws_loses_nothing_but_the_value);
    CPP_RUN(every_object_ends_once_in_a_race_of_cancels_and_deadlines);
    CPP_RUN(a_channel_of_somebody_else_is_adopted_when_its_elements_fit);
    CPP_RUN(a_message_of_another_length_is_told_alike_by_receive_select_range_and_actor);
    CPP_RUN(a_range_ends_where_its_channel_is_closed_and_throws_at_any_other_end);
    return test::report();
}
