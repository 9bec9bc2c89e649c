"""The leases of one connection from their beginning to the RELEASE that the daemon is told.

A signal handler may raise at any moment, so each step can be taken again: from before a lease is
forgotten until its RELEASE went out its id stands in `owed`, and the next request makes up for what
was interrupted. An id may so be told twice, which ends nothing: it carries a generation.
"""

from collections import deque
from collections.abc import Callable, Iterable

from kcoro_ipc import forks
from kcoro_ipc.protocol import requests
from kcoro_ipc.regions.views import is_released


class Held:
    """What a lease holds. `lease_id` is 0 for private memory, of which nobody is told."""

    __slots__ = ("lease_id", "view")

    def __init__(self, view: memoryview, lease_id: int) -> None:
        self.view = view
        self.lease_id = lease_id


class Releases:
    """`tell` sends a frame that is not answered. `dropped` is what finalizers left here, in any
    thread, and is looked at by the next request; `owed` is what the daemon is still to be told,
    `open` what has not ended."""

    def __init__(self, tell: Callable[[bytes], None]) -> None:
        self.dropped: deque[Held] = deque()
        self.owed: list[int] = []
        self._seen: deque[Held] = deque()  # dropped, and somebody still looks at it
        self.open: dict[Held, None] = {}
        self._tell = tell
        self._generation = forks.generation

    @property
    def leases_open(self) -> int:
        return len(self.open)

    def owe(self, held: Held) -> None:
        """Its view has ended."""
        if held in self.open:
            if held.lease_id:
                self.owed.append(held.lease_id)
            self.open.pop(held, None)

    def tell_owed(self) -> None:
        owed = self.owed
        if not owed or self._generation != forks.generation:
            return
        ids = list(owed)
        self._tell(requests.release(ids))
        del owed[: len(ids)]

    def end(self, ids: Iterable[int]) -> None:
        """Ranges that nobody will read."""
        self.owed.extend(ids)
        self.tell_owed()

    def end_dropped(self, *, again: bool = False) -> None:
        """Ends what was merely dropped, as far as nobody looks at its memory any more, and tells
        what is owed. Whoever has kept the lease's own view has a released one: it would show what
        is written next. `again`: also what somebody looked at the last time, for whom all objects
        of the program may have to be searched."""
        if self._generation != forks.generation:
            return
        if again:
            self.dropped.extend(self._seen)
            self._seen.clear()
        while self.dropped:
            held = self.dropped[0]
            if is_released(held.view):
                self.owe(held)
            else:
                self._seen.append(held)
            self.dropped.popleft()
        self.tell_owed()
