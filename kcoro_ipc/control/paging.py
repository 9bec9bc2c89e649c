"""Answers in pages: ITEMs as many as fit into the asker's frame, and a CURSOR that goes on.

A page never exceeds the asker's MAX_FRAME, and looks at a bounded number of records, so that a list
of thousands costs each turn the same as a short one.
"""

import struct

from kcoro_ipc import _wire
from kcoro_ipc.control.request import Request
from kcoro_ipc.errors import InvalidArgument
from kcoro_ipc.frames import Pair, build_payload

PAGE = 256  # entries at most
CURSOR_BYTES = 16  # of the longest one, with its head


def page_size(request: Request) -> int:
    most = request.number(_wire.ATTR_MAX_ITEMS, PAGE)
    if not 1 <= most <= _wire.MAX_ITEMS:
        raise InvalidArgument(f"MAX_ITEMS is 1 to {_wire.MAX_ITEMS}, not {most}")
    return min(most, PAGE)


def read_cursor(request: Request, form: struct.Struct) -> tuple[int, ...]:
    """What CURSOR says, zeros without one."""
    cursor = request.octets(_wire.ATTR_CURSOR)
    if cursor is None:
        return (0,) * len(form.unpack(bytes(form.size)))
    if len(cursor) != form.size:
        command = _wire.COMMAND_NAMES[request.cmd]
        raise InvalidArgument(f"CURSOR is not one that {command} gave out")
    return form.unpack(cursor)


class Page:
    """The ITEMs of one answer, which has these other pairs too."""

    def __init__(self, request: Request, others: list[Pair]) -> None:
        self.pairs: list[Pair] = []
        self._left = page_size(request)
        used_bytes = len(request.done(*others).frame) + CURSOR_BYTES
        self._room_bytes = request.peer.max_frame - used_bytes

    @property
    def left(self) -> int:
        """How many more may be worth looking at."""
        return self._left if self._room_bytes >= 0 else 0

    def add(self, item: list[Pair]) -> bool:
        """False when there is no room for it; then nothing else is added either."""
        pair: Pair = (_wire.ATTR_ITEM, item)
        self._room_bytes -= len(build_payload([pair], 1))
        if not self.left:
            return False
        self.pairs.append(pair)
        self._left -= 1
        return True

    def go_on(self, cursor: bytes) -> list[Pair]:
        """All there is to answer, and where the next page begins."""
        return [*self.pairs, (_wire.ATTR_CURSOR, cursor)]
