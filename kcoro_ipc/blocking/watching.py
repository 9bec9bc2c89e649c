"""A channel's counters again and again, for programs without an event loop."""

from types import TracebackType
from typing import TYPE_CHECKING

from kcoro_ipc.blocking.connection import CONTROL_SECONDS, Connection
from kcoro_ipc.errors import ClosedResourceError, KcoroError
from kcoro_ipc.protocol import requests
from kcoro_ipc.protocol.outcome import failure_of
from kcoro_ipc.protocol.watches import Watched

if TYPE_CHECKING:
    from kcoro_ipc.metrics import ChannelSnapshot


class Watch:
    """`with client.watch("jobs", 0.5) as snapshots: for snapshot in snapshots: ...`

    The first snapshot comes at once, then one every `interval` seconds, at least 0.1, always the
    newest: who looks seldom misses some. In between the client may be used for other things. It
    ends with the error that says why: OperationCancelled when the channel was destroyed, and what
    the daemon refuses.
    """

    def __init__(self, connection: Connection, target: str | int, interval: float) -> None:
        self._connection = connection
        self._interval = interval
        self._watched = Watched(target, interval)
        self._req_id: int | None = None
        self._over = False

    @property
    def skipped(self) -> int:
        """How many the daemon left out because this client did not read."""
        return self._watched.skipped

    def __enter__(self) -> "Watch":
        if self._watched.last is not None or self._over:
            raise ClosedResourceError("this watch is over; begin another one")
        self._req_id = _begin(self._connection, self._watched)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._req_id is not None:
            _end(self._connection, self._req_id)
            self._req_id, self._over = None, True

    def __iter__(self) -> "Watch":
        return self

    def __next__(self) -> "ChannelSnapshot":
        if self._req_id is None:
            raise ClosedResourceError("this watch is over; begin another one")
        watched = self._watched
        if not watched.fresh and watched.last is None:
            self._connection.listen(
                lambda: watched.fresh or watched.last is not None, self._interval
            )
        if watched.fresh:
            return watched.look()
        assert watched.last is not None
        raise failure_of(watched.last, channel=str(watched.target))


def _begin(connection: Connection, watched: Watched) -> int:
    """Its events are taken whenever they come, also between other replies."""
    connection.check_usable()
    req_id = connection.new_id()
    connection.watches[req_id] = watched
    connection.tell(watched.frame(req_id))
    return req_id


def _end(connection: Connection, req_id: int) -> None:
    """Waits for its last word, so that nothing of it comes later."""
    watched = connection.watches.get(req_id)
    if watched is not None and not connection.ended:
        connection.tell(requests.cancel(req_id))
        try:
            connection.listen(lambda: watched.last is not None, CONTROL_SECONDS)
        except KcoroError:
            pass  # it ended with its connection
