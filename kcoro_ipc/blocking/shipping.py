"""Parcels through a blocking connection: regions are made known, the frame goes out, and the
parcel learns what became of it, also when the call was interrupted."""

from collections.abc import Sequence

from kcoro_ipc import _wire
from kcoro_ipc.blocking.connection import CONTROL_SECONDS, Connection
from kcoro_ipc.blocking.handle import Handle
from kcoro_ipc.blocking.timeouts import Deadline, to_ms
from kcoro_ipc.errors import ConnectionLost, KcoroError, NoSuchChannel, QuotaExceeded
from kcoro_ipc.protocol import requests
from kcoro_ipc.protocol.outcome import failure_of
from kcoro_ipc.protocol.replies import Reply
from kcoro_ipc.regions.parcels import Parcel, batch_frame, settle, settle_without
from kcoro_ipc.regions.pool import Region


def ship(handle: Handle, parcel: Parcel, timeout: float | None, flags: int) -> Reply:
    """A send of one parcel; the reply, whatever its RESULT."""
    connection = handle.connection
    try:
        if not _all_known(connection, handle, [parcel]):
            parcel = parcel.as_bytes()
    except BaseException:
        parcel.refused()
        raise
    req_id = connection.new_id()
    frame = parcel.frame(req_id, handle.chan_id, to_ms(timeout), flags)
    confirm = bool(flags & _wire.FLAG_SEND_COMPLETE_ACK)
    return exchange(connection, req_id, frame, timeout, [parcel], confirm)


def exchange(
    connection: Connection,
    req_id: int,
    frame: bytes,
    timeout: float | None,
    parcels: Sequence[Parcel],
    confirm: bool = False,
) -> Reply:
    """A request that carries parcels, which are settled when this ends, however it does."""
    late: list[Reply] = []
    files = parcels[0].files if len(parcels) == 1 else None
    try:
        reply = connection.request(req_id, frame, timeout, late.append, files)
    except BaseException as error:
        if late:
            settle(parcels, late[0], confirm)
        else:
            settle_without(parcels, error, connection.ended)
        raise
    settle(parcels, reply, confirm)
    return reply


def ship_run(handle: Handle, parcels: Sequence[Parcel], timeout: float | None) -> int:
    """One frame of a batch; how many were settled from the front."""
    connection = handle.connection
    try:
        known = _all_known(connection, handle, parcels)
    except BaseException as error:
        settle_without(parcels, error)
        raise
    if not known:
        return _ship_as_bytes(handle, [parcel.as_bytes() for parcel in parcels], timeout)
    req_id = connection.new_id()
    frame = batch_frame(req_id, handle.chan_id, to_ms(timeout), parcels)
    reply = exchange(connection, req_id, frame, timeout, parcels)
    if reply.result:
        raise handle.failure(reply, "send")
    count: int = reply.get(_wire.ATTR_COUNT, len(parcels))
    return count


def _ship_as_bytes(handle: Handle, parcels: Sequence[Parcel], timeout: float | None) -> int:
    """How many were sent; the error of the first, and one that leaves in doubt what it ended."""
    deadline = Deadline(timeout)
    for count, parcel in enumerate(parcels):
        try:
            reply = ship(handle, parcel, deadline.left(), 0)
        except KcoroError as error:
            if count and not error.in_doubt:
                return count
            raise
        if reply.result and count == 0:
            raise handle.failure(reply, "send")
        if reply.result:
            return count
    return len(parcels)


def _all_known(connection: Connection, handle: Handle, parcels: Sequence[Parcel]) -> bool:
    """False if the daemon has no region for what are copies, which can go as bytes as well."""
    try:
        make_known(connection, parcels)
    except QuotaExceeded as error:
        connection.side.goes_as_bytes(handle, parcels, error)
        return False
    return True


def make_known(connection: Connection, parcels: Sequence[Parcel]) -> None:
    """Drops regions that are no longer needed, then registers those that are sent from first. What
    they are for has not begun: it is not in doubt, whatever becomes of this."""
    try:
        _make_known(connection, parcels)
    except ConnectionLost as error:
        error.in_doubt = False
        raise


def _make_known(connection: Connection, parcels: Sequence[Parcel]) -> None:
    pool = connection.side.pool
    while pool.doomed:
        region = pool.doomed[-1]
        _drop(connection, region)
        pool.dropped(region)  # only now: what was interrupted is dropped by the next send
    for parcel in parcels:
        if parcel.region is not None and not parcel.region.region_id:
            _add(connection, parcel.region)


def _add(connection: Connection, region: Region) -> None:
    def added(reply: Reply) -> None:
        if not reply.result:
            region.region_id = reply.get(_wire.ATTR_REGION_ID)

    req_id = connection.new_id()
    frame = requests.region_add(req_id, region.size)
    reply = connection.request(req_id, frame, CONTROL_SECONDS, added, region.file)
    added(reply)
    if reply.result:
        raise failure_of(reply)
    region.file.close()


def _drop(connection: Connection, region: Region) -> None:
    req_id = connection.new_id()
    frame = requests.region_drop(req_id, region.region_id, _wire.FLAG_REGION_WAIT)
    reply = connection.request(req_id, frame, CONTROL_SECONDS)
    if reply.result:
        error = failure_of(reply)
        if not isinstance(error, NoSuchChannel):  # the daemon does not know it: it is dropped
            raise error
