/* message.hpp: an object on its way through a channel of this process: what the channel carries is its address.
 *
 * Invariant: exactly one owner at any time, a message<T> or a channel, and so exactly one end: the receiver's, the
 * sender's after a send that failed, or hub::collect's when the channel lost it (evicted, dropped, destroyed, purged).
 */
#ifndef KCORO_CPP_MESSAGE_HPP
#define KCORO_CPP_MESSAGE_HPP

#include <memory>
#include <new>

#include "kcoro/cpp/result.hpp"

namespace kcoro {

namespace detail {

/* What every carried object begins with: how it ends if nobody receives it. */
struct envelope {
    void (*end)(envelope *self) noexcept;
};

template <class T> struct letter final : envelope {
    template <class... Args> explicit letter(Args &&...args) : envelope{&destroy}, value(std::forward<Args>(args)...) {}
    static void destroy(envelope *self) noexcept { delete static_cast<letter *>(self); }
    T value;
};

struct end_envelope {
    void operator()(envelope *e) const noexcept { e->end(e); }
};

} // namespace detail

/* A T that is ready to be sent, or was received, without moving it again. Empty after it was sent. */
template <class T> class message {
public:
    message() noexcept = default;
    template <class... Args> static result<message> make(Args &&...args) {
        message m(new (std::nothrow) detail::letter<T>(std::forward<Args>(args)...));
        return m ? result<message>(std::move(m)) : result<message>(errc::no_memory);
    }
    explicit operator bool() const noexcept { return letter_ != nullptr; }
    T &operator*() const noexcept { return letter_->value; }
    T *operator->() const noexcept { return &letter_->value; }

    /* For channels: gives the object away, and takes one over. */
    detail::envelope *release() noexcept { return letter_.release(); }
    detail::envelope *get() const noexcept { return letter_.get(); }
    static message adopt(detail::envelope *e) noexcept { return message(static_cast<detail::letter<T> *>(e)); }

private:
    explicit message(detail::letter<T> *letter) noexcept : letter_(letter) {}
    std::unique_ptr<detail::letter<T>> letter_;
};

} // namespace kcoro
#endif
