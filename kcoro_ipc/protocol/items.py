"""The deliveries in a reply: ITEMs as the daemon writes them, read without the general way's cost.

The daemon writes each as ELEMENT, DELIVERY_ID, REDELIVERED. Anything else (another order, unknown
attributes, a long element) is None here and goes the general way, which gives the same verdict.
"""

from functools import lru_cache
from struct import Struct
from typing import Any

from kcoro_ipc import _wire
from kcoro_ipc.protocol.attributes import head

_TAIL = Struct(">IQII")  # DELIVERY_ID, REDELIVERED
_HEADS = Struct(">II")  # of ITEM and of its ELEMENT
_BESIDE_BYTES = 4 + _TAIL.size  # of an item, beside its element's content
_LEAST_BYTES = _HEADS.size + _TAIL.size
_ITEM = head(_wire.ATTR_ITEM, 0)
_ELEMENT = head(_wire.ATTR_ELEMENT, 0)
_DELIVERY_ID = head(_wire.ATTR_DELIVERY_ID, 8)
_REDELIVERED = head(_wire.ATTR_REDELIVERED)
_DATA, _ID, _TIMES = _wire.ATTR_ELEMENT, _wire.ATTR_DELIVERY_ID, _wire.ATTR_REDELIVERED
_SHORT_BYTES = _wire.EXTENDED_LENGTH - _BESIDE_BYTES

Items = list[dict[int, Any]]


def read_items(data: bytes, at: int, stop: int) -> Items | None:
    """data[at:stop] if it is nothing but short deliveries, as `read_attributes` would give it."""
    if stop - at < _LEAST_BYTES:
        return None
    length = _HEADS.unpack_from(data, at)[1] - _ELEMENT
    if not 0 <= length < _SHORT_BYTES:
        return None
    if (stop - at) % (_LEAST_BYTES + length) == 0:
        items = _read_equal(data, at, stop, length)
        if items is not None:
            return items
    return _walk(data, at, stop)


def _read_equal(data: bytes, at: int, stop: int, length: int) -> Items | None:
    """All elements as long as the first; None if that is not so."""
    wanted = {(_ITEM + length + _BESIDE_BYTES, _ELEMENT + length, _DELIVERY_ID, _REDELIVERED)}
    rows = list(_equal_items(length).iter_unpack(memoryview(data)[at:stop]))
    if {(row[0], row[1], row[3], row[5]) for row in rows} != wanted:
        return None
    return [
        {_DATA: element, _ID: delivery, _TIMES: times}
        for _, _, element, _, delivery, _, times in rows
    ]


@lru_cache(maxsize=64)
def _equal_items(length: int) -> Struct:
    return Struct(f">II{length}sIQII")


def _walk(data: bytes, at: int, stop: int) -> Items | None:
    items: Items = []
    while stop - at >= _LEAST_BYTES:
        item, element = _HEADS.unpack_from(data, at)
        length = element - _ELEMENT
        begin = at + _HEADS.size
        end = begin + length
        at = end + _TAIL.size
        if item != _ITEM + length + _BESIDE_BYTES or at > stop:
            return None
        if not 0 <= length < _SHORT_BYTES:
            return None
        first, delivery, second, times = _TAIL.unpack_from(data, end)
        if first != _DELIVERY_ID or second != _REDELIVERED:
            return None
        items.append({_DATA: data[begin:end], _ID: delivery, _TIMES: times})
    return items if at == stop else None
