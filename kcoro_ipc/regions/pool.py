"""The regions that one connection sends from, kept for reuse.

A region is made when no other has room, registered with the daemon by the first send from it, and
dropped when many loans went by without it. A range is out from `take` until `give`, or until the
daemon says that nobody uses it any more.

Invariants:
- A range is not given out again while any view of it is left in this program: what comes back
  while an array of it lives waits in `_watched`.
- In steady state no memfd and no mapping is made: ranges come from the regions that are there.
"""

from collections import deque
from collections.abc import Callable

from kcoro_ipc.errors import PoolExhausted
from kcoro_ipc.protocol.greeting import Quota
from kcoro_ipc.regions.filling import Fill
from kcoro_ipc.regions.memory import PAGE, create_memory
from kcoro_ipc.regions.space import Space
from kcoro_ipc.regions.views import seen_by_others

REGION_BYTES = 4 << 20  # the least; 256 regions, the daemon's quota, are then the default pool
LARGE_FOR = 16  # a larger region serves no loans this much smaller: they would keep it alive
SPARE_LOANS = 256  # a region that was idle for so many goes back to the system


class Region:
    """Memory of ours. `region_id` is 0 until the daemon knows it; `file` lives until then.

    `retired`: nothing more is taken from it, because what became of one of its ranges is unknown.
    """

    def __init__(self, size: int, fill: Fill | None = None) -> None:
        self.memory, self.file = create_memory(size, fill)
        self.size = size
        self.region_id = 0
        self.space = Space(size)
        self.sent: dict[int, Block] = {}  # by the offset that was sent
        self.retired = False
        self.last_used = 0


class Block:
    """A range of a region that is out. `views` are those through which its writer saw it."""

    __slots__ = ("region", "size", "start", "views")

    def __init__(self, region: Region, start: int, size: int) -> None:
        self.region = region
        self.start = start
        self.size = size
        self.views: list[memoryview] = []

    def view(self, nbytes: int) -> memoryview:
        """Its first bytes, writable, for as long as the range is out."""
        found = memoryview(self.region.memory)[self.start : self.start + nbytes]
        self.views = [found]
        return found

    def release_views(self) -> bool:
        """Ends them; False if one is exported at this very moment."""
        try:
            for view in self.views:
                view.release()
        except BufferError:
            return False
        return True

    def is_unseen(self) -> bool:
        """Ends its views; whether nobody in this program sees the range any more."""
        return self.release_views() and not (self.views and seen_by_others(self.views))


class Pool:
    """`hear` reads what the daemon has said by now: it may have freed something. `quota` is what it
    lets one user have, in all of his programs."""

    def __init__(
        self, limit_bytes: int, hear: Callable[[], None], quota: Quota | None = None
    ) -> None:
        self.limit_bytes = limit_bytes
        self.quota = quota
        self.regions: list[Region] = []
        self.doomed: list[Region] = []  # to be dropped by whoever may wait for the answer
        self.regions_made = 0
        self.hear = hear
        self._loans = 0
        self._watched: deque[Block] = deque()

    @property
    def total_bytes(self) -> int:
        return sum(region.size for region in self.regions)

    def take(self, nbytes: int) -> Block:
        """A range of whole pages for `nbytes`. PoolExhausted if there is none."""
        size = max(1, -(-nbytes // PAGE)) * PAGE
        self._loans += 1
        if self._loans % SPARE_LOANS == 0:
            self._drop_idle(SPARE_LOANS)
        if self._watched:
            self._look_at_watched()
        block = self._find(size)
        if block is None and self.total_bytes + size > self.limit_bytes:
            self.hear()
            block = self._find(size) or self._find(size, self.limit_bytes)
        return block or self._grow(size)

    def take_filled(self, nbytes: int, fill: Fill) -> Block:
        """A range in a region of its own, into which `fill` wrote before it was sealed.
        QuotaExceeded, and nothing was written, if the daemon would not take it."""
        size = max(1, -(-nbytes // PAGE)) * PAGE
        if self.quota is not None and self.total_bytes + size > self.quota.limit:
            self._drop_idle(0)
            if self.total_bytes + size > self.quota.limit:
                raise self.quota.refusal(self.total_bytes)
        return self._grow(size, fill)

    def _find(self, size: int, largest: int = 0) -> Block | None:
        """In a region that is not much too large, or not over `largest`."""
        largest = max(REGION_BYTES, LARGE_FOR * size, largest)
        for region in self.regions:
            usable = region.size <= largest and not region.retired
            start = region.space.take(size) if usable else None
            if start is not None:
                region.last_used = self._loans
                return Block(region, start, size)
        return None

    def _grow(self, size: int, fill: Fill | None = None) -> Block:
        if self.total_bytes + size > self.limit_bytes:
            self._drop_idle(0)
        room = self.limit_bytes - self.total_bytes
        if size > room:
            raise PoolExhausted(
                f"{size} bytes more do not fit into the pool of shared memory; wait until "
                "receivers release something, or open the client with a larger pool_bytes",
                limit=self.limit_bytes,
                usage=self.total_bytes,
            )
        least = size if fill is not None else min(REGION_BYTES, room // PAGE * PAGE)
        region = Region(max(size, least), fill)
        self.regions_made += 1
        self.regions.append(region)
        region.last_used = self._loans
        start = region.space.take(size)
        assert start is not None
        return Block(region, start, size)

    def give(self, block: Block) -> None:
        """The range is free again, as soon as nobody sees it."""
        if not block.is_unseen():
            self._watched.append(block)
            return
        region = block.region
        region.space.give(block.start, block.size)
        if region.retired and region.space.idle:
            self._doom(region)

    def give_later(self, block: Block) -> None:
        """The same at the next loan: for finalizers, which may run in any thread."""
        self._watched.append(block)

    def take_back(self, block: Block, offset: int) -> bool:
        """It was not sent after all; False if the daemon has freed it all the same: what is sent
        from that place by now is another block."""
        if block.region.sent.get(offset) is not block:
            return False
        del block.region.sent[offset]
        return True

    def lose(self, block: Block, offset: int) -> None:
        """Whether it was sent is not known: its region is used up and then dropped."""
        block.region.retired = True
        if self.take_back(block, offset):
            self.give(block)

    def freed(self, region_id: int, offset: int) -> None:
        """The daemon's word. Of a region that was dropped meanwhile it means nothing."""
        for region in self.regions:
            if region.region_id == region_id:
                block = region.sent.pop(offset, None)
                if block is not None:
                    self.give(block)
                return

    def gone(self, region_id: int) -> None:
        """The daemon knows this region no more."""
        self.regions = [region for region in self.regions if region.region_id != region_id]

    def dropped(self, region: Region) -> None:
        """A doomed one that the daemon has forgotten."""
        if region in self.doomed:
            self.doomed.remove(region)

    def _look_at_watched(self) -> None:
        for _ in range(len(self._watched)):
            self.give(self._watched.popleft())

    def _drop_idle(self, loans: int) -> None:
        for region in list(self.regions):
            if region.space.idle and self._loans - region.last_used >= loans:
                self._doom(region)

    def _doom(self, region: Region) -> None:
        if region in self.regions:
            self.regions.remove(region)
            if region.region_id:
                self.doomed.append(region)

    def close(self) -> None:
        """Forgets the regions; their memory goes with its last view."""
        self.regions.clear()
        self.doomed.clear()
        self._watched.clear()
