/* test_rt_programs.c: small programs that are known from Go, with the results that Go's programs give: the prime sieve,
 * a ring of members that pass a token on, and parallel matching by one select. */
#include "kc_rt_world.h"

static kc_channel *numbers_of(const world *w, int32_t kind, uint32_t capacity) {
    return channel_of(w, kind, capacity, sizeof(uint32_t));
}

static int put(kc_channel *c, uint32_t value) { return kc_channel_send(c, &value, sizeof value, KC_NEVER); }
static int get(kc_channel *c, uint32_t *value) { return kc_channel_recv(c, value, sizeof *value, NULL, KC_NEVER); }

/* ---- the sieve of test/chan/sieve1.go: a chain of filters, one for each prime ---- */

typedef struct filter {
    kc_channel *in, *out;
    uint32_t prime;
} filter;

static void generates(void *arg) {
    kc_channel *out = arg;

    for (uint32_t i = 2; put(out, i) == KC_OK; i++)
        ;
    kc_channel_drop(out);
}

/* Its end is that of the one behind it: the channel to it was destroyed. */
static void filters(void *arg) {
    filter f = *(filter *)arg;
    uint32_t value = 0;
    int rc = KC_OK;

    free(arg);
    while (rc == KC_OK && (rc = get(f.in, &value)) == KC_OK) {
        if (value % f.prime != 0)
            rc = put(f.out, value);
    }
    (void)kc_channel_destroy(f.in, KC_REASON_CANCEL);
    kc_channel_drop(f.in);
    kc_channel_drop(f.out);
}

/* The prime numbers' sum and last, for the first `count`. */
static void sieve_with(uint32_t workers) {
    enum { PRIMES = 100 };
    world w = begin(workers);
    kc_channel *in = numbers_of(&w, KC_KIND_RENDEZVOUS, 0);
    uint32_t prime = 0, sum = 0;

    kc_channel_keep(in);
    rt_spawn(w.sched, generates, in);
    for (int i = 0; i < PRIMES; i++) {
        filter *f = malloc(sizeof *f);
        kc_channel *out = numbers_of(&w, KC_KIND_RENDEZVOUS, 0);
        KC_REQUIRE(f != NULL);
        KC_CHECK_EQ(get(in, &prime), KC_OK);
        sum += prime;
        kc_channel_keep(out);
        *f = (filter){.in = in, .out = out, .prime = prime};
        rt_spawn(w.sched, filters, f);
        in = out;
    }
    KC_CHECK_EQ(prime, 541);
    KC_CHECK_EQ(sum, 24133);
    KC_CHECK_EQ(kc_channel_destroy(in, KC_REASON_CANCEL), KC_OK);
    kc_channel_drop(in);
    end(&w);
}
KC_TEST(the_sieve_finds_the_first_hundred_primes) { rt_with_workers(sieve_with); }

/* ---- thread-ring: members pass a number on, counting down; whoever gets 0 says who it is ---- */

typedef struct member {
    kc_channel *in, *out;
    uint32_t name;
    _Atomic uint32_t *last;
} member;

static void passes_on(void *arg) {
    member *m = arg;
    uint32_t value = 0;

    while (get(m->in, &value) == KC_OK && value != 0)
        KC_CHECK_EQ(put(m->out, value - 1), KC_OK);
    if (value == 0)
        atomic_store(m->last, m->name);
    value = 1;
    (void)kc_channel_close(m->out); /* round the ring */
}

static uint32_t ring(uint32_t workers, uint32_t count, uint32_t passes) {
    world w = begin(workers);
    member *members = calloc(count, sizeof *members);
    _Atomic uint32_t last = 0;

    KC_REQUIRE(members != NULL);
    for (uint32_t i = 0; i < count; i++)
        members[i] = (member){.in = numbers_of(&w, KC_KIND_RENDEZVOUS, 0), .name = i + 1, .last = &last};
    for (uint32_t i = 0; i < count; i++) {
        members[i].out = members[(i + 1) % count].in;
        rt_spawn(w.sched, passes_on, &members[i]);
    }
    KC_CHECK_EQ(put(members[0].in, passes), KC_OK);
    KC_CHECK_EQ(kc_sched_drain(w.sched, KC_NEVER), KC_OK);
    for (uint32_t i = 0; i < count; i++)
        kc_channel_drop(members[i].in);
    free(members);
    end(&w);
    return last;
}

static void ring_with(uint32_t workers) {
    KC_CHECK_EQ(ring(workers, 503, 1000), 498); /* what the published programs print for 1,000 */
    KC_CHECK_EQ(ring(workers, 10000 / RT_SCALE, 30000 / RT_SCALE), 1);
}
KC_TEST(a_ring_passes_the_token_to_the_right_member) { rt_with_workers(ring_with); }

/* ---- parallel matching: each offers itself and takes another's offer in one select over one channel of one place
 * ---- */

typedef struct match {
    kc_channel *channel;
    _Atomic uint32_t sent, got;
} match;
typedef struct person {
    match *match;
    uint32_t name;
} person;

static void seeks(void *arg) {
    person *p = arg;
    uint32_t other = 0, index = 9;
    kc_channel_clause clauses[2] = {
        {.channel = p->match->channel, .dir = KC_CLAUSE_RECV, .buffer = &other, .buffer_bytes = sizeof other},
        {.channel = p->match->channel, .dir = KC_CLAUSE_SEND, .data = &p->name, .len_bytes = sizeof p->name}};

    KC_CHECK_EQ(kc_channel_select(clauses, 2, 0, KC_NEVER, NULL, &index), KC_OK);
    if (index == 0)
        KC_CHECK(other != p->name);
    (void)atomic_fetch_add(index == 0 ? &p->match->got : &p->match->sent, 1);
}

static void match_people(uint32_t workers, uint32_t count) {
    world w = begin(workers);
    match m = {.channel = numbers_of(&w, KC_KIND_BUFFERED, 1)};
    person *people = calloc(count, sizeof *people);
    uint32_t left = 0;

    KC_REQUIRE(people != NULL);
    for (uint32_t i = 0; i < count; i++) {
        people[i] = (person){.match = &m, .name = i};
        rt_spawn(w.sched, seeks, &people[i]);
    }
    KC_CHECK_EQ(kc_sched_drain(w.sched, KC_NEVER), KC_OK);
    KC_CHECK_EQ(m.got, count / 2);
    KC_CHECK_EQ(m.sent, count / 2 + count % 2);
    KC_CHECK_EQ(kc_channel_try_recv(m.channel, &left, sizeof left, NULL), count % 2 != 0 ? KC_OK : KC_EAGAIN);
    kc_channel_drop(m.channel);
    free(people);
    end(&w);
}

static void matching_with(uint32_t workers) {
    match_people(workers, 5); /* two pairs, and nobody answers the fifth */
    match_people(workers, 1000);
    match_people(workers, 1001);
}
KC_TEST(parallel_matching_pairs_all_but_one) { rt_with_workers(matching_with); }

int main(void) {
    KC_RUN(the_sieve_finds_the_first_hundred_primes);
    KC_RUN(a_ring_passes_the_token_to_the_right_member);
    KC_RUN(parallel_matching_pairs_all_but_one);
    return kc_test_report();
}
