"""Ranges of shared memory as DESC attributes: what a message carries that brings no bytes.

It knows numbers only; the memory is the business of kcoro_ipc.regions.
"""

from collections.abc import Sequence
from struct import Struct
from typing import NamedTuple

from kcoro_ipc import _wire
from kcoro_ipc.errors import ProtocolError
from kcoro_ipc.protocol.attributes import head

_SENT = Struct(">QQQ")
_RECEIVED = Struct(">QQQQ")
_ROW = Struct(">IQQQQ")  # the attribute's head and a received one
_SENT_HEAD = head(_wire.ATTR_DESC, _SENT.size)
RECEIVED_BYTES = _RECEIVED.size
RECEIVED_HEAD = head(_wire.ATTR_DESC, RECEIVED_BYTES)
_SENT_ROW = Struct(">IQQQ")


class Descriptor(NamedTuple):
    """A range as it was delivered; `last` is its LEASE_ID, in REGION_FREED what became of it."""

    region_id: int
    offset: int
    length: int
    last: int


Range = tuple[int, int, int]  # region_id, offset, length: as a request names it


def range_bytes(sent: Range) -> bytes:
    """The value of one DESC of a request."""
    return _SENT.pack(*sent)


def range_run(ranges: Sequence[Range]) -> bytes:
    """DESC attributes of a request, one after the other."""
    return b"".join([_SENT_ROW.pack(_SENT_HEAD, *sent) for sent in ranges])


def read_descriptor(data: bytes) -> Descriptor:
    return Descriptor(*read_numbers(data))


def read_numbers(data: bytes) -> tuple[int, int, int, int]:
    """The same without the names, which cost as much as all else."""
    if len(data) != _RECEIVED.size:
        raise ProtocolError(f"DESC has {len(data)} bytes, not {_RECEIVED.size}")
    return _RECEIVED.unpack(data)


def read_run(data: bytes, at: int, stop: int) -> list[bytes] | None:
    """The values in data[at:stop] if it is nothing but DESCs of the usual length, else None."""
    if at == stop or (stop - at) % _ROW.size:
        return None
    heads = {row[0] for row in _ROW.iter_unpack(memoryview(data)[at:stop])}
    if heads != {RECEIVED_HEAD}:
        return None
    return [data[begin + 4 : begin + _ROW.size] for begin in range(at, stop, _ROW.size)]
