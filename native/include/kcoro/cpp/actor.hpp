/* actor.hpp: an actor: a coroutine that deals with the messages of one channel, one after the other.
 *
 * Its handler gets each T as an rvalue and answers nothing, or a bool: false ends the actor. An exception that leaves
 * the handler ends it too; join() throws it. Leaving an actor stops it and waits for its end;
 * on_done(code) was called by then.
 */
#ifndef KCORO_CPP_ACTOR_HPP
#define KCORO_CPP_ACTOR_HPP

#include "kcoro/cpp/scope.hpp"
#include "kcoro/kc_actor.h"

namespace kcoro {

template <class T> class actor {
public:
    /* handler(T &&). parent: cancelled with it. */
    template <class F>
    actor(const scheduler &on, const channel<T> &of, F &&handler, std::function<void(errc)> on_done = {},
          const cancellation *parent = nullptr)
        : state_(new state_of<std::decay_t<F>>(std::forward<F>(handler), std::move(on_done))) {
        kc_actor_config config{};
        config.channel = of.native();
        config.fn = &state_of<std::decay_t<F>>::deal;
        config.on_done = &state::done;
        config.arg = state_.get();
        config.cancel = parent != nullptr ? parent->native() : nullptr;
        detail::require(kc_actor_start(on.native(), &config, &state_->raw), "kcoro::actor");
    }
    actor(actor &&) noexcept = default;
    actor &operator=(actor &&) noexcept = default;
    ~actor() = default;

    /* No further message is begun. Whether this call did it. */
    bool stop() const noexcept { return kc_actor_stop(state_->raw) == KC_OK; }
    bool cancel(reason why = reason::cancel) const noexcept {
        return kc_actor_cancel(state_->raw, static_cast<std::uint32_t>(why)) == KC_OK;
    }
    /* How it ended: ok after stop or when the handler ended it, closed, cancelled, protocol (a message that is no T);
     * or errc::time while it has not. */
    errc wait(time_point deadline = time_point::max()) const noexcept {
        int why = KC_OK;
        const int rc = detail::parked([&] { return kc_actor_wait(state_->raw, detail::nanoseconds(deadline), &why); });
        return rc != KC_OK ? code_of(rc) : state_->code_of_end(why);
    }
    /* The same, and throws what left the handler. */
    errc join() const {
        const errc ended = wait();
        state_->failed.rethrow();
        return ended;
    }
    /* Messages dealt with. */
    std::uint64_t count() const noexcept { return kc_actor_count(state_->raw); }
    bool failed() const noexcept { return state_->failed.any(); }

private:
    struct state {
        explicit state(std::function<void(errc)> f) : on_done(std::move(f)) {}
        virtual ~state() = default;
        /* Before the handler goes: the last user of it. */
        void end() noexcept {
            detail::parked([this] { kc_actor_free(raw); });
        }
        errc code_of_end(int why) const noexcept { return by_handler ? errc::ok : code_of(why); }
        static void done(void *arg, int why) {
            auto *s = static_cast<state *>(arg);
            if (s->on_done)
                (void)s->failed.run([&] { s->on_done(s->code_of_end(why)); });
        }
        kc_actor *raw = nullptr;
        detail::failures failed;
        bool by_handler = false; /* written by the actor before it ends */
        std::function<void(errc)> on_done;
    };
    template <class F> struct state_of final : state {
        state_of(F f, std::function<void(errc)> on_end) : state(std::move(on_end)), handler(std::move(f)) {}
        ~state_of() override { this->end(); }
        static int deal(void *arg, const kc_actor_message *m) {
            auto *s = static_cast<state_of *>(static_cast<state *>(arg));
            int rc = KC_ECANCELED;
            (void)s->failed.run([&] { rc = s->give(*m); });
            s->by_handler = rc == KC_ECANCELED;
            return rc;
        }
        int give(const kc_actor_message &m) {
            if constexpr (carriage_of<T> == carriage::object) {
                const message<T> got = detail::arrived<T>(m.desc);
                return call(std::move(*got));
            } else {
                detail::bytes_of<T> bytes;
                if (m.len_bytes != sizeof bytes)
                    return KC_EPROTO; /* no T: as a receive says */
                std::memcpy(bytes.data(), m.data, sizeof bytes);
                return call(std::bit_cast<T>(bytes));
            }
        }
        int call(T &&value) {
            if constexpr (std::is_same_v<std::invoke_result_t<F &, T &&>, bool>)
                return static_cast<int>(std::invoke(handler, std::move(value)) ? KC_OK : KC_ECANCELED);
            else
                return (void)std::invoke(handler, std::move(value)), KC_OK;
        }
        F handler;
    };
    std::unique_ptr<state> state_;
};

template <class T, carriage C, class F, class... More>
actor(const scheduler &, const channel<T, C> &, F &&, More &&...) -> actor<T>;

} // namespace kcoro
#endif
