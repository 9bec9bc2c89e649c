"""NumPy arrays as messages: they arrive as they were, without a copy where that is possible."""

import gc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcoro_ipc.codecs import DecodeError
from kcoro_ipc.errors import InvalidArgument
from kcoro_ipc.protocol.channels import ChannelInfo
from kcoro_ipc.protocol.handles import Handle
from kcoro_ipc.regions import Settings, Side

numpy = pytest.importorskip("numpy", reason="NumPy, the extra `numpy`, is not installed")
arrays = pytest.importorskip("kcoro_ipc.arrays")
layouts = pytest.importorskip("kcoro_ipc.layouts")

HANDLE = Handle(ChannelInfo("a", 1001, "buffered", 4), 3, 1 << 24)


def make_side(**settings: Any) -> Side:
    return Side(Settings(**settings), 3, lambda frame: None, lambda: None)


def content(parcel: Any) -> bytes:
    """The bytes that a parcel brings to its receiver."""
    if parcel.region is None:
        return bytes(parcel.element)
    _, offset, length = parcel.sent_range
    return bytes(parcel.region.memory[offset : offset + length])


def through(side: Side, array: Any) -> Any:
    """The array as it is received."""
    parcel = arrays.parcel(side, HANDLE, array)
    data = content(parcel)
    parcel.accepted()
    return arrays.received(side.mappings, side.mappings.lease(data))


ARRAYS = [
    numpy.arange(12, dtype=">i2").reshape(3, 4),
    numpy.asfortranarray(numpy.arange(12.0).reshape(3, 4)),
    numpy.arange(24).reshape(2, 3, 4)[:, ::2, 1:],
    numpy.array(5.5),
    numpy.zeros((0, 7), dtype="f4"),
    numpy.array([b"ab", b"c"], dtype="S2"),
    numpy.array(["ż", "ab"]),
    numpy.array(["2026-01-01"], dtype="M8[D]"),
    numpy.array([(1, 2.5)], dtype=[("id", "<u4"), ("at", ">f8")]),
    numpy.array([True, False]),
    numpy.array([1 + 2j]),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}{array.shape}")
@pytest.mark.parametrize("zero_copy_from", [1, None])
def test_an_array_arrives_as_it_was(array: Any, zero_copy_from: int | None) -> None:
    got = through(make_side(zero_copy_from=zero_copy_from), array)
    assert (got.dtype, got.shape) == (array.dtype, array.shape)
    assert numpy.array_equal(got, array)
    assert not got.flags.writeable
    if array.size > 1 and array.flags.f_contiguous and not array.flags.c_contiguous:
        assert got.flags.f_contiguous


def test_the_numbers_are_aligned_for_whoever_computes() -> None:
    side = make_side(zero_copy_from=1)
    array = side_empty = arrays.empty(side, (100, 3), "f4")
    assert array.ctypes.data % layouts.ALIGNMENT == 0
    assert side_empty.flags.writeable


def test_an_array_that_was_made_in_place_is_sent_from_there() -> None:
    side = make_side()
    array = arrays.empty(side, (64, 1024), "u1")
    array[:] = 7
    parcel = arrays.parcel(side, HANDLE, array)
    assert content(parcel)[-1] == 7
    assert len(parcel) == 64 * 1024 + 64
    parcel.accepted()
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1
    assert side.pool.regions_made == 1


def test_an_array_whose_send_did_nothing_can_be_written_and_sent_again() -> None:
    side = make_side()
    array = arrays.empty(side, 70_000, "u1")
    arrays.parcel(side, HANDLE, array).refused()
    array[:] = 3
    parcel = arrays.parcel(side, HANDLE, array)
    assert content(parcel)[-1] == 3
    parcel.accepted()


@pytest.mark.parametrize("dtype", ["u1", "f8", [("x", "i4"), ("y", "f4")]])
@pytest.mark.parametrize("shape", [70_000, (700, 100)])
def test_an_array_with_slices_is_not_sent_from_its_place(dtype: Any, shape: Any) -> None:
    side = make_side()
    array = arrays.empty(side, shape, dtype)
    part = array[1:]
    with pytest.raises(BufferError, match="slices of this array"):
        arrays.parcel(side, HANDLE, array)
    part[...] = numpy.zeros(1, dtype)[0]
    array[0] = numpy.ones(1, dtype)[0]
    del part
    arrays.parcel(side, HANDLE, array).accepted()
    with pytest.raises(ValueError, match="read-only"):
        array[0] = numpy.zeros(1, dtype)[0]


def test_memory_of_an_array_is_used_again_only_when_it_is_gone() -> None:
    side = make_side(pool_bytes=4 << 20)
    array = arrays.empty(side, (4 << 20) - 64, "u1")
    parcel: Any = arrays.parcel(side, HANDLE, array)
    region, (_, offset, _) = parcel.region, parcel.sent_range
    parcel.accepted()
    region.region_id = 9
    side.pool.freed(9, offset)
    part = array[:5]
    del array, parcel
    side.pool._look_at_watched()
    assert not region.space.idle
    del part
    side.pool._look_at_watched()
    assert region.space.idle


def test_an_array_that_is_not_sent_goes_back_to_the_pool() -> None:
    side = make_side()
    array = arrays.empty(side, 100)
    assert not side.pool.regions[0].space.idle
    del array
    assert not side.pool.regions[0].space.idle, "a finalizer may run in any thread"
    side.pool._look_at_watched()
    assert side.pool.regions[0].space.idle


def test_the_lease_of_an_array_lasts_as_long_as_its_views() -> None:
    side = make_side()
    array = through(side, numpy.arange(10_000))
    part = array[5:].reshape(5, -1)
    del array
    gc.collect()
    side.releases.end_dropped(again=True)
    assert side.releases.leases_open == 1
    assert part[0, 0] == 5
    del part
    side.releases.end_dropped(again=True)
    assert side.releases.leases_open == 0


@pytest.mark.parametrize(
    "array",
    [numpy.array([object()]), numpy.array([(1, None)], dtype=[("a", "i4"), ("b", "O")])],
    ids=["objects", "fields"],
)
def test_arrays_of_objects_are_refused(array: Any) -> None:
    with pytest.raises(InvalidArgument, match="objects"):
        arrays.parcel(make_side(), HANDLE, array)
    with pytest.raises(InvalidArgument, match="objects"):
        arrays.empty(make_side(), 1, array.dtype)


def test_objects_that_arrive_are_refused_too() -> None:
    """Their numbers would be taken for addresses."""
    header = bytearray(layouts.write_header(layouts.Layout(numpy.dtype("V8"), (1,), "C")))
    header = header.replace(b"'|V8'", b"'|O8'")
    side = make_side()
    with pytest.raises(DecodeError, match="no array"):
        arrays.received(side.mappings, side.mappings.lease(bytes(header) + bytes(8)))
    assert side.releases.leases_open == 0


@pytest.mark.parametrize(
    ("dtype", "shape"),
    [
        (b"()", (1,)),
        (b"{}", (1,)),
        (b"'|S0'", (1 << 34,)),
        (b"'|S0'", (1 << 45,)),
        (b"'<f8'", (0, 1 << 62)),
        (b"'<f8'", (0, 1 << 63)),
        (b"'<f8'", (0,) * 80),
    ],
)
def test_a_header_that_lies_is_a_decode_error_and_no_memory(
    dtype: bytes, shape: tuple[int, ...]
) -> None:
    header = bytearray(layouts.write_header(layouts.Layout(numpy.dtype("V8"), shape, "C")))
    header = header.replace(b"'|V8'".ljust(len(dtype), b"\0"), dtype.ljust(5, b" "), 1)
    side = make_side()
    with pytest.raises(DecodeError):
        arrays.received(side.mappings, side.mappings.lease(bytes(header)))
    assert side.releases.leases_open == 0


GOOD = content(arrays.parcel(make_side(), HANDLE, numpy.arange(6).reshape(2, 3)))


@given(st.data())
def test_spoiled_bytes_are_an_array_or_a_decode_error(data: st.DataObject) -> None:
    spoiled = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        spoiled[data.draw(st.integers(0, 79))] = data.draw(st.integers(0, 255))
    del spoiled[data.draw(st.integers(0, len(spoiled))) :]
    side = make_side()
    try:
        array = arrays.received(side.mappings, side.mappings.lease(bytes(spoiled)))
    except DecodeError as error:
        assert error.data == bytes(spoiled)
        assert side.releases.leases_open == 0
    else:
        assert array.nbytes <= len(spoiled)


@pytest.mark.parametrize(("shape", "order"), [((-1,), "C"), ((1,), "K")])
def test_empty_takes_only_what_can_be(shape: Any, order: str) -> None:
    with pytest.raises(InvalidArgument):
        arrays.empty(make_side(), shape, "f4", order)


def test_an_exhausted_pool_sends_an_array_as_bytes() -> None:
    side = make_side(zero_copy_from=1, pool_bytes=4096)
    parcel = arrays.parcel(side, HANDLE, numpy.zeros(100_000, "u1"))
    assert (parcel.region, parcel.flags) == (None, 4)
