"""A select through a blocking connection, with all that its clauses send."""

from collections.abc import Sequence

from kcoro_ipc.blocking.connection import Connection
from kcoro_ipc.blocking.shipping import make_known
from kcoro_ipc.blocking.timeouts import to_ms
from kcoro_ipc.errors import ERRORS, QuotaExceeded
from kcoro_ipc.outgoing import Sends
from kcoro_ipc.protocol.replies import Reply
from kcoro_ipc.protocol.selects import Clause, select_frame, winner


def select(
    connection: Connection, clauses: Sequence[Clause], timeout: float | None, biased: bool
) -> Reply:
    """The reply of the clause that took effect; its error is raised. What came for a select that
    was interrupted is kept, or given back."""
    sends = Sends(connection.side, clauses)
    won: list[int] = []

    def late(reply: Reply) -> None:
        if reply.result:
            return
        index, clause = winner(reply, clauses, ERRORS)
        won.append(index)
        if clause.inbox is not None:
            clause.inbox.give_back_late(reply)
        elif clause.encoded is None:
            clause.channel.keep(reply)

    try:
        try:
            make_known(connection, list(sends.parcels.values()))
        except QuotaExceeded as error:
            sends.go_as_bytes(error)
        req_id = connection.new_id()
        frame = select_frame(
            req_id, to_ms(timeout), sends.arms(), biased, connection.max_frame_bytes
        )
        reply = connection.request(req_id, frame, timeout, late, sends.files())
        index, _ = winner(reply, clauses, ERRORS)
    except BaseException as error:
        if won:
            sends.settle(won[0])
        else:
            sends.settle_without(error, connection.ended)
        raise
    sends.settle(index)
    return reply
