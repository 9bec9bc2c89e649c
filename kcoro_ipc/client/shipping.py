"""Parcels through a connection under trio: regions are made known, the frame goes out, and the
parcel learns what became of it."""

from collections.abc import Sequence

import trio

from kcoro_ipc import _wire
from kcoro_ipc.client.connection import Connection
from kcoro_ipc.client.handle import Handle
from kcoro_ipc.errors import KcoroError, NoSuchChannel, QuotaExceeded
from kcoro_ipc.protocol import requests
from kcoro_ipc.protocol.outcome import failure_of
from kcoro_ipc.protocol.replies import Reply
from kcoro_ipc.protocol.requests import FOREVER_MS
from kcoro_ipc.regions.parcels import (
    Parcel,
    batch_frame,
    settle,
    settle_without,
)
from kcoro_ipc.regions.pool import Region
from kcoro_ipc.trio_errors import TRIO_ERRORS, ConnectionLost


async def ship(
    handle: Handle, parcel: Parcel, timeout_ms: int, flags: int, place: str, owner: object
) -> Reply:
    """A send of one parcel; the reply, whatever its RESULT."""
    connection = handle.connection
    try:
        if not await _all_known(connection, handle, [parcel]):
            parcel = parcel.as_bytes()
        req_id = connection.new_id()
        frame = parcel.frame(req_id, handle.chan_id, timeout_ms, flags)
        reply = await connection.request(req_id, frame, place, (owner,), files=parcel.files)
    except BaseException as error:
        settle_without([parcel], error)
        raise
    settle([parcel], reply, bool(flags & _wire.FLAG_SEND_COMPLETE_ACK))
    return reply


async def ship_run(handle: Handle, parcels: Sequence[Parcel], owner: object) -> int:
    """One frame of a batch; how many were settled from the front."""
    connection = handle.connection
    try:
        known = await _all_known(connection, handle, parcels)
    except BaseException as error:
        settle_without(parcels, error)
        raise
    if not known:
        return await _ship_as_bytes(handle, [parcel.as_bytes() for parcel in parcels], owner)
    try:
        req_id = connection.new_id()
        frame = batch_frame(req_id, handle.chan_id, FOREVER_MS, parcels)
        reply = await connection.request(req_id, frame, "send", (owner,))
    except BaseException as error:
        settle_without(parcels, error)
        raise
    settle(parcels, reply)
    if reply.result:
        raise handle.failure(reply, "send")
    count: int = reply.get(_wire.ATTR_COUNT, len(parcels))
    return count


async def _all_known(connection: Connection, handle: Handle, parcels: Sequence[Parcel]) -> bool:
    """False if the daemon has no region for what are copies, which can go as bytes as well."""
    try:
        await make_known(connection, parcels)
    except QuotaExceeded as error:
        connection.side.goes_as_bytes(handle, parcels, error)
        return False
    return True


async def _ship_as_bytes(handle: Handle, parcels: Sequence[Parcel], owner: object) -> int:
    """How many were sent; the error of the first, and one that leaves in doubt what it ended."""
    for count, parcel in enumerate(parcels):
        try:
            reply = await ship(handle, parcel, FOREVER_MS, 0, "send", owner)
        except (trio.Cancelled, KcoroError) as error:
            if count and not getattr(error, "in_doubt", False):
                return count  # cancelled: the next checkpoint says so again
            raise
        if reply.result and count == 0:
            raise handle.failure(reply, "send")
        if reply.result:
            return count
    return len(parcels)


async def make_known(connection: Connection, parcels: Sequence[Parcel]) -> None:
    """Drops regions that are no longer needed, then registers those that are sent from first. What
    they are for has not begun: it is not in doubt, whatever becomes of this."""
    try:
        await _make_known(connection, parcels)
    except ConnectionLost as error:
        error.in_doubt = False
        raise


async def _make_known(connection: Connection, parcels: Sequence[Parcel]) -> None:
    pool = connection.side.pool
    if pool.doomed:
        async with connection.registering:
            while pool.doomed:
                region = pool.doomed[-1]
                await _drop(connection, region)
                pool.dropped(region)  # only now: what was cancelled is dropped by the next send
    for parcel in parcels:
        if parcel.region is not None and not parcel.region.region_id:
            async with connection.registering:
                await _add(connection, parcel.region)


async def _add(connection: Connection, region: Region) -> None:
    if region.region_id:
        return
    req_id = connection.new_id()
    frame = requests.region_add(req_id, region.size)
    reply = await connection.request(req_id, frame, files=region.file)
    if reply.result:
        raise failure_of(reply, table=TRIO_ERRORS)
    region.region_id = reply.get(_wire.ATTR_REGION_ID)
    region.file.close()


async def _drop(connection: Connection, region: Region) -> None:
    req_id = connection.new_id()
    frame = requests.region_drop(req_id, region.region_id, _wire.FLAG_REGION_WAIT)
    reply = await connection.request(req_id, frame, must_go=True)
    if reply.result:
        error = failure_of(reply, table=TRIO_ERRORS)
        if not isinstance(error, NoSuchChannel):  # the daemon does not know it: it is dropped
            raise error
