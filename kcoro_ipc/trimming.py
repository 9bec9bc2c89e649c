"""Memory that a burst needed goes back to the system when the burst is over.

Of messages not at once, because the next burst may be on its way: a second after empty memory was
first seen, then a piece each second while there is more. Of connections (buffers, records) what
the allocator of C keeps, a second after there were MANY more of them. A daemon that is idle and
small never wakes for it.
"""

from collections.abc import Callable

from kcoro_ipc.native import NativeEngine, trim_heap

KEEP_MIB = 8
MOST_MIB = 64  # at a time: a few milliseconds of system calls
MANY = 1_000  # connections: 2 MiB, for a look through all that is allocated
PAUSE_NS = 1_000_000_000


class Trimmer:
    def __init__(
        self, engine: NativeEngine, clock: Callable[[], int], connections: Callable[[], int]
    ) -> None:
        """`clock`: the daemon's, in nanoseconds. `connections`: how many there are."""
        self._engine = engine
        self._clock = clock
        self._connections = connections
        self._most = 0  # connections since the heap was trimmed
        self._due_ns: int | None = None

    def next_deadline_ns(self) -> int | None:
        return self._due_ns

    def look(self) -> None:
        """After each turn."""
        now_ns = self._clock()
        connections = self._connections()
        self._most = max(self._most, connections)
        if self._due_ns is None or self._due_ns <= now_ns:
            due = self._due_ns is not None
            over = self._engine.trim(KEEP_MIB, MOST_MIB if due else 0)
            over += self._left(connections, due)
            self._due_ns = now_ns + PAUSE_NS if over else None

    def _left(self, connections: int, due: bool) -> int:
        """1: so many have left that their memory is to be given back; when due, that is done."""
        if self._most - connections < MANY:
            return 0
        if not due:
            return 1
        trim_heap()
        self._most = connections
        return 0
