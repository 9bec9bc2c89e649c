"""What a scripted daemon says and hears about shared memory."""

import struct
from typing import Any

from kcoro_ipc import tlv


def descriptor(region_id: int, offset: int, length: int, last: int) -> bytes:
    return struct.pack(">QQQQ", region_id, offset, length, last)


def ranges_of(frame: tlv.Frame) -> list[tuple[int, ...]]:
    return [struct.unpack(">QQQ", data) for data in frame.all("DESC")]


def serve_region(peer: Any, region_id: int) -> tuple[int, int]:
    """Takes a region: its file, which is the caller's to close, and its size."""
    frame = peer.serve("REGION_ADD", 0, ("REGION_ID", region_id))
    assert frame.files == 1
    return peer.files.pop(0), frame.get("SIZE")
