"""select under trio: exactly one of several sends and receives, on channels of one client."""

from typing import TYPE_CHECKING, Any, NamedTuple

from kcoro_ipc import _wire
from kcoro_ipc.client.handle import Handle
from kcoro_ipc.codecs import Codec
from kcoro_ipc.errors import InvalidArgument
from kcoro_ipc.protocol import requests
from kcoro_ipc.protocol.outcome import failure_of
from kcoro_ipc.protocol.replies import Reply
from kcoro_ipc.trio_errors import TRIO_ERRORS

if TYPE_CHECKING:
    from kcoro_ipc.client.channel import Channel
    from kcoro_ipc.client.connection import Connection
    from kcoro_ipc.client.inbox import Inbox


class Selected(NamedTuple):
    """The clause that took effect: its place, its channel, and what it received.

    `value` is the message, a Job for an acking clause, and None for a send.
    """

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody misses here
    channel: "Channel"
    value: Any


class Clause:
    """One arm; made by `receiving` and `sending` of a channel, `receiving` of an inbox."""

    def __init__(
        self,
        channel: "Channel",
        handle: Handle,
        codec: Codec,
        element: bytes | None = None,
        inbox: "Inbox | None" = None,
    ) -> None:
        self.channel = channel
        self.handle = handle
        self.codec = codec
        self.element = element
        self.inbox = inbox

    @property
    def side(self) -> str:
        return "receive" if self.element is None else "send"

    def wire(self) -> requests.Clause:
        flags = 0 if self.inbox is None else _wire.FLAG_CLAUSE_ACK
        return requests.Clause(self.handle.chan_id, self.element, flags)

    def value_of(self, reply: Reply) -> Any:
        if self.element is not None:
            return None
        if self.inbox is not None:
            return self.inbox.jobs(reply.get(_wire.ATTR_ITEM))[0]
        return self.codec.decode(reply.elements[0])


async def select(
    connection: "Connection", clauses: tuple[Clause, ...], timeout_ms: int, biased: bool
) -> Selected:
    for clause in clauses:
        if clause.handle.connection is not connection:
            raise InvalidArgument("a select takes channels of one client; open this one there too")
    flags = _wire.FLAG_SELECT_BIASED if biased else 0
    req_id = connection.new_id()
    frame = requests.select(req_id, timeout_ms, [clause.wire() for clause in clauses], flags)
    reply = await connection.request(req_id, frame, "select" if timeout_ms else "")
    index: int = reply.get(_wire.ATTR_INDEX, -1)
    if reply.result:
        raise _failure(reply, clauses[index] if 0 <= index < len(clauses) else None)
    clause = clauses[index]
    return Selected(index, clause.channel, clause.value_of(reply))


def _failure(reply: Reply, clause: Clause | None) -> Exception:
    """Of the clause that failed, if one did; a timeout and a cancel belong to none."""
    if clause is None:
        return failure_of(reply, table=TRIO_ERRORS)
    return failure_of(reply, clause.side, TRIO_ERRORS, clause.handle.label)
