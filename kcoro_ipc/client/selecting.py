"""A select through a trio connection, with all that its clauses send."""

from collections.abc import Sequence
from typing import Any

from kcoro_ipc.client.connection import Connection
from kcoro_ipc.client.shipping import make_known
from kcoro_ipc.errors import QuotaExceeded
from kcoro_ipc.outgoing import Sends
from kcoro_ipc.protocol.selects import Clause, select_frame, winner
from kcoro_ipc.trio_errors import TRIO_ERRORS


async def select(
    connection: Connection, clauses: Sequence[Clause], timeout_ms: int, biased: bool
) -> tuple[int, Any]:
    """The place of the clause that took effect and what it brought; its error is raised."""
    sends = Sends(connection.side, clauses)
    try:
        try:
            await make_known(connection, list(sends.parcels.values()))
        except QuotaExceeded as error:
            sends.go_as_bytes(error)
        req_id = connection.new_id()
        frame = select_frame(req_id, timeout_ms, sends.arms(), biased, connection.max_frame_bytes)
        side, files = "select" if timeout_ms else "", sends.files()
        owners = tuple(owner for clause in clauses for owner in (clause.channel, clause.inbox))
        reply = await connection.request(req_id, frame, side, owners, files=files)
        index, clause = winner(reply, clauses, TRIO_ERRORS)
    except BaseException as error:
        sends.settle_without(error)
        raise
    sends.settle(index)
    return index, clause.channel.selected(clause, reply)
