/* ipc.hpp: a connection to the daemon, and its channels: channel<T> of bytes by the very calls of a local one, and
 * daemon_channel for whole messages.
 *
 * A coroutine that waits for the daemon parks. Channels and messages may outlive their connection: then they answer why
 * it has ended. Without kc_remote.h this header is empty.
 */
#ifndef KCORO_CPP_IPC_HPP
#define KCORO_CPP_IPC_HPP

#include "kcoro/cpp/daemon_channel.hpp"

#if __has_include("kcoro/kc_remote.h")

namespace kcoro {

/* One connection to the daemon, for any number of threads and coroutines. */
class connection {
public:
    /* address NULL: the usual daemon (kc_ipc.h). */
    explicit connection(const char *address = nullptr, unless_cancelled how = {}) {
        detail::require(begin(address, how), "kcoro::connection");
    }
    static result<connection> make(const char *address = nullptr, unless_cancelled how = {}) noexcept {
        connection c{nothing{}};
        const int rc = c.begin(address, how);
        return rc == KC_OK ? result<connection>(std::move(c)) : result<connection>(code_of(rc));
    }
    connection(connection &&other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
    connection &operator=(connection &&other) noexcept {
        std::swap(raw_, other.raw_);
        return *this;
    }
    ~connection() { kc_ipc_disconnect(raw_); }

    /* Made, or opened if one of that name agrees. T goes as its bytes: both ends have the same layout of it. The daemon
     * refuses messages of another length (KC_FLAG_CHAN_FIXED_SIZE). errc::exists: it is there and has other elements,
     * or another kind. */
    template <class T>
    result<channel<T, carriage::bytes>> make_channel(const char *name, const kind &k = rendezvous(),
                                                     unless_cancelled how = {}) const {
        kc_ipc_chan *chan = nullptr;
        const int rc = create(name, k, sizeof(T), KC_FLAG_CHAN_FIXED_SIZE, how, &chan);
        return rc == KC_OK ? adopt<T>(chan) : result<channel<T, carriage::bytes>>(code_of(rc));
    }
    /* One that is there, or will be by then, unless it is cancelled. errc::exists: its messages need not have sizeof(T)
     * bytes. */
    template <class T> result<channel<T, carriage::bytes>> open_channel(const char *name, patience how = {}) const {
        kc_ipc_chan *chan = nullptr;
        const int rc = find(name, how, &chan);
        return rc == KC_OK ? adopt<T>(chan) : result<channel<T, carriage::bytes>>(code_of(rc));
    }
    /* The same for messages of any length up to `most` bytes (0: 16 MiB). */
    result<daemon_channel> make_bytes(const char *name, const kind &k = rendezvous(), std::uint32_t most = 0,
                                      unless_cancelled how = {}) const noexcept {
        kc_ipc_chan *chan = nullptr;
        const int rc = create(name, k, most, 0, how, &chan);
        return rc == KC_OK ? result<daemon_channel>(daemon_channel(raw_, chan)) : result<daemon_channel>(code_of(rc));
    }
    result<daemon_channel> open_bytes(const char *name, patience how = {}) const noexcept {
        kc_ipc_chan *chan = nullptr;
        const int rc = find(name, how, &chan);
        return rc == KC_OK ? result<daemon_channel>(daemon_channel(raw_, chan)) : result<daemon_channel>(code_of(rc));
    }
    result<void> ping(unless_cancelled how = {}) const noexcept {
        return code_of(detail::parked([&] { return kc_remote_ping(raw_, how.cancel()); }));
    }
    kc_ipc *native() const noexcept { return raw_; }

private:
    struct nothing {};
    explicit connection(nothing) noexcept {}
    int begin(const char *address, unless_cancelled how) noexcept {
        kc_ipc_config config{};
        config.address = address;
        config.waiting = kc_remote_waiting();
        return detail::parked([&] { return kc_remote_connect(&config, how.cancel(), &raw_); });
    }
    int create(const char *name, const kind &k, std::size_t elem_bytes, std::uint32_t flags, unless_cancelled how,
               kc_ipc_chan **chan_out) const noexcept {
        kc_ipc_chan_config config{};
        config.given = KC_IPC_GIVEN_KIND;
        if (k.when_full != overflow::suspend)
            config.given |= KC_IPC_GIVEN_OVERFLOW;
        config.kind = k.number;
        config.capacity = k.capacity;
        config.overflow = static_cast<std::uint32_t>(k.when_full);
        config.elem_size = static_cast<std::uint32_t>(elem_bytes);
        config.flags = flags;
        return detail::parked([&] { return kc_remote_make(raw_, name, &config, how.cancel(), chan_out); });
    }
    int find(const char *name, const patience &how, kc_ipc_chan **chan_out) const noexcept {
        const std::int32_t left_ms = detail::milliseconds_until(how.deadline_ns());
        const int rc = detail::parked([&] { return kc_remote_open(raw_, name, 0, left_ms, how.cancel(), chan_out); });
        return rc == KC_EAGAIN ? static_cast<int>(KC_ETIME) : rc;
    }
    template <class T> result<channel<T, carriage::bytes>> adopt(kc_ipc_chan *chan) const noexcept {
        kc_ipc_chan_info info{};
        kc_ipc_chan_look(chan, &info);
        const bool agrees = (info.flags & KC_FLAG_CHAN_FIXED_SIZE) != 0 && info.elem_size == sizeof(T);
        kc_channel *raw = nullptr;
        const int rc = agrees ? kc_remote_channel(raw_, chan, &raw) : static_cast<int>(KC_EEXIST);
        if (rc != KC_OK) {
            detail::parked([chan] { kc_ipc_chan_free(chan); });
            return code_of(rc);
        }
        return channel<T, carriage::bytes>::adopt(raw);
    }
    kc_ipc *raw_ = nullptr;
};

/* Shared memory of one connection, from which loans are taken. It goes when nobody reads or writes in it. */
class shared_region {
public:
    static result<shared_region> make(const connection &c, std::size_t bytes, unless_cancelled how = {}) noexcept {
        kc_ipc_region *raw = nullptr;
        const int rc = detail::parked([&] { return kc_remote_region_make(c.native(), bytes, how.cancel(), &raw); });
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

    /* errc::no_space: no such room now. */
    result<shared_loan> take(std::size_t bytes) const noexcept {
        kc_ipc_loan *loan = nullptr;
        const int rc = kc_ipc_loan_take(raw_, bytes, &loan);
        return rc == KC_OK ? result<shared_loan>(shared_loan(loan, bytes)) : result<shared_loan>(code_of(rc));
    }
    /* errc::busy: somebody reads or writes in it, and it is still there; so it is with errc::cancelled. */
    result<void> free(unless_cancelled how = {}) noexcept {
        const int rc = detail::parked([&] { return kc_remote_region_free(raw_, how.cancel()); });
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
