"""Memory that a burst of messages needed goes back to the system when the burst is over.

Not at once, because the next burst may be on its way: a second after empty memory was first seen,
then a piece each second while there is more. A daemon that is idle and small never wakes for it.
"""

from collections.abc import Callable

from kcoro_ipc.native import NativeEngine

KEEP_MIB = 8
MOST_MIB = 64  # at a time: a few milliseconds of system calls
PAUSE_NS = 1_000_000_000


class Trimmer:
    def __init__(self, engine: NativeEngine, clock: Callable[[], int]) -> None:
        """`clock`: the daemon's, in nanoseconds."""
        self._engine = engine
        self._clock = clock
        self._due_ns: int | None = None

    def next_deadline_ns(self) -> int | None:
        return self._due_ns

    def look(self) -> None:
        """After each turn."""
        now_ns = self._clock()
        if self._due_ns is None or self._due_ns <= now_ns:
            over = self._engine.trim(KEEP_MIB, MOST_MIB if self._due_ns is not None else 0)
            self._due_ns = now_ns + PAUSE_NS if over else None
