/* look.hpp: for tools: who waits at a channel, in which state its token is, the rendezvous cell, the counters.
 *
 * All of it is a view of a moment: by the time it is read a token may have ended, and then answers errc::no_entry; it
 * never names another one's life.
 */
#ifndef KCORO_CPP_LOOK_HPP
#define KCORO_CPP_LOOK_HPP

#include <string>
#include <vector>

#include "kcoro/cpp/channel.hpp"

namespace kcoro {

enum class token_status : std::int32_t {
    free = KC_TOKEN_FREE,
    init = KC_TOKEN_INIT,
    enqueued = KC_TOKEN_ENQUEUED,
    taken = KC_TOKEN_TAKEN,
    claimed = KC_TOKEN_CLAIMED,
    cancelled = KC_TOKEN_CANCELLED
};
constexpr const char *to_string(token_status s) noexcept {
    constexpr const char *names[] = {"FREE", "INIT", "ENQUEUED", "TAKEN", "CLAIMED", "CANCELLED"};
    const auto i = static_cast<std::size_t>(s);
    return i < std::size(names) ? names[i] : "?";
}

enum class cell_state : std::uint32_t {
    empty = KC_RV_EMPTY,
    sender_ready = KC_RV_SENDER_READY,
    receiver_ready = KC_RV_RECEIVER_READY,
    matched = KC_RV_MATCHED,
    cancelled = KC_RV_CANCELLED
};
constexpr const char *to_string(cell_state s) noexcept {
    constexpr const char *names[] = {"EMPTY", "SENDER_READY", "RECEIVER_READY", "MATCHED", "CANCELLED"};
    const auto i = static_cast<std::size_t>(s);
    return i < std::size(names) ? names[i] : "?";
}

enum class side : std::uint32_t { receivers = KC_CLAUSE_RECV, senders = KC_CLAUSE_SEND };

/* The ticket of a token: {generation, index}. */
inline std::string ticket_text(kc_ticket t) {
    return std::to_string(t & 0xffffffffU) + "." + std::to_string(t >> 32);
}

struct waiter {
    kc_token token = 0;
    enum side at = side::receivers;
    token_status status = token_status::free;
    std::chrono::nanoseconds age{}; /* by the engine's clock */
    std::uint32_t clauses = 0;      /* more than 1: a select */
    std::uint32_t length = 0;       /* of a send */
};
inline std::string to_string(const waiter &w) {
    return std::string(w.at == side::senders ? "sender " : "receiver ") + ticket_text(w.token) + " " +
           to_string(w.status) + " clauses=" + std::to_string(w.clauses) + " bytes=" + std::to_string(w.length);
}

struct cell {
    cell_state state = cell_state::empty;
    std::uint32_t length = 0; /* of the first sender's message */
    kc_token sender = 0, receiver = 0;
    std::uint64_t matches = 0, cancels = 0, descriptors = 0;
};
inline std::string to_string(const cell &c) {
    return std::string(to_string(c.state)) + " sender=" + ticket_text(c.sender) +
           " receiver=" + ticket_text(c.receiver) + " matches=" + std::to_string(c.matches) +
           " cancels=" + std::to_string(c.cancels) + " descriptors=" + std::to_string(c.descriptors);
}

/* errc::no_entry: it has ended. */
inline result<token_status> status_of(const hub &h, kc_token token) noexcept {
    const int rc = kc_waiter_token_status(h.engine(), token);
    return rc >= 0 ? result<token_status>(static_cast<token_status>(rc)) : result<token_status>(code_of(rc));
}

/* In the order of the queue, at most so many. Only of a local channel. */
inline std::vector<waiter> waiters(const hub &h, const any_channel &of, enum side side, std::uint32_t most = 64) {
    std::vector<kc_waiter_info> raw(most);
    std::vector<waiter> found;
    const int count = kc_chan_waiters(h.engine(), kc_channel_ticket(of.native()), static_cast<std::uint32_t>(side), 0,
                                      raw.data(), most);
    for (int i = 0; i < count; i++) {
        const kc_waiter_info &w = raw[static_cast<std::size_t>(i)];
        found.push_back({w.token, side, static_cast<token_status>(w.status), std::chrono::nanoseconds(w.age_ns),
                         w.clauses, w.len_bytes});
    }
    return found;
}

inline result<cell> cell_of(const hub &h, const any_channel &of) noexcept {
    kc_rv_cell raw{};
    const int rc = kc_chan_rv_cell(h.engine(), kc_channel_ticket(of.native()), &raw);
    if (rc != KC_OK)
        return code_of(rc);
    return cell{static_cast<cell_state>(raw.state), raw.len_bytes, raw.sender,       raw.receiver,
                raw.matches,                        raw.cancels,   raw.zdesc_matches};
}

/* Every counter of a local channel by its number, KC_STAT_*. */
inline result<kc_chan_snapshot> snapshot_of(const hub &h, const any_channel &of) noexcept {
    kc_chan_snapshot snapshot{};
    const int rc = kc_chan_measure(h.engine(), kc_channel_ticket(of.native()), &snapshot);
    return rc == KC_OK ? result<kc_chan_snapshot>(snapshot) : result<kc_chan_snapshot>(code_of(rc));
}

/* The channel in one line. */
inline std::string to_string(const hub &h, const any_channel &of) {
    char text[512] = "";
    const int rc = kc_chan_dump(h.engine(), kc_channel_ticket(of.native()), text, sizeof text);
    return rc >= 0 ? std::string(text) : std::string(to_string(code_of(rc)));
}

} // namespace kcoro
#endif
