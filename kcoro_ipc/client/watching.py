"""A channel's counters again and again, under trio."""

from types import TracebackType
from typing import TYPE_CHECKING

from trio import CancelScope
from trio.lowlevel import ParkingLot, checkpoint

from kcoro_ipc.client.connection import Connection
from kcoro_ipc.client.waiting import Asking
from kcoro_ipc.errors import KcoroError
from kcoro_ipc.protocol.outcome import failure_of
from kcoro_ipc.protocol.replies import Reply
from kcoro_ipc.protocol.watches import Watched
from kcoro_ipc.trio_errors import TRIO_ERRORS, ClosedResourceError

if TYPE_CHECKING:
    from kcoro_ipc.metrics import ChannelSnapshot


class Watch(Asking):
    """`async with client.watch("jobs", 0.5) as snapshots: async for snapshot in snapshots: ...`

    The first snapshot comes at once, then one every `interval` seconds, at least 0.1, always the
    newest: who looks seldom misses some. It ends with the error that says why: OperationCancelled
    when the channel was destroyed, and what the daemon refuses.
    """

    def __init__(self, connection: Connection, target: str | int, interval: float) -> None:
        self._connection = connection
        self._watched = Watched(target, interval)
        self._news = ParkingLot()
        self._why_ended: KcoroError | None = None
        super().__init__(0, ())

    @property
    def skipped(self) -> int:
        """How many the daemon left out because this client did not read."""
        return self._watched.skipped

    async def __aenter__(self) -> "Watch":
        await checkpoint()
        if self._why_ended is not None:
            raise self._why_ended
        self.req_id = self._connection.new_id()
        self._connection.listen(self, self._watched.frame(self.req_id))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Waits for the last word, so that nothing of it comes later; the grace of a cancelled
        request bounds that."""
        if self._why_ended is None:
            self._connection.ask_cancel(self.req_id)
            with CancelScope(shield=True):
                while self._why_ended is None:
                    await self._news.park()
        self._why_ended = ClosedResourceError("this watch is over; begin another one")

    def __aiter__(self) -> "Watch":
        return self

    async def __anext__(self) -> "ChannelSnapshot":
        await checkpoint()
        while not self._watched.fresh:
            if self._why_ended is not None:
                raise self._why_ended
            await self._news.park()
        return self._watched.look()

    # --- what the connection says ---

    def take(self, reply: Reply) -> None:
        self._watched.take(reply)
        if reply.result is not None and self._why_ended is None:
            label = str(self._watched.target)
            self._why_ended = failure_of(reply, table=TRIO_ERRORS, channel=label)
        self._news.unpark_all()

    def fail(self, error: KcoroError) -> None:
        self._why_ended = self._why_ended or error
        self._news.unpark_all()
