"""Loans and leases: whose the memory is, and what is refused."""

import gc
import os
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from kcoro_ipc import errors, tlv
from kcoro_ipc.errors import BusyResourceError, ClosedResourceError, InvalidArgument, ProtocolError
from kcoro_ipc.files import Loose
from kcoro_ipc.protocol.descriptors import Descriptor
from kcoro_ipc.protocol.greeting import Quota
from kcoro_ipc.protocol.replies import ReplyReader
from kcoro_ipc.regions import Settings, Side
from kcoro_ipc.regions.lease import release_all
from kcoro_ipc.regions.memory import PAGE, create_memory


def make_side(caps: int = 3, **settings: Any) -> Side:
    told: list[bytes] = []
    side = Side(Settings(**settings), caps, told.append, lambda: None)
    side.told = told  # type: ignore[attr-defined]
    return side


def released(side: Any) -> list[int]:
    return [lease for data in side.told for lease in tlv.parse_frame(data, 1).all("LEASE_ID")]


# --- loans ---


def test_a_loan_is_writable_and_goes_back_when_it_was_not_sent() -> None:
    side = make_side()
    with side.loan(100) as block:
        block[:] = bytes(range(100))
        assert len(block) == 100
        assert not block.readonly
        assert not side.pool.regions[0].space.idle
    assert side.pool.regions[0].space.idle
    with pytest.raises(ValueError, match="released"):
        block[0]


def test_slices_of_a_block_that_was_given_back_keep_its_memory_from_reuse() -> None:
    side = make_side(pool_bytes=4 << 20)
    with side.loan(4 << 20) as block:
        kept = block[:10]
    kept[0] = 7
    with pytest.raises(errors.PoolExhausted), side.loan(4 << 20):
        pass
    del kept
    with side.loan(4 << 20) as block:
        assert block[0] == 7


def test_a_send_is_refused_while_slices_are_there_and_nothing_has_happened() -> None:
    side = make_side()
    loan = side.loan(PAGE)
    with loan as block:
        kept = block[5:]
        with pytest.raises(BufferError, match="slices or arrays"):
            loan.begin(block)
        del kept
        assert loan.begin(block) == 0
        loan.kept()
        block[0] = 1


def test_a_buffer_that_is_no_view_is_found_out_when_the_block_was_handed_over() -> None:
    """Before that CPython tells nobody of it. The range is not used again while it is there."""
    side = make_side(pool_bytes=PAGE)
    loan = side.loan(PAGE)
    with loan as block:
        found = struct.iter_unpack("B", block)
        assert loan.begin(block) == 0
        with pytest.warns(RuntimeWarning, match="no memoryview"):
            handed = loan.handed_over()
    side.pool.give(handed)
    with pytest.raises(errors.PoolExhausted), side.loan(PAGE):
        pass
    del found, block
    with side.loan(PAGE) as block:
        assert len(block) == PAGE


def test_a_released_slice_is_no_reason_to_refuse() -> None:
    side = make_side()
    loan = side.loan(PAGE)
    with loan as block:
        with block[5:] as part:
            part[0] = 1
        assert loan.begin(block) == 0
        loan.kept()


def test_a_part_of_a_loan_stands_where_it_was_cut() -> None:
    side = make_side()
    with side.loan(PAGE), side.loan(PAGE) as block:
        loan = side.loan_of(block[10:20])
        assert loan is not None
        assert loan.begin(block[10:20]) == PAGE + 10


def test_what_is_handed_over_can_no_longer_be_used() -> None:
    side = make_side()
    loan = side.loan(PAGE)
    with loan as block:
        part = block[:10]
        loan.begin(part)
        loan.handed_over()
        for view in (block, part):
            with pytest.raises(ValueError, match="released"):
                view[0]
        assert side.loan_of(memoryview(b"x")) is None
    assert not side.pool.regions[0].space.idle  # the daemon will say when


def test_a_block_is_sent_by_one_at_a_time() -> None:
    side = make_side()
    loan = side.loan(PAGE)
    with loan as block:
        loan.begin(block)
        with pytest.raises(BusyResourceError):
            loan.begin(block)
        loan.kept()


def test_a_block_that_is_left_while_it_is_sent_goes_back_afterwards() -> None:
    side = make_side()
    loan = side.loan(PAGE)
    with loan as block:
        loan.begin(block)
    assert not side.pool.regions[0].space.idle
    loan.kept()
    assert side.pool.regions[0].space.idle


def test_a_loan_is_used_once_and_has_a_size() -> None:
    side = make_side()
    loan = side.loan(1)
    with loan:
        pass
    with pytest.raises(ClosedResourceError, match="used before"), loan:
        pass
    with pytest.raises(InvalidArgument):
        side.loan(0)


def test_no_loan_from_a_daemon_without_shared_memory_or_after_the_end() -> None:
    with pytest.raises(errors.NotSupported), make_side(caps=0).loan(1):
        pass
    side = make_side()
    side.close()
    with pytest.raises(ClosedResourceError, match="this client is closed"), side.loan(1):
        pass


def test_a_side_goes_on_with_the_pool_that_lent_before_it_and_hears_for_it() -> None:
    before = make_side(pool_bytes=PAGE)
    before.close()
    waiting = before.successor()
    heard: list[str] = []
    quota = Quota(PAGE, "region bytes", "limits.x")
    told: list[bytes] = []
    after = Side(
        Settings(pool_bytes=PAGE), 3, told.append, lambda: heard.append("all"), quota=quota
    )
    with waiting.loan(PAGE) as block:
        after.succeed(waiting)
        assert after.loan_of(block) is None, "each client keeps its own loans"
        assert after.pool is waiting.pool
        assert after.pool.quota is quota
        with pytest.raises(errors.PoolExhausted), after.loan(1):
            pass
    assert heard == ["all"]


def test_a_loan_outlives_its_connection() -> None:
    side = make_side()
    with side.loan(PAGE) as block:
        side.close()
        block[0] = 3
        assert block[0] == 3


# --- leases ---


@pytest.fixture
def side() -> Iterator[Side]:
    """It reads in one region, 7, whose bytes are 0, 1, 2 and so on."""
    side = make_side()
    memory, file = create_memory(PAGE)
    memory[:256] = bytes(range(256))
    announce(side, 7, file, PAGE)
    del memory, file
    yield side
    side.close()
    side.mappings.close()


def announce(side: Side, region_id: int, file: Loose, size: int) -> None:
    data = tlv.build_frame("REGION_MAP", [("REGION_ID", region_id), ("SIZE", size)], 1, 1)
    (notice,) = ReplyReader().feed(data, file)
    side.notice(notice)


def gone(side: Side, region_id: int) -> None:
    (notice,) = ReplyReader().feed(tlv.build_frame("REGION_GONE", [("REGION_ID", region_id)], 1))
    side.notice(notice)


def test_a_lease_is_read_only_and_released_with_its_block(side: Side) -> None:
    lease = side.mappings.lease(Descriptor(7, 10, 5, 99))
    assert (side.releases.leases_open, len(lease), lease.is_shared) == (1, 5, True)
    with lease as view:
        assert bytes(view) == bytes([10, 11, 12, 13, 14])
        with pytest.raises(TypeError):
            view[0] = 1  # type: ignore[index]
    assert (side.releases.leases_open, released(side)) == (0, [99])
    lease.release()
    assert released(side) == [99]
    with pytest.raises(ClosedResourceError):
        lease.data  # noqa: B018 (the property raises)


def test_a_lease_in_use_is_not_released(side: Side) -> None:
    lease = side.mappings.lease(Descriptor(7, 0, 5, 99))
    part = lease.data[1:]
    with pytest.raises(BufferError, match="slices or arrays"):
        lease.release()
    assert (part[0], released(side)) == (1, [])
    del part
    lease.release()
    assert released(side) == [99]


def test_an_exception_passes_a_lease_whose_slices_it_holds(side: Side) -> None:
    lease = side.mappings.lease(Descriptor(7, 0, 5, 99))

    def work(view: memoryview) -> None:
        part = view[1:]
        raise LookupError(part)

    with pytest.raises(LookupError) as caught, lease as view:
        work(view)
    assert lease.released
    assert caught.value.args[0][0] == 1, "what the traceback shows can still be looked at"
    side.releases.end_dropped(again=True)
    assert released(side) == []
    del caught
    gc.collect()
    side.releases.end_dropped(again=True)
    assert (released(side), side.releases.leases_open) == ([99], 0)


def test_the_view_of_a_dropped_lease_ends_with_it(side: Side) -> None:
    """It would show what is written there next."""
    lease = side.mappings.lease(Descriptor(7, 0, 5, 99))
    view = lease.data
    with pytest.warns(ResourceWarning, match="was dropped"):
        del lease
        gc.collect()
    assert view[1] == 1
    side.releases.end_dropped(again=True)
    assert released(side) == [99]
    with pytest.raises(ValueError, match="released"):
        view[1]


def test_a_dropped_lease_waits_for_buffers_that_are_no_views(side: Side) -> None:
    lease = side.mappings.lease(Descriptor(7, 0, 5, 99))
    found = struct.iter_unpack("B", lease.data)  # holds the buffer itself
    with pytest.warns(ResourceWarning, match="was dropped"):
        del lease
        gc.collect()
    side.releases.end_dropped(again=True)
    assert (released(side), next(found)) == ([], (0,))
    del found
    side.releases.end_dropped(again=True)
    assert released(side) == [99]


def test_a_dropped_lease_warns_and_is_released_later(side: Side) -> None:
    lease = side.mappings.lease(Descriptor(7, 0, 5, 99))
    part = lease.data[1:]
    with pytest.warns(ResourceWarning, match="was dropped"):
        del lease
        gc.collect()
    side.releases.end_dropped(again=True)
    assert (released(side), part[0]) == ([], 1)  # somebody still looks
    del part
    side.releases.end_dropped(again=True)
    assert (released(side), side.releases.leases_open) == ([99], 0)


def test_many_leases_end_with_one_frame_or_none_does(side: Side) -> None:
    leases = [side.mappings.lease(Descriptor(7, 0, 5, number)) for number in (1, 2, 3)]
    part = leases[2].data[1:]
    with pytest.raises(BufferError):
        release_all(leases)
    assert side.releases.leases_open == 3
    del part
    release_all(leases)
    assert released(side) == [1, 2, 3]
    assert len(side.told) == 1  # type: ignore[attr-defined]


def test_a_message_that_came_as_bytes_is_a_lease_of_them(side: Side) -> None:
    with side.mappings.lease(b"inline") as view:
        assert (bytes(view), view.readonly, side.releases.leases_open) == (b"inline", True, 1)
    assert (released(side), side.releases.leases_open) == ([], 0)


def test_bytes_of_a_range_are_a_copy_and_the_range_goes_back_at_once(side: Side) -> None:
    found = side.mappings.elements([Descriptor(7, 1, 2, 5), Descriptor(7, 3, 1, 6)])
    assert (found, released(side)) == ([b"\1\2", b"\3"], [5, 6])


def test_a_region_that_is_gone_stays_mapped_until_its_last_lease(side: Side) -> None:
    lease = side.mappings.lease(Descriptor(7, 0, 3, 1))
    gone(side, 7)
    assert bytes(lease.data) == b"\0\1\2"
    assert "kcoro-region" in mapped()
    lease.release()
    del lease
    assert "kcoro-region" not in mapped()


def mapped() -> str:
    gc.collect()
    with open("/proc/self/maps") as maps:
        return maps.read()


def test_a_region_is_mapped_once_however_often_it_is_announced(side: Side) -> None:
    _, file = create_memory(PAGE)
    announce(side, 7, file, PAGE)
    assert side.mappings.maps_made == 1


@pytest.mark.parametrize(
    "found",
    [
        Descriptor(8, 0, 1, 1),
        Descriptor(7, 0, 0, 1),
        Descriptor(7, PAGE, 1, 1),
        Descriptor(7, 1, PAGE, 1),
        Descriptor(7, 2**64 - 1, 2**64 - 1, 1),
    ],
)
def test_a_range_that_cannot_be_is_an_error_and_given_back(side: Side, found: Descriptor) -> None:
    with pytest.raises(ProtocolError):
        side.mappings.elements([found])
    assert released(side) == [1]


def test_an_unsealed_region_is_never_mapped() -> None:
    side = make_side()
    number = os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(number, PAGE)
    with pytest.raises(ProtocolError, match="not sealed"):
        announce(side, 1, Loose([number]), PAGE)
