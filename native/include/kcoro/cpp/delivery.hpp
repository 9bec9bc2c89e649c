/* delivery.hpp: whole messages of the daemon: what is lent to be sent, and what came.
 *
 * Each loan and each message is given back exactly once, also after its connection has ended. Without kc_remote.h this
 * header is empty.
 */
#ifndef KCORO_CPP_DELIVERY_HPP
#define KCORO_CPP_DELIVERY_HPP

#include <span>

#include "kcoro/cpp/cancel.hpp"

#if __has_include("kcoro/kc_remote.h")
#include "kcoro/kc_remote.h"

namespace kcoro {

/* What a receive asks for beside the message. */
enum class asking : std::uint32_t {
    nothing = 0,
    ack = KC_IPC_ACK,       /* it stays in its channel until ack() */
    sender = KC_IPC_SENDER, /* who sent it */
    ack_and_sender = KC_IPC_ACK | KC_IPC_SENDER
};

/* As the kernel named the sender's connection. */
struct sender {
    std::uint32_t uid = KC_NOBODY; /* KC_NOBODY: not known, or not asked */
    std::uint32_t pid = 0;
};

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
    /* For channels: the loan, and that it is gone. */
    kc_ipc_loan *native() const noexcept { return raw_; }
    void release() noexcept { raw_ = nullptr; }

private:
    friend class shared_region;
    shared_loan(kc_ipc_loan *raw, std::size_t room) noexcept : raw_(raw), room_(room) {}
    kc_ipc_loan *raw_;
    std::size_t room_;
};

/* A message that came: bytes, perhaps in shared memory, to read, and open files. One that is to be acknowledged and was
 * not goes back to its place where this is left. */
class delivery {
public:
    /* For channels: takes the message over. ipc: where an acknowledgement is due, else NULL. */
    delivery(const kc_ipc_message &owned, kc_ipc *ipc) noexcept : raw_(owned), ipc_(ipc) {}
    delivery(delivery &&other) noexcept
        : raw_(std::exchange(other.raw_, {})), ipc_(std::exchange(other.ipc_, nullptr)) {}
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
    std::span<const std::byte> bytes() const noexcept {
        return {static_cast<const std::byte *>(raw_.bytes), raw_.length};
    }
    /* Earlier deliveries of one that is to be acknowledged. */
    std::uint32_t attempts() const noexcept { return raw_.attempts; }
    /* If asked for. */
    struct sender sender() const noexcept { return {raw_.sender_uid, raw_.sender_pid}; }
    /* Its open files, closed with it; -1 in the place of one that was taken. */
    std::span<const int> files() const noexcept { return {raw_.files, raw_.file_count}; }
    /* From now on the caller's to close. -1: there is none at that place. */
    int take_file(std::size_t at) const noexcept {
        return at < raw_.file_count ? std::exchange(raw_.files[at], -1) : -1;
    }
    /* It is done. Only of one that is to be acknowledged. Where nothing happened (errc::cancelled, no memory, no room
     * for a request) it still is. */
    result<void> ack(unless_cancelled how = {}) noexcept {
        kc_ipc *ipc = std::exchange(ipc_, nullptr);
        if (ipc == nullptr)
            return errc::invalid;
        const int rc = detail::parked([&] { return kc_remote_ack(ipc, &raw_.delivery, 1, how.cancel()); });
        if (rc == KC_ECANCELED || rc == KC_ENOMEM || rc == KC_EAGAIN)
            ipc_ = ipc;
        return code_of(rc);
    }
    const kc_ipc_message &native() const noexcept { return raw_; }

private:
    kc_ipc_message raw_{};
    kc_ipc *ipc_; /* while an acknowledgement is due: the connection is there then */
};

} // namespace kcoro
#endif
#endif
