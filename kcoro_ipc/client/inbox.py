"""Receiving with acknowledgement under trio: a message stays in its channel until it is done."""

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

import trio

from kcoro_ipc import _wire
from kcoro_ipc.client.handle import Handle
from kcoro_ipc.errors import UnknownDelivery
from kcoro_ipc.inboxes import HeldMessage, InboxEnd
from kcoro_ipc.protocol import requests
from kcoro_ipc.protocol.batches import batch_size
from kcoro_ipc.protocol.requests import FOREVER_MS, TRY_MS
from kcoro_ipc.trio_errors import ClosedResourceError, ConnectionLost

if TYPE_CHECKING:
    pass

Settle = Callable[[int, Sequence[int]], bytes]


class Job(HeldMessage):
    """One message that is held for you until `ack` (done) or `nack` (somebody else's again).

    `redelivered` says that it had been delivered before, `attempts` how often. As a context
    manager it is acknowledged at the end of the block and given back if the block raised. `sender`
    says who sent it if the inbox was asked for senders. `lease` is there if it was asked for
    leases: `data` is then its view, and it is released with the context manager or by you.
    """

    async def ack(self) -> None:
        """The message is done and gone when this returns."""
        await self._inbox.ack(self)

    async def nack(self) -> None:
        """The message goes back to its old place, flagged as redelivered."""
        await self._inbox.nack(self)

    async def __aenter__(self) -> "Job":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self in self._inbox.open_jobs:
            settle = self._inbox.ack if kind is None else self._inbox.nack
            await settle(self)
        if self.lease is not None:
            self.lease.__exit__(kind, error, traceback)


class Inbox(InboxEnd[Handle, Job]):
    """Jobs of one channel: `async with channel.acking() as inbox: async for job in inbox: ...`.

    What is neither acknowledged nor given back when the block ends is given back then, also when
    the block was cancelled. The inbox does not close the channel's handle.
    """

    _job = Job

    async def __aenter__(self) -> "Inbox":
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.aclose()

    def __aiter__(self) -> "Inbox":
        return self

    async def __anext__(self) -> Job:
        try:
            return await self.receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None

    async def receive(self) -> Job:
        """The next job. EndOfChannel once the channel is closed and nothing can come back."""
        return (await self._receive(FOREVER_MS, 0, "receive"))[0]

    async def try_receive(self) -> Job:
        """As `receive`, but WouldBlock instead of waiting."""
        return (await self._receive(TRY_MS, 0, ""))[0]

    async def receive_many(self, max_items: int = _wire.MAX_ITEMS) -> list[Job]:
        """Waits for one job and returns it with what else is there, `max_items` at most."""
        return await self._receive(FOREVER_MS, batch_size(max_items), "receive")

    async def ack(self, *jobs: Job) -> None:
        """Acknowledges several jobs with one request."""
        await self._settle(requests.ack, jobs)

    async def nack(self, *jobs: Job) -> None:
        """Gives several jobs back with one request."""
        await self._settle(requests.nack, jobs)

    async def aclose(self) -> None:
        """Gives back what is open. Idempotent, and done even when cancelled."""
        self._closed = True
        self._handle.connection.end_waits(self)
        try:
            await self.nack(*self.open_jobs)
        except (UnknownDelivery, ConnectionLost, ClosedResourceError):
            pass  # what ended with its connection or its channel was given back by that

    async def _receive(self, timeout_ms: int, max_items: int, place: str) -> list[Job]:
        handle = self._handle
        handle.check_receive()
        while True:
            connection = self._connection()
            req_id = connection.new_id()
            frame = requests.receive(req_id, handle.chan_id, timeout_ms, max_items, self._flags)
            try:
                reply = await connection.request(req_id, frame, place, (self, self._channel))
            except ConnectionLost as error:
                await handle.recover(connection, error, "acking")
                continue
            if reply.result:
                raise handle.failure(reply, "receive")
            return self.jobs(reply)

    async def _settle(self, build: Settle, jobs: tuple[Job, ...]) -> None:
        """Goes out in a cancelled scope too: the work on these jobs is over."""
        settled = self._taken(jobs)
        if not settled:
            await trio.lowlevel.checkpoint()
        for connection, ids in settled:
            req_id = connection.new_id()
            try:
                reply = await connection.request(req_id, build(req_id, ids), must_go=True)
            except ConnectionLost as error:
                raise self._delivery_lost(error) from None
            if reply.result:
                raise self._handle.failure(reply, "ack")
