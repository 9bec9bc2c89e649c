"""NumPy arrays as messages: a small header, then the numbers, aligned for whoever computes.

Needs NumPy, the extra `numpy`: pip install 'kcoro-ipc[numpy]'.
"""

import sys
import weakref
from collections.abc import Iterable
from typing import Any, NamedTuple

from kcoro_ipc.codecs import DecodeError
from kcoro_ipc.errors import InvalidArgument
from kcoro_ipc.files import HasFileno
from kcoro_ipc.layouts import Array, Layout, read_header, write_header
from kcoro_ipc.protocol.handles import Handle
from kcoro_ipc.regions import Lease, Loan, Parcel, Side
from kcoro_ipc.regions.mappings import Mappings
from kcoro_ipc.regions.parcels import Copied, Lent

try:
    import numpy
except ImportError:
    raise ImportError("arrays need NumPy: pip install 'kcoro-ipc[numpy]'") from None

Shape = int | tuple[int, ...]


# --- sending ---


class InPlace(NamedTuple):
    """An array that was made in a loan: `base` is the view through which NumPy holds it, `alone`
    how many references there are to its array of bytes, which slices refer to too, without any."""

    array: "weakref.ref[Any]"
    loan: Loan
    base: memoryview
    alone: int

    def lent_to(self, side: Side, array: Array) -> bool:
        """Whether it can go as it is; an array of another connection is one like any other."""
        return self.array() is array and self.loan.is_open and self.loan.pool is side.pool


_in_place: dict[int, InPlace] = {}  # by the id of the array, for as long as it lives


def empty(side: Side, shape: Shape, dtype: Any = float, order: str = "C") -> Array:
    """An array in shared memory. Not sent, it goes back to the pool when it is collected."""
    dimensions = (shape,) if isinstance(shape, int) else tuple(map(int, shape))
    layout = Layout(numpy.dtype(dtype), dimensions, order)
    if order not in ("C", "F") or any(size < 0 for size in dimensions):
        raise InvalidArgument("an array has order 'C' or 'F', and no negative dimension")
    header = write_header(layout)
    if not layout.nbytes:
        return numpy.empty(dimensions, dtype)
    loan = side.loan(len(header) + layout.nbytes)
    view = loan.__enter__()
    view[: len(header)] = header
    array = layout.array_in(view)
    alone = sys.getrefcount(array.base)
    _in_place[id(array)] = InPlace(weakref.ref(array), loan, array.base.base, alone)
    weakref.finalize(array, _forget, id(array)).atexit = False
    return array


def _forget(key: int) -> None:
    _in_place.pop(key).loan.drop()


class LentArray(Lent):
    """The array goes on existing after it was sent, but not for writing."""

    array: Array = None

    def accepted(self) -> None:
        super().accepted()
        self.array.setflags(write=False)

    def doubtful(self) -> None:
        super().doubtful()
        self.array.setflags(write=False)


def parcel(
    side: Side, handle: Handle, array: Array, files: Iterable[int | HasFileno] = ()
) -> Parcel:
    """What an array goes out as: in place if it was made by `empty`, else as a copy."""
    given = list(files)
    found = _in_place.get(id(array))
    if found is not None and found.lent_to(side, array) and not given:
        return _lent(side, handle, found, array)
    order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    layout = Layout(array.dtype, array.shape, order)
    header = write_header(layout)
    if given or not side.copies(handle, len(header) + layout.nbytes):
        return side.parcel(handle, header + array.tobytes(order), given)
    return _copied(side, handle, array, layout, header)


def _lent(side: Side, handle: Handle, found: InPlace, array: Array) -> Parcel:
    whole = found.loan.view
    handle.check_range(whole.nbytes)
    if sys.getrefcount(array.base) > found.alone:
        raise BufferError(
            "slices of this array are still there, through which it could be written after it was "
            "sent; delete them first"
        )
    offset = found.loan.begin(whole, [found.base])
    sent = LentArray(side.pool, found.loan, offset, whole.nbytes)
    sent.array = array
    return sent


def _copied(side: Side, handle: Handle, array: Array, layout: Layout, header: bytes) -> Parcel:
    length = len(header) + layout.nbytes
    handle.check_range(length)
    block = side.room(length)
    if block is None:
        return side.fallback(handle, header + array.tobytes(layout.order))
    try:
        view = block.view(length)
        view[: len(header)] = header
        layout.array_in(view)[...] = array
        return Copied(side.pool, block, block.start, length)
    except BaseException:
        side.pool.give(block)
        raise


# --- receiving ---


def received(mappings: Mappings, lease: Lease) -> Array:
    """The message as a read-only array; the lease lasts as long as the array and its views."""
    try:
        layout = read_header(lease.data)
        if layout.nbytes:
            array = layout.array_in(lease.data)
            mappings.adopt(lease, array.base)
            return array
        array = numpy.empty(layout.shape, layout.dtype)
    except ValueError as error:
        failure = DecodeError(f"a message is no array: {error}", bytes(lease.data))
        lease.release()
        if isinstance(error, DecodeError):
            raise
        raise failure from None
    lease.release()
    array.setflags(write=False)
    return array
