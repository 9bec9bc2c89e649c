/* test_cpp_look.cpp: what tools see of a channel: waiters, the states of their tokens, the cell, counters. */
#include <memory>
#include <string>

#include "cpp_test.hpp"

using kcoro::cell_state;
using kcoro::channel;
using kcoro::errc;
using kcoro::side;
using kcoro::token_status;

CPP_TEST(a_waiter_is_seen_until_it_was_matched) {
    kcoro::hub h;
    const kcoro::scheduler s = test::workers(1);
    {
        const channel<int> c(h);
        CPP_EQ(kcoro::cell_of(h, c)->state, cell_state::empty);
        CPP_CHECK(kcoro::waiters(h, c, side::senders).empty());
        s.spawn([&] { c.send(5).value(); }).value();
        test::until([&] { return kcoro::cell_of(h, c)->state == cell_state::sender_ready; });
        const auto waiting = kcoro::waiters(h, c, side::senders);
        CPP_EQ(waiting.size(), 1);
        CPP_EQ(waiting[0].status, token_status::enqueued);
        CPP_EQ(waiting[0].length, sizeof(int));
        CPP_EQ(waiting[0].clauses, 1);
        CPP_EQ(*kcoro::status_of(h, waiting[0].token), token_status::enqueued);
        CPP_EQ(kcoro::cell_of(h, c)->sender, waiting[0].token);
        const std::string text = to_string(waiting[0]);
        CPP_CHECK(text == "sender " + kcoro::ticket_text(waiting[0].token) + " ENQUEUED clauses=1 bytes=4");
        CPP_EQ(*c.receive(), 5);
        CPP_EQ(kcoro::status_of(h, waiting[0].token).code(), errc::no_entry);
        CPP_CHECK(s.drain().has_value());
        CPP_EQ(kcoro::cell_of(h, c)->matches, 1);
    }
    CPP_EMPTY(h);
}

CPP_TEST(a_select_is_seen_at_each_channel_with_one_token) {
    kcoro::hub h;
    const kcoro::scheduler s = test::workers(1);
    {
        const channel<int> a(h);
        const channel<std::string> b(h);
        s.spawn([&] { (void)kcoro::select(kcoro::on_receive(a), kcoro::on_receive(b)); }).value();
        test::until([&] { return !kcoro::waiters(h, b, side::receivers).empty(); });
        const auto at_a = kcoro::waiters(h, a, side::receivers);
        const auto at_b = kcoro::waiters(h, b, side::receivers);
        CPP_EQ(at_a[0].token, at_b[0].token);
        CPP_EQ(at_a[0].clauses, 2);
        CPP_CHECK(a.send(1).has_value());
        CPP_CHECK(s.drain().has_value());
        CPP_CHECK(kcoro::waiters(h, b, side::receivers).empty());
    }
    CPP_EMPTY(h);
}

CPP_TEST(cancelled_waiters_are_counted_and_objects_are_descriptors) {
    kcoro::hub h;
    const kcoro::scheduler s = test::workers(1);
    {
        const channel<std::unique_ptr<int>> c(h);
        CPP_EQ(c.receive(kcoro::within(std::chrono::milliseconds(1))).code(), errc::time);
        CPP_EQ(kcoro::cell_of(h, c)->state, cell_state::cancelled);
        CPP_EQ(kcoro::cell_of(h, c)->cancels, 1);
        s.spawn([&] { c.send(std::make_unique<int>(1)).value(); }).value();
        CPP_EQ(**c.receive(), 1);
        CPP_EQ(kcoro::cell_of(h, c)->descriptors, 1);
        const auto snapshot = kcoro::snapshot_of(h, c);
        CPP_EQ(snapshot->stat[KC_STAT_TOTAL_SENDS], 1);
        CPP_EQ(snapshot->stat[KC_STAT_CANCELLED_WAITERS], 1);
        const std::string text = to_string(*kcoro::cell_of(h, c));
        CPP_CHECK(text.starts_with("EMPTY sender=0.0 receiver=0.0 matches=") &&
                  text.ends_with("cancels=1 descriptors=1"));
        CPP_CHECK(to_string(h, c).find("state=OPEN") != std::string::npos);
        CPP_CHECK(s.drain().has_value());
    }
    CPP_EMPTY(h);
}

CPP_TEST(states_have_the_names_of_the_seed) {
    CPP_CHECK(std::string(to_string(token_status::init)) == "INIT");
    CPP_CHECK(std::string(to_string(token_status::cancelled)) == "CANCELLED");
    CPP_CHECK(std::string(to_string(cell_state::receiver_ready)) == "RECEIVER_READY");
    CPP_CHECK(std::string(to_string(static_cast<cell_state>(99))) == "?");
}

int main() {
    CPP_RUN(a_waiter_is_seen_until_it_was_matched);
    CPP_RUN(a_select_is_seen_at_each_channel_with_one_token);
    CPP_RUN(cancelled_waiters_are_counted_and_objects_are_descriptors);
    CPP_RUN(states_have_the_names_of_the_seed);
    return test::report();
}
