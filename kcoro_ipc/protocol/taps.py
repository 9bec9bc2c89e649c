"""Copies of what passes a channel: a tap is made like a channel, its elements are read here."""

from struct import Struct
from typing import Any, NamedTuple

from kcoro_ipc import _wire
from kcoro_ipc.errors import InvalidArgument

_HEAD = Struct(">QQQII")  # tlv.TapHead


class Tapped(NamedTuple):
    """A copy of one message.

    `place`: the source's send_idx with it; a gap is a copy that was missed. `time_ns`:
    CLOCK_MONOTONIC. `size_bytes`: of the whole message, of which `data` is the beginning, and
    nothing if `sort` is "descriptor" or "files".
    """

    place: int
    time_ns: int
    size_bytes: int
    file_count: int
    sort: str
    data: bytes


class TapCodec:
    """Of a tap's channel; nothing can be sent into it."""

    def encode(self, value: Any) -> bytes:
        raise InvalidArgument("nothing is sent into a tap; send into the channel itself")

    def decode(self, data: bytes) -> Tapped:
        return read_tapped(data)


def read_tapped(element: bytes) -> Tapped:
    if len(element) < _HEAD.size:
        raise InvalidArgument(f"{len(element)} bytes are no copy of a tap")
    place, time_ns, size_bytes, file_count, sort = _HEAD.unpack_from(element)
    name = "bytes"
    if sort & _wire.TAPPED_DESCRIPTOR:
        name = "descriptor"
    elif sort & _wire.TAPPED_FILES:
        name = "files"
    return Tapped(place, time_ns, size_bytes, file_count, name, bytes(element[_HEAD.size :]))


def tap_pairs(chan_id: int, capacity: int, most_bytes: int | None) -> list[tuple[int, Any]]:
    """The attributes of CHAN_MAKE. `most_bytes`: of each message, from its beginning."""
    if not 1 <= capacity <= _wire.MAX_CAPACITY:
        raise InvalidArgument(f"a tap keeps 1 to {_wire.MAX_CAPACITY} copies, not {capacity}")
    largest = _wire.MAX_ELEMENT_BYTES - _wire.MAX_TAP_HEAD_BYTES
    if most_bytes is not None and not 1 <= most_bytes <= largest:
        raise InvalidArgument(f"a copy has 1 to {largest} bytes of its message, not {most_bytes}")
    size = (most_bytes or largest) + _wire.MAX_TAP_HEAD_BYTES
    return [
        (_wire.ATTR_TAP_OF, chan_id),
        (_wire.ATTR_CAPACITY, capacity),
        (_wire.ATTR_ELEM_SIZE, size),
        (_wire.ATTR_FLAGS, _wire.FLAG_CHAN_READ),
    ]
