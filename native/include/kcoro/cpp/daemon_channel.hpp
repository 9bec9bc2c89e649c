/* daemon_channel.hpp: a channel of the daemon whose messages have any length, with files, loans, senders and
 * acknowledgement: the calls, patience, ranges and clauses of channel<T>, and its codes.
 *
 * Beside those errc::in_progress: the connection ended under the call, which happened or did not. Without kc_remote.h
 * this header is empty.
 */
#ifndef KCORO_CPP_DAEMON_CHANNEL_HPP
#define KCORO_CPP_DAEMON_CHANNEL_HPP

#include "kcoro/cpp/delivery.hpp"
#include "kcoro/cpp/select.hpp"

#if __has_include("kcoro/kc_remote.h")

namespace kcoro {

namespace detail {

/* What is left until then in milliseconds, rounded up; negative: for ever, also where the daemon has no number for it
 * (more than 24 days). */
inline std::int32_t milliseconds_until(std::int64_t deadline_ns) noexcept {
    if (deadline_ns == KC_NEVER)
        return -1;
    const std::int64_t now_ns = kc_now_ns();
    const std::int64_t left_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
    const std::int64_t left = left_ns / 1'000'000 + (left_ns % 1'000'000 != 0);
    return left > INT32_MAX ? -1 : static_cast<std::int32_t>(left);
}
inline kc_ipc_wish wish_of(const patience &how, std::uint32_t flags) noexcept {
    return {milliseconds_until(how.deadline_ns()), flags, 0, 0};
}
/* A try: the daemon is asked and answers at once. */
inline constexpr std::uint32_t at_once = 1U << 31;

/* One operation's outcome, freed where it is left. */
class outcome {
public:
    outcome() noexcept { raw_.index = UINT32_MAX; }
    outcome(const outcome &) = delete;
    outcome &operator=(const outcome &) = delete;
    ~outcome() { kc_ipc_result_free(&raw_); }
    /* ask(wish, result): its code. A daemon that was only to try says so by another name than a deadline that has
     * passed. */
    template <class Ask> int run(const patience &how, std::uint32_t flags, Ask ask) noexcept {
        kc_ipc_wish wish = wish_of(how, flags & ~at_once);
        if ((flags & at_once) != 0)
            wish.timeout_ms = 0;
        const int rc = parked([&] { return ask(&wish, &raw_); });
        if ((raw_.flags & KC_IPC_IN_DOUBT) != 0)
            return KC_EINPROGRESS;
        return rc == KC_EAGAIN && (flags & at_once) == 0 ? static_cast<int>(KC_ETIME) : rc;
    }
    /* Of a receive that succeeded. */
    delivery take(kc_ipc *ipc, asking what) noexcept {
        const bool due = (static_cast<std::uint32_t>(what) & KC_IPC_ACK) != 0;
        return delivery(std::exchange(raw_.messages[0], {}), due ? ipc : nullptr);
    }
    std::uint32_t index() const noexcept { return raw_.index; }

private:
    kc_ipc_result raw_{};
};

} // namespace detail

class daemon_channel {
public:
    using value_type = delivery;

    daemon_channel(daemon_channel &&other) noexcept : ipc_(other.ipc_), raw_(std::exchange(other.raw_, nullptr)) {}
    daemon_channel &operator=(daemon_channel &&other) noexcept {
        std::swap(ipc_, other.ipc_);
        std::swap(raw_, other.raw_);
        return *this;
    }
    ~daemon_channel() {
        detail::parked([this] { kc_ipc_chan_free(raw_); });
    }

    result<void> send(std::span<const std::byte> bytes, patience how = {}) const noexcept {
        return put(bytes, {}, how, 0);
    }
    /* With up to 16 open files, which stay the caller's. */
    result<void> send(std::span<const std::byte> bytes, std::span<const int> files, patience how = {}) const noexcept {
        return put(bytes, files, how, 0);
    }
    /* Its first `length` bytes (0: all). The loan is gone if that succeeded, or if nobody knows whether it did. */
    result<void> send(shared_loan &&loan, std::size_t length = 0, patience how = {}) const noexcept {
        return put(loan, length, how, 0);
    }
    result<void> try_send(std::span<const std::byte> bytes, std::span<const int> files = {}) const noexcept {
        return put(bytes, files, {}, detail::at_once);
    }
    result<void> try_send(shared_loan &&loan, std::size_t length = 0) const noexcept {
        return put(loan, length, {}, detail::at_once);
    }
    result<delivery> receive(patience how = {}, asking what = asking::nothing) const noexcept {
        return get(how, what, 0);
    }
    /* The message stays in its channel until ack(). */
    result<delivery> receive_to_ack(patience how = {}) const noexcept { return get(how, asking::ack, 0); }
    result<delivery> try_receive(asking what = asking::nothing) const noexcept {
        return get({}, what, detail::at_once);
    }
    stream<daemon_channel> each(patience how = {}) const noexcept { return stream<daemon_channel>(*this, how); }
    arrivals<daemon_channel> begin() const { return arrivals<daemon_channel>(*this, {}, nullptr); }
    std::default_sentinel_t end() const noexcept { return {}; }

    result<void> close(unless_cancelled how = {}) const noexcept {
        return code_of(detail::parked([&] { return kc_remote_close(raw_, how.cancel()); }));
    }
    result<void> destroy(unless_cancelled how = {}) const noexcept {
        return code_of(detail::parked([&] { return kc_remote_destroy(raw_, nullptr, how.cancel()); }));
    }
    /* Messages in it, those that wait and those held to be acknowledged; 0 when it is gone, or nobody waited for the
     * answer. */
    std::size_t depth(unless_cancelled how = {}) const noexcept {
        std::uint64_t stats[KC_STAT_END] = {};
        const int rc = detail::parked([&] { return kc_remote_statistics(raw_, how.cancel(), stats); });
        return rc == KC_OK ? static_cast<std::size_t>(stats[KC_STAT_DEPTH]) : 0;
    }
    bool is_local() const noexcept { return false; }
    kc_ipc_chan *native() const noexcept { return raw_; }
    kc_ipc *native_connection() const noexcept { return ipc_; }

private:
    friend class connection;
    daemon_channel(kc_ipc *ipc, kc_ipc_chan *raw) noexcept : ipc_(ipc), raw_(raw) {}
    int ask(const kc_ipc_payload &payload, const patience &how, std::uint32_t flags) const noexcept {
        return detail::outcome().run(how, flags, [&](const kc_ipc_wish *wish, kc_ipc_result *made) {
            return kc_remote_send(raw_, &payload, wish, how.cancel(), made);
        });
    }
    result<void> put(std::span<const std::byte> bytes, std::span<const int> files, const patience &how,
                     std::uint32_t flags) const noexcept {
        kc_ipc_payload payload{};
        payload.bytes = bytes.data();
        payload.length = bytes.size();
        payload.files = files.data();
        payload.file_count = static_cast<std::uint32_t>(files.size());
        return code_of(ask(payload, how, flags));
    }
    result<void> put(shared_loan &loan, std::size_t length, const patience &how, std::uint32_t flags) const noexcept {
        kc_ipc_payload payload{};
        payload.loan = loan.native();
        payload.length = length;
        const int rc = loan ? ask(payload, how, flags) : static_cast<int>(KC_EINVAL);
        if (rc == KC_OK || rc == KC_EINPROGRESS)
            loan.release();
        return code_of(rc);
    }
    result<delivery> get(const patience &how, asking what, std::uint32_t flags) const noexcept {
        detail::outcome got;
        flags |= static_cast<std::uint32_t>(what);
        const int rc = got.run(how, flags, [&](const kc_ipc_wish *wish, kc_ipc_result *out) {
            return kc_remote_recv(raw_, wish, how.cancel(), out);
        });
        return rc == KC_OK ? result<delivery>(got.take(ipc_, what)) : result<delivery>(code_of(rc));
    }
    kc_ipc *ipc_;
    kc_ipc_chan *raw_;
};

/* ---- clauses of a select ---- */

namespace detail {

template <class F> class delivery_clause {
public:
    delivery_clause(const daemon_channel &of, asking what, F f) : of_(&of), what_(what), f_(std::move(f)) {}
    const daemon_channel &of() const noexcept { return *of_; }
    void arm(kc_ipc_clause &c, kc_ipc_payload &) noexcept { c.flags = static_cast<std::uint32_t>(what_); }
    void win(outcome &got) { (void)std::invoke(f_, got.take(of_->native_connection(), what_)); }
    void lose(int) noexcept {}

private:
    const daemon_channel *of_;
    asking what_;
    F f_;
};
template <class F> class bytes_clause {
public:
    bytes_clause(const daemon_channel &to, std::span<const std::byte> bytes, F f)
        : to_(&to), bytes_(bytes), f_(std::move(f)) {}
    const daemon_channel &of() const noexcept { return *to_; }
    void arm(kc_ipc_clause &c, kc_ipc_payload &p) noexcept {
        p.bytes = bytes_.data();
        p.length = bytes_.size();
        c.payload = &p;
    }
    void win(outcome &) { (void)std::invoke(f_); }
    void lose(int) noexcept {}

private:
    const daemon_channel *to_;
    std::span<const std::byte> bytes_;
    F f_;
};
template <class F> class loan_clause {
public:
    loan_clause(const daemon_channel &to, shared_loan &loan, F f) : to_(&to), loan_(&loan), f_(std::move(f)) {}
    const daemon_channel &of() const noexcept { return *to_; }
    void arm(kc_ipc_clause &c, kc_ipc_payload &p) noexcept {
        p.loan = loan_->native();
        c.payload = &p;
    }
    void win(outcome &) {
        loan_->release();
        (void)std::invoke(f_);
    }
    void lose(int rc) noexcept {
        if (rc == KC_EINPROGRESS)
            loan_->release(); /* the library's: nobody knows whether it was sent */
    }

private:
    const daemon_channel *to_;
    shared_loan *loan_;
    F f_;
};

} // namespace detail

/* f(delivery &&). */
template <class F> auto on_receive(const daemon_channel &of, asking what, F f) {
    return detail::delivery_clause<F>(of, what, std::move(f));
}
template <class F> auto on_receive(const daemon_channel &of, F f) {
    return on_receive(of, asking::nothing, std::move(f));
}
/* The bytes stay where they are until the select is over. */
template <class F = detail::nothing>
auto on_send(const daemon_channel &to, std::span<const std::byte> bytes, F f = {}) {
    return detail::bytes_clause<F>(to, bytes, std::move(f));
}
/* All of the loan, which is the caller's if the clause lost. */
template <class F = detail::nothing> auto on_send(const daemon_channel &to, shared_loan &&loan, F f = {}) {
    return detail::loan_clause<F>(to, loan, std::move(f));
}

template <class Clause>
concept daemon_clause = requires(std::remove_reference_t<Clause> &c, kc_ipc_clause &raw, kc_ipc_payload &p,
                                 detail::outcome &got) {
    { c.of() } -> std::same_as<const daemon_channel &>;
    c.arm(raw, p);
    c.win(got);
    c.lose(0);
};

namespace detail {

template <class Clauses, std::size_t... I>
selection choose(order by, std::uint32_t flags, const patience &how, Clauses &&clauses, std::index_sequence<I...>) {
    std::array<kc_ipc_payload, sizeof...(I)> payloads{};
    std::array<kc_ipc_clause, sizeof...(I)> raw{};
    outcome got;
    ((raw[I].chan = std::get<I>(clauses).of().native(), std::get<I>(clauses).arm(raw[I], payloads[I])), ...);
    flags |= by == order::first_wins ? std::uint32_t{KC_IPC_BIASED} : 0U;
    const int rc = got.run(how, flags, [&](const kc_ipc_wish *wish, kc_ipc_result *out) {
        kc_ipc *ipc = std::get<0>(clauses).of().native_connection();
        return kc_remote_select(ipc, raw.data(), sizeof...(I), wish, how.cancel(), out);
    });
    const std::size_t index = got.index() < sizeof...(I) ? got.index() : selection::none;
    ((rc != KC_OK || I != index ? std::get<I>(clauses).lose(rc) : void()), ...);
    if (rc == KC_OK)
        ((I == index ? std::get<I>(clauses).win(got) : void()), ...);
    return {index, code_of(rc)};
}

} // namespace detail

/* Over channels of one connection, none of them a channel<T>. */
template <daemon_clause... Clauses> selection select(order by, patience how, Clauses &&...clauses) {
    static_assert(sizeof...(Clauses) >= 1 && sizeof...(Clauses) <= KC_MAX_CLAUSES);
    return detail::choose(by, 0U, how, std::forward_as_tuple(clauses...), std::index_sequence_for<Clauses...>{});
}
template <daemon_clause... Clauses> selection select(patience how, Clauses &&...clauses) {
    return select(order::fair, how, clauses...);
}
template <daemon_clause... Clauses> selection select(Clauses &&...clauses) {
    return select(order::fair, {}, clauses...);
}
template <daemon_clause... Clauses> selection try_select(order by, Clauses &&...clauses) {
    return detail::choose(by, detail::at_once, {}, std::forward_as_tuple(clauses...),
                          std::index_sequence_for<Clauses...>{});
}

} // namespace kcoro
#endif
#endif
