/* hub.hpp: what the channels of one process share (kc_hub), and the end of objects that no receiver got.
 *
 * The engine tells what became of each descriptor once its last reference is gone. collect() takes these notes: of a
 * message that was received there is nothing to do, of one that was lost the object ends here. Channels collect after
 * whatever can lose messages, so an evicted object has ended when the send that evicted it returns. A hub over an
 * engine of somebody else takes that engine's notes (kc_desc_take_freed) too.
 */
#ifndef KCORO_CPP_HUB_HPP
#define KCORO_CPP_HUB_HPP

#include <array>

#include "kcoro/cpp/message.hpp"
#include "kcoro/cpp/waiting.hpp"
#include "kcoro/kc_channel.h"

namespace kcoro {

namespace detail {

inline void freed(void *, const kc_desc *desc, int lost) {
    if (lost != 0) {
        auto *e = reinterpret_cast<envelope *>(static_cast<std::uintptr_t>(desc->offset));
        e->end(e);
    }
}
inline constexpr kc_desc_ops object_ops{nullptr, nullptr, &freed};

inline void collect(kc_engine *engine) noexcept {
    std::array<kc_freed, 16> notes;
    while (kc_desc_take_freed(engine, notes.data(), static_cast<std::uint32_t>(notes.size())) == notes.size()) {
    }
}

/* How objects go through the channels of one engine. */
struct post {
    kc_engine *engine = nullptr;
    std::uint32_t backend = 0;
};

} // namespace detail

class hub {
public:
    hub() : hub(nullptr) {}
    /* Over an engine that outlives it; one hub for an engine. */
    explicit hub(kc_engine *engine) { detail::require(begin(engine), "kcoro::hub"); }
    static result<hub> make(kc_engine *engine = nullptr) noexcept {
        hub h{nothing{}};
        const int rc = h.begin(engine);
        return rc == KC_OK ? result<hub>(std::move(h)) : result<hub>(code_of(rc));
    }
    hub(hub &&other) noexcept : raw_(std::exchange(other.raw_, nullptr)), post_(other.post_) {}
    hub &operator=(hub &&other) noexcept {
        std::swap(raw_, other.raw_);
        std::swap(post_, other.post_);
        return *this;
    }
    hub(const hub &) = delete;
    hub &operator=(const hub &) = delete;
    /* No channel of it is left. */
    ~hub() {
        if (raw_ != nullptr)
            collect();
        kc_hub_free(raw_);
    }

    void collect() const noexcept { detail::collect(post_.engine); }
    kc_engine *engine() const noexcept { return post_.engine; }
    kc_hub *native() const noexcept { return raw_; }
    detail::post post() const noexcept { return post_; }

private:
    struct nothing {};
    explicit hub(nothing) noexcept {}
    int begin(kc_engine *engine) noexcept {
        int rc = kc_hub_make(engine, &raw_);
        if (rc != KC_OK)
            return rc;
        post_.engine = kc_hub_engine(raw_);
        rc = kc_desc_backend_add(post_.engine, "c++ objects", &detail::object_ops, nullptr, &post_.backend);
        if (rc != KC_OK)
            kc_hub_free(std::exchange(raw_, nullptr));
        return rc;
    }
    kc_hub *raw_ = nullptr;
    detail::post post_{};
};

} // namespace kcoro
#endif
