"""The header of an array as a message: what NumPy needs to see the numbers behind it as an array.

    header   magic 8 bytes, length of the header u32, dimensions u8, order u8 ("C" or "F"), length
             of the dtype's text u16, each dimension u64 (all little-endian), the dtype's text,
             zeros up to a multiple of 64 bytes

The dtype's text is what numpy.lib.format writes into .npy files, so fields, dates and byte orders
arrive as they were. Arrays of objects hold addresses and are refused, also when they arrive.
"""

import math
from ast import literal_eval
from struct import Struct
from struct import error as StructError
from typing import Any, NamedTuple

from kcoro_ipc.codecs import DecodeError
from kcoro_ipc.errors import InvalidArgument

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
