"""The pool: memory is used again, never too early, and given back when it is not needed."""

import pytest

from kcoro_ipc.errors import PoolExhausted, QuotaExceeded
from kcoro_ipc.protocol.greeting import Quota
from kcoro_ipc.regions.memory import PAGE
from kcoro_ipc.regions.pool import REGION_BYTES, SPARE_LOANS, Block, Pool

FRAME = 1920 * 1080 * 3
GREAT = 1 << 30


def make_pool(limit: int = GREAT) -> Pool:
    return Pool(limit, lambda: None)


def send(pool: Pool, size: int, region_id: int = 0) -> Block:
    block = pool.take(size)
    region = block.region
    region.region_id = region.region_id or region_id or id(region)
    region.sent[block.start] = block
    return block


def free(pool: Pool, block: Block) -> None:
    pool.freed(block.region.region_id, block.start)


@pytest.mark.parametrize("size", [FRAME, 64 << 10, 64 << 20])
def test_in_steady_state_no_region_is_made(size: int) -> None:
    pool = make_pool()
    in_flight = [send(pool, size) for _ in range(4)]
    made = pool.regions_made
    for _ in range(1000):
        free(pool, in_flight.pop(0))
        in_flight.append(send(pool, size))
    assert pool.regions_made == made


def test_a_range_is_not_given_out_again_before_it_was_freed() -> None:
    pool = make_pool(REGION_BYTES)
    first = send(pool, REGION_BYTES // 2)
    second = send(pool, REGION_BYTES // 2)
    with pytest.raises(PoolExhausted) as caught:
        pool.take(1)
    assert (caught.value.limit, caught.value.usage) == (REGION_BYTES, REGION_BYTES)
    free(pool, second)
    assert pool.take(PAGE).start == second.start
    assert first.start == 0


def test_before_it_is_exhausted_the_pool_hears_what_was_freed() -> None:
    blocks: list[Block] = []
    pool = Pool(REGION_BYTES, lambda: free(pool, blocks.pop()))
    blocks.append(send(pool, REGION_BYTES))
    assert pool.take(REGION_BYTES).start == 0
    assert pool.regions_made == 1


def test_other_sizes_replace_idle_regions_when_the_limit_is_reached() -> None:
    pool = make_pool(2 * REGION_BYTES)
    blocks = [send(pool, REGION_BYTES) for _ in range(2)]
    for block in blocks:
        free(pool, block)
    assert pool.take(2 * REGION_BYTES).size == 2 * REGION_BYTES
    assert [region.size for region in pool.doomed] == [REGION_BYTES, REGION_BYTES]


def test_a_region_that_was_idle_for_many_loans_is_dropped() -> None:
    pool = make_pool()
    blocks = [send(pool, REGION_BYTES) for _ in range(3)]
    for block in blocks:
        free(pool, block)
    for _ in range(2 * SPARE_LOANS):
        free(pool, send(pool, PAGE))
    assert len(pool.regions) == 1
    assert len(pool.doomed) == 2


def test_small_loans_do_not_hold_the_region_of_a_large_one() -> None:
    pool = make_pool()
    free(pool, send(pool, 64 << 20))
    for _ in range(2 * SPARE_LOANS + 1):
        free(pool, send(pool, PAGE))
    assert [region.size for region in pool.regions] == [REGION_BYTES]


def test_a_pool_at_its_limit_takes_small_loans_from_any_region() -> None:
    pool = make_pool(64 << 20)
    free(pool, send(pool, 64 << 20))
    large = send(pool, 16 << 20)
    assert pool.take(PAGE).region is large.region
    assert pool.regions_made == 1


def test_freed_twice_or_of_an_unknown_region_changes_nothing() -> None:
    pool = make_pool()
    block = send(pool, PAGE)
    pool.freed(block.region.region_id + 1, block.start)
    free(pool, block)
    free(pool, block)
    assert block.region.space.idle


def test_memory_that_is_still_seen_is_not_used_again() -> None:
    pool = make_pool(REGION_BYTES)
    block = send(pool, REGION_BYTES)
    view = memoryview(block.region.memory)[:REGION_BYTES]
    block.views = [view]
    other = view[:10]
    free(pool, block)
    with pytest.raises(PoolExhausted):
        pool.take(REGION_BYTES)
    del other
    assert pool.take(REGION_BYTES).start == 0


def test_a_range_whose_fate_is_unknown_uses_its_region_up() -> None:
    pool = make_pool()
    sure, unsure = send(pool, PAGE), send(pool, PAGE)
    region = sure.region
    pool.lose(unsure, unsure.start)
    assert pool.take(PAGE).region is not region
    free(pool, sure)
    assert pool.doomed == [region]


def test_a_region_that_is_gone_is_not_used() -> None:
    pool = make_pool()
    block = send(pool, PAGE)
    free(pool, block)
    pool.gone(block.region.region_id)
    assert pool.take(PAGE).region is not block.region
    assert pool.doomed == []


def test_idle_regions_make_room_under_the_daemons_quota_for_a_file() -> None:
    pool = Pool(1 << 30, lambda: None, Quota(REGION_BYTES, "region bytes", "limits.x"))
    block = pool.take(10)
    with pytest.raises(QuotaExceeded) as caught:
        pool.take_filled(REGION_BYTES, lambda number: pytest.fail("it was filled"))
    assert caught.value.usage == REGION_BYTES
    pool.give(block)
    filled: list[int] = []
    pool.take_filled(REGION_BYTES, filled.append)
    assert (len(filled), len(pool.regions)) == (1, 1)


def test_what_is_taken_back_twice_leaves_the_next_block_of_that_place() -> None:
    pool = make_pool()
    first = send(pool, PAGE)
    assert pool.take_back(first, first.start)
    pool.give(first)
    second = send(pool, PAGE)
    assert second.start == first.start
    assert not pool.take_back(first, first.start)
    free(pool, second)
    assert second.region.space.idle
