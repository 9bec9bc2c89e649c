/* select.hpp: exactly one of several sends and receives takes effect, and its function is called with what came.
 *
 *     select(on_receive(numbers, [](int n) { ... }), on_send(words, word, [] { ... }));
 *
 * A closed or destroyed channel is ready: the selection then has its index and a code, and no function is called. What
 * a clause that lost was to send is back in its place. Channels are of one hub.
 */
#ifndef KCORO_CPP_SELECT_HPP
#define KCORO_CPP_SELECT_HPP

#include <limits>
#include <span>
#include <tuple>
#include <variant>

#include "kcoro/cpp/channel.hpp"

namespace kcoro {

/* Among clauses that are ready. The engine throws dice for `fair`. */
enum class order : std::uint32_t { fair = 0, first_wins = KC_OP_BIASED };

struct selection {
    static constexpr std::size_t none = std::numeric_limits<std::size_t>::max();
    std::size_t index = none; /* the clause that took effect, or whose channel is over */
    errc code = errc::ok;
    explicit operator bool() const noexcept { return code == errc::ok; }
    /* The throwing form. */
    std::size_t value() const {
        if (code != errc::ok)
            detail::fail(code, "kcoro::select");
        return index;
    }
};

namespace detail {

template <class T, carriage C> struct inbox; /* where a receive's value comes to */
template <class T> struct inbox<T, carriage::bytes> {
    bytes_of<T> bytes;
    void arm(kc_channel_clause &c) noexcept {
        c.buffer = bytes.data();
        c.buffer_bytes = sizeof bytes;
    }
    result<T> take(const kc_channel_clause &c) { return arrived<T>(KC_OK, bytes, c.len_bytes); }
};
template <class T> struct inbox<T, carriage::object> {
    void arm(kc_channel_clause &) noexcept {}
    result<T> take(const kc_channel_clause &c) {
        const message<T> m = arrived<T>(c.desc);
        return result<T>(std::in_place, std::move(*m));
    }
};

template <class T, carriage C, class F> class receive_clause {
public:
    receive_clause(const channel<T, C> &of, F f) : of_(&of), f_(std::move(f)) {}
    const any_channel &of() const noexcept { return *of_; }
    int arm(kc_channel_clause &c) noexcept {
        c.channel = of_->native();
        c.dir = KC_CLAUSE_RECV;
        inbox_.arm(c);
        return KC_OK;
    }
    errc win(const kc_channel_clause &c) {
        result<T> got = inbox_.take(c);
        if (got)
            (void)std::invoke(f_, *std::move(got));
        return got.code();
    }
    void lose() noexcept {}

private:
    const channel<T, C> *of_;
    F f_;
    [[no_unique_address]] inbox<T, C> inbox_;
};

template <class T, carriage C, class F> class send_clause;
template <class T, class F> class send_clause<T, carriage::bytes, F> {
public:
    send_clause(const channel<T, carriage::bytes> &to, T value, F f) : to_(&to), value_(value), f_(std::move(f)) {}
    const any_channel &of() const noexcept { return *to_; }
    int arm(kc_channel_clause &c) noexcept {
        c.channel = to_->native();
        c.dir = KC_CLAUSE_SEND;
        c.data = &value_;
        c.len_bytes = sizeof value_;
        return KC_OK;
    }
    errc win(const kc_channel_clause &) { return std::invoke(f_), errc::ok; }
    void lose() noexcept {}

private:
    const channel<T, carriage::bytes> *to_;
    T value_;
    F f_;
};
template <class T, class F> class send_clause<T, carriage::object, F> {
public:
    send_clause(const channel<T, carriage::object> &to, T &&value, F f)
        : to_(&to), home_(&value), f_(std::move(f)) {}
    const any_channel &of() const noexcept { return *to_; }
    int arm(kc_channel_clause &c) {
        result<message<T>> m = message<T>::make(std::move(*home_));
        if (!m)
            return KC_ENOMEM;
        message_ = *std::move(m);
        c.channel = to_->native();
        c.dir = KC_CLAUSE_SEND;
        c.desc = describe(to_->post(), message_.get(), sizeof(T));
        return KC_OK;
    }
    errc win(const kc_channel_clause &) {
        (void)message_.release();
        to_->collect(); /* a full channel may have lost another one for it */
        return std::invoke(f_), errc::ok;
    }
    void lose() {
        if (message_)
            restore(*home_, std::move(*message_));
        message_ = {};
    }

private:
    const channel<T, carriage::object> *to_;
    T *home_;
    F f_;
    message<T> message_;
};

struct nothing {
    template <class... Args> void operator()(Args &&...) const noexcept {}
};

/* All clauses, or none: what is to be sent is back in its place if a later clause cannot be armed, or throws. */
template <class Clauses, std::size_t... I>
int arm_all(Clauses &clauses, std::array<kc_channel_clause, sizeof...(I)> &raw, std::index_sequence<I...>) {
    int rc = KC_OK;
#if KCORO_CPP_EXCEPTIONS
    try {
#endif
        (void)((rc = std::get<I>(clauses).arm(raw[I]), rc == KC_OK) && ...);
#if KCORO_CPP_EXCEPTIONS
    } catch (...) {
        (std::get<I>(clauses).lose(), ...);
        throw;
    }
#endif
    return rc;
}

/* The engine's view of the clauses, and back. */
template <class Clauses, std::size_t... I>
selection run(order by, std::uint32_t flags, patience how, Clauses &&clauses, std::index_sequence<I...> all) {
    std::array<kc_channel_clause, sizeof...(I)> raw{};
    std::uint32_t index = 0;
    kc_cancel *cancel = how.cancel(); /* else that of the first channel that is bound */
    ((cancel = cancel != nullptr ? cancel : std::get<I>(clauses).of().bound()), ...);
    int rc = arm_all(clauses, raw, all);
    const bool asked = rc == KC_OK;
    if (asked)
        rc = parked([&] {
            return kc_channel_select(raw.data(), sizeof...(I), static_cast<std::uint32_t>(by) | flags,
                                     how.deadline_ns(), cancel, &index);
        });
    const bool over = rc == KC_EPIPE || (rc == KC_ECANCELED && kc_cancel_is_set(cancel) == 0);
    selection made{rc == KC_OK || over ? index : selection::none, code_of(rc)};
    ((rc != KC_OK || I != index ? std::get<I>(clauses).lose() : void()), ...);
    if (rc == KC_OK)
        (void)((I == index ? (made.code = std::get<I>(clauses).win(raw[I]), true) : false) || ...);
    return made;
}

} // namespace detail

template <class T, carriage C, class F> auto on_receive(const channel<T, C> &of, F f) {
    return detail::receive_clause<T, C, F>(of, std::move(f));
}
template <class T, carriage C> auto on_receive(const channel<T, C> &of) { return on_receive(of, detail::nothing{}); }
/* Of objects an rvalue that lives until the select is over: a clause that lost puts it back. */
template <class T, class F = detail::nothing>
auto on_send(const channel<T, carriage::object> &to, std::type_identity_t<T> &&value, F f = {}) {
    return detail::send_clause<T, carriage::object, F>(to, std::move(value), std::move(f));
}
template <class T, class F = detail::nothing>
auto on_send(const channel<T, carriage::bytes> &to, std::type_identity_t<T> value, F f = {}) {
    return detail::send_clause<T, carriage::bytes, F>(to, value, std::move(f));
}

template <class Clause>
concept clause = requires(std::remove_reference_t<Clause> &c, kc_channel_clause &raw) {
    { c.arm(raw) } -> std::same_as<int>;
    { c.win(raw) } -> std::same_as<errc>;
    { c.of() } -> std::convertible_to<const any_channel &>;
    c.lose();
};

template <clause... Clauses> selection select(order by, patience how, Clauses &&...clauses) {
    static_assert(sizeof...(Clauses) >= 1 && sizeof...(Clauses) <= KC_MAX_CLAUSES);
    return detail::run(by, 0, how, std::forward_as_tuple(clauses...), std::index_sequence_for<Clauses...>{});
}
template <clause... Clauses> selection select(patience how, Clauses &&...clauses) {
    return select(order::fair, how, clauses...);
}
template <clause... Clauses> selection select(Clauses &&...clauses) { return select(order::fair, {}, clauses...); }
/* errc::again when none is ready. */
template <clause... Clauses> selection try_select(order by, Clauses &&...clauses) {
    return detail::run(by, KC_OP_TRY, {}, std::forward_as_tuple(clauses...), std::index_sequence_for<Clauses...>{});
}

namespace detail {

template <class Variant, std::size_t... I, class... Channels>
result<Variant> any(order by, patience how, std::index_sequence<I...>, const Channels &...channels) {
    std::optional<Variant> got;
    const selection made = select(by, how, on_receive(channels, [&got](typename Channels::value_type &&value) {
        got.emplace(std::in_place_index<I>, std::move(value));
    })...);
    return got ? result<Variant>(*std::move(got)) : result<Variant>(made.code);
}

} // namespace detail

/* The first value that comes; the variant's index is the channel's. */
template <class... T, carriage... C>
result<std::variant<T...>> receive_any(order by, patience how, const channel<T, C> &...channels) {
    return detail::any<std::variant<T...>>(by, how, std::index_sequence_for<T...>{}, channels...);
}

} // namespace kcoro
#endif
