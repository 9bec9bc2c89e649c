"""P9: reading one SEND frame of 64 B; and what a frame costs on its whole way through the pump."""

from __future__ import annotations

import struct

from bench import raw
from bench.cases import programs
from bench.cases.engine import Pass, python_loop
from bench.model import Case, FailedError, Pin, Subject, Target
from bench.transports import PAYLOAD

FRAME = raw.send_frame(1, 1001, PAYLOAD)
HEADER = struct.Struct("!HHI")
ATTR = struct.Struct("!HH")


def construct() -> Pass:
    """The definition of the wire, as the daemon uses it for rare frames."""
    from kcoro_ipc import tlv

    def once() -> None:
        if tlv.parse_frame(FRAME, 1).get("CHAN_ID") != 1001:
            raise FailedError("not the frame that was built")

    return once


def by_hand() -> Pass:
    """struct, attribute by attribute, into a dict."""

    def once() -> None:
        _, _, length = HEADER.unpack_from(FRAME)
        at, end, found = HEADER.size, HEADER.size + length, {}
        while at < end:
            kind, size = ATTR.unpack_from(FRAME, at)
            found[kind] = FRAME[at + 4 : at + 4 + size]
            at += 4 + size

    return once


P9 = Case(
    "P9",
    "read one SEND frame of 64 B",
    "ns",
    (
        Subject("floor (loads at fixed offsets)", "floor", programs.native("bench_frame", "floor")),
        Subject("ours, C", "ours", programs.native("bench_frame", "ours")),
        Subject("struct by hand, Python", "peer", python_loop("by_hand", by_hand)),
        Subject("construct", "peer", python_loop("construct", construct)),
    ),
    (Target("ours, C", None, 25.0, at_most=True),),
    pins=(Pin.SAME,),
)

PUMP = Case(
    "pump",
    "a frame through the pump fed by arrays: 64 B, bursts of 64, replied and settled",
    "ns",
    (
        Subject("ours, buffered", "ours", programs.native("bench_pump", "buffered")),
        Subject("ours, parked receives", "ours", programs.native("bench_pump", "parked")),
    ),
    (Target("ours, buffered", None, 35.0, at_most=True),),
    pins=(Pin.SAME,),
)
