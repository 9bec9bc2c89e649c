/* test_cpp_memory.cpp: loans, leases and descriptors are given back exactly once, whatever becomes of them. */
#include <cstring>
#include <string>

#include "cpp_test.hpp"

using kcoro::block_pool;
using kcoro::errc;
using kcoro::lease_channel;
using kcoro::loan;
using namespace std::chrono_literals;

CPP_TEST(what_was_written_is_read_in_the_same_memory) {
    kcoro::hub h;
    {
        const block_pool pool(h, 2, 1000);
        const lease_channel c(h, kcoro::buffered(2));
        loan l = pool.take().value();
        CPP_EQ(l.bytes().size(), 1000);
        std::memcpy(l.bytes().data(), "words", 5);
        l.resize(5);
        const void *const address = l.bytes().data();
        CPP_CHECK(c.send(std::move(l)).has_value());
        CPP_CHECK(!l);
        CPP_EQ(pool.available(), 1);
        {
            const kcoro::lease got = c.receive().value();
            CPP_CHECK(got.bytes().data() == address);
            CPP_EQ(got.bytes().size(), 5);
            CPP_CHECK(std::memcmp(got.bytes().data(), "words", 5) == 0);
            CPP_EQ(pool.available(), 1);
        }
        CPP_EQ(pool.available(), 2);
    }
    CPP_EMPTY(h);
}

CPP_TEST(blocks_come_back_from_every_end) {
    kcoro::hub h;
    {
        const block_pool pool(h, 3, 64);
        { const loan unused = pool.take().value(); }
        CPP_EQ(pool.available(), 3);
        {
            const lease_channel c(h, kcoro::buffered(1, kcoro::overflow::drop_oldest));
            for (int i = 0; i < 10; i++) {
                CPP_CHECK(c.send(pool.take().value()).has_value());
                CPP_EQ(pool.available(), 2); /* the evicted one is back */
            }
            CPP_CHECK(c.send(pool.take().value()).has_value());
            CPP_CHECK(c.destroy().has_value());
            CPP_EQ(pool.available(), 3);
            loan refused = pool.take().value();
            CPP_EQ(c.send(std::move(refused)).code(), errc::cancelled);
            CPP_CHECK(static_cast<bool>(refused)); /* still ours */
            CPP_EQ(pool.available(), 2);
        }
        CPP_EQ(pool.available(), 3);
        const lease_channel c(h, kcoro::unlimited());
        CPP_CHECK(c.send(pool.take().value()).has_value());
        const kcoro::lease unsent(pool.take().value());
        CPP_EQ(pool.available(), 1);
    }
    CPP_EMPTY(h);
}

CPP_TEST(who_takes_waits_while_all_are_out) {
    kcoro::hub h;
    const kcoro::scheduler s = test::workers(2);
    {
        const block_pool pool(h, 1, 16);
        loan only = pool.take().value();
        CPP_EQ(pool.try_take().code(), errc::again);
        CPP_EQ(pool.take(kcoro::within(1ms)).code(), errc::time);
        std::atomic<int> taken = 0;
        s.spawn([&] { taken += pool.take().has_value(); }).value();
        only = loan();
        CPP_CHECK(s.drain().has_value());
        CPP_EQ(taken, 1);
        CPP_EQ(pool.available(), 1);
    }
    CPP_EMPTY(h);
}

CPP_TEST(blocks_outlive_their_pool) {
    kcoro::hub h;
    {
        kcoro::lease last;
        {
            const block_pool pool(h, 2, 8);
            loan l = pool.take().value();
            std::memset(l.bytes().data(), 'x', 8);
            last = kcoro::lease(std::move(l));
        }
        CPP_EQ(static_cast<char>(last.bytes()[7]), 'x');
    }
    CPP_EMPTY(h);
}

CPP_TEST(a_select_lends_and_borrows) {
    kcoro::hub h;
    {
        const block_pool pool(h, 2, 8);
        const lease_channel a(h, kcoro::buffered(1)), b(h, kcoro::buffered(1));
        loan l = pool.take().value();
        int got = 0;
        CPP_CHECK(kcoro::select(kcoro::on_receive(b, [](kcoro::lease &&) {}), kcoro::on_send(a, std::move(l))).index ==
                  1);
        CPP_CHECK(!l);
        l = pool.take().value();
        CPP_CHECK(kcoro::select(kcoro::on_send(a, std::move(l)),
                                kcoro::on_receive(a, [&](kcoro::lease &&) { got++; })).index == 1);
        CPP_CHECK(static_cast<bool>(l)); /* it lost */
        CPP_EQ(got, 1);
        CPP_EQ(pool.available(), 1);
    }
    CPP_EMPTY(h);
}

/* The handoff's mirror: two producers and two consumers trade 1 KiB blocks, none is copied, none is lost. */
CPP_TEST(blocks_go_round_between_producers_and_consumers) {
    kcoro::hub h;
    const std::size_t rounds = 4000 / test::scale;
    for (const std::uint32_t count : {1U, 2U, 4U}) {
        const kcoro::scheduler s = test::workers(count);
        const block_pool pool(h, 6, 1024);
        const lease_channel c(h, kcoro::buffered(4));
        std::atomic<std::size_t> sum = 0;
        kcoro::in_scope(s, [&](kcoro::scope &all) {
            std::atomic<int> producers = 2;
            kcoro::scope consumers(s);
            for (int n = 0; n < 2; n++) {
                all.launch([&] {
                    for (std::size_t i = 0; i < rounds; i++) {
                        loan l = pool.take().value();
                        std::memset(l.bytes().data(), static_cast<int>(i % 256), 1024);
                        l.resize(i % 1024 + 1);
                        c.send(std::move(l)).value();
                    }
                    if (--producers == 0)
                        (void)c.close();
                }).value();
                consumers.launch([&] {
                    for (const auto &l : c) {
                        CPP_CHECK(l.bytes().front() == l.bytes().back());
                        sum += l.bytes().size();
                    }
                }).value();
            }
            (void)consumers.wait();
        });
        std::size_t expected = 0;
        for (std::size_t i = 0; i < rounds; i++)
            expected += 2 * (i % 1024 + 1);
        CPP_EQ(sum, expected);
        CPP_EQ(pool.available(), 6);
    }
    CPP_EMPTY(h);
}

CPP_TEST(a_descriptor_of_any_backend_is_released_once) {
    kcoro::hub h;
    int released = 0;
    const auto release = [&](const kc_desc &) { released++; };
    char memory[16] = "";
    kc_desc plain{};
    plain.offset = reinterpret_cast<std::uintptr_t>(memory);
    plain.len_bytes = sizeof memory;
    {
        kc_channel_config config{KC_KIND_BUFFERED, 1, 0, 0};
        kc_channel *raw = nullptr;
        CPP_EQ(kc_channel_make(h.native(), &config, &raw), KC_OK);
        kcoro::owned_desc first(plain, release);
        CPP_CHECK(kcoro::send_desc(raw, std::move(first)).has_value());
        CPP_CHECK(!first);
        kcoro::owned_desc second(plain, release);
        CPP_EQ(kcoro::send_desc(raw, std::move(second), kcoro::within(0ns)).code(), errc::time);
        CPP_CHECK(static_cast<bool>(second));
        {
            auto got = kcoro::receive_desc(raw, release);
            CPP_EQ((*got)->offset, plain.offset);
            const auto moved = *std::move(got);
            CPP_EQ(released, 0);
        }
        CPP_EQ(released, 1);
        kc_channel_drop(raw);
    }
    CPP_EQ(released, 2);
    CPP_EMPTY(h);
}

CPP_TEST(a_pool_that_no_memory_can_hold_is_refused) {
    kcoro::hub h;
    for (const std::size_t bytes : {SIZE_MAX, SIZE_MAX / 2, SIZE_MAX / 2 - 100, SIZE_MAX / 64}) {
        errc refused = errc::ok;
        try {
            const block_pool pool(h, 64, bytes);
        } catch (const kcoro::error &e) {
            refused = e.kc();
        }
        CPP_EQ(refused, errc::no_memory);
    }
    CPP_EQ(lease_channel::make(h, kcoro::buffered(0)).code(), errc::invalid);
    CPP_CHECK(lease_channel::make(h, kcoro::buffered(1)).has_value());
    CPP_EMPTY(h);
}

int main() {
    CPP_RUN(what_was_written_is_read_in_the_same_memory);
    CPP_RUN(blocks_come_back_from_every_end);
    CPP_RUN(who_takes_waits_while_all_are_out);
    CPP_RUN(blocks_outlive_their_pool);
    CPP_RUN(a_select_lends_and_borrows);
    CPP_RUN(blocks_go_round_between_producers_and_consumers);
    CPP_RUN(a_descriptor_of_any_backend_is_released_once);
    CPP_RUN(a_pool_that_no_memory_can_hold_is_refused);
    return test::report();
}
