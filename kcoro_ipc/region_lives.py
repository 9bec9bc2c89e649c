"""Lives of regions: files that clients share as memory, from REGION_ADD until nothing of them is in
flight any more. They are counted for their users here; whose they are, and that one ended, the
engine knows."""

from collections.abc import Callable

from kcoro_ipc import _wire
from kcoro_ipc.errors import InvalidArgument, RegionBusy
from kcoro_ipc.native import NativeEngine
from kcoro_ipc.pump import NativePump, judge_region
from kcoro_ipc.records import Peer, Region, User
from kcoro_ipc.registry import Registry


class RegionLives:
    def __init__(
        self,
        engine: NativeEngine,
        pump: NativePump,
        registry: Registry,
        settle: Callable[[User], None],
    ) -> None:
        """`settle`: a user has one region less."""
        self._engine = engine
        self._pump = pump
        self._registry = registry
        self._settle = settle
        self._regions: dict[int, Region] = {}

    def add(self, peer: Peer, size: int) -> Region:
        """Registers the file of the control frame at hand. Raises what is wrong with it, or which
        quota refuses; the file is closed then."""
        limits, user = self._registry.limits, peer.user
        limits.check(regions_per_connection=len(peer.regions), regions_per_uid=user.regions)
        if user.region_bytes + size > limits.region_bytes_per_uid:
            raise limits.refuse("region_bytes_per_uid", user.region_bytes)
        file = self._pump.control_file(peer.conn)
        try:
            why = judge_region(file, size)
            if why is not None:
                raise InvalidArgument(why)
            ticket = self._engine.region_add(user.account, file, size, peer.conn)
        except BaseException:
            self._pump.discard_file(user.account, file)  # closing any kind of file may block
            raise
        user.regions += 1
        user.region_bytes += size
        region = self._regions[ticket] = peer.regions[ticket] = Region(ticket, user, size)
        return region

    def drop(self, region: Region, how: int) -> int:
        """How many of its ranges are in flight; RegionBusy if `how` allows none."""
        code = self._engine.region_drop(region.region_id, how)
        if code == _wire.KC_EBUSY:
            in_flight = self._engine.region_in_flight(region.region_id)
            raise RegionBusy(f"{in_flight} of its ranges are in flight; ask with WAIT or REVOKE")
        region.dropped = True
        return self._engine.region_in_flight(region.region_id)

    def forget(self, region_id: int) -> Region | None:
        """It has ended: its bytes count no more."""
        region = self._regions.pop(region_id, None)
        if region is not None:
            region.user.regions -= 1
            region.user.region_bytes -= region.size
            self._settle(region.user)
        return region
