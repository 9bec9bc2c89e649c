/* Many regions of others at once: each is found however many there are, until it is gone, and also where there was no
 * memory for a larger table. In each region stands its id.
 */
#include "client/kc_client.h"
#include "kc_region_peer.h"

enum { MANY = 1000, FEW = 40, LONGEST = 8 };

static const uint64_t STRIDE = UINT64_C(1) << 32; /* as ids with a generation in their upper half grow */
static const uint64_t PILE = UINT64_C(1) << 52;   /* ids so far apart share one place */

typedef struct mapped {
    peer *p;
    kc_ipc_chan *chan;
    uint32_t req_id;
    uint64_t lease;
} mapped;

static mapped open_mapped(void)
{
    mapped m = {.p = peer_open(PEER_ROOM), .req_id = 2};
    m.chan = peer_channel(m.p, 1, 1001);
    return m;
}

static void close_mapped(mapped *m)
{
    peer_hang_up(m->p);
    kc_ipc_chan_free(m->chan);
    peer_close(m->p);
}

static int name_region(mapped *m, uint64_t region)
{
    int file = region_file(sizeof region, 0);
    KC_REQUIRE(pwrite(file, &region, sizeof region, 0) == sizeof region);
    announce_file(m->p, region, sizeof region, file);
    return kc_ipc_step(m->p->ipc);
}

/* As a message in it is received. */
static int find_region(mapped *m, uint64_t region)
{
    kc_ipc_message message;
    kc_put_desc(peer_reply(m->p, KC_CMD_CHAN_RECV, m->req_id++, KC_OK), region, 0, sizeof region, ++m->lease);
    peer_end(m->p);
    int code = kc_ipc_recv(m->chan, &message, NULL);
    if (code == KC_OK) {
        KC_REQUIRE(message.length == sizeof region);
        KC_CHECK_MEM(message.bytes, &region, sizeof region);
        kc_ipc_message_free(&message);
    }
    while (peer_next(m->p, &(kc_frame_header){0}, &(kc_request){0})) { /* the receive, and the lease given back */
    }
    return code;
}

static void name_regions(mapped *m, uint64_t first, uint64_t count, uint64_t stride)
{
    for (uint64_t i = 0; i < count; i++) {
        KC_REQUIRE(name_region(m, first + i * stride) == KC_OK);
    }
}

static void find_regions(mapped *m, uint64_t first, uint64_t count, uint64_t stride)
{
    for (uint64_t i = 0; i < count; i++) {
        KC_REQUIRE(find_region(m, first + i * stride) == KC_OK);
    }
}

static unsigned longest_chain(const kc_ipc *ipc)
{
    unsigned longest = 0;
    for (uint32_t i = 0; i < ipc->mapping_places; i++) {
        unsigned length = 0;
        for (const kc_mapping *mapping = ipc->mappings[i]; mapping != NULL; mapping = mapping->next) {
            length++;
        }
        longest = length > longest ? length : longest;
    }
    return longest;
}

static void many_are_found(uint64_t stride)
{
    mapped m = open_mapped();
    name_regions(&m, 1, MANY, stride);
    find_regions(&m, 1, MANY, stride);
    KC_CHECK_EQ(m.p->ipc->mapping_count, MANY);
    KC_CHECK(m.p->ipc->mapping_places >= MANY);
    KC_CHECK(longest_chain(m.p->ipc) <= LONGEST);
    close_mapped(&m);
}

KC_TEST(each_of_many_regions_is_found_with_few_beside_it)
{
    many_are_found(1);
    many_are_found(STRIDE);
}

KC_TEST(regions_that_share_one_place_are_found_until_they_are_gone)
{
    mapped m = open_mapped();
    name_regions(&m, 1, FEW, PILE);
    KC_CHECK_EQ(longest_chain(m.p->ipc), FEW);
    find_regions(&m, 1, FEW, PILE);
    gone(m.p, 1 + FEW / 2 * PILE);
    find_regions(&m, 1, FEW / 2, PILE);
    find_regions(&m, 1 + (FEW / 2 + 1) * PILE, FEW / 2 - 1, PILE);
    KC_CHECK_EQ(find_region(&m, 1 + FEW / 2 * PILE), KC_EPROTO);
    close_mapped(&m);
}

KC_TEST(of_many_regions_those_that_are_gone_are_not_found_and_the_others_are)
{
    mapped m = open_mapped();
    name_regions(&m, 1, MANY, 1);
    for (uint64_t region = 1; region <= MANY; region += 2) {
        gone(m.p, region);
        KC_REQUIRE(kc_ipc_step(m.p->ipc) == KC_OK);
    }
    KC_CHECK_EQ(m.p->ipc->mapping_count, MANY / 2);
    find_regions(&m, 2, MANY / 2, 2);
    name_regions(&m, 1, MANY / 4, 2); /* the first ones again */
    find_regions(&m, 1, MANY / 2, 1);
    KC_CHECK_EQ(find_region(&m, MANY / 2 + 1), KC_EPROTO);
    close_mapped(&m);
}

KC_TEST(a_region_that_is_named_twice_ends_the_connection_among_many_too)
{
    mapped m = open_mapped();
    name_regions(&m, 1, MANY, 1);
    KC_CHECK_EQ(name_region(&m, MANY / 3), KC_EPROTO);
    close_mapped(&m);
}

/* The region for which the table is to grow, with the n-th request for memory refused. true: one was refused. */
static bool grow_without(long n, unsigned *survived)
{
    mapped m = open_mapped();
    uint64_t places = m.p->ipc->mapping_places;
    KC_REQUIRE(places < FEW);
    name_regions(&m, 1, places, 1);
    atomic_store(&memory_until, n);
    int code = name_region(&m, places + 1);
    bool refused = atomic_load(&memory_until) < 0;
    atomic_store(&memory_until, -1);
    if (code == KC_OK) {
        *survived += refused;
        KC_CHECK_EQ(m.p->ipc->mapping_places, refused ? places : 2 * places);
        find_regions(&m, 1, places + 1, 1);
        name_regions(&m, places + 2, FEW - places - 1, 1);
        find_regions(&m, 1, FEW, 1);
        KC_CHECK(m.p->ipc->mapping_places >= FEW); /* it was tried again */
    } else {
        KC_CHECK_EQ(code, KC_ENOMEM);
        KC_CHECK_EQ(m.p->ipc->mapping_count, 0);
    }
    close_mapped(&m);
    return refused;
}

KC_TEST(without_memory_for_a_larger_table_each_region_is_found_all_the_same)
{
    unsigned survived = 0;
    long n = 0;
    while (grow_without(n, &survived)) {
        n++;
    }
    KC_CHECK_EQ(survived, 1); /* the table alone can be done without */
    KC_CHECK_EQ(n, 3);        /* the frame, the mapping, the table */
}

int main(void)
{
    KC_RUN(each_of_many_regions_is_found_with_few_beside_it);
    KC_RUN(regions_that_share_one_place_are_found_until_they_are_gone);
    KC_RUN(of_many_regions_those_that_are_gone_are_not_found_and_the_others_are);
    KC_RUN(a_region_that_is_named_twice_ends_the_connection_among_many_too);
    KC_RUN(without_memory_for_a_larger_table_each_region_is_found_all_the_same);
    return kc_test_report();
}
