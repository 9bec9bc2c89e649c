"""Regions of others that this connection reads in: each is mapped once, and read only.

The daemon sends a region's file before the first descriptor in it, and says when none will come
any more. A mapping lives until then and until its last lease has ended. How many may live has a
bound: each has an open file (of mmap.mmap), and the kernel bounds these and the mappings of the
whole program. The message that lies in one more was taken from its channel already, so that is not
refused alone: the connection ends.
"""

import mmap
import resource
import weakref
from collections.abc import Callable, Sequence

from kcoro_ipc import _wire
from kcoro_ipc.errors import ProtocolError
from kcoro_ipc.protocol.deliveries import Body, WithFiles
from kcoro_ipc.protocol.descriptors import Descriptor
from kcoro_ipc.protocol.replies import Reply
from kcoro_ipc.regions.lease import Lease
from kcoro_ipc.regions.memory import map_memory
from kcoro_ipc.regions.releases import Held, Releases

MOST = 4_096  # of vm.max_map_count, 65,530


def most_mappings() -> int:
    """At most half of the files that this process may open."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if files == resource.RLIM_INFINITY else min(MOST, files // 2)


class Mappings:
    """`tell` sends a frame that is not answered."""

    def __init__(self, tell: Callable[[bytes], None]) -> None:
        self.releases = Releases(tell)
        self._mappings: dict[int, mmap.mmap] = {}
        self._live: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()  # those of leases, too
        self.maps_made = 0

    # --- notices ---

    def add(self, notice: Reply) -> None:
        """May be repeated: a blocking client can be interrupted after the first time."""
        region_id = notice.get(_wire.ATTR_REGION_ID)
        if region_id in self._mappings:
            return
        if notice.file_count != 1:
            raise ProtocolError("the daemon announced a region without its file")
        try:
            self._demand_room()
            memory = map_memory(notice.files[0], notice.get(_wire.ATTR_SIZE))
        except ProtocolError:
            notice.files.close()
            raise
        self._live.add(memory)
        self._mappings[region_id] = memory
        self.maps_made += 1
        notice.files.close()

    def _demand_room(self) -> None:
        most = most_mappings()
        if len(self._live) >= most:
            raise ProtocolError(
                f"messages came in more than {most} regions of others, which is as many as may be "
                "mapped (4,096, or half of RLIMIT_NOFILE): release leases, or raise that limit"
            )

    def remove(self, region_id: int) -> None:
        """Its leases keep the memory for as long as they are open."""
        self._mappings.pop(region_id, None)

    # --- bodies of messages ---

    def view(self, found: Descriptor) -> memoryview:
        """The range, read only."""
        memory = self._mappings.get(found.region_id)
        if memory is None:
            raise ProtocolError("the daemon named a region that it never announced")
        stop = found.offset + found.length
        if not found.length or stop > len(memory):
            raise ProtocolError("the daemon named a range beyond the end of its region")
        return memoryview(memory)[found.offset : stop]

    def lease(self, body: Body) -> Lease:
        """A body as a lease; files that came with it stay where they are."""
        if isinstance(body, Descriptor):
            held = Held(self.view(body), body.last)
        else:
            held = Held(memoryview(self._copy(body)), 0)
        lease = Lease(self.releases, held.view.nbytes, held.lease_id != 0)
        self.releases.open[held] = None
        lease.held = held  # without a call up to the caller: it is his, or was never made
        return lease

    def elements(self, bodies: Sequence[Body]) -> list[bytes]:
        """Bodies as bytes: ranges are copied and given back at once, files are closed."""
        try:
            return self.copies(bodies)
        finally:
            self.discard(bodies)

    def copies(self, bodies: Sequence[Body]) -> list[bytes]:
        """Bodies as bytes; their ranges and files still belong to us."""
        return [self._copy(body) for body in bodies]

    def _copy(self, body: Body) -> bytes:
        if isinstance(body, Descriptor):
            with self.view(body) as view:
                return bytes(view)
        return body.element if isinstance(body, WithFiles) else body

    def discard(self, bodies: Sequence[Body]) -> None:
        """Bodies that nobody will look at any more, files included."""
        self.give_back(bodies)
        self.close_files(bodies)

    @staticmethod
    def close_files(bodies: Sequence[Body]) -> None:
        for body in bodies:
            if isinstance(body, WithFiles):
                body.files.close()

    def give_back(self, bodies: Sequence[Body]) -> None:
        """Ranges that nobody will read."""
        self.releases.end(self.ids_of(bodies))

    @staticmethod
    def ids_of(bodies: Sequence[Body]) -> list[int]:
        """What a RELEASE of these names."""
        return [body.last for body in bodies if isinstance(body, Descriptor)]

    # --- leases that end ---

    def adopt(self, lease: Lease, holder: object) -> None:
        """From now on the lease lasts as long as `holder`, which needs no telling."""
        held = lease.still_held()
        weakref.finalize(holder, self.releases.dropped.append, held).atexit = False
        lease.held = None

    def close(self) -> None:
        """The connection has ended, and all leases with it; what is open can still be read."""
        self._mappings.clear()
