"""NumPy arrays as messages: a small header, then the numbers, aligned for whoever computes.

    header   magic 8 bytes, length of the header u32, dimensions u8, order u8 ("C" or "F"), length
             of the dtype's text u16, each dimension u64 (all little-endian), the dtype's text,
             zeros up to a multiple of 64 bytes

The dtype's text is what numpy.lib.format writes into .npy files, so fields, dates and byte orders
arrive as they were. Arrays of objects hold addresses and are refused, also when they arrive.

Needs NumPy, the extra `numpy`: pip install 'kcoro-ipc[numpy]'.
"""

import math
import sys
import weakref
from ast import literal_eval
from collections.abc import Iterable
from struct import Struct
from struct import error as StructError
from typing import Any, NamedTuple

from kcoro_ipc.codecs import DecodeError
from kcoro_ipc.errors import InvalidArgument
from kcoro_ipc.files import HasFileno
from kcoro_ipc.protocol.handles import Handle
from kcoro_ipc.regions import Lease, Loan, Parcel, Side
from kcoro_ipc.regions.mappings import Mappings
from kcoro_ipc.regions.parcels import Copied, Lent

try:
    import numpy
    from numpy.lib import format as npy
except ImportError:
    raise ImportError("arrays need NumPy: pip install 'kcoro-ipc[numpy]'") from None

MAGIC = b"kcoroNDA"
ALIGNMENT = 64
MAX_DTYPE_BYTES = 4096
_ORDERS = b"CF"
_START = Struct("<8sIBBH")
_DIMENSION = Struct("<Q")

Array = Any  # numpy.ndarray: what it holds is known only at run time
Shape = int | tuple[int, ...]


class Layout(NamedTuple):
    """What the header says."""

    dtype: Any
    shape: tuple[int, ...]
    order: str

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * int(self.dtype.itemsize)

    def array_in(self, view: memoryview) -> Array:
        """An array whose base, an array of bytes, is the one that holds the memory."""
        flat = numpy.frombuffer(view, numpy.uint8, self.nbytes, len(view) - self.nbytes)
        return flat.view(self.dtype).reshape(self.shape, order=_numpy_order(self.order))


def _numpy_order(order: str) -> Any:
    return order


# --- the header ---


def write_header(layout: Layout) -> bytes:
    text = repr(_descr(layout.dtype)).encode()
    if len(text) > MAX_DTYPE_BYTES:
        raise InvalidArgument("the dtype of this array has too many fields; send it in parts")
    used = _START.size + _DIMENSION.size * len(layout.shape) + len(text)
    length = -(-used // ALIGNMENT) * ALIGNMENT
    order = _ORDERS[layout.order == "F"]
    start = _START.pack(MAGIC, length, len(layout.shape), order, len(text))
    dimensions = b"".join(map(_DIMENSION.pack, layout.shape))
    return (start + dimensions + text).ljust(length, b"\0")


def _descr(dtype: Any) -> Any:
    if dtype.hasobject:
        raise InvalidArgument(
            "an array of objects holds addresses, which mean nothing to others; convert it, or "
            "use codec='msgpack'"
        )
    descr = npy.dtype_to_descr(dtype)
    if npy.descr_to_dtype(descr) != dtype or not dtype.itemsize:
        raise InvalidArgument(f"dtype {dtype} cannot be written down; convert the array")
    return descr


# What literal_eval and NumPy raise for texts that are no dtype.
_SPOILED = (
    *(ValueError, TypeError, LookupError, AttributeError, ArithmeticError),
    *(SyntaxError, StructError, RecursionError, MemoryError),
)


def read_header(view: memoryview) -> Layout:
    """DecodeError for whatever is not a whole array."""
    try:
        magic, length, dimensions, order, text_bytes = _START.unpack_from(view)
        if magic != MAGIC or order not in _ORDERS or text_bytes > MAX_DTYPE_BYTES:
            raise ValueError("no header")
        at = _START.size
        shape = tuple(
            _DIMENSION.unpack_from(view, at + _DIMENSION.size * place)[0]
            for place in range(dimensions)
        )
        at += _DIMENSION.size * dimensions
        dtype = _read_dtype(bytes(view[at : at + text_bytes]))
    except _SPOILED as error:
        raise DecodeError(f"a message is no array: {error}", bytes(view)) from None
    layout = Layout(dtype, shape, chr(order))
    if at + text_bytes > length or length + layout.nbytes != len(view) or length % ALIGNMENT:
        raise DecodeError("an array has another length than its header says", bytes(view))
    return layout


def _read_dtype(text: bytes) -> Any:
    dtype = npy.descr_to_dtype(literal_eval(text.decode()))
    if dtype.hasobject or dtype.subdtype is not None or not dtype.itemsize:
        raise ValueError("its dtype is not one that can be received")
    return dtype


# --- sending ---


class InPlace(NamedTuple):
    """An array that was made in a loan: `base` is the view through which NumPy holds it, `alone`
    how many references there are to its array of bytes, which slices refer to too, without any."""

    array: "weakref.ref[Any]"
    loan: Loan
    base: memoryview
    alone: int


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
    if found is not None and found.array() is array and found.loan.is_open and not given:
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
