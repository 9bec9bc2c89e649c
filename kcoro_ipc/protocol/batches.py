"""How a list of elements is cut into frames: by the daemon's frame limit and by count."""

from collections.abc import Iterator, Sequence

from kcoro_ipc import _wire
from kcoro_ipc.errors import InvalidArgument

# The attributes beside the elements of a frame (REQ_ID, CHAN_ID, TIMEOUT_MS, FLAGS, TTL_MS) take
# 40 bytes, one element's head 8 at most.
FRAME_OVERHEAD_BYTES = 40
HEAD_BYTES = 8
# Beside an element that is alone; most in a select: REQ_ID, TIMEOUT_MS, FLAGS, the head of CLAUSE,
# in it CHAN_ID and FLAGS (or FILES: what has files is no loan), the element's head.
LARGEST_OVERHEAD_BYTES = 56
# A batch goes out in frames of about this size: the daemon settles one while the next is written.
FRAME_TARGET_BYTES = 1 << 20


def batch_size(max_items: int) -> int:
    """MAX_ITEMS for a receiver that takes up to `max_items`: a frame carries 1,024 at most."""
    if max_items < 1:
        raise InvalidArgument(f"max_items is 1 or more, not {max_items}")
    return min(max_items, _wire.MAX_ITEMS)


def split(elements: Sequence[bytes], max_frame_bytes: int) -> Iterator[Sequence[bytes]]:
    """Runs of `elements`, in order, each to be sent as one frame; none is empty.

    An element that is over the limit alone is the caller's to refuse.
    """
    room = min(max_frame_bytes, FRAME_TARGET_BYTES) - FRAME_OVERHEAD_BYTES
    start = 0
    while start < len(elements):
        stop = min(start + _wire.MAX_ITEMS, len(elements))
        if sum(map(len, elements[start:stop])) + HEAD_BYTES * (stop - start) > room:
            stop = _fitting(elements, start, stop, room)
        yield elements if stop - start == len(elements) else elements[start:stop]
        start = stop


def _fitting(elements: Sequence[bytes], start: int, stop: int, room: int) -> int:
    """Where the run from `start` ends that just fits; at least one element long."""
    used = 0
    for place in range(start, stop):
        used += HEAD_BYTES + len(elements[place])
        if used > room:
            return max(place, start + 1)
    return stop
