"""The free ranges of one region: first fit, joined again when they come back in any order.

Invariant: the free ranges are sorted, do not touch each other, and with those given out they cover
the region exactly. So there are never more of them than ranges given out, plus one.
"""

from bisect import bisect_left


class Space:
    def __init__(self, size: int) -> None:
        self.size = size
        self.free_bytes = size
        self._starts = [0]
        self._stops = [size]

    @property
    def idle(self) -> bool:
        return self.free_bytes == self.size

    @property
    def pieces(self) -> int:
        return len(self._starts)

    def take(self, size: int) -> int | None:
        """Where `size` free bytes begin, from now on given out; None if there are none."""
        if size > self.free_bytes:
            return None
        for place, start in enumerate(self._starts):
            if self._stops[place] - start >= size:
                self._cut(place, start + size)
                self.free_bytes -= size
                return start
        return None

    def _cut(self, place: int, start: int) -> None:
        if start == self._stops[place]:
            del self._starts[place], self._stops[place]
        else:
            self._starts[place] = start

    def give(self, start: int, size: int) -> None:
        """What `take` gave out comes back."""
        stop = start + size
        place = bisect_left(self._starts, start)
        joins_left = place > 0 and self._stops[place - 1] == start
        joins_right = place < len(self._starts) and self._starts[place] == stop
        if joins_left and joins_right:
            self._stops[place - 1] = self._stops.pop(place)
            del self._starts[place]
        elif joins_left:
            self._stops[place - 1] = stop
        elif joins_right:
            self._starts[place] = start
        else:
            self._starts.insert(place, start)
            self._stops.insert(place, stop)
        self.free_bytes += size
