/* ipc.hpp: the daemon's channels: channel<T> of bytes by the very calls of a local one, and whole messages with shared memory
 * and acknowledgement.
 *
 * A coroutine that waits for the daemon parks. Channels and messages may outlive their connection: then they answer why it
 * has ended. Each loan and each message is given back exactly once. Without kc_remote.h this header is empty.
 */
#ifndef KCORO_CPP_IPC_HPP
#define KCORO_CPP_IPC_HPP

#include "kcoro/cpp/channel.hpp"

#if __has_include("kcoro/kc_remote.h")
#include <span>

#include "kcoro/kc_remote.h"

namespace kcoro {

namespace detail {

/* What is left until then in milliseconds, rounded up; negative: for ever. */
inline std::int32_t milliseconds_until(time_point deadline) noexcept {
    if (deadline == time_point::max())
        return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    return left <= 0 ? 0 : static_cast<std::int32_t>(std::min<std::int64_t>(left, INT32_MAX));
}
/* A daemon that was only to try says so by another name than a deadline that has passed. */
inline int late(int rc) noexcept { return rc == KC_EAGAIN ? static_cast<int>(KC_ETIME) : rc; }

} // namespace detail

/* A range of shared memory to write in. */
class shared_loan {
public:
    shared_loan(shared_loan &&other) noexcept : raw_(std::exchange(other.raw_, nullptr)), room_(other.room_) {}
    shared_loan &operator=(shared_loan &&other) noexcept {
        std::swap(raw_, other.raw_);
        std::swap(room_, other.room_);
        return *this;
    }
    ~shared_loan() { kc_ipc_loan_give(raw_); }
    std::span<std::byte> bytes() const noexcept { return {static_cast<std::byte *>(kc_ipc_loan_bytes(raw_)), room_}; }
    explicit operator bool() const noexcept { return raw_ != nullptr; }

private:
    friend class shared_region;
    friend class daemon_channel;
    shared_loan(kc_ipc_loan *raw, std::size_t room) noexcept : raw_(raw), room_(room) {}
    kc_ipc_loan *raw_;
    std::size_t room_;
};

/* A message that came: bytes, perhaps in shared memory, to read. One that is to be acknowledged and was not goes back to its
 * place where this is left. */
class delivery {
public:
    delivery(delivery &&other) noexcept : raw_(std::exchange(other.raw_, {})), ipc_(std::exchange(other.ipc_, nullptr)) {}
    delivery &operator=(delivery &&other) noexcept {
        std::swap(raw_, other.raw_);
        std::swap(ipc_, other.ipc_);
        return *this;
    }
    ~delivery() {
        if (ipc_ != nullptr)
            (void)detail::parked([this] { return kc_ipc_nack(ipc_, &raw_.delivery, 1); });
        kc_ipc_message_free(&raw_);
    }
    std::span<const std::byte> bytes() const noexcept { return {static_cast<const std::byte *>(raw_.bytes), raw_.length}; }
    std::uint32_t attempts() const noexcept { return raw_.attempts; }
    /* It is done. Only of one that is to be acknowledged. */
    result<void> ack() noexcept {
        kc_ipc *ipc = std::exchange(ipc_, nullptr);
        if (ipc == nullptr)
            return errc::invalid;
        return code_of(detail::parked([&] { return kc_ipc_ack(ipc, &raw_.delivery, 1); }));
    }
    const kc_ipc_message &native() const noexcept { return raw_; }

private:
    friend class daemon_channel;
    delivery(const kc_ipc_message &raw, kc_ipc *ipc) noexcept : raw_(raw), ipc_(ipc) {}
    kc_ipc_message raw_{};
    kc_ipc *ipc_; /* while an acknowledgement is due: the connection is there then */
};

/* A channel of the daemon whose messages have any length. */
class daemon_channel {
public:
    daemon_channel(daemon_channel &&other) noexcept : ipc_(other.ipc_), raw_(std::exchange(other.raw_, nullptr)) {}
    daemon_channel &operator=(daemon_channel &&other) noexcept {
        std::swap(ipc_, other.ipc_);
        std::swap(raw_, other.raw_);
        return *this;
    }
    ~daemon_channel() { kc_ipc_chan_free(raw_); }

    result<void> send(std::span<const std::byte> bytes, time_point deadline = time_point::max()) const noexcept {
        kc_ipc_payload payload{};
        payload.bytes = bytes.data();
        payload.length = bytes.size();
        return code_of(detail::late(put(payload, deadline)));
    }
    /* Its first `length` bytes (0: all). The loan is gone if that succeeded, or if nobody knows whether it did. */
    result<void> send(shared_loan &&loan, std::size_t length = 0, time_point deadline = time_point::max()) const noexcept {
        kc_ipc_payload payload{};
        payload.loan = loan.raw_;
        payload.length = length;
        bool in_doubt = false;
        const int rc = loan ? put(payload, deadline, &in_doubt) : KC_EINVAL;
        if (rc == KC_OK || in_doubt)
            loan.raw_ = nullptr;
        return code_of(detail::late(rc));
    }
    result<delivery> receive(time_point deadline = time_point::max()) const noexcept { return get(0, deadline); }
    /* The message stays in its channel until ack(). */
    result<delivery> receive_to_ack(time_point deadline = time_point::max()) const noexcept {
        return get(KC_IPC_ACK, deadline);
    }
    result<void> close() const noexcept { return code_of(detail::parked([this] { return kc_ipc_close(raw_); })); }
    kc_ipc_chan *native() const noexcept { return raw_; }

private:
    friend class connection;
    daemon_channel(kc_ipc *ipc, kc_ipc_chan *raw) noexcept : ipc_(ipc), raw_(raw) {}
    int put(const kc_ipc_payload &payload, time_point deadline, bool *in_doubt = nullptr) const noexcept {
        const kc_ipc_wish wish{detail::milliseconds_until(deadline), 0, 0, 0};
        kc_ipc_result made{};
        const int rc = detail::parked([&] { return kc_ipc_send_payload(raw_, &payload, &wish, &made); });
        if (in_doubt != nullptr)
            *in_doubt = (made.flags & (KC_IPC_IN_DOUBT | KC_IPC_UNCONFIRMED)) != 0;
        kc_ipc_result_free(&made);
        return rc;
    }
    result<delivery> get(std::uint32_t flags, time_point deadline) const noexcept {
        const kc_ipc_wish wish{detail::milliseconds_until(deadline), flags, 0, 0};
        kc_ipc_message message{};
        const int rc = detail::late(detail::parked([&] { return kc_ipc_recv(raw_, &message, &wish); }));
        if (rc != KC_OK)
            return code_of(rc);
        return delivery(message, flags != 0 ? ipc_ : nullptr);
    }
    kc_ipc *ipc_;
    kc_ipc_chan *raw_;
};

/* One connection to the daemon, for any number of threads and coroutines. */
class connection {
public:
    /* address NULL: the usual daemon (kc_ipc.h). */
    explicit connection(const char *address = nullptr) { detail::require(begin(address), "kcoro::connection"); }
    static result<connection> make(const char *address = nullptr) noexcept {
        connection c{nothing{}};
        const int rc = c.begin(address);
        return rc == KC_OK ? result<connection>(std::move(c)) : result<connection>(code_of(rc));
    }
    connection(connection &&other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
    connection &operator=(connection &&other) noexcept {
        std::swap(raw_, other.raw_);
        return *this;
    }
    ~connection() { kc_ipc_disconnect(raw_); }

    /* Made, or opened if one of that name agrees. T goes as its bytes: both ends have the same layout of it. */
    template <class T> result<channel<T, carriage::bytes>> make_channel(const char *name, const kind &k = rendezvous()) const {
        kc_ipc_chan *chan = nullptr;
        const int rc = create(name, k, sizeof(T), &chan);
        return rc == KC_OK ? adopt<T>(chan) : result<channel<T, carriage::bytes>>(code_of(rc));
    }
    /* One that is there, or will be by then. */
    template <class T>
    result<channel<T, carriage::bytes>> open_channel(const char *name, time_point deadline = time_point::max()) const {
        kc_ipc_chan *chan = nullptr;
        const int rc = find(name, deadline, &chan);
        return rc == KC_OK ? adopt<T>(chan) : result<channel<T, carriage::bytes>>(code_of(rc));
    }
    /* The same for messages of any length up to `most` bytes (0: 16 MiB). */
    result<daemon_channel> make_bytes(const char *name, const kind &k = rendezvous(), std::uint32_t most = 0) const noexcept {
        kc_ipc_chan *chan = nullptr;
        const int rc = create(name, k, most, &chan);
        return rc == KC_OK ? result<daemon_channel>(daemon_channel(raw_, chan)) : result<daemon_channel>(code_of(rc));
    }
    result<daemon_channel> open_bytes(const char *name, time_point deadline = time_point::max()) const noexcept {
        kc_ipc_chan *chan = nullptr;
        const int rc = find(name, deadline, &chan);
        return rc == KC_OK ? result<daemon_channel>(daemon_channel(raw_, chan)) : result<daemon_channel>(code_of(rc));
    }
    result<void> ping() const noexcept { return code_of(detail::parked([this] { return kc_ipc_ping(raw_); })); }
    kc_ipc *native() const noexcept { return raw_; }

private:
    struct nothing {};
    explicit connection(nothing) noexcept {}
    int begin(const char *address) noexcept {
        kc_ipc_config config{};
        config.address = address;
        config.waiting = kc_remote_waiting();
        return detail::parked([&] { return kc_ipc_connect(&config, &raw_); });
    }
    int create(const char *name, const kind &k, std::size_t elem_bytes, kc_ipc_chan **chan_out) const noexcept {
        kc_ipc_chan_config config{};
        config.given = KC_IPC_GIVEN_KIND;
        if (k.when_full != overflow::suspend)
            config.given |= KC_IPC_GIVEN_OVERFLOW;
        config.kind = k.number;
        config.capacity = k.capacity;
        config.overflow = static_cast<std::uint32_t>(k.when_full);
        config.elem_size = static_cast<std::uint32_t>(elem_bytes);
        return detail::parked([&] { return kc_ipc_make(raw_, name, &config, chan_out); });
    }
    int find(const char *name, time_point deadline, kc_ipc_chan **chan_out) const noexcept {
        return detail::late(detail::parked([&] {
            return kc_ipc_open(raw_, name, 0, detail::milliseconds_until(deadline), chan_out);
        }));
    }
    template <class T> result<channel<T, carriage::bytes>> adopt(kc_ipc_chan *chan) const noexcept {
        kc_channel *raw = nullptr;
        const int rc = kc_remote_channel(raw_, chan, &raw);
        if (rc != KC_OK) {
            kc_ipc_chan_free(chan);
            return code_of(rc);
        }
        auto made = channel<T, carriage::bytes>::adopt(raw);
        if (!made)
            kc_channel_drop(raw); /* its elements are no T */
        return made;
    }
    kc_ipc *raw_ = nullptr;
};

/* Shared memory of one connection, from which loans are taken. It goes when nobody reads or writes in it. */
class shared_region {
public:
    static result<shared_region> make(const connection &c, std::size_t bytes) noexcept {
        kc_ipc_region *raw = nullptr;
        const int rc = detail::parked([&] { return kc_ipc_region_make(c.native(), bytes, &raw); });
        return rc == KC_OK ? result<shared_region>(shared_region(raw)) : result<shared_region>(code_of(rc));
    }
    shared_region(shared_region &&other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
    shared_region &operator=(shared_region &&other) noexcept {
        std::swap(raw_, other.raw_);
        return *this;
    }
    /* One that is still in use goes when it no longer is, or with its connection. */
    ~shared_region() {
        (void)free();
        kc_ipc_region_abandon(raw_);
    }

    /* KC_ENOSPC as a code: no such room now. */
    result<shared_loan> take(std::size_t bytes) const noexcept {
        kc_ipc_loan *loan = nullptr;
        const int rc = kc_ipc_loan_take(raw_, bytes, &loan);
        return rc == KC_OK ? result<shared_loan>(shared_loan(loan, bytes)) : result<shared_loan>(code_of(rc));
    }
    /* errc::busy: somebody reads or writes in it, and it is still there. */
    result<void> free() noexcept {
        const int rc = detail::parked([this] { return kc_ipc_region_free(raw_); });
        if (rc == KC_OK)
            raw_ = nullptr;
        return code_of(rc);
    }

private:
    explicit shared_region(kc_ipc_region *raw) noexcept : raw_(raw) {}
    kc_ipc_region *raw_;
};

} // namespace kcoro
#endif
#endif
