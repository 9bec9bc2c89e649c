/* channel.hpp: channel<T>: what coroutines and threads send to and receive from, by type.
 *
 * A trivially copyable T of at most 64 KiB goes as its bytes: no allocation, and the only form that another process can
 * read. Any other T goes as an object: one allocation for each message (none with message<T>), its address is what
 * moves, and it has exactly one end whatever becomes of it (message.hpp).
 * A call that fails did nothing: what was to be sent is still the caller's. One exception: errc::protocol, a message
 * that is no T (of another length, which C programs can send) was received and is gone. For codes and their order see
 * kc_channel.h. A handle is one reference; share() makes another; the last one destroys a local channel and what waits
 * in it.
 */
#ifndef KCORO_CPP_CHANNEL_HPP
#define KCORO_CPP_CHANNEL_HPP

#include <bit>
#include <cstddef>
#include <iterator>
#include <ranges>

#include "kcoro/cpp/cancel.hpp"
#include "kcoro/cpp/hub.hpp"

namespace kcoro {

enum class carriage { bytes, object };

template <class T>
inline constexpr carriage carriage_of =
    std::is_trivially_copyable_v<T> && std::is_move_constructible_v<T> && sizeof(T) <= KC_CHANNEL_MAX_ELEM_BYTES
        ? carriage::bytes
        : carriage::object;

enum class overflow : std::uint32_t {
    suspend = KC_OVERFLOW_SUSPEND,
    drop_newest = KC_OVERFLOW_DROP_NEWEST,
    drop_oldest = KC_OVERFLOW_DROP_OLDEST
};

/* What a channel is to be. */
struct kind {
    std::int32_t number = KC_KIND_RENDEZVOUS;
    std::uint32_t capacity = 0;
    enum overflow when_full = overflow::suspend;
};
constexpr kind rendezvous() noexcept { return {}; }
constexpr kind buffered(std::uint32_t capacity, overflow when_full = overflow::suspend) noexcept {
    return {KC_KIND_BUFFERED, capacity, when_full};
}
constexpr kind conflated() noexcept { return {KC_KIND_CONFLATED, 0, overflow::suspend}; }
constexpr kind unlimited() noexcept { return {KC_KIND_UNLIMITED, 0, overflow::suspend}; }

/* A channel whatever it carries: what needs no T. */
class any_channel {
public:
    any_channel(any_channel &&other) noexcept
        : raw_(std::exchange(other.raw_, nullptr)), post_(other.post_), bound_(std::exchange(other.bound_, nullptr)) {}
    any_channel &operator=(any_channel &&other) noexcept {
        std::swap(raw_, other.raw_);
        std::swap(post_, other.post_);
        std::swap(bound_, other.bound_);
        return *this;
    }
    any_channel(const any_channel &) = delete;
    any_channel &operator=(const any_channel &) = delete;
    ~any_channel() {
        if (raw_ != nullptr) {
            detail::parked([this] { kc_channel_drop(raw_); });
            collect();
        }
        kc_cancel_drop(bound_);
    }

    /* No new sends; what was accepted and senders that wait still drain. */
    result<void> close() const noexcept { return code_of(detail::parked([this] { return kc_channel_close(raw_); })); }
    /* Everybody who waits gets errc::cancelled; what waits in it ends, here. */
    result<void> destroy(reason why = reason::destroyed) const noexcept {
        const int rc = detail::parked([&] { return kc_channel_destroy(raw_, static_cast<std::uint32_t>(why)); });
        collect();
        return code_of(rc);
    }
    /* Messages in it, those that wait and those held to be acknowledged; 0 when it is gone. */
    std::size_t depth() const noexcept {
        const std::int64_t depth = detail::parked([this] { return kc_channel_depth(raw_); });
        return depth > 0 ? static_cast<std::size_t>(depth) : 0;
    }
    /* Of this process: a try of it waits for nobody, one of a daemon's channel for the daemon's answer. */
    bool is_local() const noexcept { return kc_channel_ticket(raw_) != 0; }
    /* What waits by this handle, and not by one that it shares, ends with that; unless its patience names another. */
    void bind(const cancellation &c) noexcept {
        kc_cancel_keep(c.native());
        kc_cancel_drop(std::exchange(bound_, c.native()));
    }
    kc_cancel *bound() const noexcept { return bound_; }
    kc_channel *native() const noexcept { return raw_; }
    detail::post post() const noexcept { return post_; }
    void collect() const noexcept {
        if (post_.engine != nullptr)
            detail::collect(post_.engine);
    }

protected:
    any_channel() noexcept = default;
    any_channel(kc_channel *owned, detail::post post) noexcept : raw_(owned), post_(post) {}
    int open_on(const hub &h, const kind &k, std::uint32_t elem_bytes) noexcept {
        const kc_channel_config config{k.number, k.capacity, elem_bytes, static_cast<std::uint32_t>(k.when_full)};
        post_ = elem_bytes == 0 ? h.post() : detail::post{};
        return kc_channel_make(h.native(), &config, &raw_);
    }
    kc_cancel *cancel_of(const patience &how) const noexcept { return how.cancel() != nullptr ? how.cancel() : bound_; }
    kc_channel *raw_ = nullptr;
    detail::post post_{}; /* of a channel of bytes empty: it loses nothing that has an end */
    kc_cancel *bound_ = nullptr;
};

namespace detail {

/* The bytes of a T that is on its way. */
template <class T> using bytes_of = std::array<std::byte, sizeof(T)>;

/* An outcome of a receive: the value, if all of it came. */
template <class T> result<T> arrived(int rc, const bytes_of<T> &bytes, std::uint32_t len_bytes) {
    if (rc != KC_OK)
        return code_of(rc);
    if (len_bytes != sizeof(T))
        return errc::protocol;
    return result<T>(std::in_place, std::bit_cast<T>(bytes));
}

/* The object that a descriptor of ours names. */
template <class T> message<T> arrived(const kc_desc &desc) noexcept {
    return message<T>::adopt(reinterpret_cast<envelope *>(static_cast<std::uintptr_t>(desc.offset)));
}
inline kc_desc describe(const post &p, const envelope *e, std::size_t bytes) noexcept {
    return kc_desc{p.backend, 0, 0, reinterpret_cast<std::uintptr_t>(e), bytes};
}

/* The value goes back to where it was taken from. */
template <class T> void restore(T &home, T &&value) {
    if constexpr (std::is_move_assignable_v<T>) {
        home = std::move(value);
    } else {
        std::destroy_at(&home);
        std::construct_at(&home, std::move(value));
    }
}

} // namespace detail

/* ---- ranges ---- */

/* Receives as an input iterator: each element is given away once, as an rvalue, so `for (auto v : channel)` moves it.
 * It ends where the channel is closed and drained; any other end is thrown (decision 0070), or told by each(). */
template <class Channel> class arrivals {
public:
    using value_type = typename Channel::value_type;
    using difference_type = std::ptrdiff_t;
    using iterator_concept = std::input_iterator_tag;

    arrivals() noexcept = default;
    arrivals(const Channel &channel, patience how, errc *ended) : channel_(&channel), how_(how), ended_(ended) {
        next();
    }

    value_type &&operator*() const noexcept { return std::move(*now_); }
    arrivals &operator++() { return next(), *this; }
    void operator++(int) { next(); }
    friend bool operator==(const arrivals &a, std::default_sentinel_t) noexcept { return !a.now_; }

private:
    void next() {
        now_.reset();
        result<value_type> got = channel_->receive(how_);
        if (got)
            now_.emplace(*std::move(got));
        else if (ended_ != nullptr)
            *ended_ = got.code();
        else if (got.code() != errc::closed)
            detail::fail(got.code(), "kcoro: a range"); /* whoever counts on all would have some */
    }
    const Channel *channel_ = nullptr;
    patience how_;
    errc *ended_ = nullptr;
    mutable std::optional<value_type> now_;
};

/* What comes, until nothing more will. After the loop code() says how it ended: errc::closed, or what ended the last
 * receive. The channel stays where it is meanwhile. */
template <class Channel> class stream {
public:
    stream(const Channel &channel, patience how) noexcept : channel_(&channel), how_(how) {}
    arrivals<Channel> begin() { return arrivals<Channel>(*channel_, how_, &code_); }
    std::default_sentinel_t end() const noexcept { return {}; }
    errc code() const noexcept { return code_; }

private:
    const Channel *channel_;
    patience how_;
    errc code_ = errc::ok;
};

template <class T, carriage C = carriage_of<T>> class channel;

/* ---- bytes ---- */
template <class T> class channel<T, carriage::bytes> : public any_channel {
    static_assert(std::is_trivially_copyable_v<T>, "only such a T is its bytes");

public:
    using value_type = T;

    explicit channel(const hub &h, const kind &k = rendezvous()) {
        detail::require(open_on(h, k, sizeof(T)), "kcoro::channel");
    }
    static result<channel> make(const hub &h, const kind &k = rendezvous()) noexcept {
        channel c;
        const int rc = c.open_on(h, k, sizeof(T));
        return rc == KC_OK ? result<channel>(std::move(c)) : result<channel>(code_of(rc));
    }
    /* One reference that was somebody else's: to a channel whose elements have sizeof(T) bytes. */
    static result<channel> adopt(kc_channel *owned) noexcept {
        if (owned == nullptr || kc_channel_elem_bytes(owned) != sizeof(T))
            return errc::invalid;
        return channel(owned);
    }
    channel share() const noexcept { return kc_channel_keep(raw_), channel(raw_); }

    result<void> send(const T &value, patience how = {}) const noexcept {
        return code_of(detail::parked([&] {
            return kc_channel_send_c(raw_, &value, sizeof value, how.deadline_ns(), cancel_of(how));
        }));
    }
    result<void> try_send(const T &value) const noexcept {
        return code_of(detail::parked([&] { return kc_channel_try_send(raw_, &value, sizeof value); }));
    }
    result<T> receive(patience how = {}) const noexcept {
        detail::bytes_of<T> bytes;
        std::uint32_t len_bytes = 0;
        const int rc = detail::parked([&] {
            return kc_channel_recv_c(raw_, bytes.data(), sizeof bytes, &len_bytes, how.deadline_ns(), cancel_of(how));
        });
        return detail::arrived<T>(rc, bytes, len_bytes);
    }
    result<T> try_receive() const noexcept {
        detail::bytes_of<T> bytes;
        std::uint32_t len_bytes = 0;
        const int rc = detail::parked([&] {
            return kc_channel_try_recv(raw_, bytes.data(), sizeof bytes, &len_bytes);
        });
        return detail::arrived<T>(rc, bytes, len_bytes);
    }
    stream<channel> each(patience how = {}) const noexcept { return stream<channel>(*this, how); }
    arrivals<channel> begin() const { return arrivals<channel>(*this, {}, nullptr); }
    std::default_sentinel_t end() const noexcept { return {}; }

private:
    channel() noexcept = default;
    explicit channel(kc_channel *owned) noexcept : any_channel(owned, {}) {}
};

/* ---- objects ---- */
template <class T> class channel<T, carriage::object> : public any_channel {
    static_assert(std::is_move_constructible_v<T>, "what is sent must be movable; send a std::unique_ptr of it");

public:
    using value_type = T;

    explicit channel(const hub &h, const kind &k = rendezvous()) {
        detail::require(open_on(h, k, 0), "kcoro::channel");
    }
    static result<channel> make(const hub &h, const kind &k = rendezvous()) noexcept {
        channel c;
        const int rc = c.open_on(h, k, 0);
        return rc == KC_OK ? result<channel>(std::move(c)) : result<channel>(code_of(rc));
    }
    channel share() const noexcept { return kc_channel_keep(raw_), channel(raw_, post_); }

    /* On failure the value is back in its place. */
    result<void> send(T &&value, patience how = {}) const {
        return send_from(value, [&](message<T> &m) { return send(std::move(m), how); });
    }
    result<void> send(const T &value, patience how = {}) const requires std::is_copy_constructible_v<T> {
        T copy(value);
        return send(std::move(copy), how);
    }
    /* On failure the message is as it was. */
    result<void> send(message<T> &&m, patience how = {}) const noexcept {
        const kc_desc desc = detail::describe(post_, m.get(), sizeof(T));
        return sent(m, m ? detail::parked([&] {
            return kc_channel_send_desc(raw_, &desc, how.deadline_ns(), cancel_of(how));
        }) : KC_EINVAL);
    }
    result<void> try_send(T &&value) const {
        return send_from(value, [&](message<T> &m) { return try_send(std::move(m)); });
    }
    result<void> try_send(message<T> &&m) const noexcept {
        kc_channel_clause clause{};
        clause.channel = raw_;
        clause.dir = KC_CLAUSE_SEND;
        clause.desc = detail::describe(post_, m.get(), sizeof(T));
        return sent(m, m ? attempt(clause) : KC_EINVAL);
    }
    result<T> receive(patience how = {}) const { return open(receive_message(how)); }
    result<T> try_receive() const { return open(try_receive_message()); }
    result<message<T>> receive_message(patience how = {}) const noexcept {
        kc_desc desc{};
        const int rc = detail::parked([&] {
            return kc_channel_recv_desc(raw_, &desc, how.deadline_ns(), cancel_of(how));
        });
        return rc == KC_OK ? result<message<T>>(detail::arrived<T>(desc)) : result<message<T>>(code_of(rc));
    }
    result<message<T>> try_receive_message() const noexcept {
        kc_channel_clause clause{};
        clause.channel = raw_;
        clause.dir = KC_CLAUSE_RECV;
        const int rc = attempt(clause);
        return rc == KC_OK ? result<message<T>>(detail::arrived<T>(clause.desc)) : result<message<T>>(code_of(rc));
    }
    stream<channel> each(patience how = {}) const noexcept { return stream<channel>(*this, how); }
    arrivals<channel> begin() const { return arrivals<channel>(*this, {}, nullptr); }
    std::default_sentinel_t end() const noexcept { return {}; }

private:
    channel() noexcept = default;
    channel(kc_channel *owned, detail::post post) noexcept : any_channel(owned, post) {}
    /* One clause that is only tried: the C face has no try of a descriptor. */
    static int attempt(kc_channel_clause &clause) noexcept {
        std::uint32_t index = 0;
        return kc_channel_select(&clause, 1, KC_OP_TRY, KC_NEVER, nullptr, &index);
    }
    /* From now on it is the channel's, or it is not. */
    result<void> sent(message<T> &m, int rc) const noexcept {
        if (rc == KC_OK)
            (void)m.release();
        collect();
        return code_of(rc);
    }
    template <class F> static result<void> send_from(T &value, F &&f) {
        result<message<T>> m = message<T>::make(std::move(value));
        if (!m)
            return m.code();
        const result<void> done = f(*m);
        if (!done)
            detail::restore(value, std::move(**m));
        return done;
    }
    static result<T> open(result<message<T>> &&m) {
        return m ? result<T>(std::in_place, std::move(**m)) : result<T>(m.code());
    }
};

} // namespace kcoro

/* `channel.each() | std::views::filter(...)`. */
template <class Channel> inline constexpr bool std::ranges::enable_view<kcoro::stream<Channel>> = true;

#endif
