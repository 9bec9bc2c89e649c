"""The requests of one connection that wait for their replies.

Request ids come from a counter and are not used again while they live: a receive may stay parked
for longer than the counter needs to come round. What is stored with an id is the caller's (a trio
task's record, a test's string); the exchange only finds it again.

How many may be under way at once is bounded, so that the daemon never has to refuse one. Sends,
receives and selects each have a few places that the other sides cannot take: a thousand parked
receives must not keep out the send that would end them.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

from kcoro_ipc.errors import KcoroError, ProtocolError
from kcoro_ipc.protocol.outcome import failure_of
from kcoro_ipc.protocol.replies import Reply, ReplyReader

T = TypeVar("T")

IN_FLIGHT = 1024
OWN_PLACES = 8
SIDES = ("send", "receive", "select")
EVENTS = "events"  # of requests that are answered again and again; they need no place either
SHARED_PLACES = IN_FLIGHT - OWN_PLACES * len(SIDES)
LAST_REQ_ID = 0xFFFFFFFF


class Exchange(Generic[T]):
    """Ids and places out, replies in. Requests of side "" (control, tries, acks) need no place."""

    def __init__(self) -> None:
        self.reader = ReplyReader()
        self.on_notice: Callable[[Reply], None] = _unwanted
        self.in_flight: dict[int, tuple[T, str]] = {}
        self._last_word: KcoroError | None = None
        self._last_id = 0
        self._used = dict.fromkeys(("", EVENTS, *SIDES), 0)

    def new_id(self) -> int:
        """An id that no live request has; it counts as live from `add` on."""
        req_id = self._last_id
        while True:
            req_id = req_id + 1 if req_id < LAST_REQ_ID else 1
            if req_id not in self.in_flight:
                self._last_id = req_id
                return req_id

    def has_place(self, side: str) -> bool:
        """Whether a request of this side may go out now, or has to wait here for a reply."""
        if not side or self._used[side] < OWN_PLACES:
            return True
        beyond_own = sum(max(0, self._used[other] - OWN_PLACES) for other in SIDES)
        return beyond_own < SHARED_PLACES

    def add(self, req_id: int, waiting: T, side: str = "") -> None:
        self.in_flight[req_id] = (waiting, side)
        self._used[side] += 1

    def feed(self, data: bytes, files: list[int] | None = None) -> list[tuple[T, Reply]]:
        """Who gets which reply; a terminal one ends its request. Notices go to `on_notice` in
        their order. Look at `failure` afterwards."""
        replies = self.reader.feed(data, files)
        return [found for reply in replies if (found := self._match(reply))]

    @property
    def failure(self) -> KcoroError | None:
        """Why this connection can no longer be used: no valid frame, or the daemon's last word."""
        return self._last_word or self.reader.failure

    def _match(self, reply: Reply) -> tuple[T, Reply] | None:
        entry = self.in_flight.get(reply.req_id)
        if entry is None:
            self._unmatched(reply)
            return None
        waiting, side = entry
        if reply.result is not None:
            del self.in_flight[reply.req_id]
            self._used[side] -= 1
        elif side != EVENTS:
            self._last_word = self._last_word or ProtocolError(
                f"the daemon's answer to request {reply.req_id} has no result"
            )
            return None
        return waiting, reply

    def _unmatched(self, reply: Reply) -> None:
        if self._last_word is not None:
            return
        if not reply.is_notice:
            self._last_word = _last_word(reply)
            return
        try:
            self.on_notice(reply)
        except ProtocolError as error:
            self._last_word = error

    def forget(self, req_id: int) -> T:
        """Ends a request that never went out."""
        waiting, side = self.in_flight.pop(req_id)
        self._used[side] -= 1
        return waiting

    def drain(self) -> list[T]:
        """Everybody who still waits, forgotten here: the connection has ended."""
        waiting = [entry[0] for entry in self.in_flight.values()]
        self.in_flight.clear()
        self._used = dict.fromkeys(self._used, 0)
        return waiting


def _unwanted(reply: Reply) -> None:
    raise ProtocolError("the daemon speaks of shared memory that this client never asked for")


def _last_word(reply: Reply) -> KcoroError:
    if reply.req_id == 0 and reply.result:
        return failure_of(reply)
    return ProtocolError(f"the daemon answered request {reply.req_id}, which was never made")
