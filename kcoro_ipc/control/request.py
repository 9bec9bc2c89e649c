"""One control frame as its function sees it, and the forms that an answer may have.

Answers of ABI 1.0 and 1.1 differ in two things, both decided here: 1.1 always echoes REQ_ID (1.0
when one was sent), and a refusal of 1.1 says why in REASON and names the quota that refused. An
answer to HELLO, and one that ends the connection, has no REQ_ID.
"""

from collections.abc import Iterable
from enum import Enum, auto
from typing import NamedTuple

from kcoro_ipc import _wire
from kcoro_ipc.errors import InvalidArgument, KcoroError, ProtocolError
from kcoro_ipc.frames import Pair, Value, build_frame, parse_payload, short_text
from kcoro_ipc.records import BOTH, Peer
from kcoro_ipc.reports import Control

# The reply of a TRY_ variant carries the plain command.
REPLY_CMD = {
    _wire.CMD_CHAN_TRY_SEND: _wire.CMD_CHAN_SEND,
    _wire.CMD_CHAN_TRY_RECV: _wire.CMD_CHAN_RECV,
}


class Then(Enum):
    """What the pump does with a control frame."""

    REPLY = auto()  # answered: the barrier is lifted, the request is over
    LET_GO = auto()  # the request lives on in the registry, or has no answer at all
    RESUBMIT = auto()  # C tries it again, now with a handle


class Outcome(NamedTuple):
    """`end`: the connection ends with this code, after the frame. `greet`: minor, MAX_FRAME and
    CAPS of the peer."""

    then: Then
    frame: bytes = b""
    end: int | None = None
    greet: tuple[int, int, int] | None = None


LET_GO = Outcome(Then.LET_GO)
RESUBMIT = Outcome(Then.RESUBMIT)


class Request:
    """`pairs` are the attributes understood; a request of 1.1 has a REQ_ID."""

    def __init__(self, peer: Peer, control: Control) -> None:
        """Raises ProtocolError for a payload that is not valid in this connection's version."""
        self.peer = peer
        self.cmd = control.cmd
        self.minor = control.minor
        self.ungranted = control.ungranted
        self.files = control.files
        self.pairs = parse_payload(control.payload, control.minor)
        self.given = {number for number, _ in self.pairs}
        # A large frame that waits for its handle comes without its payload.
        self.req_id = self.number(_wire.ATTR_REQ_ID, control.req_id)
        self.chan_id = self.number(_wire.ATTR_CHAN_ID, control.chan_id) or None
        if control.minor and not self.req_id and control.cmd != _wire.CMD_HELLO:
            raise ProtocolError("a request of ABI 1.1 has a REQ_ID, and it is not 0")

    def get(self, number: int) -> Value | None:
        return next((value for key, value in self.pairs if key == number), None)

    def number(self, number: int, default: int = 0) -> int:
        value = self.get(number)
        return value if isinstance(value, int) else default

    def octets(self, number: int) -> bytes | None:
        value = self.get(number)
        return value if isinstance(value, bytes) else None

    def text(self, number: int) -> str | None:
        """A text for eyes: what is no UTF-8 is replaced, then cut to 255 bytes."""
        value = self.octets(number)
        if value is None:
            return None
        # Twice as much: a character broken here is cut off by short_text.
        some = value[: 2 * _wire.MAX_TEXT_BYTES].decode(errors="replace")
        return short_text(some).decode()

    def flags(self, known: int) -> int:
        flags = self.number(_wire.ATTR_FLAGS)
        if flags & ~known and self.minor:
            raise InvalidArgument(f"FLAGS has bits that are not known here: {flags & ~known:#x}")
        return flags & known

    def rights(self) -> int:
        """The rights that FLAGS asks for; both when it names none."""
        return (self.number(_wire.ATTR_FLAGS) & BOTH) or BOTH

    # --- answers ---

    def reply(self, pairs: Iterable[Pair], end: int | None = None) -> Outcome:
        """Exactly these attributes after REQ_ID."""
        return Outcome(Then.REPLY, self.frame(pairs), end)

    def done(self, *pairs: Pair) -> Outcome:
        return self.reply([(_wire.ATTR_RESULT, _wire.KC_OK), *pairs])

    def failed(self, error: KcoroError) -> Outcome:
        return self.reply(failure(error, self.minor))

    def frame(self, pairs: Iterable[Pair]) -> bytes:
        """One frame of this request: its answer, or later an event or its last word."""
        cmd = REPLY_CMD.get(self.cmd, self.cmd)
        return request_frame(cmd, self.req_id, pairs, self.minor)


def request_frame(cmd: int, req_id: int, pairs: Iterable[Pair], minor: int = 1) -> bytes:
    named: list[Pair] = [(_wire.ATTR_REQ_ID, req_id)] if req_id else []
    return build_frame(cmd, [*named, *pairs], minor)


def failure(error: KcoroError, minor: int) -> list[Pair]:
    """RESULT, and in 1.1 why and which quota."""
    pairs: list[Pair] = [(_wire.ATTR_RESULT, error.code)]
    return pairs + (_reasons(error) if minor else [])


def _reasons(error: KcoroError) -> list[Pair]:
    pairs: list[Pair] = []
    reason = error.reason or (None if error.quota else error.args[0])
    if isinstance(reason, str):
        pairs.append((_wire.ATTR_REASON, short_text(reason)))
    if isinstance(error.quota, str):
        pairs += [
            (_wire.ATTR_QUOTA_NAME, error.quota),
            (_wire.ATTR_QUOTA_LIMIT, int(error.limit or 0)),
            (_wire.ATTR_QUOTA_USAGE, int(error.usage or 0)),
            (_wire.ATTR_QUOTA_SETTING, str(error.setting or "")),
        ]
    return pairs


def last_words(control: Control, code: int) -> Outcome:
    """The answer that ends a connection: the command as it came (a TRY_ too) and RESULT alone."""
    frame = build_frame(control.cmd, [(_wire.ATTR_RESULT, code)], 0)
    return Outcome(Then.REPLY, frame, end=code)
