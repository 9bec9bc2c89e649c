"""select without the waiting: clauses into a frame, a reply into the clause that took effect."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from kcoro_ipc import _wire
from kcoro_ipc.codecs import Codec
from kcoro_ipc.errors import ErrorTable, KcoroError, MessageTooLong, ProtocolError
from kcoro_ipc.protocol import requests
from kcoro_ipc.protocol.handles import Handle
from kcoro_ipc.protocol.outcome import failure_of
from kcoro_ipc.protocol.replies import Reply


class Selected(NamedTuple):
    """The clause that took effect: its place, its channel, and what it received.

    `value` is the message (a Lease or a Message if the clause asks for it), a Job for an acking
    clause, and None for a send.
    """

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody misses here
    channel: Any
    value: Any


class Clause:
    """One arm; made by `receiving` and `sending` of a channel, `receiving` of an inbox.

    `encoded` is what a sending one sends: bytes, or what goes by shared memory.
    """

    def __init__(
        self,
        channel: Any,
        handle: Handle,
        codec: Codec,
        encoded: Any = None,
        inbox: Any = None,
        lease: bool = False,
        message: bool = False,
        files: Sequence[Any] = (),
        sender: bool = False,
    ) -> None:
        self.channel = channel
        self.handle = handle
        self.codec = codec
        self.encoded = encoded
        self.inbox = inbox
        self.lease = lease
        self.message = message
        self.files = files
        self.sender = sender

    @property
    def side(self) -> str:
        return "receive" if self.encoded is None else "send"

    def wire(self) -> requests.Clause:
        """Of a receiving one."""
        flags = 0 if self.inbox is None else _wire.FLAG_CLAUSE_ACK
        flags |= _wire.FLAG_CLAUSE_SENDER if self.sender else 0
        return requests.Clause(self.handle.chan_id, None, flags)


def select_frame(
    req_id: int,
    timeout_ms: int,
    arms: Sequence[requests.Clause],
    biased: bool,
    max_frame_bytes: int,
) -> bytes:
    """MessageTooLong here, so that what all clauses send costs no connection."""
    flags = _wire.FLAG_SELECT_BIASED if biased else 0
    frame = requests.select(req_id, timeout_ms, arms, flags)
    payload_bytes = len(frame) - _wire.HEADER_BYTES
    if payload_bytes > max_frame_bytes:
        raise MessageTooLong(
            f"the clauses of this select need {payload_bytes} bytes in all, over the "
            f"{max_frame_bytes} that the daemon takes at once; send less in one select"
        )
    return frame


def winner(reply: Reply, clauses: Sequence[Clause], table: ErrorTable) -> tuple[int, Clause]:
    """The clause that took effect and its place, or the error, which is that of a clause if it
    carries an index; a timeout and a cancel belong to none."""
    index: int = reply.get(_wire.ATTR_INDEX, -1)
    clause = clauses[index] if 0 <= index < len(clauses) else None
    if clause is not None and not reply.result:
        return index, clause
    raise _failure(reply, clause, table)


def _failure(reply: Reply, clause: Clause | None, table: ErrorTable) -> KcoroError:
    if not reply.result:
        return ProtocolError("the daemon's answer to a select names no clause of it")
    if clause is None:
        return failure_of(reply, table=table)
    return failure_of(reply, clause.side, table, clause.handle.label)
