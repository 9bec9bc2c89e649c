/* memory.hpp: zero copy: blocks of a pool that are lent to a writer, travel by address, and are leased to a reader.
 *
 * A loan is written by one; sending makes it the channel's; a lease is read by one. Whoever has it gives the block back
 * to its pool exactly once: a loan that was not sent, a lease that was read, a channel that lost it. The pool's memory
 * lives until the last block is back; the hub outlives it. Taking waits while all blocks are out: that is the
 * back-pressure. owned_desc is the same promise for a descriptor of any other backend (kc_desc.h).
 */
#ifndef KCORO_CPP_MEMORY_HPP
#define KCORO_CPP_MEMORY_HPP

#include <atomic>
#include <span>

#include "kcoro/cpp/select.hpp"

namespace kcoro {

namespace detail {

struct pool_state;

/* Its bytes follow it. */
struct alignas(std::max_align_t) block : envelope {
    block(pool_state *pool, std::uint32_t number) noexcept : envelope{&give_back}, home(pool), index(number) {}
    static void give_back(envelope *self) noexcept;
    std::byte *bytes() noexcept { return reinterpret_cast<std::byte *>(this + 1); }
    pool_state *home;
    std::uint32_t index;
    std::size_t length = 0;
};

struct pool_state {
    pool_state(const hub &h, std::uint32_t number, std::size_t bytes)
        : free(h, buffered(number)), block_bytes(bytes), stride(stride_of(bytes)),
          slab(std::make_unique<std::max_align_t[]>(words_of(number, stride))) {
        for (std::uint32_t i = 0; i < number; i++) {
            std::construct_at(at(i), this, i);
            free.try_send(i).value();
        }
    }
    /* No object is longer than `most`. */
    static constexpr std::size_t most = PTRDIFF_MAX - 2 * sizeof(block);
    static std::size_t stride_of(std::size_t bytes) {
        require(bytes <= most ? KC_OK : KC_ENOMEM, "kcoro::block_pool");
        return sizeof(block) + (bytes + sizeof(block) - 1) / sizeof(block) * sizeof(block);
    }
    static std::size_t words_of(std::size_t number, std::size_t stride) {
        require(number <= most / stride ? KC_OK : KC_ENOMEM, "kcoro::block_pool");
        return number * stride / sizeof(std::max_align_t);
    }
    block *at(std::uint32_t i) noexcept {
        return reinterpret_cast<block *>(reinterpret_cast<std::byte *>(slab.get()) + i * stride);
    }
    void keep() noexcept { (void)refs.fetch_add(1, std::memory_order_relaxed); }
    void drop() noexcept {
        if (refs.fetch_sub(1, std::memory_order_acq_rel) == 1)
            delete this;
    }
    channel<std::uint32_t> free; /* numbers of the blocks that are not out */
    std::size_t block_bytes, stride;
    std::unique_ptr<std::max_align_t[]> slab;
    std::atomic<std::size_t> refs = 1; /* of the pool, and of each block that is out */
};

inline void block::give_back(envelope *self) noexcept {
    auto *b = static_cast<block *>(self);
    pool_state *pool = b->home;
    (void)pool->free.try_send(b->index); /* there is room for all of them */
    pool->drop();
}

using owned_block = std::unique_ptr<block, end_envelope>;

} // namespace detail

/* Memory to write in; then to be sent, or given back by leaving it. */
class loan {
public:
    loan() noexcept = default;
    /* All of the block; length() of them are sent. */
    std::span<std::byte> bytes() const noexcept { return {block_->bytes(), block_->home->block_bytes}; }
    std::size_t length() const noexcept { return block_->length; }
    /* How many of its bytes mean something; all of them at first. */
    void resize(std::size_t bytes) const noexcept { block_->length = std::min(bytes, block_->home->block_bytes); }
    explicit operator bool() const noexcept { return block_ != nullptr; }

private:
    friend class block_pool;
    friend class lease_channel;
    friend class lease;
    template <class F> friend class lend_clause;
    explicit loan(detail::block *b) noexcept : block_(b) {}
    detail::owned_block block_;
};

/* Memory to read. */
class lease {
public:
    lease() noexcept = default;
    /* Of a loan that is not to be written any more. */
    explicit lease(loan &&l) noexcept : block_(std::move(l.block_)) {}
    std::span<const std::byte> bytes() const noexcept { return {block_->bytes(), block_->length}; }
    explicit operator bool() const noexcept { return block_ != nullptr; }

private:
    friend class lease_channel;
    template <class F> friend class borrow_clause;
    explicit lease(detail::envelope *e) noexcept : block_(static_cast<detail::block *>(e)) {}
    detail::owned_block block_;
};

/* So many blocks of so many bytes: two allocations, none afterwards. */
class block_pool {
public:
    block_pool(const hub &h, std::uint32_t blocks, std::size_t block_bytes)
        : state_(new detail::pool_state(h, blocks, block_bytes)) {}

    result<loan> take(patience how = {}) const noexcept { return lend(state_->free.receive(how)); }
    result<loan> try_take() const noexcept { return lend(state_->free.try_receive()); }
    /* Blocks that are not out. */
    std::size_t available() const noexcept { return state_->free.depth(); }

private:
    struct let_go {
        void operator()(detail::pool_state *s) const noexcept { s->drop(); }
    };
    result<loan> lend(const result<std::uint32_t> &number) const noexcept {
        if (!number)
            return number.code();
        detail::block *b = state_->at(*number);
        b->length = state_->block_bytes;
        state_->keep();
        return loan(b);
    }
    std::unique_ptr<detail::pool_state, let_go> state_;
};

/* A channel of blocks, of any pools of the hub's process. */
class lease_channel : public any_channel {
public:
    using value_type = lease;
    explicit lease_channel(const hub &h, const kind &k = rendezvous()) {
        detail::require(open_on(h, k, 0), "kcoro::lease_channel");
    }
    static result<lease_channel> make(const hub &h, const kind &k = rendezvous()) noexcept {
        lease_channel c(nullptr, {});
        const int rc = c.open_on(h, k, 0);
        return rc == KC_OK ? result<lease_channel>(std::move(c)) : result<lease_channel>(code_of(rc));
    }
    lease_channel share() const noexcept { return kc_channel_keep(raw_), lease_channel(raw_, post_); }

    /* On failure the loan is still the caller's. */
    result<void> send(loan &&l, patience how = {}) const noexcept {
        const kc_desc desc = describe(l);
        const int rc = l ? detail::parked([&] {
            return kc_channel_send_desc(raw_, &desc, how.deadline_ns(), cancel_of(how));
        }) : KC_EINVAL;
        if (rc == KC_OK)
            (void)l.block_.release();
        collect();
        return code_of(rc);
    }
    result<lease> receive(patience how = {}) const noexcept {
        kc_desc desc{};
        const int rc = detail::parked([&] {
            return kc_channel_recv_desc(raw_, &desc, how.deadline_ns(), cancel_of(how));
        });
        return rc == KC_OK ? result<lease>(take(desc)) : result<lease>(code_of(rc));
    }
    stream<lease_channel> each(patience how = {}) const noexcept { return stream<lease_channel>(*this, how); }
    arrivals<lease_channel> begin() const { return arrivals<lease_channel>(*this, {}, nullptr); }
    std::default_sentinel_t end() const noexcept { return {}; }

private:
    template <class F> friend class lend_clause;
    template <class F> friend class borrow_clause;
    lease_channel(kc_channel *owned, detail::post post) noexcept : any_channel(owned, post) {}
    kc_desc describe(const loan &l) const noexcept {
        return l ? detail::describe(post_, l.block_.get(), std::max<std::size_t>(l.length(), 1)) : kc_desc{};
    }
    static lease take(const kc_desc &desc) noexcept {
        return lease(reinterpret_cast<detail::envelope *>(static_cast<std::uintptr_t>(desc.offset)));
    }
};

/* ---- clauses of a select ---- */
template <class F> class lend_clause {
public:
    lend_clause(const lease_channel &to, loan &l, F f) : to_(&to), loan_(&l), f_(std::move(f)) {}
    const any_channel &of() const noexcept { return *to_; }
    int arm(kc_channel_clause &c) noexcept {
        c.channel = to_->native();
        c.dir = KC_CLAUSE_SEND;
        c.desc = to_->describe(*loan_);
        return *loan_ ? KC_OK : KC_EINVAL;
    }
    errc win(const kc_channel_clause &) {
        (void)loan_->block_.release();
        to_->collect();
        return std::invoke(f_), errc::ok;
    }
    void lose() noexcept {}

private:
    const lease_channel *to_;
    loan *loan_;
    F f_;
};
template <class F> class borrow_clause {
public:
    borrow_clause(const lease_channel &of, F f) : of_(&of), f_(std::move(f)) {}
    const any_channel &of() const noexcept { return *of_; }
    int arm(kc_channel_clause &c) noexcept {
        c.channel = of_->native();
        c.dir = KC_CLAUSE_RECV;
        return KC_OK;
    }
    errc win(const kc_channel_clause &c) { return (void)std::invoke(f_, lease_channel::take(c.desc)), errc::ok; }
    void lose() noexcept {}

private:
    const lease_channel *of_;
    F f_;
};
/* The loan stays where it is until the select is over, and is the caller's if the clause lost. */
template <class F = detail::nothing> auto on_send(const lease_channel &to, loan &&l, F f = {}) {
    return lend_clause<F>(to, l, std::move(f));
}
template <class F> auto on_receive(const lease_channel &of, F f) { return borrow_clause<F>(of, std::move(f)); }

/* ---- descriptors of any backend ---- */

/* Calls release(desc) exactly once, unless it was given away. */
template <class Release> class owned_desc {
public:
    owned_desc(const kc_desc &desc, Release release) : desc_(desc), release_(std::move(release)), owns_(true) {}
    owned_desc(owned_desc &&other) noexcept
        : desc_(other.desc_), release_(std::move(other.release_)), owns_(std::exchange(other.owns_, false)) {}
    owned_desc &operator=(owned_desc &&) = delete;
    ~owned_desc() {
        if (owns_)
            std::invoke(release_, desc_);
    }
    const kc_desc &operator*() const noexcept { return desc_; }
    const kc_desc *operator->() const noexcept { return &desc_; }
    explicit operator bool() const noexcept { return owns_; }
    kc_desc give() noexcept {
        owns_ = false;
        return desc_;
    }

private:
    kc_desc desc_;
    Release release_;
    bool owns_;
};

/* On success it is the channel's: its backend is told when the channel loses it (kc_desc_ops),
 * of a plain address nobody. */
template <class Release>
result<void> send_desc(kc_channel *to, owned_desc<Release> &&desc, patience how = {}) noexcept {
    const int rc = desc ? detail::parked([&] {
        return kc_channel_send_desc(to, &*desc, how.deadline_ns(), how.cancel());
    }) : KC_EINVAL;
    if (rc == KC_OK)
        (void)desc.give();
    return code_of(rc);
}
template <class Release>
result<owned_desc<Release>> receive_desc(kc_channel *of, Release release, patience how = {}) {
    kc_desc desc{};
    const int rc = detail::parked([&] { return kc_channel_recv_desc(of, &desc, how.deadline_ns(), how.cancel()); });
    if (rc != KC_OK)
        return code_of(rc);
    return owned_desc<Release>(desc, std::move(release));
}

} // namespace kcoro
#endif
