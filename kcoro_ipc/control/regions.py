"""REGION_ADD and REGION_DROP: a client's shared memory becomes known, and goes.

What makes a file fit to be a region is judged in native/ipc/region_judge.c. A region belongs to the
connection that registered it; only that one may send ranges of it and drop it.
"""

from kcoro_ipc import _wire
from kcoro_ipc.broker import SHUTTING_DOWN, Broker
from kcoro_ipc.control.opening import check_not_draining
from kcoro_ipc.control.request import LET_GO, Outcome, Request, failure, request_frame
from kcoro_ipc.errors import InvalidArgument, NoSuchRegion, OperationCancelled
from kcoro_ipc.frames import Pair
from kcoro_ipc.records import Peer, Region
from kcoro_ipc.structs import REGION_IDLE, REGION_REVOKE, REGION_WAIT


def add(broker: Broker, request: Request) -> Outcome:
    """SIZE and one file; REGION_ID. InvalidArgument says which check the file failed."""
    check_not_draining(broker)
    size = request.number(_wire.ATTR_SIZE)
    if request.files != 1:
        raise InvalidArgument(f"REGION_ADD comes with one file, not {request.files}")
    region = broker.regions.add(request.peer, size)
    return request.done((_wire.ATTR_REGION_ID, region.region_id))


def drop(broker: Broker, request: Request) -> Outcome:
    """RegionBusy while ranges of it are in flight; with FLAGS WAIT the answer comes after the last,
    with REVOKE what still waits is taken out of its channels."""
    flags = request.flags(_wire.FLAG_REGION_ALL)
    region = request.peer.regions.get(request.number(_wire.ATTR_REGION_ID))
    if region is None or region.dropped:
        raise NoSuchRegion
    if flags & _wire.FLAG_REGION_REVOKE:
        how = REGION_REVOKE
    else:
        how = REGION_WAIT if flags & _wire.FLAG_REGION_WAIT else REGION_IDLE
    in_flight = broker.regions.drop(region, how)
    if in_flight and flags & _wire.FLAG_REGION_WAIT:
        region.waiting = request.req_id
        return LET_GO
    return request.done()


def ended(broker: Broker, conn: int, region_id: int) -> None:
    """Nothing of it is in flight any more: whoever waits for that is answered."""
    region = broker.regions.forget(region_id)
    peer = broker.registry.peers.get(conn)
    if region is not None and peer is not None:
        peer.regions.pop(region_id, None)
        _finish(broker, peer, region, [(_wire.ATTR_RESULT, _wire.KC_OK)])


def cancelled(broker: Broker, peer: Peer, req_id: int, reason: str) -> None:
    """CANCEL ends the wait; the region stays dropped."""
    for region in peer.regions.values():
        if region.waiting == req_id:
            failed = failure(OperationCancelled(reason=reason), minor=1)
            _finish(broker, peer, region, failed)


def end_waiting(broker: Broker, peer: Peer) -> None:
    for region in peer.regions.values():
        if region.waiting:
            cancelled(broker, peer, region.waiting, SHUTTING_DOWN)


def _finish(broker: Broker, peer: Peer, region: Region, pairs: list[Pair]) -> None:
    if region.waiting:
        req_id, region.waiting = region.waiting, 0
        frame = request_frame(_wire.CMD_REGION_DROP, req_id, pairs)
        broker.pump.finish(peer.conn, req_id, frame)
