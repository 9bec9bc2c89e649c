/* test_cpp_result.cpp: results, errors, deadlines. */
#include <cmath>
#include <memory>
#include <string>

#include "cpp_test.hpp"

using kcoro::errc;
using kcoro::result;
using namespace std::chrono_literals;

CPP_TEST(a_result_has_a_value_or_a_code) {
    result<int> good(7);
    result<int> bad(errc::closed);
    CPP_CHECK(good.has_value());
    CPP_EQ(*good, 7);
    CPP_EQ(good.code(), errc::ok);
    CPP_CHECK(!bad);
    CPP_EQ(bad.code(), errc::closed);
    CPP_EQ(bad.value_or(3), 3);
    CPP_EQ(good.value_or(3), 7);
}

CPP_TEST(value_throws_the_code_of_a_result_without_one) {
    int caught = 0;
    try {
        (void)result<int>(errc::time).value();
    } catch (const kcoro::error &e) {
        caught += e.kc() == errc::time && e.code().value() == -KC_ETIME;
    }
    try {
        result<void>(errc::cancelled).value();
    } catch (const std::system_error &e) {
        caught += e.code().value() == -KC_ECANCELED;
    }
    CPP_EQ(caught, 2);
    result<void>().value();
}

CPP_TEST(a_result_of_what_moves_only_moves) {
    result<std::unique_ptr<int>> r(std::make_unique<int>(5));
    std::unique_ptr<int> taken = std::move(r).value();
    CPP_EQ(*taken, 5);
    auto next = result<std::unique_ptr<int>>(std::move(taken)).and_then([](std::unique_ptr<int> &&p) {
        return result<std::string>(std::to_string(*p));
    });
    CPP_CHECK(*next == "5");
    auto none = result<int>(errc::closed).and_then([](int) { return result<std::string>("no"); });
    CPP_EQ(none.code(), errc::closed);
}

CPP_TEST(codes_are_those_of_the_wire) {
    CPP_EQ(static_cast<int>(errc::closed), KC_EPIPE);
    CPP_EQ(kcoro::code_of(KC_PARKED), errc::ok);
    CPP_EQ(kcoro::code_of(KC_EAGAIN), errc::again);
    CPP_CHECK(std::string(to_string(errc::closed)) == "closed");
    CPP_CHECK(std::string(to_string(errc::in_progress)) == "may have happened");
    CPP_CHECK(std::string(to_string(static_cast<errc>(-9999))) == "another code");
    for (const int code : {KC_ENOENT, KC_EBADF, KC_EAGAIN, KC_ENOMEM, KC_EACCES, KC_EBUSY, KC_EEXIST, KC_EINVAL,
                           KC_ENOSPC, KC_EPIPE, KC_ENAMETOOLONG, KC_ENOSYS, KC_ETIME, KC_EPROTO, KC_EMSGSIZE,
                           KC_EPROTONOSUPPORT, KC_ENOTSUP, KC_ECONNRESET, KC_EINPROGRESS, KC_EDQUOT, KC_ECANCELED})
        CPP_CHECK(std::string(to_string(kcoro::code_of(code))) != "another code");
    CPP_EQ(static_cast<int>(errc::exists), KC_EEXIST);
    CPP_EQ(static_cast<int>(errc::bad_handle), KC_EBADF);
    CPP_EQ(static_cast<int>(errc::no_space), KC_ENOSPC);
    CPP_EQ(static_cast<int>(errc::name_too_long), KC_ENAMETOOLONG);
    CPP_EQ(static_cast<int>(errc::no_system), KC_ENOSYS);
    CPP_EQ(static_cast<int>(errc::version), KC_EPROTONOSUPPORT);
}

CPP_TEST(deadlines_are_the_monotonic_clock_and_never_early) {
    const auto now = std::chrono::steady_clock::now();
    CPP_EQ(kcoro::until(now).deadline_ns(), now.time_since_epoch().count());
    CPP_EQ(kcoro::patience().deadline_ns(), KC_NEVER);
    CPP_EQ(kcoro::until(kcoro::time_point::max()).deadline_ns(), KC_NEVER);
    CPP_EQ(kcoro::within(std::chrono::hours::max()).deadline_ns(), KC_NEVER);
    CPP_EQ(kcoro::detail::nanoseconds(std::chrono::duration<double, std::pico>(500)), 1); /* rounded up */
    CPP_EQ(kcoro::detail::nanoseconds(std::chrono::duration<int, std::ratio<1, 3>>(1)), 333'333'334);
    const std::int64_t before = kc_now_ns();
    CPP_CHECK(kcoro::within(1s).deadline_ns() >= before + 1'000'000'000);
}

CPP_TEST(a_patience_has_a_deadline_and_a_cancel) {
    const kcoro::cancellation c;
    const kcoro::patience both = kcoro::within(1h).unless(c);
    CPP_CHECK(both.cancel() == c.native());
    CPP_CHECK(both.deadline_ns() != KC_NEVER);
    CPP_EQ(kcoro::unless(c).deadline_ns(), KC_NEVER);
}

template <class T>
constexpr bool moves_only = !std::is_copy_constructible_v<T> && std::is_nothrow_move_constructible_v<T>;
static_assert(moves_only<kcoro::cancellation>);
static_assert(moves_only<kcoro::scheduler>);
static_assert(moves_only<kcoro::hub>);
static_assert(moves_only<kcoro::channel<int>>);
static_assert(moves_only<kcoro::scope>);
static_assert(moves_only<kcoro::actor<int>>);
static_assert(moves_only<kcoro::loan>);
static_assert(moves_only<kcoro::lease>);
static_assert(moves_only<kcoro::task<int>>);

CPP_TEST(a_duration_beyond_the_clock_is_long_past_or_never) {
    using kcoro::detail::nanoseconds;
    CPP_EQ(nanoseconds(std::chrono::hours(-3'000'000)), INT64_MIN); /* 64 bits of ns wrap to some time to come */
    CPP_EQ(nanoseconds(std::chrono::hours::min()), INT64_MIN);
    CPP_EQ(nanoseconds(std::chrono::duration<double>(-1e30)), INT64_MIN);
    CPP_EQ(nanoseconds(std::chrono::hours(3'000'000)), KC_NEVER);
    CPP_EQ(nanoseconds(std::chrono::hours::max()), KC_NEVER);
    CPP_EQ(nanoseconds(std::chrono::duration<double>(std::nan(""))), KC_NEVER);
    kcoro::hub h;
    const kcoro::channel<int> silent(h);
    CPP_EQ(silent.receive(std::chrono::hours::min()).code(), errc::time);
    using kcoro::detail::milliseconds_until; /* of a daemon's channel: never early, never wrapped round */
    CPP_EQ(milliseconds_until(kc_after_ns(nanoseconds(std::chrono::hours(24 * 30)))), -1);
    CPP_EQ(milliseconds_until(INT64_MIN), 0);
    CPP_EQ(milliseconds_until(KC_NEVER), -1);
}

int main() {
    CPP_RUN(a_result_has_a_value_or_a_code);
    CPP_RUN(value_throws_the_code_of_a_result_without_one);
    CPP_RUN(a_result_of_what_moves_only_moves);
    CPP_RUN(codes_are_those_of_the_wire);
    CPP_RUN(deadlines_are_the_monotonic_clock_and_never_early);
    CPP_RUN(a_patience_has_a_deadline_and_a_cancel);
    CPP_RUN(a_duration_beyond_the_clock_is_long_past_or_never);
    return test::report();
}
