/* test_cpp_select.cpp: exactly one clause takes effect, and the others are as if they had not been. */
#include <memory>
#include <stdexcept>
#include <string>

#include "cpp_test.hpp"

using kcoro::channel;
using kcoro::errc;
using kcoro::on_receive;
using kcoro::on_send;
using kcoro::order;
using test::counted;
using namespace std::chrono_literals;

CPP_TEST(the_winners_function_is_called_with_what_came) {
    kcoro::hub h;
    {
        channel<int> numbers(h, kcoro::buffered(1));
        channel<std::string> words(h, kcoro::buffered(1));
        int got = 0;
        std::string word;
        const auto either = [&] {
            return kcoro::select(on_receive(numbers, [&](int n) { got = n; }),
                                 on_receive(words, [&](std::string &&w) { word = std::move(w); }));
        };
        CPP_CHECK(words.send("hello").has_value());
        CPP_EQ(either().value(), 1);
        CPP_CHECK(word == "hello");
        CPP_EQ(got, 0);
        CPP_CHECK(numbers.send(7).has_value());
        CPP_EQ(either().value(), 0);
        CPP_EQ(got, 7);
    }
    CPP_EMPTY(h);
}

CPP_TEST(a_send_that_lost_has_its_value_back) {
    kcoro::hub h;
    {
        channel<std::unique_ptr<int>> out(h, kcoro::buffered(1));
        channel<std::unique_ptr<int>> full(h, kcoro::buffered(1));
        channel<int> in(h, kcoro::buffered(1));
        auto a = std::make_unique<int>(1);
        auto b = std::make_unique<int>(2);
        const int *const address = b.get();
        CPP_CHECK(full.send(std::make_unique<int>(0)).has_value());
        auto made = kcoro::select(on_send(out, std::move(a)), on_send(full, std::move(b)), on_receive(in));
        CPP_EQ(made.index, 0);
        CPP_CHECK(a == nullptr);
        CPP_CHECK(b.get() == address);
        CPP_EQ(**out.receive(), 1);
        CPP_CHECK(in.send(5).has_value());
        made = kcoro::select(on_send(full, std::move(b)), on_receive(in));
        CPP_EQ(made.index, 1);
        CPP_CHECK(b.get() == address);
        CPP_EQ(kcoro::try_select(order::fair, on_send(full, std::move(b))).code, errc::again);
        CPP_CHECK(b.get() == address);
        made = kcoro::select(kcoro::within(1ms), on_send(full, std::move(b)), on_receive(in));
        CPP_EQ(made.code, errc::time);
        CPP_EQ(made.index, kcoro::selection::none);
        CPP_CHECK(b.get() == address);
    }
    CPP_EMPTY(h);
}

CPP_TEST(a_closed_channel_is_ready_and_named) {
    kcoro::hub h;
    {
        channel<int> open(h);
        channel<int> closed(h);
        CPP_CHECK(closed.close().has_value());
        int called = 0;
        auto made = kcoro::select(on_receive(open, [&](int) { called++; }), on_receive(closed, [&](int) { called++; }));
        CPP_EQ(made.code, errc::closed);
        CPP_EQ(made.index, 1);
        CPP_CHECK(open.destroy().has_value());
        made = kcoro::select(on_receive(open, [&](int) { called++; }));
        CPP_EQ(made.code, errc::cancelled);
        CPP_EQ(made.index, 0);
        CPP_EQ(called, 0);
        int caught = 0;
        try {
            (void)made.value();
        } catch (const kcoro::error &e) {
            caught += e.kc() == errc::cancelled;
        }
        CPP_EQ(caught, 1);
    }
    CPP_EMPTY(h);
}

CPP_TEST(a_cancelled_select_names_no_clause) {
    kcoro::hub h;
    {
        channel<int> c(h, kcoro::buffered(1));
        const kcoro::cancellation stop;
        CPP_CHECK(c.send(1).has_value());
        (void)stop.trigger();
        const auto made = kcoro::select(kcoro::unless(stop), on_receive(c));
        CPP_EQ(made.code, errc::cancelled);
        CPP_EQ(made.index, kcoro::selection::none);
        CPP_EQ(c.depth(), 1);
    }
    CPP_EMPTY(h);
}

CPP_TEST(the_first_wins_or_each_in_its_turn) {
    kcoro::hub h;
    {
        channel<int> a(h, kcoro::unlimited());
        channel<int> b(h, kcoro::unlimited());
        for (int i = 0; i < 400; i++) {
            CPP_CHECK(a.send(i).has_value());
            CPP_CHECK(b.send(i).has_value());
        }
        int wins[2] = {0, 0};
        for (int i = 0; i < 200; i++)
            wins[kcoro::select(order::first_wins, {}, on_receive(b), on_receive(a)).value()]++;
        CPP_EQ(wins[0], 200);
        wins[0] = 0;
        for (int i = 0; i < 200; i++)
            wins[kcoro::select(order::fair, {}, on_receive(b), on_receive(a)).value()]++;
        CPP_CHECK(wins[0] > 50 && wins[1] > 50); /* one in 10^12 runs may differ */
    }
    CPP_EMPTY(h);
}

CPP_TEST(the_first_of_several_types_is_a_variant) {
    kcoro::hub h;
    {
        channel<int> numbers(h, kcoro::buffered(1));
        channel<std::string> words(h, kcoro::buffered(1));
        CPP_CHECK(words.send("two").has_value());
        auto got = kcoro::receive_any(order::fair, {}, numbers, words);
        CPP_EQ(got->index(), 1);
        CPP_CHECK(std::get<1>(*got) == "two");
        CPP_EQ(kcoro::receive_any(order::fair, kcoro::within(1ms), numbers, words).code(), errc::time);
    }
    CPP_EMPTY(h);
}

/* Two rings of selects that pass objects both ways; at the end all are where they were counted. */
static void crossed(std::uint32_t count) {
    kcoro::hub h;
    const int rounds = 3000 / test::scale;
    std::atomic<long> sent = 0, received = 0;
    {
        const kcoro::scheduler s = test::workers(count);
        channel<counted> left(h), right(h);
        const kcoro::scope all(s);
        const auto party = [&](channel<counted> &to, channel<counted> &from) {
            return [&](const kcoro::cancellation &end) {
                for (int i = 0; !end.is_set(); i++) {
                    counted mine(i);
                    const auto made = kcoro::select(
                        i % 2 == 0 ? kcoro::unless(end) : kcoro::within(2us).unless(end),
                        on_send(to, std::move(mine), [&] { sent++; }),
                        on_receive(from, [&](counted &&got) { received += got.value >= 0; }));
                    if (made.index != 0)
                        CPP_EQ(mine.value, i);
                }
            };
        };
        for (int n = 0; n < 2; n++) {
            all.launch(party(left, right)).value();
            all.launch(party(right, left)).value();
        }
        test::until([&] { return received >= rounds; });
        (void)all.cancel();
        CPP_CHECK(all.wait().has_value());
        CPP_EQ(sent, received);
        CPP_EQ(counted::live, 0);
    }
    CPP_EMPTY(h);
}

CPP_TEST(selects_that_meet_selects_lose_and_double_nothing) {
    for (const std::uint32_t count : {1U, 2U, 4U})
        crossed(count);
}

struct fragile {
    int value;
    bool breaks = false;
    explicit fragile(int v, bool b = false) : value(v), breaks(b) {}
    fragile(fragile &&other) : value(other.value), breaks(other.breaks) {
        if (breaks)
            throw std::runtime_error("it breaks");
        other.value = -1;
    }
    fragile &operator=(fragile &&other) noexcept {
        value = std::exchange(other.value, -1);
        return *this;
    }
};

CPP_TEST(what_a_clause_was_to_send_is_back_where_another_ones_move_throws) {
    kcoro::hub h;
    {
        const channel<fragile> c(h, kcoro::buffered(4));
        fragile first(1), second(2, true), third(3);
        bool thrown = false;
        try {
            (void)kcoro::select(on_send(c, std::move(first)), on_send(c, std::move(second)),
                                on_send(c, std::move(third)));
        } catch (const std::runtime_error &) {
            thrown = true;
        }
        CPP_CHECK(thrown);
        CPP_EQ(first.value, 1);
        CPP_EQ(second.value, 2);
        CPP_EQ(third.value, 3);
        CPP_EQ(c.depth(), 0);
    }
    CPP_EMPTY(h);
}

int main() {
    CPP_RUN(the_winners_function_is_called_with_what_came);
    CPP_RUN(a_send_that_lost_has_its_value_back);
    CPP_RUN(a_closed_channel_is_ready_and_named);
    CPP_RUN(a_cancelled_select_names_no_clause);
    CPP_RUN(the_first_wins_or_each_in_its_turn);
    CPP_RUN(the_first_of_several_types_is_a_variant);
    CPP_RUN(selects_that_meet_selects_lose_and_double_nothing);
    CPP_RUN(what_a_clause_was_to_send_is_back_where_another_ones_move_throws);
    return test::report();
}
